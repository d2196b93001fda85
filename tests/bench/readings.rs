//! What meters say, in the shapes that the rows of the parse role measure, and the parsers that read them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// Readings of a message that has many.
pub const MANY: u64 = 20;

/// A form of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object of 300 bytes, one reading.
    Json,
    /// A JSON document of nearly 4 KiB with twenty readings in a list.
    JsonList,
    /// The same readings as CSV with a header.
    Csv,
    /// The same readings as NDJSON, packed.
    Gzip,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::Json => "300 B of JSON, one event",
            Shape::JsonList => "4 KiB of JSON, 20 events",
            Shape::Csv => "CSV, 20 events",
            Shape::Gzip => "gzip'd NDJSON, 20 events",
        }
    }

    pub fn events(self) -> u64 {
        if self == Shape::Json { 1 } else { MANY }
    }

    /// The parser that the configuration declares.
    pub fn parser(self) -> Value {
        let time = json!({ "field": "ts", "unit": "ms" });
        let float = |path: &str| json!({ "path": path, "type": "float" });
        let mut fields = json!({
            "power_w": float("power"),
            "energy_kwh": { "path": "energy", "type": "decimal" },
            "voltage_l1": float("l1"),
            "voltage_l2": float("l2"),
            "voltage_l3": float("l3"),
            "frequency_hz": float("hz"),
            "state": "state",
            "counter": { "path": "n", "type": "int" },
        });
        if self == Shape::Json {
            fields["site"] = json!("site");
        }
        let mut parser = json!({ "time": time, "rest": "drop", "fields": fields });
        match self {
            Shape::Json => parser["format"] = json!("json"),
            Shape::JsonList => {
                parser["format"] = json!("json");
                parser["records"] = json!("readings[]");
                parser["fields"]["site"] = json!("$.site");
            }
            Shape::Csv => parser["format"] = json!("csv"),
            Shape::Gzip => {
                parser["format"] = json!("ndjson");
                parser["compression"] = json!("gzip");
            }
        }
        parser
    }

    /// The parser of what is large.
    pub fn lines_parser() -> Value {
        let mut parser = Shape::Gzip.parser();
        parser["compression"] = json!("none");
        parser
    }

    /// The payload of a message; each number has its own values.
    pub fn payload(self, number: u64) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = now.as_millis() as u64;
        let readings = || (0..MANY).map(|index| Reading::new(at + index, number * MANY + index));
        match self {
            Shape::Json => {
                let mut text = Reading::new(at, number).json(Some("plant-north-2"));
                // What a parser passes over.
                let rest = JSON_SIZE.saturating_sub(text.len() + r#","note":"""#.len());
                text.pop();
                let note =
                    "all is as it was, and nobody was here since the door was closed. ".repeat(4);
                let _ = write!(text, r#","note":"{}"}}"#, &note[..rest.min(note.len())]);
                text.into_bytes()
            }
            Shape::JsonList => {
                let mut text = String::from(r#"{"site":"plant-north-2","readings":["#);
                for reading in readings() {
                    text.push_str(&reading.json(None));
                    text.push(',');
                }
                text.pop();
                text.push_str("]}");
                text.into_bytes()
            }
            Shape::Csv => {
                let mut text = String::from("ts,power,energy,l1,l2,l3,hz,state,n\n");
                readings().for_each(|reading| reading.csv(&mut text));
                text.into_bytes()
            }
            Shape::Gzip => packed(&lines(at, number, MANY)),
        }
    }
}

/// Bytes of a message with one reading.
const JSON_SIZE: usize = 300;

/// So many readings as NDJSON.
pub fn lines(at: u64, number: u64, count: u64) -> Vec<u8> {
    let mut text = String::new();
    for index in 0..count {
        text.push_str(&Reading::new(at + index, number * count + index).json(None));
        text.push('\n');
    }
    text.into_bytes()
}

/// NDJSON of at least so many bytes, and of how many readings it is.
pub fn lines_of(bytes: usize) -> (Vec<u8>, u64) {
    let one = lines(1_790_000_000_000, 0, 1).len();
    let count = bytes.div_ceil(one - 8) as u64;
    (lines(1_790_000_000_000, 0, count), count)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}

struct Reading {
    at: u64,
    number: u64,
}

impl Reading {
    fn new(at: u64, number: u64) -> Reading {
        Reading { at, number }
    }

    /// What a meter shows, different from one to the next.
    fn values(&self) -> (f64, String, [f64; 3], f64) {
        let wave = (self.number % 360) as f64;
        let power = 1500.0 + (wave * 17.3).rem_euclid(800.0);
        let energy = format!("{}.{:03}", 10_000 + self.number / 1000 % 80_000, self.number % 1000);
        let volts = [0.0, 1.3, 2.6].map(|phase| 229.0 + (wave + phase).rem_euclid(3.0));
        (power, energy, volts, 49.95 + wave / 3600.0)
    }

    fn json(&self, site: Option<&str>) -> String {
        let (power, energy, [l1, l2, l3], hz) = self.values();
        let site = site.map_or(String::new(), |site| format!(r#""site":"{site}","#));
        format!(
            r#"{{"ts":{},{site}"power":{power:.1},"energy":{energy},"l1":{l1:.1},"l2":{l2:.1},"l3":{l3:.1},"hz":{hz:.3},"state":"running","n":{},"temperature":41.5,"alarms":[],"battery":null,"door":false}}"#,
            self.at, self.number
        )
    }

    fn csv(&self, out: &mut String) {
        let (power, energy, [l1, l2, l3], hz) = self.values();
        let _ = writeln!(
            out,
            "{},{power:.1},{energy},{l1:.1},{l2:.1},{l3:.1},{hz:.3},running,{}",
            self.at, self.number
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_sizes() {
        assert_eq!(Shape::Json.payload(7).len(), JSON_SIZE);
        let list = Shape::JsonList.payload(7);
        assert!((3600..4400).contains(&list.len()), "{}", list.len());
        for shape in [Shape::Json, Shape::JsonList] {
            serde_json::from_slice::<Value>(&shape.payload(7)).expect("it is JSON");
        }
        let (lines, count) = lines_of(1 << 20);
        assert!(lines.len() >= 1 << 20 && lines.len() < (1 << 20) + (1 << 17), "{}", lines.len());
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count() as u64, count);
    }
}
