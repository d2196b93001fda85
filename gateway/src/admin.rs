//! Health, metrics and status over HTTP, on a thread and a runtime of their own, so that they answer
//! while everything else burns. Until there is authentication the API names no device.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::metrics::MetricsHandle;
use crate::rate_limit::RateLimit;

/// Connections at a time, for each of which the plan of descriptors has one. One more takes the place
/// of the oldest: whoever holds connections open shuts out no probe.
pub const CONNECTIONS_MAX: usize = 64;
/// A request's head has to be here this long after the connection or the answer before it.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// How long a connection lasts, whatever it asks for or leaves unread.
const CONNECTION_WAIT: Duration = Duration::from_secs(60);
/// How long the answer at hand may take after that.
const LAST_ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Pause after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages show of a role.
pub trait AdminView: Send + Sync + 'static {
    /// What `/api/v1/status` tells.
    type Status: Serialize;

    /// Threads that are stuck or gone; empty when the process is alive. Never about Kafka.
    fn stuck_threads(&self) -> Vec<String>;
    fn readiness(&self) -> Readiness;
    fn status(&self) -> Self::Status;
    /// Brings the metrics that are counted elsewhere up to date.
    fn collect_metrics(&self);
}

/// May the process be sent traffic, and is everything as it should be?
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why it is not ready.
    pub reasons: Vec<String>,
    /// What is wrong although it is ready.
    pub degraded: Vec<String>,
}

/// A bound admin server.
pub struct Admin {
    socket: std::net::TcpListener,
}

/// The running admin server.
pub struct AdminThread {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

struct Pages<V> {
    view: Arc<V>,
    metrics: MetricsHandle,
}

impl Admin {
    pub fn bind(address: SocketAddr) -> io::Result<Admin> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Admin { socket })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub fn serve<V: AdminView>(
        self,
        view: Arc<V>,
        metrics: MetricsHandle,
    ) -> io::Result<AdminThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) =
                runtime.block_on(serve(self.socket, Pages { view, metrics }, stopped))
            {
                tracing::error!(%error, "the admin server ended");
            }
            // A scraper that keeps its connection open is not waited for.
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(AdminThread { stop, handle })
    }
}

impl AdminThread {
    pub fn stop(self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(());
        if self.handle.join().is_err() {
            tracing::error!("the admin server had panicked");
        }
    }
}

async fn serve<V: AdminView>(
    socket: std::net::TcpListener,
    pages: Pages<V>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    let router = Router::new()
        .route("/livez", get(livez::<V>))
        .route("/readyz", get(readyz::<V>))
        .route("/metrics", get(metrics::<V>))
        .route("/api/v1/status", get(status::<V>))
        .fallback(not_found)
        .with_state(Arc::new(pages));
    tokio::select! {
        () = accept(listener, router) => Ok(()),
        _ = stopped => Ok(()),
    }
}

/// Accepts for ever, and keeps to [`CONNECTIONS_MAX`].
async fn accept(listener: TcpListener, router: Router) {
    // From the oldest to the newest.
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS_MAX);
    let log = RateLimit::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if log.allows() {
                    tracing::warn!(%error, "a connection to the admin port could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            if log.allows() {
                let limit = CONNECTIONS_MAX;
                tracing::warn!(
                    limit,
                    "too many connections to the admin port: the oldest is closed"
                );
            }
            oldest.abort();
            // Its descriptor is given back before the next one is taken.
            tokio::task::yield_now().await;
        }
        open.push_back(tokio::spawn(connection(stream, router.clone())).abort_handle());
    }
}

/// Serves one connection, to an end that does not depend on its client.
async fn connection(stream: TcpStream, router: Router) {
    // Without it a page waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    // What goes wrong on a connection is its client's, and over with it.
    if timeout(CONNECTION_WAIT, serving.as_mut()).await.is_err() {
        serving.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER_WAIT, serving).await;
    }
}

async fn livez<V: AdminView>(State(pages): State<Arc<Pages<V>>>) -> Response {
    let stuck = pages.view.stuck_threads();
    match stuck.is_empty() {
        true => (StatusCode::OK, "alive\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", stuck.join(", ")))
            .into_response(),
    }
}

async fn readyz<V: AdminView>(State(pages): State<Arc<Pages<V>>>) -> Response {
    let readiness = pages.view.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

async fn metrics<V: AdminView>(State(pages): State<Arc<Pages<V>>>) -> Response {
    pages.view.collect_metrics();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, pages.metrics.render()).into_response()
}

async fn status<V: AdminView>(State(pages): State<Arc<Pages<V>>>) -> Response {
    Json(pages.view.status()).into_response()
}

async fn not_found() -> Response {
    let text = "not found: there are /livez, /readyz, /metrics and /api/v1/status\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
