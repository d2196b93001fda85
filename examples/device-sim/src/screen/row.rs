//! A row of the screen: pieces of text, each in a style, in columns of a known width. Pure.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What a piece of text is, and not how it looks: that is the terminal's colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Strong,
    Faint,
    Good,
    Notice,
    Bad,
}

impl Style {
    /// The numbers of SGR (ECMA-48, 8.3.117). Without colours, what matters is still bold.
    fn codes(self, colours: bool) -> &'static str {
        match (self, colours) {
            (Style::Plain, _) | (Style::Good, false) => "",
            (Style::Strong | Style::Notice | Style::Bad, false) | (Style::Strong, true) => "1",
            (Style::Faint, _) => "2",
            (Style::Good, true) => "32",
            (Style::Notice, true) => "33",
            (Style::Bad, true) => "1;31",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(Vec<(String, Style)>);

impl Row {
    pub fn new() -> Row {
        Row::default()
    }

    pub fn with(mut self, text: impl Into<String>, style: Style) -> Row {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((text, style));
        }
        self
    }

    /// In a column of this width, at its left.
    pub fn left(self, text: &str, width: usize, style: Style) -> Row {
        let (text, taken) = fitting(text, width);
        self.with(text, style).with(" ".repeat(width - taken), Style::Plain)
    }

    /// In a column of this width, at its right.
    pub fn right(self, text: &str, width: usize, style: Style) -> Row {
        let (text, taken) = fitting(text, width);
        self.with(" ".repeat(width - taken), Style::Plain).with(text, style)
    }

    pub fn and(mut self, other: Row) -> Row {
        self.0.extend(other.0);
        self
    }

    pub fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    /// As wide as this, with `end` at its right end as far as there is room for it.
    pub fn ending(self, end: Row, width: usize) -> Row {
        let room = width.saturating_sub(end.width());
        if self.width() + 1 > room {
            return self.cut(width);
        }
        let gap = room - self.width();
        self.with(" ".repeat(gap), Style::Plain).and(end)
    }

    /// At most this wide.
    pub fn cut(self, width: usize) -> Row {
        let mut left = width;
        let mut cut = Row::new();
        for (text, style) in self.0 {
            let (text, taken) = fitting(&text, left);
            cut = cut.with(text, style);
            left -= taken;
        }
        cut
    }

    /// What it says.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// As a terminal draws it.
    pub fn paint(&self, colours: bool, out: &mut String) {
        for (text, style) in &self.0 {
            match style.codes(colours) {
                "" => out.push_str(text),
                codes => {
                    out.push_str("\x1b[");
                    out.push_str(codes);
                    out.push('m');
                    out.push_str(text);
                    out.push_str("\x1b[0m");
                }
            }
        }
    }
}

/// The text, or what of it has room with a mark that it goes on; and how wide that is.
fn fitting(text: &str, width: usize) -> (String, usize) {
    let whole = text.width();
    if whole <= width {
        return (text.to_owned(), whole);
    }
    let (mut fitting, mut taken) = (String::new(), 0);
    for one in text.chars() {
        let wide = one.width().unwrap_or(0);
        if taken + wide + 1 > width {
            break;
        }
        fitting.push(one);
        taken += wide;
    }
    if width > 0 {
        fitting.push('…');
        taken += 1;
    }
    (fitting, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_keep_their_width() {
        let row = |text: &str| Row::new().left(text, 6, Style::Plain).right(text, 6, Style::Bad);
        assert_eq!(row("ab").text(), "ab        ab");
        assert_eq!(row("abcdefg").text(), "abcde…abcde…");
        for text in
            ["", "🚜🚜🚜🚜", "é", "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}"]
        {
            assert_eq!(row(text).width(), 12, "{text}");
        }
        for width in 0..15 {
            assert!(row("🚜🚜🚜🚜").cut(width).width() <= width, "{width}");
        }
        let end = || Row::new().with("end", Style::Faint);
        assert_eq!(Row::new().with("begin", Style::Plain).ending(end(), 10).text(), "begin  end");
        assert_eq!(Row::new().with("begin", Style::Plain).ending(end(), 8).text(), "begin");
    }

    #[test]
    fn without_colours_there_are_none() {
        let row =
            [Style::Plain, Style::Strong, Style::Faint, Style::Good, Style::Notice, Style::Bad];
        let row = row.into_iter().fold(Row::new(), |row, style| row.with("x", style));
        let painted = |colours| {
            let mut out = String::new();
            row.paint(colours, &mut out);
            out
        };
        assert!(painted(true).contains("\x1b[32m"));
        assert!(!painted(false).contains("\x1b[3"), "{:?}", painted(false));
    }
}
