//! A proxy in front of Kafka that answers chosen ProduceRequests itself, with an error, and lets all else
//! pass: a real broker gives few errors when it is asked to, and what it makes of the requests behind the
//! refused one is the question. It can also say that of a request which the broker stored, and keep the broker's
//! answers back for a while.
//!
//! It knows the shapes of Kafka's protocol that librdkafka uses here; another one ends the test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _};

use super::{Kafka, KafkaOptions};
use crate::ports;
use crate::proxy::relay::{Relay, close};

const PRODUCE: i16 = 0;
/// ProduceRequests of these versions look alike as far as they are read here, and so do the answers.
const VERSIONS: std::ops::RangeInclusive<i16> = 9..=12;
/// How long a refusal takes, so that requests come behind it.
const DELAY: Duration = Duration::from_millis(30);
/// Between two looks whether an answer is still to be kept back.
const LOOK: Duration = Duration::from_millis(20);
/// No broker sends or takes more in one frame.
const FRAME_MAX: usize = 100 * 1024 * 1024;

/// What a ProduceRequest wants to append.
pub struct Append {
    pub topic: String,
    pub partition: i32,
    pub producer_id: i64,
    /// Its records, each as it is in the batch.
    pub records: Vec<Vec<u8>>,
}

impl Append {
    /// The records that hold these bytes, by their places in the batch.
    pub fn holding(&self, bytes: &[u8]) -> Vec<usize> {
        let holds = |record: &[u8]| record.windows(bytes.len()).any(|part| part == bytes);
        let numbered = self.records.iter().enumerate();
        numbered.filter(|(_, record)| holds(record)).map(|(place, _)| place).collect()
    }
}

/// What a client is told of a request that is refused: Kafka's error code, and where a broker says more, that.
pub struct Said {
    code: i16,
    message: Option<String>,
    /// Records that are at fault, by their places in the batch, and what is wrong with each.
    culprits: Vec<(usize, String)>,
}

impl Said {
    /// As brokers speak of single records since Kafka 2.4.
    pub fn of_records(
        code: i16,
        message: &str,
        culprits: impl IntoIterator<Item = (usize, String)>,
    ) -> Said {
        Said { code, message: Some(message.to_owned()), culprits: culprits.into_iter().collect() }
    }
}

impl From<i16> for Said {
    fn from(code: i16) -> Said {
        Said { code, message: None, culprits: Vec::new() }
    }
}

/// What is said of a request that is to be refused.
type Rule = Box<dyn FnMut(&Append) -> Option<Said> + Send>;

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
    /// How much later than it came an answer to a ProduceRequest goes on.
    late: Duration,
}

/// What a connection's client waits for, in the order of its requests.
enum Answer {
    OfBroker { of_produce: bool },
    Refusal { frame: Vec<u8>, due: Instant },
    InsteadOfBroker { frame: Vec<u8> },
}

/// How a request is refused.
struct Refusal {
    frame: Vec<u8>,
    stores: bool,
}

impl Refusing {
    /// A broker with these properties, whose clients come this way, and its proxy.
    pub fn start_with_kafka(properties: &[(&str, &str)]) -> (Kafka, Refusing) {
        let port = ports::free();
        let properties = properties.iter().map(|&(name, value)| (name.into(), value.into()));
        let kafka = Kafka::start_with(&KafkaOptions {
            proxy_port: Some(port),
            properties: properties.collect(),
            ..KafkaOptions::default()
        });
        let proxy = Refusing::start_on(port, kafka.behind_proxy());
        (kafka, proxy)
    }

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
    pub fn refuse<S: Into<Said>>(&self, rule: impl FnMut(&Append) -> Option<S> + Send + 'static) {
        self.set(Some(boxed(rule)), false);
    }

    /// From now on the broker gets all requests, and the rule says of which the client is told that they were
    /// refused.
    pub fn deny<S: Into<Said>>(&self, rule: impl FnMut(&Append) -> Option<S> + Send + 'static) {
        self.set(Some(boxed(rule)), true);
    }

    /// From now on all requests pass, and answers to those that append something come so much later.
    pub fn delay(&self, late: Duration) {
        self.set(None, false);
        lock(&self.state).late = late;
    }

    /// From now on all requests pass, and their answers as soon as they come; also those that were kept back.
    pub fn release(&self) {
        self.delay(Duration::ZERO);
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

fn boxed<S: Into<Said>>(mut rule: impl FnMut(&Append) -> Option<S> + Send + 'static) -> Rule {
    Box::new(move |append| rule(append).map(Into::into))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A rule that panicked has told why.
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn carry(client: &TcpStream, server: &TcpStream, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let (awaited, answers) = mpsc::channel();
    let answers = {
        let (server, client, state) = (server.try_clone()?, client.try_clone()?, Arc::clone(state));
        thread::spawn(move || {
            let result = carry_answers(&server, &client, &answers, &state);
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
                Answer::OfBroker { of_produce: frame.starts_with(&PRODUCE.to_be_bytes()) }
            }
        };
        awaited.send(answer).map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
}

fn carry_answers(
    server: &TcpStream,
    client: &TcpStream,
    answers: &Receiver<Answer>,
    state: &Mutex<State>,
) -> io::Result<()> {
    for answer in answers {
        let frame = match answer {
            Answer::OfBroker { of_produce } => {
                let frame = read_frame(server)?;
                let came = Instant::now();
                while of_produce && came.elapsed() < lock(state).late {
                    thread::sleep(LOOK);
                }
                frame
            }
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
    let mut state = lock(state);
    let rule = state.rule.as_mut()?;
    let append = append(rest);
    let said = rule(&append)?;
    state.refused += 1;
    let frame = produce_response(correlation_id, &append, &said);
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
    let _bytes = varint(&mut rest);
    // A record batch: its offset, length, leader epoch, magic byte and checksum are of no interest.
    rest.advance(8 + 4 + 4 + 1 + 4);
    let compression = rest.get_i16() & 7;
    // Nor are its last offset and two timestamps.
    rest.advance(4 + 8 + 8);
    let producer_id = rest.get_i64();
    let (_epoch, _sequence, count) = (rest.get_i16(), rest.get_i32(), rest.get_i32());
    assert_eq!(compression, 0, "the records of a compressed batch are not known here");
    let records = (0..count).map(|_| {
        // Zigzag, and never negative.
        let length = varint(&mut rest) / 2;
        let record = rest[..length].to_vec();
        rest.advance(length);
        record
    });
    Append { topic, partition, producer_id, records: records.collect() }
}

fn produce_response(correlation_id: i32, append: &Append, said: &Said) -> Vec<u8> {
    const NO_TAGS: u8 = 0;
    const ONE: u8 = 2;
    const NONE: i64 = -1;
    let mut out = Vec::new();
    out.put_i32(correlation_id);
    out.put_u8(NO_TAGS);
    out.put_u8(ONE);
    put_text(&mut out, Some(&append.topic));
    out.put_u8(ONE);
    out.put_i32(append.partition);
    out.put_i16(said.code);
    // Base offset, append time and start of the log.
    for _ in 0..3 {
        out.put_i64(NONE);
    }
    put_length(&mut out, said.culprits.len());
    for (place, what) in &said.culprits {
        out.put_i32(*place as i32);
        put_text(&mut out, Some(what));
        out.put_u8(NO_TAGS);
    }
    put_text(&mut out, said.message.as_deref());
    out.extend_from_slice(&[NO_TAGS, NO_TAGS]);
    let throttle_ms = 0;
    out.put_i32(throttle_ms);
    out.put_u8(NO_TAGS);
    out
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return out.put_u8(0) };
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Of what is not absent: Kafka writes one more.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut left = length + 1;
    while left >= 0x80 {
        out.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    out.put_u8(left as u8);
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
