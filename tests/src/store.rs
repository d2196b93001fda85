//! An object store in trouble: in front of a real S3 server, whose answers it hands on byte by byte, it refuses,
//! dawdles, breaks off and lies, as a test orders it.

mod carry;

use std::fmt::Write as _;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::carry::{Body, Forgiving};
use crate::http::Head;
use crate::server::{Server, Shared};

/// How long a connection to the server may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Who waits looks so often whether it may end.
const LOOK: Duration = Duration::from_millis(50);
/// What an object is called that nobody has written.
const ETAG: &str = "\"00000000000000000000000000000000\"";

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object in one request.
    Put,
    /// An upload in parts begins.
    Begin,
    Part,
    Complete,
    Abort,
    Head,
    Get,
    Other,
}

impl Kind {
    const COUNT: usize = Kind::Other as usize + 1;

    fn of(head: &Head) -> Kind {
        let has = |name: &str| {
            let query = head.target().split_once('?').map_or("", |(_, query)| query);
            query.split('&').any(|pair| pair.split('=').next() == Some(name))
        };
        match head.method() {
            "PUT" if has("partNumber") => Kind::Part,
            "PUT" => Kind::Put,
            "POST" if has("uploads") => Kind::Begin,
            "POST" if has("uploadId") => Kind::Complete,
            "DELETE" if has("uploadId") => Kind::Abort,
            "HEAD" => Kind::Head,
            "GET" => Kind::Get,
            _ => Kind::Other,
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this code, and S3's document about it, and not handed on.
    Refuse(u16),
    /// The answer comes so much later.
    Late(Duration),
    /// Its body and its answer pass with so many bytes per second.
    Slow(u32),
    /// The connection ends when half of its body was handed on.
    CutRequest,
    /// It is done, and the connection ends in the middle of the answer.
    CutAnswer,
    /// It is done, and the connection ends without an answer.
    LoseAnswer,
    /// A completion is answered with 200 and the document of an error, and not handed on; S3 may do that.
    ErrorInside,
    /// A write is answered as if it were done, and not handed on.
    Lie,
}

impl Fault {
    /// Whether there is such a fault of such a request.
    fn befalls(self, kind: Kind) -> bool {
        match self {
            Fault::ErrorInside => kind == Kind::Complete,
            Fault::Lie => matches!(kind, Kind::Put | Kind::Part | Kind::Complete),
            _ => true,
        }
    }
}

/// A fault, and whom it befalls.
#[derive(Debug)]
pub struct Order {
    fault: Fault,
    /// All where there are none.
    kinds: Vec<Kind>,
    share: Share,
}

#[derive(Debug)]
enum Share {
    /// One of so many, and the last of them.
    Every { count: u64, seen: u64 },
    /// With this probability.
    Drawn { probability: f64, random: Box<StdRng> },
}

impl Order {
    /// For all requests of which there is such a fault.
    pub fn new(fault: Fault) -> Order {
        Order { fault, kinds: Vec::new(), share: Share::Every { count: 1, seen: 0 } }
    }

    /// For requests of these kinds.
    pub fn of(mut self, kinds: &[Kind]) -> Order {
        assert!(
            kinds.iter().all(|kind| self.fault.befalls(*kind)),
            "{:?} cannot befall all of {kinds:?}",
            self.fault
        );
        kinds.clone_into(&mut self.kinds);
        self
    }

    /// For each so many-th of them.
    pub fn every(mut self, count: u64) -> Order {
        assert!(count > 0, "there is no request before the first");
        self.share = Share::Every { count, seen: 0 };
        self
    }

    /// For a share of them, drawn from a seed in the order in which they come.
    pub fn drawn(mut self, probability: f64, seed: u64) -> Order {
        let random = Box::new(StdRng::seed_from_u64(seed));
        self.share = Share::Drawn { probability, random };
        self
    }

    fn takes(&mut self, kind: Kind) -> bool {
        if !self.fault.befalls(kind) || !(self.kinds.is_empty() || self.kinds.contains(&kind)) {
            return false;
        }
        match &mut self.share {
            Share::Every { count, seen } => {
                *seen += 1;
                seen.is_multiple_of(*count)
            }
            Share::Drawn { probability, random } => random.random_bool(*probability),
        }
    }
}

/// A store in trouble; it ends with this.
pub struct Store(Server<Script>);

struct Script {
    /// None: there is no server, and every request is refused.
    target: Option<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    orders: Vec<Order>,
    counts: [Count; Kind::COUNT],
}

/// What came of a kind of requests, and how many of them a fault befell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub came: u64,
    pub harmed: u64,
}

impl Store {
    /// In front of a server, with nothing ordered.
    pub fn start(target: SocketAddr) -> Store {
        Store::with(Some(target), Vec::new())
    }

    /// Refuses every request with this code; there is no server.
    pub fn refusing(code: u16) -> Store {
        Store::with(None, vec![Order::new(Fault::Refuse(code))])
    }

    fn with(target: Option<SocketAddr>, orders: Vec<Order>) -> Store {
        let state = Mutex::new(State { orders, ..State::default() });
        Store(Server::start(Script { target, state }, answer))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// From the next request on these faults befall what they are for, the first of them that takes it; none
    /// of those that were ordered before.
    pub fn order(&self, orders: impl IntoIterator<Item = Order>) {
        self.0.state().lock().orders = orders.into_iter().collect();
    }

    /// Every request is handed on again.
    pub fn release(&self) {
        self.order([]);
    }

    pub fn count(&self, kind: Kind) -> Count {
        self.0.state().lock().counts[kind as usize]
    }

    /// Requests that came, of every kind.
    pub fn requests(&self) -> u64 {
        self.0.state().lock().counts.iter().map(|count| count.came).sum()
    }

    /// Requests that a fault befell, of every kind.
    pub fn harmed(&self) -> u64 {
        self.0.state().lock().counts.iter().map(|count| count.harmed).sum()
    }
}

impl Script {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// Counts a request, and says what becomes of it.
    fn draw(&self, kind: Kind) -> Option<Fault> {
        let mut state = self.lock();
        let mut orders = state.orders.iter_mut();
        let fault = orders.find_map(|order| order.takes(kind).then_some(order.fault));
        let count = &mut state.counts[kind as usize];
        count.came += 1;
        count.harmed += u64::from(fault.is_some());
        fault
    }
}

/// Takes one request and does with it what was ordered; None when the connection is over.
fn answer(client: &TcpStream, shared: &Shared<Script>) -> Option<()> {
    let mut reader = BufReader::new(client);
    let head = Head::read(&mut reader)?;
    if shared.has_ended() {
        return None;
    }
    let kind = Kind::of(&head);
    let fault = shared.state.draw(kind);
    let told = match fault {
        Some(Fault::Refuse(code)) => Some((code, error(code))),
        Some(Fault::ErrorInside) => Some((200, error(500))),
        Some(Fault::Lie) => Some((200, done(kind))),
        _ => None,
    };
    let went = match (told, shared.state.target) {
        (Some((code, document)), _) => tell(&head, &mut reader, client, code, &document),
        (None, Some(target)) => hand_on(&head, &mut reader, client, target, fault, shared),
        // There is no server, as at a port where nobody listens.
        (None, None) => Ok(false),
    };
    if let Ok(true) = went {
        return Some(());
    }
    // Whoever waits at the other end is told.
    let _ = client.shutdown(Shutdown::Both);
    None
}

/// Answers without the server; true if the connection goes on.
fn tell(
    head: &Head,
    reader: &mut BufReader<&TcpStream>,
    mut client: &TcpStream,
    code: u16,
    document: &str,
) -> io::Result<bool> {
    // Who asks before it sends its body keeps it.
    let keeps = head.expects_continue();
    if !keeps {
        Body::of_request(head).carry(reader, &mut io::sink(), None)?;
    }
    let length = document.len();
    let mut answer = format!(
        "HTTP/1.1 {code} Ordered\r\nContent-Type: application/xml\r\nETag: {ETAG}\r\nContent-Length: {length}\r\n"
    );
    answer += if keeps { "Connection: close\r\n\r\n" } else { "\r\n" };
    if head.method() != "HEAD" {
        answer += document;
    }
    client.write_all(answer.as_bytes())?;
    Ok(!keeps)
}

/// Carries a request to the server and its answer back; true if the connection goes on.
fn hand_on(
    head: &Head,
    reader: &mut BufReader<&TcpStream>,
    mut client: &TcpStream,
    target: SocketAddr,
    fault: Option<Fault>,
    shared: &Shared<Script>,
) -> io::Result<bool> {
    let pace = match fault {
        Some(Fault::Slow(bytes_per_second)) => Some(bytes_per_second),
        _ => None,
    };
    let mut server = TcpStream::connect_timeout(&target, CONNECT)?;
    server.set_nodelay(true)?;
    // Byte by byte: the signature is about the host's name too.
    server.write_all(head.as_bytes())?;
    let mut answers = BufReader::new(server.try_clone()?);
    let mut keeps = false;
    let mut first = None;
    if head.expects_continue() {
        let interim = Head::read(&mut answers).ok_or(io::ErrorKind::UnexpectedEof)?;
        match interim.status() {
            Some(100) => client.write_all(interim.as_bytes())?,
            _ => (first, keeps) = (Some(interim), true),
        }
    }
    if fault == Some(Fault::CutRequest) {
        Body::of_request(head).half().carry(reader, &mut server, pace)?;
        return Ok(false);
    }
    if !keeps {
        // A server that answers before it has read everything may close.
        Body::of_request(head).carry(reader, &mut Forgiving::new(&mut server), pace)?;
    }
    let first = first.or_else(|| Head::read(&mut answers));
    let answer = first.ok_or(io::ErrorKind::UnexpectedEof)?;
    match fault {
        Some(Fault::LoseAnswer) => return Ok(false),
        Some(Fault::Late(time)) => wait(time, shared),
        _ => {}
    }
    let body = Body::of_answer(&answer, head);
    if fault == Some(Fault::CutAnswer) {
        let bytes = answer.as_bytes();
        match body {
            Body::Nothing => client.write_all(&bytes[..bytes.len() / 2])?,
            body => {
                client.write_all(bytes)?;
                body.half().carry(&mut answers, &mut client, pace)?;
            }
        }
        return Ok(false);
    }
    client.write_all(answer.as_bytes())?;
    let ends_with_it = body == Body::UntilItsEnd;
    body.carry(&mut answers, &mut client, pace)?;
    Ok(!keeps && !ends_with_it)
}

/// Waits, unless the store ends before.
fn wait(time: Duration, shared: &Shared<Script>) {
    let end = Instant::now() + time;
    while !shared.has_ended() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK));
    }
}

/// S3's document about an error.
fn error(code: u16) -> String {
    let name = match code {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        500 => "InternalError",
        503 => "SlowDown",
        // MinIO's: S3 itself is never full.
        507 => "XMinioStorageFull",
        _ => "OrderedByATest",
    };
    document("Error", &[("Code", name), ("Message", "A test ordered it.")])
}

/// What a store says of a write that it did.
fn done(kind: Kind) -> String {
    match kind {
        Kind::Complete => document("CompleteMultipartUploadResult", &[("ETag", ETAG)]),
        _ => String::new(),
    }
}

fn document(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name}>");
    for (field, value) in fields {
        write!(text, "<{field}>{}</{field}>", value.replace('"', "&quot;")).expect("a text grows");
    }
    text + &format!("</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Kind {
        let text = format!("{line} HTTP/1.1\r\nHost: s3\r\n\r\n");
        Kind::of(&Head::read(&mut text.as_bytes()).expect("it is a head"))
    }

    #[test]
    fn what_is_asked_is_known_by_method_and_query() {
        for (line, expected) in [
            ("PUT /bucket/a%20b", Kind::Put),
            ("POST /bucket/a?uploads=", Kind::Begin),
            ("POST /bucket/a?uploads", Kind::Begin),
            ("PUT /bucket/a?partNumber=1&uploadId=x", Kind::Part),
            ("POST /bucket/a?uploadId=x", Kind::Complete),
            ("DELETE /bucket/a?uploadId=x", Kind::Abort),
            ("DELETE /bucket/a", Kind::Other),
            ("HEAD /bucket/uploads", Kind::Head),
            ("GET /bucket?list-type=2", Kind::Get),
        ] {
            assert_eq!(kind(line), expected, "{line}");
        }
    }

    #[test]
    fn an_order_befalls_whom_it_is_for() {
        let mut third = Order::new(Fault::Refuse(500)).of(&[Kind::Part]).every(3);
        let asked = [Kind::Part, Kind::Head, Kind::Part, Kind::Part, Kind::Part];
        assert_eq!(asked.map(|kind| third.takes(kind)), [false, false, false, true, false]);
        let mut inside = Order::new(Fault::ErrorInside);
        assert_eq!([Kind::Put, Kind::Complete].map(|kind| inside.takes(kind)), [false, true]);
        let drawn = |seed| {
            let mut order = Order::new(Fault::LoseAnswer).drawn(0.25, seed);
            (0..1000).map(|_| order.takes(Kind::Put)).collect::<Vec<bool>>()
        };
        let taken = drawn(7).iter().filter(|taken| **taken).count();
        assert!((150..350).contains(&taken), "{taken} of 1000");
        assert!(drawn(7) == drawn(7) && drawn(7) != drawn(8), "a seed says which");
    }
}
