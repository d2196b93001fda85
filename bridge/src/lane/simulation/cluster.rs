//! The Kafka of the simulation: topics, their partitions' logs and limits, and what each partition knows of
//! producers.
//!
//! A partition that does not know a producer takes any sequence number from it, as Kafka does. The topics' logs are
//! never cut: what was stored once counts as stored.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::sink::TimeLimits;

/// Batches of a producer that a partition remembers, to know them again.
const REMEMBERED: usize = 5;
/// A producer that was idle for so long is forgotten (`producer.id.expiration.ms`).
pub const FORGETS_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What Kafka puts around a batch, in bytes.
pub const BATCH_HEAD: u32 = 61;

pub struct Topic {
    pub name: &'static str,
    pub exists: bool,
    /// Whoever produces may do so.
    pub is_ours: bool,
    pub partitions: Vec<Partition>,
    /// Of a batch.
    pub max_bytes: u32,
    /// The least that this ever was.
    pub least_max_bytes: u32,
    pub times: Option<TimeLimits>,
}

#[derive(Default)]
pub struct Partition {
    pub leader: Option<usize>,
    producers: BTreeMap<u64, Known>,
}

/// What a partition knows of a producer.
struct Known {
    epoch: u32,
    /// First and last sequence number of each.
    batches: VecDeque<(u32, u32)>,
    at_ms: u64,
}

/// A record as it is in a request.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Of its message.
    pub number: u32,
    pub bytes: u32,
    pub timestamp_ms: i64,
    /// Kafka never takes it.
    pub is_poison: bool,
}

/// Where a batch goes and under which numbers.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    pub topic: usize,
    pub partition: usize,
    pub producer: u64,
    pub epoch: u32,
    pub first_sequence: u32,
}

/// What Kafka says to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Stored,
    /// It was stored before, longer ago than anybody remembers where.
    Known,
    /// Nothing of it is stored, or so it seems.
    Failed(Code),
    /// Nothing of it is stored, because of these records of it.
    Culprits(Code, Vec<usize>),
}

impl Topic {
    pub fn new(name: &'static str) -> Topic {
        Topic {
            name,
            exists: true,
            is_ours: true,
            partitions: Vec::new(),
            max_bytes: u32::MAX,
            least_max_bytes: u32::MAX,
            times: None,
        }
    }

    pub fn set_max_bytes(&mut self, max_bytes: u32) {
        self.max_bytes = max_bytes;
        self.least_max_bytes = self.least_max_bytes.min(max_bytes);
    }

    /// Kafka's answer to a batch; `true` beside it where the batch is new in the log. `wall_ms` is the broker's time.
    pub fn produce(
        &mut self,
        heading: &Heading,
        batch: &[Sent],
        broker: usize,
        (now_ms, wall_ms): (u64, i64),
    ) -> (Answer, bool) {
        if let Some(answer) = self.refusal(heading, batch, broker, wall_ms) {
            return (answer, false);
        }
        let partition = &mut self.partitions[heading.partition];
        let (answer, is_new) = partition.number(heading, batch.len() as u32, now_ms);
        (answer, is_new)
    }

    fn refusal(
        &self,
        heading: &Heading,
        batch: &[Sent],
        broker: usize,
        wall_ms: i64,
    ) -> Option<Answer> {
        let partition = self.partitions.get(heading.partition).filter(|_| self.exists);
        let Some(partition) = partition else {
            return Some(Answer::Failed(Code::UnknownTopicOrPartition));
        };
        if !self.is_ours {
            return Some(Answer::Failed(Code::TopicAuthorizationFailed));
        }
        if partition.leader != Some(broker) {
            return Some(Answer::Failed(Code::NotLeaderForPartition));
        }
        let is_untimely = |sent: &Sent| {
            self.times.is_some_and(|times| {
                let ahead_ms = sent.timestamp_ms - wall_ms;
                ahead_ms > times.after_max_ms || -ahead_ms > times.before_max_ms
            })
        };
        let is_culprit = |sent: &Sent| sent.is_poison || is_untimely(sent);
        let culprits: Vec<usize> = (0..batch.len()).filter(|at| is_culprit(&batch[*at])).collect();
        if !culprits.is_empty() {
            let code = match batch.iter().any(is_untimely) {
                true => Code::InvalidTimestamp,
                false => Code::InvalidRecord,
            };
            return Some(Answer::Culprits(code, culprits));
        }
        let bytes: u32 = batch.iter().map(|sent| sent.bytes).sum();
        (bytes + BATCH_HEAD > self.max_bytes).then_some(Answer::Failed(Code::MessageSizeTooLarge))
    }
}

impl Partition {
    pub fn led_by(broker: usize) -> Partition {
        Partition { leader: Some(broker), producers: BTreeMap::new() }
    }

    /// Looks at a batch's sequence numbers.
    fn number(&mut self, heading: &Heading, count: u32, now_ms: u64) -> (Answer, bool) {
        let forgets_ms = FORGETS_AFTER.as_millis() as u64;
        self.producers.retain(|_, known| now_ms - known.at_ms < forgets_ms);
        let Heading { producer, epoch, first_sequence: first, .. } = *heading;
        let last = first + count - 1;
        let known = self.producers.entry(producer).or_insert_with(|| Known {
            epoch,
            batches: VecDeque::new(),
            at_ms: now_ms,
        });
        if epoch < known.epoch {
            return (Answer::Failed(Code::InvalidProducerEpoch), false);
        }
        if epoch > known.epoch {
            if first != 0 {
                return (Answer::Failed(Code::OutOfOrderSequenceNumber), false);
            }
            *known = Known { epoch, batches: VecDeque::new(), at_ms: now_ms };
        }
        if known.batches.contains(&(first, last)) {
            return (Answer::Stored, false);
        }
        if let Some((_, newest)) = known.batches.back() {
            if first <= *newest {
                return (Answer::Known, false);
            }
            if first != newest + 1 {
                return (Answer::Failed(Code::OutOfOrderSequenceNumber), false);
            }
        }
        known.batches.push_back((first, last));
        if known.batches.len() > REMEMBERED {
            known.batches.pop_front();
        }
        known.at_ms = now_ms;
        (Answer::Stored, true)
    }
}
