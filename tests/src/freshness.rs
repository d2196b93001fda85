//! How long messages take from landed to canonical, by the broker's own clock: both topics have the times at
//! which their records were appended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::kafka::{Kafka, Record};
use crate::raw::RawWriter;

/// The header that says which record an event was made of.
pub const SOURCE: &str = "landfall-source";
/// Messages leave at these steps.
const STEP: Duration = Duration::from_millis(1);
/// How long a record may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a topic of raw records needs, to be measured and to be kept.
pub const SETTINGS: [(&str, &str); 3] = [
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

/// One message's way.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// When it landed, milliseconds since 1970.
    pub landed_ms: i64,
    /// Until its event was canonical, in milliseconds.
    pub took_ms: u32,
}

/// Milliseconds since 1970, as the broker on this machine tells them too.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).expect("it is not that late")
}

/// Tells [`at_pace`] to stop, however its holder ends: a test that failed waits for nobody.
pub struct Stop<'s>(pub &'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Writes `rate` payloads a second until it is told to stop, and says how many.
#[track_caller]
pub fn at_pace(
    mut writer: RawWriter,
    rate: u64,
    stop: &AtomicBool,
    payload: impl Fn(u64) -> Vec<u8>,
) -> u64 {
    let begin = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let due = begin.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(writer.written()) < due {
            let number = writer.written();
            writer.inline(payload(number));
        }
        writer.poll();
        thread::sleep(STEP);
    }
    writer.finish();
    writer.written()
}

/// The passage of each message, in the order of their events. Each has one.
#[track_caller]
pub fn passages(kafka: &Kafka, raw: &str, canonical: &str) -> Vec<Passage> {
    let at = |record: &Record| record.timestamp_ms.expect("every record has its time");
    let mut landed: Vec<Vec<i64>> = Vec::new();
    let mut records = kafka.records(&[raw]);
    for _ in 0..kafka.count(raw) {
        let record = records.next(PATIENCE).expect("it can be read");
        let partition = usize::try_from(record.partition).expect("a partition has a number");
        landed.resize(landed.len().max(partition + 1), Vec::new());
        landed[partition].push(at(&record));
    }
    let mut events = kafka.records(&[canonical]);
    let passage = |_| {
        let event = events.next(PATIENCE).expect("it can be read");
        let (partition, offset) = source(&event);
        let landed_ms = landed[partition][offset];
        let took_ms = u32::try_from(at(&event) - landed_ms).unwrap_or(0);
        Passage { landed_ms, took_ms }
    };
    (0..kafka.count(canonical)).map(passage).collect()
}

/// Partition and offset of the record that an event was made of.
fn source(event: &Record) -> (usize, usize) {
    let source = event.header(SOURCE).expect("every event says where it comes from");
    let source = std::str::from_utf8(source).expect("it is text");
    let number = |text: &str| text.parse::<usize>().ok();
    let mut parts = source.rsplit('/').map(number);
    let place = parts.next().flatten().zip(parts.next().flatten());
    let (offset, partition) = place.unwrap_or_else(|| panic!("{source} is no position"));
    (partition, offset)
}

/// How long those took that landed within this time, sorted.
pub fn took(passages: &[Passage], from_ms: i64, until_ms: i64) -> Vec<u32> {
    let within = passages.iter().filter(|one| (from_ms..until_ms).contains(&one.landed_ms));
    let mut took: Vec<u32> = within.map(|one| one.took_ms).collect();
    took.sort_unstable();
    took
}
