//! The one door from whoever has a message to the lanes: it is decided, and only what was decided can be
//! submitted or uploaded.

mod decided;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::account::{Account, Reservation};
use crate::classify::Routing;
use crate::dead_letters::DeadLetters;
use crate::lane::{Lane, LaneThread, SinkFactory};
use crate::lanes::{LaneId, LanePlan, Lanes};
use crate::mailbox::Mailbox;
use crate::message::{Carriage, Message};
use crate::metadata::EventTimeFault;
use crate::objects::{ObjectFigures, Store};
use crate::outcome::Refusal;
use crate::repeats::Repeats;

pub use decided::{Decided, Inline, Large, Passage, ReplyTo};

/// Memory for packets whose lane is not known yet and for what connections keep, in bytes.
pub const UNCLASSIFIED_SHARE: u64 = 16 * 1024 * 1024;
/// There is no room in a lane's share: nothing was taken, nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// None: the share of packets whose lane is not known yet.
    pub lane: Option<LaneId>,
    pub carriage: Carriage,
    /// What the message needs.
    pub bytes: u64,
}

/// The lanes and the way to them.
pub struct Uplink {
    routing: Routing,
    lanes: Lanes<Arc<Lane>>,
    /// For messages that were refused before anything of them was read.
    unclassified: Arc<Account>,
    store: Option<Store>,
    repeats: Arc<Repeats>,
    /// Messages whose event time counts as absent, by [`EventTimeFault`].
    event_time_faults: [AtomicU64; EventTimeFault::ALL.len()],
}

impl Uplink {
    /// Builds the lanes; they serve nothing until [`Uplink::start`]. `store` is there where the routing says
    /// so.
    pub fn new(routing: Routing, store: Option<Store>) -> Uplink {
        assert_eq!(routing.has_store, store.is_some(), "the store that is configured was opened");
        let repeats = Arc::new(Repeats::default());
        let lane = |plan: &LanePlan, letters| Lane::new(plan, letters, Arc::clone(&repeats));
        let dead_letter = lane(&routing.lanes[LaneId::DEAD_LETTER], None);
        let letters = |format| DeadLetters::new(format, Arc::clone(&dead_letter), store.clone());
        let lanes = routing.lanes.map(|id, plan| match id == LaneId::DEAD_LETTER {
            true => Arc::clone(&dead_letter),
            false => lane(plan, Some(letters(plan.format))),
        });
        Uplink {
            routing,
            lanes,
            unclassified: Arc::new(Account::new("none", UNCLASSIFIED_SHARE, 0)),
            store,
            repeats,
            event_time_faults: Default::default(),
        }
    }

    /// Starts a thread for each lane, with the sink that `sink` makes for it.
    pub fn start(
        &self,
        mut sink: impl FnMut(LaneId, &Arc<Lane>) -> SinkFactory,
    ) -> std::io::Result<Vec<LaneThread>> {
        self.lanes.iter().map(|(id, lane)| lane.start(sink(id, lane))).collect()
    }

    /// Decides what becomes of a message: the one call that everybody makes. What was decided has the only
    /// ways on; see [`Decided`].
    pub fn decide<'a>(&'a self, message: &Message<'a>) -> Decided<'a> {
        Decided { uplink: self, decision: self.routing.decide(message) }
    }

    pub fn lanes(&self) -> &Lanes<Arc<Lane>> {
        &self.lanes
    }

    /// The books of all lanes, and of what was refused before it had one.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.lanes.values().map(|lane| &lane.account).chain([&self.unclassified])
    }

    /// The messages that lanes handed over again.
    pub fn repeats(&self) -> &Arc<Repeats> {
        &self.repeats
    }

    /// How the object store is doing; None where there is none.
    pub fn object_figures(&self) -> Option<ObjectFigures> {
        self.store.as_ref().map(|store| store.objects.figures())
    }

    /// Messages that were taken with an event time that counts as absent, by reason.
    pub fn event_time_faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.event_time_faults.iter().map(|count| count.load(Ordering::Relaxed));
        EventTimeFault::ALL.into_iter().map(EventTimeFault::label).zip(counts)
    }

    /// Why large messages do not land, as far as the object store is the reason.
    pub fn store_problem(&self) -> Option<String> {
        self.store.as_ref().and_then(|store| store.objects.problem())
    }

    /// The object store fails, so that what waits for it may wait in vain.
    pub fn store_fails(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.objects.fails())
    }

    /// Messages whose outcome is open.
    pub fn in_flight(&self) -> u64 {
        self.accounts().map(|account| account.ledger.totals().in_flight).sum()
    }

    /// Some session waits for room, or much is kept that was read too early: reading ahead would only
    /// pile up.
    pub fn is_contended(&self) -> bool {
        self.unclassified.share(Carriage::Inline).used() > UNCLASSIFIED_SHARE / 2
            || self.accounts().any(|account| {
                account.share(Carriage::Inline).is_contended()
                    || account.share(Carriage::Large).is_contended()
            })
    }

    /// Counts a message that was turned away before it was submitted; no lane where it was not read.
    pub fn refuse(&self, lane: Option<LaneId>, reason: Refusal) {
        self.account(lane).ledger.refuse(reason);
    }

    /// Takes room for a packet that is still arriving: in its lane's share, or without a lane in the
    /// share of packets whose lane is not known yet.
    pub fn reserve(&self, lane: Option<LaneId>, bytes: u64) -> Result<Reservation, Full> {
        Reservation::take(self.account(lane), Carriage::Inline, bytes).ok_or(Full {
            lane,
            carriage: Carriage::Inline,
            bytes,
        })
    }

    /// Counts bytes that a session already has and cannot hand over, whether there is room or not:
    /// [`Uplink::is_contended`] keeps them from becoming many.
    pub fn reserve_over_limit(&self, bytes: u64) -> Reservation {
        Reservation::take_over_limit(&self.unclassified, Carriage::Inline, bytes)
    }

    /// Puts a session in line for room.
    pub fn wait(&self, full: Full, mailbox: &Arc<Mailbox>) {
        self.account(full.lane).share(full.carriage).wait(full.bytes, mailbox);
    }

    /// Takes a session out of the line.
    pub fn leave(&self, full: Full, mailbox: &Arc<Mailbox>) {
        self.account(full.lane).share(full.carriage).leave(mailbox);
    }

    fn account(&self, lane: Option<LaneId>) -> &Arc<Account> {
        lane.map_or(&self.unclassified, |lane| &self.lanes[lane].account)
    }
}

#[cfg(test)]
mod tests;
