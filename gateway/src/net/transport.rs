//! What carries a connection's bytes; nothing else names a `TcpStream`. A kind is a variant here and an
//! arm in each function.
//!
//! The runtime may know less of a socket than the kernel: a gateway that was stopped finds all its
//! timers due, and has seen only some of its sockets. So nobody is ended by the clock before the
//! kernel itself was asked ([`Transport::read_now`], [`Transport::write_now`]); see `patience.rs`.

use std::future::{Future as _, poll_fn};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf, Ready, copy,
    sink,
};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{timeout, timeout_at};

use super::WebSocket;
use super::tls::TlsStream;
use crate::patience::Patience;

/// A dead peer is found after this, also while its socket is not read.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A peer that does not confirm what was sent is gone after this.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to read the last that it is sent.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a client that is still sending that are thrown away, so that the goodbye is not lost to
/// a reset of the connection.
const GOODBYE_DRAIN_BYTES: u64 = 1024 * 1024;

/// See the module.
pub enum Transport {
    Tcp(TcpStream),
    /// In a box, because a connection over TCP has no room to spare.
    Unix(Box<UnixStream>),
    /// Over one of those above.
    Tls(Box<TlsStream>),
    /// Over any of those above.
    WebSocket(Box<WebSocket>),
}

/// What is known of a peer of which nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    There,
    /// It sends no more than these bytes, which are here.
    Ended {
        unread: u64,
    },
    /// It broke the connection off, or the network did: nothing reaches it any more.
    Gone,
}

impl Transport {
    /// Sets what the kernel has to know of a socket that was accepted.
    pub fn tune(&self) -> io::Result<()> {
        let stream = match self {
            Transport::Tcp(stream) => stream,
            Transport::Unix(_) => return Ok(()),
            // Their sockets were told before.
            Transport::Tls(_) | Transport::WebSocket(_) => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
    }

    /// Reads into `buffer`; zero bytes are the peer's end.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Transport::Tcp(stream) => poll_read(stream, context, buffer),
            Transport::Unix(stream) => poll_read(&mut **stream, context, buffer),
            Transport::Tls(stream) => stream.poll_read(context, buffer),
            Transport::WebSocket(socket) => socket.poll_read(context, buffer),
        }
    }

    /// Writes what is taken of `bytes`. Of what it took, a transport may hold some until the socket takes
    /// it ([`Transport::unsent_bytes`]).
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Unix(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
            Transport::Tls(stream) => stream.poll_write(context, bytes),
            Transport::WebSocket(socket) => socket.poll_write(context, bytes),
        }
    }

    /// The chain of certificates that the client proved to have.
    pub fn client_chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => &[],
            Transport::Tls(stream) => stream.client_chain(),
            Transport::WebSocket(socket) => socket.inner().client_chain(),
        }
    }

    /// Reads what the kernel has, whatever the runtime knows; None if that is nothing.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Transport::Tcp(stream) => some(|| (&*SockRef::from(&*stream)).read(buffer)),
            Transport::Unix(stream) => some(|| (&*SockRef::from(&**stream)).read(buffer)),
            Transport::Tls(stream) => stream.read_now(buffer),
            Transport::WebSocket(socket) => socket.read_now(buffer),
        }
    }

    /// Writes what the kernel takes, whatever the runtime knows; None if that is nothing.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Transport::Tcp(stream) => some(|| (&*SockRef::from(&*stream)).write(bytes)),
            Transport::Unix(stream) => some(|| (&*SockRef::from(&**stream)).write(bytes)),
            Transport::Tls(stream) => stream.write_now(bytes),
            Transport::WebSocket(socket) => socket.write_now(bytes),
        }
    }

    /// Sends, as far as the socket takes it, what was taken and is still held, and what the transport owes
    /// by itself, such as a ping. Called in each turn.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => Ok(()),
            Transport::Tls(stream) => stream.poll_flush(context),
            Transport::WebSocket(socket) => socket.poll_flush(context),
        }
    }

    /// The same, whatever the runtime knows.
    pub fn flush_now(&mut self) -> io::Result<()> {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => Ok(()),
            Transport::Tls(stream) => stream.flush_now(),
            Transport::WebSocket(socket) => socket.flush_now(),
        }
    }

    /// Bytes that wait here for the socket.
    pub fn unsent_bytes(&self) -> usize {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => 0,
            Transport::Tls(stream) => stream.unsent_bytes(),
            Transport::WebSocket(socket) => socket.unsent_bytes(),
        }
    }

    /// There are last words even where MQTT has none.
    pub fn says_goodbye(&self) -> bool {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) | Transport::Tls(_) => false,
            Transport::WebSocket(_) => true,
        }
    }

    /// Looks at what the runtime was told of the peer, without reading; nobody is woken by it later. The
    /// kernel is asked only how much is unread, of a peer that ended its side: with what the layers in
    /// between add to it.
    pub fn peer_state(&self, context: &mut Context<'_>) -> PeerState {
        let interest = Interest::READABLE | Interest::ERROR;
        match self {
            Transport::Tcp(stream) => {
                peer_state(pin!(stream.ready(interest)).poll(context), stream)
            }
            Transport::Unix(stream) => {
                peer_state(pin!(stream.ready(interest)).poll(context), &**stream)
            }
            Transport::Tls(stream) => stream.peer_state(context),
            Transport::WebSocket(socket) => socket.inner().peer_state(context),
        }
    }

    /// Waits until there is something to read, or the peer's end; false if that was not within the deadline.
    /// Of a socket only: what is inside a layer has no readiness of its own. Cancel safe.
    pub async fn readable_within(&self, patience: &mut Patience) -> io::Result<bool> {
        Ok(self.peek_within(&mut [0], patience).await?.is_some())
    }

    /// Looks at what can be read, without taking it; zero bytes are the peer's end, None if nothing came
    /// within the deadline. Of a socket only. Cancel safe.
    pub async fn peek_within(
        &self,
        buffer: &mut [u8],
        patience: &mut Patience,
    ) -> io::Result<Option<usize>> {
        loop {
            let peeked = match self {
                Transport::Tcp(stream) => {
                    let peek = stream.async_io(Interest::READABLE, || peek(stream, buffer));
                    timeout_at(patience.due(), peek).await
                }
                Transport::Unix(stream) => {
                    let peek = stream.async_io(Interest::READABLE, || peek(&**stream, buffer));
                    timeout_at(patience.due(), peek).await
                }
                Transport::Tls(_) | Transport::WebSocket(_) => {
                    return Err(ErrorKind::Unsupported.into());
                }
            };
            if let Ok(peeked) = peeked {
                return peeked.map(Some);
            }
            let here = match self {
                Transport::Tcp(stream) => some(|| peek(stream, buffer)),
                Transport::Unix(stream) => some(|| peek(&**stream, buffer)),
                Transport::Tls(_) | Transport::WebSocket(_) => Err(ErrorKind::Unsupported.into()),
            };
            if let Some(count) = here? {
                return Ok(Some(count));
            }
            if patience.ends(Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// Reads within the deadline; None if nothing came. Cancel safe.
    pub async fn read_within(
        &mut self,
        buffer: &mut [u8],
        patience: &mut Patience,
    ) -> io::Result<Option<usize>> {
        loop {
            let read = poll_fn(|context| self.poll_read(context, buffer));
            if let Ok(read) = timeout_at(patience.due(), read).await {
                return read.map(Some);
            }
            if let Some(count) = self.read_now(buffer)? {
                return Ok(Some(count));
            }
            if patience.ends(Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// Writes all of it within the deadline; false if that was not possible. Not cancel safe: how much
    /// was written is lost.
    pub async fn write_within(
        &mut self,
        mut bytes: &[u8],
        patience: &mut Patience,
    ) -> io::Result<bool> {
        while !bytes.is_empty() {
            let write = poll_fn(|context| self.poll_write(context, bytes));
            let written = match timeout_at(patience.due(), write).await {
                Ok(written) => Some(written?),
                Err(_) => self.write_now(bytes)?,
            };
            match written {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(count) => bytes = &bytes[count..],
                None if patience.ends(Instant::now()) => return Ok(false),
                None => {}
            }
        }
        let flush = poll_fn(|context| match self.poll_flush(context) {
            Ok(()) if self.unsent_bytes() > 0 => Poll::Pending,
            flushed => Poll::Ready(flushed),
        });
        if let Ok(flushed) = timeout_at(patience.due(), flush).await {
            return flushed.map(|()| true);
        }
        self.flush_now()?;
        Ok(self.unsent_bytes() == 0)
    }

    /// Sends the last bytes and closes so that the peer gets to read them. Bounded in time and bytes.
    pub async fn close_with(&mut self, last_words: &[u8]) {
        match self {
            Transport::Tcp(stream) => close_with(stream, last_words).await,
            Transport::Unix(stream) => close_with(&mut **stream, last_words).await,
            Transport::Tls(stream) => Box::pin(stream.close_with(last_words)).await,
            Transport::WebSocket(socket) => Box::pin(socket.close_with(last_words)).await,
        }
    }
}

fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    Pin::new(stream)
        .poll_read(context, &mut buffer)
        .map(|read| read.map(|()| buffer.filled().len()))
}

fn peer_state(known: Poll<io::Result<Ready>>, socket: &impl AsFd) -> PeerState {
    match known {
        Poll::Pending => PeerState::There,
        Poll::Ready(Ok(ready)) if ready.is_error() => PeerState::Gone,
        Poll::Ready(Ok(ready)) if !ready.is_read_closed() => PeerState::There,
        Poll::Ready(Ok(_)) => match rustix::io::ioctl_fionread(socket) {
            Ok(unread) => PeerState::Ended { unread },
            Err(_) => PeerState::Gone,
        },
        Poll::Ready(Err(_)) => PeerState::Gone,
    }
}

fn peek(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(socket, buffer, RecvFlags::PEEK)?;
    Ok(count)
}

async fn close_with(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), last_words: &[u8]) {
    let goodbye = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the last words with it.
        copy(&mut stream.take(GOODBYE_DRAIN_BYTES), &mut sink()).await
    };
    // Whatever fails here, the connection is over.
    let _ = timeout(GOODBYE_WAIT, goodbye).await;
}

fn some(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        return match attempt() {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Ok(None),
                ErrorKind::Interrupted => continue,
                _ => Err(error),
            },
        };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net;

    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection over loopback.
    pub(crate) async fn pair() -> (Transport, net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = net::TcpStream::connect(address).expect("it listens");
        let (served, _) = listener.accept().await.expect("a connection");
        (Transport::Tcp(served), client)
    }

    /// Before the runtime has looked at the socket it takes it for empty.
    #[tokio::test]
    async fn the_kernel_knows_more_than_the_runtime() {
        let (mut served, mut client) = pair().await;
        let mut buffer = [0; 8];
        let Transport::Tcp(stream) = &served else { panic!("it is plain TCP") };
        let known = stream.try_read(&mut buffer).map_err(|error| error.kind());
        assert_eq!(known, Err(ErrorKind::WouldBlock));
        assert!(matches!(served.read_now(&mut buffer), Ok(None)));
        client.write_all(b"ping").expect("it is connected");
        let Transport::Tcp(stream) = &served else { panic!("it is plain TCP") };
        let known = stream.try_read(&mut buffer).map_err(|error| error.kind());
        assert_eq!(known, Err(ErrorKind::WouldBlock));
        // Loopback delivers before a write returns.
        assert!(matches!(served.read_now(&mut buffer), Ok(Some(4))));
        assert!(matches!(served.write_now(b"pong"), Ok(Some(4))));
        drop(client);
        let mut patience = Patience::new(Duration::from_secs(60));
        let read = served.read_within(&mut buffer, &mut patience).await;
        assert!(matches!(read, Ok(Some(0)) | Err(_)), "{read:?}");
    }

    async fn state(served: &Transport, wanted: PeerState) {
        let seen = async {
            while poll_fn(|context| Poll::Ready(served.peer_state(context))).await != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(Duration::from_secs(60), seen).await;
        assert!(waited.is_ok(), "the peer is not {wanted:?}");
    }

    #[tokio::test]
    async fn a_peer_that_leaves_is_noticed_although_nothing_is_read() {
        let (served, mut client) = pair().await;
        state(&served, PeerState::There).await;
        client.write_all(&[7; 100]).expect("it is connected");
        state(&served, PeerState::There).await;
        client.shutdown(net::Shutdown::Write).expect("it is connected");
        state(&served, PeerState::Ended { unread: 100 }).await;
        // What it does not read any more breaks the connection off.
        let Transport::Tcp(stream) = &served else { panic!("it is plain TCP") };
        stream.try_write(b"pong").expect("it takes that");
        drop(client);
        state(&served, PeerState::Gone).await;
    }

    #[tokio::test]
    async fn the_last_words_are_read_although_the_peer_still_sends() {
        let (mut served, mut client) = pair().await;
        client.write_all(&[7; 64 * 1024]).expect("it is connected");
        let closing = tokio::spawn(async move { served.close_with(b"goodbye").await });
        let read = tokio::task::spawn_blocking(move || {
            let mut words = Vec::new();
            client.read_to_end(&mut words).map(|_| words)
        });
        let words = read.await.expect("no panic").expect("no reset");
        assert_eq!(words, b"goodbye");
        closing.await.expect("no panic");
    }
}
