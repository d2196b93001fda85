//! Devices that publish without a pause, each with a full window, and remember what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::kafka::Record;
use crate::mqtt::{Client, Packet, Publish, Seen, Version};
use crate::wait::{START, until_true};

/// Messages that a device has open at once.
const WINDOW: usize = 20;
/// How long the last acknowledgements may take after [`Load::stop`].
const LAST: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// Devices publish no faster than this each, so that a test's topics stay small.
const PAUSE: Duration = Duration::from_micros(500);

/// Holds what a topic of one gateway's load has against what was acknowledged: all of it is there, and
/// each device's messages came in its order, counted by the first time, since what is sent again may come
/// twice.
#[track_caller]
pub fn assert_landed_in_order(acknowledged: &BTreeSet<String>, records: &[Record]) {
    let (mut landed, mut last) = (BTreeSet::new(), BTreeMap::new());
    let mut overtaken = Vec::new();
    for record in records {
        let payload = payload_of(record);
        let (device, number) = number_of(&payload);
        if landed.insert(payload.clone()) {
            let before = last.insert(device.to_owned(), number);
            if before > Some(number) {
                overtaken.push(format!("{payload} came behind {before:?}"));
            }
        }
    }
    let lost: Vec<&String> = acknowledged.difference(&landed).collect();
    assert!(
        lost.is_empty() && overtaken.is_empty(),
        "acknowledged and not in Kafka: {lost:?}; out of order: {overtaken:?}"
    );
}

/// The same of a topic whose partitions became more, and that writes the time of each append: a device's messages came
/// in its order by that time too, but for those of one millisecond.
#[track_caller]
pub fn assert_landed_in_order_of_appends(acknowledged: &BTreeSet<String>, records: &[Record]) {
    let mut by_partition: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    for record in records {
        by_partition.entry(record.partition).or_default().push(record.clone());
    }
    by_partition.values().for_each(|records| assert_landed_in_order(&BTreeSet::new(), records));
    let number = |record: &Record| number_of(&payload_of(record)).1;
    let mut in_time = records.to_vec();
    in_time.sort_by_key(|record| (record.timestamp_ms, number(record)));
    assert_landed_in_order(acknowledged, &in_time);
}

fn payload_of(record: &Record) -> String {
    String::from_utf8(record.payload()).expect("the load's payloads are text")
}

/// The device of a payload, and the number of its message.
pub fn number_of(payload: &str) -> (&str, u64) {
    let (device, number) = payload.split_once('-').expect("DEVICE-NUMBER");
    (device, number.parse().expect("a number"))
}

/// Running devices; odd ones publish with QoS 2, even ones with QoS 1.
pub struct Load {
    shared: Arc<Shared>,
    devices: Vec<JoinHandle<BTreeSet<String>>>,
}

struct Shared {
    stop: AtomicBool,
    /// Of each device.
    acknowledged: Vec<AtomicU64>,
}

impl Load {
    /// Devices that publish to `devices/meter/load-N/power` on one gateway.
    pub fn start(gateway: SocketAddr, devices: usize) -> Load {
        let acknowledged = (0..devices).map(|_| AtomicU64::default()).collect();
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), acknowledged });
        let device = |number: usize| {
            let shared = Arc::clone(&shared);
            let version = Version::ALL[number % Version::ALL.len()];
            let client = Client::connect(gateway, version, &format!("load-{number}"));
            thread::spawn(move || Device::new(client, number).run(&shared))
        };
        let devices = (0..devices).map(device).collect();
        Load { shared, devices }
    }

    /// PUBACKs and PUBRECs that devices got so far.
    pub fn acknowledged(&self) -> u64 {
        self.of_each().into_iter().sum()
    }

    /// The same of each device.
    pub fn of_each(&self) -> Vec<u64> {
        let counts = self.shared.acknowledged.iter();
        counts.map(|count| count.load(Ordering::Acquire)).collect()
    }

    /// Waits until that many more are acknowledged of each device.
    #[track_caller]
    pub fn each_goes_on(&self, more: u64, deadline: Duration) {
        let before = self.of_each();
        let behind = || {
            let now = self.of_each();
            let pairs = before.iter().zip(&now).enumerate();
            pairs
                .filter(|(_, (before, now))| *now - *before < more)
                .map(|(device, _)| device)
                .collect()
        };
        let end = Instant::now() + deadline;
        let mut left: Vec<usize> = behind();
        while !left.is_empty() {
            let of = self.devices.len();
            assert!(
                Instant::now() < end,
                "{} of {of} devices have no {more} acknowledgements within {deadline:?}: {left:?}",
                left.len()
            );
            thread::sleep(LOOK);
            left = behind();
        }
    }

    /// Waits until that many more are acknowledged.
    #[track_caller]
    pub fn goes_on(&self, more: u64) {
        let before = self.acknowledged();
        until_true("the load goes on", START, || self.acknowledged() > before + more);
    }

    /// Waits until nothing is acknowledged for that long.
    #[track_caller]
    pub fn stands_still(&self, quiet: Duration) {
        until_true("the load stands still", START, || {
            let before = self.acknowledged();
            thread::sleep(quiet);
            self.acknowledged() == before
        });
    }

    /// Publishes nothing more, waits for what is open, and returns every acknowledged payload.
    #[track_caller]
    pub fn stop(self) -> BTreeSet<String> {
        self.shared.stop.store(true, Ordering::Release);
        let ended = self.devices.into_iter().map(|device| device.join().expect("no device failed"));
        ended.flatten().collect()
    }
}

struct Device {
    client: Client,
    number: usize,
    sent: u64,
    /// Payloads that are not acknowledged, by packet id.
    open: BTreeMap<u16, String>,
    acknowledged: BTreeSet<String>,
}

impl Device {
    fn new(client: Client, number: usize) -> Device {
        Device { client, number, sent: 0, open: BTreeMap::new(), acknowledged: BTreeSet::new() }
    }

    fn run(mut self, shared: &Shared) -> BTreeSet<String> {
        while !shared.stop.load(Ordering::Acquire) {
            if self.open.len() < WINDOW {
                self.publish();
                thread::sleep(PAUSE);
            }
            let patience = if self.open.len() < WINDOW { Duration::from_micros(1) } else { LOOK };
            self.read(patience, shared);
        }
        let end = Instant::now() + LAST;
        while !self.open.is_empty() {
            assert!(Instant::now() < end, "not acknowledged within {LAST:?}: {:?}", self.open);
            self.read(LOOK, shared);
        }
        self.acknowledged
    }

    fn publish(&mut self) {
        self.sent += 1;
        // Ids go round long after their window.
        let packet_id = (self.sent % 60_000 + 1) as u16;
        let payload = format!("{}-{}", self.number, self.sent);
        let topic = format!("devices/meter/load-{}/power", self.number);
        let publish = Publish::new(&topic, payload.as_bytes());
        let publish =
            if self.number % 2 == 1 { publish.qos2(packet_id) } else { publish.qos1(packet_id) };
        self.client.publish(&publish);
        self.open.insert(packet_id, payload);
    }

    fn read(&mut self, patience: Duration, shared: &Shared) {
        match self.client.read(patience) {
            Seen::Packet(Packet::Puback { packet_id, code: 0 | 0x10, .. }) => {
                self.acknowledge(packet_id, shared);
            }
            Seen::Packet(Packet::Pubrec { packet_id, code: 0 | 0x10, .. }) => {
                self.acknowledge(packet_id, shared);
                self.client.pubrel(packet_id);
            }
            Seen::Packet(Packet::Pubcomp { code: 0, .. }) | Seen::Silence => {}
            other => panic!("device {} saw {other:?}", self.number),
        }
    }

    fn acknowledge(&mut self, packet_id: u16, shared: &Shared) {
        let payload = self.open.remove(&packet_id);
        let payload = payload.unwrap_or_else(|| panic!("{packet_id} was not open"));
        self.acknowledged.insert(payload);
        shared.acknowledged[self.number].fetch_add(1, Ordering::AcqRel);
    }
}
