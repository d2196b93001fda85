//! The rows of the table, and what all of them need: one Kafka, a gateway, the processes that make load.

mod brokers;
mod flood;
mod idle;
mod paced;
pub mod parse;
mod producer;
pub mod secured;
mod start;
mod stopped;
mod traffic;
mod uploads;
mod watched;
mod window;

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, KafkaOptions};
use tests::process::Process;
use tests::tools::{self, Folder};

use crate::machine;
use crate::report::{self, LoadReport};
use crate::table::{self, Line};

/// Partitions of a topic, where nothing else is asked for.
const PARTITIONS: i32 = 3;
const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// What a process that makes load may take beyond its warm-up and its span.
const LOAD_MARGIN: Duration = Duration::from_secs(90);
const WARM_UP: Duration = Duration::from_secs(1);

type Row = fn(&Bench) -> Vec<Line>;

/// By name, in the order of the table.
const ROWS: [(&str, Row); 25] = [
    ("window50", window::few),
    ("window5000", window::many),
    ("partitions", window::partitions),
    ("pages", window::pages),
    ("paced20k", paced::fast),
    ("paced5k", paced::slow),
    ("brokers20k", brokers::fast),
    ("brokers5k", brokers::slow),
    ("stopped", stopped::row),
    ("flood", flood::row),
    ("watched", watched::row),
    ("idle", idle::row),
    ("traffic", traffic::row),
    ("uploads", uploads::row),
    ("start", start::row),
    ("handshakes", secured::handshakes),
    ("tls50", secured::few),
    ("idle-tls", secured::idle_tls),
    ("idle-websocket", secured::idle_websocket),
    ("parse-json", parse::json),
    ("parse-list", parse::list),
    ("parse-csv", parse::csv),
    ("parse-gzip", parse::gzip),
    ("parse-lag", parse::lag),
    ("parse-paced", parse::paced),
];

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Only these: window50, window5000, partitions, pages, paced20k, paced5k, brokers20k, brokers5k, stopped,
    /// flood, watched, idle, traffic, uploads, start, handshakes, tls50, idle-tls, idle-websocket, parse-json,
    /// parse-list, parse-csv, parse-gzip, parse-lag, parse-paced
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Seconds that a repetition is measured
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
    /// How often each row is measured; the median counts
    #[arg(long, default_value_t = 3)]
    pub repetitions: usize,
    /// Partitions of every topic, a lane's as well as a bare producer's
    #[arg(long, default_value_t = PARTITIONS)]
    pub partitions: i32,
    /// Another build of the gateway, to compare with; without it, the tree's as it is now
    #[arg(long)]
    pub landfall: Option<PathBuf>,
}

/// What the rows share.
pub struct Bench {
    pub kafka: Kafka,
    landfall: PathBuf,
    folder: Folder,
    duration: Duration,
    repetitions: usize,
    /// Of every topic, a lane's as well as a bare producer's.
    partitions: i32,
    /// Kafka's first seconds are over.
    warm: OnceLock<()>,
}

/// Measures, and prints the table. The exit code is 1 when something is wrong, and 0 when a figure only
/// falls short.
pub fn measure(options: &Options) -> ExitCode {
    for row in &options.rows {
        if !ROWS.iter().any(|(name, _)| name == row) {
            let names = ROWS.map(|(name, _)| name).join(", ");
            eprintln!("bench: there is no row {row}: write one or more of {names}");
            return ExitCode::from(64);
        }
    }
    if options.repetitions == 0 || options.seconds.is_nan() || options.seconds < 0.1 {
        eprintln!("bench: measure at least 1 repetition of at least 0.1 seconds");
        return ExitCode::from(64);
    }
    let begin = Instant::now();
    // What is missing ends this before anything is measured.
    tools::mosquitto();
    let mut bench =
        Bench::start(Duration::from_secs_f64(options.seconds), options.landfall.clone());
    bench.repetitions = options.repetitions;
    bench.partitions = options.partitions;
    let mut lines = Vec::new();
    let mut wrong = false;
    for (name, row) in ROWS {
        if !options.rows.is_empty() && !options.rows.iter().any(|wanted| wanted == name) {
            continue;
        }
        let row_begin = Instant::now();
        eprintln!("bench: {name} ...");
        // A row that fails has said why; the others may still be measured.
        match catch_unwind(AssertUnwindSafe(|| row(&bench))) {
            Ok(measured) => lines.extend(measured),
            Err(_) => {
                wrong = true;
                lines.push(Line::failed(name));
            }
        }
        eprintln!("bench: {name} took {:.0} s", row_begin.elapsed().as_secs_f64());
    }
    let how = format!(
        "{} × {} s after {} s of warm-up, median (smallest to largest); {} partitions; 256 B, QoS 1",
        options.repetitions,
        options.seconds,
        WARM_UP.as_secs(),
        options.partitions,
    );
    let off = lines.iter().filter(|line| line.is_off()).count();
    let text = format!("{}\n\n{}", machine::lines(&how).join("\n"), table::markdown(&lines));
    let _ = writeln!(std::io::stdout(), "{text}");
    eprintln!("bench: {off} short of their aim, {:.0} s in all", begin.elapsed().as_secs_f64());
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Bench {
    /// Measures each row once, for as long; of `landfall`, or of the tree's release build.
    pub fn start(duration: Duration, landfall: Option<PathBuf>) -> Bench {
        // Full load writes hundreds of megabytes per second: Kafka forgets what nobody reads. End
        // offsets stay.
        let properties = [
            ("log.segment.bytes", "134217728"),
            ("log.retention.bytes", "134217728"),
            ("log.retention.check.interval.ms", "2000"),
            ("log.segment.delete.delay.ms", "1000"),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Bench {
            landfall: landfall.unwrap_or_else(|| tools::released("gateway", "landfall")),
            kafka: Kafka::start_with(&KafkaOptions {
                properties: properties.into(),
                ..KafkaOptions::default()
            }),
            folder: Folder::new("bench"),
            duration,
            repetitions: 1,
            partitions: PARTITIONS,
            warm: OnceLock::new(),
        }
    }

    /// The gateway's program.
    pub fn landfall(&self) -> &Path {
        &self.landfall
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A gateway's configuration, with everything at its default.
    fn gateway(&self) -> GatewayConfig {
        GatewayConfig::with_partitions(&self.kafka, self.partitions).program(&self.landfall)
    }

    /// Runs full load for a moment, once: Kafka's code is compiled while it runs.
    fn warm_up(&self) {
        self.warm.get_or_init(|| {
            let gateway = self.gateway().start_ready();
            let load = Load { connections: 50, rate: None, duration: 2 * WARM_UP, way: &[] };
            let report = self.load(&load, gateway.mqtt(), &[]);
            self.check_landed(&gateway, report.acknowledged);
        });
    }

    /// Publishes from a process of its own.
    fn load(&self, load: &Load, address: SocketAddr, watch: &[u32]) -> LoadReport {
        let mut arguments = vec![
            "load".to_owned(),
            format!("--address={address}"),
            format!("--connections={}", load.connections),
        ];
        arguments.extend(load.way.iter().map(|&option| option.to_owned()));
        arguments.extend(load.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(timing(load.duration, watch));
        self.child("load", &arguments, WARM_UP + load.duration)
    }

    /// Runs this program again, and returns its report.
    fn child<T: DeserializeOwned>(
        &self,
        name: &str,
        arguments: &[String],
        expected: Duration,
    ) -> T {
        let mut process = self.start_child(name, arguments);
        let status = process.wait(expected + LOAD_MARGIN);
        assert!(status.success(), "{name} failed\n{}", process.tail());
        report::parse(&process.output())
    }

    pub fn start_child(&self, name: &str, arguments: &[String]) -> Process {
        let mut command =
            Command::new(std::env::current_exe().expect("a program knows its own path"));
        command.args(arguments);
        let name = tests::kafka::unique(name);
        Process::start(&name, command, &self.folder)
    }

    /// Promise 1, for everything at once: what was acknowledged is what Kafka has.
    fn check_landed(&self, gateway: &Gateway, acknowledged: u64) {
        let landed: u64 = LANES.iter().map(|lane| self.kafka.count(&gateway.topic(lane))).sum();
        assert_eq!(landed, acknowledged, "Kafka's end offsets and the acknowledged count differ");
    }
}

/// A load over MQTT, without its warm-up.
struct Load {
    connections: usize,
    /// Messages per second; None: as fast as the windows allow.
    rate: Option<u64>,
    duration: Duration,
    /// How connections get in, as options of the load.
    way: &'static [&'static str],
}

fn timing(duration: Duration, watch: &[u32]) -> Vec<String> {
    let mut arguments = vec![
        format!("--warm-up-ms={}", WARM_UP.as_millis()),
        format!("--duration-ms={}", duration.as_millis()),
    ];
    if !watch.is_empty() {
        let ids: Vec<String> = watch.iter().map(u32::to_string).collect();
        arguments.push(format!("--watch={}", ids.join(",")));
    }
    arguments
}

/// Reports of one system, repetition by repetition.
#[derive(Default)]
struct Repetitions(Vec<LoadReport>);

/// The watched process whose cost is the figure.
const SYSTEM: usize = 0;
/// Kafka, where it is watched too.
const KAFKA: usize = 1;

impl Repetitions {
    fn values(&self, figure: impl Fn(&LoadReport) -> f64) -> Vec<f64> {
        self.0.iter().map(figure).collect()
    }

    fn median(&self, figure: impl Fn(&LoadReport) -> f64) -> f64 {
        table::median(&self.values(figure))
    }

    fn spread(&self, figure: impl Fn(&LoadReport) -> f64, unit: impl Fn(f64) -> String) -> String {
        table::spread(&self.values(figure), unit)
    }

    fn acknowledged(&self) -> u64 {
        self.0.iter().map(|report| report.acknowledged).sum()
    }
}

fn per_second(report: &LoadReport) -> f64 {
    report.measured as f64 / report.seconds
}

/// Messages per CPU-second of a watched process.
fn per_cpu_second(process: usize) -> impl Fn(&LoadReport) -> f64 {
    // A process that used no whole tick used less than one.
    move |report| report.measured as f64 / report.cpu[process].max(0.01)
}

/// Share of a core that a watched process used.
fn cores(process: usize) -> impl Fn(&LoadReport) -> f64 {
    move |report| report.cpu[process] / report.seconds
}

/// CPU seconds of a watched process for a million messages.
fn per_million(process: usize) -> impl Fn(&LoadReport) -> f64 {
    move |report| report.cpu[process] / report.measured.max(1) as f64 * 1e6
}
