//! A topic filter with places that are filled in when it is asked, such as `devices/+/{identity}/#`: whether
//! it matches a topic, and what it has in common with a client's filter. Pure.
//!
//! What is put into a place comes from strangers. It is only ever compared with what stands in one level, as
//! text: it is no wildcard and spans no levels, whatever it is (CVE-2017-7650).

use super::filter::{FilterError, levels};
use super::{hides_from_wildcards, level_end};

/// Longest pattern, in bytes.
const PATTERN_MAX_BYTES: usize = 1024;
/// Most places of one pattern.
const PLACES_MAX: usize = 16;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Without what comes into the places.
    text: Box<str>,
    places: Box<[Place]>,
}

/// Where something is to be put in, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The byte of the text that it is before.
    at: u16,
    value: u8,
}

/// A pattern as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// A place for the value of this number.
    Value(u8),
}

/// What comes into a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(Stands<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands<'a> {
    Text(&'a str),
    /// For no text: a pattern with it matches nothing.
    Nothing,
    /// For every text.
    Anything,
}

impl<'a> Value<'a> {
    pub const NOTHING: Value<'static> = Value(Stands::Nothing);
    /// For what forbids: nobody gets around it by a name that cannot stand in a topic.
    pub const ANYTHING: Value<'static> = Value(Stands::Anything);

    /// None where the text cannot be what stands in a level.
    pub fn of(text: &'a str) -> Option<Value<'a>> {
        let is_level = !text.is_empty() && !text.contains(['/', '+', '#', '\0']);
        is_level.then_some(Value(Stands::Text(text)))
    }
}

/// Why this is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a topic filter has 1 to {PATTERN_MAX_BYTES} bytes")]
    Length,
    #[error("a topic filter has no NUL")]
    Nul,
    #[error("at most {PLACES_MAX} places can be filled in")]
    TooManyPlaces,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// One level of a pattern.
#[derive(Clone, Copy)]
enum Wanted<'p> {
    /// `#`
    Rest,
    /// `+`
    Any,
    Made(Made<'p>),
}

/// A level of text and places.
#[derive(Clone, Copy)]
struct Made<'p> {
    text: &'p [u8],
    /// Where the level starts and ends in the text.
    start: usize,
    end: usize,
    places: &'p [Place],
}

impl Pattern {
    pub fn new<'a>(pieces: impl IntoIterator<Item = Piece<'a>>) -> Result<Pattern, PatternError> {
        let (mut text, mut places) = (String::new(), Vec::new());
        // A place is as good as a letter: it may not stand beside a wildcard in a level.
        let mut lettered = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => {
                    text.push_str(piece);
                    lettered.push_str(piece);
                }
                Piece::Value(value) => {
                    let at = u16::try_from(text.len()).map_err(|_| PatternError::Length)?;
                    places.push(Place { at, value });
                    lettered.push('x');
                }
            }
            if lettered.len() > PATTERN_MAX_BYTES {
                return Err(PatternError::Length);
            }
        }
        if lettered.is_empty() {
            return Err(PatternError::Length);
        }
        if text.contains('\0') {
            return Err(PatternError::Nul);
        }
        if places.len() > PLACES_MAX {
            return Err(PatternError::TooManyPlaces);
        }
        for level in levels(&lettered) {
            level?;
        }
        Ok(Pattern { text: text.into(), places: places.into() })
    }

    /// Nothing has to be filled in.
    pub fn is_plain(&self) -> bool {
        self.places.is_empty()
    }

    /// The numbers of what has to be filled in.
    pub fn values(&self) -> impl Iterator<Item = u8> {
        self.places.iter().map(|place| place.value)
    }

    /// The filter that matches whatever this may match, for [`super::trie::Trie`]: levels with places are
    /// `+`.
    pub fn widest(&self) -> String {
        let level = |wanted| match wanted {
            Wanted::Rest => "#",
            Wanted::Any => "+",
            Wanted::Made(made) if !made.places.is_empty() => "+",
            Wanted::Made(made) => &self.text[made.start..made.end],
        };
        self.levels().map(level).collect::<Vec<_>>().join("/")
    }

    /// Whether the topic matches, with what `value` says for each place.
    pub fn matches<'v>(&self, topic: &str, value: impl Fn(u8) -> Value<'v>) -> bool {
        let topic = topic.as_bytes();
        if self.is_void(&value) || self.begins_wild() && hides_from_wildcards(topic) {
            return false;
        }
        // Where the next level starts; past the end when there is none.
        let mut start = 0;
        for wanted in self.levels() {
            // `#` also stands for no level at all.
            if matches!(wanted, Wanted::Rest) {
                return true;
            }
            if start > topic.len() {
                return false;
            }
            let end = level_end(topic, start);
            if let Wanted::Made(made) = wanted
                && !made.is(&topic[start..end], &value)
            {
                return false;
            }
            start = end + 1;
        }
        start > topic.len()
    }

    /// Whether every topic that the client's filter matches is one of its own.
    pub fn contains<'v>(&self, filter: &str, value: impl Fn(u8) -> Value<'v>) -> bool {
        if self.is_void(&value) || self.begins_wild() && hides_from_wildcards(filter.as_bytes()) {
            return false;
        }
        // Each topic has a first level.
        if &*self.text == "+/#" && self.is_plain() {
            return true;
        }
        let mut theirs = filter.split('/');
        for wanted in self.levels() {
            match (wanted, theirs.next()) {
                (Wanted::Rest, _) => return true,
                (_, None | Some("#")) => return false,
                (Wanted::Any, Some(_)) => {}
                (Wanted::Made(_), Some("+")) => return false,
                (Wanted::Made(made), Some(level)) => {
                    if !made.is(level.as_bytes(), &value) {
                        return false;
                    }
                }
            }
        }
        theirs.next().is_none()
    }

    /// Whether some topic that the client's filter matches is one of its own.
    pub fn overlaps<'v>(&self, filter: &str, value: impl Fn(u8) -> Value<'v>) -> bool {
        let theirs_begins_wild = filter.starts_with(['+', '#']);
        let hides = self.begins_wild() && hides_from_wildcards(filter.as_bytes())
            || theirs_begins_wild && hides_from_wildcards(self.text.as_bytes());
        if self.is_void(&value) || hides {
            return false;
        }
        let (mut ours, mut theirs) = (self.levels(), filter.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (Some(Wanted::Rest), _) | (_, Some("#")) | (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(Wanted::Any), Some(_)) | (Some(Wanted::Made(_)), Some("+")) => {}
                (Some(Wanted::Made(made)), Some(level)) => {
                    if !made.is(level.as_bytes(), &value) {
                        return false;
                    }
                }
            }
        }
    }

    /// Whether it matches whatever the other does, with the same values in both.
    pub fn covers(&self, other: &Pattern) -> bool {
        if self.begins_wild() && !other.begins_wild() && hides_from_wildcards(other.text.as_bytes())
        {
            return false;
        }
        if &*self.text == "+/#" && self.is_plain() {
            return true;
        }
        let mut theirs = other.levels();
        for wanted in self.levels() {
            match (wanted, theirs.next()) {
                (Wanted::Rest, _) => return true,
                (_, None | Some(Wanted::Rest)) => return false,
                (Wanted::Any, Some(_)) => {}
                (Wanted::Made(_), Some(Wanted::Any)) => return false,
                (Wanted::Made(own), Some(Wanted::Made(their))) => {
                    if !own.is_the_same_as(&their) {
                        return false;
                    }
                }
            }
        }
        theirs.next().is_none()
    }

    /// A place gets nothing that could stand there.
    fn is_void<'v>(&self, value: &impl Fn(u8) -> Value<'v>) -> bool {
        self.places.iter().any(|place| value(place.value) == Value::NOTHING)
    }

    /// Its first level is a wildcard, or has a place: it leaves topics alone that start with `$` (4.7.2).
    fn begins_wild(&self) -> bool {
        match self.levels().next() {
            Some(Wanted::Made(made)) => !made.places.is_empty(),
            _ => true,
        }
    }

    fn levels(&self) -> impl Iterator<Item = Wanted<'_>> {
        let text = self.text.as_bytes();
        let (mut start, mut rest) = (0, &self.places[..]);
        std::iter::from_fn(move || {
            if start > text.len() {
                return None;
            }
            let end = level_end(text, start);
            let here = rest.iter().take_while(|place| usize::from(place.at) <= end).count();
            let (places, behind) = rest.split_at(here);
            rest = behind;
            let wanted = match &text[start..end] {
                b"#" if places.is_empty() => Wanted::Rest,
                b"+" if places.is_empty() => Wanted::Any,
                _ => Wanted::Made(Made { text, start, end, places }),
            };
            start = end + 1;
            Some(wanted)
        })
    }
}

impl Made<'_> {
    /// Whether a level is this one, with what `value` says for each place.
    fn is<'v>(&self, level: &[u8], value: &impl Fn(u8) -> Value<'v>) -> bool {
        let (mut level, mut from) = (level, self.start);
        for place in self.places {
            let before = &self.text[from..place.at.into()];
            let Some(rest) = level.strip_prefix(before) else { return false };
            let rest = match value(place.value).0 {
                Stands::Text(text) => rest.strip_prefix(text.as_bytes()),
                Stands::Nothing => None,
                Stands::Anything => return true,
            };
            let Some(rest) = rest else { return false };
            (level, from) = (rest, place.at.into());
        }
        level == &self.text[from..self.end]
    }

    fn is_the_same_as(&self, other: &Made<'_>) -> bool {
        self.text[self.start..self.end] == other.text[other.start..other.end]
            && self.places_within().eq(other.places_within())
    }

    /// Its places, from the start of the level on.
    fn places_within(&self) -> impl Iterator<Item = (usize, u8)> {
        self.places.iter().map(|place| (usize::from(place.at) - self.start, place.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive;
    use super::*;

    /// `{0}` to `{9}` are places.
    fn pattern(text: &str) -> Result<Pattern, PatternError> {
        let mut pieces = Vec::new();
        for piece in text.split('{') {
            match piece.split_once('}') {
                Some((value, behind)) => {
                    pieces.push(Piece::Value(value.parse().expect("a number")));
                    pieces.push(Piece::Text(behind));
                }
                None => pieces.push(Piece::Text(piece)),
            }
        }
        Pattern::new(pieces)
    }

    fn made(text: &str) -> Pattern {
        pattern(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn none(_: u8) -> Value<'static> {
        Value::NOTHING
    }

    /// What a client can be called, dangerous or not, for an allowing pattern.
    fn called<'n>(name: &'n str) -> impl Fn(u8) -> Value<'n> {
        move |_| Value::of(name).unwrap_or(Value::NOTHING)
    }

    #[test]
    fn a_place_is_a_level_of_its_own_or_a_part_of_one() {
        for (text, name, topic, expected) in [
            ("devices/+/{0}/#", "m-1", "devices/meter/m-1/power", true),
            ("devices/+/{0}/#", "m-1", "devices/meter/m-1", true),
            ("devices/+/{0}/#", "m-1", "devices/meter/m-10/power", false),
            ("devices/+/{0}/#", "m-10", "devices/meter/m-1/power", false),
            ("dev-{0}-x/a", "7", "dev-7-x/a", true),
            ("dev-{0}-x/a", "7", "dev-77-x/a", false),
            ("{0}{1}", "a", "aa", true),
            ("{0}{1}", "a", "a", false),
            ("{0}", "a", "a", true),
            ("a/{0}", "a", "a/", false),
            ("a/{0}/", "b", "a/b/", true),
            ("/{0}", "b", "/b", true),
            ("a/#", "b", "a", true),
            ("a/+", "b", "a", false),
            ("#", "b", "$SYS/a", false),
            ("{0}/#", "$SYS", "$SYS/a", false),
            ("$SYS/{0}/#", "b", "$SYS/b/c", true),
        ] {
            let matches = made(text).matches(topic, called(name));
            assert_eq!(matches, expected, "{text} for {name} and {topic}");
        }
    }

    /// CVE-2017-7650, and what is like it.
    #[test]
    fn what_a_client_is_called_widens_nothing() {
        for name in ["+", "#", "", "a/b", "a/#", "\0", "a+", "/", "b#", "+/+"] {
            assert_eq!(Value::of(name), None, "{name:?}");
            for text in ["devices/{0}/#", "devices/{0}", "{0}", "x{0}/y", "devices/{0}/{0}"] {
                let pattern = made(text);
                for topic in
                    ["devices/a/b", "devices/b", "devices/", "a", "xa/y", "devices/+", name]
                {
                    assert!(
                        !pattern.matches(topic, called(name)),
                        "{text} for {name:?} and {topic}"
                    );
                }
                for filter in ["devices/+/b", "devices/#", "#", "+", "devices/+"] {
                    assert!(!pattern.contains(filter, called(name)), "{text}, {name:?}, {filter}");
                    assert!(!pattern.overlaps(filter, called(name)), "{text}, {name:?}, {filter}");
                }
            }
        }
    }

    #[test]
    fn who_is_forbidden_something_is_so_by_every_name() {
        let secret = made("devices/{0}/secret");
        let forbid = |_| Value::ANYTHING;
        assert!(
            secret.matches("devices/a/secret", forbid)
                && secret.overlaps("devices/+/secret", forbid)
        );
        assert!(
            !secret.matches("devices/a/other", forbid) && !secret.overlaps("devices/a/b", forbid)
        );
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["", "a/#/b", "a+/b", "+{0}", "{0}#", "a/{0}+/b", "a#", "\0a"] {
            assert!(pattern(text).is_err(), "{text:?}");
        }
        assert_eq!(pattern(&"a".repeat(PATTERN_MAX_BYTES + 1)), Err(PatternError::Length));
        assert_eq!(pattern(&"{0}".repeat(17)), Err(PatternError::TooManyPlaces));
        assert_eq!(made("a/{0}/b{1}/+/#").widest(), "a/+/+/+/#");
    }

    #[test]
    fn one_pattern_covers_another_by_the_levels_of_both() {
        for (wide, narrow, expected) in [
            ("#", "a/{0}", true),
            ("+/#", "#", true),
            ("#", "$SYS/a", false),
            ("a/+", "a/{0}", true),
            ("a/{0}", "a/+", false),
            ("a/{0}/#", "a/{0}/b", true),
            ("a/{0}", "a/{1}", false),
            ("a/x{0}", "a/{0}x", false),
            ("b/{0}", "bcd/{0}", false),
            ("a/#", "a", true),
            ("a", "a/#", false),
        ] {
            assert_eq!(made(wide).covers(&made(narrow)), expected, "{wide} and {narrow}");
        }
    }

    /// Topics of up to four levels are enough to tell filters of up to three apart. The empty one is none, and
    /// is compared like any other.
    fn topics() -> Vec<String> {
        const LEVELS: [&str; 5] = ["a", "b", "", "$s", "other"];
        let mut all: Vec<String> = LEVELS.map(str::to_owned).into();
        let mut last = all.clone();
        for _ in 0..3 {
            last = last
                .iter()
                .flat_map(|topic| LEVELS.map(|level| format!("{topic}/{level}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "", "+", "$s"]);
        (prop::collection::vec(level, 0..4), any::<bool>())
            .prop_map(|(mut levels, open)| {
                levels.extend(open.then_some("#"));
                levels.join("/")
            })
            .prop_filter("a filter is not empty", |filter| !filter.is_empty())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Against all topics, tried one by one.
        #[test]
        fn it_agrees_with_the_standard(ours in filter(), theirs in filter()) {
            let pattern = made(&ours);
            let (mut all, mut some) = (true, false);
            for topic in topics() {
                let own = pattern.matches(&topic, none);
                prop_assert_eq!(own, naive(&ours, &topic), "{} and {}", ours, topic);
                if naive(&theirs, &topic) {
                    all &= own;
                    some |= own;
                }
            }
            prop_assert_eq!(pattern.contains(&theirs, none), all, "{} contains {}", ours, theirs);
            prop_assert_eq!(pattern.overlaps(&theirs, none), some, "{} overlaps {}", ours, theirs);
            prop_assert_eq!(pattern.covers(&made(&theirs)), all, "{} covers {}", ours, theirs);
        }

        /// A level with a place is the level with its text.
        #[test]
        fn a_place_is_its_text(ours in filter(), theirs in filter(), topic in "[ab$s/]{1,8}") {
            let plain = made(&ours);
            let levels: Vec<&str> = ours.split('/').collect();
            // What is at the start leaves `$` alone, which text does not.
            let placed = levels.iter().enumerate().map(|(at, level)| match *level {
                "a" if at > 0 => "{0}",
                other => other,
            });
            let placed = made(&placed.collect::<Vec<_>>().join("/"));
            prop_assert_eq!(plain.matches(&topic, none), placed.matches(&topic, called("a")));
            prop_assert_eq!(plain.contains(&theirs, none), placed.contains(&theirs, called("a")));
            prop_assert_eq!(plain.overlaps(&theirs, none), placed.overlaps(&theirs, called("a")));
        }
    }
}
