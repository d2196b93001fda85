//! What is known of one lane's Kafka: its producer tells how it is doing, and the check of its topics how
//! much they take.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::figures::KafkaFigures;

/// A lane says at most this often that its Kafka is not well, however often its producer is made anew.
const UNWELL_PAUSE: Duration = Duration::from_secs(30);

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
    /// The smallest `max.message.bytes` of the lane's topics; zero while it is not known.
    topic_limit: AtomicU32,
    /// The thread that asks for the limits.
    limits_thread: OnceLock<Thread>,
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

    /// Names the thread that asks for the limits.
    pub(crate) fn set_limits_thread(&self, thread: Thread) {
        // A second one would be a second check of the same topics, and there is one.
        let _ = self.limits_thread.set(thread);
    }

    /// Tells the sink how large a batch the lane's topics take, in bytes.
    pub fn set_topic_limit(&self, bytes: u32) {
        self.topic_limit.store(bytes, Ordering::Release);
    }

    /// A batch was too large for Kafka: the limits are not what they were, or a record is in the way.
    pub(crate) fn ask_for_limits(&self) {
        if let Some(thread) = self.limits_thread.get() {
            thread.unpark();
        }
    }

    /// Bytes of a batch for a lane whose configuration says so many: no more than its topics take.
    pub(crate) fn batch_size(&self, configured: u32) -> u32 {
        match self.topic_limit.load(Ordering::Acquire) {
            0 => configured,
            limit => configured.min(limit),
        }
    }
}

/// Why a client does not reach Kafka, and when the log was told.
#[derive(Default)]
struct Trouble {
    reason: Option<String>,
    /// The reason says why, and not only that a connection ended.
    names_the_cause: bool,
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
        if names_the_cause || !self.names_the_cause {
            self.reason = Some(reason.to_owned());
            self.names_the_cause = names_the_cause;
        }
    }

    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
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
        self.reason = None;
        self.names_the_cause = false;
        std::mem::take(&mut self.is_open_in_log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
