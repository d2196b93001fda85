//! TLS over a transport, once its handshake is over. rustls does the records and this file the bytes
//! between: only whole records go to rustls, and between two messages a connection holds nothing.
//!
//! What arrives is read into a buffer of the thread and decrypted there; of a record that is not whole
//! the connection keeps what there is, which is less than the longest record. What leaves is one record
//! at a time, and of that the connection keeps what the socket did not take.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};

use crate::net::Transport;
use crate::net::transport::PeerState;

/// The longest record there is (RFC 5246, 6.2.3): a header, 16 KiB, and what ciphers add, in bytes.
pub const RECORD_MAX_BYTES: usize = 5 + 16 * 1024 + 2048;
/// What a record has beside the bytes in it, at most, in bytes.
pub const RECORD_OVERHEAD_BYTES: usize = 256;
/// Bytes that are read from the socket at once, at most and, however little is asked for, at least.
const READ_MAX_BYTES: usize = 64 * 1024;
const READ_MIN_BYTES: usize = 1024;
/// Bytes that a connection keeps of what it cannot decrypt yet, or has no room for.
pub const HELD_MAX_BYTES: usize = RECORD_MAX_BYTES + READ_MIN_BYTES;

thread_local! {
    /// What was kept of a record, and behind it what was read.
    static INCOMING: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; HELD_MAX_BYTES + READ_MAX_BYTES].into_boxed_slice());
    static OUTGOING: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; RECORD_MAX_BYTES].into_boxed_slice());
}

/// See the module.
pub struct TlsStream {
    inner: Transport,
    connection: UnbufferedServerConnection,
    /// Most bytes in one record that is sent.
    record_size: usize,
    /// Of records that are not whole, and whole ones for which nobody had room.
    incoming: Vec<u8>,
    /// Decrypted, and nobody had room for it.
    plaintext: Vec<u8>,
    /// Records that the socket did not take yet.
    outgoing: Vec<u8>,
    /// The client said that nothing more comes.
    ended: bool,
}

/// What came of looking into records.
enum Looked {
    /// So many bytes for the caller.
    Read(usize),
    /// No record is whole.
    Nothing,
    /// The client said that nothing more comes.
    Ended,
}

impl TlsStream {
    /// After the handshake; `incoming` is what was read behind it, and `plaintext` what of that was decrypted.
    pub fn new(
        inner: Transport,
        connection: UnbufferedServerConnection,
        incoming: Vec<u8>,
        plaintext: Vec<u8>,
        record_size: usize,
    ) -> TlsStream {
        TlsStream {
            inner,
            connection,
            record_size,
            incoming,
            plaintext,
            outgoing: Vec::new(),
            ended: false,
        }
    }

    /// The chain that the client proved to have, or that its session was begun with.
    pub fn client_chain(&self) -> &[CertificateDer<'static>] {
        self.connection.peer_certificates().unwrap_or_default()
    }

    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What rustls had to answer leaves before anything else.
        if let Err(error) = self.poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        let read = self.read_by(buffer, |inner, buffer| match inner.poll_read(context, buffer) {
            Poll::Ready(read) => read.map(Some),
            Poll::Pending => Ok(None),
        });
        match read.transpose() {
            Some(read) => Poll::Ready(read),
            None => Poll::Pending,
        }
    }

    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.write_by(bytes, |inner, bytes| match inner.poll_write(context, bytes) {
            Poll::Ready(written) => written.map(Some),
            Poll::Pending => Ok(None),
        });
        match written.transpose() {
            Some(written) => Poll::Ready(written),
            None => Poll::Pending,
        }
    }

    /// As `Transport::poll_flush`: writes records that were begun.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.flush_by(&mut |inner, bytes| match inner.poll_write(context, bytes) {
            Poll::Ready(written) => written.map(Some),
            Poll::Pending => Ok(None),
        })?;
        self.inner.poll_flush(context)
    }

    /// As `Transport::flush_now`.
    pub fn flush_now(&mut self) -> io::Result<()> {
        self.flush_by(&mut |inner, bytes| inner.write_now(bytes))?;
        self.inner.flush_now()
    }

    /// As `Transport::unsent_bytes`.
    pub fn unsent_bytes(&self) -> usize {
        self.outgoing.len() + self.inner.unsent_bytes()
    }

    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.flush_by(&mut |inner, bytes| inner.write_now(bytes))?;
        self.read_by(buffer, |inner, buffer| inner.read_now(buffer))
    }

    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.write_by(bytes, |inner, bytes| inner.write_now(bytes))
    }

    /// See `Transport::peer_state`; what is here counts beside what the kernel has.
    pub fn peer_state(&self, context: &mut Context<'_>) -> PeerState {
        match self.inner.peer_state(context) {
            PeerState::Ended { unread } => {
                let here = (self.plaintext.len() + self.incoming.len()) as u64;
                PeerState::Ended { unread: unread + here }
            }
            other => other,
        }
    }

    /// Sends the last bytes, and that they are the last, and closes.
    pub async fn close_with(&mut self, last_words: &[u8]) {
        let mut last = std::mem::take(&mut self.outgoing);
        let TlsStream { inner, connection, record_size, .. } = self;
        OUTGOING.with_borrow_mut(|records| {
            // A connection that cannot be told goodbye ends without it.
            for chunk in last_words.chunks(*record_size) {
                let Ok(length) = seal(connection, chunk, records) else { return };
                last.extend_from_slice(&records[..length]);
            }
            if let Ok(length) = seal_end(connection, records) {
                last.extend_from_slice(&records[..length]);
            }
        });
        Box::pin(inner.close_with(&last)).await;
    }

    /// Bytes of records that it holds.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.incoming.capacity() + self.plaintext.capacity() + self.outgoing.capacity()
    }

    /// Reads what is here, or what `read` gets from the socket; None when that is nothing.
    fn read_by(
        &mut self,
        buffer: &mut [u8],
        mut read: impl FnMut(&mut Transport, &mut [u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        if !self.plaintext.is_empty() {
            let count = self.plaintext.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.plaintext[..count]);
            self.plaintext.drain(..count);
            if self.plaintext.is_empty() {
                self.plaintext = Vec::new();
            }
            return Ok(Some(count));
        }
        INCOMING.with_borrow_mut(|records| {
            let mut held = self.incoming.len();
            records[..held].copy_from_slice(&self.incoming);
            let mut fresh = false;
            loop {
                if self.ended {
                    return Ok(Some(0));
                }
                // What was kept was looked at when it was kept, unless nobody had room for it.
                if fresh || first_is_whole(&records[..held]) {
                    let (looked, left) = self.look(&mut records[..held], buffer)?;
                    records.copy_within(held - left..held, 0);
                    held = left;
                    match looked {
                        Looked::Read(count) => {
                            self.keep(&records[..held]);
                            return Ok(Some(count));
                        }
                        Looked::Ended => {
                            self.ended = true;
                            self.keep(&[]);
                            return Ok(Some(0));
                        }
                        // It would be one message in many records, and there is none of that size.
                        Looked::Nothing if held > HELD_MAX_BYTES => {
                            return Err(ErrorKind::InvalidData.into());
                        }
                        Looked::Nothing => {}
                    }
                }
                let most = buffer.len().clamp(READ_MIN_BYTES, READ_MAX_BYTES);
                let most = most.min(records.len() - held);
                match read(&mut self.inner, &mut records[held..held + most])? {
                    None => {
                        self.keep(&records[..held]);
                        return Ok(None);
                    }
                    Some(0) => return Ok(Some(0)),
                    Some(count) => held += count,
                }
                fresh = true;
            }
        })
    }

    /// Decrypts whole records as long as the buffer has room: what came of it, and how many bytes at the
    /// end of `records` are left.
    fn look(&mut self, records: &mut [u8], buffer: &mut [u8]) -> io::Result<(Looked, usize)> {
        let (mut begin, mut filled) = (0, 0);
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut records[begin..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(broken)?.payload;
                        let count = payload.len().min(buffer.len() - filled);
                        buffer[filled..filled + count].copy_from_slice(&payload[..count]);
                        filled += count;
                        self.plaintext.extend_from_slice(&payload[count..]);
                    }
                    begin += discard;
                    if filled == buffer.len() || !self.plaintext.is_empty() {
                        return Ok((Looked::Read(filled), records.len() - begin));
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    begin += discard;
                    let outgoing = &mut self.outgoing;
                    OUTGOING.with_borrow_mut(|sealed| {
                        let length = data.encode(sealed).map_err(io::Error::other)?;
                        outgoing.extend_from_slice(&sealed[..length]);
                        io::Result::Ok(())
                    })?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    begin += discard;
                    // It is in `outgoing`, which leaves before anything else.
                    data.done();
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) if filled == 0 => {
                    return Ok((Looked::Ended, 0));
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.ended = true;
                    return Ok((Looked::Read(filled), 0));
                }
                Ok(_) => {
                    begin += discard;
                    let looked = if filled > 0 { Looked::Read(filled) } else { Looked::Nothing };
                    return Ok((looked, records.len() - begin));
                }
                Err(error) => {
                    self.tell_alert();
                    return Err(broken(error));
                }
            }
        }
    }

    /// Tries to tell the client what rustls has against its records.
    fn tell_alert(&mut self) {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            let mut alert = [0; RECORD_OVERHEAD_BYTES];
            if let Ok(length) = data.encode(&mut alert) {
                self.outgoing.extend_from_slice(&alert[..length]);
            }
        }
        // The connection is over, whether the alert arrives or not.
        let _ = self.flush_by(&mut |inner, bytes| inner.write_now(bytes));
    }

    /// Keeps what is not taken, and nothing else.
    fn keep(&mut self, left: &[u8]) {
        if left != &*self.incoming {
            self.incoming = left.to_vec();
        }
    }

    /// Makes a record of the first bytes and writes it; None while earlier ones are not written.
    fn write_by(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&mut Transport, &[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        if !self.flush_by(&mut write)? {
            return Ok(None);
        }
        let chunk = &bytes[..bytes.len().min(self.record_size)];
        let TlsStream { inner, connection, outgoing, .. } = self;
        OUTGOING.with_borrow_mut(|records| {
            let length = seal(connection, chunk, records)?;
            let written = write(inner, &records[..length])?.unwrap_or(0);
            outgoing.extend_from_slice(&records[written..length]);
            Ok(Some(chunk.len()))
        })
    }

    /// Writes records that were begun; false if some are left over.
    fn flush_by(
        &mut self,
        write: &mut impl FnMut(&mut Transport, &[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<bool> {
        while !self.outgoing.is_empty() {
            match write(&mut self.inner, &self.outgoing)? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(count) if count == self.outgoing.len() => self.outgoing = Vec::new(),
                Some(count) => drop(self.outgoing.drain(..count)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Writes the bytes as a record, behind what rustls itself has to send; how long that is.
fn seal(
    connection: &mut UnbufferedServerConnection,
    bytes: &[u8],
    records: &mut [u8],
) -> io::Result<usize> {
    by_traffic(connection, records, |traffic, records| traffic.encrypt(bytes, records))
}

/// Writes that nothing more comes.
fn seal_end(connection: &mut UnbufferedServerConnection, records: &mut [u8]) -> io::Result<usize> {
    by_traffic(connection, records, |traffic, records| traffic.queue_close_notify(records))
}

fn by_traffic(
    connection: &mut UnbufferedServerConnection,
    records: &mut [u8],
    encrypt: impl FnOnce(
        &mut WriteTraffic<'_, ServerConnectionData>,
        &mut [u8],
    ) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
        match state.map_err(broken)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let encrypted = encrypt(&mut traffic, &mut records[length..]);
                return encrypted.map(|more| length + more).map_err(io::Error::other);
            }
            ConnectionState::EncodeTlsData(mut data) => {
                length += data.encode(&mut records[length..]).map_err(io::Error::other)?;
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            // Said once, when the client said so.
            ConnectionState::PeerClosed => {}
            _ => return Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// The first record is here to its end.
fn first_is_whole(records: &[u8]) -> bool {
    match records {
        [_, _, _, high, low, rest @ ..] => {
            rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// The client's records are none.
fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
