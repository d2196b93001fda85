//! Connections that say nothing after CONNECT.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use crate::entry::{self, Entry};
use crate::stream::Stream;

/// What is printed when all are connected.
pub const CONNECTED: &str = "connected";
/// How often all connections are looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    #[arg(long)]
    pub connections: usize,
}

/// Holds the connections until this process is ended from outside; an error when one is closed.
pub fn run(options: &Options) -> Result<(), String> {
    watch(&mut connect(options, "idle")?)
}

/// Connects all of them, and says so.
pub fn connect(options: &Options, name: &str) -> Result<Vec<Stream>, String> {
    let entry = Entry::new(&options.entry);
    let connect = |number| entry.connect(number, &format!("bench-{name}-{number}"));
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
pub fn watch(streams: &mut [Stream]) -> Result<(), String> {
    for stream in &mut *streams {
        stream.set_nonblocking()?;
    }
    loop {
        std::thread::sleep(LOOK);
        for (number, stream) in streams.iter_mut().enumerate() {
            match stream.read(&mut [0; 64]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A WebSocket's ping.
                Ok(1..) => {}
                ended => return Err(format!("idle connection {number} ended: {ended:?}")),
            }
        }
    }
}
