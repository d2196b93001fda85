//! Each thing that can go wrong behind the raw lanes is found, and nothing else is.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::ledger::Line;
use crate::payload::{Content, Flaw, Form, rfc3339};
use crate::verify::event;
use crate::verify::judge::{self, Facts};

const DEVICE: &str = "sim-meter-1";
const RECEIVED_MS: i64 = 1_772_366_400_123;

/// A record of a topic: its key, value and headers.
#[derive(Clone)]
struct Record {
    topic: &'static str,
    key: &'static str,
    value: Vec<u8>,
    headers: Headers,
}

/// A fleet of one device whose messages were parsed: the ledger, the raw records, and what was made of them.
struct Parsed {
    account: Account,
    raw: Vec<Observed>,
    events: Vec<Record>,
    quarantine: Vec<Record>,
    metadata: Vec<Record>,
}

fn content(records: u64, flaw: Option<Flaw>) -> Content {
    Content {
        form: if records == 1 { Form::Json } else { Form::OldJson },
        kind: "meter".to_owned(),
        stream: "power".to_owned(),
        site: "Köln".to_owned(),
        seed: 5,
        at_ms: 1_770_149_645_000,
        step_ms: 10_000,
        records,
        flaw,
    }
}

fn id(sequence: u64) -> [u8; 16] {
    let mut id = *b"\x01\x97\x11\x12\x13\x14\x75\x16\x97\x18\x19\x1a\x1b\x1c\x1d\x00";
    id[15] = sequence as u8;
    id
}

fn uuid(id: [u8; 16]) -> String {
    let digits = hex(&id);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

fn raw_value(sequence: u64) -> Vec<u8> {
    format!("record {sequence}").into_bytes()
}

fn source(sequence: u64) -> Json {
    json!({ "topic": "landfall.fast", "partition": 0, "offset": sequence })
}

fn event(sequence: u64, index: u64, said: &Content) -> Record {
    let said = said.event(sequence, index).unwrap();
    let mut value = json!({
        "event_id": uuid(event::event_id(&id(sequence), "meter", index)),
        "message_id": uuid(id(sequence)),
        "device_id": DEVICE,
        "verified": false,
        "device_type": "meter",
        "lane": "fast",
        "received": rfc3339(RECEIVED_MS),
        "time": said.time,
        "time_from": "payload",
        "source": source(sequence),
        "parser": "meter",
        "revision": 1,
        "index": index,
        "fields": said.fields,
    });
    if !said.types.is_empty() {
        value["types"] = said.types.into();
    }
    record("canonical.meter", value.to_string().into_bytes())
}

fn record(topic: &'static str, value: Vec<u8>) -> Record {
    Record { topic, key: "sim-meter-1/1770148800000", value, headers: Headers::default() }
}

fn metadata(kind: &str, sequence: u64, due: &Content) -> Record {
    let mut value = json!({
        "kind": kind,
        "message_id": uuid(id(sequence)),
        "device_id": DEVICE,
        "verified": false,
        "device_type": "meter",
        "firmware_version": null,
        "lane": "fast",
        "topic": "devices/meter/sim-meter-1/power",
        "received": rfc3339(RECEIVED_MS),
        "size": 10,
        "source": source(sequence),
    });
    if kind == "parsed" {
        value["parser"] = json!("meter");
        let reason = due.fails();
        value["outcome"] = json!(if reason.is_some() { "quarantined" } else { "events" });
        value["reason"] = json!(reason);
        value["events"] = json!(if reason.is_some() { 0 } else { due.records });
    }
    record("landfall.metadata", value.to_string().into_bytes())
}

/// Messages 1 with one event, 2 with three, 3 cut, and 4 with two.
fn parsed() -> Parsed {
    let said = [
        (1, content(1, None)),
        (2, content(3, None)),
        (3, content(1, Some(Flaw::Cut))),
        (4, content(2, None)),
    ];
    let run = Line::Run {
        run: "r".to_owned(),
        seed: 1,
        devices: 1,
        gateway: "g".to_owned(),
        started_ms: 0,
    };
    let mut lines = vec![run];
    let (mut raw, mut events, mut quarantine, mut of_metadata) = (vec![], vec![], vec![], vec![]);
    for (sequence, said) in said {
        lines.push(Line::Sent {
            device: DEVICE.to_owned(),
            sequence,
            topic: "devices/meter/sim-meter-1/power".to_owned(),
            qos: 1,
            size: 10,
            sha256: format!("hash {sequence}"),
            attempt: 1,
            content: Some(Box::new(said.clone())),
            at_ms: 0,
        });
        raw.push(observed(sequence, sequence as i64));
        if let Some(reason) = said.fails() {
            let headers = Headers {
                reason: reason.to_owned(),
                source: format!("landfall.fast/0/{sequence}"),
                detail: String::new(),
            };
            quarantine
                .push(Record { headers, ..record("landfall.quarantine", raw_value(sequence)) });
        } else {
            events.extend((0..said.records).map(|index| event(sequence, index, &said)));
        }
        of_metadata.extend(["landed", "parsed"].map(|kind| metadata(kind, sequence, &said)));
    }
    Parsed { account: Account::of(&lines).unwrap(), raw, events, quarantine, metadata: of_metadata }
}

fn observed(sequence: u64, offset: i64) -> Observed {
    let facts = Facts {
        message_id: id(sequence),
        device_id: DEVICE.to_owned(),
        verified: false,
        device_type: "meter".to_owned(),
        firmware_version: String::new(),
        group: String::new(),
        lane: "fast".to_owned(),
        topic: "devices/meter/sim-meter-1/power".to_owned(),
        received_ms: RECEIVED_MS,
        event_ms: (None, None),
        size: 10,
        value_sha256: sha256(&raw_value(sequence)),
    };
    Observed {
        device: DEVICE.to_owned(),
        sequence,
        topic: "landfall.fast".to_owned(),
        partition: 0,
        offset,
        dead: false,
        inline: true,
        payload: judge::Found::Bytes { size: 10, sha256: format!("hash {sequence}") },
        facts: Some(Arc::new(facts)),
    }
}

impl Parsed {
    fn judged(&self, asked: Asked) -> Verdict {
        let mut judge = Judge::new(asked);
        for record in &self.raw {
            judge.raw(&self.account, record);
        }
        let all = [&self.events, &self.quarantine, &self.metadata];
        for (offset, record) in all.into_iter().flatten().enumerate() {
            let place =
                Place { topic: record.topic.to_owned(), partition: 0, offset: offset as i64 };
            let found = Found { place, key: record.key.as_bytes(), value: &record.value };
            match record.topic {
                "landfall.quarantine" => judge.quarantined(&found, &record.headers),
                "landfall.metadata" => judge.metadata(&found),
                _ => judge.event(&found),
            }
        }
        let is_complete = judge.is_complete();
        let verdict = judge.end();
        let lacks = verdict.count(Kind::Missing) > 0
            || verdict
                .texts(Kind::Quarantine)
                .iter()
                .any(|text| text.contains("not in quarantine"))
            || verdict.texts(Kind::Metadata).iter().any(|text| text.starts_with("no "));
        assert_eq!(is_complete, !lacks, "{}", verdict.json());
        verdict
    }

    /// How many findings of which kind there are.
    fn kinds(&self) -> Vec<(Kind, u64)> {
        self.kinds_where(Asked { metadata: true, ..Asked::default() })
    }

    fn kinds_where(&self, asked: Asked) -> Vec<(Kind, u64)> {
        let verdict = self.judged(asked);
        assert_eq!(verdict.summary().contains("all events are there"), verdict.is_well());
        let counted = KINDS.map(|kind| (kind, verdict.count(kind)));
        counted.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn text(&self, kind: Kind) -> String {
        self.judged(Asked { metadata: true, ..Asked::default() }).texts(kind).join("\n")
    }
}

/// The record with one part of its JSON replaced.
fn replaced(record: &Record, from: &str, to: &str) -> Record {
    let text = String::from_utf8(record.value.clone()).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    Record { value: text.replacen(from, to, 1).into_bytes(), ..record.clone() }
}

#[test]
fn all_there_is_fine() {
    let parsed = parsed();
    assert_eq!(parsed.kinds(), []);
    let verdict = parsed.judged(Asked { metadata: true, no_doubles: true, ..Asked::default() });
    assert!(verdict.is_well());
    let said = verdict.summary();
    assert!(said.contains("4 messages: 6 events (canonical.meter 6), 1 in quarantine; metadata: 4 landed, 4 parsed; 0 doubles"), "{said}");
}

#[test]
fn a_dropped_event_is_missing() {
    let mut parsed = parsed();
    parsed.events.remove(2);
    assert_eq!(parsed.kinds(), [(Kind::Missing, 1)]);
    let text = parsed.text(Kind::Missing);
    assert_eq!(text, "sim-meter-1 number 2 (landfall.fast[0]@2): 1 of 3 events, the first is 1");
    parsed.events.clear();
    assert_eq!(parsed.kinds(), [(Kind::Missing, 6)]);
}

#[test]
fn a_swapped_pair_is_out_of_order() {
    // Within a message, and between messages.
    for (one, other) in [(1, 2), (0, 1), (3, 4)] {
        let mut parsed = parsed();
        parsed.events.swap(one, other);
        assert_eq!(parsed.kinds(), [(Kind::OutOfOrder, 1)], "{one} {other}");
        let unordered = vec!["canonical.meter".to_owned()];
        let asked = Asked { metadata: true, unordered, ..Asked::default() };
        assert_eq!(parsed.kinds_where(asked), [], "no order is promised");
        // Under another key there is none.
        parsed.events[one].key = "sim-meter-1/0";
        assert_eq!(parsed.kinds(), []);
    }
}

#[test]
fn a_changed_value_is_seen() {
    for (from, to) in [
        ("\"power_w\":", "\"power_w\":1"),
        ("\"site\":\"Köln\"", "\"site\":\"Kön\""),
        ("\"energy_kwh\":\"", "\"energy_kwh\":\"0"),
        ("/energy_kwh", "/power_w"),
        ("\"time\":\"2026-02-03T20:14:05.", "\"time\":\"2026-02-03T20:14:06."),
        ("\"time_from\":\"payload\"", "\"time_from\":\"received\""),
        ("\"device_id\":\"sim", "\"device_id\":\"sin"),
        ("\"verified\":false", "\"verified\":true"),
        ("\"lane\":\"fast\"", "\"lane\":\"slow\""),
        ("\"offset\":1", "\"offset\":2"),
        ("12:00:00.123", "12:00:00.124"),
        ("\"parser\":\"meter\"", "\"parser\":\"water\""),
    ] {
        let mut parsed = parsed();
        parsed.events[0] = replaced(&parsed.events[0], from, to);
        assert_eq!(parsed.kinds(), [(Kind::Changed, 1)], "{from}");
    }
    let mut parsed = parsed();
    parsed.events[1].value = b"hello".to_vec();
    assert_eq!(parsed.kinds(), [(Kind::Missing, 1), (Kind::Changed, 1)]);
}

#[test]
fn an_event_of_another_message_is_seen_by_its_source() {
    let mut parsed = parsed();
    let (own, other) = (uuid(id(1)), uuid(id(9)));
    let strange = replaced(&parsed.events[0], &own, &other);
    parsed.events.push(strange.clone());
    assert_eq!(parsed.kinds(), [(Kind::Changed, 1)]);
    // Of another run it is nothing to us.
    let elsewhere = replaced(&strange, "\"offset\":1", "\"offset\":77");
    *parsed.events.last_mut().unwrap() = elsewhere;
    assert_eq!(parsed.kinds(), []);
}

#[test]
fn a_double_by_id_is_counted_and_one_by_another_parser_is_wrong() {
    let mut parsed = parsed();
    // A batch that was parsed once more.
    let again: Vec<Record> = parsed.events[..4].to_vec();
    parsed.events.splice(4..4, again);
    assert_eq!(parsed.kinds(), []);
    let asked = Asked { metadata: true, no_doubles: true, ..Asked::default() };
    assert_eq!(parsed.kinds_where(asked), [(Kind::Double, 4)]);
    assert!(
        parsed
            .judged(Asked { metadata: true, ..Asked::default() })
            .summary()
            .contains("4 doubles by id")
    );

    let mut parsed = self::parsed();
    let own = uuid(event::event_id(&id(2), "meter", 0));
    let other = uuid(event::event_id(&id(2), "water", 0));
    let by_other = replaced(&parsed.events[1], &own, &other);
    parsed.events.push(replaced(&by_other, "\"parser\":\"meter\"", "\"parser\":\"water\""));
    assert_eq!(parsed.kinds(), [(Kind::Double, 1)]);
}

#[test]
fn what_nobody_said_is_seen() {
    let mut parsed = parsed();
    let one = replaced(&parsed.events[0], "\"index\":0", "\"index\":1");
    parsed.events.push(one);
    let failed = event(3, 0, &content(1, None));
    parsed.events.push(failed);
    assert_eq!(parsed.kinds(), [(Kind::NeverSaid, 2)]);
}

#[test]
fn what_fails_has_to_be_in_quarantine_and_nothing_else() {
    let mut parsed = parsed();
    let cut = parsed.quarantine.pop().unwrap();
    assert_eq!(parsed.kinds(), [(Kind::Quarantine, 1)]);
    let headers = |change: &dyn Fn(&mut Headers)| {
        let mut record = cut.clone();
        change(&mut record.headers);
        record
    };
    for record in [
        headers(&|headers| headers.reason = "not_utf8".to_owned()),
        headers(&|headers| headers.source = String::new()),
        Record { value: b"other".to_vec(), ..cut.clone() },
    ] {
        let count = 1 + u64::from(record.headers.source.is_empty());
        parsed.quarantine = vec![record];
        assert_eq!(parsed.kinds(), [(Kind::Quarantine, count)]);
    }
    // A good one that is there is said with why.
    let good = headers(&|headers| {
        headers.source = "landfall.fast/0/4".to_owned();
        headers.detail = "at byte 7".to_owned();
    });
    parsed.quarantine = vec![cut.clone(), good];
    assert_eq!(parsed.kinds(), [(Kind::Quarantine, 1)]);
    assert!(parsed.text(Kind::Quarantine).contains("truncated (at byte 7), and it has 2 events"));
    parsed.quarantine = vec![cut.clone(), cut];
    assert_eq!(parsed.kinds(), []);
}

#[test]
fn a_missing_or_wrong_metadata_record_is_seen() {
    for at in 0..8 {
        let mut parsed = parsed();
        parsed.metadata.remove(at);
        assert_eq!(parsed.kinds(), [(Kind::Metadata, 1)], "{at}");
        assert_eq!(parsed.kinds_where(Asked::default()), [], "there is no metadata stream");
    }
    for (at, from, to) in [
        (0, "\"size\":10", "\"size\":11"),
        (0, "\"verified\":false", "\"verified\":true"),
        (0, "devices/meter", "devices/water"),
        (0, "12:00:00.123", "12:00:00.124"),
        (0, "\"firmware_version\":null", "\"firmware_version\":\"4\""),
        (3, "\"events\":3", "\"events\":2"),
        (3, "\"outcome\":\"events\"", "\"outcome\":\"no_rule\""),
        (5, "\"reason\":\"truncated\"", "\"reason\":\"not_json\""),
    ] {
        let mut parsed = parsed();
        parsed.metadata[at] = replaced(&parsed.metadata[at], from, to);
        assert_eq!(parsed.kinds(), [(Kind::Metadata, 1)], "{from}");
    }
    // Of another place, or of another message, it is none of this record.
    for (from, to) in [("\"offset\":1", "\"offset\":8"), ("01971112", "01971113")] {
        let mut parsed = parsed();
        parsed.metadata[0] = replaced(&parsed.metadata[0], from, to);
        assert_eq!(parsed.kinds(), [(Kind::Metadata, 2)], "{from}");
    }
    // What is no envelope is of no message, and of nobody's run.
    let mut parsed = parsed();
    let strange = json!({ "kind": "landed", "lane": "fast", "size": 5,
        "source": { "topic": "landfall.fast", "partition": 0, "offset": 77 } });
    parsed.metadata.push(record("landfall.metadata", strange.to_string().into_bytes()));
    assert_eq!(parsed.kinds(), []);
}

#[test]
fn what_the_parser_says_of_it_stands_beside_what_is_missing() {
    let mut parsed = parsed();
    parsed.events.remove(0);
    let outcome =
        replaced(&parsed.metadata[1], "\"outcome\":\"events\"", "\"outcome\":\"quarantined\"");
    parsed.metadata[1] = replaced(&outcome, "\"reason\":null", "\"reason\":\"not_json\"");
    assert_eq!(parsed.kinds(), [(Kind::Missing, 1), (Kind::Metadata, 1)]);
    assert!(
        parsed.text(Kind::Missing).ends_with("its metadata says quarantined not_json, 1 events")
    );
}

#[test]
fn a_raw_record_that_was_written_again_is_one_message() {
    let mut parsed = parsed();
    parsed.raw.push(observed(1, 9));
    assert_eq!(parsed.kinds(), [(Kind::Metadata, 2)], "metadata knows of every record");
    let said = content(1, None);
    for kind in ["landed", "parsed"] {
        let again = replaced(&metadata(kind, 1, &said), "\"offset\":1", "\"offset\":9");
        parsed.metadata.push(again);
    }
    let again = replaced(&event(1, 0, &said), "\"offset\":1", "\"offset\":9");
    parsed.events.push(again);
    assert_eq!(parsed.kinds(), []);
}

#[test]
fn a_dead_letter_has_landed_and_is_not_parsed() {
    let mut parsed = parsed();
    parsed.raw[0].dead = true;
    parsed.events.remove(0);
    parsed.metadata.remove(1);
    assert_eq!(parsed.kinds(), []);
    parsed.events.push(event(1, 0, &content(1, None)));
    assert_eq!(parsed.kinds(), [(Kind::NeverSaid, 1)]);
}

#[test]
fn what_is_not_known_of_is_counted() {
    let mut parsed = parsed();
    let broken = judge::Found::Broken("gone".to_owned());
    parsed.raw[0].payload = broken;
    assert_eq!(parsed.kinds(), [], "the lanes' own judgement tells it");
    let verdict = parsed.judged(Asked { metadata: true, ..Asked::default() });
    let said = verdict.summary();
    parsed.raw[0].facts = None;
    assert_eq!(parsed.kinds(), [(Kind::Changed, 1)], "without an id nothing is known of it");
    assert!(said.contains("made of 4 messages (1 of which nothing is known): 5 events"), "{said}");
}
