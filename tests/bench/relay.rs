//! The parse role's reads and writes with nothing but a consumer and a producer: what Kafka and librdkafka cost
//! without parsing. As the role does, it reads every raw record in two groups, one of which writes the events
//! and a record of metadata, and the other a record of metadata.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use serde::{Deserialize, Serialize};
use tests::freshness::SOURCE;
use tests::proc;

use crate::bare::producer_config;
use crate::report;

/// Records that are written one after the other before reports are asked for.
const BURST: usize = 64;
/// How long it waits for a record, and for room.
const WAIT: Duration = Duration::from_millis(5);
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[arg(long)]
    pub bootstrap_servers: String,
    /// The topic that is read
    #[arg(long)]
    pub from: String,
    /// The topic of events, and that of metadata
    #[arg(long)]
    pub events_to: String,
    #[arg(long)]
    pub metadata_to: String,
    /// The forms of both, as JSON
    #[arg(long, value_parser = form)]
    pub event: Form,
    #[arg(long, value_parser = form)]
    pub metadata: Form,
    /// Events of each record that is read
    #[arg(long)]
    pub events: u64,
    /// Records to read
    #[arg(long)]
    pub count: u64,
    /// Kilobytes of records that wait to be read, for each group
    #[arg(long)]
    pub queue_kbytes: u64,
    /// Has each event say which record it was made of
    #[arg(long)]
    pub sources: bool,
}

/// How large the parts of a record are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Form {
    pub key: usize,
    pub value: usize,
    pub headers: Vec<(String, usize)>,
}

fn form(text: &str) -> Result<Form, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// What it took, from its start to the last report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayReport {
    pub seconds: f64,
    pub cpu: f64,
}

impl RelayReport {
    pub fn to_json(&self) -> String {
        report::to_json(self)
    }
}

pub fn run(options: &Options) -> Result<RelayReport, String> {
    let begin = Instant::now();
    let way = |group: &'static str, is_parser: bool| {
        let options = options.clone();
        thread::spawn(move || relay(&options, group, is_parser))
    };
    let ways = [way("parsed", true), way("landed", false)];
    for way in ways {
        way.join().expect("relaying does not panic")?;
    }
    Ok(RelayReport {
        seconds: begin.elapsed().as_secs_f64(),
        cpu: proc::cpu_seconds(std::process::id())?,
    })
}

/// One group's reads and writes.
fn relay(options: &Options, group: &str, is_parser: bool) -> Result<(), String> {
    let text = |error: KafkaError| error.to_string();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.bootstrap_servers)
        .set("group.id", format!("{}-{group}", options.events_to))
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", options.queue_kbytes.to_string());
    let consumer: BaseConsumer = config.create().map_err(text)?;
    consumer.subscribe(&[&options.from]).map_err(text)?;
    let mut config = producer_config(&options.bootstrap_servers);
    // As the role's producers have them.
    config.set("linger.ms", "20").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "65536");
    let producer: BaseProducer<Reports> =
        config.create_with_context(Reports::default()).map_err(text)?;
    let value = vec![b'v'; options.event.value.max(options.metadata.value)];
    let events = if is_parser { options.events } else { 0 };
    let (mut read, mut since) = (0, Instant::now());
    let mut writer = Writer { producer: &producer, key: Vec::new(), value: &value };
    while read < options.count {
        for _ in 0..BURST {
            let message = match consumer.poll(WAIT) {
                None => break,
                Some(message) => message.map_err(text)?,
            };
            read += 1;
            since = Instant::now();
            let key = message.key().unwrap_or_default();
            let source = options.sources.then(|| {
                format!("{}/{}/{}", message.topic(), message.partition(), message.offset())
            });
            for _ in 0..events {
                writer.send(&options.events_to, key, &options.event, source.as_deref())?;
            }
            writer.send(&options.metadata_to, key, &options.metadata, None)?;
        }
        producer.poll(Duration::ZERO);
        if since.elapsed() > PATIENCE {
            return Err(format!("only {read} of {} records came", options.count));
        }
    }
    producer.flush(PATIENCE).map_err(text)?;
    let reports = producer.context();
    let (delivered, expected) =
        (reports.delivered.load(Ordering::Acquire), options.count * (events + 1));
    if reports.failed.load(Ordering::Acquire) || delivered != expected {
        return Err(format!("{delivered} of {expected} records were delivered"));
    }
    Ok(())
}

struct Writer<'w> {
    producer: &'w BaseProducer<Reports>,
    key: Vec<u8>,
    /// As much as any part of a record is cut from.
    value: &'w [u8],
}

impl Writer<'_> {
    fn send(
        &mut self,
        topic: &str,
        raw_key: &[u8],
        form: &Form,
        source: Option<&str>,
    ) -> Result<(), String> {
        self.key.clear();
        self.key.extend_from_slice(raw_key);
        self.key.resize(form.key, b'0');
        let mut record = BaseRecord::to(topic).key(&self.key).payload(&self.value[..form.value]);
        if !form.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(form.headers.len());
            for (name, size) in &form.headers {
                let source = source.filter(|_| name == SOURCE).map(str::as_bytes);
                let value = Some(source.unwrap_or(&self.value[..*size]));
                headers = headers.insert(Header { key: name, value });
            }
            record = record.headers(headers);
        }
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.to_string());
            }
            self.producer.poll(WAIT);
            record = back;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reports {
    delivered: AtomicU64,
    failed: AtomicBool,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => self.failed.store(true, Ordering::Release),
        }
    }
}
