//! A server of the tests' own on a free port: a thread for each connection, until it is dropped.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::ports;

/// A server; it ends with this.
pub struct Server<S> {
    pub address: SocketAddr,
    shared: Arc<Shared<S>>,
}

/// What its connections share with who started it.
pub struct Shared<S> {
    pub state: S,
    ended: AtomicBool,
}

impl<S: Send + Sync + 'static> Server<S> {
    /// `answer` reads one request and answers it; None when the connection is over.
    pub fn start(state: S, answer: fn(&TcpStream, &Shared<S>) -> Option<()>) -> Server<S> {
        let listener = ports::listen();
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { state, ended: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.has_ended() {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || while answer(&client, &shared).is_some() {});
            }
        });
        Server { address, shared }
    }

    pub fn state(&self) -> &S {
        &self.shared.state
    }
}

impl<S> Shared<S> {
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the accepting thread, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}
