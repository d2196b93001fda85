//! Reads a document that is too large to be held: the list at a path, element by element. What else is in
//! the document is read, and has to be right, but is not kept. Pure.

use std::collections::HashSet;

use super::reader::{Reader, Rules};
use super::{Json, Kind};
use crate::failure::{Failure, Reason};

/// Takes an element and its number.
type Visitor<'v, 'a> = &'v mut dyn FnMut(u64, &Json<'a>) -> Result<(), Failure>;

/// Visits each element of the list that the keys lead to; a value that is no list is one element. None of
/// them, and nothing beside them, may have `size` bytes or more. A key that an object has twice is always
/// a failure: which of both lists would count is known at the end only.
pub fn elements<'a>(
    text: &'a str,
    keys: &[Box<str>],
    rules: &Rules,
    size: usize,
    visitor: Visitor<'_, 'a>,
) -> Result<(), Failure> {
    let rules = Rules { depth: rules.depth.saturating_sub(keys.len() + 1), ..*rules };
    let mut stream = Stream { text, reader: Reader::new(text, &rules), rules, size, visitor };
    stream.level(keys)?;
    stream.reader.skip_space();
    if stream.reader.position < text.len() {
        let detail = "something stands behind the document";
        return Err(Failure::new(Reason::TrailingData, detail).at(stream.reader.position));
    }
    Ok(())
}

struct Stream<'a, 'r, 'v> {
    text: &'a str,
    reader: Reader<'a, 'r>,
    rules: Rules,
    size: usize,
    visitor: Visitor<'v, 'a>,
}

impl<'a> Stream<'a, '_, '_> {
    /// Recursive by the keys of a path, which are few.
    fn level(&mut self, keys: &[Box<str>]) -> Result<(), Failure> {
        let Some((wanted, below)) = keys.split_first() else { return self.list() };
        self.reader.skip_space();
        let at = self.reader.position;
        if self.reader.peek() != Some(b'{') {
            let value = self.value()?;
            let detail = format!("the way to the records ends at {}", value.describe());
            return Err(Failure::new(Reason::RecordsMissing, detail).at(at));
        }
        self.reader.position += 1;
        let mut seen = HashSet::new();
        let mut next = self.reader.first_key()?;
        while let Some((key, key_at)) = next {
            match key == **wanted {
                true if !seen.contains(&key) => self.level(below)?,
                _ => drop(self.value()?),
            }
            let double = format!("the key {} is there twice", crate::failure::shown(&key));
            if !seen.insert(key) {
                return Err(Failure::new(Reason::DuplicateKey, double).at(key_at as usize));
            }
            next = self.reader.next_key()?;
        }
        if seen.contains(&**wanted) {
            return Ok(());
        }
        let detail = format!("the way to the records ends at an object without {wanted:?}");
        Err(Failure::new(Reason::RecordsMissing, detail).at(at))
    }

    fn list(&mut self) -> Result<(), Failure> {
        self.reader.skip_space();
        if self.reader.peek() != Some(b'[') {
            let only = self.value()?;
            return match only.kind {
                Kind::Null => Ok(()),
                _ => (self.visitor)(0, &only),
            };
        }
        self.reader.position += 1;
        let mut goes_on = self.reader.first_element();
        let mut index = 0;
        while goes_on {
            let element = self.value()?;
            (self.visitor)(index, &element)?;
            index += 1;
            goes_on = self.reader.next_element()?;
        }
        Ok(())
    }

    /// The next value, which must not be larger than what may be held.
    fn value(&mut self) -> Result<Json<'a>, Failure> {
        self.reader.skip_space();
        let start = self.reader.position;
        let most = self.text.len().min(start.saturating_add(self.size));
        let end = (start..=most).rev().find(|&end| self.text.is_char_boundary(end));
        let part = &self.text[..end.unwrap_or(start)];
        let mut reader = Reader::new(part, &self.rules);
        reader.position = start;
        let is_part = part.len() < self.text.len();
        let value = reader.value();
        // A number may go on where its part ends.
        let is_beyond = is_part
            && match &value {
                Ok(_) => reader.position == part.len(),
                Err(failure) => failure.reason == Reason::Truncated,
            };
        if is_beyond {
            let detail = format!("a part of the document has {} bytes or more", self.size);
            return Err(Failure::new(Reason::TooLarge, detail).at(start));
        }
        let value = value?;
        self.reader.position = reader.position;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::reader::Duplicates;

    const RULES: Rules =
        Rules { depth: 5, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };

    fn streamed(keys: &[&str], text: &str) -> Result<String, (Reason, usize)> {
        let keys: Vec<Box<str>> = keys.iter().map(|key| (*key).into()).collect();
        let mut seen = Vec::new();
        let visitor = &mut |index, element: &Json<'_>| {
            let place = element.place().expect("it stands in the payload");
            seen.push(format!("{index}@{place}"));
            Ok(())
        };
        elements(text, &keys, &RULES, 20, visitor)
            .map_err(|failure| (failure.reason, failure.at.expect("it has a place")))?;
        Ok(seen.join(" "))
    }

    #[test]
    fn elements_come_one_by_one() {
        for (keys, text, seen) in [
            (&[][..], "[1,[2], {} ]", Ok("0@1 1@3 2@8")),
            (&[], "[]", Ok("")),
            (&[], "null", Ok("")),
            (&[], "{\"a\":1}", Ok("0@0")),
            (&["a"], "{\"b\":[1,2],\"a\":[1,2],\"c\":{}}", Ok("0@16 1@18")),
            (&["a", "b"], " {\"a\": {\"b\": [ 7 ]} } ", Ok("0@15")),
            (&["a"], "{\"a\":null}", Ok("")),
            (&["a"], "{\"a\":5}", Ok("0@5")),
            (&["a"], "{\"b\":5}", Err((Reason::RecordsMissing, 0))),
            (&["a"], "[1]", Err((Reason::RecordsMissing, 0))),
            (&["a"], "{\"a\":[1],\"a\":[2]}", Err((Reason::DuplicateKey, 9))),
            (&["a"], "{\"b\":1,\"a\":[1],\"b\":2}", Err((Reason::DuplicateKey, 15))),
            (&[], "[1,2", Err((Reason::Truncated, 4))),
            (&[], "[1,2,", Err((Reason::Truncated, 5))),
            (&[], "[1,]", Err((Reason::NotJson, 3))),
            (&[], "[1 2]", Err((Reason::NotJson, 3))),
            (&[], "[1]x", Err((Reason::TrailingData, 3))),
            (&["a"], "{\"a\":[1],}", Err((Reason::NotJson, 9))),
            (&[], "[[[[[[1]]]]]]", Err((Reason::TooDeep, 5))),
            (&[], "[\"0123456789\",\"01234567890123456789\"]", Err((Reason::TooLarge, 14))),
            (&[], "[\"01234567890123456\"]", Ok("0@1")),
            (&[], "[1234567890123456789]", Ok("0@1")),
            (&[], "[123456789012345678901]", Err((Reason::TooLarge, 1))),
        ] {
            assert_eq!(streamed(keys, text), seen.map(str::to_owned), "{text}");
        }
    }
}
