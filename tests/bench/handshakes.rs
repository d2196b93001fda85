//! Connections that come, are accepted and go, as fast as it goes: what a handshake costs.

use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event};
use rustix::time::Timespec;

use crate::clock::Clock;
use crate::entry::{self, Entry};
use crate::report::{LoadReport, Measured};
use crate::visit::{Step, Visit};

const EVENTS_MAX: usize = 256;
const LOOK: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    /// How many are on their way at a time
    #[arg(long)]
    pub at_once: usize,
    #[command(flatten)]
    pub measured: Measured,
}

/// Counts connections as messages: from the first packet of TCP to CONNACK.
pub fn run(options: &Options) -> Result<LoadReport, String> {
    let entry = Entry::new(&options.entry);
    let epoll = epoll::create(CreateFlags::CLOEXEC)
        .map_err(|error| format!("there is no epoll: {error}"))?;
    let clock = Clock::start();
    let mut visits = Vec::new();
    let mut number = 0;
    let mut next = |slot: usize, clock: &Clock| -> Result<(Visit, u64), String> {
        number += 1;
        let visit = Visit::begin(&entry, number, &format!("visit-{slot}-{number}"))?;
        visit.watch(&epoll, slot)?;
        Ok((visit, clock.now()))
    };
    for slot in 0..options.at_once {
        visits.push(next(slot, &clock)?);
    }
    let mut meter = options.measured.meter(clock.now());
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
    let (mut resumed, mut counted) = (0_u64, 0_u64);
    while meter.advance(clock.now())? {
        let wait = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as i64 };
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&wait))
            .map_err(|error| format!("epoll does not wait: {error}"))?;
        for event in &events {
            let slot = event.data.u64() as usize;
            let (visit, begun) = &mut visits[slot];
            match visit.step() {
                Step::Going => {}
                Step::In => {
                    meter.acknowledged(*begun, clock.now());
                    counted += 1;
                    resumed += u64::from(visit.resumed());
                    visits[slot] = next(slot, &clock)?;
                }
                Step::Failed(why) => return Err(format!("a connection was {}", why.name())),
            }
        }
    }
    // The first of all slots have no ticket yet.
    let expected = counted.saturating_sub(2 * options.at_once as u64);
    match options.entry.resume {
        true if resumed < expected => Err(format!("only {resumed} of {counted} were resumed")),
        false if resumed > 0 => Err(format!("{resumed} of {counted} were resumed")),
        _ => Ok(meter.report()),
    }
}
