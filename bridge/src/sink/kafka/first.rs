//! The first record of a producer in a partition travels alone.
//!
//! A broker that knows nothing of a producer takes any sequence number from it. If the producer's first
//! two requests were on their way together and the first one was refused, the broker would store the
//! second: ahead of what is sent again, and librdkafka would conclude that the first is stored too. Once
//! one record has landed the broker refuses whatever does not follow it.
//!
//! So the records behind the first one wait here until it is decided, each partition on its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::producer::Partitioner;

use crate::kafka::native;
use crate::record::{Record, RecordBuf};
use crate::sink::Token;

/// Brokers forget a producer that was idle for a day (`producer.id.expiration.ms`): well before that, its
/// next record counts as its first again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// Places records as the Java client does, and remembers how many partitions librdkafka knows of.
pub(super) struct Placement {
    counts: Mutex<Vec<(Box<str>, Arc<AtomicI32>)>>,
    /// Woken when a count changes: what waits may go now.
    wake: Thread,
}

impl Placement {
    pub(super) fn new(wake: Thread) -> Placement {
        Placement { counts: Mutex::default(), wake }
    }

    /// The partitions of a topic; zero while they are not known.
    fn count(&self, topic: &str) -> Arc<AtomicI32> {
        let mut counts = self.counts.lock();
        if let Some((_, count)) = counts.iter().find(|(known, _)| **known == *topic) {
            return Arc::clone(count);
        }
        let count = Arc::new(AtomicI32::new(0));
        counts.push((topic.into(), Arc::clone(&count)));
        count
    }
}

impl Partitioner for Placement {
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        count: i32,
        _: impl Fn(i32) -> bool,
    ) -> i32 {
        let counts = self.counts.lock();
        if let Some((_, known)) = counts.iter().find(|(known, _)| **known == *topic)
            && known.swap(count, Ordering::AcqRel) != count
        {
            self.wake.unpark();
        }
        drop(counts);
        native::partition(key.unwrap_or_default(), count)
    }
}

/// A record that waits behind the first one.
pub(super) struct Waiting {
    pub record: RecordBuf,
    pub token: Token,
}

/// What a producer has done so far in each partition.
pub(super) struct Firsts {
    pub(super) placement: Arc<Placement>,
    topics: Vec<Topic>,
    /// First records in flight.
    open: usize,
    now: Instant,
}

struct Topic {
    name: Box<str>,
    count: Arc<AtomicI32>,
    /// One for all while their count is not known.
    partitions: Vec<Partition>,
}

#[derive(Default)]
enum Partition {
    /// The broker may know nothing of the producer.
    #[default]
    New,
    /// The first record is in flight.
    First { token: Token, key: Box<[u8]>, behind: Vec<Waiting> },
    /// A record has landed; the last one was sent then.
    Known { sent: Instant },
}

impl Firsts {
    pub(super) fn new(wake: Thread) -> Firsts {
        let placement = Arc::new(Placement::new(wake));
        Firsts { placement, topics: Vec::new(), open: 0, now: Instant::now() }
    }

    /// May the record be sent now? Otherwise it waits here.
    pub(super) fn admit(&mut self, record: Record<'_>, token: Token) -> bool {
        let now = self.now;
        match Firsts::partition(&mut self.topics, &self.placement, record) {
            Partition::Known { sent } if now.saturating_duration_since(*sent) < FORGOTTEN_AFTER => {
                *sent = now;
                true
            }
            Partition::First { behind, .. } => {
                behind.push(Waiting { record: record.to_owned(), token });
                false
            }
            partition => {
                let key = record.key().into();
                *partition = Partition::First { token, key, behind: Vec::new() };
                self.open += 1;
                true
            }
        }
    }

    fn partition<'t>(
        topics: &'t mut Vec<Topic>,
        placement: &Placement,
        record: Record<'_>,
    ) -> &'t mut Partition {
        let known = topics.iter().position(|topic| *topic.name == *record.topic());
        let index = known.unwrap_or_else(|| {
            let mut topic = Topic {
                name: record.topic().into(),
                count: placement.count(record.topic()),
                partitions: Vec::new(),
            };
            let count = topic.count.load(Ordering::Acquire).max(1);
            topic.partitions.resize_with(count as usize, Partition::default);
            topics.push(topic);
            topics.len() - 1
        });
        let topic = &mut topics[index];
        let index = match topic.partitions.len() {
            1 => 0,
            count => native::partition(record.key(), count as i32) as usize,
        };
        &mut topic.partitions[index]
    }

    /// A record was decided. What waited behind it may be sent if it landed, and must not if not.
    pub(super) fn decided(&mut self, token: Token, landed: bool) -> Vec<Waiting> {
        if !self.are_open() {
            return Vec::new();
        }
        let sent = self.now;
        let partitions = self.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for partition in partitions {
            if matches!(partition, Partition::First { token: first, .. } if *first == token) {
                self.open -= 1;
                let after = if landed { Partition::Known { sent } } else { Partition::New };
                return behind(std::mem::replace(partition, after));
            }
        }
        Vec::new()
    }

    /// Some first record is in flight, and others may wait behind it.
    pub(super) fn are_open(&self) -> bool {
        self.open > 0
    }

    /// Tells the time, and lays out topics whose partitions became known or more. What waited there, in
    /// its order, has to be admitted again.
    pub(super) fn refresh(&mut self) -> Vec<Waiting> {
        self.now = Instant::now();
        let mut waiting = Vec::new();
        for topic in &mut self.topics {
            let count = topic.count.load(Ordering::Acquire) as usize;
            if count <= topic.partitions.len() {
                continue;
            }
            let mut old = std::mem::take(&mut topic.partitions);
            topic.partitions.resize_with(count, Partition::default);
            if let [Partition::First { .. }] = old.as_slice()
                && let Some(Partition::First { token, key, behind }) = old.pop()
            {
                let index = native::partition(&key, count as i32) as usize;
                topic.partitions[index] = Partition::First { token, key, behind: Vec::new() };
                waiting.extend(behind);
                continue;
            }
            for (index, partition) in old.into_iter().enumerate() {
                topic.partitions[index] = partition;
            }
        }
        waiting
    }

    /// Forgets everything, as the broker does with a new producer, and gives back what waited.
    pub(super) fn clear(&mut self) -> Vec<Waiting> {
        self.open = 0;
        let topics = std::mem::take(&mut self.topics);
        topics.into_iter().flat_map(|topic| topic.partitions).flat_map(behind).collect()
    }
}

fn behind(partition: Partition) -> Vec<Waiting> {
    match partition {
        Partition::First { behind, .. } => behind,
        Partition::New | Partition::Known { .. } => Vec::new(),
    }
}
