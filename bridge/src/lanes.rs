//! The lanes: by which number each is known, one value for each of them, and what each is planned to be.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use crate::format::Format;
use crate::kafka_topic::TopicName;
use crate::key::KeyStrategy;

/// A lane, by its place among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u8);

impl LaneId {
    pub const PRIORITY: LaneId = LaneId(0);
    pub const FAST: LaneId = LaneId(1);
    pub const SLOW: LaneId = LaneId(2);
    pub const DEAD_LETTER: LaneId = LaneId(3);

    /// Its place, below [`LANES_MAX`].
    pub const fn place(self) -> u8 {
        self.0
    }
}

/// Names of the lanes that are always there, in the order of their places.
pub const BUILT_IN: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// Most lanes in all.
pub const LANES_MAX: usize = 28;

/// One value for each lane: the built-in ones first, in their order, then those that are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes<T>(Box<[T]>);

impl<T> Lanes<T> {
    /// A value for each built-in lane, of its place and its name.
    pub fn built_in(mut value: impl FnMut(LaneId, &'static str) -> T) -> Lanes<T> {
        let lanes = BUILT_IN.into_iter().enumerate();
        lanes.map(|(place, name)| value(LaneId(place as u8), name)).collect()
    }

    /// Another value for each of the lanes.
    pub fn map<U>(&self, mut value: impl FnMut(LaneId, &T) -> U) -> Lanes<U> {
        Lanes(self.iter().map(|(lane, known)| value(lane, known)).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (LaneId, &T)> {
        self.0.iter().enumerate().map(|(place, value)| (LaneId(place as u8), value))
    }

    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many lanes there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Panics where there are fewer values than built-in lanes, or more than [`LANES_MAX`].
impl<T> FromIterator<T> for Lanes<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Lanes<T> {
        let lanes: Box<[T]> = values.into_iter().collect();
        assert!(lanes.len() >= BUILT_IN.len(), "the built-in lanes are always there");
        assert!(lanes.len() <= LANES_MAX, "the configuration was checked");
        Lanes(lanes)
    }
}

impl<T> Index<LaneId> for Lanes<T> {
    type Output = T;

    fn index(&self, lane: LaneId) -> &T {
        &self.0[usize::from(lane.0)]
    }
}

impl<T> IndexMut<LaneId> for Lanes<T> {
    fn index_mut(&mut self, lane: LaneId) -> &mut T {
        &mut self.0[usize::from(lane.0)]
    }
}

/// What one lane is to be, as it was configured.
#[derive(Clone)]
pub struct LanePlan {
    pub name: String,
    /// The Kafka topic of each of its records; the dead-letter lane has a fixed one.
    pub topic: TopicName,
    pub key: KeyStrategy,
    /// Of its records; the dead-letter lane's is the envelope.
    pub format: Format,
    /// Largest payload that travels in its record, in bytes.
    pub inline_size: u32,
    /// How long messages are gathered; zero hands each over at once.
    pub gather: Duration,
    /// librdkafka's properties for this lane; they may hold secrets: never print them.
    pub properties: BTreeMap<String, String>,
    /// Share of the memory budget for inline messages, in bytes.
    pub inline_memory: u64,
    /// Share of the memory budget for parts of large messages, in bytes.
    pub large_memory: u64,
}

impl fmt::Debug for LanePlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LanePlan")
            .field("name", &self.name)
            .field("topic", &self.topic)
            .field("key", &self.key)
            .field("inline_size", &self.inline_size)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_a_value_under_its_own_number() {
        let added: Lanes<&str> = BUILT_IN.into_iter().chain(["own"]).collect();
        assert_eq!(added[LaneId::PRIORITY], "priority");
        assert_eq!(added[LaneId::DEAD_LETTER], "dead-letter");
        assert_eq!(added.count(), 5);
        let places = added.map(|lane, name| (lane, name.len()));
        for (lane, &(same, length)) in places.iter() {
            assert_eq!((lane, added[lane].len()), (same, length));
        }
        assert_eq!(Lanes::built_in(|_, name| name), BUILT_IN.into_iter().collect());
    }

    #[test]
    #[should_panic(expected = "the built-in lanes are always there")]
    fn no_lane_is_forgotten() {
        let _: Lanes<&str> = BUILT_IN.into_iter().skip(1).collect();
    }

    #[test]
    fn a_plan_in_a_log_tells_no_secret() {
        let plan = LanePlan {
            name: "fast".to_owned(),
            topic: TopicName::Fixed("a".to_owned()),
            key: KeyStrategy::DeviceId,
            format: Format::Envelope,
            inline_size: 1,
            gather: Duration::ZERO,
            properties: BTreeMap::from([("sasl.password".to_owned(), "hidden".to_owned())]),
            inline_memory: 1,
            large_memory: 1,
        };
        let shown = format!("{plan:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hidden"), "{shown}");
    }
}
