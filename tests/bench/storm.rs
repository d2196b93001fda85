//! `make storm`: a herd of devices comes, falls away all at once and comes back, while others publish as they
//! always do. All have to be served, and the others should not notice: the time from reading one of their
//! publishes to its PUBACK, as the gateway's own histogram has it, is compared with an idle hour's.
//!
//! The machine says how many devices there can be; what held them down is told.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tests::gateway::Gateway;
use tests::pki::Files;
use tests::proc;
use tests::process::Process;
use tests::wait;

use crate::herd::HerdReport;
use crate::latencies::{ACKNOWLEDGED, LANDED, Latencies};
use crate::rows::Bench;
use crate::rows::secured::{certificate, open_to_all, secured};

use crate::table::{self, Aim, Line, milliseconds, seconds, times};
use crate::{machine, raise_descriptor_limit_to};

/// Descriptors that a process needs beside its connections.
const OTHER_DESCRIPTORS: usize = 2000;
/// How long a herd may take, cold passwords included.
const HERD_WAIT: Duration = Duration::from_secs(1800);
/// After so many connections came, what they left behind is done.
const SETTLE: Duration = Duration::from_secs(5);
/// The password of all.
const PASSWORD: &str = "of the storm";

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Devices that come, fall away and come back
    #[arg(long, default_value_t = 50_000)]
    devices: usize,
    /// Addresses of loopback that they come from
    #[arg(long, default_value_t = 50)]
    addresses: u8,
    /// Devices with a password of argon2, which are checked one after the other
    #[arg(long, default_value_t = 2000)]
    password_devices: usize,
    /// Others, which stay and publish
    #[arg(long, default_value_t = 1000)]
    others: usize,
    /// Publishes of all the others together in a second
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Nice value of the herd, which takes the machine's time for what devices do on their own
    #[arg(long, default_value_t = 10)]
    herd_nice: i32,
    /// Seconds without a storm that its publishes are compared with
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Only these storms: full, resumed, password, password-many
    #[arg(long, value_delimiter = ',')]
    storms: Vec<String>,
    /// Another build of the gateway, to compare with; without it, the tree's as it is now
    #[arg(long)]
    landfall: Option<PathBuf>,
}

/// One storm: what devices come with, and how many there are.
struct Storm {
    name: &'static str,
    /// What is told of the first coming, and of the second.
    comings: [&'static str; 2],
    few: bool,
    way: &'static [&'static str],
    passwords: Option<Hash>,
}

/// How passwords are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    /// As `landfall password` makes them.
    Argon2,
    /// mosquitto's `$7$`, which cost next to nothing: with them, all can be known within minutes.
    Mosquitto,
}

const FULL: [&str; 2] = ["--tls=1.3", "--group=x25519"];
const RESUMED: [&str; 3] = ["--tls=1.3", "--group=x25519", "--resume"];

const STORMS: [Storm; 4] = [
    Storm {
        name: "full",
        comings: ["come, full handshakes", "come back, full handshakes"],
        few: false,
        way: &FULL,
        passwords: None,
    },
    Storm {
        name: "resumed",
        comings: ["come, full handshakes", "come back, resumed sessions"],
        few: false,
        way: &RESUMED,
        passwords: None,
    },
    Storm {
        name: "password",
        comings: ["come, passwords cold", "come back, passwords warm"],
        few: true,
        way: &FULL,
        passwords: Some(Hash::Argon2),
    },
    Storm {
        name: "password-many",
        comings: ["come, mosquitto's hashes cold", "come back, passwords warm"],
        few: false,
        way: &FULL,
        passwords: Some(Hash::Mosquitto),
    },
];

/// Measures, and prints a table. The exit code is 1 when something is wrong, and 0 when a figure only falls
/// short.
pub fn measure(options: &Options) -> ExitCode {
    for wanted in &options.storms {
        if !STORMS.iter().any(|storm| storm.name == wanted) {
            let names = STORMS.map(|storm| storm.name).join(", ");
            eprintln!("bench: there is no storm {wanted}: write one or more of {names}");
            return ExitCode::from(64);
        }
    }
    let wanted = options.devices + options.others + OTHER_DESCRIPTORS;
    let allowed = raise_descriptor_limit_to(wanted as u64) as usize;
    let devices = options.devices.min(allowed.saturating_sub(options.others + OTHER_DESCRIPTORS));
    let limit = match devices == options.devices {
        true => format!("{devices} devices as asked for, {allowed} descriptors"),
        false => format!("{devices} devices: of {wanted} descriptors a process may have {allowed}"),
    };
    let options = Options { devices, ..options.clone() };
    let bench = Bench::start(Duration::from_secs(options.idle_seconds), options.landfall.clone());
    let (mut lines, mut wrong) = (Vec::new(), false);
    for storm in STORMS {
        if !options.storms.is_empty() && !options.storms.iter().any(|name| name == storm.name) {
            continue;
        }
        eprintln!("bench: storm {} ...", storm.name);
        match catch_unwind(AssertUnwindSafe(|| run(&bench, &options, &storm))) {
            Ok(measured) => lines.extend(measured),
            Err(_) => {
                wrong = true;
                lines.push(Line::failed(storm.name));
            }
        }
    }
    let how = format!(
        "{limit}; {} addresses, nice {}; {} others, {} publishes a second over TLS; percentiles between the bounds of the histogram",
        options.addresses, options.herd_nice, options.others, options.rate
    );
    let text = format!("{}\n\n{}", machine::lines(&how).join("\n"), table::markdown(&lines));
    let _ = writeln!(std::io::stdout(), "{text}");
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(bench: &Bench, options: &Options, storm: &Storm) -> Vec<Line> {
    let devices = if storm.few { options.password_devices } else { options.devices };
    let gateway = start(bench, options, storm, devices);
    let way: Vec<String> = storm.way.iter().map(|&option| option.to_owned()).collect();
    let common = |name: &str| {
        let mut arguments = vec![name.to_owned(), format!("--address={}", gateway.mqtt())];
        arguments.extend(way.iter().cloned());
        arguments.extend(storm.passwords.map(|_| format!("--password={PASSWORD}")));
        arguments
    };
    let mut arguments = common("load");
    arguments.retain(|option| option != "--resume");
    arguments.extend([
        format!("--connections={}", options.others),
        format!("--rate={}", options.rate),
        format!("--duration-ms={}", 4 * HERD_WAIT.as_millis()),
    ]);
    let mut others = bench.start_child("others", &arguments);
    others.until("the others are connected", HERD_WAIT, || {
        (gateway.status()["connections"] == options.others).then_some(())
    });
    thread::sleep(SETTLE);
    let before = Times::of(&gateway);
    thread::sleep(Duration::from_secs(options.idle_seconds));
    let idle = Times::of(&gateway).since(&before);

    let again = bench.folder().join(format!("again-{}", storm.name));
    let mut arguments = common("herd");
    arguments.extend([
        format!("--connections={devices}"),
        format!("--addresses={}", options.addresses),
        format!("--nice={}", options.herd_nice),
        format!("--when={}", again.display()),
    ]);
    let mut lines = Vec::new();
    let mut herd: Option<Process> = None;
    for (number, coming) in storm.comings.iter().enumerate() {
        let before = Times::of(&gateway);
        let cpu = proc::cpu_seconds(gateway.id()).expect("the gateway runs");
        match &herd {
            None => herd = Some(bench.start_child("herd", &arguments)),
            Some(_) => std::fs::write(&again, "").expect("the folder can be written"),
        }
        let herd = herd.as_mut().expect("it was just started");
        let report = reported(herd, number);
        let cpu = proc::cpu_seconds(gateway.id()).expect("the gateway runs") - cpu;
        let during = Times::of(&gateway).since(&before);
        assert_eq!(report.served, devices, "all are served");
        assert!(others.ended().is_none(), "one of the others noticed\n{}", others.tail());
        let resident = proc::resident_bytes(gateway.id()) as f64;
        lines.extend(told(&format!("{devices} devices {coming}"), &report, cpu, resident));
        lines.extend(compared(&format!("{devices} devices {coming}"), &idle, &during));
        thread::sleep(SETTLE);
    }
    lines
}

/// A gateway whose listener lets in what the storm comes with.
fn start(bench: &Bench, options: &Options, storm: &Storm, devices: usize) -> Gateway {
    let files = certificate(bench);
    let mut listener = open_to_all(&files);
    let mut more = vec![
        ("limits.connections", json!(devices + options.others + 100)),
        ("limits.memory", json!("6GiB")),
    ];
    if let Some(hash) = storm.passwords {
        let file = bench.folder().join(format!("passwords-{}", storm.name));
        let line = |kind: &str, count: usize, hash: &str| {
            (0..count).map(|number| format!("{kind}-{number}:{hash}\n")).collect::<String>()
        };
        // The hash of one is the hash of all: it costs as much to check.
        let hash = hashed(bench, hash, &files);
        let text = line("herd", devices, &hash) + &line("bench", options.others, &hash);
        std::fs::write(&file, text).expect("the folder can be written");
        listener =
            json!({ "tls": listener["tls"], "authenticate": ["password"], "client_id": "equals" });
        more.push(("authentication", json!({ "password": { "file": file } })));
        more.push(("access", json!([{ "allow": ["publish"], "topic": "devices/+/{identity}/#" }])));
    }
    secured(bench, &listener, &more)
}

fn hashed(bench: &Bench, hash: Hash, files: &Files) -> String {
    match hash {
        Hash::Argon2 => {
            let mut command = Command::new(bench.landfall());
            command.args(["password", "herd"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("landfall can be started");
            let stdin = child.stdin.take().expect("it was asked for");
            writeln!(&stdin, "{PASSWORD}").expect("landfall reads its standard input");
            drop(stdin);
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "landfall password failed: {output:?}");
            behind_the_name(&String::from_utf8_lossy(&output.stdout))
        }
        Hash::Mosquitto => {
            let file = Path::new(files.key()).with_file_name("mosquitto-passwords");
            let mut command = Command::new("mosquitto_passwd");
            let ran = command.arg("-b").arg("-c").arg(&file).args(["herd", PASSWORD]).status();
            assert!(ran.is_ok_and(|status| status.success()), "mosquitto_passwd failed");
            let text = std::fs::read_to_string(&file).expect("it was just written");
            behind_the_name(&text)
        }
    }
}

fn behind_the_name(line: &str) -> String {
    let (_, hash) = line.trim().split_once(':').expect("a line is NAME:HASH");
    hash.to_owned()
}

/// The report of that coming of the herd.
fn reported(herd: &mut Process, number: usize) -> HerdReport {
    wait::until("all devices are in", HERD_WAIT, || {
        assert!(herd.ended().is_none(), "the herd failed\n{}", herd.tail());
        let output = herd.output();
        let line = output.lines().nth(number)?;
        serde_json::from_str(line).ok()
    })
}

fn told(name: &str, report: &HerdReport, cpu: f64, resident: f64) -> Vec<Line> {
    let failed: u64 = report.failed.values().sum();
    let why: Vec<String> =
        report.failed.iter().map(|(why, count)| format!("{why} {count}")).collect();
    vec![
        Line::plain(
            name,
            "until all are served",
            seconds(report.seconds),
            format!(
                "{:.0} a second; {} resumed",
                report.served as f64 / report.seconds,
                report.resumed
            ),
        ),
        Line::plain(
            name,
            "until a device is served: p50, p99",
            format!("{}, {}", seconds(report.p50_ms / 1e3), seconds(report.p99_ms / 1e3)),
            format!("{failed} attempts came to nothing ({})", why.join(", ")),
        ),
        Line::plain(
            name,
            "CPU of the gateway; its resident memory afterwards",
            format!("{}; {}", seconds(cpu), table::mebibytes(resident)),
            "",
        ),
    ]
}

/// How long the others' publishes took.
struct Times {
    acknowledged: Latencies,
    landed: Latencies,
}

impl Times {
    fn of(gateway: &Gateway) -> Times {
        let metrics = gateway.metrics();
        let of = |histogram| Latencies::of(&metrics, histogram);
        Times { acknowledged: of(ACKNOWLEDGED), landed: of(LANDED) }
    }

    fn since(&self, before: &Times) -> Times {
        Times {
            acknowledged: self.acknowledged.since(&before.acknowledged),
            landed: self.landed.since(&before.landed),
        }
    }
}

fn compared(name: &str, idle: &Times, during: &Times) -> Vec<Line> {
    let percentile = |of: &Latencies, share| milliseconds(of.at(share) * 1e3);
    let (still, stormy) = (idle.acknowledged.at(0.99), during.acknowledged.at(0.99));
    let ratio = stormy / still;
    let line = Line::plain(
        name,
        "publishes of the others, read to PUBACK: p99, as a multiple of idle",
        format!("{}: {}", times(ratio), percentile(&during.acknowledged, 0.99)),
        format!(
            "idle {} ({:.0} and {:.0} publishes); p50 {} and {}",
            percentile(&idle.acknowledged, 0.99),
            during.acknowledged.count(),
            idle.acknowledged.count(),
            percentile(&during.acknowledged, 0.5),
            percentile(&idle.acknowledged, 0.5)
        ),
    );
    vec![
        line.aimed(Aim::AtMost(3.0), ratio, times),
        Line::plain(
            name,
            "of that, until the lane knew that Kafka has them: p50, p99",
            [0.5, 0.99].map(|share| percentile(&during.landed, share)).join(", "),
            format!("idle {}", [0.5, 0.99].map(|share| percentile(&idle.landed, share)).join(", ")),
        ),
    ]
}
