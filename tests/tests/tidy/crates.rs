//! Who may name which crate, and which way dependencies point. The manifests are read as text, one
//! dependency a line, as Cargo.toml is written here.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;
use crate::tree::Tree;
use crate::{Edit, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "a foreign crate is named in its owner's files only, and each has an owner",
        faults: owners,
        breaks: &[
            (
                Edit::New("bridge/src/stranger.rs", "use rdkafka::ClientConfig;\n"),
                "bridge/src/stranger.rs:1: rdkafka",
            ),
            (
                Edit::New(
                    "gateway/src/stranger.rs",
                    "fn f() {\n    object_store::parse_url();\n}\n",
                ),
                "gateway/src/stranger.rs:2: object_store",
            ),
            (
                Edit::New("gateway/src/connection/stranger.rs", "use rumqttd::Broker;\n"),
                "stranger.rs:1: rumqttd",
            ),
            (
                Edit::New("gateway/src/stranger.rs", "pub use axum as web;\n"),
                "gateway/src/stranger.rs:1: axum",
            ),
            (
                Edit::Instead(
                    "bridge/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nregex = \"1\"\n",
                ),
                "bridge/Cargo.toml: regex has no owner",
            ),
        ],
    },
    Rule {
        says: "dependencies point one way: tests, gateway, parse, bridge, proto; device-sim knows proto only",
        faults: direction,
        breaks: &[
            (
                Edit::Instead(
                    "bridge/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\ngateway.workspace = true\n",
                ),
                "bridge/Cargo.toml: bridge may not depend on gateway",
            ),
            (
                Edit::Instead(
                    "examples/device-sim/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nbridge = { workspace = true, features = [\"contract-suite\"] }\n",
                ),
                "device-sim may not depend on bridge",
            ),
            (
                Edit::Instead(
                    "bridge/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\naxum.workspace = true\n",
                ),
                "bridge may not depend on axum",
            ),
        ],
    },
    Rule {
        says: "the bridge's modules depend on each other one way",
        faults: circles,
        breaks: &[
            (
                Edit::New("bridge/src/route/stranger.rs", "use crate::classify::Routing;\n"),
                "bridge/src: classify, route know each other",
            ),
            (
                Edit::New("bridge/src/record/stranger.rs", "use crate::{metrics, lane::Lane};\n"),
                "lane, lanes, record",
            ),
        ],
    },
    Rule {
        says: "who judges what a gateway did under faults shares no code with it",
        faults: judges,
        breaks: &[
            (
                Edit::New("tests/faults/judge/stranger.rs", "use proto::v1::Envelope;\n"),
                "tests/faults/judge/stranger.rs:1: proto",
            ),
            (
                Edit::New("tests/faults/fleet/stranger.rs", "fn f() {\n    bridge::f();\n}\n"),
                "tests/faults/fleet/stranger.rs:2: bridge",
            ),
            (
                Edit::Instead(
                    "tests/faults/landed.rs",
                    "use tests::wait;",
                    "use tests::{kafka::Kafka, wait};",
                ),
                "kafka::",
            ),
            (
                Edit::Instead(
                    "tests/faults/books.rs",
                    "\nuse std::",
                    "\nuse gateway::run;\nuse std::",
                ),
                "gateway",
            ),
        ],
    },
    Rule {
        says: "no dependency is unused",
        faults: unused,
        breaks: &[
            (
                Edit::Instead(
                    "proto/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nrdkafka.workspace = true\n",
                ),
                "proto/Cargo.toml: nothing names rdkafka",
            ),
            (
                Edit::Instead(
                    "Cargo.toml",
                    "[workspace.dependencies]\n",
                    "[workspace.dependencies]\nregex = \"1\"\n",
                ),
                "Cargo.toml: no package takes regex",
            ),
        ],
    },
    Rule {
        says: "unsafe code is where librdkafka is called, and nowhere else",
        faults: no_unsafe,
        breaks: &[
            (
                Edit::New("gateway/src/stranger.rs", "#[allow(unsafe_code)]\nfn f() {}\n"),
                "gateway/src/stranger.rs:1: unsafe",
            ),
            (
                Edit::Instead("gateway/Cargo.toml", "[lints]\nworkspace = true\n", ""),
                "gateway/Cargo.toml: the workspace's lints",
            ),
            (
                Edit::Instead("Cargo.toml", "unsafe_code = \"deny\"", "unsafe_code = \"warn\""),
                "Cargo.toml: unsafe_code",
            ),
        ],
    },
];

const PRODUCT: [&str; 4] = ["proto/", "bridge/", "gateway/", "examples/device-sim/"];
const PACKAGES: [&str; 6] =
    ["proto", "bridge", "bridge/parse", "gateway", "examples/device-sim", "tests"];

/// Crates that are no more than a part of the language: whoever needs one takes it.
const EVERYWHERE: [&str; 11] = [
    "anyhow",
    "bytes",
    "metrics",
    "parking_lot",
    "proptest",
    "prost",
    "serde",
    "serde_json",
    "thiserror",
    "tokio",
    "tracing",
];

/// Where each of the others may be named, in what is shipped and in its unit tests: beginnings of paths.
const OWNERS: &[(&str, &[&str])] = &[
    ("argon2", &["gateway/src/identity", "gateway/src/command/"]),
    ("axum", &["gateway/src/admin"]),
    (
        "base64",
        &[
            "bridge/parse/",
            "gateway/src/",
            "examples/device-sim/src/security/",
            "examples/device-sim/src/show.rs",
        ],
    ),
    (
        "blake3",
        &[
            "bridge/src/",
            "bridge/parse/src/event.rs",
            "gateway/src/identity",
            "examples/device-sim/src/verify/",
        ],
    ),
    ("bytesize", &["gateway/src/config/", "gateway/src/command/"]),
    ("clap", &["gateway/src/command", "examples/device-sim/src/"]),
    ("encoding_rs", &["bridge/parse/src/charset.rs"]),
    (
        "flate2",
        &[
            "bridge/parse/src/unpack.rs",
            "bridge/parse/tests/messages/bounds.rs",
            "bridge/parse/examples/",
            "examples/device-sim/src/payload",
        ],
    ),
    ("futures_util", &["bridge/src/objects/", "examples/device-sim/src/"]),
    ("httparse", &["gateway/src/net/"]),
    ("humantime", &["gateway/src/config/", "gateway/src/command/", "examples/device-sim/src/"]),
    ("hyper", &["gateway/src/admin"]),
    ("hyper_util", &["gateway/src/admin"]),
    ("itoa", &["bridge/parse/src/canonical/"]),
    ("jaq_core", &["bridge/parse/src/jq"]),
    ("jaq_json", &["bridge/parse/src/jq"]),
    ("jaq_std", &["bridge/parse/src/jq"]),
    (
        "jiff",
        &[
            "bridge/src/",
            "bridge/parse/",
            "gateway/src/clients/",
            "gateway/src/command/",
            "gateway/src/audit",
            "gateway/src/live/",
        ],
    ),
    ("jsonwebtoken", &["gateway/src/identity"]),
    ("libc", &["bridge/src/kafka/native.rs"]),
    ("metrics_util", &["gateway/src/metrics/"]),
    ("mimalloc", &["gateway/src/main.rs"]),
    ("notify", &["gateway/src/reload"]),
    ("object_store", &["bridge/src/objects", "examples/device-sim/src/verify/"]),
    ("pbkdf2", &["gateway/src/identity"]),
    ("prost_build", &["proto/build.rs"]),
    ("prost_types", &["proto/src/"]),
    ("proxy_header", &["gateway/src/net/"]),
    ("protox", &["proto/build.rs"]),
    ("pulldown_cmark", &["gateway/src/admin/runbook/"]),
    (
        "rand",
        &[
            "bridge/src/",
            "bridge/parse/src/pool/tests.rs",
            "gateway/src/identity",
            "gateway/src/command/",
            "gateway/src/live.rs",
            "examples/device-sim/src/",
        ],
    ),
    ("rcgen", &["gateway/src/command/", "gateway/src/net/tls/", "examples/device-sim/src/"]),
    (
        "rdkafka",
        &[
            "bridge/src/kafka",
            "bridge/src/sink/kafka",
            // By librdkafka's own error codes, in tests.
            "bridge/src/lane/simulation",
            "examples/device-sim/src/verify/",
        ],
    ),
    ("reqwest", &["gateway/src/command/admin.rs", "gateway/src/identity", "gateway/src/web.rs"]),
    ("rlimit", &["gateway/src/"]),
    // A codec that is not ours, for the tests of ours.
    ("rumqttc", &["gateway/src/mqtt/tests/", "examples/device-sim/src/link/mqtt.rs"]),
    ("rumqttd", &["gateway/src/local/router.rs"]),
    ("rustls", &["gateway/src/", "examples/device-sim/src/"]),
    (
        "rustix",
        &[
            "bridge/src/objects/",
            "examples/device-sim/src/screen/terminal.rs",
            "gateway/src/command/password.rs",
            "gateway/src/low_priority.rs",
            "gateway/src/process.rs",
            "gateway/src/net/",
        ],
    ),
    (
        "schemars",
        &[
            "bridge/parse/src/compile/tests.rs",
            "bridge/parse/src/written",
            "gateway/src/config",
            "gateway/src/command/schema.rs",
            "gateway/src/secret.rs",
        ],
    ),
    (
        "serde_saphyr",
        &["bridge/parse/tests/", "gateway/src/config/", "examples/device-sim/src/verify/"],
    ),
    ("sha1", &["gateway/src/net/websocket/"]),
    ("sha2", &["bridge/src/", "gateway/src/", "examples/device-sim/src/"]),
    ("slab", &["bridge/parse/src/desk.rs"]),
    ("smallvec", &["bridge/src/topic/"]),
    ("socket2", &["gateway/src/"]),
    ("tokio_rustls", &["examples/device-sim/src/", "gateway/src/admin/secured.rs"]),
    ("tokio_tungstenite", &["examples/device-sim/src/link/"]),
    (
        "tracing_subscriber",
        &["gateway/src/command", "gateway/src/process", "examples/device-sim/src/main.rs"],
    ),
    (
        "url",
        &[
            "bridge/src/",
            "gateway/src/admin/",
            "gateway/src/config",
            "gateway/src/command/",
            "gateway/src/identity/",
            "gateway/src/web.rs",
            "examples/device-sim/src/verify/",
        ],
    ),
    (
        "unicode_width",
        &["examples/device-sim/src/screen/row.rs", "examples/device-sim/src/happenings.rs"],
    ),
    ("webpki", &["gateway/src/net/"]),
    ("x509_parser", &["gateway/src/net/", "gateway/src/command/"]),
    ("uuid", &["bridge/src/"]),
    ("xxhash_rust", &["bridge/src/", "gateway/src/"]),
    ("zmij", &["bridge/parse/src/canonical/"]),
    ("zstd", &["bridge/parse/src/unpack.rs", "bridge/parse/tests/messages/bounds.rs"]),
];

/// Where HTTP, YAML and MQTT begin, the bridge has ended.
const NOT_IN_BRIDGE: [&str; 9] = [
    "axum",
    "clap",
    "hyper",
    "hyper_util",
    "rumqttc",
    "rumqttd",
    "schemars",
    "serde_saphyr",
    "socket2",
];

/// Which packages of the workspace a package may depend on.
fn allowed(package: &str) -> &'static [&'static str] {
    match package {
        "bridge" => &["proto"],
        "bridge/parse" => &["bridge", "proto"],
        "gateway" => &["bridge", "parse", "proto"],
        "examples/device-sim" => &["proto"],
        "tests" => &["bridge", "gateway", "parse", "proto"],
        _ => &[],
    }
}

/// The dependencies of a manifest, as code names them, with the section that each is in.
fn dependencies(manifest: &str) -> BTreeMap<String, String> {
    let (mut section, mut found) = ("", BTreeMap::new());
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name: String = line.chars().take_while(|one| !" .=".contains(*one)).collect();
            if !name.is_empty() {
                found.insert(name.replace('-', "_"), section.to_owned());
            }
        }
    }
    found
}

fn manifest(package: &str) -> String {
    format!("{package}/Cargo.toml")
}

fn owners(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let owned: BTreeMap<&str, &[&str]> = OWNERS.iter().copied().collect();
    let ours = ["proto", "bridge", "parse", "gateway"];
    let mut taken = BTreeSet::new();
    for package in PACKAGES.into_iter().filter(|package| *package != "tests") {
        for name in dependencies(tree.text(&manifest(package))).into_keys() {
            let known = EVERYWHERE.contains(&&*name) || ours.contains(&&*name);
            if !known && !owned.contains_key(&*name) {
                faults.push(format!(
                    "{package}/Cargo.toml: {name} has no owner: give it one in OWNERS"
                ));
            }
            taken.insert(name);
        }
    }
    for name in owned.keys().filter(|name| !taken.contains(**name)) {
        faults.push(format!("OWNERS: nobody depends on {name} any more"));
    }
    for (path, source) in tree.rust(&PRODUCT) {
        for (name, places) in OWNERS {
            let is_module = source.code.contains(&format!("mod {name};"));
            if is_module || places.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            for at in source.names(name).filter(|at| is_path(&source.code[at + name.len()..])) {
                let line = source.line(at);
                faults.push(format!("{path}:{line}: {name} belongs to {}", places.join(", ")));
            }
        }
    }
    faults
}

/// Does the code behind a name make it one of a crate or module: `name::…`, `use name;`, `use name as …`?
fn is_path(behind: &str) -> bool {
    behind.starts_with("::") || behind.starts_with(" as ") || behind.starts_with(';')
}

fn direction(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let ours = ["proto", "bridge", "parse", "gateway", "device_sim", "tests"];
    for package in PACKAGES {
        for name in dependencies(tree.text(&manifest(package))).into_keys() {
            let is_wrong = ours.contains(&&*name) && !allowed(package).contains(&&*name);
            let beyond = package == "bridge" && NOT_IN_BRIDGE.contains(&&*name);
            if is_wrong || beyond {
                let own = package.rsplit('/').next().unwrap_or(package);
                faults.push(format!("{package}/Cargo.toml: {own} may not depend on {name}"));
            }
        }
    }
    faults
}

/// What a lane cannot deliver goes to another lane.
const KNOWN_CIRCLE: [&str; 2] = ["dead_letters", "lane"];

fn circles(tree: &Tree) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, source) in tree.product(&["bridge/src/"]) {
        let inside = path.trim_start_matches("bridge/src/");
        let module = inside.split(['/', '.']).next().unwrap_or(inside);
        if module == "lib" {
            continue;
        }
        let own = uses.entry(module).or_default();
        for at in source.names("crate::") {
            let behind = &source.code[at + "crate::".len()..];
            let list = behind.strip_prefix('{').map(|list| list.split('}').next().unwrap_or(list));
            let one = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_');
            match list {
                // What stands behind `::` in a list is no module, or has the name of none.
                Some(list) => own.extend(list.split(|c: char| !c.is_alphanumeric() && c != '_')),
                None => drop(own.insert(&behind[..one(behind).unwrap_or(behind.len())])),
            }
        }
    }
    let all: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|module| (*module, reached(&uses, module))).collect();
    let circle = |module: &&str| -> Vec<&str> {
        all[module].iter().copied().filter(|other| all[other].contains(module)).collect()
    };
    let found: BTreeSet<Vec<&str>> = all.keys().map(circle).filter(|one| !one.is_empty()).collect();
    let unknown = found.into_iter().filter(|circle| *circle != KNOWN_CIRCLE);
    unknown.map(|circle| format!("bridge/src: {} know each other", circle.join(", "))).collect()
}

/// Those who keep the books and those who judge by them.
const JUDGES: [&str; 4] =
    ["tests/faults/books", "tests/faults/fleet", "tests/faults/judge", "tests/faults/landed"];

fn judges(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut finds = |path: &str, source: &Source, at: usize, name: &str| {
        let line = source.line(at);
        faults.push(format!("{path}:{line}: {name} is the gateway's, or reads Kafka as it does"));
    };
    for (path, source) in tree.product(&JUDGES) {
        for name in ["bridge", "gateway", "parse", "proto", "rdkafka"] {
            for at in source.names(name).filter(|at| is_path(&source.code[at + name.len()..])) {
                finds(path, source, at, name);
            }
        }
        // The harness's own way to read records is rdkafka.
        source.anywhere("kafka::").for_each(|at| finds(path, source, at, "kafka::"));
    }
    faults
}

/// The modules that one depends on, and those that these depend on.
fn reached<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        let next = uses[module].iter().filter(|next| **next != module && uses.contains_key(**next));
        open.extend(next.filter(|next| seen.insert(**next)));
    }
    seen
}

fn unused(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken = BTreeSet::new();
    for package in PACKAGES {
        let folder = [&*format!("{package}/")];
        // The fuzz targets are a workspace of their own.
        let code: Vec<_> = tree
            .rust(&folder)
            .filter(|(path, _)| !path.starts_with("tests/fuzz/fuzz_targets/"))
            .map(|(_, source)| source)
            .collect();
        for (name, section) in dependencies(tree.text(&manifest(package))) {
            let named = code.iter().any(|source| source.names(&name).next().is_some());
            if !named {
                faults.push(format!("{package}/Cargo.toml: nothing names {name} ({section})"));
            }
            taken.insert(name);
        }
    }
    for name in dependencies(tree.text("Cargo.toml")).into_keys() {
        if !taken.contains(&name) {
            faults.push(format!("Cargo.toml: no package takes {name}"));
        }
    }
    faults
}

/// The one file that may allow it.
const UNSAFE: &str = "bridge/src/kafka/native.rs";

fn no_unsafe(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in tree.rust(&[""]).filter(|(path, _)| *path != UNSAFE) {
        for at in source.anywhere("unsafe").chain(source.anywhere("unsafe_code")) {
            faults.push(format!("{path}:{}: unsafe code belongs into {UNSAFE}", source.line(at)));
        }
    }
    for package in PACKAGES {
        if !tree.text(&manifest(package)).contains("[lints]\nworkspace = true\n") {
            faults.push(format!("{package}/Cargo.toml: the workspace's lints are not its own"));
        }
    }
    if !tree.text("Cargo.toml").contains("unsafe_code = \"deny\"") {
        faults.push("Cargo.toml: unsafe_code is not denied".to_owned());
    }
    faults
}
