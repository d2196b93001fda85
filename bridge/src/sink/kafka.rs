//! Kafka as a sink, and the only place that knows rdkafka's producer.
//!
//! Idempotent, `acks=all`, no message timeout: a record is confirmed or still on its way, never given
//! up by the library.

pub mod embedded;
mod first;
mod native;
pub mod properties;
pub mod reader;
pub mod topics;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings::RD_KAFKA_OFFSET_INVALID;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use self::first::{Firsts, Placement, Waiting};
use self::native::{Hook, TopicHandles};
use crate::record::{self, Record, RecordBuf};
use crate::sink::{AppendError, Decided, Sink, Token, Verdict};

/// Bytes of a batch per partition, unless the configuration or a topic's limit says less.
const BATCH_SIZE: u32 = 256 * 1024;
/// Room in librdkafka's own queue: the lane's share of memory is the real bound, and comes first.
const QUEUE_MAX_KBYTES: u32 = 2_000_000;
/// A Kafka that comes back is found within this, in milliseconds: devices give up at 30 s.
const RECONNECT_MAX_MS: &str = "500";
/// What a producer has unless the configuration says something else.
const DEFAULTS: [(&str, &str); 5] = [
    ("linger.ms", "5"),
    ("compression.type", "none"),
    ("reconnect.backoff.max.ms", RECONNECT_MAX_MS),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
];
/// How long a purged producer may take to report what it gave up.
const PURGE_WAIT: Duration = Duration::from_secs(5);
/// A lane says at most this often that its Kafka is not well, however often its producer is made anew.
const UNWELL_PAUSE: Duration = Duration::from_secs(30);
/// How long a producer is not tried again that cannot be made, or that Kafka gave no id.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// How often librdkafka tells its statistics, by which a producer is known to be ready. It asks for its
/// id half a second after it was made, and has it soon after: the second time tells.
const STATISTICS_INTERVAL: Duration = Duration::from_millis(280);

/// What one lane's producer tells about itself, for readiness and metrics.
#[derive(Default)]
pub struct KafkaStatus {
    /// The broker gave the producer its id: the next record does not wait for that.
    producer_ready: AtomicBool,
    /// librdkafka's last statistics, its own JSON.
    statistics: Mutex<Vec<u8>>,
    /// What is wrong with Kafka, apart from single records.
    trouble: Mutex<Trouble>,
    /// The smallest `max.message.bytes` of the lane's topics; zero while it is not known.
    topic_limit: AtomicU32,
    /// The thread that asks for the limits.
    limits_thread: OnceLock<Thread>,
}

/// Why a client does not reach Kafka, and when the log was told.
#[derive(Default)]
pub(super) struct Trouble {
    reason: Option<String>,
    /// The reason says why, and not only that a connection ended.
    is_telling: bool,
    /// When the log was told last.
    told: Option<Instant>,
    /// The log was told, and not yet that it is over.
    is_open_in_log: bool,
}

impl Trouble {
    /// Notes an error. A connection that only ended takes the place of no better reason: it follows each
    /// refusal of a password or a certificate.
    pub(super) fn note(&mut self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let is_telling = !matches!(
            code,
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        if is_telling || !self.is_telling {
            self.reason = Some(reason.to_owned());
            self.is_telling = is_telling;
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// It is time to tell the log.
    fn is_news(&mut self) -> bool {
        let is_news = self.told.is_none_or(|told| told.elapsed() >= UNWELL_PAUSE);
        if is_news {
            self.told = Some(Instant::now());
            self.is_open_in_log = true;
        }
        is_news
    }

    /// Kafka is well; true if the log is to be told.
    fn is_over(&mut self) -> bool {
        self.reason = None;
        self.is_telling = false;
        std::mem::take(&mut self.is_open_in_log)
    }
}

/// What a lane's Kafka client counts.
pub struct KafkaFigures {
    pub queue_messages: u64,
    pub requests: u64,
    pub sent_bytes: u64,
    /// Of the slowest broker, in seconds.
    pub round_trip_p99_s: f64,
    pub brokers_up: usize,
}

impl KafkaStatus {
    pub fn is_producer_ready(&self) -> bool {
        self.producer_ready.load(Ordering::Acquire)
    }

    /// What went wrong last, since the producer last was well.
    pub fn last_error(&self) -> Option<String> {
        self.trouble.lock().reason().map(str::to_owned)
    }

    /// What the last statistics say; None before the first.
    pub fn figures(&self) -> Option<KafkaFigures> {
        let raw = self.statistics.lock().clone();
        let statistics: rdkafka::Statistics = serde_json::from_slice(&raw).ok()?;
        let round_trips = statistics.brokers.values().filter_map(|broker| broker.rtt.as_ref());
        let up = statistics.brokers.values().filter(|broker| broker.state == "UP");
        Some(KafkaFigures {
            queue_messages: statistics.msg_cnt,
            requests: statistics.tx.max(0) as u64,
            sent_bytes: statistics.tx_bytes.max(0) as u64,
            round_trip_p99_s: round_trips.map(|rtt| rtt.p99).max().unwrap_or(0) as f64 / 1e6,
            brokers_up: up.count(),
        })
    }

    /// Tells the sink how large a batch the lane's topics take, in bytes.
    pub fn set_topic_limit(&self, bytes: u32) {
        self.topic_limit.store(bytes, Ordering::Release);
    }

    /// A batch was too large for Kafka: the limits are not what they were, or a record is in the way.
    fn ask_for_limits(&self) {
        if let Some(thread) = self.limits_thread.get() {
            thread.unpark();
        }
    }

    fn batch_size(&self, configured: u32) -> u32 {
        match self.topic_limit.load(Ordering::Acquire) {
            0 => configured,
            limit => configured.min(limit),
        }
    }
}

/// librdkafka's configuration for a lane: what Landfall fixes, over the lane's, over Landfall's
/// defaults.
fn client_config(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    inline_size: u32,
    batch_size: u32,
) -> ClientConfig {
    let max_bytes = record::max_bytes(inline_size).max(1_000_000).to_string();
    let (batch_size, queue_max) = (batch_size.to_string(), QUEUE_MAX_KBYTES.to_string());
    let statistics_interval = STATISTICS_INTERVAL.as_millis().to_string();
    let max_bytes = ("message.max.bytes", max_bytes.as_str());
    let fixed = [
        ("bootstrap.servers", bootstrap_servers),
        ("batch.size", &batch_size),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        // A batch that fails is a fatal error. Otherwise librdkafka renumbers what comes after it and
        // sends that on, ahead of what the lane sends again.
        ("enable.gapless.guarantee", "true"),
        ("message.timeout.ms", "0"),
        ("allow.auto.create.topics", "false"),
        ("queue.buffering.max.messages", "0"),
        ("queue.buffering.max.kbytes", &queue_max),
        ("statistics.interval.ms", &statistics_interval),
    ];
    let own = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut config = ClientConfig::new();
    // Under one name each: librdkafka would set what has two names twice, in any order.
    for (name, value) in DEFAULTS.into_iter().chain([max_bytes]).chain(own).chain(fixed) {
        config.set(properties::canonical(name), value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// A lane's producer.
pub struct KafkaSink {
    bootstrap_servers: String,
    properties: BTreeMap<String, String>,
    inline_size: u32,
    configured_batch_size: u32,
    batch_size: u32,
    lane: String,
    status: Arc<KafkaStatus>,
    wake: Thread,
    /// Hook and handles go before the producer that they belong to.
    hook: Option<Hook>,
    topics: TopicHandles,
    producer: Option<BaseProducer<Reports, Placement>>,
    /// When the next producer is tried, while there is none.
    connect_at: Instant,
    /// What the last producer gave back at its end, and nobody has polled yet.
    given_back: Vec<Decided>,
    firsts: Firsts,
    /// Of each undecided record, by its token: librdkafka does not tell the timestamp of a record that
    /// failed.
    timestamps_ms: Vec<i64>,
}

impl KafkaSink {
    /// `wake` is unparked whenever a verdict can be polled.
    pub fn new(
        lane: &str,
        bootstrap_servers: &str,
        properties: &BTreeMap<String, String>,
        inline_size: u32,
        status: Arc<KafkaStatus>,
        wake: Thread,
    ) -> KafkaSink {
        let configured_batch_size =
            properties.get("batch.size").and_then(|size| size.parse().ok()).unwrap_or(BATCH_SIZE);
        let mut sink = KafkaSink {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: properties.clone(),
            inline_size,
            configured_batch_size,
            batch_size: configured_batch_size,
            lane: lane.to_owned(),
            status,
            firsts: Firsts::new(wake.clone()),
            wake,
            hook: None,
            topics: TopicHandles::default(),
            producer: None,
            connect_at: Instant::now(),
            given_back: Vec::new(),
            timestamps_ms: Vec::new(),
        };
        sink.connect();
        sink
    }

    fn connect(&mut self) {
        self.batch_size = self.status.batch_size(self.configured_batch_size);
        let config = client_config(
            &self.bootstrap_servers,
            &self.properties,
            self.inline_size,
            self.batch_size,
        );
        let reports = Reports::new(
            self.lane.clone(),
            Arc::clone(&self.status),
            Arc::clone(&self.firsts.placement),
        );
        match config.create_with_context::<_, BaseProducer<Reports, Placement>>(reports) {
            Ok(producer) => {
                self.hook = Some(Hook::new(producer.client(), self.wake.clone()));
                self.producer = Some(producer);
            }
            Err(error) => {
                // `check` tried these properties; what is left is the machine, such as its threads.
                self.connect_at = Instant::now() + CONNECT_PAUSE;
                let mut trouble = self.status.trouble.lock();
                trouble.note(None, &error.to_string());
                if trouble.is_news() {
                    tracing::error!(lane = self.lane, %error, "the Kafka producer cannot be made");
                }
            }
        }
    }

    /// Sends what waited behind another record, in order; from the first one that cannot go, or if none
    /// may, the lane gets them back.
    fn send_waiting(
        &mut self,
        waiting: Vec<Waiting>,
        mut may_go: bool,
        decided: &mut Vec<Decided>,
    ) {
        for Waiting { record, token } in waiting {
            let verdict = match may_go.then(|| self.append(record.as_record(), token)) {
                Some(Ok(())) => continue,
                Some(Err(AppendError::TooLarge)) => Verdict::TooLarge(record),
                Some(Err(AppendError::Refused(reason))) => Verdict::Refused { record, reason },
                Some(Err(
                    AppendError::Full
                    | AppendError::Broken
                    | AppendError::Away
                    | AppendError::NoTopic,
                ))
                | None => {
                    may_go = false;
                    let reason = "what it waited for did not land".into();
                    Verdict::Undecided { record, reason }
                }
            };
            decided.push(Decided { token, verdict });
        }
    }
}

impl Sink for KafkaSink {
    fn append(&mut self, record: Record<'_>, token: Token) -> Result<(), AppendError> {
        let Some(producer) = &self.producer else { return Err(AppendError::Away) };
        if self.timestamps_ms.len() <= token {
            self.timestamps_ms.resize(token + 1, 0);
        }
        self.timestamps_ms[token] = record.timestamp_ms();
        // What a broken producer has to decide yet, nothing may line up behind.
        if self.firsts.are_open() && producer.client().fatal_error().is_some() {
            return Err(AppendError::Broken);
        }
        if !self.firsts.admit(record, token) {
            return Ok(());
        }
        let Err(code) = self.topics.produce(producer.client(), record, token) else {
            return Ok(());
        };
        // Nothing came behind it yet.
        self.firsts.decided(token, false);
        // A producer with a fatal error refuses everything with that error's own code.
        if producer.client().fatal_error().is_some() {
            return Err(AppendError::Broken);
        }
        Err(match code {
            RDKafkaErrorCode::QueueFull => AppendError::Full,
            RDKafkaErrorCode::MessageSizeTooLarge => AppendError::TooLarge,
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed => AppendError::NoTopic,
            code => AppendError::Refused(code.to_string().into()),
        })
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        if self.producer.is_none() && Instant::now() >= self.connect_at {
            self.connect();
        }
        // These have their timestamps, and nothing waits behind them.
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
        let new = decided.len();
        decided.append(&mut reports.decided.lock());
        let end = decided.len();
        for Decided { token, verdict } in &mut decided[new..] {
            if let Verdict::TooLarge(record)
            | Verdict::Refused { record, .. }
            | Verdict::Undecided { record, .. } = verdict
            {
                record.set_timestamp_ms(self.timestamps_ms[*token]);
            }
        }
        let waiting = self.firsts.refresh();
        self.send_waiting(waiting, true, decided);
        for index in new..end {
            let landed = matches!(decided[index].verdict, Verdict::Durable);
            let behind = self.firsts.decided(decided[index].token, landed);
            self.send_waiting(behind, landed, decided);
        }
    }

    fn is_broken(&self) -> bool {
        self.producer.as_ref().is_some_and(|producer| {
            self.batch_size != self.status.batch_size(self.configured_batch_size)
                || producer.client().fatal_error().is_some()
        })
    }

    fn reset(&mut self) {
        let mut decided = Vec::new();
        let waiting = self.firsts.clear();
        self.send_waiting(waiting, false, &mut decided);
        if let Some(producer) = &self.producer {
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
        self.status.producer_ready.store(false, Ordering::Release);
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
    placement: Arc<Placement>,
    decided: Mutex<Vec<Decided>>,
    /// The last poll served something.
    served: AtomicBool,
}

impl Reports {
    fn new(lane: String, status: Arc<KafkaStatus>, placement: Arc<Placement>) -> Reports {
        Reports {
            lane,
            status,
            placement,
            decided: Mutex::default(),
            served: AtomicBool::new(false),
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
        const READY: &[u8] = br#""idemp_state": "Assigned""#;
        let ready = statistics.windows(READY.len()).any(|window| window == READY);
        let was_ready = self.status.producer_ready.swap(ready, Ordering::AcqRel);
        if ready && !was_ready && self.status.trouble.lock().is_over() {
            tracing::info!(lane = self.lane, "Kafka is well again");
        }
        let mut known = self.status.statistics.lock();
        known.clear();
        known.extend_from_slice(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.served.store(true, Ordering::Relaxed);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // It follows the error that says why; alone it comes when Kafka closed a connection that was
            // idle, which is nothing: the next one is there within a second.
            return;
        }
        let mut trouble = self.status.trouble.lock();
        trouble.note(error.rdkafka_error_code(), reason);
        if trouble.is_news() {
            tracing::warn!(lane = self.lane, reason = trouble.reason(), "Kafka is not well");
        }
    }
}

impl ProducerContext<Placement> for Reports {
    type DeliveryOpaque = Token;

    fn get_custom_partitioner(&self) -> Option<&Placement> {
        Some(&self.placement)
    }

    fn delivery(&self, result: &DeliveryResult<'_>, token: Token) {
        self.served.store(true, Ordering::Relaxed);
        let verdict = match result {
            Ok(message) if message.offset() == i64::from(RD_KAFKA_OFFSET_INVALID) => {
                let reason = "Kafka confirmed what came behind it, and not this".into();
                Verdict::Undecided { record: copied(message), reason }
            }
            Ok(_) => Verdict::Durable,
            Err((error, message)) => failed(error, message),
        };
        if matches!(verdict, Verdict::TooLarge(_)) {
            self.status.ask_for_limits();
        }
        self.decided.lock().push(Decided { token, verdict });
    }
}

/// Copies a record out of librdkafka.
fn copied(message: &BorrowedMessage<'_>) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.begin(message.topic(), message.timestamp().to_millis().unwrap_or_default());
    if let Some(headers) = message.headers() {
        for header in headers.iter() {
            record.header(header.key, header.value.unwrap_or_default());
        }
    }
    record.key(|out| out.extend_from_slice(message.key().unwrap_or_default()));
    record.value(|out| out.extend_from_slice(message.payload().unwrap_or_default()));
    record
}

fn failed(error: &KafkaError, message: &BorrowedMessage<'_>) -> Verdict {
    let record = copied(message);
    let reason = error.to_string().into();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Verdict::TooLarge(record),
        Some(
            RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize,
        ) => Verdict::Refused { record, reason },
        _ => Verdict::Undecided { record, reason },
    }
}

#[cfg(test)]
mod tests;
