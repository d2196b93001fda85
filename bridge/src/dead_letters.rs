//! The way of records that their own lane can never land, to the lane for dead letters.
//!
//! A payload that this lane does not take inline goes to the object store, and is left out only where
//! there is none.

use std::sync::Arc;

use metrics::counter;
use sha2::{Digest as _, Sha256};

use crate::format::{Body, CUT_PARTS, Format, Letter};
use crate::lane::{Lane, Pending};
use crate::metrics::DEAD_LETTER_CUTS;
use crate::objects::Store;
use crate::outcome::{Fault, Outcome};
use crate::record::Record;

/// What a lane hands to the dead-letter lane.
pub(crate) struct DeadLetters {
    /// That of the records that are handed over.
    format: Format,
    lane: Arc<Lane>,
    store: Option<Store>,
}

impl DeadLetters {
    /// `lane` is the dead-letter lane; `store` is for payloads that it does not take inline.
    pub fn new(format: Format, lane: Arc<Lane>, store: Option<Store>) -> DeadLetters {
        // What was never cut shows as a zero, and not as nothing.
        CUT_PARTS
            .into_iter()
            .for_each(|part| counter!(DEAD_LETTER_CUTS, "part" => part).increment(0));
        DeadLetters { format, lane, store }
    }

    /// Sends a record on as a dead letter, with its receipt.
    pub fn take(&self, record: Record<'_>, pending: Pending, fault: Fault, reason: &str) {
        let Some(letter) = self.format.dead_letter(record, reason) else {
            tracing::error!("a record that its format cannot read cannot become a dead letter");
            return pending.receipt.resolve(Outcome::Failed);
        };
        let pending = Pending { on_landing: Outcome::DeadLettered(fault), ..pending };
        let lane = Arc::clone(&self.lane);
        let inline_size = lane.inline_size as usize;
        let send = move |letter: &Letter, body: Option<Body<'_>>, pending| {
            // The time is that of the writing: a topic may refuse the message's own.
            let now_ms = jiff::Timestamp::now().as_millisecond();
            lane.submit(letter.write(&lane.topic, now_ms, body).as_record(), pending);
        };
        let too_large = letter.inline().filter(|payload| payload.len() > inline_size).cloned();
        let Some(payload) = too_large else { return send(&letter, None, pending) };
        let Some(store) = &self.store else {
            return send(&letter, Some(Body::Cut(&payload)), pending);
        };
        let object = store.objects.object(&letter.object_key(), &pending.receipt.account().permits);
        store.runtime.spawn(async move {
            let (size, sha256) = (payload.len() as u64, Sha256::digest(&payload).into());
            if let Err(error) = object.put(payload).await {
                object.log_failure(&error);
                return pending.receipt.resolve(Outcome::Failed);
            }
            let body = Body::Reference { uri: object.uri(), size, sha256: &sha256 };
            send(&letter, Some(body), pending);
        });
    }
}
