//! Accepts sockets, within the limit of connections, and sets on each what the kernel has to know.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::connection;
use crate::edge::Edge;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// A dead peer is found after this, also while its socket is not read.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that does not confirm what was sent is gone after this.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections over the limit that are still read, to be told so in their CONNACK; more are closed. The
/// plan of descriptors has one for each.
pub const REFUSED_MAX: u32 = 64;

/// A bound listener.
pub struct Listener {
    name: String,
    socket: TcpListener,
}

impl Listener {
    /// Binds; needs a tokio runtime.
    pub fn bind(name: &str, address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener { name: name.to_owned(), socket: TcpListener::from_std(socket.into())? })
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
                Ok((stream, _)) => self.admit(&edge, stream),
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, edge: &Arc<Edge>, stream: TcpStream) {
        let admitted = edge.admit();
        if admitted.over_limit_by() > REFUSED_MAX {
            ::metrics::counter!(crate::metrics::CONNECTIONS_CLOSED, "reason" => "connection_limit")
                .increment(1);
            return;
        }
        if let Err(error) = tune(&stream) {
            tracing::debug!(listener = self.name, %error, "a socket could not be tuned");
        }
        tokio::spawn(connection::serve(Arc::clone(edge), stream, admitted));
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
