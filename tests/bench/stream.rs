//! A connection's socket with or without TLS over it, blocking or not: whoever reads and writes need not
//! know which.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use rustls::{ClientConnection, HandshakeKind};

/// See the module.
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Stream {
    pub fn plain(socket: TcpStream) -> Stream {
        Stream { socket, tls: None }
    }

    pub fn secured(socket: TcpStream, tls: ClientConnection) -> Stream {
        Stream { socket, tls: Some(Box::new(tls)) }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn set_nonblocking(&self) -> Result<(), String> {
        let set = self.socket.set_nonblocking(true);
        set.map_err(|error| format!("a socket does not become nonblocking: {error}"))
    }

    /// Was the session resumed? None without TLS, and before it is known.
    pub fn resumed(&self) -> Option<bool> {
        let kind = self.tls.as_ref()?.handshake_kind()?;
        Some(kind == HandshakeKind::Resumed)
    }

    /// What came; 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Whoever closes without a goodbye of TLS has closed.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            push(tls, &mut self.socket)?;
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let taken = tls.process_new_packets();
            // An alert of ours may have to leave.
            push(tls, &mut self.socket)?;
            taken.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    /// How much was taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        let written = tls.writer().write(bytes)?;
        push(tls, &mut self.socket)?;
        Ok(written)
    }

    /// Sends what TLS still holds.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => push(tls, &mut self.socket),
            None => Ok(()),
        }
    }

    /// Does TLS hold something that the socket did not take?
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// On a blocking socket.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Before the end of its handshake, TLS keeps what is written.
            self.complete_handshake()?;
            let written = self.write(bytes)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// On a blocking socket.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }

    fn complete_handshake(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut self.socket)?;
            }
        }
        Ok(())
    }
}

/// Sends what TLS holds, as far as the socket takes it.
fn push(tls: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
