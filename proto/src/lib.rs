//! The record formats of Landfall: what consumers of its Kafka topics decode.
//!
//! The sources are `landfall/v1/envelope.proto` (raw messages) and `landfall/v1/event.proto` (what parsers
//! make of them); the bytes are fixed by `tests/golden.rs`.

/// Version 1 of the formats; fields may be added, none changes its number or meaning.
pub mod v1 {
    #![allow(clippy::large_enum_variant)]

    pub use prost_types::{NullValue, Timestamp};

    include!(concat!(env!("OUT_DIR"), "/landfall.v1.rs"));
}

/// The `content-type` header of a record whose value is a [`v1::Envelope`].
pub const CONTENT_TYPE: &str = "application/protobuf";
/// The header that says why a dead letter is one.
pub const REASON_HEADER: &str = "landfall-reason";
