//! What is written, and what it means or which faults it has.

mod certificates;
mod listeners;
mod parse;

use bridge::LaneId;

use super::*;
use crate::admin::ProbesSettings;
use crate::identity::{Binding, Way, password};

fn load_text(text: &str) -> Result<Settings, Faults> {
    parse(text, [], Secrets::Read)
}

fn faults(text: &str) -> Vec<Fault> {
    load_text(text).expect_err("it is faulty").0
}

#[test]
fn nothing_written_is_a_configuration() {
    let settings = load_text("# nothing\n").expect("the defaults are valid");
    assert_eq!(settings.listeners[0].bind.to_string(), "127.0.0.1:1883");
    let lanes = &settings.routing.lanes;
    let topics: Vec<&str> = lanes.values().map(|lane| lane.topic.all()[0].as_str()).collect();
    assert_eq!(
        topics,
        ["landfall.priority", "landfall.fast", "landfall.slow", "landfall.dead-letter"]
    );
    assert_eq!(lanes[LaneId::PRIORITY].gather, Duration::ZERO);
    let shares: u64 = lanes.values().map(|lane| lane.inline_memory + lane.large_memory).sum();
    let MemoryPlan { limit, connections, fixed, .. } = settings.memory;
    assert!(connections + fixed + shares <= limit, "promise 5");
}

#[test]
fn all_faults_are_told_at_once_each_at_its_place() {
    let text = r#"
listeners:
  - { name: plain, bind: "0.0.0.0:1883" }
  - { name: plain, bind: "nowhere" }
kafka:
  bootstrap_servers: broker
  properties: { acks: "1", no.such.thing: 1 }
object_store:
  url: "s3://bucket/prefix"
  options: { endpoint: "http://localhost:9000", colour: red }
limits: { memory: 100MiB, connections: 1000 }
routes:
  - { filter: "a/#/b" }
rules:
  - { when: { firmware: "1.2" }, lane: nowhere }
  - { when: { firmware: "1.2" }, lane: slow }
lanes:
  fast: { ack: spool, key: colour, format: cloudevents }
  slow: { topic: "t.{device_type}" }
unrouted: maybe
colour: red
"#;
    let found = faults(text);
    let places: Vec<&str> = found.iter().map(|fault| fault.place.as_str()).collect();
    for place in [
        "colour",
        "listeners[0].bind",
        "listeners[1].bind",
        "kafka.bootstrap_servers",
        "kafka.properties.acks",
        "kafka.properties.no.such.thing",
        "object_store.options.colour",
        "object_store.options.allow_http",
        "limits.memory",
        "routes[0].filter",
        "rules[0].lane",
        "rules[1].when.firmware",
        "lanes.fast.ack",
        "lanes.fast.key",
        "lanes.fast.format",
        "lanes.slow.topics",
        "unrouted",
    ] {
        assert!(places.contains(&place), "{place} is missing in {places:?}");
    }
}

#[test]
fn beyond_loopback_needs_the_word() {
    let text = "listeners: [{ name: plain, bind: '0.0.0.0:1883', anonymous: true }]";
    load_text(text).expect("it was said");
}

#[test]
fn the_environment_overrides_and_maps_merge() {
    let environment = [
        ("LANDFALL__KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
        ("LANDFALL__LANES__DEAD_LETTER__TOPIC", "dlq"),
        ("LANDFALL__LANES__FAST__INLINE_SIZE", "64KiB"),
        ("LANDFALL__KAFKA__PROPERTIES", "{ linger.ms: 7 }"),
        ("PATH", "/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = "kafka: { properties: { client.id: x } }";
    let settings = parse(text, environment, Secrets::Read).expect("valid");
    assert_eq!(settings.kafka.bootstrap_servers, "kafka:9092");
    assert_eq!(settings.routing.lanes[LaneId::DEAD_LETTER].topic.all(), ["dlq"]);
    assert_eq!(settings.routing.lanes[LaneId::FAST].inline_size, 64 * 1024);
    assert_eq!(settings.kafka.properties["client.id"], "x");
    assert_eq!(settings.kafka.properties["queue.buffering.max.ms"], "7");
    let unknown = parse("", [("LANDFALL__NOWHERE__X".to_owned(), "1".to_owned())], Secrets::Read);
    assert_eq!(unknown.expect_err("no such section").0[0].place, "nowhere");
}

/// What `run` could not live with, at its place and with a word on what to write.
#[test]
fn a_kafka_that_run_could_not_use_is_refused() {
    let sasl = "security.protocol: SASL_SSL, sasl.username: me, sasl.password: secret";
    let of_kafka = |properties: &str| format!("kafka: {{ properties: {{ {properties} }} }}");
    let of_fast =
        |properties: &str| format!("lanes: {{ fast: {{ properties: {{ {properties} }} }} }}");
    for (text, place, word) in [
        (of_kafka("max.in.flight: 10"), "kafka.properties.max.in.flight", "<= 5"),
        (of_fast("max.in.flight: 10"), "lanes.fast.properties.max.in.flight", "<= 5"),
        (of_kafka("queuing.strategy: lifo"), "kafka.properties.queuing.strategy", "fifo"),
        (of_kafka("reconnect.backoff.ms: 1000"), "kafka.properties.reconnect.backoff.ms", "500"),
        (of_kafka("security.protocol: SASL_SSL"), "kafka.properties.sasl.mechanism", "PLAIN"),
        (
            of_kafka("security.protocol: SASL_SSL, sasl.mechanism: PLAIN"),
            "kafka.properties.sasl.username",
            "needed",
        ),
        (of_kafka(&sasl.replace("secret", "''")), "kafka.properties.sasl.password", "empty"),
        (
            of_kafka(&sasl.replace("secret", "{ from_file: /dev/null }")),
            "kafka.properties.sasl.password",
            "/dev/null is empty",
        ),
        (
            of_kafka(&format!("{sasl}, sasl.mechanism: GSSAPI")),
            "kafka.properties.sasl.mechanism",
            "SCRAM-SHA-512",
        ),
        (
            of_kafka(&format!("{sasl}, sasl.mechanisms: OAUTHBEARER")),
            "kafka.properties.sasl.mechanisms",
            "SCRAM-SHA-512",
        ),
        (
            of_kafka("security.protocol: SSL, ssl.ca.location: /nowhere/ca.crt"),
            "kafka.properties.ssl.ca.location",
            "/nowhere/ca.crt cannot be read",
        ),
        (of_kafka("linger.ms: 900000"), "kafka.properties.linger.ms", "at most 1000"),
        (
            of_fast("queue.buffering.max.ms: 900000"),
            "lanes.fast.properties.queue.buffering.max.ms",
            "1000",
        ),
        (
            of_kafka("message.max.bytes: 100000"),
            "kafka.properties.message.max.bytes",
            "at least 622592",
        ),
        (
            of_fast("message.max.bytes: 600000"),
            "lanes.fast.properties.message.max.bytes",
            "lanes.fast.inline_size",
        ),
        (of_fast("fetch.min.bytes: 1"), "lanes.fast.properties.fetch.min.bytes", "consumers"),
        (of_kafka("fetch.max.bytes: 10"), "kafka.properties.fetch.max.bytes", "message.max.bytes"),
        (of_kafka("topic.acks: 1"), "kafka.properties.topic.acks", "in-sync"),
        (
            of_fast("topic.message.timeout.ms: 1"),
            "lanes.fast.properties.topic.message.timeout.ms",
            "never given up",
        ),
        (
            of_kafka("test.mock.num.brokers: 3"),
            "kafka.properties.test.mock.num.brokers",
            "only for tests",
        ),
        (
            of_kafka("compression.type: zstd, compression.codec: lz4"),
            "kafka.properties.compression.type",
            "the same as kafka.properties.compression.codec",
        ),
        (
            "kafka: { bootstrap_servers: '::1:9092' }".to_owned(),
            "kafka.bootstrap_servers",
            "[::1]:9092",
        ),
        ("kafka: { bootstrap_servers: 'h:0' }".to_owned(), "kafka.bootstrap_servers", "1 to 65535"),
        (
            "kafka: { bootstrap_servers: 'a:1,b' }".to_owned(),
            "kafka.bootstrap_servers",
            "\"b\" is no broker",
        ),
        (
            "kafka: { bootstrap_servers: 'a b:9092' }".to_owned(),
            "kafka.bootstrap_servers",
            "no host",
        ),
        (
            "kafka: { bootstrap_servers: 'SSL://a:9092' }".to_owned(),
            "kafka.bootstrap_servers",
            "security.protocol",
        ),
    ] {
        let found = faults(&text);
        let fault = found.iter().find(|fault| fault.place == place);
        let fault = fault.unwrap_or_else(|| panic!("{text}: {place} is missing in {found:?}"));
        assert!(fault.text.contains(word), "{text}: {fault:?}");
        assert_eq!(found.len(), 1, "{text}: one is at fault: {found:?}");
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }
}

#[test]
fn a_kafka_that_run_can_use_is_taken() {
    for text in [
        "kafka: { bootstrap_servers: '[::1]:9092, k_1.example:9093,10.0.0.1:9' }",
        "kafka: { bootstrap_servers: 'sasl_ssl://a:9092', properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: me, sasl.password: secret } }",
        "kafka: { properties: { linger.ms: 7, socket.keepalive.enable: true } }",
        "kafka: { properties: { message.max.bytes: 200000000, reconnect.backoff.ms: 500 } }",
    ] {
        let found = load_text(text).err().unwrap_or_default();
        assert!(found.0.is_empty(), "{text}: {found}");
    }
}

#[test]
fn an_address_has_one_listener() {
    let name = |bind: &str| bind.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let listener =
        |bind: &str| format!("{{ name: '{}', bind: '{bind}', anonymous: true }}", name(bind));
    for (first, second, are_both_possible) in [
        ("0.0.0.0:1883", "[::]:1883", false),
        ("[::]:1883", "0.0.0.0:1883", false),
        ("0.0.0.0:1883", "127.0.0.1:1883", false),
        ("[::]:1883", "127.0.0.1:1883", false),
        ("[::]:1883", "[::1]:1883", false),
        ("127.0.0.1:1883", "127.0.0.1:1883", false),
        ("0.0.0.0:1883", "[::1]:1883", true),
        ("127.0.0.1:1883", "127.0.0.2:1883", true),
        ("0.0.0.0:1883", "[::]:1884", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
    ] {
        let listeners = format!("listeners: [{}, {}]", listener(first), listener(second));
        let listeners = listeners.replacen(&format!("name: '{}'", name(first)), "name: first", 1);
        let admin = format!("listeners: [{}]\nadmin: {{ bind: '{second}' }}", listener(first));
        for (text, place) in [(listeners, "listeners[1].bind"), (admin, "admin.bind")] {
            let found = load_text(&text).err().unwrap_or_default().0;
            let places: Vec<&str> = found.iter().map(|fault| fault.place.as_str()).collect();
            let expected: &[&str] = if are_both_possible { &[] } else { &[place] };
            assert_eq!(places, expected, "{text}: {found:?}");
        }
    }
    let found = faults("listeners: [{ name: a, bind: '127.0.0.1:8080' }]");
    assert_eq!(found[0].place, "admin.bind", "it is there by default: {found:?}");
}

/// The rest of what is known of options stands in `objects/open.rs`.
#[test]
fn a_store_that_run_could_not_use_is_refused() {
    let store =
        |rest: &str| format!("object_store: {{ url: 's3://fleet/a', options: {{ {rest} }} }}");
    for (text, environment, place, word) in [
        (store("timeout: 30"), ("PATH", "/"), "object_store.options.timeout", "30s"),
        (
            store("checksum_algorithm: md5"),
            ("PATH", "/"),
            "object_store.options.checksum_algorithm",
            "sha256",
        ),
        (
            store("endpoint: 'localhost:9000'"),
            ("PATH", "/"),
            "object_store.options.endpoint",
            "http://HOST:PORT",
        ),
        (
            store("endpoint_url: 'http://h'"),
            ("PATH", "/"),
            "object_store.options.allow_http",
            "allow_http: \"true\"",
        ),
        (
            store(""),
            ("AWS_ENDPOINT_URL", "http://h"),
            "object_store.options.allow_http",
            "AWS_ENDPOINT_URL",
        ),
        (store(""), ("AWS_TIMEOUT", "30"), "environment AWS_TIMEOUT", "30s"),
        (
            store("token: { from_file: /dev/null }"),
            ("PATH", "/"),
            "object_store.options.token",
            "is empty",
        ),
        (
            "object_store: { url: 's3://b/a//b' }".to_owned(),
            ("PATH", "/"),
            "object_store.url",
            "single slashes",
        ),
        (
            "object_store: { url: 'file:///dev/null/a' }".to_owned(),
            ("PATH", "/"),
            "object_store.url",
            "/dev/null is no folder",
        ),
        (
            "".to_owned(),
            ("LANDFALL__OBJECT_STORE__URL", "s3://b/#a"),
            "object_store.url",
            "LANDFALL__OBJECT_STORE__URL",
        ),
    ] {
        let environment = [(environment.0.to_owned(), environment.1.to_owned())];
        let found = parse(&text, environment, Secrets::Read).expect_err(&text).0;
        let fault = found.iter().find(|fault| fault.place == place);
        let fault = fault.unwrap_or_else(|| panic!("{text}: {place} is missing in {found:?}"));
        assert!(fault.text.contains(word), "{text}: {fault:?}");
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
    let text = store("endpoint: 'http://h', allow_http: 'True'");
    load_text(&text).expect("object_store takes that for true");
    let elsewhere =
        store("access_key_id: { from_file: /nowhere/a }, allow_http: true, endpoint: 'http://h'");
    parse(&elsewhere, [], Secrets::Assumed).expect("another machine has it");
}

#[test]
fn a_lane_says_more_than_kafka_by_any_name_and_a_client_has_its_lanes_name() {
    let text = "
gateway_id: gw-7
kafka: { properties: { compression.codec: lz4, linger.ms: 7 } }
lanes:
  fast: { properties: { topic.compression.type: zstd } }
  slow: { properties: { client.id: mine } }
  cameras: {}
";
    let settings = load_text(text).expect("valid");
    let lanes = &settings.routing.lanes;
    let get = |lane: &str, name| {
        let plan = lanes.values().find(|plan| plan.name == lane).expect(lane);
        plan.properties.get(name).map(String::as_str)
    };
    assert_eq!(get("priority", "compression.codec"), Some("lz4"));
    assert_eq!(
        get("priority", "queue.buffering.max.ms"),
        Some("7"),
        "what is written is over the default"
    );
    assert_eq!(get("fast", "compression.codec"), Some("zstd"));
    assert_eq!(get("fast", "client.id"), Some("landfall-gw-7-fast"));
    assert_eq!(get("slow", "client.id"), Some("mine"));
    assert_eq!(get("cameras", "client.id"), Some("landfall-gw-7-cameras"));
    assert_eq!(get("fast", "compression.type"), None, "one name each");
    let settings = load_text("").expect("valid");
    assert_eq!(settings.routing.lanes[LaneId::PRIORITY].properties["queue.buffering.max.ms"], "0");
}

#[test]
fn files_and_secrets_of_another_machine_do_not_stop_a_client() {
    let text = "
kafka:
  properties:
    security.protocol: SASL_SSL
    sasl.mechanism: { from_env: LANDFALL_NOT_SET }
    sasl.username: { from_env: LANDFALL_NOT_SET }
    sasl.password: { from_env: LANDFALL_NOT_SET }
    ssl.ca.location: /nowhere/ca.crt
    ssl.key.pem: { from_file: /nowhere/key }
    message.max.bytes: { from_env: LANDFALL_NOT_SET }
";
    parse(text, [], Secrets::Assumed).expect("what is not here is taken to be right");
    let wrong =
        "kafka: { properties: { max.in.flight: 10, sasl.password: { from_env: NOT_SET } } }";
    let found = parse(wrong, [], Secrets::Assumed).expect_err("that is known here").0;
    assert_eq!(found[0].place, "kafka.properties.max.in.flight");
}

/// YAML would read them as numbers or booleans.
#[test]
fn a_text_stays_what_was_written() {
    let text = "
gateway_id: 007
kafka: { properties: { sasl.username: 0012345678, sasl.password: 1e5, client.id: 0x1F, client.rack: yes } }
object_store: { url: 's3://b', options: { access_key_id: 1_000, secret_access_key: 1.10, region: 0 } }
routes: [{ filter: 'a/{device_id}', attributes: { group: 0042, site: no } }]
rules: [{ when: { attributes: { group: 1e3 }, property: { priority: 1.0 } }, lane: slow }]
lanes: { fast: { properties: { client.id: 1_0 } } }
";
    let check = |settings: Settings| {
        assert_eq!(settings.routing.gateway_id, "007");
        let Kafka { properties, .. } = &settings.kafka;
        assert_eq!(properties["sasl.username"], "0012345678");
        assert_eq!(properties["sasl.password"], "1e5");
        assert_eq!(properties["client.id"], "0x1F");
        assert_eq!(properties["client.rack"], "yes");
        assert_eq!(settings.routing.lanes[LaneId::FAST].properties["client.id"], "1_0");
        let options = settings.object_store.expect("there is one").options;
        assert_eq!(options["access_key_id"], "1_000");
        assert_eq!(options["secret_access_key"], "1.10");
        assert_eq!(options["region"], "0");
        let attributes = &settings.routing.routes[0].attributes;
        assert_eq!((&*attributes["group"], &*attributes["site"]), ("0042", "no"));
        let when = &settings.routing.rules[0].when;
        assert_eq!((&*when.attributes["group"], &*when.property["priority"]), ("1e3", "1.0"));
    };
    check(load_text(text).expect("valid"));
    let environment = [
        ("LANDFALL__GATEWAY_ID", "007"),
        (
            "LANDFALL__KAFKA__PROPERTIES",
            "{ sasl.username: 0012345678, sasl.password: 1e5, client.id: 0x1F, client.rack: yes }",
        ),
        ("LANDFALL__OBJECT_STORE__OPTIONS__ACCESS_KEY_ID", "1_000"),
        ("LANDFALL__OBJECT_STORE__OPTIONS__SECRET_ACCESS_KEY", "1.10"),
        ("LANDFALL__OBJECT_STORE__OPTIONS", "{ region: 0 }"),
        (
            "LANDFALL__ROUTES",
            "[{ filter: 'a/{device_id}', attributes: { group: 0042, site: no } }]",
        ),
        (
            "LANDFALL__RULES",
            "[{ when: { attributes: { group: 1e3 }, property: { priority: 1.0 } }, lane: slow }]",
        ),
        ("LANDFALL__LANES__FAST__PROPERTIES", "{ client.id: 1_0 }"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = "object_store: { url: 's3://b' }";
    check(parse(text, environment, Secrets::Read).expect("valid"));
    let settings = load_text("kafka: { create_topics: yes, properties: { linger.ms: 7 } }");
    assert!(settings.expect("a flag and a number").kafka.create_topics);
    let found = faults("gateway_id: 1e+5");
    assert!(found[0].text.contains("1e+5"), "{found:?}");
}

#[test]
fn faults_from_the_environment_name_the_variable() {
    for (name, value, place, word) in [
        ("LANDFALL__LIMITS__WINDOW_MESSAGES", "many", "limits.window_messages", "u16"),
        ("LANDFALL__LIMITS__WINDOW_MESSAGES", "0", "limits.window_messages", "zero"),
        ("LANDFALL__LIMITS", "{ workers: 1000 }", "limits.workers", "1000"),
        ("LANDFALL__LISTENERS__0__BIND", "nowhere", "listeners[0].bind", "nowhere"),
        ("LANDFALL__LISTENERS", "[{ name: x, bind: nowhere }]", "listeners[0].bind", "nowhere"),
        ("LANDFALL__LANES__DEAD_LETTER__TOPIC", "a b", "lanes.dead-letter.topic", "Kafka topic"),
        ("LANDFALL__KAFKA__PROPERTIES", "{ acks: 1 }", "kafka.properties.acks", "in-sync"),
        ("LANDFALL__NOWHERE__X", "1", "nowhere", "no section"),
        ("LANDFALL__KAFKA__NOWHERE", "1", "kafka.nowhere", "unknown field"),
        (
            "LANDFALL__KAFKA__PROPERTIES__LINGER_MS",
            "7",
            "kafka.properties.linger_ms",
            "write LANDFALL__KAFKA__PROPERTIES='{ linger.ms: … }'",
        ),
        (
            "LANDFALL__LANES__FAST__PROPERTIES__BATCH_NUM_MESSAGES",
            "7",
            "lanes.fast.properties.batch_num_messages",
            "write LANDFALL__LANES__FAST__PROPERTIES='{ batch.num.messages: … }'",
        ),
    ] {
        let environment = [(name.to_owned(), value.to_owned())];
        let text = "
listeners: [{ name: plain, bind: '127.0.0.1:1883' }]
kafka: { properties: { no.such: 1 } }
unrouted: maybe
";
        let found = parse(text, environment, Secrets::Read).expect_err(name).0;
        let fault = found.iter().find(|fault| fault.place == place);
        let fault = fault.unwrap_or_else(|| panic!("{name}: {place} is missing in {found:?}"));
        assert!(fault.text.contains(name) && fault.text.contains(word), "{fault:?}");
        for place in ["unrouted", "kafka.properties.no.such"] {
            let of_file = found.iter().find(|fault| fault.place == place);
            let of_file = of_file.map(|fault| fault.text.contains("environment"));
            assert_ne!(of_file, Some(true), "{name}: {place} is the file's: {found:?}");
        }
    }
}

#[test]
fn a_variable_that_only_looks_like_an_override_gets_a_hint() {
    let environment = [("LANDFALL_KAFKA_BOOTSTRAP_SERVERS".to_owned(), "kafka:9092".to_owned())];
    let settings = parse("", environment.clone(), Secrets::Read).expect("it is none");
    assert_eq!(settings.kafka.bootstrap_servers, "localhost:9092");
    assert!(
        settings.hints[0].contains("LANDFALL__KAFKA__BOOTSTRAP_SERVERS"),
        "{:?}",
        settings.hints
    );
    let found = parse("unrouted: maybe", environment, Secrets::Read).expect_err("a fault").0;
    assert!(found[1].text.contains("LANDFALL__KAFKA__BOOTSTRAP_SERVERS"), "{found:?}");
}

#[test]
fn secrets_come_from_elsewhere_and_are_not_printed() {
    let file = std::env::temp_dir().join(format!("landfall-secret-{}", std::process::id()));
    std::fs::write(&file, "hunter2\n").expect("a file");
    let text = format!(
        "kafka: {{ properties: {{ sasl.password: {{ from_file: '{}' }} }} }}",
        file.display()
    );
    let settings = load_text(&text).expect("valid");
    assert_eq!(settings.kafka.properties["sasl.password"], "hunter2");
    assert!(!format!("{:?}", settings.kafka).contains("hunter2"));
    // Wherever it was put.
    for place in [
        "kafka: { properties: { sasl.mechanism: SECRET } }",
        "kafka: { properties: { message.max.bytes: SECRET } }",
        "lanes: { fast: { properties: { compression.type: SECRET } } }",
        "object_store: { url: 's3://b', options: { timeout: SECRET } }",
        "object_store: { url: 's3://b', options: { endpoint: SECRET } }",
    ] {
        let secret = format!("{{ from_file: '{}' }}", file.display());
        let found = faults(&place.replace("SECRET", &secret));
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
    std::fs::remove_file(&file).expect("it is there");
    let found = faults("kafka: { properties: { sasl.password: { from_env: LANDFALL_NOT_SET } } }");
    assert_eq!(found[0].place, "kafka.properties.sasl.password");
}

#[test]
fn secrets_of_another_machine_can_be_assumed_and_nothing_else_is() {
    let text = "kafka: { properties: { sasl.password: { from_env: LANDFALL_NOT_SET } } }";
    assert!(parse(text, [], Secrets::Assumed).is_ok());
    let text = "kafka: { properties: { sasl.pasword: { from_env: LANDFALL_NOT_SET } } }";
    let found = parse(text, [], Secrets::Assumed).expect_err("there is no such property").0;
    assert_eq!(found[0].place, "kafka.properties.sasl.pasword");
}

#[test]
fn a_secret_with_two_sources_is_refused() {
    let text = "kafka: { properties: { sasl.password: { from_file: /a, from_env: B } } }";
    let fault = &faults(text)[0];
    assert_eq!(fault.place, "kafka.properties.sasl.password");
    assert!(fault.text.contains("{ from_file: … } or { from_env: … }"), "{}", fault.text);
}

/// A schema that lets more pass than `check` would make a chart fail only in its pods.
#[test]
fn the_schema_is_closed_and_describes_every_key() {
    let schema = schema();
    let definitions = schema["definitions"].as_object().expect("there are definitions");
    for object in definitions.values().chain([&schema]) {
        let Some(properties) = object["properties"].as_object() else { continue };
        assert_eq!(object["additionalProperties"], false, "{object:#}");
        for (name, property) in properties {
            let described = property["description"].as_str().is_some_and(|text| !text.is_empty());
            let is_secret = ["from_file", "from_env"].contains(&name.as_str());
            assert!(described || is_secret, "{name}: {property:#}");
        }
    }
    fn has_null(schema: &Value) -> bool {
        match schema {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            Value::Object(map) => {
                let types = map.get("type");
                types.is_some_and(|name| name.to_string().contains("\"null\""))
                    || map.values().any(has_null)
            }
            _ => false,
        }
    }
    assert!(!has_null(&schema), "a null would stand in every error");
    let words = &schema["definitions"]["Parser"]["properties"]["nan"]["enum"];
    assert_eq!(*words, serde_json::json!(["fail", "null", "keep"]), "a text may be the word");
}

/// What the schema, and so the reference, says of defaults is what counts where nothing is written.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_gateway() {
    let schema = schema();
    let resolved = |property: &Value| {
        let reference = property["$ref"].as_str().or(property["allOf"][0]["$ref"].as_str());
        reference.and_then(|path| schema.pointer(path.trim_start_matches('#'))).cloned()
    };
    let defaults = |object: &Value| -> serde_json::Map<String, Value> {
        let properties = object["properties"].as_object().into_iter().flatten();
        let written = properties.filter(|(_, property)| !property["default"].is_null());
        written.map(|(name, property)| (name.clone(), property["default"].clone())).collect()
    };
    let mut written = defaults(&schema);
    let sections = schema["properties"].as_object().expect("a configuration has sections");
    for (name, section) in sections {
        // What has to be written in a section is no default.
        if let Some(section) = resolved(section).filter(|section| section["required"].is_null()) {
            let below = defaults(&section);
            if !below.is_empty() {
                written.insert(name.clone(), Value::Object(below));
            }
        }
    }
    let lane = resolved(&schema["properties"]["lanes"]["additionalProperties"]);
    let lane = defaults(&lane.expect("a lane is a map of its own"));
    let lanes = ["priority", "fast", "slow", "dead-letter"].map(|name| (name, lane.clone()));
    written.insert("lanes".to_owned(), serde_json::json!(BTreeMap::from(lanes)));
    for (place, least) in [("/kafka", 2), ("/limits", 3), ("/drain", 3), ("/lanes/fast", 4)] {
        let written = Value::Object(written.clone());
        let found = written.pointer(place).and_then(Value::as_object).map_or(0, |map| map.len());
        assert!(found >= least, "{place} has {found} defaults: {written:#}");
    }
    let written = load_text(&Value::Object(written).to_string()).expect("defaults are valid");
    let nothing = load_text("").expect("the defaults are valid");
    // One was read later than the other.
    let nothing = Settings { read_at: written.read_at, ..nothing };
    let (written, nothing) = (format!("{written:#?}"), format!("{nothing:#?}"));
    for (written, nothing) in written.lines().zip(nothing.lines()) {
        assert_eq!(written, nothing, "the schema says another default");
    }
}

#[test]
fn broken_yaml_says_where() {
    let found = faults("kafka:\n  properties: {\n");
    assert!(found[0].text.contains("line"), "{}", found[0].text);
}

/// An admin port that could not be had, or that nobody or anybody could use.
#[test]
fn an_admin_port_that_run_could_not_serve_is_refused() {
    let admin = |rest: &str| format!("admin: {{ {rest} }}");
    let tokens = |tokens: &str| admin(&format!("authenticate: {{ tokens: {{ {tokens} }} }}"));
    let folder = std::env::temp_dir().join(format!("landfall-admin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        format!("{{ from_file: {:?} }}", path.display().to_string())
    };
    let (good, short) = (file("good", "0123456789abcdef\n"), file("short", "12345678"));
    for (text, place, word) in [
        (admin("bind: here"), "admin.bind", "IP:PORT"),
        (admin("bind: '127.0.0.1:1883'"), "admin.bind", "listener plain"),
        (admin("probes: { bind: here }"), "admin.probes.bind", "IP:PORT"),
        (admin("probes: { bind: '127.0.0.1:1883' }"), "admin.probes.bind", "listener plain"),
        (admin("probes: { bind: '0.0.0.0:8080' }"), "admin.probes.bind", "of admin.bind"),
        (admin("probes: { metrics: true }"), "admin.probes", "bind"),
        (tokens(""), "admin.authenticate", "is empty"),
        (admin("authenticate: {}"), "admin.authenticate", "is empty"),
        (tokens("ops: 0123456789abcdef"), "admin.authenticate.tokens.ops", "from_file"),
        (tokens("ops: { from_env: NO_SUCH }"), "admin.authenticate.tokens.ops", "not set"),
        (tokens("ops: { from_file: /no/such }"), "admin.authenticate.tokens.ops", "/no/such"),
        (tokens(&format!("ops: {short}")), "admin.authenticate.tokens.ops", "guessed"),
        (tokens(&format!("a: {good}, b: {good}")), "admin.authenticate.tokens.b", "of a too"),
    ] {
        let found = faults(&text);
        let fault = found.iter().find(|fault| fault.place == place);
        let fault = fault.unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert!(fault.text.contains(word), "{text}: {fault:?}");
        assert!(!fault.text.contains("0123456789abcdef") && !fault.text.contains("12345678"));
    }
    let both = format!(
        "probes: {{ bind: '127.0.0.1:8081' }}, authenticate: {{ tokens: {{ a: {good} }} }}"
    );
    let settings = load_text(&admin(&both)).expect("it is valid");
    let probes = ProbesSettings { bind: ([127, 0, 0, 1], 8081).into(), metrics: false };
    assert_eq!(settings.admin.probes, Some(probes));
    assert!(settings.admin.tokens.find(b"0123456789abcdef").is_some());
    let defaults = load_text("").expect("the defaults are valid");
    assert_eq!(settings.descriptors.admin, 2 * defaults.descriptors.admin);
    let elsewhere = parse(&tokens("ops: { from_file: /no/such }"), [], Secrets::Assumed);
    elsewhere.expect("another machine has it");
    std::fs::remove_dir_all(&folder).expect("it is there");
}

#[test]
fn a_rule_that_can_never_hold_is_found() {
    let wrong = |rules: &str| {
        let found = faults(&format!("access:\n{rules}"));
        let told: Vec<String> =
            found.iter().map(|fault| format!("{}: {}", fault.place, fault.text)).collect();
        told.join("\n")
    };
    for (rules, place, word) in [
        ("  - { topic: a }", "access[0]", "write either `allow"),
        ("  - { allow: [publish], deny: [publish], topic: a }", "access[0]", "write either"),
        ("  - { allow: [speak], topic: a }", "access[0].allow", "write publish or subscribe"),
        ("  - { allow: [publish], topic: 'a/#/b' }", "access[0].topic", "`#` stands for the rest"),
        (
            "  - { allow: [publish], topic: 'a/x{client_id}' }",
            "access[0].topic",
            "alone in its level",
        ),
        (
            "  - { allow: [publish], topic: a, who: { listener: b } }",
            "access[0].who.listener",
            "there are plain",
        ),
        (
            "  - { allow: [publish], topic: a, who: { name: b } }",
            "access[0].who.name",
            "unknown field",
        ),
        ("  - { allow: [publish], topic: '{identity}' }", "access[0]", "it asks for identity"),
        ("  - { allow: [publish], topic: '{group}' }", "access[0]", "it asks for group"),
        (
            "  - { allow: [publish], topic: a, who: { username: b } }",
            "access[0]",
            "it asks for username",
        ),
        (
            "  - { allow: [publish], topic: a }\n  - { allow: [publish], topic: a }",
            "access[1]",
            "the same as access[0]",
        ),
        (
            "  - { allow: [publish], topic: a }\n  - { deny: [publish], topic: '#' }",
            "access[0]",
            "access[1] denies all",
        ),
        ("  - { deny: [publish], topic: a }", "listeners[0]", "nobody can use listener plain"),
        ("  []", "listeners[0]", "nobody can use listener plain"),
    ] {
        let told = wrong(rules);
        let expected = |line: &str| line.starts_with(&format!("{place}: ")) && line.contains(word);
        assert!(told.lines().any(expected), "{rules}\n{told}");
    }
    let good =
        load_text("access:\n  - { allow: [publish], topic: 'a/{client_id}/#' }").expect("good");
    assert!(good.access.is_some() && good.hints.is_empty(), "{:?}", good.hints);
    assert!(load_text("access: null").expect("nothing is written").access.is_none());
}

#[test]
fn faults_of_an_acl_file_have_their_lines_and_what_is_stricter_is_said() {
    let folder = std::env::temp_dir().join(format!("landfall-acl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of the test");
    let path = folder.join("acl");
    let text = format!("access_file: {{ mosquitto: {:?} }}", path.display().to_string());
    let write = |acl: &str| std::fs::write(&path, acl).expect("it can be written");
    let found = faults(&text);
    assert_eq!(found[0].place, "access_file.mosquitto");
    assert!(found[0].text.contains("cannot be read"), "{found:?}");
    let elsewhere = parse(&text, [], Secrets::Assumed).expect("another machine has it");
    assert!(elsewhere.hints[0].contains("is not here"), "{:?}", elsewhere.hints);
    write("topic write a\ntopic\nuser\n");
    let lines: Vec<bool> = faults(&text)
        .iter()
        .zip(["line 2:", "line 3:"])
        .map(|(fault, line)| fault.text.contains(line))
        .collect();
    assert_eq!(lines, [true, true]);
    write("user a\ntopic deny b\n");
    assert!(faults(&text)[0].text.contains("nobody can use listener plain"));
    write("topic read a/#\npattern write open/#\n");
    let hints = load_text(&text).expect("a good file").hints;
    assert!(hints[0].contains("mosquitto grants every SUBSCRIBE"), "{hints:?}");
    assert!(hints[1].contains("line 2 is a pattern without %c or %u"), "{hints:?}");
    std::fs::remove_dir_all(&folder).expect("it is the test's");
}

#[test]
fn what_a_listener_asks_for_has_to_be_there_and_what_is_there_has_to_be_asked_for() {
    let file = std::env::temp_dir().join(format!("landfall-config-{}", std::process::id()));
    let hash = password::hash::Hash::of(b"secret", [1; 16]).expect("memory");
    std::fs::write(&file, format!("dev1:{hash}\n")).expect("written");
    let section = format!("authentication: {{ password: {{ file: {file:?} }} }}");
    let listener =
        |rest: &str| format!("listeners: [{{ name: plain, bind: '127.0.0.1:1883', {rest} }}]\n");
    for (text, place, word) in [
        (listener("authenticate: [password]"), "authentication.password", "missing"),
        (section.clone(), "authentication.password", "no listener asks"),
        (listener("authenticate: []") + &section, "listeners[0].authenticate", "is empty"),
        (listener("authenticate: [magic]") + &section, "listeners[0].authenticate[0]", "\"magic\""),
        (
            listener("authenticate: [{ all: [] }]") + &section,
            "listeners[0].authenticate[0]",
            "asks for nothing",
        ),
        (
            listener("authenticate: [{ all: [password, password] }]") + &section,
            "listeners[0].authenticate[0]",
            "twice",
        ),
        (
            listener("authenticate: [password, password]") + &section,
            "listeners[0].authenticate[1]",
            "never asked for",
        ),
        (listener("authenticate: password") + &section, "listeners[0].authenticate", "sequence"),
        (
            listener("authenticate: [password], anonymous: true") + &section,
            "listeners[0].authenticate",
            "anonymous",
        ),
        (
            listener("authenticate: [password], client_id: same") + &section,
            "listeners[0].client_id",
            "equals",
        ),
        (
            listener("authenticate: [password], client_id: { begins_with: '' }") + &section,
            "listeners[0].client_id.begins_with",
            "dev10",
        ),
        (listener("client_id: any"), "listeners[0].client_id", "nobody has an identity"),
        ("client_id: any".to_owned(), "client_id", "nobody has an identity"),
        (
            "listeners: [{ name: plain, bind: '0.0.0.0:1883' }]".to_owned(),
            "listeners[0].bind",
            "authenticate: [password]",
        ),
        (
            listener("authenticate: [password]")
                + "authentication: { password: { file: /nowhere/passwords } }",
            "authentication.password.file",
            "/nowhere/passwords cannot be read",
        ),
    ] {
        let found = faults(&text);
        let is_told = |fault: &Fault| fault.place == place && fault.text.contains(word);
        assert!(found.iter().any(is_told), "{text}: {found:#?}");
    }
    let text =
        "listeners: [{ name: out, bind: '0.0.0.0:1883', authenticate: [{ all: [password] }] }, \
                { name: in, bind: '127.0.0.1:1884', authenticate: [password], client_id: any }]\n\
                client_id: { begins_with: '-' }\n"
            .to_owned()
            + &section;
    let found = faults(&text);
    let nobody = |index: usize| format!("listeners[{index}]");
    assert_eq!(
        found.iter().map(|fault| &fault.place).collect::<Vec<_>>(),
        [&nobody(0), &nobody(1)]
    );
    assert!(found[0].text.contains("nobody can use listener out"), "{found:?}");
    let rules = "\naccess: [{ allow: [publish], topic: 'a/{identity}' }, { allow: [publish], topic: 'b/{client_id}' }]";
    let text = text + rules;
    let settings = load_text(&text).expect("it is good");
    let by_client_id =
        settings.hints.iter().find(|hint| hint.contains("access[1] goes by the client id"));
    assert!(by_client_id.is_some_and(|hint| hint.contains("listener in")), "{:?}", settings.hints);
    let demands = |index: usize| settings.listeners[index].demands.clone().expect("it asks");
    assert_eq!(demands(0).ways, [[Way::Password]]);
    assert_eq!(demands(0).binding, Binding::BeginsWith("-".into()));
    assert_eq!(demands(1).binding, Binding::Any);
    assert!(settings.hints[0].contains("TLS"), "{:?}", settings.hints);
    let elsewhere = listener("authenticate: [password]")
        + "authentication: { password: { file: /nowhere/passwords } }"
        + rules;
    let settings = parse(&elsewhere, [], Secrets::Assumed).expect("another machine has it");
    let plain = load_text("").expect("the defaults");
    let cost = password::MEMORY_COST;
    assert_eq!(
        settings.memory.fixed - plain.memory.fixed,
        cost,
        "argon2 has its place in the plan"
    );
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn the_audit_log_goes_to_one_place_that_there_is() {
    use crate::audit::Target;
    for (text, place, word) in [
        ("audit: { to: here }", "audit.to", "write stdout, stderr or off"),
        ("audit: { to: stdout, file: a }", "audit", "either"),
        ("audit: { file: /no/such/folder/audit }", "audit.file", "no folder /no/such/folder"),
        ("audit: { file: / }", "audit.file", "is a folder"),
    ] {
        let found = faults(text);
        let fault = found.iter().find(|fault| fault.place == place);
        assert!(fault.is_some_and(|fault| fault.text.contains(word)), "{text}: {found:?}");
    }
    let target = |text: &str| load_text(text).expect("it is valid").audit;
    let rules = "access: [{ allow: [publish], topic: a }]";
    assert_eq!(target(""), None);
    assert_eq!(target("audit: { to: stderr }"), Some(Target::Stderr));
    assert_eq!(target(rules), Some(Target::Stdout));
    assert_eq!(target(&format!("{rules}\naudit: {{ to: off }}")), None);
}

#[test]
fn tokens_and_services_that_could_let_in_anybody_are_refused() {
    let file = std::env::temp_dir().join(format!("landfall-keys-{}", std::process::id()));
    let with = |way: &str, section: &str| {
        format!(
            "listeners: [{{ name: plain, bind: '127.0.0.1:1883', authenticate: [{way}] }}]\n\
             authentication: {{ {section} }}"
        )
    };
    let token =
        |rest: &str| with("token", &format!("token: {{ issuer: us, audience: me, {rest} }}"));
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}"#;
    std::fs::write(&file, secret).expect("written");
    for (text, place, word) in [
        (token("jwks: /nowhere/keys"), "authentication.token.jwks", "cannot be read"),
        (token(&format!("jwks: {file:?}")), "authentication.token.jwks", "no public key"),
        (token("jwks: 'http://keys.example/'"), "authentication.token.jwks", "allow_http"),
        (token("jwks: 'ftp://keys.example/'"), "authentication.token.jwks", "web server"),
        (
            token("jwks: 'https://keys.example/', algorithms: [ES256, HS256]"),
            "authentication.token.algorithms[1]",
            "shared secret",
        ),
        (
            token("jwks: 'https://keys.example/', algorithms: [none]"),
            "authentication.token.algorithms[0]",
            "never",
        ),
        (
            token("jwks: 'https://keys.example/', algorithms: []"),
            "authentication.token.algorithms",
            "is empty",
        ),
        (
            token("jwks: 'https://keys.example/', attributes: { device_id: sub }"),
            "authentication.token.attributes.device_id",
            "identity",
        ),
        (
            with("token", "token: { jwks: 'https://keys.example/', issuer: '', audience: a }"),
            "authentication.token.issuer",
            "is empty",
        ),
        (
            with("token", "token: { jwks: 'https://keys.example/', issuer: a }"),
            "authentication.token",
            "audience",
        ),
        (
            with("http", "http: { url: 'http://who.example/' }"),
            "authentication.http.url",
            "allow_http",
        ),
        (
            with("http", "http: { url: 'https://who.example/', timeout: 9s }"),
            "authentication.http.timeout",
            "8s",
        ),
        (
            with("http", "http: { url: 'https://who.example/', cache: 2h }"),
            "authentication.http.cache",
            "1h",
        ),
        (
            with("http, token", "http: { url: 'https://who.example/' }"),
            "listeners[0].authenticate[1]",
            "never asked for",
        ),
        (
            with("password, http", "http: { url: 'https://who.example/' }"),
            "listeners[0].authenticate",
            "in place of the file",
        ),
    ] {
        let found = faults(&text);
        let is_told = |fault: &Fault| fault.place == place && fault.text.contains(word);
        assert!(found.iter().any(is_told), "{text}: {found:#?}");
    }
    let good = "token: { jwks: 'https://keys.example/', issuer: us, audience: me }, \
                http: { url: 'http://127.0.0.1:1/', cache: 0s }";
    let rules = "\naccess: [{ allow: [publish], topic: 'devices/+/{identity}/#' }]";
    let settings = load_text(&(with("token, http", good) + rules)).expect("it is good");
    let plain = load_text("").expect("the defaults");
    assert!(settings.descriptors.process > plain.descriptors.process);
    std::fs::remove_file(file).expect("it is there");
}
