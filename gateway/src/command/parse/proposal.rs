//! A section to begin with, where there is no configuration yet: what is plain in one payload, as a parser, a
//! rule for the topic that it came by, and a topic for its events. Pure.

use parse::facts::Facts;
use parse::propose::propose;

use crate::config::Settings;

/// Longest name that is taken from a topic, in bytes.
const NAME_MAX_BYTES: usize = 40;
/// The name where the topic has none.
const NAMELESS: &str = "example";

/// The text of the section, which is a configuration.
pub fn section(settings: &Settings, payload: &[u8], facts: &Facts<'_>) -> String {
    let name = facts.attribute("device_type").map_or_else(|| NAMELESS.to_owned(), plain);
    let parser = propose(payload, facts).yaml(&name);
    let parser: Vec<String> = parser.lines().map(|line| format!("    {line}")).collect();
    // JSON's texts are YAML's.
    let topic = serde_json::Value::from(filter(settings, facts.topic));
    format!(
        "parse:\n  parsers:\n{}\n  rules:\n    - {{ when: {{ topic: {topic} }}, parser: {name}, topic: canonical.{name} }}\n  canonical:\n    canonical.{name}: {{}}\n",
        parser.join("\n")
    )
}

/// A name for a parser and for a part of a Kafka topic.
fn plain(text: &str) -> String {
    let legal =
        |one: char| if one.is_ascii_alphanumeric() || "_-".contains(one) { one } else { '-' };
    let name: String = text.chars().map(legal).take(NAME_MAX_BYTES).collect();
    // YAML would see a number or another word in what does not begin with a letter.
    match name.starts_with(|one: char| one.is_ascii_alphabetic()) {
        true => name,
        false => format!("{NAMELESS}-{name}"),
    }
}

/// The topic, with a `+` where its device stands.
fn filter(settings: &Settings, topic: &str) -> String {
    let Some((_, route, _)) = settings.routing.routes.first_match(topic) else {
        return topic.to_owned();
    };
    let pattern = route.filter.to_string();
    let mut wanted = pattern.split('/');
    let level = |level| match wanted.next() {
        Some("{device_id}") => "+",
        _ => level,
    };
    topic.split('/').map(level).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secrets, parse, parse_whole};

    #[test]
    fn whatever_the_topic_is_called_the_section_is_a_configuration() {
        let settings = parse("", [], Secrets::Read).expect("the defaults are valid");
        for (topic, device_type, name, rule) in [
            ("devices/pump/p-1/data", "pump", "pump", "devices/pump/+/data"),
            ("devices/7/p-1/a b", "7", "example-7", "devices/7/+/a b"),
            (
                "devices/true: \"x\" #/p/x",
                "true: \"x\" #",
                "true---x---",
                "devices/true: \"x\" #/+/x",
            ),
            ("elsewhere", "", "example", "elsewhere"),
        ] {
            let attributes = [("device_type", device_type)];
            let attributes = if device_type.is_empty() { &[][..] } else { &attributes };
            let facts =
                Facts { topic, received_ms: 0, device_id: "p-1", verified: false, attributes };
            let text = section(&settings, b"{\"v\":1}", &facts);
            let whole = parse_whole(&text, [], Secrets::Read);
            // A `#` within a topic is a wildcard that is not alone, which no device may publish to.
            if topic.contains('#') {
                assert!(whole.is_err(), "{text}");
                continue;
            }
            let plan = whole.unwrap_or_else(|faults| panic!("{text}\n{faults}")).parse;
            let plan = plan.expect("there is a section").plan;
            let found = plan.rules.iter().next().expect("there is a rule");
            assert_eq!(
                (&*found.parser.name, &*plan.topics[0].topic),
                (name, &*format!("canonical.{name}"))
            );
            assert_eq!(found.to_string(), format!("topic {rule}"));
        }
    }
}
