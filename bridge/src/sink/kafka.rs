//! Kafka as a sink, and the only place that knows rdkafka's producer.
//!
//! Idempotent, `acks=all`, no message timeout: a record is confirmed or in flight, never given
//! up by the library.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings::RD_KAFKA_OFFSET_INVALID;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use crate::kafka::answers::{Answer, answer};
use crate::kafka::client::{self, BATCH_SIZE};
use crate::kafka::log_lines::LogLine;
use crate::kafka::native::{Held, Hook, TopicHandles};
use crate::kafka::{KafkaStatus, TopicFacts};
use crate::record::RecordBuf;
use crate::sink::{AppendError, Decided, Limits, NotTaken, Sink, Token, Verdict};

/// How long a purged producer may take to report what it gave up.
const PURGE_WAIT: Duration = Duration::from_secs(5);
/// How long a producer is not tried again that cannot be made, or that Kafka gave no id.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);

/// A clock that is set back by less is let be, in milliseconds. librdkafka's threads sleep until times of day: they would
/// sleep for as long as it was set back.
const CLOCK_STEP_MS: i64 = 1000;
/// What Kafka puts around a batch, in bytes.
const BATCH_FRAMING: u32 = 256;
/// Records of a batch that the configuration says nothing about: librdkafka's own default.
const BATCH_RECORDS: u32 = 10_000;

/// A lane's producer.
pub struct KafkaSink {
    bootstrap_servers: String,
    properties: BTreeMap<String, String>,
    inline_size: u32,
    batch_size: u32,
    batch_records: u32,
    /// How long a lane gathers a batch.
    linger: Duration,
    lane: String,
    status: Arc<KafkaStatus>,
    /// What is known of the topics, as of this version of the status.
    facts: HashMap<String, TopicFacts>,
    facts_version: Option<u64>,
    wake: Thread,
    /// Hook and handles go before the producer that they belong to.
    hook: Option<Hook>,
    topics: TopicHandles,
    producer: Option<BaseProducer<Reports>>,
    /// When the next producer is tried, while there is none.
    connect_at: Instant,
    /// What the last producer gave back at its end, and nobody has polled yet.
    given_back: Vec<Decided>,
    clock: Clock,
}

/// The time of day beside the clock that only goes on.
struct Clock {
    at: Instant,
    wall_ms: i64,
    /// It was set back.
    went_back: bool,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            at: Instant::now(),
            wall_ms: jiff::Timestamp::now().as_millisecond(),
            went_back: false,
        }
    }

    /// Whether it was set back since the last look.
    fn looks_set_back(&mut self) -> bool {
        let now = Clock::new();
        let passed_ms = now.at.duration_since(self.at).as_millis() as i64;
        let is_new = now.wall_ms < self.wall_ms + passed_ms - CLOCK_STEP_MS;
        *self = Clock { went_back: self.went_back || is_new, ..now };
        is_new
    }
}

impl KafkaSink {
    /// `wake` is unparked whenever a verdict can be polled, or something else is known of a topic.
    pub fn new(
        lane: &str,
        bootstrap_servers: &str,
        properties: &BTreeMap<String, String>,
        inline_size: u32,
        status: Arc<KafkaStatus>,
        wake: Thread,
    ) -> KafkaSink {
        let configured = |name| client::number(properties, name);
        status.wake_on_change(wake.clone());
        let mut sink = KafkaSink {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: properties.clone(),
            inline_size,
            batch_size: configured("batch.size").map_or(BATCH_SIZE, |bytes| bytes as u32),
            batch_records: configured("batch.num.messages").map_or(BATCH_RECORDS, |n| n as u32),
            linger: client::gathers(properties),
            lane: lane.to_owned(),
            status,
            facts: HashMap::new(),
            facts_version: None,
            wake,
            hook: None,
            topics: TopicHandles::default(),
            producer: None,
            connect_at: Instant::now(),
            given_back: Vec::new(),
            clock: Clock::new(),
        };
        sink.connect();
        sink
    }

    fn connect(&mut self) {
        let config = client::producer(
            &self.bootstrap_servers,
            &self.properties,
            self.inline_size,
            self.batch_size,
        );
        let reports = Reports::new(self.lane.clone(), Arc::clone(&self.status));
        match config.create_with_context::<_, BaseProducer<Reports>>(reports) {
            Ok(producer) => {
                self.hook = Some(Hook::new(producer.client(), self.wake.clone()));
                self.producer = Some(producer);
                self.clock = Clock::new();
            }
            Err(error) => {
                // `check` tried these properties; what is left is the machine, such as its threads.
                self.connect_at = Instant::now() + CONNECT_PAUSE;
                if self.status.note_trouble(None, &error.to_string()).is_some() {
                    tracing::error!(lane = self.lane, %error, "the Kafka producer cannot be made");
                }
            }
        }
    }

    /// What is known of a topic.
    fn facts(&mut self, topic: &str) -> Option<&TopicFacts> {
        let version = Some(self.status.facts_version());
        if self.facts_version != version {
            self.facts_version = version;
            self.facts.clear();
        }
        if !self.facts.contains_key(topic) {
            self.facts.insert(topic.to_owned(), self.status.topic(topic)?);
        }
        self.facts.get(topic)
    }
}

impl Sink for KafkaSink {
    fn partitions(&mut self, topic: &str) -> Option<u32> {
        self.facts(topic).map(|facts| facts.partitions)
    }

    fn limits(&mut self, topic: &str) -> Limits {
        let (configured, batch_records) = (self.batch_size, self.batch_records);
        let linger = self.linger;
        let facts = self.facts(topic);
        let topic_max = facts.and_then(|facts| facts.max_message_bytes).unwrap_or(u32::MAX);
        Limits {
            batch_bytes: configured.min(topic_max).saturating_sub(BATCH_FRAMING),
            batch_records,
            linger,
            times: facts.and_then(|facts| facts.times),
        }
    }

    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken> {
        let Some(producer) = &self.producer else {
            return Err(NotTaken { record, error: AppendError::Away });
        };
        let held = Box::new(Held { record, token });
        let Err((code, held)) = self.topics.produce(producer.client(), held, partition) else {
            return Ok(());
        };
        let error = match code {
            // A producer with a fatal error refuses everything with that error's own code.
            _ if producer.client().fatal_error().is_some() => AppendError::Broken,
            RDKafkaErrorCode::QueueFull => AppendError::Full,
            RDKafkaErrorCode::MessageSizeTooLarge => AppendError::TooLarge,
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed => AppendError::NoTopic,
            code => AppendError::Refused(code.to_string().into()),
        };
        Err(NotTaken { record: held.record, error })
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        if self.clock.looks_set_back() {
            tracing::warn!(lane = self.lane, "the clock was set back");
        }
        if self.producer.is_none() && Instant::now() >= self.connect_at {
            self.connect();
        }
        decided.append(&mut self.given_back);
        let Some(producer) = &self.producer else { return };
        let reports = producer.context();
        // A poll serves one event: ask until nothing more is served.
        loop {
            producer.poll(Duration::ZERO);
            if !reports.served.swap(false, Ordering::Relaxed) {
                break;
            }
        }
        decided.append(&mut reports.decided.lock());
    }

    fn is_broken(&self) -> bool {
        self.producer.as_ref().is_some_and(|producer| {
            let is_outdated = producer.context().is_outdated.load(Ordering::Relaxed);
            is_outdated || self.clock.went_back || producer.client().fatal_error().is_some()
        })
    }

    fn reset(&mut self) {
        let mut decided = Vec::new();
        if let Some(producer) = &self.producer {
            producer.context().is_purged.store(true, Ordering::Relaxed);
            producer.purge(PurgeConfig::default().queue().inflight());
            // What is not polled now would be lost with the producer, and its messages with it.
            let deadline = Instant::now() + PURGE_WAIT;
            loop {
                self.poll(&mut decided);
                let open = self.producer.as_ref().map_or(0, Producer::in_flight_count);
                if open == 0 || Instant::now() >= deadline {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.hook = None;
        self.topics = TopicHandles::default();
        let purged = self.producer.take();
        self.status.set_producer_ready(false);
        let fatal = purged.as_ref().and_then(|producer| producer.client().fatal_error());
        if fatal.is_some_and(|(code, _)| is_refusal_of_id(code)) {
            self.connect_at = Instant::now() + CONNECT_PAUSE;
        } else {
            self.connect();
        }
        self.given_back.append(&mut decided);
        drop(purged);
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        if let Some(producer) = &self.producer {
            // Nothing is waited for: whoever drops a sink has already resolved what it cared for.
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
    }
}

/// Kafka gives this producer no id, and would give the next one none at once.
fn is_refusal_of_id(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::ClusterAuthorizationFailed | RDKafkaErrorCode::UnsupportedFeature
    )
}

/// Collects what librdkafka reports while it is polled.
struct Reports {
    lane: String,
    status: Arc<KafkaStatus>,
    decided: Mutex<Vec<Decided>>,
    /// The last poll served something.
    served: AtomicBool,
    /// A topic is smaller than its producer knew it.
    is_outdated: AtomicBool,
    /// It was told to give up all that it has.
    is_purged: AtomicBool,
}

impl Reports {
    fn new(lane: String, status: Arc<KafkaStatus>) -> Reports {
        Reports {
            lane,
            status,
            decided: Mutex::default(),
            served: AtomicBool::new(false),
            is_outdated: AtomicBool::new(false),
            is_purged: AtomicBool::new(false),
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Log lines come through the same queue as the reports behind them.
        self.served.store(true, Ordering::Relaxed);
        // A failed connection and a fatal fault are errors too, which are told below; an id that does not
        // come at once is asked for again; and the gapless guarantee, which librdkafka calls experimental,
        // is asked for on purpose.
        let told = LogLine::read(facility, message);
        if told == Some(LogLine::FewerPartitions) {
            self.is_outdated.store(true, Ordering::Relaxed);
        }
        if told.is_some_and(|line| self.status.heed(&line)) {
            tracing::info!(lane = self.lane, "Kafka is well again");
        }
        let is_news = !matches!(facility, "FAIL" | "FATAL" | "GETPID")
            && !message.contains("enable.gapless.guarantee");
        if is_news && !matches!(level, RDKafkaLogLevel::Debug) {
            tracing::info!(lane = self.lane, facility, message, "librdkafka");
        } else {
            tracing::debug!(lane = self.lane, facility, message, "librdkafka");
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.served.store(true, Ordering::Relaxed);
        self.status.set_statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.served.store(true, Ordering::Relaxed);
        if self.is_purged.load(Ordering::Relaxed) {
            // It tells of our own doing, in place of what kept it from landing.
            return;
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // It follows the error that says why; alone it comes when Kafka closed a connection that was
            // idle, which is nothing: the next one is there within a second.
            return;
        }
        if let Some(reason) = self.status.note_trouble(error.rdkafka_error_code(), reason) {
            tracing::warn!(lane = self.lane, reason, "Kafka is not well");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Held>;

    fn delivery(&self, result: &DeliveryResult<'_>, held: Box<Held>) {
        self.served.store(true, Ordering::Relaxed);
        let Held { record, token } = *held;
        let verdict = match result {
            Ok(message) if message.offset() == i64::from(RD_KAFKA_OFFSET_INVALID) => {
                let reason = "Kafka confirmed what came behind it, and not this".into();
                Verdict::Undecided { record, reason }
            }
            Ok(_) => Verdict::Durable,
            Err((error, _)) => verdict(error, record),
        };
        if matches!(verdict, Verdict::TooLarge(_) | Verdict::Untimely { .. }) {
            self.status.ask_for_facts();
        }
        self.decided.lock().push(Decided { token, verdict });
    }
}

pub(crate) fn verdict(error: &KafkaError, record: RecordBuf) -> Verdict {
    let reason: Cow<'static, str> = error.to_string().into();
    match error.rdkafka_error_code().map(answer) {
        Some(Answer::TooLarge) => Verdict::TooLarge(record),
        Some(Answer::Refused) => Verdict::Refused { record, reason },
        Some(Answer::Untimely) => Verdict::Untimely { record, reason },
        Some(Answer::Landed | Answer::Again | Answer::Neighbour | Answer::Broken) | None => {
            Verdict::Undecided { record, reason }
        }
    }
}

#[cfg(test)]
mod tests;
