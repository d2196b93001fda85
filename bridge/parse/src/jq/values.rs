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

/// A number that a text stands for, with leading zeros or a sign too.
pub fn number(text: &str) -> Option<Val> {
    let plain = Decimal::parse(text)?;
    let digits = match text.contains(['.', 'e', 'E']) {
        // What has a fraction or an exponent keeps it.
        true => text.trim_start_matches('+').to_owned(),
        false => plain.to_text()?,
    };
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

/// What a program put out, as a document. Each value costs a step.
pub fn to_json(value: &Val, budget: &Budget) -> Result<Json<'static>, Failure> {
    document(value, budget, budget.allowance.depth)
}

fn document(value: &Val, budget: &Budget, depth: usize) -> Result<Json<'static>, Failure> {
    budget.take(1);
    if depth == 0 {
        budget.end(Exhausted::Depth);
    }
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
            let items = items.iter().map(|item| document(item, budget, depth - 1));
            Kind::List(items.collect::<Result<_, _>>()?)
        }
        Val::Obj(entries) => {
            let entry = |(key, value): (&Val, &Val)| {
                let Val::TStr(key) = key else {
                    let detail = "the program made an object with a key that is no text";
                    return Err(Failure::new(Reason::Jq, detail));
                };
                let key = Cow::Owned(utf8(key)?.to_owned());
                Ok(Entry { key, at: NOWHERE, value: document(value, budget, depth - 1)? })
            };
            Kind::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
    };
    Ok(Json::nowhere(kind))
}

fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::new(Reason::Jq, "the program made a text that is not UTF-8"))
}

/// `fromjson`.
pub fn of_text(value: &Val) -> Result<Val, Error<Val>> {
    const RULES: Rules = Rules { depth: 128, duplicates: Duplicates::Fail, not_finite: false };
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
