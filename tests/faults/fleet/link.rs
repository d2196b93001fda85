//! A device's connection: bytes that wait to be written, packets that were read. It waits for nothing but its
//! socket.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use ::tests::mqtt::{Packet, Version, decode};
use tokio::net::TcpStream;

/// One read from the socket, in bytes: what comes is acknowledgements.
const CHUNK: usize = 4 * 1024;
/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

pub struct Link {
    stream: TcpStream,
    version: Version,
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    received: Vec<u8>,
}

/// Why a connection is gone, as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    Closed,
    Reset,
    /// No CONNACK, no PINGRESP, or a socket that takes nothing.
    Silent,
    /// No PUBACK for longer than this device waits.
    GaveUp,
    /// The device is done.
    Own,
    /// What the gateway said in its CONNACK or DISCONNECT.
    Code(u8),
    Malformed(String),
}

impl Gone {
    pub fn word(&self) -> String {
        match self {
            Gone::Closed => "closed".to_owned(),
            Gone::Reset => "reset".to_owned(),
            Gone::Silent => "silent".to_owned(),
            Gone::GaveUp => "gave-up".to_owned(),
            Gone::Own => "own".to_owned(),
            Gone::Code(code) => format!("code-0x{code:02X}"),
            Gone::Malformed(_) => "malformed".to_owned(),
        }
    }
}

impl Link {
    /// None when nobody takes the connection.
    pub async fn open(gateway: SocketAddr, version: Version) -> Option<Link> {
        let stream = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(gateway)).await;
        let stream = stream.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Link { stream, version, out: Vec::new(), written: 0, received: Vec::new() })
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes that the socket did not take yet.
    pub fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what the socket takes; says whether it took anything.
    pub fn write(&mut self) -> Result<bool, Gone> {
        let before = self.written;
        while self.unwritten() > 0 {
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_transient(&error) => break,
                Err(_) => return Err(Gone::Reset),
            }
        }
        let took = self.written > before;
        if self.unwritten() == 0 {
            // An upload's buffer is not kept for the next alarm.
            (self.out, self.written) = (Vec::new(), 0);
        }
        Ok(took)
    }

    /// Reads what is there: whole packets, at most so many, and whether the connection is gone after them.
    pub fn read(&mut self, packets_max: usize) -> (Vec<Packet>, Option<Gone>) {
        let mut gone = None;
        let mut chunk = [0; CHUNK];
        while gone.is_none() {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => gone = Some(Gone::Closed),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if is_transient(&error) => break,
                Err(_) => gone = Some(Gone::Reset),
            }
        }
        let (mut packets, mut read) = (Vec::new(), 0);
        while packets.len() < packets_max {
            match decode::try_packet(self.version, &self.received[read..]) {
                Ok(Some((packet, length))) => {
                    packets.push(packet);
                    read += length;
                }
                Ok(None) => break,
                Err(malformed) => {
                    gone = Some(Gone::Malformed(malformed));
                    break;
                }
            }
        }
        self.received.drain(..read);
        (packets, gone)
    }

    /// Until there is something to read, or the socket takes what waits. Cancel safe.
    pub async fn ready(&self) {
        let wants_to_write = self.unwritten() > 0;
        // An error is met again by the read or write that follows.
        tokio::select! {
            _ = self.stream.readable() => {}
            _ = self.stream.writable(), if wants_to_write => {}
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
