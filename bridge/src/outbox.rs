//! The way to Kafka of one who is not a lane: records in order within their partition, handed over again until they
//! land or never can.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use crate::lane::flight::{Final, Flight, Handing, Ruling};
use crate::record::RecordBuf;
use crate::sink::{AppendError, Decided, NotTaken, Sink, Token};

/// See the module. One thread owns it. A round is [`Outbox::settle`], then [`Outbox::hand_over`]: in between, records
/// can be taken out that are not wanted any more.
pub struct Outbox {
    name: String,
    sink: Box<dyn Sink>,
    flight: Flight<Token>,
    decided: Vec<Decided>,
    rulings: Vec<Ruling<Token>>,
    /// By topic, why its records came back last; until one landed.
    reasons: BTreeMap<String, String>,
}

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
        Outbox {
            name: name.to_owned(),
            sink,
            flight: Flight::new(now),
            decided: Vec::new(),
            rulings: Vec::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Takes a record, behind those that came before.
    pub fn push(&mut self, record: RecordBuf, token: Token) {
        self.flight.push(record, token, None);
    }

    /// Adds what was decided. `wall_ms` is the time of day, since 1970. Returns whether records came back that are to
    /// be handed over again.
    pub fn settle(
        &mut self,
        (now, wall_ms): (Instant, i64),
        delivered: &mut Vec<Delivered>,
    ) -> bool {
        let mut came_back = self.take_decided((now, wall_ms), delivered);
        if self.sink.is_broken() || self.flight.wants_reset() {
            let (name, undecided) = (&*self.name, self.flight.open());
            tracing::warn!(
                name,
                undecided,
                "the producer is started anew; what it had not confirmed is written again"
            );
            self.flight.begin_reset();
            self.sink.reset();
            came_back |= self.take_decided((now, wall_ms), delivered);
            delivered.extend(self.flight.end_reset(now).into_iter().map(Delivered::Lost));
        }
        came_back
    }

    fn take_decided(&mut self, now: (Instant, i64), delivered: &mut Vec<Delivered>) -> bool {
        let mut decided = std::mem::take(&mut self.decided);
        self.sink.poll(&mut decided);
        let mut came_back = false;
        for Decided { token, verdict } in decided.drain(..) {
            match self.flight.decide(token, verdict, now) {
                Some(Ruling::Landed(companion)) => {
                    if !self.reasons.is_empty() {
                        self.reasons.remove(self.flight.topic_of(token));
                    }
                    delivered.push(Delivered::Landed(companion));
                }
                Some(Ruling::Held(reason)) => {
                    came_back = true;
                    let topic = self.flight.topic_of(token).to_owned();
                    self.reasons.insert(topic, reason.into());
                }
                Some(Ruling::Final { companion, record, why }) => {
                    delivered.push(never(companion, &record, why));
                }
                None => tracing::error!(token, "the sink decided a record that it did not have"),
            }
        }
        self.decided = decided;
        came_back
    }

    /// Hands over what may go, and adds what the sink refuses for ever.
    pub fn hand_over(&mut self, now: (Instant, i64), delivered: &mut Vec<Delivered>) {
        let Outbox { sink, flight, rulings, .. } = self;
        flight.ask_partitions(|topic| sink.partitions(topic), now.0);
        let sink = RefCell::new(sink);
        let limits = |topic: &str| sink.borrow_mut().limits(topic);
        // The topics of those that flight says are held.
        let mut held = Vec::new();
        let give = |handing: Handing| {
            let given = sink.borrow_mut().append(handing.record, handing.partition, handing.token);
            if let Err(NotTaken { record, error: AppendError::Away | AppendError::NoTopic }) =
                &given
            {
                held.push(record.as_record().topic().to_owned());
            }
            given
        };
        flight.hand_over(now, limits, give, rulings);
        let mut held = held.into_iter();
        for ruling in self.rulings.drain(..) {
            match ruling {
                Ruling::Held(reason) => {
                    self.reasons.extend(held.next().map(|topic| (topic, reason.into())));
                }
                Ruling::Final { companion, record, why } => {
                    delivered.push(never(companion, &record, why));
                }
                Ruling::Landed(companion) => delivered.push(Delivered::Landed(companion)),
            }
        }
    }

    /// Lets go of the records that the sink does not have and that are not wanted any more; returns their tokens.
    pub fn retain(&mut self, mut wanted: impl FnMut(Token) -> bool) -> Vec<Token> {
        self.flight.retain(|token| wanted(*token))
    }

    /// Why those of the records wait that are meant: it tells of the first.
    pub fn reason(&mut self, is_meant: impl Fn(Token) -> bool) -> String {
        let Some(topic) = self.flight.topic_where(|token| is_meant(*token)) else {
            return "what was written of it is not decided yet".to_owned();
        };
        if self.sink.partitions(topic).is_none() {
            return format!("topic {topic} is not there, or not for us");
        }
        let reason = self.reasons.get(topic).cloned();
        reason.unwrap_or_else(|| format!("Kafka does not answer for topic {topic}"))
    }
}

fn never(token: Token, record: &RecordBuf, why: Final) -> Delivered {
    let reason = match why {
        Final::TooLarge => {
            let bytes = record.as_record().len();
            format!("Kafka takes no record of {bytes} bytes there")
        }
        Final::Refused(reason) => reason.into(),
    };
    Delivered::Never(token, reason)
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
