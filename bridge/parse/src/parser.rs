//! A parser: it turns one message into events, or says why it has none. What the configuration declares is
//! one; parsers of other kinds are others. Pure: the same message gives the same events, wherever and
//! however often it is parsed.

use std::borrow::Cow;

use crate::charset::{Characters, Charset};
use crate::condition::Condition;
use crate::conversion::Conversion;
use crate::event::Event;
use crate::facts::Facts;
use crate::failure::{Failure, NotData, Outcome, Reason};
use crate::fields::FieldPlan;
use crate::format::Format;
use crate::jq::{Program, Rest};
use crate::json::Json;
use crate::json::reader::{Duplicates, Rules};
use crate::limits::{Limits, VALUE_DEPTH_MAX};
use crate::path::{Path, Scope};
use crate::records::Records;
use crate::time::{EventTime, TimePlan};
use crate::unpack::{self, Packing};
use crate::value::Value;

/// Turns messages into events.
pub trait Parser: Send + Sync {
    /// Hands the events of a message to `sink`, in the payload's order. After [`Outcome::Failed`] whatever
    /// the sink got is void. Who cannot hold so many parses twice: the second time gives the same.
    fn parse(&self, payload: &[u8], facts: &Facts<'_>, sink: &mut dyn Sink) -> Outcome;
}

/// Takes what a parser finds.
pub trait Sink {
    fn event(&mut self, event: Event<'_>);

    /// A bad record that the parser leaves out.
    fn skipped(&mut self, failure: Failure);
}

/// A parser as the configuration declares it.
#[derive(Debug)]
pub struct Declared {
    pub packing: Packing,
    pub charset: Charset,
    pub format: Format,
    pub duplicates: Duplicates,
    pub not_finite: bool,
    /// Payloads that are no data, without the white space around them.
    pub ignore: Vec<Box<str>>,
    pub way: Way,
    /// All have to hold of a record that is data.
    pub select: Vec<Condition>,
    pub device_id: Option<(Path, Conversion)>,
    pub time: Option<TimePlan>,
    pub fields: FieldPlan,
    /// Leaves bad records out, instead of failing the message.
    pub skips_bad_records: bool,
    pub limits: Limits,
}

/// The way from a document to its records.
#[derive(Debug)]
pub enum Way {
    Path(Records),
    Program(Program),
}

/// Longest device id, in bytes.
pub const DEVICE_ID_MAX: usize = 1024;

impl Parser for Declared {
    fn parse(&self, payload: &[u8], facts: &Facts<'_>, sink: &mut dyn Sink) -> Outcome {
        self.read(payload, facts, sink).unwrap_or_else(Outcome::Failed)
    }
}

impl Declared {
    fn read(
        &self,
        payload: &[u8],
        facts: &Facts<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Failure> {
        if self.is_ignored(payload) {
            return Ok(Outcome::NotData(NotData::Ignored));
        }
        let unpacked = unpack::unpack(payload, self.packing, &self.limits)?;
        if matches!(unpacked, Cow::Owned(_)) {
            if self.is_ignored(&unpacked) {
                return Ok(Outcome::NotData(NotData::Ignored));
            }
            if self.format != Format::Raw && unpack::is_packed(&unpacked) {
                let detail = "it is compressed twice, and one layer is taken off";
                return Err(Failure::new(Reason::Decompress, detail).at(0));
            }
        }
        let characters = match self.format {
            Format::Raw => Characters::plain(&unpacked),
            _ => self.charset.read(&unpacked)?,
        };
        let mut run = Run {
            parser: self,
            facts,
            sink,
            characters: &characters,
            next_record: 0,
            start: 0,
            events: 0,
            skipped: 0,
            unselected: 0,
            steps: Rest::new(self.limits.jq_steps, characters.bytes.len()),
        };
        let read = crate::format::read(&mut run, &characters.bytes);
        read.map(|()| run.outcome()).map_err(|failure| placed(failure, &characters))
    }

    /// The keys to the list whose elements are the records, where each is all that is asked of the payload:
    /// then a document that is too large to be held is read as a stream.
    pub fn streams_by(&self) -> Option<Vec<Box<str>>> {
        let Way::Path(records) = &self.way else { return None };
        let paths = self.fields.paths().chain(self.device_id.iter().map(|(path, _)| path));
        let paths = paths.chain(self.time.iter().flat_map(TimePlan::paths));
        let mut paths = paths.chain(self.select.iter().map(|condition| &condition.path));
        let is_whole = self.duplicates != Duplicates::Fail || paths.any(Path::is_around);
        if is_whole { None } else { records.keys_to_list() }
    }

    /// Whether a payload is one of the words that are no data.
    fn is_ignored(&self, payload: &[u8]) -> bool {
        let longest = self.ignore.iter().map(|word| word.len()).max();
        let Some(longest) = longest else { return false };
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        let Some(start) = payload.iter().position(|byte| !is_space(byte)) else {
            return self.ignore.iter().any(|word| word.is_empty());
        };
        let end = payload.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
        let word = &payload[start..end];
        word.len() <= longest && self.ignore.iter().any(|known| known.as_bytes() == word)
    }
}

/// One message on its way.
pub struct Run<'r> {
    pub parser: &'r Declared,
    facts: &'r Facts<'r>,
    sink: &'r mut dyn Sink,
    characters: &'r Characters<'r>,
    next_record: u64,
    /// Where the document or line that is looked at begins, in the text.
    pub start: usize,
    events: u64,
    skipped: u64,
    unselected: u64,
    /// What is left for the parser's program, where it has one.
    steps: Rest,
}

impl Run<'_> {
    fn outcome(&self) -> Outcome {
        if self.unselected > 0 && self.events == 0 && self.skipped == 0 {
            return Outcome::NotData(NotData::NotSelected);
        }
        let dirt = self.characters.dirt;
        Outcome::Events { events: self.events, skipped: self.skipped, dirt }
    }

    pub fn rules(&self) -> Rules {
        Rules {
            depth: self.parser.limits.depth,
            duplicates: self.parser.duplicates,
            not_finite: self.parser.not_finite,
            tree: self.parser.limits.tree(),
        }
    }

    /// Takes a document that is whole: its records are events, or bad ones.
    pub fn document(&mut self, document: &Json<'_>) -> Result<(), Failure> {
        let (parser, facts) = (self.parser, self.facts);
        match &parser.way {
            Way::Path(records) => records.visit(document, facts, &mut |scope| self.record(scope)),
            Way::Program(program) => {
                let mut steps = std::mem::take(&mut self.steps);
                let ran = program.run(document, facts, &mut steps, &mut |output| {
                    self.record(&Scope {
                        record: output,
                        payload: document,
                        parents: &[],
                        keys: &[],
                        index: None,
                        facts,
                    })
                });
                self.steps = steps;
                // A program's fault is the document's: it has no nearer place.
                ran.map_err(|failure| match failure {
                    Failure { at: None, record: None, .. } => {
                        Failure { at: document.place(), ..failure }
                    }
                    other => other,
                })
            }
        }
    }

    /// Takes one record of a document that is read as a stream.
    pub fn element(&mut self, index: u64, element: &Json<'_>) -> Result<(), Failure> {
        self.record(&Scope {
            record: element,
            payload: element,
            parents: &[],
            keys: &[],
            index: Some(index),
            facts: self.facts,
        })
    }

    fn record(&mut self, scope: &Scope<'_, '_>) -> Result<(), Failure> {
        let index = self.number()?;
        if !self.parser.select.iter().all(|condition| condition.holds(scope)) {
            self.unselected += 1;
            return Ok(());
        }
        match self.event(scope, index) {
            Ok(event) => {
                self.events += 1;
                self.sink.event(event);
                Ok(())
            }
            Err(failure) if self.parser.skips_bad_records => {
                self.skip(failure.in_record(index));
                Ok(())
            }
            Err(failure) => Err(failure.in_record(index)),
        }
    }

    /// The next record's number.
    fn number(&mut self) -> Result<u64, Failure> {
        let index = self.next_record;
        if index == self.parser.limits.events {
            let detail = format!("it has more than {index} records");
            return Err(Failure::new(Reason::TooMany, detail));
        }
        self.next_record += 1;
        Ok(index)
    }

    fn event<'s>(&self, scope: &Scope<'s, '_>, index: u64) -> Result<Event<'s>, Failure>
    where
        Self: 's,
    {
        let parser = self.parser;
        let time = match &parser.time {
            Some(plan) => plan.find(scope)?,
            None => EventTime::received(scope.facts),
        };
        let device_id = match &parser.device_id {
            Some((path, conversion)) => Some(device_id(path, conversion, scope)?),
            None => None,
        };
        let event = Event { index, time, device_id, fields: parser.fields.extract(scope)? };
        let (weight, limit) = (event.weight(), parser.limits.event_size);
        if weight > limit {
            let detail = format!("the event has {weight} bytes, and an event may have {limit}");
            return Err(Failure::new(Reason::TooLarge, detail));
        }
        if let Some((name, _)) = event.fields.iter().find(|one| one.1.depth() > VALUE_DEPTH_MAX) {
            let detail = format!("a field's value is nested deeper than {VALUE_DEPTH_MAX}");
            return Err(Failure::new(Reason::TooDeep, detail).of_field(name));
        }
        Ok(event)
    }

    /// Takes a line or a row that is no record: it is left out, or its failure is the message's.
    pub fn bad(&mut self, failure: Failure) -> Result<(), Failure> {
        let is_limit = failure.reason == Reason::TooMany;
        if is_limit || !self.parser.skips_bad_records {
            return Err(failure.in_record(self.next_record));
        }
        let index = self.number()?;
        self.skip(failure.in_record(index));
        Ok(())
    }

    fn skip(&mut self, failure: Failure) {
        self.skipped += 1;
        self.sink.skipped(placed(failure.behind(self.start), self.characters));
    }
}

fn device_id<'s>(
    path: &'s Path,
    conversion: &Conversion,
    scope: &Scope<'s, '_>,
) -> Result<Cow<'s, str>, Failure> {
    let missing = || {
        let detail = format!("nothing at {path} says whose record it is");
        Failure::new(Reason::FieldMissing, detail).of_field("device_id")
    };
    let found = path.find(scope).ok_or_else(missing)?;
    let value = conversion.convert(&found).map_err(|failure| failure.of_field("device_id"))?;
    match value {
        Value::Text(id) if !id.is_empty() && id.len() <= DEVICE_ID_MAX => Ok(id),
        Value::Text(id) if id.len() > DEVICE_ID_MAX => {
            let detail = format!("a device id has at most {DEVICE_ID_MAX} bytes");
            Err(Failure::new(Reason::DoesNotFit, detail).of_field("device_id"))
        }
        _ => Err(missing()),
    }
}

/// A failure whose place is the payload's.
fn placed(failure: Failure, characters: &Characters<'_>) -> Failure {
    Failure { at: failure.at.map(|at| characters.place(at)), ..failure }
}
