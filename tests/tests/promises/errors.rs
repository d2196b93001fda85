//! A Kafka that answers with errors: a device's order and its messages survive each of them. A proxy
//! refuses requests in the broker's place; what becomes of those behind them, the broker decides.

use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Append, Kafka, Refusing, Said};
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Packet, Publish, Version};
use tests::wait::{START, until_true};

/// Devices with many messages each, so that what overtakes is mostly of the same device.
const DEVICES: usize = 3;
/// Messages that are acknowledged before and after each error.
const MORE: u64 = 200;
/// How soon a cause is named, and everybody goes on when it is gone.
const SOON_AGAIN: Duration = Duration::from_secs(15);

const UNKNOWN_SERVER_ERROR: i16 = -1;
const MESSAGE_TOO_LARGE: i16 = 10;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const UNKNOWN_PRODUCER_ID: i16 = 59;
const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;
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
        // Each has one record, and one of a partition is on its way at a time.
        Run::with_producer(properties, json!({ "linger.ms": "0", "batch.num.messages": "1" }))
    }

    /// The gateway's producers have these properties.
    fn with_producer(properties: &[(&str, &str)], producer: Value) -> Run {
        let (kafka, proxy) = Refusing::start_with_kafka(properties);
        let gateway = GatewayConfig::with_partitions(&kafka, 1)
            .set("kafka.bootstrap_servers", proxy.address().to_string())
            .set("lanes.fast.properties", producer)
            .start_ready();
        // Its devices take no negative acknowledgement.
        let load = Load::start(gateway.mqtt(), DEVICES);
        let run = Run { load, gateway, proxy, kafka };
        run.load.goes_on(MORE);
        run
    }

    /// Refuses requests of the load as the rule says, until it was refused and goes on all the same.
    #[track_caller]
    fn refuse<S: Into<Said>>(&self, mut rule: impl FnMut(&Append) -> Option<S> + Send + 'static) {
        let (topic, before) = (self.gateway.topic("fast"), self.proxy.refused());
        self.proxy.refuse(move |append| if append.topic == topic { rule(append) } else { None });
        until_true("a request is refused", START, || self.proxy.refused() > before);
        self.load.goes_on(MORE);
    }

    /// Everything acknowledged has landed, in each device's order, and nothing is a dead letter.
    #[track_caller]
    fn end(self) {
        self.end_with_dead_letters(0);
    }

    /// The same, but for what had to become a dead letter.
    #[track_caller]
    fn end_with_dead_letters(self, count: u64) {
        self.proxy.release();
        self.load.goes_on(MORE);
        let acknowledged = self.load.stop();
        let records = self.kafka.read_all(&self.gateway.topic("fast"));
        assert_landed_in_order(&acknowledged, &records);
        self.gateway.comes_to_rest();
        assert_eq!(self.gateway.lane("fast")["dead_lettered"], count);
    }
}

#[test]
fn a_refused_request_is_not_overtaken() {
    let run = Run::with_producer(&[], json!({ "linger.ms": "20" }));
    for error in ERRORS {
        let mut error = Some(error);
        // Of a record alone, that it is too large would be true.
        run.refuse(move |append| if append.records.len() > 1 { error.take() } else { None });
    }
    run.end();
}

/// A broker takes any sequence number from a producer of which it knows nothing.
#[test]
fn a_refused_first_request_is_not_overtaken() {
    let run = Run::start(&[]);
    // It has one record, of which that one is true.
    let errors = ERRORS.into_iter().filter(|error| *error != MESSAGE_TOO_LARGE);
    for error in errors.cycle().take(3 * ERRORS.len()) {
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

/// What Kafka says where some records of a batch are at fault, in one way or in several.
fn said_of(culprits: Vec<usize>, what: &str) -> Option<Said> {
    let culprits: Vec<_> = culprits.into_iter().map(|place| (place, what.to_owned())).collect();
    let message =
        format!("One or more records have been rejected due to {} record errors", culprits.len());
    (!culprits.is_empty()).then(|| Said::of_records(INVALID_RECORD, &message, culprits))
}

#[test]
fn a_record_that_kafka_never_takes_harms_none_beside_it() {
    const POISON: &[u8] = b"poison";
    let run = Run::with_producer(&[], json!({ "linger.ms": "20" }));
    let topic = run.gateway.topic("fast");
    run.proxy.refuse(move |append| {
        let culprits = if append.topic == topic { append.holding(POISON) } else { Vec::new() };
        said_of(culprits, "It says nothing that this broker takes.")
    });
    let mut client = Client::connect(run.gateway.mqtt(), Version::V5, "poisoner");
    // Alone among good ones, and several in a batch.
    let mut sent = 0;
    for count in [1, 3] {
        for _ in 0..count {
            sent += 1;
            client.publish(&Publish::new("devices/meter/poisoner/power", POISON).qos1(sent));
        }
        for _ in 0..count {
            match client.expect_packet() {
                Packet::Puback { code: 0x80.., .. } => {}
                other => panic!("it cannot land: {other:?}"),
            }
        }
        run.load.each_goes_on(20, SOON_AGAIN);
    }
    let letters = run.kafka.read_all(&run.gateway.topic("dead-letter"));
    assert!(letters.iter().all(|letter| letter.payload() == POISON));
    assert_eq!(letters.len(), usize::from(sent));
    run.end_with_dead_letters(u64::from(sent));
}

/// Where Kafka finds several times out of range it says INVALID_RECORD of each record, and what it means in words.
#[test]
fn a_time_that_kafka_does_not_take_is_no_fault_of_a_message() {
    const WHY: &str = "Timestamp 1700000000000 of message with offset 0 is out of range. The timestamp should be \
                       within [1700003600000, 1700007200000]";
    let run = Run::with_producer(&[], json!({ "linger.ms": "20" }));
    let mut left = 3;
    run.refuse(move |append| {
        left -= 1;
        let all = (0..append.records.len()).map(|place| (place, WHY.to_owned()));
        (left >= 0).then(|| {
            Said::of_records(
                INVALID_TIMESTAMP,
                "One or more records have been rejected due to invalid timestamp",
                all,
            )
        })
    });
    let mut left = 3;
    run.refuse(move |_| {
        left -= 1;
        (left >= 0).then_some(INVALID_TIMESTAMP)
    });
    run.load.each_goes_on(20, SOON_AGAIN);
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
    until_true("/readyz says that a right is missing", SOON_AGAIN, || {
        let body = run.gateway.page("/readyz").body.to_lowercase();
        body.contains("lane fast: nothing landed")
            && ["authoriz", "allow it"].iter().any(|word| body.contains(word))
    });
    acl(&["--remove", "--force"]);
    run.load.each_goes_on(20, SOON_AGAIN);
    run.end();
}
