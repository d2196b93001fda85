//! A Kafka producer and nothing else, at a steady rate: what Kafka and librdkafka cost without a gateway.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::clock::{self, Clock, Pace};
use crate::report::{LoadReport, Measured, Meter};

/// How long one poll waits; reports come out of it at once.
const POLL: Duration = Duration::from_millis(100);
/// How long Kafka may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[arg(long)]
    pub bootstrap_servers: String,
    #[arg(long)]
    pub topic: String,
    /// Records per second
    #[arg(long)]
    pub rate: u64,
    /// librdkafka's `linger.ms`
    #[arg(long)]
    pub linger_ms: u64,
    /// Bytes of a record's value
    #[arg(long)]
    pub value_size: usize,
    /// As many different keys
    #[arg(long)]
    pub devices: u64,
    #[command(flatten)]
    pub measured: Measured,
}

/// Idempotent, `acks=all`, keys placed as the gateway places them.
pub fn producer_config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("socket.nagle.disable", "true");
    config
}

pub fn run(options: &Options) -> Result<LoadReport, String> {
    if options.rate == 0 || options.devices == 0 {
        return Err("rate and devices start at 1".to_owned());
    }
    let clock = Arc::new(Clock::start());
    let reports =
        Reports { clock: Arc::clone(&clock), meter: Mutex::new(None), failed: Mutex::new(None) };
    let mut config = producer_config(&options.bootstrap_servers);
    config.set("linger.ms", options.linger_ms.to_string());
    let producer: BaseProducer<Reports> =
        config.create_with_context(reports).map_err(|error| error.to_string())?;
    let producer = Arc::new(producer);
    let value = vec![b'v'; options.value_size];
    let keys: Vec<String> = (0..options.devices).map(|number| format!("bench-{number}")).collect();
    // The first record waits for the producer's id.
    let first = BaseRecord::with_opaque_to(&options.topic, 0).key(&keys[0]).payload(&value);
    producer.send(first).map_err(|(error, _)| error.to_string())?;
    producer.flush(PATIENCE).map_err(|error| format!("Kafka does not answer: {error}"))?;

    let now = clock.now();
    *producer.context().lock() = Some(options.measured.meter(now));
    let stop = Arc::new(AtomicBool::new(false));
    let poller = {
        let (producer, stop) = (Arc::clone(&producer), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                producer.poll(POLL);
            }
        })
    };
    let mut pace = Pace::new(now, options.rate);
    while producer.context().advance(clock.now())? {
        while let Some((number, due)) = pace.take(clock.now()) {
            let key = &keys[(number % options.devices) as usize];
            let record = BaseRecord::with_opaque_to(&options.topic, due as usize);
            producer
                .send(record.key(key).payload(&value))
                .map_err(|(error, _)| format!("the producer takes no record: {error}"))?;
        }
        thread::sleep(clock::until_step(clock.now()));
    }
    producer.flush(PATIENCE).map_err(|error| format!("not everything was delivered: {error}"))?;
    stop.store(true, Ordering::Release);
    poller.join().expect("polling does not panic");
    let reports = producer.context();
    if let Some(error) = reports.failed.lock().expect("nothing panics under this lock").take() {
        return Err(format!("a record was not delivered: {error}"));
    }
    let meter = reports.lock().take().expect("it was put there");
    let mut report = meter.report();
    // The first record.
    report.acknowledged += 1;
    Ok(report)
}

struct Reports {
    clock: Arc<Clock>,
    meter: Mutex<Option<Meter>>,
    failed: Mutex<Option<KafkaError>>,
}

impl Reports {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Meter>> {
        self.meter.lock().expect("nothing panics under this lock")
    }

    fn advance(&self, now: u64) -> Result<bool, String> {
        self.lock().as_mut().map_or(Ok(false), |meter| meter.advance(now))
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    /// When the record was due; zero for the first.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, due: usize) {
        if let Err((error, _)) = result {
            let mut failed = self.failed.lock().expect("nothing panics under this lock");
            failed.get_or_insert_with(|| error.clone());
        } else if let Some(meter) = self.lock().as_mut().filter(|_| due != 0) {
            meter.acknowledged(due as u64, self.clock.now());
        }
    }
}

/// How long new producers take until they have their ids, all started at once, as a gateway starts one
/// for each lane.
pub fn time_to_ids(bootstrap_servers: &str, producers: usize) -> Duration {
    let mut config = producer_config(bootstrap_servers);
    config.set("statistics.interval.ms", "5");
    let begin = Instant::now();
    let producers: Vec<BaseProducer<Ids>> = (0..producers)
        .map(|_| config.create_with_context(Ids::default()).expect("its properties are known good"))
        .collect();
    let mut waiting: BTreeSet<usize> = (0..producers.len()).collect();
    while !waiting.is_empty() {
        assert!(begin.elapsed() < PATIENCE, "Kafka gave no producer id within {PATIENCE:?}");
        for (number, producer) in producers.iter().enumerate() {
            producer.poll(Duration::from_millis(1));
            if producer.context().assigned.load(Ordering::Acquire) {
                waiting.remove(&number);
            }
        }
    }
    begin.elapsed()
}

#[derive(Default)]
struct Ids {
    assigned: AtomicBool,
}

impl ClientContext for Ids {
    fn stats_raw(&self, statistics: &[u8]) {
        const ASSIGNED: &[u8] = br#""idemp_state": "Assigned""#;
        if statistics.windows(ASSIGNED.len()).any(|window| window == ASSIGNED) {
            self.assigned.store(true, Ordering::Release);
        }
    }
}

impl ProducerContext for Ids {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
