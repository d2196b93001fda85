//! Large messages at once, and what is in them: bytes that follow from their number, so that whoever
//! reads them back can tell whether they are right.

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::device;
use crate::entry::{self, Entry};
use crate::report::UploadReport;
use crate::stream::Stream;

/// Bytes that are made and written in one go.
pub const CHUNK: usize = 64 * 1024;
/// How long a device waits for its acknowledgement after its last byte.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    #[arg(long)]
    pub count: u64,
    /// Bytes of each payload, a multiple of 64 KiB
    #[arg(long)]
    pub size: usize,
}

/// The device that sends upload `number`.
pub fn device_id(number: u64) -> String {
    format!("bench-{number}")
}

/// The bytes of a chunk of upload `number`: random ones, seeded with both numbers.
pub fn chunk(number: u64, index: u64, out: &mut [u8; CHUNK]) {
    SmallRng::seed_from_u64(number << 32 | index).fill(&mut out[..]);
}

/// Connects all, then sends from all at once; returns when all are acknowledged.
pub fn run(options: &Options) -> Result<UploadReport, String> {
    if options.size == 0 || !options.size.is_multiple_of(CHUNK) {
        return Err(format!("size is a multiple of {CHUNK}"));
    }
    let entry = Entry::new(&options.entry);
    let mut streams = Vec::new();
    for number in 0..options.count {
        streams.push(entry.connect(number as usize, &device_id(number))?);
    }
    let begin = Instant::now();
    let size = options.size;
    let senders: Vec<_> = (0..options.count)
        .zip(streams)
        .map(|(number, stream)| thread::spawn(move || send(stream, number, size)))
        .collect();
    for (number, sender) in senders.into_iter().enumerate() {
        let sent = sender.join().expect("a sender returns its errors");
        sent.map_err(|error| format!("upload {number}: {error}"))?;
    }
    Ok(UploadReport { acknowledged: options.count, seconds: begin.elapsed().as_secs_f64() })
}

fn send(mut stream: Stream, number: u64, size: usize) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.socket().set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.socket().set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let topic = format!("devices/camera/{}/video", device_id(number));
    stream.write_all(&device::publish_head(&topic, 1, size)).map_err(failed)?;
    let mut bytes = [0; CHUNK];
    for index in 0..(size / CHUNK) as u64 {
        chunk(number, index, &mut bytes);
        stream.write_all(&bytes).map_err(failed)?;
    }
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(failed)?;
    match answer {
        [0x40, 2, 0, 1] => stream.socket().shutdown(Shutdown::Both).map_err(failed),
        _ => Err(format!("expected a PUBACK and got {answer:02x?}")),
    }
}
