//! A record of the metadata stream: that a message landed, or what became of it in its parser. Pure.

use std::fmt;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use serde::Deserialize;

use super::event;
use super::judge::Facts;
use super::place::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Landed,
    Parsed,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Landed => "landed",
            Kind::Parsed => "parsed",
        })
    }
}

/// One record.
#[derive(Debug)]
pub struct Metadata {
    pub kind: Kind,
    /// None of what is no envelope, and so of no device.
    pub message_id: Option<[u8; 16]>,
    pub source: Place,
    /// Of `parsed` only.
    pub outcome: String,
    pub reason: String,
    pub events: u64,
    written: Written,
}

/// As it is written; what is not known is null or left out.
#[derive(Debug, Deserialize)]
struct Written {
    kind: Kind,
    message_id: Option<String>,
    device_id: Option<String>,
    verified: Option<bool>,
    device_type: Option<String>,
    firmware_version: Option<String>,
    group: Option<String>,
    lane: Option<String>,
    topic: Option<String>,
    received: Option<String>,
    event_start: Option<String>,
    event_end: Option<String>,
    size: Option<u64>,
    source: Place,
    outcome: Option<String>,
    reason: Option<String>,
    events: Option<u64>,
}

impl Metadata {
    pub fn read(value: &[u8]) -> anyhow::Result<Metadata> {
        let written: Written = serde_json::from_slice(value).context("no record of metadata")?;
        let message_id = written.message_id.as_deref().map(event::id);
        Ok(Metadata {
            kind: written.kind,
            message_id: message_id.transpose().context("message_id")?,
            source: written.source.clone(),
            outcome: written.outcome.clone().unwrap_or_default(),
            reason: written.reason.clone().unwrap_or_default(),
            events: written.events.unwrap_or(0),
            written,
        })
    }

    /// What of it is not as the envelope says. The lane of a dead letter is the one in which it is, and its
    /// envelope says where it was to be.
    pub fn differences(&self, facts: &Facts, is_dead: bool) -> Vec<String> {
        let written = &self.written;
        let mut wrong = Vec::new();
        let lane = if is_dead { written.lane.as_ref() } else { None };
        for (name, is, due) in [
            ("device_id", &written.device_id, &facts.device_id),
            ("device_type", &written.device_type, &facts.device_type),
            ("firmware_version", &written.firmware_version, &facts.firmware_version),
            ("group", &written.group, &facts.group),
            ("lane", &written.lane, lane.unwrap_or(&facts.lane)),
            ("topic", &written.topic, &facts.topic),
        ] {
            let is = is.as_deref().unwrap_or_default();
            if is != due {
                wrong.push(format!("{name} is {is:?}, the envelope says {due:?}"));
            }
        }
        for (name, is, due) in [
            ("received", &written.received, Some(facts.received_ms)),
            ("event_start", &written.event_start, facts.event_ms.0),
            ("event_end", &written.event_end, facts.event_ms.1),
        ] {
            if is.as_deref().map(milliseconds) != due.map(Some) {
                wrong.push(format!("{name} is {is:?}, the envelope says {due:?}"));
            }
        }
        if written.verified != Some(facts.verified) {
            wrong.push(format!("verified is not {}", facts.verified));
        }
        if written.size != Some(facts.size) {
            wrong.push(format!("size is {:?}, the envelope says {}", written.size, facts.size));
        }
        wrong
    }
}

/// A time of RFC 3339, in milliseconds since 1970 UTC.
fn milliseconds(text: &str) -> Option<i64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
