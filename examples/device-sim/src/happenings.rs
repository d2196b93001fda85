//! The last notable things of a run, for people: what happens again is one of them, with how often. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use unicode_width::UnicodeWidthChar as _;

/// How many are kept.
const KEPT: usize = 12;
/// Characters of one: what a gateway says may be long.
const TEXT_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The last time, since the run began.
    pub at: Duration,
    pub text: String,
    /// The device that it happened to the last time, where it is not about all.
    pub device: Option<String>,
    pub times: u64,
}

/// See the module.
#[derive(Default)]
pub struct Happenings(VecDeque<Happening>);

impl Happenings {
    pub fn note(&mut self, at: Duration, text: &str, device: Option<&str>) {
        let (text, device) = (harmless(text), device.map(harmless));
        let known = self.0.iter().position(|known| known.text == text);
        let times = known.and_then(|place| self.0.remove(place)).map_or(1, |known| known.times + 1);
        self.0.truncate(KEPT - 1);
        self.0.push_front(Happening { at, text, device, times });
    }

    /// The newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Happening> {
        self.0.iter()
    }
}

/// The text of a stranger, without characters that a terminal might obey and those that have no width: they
/// turn the order of what is around them.
pub fn harmless(text: &str) -> String {
    let shown = |one: char| if one.width().is_none_or(|width| width == 0) { '?' } else { one };
    text.chars().take(TEXT_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_is_counted_and_newest() {
        let mut happenings = Happenings::default();
        let second = Duration::from_secs;
        happenings.note(second(1), "lost", Some("a"));
        happenings.note(second(2), "refused", Some("b"));
        happenings.note(second(3), "lost", Some("c"));
        let newest: Vec<_> = happenings.newest().collect();
        assert_eq!((newest.len(), newest[0].times, newest[0].at), (2, 2, second(3)));
        assert_eq!(newest[0].device.as_deref(), Some("c"));
        for number in 0..100 {
            happenings.note(second(4), &number.to_string(), None);
        }
        assert_eq!(happenings.newest().count(), KEPT);
        assert_eq!(happenings.newest().next().unwrap().text, "99");
    }

    #[test]
    fn what_strangers_say_moves_no_cursor() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n\u{202e}é🚜\u{9b}"), "a?[2Jb???é🚜?");
        assert_eq!(harmless(&"x".repeat(10_000)).len(), TEXT_MAX);
    }
}
