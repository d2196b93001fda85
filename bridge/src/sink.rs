//! Where a lane's records become durable: the seam between a lane and what stores for it.
//!
//! A sink takes records in order, each for its partition, and decides each exactly once. It retries by itself only
//! what cannot change the order; everything else it hands back, record and all, to the lane, where the retries live.

#[cfg(any(test, feature = "contract-suite"))]
pub mod contract;
pub mod kafka;
#[cfg(any(test, feature = "contract-suite"))]
pub mod memory;

use std::borrow::Cow;
use std::time::Duration;

pub use crate::kafka::TimeLimits;
use crate::record::RecordBuf;

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
    /// It can never be stored, whatever is tried, or shared its fate with one that cannot.
    Refused { record: RecordBuf, reason: Cow<'static, str> },
    /// It can be stored with another timestamp.
    Untimely { record: RecordBuf, reason: Cow<'static, str> },
    /// Not stored, as far as is known; trying again may help. Later records are not stored before it:
    /// a sink in which that could happen is broken.
    Undecided { record: RecordBuf, reason: Cow<'static, str> },
}

/// A record was not taken.
#[derive(Debug, PartialEq)]
pub struct NotTaken {
    pub record: RecordBuf,
    pub error: AppendError,
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
    /// Its Kafka topic does not exist at the moment, or not for us, or it has no such partition yet.
    NoTopic,
}

impl NotTaken {
    /// It never will be.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.error, AppendError::Refused(_) | AppendError::TooLarge)
    }
}

/// What a topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one batch.
    pub batch_bytes: u32,
    pub batch_records: u32,
    /// How long a batch gathers while it has room.
    pub linger: Duration,
    /// Of a record's own timestamp; None where all are taken, or it is not known.
    pub times: Option<TimeLimits>,
}

/// A store for records. One thread owns it.
pub trait Sink: Send {
    /// How many partitions a topic has; None while that is not known.
    fn partitions(&mut self, topic: &str) -> Option<u32>;

    fn limits(&mut self, topic: &str) -> Limits;

    /// Takes a record, and has it until it is decided: what becomes of it comes from [`Sink::poll`] under `token`.
    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken>;

    /// Adds what was decided since the last call. Does not block.
    fn poll(&mut self, decided: &mut Vec<Decided>);

    /// True when it has to be reset: it stores nothing any more and takes nothing ([`AppendError::Broken`]). What it
    /// has not decided by then it may keep until its reset: whoever waits for a verdict looks here too.
    fn is_broken(&self) -> bool;

    /// Gives up on everything undecided, which comes from the next [`Sink::poll`], and starts anew. What was given up
    /// may have been stored all the same.
    fn reset(&mut self);
}
