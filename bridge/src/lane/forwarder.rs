//! What a lane does with its records, round by round: flight says what may go, the sink takes it and says what became
//! of it, and whoever waits for it is told. Time is an argument, so that a test can be the clock.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Lane;
use super::ack::{Acks, Pending};
use super::flight::{Final, Flight, Handing, Ruling};
use crate::outcome::Fault;
use crate::record::Record;
use crate::sink::{Decided, NotTaken, Sink};

/// Between two looks for the oldest message and for partitions that are away, at least; and a look takes at most one
/// in so many parts of the thread's time, however many partitions there are.
pub(super) const LOOK: Duration = Duration::from_millis(500);
const LOOK_PART: u32 = 200;

/// A clock that is set back by less is let be, in milliseconds.
const CLOCK_STEP_MS: i64 = 1000;

/// See the module.
pub(super) struct Forwarder<'l> {
    lane: &'l Lane,
    sink: Box<dyn Sink>,
    flight: Flight<Pending>,
    acks: Acks,
    decided: Vec<Decided>,
    rulings: Vec<Ruling<Pending>>,
    look_at: Instant,
    /// What the time of day was when this one was.
    clock: (Instant, i64),
}

impl<'l> Forwarder<'l> {
    pub fn new(lane: &'l Lane, sink: Box<dyn Sink>, now: Instant) -> Forwarder<'l> {
        Forwarder {
            lane,
            sink,
            flight: Flight::new(now),
            acks: Acks::new(lane.landing_latency.clone()),
            decided: Vec::new(),
            rulings: Vec::new(),
            look_at: now,
            clock: (now, i64::MIN),
        }
    }

    /// Takes a record, behind those that came before.
    pub fn take(&mut self, record: Record<'_>, pending: Pending) {
        self.flight.push(record.to_owned(), pending, None);
    }

    /// Takes what the sink has decided, and hands over what may go now. `wall_ms` is the time of day, since 1970.
    pub fn round(&mut self, now: Instant, wall_ms: i64) {
        self.settle((now, wall_ms), false);
        let went_back = self.clock_went_back(now, wall_ms);
        if self.sink.is_broken() || self.flight.wants_reset() || went_back {
            self.reset((now, wall_ms));
        }
        let Forwarder { sink, flight, .. } = self;
        flight.ask_partitions(|topic| sink.partitions(topic), now);
        self.hand_over(now, wall_ms);
        // Whoever is owed an answer is woken before this thread sleeps.
        self.acks.flush();
        self.leave_marks(now);
    }

    /// Whether the time of day was set back since the last round. librdkafka's threads sleep until times of day: they
    /// would sleep for as long as it was set back.
    fn clock_went_back(&mut self, now: Instant, wall_ms: i64) -> bool {
        let (at, known_ms) = std::mem::replace(&mut self.clock, (now, wall_ms));
        let passed_ms = now.saturating_duration_since(at).as_millis() as i64;
        let went_back = wall_ms < known_ms.saturating_add(passed_ms).saturating_sub(CLOCK_STEP_MS);
        if went_back {
            tracing::warn!(lane = &*self.lane.account.name, "the clock was set back");
        }
        went_back
    }

    /// Another round is due, whoever wakes the thread.
    pub fn next_round(&self, now: Instant) -> Option<Instant> {
        let is_due = self.flight.is_ready() || self.flight.wants_reset();
        if is_due { Some(now) } else { self.flight.next_moment() }
    }

    fn hand_over(&mut self, now: Instant, wall_ms: i64) {
        let Forwarder { lane, sink, flight, rulings, .. } = self;
        let sink = std::cell::RefCell::new(sink);
        let limits = |topic: &str| sink.borrow_mut().limits(topic);
        let give = |Handing { record, partition, token, again }| {
            let id = again.then(|| lane.format.message_id(record.as_record()));
            let given = sink.borrow_mut().append(record, partition, token);
            // As a dead letter it goes to Kafka again, too.
            if let Some(id) = id
                && given.as_ref().err().is_none_or(NotTaken::is_final)
            {
                lane.note_repeat(id);
            }
            given
        };
        flight.hand_over((now, wall_ms), limits, give, rulings);
        let mut rulings = std::mem::take(&mut self.rulings);
        let held = rulings.drain(..).filter_map(|ruling| self.rule(ruling, now)).last();
        self.rulings = rulings;
        if let Some(reason) = held
            && self.lane.status.reason().is_none()
        {
            // What Kafka said says more than that a partition is not there.
            self.lane.status.set_reason(Some(reason.into()));
        }
    }

    /// Passes the sink's verdicts on.
    fn settle(&mut self, (now, wall_ms): (Instant, i64), is_reset: bool) {
        let mut decided = std::mem::take(&mut self.decided);
        self.sink.poll(&mut decided);
        let mut landed = false;
        let mut given_back = None;
        for Decided { token, verdict } in decided.drain(..) {
            match self.flight.decide(token, verdict, (now, wall_ms)) {
                Some(ruling @ Ruling::Landed(_)) => {
                    landed = true;
                    self.rule(ruling, now);
                }
                Some(ruling) => given_back = self.rule(ruling, now).or(given_back),
                None => tracing::error!(token, "the sink decided a record that it did not have"),
            }
        }
        self.decided = decided;
        self.acks.flush();
        if landed {
            self.lane.status.landed(now);
        }
        if landed != given_back.is_some() && !is_reset {
            // A reset gives everything back and says nothing of Kafka.
            let clocks = self.flight.clocks_differ().map(clocks_differ);
            self.lane.status.set_reason(given_back.map(|reason| clocks.unwrap_or(reason.into())));
        }
    }

    /// Does what a ruling says; returns why the record is held, where it is.
    fn rule(&mut self, ruling: Ruling<Pending>, now: Instant) -> Option<Cow<'static, str>> {
        match ruling {
            Ruling::Landed(pending) => self.acks.landed(pending, now),
            Ruling::Held(reason) => {
                tracing::debug!(lane = &*self.lane.account.name, %reason, "a record is tried again");
                return Some(reason);
            }
            Ruling::Final { companion, record, why } => {
                let (fault, reason) = match why {
                    Final::TooLarge => (Fault::Size, "too large for Kafka".into()),
                    Final::Refused(reason) => (Fault::Record, reason),
                };
                self.lane.dead_letter(record.as_record(), companion, fault, &reason);
            }
        }
        None
    }

    /// Starts the sink anew; what it had lines up again in its order.
    fn reset(&mut self, (now, wall_ms): (Instant, i64)) {
        let lane = &*self.lane.account.name;
        match self.flight.open() {
            // Why it is broken was told by the sink, in its own measure.
            0 => tracing::debug!(lane, "the producer is started anew"),
            undecided => tracing::warn!(
                lane,
                undecided,
                "the producer is started anew; what it had not confirmed is sent again"
            ),
        }
        self.lane.status.resets.fetch_add(1, Ordering::Relaxed);
        self.flight.begin_reset();
        self.sink.reset();
        self.settle((now, wall_ms), true);
        // A sink that was reset decides nothing of before any more: the devices send it again.
        let forgotten = self.flight.end_reset(now);
        if !forgotten.is_empty() {
            let forgotten = forgotten.len();
            tracing::error!(
                lane,
                forgotten,
                "records are lost in the producer; their devices send them again"
            );
        }
        forgotten.into_iter().for_each(|pending| self.acks.failed(pending));
    }

    fn leave_marks(&mut self, now: Instant) {
        let in_flight = self.flight.open() + self.flight.waiting();
        let held = if self.flight.waiting() == 0 { 0 } else { self.flight.held() };
        self.lane.status.round(now, in_flight, held);
        if now < self.look_at {
            return;
        }
        let began = Instant::now();
        let oldest = self.flight.oldest().map(|pending| pending.submitted).min();
        let away: Vec<_> = self.flight.away(now).collect();
        self.lane.status.looked(now, oldest, away);
        self.look_at = now + LOOK.max(began.elapsed() * LOOK_PART);
    }
}

fn clocks_differ(topic: &str) -> String {
    format!(
        "the clocks of this gateway and of Kafka differ: Kafka refuses the time of now for topic {topic}"
    )
}
