//! What a stranger asked for, what the gateway answered, and whether that is well-formed and true.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::record::RecordBuf;
use bridge::sink::memory::MemoryStore;
use gateway::mqtt::{self, PacketType, Version};
use prost::Message as _;
use proto::v1::Envelope;
use proto::v1::envelope::Payload;
use tests::mqtt as client;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use super::INLINE_SIZE;

/// What makes a stored message the one that was published: topic, QoS, size, and an inline payload.
type Identity = (String, u32, u64, Option<Vec<u8>>);

/// What the stranger asked for, as far as it is good packets; the gateway may have stopped earlier.
pub struct Asked {
    pub version: client::Version,
    publishes: Vec<(u16, u8, String, Vec<u8>)>,
    /// Packet ids of SUBSCRIBE, UNSUBSCRIBE and PUBREL.
    others: Vec<(PacketType, u16)>,
    pings: usize,
}

impl Asked {
    pub fn of(stream: &[u8]) -> Asked {
        let mut asked = Asked {
            version: client::Version::V311,
            publishes: Vec::new(),
            others: Vec::new(),
            pings: 0,
        };
        let mut version = Version::V311;
        let mut rest = stream;
        let mut first = true;
        while let Ok(Some(header)) = mqtt::fixed_header(rest) {
            let body = &rest[usize::from(header.len)..];
            if header.kind == PacketType::Connect {
                // A refused CONNECT is answered in its own version.
                let named = match mqtt::connect(&header, body) {
                    Ok(Some(connect)) => Some(connect.version),
                    Ok(None) => None,
                    Err(fault) => fault.version,
                };
                let Some(named) = named.filter(|_| first) else { break };
                version = named;
                asked.version = match named {
                    Version::V31 => client::Version::V31,
                    Version::V311 => client::Version::V311,
                    Version::V5 => client::Version::V5,
                };
            }
            first = false;
            let size = header.packet_size() as usize;
            let Some(body) = body.get(..header.remaining as usize) else { break };
            match header.kind {
                PacketType::Connect => {}
                PacketType::Publish => {
                    let Ok(Some(head)) = mqtt::publish_head(version, &header, body) else { break };
                    let payload = body[head.head_len as usize..].to_vec();
                    asked.publishes.push((head.packet_id, head.qos, head.topic.into(), payload));
                }
                PacketType::PingReq => asked.pings += 1,
                kind => {
                    let id = body.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                    asked.others.push((kind, id));
                }
            }
            rest = &rest[size..];
        }
        asked
    }

    fn subscribes(&self) -> bool {
        self.others.iter().any(|(kind, _)| *kind == PacketType::Subscribe)
    }

    fn has(&self, kind: PacketType, packet_id: u16) -> bool {
        self.others.contains(&(kind, packet_id))
    }
}

/// What the gateway sent.
pub struct Answers {
    version: client::Version,
    bytes: Vec<u8>,
    packets: Vec<client::Packet>,
    /// A session began.
    pub accepted: bool,
    /// The gateway closed the connection.
    pub ended: bool,
}

impl Answers {
    pub fn new(version: client::Version) -> Answers {
        let (bytes, packets) = (Vec::new(), Vec::new());
        Answers { version, bytes, packets, accepted: false, ended: false }
    }

    /// Reads what comes in time; false if nothing did.
    pub async fn read(&mut self, reading: &mut OwnedReadHalf, wait: Duration) -> bool {
        if self.ended {
            return false;
        }
        let mut buffer = [0; 4_096];
        match timeout(wait, reading.read(&mut buffer)).await {
            Err(_) => return false,
            Ok(Ok(0) | Err(_)) => {
                self.ended = true;
                return false;
            }
            Ok(Ok(count)) => self.bytes.extend_from_slice(&buffer[..count]),
        }
        while let Some((packet, size)) = client::decode::packet(self.version, &self.bytes) {
            self.bytes.drain(..size);
            self.take(packet);
        }
        true
    }

    /// The order of packets that every session has.
    fn take(&mut self, packet: client::Packet) {
        use client::Packet;
        let last = self.packets.last();
        assert!(!matches!(last, Some(Packet::Disconnect { .. })), "{packet:?} behind DISCONNECT");
        match &packet {
            Packet::Connack { code, session_present, .. } => {
                assert!(last.is_none(), "a second CONNACK");
                assert!(!session_present, "no session is kept");
                self.accepted = *code == 0;
            }
            _ => assert!(self.accepted, "{packet:?} without a session"),
        }
        if let Packet::Disconnect { .. } = packet {
            assert_eq!(self.version, client::Version::V5, "v3 servers have no DISCONNECT");
        }
        self.packets.push(packet);
    }

    /// Acknowledgements of messages.
    pub fn confirmed(&self) -> usize {
        use client::Packet;
        let confirms =
            |packet: &&Packet| matches!(packet, Packet::Puback { .. } | Packet::Pubrec { .. });
        self.packets.iter().filter(confirms).count()
    }

    /// Each packet answers something, and what it says of a message is true.
    pub fn check(&self, asked: &Asked, store: &MemoryStore) {
        use client::Packet;
        let mut acknowledged: BTreeMap<(u16, u8), usize> = BTreeMap::new();
        let mut received: BTreeMap<u16, usize> = BTreeMap::new();
        let mut pings = 0;
        for packet in &self.packets {
            match packet {
                Packet::Connack { .. } | Packet::Disconnect { .. } => {}
                Packet::Publish(publish) => {
                    assert_eq!((publish.qos, publish.dup), (0, false), "{publish:?}");
                    assert!(asked.subscribes(), "nobody subscribed to {publish:?}");
                }
                Packet::Puback { packet_id, .. } => {
                    *acknowledged.entry((*packet_id, 1)).or_default() += 1;
                }
                // A resend of what was received is answered again.
                Packet::Pubrec { packet_id, .. } => {
                    acknowledged.insert((*packet_id, 2), 1);
                    *received.entry(*packet_id).or_default() += 1;
                }
                Packet::Pubcomp { packet_id, .. } => {
                    assert!(asked.has(PacketType::PubRel, *packet_id), "{packet:?}");
                }
                Packet::Suback { packet_id, .. } => {
                    assert!(asked.has(PacketType::Subscribe, *packet_id), "{packet:?}");
                }
                Packet::Unsuback { packet_id, .. } => {
                    assert!(asked.has(PacketType::Unsubscribe, *packet_id), "{packet:?}");
                }
                Packet::Pingresp => pings += 1,
                Packet::Pubrel { .. } => panic!("the gateway publishes nothing at QoS 2"),
            }
        }
        assert!(pings <= asked.pings, "{pings} answers to {} pings", asked.pings);
        if acknowledged.is_empty() {
            return;
        }
        let mut stored: BTreeMap<Identity, usize> = BTreeMap::new();
        for record in store.stored() {
            let envelope = envelope(&record);
            let inline = match envelope.payload {
                Some(Payload::Inline(payload)) => Some(payload.to_vec()),
                _ => None,
            };
            let identity = (envelope.source_topic, envelope.qos, envelope.payload_size, inline);
            *stored.entry(identity).or_default() += 1;
        }
        for ((packet_id, qos), count) in acknowledged {
            let mut candidates: Vec<Identity> = Vec::new();
            let mut received_at_most = 0;
            for (id, own_qos, topic, payload) in &asked.publishes {
                let size = payload.len() as u64;
                let inline = (size <= INLINE_SIZE.into()).then(|| payload.clone());
                let identity = (topic.clone(), u32::from(*own_qos), size, inline);
                if (*id, *own_qos) != (packet_id, qos) {
                    continue;
                }
                received_at_most += usize::from(stored.contains_key(&identity));
                if !candidates.contains(&identity) {
                    candidates.push(identity);
                }
            }
            if qos == 2 {
                // Nothing is received because other content under its id was.
                let count = received[&packet_id];
                assert!(
                    count <= received_at_most,
                    "packet {packet_id} was received {count} times, and {received_at_most} of its publishes are stored"
                );
            }
            let durable: usize =
                candidates.iter().map(|identity| stored.get(identity).unwrap_or(&0)).sum();
            assert!(
                durable >= count,
                "packet {packet_id} of QoS {qos} was acknowledged {count} times and stored {durable} times"
            );
        }
    }
}

/// What a record of the sink says.
fn envelope(record: &RecordBuf) -> Envelope {
    Envelope::decode(record.as_record().value()).expect("what is stored is an envelope")
}
