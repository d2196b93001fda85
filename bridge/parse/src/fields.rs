//! An event's fields out of a record: those that are listed, objects that are spread into fields, and what
//! is left over. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use crate::conversion::Conversion;
use crate::failure::{Failure, Reason, shown};
use crate::json::{Entry, Json, Kind};
use crate::path::{Found, Origin, Path, Scope};
use crate::value::Value;

/// The fields of one event, by name.
pub type Fields<'s> = Vec<(Cow<'s, str>, Value<'s>)>;

/// One field, as it is listed.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Box<str>,
    pub path: Path,
    pub conversion: Conversion,
    /// A record without it is a bad one.
    pub required: bool,
    /// What it is where nothing is there; null is something.
    pub default: Option<Value<'static>>,
    /// What is there is an object, and each of its values a field of its own, whose name begins with this.
    pub spread: Option<Box<str>>,
}

/// All fields of a parser.
#[derive(Clone, Debug)]
pub struct FieldPlan {
    fields: Vec<Field>,
    /// How what is left over is read, where it is kept.
    rest: Option<Conversion>,
    taken: Taken,
    /// Something of the record itself is asked for: of one that is no object, nothing is left over then.
    is_touched: bool,
    may_repeat: bool,
}

/// What of a record is taken by a path, and so not left over.
#[derive(Clone, Debug, Default)]
struct Taken {
    is_whole: bool,
    below: BTreeMap<Box<str>, Taken>,
}

impl Taken {
    fn add(&mut self, names: &[&str]) {
        match names.split_first() {
            None => self.is_whole = true,
            Some((name, rest)) => self.below.entry((*name).into()).or_default().add(rest),
        }
    }
}

/// The field that a record is which is no object and of which nothing is listed.
pub const WHOLE: &str = "value";

impl FieldPlan {
    /// `others` are paths of what is no field but taken too: the time, the device id.
    pub fn new<'p>(
        fields: Vec<Field>,
        others: impl Iterator<Item = &'p Path>,
        rest: Option<Conversion>,
    ) -> FieldPlan {
        let mut taken = Taken::default();
        let mut is_touched = false;
        let mut take = |path: &Path| {
            is_touched |= path.origin == Origin::Record;
            path.plain_names().iter().for_each(|names| taken.add(names));
        };
        fields.iter().for_each(|field| take(&field.path));
        others.for_each(take);
        let may_repeat = rest.is_some() || fields.iter().any(|field| field.spread.is_some());
        FieldPlan { fields, rest, taken, is_touched, may_repeat }
    }

    /// The paths of the fields that are listed.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.fields.iter().map(|field| &field.path)
    }

    pub fn extract<'s>(&'s self, scope: &Scope<'s, '_>) -> Result<Fields<'s>, Failure> {
        let mut fields = Vec::with_capacity(self.fields.len() + 4);
        for field in &self.fields {
            field.add(scope, &mut fields).map_err(|failure| failure.of_field(&field.name))?;
        }
        let is_object = matches!(scope.record.kind, Kind::Map(_));
        if let Some(conversion) = &self.rest
            && (is_object || !self.is_touched)
        {
            rest(scope.record, &self.taken, conversion, &mut fields)?;
        }
        if self.may_repeat
            && let Some(name) = first_double(&fields)
        {
            let detail = format!("the record has two values for the field {}", shown(name));
            return Err(Failure::new(Reason::DuplicateField, detail).of_field(name));
        }
        Ok(fields)
    }
}

impl Field {
    fn add<'s>(&'s self, scope: &Scope<'s, '_>, fields: &mut Fields<'s>) -> Result<(), Failure> {
        match (self.path.find(scope), &self.spread) {
            (Some(found), None) => {
                fields.push((Cow::Borrowed(&*self.name), self.conversion.convert(&found)?));
            }
            (Some(Found::One(Json { kind: Kind::Map(entries), .. })), Some(prefix)) => {
                self.spread(entries, prefix, fields)?;
            }
            (Some(Found::One(Json { kind: Kind::Null, .. })), Some(_)) => {}
            (Some(found), Some(_)) => {
                let (what, at) = match found {
                    Found::One(json) => (json.describe(), json.place()),
                    _ => ("a text", None),
                };
                let detail = format!("an object is declared, to be spread, not {what}");
                return Err(Failure { at, ..Failure::new(Reason::TypeMismatch, detail) });
            }
            (None, _) if self.required => {
                let detail = format!("the record has nothing at {}", self.path);
                let failure = Failure::new(Reason::FieldMissing, detail);
                return Err(Failure { at: scope.record.place(), ..failure });
            }
            (None, _) => {
                let default = self.default.iter().cloned();
                fields.extend(default.map(|value| (Cow::Borrowed(&*self.name), value)));
            }
        }
        Ok(())
    }

    fn spread<'s>(
        &'s self,
        entries: &'s [Entry<'_>],
        prefix: &str,
        fields: &mut Fields<'s>,
    ) -> Result<(), Failure> {
        for entry in entries {
            let name = match prefix {
                "" => Cow::Borrowed(entry.key.as_ref()),
                prefix => Cow::Owned(format!("{prefix}{}", entry.key)),
            };
            let value = self.conversion.one(&entry.value);
            let value = value.map_err(|failure| failure.of_field(&name))?;
            fields.push((name, value));
        }
        Ok(())
    }
}

/// What no path takes.
fn rest<'s>(
    record: &'s Json<'_>,
    taken: &Taken,
    conversion: &Conversion,
    fields: &mut Fields<'s>,
) -> Result<(), Failure> {
    if taken.is_whole {
        return Ok(());
    }
    let Kind::Map(entries) = &record.kind else {
        let value = conversion.one(record).map_err(|failure| failure.of_field(WHOLE))?;
        fields.push((Cow::Borrowed(WHOLE), value));
        return Ok(());
    };
    for entry in entries {
        let value = match taken.below.get(entry.key.as_ref()) {
            None => conversion.one(&entry.value),
            Some(Taken { is_whole: true, .. }) => continue,
            // Objects of which everything is taken are not left over as empty ones.
            Some(below) if matches!(entry.value.kind, Kind::Map(_)) => {
                let mut inner = Vec::new();
                match rest(&entry.value, below, conversion, &mut inner) {
                    Ok(()) if inner.is_empty() => continue,
                    Ok(()) => Ok(Value::Map(inner)),
                    Err(failure) => Err(failure),
                }
            }
            Some(_) => conversion.one(&entry.value),
        };
        let value = value.map_err(|failure| failure.of_field(&entry.key))?;
        fields.push((Cow::Borrowed(entry.key.as_ref()), value));
    }
    Ok(())
}

/// Names up to this many are compared one by one.
const COMPARED_MAX: usize = 24;

fn first_double<'f>(fields: &'f Fields<'_>) -> Option<&'f str> {
    if fields.len() <= COMPARED_MAX {
        let is_double = |at: &usize| fields[..*at].iter().any(|one| one.0 == fields[*at].0);
        return (1..fields.len()).find(is_double).map(|at| fields[at].0.as_ref());
    }
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().map(|one| one.0.as_ref()).find(|name| !seen.insert(*name))
}
