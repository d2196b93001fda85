//! `device-sim run`: the fleet publishes for a while, then goes on until all is acknowledged.

mod conduct;
mod document;
mod lines;
mod operator;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::counters::{Counters, Sums};
use crate::device::{Living, World, now_ms};
use crate::fleet::{self, Device, Habits};
use crate::happenings::harmless;
use crate::hostile::{self, Hostile, Profile};
use crate::ledger::{Ledger, Line};
use crate::orders::Orders;
use crate::progress::{Unit, Work};
use crate::screen::terminal::Terminal;
use crate::screen::{Phase, Screen, Told};
use crate::security::{self, Proof};
use conduct::{Conduct, Ended, Face, Fleet};
use document::{About, Outcome};
use lines::Lines;
use operator::Operator;

/// Devices that connect in one second at the start; later they come as they please.
const CONNECTS_PER_SECOND: u32 = 500;
/// What takes long before a run of many devices.
const MAKES: &str = "makes what devices prove themselves with";
/// Exit code of a run that ended with its standard input.
const EXIT_ALONE: i32 = 1;
const DEVICES_MAX: u32 = 100_000;
/// Hostile devices of one profile.
const HOSTILE_MAX: u32 = 1000;
/// Bytes: smaller has no room for whose message it is, larger is beyond MQTT.
const LARGE_SIZE: std::ops::RangeInclusive<u64> = 1024..=256 * 1024 * 1024 - 65_536;

#[derive(clap::Args)]
pub struct Arguments {
    /// The gateway's MQTT listener
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    gateway: (String, u16),
    /// How many devices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(DEVICES_MAX)))]
    devices: u32,
    /// How long they have something to say, such as 60s or 5m; 0 is until they are interrupted
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::parse_length)]
    duration: Duration,
    /// The same seed makes the same fleet with the same messages
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where to write what was sent and acknowledged
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Messages per second of the whole fleet [default: 2 for each device]
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Size of large messages, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    large_size: u64,
    /// How long to go on until all is acknowledged
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::parse_length)]
    settle: Duration,
    /// What device ids begin with
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    client_prefix: String,
    #[command(flatten)]
    security: security::Options,
    /// Hostile devices beside the fleet, by what is wrong with them; the run fails if one gets in
    #[arg(long, value_name = "PROFILE,…", value_enum, value_delimiter = ',')]
    hostile: Vec<Profile>,
    /// How many hostile devices of each profile
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(HOSTILE_MAX)))]
    hostile_devices: u32,
    /// End at once when standard input ends, as a pipe does when whoever holds its other end is gone; and show
    /// no screen, because the terminal is that one's
    #[arg(long)]
    end_with_stdin: bool,
    /// What standard output has: what happens as text, on a terminal as a screen; or one JSON document at the
    /// end, and text on standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// `device-sim prepare`: who the devices are, and what they are given.
#[derive(clap::Args)]
pub struct Preparation {
    /// How many devices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(DEVICES_MAX)))]
    devices: u32,
    /// The seed of the run that follows
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// What device ids begin with
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    client_prefix: String,
    #[command(flatten)]
    made: security::Made,
}

fn parse_address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT, such as 127.0.0.1:1883")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err("write HOST:PORT".to_owned()) } else { Ok((host.to_owned(), port)) }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let large_size = large_size(arguments.large_size)?;
    let rate = arguments.rate.unwrap_or(2.0 * f64::from(arguments.devices));
    anyhow::ensure!(rate > 0.0 && rate.is_finite(), "--rate {rate}: write a number above 0");
    if arguments.end_with_stdin {
        end_with_stdin()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let pause = Duration::from_secs_f64(f64::from(arguments.devices) / rate);
    runtime.block_on(fleet_run(arguments, Habits { pause, large_size }))
}

/// The size of large messages, if there can be such.
pub fn large_size(size: u64) -> anyhow::Result<usize> {
    let (least, most) = (LARGE_SIZE.start(), LARGE_SIZE.end());
    anyhow::ensure!(
        LARGE_SIZE.contains(&size),
        "--large-size {size}: write {least} to {most} bytes"
    );
    Ok(size as usize)
}

/// Whoever started this may be killed, and tells nobody then; its end of a pipe is closed all the same.
fn end_with_stdin() -> anyhow::Result<()> {
    let thread = thread::Builder::new().name("stdin".to_owned());
    let wait = || {
        // What comes is nothing to us, and an error is an end too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(EXIT_ALONE);
    };
    thread.spawn(wait).context("standard input cannot be watched")?;
    Ok(())
}

/// Makes what a run with the same options uses, and says where it is.
pub fn prepare(preparation: &Preparation) -> anyhow::Result<ExitCode> {
    let Preparation { devices, seed, client_prefix, made } = preparation;
    let security = made.open()?;
    let mut work = Work::begin(MAKES, Unit::Things("devices"), u64::from(*devices));
    for (done, device) in (1..).zip(fleet::fleet(*seed, *devices, client_prefix)) {
        security.proof(&device.id)?;
        work.reach(done);
    }
    drop(work);
    crate::println(&made.told(*devices));
    Ok(ExitCode::SUCCESS)
}

/// The fleet and those that do not belong to it, each with what it has to show.
struct Cast {
    devices: Vec<(Device, Proof)>,
    hostile: Vec<Hostile>,
}

impl Cast {
    fn of(arguments: &Arguments) -> anyhow::Result<Cast> {
        let security = arguments.security.open()?;
        let fleet = fleet::fleet(arguments.seed, arguments.devices, &arguments.client_prefix);
        let hostile =
            hostile::cast(&security, &arguments.hostile, arguments.hostile_devices, &fleet)?;
        let mut work = Work::begin(MAKES, Unit::Things("devices"), fleet.len() as u64);
        let with_proof = |(done, device): (u64, Device)| {
            let proof = security.proof(&device.id)?;
            work.reach(done);
            Ok((device, proof))
        };
        let devices: anyhow::Result<Vec<_>> = (1..).zip(fleet).map(with_proof).collect();
        Ok(Cast { devices: devices?, hostile })
    }
}

async fn fleet_run(arguments: &Arguments, habits: Habits) -> anyhow::Result<ExitCode> {
    let (host, port) = &arguments.gateway;
    let way = arguments.security.way(host, *port)?;
    let Cast { devices, hostile } = Cast::of(arguments)?;
    let run = format!("{:x}-{:x}", now_ms(), std::process::id());
    let first = Line::Run {
        run: run.clone(),
        seed: arguments.seed,
        devices: arguments.devices,
        gateway: format!("{host}:{port}"),
        started_ms: now_ms(),
    };
    let (ledger, writer) = Ledger::create(&arguments.ledger, first)?;
    let counters = Arc::new(Counters::of(devices.iter().map(|(device, _)| device)));
    let (orders, watched) = watch::channel(Orders::first());
    let about = About {
        run: run.clone(),
        gateway: format!("{host}:{port}"),
        seed: arguments.seed,
        ledger: arguments.ledger.display().to_string(),
        hostile: hostile.len(),
    };
    let world = World {
        run: run.into(),
        way: Arc::new(way),
        habits,
        ledger,
        counters: Arc::clone(&counters),
        orders: watched,
    };
    // From here on only devices hold the ledger.
    let fleet = begin(devices, hostile, world);
    let terminal = match arguments.format {
        Format::Text if !arguments.end_with_stdin => {
            Terminal::take().context("the terminal cannot be taken")?
        }
        _ => None,
    };
    let operator = Operator::new(terminal.is_some()).context("signals cannot be heard")?;
    let face = match terminal {
        Some(terminal) => {
            let told = Told {
                gateway: harmless(&about.gateway),
                seed: about.seed,
                ledger: harmless(&about.ledger),
                hostile: about.hostile,
                keys: operator.has_keys(),
            };
            Face::Screen(Box::new(Screen::new(terminal, told)))
        }
        None => {
            let to_stderr = arguments.format == Format::Json;
            Face::Lines { lines: Lines::new(Instant::now()), to_stderr }
        }
    };
    let conduct = Conduct::new(Arc::clone(&counters), orders, fleet, operator, face);
    let talk = (!arguments.duration.is_zero()).then_some(arguments.duration);
    let (ended, mut face) = conduct.lead(talk, arguments.settle).await?;
    writer.finish().await?;
    face.show(&counters, Phase::Ended);
    drop(face);
    let total = counters.total();
    let outcome = Outcome::of(&total, &ended, about.hostile);
    match arguments.format {
        Format::Text => crate::println(&summary(&counters, &total, &about, &ended, arguments)),
        Format::Json => {
            let document = document::document(&about, &counters, &ended, outcome);
            crate::println(&crate::ascii(&document.to_string()));
        }
    }
    let is_well = outcome == Outcome::Acknowledged;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts everybody.
fn begin(devices: Vec<(Device, Proof)>, hostile: Vec<Hostile>, world: World) -> Fleet {
    let mut fleet = Fleet::new();
    for (number, (device, proof)) in devices.into_iter().enumerate() {
        let world = world.clone();
        let pause = Duration::from_secs(1) * number as u32 / CONNECTS_PER_SECOND;
        fleet.spawn(async move {
            sleep(pause).await;
            Living::new(device, proof, world).live().await;
            None
        });
    }
    for hostile in hostile {
        let world = world.clone();
        fleet.spawn(async move { Some(hostile.knock(world).await) });
    }
    fleet
}

fn summary(
    counters: &Counters,
    total: &Sums,
    about: &About,
    ended: &Ended,
    arguments: &Arguments,
) -> String {
    let mut text = format!(
        "{} sent ({} again), {} acknowledged ({} of them refused with a code), {} connections; ledger {}",
        total.sent,
        total.resent,
        total.acknowledged,
        total.refused,
        total.connections,
        arguments.ledger.display(),
    );
    if total.turned_away > 0 {
        text.push_str(&format!("\n{} connections were turned away", total.turned_away));
    }
    if total.outstanding > 0 {
        text.push_str(&format!(
            "\n{} messages are not acknowledged after {} s: is the gateway up, and Kafka?",
            total.outstanding,
            ended.settle.time.as_secs()
        ));
    }
    let trouble =
        counters.last_trouble().filter(|_| total.outstanding > 0 || total.turned_away > 0);
    if let Some(trouble) = trouble {
        // It may hold what the gateway said.
        text.push_str(&format!("\nthe last connection that failed, of {}", harmless(&trouble)));
    }
    if about.hostile > 0 {
        text.push_str(&format!("\n{}", hostile::summary(&ended.verdicts, about.hostile)));
    }
    text
}
