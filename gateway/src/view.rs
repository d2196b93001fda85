//! What the admin pages show, gathered from where it is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bridge::kafka::KafkaStatus;
use bridge::kafka::topics::Topics;
use bridge::lane::STALLED_AFTER;
use bridge::objects::ObjectFigures;
use bridge::{Carriage, Lanes, Refusal};
use metrics::{counter, gauge};
use serde::Serialize;

use crate::admin::{AdminView, Operated, Readiness};
use crate::config::Settings;
use crate::edge::Edge;
use crate::identity::Demands;
use crate::landing::{self, Standstill, Teller};
use crate::live::{
    ConnectionsReading, KafkaReading, LaneReading, Latest, ListenerReading, Reading, StoreReading,
};
use crate::metrics as names;
use crate::net::Entrance;
use crate::pools::Pools;
use crate::problem::{Kind, Problem};
use crate::process::Pulses;
use crate::reload::Reloader;

/// A thread without a sign of life for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// See the module.
pub struct View {
    gateway_id: String,
    /// Bytes of `limits.memory`.
    memory_limit: u64,
    started: Instant,
    edge: Arc<Edge>,
    entrances: Vec<Arc<Entrance>>,
    kafka: Lanes<Arc<KafkaStatus>>,
    topics: Arc<Topics>,
    /// Of the runtimes, by name.
    pulses: Pulses,
    pub reloader: Arc<Reloader>,
    /// What makes events of messages in the same process, as only `landfall dev` has it.
    pub pools: Option<Arc<Pools>>,
    /// The latest messages, as only `landfall dev` has them.
    pub latest: OnceLock<Arc<Latest>>,
    /// A drain began.
    pub draining: AtomicBool,
    /// Once ready, an outage takes no gateway out of service: that would only call the herd.
    was_ready: AtomicBool,
}

/// What `/api/v1/status` tells of a gateway. It names no device.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub gateway_id: String,
    pub version: &'static str,
    pub uptime_seconds: u64,
    pub readiness: Readiness,
    pub connections: u32,
    pub connections_limit: u32,
    pub lanes: Vec<LaneStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    pub lane: String,
    pub received: u64,
    pub landed: u64,
    pub dead_lettered: u64,
    pub refused: u64,
    pub failed: u64,
    pub in_flight: u64,
    pub memory_used_bytes: u64,
    pub memory_limit_bytes: u64,
    pub waiting_connections: usize,
    pub backlog_records: usize,
}

impl View {
    pub fn new(
        settings: &Settings,
        edge: Arc<Edge>,
        entrances: Vec<Arc<Entrance>>,
        kafka: Lanes<Arc<KafkaStatus>>,
        topics: Arc<Topics>,
        pulses: Pulses,
        reloader: Arc<Reloader>,
    ) -> View {
        View {
            gateway_id: settings.routing.gateway_id.clone(),
            memory_limit: settings.memory.limit,
            started: Instant::now(),
            edge,
            entrances,
            kafka,
            topics,
            pulses,
            reloader,
            pools: None,
            latest: OnceLock::new(),
            draining: AtomicBool::new(false),
            was_ready: AtomicBool::new(false),
        }
    }

    /// Who knows clients and does not answer. All entrances ask the same.
    fn unanswering(&self) -> Vec<Problem> {
        let demands = self.entrances.iter().find_map(|entrance| entrance.demands.as_ref());
        demands.map_or_else(Vec::new, Demands::problems)
    }

    /// Files that were not taken when they were read last, by what the configuration calls them.
    fn unread_files(&self) -> impl Iterator<Item = Problem> {
        let faulty = self.reloader.faulty();
        faulty.map(|place| {
            let text = format!("{place}: its files were not taken when they changed: see the log");
            Problem::new(Kind::Files, place, text)
        })
    }

    /// Listeners whose own certificate has ended.
    fn expired(&self) -> impl Iterator<Item = Problem> {
        let listeners = self.entrances.iter().filter_map(|entrance| entrance.tls.as_ref());
        listeners.filter_map(|tls| tls.problem())
    }

    /// Open sockets of which nothing whole came yet.
    fn silent_sockets(&self) -> usize {
        self.entrances.iter().map(|entrance| entrance.silent.count()).sum()
    }

    /// The books of all lanes, and of what was refused before it had one.
    fn lanes(&self) -> impl Iterator<Item = LaneReading> {
        // That waits in no lane.
        let lanes = self.edge.uplink.lanes().values();
        let waiting =
            lanes.map(|lane| (lane.backlog(), lane.oldest())).chain([(0, Duration::ZERO)]);
        self.edge.uplink.accounts().zip(waiting).map(|(account, (backlog_records, oldest))| {
            let shares = [account.share(Carriage::Inline), account.share(Carriage::Large)];
            LaneReading {
                lane: account.name.to_string(),
                totals: account.ledger.settled(),
                held_bytes: shares.iter().map(|share| share.used()).sum(),
                limit_bytes: shares.iter().map(|share| share.limit()).sum(),
                waiting_connections: shares.iter().map(|share| share.waiting()).sum(),
                backlog_records,
                oldest,
            }
        })
    }

    /// What the lanes' producers tell.
    fn kafka(&self) -> impl Iterator<Item = KafkaReading> {
        self.edge.uplink.lanes().iter().map(|(id, lane)| KafkaReading {
            lane: lane.account.name.to_string(),
            is_producer_ready: self.kafka[id].is_producer_ready(),
            error: self.kafka[id].last_error(),
            figures: self.kafka[id].figures(),
        })
    }

    /// Tells the log where nothing lands. Runs until it is dropped.
    pub async fn watch_landing(&self) {
        let mut tellers: Vec<Teller> = Vec::new();
        let mut looks = tokio::time::interval(landing::LOOK);
        loop {
            looks.tick().await;
            let lanes = self.edge.uplink.lanes();
            tellers.resize_with(lanes.values().count(), Teller::default);
            for (teller, (id, lane)) in tellers.iter_mut().zip(lanes.iter()) {
                let standstill = Standstill::of(lane, &self.kafka[id]);
                teller.look(&lane.account.name, standstill.as_ref());
            }
        }
    }

    /// Partitions of topics that take nothing, while others of the same topic do.
    fn partial_problems(&self) -> impl Iterator<Item = Problem> {
        let problems = self.topics.problems().into_iter();
        let told = problems.filter(|problem| problem.is_partial).map(Problem::from);
        // Of a lane that stands still as a whole, more is told than that.
        let lanes = self.edge.uplink.lanes().values();
        let away = lanes.filter(|lane| lane.stalled_for().is_none()).filter_map(|lane| {
            let name = &*lane.account.name;
            let text = landing::away(name, &lane.away())?;
            Some(Problem::new(Kind::PartitionsAway, name, text))
        });
        told.chain(away)
    }

    /// Everything that keeps messages of any size from landing.
    fn problems(&self) -> Vec<Problem> {
        let of_topics = self.topics.problems().into_iter();
        let mut problems: Vec<Problem> =
            of_topics.filter(|problem| !problem.is_partial).map(Problem::from).collect();
        for (id, lane) in self.edge.uplink.lanes().iter() {
            let kafka = &self.kafka[id];
            let name = &lane.account.name;
            if !kafka.is_producer_ready() {
                let error = kafka.last_error().map_or(String::new(), |error| format!(": {error}"));
                let text = format!("lane {name}: its Kafka producer is not ready{error}");
                problems.push(Problem::new(Kind::KafkaProducer, &**name, text));
            }
            let silent = lane.silent_for();
            if silent >= STALLED_AFTER {
                let seconds = silent.as_secs();
                let text = format!("lane {name}: its thread has not made a round for {seconds} s");
                problems.push(Problem::new(Kind::LaneSilent, &**name, text));
            } else if let Some(Standstill { since, why }) = Standstill::of(lane, kafka) {
                let why = if why.is_empty() { why } else { format!(": {why}") };
                let text = format!(
                    "lane {name}: nothing landed for {} s although it has messages{why}",
                    since.as_secs()
                );
                problems.push(Problem::new(Kind::LaneStalled, &**name, text));
            }
        }
        problems.extend(self.pools.iter().flat_map(|pools| pools.problems()));
        problems
    }
}

impl AdminView for View {
    type Status = Status;

    fn stuck_threads(&self) -> Vec<String> {
        let lanes = self.edge.uplink.lanes().values();
        let lanes = lanes
            .filter(|lane| lane.is_finished() || lane.silent_for() > STUCK_AFTER)
            .map(|lane| format!("lane {}", lane.account.name));
        let runtimes = self.pulses.iter().map(|(name, pulse)| (*name, pulse.silent_for()));
        let topics = match self.topics.is_finished() {
            true => Duration::MAX,
            false => self.topics.silent_for(),
        };
        let silent = runtimes
            .chain([("local plane", self.edge.local.silent_for()), ("kafka-topics", topics)])
            .filter(|(_, silent)| *silent > STUCK_AFTER)
            .map(|(name, _)| name.to_owned());
        let pools = self.pools.iter().flat_map(|pools| pools.stuck(STUCK_AFTER));
        lanes.chain(silent).chain(pools).collect()
    }

    fn readiness(&self) -> Readiness {
        let problems = self.problems();
        if problems.is_empty() {
            self.was_ready.store(true, Ordering::Release);
        }
        // Small messages need no store, who is known comes in, nobody needs what changed meanwhile, who is
        // connected stays, and other partitions take what is for them: without those a gateway is of use.
        let store = self.edge.uplink.store_problem();
        let store = store.into_iter().map(|text| Problem::new(Kind::ObjectStore, "", text));
        let beside = store.chain(self.unanswering()).chain(self.unread_files());
        let beside = beside.chain(self.expired()).chain(self.partial_problems());
        if self.draining.load(Ordering::Acquire) {
            let reasons = vec![Problem::new(Kind::Draining, "", "the gateway drains")];
            let degraded = problems.into_iter().chain(beside).collect();
            return Readiness { ready: false, reasons, degraded };
        }
        match self.was_ready.load(Ordering::Acquire) {
            true => {
                let degraded = problems.into_iter().chain(beside).collect();
                Readiness { ready: true, reasons: Vec::new(), degraded }
            }
            false => Readiness { ready: false, reasons: problems, degraded: beside.collect() },
        }
    }

    fn status(&self) -> Status {
        let lanes = self.lanes().map(|reading| {
            let totals = reading.totals;
            LaneStatus {
                lane: reading.lane,
                received: totals.received,
                landed: totals.landed,
                dead_lettered: totals.dead_lettered,
                refused: totals.refused_total(),
                failed: totals.failed,
                in_flight: totals.in_flight,
                memory_used_bytes: reading.held_bytes,
                memory_limit_bytes: reading.limit_bytes,
                waiting_connections: reading.waiting_connections,
                backlog_records: reading.backlog_records,
            }
        });
        Status {
            gateway_id: self.gateway_id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            connections: self.edge.connections(),
            connections_limit: self.edge.limits.connections,
            lanes: lanes.collect(),
            readiness: self.readiness(),
        }
    }

    fn reading(&self, is_watched: bool) -> Reading {
        let admissions = self.entrances.iter().map(|entrance| (entrance, &entrance.admission));
        let listeners = admissions.map(|(entrance, admission)| ListenerReading {
            listener: entrance.name.to_string(),
            open: admission.open(),
            limit: admission.limit().min(self.edge.limits.connections),
            versions: admission.speaking().map(|(version, n)| (version.label(), n)).collect(),
        });
        let figures = self.edge.uplink.object_figures();
        Reading {
            role: "gateway",
            gateway_id: self.gateway_id.clone(),
            readiness: self.readiness(),
            draining: self.draining.load(Ordering::Acquire),
            lanes: self.lanes().collect(),
            connections: Some(ConnectionsReading {
                open: self.edge.connections(),
                limit: self.edge.limits.connections,
                silent: self.silent_sockets(),
                listeners: listeners.collect(),
            }),
            store: figures
                .map(|figures| StoreReading { figures, problem: self.edge.uplink.store_problem() }),
            kafka: if is_watched { self.kafka().collect() } else { Vec::new() },
            latest: self.latest.get().filter(|_| is_watched).map(|latest| latest.shown()),
        }
    }

    fn operated(&self) -> Operated<'_> {
        Operated {
            reloader: &self.reloader,
            clients: Some((&self.edge.clients, &self.edge.audit)),
            repeats: Some(self.edge.uplink.repeats()),
            pools: self.pools.as_ref(),
        }
    }

    fn collect_metrics(&self) {
        gauge!(names::CONNECTIONS).set(self.edge.connections());
        gauge!(names::CONNECTIONS_LIMIT).set(self.edge.limits.connections);
        for entrance in &self.entrances {
            let (listener, admission) = (entrance.name.to_string(), &entrance.admission);
            let limit = admission.limit().min(self.edge.limits.connections);
            gauge!(names::LISTENER_CONNECTIONS, "listener" => listener.clone())
                .set(admission.open());
            for (version, count) in admission.speaking() {
                let labels = [("listener", listener.clone()), ("version", version.label().into())];
                gauge!(names::MQTT_CONNECTIONS, &labels).set(count);
            }
            gauge!(names::LISTENER_CONNECTIONS_LIMIT, "listener" => listener).set(limit);
        }
        gauge!(names::SILENT_SOCKETS).set(self.silent_sockets() as f64);
        gauge!(names::SESSIONS_MEMORY_USED).set(self.edge.sessions.used() as f64);
        gauge!(names::SESSIONS_MEMORY_LIMIT).set(self.edge.sessions.limit() as f64);
        gauge!(names::BUILD_INFO, "role" => "gateway", "version" => env!("CARGO_PKG_VERSION"))
            .set(1.0);
        gauge!(names::MEMORY_LIMIT).set(self.memory_limit as f64);
        let readiness = self.readiness();
        gauge!(names::READY).set(f64::from(readiness.ready));
        let unanswering = self.unanswering().len();
        gauge!(names::AUTHENTICATION_PROBLEMS).set(unanswering as f64);
        gauge!(names::DRAINING).set(f64::from(self.draining.load(Ordering::Acquire)));
        gauge!(names::DEGRADED).set((readiness.degraded.len() + readiness.reasons.len()) as f64);
        for account in self.edge.uplink.accounts() {
            let lane = account.name.to_string();
            let totals = account.ledger.totals();
            for (name, value) in [
                (names::MESSAGES_RECEIVED, totals.received),
                (names::MESSAGES_LANDED, totals.landed),
                (names::MESSAGES_DEAD_LETTERED, totals.dead_lettered),
                (names::MESSAGES_FAILED, totals.failed),
            ] {
                counter!(name, "lane" => lane.clone()).absolute(value);
            }
            for (reason, value) in Refusal::ALL.into_iter().zip(totals.refused) {
                counter!(names::MESSAGES_REFUSED, "lane" => lane.clone(), "reason" => reason.label())
                    .absolute(value);
            }
            gauge!(names::MESSAGES_IN_FLIGHT, "lane" => lane.clone()).set(totals.in_flight as f64);
            for (carriage, label) in [(Carriage::Inline, "inline"), (Carriage::Large, "large")] {
                let share = account.share(carriage);
                for (name, value) in [
                    (names::LANE_MEMORY_USED, share.used() as f64),
                    (names::LANE_MEMORY_LIMIT, share.limit() as f64),
                    (names::LANE_WAITING, share.waiting() as f64),
                ] {
                    gauge!(name, "lane" => lane.clone(), "class" => label).set(value);
                }
            }
        }
        for (id, lane) in self.edge.uplink.lanes().iter() {
            let kafka = &self.kafka[id];
            let name = lane.account.name.to_string();
            gauge!(names::LANE_BACKLOG, "lane" => name.clone()).set(lane.backlog() as f64);
            counter!(names::LANE_RESETS, "lane" => name.clone()).absolute(lane.resets());
            counter!(names::LANE_HANDED_OVER_AGAIN, "lane" => name.clone())
                .absolute(lane.repeats());
            gauge!(names::LANE_OLDEST, "lane" => name.clone()).set(lane.oldest().as_secs_f64());
            gauge!(names::LANE_AWAY, "lane" => name.clone()).set(lane.away().len() as f64);
            let stalled = lane.stalled_for().unwrap_or_default();
            gauge!(names::LANE_STALLED, "lane" => name.clone()).set(stalled.as_secs_f64());
            gauge!(names::KAFKA_PRODUCER_READY, "lane" => name.clone())
                .set(f64::from(kafka.is_producer_ready()));
            let Some(figures) = kafka.figures() else { continue };
            gauge!(names::KAFKA_QUEUE_MESSAGES, "lane" => name.clone())
                .set(figures.queue_messages as f64);
            counter!(names::KAFKA_REQUESTS, "lane" => name.clone()).absolute(figures.requests);
            counter!(names::KAFKA_SENT_BYTES, "lane" => name.clone()).absolute(figures.sent_bytes);
            gauge!(names::KAFKA_ROUND_TRIP, "lane" => name.clone()).set(figures.round_trip_p99_s);
            gauge!(names::KAFKA_BROKERS_UP, "lane" => name).set(figures.brokers_up as f64);
        }
        if let Some(figures) = self.edge.uplink.object_figures() {
            collect_object_store(&figures);
        }
        for (kind, count) in self.edge.clients.takeovers() {
            counter!(names::TAKEOVERS, "kind" => kind).absolute(count);
        }
        for (reason, count) in self.edge.uplink.event_time_faults() {
            counter!(names::EVENT_TIMES_UNUSABLE, "reason" => reason).absolute(count);
        }
        self.edge.local.collect_metrics();
    }
}

fn collect_object_store(figures: &ObjectFigures) {
    for (name, results) in [
        (names::OBJECT_STORE_REQUESTS, figures.requests),
        (names::OBJECT_STORE_ATTEMPTS, figures.attempts),
    ] {
        counter!(name, "result" => "ok").absolute(results.ok);
        counter!(name, "result" => "failed").absolute(results.failed);
    }
    gauge!(names::OBJECT_STORE_UP).set(f64::from(figures.is_well));
    gauge!(names::OBJECT_STORE_OPEN).set(figures.open as f64);
    gauge!(names::OBJECT_STORE_OLDEST).set(figures.oldest.as_secs_f64());
}
