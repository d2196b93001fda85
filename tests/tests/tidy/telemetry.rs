//! What leaves the process for those who watch it: labels come from a closed list and never from a device, and
//! no log line holds a payload or a secret.

use crate::source::Source;
use crate::tree::Tree;
use crate::{Edit, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "labels of metrics have names of a closed list, and nothing of a device as their value",
        faults: labels,
        breaks: &[
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() {\n    counter!(NAME, \"client\" => id);\n}\n",
                ),
                "gateway/src/stranger.rs:2: label \"client\"",
            ),
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() { ::metrics::gauge!(NAME, \"lane\" => message.topic.clone()).set(1.0); }\n",
                ),
                "gateway/src/stranger.rs:1: label \"lane\" has topic",
            ),
            (
                Edit::New("bridge/src/stranger.rs", "fn f() { histogram!(format!(\"a_{x}\")); }\n"),
                "bridge/src/stranger.rs:1: a metric's name is a constant",
            ),
        ],
    },
    Rule {
        says: "a log line is a constant sentence and fields, and no field is a payload or a secret",
        faults: logs,
        breaks: &[
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() {\n    tracing::debug!(payload, \"it came\");\n}\n",
                ),
                "gateway/src/stranger.rs:2: payload",
            ),
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() { warn!(text = ?message.payload[..10], \"odd\"); }\n",
                ),
                "gateway/src/stranger.rs:1: payload",
            ),
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() { tracing::info!(%password, \"who\"); }\n",
                ),
                "gateway/src/stranger.rs:1: password",
            ),
            (
                Edit::New("gateway/src/stranger.rs", "fn f() { tracing::info!(\"{id} came\"); }\n"),
                "gateway/src/stranger.rs:1: the sentence is not constant",
            ),
            (
                Edit::New("gateway/src/stranger.rs", "fn f() { tracing::info!(id); }\n"),
                "gateway/src/stranger.rs:1: there is no sentence",
            ),
        ],
    },
    Rule {
        says: "what holds a payload cannot be printed by mistake",
        faults: printable,
        breaks: &[(
            Edit::New(
                "gateway/src/stranger.rs",
                "#[derive(Clone, Debug)]\npub struct Held {\n    topic: String,\n    payload: Vec<u8>,\n}\n",
            ),
            "gateway/src/stranger.rs:1: Debug",
        )],
    },
];

const PRODUCT: [&str; 3] = ["bridge/src/", "bridge/parse/src/", "gateway/src/"];
const LABELS: &[&str] = &[
    "action", "class", "dirt", "kind", "lane", "listener", "parser", "part", "pool", "reason",
    "result", "role", "state", "thread", "version",
];
/// Words for what a device says.
const DEVICES: [&str; 8] = [
    "client",
    "client_id",
    "device",
    "device_id",
    "payload",
    "topic",
    "username",
    "user_properties",
];
const NEVER_LOGGED: [&str; 8] = [
    "body",
    "password",
    "payload",
    "secret",
    "user_properties",
    "username",
    "credentials",
    "value",
];

fn labels(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT) {
        for (at, arguments) in
            ["counter", "gauge", "histogram"].iter().flat_map(|name| source.calls(name))
        {
            let place = format!("{path}:{}", source.line(at));
            let (name, labels) = arguments.split_once(',').unwrap_or((arguments, ""));
            if name.contains(['"', '!', '(']) {
                faults.push(format!("{place}: a metric's name is a constant, not {name}"));
            }
            let mut parts = labels.split("=>");
            let mut label = parts.next().unwrap_or_default().trim();
            for part in parts {
                // A value, and the next label behind the last comma.
                let (value, next) = part.rsplit_once(", \"").unwrap_or((part, ""));
                let name = label.trim_matches([' ', ',', '"', '\n']);
                if !LABELS.contains(&name) {
                    faults.push(format!("{place}: label \"{name}\" is not in LABELS"));
                }
                faults.extend(
                    words(value)
                        .filter(|word| DEVICES.contains(word))
                        .map(|word| format!("{place}: label \"{name}\" has {word}")),
                );
                label = next;
            }
        }
    }
    faults
}

fn logs(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT) {
        let macros = ["trace", "debug", "info", "warn", "error", "span", "event"];
        for (at, arguments) in macros.iter().flat_map(|name| source.calls(name)) {
            let place = format!("{path}:{}", source.line(at));
            let Some(sentence) =
                arguments.trim().trim_end_matches(',').trim_end().strip_suffix('"')
            else {
                faults.push(format!("{place}: there is no sentence at the end"));
                continue;
            };
            if sentence.rsplit('"').next().unwrap_or_default().contains('{') {
                faults.push(format!("{place}: the sentence is not constant: use fields"));
            }
            let fields = Source::of(arguments).code;
            faults.extend(
                words(&fields)
                    .filter(|word| NEVER_LOGGED.contains(word))
                    .map(|word| format!("{place}: {word} is never logged")),
            );
        }
    }
    faults
}

fn printable(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT) {
        for (at, _) in source.code.match_indices("#[derive(") {
            let item = &source.code[at..];
            let derives = item.split(']').next().unwrap_or_default();
            let fields = item
                .split_once('{')
                .map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
            // Another item begins before: this one has no fields.
            let own = item[derives.len()..]
                .find("#[derive(")
                .is_none_or(|next| item.find('{').is_some_and(|open| open < derives.len() + next));
            let holds = |field: &str| {
                field.contains(" payload:")
                    && ["u8", "Bytes", "Payload"].iter().any(|t| field.contains(t))
            };
            let holds = own && fields.split(',').any(holds);
            if holds && words(derives).any(|word| word == "Debug") {
                faults.push(format!("{path}:{}: Debug of what holds a payload", source.line(at)));
            }
        }
    }
    faults
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| !one.is_alphanumeric() && one != '_')
}
