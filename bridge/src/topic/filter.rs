//! One topic filter: its syntax (MQTT 4.7.1), whether it matches, and what it captures. Pure.

use std::fmt;

use super::{hides_from_wildcards, level_end};

/// Most captures of one filter.
pub const CAPTURES_MAX: usize = 16;
/// Longest filter, in bytes.
const FILTER_MAX_BYTES: usize = 1024;

/// An MQTT topic filter whose levels may be `{names}`: such a level matches any one level, as `+`
/// does, and keeps what it matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    levels: Vec<Wanted>,
    /// It ends in `#`.
    open: bool,
    captures: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Literal(Box<str>),
    Any,
    Capture,
}

/// One level of a filter as the standard has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level<'a> {
    Literal(&'a str),
    /// `+`
    Any,
    /// `#`
    Rest,
}

/// The levels of a filter, or what is wrong with them. A filter has at least one byte.
pub fn levels(filter: &str) -> impl Iterator<Item = Result<Level<'_>, FilterError>> {
    let mut rest = Some(filter);
    std::iter::from_fn(move || {
        let text = rest?;
        let (level, behind) = match text.split_once('/') {
            Some((level, behind)) => (level, Some(behind)),
            None => (text, None),
        };
        rest = behind;
        Some(match level {
            "#" if behind.is_none() => Ok(Level::Rest),
            "+" => Ok(Level::Any),
            _ if level.contains('#') => Err(FilterError::MultiLevel),
            _ if level.contains('+') => Err(FilterError::SingleLevel),
            _ => Ok(Level::Literal(level)),
        })
    })
}

/// Whether a text is a filter: not empty, and each wildcard alone in its place.
pub fn is_filter(text: &str) -> bool {
    !text.is_empty() && levels(text).all(|level| level.is_ok())
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("a filter has 1 to {FILTER_MAX_BYTES} bytes")]
    Length,
    #[error("`#` stands for the rest of a topic: write it alone in the last level")]
    MultiLevel,
    #[error("`+` stands for one whole level: write it alone between slashes")]
    SingleLevel,
    #[error(
        "`{0}`: write a capture as {{name}}, alone in its level, with letters, digits, `_` and `-`"
    )]
    Capture(String),
    #[error("`{{{0}}}` captures twice: give each capture a name of its own")]
    Twice(String),
    #[error("a filter has at most {CAPTURES_MAX} captures")]
    TooManyCaptures,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if text.is_empty() || text.len() > FILTER_MAX_BYTES {
            return Err(FilterError::Length);
        }
        let mut wanted = Vec::new();
        let mut captures: Vec<Box<str>> = Vec::new();
        let mut open = false;
        for level in levels(text) {
            match level? {
                Level::Rest => open = true,
                Level::Any => wanted.push(Wanted::Any),
                Level::Literal(level) if level.contains(['{', '}']) => {
                    let name = level.strip_prefix('{').and_then(|level| level.strip_suffix('}'));
                    let name = name.filter(|name| is_name(name));
                    let name = name.ok_or_else(|| FilterError::Capture(level.to_owned()))?;
                    if captures.iter().any(|known| **known == *name) {
                        return Err(FilterError::Twice(name.to_owned()));
                    }
                    if captures.len() == CAPTURES_MAX {
                        return Err(FilterError::TooManyCaptures);
                    }
                    captures.push(name.into());
                    wanted.push(Wanted::Capture);
                }
                Level::Literal(level) => wanted.push(Wanted::Literal(level.into())),
            }
        }
        Ok(Filter { text: text.into(), levels: wanted, open, captures })
    }

    /// The filter as clients write it, for [`super::trie::Trie`]: captures are `+`.
    pub fn pattern(&self) -> String {
        let levels = self.levels.iter().map(|level| match level {
            Wanted::Literal(literal) => literal,
            Wanted::Any | Wanted::Capture => "+",
        });
        levels.chain(self.open.then_some("#")).collect::<Vec<_>>().join("/")
    }

    /// What the topic's levels are, if it matches.
    #[inline]
    pub fn matches<'a>(&'a self, topic: &'a str) -> Option<Captures<'a>> {
        let mut captured = Captures { names: &self.captures, topic, spans: NO_SPANS };
        let mut next_capture = 0;
        let capture = |start: usize, end: usize| {
            // A topic is shorter than 64 KiB, as MQTT's lengths have two bytes.
            captured.spans[next_capture] = (start as u16, end as u16);
            next_capture += 1;
        };
        self.walk(topic, capture).then_some(captured)
    }

    /// Whether the topic matches.
    pub fn is_match(&self, topic: &str) -> bool {
        self.walk(topic, |_, _| {})
    }

    /// Compares level by level; `capture` gets the place of each captured one.
    #[inline]
    fn walk(&self, topic: &str, mut capture: impl FnMut(usize, usize)) -> bool {
        let topic = topic.as_bytes();
        // MQTT 4.7.2: a wildcard at the start does not match topics that start with `$`.
        let wild_start = !matches!(self.levels.first(), Some(Wanted::Literal(_)));
        if wild_start && hides_from_wildcards(topic) {
            return false;
        }
        // Where the next level starts; past the end when there is none.
        let mut start = 0;
        for level in &self.levels {
            if start > topic.len() {
                return false;
            }
            let end = level_end(topic, start);
            match level {
                Wanted::Literal(literal) if literal.as_bytes() == &topic[start..end] => {}
                Wanted::Literal(_) => return false,
                Wanted::Any => {}
                Wanted::Capture => capture(start, end),
            }
            start = end + 1;
        }
        // `#` also stands for no level at all.
        self.open || start > topic.len()
    }

    /// Names of its captures.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(|name| &**name)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A name of an attribute: letters, digits, `_` and `-`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

const NO_SPANS: [(u16, u16); CAPTURES_MAX] = [(0, 0); CAPTURES_MAX];

/// What a filter's captures matched: places in the topic.
#[derive(Clone, Copy, Debug)]
pub struct Captures<'a> {
    names: &'a [Box<str>],
    topic: &'a str,
    spans: [(u16, u16); CAPTURES_MAX],
}

impl<'a> Captures<'a> {
    pub const NONE: Captures<'static> = Captures { names: &[], topic: "", spans: NO_SPANS };

    /// What `name` matched; an empty level says nothing.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let index = self.names.iter().position(|known| **known == *name)?;
        Some(self.value(self.spans[index])).filter(|value| !value.is_empty())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.names.iter().zip(self.spans).map(|(name, span)| (&**name, self.value(span)))
    }

    fn value(&self, (start, end): (u16, u16)) -> &'a str {
        &self.topic[usize::from(start)..usize::from(end)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive;
    use super::*;

    fn captures(filter: &str, topic: &str) -> Option<Vec<(String, String)>> {
        let filter = Filter::parse(filter).expect("a filter");
        let found = filter.matches(topic)?;
        Some(found.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn the_default_route_tells_who_published() {
        let found =
            captures("devices/{device_type}/{device_id}/{stream}/#", "devices/meter/m-1/power/v1");
        let found = found.expect("it matches");
        assert_eq!(found[0], ("device_type".into(), "meter".into()));
        assert_eq!(found[1], ("device_id".into(), "m-1".into()));
        assert_eq!(found[2], ("stream".into(), "power".into()));
        assert!(captures("devices/{t}/{d}/{s}/#", "devices/meter/m-1/power").is_some());
        assert!(captures("devices/{t}/{d}/{s}/#", "devices/meter/m-1").is_none());
    }

    #[test]
    fn dollar_topics_are_hidden_from_a_leading_wildcard() {
        for filter in ["#", "+/x", "{a}/x"] {
            assert!(captures(filter, "$SYS/x").is_none(), "{filter}");
        }
        assert!(captures("$SYS/#", "$SYS/x").is_some());
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        let error = |text: &str| Filter::parse(text).expect_err("no filter");
        assert_eq!(error(""), FilterError::Length);
        assert_eq!(error("a/#/b"), FilterError::MultiLevel);
        assert_eq!(error("a#"), FilterError::MultiLevel);
        assert_eq!(error("a/b+"), FilterError::SingleLevel);
        assert_eq!(error("a/{b}c"), FilterError::Capture("{b}c".into()));
        assert_eq!(error("{a}/{a}"), FilterError::Twice("a".into()));
    }

    #[test]
    fn a_client_has_no_captures() {
        for filter in ["{a", "a/{b}c", "{a}/{a}", "}"] {
            assert!(is_filter(filter), "{filter}");
        }
        for no_filter in ["", "a/#/b", "a#", "#/", "a/b+", "++"] {
            assert!(!is_filter(no_filter), "{no_filter}");
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_standard(
            filter in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+", "{x}", "$s"]), 1..5),
            open in any::<bool>(),
            topic in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s"]), 1..5),
        ) {
            let mut filter = filter;
            if open { filter.push("#"); }
            prop_assume!(filter.iter().filter(|level| **level == "{x}").count() <= 1);
            let text = filter.join("/");
            prop_assume!(!text.is_empty());
            let parsed = Filter::parse(&text).expect("a filter");
            let topic = topic.join("/");
            prop_assert_eq!(parsed.matches(&topic).is_some(), naive(&text, &topic));
            prop_assert_eq!(parsed.is_match(&topic), naive(&text, &topic));
            let pattern = parsed.pattern();
            prop_assert_eq!(&pattern, &text.replace("{x}", "+"));
            prop_assert!(is_filter(&pattern));
        }

        #[test]
        fn captures_are_exactly_the_levels_in_their_places(
            levels in prop::collection::vec(("[^/+#{}$]{0,6}", 0..3_u8), 1..12),
            rest in prop::collection::vec("[^/]{0,4}", 0..3),
            open in any::<bool>(),
        ) {
            // Each level of the topic is asked for as it is, as `+`, or by a capture.
            let part = |(at, (level, kind)): (usize, &(String, u8))| match kind {
                0 => level.clone(),
                1 => "+".to_owned(),
                _ => format!("{{c{at}}}"),
            };
            let mut filter: Vec<String> = levels.iter().enumerate().map(part).collect();
            let mut topic: Vec<&str> = levels.iter().map(|(level, _)| level.as_str()).collect();
            if open {
                filter.push("#".to_owned());
                topic.extend(rest.iter().map(String::as_str));
            }
            let (filter, topic) = (filter.join("/"), topic.join("/"));
            prop_assume!(!filter.is_empty());
            let parsed = Filter::parse(&filter).expect("a filter");
            prop_assert_eq!(parsed.to_string(), &filter[..]);
            let found = parsed.matches(&topic);
            let found = found.expect("each level is as asked for");
            let captured: Vec<(String, &str)> = levels
                .iter()
                .enumerate()
                .filter(|(_, (_, kind))| *kind == 2)
                .map(|(at, (level, _))| (format!("c{at}"), level.as_str()))
                .collect();
            let pairs: Vec<(String, &str)> =
                found.iter().map(|(name, value)| (name.to_owned(), value)).collect();
            prop_assert_eq!(pairs, captured.clone());
            for (name, level) in captured {
                prop_assert_eq!(found.get(&name), Some(level).filter(|level| !level.is_empty()));
            }
            prop_assert_eq!(found.get("another"), None);
        }

        #[test]
        fn any_text_is_a_filter_or_a_fault(text in ".{0,40}", topic in ".{1,40}") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert!(is_filter(&text));
                prop_assert_eq!(filter.matches(&topic).is_some(), filter.is_match(&topic));
            }
        }
    }
}
