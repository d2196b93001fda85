//! A time, as it is written, becomes the plan by which it is found. Pure.

use jiff::Timestamp;

use super::faults::Faults;
use super::{Common, condition_of, path};
use crate::decimal::Notation;
use crate::path::Path;
use crate::time::TimePlan;
use crate::time::form::{Form, Unit};
use crate::time::zone::{Never, Twice, Zone};
use crate::word::Words;
use crate::written::{Field, Time, TimeForm};

/// Forms of one time.
const FORMS_MAX: usize = 16;

pub fn plan(written: &Time, common: &Common, faults: &mut Faults) -> Option<TimePlan> {
    let fields: Vec<Path> = match &written.field {
        Some(texts) => {
            let paths = texts.0.iter().filter_map(|text| path("field", Some(text), faults));
            paths.collect()
        }
        None => Vec::new(),
    };
    if fields.iter().any(Path::is_many) {
        faults.add("field", "it leads to many values, and a record has one time");
    }
    if written.field.is_none() && written.offset.is_none() {
        faults.add("field", "it is missing: write the path to the time");
    }
    let forms = forms(written, common.notation, faults);
    let offset = written.offset.as_ref().and_then(|offset| {
        faults.within("offset", |faults| {
            let path = path("field", offset.field.as_deref(), faults);
            let unit = unit("unit", offset.unit.as_deref(), faults);
            Some((path?, unit?))
        })
    });
    let earliest = written.earliest.as_deref().unwrap_or("2000-01-01T00:00:00Z");
    let earliest = earliest.parse::<Timestamp>().map_err(|_| {
        format!("{earliest:?} is no time: write it as RFC 3339, such as 2000-01-01T00:00:00Z")
    });
    let earliest = faults.take("earliest", earliest);
    let ahead = faults.take("ahead", length(written.ahead.as_deref().unwrap_or("24h")));
    let valid = written
        .valid
        .as_ref()
        .and_then(|condition| faults.within("valid", |faults| condition_of(condition, faults)));
    let relative_below_ns = written.relative_below.as_deref().and_then(|text| {
        let of_unit = written.unit.as_deref().and_then(|unit| Unit::parse(unit).ok());
        let below = of_unit
            .and_then(|unit| unit.nanoseconds(text))
            .ok_or_else(|| format!("{text:?}: write a number, in the unit that the time has"));
        faults.take("relative_below", below)
    });
    Some(TimePlan {
        fields,
        forms,
        offset,
        relative_below_ns,
        earliest: earliest?,
        ahead_ns: ahead?,
        valid,
        required: written.required,
        nulls: Words::new(&common.nulls),
    })
}

/// The forms of an event's time.
fn forms(written: &Time, notation: Notation, faults: &mut Faults) -> Vec<Form> {
    let rules = Rules {
        repeated: written.repeated_hour.as_deref(),
        missing: written.missing_hour.as_deref(),
        notation,
    };
    let alone = TimeForm {
        unit: written.unit.clone(),
        base: written.base,
        pattern: written.pattern.clone(),
        zone: written.zone.clone(),
    };
    if written.forms.is_empty() {
        return form(&alone, &rules, faults).into_iter().collect();
    }
    if written.pattern.is_some() || written.base.is_some() {
        faults.add("forms", "a form stands in forms, or beside it, but not in both places");
    }
    if written.unit.is_some() && written.relative_below.is_none() {
        faults.add("unit", "with forms, each has its own unit");
    }
    if written.forms.len() > FORMS_MAX {
        faults.add("forms", &format!("a time has at most {FORMS_MAX} forms"));
    }
    let each = written.forms.iter().enumerate().filter_map(|(at, one)| {
        let zone = one.zone.clone().or_else(|| written.zone.clone());
        let one = TimeForm { zone, ..one.clone() };
        faults.within(&format!("forms[{at}]"), |faults| form(&one, &rules, faults))
    });
    each.collect()
}

/// The forms of a field that is a time.
pub fn of_field(written: &Field, notation: Notation, faults: &mut Faults) -> Vec<Form> {
    let rules = Rules { repeated: None, missing: None, notation };
    let alone = TimeForm {
        unit: written.unit.clone(),
        base: written.base,
        pattern: written.pattern.clone(),
        zone: written.zone.clone(),
    };
    form(&alone, &rules, faults).into_iter().collect()
}

struct Rules<'w> {
    repeated: Option<&'w str>,
    missing: Option<&'w str>,
    notation: Notation,
}

fn form(written: &TimeForm, rules: &Rules<'_>, faults: &mut Faults) -> Option<Form> {
    let zone = written.zone.as_deref().and_then(|text| faults.take("zone", Zone::parse(text)));
    let twice = faults.choice(
        "repeated_hour",
        rules.repeated,
        Twice::First,
        &[("first", Twice::First), ("second", Twice::Second), ("refuse", Twice::Refused)],
    );
    let never = faults.choice(
        "missing_hour",
        rules.missing,
        Never::Refused,
        &[("refuse", Never::Refused), ("before", Never::Before), ("after", Never::After)],
    );
    let zone = zone.map(|zone| zone.with(twice, never));
    if written.base.is_some() && written.unit.is_none() {
        faults.add("base", "it is of a number: write its unit too");
    }
    match (written.unit.as_deref(), written.pattern.as_deref()) {
        (Some(_), Some(_)) => {
            faults.add("pattern", "a number has a unit, a text a pattern: for both write forms");
            None
        }
        (Some(_), None) => {
            let unit = unit("unit", written.unit.as_deref(), faults)?;
            let base = written.base.unwrap_or(10);
            if !(2..=36).contains(&base) {
                faults.add("base", "a base is 2 to 36");
                return None;
            }
            Some(Form::Epoch { unit, base, notation: rules.notation })
        }
        (None, None | Some("rfc3339")) => Some(Form::Rfc3339 { zone }),
        (None, Some(pattern)) => faults.take("pattern", Form::pattern(pattern, zone)),
    }
}

fn unit(place: &str, written: Option<&str>, faults: &mut Faults) -> Option<Unit> {
    match written {
        Some(text) => faults.take(place, Unit::parse(text)),
        None => {
            faults.add(place, "it is missing: write s, ms, us, ns, min, h or d");
            None
        }
    }
}

/// A length of time such as `24h`, in nanoseconds.
fn length(text: &str) -> Result<i128, String> {
    let end = text.find(|one: char| !one.is_ascii_digit() && one != '.').unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    let nanoseconds = Unit::parse(unit.trim()).ok().and_then(|unit| unit.nanoseconds(count));
    nanoseconds.ok_or_else(|| format!("{text:?} is no length of time: write 90s, 30min, 24h or 7d"))
}
