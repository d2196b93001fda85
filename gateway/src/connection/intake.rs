//! Takes received bytes apart into packets and does what each asks for: publishes go to the bridge
//! or into an upload, the rest is answered.

use std::sync::Arc;

use bridge::message::{Message, Payload};
use bridge::text::escape;
use bridge::uplink::{Inline, Large};
use bridge::{Carriage, Full, LaneId, Passage, Upload};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Block, Clock, Close, Connection, FREE_PARTIAL_BYTES, OUT_SOFT_BYTES, ROOM_RECHECK, Refusal,
    Shared,
};
use crate::local::{ClientKey, SubscribeError};
use crate::mqtt::{
    self, FixedHeader, Packet, PacketType, PublishHead, Subscribe, Unsubscribe, Version, encode,
    reason,
};
use crate::session::{Admission, Publish, Released};

/// Filters of one SUBSCRIBE or UNSUBSCRIBE: more than a client may hold, and an answer that fits beside
/// what waits to be sent.
const FILTERS_MAX: usize = 500;

/// What the next bytes are.
pub(super) enum Intake {
    Packets,
    /// The payload of a large message, which goes to the object store.
    Upload(Box<Arriving>),
    /// A payload that is not kept.
    Skip {
        left: u64,
        size: u64,
    },
    /// The payload of a large message sent again, of which only the hash is wanted.
    Rejoin(Box<Rejoining>),
}

pub(super) struct Arriving {
    upload: Upload,
    /// None for QoS 0.
    publish: Option<Publish>,
    topic_hash: u128,
    size: u64,
}

pub(super) struct Rejoining {
    publish: Publish,
    /// The fingerprint of the message whose packet id it has; its outcome may come meanwhile.
    first: u128,
    topic_hash: u128,
    hasher: Sha256,
    left: u64,
    size: u64,
}

impl Intake {
    /// Size of the payload that arrives in pieces.
    pub fn streaming_bytes(&self) -> Option<u64> {
        match self {
            Intake::Packets => None,
            Intake::Upload(arriving) => Some(arriving.size),
            Intake::Skip { size, .. } => Some(*size),
            Intake::Rejoin(rejoining) => Some(rejoining.size),
        }
    }
}

/// A PUBLISH whose head is decoded and whose way is decided.
#[derive(Clone, Copy)]
struct Publishing<'a> {
    shared: &'a Shared,
    header: &'a FixedHeader,
    head: &'a PublishHead<'a>,
    lane: LaneId,
}

/// What became of the bytes at hand.
enum Step {
    /// This many were taken.
    Taken(usize),
    /// The packet at hand needs this many in all.
    Needs(usize),
    /// The connection is blocked: nothing was taken.
    Blocked,
}

impl Connection {
    /// Takes what it can of `data` and says how many bytes that was. What is left is an incomplete
    /// packet, or what back-pressure holds; `self.block` tells which.
    pub(super) fn take_in(&mut self, data: &[u8], clock: &Clock) -> Result<usize, Close> {
        let shared = Arc::clone(&self.shared);
        let mut taken = 0;
        self.needed = 1;
        while taken < data.len() && self.block.is_none() {
            if self.out.len() >= OUT_SOFT_BYTES {
                self.block = Some((Block::Unsent, clock.now));
                break;
            }
            let rest = &data[taken..];
            let step = match &mut self.intake {
                Intake::Packets => self.take_packet(&shared, rest, clock)?,
                Intake::Upload(_) => self.take_upload(rest, clock)?,
                Intake::Skip { left, .. } => {
                    let skipped = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.intake = Intake::Packets;
                        self.deadlines.packet_received(clock.now);
                    }
                    Step::Taken(skipped)
                }
                Intake::Rejoin(_) => self.take_rejoin(rest, clock)?,
            };
            match step {
                Step::Taken(bytes) => taken += bytes,
                Step::Needs(bytes) => {
                    self.needed = bytes;
                    break;
                }
                Step::Blocked => break,
            }
        }
        Ok(taken)
    }

    fn take_packet(&mut self, shared: &Shared, data: &[u8], clock: &Clock) -> Result<Step, Close> {
        let Some(header) = mqtt::fixed_header(data)? else {
            return Ok(Step::Needs(data.len() + 1));
        };
        let size = header.packet_size() as usize;
        if header.packet_size() > self.edge.limits.message_size {
            self.edge.bridge.refuse(None, bridge::Refusal::TooLarge);
            self.log_too_large(header.packet_size());
            return Err(Close::TooLarge);
        }
        let body = &data[usize::from(header.len)..];
        let step = if header.kind == PacketType::Publish {
            self.take_publish(shared, &header, body, clock)?
        } else if data.len() < size {
            header.check(self.version)?;
            self.reserve(None, size, clock)
        } else {
            let body = &body[..header.remaining as usize];
            let packet = mqtt::packet(self.version, &header, body)?;
            self.answer(packet)?;
            Step::Taken(size)
        };
        if matches!(step, Step::Taken(_)) {
            self.reservation = None;
            self.deadlines.packet_received(clock.now);
        }
        Ok(step)
    }

    /// Makes sure that there is room for a packet of `size` bytes while it arrives.
    fn reserve(&mut self, lane: Option<LaneId>, size: usize, clock: &Clock) -> Step {
        if size > FREE_PARTIAL_BYTES && !self.has_reserved(lane) {
            match self.edge.bridge.reserve(lane, size as u64) {
                // Only now the head's own room is given back, if it had some.
                Ok(reservation) => self.reservation = Some((lane, reservation)),
                Err(full) => return self.wait_for_room(full, clock),
            }
        }
        Step::Needs(size)
    }

    fn has_reserved(&self, lane: Option<LaneId>) -> bool {
        self.reservation.as_ref().is_some_and(|(reserved, _)| *reserved == lane)
    }

    fn wait_for_room(&mut self, full: Full, clock: &Clock) -> Step {
        let recheck_at = clock.now + ROOM_RECHECK;
        self.block = Some((Block::Room { full, recheck_at }, clock.now));
        Step::Blocked
    }

    fn wait_for_window(&mut self, packet_id: u16, clock: &Clock) -> Result<Step, Close> {
        if self.window.is_exceeded_by(packet_id) {
            return Err(Refusal::ReceiveMaximum.into());
        }
        self.block = Some((Block::Window, clock.now));
        Ok(Step::Blocked)
    }

    /// The window keeps as many messages as it may without asking, of which one has its outcome sooner
    /// or later, and there is no room for more.
    fn wait_for_place(&mut self, clock: &Clock) -> Result<Step, Close> {
        self.block = Some((Block::Window, clock.now));
        Ok(Step::Blocked)
    }

    fn take_publish(
        &mut self,
        shared: &Shared,
        header: &FixedHeader,
        body: &[u8],
        clock: &Clock,
    ) -> Result<Step, Close> {
        let Some(head) = mqtt::publish_head(self.version, header, body)? else {
            let at_hand = usize::from(header.len) + body.len();
            if at_hand < FREE_PARTIAL_BYTES {
                return Ok(Step::Needs(at_hand + 1));
            }
            let head_max = mqtt::publish_head_bound(self.version, header, body);
            let head_max = usize::from(header.len) + head_max as usize;
            return Ok(match self.reserve(None, head_max, clock) {
                Step::Needs(_) => Step::Needs(at_hand + 1),
                step => step,
            });
        };
        if head.topic_alias.is_some() {
            return Err(Refusal::TopicAlias.into());
        }
        if head.retain && self.version == Version::V5 {
            return Err(Refusal::Retain.into());
        }
        let size = u64::from(header.remaining - head.head_len);
        let whole = body.get(head.head_len as usize..header.remaining as usize);
        // Most publishes have none, and an empty vector is no allocation.
        let properties: Vec<(&str, &str)> = head.user_properties.iter().collect();
        let message = Message {
            device: &shared.device,
            topic: head.topic,
            payload: whole.map_or(Payload::Streamed { size }, Payload::Inline),
            qos: head.qos,
            dup: head.dup,
            retain: head.retain,
            packet_id: head.packet_id,
            received_ms: clock.unix_ms,
            content_type: head.content_type,
            properties: &properties,
        };
        let decided = shared.edge.bridge.decide(&message);
        let lane = decided.lane();
        let publishing = Publishing { shared, header, head: &head, lane };
        match decided.passage() {
            Passage::Inline(inline) => self.take_inline(&publishing, &inline, clock),
            Passage::Large(large) => self.begin_large(&publishing, size, &large, clock),
            Passage::Refused(refusal) => Ok(self.skip(&publishing, refusal)),
            Passage::Arriving => {
                let step = self.reserve(Some(lane), header.packet_size() as usize, clock);
                Ok(match step {
                    Step::Blocked if head.qos == 0 => self.skip(&publishing, bridge::Refusal::Shed),
                    step => step,
                })
            }
        }
    }

    /// A PUBLISH that is whole and small enough to travel in its record.
    fn take_inline(
        &mut self,
        publishing: &Publishing<'_>,
        inline: &Inline<'_>,
        clock: &Clock,
    ) -> Result<Step, Close> {
        let Publishing { shared, header, head, lane } = *publishing;
        let edge = &shared.edge;
        let size = header.packet_size() as usize;
        if head.qos == 0 {
            let reserved = self.reservation.as_ref().map(|(_, reservation)| reservation);
            match inline.submit(reserved, clock.now, || None) {
                Ok(()) => fan_out(shared, head.topic, inline.payload()),
                Err(_) => edge.bridge.refuse(Some(lane), bridge::Refusal::Shed),
            }
            return Ok(Step::Taken(size));
        }
        let publish = Publish {
            packet_id: head.packet_id,
            qos: head.qos,
            dup: head.dup,
            fingerprint: inline.fingerprint(),
            bytes: inline.payload().len() as u32,
            group: group(lane, Carriage::Inline),
            received_us: edge.micros(clock.now),
        };
        match self.window.admit(&publish) {
            Admission::New if self.may_open() => {}
            Admission::New => return self.wait_for_place(clock),
            Admission::Full => return self.wait_for_window(publish.packet_id, clock),
            known => return self.known_again(known, &publish, size),
        }
        let reserved = self.reservation.as_ref().map(|(_, reservation)| reservation);
        let (window, mailbox) = (&mut self.window, &self.mailbox);
        let open = || Some((Arc::clone(mailbox), window.open(publish)));
        match inline.submit(reserved, clock.now, open) {
            Ok(()) => {
                fan_out(shared, head.topic, inline.payload());
                Ok(Step::Taken(size))
            }
            Err(full) => Ok(self.wait_for_room(full, clock)),
        }
    }

    /// A packet id that is in use came again.
    fn known_again(
        &mut self,
        admission: Admission,
        publish: &Publish,
        size: usize,
    ) -> Result<Step, Close> {
        match admission {
            // Its acknowledgement comes, or came, with the first one's.
            Admission::Joined => {
                self.window.join(publish)?;
                Ok(Step::Taken(size))
            }
            Admission::Received => {
                Close::unless(encode::pubrec(
                    &mut self.out,
                    self.version,
                    publish.packet_id,
                    reason::SUCCESS,
                    self.client_packet_max,
                ))?;
                Ok(Step::Taken(size))
            }
            Admission::New | Admission::Full | Admission::PacketIdInUse => {
                Err(Refusal::PacketIdInUse.into())
            }
        }
    }

    /// Drops a QoS 0 message that nothing takes: what is here of it, and what comes.
    fn skip(&mut self, publishing: &Publishing<'_>, refusal: bridge::Refusal) -> Step {
        let Publishing { header, head, lane, .. } = *publishing;
        self.block = None;
        self.edge.bridge.refuse(Some(lane), refusal);
        let size = u64::from(header.remaining - head.head_len);
        self.intake = Intake::Skip { left: size, size };
        Step::Taken(usize::from(header.len) + head.head_len as usize)
    }

    /// A PUBLISH whose payload is too large for its lane: its head is taken here.
    fn begin_large(
        &mut self,
        publishing: &Publishing<'_>,
        size: u64,
        large: &Large<'_>,
        clock: &Clock,
    ) -> Result<Step, Close> {
        let Publishing { header, head, lane, .. } = *publishing;
        let taken = Step::Taken(usize::from(header.len) + head.head_len as usize);
        let topic_hash = xxh3_128(head.topic.as_bytes());
        let publish = (head.qos > 0).then(|| Publish {
            packet_id: head.packet_id,
            qos: head.qos,
            dup: head.dup,
            fingerprint: 0,
            // Its memory is the part that the upload took from the lane's share.
            bytes: 0,
            group: group(lane, Carriage::Large),
            received_us: self.edge.micros(clock.now),
        });
        if let Some(publish) = publish {
            // At QoS 2 only its last byte tells whether it is a resend, so it is uploaded until then.
            if head.qos == 1
                && let Some(first) = self.window.fingerprint_of(publish.packet_id)
            {
                if !head.dup {
                    return self.known_again(Admission::PacketIdInUse, &publish, 0);
                }
                self.intake = Intake::Rejoin(Box::new(Rejoining {
                    publish,
                    first,
                    topic_hash,
                    hasher: Sha256::new(),
                    left: size,
                    size,
                }));
                return Ok(taken);
            }
            match self.window.admit(&publish) {
                Admission::PacketIdInUse => {
                    return self.known_again(Admission::PacketIdInUse, &publish, 0);
                }
                Admission::Full => return self.wait_for_window(publish.packet_id, clock),
                _ => {}
            }
        }
        match large.begin(Some(&self.mailbox)) {
            Ok(upload) => {
                self.intake =
                    Intake::Upload(Box::new(Arriving { upload, publish, topic_hash, size }));
                Ok(taken)
            }
            Err(_) if head.qos == 0 => Ok(self.skip(publishing, bridge::Refusal::Shed)),
            Err(full) => Ok(self.wait_for_room(full, clock)),
        }
    }

    fn take_upload(&mut self, data: &[u8], clock: &Clock) -> Result<Step, Close> {
        let Intake::Upload(arriving) = &mut self.intake else { return Ok(Step::Taken(0)) };
        let taken = arriving.upload.push(data).map_err(|_| Close::StoreFailed)?;
        if !arriving.upload.is_whole() {
            if taken == 0 {
                self.block = Some((Block::Upload, clock.now));
                return Ok(Step::Blocked);
            }
            return Ok(Step::Taken(taken));
        }
        let Intake::Upload(arriving) = std::mem::replace(&mut self.intake, Intake::Packets) else {
            return Ok(Step::Taken(taken));
        };
        let Arriving { upload, publish, topic_hash, .. } = *arriving;
        match publish {
            None => upload.finish(None),
            Some(mut publish) => {
                publish.fingerprint = upload.fingerprint() ^ topic_hash;
                let admission = self.window.admit(&publish);
                if matches!(admission, Admission::Joined | Admission::Received) {
                    // Dropped here, it leaves nothing behind.
                    drop(upload);
                    self.deadlines.packet_received(clock.now);
                    return self.known_again(admission, &publish, taken);
                }
                let slot = self.window.open(publish);
                upload.finish(Some((Arc::clone(&self.mailbox), slot)));
            }
        }
        self.deadlines.packet_received(clock.now);
        Ok(Step::Taken(taken))
    }

    fn take_rejoin(&mut self, data: &[u8], clock: &Clock) -> Result<Step, Close> {
        let Intake::Rejoin(rejoining) = &mut self.intake else { return Ok(Step::Taken(0)) };
        let taken = data.len().min(usize::try_from(rejoining.left).unwrap_or(usize::MAX));
        rejoining.hasher.update(&data[..taken]);
        rejoining.left -= taken as u64;
        if rejoining.left > 0 {
            return Ok(Step::Taken(taken));
        }
        let Intake::Rejoin(rejoining) = std::mem::replace(&mut self.intake, Intake::Packets) else {
            return Ok(Step::Taken(taken));
        };
        let Rejoining { mut publish, first, topic_hash, hasher, .. } = *rejoining;
        publish.fingerprint = Upload::fingerprint_of(&hasher.finalize().into()) ^ topic_hash;
        self.deadlines.packet_received(clock.now);
        let admission = match self.window.admit(&publish) {
            _ if publish.fingerprint != first => Admission::PacketIdInUse,
            // The first one was acknowledged while this one came: that answered both.
            Admission::New | Admission::Full => Admission::Joined,
            admission => admission,
        };
        self.known_again(admission, &publish, taken)
    }

    /// Every packet but PUBLISH.
    fn answer(&mut self, packet: Packet<'_>) -> Result<(), Close> {
        match packet {
            Packet::PingReq => {
                Close::unless(encode::pingresp(&mut self.out, self.client_packet_max))?;
            }
            Packet::PubRel { packet_id, .. } => {
                let code = match self.window.release(packet_id)? {
                    Released::Done => reason::SUCCESS,
                    Released::Unknown => reason::PACKET_IDENTIFIER_NOT_FOUND,
                    Released::Later => return Ok(()),
                };
                let limit = self.client_packet_max;
                let out = &mut self.out;
                Close::unless(encode::pubcomp(out, self.version, packet_id, code, limit))?;
            }
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe)?,
            Packet::Disconnect { code, session_expiry } => {
                // The session ends with the connection, whatever it asked for (v5 3.14.2.2.2).
                if session_expiry.is_some_and(|seconds| seconds > 0) && !self.asked_for_session {
                    return Err(Refusal::SessionExpiry.into());
                }
                return Err(match code {
                    reason::SUCCESS => Close::Disconnected,
                    _ => Close::DisconnectedWithWill,
                });
            }
            // Nothing above QoS 0 is delivered, so there is nothing to acknowledge: stray answers
            // are left alone, as v3.1.1 clients may send them after a reconnect.
            Packet::PubAck { .. } | Packet::PubRec { .. } | Packet::PubComp { .. } => {}
            Packet::Auth(_) => {
                return Err(Refusal::Auth.into());
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), Close> {
        if subscribe.subscription_identifier.is_some() {
            return Err(Refusal::SubscriptionIdentifier.into());
        }
        let mut codes = Vec::new();
        for filter in subscribe.filters() {
            has_place(&codes)?;
            codes.push(if filter.shared {
                reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
            } else {
                self.subscribe_to(filter.filter, filter.no_local)
            });
        }
        let (out, limit) = (&mut self.out, self.client_packet_max);
        Close::unless(encode::suback(out, self.version, subscribe.packet_id, &codes, limit))
    }

    fn subscribe_to(&mut self, filter: &str, no_local: bool) -> u8 {
        let subscriber = self.subscriber.get_or_insert_with(|| {
            let mailbox = Arc::clone(&self.mailbox);
            let wake = move || mailbox.wake();
            let client = ClientKey::of(&self.shared.device.client_id);
            Box::new(self.edge.local.subscriber(client, wake))
        });
        match subscriber.subscribe(filter, no_local) {
            Ok(()) => reason::SUCCESS,
            Err(SubscribeError::FilterTooLong) => reason::TOPIC_FILTER_INVALID,
            Err(SubscribeError::TooManyForClient | SubscribeError::TooManyInAll) => {
                reason::QUOTA_EXCEEDED
            }
        }
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>) -> Result<(), Close> {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            has_place(&codes)?;
            let existed =
                self.subscriber.as_mut().is_some_and(|subscriber| subscriber.unsubscribe(filter));
            codes.push(if existed { reason::SUCCESS } else { reason::NO_SUBSCRIPTION_EXISTED });
        }
        let (out, limit) = (&mut self.out, self.client_packet_max);
        Close::unless(encode::unsuback(out, self.version, unsubscribe.packet_id, &codes, limit))
    }

    /// The one refusal that may lose a message: its device is named, at most once a second.
    fn log_too_large(&self, size: u32) {
        if self.edge.too_large_log.allows() {
            let client_id = escape(&self.shared.device.client_id);
            let limit = self.edge.limits.message_size;
            let (client_id, peer) = (client_id.as_str(), &self.shared.peer);
            let listener = &*peer.listener;
            tracing::warn!(
                client_id,
                listener,
                %peer,
                size,
                limit,
                "a packet is too large to be taken anywhere"
            );
        }
    }
}

/// The answer to a packet of many filters is bounded.
fn has_place(codes: &[u8]) -> Result<(), Close> {
    match codes.len() < FILTERS_MAX {
        true => Ok(()),
        false => Err(Refusal::TooManyFilters.into()),
    }
}

/// The window's group for a lane and class.
fn group(lane: LaneId, carriage: Carriage) -> u8 {
    2 * lane.place() + u8::from(carriage == Carriage::Large)
}

/// Hands a message to local subscribers, if there are any.
fn fan_out(shared: &Shared, topic: &str, payload: &[u8]) {
    let local = &shared.edge.local;
    if local.interested(topic) {
        local.publish(ClientKey::of(&shared.device.client_id), topic, payload);
    }
}
