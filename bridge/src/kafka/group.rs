//! A member of a consumer group: it reads what the group assigns to it, and commits only what it is told.
//!
//! All calls are made by one thread, within which the group also tells, while it is polled, what comes and
//! what goes. What goes is committed before it is somebody else's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, Statistics, TopicPartitionList};

use super::{client, native};

/// How long Kafka may take to tell what was committed.
const COMMITTED_WAIT: Duration = Duration::from_secs(10);

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
}

/// From where on a partition is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub partition: Partition,
    pub offset: i64,
}

/// Who works on what a member reads. Called while it is polled.
pub trait Assignments: Send + Sync {
    /// They are this member's from here on.
    fn assigned(&self, partitions: Vec<Partition>);

    /// They are somebody else's from here on. Says from where on whoever comes next has to read, where
    /// anything was finished; it is committed, unless the group has given them away already.
    fn revoked(&self, partitions: &[Partition]) -> Vec<Position>;

    /// What was to be committed of them was not. A commit that comes while the group is balanced anew is
    /// refused, also of what stays with this member.
    fn not_committed(&self, partitions: &[Partition]);
}

/// How a member reads.
#[derive(Clone, Debug)]
pub struct MemberSettings<'a> {
    pub group: &'a str,
    /// What Kafka knows it by.
    pub client_id: &'a str,
    pub bootstrap_servers: &'a str,
    pub properties: &'a BTreeMap<String, String>,
    pub topics: &'a [String],
    /// Bytes of records that wait to be polled.
    pub queue_bytes: u64,
}

/// What a poll brought.
pub enum Polled<'a> {
    Record(GroupRecord<'a>),
    Nothing,
    /// Kafka is not well; it may come back, and whoever reads goes on polling.
    Trouble(KafkaError),
    /// This member reads nothing any more, and another may.
    Dead(String),
}

/// A record that was read, in librdkafka's memory.
pub struct GroupRecord<'a>(BorrowedMessage<'a>);

impl GroupRecord<'_> {
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Milliseconds since 1970 UTC, the producer's or the broker's, as the topic has it.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// None: a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }
}

/// See the module. Dropped, it leaves its group.
pub struct Member {
    consumer: BaseConsumer<Context>,
}

impl Member {
    /// Asks to be one of the group; what it is assigned comes while it is polled.
    pub fn join(settings: &MemberSettings<'_>, work: Arc<dyn Assignments>) -> KafkaResult<Member> {
        let context = Context {
            work,
            group: settings.group.to_owned(),
            trouble: Mutex::default(),
            ends: Mutex::default(),
        };
        let consumer: BaseConsumer<Context> =
            client::member(settings).create_with_context(context)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(Member { consumer })
    }

    /// The next record, if there is one within `wait`. Has to be called again and again, or the group takes
    /// this member for dead.
    pub fn poll(&self, wait: Duration) -> Polled<'_> {
        match self.consumer.poll(wait) {
            None => Polled::Nothing,
            Some(Ok(message)) => Polled::Record(GroupRecord(message)),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let told = self.consumer.client().fatal_error();
                Polled::Dead(told.map_or_else(|| code.to_string(), |(_, reason)| reason))
            }
            Some(Err(error)) => Polled::Trouble(error),
        }
    }

    /// What the group's offsets are; a partition is absent for which nothing was ever committed.
    pub fn committed(&self, partitions: &[Partition]) -> KafkaResult<Vec<Position>> {
        let asked = list(partitions.iter().map(|partition| (partition, Offset::Invalid)))?;
        let told = self.consumer.committed_offsets(asked, COMMITTED_WAIT)?;
        Ok(positions(&told))
    }

    /// Has Kafka note from where on to read, if the member ends; does not wait for it. If Kafka does not, that
    /// is told while the member is polled ([`Assignments::not_committed`]).
    pub fn commit(&self, positions: &[Position]) -> KafkaResult<()> {
        let list = list(positions.iter().map(|at| (&at.partition, Offset::Offset(at.offset))))?;
        native::commit(self.consumer.client(), &list).map_err(KafkaError::ConsumerCommit)
    }

    /// The same, and waits for it.
    pub fn commit_now(&self, positions: &[Position]) -> KafkaResult<()> {
        let list = list(positions.iter().map(|at| (&at.partition, Offset::Offset(at.offset))))?;
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// Reads on from there; what waited to be polled of that partition is void.
    pub fn seek(&self, position: &Position) -> KafkaResult<()> {
        let Partition { topic, partition } = &position.partition;
        self.consumer.seek(topic, *partition, Offset::Offset(position.offset), Duration::ZERO)
    }

    /// Reads nothing of them until [`Member::resume`]. What waited to be polled is read again then.
    pub fn pause<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a Partition>,
    ) -> KafkaResult<()> {
        let partitions = partitions.into_iter().map(|partition| (partition, Offset::Invalid));
        self.consumer.pause(&list(partitions)?)
    }

    pub fn resume<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a Partition>,
    ) -> KafkaResult<()> {
        let partitions = partitions.into_iter().map(|partition| (partition, Offset::Invalid));
        self.consumer.resume(&list(partitions)?)
    }

    /// The ends of the partitions that are read, as far as Kafka told within the last seconds.
    pub fn ends(&self) -> BTreeMap<Partition, i64> {
        self.consumer.context().ends.lock().clone()
    }

    /// What is wrong with Kafka, since the last call.
    pub fn take_trouble(&self) -> Option<String> {
        self.consumer.context().trouble.lock().take()
    }
}

fn list<'a>(
    partitions: impl Iterator<Item = (&'a Partition, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (Partition { topic, partition }, offset) in partitions {
        list.add_partition_offset(topic, *partition, offset)?;
    }
    Ok(list)
}

fn positions(list: &TopicPartitionList) -> Vec<Position> {
    let elements = list.elements();
    let known = elements.iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else { return None };
        let partition =
            Partition { topic: element.topic().to_owned(), partition: element.partition() };
        Some(Position { partition, offset })
    });
    known.collect()
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    let all = elements.iter().map(|element| Partition {
        topic: element.topic().to_owned(),
        partition: element.partition(),
    });
    all.collect()
}

/// Hears what the group and Kafka tell a member.
struct Context {
    group: String,
    work: Arc<dyn Assignments>,
    trouble: Mutex<Option<String>>,
    ends: Mutex<BTreeMap<Partition, i64>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if matches!(level, RDKafkaLogLevel::Debug) || facility == "FAIL" {
            tracing::debug!(group = self.group, facility, message, "librdkafka");
        } else {
            tracing::info!(group = self.group, facility, message, "librdkafka");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let topics = statistics.topics.into_iter();
        let ends = topics.flat_map(|(topic, told)| {
            let partitions = told.partitions.into_values().filter(|one| one.ls_offset >= 0);
            let own = partitions.map(|one| (one.partition, one.ls_offset)).collect::<Vec<_>>();
            own.into_iter()
                .map(move |(partition, end)| (Partition { topic: topic.clone(), partition }, end))
        });
        *self.ends.lock() = ends.collect();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.trouble.lock() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Context>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(assigned) => {
                let partitions = partitions(assigned);
                tracing::info!(group = self.group, count = partitions.len(), "partitions assigned");
                self.work.assigned(partitions);
            }
            Rebalance::Revoke(revoked) => {
                let partitions = partitions(revoked);
                let lost = consumer.assignment_lost();
                let count = partitions.len();
                tracing::info!(group = self.group, count, lost, "partitions revoked");
                let finished = self.work.revoked(&partitions);
                if lost || finished.is_empty() {
                    return;
                }
                let done = finished.iter().map(|at| (&at.partition, Offset::Offset(at.offset)));
                let committed =
                    list(done).and_then(|list| consumer.commit(&list, CommitMode::Sync));
                if let Err(error) = committed {
                    // Whoever comes next reads again what was finished since the last commit.
                    tracing::warn!(group = self.group, %error, "what was finished is not committed");
                }
            }
            Rebalance::Error(error) => {
                *self.trouble.lock() = Some(format!("the group cannot be balanced: {error}"));
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, committed: &TopicPartitionList) {
        if let Err(error) = result {
            *self.trouble.lock() = Some(format!("offsets are not committed: {error}"));
            self.work.not_committed(&partitions(committed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const TOPIC: &str = "raw";
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What a member was told.
    #[derive(Default)]
    struct Told {
        assigned: Mutex<Vec<Partition>>,
        not_committed: Mutex<Vec<Partition>>,
    }

    impl Assignments for Told {
        fn assigned(&self, partitions: Vec<Partition>) {
            self.assigned.lock().extend(partitions);
        }

        fn revoked(&self, _: &[Partition]) -> Vec<Position> {
            Vec::new()
        }

        fn not_committed(&self, partitions: &[Partition]) {
            self.not_committed.lock().extend_from_slice(partitions);
        }
    }

    #[track_caller]
    fn poll_until(member: &Member, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            member.poll(Duration::from_millis(20));
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        }
    }

    #[test]
    fn whoever_works_hears_of_a_commit_that_kafka_refused() {
        let cluster = MockCluster::new(1).expect("a mock cluster starts");
        cluster.create_topic(TOPIC, 2, 1).expect("a topic can be created");
        let told = Arc::new(Told::default());
        let settings = MemberSettings {
            group: "test",
            client_id: "test",
            bootstrap_servers: &cluster.bootstrap_servers(),
            properties: &BTreeMap::new(),
            topics: &[TOPIC.to_owned()],
            queue_bytes: 1 << 20,
        };
        let member = Member::join(&settings, Arc::clone(&told) as Arc<dyn Assignments>);
        let member = member.expect("it can join");
        poll_until(&member, || told.assigned.lock().len() == 2);
        let partition = Partition { topic: TOPIC.to_owned(), partition: 1 };
        let position = Position { partition: partition.clone(), offset: 7 };
        let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
        cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[refusal]);
        member.commit(std::slice::from_ref(&position)).expect("it is sent");
        poll_until(&member, || !told.not_committed.lock().is_empty());
        assert_eq!(*told.not_committed.lock(), [partition]);
        assert!(member.take_trouble().is_some_and(|trouble| trouble.contains("not committed")));
    }
}
