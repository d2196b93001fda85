//! What `/api/v1/live` shows of a gateway that works: held against the metrics and what was acknowledged, to as many
//! as may look, and to nobody who may not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::events::{Stream, ask};
use tests::gateway::{Gateway, GatewayConfig};
use tests::http;
use tests::kafka::Kafka;
use tests::load::Load;
use tests::mqtt::{Client, Publish, Version};
use tests::parse_role::{self, PRESS, PRESS_TOPIC, ParseRole};
use tests::ports;
use tests::proc;
use tests::process::Signal;
use tests::wait::{SOON, until_true};

const LIVE: &str = "/api/v1/live";
/// As many look at a time.
const WATCHERS: usize = 32;
const TOKEN: &str = "operator-0123456789abcdef";

/// Without a Kafka, because nothing here needs one.
fn config() -> GatewayConfig {
    GatewayConfig::without_topics(&ports::local(ports::free()).to_string())
}

#[track_caller]
fn open(gateway: &Gateway) -> Stream {
    open_at(gateway, LIVE)
}

#[track_caller]
fn open_at(gateway: &Gateway, path: &str) -> Stream {
    let stream = Stream::open(gateway.admin(), path, &[]).expect("it answers");
    assert_eq!(stream.code, 200, "{}", stream.head);
    stream
}

fn lane<'v>(now: &'v Value, name: &str) -> &'v Value {
    let lanes = now["lanes"].as_array().into_iter().flatten();
    lanes.into_iter().find(|lane| lane["lane"] == name).expect("the lane is there")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn under_load_it_adds_up_and_at_rest_it_is_what_the_metrics_say() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut stream = open(&gateway);
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    assert!(stream.head.contains("cache-control: no-store"), "{}", stream.head);
    assert_eq!(stream.event().name, "history");
    let load = Load::start(gateway.mqtt(), 12);
    let mut sequence = 0;
    for _ in 0..5 {
        let now =
            stream.until("now", |now| number(&lane(now, "fast")["received_per_second"]) > 0.0);
        assert_eq!(now["sum"]["difference"], 0, "{}", now["sum"]);
        let fast = lane(&now, "fast");
        assert!(number(&fast["landed_per_second"]) > 0.0, "{fast}");
        let [p50, p99] =
            ["p50", "p99"].map(|share| number(&fast[format!("acknowledgement_{share}_seconds")]));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= 60.0, "{fast}");
        assert!(number(&fast["held_bytes"]) <= number(&fast["limit_bytes"]));
        assert!(now["sequence"].as_u64() > Some(sequence), "one behind the other");
        sequence = now["sequence"].as_u64().expect("a number");
    }
    let now = stream.until("now", |now| now["connections"]["open"] == 12);
    let listener = &now["connections"]["listeners"][0];
    // The load's devices speak each version by turns.
    assert_eq!(listener["versions"], json!({ "3.1": 4, "3.1.1": 4, "5": 4 }), "{listener}");
    let version = |version| {
        let listener = listener["listener"].as_str().expect("a name");
        let labels = [("listener", listener), ("version", version)];
        gateway.metrics().sum("landfall_mqtt_connections", &labels)
    };
    assert_eq!(["3.1", "3.1.1", "5"].map(version), [4.0; 3]);
    let partitions = now["kafka"][1]["partitions"].as_array().expect("a list");
    let states: Vec<&Value> = partitions.iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["well", "well", "well"], "{partitions:?}");
    assert!(partitions.iter().all(|one| one["topic"] == gateway.topic("fast")));
    let acknowledged = load.stop().len() as f64;
    let now =
        stream.until("now", |now| now["sum"]["in_flight"] == 0 && now["connections"]["open"] == 0);
    let metrics = gateway.metrics();
    let of = |name: &str| metrics.sum(&format!("landfall_messages_{name}_total"), &[]);
    for (key, name) in [
        ("received", "received"),
        ("landed", "landed"),
        ("dead_lettered", "dead_lettered"),
        ("refused", "refused"),
        ("failed", "failed"),
    ] {
        assert_eq!(number(&now["sum"][key]), of(name), "{key}");
    }
    assert_eq!(number(&lane(&now, "fast")["landed"]), acknowledged);
    let counted = [("lane", "fast")];
    let answered = metrics.sum("landfall_acknowledgement_latency_seconds_count", &counted);
    assert!(answered >= acknowledged, "{answered} of {acknowledged} are counted in their lane");
    let ended = now["connections"]["ended"].as_array().expect("there are some");
    for one in ended {
        let reason = one["reason"].as_str().expect("a text");
        let counted = metrics.sum("landfall_connections_closed_total", &[("reason", reason)]);
        assert_eq!(number(&one["count"]), counted, "{reason}");
    }
    assert_eq!(ended.iter().map(|one| number(&one["count"])).sum::<f64>(), 12.0);
    let brokers = number(&now["kafka"][1]["brokers_up"]);
    assert_eq!(brokers, metrics.sum("landfall_kafka_brokers_up", &counted));
    // Who opens the page now sees what happened before.
    let past = open(&gateway).event().data;
    let rates = past["lanes"]["fast"]["received_per_second"].as_array().expect("a list");
    assert!(rates.iter().any(|rate| rate.as_f64() > Some(0.0)), "{rates:?}");
    let connections = past["connections"].as_array().expect("a list");
    assert_eq!(connections.iter().filter_map(Value::as_u64).max(), Some(12));
    assert_eq!(rates.len(), connections.len());
}

/// What waits is seen to grow old, in the figures and in the metrics, and its partitions to be away.
#[test]
fn an_outage_shows_what_waits_and_how_long() {
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).start_ready();
    let mut stream = open(&gateway);
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "meter-1");
    client.publish_acknowledged("devices/meter/meter-1/power", 1, b"lands");
    kafka.signal(Signal::STOP);
    client.publish(&Publish::new("devices/meter/meter-1/power", b"waits").qos1(2));
    let in_state = |now: &Value, state: &str| {
        let partitions = now["kafka"][1]["partitions"].as_array().into_iter().flatten();
        let mut found = partitions.filter(|one| one["state"] == state);
        found.any(|one| one["waiting_records"] == 1)
    };
    stream.until("now", |now| in_state(now, "slow"));
    kafka.kill();
    let now = stream.until("now", |now| number(&lane(now, "fast")["oldest_seconds"]) >= 4.0);
    assert_eq!((&now["sum"]["in_flight"], &now["sum"]["difference"]), (&json!(1), &json!(0)));
    assert_eq!(number(&lane(&now, "slow")["oldest_seconds"]), 0.0);
    let oldest = gateway.metrics().sum("landfall_lane_oldest_message_seconds", &[("lane", "fast")]);
    assert!(oldest >= 4.0, "{oldest}");
    stream.until("now", |now| in_state(now, "away"));
    // The sentence changes each second, and the problem is the same.
    let stalled = |now: &Value| {
        let problems = now["problems"].as_array().into_iter().flatten();
        let of_kind =
            problems.filter(|one| one["kind"] == "lane_stalled" && one["about"] == "fast");
        of_kind.map(|one| one["since_seconds"].as_u64()).next().flatten()
    };
    let now = stream.until("now", |now| stalled(now) >= Some(2));
    assert_eq!(now["ready"], true, "an outage takes no gateway out of service");
    let stalled = now["problems"].as_array().into_iter().flatten();
    let runbooks: Vec<&str> = stalled.filter_map(|one| one["runbook"].as_str()).collect();
    let runbook = gateway.page("/runbook").body;
    for link in runbooks {
        let id = link.strip_prefix("/runbook#").expect("it is on this port");
        assert!(runbook.contains(&format!("<h2 id=\"{id}\">")), "{id}");
    }
    kafka.start_again();
    client.expect_puback(2);
    stream.until("now", |now| {
        now["problems"] == json!([]) && number(&lane(now, "fast")["oldest_seconds"]) == 0.0
    });
}

/// A role that nobody connects to has no lanes, and the same port.
#[test]
fn a_parse_role_shows_its_pools() {
    let kafka = Kafka::shared();
    let gateway = parse_role::with_press(kafka, GatewayConfig::new(kafka)).start_ready();
    let mut role = ParseRole::start(&gateway, &json!({}), &[]);
    role.until_ready();
    // Pools are there from the start, whatever they were told of their partitions yet.
    let token = format!("Bearer {}", parse_role::TOKEN);
    let stream = Stream::open(role.admin(), LIVE, &[("authorization", &token)]);
    let mut stream = stream.expect("it answers");
    let pool = |now: &Value, name: &str| {
        let pools = now["pools"].as_array().into_iter().flatten();
        pools.into_iter().find(|pool| pool["pool"] == name).cloned().unwrap_or_default()
    };
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "press-1");
    // Whoever reads late misses a sample, and one message is in one of them.
    let mut packets = 0..;
    let now = stream.until("now", |now| {
        let packet = packets.next().expect("there is no end");
        device.publish_acknowledged(PRESS_TOPIC, packet + 1, br#"{"force": 7}"#);
        pool(now, PRESS)["events_per_second"].as_f64() > Some(0.0)
    });
    assert_eq!((&now["role"], &now["gateway_id"]), (&json!("parse"), &json!("parse-test")));
    assert_eq!((&now["sum"], &now["lanes"]), (&Value::Null, &json!([])));
    assert_eq!((&now["connections"], &now["large"]), (&Value::Null, &Value::Null));
    assert_eq!(pool(&now, PRESS)["freshness_target_seconds"], 1.0);
    assert_eq!(pool(&now, "metadata")["freshness_target_seconds"], Value::Null);
    device.publish_acknowledged(PRESS_TOPIC, 100, br#"{"force": "hard"}"#);
    let now = stream.until("now", |now| pool(now, PRESS)["partitions"]["stopped"] == 1);
    let problems = now["problems"].as_array().expect("a list");
    let told = |kind: &str| problems.iter().find(|one| one["kind"] == kind);
    let stopped = told("pool_stopped").unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(stopped["about"], PRESS);
    assert_eq!(stopped["runbook"], "/runbook#landfallparsestopped");
    let lag = role.metrics().sum("landfall_parse_lag_messages", &[("pool", PRESS)]);
    assert_eq!(number(&pool(&now, PRESS)["lag"]), lag);
    assert_eq!(http::get(role.admin(), "/runbook").expect("it answers").code, 200);
}

#[test]
fn the_runbook_is_there_for_whoever_may_see_the_page() {
    let tokens = json!({ "ops": { "from_env": "OPS" } });
    let config = config().environment("OPS", TOKEN).set("admin.authenticate.tokens", tokens);
    let gateway = config.start();
    let answer = gateway.page("/runbook");
    assert_eq!(answer.code, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = &answer.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("script") && !answer.body.contains("<script"));
    let foreign = http::request("GET", gateway.admin(), "/runbook", &[("host", "evil.example")]);
    assert_eq!(foreign.expect("it answers").code, 421);
}

#[test]
fn what_is_wrong_says_since_when_and_what_to_do() {
    let gateway = config().start();
    let mut stream = open(&gateway);
    let about = |now: &Value, kind: &str| -> Vec<Value> {
        let problems = now["problems"].as_array().into_iter().flatten();
        problems.filter(|problem| problem["kind"] == kind).cloned().collect()
    };
    let now = stream.until("now", |now| {
        let away = about(now, "kafka_away");
        away.iter().any(|problem| problem["since_seconds"].as_u64() >= Some(3))
    });
    assert_eq!(now["ready"], false);
    let away = &about(&now, "kafka_away")[0];
    assert_eq!(away["keeps_from_ready"], true);
    assert!(away["to_do"].as_str().is_some_and(|text| text.contains("Kafka")), "{away}");
    let lanes: Vec<Value> =
        about(&now, "kafka_producer").into_iter().map(|problem| problem["about"].clone()).collect();
    assert_eq!(lanes, ["priority", "fast", "slow", "dead-letter"]);
    // As `/readyz` says it.
    let texts = |list: &Value| -> Vec<Value> { list.as_array().cloned().unwrap_or_default() };
    let readyz = gateway.page("/readyz").json();
    let told: Vec<Value> = now["problems"].as_array().into_iter().flatten().cloned().collect();
    assert_eq!(texts(&readyz["reasons"]).len(), told.len(), "{readyz}");
}

#[test]
fn a_gateway_that_drains_says_so() {
    let kafka = Kafka::shared();
    let mut gateway = GatewayConfig::new(kafka).set("drain.pause", "5s").start_ready();
    let mut stream = open(&gateway);
    stream.until("now", |now| now["draining"] == false && now["ready"] == true);
    gateway.signal(Signal::TERM);
    let now = stream.until("now", |now| now["draining"] == true);
    assert_eq!((&now["ready"], &now["problems"][0]["kind"]), (&json!(false), &json!("draining")));
    assert_eq!(gateway.wait(SOON), Some(0));
}

#[test]
fn nothing_names_a_device() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut stream = open(&gateway);
    let (id, topic) = ("meter-4711", "devices/meter/meter-4711/cellar");
    let mut client = Client::connect(gateway.mqtt(), Version::V5, id);
    client.publish_acknowledged(topic, 1, b"what-was-sent");
    let now = stream.until("now", |now| now["sum"]["landed"] == 1);
    let past = open(&gateway).event().data;
    for shown in [now.to_string(), past.to_string()] {
        for secret in ["4711", "cellar", "what-was-sent", "127.0.0.1"] {
            assert!(!shown.contains(secret), "{secret} is in {shown}");
        }
    }
}

#[test]
fn a_token_is_asked_for_where_tokens_are_configured() {
    let tokens = json!({ "ops": { "from_env": "OPS" } });
    let config = config().environment("OPS", TOKEN).set("admin.authenticate.tokens", tokens);
    let gateway = config.start();
    for headers in [&[][..], &[("authorization", "Bearer stranger-0123456789abcdef")]] {
        let stream = Stream::open(gateway.admin(), LIVE, headers).expect("it answers");
        assert_eq!(stream.code, 401, "{}", stream.head);
        assert!(!stream.rest().contains("lanes"));
    }
    let token = format!("Bearer {TOKEN}");
    let mut stream =
        Stream::open(gateway.admin(), LIVE, &[("authorization", &token)]).expect("it answers");
    assert_eq!(stream.event().name, "history");
}

/// Nor may a page of the internet whose name comes to lead to this machine.
#[test]
fn it_is_not_shown_to_a_page_of_another_name() {
    let gateway = config().start();
    let answer = http::request("GET", gateway.admin(), LIVE, &[("host", "evil.example")])
        .expect("it answers");
    assert_eq!(answer.code, 421, "{answer:?}");
}

/// Time enough for a stream to end by itself, which it does when its connection is 50 s old.
const STREAM_LASTS: Duration = Duration::from_secs(50);

#[test]
fn a_stream_ends_by_itself_and_goes_on_without_a_gap() {
    let gateway = config().start();
    let began = Instant::now();
    let mut stream = open(&gateway);
    let history = stream.event();
    let (mut last, mut process) = (history.id, Value::Null);
    while let Some(event) = stream.next_event().expect("it ends as it should") {
        assert_eq!(event.name, "now");
        assert!(event.id > last, "{} behind {last}", event.id);
        process = event.data["process"].clone();
        last = event.id;
    }
    let lasted = began.elapsed();
    assert!(lasted > STREAM_LASTS - Duration::from_secs(2), "{lasted:?}");
    assert!(lasted < STREAM_LASTS + Duration::from_secs(8), "{lasted:?}");
    let process = process.as_str().expect("a text");
    let path = format!("{LIVE}?after={last}&process={process}");
    let mut again = open_at(&gateway, &path);
    let history = again.event().data;
    let steps = history["problems"].as_array().expect("a list").len();
    assert!(steps <= 2, "only the steps with something newer than {last}: {history}");
    let next = again.event();
    assert!(next.id <= last + 3, "{} behind {last}", next.id);
    // Of a process that was before, everything of this one is new.
    let other = open_at(&gateway, &format!("{LIVE}?after={last}&process=before")).event().data;
    assert_eq!((&other["first_step"], &other["first_sequence"]), (&json!(0), &json!(1)));
    let wrong = gateway.page(&format!("{LIVE}?after=yesterday"));
    assert_eq!((wrong.code, wrong.body.contains("after")), (400, true));
}

#[test]
fn a_thousand_pages_are_told_to_come_later_and_shut_nobody_out() {
    const PAGES: usize = 1000;
    let gateway = config().start();
    let admin = gateway.admin();
    let descriptors = || proc::descriptors(gateway.id());
    let before = descriptors();
    let mut served: Vec<Stream> = Vec::new();
    let mut turned_away = 0;
    for page in 0..PAGES {
        let mut stream = Stream::open(admin, LIVE, &[]).expect("it answers");
        match stream.code {
            200 => {
                assert_eq!(stream.event().name, "history");
                served.push(stream);
            }
            503 => {
                turned_away += 1;
                assert!(stream.head.contains("retry-after: 10"), "{}", stream.head);
            }
            other => panic!("{other}: {}", stream.head),
        }
        if page % 100 == 0 {
            alive(admin);
        }
    }
    assert_eq!((served.len(), turned_away), (WATCHERS, PAGES - WATCHERS));
    // Connections that say nothing take the places of each other, and not of those who look.
    let silent: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(admin)).collect();
    alive(admin);
    for stream in &mut served {
        stream.until("now", |_| true);
    }
    drop(silent);
    // Nor do those who do not read.
    drop(served);
    until_true("places are given back", SOON, || {
        let path = LIVE;
        let unread: Vec<_> = (0..WATCHERS).filter_map(|_| ask(admin, path, &[]).ok()).collect();
        let full = Stream::open(admin, LIVE, &[]).is_ok_and(|stream| stream.code == 503);
        alive(admin);
        drop(unread);
        full
    });
    until_true("everything is given back", SOON, || descriptors() <= before + 2);
    let mut stream = open(&gateway);
    assert_eq!(stream.event().name, "history");
}

#[track_caller]
fn alive(admin: SocketAddr) {
    let began = Instant::now();
    assert_eq!(http::get(admin, "/livez").expect("it answers").code, 200);
    assert!(began.elapsed() < SOON);
}
