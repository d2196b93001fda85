//! A sink in memory, for tests: a store that behaves as Kafka does where it matters to a lane, at the
//! pace and with the faults that a test asks for.
//!
//! What was taken within the store's linger is one batch: it fails as too large together. What comes
//! behind a lost record is lost with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::record::RecordBuf;
use crate::sink::{AppendError, Decided, Limits, NotTaken, Sink, Token, Verdict};

/// What a batch takes, as Kafka's sink has it.
const BATCH_BYTES: u32 = 256 * 1024;
const BATCH_RECORDS: u32 = 10_000;

/// What becomes of a record, told before it is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Store,
    /// It comes back undecided, and so does what is behind it until its lane knows.
    Lose,
    /// It can never be stored; known at once or after a while.
    Refuse,
    RefuseAtOnce,
    /// There is no room for it now.
    Full,
    /// The sink breaks instead of taking it.
    Break,
    /// It is taken and never decided: a bug of the sink, as is the next.
    Forget,
    Panic,
}

/// What the sinks of one test store into.
pub struct MemoryStore {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    partitions: u32,
    stored: Vec<RecordBuf>,
    taken: Vec<RecordBuf>,
    missing: BTreeSet<String>,
    value_max: usize,
    breaks_when_too_large: bool,
    answering: bool,
    linger: Duration,
    fates: VecDeque<Fate>,
    /// By sink.
    queues: BTreeMap<usize, Queue>,
    next_queue: usize,
}

#[derive(Default)]
struct Queue {
    taken: Vec<(Token, RecordBuf, Fate)>,
    decided: Vec<Decided>,
    /// Topics of which a record is lost and its lane was not told yet: what comes behind is lost with it.
    lost: BTreeSet<String>,
    broken: bool,
}

impl MemoryStore {
    /// Stores everything at once until told otherwise.
    pub fn new() -> Arc<MemoryStore> {
        Arc::new(MemoryStore {
            state: Mutex::new(State {
                partitions: 1,
                stored: Vec::new(),
                taken: Vec::new(),
                missing: BTreeSet::new(),
                value_max: usize::MAX,
                breaks_when_too_large: false,
                answering: true,
                linger: Duration::ZERO,
                fates: VecDeque::new(),
                queues: BTreeMap::new(),
                next_queue: 0,
            }),
            changed: Condvar::new(),
        })
    }

    /// A sink into this store; `wake` is unparked whenever a verdict can be polled.
    pub fn sink(self: &Arc<MemoryStore>, wake: Thread) -> Box<dyn Sink> {
        let mut state = self.state.lock();
        let id = state.next_queue;
        state.next_queue += 1;
        state.queues.insert(id, Queue::default());
        drop(state);
        let store = Arc::clone(self);
        thread::spawn(move || store.serve(id, &wake));
        Box::new(MemorySink { store: Arc::clone(self), id })
    }

    /// Decides what one sink took, batch by batch, until the sink is gone.
    fn serve(&self, id: usize, wake: &Thread) {
        let mut state = self.state.lock();
        while let Some(queue) = state.queues.get(&id) {
            if !state.answering || queue.broken || queue.taken.is_empty() {
                self.changed.wait(&mut state);
                continue;
            }
            let linger = state.linger;
            if !linger.is_zero() {
                drop(state);
                thread::sleep(linger);
                state = self.state.lock();
            }
            state.decide(id);
            wake.unpark();
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let changed = change(&mut self.state.lock());
        self.changed.notify_all();
        changed
    }

    /// What is durable, in the order in which it was stored.
    pub fn stored(&self) -> Vec<RecordBuf> {
        self.state.lock().stored.clone()
    }

    /// Every record that was taken, in order and as often as it was.
    pub fn taken(&self) -> Vec<RecordBuf> {
        self.state.lock().taken.clone()
    }

    /// How many records were taken and are not decided.
    pub fn undecided(&self) -> usize {
        self.state.lock().queues.values().map(|queue| queue.taken.len()).sum()
    }

    /// Takes out what is durable.
    pub fn take_stored(&self) -> Vec<RecordBuf> {
        self.change(|state| std::mem::take(&mut state.stored))
    }

    /// While it does not answer, records are taken and nothing is decided.
    pub fn set_answering(&self, answering: bool) {
        self.change(|state| state.answering = answering);
    }

    /// How long a batch gathers before it is decided.
    pub fn set_linger(&self, linger: Duration) {
        self.change(|state| state.linger = linger);
    }

    /// Values of more bytes are too large.
    pub fn set_value_max(&self, bytes: usize) {
        self.change(|state| state.value_max = bytes);
    }

    /// A batch that is too large breaks its sink, which then decides nothing of what is left.
    pub fn set_breaks_when_too_large(&self) {
        self.change(|state| state.breaks_when_too_large = true);
    }

    /// A topic that does not exist, or does again.
    pub fn set_missing(&self, topic: &str, missing: bool) {
        self.change(|state| match missing {
            true => state.missing.insert(topic.to_owned()),
            false => state.missing.remove(topic),
        });
    }

    /// What happens to the next records, one by one; those after them are stored.
    pub fn tell_fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.change(|state| state.fates.extend(fates));
    }

    /// Forgets the fates that were told and not used.
    pub fn clear_fates(&self) {
        self.change(|state| state.fates.clear());
    }
}

impl State {
    fn decide(&mut self, id: usize) {
        let State { queues, stored, value_max, breaks_when_too_large, answering, .. } = self;
        // It may have stopped, broken or gone while the batch gathered.
        let queue = queues.get_mut(&id).filter(|queue| *answering && !queue.broken);
        let Some(queue) = queue else { return };
        let mut batch = std::mem::take(&mut queue.taken);
        let topic = |record: &RecordBuf| record.as_record().topic().to_owned();
        let is_too_large = |record: &RecordBuf| record.as_record().value().len() > *value_max;
        if *breaks_when_too_large
            && let Some(large) = batch.iter().position(|(_, record, _)| is_too_large(record))
        {
            // What is behind it was on its way already.
            queue.taken = batch.split_off(large + 1);
            queue.broken = true;
        }
        let too_large: BTreeSet<String> = batch
            .iter()
            .filter(|(_, record, _)| is_too_large(record))
            .map(|(_, record, _)| topic(record))
            .collect();
        let lost = &mut queue.lost;
        for (token, record, fate) in batch {
            let topic = topic(&record);
            let verdict = if too_large.contains(&topic) {
                Verdict::TooLarge(record)
            } else if lost.contains(&topic) {
                Verdict::Undecided { record, reason: "one before it was lost".into() }
            } else if fate == Fate::Lose {
                lost.insert(topic);
                Verdict::Undecided { record, reason: "lost".into() }
            } else if fate == Fate::Refuse {
                Verdict::Refused { record, reason: "refused".into() }
            } else {
                stored.push(record);
                Verdict::Durable
            };
            queue.decided.push(Decided { token, verdict });
        }
    }
}

struct MemorySink {
    store: Arc<MemoryStore>,
    id: usize,
}

impl MemorySink {
    fn with_queue<R>(&self, use_it: impl FnOnce(&mut Queue) -> R) -> R {
        self.store.change(|state| {
            use_it(state.queues.get_mut(&self.id).expect("it is there as long as the sink"))
        })
    }
}

impl Sink for MemorySink {
    fn partitions(&mut self, _: &str) -> Option<u32> {
        Some(self.store.state.lock().partitions)
    }

    fn limits(&mut self, _: &str) -> Limits {
        Limits {
            batch_bytes: BATCH_BYTES,
            batch_records: BATCH_RECORDS,
            linger: Duration::ZERO,
            times: None,
        }
    }

    fn append(&mut self, record: RecordBuf, _: u32, token: Token) -> Result<(), NotTaken> {
        self.store.change(|state| {
            let queue = state.queues.get_mut(&self.id).expect("it is there as long as the sink");
            let not_taken = |error| Err(NotTaken { record: record.clone(), error });
            if queue.broken {
                return not_taken(AppendError::Broken);
            }
            if state.missing.contains(record.as_record().topic()) {
                return not_taken(AppendError::NoTopic);
            }
            match state.fates.pop_front().unwrap_or(Fate::Store) {
                Fate::Full => not_taken(AppendError::Full),
                Fate::RefuseAtOnce => not_taken(AppendError::Refused("refused at once".into())),
                Fate::Break => {
                    queue.broken = true;
                    not_taken(AppendError::Broken)
                }
                Fate::Forget => {
                    state.taken.push(record);
                    Ok(())
                }
                Fate::Panic => panic!("as the test told"),
                fate => {
                    state.taken.push(record.clone());
                    queue.taken.push((token, record, fate));
                    Ok(())
                }
            }
        })
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        // Nothing that the store waits for changes here.
        let mut state = self.store.state.lock();
        let queue = state.queues.get_mut(&self.id).expect("it is there as long as the sink");
        decided.append(&mut queue.decided);
        let lost = std::mem::take(&mut queue.lost);
        for (_, record, fate) in &mut queue.taken {
            if *fate == Fate::Store && lost.contains(record.as_record().topic()) {
                *fate = Fate::Lose;
            }
        }
    }

    fn is_broken(&self) -> bool {
        self.with_queue(|queue| queue.broken)
    }

    fn reset(&mut self) {
        self.with_queue(|queue| {
            queue.broken = false;
            for (token, record, _) in queue.taken.drain(..) {
                let verdict = Verdict::Undecided { record, reason: "given up".into() };
                queue.decided.push(Decided { token, verdict });
            }
        });
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        self.store.change(|state| state.queues.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::contract::{self, Fixture};

    #[derive(Clone)]
    struct Memory(Arc<MemoryStore>);

    impl Fixture for Memory {
        fn sink(&mut self, wake: Thread) -> Box<dyn Sink> {
            self.0.sink(wake)
        }

        fn topic(&mut self) -> String {
            "there".to_owned()
        }

        fn missing_topic(&mut self) -> Option<String> {
            self.0.set_missing("missing", true);
            Some("missing".to_owned())
        }

        fn too_large(&mut self) -> Option<usize> {
            self.0.set_value_max(10_000);
            Some(10_001)
        }

        fn stored(&mut self, topic: &str) -> Vec<RecordBuf> {
            let mut stored = self.0.stored();
            stored.retain(|record| record.as_record().topic() == topic);
            stored
        }

        fn stop(&mut self) {
            self.0.set_answering(false);
        }

        fn recover(&mut self) {
            self.0.set_answering(true);
        }

        fn break_next(&mut self) -> bool {
            self.0.tell_fates([Fate::Break]);
            true
        }
    }

    #[test]
    fn it_keeps_the_contract_of_a_sink() {
        contract::check_all(|| {
            let store = MemoryStore::new();
            store.set_linger(Duration::from_millis(5));
            Memory(store)
        });
    }

    /// As Kafka's does when the batch behind the refused one was under way.
    #[test]
    fn it_keeps_the_contract_where_a_batch_too_large_breaks_it() {
        contract::check_all(|| {
            let store = MemoryStore::new();
            store.set_linger(Duration::from_millis(5));
            store.set_breaks_when_too_large();
            Memory(store)
        });
    }
}
