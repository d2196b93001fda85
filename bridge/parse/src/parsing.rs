//! The work of a pool: a raw message becomes the events of its parser, or what its rule says of one that
//! fails, and in any case a record of the metadata stream.

use std::sync::Arc;
use std::time::Instant;

use bridge::objects::{Expected, ObjectError, ReadError, Store};
use bridge::record::{RecordBatch, RecordBuf};
use proto::v1::{Envelope, Reference};

use crate::books::Books;
use crate::canonical::json::Frame;
use crate::canonical::object::id_text;
use crate::canonical::scalar::write_int;
use crate::canonical::{self, Context};
use crate::event::Event;
use crate::facts::Facts;
use crate::failure::{Failure, Outcome, Reason};
use crate::metadata::{self, Became, Message, Parsed};
use crate::parser::Sink;
use crate::plan::rules::{OnFailure, RawMessage, Rule};
use crate::plan::topic::{CanonicalFormat, CanonicalTopic};
use crate::plan::{Plan, PoolLane};
use crate::quarantine;
use crate::raw::{Opened, Payload, Raw, write_position};
use crate::work::{Cancelled, Emit, Step, Work};

/// Bytes of the largest payload that the pool's own thread parses: it has others to serve.
pub const SHORT_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of events that are handed on together; a message with more is parsed twice instead of held.
const PIECE_BYTES: usize = 1024 * 1024;

/// See the module.
pub struct Parsing {
    plan: Arc<Plan>,
    lanes: Arc<[PoolLane]>,
    store: Option<Store>,
    books: Books,
    record: RecordBuf,
    opened: Opened,
    common: Common,
}

/// A message with what is decided of it.
struct Subject<'a> {
    lane: &'a str,
    raw: &'a Raw<'a>,
    opened: &'a Opened,
    facts: Facts<'a>,
    /// The place of the rule among the rules, and the rule.
    rule: Option<(usize, &'a Rule)>,
    began: Instant,
}

impl Parsing {
    pub fn new(pool: &str, lanes: &[PoolLane], plan: Arc<Plan>, store: Option<Store>) -> Parsing {
        let books = Books::new(pool, &plan);
        Parsing {
            plan,
            lanes: lanes.into(),
            store,
            books,
            record: RecordBuf::default(),
            opened: Opened::default(),
            common: Common::default(),
        }
    }

    /// Opens the record, finds its rule, and lets `work` go on with it.
    fn with_subject<T>(
        &mut self,
        raw: &Raw<'_>,
        work: impl FnOnce(&mut Parsing, Result<&Subject<'_>, (&str, Failure)>) -> T,
    ) -> T {
        let mut opened = std::mem::take(&mut self.opened);
        let done = self.with_opened(raw, &mut opened, work);
        opened.let_go(raw.bytes());
        self.opened = opened;
        done
    }

    fn with_opened<T>(
        &mut self,
        raw: &Raw<'_>,
        opened: &mut Opened,
        work: impl FnOnce(&mut Parsing, Result<&Subject<'_>, (&str, Failure)>) -> T,
    ) -> T {
        let (began, plan, lanes) =
            (Instant::now(), Arc::clone(&self.plan), Arc::clone(&self.lanes));
        let lane = lane_of(&lanes, raw.topic);
        if let Err(failure) = raw.open(opened) {
            return work(self, Err((lane, failure)));
        }
        let opened = &*opened;
        let envelope = &opened.envelope;
        let attributes = plan.known.of_message(envelope);
        let facts = Facts {
            topic: &envelope.source_topic,
            received_ms: envelope.received_ms,
            device_id: &envelope.device_id,
            verified: opened.is_verified(),
            attributes: &attributes,
        };
        let rule = plan.rules.first_match(lane, &RawMessage { facts: &facts, envelope });
        let subject = Subject { lane, raw, opened, facts, rule, began };
        work(self, Ok(&subject))
    }

    /// Writes what became of a message; its events are there already.
    fn end(&mut self, subject: &Subject<'_>, became: Became, out: &mut RecordBatch<()>) {
        let rule = subject.rule;
        self.books.of(rule.map(|(place, _)| place)).count(became);
        let parser = rule.map(|(_, rule)| (rule.parser.name.as_str(), rule.parser.revision));
        let took_us = u64::try_from(subject.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let message =
            Message { lane: subject.lane, raw: subject.raw, opened: Some(subject.opened) };
        self.tell(&message, &Parsed { parser, became, took_us }, out);
    }

    fn tell(&mut self, message: &Message<'_>, parsed: &Parsed<'_>, out: &mut RecordBatch<()>) {
        if let Some(metadata) = &self.plan.metadata {
            metadata::parsed(&metadata.topic, message, parsed, &mut self.record);
            out.push(self.record.as_record(), ());
        }
    }

    /// Goes on with a message whose parser has spoken.
    fn conclude(
        &mut self,
        subject: &Subject<'_>,
        outcome: Outcome,
        out: &mut RecordBatch<()>,
    ) -> Step {
        match outcome {
            Outcome::Events { events, skipped, dirt } => {
                self.books.of(subject.rule.map(|(place, _)| place)).count_dirt(dirt);
                self.end(subject, Became::Events { events, skipped }, out);
                Step::Done
            }
            Outcome::NotData(reason) => {
                out.clear();
                self.end(subject, Became::NotData(reason.label()), out);
                Step::Done
            }
            Outcome::Failed(failure) => {
                out.clear();
                let on_failure =
                    subject.rule.map_or(OnFailure::Quarantine, |(_, rule)| rule.on_failure);
                self.fail(subject, failure, on_failure, out)
            }
        }
    }

    fn fail(
        &mut self,
        subject: &Subject<'_>,
        failure: Failure,
        on_failure: OnFailure,
        out: &mut RecordBatch<()>,
    ) -> Step {
        let books = self.books.of(subject.rule.map(|(place, _)| place));
        match on_failure {
            // It is counted when somebody has decided: it may be looked at again and again until then.
            OnFailure::Fail => return Step::Stop(failure),
            OnFailure::Skip => {
                books.count_failure(failure.reason);
                self.end(subject, Became::Skipped(failure.reason.label()), out);
            }
            OnFailure::Quarantine => {
                books.count_failure(failure.reason);
                self.quarantine(subject, &failure, true, out);
            }
        }
        Step::Done
    }

    fn quarantine(
        &mut self,
        subject: &Subject<'_>,
        failure: &Failure,
        with_value: bool,
        out: &mut RecordBatch<()>,
    ) {
        let raw = subject.raw;
        let parser = subject.rule.map_or("", |(_, rule)| &rule.parser.name);
        let topic = &self.plan.quarantine;
        quarantine::write(topic, raw, parser, failure, with_value, &mut self.record);
        out.push(self.record.as_record(), ());
        self.end(subject, Became::Quarantined(failure.reason.label()), out);
    }

    /// What is no envelope is kept all the same.
    fn stranger(
        &mut self,
        lane: &str,
        raw: &Raw<'_>,
        failure: &Failure,
        with_value: bool,
        out: &mut RecordBatch<()>,
    ) {
        let topic = &self.plan.quarantine;
        quarantine::write(topic, raw, "", failure, with_value, &mut self.record);
        out.push(self.record.as_record(), ());
        let became = Became::Quarantined(failure.reason.label());
        let books = self.books.of(None);
        books.count_failure(failure.reason);
        books.count(became);
        let message = Message { lane, raw, opened: None };
        self.tell(&message, &Parsed { parser: None, became, took_us: 0 }, out);
    }

    fn short(&mut self, subject: &Subject<'_>, out: &mut RecordBatch<()>) -> Step {
        let Some((_, rule)) = subject.rule else {
            self.end(subject, Became::NoRule, out);
            return Step::Done;
        };
        match subject.opened.payload(subject.raw) {
            Some(Payload::Inline(payload)) if payload.len() <= SHORT_MAX_BYTES => {
                let topic = &self.plan.topics[rule.topic];
                let mut writer = subject.writer(topic, rule, &mut self.common, &mut self.record);
                let outcome = rule.parser.parser.parse(
                    payload,
                    &subject.facts,
                    &mut Held { writer: &mut writer, out },
                );
                self.conclude(subject, outcome, out)
            }
            Some(Payload::Inline(_) | Payload::Reference(_)) => Step::Large,
            None => {
                let failure = Failure::new(Reason::NoEnvelope, "the envelope has no payload");
                self.conclude(subject, Outcome::Failed(failure), out)
            }
        }
    }

    fn large(&mut self, subject: &Subject<'_>, emit: &mut Emit<'_>) -> Result<Step, Cancelled> {
        let mut out = RecordBatch::default();
        let Some((_, rule)) = subject.rule else {
            self.end(subject, Became::NoRule, &mut out);
            return emit(out).map(|()| Step::Done);
        };
        let fetched;
        let payload: &[u8] = match subject.opened.payload(subject.raw) {
            Some(Payload::Inline(payload)) => payload,
            Some(Payload::Reference(reference)) => match self.fetch(reference) {
                Ok(payload) => {
                    fetched = payload;
                    &fetched
                }
                Err(Unfetched::Later(reason)) => return Ok(Step::Hold(reason)),
                Err(Unfetched::Never(failure)) => {
                    let step = self.conclude(subject, Outcome::Failed(failure), &mut out);
                    return emit(out).map(|()| step);
                }
            },
            None => &[],
        };
        let parser = &rule.parser.parser;
        let topic = &self.plan.topics[rule.topic];
        let mut writer = subject.writer(topic, rule, &mut self.common, &mut self.record);
        let mut first = First { writer: &mut writer, out: &mut out, is_over: false };
        let outcome = parser.parse(payload, &subject.facts, &mut first);
        let is_over = first.is_over && matches!(outcome, Outcome::Events { .. });
        if is_over {
            // It is good to its end: only now the first of it may be seen.
            out.clear();
            let mut second = Second { writer: &mut writer, out: &mut out, emit, cancelled: false };
            let again = parser.parse(payload, &subject.facts, &mut second);
            if second.cancelled {
                return Err(Cancelled);
            }
            assert_eq!(again, outcome, "a parser gives the same twice");
        }
        let step = self.conclude(subject, outcome, &mut out);
        emit(out).map(|()| step)
    }

    /// Reads a payload that is in the object store, whole: one is held at a time.
    fn fetch(&self, reference: &Reference) -> Result<Vec<u8>, Unfetched> {
        let Reference { uri, size, sha256, .. } = reference;
        let limit = self.plan.limits.decompressed;
        if usize::try_from(*size).map_or(true, |size| size > limit) {
            let detail = format!("its object has {size} bytes, and `decompressed` allows {limit}");
            return Err(Unfetched::Never(Failure::new(Reason::TooLarge, detail)));
        }
        let Some(store) = &self.store else {
            let reason = "its payload is in an object store, and none is configured: write the \
                          gateway's object_store";
            return Err(Unfetched::Later(reason.to_owned()));
        };
        store.runtime.block_on(async {
            let mut reading = store.objects.read(Expected { uri, size: *size, sha256 }).await?;
            let mut payload = Vec::with_capacity(usize::try_from(*size).unwrap_or_default());
            while let Some(piece) = reading.next().await? {
                payload.extend_from_slice(&piece);
            }
            Ok(payload)
        })
    }
}

/// Why a payload is not there.
enum Unfetched {
    Later(String),
    Never(Failure),
}

impl From<ObjectError> for Unfetched {
    fn from(error: ObjectError) -> Unfetched {
        match error {
            ObjectError::Outside(_) => never(Reason::ReferenceOutside, &error),
            ObjectError::Missing(_) => never(Reason::ReferenceMissing, &error),
            _ => Unfetched::Later(error.to_string()),
        }
    }
}

impl From<ReadError> for Unfetched {
    fn from(error: ReadError) -> Unfetched {
        match error {
            ReadError::Store(error) => error.into(),
            error => never(Reason::ReferenceDiffers, &error),
        }
    }
}

fn never(reason: Reason, error: &impl ToString) -> Unfetched {
    Unfetched::Never(Failure::new(reason, error.to_string()))
}

impl Work for Parsing {
    fn work(&mut self, raw: &Raw<'_>, out: &mut RecordBatch<()>) -> Step {
        self.with_subject(raw, |parsing, subject| match subject {
            Ok(subject) => parsing.short(subject, out),
            Err((lane, failure)) => {
                parsing.stranger(lane, raw, &failure, true, out);
                Step::Done
            }
        })
    }

    fn work_large(&mut self, raw: &Raw<'_>, emit: &mut Emit<'_>) -> Result<Step, Cancelled> {
        self.with_subject(raw, |parsing, subject| match subject {
            Ok(subject) => parsing.large(subject, emit),
            Err((lane, failure)) => {
                let mut out = RecordBatch::default();
                parsing.stranger(lane, raw, &failure, true, &mut out);
                emit(out).map(|()| Step::Done)
            }
        })
    }

    fn refuse(
        &mut self,
        raw: &Raw<'_>,
        failure: &Failure,
        with_value: bool,
        out: &mut RecordBatch<()>,
    ) {
        self.with_subject(raw, |parsing, subject| match subject {
            Ok(subject) => {
                let rule = subject.rule.map(|(place, _)| place);
                parsing.books.of(rule).count_failure(failure.reason);
                parsing.quarantine(subject, failure, with_value, out);
            }
            Err((lane, _)) => parsing.stranger(lane, raw, failure, with_value, out),
        });
    }
}

/// The lane whose Kafka topic it is.
pub fn lane_of<'l>(lanes: &'l [PoolLane], topic: &str) -> &'l str {
    let found = lanes.iter().find(|lane| lane.topics.iter().any(|known| known == topic));
    found.map_or("", |lane| &lane.name)
}

impl Subject<'_> {
    fn writer<'w>(
        &'w self,
        topic: &'w CanonicalTopic,
        rule: &'w Rule,
        common: &'w mut Common,
        record: &'w mut RecordBuf,
    ) -> Writer<'w> {
        let envelope: &Envelope = &self.opened.envelope;
        let context = Context {
            facts: &self.facts,
            message_id: self.opened.message_id,
            device_type: &envelope.device_type,
            firmware_version: &envelope.firmware_version,
            group: &envelope.group,
            lane: self.lane,
            topic: self.raw.topic,
            partition: self.raw.partition,
            offset: self.raw.offset,
            parser: &rule.parser.name,
            revision: rule.parser.revision,
        };
        common.fill(&context, topic.format);
        let timestamp_ms = self.raw.timestamp_ms;
        Writer { context, topic, timestamp_ms, common, record }
    }
}

/// What all events of a message have in common, as it is written; filled again for the next message.
#[derive(Default)]
struct Common {
    message_id: Vec<u8>,
    position: Vec<u8>,
    revision: Vec<u8>,
    /// Of the values that are JSON.
    frame: Frame,
}

impl Common {
    fn fill(&mut self, context: &Context<'_>, format: CanonicalFormat) {
        self.message_id.clear();
        self.message_id.extend_from_slice(&id_text(&context.message_id));
        self.position.clear();
        write_position(context.topic, context.partition, context.offset, &mut self.position);
        self.revision.clear();
        write_int(context.revision, &mut self.revision);
        if format == CanonicalFormat::Json {
            self.frame.fill(context);
        }
    }
}

/// Writes events as records of their canonical topic.
struct Writer<'w> {
    context: Context<'w>,
    topic: &'w CanonicalTopic,
    timestamp_ms: i64,
    common: &'w Common,
    record: &'w mut RecordBuf,
}

impl Writer<'_> {
    fn write(&mut self, event: &Event<'_>, out: &mut RecordBatch<()>) {
        let Writer { context, topic, timestamp_ms, common, record } = self;
        let event_id = context.event_id(event);
        record.begin(&topic.topic, *timestamp_ms);
        record.header("landfall-event-id", &id_text(&event_id));
        record.header("landfall-message-id", &common.message_id);
        record.header("landfall-source", &common.position);
        record.header("landfall-revision", &common.revision);
        record.key(|out| topic.key.write(context.facts, event, out));
        record.value(|out| match topic.format {
            CanonicalFormat::Json => common.frame.write_with_id(context, &event_id, event, out),
            CanonicalFormat::Protobuf => canonical::protobuf::write(context, event, out),
        });
        out.push(record.as_record(), ());
    }
}

/// Takes all events of a payload that is short.
struct Held<'h, 'w> {
    writer: &'h mut Writer<'w>,
    out: &'h mut RecordBatch<()>,
}

impl Sink for Held<'_, '_> {
    fn event(&mut self, event: Event<'_>) {
        self.writer.write(&event, self.out);
    }

    fn skipped(&mut self, _: Failure) {}
}

/// Takes the events of a payload that is long, as long as they can be held.
struct First<'f, 'w> {
    writer: &'f mut Writer<'w>,
    out: &'f mut RecordBatch<()>,
    is_over: bool,
}

impl Sink for First<'_, '_> {
    fn event(&mut self, event: Event<'_>) {
        if !self.is_over {
            self.writer.write(&event, self.out);
            self.is_over = self.out.bytes() > PIECE_BYTES;
        }
    }

    fn skipped(&mut self, _: Failure) {}
}

/// Takes the same events again, and hands them on.
struct Second<'s, 'w, 'e> {
    writer: &'s mut Writer<'w>,
    out: &'s mut RecordBatch<()>,
    emit: &'s mut Emit<'e>,
    cancelled: bool,
}

impl Sink for Second<'_, '_, '_> {
    fn event(&mut self, event: Event<'_>) {
        if self.cancelled {
            return;
        }
        self.writer.write(&event, self.out);
        if self.out.bytes() > PIECE_BYTES {
            self.cancelled = (self.emit)(std::mem::take(self.out)).is_err();
        }
    }

    fn skipped(&mut self, _: Failure) {}
}
