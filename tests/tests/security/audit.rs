//! The audit log: each connect, refusal, denial and end is one line of JSON, floods are cut and counted, and
//! no secret is in it.

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::mqtt::{Client, Connect, PATIENCE, Packet, Publish, Version, Will, encode};
use tests::ports;
use tests::tools::Folder;
use tests::wait::{SOON, until, until_true};

const TOKEN: &str = "operator-0123456789abcdef";
const PASSWORD: &str = "a-password-that-nobody-may-read";

/// Without a Kafka, because nothing here needs one.
fn config() -> GatewayConfig {
    let rules = json!([
        { "allow": ["publish"], "topic": "devices/+/{client_id}/#" },
        { "allow": ["subscribe"], "topic": "commands/{client_id}" },
    ]);
    GatewayConfig::without_topics(&ports::local(ports::free()).to_string()).set("access", rules)
}

fn lines(text: &str) -> Vec<Value> {
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

/// The first line of an event of a client.
#[track_caller]
fn told(gateway: &Gateway, event: &str, client_id: &str) -> Value {
    until(&format!("{event} of {client_id} is told"), SOON, || {
        let mut all = lines(&gateway.output()).into_iter();
        all.find(|line| line["event"] == event && line["client_id"] == client_id)
    })
}

fn connect(version: Version, client_id: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    (connect.user_name, connect.password) = (Some("user".to_owned()), Some(PASSWORD.into()));
    connect
}

#[test]
fn who_comes_who_is_refused_and_who_wants_what_he_may_not_is_told() {
    let folder = Folder::new("audit-token");
    let file = folder.join("operator");
    std::fs::write(&file, TOKEN).expect("the test's folder can be written");
    let path = file.to_str().expect("a folder of tests is UTF-8");
    let tokens = json!({ "ops": { "from_file": path } });
    let gateway = config().set("admin.authenticate.tokens", tokens).start();
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect(Version::V5, "m-1"));
    let connected = told(&gateway, "connected", "m-1");
    let address = client.stream().local_addr().expect("it is connected").to_string();
    assert_eq!(connected["listener"], "plain");
    assert_eq!(connected["address"], address.as_str());
    client.publish(&Publish::new("devices/meter/m-2/secret-topic\u{202e}", b"payload").qos1(1));
    client.expect_packet();
    client.subscribe(2, "#", 0);
    client.expect_packet();
    let denied: Vec<Value> = until("both are told", SOON, || {
        let all = lines(&gateway.output()).into_iter();
        let denied: Vec<Value> = all.filter(|line| line["event"] == "denied").collect();
        (denied.len() == 2).then_some(denied)
    });
    assert_eq!(denied[0]["action"], "publish");
    assert_eq!(denied[0]["topic"], "devices/meter/m-2/secret-topic\\u{202e}", "escaped");
    assert_eq!(denied[0]["reason"], "not_authorized");
    assert_eq!((&denied[1]["action"], &denied[1]["topic"]), (&json!("subscribe"), &json!("#")));
    // Somebody with a will that he may not leave.
    let mut of_another = connect(Version::V311, "m-3");
    of_another.will = Some(Will::new("devices/meter/m-2/gone", 0, b"payload"));
    let mut refused = Client::open(gateway.mqtt(), Version::V311);
    refused.send(&encode::connect(&of_another));
    assert!(matches!(refused.expect_packet(), Packet::Connack { code: 5, .. }));
    assert_eq!(told(&gateway, "refused", "m-3")["reason"], "not_authorized");
    // An operator ends somebody.
    assert!(gateway.ask("DELETE", "/api/v1/clients/m-1", TOKEN).code < 300);
    client.expect_disconnect(0x98, PATIENCE);
    assert_eq!(told(&gateway, "ended", "m-1")["reason"], "ended_by_operator");
    assert_eq!(told(&gateway, "operator", "m-1")["by"], "ops");
    let all = gateway.output();
    assert!(!all.contains(PASSWORD) && !all.contains(TOKEN) && !all.contains("payload"), "{all}");
}

#[test]
fn a_flood_is_cut_and_counted_and_all_of_it_is_written_before_the_end() {
    let folder = Folder::new("audit-file");
    let path = folder.join("audit.jsonl");
    let target = path.to_str().expect("a folder of tests is UTF-8");
    let mut gateway = config().set("audit.file", target).start();
    const FLOOD: u64 = 1_500;
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "flood");
    for _ in 0..FLOOD {
        client.publish(&Publish::new("devices/meter/other/power", b"denied"));
    }
    client.publish(&Publish::new("devices/meter/other/power", b"denied").qos1(1));
    client.expect_packet();
    client.disconnect();
    until_true("the end of the flood is counted", SOON, || {
        let labels = [("action", "publish")];
        gateway.metrics().sum("landfall_access_denied_total", &labels) == FLOOD as f64 + 1.0
    });
    assert_eq!(gateway.terminate(), Some(0));
    let lines = lines(&std::fs::read_to_string(&path).expect("it is there"));
    let written = lines.iter().filter(|line| line["event"] == "denied").count() as u64;
    let left_out =
        lines.iter().filter(|line| line["event"] == "left_out" && line["of"] == "denied");
    let left_out: u64 = left_out.filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(written + left_out, FLOOD + 1);
    assert!(left_out > 0, "a hundred a second are enough");
    assert_eq!(gateway.output(), "", "it goes to one place");
}

#[test]
fn who_asks_for_nothing_gets_no_audit_log() {
    let quiet = GatewayConfig::without_topics(&ports::local(ports::free()).to_string());
    let gateways = [quiet.start(), config().set("audit.to", "off").start()];
    for gateway in &gateways {
        Client::connect(gateway.mqtt(), Version::V311, "m-1").disconnect();
        until_true("it came and went", SOON, || {
            gateway.metrics().sum("landfall_connections_closed_total", &[]) == 1.0
        });
        assert_eq!(gateway.output(), "");
    }
}
