//! A field, as it is written, becomes how it is read. Pure.

use super::faults::Faults;
use super::{Common, path, time};
use crate::conversion::{Conversion, Encoding, Target};
use crate::decimal::{Decimal, Notation};
use crate::failure::Failure;
use crate::fields::Field;
use crate::json::reader::{self, Duplicates};
use crate::json::{Json, Kind};
use crate::value::Value;
use crate::word::Words;
use crate::written;

/// Longest name of a field, in bytes.
pub const NAME_MAX: usize = 256;

pub fn field(
    name: &str,
    written: &written::Field,
    common: &Common,
    faults: &mut Faults,
) -> Option<Field> {
    if name.is_empty() || name.len() > NAME_MAX {
        faults.add("", &format!("the name of a field has 1 to {NAME_MAX} bytes"));
    }
    let path = path("path", written.path.as_deref(), faults);
    let conversion = conversion(written, common, faults)?;
    if written.spread && path.as_ref().is_some_and(|path| path.is_many()) {
        faults.add("spread", "one object is spread, and the path leads to many values");
    }
    if written.prefix.is_some() && !written.spread {
        faults.add("prefix", "it is for fields of an object: write spread: true too");
    }
    if written.required && written.default.is_some() {
        faults.add("default", "a field that is required is never absent: leave one of both out");
    }
    if written.spread && written.default.is_some() {
        faults.add("default", "what is spread has no single value that could be absent");
    }
    let default = written.default.as_deref().map(|text| default(text, &conversion));
    let default = match default.transpose() {
        Ok(default) => default,
        Err(failure) => {
            faults.add("default", &failure.detail);
            None
        }
    };
    Some(Field {
        name: name.into(),
        path: path?,
        conversion,
        required: written.required,
        default,
        spread: written.spread.then(|| written.prefix.as_deref().unwrap_or_default().into()),
    })
}

fn conversion(
    written: &written::Field,
    common: &Common,
    faults: &mut Faults,
) -> Option<Conversion> {
    let notation = match written.decimal_comma {
        Some(true) => Notation::Comma,
        Some(false) => Notation::Point,
        None => common.notation,
    };
    let target = target(written, notation, faults);
    only_for(written, faults);
    let scale = written.scale.as_deref().and_then(|text| {
        let scale = Decimal::parse(text).filter(|scale| scale.to_text().is_some());
        // Its zeros are no digits of what it is multiplied with: 0.482 times 100 is 48.2.
        let scale = scale.map(Decimal::shortest);
        faults
            .take("scale", scale.ok_or_else(|| format!("{text:?} is no number: write 0.1 or 1e-6")))
    });
    let nulls: Vec<String> = common.nulls.iter().chain(&written.nulls.0).cloned().collect();
    for (place, part) in [("before", &written.before), ("after", &written.after)] {
        if part.as_deref() == Some("") {
            faults.add(place, "it is empty: write what stands there, such as \"*\"");
        }
    }
    Some(Conversion {
        target: target?,
        nulls: Words::new(&nulls),
        scale,
        notation,
        before: written.before.as_deref().map(Into::into),
        after: written.after.as_deref().map(Into::into),
        not_finite: common.not_finite,
    })
}

fn target(written: &written::Field, notation: Notation, faults: &mut Faults) -> Option<Target> {
    Some(match written.kind.as_deref() {
        None => Target::Undeclared,
        Some("int") => {
            let base = written.base.unwrap_or(10);
            if !(2..=36).contains(&base) {
                faults.add("base", "a base is 2 to 36");
            }
            if base != 10 && written.scale.is_some() {
                faults.add("scale", "only numbers of base 10 are scaled");
            }
            Target::Int { base }
        }
        Some("float") => Target::Float,
        Some("decimal") => Target::Decimal,
        Some("bool") => {
            let or = |words: &[String], default: [&str; 2]| match words {
                [] => Words::new(&default.map(String::from)),
                words => Words::new(words),
            };
            Target::Bool {
                yes: or(&written.yes.0, ["true", "1"]),
                no: or(&written.no.0, ["false", "0"]),
            }
        }
        Some("text") => Target::Text,
        Some("bytes") => match written.encoding.as_deref() {
            Some("hex") => Target::Bytes(Encoding::Hex),
            Some("base64") => Target::Bytes(Encoding::Base64),
            Some(other) => {
                faults.add("encoding", &format!("{other:?} is not known: write hex or base64"));
                return None;
            }
            None => {
                faults.add("encoding", "it is missing: write hex or base64");
                return None;
            }
        },
        Some("time") => Target::Time(time::of_field(written, notation, faults)),
        Some("list") => Target::List,
        Some("map") => Target::Map,
        Some(other) => {
            faults.add("type", &format!(
                "{other:?} is no type: write int, float, decimal, bool, text, bytes, time, list or map"
            ));
            return None;
        }
    })
}

/// Keys that mean something for some types only.
fn only_for(written: &written::Field, faults: &mut Faults) {
    let kind = written.kind.as_deref();
    let is = |kinds: &[&str]| kind.is_some_and(|kind| kinds.contains(&kind));
    let mut refuse = |key: &str, is_written: bool, kinds: &[&str]| {
        if is_written && !is(kinds) {
            faults.add(key, &format!("it is for type: {}", kinds.join(" or ")));
        }
    };
    refuse("encoding", written.encoding.is_some(), &["bytes"]);
    refuse("base", written.base.is_some(), &["int", "time"]);
    refuse("unit", written.unit.is_some(), &["time"]);
    refuse("pattern", written.pattern.is_some(), &["time"]);
    refuse("zone", written.zone.is_some(), &["time"]);
    refuse("true", !written.yes.0.is_empty(), &["bool"]);
    refuse("false", !written.no.0.is_empty(), &["bool"]);
    if written.scale.is_some() && !(kind.is_none() || is(&["int", "float", "decimal"])) {
        faults.add("scale", "only numbers are scaled: it is for type: int, float or decimal");
    }
}

/// A default is read as if it stood in the payload: as a value of JSON, or else as a text.
fn default(text: &str, conversion: &Conversion) -> Result<Value<'static>, Failure> {
    let rules = reader::Rules {
        depth: 8,
        duplicates: Duplicates::Fail,
        not_finite: false,
        tree: usize::MAX,
    };
    let json = match reader::read(text, &rules) {
        Ok(json) => json,
        Err(_) => Json::nowhere(Kind::Text(text.into())),
    };
    conversion.one(&json).map(Value::into_owned)
}
