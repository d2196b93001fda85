//! The end-to-end tests: one program, one module per promise, on the harness of the crate `tests`.

mod clients;
mod durable;
mod local;
mod session;
mod start;
