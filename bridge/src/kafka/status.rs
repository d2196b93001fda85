//! What is known of one lane's Kafka: its producer tells how it is doing, and the check of its topics how
//! much they take.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::facts::TopicFacts;
use super::figures::KafkaFigures;
use super::log_lines::LogLine;

/// A lane says at most this often that its Kafka is not well, however often its producer is made anew.
const UNWELL_PAUSE: Duration = Duration::from_secs(30);

/// So long a reason that names the cause stands against one that says only that a connection ended: librdkafka
/// repeats what goes on being so within half of it.
const CAUSE_STANDS: Duration = Duration::from_secs(60);

/// Of the time, reading a lane's statistics takes at most one in so many parts: with thousands of partitions they
/// are megabytes, and read every few seconds only.
const READ_PART: u32 = 500;

/// What one lane's producer tells about itself, for readiness and metrics.
#[derive(Default)]
pub struct KafkaStatus {
    /// The broker gave the producer its id: the next record does not wait for that.
    producer_ready: AtomicBool,
    /// librdkafka's last statistics, its own JSON.
    statistics: Mutex<Vec<u8>>,
    read: Mutex<Option<Read>>,
    /// What is wrong with Kafka, apart from single records.
    trouble: Mutex<Trouble>,
    /// Why a produce request failed last.
    not_taken: Mutex<Option<Told>>,
    /// Of the lane's topics that are there, by name.
    facts: Mutex<HashMap<String, TopicFacts>>,
    /// Grows with each change of them.
    facts_version: AtomicU64,
    /// Unparked at each change of them.
    lane_thread: Mutex<Option<Thread>>,
    /// Who asks Kafka for them.
    topics_thread: OnceLock<Thread>,
}

/// What was read of the statistics, and what that cost.
struct Read {
    at: Instant,
    took: Duration,
    figures: KafkaFigures,
}

impl KafkaStatus {
    pub fn is_producer_ready(&self) -> bool {
        self.producer_ready.load(Ordering::Acquire)
    }

    /// What went wrong last, since the producer last was well.
    pub fn last_error(&self) -> Option<String> {
        self.trouble.lock().reason().map(str::to_owned)
    }

    /// Why Kafka took nothing, as far as it was told within this time: what it answered, or else what a connection
    /// ended by.
    pub fn reason_within(&self, time: Duration) -> Option<String> {
        let is_new = |at: Instant| at.elapsed() <= time;
        let not_taken = self.not_taken.lock().clone().filter(|told| is_new(told.at));
        let trouble = || {
            let trouble = self.trouble.lock();
            let reason = trouble.told.clone().filter(|told| is_new(told.at));
            reason.map(|told| told.reason)
        };
        // A request that ended with its connection says less than the connection.
        match not_taken {
            Some(Told { names_the_cause: true, reason, .. }) => Some(reason),
            other => trouble().or_else(|| other.map(|told| told.reason)),
        }
    }

    /// Heeds a line of the producer's log; true if our log is to be told that Kafka is well again.
    pub(crate) fn heed(&self, line: &LogLine<'_>) -> bool {
        match *line {
            LogLine::ProducerId { is_there } => self.set_producer_ready(is_there),
            LogLine::NotTaken(reason) => {
                // Otherwise librdkafka itself says that no answer came.
                let names_the_cause = !reason.starts_with("Local:");
                let reason = match names_the_cause {
                    true => reason.to_owned(),
                    false => format!("Kafka does not answer ({reason})"),
                };
                let told = Told { at: Instant::now(), reason, names_the_cause };
                *self.not_taken.lock() = Some(told);
                false
            }
            LogLine::FewerPartitions => false,
        }
    }

    /// What the statistics say, the last ones or, where there is much to read in them, earlier ones; None before
    /// the first.
    pub fn figures(&self) -> Option<KafkaFigures> {
        let mut read = self.read.lock();
        if let Some(read) = read.as_ref()
            && read.at.elapsed() < read.took * READ_PART
        {
            return Some(read.figures.clone());
        }
        let at = Instant::now();
        // The lane's thread waits for no reader.
        let raw = self.statistics.lock().clone();
        let statistics = serde_json::from_slice(&raw).ok()?;
        let figures = KafkaFigures::of(statistics);
        *read = Some(Read { at, took: at.elapsed(), figures: figures.clone() });
        Some(figures)
    }

    /// Notes whether the producer has its id; true if the log is to be told that Kafka is well again.
    pub(crate) fn set_producer_ready(&self, is_ready: bool) -> bool {
        let was_ready = self.producer_ready.swap(is_ready, Ordering::AcqRel);
        is_ready && !was_ready && self.trouble.lock().is_over()
    }

    pub(crate) fn set_statistics(&self, json: &[u8]) {
        let mut known = self.statistics.lock();
        known.clear();
        known.extend_from_slice(json);
    }

    /// Notes what is wrong with Kafka; returns it when it is time to tell the log.
    pub(crate) fn note_trouble(
        &self,
        code: Option<RDKafkaErrorCode>,
        reason: &str,
    ) -> Option<String> {
        let mut trouble = self.trouble.lock();
        trouble.note(code, reason);
        trouble.is_news().then(|| trouble.reason().unwrap_or(reason).to_owned())
    }

    /// Names the thread that asks Kafka for the facts.
    pub(crate) fn set_topics_thread(&self, thread: Thread) {
        // A second one would be a second check of the same topics, and there is one.
        let _ = self.topics_thread.set(thread);
    }

    /// Something does not fit what is known of the topics: the thread that asks Kafka checks soon.
    pub fn ask_for_facts(&self) {
        if let Some(thread) = self.topics_thread.get() {
            thread.unpark();
        }
    }

    /// Names the thread that is unparked at each change of the facts.
    pub fn wake_on_change(&self, thread: Thread) {
        *self.lane_thread.lock() = Some(thread);
    }

    /// Notes what Kafka says of a topic; limits that it does not tell stay as they were known.
    pub fn set_topic(&self, topic: &str, facts: TopicFacts) {
        let mut known = self.facts.lock();
        let facts = facts.with_limits_of(known.get(topic));
        if known.get(topic) == Some(&facts) {
            return;
        }
        known.insert(topic.to_owned(), facts);
        self.facts_changed();
    }

    /// The topic is not there, or not for us.
    pub fn forget_topic(&self, topic: &str) {
        if self.facts.lock().remove(topic).is_some() {
            self.facts_changed();
        }
    }

    fn facts_changed(&self) {
        self.facts_version.fetch_add(1, Ordering::Release);
        if let Some(thread) = &*self.lane_thread.lock() {
            thread.unpark();
        }
    }

    /// Grows with each change of what is known of any topic.
    pub fn facts_version(&self) -> u64 {
        self.facts_version.load(Ordering::Acquire)
    }

    /// What is known of a topic; None while nothing is, and when it is gone.
    pub fn topic(&self, topic: &str) -> Option<TopicFacts> {
        self.facts.lock().get(topic).cloned()
    }

    /// Partitions without a leader, by topic.
    pub fn without_leader(&self) -> Vec<(String, u32)> {
        let facts = self.facts.lock();
        let each = facts.iter().flat_map(|(topic, facts)| {
            facts.leaderless.iter().map(move |number| (topic.clone(), *number))
        });
        let mut partitions: Vec<(String, u32)> = each.collect();
        partitions.sort_unstable();
        partitions
    }
}

/// What was heard of Kafka, and when.
#[derive(Clone)]
struct Told {
    at: Instant,
    reason: String,
    /// It says why, and not only that a connection ended or no answer came.
    names_the_cause: bool,
}

/// Why a client does not reach Kafka, and when the log was told.
#[derive(Default)]
struct Trouble {
    told: Option<Told>,
    /// When the log was told last.
    logged_at: Option<Instant>,
    /// The log was told, and not yet that it is over.
    is_open_in_log: bool,
}

impl Trouble {
    /// Notes an error. A connection that only ended takes the place of no better reason: it follows each
    /// refusal of a password or a certificate.
    fn note(&mut self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let names_the_cause = !matches!(
            code,
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        let stands = |told: &Told| told.names_the_cause && told.at.elapsed() < CAUSE_STANDS;
        if names_the_cause || !self.told.as_ref().is_some_and(stands) {
            let reason = reason.to_owned();
            self.told = Some(Told { at: Instant::now(), reason, names_the_cause });
        }
    }

    fn reason(&self) -> Option<&str> {
        self.told.as_ref().map(|told| told.reason.as_str())
    }

    /// It is time to tell the log.
    fn is_news(&mut self) -> bool {
        let is_news = self.logged_at.is_none_or(|at| at.elapsed() >= UNWELL_PAUSE);
        if is_news {
            self.logged_at = Some(Instant::now());
            self.is_open_in_log = true;
        }
        is_news
    }

    /// Kafka is well; true if the log is to be told.
    fn is_over(&mut self) -> bool {
        self.told = None;
        std::mem::take(&mut self.is_open_in_log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::TimeLimits;

    #[test]
    fn a_change_of_what_is_known_of_a_topic_is_told_and_no_other() {
        let times = Some(TimeLimits { before_max_ms: 1, after_max_ms: 2 });
        let facts = |partitions, max_message_bytes| TopicFacts {
            partitions,
            leaderless: Vec::new(),
            max_message_bytes,
            times: max_message_bytes.and(times),
        };
        let status = KafkaStatus::default();
        status.wake_on_change(std::thread::current());
        // A wake-up of before would be taken for one of these.
        let woken = |wait| {
            let began = Instant::now();
            std::thread::park_timeout(wait);
            began.elapsed() < wait
        };
        assert_eq!((status.topic("a"), status.facts_version()), (None, 0));
        status.set_topic("a", facts(3, Some(1000)));
        assert!(woken(Duration::from_secs(60)));
        status.set_topic("b", facts(1, Some(500)));
        let version = status.facts_version();
        assert!(woken(Duration::from_secs(60)));
        status.set_topic("b", facts(1, None));
        assert_eq!(status.facts_version(), version, "what the answer lacks is no change");
        assert!(!woken(Duration::from_millis(20)));
        assert_eq!(status.topic("b"), Some(facts(1, Some(500))));
        status.set_topic("a", facts(4, None));
        assert_eq!(status.topic("a").map(|facts| facts.partitions), Some(4));
        status.forget_topic("b");
        status.forget_topic("b");
        assert_eq!((status.topic("b"), status.facts_version()), (None, version + 2));
    }

    #[test]
    fn statistics_that_cost_much_are_read_seldom() {
        let status = KafkaStatus::default();
        assert_eq!(status.figures(), None);
        let told = |messages: u64| {
            let statistics = rdkafka::Statistics { msg_cnt: messages, ..Default::default() };
            serde_json::to_vec(&statistics).expect("it can be written")
        };
        let queued = || status.figures().expect("there are some").queue_messages;
        status.set_statistics(&told(1));
        assert_eq!(queued(), 1);
        status.read.lock().as_mut().expect("it was read").took = Duration::from_secs(60);
        status.set_statistics(&told(2));
        assert_eq!(queued(), 1, "not yet");
        status.read.lock().as_mut().expect("it was read").took = Duration::ZERO;
        assert_eq!(queued(), 2);
    }

    #[test]
    fn why_nothing_is_taken_is_what_says_most_of_what_was_told_lately() {
        let long = Duration::from_secs(60);
        let status = KafkaStatus::default();
        assert_eq!(status.reason_within(long), None);
        let not_taken = |why| {
            let line = format!("b/1: ProduceRequest failed: {why}: actions Retry");
            assert!(
                !status.heed(&LogLine::read("REQERR", &line).expect("it tells something")),
                "it is not well again"
            );
        };
        not_taken("Local: Timed out");
        let reason = || status.reason_within(long).expect("it is known");
        assert_eq!(reason(), "Kafka does not answer (Local: Timed out)");
        let ended = Some(RDKafkaErrorCode::BrokerTransportFailure);
        status.note_trouble(ended, "Connection refused");
        assert_eq!(reason(), "Connection refused");
        not_taken("Broker: Not enough in-sync replicas");
        assert_eq!(reason(), "Broker: Not enough in-sync replicas");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(status.reason_within(Duration::from_millis(1)), None, "that was before");
    }

    #[test]
    fn what_is_wrong_with_kafka_is_told_by_its_cause_and_seldom() {
        let mut trouble = Trouble::default();
        let transport = Some(RDKafkaErrorCode::BrokerTransportFailure);
        trouble.note(transport, "disconnected");
        assert_eq!(trouble.reason(), Some("disconnected"));
        trouble.note(Some(RDKafkaErrorCode::Authentication), "wrong password");
        trouble.note(transport, "disconnected");
        assert_eq!(trouble.reason(), Some("wrong password"));
        assert!(trouble.is_news());
        assert!(!trouble.is_news(), "not again within half a minute");
        assert!(trouble.is_over());
        assert!(!trouble.is_over(), "once");
        assert_eq!(trouble.reason(), None);
        assert!(!trouble.is_news(), "also after a recovery");
    }
}
