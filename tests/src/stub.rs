//! An HTTP server that fails: it answers every request with the same code, as an object store in
//! trouble does.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::http::read_head;
use crate::ports;

/// A failing server; it ends with this.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    ended: AtomicBool,
}

impl Stub {
    /// Answers every request with this code and nothing else.
    pub fn answering(code: u16) -> Stub {
        let listener = ports::listen();
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || while answer(&client, code, &shared).is_some() {});
            }
        });
        Stub { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Acquire)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the accepting thread, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads one request with its body and answers it; None when the connection is over.
fn answer(mut stream: &TcpStream, code: u16, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let length = read_head(&mut reader)?;
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    if shared.ended.load(Ordering::Acquire) {
        return None;
    }
    shared.requests.fetch_add(1, Ordering::AcqRel);
    write!(stream, "HTTP/1.1 {code} Stub\r\nContent-Length: 0\r\n\r\n").ok()
}
