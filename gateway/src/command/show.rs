//! A record as a person wants to see it: one line of who, what and how much, and what it says.
//!
//! Everything in it may be a stranger's: devices choose texts, and whoever may write to the topic chooses
//! all of it. So what a terminal would obey is escaped, and of an object no more is held than is shown.

mod derived;

use prost::Message as _;
use proto::v1::{Cut, Envelope, Reference, envelope::Payload};
use tokio::runtime::Runtime;

use bridge::kafka::consumer::ConsumerRecord;
use bridge::objects::{Expected, ObjectError, Objects, ReadError};
use bridge::text::escape;

/// Characters of a payload that are shown.
const PREVIEW_CHARS: usize = 160;
/// Bytes of a payload that may become those.
const PREVIEW_BYTES: usize = 4 * PREVIEW_CHARS;
/// Bytes of an object that are read to hold it against its hash.
const CHECK_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Describes a record; references are read through `objects`.
pub fn line(record: &ConsumerRecord, objects: Option<(&Objects, &Runtime)>) -> String {
    let value = record.value.clone().unwrap_or_default();
    let size_in_all = value.len();
    if let Some(line) = derived::line(record) {
        return line;
    }
    let Ok(envelope) = Envelope::decode(value) else {
        return format!("{}: {size_in_all} bytes that are no envelope", record.topic);
    };
    let time = jiff::Timestamp::from_millisecond(envelope.received_ms)
        .map_or("?".to_owned(), |time| format!("{time:.3}"));
    let mut line = format!(
        "{time}  {:<9} {}  {}  {}",
        escape(&envelope.lane),
        escape(&envelope.device_id),
        escape(&envelope.source_topic),
        size(envelope.payload_size),
    );
    if !envelope.dead_letter_reason.is_empty() {
        line.push_str(&format!("  dead letter: {}", escape(&envelope.dead_letter_reason)));
    }
    if !envelope.cut.is_empty() {
        let cut = |cut: &Cut| format!("{} of {}", escape(&cut.field), size(cut.size));
        let cuts: Vec<String> = envelope.cut.iter().map(cut).collect();
        line.push_str(&format!("  cut: {}", cuts.join(", ")));
    }
    match &envelope.payload {
        Some(Payload::Inline(payload)) => {
            line.push_str(&format!("  {}", preview(payload, payload.len() as u64)));
        }
        Some(Payload::Reference(reference)) => {
            line.push_str(&format!("  at {}", escape(&reference.uri)));
            if let Some((objects, runtime)) = objects {
                line.push_str(&format!("  {}", runtime.block_on(referred(reference, objects))));
            }
        }
        None => line.push_str("  (no payload)"),
    }
    line
}

/// What an object begins with, and what is wrong with it.
async fn referred(reference: &Reference, objects: &Objects) -> String {
    let Reference { uri, size: expected, sha256, .. } = reference;
    let cannot = |error: ObjectError| format!("(cannot be read: {})", escape(&error.to_string()));
    let mut reading = match objects.read(Expected { uri, size: *expected, sha256 }).await {
        Ok(reading) => reading,
        Err(error) => return cannot(error),
    };
    let other_size = |bytes| format!("(not what was written: {bytes} bytes, not {expected}) ");
    let bytes = reading.size();
    let is_too_large = bytes > CHECK_MAX_BYTES;
    let mut start = Vec::new();
    let fault = loop {
        match reading.next().await {
            Ok(Some(piece)) => {
                let room = PREVIEW_BYTES - start.len();
                start.extend_from_slice(&piece[..piece.len().min(room)]);
                match start.len() == PREVIEW_BYTES {
                    true if bytes != *expected => break other_size(bytes),
                    true if is_too_large => {
                        break format!("(not checked: larger than {}) ", size(CHECK_MAX_BYTES));
                    }
                    _ => {}
                }
            }
            Ok(None) => break String::new(),
            Err(ReadError::OtherSize(bytes)) => break other_size(bytes),
            Err(ReadError::OtherHash) => {
                break "(not what was written: its hash differs) ".to_owned();
            }
            Err(ReadError::Store(error)) => return cannot(error),
        }
    };
    format!("{fault}{}", preview(&start, bytes))
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// The beginning of a payload of `size` bytes, of which `start` is at least what is shown.
fn preview(start: &[u8], size: u64) -> String {
    let head = &start[..start.len().min(PREVIEW_BYTES)];
    let text = match std::str::from_utf8(head) {
        Ok(text) if !text.contains(is_binary) => text,
        // Cut within a character.
        Err(error) if error.error_len().is_none() && (head.len() as u64) < size => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        _ => {
            let hex: Vec<String> = head.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            let more = if size > 16 { " …" } else { "" };
            return format!("{}{more}", hex.join(" "));
        }
    };
    let shown: String = text.chars().take(PREVIEW_CHARS).collect();
    let more = if (shown.len() as u64) < size { "…" } else { "" };
    format!("{}{more}", escape(&shown))
}

/// Text that a person reads holds no control characters but these three.
fn is_binary(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\u{1b}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;

    use sha2::{Digest as _, Sha256};

    use super::*;

    fn line_of(envelope: &Envelope, objects: Option<(&Objects, &Runtime)>) -> String {
        let record = ConsumerRecord {
            topic: "landfall.fast".to_owned(),
            partition: 0,
            offset: 0,
            timestamp_ms: Some(0),
            key: None,
            value: Some(envelope.encode_to_vec().into()),
            headers: Vec::new(),
        };
        line(&record, objects)
    }

    #[test]
    fn a_line_tells_what_was_cut_of_a_dead_letter() {
        let envelope = Envelope {
            dead_letter_reason: "too large for Kafka".into(),
            cut: vec![Cut { field: "payload".into(), size: 600_000, ..Cut::default() }],
            ..Envelope::default()
        };
        let line = line_of(&envelope, None);
        assert!(line.ends_with("cut: payload of 585.9 KiB  (no payload)"), "{line}");
    }

    #[test]
    fn a_line_tells_the_message_and_escapes_what_a_device_wrote() {
        let envelope = Envelope {
            device_id: "m\u{1b}[2J".into(),
            source_topic: "devices/meter/m\u{202e}/power".into(),
            lane: "fast\u{1b}]0;x\u{7}\u{9b}31m".into(),
            dead_letter_reason: "a\u{2028}b\u{85}".into(),
            payload_size: 4,
            payload: Some(Payload::Inline("21\n5\u{200f}".into())),
            ..Envelope::default()
        };
        let line = line_of(&envelope, None);
        assert!(line.contains("fast") && line.contains("21\\n5"), "{line}");
        let harmful = |c: char| c.is_control() || matches!(c, '\u{200f}' | '\u{2028}' | '\u{202e}');
        assert!(!line.contains(harmful), "{line:?}");
        assert_eq!(preview(&[0, 255], 2), "00 ff");
    }

    #[test]
    fn an_object_is_held_against_its_record_and_read_as_far_as_it_is_shown() {
        let base = std::env::temp_dir().join(format!("landfall-show-{}", std::process::id()));
        let root = base.join("store");
        fs::create_dir_all(&root).expect("it can be made");
        let url = url::Url::from_directory_path(&root).expect("an absolute path");
        let objects = Objects::open(&url, &BTreeMap::new()).expect("a folder is a store");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        fs::write(root.join("1"), b"the payload").expect("it can be written");
        fs::write(base.join("secret"), b"the payload").expect("it can be written");
        symlink(base.join("secret"), root.join("out")).expect("it can be written");
        // A file of 3 GiB that takes no room.
        let huge = fs::File::create(root.join("huge")).expect("it can be written");
        huge.set_len(3 << 30).expect("it can be that long");
        let shown = |uri: String, size: u64, payload: &[u8]| {
            let sha256 = Sha256::digest(payload).to_vec();
            let reference = Reference { uri, size, sha256, ..Reference::default() };
            let envelope =
                Envelope { payload: Some(Payload::Reference(reference)), ..Envelope::default() };
            line_of(&envelope, Some((&objects, &runtime)))
        };
        let at = |name: &str| format!("{url}{name}");
        for (uri, size, payload, expected) in [
            (at("1"), 11, &b"the payload"[..], "  the payload"),
            (at("1"), 11, b"another one", "  (not what was written: its hash differs) the payload"),
            (at("1"), 12, b"the payload", "  (not what was written: 11 bytes, not 12) the payload"),
            (
                at("huge"),
                3 << 30,
                b"",
                "  (not checked: larger than 64.0 MiB) 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 …",
            ),
            (at("out"), 11, b"the payload", "leads out of the folder, or to what is no file)"),
            (
                format!("file://{}/secret", base.display()),
                11,
                b"the payload",
                "is not under the configured store)",
            ),
            (at("no\u{1b}"), 11, b"the payload", "configured store)"),
        ] {
            let line = shown(uri, size, payload);
            assert!(line.ends_with(expected), "{line} does not end with {expected}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
        fs::remove_dir_all(&base).expect("it can be removed");
    }
}
