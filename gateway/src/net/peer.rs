//! Who is at the other end of a connection, as far as the network tells.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Certificate, Entrance};

/// See the module.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it came in.
    pub entrance: Arc<Entrance>,
    /// None: a process of this machine, at a unix socket.
    pub address: Option<SocketAddr>,
    /// What it proved to have in a TLS handshake, with the gateway or with a load balancer that is believed.
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// Of whom nothing is known yet but where it comes from.
    pub fn new(entrance: Arc<Entrance>, address: Option<SocketAddr>) -> Peer {
        Peer { entrance, address, certificate: None }
    }
}

impl Peer {
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }

    /// The name of the listener that it came to.
    pub fn listener(&self) -> &str {
        &self.entrance.name
    }
}

/// For logs: the address alone, because the listener has a field of its own there.
impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("a process of this machine"),
        }
    }
}

/// The addresses of one owner, as one: of IPv6, who has an address has all of its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        four => four,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::identity::Authentication;
    use crate::net::ListenerSettings;

    /// Somebody who came in where nothing is asked.
    pub(crate) fn peer(address: SocketAddr) -> Peer {
        let settings = ListenerSettings::new("plain", address);
        let entrance =
            Entrance::new(&settings, &Authentication::none(), None).expect("it reads no file");
        Peer::new(Arc::new(entrance), Some(address))
    }
}
