//! What of a lane is on its way to Kafka: its records by Kafka topic and partition, and which of them may be handed
//! over when. Pure: time is an argument, and nothing is done here but deciding.
//!
//! A partition's records stand in one queue, in the order in which they came. What is handed over is the front of
//! it, one batch at a time, and nothing goes past what came back. So a device's order survives whatever Kafka does.
//!
//! A record may be on disk and not in memory ([`Flight::push_elsewhere`]), nobody needs to wait for it (that is its
//! companion's business), and it may have a deadline ([`Flight::take_expired`]).

mod queue;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::queue::{Entry, Partition, Standing, TIME_MARGIN_MS, takes};
use super::{STALLED_AFTER, partition};
use crate::record::RecordBuf;
use crate::sink::{AppendError, Limits, NotTaken, TimeLimits, Token, Verdict};

/// How long what came back waits before it is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The same where the producer's own queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// The same where a record is refused for its time although it was given a new one: clocks differ.
pub const CLOCK_PAUSE: Duration = Duration::from_secs(10);
/// How long records may take that stand in the way of a topic's new partitions, or whose topic is gone; then they are
/// taken back.
pub const GROWTH_WAIT: Duration = Duration::from_secs(5);

/// A token names topic, partition and a number that is the record's own there, as long as it is undecided.
const NUMBER_BITS: u32 = 32;
const PARTITION_BITS: u32 = 20;

/// See the module. `C` is what belongs to a record, such as who waits for it.
pub struct Flight<C> {
    topics: Vec<Topic<C>>,
    next_sequence: u64,
    /// Partitions that may have something to hand over.
    ready: VecDeque<Place>,
    /// Partitions that gather a batch, each until then at most.
    lingering: Vec<(Instant, Place)>,
    /// Partitions that wait for a moment.
    paused: Vec<Place>,
    /// What times are counted from.
    epoch: Instant,
    /// When something was handed over last: what comes now is no older.
    now_ms: u32,
    open: usize,
    waiting: usize,
    reset_wanted: bool,
    is_resetting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    topic: usize,
    partition: usize,
}

struct Topic<C> {
    name: Box<str>,
    /// Empty while their count is not known.
    partitions: Vec<Partition<C>>,
    /// What came while the count was not known, in its order.
    unplaced: VecDeque<Entry<C>>,
    /// Another count is known, since when: it holds once nothing of the topic is open.
    next_count: Option<(u32, Instant)>,
    /// It was there and is not any more, since when: nothing goes until its partitions are known again.
    gone_since: Option<Instant>,
    /// With the sink.
    open: usize,
    /// Times beyond these were refused.
    refused_times: TimeLimits,
    /// Kafka refused a time that was just given: when this was.
    clocks_differ: Option<Instant>,
}

/// A partition of which nothing lands although it has records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    pub topic: String,
    pub partition: u32,
    pub since: Duration,
}

/// Whether a record that came back, or another of its batch, is at fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    SomeOnes,
    Time,
}

/// What a verdict means for a record.
#[derive(Debug)]
pub enum Ruling<C> {
    Landed(C),
    /// It waits here, to be handed over again: why.
    Held(Cow<'static, str>),
    /// It can never land.
    Final {
        companion: C,
        record: RecordBuf,
        why: Final,
    },
}

/// Why a record can never land.
#[derive(Debug, PartialEq, Eq)]
pub enum Final {
    TooLarge,
    Refused(Cow<'static, str>),
}

/// A record that is to be handed over.
pub struct Handing {
    pub record: RecordBuf,
    pub partition: u32,
    pub token: Token,
    /// A producer had it before.
    pub again: bool,
}

impl<C> Flight<C> {
    pub fn new(now: Instant) -> Flight<C> {
        Flight {
            topics: Vec::new(),
            next_sequence: 0,
            ready: VecDeque::new(),
            lingering: Vec::new(),
            paused: Vec::new(),
            epoch: now,
            now_ms: 0,
            open: 0,
            waiting: 0,
            reset_wanted: false,
            is_resetting: false,
        }
    }

    /// Takes a new record, behind all that came before.
    pub fn push(&mut self, record: RecordBuf, companion: C, deadline: Option<Instant>) {
        let hash = partition::hash(record.as_record().key());
        let bytes = record.as_record().batch_bytes();
        let topic = self.topic(record.as_record().topic());
        self.line_up(topic, Entry::new(Some(record), companion, hash, bytes, deadline));
    }

    /// Takes a new record that is not in memory, of a key with that hash and with so many bytes of a batch. It is asked
    /// for by [`Flight::missing`] and comes by [`Flight::bring`].
    pub fn push_elsewhere(
        &mut self,
        topic: &str,
        (hash, bytes): (u32, u32),
        companion: C,
        deadline: Option<Instant>,
    ) {
        let topic = self.topic(topic);
        self.line_up(topic, Entry::new(None, companion, hash, bytes, deadline));
    }

    fn line_up(&mut self, topic: usize, mut entry: Entry<C>) {
        entry.sequence = self.next_sequence;
        entry.since_ms = self.now_ms;
        self.next_sequence += 1;
        self.waiting += 1;
        let known = &mut self.topics[topic];
        match known.partitions.len() {
            0 => known.unplaced.push_back(entry),
            count => {
                let partition = partition::of(entry.hash, count as u32) as usize;
                known.partitions[partition].push(entry);
                self.list(Place { topic, partition });
            }
        }
    }

    fn topic(&mut self, name: &str) -> usize {
        if let Some(index) = self.topics.iter().position(|topic| *topic.name == *name) {
            return index;
        }
        self.topics.push(Topic {
            name: name.into(),
            partitions: Vec::new(),
            unplaced: VecDeque::new(),
            next_count: None,
            gone_since: None,
            open: 0,
            refused_times: TimeLimits { before_max_ms: i64::MAX, after_max_ms: i64::MAX },
            clocks_differ: None,
        });
        self.topics.len() - 1
    }

    fn partition(&mut self, place: Place) -> &mut Partition<C> {
        &mut self.topics[place.topic].partitions[place.partition]
    }

    fn list(&mut self, place: Place) {
        if !std::mem::replace(&mut self.partition(place).is_listed, true) {
            self.ready.push_back(place);
        }
    }

    /// Asks how many partitions each topic has, that records came for. Another count than before holds once nothing of
    /// the topic is open any more: a device's new records wait until its older ones are decided.
    pub fn ask_partitions(&mut self, mut ask: impl FnMut(&str) -> Option<u32>, now: Instant) {
        for index in 0..self.topics.len() {
            let topic = &mut self.topics[index];
            let known = |count: &u32| (1..1 << PARTITION_BITS).contains(count);
            let Some(count) = ask(&topic.name).filter(known) else {
                if !topic.partitions.is_empty() {
                    let since = *topic.gone_since.get_or_insert(now);
                    // What waits inside the sink would go to its old partition as soon as there is one again.
                    let waits = now.saturating_duration_since(since) >= GROWTH_WAIT;
                    self.reset_wanted |= waits && topic.open > 0;
                }
                topic.partitions.iter_mut().for_each(Partition::forget_producer);
                continue;
            };
            let was_gone = topic.gone_since.take().is_some();
            if count as usize == topic.partitions.len() {
                if topic.next_count.take().is_some() || was_gone {
                    self.list_all(index);
                }
            } else if topic.next_count.is_none_or(|(next, _)| next != count) {
                topic.next_count = Some((count, now));
            }
        }
    }

    fn list_all(&mut self, topic: usize) {
        for partition in 0..self.topics[topic].partitions.len() {
            self.list(Place { topic, partition });
        }
    }

    /// Lays a topic out anew where its count has changed and nothing of it is open.
    fn lay_out(&mut self, index: usize, now: Instant) {
        let topic = &mut self.topics[index];
        let Some((count, since)) = topic.next_count else { return };
        if topic.open > 0 {
            // What was handed over to partitions that are gone does not come back by itself.
            let is_gone = (count as usize) < topic.partitions.len();
            self.reset_wanted |= is_gone || now.saturating_duration_since(since) >= GROWTH_WAIT;
            return;
        }
        topic.next_count = None;
        topic.partitions.iter_mut().for_each(Partition::forget_producer);
        let old = std::mem::take(&mut topic.partitions);
        let known: Vec<(Standing, u32)> = old
            .iter()
            .map(|partition| {
                let past = partition.queue.len() as u32;
                (partition.standing, partition.first_number.wrapping_add(past))
            })
            .collect();
        let mut entries: Vec<Entry<C>> = old.into_iter().flat_map(|one| one.queue).collect();
        entries.retain(|entry| entry.companion.is_some());
        entries.extend(topic.unplaced.drain(..));
        entries.sort_unstable_by_key(|entry| entry.sequence);
        topic.partitions.resize_with(count as usize, Partition::default);
        for (partition, (standing, number)) in topic.partitions.iter_mut().zip(known) {
            (partition.standing, partition.first_number) = (standing, number);
        }
        for entry in entries {
            let partition = partition::of(entry.hash, count) as usize;
            topic.partitions[partition].push(entry);
        }
        self.ready.retain(|place| place.topic != index);
        self.lingering.retain(|(_, place)| place.topic != index);
        self.paused.retain(|place| place.topic != index);
        for partition in 0..count as usize {
            let place = Place { topic: index, partition };
            if let Standing::Paused { .. } = self.partition(place).standing {
                self.paused.push(place);
            }
            self.list(place);
        }
    }

    /// Hands over what may go now, in order: `give` is called for each record, `limits` for each batch. What `give`
    /// does not take waits, or is final: `rulings` tells.
    pub fn hand_over(
        &mut self,
        (now, wall_ms): (Instant, i64),
        mut limits: impl FnMut(&str) -> Limits,
        mut give: impl FnMut(Handing) -> Result<(), NotTaken>,
        rulings: &mut Vec<(Token, Ruling<C>)>,
    ) {
        for topic in 0..self.topics.len() {
            self.lay_out(topic, now);
        }
        self.now_ms = self.ms(now);
        self.end_pauses(now);
        self.ready.extend(self.lingering.drain(..).map(|(_, place)| place));
        // What is listed meanwhile is for the next time.
        for _ in 0..self.ready.len() {
            let Some(place) = self.ready.pop_front() else { break };
            self.partition(place).is_listed = false;
            let topic = &self.topics[place.topic];
            if topic.next_count.is_some() || topic.gone_since.is_some() || self.reset_wanted {
                // It is listed again when the topic is laid out, or the sink was reset.
                continue;
            }
            if let Some(until) = topic.probes_at(now) {
                self.pause(place, until);
                continue;
            }
            let limits = limits(&topic.name);
            self.hand_over_batch(place, (now, wall_ms), &limits, &mut give, rulings);
        }
    }

    fn end_pauses(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(place) = self.paused.get(index).copied() {
            match self.partition(place).standing {
                Standing::Paused { until } if until > now => {
                    index += 1;
                    continue;
                }
                Standing::Paused { .. } => self.partition(place).standing = Standing::New,
                Standing::New | Standing::Alone | Standing::Known { .. } => {}
            }
            self.paused.swap_remove(index);
            self.list(place);
        }
    }

    fn hand_over_batch(
        &mut self,
        place: Place,
        (now, wall_ms): (Instant, i64),
        limits: &Limits,
        give: &mut impl FnMut(Handing) -> Result<(), NotTaken>,
        rulings: &mut Vec<(Token, Ruling<C>)>,
    ) {
        let now_ms = self.now_ms;
        let refused = self.topics[place.topic].refused_times;
        // Of two requests of a partition on their way, the second would be refused where the first is tried again, at
        // another leader: librdkafka begins anew then, and what is on its way anywhere is there twice. From the fifth
        // record on it would spin, too.
        if self.partition(place).open > 0 {
            return;
        }
        if let Some(wait) = self.partition(place).gathers_for(now_ms, limits) {
            self.partition(place).is_listed = true;
            self.lingering.push((now + wait, place));
            return;
        }
        loop {
            let partition = self.partition(place);
            let Some(alone) = partition.next(now, limits) else { return };
            let index = partition.handed;
            let entry = &mut partition.queue[index];
            let Some(mut record) = entry.record.take() else { return };
            entry.stamp(&mut record, [limits.times, Some(refused)], wall_ms);
            let token = token(place, partition.first_number.wrapping_add(index as u32));
            let (partition_number, again) = (place.partition as u32, entry.past.taken);
            let handing = Handing { record, partition: partition_number, token, again };
            match give(handing) {
                Ok(()) => {
                    (entry.is_open, entry.since_ms) = (true, now_ms);
                    let bytes = entry.bytes;
                    partition.open(bytes);
                    partition.standing =
                        if alone { Standing::Alone } else { Standing::Known { at: now } };
                    self.topics[place.topic].open += 1;
                    self.open += 1;
                    self.waiting -= 1;
                }
                Err(NotTaken { record, error }) => {
                    let ruling = self.not_taken(place, index, record, error, now);
                    rulings.extend(ruling.map(|ruling| (token, ruling)));
                }
            }
        }
    }

    /// A record was not taken: it waits, or it is final.
    fn not_taken(
        &mut self,
        place: Place,
        index: usize,
        record: RecordBuf,
        error: AppendError,
        now: Instant,
    ) -> Option<Ruling<C>> {
        let (pause, reason) = match error {
            AppendError::TooLarge => return self.end(place, index, record, Final::TooLarge),
            AppendError::Refused(reason) => {
                return self.end(place, index, record, Final::Refused(reason));
            }
            AppendError::Full => (FULL_PAUSE, None),
            AppendError::Broken => (Duration::ZERO, None),
            AppendError::Away => (RETRY_PAUSE, Some("there is no producer yet".into())),
            AppendError::NoTopic => {
                let Place { topic, partition } = place;
                let topic = &self.topics[topic].name;
                let reason =
                    format!("partition {partition} of topic {topic} is not there, or not for us");
                (RETRY_PAUSE, Some(reason.into()))
            }
        };
        self.partition(place).queue[index].record = Some(record);
        self.pause(place, now + pause);
        reason.map(Ruling::Held)
    }

    /// Ends a record that waits.
    fn end(
        &mut self,
        place: Place,
        index: usize,
        record: RecordBuf,
        why: Final,
    ) -> Option<Ruling<C>> {
        let partition = self.partition(place);
        let entry = &mut partition.queue[index];
        let companion = entry.companion.take()?;
        partition.waiting_bytes -= u64::from(entry.bytes);
        partition.skip_done();
        self.waiting -= 1;
        Some(Ruling::Final { companion, record, why })
    }

    fn pause(&mut self, place: Place, until: Instant) {
        let partition = self.partition(place);
        let is_paused = matches!(partition.standing, Standing::Paused { .. });
        let until = match partition.standing {
            Standing::Paused { until: known } => known.max(until),
            Standing::New | Standing::Alone | Standing::Known { .. } => until,
        };
        partition.standing = Standing::Paused { until };
        if !is_paused {
            self.paused.push(place);
        }
    }

    /// Says what a verdict of the sink means. None: it did not have that record.
    pub fn decide(
        &mut self,
        token: Token,
        verdict: Verdict,
        (now, wall_ms): (Instant, i64),
    ) -> Option<Ruling<C>> {
        let (place, number) = place_of(token);
        let partition = self.topics.get_mut(place.topic)?.partitions.get_mut(place.partition)?;
        let index = number.wrapping_sub(partition.first_number) as usize;
        let entry = partition.queue.get_mut(index).filter(|entry| entry.is_open)?;
        entry.is_open = false;
        entry.past.taken = true;
        let (bytes, was_alone) = (entry.bytes, partition.is_lonely);
        partition.close(bytes);
        self.topics[place.topic].open -= 1;
        self.open -= 1;
        let (record, reason, fault) = match verdict {
            Verdict::Durable => return self.landed(place, index, now),
            Verdict::TooLarge(record) if was_alone => {
                return self.refused(place, index, record, Final::TooLarge, now);
            }
            Verdict::Refused { record, reason } if was_alone => {
                return self.refused(place, index, record, Final::Refused(reason), now);
            }
            Verdict::TooLarge(record) => {
                let reason = "its batch was too large for Kafka".into();
                (record, reason, Fault::SomeOnes)
            }
            Verdict::Refused { record, reason } => (record, reason, Fault::SomeOnes),
            Verdict::Untimely { record, reason } => (record, reason, Fault::Time),
            Verdict::Undecided { record, reason } => (record, reason, Fault::None),
        };
        let ahead_ms = record.as_record().timestamp_ms().saturating_sub(wall_ms);
        let partition = self.partition(place);
        let entry = &mut partition.queue[index];
        entry.record = Some(record);
        // A new time did not help: it is Kafka's clock that differs, or ours.
        let clocks_differ = fault == Fault::Time && entry.past.untimely && was_alone;
        entry.past.suspect |= fault == Fault::SomeOnes;
        entry.past.untimely |= fault == Fault::Time;
        partition.handed = partition.handed.min(index);
        partition.waiting_bytes += u64::from(bytes);
        self.waiting += 1;
        // What else went with it comes back by that, and goes again in order.
        self.reset_wanted |= fault != Fault::None && !self.is_resetting;
        let pause = match (clocks_differ, self.is_resetting || fault != Fault::None) {
            (true, _) => CLOCK_PAUSE,
            (false, true) => Duration::ZERO,
            (false, false) => self.partition(place).set_back(),
        };
        let topic = &mut self.topics[place.topic];
        if clocks_differ {
            topic.clocks_differ = Some(now);
        } else if fault == Fault::Time {
            topic.learn_times(ahead_ms, wall_ms);
        }
        self.pause(place, now + pause);
        Some(Ruling::Held(reason))
    }

    fn landed(&mut self, place: Place, index: usize, now: Instant) -> Option<Ruling<C>> {
        self.topics[place.topic].clocks_differ = None;
        let now_ms = self.now_ms;
        let partition = self.partition(place);
        (partition.setbacks, partition.progress_ms) = (0, now_ms);
        let companion = partition.queue[index].companion.take()?;
        if partition.standing == Standing::Alone {
            partition.standing = Standing::Known { at: now };
        }
        partition.skip_done();
        let may_go = partition.open == 0 && partition.has_waiting();
        if may_go {
            self.list(place);
        }
        Some(Ruling::Landed(companion))
    }

    /// A record that went alone is final.
    fn refused(
        &mut self,
        place: Place,
        index: usize,
        record: RecordBuf,
        why: Final,
        now: Instant,
    ) -> Option<Ruling<C>> {
        let partition = self.partition(place);
        let companion = partition.queue[index].companion.take()?;
        partition.skip_done();
        self.pause(place, now);
        Some(Ruling::Final { companion, record, why })
    }

    /// The sink has to be reset: what it has must come back before anything goes again.
    pub fn wants_reset(&self) -> bool {
        self.reset_wanted
    }

    /// The sink is going to be reset, and gives back what it has.
    pub fn begin_reset(&mut self) {
        self.is_resetting = true;
        self.reset_wanted = false;
    }

    /// The sink was reset and has said all that it had to say. What it did not give back is lost to it: its companions
    /// are returned.
    pub fn end_reset(&mut self, now: Instant) -> Vec<C> {
        self.is_resetting = false;
        self.reset_wanted = false;
        let mut forgotten = Vec::new();
        for topic in 0..self.topics.len() {
            self.topics[topic].open = 0;
            for partition in 0..self.topics[topic].partitions.len() {
                let place = Place { topic, partition };
                let known = self.partition(place);
                let lost = known.queue.iter_mut().filter(|entry| entry.is_open);
                forgotten.extend(lost.filter_map(|entry| {
                    entry.is_open = false;
                    entry.companion.take()
                }));
                (known.open, known.open_bytes) = (0, 0);
                known.skip_done();
                // The producer is another one, of which Kafka knows nothing.
                if !matches!(known.standing, Standing::Paused { until } if until > now) {
                    known.standing = Standing::New;
                }
                self.list(place);
            }
        }
        self.open = 0;
        forgotten
    }

    /// When something is to be done that nobody else gives a sign of.
    pub fn next_moment(&self) -> Option<Instant> {
        let pauses = self.paused.iter().filter_map(|place| {
            match self.topics[place.topic].partitions[place.partition].standing {
                Standing::Paused { until } => Some(until),
                Standing::New | Standing::Alone | Standing::Known { .. } => None,
            }
        });
        let growth = self.topics.iter().filter_map(|topic| topic.next_count);
        let gathered = self.lingering.iter().map(|(until, _)| *until);
        pauses.chain(gathered).chain(growth.map(|(_, since)| since + GROWTH_WAIT)).min()
    }

    /// Something may be handed over right now.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Records that the sink has.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Records that wait here.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Of those that wait, how many do so in a partition that cannot take them at once.
    pub fn held(&self) -> usize {
        let all = self.topics.iter().flat_map(|topic| &topic.partitions);
        let held = all.filter(|partition| !matches!(partition.standing, Standing::Known { .. }));
        let placed: usize = held.map(|partition| partition.queue.len() - partition.handed).sum();
        placed + self.topics.iter().map(|topic| topic.unplaced.len()).sum::<usize>()
    }

    /// The companion of the oldest record of each partition.
    pub fn oldest(&self) -> impl Iterator<Item = &C> {
        self.topics.iter().flat_map(|topic| {
            let queues = topic.partitions.iter().map(|partition| &partition.queue);
            let first = queues.chain([&topic.unplaced]).filter_map(VecDeque::front);
            first.filter_map(|entry| entry.companion.as_ref())
        })
    }

    /// Partitions that are away: they have records, and none has landed for a while.
    pub fn away(&self, now: Instant) -> impl Iterator<Item = Away> {
        let now_ms = self.ms(now);
        self.topics.iter().flat_map(move |topic| {
            let numbered = (0..).zip(&topic.partitions);
            numbered.filter(|(_, known)| !known.queue.is_empty()).filter_map(
                move |(partition, known)| {
                    // It may have landed since `now`.
                    let ms = now_ms.wrapping_sub(known.progress_ms).cast_signed().max(0);
                    let since = Duration::from_millis(ms.cast_unsigned().into());
                    let topic = || topic.name.to_string();
                    (since >= STALLED_AFTER).then(|| Away { topic: topic(), partition, since })
                },
            )
        })
    }

    /// A topic whose records Kafka refuses for the time that they were just given.
    pub fn clocks_differ(&self) -> Option<&str> {
        let topic = self.topics.iter().find(|topic| topic.clocks_differ.is_some())?;
        Some(&topic.name)
    }

    /// Records that are to be handed over next and are not in memory.
    pub fn missing(&self) -> impl Iterator<Item = (Token, &C)> {
        self.topics.iter().enumerate().flat_map(|(topic, known)| {
            known.partitions.iter().enumerate().filter_map(move |(partition, known)| {
                let entry = known.queue.get(known.handed)?;
                let number = known.first_number.wrapping_add(known.handed as u32);
                let companion = entry.companion.as_ref()?;
                entry
                    .record
                    .is_none()
                    .then(|| (token(Place { topic, partition }, number), companion))
            })
        })
    }

    /// The topic of the first record of those.
    pub fn topic_where(&self, mut is_it: impl FnMut(&C) -> bool) -> Option<&str> {
        let topic = self.topics.iter().find(|topic| {
            let queues = topic.partitions.iter().map(|partition| &partition.queue);
            let mut entries = queues.chain([&topic.unplaced]).flatten();
            entries.any(|entry| entry.companion.as_ref().is_some_and(&mut is_it))
        });
        topic.map(|topic| &*topic.name)
    }

    /// The topic of a record that was handed over.
    pub fn topic_of(&self, token: Token) -> &str {
        &self.topics[place_of(token).0.topic].name
    }

    /// Brings a record that is missing.
    pub fn bring(&mut self, token: Token, record: RecordBuf) {
        let (place, number) = place_of(token);
        let partition = self.partition(place);
        let index = number.wrapping_sub(partition.first_number) as usize;
        let Some(entry) = partition.queue.get_mut(index) else { return };
        if !entry.is_open && entry.companion.is_some() {
            entry.record = Some(record);
            self.list(place);
        }
    }

    /// Takes out the records that wait and are not `wanted` any more.
    pub fn retain(&mut self, mut wanted: impl FnMut(&C) -> bool) -> Vec<C> {
        self.take_out(|entry| entry.companion.as_ref().is_some_and(|one| !wanted(one)))
    }

    /// Takes out the records that wait beyond their deadline.
    pub fn take_expired(&mut self, now: Instant) -> Vec<C> {
        self.take_out(|entry| entry.deadline.is_some_and(|deadline| deadline <= now))
    }

    fn take_out(&mut self, mut is_over: impl FnMut(&Entry<C>) -> bool) -> Vec<C> {
        let mut taken = Vec::new();
        let mut look = |entry: &mut Entry<C>| {
            if !entry.is_open && is_over(entry) {
                taken.extend(entry.companion.take());
                entry.record = None;
            }
        };
        for topic in &mut self.topics {
            topic.unplaced.iter_mut().for_each(&mut look);
            topic.unplaced.retain(|entry| entry.companion.is_some());
            for partition in &mut topic.partitions {
                partition.queue.iter_mut().for_each(&mut look);
                partition.skip_done();
                let waiting = |entry: &&Entry<C>| !entry.is_open && entry.companion.is_some();
                let bytes =
                    partition.queue.iter().filter(waiting).map(|entry| u64::from(entry.bytes));
                partition.waiting_bytes = bytes.sum();
            }
        }
        self.waiting -= taken.len();
        if !taken.is_empty() {
            // What stood behind one that was missing may go.
            (0..self.topics.len()).for_each(|topic| self.list_all(topic));
        }
        taken
    }

    fn ms(&self, now: Instant) -> u32 {
        // It comes round after 49 days, and is only used for differences.
        now.saturating_duration_since(self.epoch).as_millis() as u32
    }
}

impl<C> Topic<C> {
    /// A record was refused for its time, which lay so far ahead: what lies half as far gets another one before it is
    /// tried, or each would cost a reset.
    fn learn_times(&mut self, ahead_ms: i64, wall_ms: i64) {
        let (limit, half_ms) = match ahead_ms > 0 {
            true => (&mut self.refused_times.after_max_ms, ahead_ms / 2),
            false => (&mut self.refused_times.before_max_ms, -ahead_ms / 2),
        };
        if half_ms < TIME_MARGIN_MS {
            // Its time is that of the moment: it tells nothing of others.
            return;
        }
        *limit = half_ms.min(*limit);
        let times = self.refused_times;
        for entry in self.partitions.iter_mut().flat_map(|partition| &mut partition.queue) {
            // Of a batch that is refused for its times, Kafka says so of no record that did not go alone.
            let record = entry.record.as_ref().map(RecordBuf::as_record);
            let is_taken =
                record.is_none_or(|record| takes(times, record.timestamp_ms() - wall_ms));
            entry.past.suspect &= is_taken;
        }
    }

    /// When another record is tried, while Kafka refuses the times that records are given: each costs a reset, so only
    /// one goes at a time. None: now.
    fn probes_at(&self, now: Instant) -> Option<Instant> {
        let next = self.clocks_differ? + CLOCK_PAUSE;
        if next > now { Some(next) } else { (self.open > 0).then(|| now + RETRY_PAUSE) }
    }
}

fn token(place: Place, number: u32) -> Token {
    let topic = place.topic << PARTITION_BITS;
    ((topic | place.partition) << NUMBER_BITS) | number as usize
}

fn place_of(token: Token) -> (Place, u32) {
    let place = token >> NUMBER_BITS;
    let partition = place & ((1 << PARTITION_BITS) - 1);
    (Place { topic: place >> PARTITION_BITS, partition }, token as u32)
}

#[cfg(test)]
mod tests;
