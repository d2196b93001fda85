//! The time of a record is the gateway's: what a topic does not take of it is never a message's fault.

use std::thread;
use std::time::Duration;

use tests::clock::Clock;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record};
use tests::load::{Load, assert_landed_in_order};
use tests::process::Signal;
use tests::wait::{START, until_true};

const DEVICES: usize = 20;
/// Messages of each device that are acknowledged before and after.
const MORE: u64 = 20;
/// How soon each device has acknowledgements again when everything is right.
const SOON_AGAIN: Duration = Duration::from_secs(15);
/// Producers made anew by one such fault, that of each lane once when a clock is set back; one after another for each refusal would be hundreds.
const RESETS_MAX: f64 = 12.0;
/// What is logged of one such fault, in bytes.
const LOG_MAX: usize = 100_000;

#[track_caller]
fn few_resets(gateway: &Gateway) {
    let resets = gateway.metrics().sum("landfall_lane_producer_resets_total", &[]);
    assert!(resets <= RESETS_MAX, "{resets} producers were made anew");
}

#[test]
fn what_waited_for_longer_than_its_topic_takes_lands_under_a_new_time() {
    /// What the topic takes, in milliseconds, and how long Kafka is away.
    const BEFORE_MAX_MS: i64 = 3_000;
    const AWAY: Duration = Duration::from_secs(6);
    let kafka = Kafka::start();
    let config = GatewayConfig::without_topics(&kafka.address());
    let topics = ["priority", "fast", "slow", "dead-letter"].map(|lane| config.topic(lane));
    let limit = BEFORE_MAX_MS.to_string();
    kafka.create_topics(
        &topics.each_ref().map(String::as_str),
        3,
        &[("message.timestamp.before.max.ms", &limit)],
    );
    let gateway = config.start_ready();
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);

    kafka.signal(Signal::STOP);
    thread::sleep(AWAY);
    kafka.signal(Signal::CONT);
    load.each_goes_on(MORE, SOON_AGAIN);

    let records = kafka.read_all(&gateway.topic("fast"));
    let acknowledged = load.stop();
    assert_landed_in_order(&acknowledged, &kafka.read_all(&gateway.topic("fast")));
    assert_eq!(kafka.count(&gateway.topic("dead-letter")), 0);
    let moved_by = |record: &Record| {
        record.timestamp_ms.expect("a record has a time") - record.envelope().received_ms
    };
    let moved = records.iter().filter(|record| moved_by(record) > BEFORE_MAX_MS / 2).count();
    assert!(moved > 0, "no record waited for long");
    gateway.comes_to_rest();
    few_resets(&gateway);
}

#[test]
fn a_clock_that_is_ahead_for_a_while_costs_no_message() {
    const AHEAD: Duration = Duration::from_secs(2 * 3600);
    let (kafka, clock) = (Kafka::shared(), Clock::start());
    let gateway = GatewayConfig::new(kafka).clock(&clock).start_ready();
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    let logged = gateway.log().len();

    clock.forward(AHEAD);
    until_true("/readyz says that the clocks differ", SOON_AGAIN, || {
        gateway.page("/readyz").body.contains("clock")
    });
    assert_eq!(gateway.page("/readyz").code, 200, "others would have no better clock");
    clock.right();
    load.each_goes_on(MORE, SOON_AGAIN);

    assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
    assert_eq!(kafka.count(&gateway.topic("dead-letter")), 0);
    gateway.comes_to_rest();
    few_resets(&gateway);
    let logged = gateway.log().len() - logged;
    assert!(logged <= LOG_MAX, "{logged} bytes were logged");
}
