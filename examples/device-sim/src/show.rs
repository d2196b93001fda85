//! `device-sim show`: what a fleet would say, message by message, with the events that are in it; nothing is
//! sent.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::device::now_ms;
use crate::fleet::{self, Device, Habits, Saying, Version};
use crate::payload::{Content, Head};
use crate::println;

/// What payloads of a run that is none name as their run.
const RUN: &str = "show";
/// Bytes of a payload, and events of it, that are shown to people.
const SHOWN_BYTES: usize = 600;
const SHOWN_EVENTS: u64 = 2;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Messages of each
    #[arg(long, value_name = "N", default_value_t = 1)]
    messages: u32,
    /// The seed of the run
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Size of large messages, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    large_size: u64,
    /// What device ids begin with
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    client_prefix: String,
    /// json has whole payloads (base64) and all events, one message a line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One message that is shown.
struct Shown<'a> {
    device: &'a Device,
    sequence: u64,
    saying: Saying,
    content: Content,
    payload: Vec<u8>,
}

pub fn show(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let large_size = crate::run::large_size(arguments.large_size)?;
    let habits = Habits { pause: std::time::Duration::from_secs(1), large_size };
    for device in fleet::fleet(arguments.seed, arguments.devices, &arguments.client_prefix) {
        let sayings = device.sayings(habits).take(arguments.messages as usize);
        for (sequence, saying) in (1..).zip(sayings) {
            let mut content = saying.content_at(now_ms());
            let head = Head { run: RUN, device: &device.id, sequence, firmware: device.firmware };
            let payload = content.write(head, saying.size)?;
            let shown = Shown { device: &device, sequence, saying, content, payload };
            println(&match arguments.format {
                Format::Text => shown.text()?,
                Format::Json => shown.json()?.to_string(),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Shown<'_> {
    /// What MQTT carries beside it.
    fn firmware(&self) -> Option<&str> {
        (self.device.version == Version::V5).then_some(self.device.firmware)
    }

    fn events(&self, most: u64) -> anyhow::Result<Vec<Value>> {
        let count = if self.content.fails().is_some() { 0 } else { self.content.records.min(most) };
        let event = |index| {
            let event = self.content.event(self.sequence, index)?;
            let mut told = Map::new();
            told.insert("index".to_owned(), index.into());
            told.insert("time".to_owned(), event.time.into());
            told.insert("fields".to_owned(), event.fields.into());
            if !event.types.is_empty() {
                told.insert("types".to_owned(), event.types.into());
            }
            Ok(Value::Object(told))
        };
        (0..count).map(event).collect()
    }

    fn json(&self) -> anyhow::Result<Value> {
        Ok(json!({
            "topic": self.saying.topic,
            "device": self.device.id,
            "device_type": self.device.kind,
            "firmware": self.firmware(),
            "qos": self.saying.qos,
            "payload": STANDARD.encode(&self.payload),
            "fails": self.content.fails(),
            "events": self.events(u64::MAX)?,
        }))
    }

    fn text(&self) -> anyhow::Result<String> {
        let way = match self.firmware() {
            Some(firmware) => format!("MQTT 5, firmware {firmware}"),
            None => "MQTT 3.1.1".to_owned(),
        };
        let size = self.payload.len();
        let mut text =
            format!("{} ({way}, QoS {}, {size} bytes)\n", self.saying.topic, self.saying.qos);
        let part = &self.payload[..size.min(SHOWN_BYTES)];
        match self.payload.first() {
            Some(0x1f) => text.push_str("  (gzip)\n"),
            _ => {
                for line in String::from_utf8_lossy(part).lines() {
                    text.push_str(&format!(
                        "  {}\n",
                        line.escape_debug().to_string().replace("\\\"", "\"")
                    ));
                }
            }
        }
        if part.len() < size {
            text.push_str("  …\n");
        }
        if let Some(reason) = self.content.fails() {
            text.push_str(&format!("-> no events: {reason}\n"));
        }
        for event in self.events(SHOWN_EVENTS)? {
            text.push_str(&format!("-> {event}\n"));
        }
        let more = self.content.records.saturating_sub(SHOWN_EVENTS);
        if more > 0 && self.content.fails().is_none() {
            text.push_str(&format!("-> {more} more events\n"));
        }
        Ok(text)
    }
}
