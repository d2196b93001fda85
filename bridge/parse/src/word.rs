//! Words that stand in payloads for something else: for null, for true, for what is selected. Pure.

use std::borrow::Cow;

use crate::decimal::Decimal;
use crate::json::{Json, Kind};
use crate::path::Found;

/// Words of which a text may be one.
#[derive(Clone, Debug, Default)]
pub struct Words {
    words: Vec<Word>,
}

#[derive(Clone, Debug)]
enum Word {
    /// Itself, or the same number.
    Exact { text: Box<str>, number: Option<Decimal> },
    /// All that begins with it.
    Beginning(Box<str>),
}

impl Words {
    /// Each word stands for itself, and a number for every way to write it; one that ends with `*` stands
    /// for all that begins with what is in front of it. `*` alone, and what ends with `**`, stands for itself.
    pub fn new(words: &[String]) -> Words {
        let word = |text: &String| match text.strip_suffix('*') {
            Some(beginning) if !beginning.is_empty() && !beginning.ends_with('*') => {
                Word::Beginning(beginning.into())
            }
            _ => Word::Exact { text: text.as_str().into(), number: Decimal::parse(text) },
        };
        Words { words: words.iter().map(word).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn holds(&self, text: &str) -> bool {
        self.words.iter().any(|word| match word {
            Word::Exact { text: word, number } => {
                **word == *text
                    || number.as_ref().is_some_and(|number| {
                        Decimal::parse(text).is_some_and(|other| other.equals(number))
                    })
            }
            Word::Beginning(beginning) => text.starts_with(&**beginning),
        })
    }
}

/// What a single value is as a text: a number's digits, `true`, `false` or `null`. None of lists, objects
/// and bytes.
pub fn text_of<'s>(found: &Found<'s, '_>) -> Option<Cow<'s, str>> {
    match found {
        Found::One(json) => text_of_json(json),
        Found::Word(word) => Some(Cow::Borrowed(word)),
        Found::Number(number) => Some(Cow::Owned(number.to_string())),
        Found::Many(_) => None,
    }
}

pub fn text_of_json<'s>(json: &'s Json<'_>) -> Option<Cow<'s, str>> {
    match &json.kind {
        Kind::Null => Some(Cow::Borrowed("null")),
        Kind::Bool(true) => Some(Cow::Borrowed("true")),
        Kind::Bool(false) => Some(Cow::Borrowed("false")),
        Kind::Number(text) | Kind::Text(text) => Some(Cow::Borrowed(text)),
        Kind::NotFinite(value) => Some(Cow::Owned(value.to_string())),
        Kind::Bytes(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_texts_numbers_and_beginnings() {
        let words = Words::new(&["n/a", "Error*", "-999", "*", "***", ""].map(String::from));
        for (text, holds) in [
            ("n/a", true),
            ("N/A", false),
            ("Error", true),
            ("Error3", true),
            ("-999", true),
            ("-999.0", true),
            ("-9990", false),
            ("*", true),
            ("***", true),
            ("**", false),
            ("", true),
            ("x", false),
        ] {
            assert_eq!(words.holds(text), holds, "{text:?}");
        }
    }
}
