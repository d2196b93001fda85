//! A TCP proxy on loopback that harms what passes: it holds answers back, cuts, goes deaf, slows down,
//! and lets go again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::ports;

/// What one read takes at most, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long a connection to the server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A proxy; it ends with this, and so do its connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    fault: Fault,
    ended: bool,
    /// Both sides of every open connection.
    open: Vec<TcpStream>,
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
    /// Connections are closed as soon as they come.
    Refuse,
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let shared = Arc::new(Shared {
            target: ports::local(target_port),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Proxy { address: ports::local(port), shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the server's bytes wait here; clients' bytes still reach the server.
    pub fn hold_answers(&self) {
        self.shared.set(Fault::HoldAnswers);
    }

    /// From now on nothing flows, in neither direction, and nothing is closed.
    pub fn blackhole(&self) {
        self.shared.set(Fault::Blackhole);
    }

    /// From now on open connections are gone and new ones are closed at once.
    pub fn refuse(&self) {
        self.shared.set(Fault::Refuse);
        self.cut();
    }

    /// From now on each direction of each connection carries that many bytes per second.
    pub fn throttle(&self, bytes_per_second: u32) {
        assert!(bytes_per_second > 0, "a proxy that carries nothing is a blackhole");
        self.shared.set(Fault::Throttle(bytes_per_second));
    }

    /// Everything flows again, first what was held back.
    pub fn release(&self) {
        self.shared.set(Fault::None);
    }

    /// Closes the connections that are open now; what was held back is lost.
    pub fn cut(&self) {
        let open = std::mem::take(&mut self.shared.lock().open);
        close(&open);
    }

    /// Bytes that clients got from the server so far.
    pub fn answered(&self) -> u64 {
        self.shared.lock().answered
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        self.cut();
        // Wakes the accepting thread, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    fn set(&self, fault: Fault) {
        self.lock().fault = fault;
        self.changed.notify_all();
    }

    /// Waits until bytes may pass, and says how fast; None when the proxy ends.
    fn pass(&self, direction: Direction) -> Option<Option<u32>> {
        let stopped = |state: &mut State| {
            !state.ended
                && match state.fault {
                    Fault::HoldAnswers => direction == Direction::ToClient,
                    Fault::Blackhole => true,
                    Fault::None | Fault::Refuse | Fault::Throttle(_) => false,
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

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.lock().ended {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || connect(client, &shared));
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) {
    if shared.lock().fault == Fault::Refuse {
        return;
    }
    // A server that is away closes the client, as its own port would.
    let Ok(server) = TcpStream::connect_timeout(&shared.target, CONNECT) else { return };
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let (Ok(to_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
    {
        let mut state = shared.lock();
        if state.ended || state.fault == Fault::Refuse {
            return;
        }
        let both = client.try_clone().into_iter().chain(server.try_clone());
        state.open.extend(both);
    }
    let answers = {
        let shared = Arc::clone(shared);
        thread::spawn(move || pump(server, to_client, Direction::ToClient, &shared))
    };
    pump(client, to_server, Direction::ToServer, shared);
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

fn close(sockets: &[TcpStream]) {
    for socket in sockets {
        // It may be closed already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
