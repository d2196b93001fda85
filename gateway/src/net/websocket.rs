//! MQTT over WebSocket (RFC 6455): the upgrade, then a transport whose bytes are the payload of binary
//! frames, wherever those are cut. It holds no frame: what comes is handed on as it comes, and of what is
//! sent the rest of one small frame waits for the socket at most.

pub mod frames;
mod upgrade;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Peer, Transport};
use crate::connection::{Close, FREE_PARTIAL_BYTES, Foreign, Refusal};
use crate::edge::Edge;
use crate::patience::Patience;
use frames::{End, Frames};

pub use frames::FrameFault;
pub use upgrade::{Asked, Refused, Terms};

/// Payload of one frame that is sent, at most, in bytes: of a frame that was begun the rest has to be kept
/// until the socket takes it.
const FRAME_MAX: usize = 2048;
/// Payload that is sent with one call, at most, in bytes.
const WRITE_MAX: usize = 64 * 1024;
/// Reads that bring nothing but frames' heads and control frames, before others have their turn.
const EMPTY_READS_MAX: u32 = 4;
/// Bytes of the request's head that are read at once.
const READ_BYTES: usize = 1024;
/// Bytes that an open WebSocket takes beside the connection that it carries: its state and its timer, and
/// what it may keep, that is the rest of a frame and control frames.
pub const WEBSOCKET_COST: u64 = 3 * 1024;
/// Both control frames that may be kept at a time.
const CONTROLS_COST: usize = 2 * 128;
/// Its timer with what the runtime has for it.
const TIMER_COST: usize = 192;
const _: () = assert!(
    size_of::<WebSocket>() + TIMER_COST + CONTROLS_COST + FRAME_MAX <= WEBSOCKET_COST as usize
);

thread_local! {
    static FRAMES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a listener asks of who opens a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub terms: Terms,
    /// After this long without a byte in one of the directions a ping is sent, so that proxies in between
    /// see traffic in both.
    pub ping: Duration,
}

/// An open WebSocket, the gateway's end.
pub struct WebSocket {
    inner: Transport,
    frames: Frames,
    /// What came behind the request and is not read yet.
    early: Vec<u8>,
    /// The rest of the frame that the inner transport took in part, and control frames.
    unsent: Vec<u8>,
    pings: Pings,
    /// The client's Close, or its fault, was answered.
    said_close: bool,
}

/// When a ping is to be sent. One that is not answered ends nothing: the keep-alive of MQTT does.
struct Pings {
    every: Duration,
    received: Instant,
    sent: Instant,
    pinged: Instant,
    timer: Pin<Box<Sleep>>,
}

/// Upgrades what came to a listener for WebSockets. Who asks for something else is told over HTTP.
///
/// Not cancel safe: what was read is lost.
pub async fn open(
    edge: &Edge,
    mut transport: Transport,
    peer: &Peer,
    settings: &Settings,
    patience: &mut Patience,
) -> Result<Transport, Close> {
    let mut received = Vec::new();
    let mut room = edge.upgrades.nothing(peer.ip());
    loop {
        let mut buffer = [0; READ_BYTES];
        let new = match transport.read_within(&mut buffer, patience).await {
            Ok(Some(bytes @ 1..)) => &buffer[..bytes],
            Ok(None) => return Err(Close::TooSlow),
            Ok(Some(0)) | Err(_) => return Err(Close::BeforeConnect),
        };
        received.extend_from_slice(new);
        let beyond = received.capacity().saturating_sub(FREE_PARTIAL_BYTES);
        if !room.change(beyond as u64) {
            return Err(Refusal::ConnectMemory.into());
        }
        if let Some(foreign) = Foreign::in_place_of_http(&received) {
            foreign.log(edge, peer);
            return Err(Close::Foreign(foreign));
        }
        // No end of a head is in it.
        if !new.contains(&b'\n') && received.len() < upgrade::HEAD_MAX {
            continue;
        }
        match settings.terms.read(&received) {
            Asked::Partial => {}
            Asked::Granted { head_len, answer } => {
                return match transport.write_within(&answer, patience).await {
                    Ok(true) => {
                        let early = received.split_off(head_len);
                        Ok(WebSocket::over(transport, early, settings.ping))
                    }
                    Ok(false) => Err(Close::NotReading),
                    Err(_) => Err(Close::PeerGone),
                };
            }
            Asked::Refused(refused) => {
                refused.log(edge, peer);
                Box::pin(transport.close_with(&refused.response())).await;
                return Err(Close::Upgrade(refused));
            }
        }
    }
}

impl Refused {
    /// Says who was refused and why, now and then.
    fn log(self, edge: &Edge, peer: &Peer) {
        if edge.upgrade_logs[self as usize].allows() {
            let (listener, reason) = (peer.listener(), self.sentence());
            tracing::warn!(listener, %peer, reason, "a request for a WebSocket was refused");
        }
    }
}

impl WebSocket {
    /// Of a transport on which the upgrade was answered; `early` came behind the request.
    fn over(inner: Transport, mut early: Vec<u8>, ping: Duration) -> Transport {
        early.shrink_to_fit();
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + ping));
        let pings = Pings { every: ping, received: now, sent: now, pinged: now, timer };
        let unsent = Vec::new();
        let frames = Frames::default();
        let socket = WebSocket { inner, frames, early, unsent, pings, said_close: false };
        Transport::WebSocket(Box::new(socket))
    }

    pub fn inner(&self) -> &Transport {
        &self.inner
    }

    /// As [`Transport::poll_read`].
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..EMPTY_READS_MAX {
            let read =
                self.receive(buffer, |inner, buffer| match inner.poll_read(context, buffer) {
                    Poll::Ready(read) => read.map(Some),
                    Poll::Pending => Ok(None),
                })?;
            let Some(count) = read else { return Poll::Pending };
            self.answer();
            self.flush(|inner, bytes| polled(inner.poll_write(context, bytes)))?;
            match count {
                Some(count) => return Poll::Ready(Ok(count)),
                None => continue,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// As [`Transport::read_now`].
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        for _ in 0..EMPTY_READS_MAX {
            let read = self.receive(buffer, |inner, buffer| inner.read_now(buffer))?;
            let Some(count) = read else { return Ok(None) };
            self.answer();
            self.flush(Transport::write_now)?;
            if count.is_some() {
                return Ok(count);
            }
        }
        Ok(None)
    }

    /// Reads once: None if there is nothing to read, and within it, if what was read has a payload or is
    /// the end, how many bytes that is.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        mut read: impl FnMut(&mut Transport, &mut [u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<Option<usize>>> {
        match self.frames.end() {
            Some(End::Closed(_)) => return Ok(Some(Some(0))),
            Some(End::Fault(fault)) => return Err(io::Error::other(fault)),
            None => {}
        }
        let count = match self.early.is_empty() {
            true => read(&mut self.inner, buffer)?,
            false => Some(self.take_early(buffer)),
        };
        let Some(count) = count else { return Ok(None) };
        if count == 0 {
            return Ok(Some(Some(0)));
        }
        self.pings.received = Instant::now();
        let payload = self.frames.take(&mut buffer[..count]);
        Ok(Some((payload > 0).then_some(payload)))
    }

    fn take_early(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.early.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.early[..count]);
        self.early.drain(..count);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
        count
    }

    /// As [`Transport::poll_write`]. What is taken may wait for the socket in part.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken =
            self.send(bytes, |inner, bytes| polled(inner.poll_write(context, bytes))).transpose();
        taken.map_or(Poll::Pending, Poll::Ready)
    }

    /// As [`Transport::write_now`].
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.send(bytes, Transport::write_now)
    }

    fn send(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&mut Transport, &[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        self.flush(&mut write)?;
        if !self.unsent.is_empty() {
            return Ok(None);
        }
        let bytes = &bytes[..bytes.len().min(WRITE_MAX)];
        FRAMES.with_borrow_mut(|out| {
            out.clear();
            frames::binary(out, bytes, FRAME_MAX);
            let mut written = 0;
            // TLS takes a record at a time.
            while written < out.len() {
                match write(&mut self.inner, &out[written..])? {
                    None if written == 0 => return Ok(None),
                    Some(0) if written == 0 => return Ok(Some(0)),
                    None | Some(0) => break,
                    Some(count) => written += count,
                }
            }
            self.pings.sent = Instant::now();
            // Up to the end of the frame in which the socket stopped.
            let whole_frame = frames::head_size(FRAME_MAX) + FRAME_MAX;
            let begun = written.div_ceil(whole_frame);
            self.unsent.extend_from_slice(&out[written..out.len().min(begun * whole_frame)]);
            Ok(Some(bytes.len().min(begun * FRAME_MAX)))
        })
    }

    /// As [`Transport::poll_flush`]: sends what is unsent, and a ping when it is time for one.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.pings.are_due(context) && self.unsent.is_empty() {
            frames::ping(&mut self.unsent);
        }
        self.flush(|inner, bytes| polled(inner.poll_write(context, bytes)))?;
        self.inner.poll_flush(context)
    }

    /// As [`Transport::flush_now`].
    pub fn flush_now(&mut self) -> io::Result<()> {
        self.flush(Transport::write_now)?;
        self.inner.flush_now()
    }

    /// As [`Transport::unsent_bytes`].
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.len() + self.inner.unsent_bytes()
    }

    /// Puts the answer to a ping, or to a Close, behind what is unsent. While the client reads nothing, a
    /// ping waits, and the next takes its place.
    fn answer(&mut self) {
        if self.unsent.is_empty()
            && let Some(ping) = self.frames.take_ping()
        {
            frames::pong(&mut self.unsent, &ping);
        }
        if let Some(End::Closed(code)) = self.frames.end()
            && !self.said_close
        {
            frames::close_frame(&mut self.unsent, code);
            self.said_close = true;
        }
    }

    /// Writes what is unsent, as far as it is taken.
    fn flush(
        &mut self,
        mut write: impl FnMut(&mut Transport, &[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match write(&mut self.inner, &self.unsent)? {
                None => return Ok(()),
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => drop(self.unsent.drain(..count)),
            }
            self.pings.sent = Instant::now();
            if self.unsent.is_empty() {
                // A ping may have waited for it.
                self.unsent = Vec::new();
                self.answer();
            }
        }
        Ok(())
    }

    /// As [`Transport::close_with`]: behind the last words comes a Close frame, if none was sent.
    pub async fn close_with(&mut self, last_words: &[u8]) {
        let mut bytes = std::mem::take(&mut self.unsent);
        if !self.said_close {
            frames::binary(&mut bytes, last_words, FRAME_MAX);
            let code = match self.frames.end() {
                Some(End::Fault(fault)) => fault.close_code(),
                _ => frames::NORMAL,
            };
            frames::close_frame(&mut bytes, Some(code));
            self.said_close = true;
        }
        self.inner.close_with(&bytes).await;
    }
}

impl Pings {
    /// It is time for one; the next is waited for.
    fn are_due(&mut self, context: &mut Context<'_>) -> bool {
        let mut due = false;
        while self.timer.as_mut().poll(context).is_ready() {
            let (is_due, look_at) = self.look(Instant::now());
            due |= is_due;
            self.timer.as_mut().reset(look_at);
        }
        due
    }

    /// Whether it is time for one, and when to look again.
    fn look(&mut self, now: Instant) -> (bool, Instant) {
        let silent_since = self.received.min(self.sent).max(self.pinged);
        let due = silent_since + self.every;
        if now < due {
            return (false, due);
        }
        self.pinged = now;
        (true, now + self.every)
    }
}

fn polled(written: Poll<io::Result<usize>>) -> io::Result<Option<usize>> {
    match written {
        Poll::Ready(written) => written.map(Some),
        Poll::Pending => Ok(None),
    }
}

#[cfg(test)]
mod tests;
