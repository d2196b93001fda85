//! The lane's forwarder, that is flight and acks, over a model of librdkafka and Kafka, under faults that a seed
//! decides, and in a time that no clock makes.
//!
//! After each step and at rest everything is looked at that the lane promises (`messages.rs`). The model follows
//! what librdkafka and Kafka do where a lane could go wrong by it.
//!
//! `LANDFALL_SIMULATION_SEEDS=FROM..UNTIL` says which seeds are played; `make simulate` plays many.

mod cluster;
mod elsewhere;
mod messages;
mod producer;
mod scenarios;
mod storm;
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt as _;

use self::cluster::Topic;
use self::messages::CHARGE;
use self::producer::Settings;
use self::storm::Storm;
use self::world::{ModelSink, World};
use super::forwarder::Forwarder;
use super::{Lane, Pending};
use crate::dead_letters::DeadLetters;
use crate::format::Format;
use crate::kafka_topic::TopicName;
use crate::key::KeyStrategy;
use crate::lanes::LanePlan;
use crate::mailbox::{Mailbox, Mark};
use crate::message::Carriage;
use crate::outcome::Outcome;
use crate::receipt::Receipt;

/// Seeds that the tests play.
const SEEDS: Range<u64> = 1..1001;
/// Once all is well, another message has its outcome within this.
const PATIENCE_MS: u64 = 120_000;
/// The lane's thread makes a round at least so often.
const HEARTBEAT_MS: u64 = 1000;
/// Steps of one simulation, at most.
const STEPS_MAX: u64 = 1_000_000;
/// What the lane keeps of its queue's memory, in bytes.
const KEEP_BYTES: usize = 1024 * 1024;

/// A lane, its world, and those who submit to it.
struct Simulation {
    world: Arc<Mutex<World>>,
    lane: Arc<Lane>,
    dead: Arc<Lane>,
    mailbox: Arc<Mailbox>,
    storm: Storm,
    /// What the times of the lane are counted from.
    epoch: Instant,
    load: Load,
    next_submit_ms: u64,
}

/// What is submitted.
struct Load {
    messages: usize,
    devices: u32,
    burst: u64,
    pause_ms: u64,
    payload_bytes: usize,
    poison_rate: f64,
}

impl Simulation {
    /// That of a seed.
    fn of(seed: u64) -> Simulation {
        let mut topics = vec![Topic::new("a"), Topic::new("b")];
        // The world's own numbers decide about the world, too.
        let mut world = World::new(seed, Vec::new(), 0, Settings::of(1, 1));
        topics.truncate(world.up_to(2) as usize);
        let batch_bytes = world.rng.random_range(800..6000);
        let batch_records = [6, 20, 1000][world.rng.random_range(0..3)];
        let settings = Settings::of(batch_bytes, batch_records);
        let brokers = world.up_to(3) as usize;
        let mut world = World::new(seed, topics, brokers, settings);
        world.faults.hides_limits = world.rng.random_bool(0.5);
        for topic in 0..world.topics.len() {
            let partitions = world.up_to(4) as usize;
            storm::lead(&mut world, topic, partitions);
            world.topics[topic].times = storm::times(&mut world);
            world.changed(topic);
        }
        let load = Load {
            messages: world.rng.random_range(20..200),
            devices: world.rng.random_range(1..8),
            burst: world.up_to(30),
            pause_ms: world.up_to(1500),
            payload_bytes: world.rng.random_range(10..600),
            poison_rate: if world.rng.random_bool(0.3) { 0.05 } else { 0.0 },
        };
        let share = CHARGE * world.rng.random_range(20..200);
        let until_ms = world.up_to(60_000);
        let storm = Storm::new(&mut world, until_ms);
        Simulation::new(world, storm, load, share)
    }

    fn new(world: World, storm: Storm, load: Load, share: u64) -> Simulation {
        let plan = |name: &str, topic: &str| LanePlan {
            name: name.into(),
            topic: TopicName::Fixed(topic.into()),
            key: KeyStrategy::DeviceId,
            format: Format::Envelope,
            inline_size: 1_000_000,
            gather: Duration::from_millis(2),
            properties: BTreeMap::new(),
            inline_memory: share,
            large_memory: 0,
        };
        let dead = Lane::new(&plan("dead-letter", "dead"), None, Arc::default());
        let letters = DeadLetters::new(Format::Envelope, Arc::clone(&dead), None);
        let lane = Lane::new(&plan("fast", "a"), Some(letters), Arc::default());
        Simulation {
            world: Arc::new(Mutex::new(world)),
            lane,
            dead,
            mailbox: Arc::default(),
            storm,
            epoch: Instant::now(),
            load,
            next_submit_ms: 0,
        }
    }

    /// Plays it to its end; what was found.
    fn play(&mut self) -> Result<(), String> {
        let lane = Arc::clone(&self.lane);
        let sink = Box::new(ModelSink(Arc::clone(&self.world)));
        let mut forwarder = Forwarder::new(&lane, sink, self.epoch);
        let (mut last, mut since_ms) = ((false, 0, 0), 0);
        let mut last_round_ms = 0;
        for _ in 0..STEPS_MAX {
            let (now_ms, is_woken) = self.step(&forwarder, last_round_ms);
            let came = self.take(&mut forwarder);
            let at = self.epoch + Duration::from_millis(now_ms);
            let is_due = forwarder.next_round(at).is_some_and(|due| due <= at);
            if is_woken || came || is_due || now_ms >= last_round_ms + HEARTBEAT_MS {
                last_round_ms = now_ms;
                let wall_ms = self.world.lock().wall_ms() + self.storm.skew_ms;
                forwarder.round(at, wall_ms);
                self.look()?;
            }
            let (count, open) = self.counts();
            let is_over = self.storm.is_over();
            if is_over && count == self.load.messages && open == 0 {
                return self.look_at_rest();
            }
            if !is_over || (is_over, count, open) != last {
                (last, since_ms) = ((is_over, count, open), now_ms);
            }
            if now_ms > since_ms + PATIENCE_MS {
                return Err(format!("{open} messages do not land: {:?}", lane.last_reason()));
            }
        }
        Err("it never ends".to_owned())
    }

    /// Lets time pass until something happens; returns what time it is then, and whether the lane's thread is woken.
    fn step(&mut self, forwarder: &Forwarder<'_>, last_round_ms: u64) -> (u64, bool) {
        let mut world = self.world.lock();
        let now = self.epoch + Duration::from_millis(world.now_ms);
        let next_round = forwarder.next_round(now).map(|at| {
            let ms = at.saturating_duration_since(self.epoch).as_micros().div_ceil(1000) as u64;
            ms.max(world.now_ms + 1)
        });
        let is_done = world.messages.count() == self.load.messages;
        let submit = (!is_done).then_some(self.next_submit_ms);
        let moments = [world.next_event_ms(), next_round, submit, self.storm.next_ms()];
        let heartbeat_ms = last_round_ms + HEARTBEAT_MS;
        let until_ms = moments.into_iter().flatten().chain([heartbeat_ms]).min();
        let until_ms = until_ms.unwrap_or_default().max(world.now_ms);
        world.go_on(until_ms);
        self.storm.go_on(&mut world);
        let now_ms = world.now_ms;
        let is_woken = std::mem::take(&mut world.is_woken);
        drop(world);
        if submit.is_some_and(|at_ms| at_ms <= now_ms) {
            self.submit();
        }
        (now_ms, is_woken)
    }

    /// Submits some messages, as far as the lane's share has room.
    fn submit(&mut self) {
        let world = &mut *self.world.lock();
        let (burst, pause_ms) = (world.up_to(self.load.burst), world.up_to(self.load.pause_ms));
        self.next_submit_ms = world.now_ms + pause_ms;
        for _ in 0..burst {
            let has_room = world.messages.count() < self.load.messages
                && self.lane.account.share(Carriage::Inline).try_take(CHARGE);
            if !has_room {
                return;
            }
            let topic = world.rng.random_range(0..world.topics.len());
            let device = world.rng.random_range(0..self.load.devices);
            let payload_bytes = world.up_to(self.load.payload_bytes as u64) as usize;
            let poison_rate = self.load.poison_rate;
            let is_poison = poison_rate > 0.0 && world.rng.random_bool(poison_rate);
            let stamp_ms = world.wall_ms() + self.storm.skew_ms;
            let number = world.messages.count() as u32;
            let name = world.topics[topic].name;
            let (when, what) = ((world.now_ms, stamp_ms), (payload_bytes, is_poison));
            let record = world.messages.write((topic, name), device, when, what);
            let reply_to = Some((Arc::clone(&self.mailbox), number));
            let account = Arc::clone(&self.lane.account);
            let receipt = Receipt::open(account, Carriage::Inline, CHARGE, reply_to);
            let submitted = self.epoch + Duration::from_millis(world.now_ms);
            let pending = Pending { receipt, on_landing: Outcome::Landed, submitted };
            self.lane.submit(record.as_record(), pending);
        }
    }

    /// As the lane's thread does it.
    fn take(&self, forwarder: &mut Forwarder<'_>) -> bool {
        let mut incoming = std::mem::take(&mut self.lane.queue.lock().batch);
        let came = incoming.first().is_some();
        incoming.drain(KEEP_BYTES, |record, pending| forwarder.take(record, pending));
        came
    }

    /// Looks at what was told to the senders, and at the books.
    fn look(&mut self) -> Result<(), String> {
        let mut letters = std::mem::take(&mut self.dead.queue.lock().batch);
        letters.drain(KEEP_BYTES, |_, pending| pending.receipt.resolve(pending.on_landing));
        let mut marks = Vec::new();
        self.mailbox.collect(Waker::noop(), &mut marks);
        let mut world = self.world.lock();
        for Mark { slot, outcome } in marks {
            let topic = world.messages.topic_of(slot);
            let least_max_bytes = world.topics[topic].least_max_bytes;
            world.messages.told(slot, outcome, least_max_bytes);
        }
        world.messages.look_at_order();
        if let Some(fault) = world.messages.first_fault() {
            return Err(fault.to_owned());
        }
        let open = world.messages.open() as u64;
        let held = self.lane.account.share(Carriage::Inline).used();
        if held != open * CHARGE {
            return Err(format!("{open} messages are open and hold {held} bytes of the share"));
        }
        let totals = self.lane.account.ledger.totals();
        match totals.add_up() && totals.in_flight == open {
            true => Ok(()),
            false => Err(format!("{open} messages are open, and the books say {totals:?}")),
        }
    }

    fn look_at_rest(&self) -> Result<(), String> {
        let world = self.world.lock();
        if !world.is_at_rest() {
            return Err("the producer has records that nobody waits for".to_owned());
        }
        Ok(())
    }

    /// Messages that were submitted, and those without an outcome.
    fn counts(&self) -> (usize, usize) {
        let world = self.world.lock();
        (world.messages.count(), world.messages.open())
    }
}

/// What a seed finds.
fn find(seed: u64) -> Option<String> {
    let mut kinds = Vec::new();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::of(seed);
        kinds = simulation.storm.kinds().to_vec();
        simulation.play()
    }));
    let found = match played {
        Ok(found) => found.err()?,
        Err(panic) => said(&*panic),
    };
    Some(format!("seed {seed}: {found} ({kinds:?})"))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// Plays seeds on all cores until one finds something.
fn search(seeds: Range<u64>) -> Option<String> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(None::<(u64, String)>);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().is_some() {
                        return;
                    }
                    let Some(fault) = find(seed) else { continue };
                    let mut found = found.lock();
                    if found.as_ref().is_none_or(|(other, _)| seed < *other) {
                        *found = Some((seed, fault));
                    }
                }
            });
        }
    });
    found.into_inner().map(|(_, fault)| fault)
}

/// Those that the environment asks for, such as `1..1000000`.
fn seeds_wanted() -> Range<u64> {
    let Ok(text) = std::env::var("LANDFALL_SIMULATION_SEEDS") else { return SEEDS };
    let range = text
        .split_once("..")
        .and_then(|(from, until)| Some(from.trim().parse().ok()?..until.trim().parse().ok()?));
    range.unwrap_or_else(|| panic!("LANDFALL_SIMULATION_SEEDS={text}: such as 1..1000"))
}

#[test]
fn whatever_goes_wrong_everything_lands_in_order_and_is_told_once() {
    let (seeds, began) = (seeds_wanted(), Instant::now());
    let count = seeds.end - seeds.start;
    let found = search(seeds);
    let pace = count as f64 / began.elapsed().as_secs_f64();
    let _ = writeln!(std::io::stderr(), "{count} seeds, {pace:.0} a second");
    assert_eq!(found, None);
}
