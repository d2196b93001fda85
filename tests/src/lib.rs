//! The end-to-end harness: real Kafka, a real S3 server, the built gateway, clients that are not ours,
//! and faults between them. Everything blocks and panics: a test reads from top to bottom, and what
//! goes wrong ends it with the tail of the log that explains it.
//!
//! Nothing here uses Landfall's own codec, reader or configuration types: a fault in them must not
//! hide itself.

pub mod browser;
pub mod chart;
pub mod clock;
pub mod docs;
pub mod events;
pub mod exposition;
pub mod fail_points;
pub mod foreign;
pub mod freshness;
pub mod gateway;
pub mod http;
pub mod image;
pub mod kafka;
pub mod limits;
pub mod load;
pub mod mqtt;
pub mod network;
mod not_run;
pub mod parse_role;
pub mod pki;
pub mod ports;
pub mod proc;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod raw;
pub mod role;
pub mod s3;
pub mod server;
pub mod service;
pub mod stage;
pub mod store;
pub mod terminal;
pub mod tls;
pub mod tools;
pub mod wait;
pub mod websocket;

pub use not_run::not_run;
