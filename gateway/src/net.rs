//! The edge of the network: sockets are accepted here, and what is behind reads and writes a
//! [`Transport`] of which it knows only who the [`Peer`] is.

pub mod listen;
pub mod peer;
pub mod transport;

pub use listen::{Accepted, Listener};
pub use peer::Peer;
pub use transport::Transport;
