//! Whether what the lanes have lands; where it does not, since when and why, for whoever looks and in the log.

use std::time::Duration;

use bridge::kafka::KafkaStatus;
use bridge::lane::Lane;
use bridge::lane::flight::Away;

/// How long nothing has landed before the log is told.
const LOGGED_AFTER: Duration = Duration::from_secs(15);
/// Between two looks.
pub const LOOK: Duration = Duration::from_secs(1);
/// What says why may have come so long before the standstill began.
const AHEAD: Duration = Duration::from_secs(2);
/// Of partitions that take nothing, so many are named.
const NAMED: usize = 5;

/// A lane of which nothing lands although it has messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    pub since: Duration,
    /// As far as it is known; empty where nothing is.
    pub why: String,
}

impl Standstill {
    pub fn of(lane: &Lane, kafka: &KafkaStatus) -> Option<Standstill> {
        let since = lane.stalled_for()?;
        let reasons = [
            lane.last_reason(),
            kafka.reason_within(since + AHEAD),
            without_leader(&kafka.without_leader()),
        ];
        Some(Standstill { since, why: together(reasons) })
    }
}

/// The reasons, each once: what one of them says already, another need not say again.
fn together(reasons: impl IntoIterator<Item = Option<String>>) -> String {
    let mut told: Vec<String> = Vec::new();
    for reason in reasons.into_iter().flatten() {
        if !told.iter().any(|before| before.contains(&reason)) {
            told.retain(|before| !reason.contains(before.as_str()));
            told.push(reason);
        }
    }
    told.join("; ")
}

fn without_leader(partitions: &[(String, u32)]) -> Option<String> {
    let named = named(partitions.iter().map(|(topic, number)| (&**topic, *number)))?;
    Some(format!("partitions have no leader: {named}"))
}

/// Which partitions of a lane take nothing, while others may, and for how long.
pub fn away(lane: &str, partitions: &[Away]) -> Option<String> {
    let named = named(partitions.iter().map(|away| (&*away.topic, away.partition)))?;
    let longest = partitions.iter().map(|away| away.since).max()?.as_secs();
    let count = partitions.len();
    Some(format!(
        "lane {lane}: nothing landed in {count} of its partitions for up to {longest} s although there are messages \
         for them: {named}"
    ))
}

fn named<'p>(mut partitions: impl Iterator<Item = (&'p str, u32)>) -> Option<String> {
    let named = partitions.by_ref().take(NAMED).map(|(topic, number)| format!("{topic}/{number}"));
    let named: Vec<String> = named.collect();
    let more = if partitions.next().is_some() { ", …" } else { "" };
    (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}

/// Tells the log of a lane's standstill, once, and of its end.
#[derive(Default)]
pub struct Teller {
    is_told: bool,
}

impl Teller {
    pub fn look(&mut self, lane: &str, standstill: Option<&Standstill>) {
        match standstill {
            Some(Standstill { since, why }) if *since >= LOGGED_AFTER && !self.is_told => {
                self.is_told = true;
                let seconds = since.as_secs();
                tracing::warn!(lane, seconds, why, "nothing lands although there are messages");
            }
            None if self.is_told => {
                self.is_told = false;
                tracing::info!(lane, "messages land again");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(together([None, None, None]), "");
        assert_eq!(together([some("a"), None, some("a")]), "a");
        assert_eq!(
            together([some("no replicas"), some("Broker: no replicas"), some("b")]),
            "Broker: no replicas; b"
        );
        assert_eq!(
            together([some("Broker: no replicas"), some("no replicas")]),
            "Broker: no replicas"
        );
    }

    #[test]
    fn some_partitions_without_a_leader_are_named() {
        let partitions =
            |count| (0..count).map(|number| ("t".to_owned(), number)).collect::<Vec<_>>();
        assert_eq!(without_leader(&[]), None);
        let few = without_leader(&partitions(2));
        assert_eq!(few.as_deref(), Some("partitions have no leader: t/0, t/1"));
        assert!(without_leader(&partitions(9)).is_some_and(|text| text.ends_with("t/4, …")));
    }

    #[test]
    fn partitions_that_are_away_are_named_with_the_longest_time() {
        let away = |partition, seconds| Away {
            topic: "t".to_owned(),
            partition,
            since: Duration::from_secs(seconds),
        };
        assert_eq!(super::away("fast", &[]), None);
        let text = super::away("fast", &[away(3, 6), away(7, 12)]).expect("two are away");
        assert!(
            text.starts_with("lane fast: nothing landed in 2 of its partitions for up to 12 s")
        );
        assert!(text.ends_with(": t/3, t/7"), "{text}");
    }

    #[test]
    fn the_log_is_told_once_of_each_standstill() {
        let mut teller = Teller::default();
        let standstill =
            |seconds| Standstill { since: Duration::from_secs(seconds), why: String::new() };
        for (seconds, is_told) in [(5, false), (14, false), (15, true), (16, true)] {
            teller.look("fast", Some(&standstill(seconds)));
            assert_eq!(teller.is_told, is_told, "{seconds}");
        }
        teller.look("fast", None);
        assert!(!teller.is_told);
    }
}
