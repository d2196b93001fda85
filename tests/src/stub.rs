//! An HTTP server that fails: it answers every request with the same code, as an object store in
//! trouble does.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::read_head;
use crate::server::{Server, Shared};

/// A failing server; it ends with this.
pub struct Stub(Server<Failing>);

struct Failing {
    code: u16,
    requests: AtomicU64,
}

impl Stub {
    /// Answers every request with this code and nothing else.
    pub fn answering(code: u16) -> Stub {
        Stub(Server::start(Failing { code, requests: AtomicU64::new(0) }, answer))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.0.state().requests.load(Ordering::Acquire)
    }
}

/// Reads one request with its body and answers it; None when the connection is over.
fn answer(mut stream: &TcpStream, shared: &Shared<Failing>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let length = read_head(&mut reader)?;
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    if shared.has_ended() {
        return None;
    }
    let Failing { code, requests } = &shared.state;
    requests.fetch_add(1, Ordering::AcqRel);
    write!(stream, "HTTP/1.1 {code} Stub\r\nContent-Length: 0\r\n\r\n").ok()
}
