//! Whether the lanes' Kafka topics are there, and take what the lanes send. Asked at start until all is
//! well, then now and then, on a thread of its own: Kafka may be away for hours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tokio::runtime::Handle;

use super::{KafkaStatus, client};
use crate::fail_point;
use crate::record::{self, HEAD_MAX_BYTES};

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between attempts while something is missing.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause between checks while all is well.
const CHECK_PAUSE: Duration = Duration::from_secs(60);
/// However often it is asked for, checks are this far apart.
const CHECKS_APART: Duration = Duration::from_millis(200);
/// How often the thread shows that it lives while it waits.
const BEAT: Duration = Duration::from_secs(5);

/// What is asked of Kafka beside whether the topics are there.
#[derive(Clone, Copy)]
pub struct Questions {
    /// Create the topics that are missing.
    pub create: bool,
    /// Ask for the topics' limits. The embedded Kafka has none and does not answer.
    pub limits: bool,
}

/// What one lane needs of Kafka.
pub struct LaneTopics {
    pub lane: String,
    pub topics: Vec<String>,
    /// Bytes of the largest payload that records promise to hold; None where nothing is promised.
    pub inline_size: Option<u32>,
    pub status: Arc<KafkaStatus>,
}

/// Why the lanes cannot land everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicProblem {
    /// None: it is Kafka as a whole.
    pub topic: Option<String>,
    /// What is wrong, for people.
    pub text: String,
}

/// What is known of the lanes' topics.
pub struct Topics {
    /// None while Kafka was never asked.
    problems: Mutex<Option<Vec<TopicProblem>>>,
    stop: AtomicBool,
    finished: AtomicBool,
    started: Instant,
    /// Milliseconds after `started` of the thread's last sign of life.
    beat_ms: AtomicU64,
}

impl TopicProblem {
    fn of_kafka(text: String) -> TopicProblem {
        TopicProblem { topic: None, text }
    }

    fn of(topic: &str, text: String) -> TopicProblem {
        TopicProblem { topic: Some(topic.to_owned()), text }
    }
}

impl Topics {
    /// What is wrong; empty when all is well.
    pub fn problems(&self) -> Vec<TopicProblem> {
        let unknown = || vec![TopicProblem::of_kafka("Kafka was not reached yet".to_owned())];
        self.problems.lock().clone().unwrap_or_else(unknown)
    }

    /// How long the thread gave no sign of life.
    pub fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    fn beat(&self) {
        self.beat_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Waits until it is woken, at most so long, and lives meanwhile.
    fn rest(&self, wait: Duration) {
        let end = Instant::now() + wait;
        loop {
            self.beat();
            let left = end.saturating_duration_since(Instant::now());
            let nap = left.min(BEAT);
            let began = Instant::now();
            thread::park_timeout(nap);
            if nap == left || began.elapsed() < nap {
                return;
            }
        }
    }

    /// The thread ended, which it does only when it is stopped or after a panic.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Starts the checks; `properties` are librdkafka's, for the connection.
    pub fn watch(
        bootstrap_servers: &str,
        properties: &BTreeMap<String, String>,
        questions: Questions,
        lanes: Vec<LaneTopics>,
        runtime: Handle,
    ) -> std::io::Result<(Arc<Topics>, TopicsThread)> {
        let topics = Arc::new(Topics {
            problems: Mutex::new(None),
            stop: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            started: Instant::now(),
            beat_ms: AtomicU64::new(0),
        });
        let config = client::admin(bootstrap_servers, properties);
        let shared = Arc::clone(&topics);
        let handle = thread::Builder::new().name("kafka-topics".to_owned()).spawn(move || {
            let _finished = Finished(&shared);
            for lane in &lanes {
                lane.status.set_limits_thread(thread::current());
            }
            let mut untold = None;
            while !shared.stop.load(Ordering::Acquire) {
                fail_point::ask_thread();
                let beat = || shared.beat();
                let problems = check(&config, questions, &lanes, &runtime, &beat, &mut untold);
                let well = problems.is_empty();
                let mut known = shared.problems.lock();
                if known.as_ref() != Some(&problems) {
                    for problem in &problems {
                        let problem = &*problem.text;
                        tracing::warn!(problem, "Kafka is not as the lanes need it");
                    }
                }
                *known = Some(problems);
                drop(known);
                // A lane whose batches are too large for Kafka asks for a check ahead of its time.
                thread::sleep(CHECKS_APART);
                shared.rest(if well { CHECK_PAUSE } else { RETRY_PAUSE });
            }
        })?;
        Ok((Arc::clone(&topics), TopicsThread { topics, handle }))
    }
}

/// Says so when the thread ends, however it does.
struct Finished<'t>(&'t Topics);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.finished.store(true, Ordering::Release);
    }
}

/// The running checks.
pub struct TopicsThread {
    topics: Arc<Topics>,
    handle: JoinHandle<()>,
}

impl TopicsThread {
    /// Ends the checks. A request under way is not waited for.
    pub fn stop(self) {
        self.topics.stop.store(true, Ordering::Release);
        self.handle.thread().unpark();
    }
}

type Admin = AdminClient<DefaultClientContext>;

/// What is wrong; `beat` is called between requests, and `untold` keeps why Kafka does not tell the topics'
/// limits, so that the log is told once.
fn check(
    config: &ClientConfig,
    questions: Questions,
    lanes: &[LaneTopics],
    runtime: &Handle,
    beat: &dyn Fn(),
    untold: &mut Option<String>,
) -> Vec<TopicProblem> {
    let of_kafka = |text| vec![TopicProblem::of_kafka(text)];
    let admin: Admin = match config.create() {
        Ok(admin) => admin,
        Err(error) => return of_kafka(format!("the Kafka client cannot be made: {error}")),
    };
    let mut problems = Vec::new();
    for lane in lanes {
        for topic in &lane.topics {
            beat();
            let state = match state(&admin, topic) {
                Ok(state) => state,
                Err(error) => {
                    // This client only sees that no answer comes; the producers hear why.
                    let reason = lanes.iter().find_map(|lane| lane.status.last_error());
                    let reason = reason.unwrap_or_else(|| error.to_string());
                    return of_kafka(format!("Kafka is not reached: {reason}"));
                }
            };
            if state == State::Absent && questions.create {
                match create_topic(&admin, topic, runtime) {
                    Ok(()) => tracing::info!(topic, "created the Kafka topic"),
                    Err(error) => {
                        let text = format!("topic {topic} cannot be created: {error}");
                        problems.push(TopicProblem::of(topic, text));
                    }
                }
            } else {
                problems.extend(state.problem(topic, &lane.lane));
            }
        }
    }
    if questions.limits {
        beat();
        // librdkafka takes no answer for good where it was asked twice for the same, as lanes may share a topic.
        let topics: BTreeSet<&str> =
            lanes.iter().flat_map(|lane| &lane.topics).map(String::as_str).collect();
        let (limits, why_not) = max_message_bytes(&admin, &topics, runtime);
        if why_not.is_some() && why_not != *untold {
            tracing::warn!(
                reason = why_not,
                "Kafka does not tell all topics' max.message.bytes: allow this user DescribeConfigs"
            );
        }
        *untold = why_not;
        lanes.iter().for_each(|lane| compare_limits(lane, &limits, &mut problems));
    }
    problems
}

/// What Kafka says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    There,
    Absent,
    /// This user may not know whether it is there.
    Forbidden,
    /// It is there and cannot be used now, or Kafka cannot tell.
    Unwell(RDKafkaErrorCode),
}

impl State {
    pub(super) fn of(topic: Option<&MetadataTopic>) -> State {
        match topic.map(|topic| (topic.error().map(RDKafkaErrorCode::from), topic)) {
            None => State::Absent,
            Some((None, topic)) if topic.partitions().is_empty() => State::Absent,
            Some((None, _)) => State::There,
            Some((
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic),
                _,
            )) => State::Absent,
            Some((Some(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => State::Forbidden,
            Some((Some(code), _)) => State::Unwell(code),
        }
    }

    fn problem(self, topic: &str, lane: &str) -> Option<TopicProblem> {
        let text = match self {
            State::There => return None,
            State::Absent => format!(
                "topic {topic} of lane {lane} does not exist: create it, or set kafka.create_topics: true"
            ),
            State::Forbidden => format!(
                "topic {topic} of lane {lane} may not be described by this Kafka user: allow it Describe and Write"
            ),
            State::Unwell(code) => format!("topic {topic} of lane {lane} cannot be used: {code}"),
        };
        Some(TopicProblem::of(topic, text))
    }
}

/// Holds the topics' limits against what the lane sends.
fn compare_limits(
    lane: &LaneTopics,
    limits: &BTreeMap<String, u32>,
    problems: &mut Vec<TopicProblem>,
) {
    let known = lane.topics.iter().filter_map(|topic| Some((topic, *limits.get(topic)?)));
    for (topic, bytes) in known.clone() {
        if let Some(inline_size) = lane.inline_size
            && record::max_bytes(inline_size) > bytes
        {
            let text = format!(
                "lanes.{}.inline_size ({inline_size} bytes) does not fit topic {topic}, which takes {bytes} \
                 bytes (max.message.bytes): write at most {}",
                lane.lane,
                bytes.saturating_sub(HEAD_MAX_BYTES),
            );
            problems.push(TopicProblem::of(topic, text));
        }
    }
    if let Some(smallest) = known.map(|(_, bytes)| bytes).min() {
        lane.status.set_topic_limit(smallest);
    }
}

fn state(admin: &Admin, topic: &str) -> KafkaResult<State> {
    let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    Ok(State::of(metadata.topics().iter().find(|known| known.name() == topic)))
}

fn create_topic(admin: &Admin, topic: &str, runtime: &Handle) -> Result<(), String> {
    // -1: the cluster's own defaults for partitions and replication.
    let new = NewTopic::new(topic, -1, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let results = runtime
        .block_on(admin.create_topics([&new], &options))
        .map_err(|error| error.to_string())?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(code.to_string()),
        }
    }
    Ok(())
}

/// The topics' limits in bytes, and why not of all, where Kafka does not tell it.
fn max_message_bytes(
    admin: &Admin,
    topics: &BTreeSet<&str>,
    runtime: &Handle,
) -> (BTreeMap<String, u32>, Option<String>) {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let results = match runtime.block_on(admin.describe_configs(&resources, &options)) {
        Ok(results) => results,
        Err(error) => return (BTreeMap::new(), Some(error.to_string())),
    };
    let limit = |resource: ConfigResource| {
        let OwnedResourceSpecifier::Topic(topic) = &resource.specifier else { return None };
        let bytes = resource.get("max.message.bytes")?.value.as_ref()?.parse().ok()?;
        Some((topic.clone(), bytes))
    };
    let why_not = results.iter().find_map(|result| result.as_ref().err().map(ToString::to_string));
    let limits: BTreeMap<String, u32> =
        results.into_iter().filter_map(Result::ok).filter_map(limit).collect();
    // Without the right to know it, the answer may also just lack them.
    let why_not =
        why_not.or_else(|| (limits.len() < topics.len()).then(|| "it has none".to_owned()));
    (limits, why_not)
}
