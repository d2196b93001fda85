//! The lane's thread with a sink that fails whole batches, as Kafka does. Not the sink in memory, because
//! that one decides all it has at once: here several batches are on their way at any time, so that the
//! lane never finds its sink empty by chance.

use std::collections::BTreeMap;
use std::thread;

use prost::Message as _;

use super::*;
use crate::format::Format;
use crate::kafka_topic::TopicName;
use crate::key::{KeyStrategy, Template};
use crate::mailbox::{Mailbox, Mark};
use crate::message::Carriage;
use crate::receipt::Receipt;
use crate::record::RecordBuf;
use crate::sink::{Decided, Limits, NotTaken, Token, Verdict};

/// How long the sink gathers a topic's batch.
const LINGER: Duration = Duration::from_millis(5);
/// How long it takes to decide a batch, with its gathering.
const ROUND_TRIP: Duration = Duration::from_millis(15);
const TICK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest batch that the sink takes, in bytes of values.
const BATCH_MAX: usize = 200;

/// What a sink stored: topic and key of each record, in order.
type Stored = Arc<Mutex<Vec<(String, String)>>>;

/// Gathers batches by topic, and has some on their way; one that is too large fails with everything in
/// it.
struct Batches {
    stored: Stored,
    batches: Vec<Batch>,
    returned: Vec<Decided>,
}

struct Batch {
    topic: String,
    began: Instant,
    records: Vec<(Token, RecordBuf)>,
}

impl Sink for Batches {
    fn partitions(&mut self, _: &str) -> Option<u32> {
        Some(1)
    }

    fn limits(&mut self, _: &str) -> Limits {
        let (batch_bytes, batch_records) = (u32::MAX, u32::MAX);
        Limits { batch_bytes, batch_records, linger: Duration::ZERO, times: None }
    }

    fn append(&mut self, record: RecordBuf, _: u32, token: Token) -> Result<(), NotTaken> {
        let topic = record.as_record().topic().to_owned();
        let gathers = |batch: &&mut Batch| batch.topic == topic && batch.began.elapsed() < LINGER;
        match self.batches.iter_mut().find(gathers) {
            Some(batch) => batch.records.push((token, record)),
            None => {
                let (began, records) = (Instant::now(), vec![(token, record)]);
                self.batches.push(Batch { topic, began, records });
            }
        }
        Ok(())
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        decided.append(&mut self.returned);
        // By one moment for all: no batch becomes due while those before it are passed over.
        let now = Instant::now();
        let is_due = |batch: &mut Batch| now.saturating_duration_since(batch.began) >= ROUND_TRIP;
        for Batch { topic, records, .. } in self.batches.extract_if(.., is_due) {
            let size: usize =
                records.iter().map(|(_, record)| record.as_record().value().len()).sum();
            for (token, record) in records {
                let key = String::from_utf8_lossy(record.as_record().key()).into_owned();
                let verdict = if size > BATCH_MAX {
                    Verdict::TooLarge(record)
                } else {
                    self.stored.lock().push((topic.clone(), key));
                    Verdict::Durable
                };
                decided.push(Decided { token, verdict });
            }
        }
    }

    fn is_broken(&self) -> bool {
        false
    }

    fn reset(&mut self) {
        for (token, record) in self.batches.drain(..).flat_map(|batch| batch.records) {
            let verdict = Verdict::Undecided { record, reason: "reset".into() };
            self.returned.push(Decided { token, verdict });
        }
    }
}

/// A running lane.
struct Running {
    lane: Arc<Lane>,
    stored: Stored,
    thread: LaneThread,
}

fn run(name: &str, topics: &[&str], dead_letter: Option<Arc<Lane>>) -> Running {
    let lane = Lane::new(
        &LanePlan {
            name: name.to_owned(),
            topic: TopicName::Template {
                template: Template::parse("{stream}").expect("a template"),
                allowed: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            },
            key: KeyStrategy::DeviceId,
            format: Format::Envelope,
            inline_size: 1024,
            gather: Duration::from_millis(2),
            properties: BTreeMap::new(),
            inline_memory: 1024 * 1024,
            large_memory: 0,
        },
        dead_letter.map(|lane| DeadLetters::new(Format::Envelope, lane, None)),
        Arc::default(),
    );
    let stored = Stored::default();
    let sink = Batches { stored: Arc::clone(&stored), batches: Vec::new(), returned: Vec::new() };
    let watched = Arc::clone(&lane);
    let factory = move || {
        let lane = thread::current();
        // In place of librdkafka's hook.
        thread::spawn(move || {
            while !watched.is_finished() {
                lane.unpark();
                thread::sleep(TICK);
            }
        });
        Box::new(sink) as Box<dyn Sink>
    };
    let thread = lane.start(Box::new(factory)).expect("a thread can be started");
    Running { lane, stored, thread }
}

fn submit(lane: &Lane, topic: &str, key: &str, size: usize, mailbox: &Arc<Mailbox>, slot: u32) {
    let envelope = proto::v1::Envelope {
        message_id: vec![0; 16],
        device_id: "x".repeat(size),
        ..Default::default()
    };
    let mut record = RecordBuf::default();
    record.begin(topic, 0);
    record.key(|out| out.extend_from_slice(key.as_bytes()));
    record.value(|out| out.extend_from_slice(&envelope.encode_to_vec()));
    lane.account.share(Carriage::Inline).take(1);
    let reply_to = Some((Arc::clone(mailbox), slot));
    let receipt = Receipt::open(Arc::clone(&lane.account), Carriage::Inline, 1, reply_to);
    let pending = Pending { receipt, on_landing: Outcome::Landed, submitted: Instant::now() };
    lane.submit(record.as_record(), pending);
}

fn outcomes(mailbox: &Mailbox, count: usize) -> Vec<Mark> {
    let mut marks = Vec::new();
    let end = Instant::now() + PATIENCE;
    while marks.len() < count {
        mailbox.collect(std::task::Waker::noop(), &mut marks);
        assert!(Instant::now() < end, "{} of {count} outcomes", marks.len());
        thread::sleep(TICK);
    }
    marks
}

#[test]
fn a_record_too_large_harms_none_that_come_beside_it() {
    let letters = run("dead-letter", &["dead"], None);
    let running = run("fast", &["fast"], Some(Arc::clone(&letters.lane)));
    let mailbox = Arc::new(Mailbox::default());
    for slot in 0..300 {
        // Small ones come all the time, also while the large ones are tried alone.
        let size = if slot % 100 == 50 { 2 * BATCH_MAX } else { 20 };
        submit(&running.lane, "fast", &format!("{slot:03}"), size, &mailbox, slot);
        thread::sleep(TICK);
    }
    let marks = outcomes(&mailbox, 300);
    let refused: Vec<u32> =
        marks.iter().filter(|mark| mark.outcome != Outcome::Landed).map(|mark| mark.slot).collect();
    assert_eq!(refused, [50, 150, 250], "only what is too large alone");
    let keys: Vec<String> = running.stored.lock().iter().map(|(_, key)| key.clone()).collect();
    assert_eq!(keys.len(), 297);
    assert!(keys.is_sorted(), "in order: {keys:?}");
    running.thread.stop();
    letters.thread.stop();
}

#[test]
fn a_record_too_large_finds_its_moment_beside_a_busy_topic() {
    let letters = run("dead-letter", &["dead"], None);
    let running = run("fast", &["one", "other"], Some(Arc::clone(&letters.lane)));
    let (mailbox, busy) = (Arc::new(Mailbox::default()), Arc::new(Mailbox::default()));
    submit(&running.lane, "one", "0", 2 * BATCH_MAX, &mailbox, 0);
    submit(&running.lane, "one", "1", 20, &mailbox, 1);
    let mut marks = Vec::new();
    for slot in 0..3000 {
        submit(&running.lane, "other", "x", 1, &busy, slot);
        thread::sleep(TICK);
        mailbox.collect(std::task::Waker::noop(), &mut marks);
        if marks.len() == 2 {
            running.thread.stop();
            return letters.thread.stop();
        }
    }
    panic!("the other topic never let it go: {marks:?}");
}
