//! From an accepted message to a durable record: the lanes of Landfall. Knows no MQTT, HTTP or YAML.
//!
//! The way of a message: [`message`] → [`Uplink::decide`] ([`classify`]: routes and rules, pure) →
//! [`uplink::Inline::submit`] (its lane's share of memory, its record in the lane's [`format`], the lane's
//! queue) → [`lane`] → [`sink`] → and back only through its [`receipt`]. What is too large goes through an
//! [`upload`] first.

// What was published, and what is known of it.
pub mod message;
pub mod metadata;
pub mod route;
pub mod topic;
pub mod version;

// Where it belongs.
pub mod classify;
pub mod kafka_topic;
pub mod key;
pub mod lanes;
pub mod rule;

// What is written of it.
pub mod format;
pub mod identity;
pub mod record;

// What it takes, and what became of it.
pub mod account;
mod ages;
pub mod balance;
pub mod ledger;
pub mod mailbox;
pub mod outcome;
pub mod receipt;
pub mod repeats;
pub mod share;

// How it lands.
mod dead_letters;
pub mod lane;
pub mod outbox;
pub mod sink;
pub mod uplink;
pub mod upload;

// What it lands in, and what everybody needs.
pub mod fail_point;
pub mod kafka;
pub mod metrics;
pub mod objects;
pub mod text;

pub use account::{Account, Reservation};
pub use lane::{Lane, LaneThread};
pub use lanes::{LaneId, LanePlan, Lanes};
pub use ledger::Totals;
pub use mailbox::{Mailbox, Mark, Signals};
pub use message::Carriage;
pub use objects::Store;
pub use outcome::{Fault, Outcome, Refusal};
pub use receipt::Receipt;
pub use repeats::Repeats;
pub use uplink::{Decided, Full, Passage, ReplyTo, Uplink};
pub use upload::Upload;
