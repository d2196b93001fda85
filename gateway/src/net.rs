//! The edge of the network: sockets are accepted here, and what is behind reads and writes a
//! [`Transport`] of which it knows only who the [`Peer`] is.

mod certificate;
pub mod entrance;
pub mod listen;
mod open;
pub mod peer;
pub mod tls;
pub mod transport;

pub use certificate::Certificate;
pub use entrance::Entrance;
pub use listen::{Accepted, Listener};
pub use open::open;
pub use peer::Peer;
pub use transport::Transport;
