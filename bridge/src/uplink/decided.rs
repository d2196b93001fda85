//! A message of which it is decided what becomes of it, and the ways on that it has: its steps cannot be
//! taken in another order, and none can be left out.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Full, Uplink};
use crate::account::Reservation;
use crate::classify::Decision;
use crate::format::{Body, Head};
use crate::identity::{self, Dedupe};
use crate::lane::Pending;
use crate::lanes::LaneId;
use crate::mailbox::Mailbox;
use crate::message::{Carriage, Payload};
use crate::objects::{self, PART_SIZE, Store};
use crate::outcome::{Outcome, Refusal};
use crate::receipt::Receipt;
use crate::record::RECORD_COST;
use crate::upload::{Landing, Upload};

/// A thread's record buffer keeps at most this many bytes.
const SCRATCH_KEEP_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Head> = RefCell::default();
}

/// Whom a message's outcome is for, and the slot that it has there.
pub type ReplyTo = (Arc<Mailbox>, u32);

/// What [`Uplink::decide`] decided.
pub struct Decided<'a> {
    pub(super) uplink: &'a Uplink,
    pub(super) decision: Decision<'a>,
}

/// The way on of a decided message.
pub enum Passage<'d> {
    /// Its payload is here, and goes in its record.
    Inline(Inline<'d>),
    /// Its payload goes in its record, and has to be here whole first.
    Arriving,
    /// Its payload goes to the object store, as it comes.
    Large(Large<'d>),
    /// Nothing takes it, and nothing of it is to be kept: [`Uplink::refuse`] counts it.
    Refused(Refusal),
}

/// A message that goes in its record.
pub struct Inline<'d> {
    decided: &'d Decided<'d>,
    payload: &'d [u8],
    fingerprint: u128,
}

/// A message whose payload goes to the object store.
pub struct Large<'d> {
    decided: &'d Decided<'d>,
    store: &'d Store,
    on_landing: Outcome,
}

impl<'a> Decided<'a> {
    /// The lane that the message belongs to, also where it cannot land in it.
    pub fn lane(&self) -> LaneId {
        self.decision.lane
    }

    pub fn passage(&self) -> Passage<'_> {
        let decision = &self.decision;
        match (decision.carriage, decision.on_landing(), decision.message().payload) {
            (Carriage::Large, Ok(on_landing), _) => {
                let store = self.uplink.store.as_ref().expect("nothing is large without a store");
                Passage::Large(Large { decided: self, store, on_landing })
            }
            (Carriage::Large, Err(refusal), _) => Passage::Refused(refusal),
            (Carriage::Inline, _, Payload::Streamed { .. }) => Passage::Arriving,
            (Carriage::Inline, _, Payload::Inline(payload)) => {
                let fingerprint = identity::fingerprint(decision.message().topic, payload);
                Passage::Inline(Inline { decided: self, payload, fingerprint })
            }
        }
    }

    /// Takes a message that is here whole, at most a part of an upload, and whose sender waits for no
    /// outcome. Without room in its lane's share nothing happens.
    pub fn offer(&self, now: Instant) -> Result<(), Full> {
        match self.passage() {
            Passage::Inline(inline) => inline.submit(None, now, || None),
            Passage::Large(large) => {
                let Payload::Inline(payload) = self.decision.message().payload else {
                    unreachable!("what is offered is here whole");
                };
                assert!(payload.len() as u64 <= PART_SIZE, "what is larger is never here whole");
                let mut upload = large.begin(None)?;
                upload.push(payload).expect("nothing was written yet that could have failed");
                upload.finish(None);
                Ok(())
            }
            Passage::Arriving => unreachable!("what is offered is here whole"),
            Passage::Refused(refusal) => {
                self.uplink.refuse(Some(self.lane()), refusal);
                Ok(())
            }
        }
    }

    fn full(&self, carriage: Carriage, bytes: u64) -> Full {
        Full { lane: Some(self.lane()), carriage, bytes }
    }

    /// Counts a message that is taken although its event time is none.
    fn note_event_time(&self) {
        if let Some(fault) = self.decision.metadata.event_time_fault {
            self.uplink.event_time_faults[fault as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inline<'_> {
    pub fn payload(&self) -> &[u8] {
        self.payload
    }

    /// A hash of topic and payload, by which a resend is known.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Takes the message, or counts it where it is refused. Without room in its lane's share nothing
    /// happens: the caller waits, or sheds it. What has `reserved` room there while it arrived is always
    /// taken; that room is given back by whoever has it.
    ///
    /// When there is room, `open` says where the outcome is to go, which comes once.
    pub fn submit(
        &self,
        reserved: Option<&Reservation>,
        now: Instant,
        open: impl FnOnce() -> Option<ReplyTo>,
    ) -> Result<(), Full> {
        let Decided { uplink, decision } = self.decided;
        let on_landing = match decision.on_landing() {
            Ok(outcome) => outcome,
            Err(refusal) => {
                uplink.refuse(Some(decision.lane), refusal);
                return Ok(());
            }
        };
        SCRATCH.with_borrow_mut(|head| {
            decision.begin(identity::message_id(decision.message().received_ms), head);
            let (metadata, message) = (&decision.metadata, decision.message());
            let dedupe_key = identity::dedupe_key(metadata, message, self.fingerprint);
            let body = match decision.is_cut() {
                true => Body::Cut(self.payload),
                false => Body::Inline(self.payload),
            };
            let record = head.finish(&dedupe_key, body);
            let account = &uplink.lanes[decision.lane].account;
            let charge = record.len() as u64 + RECORD_COST;
            let share = account.share(Carriage::Inline);
            if reserved.is_some_and(|room| room.is_in(account, Carriage::Inline)) {
                share.take(charge);
            } else if !share.try_take(charge) {
                return Err(self.decided.full(Carriage::Inline, charge));
            }
            let receipt = Receipt::open(Arc::clone(account), Carriage::Inline, charge, open());
            let lane = &uplink.lanes[decision.record_lane()];
            lane.submit(record, Pending { receipt, on_landing, submitted: now });
            head.shrink_over(SCRATCH_KEEP_BYTES);
            self.decided.note_event_time();
            Ok(())
        })
    }
}

impl Large<'_> {
    /// Begins to take the message; `mailbox` is woken when there is room for more of its bytes, and is none
    /// where all of them are here. Without room for a part in its lane's share nothing happens.
    pub fn begin(&self, mailbox: Option<&Arc<Mailbox>>) -> Result<Upload, Full> {
        let Decided { uplink, decision } = self.decided;
        let message = decision.message();
        let account = &uplink.lanes[decision.lane].account;
        let head_bytes = decision.head_max_bytes();
        let bytes = Upload::cost(message.payload.size()) + head_bytes;
        let charge = Reservation::take(account, Carriage::Large, bytes)
            .ok_or(self.decided.full(Carriage::Large, bytes))?;
        let message_id = identity::message_id(message.received_ms);
        let mut head = Head::with_capacity(head_bytes);
        decision.begin(message_id, &mut head);
        let gateway_id = &uplink.routing.gateway_id;
        let key = objects::payload_key(&account.name, message.received_ms, gateway_id, message_id);
        self.decided.note_event_time();
        let landing = Landing {
            lane: Arc::clone(&uplink.lanes[decision.record_lane()]),
            head,
            dedupe: Dedupe::begin(&decision.metadata, message),
            on_landing: self.on_landing,
        };
        let mailbox = mailbox.cloned();
        Ok(Upload::new(landing, self.store, &key, message.payload.size(), charge, mailbox))
    }
}
