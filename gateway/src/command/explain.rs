//! `landfall explain`: where a message would go, what its sender may do, which parser would take it, and which
//! route and rule say so. It is decided and written by what decides and writes in `run` and in `parse`. Touches
//! no network.

mod certificate;
mod rights;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bridge::classify::Destination;
use bridge::format::Head;
use bridge::message::{Device, Message, Payload, Verified};
use bridge::text::escape;
use bridge::{Carriage, Refusal};
use serde::Serialize;

use super::takes::{Raw, Takes};
use super::{Failure, Format, environment};
use crate::config::{self, ParseSettings, Secrets, Settings, Whole};
use crate::mqtt;
use rights::Rights;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration file; without it the defaults are explained
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The MQTT topic
    #[arg(long, required_unless_present = "certificate")]
    topic: Option<String>,
    /// A client's certificate, with those above it: as whom it enters, or which check it fails
    #[arg(long, value_name = "FILE", conflicts_with = "topic")]
    certificate: Option<PathBuf>,
    /// Size of the payload, such as 300 or 2MiB
    #[arg(long, default_value = "100")]
    size: String,
    /// The payload itself, where its route looks into it
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    payload: Option<PathBuf>,
    /// 0, 1 or 2
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// How long ago the event was, such as 2h
    #[arg(long)]
    age: Option<String>,
    /// A user property of PUBLISH, as NAME=VALUE; may be given again
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// A user property of CONNECT, as NAME=VALUE; may be given again
    #[arg(long = "connect-property", value_name = "NAME=VALUE")]
    connect_properties: Vec<String>,
    /// The client id; the identity where that is said, and else client-1
    #[arg(long)]
    client_id: Option<String>,
    /// Who the client proved to be: tells what it may do with the topic, or with a filter
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: Option<String>,
    /// An attribute that was proved with the identity, as NAME=VALUE; may be given again
    #[arg(long = "attribute", value_name = "NAME=VALUE", requires = "identity")]
    attributes: Vec<String>,
    /// The listener that it came to; the first that fits where it is not given
    #[arg(long)]
    listener: Option<String>,
    /// The time of receipt, RFC 3339; now where it is not given
    #[arg(long)]
    now: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Explanation {
    lane: String,
    /// What becomes of it: `landed`, `dead-letter` or `refused`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Kafka's topic; empty where there is no record, as are key and headers.
    topic: String,
    key: String,
    headers: Vec<(String, String)>,
    /// `inline`, `reference` for an object with a reference in the record, `cut: its size and hash`, or
    /// `none`.
    payload: &'static str,
    route: String,
    rule: String,
    device_id: String,
    device_type: String,
    firmware_version: String,
    group: String,
    event_start_ms: Option<i64>,
    /// What is wrong with the event time that was given; what is wrong counts as absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time_fault: Option<String>,
    /// What the sender may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Rights>,
    /// Who would make events of it; absent where the configuration says nothing of that, or it does not land.
    #[serde(skip_serializing_if = "Option::is_none")]
    parse: Option<Taken>,
}

/// Which parser takes a message.
#[derive(Serialize)]
struct Taken {
    /// `none: …` where there is none, and why.
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parser: Option<String>,
    /// Kafka's topic of its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_failure: Option<&'static str>,
}

pub fn explain(arguments: &Arguments) -> Result<ExitCode, Failure> {
    // No secret says where a message goes.
    let file = arguments.config.as_deref();
    let Whole { gateway: settings, parse } =
        config::load_whole(file, environment(), Secrets::Assumed)?;
    if let Some(file) = &arguments.certificate {
        return certificate::explain(&settings, file, arguments.listener.as_deref());
    }
    let topic = arguments.topic.as_deref().unwrap_or_default();
    let usage = |text: String| Failure::Usage(text);
    let size = arguments.size.parse::<bytesize::ByteSize>().map_err(|_| {
        usage(format!("--size {:?} is no size: write bytes, or 512KiB, 2MiB", arguments.size))
    })?;
    let content = arguments.payload.as_deref().map(|file| payload(file, &settings)).transpose()?;
    let received_ms = received_ms("--now", arguments.now.as_deref())?;
    let mut properties = pairs("--property", &arguments.properties)?;
    let event_start = match &arguments.age {
        None => None,
        Some(text) => {
            let age = humantime::parse_duration(text).map_err(|_| {
                usage(format!("--age {text:?} is no length of time: write such as 2h"))
            })?;
            Some((received_ms - age.as_millis() as i64).to_string())
        }
    };
    properties.extend(event_start.as_deref().map(|start| ("event-start", start)));
    let (identity, listener) = (arguments.identity.as_deref(), arguments.listener.as_deref());
    let listener = rights::listener(&settings, listener, identity.is_some())?;
    let client_id = arguments.client_id.as_deref().or(identity).unwrap_or("client-1");
    let attributes = pairs("--attribute", &arguments.attributes)?;
    let verified = identity.map(|identity| Verified {
        id: identity.into(),
        attributes: attributes.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
    });
    let device = Device {
        client_id: client_id.into(),
        verified: verified.map(Arc::new),
        properties: pairs("--connect-property", &arguments.connect_properties)?
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    let message = Message {
        device: &device,
        topic,
        payload: content
            .as_deref()
            .map_or(Payload::Streamed { size: size.as_u64() }, Payload::Inline),
        qos: arguments.qos,
        dup: false,
        retain: false,
        packet_id: arguments.qos.min(1).into(),
        received_ms,
        content_type: "",
        properties: &properties,
    };
    let rights = rights::rights(&settings, listener, &device, topic);
    let explanation = explanation(&settings, parse.as_ref(), &message, rights);
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&explanation);
            writeln!(out, "{}", json.expect("texts and numbers are always JSON"))?;
        }
        Format::Text => print(&mut out, &explanation)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// When a message is received: that time, or now.
pub(super) fn received_ms(option: &str, given: Option<&str>) -> Result<i64, Failure> {
    let Some(text) = given else { return Ok(jiff::Timestamp::now().as_millisecond()) };
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_millisecond).map_err(|_| {
        Failure::Usage(format!("{option} {text:?} is no time: write such as 2026-01-31T12:00:00Z"))
    })
}

pub(super) fn pairs<'a>(
    option: &str,
    given: &'a [String],
) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    let split = |text: &'a String| {
        text.split_once('=')
            .ok_or_else(|| Failure::Usage(format!("{option} {text:?}: write NAME=VALUE")))
    };
    given.iter().map(split).collect()
}

/// What a file holds, as far as a packet can be large.
fn payload(file: &Path, settings: &Settings) -> Result<Vec<u8>, Failure> {
    let most = u64::from(settings.packet_size_max());
    let mut content = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(most + 1).read_to_end(&mut content))
        .map_err(|error| Failure::Usage(format!("--payload {}: {error}", file.display())))?;
    Ok(content)
}

fn explanation(
    settings: &Settings,
    parse: Option<&ParseSettings>,
    message: &Message<'_>,
    rights: Option<Rights>,
) -> Explanation {
    let routing = &settings.routing;
    let decision = routing.decide(message);
    let Message { topic, qos, content_type, properties, payload, .. } = *message;
    let packet_size = mqtt::publish_size(topic, qos, content_type, properties, payload.size());
    let may_publish = rights.as_ref().is_none_or(|rights| rights.publish.allowed);
    let refusal = match decision.destination {
        _ if !may_publish => Some(Refusal::NotAuthorized),
        _ if packet_size > settings.packet_size_max().into() => Some(Refusal::TooLarge),
        Destination::Refused(refusal) => Some(refusal),
        Destination::Lane { .. } | Destination::DeadLetter { .. } => None,
    };
    let mut head = Head::default();
    if refusal.is_none() {
        // Its id is in the value only, which is not shown.
        decision.begin([0; 16], &mut head);
    }
    let record = head.record();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<(String, String)> =
        record.headers().map(|(name, value)| (name.to_owned(), text(value))).collect();
    let dead = headers.iter().find(|(name, _)| name == proto::REASON_HEADER);
    let (outcome, reason) = match (refusal, dead) {
        (Some(refusal), _) => ("refused", Some(refusal.reason().to_owned())),
        (None, Some((_, reason))) => ("dead-letter", Some(reason.clone())),
        (None, None) => ("landed", None),
    };
    let route = decision.route.map_or("none matches".to_owned(), |index| {
        format!("routes[{index}] {}", routing.routes[index].filter)
    });
    let rule = decision.rule.map_or("none matches: fast".to_owned(), |index| {
        format!("rules[{index}] {}", routing.rules[index].when)
    });
    let lane = &routing.lanes[decision.lane].name;
    let lands = refusal.is_none() && dead.is_none();
    let raw = parse.filter(|_| lands).and_then(|_| Raw::of(&decision, lane));
    let taken = parse.zip(raw).map(|(role, raw)| taken(role, &raw));
    Explanation {
        lane: lane.clone(),
        outcome,
        reason,
        topic: record.topic().to_owned(),
        key: text(record.key()),
        payload: match decision.carriage {
            _ if refusal.is_some() => "none",
            _ if decision.is_cut() => "cut: its size and hash",
            Carriage::Inline => "inline",
            Carriage::Large => "reference",
        },
        headers,
        route,
        rule,
        device_id: decision.metadata.device_id.to_string(),
        device_type: decision.metadata.device_type.to_string(),
        firmware_version: decision.metadata.firmware_version.to_string(),
        group: decision.metadata.group.to_string(),
        event_start_ms: decision.metadata.event_start_ms,
        event_time_fault: decision.metadata.event_time_fault.map(|fault| fault.to_string()),
        access: rights,
        parse: taken,
    }
}

fn taken(role: &ParseSettings, raw: &Raw) -> Taken {
    let none = |why: String| Taken {
        rule: format!("none: {why}"),
        parser: None,
        topic: None,
        on_failure: None,
    };
    match raw.takes(&role.plan) {
        Takes { pool: None, .. } => none(format!("no pool reads the lane {}", raw.lane())),
        Takes { rule: None, .. } => none("no rule of parse.rules holds".to_owned()),
        Takes { rule: Some((place, rule)), .. } => Taken {
            rule: format!("parse.rules[{place}] {rule}"),
            parser: Some(rule.parser.name.clone()),
            topic: Some(role.plan.topics[rule.topic].topic.clone()),
            on_failure: Some(rule.on_failure.label()),
        },
    }
}

fn print(out: &mut impl io::Write, explanation: &Explanation) -> io::Result<()> {
    if let Some(access) = &explanation.access {
        rights::print(out, access)?;
    }
    let Explanation { lane, outcome, topic, key, payload, route, rule, .. } = explanation;
    writeln!(out, "lane      {lane}")?;
    writeln!(out, "outcome   {outcome}")?;
    if let Some(reason) = &explanation.reason {
        writeln!(out, "reason    {}", escape(reason))?;
    }
    if !topic.is_empty() {
        writeln!(out, "topic     {topic}")?;
        writeln!(out, "key       {}", escape(key))?;
    }
    writeln!(out, "payload   {payload}")?;
    for (name, value) in &explanation.headers {
        writeln!(out, "header    {name}: {}", escape(value))?;
    }
    writeln!(out, "route     {route}")?;
    writeln!(out, "rule      {rule}")?;
    writeln!(out, "device    {}", escape(&explanation.device_id))?;
    for (name, value) in [
        ("type", &explanation.device_type),
        ("firmware", &explanation.firmware_version),
        ("group", &explanation.group),
    ] {
        if !value.is_empty() {
            writeln!(out, "{name:<10}{}", escape(value))?;
        }
    }
    if let Some(taken) = &explanation.parse {
        match &taken.parser {
            None => writeln!(out, "parser    {}", taken.rule)?,
            Some(parser) => writeln!(out, "parser    {parser}, by {}", taken.rule)?,
        }
        if let (Some(topic), Some(on_failure)) = (&taken.topic, taken.on_failure) {
            writeln!(out, "events    {topic}, and what fails: {on_failure}")?;
        }
    }
    if let Some(fault) = &explanation.event_time_fault {
        writeln!(out, "event     counts as absent: the event time {fault}")?;
    }
    Ok(())
}
