//! A Kafka that answers with errors: a device's order and its messages survive each of them. The broker
//! is librdkafka's mock cluster, because a real one gives no such answer when it is asked to.
//!
//! UNKNOWN_PRODUCER_ID is not among them: the mock cluster refuses the batch and takes the one behind it,
//! from which librdkafka concludes that both are stored. A real broker refuses the second one as well,
//! because its sequence number does not follow; the mock cluster looks at none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use prost::Message as _;
use proto::v1::Envelope;
use proto::v1::envelope::Payload;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;
use tests::gateway::GatewayConfig;
use tests::load::Load;
use tests::wait::{START, until_true};

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that comes into a topic, until nothing comes after `stop`: the mock cluster keeps little.
fn read_along(servers: &str, topic: &str, stop: &AtomicBool) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "reader");
    let consumer: BaseConsumer = config.create().expect("a client needs no server");
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning).expect("a beginning is an offset");
    consumer.assign(&all).expect("an assignment is kept locally");
    let mut payloads = Vec::new();
    let mut quiet = 0;
    while quiet < 20 {
        match consumer.poll(PAUSE) {
            Some(Ok(record)) => {
                let envelope = Envelope::decode(record.payload().unwrap_or_default());
                let Some(Payload::Inline(payload)) = envelope.expect("an envelope").payload else {
                    panic!("the load's payloads are small")
                };
                payloads.push(String::from_utf8(payload.to_vec()).expect("they are text"));
            }
            _ if stop.load(Ordering::Acquire) => quiet += 1,
            _ => {}
        }
    }
    payloads
}

/// What is done to a mock cluster and a topic of it.
type Trouble = fn(&MockCluster<'static, DefaultProducerContext>, &str);

fn survives(trouble: Trouble) {
    const TROUBLES: usize = 3;
    let kafka = MockCluster::new(1).expect("a mock cluster needs a port");
    let servers = kafka.bootstrap_servers();
    // One request at a time: a real broker takes none behind one that it refused, the mock cluster does.
    let small_batches = json!({ "max.in.flight": "1", "linger.ms": "0", "batch.size": "2000" });
    let config =
        GatewayConfig::without_topics(&servers).set("lanes.fast.properties", small_batches);
    for lane in LANES {
        kafka.create_topic(&config.topic(lane), 1, 1).expect("the name is new");
    }
    let topic = config.topic("fast");
    let gateway = config.start_ready();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (stop, topic) = (Arc::clone(&stop), topic.clone());
        thread::spawn(move || read_along(&servers, &topic, &stop))
    };
    // Its devices take no negative acknowledgement.
    let load = Load::start(gateway.mqtt(), 6);
    for _ in 0..TROUBLES {
        let before = load.acknowledged();
        until_true("the load runs", START, || load.acknowledged() > before + 200);
        trouble(&kafka, &topic);
    }
    let before = load.acknowledged();
    until_true("the load goes on", START, || load.acknowledged() > before + 200);
    let acknowledged = load.stop();
    stop.store(true, Ordering::Release);
    let payloads = reader.join().expect("Kafka can be read");
    // The first time that each landed: what is sent again may come twice.
    let (mut landed, mut last) = (BTreeSet::new(), BTreeMap::new());
    for payload in &payloads {
        let (device, number) = payload.split_once('-').expect("DEVICE-NUMBER");
        let number: u64 = number.parse().expect("a number");
        if landed.insert(payload.clone()) {
            let before = last.insert(device, number);
            assert!(before < Some(number), "{payload} came behind {before:?}");
        }
    }
    assert_eq!(acknowledged.difference(&landed).count(), 0, "acknowledged and not in Kafka");
    assert_eq!(gateway.lane("fast")["dead_lettered"], 0);
}

#[test]
fn a_batch_that_fails_is_not_overtaken() {
    survives(|kafka, _| {
        kafka.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN]);
    });
}

#[test]
fn a_right_that_is_missing_for_a_moment_is_waited_for() {
    const MISSING: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    const THERE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    survives(|kafka, topic| {
        kafka.topic_error(topic, MISSING).expect("there is such a topic");
        kafka.request_errors(RDKafkaApiKey::Produce, &[MISSING]);
        thread::sleep(Duration::from_secs(1));
        kafka.topic_error(topic, THERE).expect("there is such a topic");
    });
}

#[test]
fn a_producer_that_broke_is_started_anew() {
    const BROKEN: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    survives(|kafka, _| kafka.request_errors(RDKafkaApiKey::Produce, &[BROKEN; 3]));
}
