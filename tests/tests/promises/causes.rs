//! What keeps a lane from landing has a name in `/readyz`, and when it is gone everybody goes on: a broker that is late,
//! packets that vanish, replicas that are missing.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Refusing};
use tests::load::{Load, assert_landed_in_order};
use tests::network::{Namespace, Network};
use tests::wait::START;

const DEVICES: usize = 12;
/// Messages of each device that are acknowledged before and after.
const MORE: u64 = 20;
const NOT_ENOUGH_REPLICAS: i16 = 19;
/// How soon a cause is named, and everybody goes on when it is gone.
const SOON_AGAIN: Duration = Duration::from_secs(15);
/// What is logged of one fault, in bytes.
const LOG_MAX: usize = 100_000;

/// Waits until `/readyz` says that nothing lands in the lane `fast`, and one of these words of why.
#[track_caller]
fn is_named(gateway: &Gateway, words: &[&str]) {
    let end = Instant::now() + SOON_AGAIN;
    loop {
        let page = gateway.page("/readyz");
        let body = page.json();
        let degraded = body["degraded"].as_array().into_iter().flatten();
        let named = degraded.filter_map(|reason| reason.as_str()).any(|reason| {
            let reason = reason.to_lowercase();
            reason.contains("lane fast: nothing landed")
                && words.iter().any(|word| reason.contains(word))
        });
        if named {
            assert_eq!(page.code, 200, "an outage takes no gateway out of service");
            eprintln!("{}", body["degraded"]);
            return;
        }
        assert!(Instant::now() < end, "none of {words:?} is said: {body}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_error_that_stays_is_named_and_what_a_late_broker_has_lands_once() {
    /// How late its answers are, and for how long.
    const LATE: Duration = Duration::from_secs(40);
    const FOR: Duration = Duration::from_secs(45);
    let (kafka, proxy) = Refusing::start_with_kafka(&[]);
    let gateway = GatewayConfig::new(&kafka)
        .set("kafka.bootstrap_servers", proxy.address().to_string())
        .start_ready();
    let topic = gateway.topic("fast");
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    let logged = gateway.log().len();

    // The producer tries again by itself, and tells nobody.
    let of = topic.clone();
    proxy.refuse(move |append| (append.topic == of).then_some(NOT_ENOUGH_REPLICAS));
    is_named(&gateway, &["in-sync replicas", "not_enough_replicas"]);
    proxy.release();
    load.each_goes_on(MORE, SOON_AGAIN);

    let begin = Instant::now();
    proxy.delay(LATE);
    is_named(&gateway, &["timed out", "late", "answer"]);
    thread::sleep(FOR.saturating_sub(begin.elapsed()));
    proxy.release();
    load.each_goes_on(MORE, SOON_AGAIN);

    let acknowledged = load.stop();
    let records = kafka.read_all(&topic);
    assert_landed_in_order(&acknowledged, &records);
    let payloads: BTreeSet<Vec<u8>> = records.iter().map(|record| record.payload()).collect();
    assert_eq!(payloads.len(), records.len(), "what was late landed once");
    gateway.comes_to_rest();
    assert_eq!(gateway.metrics().sum("landfall_lane_producer_resets_total", &[]), 0.0);
    let logged = gateway.log().len() - logged;
    assert!(logged <= LOG_MAX, "{logged} bytes were logged");
}

/// TCP itself would try again about 25 s later.
#[test]
fn packets_that_vanish_are_seen_and_a_new_connection_takes_over() {
    const TEST: &str = "causes::packets_that_vanish_are_seen_and_a_new_connection_takes_over";
    /// Just behind one of TCP's resends, of which the next is twice as far away.
    const VANISH: Duration = Duration::from_secs(27);
    const AGAIN: Duration = Duration::from_secs(10);
    if !Namespace::is_here() {
        return Namespace::play(TEST);
    }
    let network = Network::here();
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).start_ready();
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    let begin = Instant::now();
    let port: u16 = kafka
        .address()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("it has a port");
    let fault = network.drop_all(&[port]);
    is_named(&gateway, &["timed out", "connect", "answer"]);
    thread::sleep(VANISH.saturating_sub(begin.elapsed()));
    fault.heal();
    load.each_goes_on(MORE, AGAIN);
    assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
    gateway.comes_to_rest();
}
