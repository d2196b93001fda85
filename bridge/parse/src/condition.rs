//! Conditions on what a payload holds: which records are data, and whether a device's clock was right. Pure.

use crate::path::{Path, Scope};
use crate::word::{Words, text_of};

/// One condition. All that it says has to hold.
#[derive(Clone, Debug)]
pub struct Condition {
    pub path: Path,
    /// What is there is one of these.
    pub equals: Option<Words>,
    /// What is there is none of these.
    pub unlike: Option<Words>,
    /// Whether something is there; null is something.
    pub exists: Option<bool>,
}

impl Condition {
    pub fn holds(&self, scope: &Scope<'_, '_>) -> bool {
        let found = self.path.find(scope);
        if self.exists.is_some_and(|exists| exists != found.is_some()) {
            return false;
        }
        let text = found.as_ref().and_then(text_of);
        let is_one = |words: &Words| text.as_deref().is_some_and(|text| words.holds(text));
        self.equals.as_ref().is_none_or(is_one) && !self.unlike.as_ref().is_some_and(is_one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::json::reader::{Duplicates, Rules, read};

    #[test]
    fn conditions_look_at_what_is_there() {
        let rules =
            Rules { depth: 9, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };
        let payload = read(r#"{"t":"location","n":1.0,"z":null,"l":[]}"#, &rules).expect("JSON");
        let facts =
            Facts { topic: "a/b", received_ms: 0, device_id: "d", verified: true, attributes: &[] };
        let scope = Scope {
            record: &payload,
            payload: &payload,
            parents: &[],
            keys: &[],
            index: None,
            facts: &facts,
        };
        let words = |words: &[&str]| {
            Some(Words::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()))
        };
        let condition = |path: &str| Condition {
            path: Path::parse(path).expect("a path"),
            equals: None,
            unlike: None,
            exists: None,
        };
        for (condition, holds) in [
            (Condition { equals: words(&["location", "x"]), ..condition("t") }, true),
            (Condition { equals: words(&["lwt"]), ..condition("t") }, false),
            (Condition { equals: words(&["1"]), ..condition("n") }, true),
            (Condition { equals: words(&["1"]), ..condition("none") }, false),
            (Condition { unlike: words(&["lwt"]), ..condition("t") }, true),
            (Condition { unlike: words(&["location"]), ..condition("t") }, false),
            (Condition { unlike: words(&["lwt"]), ..condition("none") }, true),
            (Condition { exists: Some(true), ..condition("z") }, true),
            (Condition { exists: Some(false), ..condition("none") }, true),
            (Condition { exists: Some(false), ..condition("l") }, false),
            (Condition { equals: words(&["b"]), ..condition("@topic[-1]") }, true),
        ] {
            assert_eq!(condition.holds(&scope), holds, "{condition:?}");
        }
    }
}
