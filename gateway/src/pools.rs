//! The threads that make events of messages: a pool for each of the configuration, and one for the metadata
//! stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bridge::Store;
use bridge::kafka::KafkaStatus;
use bridge::kafka::group::{Assignments, Member, MemberSettings, Partition, Position};
use bridge::kafka::topics::LaneTopics;
use bridge::sink::kafka::KafkaSink;
use metrics::gauge;
use parking_lot::Mutex;
use parse::landings::Landings;
use parse::metrics as names;
use parse::parsing::Parsing;
use parse::plan::{Plan, PoolLane, WindowLimits};
use parse::pool::status::{Control, Order, Ordered, PartitionStatus, Status, What};
use parse::pool::{Pool, SharedDesk};
use parse::work::Work;
use serde::{Deserialize, Serialize};

use crate::config::{Kafka, METADATA_WINDOW_BYTES, QUEUE_SHARE};
use crate::problem::{Kind, Problem};
use crate::process::until;

/// The pool of the metadata stream.
pub const METADATA: &str = "metadata";
/// What the metadata stream holds at most.
const METADATA_WINDOW: WindowLimits =
    WindowLimits { records: 10_000, bytes: METADATA_WINDOW_BYTES };
/// The largest record that a producer hands to Kafka, in bytes; how large one may be is Kafka's to say.
const RECORD_MAX: u32 = 15 * 1024 * 1024;
/// What the role's producers have where `kafka.properties` says nothing else: fewer and larger batches than
/// lanes have, since no device waits for an answer here. librdkafka sends one batch of a partition at a time, and
/// from the end of the linger until the one before was answered its thread waits without a pause: so the linger
/// is longer than Kafka takes, and a batch as large as topics take by default.
const PRODUCERS: [(&str, &str); 2] = [("linger.ms", "20"), ("batch.size", "1000000")];
/// How long pools may take to leave their groups, behind the drain's deadline.
const LEAVE_WAIT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Pools {
    pools: Vec<RunningPool>,
}

struct RunningPool {
    name: String,
    group: String,
    /// How old a message may be that is not finished; None where nothing is promised.
    freshness: Option<Duration>,
    /// What it writes to.
    topics: Vec<String>,
    control: Arc<Control>,
    kafka: Arc<KafkaStatus>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How one pool is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolStatus {
    pub pool: String,
    pub group: String,
    pub freshness_seconds: Option<f64>,
    pub partitions: Vec<PartitionStatus>,
}

/// TOPIC/PARTITION/OFFSET, as a message is named by operators; a topic has no slash.
pub fn position(text: &str) -> Option<Position> {
    let mut parts = text.split('/');
    let (topic, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let partition = Partition { topic: topic.to_owned(), partition: partition.parse().ok()? };
    let offset = offset.parse().ok()?;
    parts.next().is_none().then_some(Position { partition, offset })
}

/// How a pool reads.
struct Reads<'a> {
    name: &'a str,
    group: &'a str,
    lanes: &'a [PoolLane],
    window: WindowLimits,
    properties: &'a BTreeMap<String, String>,
    freshness: Option<Duration>,
    writes: Vec<String>,
}

impl Pools {
    /// Starts all threads; each is a member of its group when this returns. `client` is what Kafka knows them
    /// by.
    pub fn start(
        client: &str,
        plan: Plan,
        kafka: &Kafka,
        store: Option<Store>,
        drain: Duration,
    ) -> anyhow::Result<Pools> {
        let plan = Arc::new(plan);
        let mut pools = Vec::new();
        for pool in &plan.pools {
            let reads = Reads {
                name: &pool.name,
                group: &pool.group,
                lanes: &pool.lanes,
                window: pool.window,
                properties: &pool.properties,
                freshness: Some(pool.freshness),
                writes: plan.written_topics().map(str::to_owned).collect(),
            };
            let work = || Parsing::new(&pool.name, &pool.lanes, Arc::clone(&plan), store.clone());
            pools.push(RunningPool::start(client, &reads, kafka, (work(), work()), drain)?);
        }
        if let Some(metadata) = plan.metadata.as_ref().filter(|_| plan.reads_for_metadata) {
            let reads = Reads {
                name: METADATA,
                group: &metadata.group,
                lanes: &metadata.lanes,
                window: METADATA_WINDOW,
                properties: &metadata.properties,
                freshness: None,
                writes: vec![metadata.topic.clone()],
            };
            let work = || Landings::new(&metadata.topic, &metadata.lanes);
            pools.push(RunningPool::start(client, &reads, kafka, (work(), work()), drain)?);
        }
        Ok(Pools { pools })
    }

    /// What they need of Kafka.
    pub fn topics(&self) -> Vec<LaneTopics> {
        let each = self.pools.iter().map(|pool| LaneTopics {
            lane: format!("(pool {})", pool.name),
            topics: pool.topics.clone(),
            inline_size: None,
            status: Arc::clone(&pool.kafka),
        });
        each.collect()
    }

    pub fn status(&self) -> Vec<PoolStatus> {
        let each = self.pools.iter().map(|pool| PoolStatus {
            pool: pool.name.clone(),
            group: pool.group.clone(),
            freshness_seconds: pool.freshness.map(|freshness| freshness.as_secs_f64()),
            partitions: pool.control.partitions(),
        });
        each.collect()
    }

    /// What keeps messages from being parsed.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for pool in &self.pools {
            let name = &pool.name;
            if !pool.kafka.is_producer_ready() {
                let error = pool.kafka.last_error();
                let error = error.map_or(String::new(), |error| format!(": {error}"));
                let text = format!("pool {name}: its Kafka producer is not ready{error}");
                problems.push(Problem::new(Kind::PoolProducer, name, text));
            }
            let kept = pool.control.partitions();
            for (state, kind) in
                [(Status::Held, Kind::PoolHeld), (Status::Stopped, Kind::PoolStopped)]
            {
                let count = kept.iter().filter(|one| one.state == state).count();
                if count > 0 {
                    let label = state.label();
                    let text = format!("pool {name}: {count} partitions are {label}");
                    problems.push(Problem::new(kind, name, text));
                }
            }
        }
        problems
    }

    /// What their consumers said of Kafka a moment ago; it may be over.
    pub fn troubles(&self) -> impl Iterator<Item = Problem> {
        self.pools.iter().filter_map(|pool| {
            let trouble = pool.control.trouble()?;
            let text = format!("pool {}: {trouble}", pool.name);
            Some(Problem::new(Kind::PoolConsumer, &pool.name, text))
        })
    }

    /// Threads that are gone, or gave no sign of life for so long.
    pub fn stuck(&self, after: Duration) -> Vec<String> {
        let stuck = self.pools.iter().filter(|pool| {
            let gone = pool.thread.lock().as_ref().is_some_and(JoinHandle::is_finished);
            gone || pool.control.silent_for() > after
        });
        stuck.map(|pool| format!("pool {}", pool.name)).collect()
    }

    /// Whether a thread ended that nobody told to.
    pub fn lost(&self) -> Option<&str> {
        let is_lost = |pool: &&RunningPool| {
            !pool.control.is_ending()
                && pool.thread.lock().as_ref().is_some_and(JoinHandle::is_finished)
        };
        self.pools.iter().find(is_lost).map(|pool| pool.name.as_str())
    }

    /// Has the pool decide that has the partition.
    pub fn order(&self, at: Position, what: What) -> Ordered {
        // The metadata stream has the partition too, and runs: what keeps it elsewhere is the answer.
        let mut answer = Ordered::NotHere;
        for pool in &self.pools {
            match pool.control.order(Order { at: at.clone(), what }) {
                Ordered::NotHere => (),
                Ordered::Runs if answer != Ordered::NotHere => (),
                taken @ (Ordered::Taken | Ordered::TooMany) => return taken,
                other => answer = other,
            }
        }
        answer
    }

    /// Ends them: nothing more is begun, and what was begun lands and is committed, within the deadline.
    pub async fn drain(&self, deadline: Duration) {
        for pool in &self.pools {
            pool.control.end();
        }
        until(Instant::now() + deadline + LEAVE_WAIT, || self.have_ended()).await;
        for pool in &self.pools {
            let mut thread = pool.thread.lock();
            let ended = thread.take_if(|thread| thread.is_finished());
            if thread.is_some() {
                tracing::warn!(
                    pool = pool.name,
                    "the drain's deadline came: the rest is read again"
                );
            }
            if ended.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(pool = pool.name, "a pool had panicked");
            }
        }
    }

    fn have_ended(&self) -> bool {
        let ended =
            |pool: &RunningPool| pool.thread.lock().as_ref().is_none_or(JoinHandle::is_finished);
        self.pools.iter().all(ended)
    }
}

impl RunningPool {
    fn start<W: Work>(
        client: &str,
        reads: &Reads<'_>,
        kafka: &Kafka,
        (work, large): (W, W),
        drain: Duration,
    ) -> anyhow::Result<RunningPool> {
        let name = reads.name.to_owned();
        let (control, status) = (Arc::new(Control::default()), Arc::new(KafkaStatus::default()));
        let (window, group) = (reads.window, reads.group.to_owned());
        gauge!(names::WINDOW_LIMIT, "pool" => name.clone()).set(window.bytes as f64);
        if let Some(freshness) = reads.freshness {
            gauge!(names::FRESHNESS_TARGET, "pool" => name.clone()).set(freshness.as_secs_f64());
        }
        let client_id = format!("{client}-{name}");
        let topics: Vec<String> =
            reads.lanes.iter().flat_map(|lane| &lane.topics).cloned().collect();
        let servers = kafka.bootstrap_servers.clone();
        let mut own: BTreeMap<String, String> =
            PRODUCERS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        own.extend(kafka.properties.clone());
        let properties = reads.properties.clone();
        let (told, started) = mpsc::sync_channel(1);
        let thread = {
            let (name, control, status) = (name.clone(), Arc::clone(&control), Arc::clone(&status));
            // What belongs to a pool is made on its own thread, which its producer wakes.
            thread::Builder::new().name(format!("pool-{name}")).spawn(move || {
                let build = || {
                    let desk = SharedDesk::new(window);
                    let settings = MemberSettings {
                        group: &group,
                        client_id: &client_id,
                        bootstrap_servers: &servers,
                        properties: &properties,
                        topics: &topics,
                        queue_bytes: window.bytes / QUEUE_SHARE,
                    };
                    let member =
                        Member::join(&settings, Arc::clone(&desk) as Arc<dyn Assignments>)?;
                    let wake = thread::current();
                    let sink = KafkaSink::new(
                        &format!("pool {name}"),
                        &servers,
                        &own,
                        RECORD_MAX,
                        status,
                        wake,
                    );
                    let sink = Box::new(sink);
                    Ok(Pool::new(&name, window, (member, desk), sink, work, large, control)?)
                };
                match build() {
                    Ok(pool) => {
                        // Who waits for it is there.
                        let _ = told.send(Ok(()));
                        pool.run(drain);
                    }
                    Err(error) => {
                        let error: anyhow::Error = error;
                        let _ = told.send(Err(error));
                    }
                }
            })?
        };
        let began = started.recv().context("its thread ended before it began")?;
        began.with_context(|| format!("pool {name} cannot start"))?;
        Ok(RunningPool {
            name,
            group: reads.group.to_owned(),
            freshness: reads.freshness,
            topics: reads.writes.clone(),
            control,
            kafka: status,
            thread: Mutex::new(Some(thread)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_three_parts() {
        let found = position("landfall.fast/2/40").expect("it is one");
        assert_eq!((&*found.partition.topic, found.partition.partition), ("landfall.fast", 2));
        assert_eq!(found.offset, 40);
        for wrong in ["", "landfall.fast", "landfall.fast/2", "a/b/3", "a/2/3/4", "a/2/x"] {
            assert_eq!(position(wrong), None, "{wrong}");
        }
    }
}
