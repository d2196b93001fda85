//! Connections that say nothing after CONNECT.

use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::Duration;

use crate::entry::{self, Entry};
use crate::stream::Stream;

/// What is printed when all are connected.
pub const CONNECTED: &str = "connected";
/// Connections that are on their way at a time.
const AT_ONCE: usize = 64;
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
    // mosquitto looks at its WebSockets ten times a second only.
    let some = |first: usize| {
        (first..options.connections)
            .step_by(AT_ONCE)
            .map(|number| entry.connect(number, &format!("bench-{name}-{number}")))
            .collect::<Result<Vec<Stream>, String>>()
    };
    let parts: Result<Vec<Vec<Stream>>, String> = thread::scope(|scope| {
        let some = &some;
        let threads: Vec<_> = (0..AT_ONCE).map(|first| scope.spawn(move || some(first))).collect();
        let part = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().expect("a thread returns its errors")
        };
        threads.into_iter().map(part).collect()
    });
    let streams = parts?.into_iter().flatten().collect();
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
        thread::sleep(LOOK);
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
