//! Values of records, whoever wrote them: envelopes of raw topics, and events of canonical topics in both of
//! their formats. Each is one or says why not, and what is read of it comes back the same.

use bridge::record::RecordBuf;
use parse::canonical::whole::Whole;
use parse::canonical::{json, protobuf, read};
use parse::failure::Reason;
use parse::metadata::{self, Became, Message, Parsed};
use parse::quarantine;
use parse::raw::{self, Opened, Raw};
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, Event};
use serde_json::Value;

use super::payload::is_the_same_everywhere;

/// The first byte says what the rest ought to be. Returns whether it is that.
pub fn read_value(data: &[u8]) -> bool {
    match data.split_first() {
        None => false,
        Some((0, value)) => envelope(value),
        Some((1, value)) => event_json(value),
        Some((_, value)) => Event::decode(value).is_ok_and(|message| event(&message)),
    }
}

/// It is opened, or goes to the quarantine; the metadata stream tells of it in either case.
fn envelope(value: &[u8]) -> bool {
    let raw = Raw {
        topic: "landfall.fast",
        partition: 3,
        offset: 40,
        timestamp_ms: 7,
        key: Some(b"key"),
        value: Some(value),
    };
    let mut opened = Opened::default();
    if let Err(failure) = raw.open(&mut opened) {
        assert_eq!(failure.reason, Reason::NoEnvelope);
        told(&raw, None, Became::Quarantined(failure.reason.label()));
        let mut record = RecordBuf::default();
        quarantine::write("q", &raw, "", &failure, true, &mut record);
        let record = record.as_record();
        assert_eq!((record.key(), record.value()), (&b"key"[..], value), "it is kept as it was");
        let source = record.headers().find(|(name, _)| *name == "landfall-source");
        assert_eq!(source.map(|(_, at)| at), Some(&b"landfall.fast/3/40"[..]));
        return false;
    }
    // Its payload is found where it is, and is what a decoder copies.
    let whole = Envelope::decode(value).expect("it is one");
    let inline = match (opened.payload(&raw), whole.payload) {
        (Some(raw::Payload::Inline(found)), Some(Payload::Inline(copied))) => found == copied,
        (Some(raw::Payload::Reference(found)), Some(Payload::Reference(copied))) => {
            *found == copied
        }
        (found, copied) => found.is_none() && copied.is_none(),
    };
    assert!(inline, "the payload is the decoder's");
    assert_eq!(opened.message_id[..], opened.envelope.message_id[..]);
    let again = Envelope::decode(opened.envelope.encode_to_vec().as_slice());
    assert_eq!(again.as_ref(), Ok(&opened.envelope));
    told(&raw, Some(&opened), Became::Events { events: 2, skipped: u64::MAX });
    true
}

/// What is said in the metadata stream, as a foreign reader sees it.
fn told(raw: &Raw<'_>, opened: Option<&Opened>, became: Became) {
    let message = Message { lane: "fast", raw, opened };
    let mut record = RecordBuf::default();
    metadata::landed("m", &message, &mut record);
    let landed = value_of(&record);
    let parsed = Parsed { parser: Some(("p", 1)), became, took_us: 5 };
    metadata::parsed("m", &message, &parsed, &mut record);
    let parsed = value_of(&record);
    assert_eq!((&landed["kind"], &parsed["kind"]), (&"landed".into(), &"parsed".into()));
    for (name, value) in landed.as_object().expect("an object") {
        assert!(name == "kind" || parsed[name] == *value, "{landed} {parsed}");
    }
    assert_eq!(landed["source"]["offset"], 40);
    if let Some(opened) = opened {
        let id = landed["message_id"].as_str().expect("a text").replace('-', "");
        let digits: String = opened.message_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(id, digits);
        assert_eq!(landed["device_id"], *opened.envelope.device_id);
        assert_eq!(landed["size"], opened.envelope.payload_size);
    }
}

fn value_of(record: &RecordBuf) -> Value {
    serde_json::from_slice(record.as_record().value()).expect("it is JSON")
}

fn event_json(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    match read::read(text) {
        Ok(message) => event(&message),
        Err(fault) => {
            assert!(!fault.is_empty());
            false
        }
    }
}

fn event(message: &Event) -> bool {
    let whole = match Whole::read(message) {
        Ok(whole) => whole,
        Err(fault) => {
            assert!(!fault.is_empty());
            return false;
        }
    };
    let mut line = Vec::new();
    json::write(&whole.context(), &whole.event, &mut line);
    is_the_same_everywhere(&line, &protobuf::message(&whole.context(), &whole.event));
    true
}

/// Good inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let golden = include_str!("../../../bridge/parse/src/canonical/golden.json").trim_end();
    let message = read::read(golden).expect("it is one");
    let mut seeds =
        vec![[&[1], golden.as_bytes()].concat(), [&[2], &message.encode_to_vec()[..]].concat()];
    for text in [
        include_str!("../../../proto/tests/golden/inline.hex"),
        include_str!("../../../proto/tests/golden/minimal.hex"),
        include_str!("../../../proto/tests/golden/reference.hex"),
        include_str!("../../../proto/tests/golden/dead_letter.hex"),
        include_str!("../../../proto/tests/golden/cut.hex"),
    ] {
        let bytes = text.lines().flat_map(|line| {
            let digits = line.split('#').next().unwrap_or_default();
            digits.split_whitespace().map(|two| u8::from_str_radix(two, 16).expect("two digits"))
        });
        seeds.push(std::iter::once(0).chain(bytes).collect());
    }
    seeds
}
