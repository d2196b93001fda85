//! Who is at the other end of a connection, as far as the network tells.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name of the listener that it came to.
    pub listener: Arc<str>,
    pub address: SocketAddr,
}

/// For logs: the address alone, because the listener has a field of its own there.
impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}
