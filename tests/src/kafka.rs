//! A real Apache Kafka: one broker in one Java process, shared by the tests of a program, or one of its
//! own for a test that harms it; and what a test reads from it and asks of it.

mod administration;
mod counters;
mod records;
mod refusing;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

pub use records::{Record, Records};
pub use refusing::{Append, Refusing, Said};

use crate::ports;
use crate::process::{Process, Signal};
use crate::tools::{Folder, tool};
use crate::wait;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a broker may take to start, with what it finds after a kill and on a machine with much else to do.
const START: Duration = Duration::from_secs(150);
/// A storage id has 16 bytes in unpadded URL-safe base64; all tests use the same.
const STORAGE_ID: &str = "TGFuZGZhbGwtdGVzdHMtMQ";

/// What differs from a plain broker.
#[derive(Default)]
pub struct KafkaOptions {
    /// The port of a [`crate::proxy::Proxy`] in front of [`Kafka::behind_proxy`]: clients that come
    /// that way are told to stay on it.
    pub proxy_port: Option<u16>,
    /// Further lines of `server.properties`.
    pub properties: Vec<(String, String)>,
    /// It tells its counters, as [`Kafka::produce_requests`] asks for them.
    pub counters: bool,
}

/// A broker; it ends with this.
pub struct Kafka {
    folder: Folder,
    port: u16,
    behind_proxy: u16,
    /// Where it tells its counters.
    counters: Option<u16>,
    process: Mutex<Process>,
}

impl Kafka {
    /// The broker that all tests of this program share: use topics of your own, and leave it running.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Kafka::start)
    }

    /// A broker of one's own.
    pub fn start() -> Kafka {
        Kafka::start_with(&KafkaOptions::default())
    }

    pub fn start_with(options: &KafkaOptions) -> Kafka {
        Kafka::start_nodes(&[ports::free()], options).remove(0)
    }

    /// Three brokers of one cluster. A topic has a replica on each, and takes what two of them have.
    pub fn start_cluster() -> Vec<Kafka> {
        Kafka::start_cluster_with(&KafkaOptions::default())
    }

    pub fn start_cluster_with(options: &KafkaOptions) -> Vec<Kafka> {
        let controllers = [ports::free(), ports::free(), ports::free()];
        Kafka::start_nodes(&controllers, options)
    }

    /// A node for each controller's port, which is a broker as well.
    fn start_nodes(controllers: &[u16], options: &KafkaOptions) -> Vec<Kafka> {
        let numbered = (1..).zip(controllers);
        let voters: Vec<String> =
            numbered.clone().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        let prepare =
            |(id, &port)| Kafka::prepare(id, port, &voters.join(","), controllers.len(), options);
        let nodes: Vec<Kafka> = numbered.map(prepare).collect();
        nodes.iter().for_each(Kafka::until_it_answers);
        nodes
    }

    /// Starts a node and does not wait for it: alone among several it would not answer.
    fn prepare(
        id: usize,
        controller: u16,
        voters: &str,
        replicas: usize,
        options: &KafkaOptions,
    ) -> Kafka {
        let folder = Folder::new("kafka");
        let (port, behind_proxy) = (ports::free(), ports::free());
        let advertised = options.proxy_port.unwrap_or(behind_proxy);
        let enough = replicas.saturating_sub(1).max(1);
        let mut properties = format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=DIRECT://127.0.0.1:{port},PROXY://127.0.0.1:{behind_proxy},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=DIRECT://127.0.0.1:{port},PROXY://127.0.0.1:{advertised}\n\
             listener.security.protocol.map=DIRECT:PLAINTEXT,PROXY:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=DIRECT\n\
             log.dirs={}\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={enough}\n\
             offsets.topic.replication.factor={replicas}\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={enough}\n\
             share.coordinator.state.topic.replication.factor={replicas}\n\
             share.coordinator.state.topic.min.isr={enough}\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\n\
             group.consumer.min.session.timeout.ms=1000\n\
             group.consumer.session.timeout.ms=4000\n\
             group.consumer.min.heartbeat.interval.ms=500\n\
             group.consumer.heartbeat.interval.ms=500\n\
             auto.create.topics.enable=false\n\
             broker.heartbeat.interval.ms=500\n\
             broker.session.timeout.ms=3000\n\
             replica.lag.time.max.ms=3000\n",
            folder.join("data").display()
        );
        for (name, value) in &options.properties {
            properties.push_str(&format!("{name}={value}\n"));
        }
        let file = folder.join("server.properties");
        std::fs::write(&file, properties).expect("the test's folder can be written");
        let mut format = java(&folder, "kafka.tools.StorageTool");
        format.args(["format", "-t", STORAGE_ID, "-c"]).arg(&file);
        let status = Process::start("kafka-format", format, &folder).wait(wait::START);
        assert!(status.success(), "Kafka's storage cannot be formatted: {}", folder.display());
        let counters = options.counters.then(ports::free);
        let process = Mutex::new(Self::spawn(&folder, counters));
        Kafka { folder, port, behind_proxy, counters, process }
    }

    fn spawn(folder: &Path, counters: Option<u16>) -> Process {
        let mut command = java(folder, "kafka.Kafka");
        command.arg(folder.join("server.properties"));
        if let Some(port) = counters {
            counters::tell(&mut command, port);
        }
        Process::start("kafka", command, folder)
    }

    fn until_it_answers(&self) {
        let started = || answers(self.port).then_some(());
        self.process().until("Kafka's start", START, started);
    }

    /// Where the broker answers, without a proxy.
    pub fn address(&self) -> String {
        ports::local(self.port).to_string()
    }

    /// Where it and its tools write.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The broker's process.
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    /// The port that a proxy forwards to.
    pub fn behind_proxy(&self) -> u16 {
        self.behind_proxy
    }

    /// SIGKILL; the port is closed when this returns.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// SIGTERM: it gives its partitions away before it ends.
    pub fn terminate(&self) {
        self.process().terminate(wait::START);
    }

    /// Starts it again after its end, on the same ports and data; it answers when this returns.
    pub fn start_again(&self) {
        {
            let mut process = self.process();
            assert!(process.ended().is_some(), "Kafka still runs");
            *process = Self::spawn(&self.folder, self.counters);
        }
        self.until_it_answers();
    }

    /// SIGSTOP or SIGCONT: a broker that hangs, and goes on.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        // A test that failed under the lock has told why; the others may go on.
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A reader of topics, from their beginning.
    pub fn records(&self, topics: &[&str]) -> Records {
        Records::open(&self.client(), topics)
    }

    /// All records that the topic has now, by partition and offset.
    #[track_caller]
    pub fn read_all(&self, topic: &str) -> Vec<Record> {
        self.records(&[topic]).all_so_far()
    }

    /// Waits for that many records, and returns all.
    #[track_caller]
    pub fn wait_for(&self, topic: &str, count: usize, deadline: Duration) -> Vec<Record> {
        let mut records = self.records(&[topic]);
        let mut seen = Vec::new();
        wait::until_true(&format!("{count} records in {topic}"), deadline, || {
            seen.extend(records.all_so_far());
            seen.len() >= count
        });
        seen
    }

    /// All replicas of the topic have what its leaders have.
    #[track_caller]
    pub fn is_in_sync(&self, topic: &str) -> bool {
        let client: BaseConsumer = self.client().create().expect("a client needs no server");
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("Kafka answers");
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let mut partitions = partitions.peekable();
        assert!(partitions.peek().is_some(), "there is no topic {topic}");
        partitions.all(|partition| partition.isr().len() == partition.replicas().len())
    }

    /// How many records the topic has had: the sum of its end offsets.
    #[track_caller]
    pub fn count(&self, topic: &str) -> u64 {
        self.ends(topic).into_iter().sum::<i64>() as u64
    }

    /// The offsets of the next records, by partition.
    #[track_caller]
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let client: BaseConsumer = self.client().create().expect("a client needs no server");
        let mut partitions = records::partitions(&client, topic);
        partitions.sort_unstable();
        // One that was just added may have no leader for a moment.
        let end = |partition| {
            wait::until(&format!("the end of {topic} [{partition}]"), PATIENCE, || {
                Some(client.fetch_watermarks(topic, partition, PATIENCE).ok()?.1)
            })
        };
        partitions.into_iter().map(end).collect()
    }

    /// Writes one record as any other producer would.
    #[track_caller]
    pub fn produce(&self, topic: &str, key: &[u8], value: &[u8], headers: &[(&str, &[u8])]) {
        records::produce(&self.client(), topic, key, value, headers);
    }

    /// The same, without a key, to a partition.
    #[track_caller]
    pub fn produce_to(&self, topic: &str, partition: i32, value: &[u8]) {
        records::produce_to(&self.client(), topic, partition, value);
    }

    /// Writes copies of records, in their order where the topic has one partition.
    #[track_caller]
    pub fn produce_all(&self, topic: &str, records: &[Record]) {
        records::produce_all(&self.client(), topic, records);
    }

    /// A client's configuration, for what is not here.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config
    }
}

/// A name that no other test of this run uses, for topics on a shared broker.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Does a broker answer there, and does it know itself?
fn answers(port: u16) -> bool {
    if std::net::TcpStream::connect(ports::local(port)).is_err() {
        return false;
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", ports::local(port).to_string()).set("log_level", "0");
    let client: BaseConsumer = config.create().expect("a client needs no server");
    let metadata = client.fetch_metadata(None, Duration::from_secs(2));
    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// A program of Kafka's distribution, such as `kafka.Kafka`; it logs to its standard output, and works in
/// a folder of the test.
pub fn java(folder: &Path, class: &str) -> Command {
    std::fs::write(folder.join("log4j2.properties"), LOGGING)
        .expect("the test's folder can be written");
    let mut command = Command::new("java");
    command
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()))
        .arg("-cp")
        .arg(tool("kafka/lib").join("*"))
        .arg(class)
        .current_dir(folder);
    command
}

const LOGGING: &str = "\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
";
