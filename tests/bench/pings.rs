//! Asks a broker whether it is there, at a steady rate: PINGREQ to PINGRESP takes the way of a message through the
//! broker's own threads, without what stands behind it.

use crate::clock::{self, Clock, Pace};
use crate::entry::{self, Entry};
use crate::report::{LoadReport, Measured};

const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    /// Connections that ask in turn, one at a time
    #[arg(long, default_value_t = 20)]
    pub connections: usize,
    /// Pings per second over all connections
    #[arg(long)]
    pub rate: u64,
    /// How this process stands back behind others, as the nice value has it; below 0 it goes before them
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub nice: i32,
    #[command(flatten)]
    pub measured: Measured,
}

/// A ping that is due while another is on its way leaves behind it, and counts from when it was due.
pub fn run(options: &Options) -> Result<LoadReport, String> {
    if options.connections == 0 || options.rate == 0 {
        return Err("connections and rate start at 1".to_owned());
    }
    crate::stand_back_if_allowed(options.nice);
    let entry = Entry::new(&options.entry);
    let connect = |number| entry.connect(number, &format!("ping-{number}"));
    let mut streams = (0..options.connections).map(connect).collect::<Result<Vec<_>, String>>()?;
    let clock = Clock::start();
    let now = clock.now();
    let mut meter = options.measured.meter(now);
    let mut pace = Pace::new(now, options.rate);
    while meter.advance(clock.now())? {
        let Some((number, due)) = pace.take(clock.now()) else {
            std::thread::sleep(clock::until_step(clock.now()));
            continue;
        };
        let stream = &mut streams[(number % options.connections as u64) as usize];
        let mut answer = [0; PINGRESP.len()];
        stream
            .write_all(&PINGREQ)
            .and_then(|()| stream.read_exact(&mut answer))
            .map_err(|error| format!("a ping failed: {error}"))?;
        if answer != PINGRESP {
            return Err(format!("expected a PINGRESP and got {answer:02x?}"));
        }
        meter.acknowledged(due, clock.now());
    }
    Ok(meter.report())
}
