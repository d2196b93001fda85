//! The latest messages of each lane as lines of text, and how to publish one: what a newcomer is shown. They name
//! devices and tell what devices said, so only `landfall dev` keeps them, whose admin port is this machine's own.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

/// Lines of a lane.
const LINES: usize = 5;

/// See the module.
pub struct Latest {
    /// A command that publishes a message.
    publish: String,
    lanes: Mutex<Vec<Lane>>,
}

struct Lane {
    name: String,
    topics: Vec<String>,
    /// From the newest to the oldest.
    lines: VecDeque<String>,
}

/// What is shown of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub publish: String,
    /// Those that have any.
    pub lanes: Vec<ShownLane>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ShownLane {
    pub lane: String,
    /// From the newest to the oldest.
    pub lines: Vec<String>,
}

impl Latest {
    /// For lanes with their Kafka topics, in the order in which they are shown.
    pub fn new(publish: String, lanes: impl IntoIterator<Item = (String, Vec<String>)>) -> Latest {
        let lanes = lanes.into_iter();
        let lanes = lanes.map(|(name, topics)| Lane { name, topics, lines: VecDeque::new() });
        Latest { publish, lanes: Mutex::new(lanes.collect()) }
    }

    /// A record of the topic came.
    pub fn note(&self, topic: &str, line: &str) {
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.iter_mut().find(|lane| lane.topics.iter().any(|own| own == topic))
        else {
            return;
        };
        lane.lines.truncate(LINES - 1);
        lane.lines.push_front(line.to_owned());
    }

    pub fn shown(&self) -> Shown {
        let lanes = self.lanes.lock();
        let lanes = lanes.iter().filter(|lane| !lane.lines.is_empty()).map(|lane| ShownLane {
            lane: lane.name.clone(),
            lines: lane.lines.iter().cloned().collect(),
        });
        Shown { publish: self.publish.clone(), lanes: lanes.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_of_a_lane_are_kept_and_no_more() {
        let lanes = ["fast", "slow", "idle"].map(|lane| {
            (lane.to_owned(), vec![format!("landfall.{lane}"), format!("landfall.{lane}.2")])
        });
        let latest = Latest::new("mosquitto_pub".to_owned(), lanes);
        for number in 1..=LINES + 2 {
            latest.note("landfall.fast", &number.to_string());
        }
        latest.note("landfall.slow.2", "one");
        latest.note("landfall.stranger", "none");
        let shown = latest.shown();
        assert_eq!(shown.publish, "mosquitto_pub");
        let lanes: Vec<(&str, String)> =
            shown.lanes.iter().map(|lane| (&*lane.lane, lane.lines.join(" "))).collect();
        assert_eq!(lanes, [("fast", "7 6 5 4 3".to_owned()), ("slow", "one".to_owned())]);
    }
}
