//! Why a message, or one record of it, gives no events: a reason with a name, by which fleets are counted,
//! and the place in the payload, by which a firmware team finds it.

use std::fmt;

/// Why a record is none, or a message has none. The names are the labels of metrics, of the quarantine and of the
/// metadata stream, and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Right as far as it goes, and it ends early: a buffer was too small, or a write was cut.
    Truncated,
    /// It has to be JSON, and is none.
    NotJson,
    /// It has to be UTF-8, or the declared charset, and is not.
    NotUtf8,
    /// Something stands behind the document.
    TrailingData,
    /// An object has a key twice.
    DuplicateKey,
    /// A field would be there twice, under the same name.
    DuplicateField,
    /// A value is not of its declared type.
    TypeMismatch,
    /// A number, or a text that stands for one, is beyond its type.
    DoesNotFit,
    /// A field that has to be there is not.
    FieldMissing,
    /// The path to the records leads nowhere.
    RecordsMissing,
    /// A row has not as many columns as the header.
    ColumnCount,
    /// Arrays that belong together are of different length.
    ColumnsDiffer,
    /// It cannot be decompressed.
    Decompress,
    /// Nested deeper than `depth`.
    TooDeep,
    /// Larger than a limit: decompressed, a document, or an event.
    TooLarge,
    /// More records than `events`.
    TooMany,
    /// The jq program raised an error.
    Jq,
    /// The jq program took more steps, memory or stack than it may.
    JqLimit,
    /// The record is no envelope: somebody else wrote it.
    NoEnvelope,
    /// The payload is not in its envelope, and no object of the store's either.
    ReferenceMissing,
    /// The payload is said to be outside the configured store, where nothing is opened.
    ReferenceOutside,
    /// The object is not what the gateway wrote: its size or hash differs.
    ReferenceDiffers,
    /// Kafka takes a record that was made of it never.
    NotTaken,
    /// An operator had it left out.
    Operator,
}

impl Reason {
    pub const ALL: [Reason; 24] = [
        Reason::Truncated,
        Reason::NotJson,
        Reason::NotUtf8,
        Reason::TrailingData,
        Reason::DuplicateKey,
        Reason::DuplicateField,
        Reason::TypeMismatch,
        Reason::DoesNotFit,
        Reason::FieldMissing,
        Reason::RecordsMissing,
        Reason::ColumnCount,
        Reason::ColumnsDiffer,
        Reason::Decompress,
        Reason::TooDeep,
        Reason::TooLarge,
        Reason::TooMany,
        Reason::Jq,
        Reason::JqLimit,
        Reason::NoEnvelope,
        Reason::ReferenceMissing,
        Reason::ReferenceOutside,
        Reason::ReferenceDiffers,
        Reason::NotTaken,
        Reason::Operator,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Reason::Truncated => "truncated",
            Reason::NotJson => "not_json",
            Reason::NotUtf8 => "not_utf8",
            Reason::TrailingData => "trailing_data",
            Reason::DuplicateKey => "duplicate_key",
            Reason::DuplicateField => "duplicate_field",
            Reason::TypeMismatch => "type_mismatch",
            Reason::DoesNotFit => "does_not_fit",
            Reason::FieldMissing => "field_missing",
            Reason::RecordsMissing => "records_missing",
            Reason::ColumnCount => "column_count",
            Reason::ColumnsDiffer => "columns_differ",
            Reason::Decompress => "decompress",
            Reason::TooDeep => "too_deep",
            Reason::TooLarge => "too_large",
            Reason::TooMany => "too_many",
            Reason::Jq => "jq",
            Reason::JqLimit => "jq_limit",
            Reason::NoEnvelope => "no_envelope",
            Reason::ReferenceMissing => "reference_missing",
            Reason::ReferenceOutside => "reference_outside",
            Reason::ReferenceDiffers => "reference_differs",
            Reason::NotTaken => "not_taken",
            Reason::Operator => "operator",
        }
    }
}

impl Reason {
    /// What it says of a message, and what is to be looked at, in a sentence without a full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Reason::Truncated => {
                "right as far as it goes, and it ends early: a buffer of the device was too small, or a write was cut"
            }
            Reason::NotJson => "it has to be JSON, and is none",
            Reason::NotUtf8 => "it is not UTF-8, or not of the charset that the parser declares",
            Reason::TrailingData => {
                "something stands behind the document; `format: ndjson` takes several"
            }
            Reason::DuplicateKey => "an object has a key twice; `duplicates` says which counts",
            Reason::DuplicateField => {
                "a field would be there twice: what is kept of the rest has the name of a declared one"
            }
            Reason::TypeMismatch => "a value is not of its declared type",
            Reason::DoesNotFit => "a number, or a text that stands for one, is beyond its type",
            Reason::FieldMissing => "a field, device id or time that has to be there is not",
            Reason::RecordsMissing => "the path to the records leads nowhere",
            Reason::ColumnCount => "a row has not as many columns as the header",
            Reason::ColumnsDiffer => "lists that belong together are of different length",
            Reason::Decompress => "it cannot be decompressed: cut, broken, or compressed twice",
            Reason::TooDeep => "objects and lists are nested deeper than `parse.limits.depth`",
            Reason::TooLarge => "larger than a limit: decompressed, a document, or an event",
            Reason::TooMany => "more records than `parse.limits.events`",
            Reason::Jq => "the jq program raised an error",
            Reason::JqLimit => "the jq program took more steps, memory or stack than it may",
            Reason::NoEnvelope => {
                "the raw record is no envelope: somebody else wrote to the lane's topic"
            }
            Reason::ReferenceMissing => {
                "the payload is in the object store, and not there any more: has the bucket's rule removed it?"
            }
            Reason::ReferenceOutside => {
                "the payload is said to be outside the configured store, where nothing is opened"
            }
            Reason::ReferenceDiffers => {
                "the object is not what the gateway wrote: its size or hash differs"
            }
            Reason::NotTaken => {
                "Kafka never takes a record that was made of it, as one that is too large"
            }
            Reason::Operator => "an operator had it left out",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

/// One failure, with where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// Bytes from the payload's beginning; of a compressed one from the beginning of what it holds. None
    /// where no place can be told, as behind a jq program.
    pub at: Option<usize>,
    /// The record that it is in, counted from 0; None where it is in none.
    pub record: Option<u64>,
    /// The event's field that it is about, as the parser names it.
    pub field: Option<Box<str>>,
    /// What is wrong, in a sentence without a full stop. It may hold up to [`SHOWN_MAX`] bytes of the
    /// payload.
    pub detail: Box<str>,
}

/// Bytes of a payload that the text of a failure shows.
pub const SHOWN_MAX: usize = 40;

impl Failure {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Failure {
        let detail = detail.into().into_boxed_str();
        Failure { reason, at: None, record: None, field: None, detail }
    }

    pub fn at(mut self, at: usize) -> Failure {
        self.at = Some(at);
        self
    }

    /// Says which field it is about, unless that is known.
    pub fn of_field(mut self, name: &str) -> Failure {
        self.field.get_or_insert_with(|| name.into());
        self
    }

    /// Says which record it is in, unless that is known.
    pub fn in_record(mut self, record: u64) -> Failure {
        self.record.get_or_insert(record);
        self
    }

    /// The same failure of a part that begins at `start`.
    pub fn behind(mut self, start: usize) -> Failure {
        self.at = self.at.map(|at| at + start);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.reason)?;
        if let Some(field) = &self.field {
            write!(formatter, " (field {field})")?;
        }
        if let Some(record) = self.record {
            write!(formatter, " in record {record}")?;
        }
        if let Some(at) = self.at {
            write!(formatter, " at byte {at}")?;
        }
        write!(formatter, ": {}", self.detail)
    }
}

impl std::error::Error for Failure {}

/// A text of a payload, shortened, as a failure may show it.
pub fn shown(text: &str) -> String {
    if text.len() <= SHOWN_MAX {
        return format!("{text:?}");
    }
    let end = (0..=SHOWN_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{:?}…", &text[..end])
}

/// Why a message has no events, although nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotData {
    /// It is one of the parser's words to ignore.
    Ignored,
    /// None of its records is what `select` asks for.
    NotSelected,
}

impl NotData {
    pub fn label(self) -> &'static str {
        match self {
            NotData::Ignored => "ignored",
            NotData::NotSelected => "not_selected",
        }
    }
}

/// What was taken off a payload, because it costs nothing: counted, so that whoever makes the firmware can
/// know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dirt {
    /// A mark of the byte order stood in front.
    pub mark: bool,
    /// Zeros stood behind, as C ends its texts.
    pub zeros: bool,
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read: so many events, and so many bad records beside them, which the parser leaves out.
    Events { events: u64, skipped: u64, dirt: Dirt },
    /// It is no data.
    NotData(NotData),
    /// Nothing of it is an event, whatever was told before.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let labels: std::collections::BTreeSet<_> =
            Reason::ALL.into_iter().map(Reason::label).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }

    #[test]
    fn a_failure_shows_little_of_a_payload() {
        assert_eq!(shown("hot"), "\"hot\"");
        let long = "ü".repeat(40);
        assert_eq!(shown(&long), format!("{:?}…", "ü".repeat(20)));
    }
}
