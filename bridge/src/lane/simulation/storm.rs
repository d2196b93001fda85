//! What goes wrong in a simulation, and when: faults of a few kinds come and go until the storm is over, and then all
//! is well.

use std::time::Duration;

use rand::RngExt as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::cluster::{FORGETS_AFTER, Partition};
use super::world::World;
use crate::sink::TimeLimits;

/// Milliseconds from one fault's beginning to the next, at most.
const BETWEEN_MS: u64 = 3000;
/// Codes of an answer that say nothing of a record, each with whether the batch is stored all the same.
const CODES: [(Code, bool); 11] = [
    (Code::NotEnoughReplicas, false),
    (Code::NotEnoughReplicasAfterAppend, true),
    (Code::RequestTimedOut, false),
    (Code::RequestTimedOut, true),
    (Code::KafkaStorageError, false),
    (Code::LeaderNotAvailable, false),
    (Code::InvalidMessage, false),
    (Code::PolicyViolation, false),
    (Code::ClusterAuthorizationFailed, false),
    (Code::Unknown, true),
    (Code::UnknownProducerId, false),
];
/// Those that librdkafka tries again by itself.
const PASSING: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers that librdkafka tries again, or fails the batch with.
    Codes,
    Cuts,
    Late,
    BrokerStops,
    LeaderMoves,
    NoLeader,
    TopicGrows,
    TopicMadeAnew,
    NoRights,
    LowerLimit,
    /// The gateway's clock is wrong.
    Clock,
    Full,
    /// Of the lane's thread, within a batch.
    Standstill,
    NoProducer,
    /// Nothing happens for longer than Kafka remembers a producer.
    Idle,
}

const KINDS: [Kind; 15] = [
    Kind::Codes,
    Kind::Cuts,
    Kind::Late,
    Kind::BrokerStops,
    Kind::LeaderMoves,
    Kind::NoLeader,
    Kind::TopicGrows,
    Kind::TopicMadeAnew,
    Kind::NoRights,
    Kind::LowerLimit,
    Kind::Clock,
    Kind::Full,
    Kind::Standstill,
    Kind::NoProducer,
    Kind::Idle,
];

pub struct Storm {
    kinds: Vec<Kind>,
    next_ms: u64,
    until_ms: u64,
    /// When each ends, and of which topic or broker it is.
    active: Vec<(u64, Kind, usize)>,
    /// Of the gateway's clock, ahead.
    pub skew_ms: i64,
}

impl Storm {
    /// Of some kinds, until then. A topic that is made anew while two requests of a partition are on their way takes
    /// the second and not the first, and no lane can know: that is a scenario of its own, without a batch that is cut.
    pub fn new(world: &mut World, until_ms: u64) -> Storm {
        let count = world.rng.random_range(0..=5);
        let kinds = (0..count).map(|_| KINDS[world.rng.random_range(0..KINDS.len())]);
        let kinds = kinds.filter(|kind| *kind != Kind::TopicMadeAnew).collect();
        Storm::of(kinds, world, until_ms)
    }

    pub fn of(kinds: Vec<Kind>, world: &mut World, until_ms: u64) -> Storm {
        let next_ms = if kinds.is_empty() { u64::MAX } else { world.up_to(500) };
        Storm { kinds, next_ms, until_ms, active: Vec::new(), skew_ms: 0 }
    }

    /// Of one fault, which lasts from the beginning until then.
    pub fn with(kind: Kind, of: usize, until_ms: u64, world: &mut World) -> Storm {
        let mut storm = Storm::of(Vec::new(), world, 0);
        storm.begin(kind, of, world);
        storm.active.push((until_ms, kind, of));
        storm
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// When something begins or ends.
    pub fn next_ms(&self) -> Option<u64> {
        let ends = self.active.iter().map(|(at_ms, ..)| *at_ms);
        ends.chain([self.next_ms]).min().filter(|at_ms| *at_ms < u64::MAX)
    }

    pub fn is_over(&self) -> bool {
        self.active.is_empty() && self.next_ms == u64::MAX
    }

    /// Does what is due.
    pub fn go_on(&mut self, world: &mut World) {
        let now_ms = world.now_ms;
        while let Some(at) = self.active.iter().position(|(at_ms, ..)| *at_ms <= now_ms) {
            let (_, kind, of) = self.active.swap_remove(at);
            self.end(kind, of, world);
        }
        if self.next_ms > now_ms {
            return;
        }
        if now_ms >= self.until_ms {
            self.next_ms = u64::MAX;
            return;
        }
        self.next_ms = (now_ms + world.up_to(BETWEEN_MS)).min(self.until_ms);
        let kind = self.kinds[world.rng.random_range(0..self.kinds.len())];
        let of_brokers = matches!(kind, Kind::BrokerStops);
        let count = if of_brokers { world.brokers.len() } else { world.topics.len() };
        let of = world.rng.random_range(0..count);
        if self.active.iter().any(|(_, other, other_of)| (*other, *other_of) == (kind, of)) {
            return;
        }
        let lasts_ms = self.begin(kind, of, world);
        self.active.push((now_ms + lasts_ms, kind, of));
    }

    /// Returns how long it lasts, in milliseconds.
    fn begin(&mut self, kind: Kind, of: usize, world: &mut World) -> u64 {
        let faults = &mut world.faults;
        match kind {
            Kind::Codes => {
                let passing = world.rng.random_bool(0.5);
                let codes = if passing { &CODES[..PASSING] } else { &CODES[..] };
                let count = world.rng.random_range(1..=3);
                faults.codes =
                    (0..count).map(|_| codes[world.rng.random_range(0..codes.len())]).collect();
                faults.code_rate = world.rng.random_range(0.05..0.9);
                return world.up_to(2000);
            }
            Kind::Cuts => faults.cut_rate = world.rng.random_range(0.05..0.7),
            Kind::Late => {
                // Also later than anybody waits.
                let late_ms = [50, 1000, 8000, 40_000];
                faults.late_ms = late_ms[world.rng.random_range(0..late_ms.len())];
                return world.up_to(20_000);
            }
            Kind::BrokerStops => {
                world.brokers[of].is_stopped = true;
                return world.up_to(25_000);
            }
            Kind::LeaderMoves => {
                let broker = world.rng.random_range(0..world.brokers.len());
                for _ in 0..2 {
                    if let Some(partition) = one_of(world, of) {
                        partition.leader = Some(broker);
                    }
                }
                world.changed(of);
            }
            Kind::NoLeader => {
                if let Some(partition) = one_of(world, of) {
                    partition.leader = None;
                }
                world.changed(of);
                return world.up_to(15_000);
            }
            Kind::TopicGrows => {
                let count = world.rng.random_range(1..=3);
                if world.topics[of].exists && world.topics[of].partitions.len() < 8 {
                    lead(world, of, count);
                }
                world.changed(of);
            }
            Kind::TopicMadeAnew => {
                world.topics[of].exists = false;
                world.topics[of].partitions.clear();
                world.changed(of);
                return 500 + world.up_to(10_000);
            }
            Kind::NoRights => {
                world.topics[of].is_ours = false;
                return world.up_to(10_000);
            }
            Kind::LowerLimit => {
                let max_bytes = world.rng.random_range(400..3000);
                world.topics[of].set_max_bytes(max_bytes);
                world.changed(of);
                return world.up_to(15_000);
            }
            Kind::Clock => {
                let hours = 3_600_000;
                let skews_ms = [2 * hours, -2 * hours, 48 * hours, -30_000];
                self.skew_ms = skews_ms[world.rng.random_range(0..skews_ms.len())];
                return world.up_to(20_000);
            }
            Kind::Full => faults.full_rate = world.rng.random_range(0.05..0.9),
            Kind::Standstill => {
                faults.standstill_rate = world.rng.random_range(0.05..0.5);
                return world.up_to(20_000);
            }
            Kind::NoProducer => faults.no_producer = true,
            Kind::Idle => {
                if world.messages.open() == 0 && self.active.is_empty() {
                    let idle_ms = 2 * FORGETS_AFTER.as_millis() as u64;
                    world.go_on(world.now_ms + idle_ms);
                    self.until_ms += idle_ms;
                    self.next_ms += idle_ms;
                    self.active.iter_mut().for_each(|(at_ms, ..)| *at_ms += idle_ms);
                }
            }
        }
        world.up_to(5000)
    }

    fn end(&mut self, kind: Kind, of: usize, world: &mut World) {
        let faults = &mut world.faults;
        match kind {
            Kind::Codes => faults.code_rate = 0.0,
            Kind::Cuts => faults.cut_rate = 0.0,
            Kind::Late => faults.late_ms = 0,
            Kind::BrokerStops => world.resume(of),
            Kind::NoLeader => {
                let brokers = world.brokers.len();
                for at in 0..world.topics[of].partitions.len() {
                    let leader = world.rng.random_range(0..brokers);
                    world.topics[of].partitions[at].leader.get_or_insert(leader);
                }
                world.changed(of);
            }
            Kind::TopicMadeAnew => {
                let count = world.rng.random_range(1..=4);
                world.topics[of].exists = true;
                lead(world, of, count);
                world.changed(of);
            }
            Kind::NoRights => {
                world.topics[of].is_ours = true;
                world.changed(of);
            }
            Kind::LowerLimit => {
                world.topics[of].set_max_bytes(u32::MAX);
                world.changed(of);
            }
            Kind::Clock => self.skew_ms = 0,
            Kind::Full => faults.full_rate = 0.0,
            Kind::Standstill => faults.standstill_rate = 0.0,
            Kind::NoProducer => faults.no_producer = false,
            Kind::LeaderMoves | Kind::TopicGrows | Kind::Idle => {}
        }
    }
}

fn one_of(world: &mut World, topic: usize) -> Option<&mut Partition> {
    let partitions = &mut world.topics[topic].partitions;
    let count = partitions.len();
    partitions.get_mut(if count == 0 { 0 } else { world.rng.random_range(0..count) })
}

/// Gives a topic so many partitions more.
pub fn lead(world: &mut World, topic: usize, count: usize) {
    let brokers = world.brokers.len();
    for _ in 0..count {
        let partition = Partition::led_by(world.rng.random_range(0..brokers));
        world.topics[topic].partitions.push(partition);
    }
}

/// What a topic takes of times, where it is not everything.
pub fn times(world: &mut World) -> Option<TimeLimits> {
    let hour_ms = Duration::from_secs(3600).as_millis() as i64;
    let limits = [
        None,
        // Kafka's defaults.
        Some(TimeLimits { before_max_ms: i64::MAX, after_max_ms: hour_ms }),
        Some(TimeLimits { before_max_ms: 10_000, after_max_ms: hour_ms }),
        Some(TimeLimits { before_max_ms: hour_ms, after_max_ms: 10_000 }),
    ];
    limits[world.rng.random_range(0..limits.len())]
}
