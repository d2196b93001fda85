//! `landfall dev`, the first thing a newcomer runs: it needs nothing, shows what lands, and is read by
//! others while it runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::browser::{Browser, Look};
use tests::events::Stream;
use tests::foreign::{kcat, mosquitto_pub};
use tests::http;
use tests::kafka::{Kafka, unique};
use tests::ports;
use tests::process::Process;
use tests::tools::{Folder, program};
use tests::wait::{SOON, START, until};

/// How long the end may take: its drain's deadline, and a little.
const END: Duration = Duration::from_secs(10);

struct Dev {
    process: Process,
    mqtt: String,
    websocket: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    folder: Folder,
}

impl Dev {
    #[track_caller]
    fn start(more: &[&str]) -> Dev {
        Dev::start_in(Folder::new("dev"), more)
    }

    #[track_caller]
    fn start_in(folder: Folder, more: &[&str]) -> Dev {
        let [mqtt, websocket, admin] = [(); 3].map(|()| ports::free());
        let mut command = landfall(&folder);
        command.args(["dev", "--mqtt-port", &mqtt.to_string(), "--admin-port", &admin.to_string()]);
        command.args(["--ws-port", &websocket.to_string()]);
        command.args(more);
        let mut process = Process::start("dev", command, &folder);
        let admin = ports::local(admin);
        process.until("landfall dev is ready", START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        let websocket = ports::local(websocket);
        Dev { process, mqtt: mqtt.to_string(), websocket, admin, folder }
    }

    /// Runs another command of `landfall` beside it, which has to end well, and returns its output.
    #[track_caller]
    fn beside(&self, arguments: &[&str]) -> String {
        let mut command = landfall(&self.folder);
        command.args(arguments);
        let own = Folder::new("beside");
        let mut process = Process::start("landfall", command, &own);
        let status = process.wait(START);
        assert!(status.success(), "{arguments:?}: {}", process.log());
        process.output()
    }

    /// Where the kernel tells of its only child.
    #[track_caller]
    fn simulator(&self) -> PathBuf {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.expect("the process runs");
        let children: Vec<&str> = children.split_whitespace().collect();
        let [child] = *children else { panic!("one child was expected: {children:?}") };
        Path::new("/proc").join(child)
    }

    /// The value of a line of its greeting.
    #[track_caller]
    fn told(&self, name: &str) -> String {
        let output = self.process.output();
        let line = output.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not told: {output}"));
        line.trim_start()[name.len()..].trim().to_owned()
    }
}

/// In a folder of its own, without the configuration of whoever runs the tests.
fn landfall(folder: &Folder) -> Command {
    let mut command = Command::new(program("landfall"));
    command.current_dir(&**folder).env_clear();
    command
}

#[test]
fn a_newcomer_sees_what_lands() {
    let mut dev = Dev::start(&[]);
    let topic = "devices/meter/m-1/power";
    mosquitto_pub(&["-p", &dev.mqtt, "-q", "1", "-t", topic, "-m", "{\"watts\": 21}"]);
    let output = until("the record is shown", SOON, || {
        let output = dev.process.output();
        output.contains("watts").then_some(output)
    });
    assert!(output.contains("m-1") && output.contains("fast"), "{output}");
    assert!(output.contains("keeps nothing over a restart"), "{output}");

    let tail = dev.beside(&["tail", "fast", "--count", "1"]);
    assert!(tail.contains(topic) && tail.contains("watts"), "{tail}");

    // Whoever looks at its page sees it too, and how to publish the next one.
    let mut live = Stream::open(dev.admin, "/api/v1/live", &[]).expect("it is shown");
    let line = |now: &Value| {
        let lanes = now["latest"]["lanes"].as_array()?;
        let fast = lanes.iter().find(|lane| lane["lane"] == "fast")?;
        fast["lines"][0].as_str().map(str::to_owned)
    };
    let now = live.until("now", |now| line(now).is_some());
    assert_eq!(line(&now).as_deref(), tail.lines().next(), "as tail shows it");
    let publish = now["latest"]["publish"].as_str().expect("a command");
    assert!(publish.starts_with(&format!("mosquitto_pub -p {} ", dev.mqtt)), "{publish}");
    assert!(output.contains(publish), "the same as at the start: {output}");

    // A large message goes to the folder, and tail follows its reference.
    let large = "large ".repeat(200_000);
    let file = dev.folder.join("large");
    std::fs::write(&file, &large).expect("the test's folder can be written");
    let path = file.to_str().expect("the folder's name is text");
    mosquitto_pub(&["-p", &dev.mqtt, "-q", "2", "-t", topic, "-f", path]);
    let tail = dev.beside(&["tail", "slow", "--count", "1"]);
    assert!(tail.contains("landfall-data/objects/slow/"), "{tail}");
    assert!(tail.contains("large large"), "{tail}");

    // The broker is one for any client built on librdkafka.
    let servers = dev.told("Kafka").split(',').next().map(str::to_owned).expect("an address");
    let read = kcat(&["-C", "-e", "-q", "-b", &servers, "-t", "landfall.fast", "-f", "%k %h\n"]);
    assert_eq!(read.trim(), "m-1 content-type=application/protobuf");

    // Its page shows what landed too, as text, and a line that publishes one more.
    if let Some(browser) = Browser::shared() {
        let mut page = browser.open(Look::NARROW);
        page.go(&dev.told("page").replace(" in a browser", ""));
        page.until_it_says("{\"watts\": 21}");
        let line = page.ask("document.querySelector('.publish code').textContent");
        let line = line.as_str().expect("a command").replace("watts", "<b>watts</b>");
        let published = Command::new("sh").args(["-c", &line]).status();
        assert!(published.is_ok_and(|status| status.success()), "{line}");
        page.until_it_says("{\"<b>watts</b>\": 21}");
        assert_eq!(page.ask("document.querySelectorAll('main b').length"), 0);
        assert_eq!(page.barriers(), [""; 0]);
        assert_eq!(page.errors(), [""; 0]);
    }

    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
    assert!(!dev.folder.join("landfall-data/dev.json").exists(), "tail would still look for it");
}

#[test]
fn simulated_devices_are_started_and_ended_with_it() {
    let mut dev = Dev::start(&["--simulate", "5"]);
    // What they say is made events of, and what became of each message is told.
    for (name, words) in [
        ("canonical.meter", &["  event "][..]),
        ("metadata", &["  landed  ", "  parsed  "]),
        ("fast", &["  fast "]),
    ] {
        let told = dev.beside(&["tail", name, "--count", "2"]);
        let is_such = |line: &str| words.iter().any(|word| line.contains(word));
        assert!(told.lines().all(is_such), "{name}: {told}");
    }
    until("records are shown", SOON, || dev.process.output().contains("sim-").then_some(()));
    until("the devices are connected", SOON, || {
        let status = http::get(dev.admin, "/api/v1/status").ok()?.body;
        let status: Value = serde_json::from_str(&status).ok()?;
        (status["connections"] == 5).then_some(())
    });
    let simulator = dev.simulator();
    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
    assert!(!runs(&simulator), "the simulator goes on");

    // Killed, it can tell nobody.
    let mut dev = Dev::start(&["--simulate", "1"]);
    let simulator = dev.simulator();
    assert!(runs(&simulator));
    dev.process.kill();
    until("the simulator has ended", SOON, || (!runs(&simulator)).then_some(()));
}

/// The process is there, and no corpse that nobody has buried.
fn runs(process: &Path) -> bool {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn a_browser_reaches_it() {
    use std::io::{Read as _, Write as _};
    let dev = Dev::start(&["--ws-origin", "https://page.example.com"]);
    assert!(dev.told("browser").starts_with(&format!("ws://{}/mqtt", dev.websocket)));
    let answer = |origin: &str| {
        let mut stream = std::net::TcpStream::connect(dev.websocket).expect("it listens");
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
             Origin: {origin}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(answer("http://localhost:3000"), "HTTP/1.1 101");
    assert_eq!(answer("https://page.example.com"), "HTTP/1.1 101");
    assert_eq!(answer("https://stranger.example.com"), "HTTP/1.1 403");
}

#[test]
fn a_secured_gateway_needs_nothing_else() {
    let mut dev = Dev::start(&["--tls", "--simulate", "3"]);
    let output = dev.process.output();
    let line = output.lines().find(|line| line.trim_start().starts_with("mosquitto_pub"));
    let line = line.unwrap_or_else(|| panic!("no line to try: {output}")).trim();
    // Just as it is printed, where it was printed.
    let publish = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&*dev.folder);
        command.output().expect("sh can be started")
    };
    let published = publish(line);
    assert!(published.status.success(), "{line}: {published:?}");
    until("it has landed", SOON, || {
        let metrics = http::get(dev.admin, "/metrics").ok()?.body;
        let metrics = tests::exposition::Metrics::parse(&metrics);
        (metrics.sum("landfall_messages_landed_total", &[]) > 0.0).then_some(())
    });
    until("all devices are connected", SOON, || {
        let status = http::get(dev.admin, "/api/v1/status").ok()?.body;
        let status: Value = serde_json::from_str(&status).ok()?;
        (status["connections"] == 3).then_some(())
    });
    // Nobody gets in without a certificate, or as somebody else, or to somebody else's topics.
    let (without, _) = line.split_once(" --cert").expect("it shows a certificate");
    let without = format!("{without} -q 1 -t devices/meter/m-1/power -m x");
    let published = publish(&without);
    assert!(!published.status.success(), "{without}: {published:?}");
    let foreign = line.replace("-i m-1", "-i m-2");
    let published = publish(&foreign);
    let said = String::from_utf8_lossy(&published.stderr);
    assert!(
        !published.status.success() && said.contains("identifier rejected"),
        "{foreign}: {said}"
    );
    let beyond =
        line.replace("devices/meter/m-1", "-V 5 devices/meter/m-2").replace("-t -V 5", "-V 5 -t");
    let said = publish(&beyond);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("Not authorized"), "{beyond}: {said}");
    until("the audit log has them", SOON, || {
        let audit = std::fs::read_to_string(dev.told("audit")).ok()?;
        let has = |parts: [&str; 2]| {
            audit.lines().any(|line| parts.iter().all(|part| line.contains(part)))
        };
        (has(["connected", "certificate"]) && has(["refused", "m-2"]) && has(["denied", "m-2"]))
            .then_some(())
    });
    for key in ["ca.key", "server.key", "m-1.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dev.folder.join("landfall-data/tls").join(key);
        let mode = std::fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }

    // Its certificates are kept, so that what was given to a device still works.
    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
    let Dev { folder, .. } = dev;
    let kept = std::fs::read(folder.join("landfall-data/tls/m-1.crt")).expect("it is there");
    let mut dev = Dev::start_in(folder, &["--tls"]);
    let now = std::fs::read(dev.folder.join("landfall-data/tls/m-1.crt")).expect("it is there");
    assert_eq!(kept, now);
    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
}

#[test]
fn a_kafka_of_ones_own_is_used() {
    let kafka = Kafka::shared();
    let dev = Dev::start(&["--kafka", &kafka.address()]);
    let payload = unique("own-kafka");
    mosquitto_pub(&["-p", &dev.mqtt, "-q", "1", "-t", "devices/meter/m-2/power", "-m", &payload]);
    // Its topics have their default names there, and are shared with whoever else uses them.
    let found = until("the record is there", START, || {
        let records = kafka.read_all("landfall.fast");
        records.into_iter().find(|record| record.payload() == payload.as_bytes())
    });
    assert_eq!(found.key_text(), "m-2");
}

#[test]
fn what_is_taken_is_named_with_its_option() {
    let dev = Dev::start(&[]);
    let folder = Folder::new("dev");
    let free = ports::free().to_string();
    let other = ports::free().to_string();
    let admin = dev.admin.port().to_string();
    let websocket = dev.websocket.port().to_string();
    for (mqtt, websocket, admin, option) in [
        (&dev.mqtt, &other, &free, "--mqtt-port"),
        (&free, &websocket, &other, "--ws-port"),
        (&free, &other, &admin, "--admin-port"),
    ] {
        let mut command = landfall(&folder);
        command.args(["dev", "--mqtt-port", mqtt, "--ws-port", websocket, "--admin-port", admin]);
        let mut process = Process::start("dev", command, &folder);
        assert_eq!(process.wait(SOON).code(), Some(1));
        let log = process.log();
        assert!(log.contains(option) && log.contains("another program"), "{log}");
    }
    let mut command = landfall(&folder);
    command.args(["tail", "fast", "--data-dir", "nowhere"]);
    let mut process = Process::start("tail", command, &folder);
    assert_eq!(process.wait(SOON).code(), Some(64));
    assert!(process.log().contains("start `landfall dev`"), "{}", process.log());
}
