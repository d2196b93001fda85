//! The functions that programs have: jq's own, without those that reach beyond a message, and a few of ours.
//!
//! ```text
//! columns          {t: [1, 2], v: [3, 4]} → {t: 1, v: 3}, {t: 2, v: 4}; fails with columns_differ
//! @base64d         "e30=" → "{}", in either alphabet and without padding too
//! named(names)     [1, 2] | named(["t", "v"]) → {t: 1, v: 2}; fails with columns_differ
//! fail(reason; text)   fails with one of the reasons that failures have, such as field_missing
//! pow log log10 log2 exp sqrt trunc
//! ```

use std::cmp::Ordering;
use std::rc::Rc;

use bytes::Bytes;
use jaq_core::load::parse::Def;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Error, Exn, RunPtr};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use super::budget::{Data, Exhausted, Language};
use super::guard;
use super::values;
use crate::conversion::Encoding;
use crate::decimal::Decimal;

/// Definitions of jq that need what no program has.
const LEFT_OUT: [&str; 32] = [
    // What is told to people, or ends the process.
    "stderr",
    "debug",
    "halt",
    "halt_error",
    // Numbers by functions of C.
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    // Regular expressions.
    "capture_of_match",
    "test",
    "scan_",
    "match",
    "capture",
    "splits",
    "sub",
    "gsub",
    "scan",
    // Dates.
    "todate",
    "fromdate",
    // Formats.
    "@sh",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
    // Ours are below.
    "tonumber",
    "toboolean",
    "range",
];

/// Ours, in jq: what jq's own definitions use, and in front of them.
const BELOW: &str = r#"
def range(from; to; by): range_(from; to; by);
def range(from; to): range_(from; to; 1);
def range(to): range_(0; to; 1);
"#;

/// Ours, in jq, behind its own definitions.
const OURS: &str = r#"
def tonumber: if isnumber then . else number_of_text end;
def toboolean: if isboolean then . elif . == "true" then true elif . == "false" then false
  else error("cannot parse as boolean") end;
def @base64d: text_of_base64;
def fail($reason; $text): error({landfall: $reason, text: $text});
def columns: . as $columns
  | [to_entries[] | if .value | isarray then .value | length
      else fail("type_mismatch"; "columns takes lists, and \(.key) is none") end] as $lengths
  | if ($lengths | unique | length) > 1
    then fail("columns_differ"; "the lists are of different length: \($lengths | tojson)")
    else range_(0; $lengths[0] // 0; 1) as $at | $columns | map_values(.[$at]) end;
def named($names): . as $values
  | if ($names | length) != length
    then fail("columns_differ"; "\($names | length) names, and \(length) values")
    else reduce range_(0; length; 1) as $at ({}; . + {($names[$at]): $values[$at]}) end;
"#;

pub fn definitions() -> Vec<Def<&'static str>> {
    let foreign = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let foreign = foreign.filter(|one| {
        let is_split = one.name == "split" && one.args.len() > 1;
        !LEFT_OUT.contains(&one.name) && !is_split
    });
    let parsed = |text| jaq_core::load::parse(text, |parser| parser.defs());
    let [below, ours] = [BELOW, OURS].map(|text| parsed(text).expect("a test compiles them"));
    below.into_iter().chain(foreign).chain(ours).collect()
}

/// Natives of jq that are not taken as they are.
const REPLACED: [&str; 5] = ["range", "halt", "escape_sh", "fromjson", "tojson"];

pub fn natives() -> impl Iterator<Item = Fun<Language>> {
    let foreign = jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_json::funs());
    let foreign = foreign.filter(|(name, _, _)| !REPLACED.contains(name));
    let ours: Vec<(&'static str, usize, RunPtr<Language>)> = vec![
        (guard::ADD, 2, |mut cv| {
            let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
            cv.0.data().budget.make(length(&left).saturating_add(length(&right)));
            bome(exact(&left, &right, Decimal::plus).map_or_else(|| left + right, Ok))
        }),
        (guard::SUBTRACT, 2, |mut cv| {
            let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
            let difference =
                exact(&left, &right, |left, right| left.plus(&right.clone().negated()));
            bome(difference.map_or_else(|| left - right, Ok))
        }),
        (guard::MULTIPLY, 2, |mut cv| {
            let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
            cv.0.data().budget.make(product(&left, &right));
            bome(exact(&left, &right, product_of_digits).map_or_else(|| left * right, Ok))
        }),
        (guard::NESTED, 0, |cv| {
            let Data { budget, .. } = cv.0.data();
            if !is_nested_at_most(&cv.1, budget.allowance.depth) {
                budget.end(Exhausted::Depth);
            }
            budget.make(length(&cv.1));
            bome(Ok(cv.1))
        }),
        ("range_", 3, |mut cv| {
            let (by, to, from) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
            let budget = cv.0.data().budget;
            let direction = by.cmp(&Val::from(0_usize));
            let mut next = Some(from);
            Box::new(std::iter::from_fn(move || {
                budget.take(1);
                let now = next.take()?;
                let goes_on = match direction {
                    Ordering::Greater => now < to,
                    Ordering::Less => now > to,
                    Ordering::Equal => now != to,
                };
                if !goes_on {
                    return None;
                }
                match now.clone() + by.clone() {
                    Ok(value) => next = Some(value),
                    Err(error) => return Some(Err(Exn::from(error))),
                }
                Some(Ok(now))
            }))
        }),
        ("fromjson", 0, |cv| bome(values::of_text(&cv.1))),
        ("tojson", 0, |cv| {
            let budget = cv.0.data().budget;
            bome(Ok(values::to_text(&cv.1, budget)))
        }),
        ("text_of_base64", 0, |cv| {
            let text = cv.1.as_utf8_bytes().and_then(|text| std::str::from_utf8(text).ok());
            let bytes = text.and_then(|text| Encoding::Base64.decode(text)).map(Bytes::from);
            let value = bytes.map(|bytes| match std::str::from_utf8(&bytes) {
                Ok(_) => Val::utf8_str(bytes),
                Err(_) => Val::byte_str(bytes),
            });
            bome(value.ok_or_else(|| Error::str("cannot parse as base64")))
        }),
        ("number_of_text", 0, |cv| {
            let number = cv.1.as_utf8_bytes().and_then(|text| std::str::from_utf8(text).ok());
            let number = number.and_then(|text| values::number(text.trim()));
            bome(number.ok_or_else(|| Error::str(format_args!("cannot parse {} as number", cv.1))))
        }),
        ("pow", 2, |mut cv| {
            let (power, base) = (cv.0.pop_var(), cv.0.pop_var());
            let both = base.as_f64().zip(power.as_f64());
            let both = both.ok_or_else(|| Error::typ(base, "number"));
            bome(both.map(|(base, power)| Val::from(base.powf(power))))
        }),
        ("log", 0, |cv| bome(real(&cv.1, f64::ln))),
        ("log10", 0, |cv| bome(real(&cv.1, f64::log10))),
        ("log2", 0, |cv| bome(real(&cv.1, f64::log2))),
        ("exp", 0, |cv| bome(real(&cv.1, f64::exp))),
        ("sqrt", 0, |cv| bome(real(&cv.1, f64::sqrt))),
        ("trunc", 0, |cv| bome(real(&cv.1, f64::trunc))),
    ];
    foreign.chain(
        ours.into_iter().map(|(name, arity, pointer)| run::<Language>((name, v(arity), pointer))),
    )
}

/// Digits of a factor that is multiplied exactly: the product of two takes their square in steps.
const FACTOR_DIGITS_MAX: usize = 40;

/// Bits of the largest integer that is calculated with exactly: to write one out takes their square in steps.
const BITS_MAX: u64 = 256;

/// Characters of the longest number that is made exactly: beyond it nobody counts digits.
const EXACT_MAX: usize = 100;

fn product_of_digits(left: &Decimal, right: &Decimal) -> Option<Decimal> {
    let is_short = |number: &Decimal| number.length() <= FACTOR_DIGITS_MAX;
    (is_short(left) && is_short(right)).then(|| left.times(right))
}

/// What an operator makes of two numbers of which one has a fraction or an exponent, digit by digit: the
/// times of a payload are added up like this. None where jq's own operator has to do it.
fn exact(
    left: &Val,
    right: &Val,
    operator: fn(&Decimal, &Decimal) -> Option<Decimal>,
) -> Option<Val> {
    let (Val::Num(left), Val::Num(right)) = (left, right) else { return None };
    if !matches!((left, right), (Num::Dec(_), _) | (_, Num::Dec(_))) {
        return None;
    }
    let digits = |number: &Num| match number {
        Num::Int(number) => Decimal::parse(&number.to_string()),
        Num::BigInt(number) if number.bits() <= BITS_MAX => Decimal::parse(&number.to_string()),
        Num::Dec(digits) => Decimal::parse(digits),
        Num::BigInt(_) | Num::Float(_) => None,
    };
    let text = operator(&digits(left)?, &digits(right)?)?.to_text()?;
    let mut text = Some(text).filter(|text| text.len() <= EXACT_MAX)?;
    // What had a fraction is no integer, whatever is left of it.
    if !text.contains('.') {
        text.push_str(".0");
    }
    Some(Val::Num(Num::Dec(Rc::new(text))))
}

fn real(value: &Val, function: fn(f64) -> f64) -> Result<Val, Error<Val>> {
    let number = value.as_f64().ok_or_else(|| Error::typ(value.clone(), "number"))?;
    Ok(Val::from(function(number)))
}

/// Bytes of a text, elements of a list or object, and words of a large number.
fn length(value: &Val) -> usize {
    match value {
        Val::TStr(text) | Val::BStr(text) => text.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(entries) => entries.len(),
        Val::Num(Num::BigInt(number)) => number.bits() as usize / 8,
        Val::Num(Num::Dec(digits)) => digits.len(),
        _ => 0,
    }
}

/// The size of what a product makes.
fn product(left: &Val, right: &Val) -> usize {
    match (left, right) {
        (text @ (Val::TStr(_) | Val::BStr(_)), Val::Num(times))
        | (Val::Num(times), text @ (Val::TStr(_) | Val::BStr(_))) => match times {
            Num::Int(times) => length(text).saturating_mul(usize::try_from(*times).unwrap_or(0)),
            Num::BigInt(_) => usize::MAX,
            Num::Float(_) | Num::Dec(_) => 0,
        },
        _ => length(left).saturating_add(length(right)),
    }
}

/// Looks at the first and the last of each level only: a program nests by wrapping what it has, and looking
/// at everything would cost more than it saves.
fn is_nested_at_most(value: &Val, depth: usize) -> bool {
    fn first(value: &Val) -> Option<&Val> {
        match value {
            Val::Arr(items) => items.first(),
            Val::Obj(entries) => entries.first().map(|(_, value)| value),
            _ => None,
        }
    }
    fn last(value: &Val) -> Option<&Val> {
        match value {
            Val::Arr(items) => items.last(),
            Val::Obj(entries) => entries.last().map(|(_, value)| value),
            _ => None,
        }
    }
    let is_deep = |next: fn(&Val) -> Option<&Val>| {
        std::iter::successors(Some(value), |value| next(value)).nth(depth).is_some()
    };
    !is_deep(first) && !is_deep(last)
}
