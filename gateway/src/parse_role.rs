//! The parse role: what it builds and binds, and its life from the first raw message to the end of its drain.
//! The frame is `process.rs`; the pools are in `pools.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bridge::Store;
use bridge::kafka::topics::{Questions, Topics, TopicsThread};
use bridge::objects::Objects;
use metrics::gauge;
use serde::Serialize;

use crate::admin::{AdminView, Operated, Readiness};
use crate::audit::Audit;
use crate::config::{Drain, ParseSettings};
use crate::live::Reading;
use crate::metrics as names;
use crate::pools::Pools;
use crate::problem::{Kind, Problem};
use crate::process::{self, Process, Pulses};
use crate::reload::Reloader;

/// The threads that look after the role; its work is done by the pools' own.
const FRONT: &str = "parse";
const FRONT_THREADS: usize = 1;
/// How often it is looked whether a pool is gone.
const LOST_LOOK: Duration = Duration::from_secs(1);
/// A thread without a sign of life for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A parse role that is built and bound. Its pools read already: they are members of their groups.
pub struct ParseApp {
    process: Process,
    view: Arc<View>,
    topics: TopicsThread,
    drain: Drain,
}

impl ParseApp {
    pub fn build(settings: ParseSettings) -> anyhow::Result<ParseApp> {
        let ParseSettings { gateway_id, admin, drain, kafka, memory, plan, read_at, .. } = settings;
        let descriptors = settings.descriptors.reserved();
        let process = Process::build(FRONT, FRONT_THREADS, descriptors, &admin)?;
        let runtime = process.background().clone();
        let store = settings.object_store.as_ref().map(|store| {
            let objects = Objects::open(&store.url, &store.options)?;
            Ok::<_, anyhow::Error>(Store { objects: Arc::new(objects), runtime: runtime.clone() })
        });
        let client = format!("landfall-parse-{gateway_id}");
        let pools = Pools::start(&client, plan, &kafka, store.transpose()?, drain.deadline)?;
        let mut properties = kafka.properties.clone();
        properties.entry("client.id".to_owned()).or_insert(client);
        let (known_topics, topics) = Topics::watch(
            &kafka.bootstrap_servers,
            &properties,
            Questions { create: kafka.create_topics, limits: !kafka.embedded },
            pools.topics(),
            runtime.clone(),
        )
        .context("the thread for Kafka's topics cannot be started")?;
        let parts = process.reloads();
        let parts = parts.into_iter().filter(|part| !part.files().is_empty()).collect();
        let reloader = Reloader::new(parts, read_at, runtime, Arc::new(Audit::off()), || {});
        let view = View {
            name: gateway_id,
            memory_limit: memory,
            started: Instant::now(),
            pools: Arc::new(pools),
            topics: known_topics,
            pulses: process.pulses(),
            reloader,
            draining: AtomicBool::new(false),
            was_ready: AtomicBool::new(false),
        };
        Ok(ParseApp { process, view: Arc::new(view), topics, drain })
    }

    /// Runs until it is told to end, and drains: what was begun lands and is committed.
    pub fn run(self) -> anyhow::Result<()> {
        let ParseApp { process, view, topics, drain } = self;
        process.background().spawn(Arc::clone(&view.reloader).run(true));
        let page = process.page_url().ok();
        let running = process.serve(Arc::clone(&view))?;
        let ended = running.block_on(async {
            let told_to_end = process::told_to_end()?;
            tracing::info!(name = view.name, page, "the parse role runs");
            let end = tokio::select! {
                () = told_to_end => Ok(()),
                lost = lost(&view.pools) => Err(lost),
            };
            tracing::info!("the parse role drains");
            view.draining.store(true, Ordering::Release);
            view.pools.drain(drain.deadline).await;
            end
        });
        topics.stop();
        running.end();
        ended
    }
}

/// Returns when a pool ended that nobody told to. Cancel safe.
async fn lost(pools: &Pools) -> anyhow::Error {
    loop {
        if let Some(name) = pools.lost() {
            return anyhow::anyhow!("pool {name} ended by itself: the log says why");
        }
        tokio::time::sleep(LOST_LOOK).await;
    }
}

/// What the admin pages show.
struct View {
    name: String,
    /// Bytes of `limits.memory`.
    memory_limit: u64,
    started: Instant,
    pools: Arc<Pools>,
    topics: Arc<Topics>,
    pulses: Pulses,
    reloader: Arc<Reloader>,
    draining: AtomicBool,
    was_ready: AtomicBool,
}

/// What `/api/v1/status` tells of a parse role. It names no device, and shows nothing of a payload.
#[derive(Serialize)]
struct ParseStatus {
    name: String,
    version: &'static str,
    uptime_seconds: u64,
    readiness: Readiness,
}

impl AdminView for View {
    type Status = ParseStatus;

    fn stuck_threads(&self) -> Vec<String> {
        let runtimes = self.pulses.iter().map(|(name, pulse)| (*name, pulse.silent_for()));
        let topics = match self.topics.is_finished() {
            true => Duration::MAX,
            false => self.topics.silent_for(),
        };
        let silent = runtimes
            .chain([("kafka-topics", topics)])
            .filter(|(_, silent)| *silent > STUCK_AFTER)
            .map(|(name, _)| name.to_owned());
        silent.chain(self.pools.stuck(STUCK_AFTER)).collect()
    }

    /// Once ready it stays so: an outage of Kafka is nothing that another process would be spared.
    fn readiness(&self) -> Readiness {
        let of_topics = self.topics.problems().into_iter();
        let (partial, of_topics): (Vec<_>, Vec<_>) = of_topics.partition(|one| one.is_partial);
        let mut problems: Vec<Problem> = of_topics.into_iter().map(Problem::from).collect();
        problems.extend(self.pools.problems());
        if problems.is_empty() {
            self.was_ready.store(true, Ordering::Release);
        }
        let troubles = partial.into_iter().map(Problem::from).chain(self.pools.troubles());
        let all = |problems: Vec<Problem>| problems.into_iter().chain(troubles).collect();
        if self.draining.load(Ordering::Acquire) {
            let reasons = vec![Problem::new(Kind::Draining, "", "the parse role drains")];
            return Readiness { ready: false, reasons, degraded: all(problems) };
        }
        match self.was_ready.load(Ordering::Acquire) {
            true => Readiness { ready: true, reasons: Vec::new(), degraded: all(problems) },
            false => Readiness { ready: false, reasons: problems, degraded: all(Vec::new()) },
        }
    }

    fn status(&self) -> ParseStatus {
        ParseStatus {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            readiness: self.readiness(),
        }
    }

    fn reading(&self, _: bool) -> Reading {
        Reading {
            role: "parse",
            gateway_id: self.name.clone(),
            readiness: self.readiness(),
            draining: self.draining.load(Ordering::Acquire),
            lanes: Vec::new(),
            connections: None,
            store: None,
            kafka: Vec::new(),
            latest: None,
        }
    }

    fn operated(&self) -> Operated<'_> {
        Operated {
            reloader: &self.reloader,
            clients: None,
            repeats: None,
            pools: Some(&self.pools),
        }
    }

    fn collect_metrics(&self) {
        gauge!(names::BUILD_INFO, "role" => "parse", "version" => env!("CARGO_PKG_VERSION"))
            .set(1.0);
        gauge!(names::MEMORY_LIMIT).set(self.memory_limit as f64);
        let readiness = self.readiness();
        gauge!(names::READY).set(f64::from(readiness.ready));
        gauge!(names::DRAINING).set(f64::from(self.draining.load(Ordering::Acquire)));
        gauge!(names::DEGRADED).set((readiness.degraded.len() + readiness.reasons.len()) as f64);
    }
}
