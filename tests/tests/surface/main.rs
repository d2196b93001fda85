//! What people meet first: what they read, what they type, and the clients that they bring.

// What README shows works as it is shown.
mod readme;
// `landfall dev` needs nothing and shows what lands.
mod dev;
// Clients that are not ours publish, and clients that are not ours read.
mod clients;
// What the benchmark counts has landed.
mod bench;
