//! What books say, for people: the sums, or the life of one message that a judge complains of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Books, Fate, Message};

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// The books
    pub file: PathBuf,
    /// Only this device, with its connections
    #[arg(long)]
    pub device: Option<String>,
    /// Only this message of the device
    #[arg(long, requires = "device")]
    pub seq: Option<u64>,
}

/// Reads the books, and says what is in them.
pub fn run(options: &Options) -> Result<String, String> {
    let books = Books::read(&options.file)?;
    match (&options.device, options.seq) {
        (Some(device), Some(seq)) => books
            .message(device, seq)
            .map(|message| life(seq, message))
            .ok_or_else(|| format!("{device} never sent {seq}")),
        (Some(device), None) => {
            of_device(&books, device).ok_or_else(|| format!("there is no {device}"))
        }
        (None, _) => Ok(sums(&books)),
    }
}

fn sums(books: &Books) -> String {
    let mut by_fate: BTreeMap<String, usize> = BTreeMap::new();
    let (mut bytes, mut again, mut messages) = (0, 0, 0);
    for message in books.devices.values().flat_map(|device| &device.messages) {
        *by_fate.entry(fate(message)).or_default() += 1;
        bytes += message.size;
        again += message.sendings() - 1;
        messages += 1;
    }
    let mut text = String::new();
    for run in &books.runs {
        let super::Run { seed, devices, pid, began_ms } = run;
        line(
            &mut text,
            &format!("{began_ms} began: seed {seed}, {devices} devices, process {pid}"),
        );
    }
    for (at, open) in &books.ends {
        line(&mut text, &format!("{at} ended: {open} open"));
    }
    let connects = books.devices.values().flat_map(|device| &device.connects);
    let waits = connects.clone().map(|connect| connect.wait_ms).max().unwrap_or_default();
    line(&mut text, &format!("{messages} messages, {bytes} bytes, {again} sent again"));
    line(&mut text, &format!("{} connections, the longest wait {waits} ms", connects.count()));
    for (fate, count) in by_fate {
        line(&mut text, &format!("{count} {fate}"));
    }
    for (name, device) in &books.devices {
        for (at, what) in &device.faults {
            line(&mut text, &format!("{at} {name}: the gateway sent {what}"));
        }
    }
    text
}

fn of_device(books: &Books, name: &str) -> Option<String> {
    let device = books.devices.get(name)?;
    let mut events = Vec::new();
    for connect in &device.connects {
        events.push((connect.at, format!("connected after {} ms", connect.wait_ms)));
    }
    for disconnect in &device.disconnects {
        events.push((disconnect.at, format!("gone: {}", disconnect.why)));
    }
    for (at, what) in &device.faults {
        events.push((*at, format!("the gateway sent {what}")));
    }
    for (seq, message) in (1..).zip(&device.messages) {
        events.push((message.invoked_ms, life(seq, message)));
    }
    events.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (at, what) in events {
        line(&mut text, &format!("{at} {what}"));
    }
    Some(text)
}

fn life(seq: u64, message: &Message) -> String {
    let Message { qos, size, sha256, topic, invoked_ms, sent_again_ms, .. } = message;
    let fate = fate(message);
    let after = match message.fate {
        Some(
            Fate::Acknowledged { at, .. } | Fate::Negative { at, .. } | Fate::GivenUp { at, .. },
        ) => format!(" after {} ms", at.saturating_sub(*invoked_ms)),
        None => String::new(),
    };
    format!(
        "{seq} to {topic}, QoS {qos}, {size} bytes, {sha256}, sent {invoked_ms} and {sent_again_ms:?}: \
         {fate}{after}"
    )
}

fn fate(message: &Message) -> String {
    match &message.fate {
        None if message.is_open() => "open".to_owned(),
        None => "QoS 0".to_owned(),
        Some(Fate::Acknowledged { code, .. }) => format!("acknowledged with {code:#04x}"),
        Some(Fate::Negative { code, .. }) => format!("refused with {code:#04x}"),
        Some(Fate::GivenUp { why, .. }) => format!("given up: {why}"),
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
