//! The key of a record, which decides its partition: UTF-8, times in decimal milliseconds. Pure.

use std::fmt;
use std::io::Write as _;

use crate::metadata::Facts;
use crate::topic::filter::is_name;

/// Digits of a time in milliseconds, with its sign.
const TIME_MAX_BYTES: usize = 20;

/// How a lane makes its records' keys.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeyStrategy {
    /// All of a device's messages in one partition, in order.
    #[default]
    DeviceId,
    /// Spread evenly, by the time of receipt.
    ReceivedMs,
    /// By the time of the event; of receipt where the device told none.
    EventMs,
    /// A device's messages of one span of time together, as `id/bucket`, the bucket being the start
    /// of the span.
    DeviceIdBucket { bucket_ms: i64 },
    /// A text with attributes in it.
    Template(Template),
}

/// What keys are made of.
pub trait Keyed {
    fn device_id(&self) -> &str;

    /// When it was received, milliseconds since 1970 UTC.
    fn received_ms(&self) -> i64;

    /// When it happened, as far as that is known, milliseconds since 1970 UTC.
    fn event_ms(&self) -> Option<i64>;

    /// An attribute by name; None where it is absent or empty.
    fn attribute(&self, name: &str) -> Option<&str>;
}

impl Keyed for Facts<'_> {
    fn device_id(&self) -> &str {
        &self.metadata.device_id
    }

    fn received_ms(&self) -> i64 {
        self.received_ms
    }

    fn event_ms(&self) -> Option<i64> {
        self.metadata.event_start_ms
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        Facts::attribute(self, name)
    }
}

impl KeyStrategy {
    /// Appends the key. An attribute that a template names and a message lacks is empty in it.
    pub fn write(&self, facts: &impl Keyed, out: &mut Vec<u8>) {
        let time = facts.event_ms().unwrap_or(facts.received_ms());
        // Writing to a vector cannot fail.
        let _ = match self {
            KeyStrategy::DeviceId => out.write_all(facts.device_id().as_bytes()),
            KeyStrategy::ReceivedMs => write!(out, "{}", facts.received_ms()),
            KeyStrategy::EventMs => write!(out, "{time}"),
            KeyStrategy::DeviceIdBucket { bucket_ms } => {
                let bucket = time.div_euclid(*bucket_ms) * bucket_ms;
                write!(out, "{}/{bucket}", facts.device_id())
            }
            KeyStrategy::Template(template) => {
                for part in &template.parts {
                    out.extend_from_slice(match part {
                        Part::Text(text) => text.as_bytes(),
                        Part::Attribute(name) => facts.attribute(name).unwrap_or("").as_bytes(),
                    });
                }
                Ok(())
            }
        };
    }
}

impl KeyStrategy {
    /// Bytes of the key at most; `facts` are made only where they are needed.
    pub(crate) fn size_max<'a>(&self, device_id: &str, facts: impl FnOnce() -> Facts<'a>) -> usize {
        match self {
            KeyStrategy::DeviceId => device_id.len(),
            KeyStrategy::ReceivedMs | KeyStrategy::EventMs => TIME_MAX_BYTES,
            KeyStrategy::DeviceIdBucket { .. } => device_id.len() + 1 + TIME_MAX_BYTES,
            KeyStrategy::Template(template) => {
                let facts = facts();
                let part = |part: &Part| match part {
                    Part::Text(text) => text.len(),
                    Part::Attribute(name) => facts.attribute(name).map_or(0, str::len),
                };
                template.parts.iter().map(part).sum()
            }
        }
    }
}

impl fmt::Display for KeyStrategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyStrategy::DeviceId => formatter.write_str("device_id"),
            KeyStrategy::ReceivedMs => formatter.write_str("received_ms"),
            KeyStrategy::EventMs => formatter.write_str("event_ms"),
            KeyStrategy::DeviceIdBucket { bucket_ms } => {
                write!(formatter, "device_id+bucket of {} s", *bucket_ms as f64 / 1000.0)
            }
            KeyStrategy::Template(template) => write!(formatter, "{template}"),
        }
    }
}

/// A text with `{attributes}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Attribute(Box<str>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: write an attribute as {{name}}, with letters, digits, `_` and `-`")]
pub struct TemplateError(String);

impl Template {
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let error = || TemplateError(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(start);
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let inside = braced.strip_prefix('{').ok_or_else(error)?;
            let (name, after) = inside.split_once('}').ok_or_else(error)?;
            if !is_name(name) {
                return Err(error());
            }
            parts.push(Part::Attribute(name.into()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Template { text: text.into(), parts })
    }

    /// Names of its attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Attribute(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// The text with the attributes in place, or the name of the first that is missing.
    pub fn fill(&self, facts: &Facts<'_>) -> Result<String, &str> {
        let mut filled = String::new();
        for part in &self.parts {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Attribute(name) => facts.attribute(name).ok_or(&**name)?,
            });
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::Metadata;
    use crate::topic::filter::Captures;

    /// Nothing but metadata is known.
    fn facts<'a>(metadata: &'a Metadata<'a>, received_ms: i64) -> Facts<'a> {
        Facts::new(metadata, Captures::NONE, received_ms, None, None, None)
    }

    fn key(strategy: &KeyStrategy, received_ms: i64, event_ms: Option<i64>) -> String {
        let metadata =
            Metadata { device_id: "m-1".into(), event_start_ms: event_ms, ..Metadata::default() };
        let facts = facts(&metadata, received_ms);
        let mut out = Vec::new();
        strategy.write(&facts, &mut out);
        assert!(out.len() <= strategy.size_max(&metadata.device_id, || facts));
        String::from_utf8(out).expect("keys are UTF-8")
    }

    #[test]
    fn keys_are_readable() {
        assert_eq!(key(&KeyStrategy::DeviceId, 5, None), "m-1");
        assert_eq!(key(&KeyStrategy::ReceivedMs, 5, Some(3)), "5");
        assert_eq!(key(&KeyStrategy::EventMs, 5, Some(3)), "3");
        assert_eq!(key(&KeyStrategy::EventMs, 5, None), "5");
        let hour = KeyStrategy::DeviceIdBucket { bucket_ms: 3_600_000 };
        assert_eq!(key(&hour, 7_200_001, None), "m-1/7200000");
        let template = Template::parse("{device_id}-{missing}!").expect("a template");
        assert_eq!(key(&KeyStrategy::Template(template), 5, None), "m-1-!");
        for text in ["{", "}", "{}", "{a b}", "a}b"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_time(time in -(1_i64 << 50)..(1_i64 << 50), bucket_ms in 1_i64..100_000_000) {
            let text = key(&KeyStrategy::DeviceIdBucket { bucket_ms }, time, None);
            let start: i64 = text.rsplit('/').next().and_then(|start| start.parse().ok()).expect("a number");
            prop_assert!(start <= time && time < start + bucket_ms);
            prop_assert_eq!(start % bucket_ms, 0);
        }

        /// Whatever a device says of itself: keys are text, the same for the same facts, and
        /// nothing but what the strategy names is in them.
        #[test]
        fn keys_are_text_and_depend_on_what_their_strategy_names(
            device_id in ".{0,20}",
            (device_type, group) in (".{0,20}", ".{0,20}"),
            received_ms in any::<i64>(),
            event_ms in proptest::option::of(-(1_i64 << 50)..(1_i64 << 50)),
            bucket_ms in 1_i64..100_000_000,
        ) {
            let metadata = Metadata {
                device_id: device_id.clone().into(),
                device_type: device_type.clone().into(),
                group: group.into(),
                event_start_ms: event_ms,
                ..Metadata::default()
            };
            let facts = facts(&metadata, received_ms);
            let write = |strategy: &KeyStrategy| {
                // A key goes behind what is there.
                let mut out = b"before".to_vec();
                strategy.write(&facts, &mut out);
                let text = String::from_utf8(out).expect("keys are UTF-8");
                text.strip_prefix("before").expect("what was there stays").to_owned()
            };
            let time = event_ms.unwrap_or(received_ms);
            prop_assert_eq!(write(&KeyStrategy::DeviceId), &device_id[..]);
            prop_assert_eq!(write(&KeyStrategy::ReceivedMs), received_ms.to_string());
            prop_assert_eq!(write(&KeyStrategy::EventMs), time.to_string());
            // A time near the end of what a number holds has no bucket that fits into one.
            if time.checked_sub(bucket_ms).is_some() {
                let bucket = time - time.rem_euclid(bucket_ms);
                let key = write(&KeyStrategy::DeviceIdBucket { bucket_ms });
                prop_assert_eq!(key, format!("{device_id}/{bucket}"));
            }
            let template = Template::parse("é{device_type}/{nothing}{device_id}").expect("one");
            let key = write(&KeyStrategy::Template(template.clone()));
            prop_assert_eq!(key, format!("é{device_type}/{device_id}"));
            prop_assert_eq!(template.fill(&facts), Err(if device_type.is_empty() { "device_type" } else { "nothing" }));
        }

        #[test]
        fn a_template_is_its_text_with_the_attributes_in_place(
            parts in proptest::collection::vec(("[^{}]{0,5}", "[A-Za-z0-9_-]{1,8}"), 0..4),
            end in "[^{}]{0,5}",
        ) {
            let mut text = String::new();
            for (before, name) in &parts {
                text.push_str(&format!("{before}{{{name}}}"));
            }
            text.push_str(&end);
            let template = Template::parse(&text).expect("a template");
            prop_assert_eq!(template.to_string(), text);
            let names: Vec<&str> = parts.iter().map(|(_, name)| name.as_str()).collect();
            prop_assert_eq!(template.attributes().collect::<Vec<_>>(), names);
        }
    }
}
