//! A device against a gateway of a few lines, which looks into the books before it answers.

use std::path::PathBuf;

use ::tests::mqtt::{Packet, decode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::super::character::Session;
use super::super::message::Payloads;
use super::super::pace::Rates;
use super::super::pen::Pen;
use super::*;
use crate::books::{Books, Fate};

const SEED: u64 = 11;
const PATIENCE: Duration = Duration::from_secs(20);

/// The books of a test, and what a device of it needs.
struct Bench {
    books: PathBuf,
    listener: TcpListener,
    orders: watch::Sender<Orders>,
    shared: Rc<Shared>,
}

impl Bench {
    async fn new(name: &str) -> Bench {
        let books = std::env::temp_dir().join(format!("landfall-{name}-{}", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let rates = Rates { steady: 50.0, flood_pause: Duration::from_secs(30) };
        let (orders, given) = watch::channel(Orders { phase: Phase::Publish, rates });
        let shared = Rc::new(Shared {
            seed: SEED,
            gateway: listener.local_addr().expect("it is bound"),
            pen: Pen::open(&books).expect("the folder for temporary files can be written"),
            payloads: Payloads::new(SEED),
            orders: given,
            start: std::time::Instant::now(),
            devices: 2,
            connected: 0.into(),
            open: 0.into(),
            answered: 0.into(),
        });
        Bench { books, listener, orders, shared }
    }

    fn start(&self, character: Character) -> JoinHandle<Result<(), String>> {
        spawn_local(Device::new(character, Left::default(), Rc::clone(&self.shared)).live())
    }

    fn read(&self) -> Books {
        Books::read(&self.books).expect("the books are whole at any moment")
    }

    /// The next connection, accepted with this CONNACK.
    async fn accept(&self, version: Version, connack: &[u8]) -> Peer {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("the device comes").expect("it can be accepted");
        let mut peer = Peer { stream, version, received: Vec::new() };
        while peer.received.len() < 2 || peer.received.len() < 2 + usize::from(peer.received[1]) {
            peer.more().await;
        }
        assert_eq!(peer.received[0], 0x10, "a CONNECT comes first");
        let size = 2 + usize::from(peer.received[1]);
        peer.received.drain(..size);
        peer.send(connack).await;
        peer
    }
}

/// The gateway's end of a connection.
struct Peer {
    stream: TcpStream,
    version: Version,
    received: Vec<u8>,
}

impl Peer {
    async fn more(&mut self) {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
        assert_ne!(
            read.expect("the device sends").expect("it is connected"),
            0,
            "the device has gone"
        );
    }

    async fn packet(&mut self) -> Packet {
        loop {
            match decode::try_packet(self.version, &self.received) {
                Ok(Some((packet, size))) => {
                    self.received.drain(..size);
                    return packet;
                }
                Ok(None) => self.more().await,
                Err(malformed) => panic!("the device sent {malformed}"),
            }
        }
    }

    /// The next PUBLISH that wants an answer.
    async fn publish(&mut self) -> Publish {
        loop {
            match self.packet().await {
                Packet::Publish(publish) if publish.qos > 0 => return publish,
                Packet::Publish(_) | Packet::Pubrel { .. } => {}
                other => panic!("the device sent {other:?}"),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the device is connected");
    }

    async fn answer(&mut self, publish: &Publish) {
        let first = if publish.qos == 1 { 0x40 } else { 0x50 };
        self.send(&encode::acknowledgement(first, publish.packet_id)).await;
    }
}

fn character(version: Version, session: Session) -> Character {
    let mut character = Character::of(SEED, 0, false);
    (character.version, character.session, character.window) = (version, session, 4);
    (character.floods, character.repeats_after, character.puback_patience) = (false, None, None);
    character
}

fn seq(publish: &Publish) -> u64 {
    let head = publish.payload.split(|byte| *byte == b'\n').next().expect("a first line");
    let head = str::from_utf8(head).expect("it is ASCII");
    head.split(' ').nth(1).expect("DEVICE SEQ SIZE").parse().expect("a number")
}

fn fate_of(books: &Books, device: &str, publish: &Publish) -> Option<Fate> {
    books.message(device, seq(publish))?.fate.clone()
}

const CONNACK_V3: &[u8] = &[0x20, 2, 0, 0];
/// With a Receive Maximum of 2.
const CONNACK_V5: &[u8] = &[0x20, 6, 0, 0, 3, 0x21, 0, 2];

/// What came is in the books before it came; what had no answer comes again after the connection's end.
async fn comes_back(bench: &Bench, version: Version, session: Session, connack: &[u8]) {
    let device = bench.start(character(version, session));
    let name = character(version, session).name;
    let mut peer = bench.accept(version, connack).await;
    let first = peer.publish().await;
    let books = bench.read();
    let message = books.message(&name, seq(&first)).expect("it is in the books before it is sent");
    assert_eq!((message.size, &message.topic), (first.payload.len(), &first.topic));
    assert_eq!(message.sha256, Sha256::of(&first.payload));
    peer.answer(&first).await;
    let open = peer.publish().await;
    drop(peer);

    let mut peer = bench.accept(version, connack).await;
    let again = peer.publish().await;
    assert_eq!((seq(&again), &again.payload), (seq(&open), &open.payload));
    match session {
        Session::Kept => assert_eq!((again.packet_id, again.dup), (open.packet_id, true)),
        Session::Fresh => assert_eq!((again.packet_id, again.dup), (1, false)),
    }
    let books = bench.read();
    assert!(matches!(fate_of(&books, &name, &first), Some(Fate::Acknowledged { code: 0, .. })));
    assert_eq!(books.message(&name, seq(&again)).map(|message| message.sendings()), Some(2));

    bench.orders.send_modify(|orders| orders.phase = Phase::Leave);
    device.await.expect("it does not panic").expect("the books are kept");
    let device = &bench.read().devices[&name];
    assert_eq!(device.connects.len(), 2);
    assert_eq!(device.disconnects.last().map(|gone| gone.why.as_str()), Some("own"));
    assert_eq!(device.faults, []);
}

#[tokio::test]
async fn a_v3_device_comes_back_with_the_same_packet() {
    let bench = Bench::new("device-v3").await;
    let test = comes_back(&bench, Version::V311, Session::Kept, CONNACK_V3);
    LocalSet::new().run_until(test).await;
    std::fs::remove_file(bench.books).expect("it was written");
}

#[tokio::test]
async fn a_v5_device_comes_back_with_a_new_packet() {
    let bench = Bench::new("device-v5").await;
    let test = comes_back(&bench, Version::V5, Session::Fresh, CONNACK_V5);
    LocalSet::new().run_until(test).await;
    std::fs::remove_file(bench.books).expect("it was written");
}

#[tokio::test]
async fn what_a_gateway_must_not_send_and_what_it_refuses_is_in_the_books() {
    let bench = Bench::new("device-wrong").await;
    let test = async {
        let character = character(Version::V5, Session::Fresh);
        let name = character.name.clone();
        let device = bench.start(character);
        let mut peer = bench.accept(Version::V5, CONNACK_V5).await;
        let refused = peer.publish().await;
        let [high, low] = refused.packet_id.to_be_bytes();
        let first = if refused.qos == 1 { 0x40 } else { 0x50 };
        // Refused; a PUBACK that answers nothing; and a packet that no gateway sends.
        peer.send(&[first, 3, high, low, 0x97, 0x40, 2, 0x77, 0x77, 0x10, 0]).await;
        let mut peer = bench.accept(Version::V5, CONNACK_V5).await;
        peer.publish().await;
        let books = bench.read();
        let fate = fate_of(&books, &name, &refused);
        assert!(matches!(fate, Some(Fate::Negative { code: 0x97, .. })), "{fate:?}");
        let faults: Vec<&str> =
            books.devices[&name].faults.iter().map(|(_, what)| &**what).collect();
        let [stray, malformed] = faults[..] else { panic!("two faults: {faults:?}") };
        assert!(stray.starts_with("Puback { packet_id: 30583"), "{stray}");
        assert!(malformed.starts_with("what only clients send"), "{malformed}");
        assert_eq!(books.devices[&name].disconnects[0].why, "malformed");
        bench.orders.send_modify(|orders| orders.phase = Phase::Leave);
        device.await.expect("it does not panic").expect("the books are kept");
    };
    LocalSet::new().run_until(test).await;
    std::fs::remove_file(bench.books).expect("it was written");
}

/// MQTT 5 has a client keep to what the CONNACK says.
#[test]
fn a_connack_says_what_is_taken() {
    let device = character(Version::V5, Session::Fresh);
    let connack = Packet::Connack {
        session_present: false,
        code: 0,
        properties: vec![
            Property::new(property::RECEIVE_MAXIMUM, Value::TwoBytes(7)),
            Property::new(property::MAXIMUM_QOS, Value::Byte(1)),
            Property::new(property::MAXIMUM_PACKET_SIZE, Value::FourBytes(1000)),
            Property::new(property::SERVER_KEEP_ALIVE, Value::TwoBytes(30)),
        ],
    };
    let limits = Limits::of(&connack, &device).expect("it says yes");
    assert_eq!((limits.receive_maximum, limits.keep_alive), (7, Duration::from_secs(30)));
    let mut message = Message { seq: 1, qos: 2, size: 5000, topic: "a/b".to_owned() };
    assert!(!limits.take(&message));
    limits.fit(&mut message);
    assert_eq!((message.qos, message.size), (1, 1000 - PUBLISH_OVERHEAD - 3));
    assert!(limits.take(&message));
    let refused = Packet::Connack { session_present: false, code: 0x89, properties: Vec::new() };
    assert_eq!(Limits::of(&refused, &device), Err(Gone::Code(0x89)));
}
