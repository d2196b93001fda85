//! What an event's fields hold: typed values, which keep what the device said. A null is a value, and is
//! not the same as a field that is absent.

use std::borrow::Cow;

use jiff::Timestamp;

/// One value. Texts and names may borrow from the payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Plain digits with an optional sign and point: as many of them as the device sent.
    Decimal(Cow<'a, str>),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Time(Timestamp),
    List(Vec<Value<'a>>),
    /// In the order of the payload; no name is there twice.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    /// The name of its type, as documents, schemas and the canonical JSON call it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Double(_) => "float",
            Value::Decimal(_) => "decimal",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Time(_) => "time",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        }
    }

    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Double(value) => Value::Double(value),
            Value::Decimal(digits) => Value::Decimal(Cow::Owned(digits.into_owned())),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Time(time) => Value::Time(time),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => Value::Map(owned(entries)),
        }
    }

    /// Lists and maps within each other.
    pub fn depth(&self) -> usize {
        match self {
            Value::List(items) => 1 + items.iter().map(Value::depth).max().unwrap_or(0),
            Value::Map(entries) => {
                1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Bytes that it takes in memory beside itself, counted as they come; the limit on an event's size is
    /// held against them.
    pub fn weight(&self) -> usize {
        match self {
            Value::Decimal(text) | Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => {
                items.iter().map(|item| size_of::<Value<'_>>() + item.weight()).sum()
            }
            Value::Map(entries) => entries
                .iter()
                .map(|(name, value)| size_of::<Value<'_>>() + name.len() + value.weight())
                .sum(),
            _ => 0,
        }
    }
}

fn owned(entries: Vec<(Cow<'_, str>, Value<'_>)>) -> Vec<(Cow<'static, str>, Value<'static>)> {
    let entry = |(name, value): (Cow<'_, str>, Value<'_>)| {
        (Cow::Owned(name.into_owned()), value.into_owned())
    };
    entries.into_iter().map(entry).collect()
}
