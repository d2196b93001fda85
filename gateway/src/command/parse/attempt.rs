//! `landfall parse try`: the events of one payload, or why there are none, by what a parse role would do with
//! it. Without a configuration a section to begin with is proposed. Touches no network.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use bridge::classify::Destination;
use bridge::message::{Device, Message, Payload};
use bridge::text::escape;
use parse::canonical::{self, Context};
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure as Fault, NotData, Outcome, Reason};
use parse::parser::Sink;
use parse::plan::Plan;
use parse::plan::rules::Rule;
use parse::time::TimeSource;
use parse::unpack::{self, Packing};

use super::excerpt::Excerpt;
use super::proposal;
use crate::command::explain::{pairs, received_ms};
use crate::command::takes::{Raw, Takes};
use crate::command::{Failure, Format, environment};
use crate::config::{self, Secrets, Settings, Whole};

/// Bytes of the largest payload that is read: more than MQTT can carry.
const INPUT_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Events, and records that were left out, that are shown for people.
const SHOWN_MAX: u64 = 20;
/// Characters of a value that are shown for people.
const VALUE_MAX: usize = 100;

#[derive(clap::Args)]
pub struct Arguments {
    /// The payload; - is standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The MQTT topic that it was published to
    #[arg(long)]
    topic: String,
    /// The time of receipt, RFC 3339; now where it is not given
    #[arg(long, value_name = "TIME")]
    received: Option<String>,
    /// The configuration file; without it a section to begin with is proposed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A user property of PUBLISH, as NAME=VALUE, such as firmware-version=2.1; may be given again
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// The client id
    #[arg(long, default_value = "client-1")]
    client_id: String,
    /// text for people; json is every event as it is written to a canonical topic, a line for each
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn attempt(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let payload = input(arguments)?;
    let received_ms = received_ms("--received", arguments.received.as_deref())?;
    let properties = pairs("--property", &arguments.properties)?;
    let device = Device {
        client_id: arguments.client_id.as_str().into(),
        verified: None,
        properties: Vec::new(),
    };
    let message = Message {
        device: &device,
        topic: &arguments.topic,
        payload: Payload::Inline(&payload),
        qos: 1,
        dup: false,
        retain: false,
        packet_id: 1,
        received_ms,
        content_type: "",
        properties: &properties,
    };
    let mut out = io::stdout().lock();
    let Some(file) = &arguments.config else {
        return propose(&mut out, &message, &payload, arguments.format);
    };
    // No secret says what is in a payload.
    let whole = config::load_whole(Some(file), environment(), Secrets::Assumed)?;
    let Whole { gateway, parse: Some(role) } = whole else {
        let text = format!(
            "{}: there is no section parse, which says how messages become events: leave --config out, and one is proposed",
            file.display()
        );
        return Err(Failure::Usage(text));
    };
    let mut page = Page { out: &mut out, format: arguments.format, mark: "" };
    Ok(page.attempt(&gateway, &role.plan, &message, &payload)?)
}

fn input(arguments: &Arguments) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    let path = &arguments.input;
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(INPUT_MAX_BYTES + 1).read_to_end(&mut payload),
        false => File::open(path)
            .and_then(|file| file.take(INPUT_MAX_BYTES + 1).read_to_end(&mut payload)),
    };
    let wrong = |text: String| Failure::Usage(format!("--input {}: {text}", path.display()));
    read.map_err(|error| wrong(error.to_string()))?;
    if payload.len() as u64 > INPUT_MAX_BYTES {
        return Err(wrong(format!("it is larger than {INPUT_MAX_BYTES} bytes")));
    }
    Ok(payload)
}

/// Shows what a proposed section would make of the message, as comments in front of the section, so that all of
/// it is a configuration.
fn propose(
    out: &mut impl io::Write,
    message: &Message<'_>,
    payload: &[u8],
    format: Format,
) -> Result<ExitCode, Failure> {
    let defaults = config::parse("", [], Secrets::Assumed)?;
    let decision = defaults.routing.decide(message);
    let captured = decision.metadata.device_type.as_ref();
    let attributes = [("device_type", captured)];
    let facts = Facts {
        topic: message.topic,
        received_ms: message.received_ms,
        device_id: &decision.metadata.device_id,
        verified: false,
        attributes: if captured.is_empty() { &[] } else { &attributes },
    };
    let section = proposal::section(&defaults, payload, &facts);
    let Whole { gateway, parse } = config::parse_whole(&section, [], Secrets::Assumed)?;
    let role = parse.expect("the section was just written");
    let mut page = Page { out, format, mark: "# " };
    let code = page.attempt(&gateway, &role.plan, message, payload)?;
    if format == Format::Text {
        write!(page.out, "{section}")?;
    }
    Ok(code)
}

/// What is printed.
struct Page<'o, W> {
    out: &'o mut W,
    format: Format,
    /// In front of each line for people.
    mark: &'static str,
}

impl<W: io::Write> Page<'_, W> {
    /// For people only.
    fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        writeln!(self.out, "{}", format!("{}{}", self.mark, line.as_ref()).trim_end())
    }

    fn attempt(
        &mut self,
        settings: &Settings,
        plan: &Plan,
        message: &Message<'_>,
        payload: &[u8],
    ) -> io::Result<ExitCode> {
        let decision = settings.routing.decide(message);
        let lane = &settings.routing.lanes[decision.lane].name;
        let Some(raw) = Raw::of(&decision, lane) else {
            let why = match &decision.destination {
                Destination::DeadLetter { reason, .. } => reason.to_string(),
                Destination::Refused(refusal) => refusal.reason().to_owned(),
                Destination::Lane { .. } => String::new(),
            };
            self.why(&format!("lane      none, and no parser takes it: {}", escape(&why)))?;
            return Ok(ExitCode::FAILURE);
        };
        self.line(format!("lane      {lane}"))?;
        let Takes { pool, rule } = raw.takes(plan);
        let Some((place, rule)) = rule else {
            let why = match pool {
                None => format!("no pool reads the lane {lane}"),
                Some(_) => "no rule of parse.rules holds".to_owned(),
            };
            self.why(&format!("parser    none: {why}"))?;
            return Ok(ExitCode::FAILURE);
        };
        let topic = &plan.topics[rule.topic].topic;
        self.line(format!("rule      parse.rules[{place}] {rule}"))?;
        self.line(format!("parser    {}, revision {}", rule.parser.name, rule.parser.revision))?;
        self.line(format!("topic     {topic}"))?;
        raw.with_facts(plan, |facts| self.events(plan, rule, &raw, facts, payload))
    }

    /// Why there is nothing, whoever reads it.
    fn why(&mut self, line: &str) -> io::Result<()> {
        match self.format {
            Format::Text => self.line(line),
            Format::Json => writeln!(io::stderr(), "{line}"),
        }
    }

    fn events(
        &mut self,
        plan: &Plan,
        rule: &Rule,
        raw: &Raw,
        facts: &Facts<'_>,
        payload: &[u8],
    ) -> io::Result<ExitCode> {
        let parser = &rule.parser;
        let mut seen = Seen::default();
        match parser.parser.parse(payload, facts, &mut seen) {
            Outcome::Failed(fault) => {
                self.why(&format!("outcome   failed: {}", escape(&fault.to_string())))?;
                self.place(&fault, payload, plan)?;
                self.line(format!("then      {}", rule.on_failure.label()))?;
                return Ok(ExitCode::FAILURE);
            }
            Outcome::NotData(why) => {
                let why = match why {
                    NotData::Ignored => "it is one of the parser's words to ignore",
                    NotData::NotSelected => "no record is what select asks for",
                };
                self.why(&format!("outcome   no data: {why}"))?;
                return Ok(ExitCode::SUCCESS);
            }
            Outcome::Events { events, skipped, dirt } => {
                let left_out =
                    if skipped > 0 { format!(", {skipped} left out") } else { String::new() };
                let what = if events == 1 { "event" } else { "events" };
                self.line(format!("outcome   {events} {what}{left_out}"))?;
                for (is_so, what) in
                    [(dirt.mark, "a mark of the byte order in front"), (dirt.zeros, "zeros behind")]
                {
                    if is_so {
                        self.line(format!("dirt      {what}, which cost nothing"))?;
                    }
                }
            }
        }
        if self.format == Format::Json {
            // The second time gives the same, and nothing of it has to be held.
            let mut lines =
                Lines { context: context(rule, raw, facts), out: self.out, error: None };
            parser.parser.parse(payload, facts, &mut lines);
            return lines.error.map_or(Ok(ExitCode::SUCCESS), Err);
        }
        for event in &seen.events {
            self.event(event, rule, raw, facts)?;
        }
        for fault in &seen.skipped {
            self.line("")?;
            self.line(format!("left out  {}", escape(&fault.to_string())))?;
            self.place(fault, payload, plan)?;
        }
        let more = seen.count - (seen.events.len() + seen.skipped.len()) as u64;
        if more > 0 {
            self.line("")?;
            self.line(format!("… and {more} more: --format json shows all events"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        rule: &Rule,
        raw: &Raw,
        facts: &Facts<'_>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        canonical::json::write(&context(rule, raw, facts), event, &mut text);
        let whole: serde_json::Value =
            serde_json::from_slice(&text).expect("canonical JSON is JSON");
        let from = match (event.time.source, event.time.flag) {
            (TimeSource::Payload, _) => String::new(),
            (TimeSource::Received, None) => ", when it was received".to_owned(),
            (TimeSource::Received, Some(flag)) => {
                format!(", when it was received, as the payload's time is {}", flag.label())
            }
        };
        let about = event.device_id.as_deref();
        let about = about.map_or(String::new(), |id| format!(", about {}", escape(id)));
        self.line("")?;
        self.line(format!("event {}   {}{from}{about}", event.index, event.time.at))?;
        let rows: Vec<[String; 2]> = event
            .fields
            .iter()
            .map(|(name, _)| {
                [escape(name), shortened(&escape(&whole["fields"][&**name].to_string()))]
            })
            .collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1)];
        for ([name, value], (_, typed)) in rows.iter().zip(&event.fields) {
            let (names, values) = (widths[0], widths[1]);
            self.line(format!("  {name:<names$}  {value:<values$}  {}", typed.type_name()))?;
        }
        Ok(())
    }

    /// The line of the payload that a failure is about.
    fn place(&mut self, fault: &Fault, payload: &[u8], plan: &Plan) -> io::Result<()> {
        let Some(at) = fault.at else { return Ok(()) };
        // Places are those of what a compressed payload holds, as far as it could be opened.
        let auto = Packing::Auto { zlib: true };
        let opened = (fault.reason != Reason::Decompress)
            .then(|| unpack::unpack(payload, auto, &plan.limits).ok())
            .flatten();
        let bytes = opened.unwrap_or(Cow::Borrowed(payload));
        let excerpt = Excerpt::of(&bytes, at);
        let within = if matches!(bytes, Cow::Owned(_)) { ", decompressed" } else { "" };
        let (line, column) = (excerpt.line, excerpt.column);
        self.line(format!("          line {line}, column {column}{within}:"))?;
        for line in excerpt.lines() {
            self.line(format!("          {line}"))?;
        }
        Ok(())
    }
}

/// What the events of an attempt have besides their own: there is no raw record yet.
fn context<'c>(rule: &'c Rule, raw: &'c Raw, facts: &'c Facts<'c>) -> Context<'c> {
    let envelope = raw.envelope();
    Context {
        facts,
        message_id: [0; 16],
        device_type: &envelope.device_type,
        firmware_version: &envelope.firmware_version,
        group: &envelope.group,
        lane: raw.lane(),
        topic: "",
        partition: 0,
        offset: 0,
        parser: &rule.parser.name,
        revision: rule.parser.revision,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first of what a parser says, for people.
#[derive(Default)]
struct Seen {
    events: Vec<Event<'static>>,
    skipped: Vec<Fault>,
    count: u64,
}

impl Sink for Seen {
    fn event(&mut self, event: Event<'_>) {
        self.count += 1;
        if (self.events.len() as u64) < SHOWN_MAX {
            self.events.push(event.into_owned());
        }
    }

    fn skipped(&mut self, failure: Fault) {
        self.count += 1;
        if (self.skipped.len() as u64) < SHOWN_MAX {
            self.skipped.push(failure);
        }
    }
}

/// Every event, as it is written.
struct Lines<'l, W> {
    context: Context<'l>,
    out: &'l mut W,
    error: Option<io::Error>,
}

impl<W: io::Write> Sink for Lines<'_, W> {
    fn event(&mut self, event: Event<'_>) {
        if self.error.is_some() {
            return;
        }
        let mut line = Vec::new();
        canonical::json::write(&self.context, &event, &mut line);
        line.push(b'\n');
        self.error = self.out.write_all(&line).err();
    }

    fn skipped(&mut self, _: Fault) {}
}
