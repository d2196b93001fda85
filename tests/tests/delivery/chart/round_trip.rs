//! What `helm test` does, with processes in the place of pods: the gateway and the two containers of the
//! test run with what the chart hands them, against a real Kafka and a real object store: over TLS, with
//! passwords, as devices have to. Only addresses and folders are other ones.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use tests::chart::configuration::Files;
use tests::chart::{Chart, Render, helm, made_up};
use tests::kafka::{Kafka, unique};
use tests::process::Process;
use tests::s3::S3;
use tests::tools::{Folder, program};
use tests::{http, ports, wait};

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
const SECRETS: &str = "/etc/landfall/secrets/s3";
/// How long each of the test's containers may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_containers_of_helm_test_find_every_message_in_kafka() {
    let (kafka, s3) = (Kafka::shared(), S3::shared());
    let (bucket, prefix) = (unique("chart"), unique("chart"));
    s3.create_bucket(&bucket);
    let topic = |lane: &str| format!("{prefix}.{lane}");
    kafka.create_topics(&LANES.map(topic).each_ref().map(String::as_str), 3, &[]);

    // The store's keys come from a Secret, as in the chart's own examples.
    let mut store = S3::section(&bucket, s3.address());
    let mut secrets = BTreeMap::new();
    for key in ["access_key_id", "secret_access_key"] {
        let path = format!("{SECRETS}/{key}");
        let option = &mut store["options"][key];
        secrets.insert(path.clone(), option.as_str().expect("the store has keys").to_owned());
        *option = json!({ "from_file": path });
    }
    let lane = |lane: &str| (lane.to_owned(), json!({ "topic": topic(lane) }));
    let values = json!({
        "config": {
            "listeners": [{
                "name": "fleet",
                "bind": "0.0.0.0:8883",
                "tls": { "certificates": [{
                    "certificate": "/etc/landfall/secrets/server/tls.crt",
                    "key": "/etc/landfall/secrets/server/tls.key",
                }] },
                "authenticate": ["password"],
            }],
            "authentication": { "password": { "file": "/etc/landfall/secrets/devices/passwords" } },
            "access": [{ "allow": ["publish"], "topic": "devices/+/{identity}/#" }],
            "kafka": { "bootstrap_servers": kafka.address() },
            "limits": { "connections": 10000 },
            "object_store": store,
            "lanes": Value::Object(LANES.iter().map(|name| lane(name)).collect()),
        },
        "secrets": {
            "s3": { "secretName": "bucket" },
            "server": { "secretName": "server" },
            "devices": { "secretName": "devices" },
        },
        "test": {
            "duration": "3s",
            "secretName": "test",
            "args": ["--password-file=/etc/landfall/test/passwords"],
            "serverName": "localhost",
        },
    });
    // JSON is YAML.
    let render = Render::with(Chart::own(), "round trip", &values.to_string()).expect("it renders");
    let secrets = secrets.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();

    let folder = Folder::new("round-trip");
    let [mqtt, admin, probes] = [(); 3].map(|()| ports::local(ports::free()));
    let gateways = render.gateways().expect("there are gateways");
    let files = Files::of(&render, &gateways["spec"]["template"]["spec"], "gateway");
    let files = files.expect("the gateway has its files");
    let config = files.write(&folder, &secrets).expect("they can be written");
    let mut command = Command::new(program("landfall"));
    command.arg("run").arg("--config").arg(config).current_dir(&*folder).env_clear();
    command.envs(files.environment().expect("its variables are known"));
    command.env("LANDFALL__LISTENERS__0__BIND", mqtt.to_string());
    command.env("LANDFALL__ADMIN__BIND", admin.to_string());
    command.env("LANDFALL__ADMIN__PROBES__BIND", probes.to_string());
    let mut gateway = Process::start("gateway", command, &folder);
    gateway.until("readiness", wait::START, || {
        http::get(probes, "/readyz").ok().filter(|answer| answer.code == 200)
    });

    let pod = render.kind("Pod").next().expect("there is a test");
    for who in ["publish", "verify"] {
        let files = Files::of(&render, &pod["spec"], who).expect("it has its files");
        let own = Folder::new(who);
        let mut command = Command::new(program("device-sim"));
        let mut config = None;
        for argument in files.container["args"].as_array().expect("it has arguments") {
            let argument = argument.as_str().expect("they are texts");
            command.arg(match argument.split_once('=') {
                Some(("--gateway", _)) => format!("--gateway={mqtt}"),
                Some(("--config", _)) => {
                    let file = files.write(&own, &secrets).expect("they can be written");
                    let text = format!("--config={}", file.display());
                    config = Some(file);
                    text
                }
                Some(("--ledger", path)) => {
                    let place = path.strip_prefix("/ledger/").expect("it is in the shared folder");
                    format!("--ledger={}", folder.join(place).display())
                }
                Some((option @ ("--ca" | "--password-file"), path)) => {
                    let content = files.holds(path).expect("the test's pod mounts it");
                    let content = match option {
                        "--ca" => content,
                        _ => made_up::DEVICES_PASSWORDS.to_owned(),
                    };
                    let file = own.join(option.trim_start_matches('-'));
                    std::fs::write(&file, content).expect("the test's folder can be written");
                    format!("{option}={}", file.display())
                }
                _ => argument.to_owned(),
            });
        }
        assert_eq!(config.is_some(), who == "verify", "{who} reads the configuration, or not");
        command.env_clear().envs(files.environment().expect("its variables are known"));
        let mut process = Process::start(who, command, &own);
        assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.log());
        if who == "verify" {
            assert!(process.output().contains("all is there"), "{}", process.output());
        }
    }
    // What the notes tell somebody to type works too, once it has a device and its password.
    let own = Folder::new("notes");
    let notes = helm::notes(Chart::own(), &["--values", &helm::written(&own, &values.to_string())]);
    let notes = notes.expect("the values are good");
    let line = notes.lines().find(|line| line.trim_start().starts_with("mosquitto_pub "));
    let line =
        line.expect("they show how to publish").replace("-p 8883", &format!("-p {}", mqtt.port()));
    let line = line.replace("m-1", "landfall-test-pump-0").replace("PASSWORD", "secret");
    let files = Files::of(&render, &pod["spec"], "publish").expect("it has its files");
    let ca = files.holds("/etc/landfall/test/ca.crt").expect("the test's pod mounts it");
    std::fs::write(own.join("ca.crt"), ca).expect("the test's folder can be written");
    let published = Command::new("sh").args(["-c", &line]).current_dir(&*own).output();
    let published = published.expect("sh can be started");
    assert!(published.status.success() && published.stderr.is_empty(), "{line}: {published:?}");

    // It ends within the time that the pod would have.
    let grace = gateways.pointer("/spec/template/spec/terminationGracePeriodSeconds");
    let grace = Duration::from_secs(grace.and_then(Value::as_u64).expect("a number"));
    assert_eq!(gateway.terminate(grace), Some(0), "{}", gateway.log());
}
