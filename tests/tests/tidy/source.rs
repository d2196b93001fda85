//! A Rust file taken apart far enough for rules: what is code, what is text, what is a comment, and what is
//! compiled for tests only. Everything keeps its place, so that a fault has its line.

use std::ops::Range;

/// A file with its comments blanked out.
#[derive(Default)]
pub struct Source {
    /// With texts.
    pub text: String,
    /// Without texts: between their quotation marks there are blanks.
    pub code: String,
}

impl Source {
    pub fn of(file: &str) -> Source {
        let (mut text, mut code) = (file.as_bytes().to_vec(), file.as_bytes().to_vec());
        let mut rest = Cursor { bytes: file.as_bytes(), at: 0 };
        while let Some(piece) = rest.next_piece() {
            match piece {
                Piece::Code => {}
                Piece::Comment(range) => {
                    blank(&mut text, range.clone());
                    blank(&mut code, range);
                }
                Piece::Text(range) => blank(&mut code, range),
            }
        }
        let whole = |bytes| String::from_utf8(bytes).expect("whole characters were blanked");
        Source { text: whole(text), code: whole(code) }
    }

    /// The same without the items under `#[cfg(test)]` and the like.
    pub fn without_tests(&self) -> Source {
        let ranges: Vec<Range<usize>> = self.test_items().collect();
        let [text, code] = [&self.text, &self.code].map(|all| {
            let mut bytes = all.clone().into_bytes();
            ranges.iter().for_each(|range| blank(&mut bytes, range.clone()));
            String::from_utf8(bytes).expect("whole characters were blanked")
        });
        Source { text, code }
    }

    /// The files that `mod NAME;` under `#[cfg(test)]` names.
    pub fn test_modules(&self) -> impl Iterator<Item = &str> {
        self.test_items().filter_map(|range| {
            let (_, module) = self.code[range].rsplit_once("mod ")?;
            module.strip_suffix(';')
        })
    }

    /// The items that are compiled for tests only: from their attribute to their end.
    fn test_items(&self) -> impl Iterator<Item = Range<usize>> {
        let attributes = ["#[cfg(test)]", "#[cfg(any(test,"];
        attributes.into_iter().flat_map(|attribute| {
            self.code.match_indices(attribute).map(|(start, _)| {
                let mut depth = 0;
                for (at, byte) in self.code.bytes().enumerate().skip(start) {
                    match byte {
                        b'{' | b'(' | b'[' => depth += 1,
                        b'}' if depth == 1 => return start..at + 1,
                        b'}' | b')' | b']' => depth -= 1,
                        b';' if depth == 0 => return start..at + 1,
                        _ => {}
                    }
                }
                start..self.code.len()
            })
        })
    }

    /// Where a text stands in the code, methods and paths included, as no part of a longer name.
    pub fn anywhere<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| is_name(*byte));
        let bytes = self.code.as_bytes();
        let (first, last) = (word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            let is_part = is_name(first) && goes_on(before)
                || is_name(last) && goes_on(bytes.get(at + word.len()));
            !is_part
        })
    }

    /// Where a name stands at the beginning of a path: neither a method nor inside of another path.
    pub fn names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.anywhere(name).filter(move |&at| {
            let before = &self.code.as_bytes()[..at];
            match before.strip_suffix(b"::") {
                // `::name` of its own is the crate again.
                Some(path) => !path.last().is_some_and(|byte| is_name(*byte) || *byte == b'>'),
                None => before.last() != Some(&b'.'),
            }
        })
    }

    /// The calls of a macro, such as `counter!`: where each is, and its arguments, with texts.
    pub fn calls<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let macros = self.code.match_indices(name).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
                && self.code[at + name.len()..].starts_with("!(")
        });
        macros.map(move |at| {
            let begin = at + name.len() + 2;
            let mut depth = 1;
            let end = self.code[begin..].find(|one: char| {
                depth += match one {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                };
                depth == 0
            });
            (at, &self.text[begin..end.map_or(self.text.len(), |end| begin + end)])
        })
    }

    /// The line of a place, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn blank(bytes: &mut [u8], range: Range<usize>) {
    bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

enum Piece {
    Code,
    Comment(Range<usize>),
    /// What is between quotation marks.
    Text(Range<usize>),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn next_piece(&mut self) -> Option<Piece> {
        let rest = &self.bytes[self.at..];
        let start = self.at;
        match rest {
            [] => None,
            [b'/', b'/', ..] => {
                self.at = self.find(|rest| rest[0] == b'\n', start);
                Some(Piece::Comment(start..self.at))
            }
            [b'/', b'*', ..] => {
                let mut depth = 0;
                loop {
                    match &self.bytes[self.at..] {
                        [] => break,
                        [b'/', b'*', ..] => (depth, self.at) = (depth + 1, self.at + 2),
                        [b'*', b'/', ..] => (depth, self.at) = (depth - 1, self.at + 2),
                        _ => self.at += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
                Some(Piece::Comment(start..self.at))
            }
            [b'"', ..] => Some(self.text(start + 1)),
            [b'r', after @ ..] if !self.is_inside_name(start) => {
                let marks = after.iter().take_while(|byte| **byte == b'#').count();
                if after.get(marks) != Some(&b'"') {
                    self.at += 1;
                    return Some(Piece::Code);
                }
                let begin = start + marks + 2;
                let end = |rest: &[u8]| {
                    rest[0] == b'"' && rest[1..].iter().take_while(|b| **b == b'#').count() >= marks
                };
                let end = self.find(end, begin);
                self.at = (end + 1 + marks).min(self.bytes.len());
                Some(Piece::Text(begin..end))
            }
            // A character, and no lifetime.
            [b'\'', b'\\', ..] => {
                let end = self.find(|rest| rest[0] == b'\'', start + 3);
                self.at = (end + 1).min(self.bytes.len());
                Some(Piece::Text(start + 1..end))
            }
            [b'\'', ..] => {
                let one = std::str::from_utf8(&rest[1..]).ok().and_then(|rest| rest.chars().next());
                let length = one.map_or(0, char::len_utf8);
                let closed = rest.get(1 + length) == Some(&b'\'');
                self.at += if closed { length + 2 } else { 1 };
                Some(if closed { Piece::Text(start + 1..start + 1 + length) } else { Piece::Code })
            }
            _ => {
                self.at += 1;
                Some(Piece::Code)
            }
        }
    }

    /// From behind the opening quotation mark to the closing one.
    fn text(&mut self, begin: usize) -> Piece {
        self.at = begin;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        let end = self.at.min(self.bytes.len());
        self.at = (end + 1).min(self.bytes.len());
        Piece::Text(begin..end)
    }

    fn find(&self, wanted: impl Fn(&[u8]) -> bool, from: usize) -> usize {
        (from..self.bytes.len()).find(|at| wanted(&self.bytes[*at..])).unwrap_or(self.bytes.len())
    }

    fn is_inside_name(&self, at: usize) -> bool {
        let before = at.checked_sub(1).map(|before| self.bytes[before]);
        // `br"…"` is a raw text too.
        before.is_some_and(|byte| (byte.is_ascii_alphanumeric() && byte != b'b') || byte == b'_')
    }
}

#[test]
fn comments_texts_and_tests_are_told_from_code() {
    let file = "a(); // bb();\n/* cc /* dd */ */ e(\"f\\\"g\", 'h', '\\'', r#\"i\"j\"#);\nfn k<'l>() {}\n\
        #[cfg(test)]\nmod tests {\n    fn m() { {} }\n}\n#[cfg(test)]\nmod more;\nfn n() {}\n";
    let all = Source::of(file);
    for gone in ["bb", "cc", "dd"] {
        assert!(!all.text.contains(gone), "{gone:?} is a comment");
    }
    for gone in ["f\\", "g\"", "h", "i\"", "j\""] {
        assert!(all.text.contains(gone) && !all.code.contains(gone), "{gone:?} is a text");
    }
    for code in ["a();", " e(", "fn k<'l>() {}", "fn m()"] {
        assert!(all.code.contains(code), "{code:?} is code");
    }
    assert_eq!(all.test_modules().collect::<Vec<_>>(), ["more"]);
    let product = all.without_tests();
    assert!(!product.code.contains("fn m") && !product.code.contains("mod more"));
    assert!(product.code.contains("fn k") && product.code.contains("fn n"));
    assert_eq!(product.line(product.code.find("fn n").expect("it is code")), 10);
}
