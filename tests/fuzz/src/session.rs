//! A whole uplink session: bytes of a stranger on a real socket, through the gateway's own connection
//! code and a bridge whose sink fails as the input says.
//!
//! An input begins with [`PLAN_BYTES`] that choose the sink's pace, how the bytes are cut, and with how
//! many bytes of fates the rest begins; then comes what the stranger sends. What is looked at:
//!
//! - no panic, and the gateway serves the next input;
//! - what the gateway sends is well-formed and answers something that was asked;
//! - a PUBACK or PUBREC leaves only when the sink has the message, in its lane or as a dead letter;
//! - at rest the ledger's sum holds and agrees with what is stored, and all memory was given back.

#[path = "session/dialogue.rs"]
mod dialogue;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bridge::classify::{Routing, Unrouted};
use bridge::format::Format;
use bridge::kafka_topic::TopicName;
use bridge::key::KeyStrategy;
use bridge::metadata::DeviceAttributes;
use bridge::objects::Objects;
use bridge::route::Route;
use bridge::rule::{Rule, When};
use bridge::sink::memory::{Fate, MemoryStore};
use bridge::topic::filter::Filter;
use bridge::{Carriage, LaneId, LanePlan, LaneThread, Lanes, Store, Totals, Uplink};
use gateway::audit::Audit;
use gateway::connection;
use gateway::edge::{Edge, EdgeLimits};
use gateway::identity::Authentication;
use gateway::local::LocalPlane;
use gateway::low_priority::LowPriority;
use gateway::net::{Accepted, Entrance, ListenerSettings, Peer, Transport};
use gateway::session::window::WindowLimits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use dialogue::{Answers, Asked};

/// Bytes at an input's start that choose how it runs.
pub const PLAN_BYTES: usize = 3;
/// How long the gateway may take for anything that it has to do.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing is sent for this long: the gateway has looked at everything that it was sent.
const QUIET: Duration = Duration::from_millis(1);
/// Small limits, so that small inputs meet them.
const INLINE_SIZE: u32 = 48;
const INLINE_MEMORY: u64 = 2_500;
const LARGE_MEMORY: u64 = 2_500;
const MESSAGE_SIZE: u32 = 4_096;
const WINDOW: WindowLimits = WindowLimits { messages: 5, bytes: 200 };

/// One gateway, used for every input: what one leaves behind, the next one finds.
struct World {
    runtime: Runtime,
    edge: Arc<Edge>,
    store: Arc<MemoryStore>,
    objects: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
    _lanes: Vec<LaneThread>,
    _background: Runtime,
}

/// Serves `data` as one connection. Returns whether a session began.
pub fn serve(data: &[u8]) -> bool {
    static WORLD: OnceLock<World> = OnceLock::new();
    let Some((plan, rest)) = data.split_at_checked(PLAN_BYTES) else { return false };
    let (fates, stream) = rest.split_at(rest.len().min(usize::from(plan[2] % 16)));
    let plan = Plan {
        held: plan[0] & 1 != 0,
        aborts: plan[0] & 2 != 0,
        twice: plan[0] & 5 == 4,
        cut: usize::from(plan[1]),
        fates: fates.iter().map(|byte| fate(*byte)).collect(),
    };
    WORLD.get_or_init(World::start).run(&plan, stream)
}

/// How an input runs.
struct Plan {
    /// The sink is silent until everything was sent.
    held: bool,
    /// The stranger goes without waiting for answers.
    aborts: bool,
    /// A second connection sends the same, and takes the client id over where it has one.
    twice: bool,
    /// Bytes of each write; zero sends all at once.
    cut: usize,
    fates: Vec<Fate>,
}

fn fate(byte: u8) -> Fate {
    match byte % 32 {
        0 => Fate::Lose,
        1..4 => Fate::Break,
        4..8 => Fate::Full,
        8..12 => Fate::Refuse,
        12..16 => Fate::RefuseAtOnce,
        _ => Fate::Store,
    }
}

impl World {
    fn start() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let mut background = tokio::runtime::Builder::new_multi_thread();
        let background = background.worker_threads(1).enable_time().build();
        let background = background.expect("a runtime can be built");
        let shared_memory = PathBuf::from("/dev/shm");
        let folder = if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() };
        let objects = folder.join(format!("landfall-fuzz-{}", std::process::id()));
        let url = format!("file://{}", objects.display()).parse().expect("a path makes a URL");
        let opened = Objects::open(&url, &BTreeMap::new()).expect("a folder can be made");
        let object_store =
            Store { objects: Arc::new(opened), runtime: background.handle().clone() };
        let uplink = Uplink::new(routing(), Some(object_store));
        let store = MemoryStore::new();
        let started = uplink.start(|_, _| {
            let store = Arc::clone(&store);
            Box::new(move || store.sink(std::thread::current()))
        });
        let local = LocalPlane::start().expect("the local plane starts");
        let low_priority = LowPriority::start().expect("threads can be started");
        let limits = EdgeLimits { message_size: MESSAGE_SIZE, window: WINDOW, connections: 8 };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        World {
            runtime,
            edge: Arc::new(Edge::new(
                Arc::new(uplink),
                local,
                low_priority,
                background.handle().clone(),
                Audit::off(),
                limits,
                false,
            )),
            store,
            objects,
            listener,
            address,
            _lanes: started.expect("the lanes start"),
            _background: background,
        }
    }

    fn run(&self, plan: &Plan, stream: &[u8]) -> bool {
        let asked = Asked::of(stream);
        let before = self.totals();
        self.store.set_answering(!plan.held);
        self.store.tell_fates(plan.fates.iter().copied());
        let mut answers = Answers::new(asked.version);
        self.runtime.block_on(async {
            let first = self.connect(plan, stream, &mut answers, &asked);
            if plan.twice {
                let mut others = Answers::new(asked.version);
                tokio::join!(first, self.connect(plan, stream, &mut others, &asked));
            } else {
                first.await;
            }
        });
        self.store.clear_fates();
        self.check_rest(&before);
        answers.accepted
    }

    async fn connect(&self, plan: &Plan, stream: &[u8], answers: &mut Answers, asked: &Asked) {
        let socket = TcpStream::connect(self.address).await.expect("the listener is there");
        let (served, address) = self.listener.accept().await.expect("a connection came");
        let transport = Transport::Tcp(served);
        transport.tune().expect("a socket can be told");
        let settings = ListenerSettings::new("plain", self.address);
        let entrance =
            Entrance::new(&settings, &Authentication::none(), None).expect("it reads no file");
        let peer = Peer::new(Arc::new(entrance), Some(address));
        let accepted = Accepted::new(&self.edge, transport, peer);
        let server = tokio::spawn(connection::serve(Arc::clone(&self.edge), accepted));
        let (mut reading, mut writing) = socket.into_split();
        let cut = if plan.cut == 0 { stream.len().max(1) } else { plan.cut };
        for piece in stream.chunks(cut) {
            // The gateway may have closed the connection, or not read it for a while.
            if !matches!(timeout(QUIET, writing.write_all(piece)).await, Ok(Ok(()))) {
                break;
            }
            tokio::task::yield_now().await;
        }
        if plan.held {
            while answers.read(&mut reading, QUIET).await {}
            assert_eq!(answers.confirmed(), 0, "confirmed by a sink that says nothing");
            self.store.set_answering(true);
        }
        if !plan.aborts {
            let deadline = Instant::now() + PATIENCE;
            let mut quiet = 0;
            while quiet < 2 {
                let came = answers.read(&mut reading, QUIET).await;
                answers.check(asked, &self.store);
                let waits = !answers.ended && self.edge.uplink.in_flight() > 0;
                quiet = if came || waits { 0 } else { quiet + 1 };
                assert!(Instant::now() < deadline, "in flight: {}", self.edge.uplink.in_flight());
            }
        }
        // A client that goes without a goodbye; what is on its way lands all the same.
        let _ = writing.shutdown().await;
        let deadline = Instant::now() + PATIENCE;
        while !answers.ended {
            answers.read(&mut reading, Duration::from_millis(50)).await;
            assert!(Instant::now() < deadline, "the connection does not end");
        }
        answers.check(asked, &self.store);
        drop((reading, writing));
        let ended = timeout(PATIENCE, server).await.expect("a connection ends with its socket");
        ended.expect("a connection does not panic");
        // Its will is a task of its own.
        tokio::time::sleep(QUIET).await;
        while self.edge.uplink.in_flight() > 0 {
            assert!(Instant::now() < deadline, "in flight: {}", self.edge.uplink.in_flight());
            tokio::time::sleep(QUIET).await;
        }
    }

    fn totals(&self) -> Vec<Totals> {
        self.edge.uplink.accounts().map(|account| account.ledger.totals()).collect()
    }

    /// Nothing is in flight: the books agree with each other and with what is stored.
    fn check_rest(&self, before: &[Totals]) {
        let deadline = Instant::now() + PATIENCE;
        let used = || -> u64 {
            let shares = self.edge.uplink.accounts();
            shares
                .map(|account| {
                    account.share(Carriage::Inline).used() + account.share(Carriage::Large).used()
                })
                .sum()
        };
        // The share is given back a moment after the count, an abandoned upload by its task, and what remains of a
        // connection by a thread that gives way to all others.
        while used() > 0 || self.edge.connections() > 0 {
            let connections = self.edge.connections();
            assert!(
                Instant::now() < deadline,
                "{} bytes of memory are not given back, {connections} connections are counted that are gone",
                used()
            );
            self.runtime.block_on(async { tokio::time::sleep(QUIET).await });
        }
        let (mut landed, mut dead_lettered) = (0, 0);
        for (now, before) in self.totals().iter().zip(before) {
            let decided = now.landed + now.dead_lettered + now.refused_total() + now.failed;
            assert_eq!(now.in_flight, 0);
            assert_eq!(now.received, decided, "{now:?}");
            landed += now.landed - before.landed;
            dead_lettered += now.dead_lettered - before.dead_lettered;
        }
        let stored = self.store.take_stored();
        let dead = &self.edge.uplink.lanes()[LaneId::DEAD_LETTER];
        let dead = topic_of(&dead.account.name);
        let letters = stored.iter().filter(|record| record.as_record().topic() == dead).count();
        assert_eq!(dead_lettered, letters as u64, "dead letters");
        assert_eq!(landed, (stored.len() - letters) as u64, "landed");
        // The store makes it anew; the program leaves nothing behind.
        if self.objects.is_dir() {
            std::fs::remove_dir_all(&self.objects).expect("nobody writes there at rest");
        }
    }
}

fn topic_of(lane: &str) -> String {
    format!("landfall.{lane}")
}

fn routing() -> Routing {
    let filter = |text| Filter::parse(text).expect("a filter");
    Routing {
        gateway_id: "gw-1".to_owned(),
        routes: vec![
            Route {
                filter: filter("own/{device_id}/#"),
                attributes: BTreeMap::new(),
                device_envelope: true,
            },
            Route {
                filter: filter("devices/{device_type}/{device_id}/{stream}/#"),
                attributes: BTreeMap::new(),
                device_envelope: false,
            },
            Route { filter: filter("+/#"), attributes: BTreeMap::new(), device_envelope: false },
        ]
        .into(),
        // What begins with `$` matches no wildcard.
        unrouted: Unrouted::Refuse,
        rules: vec![Rule {
            when: When { last_level: Some("alarm".into()), ..When::default() },
            lane: LaneId::PRIORITY,
        }],
        lanes: Lanes::built_in(|_, lane| LanePlan {
            name: lane.to_owned(),
            topic: TopicName::Fixed(topic_of(lane)),
            key: KeyStrategy::DeviceId,
            format: Format::Envelope,
            inline_size: INLINE_SIZE,
            gather: Duration::ZERO,
            properties: BTreeMap::new(),
            inline_memory: INLINE_MEMORY,
            large_memory: LARGE_MEMORY,
        }),
        devices: DeviceAttributes::new(),
        has_store: true,
    }
}
