//! The record formats of Landfall: what consumers of its Kafka topics decode.
//!
//! The source is `landfall/v1/envelope.proto`; the bytes are fixed by
//! `tests/golden.rs`.

/// Version 1 of the envelope; fields may be added, none changes its number or meaning.
pub mod v1 {
    #![allow(clippy::large_enum_variant)]
    include!(concat!(env!("OUT_DIR"), "/landfall.v1.rs"));
}

/// The `content-type` header of a record whose value is a [`v1::Envelope`].
pub const CONTENT_TYPE: &str = "application/protobuf";
/// The header that says why a dead letter is one.
pub const REASON_HEADER: &str = "landfall-reason";
