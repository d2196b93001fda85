//! The place of a payload that a failure is about, as people look at it: its line, and a mark below. Pure.

use bridge::text::escape;

/// Bytes that are shown in front of the place, and behind it.
const AROUND_BYTES: usize = 50;

/// A line of a payload with a place in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line around the place, without what a terminal would obey.
    pub text: String,
    /// Characters of it in front of the place.
    pub before: usize,
}

impl Excerpt {
    pub fn of(payload: &[u8], at: usize) -> Excerpt {
        let at = at.min(payload.len());
        let is_end = |byte: &u8| *byte == b'\n';
        let start = payload[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = payload[at..].iter().position(is_end).map_or(payload.len(), |length| at + length);
        let is_inside = |at: usize| payload.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let mut from = start.max(at.saturating_sub(AROUND_BYTES));
        while from < at && from > start && is_inside(from) {
            from += 1;
        }
        let mut to = end.min(at.saturating_add(AROUND_BYTES));
        while to > at && to < end && is_inside(to) {
            to -= 1;
        }
        let shown = |bytes: &[u8]| escape(&String::from_utf8_lossy(bytes));
        let dots = |is_cut: bool| if is_cut { "…" } else { "" };
        let before = format!("{}{}", dots(from > start), shown(&payload[from..at]));
        let text = format!("{before}{}{}", shown(&payload[at..to]), dots(to < end));
        Excerpt {
            line: payload[..start].iter().filter(|byte| is_end(byte)).count() + 1,
            column: String::from_utf8_lossy(&payload[start..at]).chars().count() + 1,
            text,
            before: before.chars().count(),
        }
    }

    /// The line, and the mark below it.
    pub fn lines(&self) -> [String; 2] {
        [self.text.clone(), format!("{}^", " ".repeat(self.before))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_its_line() {
        let payload = "{\"a\":1}\n{\"ü\":x}\n".as_bytes();
        let at = payload.iter().position(|byte| *byte == b'x').expect("it is there");
        let excerpt = Excerpt::of(payload, at);
        assert_eq!((excerpt.line, excerpt.column), (2, 6));
        assert_eq!(excerpt.lines(), ["{\"ü\":x}", "     ^"]);
        // Where it ends early.
        assert_eq!(Excerpt::of(b"{\"a\":", 5).lines(), ["{\"a\":", "     ^"]);
        assert_eq!(Excerpt::of(b"a\n", 2).lines(), ["", "^"]);
        assert_eq!(Excerpt::of(b"", 7).lines(), ["", "^"]);
    }

    #[test]
    fn of_a_long_line_what_is_around_is_shown() {
        let payload = format!("{}x{}", "ü".repeat(100), "ü".repeat(100));
        let excerpt = Excerpt::of(payload.as_bytes(), 200);
        assert_eq!(excerpt.text, format!("…{}x{}…", "ü".repeat(25), "ü".repeat(24)));
        assert_eq!((excerpt.column, excerpt.before), (101, 26));
    }

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let excerpt = Excerpt::of(b"\x1b[2J\xff\0x", 6);
        assert_eq!(excerpt.text, "\\u{1b}[2J\u{fffd}\\u{0}x");
        assert!(excerpt.text.chars().nth(excerpt.before) == Some('x') || excerpt.before > 0);
    }
}
