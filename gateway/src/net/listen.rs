//! Accepts sockets, within the limit of connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Entrance, Peer, Transport};
use crate::admission::Admitted;
use crate::connection::{self, Refusal};
use crate::edge::Edge;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// Pause after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections over the limit that are still read, to be told so in their CONNACK; more are closed. The
/// plan of descriptors has one for each.
pub const REFUSED_MAX: u32 = 64;

/// A socket that was accepted; it counts as a connection until this is dropped.
pub struct Accepted {
    pub transport: Transport,
    pub peer: Peer,
    pub admitted: Admitted,
    /// By how many there are more than there may be.
    pub over_limit_by: u32,
    /// From here on everything until CONNACK has one deadline.
    pub at: Instant,
}

impl Accepted {
    pub fn new(edge: &Arc<Edge>, transport: Transport, peer: Peer) -> Accepted {
        let (admitted, over_limit_by) = edge.admission.admit();
        Accepted { transport, peer, admitted, over_limit_by, at: Instant::now() }
    }
}

/// A bound listener.
pub struct Listener {
    entrance: Arc<Entrance>,
    socket: TcpListener,
}

impl Listener {
    /// Binds; needs a tokio runtime.
    pub fn bind(entrance: Entrance, address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener { entrance: Arc::new(entrance), socket: TcpListener::from_std(socket.into())? })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` says so or is dropped.
    pub async fn run(self, edge: Arc<Edge>, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.admit(&edge, Transport::Tcp(stream), address),
                Err(error) => {
                    let listener = &*self.entrance.name;
                    tracing::warn!(listener, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, edge: &Arc<Edge>, transport: Transport, address: SocketAddr) {
        let peer = Peer::new(Arc::clone(&self.entrance), address);
        let accepted = Accepted::new(edge, transport, peer);
        if accepted.over_limit_by > REFUSED_MAX {
            Refusal::ConnectionLimit.count();
            return;
        }
        if let Err(error) = accepted.transport.tune() {
            tracing::debug!(listener = &*self.entrance.name, %error, "a socket could not be tuned");
        }
        tokio::spawn(connection::serve(Arc::clone(edge), accepted));
    }
}
