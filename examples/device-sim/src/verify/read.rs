//! Reads the lanes' topics from their beginning to their end, and the objects that they refer to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, IdentityTrust, Reference};
use rdkafka::message::{BorrowedMessage, Message as _};
use sha2::{Digest as _, Sha256};

use super::judge::{Facts, Found, Observed};
use super::reader::Reader;
use super::source::Source;
use crate::device::hex;
use crate::payload::{HEAD_MAX_BYTES, whose};

/// The largest message that a gateway takes.
const OBJECT_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// How long an object may send nothing.
const OBJECT_WAIT: Duration = Duration::from_secs(30);

/// The raw records of a run, as far as they were read.
pub struct Raw<'a> {
    source: &'a Source,
    run: &'a str,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
    observed: Vec<Observed>,
}

impl<'a> Raw<'a> {
    /// Reads only what was written since a time, if there is one.
    pub fn open(
        source: &'a Source,
        run: &'a str,
        since_ms: Option<i64>,
    ) -> anyhow::Result<Raw<'a>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the threads cannot be started")?;
        let reader = Reader::open(source, &source.topics, "--topics", since_ms)?;
        Ok(Raw { source, run, reader, runtime, observed: Vec::new() })
    }

    /// Reads what there is now, and returns what of it is of the run; of each partition in order.
    pub fn catch_up(&mut self) -> anyhow::Result<&[Observed]> {
        let Raw { source, run, reader, runtime, observed } = self;
        let had = observed.len();
        let ends = reader.ends()?;
        reader.read_to(ends, &mut |message: &BorrowedMessage<'_>| {
            observed.extend(observe(message, source, run, runtime)?);
            Ok(())
        })?;
        Ok(&observed[had..])
    }

    /// All that was read, by topic, partition and offset.
    pub fn all(mut self) -> Vec<Observed> {
        self.observed.sort_by_cached_key(Observed::place);
        self.observed
    }
}

/// What the record is, if it is of this run.
fn observe(
    message: &BorrowedMessage<'_>,
    source: &Source,
    run: &str,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<Observed>> {
    let value = message.payload().unwrap_or_default();
    // A topic may have other writers, and other formats later.
    let Ok(envelope) = Envelope::decode(value) else { return Ok(None) };
    let inline = matches!(envelope.payload, Some(Payload::Inline(_)));
    let dead = !envelope.dead_letter_reason.is_empty();
    let facts = facts(&envelope, value);
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
    let (device, sequence) = match whose(&start) {
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
        facts: facts.map(Arc::new),
    }))
}

/// What everything that is made of the record has to say of it; none where its id is none.
fn facts(envelope: &Envelope, value: &[u8]) -> Option<Facts> {
    Some(Facts {
        message_id: envelope.message_id[..].try_into().ok()?,
        device_id: envelope.device_id.clone(),
        verified: envelope.device_id_trust() == IdentityTrust::Verified,
        device_type: envelope.device_type.clone(),
        firmware_version: envelope.firmware_version.clone(),
        group: envelope.group.clone(),
        lane: envelope.lane.clone(),
        topic: envelope.source_topic.clone(),
        received_ms: envelope.received_ms,
        event_ms: (envelope.event_start_ms, envelope.event_end_ms),
        size: envelope.payload_size,
        value_sha256: Sha256::digest(value).into(),
    })
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
