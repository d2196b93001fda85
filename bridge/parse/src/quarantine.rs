//! The quarantine: what failed, as it was read, so that a parser that is corrected can be given it again. Why
//! it failed, and where it came from, is in headers. Pure.

use bridge::record::RecordBuf;

use crate::failure::Failure;
use crate::raw::{Raw, write_position};

/// Longest detail of a failure in a header, in bytes.
const DETAIL_MAX: usize = 512;

/// Writes the record of what failed: key and value are those of the raw one. `parser` is empty where none
/// took it. Without its value, where Kafka does not take it with it: what is left says where it is.
pub fn write(
    topic: &str,
    raw: &Raw<'_>,
    parser: &str,
    failure: &Failure,
    with_value: bool,
    out: &mut RecordBuf,
) {
    out.begin(topic, raw.timestamp_ms);
    out.header("landfall-reason", failure.reason.label().as_bytes());
    out.header("landfall-detail", shortened(&failure.to_string()).as_bytes());
    if !parser.is_empty() {
        out.header("landfall-parser", parser.as_bytes());
    }
    let mut position = Vec::new();
    write_position(raw.topic, raw.partition, raw.offset, &mut position);
    out.header("landfall-source", &position);
    if !with_value {
        out.header("landfall-cut", b"value");
    }
    out.key(|out| out.extend_from_slice(raw.key.unwrap_or_default()));
    if with_value {
        out.value(|out| out.extend_from_slice(raw.value.unwrap_or_default()));
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=DETAIL_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

    #[test]
    fn what_failed_is_kept_as_it_was_read() {
        let raw = Raw {
            topic: "landfall.fast",
            partition: 2,
            offset: 40,
            timestamp_ms: 42,
            key: Some(b"m-1"),
            value: Some(b"\x00whatever"),
        };
        let failure = Failure::new(Reason::NotJson, "ü".repeat(400)).at(3);
        let mut record = RecordBuf::default();
        write("q", &raw, "readings", &failure, true, &mut record);
        let record = record.as_record();
        assert_eq!((record.topic(), record.timestamp_ms()), ("q", 42));
        assert_eq!((record.key(), record.value()), (&b"m-1"[..], &b"\x00whatever"[..]));
        let headers: Vec<_> = record.headers().collect();
        assert_eq!(headers[0], ("landfall-reason", &b"not_json"[..]));
        assert!(
            headers[1].1.len() <= DETAIL_MAX && headers[1].1.starts_with(b"not_json at byte 3")
        );
        assert_eq!(headers[2], ("landfall-parser", &b"readings"[..]));
        assert_eq!(headers[3], ("landfall-source", &b"landfall.fast/2/40"[..]));

        let mut without = RecordBuf::default();
        write("q", &raw, "", &failure, false, &mut without);
        let without = without.as_record();
        assert!(without.value().is_empty());
        assert!(without.headers().any(|header| header == ("landfall-cut", &b"value"[..])));
    }
}
