//! Are the lanes' Kafka topics there, and do they take what the lanes send? Asked at start until all
//! is well, then now and then, on a thread of its own: Kafka may be away for hours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tokio::runtime::Handle;

use super::{KafkaStatus, RECONNECT_MAX_MS, RECORD_OVERHEAD_MAX, properties};

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between attempts while something is missing.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause between checks while all is well.
const CHECK_PAUSE: Duration = Duration::from_secs(60);
/// However often it is asked for, checks are this far apart.
const CHECKS_APART: Duration = Duration::from_millis(200);

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
    pub inline_size: u32,
    pub status: Arc<KafkaStatus>,
}

/// What is known of the lanes' topics.
pub struct Topics {
    /// Why the lanes cannot land everything; None while Kafka was never asked.
    problems: Mutex<Option<Vec<String>>>,
    reached: AtomicBool,
    stop: AtomicBool,
    finished: AtomicBool,
}

impl Topics {
    /// What is wrong, for people; empty when all is well.
    pub fn problems(&self) -> Vec<String> {
        let unknown = || vec!["Kafka was not reached yet".to_owned()];
        self.problems.lock().clone().unwrap_or_else(unknown)
    }

    /// All topics were there and as needed at least once.
    pub fn were_all_well(&self) -> bool {
        self.reached.load(Ordering::Acquire)
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
            reached: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        });
        let config = client_config(bootstrap_servers, properties);
        let shared = Arc::clone(&topics);
        let handle = thread::Builder::new().name("kafka-topics".to_owned()).spawn(move || {
            let _finished = Finished(&shared);
            for lane in &lanes {
                let _ = lane.status.limits_thread.set(thread::current());
            }
            while !shared.stop.load(Ordering::Acquire) {
                let problems = check(&config, questions, &lanes, &runtime);
                let well = problems.is_empty();
                let mut known = shared.problems.lock();
                if known.as_ref() != Some(&problems) {
                    for problem in &problems {
                        tracing::warn!(problem, "Kafka is not as the lanes need it");
                    }
                }
                *known = Some(problems);
                drop(known);
                if well {
                    shared.reached.store(true, Ordering::Release);
                }
                // A lane whose batches are too large for Kafka asks for a check ahead of its time.
                thread::sleep(CHECKS_APART);
                thread::park_timeout(if well { CHECK_PAUSE } else { RETRY_PAUSE });
            }
        })?;
        Ok((Arc::clone(&topics), TopicsThread { topics, handle }))
    }
}

/// librdkafka's configuration for the questions.
pub(super) fn client_config(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("reconnect.backoff.max.ms", RECONNECT_MAX_MS);
    for (name, value) in properties::without_producers(properties) {
        config.set(name, value);
    }
    config
        .set(properties::canonical("bootstrap.servers"), bootstrap_servers)
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Critical);
    config
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

fn check(
    config: &ClientConfig,
    questions: Questions,
    lanes: &[LaneTopics],
    runtime: &Handle,
) -> Vec<String> {
    let admin: AdminClient<DefaultClientContext> = match config.create() {
        Ok(admin) => admin,
        Err(error) => return vec![format!("the Kafka client cannot be made: {error}")],
    };
    let mut problems = Vec::new();
    for lane in lanes {
        for topic in &lane.topics {
            match exists(&admin, topic) {
                Ok(true) => {}
                Ok(false) if questions.create => match create_topic(&admin, topic, runtime) {
                    Ok(()) => tracing::info!(topic, "created the Kafka topic"),
                    Err(error) => {
                        problems.push(format!("topic {topic} cannot be created: {error}"));
                    }
                },
                Ok(false) => problems.push(format!(
                    "topic {topic} of lane {} does not exist: create it, or set kafka.create_topics: true",
                    lane.lane
                )),
                Err(error) => return vec![format!("Kafka is not reached: {error}")],
            }
        }
    }
    if questions.limits {
        let topics = lanes.iter().flat_map(|lane| &lane.topics).map(String::as_str).collect();
        let limits = max_message_bytes(&admin, topics, runtime);
        lanes.iter().for_each(|lane| compare_limits(lane, &limits, &mut problems));
    }
    problems
}

/// Holds the topics' limits against what the lane sends.
fn compare_limits(lane: &LaneTopics, limits: &BTreeMap<String, u32>, problems: &mut Vec<String>) {
    let known = lane.topics.iter().filter_map(|topic| Some((topic, *limits.get(topic)?)));
    for (topic, bytes) in known.clone() {
        // Half of the overhead's bound is more than any real head takes.
        if lane.inline_size.saturating_add(RECORD_OVERHEAD_MAX / 2) > bytes {
            problems.push(format!(
                "lanes.{}.inline_size ({} bytes) does not fit topic {topic}, which takes {bytes} bytes \
                 (max.message.bytes): write at most {}",
                lane.lane,
                lane.inline_size,
                bytes.saturating_sub(RECORD_OVERHEAD_MAX / 2),
            ));
        }
    }
    if let Some(smallest) = known.map(|(_, bytes)| bytes).min() {
        lane.status.set_topic_limit(smallest);
    }
}

fn exists(admin: &AdminClient<DefaultClientContext>, topic: &str) -> KafkaResult<bool> {
    let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    Ok(found.is_some_and(|known| known.error().is_none() && !known.partitions().is_empty()))
}

fn create_topic(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
    runtime: &Handle,
) -> Result<(), String> {
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

/// The topics' limits in bytes; without those of which Kafka does not tell it.
fn max_message_bytes(
    admin: &AdminClient<DefaultClientContext>,
    topics: Vec<&str>,
    runtime: &Handle,
) -> BTreeMap<String, u32> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let resources: Vec<_> = topics.into_iter().map(ResourceSpecifier::Topic).collect();
    let results = match runtime.block_on(admin.describe_configs(&resources, &options)) {
        Ok(results) => results,
        Err(error) => {
            tracing::warn!(%error, "Kafka does not tell its topics' limits");
            return BTreeMap::new();
        }
    };
    let limit = |resource: ConfigResource| {
        let OwnedResourceSpecifier::Topic(topic) = &resource.specifier else { return None };
        let bytes = resource.get("max.message.bytes")?.value.as_ref()?.parse().ok()?;
        Some((topic.clone(), bytes))
    };
    results.into_iter().filter_map(Result::ok).filter_map(limit).collect()
}
