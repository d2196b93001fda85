//! The load generator: many connections on one thread and one epoll, so that it costs a fraction of what
//! it measures.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use crate::clock::{self, Clock, Pace};
use crate::device::{Device, Message};
use crate::entry::{self, Entry};
use crate::report::{LoadReport, Measured, Meter};

/// How long the last acknowledgements may take.
const LAST_WAIT: Duration = Duration::from_secs(30);
const EVENTS_MAX: usize = 512;
/// Bytes that one read takes at most.
const READ_SIZE: usize = 64 * 1024;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    #[arg(long)]
    pub connections: usize,
    /// Messages that a connection has open at most
    #[arg(long, default_value_t = 20)]
    pub window: u16,
    /// Messages per second over all connections; without it, as many as the windows allow
    #[arg(long)]
    pub rate: Option<u64>,
    /// Bytes of a payload, at least 8
    #[arg(long, default_value_t = 256)]
    pub payload_size: usize,
    /// The last level of the topic that all publish to
    #[arg(long, default_value = "power")]
    pub channel: String,
    /// What the devices' names begin with
    #[arg(long, default_value = "bench")]
    pub devices: String,
    /// How this process stands back behind others, as the nice value has it; below 0 it goes before them
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub nice: i32,
    /// It goes on behind its span until this file is there
    #[arg(long)]
    pub until: Option<PathBuf>,
    #[command(flatten)]
    pub measured: Measured,
}

/// Publishes until the span is over, then waits until everything is acknowledged.
pub fn run(options: &Options) -> Result<LoadReport, String> {
    if options.connections == 0
        || options.window == 0
        || options.payload_size < 8
        || options.rate == Some(0)
    {
        return Err("connections, window and rate start at 1, payload_size at 8".to_owned());
    }
    crate::stand_back_if_allowed(options.nice);
    let mut load = Load::connect(options)?;
    let clock = Clock::start();
    let now = clock.now();
    let mut meter = options.measured.meter(now);
    let mut pace = options.rate.map(|rate| Pace::new(now, rate));
    if pace.is_none() {
        for number in 0..load.devices.len() {
            load.send(number, true, &clock)?;
        }
    }
    while meter.advance(clock.now())? || options.until.as_ref().is_some_and(|file| !file.exists()) {
        if let Some(pace) = &mut pace {
            while let Some((number, due)) = pace.take(clock.now()) {
                let number = (number % load.devices.len() as u64) as usize;
                load.devices[number].publish_when_there_is_room(due);
                load.send(number, false, &clock)?;
            }
        }
        load.round(pace.is_none(), &clock, &mut meter)?;
    }
    let end = clock.now() + LAST_WAIT.as_nanos() as u64;
    loop {
        let open: usize = load.devices.iter().map(Device::outstanding).sum();
        if open == 0 {
            return Ok(meter.report());
        }
        if clock.now() > end {
            return Err(format!("{open} messages were not acknowledged within {LAST_WAIT:?}"));
        }
        load.round(false, &clock, &mut meter)?;
    }
}

struct Load {
    epoll: OwnedFd,
    events: Vec<Event>,
    devices: Vec<Device>,
    /// Devices of which epoll also tells when they can write.
    blocked: Vec<bool>,
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl Load {
    fn connect(options: &Options) -> Result<Load, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|error| format!("there is no epoll: {error}"))?;
        let entry = Entry::new(&options.entry);
        let message = Message {
            devices: &options.devices,
            channel: &options.channel,
            payload_size: options.payload_size,
        };
        let mut devices = Vec::with_capacity(options.connections);
        for number in 0..options.connections {
            let device = Device::connect(&entry, number, &message, usize::from(options.window))?;
            let data = EventData::new_u64(number as u64);
            epoll::add(&epoll, device.socket(), data, EventFlags::IN)
                .map_err(|error| format!("epoll does not take a socket: {error}"))?;
            devices.push(device);
        }
        Ok(Load {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            blocked: vec![false; devices.len()],
            devices,
            scratch: Vec::new(),
            buffer: vec![0; READ_SIZE],
        })
    }

    /// Takes what arrived, and sends what may leave; waits until the next step when there is nothing.
    fn round(&mut self, fill: bool, clock: &Clock, meter: &mut Meter) -> Result<(), String> {
        let wait = clock::until_step(clock.now());
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as i64 };
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait))
            .map_err(|error| format!("epoll does not wait: {error}"))?;
        for at in 0..self.events.len() {
            let Event { flags, data } = self.events[at];
            let number = data.u64() as usize;
            let device = &mut self.devices[number];
            if flags.contains(EventFlags::OUT) {
                device.send_rest()?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                device.receive(clock.now(), &mut self.buffer, meter)?;
            }
            self.send(number, fill, clock)?;
        }
        Ok(())
    }

    fn send(&mut self, number: usize, fill: bool, clock: &Clock) -> Result<(), String> {
        let device = &mut self.devices[number];
        let now = clock.now();
        device.send(fill, now, clock.unix(now), &mut self.scratch)?;
        if device.has_unsent() != self.blocked[number] {
            self.blocked[number] = device.has_unsent();
            let flags = match device.has_unsent() {
                true => EventFlags::IN | EventFlags::OUT,
                false => EventFlags::IN,
            };
            let data = EventData::new_u64(number as u64);
            epoll::modify(&self.epoll, device.socket(), data, flags)
                .map_err(|error| format!("epoll does not change a socket: {error}"))?;
        }
        Ok(())
    }
}
