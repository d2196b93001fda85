//! Writes held against an S3 server of our own that errs, lies, breaks off and is silent as it is told.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use url::Url;

use super::reaction::Reaction;
use super::{Object, Objects, PART_SIZE, Permits, reaction};

/// How long something may take that takes no time but on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A request as the server got it.
pub struct Asked {
    pub method: String,
    /// With the query.
    pub target: String,
    pub body: Vec<u8>,
}

/// What the server does with a request instead of serving it.
pub enum Reply {
    Answer {
        status: u16,
        body: String,
    },
    /// The connection is closed without an answer.
    Cut,
    /// The request is served, and then the connection is closed without an answer.
    ServedAndCut,
    /// Nothing comes.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Answer { status, body: String::new() }
    }

    pub fn error(status: u16, code: &str) -> Reply {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>told so</Message></Error>"
        );
        Reply::Answer { status, body }
    }
}

/// What it keeps: sizes of objects by path, and of the parts of its one upload.
#[derive(Default)]
struct Kept {
    objects: HashMap<String, usize>,
    parts: Option<BTreeMap<String, usize>>,
    /// Parts that will be answered and forgotten.
    loses: usize,
}

type Fault = Box<dyn FnMut(&Asked) -> Option<Reply> + Send>;

/// A server; its threads end with the test's process.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Mutex<(Fault, Kept, Vec<String>)>>,
}

impl Server {
    /// Serves what `fault` leaves alone.
    pub fn start(fault: impl FnMut(&Asked) -> Option<Reply> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let fault: Fault = Box::new(fault);
        let shared = Arc::new(Mutex::new((fault, Kept::default(), Vec::new())));
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Server { address, shared }
    }

    /// Methods with what they were for, in order: `PUT`, `POST uploads`, `PUT part`, …
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().2.clone()
    }

    /// It forgets the first part that it gets.
    fn lose_a_part(&self) {
        self.shared.lock().unwrap().1.loses = 1;
    }
}

fn kind(asked: &Asked) -> String {
    let query = asked.target.split_once('?').map_or("", |(_, query)| query);
    let what = match query {
        "" => "",
        _ if query.contains("partNumber") => " part",
        _ if query.contains("uploadId") => " upload",
        _ => " uploads",
    };
    format!("{}{what}", asked.method)
}

fn serve(stream: &TcpStream, shared: &Mutex<(Fault, Kept, Vec<String>)>) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let reply = {
            let mut shared = shared.lock().unwrap();
            let (fault, kept, log) = &mut *shared;
            log.push(kind(&asked));
            match fault(&asked) {
                Some(Reply::Cut) => return,
                Some(Reply::Answer { status, body }) => (status, String::new(), body),
                Some(Reply::Silence) => {
                    drop(shared);
                    thread::sleep(Duration::from_secs(600));
                    return;
                }
                Some(Reply::ServedAndCut) => {
                    kept.serve(&asked);
                    return;
                }
                None => kept.serve(&asked),
            }
        };
        let (status, headers, body) = reply;
        let length = match headers.contains("Content-Length") {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let answer = format!("HTTP/1.1 {status} Test\r\n{length}{headers}\r\n{body}");
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, target, body })
}

impl Kept {
    fn serve(&mut self, asked: &Asked) -> (u16, String, String) {
        let path = asked.target.split('?').next().unwrap_or_default().to_owned();
        let tag = "ETag: \"1\"\r\n".to_owned();
        match &*kind(asked) {
            "PUT" => {
                self.objects.insert(path, asked.body.len());
                (200, tag, String::new())
            }
            "POST uploads" => {
                self.parts = Some(BTreeMap::new());
                let result = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
                (200, String::new(), result.to_owned())
            }
            "PUT part" => match &mut self.parts {
                Some(parts) => {
                    match self.loses {
                        0 => _ = parts.insert(asked.target.clone(), asked.body.len()),
                        _ => self.loses -= 1,
                    }
                    (200, tag, String::new())
                }
                None => no_such_upload(),
            },
            "POST upload" => match self.parts.take() {
                Some(parts) => {
                    self.objects.insert(path, parts.values().sum());
                    let result = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>";
                    (200, String::new(), result.to_owned())
                }
                None => no_such_upload(),
            },
            "DELETE upload" => match self.parts.take() {
                Some(_) => (204, String::new(), String::new()),
                None => no_such_upload(),
            },
            "HEAD" => match self.objects.get(&path) {
                Some(size) => (200, format!("{tag}Content-Length: {size}\r\n"), String::new()),
                None => (404, String::new(), String::new()),
            },
            other => panic!("nobody asks for {other}"),
        }
    }
}

fn no_such_upload() -> (u16, String, String) {
    (404, String::new(), "<Error><Code>NoSuchUpload</Code></Error>".to_owned())
}

/// A bucket at a server.
pub fn s3(server: &Server) -> Arc<Objects> {
    s3_with(server, &[("access_key_id", "key"), ("secret_access_key", "secret")])
}

fn s3_with(server: &Server, more: &[(&str, &str)]) -> Arc<Objects> {
    let endpoint = format!("http://{}", server.address);
    let options = [("endpoint", &*endpoint), ("allow_http", "true"), ("region", "us-east-1")];
    let options = options.iter().chain(more);
    let options: BTreeMap<String, String> =
        options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let url = Url::parse("s3://bucket/prefix").expect("a URL");
    Arc::new(Objects::open(&url, &options).expect("no request is made"))
}

/// An object of a lane that writes no other.
pub fn object_at(objects: &Arc<Objects>, key: &str) -> Object {
    objects.object(key, &Permits::default())
}

pub fn payload() -> Bytes {
    Bytes::from_static(b"payload")
}

pub fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built")
}

/// Looks again and again, until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One part and a rest, through an upload in parts.
async fn put_in_parts(objects: &Arc<Objects>) -> Result<(), super::ObjectError> {
    let object = Arc::new(object_at(objects, "slow/1"));
    let mut parts = object.put_parts().await?;
    parts.put(Bytes::from(vec![7; PART_SIZE as usize])).await?;
    parts.put(payload()).await?;
    let completed = parts.complete().await;
    if completed.is_err() {
        parts.abort().await;
    }
    completed
}

/// A server that gives each of these to the requests of that kind, and then serves them.
fn erring(to: &'static str, replies: impl IntoIterator<Item = Reply>) -> Server {
    let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
    Server::start(move |asked| (kind(asked) == to).then(|| replies.next()).flatten())
}

#[test]
fn each_error_gets_its_reaction() {
    let rows = reaction::tests::rows().flat_map(|(status, code, reaction)| {
        let late = (!code.is_empty()).then_some(("POST upload", 200, code, reaction));
        [("PUT", status, code, reaction)].into_iter().chain(late)
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 100, "{}", rows.len());
    // Most of the time is pauses; a server and a client for some rows each.
    thread::scope(|scope| {
        for rows in rows.chunks(rows.len() / 12) {
            scope.spawn(|| reactions(rows));
        }
    });
}

fn reactions(rows: &[(&'static str, u16, &'static str, Reaction)]) {
    let next: Arc<Mutex<Option<(&str, Reply)>>> = Arc::default();
    let replies = Arc::clone(&next);
    let server = Server::start(move |asked| {
        let mut next = replies.lock().unwrap();
        next.take_if(|(to, _)| kind(asked) == *to).map(|(_, reply)| reply)
    });
    let objects = s3(&server);
    let runtime = runtime();
    for &(to, status, code, reaction) in rows {
        *next.lock().unwrap() = Some((to, Reply::error(status, code)));
        server.shared.lock().unwrap().2.clear();
        let tries = || server.asked().iter().filter(|asked| *asked == to).count();
        runtime.block_on(async {
            let put = async {
                match to {
                    "PUT" => object_at(&objects, "slow/1").put(payload()).await,
                    _ => put_in_parts(&objects).await,
                }
            };
            let mending = async {
                if reaction == Reaction::Wait {
                    until("it says why", || objects.problem().is_some()).await;
                    let problem = objects.problem().unwrap_or_default();
                    assert!(problem.contains(code) && problem.contains(&status.to_string()));
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    assert_eq!(tries(), 1, "{status} {code}: it waits for the probe");
                    objects.health.probe_worked();
                }
            };
            let (result, ()) = tokio::join!(put, mending);
            let lands = matches!(reaction, Reaction::Again | Reaction::Wait);
            assert_eq!(result.is_ok(), lands, "{to} {status} {code}: {result:?}");
            assert_eq!(tries(), if lands { 2 } else { 1 }, "{to} {status} {code}");
        });
    }
}

#[test]
fn no_answer_is_asked_for_again() {
    for to in ["PUT", "POST uploads", "PUT part", "POST upload"] {
        let server = erring(to, [Reply::Cut, Reply::Cut]);
        let objects = s3(&server);
        runtime().block_on(async {
            match to {
                "PUT" => {
                    object_at(&objects, "slow/1").put(payload()).await.expect("the third works")
                }
                _ => put_in_parts(&objects).await.expect("the third works"),
            }
        });
    }
}

#[test]
fn an_object_is_there_before_anybody_is_told() {
    // The server breaks off, is asked again, says 200, and has nothing: versitygw, killed in between.
    let lies = || {
        let body = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>";
        Reply::Answer { status: 200, body: body.to_owned() }
    };
    let server = erring("POST upload", [Reply::Cut, lies()]);
    let error = runtime().block_on(put_in_parts(&s3(&server))).expect_err("it is not there");
    assert!(error.to_string().contains("does not show it"), "{error}");
    // So it is for a first answer, and the parts are removed.
    let server = erring("POST upload", [lies()]);
    runtime().block_on(put_in_parts(&s3(&server))).expect_err("it is not there");
    assert_eq!(server.asked().last().map(String::as_str), Some("DELETE upload"));
    // And for an object that is not whole: a part was answered and forgotten.
    let server = Server::start(|_| None);
    server.lose_a_part();
    let error = runtime().block_on(put_in_parts(&s3(&server))).expect_err("a part is missing");
    assert!(error.to_string().contains("and has 7"), "{error}");
    // A look that gets no answer is one more look.
    let mut heads = 0;
    let server = Server::start(move |asked| {
        heads += u32::from(asked.method == "HEAD");
        (asked.method == "HEAD" && heads == 1).then_some(Reply::Cut)
    });
    runtime().block_on(put_in_parts(&s3(&server))).expect("it is asked for again");
}

#[test]
fn a_user_that_may_not_look_is_told_so() {
    let mut may_not = true;
    let server = Server::start(move |asked| {
        let refused = asked.method == "HEAD" && std::mem::take(&mut may_not);
        refused.then(|| Reply::status(403))
    });
    let objects = s3(&server);
    runtime().block_on(async {
        let error = put_in_parts(&objects).await.expect_err("nobody knows whether it is there");
        assert!(error.to_string().contains("403"), "{error}");
        object_at(&objects, "slow/2").put(payload()).await.expect("a first write is believed");
        let problem = objects.problem().unwrap_or_default();
        assert!(problem.contains("to get them"), "{problem}");
        put_in_parts(&objects).await.expect("it may look now");
        assert_eq!(objects.problem(), None);
    });
}

#[test]
fn a_completion_whose_answer_was_lost_counts_when_the_object_is_there() {
    let server = erring("POST upload", [Reply::ServedAndCut]);
    runtime().block_on(put_in_parts(&s3(&server))).expect("the object is there, and whole");
    let asked = server.asked();
    assert_eq!(asked[asked.len() - 3..], ["POST upload", "POST upload", "HEAD"], "{asked:?}");
}

#[test]
fn a_single_write_is_asked_for_when_it_was_not_the_first_try() {
    let server = Server::start(|_| None);
    runtime().block_on(object_at(&s3(&server), "slow/1").put(payload())).expect("it works");
    assert_eq!(server.asked(), ["PUT"], "a first answer is believed");
    let server = erring("PUT", [Reply::Cut, Reply::status(200)]);
    runtime().block_on(async {
        let objects = s3(&server);
        // An answer without a tag is none.
        object_at(&objects, "slow/1").put(payload()).await.expect("the third try works");
        assert_eq!(server.asked(), ["PUT", "PUT", "PUT", "HEAD"]);
    });
}

#[test]
fn a_store_that_refuses_is_known_before_the_first_message_and_asked_by_the_probe_alone() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mended = Arc::new(AtomicBool::new(false));
    let refusing = Arc::clone(&mended);
    let server = Server::start(move |_| {
        (!refusing.load(Ordering::SeqCst)).then(|| Reply::error(403, "InvalidAccessKeyId"))
    });
    let objects = s3(&server);
    runtime().block_on(async {
        assert_eq!(objects.problem(), None, "nobody has asked");
        tokio::spawn(Arc::clone(&objects).watch("gw-1".to_owned()));
        until("the probe says why", || objects.problem().is_some()).await;
        let problem = objects.problem().unwrap_or_default();
        assert!(problem.contains("403 InvalidAccessKeyId") && problem.contains("access_key_id"));
        assert!(!objects.figures().is_well && objects.fails());
        let puts: Vec<_> = (0..20)
            .map(|at| {
                let object = object_at(&objects, &format!("slow/{at}"));
                tokio::spawn(async move { object.put(payload()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let asked = server.asked();
        assert!(!asked.contains(&"PUT".to_owned()), "they wait: {asked:?}");
        mended.store(true, Ordering::SeqCst);
        for put in puts {
            put.await.expect("no panic").expect("the store takes it now");
        }
        assert_eq!(objects.problem(), None);
        assert!(objects.figures().is_well && !objects.fails());
        let left = server.shared.lock().unwrap().1.parts.is_some();
        assert!(!left, "a probe leaves nothing");
    });
}

#[test]
fn a_store_without_credentials_says_so_soon() {
    let server = Server::start(|_| None);
    // Where a cloud would give some, nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let address = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let objects = s3_with(&server, &[("metadata_endpoint", &address)]);
    runtime().block_on(async {
        tokio::spawn(Arc::clone(&objects).watch("gw-1".to_owned()));
        until("the probe says why", || objects.problem().is_some()).await;
        let problem = objects.problem().unwrap_or_default();
        assert!(problem.contains("no credentials") && problem.contains("127.0.0.1"), "{problem}");
    });
    assert_eq!(server.asked(), Vec::<String>::new());
}
