//! A Kafka producer and nothing else, at a steady rate or as fast as it goes: what Kafka and librdkafka cost
//! without a gateway.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
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
/// Records between two looks at the clock, where none is due.
const BURST: usize = 64;
/// How long it waits for room before it looks at the clock again.
const ROOM_WAIT: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[arg(long)]
    pub bootstrap_servers: String,
    #[arg(long)]
    pub topic: String,
    /// Records per second; without it, as fast as it goes
    #[arg(long)]
    pub rate: Option<u64>,
    /// librdkafka's `linger.ms`
    #[arg(long)]
    pub linger_ms: f64,
    /// librdkafka's `batch.size`
    #[arg(long)]
    pub batch_size: Option<u32>,
    /// Records that are open at most, where there is no rate
    #[arg(long, default_value_t = 20_000)]
    pub open_max: usize,
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
    if options.rate == Some(0) || options.devices == 0 || options.open_max < BURST {
        return Err(format!("rate and devices start at 1, open_max at {BURST}"));
    }
    let clock = Arc::new(Clock::start());
    let reports = Reports {
        clock: Arc::clone(&clock),
        meter: Mutex::new(None),
        failed: Mutex::new(None),
        open: AtomicUsize::new(0),
        room_at: options.open_max / 2,
        sender: thread::current(),
    };
    let mut config = producer_config(&options.bootstrap_servers);
    config.set("linger.ms", options.linger_ms.to_string());
    if let Some(size) = options.batch_size {
        config.set("batch.size", size.to_string());
    }
    let producer: BaseProducer<Reports> =
        config.create_with_context(reports).map_err(|error| error.to_string())?;
    let producer = Arc::new(producer);
    let value = vec![b'v'; options.value_size];
    let keys: Vec<String> = (0..options.devices).map(|number| format!("bench-{number}")).collect();
    let send = |number: u64, due: u64| {
        let record = BaseRecord::with_opaque_to(&options.topic, due as usize);
        producer.context().open.fetch_add(1, Ordering::AcqRel);
        producer
            .send(record.key(&keys[(number % options.devices) as usize]).payload(&value))
            .map_err(|(error, _)| format!("the producer takes no record: {error}"))
    };
    // The first record waits for the producer's id.
    send(0, 0)?;
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
    let mut pace = options.rate.map(|rate| Pace::new(now, rate));
    let mut next = 0;
    while producer.context().advance(clock.now())? {
        if let Some(pace) = &mut pace {
            while let Some((number, due)) = pace.take(clock.now()) {
                send(number, due)?;
            }
            thread::sleep(clock::until_step(clock.now()));
        } else if producer.context().open.load(Ordering::Acquire) + BURST > options.open_max {
            // A report wakes this thread when half of them are decided.
            thread::park_timeout(ROOM_WAIT);
        } else {
            let due = clock.now();
            for _ in 0..BURST {
                send(next, due)?;
                next += 1;
            }
        }
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
    /// Records that are not decided.
    open: AtomicUsize,
    /// How many of them the sender waits for.
    room_at: usize,
    sender: Thread,
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
        if self.open.fetch_sub(1, Ordering::AcqRel) == self.room_at {
            self.sender.unpark();
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
