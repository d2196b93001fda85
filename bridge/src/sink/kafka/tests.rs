//! The Kafka sink on librdkafka's mock cluster: the suite of all sinks, and what only Kafka does.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::kafka::consumer::{Consumer, ConsumerRecord};
use crate::lane::partition;
use crate::sink::contract::{self, Fixture};

const TOPIC: &str = "there";
const PARTITIONS: i32 = 3;
const BROKER: i32 = 1;
const READ_WAIT: Duration = Duration::from_secs(10);

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Mock {
    fn new() -> Mock {
        let cluster = MockCluster::new(1).expect("a mock cluster starts");
        cluster.create_topic(TOPIC, PARTITIONS, 1).expect("a topic can be created");
        Mock { cluster }
    }

    fn fail_produce(&self, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, errors);
    }

    /// Records of all partitions, those of a partition in their order.
    fn placed(&self) -> Vec<ConsumerRecord> {
        let servers = self.cluster.bootstrap_servers();
        let consumer = Consumer::open("test", &servers, &BTreeMap::new(), &[TOPIC.to_owned()]);
        let consumer = consumer.expect("the topic can be read");
        let mut placed = Vec::new();
        let mut wait = READ_WAIT;
        while let Some(record) = consumer.next(wait).expect("Kafka is there") {
            placed.push(record);
            // Behind the first ones the rest comes soon.
            wait = Duration::from_secs(1);
        }
        placed
    }
}

/// Of a lane whose topic is known.
fn status() -> Arc<KafkaStatus> {
    let status = KafkaStatus::default();
    status.set_topic(
        TOPIC,
        TopicFacts {
            partitions: PARTITIONS as u32,
            leaderless: Vec::new(),
            max_message_bytes: None,
            times: None,
        },
    );
    Arc::new(status)
}

impl Fixture for Mock {
    fn sink(&mut self, wake: Thread) -> Box<dyn Sink> {
        let servers = self.cluster.bootstrap_servers();
        let status = status();
        Box::new(KafkaSink::new("test", &servers, &BTreeMap::new(), 512 * 1024, status, wake))
    }

    fn topic(&mut self) -> String {
        TOPIC.to_owned()
    }

    fn missing_topic(&mut self) -> Option<String> {
        Some("missing".to_owned())
    }

    fn too_large(&mut self) -> Option<usize> {
        // Over the producer's own limit, which has room for the inline limit and for what is around.
        Some(2_000_000)
    }

    fn stored(&mut self, _: &str) -> Vec<RecordBuf> {
        self.placed().iter().map(as_given).collect()
    }

    fn stop(&mut self) {
        self.cluster.broker_down(BROKER).expect("the broker can be stopped");
    }

    fn recover(&mut self) {
        self.cluster.broker_up(BROKER).expect("the broker can be started");
    }

    fn break_next(&mut self) -> bool {
        // For the batch that is next in line this can only be a fault of the producer or the broker,
        // and is fatal.
        self.fail_produce(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
        true
    }
}

/// A record as the sink was given it.
fn as_given(stored: &ConsumerRecord) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.begin(&stored.topic, stored.timestamp_ms.expect("each has one"));
    for (name, value) in &stored.headers {
        record.header(name, value.as_deref().unwrap_or_default());
    }
    record.key(|out| out.extend_from_slice(stored.key.as_deref().unwrap_or_default()));
    record.value(|out| out.extend_from_slice(stored.value.as_deref().unwrap_or_default()));
    record
}

#[test]
fn it_keeps_the_contract_of_a_sink() {
    contract::check_all(Mock::new);
}

fn record(key: &str, value: &[u8]) -> RecordBuf {
    let mut record = RecordBuf::default();
    record.begin(TOPIC, 1);
    record.key(|out| out.extend_from_slice(key.as_bytes()));
    record.value(|out| out.extend_from_slice(value));
    record
}

/// Appends and polls until all are decided. A batch that failed before broke the producer.
fn verdicts(sink: &mut dyn Sink, records: &[RecordBuf]) -> Vec<Verdict> {
    if sink.is_broken() {
        sink.reset();
    }
    for (token, record) in records.iter().enumerate() {
        let partition = partition::of(partition::hash(record.as_record().key()), PARTITIONS as u32);
        sink.append(record.clone(), partition, token).expect("there is room");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut decided = Vec::new();
    while decided.len() < records.len() {
        assert!(Instant::now() < deadline, "undecided: {decided:?}");
        sink.poll(&mut decided);
        std::thread::park_timeout(Duration::from_millis(10));
    }
    decided.sort_by_key(|decided| decided.token);
    decided.into_iter().map(|decided| decided.verdict).collect()
}

/// Kafka limits batches: what it says of one it says of each record in it.
#[test]
fn a_batch_that_is_too_large_comes_back_whole() {
    let mut mock = Mock::new();
    let mut sink = mock.sink(std::thread::current());
    verdicts(&mut *sink, &[record("a", b"0")]);
    mock.fail_produce(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let records = [record("a", b"1"), record("a", b"2"), record("a", b"3")];
    for (verdict, record) in verdicts(&mut *sink, &records).iter().zip(&records) {
        assert!(matches!(verdict, Verdict::TooLarge(back) if back == record), "{verdict:?}");
    }
    assert!(sink.is_broken(), "what came behind it would overtake it");
    let again = verdicts(&mut *sink, &records);
    assert!(again.iter().all(|verdict| matches!(verdict, Verdict::Durable)), "{again:?}");
}

#[test]
fn errors_are_told_apart_by_whether_another_try_helps() {
    use RDKafkaRespErr::*;
    let mut mock = Mock::new();
    let mut sink = mock.sink(std::thread::current());
    // The library tries these again by itself, in order.
    mock.fail_produce(&[
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ]);
    let verdict = verdicts(&mut *sink, &[record("a", b"1")]);
    assert!(matches!(verdict[..], [Verdict::Durable]), "{verdict:?}");
    mock.fail_produce(&[RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    let verdict = verdicts(&mut *sink, &[record("a", b"2")]);
    assert!(matches!(verdict[..], [Verdict::Refused { .. }]), "{verdict:?}");
    mock.fail_produce(&[RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let verdict = verdicts(&mut *sink, &[record("a", b"3")]);
    assert!(matches!(verdict[..], [Verdict::Undecided { .. }]), "{verdict:?}");
}

/// Records of one key, each in a request of its own, several of them on their way at once.
fn spread(mock: &mut Mock) -> (KafkaSink, [RecordBuf; 4]) {
    mock.cluster.broker_round_trip_time(BROKER, Duration::from_millis(50)).expect("it can be slow");
    let properties = [("batch.num.messages", "1"), ("linger.ms", "0")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let servers = mock.cluster.bootstrap_servers();
    let sink =
        KafkaSink::new("test", &servers, &properties, 512 * 1024, status(), std::thread::current());
    (sink, [b"1", b"2", b"3", b"4"].map(|value| record("a", value)))
}

fn stored_values(mock: &Mock) -> Vec<Vec<u8>> {
    let placed = mock.placed();
    placed.into_iter().map(|stored| stored.value.expect("each has one").into()).collect()
}

/// A broker that forgot the producer stores what comes behind a refused request, and librdkafka takes
/// that as a word on the refused one.
#[test]
fn what_kafka_did_not_confirm_itself_is_not_durable() {
    let mut mock = Mock::new();
    let (mut sink, records) = spread(&mut mock);
    verdicts(&mut sink, &[record("a", b"0")]);
    mock.fail_produce(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
    let decided = verdicts(&mut sink, &records);
    assert!(matches!(&decided[0], Verdict::Undecided { record, .. } if *record == records[0]));
    assert!(decided[1..].iter().all(|verdict| matches!(verdict, Verdict::Durable)), "{decided:?}");
    assert_eq!(stored_values(&mock), [b"0", b"2", b"3", b"4"]);
}

/// The vectors are those of Kafka's own test of its `murmur2`; a consumer that joins topics by
/// partition relies on them.
#[test]
fn a_key_has_the_partition_that_the_java_client_gives_it() {
    const MURMUR2: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let mut mock = Mock::new();
    let mut sink = mock.sink(std::thread::current());
    let records: Vec<RecordBuf> = MURMUR2.iter().map(|(key, _)| record(key, b"x")).collect();
    verdicts(&mut *sink, &records);
    let placed = mock.placed();
    assert_eq!(placed.len(), MURMUR2.len());
    for placed in placed {
        let key = placed.key.as_deref().expect("each has one");
        let (key, hash) = MURMUR2.iter().find(|(known, _)| known.as_bytes() == key).expect("known");
        assert_eq!(placed.partition, (hash & i32::MAX) % PARTITIONS, "{key}");
    }
}

/// Kafka closes connections that are idle for ten minutes, as those of a fleet are at night.
#[test]
fn a_closed_idle_connection_is_no_news_and_a_failed_one_is() {
    let status = Arc::new(KafkaStatus::default());
    let reports = Reports::new("fast".to_owned(), Arc::clone(&status));
    let sum = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);
    reports.error(sum.clone(), "1/1 brokers are down");
    assert_eq!(status.last_error(), None);
    let cause = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
    reports.error(cause, "Connect failed: Connection refused");
    reports.error(sum, "1/1 brokers are down");
    assert_eq!(status.last_error().as_deref(), Some("Connect failed: Connection refused"));
}

#[test]
fn a_producer_that_cannot_be_made_takes_nothing_and_is_tried_with_a_pause() {
    let status = Arc::new(KafkaStatus::default());
    let properties = [("socket.timeout.ms".to_owned(), "no number".to_owned())].into();
    let current = std::thread::current();
    let mut sink =
        KafkaSink::new("test", "127.0.0.1:1", &properties, 1024, Arc::clone(&status), current);
    let mut record = RecordBuf::default();
    record.begin(TOPIC, 0);
    let error = status.last_error().expect("it is known why");
    assert!(error.contains("socket.timeout.ms"), "{error}");
    let tried = sink.connect_at;
    for token in 0..100 {
        let not_taken = NotTaken { record: record.clone(), error: AppendError::Away };
        assert_eq!(sink.append(record.clone(), 0, token), Err(not_taken));
        sink.poll(&mut Vec::new());
        assert!(!sink.is_broken(), "a lane resets what is broken, at once and again and again");
    }
    assert_eq!(sink.connect_at, tried, "not tried again so soon");
}

#[test]
fn a_lane_gathers_for_as_long_as_linger_says_by_any_of_its_names() {
    let properties = [
        ("linger.ms", "7.5"),
        ("queue.buffering.max.ms", "7.5"),
        ("acks", "all"),
        ("linger.ms", "0"),
        ("linger.ms", "3"),
    ];
    let gathers = properties.map(|(name, value)| {
        let properties = [(name.to_owned(), value.to_owned())].into();
        let current = std::thread::current();
        let mut sink = KafkaSink::new("test", "127.0.0.1:1", &properties, 1024, status(), current);
        sink.limits(TOPIC).linger.as_micros()
    });
    // Half a millisecond is librdkafka's, for the hand-over.
    assert_eq!(gathers, [7000, 7000, 4500, 0, 2500]);
}

#[test]
fn a_clock_that_is_set_back_is_noticed_once_and_small_steps_are_not() {
    let mut clock = Clock::new();
    clock.wall_ms += CLOCK_STEP_MS / 2;
    assert!(!clock.looks_set_back());
    clock.wall_ms -= 3_600_000;
    assert!(!clock.looks_set_back(), "it was set forward");
    clock.wall_ms += 3_600_000;
    assert!(clock.looks_set_back());
    assert!(!clock.looks_set_back());
    assert!(clock.went_back);
}
