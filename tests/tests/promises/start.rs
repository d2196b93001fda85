//! A start is honest: what is wrong is said at once and completely, and a Kafka that is away is no
//! reason to end, only not to be ready and to acknowledge nothing.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::gateway::GatewayConfig;
use tests::kafka::{Kafka, KafkaOptions};
use tests::mqtt::{Client, Publish, Version};
use tests::process::Process;
use tests::proxy::Proxy;
use tests::tools::{Folder, program};
use tests::wait::{SOON, until, until_true};
use tests::{http, ports};

/// Long enough for an acknowledgement to come if nothing held it.
const A_WHILE: Duration = Duration::from_secs(2);

#[test]
fn without_kafka_it_starts_and_is_not_ready_and_acknowledges_nothing() {
    let nobody = ports::local(ports::free()).to_string();
    let gateway = GatewayConfig::without_topics(&nobody).start();
    assert_eq!(gateway.page("/livez").code, 200);
    let ready = gateway.page("/readyz");
    assert_eq!(ready.code, 503, "{ready:?}");
    assert!(ready.body.contains("Kafka"), "the reason names Kafka: {}", ready.body);

    let mut client = Client::connect(gateway.mqtt(), Version::V311, "early");
    client.publish(&Publish::new("devices/meter/early/power", b"1").qos1(1));
    client.publish(&Publish::new("devices/meter/early/power", b"2").qos2(2));
    client.expect_silence(A_WHILE);
    client.ping();
    client.expect_pingresp();
    assert_eq!(gateway.page("/readyz").code, 503);
    assert_eq!(gateway.lane("fast")["in_flight"], 2);
}

#[test]
fn a_kafka_that_comes_later_gets_what_waited() {
    let kafka = Kafka::shared();
    let address: std::net::SocketAddr = kafka.address().parse().expect("an address");
    let config = GatewayConfig::new(kafka);
    let port = ports::free();
    // Nobody listens there until the proxy starts; afterwards Kafka names its own address.
    let servers = ports::local(port).to_string();
    let mut gateway = config.set("kafka.bootstrap_servers", servers).start();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "patient");
    client.publish(&Publish::new("devices/meter/patient/power", b"waited").qos1(1));
    client.expect_silence(A_WHILE);

    let _proxy = Proxy::start_on(port, address.port());
    gateway.until_ready();
    client.expect_puback(1);
    let records = kafka.read_all(&gateway.topic("fast"));
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].payload(), b"waited");
}

#[test]
fn a_missing_topic_is_named_and_not_created() {
    let kafka = Kafka::shared();
    let mut gateway = GatewayConfig::without_topics(&kafka.address()).start();
    let topic = gateway.topic("slow");
    let ready = until("the reason names the topic", SOON, || {
        let ready = gateway.page("/readyz");
        ready.body.contains(&topic).then_some(ready)
    });
    assert_eq!(ready.code, 503);

    let topics: Vec<String> =
        ["priority", "fast", "slow", "dead-letter"].map(|lane| gateway.topic(lane)).into();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    kafka.create_topics(&topics, 1, &[]);
    gateway.until_ready();
}

/// A Kafka that knows one user, who may do nothing, on the port behind the proxy.
fn kafka_with_a_user() -> Kafka {
    let properties = [
        (
            "listener.security.protocol.map",
            "DIRECT:PLAINTEXT,PROXY:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("sasl.enabled.mechanisms", "PLAIN"),
        (
            "listener.name.proxy.plain.sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_gateway=\"right\";",
        ),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Kafka::start_with(&KafkaOptions { properties: properties.into(), ..KafkaOptions::default() })
}

#[test]
fn a_wrong_password_and_a_missing_right_are_told_by_their_names() {
    let kafka = kafka_with_a_user();
    let with_password = |password: &str| {
        let properties = json!({
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "gateway",
            "sasl.password": password,
        });
        GatewayConfig::new(&kafka)
            .set("kafka.bootstrap_servers", ports::local(kafka.behind_proxy()).to_string())
            .set("kafka.properties", properties)
            .start()
    };
    let gateway = with_password("wrong");
    until_true("the reason is the password", SOON, || {
        let body = gateway.page("/readyz").body;
        // Of the topics, and of each of the four producers.
        body.matches("Authentication failed").count() == 5
    });
    // Long enough for several tries.
    std::thread::sleep(A_WHILE);
    let log = gateway.log();
    assert_eq!(log.matches("Kafka is not well").count(), 4, "once for each lane: {log}");
    assert!(!log.contains("BrokerTransportFailure"), "{log}");
    drop(gateway);

    let mut gateway = with_password("right");
    until_true("the reason is the right", SOON, || {
        let body = gateway.page("/readyz").body;
        let named = body.contains(&gateway.topic("fast")) && body.contains("allow it Describe");
        assert!(!body.contains("does not exist"), "{body}");
        named
    });
    kafka.change_rights(&[
        "--add",
        "--topic",
        "*",
        "--allow-principal",
        "User:gateway",
        "--operation",
        "Describe",
        "--operation",
        "Write",
    ]);
    gateway.until_ready();
    let log = gateway.log();
    assert_eq!(log.matches("allow this user DescribeConfigs").count(), 1, "once: {log}");
}

#[test]
fn topics_are_created_where_it_is_told_to() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::without_topics(&kafka.address())
        .set("kafka.create_topics", true)
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "first");
    client.publish_acknowledged("devices/meter/first/power", 1, b"21");
    assert_eq!(kafka.count(&gateway.topic("fast")), 1);
}

#[test]
fn a_wrong_configuration_ends_it_with_all_faults() {
    let (code, said) = GatewayConfig::without_topics("nowhere")
        .set("limits.window_messages", 0)
        .set("unrouted", "maybe")
        .set("lanes.fast.ack", "perhaps")
        .set("no_such_section", 1)
        .start_and_end();
    assert_eq!(code, Some(64), "{said}");
    let faults = [
        "kafka.bootstrap_servers",
        "limits.window_messages",
        "unrouted",
        "lanes.fast.ack",
        "no_such_section",
    ];
    for fault in faults {
        assert!(said.contains(fault), "{fault} is not named:\n{said}");
    }
}

#[test]
fn a_wrong_value_in_the_environment_is_named() {
    let (code, said) = GatewayConfig::without_topics("localhost:9092")
        .environment("LANDFALL__LIMITS__WINDOW_MESSAGES", "many")
        .start_and_end();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("limits.window_messages") && said.contains("many"), "{said}");
    assert!(said.contains("LANDFALL__LIMITS__WINDOW_MESSAGES"), "{said}");
}

/// A shell that may open so many, then what follows.
fn with_descriptors(limit: u32, config: &str) -> (Option<i32>, String) {
    let folder = Folder::new("descriptors");
    let file = folder.join("landfall.yaml");
    std::fs::write(&file, config).expect("the test's folder can be written");
    let mut command = Command::new("/bin/sh");
    let check = format!("ulimit -n {limit} && exec \"$0\" check --config \"$1\"");
    command.args(["-c", &check]).arg(program("landfall")).arg(file);
    let mut process = Process::start("check", command, &folder);
    (process.wait(SOON).code(), process.log())
}

#[test]
fn connections_leave_descriptors_for_kafka_and_the_rest() {
    let (code, said) = with_descriptors(256, "limits: { memory: 512MiB, connections: 250 }");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("limits.connections: 250 connections"), "{said}");
    assert!(said.contains("raise the hard limit"), "{said}");
    // Without a setting it does not become one connection.
    let (code, said) = with_descriptors(256, "limits: { memory: 512MiB }");
    assert_eq!(code, Some(64), "{said}");
    let (code, said) = with_descriptors(1024, "limits: { memory: 512MiB, connections: 1000 }");
    assert_eq!(code, Some(64), "{said}");
    let most = said.split("write at most ").nth(1).and_then(|rest| rest.split(',').next());
    let most: u32 = most.and_then(|most| most.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(most > 100, "{said}");
    let (code, said) =
        with_descriptors(1024, &format!("limits: {{ memory: 512MiB, connections: {most} }}"));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = with_descriptors(1024, "limits: { memory: 512MiB }");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("descriptors: 1024 = {most} connections")), "{said}");
}

#[test]
fn a_listener_beyond_loopback_needs_a_word() {
    let listeners = serde_json::json!([{ "name": "open", "bind": "0.0.0.0:1883" }]);
    let (code, said) =
        GatewayConfig::without_topics("localhost:9092").set("listeners", listeners).start_and_end();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("anonymous: true"), "{said}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    let (code, said) = GatewayConfig::without_topics("localhost:9092")
        .set("admin.bind", address.as_str())
        .start_and_end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("admin"), "{said}");
}

#[test]
fn a_clean_end_is_exit_0() {
    let mut gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let admin = gateway.admin();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "last");
    client.publish_acknowledged("devices/meter/last/power", 1, b"21");
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    client.expect_disconnect(0x8b, SOON);
    assert!(http::get(admin, "/livez").is_err(), "the admin server ended too");
}
