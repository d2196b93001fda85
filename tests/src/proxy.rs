//! A TCP proxy on loopback that harms what passes: it holds answers back, cuts, goes deaf, slows down,
//! and lets go again.

pub(crate) mod relay;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use self::relay::{Relay, close};
use crate::ports;

/// What one read takes at most, in bytes.
const CHUNK: usize = 16 * 1024;

/// A proxy; it ends with this, and so do its connections.
pub struct Proxy {
    relay: Relay,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    fault: Fault,
    ended: bool,
    /// Bytes that went from the server to clients.
    answered: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Nothing flows from the server to clients.
    HoldAnswers,
    /// Nothing flows at all; connections are taken and stay silent.
    Blackhole,
    /// Bytes per second, in each direction of each connection.
    Throttle(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// A proxy in front of a port of loopback.
    pub fn start(target_port: u16) -> Proxy {
        Proxy::start_on(ports::free(), target_port)
    }

    /// A proxy on a port that was chosen before, because a server has to know it.
    pub fn start_on(port: u16, target_port: u16) -> Proxy {
        let shared = Arc::new(Shared::default());
        let carrying = Arc::clone(&shared);
        let relay = Relay::start_on(port, target_port, move |client, server| {
            carry(client, server, &carrying);
        });
        Proxy { relay, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// From now on the server's bytes wait here; clients' bytes still reach the server.
    pub fn hold_answers(&self) {
        self.set(Fault::HoldAnswers);
    }

    /// From now on nothing flows, in neither direction, and nothing is closed.
    pub fn blackhole(&self) {
        self.set(Fault::Blackhole);
    }

    /// From now on open connections are gone and new ones are closed at once.
    pub fn refuse(&self) {
        self.set(Fault::None);
        self.relay.refuse(true);
        self.relay.cut();
    }

    /// From now on each direction of each connection carries that many bytes per second.
    pub fn throttle(&self, bytes_per_second: u32) {
        assert!(bytes_per_second > 0, "a proxy that carries nothing is a blackhole");
        self.set(Fault::Throttle(bytes_per_second));
    }

    /// Everything flows again, first what was held back.
    pub fn release(&self) {
        self.set(Fault::None);
    }

    /// Closes the connections that are open now; what was held back is lost.
    pub fn cut(&self) {
        self.relay.cut();
    }

    /// Bytes that clients got from the server so far.
    pub fn answered(&self) -> u64 {
        self.shared.lock().answered
    }

    fn set(&self, fault: Fault) {
        self.relay.refuse(false);
        self.shared.lock().fault = fault;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// Waits until bytes may pass, and says how fast; None when the proxy ends.
    fn pass(&self, direction: Direction) -> Option<Option<u32>> {
        let stopped = |state: &mut State| {
            !state.ended
                && match state.fault {
                    Fault::HoldAnswers => direction == Direction::ToClient,
                    Fault::Blackhole => true,
                    Fault::None | Fault::Throttle(_) => false,
                }
        };
        let state = self.changed.wait_while(self.lock(), stopped);
        let state = state.expect("nothing panics under this lock");
        match state.fault {
            _ if state.ended => None,
            Fault::Throttle(rate) => Some(Some(rate)),
            _ => Some(None),
        }
    }
}

fn carry(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) {
    let clones = (client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone());
    let (Ok(from_client), Ok(to_server), Ok(to_client), Ok(from_server)) = clones else { return };
    let answers = {
        let shared = Arc::clone(shared);
        thread::spawn(move || pump(from_server, to_client, Direction::ToClient, &shared))
    };
    pump(from_client, to_server, Direction::ToServer, shared);
    let _ = answers.join();
}

/// Carries bytes one way until either side ends.
fn pump(mut from: TcpStream, mut to: TcpStream, direction: Direction, shared: &Shared) {
    let mut chunk = [0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let Some(rate) = shared.pass(direction) else { break };
        if let Some(rate) = rate {
            thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate)));
        }
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
        if direction == Direction::ToClient {
            shared.lock().answered += count as u64;
        }
    }
    // An end counts as bytes: it is held back like them.
    let _ = shared.pass(direction);
    close(&[from, to]);
}
