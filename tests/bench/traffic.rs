//! Connections that say nothing, then publish, and then say nothing again.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tests::mqtt::{Publish, Version, encode};

use crate::idle;
use crate::stream::Stream;

/// What is printed when everything is acknowledged.
pub const PUBLISHED: &str = "published";
/// How many publish at a time, each with its window full.
const AT_ONCE: usize = 50;
const WINDOW: usize = 20;
const PAYLOAD_SIZE: usize = 256;
/// Bytes of a PUBACK.
const PUBACK_SIZE: usize = 4;
/// How often it is looked whether to begin.
const LOOK: Duration = Duration::from_millis(50);
/// How long an acknowledgement may take.
const ACKNOWLEDGE_WAIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    connections: idle::Options,
    /// Messages of each connection, a multiple of 20
    #[arg(long)]
    pub messages: usize,
    /// Publishing begins when this file is there
    #[arg(long)]
    pub when: PathBuf,
}

/// Holds the connections until this process is ended from outside; an error when one is closed.
pub fn run(options: &Options) -> Result<(), String> {
    let mut streams = idle::connect(&options.connections, "traffic")?;
    while !options.when.exists() {
        thread::sleep(LOOK);
    }
    let publish = |id| {
        let publish = Publish::new("devices/meter/bench/power", &[7; PAYLOAD_SIZE]).qos1(id);
        encode::publish(Version::V311, &publish)
    };
    let window: Vec<u8> = (1..=WINDOW as u16).flat_map(publish).collect();
    for streams in streams.chunks_mut(AT_ONCE) {
        for _ in 0..options.messages / WINDOW {
            round(streams, &window).map_err(|error| format!("a window failed: {error}"))?;
        }
    }
    idle::say(PUBLISHED)?;
    idle::watch(&mut streams)
}

/// A whole window of each connection, and its acknowledgements.
fn round(streams: &mut [Stream], window: &[u8]) -> std::io::Result<()> {
    for stream in streams.iter_mut() {
        stream.write_all(window)?;
    }
    for stream in streams {
        stream.socket().set_read_timeout(Some(ACKNOWLEDGE_WAIT))?;
        stream.read_exact(&mut [0; WINDOW * PUBACK_SIZE])?;
    }
    Ok(())
}
