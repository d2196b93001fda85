//! What a cell stands on: Kafka, an object store, a gateway, a fleet that keeps books, and a reader of what landed;
//! and what a fault may do with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use tests::clock::Clock;
use tests::exposition::Metrics;
use tests::fail_points::FailPoints;
use tests::gateway::{Gateway, GatewayConfig};
use tests::http;
use tests::kafka::{Kafka, KafkaOptions, Refusing};
use tests::limits::{Limits, MemoryGroup};
use tests::ports;
use tests::process::Signal;
use tests::proxy::Proxy;
use tests::s3::S3;
use tests::store::Store;
use tests::tools::Folder;
use tests::wait;

use crate::judge::Evidence;
use crate::landed::Reader;
use crate::links::Link;
use crate::programs::Programs;
use crate::publishers::Publishers;
use crate::setting::{Front, Setting};
use crate::timeline::Timeline;

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// What the gateway may take of the machine's memory.
pub const MEMORY_MIB: u64 = 512;
/// How many may be connected, where nothing else is asked for.
pub const CONNECTIONS: u64 = 4000;
/// What a group has where nothing is wrong, and what it has beside what is taken where something is.
const GROUP_BYTES: u64 = 1024 * 1024 * 1024;
const LITTLE_BYTES: u64 = 1024 * 1024;
/// How long a thread or task may take until it comes to its turn, and a panic to be noticed.
const ITS_TURN: Duration = Duration::from_secs(75);
const NOTICED: Duration = Duration::from_secs(2);
/// How long a gateway may go on without memory.
const STARVED: Duration = Duration::from_secs(30);
const BUCKET: &str = "faults";

/// A rig; everything in it ends with it.
pub struct Rig {
    pub kafka: Vec<Kafka>,
    pub s3: S3,
    pub publishers: Publishers,
    pub reader: Reader,
    pub timeline: Timeline,
    front: Option<Standing>,
    store: Option<Store>,
    store_proxy: Option<Proxy>,
    devices_proxy: Option<Proxy>,
    clock: Option<Clock>,
    points: Option<FailPoints>,
    group: Option<MemoryGroup>,
    gateway: Mutex<Gateway>,
    mqtt: SocketAddr,
    admin: SocketAddr,
    topics: [String; LANES.len()],
    setting: Setting,
    folder: Folder,
}

/// What stands between the gateway and Kafka.
enum Standing {
    Proxy(Proxy),
    Refusing(Refusing),
}

impl Rig {
    /// Starts everything; the fleet is connected when this returns.
    pub fn start(setting: &Setting, programs: &Programs, seed: u64) -> Rig {
        let folder = Folder::new("rig");
        let front_port = (setting.kafka != Front::Nothing).then(ports::free);
        let kafka = match setting.brokers {
            1 => {
                let properties = setting.properties.clone();
                vec![Kafka::start_with(&KafkaOptions {
                    proxy_port: front_port,
                    properties,
                    ..KafkaOptions::default()
                })]
            }
            _ => Kafka::start_cluster(),
        };
        let front = front_port.map(|port| stand(setting.kafka, port, kafka[0].behind_proxy()));
        let s3 = S3::start();
        s3.create_bucket(BUCKET);
        let servers = match front_port {
            Some(port) => ports::local(port).to_string(),
            None => servers(&kafka, |node| ports::local(node.behind_proxy()).to_string()),
        };
        let store = setting.scripted_store.then(|| Store::start(s3.address()));
        let address = store.as_ref().map_or(s3.address(), Store::address);
        let store_proxy = setting.store_proxy.then(|| Proxy::start(address.port()));
        let address = store_proxy.as_ref().map_or(address, Proxy::address);
        let config = configured(setting, programs, &kafka[0], &servers, address);
        let clock = setting.clock.then(Clock::start);
        let config = clock.iter().fold(config, GatewayConfig::clock);
        let points = setting.with_faults.then(FailPoints::start);
        let config = points.iter().fold(config, GatewayConfig::fail_points);
        let group = setting.memory_group.then(memory_group).and_then(Result::ok);
        let config = config.limits(limits(setting, group.as_ref()));
        let topics = LANES.map(|lane| config.topic(lane));
        let gateway = config.start_ready();
        let reader = Reader::start(&servers_of_reader(&kafka), &topics, &folder);
        // It has seen the topics as they are before anything happens to them.
        reader.catch_up(wait::START);
        let devices_proxy = setting.devices_proxy.then(|| Proxy::start(gateway.mqtt().port()));
        let mqtt = devices_proxy.as_ref().map_or(gateway.mqtt(), Proxy::address);
        let publishers = Publishers::start(setting, mqtt, seed, &folder);
        Rig {
            s3,
            publishers,
            reader,
            timeline: Timeline::default(),
            front,
            store,
            store_proxy,
            devices_proxy,
            clock,
            points,
            group,
            mqtt,
            admin: gateway.admin(),
            gateway: Mutex::new(gateway),
            topics,
            kafka,
            setting: setting.clone(),
            folder,
        }
    }

    /// Where devices connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The Kafka topic of a lane.
    pub fn topic(&self, lane: &str) -> &str {
        let index = LANES.iter().position(|name| *name == lane).expect("it is a lane");
        &self.topics[index]
    }

    /// Those of all lanes.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The first broker, which is the only one of most rigs.
    pub fn broker(&self) -> &Kafka {
        &self.kafka[0]
    }

    /// What stands before Kafka, where the setting asked for it.
    pub fn proxy(&self) -> &Proxy {
        match &self.front {
            Some(Standing::Proxy(proxy)) => proxy,
            _ => panic!("the fault's setting asks for no proxy before Kafka"),
        }
    }

    /// The same.
    pub fn refusing(&self) -> &Refusing {
        match &self.front {
            Some(Standing::Refusing(refusing)) => refusing,
            _ => panic!("the fault's setting asks for nothing that refuses before Kafka"),
        }
    }

    /// What stands before the object store, where the setting asked for it.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the fault's setting asks for nothing before the store")
    }

    /// What the gateway takes for the time of day, where the setting asked for it.
    pub fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("the fault's setting asks for no clock")
    }

    pub fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// SIGKILL, and a new process after that long.
    pub fn kill_gateway(&self, gone: Duration) {
        self.timeline.away(|| {
            let mut gateway = self.gateway();
            self.timeline.killed();
            gateway.kill();
            thread::sleep(gone);
            gateway.start_again();
        });
    }

    /// The kernel kills it for want of memory while something takes more, or somebody does where the machine has no
    /// groups; then a new process.
    pub fn starve_gateway<T>(&self, taking: impl FnOnce() -> T) {
        let Some(group) = &self.group else { return self.kill_gateway(Duration::ZERO) };
        self.timeline.away(|| {
            let mut gateway = self.gateway();
            let killed = group.killed();
            // What it has, and next to nothing more.
            group.set(group.used() + LITTLE_BYTES);
            self.timeline.killed();
            let taken = taking();
            let code = gateway.wait(STARVED);
            drop(taken);
            group.set(GROUP_BYTES);
            if group.killed() == killed {
                self.timeline.finds(format!("the kernel did not kill it: it ended with {code:?}"));
            }
            gateway.start_again();
        });
    }

    /// One of these threads or tasks panics; where the gateway is not alive then, or ends, it is started anew.
    pub fn panic(&self, kind: &str) {
        let points = self.points.as_ref().expect("the fault's setting asks for no faults inside");
        self.timeline.away(|| {
            points.once(kind);
            let end = Instant::now() + ITS_TURN;
            while !points.came(kind) && Instant::now() < end {
                thread::sleep(Duration::from_millis(50));
            }
            if !points.came(kind) {
                self.timeline.finds(format!("{kind} never came to its turn"));
            }
            thread::sleep(NOTICED);
            let mut gateway = self.gateway();
            let is_alive = http::get(self.admin, "/livez").is_ok_and(|answer| answer.code == 200);
            if gateway.has_ended() || !is_alive {
                self.timeline.killed();
                gateway.kill();
                gateway.start_again();
            }
        });
    }

    /// What a metric says; nothing while there is nobody to ask.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = http::get(self.admin, "/metrics").ok();
        page.map_or(0.0, |page| Metrics::parse(&page.body).sum(name, labels))
    }

    /// SIGTERM, and a new process when the old one has drained.
    pub fn restart_gateway(&self) {
        self.restart_gateway_after(|| ());
    }

    /// The same, with something that is done between the two.
    pub fn restart_gateway_after(&self, between: impl FnOnce()) {
        self.timeline.away(|| {
            let mut gateway = self.gateway();
            self.timeline.ended();
            end(&mut gateway);
            between();
            gateway.start_again();
        });
    }

    /// The last thing of a cell.
    pub fn end_gateway(&self) {
        self.timeline.away(|| end(&mut self.gateway()));
    }

    /// The gateway's process, unless somebody is just ending it.
    pub fn gateway_id(&self) -> Option<u32> {
        self.gateway.try_lock().ok().map(|gateway| gateway.id())
    }

    /// Where those listen whom a link leads to.
    pub fn ports_of(&self, link: Link) -> Vec<u16> {
        match link {
            Link::Kafka => self.kafka.iter().map(Kafka::behind_proxy).collect(),
            Link::Store => vec![self.s3.address().port()],
            Link::Devices => vec![self.gateway().mqtt().port()],
        }
    }

    /// The proxy of a link, where the network itself cannot be broken.
    pub fn proxy_of(&self, link: Link) -> Option<&Proxy> {
        let proxy = match link {
            _ if !Link::needs_proxy() => return None,
            Link::Kafka => return Some(self.proxy()),
            Link::Store => &self.store_proxy,
            Link::Devices => &self.devices_proxy,
        };
        Some(proxy.as_ref().expect("the fault's setting says which link it breaks"))
    }

    /// What it is made of.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Keeps what was written meanwhile, for whoever looks for a reason: logs, books, what has landed.
    pub fn keep(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("the folder of outcomes can be written");
        let kafka = self.kafka.iter().map(Kafka::folder);
        let gateway = self.gateway();
        for (number, place) in
            [&*self.folder, gateway.folder()].into_iter().chain(kafka).enumerate()
        {
            for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
                let to = folder.join(format!("{number}-{}", entry.file_name().to_string_lossy()));
                if entry.path().is_file()
                    && let Err(error) = std::fs::copy(entry.path(), &to)
                {
                    eprintln!("{} cannot be kept: {error}", to.display());
                }
            }
        }
    }

    /// What the judge is told beside books and records, for whoever judges again.
    pub fn remember(&self, evidence: &Evidence) {
        let written = evidence.write(&self.folder.join("evidence.json"));
        written.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Where the new clients keep their books.
    pub fn books_of_probes(&self) -> PathBuf {
        self.folder.join("books-of-probes")
    }

    /// The process stands still for that long.
    pub fn stop_gateway(&self, time: Duration) {
        self.timeline.away(|| {
            let gateway = self.gateway();
            gateway.signal(Signal::STOP);
            thread::sleep(time);
            gateway.signal(Signal::CONT);
        });
    }
}

#[track_caller]
fn end(gateway: &mut Gateway) {
    let code = gateway.terminate();
    // What it could not land it says, with another code.
    assert!(code.is_some(), "a gateway that was told to end: {}", gateway.log());
}

/// Of which the memory is taken away; or why the machine has none.
pub fn memory_group() -> Result<MemoryGroup, String> {
    MemoryGroup::new(GROUP_BYTES)
}

fn limits(setting: &Setting, group: Option<&MemoryGroup>) -> Limits {
    let limits = Limits::new();
    let limits = setting.descriptors.into_iter().fold(limits, Limits::descriptors);
    group.into_iter().fold(limits, Limits::group)
}

fn stand(front: Front, port: u16, behind: u16) -> Standing {
    match front {
        Front::Refusing => Standing::Refusing(Refusing::start_on(port, behind)),
        _ => Standing::Proxy(Proxy::start_on(port, behind)),
    }
}

fn servers(kafka: &[Kafka], address: impl Fn(&Kafka) -> String) -> String {
    kafka.iter().map(address).collect::<Vec<_>>().join(",")
}

/// The reader comes by a way that no fault of the network is on.
fn servers_of_reader(kafka: &[Kafka]) -> String {
    servers(kafka, Kafka::address)
}

fn configured(
    setting: &Setting,
    programs: &Programs,
    kafka: &Kafka,
    servers: &str,
    store: SocketAddr,
) -> GatewayConfig {
    let config = GatewayConfig::with_partitions(kafka, setting.partitions)
        .set("kafka.bootstrap_servers", servers)
        .set("object_store", S3::section(BUCKET, store))
        .set("limits.memory", format!("{MEMORY_MIB}MiB"))
        .program(programs.gateway(setting.with_faults));
    match setting.descriptors {
        Some(_) => config,
        None => config.set("limits.connections", CONNECTIONS),
    }
}
