//! A topic's partitions come, go and stand still: each device keeps its order, and no partition waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, Refusing};
use tests::load::{Load, assert_landed_in_order, assert_landed_in_order_of_appends};
use tests::mqtt::{Client, Publish, Version};
use tests::wait::{START, until_true};

const DEVICES: usize = 24;
/// Messages of each device that are acknowledged before and after.
const MORE: u64 = 20;
/// How soon that is, where nothing is wrong any more.
const SOON_AGAIN: Duration = Duration::from_secs(20);
/// What a device may have open at once.
const WINDOW: u64 = 20;
/// How long a partition stands still.
const STANDS_STILL: Duration = Duration::from_secs(8);
/// Of what they landed in half of that time before, devices of others land at least this part: less than a quarter of
/// their pace is held up, and a machine that is busy is not.
const HELD_UP: u64 = 2;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const NOT_ENOUGH_REPLICAS: i16 = 19;

/// The partition of each device of a load, by the device's number.
#[track_caller]
fn places(records: &[Record]) -> BTreeMap<usize, i32> {
    let mut places: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
    for record in records {
        let device = record.key_text().strip_prefix("load-").expect("the load's devices");
        places.entry(device.parse().expect("a number")).or_default().insert(record.partition);
    }
    let one = |(device, partitions): (usize, BTreeSet<i32>)| {
        assert_eq!(partitions.len(), 1, "device {device} is in partitions {partitions:?}");
        (device, *partitions.first().expect("it has one"))
    };
    places.into_iter().map(one).collect()
}

/// What each device lands in so long a time.
fn landed_in(load: &Load, time: Duration) -> Vec<u64> {
    let before = load.of_each();
    thread::sleep(time);
    load.of_each().into_iter().zip(before).map(|(after, before)| after - before).collect()
}

/// Devices whose partition stands still for a while have no more acknowledgements than they had messages open, and all
/// others go on as `usual`.
#[track_caller]
fn only_these_stand_still(
    load: &Load,
    usual: &[u64],
    places: &BTreeMap<usize, i32>,
    still: &[i32],
) {
    let landed = landed_in(load, STANDS_STILL);
    let (held, free): (Vec<usize>, Vec<usize>) =
        places.keys().partition(|device| still.contains(&places[device]));
    assert!(!held.is_empty() && !free.is_empty(), "devices are on both sides: {places:?}");
    let held_up: Vec<_> = free
        .iter()
        .filter(|device| landed[**device] < usual[**device] / HELD_UP)
        .map(|device| (*device, places[device], landed[*device], usual[*device]))
        .collect();
    assert!(
        held_up.is_empty(),
        "{} of {} devices of other partitions are held up; device, partition, landed, before: {held_up:?}",
        held_up.len(),
        free.len()
    );
    let through: Vec<_> = held.iter().filter(|device| landed[**device] > WINDOW).collect();
    assert!(
        through.is_empty(),
        "{through:?} have acknowledgements of a partition that takes nothing"
    );
}

#[test]
fn a_topic_that_grows_under_load_keeps_each_devices_order() {
    let (kafka, proxy) =
        Refusing::start_with_kafka(&[("log.message.timestamp.type", "LogAppendTime")]);
    let gateway = GatewayConfig::with_partitions(&kafka, 2)
        .set("kafka.bootstrap_servers", proxy.address().to_string())
        .start_ready();
    let topic = gateway.topic("fast");
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    // Some requests have to be made again, and what came behind them is open meanwhile.
    let (mut count, of) = (0_u64, topic.clone());
    proxy.refuse(move |append| {
        count += 1;
        (append.topic == of && count.is_multiple_of(3)).then_some(NOT_ENOUGH_REPLICAS)
    });
    let mut before = 2;
    for partitions in [8, 24] {
        kafka.grow_topic(&topic, partitions);
        let grown = Instant::now();
        until_true("new partitions have records", START, || {
            kafka.ends(&topic)[before..].iter().any(|end| *end > 0)
        });
        eprintln!("{partitions} partitions are used after {:?}", grown.elapsed());
        load.each_goes_on(MORE, START);
        before = partitions;
    }
    proxy.release();
    load.each_goes_on(MORE, SOON_AGAIN);
    assert_landed_in_order_of_appends(&load.stop(), &kafka.read_all(&topic));
    gateway.comes_to_rest();
    assert_eq!(gateway.lane("fast")["dead_lettered"], 0);
}

#[test]
fn a_topic_made_again_with_fewer_partitions_takes_every_device() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::with_partitions(kafka, 24).start_ready();
    let topic = gateway.topic("fast");
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    // Made again at once, and long after the gateway knows that it is gone.
    for (partitions, gone) in [(5, Duration::ZERO), (2, Duration::from_secs(8))] {
        kafka.delete_topic(&topic);
        thread::sleep(gone);
        kafka.create_topic(&topic, partitions, &[("message.timestamp.type", "LogAppendTime")]);
        load.each_goes_on(MORE, SOON_AGAIN);
    }
    load.stop();
    // What landed before went with the topic. Until the gateway knows how many partitions there are, some devices have
    // the one of before.
    let records = kafka.read_all(&topic);
    assert_landed_in_order_of_appends(&BTreeSet::new(), &records);
    gateway.comes_to_rest();
    assert_eq!(gateway.lane("fast")["dead_lettered"], 0);
}

#[test]
fn a_partition_that_stands_still_holds_up_no_other() {
    let (kafka, proxy) = Refusing::start_with_kafka(&[]);
    let gateway = GatewayConfig::with_partitions(&kafka, 6)
        .set("kafka.bootstrap_servers", proxy.address().to_string())
        .start_ready();
    let topic = gateway.topic("fast");
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    let places = places(&kafka.read_all(&topic));
    let (still, usual) = (places[&0], landed_in(&load, STANDS_STILL / 2));
    // The producer tries one again by itself, and gives the other back.
    for code in [NOT_ENOUGH_REPLICAS, UNKNOWN_SERVER_ERROR] {
        let of = topic.clone();
        proxy.refuse(move |append| {
            (append.topic == of && append.partition == still).then_some(code)
        });
        only_these_stand_still(&load, &usual, &places, &[still]);
        says(&gateway, "lane fast", "nothing landed in 1 of its partitions");
        says(&gateway, "lane fast", &format!("{topic}/{still}"));
        let away = || gateway.metrics().sum("landfall_lane_partitions_away", &[("lane", "fast")]);
        until_true("it is counted", START, || away() == 1.0);
        proxy.release();
        load.each_goes_on(MORE, SOON_AGAIN);
        until_true("none is away any more", START, || away() == 0.0);
    }
    assert_landed_in_order(&load.stop(), &kafka.read_all(&topic));
    gateway.comes_to_rest();
    assert_eq!(gateway.lane("fast")["dead_lettered"], 0);
}

/// Three brokers, of which one goes: some partitions have no leader then, and another topic too few replicas.
#[test]
fn a_broker_that_is_gone_holds_up_what_is_its_own() {
    let brokers = Kafka::start_cluster();
    let [first, second, third] = &brokers[..] else { unreachable!("there are three") };
    let servers: Vec<String> = brokers.iter().map(Kafka::address).collect();
    let config = GatewayConfig::without_topics(&servers.join(","));
    let [fast, priority] = ["fast", "priority"].map(|lane| config.topic(lane));
    let alone: [&[i32]; 6] = [&[1], &[2], &[3], &[1], &[2], &[3]];
    first.create_topic_on(&fast, &alone, &[("min.insync.replicas", "1")]);
    first.create_topic_on(&priority, &[&[1, 2]], &[("min.insync.replicas", "2")]);
    first.create_topics(&[&config.topic("slow"), &config.topic("dead-letter")], 1, &[]);
    let gateway = config.start_ready();
    let mut urgent = Client::connect(gateway.mqtt(), Version::V5, "urgent");
    let alarm = "devices/meter/urgent/alarm";
    urgent.publish_acknowledged(alarm, 1, b"before");
    let load = Load::start(gateway.mqtt(), DEVICES);
    load.each_goes_on(MORE, START);
    let places = places(&first.read_all(&fast));
    let usual = landed_in(&load, STANDS_STILL / 2);

    second.kill();
    urgent.publish(&Publish::new(alarm, b"held").qos1(2));
    only_these_stand_still(&load, &usual, &places, &[1, 4]);
    says(&gateway, "lane priority", "in-sync replicas");
    says(&gateway, &fast, "leader");
    urgent.ping();
    urgent.expect_pingresp();

    second.start_again();
    load.each_goes_on(MORE, SOON_AGAIN);
    urgent.expect_puback(2);
    until_true("nothing is wrong any more", START, || {
        !gateway.page("/readyz").body.contains("leader")
    });
    assert_landed_in_order(&load.stop(), &third.read_all(&fast));
    assert_eq!(third.count(&priority), 2);
    gateway.comes_to_rest();
}

/// One of the reasons of `/readyz` says this of that.
#[track_caller]
fn says(gateway: &Gateway, of: &str, word: &str) {
    let said = |reasons: &serde_json::Value| {
        let reasons = reasons.as_array().into_iter().flatten();
        reasons
            .filter_map(|reason| reason.as_str())
            .any(|reason| reason.contains(of) && reason.contains(word))
    };
    let end = Instant::now() + SOON_AGAIN;
    loop {
        let page = gateway.page("/readyz").json();
        if said(&page["degraded"]) || said(&page["reasons"]) {
            return;
        }
        assert!(Instant::now() < end, "of {of} nobody says {word}: {page}");
        thread::sleep(Duration::from_millis(100));
    }
}
