//! A document as a tree that keeps what the payload says: numbers as they are written, and where each value
//! stands. All formats become it, so that paths, times and fields know one shape only.

use std::borrow::Cow;

pub mod reader;
pub mod stream;

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Json<'a> {
    /// Bytes from the document's beginning; [`NOWHERE`] in what a program made.
    pub at: u32,
    pub kind: Kind<'a>,
}

/// The place of what stands nowhere in the payload.
pub const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq)]
pub enum Kind<'a> {
    Null,
    Bool(bool),
    /// As it is written, by JSON's grammar.
    Number(Cow<'a, str>),
    /// Not a number, or an infinite one: JSON has none, some devices do.
    NotFinite(f64),
    Text(Cow<'a, str>),
    /// A payload that is no text.
    Bytes(Cow<'a, [u8]>),
    List(Vec<Json<'a>>),
    Map(Vec<Entry<'a>>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    pub key: Cow<'a, str>,
    /// Where the key begins.
    pub at: u32,
    pub value: Json<'a>,
}

impl<'a> Json<'a> {
    pub fn nowhere(kind: Kind<'a>) -> Json<'a> {
        Json { at: NOWHERE, kind }
    }

    /// Its place, where there is one.
    pub fn place(&self) -> Option<usize> {
        (self.at != NOWHERE).then_some(self.at as usize)
    }

    /// The value of a key, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|one| one.key == key).map(|one| &one.value),
            _ => None,
        }
    }

    /// An element of a list, counted from the end where the index is negative.
    pub fn element(&self, index: i64) -> Option<&Json<'a>> {
        let Kind::List(items) = &self.kind else { return None };
        let from_end = items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
        let index = if index < 0 { from_end? } else { usize::try_from(index).ok()? };
        items.get(index)
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// What it is, for a sentence.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::NotFinite(_) => "not a finite number",
            Kind::Text(_) => "a text",
            Kind::Bytes(_) => "bytes",
            Kind::List(_) => "a list",
            Kind::Map(_) => "an object",
        }
    }
}
