//! How each of Landfall's Kafka clients is configured: what Landfall fixes, over what the configuration
//! says, over Landfall's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::group::MemberSettings;
use super::{log_lines, properties};
use crate::record;

/// Bytes of a batch per partition, unless the configuration or a topic's limit says less.
pub(crate) const BATCH_SIZE: u32 = 256 * 1024;
/// Room in librdkafka's own queue: the lane's share of memory is the real bound, and comes first.
const QUEUE_MAX_KBYTES: u32 = 2_000_000;
/// A Kafka that comes back is found within this, in milliseconds: devices give up at 30 s.
const RECONNECT_MAX_MS: &str = "500";
const SOCKET_TIMEOUT: &str = "socket.timeout.ms";
/// What every client has unless the configuration says something else. What gets no answer for so long is as
/// good as gone: dropped packets show within it, and not after the minute that librdkafka has.
const DEFAULTS: [(&str, &str); 4] = [
    ("reconnect.backoff.max.ms", RECONNECT_MAX_MS),
    (SOCKET_TIMEOUT, "10000"),
    ("socket.connection.setup.timeout.ms", "5000"),
    // New partitions are known soon after the broker has them.
    ("topic.metadata.refresh.interval.ms", "5000"),
];
/// How long a partition's batch gathers, which is what `linger.ms` says of a producer.
const LINGER_MS: &str = "5";
/// How long librdkafka gathers the batch that a lane hands over, so that handing it over can end. Nothing joins a batch
/// that is handed over, so this part of the wait is lost to it.
const HAND_OVER: Duration = Duration::from_micros(500);
/// What a producer has besides.
const DEFAULTS_OF_PRODUCERS: [(&str, &str); 4] = [
    ("linger.ms", LINGER_MS),
    ("compression.type", "none"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
];
/// How often librdkafka tells its statistics: they grow with partitions, and nothing waits for them.
const STATISTICS_INTERVAL_MS: &str = "2000";

/// What a producer has where the configuration does not say it.
pub(super) fn defaults_of_producers<'a>() -> impl Iterator<Item = (&'a str, &'a str)> {
    DEFAULTS.into_iter().chain(DEFAULTS_OF_PRODUCERS)
}

/// What is configured of a producer under any of a property's names.
pub(crate) fn number(properties: &BTreeMap<String, String>, name: &str) -> Option<f64> {
    let mut all = properties::canonical_all(properties);
    let (_, text) = all.find(|(known, _)| *known == properties::canonical(name))?;
    text.trim().parse().ok()
}

/// How long a lane gathers a batch: as long as is configured, with librdkafka's part.
pub(crate) fn gathers(properties: &BTreeMap<String, String>) -> Duration {
    let default = || LINGER_MS.parse().expect("it is a number");
    let linger_ms = number(properties, "linger.ms").unwrap_or_else(default);
    Duration::from_secs_f64(linger_ms.max(0.0) / 1e3).saturating_sub(HAND_OVER)
}

/// A lane's producer.
pub(crate) fn producer(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    inline_size: u32,
    batch_size: u32,
) -> ClientConfig {
    let max_bytes = record::max_bytes(inline_size).max(1_000_000).to_string();
    let hand_over = (HAND_OVER.as_secs_f64() * 1e3).to_string();
    let (batch_size, queue_max) = (batch_size.to_string(), QUEUE_MAX_KBYTES.to_string());
    let written = properties::canonical_all(properties).find(|(name, _)| *name == "debug");
    let debug = match written.filter(|(_, written)| !written.trim().is_empty()) {
        Some((_, written)) => format!("{written},{}", log_lines::DEBUG),
        None => log_lines::DEBUG.to_owned(),
    };
    let max_bytes = ("message.max.bytes", max_bytes.as_str());
    let fixed = [
        ("bootstrap.servers", bootstrap_servers),
        ("batch.size", &batch_size),
        ("linger.ms", &hand_over),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        // A batch that fails is a fatal error. Otherwise librdkafka renumbers what comes after it and
        // sends that on, ahead of what the lane sends again.
        ("enable.gapless.guarantee", "true"),
        ("message.timeout.ms", "0"),
        ("allow.auto.create.topics", "false"),
        ("queue.buffering.max.messages", "0"),
        ("queue.buffering.max.kbytes", &queue_max),
        ("statistics.interval.ms", STATISTICS_INTERVAL_MS),
        ("debug", &debug),
    ];
    let own = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut config = ClientConfig::new();
    // Under one name each: librdkafka would set what has two names twice, in any order.
    for (name, value) in defaults_of_producers().chain([max_bytes]).chain(own).chain(fixed) {
        config.set(properties::canonical(name), value);
    }
    let request_timeout = properties::canonical("request.timeout.ms");
    if config.get(request_timeout).is_none()
        && let Some(Ok(ms)) = config.get(SOCKET_TIMEOUT).map(str::parse::<u64>)
    {
        // A broker that waits for its replicas says so before its connection is given up.
        config.set(request_timeout, (ms * 4 / 5).to_string());
    }
    config.set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// Who looks after the lanes' topics.
pub(super) fn admin(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS.into_iter().chain(properties::without_producers(properties)) {
        config.set(properties::canonical(name), value);
    }
    config
        .set(properties::canonical("bootstrap.servers"), bootstrap_servers)
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Critical);
    config
}

/// Who reads records, under this name.
pub(super) fn consumer(
    name: &str,
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
) -> ClientConfig {
    let mut config = reader(bootstrap_servers, properties, &[("client.id", name)]);
    config.set("group.id", name);
    config.set_log_level(RDKafkaLogLevel::Critical);
    config
}

/// A member of a group that shares a topic's partitions out.
pub(super) fn member(settings: &MemberSettings<'_>) -> ClientConfig {
    let queue_kbytes = (settings.queue_bytes / 1024).max(1).to_string();
    let mut defaults = vec![
        ("client.id", settings.client_id),
        // With a second, as librdkafka has it, whoever had a full queue reads on a second later.
        ("fetch.queue.backoff.ms", "10"),
    ];
    let protocol = settings.properties.get("group.protocol");
    if protocol.is_none_or(|protocol| protocol == "classic") {
        // Who stays goes on reading what stays with him.
        defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
    }
    let mut config = reader(settings.bootstrap_servers, settings.properties, &defaults);
    config.set("group.id", settings.group);
    config.set("queued.max.messages.kbytes", queue_kbytes);
    config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    // Committed only where it is told, and never what it merely polled.
    config.set("enable.auto.offset.store", "false");
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// What all who read records have in common.
fn reader(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    defaults: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS.iter().chain(defaults) {
        config.set(properties::canonical(name), *value);
    }
    for (name, value) in properties::without_producers(properties) {
        // A consumer would hold it against limits of its own.
        if name != "message.max.bytes" {
            config.set(name, value);
        }
    }
    for (name, value) in [
        ("bootstrap.servers", bootstrap_servers),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "false"),
        ("allow.auto.create.topics", "false"),
        ("auto.offset.reset", "earliest"),
    ] {
        config.set(properties::canonical(name), value);
    }
    config
}
