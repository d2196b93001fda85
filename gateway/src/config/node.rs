//! The configuration as a tree, before it means anything. A scalar keeps its text beside what YAML makes
//! of it, so that a text which looks like a number (`0012345678`, `1e5`, `yes`) stays what was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A part of the configuration. It may hold secrets: never print it.
#[derive(Clone, PartialEq)]
pub enum Node {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

/// One value.
#[derive(Clone, PartialEq)]
pub struct Scalar {
    value: Value,
    /// As it is written.
    text: String,
}

/// What YAML makes of a text.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    Text,
    Flag(bool),
    Whole(u64),
    Negative(i64),
    Number(f64),
}

/// Why a part of the configuration is not what it has to be.
#[derive(Debug)]
pub struct NodeError {
    /// The keys that lead to it, from within what was read, the innermost first.
    path: Vec<String>,
    text: String,
}

impl NodeError {
    fn under(mut self, key: &str) -> NodeError {
        self.path.push(key.to_owned());
        self
    }

    /// Where it is, seen from `place`.
    pub fn place(&self, place: &str) -> String {
        let deeper = self.path.iter().rev();
        deeper.fold(place.to_owned(), |place, key| join(&place, key))
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: fmt::Display>(text: T) -> NodeError {
        NodeError { path: Vec::new(), text: text.to_string() }
    }
}

/// The place of a key, or of an element such as `[0]`, under another.
pub fn join(place: &str, key: &str) -> String {
    match key {
        _ if place.is_empty() => key.to_owned(),
        _ if key.starts_with('[') => format!("{place}{key}"),
        _ => format!("{place}.{key}"),
    }
}

impl Node {
    /// Reads YAML, or says where and why it is none.
    pub fn parse(yaml: &str) -> Result<Node, String> {
        let read = serde_saphyr::from_str::<Spanned<Read>>(yaml);
        let read = read.map_err(|error| format!("is no valid YAML: {error}"))?;
        Ok(read.value.node(read.defined, yaml))
    }

    pub fn text(text: impl Into<String>) -> Node {
        Node::Scalar(Scalar { value: Value::Text, text: text.into() })
    }

    pub fn map(entries: impl IntoIterator<Item = (&'static str, Node)>) -> Node {
        Node::Map(entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Node::Null)
    }

    /// The places of all that is in it, as they are seen from `place`.
    pub fn places(&self, place: &str, places: &mut Vec<String>) {
        match self {
            Node::Map(entries) if !entries.is_empty() => {
                entries.iter().for_each(|(key, node)| node.places(&join(place, key), places));
            }
            _ => places.push(place.to_owned()),
        }
    }
}

/// A [`Node`] without the texts of what is no text.
enum Read {
    Null,
    Text(String),
    Value(Value),
    List(Vec<Spanned<Read>>),
    Map(Vec<(String, Spanned<Read>)>),
}

impl Read {
    fn node(self, at: Location, yaml: &str) -> Node {
        match self {
            Read::Null => Node::Null,
            Read::Text(text) => Node::text(text),
            Read::Value(value) => {
                let text = written(at, yaml).unwrap_or_else(|| value.to_string());
                Node::Scalar(Scalar { value, text })
            }
            Read::List(items) => Node::List(
                items.into_iter().map(|item| item.value.node(item.defined, yaml)).collect(),
            ),
            Read::Map(entries) => {
                let node = |(key, entry): (String, Spanned<Read>)| {
                    (key, entry.value.node(entry.defined, yaml))
                };
                Node::Map(entries.into_iter().map(node).collect())
            }
        }
    }
}

/// What stands there in the YAML; None where that is not known.
fn written(at: Location, yaml: &str) -> Option<String> {
    let (start, bytes) = (at.span().byte_offset()?, at.span().byte_len()?);
    let text = yaml.get(start as usize..(start + bytes) as usize)?;
    (!text.is_empty()).then(|| text.trim().to_owned())
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text => Ok(()),
            Value::Flag(flag) => flag.fmt(formatter),
            Value::Whole(number) => number.fmt(formatter),
            Value::Negative(number) => number.fmt(formatter),
            Value::Number(number) => number.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(ReadVisitor)
    }
}

struct ReadVisitor;

impl<'de> Visitor<'de> for ReadVisitor {
    type Value = Read;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Null)
    }

    fn visit_none<E>(self) -> Result<Read, E> {
        Ok(Read::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        Read::deserialize(deserializer)
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        Ok(Read::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Read, E> {
        Ok(Read::Value(Value::Flag(flag)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read, E> {
        Ok(Read::Value(Value::Whole(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read, E> {
        Ok(Read::Value(Value::Negative(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read, E> {
        Ok(Read::Value(Value::Number(number)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Read, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Read::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Read::Map(entries))
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Scalar(Scalar { value, text }) => match value {
                Value::Text => visitor.visit_string(text),
                // Of today's YAML; `ON` and `no` are words, unless a flag is wanted.
                Value::Flag(flag) if text.eq_ignore_ascii_case(&flag.to_string()) => {
                    visitor.visit_bool(flag)
                }
                Value::Flag(_) => visitor.visit_string(text),
                Value::Whole(number) => visitor.visit_u64(number),
                Value::Negative(number) => visitor.visit_i64(number),
                Value::Number(number) => visitor.visit_f64(number),
            },
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(index, node)| At { key: format!("[{index}]"), node });
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Node::Map(entries) => {
                let entries = entries.into_iter();
                let entries = entries.map(|(key, node)| (Key(key.clone()), At { key, node }));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.deserialize_string(visitor)
    }

    /// Where a text is wanted it is what was written.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self {
            Node::Scalar(Scalar { text, .. }) => visitor.visit_string(text),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self {
            Node::Scalar(Scalar { value: Value::Flag(flag), .. }) => visitor.visit_bool(flag),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self {
            Node::Null => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A node under its key, which its faults tell.
struct At {
    key: String,
    node: Node,
}

impl<'de> IntoDeserializer<'de, NodeError> for At {
    type Deserializer = At;

    fn into_deserializer(self) -> At {
        self
    }
}

impl<'de> Deserializer<'de> for At {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let At { key, node } = self;
        node.deserialize_any(visitor).map_err(|error| error.under(&key))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let At { key, node } = self;
        node.deserialize_string(visitor).map_err(|error| error.under(&key))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let At { key, node } = self;
        node.deserialize_string(visitor).map_err(|error| error.under(&key))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let At { key, node } = self;
        node.deserialize_bool(visitor).map_err(|error| error.under(&key))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let At { key, node } = self;
        node.deserialize_option(visitor).map_err(|error| error.under(&key))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The name of an entry, which faults tell when nobody knows it.
struct Key(String);

impl<'de> IntoDeserializer<'de, NodeError> for Key {
    type Deserializer = Key;

    fn into_deserializer(self) -> Key {
        self
    }
}

impl<'de> Deserializer<'de> for Key {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_str::<NodeError>(&self.0).map_err(|error| error.under(&self.0))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(default)]
        texts: BTreeMap<String, String>,
        #[serde(default)]
        list: Vec<Option<String>>,
        number: Option<u16>,
        flag: Option<bool>,
    }

    fn read(yaml: &str) -> Result<Example, NodeError> {
        Example::deserialize(Node::parse(yaml).expect("it is YAML"))
    }

    #[test]
    fn a_text_is_what_was_written() {
        for text in [
            "0012345678",
            "1e5",
            "0x1F",
            "0o17",
            "1_000",
            "1.10",
            "+7",
            "-0",
            "-1",
            ".5",
            "yes",
            "no",
            "True",
            "on",
            "NO",
            "12345678901234567890123",
            "0b11",
            "1:30",
            "2026-11-26",
            "007",
        ] {
            for yaml in [
                format!("texts: {{ a: {text} }}"),
                format!("texts:\n  ä: \"ü\"\n  a: {text}   # told\n"),
                format!("list: [ 1, &x {text} ]\ntexts: {{ a: *x }}"),
                format!("texts: {{ a: \"{text}\" }}"),
            ] {
                let example = read(&yaml).expect(&yaml);
                assert_eq!(example.texts["a"], text, "{yaml}");
            }
        }
        let example = read("{list: [7, null, ~, x], number: 7, flag: yes}").expect("it is valid");
        assert_eq!(example.list, [Some("7".to_owned()), None, None, Some("x".to_owned())]);
        assert_eq!((example.number, example.flag), (Some(7), Some(true)));
        assert!(Node::parse("texts: { a: .inf }").is_err_and(|error| error.contains(".inf")));
        let keys = read("texts: { 007: a, yes: b }").expect("keys are texts");
        assert!(keys.texts.contains_key("007") && keys.texts.contains_key("yes"));
    }

    #[test]
    fn a_word_is_a_flag_only_where_a_flag_is_wanted() {
        /// What takes whatever is there, as a text or a flag.
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Flag(bool),
            Text(String),
        }
        for (yaml, either) in [
            ("ON", Either::Text("ON".to_owned())),
            ("no", Either::Text("no".to_owned())),
            ("true", Either::Flag(true)),
            ("False", Either::Flag(false)),
            ("\"true\"", Either::Text("true".to_owned())),
        ] {
            let node = Node::parse(yaml).expect(yaml);
            assert_eq!(Either::deserialize(node).expect(yaml), either, "{yaml}");
            let texts = Node::parse(&format!("[ {yaml} ]")).expect(yaml);
            assert_eq!(Vec::<Either>::deserialize(texts).expect(yaml), [either], "{yaml}");
        }
        assert_eq!(read("flag: ON").expect("it is a flag").flag, Some(true));
    }

    #[test]
    fn a_fault_tells_its_place() {
        for (yaml, place, word) in [
            ("number: many", "at.number", "many"),
            ("number: 70000", "at.number", "70000"),
            ("number: '7'", "at.number", "u16"),
            ("list: [a, [b]]", "at.list[1]", "a string"),
            ("texts: { a: { b: c } }", "at.texts.a", "a string"),
            ("texts: { a: null }", "at.texts.a", "a string"),
            ("colour: red", "at.colour", "unknown field"),
        ] {
            let error = read(yaml).expect_err(yaml);
            assert_eq!(error.place("at"), place, "{yaml}");
            assert!(error.to_string().contains(word), "{yaml}: {error}");
        }
    }
}
