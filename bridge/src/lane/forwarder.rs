//! What a lane does with its records, round by round: flight says what may go, the sink takes it and says what became
//! of it, and whoever waits for it is told. Time is an argument, so that a test can be the clock.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Lane;
use super::ack::{Acks, Pending};
use super::carrier::Carrier;
use super::flight::{Final, Handing, Ruling};
use crate::outcome::Fault;
use crate::record::Record;
use crate::sink::{NotTaken, Sink};

/// Between two looks for the oldest message, at least; and a look takes at most one in so many parts of the thread's
/// time, however many partitions there are.
pub(super) const LOOK: Duration = Duration::from_millis(500);
const LOOK_PART: u32 = 200;

/// See the module.
pub(super) struct Forwarder<'l> {
    carrier: Carrier<Pending>,
    told: Told<'l>,
    look_at: Instant,
}

/// Those who are told what became of a record.
struct Told<'l> {
    lane: &'l Lane,
    acks: Acks,
}

impl<'l> Forwarder<'l> {
    pub fn new(lane: &'l Lane, sink: Box<dyn Sink>, now: Instant) -> Forwarder<'l> {
        let acks = Acks::new(lane.landing_latency.clone());
        Forwarder { carrier: Carrier::new(sink, now), told: Told { lane, acks }, look_at: now }
    }

    /// Takes a record, behind those that came before.
    pub fn take(&mut self, record: Record<'_>, pending: Pending) {
        self.carrier.flight.push(record.to_owned(), pending, None);
    }

    /// Takes what the sink has decided, and hands over what may go now. `wall_ms` is the time of day, since 1970.
    pub fn round(&mut self, now: Instant, wall_ms: i64) {
        self.settle((now, wall_ms));
        if self.carrier.needs_reset() {
            self.reset((now, wall_ms));
        }
        self.hand_over((now, wall_ms));
        // Whoever is owed an answer is woken before this thread sleeps.
        self.told.acks.flush();
        self.leave_marks(now);
    }

    /// Another round is due, whoever wakes the thread.
    pub fn next_round(&self, now: Instant) -> Option<Instant> {
        let flight = &self.carrier.flight;
        let is_due = flight.is_ready() || flight.wants_reset();
        if is_due { Some(now) } else { flight.next_moment() }
    }

    fn hand_over(&mut self, now: (Instant, i64)) {
        let Forwarder { carrier, told, .. } = self;
        let lane = told.lane;
        let give = |sink: &mut dyn Sink, Handing { record, partition, token, again }| {
            let id = again.then(|| lane.format.message_id(record.as_record()));
            let given = sink.append(record, partition, token);
            // As a dead letter it goes to Kafka again, too.
            if let Some(id) = id
                && given.as_ref().err().is_none_or(NotTaken::is_final)
            {
                lane.note_repeat(id);
            }
            given
        };
        let mut held = None;
        carrier
            .hand_over(now, give, |_, _, ruling| held = told.rule(ruling, now.0).or(held.take()));
        if let Some(reason) = held
            && lane.status.reason().is_none()
        {
            // What Kafka said says more than that a partition is not there.
            lane.status.set_reason(Some(reason.into()));
        }
    }

    /// Passes the sink's verdicts on.
    fn settle(&mut self, now: (Instant, i64)) {
        let Forwarder { carrier, told, .. } = self;
        let (mut landed, mut given_back) = (false, None);
        carrier.settle(now, |_, _, ruling| {
            landed |= matches!(ruling, Ruling::Landed(_));
            given_back = told.rule(ruling, now.0).or(given_back.take());
        });
        told.acks.flush();
        if landed {
            told.lane.status.landed(now.0);
        }
        if landed != given_back.is_some() {
            let clocks = carrier.flight.clocks_differ().map(clocks_differ);
            told.lane.status.set_reason(given_back.map(|reason| clocks.unwrap_or(reason.into())));
        }
    }

    /// Starts the sink anew. It gives everything back, which says nothing of Kafka.
    fn reset(&mut self, now: (Instant, i64)) {
        let Forwarder { carrier, told, .. } = self;
        let lane = &*told.lane.account.name;
        match carrier.flight.open() {
            // Why it is broken was told by the sink, in its own measure.
            0 => tracing::debug!(lane, "the producer is started anew"),
            undecided => tracing::warn!(
                lane,
                undecided,
                "the producer is started anew; what it had not confirmed is sent again"
            ),
        }
        told.lane.status.resets.fetch_add(1, Ordering::Relaxed);
        let mut landed = false;
        let forgotten = carrier.reset(now, |_, _, ruling| {
            landed |= matches!(ruling, Ruling::Landed(_));
            told.rule(ruling, now.0);
        });
        if landed {
            told.lane.status.landed(now.0);
        }
        if !forgotten.is_empty() {
            let forgotten = forgotten.len();
            tracing::error!(
                lane,
                forgotten,
                "records are lost in the producer; their devices send them again"
            );
        }
        forgotten.into_iter().for_each(|pending| told.acks.failed(pending));
        told.acks.flush();
    }

    fn leave_marks(&mut self, now: Instant) {
        let (flight, status) = (&self.carrier.flight, &self.told.lane.status);
        let held = if flight.waiting() == 0 { 0 } else { flight.held() };
        status.round(now, flight.open() + flight.waiting(), held);
        if now < self.look_at {
            return;
        }
        let began = Instant::now();
        let oldest = flight.oldest().map(|pending| pending.submitted).min();
        status.looked(now, oldest, flight.away(now).collect());
        self.look_at = now + LOOK.max(began.elapsed() * LOOK_PART);
    }
}

impl Told<'_> {
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
}

fn clocks_differ(topic: &str) -> String {
    format!(
        "the clocks of this gateway and of Kafka differ: Kafka refuses the time of now for topic {topic}"
    )
}
