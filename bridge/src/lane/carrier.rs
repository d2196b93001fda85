//! Flight and the sink that it hands over to: what a lane does as well as who is no lane (`outbox.rs`).

use std::cell::RefCell;
use std::time::Instant;

use super::flight::{Flight, Handing, Ruling};
use crate::sink::{Decided, NotTaken, Sink, Token};

/// See the module. Moments are the clock's and the time of day's, in milliseconds since 1970.
pub(crate) struct Carrier<C> {
    pub sink: Box<dyn Sink>,
    pub flight: Flight<C>,
    decided: Vec<Decided>,
    rulings: Vec<(Token, Ruling<C>)>,
}

impl<C> Carrier<C> {
    pub fn new(sink: Box<dyn Sink>, now: Instant) -> Carrier<C> {
        Carrier { sink, flight: Flight::new(now), decided: Vec::new(), rulings: Vec::new() }
    }

    /// Takes what the sink has decided, and tells what that means for each.
    pub fn settle(
        &mut self,
        now: (Instant, i64),
        mut each: impl FnMut(&Flight<C>, Token, Ruling<C>),
    ) {
        let Carrier { sink, flight, decided, .. } = self;
        sink.poll(decided);
        for Decided { token, verdict } in decided.drain(..) {
            match flight.decide(token, verdict, now) {
                Some(ruling) => each(flight, token, ruling),
                None => tracing::error!(token, "the sink decided a record that it did not have"),
            }
        }
    }

    pub fn needs_reset(&self) -> bool {
        self.sink.is_broken() || self.flight.wants_reset()
    }

    /// Starts the sink anew; what it had lines up again in its order. Returns what it neither decided nor gave back: of
    /// that it decides nothing any more.
    pub fn reset(
        &mut self,
        now: (Instant, i64),
        each: impl FnMut(&Flight<C>, Token, Ruling<C>),
    ) -> Vec<C> {
        self.flight.begin_reset();
        self.sink.reset();
        self.settle(now, each);
        self.flight.end_reset(now.0)
    }

    /// Hands over what may go, by `give`, and tells what is held or final for that.
    pub fn hand_over(
        &mut self,
        now: (Instant, i64),
        mut give: impl FnMut(&mut dyn Sink, Handing) -> Result<(), NotTaken>,
        mut each: impl FnMut(&Flight<C>, Token, Ruling<C>),
    ) {
        let Carrier { sink, flight, rulings, .. } = self;
        flight.ask_partitions(|topic| sink.partitions(topic), now.0);
        let sink = RefCell::new(sink);
        let limits = |topic: &str| sink.borrow_mut().limits(topic);
        flight.hand_over(now, limits, |handing| give(&mut ***sink.borrow_mut(), handing), rulings);
        rulings.drain(..).for_each(|(token, ruling)| each(flight, token, ruling));
    }
}
