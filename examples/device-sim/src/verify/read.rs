//! Reads the lanes' topics from their beginning to their end, and the objects that they refer to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, Reference};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sha2::{Digest as _, Sha256};

use super::judge::{Found, Observed};
use super::source::Source;
use crate::device::hex;
use crate::fleet::{self, HEAD_MAX_BYTES};

/// How long Kafka may take to answer a question.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// How far the gateway's clock, which records have, may be behind the simulator's.
const CLOCKS_APART_MS: i64 = 10 * 60 * 1000;
/// How long no record may come although there are more.
const RECORD_WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// The largest message that a gateway takes.
const OBJECT_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// How long an object may send nothing.
const OBJECT_WAIT: Duration = Duration::from_secs(30);

/// The records of a run, by topic, partition and offset; only those since a time, if there is one.
pub fn read(source: &Source, run: &str, since_ms: Option<i64>) -> anyhow::Result<Vec<Observed>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let mut config = ClientConfig::new();
    config.set("group.id", "device-sim-verify").set("log_level", "2");
    for (name, value) in &source.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &source.bootstrap_servers).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().context("the Kafka client cannot be made")?;
    let mut ends = ends(&consumer, source)?;
    let begins = begins(&consumer, &ends, since_ms)?;
    // What is not there has no record since that time.
    ends.retain(|(topic, partition), _| begins.find_partition(topic, *partition).is_some());
    consumer.assign(&begins)?;
    let mut observed = Vec::new();
    let mut last = Instant::now();
    while !ends.is_empty() {
        let message = match consumer.poll(LOOK) {
            Some(Ok(message)) => message,
            // What goes on and what does not is told apart by whether records come.
            Some(Err(error)) if last.elapsed() >= RECORD_WAIT => {
                return Err(error).context("Kafka cannot be read");
            }
            Some(Err(_)) | None => {
                let places: Vec<String> =
                    ends.keys().map(|(topic, partition)| format!("{topic}[{partition}]")).collect();
                anyhow::ensure!(
                    last.elapsed() < RECORD_WAIT,
                    "no record came for {} s although there are more in {}: is Kafka well?",
                    RECORD_WAIT.as_secs(),
                    places.join(", ")
                );
                continue;
            }
        };
        last = Instant::now();
        let place = (message.topic().to_owned(), message.partition());
        if let Some(record) = observe(&message, source, run, &runtime)? {
            observed.push(record);
        }
        if ends.get(&place).is_some_and(|end| message.offset() + 1 >= *end) {
            ends.remove(&place);
        }
    }
    observed.sort_by(|one, other| {
        (&one.topic, one.partition, one.offset).cmp(&(&other.topic, other.partition, other.offset))
    });
    Ok(observed)
}

/// The end offset of each partition that has records.
fn ends(consumer: &BaseConsumer, source: &Source) -> anyhow::Result<BTreeMap<(String, i32), i64>> {
    let mut ends = BTreeMap::new();
    for topic in &source.topics {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WAIT).with_context(|| {
            format!("Kafka at {} does not answer: is it there?", source.bootstrap_servers)
        })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.filter(|found| found.error().is_none());
        let partitions = partitions.filter(|found| !found.partitions().is_empty());
        let partitions = partitions.with_context(|| {
            format!(
                "the topic {topic} does not exist: name the lanes' topics with --topics or --config"
            )
        })?;
        for partition in partitions.partitions() {
            let id = partition.id();
            let (low, high) = consumer
                .fetch_watermarks(topic, id, ANSWER_WAIT)
                .with_context(|| format!("the end of {topic}[{id}] cannot be read"))?;
            if high > low {
                ends.insert((topic.clone(), id), high);
            }
        }
    }
    Ok(ends)
}

/// Where to begin in each of these partitions.
fn begins(
    consumer: &BaseConsumer,
    ends: &BTreeMap<(String, i32), i64>,
    since_ms: Option<i64>,
) -> anyhow::Result<TopicPartitionList> {
    let begin = match since_ms {
        Some(since_ms) => Offset::Offset((since_ms - CLOCKS_APART_MS).max(0)),
        None => Offset::Beginning,
    };
    let mut begins = TopicPartitionList::new();
    for (topic, partition) in ends.keys() {
        begins.add_partition_offset(topic, *partition, begin)?;
    }
    if since_ms.is_none() || ends.is_empty() {
        return Ok(begins);
    }
    let found = consumer
        .offsets_for_times(begins, ANSWER_WAIT)
        .context("Kafka does not say where the run began: leave --since-start out")?;
    let mut begins = TopicPartitionList::new();
    for place in found.elements() {
        place.error().with_context(|| format!("where the run began in {}", place.topic()))?;
        // The end: nothing was written since then.
        if let Offset::Offset(_) = place.offset() {
            begins.add_partition_offset(place.topic(), place.partition(), place.offset())?;
        }
    }
    Ok(begins)
}

/// What the record is, if it is of this run.
fn observe(
    message: &rdkafka::message::BorrowedMessage<'_>,
    source: &Source,
    run: &str,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<Observed>> {
    let value = message.payload().unwrap_or_default();
    // A topic may have other writers, and other formats later.
    let Ok(envelope) = Envelope::decode(value) else { return Ok(None) };
    let inline = matches!(envelope.payload, Some(Payload::Inline(_)));
    let dead = !envelope.dead_letter_reason.is_empty();
    let (start, payload) = match envelope.payload {
        Some(Payload::Inline(payload)) => {
            let found =
                Found::Bytes { size: payload.len() as u64, sha256: hex(&Sha256::digest(&payload)) };
            (payload[..payload.len().min(HEAD_MAX_BYTES)].to_vec(), found)
        }
        Some(Payload::Reference(reference)) => match runtime.block_on(object(source, &reference)) {
            Ok(Object { start, size, sha256 }) => {
                let found = if size == reference.size && sha256[..] == reference.sha256[..] {
                    Found::Bytes { size, sha256: hex(&sha256) }
                } else {
                    Found::Broken(format!("{} is not what its record says", reference.uri))
                };
                (start, found)
            }
            Err(error) => (Vec::new(), Found::Broken(format!("{error:#}"))),
        },
        None => return Ok(None),
    };
    let (device, sequence) = match fleet::whose(&start) {
        Some((of, device, sequence)) if of == run => (device, sequence),
        Some(_) => return Ok(None),
        // An object that cannot be read: its envelope says at least whose it may be.
        None => match sequence_of(&envelope.user_properties) {
            Some(sequence) if matches!(payload, Found::Broken(_)) => (envelope.device_id, sequence),
            _ if matches!(payload, Found::Broken(_)) => (envelope.device_id, 0),
            _ => return Ok(None),
        },
    };
    Ok(Some(Observed {
        device,
        sequence,
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        dead,
        inline,
        payload,
    }))
}

/// The number that MQTT 5 devices send beside the payload.
fn sequence_of(properties: &[proto::v1::UserProperty]) -> Option<u64> {
    properties.iter().find(|property| property.name == "message-id")?.value.parse().ok()
}

/// An object as it was read.
struct Object {
    start: Vec<u8>,
    size: u64,
    sha256: Vec<u8>,
}

/// Reads the object piece by piece; it may be larger than memory.
async fn object(source: &Source, reference: &Reference) -> anyhow::Result<Object> {
    let objects = source.objects.as_ref().with_context(|| {
        format!("{} cannot be read without a store: name it with --object-store", reference.uri)
    })?;
    let path = objects.path(&reference.uri)?;
    let cannot = || format!("{} cannot be read", reference.uri);
    objects.stays_inside(&path).with_context(cannot)?;
    let found = objects.store().get(&path).await.with_context(cannot)?;
    let larger = found.meta.size > OBJECT_MAX_BYTES;
    anyhow::ensure!(!larger, "{} is larger than any message of Landfall", reference.uri);
    if found.meta.size != reference.size {
        return Ok(Object { start: Vec::new(), size: found.meta.size, sha256: Vec::new() });
    }
    let mut stream = found.into_stream();
    let (mut start, mut size, mut hasher) = (Vec::new(), 0, Sha256::new());
    while let Some(chunk) =
        tokio::time::timeout(OBJECT_WAIT, stream.next()).await.with_context(cannot)?
    {
        let chunk = chunk.with_context(cannot)?;
        let missing = HEAD_MAX_BYTES.saturating_sub(start.len());
        start.extend_from_slice(&chunk[..chunk.len().min(missing)]);
        size += chunk.len() as u64;
        hasher.update(&chunk);
    }
    Ok(Object { start, size, sha256: hasher.finalize().to_vec() })
}
