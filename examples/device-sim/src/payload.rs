//! What a message says, how the firmware of its device writes that, and the events that are in it. Pure.
//!
//! A [`Content`] is all that has to be known for both, beside who says it: the ledger keeps it, and so the
//! events of every message are known without its bytes.

mod write;

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::reading::{self, Sort, Stream, Value};

/// Bytes at the beginning of a payload in which it says whose it is.
pub const HEAD_MAX_BYTES: usize = 1024;
/// Readings of a message at most, as far as counters count them; a log may have more, and counts on in
/// what follows it.
const MOMENTS: u64 = 64;

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One reading as JSON, by firmware of today.
    Json,
    /// Some readings in one JSON, by older firmware, with names and units of its own.
    OldJson,
    /// A table, by the oldest.
    Csv,
    /// A reading in each line, with a waveform: a log as large as it may be.
    Ndjson,
    /// A reading in each line, from long ago, packed.
    NdjsonGzip,
}

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// It ends early.
    Cut,
    /// Its texts are Latin-1.
    Charset,
}

/// What a message says; see the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub form: Form,
    /// The type of the device, and the stream: which quantities it has.
    pub kind: String,
    pub stream: String,
    /// Where its device is.
    pub site: String,
    /// What its values are made of, with the number of its message.
    pub seed: u64,
    /// The first reading, in milliseconds since 1970 UTC, and from each to the next.
    pub at_ms: i64,
    pub step_ms: i64,
    pub records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

/// Who says it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub run: &'a str,
    pub device: &'a str,
    pub sequence: u64,
    pub firmware: &'a str,
}

/// An event that is in a message, as canonical JSON writes these parts of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub time: String,
    pub fields: Map<String, Json>,
    pub types: Map<String, Json>,
}

impl Content {
    /// The last reading, in milliseconds since 1970 UTC.
    pub fn end_ms(&self) -> i64 {
        self.at_ms + self.step_ms * self.records.saturating_sub(1) as i64
    }

    /// Why nothing of it is an event, as the parse role names it.
    pub fn fails(&self) -> Option<&'static str> {
        Some(match (self.flaw?, self.form) {
            (Flaw::Charset, _) => "not_utf8",
            (Flaw::Cut, Form::Csv) => "column_count",
            (Flaw::Cut, Form::NdjsonGzip) => "decompress",
            (Flaw::Cut, _) => "truncated",
        })
    }

    fn stream(&self) -> anyhow::Result<Stream> {
        reading::stream(&self.kind, &self.stream)
            .ok_or_else(|| anyhow::anyhow!("no {} has the stream {}", self.kind, self.stream))
    }

    fn moment(&self, sequence: u64, index: u64) -> u64 {
        sequence * MOMENTS + index
    }

    /// The event of a reading, counted from 0; of a message that fails there is none.
    pub fn event(&self, sequence: u64, index: u64) -> anyhow::Result<Event> {
        let stream = self.stream()?;
        let (mut fields, mut types) = (Map::new(), Map::new());
        fields.insert("site".to_owned(), Json::from(self.site.as_str()));
        for (quantity, value) in stream.at(self.seed, self.moment(sequence, index)) {
            let mut text = Vec::new();
            let said = match (quantity.sort, value) {
                (_, Value::Null) => Json::Null,
                (_, Value::Flag(flag)) => Json::from(flag),
                (_, Value::Word(word)) => Json::from(word),
                (Sort::Decimal(decimals), Value::Number(number)) => {
                    types.insert(format!("/{}", quantity.name), Json::from("decimal"));
                    push_number(&mut text, number, decimals, b'.');
                    Json::from(String::from_utf8_lossy(&text))
                }
                (sort, Value::Number(number)) => {
                    push_number(&mut text, number, sort.decimals(), b'.');
                    // As whoever reads canonical JSON reads it.
                    serde_json::from_slice(&text)?
                }
            };
            fields.insert(quantity.name.to_owned(), said);
        }
        if self.form == Form::Ndjson {
            let waveform = reading::waveform(self.seed, self.moment(sequence, index));
            fields.insert("waveform".to_owned(), waveform.map(Json::from).collect());
        }
        let time = rfc3339(self.at_ms + self.step_ms * index as i64);
        Ok(Event { time, fields, types })
    }
}

impl Sort {
    fn decimals(self) -> i32 {
        match self {
            Sort::Float(decimals) | Sort::Decimal(decimals) => decimals,
            Sort::Int | Sort::Flag | Sort::Word => 0,
        }
    }
}

/// Whose payload it is: run, device, sequence number; from its first bytes, whatever wrote it.
pub fn whose(start: &[u8]) -> Option<(String, String, u64)> {
    let start = &start[..start.len().min(HEAD_MAX_BYTES)];
    match start {
        [b'{', ..] => whose_json(start),
        [b'#', b' ', rest @ ..] => {
            let line = rest.split(|byte| *byte == b'\n').next()?;
            let (rest, _firmware) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
            whose_text(rest, ' ')
        }
        // A gzip with nothing but a name in front (RFC 1952, 2.3).
        [0x1f, 0x8b, 8, 8, _, _, _, _, _, _, rest @ ..] => {
            let name = rest.split(|byte| *byte == 0).next()?;
            whose_text(std::str::from_utf8(name).ok()?.strip_suffix(".ndjson")?, '_')
        }
        _ => None,
    }
}

fn whose_text(text: &str, between: char) -> Option<(String, String, u64)> {
    let mut parts = text.rsplitn(3, between);
    let (sequence, run, device) = (parts.next()?, parts.next()?, parts.next()?);
    Some((run.to_owned(), device.to_owned(), sequence.parse().ok()?))
}

/// The first three members of an object, of which the rest may be missing.
fn whose_json(start: &[u8]) -> Option<(String, String, u64)> {
    let (mut is_text, mut is_escaped, mut members) = (false, false, 0);
    let end = start.iter().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' if !is_text => members += 1,
            _ => {}
        }
        members == 3
    })?;
    let head: Map<String, Json> = serde_json::from_slice(&[&start[..end], b"}"].concat()).ok()?;
    let one_of = |names: [&str; 2]| names.into_iter().find_map(|name| head.get(name));
    let text = |names| Some(one_of(names)?.as_str()?.to_owned());
    Some((text(["boot", "b"])?, text(["device", "id"])?, one_of(["seq", "n"])?.as_u64()?))
}

/// A number with its last so many digits behind the point; with fewer than none, zeros follow it.
fn push_number(out: &mut Vec<u8>, number: i64, decimals: i32, point: u8) {
    if number < 0 {
        out.push(b'-');
    }
    let behind = decimals.max(0) as usize;
    let digits = format!("{:0width$}", number.unsigned_abs(), width = behind + 1);
    let (whole, fraction) = digits.split_at(digits.len() - behind);
    out.extend_from_slice(whole.as_bytes());
    if behind > 0 {
        out.push(point);
        out.extend_from_slice(fraction.as_bytes());
    }
    out.extend(std::iter::repeat_n(b'0', decimals.min(0).unsigned_abs() as usize));
}

/// As canonical JSON has times: `2026-01-31T23:59:59.000Z`.
pub fn rfc3339(ms: i64) -> String {
    let since = Duration::from_millis(ms.max(0).unsigned_abs());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const HEAD: Head<'_> = Head { run: "r-1", device: "m \"1_", sequence: 7, firmware: "2.4.0" };

    fn content(form: Form, stream: &str, records: u64) -> Content {
        Content {
            form,
            kind: "meter".to_owned(),
            stream: stream.to_owned(),
            site: "Köln".to_owned(),
            seed: 11,
            at_ms: 1_770_149_645_000,
            step_ms: 10_000,
            records,
            flaw: None,
        }
    }

    fn every() -> [Content; 5] {
        [
            content(Form::Json, "power", 1),
            content(Form::OldJson, "power", 3),
            content(Form::Csv, "batch", 4),
            content(Form::Ndjson, "log", 0),
            content(Form::NdjsonGzip, "backlog", 40),
        ]
    }

    fn size_of(content: &Content) -> Option<usize> {
        (content.form == Form::Ndjson).then_some(20_000)
    }

    #[test]
    fn a_payload_says_whose_it_is() {
        for content in every() {
            // Wherever it is cut.
            let cuts = (0..40).map(|seed| (Some(Flaw::Cut), seed));
            for (flaw, seed) in cuts.chain([(None, 0), (Some(Flaw::Charset), 0)]) {
                let mut content = Content { flaw, seed, ..content.clone() };
                let size = size_of(&content);
                let payload = content.write(HEAD, size).unwrap();
                let whose = whose(&payload);
                let own = ("r-1".to_owned(), "m \"1_".to_owned(), 7);
                assert_eq!(whose, Some(own), "{content:?}");
            }
        }
        for other in
            [&b"{\"run\":1}\n"[..], b"{}", b"", b"# a b\n", b"\x1f\x8b\x08\x00", b"{\"id\":"]
        {
            assert_eq!(whose(other), None);
        }
    }

    #[test]
    fn generations_write_the_same_differently() {
        let text =
            |mut content: Content| String::from_utf8(content.write(HEAD, None).unwrap()).unwrap();
        let today = text(content(Form::Json, "power", 1));
        let old = text(content(Form::OldJson, "power", 1));
        let table = text(content(Form::Csv, "batch", 1));
        let event = content(Form::Json, "power", 1).event(7, 0).unwrap();
        assert_eq!(event.time, "2026-02-03T20:14:05.000Z");
        let power = event.fields["power_w"].as_f64().unwrap();
        let is_near =
            |said: &Json, factor: f64| (said.as_f64().unwrap() * factor - power).abs() < 1e-6;
        let energy = event.fields["energy_kwh"].as_str().unwrap();
        let today: Json = serde_json::from_str(&today).unwrap();
        assert!(is_near(&today["power"], 1.0), "{today}");
        assert_eq!(today["ts"], "2026-02-03T20:14:05.000Z");
        let old: Json = serde_json::from_str(&old).unwrap();
        assert!(is_near(&old["vals"][0]["P"], 1000.0), "{old}");
        let wh = energy.replace('.', "");
        assert_eq!(old["vals"][0]["E"].to_string(), wh.trim_start_matches('0'));
        assert!(table.contains("\n03.02.2026 20:14:05;Köln;"), "{table}");
        assert!(table.contains(&format!(";{};", energy.replace('.', ","))), "{table}");
    }

    #[test]
    fn a_log_has_the_size_that_was_asked_for() {
        for size in [1024, 20_000, 20_001] {
            let mut content = content(Form::Ndjson, "log", 0);
            let payload = content.write(HEAD, Some(size)).unwrap();
            assert_eq!(payload.len(), size);
            let lines: Vec<Json> = payload
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect();
            assert_eq!(lines.len() as u64, content.records);
            assert_eq!(lines.last().unwrap()["ts"].as_i64(), Some(content.end_ms()));
        }
    }

    #[test]
    fn a_backlog_is_packed_lines() {
        let mut content = content(Form::NdjsonGzip, "backlog", 40);
        let payload = content.write(HEAD, None).unwrap();
        let mut lines = String::new();
        flate2::read::GzDecoder::new(&payload[..]).read_to_string(&mut lines).unwrap();
        assert_eq!((lines.lines().count(), content.records), (40, 40));
        assert!(payload.len() * 2 < lines.len(), "{} of {}", payload.len(), lines.len());
    }

    #[test]
    fn a_flaw_has_its_reason() {
        let with = |form, flaw| Content { flaw: Some(flaw), ..content(form, "power", 1) }.fails();
        assert_eq!(with(Form::Json, Flaw::Cut), Some("truncated"));
        assert_eq!(with(Form::Csv, Flaw::Cut), Some("column_count"));
        assert_eq!(with(Form::NdjsonGzip, Flaw::Cut), Some("decompress"));
        assert_eq!(with(Form::OldJson, Flaw::Charset), Some("not_utf8"));
        assert_eq!(content(Form::Json, "power", 1).fails(), None);
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (number, decimals, text) in
            [(12345, 1, "1234.5"), (-5, 2, "-0.05"), (0, 3, "0.000"), (7, 0, "7"), (7, -2, "700")]
        {
            let mut out = Vec::new();
            push_number(&mut out, number, decimals, b'.');
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
