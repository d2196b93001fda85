//! A lane on a sink in memory that fails as it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Wake, Waker};
use std::thread;

use prost::Message as _;
use proto::v1;
use proto::v1::envelope::Payload;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::format::Format;
use crate::kafka_topic::TopicName;
use crate::key::KeyStrategy;
use crate::mailbox::{Mailbox, Mark};
use crate::message::Carriage;
use crate::objects::{Objects, Store};
use crate::receipt::Receipt;
use crate::record::RecordBuf;
use crate::sink::memory::{Fate, MemoryStore};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a message takes of its lane's share, in bytes.
const CHARGE: u64 = 100;
const DEAD: &str = "dead";
const INLINE_SIZE: u32 = 1_000_000;

/// A lane, the dead-letter lane behind it, and a session's end of both.
struct Rig {
    store: Arc<MemoryStore>,
    dead_store: Arc<MemoryStore>,
    lane: Arc<Lane>,
    dead: Arc<Lane>,
    repeats: Arc<Repeats>,
    threads: Vec<LaneThread>,
    mailbox: Arc<Mailbox>,
    submitted: u32,
    outcomes: BTreeMap<u32, Outcome>,
    /// Messages that are dead letters after a sink had taken them and could not say what became of them.
    letters_in_doubt: Vec<u32>,
}

fn plan(name: &str, topic: &str) -> LanePlan {
    LanePlan {
        name: name.into(),
        topic: TopicName::Fixed(topic.into()),
        key: KeyStrategy::DeviceId,
        format: Format::Envelope,
        inline_size: INLINE_SIZE,
        gather: Duration::from_millis(2),
        properties: BTreeMap::new(),
        inline_memory: u64::MAX / 2,
        large_memory: 0,
    }
}

fn started(lane: &Arc<Lane>, store: &Arc<MemoryStore>) -> LaneThread {
    let store = Arc::clone(store);
    lane.start(Box::new(move || store.sink(thread::current()))).expect("a thread starts")
}

impl Rig {
    fn new() -> Rig {
        Rig::with_dead_letters(INLINE_SIZE, None)
    }

    fn with_dead_letters(inline_size: u32, objects: Option<Store>) -> Rig {
        let (store, dead_store) = (MemoryStore::new(), MemoryStore::new());
        let dead = LanePlan { inline_size, ..plan("dead-letter", DEAD) };
        let repeats = Arc::<Repeats>::default();
        let dead = Lane::new(&dead, None, Arc::clone(&repeats));
        let letters = DeadLetters::new(Format::Envelope, Arc::clone(&dead), objects);
        let lane = Lane::new(&plan("fast", "a"), Some(letters), Arc::clone(&repeats));
        let threads = vec![started(&lane, &store), started(&dead, &dead_store)];
        Rig {
            store,
            dead_store,
            lane,
            dead,
            repeats,
            threads,
            mailbox: Arc::default(),
            submitted: 0,
            outcomes: BTreeMap::new(),
            letters_in_doubt: Vec::new(),
        }
    }

    /// Submits a message and returns its number.
    fn submit(&mut self, topic: &str, payload_bytes: usize) -> u32 {
        let number = self.submitted;
        self.submitted += 1;
        assert!(self.lane.account.share(Carriage::Inline).try_take(CHARGE));
        let reply_to = Some((Arc::clone(&self.mailbox), number));
        let account = Arc::clone(&self.lane.account);
        let receipt = Receipt::open(account, Carriage::Inline, CHARGE, reply_to);
        let envelope = v1::Envelope {
            message_id: u128::from(number).to_be_bytes().to_vec(),
            device_id: "m-1".into(),
            payload_size: number.into(),
            payload: Some(Payload::Inline(vec![b'x'; payload_bytes].into())),
            ..v1::Envelope::default()
        };
        let mut record = RecordBuf::default();
        record.begin(topic, 42);
        record.header("content-type", proto::CONTENT_TYPE.as_bytes());
        record.key(|out| out.extend_from_slice(b"m-1"));
        record.value(|out| envelope.encode(out).expect("a vector has room"));
        let pending = Pending { receipt, on_landing: Outcome::Landed, submitted: Instant::now() };
        self.lane.submit(record.as_record(), pending);
        number
    }

    /// Lands one message, so that Kafka knows the producer and more than one goes at once.
    fn land(&mut self) -> u32 {
        let number = self.submit("a", 10);
        self.wait_until("the first has landed", |rig| rig.outcomes.contains_key(&number));
        number
    }

    fn collect(&mut self) {
        let mut marks = Vec::new();
        self.mailbox.collect(Waker::noop(), &mut marks);
        for Mark { slot, outcome } in marks {
            assert_eq!(self.outcomes.insert(slot, outcome), None, "{slot} is told twice");
        }
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut done: impl FnMut(&Rig) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.collect();
            if done(self) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {:?}", self.outcomes);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for every outcome and checks the books.
    #[track_caller]
    fn settle(&mut self) {
        self.wait_until("not all have an outcome", |rig| {
            rig.outcomes.len() == rig.submitted as usize
        });
        // The outcomes of a round are told one by one, and put into the books together.
        self.wait_until("the books never end", |rig| {
            let account = &rig.lane.account;
            account.ledger.totals().in_flight == 0 && account.share(Carriage::Inline).used() == 0
        });
        let totals = self.lane.account.ledger.totals();
        assert_eq!(totals.received, u64::from(self.submitted));
        let count = |wanted: fn(&Outcome) -> bool| {
            self.outcomes.values().filter(|outcome| wanted(outcome)).count() as u64
        };
        assert_eq!(totals.landed, count(|outcome| *outcome == Outcome::Landed));
        assert_eq!(totals.failed, count(|outcome| *outcome == Outcome::Failed));
        let dead = count(|outcome| matches!(outcome, Outcome::DeadLettered(_)));
        assert_eq!(totals.dead_lettered, dead);
        let mut again = taken_again(&self.store);
        again.extend(taken_again(&self.dead_store));
        again.extend(&self.letters_in_doubt);
        again.sort_unstable();
        assert_eq!(self.repeats(), again, "what was handed over again, and nothing else, is noted");
    }

    /// The messages that were handed over again, in the order of their numbers.
    fn repeats(&self) -> Vec<u32> {
        let page = self.repeats.since(0);
        assert_eq!(page.count, page.ids.len() as u64, "a test has a page of them at most");
        assert_eq!(page.count, self.lane.repeats() + self.dead.repeats());
        let number = |id: String| uuid::Uuid::parse_str(&id).expect("an id").as_u128() as u32;
        let mut numbers: Vec<u32> = page.ids.into_iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn all(&self, outcome: Outcome) -> bool {
        self.outcomes.values().all(|known| *known == outcome)
    }

    fn stop(&mut self) {
        self.threads.drain(..).for_each(LaneThread::stop);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Numbers of a topic's messages, in the order in which they were stored.
fn numbers(store: &MemoryStore, topic: &str) -> Vec<u32> {
    let stored = store.stored();
    let of_topic = stored.iter().map(RecordBuf::as_record).filter(|record| record.topic() == topic);
    of_topic.map(|record| envelope_of(&record).payload_size as u32).collect()
}

/// Numbers of the messages that sinks took again, as often as that was.
fn taken_again(store: &MemoryStore) -> Vec<u32> {
    let (mut sent, mut again) = (BTreeSet::new(), Vec::new());
    for record in store.taken() {
        let number = envelope_of(&record.as_record()).payload_size as u32;
        if !sent.insert(number) {
            again.push(number);
        }
    }
    again
}

fn envelope_of(record: &Record<'_>) -> v1::Envelope {
    v1::Envelope::decode(record.value()).expect("an envelope")
}

#[test]
fn whatever_the_sink_loses_each_message_lands_once_and_in_order() {
    for seed in 0..4 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut rig = Rig::new();
        rig.store.set_linger(Duration::from_millis(1));
        rig.store.tell_fates((0..400).map(|_| match random.random_range(0..100) {
            0..2 => Fate::Lose,
            2..6 => Fate::Full,
            6 => Fate::Break,
            _ => Fate::Store,
        }));
        let mut sent: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for _ in 0..300 {
            let topic = ["a", "b"][random.random_range(0..2)];
            sent.entry(topic).or_default().push(rig.submit(topic, 10));
            if random.random_range(0..10) == 0 {
                thread::sleep(Duration::from_millis(random.random_range(0..8)));
            }
        }
        rig.settle();
        assert!(rig.all(Outcome::Landed), "seed {seed}: {:?}", rig.outcomes);
        for (topic, sent) in sent {
            assert_eq!(numbers(&rig.store, topic), sent, "seed {seed}, topic {topic}");
        }
    }
}

#[test]
fn a_topic_without_a_place_holds_up_no_other_and_keeps_its_order() {
    let mut rig = Rig::new();
    rig.store.set_missing("a", true);
    let early: Vec<u32> = (0..5).map(|_| rig.submit("a", 10)).collect();
    rig.wait_until("the backlog holds them", |rig| rig.lane.backlog() == 5);
    let other = rig.submit("b", 10);
    rig.wait_until("the other topic lands", |rig| rig.outcomes.contains_key(&other));
    assert_eq!(rig.outcomes.len(), 1);
    rig.store.set_missing("a", false);
    // It could land at once, but not before those that wait.
    let late = rig.submit("a", 10);
    rig.settle();
    assert_eq!(numbers(&rig.store, "a"), [early, vec![late]].concat());
    assert_eq!(rig.lane.backlog(), 0);
}

#[test]
fn a_sink_that_breaks_is_reset_and_nothing_is_lost() {
    let mut rig = Rig::new();
    let landed = rig.land();
    rig.store.set_answering(false);
    let first = [rig.submit("a", 10)];
    rig.wait_until("the sink has it", |rig| rig.store.undecided() == 1);
    let second: Vec<u32> = (0..20).map(|_| rig.submit("a", 10)).collect();
    rig.store.tell_fates([Fate::Break]);
    rig.submit("b", 10);
    rig.wait_until("the sink is reset", |rig| rig.lane.resets() > 0);
    assert_eq!(rig.outcomes.len(), 1, "nothing was decided by a reset");
    rig.store.set_answering(true);
    rig.settle();
    assert_eq!(numbers(&rig.store, "a"), [&[landed], &first[..], &second[..]].concat());
    assert_eq!(rig.lane.resets(), 1);
    assert_eq!(rig.repeats(), first, "the sink had taken no others");
}

/// Whatever kept it from a producer, and whoever it waited behind: it is handed over for the first time.
#[test]
fn what_no_sink_had_sent_is_not_handed_over_again() {
    let mut rig = Rig::new();
    rig.store.set_missing("b", true);
    rig.store.tell_fates([Fate::Full, Fate::Break, Fate::RefuseAtOnce]);
    (0..10).for_each(|_| _ = rig.submit("a", 10));
    (0..3).for_each(|_| _ = rig.submit("b", 10));
    rig.wait_until("the backlog holds them", |rig| rig.lane.backlog() == 3);
    rig.store.set_missing("b", false);
    rig.settle();
    assert_eq!((rig.repeats.since(0).count, rig.lane.resets()), (0, 1));
    rig.store.tell_fates([Fate::Refuse]);
    rig.dead_store.tell_fates([Fate::Full]);
    rig.submit("a", 10);
    rig.settle();
    assert!(rig.repeats().is_empty(), "the letter of what Kafka refused is handed over once");
}

#[test]
fn each_hand_over_after_the_first_is_noted_with_its_message() {
    let mut rig = Rig::new();
    rig.store.tell_fates([Fate::Lose, Fate::Full, Fate::Lose, Fate::Lose]);
    let often = rig.submit("a", 10);
    rig.settle();
    assert_eq!(rig.repeats(), [often; 3], "whatever became of it the last time");
    rig.store.tell_fates([Fate::Refuse]);
    rig.dead_store.tell_fates([Fate::Lose]);
    let letter = rig.submit("a", 10);
    rig.settle();
    assert_eq!((rig.repeats(), rig.dead.repeats()), (vec![often, often, often, letter], 1));
    // Nobody knows whether its record is in Kafka, and now its letter is too.
    rig.store.tell_fates([Fate::Lose, Fate::RefuseAtOnce]);
    let in_doubt = rig.submit("a", 10);
    rig.letters_in_doubt.push(in_doubt);
    rig.settle();
    assert_eq!(rig.outcomes[&in_doubt], Outcome::DeadLettered(Fault::Record));
    assert_eq!(rig.repeats(), [often, often, often, letter, in_doubt]);
}

#[test]
fn one_message_too_large_is_alone_a_dead_letter() {
    let mut rig = Rig::new();
    rig.store.set_value_max(1_000);
    rig.store.set_linger(Duration::from_millis(20));
    let mut small: Vec<u32> = (0..5).map(|_| rig.submit("a", 10)).collect();
    let large = rig.submit("a", 2_000);
    small.extend((0..5).map(|_| rig.submit("a", 10)));
    rig.settle();
    assert_eq!(rig.outcomes.remove(&large), Some(Outcome::DeadLettered(Fault::Size)));
    assert!(rig.all(Outcome::Landed), "{:?}", rig.outcomes);
    assert_eq!(numbers(&rig.store, "a"), small);
    assert_eq!(numbers(&rig.dead_store, DEAD), [large]);
    assert!(rig.repeats().contains(&large), "it was sent alone");
}

/// A suspect that shares a batch with the next message too large would take the blame for it.
#[test]
fn suspects_travel_alone_also_when_more_comes_behind_them() {
    let mut rig = Rig::new();
    rig.store.set_value_max(1_000);
    rig.store.set_linger(Duration::from_millis(20));
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        small.push(rig.submit("a", 10));
        large.push(rig.submit("a", 2_000));
        small.push(rig.submit("a", 10));
        thread::sleep(Duration::from_millis(15));
    }
    rig.settle();
    for number in &large {
        let outcome = rig.outcomes.remove(number);
        assert_eq!(outcome, Some(Outcome::DeadLettered(Fault::Size)), "{number}");
    }
    assert!(rig.all(Outcome::Landed), "only what is too large is refused: {:?}", rig.outcomes);
    assert_eq!(numbers(&rig.store, "a"), small);
    assert_eq!(numbers(&rig.dead_store, DEAD), large);
}

/// Whatever went wrong before: it is not tried, and it is not cut.
#[test]
fn a_record_longer_than_its_lane_takes_is_a_dead_letter_with_the_reason() {
    let mut rig = Rig::new();
    let size = INLINE_SIZE as usize + 96 * 1024;
    let number = rig.submit("a", size);
    rig.settle();
    assert_eq!(rig.outcomes[&number], Outcome::DeadLettered(Fault::Size));
    assert!(rig.store.stored().is_empty());
    let letters = rig.dead_store.stored();
    let [letter] = &letters[..] else { panic!("one letter: {}", letters.len()) };
    let letter = envelope_of(&letter.as_record());
    let reason = &letter.dead_letter_reason;
    assert!(reason.contains("is larger than the 1097280 that its lane takes"), "{reason}");
    let cut: Vec<_> = letter.cut.iter().map(|cut| (cut.field.as_str(), cut.size)).collect();
    assert_eq!(cut, [("payload", size as u64)]);
}

#[test]
fn what_can_never_land_is_a_dead_letter_under_its_own_lane() {
    let mut rig = Rig::new();
    rig.store.tell_fates([Fate::Store, Fate::Refuse, Fate::RefuseAtOnce]);
    let numbers_sent = [rig.submit("a", 10), rig.submit("a", 10), rig.submit("a", 10)];
    rig.settle();
    assert_eq!(rig.outcomes[&numbers_sent[0]], Outcome::Landed);
    for number in &numbers_sent[1..] {
        assert_eq!(rig.outcomes[number], Outcome::DeadLettered(Fault::Record));
    }
    let letters = rig.dead_store.stored();
    let reasons: Vec<String> =
        letters.iter().map(|letter| envelope_of(&letter.as_record()).dead_letter_reason).collect();
    assert_eq!(letters.len(), 2);
    for (letter, reason) in letters.iter().zip(&reasons) {
        let letter = letter.as_record();
        assert!(reason.starts_with("refused"), "{reason}");
        assert!(letter.headers().any(|header| header == ("landfall-reason", reason.as_bytes())));
        assert_eq!(letter.key(), b"m-1");
        let age_ms = jiff::Timestamp::now().as_millisecond() - letter.timestamp_ms();
        assert!((0..60_000).contains(&age_ms), "its time is that of its writing: {age_ms}");
        assert_eq!(envelope_of(&letter).device_id, "m-1");
    }
}

/// A lane that takes more inline than the dead-letter lane, and what becomes of a payload between both.
fn letter_of_a_large_payload(store: Option<Store>) -> (Rig, v1::Envelope) {
    let mut rig = Rig::with_dead_letters(1_000, store);
    rig.store.tell_fates([Fate::Refuse]);
    rig.submit("a", 5_000);
    rig.settle();
    assert!(rig.all(Outcome::DeadLettered(Fault::Record)), "{:?}", rig.outcomes);
    let letter = envelope_of(&rig.dead_store.stored()[0].as_record());
    (rig, letter)
}

#[test]
fn a_payload_too_large_for_its_dead_letter_goes_by_reference() {
    let folder = std::env::temp_dir().join(format!("landfall-letters-{}", std::process::id()));
    let url = url::Url::from_file_path(&folder).expect("an absolute path");
    let objects = Objects::open(&url, &BTreeMap::new()).expect("a folder can be made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = Store { objects: Arc::new(objects), runtime: runtime.handle().clone() };
    let (_rig, letter) = letter_of_a_large_payload(Some(store));
    let Some(Payload::Reference(reference)) = letter.payload else {
        panic!("no reference: {letter:?}");
    };
    assert_eq!(reference.size, 5_000);
    let path = url::Url::parse(&reference.uri).ok().and_then(|uri| uri.to_file_path().ok());
    let stored = std::fs::read(path.expect("a file")).expect("it is there");
    assert_eq!(stored, [b'x'; 5_000]);
    assert_eq!(reference.sha256, Sha256::digest(&stored).to_vec());
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

#[test]
fn without_a_store_such_a_payload_is_cut_and_the_letter_says_what_it_was() {
    let (_rig, letter) = letter_of_a_large_payload(None);
    let sha256 = Sha256::digest([b'x'; 5_000]).to_vec();
    assert_eq!(letter.payload, None);
    assert_eq!(letter.cut, [v1::Cut { field: "payload".into(), size: 5_000, sha256 }]);
}

#[test]
fn a_dead_letter_is_no_outcome_before_it_is_durable() {
    let mut rig = Rig::new();
    rig.dead_store.set_answering(false);
    rig.store.tell_fates([Fate::Refuse]);
    rig.submit("a", 10);
    rig.wait_until("the letter is on its way", |rig| rig.dead_store.undecided() == 1);
    assert!(rig.outcomes.is_empty());
    assert_eq!(rig.lane.account.ledger.totals().in_flight, 1);
    rig.dead_store.set_answering(true);
    rig.settle();
    assert!(rig.all(Outcome::DeadLettered(Fault::Record)));
}

#[test]
fn a_dead_letter_that_is_refused_fails() {
    let mut rig = Rig::new();
    rig.store.tell_fates([Fate::Refuse]);
    rig.dead_store.tell_fates([Fate::Refuse]);
    rig.submit("a", 10);
    rig.settle();
    assert!(rig.all(Outcome::Failed));
}

/// Unparks a session that sleeps until it is told something.
struct Session(Thread);

impl Wake for Session {
    fn wake(self: Arc<Session>) {
        self.0.unpark();
    }
}

/// Nobody polls here: a session that is not woken never learns what became of its message.
#[test]
fn whoever_is_owed_an_answer_is_woken_for_it() {
    let fates: [(&[Fate], &[Fate], Outcome); 5] = [
        (&[], &[], Outcome::Landed),
        (&[Fate::Refuse], &[], Outcome::DeadLettered(Fault::Record)),
        (&[Fate::RefuseAtOnce], &[Fate::Refuse], Outcome::Failed),
        (&[Fate::RefuseAtOnce], &[Fate::RefuseAtOnce], Outcome::Failed),
        (&[Fate::Panic], &[], Outcome::Failed),
    ];
    for (of_lane, of_dead_letter, expected) in fates {
        let mut rig = Rig::new();
        rig.store.tell_fates(of_lane.iter().copied());
        rig.dead_store.tell_fates(of_dead_letter.iter().copied());
        let waker = Waker::from(Arc::new(Session(thread::current())));
        let mut marks = Vec::new();
        rig.mailbox.collect(&waker, &mut marks);
        rig.submit("a", 10);
        let end = Instant::now() + PATIENCE;
        while marks.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{of_lane:?} and {of_dead_letter:?}: nobody was woken");
            thread::park_timeout(left);
            if Instant::now() < end {
                rig.mailbox.collect(&waker, &mut marks);
            }
        }
        assert_eq!(marks[0].outcome, expected);
    }
}

#[test]
fn the_oldest_message_is_known_wherever_it_waits() {
    let mut rig = Rig::new();
    assert_eq!(rig.lane.oldest(), Duration::ZERO);
    rig.store.set_answering(false);
    let first = Instant::now();
    rig.submit("a", 10);
    let old = 2 * forwarder::LOOK;
    rig.wait_until("the one in the sink grows old", |rig| rig.lane.oldest() >= old);
    assert!(rig.lane.oldest() <= first.elapsed());
    rig.store.set_missing("b", true);
    let second = Instant::now();
    rig.submit("b", 10);
    rig.store.set_answering(true);
    rig.wait_until("the first has landed", |rig| rig.outcomes.len() == 1);
    rig.wait_until("the one in the backlog is the oldest", |rig| {
        let oldest = rig.lane.oldest();
        oldest > Duration::ZERO && oldest <= second.elapsed()
    });
    let known = rig.lane.oldest();
    rig.wait_until("it grows older", |rig| rig.lane.oldest() > known);
    rig.store.set_missing("b", false);
    rig.wait_until("nothing waits", |rig| rig.lane.oldest() == Duration::ZERO);
    rig.settle();
}

/// Its thread stands still, and so do the marks that it leaves.
#[test]
fn a_lane_without_messages_is_not_stalled_whatever_its_thread_does() {
    let mut lane = Lane::new(&plan("fast", "a"), None, Arc::default());
    let began = Instant::now().checked_sub(2 * STALLED_AFTER).expect("the machine runs for longer");
    Arc::get_mut(&mut lane).expect("nobody else has it").status = LaneStatus::new(began);
    assert!(lane.silent_for() > STALLED_AFTER);
    assert_eq!(lane.stalled_for(), None);
    let account = Arc::clone(&lane.account);
    let receipt = Receipt::open(account, Carriage::Inline, 0, None);
    let pending = Pending { receipt, on_landing: Outcome::Landed, submitted: Instant::now() };
    lane.submit(RecordBuf::default().as_record(), pending);
    assert!(lane.stalled_for().is_some_and(|age| age > STALLED_AFTER));
}

#[test]
fn a_stalled_lane_knows_why() {
    let mut rig = Rig::new();
    rig.store.tell_fates(std::iter::repeat_n(Fate::Lose, 3));
    rig.submit("a", 10);
    rig.wait_until("a record is given back", |rig| rig.lane.last_reason().is_some());
    assert_eq!(rig.lane.last_reason().as_deref(), Some("lost"));
    rig.settle();
    rig.wait_until("it landed", |rig| rig.lane.last_reason().is_none());
}

#[test]
fn a_lane_that_closes_fails_what_is_in_it() {
    let mut rig = Rig::new();
    rig.store.set_answering(false);
    rig.store.set_missing("b", true);
    // In the sink, and in the backlog.
    rig.submit("a", 10);
    rig.submit("b", 10);
    rig.wait_until("the backlog holds one", |rig| rig.lane.backlog() == 1);
    rig.stop();
    assert!(rig.lane.is_finished());
    rig.submit("a", 10);
    rig.settle();
    assert!(rig.all(Outcome::Failed));
    assert!(rig.store.stored().is_empty());
}

#[test]
fn a_lane_whose_thread_panics_fails_everything() {
    let mut rig = Rig::new();
    let landed = rig.land();
    rig.store.set_answering(false);
    rig.submit("a", 10);
    rig.wait_until("the sink has it", |rig| rig.store.undecided() == 1);
    rig.store.tell_fates([Fate::Panic]);
    // One is in the sink and one is its end; the rest waits behind the first or in the queue, or comes too late.
    for _ in 0..10 {
        rig.submit("a", 10);
        rig.submit("b", 10);
    }
    rig.wait_until("the thread ends", |rig| rig.lane.is_finished());
    rig.submit("a", 10);
    rig.settle();
    assert_eq!(rig.outcomes.remove(&landed), Some(Outcome::Landed));
    assert!(rig.all(Outcome::Failed), "{:?}", rig.outcomes);
}

#[test]
fn what_a_reset_sink_forgets_fails() {
    let mut rig = Rig::new();
    rig.land();
    rig.store.tell_fates([Fate::Forget, Fate::Break]);
    let forgotten = rig.submit("a", 10);
    let resent = rig.submit("a", 10);
    rig.settle();
    assert_eq!(rig.outcomes[&forgotten], Outcome::Failed);
    assert_eq!(rig.outcomes[&resent], Outcome::Landed);
}
