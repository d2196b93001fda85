//! MQTT's topics (4.7): levels between slashes, filters that ask for them, and many filters at once.

pub mod filter;
pub mod pattern;
pub mod trie;

/// The last level of a topic.
pub fn last_level(topic: &str) -> &str {
    let start = topic.as_bytes().iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    &topic[start..]
}

/// Whether a wildcard in a filter's first level leaves the topic alone (4.7.2).
fn hides_from_wildcards(topic: &[u8]) -> bool {
    topic.first() == Some(&b'$')
}

/// Where the level that starts at `start` ends. Levels are short: a plain loop is the fastest.
#[inline]
fn level_end(text: &[u8], start: usize) -> usize {
    let rest = &text[start..];
    start + rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len())
}

/// The standard's rules said plainly, for tests: may a filter's levels be these of a topic?
#[cfg(test)]
fn naive(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", [])), _) | (None, None) => true,
            (Some((level, filter)), Some((part, topic))) => {
                let is_any = *level == "+" || level.starts_with('{');
                (is_any || level == part) && levels(filter, topic)
            }
            _ => false,
        }
    }
    let hidden = topic.starts_with('$') && filter.starts_with(['+', '#', '{']);
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    !hidden && levels(&filter, &topic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_naive_matcher_is_the_standards() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("+/+", "/b", true),
            ("+", "/b", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
            ("a//b", "a//b", true),
            ("ä/#", "ä/b", true),
            ("A", "a", false),
        ] {
            assert_eq!(naive(filter, topic), expected, "{filter} and {topic}");
        }
    }

    proptest! {
        #[test]
        fn the_last_level_is_behind_the_last_slash(topic in "[a-z/é]{0,20}") {
            prop_assert_eq!(Some(last_level(&topic)), topic.rsplit('/').next());
        }
    }
}
