//! How the object store is doing, while it still matters.
//!
//! A request that fails is tried again for half a minute before anybody is told, so each try is counted
//! where it leaves, at the HTTP client: a store that answers 503 shows with its first answer. A store
//! that does not answer at all shows by the age of the oldest request.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use parking_lot::Mutex;

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
    /// Requests under way.
    pub open: usize,
    /// How long the oldest of them has been under way; zero where there is none.
    pub oldest: Duration,
}

/// Counts a store's requests.
pub(super) struct Meter {
    requests: Counts,
    attempts: Counts,
    open: Mutex<Open>,
    latency: metrics::Histogram,
    /// The store is a folder: no HTTP client sees its requests, and each is its only try.
    is_folder: bool,
}

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
}

/// Requests under way. There are few: each holds a part in memory.
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
    pub fn new(is_folder: bool) -> Arc<Meter> {
        Arc::new(Meter {
            requests: Counts::default(),
            attempts: Counts::default(),
            open: Mutex::default(),
            latency: metrics::histogram!(crate::metrics::OBJECT_STORE_LATENCY),
            is_folder,
        })
    }

    /// Runs a request and counts it. One that is dropped before its end counts as nothing.
    pub async fn request<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let started = Instant::now();
        let open = self.open_request(started);
        let result = request.await;
        drop(open);
        self.latency.record(started.elapsed());
        self.requests.count(result.is_ok());
        if self.is_folder {
            self.attempts.count(result.is_ok());
        }
        result
    }

    fn open_request(&self, started: Instant) -> OpenRequest<'_> {
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.starts.insert(number, started);
        OpenRequest { meter: self, number }
    }

    pub fn figures(&self) -> ObjectFigures {
        let open = self.open.lock();
        let oldest = open.starts.first_key_value();
        ObjectFigures {
            requests: self.requests.results(),
            attempts: self.attempts.results(),
            open: open.starts.len(),
            oldest: oldest.map_or(Duration::ZERO, |(_, started)| started.elapsed()),
        }
    }
}

/// A request under way, until it is dropped.
struct OpenRequest<'m> {
    meter: &'m Meter,
    number: u64,
}

impl Drop for OpenRequest<'_> {
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
            let result = self.client.execute(request).await;
            let is_error = |response: &HttpResponse| {
                response.status().is_client_error() || response.status().is_server_error()
            };
            self.meter.attempts.count(result.as_ref().is_ok_and(|response| !is_error(response)));
            result
        })
    }
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
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use bytes::Bytes;
    use url::Url;

    use super::super::Objects;
    use super::*;

    /// An HTTP server that gives one answer after the other, each on a connection of its own, and then
    /// takes requests without an answer.
    fn server(answers: &'static [u16]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for (at, stream) in listener.incoming().flatten().enumerate() {
                let Some(code) = answers.get(at) else {
                    silent.push(stream);
                    continue;
                };
                let mut stream = stream;
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    head.push(byte[0]);
                }
                let answer = format!(
                    "HTTP/1.1 {code} Test\r\nETag: \"1\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                // The client may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{address}")
    }

    fn s3(endpoint: String) -> Arc<Objects> {
        let options = [
            ("endpoint", endpoint.as_str()),
            ("allow_http", "true"),
            ("region", "us-east-1"),
            ("access_key_id", "key"),
            ("secret_access_key", "secret"),
        ];
        let options: BTreeMap<String, String> =
            options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let url = Url::parse("s3://bucket/prefix").expect("a URL");
        Arc::new(Objects::open(&url, &options).expect("no request is made"))
    }

    fn runtime() -> tokio::runtime::Runtime {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be built")
    }

    #[test]
    fn each_try_counts_and_the_request_once() {
        let objects = s3(server(&[503, 500, 200]));
        runtime()
            .block_on(objects.object("key").put(Bytes::from_static(b"payload")))
            .expect("the third try works");
        let figures = objects.figures();
        assert_eq!(figures.attempts, Results { ok: 1, failed: 2 });
        assert_eq!(figures.requests, Results { ok: 1, failed: 0 });
        assert_eq!((figures.open, figures.oldest), (0, Duration::ZERO));
    }

    #[test]
    fn what_no_try_can_mend_fails_at_once() {
        let objects = s3(server(&[403]));
        runtime()
            .block_on(objects.object("key").put(Bytes::from_static(b"payload")))
            .expect_err("the key is refused");
        let figures = objects.figures();
        assert_eq!(figures.attempts, Results { ok: 0, failed: 1 });
        assert_eq!(figures.requests, Results { ok: 0, failed: 1 });
    }

    #[test]
    fn a_store_that_does_not_answer_shows_by_the_age_of_its_requests() {
        let objects = s3(server(&[]));
        runtime().block_on(async {
            let (first, second) = (objects.object("first"), objects.object("second"));
            let payload = Bytes::from_static(b"payload");
            let puts = async { tokio::join!(first.put(payload.clone()), second.put(payload)) };
            let wait = Duration::from_millis(200);
            tokio::time::timeout(wait, puts).await.expect_err("nobody answers");
            assert_eq!(objects.figures().open, 0, "what is given up is not under way");
            let put = first.put(Bytes::from_static(b"payload"));
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
        let url = Url::from_file_path(&folder).expect("an absolute path");
        let objects =
            Arc::new(Objects::open(&url, &BTreeMap::new()).expect("the folder can be made"));
        runtime().block_on(async {
            let object = objects.object("key");
            object.put(Bytes::from_static(b"payload")).await.expect("the folder is there");
            // A folder in the place of the object cannot be replaced by it.
            std::fs::create_dir_all(folder.join("taken/below")).expect("it can be written");
            let taken = objects.object("taken");
            taken.put(Bytes::from_static(b"payload")).await.expect_err("a folder is there");
        });
        let figures = objects.figures();
        assert_eq!(figures.attempts, Results { ok: 1, failed: 1 });
        assert_eq!(figures.requests, Results { ok: 1, failed: 1 });
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
