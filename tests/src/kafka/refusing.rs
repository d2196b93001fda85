//! A proxy in front of Kafka that answers chosen ProduceRequests itself, with an error, and lets all else
//! pass: a real broker gives few errors when it is asked to, and what it makes of the requests behind the
//! refused one is the question. It can also say that of a request which the broker stored.
//!
//! It knows the shapes of Kafka's protocol that librdkafka uses here; another one ends the test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _};

use crate::proxy::relay::{Relay, close};

const PRODUCE: i16 = 0;
/// ProduceRequests of these versions look alike as far as they are read here, and so do the answers.
const VERSIONS: std::ops::RangeInclusive<i16> = 9..=12;
/// How long a refusal takes, so that requests come behind it.
const DELAY: Duration = Duration::from_millis(30);
/// No broker sends or takes more in one frame.
const FRAME_MAX: usize = 100 * 1024 * 1024;

/// What a ProduceRequest wants to append.
pub struct Append {
    pub topic: String,
    pub partition: i32,
    pub producer_id: i64,
}

/// Kafka's error code for a request that is to be refused.
type Rule = Box<dyn FnMut(&Append) -> Option<i16> + Send>;

/// The proxy; it ends with this, and so do its connections.
pub struct Refusing {
    relay: Relay,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    /// The broker gets what is refused, and its answer goes nowhere.
    stores: bool,
    refused: u64,
}

/// What a connection's client waits for, in the order of its requests.
enum Answer {
    OfBroker,
    Refusal { frame: Vec<u8>, due: Instant },
    InsteadOfBroker { frame: Vec<u8> },
}

/// How a request is refused.
struct Refusal {
    frame: Vec<u8>,
    stores: bool,
}

impl Refusing {
    /// On a port that the broker tells its clients.
    pub fn start_on(port: u16, target_port: u16) -> Refusing {
        let state = Arc::new(Mutex::default());
        let carrying = Arc::clone(&state);
        let relay = Relay::start_on(port, target_port, move |client, server| {
            // An end of either side ends both.
            let _ = carry(client, server, &carrying);
        });
        Refusing { relay, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// From now on the rule says which requests are refused.
    pub fn refuse(&self, rule: impl FnMut(&Append) -> Option<i16> + Send + 'static) {
        self.set(Some(Box::new(rule)), false);
    }

    /// From now on the broker gets all requests, and the rule says of which the client is told that they were
    /// refused.
    pub fn deny(&self, rule: impl FnMut(&Append) -> Option<i16> + Send + 'static) {
        self.set(Some(Box::new(rule)), true);
    }

    /// From now on all requests pass.
    pub fn release(&self) {
        self.set(None, false);
    }

    fn set(&self, rule: Option<Rule>, stores: bool) {
        let mut state = lock(&self.state);
        (state.rule, state.stores) = (rule, stores);
    }

    /// How many requests were refused so far.
    pub fn refused(&self) -> u64 {
        lock(&self.state).refused
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A rule that panicked has told why.
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn carry(client: &TcpStream, server: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let (awaited, answers) = mpsc::channel();
    let answers = {
        let (server, client) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            let result = carry_answers(&server, &client, &answers);
            // A broker that dies closes the connection, also of a client that only waits.
            close([&client, &server]);
            result
        })
    };
    let result = carry_requests(client, server, awaited, state);
    close([client, server]);
    let _ = answers.join();
    result
}

fn carry_requests(
    client: &TcpStream,
    server: &TcpStream,
    awaited: Sender<Answer>,
    state: &Mutex<State>,
) -> io::Result<()> {
    loop {
        let frame = read_frame(client)?;
        let answer = match refusal(&frame, state) {
            Some(Refusal { frame: answer, stores: true }) => {
                write_frame(server, &frame)?;
                Answer::InsteadOfBroker { frame: answer }
            }
            Some(Refusal { frame, stores: false }) => {
                Answer::Refusal { frame, due: Instant::now() + DELAY }
            }
            None => {
                write_frame(server, &frame)?;
                Answer::OfBroker
            }
        };
        awaited.send(answer).map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
}

fn carry_answers(
    server: &TcpStream,
    client: &TcpStream,
    answers: &Receiver<Answer>,
) -> io::Result<()> {
    for answer in answers {
        let frame = match answer {
            Answer::OfBroker => read_frame(server)?,
            Answer::Refusal { frame, due } => {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                frame
            }
            Answer::InsteadOfBroker { frame } => {
                // Then it is stored.
                read_frame(server)?;
                frame
            }
        };
        write_frame(client, &frame)?;
    }
    Ok(())
}

fn read_frame(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    assert!(length <= FRAME_MAX, "a frame of {length} bytes is none of Kafka's");
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(mut to: impl Write, frame: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.put_u32(frame.len() as u32);
    bytes.extend_from_slice(frame);
    to.write_all(&bytes)
}

/// The answer to a request that the rule refuses.
fn refusal(frame: &[u8], state: &Mutex<State>) -> Option<Refusal> {
    let mut rest = frame;
    let (api, version, correlation_id) = (rest.get_i16(), rest.get_i16(), rest.get_i32());
    if api != PRODUCE {
        return None;
    }
    assert!(VERSIONS.contains(&version), "a ProduceRequest of version {version} is not known here");
    let append = append(rest);
    let mut state = lock(state);
    let code = state.rule.as_mut()?(&append)?;
    state.refused += 1;
    let frame = produce_response(correlation_id, &append, code);
    Some(Refusal { frame, stores: state.stores })
}

/// Reads a ProduceRequest behind its correlation id.
fn append(mut rest: &[u8]) -> Append {
    let client_id = rest.get_i16().max(0) as usize;
    rest.advance(client_id);
    skip_tags(&mut rest);
    let transactional_id = varint(&mut rest).saturating_sub(1);
    rest.advance(transactional_id);
    let _acks = rest.get_i16();
    let _timeout = rest.get_i32();
    assert_eq!(varint(&mut rest) - 1, 1, "librdkafka asks for one topic at a time");
    let name = varint(&mut rest) - 1;
    let topic = String::from_utf8(rest[..name].to_vec()).expect("a topic's name is text");
    rest.advance(name);
    assert_eq!(varint(&mut rest) - 1, 1, "librdkafka asks for one partition at a time");
    let partition = rest.get_i32();
    let _records = varint(&mut rest);
    // A record batch: its offset, length, leader epoch, magic byte, checksum, attributes, last offset
    // and two timestamps are of no interest.
    rest.advance(8 + 4 + 4 + 1 + 4 + 2 + 4 + 8 + 8);
    Append { topic, partition, producer_id: rest.get_i64() }
}

fn produce_response(correlation_id: i32, append: &Append, code: i16) -> Vec<u8> {
    const NO_TAGS: u8 = 0;
    const ONE: u8 = 2;
    const NONE: i64 = -1;
    let mut out = Vec::new();
    out.put_i32(correlation_id);
    out.put_u8(NO_TAGS);
    out.put_u8(ONE);
    assert!(append.topic.len() < 127, "a longer name has a longer length");
    out.put_u8(append.topic.len() as u8 + 1);
    out.extend_from_slice(append.topic.as_bytes());
    out.put_u8(ONE);
    out.put_i32(append.partition);
    out.put_i16(code);
    // Base offset, append time and start of the log.
    for _ in 0..3 {
        out.put_i64(NONE);
    }
    // No errors of single records, and no message.
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&[NO_TAGS, NO_TAGS]);
    let throttle_ms = 0;
    out.put_i32(throttle_ms);
    out.put_u8(NO_TAGS);
    out
}

fn varint(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = rest.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a length of more than five bytes");
}

fn skip_tags(rest: &mut &[u8]) {
    for _ in 0..varint(rest) {
        let _tag = varint(rest);
        let size = varint(rest);
        rest.advance(size);
    }
}
