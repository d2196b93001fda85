//! `faults fleet`: devices that publish as real ones do, whatever happens to the gateway or to them, and keep
//! books of it. One thread, one task for each device; nothing of what it sends is kept but what is open.

mod character;
mod device;
mod draw;
mod link;
mod message;
mod outbox;
mod pace;
mod pen;
mod resume;

use std::cell::Cell;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::books::Line;
use character::Character;
use device::Device;
use message::Payloads;
use pace::Rates;
use pen::Pen;

/// How long the fleet waits for what is open after it was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How often it says how far it is, and looks whether it may end.
const PROGRESS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
/// Orders that nobody has looked at yet.
const ORDERS_MAX: usize = 16;
/// Names have four digits.
const DEVICES_MAX: u64 = 10_000;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where the gateway speaks MQTT
    #[arg(long)]
    gateway: SocketAddr,
    /// The file that the books are appended to; what an earlier fleet left open in it is gone on with
    #[arg(long)]
    books: PathBuf,
    /// What all that looks random is made of
    #[arg(long)]
    seed: u64,
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=DEVICES_MAX))]
    devices: u64,
    /// Messages per second of the whole fleet
    #[arg(long)]
    rate: f64,
    /// The books are on the disk, and not only in the file, before anything is sent
    #[arg(long)]
    sync: bool,
    /// Some devices upload up to 9 MB
    #[arg(long)]
    large: bool,
}

/// What all devices are told.
#[derive(Clone, Copy, Debug)]
struct Orders {
    phase: Phase,
    rates: Rates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Publish,
    /// Nothing new.
    Hold,
    Leave,
}

/// What all devices have in common.
struct Shared {
    seed: u64,
    gateway: SocketAddr,
    pen: Pen,
    payloads: Payloads,
    orders: watch::Receiver<Orders>,
    start: Instant,
    devices: usize,
    /// Devices that were connected once.
    connected: Cell<usize>,
    open: Cell<usize>,
    answered: Cell<u64>,
}

impl Shared {
    /// Since the fleet began.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_ms() -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.expect("the clock is behind 1970").as_millis() as u64
    }

    fn one_more_is_connected(&self) -> Result<(), String> {
        self.connected.set(self.connected.get() + 1);
        if self.connected.get() == self.devices { say("ready") } else { Ok(()) }
    }
}

/// Publishes until it is told to stop; an error when the books cannot be kept, or nobody is there any more.
pub fn run(options: &Options) -> Result<(), String> {
    if !(options.rate.is_finite() && options.rate > 0.0) {
        return Err(format!(
            "--rate is a number of messages per second above 0, not {}",
            options.rate
        ));
    }
    raise_descriptor_limit();
    let fleet: Vec<_> = (0..options.devices as usize)
        .map(|number| Character::of(options.seed, number, options.large))
        .collect();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("there is no runtime: {error}"))?;
    LocalSet::new().block_on(&runtime, publish(options, fleet))
}

async fn publish(options: &Options, fleet: Vec<Character>) -> Result<(), String> {
    let mut pen = Pen::open(&options.books)?;
    let now_ms = Shared::unix_ms();
    let mut estate = resume::take_up(&options.books, &pen, options.seed, &fleet, now_ms)?;
    let (seed, devices, pid) = (options.seed, fleet.len(), std::process::id());
    pen.line(Line::Run { run: estate.runs + 1, seed, devices, pid, at: now_ms })?;
    if options.sync {
        pen.sync()?;
    }
    let mut control = Control::new(options.rate, &fleet);
    let shared = Rc::new(Shared {
        seed,
        gateway: options.gateway,
        pen,
        payloads: Payloads::new(seed),
        orders: control.orders.subscribe(),
        start: Instant::now(),
        devices,
        connected: Cell::new(0),
        open: Cell::new(0),
        answered: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for character in fleet {
        let left = estate.devices.remove(&character.name).unwrap_or_default();
        tasks.spawn_local(Device::new(character, left, Rc::clone(&shared)).live());
    }
    let open = control.until_stopped(&shared, &mut tasks).await?;
    control.give(|orders| orders.phase = Phase::Leave);
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| format!("a device's task: {error}"))??;
    }
    shared.pen.line(Line::Ended { at: Shared::unix_ms(), open: open as u64 })
}

/// Gives the orders that come on standard input to the devices.
struct Control {
    orders: watch::Sender<Orders>,
    input: mpsc::Receiver<String>,
    steady: usize,
    flooding: usize,
    stopping_since: Option<Instant>,
}

impl Control {
    fn new(rate: f64, fleet: &[Character]) -> Control {
        let flooding = fleet.iter().filter(|device| device.floods).count();
        let steady = fleet.len() - flooding;
        let rates = Rates::of(rate, steady, flooding);
        let (orders, _) = watch::channel(Orders { phase: Phase::Publish, rates });
        let (say, input) = mpsc::channel(ORDERS_MAX);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if say.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Control { orders, input, steady, flooding, stopping_since: None }
    }

    fn give(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    /// Until all that was sent before `stop` is answered, or it took too long; returns what is open.
    async fn until_stopped(
        &mut self,
        shared: &Shared,
        tasks: &mut JoinSet<Result<(), String>>,
    ) -> Result<usize, String> {
        let (mut progress, mut look) = (interval(PROGRESS), interval(LOOK));
        progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                line = self.input.recv() => match line {
                    Some(line) => self.obey(line.trim())?,
                    None => return Err("nobody gives orders any more".to_owned()),
                },
                ended = tasks.join_next() => {
                    let ended = ended.expect("no device ends before it is told to");
                    ended.map_err(|error| format!("a device's task: {error}"))??;
                }
                _ = progress.tick() => {
                    say(&format!("acknowledged {} open {}", shared.answered.get(), shared.open.get()))?;
                }
                _ = look.tick() => {
                    let waited = self.stopping_since.map(|since| since.elapsed());
                    let open = shared.open.get();
                    if waited.is_some_and(|waited| open == 0 || waited > STOP_PATIENCE) {
                        return Ok(open);
                    }
                }
            }
        }
    }

    fn obey(&mut self, order: &str) -> Result<(), String> {
        match order.split_once(' ').unwrap_or((order, "")) {
            ("stop", "") => {
                self.stopping_since = Some(Instant::now());
                self.give(|orders| orders.phase = Phase::Hold);
            }
            ("pause", "") => self.give(|orders| orders.phase = Phase::Hold),
            ("resume", "") if self.stopping_since.is_none() => {
                self.give(|orders| orders.phase = Phase::Publish);
            }
            ("rate", rate)
                if rate.parse().is_ok_and(|rate: f64| rate.is_finite() && rate > 0.0) =>
            {
                let rate = rate.parse().expect("it was just parsed");
                let rates = Rates::of(rate, self.steady, self.flooding);
                self.give(|orders| orders.rates = rates);
            }
            _ => {
                return Err(format!(
                    "{order:?} is no order: stop, pause, resume until it stops, rate PER_SECOND above 0"
                ));
            }
        }
        Ok(())
    }
}

/// A line for whoever started the fleet; without them, it ends.
fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(|error| format!("nobody reads what the fleet says: {error}"))
}

/// Each device needs a descriptor.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("faults fleet: no {maximum:?} open descriptors: {error}");
    }
}
