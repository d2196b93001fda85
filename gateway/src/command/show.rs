//! A record as a person wants to see it: one line of who, what and how much, and what it says.
//! Control characters are escaped: devices choose these texts.

use prost::Message as _;
use proto::v1::{Envelope, envelope::Payload};
use tokio::runtime::Runtime;

use bridge::record::Record;
use bridge::sink::object::Objects;

/// Characters of a payload that are shown.
const PREVIEW_CHARS: usize = 160;

/// Describes a record; references are read through `objects`.
pub fn line(record: Record<'_>, objects: Option<(&Objects, &Runtime)>) -> String {
    let Ok(envelope) = Envelope::decode(record.value()) else {
        return format!("{}: {} bytes that are no envelope", record.topic(), record.value().len());
    };
    let time = jiff::Timestamp::from_millisecond(envelope.received_ms)
        .map_or("?".to_owned(), |time| format!("{time:.3}"));
    let mut line = format!(
        "{time}  {:<9} {}  {}  {}",
        envelope.lane,
        escape(&envelope.device_id),
        escape(&envelope.source_topic),
        size(envelope.payload_size),
    );
    if !envelope.dead_letter_reason.is_empty() {
        line.push_str(&format!("  dead letter: {}", escape(&envelope.dead_letter_reason)));
    }
    match &envelope.payload {
        Some(Payload::Inline(payload)) => line.push_str(&format!("  {}", preview(payload))),
        Some(Payload::Reference(reference)) => {
            line.push_str(&format!("  at {}", escape(&reference.uri)));
            if let Some((objects, runtime)) = objects {
                match runtime.block_on(objects.read(&reference.uri)) {
                    Ok(payload) => line.push_str(&format!("  {}", preview(&payload))),
                    Err(error) => line.push_str(&format!("  (cannot be read: {error})")),
                }
            }
        }
        None => line.push_str("  (no payload)"),
    }
    line
}

/// Control characters as a person can read them, and nothing else changed.
pub fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

fn preview(payload: &[u8]) -> String {
    let head = &payload[..payload.len().min(4 * PREVIEW_CHARS)];
    let text = match std::str::from_utf8(head) {
        Ok(text) if !text.contains(is_binary) => text,
        // Cut within a character.
        Err(error) if error.error_len().is_none() && head.len() < payload.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        _ => {
            let hex: Vec<String> = head.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            let more = if payload.len() > 16 { " …" } else { "" };
            return format!("{}{more}", hex.join(" "));
        }
    };
    let shown: String = text.chars().take(PREVIEW_CHARS).collect();
    let more = if shown.len() < payload.len() { "…" } else { "" };
    format!("{}{more}", escape(&shown))
}

/// Text that a person reads holds no control characters but these three.
fn is_binary(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\u{1b}')
}

#[cfg(test)]
mod tests {
    use bridge::record::RecordBuf;

    use super::*;

    #[test]
    fn a_line_tells_the_message_and_escapes_what_a_device_wrote() {
        let envelope = Envelope {
            device_id: "m\u{1b}[2J".into(),
            source_topic: "devices/meter/m/power".into(),
            lane: "fast".into(),
            payload_size: 4,
            payload: Some(Payload::Inline("21\n5".into())),
            ..Envelope::default()
        };
        let mut record = RecordBuf::default();
        record.begin("landfall.fast", 0);
        record.value(|out| out.extend_from_slice(&envelope.encode_to_vec()));
        let line = line(record.as_record(), None);
        assert!(line.contains("fast") && line.contains("21\\n5"), "{line}");
        assert!(!line.contains(['\u{1b}', '\n']), "{line}");
        assert_eq!(preview(&[0, 255]), "00 ff");
    }
}
