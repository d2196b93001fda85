//! What `landfall explain` says of a message is what the gateway does with it.

use std::process::Command;
use std::time::Duration;

use prost::Message as _;
use proto::v1::DeviceEnvelope;
use proto::v1::envelope::Payload;
use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, Records};
use tests::mqtt::property::{self, Property};
use tests::mqtt::{Client, Connect, Packet, Publish, Version, encode};
use tests::tools::{Folder, program};
use tests::wait::SOON;

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// What is published behind a message that is not answered.
const BEHIND: &str = "devices/x/y/alarm";

/// A message, and the arguments that tell `explain` of it.
struct Case {
    name: &'static str,
    publish: Publish,
    properties: Vec<(&'static str, String)>,
    /// `explain` is given the payload and not its size.
    with_payload: bool,
    /// What has to come of it, so that no case is one by mistake: outcome and payload.
    expected: (&'static str, &'static str),
}

fn case(
    name: &'static str,
    topic: &str,
    size: usize,
    expected: (&'static str, &'static str),
) -> Case {
    let publish = Publish::new(topic, &vec![b'7'; size]).qos1(1);
    Case { name, publish, properties: Vec::new(), with_payload: false, expected }
}

impl Case {
    fn property(mut self, name: &'static str, value: &str) -> Case {
        self.publish = self.publish.with(Property::user(name, value));
        self.properties.push((name, value.to_owned()));
        self
    }

    fn payload(mut self, payload: &[u8]) -> Case {
        self.publish.payload = payload.to_vec();
        self.with_payload = true;
        self
    }

    fn qos0(mut self) -> Case {
        (self.publish.qos, self.publish.packet_id) = (0, 0);
        self
    }
}

/// A gateway with lanes of all kinds, and what arrives in their topics.
struct Run {
    gateway: Gateway,
    records: Records,
    connect: Connect,
    client: Client,
    /// Bytes of the largest packet, as CONNACK says.
    packet_max: usize,
    folder: Folder,
}

impl Run {
    fn start(store: bool) -> Run {
        let kafka = Kafka::shared();
        let folder = Folder::new("explained");
        let config = GatewayConfig::new(kafka);
        let meters = format!("{}.meter", config.topic("fast"));
        kafka.create_topic(&meters, 2, &[]);
        let fast = format!("{}.{{device_type}}", config.topic("fast"));
        let mut config = config
            .set(
                "lanes.fast",
                json!({
                    "topic": fast,
                    "topics": [meters],
                    "key": "{device_type}-{stream}",
                    "inline_size": "80KiB",
                }),
            )
            .set("lanes.slow.key", "device_id+bucket")
            .set("lanes.slow.bucket", "1h")
            .set("lanes.slow.inline_size", "80KiB")
            .set("lanes.priority.key", "received_ms")
            .set("lanes.priority.inline_size", "80KiB")
            .set("lanes.dead-letter.inline_size", "64KiB")
            .set("unrouted", "refuse")
            .set(
                "routes",
                json!([
                    {
                        "filter": "typed/{device_id}/{stream}",
                        "payload": "landfall.v1.DeviceEnvelope",
                        "attributes": { "device_type": "meter" },
                    },
                    { "filter": "devices/{device_type}/{device_id}/{stream}/#" },
                ]),
            );
        if store {
            config = config.set("object_store.url", format!("file://{}/", folder.display()));
        }
        let topics: Vec<String> = LANES
            .iter()
            .map(|lane| config.topic(lane))
            .filter(|topic| !topic.ends_with("fast"))
            .chain([meters])
            .collect();
        let gateway = config.start_ready();
        let records = kafka.records(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let mut connect = Connect::new(Version::V5, "client-7");
        connect.properties.push(Property::user("group", "west"));
        let (client, connack) = Client::connect_with(gateway.mqtt(), &connect);
        let packet_max = match connack.property(property::MAXIMUM_PACKET_SIZE) {
            Some(property::Value::FourBytes(bytes)) => *bytes as usize,
            other => panic!("the largest packet is announced: {other:?}"),
        };
        Run { gateway, records, connect, client, packet_max, folder }
    }

    fn refused(&self) -> f64 {
        self.gateway.metrics().sum("landfall_messages_refused_total", &[])
    }

    /// Publishes, and compares what came of it with what `explain` says.
    #[track_caller]
    fn check(&mut self, case: &Case) {
        let refused = self.refused();
        // The gateway may close while the client still sends.
        let _ = self.client.try_send(&encode::publish(Version::V5, &case.publish));
        match (case.expected.0, case.publish.qos) {
            ("landed", _) => self.client.expect_puback(1),
            ("dead-letter", _) => match self.client.expect_packet() {
                Packet::Puback { packet_id: 1, code: 0x80.., .. } => {}
                other => panic!("{}: {other:?}", case.name),
            },
            (_, 0) => {
                // Behind it, so that it is decided.
                self.client.publish(&Publish::new(BEHIND, b"").qos1(9));
                self.client.expect_puback(9);
            }
            _ => {
                self.client.expect_disconnect(0x95, SOON);
                self.client = Client::connect_with(self.gateway.mqtt(), &self.connect).0;
            }
        }
        let mut arrived = self.records.all_so_far();
        arrived.retain(|record| record.envelope().source_topic != BEHIND);
        let told = self.explain(case, arrived.first().and_then(|record| record.timestamp_ms));
        assert_eq!(
            (told["outcome"].as_str(), told["payload"].as_str()),
            (Some(case.expected.0), Some(case.expected.1)),
            "{}: {told}",
            case.name
        );
        let claims_time = case.properties.iter().any(|(name, _)| *name == "event-start");
        let is_fault = claims_time && told["event_start_ms"].is_null();
        assert_eq!(told["event_time_fault"].is_string(), is_fault, "{told}");
        match &arrived[..] {
            [] => {
                assert_eq!(told["outcome"], "refused", "{}: nothing arrived", case.name);
                assert_eq!(
                    (&told["topic"], &told["key"], &told["headers"]),
                    (&json!(""), &json!(""), &json!([]))
                );
                assert_eq!(self.refused(), refused + 1.0, "{}", case.name);
            }
            [record] => {
                assert_eq!(self.refused(), refused, "{}", case.name);
                is_as_told(case.name, record, &told);
            }
            more => panic!("{}: {} records", case.name, more.len()),
        }
    }

    #[track_caller]
    fn explain(&self, case: &Case, received_ms: Option<i64>) -> Value {
        let mut command = Command::new(program("landfall"));
        command.args(["explain", "--format", "json", "--config"]).arg(self.gateway.config_file());
        command.args(["--topic", &case.publish.topic, "--client-id", "client-7"]);
        command.args(["--connect-property", "group=west"]);
        for (name, value) in &case.properties {
            command.args(["--property", &format!("{name}={value}")]);
        }
        if case.publish.qos != 1 {
            command.args(["--qos", &case.publish.qos.to_string()]);
        }
        if case.with_payload {
            let file = self.folder.join("payload");
            std::fs::write(&file, &case.publish.payload).expect("the test's folder can be written");
            command.arg("--payload").arg(file);
        } else {
            command.args(["--size", &case.publish.payload.len().to_string()]);
        }
        if let Some(received_ms) = received_ms {
            let since = Duration::from_millis(received_ms.try_into().expect("after 1970"));
            let received = std::time::SystemTime::UNIX_EPOCH + since;
            command.args(["--now", &humantime::format_rfc3339_millis(received).to_string()]);
        }
        let output = tests::foreign::run("explain", command);
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }
}

/// The record is what was told.
#[track_caller]
fn is_as_told(name: &str, record: &Record, told: &Value) {
    let envelope = record.envelope();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let headers: Vec<(String, String)> =
        record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let reason = match envelope.dead_letter_reason.as_str() {
        "" => Value::Null,
        reason => json!(reason),
    };
    let payload = match &envelope.payload {
        Some(Payload::Inline(_)) => "inline",
        Some(Payload::Reference(_)) => "reference",
        None => "cut: its size and hash",
    };
    let mut arrived = json!({
        "lane": envelope.lane,
        "outcome": if reason.is_null() { "landed" } else { "dead-letter" },
        "topic": record.topic,
        "key": record.key_text(),
        "headers": headers,
        "payload": payload,
        "event_start_ms": envelope.event_start_ms,
    });
    if !reason.is_null() {
        arrived["reason"] = reason;
    }
    let is_whole = |field: &&str| envelope.cut.iter().all(|cut| cut.field != *field);
    let texts = [
        ("device_id", &envelope.device_id),
        ("device_type", &envelope.device_type),
        ("firmware_version", &envelope.firmware_version),
        ("group", &envelope.group),
    ];
    for (field, text) in texts.into_iter().filter(|(field, _)| is_whole(field)) {
        arrived[field] = json!(text);
    }
    for (field, value) in arrived.as_object().expect("an object") {
        assert_eq!(told.get(field), Some(value), "{name}: {field} of {told}");
    }
    assert_eq!(told.get("reason"), arrived.get("reason"), "{name}");
}

#[test]
fn explain_says_what_run_does() {
    let own = DeviceEnvelope {
        firmware_version: "3.1".to_owned(),
        event_start_ms: Some(1_760_000_000_123),
        ..DeviceEnvelope::default()
    };
    let (landed, dead) = (("landed", "inline"), ("dead-letter", "inline"));
    let cases = [
        case("an alarm, keyed by the time of receipt", "devices/meter/m-1/alarm", 3, landed),
        case("a measurement", "devices/meter/m-1/power", 3, landed),
        case("a late one, keyed by a bucket", "devices/meter/m-1/power", 3, landed)
            .property("event-start", "1700000000000")
            .property("firmware-version", "1.9.12"),
        case("an event time that is none", "devices/meter/m-1/power", 3, landed)
            .property("event-start", "1000"),
        case(
            "too large for its record",
            "devices/meter/m-1/power",
            90_000,
            ("landed", "reference"),
        ),
        case("a Kafka topic that is not listed", "devices/pump/p-1/power", 3, dead),
        case(
            "a reason that is too long",
            &format!("devices/{}/p-1/power", "𝄞".repeat(80)),
            3,
            dead,
        ),
        case("no route takes it", "nowhere", 3, dead),
        case("no route takes it, and it is large", "nowhere", 70_000, ("dead-letter", "reference")),
        case("nobody waits for it", "nowhere", 3, ("refused", "none")).qos0(),
        case("nobody waits for it, and it is large", "nowhere", 70_000, ("refused", "none")).qos0(),
        case("it brings its own metadata", "typed/m-1/power", 0, landed)
            .payload(&own.encode_to_vec()),
        case("it brings what is none", "typed/m-1/power", 0, dead).payload(b"\xff\xff"),
    ];
    let mut run = Run::start(true);
    cases.iter().for_each(|case| run.check(case));

    let device_id = "d".repeat(40_000);
    let large_head = format!("devices/meter/{device_id}/power");
    let topic = "devices/meter/m-1/power";
    let mut run = Run::start(false);
    // The largest payload of a packet with and without properties, whose lengths have as many bytes.
    let most = [0, 300].map(|length| {
        let property = Property::user("site", &"s".repeat(length));
        let mut publish = Publish::new(topic, &vec![0; run.packet_max]).qos1(1);
        if length > 0 {
            publish = publish.with(property);
        }
        2 * run.packet_max - encode::publish(Version::V5, &publish).len()
    });
    let cut = ("dead-letter", "cut: its size and hash");
    let cases = [
        case("a head that is too large", &large_head, 70_000, cut)
            .property("site", &"s".repeat(50_000)),
        case("larger than its lane takes", topic, 90_000, cut),
        case("no route takes it, and it is large", "nowhere", 70_000, cut),
        case("as large as a packet may be", topic, most[0], cut),
        case("larger than anything", topic, most[0] + 1, ("refused", "none")),
        case("as large, with a property", topic, most[1], cut).property("site", &"s".repeat(300)),
        case("larger, with a property", topic, most[1] + 1, ("refused", "none"))
            .property("site", &"s".repeat(300)),
    ];
    cases.iter().for_each(|case| run.check(case));
}
