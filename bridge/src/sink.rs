//! Where a lane's records become durable: the seam between a lane and what stores for it.
//!
//! A sink takes records in order and decides each exactly once. It retries by itself only what
//! cannot change the order; everything else it hands back, record and all, to the lane, where the
//! retries live.

#[cfg(any(test, feature = "contract-suite"))]
pub mod contract;
pub mod kafka;
#[cfg(any(test, feature = "contract-suite"))]
pub mod memory;

use std::borrow::Cow;

use crate::record::{Record, RecordBuf};

/// The lane's name for a record it handed over; unique among the undecided ones.
pub type Token = usize;

/// What a sink says of one record.
#[derive(Debug)]
pub struct Decided {
    pub token: Token,
    pub verdict: Verdict,
}

#[derive(Debug)]
pub enum Verdict {
    /// It is stored as durably as the sink promises.
    Durable,
    /// It is larger than the store takes, or shared its fate with one that is.
    TooLarge(RecordBuf),
    /// It can never be stored, whatever is tried.
    Refused { record: RecordBuf, reason: Cow<'static, str> },
    /// Not stored, as far as is known; trying again may help. Later records are not stored before it:
    /// a sink in which that could happen is broken.
    Undecided { record: RecordBuf, reason: Cow<'static, str> },
    /// The same, and the store was never given it: the sink kept it back.
    Unsent { record: RecordBuf, reason: Cow<'static, str> },
}

/// Why a record was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendError {
    /// No room at the moment: poll, then try again.
    Full,
    /// The sink has to be reset before it takes anything.
    Broken,
    /// The store cannot be reached yet; the sink itself tries again.
    Away,
    /// This record can never be taken.
    Refused(Cow<'static, str>),
    /// Larger than the store takes.
    TooLarge,
    /// Its Kafka topic does not exist at the moment, or not for us.
    NoTopic,
}

/// A store for records. One thread owns it.
pub trait Sink: Send {
    /// Takes a record; what becomes of it comes from [`Sink::poll`] under `token`.
    fn append(&mut self, record: Record<'_>, token: Token) -> Result<(), AppendError>;

    /// Adds what was decided since the last call. Does not block.
    fn poll(&mut self, decided: &mut Vec<Decided>);

    /// True when it has to be reset: it stores nothing any more and takes nothing
    /// ([`AppendError::Broken`]), or it was made for limits that have changed. What it has not decided
    /// by then it may keep until its reset: whoever waits for a verdict looks here too.
    fn is_broken(&self) -> bool;

    /// Gives up on everything undecided, which comes from [`Sink::poll`] as undecided or unsent, and starts
    /// anew. What was given up may have been stored all the same.
    fn reset(&mut self);
}
