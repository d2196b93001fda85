//! The life of the gateway: build everything, bind everything, run, drain. Only this file constructs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bridge::kafka::KafkaStatus;
use bridge::kafka::topics::{LaneTopics, Questions, Topics, TopicsThread};
use bridge::objects::Objects;
use bridge::sink::kafka::KafkaSink;
use bridge::{LaneThread, Store, Uplink};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{Admin, AdminThread};
use crate::config::Settings;
use crate::edge::{Edge, EdgeLimits};
use crate::local::LocalPlane;
use crate::metrics::MetricsHandle;
use crate::net::Listener;
use crate::phase::Phase;
use crate::pulse::Pulse;
use crate::session::window::WindowLimits;
use crate::view::View;

/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long connections may take to be told goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// A gateway that is built and bound; nothing is accepted yet.
pub struct App {
    settings: Settings,
    edge: Arc<Edge>,
    listeners: Vec<Listener>,
    admin: Admin,
    view: Arc<View>,
    metrics: MetricsHandle,
    lanes: Vec<LaneThread>,
    topics: TopicsThread,
    /// Serves sockets.
    runtime: Runtime,
    /// Serves the object store, so that it can hold up no socket.
    background: Runtime,
}

impl App {
    pub fn build(settings: Settings) -> anyhow::Result<App> {
        raise_descriptor_limit();
        let metrics = crate::metrics::install();
        crate::panics::begin_at_zero();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.limits.workers)
            .thread_name("edge")
            .enable_all()
            .build()
            .context("the threads for sockets cannot be started")?;
        let background = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("background")
            .enable_all()
            .build()
            .context("the thread for the object store cannot be started")?;
        let store = match &settings.object_store {
            None => None,
            Some(store) => {
                let objects = Arc::new(Objects::open(&store.url, &store.options)?);
                let runtime = background.handle().clone();
                runtime.spawn(Arc::clone(&objects).watch(settings.routing.gateway_id.clone()));
                Some(Store { objects, runtime })
            }
        };
        let bridge = Arc::new(Uplink::new(settings.routing.clone(), store));
        let plans = &settings.routing.lanes;
        let statuses = plans.map(|_, _| Arc::new(KafkaStatus::default()));
        let lanes = bridge
            .start(|id, _| {
                let plan = plans[id].clone();
                let servers = settings.kafka.bootstrap_servers.clone();
                let status = Arc::clone(&statuses[id]);
                Box::new(move || {
                    Box::new(KafkaSink::new(
                        &plan.name,
                        &servers,
                        &plan.properties,
                        plan.inline_size,
                        status,
                        std::thread::current(),
                    ))
                })
            })
            .context("the lanes' threads cannot be started")?;
        let lane_topics = plans.iter().map(|(id, plan)| LaneTopics {
            lane: plan.name.clone(),
            topics: plan.topic.all().to_vec(),
            inline_size: plan.inline_size,
            status: Arc::clone(&statuses[id]),
        });
        let mut properties = settings.kafka.properties.clone();
        let client_id = || format!("landfall-{}", settings.routing.gateway_id);
        properties.entry("client.id".to_owned()).or_insert_with(client_id);
        let (topics, topics_thread) = Topics::watch(
            &settings.kafka.bootstrap_servers,
            &properties,
            Questions { create: settings.kafka.create_topics, limits: !settings.kafka.embedded },
            lane_topics.collect(),
            background.handle().clone(),
        )
        .context("the thread for Kafka's topics cannot be started")?;
        let local = LocalPlane::start().context("the local plane cannot be started")?;
        let limits = edge_limits(&settings);
        let edge = Arc::new(Edge::new(Arc::clone(&bridge), local, limits, settings.drain.wills));
        let listeners = {
            let _context = runtime.enter();
            let bind = |listener: &crate::config::ListenerSettings| {
                Listener::bind(&listener.name, listener.bind).with_context(|| {
                    format!(
                        "listener {} cannot bind {}: is another program on that port?",
                        listener.name, listener.bind
                    )
                })
            };
            settings.listeners.iter().map(bind).collect::<anyhow::Result<Vec<_>>>()?
        };
        let admin = Admin::bind(settings.admin).with_context(|| {
            format!("admin cannot bind {}: is another program on that port?", settings.admin)
        })?;
        let pulses = [("edge", &runtime), ("background", &background)]
            .map(|(name, runtime)| (name, Pulse::of_runtime(runtime.handle())));
        let view = Arc::new(View::new(&settings, Arc::clone(&edge), statuses, topics, pulses));
        Ok(App {
            settings,
            edge,
            listeners,
            admin,
            view,
            metrics,
            lanes,
            topics: topics_thread,
            runtime,
            background,
        })
    }

    /// Where the listeners are, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.address().ok()).collect()
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.address().ok()
    }

    /// Runs until SIGTERM or SIGINT, drains, and says how many messages were not acknowledged.
    pub fn run(self) -> anyhow::Result<u64> {
        let App {
            settings,
            edge,
            listeners,
            admin,
            view,
            metrics,
            lanes,
            topics,
            runtime,
            background,
        } = self;
        let admin: AdminThread = admin
            .serve(Arc::<View>::clone(&view), metrics)
            .context("the admin server cannot be started")?;
        let (stop_accepting, accepting) = watch::channel(false);
        let unacknowledged = runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            for listener in listeners {
                tokio::spawn(listener.run(Arc::clone(&edge), accepting.clone()));
            }
            tracing::info!(gateway_id = settings.routing.gateway_id, "the gateway runs");
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            drain(&settings, &edge, &view, &stop_accepting).await
        })?;
        topics.stop();
        for lane in lanes {
            lane.stop();
        }
        // Tasks of an object store that does not answer are not waited for.
        runtime.shutdown_background();
        background.shutdown_background();
        admin.stop();
        Ok(unacknowledged)
    }
}

/// Readiness off, keep accepting for the pause, then stop accepting and reading until nothing is open
/// or the deadline comes, then tell every client goodbye.
async fn drain(
    settings: &Settings,
    edge: &Arc<Edge>,
    view: &View,
    stop_accepting: &watch::Sender<bool>,
) -> anyhow::Result<u64> {
    tracing::info!("the gateway drains");
    view.draining.store(true, Ordering::Release);
    tokio::time::sleep(settings.drain.pause).await;
    stop_accepting.send_replace(true);
    edge.enter(Phase::Draining);
    let deadline = Instant::now() + settings.drain.deadline;
    while edge.bridge.in_flight() > 0 && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    // Wills of connections that end now count too.
    edge.enter(Phase::Closing);
    let goodbye = Instant::now() + GOODBYE_WAIT;
    while edge.connections() > 0 && Instant::now() < goodbye {
        edge.enter(Phase::Closing);
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    while edge.bridge.in_flight() > 0 && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    Ok(edge.bridge.in_flight())
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

/// Connections need descriptors: up to what the system allows.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open descriptors cannot be raised");
    }
}

#[cfg(test)]
mod tests;
