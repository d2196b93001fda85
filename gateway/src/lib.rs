//! The gateway: MQTT's edge, the local plane, the admin server, and the commands of `landfall`.

pub mod access;
pub mod admin;
mod admission;
pub mod app;
pub mod audit;
pub mod budget;
pub mod clients;
pub mod command;
pub mod config;
pub mod connection;
pub mod edge;
pub mod identity;
pub mod local;
pub mod low_priority;
pub mod metrics;
pub mod mqtt;
pub mod net;
mod panics;
mod patience;
mod phase;
pub mod process;
pub mod pulse;
mod rate_limit;
pub mod reload;
pub mod rights;
pub mod session;
pub mod view;
