//! Connections that say nothing after CONNECT.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::device;

/// What is printed when all are connected.
pub const CONNECTED: &str = "connected";
/// How often all connections are looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the broker listens
    #[arg(long)]
    pub address: SocketAddr,
    #[arg(long)]
    pub connections: usize,
}

/// Holds the connections until this process is ended from outside; an error when one is closed.
pub fn run(options: &Options) -> Result<(), String> {
    watch(&mut connect(options, "idle")?)
}

/// Connects all of them, and says so.
pub fn connect(options: &Options, name: &str) -> Result<Vec<TcpStream>, String> {
    let connect =
        |number| device::connect(options.address, number, &format!("bench-{name}-{number}"));
    let streams = (0..options.connections).map(connect).collect::<Result<_, _>>()?;
    say(CONNECTED)?;
    Ok(streams)
}

/// A word for the process that started this one.
pub fn say(word: &str) -> Result<(), String> {
    let mut out = std::io::stdout();
    writeln!(out, "{word}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Looks at the connections until this process is ended from outside; an error when one is closed.
pub fn watch(streams: &mut [TcpStream]) -> Result<(), String> {
    for stream in &mut *streams {
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
    }
    loop {
        std::thread::sleep(LOOK);
        for (number, stream) in streams.iter_mut().enumerate() {
            match stream.read(&mut [0; 4]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                ended => return Err(format!("idle connection {number} ended: {ended:?}")),
            }
        }
    }
}
