//! `landfall dev`, the first thing a newcomer runs: it needs nothing, shows what lands, and is read by
//! others while it runs.

use std::process::Command;
use std::time::Duration;

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
    admin: std::net::SocketAddr,
    folder: Folder,
}

impl Dev {
    #[track_caller]
    fn start(more: &[&str]) -> Dev {
        let folder = Folder::new("dev");
        let (mqtt, admin) = (ports::free(), ports::free());
        let mut command = landfall(&folder);
        command.args(["dev", "--mqtt-port", &mqtt.to_string(), "--admin-port", &admin.to_string()]);
        command.args(more);
        let mut process = Process::start("dev", command, &folder);
        let admin = ports::local(admin);
        process.until("landfall dev is ready", START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        Dev { process, mqtt: mqtt.to_string(), admin, folder }
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

    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
    assert!(!dev.folder.join("landfall-data/dev.json").exists(), "tail would still look for it");
}

#[test]
fn simulated_devices_are_started_and_ended_with_it() {
    let mut dev = Dev::start(&["--simulate", "5"]);
    until("records are shown", SOON, || dev.process.output().contains("sim-").then_some(()));
    until("the devices are connected", SOON, || {
        let status = http::get(dev.admin, "/api/v1/status").ok()?.body;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        (status["connections"] == 5).then_some(())
    });
    let id = dev.process.id();
    let children = format!("/proc/{id}/task/{id}/children");
    let children = std::fs::read_to_string(children).expect("the process runs");
    let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
    assert_eq!(children.len(), 1, "the simulator is a child");
    assert_eq!(dev.process.terminate(END), Some(0), "{}", dev.process.log());
    assert!(!std::path::Path::new("/proc").join(&children[0]).exists(), "the simulator goes on");
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
    let admin = dev.admin.port().to_string();
    for (arguments, option) in [
        (["--mqtt-port", &dev.mqtt, "--admin-port", &free], "--mqtt-port"),
        (["--mqtt-port", &free, "--admin-port", &admin], "--admin-port"),
    ] {
        let mut command = landfall(&folder);
        command.arg("dev").args(arguments);
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
