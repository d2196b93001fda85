//! What is large holds nobody up: while the slow lane works a backlog of large payloads off, messages of the fast
//! one become events as they come. The long form, with figures, is `bench backlog`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use tests::freshness::{SETTINGS, at_pace, now_ms, passages, took};
use tests::kafka::{Kafka, unique};
use tests::raw::{RawWriter, object};
use tests::role::RoleConfig;
use tests::s3::S3;
use tests::wait;

use super::rig::SETTLE;

/// Payloads in the slow lane: how many lines each has, and how many of them there are. A line has about 100 bytes.
const BACKLOG: [(u64, u64); 2] = [(10_000, 12), (160_000, 1)];
/// Messages a second in the fast lane.
const RATE: u64 = 100;
/// How old one of them may become, in milliseconds: less than the backlog takes, on any machine.
const OLDEST_MS: u32 = 5_000;

fn line(number: u64) -> String {
    format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(74))
}

#[test]
fn a_backlog_of_large_messages_holds_no_other_lane_up() {
    let (kafka, s3, bucket) = (Kafka::shared(), S3::shared(), unique("backlog"));
    s3.create_bucket(&bucket);
    let (fast, slow) = (unique("fast"), unique("slow"));
    kafka.create_topics(&[&fast, &slow], 3, &SETTINGS);
    let mut writer = RawWriter::open(&kafka.client(), &slow, "slow", 30);
    let mut events = 0;
    for (lines, count) in BACKLOG {
        let payload: String = (0..lines).map(|number| line(number) + "\n").collect();
        let (key, uri) = (format!("objects/{lines}"), format!("s3://{bucket}/objects/{lines}"));
        let reference = object(&s3.file(&bucket, &key), &uri, payload.as_bytes());
        (0..count).for_each(|_| writer.reference(reference.clone()));
        events += lines * count;
    }
    writer.finish();
    let mut store = S3::section(&bucket, s3.address());
    store["url"] = format!("s3://{bucket}/objects").into();
    let parser = |format: &str| json!({ "format": format, "fields": { "n": "n" }, "rest": "drop" });
    let lanes = [("fast", &*fast), ("slow", &*slow)];
    let mut role = RoleConfig::new(kafka, &lanes, (parser("json"), parser("ndjson")), 3)
        .set("object_store", store)
        .start_ready();
    let (stop, from) = (AtomicBool::new(false), now_ms());
    let written = thread::scope(|scope| {
        let writer = RawWriter::open(&kafka.client(), &fast, "fast", 30);
        let written =
            scope.spawn(|| at_pace(writer, RATE, &stop, |number| line(number).into_bytes()));
        let late = role.topic("late");
        wait::until_true_at_any_pace(
            "the events of the backlog",
            SETTLE,
            || kafka.count(&late),
            || kafka.count(&late) == events,
        );
        stop.store(true, Ordering::Release);
        written.join().expect("writing does not panic")
    });
    let until = now_ms();
    let canonical = role.topic("events");
    role.until("an event of each", SETTLE, || (kafka.count(&canonical) == written).then_some(()));
    assert_eq!(kafka.count(&role.topic("quarantine")), 0, "{}", role.log());
    let of_fast = took(&passages(kafka, &fast, &canonical), from, until);
    let (oldest, took_ms) = (of_fast.last().copied().unwrap_or_default(), until - from);
    eprintln!(
        "{took_ms} ms for {events} events; of {} others the oldest had {oldest}",
        of_fast.len()
    );
    assert!(of_fast.len() as u64 * 2 > written, "{} of {written}", of_fast.len());
    assert!(oldest < OLDEST_MS, "one of the fast lane waited {oldest} ms of {took_ms}");
    assert_eq!(role.terminate(), Some(0), "{}", role.log());
}
