//! Connections on loopback, each with one to a server behind; what passes between the two is the
//! business of whoever starts it.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::ports;

/// How long a connection to the server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// It ends with this, and so do its connections.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Carries what passes between a client and the server, until either side ends.
type Carry = Box<dyn Fn(&TcpStream, &TcpStream) + Send + Sync>;

struct Shared {
    target: SocketAddr,
    carry: Carry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    refusing: bool,
    ended: bool,
    /// Both sides of every open connection.
    open: Vec<TcpStream>,
}

impl Relay {
    /// On a port of loopback, in front of another.
    pub(crate) fn start_on(
        port: u16,
        target_port: u16,
        carry: impl Fn(&TcpStream, &TcpStream) + Send + Sync + 'static,
    ) -> Relay {
        let address = ports::local(port);
        let listener = TcpListener::bind(address).expect("the port is free");
        let shared = Arc::new(Shared {
            target: ports::local(target_port),
            carry: Box::new(carry),
            state: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Relay { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Are new connections closed as soon as they come?
    pub(crate) fn refuse(&self, refusing: bool) {
        self.shared.lock().refusing = refusing;
    }

    /// Closes the connections that are open now.
    pub(crate) fn cut(&self) {
        let open = std::mem::take(&mut self.shared.lock().open);
        close(open.iter());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.cut();
        // Wakes the accepting thread, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.lock().ended {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || connect(&client, &shared));
    }
}

fn connect(client: &TcpStream, shared: &Shared) {
    if shared.lock().refusing {
        return;
    }
    // A server that is away closes the client, as its own port would.
    let Ok(server) = TcpStream::connect_timeout(&shared.target, CONNECT) else { return };
    for socket in [client, &server] {
        let _ = socket.set_nodelay(true);
    }
    {
        let mut state = shared.lock();
        if state.ended || state.refusing {
            return;
        }
        let both = client.try_clone().into_iter().chain(server.try_clone());
        state.open.extend(both);
    }
    (shared.carry)(client, &server);
    close([client, &server]);
}

/// Ends sockets for whoever reads or writes them.
pub(crate) fn close<'s>(sockets: impl IntoIterator<Item = &'s TcpStream>) {
    for socket in sockets {
        // It may be closed already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
