//! Raw records as a gateway writes them, in numbers that no fleet of a test could publish: what a parse role
//! has to work off.

use std::path::Path;
use std::time::Duration;

use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, IdentityTrust, Reference};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sha2::{Digest as _, Sha256};

use crate::freshness::now_ms;

/// How long Kafka may take to take what is on its way.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one poll waits while the producer is full.
const POLL: Duration = Duration::from_millis(5);

/// Writes raw records to one topic.
pub struct RawWriter {
    producer: BaseProducer,
    topic: String,
    lane: &'static str,
    /// Devices, `bench-0` and so on, one after the other.
    devices: u64,
    written: u64,
}

impl RawWriter {
    #[track_caller]
    pub fn open(client: &ClientConfig, topic: &str, lane: &'static str, devices: u64) -> RawWriter {
        let mut config = client.clone();
        config.set("enable.idempotence", "true").set("linger.ms", "5");
        config.set("partitioner", "murmur2_random");
        config.set("queue.buffering.max.messages", "1000000");
        let producer = config.create().expect("a client needs no server");
        RawWriter { producer, topic: topic.to_owned(), lane, devices, written: 0 }
    }

    /// How many were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    #[track_caller]
    pub fn inline(&mut self, payload: Vec<u8>) {
        let size = payload.len() as u64;
        self.write(size, Payload::Inline(payload.into()));
    }

    #[track_caller]
    pub fn reference(&mut self, reference: Reference) {
        self.write(reference.size, Payload::Reference(reference));
    }

    #[track_caller]
    fn write(&mut self, payload_size: u64, payload: Payload) {
        let number = self.written;
        self.written += 1;
        let device_id = format!("bench-{}", number % self.devices);
        let message_id = u128::from(number) | (0x0198_0a2b_3c4d_7e8f_u128 << 64);
        let envelope = Envelope {
            message_id: message_id.to_be_bytes().to_vec(),
            dedupe_key: Sha256::digest(number.to_be_bytes())[..16].to_vec(),
            device_id_trust: IdentityTrust::Verified.into(),
            device_type: "meter".to_owned(),
            firmware_version: "4.2.0".to_owned(),
            group: "north".to_owned(),
            gateway_id: "gw-test".to_owned(),
            source_topic: format!("devices/meter/{device_id}/power"),
            lane: self.lane.to_owned(),
            qos: 1,
            received_ms: now_ms(),
            payload_size,
            device_id,
            payload: Some(payload),
            ..Envelope::default()
        };
        let value = envelope.encode_to_vec();
        let header = Header { key: "content-type", value: Some(proto::CONTENT_TYPE) };
        let mut record = BaseRecord::to(&self.topic)
            .key(&envelope.device_id)
            .payload(&value)
            .timestamp(envelope.received_ms)
            .headers(OwnedHeaders::new().insert(header));
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(error == is_full, "a raw record cannot be written: {error}");
            self.producer.poll(POLL);
            record = back;
        }
        if number.is_multiple_of(256) {
            self.poll();
        }
    }

    /// Has what was delivered told, so that there is room for more.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until Kafka has them all.
    #[track_caller]
    pub fn finish(&self) {
        self.producer.flush(PATIENCE).expect("Kafka takes the raw records");
    }
}

/// Puts an object where the store keeps it, and says what an envelope says of it.
pub fn object(file: &Path, uri: &str, payload: &[u8]) -> Reference {
    let folder = file.parent().expect("an object lies in a bucket");
    std::fs::create_dir_all(folder).expect("the bucket can be written");
    std::fs::write(file, payload).expect("the bucket can be written");
    Reference {
        uri: uri.to_owned(),
        size: payload.len() as u64,
        sha256: Sha256::digest(payload).to_vec(),
        ..Reference::default()
    }
}
