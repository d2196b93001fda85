//! Health, metrics, status and what operators do, over HTTP, on a thread and a runtime of their own, so that
//! they answer while everything else burns. What names a device or changes something is behind [`guard`].

mod clients;
mod document;
mod guard;
mod ledger;
mod live;
mod page;
mod pools;
mod reload;
mod runbook;
mod secured;
pub mod tokens;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bridge::{Repeats, fail_point};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::audit::Audit;
use crate::clients::Clients;
use crate::live::{Live, RECORDED, Reading, WATCHERS_MAX};
use crate::metrics::MetricsHandle;
use crate::net::tls::{Tls, TlsSettings};
use crate::pools::Pools;
use crate::problem::Problem;
use crate::rate_limit::RateLimit;
use crate::reload::{Reload, Reloader};
use guard::{Caller, Guard};
use live::Stay;
use tokens::{CurrentTokens, TokenSources, Tokens};

/// Connections at a time of one port, for each of which the plan of descriptors has one. One more takes the
/// place of the oldest that nobody looks through: whoever holds connections open shuts out no probe, and who looks
/// has a limit of their own.
pub const CONNECTIONS_MAX: usize = 64;
const _: () = assert!(WATCHERS_MAX <= CONNECTIONS_MAX / 2);
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

/// Where the gateway is asked and told, and by whom.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    pub bind: SocketAddr,
    pub probes: Option<ProbesSettings>,
    /// None where pages are asked for as they are.
    pub tls: Option<TlsSettings>,
    /// Common names of certificates that open it, with [`AdminSettings::tls`].
    pub certificates: Vec<String>,
    /// Where the tokens are kept that open it.
    pub token_sources: TokenSources,
    /// Those tokens, as they were read.
    pub tokens: Tokens,
}

/// A port of its own for signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbesSettings {
    pub bind: SocketAddr,
    /// `/metrics` is there too.
    pub metrics: bool,
}

/// By this name metrics of TLS tell it from listeners, of which none may have it then.
pub const TLS_NAME: &str = "admin";

/// What the pages show of a role.
pub trait AdminView: Send + Sync + 'static {
    /// What `/api/v1/status` tells.
    type Status: Serialize;

    /// Threads that are stuck or gone; empty when the process is alive. Never about Kafka.
    fn stuck_threads(&self) -> Vec<String>;
    fn readiness(&self) -> Readiness;
    fn status(&self) -> Self::Status;
    /// What `/api/v1/live` shows; what only costs while somebody looks is absent while nobody does.
    fn reading(&self, is_watched: bool) -> Reading;
    /// What operators are shown that names devices, and what they may do.
    fn operated(&self) -> Operated<'_>;
    /// Brings the metrics that are counted elsewhere up to date.
    fn collect_metrics(&self);
}

/// What of a role operators look at and change, behind [`guard`].
pub struct Operated<'v> {
    /// What reads files anew.
    pub reloader: &'v Arc<Reloader>,
    /// Who is connected, and where it is told what operators do.
    pub clients: Option<(&'v Arc<Clients>, &'v Arc<Audit>)>,
    /// Which messages its lanes handed over again; they name no device.
    pub repeats: Option<&'v Arc<Repeats>>,
    /// What makes events of messages.
    pub pools: Option<&'v Arc<Pools>>,
}

/// May the process be sent traffic, and is everything as it should be?
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why it is not ready.
    pub reasons: Vec<Problem>,
    /// What is wrong although it is ready.
    pub degraded: Vec<Problem>,
}

/// A port of the admin server cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{place} cannot bind {address}: is another program on that port?")]
pub struct CannotBind {
    place: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// A bound admin server.
pub struct Admin {
    port: std::net::TcpListener,
    tls: Option<Arc<Tls>>,
    probes: Option<Probes>,
    tokens: Arc<CurrentTokens>,
    guard: Arc<Guard>,
}

/// A port for those who only ask for signs of life.
struct Probes {
    port: std::net::TcpListener,
    guard: Arc<Guard>,
    /// `/metrics` is there too.
    metrics: bool,
}

/// The running admin server.
pub struct AdminThread {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

struct Pages<V> {
    view: Arc<V>,
    metrics: MetricsHandle,
    live: Arc<Live>,
}

/// A connection, as long as it is served.
struct Open {
    serving: AbortHandle,
    stay: Stay,
}

impl Admin {
    /// Binds its ports and reads its files. After the process's recorder is there, as it counts who is not let
    /// in.
    pub fn bind(settings: &AdminSettings) -> anyhow::Result<Admin> {
        let AdminSettings { token_sources, tokens, certificates, .. } = settings;
        let tokens = Arc::new(CurrentTokens::new(token_sources.clone(), tokens.clone()));
        let certificates: Arc<[String]> = certificates.as_slice().into();
        let guard = |address: SocketAddr| {
            let (tokens, certificates) = (Arc::clone(&tokens), Arc::clone(&certificates));
            Arc::new(Guard::new(tokens, certificates, address.ip().is_loopback()))
        };
        let tls = settings.tls.as_ref().map(|tls| Tls::open(TLS_NAME, tls)).transpose()?;
        let probes = settings.probes.as_ref().map(|probes| {
            let port = bind("admin.probes", probes.bind)?;
            Ok::<_, CannotBind>(Probes { port, guard: guard(probes.bind), metrics: probes.metrics })
        });
        Ok(Admin {
            port: bind("admin", settings.bind)?,
            tls: tls.map(Arc::new),
            probes: probes.transpose()?,
            guard: guard(settings.bind),
            tokens,
        })
    }

    /// What of it may be read anew.
    pub fn reloads(&self) -> Vec<Arc<dyn Reload>> {
        let tls = self.tls.iter().map(|tls| Arc::clone(tls) as Arc<dyn Reload>);
        std::iter::once(Arc::clone(&self.tokens) as Arc<dyn Reload>).chain(tls).collect()
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    /// Where people open it in a browser.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}/", self.address()?))
    }

    pub fn serve<V: AdminView>(
        self,
        view: Arc<V>,
        metrics: MetricsHandle,
    ) -> io::Result<AdminThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            let pages = Arc::new(Pages { view, metrics, live: Live::new() });
            if let Err(error) = runtime.block_on(serve(self, pages, stopped)) {
                tracing::error!(%error, "the admin server ended");
            }
            // A scraper that keeps its connection open is not waited for.
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(AdminThread { stop, handle })
    }
}

fn bind(place: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, CannotBind> {
    let bound = std::net::TcpListener::bind(address).and_then(|port| {
        port.set_nonblocking(true)?;
        Ok(port)
    });
    bound.map_err(|source| CannotBind { place, address, source })
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
    admin: Admin,
    pages: Arc<Pages<V>>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let Admin { port, tls, probes, guard, .. } = admin;
    let port = TcpListener::from_std(port)?;
    let router = all_pages(&pages, &guard);
    tokio::spawn(sample(Arc::clone(&pages)));
    let probes = match probes {
        Some(Probes { port, guard, metrics }) => {
            Some((TcpListener::from_std(port)?, probe_pages(&pages, &guard, metrics)))
        }
        None => None,
    };
    let probes = async {
        match probes {
            Some((port, router)) => accept(port, None, router).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accept(port, tls, router) => Ok(()),
        () = probes => Ok(()),
        _ = stopped => Ok(()),
    }
}

/// Samples the role for those who look, for ever.
async fn sample<V: AdminView>(pages: Arc<Pages<V>>) {
    let read = |is_watched| (pages.view.reading(is_watched), pages.metrics.read(RECORDED));
    pages.live.run(read).await;
}

/// What is on `admin.bind`.
fn all_pages<V: AdminView>(pages: &Arc<Pages<V>>, guard: &Arc<Guard>) -> Router {
    let Operated { reloader, clients, repeats, pools } = pages.view.operated();
    let mut shown = Router::new()
        .route("/metrics", get(metrics::<V>))
        .route("/api/v1/status", get(status::<V>))
        .with_state(Arc::clone(pages))
        .merge(live::pages(&pages.live));
    if let Some(repeats) = repeats {
        shown = shown.merge(ledger::pages(pages, repeats));
    }
    let shown = shown.route_layer(from_fn_with_state(Arc::clone(guard), guard::if_configured));
    let mut kept = reload::pages(reloader);
    if let Some((clients, audit)) = clients {
        kept = kept.merge(clients::pages(clients, audit));
    }
    if let Some(pools) = pools {
        kept = kept.merge(pools::pages(pools));
    }
    let kept = kept.route_layer(from_fn_with_state(Arc::clone(guard), guard::always));
    let text = match (clients.is_some(), pools.is_some()) {
        (_, false) => {
            "not found: there are / and /runbook for people, /livez, /readyz, /metrics, and /api/v1/ with status, ledger, live, clients and reload\n"
        }
        (true, true) => {
            "not found: there are / and /runbook for people, /livez, /readyz, /metrics, and /api/v1/ with status, ledger, live, clients, parse and reload\n"
        }
        (false, true) => {
            "not found: there are / and /runbook for people, /livez, /readyz, /metrics, and /api/v1/ with status, live, parse and reload\n"
        }
    };
    // The page itself has no figures in it, nor has the runbook.
    let page = page::pages().merge(runbook::pages());
    let page = page.route_layer(from_fn_with_state(Arc::clone(guard), guard::anybody));
    signs_of_life(pages, guard).merge(page).merge(shown).merge(kept).fallback(not_found(text))
}

/// What is on `admin.probes.bind`.
fn probe_pages<V: AdminView>(
    pages: &Arc<Pages<V>>,
    guard: &Arc<Guard>,
    with_metrics: bool,
) -> Router {
    let router = signs_of_life(pages, guard);
    if !with_metrics {
        return router.fallback(not_found("not found: there are /livez and /readyz\n"));
    }
    let shown = Router::new()
        .route("/metrics", get(metrics::<V>))
        .route_layer(from_fn_with_state(Arc::clone(guard), guard::anybody))
        .with_state(Arc::clone(pages));
    router.merge(shown).fallback(not_found("not found: there are /livez, /readyz and /metrics\n"))
}

fn signs_of_life<V: AdminView>(pages: &Arc<Pages<V>>, guard: &Arc<Guard>) -> Router {
    Router::new()
        .route("/livez", get(livez::<V>))
        .route("/readyz", get(readyz::<V>))
        .route_layer(from_fn_with_state(Arc::clone(guard), guard::anybody))
        .with_state(Arc::clone(pages))
}

/// Accepts for ever, and keeps to [`CONNECTIONS_MAX`].
async fn accept(listener: TcpListener, tls: Option<Arc<Tls>>, router: Router) {
    // From the oldest to the newest.
    let mut open: VecDeque<Open> = VecDeque::with_capacity(CONNECTIONS_MAX);
    let (log, tls_log) = (RateLimit::default(), Arc::new(RateLimit::default()));
    loop {
        fail_point::ask_thread();
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if log.allows() {
                    tracing::warn!(%error, "a connection to the admin port could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.serving.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.iter().position(|connection| !connection.stay.is_watched())
            && let Some(oldest) = open.remove(oldest)
        {
            if log.allows() {
                let limit = CONNECTIONS_MAX;
                tracing::warn!(
                    limit,
                    "too many connections to the admin port: the oldest is closed"
                );
            }
            oldest.serving.abort();
            // Its descriptor is given back before the next one is taken.
            tokio::task::yield_now().await;
        }
        // Without it a page waits for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let caller = Caller { address: address.ip(), certificate: None };
        let stay = Stay::begin();
        let router = router.clone().layer(Extension(stay.clone()));
        let serving = match &tls {
            None => tokio::spawn(connection(stream, caller, router)),
            Some(tls) => {
                let (tls, log) = (Arc::clone(tls), Arc::clone(&tls_log));
                tokio::spawn(secured_connection(tls, stream, caller, router, log))
            }
        };
        open.push_back(Open { serving: serving.abort_handle(), stay });
    }
}

/// Serves one connection with TLS, if its handshake ends well within the time of a request's head.
async fn secured_connection(
    tls: Arc<Tls>,
    stream: TcpStream,
    mut caller: Caller,
    router: Router,
    log: Arc<RateLimit>,
) {
    let address = caller.address;
    match timeout(HEAD_WAIT, secured::accept(&tls, stream)).await {
        Ok(Ok((stream, certificate))) => {
            caller.certificate = certificate;
            connection(stream, caller, router).await;
        }
        Ok(Err(error)) if log.allows() => {
            tracing::warn!(%address, error, "a TLS handshake failed on the admin port");
        }
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Serves one connection, to an end that does not depend on its client.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    caller: Caller,
    router: Router,
) {
    let router = router.layer(Extension(caller));
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

fn not_found(text: &'static str) -> impl axum::handler::Handler<((),), ()> {
    move || async move { (StatusCode::NOT_FOUND, text) }
}
