//! Kafka as a sink, and the only place that knows rdkafka's producer.
//!
//! Idempotent, `acks=all`, no message timeout: a record is confirmed or in flight, never given
//! up by the library.

mod first;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings::RD_KAFKA_OFFSET_INVALID;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use self::first::{Firsts, Placement, Waiting};
use crate::kafka::KafkaStatus;
use crate::kafka::client::{self, BATCH_SIZE};
use crate::kafka::native::{Hook, TopicHandles};
use crate::record::{Record, RecordBuf};
use crate::sink::{AppendError, Decided, Sink, Token, Verdict};

/// How long a purged producer may take to report what it gave up.
const PURGE_WAIT: Duration = Duration::from_secs(5);
/// How long a producer is not tried again that cannot be made, or that Kafka gave no id.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);

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
        let config = client::producer(
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
                if self.status.note_trouble(None, &error.to_string()).is_some() {
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
                    Verdict::Unsent { record, reason }
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
            | Verdict::Undecided { record, .. }
            | Verdict::Unsent { record, .. } = verdict
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
        if self.status.set_producer_ready(ready) {
            tracing::info!(lane = self.lane, "Kafka is well again");
        }
        self.status.set_statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.served.store(true, Ordering::Relaxed);
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
