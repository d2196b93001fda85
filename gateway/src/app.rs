//! The gateway's role: what it builds and binds, and its life from the first connection to the end of the
//! drain. Only this file constructs; the frame is `process.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bridge::kafka::KafkaStatus;
use bridge::kafka::topics::{LaneTopics, Questions, Topics, TopicsThread};
use bridge::objects::Objects;
use bridge::sink::kafka::KafkaSink;
use bridge::{LaneThread, Lanes, Store, Uplink};
use parse::plan::Plan;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::audit::Audit;
use crate::config::{Drain, Settings};
use crate::edge::{Edge, EdgeLimits};
use crate::identity::Authentication;
use crate::large::LargeThreads;
use crate::live::Latest;
use crate::local::LocalPlane;
use crate::low_priority::LowPriority;
use crate::net::Bind;
use crate::net::{Entrance, Listener};
use crate::phase::Phase;
use crate::pools::Pools;
use crate::process::{self, Process, until};
use crate::reload::{Reload, Reloader};
use crate::session::window::WindowLimits;
use crate::view::View;

/// The threads that serve sockets.
const EDGE: &str = "edge";
/// How long connections may take to be told goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// By lane, what its producer tells of itself.
type KafkaStatuses = Lanes<Arc<KafkaStatus>>;

/// A gateway that is built and bound; nothing is accepted yet.
pub struct App {
    settings: Settings,
    process: Process,
    large: LargeThreads,
    listeners: Vec<Listener>,
    edge: Arc<Edge>,
    view: Arc<View>,
    lanes: Vec<LaneThread>,
    topics: TopicsThread,
}

impl App {
    /// With a plan, what lands is made events of in the same process, as `landfall dev` has it.
    pub fn build(settings: Settings, plan: Option<Plan>) -> anyhow::Result<App> {
        let limits = &settings.limits;
        let descriptors = u64::from(limits.connections) + settings.descriptors.reserved();
        let process = Process::build(EDGE, limits.workers, descriptors, &settings.admin)?;
        let authentication = Authentication::new(&settings.authentication, process.background())?;
        let access = settings.access.as_ref().map(|settings| Arc::new(Access::new(settings)));
        let entrances = entrances(&settings, &authentication, access.as_ref())?;
        let listeners = bind(&settings, &entrances, &process)?;
        let large = LargeThreads::start()?;
        let store = open_store(&settings, &large)?;
        let pools = plan.map(|plan| {
            let client = format!("landfall-parse-{}", settings.routing.gateway_id);
            Pools::start(&client, plan, &settings.kafka, store.clone(), settings.drain.deadline)
        });
        let pools = pools.transpose()?.map(Arc::new);
        let uplink = Arc::new(Uplink::new(settings.routing.clone(), store));
        let kafka = settings.routing.lanes.map(|_, _| Arc::new(KafkaStatus::default()));
        let lanes = start_lanes(&settings, &uplink, &kafka)?;
        let events = pools.as_ref().map_or_else(Vec::new, |pools| pools.topics());
        let (known_topics, topics) = watch_topics(&settings, &kafka, events, &process)?;
        let local = LocalPlane::start().context("the local plane cannot be started")?;
        let low_priority =
            LowPriority::start().context("the low-priority threads cannot be started")?;
        let (audit, limits) = (open_audit(&settings)?, edge_limits(&settings));
        let (carriers, wills) = (large.handle().clone(), settings.drain.wills);
        let edge = Edge::new(uplink, local, low_priority, carriers, audit, limits, wills);
        let edge = Arc::new(edge);
        let changing = Arc::clone(&edge);
        authentication.follow(process.background(), move || changing.rights.change());
        let mut parts = process.reloads();
        parts.extend(access.map(|access| access as Arc<dyn Reload>));
        parts.extend(authentication.reloads());
        parts.extend(entrances.iter().flat_map(|entrance| entrance.reloads()));
        let reloader = reloader(&settings, &process, &edge, parts);
        let mut pulses = process.pulses();
        pulses.push(large.pulse());
        let view = Arc::clone(&edge);
        let mut view = View::new(&settings, view, entrances, kafka, known_topics, pulses, reloader);
        view.pools = pools;
        let view = Arc::new(view);
        Ok(App { settings, process, large, listeners, edge, view, lanes, topics })
    }

    /// Where the listeners are that are no files, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.process.admin_address().ok()
    }

    /// Whoever looks is shown the latest messages too.
    pub fn show_latest(&self, latest: Arc<Latest>) {
        // It was not shown before.
        let _ = self.view.latest.set(latest);
    }

    /// Runs until it is told to end, drains, and says how many messages were not acknowledged.
    pub fn run(self) -> anyhow::Result<u64> {
        let App { settings, process, large, listeners, edge, view, lanes, topics } = self;
        let watched = Arc::clone(&edge);
        process.background().spawn(async move { watched.rights.watch(&watched.clients).await });
        let landing = Arc::clone(&view);
        process.background().spawn(async move { landing.watch_landing().await });
        process.background().spawn(Arc::clone(&view.reloader).run(settings.reload_at_hangup));
        let page = process.page_url().ok();
        let running = process.serve(Arc::clone(&view))?;
        let unacknowledged = running.block_on(async {
            let told_to_end = process::told_to_end()?;
            let mut accepting = Accepting::start(listeners, &edge);
            tracing::info!(gateway_id = settings.routing.gateway_id, page, "the gateway runs");
            let end = tokio::select! {
                () = told_to_end => Ok(()),
                lost = accepting.lost() => Err(lost),
            };
            let unacknowledged = drain(&settings.drain, &edge, &view, &accepting).await;
            if let Some(pools) = &view.pools {
                pools.drain(settings.drain.deadline).await;
            }
            end.map(|()| unacknowledged)
        });
        topics.stop();
        lanes.into_iter().for_each(LaneThread::stop);
        large.end();
        running.end();
        edge.audit.finish();
        unacknowledged
    }
}

/// The listeners as their connections see them; reads the files that they name.
fn entrances(
    settings: &Settings,
    authentication: &Arc<Authentication>,
    access: Option<&Arc<Access>>,
) -> anyhow::Result<Vec<Arc<Entrance>>> {
    let entrances = settings.listeners.iter().map(|listener| {
        let entrance = Entrance::new(listener, authentication, access.cloned())?;
        Ok(Arc::new(entrance))
    });
    entrances.collect()
}

/// What files say, which is read anew when they change; and who may not any more then.
fn reloader(
    settings: &Settings,
    process: &Process,
    edge: &Arc<Edge>,
    parts: Vec<Arc<dyn Reload>>,
) -> Arc<Reloader> {
    let parts = parts.into_iter().filter(|part| !part.files().is_empty()).collect();
    let background = process.background().clone();
    let changed = {
        let edge = Arc::clone(edge);
        move || edge.rights.change()
    };
    Reloader::new(parts, settings.read_at, background, Arc::clone(&edge.audit), changed)
}

fn bind(
    settings: &Settings,
    entrances: &[Arc<Entrance>],
    process: &Process,
) -> anyhow::Result<Vec<Listener>> {
    let _context = process.front().enter();
    let listeners = settings.listeners.iter().zip(entrances).map(|(listener, entrance)| {
        Listener::bind(Arc::clone(entrance), &listener.bind).with_context(|| {
            let (name, bind) = (&listener.name, &listener.bind);
            let ask = match bind {
                Bind::Tcp(_) => "is another program on that port?",
                Bind::Unix(_) => {
                    "is its folder there and writable, and no other program at that file?"
                }
            };
            format!("listener {name} cannot bind {bind}: {ask}")
        })
    });
    listeners.collect()
}

fn open_audit(settings: &Settings) -> anyhow::Result<Audit> {
    let Some(target) = &settings.audit else { return Ok(Audit::off()) };
    Audit::start(target).with_context(|| format!("the audit log cannot be opened: {target}"))
}

/// The store for large payloads, which is asked from here on whether it takes any.
fn open_store(settings: &Settings, large: &LargeThreads) -> anyhow::Result<Option<Store>> {
    let Some(store) = &settings.object_store else { return Ok(None) };
    let objects = Arc::new(Objects::open(&store.url, &store.options)?);
    let runtime = large.handle().clone();
    // There, too, so that no connection to the store is served by other threads.
    runtime.spawn(Arc::clone(&objects).watch(settings.routing.gateway_id.clone()));
    Ok(Some(Store { objects, runtime }))
}

fn start_lanes(
    settings: &Settings,
    uplink: &Uplink,
    kafka: &KafkaStatuses,
) -> anyhow::Result<Vec<LaneThread>> {
    let lanes = uplink.start(|lane, _| {
        let plan = settings.routing.lanes[lane].clone();
        let servers = settings.kafka.bootstrap_servers.clone();
        let status = Arc::clone(&kafka[lane]);
        // On the lane's own thread, which the producer wakes.
        Box::new(move || {
            let (properties, inline_size) = (&plan.properties, plan.inline_size);
            let thread = std::thread::current();
            let sink =
                KafkaSink::new(&plan.name, &servers, properties, inline_size, status, thread);
            Box::new(sink)
        })
    });
    lanes.context("the lanes' threads cannot be started")
}

fn watch_topics(
    settings: &Settings,
    kafka: &KafkaStatuses,
    events: Vec<LaneTopics>,
    process: &Process,
) -> anyhow::Result<(Arc<Topics>, TopicsThread)> {
    let lanes = settings.routing.lanes.iter().map(|(lane, plan)| LaneTopics {
        lane: plan.name.clone(),
        topics: plan.topic.all().to_vec(),
        inline_size: Some(plan.inline_size),
        status: Arc::clone(&kafka[lane]),
    });
    let mut properties = settings.kafka.properties.clone();
    let client_id = || format!("landfall-{}", settings.routing.gateway_id);
    properties.entry("client.id".to_owned()).or_insert_with(client_id);
    let topics = Topics::watch(
        &settings.kafka.bootstrap_servers,
        &properties,
        Questions { create: settings.kafka.create_topics, limits: !settings.kafka.embedded },
        lanes.chain(events).collect(),
        process.background().clone(),
    );
    topics.context("the thread for Kafka's topics cannot be started")
}

/// What connections may do.
fn edge_limits(settings: &Settings) -> EdgeLimits {
    EdgeLimits {
        message_size: settings.packet_size_max(),
        window: WindowLimits {
            messages: settings.limits.window_messages,
            bytes: settings.limits.window_size,
        },
        connections: settings.limits.connections,
    }
}

/// The listeners at work.
struct Accepting {
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Accepting {
    fn start(listeners: Vec<Listener>, edge: &Arc<Edge>) -> Accepting {
        let (stop, stopped) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(listener.run(Arc::clone(edge), stopped.clone()));
        }
        Accepting { stop, listeners: accepting }
    }

    /// Nothing is accepted any more.
    fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when a listener ended that nobody stopped: devices find nobody there, and only a new process
    /// helps. Cancel safe.
    async fn lost(&mut self) -> anyhow::Error {
        match self.listeners.join_next().await {
            Some(_) => anyhow::anyhow!(
                "a listener ended by itself, which is a fault of Landfall: see the log"
            ),
            // Without listeners there is none to be lost.
            None => std::future::pending().await,
        }
    }
}

/// Readiness off, keep accepting for the pause, then stop accepting and reading until nothing is open or
/// the deadline comes, then tell every client goodbye. Says how many messages were not acknowledged.
async fn drain(drain: &Drain, edge: &Edge, view: &View, accepting: &Accepting) -> u64 {
    tracing::info!("the gateway drains");
    view.draining.store(true, Ordering::Release);
    tokio::time::sleep(drain.pause).await;
    accepting.stop();
    edge.enter(Phase::Draining);
    let deadline = Instant::now() + drain.deadline;
    until(deadline, || edge.uplink.in_flight() == 0).await;
    // Wills of connections that end now count too.
    edge.enter(Phase::Closing);
    until(Instant::now() + GOODBYE_WAIT, || {
        // Who came meanwhile has not heard it.
        edge.enter(Phase::Closing);
        edge.connections() == 0
    })
    .await;
    until(deadline, || edge.uplink.in_flight() == 0).await;
    edge.uplink.in_flight()
}

#[cfg(test)]
mod tests;
