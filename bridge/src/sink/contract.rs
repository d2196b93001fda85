//! What every sink has to keep, as checks that any of them can be put to.
//!
//! It lives in the bridge, behind the feature `contract-suite`, because the sinks of the bridge's own
//! tests and those that need a server, in the crate `tests`, run the same. A new sink brings a
//! [`Fixture`] and calls [`check_all`].

use std::collections::{BTreeMap, BTreeSet};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::lane::partition;
use crate::record::RecordBuf;
use crate::sink::{AppendError, Decided, NotTaken, Sink, Token, Verdict};

/// How long a store that is well may take to decide, also the first record after its recovery.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a verdict is waited for that must not come.
const QUIET: Duration = Duration::from_millis(300);
/// The longest that a call may take which does not block. Machines that run tests pause threads.
const CALL_MAX: Duration = Duration::from_millis(500);
/// The longest that a reset may take: a lane waits for no more.
const RESET_MAX: Duration = Duration::from_secs(10);
/// Records of one check.
const RECORDS: usize = 200;
/// Keys that they are spread over.
const KEYS: usize = 7;

/// A store for sinks, and the faults that the suite asks of it.
pub trait Fixture {
    /// A sink into the store; `wake` is unparked when there may be something to poll.
    fn sink(&mut self, wake: Thread) -> Box<dyn Sink>;

    /// A topic that exists and has no records.
    fn topic(&mut self) -> String;

    /// A topic that does not exist; None where all do.
    fn missing_topic(&mut self) -> Option<String>;

    /// A size of value that is too large, in bytes; None where nothing is.
    fn too_large(&mut self) -> Option<usize>;

    /// What is durable in a topic; those of one key in the order in which they were stored.
    fn stored(&mut self, topic: &str) -> Vec<RecordBuf>;

    /// From now on the store confirms nothing.
    fn stop(&mut self);

    /// The store works again.
    fn recover(&mut self);

    /// Sees to it that the next record breaks the sink; false where that cannot be done.
    fn break_next(&mut self) -> bool;
}

/// Runs all checks, each with a fixture of its own.
pub fn check_all<F: Fixture>(mut fixture: impl FnMut() -> F) {
    type Check<F> = fn(&mut F);
    let checks: [(&str, Check<F>); 8] = [
        ("what is durable can be read back", durable_is_readable),
        ("order is kept within a key", order_is_kept),
        ("nothing is durable while the store does not answer", silence_confirms_nothing),
        ("a reset gives everything back", reset_gives_back),
        ("order is kept over a reset", order_is_kept_over_a_reset),
        ("a broken sink says so until its reset", broken_until_reset),
        ("an unknown topic takes nothing", unknown_topic_takes_nothing),
        ("what is too large harms only itself", too_large_harms_only_itself),
    ];
    for (name, check) in checks {
        eprintln!("contract of a sink: {name}");
        check(&mut fixture());
    }
}

/// A sink and what it was given.
struct Run {
    sink: Box<dyn Sink>,
    open: BTreeMap<Token, RecordBuf>,
    durable: Vec<RecordBuf>,
    /// In the order of their tokens.
    back: BTreeMap<Token, Back>,
}

/// A record that was not stored, and what was said of it.
#[derive(Debug)]
enum Back {
    TooLarge(RecordBuf),
    Refused(RecordBuf),
    Undecided(RecordBuf),
}

impl Back {
    fn record(&self) -> &RecordBuf {
        match self {
            Back::TooLarge(record) | Back::Refused(record) | Back::Undecided(record) => record,
        }
    }
}

impl Run {
    fn new(fixture: &mut impl Fixture) -> Run {
        Run {
            sink: fixture.sink(thread::current()),
            open: BTreeMap::new(),
            durable: Vec::new(),
            back: BTreeMap::new(),
        }
    }

    /// Appends until there is room.
    fn append(&mut self, record: &RecordBuf, token: Token) -> Result<(), AppendError> {
        let deadline = Instant::now() + PATIENCE;
        // A topic that is missing has none.
        let count = self.sink.partitions(record.as_record().topic()).unwrap_or(1);
        let partition = partition::of(partition::hash(record.as_record().key()), count);
        loop {
            let began = Instant::now();
            let taken = self.sink.append(record.clone(), partition, token);
            is_prompt("append", began);
            let taken = taken.map_err(|NotTaken { record: back, error }| {
                assert_eq!(&back, record, "a record comes back as it was given");
                error
            });
            match taken {
                Ok(()) => {
                    let before = self.open.insert(token, record.clone());
                    assert!(before.is_none(), "the suite uses a token for one record at a time");
                    return Ok(());
                }
                Err(AppendError::Full) if Instant::now() < deadline => {
                    self.poll();
                    thread::park_timeout(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[track_caller]
    fn append_all(&mut self, records: &[RecordBuf]) {
        for (token, record) in records.iter().enumerate() {
            self.append(record, token).expect("a sink that is well takes records");
        }
    }

    fn poll(&mut self) {
        let mut decided = Vec::new();
        let began = Instant::now();
        self.sink.poll(&mut decided);
        is_prompt("poll", began);
        for Decided { token, verdict } in decided {
            let Some(record) = self.open.remove(&token) else {
                panic!("token {token} is decided, and is not open: {verdict:?}");
            };
            let back = match verdict {
                Verdict::Durable => {
                    self.durable.push(record);
                    continue;
                }
                Verdict::TooLarge(back) => Back::TooLarge(back),
                Verdict::Refused { record, .. } => Back::Refused(record),
                Verdict::Undecided { record, .. } | Verdict::Untimely { record, .. } => {
                    Back::Undecided(record)
                }
            };
            assert_eq!(back.record(), &record, "a record comes back as it was given");
            self.back.insert(token, back);
        }
    }

    /// Polls until nothing is open, then until it is sure that nothing is decided twice. A sink that breaks
    /// meanwhile decides nothing more by itself, and is reset, as a lane does it.
    #[track_caller]
    fn settle(&mut self) {
        self.poll_until("everything is decided, or the sink is broken", PATIENCE, |run| {
            run.open.is_empty() || run.sink.is_broken()
        });
        if self.sink.is_broken() {
            self.reset();
        }
        self.poll_for(QUIET);
    }

    #[track_caller]
    fn poll_until(&mut self, what: &str, wait: Duration, done: impl Fn(&Run) -> bool) {
        let deadline = Instant::now() + wait;
        loop {
            self.poll();
            if done(self) {
                return;
            }
            let open: Vec<&Token> = self.open.keys().collect();
            assert!(Instant::now() < deadline, "not within {wait:?}: {what}; open: {open:?}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn poll_for(&mut self, wait: Duration) {
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            self.poll();
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn reset(&mut self) {
        let began = Instant::now();
        self.sink.reset();
        self.poll_until("a reset gives everything back", RESET_MAX, |run| run.open.is_empty());
        assert!(began.elapsed() < RESET_MAX, "the reset took {:?}", began.elapsed());
        assert!(!self.sink.is_broken(), "a sink that was reset is broken");
    }

    /// What came back, in the order in which it was appended, as a lane would send it again.
    fn take_back(&mut self) -> Vec<RecordBuf> {
        std::mem::take(&mut self.back).into_values().map(|back| back.record().clone()).collect()
    }

    /// Appends records to a store that is well, and waits until they are durable.
    #[track_caller]
    fn land(&mut self, records: &[RecordBuf]) {
        self.append_all(records);
        self.settle();
        assert!(self.back.is_empty(), "a store that is well stores: {:?}", self.back);
    }
}

#[track_caller]
fn is_prompt(call: &str, began: Instant) {
    let took = began.elapsed();
    assert!(took < CALL_MAX, "{call} took {took:?}");
}

/// Records that are all different, in sizes from nothing to some kilobytes, with and without headers.
fn records(topic: &str, range: std::ops::Range<usize>) -> Vec<RecordBuf> {
    let record = |number: usize| {
        let mut record = RecordBuf::default();
        record.begin(topic, 1_760_000_000_000 + number as i64);
        if !number.is_multiple_of(3) {
            record.header("content-type", b"application/protobuf");
            record.header("number", &number.to_be_bytes());
        }
        record.key(|out| out.extend_from_slice(format!("key-{}", number % KEYS).as_bytes()));
        record.value(|out| {
            out.extend_from_slice(&(number as u32).to_be_bytes());
            out.extend((0..number * 17 % 4_000).map(|at| (at * number) as u8));
        });
        record
    };
    range.map(record).collect()
}

/// A record with nothing in it, and one of many bytes.
fn extremes(topic: &str) -> [RecordBuf; 2] {
    let mut empty = RecordBuf::default();
    empty.begin(topic, 1);
    let mut large = RecordBuf::default();
    large.begin(topic, 2);
    large.key(|out| out.extend_from_slice("schlüssel".as_bytes()));
    large.value(|out| out.extend((0..9_000_u32).map(|at| at as u8)));
    [empty, large]
}

fn number(record: &RecordBuf) -> u32 {
    let value = record.as_record().value();
    u32::from_be_bytes(value[..4].try_into().expect("a value begins with its number"))
}

/// Each record is stored as it was given, and none that was not given.
#[track_caller]
fn are_stored(expected: &[RecordBuf], stored: &[RecordBuf]) {
    for record in expected {
        assert!(stored.contains(record), "durable and not stored: {record:?}");
    }
    for record in stored {
        assert!(expected.contains(record), "stored and never given: {record:?}");
    }
}

/// Within each key, records are first seen in the order of their numbers.
#[track_caller]
fn are_in_order(stored: &[RecordBuf]) {
    let mut seen: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for record in stored {
        if known.insert(number(record)) {
            seen.entry(record.as_record().key()).or_default().push(number(record));
        }
    }
    for (key, numbers) in seen {
        assert!(numbers.is_sorted(), "{:?}: {numbers:?}", String::from_utf8_lossy(key));
    }
}

fn durable_is_readable<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    let mut given = records(&topic, 0..RECORDS);
    given.extend(extremes(&topic));
    run.land(&given);
    // A token that was decided is free again.
    let more = records(&topic, RECORDS..RECORDS + 10);
    run.land(&more);
    given.extend(more);
    assert_eq!(run.durable.len(), given.len());
    let stored = fixture.stored(&topic);
    are_stored(&given, &stored);
    assert_eq!(stored.len(), given.len(), "without a fault nothing is stored twice");
}

fn order_is_kept<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    let given = records(&topic, 0..5 * RECORDS);
    run.land(&given);
    let stored = fixture.stored(&topic);
    are_stored(&given, &stored);
    are_in_order(&stored);
}

fn silence_confirms_nothing<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    run.land(&records(&topic, 0..1));
    fixture.stop();
    let given = records(&topic, 1..RECORDS);
    run.append_all(&given);
    run.poll_for(3 * QUIET);
    assert_eq!(run.durable.len(), 1, "nothing may be called durable by a store that is away");
    fixture.recover();
    run.settle();
    let again = run.take_back();
    run.land(&again);
    let stored = fixture.stored(&topic);
    are_stored(&records(&topic, 0..RECORDS), &stored);
    are_in_order(&stored);
}

fn reset_gives_back<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    run.land(&records(&topic, 0..1));
    fixture.stop();
    let given = records(&topic, 1..RECORDS);
    run.append_all(&given);
    run.reset();
    assert_eq!(run.durable.len(), 1, "nothing may be called durable by a store that is away");
    let undecided = |back: &Back| matches!(back, Back::Undecided(_));
    assert!(run.back.values().all(undecided), "what is given up is undecided: {:?}", run.back);
    assert_eq!(run.take_back(), given);
    fixture.recover();
    run.land(&given);
    are_stored(&records(&topic, 0..RECORDS), &fixture.stored(&topic));
}

fn order_is_kept_over_a_reset<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    run.land(&records(&topic, 0..1));
    for round in 0..3 {
        let (start, end) = (1 + round * RECORDS, 1 + (round + 1) * RECORDS);
        run.append_all(&records(&topic, start..end));
        // Some are stored already, some are on their way, some have not left.
        thread::sleep(Duration::from_millis(round as u64 * 4));
        run.reset();
        let again = run.take_back();
        run.land(&again);
    }
    let stored = fixture.stored(&topic);
    are_stored(&records(&topic, 0..1 + 3 * RECORDS), &stored);
    are_in_order(&stored);
}

fn broken_until_reset<F: Fixture>(fixture: &mut F) {
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    run.land(&records(&topic, 0..1));
    if !fixture.break_next() {
        eprintln!("this store cannot be made to break its sink");
        return;
    }
    let given = records(&topic, 1..4);
    let mut refused = Vec::new();
    for (token, record) in given.iter().enumerate() {
        match run.append(record, token) {
            Ok(()) => {}
            Err(AppendError::Broken) => refused.push(record.clone()),
            Err(error) => panic!("a sink that breaks says: {error:?}"),
        }
    }
    run.poll_until("the sink is broken", PATIENCE, |run| run.sink.is_broken());
    assert_eq!(run.append(&given[0], RECORDS), Err(AppendError::Broken));
    run.reset();
    let again: Vec<RecordBuf> = run.take_back().into_iter().chain(refused).collect();
    // Of what was on its way elsewhere in the store, some may have landed.
    let left = given.iter().filter(|record| !run.durable.contains(record));
    assert!(again.iter().eq(left), "what a broken sink had comes back: {again:?}");
    assert!(!again.is_empty(), "what broke the sink is not durable");
    run.land(&again);
    are_stored(&records(&topic, 0..4), &fixture.stored(&topic));
}

fn unknown_topic_takes_nothing<F: Fixture>(fixture: &mut F) {
    let Some(missing) = fixture.missing_topic() else { return };
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    match run.append(&records(&missing, 0..1)[0], RECORDS) {
        Ok(()) | Err(AppendError::NoTopic) => {}
        Err(error) => panic!("a topic that is missing may come: {error:?}"),
    }
    // Nor does it hold up the others.
    run.append_all(&records(&topic, 0..1));
    run.poll_until("the other topic's record lands", PATIENCE, |run| run.durable.len() == 1);
    run.poll_for(3 * QUIET);
    assert_eq!(run.durable, records(&topic, 0..1), "only what has a topic can be durable");
    run.reset();
    for back in run.back.values() {
        assert!(matches!(back, Back::Undecided(_)), "a topic that is missing may come: {back:?}");
    }
}

fn too_large_harms_only_itself<F: Fixture>(fixture: &mut F) {
    let Some(size) = fixture.too_large() else { return };
    let topic = fixture.topic();
    let mut run = Run::new(fixture);
    run.land(&records(&topic, 0..1));
    let neighbours = records(&topic, 1..21);
    let mut large = RecordBuf::default();
    large.begin(&topic, 1);
    large.key(|out| out.extend_from_slice(b"key-1"));
    large.value(|out| out.extend(std::iter::repeat_n(b'x', size)));
    let middle = neighbours.len() / 2;
    run.append_all(&neighbours[..middle]);
    let mut known = false;
    match run.append(&large, middle) {
        Ok(()) => {}
        Err(AppendError::TooLarge) => known = true,
        Err(error) => panic!("a record that is too large is refused as: {error:?}"),
    }
    for (index, record) in neighbours[middle..].iter().enumerate() {
        run.append(record, middle + 1 + index).expect("its neighbours are not");
    }
    run.settle();
    // Where the batch that failed broke the sink before it was decided, the large one is tried once more.
    if let Some(Back::Undecided(_)) = run.back.get(&middle) {
        run.back.remove(&middle);
        match run.append(&large, middle) {
            Ok(()) => run.settle(),
            Err(AppendError::TooLarge) => known = true,
            Err(error) => panic!("a record that is too large is refused as: {error:?}"),
        }
    }
    if !known {
        let back = run.back.remove(&middle);
        assert!(matches!(back, Some(Back::TooLarge(_))), "too large, and came back as {back:?}");
    }
    // Whoever shared its fate lands without it.
    for record in run.take_back() {
        run.land(&[record]);
    }
    are_stored(&records(&topic, 0..21), &fixture.stored(&topic));
}
