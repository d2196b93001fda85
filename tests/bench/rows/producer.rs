//! A bare producer beside a gateway: as many bytes in each record, to a topic of its own, and nothing around it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::kafka::{Kafka, unique};

use super::{Bench, WARM_UP, timing};
use crate::report::LoadReport;

const PATIENCE: Duration = Duration::from_secs(10);

/// How it writes.
#[derive(Clone, Copy)]
pub struct Way {
    /// Records per second; None: as fast as it goes.
    pub rate: Option<u64>,
    pub linger_ms: f64,
    /// None: librdkafka's own.
    pub batch_size: Option<u32>,
}

/// See the module.
pub struct Producer<'a> {
    bench: &'a Bench,
    kafka: &'a Kafka,
    topic: String,
    devices: usize,
    acknowledged: AtomicU64,
}

impl Way {
    pub fn paced(rate: u64, linger_ms: f64) -> Way {
        Way { rate: Some(rate), linger_ms, batch_size: None }
    }
}

impl Producer<'_> {
    pub fn new<'a>(
        bench: &'a Bench,
        kafka: &'a Kafka,
        partitions: i32,
        devices: usize,
    ) -> Producer<'a> {
        let topic = unique("bare");
        kafka.create_topic(&topic, partitions, &[]);
        Producer { bench, kafka, topic, devices, acknowledged: AtomicU64::new(0) }
    }

    /// Writes records as those that a gateway has written to `like`.
    pub fn run(&self, way: Way, like: &str, watch: &[u32]) -> LoadReport {
        let mut arguments = vec![
            "produce".to_owned(),
            format!("--bootstrap-servers={}", self.kafka.address()),
            format!("--topic={}", self.topic),
            format!("--linger-ms={}", way.linger_ms),
            format!("--value-size={}", record_size(self.kafka, like)),
            format!("--devices={}", self.devices),
        ];
        arguments.extend(way.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(way.batch_size.map(|size| format!("--batch-size={size}")));
        arguments.extend(timing(self.bench.duration, watch));
        let expected = WARM_UP + self.bench.duration;
        let report: LoadReport = self.bench.child("produce", &arguments, expected);
        self.acknowledged.fetch_add(report.acknowledged, Ordering::Relaxed);
        report
    }

    /// What it was told to have landed is what Kafka has.
    pub fn check_landed(&self) {
        let landed = self.kafka.count(&self.topic);
        assert_eq!(landed, self.acknowledged.load(Ordering::Relaxed), "the bare producer's");
    }
}

/// Bytes of value and headers of a record that the gateway wrote; the keys are the same.
fn record_size(kafka: &Kafka, topic: &str) -> usize {
    let record = kafka.records(&[topic]).next(PATIENCE).expect("the gateway wrote records");
    let headers = record.headers.iter().map(|(name, value)| name.len() + value.len());
    record.value.len() + headers.sum::<usize>()
}
