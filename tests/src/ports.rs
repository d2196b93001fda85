//! Free loopback ports, each for one test program for as long as it runs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which systems take ports for outgoing connections, so that nobody takes one
/// between a server's death and its restart.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);
/// The ports that this program has, by a name that only one program can hold, and that the system gives
/// back however the program ends.
static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 that is free now, that no other call of this process returns, and no other test
/// program until this one ended: also while the server that listens there is dead.
pub fn free() -> u16 {
    listen().local_addr().expect("a bound socket has an address").port()
}

/// The same, bound already. For who listens in this process: between a look and a bind of its own, a program that
/// is being started by another thread may have the socket of the look.
pub fn listen() -> TcpListener {
    // Test programs that run side by side start at different places.
    let start = (std::process::id().wrapping_mul(61) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if hold(port)
            && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        {
            return listener;
        }
    }
    panic!("no port from {FIRST} on is free")
}

/// False if another test program has the port.
fn hold(port: u16) -> bool {
    let name = UnixAddr::from_abstract_name(format!("landfall-tests-port-{port}"));
    let held = name.and_then(|name| UnixListener::bind_addr(&name));
    held.map(|held| HELD.lock().expect("nobody panics with it").push(held)).is_ok()
}

/// The address of a port on loopback.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_holder() {
        let port = free();
        assert!(!hold(port), "another program could take it while its server is dead");
        assert_ne!(free(), port);
    }
}
