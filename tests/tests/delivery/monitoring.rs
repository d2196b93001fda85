//! Who operates Landfall sees what happens: alerts, runbook and dashboard fit each other and what a
//! gateway exposes, and a real Prometheus that reads real gateways says what they say.

mod pages;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tests::docs;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::load::Load;
use tests::mqtt::property::MAXIMUM_PACKET_SIZE;
use tests::mqtt::{Client, Connect, Packet, Property, Publish, Value, Version, encode};
use tests::parse_role::{self, PRESS, PRESS_TOPIC, ParseRole};
use tests::pki::{Authority, Leaf};
use tests::prometheus::{Alert, Prometheus, Target};
use tests::s3::S3;
use tests::store::Store;
use tests::tls::Tls;
use tests::tools::{Folder, repository};
use tests::wait::{SOON, START, until, until_true};
use tests::{http, ports};

const MIB: usize = 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// Of `m-1`: `secret`.
const PASSWORDS: &str = "m-1:$7$101$sHQ8HEkvVK9MIDGC$xzrkpqqAyIlDP9d38WRycUPXnbnPazQaxxdVQ5SdR1xBTj1yCX9kgxvG2LlTExzP+kCNBalDxScEvbKY42rGiA==\n";

fn file(name: &str) -> PathBuf {
    repository().join("charts/landfall").join(name)
}

fn alerts() -> PathBuf {
    file("files/alerts.yaml")
}

/// Of gateways.
fn dashboard() -> PathBuf {
    file("files/dashboard.json")
}

/// Of the parse role.
fn parse_dashboard() -> PathBuf {
    file("files/dashboard-parse.json")
}

/// All of them, with their own variable behind namespace and pod.
fn dashboards() -> [(PathBuf, &'static str); 2] {
    [(dashboard(), "lane"), (parse_dashboard(), "pool")]
}

fn runbook() -> PathBuf {
    file("RUNBOOK.md")
}

fn metrics_page() -> PathBuf {
    repository().join("docs/operating.md")
}

#[track_caller]
fn holds(check: Result<(), String>) {
    check.unwrap_or_else(|faults| panic!("\n{faults}"));
}

/// A gateway with everything that has metrics of its own.
struct Everything {
    gateway: Gateway,
    /// Where it speaks TLS and asks for passwords.
    fleet: SocketAddr,
    authority: Authority,
    _folder: Folder,
}

impl Everything {
    fn start(kafka: &Kafka) -> Everything {
        let (s3, bucket) = (S3::shared(), unique("bucket"));
        s3.create_bucket(&bucket);
        let folder = Folder::new("everything");
        let authority = Authority::new("fleet");
        let server = authority.issue(&Leaf::server().ends_in(30 * DAY)).write(&folder, "server");
        let revoked = folder.join("revoked.pem");
        let list = authority.revoke_until(&[], SystemTime::now() + 30 * DAY);
        std::fs::write(&revoked, list).expect("the test's folder can be written");
        let passwords = folder.join("passwords");
        std::fs::write(&passwords, PASSWORDS).expect("the test's folder can be written");
        let config = GatewayConfig::new(kafka);
        let (plain, fleet) = (config.mqtt(), ports::local(ports::free()));
        let listeners = json!([
            { "name": "plain", "bind": plain.to_string() },
            {
                "name": "fleet",
                "bind": fleet.to_string(),
                "tls": {
                    "certificates": [{ "certificate": server.certificate(), "key": server.key() }],
                    "client_ca": authority.write(&folder, "ca"),
                    "crl": revoked,
                    "client_certificate": "optional",
                },
                "authenticate": ["password"],
            },
        ]);
        let access = json!([
            { "who": { "listener": "plain" }, "allow": ["publish", "subscribe"], "topic": "#" },
            { "who": { "listener": "fleet" }, "allow": ["publish"], "topic": "devices/+/{identity}/#" },
        ]);
        let gateway = config
            .set("listeners", listeners)
            .set("authentication", json!({ "password": { "file": passwords } }))
            .set("access", access)
            .set("object_store", S3::section(&bucket, s3.address()))
            .set("unrouted", "refuse")
            .start_ready();
        Everything { gateway, fleet, authority, _folder: folder }
    }

    /// One that belongs to the fleet, one with a wrong password, one that speaks no TLS, and somebody who asks
    /// the admin port for what it tells nobody.
    fn one_of_each_who_comes(&self) {
        let tls = Tls::trusting(&self.authority);
        let mut connect = Connect::new(Version::V5, "m-1");
        connect.user_name = Some("m-1".to_owned());
        connect.password = Some(b"secret".to_vec());
        let mut device = Client::connect_tls(self.fleet, &tls, &connect);
        device.publish(&Publish::new("devices/meter/another/power", b"21").qos1(1));
        match device.expect_packet() {
            Packet::Puback { packet_id: 1, code: 0x87, .. } => {}
            other => panic!("it may publish for itself only: {other:?}"),
        }
        connect.password = Some(b"wrong".to_vec());
        let stream = tls.connect(self.fleet).expect("the handshake asks for no password");
        let mut wrong = Client::over_tls(stream, connect.version);
        wrong.send(&encode::connect(&connect));
        match wrong.expect_packet() {
            Packet::Connack { code: 0x86, .. } => {}
            other => panic!("the password is wrong: {other:?}"),
        }
        let mut plain = TcpStream::connect(self.fleet).expect("the gateway listens");
        plain.write_all(&encode::connect(&connect)).expect("it takes some bytes");
        plain.read_to_end(&mut Vec::new()).expect("it is told, and closed");
        let refused = http::get(self.gateway.admin(), "/api/v1/clients");
        assert_eq!(refused.expect("it answers").code, 403);
    }
}

/// A parse role beside a gateway, with one message of each kind: one that becomes events, one of whose records one
/// is left out, one with dirt around it, one for the quarantine, and one at which its partition stops.
struct Parsed {
    gateway: Gateway,
    role: ParseRole,
}

impl Parsed {
    fn start(kafka: &Kafka) -> Parsed {
        let gateway = parse_role::with_press(kafka, GatewayConfig::new(kafka)).start_ready();
        let mut role = ParseRole::start(&gateway, &json!({}), &[]);
        role.until_ready();
        Parsed { gateway, role }
    }

    fn one_of_each(&self) {
        let mut device = Client::connect(self.gateway.mqtt(), Version::V5, "press-1");
        let topic = "devices/meter/m-1/power";
        device.publish_acknowledged(topic, 1, b"{\"watts\": 21}\n{\"watts\": \n");
        device.publish_acknowledged(topic, 2, b"\xef\xbb\xbf{\"watts\": 21}\0");
        device.publish_acknowledged(PRESS_TOPIC, 3, b"{\"force\": 7}");
        device.publish_acknowledged(PRESS_TOPIC, 4, b"{\"force\": \"hard\"}");
        device.publish_acknowledged(PRESS_TOPIC, 5, b"{\"force\": 9}");
        // As many as an alert asks for.
        for packet_id in 6..26 {
            device.publish_acknowledged(topic, packet_id, b"\x1f\x8b\x08 is no gzip");
        }
        let stopped = [("pool", PRESS), ("state", "stopped")];
        until_true("a partition stops, and the other messages are parsed", START, || {
            let metrics = self.role.metrics();
            let failed = metrics.sum("landfall_parse_failures_total", &[("parser", "others")]);
            metrics.sum("landfall_parse_partitions", &stopped) == 1.0 && failed > 0.0
        });
    }
}

/// A large message, a dead letter, a subscriber that gets something and something too large for it, a
/// malformed packet: what a metric needs that first appears with what it counts.
fn one_of_each(gateway: &Gateway) {
    let mut connect = Connect::new(Version::V5, "subscriber");
    connect.properties.push(Property::new(MAXIMUM_PACKET_SIZE, Value::FourBytes(1000)));
    let (mut subscriber, _) = Client::connect_with(gateway.mqtt(), &connect);
    subscriber.subscribe(1, "devices/#", 0);
    subscriber.expect_packet();
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "device");
    until_true("the subscription works", SOON, || {
        device.publish(&Publish::new("devices/meter/device/power", b"21"));
        gateway.metrics().sum("landfall_local_delivered_total", &[]) > 0.0
    });
    // Larger than the subscriber takes.
    device.publish_acknowledged("devices/meter/device/power", 1, &[7; 2000]);
    until_true("it is too large for the subscriber", SOON, || {
        gateway.metrics().has("landfall_local_too_large_for_client_total", &[])
    });
    device.publish(&Publish::new("devices/meter/device/video", &vec![7; 6 * MIB]).qos1(2));
    device.expect_puback(2);
    device.publish(&Publish::new("nowhere", b"21").qos1(3));
    match device.expect_packet() {
        Packet::Puback { packet_id: 3, code: 0x90, .. } => {}
        other => panic!("no route leads from there: {other:?}"),
    }
    let mut malformed = Client::connect(gateway.mqtt(), Version::V311, "malformed");
    malformed.send(&[0xf0, 0]);
    malformed.expect_closed(SOON);
}

/// What a gateway and a parse role expose that saw one of each.
fn exposed() -> &'static pages::Exposed {
    static EXPOSED: OnceLock<pages::Exposed> = OnceLock::new();
    EXPOSED.get_or_init(|| {
        let everything = Everything::start(Kafka::shared());
        one_of_each(&everything.gateway);
        everything.one_of_each_who_comes();
        let parsed = Parsed::start(Kafka::shared());
        parsed.one_of_each();
        pages::exposed(&[&everything.gateway.metrics(), &parsed.role.metrics()])
    })
}

#[test]
fn the_alerts_are_rules_and_their_tests_pass() {
    holds(pages::rules_pass(&alerts(), &file("tests/alerts.yaml")));
    holds(pages::alerts_are_complete(&alerts()));
}

#[test]
fn the_runbook_has_a_section_for_each_alert_and_names_panels() {
    holds(pages::runbook_has_each(&alerts(), &runbook()));
    holds(pages::runbook_names_panels(&runbook(), &dashboards().map(|(path, _)| path)));
}

#[test]
fn the_dashboard_says_what_it_shows() {
    for (dashboard, variable) in dashboards() {
        holds(pages::dashboard_is_complete(&dashboard, variable));
    }
}

#[test]
fn every_metric_and_label_that_is_named_exists() {
    holds(pages::alerts_use_what_exists(&alerts(), exposed()));
    for (dashboard, _) in dashboards() {
        holds(pages::dashboard_uses_what_exists(&dashboard, exposed()));
    }
    for page in docs::pages(repository()) {
        holds(pages::page_names_what_exists(&repository().join(page.path), exposed()));
    }
}

#[test]
fn every_metric_is_documented_with_its_labels() {
    holds(pages::page_documents_each(&metrics_page(), exposed()));
}

/// A copy of a file in which one text stands for another.
fn changed(folder: &Folder, path: &Path, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(path).expect("it is there");
    assert!(text.contains(from), "{} has no {from:?}", path.display());
    let copy = folder.join(path.file_name().expect("a file has a name"));
    std::fs::write(&copy, text.replace(from, to)).expect("the test's folder can be written");
    copy
}

#[track_caller]
fn names(check: Result<(), String>, fault: &str) {
    let faults = check.expect_err("the fault is noticed");
    assert!(faults.contains(fault), "{fault:?} is not in:\n{faults}");
}

#[test]
fn each_check_notices_what_is_wrong() {
    let folder = Folder::new("changed");
    let alerts_with = |from: &str, to: &str| changed(&folder, &alerts(), from, to);
    let dashboard_with = |from: &str, to: &str| changed(&folder, &dashboard(), from, to);
    let runbook_with = |from: &str, to: &str| changed(&folder, &runbook(), from, to);

    let copy = alerts_with("(landfall_lane_stalled_seconds)", "(landfall_lane_stuck_seconds)");
    names(
        pages::alerts_use_what_exists(&copy, exposed()),
        "LandfallLandingStopped: there is no metric landfall_lane_stuck_seconds",
    );
    let copy = alerts_with("{reason=\"shed\"}", "{cause=\"shed\"}");
    names(
        pages::alerts_use_what_exists(&copy, exposed()),
        "LandfallQos0Shed: landfall_messages_refused_total has no label cause",
    );
    let copy = alerts_with("lane, class)", "lane, kind)");
    names(pages::alerts_use_what_exists(&copy, exposed()), "has a label kind");
    let copy = alerts_with("#landfalldown", "#landfall-down");
    names(pages::alerts_are_complete(&copy), "LandfallDown: runbook_url");
    let copy = alerts_with("severity: warning", "severity: low");
    names(pages::alerts_are_complete(&copy), "LandfallDegraded: severity");

    let copy = dashboard_with("landfall_lane_backlog_records", "landfall_lane_backlog");
    names(
        pages::dashboard_uses_what_exists(&copy, exposed()),
        "Records to be sent again: there is no metric landfall_lane_backlog",
    );
    let copy = dashboard_with("count by (version)", "count by (release)");
    names(pages::dashboard_uses_what_exists(&copy, exposed()), "has a label release");
    let copy = dashboard_with("}[$__rate_interval]", "}[$__rate_interval");
    names(pages::dashboard_is_complete(&copy, "lane"), "query:0");
    let copy = dashboard_with("\"unit\": \"Bps\"", "\"unit\": \"\"");
    names(pages::dashboard_is_complete(&copy, "lane"), "Bytes to Kafka: there is no unit");
    let check = pages::dashboard_is_complete(&dashboard(), "pool");
    names(check, "its variables are [\"datasource\", \"namespace\", \"pod\", \"lane\"]");
    let copy = changed(&folder, &parse_dashboard(), "parse_lag_seconds", "parse_delay_seconds");
    names(
        pages::dashboard_uses_what_exists(&copy, exposed()),
        "Oldest message, beside the target: there is no metric landfall_parse_delay_seconds",
    );

    let copy = runbook_with("## LandfallQos0Shed", "## QoS 0 is dropped");
    let check = pages::runbook_has_each(&alerts(), &copy);
    names(check.clone(), "the runbook has no section LandfallQos0Shed");
    names(check, "there is no alert for the section QoS 0 is dropped");
    let copy = runbook_with("\"Oldest request under way\"", "\"Oldest request\"");
    let both = dashboards().map(|(path, _)| path);
    names(pages::runbook_names_panels(&copy, &both), "no panel \"Oldest request\"");
    let copy = runbook_with("`landfall_memory_limit_bytes`", "`landfall_memory_bytes`");
    names(
        pages::page_names_what_exists(&copy, exposed()),
        "there is no metric landfall_memory_bytes",
    );
    let page_with = |from, to| changed(&folder, &metrics_page(), from, to);
    let copy = page_with("`landfall_kafka_producer_ready`", "`landfall_kafka_producer`");
    let fault = "there is no metric landfall_kafka_producer";
    names(pages::page_names_what_exists(&copy, exposed()), fault);
    let fault = "landfall_kafka_producer_ready stands in no table";
    names(pages::page_documents_each(&copy, exposed()), fault);
    let copy = page_with("| messages by `lane`, `reason` |", "| messages by `reason` |");
    let fault =
        "landfall_messages_refused_total has the labels {\"lane\", \"reason\"}, not {\"reason\"}";
    names(pages::page_documents_each(&copy, exposed()), fault);
}

#[test]
fn a_changed_threshold_or_duration_fails_the_alerts_tests() {
    let tests = file("tests/alerts.yaml");
    let (mut changes, mut unnoticed) = (0, Vec::new());
    for rule in pages::rules(&alerts()).expect("they are rules") {
        holds(pages::rule_passes(&rule, &tests));
        for changed in changes_of(&rule) {
            changes += 1;
            if pages::rule_passes(&changed, &tests).is_ok() {
                let pages::Rule { alert, expr, duration, .. } = changed;
                unnoticed.push(format!("{alert} for {duration:?}: {expr}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "no test fails with\n{}", unnoticed.join("\n"));
    assert!(changes > 40, "every alert has a threshold or a duration: {changes}");
}

/// The rule with each of its thresholds a little higher and lower, and with its duration longer and
/// shorter.
fn changes_of(rule: &pages::Rule) -> Vec<pages::Rule> {
    let mut changes = Vec::new();
    let duration = rule.duration.as_ref();
    let minutes = duration.and_then(|text| text.strip_suffix('m')?.parse::<u32>().ok());
    for other in minutes.into_iter().flat_map(|minutes| [minutes + 1, minutes - 1]) {
        changes.push(pages::Rule { duration: Some(format!("{other}m")), ..rule.clone() });
    }
    for sign in [" > ", " >= "] {
        for (at, _) in rule.expr.match_indices(sign) {
            let (before, after) = rule.expr.split_at(at + sign.len());
            let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
            let threshold: f64 = after[..end].parse().expect("a number is compared with");
            let others = match threshold == 0.0 {
                // Is it asked for at all?
                true => vec![1000.0],
                false => vec![threshold * 1.5, threshold * 0.7],
            };
            for other in others {
                let expr = format!("{before}{other}{}", &after[end..]);
                changes.push(pages::Rule { expr, ..rule.clone() });
            }
        }
    }
    changes
}

/// The alerts that fire for a gateway, without those that are only pending.
fn firing(prometheus: &Prometheus, pod: &str) -> Vec<Alert> {
    let alerts = prometheus.alerts().into_iter();
    alerts.filter(|alert| alert.labels["pod"] == pod && alert.state == "firing").collect()
}

#[track_caller]
fn until_fires(prometheus: &Prometheus, pod: &str, name: &str) -> Alert {
    until(&format!("{name} fires for {pod}"), START, || {
        firing(prometheus, pod).into_iter().find(|alert| alert.name == name)
    })
}

#[test]
fn a_real_prometheus_answers_every_query_and_raises_the_right_alerts() {
    let kafka = Kafka::start();
    let store = Store::refusing(500);
    let everything = Everything::start(&kafka);
    let healthy = &everything.gateway;
    let mut without_store = GatewayConfig::new(&kafka)
        .set("object_store", S3::section("bucket", store.address()))
        .start_ready();
    let folder = Folder::new("rules");
    // What takes minutes takes a second here.
    let text = std::fs::read_to_string(alerts()).expect("it is there");
    let soon = text.lines().map(|line| match line.trim().starts_with("for: ") {
        true => "        for: 1s",
        false => line,
    });
    let rules = folder.join("alerts.yaml");
    std::fs::write(&rules, soon.collect::<Vec<_>>().join("\n")).expect("it can be written");
    let target =
        |gateway: &Gateway, pod| Target { address: gateway.admin(), namespace: "iot", pod };
    let parsed = Parsed::start(&kafka);
    let pool = Target { address: parsed.role.probes(), namespace: "iot", pod: "parse-0" };
    let targets = [target(healthy, "gw-0"), target(&without_store, "gw-1"), pool];
    let prometheus = Prometheus::start(&targets, &rules);

    // A rate needs to have seen the counter before.
    until_true("all are read", START, || {
        prometheus.query("up == 1 and on (pod) landfall_build_info").is_ok_and(|up| up.len() == 3)
    });

    let load = Load::start(healthy.mqtt(), 3);
    parsed.one_of_each();
    one_of_each(healthy);
    everything.one_of_each_who_comes();
    let mut device = Client::connect(without_store.mqtt(), Version::V5, "device");
    let large = Publish::new("devices/meter/device/video", &vec![7; MIB]).qos1(1);
    device.send(&encode::publish(Version::V5, &large));

    every_query_has_an_answer(&prometheus, &dashboard(), "gw-0");
    every_query_has_an_answer(&prometheus, &parse_dashboard(), "parse-0");
    let alert = until_fires(&prometheus, "parse-0", "LandfallParseStopped");
    assert_eq!(alert.labels["pool"], PRESS);
    // What waits behind the message grows old.
    let alert = until_fires(&prometheus, "parse-0", "LandfallParseBehind");
    assert_eq!(alert.labels["pool"], PRESS);
    until_true("the quarantine grows", START, || {
        let alerts = prometheus.alerts();
        let mut grows =
            alerts.iter().filter(|alert| alert.name == "LandfallParseQuarantineGrowing");
        grows.any(|alert| alert.labels["parser"] == "others" && alert.state == "firing")
    });
    let alert = until_fires(&prometheus, "gw-1", "LandfallObjectStoreFailing");
    assert_eq!(alert.labels["severity"], "critical");
    let description = alert.annotations["description"].as_str().unwrap_or_default();
    assert!(description.starts_with("100% of the requests to it fail."), "{description}");
    let alert = until_fires(&prometheus, "gw-0", "LandfallDeadLettersGrowing");
    assert_eq!(alert.labels["lane"], "fast");
    let mut others = firing(&prometheus, "gw-0");
    // A busy machine may be slow for a second.
    others.retain(|alert| alert.name != "LandfallAcknowledgementSlow");
    assert_eq!(others.len(), 1, "nothing else is wrong with it: {others:?}");
    load.stop();

    drop(parsed);
    until_true("nobody answers for the pools", START, || {
        let down = prometheus.alerts().into_iter();
        let down = down.filter(|alert| alert.name == "LandfallParsePoolDown");
        down.filter(|alert| alert.state == "firing").count() == 3
    });
    without_store.kill();
    until_fires(&prometheus, "gw-1", "LandfallDown");
    kafka.kill();
    let mut waiting = Client::connect(healthy.mqtt(), Version::V311, "waiting");
    waiting.publish(&Publish::new("devices/meter/waiting/power", b"21").qos1(1));
    let alert = until_fires(&prometheus, "gw-0", "LandfallKafkaFailing");
    assert_eq!(
        alert.labels,
        json!({
            "alertname": "LandfallKafkaFailing",
            "namespace": "iot",
            "pod": "gw-0",
            "instance": healthy.admin().to_string(),
            "lane": alert.labels["lane"],
            "severity": "critical",
        })
    );
    until_fires(&prometheus, "gw-0", "LandfallDegraded");
    let stalled = "landfall_lane_stalled_seconds{pod=\"gw-0\", lane=\"fast\"} > 5";
    until_true("the lane says that it stands still", START, || {
        prometheus.query(stalled).is_ok_and(|samples| !samples.is_empty())
    });
    let names: Vec<String> =
        firing(&prometheus, "gw-0").into_iter().map(|alert| alert.name).collect();
    assert!(!names.contains(&"LandfallObjectStoreFailing".to_owned()), "{names:?}");
    assert!(!names.contains(&"LandfallNotReady".to_owned()), "an outage is no 503: {names:?}");
}

/// Asks what Grafana would ask about a process, until each query has a number.
#[track_caller]
fn every_query_has_an_answer(prometheus: &Prometheus, dashboard: &Path, pod: &str) {
    let mut open = pages::queries(dashboard).expect("it is a dashboard");
    assert!(open.len() > 20, "the dashboard has {} queries", open.len());
    // On a busy machine one round takes seconds, and a rate is there only after the second reading.
    let end = Instant::now() + START;
    while !open.is_empty() && Instant::now() < end {
        thread::sleep(ROUND_PAUSE);
        open.retain(|query| {
            let expression = pages::substituted(&query.expression, pod, "30s");
            let answer = prometheus.query(&expression);
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", query.panel));
            answer.iter().all(|sample| sample.is_nan())
        });
    }
    let silent = open.iter().map(|query| format!("{}: {}", query.panel, query.expression));
    let silent: Vec<String> = silent.collect();
    assert!(silent.is_empty(), "no answer to\n{}", silent.join("\n"));
}
