//! `device-sim run`: the fleet publishes for a while, then goes on until all is acknowledged.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::device::{Counters, Living, Stage, World, now_ms};
use crate::fleet::{self, Device, Habits};
use crate::hostile::{self, Hostile, Profile, Verdict};
use crate::ledger::{Ledger, Line};
use crate::progress::Progress;
use crate::security::{self, Proof};

/// Devices that connect in one second at the start; later they come as they please.
const CONNECTS_PER_SECOND: u32 = 500;
const TELL_PAUSE: Duration = Duration::from_millis(200);
/// How long devices may take to say goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(5);
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
    /// End at once when standard input ends, as a pipe does when whoever holds its other end is gone
    #[arg(long)]
    end_with_stdin: bool,
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
    for device in fleet::fleet(*seed, *devices, client_prefix) {
        security.proof(&device.id)?;
    }
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
        let with_proof = |device: Device| {
            let proof = security.proof(&device.id)?;
            Ok((device, proof))
        };
        let devices: anyhow::Result<Vec<_>> = fleet.into_iter().map(with_proof).collect();
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
    let counters = Arc::new(Counters::default());
    let (stage, watched) = watch::channel(Stage::Talking);
    let world = World {
        run: run.into(),
        way: Arc::new(way),
        habits,
        ledger,
        counters: Arc::clone(&counters),
        stage: watched,
    };
    let mut tasks = JoinSet::new();
    for (number, (device, proof)) in devices.into_iter().enumerate() {
        let world = world.clone();
        let pause = Duration::from_secs(1) * number as u32 / CONNECTS_PER_SECOND;
        tasks.spawn(async move {
            sleep(pause).await;
            Living::new(device, proof, world).live().await;
            None
        });
    }
    let sent_in = hostile.len();
    for hostile in hostile {
        let world = world.clone();
        tasks.spawn(async move { Some(hostile.knock(world).await) });
    }
    // From here on only devices hold the ledger.
    drop(world);
    let mut progress = Progress::start(arguments.devices);
    talk(arguments.duration, &counters, &mut progress).await?;
    stage.send_replace(Stage::Settling);
    let mut verdicts = Vec::new();
    settle(arguments.settle, &mut tasks, &mut verdicts, &counters, &mut progress).await?;
    stage.send_replace(Stage::Ended);
    let goodbye = async {
        while let Some(ended) = tasks.join_next().await {
            verdicts.extend(ended.ok().flatten());
        }
    };
    if timeout(GOODBYE_WAIT, goodbye).await.is_err() {
        tasks.shutdown().await;
    }
    writer.finish().await?;
    let left = counters.outstanding.load(Ordering::Relaxed).max(0);
    let repelled = hostile::repelled(&verdicts, sent_in);
    let mut text = summary(&counters, left, arguments);
    if sent_in > 0 {
        text.push_str(&format!("\n{}", hostile::summary(&verdicts, sent_in)));
    }
    progress.finish(&text);
    Ok(if left == 0 && repelled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Until the time is over or somebody interrupts.
async fn talk(
    duration: Duration,
    counters: &Counters,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut tick = interval(TELL_PAUSE);
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let end = sleep(if duration.is_zero() { Duration::MAX / 4 } else { duration });
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = tick.tick() => progress.tell(counters, "talking"),
        }
    }
}

/// Until every device is done, the time is over, or somebody interrupts again.
async fn settle(
    limit: Duration,
    tasks: &mut JoinSet<Option<Verdict>>,
    verdicts: &mut Vec<Verdict>,
    counters: &Counters,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut tick = interval(TELL_PAUSE);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let end = sleep(limit);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = tick.tick() => progress.tell(counters, "settling"),
            ended = tasks.join_next() => match ended {
                None => return Ok(()),
                Some(Ok(verdict)) => verdicts.extend(verdict),
                Some(Err(error)) => return Err(error).context("a device had a panic"),
            },
        }
    }
}

fn summary(counters: &Counters, left: i64, arguments: &Arguments) -> String {
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut text = format!(
        "{} sent ({} again), {} acknowledged ({} of them refused with a code), {} connections; ledger {}",
        load(&counters.sent),
        load(&counters.resent),
        load(&counters.acknowledged),
        load(&counters.refused),
        load(&counters.connections),
        arguments.ledger.display(),
    );
    let turned_away = load(&counters.turned_away);
    if turned_away > 0 {
        text.push_str(&format!("\n{turned_away} connections were turned away"));
    }
    if left > 0 {
        text.push_str(&format!(
            "\n{left} messages are not acknowledged after {} s: is the gateway up, and Kafka?",
            arguments.settle.as_secs()
        ));
    }
    let trouble = counters.last_trouble.lock().expect("nothing panics under this lock");
    if let Some(trouble) = trouble.as_ref().filter(|_| left > 0 || turned_away > 0) {
        // It may hold what the gateway said.
        let harmless = trouble.replace(char::is_control, "?");
        text.push_str(&format!("\nthe last connection that failed, of {harmless}"));
    }
    text
}
