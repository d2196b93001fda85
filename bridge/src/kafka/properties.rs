//! librdkafka's properties: their names, which of them a configuration may set, and whether clients can
//! be made with them. What a promise rests on cannot be set, by none of the names that librdkafka takes
//! for it; librdkafka itself is asked for them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::types::RDKafkaConfRes;

use super::client::{self, BATCH_SIZE};
use super::native;

/// Properties that Landfall fixes, each by one of its names, with the reason.
const FIXED: [(&str, &str); 21] = [
    ("acks", "Landfall acknowledges only what all in-sync replicas have"),
    ("enable.idempotence", "a device's order rests on it"),
    ("enable.gapless.guarantee", "a device's order rests on it"),
    ("message.timeout.ms", "a message that was taken is never given up"),
    ("retries", "a message that was taken is never given up"),
    ("partitioner", "keys are placed as the Java client places them"),
    ("delivery.report.only.error", "the acknowledgement comes from the delivery report"),
    ("enabled_events", "the acknowledgement comes from the delivery report"),
    ("plugin.library.paths", "no foreign code is loaded"),
    ("ssl.engine.location", "no foreign code is loaded"),
    ("bootstrap.servers", "write kafka.bootstrap_servers"),
    ("allow.auto.create.topics", "write kafka.create_topics"),
    ("topic.blacklist", "a lane's topics are named in lanes.….topic"),
    ("transactional.id", "Landfall does not use transactions"),
    (
        "queue.buffering.max.messages",
        "the lane's share of memory is the bound: write lanes.….memory",
    ),
    ("queue.buffering.max.kbytes", "the lane's share of memory is the bound: write lanes.….memory"),
    ("statistics.interval.ms", "metrics rest on it, and its cost grows with partitions"),
    ("internal.termination.signal", "the drain rests on the process's signals"),
    ("log.queue", "the log is written by LANDFALL_LOG"),
    ("api.version.request", "idempotence needs it"),
    ("enable.sasl.oauthbearer.unsecure.jwt", "it is only for tests"),
];
/// What Landfall fixes besides for those who read in a group.
const FIXED_OF_READERS: [(&str, &str); 9] = [
    ("group.id", "write the pool's group"),
    ("enable.auto.commit", "only what is finished is committed"),
    ("auto.commit.enable", "only what is finished is committed"),
    ("auto.commit.interval.ms", "only what is finished is committed"),
    ("enable.auto.offset.store", "only what is finished is committed"),
    ("auto.offset.reset", "a group begins with the oldest record"),
    ("enable.partition.eof", "a group has no end"),
    ("queued.max.messages.kbytes", "the pool's window is the bound: write window.size"),
    ("isolation.level", "lanes are written without transactions"),
];
/// Whatever is gathered for longer is acknowledged too late, in milliseconds.
const LINGER_MAX_MS: f64 = 1000.0;
/// What may be written for times, in milliseconds, with the reason.
const TIMES: [(&str, std::ops::RangeInclusive<i64>, &str); 4] = [
    (
        "socket.timeout.ms",
        2000..=30_000,
        "a broker that answers later is asked again, and dropped packets are not noticed sooner",
    ),
    ("socket.connection.setup.timeout.ms", 1000..=30_000, "dropped packets are not noticed sooner"),
    (
        "topic.metadata.refresh.interval.ms",
        10..=60_000,
        "new partitions of a topic, which records may wait for, are not known sooner",
    ),
    ("request.timeout.ms", 1000..=29_000, "the broker waits so long for its replicas"),
];
/// What may be written for `sasl.mechanism`: what librdkafka was built with, without what has no way to
/// get its tokens.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// In a fault, in place of a value that may be a secret.
const HIDDEN: &str = "…";
/// What is shorter is no secret, and stands in many words.
const SECRET_MIN_BYTES: usize = 4;

/// A property as librdkafka tells of it.
struct Known {
    /// By which it is kept; another name may be an alias of it.
    canonical: String,
    /// Only producers heed it, or only consumers; neither is said of what both do.
    only: Option<Client>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Producer,
    Consumer,
}

/// librdkafka's table of its properties.
struct Table {
    global: BTreeMap<String, Known>,
    topic: BTreeMap<String, Known>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::read(&native::property_table()))
}

impl Table {
    /// Reads lines such as ``linger.ms | P | 0 .. 900000 | 5 | high | Alias for `queue.…`: …``.
    fn read(text: &str) -> Table {
        let (mut global, mut topic) = (BTreeMap::new(), BTreeMap::new());
        let mut is_topic = false;
        for line in text.lines() {
            if line.starts_with("## ") {
                is_topic = line.starts_with("## Topic");
            }
            let mut cells = line.split('|').map(str::trim);
            let (Some(name), Some(heeded_by)) = (cells.next(), cells.next()) else { continue };
            let only = match heeded_by {
                "*" => None,
                "P" => Some(Client::Producer),
                "C" => Some(Client::Consumer),
                _ => continue,
            };
            let alias = line.split_once("Alias for `").and_then(|(_, rest)| rest.split_once('`'));
            let canonical = alias.map_or(name, |(of, _)| of).to_owned();
            let properties = if is_topic { &mut topic } else { &mut global };
            properties.insert(name.to_owned(), Known { canonical, only });
        }
        assert!(!global.is_empty() && !topic.is_empty(), "librdkafka tells of its properties");
        Table { global, topic }
    }

    /// Looks as librdkafka does: a client's property, else one of its topics, whose name may begin with
    /// `topic.`.
    fn find(&self, name: &str) -> Option<&Known> {
        let of_topic = || {
            let name = name.strip_prefix("topic.").unwrap_or(name);
            let known = self.topic.get(name)?;
            // Some are there for the client too, which then speaks for all its topics.
            Some(self.global.get(name).unwrap_or(known))
        };
        self.global.get(name).or_else(of_topic)
    }
}

/// librdkafka's own name for a property, which may be written in other ways; as it is where there is none.
pub fn canonical(name: &str) -> &str {
    table().find(name).map_or(name, |known| &known.canonical)
}

/// The properties by librdkafka's own names.
pub(crate) fn canonical_all(
    properties: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(name, value)| (canonical(name), value.as_str()))
}

/// What of the properties a client heeds that produces nothing.
pub(super) fn without_producers(
    properties: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&str, &str)> {
    let heeded =
        |name: &str| table().find(name).is_none_or(|known| known.only != Some(Client::Producer));
    canonical_all(properties).filter(move |(name, _)| heeded(name))
}

/// No producer heeds the property.
pub fn is_for_consumers(name: &str) -> bool {
    table().find(name).is_some_and(|known| known.only == Some(Client::Consumer))
}

/// Why a property cannot be set for whoever reads in a group, besides [`fault`].
pub fn group_fault(name: &str) -> Option<String> {
    let known = table().find(name)?;
    if known.only == Some(Client::Producer) {
        return Some("is for producers, and a pool has none: leave it out".to_owned());
    }
    let fixed = FIXED_OF_READERS.iter().find(|(fixed, _)| canonical(fixed) == known.canonical);
    fixed.map(|(_, reason)| format!("cannot be set: {reason}"))
}

/// Why a property cannot be set, and what to do. None where it can; a value that is not known is taken
/// to be right.
pub fn fault(name: &str, value: Option<&str>) -> Option<String> {
    let own = canonical(name);
    if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| canonical(fixed) == own) {
        return Some(format!("cannot be set: {reason}"));
    }
    let mut alone = ClientConfig::new();
    alone.set(name, value.unwrap_or_default());
    match alone.create_native_config() {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            return Some("is no property of librdkafka".to_owned());
        }
        // Without a word on it to anyone, librdkafka takes it.
        _ if table().find(name).is_none() => {
            return Some(
                "cannot be set: it is only for tests, or of librdkafka's inside".to_owned(),
            );
        }
        Err(KafkaError::ClientConfig(_, reason, _, _)) if value.is_some() => {
            let reason = hidden(&reason, value);
            return Some(format!("is refused by librdkafka: {reason}"));
        }
        Err(KafkaError::Nul(_)) => return Some("holds a NUL character".to_owned()),
        _ => {}
    }
    let value = value?;
    if own == canonical("linger.ms") && value.trim().parse().is_ok_and(|ms: f64| ms > LINGER_MAX_MS)
    {
        return Some(format!("every acknowledgement waits for it: write at most {LINGER_MAX_MS}"));
    }
    let bounded = TIMES.iter().find(|(name, ..)| canonical(name) == own);
    if let Some((_, allowed, reason)) = bounded
        && value.trim().parse().is_ok_and(|ms: i64| !allowed.contains(&ms))
    {
        let (least, most) = (allowed.start(), allowed.end());
        return Some(format!("is out of bounds: {reason}: write {least} to {most}"));
    }
    if own == canonical("sasl.mechanism") {
        let known = MECHANISMS.iter().any(|known| value.trim().eq_ignore_ascii_case(known));
        if !known {
            return Some(format!(
                "this build has no such mechanism (neither GSSAPI nor OAUTHBEARER, for example): write {}",
                MECHANISMS.join(" or ")
            ));
        }
    }
    if ["sasl.username", "sasl.password"].contains(&own) && value.is_empty() {
        return Some("is empty".to_owned());
    }
    None
}

/// `text` without these values.
fn hidden<'v>(text: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let values = values.into_iter().filter(|value| value.len() >= SECRET_MIN_BYTES);
    let text = values.fold(text.to_owned(), |text, value| text.replace(value, HIDDEN));
    text.trim_end().to_owned()
}

/// Why no client can be made of some properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFault {
    /// Which of them it is, or which is missing; None where that is not known.
    pub property: Option<String>,
    pub text: String,
}

/// Why a lane's producer cannot be made. Nobody is contacted.
pub fn producer_fault(
    properties: &BTreeMap<String, String>,
    inline_size: u32,
) -> Option<ClientFault> {
    let config = client::producer("", properties, inline_size, BATCH_SIZE);
    let faults = sasl_fault(properties).or_else(|| timeout_fault(&config));
    faults.or_else(|| made::<BaseProducer<Silent>>(config, properties))
}

/// Why what looks after Kafka's topics cannot be made, or what reads them. Nobody is contacted.
pub fn reader_fault(properties: &BTreeMap<String, String>) -> Option<ClientFault> {
    sasl_fault(properties)
        .or_else(|| made::<BaseProducer<Silent>>(client::admin("", properties), properties))
        .or_else(|| {
            made::<BaseConsumer<Silent>>(client::consumer("landfall", "", properties), properties)
        })
}

/// A broker that waits for its replicas has to answer before its connection is given up, or each batch is
/// sent again and again.
fn timeout_fault(config: &ClientConfig) -> Option<ClientFault> {
    let [request, socket] = ["request.timeout.ms", "socket.timeout.ms"].map(canonical);
    let milliseconds = |name| config.get(name)?.trim().parse::<i64>().ok();
    let (wanted, bound) = (milliseconds(request)?, milliseconds(socket)?);
    if wanted < bound {
        return None;
    }
    let text = format!("has to be below {socket} ({bound}): the broker answers then");
    Some(ClientFault { property: Some(request.to_owned()), text })
}

/// What librdkafka says nothing of, or nothing that helps.
fn sasl_fault(properties: &BTreeMap<String, String>) -> Option<ClientFault> {
    let get = |name: &str| {
        canonical_all(properties).find(|(own, _)| *own == canonical(name)).map(|(_, value)| value)
    };
    let protocol = get("security.protocol")?.trim().to_ascii_uppercase();
    if !protocol.starts_with("SASL_") {
        return None;
    }
    let needed = ["sasl.mechanism", "sasl.username", "sasl.password"];
    let missing = needed.into_iter().find(|name| get(name).is_none())?;
    let what = match missing {
        "sasl.mechanism" => MECHANISMS.join(" or "),
        _ => "it, best as { from_file: … }".to_owned(),
    };
    Some(ClientFault {
        property: Some(missing.to_owned()),
        text: format!("is needed for security.protocol {protocol}: write {what}"),
    })
}

/// Makes a client that knows no broker, and drops it.
fn made<C: FromClientConfigAndContext<Silent>>(
    mut config: ClientConfig,
    properties: &BTreeMap<String, String>,
) -> Option<ClientFault> {
    config.remove("bootstrap.servers").remove(canonical("bootstrap.servers"));
    config.set_log_level(RDKafkaLogLevel::Emerg);
    let error = match config.create_with_context::<_, C>(Silent) {
        Ok(_) => return None,
        Err(KafkaError::ClientCreation(text) | KafkaError::ClientConfig(_, text, ..)) => text,
        Err(error) => error.to_string(),
    };
    let property = culprit(&error, properties);
    let mut text =
        format!("no client can be made with it: {}", hidden(&error, secrets(properties)));
    if let Some(unread) = property.as_deref().and_then(|name| unread(name, properties)) {
        text = unread;
    }
    let defaults = client::defaults_of_producers().filter(|(name, _)| {
        let is_written = canonical_all(properties).any(|(written, _)| written == canonical(name));
        error.contains(&format!("`{name}`")) && !is_written
    });
    for (name, value) in defaults {
        text.push_str(&format!(" (Landfall's default is {name}={value})"));
    }
    Some(ClientFault { property, text })
}

/// Why a file cannot be read that a property names.
fn unread(name: &str, properties: &BTreeMap<String, String>) -> Option<String> {
    let (_, path) = canonical_all(properties).find(|(own, _)| *own == name)?;
    let error = std::fs::metadata(path).err().filter(|_| name.ends_with(".location"))?;
    Some(format!("{path} cannot be read: {error}"))
}

/// The first of the properties that librdkafka's words name.
fn culprit(text: &str, properties: &BTreeMap<String, String>) -> Option<String> {
    let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
    names
        .map(|name| canonical(name.trim_matches('.')))
        .find(|own| canonical_all(properties).any(|(written, _)| written == *own))
        .map(str::to_owned)
}

/// Values that nobody should read.
fn secrets(properties: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    const PARTS: [&str; 3] = ["password", "secret", "pem"];
    canonical_all(properties)
        .filter(|(name, _)| PARTS.iter().any(|part| name.contains(part)))
        .map(|(_, value)| value)
}

/// The context of a client that is made only to see whether it can be.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

impl ProducerContext for Silent {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(written: &[(&str, &str)]) -> BTreeMap<String, String> {
        written.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_a_promise_rests_on_cannot_be_set_by_any_name() {
        for name in [
            "acks",
            "request.required.acks",
            "topic.acks",
            "topic.request.required.acks",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "topic.message.timeout.ms",
            "topic.delivery.timeout.ms",
            "retries",
            "message.send.max.retries",
            "topic.partitioner",
            "bootstrap.servers",
            "metadata.broker.list",
            "plugin.library.paths",
            "ssl.engine.location",
            "internal.termination.signal",
        ] {
            let fault = fault(name, Some("1")).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(fault.starts_with("cannot be set"), "{name}: {fault}");
        }
        // And every other name that librdkafka has for one of them.
        let fixed =
            |known: &&Known| FIXED.iter().any(|(name, _)| canonical(name) == known.canonical);
        let Table { global, topic } = table();
        let of_client = global.iter().map(|(name, known)| (name.clone(), known));
        let of_topic = topic.iter().map(|(name, known)| (format!("topic.{name}"), known));
        let all: Vec<_> = of_client.chain(of_topic).filter(|(_, known)| fixed(known)).collect();
        assert!(all.len() > FIXED.len(), "some have aliases");
        for (name, _) in all {
            assert!(fault(&name, Some("1")).is_some(), "{name} is taken");
        }
    }

    #[test]
    fn what_a_group_rests_on_cannot_be_set() {
        for name in ["group.id", "auto.commit.enable", "topic.auto.offset.reset", "linger.ms"] {
            assert!(group_fault(name).is_some(), "{name} is taken");
        }
        for name in ["group.protocol", "fetch.min.bytes", "ssl.ca.location", "session.timeout.ms"] {
            assert_eq!(group_fault(name), None, "{name}");
            assert_eq!(fault(name, None), None, "{name}");
        }
    }

    #[test]
    fn what_only_tests_use_cannot_be_set() {
        for name in ["test.mock.num.brokers", "test.mock.broker.rtt", "enable.sparse.connections"] {
            let fault = fault(name, Some("1")).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(fault.contains("tests"), "{name}: {fault}");
        }
        let unsecure = fault("enable.sasl.oauthbearer.unsecure.jwt", Some("true"));
        assert!(unsecure.is_some_and(|fault| fault.contains("tests")));
    }

    #[test]
    fn a_value_is_refused_without_a_word_of_it() {
        assert_eq!(fault("linger.ms", Some("20")), None);
        assert_eq!(fault("linger.ms", None), None, "it is not known here");
        assert_eq!(fault("sasl.password", Some("hunter2")), None);
        assert_eq!(fault("no.such", None).as_deref(), Some("is no property of librdkafka"));
        let fault = fault("socket.keepalive.enable", Some("hunter2")).expect("it is no boolean");
        assert!(fault.contains("true or false") && !fault.contains("hunter2"), "{fault}");
        let wrong = [("security.protocol", "SSL"), ("ssl.ca.pem", "hunter2")];
        let fault = producer_fault(&properties(&wrong), 1024).expect("it is no certificate");
        assert_eq!(fault.property.as_deref(), Some("ssl.ca.pem"));
        assert!(!fault.text.contains("hunter2"), "{fault:?}");
    }

    /// Set by any name, librdkafka has it under the one that the table tells.
    #[test]
    fn the_table_is_what_librdkafka_does() {
        for (name, value) in [
            ("linger.ms", "7"),
            ("queue.buffering.max.ms", "7"),
            ("compression.type", "zstd"),
            ("compression.codec", "zstd"),
            ("topic.compression.codec", "zstd"),
            ("max.in.flight", "3"),
            ("sasl.mechanism", "PLAIN"),
            ("max.partition.fetch.bytes", "12345"),
            ("client.id", "me"),
            ("topic.metadata.refresh.interval.ms", "1234"),
        ] {
            let mut config = ClientConfig::new();
            config.set(canonical(name), value);
            let native = config.create_native_config().expect(name);
            let own = table().global.get(canonical(name)).expect(name);
            assert_eq!(own.canonical, canonical(name), "an alias of an alias");
            assert_eq!(native.get(canonical(name)).expect(name), value, "{name}");
        }
        assert_eq!(canonical("topic.acks"), canonical("request.required.acks"));
        assert_eq!(canonical("topic.compression.type"), canonical("compression.codec"));
        assert_eq!(canonical("no.such"), "no.such");
    }

    /// librdkafka's configuration is made from a hash map: what has two names would be set twice, in an
    /// order of its own at each start.
    #[test]
    fn a_property_counts_by_each_of_its_names() {
        for name in ["compression.codec", "compression.type", "topic.compression.codec"] {
            for _ in 0..20 {
                let written = properties(&[(name, "zstd"), ("batch.num.messages", "77")]);
                let config = client::producer("", &written, 1024, BATCH_SIZE);
                let native = config.create_native_config().expect("it is valid");
                assert_eq!(native.get("compression.codec").expect("it is set"), "zstd", "{name}");
                assert_eq!(native.get("batch.num.messages").expect("it is set"), "77");
            }
        }
    }

    #[test]
    fn a_client_that_cannot_be_made_names_the_property() {
        let sasl = ("security.protocol", "SASL_SSL");
        for (written, property, word) in [
            (&[("max.in.flight", "10")][..], "max.in.flight.requests.per.connection", "<= 5"),
            (&[("queuing.strategy", "lifo")], "queuing.strategy", "fifo"),
            (&[("topic.queuing.strategy", "lifo")], "queuing.strategy", "fifo"),
            (&[("reconnect.backoff.ms", "1000")], "reconnect.backoff.ms", "max.ms=500"),
            (&[sasl], "sasl.mechanism", "SCRAM-SHA-512"),
            (&[sasl, ("sasl.mechanisms", "PLAIN")], "sasl.username", "needed"),
            (
                &[sasl, ("sasl.mechanism", "PLAIN"), ("sasl.username", "me")],
                "sasl.password",
                "from_file",
            ),
            (
                &[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere/ca.pem")],
                "ssl.ca.location",
                "/nowhere/ca.pem cannot be read: No such file",
            ),
            (
                &[("security.protocol", "SSL"), ("ssl.cipher.suites", "none such")],
                "ssl.cipher.suites",
                "no cipher match",
            ),
        ] {
            let fault = producer_fault(&properties(written), 1024);
            let fault = fault.unwrap_or_else(|| panic!("{written:?} is taken"));
            assert_eq!(fault.property.as_deref(), Some(property), "{fault:?}");
            assert!(fault.text.contains(word), "{fault:?}");
        }
        let whole =
            [sasl, ("sasl.mechanism", "PLAIN"), ("sasl.username", "a"), ("sasl.password", "b")];
        assert_eq!(producer_fault(&properties(&whole), 1024), None);
        assert_eq!(reader_fault(&properties(&whole)), None);
        // What producers have is nothing to a reader, and the other way round.
        let of_producers =
            properties(&[("linger.ms", "900000"), ("message.max.bytes", "900000000")]);
        assert_eq!(reader_fault(&of_producers), None);
        assert_eq!(producer_fault(&properties(&[("fetch.max.bytes", "10")]), 1024), None);
        assert!(reader_fault(&properties(&[("fetch.max.bytes", "10")])).is_some());
        assert!(is_for_consumers("fetch.max.bytes") && !is_for_consumers("client.id"));
    }

    #[test]
    fn times_that_hide_a_fault_are_refused() {
        for (name, value, is_taken) in [
            ("socket.timeout.ms", "5000", true),
            ("socket.timeout.ms", "60000", false),
            ("socket.timeout.ms", "100", false),
            ("socket.connection.setup.timeout.ms", "31000", false),
            ("topic.metadata.refresh.interval.ms", "500", true),
            ("topic.metadata.refresh.interval.ms", "-1", false),
            ("topic.metadata.refresh.interval.ms", "300000", false),
            ("topic.request.timeout.ms", "30000", false),
            ("topic.request.timeout.ms", "5000", true),
        ] {
            let fault = fault(name, Some(value));
            assert_eq!(fault.is_none(), is_taken, "{name} {value}: {fault:?}");
        }
        for (written, property) in [
            (&[("socket.timeout.ms", "5000")][..], None),
            (&[("request.timeout.ms", "10000")], Some("request.timeout.ms")),
            (&[("request.timeout.ms", "12000"), ("socket.timeout.ms", "20000")], None),
            (&[("request.timeout.ms", "4000"), ("socket.timeout.ms", "5000")], None),
        ] {
            let fault = producer_fault(&properties(written), 1024);
            assert_eq!(fault.and_then(|fault| fault.property).as_deref(), property, "{written:?}");
        }
    }

    #[test]
    fn this_build_has_the_mechanisms_that_are_offered() {
        for mechanism in MECHANISMS {
            assert_eq!(fault("sasl.mechanism", Some(mechanism)), None);
        }
        for mechanism in ["GSSAPI", "oauthbearer", "hunter2"] {
            let fault = fault("sasl.mechanisms", Some(mechanism)).expect(mechanism);
            assert!(fault.contains("PLAIN") && !fault.contains("hunter2"), "{fault}");
        }
    }
}
