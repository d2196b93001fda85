//! Between a document and jaq's values, both ways: integers stay whole, and other numbers their digits, as
//! long as a program does not calculate with them.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use jaq_core::Error;
use jaq_json::{Map, Num, Val};
use jaq_std::ValT as _;

use super::budget::{Budget, Exhausted};
use crate::decimal::{DIGITS_MAX, Decimal};
use crate::facts::Facts;
use crate::failure::{Failure, Reason};
use crate::json::reader::{self, Duplicates, Rules};
use crate::json::{Entry, Json, Kind, NOWHERE};

/// Recursive by the document's depth, which has a limit.
pub fn of_json(json: &Json<'_>) -> Val {
    match &json.kind {
        Kind::Null => Val::Null,
        Kind::Bool(value) => Val::Bool(*value),
        Kind::Number(digits) => Val::Num(written(digits)),
        Kind::NotFinite(value) => Val::from(*value),
        Kind::Text(text) => text_value(text),
        Kind::Bytes(bytes) => Val::byte_str(Bytes::copy_from_slice(bytes)),
        Kind::List(items) => items.iter().map(of_json).collect(),
        Kind::Map(entries) => {
            let entry = |entry: &Entry<'_>| (text_value(&entry.key), of_json(&entry.value));
            Val::obj(entries.iter().map(entry).collect())
        }
    }
}

fn text_value(text: &str) -> Val {
    Val::utf8_str(Bytes::copy_from_slice(text.as_bytes()))
}

/// A number by JSON's grammar.
fn written(digits: &str) -> Num {
    if digits.len() <= DIGITS_MAX
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        match digits.parse::<isize>() {
            Ok(value) => return Num::Int(value),
            Err(_) => {
                if let Some(value) = Num::from_str_radix(digits, 10) {
                    return value;
                }
            }
        }
    }
    Num::Dec(Rc::new(digits.to_owned()))
}

/// Bytes that the tree of a text within a payload may take.
const TREE_MAX: usize = 32 * 1024 * 1024;

/// As strict as a payload is read.
const RULES: Rules =
    Rules { depth: 128, duplicates: Duplicates::Fail, not_finite: false, tree: TREE_MAX };

/// A number that a text stands for, with leading zeros or a sign too.
pub fn number(text: &str) -> Option<Val> {
    let plain = Decimal::parse(text)?;
    let is_json = reader::read(text, &RULES).is_ok();
    let digits = if is_json { text.to_owned() } else { plain.to_text()? };
    Some(Val::Num(written(&digits)))
}

/// The variables of a program, in their order.
pub fn of_facts(facts: &Facts<'_>) -> [Val; 4] {
    let attributes = facts.attributes.iter();
    let attributes: Map =
        attributes.map(|(name, text)| (text_value(name), text_value(text))).collect();
    [
        facts.topic.split('/').map(text_value).collect(),
        Val::Num(Num::from_integral(facts.received_ms)),
        text_value(facts.device_id),
        Val::obj(attributes),
    ]
}

/// What a program put out, as a document. Each value costs a step, and all together are no larger than what
/// a document may be: a program can make a small thing that is huge when it is written out.
pub fn to_json(value: &Val, budget: &Budget) -> Result<Json<'static>, Failure> {
    let mut left = budget.allowance.size;
    document(value, budget, budget.allowance.depth, &mut left)
}

/// Bytes that each value of an output is counted with, besides its text.
const VALUE_BYTES: usize = 8;

fn document(
    value: &Val,
    budget: &Budget,
    depth: usize,
    left: &mut usize,
) -> Result<Json<'static>, Failure> {
    budget.take(1);
    if depth == 0 {
        budget.end(Exhausted::Depth);
    }
    let bytes = match value {
        Val::TStr(text) | Val::BStr(text) => text.len(),
        Val::Obj(entries) => entries.keys().map(key_length).sum(),
        _ => 0,
    };
    let rest = left.checked_sub(VALUE_BYTES + bytes);
    *left = rest.unwrap_or_else(|| budget.end(Exhausted::Size));
    let kind = match value {
        Val::Null => Kind::Null,
        Val::Bool(value) => Kind::Bool(*value),
        Val::Num(Num::Int(value)) => Kind::Number(Cow::Owned(value.to_string())),
        Val::Num(Num::BigInt(value)) => {
            budget.make(value.bits() as usize / 8);
            Kind::Number(Cow::Owned(value.to_string()))
        }
        Val::Num(Num::Dec(digits)) => Kind::Number(Cow::Owned(digits.to_string())),
        Val::Num(Num::Float(value)) if value.is_finite() => {
            Kind::Number(Cow::Owned(format!("{value:?}")))
        }
        Val::Num(Num::Float(value)) => Kind::NotFinite(*value),
        Val::TStr(text) => Kind::Text(Cow::Owned(utf8(text)?.to_owned())),
        Val::BStr(bytes) => Kind::Bytes(Cow::Owned(bytes.to_vec())),
        Val::Arr(items) => {
            let mut list = Vec::new();
            for item in items.iter() {
                list.push(document(item, budget, depth - 1, left)?);
            }
            Kind::List(list)
        }
        Val::Obj(entries) => {
            let mut map = Vec::new();
            for (key, value) in entries.iter() {
                let Val::TStr(key) = key else {
                    let detail = "the program made an object with a key that is no text";
                    return Err(Failure::new(Reason::Jq, detail));
                };
                let key = Cow::Owned(utf8(key)?.to_owned());
                let value = document(value, budget, depth - 1, left)?;
                map.push(Entry { key, at: NOWHERE, value });
            }
            Kind::Map(map)
        }
    };
    Ok(Json::nowhere(kind))
}

fn key_length(key: &Val) -> usize {
    match key {
        Val::TStr(text) => text.len(),
        _ => 0,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::new(Reason::Jq, "the program made a text that is not UTF-8"))
}

/// `fromjson`.
pub fn of_text(value: &Val) -> Result<Val, Error<Val>> {
    let text = value.as_utf8_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| Error::typ(value.clone(), "string"))?;
    let read = reader::read(text, &RULES);
    read.map(|json| of_json(&json)).map_err(Error::str)
}

/// `tojson`. Each value costs a step: a program can make a small thing that is huge when it is written out.
pub fn to_text(value: &Val, budget: &Budget) -> Val {
    count(value, budget, budget.allowance.depth);
    Val::from(value.to_string())
}

fn count(value: &Val, budget: &Budget, depth: usize) {
    budget.take(1);
    if depth == 0 {
        budget.end(Exhausted::Depth);
    }
    match value {
        Val::Arr(items) => items.iter().for_each(|item| count(item, budget, depth - 1)),
        Val::Obj(entries) => entries.values().for_each(|item| count(item, budget, depth - 1)),
        _ => {}
    }
}

/// What an error says; `fail(REASON; TEXT)` says one of our reasons.
pub fn failure(error: &Val) -> Failure {
    let field = |name: &str| match error {
        Val::Obj(entries) => match entries.get(&text_value(name)) {
            Some(Val::TStr(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        },
        _ => None,
    };
    let reason = field("landfall");
    let known = Reason::ALL.into_iter().find(|one| Some(one.label()) == reason.as_deref());
    let text = match error {
        Val::TStr(text) => String::from_utf8_lossy(text).into_owned(),
        _ => field("text").unwrap_or_else(|| error.to_string()),
    };
    Failure::new(known.unwrap_or(Reason::Jq), shortened(text))
}

/// Bytes of an error's text that are told: it may hold a whole document.
const TOLD_MAX: usize = 200;

fn shortened(mut text: String) -> String {
    if text.len() > TOLD_MAX {
        let end = (0..=TOLD_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
