//! From raw messages to events: what a payload holds, by what its parser declares.
//!
//! In the order of a payload's way: [`parser`] takes off its [`unpack`] layer and reads its [`charset`];
//! [`format`] makes documents ([`json`]) of it; [`records`] or a [`jq`] program leads to the records; each
//! becomes an [`event`] with a [`time`] and [`fields`]. Nothing here knows Kafka, a clock or a file.

pub mod canonical;
pub mod charset;
pub mod compile;
pub mod condition;
pub mod conversion;
pub mod decimal;
pub mod event;
pub mod facts;
pub mod failure;
pub mod fields;
pub mod format;
pub mod jq;
pub mod json;
pub mod limits;
pub mod parser;
pub mod path;
pub mod plan;
pub mod propose;
pub mod records;
pub mod time;
pub mod unpack;
pub mod value;
pub mod word;
pub mod written;
