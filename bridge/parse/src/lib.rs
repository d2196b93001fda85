//! From raw messages to events: what a payload holds, by what its parser declares, and the pools that read raw
//! topics and write canonical ones.
//!
//! In the order of a payload's way: [`parser`] takes off its [`unpack`] layer and reads its [`charset`];
//! [`format`] makes documents ([`json`]) of it; [`records`] or a [`jq`] program leads to the records; each
//! becomes an [`event`] with a [`time`] and [`fields`]. Nothing of this knows Kafka, a clock or a file.
//!
//! Around it: a [`pool`] reads records, has its [`work`] make others of them, and commits what landed; what of
//! its partitions is under way is kept at its [`desk`].

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

// What a pool is, around that.
pub mod books;
pub mod desk;
pub mod landings;
pub mod large;
pub mod line;
pub mod metadata;
pub mod metrics;
pub mod parsing;
pub mod pool;
pub mod quarantine;
pub mod raw;
pub mod window;
pub mod work;
