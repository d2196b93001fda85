//! Pools beside a Kafka in the process: what is read, written, committed and read again, with work and sinks
//! that fail by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bridge::kafka::consumer::Consumer;
use bridge::kafka::embedded::EmbeddedKafka;
use bridge::kafka::group::MemberSettings;
use bridge::kafka::{KafkaStatus, TopicFacts};
use bridge::record::RecordBuf;
use bridge::sink::kafka::KafkaSink;
use bridge::sink::{AppendError, Decided, Limits, NotTaken, Token, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::status::{Order, Ordered, PartitionStatus, Status, What};
use super::*;
use crate::failure::{Failure, Reason};
use crate::work::{Cancelled, Emit};

const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: WindowLimits = WindowLimits { records: 50, bytes: 100_000 };
const GROUP: &str = "test-group";

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A Kafka with raw messages of several devices, whose values say device and number.
struct Rig {
    kafka: EmbeddedKafka,
    next: BTreeMap<usize, usize>,
}

const DEVICES: usize = 7;
/// Of each topic.
const PARTITIONS: u32 = 3;
const BATCH: Limits =
    Limits { batch_bytes: 100_000, batch_records: 100, linger: Duration::ZERO, times: None };

impl Rig {
    fn new() -> Rig {
        let kafka = EmbeddedKafka::start(["raw", "out"]).expect("a Kafka in the process");
        Rig { kafka, next: BTreeMap::new() }
    }

    /// Writes so many raw messages.
    fn publish(&mut self, count: usize) {
        let sink = Box::new(self.kafka_sink_of()());
        let mut outbox = Outbox::new("publish", sink, Instant::now());
        for at in 0..count {
            let device = at % DEVICES;
            let number = self.next.entry(device).or_default();
            let (key, value) = (format!("m-{device}"), format!("m-{device} {number}"));
            *number += 1;
            let mut record = RecordBuf::default();
            record.begin("raw", 1000);
            record.key(|out| out.extend_from_slice(key.as_bytes()));
            record.value(|out| out.extend_from_slice(value.as_bytes()));
            outbox.push(record, at);
        }
        let mut landed = Vec::new();
        until("raw messages land", || {
            let now = (Instant::now(), 0);
            outbox.settle(now, &mut landed);
            outbox.hand_over(now, &mut landed);
            assert!(landed.iter().all(|one| matches!(one, Delivered::Landed(_))));
            landed.len() == count
        });
    }

    fn pool(&self, work: impl Work + Clone, sink: SinkOf) -> Running {
        self.pool_within(LIMITS, work, sink)
    }

    fn pool_within(&self, limits: WindowLimits, work: impl Work + Clone, sink: SinkOf) -> Running {
        self.pool_for(Duration::from_secs(10), limits, work, sink)
    }

    /// A pool whose drain takes no longer than that.
    fn pool_for(
        &self,
        drain: Duration,
        limits: WindowLimits,
        work: impl Work + Clone,
        sink: SinkOf,
    ) -> Running {
        let control = Arc::new(Control::default());
        let (servers, own) = (self.kafka.bootstrap_servers(), Arc::clone(&control));
        let thread = std::thread::spawn(move || {
            let desk = SharedDesk::new(limits);
            let settings = MemberSettings {
                group: GROUP,
                client_id: "test",
                bootstrap_servers: &servers,
                properties: &properties(),
                topics: &["raw".to_owned()],
                queue_bytes: 1 << 20,
            };
            let member = Member::join(&settings, Arc::clone(&desk) as Arc<dyn Assignments>);
            let member = (member.expect("it can join"), desk);
            let large = work.clone();
            let pool = Pool::new("test", limits, member, sink(), work, large, own);
            pool.expect("a thread").run(drain);
        });
        Running { control, thread: Some(thread) }
    }

    /// A sink of its own for a pool's thread.
    fn kafka_sink(&self) -> SinkOf {
        let made = self.kafka_sink_of();
        Box::new(move || Box::new(made()))
    }

    fn kafka_sink_of(&self) -> impl FnOnce() -> KafkaSink + Send + use<> {
        let servers = self.kafka.bootstrap_servers();
        move || {
            let status = Arc::new(KafkaStatus::default());
            for topic in ["raw", "out"] {
                let facts = TopicFacts {
                    partitions: PARTITIONS,
                    leaderless: Vec::new(),
                    max_message_bytes: None,
                    times: None,
                };
                status.set_topic(topic, facts);
            }
            let thread = std::thread::current();
            KafkaSink::new("test", &servers, &BTreeMap::new(), 1_000_000, status, thread)
        }
    }

    /// All records of the topic, as they are now, by partition and in order.
    fn written(&self, count: usize) -> Vec<String> {
        let servers = self.kafka.bootstrap_servers();
        let consumer = Consumer::open("look", &servers, &BTreeMap::new(), &["out".to_owned()]);
        let consumer = consumer.expect("it can be read");
        let mut found = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let wait = Duration::from_millis(if distinct(&found) < count { 200 } else { 50 });
            match consumer.next(wait).expect("Kafka is there") {
                Some(record) => {
                    let value = record.value.expect("every record has one").to_vec();
                    found.push(String::from_utf8(value).expect("values are text"));
                }
                None if distinct(&found) >= count => break,
                None => {}
            }
        }
        found
    }
}

/// The Kafka in the process forgets a member that left only with its session.
fn properties() -> BTreeMap<String, String> {
    let own = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn distinct(found: &[String]) -> usize {
    found.iter().collect::<BTreeSet<_>>().len()
}

type SinkOf = Box<dyn FnOnce() -> Box<dyn Sink> + Send>;

/// A pool at work; dropped, it ends.
struct Running {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn end(mut self) {
        self.control.end();
        self.thread.take().expect("once").join().expect("no panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.end();
    }
}

/// Copies values, and does with some what it is told.
#[derive(Clone, Default)]
struct Copies {
    /// Messages that are large, by a text in them.
    large: &'static str,
    /// Whether one of those ends the thread that works on it.
    large_is_fatal: bool,
    /// Messages that are held as long as this is set.
    held: Arc<AtomicBool>,
    /// Messages that stop their partition, by their value.
    bad: &'static str,
    worked: Arc<AtomicUsize>,
}

impl Copies {
    fn copy(raw: &Raw<'_>, out: &mut RecordBatch<()>) {
        let mut record = RecordBuf::default();
        record.begin("out", 1000);
        record.key(|out| out.extend_from_slice(raw.key.unwrap_or_default()));
        record.value(|out| out.extend_from_slice(raw.value.unwrap_or_default()));
        out.push(record.as_record(), ());
    }
}

impl Work for Copies {
    fn work(&mut self, raw: &Raw<'_>, out: &mut RecordBatch<()>) -> Step {
        let value = std::str::from_utf8(raw.value.unwrap_or_default()).expect("values are text");
        self.worked.fetch_add(1, Ordering::Relaxed);
        if !self.bad.is_empty() && value == self.bad {
            return Step::Stop(Failure::new(Reason::NotJson, "it is bad"));
        }
        if value.ends_with(" 3") && self.held.load(Ordering::Relaxed) {
            return Step::Hold("the store is away".to_owned());
        }
        if !self.large.is_empty() && value.contains(self.large) {
            return Step::Large;
        }
        Copies::copy(raw, out);
        Step::Done
    }

    fn work_large(&mut self, raw: &Raw<'_>, emit: &mut Emit<'_>) -> Result<Step, Cancelled> {
        assert!(!self.large_is_fatal, "a fault of ours");
        std::thread::sleep(Duration::from_millis(5));
        for _ in 0..3 {
            let mut out = RecordBatch::default();
            Copies::copy(raw, &mut out);
            emit(out)?;
        }
        Ok(Step::Done)
    }

    fn refuse(&mut self, raw: &Raw<'_>, failure: &Failure, _: bool, out: &mut RecordBatch<()>) {
        let mut record = RecordBuf::default();
        record.begin("out", 1000);
        record.key(|out| out.extend_from_slice(raw.key.unwrap_or_default()));
        record.value(|out| {
            out.extend_from_slice(format!("{}: ", failure.reason).as_bytes());
            out.extend_from_slice(raw.value.unwrap_or_default());
        });
        out.push(record.as_record(), ());
    }
}

/// The numbers of each device are in order, where they are first seen.
fn assert_in_order(found: &[String]) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for value in found.iter().filter(|value| seen.insert(value.as_str())) {
        let plain = value.rsplit(": ").next().expect("there is always one");
        let (device, number) = plain.split_once(' ').expect("device and number");
        let number = number.parse().expect("a number");
        let before = last.insert(device, number);
        assert!(before.is_none_or(|before| before < number), "{device}: {number} after {before:?}");
    }
}

#[test]
fn what_is_read_is_written_once_and_committed() {
    let mut rig = Rig::new();
    rig.publish(200);
    let pool = rig.pool(Copies { large: "m-3", ..Copies::default() }, rig.kafka_sink());
    until("all is finished", || is_finished(&pool));
    pool.end();
    let found = rig.written(200);
    let large = found.iter().filter(|value| value.contains("m-3")).count();
    assert_eq!((found.len() - large + large / 3, large % 3), (200, 0));
    assert_in_order(&found);
    // Who comes next begins where this one ended.
    rig.publish(10);
    let work = Copies::default();
    let worked = Arc::clone(&work.worked);
    let pool = rig.pool(work, rig.kafka_sink());
    rig.written(210);
    pool.end();
    assert_eq!(worked.load(Ordering::Relaxed), 10);
}

/// Messages that wait for the thread for large payloads fill the window, and what that makes of them is taken.
#[test]
fn a_window_full_of_large_payloads_goes_on() {
    let mut rig = Rig::new();
    rig.publish(30);
    let limits = WindowLimits { records: 2, ..LIMITS };
    let work = Copies { large: "m-", ..Copies::default() };
    let pool = rig.pool_within(limits, work, rig.kafka_sink());
    let found = rig.written(30);
    until("all is finished", || is_finished(&pool));
    pool.end();
    assert_eq!((distinct(&found), found.len()), (30, 90));
    assert_in_order(&found);
}

#[test]
fn one_that_is_held_holds_its_partition_and_no_other() {
    let mut rig = Rig::new();
    rig.publish(70);
    let work = Copies { held: Arc::new(AtomicBool::new(true)), ..Copies::default() };
    let held = Arc::clone(&work.held);
    let pool = rig.pool(work, rig.kafka_sink());
    until("what can be done is done, and the rest is held", || {
        let partitions = pool.control.partitions();
        partitions.iter().any(|one| one.state == Status::Held)
    });
    held.store(false, Ordering::Relaxed);
    let found = rig.written(70);
    pool.end();
    assert_eq!(found.len(), 70);
    assert_in_order(&found);
}

#[test]
fn a_partition_that_stops_goes_on_when_somebody_decides() {
    let mut rig = Rig::new();
    rig.publish(70);
    let pool = rig.pool(Copies { bad: "m-2 4", ..Copies::default() }, rig.kafka_sink());
    let stopped = || {
        let partitions = pool.control.partitions();
        partitions.into_iter().find(|one| one.state == Status::Stopped && one.decided.is_none())
    };
    until("it stops", || stopped().is_some());
    let at = stopped().expect("it stands");
    let order = |what, offset| {
        let partition = Partition { topic: at.topic.clone(), partition: at.partition };
        pool.control.order(Order { at: Position { partition, offset }, what })
    };
    let offset = at.offset.expect("it stands somewhere");
    assert!(at.reason.expect("it says why").contains("it is bad"));
    // Another message than the one that it stands at is nobody's business.
    assert_eq!(order(What::Skip, offset + 1), Ordered::StandsAt(offset));
    assert_eq!(order(What::Retry, offset), Ordered::Taken);
    until("it stops again", || stopped().is_some());
    assert!(rig.written(30).iter().all(|value| !value.contains("m-2 4")));
    assert_eq!(order(What::Skip, offset), Ordered::Taken);
    let found = rig.written(70);
    pool.end();
    assert_eq!(found.len(), 70);
    assert!(found.contains(&"operator: m-2 4".to_owned()), "{found:?}");
    assert_in_order(&found);
}

/// Members come, and go without a word; two at a time share the work.
#[test]
fn a_pool_whose_thread_for_large_payloads_is_gone_ends() {
    let mut rig = Rig::new();
    rig.publish(DEVICES);
    let work = Copies { large: "m-2", large_is_fatal: true, ..Copies::default() };
    let pool = rig.pool(work, rig.kafka_sink());
    let thread = pool.thread.as_ref().expect("it was started");
    until("the pool ends by itself", || thread.is_finished());
}

#[test]
fn members_come_and_go_and_everything_is_there_in_order() {
    let mut rig = Rig::new();
    let mut pools = vec![rig.pool(Copies { large: " 1", ..Copies::default() }, rig.kafka_sink())];
    for _ in 0..2 {
        rig.publish(300);
        pools.push(rig.pool(Copies { large: "m-5", ..Copies::default() }, rig.kafka_sink()));
        until("both have partitions", || {
            pools.iter().all(|pool| !pool.control.partitions().is_empty())
        });
        pools.remove(0).end();
    }
    let found = rig.written(600);
    assert_eq!(distinct(&found), 600);
    assert_in_order(&found);
}

/// librdkafka remembers over a rebalance what was paused; whoever gets it back has to read it all the same.
#[test]
fn what_was_paused_before_a_rebalance_is_read_after_it() {
    let mut rig = Rig::new();
    rig.publish(300);
    let work = Copies { held: Arc::new(AtomicBool::new(true)), ..Copies::default() };
    let held = Arc::clone(&work.held);
    let stays = rig.pool(work, rig.kafka_sink());
    let count = |pool: &Running| pool.control.partitions().len();
    let holds = |pool: &Running| {
        pool.control.partitions().iter().filter(|one| one.state == Status::Held).count()
    };
    until("all partitions are held", || holds(&stays) == 3);
    let goes = rig.pool(Copies::default(), rig.kafka_sink());
    until("both have partitions", || count(&goes) > 0 && count(&stays) < 3);
    goes.end();
    until("all partitions are back", || count(&stays) == 3);
    held.store(false, Ordering::Relaxed);
    rig.publish(100);
    let found = rig.written(400);
    stays.end();
    assert_eq!(distinct(&found), 400);
    assert_in_order(&found);
}

/// A sink that fails as Kafka may, and keeps what it took.
struct Faulty {
    random: StdRng,
    open: Vec<(Token, u32, RecordBuf)>,
    given_back: Vec<Decided>,
    landed: Arc<Mutex<Vec<String>>>,
    is_broken: bool,
    /// No more faults.
    is_well: Arc<AtomicBool>,
}

impl Faulty {
    fn fails(&mut self, chance: f64) -> bool {
        !self.is_well.load(Ordering::Relaxed) && self.random.random_bool(chance)
    }

    /// Some of what is open of one partition, from its first on.
    fn batch(&mut self) -> Vec<(Token, RecordBuf)> {
        let partition = self.random.random_range(0..PARTITIONS);
        let most = self.open.iter().filter(|(_, of, _)| *of == partition).count();
        let mut left = self.random.random_range(0..=most);
        let mut goes = |of: u32| {
            let goes = of == partition && left > 0;
            left -= usize::from(goes);
            goes
        };
        let batch = self.open.extract_if(.., |(_, of, _)| goes(*of));
        batch.map(|(token, _, record)| (token, record)).collect()
    }
}

impl Sink for Faulty {
    fn partitions(&mut self, _: &str) -> Option<u32> {
        Some(PARTITIONS)
    }

    fn limits(&mut self, _: &str) -> Limits {
        BATCH
    }

    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken> {
        let error = if self.is_broken {
            AppendError::Broken
        } else if self.fails(0.05) {
            if self.random.random() { AppendError::Full } else { AppendError::Away }
        } else if self.fails(0.01) {
            AppendError::NoTopic
        } else {
            self.open.push((token, partition, record));
            return Ok(());
        };
        Err(NotTaken { record, error })
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        decided.append(&mut self.given_back);
        if self.is_broken || self.fails(0.3) {
            return;
        }
        let batch = self.batch();
        // One that is never taken has its batch refused.
        let is_bad = |record: &RecordBuf| record.as_record().value() == b"m-1 9";
        let too_large = batch.iter().any(|(_, record)| is_bad(record));
        for (token, record) in batch {
            let verdict = if too_large {
                Verdict::TooLarge(record)
            } else {
                let value = String::from_utf8(record.as_record().value().to_vec());
                self.landed.lock().push(value.expect("values are text"));
                Verdict::Durable
            };
            decided.push(Decided { token, verdict });
        }
        // What comes behind a batch that was refused is not stored before it.
        self.is_broken = too_large || self.fails(0.01);
    }

    fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn reset(&mut self) {
        for (token, _, record) in std::mem::take(&mut self.open) {
            // Some of it is never heard of again.
            if !self.fails(0.1) {
                let verdict = Verdict::Undecided { record, reason: "broken".into() };
                self.given_back.push(Decided { token, verdict });
            }
        }
        self.is_broken = false;
    }
}

/// A sink that never says what became of some records, and lands the others.
struct Silent {
    kafka: KafkaSink,
    /// What is in the values of which it says nothing.
    of: &'static str,
}

impl Sink for Silent {
    fn partitions(&mut self, topic: &str) -> Option<u32> {
        self.kafka.partitions(topic)
    }

    fn limits(&mut self, topic: &str) -> Limits {
        self.kafka.limits(topic)
    }

    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken> {
        let value = std::str::from_utf8(record.as_record().value()).expect("values are text");
        match value.starts_with(self.of) {
            true => Ok(()),
            false => self.kafka.append(record, partition, token),
        }
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        self.kafka.poll(decided);
    }

    fn is_broken(&self) -> bool {
        self.kafka.is_broken()
    }

    fn reset(&mut self) {
        self.kafka.reset();
    }
}

/// What was read and handed over, and did not land, is committed neither in passing, nor when partitions go to
/// somebody else, nor at the end.
#[test]
fn what_did_not_land_is_never_committed() {
    let mut rig = Rig::new();
    rig.publish(70);
    let kafka = rig.kafka_sink_of();
    let silent: SinkOf = Box::new(move || Box::new(Silent { kafka: kafka(), of: "m-2" }));
    let first = rig.pool_for(Duration::from_secs(1), LIMITS, Copies::default(), silent);
    // What is written has the partition of what was read.
    until("all other partitions are finished", || {
        first.control.partitions().iter().filter(|one| one.lag == Some(0)).count() == 2
    });
    // Two commits later some partitions are another's.
    std::thread::sleep(2 * COMMIT_INTERVAL);
    let second = rig.pool(Copies::default(), rig.kafka_sink());
    until("both have partitions", || {
        [&first, &second].iter().all(|pool| !pool.control.partitions().is_empty())
    });
    first.end();
    let found = rig.written(70);
    second.end();
    assert_eq!(distinct(&found), 70);
    assert_in_order(&found);
}

/// A sink whose topics are not there at first.
struct Gate {
    kafka: KafkaSink,
    is_open: Arc<AtomicBool>,
}

impl Sink for Gate {
    fn partitions(&mut self, topic: &str) -> Option<u32> {
        self.is_open.load(Ordering::Relaxed).then(|| self.kafka.partitions(topic))?
    }

    fn limits(&mut self, topic: &str) -> Limits {
        self.kafka.limits(topic)
    }

    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken> {
        self.kafka.append(record, partition, token)
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        self.kafka.poll(decided);
    }

    fn is_broken(&self) -> bool {
        self.kafka.is_broken()
    }

    fn reset(&mut self) {
        self.kafka.reset();
    }
}

impl Rig {
    /// A sink behind a gate, and what opens that.
    fn gate(&self) -> (SinkOf, Arc<AtomicBool>) {
        let (kafka, is_open) = (self.kafka_sink_of(), Arc::new(AtomicBool::new(false)));
        let own = Arc::clone(&is_open);
        (Box::new(move || Box::new(Gate { kafka: kafka(), is_open: own })), is_open)
    }
}

/// What was made of messages that are somebody else's by now is not written any more.
#[test]
fn what_waits_to_be_written_and_went_to_somebody_else_is_not_written() {
    let mut rig = Rig::new();
    rig.publish(140);
    let (sink, is_open) = rig.gate();
    let work = Copies::default();
    let worked = Arc::clone(&work.worked);
    let first = rig.pool_within(WindowLimits { records: 1000, ..LIMITS }, work, sink);
    until("all waits to be written", || worked.load(Ordering::Relaxed) == 140);
    let second = rig.pool(Copies::default(), rig.kafka_sink());
    until("both have partitions, and one has finished", || {
        let finished = second.control.partitions();
        !first.control.partitions().is_empty()
            && !finished.is_empty()
            && finished.iter().all(|one| one.lag == Some(0))
    });
    is_open.store(true, Ordering::Relaxed);
    let found = rig.written(140);
    first.end();
    second.end();
    assert_eq!((found.len(), distinct(&found)), (140, 140));
    assert_in_order(&found);
}

#[test]
fn a_partition_of_which_nothing_lands_is_held_and_an_operator_may_leave_its_message_out() {
    let mut rig = Rig::new();
    rig.publish(70);
    let (sink, is_open) = rig.gate();
    let pool = rig.pool(Copies::default(), sink);
    let held = || {
        let mut held = pool.control.partitions();
        held.retain(|one| one.state == Status::Held && one.decided.is_none());
        held
    };
    until("all are held", || held().len() == 3);
    for one in held() {
        assert_eq!(one.reason.as_deref(), Some("topic out is not there, or not for us"));
        assert_eq!((one.offset, one.committed), (Some(0), Some(0)));
    }
    let PartitionStatus { topic, partition, .. } = held().remove(1);
    let at = Position { partition: Partition { topic, partition }, offset: 0 };
    assert_eq!(pool.control.order(Order { at, what: What::Skip }), Ordered::Taken);
    until("it is held again, with what is written instead", || held().len() == 3);
    is_open.store(true, Ordering::Relaxed);
    let found = rig.written(70);
    until("all is finished", || is_finished(&pool));
    pool.end();
    let left_out = found.iter().filter(|value| value.starts_with("operator: ")).count();
    assert_eq!((left_out, found.len()), (1, 70));
    assert_in_order(&found);
}

#[test]
fn with_every_fault_of_a_sink_everything_lands_in_order() {
    let seeds = 0..4_u64;
    std::thread::scope(|scope| seeds.for_each(|seed| drop(scope.spawn(move || with_faults(seed)))));
}

fn with_faults(seed: u64) {
    let mut rig = Rig::new();
    rig.publish(300);
    let (landed, is_well) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let faulty = Faulty {
        random: StdRng::seed_from_u64(seed),
        open: Vec::new(),
        given_back: Vec::new(),
        landed: Arc::clone(&landed),
        is_broken: false,
        is_well: Arc::clone(&is_well),
    };
    let work = Copies { large: "m-5", ..Copies::default() };
    let pool = rig.pool(work, Box::new(move || Box::new(faulty)));
    until("the first lands", || !landed.lock().is_empty());
    std::thread::sleep(Duration::from_secs(2));
    is_well.store(true, Ordering::Relaxed);
    until(&format!("all lands with seed {seed}"), || distinct(&landed.lock()) == 300);
    until(&format!("all is committed with seed {seed}"), || is_finished(&pool));
    pool.end();
    let landed = landed.lock();
    assert_in_order(&landed);
    // The one that is never taken, and no other that shared a batch with it.
    let refused: BTreeSet<_> = landed.iter().filter(|value| value.contains(": ")).collect();
    assert_eq!(refused, BTreeSet::from([&"not_taken: m-1 9".to_owned()]), "seed {seed}");
    assert!(!landed.contains(&"m-1 9".to_owned()));
}

/// Whether it has all partitions, and nothing of them is left.
fn is_finished(pool: &Running) -> bool {
    let partitions = pool.control.partitions();
    let lags = partitions.iter().map(|one| one.lag);
    partitions.len() == 3 && lags.sum::<Option<u64>>() == Some(0)
}
