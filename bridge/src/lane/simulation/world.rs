//! What is between a lane and the log of the simulation: the connections to the brokers, what the producer and the
//! gateway know of topics, and time, which passes from event to event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::cluster::{Answer, Heading, Sent, Topic};
use super::messages::Messages;
use super::producer::{Producer, Sending, Settings};
use crate::record::RecordBuf;
use crate::sink::{AppendError, Decided, Limits, NotTaken, Sink, TimeLimits, Token};

/// The true time of day when a simulation begins, in milliseconds since 1970.
const BEGAN_MS: i64 = 1_800_000_000_000;
/// A request without an answer breaks its connection then (`socket.timeout.ms`).
const SOCKET_TIMEOUT_MS: u64 = 10_000;
/// What is not tried again at once.
const CONNECT_PAUSE_MS: u64 = 2000;
/// What Kafka's sink leaves of a batch.
const BATCH_FRAMING: u32 = 256;

pub struct World {
    pub now_ms: u64,
    pub rng: SmallRng,
    pub topics: Vec<Topic>,
    pub brokers: Vec<Broker>,
    pub faults: Switches,
    pub messages: Messages,
    /// The lane's thread has something to look at.
    pub is_woken: bool,
    /// Times that the producer was made anew.
    pub resets: u64,
    settings: Settings,
    views: Vec<View>,
    producer: Option<Producer>,
    producers: u64,
    connect_at_ms: u64,
    /// The producer looks again what it can send.
    serves_at_ms: Option<u64>,
    given_back: Vec<Decided>,
    /// What the sink has: place and bytes by token, and the sums by place.
    taken: BTreeMap<Token, ((usize, usize), u32)>,
    open: BTreeMap<(usize, usize), Open>,
    events: BTreeMap<(u64, u64), Event>,
    event: u64,
    request: u64,
    connection: u64,
    /// Of the connections that broke: the first request that never arrives.
    lost_from: BTreeMap<u64, u64>,
}

#[derive(Default)]
pub struct Broker {
    /// It takes nothing and says nothing.
    pub is_stopped: bool,
    /// What came meanwhile.
    inbox: Vec<Arrival>,
    connection: u64,
    is_up: bool,
    arrived_ms: u64,
    answered_ms: u64,
    unanswered: Vec<u64>,
}

/// What goes wrong at the moment.
#[derive(Default)]
pub struct Switches {
    /// Of requests: the codes that Kafka answers, each with whether it stores the batch all the same, and how often.
    pub codes: Vec<(Code, bool)>,
    pub code_rate: f64,
    /// Of answers: how often one breaks its connection.
    pub cut_rate: f64,
    /// Milliseconds of one way, at most, beside the usual.
    pub late_ms: u64,
    /// How often a record finds the producer's queue full.
    pub full_rate: f64,
    /// How often the lane's thread stands still before it hands over a record, for longer than the producer lingers.
    pub standstill_rate: f64,
    /// No producer can be made.
    pub no_producer: bool,
    /// Kafka says nothing of the topics' limits.
    pub hides_limits: bool,
}

/// What is known of a topic; it lags behind.
#[derive(Default)]
struct View {
    /// By the producer: the leader of each partition; None where there is no such topic, or not for us.
    producers: Option<Vec<Option<usize>>>,
    /// The producer asks again, soon.
    looks_again: bool,
    /// By the gateway: partitions, largest batch, times.
    facts: Option<(u32, u32, Option<TimeLimits>)>,
}

/// What the sink has of a partition.
#[derive(Default)]
struct Open {
    records: usize,
    bytes: u32,
    /// What was known of the limits when the first of it came.
    limits: Option<Limits>,
}

enum Event {
    Arrives(Box<Arrival>),
    Answered(usize, u64, (usize, usize), u64, Answer),
    Expires(usize, u64, u64),
    Connects(usize),
    Refreshes(usize),
    LooksAgain(usize),
    Facts(usize),
    Serves,
}

struct Arrival {
    broker: usize,
    connection: u64,
    number: u64,
    heading: Heading,
    batch: Vec<Sent>,
}

impl World {
    pub fn new(seed: u64, topics: Vec<Topic>, brokers: usize, settings: Settings) -> World {
        let mut world = World {
            now_ms: 0,
            rng: SmallRng::seed_from_u64(seed),
            views: topics.iter().map(|_| View::default()).collect(),
            topics,
            brokers: (0..brokers).map(|_| Broker::default()).collect(),
            faults: Switches::default(),
            messages: Messages::default(),
            is_woken: true,
            resets: 0,
            settings,
            producer: None,
            producers: 0,
            connect_at_ms: 0,
            serves_at_ms: None,
            given_back: Vec::new(),
            taken: BTreeMap::new(),
            open: BTreeMap::new(),
            events: BTreeMap::new(),
            event: 0,
            request: 0,
            connection: 0,
            lost_from: BTreeMap::new(),
        };
        for topic in 0..world.topics.len() {
            world.refresh(topic);
            world.learn(topic);
        }
        world.connect();
        world
    }

    /// The true time of day.
    pub fn wall_ms(&self) -> i64 {
        BEGAN_MS + self.now_ms as i64
    }

    pub fn up_to(&mut self, most_ms: u64) -> u64 {
        self.rng.random_range(1..=most_ms)
    }

    pub fn next_event_ms(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// Lets time pass.
    pub fn go_on(&mut self, until_ms: u64) {
        while let Some(((at_ms, _), _)) = self.events.first_key_value()
            && *at_ms <= until_ms
        {
            self.now_ms = *at_ms;
            let Some((_, event)) = self.events.pop_first() else { break };
            self.happens(event);
            self.serve();
        }
        self.now_ms = until_ms;
        self.serve();
    }

    fn plan(&mut self, after_ms: u64, event: Event) {
        self.event += 1;
        self.events.insert((self.now_ms + after_ms, self.event), event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives(arrival) => self.arrives(*arrival),
            Event::Answered(broker, connection, place, number, answer) => {
                let known = &mut self.brokers[broker];
                if known.connection != connection || !known.is_up {
                    return;
                }
                known.unanswered.retain(|one| *one != number);
                self.answered(place, number, &answer);
            }
            Event::Expires(broker, connection, number) => {
                let known = &self.brokers[broker];
                if known.connection == connection && known.unanswered.contains(&number) {
                    self.cut(broker);
                }
            }
            Event::Connects(broker) => {
                if self.brokers[broker].is_up {
                    return;
                }
                if self.brokers[broker].is_stopped {
                    return self.plan(500, Event::Connects(broker));
                }
                self.connection += 1;
                let known = &mut self.brokers[broker];
                (known.connection, known.is_up) = (self.connection, true);
                (known.arrived_ms, known.answered_ms) = (self.now_ms, self.now_ms);
            }
            Event::Refreshes(topic) => self.refresh(topic),
            Event::LooksAgain(topic) => {
                self.views[topic].looks_again = false;
                self.refresh(topic);
            }
            Event::Facts(topic) => self.learn(topic),
            Event::Serves => self.serves_at_ms = None,
        }
    }

    /// The producer looks what it can send.
    fn serve(&mut self) {
        let Some(producer) = &mut self.producer else { return };
        let brokers = &self.brokers;
        let is_up = |broker: usize| brokers[broker].is_up;
        let sendings = producer.serve(self.now_ms, is_up, &mut self.request);
        if let Some(place) = producer.is_beside_itself() {
            self.messages.fault(format!("{place:?}: two requests are on their way"));
        }
        if let Some(place) = producer.spins(self.now_ms) {
            self.messages
                .fault(format!("{place:?}: records wait inside the producer, which spins"));
        }
        self.is_woken |= !producer.reports.is_empty();
        sendings.into_iter().for_each(|sending| self.send(sending));
        self.plan_to_serve();
    }

    /// The producer looks again when something of it is due.
    fn plan_to_serve(&mut self) {
        let due_at_ms = self.producer.as_ref().and_then(|one| one.due_at_ms(self.now_ms));
        if let Some(at_ms) = due_at_ms
            && self.serves_at_ms.is_none_or(|known_ms| at_ms < known_ms)
        {
            self.serves_at_ms = Some(at_ms);
            self.plan(at_ms - self.now_ms, Event::Serves);
        }
    }

    fn send(&mut self, sending: Sending) {
        let Sending { number, broker, heading, batch } = sending;
        let way_ms = self.way_ms();
        let known = &mut self.brokers[broker];
        known.unanswered.push(number);
        known.arrived_ms = known.arrived_ms.max(self.now_ms + way_ms);
        let (after_ms, connection) = (known.arrived_ms - self.now_ms, known.connection);
        let arrival = Box::new(Arrival { broker, connection, number, heading, batch });
        self.plan(after_ms, Event::Arrives(arrival));
        self.plan(SOCKET_TIMEOUT_MS, Event::Expires(broker, connection, number));
    }

    fn way_ms(&mut self) -> u64 {
        let late_ms = self.faults.late_ms;
        self.up_to(4) + if late_ms > 0 { self.up_to(late_ms) } else { 0 }
    }

    fn arrives(&mut self, arrival: Arrival) {
        if self.brokers[arrival.broker].is_stopped {
            return self.brokers[arrival.broker].inbox.push(arrival);
        }
        let Arrival { broker, connection, number, heading, batch } = arrival;
        if self.lost_from.get(&connection).is_some_and(|first| number >= *first) {
            return;
        }
        let told = match self.faults.code_rate {
            rate if rate > 0.0 && self.rng.random_bool(rate) => {
                let codes = &self.faults.codes;
                Some(codes[self.rng.random_range(0..codes.len())])
            }
            _ => None,
        };
        let mut answer = Answer::Stored;
        if told.is_none_or(|(_, is_stored)| is_stored) {
            let now = (self.now_ms, self.wall_ms());
            let (said, is_new) = self.topics[heading.topic].produce(&heading, &batch, broker, now);
            if is_new {
                batch.iter().for_each(|sent| self.messages.stored(sent.number, self.now_ms));
            }
            answer = said;
        }
        if let Some((code, _)) = told
            && answer == Answer::Stored
        {
            answer = Answer::Failed(code);
        }
        let cut_rate = self.faults.cut_rate;
        if cut_rate > 0.0 && self.rng.random_bool(cut_rate) {
            return self.cut_if(broker, connection);
        }
        let way_ms = self.way_ms();
        let known = &mut self.brokers[broker];
        known.answered_ms = known.answered_ms.max(self.now_ms + way_ms);
        let after_ms = known.answered_ms - self.now_ms;
        let place = (heading.topic, heading.partition);
        self.plan(after_ms, Event::Answered(broker, connection, place, number, answer));
    }

    fn answered(&mut self, place: (usize, usize), number: u64, answer: &Answer) {
        if let Answer::Failed(code) = answer {
            let (topic, after_ms) = (place.0, self.up_to(200));
            match code {
                Code::TopicAuthorizationFailed => self.views[topic].producers = None,
                Code::NotLeaderForPartition | Code::UnknownTopicOrPartition => {}
                _ => return self.tell(place, number, answer),
            }
            self.plan(after_ms, Event::Refreshes(topic));
        }
        self.tell(place, number, answer);
    }

    fn tell(&mut self, place: (usize, usize), number: u64, answer: &Answer) {
        if let Some(producer) = &mut self.producer {
            producer.answered((place, number), answer, self.now_ms);
        }
    }

    fn cut_if(&mut self, broker: usize, connection: u64) {
        if self.brokers[broker].connection == connection && self.brokers[broker].is_up {
            self.cut(broker);
        }
    }

    /// A connection breaks; some of what was on its way may still arrive.
    pub fn cut(&mut self, broker: usize) {
        let known = &mut self.brokers[broker];
        if !std::mem::take(&mut known.is_up) {
            return;
        }
        let (connection, numbers) = (known.connection, std::mem::take(&mut known.unanswered));
        let all = numbers.len();
        if let Some(first) = numbers.get(self.rng.random_range(0..=all)) {
            self.lost_from.insert(connection, *first);
        }
        let on_their_way = self.producer.as_ref().map(|producer| producer.on_their_way(&numbers));
        for (place, number) in on_their_way.unwrap_or_default() {
            self.tell(place, number, &Answer::Failed(Code::BrokerTransportFailure));
        }
        let after_ms = self.up_to(500);
        self.plan(after_ms, Event::Connects(broker));
    }

    /// It goes on, with what came meanwhile.
    pub fn resume(&mut self, broker: usize) {
        self.brokers[broker].is_stopped = false;
        for arrival in std::mem::take(&mut self.brokers[broker].inbox) {
            self.arrives(arrival);
        }
    }

    /// Something of a topic is different: who produces, and the gateway, learn of it in their time.
    pub fn changed(&mut self, topic: usize) {
        let (refresh_ms, facts_ms) = (self.up_to(10_000), self.up_to(5_000));
        self.plan(refresh_ms, Event::Refreshes(topic));
        self.plan(facts_ms, Event::Facts(topic));
    }

    /// The producer asks what is known of a topic.
    pub fn refresh(&mut self, topic: usize) {
        let known = &self.topics[topic];
        let is_there = known.exists && known.is_ours;
        let leaders: Vec<_> = known.partitions.iter().map(|partition| partition.leader).collect();
        let is_complete = is_there && leaders.iter().all(Option::is_some);
        let code = if known.is_ours { Code::UnknownTopic } else { Code::TopicAuthorizationFailed };
        self.views[topic].producers = is_there.then_some(leaders);
        let leaders = self.views[topic].producers.as_deref();
        let places = self.producer.as_ref().map(|one| one.partitions.keys().copied().collect());
        let places: Vec<(usize, usize)> = places.unwrap_or_default();
        if let Some(producer) = &mut self.producer {
            for place in places.into_iter().filter(|place| place.0 == topic) {
                match leaders.map(|leaders| leaders.get(place.1)) {
                    None => producer.fail_queue(place, code),
                    Some(None) => producer.fail_queue(place, Code::UnknownPartition),
                    Some(Some(leader)) => {
                        producer.partitions.entry(place).or_default().leader = *leader;
                    }
                }
            }
        }
        if !is_complete && !std::mem::replace(&mut self.views[topic].looks_again, true) {
            let after_ms = self.up_to(1000);
            self.plan(after_ms, Event::LooksAgain(topic));
        }
    }

    /// The gateway asks the same.
    pub fn learn(&mut self, topic: usize) {
        let known = &self.topics[topic];
        let (count, max_bytes, times) =
            (known.partitions.len() as u32, known.max_bytes, known.times);
        let (max_bytes, times) =
            if self.faults.hides_limits { (u32::MAX, None) } else { (max_bytes, times) };
        self.views[topic].facts = known.exists.then_some((count, max_bytes, times));
        self.is_woken = true;
    }

    fn connect(&mut self) {
        if self.faults.no_producer {
            self.connect_at_ms = self.now_ms + CONNECT_PAUSE_MS;
            return;
        }
        let most_ms = if self.rng.random_bool(0.2) { 1000 } else { 20 };
        let ready_ms = self.now_ms + self.up_to(most_ms);
        self.producers += 1;
        self.producer = Some(Producer::new(&self.settings, self.producers, ready_ms));
        for broker in 0..self.brokers.len() {
            let after_ms = self.up_to(20);
            self.plan(after_ms, Event::Connects(broker));
        }
        self.plan(ready_ms - self.now_ms, Event::Serves);
    }

    fn index(&self, topic: &str) -> usize {
        let found = self.topics.iter().position(|known| known.name == topic);
        found.expect("records have a topic of the simulation")
    }

    fn append(
        &mut self,
        record: RecordBuf,
        partition: usize,
        token: Token,
    ) -> Result<(), NotTaken> {
        let topic = self.index(record.as_record().topic());
        // As the lane knows them, before anything else happens.
        let limits = self.limits(topic);
        let standstill_rate = self.faults.standstill_rate;
        if standstill_rate > 0.0 && self.rng.random_bool(standstill_rate) {
            self.stand_still((topic, partition));
        }
        let full_rate = self.faults.full_rate;
        let is_full = full_rate > 0.0 && self.rng.random_bool(full_rate);
        let leaders = self.views[topic].producers.as_ref();
        let leader = leaders.and_then(|leaders| leaders.get(partition)).copied();
        let error = match (&self.producer, leader) {
            (None, _) => AppendError::Away,
            (Some(producer), _) if producer.is_fatal => AppendError::Broken,
            _ if is_full => AppendError::Full,
            (_, None) => AppendError::NoTopic,
            (Some(_), Some(leader)) => {
                let (place, bytes) = ((topic, partition), record.as_record().batch_bytes());
                self.note(place, (bytes, limits), token);
                if let Some(producer) = &mut self.producer {
                    producer.queue(place, record, token, self.now_ms);
                    producer.partitions.entry(place).or_default().leader = leader;
                }
                self.plan_to_serve();
                return Ok(());
            }
        };
        Err(NotTaken { record, error })
    }

    /// The lane's thread stands still, and all else goes on: what it has of a batch until now goes without the rest.
    fn stand_still(&mut self, place: (usize, usize)) {
        if let Some(producer) = &mut self.producer {
            producer.partitions.entry(place).or_default().cut_here();
        }
        let until_ms = self.now_ms + self.up_to(20);
        self.go_on(until_ms);
    }

    /// Sees that a partition's records stay within one batch.
    fn note(&mut self, place: (usize, usize), (bytes, limits): (u32, Limits), token: Token) {
        let open = self.open.entry(place).or_default();
        let limits = open.limits.get_or_insert(limits);
        open.records += 1;
        open.bytes += bytes;
        let fits =
            open.bytes <= limits.batch_bytes && open.records <= limits.batch_records as usize;
        if !fits && open.records > 1 {
            self.messages.fault(format!("{place:?}: more than a batch is with the producer"));
        }
        if self.taken.insert(token, (place, bytes)).is_some() {
            self.messages.fault(format!("two records are open under the token {token}"));
        }
    }

    fn limits(&self, topic: usize) -> Limits {
        let (_, max_bytes, times) = self.views[topic].facts.unwrap_or((0, u32::MAX, None));
        Limits {
            batch_bytes: self.settings.batch_bytes.min(max_bytes).saturating_sub(BATCH_FRAMING),
            batch_records: self.settings.batch_records as u32,
            linger: Duration::from_millis(self.settings.gather_ms),
            times,
        }
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        if self.producer.is_none() && self.now_ms >= self.connect_at_ms {
            self.connect();
        }
        let from = decided.len();
        decided.append(&mut self.given_back);
        if let Some(producer) = &mut self.producer {
            decided.append(&mut producer.reports);
        }
        for Decided { token, .. } in &decided[from..] {
            let (place, bytes) = self.taken.remove(token).expect("the producer had it");
            let open = self.open.get_mut(&place).expect("it was noted");
            (open.records, open.bytes) = (open.records - 1, open.bytes - bytes);
            if open.records == 0 {
                open.limits = None;
            }
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
        if let Some(producer) = self.producer.take() {
            self.given_back.extend(producer.purge());
        }
        for broker in 0..self.brokers.len() {
            self.cut(broker);
        }
        self.connect();
    }

    /// The sink has nothing.
    pub fn is_at_rest(&self) -> bool {
        self.taken.is_empty()
    }
}

/// The lane's end of the world.
pub struct ModelSink(pub Arc<Mutex<World>>);

impl Sink for ModelSink {
    fn partitions(&mut self, topic: &str) -> Option<u32> {
        let world = self.0.lock();
        let topic = world.index(topic);
        world.views[topic].facts.map(|(count, ..)| count)
    }

    fn limits(&mut self, topic: &str) -> Limits {
        let world = self.0.lock();
        world.limits(world.index(topic))
    }

    fn append(&mut self, record: RecordBuf, partition: u32, token: Token) -> Result<(), NotTaken> {
        self.0.lock().append(record, partition as usize, token)
    }

    fn poll(&mut self, decided: &mut Vec<Decided>) {
        self.0.lock().poll(decided);
    }

    fn is_broken(&self) -> bool {
        self.0.lock().producer.as_ref().is_some_and(|producer| producer.is_fatal)
    }

    fn reset(&mut self) {
        self.0.lock().reset();
    }
}
