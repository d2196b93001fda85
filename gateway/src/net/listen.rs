//! Accepts sockets, within the limits of connections and of silent ones.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::fail_point;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::silent::Silence;
use super::unix::SocketFile;
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

/// How a bind begins that names a socket file.
pub const UNIX: &str = "unix:";

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Bind {
        Bind::Tcp(address)
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(formatter),
            Bind::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
        }
    }
}

/// A socket that was accepted; it counts as a connection until this is dropped.
pub struct Accepted {
    pub transport: Transport,
    pub peer: Peer,
    pub admitted: Admitted,
    /// Nothing whole came of it yet.
    pub silence: Silence,
    /// By how many there are more than there may be.
    pub over_limit_by: u32,
    /// From here on everything until CONNACK has one deadline.
    pub at: Instant,
}

impl Accepted {
    pub fn new(edge: &Arc<Edge>, transport: Transport, peer: Peer) -> Accepted {
        let (admitted, over_limit_by) = edge.admission.admit(&peer.entrance.admission);
        let at = Instant::now();
        let silence = peer.entrance.silent.begin(at);
        Accepted { transport, peer, admitted, silence, over_limit_by, at }
    }
}

/// A bound listener.
pub struct Listener {
    entrance: Arc<Entrance>,
    socket: Bound,
}

enum Bound {
    Tcp(TcpListener),
    Unix(SocketFile),
}

impl Listener {
    /// Binds; needs a tokio runtime.
    pub fn bind(entrance: Arc<Entrance>, bind: &Bind) -> io::Result<Listener> {
        let socket = match bind {
            Bind::Tcp(address) => Bound::Tcp(bind_tcp(*address)?),
            Bind::Unix(path) => Bound::Unix(SocketFile::bind(path, BACKLOG)?),
        };
        Ok(Listener { entrance, socket })
    }

    /// Where it is; None if that is a file.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(_) => None,
        }
    }

    /// Accepts until `stop` says so or is dropped.
    pub async fn run(self, edge: Arc<Edge>, mut stop: watch::Receiver<bool>) {
        loop {
            fail_point::ask("listener");
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((transport, address)) => self.admit(&edge, transport, address),
                Err(error) => {
                    let listener = &*self.entrance.name;
                    tracing::warn!(listener, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next socket, when one more may be silent. Cancel safe.
    async fn accept(&self) -> io::Result<(Transport, Option<SocketAddr>)> {
        self.entrance.silent.room().await;
        match &self.socket {
            Bound::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // `[::]` sees IPv4 as a part of IPv6.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                Ok((Transport::Tcp(stream), Some(address)))
            }
            Bound::Unix(socket) => Ok((Transport::Unix(Box::new(socket.accept().await?)), None)),
        }
    }

    fn admit(&self, edge: &Arc<Edge>, transport: Transport, address: Option<SocketAddr>) {
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

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Whatever the system's default is, `[::]` takes IPv4 too.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use tokio::time::timeout;

    use super::*;
    use crate::net::peer::tests::peer;

    /// However long something takes on a busy machine.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_is_silent_at_one_listener_keeps_nobody_out_of_another() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bind = || Listener::bind(peer(any).entrance, &any.into()).expect("a port is free");
        let (quiet, busy) = (bind(), bind());
        // It is not old before that.
        let _silent = quiet.entrance.silent.begin(Instant::now() + 2 * LONG);
        let connect = |listener: &Listener| {
            let address = listener.address().expect("it is bound");
            TcpStream::connect(address).expect("it listens")
        };
        let _clients = (connect(&quiet), connect(&busy));
        assert!(timeout(LONG, busy.accept()).await.is_ok_and(|accepted| accepted.is_ok()));
        let waits = timeout(Duration::from_millis(50), quiet.accept()).await;
        assert!(waits.is_err(), "it has as many as it may");
    }
}
