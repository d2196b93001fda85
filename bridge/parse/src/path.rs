//! Paths: where in a payload, its topic or what is around a record a value stands. Pure.
//!
//! ```text
//! a.b          keys of objects, from the record on; `.` is the record itself
//! ["a.b"]      a key in quotes, which may hold any character
//! a[0] a[-1]   an element of a list, from the beginning or from the end
//! a[]          each element; of what is no list, itself
//! a.*          the value of each key
//! $.a          from the payload's root on
//! ^.a  ^^.a    from the object on that the record is in, and from the one around that
//! @key         the key that a * of the records' path came to; @key[0] is the first one's, where there are more
//! @index       the record's number in its list
//! @topic[1]    a level of the topic, from 0; @topic[-1] is the last one
//! @attribute.N an attribute of the message, such as device_type or what its route captured
//! @device_id   who sent the message
//! ```

use std::fmt;

use crate::facts::Facts;
use crate::json::{Json, Kind};

/// Steps of the longest path.
pub const STEPS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub origin: Origin,
    pub steps: Vec<Step>,
    text: Box<str>,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Record,
    Payload,
    /// So many objects above the record.
    Parent(usize),
    /// The innermost key, or that of the n-th `*`.
    Key(Option<usize>),
    Index,
    Topic(i64),
    Attribute(Box<str>),
    DeviceId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Name(Box<str>),
    Element(i64),
    /// `[]`
    Each,
    /// `*`
    Any,
}

/// Where a record is, and what is around it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s, 'a> {
    pub record: &'s Json<'a>,
    pub payload: &'s Json<'a>,
    /// The objects that the record is in, the outermost first.
    pub parents: &'s [&'s Json<'a>],
    /// What each `*` came to, the outermost first.
    pub keys: &'s [&'s str],
    /// The record's number in the list that it is in.
    pub index: Option<u64>,
    pub facts: &'s Facts<'s>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Found<'s, 'a> {
    One(&'s Json<'a>),
    /// A key, a level of the topic, or an attribute.
    Word(&'s str),
    Number(u64),
    /// All that a path with `[]` or `*` leads to.
    Many(Vec<&'s Json<'a>>),
}

impl Path {
    pub fn parse(text: &str) -> Result<Path, String> {
        let (origin, rest) = origin(text)?;
        let steps = steps(rest, text)?;
        let is_word = !matches!(origin, Origin::Record | Origin::Payload | Origin::Parent(_));
        if is_word && !steps.is_empty() {
            return Err(format!("{text:?}: nothing can follow what is no object or list"));
        }
        if steps.len() > STEPS_MAX {
            return Err(format!("{text:?} has more than {STEPS_MAX} steps"));
        }
        Ok(Path { origin, steps, text: text.into() })
    }

    /// The record's names that lead to one value of it; None where it is anything else.
    pub fn plain_names(&self) -> Option<Vec<&str>> {
        fn name(step: &Step) -> Option<&str> {
            match step {
                Step::Name(name) => Some(name),
                _ => None,
            }
        }
        (self.origin == Origin::Record).then(|| self.steps.iter().map(name).collect()).flatten()
    }

    /// Whether what it leads to is around the record.
    pub fn is_around(&self) -> bool {
        matches!(self.origin, Origin::Payload | Origin::Parent(_))
    }

    /// Whether it leads to many values.
    pub fn is_many(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Each | Step::Any))
    }

    /// What is there; None where nothing is.
    pub fn find<'s, 'a>(&'s self, scope: &Scope<'s, 'a>) -> Option<Found<'s, 'a>> {
        let start = match &self.origin {
            Origin::Record => scope.record,
            Origin::Payload => scope.payload,
            Origin::Parent(levels) => {
                scope.parents[scope.parents.len().checked_sub(*levels)?..].first()?
            }
            Origin::Key(None) => return scope.keys.last().copied().map(Found::Word),
            Origin::Key(Some(at)) => return scope.keys.get(*at).copied().map(Found::Word),
            Origin::Index => return scope.index.map(Found::Number),
            Origin::Topic(level) => return scope.facts.level(*level).map(Found::Word),
            Origin::Attribute(name) => return scope.facts.attribute(name).map(Found::Word),
            Origin::DeviceId => return Some(Found::Word(scope.facts.device_id)),
        };
        if self.is_many() {
            let mut many = Vec::new();
            gather(start, &self.steps, &mut many);
            return (!many.is_empty() || self.is_empty_list(start)).then_some(Found::Many(many));
        }
        let found = self.steps.iter().try_fold(start, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Element(index) => value.element(*index),
            Step::Each | Step::Any => None,
        });
        found.map(Found::One)
    }

    /// Many values that are none: the list is there, and it is empty.
    fn is_empty_list(&self, start: &Json<'_>) -> bool {
        let until = self.steps.iter().position(|step| matches!(step, Step::Each | Step::Any));
        let list =
            self.steps[..until.unwrap_or(0)].iter().try_fold(start, |value, step| match step {
                Step::Name(name) => value.get(name),
                Step::Element(index) => value.element(*index),
                Step::Each | Step::Any => None,
            });
        list.is_some_and(|list| match &list.kind {
            Kind::List(items) => items.is_empty(),
            Kind::Map(entries) => entries.is_empty(),
            _ => false,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn gather<'s, 'a>(value: &'s Json<'a>, steps: &[Step], many: &mut Vec<&'s Json<'a>>) {
    let Some((step, rest)) = steps.split_first() else { return many.push(value) };
    match (step, &value.kind) {
        (Step::Name(name), _) => {
            value.get(name).into_iter().for_each(|one| gather(one, rest, many))
        }
        (Step::Element(at), _) => {
            value.element(*at).into_iter().for_each(|one| gather(one, rest, many));
        }
        (Step::Each, Kind::List(items)) => items.iter().for_each(|one| gather(one, rest, many)),
        (Step::Each, Kind::Null) => {}
        (Step::Each, _) => gather(value, rest, many),
        (Step::Any, Kind::Map(entries)) => {
            entries.iter().for_each(|entry| gather(&entry.value, rest, many));
        }
        (Step::Any, _) => {}
    }
}

fn origin(text: &str) -> Result<(Origin, &str), String> {
    if let Some(rest) = text.strip_prefix('$') {
        return around(Origin::Payload, rest, text);
    }
    let levels = text.bytes().take_while(|byte| *byte == b'^').count();
    if levels > 0 {
        return around(Origin::Parent(levels), &text[levels..], text);
    }
    let Some(word) = text.strip_prefix('@') else { return Ok((Origin::Record, text)) };
    let number =
        |rest: &str| -> Option<i64> { rest.strip_prefix('[')?.strip_suffix(']')?.parse().ok() };
    let origin = if word == "key" {
        Origin::Key(None)
    } else if word == "index" {
        Origin::Index
    } else if word == "device_id" {
        Origin::DeviceId
    } else if let Some(at) = word.strip_prefix("key").and_then(number) {
        Origin::Key(Some(usize::try_from(at).map_err(|_| unknown(text))?))
    } else if let Some(level) = word.strip_prefix("topic").and_then(number) {
        Origin::Topic(level)
    } else if let Some(name) = word.strip_prefix("attribute.").filter(|name| !name.is_empty()) {
        Origin::Attribute(name.into())
    } else {
        return Err(unknown(text));
    };
    Ok((origin, ""))
}

/// `$topic` is neither `$.topic` nor `@topic`, and whoever wrote it has to say which.
fn around<'t>(origin: Origin, rest: &'t str, text: &str) -> Result<(Origin, &'t str), String> {
    if rest.is_empty() || rest.starts_with(['.', '[']) {
        return Ok((origin, rest));
    }
    Err(unknown(text))
}

fn unknown(text: &str) -> String {
    format!(
        "{text:?}: write $.a, ^.a, @key, @key[0], @index, @topic[1], @attribute.NAME or @device_id; a key that \
         begins with one of @ $ ^ stands in quotes, as [\"@type\"]"
    )
}

fn steps(mut rest: &str, whole: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    if rest == "." {
        return Ok(steps);
    }
    let mut is_first = true;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('[') {
            let (step, end) = bracket(behind, whole)?;
            steps.push(step);
            rest = end;
        } else {
            let name = match rest.strip_prefix('.') {
                Some(name) => name,
                None if is_first => rest,
                None => return Err(format!("{whole:?}: between steps stands a dot")),
            };
            if name.starts_with('[') && rest.starts_with('.') {
                rest = name;
                continue;
            }
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            if name.is_empty() {
                return Err(format!("{whole:?} has a step without a name: write it as [\"\"]"));
            }
            if name.contains([']', '"']) {
                let fault = "a key with one of . [ ] \" in it stands in quotes, as [\"a.b\"]";
                return Err(format!("{whole:?}: {fault}"));
            }
            steps.push(if name == "*" { Step::Any } else { Step::Name(name.into()) });
            rest = behind;
        }
        is_first = false;
    }
    if is_first && whole.is_empty() {
        return Err("a path is empty: write . for the record itself".to_owned());
    }
    Ok(steps)
}

/// What stands in brackets, and what is behind them.
fn bracket<'t>(text: &'t str, whole: &str) -> Result<(Step, &'t str), String> {
    let open = || format!("{whole:?}: a bracket is not closed");
    if let Some(behind) = text.strip_prefix(']') {
        return Ok((Step::Each, behind));
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let (inside, behind) = text.split_once(']').ok_or_else(open)?;
        let index = inside.parse().map_err(|_| {
            format!("{whole:?}: in brackets stands a number, a key in quotes, or nothing")
        })?;
        return Ok((Step::Element(index), behind));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '"' => {
                let behind = quoted[at + 1..].strip_prefix(']').ok_or_else(open)?;
                return Ok((Step::Name(name.into()), behind));
            }
            '\\' => name.push(characters.next().ok_or_else(open)?.1),
            _ => name.push(one),
        }
    }
    Err(open())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::reader::{Duplicates, Rules, read};

    const FACTS: Facts<'_> = Facts {
        topic: "things/pump-4/data",
        received_ms: 0,
        device_id: "d",
        verified: false,
        attributes: &[("device_type", "pump")],
    };

    fn shown(found: Option<Found<'_, '_>>) -> String {
        match found {
            None => "absent".to_owned(),
            Some(Found::One(one)) => format!("{:?}", one.kind),
            Some(Found::Word(word)) => word.to_owned(),
            Some(Found::Number(number)) => number.to_string(),
            Some(Found::Many(many)) => many
                .iter()
                .map(|one| match &one.kind {
                    Kind::Number(digits) => digits.to_string(),
                    kind => format!("{kind:?}"),
                })
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    #[test]
    fn paths_lead_where_they_say() {
        let text =
            r#"{"a":{"b.c":7,"list":[{"n":1},{"n":2},{}],"none":[]},"":null,"@type":8,"x y":9}"#;
        let rules =
            Rules { depth: 9, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };
        let payload = read(text, &rules).expect("JSON");
        let inner = payload.get("a").expect("it is there");
        let parents = [&payload];
        let keys = ["outer", "inner"];
        let scope = Scope {
            record: inner,
            payload: &payload,
            parents: &parents,
            keys: &keys,
            index: Some(3),
            facts: &FACTS,
        };
        for (path, result) in [
            ("[\"b.c\"]", "Number(\"7\")"),
            (".[\"b.c\"]", "Number(\"7\")"),
            ("list[0].n", "Number(\"1\")"),
            ("list[-2].n", "Number(\"2\")"),
            ("list[9].n", "absent"),
            ("list[-9]", "absent"),
            ("list[].n", "1,2"),
            ("none[]", ""),
            ("none[0]", "absent"),
            ("nowhere[]", "absent"),
            ("$.a.list[1].n", "Number(\"2\")"),
            ("$[\"@type\"]", "Number(\"8\")"),
            ("$.x y", "Number(\"9\")"),
            ("$[\"\"]", "Null"),
            ("^[\"@type\"]", "Number(\"8\")"),
            ("^^.a", "absent"),
            ("$.a.list[].*", "1,2"),
            ("@key", "inner"),
            ("@key[0]", "outer"),
            ("@key[2]", "absent"),
            ("@index", "3"),
            ("@topic[1]", "pump-4"),
            ("@topic[-1]", "data"),
            ("@topic[3]", "absent"),
            ("@attribute.device_type", "pump"),
            ("@attribute.colour", "absent"),
            ("@device_id", "d"),
        ] {
            let parsed = Path::parse(path).expect(path);
            assert_eq!(shown(parsed.find(&scope)), result, "{path}");
        }
    }

    #[test]
    fn faults_say_what_to_write() {
        for (path, word) in [
            ("", "write ."),
            ("@type", "in quotes"),
            ("@topic", "@topic[1]"),
            ("$topic", "@topic[1]"),
            ("$a.b", "$.a"),
            ("^a", "^.a"),
            ("@key.a", "@key"),
            ("a..b", "without a name"),
            ("a[", "not closed"),
            ("a[x]", "a number"),
            ("a[\"b\"", "not closed"),
            ("a[0]b", "a dot"),
            ("a]", "in quotes"),
        ] {
            let fault = Path::parse(path).expect_err(path);
            assert!(fault.contains(word), "{path}: {fault}");
        }
        assert!(Path::parse(&"a.".repeat(70)).is_err());
    }
}
