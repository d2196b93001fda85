//! A parser as it is written in a configuration: the types that it is read into, whose comments and defaults
//! are the reference. Unknown keys are refused.
//!
//! A default that is not one value is the last sentence of a comment, and begins with `Default:`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::written::short::{FromText, OneOrMany, Short, Texts};

pub mod short;

/// How the payloads of a kind of device become events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["format"]))]
pub struct Parser {
    /// How a payload is written: json (one document), ndjson (documents in lines, or one behind the other),
    /// json-seq (RFC 7464), csv, text, or raw (bytes as they are).
    #[schemars(extend("enum" = ["json", "ndjson", "json-seq", "csv", "text", "raw"]))]
    pub format: Option<String>,
    /// One layer around a payload. auto goes by the first bytes: of gzip and zstd, and for JSON of zlib too.
    /// Default: auto, and none for raw.
    #[schemars(extend("enum" = ["auto", "none", "gzip", "zstd", "zlib", null]))]
    pub compression: Option<String>,
    /// The charset of payloads: utf-8, latin1, windows-1252, utf-16le, shift_jis or another of the WHATWG's
    /// names. What is not of it is a failure, and nothing is replaced.
    #[schemars(extend("default" = "utf-8"))]
    pub charset: Option<String>,
    /// Payloads that are no data, such as offline, without the white space around them; "" is an empty one.
    /// They are counted, and are no failures.
    pub ignore: Texts,
    /// What a record has to hold to be data. Messages without such a record are counted, and are no
    /// failures.
    pub select: OneOrMany<Condition>,
    /// The path to the records, from the payload's root: readings[], *[] or a.b. A [] takes one value where
    /// there is no list. Default: the payload is one record, and so is each line, row or document.
    pub records: Option<String>,
    /// A jq program in place of records, for shapes that paths cannot say: each of its outputs is a record.
    /// It finds $topic (a list of levels), $received (milliseconds), $device_id and $attributes; beside jq's
    /// functions it has columns, named(NAMES) and fail(REASON; TEXT). It has no clock, files, environment,
    /// inputs or regular expressions.
    pub jq: Option<String>,
    /// Who a record is about, where payload or topic say so; such an event is never verified, and keeps who
    /// sent its message as sender. Default: who sent the message.
    pub device_id: Option<Short<DeviceId>>,
    /// When a record happened. Default: when its message was received.
    pub time: Option<Short<Time>>,
    /// The event's fields, by name.
    pub fields: BTreeMap<String, Short<Field>>,
    /// What becomes of a record's values that no field, time or device id takes: keep gives each to the
    /// event under its own name.
    #[schemars(extend("enum" = ["keep", "drop", null], "default" = "keep"))]
    pub rest: Option<String>,
    /// Texts and numbers that mean null, in all fields and times: n/a, "", -999. One that ends with * means
    /// all that begin so.
    pub nulls: Texts,
    /// Numbers in texts have a decimal comma, and may have points between thousands.
    pub decimal_comma: bool,
    /// What becomes of a message with a bad record: it fails, or the record is left out and counted.
    #[schemars(extend("enum" = ["fail", "skip", null], "default" = "fail"))]
    pub on_bad_record: Option<String>,
    /// What an object means that has a key twice: it is a failure, or the first or last value counts.
    #[schemars(extend("enum" = ["fail", "first", "last", null], "default" = "fail"))]
    pub duplicates: Option<String>,
    /// What becomes of NaN and Infinity, in any case: a failure, null, or a float.
    #[serde(deserialize_with = "short::word_or_null")]
    #[schemars(extend("enum" = ["fail", "null", "keep", null], "default" = "fail"))]
    pub nan: Option<String>,
    /// How a table is written, for format csv.
    pub csv: Option<Csv>,
    /// How a text is taken apart, for format text.
    pub text: Option<Text>,
    /// Raised by whoever corrects the parser: it goes with each event, and consumers keep the highest of an
    /// id.
    #[schemars(range(min = 1), extend("default" = 1))]
    pub revision: Option<u32>,
}

/// What a value has to be; all that is written has to hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["path"]))]
pub struct Condition {
    /// Where the value is.
    pub path: Option<String>,
    /// It is this, or one of these.
    pub equals: Option<Texts>,
    /// It is not this, or none of these.
    pub not: Option<Texts>,
    /// Whether there is one; null is one.
    pub exists: Option<bool>,
}

/// Where a device's id is, or a path alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["path"]))]
pub struct DeviceId {
    /// The path to it, such as deviceName, @key or @topic[1].
    pub path: Option<String>,
    /// Only what is in front of this, where it is there.
    pub before: Option<String>,
    /// Only what is behind this, where it is there.
    pub after: Option<String>,
}

/// When a record happened, or the path to a time of RFC 3339 alone. What cannot be used gives the received
/// time, with a flag that says why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// The path to it; several are joined by spaces. Default: the received time, plus offset.
    pub field: Option<Texts>,
    /// The unit of a number since 1970: s, ms, us, ns, min, h or d. Digits are exact, in texts too.
    #[schemars(extend("enum" = ["s", "ms", "us", "ns", "min", "h", "d", null]))]
    pub unit: Option<String>,
    /// The base of that number's digits.
    #[schemars(range(min = 2, max = 36), extend("default" = 10))]
    pub base: Option<u32>,
    /// rfc3339, or a pattern of strftime such as "%d.%m.%Y %H:%M:%S%.f".
    pub pattern: Option<String>,
    /// The zone of times without an offset: UTC, a name such as Europe/Berlin, or +01:00.
    pub zone: Option<String>,
    /// Which of both the hour is that comes twice when daylight saving ends, or that it cannot be used.
    #[schemars(extend("enum" = ["first", "second", "refuse", null], "default" = "first"))]
    pub repeated_hour: Option<String>,
    /// What the hour is that daylight saving leaves out: it cannot be used, or the offset from before or
    /// after counts.
    #[schemars(extend("enum" = ["refuse", "before", "after", null], "default" = "refuse"))]
    pub missing_hour: Option<String>,
    /// Several forms, in place of unit or pattern: the first that gives a usable time counts.
    pub forms: Vec<TimeForm>,
    /// A length of time that is added.
    pub offset: Option<TimeOffset>,
    /// A time below this, in its unit and with its offset, counts from the received time: 268435456 for SenML.
    pub relative_below: Option<String>,
    /// The earliest time that is used, as RFC 3339.
    #[schemars(extend("default" = "2000-01-01T00:00:00Z"))]
    pub earliest: Option<String>,
    /// How far ahead of the received time one may be, such as 24h.
    #[schemars(extend("default" = "24h"))]
    pub ahead: Option<String>,
    /// What has to hold for the device's clock to be right.
    pub valid: Option<Condition>,
    /// A record without a time is a bad one.
    pub required: bool,
}

/// One form of a time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeForm {
    /// The unit of a number since 1970: s, ms, us, ns, min, h or d.
    #[schemars(extend("enum" = ["s", "ms", "us", "ns", "min", "h", "d", null]))]
    pub unit: Option<String>,
    /// The base of that number's digits.
    #[schemars(range(min = 2, max = 36), extend("default" = 10))]
    pub base: Option<u32>,
    /// rfc3339, or a pattern of strftime.
    pub pattern: Option<String>,
    /// The zone of times without an offset. Default: that beside forms.
    pub zone: Option<String>,
}

/// A length of time in the payload.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a map with field and unit")]
#[schemars(extend("required" = ["field", "unit"]))]
pub struct TimeOffset {
    /// The path to it.
    pub field: Option<String>,
    /// Its unit: s, ms, us, ns, min, h or d.
    #[schemars(extend("enum" = ["s", "ms", "us", "ns", "min", "h", "d"]))]
    pub unit: Option<String>,
}

/// A field of an event, or the path to its value alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["path"]))]
pub struct Field {
    /// Where its value is: a.b, ["a.b"], list[0], list[].x, $.from.the.root, ^.around, @key, @index,
    /// @topic[1], @attribute.NAME or @device_id; . is the record itself.
    pub path: Option<String>,
    /// Its type; what is not of it is a failure. Default: a number without fraction and exponent is an int,
    /// or beyond 64 bits a decimal; another number a float; everything else what JSON says.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["int", "float", "decimal", "bool", "text", "bytes", "time", "list", "map", null]))]
    pub kind: Option<String>,
    /// What numbers are multiplied by, such as 0.1 or 1e-6; no digit is lost.
    pub scale: Option<String>,
    /// Texts and numbers that mean null, besides the parser's.
    pub nulls: Texts,
    /// What it is where nothing is at its path; null is something.
    pub default: Option<String>,
    /// A record without it is a bad one.
    pub required: bool,
    /// How a text stands for bytes.
    #[schemars(extend("enum" = ["hex", "base64", null]))]
    pub encoding: Option<String>,
    /// The base of an int's digits, or of a time's.
    #[schemars(range(min = 2, max = 36), extend("default" = 10))]
    pub base: Option<u32>,
    /// The unit of a time that is a number.
    #[schemars(extend("enum" = ["s", "ms", "us", "ns", "min", "h", "d", null]))]
    pub unit: Option<String>,
    /// The pattern of a time: rfc3339, or one of strftime.
    pub pattern: Option<String>,
    /// The zone of a time without an offset.
    pub zone: Option<String>,
    /// Of a text only what is in front of this, where it is there.
    pub before: Option<String>,
    /// Of a text only what is behind this, where it is there.
    pub after: Option<String>,
    /// Numbers in texts have a decimal comma. Default: as for the parser.
    pub decimal_comma: Option<bool>,
    /// Texts and numbers that are true. Default: true and 1.
    #[serde(rename = "true")]
    pub yes: Texts,
    /// Texts and numbers that are false. Default: false and 0.
    #[serde(rename = "false")]
    pub no: Texts,
    /// Its value is an object, and each value of that a field under its own name.
    pub spread: bool,
    /// What the names of spread fields begin with.
    pub prefix: Option<String>,
}

/// How a table is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a map such as { delimiter: \";\" }")]
pub struct Csv {
    /// What stands between columns: one character of ASCII, or tab.
    #[schemars(extend("default" = ","))]
    pub delimiter: Option<String>,
    /// What stands around texts.
    #[schemars(extend("default" = "\""))]
    pub quote: Option<String>,
    /// The columns' names, where payloads have no header. Default: the first row has them.
    pub header: Vec<String>,
    /// Lines in front of the header, or of the first row.
    pub skip_lines: u32,
    /// Lines between the header and the first row.
    pub skip_after_header: u32,
    /// Lines that begin with this are nothing.
    pub comments: Option<String>,
    /// White space around values is nothing.
    pub trim: bool,
}

/// How a text is taken apart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a map such as { lines: true }")]
pub struct Text {
    /// Each line is a record. Default: the payload is one.
    pub lines: bool,
    /// What stands between a record's values, which are then [0], [1] and so on.
    pub split: Option<String>,
}

impl FromText for DeviceId {
    fn from_text(path: String) -> DeviceId {
        DeviceId { path: Some(path), ..DeviceId::default() }
    }
}

impl FromText for Time {
    fn from_text(path: String) -> Time {
        Time { field: Some(Texts(vec![path])), ..Time::default() }
    }
}

impl FromText for Field {
    fn from_text(path: String) -> Field {
        Field { path: Some(path), ..Field::default() }
    }
}
