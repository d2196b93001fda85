//! The way to a payload's records: along a path through objects and lists, one record or many, each with
//! what is around it. Pure.

use crate::facts::Facts;
use crate::failure::{Failure, Reason};
use crate::json::{Json, Kind};
use crate::path::{Origin, Path, Scope, Step};

/// Where the records of a document are.
#[derive(Clone, Debug)]
pub struct Records {
    path: Path,
}

impl Records {
    /// A path from the document's root on.
    pub fn parse(text: &str) -> Result<Records, String> {
        let path = Path::parse(text)?;
        match path.origin {
            Origin::Record | Origin::Payload => Ok(Records { path }),
            _ => Err(format!("{text:?}: the way to the records begins at the payload's root")),
        }
    }

    /// The keys that lead to a list whose elements are the records; None where the way is any other.
    pub fn keys_to_list(&self) -> Option<Vec<Box<str>>> {
        let (last, names) = self.path.steps.split_last()?;
        let name = |step: &Step| match step {
            Step::Name(name) => Some(name.clone()),
            _ => None,
        };
        (*last == Step::Each).then(|| names.iter().map(name).collect()).flatten()
    }

    /// Visits each record, in the payload's order. A list that is empty, or null, has none; a way that
    /// leads nowhere is a failure, except behind a `[]` or `*`: there others may have what one has not.
    pub fn visit<'s, 'a>(
        &self,
        payload: &'s Json<'a>,
        facts: &'s Facts<'s>,
        visitor: &mut dyn FnMut(&Scope<'_, 'a>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut walk =
            Walk { payload, facts, parents: Vec::new(), keys: Vec::new(), index: None, visitor };
        walk.go(payload, &self.path.steps, &self.path, false)
    }
}

struct Walk<'s, 'a, 'v> {
    payload: &'s Json<'a>,
    facts: &'s Facts<'s>,
    parents: Vec<&'s Json<'a>>,
    keys: Vec<&'s str>,
    index: Option<u64>,
    visitor: &'v mut dyn FnMut(&Scope<'_, 'a>) -> Result<(), Failure>,
}

impl<'s, 'a> Walk<'s, 'a, '_> {
    /// Recursive by the steps of the path, which are few.
    fn go(
        &mut self,
        value: &'s Json<'a>,
        steps: &[Step],
        path: &Path,
        is_among_many: bool,
    ) -> Result<(), Failure> {
        let Some((step, rest)) = steps.split_first() else {
            return (self.visitor)(&Scope {
                record: value,
                payload: self.payload,
                parents: &self.parents,
                keys: &self.keys,
                index: self.index,
                facts: self.facts,
            });
        };
        match (step, &value.kind) {
            (Step::Name(_) | Step::Element(_), _) => {
                let next = match step {
                    Step::Name(name) => value.get(name),
                    Step::Element(index) => value.element(*index),
                    Step::Each | Step::Any => None,
                };
                match next {
                    Some(next) => {
                        let is_object = self.enter(value);
                        let gone = self.go(next, rest, path, is_among_many);
                        self.leave(is_object);
                        gone
                    }
                    None if is_among_many => Ok(()),
                    None => Err(missing(path, value)),
                }
            }
            (Step::Each, Kind::List(items)) => {
                let outer = self.index;
                for (index, item) in items.iter().enumerate() {
                    self.index = Some(index as u64);
                    self.go(item, rest, path, true)?;
                }
                self.index = outer;
                Ok(())
            }
            // One record where there could be many.
            (Step::Each, kind) if !matches!(kind, Kind::Null) => {
                self.go(value, rest, path, is_among_many)
            }
            (Step::Any, Kind::Map(entries)) => {
                self.parents.push(value);
                for entry in entries {
                    self.keys.push(&entry.key);
                    self.go(&entry.value, rest, path, true)?;
                    self.keys.pop();
                }
                self.parents.pop();
                Ok(())
            }
            (Step::Each | Step::Any, Kind::Null) => Ok(()),
            (Step::Each | Step::Any, _) if is_among_many => Ok(()),
            (Step::Each | Step::Any, _) => Err(missing(path, value)),
        }
    }

    fn enter(&mut self, value: &'s Json<'a>) -> bool {
        let is_object = matches!(value.kind, Kind::Map(_));
        if is_object {
            self.parents.push(value);
        }
        is_object
    }

    fn leave(&mut self, is_object: bool) {
        if is_object {
            self.parents.pop();
        }
    }
}

fn missing(path: &Path, value: &Json<'_>) -> Failure {
    let detail = format!("the way to the records, {path}, ends at {}", value.describe());
    let failure = Failure::new(Reason::RecordsMissing, detail);
    match value.place() {
        Some(at) => failure.at(at),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::reader::{Duplicates, Rules, read};
    use crate::path::Found;

    const FACTS: Facts<'_> =
        Facts { topic: "t", received_ms: 0, device_id: "d", verified: false, attributes: &[] };

    fn visited(path: &str, text: &str, seen: &[&str]) -> Result<Vec<String>, Reason> {
        let rules =
            Rules { depth: 9, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };
        let payload = read(text, &rules).expect("JSON");
        let paths: Vec<Path> = seen.iter().map(|path| Path::parse(path).expect("a path")).collect();
        let mut records = Vec::new();
        let visit = &mut |scope: &Scope<'_, '_>| {
            let word = |path: &Path| match path.find(scope) {
                Some(Found::One(Json { kind: Kind::Number(text), .. })) => text.to_string(),
                Some(Found::Word(word)) => word.to_owned(),
                Some(Found::Number(number)) => number.to_string(),
                _ => "-".to_owned(),
            };
            records.push(paths.iter().map(word).collect::<Vec<_>>().join(" "));
            Ok(())
        };
        let records_path = Records::parse(path).expect("a path");
        records_path.visit(&payload, &FACTS, visit).map_err(|failure| failure.reason)?;
        Ok(records)
    }

    #[test]
    fn records_are_one_or_many() {
        for (path, text, seen) in [
            (".", r#"{"v":1}"#, &["1"][..]),
            ("[]", r#"[{"v":1},{"v":2}]"#, &["1", "2"]),
            ("[]", r#"{"v":1}"#, &["1"]),
            ("a.b[]", r#"{"a":{"b":[{"v":1},{"v":2}]}}"#, &["1", "2"]),
            ("a.b[]", r#"{"a":{"b":{"v":1}}}"#, &["1"]),
            ("a[].b[]", r#"{"a":[{"b":[{"v":1}]},{},{"b":[{"v":2}]}]}"#, &["1", "2"]),
            ("[][]", r#"[[{"v":1}],[{"v":2},{"v":3}]]"#, &["1", "2", "3"]),
            ("*", r#"{"x":{"v":1},"y":{"v":2}}"#, &["1", "2"]),
            ("*[]", r#"{"x":[{"v":1},{"v":2}],"y":[]}"#, &["1", "2"]),
            ("a[1]", r#"{"a":[{"v":1},{"v":2}]}"#, &["2"]),
            ("a[]", r#"{"a":[]}"#, &[]),
            ("a[]", r#"{"a":null}"#, &[]),
        ] {
            assert_eq!(visited(path, text, &["v"]).expect(path), seen, "{path} {text}");
        }
        for (path, text) in [("a[]", "{}"), ("a.b", r#"{"a":1}"#), ("*", "[1]"), ("a", "3")] {
            assert_eq!(visited(path, text, &[]), Err(Reason::RecordsMissing), "{path} {text}");
        }
    }

    #[test]
    fn what_is_around_a_record_is_reachable() {
        let text = r#"{"u":1,"site":{"n":2,"lines":[{"m":3,"at":[{"v":4},{"v":5}]}]}}"#;
        let seen = ["v", "^.m", "^^.n", "^^^.u", "$.u", "@index"];
        assert_eq!(
            visited("site.lines[].at[]", text, &seen),
            Ok(vec!["4 3 2 1 1 0".to_owned(), "5 3 2 1 1 1".to_owned()])
        );
        let text = r#"{"a":{"b":{"v":1}},"c":{"d":{"v":2}}}"#;
        assert_eq!(
            visited("*.*", text, &["v", "@key", "@key[0]"]),
            Ok(vec!["1 b a".to_owned(), "2 d c".to_owned()])
        );
    }
}
