//! `landfall dev`: a gateway on this machine that needs nothing else. Kafka is in the process, large
//! objects lie in a folder, and what lands is shown.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bridge::kafka::consumer::Consumer;
use bridge::kafka::embedded::EmbeddedKafka;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Failure, READER, run, show, start_logging};
use crate::app::App;
use crate::config::{self, Secrets};

/// Records that are shown in full; afterwards there is a line of counts now and then.
const SHOWN_RECORDS: u64 = 5;
const COUNTS_PAUSE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// Name of the file, in the data folder, by which `landfall tail` finds a running `landfall dev`.
const RUNNING_FILE: &str = "dev.json";

#[derive(clap::Args)]
pub struct Arguments {
    /// Start this many simulated devices beside it
    #[arg(long, value_name = "N")]
    simulate: Option<u32>,
    /// A Kafka to use in place of the one in the process
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Port for MQTT, on loopback
    #[arg(long, value_name = "P", default_value_t = 1883)]
    mqtt_port: u16,
    /// Port for health, metrics and status, on loopback
    #[arg(long, value_name = "P", default_value_t = 8080)]
    admin_port: u16,
    /// Folder for large objects
    #[arg(long, value_name = "DIR", default_value = "landfall-data")]
    data_dir: PathBuf,
}

/// What `landfall tail` needs to know of a running `landfall dev`.
#[derive(Serialize, Deserialize)]
pub struct Running {
    pub bootstrap_servers: String,
    pub object_store: Url,
}

impl Running {
    pub fn read(data_dir: &Path) -> Result<Running, Failure> {
        let path = data_dir.join(RUNNING_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::Usage(format!(
                "{} cannot be read ({error}): start `landfall dev` with the same --data-dir first, or name a configuration with --config",
                path.display()
            ))
        })?;
        let running = serde_json::from_str(&text);
        Ok(running.with_context(|| format!("{} is broken", path.display()))?)
    }
}

pub fn dev(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let data_dir = make_folder(&arguments.data_dir)?;
    let object_store = Url::from_directory_path(data_dir.join("objects"))
        .map_err(|()| anyhow::anyhow!("{} is no folder for objects", data_dir.display()))?;
    let defaults = config::parse("", [], Secrets::Read)?;
    let lanes = defaults.routing.lanes.values();
    let topics: Vec<String> = lanes.flat_map(|lane| lane.topic.all()).cloned().collect();
    let embedded = match &arguments.kafka {
        Some(_) => None,
        None => Some(
            EmbeddedKafka::start(topics.iter().map(String::as_str)).map_err(anyhow::Error::from)?,
        ),
    };
    let bootstrap_servers = match (&arguments.kafka, &embedded) {
        (Some(servers), _) => servers.clone(),
        (None, Some(embedded)) => embedded.bootstrap_servers(),
        (None, None) => unreachable!("one of both is there"),
    };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port)).to_string();
    let written = serde_json::json!({
        "listeners": [{ "name": "--mqtt-port", "bind": loopback(arguments.mqtt_port) }],
        "admin": { "bind": loopback(arguments.admin_port) },
        "drain": { "pause": "0s", "deadline": "5s" },
        "kafka": { "bootstrap_servers": bootstrap_servers, "create_topics": arguments.kafka.is_some() },
        "object_store": { "url": object_store.as_str() },
    });
    let mut settings = config::parse(&written.to_string(), super::environment(), Secrets::Read)?;
    settings.kafka.embedded = embedded.is_some();
    start_logging("warn");
    run::log_hints(&settings);
    let app = App::build(settings).context(
        "landfall dev cannot start; --mqtt-port and --admin-port take other ports, --data-dir another folder",
    )?;
    let mqtt = app.addresses().first().copied();
    let mqtt = mqtt.context("the listener has no address")?;
    let admin = app.admin_address().context("the admin server has no address")?;
    let running = Running { bootstrap_servers: bootstrap_servers.clone(), object_store };
    let running_path = data_dir.join(RUNNING_FILE);
    let json = serde_json::to_string(&running).context("dev.json cannot be written")?;
    std::fs::write(&running_path, json)
        .with_context(|| format!("{} cannot be written", running_path.display()))?;
    greet(arguments, mqtt, admin, &bootstrap_servers, &data_dir)?;
    let mut simulator = match arguments.simulate {
        Some(devices) => Some(simulate(devices, mqtt, &data_dir)?),
        None => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let shower = {
        let (stop, servers) = (Arc::clone(&stop), bootstrap_servers);
        thread::Builder::new().name("show".to_owned()).spawn(move || {
            if let Err(error) = show_records(&servers, &topics, &stop) {
                tracing::warn!(%error, "what lands cannot be shown");
            }
        })?
    };
    let ended = run::serve(app);
    if let Some(simulator) = &mut simulator {
        // It may have ended by itself.
        let _ = simulator.kill();
        let _ = simulator.wait();
    }
    stop.store(true, Ordering::Release);
    if shower.join().is_err() {
        tracing::error!("the thread that shows records had panicked");
    }
    let _ = std::fs::remove_file(&running_path);
    drop(embedded);
    ended
}

fn make_folder(path: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    made.map_err(|error| {
        Failure::Usage(format!(
            "--data-dir {} cannot be made ({error}): name a folder that can be written",
            path.display()
        ))
    })
}

fn greet(
    arguments: &Arguments,
    mqtt: SocketAddr,
    admin: SocketAddr,
    servers: &str,
    data_dir: &Path,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "landfall dev runs; end it with Ctrl-C")?;
    writeln!(out, "  MQTT     {mqtt}")?;
    writeln!(out, "  admin    http://{admin}/readyz /livez /metrics /api/v1/status")?;
    match arguments.kafka {
        Some(_) => writeln!(out, "  Kafka    {servers}")?,
        None => writeln!(
            out,
            "  Kafka    {servers}, in this process: it keeps nothing over a restart, and Java clients cannot read it"
        )?,
    }
    writeln!(out, "  objects  {}", data_dir.join("objects").display())?;
    writeln!(out, "try")?;
    writeln!(
        out,
        "  mosquitto_pub -p {} -q 1 -t devices/meter/m-1/power -m '{{\"watts\": 21}}'",
        mqtt.port()
    )?;
    let folder = match arguments.data_dir.to_str() {
        Some("landfall-data") => String::new(),
        _ => format!(" --data-dir {}", arguments.data_dir.display()),
    };
    writeln!(out, "  landfall tail fast{folder}")
}

/// Starts the simulator, which is built beside this program.
fn simulate(devices: u32, gateway: SocketAddr, data_dir: &Path) -> Result<Child, Failure> {
    let own = std::env::current_exe().context("this program's own path is not known")?;
    let simulator = own.with_file_name("device-sim");
    let ledger = data_dir.join("simulator.ledger");
    let child = std::process::Command::new(&simulator)
        .args(["run", "--gateway", &gateway.to_string(), "--devices", &devices.to_string()])
        .args(["--duration", "0", "--seed", "1", "--ledger"])
        .arg(&ledger)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| {
            format!(
                "{} cannot be started: build it with `cargo build -p device-sim`",
                simulator.display()
            )
        })?;
    Ok(child)
}

/// Shows the first records that land, then how many.
fn show_records(servers: &str, topics: &[String], stop: &AtomicBool) -> anyhow::Result<()> {
    let consumer = loop {
        // A real Kafka may be away, or its topics not created yet: readiness tells that.
        match Consumer::open(READER, servers, &Default::default(), topics) {
            Ok(consumer) => break consumer,
            Err(error) => tracing::debug!(%error, "the lanes cannot be read yet"),
        }
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        thread::sleep(LOOK);
    };
    let (mut seen, mut told, mut told_at) = (0_u64, 0, Instant::now());
    while !stop.load(Ordering::Acquire) {
        if let Some(record) = consumer.next(LOOK)? {
            seen += 1;
            if seen <= SHOWN_RECORDS {
                writeln!(io::stdout(), "landed  {}", show::line(&record, None))?;
            }
        }
        if seen > SHOWN_RECORDS && seen > told && told_at.elapsed() >= COUNTS_PAUSE {
            writeln!(
                io::stdout(),
                "landed  {seen} records so far; `landfall tail fast` shows them"
            )?;
            (told, told_at) = (seen, Instant::now());
        }
    }
    Ok(())
}
