//! The end-to-end tests: one program, one module per promise, on the harness of the crate `tests`.

mod bench;
mod bounds;
mod chart;
mod clients;
mod dev;
mod drain;
mod durable;
mod errors;
mod fleet;
mod image;
mod lanes;
mod large;
mod local;
mod memory;
mod monitoring;
mod readme;
mod session;
mod sink;
mod start;
