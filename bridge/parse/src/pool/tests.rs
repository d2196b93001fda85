//! Pools beside a Kafka in the process: what is read, written, committed and read again, with work and sinks
//! that fail by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::JoinHandle;

use bridge::kafka::KafkaStatus;
use bridge::kafka::consumer::Consumer;
use bridge::kafka::embedded::EmbeddedKafka;
use bridge::kafka::group::MemberSettings;
use bridge::record::Record;
use bridge::sink::kafka::KafkaSink;
use bridge::sink::{AppendError, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::status::{Order, Ordered, Status, What};
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

impl Rig {
    fn new() -> Rig {
        let kafka = EmbeddedKafka::start(["raw", "out"]).expect("a Kafka in the process");
        Rig { kafka, next: BTreeMap::new() }
    }

    fn sink(&self) -> KafkaSink {
        let (servers, thread) = (self.kafka.bootstrap_servers(), std::thread::current());
        let status = Arc::new(KafkaStatus::default());
        KafkaSink::new("test", &servers, &BTreeMap::new(), 1_000_000, status, thread)
    }

    /// Writes so many raw messages.
    fn publish(&mut self, count: usize) {
        let mut sink = self.sink();
        let mut record = RecordBuf::default();
        for at in 0..count {
            let device = at % DEVICES;
            let number = self.next.entry(device).or_default();
            let (key, value) = (format!("m-{device}"), format!("m-{device} {number}"));
            *number += 1;
            record.begin("raw", 1000);
            record.key(|out| out.extend_from_slice(key.as_bytes()));
            record.value(|out| out.extend_from_slice(value.as_bytes()));
            let mut done = Vec::new();
            until("a raw message is taken", || {
                let taken = sink.append(record.as_record(), at).is_ok();
                sink.poll(&mut done);
                taken
            });
        }
        let mut landed = 0;
        until("raw messages land", || {
            let mut done = Vec::new();
            sink.poll(&mut done);
            landed += done.len();
            assert!(done.iter().all(|one| matches!(one.verdict, Verdict::Durable)));
            landed == count
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
        use std::sync::atomic::Ordering;
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
    assert_eq!(worked.load(std::sync::atomic::Ordering::Relaxed), 10);
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
    held.store(false, std::sync::atomic::Ordering::Relaxed);
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
    held.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.publish(100);
    let found = rig.written(400);
    stays.end();
    assert_eq!(distinct(&found), 400);
    assert_in_order(&found);
}

/// A sink that fails as Kafka may, and keeps what it took.
struct Faulty {
    random: StdRng,
    open: Vec<(Token, RecordBuf)>,
    given_back: Vec<Decided>,
    landed: Arc<Mutex<Vec<String>>>,
    is_broken: bool,
    /// No more faults.
    is_well: Arc<AtomicBool>,
}

impl Faulty {
    fn fails(&mut self, chance: f64) -> bool {
        !self.is_well.load(std::sync::atomic::Ordering::Relaxed) && self.random.random_bool(chance)
    }
}

impl Sink for Faulty {
    fn append(&mut self, record: Record<'_>, token: Token) -> Result<(), AppendError> {
        if self.is_broken {
            return Err(AppendError::Broken);
        }
        if self.fails(0.05) {
            return Err(if self.random.random() { AppendError::Full } else { AppendError::Away });
        }
        if self.fails(0.01) {
            return Err(AppendError::NoTopic);
        }
        self.open.push((token, record.to_owned()));
        Ok(())
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        decided.append(&mut self.given_back);
        if self.is_broken || self.fails(0.3) {
            return;
        }
        let take = self.random.random_range(0..=self.open.len());
        let batch: Vec<_> = self.open.drain(..take).collect();
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
        for (token, record) in self.open.drain(..) {
            let verdict = Verdict::Undecided { record, reason: "broken".into() };
            self.given_back.push(Decided { token, verdict });
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
    fn append(&mut self, record: Record<'_>, token: Token) -> Result<(), AppendError> {
        let value = std::str::from_utf8(record.value()).expect("values are text");
        if value.starts_with(self.of) { Ok(()) } else { self.kafka.append(record, token) }
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
    rig.written(60);
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

/// A sink that has room for some records, then for none, and then lands none of them; afterwards it is well.
struct Crowded {
    kafka: KafkaSink,
    first: Vec<(Token, RecordBuf)>,
    polls: u32,
}

impl Crowded {
    /// More than there are devices, so that whoever comes next has something in front of it.
    const ROOM: usize = 3 * DEVICES;
    /// Polls before it says that nothing landed.
    const POLLS: u32 = 20;
}

impl Sink for Crowded {
    fn append(&mut self, record: Record<'_>, token: Token) -> Result<(), AppendError> {
        if self.polls > Crowded::POLLS {
            return self.kafka.append(record, token);
        }
        if self.first.len() == Crowded::ROOM {
            return Err(AppendError::Full);
        }
        self.first.push((token, record.to_owned()));
        Ok(())
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        self.kafka.poll(decided);
        self.polls += u32::from(self.first.len() == Crowded::ROOM);
        if self.polls > Crowded::POLLS {
            let failed = self.first.drain(..).map(|(token, record)| {
                let reason = "it did not land".into();
                Decided { token, verdict: Verdict::Undecided { record, reason } }
            });
            decided.extend(failed);
        }
    }

    fn is_broken(&self) -> bool {
        self.kafka.is_broken()
    }

    fn reset(&mut self) {
        self.kafka.reset();
    }
}

/// What waits for room while what is in front of it fails is not written in front of it.
#[test]
fn what_waits_for_room_does_not_overtake_what_is_read_again() {
    let mut rig = Rig::new();
    rig.publish(140);
    let kafka = rig.kafka_sink_of();
    let pool = rig.pool(
        Copies::default(),
        Box::new(move || Box::new(Crowded { kafka: kafka(), first: Vec::new(), polls: 0 })),
    );
    let found = rig.written(140);
    pool.end();
    assert_eq!(distinct(&found), 140);
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
    is_well.store(true, std::sync::atomic::Ordering::Relaxed);
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
