//! What code may not do where it stands: read a clock where it is pure, wait in a lane's thread, queue without
//! a bound, panic over what is not our own bug.

use crate::source::Source;
use crate::tree::Tree;
use crate::{Edit, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "what calls itself pure has no clock, no randomness, no task, no file and no socket",
        faults: impure,
        breaks: &[
            (
                Edit::New(
                    "bridge/src/stranger.rs",
                    "//! A decision. Pure.\nfn f() { Instant::now(); }\n",
                ),
                "bridge/src/stranger.rs:2: Instant::now in a pure file",
            ),
            (
                Edit::New(
                    "bridge/src/stranger.rs",
                    "//! Pure: no clock.\nuse tokio::time::sleep;\n",
                ),
                "tokio:: in a pure file",
            ),
            (
                Edit::Instead("bridge/src/route.rs", "Pure", "Clean"),
                "bridge/src/route.rs:1: its first lines do not call it pure",
            ),
        ],
    },
    Rule {
        says: "a lane's thread runs no future and blocks on nothing but its own pause and short locks",
        faults: blocking,
        breaks: &[
            (
                Edit::New(
                    "bridge/src/lane/stranger.rs",
                    "fn f() {\n    runtime.block_on(g());\n}\n",
                ),
                "bridge/src/lane/stranger.rs:2: block_on",
            ),
            (
                Edit::New("bridge/src/sink/stranger.rs", "async fn f() {}\n"),
                "bridge/src/sink/stranger.rs:1: async",
            ),
            (
                Edit::New(
                    "bridge/src/lane/stranger.rs",
                    "fn f() { std::thread::sleep(A_WHILE); }\n",
                ),
                "thread::sleep",
            ),
        ],
    },
    Rule {
        says: "no queue is unbounded",
        faults: unbounded,
        breaks: &[
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() { let (a, b) = mpsc::unbounded_channel(); }\n",
                ),
                "gateway/src/stranger.rs:1: unbounded_channel",
            ),
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() { let (a, b) = std::sync::mpsc::channel(); }\n",
                ),
                "gateway/src/stranger.rs:1: mpsc::channel()",
            ),
        ],
    },
    Rule {
        says: "nothing that is shipped panics over what may happen, or is left for later",
        faults: careless,
        breaks: &[
            (
                Edit::New("gateway/src/stranger.rs", "fn f() { g().unwrap(); }\n"),
                "gateway/src/stranger.rs:1: .unwrap()",
            ),
            (
                Edit::New("bridge/src/stranger.rs", "#[allow(dead_code)]\nfn f() {}\n"),
                "bridge/src/stranger.rs:1: allow(",
            ),
            (
                Edit::New("bridge/src/stranger.rs", "fn f() {\n    // TODO: later\n}\n"),
                "bridge/src/stranger.rs:2: TODO",
            ),
            (
                Edit::New("tests/tests/promises/stranger.rs", "#[test]\n#[ignore]\nfn f() {}\n"),
                "tests/tests/promises/stranger.rs:2: #[ignore",
            ),
        ],
    },
];

const PRODUCT: [&str; 4] =
    ["bridge/src/", "bridge/parse/src/", "gateway/src/", "examples/device-sim/src/"];

/// Files that decide, wherever they stand: they have to call themselves pure.
const DECIDE: [&str; 13] = [
    "acl_file.rs",
    "classify.rs",
    "filter.rs",
    "judge.rs",
    "key.rs",
    "lane/flight.rs",
    "lane/flight/queue.rs",
    "fleet/outbox.rs",
    "pattern.rs",
    "policy.rs",
    "route.rs",
    "rule.rs",
    "window.rs",
];

const IMPURE: [&str; 14] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::rng",
    "tokio::",
    "std::fs",
    "std::net",
    "std::thread",
    "thread::spawn",
    "std::env",
    "TcpStream",
    "parking_lot::",
    "metrics::",
];

fn impure(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT) {
        let head = tree.text(path).lines().take_while(|line| line.starts_with("//!"));
        // The packages' own heads describe other files.
        let is_pure = !path.ends_with("/lib.rs")
            && head
                .collect::<String>()
                .to_lowercase()
                .split(|one: char| !one.is_alphabetic())
                .any(|word| word == "pure");
        let decides = DECIDE
            .iter()
            .any(|name| path.strip_suffix(name).is_some_and(|folder| folder.ends_with('/')));
        if decides && !is_pure {
            faults.push(format!("{path}:1: its first lines do not call it pure"));
        }
        if is_pure {
            for word in IMPURE {
                faults.extend(named(path, source, word, "in a pure file"));
            }
        }
    }
    faults
}

fn blocking(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&["bridge/src/lane", "bridge/src/sink"]) {
        for word in ["async ", ".await", "block_on", "tokio::", "std::fs", "std::net", ".recv()"] {
            faults.extend(named(path, source, word, "in what a lane's thread runs"));
        }
        // A reset waits for what librdkafka gives back, and no longer than `PURGE_WAIT`.
        if path != "bridge/src/sink/kafka.rs" {
            faults.extend(named(path, source, "thread::sleep", "in what a lane's thread runs"));
        }
    }
    faults
}

/// Each step that waits there holds the memory of its part, which the lane's share bounds.
const BOUNDED_BY_A_SHARE: &str = "bridge/src/upload.rs";

fn unbounded(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT).filter(|(path, _)| *path != BOUNDED_BY_A_SHARE) {
        for word in ["unbounded_channel", "unbounded()", "mpsc::channel()"] {
            faults.extend(named(path, source, word, "is a queue without a bound"));
        }
    }
    faults
}

fn careless(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.product(&PRODUCT) {
        for (word, why) in [
            (".unwrap()", "expect(\"why it cannot be\"), or return the error"),
            ("allow(", "#[expect(lint, reason = \"…\")] says why"),
        ] {
            faults.extend(named(path, source, word, why));
        }
    }
    for (path, source) in tree.rust(&[""]).filter(|(path, _)| !path.starts_with(OWN)) {
        for word in ["TODO", "FIXME", "XXX"] {
            let lines = tree.text(path).lines().enumerate().filter(|(_, line)| line.contains(word));
            faults.extend(lines.map(|(at, _)| format!("{path}:{}: {word}", at + 1)));
        }
        faults.extend(named(path, source, "#[ignore", "a test runs, or says that it cannot"));
    }
    faults
}

/// Where these rules themselves are: they name what they look for.
pub const OWN: &str = "tests/tests/tidy/";

fn named(path: &str, source: &Source, word: &str, why: &str) -> Vec<String> {
    let found = source
        .anywhere(word)
        .map(|at| format!("{path}:{}: {} {why}", source.line(at), word.trim()));
    found.collect()
}
