//! `landfall dev`: a gateway on this machine that needs nothing else. Kafka is in the process, large
//! objects lie in a folder, and what lands is shown. With `--tls` only devices with a certificate get in, each as
//! itself and under its own topics.

mod certificates;

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
use serde_json::{Value, json};
use url::Url;

use certificates::{Certificates, DEVICE};

use super::{Failure, READER, quoted, run, show, start_logging, tail};
use crate::app::App;
use crate::config::{self, Secrets};
use crate::live::Latest;

/// Records that are shown in full; afterwards there is a line of counts now and then.
const SHOWN_RECORDS: u64 = 5;
const COUNTS_PAUSE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// Connections that are planned for beside the simulated ones, so that a small machine has memory for both roles.
const CONNECTIONS: u32 = 1000;
/// Name of the file, in the data folder, by which `landfall tail` finds a running `landfall dev`.
const RUNNING_FILE: &str = "dev.json";
/// Ports on which those who build pages serve them to themselves.
const PAGE_PORTS: [u16; 9] = [3000, 4173, 4200, 5000, 5173, 5500, 8000, 8080, 9000];
/// Name of the folder, in the data folder, for certificates and keys.
const CERTIFICATES_FOLDER: &str = "tls";
/// Name of the file, in the data folder, for who came in, was refused or wanted too much.
const AUDIT_FILE: &str = "audit.jsonl";

#[derive(clap::Args)]
pub struct Arguments {
    /// Start this many simulated devices beside it
    #[arg(long, value_name = "N")]
    simulate: Option<u32>,
    /// A Kafka to use in place of the one in the process
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Speak TLS, and let in devices with a certificate of a CA that is made in the data folder, each as itself
    #[arg(long)]
    tls: bool,
    /// Port for MQTT, on loopback [default: 1883, with --tls 8883]
    #[arg(long, value_name = "P")]
    mqtt_port: Option<u16>,
    /// Port for MQTT in WebSockets, on loopback
    #[arg(long, value_name = "P", default_value_t = 8083)]
    ws_port: u16,
    /// Pages that may open WebSockets, beside those of this machine on the usual ports
    #[arg(long, value_name = "ORIGIN,…", value_delimiter = ',')]
    ws_origin: Vec<String>,
    /// Port for health, metrics and status, on loopback
    #[arg(long, value_name = "P", default_value_t = 8080)]
    admin_port: u16,
    /// Folder for large objects, and for certificates
    #[arg(long, value_name = "DIR", default_value = "landfall-data")]
    data_dir: PathBuf,
}

/// How the payloads of the simulator's fleet become events.
pub const FLEET: &str = include_str!("../../../examples/device-sim/parse.yaml");

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
    let defaults = config::parse_whole(FLEET, [], Secrets::Read)?;
    let readable = tail::readable(&defaults);
    let topics: Vec<String> = readable.iter().flat_map(|(_, topics)| topics).cloned().collect();
    let lanes = defaults.gateway.routing.lanes.values();
    let lanes: Vec<String> = lanes.flat_map(|lane| lane.topic.all()).cloned().collect();
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
    let certificates = match arguments.tls {
        true => Some(Certificates::open(&data_dir.join(CERTIFICATES_FOLDER))?),
        false => None,
    };
    let mut written = listeners(arguments, certificates.as_ref());
    if arguments.tls {
        written["audit"] = json!({ "file": data_dir.join(AUDIT_FILE) });
    }
    written["admin"] = json!({ "bind": loopback(arguments.admin_port) });
    written["drain"] = json!({ "pause": "0s", "deadline": "5s" });
    written["kafka"] = json!({
        "bootstrap_servers": bootstrap_servers,
        "create_topics": arguments.kafka.is_some(),
    });
    written["object_store"] = json!({ "url": object_store.as_str() });
    let connections = arguments.simulate.unwrap_or_default().saturating_add(CONNECTIONS);
    written["limits"] = json!({ "connections": connections });
    let sections = written.as_object().into_iter().flatten();
    let text: String = sections.map(|(name, section)| format!("{name}: {section}\n")).collect();
    let whole = config::parse_one_process(&(text + FLEET), super::environment(), Secrets::Read)?;
    let (mut settings, plan) = (whole.gateway, whole.parse.map(|events| events.plan));
    settings.kafka.embedded = embedded.is_some();
    settings.reload_at_hangup = false;
    start_logging("warn");
    run::log_hints(&settings.hints);
    let app = App::build(settings, plan).context(
        "landfall dev cannot start; --mqtt-port, --ws-port and --admin-port take other ports, --data-dir another folder",
    )?;
    let &[mqtt, websocket] = &*app.addresses() else {
        return Err(anyhow::anyhow!("there are two listeners, and each has an address").into());
    };
    let admin = app.admin_address().context("the admin server has no address")?;
    let running = Running { bootstrap_servers: bootstrap_servers.clone(), object_store };
    let running_path = data_dir.join(RUNNING_FILE);
    let json = serde_json::to_string(&running).context("dev.json cannot be written")?;
    std::fs::write(&running_path, json)
        .with_context(|| format!("{} cannot be written", running_path.display()))?;
    let addresses = Addresses { mqtt, websocket, admin };
    let publish = publish(arguments, mqtt);
    greet(arguments, &addresses, &bootstrap_servers, &data_dir, &publish)?;
    let latest = Arc::new(Latest::new(publish, readable));
    app.show_latest(Arc::clone(&latest));
    let mut simulator = match arguments.simulate {
        Some(devices) => Some(simulate(devices, mqtt, &data_dir, certificates.as_ref())?),
        None => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let shower = {
        let (stop, servers) = (Arc::clone(&stop), bootstrap_servers);
        thread::Builder::new().name("show".to_owned()).spawn(move || {
            if let Err(error) = show_records(&servers, &topics, &lanes, &latest, &stop) {
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

fn loopback(port: u16) -> String {
    SocketAddr::from(([127, 0, 0, 1], port)).to_string()
}

/// The sections about who gets in, and how.
fn listeners(arguments: &Arguments, certificates: Option<&Certificates>) -> Value {
    let default = if arguments.tls { 8883 } else { 1883 };
    let mqtt_port = arguments.mqtt_port.unwrap_or(default);
    // A listener's name is what an error about it says.
    let mut mqtt = json!({ "name": "--mqtt-port", "bind": loopback(mqtt_port) });
    let mut websocket = json!({
        "name": "--ws-port",
        "bind": loopback(arguments.ws_port),
        "websocket": { "origins": origins(arguments) },
    });
    let Some(certificates) = certificates else {
        return json!({ "listeners": [mqtt, websocket] });
    };
    let server = json!({ "certificate": certificates.certificate("server"), "key": certificates.key("server") });
    for listener in [&mut mqtt, &mut websocket] {
        listener["tls"] = json!({
            "certificates": [server],
            "client_ca": certificates.certificate("ca"),
            "client_certificate": "required",
        });
        listener["authenticate"] = json!(["certificate"]);
    }
    json!({
        "listeners": [mqtt, websocket],
        "authentication": { "certificate": { "identity": ["cn"] } },
        "client_id": "equals",
        "access": [{ "allow": ["publish", "subscribe"], "topic": "devices/+/{identity}/#" }],
    })
}

/// Which pages may connect: a browser opens a WebSocket to this machine for any page of the internet.
fn origins(arguments: &Arguments) -> Vec<String> {
    let local = |host: &str| {
        let with_port = PAGE_PORTS.iter().map(move |port| format!("http://{host}:{port}"));
        with_port.chain([format!("http://{host}")]).collect::<Vec<_>>()
    };
    let own = ["localhost", "127.0.0.1"].into_iter().flat_map(local);
    own.chain(arguments.ws_origin.iter().cloned()).collect()
}

/// Where it listens.
struct Addresses {
    mqtt: SocketAddr,
    websocket: SocketAddr,
    admin: SocketAddr,
}

fn greet(
    arguments: &Arguments,
    addresses: &Addresses,
    servers: &str,
    data_dir: &Path,
    publish: &str,
) -> io::Result<()> {
    let Addresses { mqtt, websocket, admin } = addresses;
    let mut out = io::stdout().lock();
    writeln!(out, "landfall dev runs; end it with Ctrl-C")?;
    writeln!(out, "  page     http://{admin}/ in a browser")?;
    match arguments.tls {
        false => {
            writeln!(out, "  MQTT     {mqtt}")?;
            writeln!(out, "  browser  ws://{websocket}/mqtt")?;
        }
        true => {
            writeln!(
                out,
                "  MQTT     {mqtt}, TLS with a client certificate: a device is whom it names, below devices/TYPE/NAME"
            )?;
            writeln!(out, "  browser  wss://localhost:{}/mqtt, likewise", websocket.port())?;
            let folder = data_dir.join(CERTIFICATES_FOLDER);
            writeln!(out, "  TLS      certificates and keys in {}", folder.display())?;
            writeln!(out, "  audit    {}", data_dir.join(AUDIT_FILE).display())?;
        }
    }
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
    writeln!(out, "  {publish}")?;
    let folder = match arguments.data_dir.to_str() {
        Some("landfall-data") => String::new(),
        _ => format!(" --data-dir {}", quoted(&arguments.data_dir)),
    };
    writeln!(out, "  landfall tail fast{folder}")?;
    writeln!(out, "  landfall tail canonical.other{folder}")?;
    writeln!(out, "tail shows canonical.meter, metadata and quarantine too")
}

/// A command that publishes a message.
fn publish(arguments: &Arguments, mqtt: SocketAddr) -> String {
    format!(
        "mosquitto_pub{} -p {} -q 1 -t devices/meter/{DEVICE}/power -m '{{\"watts\": 21}}'",
        shown_certificate(arguments),
        mqtt.port()
    )
}

/// How mosquitto_pub shows the device's certificate; nothing without TLS.
fn shown_certificate(arguments: &Arguments) -> String {
    if !arguments.tls {
        return String::new();
    }
    let files = Certificates::at(&arguments.data_dir.join(CERTIFICATES_FOLDER));
    format!(
        " -h localhost --cafile {} --cert {} --key {} -i {DEVICE}",
        quoted(&files.certificate("ca")),
        quoted(&files.certificate(DEVICE)),
        quoted(&files.key(DEVICE))
    )
}

/// Starts the simulator, which is built beside this program.
fn simulate(
    devices: u32,
    gateway: SocketAddr,
    data_dir: &Path,
    certificates: Option<&Certificates>,
) -> Result<Child, Failure> {
    let own = std::env::current_exe().context("this program's own path is not known")?;
    let simulator = own.with_file_name("device-sim");
    let ledger = data_dir.join("simulator.ledger");
    let mut command = std::process::Command::new(&simulator);
    command.arg("run");
    if let Some(certificates) = certificates {
        // The devices' certificates are of the CA that the gateway was given.
        command.args(["--tls", "--ca"]).arg(certificates.certificate("ca"));
        command.arg("--make-ca").arg(data_dir.join(CERTIFICATES_FOLDER));
    }
    let child = command
        .args(["--gateway", &gateway.to_string(), "--devices", &devices.to_string()])
        .args(["--duration", "0", "--seed", "1", "--ledger"])
        .arg(&ledger)
        // Nobody writes to it: it ends when this process does, however that is.
        .arg("--end-with-stdin")
        .stdin(Stdio::piped())
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

/// Shows the first records that land, then how many; and the latest to whoever looks.
fn show_records(
    servers: &str,
    topics: &[String],
    lanes: &[String],
    latest: &Latest,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
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
    let (mut seen, mut made, mut told, mut told_at) = (0_u64, 0_u64, 0, Instant::now());
    while !stop.load(Ordering::Acquire) {
        if let Some(record) = consumer.next(LOOK)? {
            let is_raw = lanes.contains(&record.topic);
            let (what, count) = if is_raw { ("landed", &mut seen) } else { ("made  ", &mut made) };
            *count += 1;
            let line = show::line(&record, None);
            latest.note(&record.topic, &line);
            if *count <= SHOWN_RECORDS {
                writeln!(io::stdout(), "{what}  {line}")?;
            }
        }
        if seen > SHOWN_RECORDS && seen > told && told_at.elapsed() >= COUNTS_PAUSE {
            writeln!(
                io::stdout(),
                "landed  {seen} records so far, and {made} events and notes made of them"
            )?;
            (told, told_at) = (seen, Instant::now());
        }
    }
    Ok(())
}
