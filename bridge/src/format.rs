//! How a message becomes a record. Callers begin a record with what is known when its message begins to
//! arrive, finish it with what only the whole payload tells, and make a dead letter of one that can never
//! land; which headers it has, and what its value says, is the format's own.

mod envelope;
mod letter;

use crate::message::Message;
use crate::metadata::Metadata;
use crate::record::{Record, RecordBuf};

pub(crate) use letter::{CUT_PARTS, Letter};

/// How the records of a lane are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The value is an envelope in protobuf (`proto/landfall/v1/envelope.proto`) that holds the payload.
    /// Dead letters are always written so.
    #[default]
    Envelope,
}

/// What every record carries and its message does not say.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Kafka's.
    pub topic: &'a str,
    pub gateway_id: &'a str,
    pub lane: &'a str,
    /// UUIDv7.
    pub message_id: [u8; 16],
    /// Why it is a dead letter; empty where it is none.
    pub dead_letter_reason: &'a str,
}

/// Where the payload's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    Inline(&'a [u8]),
    Reference {
        uri: &'a str,
        size: u64,
        sha256: &'a [u8; 32],
    },
    /// They are left out of a dead letter; only their size and hash are there.
    Cut(&'a [u8]),
}

/// A record without what only the whole payload tells.
#[derive(Default)]
pub struct Head {
    format: Format,
    record: RecordBuf,
}

impl Format {
    /// Writes what is known when the message begins to arrive, in place of what `head` held; `write_key`
    /// appends the record's key. The head of a dead letter always fits: what is too large of it is cut.
    pub fn begin(
        self,
        stamp: &Stamp<'_>,
        metadata: &Metadata<'_>,
        message: &Message<'_>,
        write_key: impl FnOnce(&mut Vec<u8>),
        head: &mut Head,
    ) {
        head.format = self;
        match self {
            Format::Envelope => {
                envelope::begin(stamp, metadata, message, write_key, &mut head.record);
            }
        }
    }

    /// The most that [`Format::begin`] writes for a message whose key has so many bytes.
    pub fn head_max_bytes(
        self,
        metadata: &Metadata<'_>,
        message: &Message<'_>,
        key_bytes: usize,
    ) -> u64 {
        match self {
            Format::Envelope => envelope::head_max_bytes(metadata, message, key_bytes),
        }
    }

    /// The id of the message that a record is of. None for a record that is not in this format.
    pub(crate) fn message_id(self, record: Record<'_>) -> Option<[u8; 16]> {
        match self {
            Format::Envelope => envelope::message_id(record),
        }
    }

    /// A dead letter that says what this record said, and why it is one. None for a record that is not in
    /// this format.
    pub(crate) fn dead_letter(self, record: Record<'_>, reason: &str) -> Option<Letter> {
        match self {
            Format::Envelope => Letter::of_envelope(record, reason),
        }
    }
}

impl Head {
    /// A head for which there is memory already, in bytes.
    pub(crate) fn with_capacity(bytes: u64) -> Head {
        let record = RecordBuf::with_capacity(usize::try_from(bytes).unwrap_or(usize::MAX));
        Head { format: Format::default(), record }
    }

    /// Completes the record, once.
    pub fn finish(&mut self, dedupe_key: &[u8; 16], body: Body<'_>) -> Record<'_> {
        match self.format {
            Format::Envelope => envelope::finish(dedupe_key, body, &mut self.record),
        }
        self.record.as_record()
    }

    /// What is written so far.
    pub fn record(&self) -> Record<'_> {
        self.record.as_record()
    }

    /// Lets go of a buffer that one large record made, so that a thread keeps at most `bytes`.
    pub(crate) fn shrink_over(&mut self, bytes: usize) {
        self.record.shrink_over(bytes);
    }
}
