//! What the section of the parse role means, or which faults it has.

use ::parse::plan::rules::OnFailure;
use ::parse::plan::topic::{CanonicalFormat, Order};
use bridge::key::KeyStrategy;

use super::*;

/// What stands around a section that is right.
const RIGHT: &str = "
parse:
  parsers: { p: { format: json }, q: { format: csv } }
  canonical: { canonical.a: {}, canonical.b: { key: device_id } }
  rules:
    - { when: { topic: 'devices/meter/#' }, parser: p, topic: canonical.a }
    - { when: {}, parser: q, topic: canonical.b, on_failure: skip }
";

fn whole(text: &str) -> Result<Whole, Faults> {
    parse_whole(text, [], Secrets::Assumed)
}

fn role(text: &str) -> ParseSettings {
    whole(text).unwrap_or_else(|faults| panic!("{faults}")).parse.expect("there is a section")
}

#[track_caller]
fn is_told(text: &str, place: &str, word: &str) {
    let Err(Faults(faults)) = whole(text) else { panic!("it is taken: {text}") };
    let told = faults.iter().any(|fault| fault.place == place && fault.text.contains(word));
    assert!(told, "{place} with {word:?} is missing in {faults:?}");
}

#[track_caller]
fn is_hinted(text: &str, word: &str) {
    let hints = role(text).hints;
    assert!(hints.iter().any(|hint| hint.contains(word)), "{word:?} is missing in {hints:?}");
}

#[test]
fn little_that_is_written_is_a_role() {
    let ParseSettings { plan, hints, .. } = role(RIGHT);
    assert_eq!(hints, Vec::<String>::new());
    let pools: Vec<_> = plan.pools.iter().map(|pool| (&*pool.name, &*pool.group)).collect();
    assert_eq!(pools, [("fast", "landfall-parse-fast"), ("slow", "landfall-parse-slow")]);
    let [fast, slow] = &plan.pools[..] else { panic!("two pools") };
    let lanes: Vec<&str> = fast.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(lanes, ["priority", "fast"]);
    assert_eq!(slow.lanes[0].topics, ["landfall.slow"]);
    assert_eq!((fast.window.records, slow.window.records), (10_000, 50));
    assert_eq!((fast.freshness.as_secs(), slow.freshness.as_secs()), (5, 900));
    let metadata = plan.metadata.as_ref().expect("there is one by default");
    assert_eq!((&*metadata.topic, &*metadata.group), ("landfall.metadata", "landfall-metadata"));
    let all: Vec<&str> = metadata.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(all, ["priority", "fast", "slow", "dead-letter"]);
    let written: Vec<&str> = plan.written_topics().collect();
    assert_eq!(written, ["canonical.a", "canonical.b", "landfall.metadata", "landfall.quarantine"]);
    let rules: Vec<_> = plan.rules.iter().map(|rule| (rule.topic, rule.on_failure)).collect();
    assert_eq!(rules, [(0, OnFailure::Quarantine), (1, OnFailure::Skip)]);
    let [a, b] = &plan.topics[..] else { panic!("two topics") };
    let hour = KeyStrategy::DeviceIdBucket { bucket_ms: 3_600_000 };
    assert_eq!((&a.key.strategy, a.order, a.format), (&hour, Order::Key, CanonicalFormat::Json));
    assert_eq!(b.key.strategy, KeyStrategy::DeviceId);
    let limits = ::parse::limits::Limits::default();
    let limits = ::parse::limits::Limits { decompressed: plan.limits.decompressed, ..limits };
    assert_eq!(plan.limits, limits);
}

/// What the schema, and so the reference, says of defaults is what counts where nothing is written.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_role() {
    let schema = schema();
    let defaults = |name: &str| -> Value {
        let properties = schema["definitions"][name]["properties"].as_object().expect(name);
        let written = properties.iter().filter(|(_, property)| !property["default"].is_null());
        let all: serde_json::Map<String, Value> =
            written.map(|(name, property)| (name.clone(), property["default"].clone())).collect();
        assert!(!all.is_empty(), "{name} has no default");
        Value::Object(all)
    };
    let parser = |format: &str| {
        let mut parser = defaults("Parser");
        parser["format"] = format.into();
        parser
    };
    let rule = |mut rule: Value, parser: &str, topic: &str| {
        for (name, default) in defaults("ParseRule").as_object().expect("a map") {
            rule.as_object_mut().expect("a map").entry(name).or_insert(default.clone());
        }
        rule["parser"] = parser.into();
        rule["topic"] = topic.into();
        rule
    };
    let mut canonical_b = defaults("CanonicalTopic");
    canonical_b["key"] = "device_id".into();
    let written = serde_json::json!({ "parse": {
        "parsers": { "p": parser("json"), "q": parser("csv") },
        "canonical": { "canonical.a": defaults("CanonicalTopic"), "canonical.b": canonical_b },
        "rules": [
            rule(serde_json::json!({ "when": { "topic": "devices/meter/#" } }), "p", "canonical.a"),
            rule(serde_json::json!({ "when": {}, "on_failure": "skip" }), "q", "canonical.b"),
        ],
        "metadata": defaults("MetadataStream"),
        "quarantine": defaults("Quarantine"),
        "limits": defaults("ParseLimits"),
    } });
    let (written, nothing) = (role(&written.to_string()), role(RIGHT));
    assert_eq!(format!("{:#?}", written.plan), format!("{:#?}", nothing.plan));
}

#[test]
fn what_is_written_counts() {
    let ParseSettings { plan, hints, .. } = role("
routes: [ { filter: '{plant}/{device_type}/{device_id}/#' } ]
lanes: { cameras: { topic: 'cameras.{plant}', topics: [cameras.n, cameras.s] } }
rules: [ { when: { attributes: { device_type: camera } }, lane: cameras } ]
parse:
  pools:
    all: { lanes: [priority, fast, slow], group: events, window: { records: 7, size: 1MiB }, freshness: 1m, properties: { fetch.min.bytes: 7 } }
    pictures: { lanes: [cameras] }
  parsers:
    p-1.x: { format: json, revision: 3, time: { field: t, unit: ms } }
  canonical:
    c: { key: '{plant}/{device_id}/{bucket}', bucket: 10m, order: device, format: protobuf }
  rules:
    - { when: {}, lane: cameras, parser: p-1.x, topic: c, on_failure: fail }
    - { when: { attributes: { plant: n }, older_than: 1h }, parser: p-1.x, topic: c }
  metadata: { topic: m, enabled: false }
  quarantine: { topic: q }
  limits: { decompressed: 1MiB, ratio: 7, depth: 8, events: 9, event_size: 2KiB, document_size: 4KiB, jq_steps: 10 }
");
    assert_eq!(hints, Vec::<String>::new());
    let [all, pictures] = &plan.pools[..] else { panic!("two pools") };
    assert_eq!((all.group.as_str(), all.window.records, all.window.bytes), ("events", 7, 1 << 20));
    assert_eq!(all.properties["fetch.min.bytes"], "7");
    assert_eq!(pictures.lanes[0].topics, ["cameras.n", "cameras.s"]);
    let [c] = &plan.topics[..] else { panic!("one topic") };
    assert_eq!(
        (c.key.bucket_ms, c.order, c.format),
        (600_000, Order::Device, CanonicalFormat::Protobuf)
    );
    assert_eq!(c.key.strategy.to_string(), "{plant}/{device_id}/{bucket}");
    let shown: Vec<String> = plan.rules.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["lane cameras", "plant is n, older than 3600 s"]);
    let parser = &plan.rules.iter().next().expect("a rule").parser;
    assert_eq!((&*parser.name, parser.revision), ("p-1.x", 3));
    assert!(plan.metadata.is_none() && plan.quarantine == "q");
    let limits = plan.limits;
    let small = (limits.decompressed, limits.ratio, limits.depth, limits.events);
    assert_eq!(small, (1 << 20, 7, 8, 9));
    assert_eq!((limits.event_size, limits.document_size, limits.jq_steps), (2048, 4096, 10));
}

#[test]
fn all_faults_of_the_role_are_told_at_once_each_at_its_place() {
    let text = "
lanes: { cameras: {} }
parse:
  colour: red
  exactly_once: { interval: 1s }
  schema_registry: { url: 'http://localhost:8081' }
  files: [teams/meter.yaml]
  wasm: {}
  scratch: { size: 1GiB }
  pools:
    Fast: { lanes: [fast] }
    a: { lanes: [] }
    b: { lanes: [slow, dead-letter, nowhere, slow] }
    c: { lanes: [fast], group: 'two words', window: { records: 0, size: 1KiB }, freshness: 0s }
    d: { lanes: [priority], group: landfall-metadata, properties: { group.id: x, linger.ms: 5, no.such.thing: 1 } }
  parsers:
    good: { format: json }
    'a b': { format: json }
    kind: { format: cbor }
    many: { format: json, fields: { t: { path: t, type: time, unit: moons } }, jq: '.[' }
    key: { format: json, colour: red }
    old: { format: json, revision: 0 }
  canonical:
    c: { bucket: 1h, key: device_id }
    d: { key: colour }
    e: { key: '{colour}' }
    f: { order: random, format: avro, schema: { registry: x } }
    g: { format: xml, bucket: 0ms }
    'h h': {}
    landfall.fast: {}
    landfall.dead-letter: {}
    landfall.quarantine: {}
  rules:
    - { when: { firmware: '1' }, parser: good, topic: c }
    - { when: { firmware: '>2, <1' }, parser: nobody, topic: nowhere, on_failure: retry }
    - { when: {}, lane: cameras, parser: good, topic: c }
    - { when: {}, lane: nowhere, parser: good, topic: c }
    - { when: {}, lane: dead-letter, parser: good, topic: c }
    - { when: { attributes: { colour: red, group: '' } }, parser: good, topic: c }
    - { when: { property: { codec: '' } }, parser: good, topic: c }
    - { parser: good, topic: c }
  metadata: { topic: 'm m' }
  quarantine: { topic: landfall.slow }
  limits: { decompressed: 1KiB, ratio: 0, depth: 1001, events: 0, event_size: 1GiB, document_size: 0, jq_steps: 0 }
";
    for (place, word) in [
        ("parse.colour", "is no key"),
        ("parse.exactly_once", "not available yet"),
        ("parse.schema_registry", "not available yet"),
        ("parse.files", "not available yet"),
        ("parse.wasm", "not available yet"),
        ("parse.scratch", "not available yet"),
        ("parse.pools.Fast", "a-z"),
        ("parse.pools.a.lanes", "reads no lane"),
        ("parse.pools.b.lanes", "dead-letter has"),
        ("parse.pools.b.lanes", "there are priority, fast, slow, cameras"),
        ("parse.pools.b.lanes", "slow twice"),
        ("parse.pools.c.lanes", "the pool Fast reads the lane fast too"),
        ("parse.pools.c.group", "without spaces"),
        ("parse.pools.c.window.records", "write 1 to 100000"),
        ("parse.pools.c.window.size", "write"),
        ("parse.pools.c.freshness", "is zero"),
        ("parse.pools.d.properties.group.id", "write the pool's group"),
        ("parse.pools.d.properties.linger.ms", "is for producers"),
        ("parse.pools.d.properties.no.such.thing", "no property"),
        ("parse.metadata.group", "the group of parse.pools.d too"),
        ("parse.parsers.a b", "A-Z a-z 0-9"),
        ("parse.parsers.kind.format", "\"cbor\" is no format"),
        ("parse.parsers.many.fields.t.unit", "moons"),
        ("parse.parsers.many.jq", ""),
        ("parse.parsers.key.colour", "unknown field"),
        ("parse.parsers.old.revision", "at least 1"),
        ("parse.canonical.c.bucket", "only"),
        ("parse.canonical.d.key", "device_id"),
        ("parse.canonical.e.key", "no message has {colour}: there are"),
        ("parse.canonical.f.order", "key, device or none"),
        ("parse.canonical.f.format", "avro is not available yet"),
        ("parse.canonical.f.schema", "not available yet"),
        ("parse.canonical.g.format", "json or protobuf"),
        ("parse.canonical.g.bucket", "less than a millisecond"),
        ("parse.canonical.h h", "is no Kafka topic"),
        ("parse.canonical.landfall.fast", "that of the lane fast"),
        ("parse.canonical.landfall.dead-letter", "that of the lane dead-letter"),
        ("parse.quarantine.topic", "that of the lane slow"),
        ("parse.rules[0].when.firmware", "write a range"),
        ("parse.rules[1].when.firmware", "no version is in"),
        ("parse.rules[1].parser", "there are a b, good"),
        ("parse.rules[1].topic", "there is no topic \"nowhere\" in parse.canonical"),
        ("parse.rules[1].on_failure", "skip, quarantine or fail"),
        ("parse.rules[2].lane", "no pool reads the lane cameras"),
        ("parse.rules[3].lane", "there is no lane \"nowhere\""),
        ("parse.rules[4].lane", "no pool reads the lane dead-letter"),
        ("parse.rules[5].when.attributes.colour", "no message has the attribute colour"),
        ("parse.rules[5].when.attributes.group", "counts as absent"),
        ("parse.rules[6].when.property.codec", "counts as absent"),
        ("parse.rules[7]", "missing field `when`"),
        ("parse.metadata.topic", "is no Kafka topic"),
        ("parse.limits.decompressed", "write 1048576"),
        ("parse.limits.ratio", "write 1 to 100000"),
        ("parse.limits.depth", "write 1 to 1000"),
        ("parse.limits.events", "is zero"),
        ("parse.limits.event_size", "write 1024"),
        ("parse.limits.document_size", "write 1024"),
        ("parse.limits.jq_steps", "is zero"),
    ] {
        is_told(text, place, word);
    }
}

#[test]
fn a_part_that_is_no_part_is_told() {
    for (text, place) in [
        ("parse: 7", "parse"),
        ("parse: { pools: 7 }", "parse.pools"),
        ("parse: { pools: {} }", "parse.pools"),
        ("parse: { pools: { a: { window: 7, lanes: [fast] } } }", "parse.pools.a.window"),
        ("parse: { rules: { when: {} } }", "parse.rules"),
        ("parse: { parsers: [] }", "parse.parsers"),
        ("parse: { canonical: 7 }", "parse.canonical"),
        ("parse: { canonical: { c: 7 } }", "parse.canonical.c"),
        ("parse: { metadata: off }", "parse.metadata"),
    ] {
        is_told(text, place, "");
    }
    let pools: Vec<String> = (0..17).map(|at| format!("p{at}: {{ lanes: [fast] }}")).collect();
    is_told(
        &format!("parse: {{ pools: {{ {} }} }}", pools.join(", ")),
        "parse.pools",
        "at most 16",
    );
}

#[test]
fn the_memory_of_a_role_adds_up() {
    const MIB: u64 = 1024 * 1024;
    let of = |limits: &str, section: &str| {
        format!("limits: {{ connections: 100, {limits} }}\n{RIGHT}{section}")
    };
    let store = "object_store: { url: 'file:///tmp' }\n";
    for memory in [512, 1024, 4096, 65_536] {
        for store in ["", store] {
            let role = role(&format!("{store}{}", of(&format!("memory: {memory}MiB"), "")));
            let plan = role.memory_plan;
            assert_eq!((role.memory, plan.limit), (memory * MIB, memory * MIB));
            assert!(plan.process + plan.windows + plan.payloads <= plan.limit, "{plan:?}");
            assert!(role.plan.limits.decompressed as u64 <= 256 * MIB);
        }
    }
    let large = role(&of("memory: 4GiB", ""));
    assert_eq!(large.plan.limits.decompressed as u64, 256 * MIB);
    assert_eq!(large.plan.pools[0].window.bytes, 64 * MIB);
    let without = role(&of("memory: 4GiB", "  metadata: { enabled: false }"));
    assert!(without.memory_plan.windows < large.memory_plan.windows);
    for (text, word) in [
        (of("memory: 1GiB", "  limits: { decompressed: 4GiB }"), "lower parse.limits.decompressed"),
        (
            of("memory: 1GiB", "  pools: { fast: { lanes: [fast], window: { size: 2GiB } } }"),
            "window.size",
        ),
        (of("memory: 1GiB", "  limits: { document_size: 1GiB }"), "document_size"),
    ] {
        is_told(&text, "limits.memory", word);
    }
}

/// Each with what is written in place of the second rule.
#[test]
fn a_rule_that_can_never_hold_is_refused() {
    let with = |second: &str| {
        RIGHT.replace("{ when: {}, parser: q, topic: canonical.b, on_failure: skip }", second)
    };
    let rule = |when: &str| with(&format!("{{ {when}, parser: q, topic: canonical.b }}"));
    for when in [
        "when: { topic: 'devices/meter/#' }",
        "when: { topic: 'devices/meter/+/power' }",
        "when: { topic: 'devices/meter/{x}/power', firmware: '>=2' }, lane: slow",
    ] {
        is_told(&rule(when), "parse.rules[1]", "parse.rules[0] holds for all");
    }
    for when in ["when: { topic: 'devices/+/#' }", "when: { firmware: '>=2' }"] {
        role(&rule(when));
    }
    // A rule of one lane leaves the others.
    let of_lane = RIGHT.replace("when: { topic: 'devices/meter/#' }", "when: {}, lane: slow");
    role(&of_lane);
    is_told(
        &of_lane.replace("when: {}, parser: q", "when: { firmware: '<2' }, lane: slow, parser: q"),
        "parse.rules[1]",
        "can never hold",
    );
}

#[test]
fn what_stops_a_partition_owns_its_topic() {
    let with = |first: &str| RIGHT.replace("when: { topic: 'devices/meter/#' }, parser: p,", first);
    let word = "a lane of its own";
    for first in [
        "when: {}, parser: p, on_failure: fail,",
        "when: { topic: 'devices/meter/#' }, parser: p, on_failure: fail,",
        "when: { larger_than: 1 }, lane: slow, parser: p, on_failure: fail,",
    ] {
        is_told(&with(first), "parse.rules[0].on_failure", word);
    }
    role(&with("when: {}, lane: slow, parser: p, on_failure: fail,"));
    // An earlier rule takes of its lane.
    let behind = RIGHT.replace(
        "when: {}, parser: q, topic: canonical.b, on_failure: skip",
        "when: {}, lane: slow, parser: q, topic: canonical.b, on_failure: fail",
    );
    is_told(&behind, "parse.rules[1].on_failure", word);
}

#[test]
fn what_may_be_meant_otherwise_is_hinted() {
    let text = |old: &str, new: &str| RIGHT.replace(old, new);
    is_hinted(
        &text("q: { format: csv }", "q: { format: csv }, r: { format: csv }"),
        "parse.parsers.r: no rule names it",
    );
    is_hinted(
        &text("canonical.a: {}", "canonical.a: {}, canonical.c: {}"),
        "parse.canonical.canonical.c: no rule names it",
    );
    is_hinted("parse: {}", "parse.rules: there is none");
    is_hinted(&format!("lanes: {{ cameras: {{}} }}\n{RIGHT}"), "no pool reads cameras");
    let keyed = |key: &str| format!("lanes: {{ fast: {{ {key} }} }}\n{RIGHT}");
    is_hinted(
        &keyed("key: received_ms"),
        "parse.canonical.canonical.a.order: a device's messages are in all partitions",
    );
    let by_device =
        |key: &str| keyed(key).replace("key: device_id }", "key: device_id, order: device }");
    is_hinted(
        &by_device("key: device_id+bucket, bucket: 1h"),
        "parse.canonical.canonical.b.order: a device's messages change",
    );
    is_hinted(
        &by_device("key: '{device_id}/{stream}'"),
        "parse.canonical.canonical.b.order: a device's messages may be",
    );
    for quiet in [
        keyed("key: '{stream}'"),
        keyed("key: device_id+bucket, bucket: 1h"),
        by_device("key: '{group}/{device_type}'"),
        keyed("key: event_ms")
            .replace("canonical.a: {}", "canonical.a: { order: none }")
            .replace("key: device_id }", "key: device_id, order: none }"),
    ] {
        assert_eq!(role(&quiet).hints, Vec::<String>::new(), "{quiet}");
    }
}

/// One file, two processes: each looks at what is its own.
#[test]
fn each_role_looks_at_its_own_sections() {
    let environment = || std::iter::empty();
    let of_gateway = format!(
        "listeners: [ {{ name: a, bind: nowhere, authenticate: [certificate] }} ]\naccess: 7\nrules: 7\nlimits: {{ connections: 0 }}\n{RIGHT}"
    );
    let folder = std::env::temp_dir().join(format!("landfall-roles-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let path = file("of-gateway.yaml", &of_gateway);
    let role =
        load_parse(&path, environment(), Secrets::Read, &[]).expect("the role does not look");
    assert_eq!(role.plan.pools.len(), 2);
    assert!(load(Some(&path), environment(), Secrets::Read).is_err());

    let path = file("of-role.yaml", "parse: { parsers: { p: { format: cbor } } }");
    load(Some(&path), environment(), Secrets::Read).expect("the gateway does not look");
    let faults = load_parse(&path, environment(), Secrets::Read, &[]).expect_err("it is faulty").0;
    assert_eq!(faults[0].place, "parse.parsers.p.format");
    assert!(load_whole(Some(&path), environment(), Secrets::Read).is_err());

    let path = file("without.yaml", "kafka: { bootstrap_servers: 'a:9092' }");
    let faults =
        load_parse(&path, environment(), Secrets::Read, &[]).expect_err("there is no section").0;
    assert!(faults[0].place == "parse" && faults[0].text.contains("parse try"), "{faults:?}");
    assert!(load_whole(Some(&path), environment(), Secrets::Read).expect("right").parse.is_none());
    // Both take the sections that they share.
    for shared in ["kafka: 7", "routes: 7", "lanes: { fast: { key: x } }", "colour: red"] {
        let path = file("shared.yaml", &format!("{shared}\n{RIGHT}"));
        assert!(load(Some(&path), environment(), Secrets::Read).is_err(), "{shared}");
        assert!(load_parse(&path, environment(), Secrets::Read, &[]).is_err(), "{shared}");
    }
    std::fs::remove_dir_all(&folder).expect("it was made here");
}

/// A parse role without the secrets of the lanes' producers, which the gateway has.
#[test]
fn no_secret_of_a_lane_is_asked_for() {
    let text = format!(
        "lanes: {{ fast: {{ properties: {{ sasl.password: {{ from_file: /not/there }} }} }} }}\n{RIGHT}"
    );
    let checked = checked(&text, [], Secrets::Read, Checker::parse_role).expect("not its own");
    assert!(checked.is_some());
}

#[test]
fn the_environment_overrides_the_role() {
    let variables = [
        ("LANDFALL__PARSE__POOLS__VERY_SLOW__WINDOW__RECORDS", "7"),
        ("LANDFALL__PARSE__RULES__1__ON_FAILURE", "quarantine"),
        ("LANDFALL__PARSE__CANONICAL", "{ canonical.a: { format: protobuf } }"),
        ("LANDFALL__PARSE__LIMITS__DEPTH", "9"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = format!("{RIGHT}  pools: {{ very-slow: {{ lanes: [priority, fast, slow] }} }}");
    let whole = parse_whole(&text, variables, Secrets::Read).expect("it is right");
    let plan = whole.parse.expect("there is a section").plan;
    assert_eq!((plan.pools.len(), plan.pools[0].window.records), (1, 7));
    assert_eq!(plan.topics[0].format, CanonicalFormat::Protobuf);
    assert_eq!((plan.topics.len(), plan.limits.depth), (2, 9));
    assert!(plan.rules.iter().all(|rule| rule.on_failure == OnFailure::Quarantine));
    let wrong = [("LANDFALL__PARSE__LIMITS__DEPTH".to_owned(), "0".to_owned())];
    let Err(Faults(faults)) = parse_whole(&text, wrong, Secrets::Read) else { panic!("taken") };
    assert!(faults[0].text.contains("LANDFALL__PARSE__LIMITS__DEPTH"), "{faults:?}");
}

/// A process may have some of the pools: what it takes is planned for these, and all are checked.
#[test]
fn a_process_has_the_pools_that_are_named() {
    let text = "parse: { pools: { fast: { lanes: [priority, fast] }, slow: { lanes: [slow] } } }";
    let read = |text: &str, only: &[&str]| {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        checked(text, [], Secrets::Read, |checker| checker.only(&only).parse_role())
    };
    let of = |only: &[&str]| read(text, only).expect("it is right").expect("there is a section");
    let names = |role: &ParseSettings| -> Vec<String> {
        role.plan.pools.iter().map(|pool| pool.name.clone()).collect()
    };
    let (all, slow) = (of(&[]), of(&["slow"]));
    assert_eq!(
        (names(&all), all.plan.reads_for_metadata),
        (vec!["fast".into(), "slow".into()], true)
    );
    assert_eq!((names(&slow), slow.plan.reads_for_metadata), (vec!["slow".into()], false));
    assert!(slow.plan.metadata.is_some(), "what was parsed is told there all the same");
    assert!(slow.plan.limits.decompressed > all.plan.limits.decompressed, "it has room for one");
    assert!(slow.descriptors.reserved() < all.descriptors.reserved());
    let metadata = of(&["metadata"]);
    assert_eq!((names(&metadata), metadata.plan.reads_for_metadata), (vec![], true));
    let faults = read(text, &["slwo"]).expect_err("there is none").to_string();
    assert_eq!(faults, "--pool: there is no pool \"slwo\": there are fast, slow, metadata");
    let twice = text.replace("slow: { lanes: [slow]", "slow: { lanes: [fast]");
    let faults = read(&twice, &["fast"]).expect_err("what others read is checked").to_string();
    assert!(faults.contains("every message of it would be parsed twice"), "{faults}");
    let taken = text.replace("slow: {", "metadata: {");
    let faults = read(&taken, &[]).expect_err("it is another's name").to_string();
    assert!(faults.starts_with("parse.pools.metadata: "), "{faults}");
}

/// What both roles plan with is no more than the process has, and what the process itself takes counts once.
#[test]
fn two_roles_in_one_process_share_its_memory() {
    const MIB: u64 = 1024 * 1024;
    for memory in [1024, 2048, 16_384] {
        let text = format!(
            "limits: {{ memory: {memory}MiB, connections: 1000 }}\nobject_store: {{ url: 'file:///tmp/objects' }}\n{RIGHT}"
        );
        let Whole { gateway, parse } =
            parse_one_process(&text, [], Secrets::Read).unwrap_or_else(|faults| panic!("{faults}"));
        let (role, plan) = (parse.expect("there is a section"), gateway.memory);
        let taken = role.memory_plan;
        let all = [
            plan.connections + plan.fixed + plan.messages,
            taken.process + taken.windows + taken.payloads,
        ];
        assert_eq!((plan.limit, taken.process), (memory * MIB, 0));
        assert!(all.iter().sum::<u64>() <= memory * MIB, "{memory} MiB: {all:?}");
        assert!(role.plan.limits.decompressed >= MIB as usize, "{memory} MiB");
    }
}
