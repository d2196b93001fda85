//! What a lane's Kafka client says of itself and of the brokers, from librdkafka's statistics.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::Statistics;
use rdkafka::statistics::{Broker, Partition};

/// A leader whose answers take longer is slow: devices wait as long for theirs.
const SLOW_ANSWER: Duration = Duration::from_secs(1);
/// Partitions of a lane that are told of one by one, those that are not well first.
pub const PARTITIONS_MAX: usize = 32;

/// What a lane's Kafka client counts.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaFigures {
    pub queue_messages: u64,
    pub requests: u64,
    pub sent_bytes: u64,
    /// Of the slowest broker, in seconds.
    pub round_trip_p99_s: f64,
    pub brokers_up: usize,
    /// No more than [`PARTITIONS_MAX`], the worst first, then by topic and number.
    pub partitions: Vec<PartitionFigures>,
    /// Partitions beyond those; none of them is worse than any that is there.
    pub partitions_left_out: usize,
}

/// How a partition is doing, as far as its producer knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionFigures {
    pub state: PartitionState,
    pub topic: String,
    pub partition: i32,
    /// The broker's id; None while there is none.
    pub leader: Option<i32>,
    /// Records that the producer has and Kafka has not confirmed.
    pub waiting_records: u64,
}

/// The worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionState {
    /// It has no leader, or the leader is not reached.
    Away,
    /// Its leader took longer than a second for one answer in a hundred, or owes answers and gave none for a
    /// second.
    Slow,
    Well,
}

impl PartitionState {
    pub const fn label(self) -> &'static str {
        match self {
            PartitionState::Away => "away",
            PartitionState::Slow => "slow",
            PartitionState::Well => "well",
        }
    }
}

impl KafkaFigures {
    pub(super) fn of(statistics: Statistics) -> KafkaFigures {
        let round_trips = statistics.brokers.values().filter_map(|broker| broker.rtt.as_ref());
        let round_trip_p99_us = round_trips.map(|rtt| rtt.p99).max().unwrap_or(0);
        let brokers_up = statistics.brokers.values().filter(|broker| is_up(broker)).count();
        // Those that the configuration names have no id before they are known by one.
        let brokers = statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        let brokers: HashMap<i32, &Broker> =
            brokers.map(|broker| (broker.nodeid, broker)).collect();
        let of_topics = statistics.topics.values().flat_map(|topic| {
            // Records have a partition of -1 until they have their own.
            let real = topic.partitions.values().filter(|one| one.partition >= 0 && !one.unknown);
            real.map(|partition| (topic.topic.as_str(), partition))
        });
        let mut partitions: Vec<PartitionFigures> = of_topics
            .map(|(topic, partition)| {
                let leader = brokers.get(&partition.leader).copied();
                let waiting_records = waiting(partition, statistics.msg_cnt);
                // A broker that nobody needed yet is not connected, and nothing is wrong with it.
                let is_needed = waiting_records > 0 || brokers_up == 0;
                PartitionFigures {
                    state: state(leader, is_needed),
                    topic: topic.to_owned(),
                    partition: partition.partition,
                    leader: (partition.leader >= 0).then_some(partition.leader),
                    waiting_records,
                }
            })
            .collect();
        partitions.sort_unstable();
        let partitions_left_out = partitions.len().saturating_sub(PARTITIONS_MAX);
        partitions.truncate(PARTITIONS_MAX);
        KafkaFigures {
            queue_messages: statistics.msg_cnt,
            requests: statistics.tx.max(0) as u64,
            sent_bytes: statistics.tx_bytes.max(0) as u64,
            round_trip_p99_s: round_trip_p99_us as f64 / 1e6,
            brokers_up,
            partitions,
            partitions_left_out,
        }
    }
}

fn is_up(broker: &Broker) -> bool {
    broker.state == "UP"
}

/// An idempotent producer numbers a partition's records from 1 on. What it gave up has no acknowledgement, so that
/// there are no more than the client has at all; its queues are told of in part only.
fn waiting(partition: &Partition, queued: u64) -> u64 {
    partition.msgs.saturating_sub(partition.acked_msgid).min(queued)
}

fn state(leader: Option<&Broker>, is_needed: bool) -> PartitionState {
    let slow_us = SLOW_ANSWER.as_micros() as i64;
    match leader {
        None => PartitionState::Away,
        Some(leader) if is_up(leader) => {
            let is_slow = leader.rtt.as_ref().is_some_and(|rtt| rtt.p99 > slow_us);
            let is_silent = leader.waitresp_cnt > 0 && leader.rxidle > slow_us;
            if is_slow || is_silent { PartitionState::Slow } else { PartitionState::Well }
        }
        Some(_) if is_needed => PartitionState::Away,
        Some(_) => PartitionState::Well,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::{Topic, Window};

    use super::*;

    fn broker(nodeid: i32, state: &str) -> Broker {
        Broker { nodeid, state: state.to_owned(), ..Broker::default() }
    }

    fn partition(partition: i32, leader: i32, waiting: u64) -> Partition {
        let (msgs, acked_msgid) = (100 + waiting, 100);
        Partition { partition, leader, msgs, acked_msgid, ..Partition::default() }
    }

    fn figures(brokers: Vec<Broker>, partitions: Vec<Partition>) -> KafkaFigures {
        let brokers = brokers.into_iter().map(|one| (format!("b-{}", one.nodeid), one)).collect();
        let partitions = partitions.into_iter().map(|one| (one.partition, one)).collect();
        let topic = Topic { topic: "t".to_owned(), partitions, ..Topic::default() };
        let topics = HashMap::from([("t".to_owned(), topic)]);
        KafkaFigures::of(Statistics { brokers, topics, msg_cnt: 3, ..Statistics::default() })
    }

    fn states(figures: &KafkaFigures) -> Vec<(i32, &'static str, u64)> {
        let told = figures.partitions.iter();
        told.map(|one| (one.partition, one.state.label(), one.waiting_records)).collect()
    }

    #[test]
    fn a_partition_is_as_well_as_its_leader() {
        let slow =
            Broker { rtt: Some(Window { p99: 1_000_001, ..Window::default() }), ..broker(2, "UP") };
        let silent = Broker { waitresp_cnt: 1, rxidle: 1_000_001, ..broker(3, "UP") };
        let quiet = Broker { waitresp_cnt: 0, rxidle: 60_000_000, ..broker(4, "UP") };
        let brokers = vec![broker(1, "UP"), slow, silent, quiet, broker(5, "CONNECT")];
        let partitions = vec![
            partition(-1, -1, 9),
            partition(0, 1, 0),
            partition(1, 2, 1),
            partition(2, 3, 2),
            partition(3, 4, 0),
            // What was given up is not waited for.
            partition(4, 5, 7),
            partition(5, 5, 0),
            partition(6, -1, 0),
            partition(7, 77, 0),
            Partition { unknown: true, ..partition(8, 1, 0) },
        ];
        let figures = figures(brokers, partitions);
        let expected = [
            (4, "away", 3),
            (6, "away", 0),
            (7, "away", 0),
            (1, "slow", 1),
            (2, "slow", 2),
            (0, "well", 0),
            (3, "well", 0),
            // Nobody needs its leader.
            (5, "well", 0),
        ];
        assert_eq!(states(&figures), expected);
        assert_eq!(figures.partitions[1].leader, None);
        assert_eq!((figures.brokers_up, figures.round_trip_p99_s), (4, 1.000001));
    }

    #[test]
    fn without_any_broker_all_are_away() {
        let figures = figures(vec![broker(1, "INIT")], vec![partition(0, 1, 0)]);
        assert_eq!(states(&figures), [(0, "away", 0)]);
    }

    #[test]
    fn of_very_many_the_worst_are_told() {
        let partitions =
            (0..1000).map(|number| partition(number, if number == 999 { 2 } else { 1 }, 1));
        let figures = figures(vec![broker(1, "UP"), broker(2, "DOWN")], partitions.collect());
        assert_eq!(figures.partitions.len(), PARTITIONS_MAX);
        assert_eq!(figures.partitions_left_out, 1000 - PARTITIONS_MAX);
        let first: Vec<i32> = figures.partitions[..3].iter().map(|one| one.partition).collect();
        assert_eq!(first, [999, 0, 1]);
    }
}
