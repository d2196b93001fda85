//! The books add up after whatever was done to Kafka, and what is there twice because the gateway sent it twice has its
//! id in the list of what was handed over again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, Refusing};
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Publish, Version};
use tests::wait::{START, until_true};

const DEVICES: usize = 3;
/// Messages that are acknowledged before and after each fault.
const MORE: u64 = 200;
/// Kafka's code for a fault of its own, which says nothing of what it stored.
const UNKNOWN_SERVER_ERROR: i16 = -1;
const METRIC: &str = "landfall_lane_records_handed_over_again_total";

/// Every id in the list, page by page.
fn handed_over_again(gateway: &Gateway) -> Vec<String> {
    let (mut after, mut ids) = (0, Vec::new());
    loop {
        let again = &gateway.ledger(after)["handed_over_again"];
        assert_eq!(again["from"], after, "nothing is gone that was not asked for: {again}");
        let page = again["ids"].as_array().expect("a list").iter();
        ids.extend(page.map(|id| id.as_str().expect("a text").to_owned()));
        after = again["next"].as_u64().expect("a number");
        assert_eq!(after, ids.len() as u64);
        if again["next"] == again["count"] {
            return ids;
        }
    }
}

/// An id as RFC 9562 writes it.
fn id_text(id: &[u8]) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Ids of messages that the topic has more than once.
fn doubles(records: &[Record]) -> BTreeSet<String> {
    let mut times = BTreeMap::new();
    for record in records {
        *times.entry(id_text(&record.envelope().message_id)).or_insert(0) += 1;
    }
    times.retain(|_, times| *times > 1);
    times.into_keys().collect()
}

/// The lane `fast` of a ledger.
fn fast(ledger: &Value) -> &Value {
    let lanes = ledger["lanes"].as_array().expect("a list");
    lanes.iter().find(|lane| lane["lane"] == "fast").expect("the lane is there")
}

#[test]
fn what_is_in_kafka_twice_is_in_the_list_and_the_books_add_up() {
    let (kafka, proxy) = Refusing::start_with_kafka(&[]);
    let gateway = GatewayConfig::with_partitions(&kafka, 1)
        .set("kafka.bootstrap_servers", proxy.address().to_string())
        .start_ready();
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.goes_on(MORE);
    let fresh = gateway.ledger(0);
    assert_eq!(fresh["handed_over_again"]["count"], 0, "all is well: {fresh}");

    let topic = gateway.topic("fast");
    // Kafka stores it and says that it failed: a producer that does not know sends it again.
    for _ in 0..3 {
        let (topic, mut error, denied) =
            (topic.clone(), Some(UNKNOWN_SERVER_ERROR), proxy.refused());
        proxy.deny(move |append| if append.topic == topic { error.take() } else { None });
        until_true("a request is denied", START, || proxy.refused() > denied);
        load.goes_on(MORE);
    }
    proxy.release();
    kafka.kill();
    kafka.start_again();
    load.goes_on(MORE);
    let acknowledged = load.stop();

    let mut ledger = gateway.ledger(0);
    until_true("nothing is in flight", START, || {
        ledger = gateway.ledger(0);
        ledger["sum"]["in_flight"] == 0
    });
    let records = kafka.read_all(&topic);
    assert_landed_in_order(&acknowledged, &records);
    let again = handed_over_again(&gateway);
    let (listed, doubles) = (again.iter().cloned().collect(), doubles(&records));
    assert!(!doubles.is_empty(), "what Kafka stored and denied was sent again");
    let unexplained: Vec<_> = doubles.difference(&listed).collect();
    assert!(unexplained.is_empty(), "twice in Kafka and not in the list: {unexplained:?}");
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum(METRIC, &[]), again.len() as f64);
    assert_eq!(metrics.sum(METRIC, &[("lane", "fast")]), again.len() as f64);

    let count = acknowledged.len() as u64;
    let nothing = json!({ "shed": 0, "too_large": 0, "unrouted": 0, "not_authorized": 0 });
    for (what, books) in [("sum", &ledger["sum"]), ("lane", fast(&ledger))] {
        assert_eq!(
            (&books["received"], &books["landed"]),
            (&json!(count), &json!(count)),
            "{what}"
        );
        assert_eq!(books["refused"], nothing, "{what}");
        for part in ["dead_lettered", "failed", "in_flight", "difference"] {
            assert_eq!(books[part], 0, "{what}: {part}");
        }
    }
    assert_eq!(ledger["adds_up"], true);
}

#[test]
fn a_poller_of_the_ledger_is_told_what_it_may_ask_and_sees_a_restart() {
    let routes = json!([{ "filter": "devices/{device_type}/{device_id}/{stream}/#" }]);
    let config = GatewayConfig::new(Kafka::shared()).set("routes", routes);
    let mut gateway = config.set("unrouted", "refuse").start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"21");
    client.publish(&Publish::new("nowhere", b"QoS 0"));
    let mut ledger = gateway.ledger(0);
    until_true("both are in the books", START, || {
        ledger = gateway.ledger(0);
        ledger["sum"]["received"] == 2
    });
    let refused: u64 = ledger["lanes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|lane| lane["refused"]["unrouted"].as_u64())
        .sum();
    assert_eq!((refused, &ledger["sum"]["refused"]["unrouted"]), (1, &json!(1)));
    assert_eq!((&fast(&ledger)["landed"], &ledger["adds_up"]), (&json!(1), &json!(true)));
    assert!(!ledger.to_string().contains("m-1"), "it names no device: {ledger}");

    for (query, told) in [
        ("after=some", "after: write `next` of the answer before, or 0"),
        ("after=-1", "after: write `next` of the answer before, or 0"),
        ("since=1", "there are after and process, and no others"),
    ] {
        let answer = gateway.page(&format!("/api/v1/ledger?{query}"));
        assert_eq!((answer.code, &answer.json()["error"]), (400, &json!(told)), "{query}");
    }

    let ask = |gateway: &Gateway, query: &str| gateway.page(query).json();
    let process = ledger["process"].as_str().expect("a text").to_owned();
    let started = ledger["started_ms"].as_u64().expect("a number");
    assert_eq!(gateway.ledger(0)["process"], process.as_str());
    client.disconnect();
    assert_eq!(gateway.terminate(), Some(0));
    gateway.start_again();
    // It has seen seven of the process before.
    let ledger = ask(&gateway, &format!("/api/v1/ledger?after=7&process={process}"));
    assert_ne!(ledger["process"], process.as_str());
    assert!(ledger["started_ms"].as_u64() > Some(started), "{ledger}");
    assert_eq!((&ledger["sum"]["received"], &ledger["adds_up"]), (&json!(0), &json!(true)));
    assert_eq!(ledger["handed_over_again"]["from"], 0);
}
