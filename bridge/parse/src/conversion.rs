//! From what a payload holds to a typed value: the declared type, or without one what JSON says it is. Pure.
//! A declared type that does not hold is a failure, never a guess.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;

use crate::decimal::{Decimal, Notation};
use crate::failure::{Failure, Reason, shown};
use crate::json::reader::not_finite;
use crate::json::{Json, Kind};
use crate::path::Found;
use crate::time::form::{Form, Read};
use crate::value::Value;
use crate::word::{Words, text_of_json};

/// How values of a field are read.
#[derive(Clone, Debug)]
pub struct Conversion {
    pub target: Target,
    /// Words that stand for null.
    pub nulls: Words,
    /// What a number is multiplied by.
    pub scale: Option<Decimal>,
    pub notation: Notation,
    /// Of a text only what is in front of this, where it is there: `*` cuts a unit off `12.3*kWh`.
    pub before: Option<Box<str>>,
    /// Of a text only what is behind this, where it is there.
    pub after: Option<Box<str>>,
    pub not_finite: NotFinite,
}

/// The type that a value has to be of.
#[derive(Clone, Debug)]
pub enum Target {
    /// What it is: a number without fraction and exponent an integer, or beyond 64 bits a decimal; another
    /// number a double; a text a text.
    Undeclared,
    /// In digits of this base.
    Int {
        base: u32,
    },
    Float,
    Decimal,
    Bool {
        yes: Words,
        no: Words,
    },
    Text,
    Bytes(Encoding),
    Time(Vec<Form>),
    List,
    Map,
}

/// How a text stands for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

impl Encoding {
    /// The bytes that a text stands for; None where it stands for none.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        let text = text.trim();
        match self {
            // As MIME breaks its lines (RFC 2045, 6.8).
            Encoding::Base64 if text.contains(['\r', '\n']) => {
                self.decode(&text.replace(['\r', '\n'], ""))
            }
            Encoding::Base64 if text.contains(['-', '_']) => URL_SAFE.decode(text).ok(),
            Encoding::Base64 => STANDARD.decode(text).ok(),
            Encoding::Hex => {
                let text = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
                // As addresses are written, and dumps.
                let digits: Option<Vec<u8>> = text
                    .chars()
                    .filter(|one| !matches!(one, ':' | '-' | ' '))
                    .map(|one| one.to_digit(16).map(|digit| digit as u8))
                    .collect();
                let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
                Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
        }
    }
}

/// What becomes of NaN and the infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotFinite {
    #[default]
    Fail,
    Null,
    Keep,
}

/// Either alphabet, with padding or without: no text is read as other bytes by it.
const STANDARD: GeneralPurpose = lenient(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = lenient(&alphabet::URL_SAFE);

const fn lenient(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(false);
    GeneralPurpose::new(alphabet, config)
}

impl Conversion {
    pub fn undeclared(nulls: Words, not_finite: NotFinite) -> Conversion {
        Conversion {
            target: Target::Undeclared,
            nulls,
            scale: None,
            notation: Notation::Point,
            before: None,
            after: None,
            not_finite,
        }
    }

    pub fn convert<'s>(&self, found: &Found<'s, '_>) -> Result<Value<'s>, Failure> {
        match found {
            Found::One(json) => self.one(json),
            Found::Many(many) => {
                many.iter().map(|json| self.one(json)).collect::<Result<_, _>>().map(Value::List)
            }
            Found::Word(word) => self.text(word, None),
            Found::Number(number) => {
                let text = number.to_string();
                self.number(&text, None).map(Value::into_owned)
            }
        }
    }

    /// Recursive by the document's depth, which has a limit.
    pub fn one<'s>(&self, json: &'s Json<'_>) -> Result<Value<'s>, Failure> {
        if !self.nulls.is_empty() && text_of_json(json).is_some_and(|text| self.nulls.holds(&text))
        {
            return Ok(Value::Null);
        }
        match (&json.kind, &self.target) {
            (Kind::Null, _) => Ok(Value::Null),
            (Kind::Bool(value), Target::Undeclared | Target::Bool { .. }) => {
                Ok(Value::Bool(*value))
            }
            (Kind::Bool(value), Target::Text) => Ok(Value::Text(Cow::Borrowed(match value {
                true => "true",
                false => "false",
            }))),
            (Kind::Number(digits), _) => self.number(digits, json.place()),
            (Kind::NotFinite(value), _) => self.infinite(*value, json.place()),
            (Kind::Text(text), _) => self.text(text, json.place()),
            (Kind::Bytes(bytes), Target::Undeclared | Target::Bytes(_)) => {
                Ok(Value::Bytes(Cow::Borrowed(bytes)))
            }
            (Kind::Bytes(bytes), _) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(text, json.place()),
                Err(error) => {
                    let detail = "the bytes are no text: they are not UTF-8";
                    Err(Failure::new(Reason::NotUtf8, detail).at(error.valid_up_to()))
                }
            },
            (Kind::List(items), Target::Undeclared | Target::List) => {
                let each = self.within();
                let items = items.iter().map(|item| each.one(item)).collect::<Result<_, _>>();
                items.map(Value::List)
            }
            (Kind::Map(entries), Target::Undeclared | Target::Map) => {
                let each = self.within();
                let entry = |entry: &'s crate::json::Entry<'_>| {
                    Ok((Cow::Borrowed(entry.key.as_ref()), each.one(&entry.value)?))
                };
                entries.iter().map(entry).collect::<Result<_, _>>().map(Value::Map)
            }
            _ => Err(self.mismatch(json.describe(), json.place())),
        }
    }

    /// What holds for the values of a list or an object without a type of their own.
    fn within(&self) -> Cow<'_, Conversion> {
        match self.target {
            Target::Undeclared => Cow::Borrowed(self),
            _ => Cow::Owned(Conversion { target: Target::Undeclared, ..self.clone() }),
        }
    }

    fn text<'s>(&self, text: &'s str, at: Option<usize>) -> Result<Value<'s>, Failure> {
        let text = self.part(text);
        if self.nulls.holds(text) {
            return Ok(Value::Null);
        }
        match &self.target {
            Target::Undeclared if self.scale.is_none() => Ok(Value::Text(Cow::Borrowed(text))),
            Target::Text => Ok(Value::Text(Cow::Borrowed(text))),
            Target::Bytes(encoding) => {
                let bytes = encoding.decode(text);
                bytes
                    .map(|bytes| Value::Bytes(Cow::Owned(bytes)))
                    .ok_or_else(|| self.mismatch(&shown(text), at))
            }
            Target::Bool { yes, no } => self.word(text.trim(), yes, no, at),
            Target::Int { base: 10 } | Target::Float | Target::Decimal
                if let Some(value) = not_finite(text.trim()) =>
            {
                self.infinite(value, at)
            }
            Target::Int { .. } | Target::Float | Target::Decimal | Target::Time(_) => {
                self.number(text.trim(), at)
            }
            Target::Undeclared | Target::List | Target::Map => Err(self.mismatch(&shown(text), at)),
        }
    }

    /// The part of a text that counts.
    fn part<'s>(&self, mut text: &'s str) -> &'s str {
        if let Some(after) = &self.after {
            text = text.split_once(&**after).map_or(text, |(_, behind)| behind);
        }
        if let Some(before) = &self.before {
            text = text.split_once(&**before).map_or(text, |(in_front, _)| in_front);
        }
        text
    }

    fn word(
        &self,
        text: &str,
        yes: &Words,
        no: &Words,
        at: Option<usize>,
    ) -> Result<Value<'static>, Failure> {
        if yes.holds(text) {
            Ok(Value::Bool(true))
        } else if no.holds(text) {
            Ok(Value::Bool(false))
        } else {
            Err(self.mismatch(&shown(text), at))
        }
    }

    /// Digits, of a number or of a text that stands for one.
    fn number<'s>(&self, digits: &'s str, at: Option<usize>) -> Result<Value<'s>, Failure> {
        let is_plain = self.scale.is_none() && self.notation == Notation::Point;
        match &self.target {
            Target::Text => Ok(Value::Text(Cow::Borrowed(digits))),
            Target::Bool { yes, no } => self.word(digits, yes, no, at),
            Target::Time(forms) => self.time(digits, forms, at),
            Target::Int { base: 10 } if is_plain && let Ok(value) = digits.parse() => {
                Ok(Value::Int(value))
            }
            Target::Int { base: 10 } => self.whole(&self.decimal(digits, at)?, digits, at),
            Target::Int { base } => {
                let value = Decimal::parse_base(digits, *base);
                let value = value.ok_or_else(|| self.mismatch(&shown(digits), at))?;
                i64::try_from(value).map(Value::Int).map_err(|_| self.too_large(digits, at))
            }
            Target::Float if is_plain && let Some(value) = double(digits) => {
                Ok(Value::Double(value))
            }
            Target::Float => self.double(&self.decimal(digits, at)?, digits, at),
            Target::Decimal if is_plain && is_canonical(digits) => {
                Ok(Value::Decimal(Cow::Borrowed(digits)))
            }
            Target::Decimal => {
                let text = self.decimal(digits, at)?.to_text();
                let text = text.ok_or_else(|| self.too_large(digits, at))?;
                Ok(Value::Decimal(Cow::Owned(text)))
            }
            Target::Undeclared if is_plain => self.as_written(digits, at),
            Target::Undeclared => {
                let number = self.decimal(digits, at)?;
                let text = number.to_text().ok_or_else(|| self.too_large(digits, at))?;
                self.as_written(&text, at).map(Value::into_owned)
            }
            Target::Bytes(_) | Target::List | Target::Map => Err(self.mismatch(&shown(digits), at)),
        }
    }

    /// What a number is without a declared type.
    fn as_written<'s>(&self, digits: &'s str, at: Option<usize>) -> Result<Value<'s>, Failure> {
        if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return Ok(match digits.parse() {
                Ok(value) => Value::Int(value),
                Err(_) => Value::Decimal(Cow::Borrowed(digits)),
            });
        }
        double(digits).map(Value::Double).ok_or_else(|| self.too_large(digits, at))
    }

    /// The digits as a number, scaled.
    fn decimal(&self, digits: &str, at: Option<usize>) -> Result<Decimal, Failure> {
        let plain = self.notation.plain(digits);
        let number = plain.and_then(|plain| Decimal::parse(&plain));
        let number = number.ok_or_else(|| self.mismatch(&shown(digits), at))?;
        Ok(match &self.scale {
            Some(scale) => number.times(scale),
            None => number,
        })
    }

    fn whole(
        &self,
        number: &Decimal,
        digits: &str,
        at: Option<usize>,
    ) -> Result<Value<'static>, Failure> {
        let (value, is_exact) = number.whole().ok_or_else(|| self.too_large(digits, at))?;
        if !is_exact {
            return Err(self.mismatch(&format!("{}, which is no whole number", shown(digits)), at));
        }
        i64::try_from(value).map(Value::Int).map_err(|_| self.too_large(digits, at))
    }

    fn double(
        &self,
        number: &Decimal,
        digits: &str,
        at: Option<usize>,
    ) -> Result<Value<'static>, Failure> {
        number.to_double().map(Value::Double).ok_or_else(|| self.too_large(digits, at))
    }

    fn infinite(&self, value: f64, at: Option<usize>) -> Result<Value<'static>, Failure> {
        match (self.not_finite, &self.target) {
            (NotFinite::Null, _) => Ok(Value::Null),
            (NotFinite::Keep, Target::Undeclared | Target::Float) => Ok(Value::Double(value)),
            _ => Err(self.mismatch(&format!("{value}, which is not finite"), at)),
        }
    }

    fn time(
        &self,
        text: &str,
        forms: &[Form],
        at: Option<usize>,
    ) -> Result<Value<'static>, Failure> {
        let read = forms.iter().map(|form| form.read(text)).find(|read| *read != Read::Other);
        match read {
            Some(Read::At(nanoseconds)) => Timestamp::from_nanosecond(nanoseconds)
                .map(Value::Time)
                .map_err(|_| self.too_large(text, at)),
            Some(Read::NoSuchTime) => {
                Err(self.mismatch(&format!("{}, which is in no calendar", shown(text)), at))
            }
            Some(Read::Other) | None => Err(self.mismatch(&shown(text), at)),
        }
    }

    fn mismatch(&self, found: &str, at: Option<usize>) -> Failure {
        let wanted = match &self.target {
            Target::Undeclared => "a number",
            Target::Int { .. } => "an int",
            Target::Float => "a float",
            Target::Decimal => "a decimal",
            Target::Bool { .. } => "a bool",
            Target::Text => "a text",
            Target::Bytes(Encoding::Hex) => "bytes in hex",
            Target::Bytes(Encoding::Base64) => "bytes in base64",
            Target::Time(_) => "a time",
            Target::List => "a list",
            Target::Map => "a map",
        };
        let failure =
            Failure::new(Reason::TypeMismatch, format!("{wanted} is declared, not {found}"));
        Failure { at, ..failure }
    }

    fn too_large(&self, digits: &str, at: Option<usize>) -> Failure {
        let detail = format!("{} is beyond its type", shown(digits));
        Failure { at, ..Failure::new(Reason::DoesNotFit, detail) }
    }
}

/// A finite double, of digits in a number's grammar.
fn double(digits: &str) -> Option<f64> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    digits.parse().ok().filter(|value: &f64| is_number && value.is_finite())
}

/// Whether digits are what [`Decimal::to_text`] would make of them.
fn is_canonical(digits: &str) -> bool {
    let bare = digits.strip_prefix('-').unwrap_or(digits);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, "0"));
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole)
        && all_digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && digits.len() <= crate::decimal::DIGITS_MAX
        && (bare.len() == digits.len() || bare.bytes().any(|byte| (b'1'..=b'9').contains(&byte)))
}

#[cfg(test)]
mod tests;
