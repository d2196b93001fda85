//! The claim check: a payload too large for its lane goes to the object store while it arrives, never
//! held whole, and a reference to it through the lane.
//!
//! An upload holds one part in memory, which came out of the lane's share before its first byte was
//! read; while the part is on its way to the store, the device's socket is not read. A message counts
//! as received when its last byte is here. Dropping an upload before that aborts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::account::{Class, Reservation};
use crate::envelope::{self, Body};
use crate::lane::{Lane, Pending};
use crate::receipt::{Mailbox, Outcome, Receipt};
use crate::record::{RECORD_COST, RecordBuf};
use crate::sink::object::{Object, PART_SIZE, Parts};

/// The store has the last part: the next may be filled.
const READY: u8 = 0;
/// A part is on its way.
const BUSY: u8 = 1;
/// The store failed for good.
const FAILED: u8 = 2;

/// A large message that arrives.
pub struct Upload {
    lane: Arc<Lane>,
    object: Arc<Object>,
    runtime: Handle,
    mailbox: Arc<Mailbox>,
    state: Arc<AtomicU8>,
    part: Vec<u8>,
    hasher: Sha256,
    size: u64,
    received: u64,
    /// The record without its payload field.
    record: RecordBuf,
    dedupe: Dedupe,
    on_landing: Outcome,
    /// Taken from the account's share until the receipt takes it over.
    charge: Reservation,
    /// To the task that writes the parts; none while everything fits in one.
    parts: Option<mpsc::Sender<Step>>,
}

/// How the dedupe key comes about.
pub(crate) enum Dedupe {
    /// The device's own message id decided it.
    Known([u8; 16]),
    /// It needs the payload's hash.
    FromHash(Box<dyn FnOnce(u128) -> [u8; 16] + Send>),
}

enum Step {
    Part(Bytes),
    Finish(Bytes, Box<Whole>),
}

/// A message whose last byte is here.
struct Whole {
    lane: Arc<Lane>,
    receipt: Receipt,
    record: RecordBuf,
    dedupe_key: [u8; 16],
    sha256: [u8; 32],
    size: u64,
    on_landing: Outcome,
    submitted: Instant,
}

/// The object store failed; the message cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreFailed;

impl Upload {
    #[expect(clippy::too_many_arguments, reason = "built in one place, from one message")]
    pub(crate) fn new(
        lane: Arc<Lane>,
        object: Object,
        runtime: Handle,
        mailbox: Arc<Mailbox>,
        size: u64,
        record: RecordBuf,
        dedupe: Dedupe,
        on_landing: Outcome,
        charge: Reservation,
    ) -> Upload {
        Upload {
            lane,
            object: Arc::new(object),
            runtime,
            mailbox,
            state: Arc::new(AtomicU8::new(READY)),
            part: Vec::new(),
            hasher: Sha256::new(),
            size,
            received: 0,
            record,
            dedupe,
            on_landing,
            charge,
            parts: None,
        }
    }

    /// Bytes that a part takes from the budget for a message of `size`.
    pub fn cost(size: u64) -> u64 {
        size.min(PART_SIZE) + RECORD_COST
    }

    /// Takes what fits of the next bytes and says how many. Zero: the last part is still on its way,
    /// and the mailbox's owner is woken when it has arrived.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, StoreFailed> {
        match self.state.load(Ordering::Acquire) {
            FAILED => return Err(StoreFailed),
            BUSY => return Ok(0),
            _ => {}
        }
        let left = self.size - self.received;
        let room = (PART_SIZE - self.part.len() as u64).min(left) as usize;
        let taken = &bytes[..bytes.len().min(room)];
        if self.part.capacity() == 0 {
            self.part.reserve_exact(left.min(PART_SIZE) as usize);
        }
        self.part.extend_from_slice(taken);
        self.hasher.update(taken);
        self.received += taken.len() as u64;
        if self.part.len() as u64 == PART_SIZE && self.received < self.size {
            self.send_part();
        }
        Ok(taken.len())
    }

    /// All bytes are here.
    pub fn is_whole(&self) -> bool {
        self.received == self.size
    }

    /// A hash of the payload, once it is whole, by which a resend is known.
    pub fn fingerprint(&self) -> u128 {
        Self::fingerprint_of(&self.hasher.clone().finalize().into())
    }

    /// [`Upload::fingerprint`] of a payload with this SHA-256: its first half.
    pub fn fingerprint_of(sha256: &[u8; 32]) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&sha256[..16]);
        u128::from_le_bytes(half)
    }

    /// Counts the message as received, completes the object and lands its reference; the outcome
    /// comes to `reply_to`.
    pub fn finish(mut self, reply_to: Option<(Arc<Mailbox>, u32)>) {
        let sha256: [u8; 32] = self.hasher.finalize().into();
        let account = Arc::clone(&self.charge.account);
        let charge = std::mem::take(&mut self.charge.bytes);
        let whole = Box::new(Whole {
            lane: self.lane,
            receipt: Receipt::open(account, Class::Large, charge, reply_to),
            record: self.record,
            dedupe_key: match self.dedupe {
                Dedupe::Known(key) => key,
                Dedupe::FromHash(make) => make(Upload::fingerprint_of(&sha256)),
            },
            sha256,
            size: self.size,
            on_landing: self.on_landing,
            submitted: Instant::now(),
        });
        let last = Bytes::from(std::mem::take(&mut self.part));
        match self.parts {
            None => {
                let object = self.object;
                self.runtime.spawn(async move {
                    match object.put(last).await {
                        Ok(()) => whole.land(&object),
                        Err(error) => whole.fail(&error),
                    }
                });
            }
            Some(parts) => {
                // The task takes a step only after the one before it, so there is room for one; if
                // it is gone, the receipt in the step fails the message.
                let _ = parts.try_send(Step::Finish(last, whole));
            }
        }
    }

    fn send_part(&mut self) {
        self.state.store(BUSY, Ordering::Release);
        let part = Bytes::from(std::mem::take(&mut self.part));
        let parts = self.parts.get_or_insert_with(|| {
            let (sender, steps) = mpsc::channel(1);
            let object = Arc::clone(&self.object);
            let state = Arc::clone(&self.state);
            let mailbox = Arc::clone(&self.mailbox);
            self.runtime.spawn(write_parts(object, steps, state, mailbox));
            sender
        });
        if parts.try_send(Step::Part(part)).is_err() {
            self.state.store(FAILED, Ordering::Release);
        }
    }
}

/// Writes the parts of one object as they come. Ends with the object completed or aborted.
async fn write_parts(
    object: Arc<Object>,
    mut steps: mpsc::Receiver<Step>,
    state: Arc<AtomicU8>,
    mailbox: Arc<Mailbox>,
) {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "an upload failed; its device has to send the message again");
        state.store(FAILED, Ordering::Release);
        mailbox.wake();
    };
    let mut parts = match object.put_parts().await {
        Ok(parts) => parts,
        Err(error) => return failed(&error),
    };
    loop {
        match steps.recv().await {
            Some(Step::Part(part)) => {
                if let Err(error) = parts.put(part).await {
                    failed(&error);
                    return abort(parts).await;
                }
                state.store(READY, Ordering::Release);
                mailbox.wake();
            }
            Some(Step::Finish(last, whole)) => {
                let written = async {
                    if !last.is_empty() {
                        parts.put(last).await?;
                    }
                    parts.complete().await
                };
                return match written.await {
                    Ok(()) => whole.land(&object),
                    Err(error) => {
                        whole.fail(&error);
                        abort(parts).await
                    }
                };
            }
            None => return abort(parts).await,
        }
    }
}

async fn abort(mut parts: Parts) {
    if let Err(error) = parts.abort().await {
        tracing::warn!(%error, "the parts of an abandoned upload stay until the bucket's lifecycle rule removes them");
    }
}

impl Whole {
    fn land(mut self, object: &Object) {
        self.receipt.shrink_charge(RECORD_COST);
        let body = Body::Reference { uri: object.uri(), size: self.size, sha256: &self.sha256 };
        let dedupe_key = self.dedupe_key;
        self.record.value(|out| envelope::write_payload(&dedupe_key, body, out));
        let Whole { lane, receipt, record, on_landing, submitted, .. } = self;
        lane.submit(record.as_record(), Pending { receipt, on_landing, submitted });
    }

    fn fail(self, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, "a large message could not be stored; its device has to send it again");
        self.receipt.resolve(Outcome::Failed);
    }
}
