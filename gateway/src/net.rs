//! The edge of the network: sockets are accepted here, and what is behind reads and writes a
//! [`Transport`] of which it knows only who the [`Peer`] is.

pub mod certificate;
pub mod entrance;
pub mod listen;
pub mod network;
mod open;
pub mod peer;
pub mod proxy;
pub mod silent;
pub mod tls;
pub mod transport;
mod unix;
pub mod websocket;

pub use certificate::Certificate;
pub use entrance::{Entrance, ListenerSettings};
pub use listen::{Accepted, Bind, Listener};
pub use network::Network;
pub use open::open;
pub use peer::{Peer, network};
pub use transport::Transport;
pub use websocket::WebSocket;
