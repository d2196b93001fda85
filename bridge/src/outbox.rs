//! The way to Kafka of one who is not a lane: records in order within their partition, handed over again until they
//! land or never can.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::lane::carrier::Carrier;
use crate::lane::flight::{Final, Flight, Handing, Ruling};
use crate::record::RecordBuf;
use crate::sink::{Sink, Token};

/// See the module. One thread owns it. A round is [`Outbox::settle`], then [`Outbox::hand_over`]: in between, records
/// can be taken out that are not wanted any more.
pub struct Outbox {
    name: String,
    carrier: Carrier<Token>,
    reasons: Reasons,
}

/// By topic, why its records came back last; until one landed.
#[derive(Default)]
struct Reasons(BTreeMap<String, String>);

/// What became of a record, by its token.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivered {
    Landed(Token),
    /// It is never taken: why.
    Never(Token, String),
    /// The producer lost it: it may be in Kafka.
    Lost(Token),
}

impl Outbox {
    /// `name` is for the log.
    pub fn new(name: &str, sink: Box<dyn Sink>, now: Instant) -> Outbox {
        let carrier = Carrier::new(sink, now);
        Outbox { name: name.to_owned(), carrier, reasons: Reasons::default() }
    }

    /// Takes a record, behind those that came before.
    pub fn push(&mut self, record: RecordBuf, token: Token) {
        self.carrier.flight.push(record, token, None);
    }

    /// Adds what was decided. `wall_ms` is the time of day, since 1970. Returns whether records came back that are to
    /// be handed over again.
    pub fn settle(
        &mut self,
        (now, wall_ms): (Instant, i64),
        delivered: &mut Vec<Delivered>,
    ) -> bool {
        let Outbox { name, carrier, reasons } = self;
        let mut came_back = false;
        let mut each = |flight: &Flight<Token>, token, ruling: Ruling<Token>| {
            came_back |= matches!(ruling, Ruling::Held(_));
            delivered.extend(reasons.rule(flight.topic_of(token), ruling));
        };
        carrier.settle((now, wall_ms), &mut each);
        if carrier.needs_reset() {
            let undecided = carrier.flight.open();
            tracing::warn!(
                name,
                undecided,
                "the producer is started anew; what it had not confirmed is written again"
            );
            let lost = carrier.reset((now, wall_ms), &mut each);
            delivered.extend(lost.into_iter().map(Delivered::Lost));
        }
        came_back
    }

    /// Hands over what may go, and adds what the sink refuses for ever.
    pub fn hand_over(&mut self, now: (Instant, i64), delivered: &mut Vec<Delivered>) {
        let give = |sink: &mut dyn Sink, Handing { record, partition, token, .. }| {
            sink.append(record, partition, token)
        };
        let Outbox { carrier, reasons, .. } = self;
        carrier.hand_over(now, give, |flight, token, ruling| {
            delivered.extend(reasons.rule(flight.topic_of(token), ruling));
        });
    }

    /// Lets go of the records that the sink does not have and that are not wanted any more; returns their tokens.
    pub fn retain(&mut self, mut wanted: impl FnMut(Token) -> bool) -> Vec<Token> {
        self.carrier.flight.retain(|token| wanted(*token))
    }

    /// Why those of the records wait that are meant: it tells of the first.
    pub fn reason(&mut self, is_meant: impl Fn(Token) -> bool) -> String {
        let Some(topic) = self.carrier.flight.topic_where(|token| is_meant(*token)) else {
            return "what was written of it is not decided yet".to_owned();
        };
        if self.carrier.sink.partitions(topic).is_none() {
            return format!("topic {topic} is not there, or not for us");
        }
        let reason = self.reasons.0.get(topic).cloned();
        reason.unwrap_or_else(|| format!("Kafka does not answer for topic {topic}"))
    }
}

impl Reasons {
    /// What became of a record by a ruling; None where it waits, for which the reason is kept.
    fn rule(&mut self, topic: &str, ruling: Ruling<Token>) -> Option<Delivered> {
        match ruling {
            Ruling::Landed(companion) => {
                self.0.remove(topic);
                Some(Delivered::Landed(companion))
            }
            Ruling::Held(reason) => {
                self.0.insert(topic.to_owned(), reason.into());
                None
            }
            Ruling::Final { companion, record, why } => {
                let reason = match why {
                    Final::TooLarge => {
                        let bytes = record.as_record().len();
                        format!("Kafka takes no record of {bytes} bytes there")
                    }
                    Final::Refused(reason) => reason.into(),
                };
                Some(Delivered::Never(companion, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::sink::memory::{Fate, MemoryStore};

    const PATIENCE: Duration = Duration::from_secs(30);

    fn outbox(store: &Arc<MemoryStore>) -> Outbox {
        let mut outbox = Outbox::new("test", store.sink(std::thread::current()), Instant::now());
        for token in 0..6 {
            push(&mut outbox, token);
        }
        outbox
    }

    fn push(outbox: &mut Outbox, token: Token) {
        let mut record = RecordBuf::default();
        record.begin("out", 0);
        record.value(|out| out.extend_from_slice(token.to_string().repeat(5).as_bytes()));
        outbox.push(record, token);
    }

    /// Rounds until so many are delivered.
    fn rounds(outbox: &mut Outbox, count: usize) -> Vec<Delivered> {
        let (begun, mut delivered) = (Instant::now(), Vec::new());
        while delivered.len() < count {
            assert!(begun.elapsed() < PATIENCE, "{delivered:?}");
            let now = (Instant::now(), 0);
            outbox.settle(now, &mut delivered);
            outbox.hand_over(now, &mut delivered);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        delivered
    }

    fn stored(store: &MemoryStore) -> Vec<String> {
        let value = |record: &RecordBuf| record.as_record().value()[..1].to_vec();
        let values = store.stored().iter().map(value).collect::<Vec<_>>();
        values.into_iter().map(|value| String::from_utf8(value).expect("it is text")).collect()
    }

    #[test]
    fn the_one_that_is_never_taken_is_named_and_all_others_land_in_order() {
        let store = MemoryStore::new();
        store.set_breaks_when_too_large();
        store.set_value_max(5);
        let mut outbox = outbox(&store);
        push(&mut outbox, 10);
        push(&mut outbox, 6);
        let mut delivered = rounds(&mut outbox, 8);
        delivered.retain(|one| !matches!(one, Delivered::Landed(_)));
        assert!(matches!(&delivered[..], [Delivered::Never(10, _)]), "{delivered:?}");
        assert_eq!(stored(&store), ["0", "1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn what_the_producer_lost_is_told_and_what_it_gave_back_is_written_again() {
        let store = MemoryStore::new();
        store.tell_fates([Fate::Store, Fate::Store, Fate::Forget, Fate::Store, Fate::Break]);
        let mut outbox = outbox(&store);
        let delivered = rounds(&mut outbox, 6);
        let lost: Vec<_> =
            delivered.iter().filter(|one| !matches!(one, Delivered::Landed(_))).collect();
        assert_eq!(lost, [&Delivered::Lost(2)]);
        assert_eq!(stored(&store), ["0", "1", "3", "4", "5"]);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_not_written_and_nothing_is_held_by_it() {
        let store = MemoryStore::new();
        store.tell_fates([Fate::Lose]);
        let mut outbox = outbox(&store);
        let (begun, mut delivered) = (Instant::now(), Vec::new());
        // The first comes back, and is not wanted either.
        while !outbox.settle((Instant::now(), 0), &mut delivered) {
            assert!(begun.elapsed() < PATIENCE);
            outbox.hand_over((Instant::now(), 0), &mut delivered);
        }
        assert_eq!(outbox.reason(|token| token == 0), "lost");
        assert_eq!(outbox.retain(|token| token > 1), [0, 1]);
        assert_eq!(outbox.reason(|token| token < 2), "what was written of it is not decided yet");
        rounds(&mut outbox, 4);
        assert_eq!(stored(&store), ["2", "3", "4", "5"]);
    }

    #[test]
    fn it_says_why_records_wait_until_one_lands() {
        let store = MemoryStore::new();
        store.set_missing("out", true);
        let mut outbox = outbox(&store);
        outbox.hand_over((Instant::now(), 0), &mut Vec::new());
        let reason = outbox.reason(|token| token == 5);
        assert_eq!(reason, "partition 0 of topic out is not there, or not for us");
        store.set_missing("out", false);
        rounds(&mut outbox, 6);
        store.set_answering(false);
        push(&mut outbox, 7);
        outbox.hand_over((Instant::now(), 0), &mut Vec::new());
        assert_eq!(outbox.reason(|token| token == 7), "Kafka does not answer for topic out");
    }
}
