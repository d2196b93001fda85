//! What is large holds nobody up: while the slow lane works a backlog of large payloads off, messages of the fast
//! one become events as they come. The long form, with figures, is `bench backlog`.

use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::json;
use tests::freshness::{SETTINGS, Stop, at_pace, now_ms, passages, took};
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
/// None of them may become as old as this part of the time that the backlog takes.
const PART: i64 = 2;

fn line(number: u64) -> String {
    format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(74))
}

#[test]
fn a_backlog_of_large_messages_holds_no_other_lane_up() {
    let (kafka, s3, bucket) = (Kafka::shared(), S3::shared(), unique("backlog"));
    s3.create_bucket(&bucket);
    let (fast, slow) = (unique("fast"), unique("slow"));
    kafka.create_topics(&[&fast, &slow], 3, &SETTINGS);
    let mut store = S3::section(&bucket, s3.address());
    store["url"] = format!("s3://{bucket}/objects").into();
    let parser = |format: &str| json!({ "format": format, "fields": { "n": "n" }, "rest": "drop" });
    let lanes = [("fast", &*fast), ("slow", &*slow)];
    let mut role = RoleConfig::new(kafka, &lanes, (parser("json"), parser("ndjson")), 3)
        .set("object_store", store)
        .start_ready();
    let canonical = role.topic("events");
    // Its partitions come to it some time after it is ready.
    let mut writer = RawWriter::open(&kafka.client(), &fast, "fast", 30);
    writer.inline(line(0).into_bytes());
    writer.finish();
    role.until("the first event", SETTLE, || (kafka.count(&canonical) == 1).then_some(()));
    let (stop, from) = (AtomicBool::new(false), now_ms());
    let written = thread::scope(|scope| {
        let written =
            scope.spawn(|| at_pace(writer, RATE, &stop, |number| line(number).into_bytes()));
        let stopper = Stop(&stop);
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
        let late = role.topic("late");
        wait::until_true_at_any_pace(
            "the events of the backlog",
            SETTLE,
            || kafka.count(&late),
            || kafka.count(&late) == events,
        );
        drop(stopper);
        written.join().expect("writing does not panic")
    });
    let until = now_ms();
    role.until("an event of each", SETTLE, || (kafka.count(&canonical) == written).then_some(()));
    assert_eq!(kafka.count(&role.topic("quarantine")), 0, "{}", role.log());
    let of_fast = took(&passages(kafka, &fast, &canonical), from, until);
    let (oldest, took_ms) = (of_fast.last().copied().unwrap_or_default(), until - from);
    let count = of_fast.len();
    eprintln!("{took_ms} ms for the backlog; of {count} others the oldest had {oldest} ms");
    assert!(count > 0, "{written} came, and none meanwhile");
    assert!(
        i64::from(oldest) * PART < took_ms,
        "one of the fast lane waited {oldest} ms, and the backlog took {took_ms}"
    );
    assert_eq!(role.terminate(), Some(0), "{}", role.log());
}
