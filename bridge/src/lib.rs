//! From an accepted message to a durable record: the lanes of Landfall. Knows no MQTT, HTTP or YAML.
//!
//! The way of a message: [`message`] → [`Bridge::classify`] (routes and rules, pure) →
//! [`Bridge::submit`] (its lane's share of memory, [`envelope`], the lane's queue) → [`lane`] →
//! [`sink`] → and back only through its [`receipt`]. What is too large goes through an [`upload`]
//! first.

pub mod account;
pub mod bridge;
pub mod classify;
pub mod envelope;
pub mod kafka;
pub mod key;
pub mod lane;
mod letter;
pub mod message;
pub mod metrics;
pub mod objects;
pub mod receipt;
pub mod record;
pub mod route;
pub mod sink;
pub mod text;
pub mod upload;

pub use account::{Account, Class, Reservation, Totals};
pub use bridge::{Bridge, Full, Store};
pub use lane::{Lane, LaneSettings, LaneThread};
pub use receipt::{Fault, Mailbox, Mark, Outcome, ROOM, Receipt, Refusal};
pub use upload::Upload;
