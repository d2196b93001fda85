//! Every code that a broker may give in its answer to a produce request, given by librdkafka's mock cluster, and
//! what became of the record.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::types::RDKafkaApiKey;
use rdkafka::types::RDKafkaRespErr::{self, *};

use super::*;
use crate::kafka::log_lines::LogLine;
use crate::kafka::{KafkaStatus, client};

const TOPIC: &str = "there";
const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of a record of which a broker says a code once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// librdkafka asks again by itself, and Kafka has it then.
    AskedAgain,
    /// It counts as stored, though its offset is not known.
    Counted,
    /// It comes back with this code, and the producer takes nothing more.
    Back(Code, Answer),
}

use Outcome::{AskedAgain, Counted};

const fn back(code: Code, answer: Answer) -> Outcome {
    Outcome::Back(code, answer)
}

/// Those of Kafka 4.3's answers (ProduceResponse, and what ReplicaManager, UnifiedLog, LogValidator and
/// ProducerStateManager throw), and those that other servers of the protocol give.
const CODES: [(RDKafkaRespErr, Outcome); 41] = [
    (RD_KAFKA_RESP_ERR_UNKNOWN, back(Code::Unknown, Answer::Again)),
    (RD_KAFKA_RESP_ERR_INVALID_MSG, AskedAgain),
    (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, AskedAgain),
    (RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, back(Code::InvalidMessageSize, Answer::Again)),
    (RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, AskedAgain),
    (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, AskedAgain),
    (RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, AskedAgain),
    (RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, AskedAgain),
    (RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, AskedAgain),
    (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, back(Code::MessageSizeTooLarge, Answer::TooLarge)),
    (RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, back(Code::NetworkException, Answer::Again)),
    (RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, back(Code::InvalidTopic, Answer::Again)),
    (RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, back(Code::MessageBatchTooLarge, Answer::TooLarge)),
    (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, AskedAgain),
    (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, AskedAgain),
    (RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, back(Code::InvalidRequiredAcks, Answer::Again)),
    (
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        back(Code::TopicAuthorizationFailed, Answer::Again),
    ),
    (
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        back(Code::ClusterAuthorizationFailed, Answer::Again),
    ),
    (RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, back(Code::InvalidTimestamp, Answer::Untimely)),
    (RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, back(Code::UnsupportedVersion, Answer::Again)),
    (RD_KAFKA_RESP_ERR_INVALID_REQUEST, back(Code::InvalidRequest, Answer::Again)),
    (
        RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
        back(Code::UnsupportedForMessageFormat, Answer::Again),
    ),
    (RD_KAFKA_RESP_ERR_POLICY_VIOLATION, back(Code::PolicyViolation, Answer::Again)),
    (
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        back(Code::OutOfOrderSequenceNumber, Answer::Broken),
    ),
    (RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, Counted),
    (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, back(Code::InvalidProducerEpoch, Answer::Broken)),
    (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, back(Code::InvalidTransactionalState, Answer::Broken)),
    (
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        back(Code::InvalidProducerIdMapping, Answer::Broken),
    ),
    (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, back(Code::ConcurrentTransactions, Answer::Broken)),
    (
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        back(Code::TransactionalIdAuthorizationFailed, Answer::Again),
    ),
    (RD_KAFKA_RESP_ERR_SECURITY_DISABLED, back(Code::SecurityDisabled, Answer::Again)),
    (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, AskedAgain),
    (RD_KAFKA_RESP_ERR_LOG_DIR_NOT_FOUND, back(Code::LogDirNotFound, Answer::Again)),
    (RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, AskedAgain),
    (RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, back(Code::FencedLeaderEpoch, Answer::Again)),
    (
        RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
        back(Code::UnsupportedCompressionType, Answer::Again),
    ),
    (RD_KAFKA_RESP_ERR_INVALID_RECORD, back(Code::InvalidRecord, Answer::Refused)),
    (
        RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
        back(Code::ThrottlingQuotaExceeded, Answer::Again),
    ),
    (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, back(Code::ProducerFenced, Answer::Broken)),
    (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID, back(Code::UnknownTopicId, Answer::Again)),
    // A connection that ends in the middle.
    (RD_KAFKA_RESP_ERR__TRANSPORT, AskedAgain),
];

/// Keeps the delivery reports, and heeds the log as a lane's producer does.
#[derive(Default)]
struct Reports {
    status: KafkaStatus,
    told: Mutex<Vec<Result<i64, Code>>>,
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(line) = LogLine::read(facility, message) {
            self.status.heed(&line);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let told = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("librdkafka gives a code")),
        };
        self.told.lock().push(told);
    }
}

struct Rig {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    producer: BaseProducer<Reports>,
}

impl Rig {
    /// A producer as lanes have it, of which the broker knows already.
    fn new() -> Rig {
        let cluster = MockCluster::new(1).expect("a mock cluster starts");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic can be created");
        let servers = cluster.bootstrap_servers();
        let config = client::producer(&servers, &BTreeMap::new(), 1024, 1_000_000);
        let producer = config.create_with_context(Reports::default()).expect("it can be made");
        let rig = Rig { cluster, producer };
        assert_eq!(rig.send(), Ok(0), "nothing is wrong yet");
        rig
    }

    fn send(&self) -> Result<i64, Code> {
        let record = BaseRecord::<[u8], [u8]>::to(TOPIC).partition(0).key(b"k").payload(b"v");
        self.producer.send(record).map_err(|(error, _)| error).expect("there is room");
        self.told("a report")
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} did not come");
            self.producer.poll(Duration::from_millis(5));
        }
    }

    fn told(&self, what: &str) -> Result<i64, Code> {
        let told = &self.producer.context().told;
        self.until(what, || !told.lock().is_empty());
        told.lock().remove(0)
    }

    fn outcome(&self, code: RDKafkaRespErr) -> Outcome {
        self.cluster.request_errors(RDKafkaApiKey::Produce, &[code]);
        match self.send() {
            Ok(1) => AskedAgain,
            Ok(_) => Counted,
            Err(code) => Outcome::Back(code, answer(code)),
        }
    }
}

#[test]
fn each_code_of_a_broker_has_its_reaction() {
    let each: Vec<_> = CODES
        .into_iter()
        .map(|(code, expected)| {
            let run = move || {
                let rig = Rig::new();
                let outcome = rig.outcome(code);
                let is_broken = rig.producer.client().fatal_error().is_some();
                (
                    code,
                    expected,
                    outcome,
                    is_broken,
                    rig.producer.context().status.reason_within(PATIENCE),
                )
            };
            thread::spawn(run)
        })
        .collect();
    let mut wrong = Vec::new();
    for one in each {
        let (code, expected, outcome, is_broken, reason) = one.join().expect("it runs through");
        // What comes back breaks the producer: otherwise what is behind it would overtake it.
        if outcome != expected || is_broken != matches!(outcome, Outcome::Back(..)) {
            wrong.push(format!("{code:?}: {outcome:?}, broken: {is_broken}"));
        }
        let is_of_broker = !matches!(code, RD_KAFKA_RESP_ERR__TRANSPORT);
        if is_of_broker && reason.as_ref().is_none_or(|reason| reason.starts_with("Local:")) {
            wrong.push(format!("{code:?}: a lane that stands still would say {reason:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_a_purge_gives_back_says_nothing_of_kafka() {
    let rig = Rig::new();
    rig.cluster.broker_round_trip_time(1, Duration::from_secs(5)).expect("it can be slow");
    let purge = || rig.producer.purge(PurgeConfig::default().queue().inflight());
    let record = || BaseRecord::<[u8], [u8]>::to(TOPIC).partition(0).key(b"k").payload(b"v");
    rig.producer.send(record()).map_err(|(error, _)| error).expect("there is room");
    // It is on its way behind the linger.
    thread::sleep(Duration::from_millis(300));
    rig.producer.send(record()).map_err(|(error, _)| error).expect("there is room");
    purge();
    let mut told = [rig.told("a report"), rig.told("a second one")];
    told.sort_unstable_by_key(|told| told.err().map(|code| code as i32));
    assert_eq!(told, [Err(Code::PurgeQueue), Err(Code::PurgeInflight)]);
    assert!(told.iter().all(|told| told.is_err_and(|code| answer(code) == Answer::Broken)));
}

/// Who waits for a producer to be ready waits for nothing else.
#[test]
fn a_producer_is_ready_as_soon_as_it_has_its_id() {
    let rig = Rig::new();
    assert!(rig.producer.context().status.is_producer_ready());
    // Then librdkafka has another id in mind.
    rig.outcome(RD_KAFKA_RESP_ERR_UNKNOWN);
    let status = &rig.producer.context().status;
    rig.until("its end", || !status.is_producer_ready());
}
