//! What docs/live.md says of the JSON: a test holds each key against it.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use bridge::Totals;
use bridge::kafka::{KafkaFigures, PartitionFigures, PartitionState};
use bridge::objects::ObjectFigures;
use parse::metrics as parsing;
use serde_json::Value;

use super::sampler::{RECORDED, Sampler};
use super::*;
use crate::admin::Readiness;
use crate::metrics as names;
use crate::problem::{Kind, Problem};

const PAGE: &str = include_str!("../../../docs/live.md");
const LANE: &str = "LANE";

/// Of everything that may be there, something.
fn full() -> Reading {
    let problem = Problem::new(Kind::Files, "access", "text");
    let figures = KafkaFigures {
        queue_messages: 1,
        requests: 1,
        sent_bytes: 1,
        round_trip_p99_s: 1.0,
        brokers_up: 1,
        partitions: vec![PartitionFigures {
            state: PartitionState::Well,
            topic: "landfall.fast".to_owned(),
            partition: 0,
            leader: Some(1),
            waiting_records: 0,
        }],
        partitions_left_out: 0,
    };
    let latest = Latest::new("publish".to_owned(), [(LANE.to_owned(), vec![LANE.to_owned()])]);
    latest.note(LANE, "line");
    Reading {
        role: "gateway",
        gateway_id: "gw".to_owned(),
        readiness: Readiness { ready: true, reasons: Vec::new(), degraded: vec![problem] },
        draining: false,
        lanes: vec![LaneReading {
            lane: LANE.to_owned(),
            totals: Totals { received: 1, refused: [1, 0, 0, 0], ..Totals::default() },
            held_bytes: 1,
            limit_bytes: 1,
            waiting_connections: 1,
            backlog_records: 1,
            oldest: Duration::from_secs(1),
        }],
        connections: Some(ConnectionsReading {
            open: 1,
            limit: 1,
            silent: 1,
            listeners: vec![ListenerReading {
                listener: "mqtt".to_owned(),
                open: 1,
                limit: 1,
                versions: vec![("5", 1)],
            }],
        }),
        store: Some(StoreReading { figures: ObjectFigures::default(), problem: None }),
        kafka: vec![KafkaReading {
            lane: LANE.to_owned(),
            is_producer_ready: true,
            error: None,
            figures: Some(figures),
        }],
        latest: Some(latest.shown()),
    }
}

fn keys(value: &Value, place: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let point = if place.is_empty() { "" } else { "." };
            for (key, value) in entries {
                // A name that is the configuration's, and no key.
                let key = match key.as_str() {
                    LANE => format!("{{{LANE}}}"),
                    "5" => "{VERSION}".to_owned(),
                    key => format!("{point}{key}"),
                };
                self::keys(value, &format!("{place}{key}"), keys);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| self::keys(item, &format!("{place}[]"), keys));
        }
        _ => {
            keys.insert(place.to_owned());
        }
    }
}

/// The keys in the table of that section.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(heading).expect("the page has that section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// What those hold who look and do not read is in the plan of memory.
#[test]
fn no_text_is_longer_than_it_is_planned() {
    let mut sampler = Sampler::new("p".to_owned());
    let mut sequence = 0;
    for step in 0..history::STEPS as u64 {
        let mut reading = full();
        sequence += 1_000_000;
        let lane = &mut reading.lanes[0];
        lane.totals.received = sequence * step;
        lane.held_bytes = 100_000_000_000 + step;
        lane.oldest = Duration::from_millis(10_000_001 * step);
        let at = history::STEP * step as u32;
        let now = sampler.take(reading, Recorded::default(), at, UNIX_EPOCH);
        let text = Event::of("now", 1, &now).text;
        assert!(text.len() < LANE_TEXT_BYTES + PARTITION_TEXT_BYTES + REST_BYTES / 2);
    }
    let past = sampler.past(None, Duration::from_secs(3600));
    assert_eq!(past.problems.len(), history::STEPS);
    let text = Event::of("history", 1, &past).text;
    let planned = history::STEPS * STEP_TEXT_BYTES;
    assert!(text.len() < planned, "{} of {planned}", text.len());
    let partition = PartitionFigures {
        state: PartitionState::Away,
        topic: "t".repeat(249),
        partition: i32::MAX,
        leader: Some(i32::MAX),
        waiting_records: u64::MAX,
    };
    let mut reading = full();
    let figures = reading.kafka[0].figures.as_mut().expect("it is full");
    figures.partitions = vec![partition; PARTITIONS_MAX];
    let now = sampler.take(reading, Recorded::default(), Duration::from_secs(3600), UNIX_EPOCH);
    let text = Event::of("now", 1, &now).text;
    let planned = LANE_TEXT_BYTES + PARTITIONS_MAX * PARTITION_TEXT_BYTES;
    assert!(text.len() < planned, "{} of {planned}", text.len());
}

#[test]
fn each_key_is_on_the_page_and_the_page_has_no_other() {
    let (recorder, handle) = crate::metrics::tests::registry();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!(names::CONNECTIONS_CLOSED, "reason" => "keep_alive").increment(1);
        metrics::gauge!(parsing::WINDOW_LIMIT, "pool" => "fast").set(1.0);
    });
    let mut sampler = Sampler::new("p".to_owned());
    let now = sampler.take(full(), handle.read(RECORDED), Duration::from_secs(1), UNIX_EPOCH);
    let past = sampler.past(None, Duration::from_secs(1));
    assert!(!serde_json::to_string(&now).expect("it can be written").contains("-0.0"), "{now:?}");
    for (heading, json) in [
        ("## What an event `now` holds", serde_json::to_value(&now)),
        ("## What an event `history` holds", serde_json::to_value(&past)),
    ] {
        let mut shown = BTreeSet::new();
        keys(&json.expect("it can be written"), "", &mut shown);
        let documented = documented(heading);
        let missing: Vec<_> = shown.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&shown).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "{missing:?} {unknown:?}");
    }
}
