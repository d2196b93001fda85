//! How the object store is doing, while it still matters.
//!
//! A request that fails is tried again for half a minute before anybody is told, so each try is counted
//! where it leaves, at the HTTP client: a store that answers 503 shows with its first answer. A store
//! that does not answer at all shows by the age of the oldest request. What the HTTP client sees of an
//! answer is also what decides what to do about it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use parking_lot::Mutex;

use super::reaction::Answer;
use super::request;

/// Bytes of an error's body, or of an answer to a POST, that are read.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Counts of things that went well or failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    pub ok: u64,
    pub failed: u64,
}

/// What a store did since the start, and what it is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectFigures {
    /// Requests, each with all its tries: what failed here failed for good.
    pub requests: Results,
    /// Each try of a request on its own.
    pub attempts: Results,
    /// Requests in flight.
    pub open: usize,
    /// How long the oldest of them has been in flight; zero where there is none.
    pub oldest: Duration,
    /// The store takes what is written, as far as is known.
    pub is_well: bool,
}

/// Counts a store's requests.
pub(super) struct Meter {
    requests: Counts,
    attempts: Counts,
    open: Mutex<Open>,
    latency: metrics::Histogram,
}

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
}

/// Requests in flight. There are few: each holds a part in memory.
#[derive(Default)]
struct Open {
    next: u64,
    /// Start by number, so that the first is the oldest.
    starts: BTreeMap<u64, Instant>,
}

impl Counts {
    fn count(&self, ok: bool) {
        let count = if ok { &self.ok } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn results(&self) -> Results {
        Results { ok: self.ok.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }
}

impl Meter {
    pub fn new() -> Arc<Meter> {
        Arc::new(Meter {
            requests: Counts::default(),
            attempts: Counts::default(),
            open: Mutex::default(),
            latency: metrics::histogram!(crate::metrics::OBJECT_STORE_LATENCY),
        })
    }

    /// A request begins, with all its tries. One that is dropped before its end counts as nothing.
    pub fn begin(&self) -> InFlight<'_> {
        let started = Instant::now();
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.starts.insert(number, started);
        InFlight { meter: self, number, started }
    }

    /// Counts a try that no HTTP client sees.
    pub fn attempt(&self, ok: bool) {
        self.attempts.count(ok);
    }

    pub fn figures(&self) -> ObjectFigures {
        let open = self.open.lock();
        let oldest = open.starts.first_key_value();
        ObjectFigures {
            requests: self.requests.results(),
            attempts: self.attempts.results(),
            open: open.starts.len(),
            oldest: oldest.map_or(Duration::ZERO, |(_, started)| started.elapsed()),
            is_well: false,
        }
    }
}

/// A request in flight, until it is dropped.
pub(super) struct InFlight<'m> {
    meter: &'m Meter,
    number: u64,
    started: Instant,
}

impl InFlight<'_> {
    pub fn end(self, ok: bool) {
        self.meter.latency.record(self.started.elapsed());
        self.meter.requests.count(ok);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.meter.open.lock().starts.remove(&self.number);
    }
}

/// Makes object_store's own HTTP client, with a count of what goes through it.
pub(super) struct MeteredConnector(pub Arc<Meter>);

impl HttpConnector for MeteredConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(MeteredClient { client, meter: Arc::clone(&self.0) }))
    }
}

struct MeteredClient {
    client: HttpClient,
    meter: Arc<Meter>,
}

impl HttpService for MeteredClient {
    // What `async_trait`, in which the trait is written, makes of an `async fn`.
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let path = request.uri().path().to_owned();
            // S3 sends 200 before it knows, and an error in the body when it knows: to POST only.
            let may_err_late = request.method().as_str() == "POST";
            let result = match self.client.execute(request).await {
                Ok(response) if !response.status().is_success() || may_err_late => {
                    with_body(response).await
                }
                Ok(response) => Ok((response, Bytes::new())),
                Err(error) => Err(error),
            };
            match result {
                Ok((response, body)) => {
                    let headers = response.headers();
                    let header = |name: &str| headers.get(name).and_then(|text| text.to_str().ok());
                    let answer = Answer::read(response.status().as_u16(), header, &body);
                    self.meter.attempts.count(answer.is_ok());
                    request::see_answer(&host, &path, answer);
                    Ok(response)
                }
                Err(error) => {
                    self.meter.attempts.count(false);
                    request::see_error(&host, &path, &error);
                    Err(error)
                }
            }
        })
    }
}

/// The response with what its body begins with, up to [`BODY_MAX_BYTES`]: as much as errors and the
/// answers to POST ever have.
async fn with_body(response: HttpResponse) -> Result<(HttpResponse, Bytes), HttpError> {
    let (head, body) = response.into_parts();
    let mut stream = body.bytes_stream();
    let mut start = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        let room = BODY_MAX_BYTES - start.len();
        start.extend_from_slice(&piece[..piece.len().min(room)]);
        if start.len() == BODY_MAX_BYTES {
            break;
        }
    }
    let start = Bytes::from(start);
    Ok((HttpResponse::from_parts(head, start.clone().into()), start))
}

// Both traits ask for it; there is nothing to tell.
impl std::fmt::Debug for MeteredConnector {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("MeteredConnector")
    }
}

impl std::fmt::Debug for MeteredClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("MeteredClient")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::super::tests::{Reply, Server, object_at, payload, runtime, s3};
    use super::*;

    fn counted(objects: &Objects) -> (Results, Results) {
        let figures = objects.figures();
        assert_eq!((figures.open, figures.oldest), (0, Duration::ZERO));
        (figures.attempts, figures.requests)
    }

    #[test]
    fn each_try_counts_and_the_request_once() {
        let mut answers = [503, 500].into_iter();
        let server = Server::start(move |asked| {
            (asked.method == "PUT").then(|| answers.next().map(Reply::status)).flatten()
        });
        let objects = s3(&server);
        runtime().block_on(object_at(&objects, "key").put(payload())).expect("the third try works");
        // And it is asked whether the object is there.
        let expected = (Results { ok: 2, failed: 2 }, Results { ok: 2, failed: 0 });
        assert_eq!(counted(&objects), expected);
    }

    #[test]
    fn what_no_try_can_mend_fails_at_once() {
        let server = Server::start(|_| Some(Reply::error(400, "EntityTooSmall")));
        let objects = s3(&server);
        runtime().block_on(object_at(&objects, "key").put(payload())).expect_err("it is too large");
        let expected = (Results { ok: 0, failed: 1 }, Results { ok: 0, failed: 1 });
        assert_eq!(counted(&objects), expected);
    }

    #[test]
    fn a_redirection_and_an_error_with_status_200_are_not_ok() {
        let mut answers = [Reply::status(301), Reply::error(200, "InvalidPart")].into_iter();
        let server = Server::start(move |_| answers.next());
        let objects = s3(&server);
        let object = Arc::new(object_at(&objects, "key"));
        runtime().block_on(async {
            let begin = tokio::time::timeout(Duration::from_millis(200), object.put_parts());
            assert!(begin.await.is_err(), "it waits for somebody to mend it");
            objects.health.probe_worked();
            object.put_parts().await.err().expect("what it says is an error");
        });
        assert_eq!(counted(&objects).0, Results { ok: 0, failed: 2 });
    }

    #[test]
    fn a_store_that_does_not_answer_shows_by_the_age_of_its_requests() {
        let server = Server::start(|_| Some(Reply::Silence));
        let objects = s3(&server);
        runtime().block_on(async {
            let (first, second) = (object_at(&objects, "first"), object_at(&objects, "second"));
            let puts = async { tokio::join!(first.put(payload()), second.put(payload())) };
            let wait = Duration::from_millis(200);
            tokio::time::timeout(wait, puts).await.expect_err("nobody answers");
            assert_eq!(objects.figures().open, 0, "what is given up is not in flight");
            let put = first.put(payload());
            tokio::pin!(put);
            let _ = tokio::time::timeout(wait, &mut put).await;
            let figures = objects.figures();
            assert_eq!(figures.open, 1);
            assert!(figures.oldest >= wait, "{figures:?}");
            assert_eq!(figures.requests, Results::default());
        });
    }

    #[test]
    fn a_folder_counts_too() {
        let folder = std::env::temp_dir().join(format!("landfall-meter-{}", std::process::id()));
        let url = url::Url::from_file_path(&folder).expect("an absolute path");
        let objects =
            Arc::new(Objects::open(&url, &BTreeMap::new()).expect("the folder can be made"));
        runtime().block_on(async {
            let object = object_at(&objects, "key");
            object.put(payload()).await.expect("the folder is there");
            // A folder in the place of the object cannot be replaced by it.
            std::fs::create_dir_all(folder.join("taken/below")).expect("it can be written");
            let taken = object_at(&objects, "taken");
            taken.put(payload()).await.expect_err("a folder is there");
        });
        let expected = (Results { ok: 1, failed: 1 }, Results { ok: 1, failed: 1 });
        assert_eq!(counted(&objects), expected);
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
