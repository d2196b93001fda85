//! What is written, and what it means or which faults it has.

use super::*;

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
    let topics: Vec<&str> = settings.lanes.iter().map(|lane| lane.topics[0].as_str()).collect();
    assert_eq!(
        topics,
        ["landfall.priority", "landfall.fast", "landfall.slow", "landfall.dead-letter"]
    );
    assert_eq!(settings.lanes[0].gather, Duration::ZERO);
    let shares: u64 =
        settings.lanes.iter().map(|lane| lane.inline_memory + lane.large_memory).sum();
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
    assert_eq!(settings.lanes[3].topics, ["dlq"]);
    assert_eq!(settings.lanes[1].inline_size, 64 * 1024);
    assert_eq!(settings.kafka.properties["client.id"], "x");
    assert_eq!(settings.kafka.properties["linger.ms"], "7");
    let unknown = parse("", [("LANDFALL__NOWHERE__X".to_owned(), "1".to_owned())], Secrets::Read);
    assert_eq!(unknown.expect_err("no such section").0[0].place, "nowhere");
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
    assert_eq!(fault.place, "kafka");
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
    assert!(!schema.to_string().contains("null"), "a null would stand in every error");
}

#[test]
fn broken_yaml_says_where() {
    let found = faults("kafka:\n  properties: {\n");
    assert!(found[0].text.contains("line"), "{}", found[0].text);
}
