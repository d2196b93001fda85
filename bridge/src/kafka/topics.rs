//! Whether the lanes' Kafka topics are there, and take what the lanes send. Asked at start until all is
//! well, then now and then, on a thread of its own: Kafka may be away for hours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use tokio::runtime::Handle;

use super::description::{self, Admin, Limits, Partitions, State};
use super::{KafkaStatus, TopicFacts, client};
use crate::fail_point;
use crate::record::{self, HEAD_MAX_BYTES};

/// Pause between attempts while something is missing.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause between checks while all is well: more partitions are known within it.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// How old the topics' limits may be while all is well.
const LIMITS_GOOD_FOR: Duration = Duration::from_secs(60);
/// However often it is asked for, checks are this far apart.
const CHECKS_APART: Duration = Duration::from_millis(200);
/// How often the thread shows that it lives while it waits.
const BEAT: Duration = Duration::from_secs(5);
/// Of partitions without a leader, a problem names so many.
const LEADERLESS_NAMED: usize = 5;

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
    /// Some partitions of the topic are well, and whatever goes there lands.
    pub is_partial: bool,
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
        TopicProblem { topic: None, text, is_partial: false }
    }

    fn of(topic: &str, text: String) -> TopicProblem {
        TopicProblem { topic: Some(topic.to_owned()), text, is_partial: false }
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

    /// Waits until it is woken, at most so long, and lives meanwhile. True if it was woken.
    fn rest(&self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        loop {
            self.beat();
            let left = end.saturating_duration_since(Instant::now());
            let nap = left.min(BEAT);
            let began = Instant::now();
            thread::park_timeout(nap);
            let was_woken = began.elapsed() < nap;
            if nap == left || was_woken {
                return was_woken;
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
                lane.status.set_topics_thread(thread::current());
            }
            let mut watch = Watch::new(config, questions, lanes, runtime);
            while !shared.stop.load(Ordering::Acquire) {
                fail_point::ask_thread();
                let problems = watch.check(&|| shared.beat());
                let is_well = problems.is_empty() && !watch.is_unsure();
                let mut known = shared.problems.lock();
                if known.as_ref() != Some(&problems) {
                    for problem in &problems {
                        let problem = &*problem.text;
                        tracing::warn!(problem, "Kafka is not as the lanes need it");
                    }
                }
                *known = Some(problems);
                drop(known);
                // A lane whose batches do not fit asks for a check ahead of its time.
                thread::sleep(CHECKS_APART);
                let was_asked = shared.rest(if is_well { CHECK_PAUSE } else { RETRY_PAUSE });
                if was_asked || !is_well {
                    watch.limits_at = None;
                }
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

/// What is asked, and what is known.
struct Watch {
    config: ClientConfig,
    questions: Questions,
    lanes: Vec<LaneTopics>,
    runtime: Handle,
    /// While Kafka answers, it is kept.
    admin: Option<Admin>,
    limits: BTreeMap<String, Limits>,
    /// When Kafka told them; None if they are to be asked for.
    limits_at: Option<Instant>,
    /// Why Kafka does not tell the limits, so that the log is told once.
    untold: Option<String>,
    /// Topics that were just created, or of which one answer says that they are smaller now: a broker that is
    /// behind says so too, and the next answer decides.
    unsure: BTreeSet<String>,
}

impl Watch {
    fn new(
        config: ClientConfig,
        questions: Questions,
        lanes: Vec<LaneTopics>,
        runtime: Handle,
    ) -> Watch {
        Watch {
            config,
            questions,
            lanes,
            runtime,
            admin: None,
            limits: BTreeMap::new(),
            limits_at: None,
            untold: None,
            unsure: BTreeSet::new(),
        }
    }

    /// What was answered last is not the last word.
    fn is_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// What is wrong; `beat` is called between requests.
    fn check(&mut self, beat: &dyn Fn()) -> Vec<TopicProblem> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => match self.config.create() {
                Ok(admin) => admin,
                Err(error) => {
                    let text = format!("the Kafka client cannot be made: {error}");
                    return vec![TopicProblem::of_kafka(text)];
                }
            },
        };
        let topics: BTreeSet<String> =
            self.lanes.iter().flat_map(|lane| &lane.topics).cloned().collect();
        let (mut problems, mut there) = (Vec::new(), BTreeMap::new());
        for topic in topics {
            beat();
            match description::partitions(&admin, &topic) {
                Ok((State::There, partitions)) => {
                    there.insert(topic, partitions);
                }
                Ok((state, _)) => problems.extend(self.missing(&admin, &topic, state)),
                Err(error) => {
                    // This client only sees that no answer comes; the producers hear why.
                    let reason = self.lanes.iter().find_map(|lane| lane.status.last_error());
                    let reason = reason.unwrap_or_else(|| error.to_string());
                    let text = format!("Kafka is not reached: {reason}");
                    return vec![TopicProblem::of_kafka(text)];
                }
            }
        }
        let is_due = self.limits_at.is_none_or(|at| at.elapsed() >= LIMITS_GOOD_FOR);
        if self.questions.limits && is_due {
            beat();
            self.ask_for_limits(&admin, there.keys().map(String::as_str).collect());
        }
        self.admin = Some(admin);
        for (topic, partitions) in there {
            problems.extend(self.note(&topic, partitions));
        }
        self.lanes.iter().for_each(|lane| compare_limits(lane, &self.limits, &mut problems));
        problems
    }

    fn ask_for_limits(&mut self, admin: &Admin, topics: BTreeSet<&str>) {
        if topics.is_empty() {
            return;
        }
        let (limits, why_not) = description::limits(admin, &topics, &self.runtime);
        if why_not.is_some() && why_not != self.untold {
            tracing::warn!(
                reason = why_not,
                "Kafka does not tell all topics' max.message.bytes: allow this user DescribeConfigs"
            );
        }
        self.untold = why_not;
        self.limits.extend(limits);
        self.limits_at = Some(Instant::now());
    }

    fn lanes_of<'w>(&'w self, topic: &'w str) -> impl Iterator<Item = &'w LaneTopics> {
        self.lanes.iter().filter(move |lane| lane.topics.iter().any(|one| one == topic))
    }

    /// Tells the lanes about a topic that is there, and says what is wrong with it.
    fn note(&mut self, topic: &str, partitions: Partitions) -> Option<TopicProblem> {
        let is_smaller = self.lanes_of(topic).any(|lane| {
            let known = lane.status.topic(topic);
            known.is_some_and(|known| partitions.count < known.partitions)
        });
        if is_smaller && self.unsure.insert(topic.to_owned()) {
            return None;
        }
        self.unsure.remove(topic);
        let limits = self.limits.get(topic);
        let facts = TopicFacts {
            partitions: partitions.count,
            leaderless: partitions.leaderless,
            max_message_bytes: limits.map(|limits| limits.max_message_bytes),
            times: limits.and_then(|limits| limits.times),
        };
        self.lanes_of(topic).for_each(|lane| lane.status.set_topic(topic, facts.clone()));
        leaderless(topic, &self.lanes_of(topic).next()?.lane, &facts)
    }

    /// Creates a topic that is not there, if that is wanted, or says what is wrong with it.
    fn missing(&mut self, admin: &Admin, topic: &str, state: State) -> Option<TopicProblem> {
        if matches!(state, State::Absent | State::Forbidden) {
            self.limits.remove(topic);
            self.lanes_of(topic).for_each(|lane| lane.status.forget_topic(topic));
        }
        let lane = &*self.lanes_of(topic).next()?.lane;
        let text = match state {
            State::There => return None,
            State::Absent if self.questions.create => {
                match description::create(admin, topic, &self.runtime) {
                    Ok(()) => {
                        tracing::info!(topic, "created the Kafka topic");
                        self.unsure.insert(topic.to_owned());
                        return None;
                    }
                    Err(error) => format!("topic {topic} cannot be created: {error}"),
                }
            }
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

fn leaderless(topic: &str, lane: &str, facts: &TopicFacts) -> Option<TopicProblem> {
    let TopicFacts { partitions: count, leaderless, .. } = facts;
    if leaderless.is_empty() {
        return None;
    }
    let named: Vec<String> =
        leaderless.iter().take(LEADERLESS_NAMED).map(ToString::to_string).collect();
    let more = if leaderless.len() > named.len() { ", …" } else { "" };
    let text = format!(
        "topic {topic} of lane {lane}: {} of {count} partitions have no leader ({}{more}): start the brokers that have them",
        leaderless.len(),
        named.join(", ")
    );
    let is_partial = leaderless.len() < *count as usize;
    Some(TopicProblem { is_partial, ..TopicProblem::of(topic, text) })
}

/// Holds the topics' limits against what the lane sends.
fn compare_limits(
    lane: &LaneTopics,
    limits: &BTreeMap<String, Limits>,
    problems: &mut Vec<TopicProblem>,
) {
    let Some(inline_size) = lane.inline_size else { return };
    let known = lane.topics.iter().filter_map(|topic| Some((topic, limits.get(topic)?)));
    for (topic, Limits { max_message_bytes: bytes, .. }) in known {
        if record::max_bytes(inline_size) > *bytes {
            let text = format!(
                "lanes.{}.inline_size ({inline_size} bytes) does not fit topic {topic}, which takes {bytes} \
                 bytes (max.message.bytes): write at most {}",
                lane.lane,
                bytes.saturating_sub(HEAD_MAX_BYTES),
            );
            problems.push(TopicProblem::of(topic, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(status: &Arc<KafkaStatus>, runtime: &Handle) -> Watch {
        let lane = LaneTopics {
            lane: "fast".to_owned(),
            topics: vec!["t".to_owned()],
            inline_size: None,
            status: Arc::clone(status),
        };
        let questions = Questions { create: false, limits: false };
        Watch::new(ClientConfig::new(), questions, vec![lane], runtime.clone())
    }

    fn partitions(count: u32, leaderless: &[u32]) -> Partitions {
        Partitions { count, leaderless: leaderless.to_vec() }
    }

    #[test]
    fn a_topic_is_smaller_when_two_answers_say_so() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it can be");
        let status = Arc::new(KafkaStatus::default());
        let mut watch = watch(&status, runtime.handle());
        let known = || status.topic("t").expect("it is there").partitions;
        for (count, expected, is_unsure) in
            [(3, 3, false), (6, 6, false), (3, 6, true), (6, 6, false), (3, 6, true), (3, 3, false)]
        {
            assert_eq!(watch.note("t", partitions(count, &[])), None);
            assert_eq!((known(), watch.is_unsure()), (expected, is_unsure));
        }
    }

    #[test]
    fn partitions_without_a_leader_are_a_part_of_a_topic_unless_they_are_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it can be");
        let status = Arc::new(KafkaStatus::default());
        let mut watch = watch(&status, runtime.handle());
        let some = watch.note("t", partitions(8, &[0, 1, 2, 3, 4, 7])).expect("it is told");
        assert!(some.is_partial);
        assert!(
            some.text.contains("6 of 8 partitions have no leader (0, 1, 2, 3, 4, …)"),
            "{some:?}"
        );
        assert_eq!(status.without_leader().len(), 6);
        let all = watch.note("t", partitions(2, &[0, 1]));
        assert_eq!(all, None, "it is smaller: the next answer decides");
        let all = watch.note("t", partitions(2, &[0, 1])).expect("it is told");
        assert!(!all.is_partial, "{all:?}");
    }
}
