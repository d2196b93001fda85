//! A Kafka that answers with errors: a device's order and its messages survive each of them. A proxy
//! refuses requests in the broker's place; what becomes of those behind them, the broker decides.

use std::time::Duration;

use serde_json::json;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Append, Kafka, KafkaOptions, Refusing};
use tests::load::{Load, assert_landed_in_order};
use tests::ports;
use tests::wait::{START, until_true};

/// Devices with many messages each, so that what overtakes is mostly of the same device.
const DEVICES: usize = 3;
/// Messages that are acknowledged before and after each error.
const MORE: u64 = 200;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const MESSAGE_TOO_LARGE: i16 = 10;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const UNKNOWN_PRODUCER_ID: i16 = 59;
const ERRORS: [i16; 6] = [
    UNKNOWN_SERVER_ERROR,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    TOPIC_AUTHORIZATION_FAILED,
    OUT_OF_ORDER_SEQUENCE_NUMBER,
    UNKNOWN_PRODUCER_ID,
];

/// A load on a gateway, and a Kafka behind a proxy that can refuse its requests.
struct Run {
    load: Load,
    gateway: Gateway,
    proxy: Refusing,
    kafka: Kafka,
}

impl Run {
    fn start(properties: &[(&str, &str)]) -> Run {
        let proxy_port = ports::free();
        let properties = properties.iter().map(|&(name, value)| (name.into(), value.into()));
        let kafka = Kafka::start_with(&KafkaOptions {
            proxy_port: Some(proxy_port),
            properties: properties.collect(),
            ..KafkaOptions::default()
        });
        let proxy = Refusing::start_on(proxy_port, kafka.behind_proxy());
        // Of small requests librdkafka has several on their way to a partition at once.
        let small = json!({ "linger.ms": "0", "batch.num.messages": "1" });
        let gateway = GatewayConfig::with_partitions(&kafka, 1)
            .set("kafka.bootstrap_servers", proxy.address().to_string())
            .set("lanes.fast.properties", small)
            .start_ready();
        // Its devices take no negative acknowledgement.
        let load = Load::start(gateway.mqtt(), DEVICES);
        let run = Run { load, gateway, proxy, kafka };
        run.load.goes_on(MORE);
        run
    }

    /// Refuses requests of the load as the rule says, until it was refused and goes on all the same.
    #[track_caller]
    fn refuse(&self, mut rule: impl FnMut(&Append) -> Option<i16> + Send + 'static) {
        let (topic, before) = (self.gateway.topic("fast"), self.proxy.refused());
        self.proxy.refuse(move |append| if append.topic == topic { rule(append) } else { None });
        until_true("a request is refused", START, || self.proxy.refused() > before);
        self.load.goes_on(MORE);
    }

    /// Everything acknowledged has landed, in each device's order, and nothing is a dead letter.
    #[track_caller]
    fn end(self) {
        self.proxy.release();
        self.load.goes_on(MORE);
        let acknowledged = self.load.stop();
        let records = self.kafka.read_all(&self.gateway.topic("fast"));
        assert_landed_in_order(&acknowledged, &records);
        assert_eq!(self.gateway.lane("fast")["dead_lettered"], 0);
    }
}

#[test]
fn a_refused_request_is_not_overtaken() {
    let run = Run::start(&[]);
    for error in ERRORS {
        let mut error = Some(error);
        run.refuse(move |_| error.take());
    }
    run.end();
}

/// A broker takes any sequence number from a producer of which it knows nothing.
#[test]
fn a_refused_first_request_is_not_overtaken() {
    let run = Run::start(&[]);
    for error in ERRORS.into_iter().cycle().take(3 * ERRORS.len()) {
        let (mut old, mut error) = (None, Some(error));
        run.refuse(move |append| {
            if append.producer_id == *old.get_or_insert(append.producer_id) {
                // A new producer is made.
                return Some(UNKNOWN_SERVER_ERROR);
            }
            error.take()
        });
    }
    run.end();
}

#[test]
fn a_right_that_is_missing_for_a_moment_is_waited_for() {
    let run = Run::start(&[
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("allow.everyone.if.no.acl.found", "true"),
    ]);
    let topic = run.gateway.topic("fast");
    let deny = ["--topic", &topic, "--deny-principal", "User:ANONYMOUS", "--operation", "All"];
    let acl = |change: &[&str]| run.kafka.change_rights(&[change, &deny].concat());
    acl(&["--add"]);
    run.load.stands_still(Duration::from_secs(1));
    acl(&["--remove", "--force"]);
    run.end();
}
