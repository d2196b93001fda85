//! Reads one JSON document (RFC 8259), with the place of each fault. Pure: no recursion, so depth costs no
//! stack, and nothing that is unlike JSON passes.
//!
//! It is our own because what it tells is what firmware teams need and no library tells: a document that
//! ends early apart from one that is wrong, keys that are there twice, each value's place and a number's own
//! digits, NaN only where it is declared. serde_json tells the first only; jiter and hifijson leave keys and
//! places to their caller; simd-json and sonic-rs want the input for themselves. Its tests hold it against
//! serde_json, which takes and refuses the same.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Entry, Json, Kind};
use crate::failure::{Failure, Reason};

/// What of JSON's loose ends is taken how.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Objects and lists within each other.
    pub depth: usize,
    pub duplicates: Duplicates,
    /// Whether `NaN`, `Infinity` and the like, in any case and with a sign, are numbers.
    pub not_finite: bool,
    /// Bytes of memory that a document may take as a tree, beside its own.
    pub tree: usize,
}

/// What a key means that an object has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    Fail,
    First,
    Last,
}

/// Reads the document that `text` is. White space around it is nothing; anything else behind it is
/// [`Reason::TrailingData`].
pub fn read<'a>(text: &'a str, rules: &Rules) -> Result<Json<'a>, Failure> {
    let mut reader = Reader::new(text, rules);
    let document = reader.value()?;
    reader.skip_space();
    if reader.position < text.len() {
        let detail = "something stands behind the document";
        return Err(Failure::new(Reason::TrailingData, detail).at(reader.position));
    }
    Ok(document)
}

/// Reads the next of several documents that follow each other, and says where it ends; None where only
/// white space is left.
pub fn read_next<'a>(
    text: &'a str,
    start: usize,
    rules: &Rules,
) -> Result<Option<(Json<'a>, usize)>, Failure> {
    let mut reader = Reader::new(text, rules);
    reader.position = start;
    reader.skip_space();
    if reader.position == text.len() {
        return Ok(None);
    }
    let document = reader.value()?;
    Ok(Some((document, reader.position)))
}

/// An object has this many keys before they are compared by a set of hashes instead of one by one.
const COMPARED_MAX: usize = 32;

/// Room that the first object of a document gets at once, in entries; the next ones get what the one before
/// them had, because most are alike.
const ENTRIES_FIRST: usize = 8;
/// And the most that any gets at once.
const ENTRIES_FIRST_MAX: usize = 64;
/// Room that a list gets for its first element.
const ITEMS_FIRST: usize = 4;

pub(super) struct Reader<'a, 'r> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) position: usize,
    rules: &'r Rules,
    /// Bytes that are left for the tree.
    left: usize,
    /// Entries of the last object.
    entries: usize,
}

/// A list or an object that is not at its end.
enum Open<'a> {
    List { at: u32, items: Vec<Json<'a>> },
    Map { at: u32, entries: Vec<Entry<'a>>, key: Cow<'a, str>, key_at: u32 },
}

impl<'a, 'r> Reader<'a, 'r> {
    pub(super) fn new(text: &'a str, rules: &'r Rules) -> Reader<'a, 'r> {
        let (bytes, left) = (text.as_bytes(), rules.tree);
        Reader { text, bytes, position: 0, rules, left, entries: ENTRIES_FIRST }
    }

    pub(super) fn value(&mut self) -> Result<Json<'a>, Failure> {
        let mut open: Vec<Open<'a>> = Vec::new();
        self.skip_space();
        let begin = self.position;
        loop {
            self.skip_space();
            let at = self.position as u32;
            let mut done = match self.peek() {
                Some(b'{') => {
                    self.nest(open.len())?;
                    match self.first_key()? {
                        Some((key, key_at)) => {
                            open.push(Open::Map { at, entries: Vec::new(), key, key_at });
                            continue;
                        }
                        None => Json { at, kind: Kind::Map(Vec::new()) },
                    }
                }
                Some(b'[') => {
                    self.nest(open.len())?;
                    self.skip_space();
                    if self.peek() == Some(b']') {
                        self.position += 1;
                        Json { at, kind: Kind::List(Vec::new()) }
                    } else {
                        open.push(Open::List { at, items: Vec::new() });
                        continue;
                    }
                }
                Some(b'"') => Json { at, kind: Kind::Text(self.string()?) },
                _ => Json { at, kind: self.scalar()? },
            };
            // A value is done: so may be what it is in.
            loop {
                let Some(top) = open.last_mut() else { return Ok(done) };
                self.skip_space();
                let next = self.peek();
                match (top, next) {
                    (Open::List { items, .. }, Some(b',')) => {
                        self.push(items, done, ITEMS_FIRST, begin)?;
                        self.position += 1;
                        break;
                    }
                    (Open::List { items, .. }, Some(b']')) => {
                        self.push(items, done, ITEMS_FIRST, begin)?;
                    }
                    (Open::Map { entries, key, key_at, .. }, Some(b',' | b'}')) => {
                        let key = std::mem::take(key);
                        let entry = Entry { key, at: *key_at, value: done };
                        self.push(entries, entry, self.entries, begin)?;
                    }
                    (Open::List { .. }, _) => return Err(self.wrong("a comma or ]")),
                    (Open::Map { .. }, _) => return Err(self.wrong("a comma or }")),
                }
                self.position += 1;
                if next == Some(b',') {
                    self.skip_space();
                    let (next_key, next_at) = self.key()?;
                    if let Some(Open::Map { key, key_at, .. }) = open.last_mut() {
                        (*key, *key_at) = (next_key, next_at);
                    }
                    break;
                }
                done = match open.pop().expect("it was looked at above") {
                    Open::List { at, items } => Json { at, kind: Kind::List(items) },
                    Open::Map { at, entries, .. } => {
                        self.entries = entries.len().min(ENTRIES_FIRST_MAX);
                        Json { at, kind: Kind::Map(self.unique(entries)?) }
                    }
                };
            }
        }
    }

    /// Grows as a Vec does by itself, but within what the tree of a document may take.
    fn push<T>(
        &mut self,
        all: &mut Vec<T>,
        one: T,
        first: usize,
        begin: usize,
    ) -> Result<(), Failure> {
        if all.len() == all.capacity() {
            let more = all.capacity().max(first);
            let left = self.left.checked_sub(more * size_of::<T>());
            self.left = left.ok_or_else(|| too_much(self.rules.tree).at(begin))?;
            all.reserve_exact(more);
        }
        all.push(one);
        Ok(())
    }

    /// Passes an opening bracket.
    fn nest(&mut self, depth: usize) -> Result<(), Failure> {
        if depth >= self.rules.depth {
            let detail = format!("nested deeper than {}", self.rules.depth);
            return Err(Failure::new(Reason::TooDeep, detail).at(self.position));
        }
        self.position += 1;
        Ok(())
    }

    pub(super) fn first_key(&mut self) -> Result<Option<(Cow<'a, str>, u32)>, Failure> {
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.position += 1;
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// Behind a value of an object: the next key, or None at the object's end.
    pub(super) fn next_key(&mut self) -> Result<Option<(Cow<'a, str>, u32)>, Failure> {
        self.skip_space();
        let is_end = match self.peek() {
            Some(b',') => false,
            Some(b'}') => true,
            _ => return Err(self.wrong("a comma or }")),
        };
        self.position += 1;
        if is_end {
            return Ok(None);
        }
        self.skip_space();
        self.key().map(Some)
    }

    /// Behind a list's opening bracket: whether it has an element.
    pub(super) fn first_element(&mut self) -> bool {
        self.skip_space();
        let is_empty = self.peek() == Some(b']');
        self.position += usize::from(is_empty);
        !is_empty
    }

    /// Behind an element: whether there is another.
    pub(super) fn next_element(&mut self) -> Result<bool, Failure> {
        self.skip_space();
        let goes_on = match self.peek() {
            Some(b',') => true,
            Some(b']') => false,
            _ => return Err(self.wrong("a comma or ]")),
        };
        self.position += 1;
        Ok(goes_on)
    }

    fn key(&mut self) -> Result<(Cow<'a, str>, u32), Failure> {
        let at = self.position as u32;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("a colon"));
        }
        self.position += 1;
        Ok((key, at))
    }

    fn unique(&self, mut entries: Vec<Entry<'a>>) -> Result<Vec<Entry<'a>>, Failure> {
        let Some(second) = first_double(&entries) else { return Ok(entries) };
        match self.rules.duplicates {
            Duplicates::Fail => {
                let key = crate::failure::shown(&entries[second].key);
                let detail = format!("the key {key} is there twice");
                let at = entries[second].at as usize;
                return Err(Failure::new(Reason::DuplicateKey, detail).at(at));
            }
            Duplicates::First => {
                let mut seen = HashSet::new();
                entries.retain(|entry| seen.insert(entry.key.clone()));
            }
            Duplicates::Last => {
                let mut seen = HashSet::new();
                entries.reverse();
                entries.retain(|entry| seen.insert(entry.key.clone()));
                entries.reverse();
            }
        }
        Ok(entries)
    }

    /// Reads a text from its opening quote on.
    fn string(&mut self) -> Result<Cow<'a, str>, Failure> {
        self.position += 1;
        let start = self.position;
        let plain = self.plain_run();
        match self.peek() {
            Some(b'"') => {
                self.position += 1;
                Ok(Cow::Borrowed(&self.text[start..start + plain]))
            }
            Some(b'\\') => self.escaped(start).map(Cow::Owned),
            Some(_) => Err(self.wrong("no control character in a text")),
            None => Err(self.cut()),
        }
    }

    /// Passes bytes that stand for themselves in a text, and says how many.
    fn plain_run(&mut self) -> usize {
        let rest = &self.bytes[self.position..];
        let is_special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        let length = rest.iter().position(is_special).unwrap_or(rest.len());
        self.position += length;
        length
    }

    /// Reads on where a text has its first backslash.
    fn escaped(&mut self, start: usize) -> Result<String, Failure> {
        let mut text = String::from(&self.text[start..self.position]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.wrong("no control character in a text")),
                None => return Err(self.cut()),
            }
            let from = self.position;
            let length = self.plain_run();
            text.push_str(&self.text[from..from + length]);
        }
    }

    fn escape(&mut self) -> Result<char, Failure> {
        let begin = self.position;
        self.position += 1;
        let byte = self.peek().ok_or_else(|| self.cut())?;
        self.position += 1;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                return self.character(first, begin);
            }
            _ => {
                self.position -= 1;
                return Err(self.wrong("an escape that JSON knows"));
            }
        };
        Ok(plain)
    }

    /// What \u… stands for, with its other half where it is one of a pair.
    fn character(&mut self, first: u32, begin: usize) -> Result<char, Failure> {
        let lone = |at| Failure::new(Reason::NotJson, "half of a surrogate pair").at(at);
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| lone(begin));
        }
        for wanted in [b'\\', b'u'] {
            match self.peek() {
                Some(byte) if byte == wanted => self.position += 1,
                Some(_) => return Err(lone(begin)),
                None => return Err(self.cut()),
            }
        }
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone(begin));
        }
        let both = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(both).ok_or_else(|| lone(begin))
    }

    fn hex(&mut self) -> Result<u32, Failure> {
        let mut value = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or_else(|| self.cut())?;
            let digit = char::from(byte).to_digit(16);
            value = value * 16 + digit.ok_or_else(|| self.wrong("four hexadecimal digits"))?;
            self.position += 1;
        }
        Ok(value)
    }

    fn scalar(&mut self) -> Result<Kind<'a>, Failure> {
        match self.peek() {
            Some(b'0'..=b'9') => self.number(),
            Some(b'-' | b'+') if self.rules.not_finite => match self.not_finite() {
                Some(kind) => Ok(kind),
                None => self.number(),
            },
            Some(b'-') => self.number(),
            Some(b't') => self.word("true", Kind::Bool(true)),
            Some(b'f') => self.word("false", Kind::Bool(false)),
            Some(b'n') if self.bytes[self.position..].starts_with(b"nu") => {
                self.word("null", Kind::Null)
            }
            Some(_)
                if self.rules.not_finite
                    && let Some(kind) = self.not_finite() =>
            {
                Ok(kind)
            }
            Some(b'n') => self.word("null", Kind::Null),
            Some(_) => Err(self.wrong("a value")),
            None => Err(self.cut()),
        }
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, Failure> {
        for wanted in word.bytes() {
            match self.peek() {
                Some(byte) if byte == wanted => self.position += 1,
                Some(_) => return Err(self.wrong("a value")),
                None => return Err(self.cut()),
            }
        }
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind<'a>, Failure> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number(Cow::Borrowed(&self.text[start..self.position])))
    }

    fn digits(&mut self) -> Result<(), Failure> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.position += length;
        match length {
            0 if self.position == self.bytes.len() => Err(self.cut()),
            0 => Err(self.wrong("a digit")),
            _ => Ok(()),
        }
    }

    /// Takes a word that stands for a number which is not finite.
    fn not_finite(&mut self) -> Option<Kind<'a>> {
        let rest = &self.bytes[self.position..];
        let end =
            rest.iter().position(|byte| !(byte.is_ascii_alphabetic() || b"+-".contains(byte)));
        let word = &self.text[self.position..self.position + end.unwrap_or(rest.len())];
        let value = not_finite(word)?;
        self.position += word.len();
        Some(Kind::NotFinite(value))
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// What is here is not what has to be; at the end it is cut.
    fn wrong(&self, wanted: &str) -> Failure {
        if self.position >= self.bytes.len() {
            return self.cut();
        }
        let detail = format!("here has to be {wanted}");
        Failure::new(Reason::NotJson, detail).at(self.position)
    }

    fn cut(&self) -> Failure {
        let detail = "the document ends early: it is right as far as it goes";
        Failure::new(Reason::Truncated, detail).at(self.bytes.len())
    }
}

/// What a word says that stands for a number which is not finite, as C's printf and others write it.
pub fn not_finite(word: &str) -> Option<f64> {
    let (bare, sign) = match word.as_bytes().first()? {
        b'-' => (&word[1..], -1.0),
        b'+' => (&word[1..], 1.0),
        _ => (word, 1.0),
    };
    if bare.eq_ignore_ascii_case("nan") {
        Some(f64::NAN)
    } else if bare.eq_ignore_ascii_case("inf") || bare.eq_ignore_ascii_case("infinity") {
        Some(f64::INFINITY * sign)
    } else {
        None
    }
}

/// What a document is that takes more memory as a tree than it may.
pub fn too_much(tree: usize) -> Failure {
    let detail =
        format!("its values take more than {tree} bytes of memory, and a document may not");
    Failure::new(Reason::TooLarge, detail)
}

/// The first entry whose key an earlier one has.
fn first_double(entries: &[Entry<'_>]) -> Option<usize> {
    if entries.len() <= COMPARED_MAX {
        let before = |at: &usize| entries[..*at].iter().any(|one| one.key == entries[*at].key);
        return (1..entries.len()).find(before);
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries.iter().position(|entry| !seen.insert(entry.key.as_ref()))
}

#[cfg(test)]
mod tests;
