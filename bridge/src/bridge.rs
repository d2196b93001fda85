//! The one door from a session to the lanes: classify a message, submit it, or begin its upload.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;

use crate::account::{Account, Reservation};
use crate::classify::{Decision, Destination, Routing};
use crate::envelope::{self, Body, Stamp};
use crate::lane::{Lane, LaneThread, Pending, SinkFactory};
use crate::lanes::{LaneId, Lanes};
use crate::letter::{self, DeadLetters};
use crate::mailbox::Mailbox;
use crate::message::{Carriage, Message, Payload};
use crate::metadata::EventTimeFault;
use crate::objects::{ObjectFigures, Objects};
use crate::outcome::{Fault, Outcome, Refusal};
use crate::receipt::Receipt;
use crate::record::{HEAD_ROOM_BYTES, RECORD_COST, REFERENCE_MAX_BYTES, RecordBuf};
use crate::upload::{Dedupe, Upload};

/// Memory for packets whose lane is not known yet and for what connections keep, in bytes.
pub const UNCLASSIFIED_SHARE: u64 = 16 * 1024 * 1024;
/// A dead letter with a larger head, in bytes, is cut; a reference to its payload still fits beside it.
const LETTER_HEAD_MAX_BYTES: u32 = HEAD_ROOM_BYTES - REFERENCE_MAX_BYTES;
/// A thread's record buffer keeps at most this many bytes.
const SCRATCH_KEEP_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<RecordBuf> = RefCell::default();
}

/// There is no room in a lane's share: nothing was taken, nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// None: the share of packets whose lane is not known yet.
    pub lane: Option<LaneId>,
    pub carriage: Carriage,
    /// What the message needs.
    pub bytes: u64,
}

/// Where large payloads go.
#[derive(Clone)]
pub struct Store {
    pub objects: Arc<Objects>,
    /// The runtime that uploads run on; never the one that serves sockets.
    pub runtime: Handle,
}

/// The lanes and the way to them.
pub struct Bridge {
    gateway_id: String,
    routing: Routing,
    lanes: Lanes<Arc<Lane>>,
    /// For messages that were refused before anything of them was read.
    unclassified: Arc<Account>,
    store: Option<Store>,
    /// Messages whose event time counts as absent, by [`EventTimeFault`].
    event_time_faults: [AtomicU64; EventTimeFault::ALL.len()],
}

impl Bridge {
    /// Builds the lanes; they serve nothing until [`Bridge::start`].
    pub fn new(gateway_id: &str, routing: Routing, store: Option<Store>) -> Bridge {
        let dead_letter = Lane::new(&routing.lanes[LaneId::DEAD_LETTER], None);
        let letters = || DeadLetters::new(Arc::clone(&dead_letter), store.clone());
        let lanes = routing.lanes.map(|lane, plan| match lane == LaneId::DEAD_LETTER {
            true => Arc::clone(&dead_letter),
            false => Lane::new(plan, Some(letters())),
        });
        Bridge {
            gateway_id: gateway_id.to_owned(),
            routing,
            lanes,
            unclassified: Arc::new(Account::new("none", UNCLASSIFIED_SHARE, 0)),
            store,
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

    /// Decides where a message belongs. Pure.
    pub fn classify<'a>(&'a self, message: &Message<'a>) -> Decision<'a> {
        self.routing.classify(message)
    }

    pub fn lanes(&self) -> &Lanes<Arc<Lane>> {
        &self.lanes
    }

    /// The books of all lanes, and of what was refused before it had one.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.lanes.values().map(|lane| &lane.account).chain([&self.unclassified])
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

    fn note_event_time(&self, decision: &Decision<'_>) {
        if let Some(fault) = decision.metadata.event_time_fault {
            self.event_time_faults[fault as usize].fetch_add(1, Ordering::Relaxed);
        }
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

    /// How a decided message travels; see [`Routing::carriage`].
    pub fn carriage(&self, decision: &mut Decision<'_>, message: &Message<'_>) -> Carriage {
        self.routing.carriage(decision, message, self.store.is_some())
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
    /// [`Bridge::is_contended`] keeps them from becoming many.
    pub fn keep(&self, bytes: u64) -> Reservation {
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

    /// Takes a message whose payload is whole. Its outcome comes to `reply_to` once; without room in
    /// the lane's share nothing happens and the caller waits or sheds.
    ///
    /// `fingerprint` is a hash of topic and payload. A message for whose bytes room was `reserved`
    /// while it arrived is always taken; the caller gives the reservation back afterwards.
    pub fn submit(
        &self,
        decision: &Decision<'_>,
        message: &Message<'_>,
        fingerprint: u128,
        reply_to: Option<(&Arc<Mailbox>, u32)>,
        reserved: bool,
        now: Instant,
    ) -> Result<(), Full> {
        let Payload::Inline(payload) = message.payload else {
            unreachable!("a streamed payload goes through an upload");
        };
        if self.is_refused(decision) && message.qos == 0 {
            // Nobody was promised anything and nobody waits.
            self.refuse(Some(decision.lane), Refusal::Unrouted);
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|record| {
            let (lane, on_landing) = self.begin_record(decision, message, record);
            let dedupe_key = envelope::dedupe_key(&decision.metadata, message, fingerprint);
            let is_cut = decision.record_lane() == LaneId::DEAD_LETTER
                && payload.len() > lane.inline_size as usize;
            let cut = is_cut.then(|| letter::cut_payload(payload));
            let body = cut.as_ref().map_or(Body::Inline(payload), Body::Cut);
            record.value(|out| envelope::write_payload(&dedupe_key, body, out));
            let account = &self.lane(decision.lane).account;
            let charge = record.as_record().len() as u64 + RECORD_COST;
            let share = account.share(Carriage::Inline);
            if reserved {
                share.take(charge);
            } else if !share.try_take(charge) {
                let lane = Some(decision.lane);
                return Err(Full { lane, carriage: Carriage::Inline, bytes: charge });
            }
            let reply_to = reply_to.map(|(mailbox, slot)| (Arc::clone(mailbox), slot));
            let receipt = Receipt::open(Arc::clone(account), Carriage::Inline, charge, reply_to);
            lane.submit(record.as_record(), Pending { receipt, on_landing, submitted: now });
            record.shrink_over(SCRATCH_KEEP_BYTES);
            self.note_event_time(decision);
            Ok(())
        })
    }

    /// Begins to take a message whose payload arrives in pieces; `mailbox` is woken when the upload
    /// takes bytes again. None where there is no store.
    pub fn begin_upload(
        &self,
        decision: &Decision<'_>,
        message: &Message<'_>,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Result<Upload, Full>> {
        let store = self.store.as_ref()?;
        let size = message.payload.size();
        let account = &self.lane(decision.lane).account;
        // Written before there is room for it, because only then its size is known; it may be longer
        // than the payload.
        let mut record = RecordBuf::default();
        let (message_id, lane, on_landing) = self.head(decision, message, &mut record);
        let bytes = Upload::cost(size) + record.held_bytes() as u64;
        let Some(charge) = Reservation::take(account, Carriage::Large, bytes) else {
            return Some(Err(Full { lane: Some(decision.lane), carriage: Carriage::Large, bytes }));
        };
        self.note_event_time(decision);
        let dedupe = match decision.metadata.message_id {
            Some(_) => Dedupe::Known(envelope::dedupe_key(&decision.metadata, message, 0)),
            None => Dedupe::FromHash(envelope::dedupe_key_later(&decision.metadata, message)),
        };
        let lane_name = &self.lane(decision.lane).account.name;
        let message_id = uuid::Uuid::from_bytes(message_id);
        let place =
            envelope::object_key(lane_name, message.received_ms, &self.gateway_id, message_id);
        let object = store.objects.object(&place);
        Some(Ok(Upload::new(
            Arc::clone(lane),
            object,
            store.runtime.clone(),
            Arc::clone(mailbox),
            size,
            record,
            dedupe,
            on_landing,
            charge,
        )))
    }

    fn begin_record(
        &self,
        decision: &Decision<'_>,
        message: &Message<'_>,
        record: &mut RecordBuf,
    ) -> (&Arc<Lane>, Outcome) {
        let (_, lane, on_landing) = self.head(decision, message, record);
        (lane, on_landing)
    }

    /// Writes everything of the record that does not need the payload.
    fn head(
        &self,
        decision: &Decision<'_>,
        message: &Message<'_>,
        record: &mut RecordBuf,
    ) -> ([u8; 16], &Arc<Lane>, Outcome) {
        let record_lane = decision.record_lane();
        let lane = self.lane(record_lane);
        let (topic, reason, on_landing) = match &decision.destination {
            Destination::Lane { topic } => (&**topic, "", Outcome::Landed),
            Destination::DeadLetter { fault, reason } => {
                (&*lane.topic, &**reason, Outcome::DeadLettered(*fault))
            }
            Destination::Unrouted => {
                (&*lane.topic, "no route matches the topic", Outcome::DeadLettered(Fault::Topic))
            }
        };
        let reason = envelope::reason_text(reason);
        let message_id = envelope::message_id(message.received_ms);
        let stamp = Stamp {
            gateway_id: &self.gateway_id,
            lane: &self.lane(decision.lane).account.name,
            message_id,
            dead_letter_reason: &reason,
        };
        record.begin(topic, message.received_ms);
        envelope::headers(record, &reason);
        record.key(|out| self.routing.write_key(record_lane, decision, message, out));
        record.value(|out| envelope::write_head(&stamp, &decision.metadata, message, out));
        if record_lane == LaneId::DEAD_LETTER
            && record.as_record().len() > LETTER_HEAD_MAX_BYTES as usize
        {
            letter::cut_head(record);
        }
        (message_id, lane, on_landing)
    }

    fn is_refused(&self, decision: &Decision<'_>) -> bool {
        decision.destination == Destination::Unrouted
    }

    fn account(&self, lane: Option<LaneId>) -> &Arc<Account> {
        lane.map_or(&self.unclassified, |lane| &self.lane(lane).account)
    }

    fn lane(&self, id: LaneId) -> &Arc<Lane> {
        &self.lanes[id]
    }
}

#[cfg(test)]
mod tests;
