//! A PUBLISH: where it belongs, whether it may come in now, and its way into a lane.

use bridge::message::{Message, Payload};
use bridge::uplink::Inline;
use bridge::{Carriage, LaneId, Passage};

use super::block::Block;
use super::inbound::{FREE_PARTIAL_BYTES, Intake};
use super::packets::{Packets, Step};
use super::{Close, Refusal, Shared};
use crate::access::Action;
use crate::access::OnDenied;
use crate::local::ClientKey;
use crate::mqtt::encode::Answer;
use crate::mqtt::{self, FixedHeader, PublishHead, Version, reason};
use crate::session::window::{Admission, Group, Publish};

/// A PUBLISH whose head is decoded and whose lane is known.
#[derive(Clone, Copy)]
pub(super) struct Publishing<'a> {
    pub header: &'a FixedHeader,
    pub head: &'a PublishHead<'a>,
    pub lane: LaneId,
}

impl Publishing<'_> {
    /// Bytes of the packet before its payload.
    pub fn head_bytes(&self) -> usize {
        usize::from(self.header.len) + self.head.head_len as usize
    }

    /// Bytes of its payload.
    pub fn payload_bytes(&self) -> u32 {
        self.header.remaining - self.head.head_len
    }

    /// As the window knows it.
    pub fn publish(
        &self,
        carriage: Carriage,
        fingerprint: u128,
        bytes: u32,
        received_us: u64,
    ) -> Publish {
        Publish {
            packet_id: self.head.packet_id,
            qos: self.head.qos,
            dup: self.head.dup,
            fingerprint,
            bytes,
            group: Group::of(self.lane, carriage),
            received_us,
        }
    }
}

impl Packets<'_> {
    pub(super) fn take_publish(
        &mut self,
        header: &FixedHeader,
        body: &[u8],
    ) -> Result<Step, Close> {
        let version = self.outbound.version();
        let Some(head) = mqtt::publish_head(version, header, body)? else {
            return Ok(self.await_head(header, body));
        };
        if head.topic_alias.is_some() {
            return Err(Refusal::TopicAlias.into());
        }
        if head.retain && version == Version::V5 {
            return Err(Refusal::Retain.into());
        }
        if !self.shared.may_publish(head.topic) {
            return self.deny(header, &head, body.len());
        }
        let size = u64::from(header.remaining - head.head_len);
        let whole = body.get(head.head_len as usize..header.remaining as usize);
        // Most publishes have none, and an empty vector is no allocation.
        let properties: Vec<(&str, &str)> = head.user_properties.iter().collect();
        let shared = self.shared;
        let message = Message {
            device: &shared.device,
            topic: head.topic,
            payload: whole.map_or(Payload::Streamed { size }, Payload::Inline),
            qos: head.qos,
            dup: head.dup,
            retain: head.retain,
            packet_id: head.packet_id,
            received_ms: self.clock.unix_ms,
            content_type: head.content_type,
            properties: &properties,
        };
        let decided = shared.edge.uplink.decide(&message);
        let lane = decided.lane();
        let publishing = Publishing { header, head: &head, lane };
        match decided.passage() {
            Passage::Inline(inline) => self.take_inline(&publishing, &inline),
            Passage::Large(large) => self.begin_large(&publishing, &large),
            Passage::Refused(refusal) => Ok(self.begin_skip(&publishing, refusal)),
            Passage::Arriving => {
                let size = header.packet_size() as usize;
                Ok(match self.inbound.make_room(&shared.edge.uplink, Some(lane), size) {
                    Ok(()) => Step::Needs(size),
                    Err(_) if head.qos == 0 => self.begin_skip(&publishing, bridge::Refusal::Shed),
                    Err(full) => Step::Blocked(Block::Room(full)),
                })
            }
        }
    }

    /// A head that is longer than what is free has its own room, until its lane is known.
    fn await_head(&mut self, header: &FixedHeader, body: &[u8]) -> Step {
        let at_hand = usize::from(header.len) + body.len();
        if at_hand >= FREE_PARTIAL_BYTES {
            let head_max = mqtt::publish_head_bound(self.outbound.version(), header, body);
            let head_max = usize::from(header.len) + head_max as usize;
            let room = self.inbound.make_room(&self.shared.edge.uplink, None, head_max);
            if let Err(full) = room {
                return Step::Blocked(Block::Room(full));
            }
        }
        Step::Needs(at_hand + 1)
    }

    /// A PUBLISH that is whole and small enough to travel in its record.
    fn take_inline(
        &mut self,
        publishing: &Publishing<'_>,
        inline: &Inline<'_>,
    ) -> Result<Step, Close> {
        let Publishing { header, head, lane } = *publishing;
        let (shared, now) = (self.shared, self.clock.now);
        let edge = &shared.edge;
        let size = header.packet_size() as usize;
        let reserved = self.inbound.room();
        if head.qos == 0 {
            match inline.submit(reserved, now, || None) {
                Ok(()) => fan_out(shared, head.topic, inline.payload()),
                Err(_) => edge.uplink.refuse(Some(lane), bridge::Refusal::Shed),
            }
            return Ok(Step::Taken(size));
        }
        let bytes = inline.payload().len() as u32;
        let received_us = edge.micros(now);
        let publish =
            publishing.publish(Carriage::Inline, inline.fingerprint(), bytes, received_us);
        match self.session.window.admit(&publish) {
            Admission::New if self.session.may_open(self.outbound.counted_bytes()) => {}
            // The window keeps as many messages as it may without asking, of which one has its outcome
            // sooner or later, and there is no room for more.
            Admission::New => return Ok(Step::Blocked(Block::Window)),
            Admission::Full => return self.wait_for_window(publish.packet_id),
            known => return self.known_again(known, &publish, size),
        }
        let open = || Some(self.session.open(publish));
        match inline.submit(reserved, now, open) {
            Ok(()) => {
                fan_out(shared, head.topic, inline.payload());
                Ok(Step::Taken(size))
            }
            Err(full) => Ok(Step::Blocked(Block::Room(full))),
        }
    }

    pub(super) fn wait_for_window(&self, packet_id: u16) -> Result<Step, Close> {
        match self.session.window.is_exceeded_by(packet_id) {
            true => Err(Refusal::ReceiveMaximum.into()),
            false => Ok(Step::Blocked(Block::Window)),
        }
    }

    /// A packet id that is in use came again.
    pub(super) fn known_again(
        &mut self,
        admission: Admission,
        publish: &Publish,
        size: usize,
    ) -> Result<Step, Close> {
        match admission {
            // Its acknowledgement comes, or came, with the first one's.
            Admission::Joined => self.session.window.join(publish)?,
            Admission::Received => self.outbound.pubrec_again(publish.packet_id)?,
            Admission::New | Admission::Full | Admission::PacketIdInUse => {
                return Err(Refusal::PacketIdInUse.into());
            }
        }
        Ok(Step::Taken(size))
    }

    /// Drops a QoS 0 message that nothing takes: what is here of it, and what comes.
    pub(super) fn begin_skip(
        &mut self,
        publishing: &Publishing<'_>,
        refusal: bridge::Refusal,
    ) -> Step {
        self.shared.edge.uplink.refuse(Some(publishing.lane), refusal);
        let size = publishing.payload_bytes();
        self.inbound.intake = Intake::Skip { left: size, size, denied: None };
        Step::Taken(publishing.head_bytes())
    }

    /// A PUBLISH that the client may not make: counted, and nothing of it is kept. Version 5 has a code for
    /// it. In version 3 an acknowledgement would be a lie, so the connection ends, and it comes back later.
    fn deny(
        &mut self,
        header: &FixedHeader,
        head: &PublishHead<'_>,
        body_bytes: usize,
    ) -> Result<Step, Close> {
        let Shared { edge, peer, .. } = self.shared;
        let closes =
            self.outbound.version() != Version::V5 || peer.entrance.on_denied == OnDenied::Close;
        let in_use = || self.session.window.fingerprint_of(head.packet_id).is_some();
        if !closes && head.qos > 0 && in_use() {
            return Err(Refusal::PacketIdInUse.into());
        }
        edge.uplink.refuse(None, bridge::Refusal::NotAuthorized);
        self.shared.denied(Action::Publish, head.topic);
        if closes {
            if let Some(access) = self.shared.access() {
                access.returns.ended(&self.shared.subject(), peer.ip(), self.clock.now);
            }
            return Err(Refusal::NotAuthorized.into());
        }
        let denied = Denied::new(head);
        if body_bytes >= header.remaining as usize {
            self.answer_denied(denied)?;
            return Ok(Step::Taken(header.packet_size() as usize));
        }
        let size = header.remaining - head.head_len;
        self.inbound.intake = Intake::Skip { left: size, size, denied };
        Ok(Step::Taken(usize::from(header.len) + head.head_len as usize))
    }

    fn answer_denied(&mut self, denied: Option<Denied>) -> Result<(), Close> {
        if let Some(Denied { answer, packet_id }) = denied {
            self.outbound.acknowledge(answer, packet_id, reason::NOT_AUTHORIZED)?;
        }
        Ok(())
    }

    /// Bytes of a payload that is not kept; behind the last one is the answer, where there is one.
    pub(super) fn skip(
        &mut self,
        left: u32,
        size: u32,
        denied: Option<Denied>,
        data: &[u8],
    ) -> Result<Step, Close> {
        let skipped = data.len().min(left as usize);
        match left - skipped as u32 {
            0 => {
                self.deadlines.packet_received(self.clock.now);
                self.answer_denied(denied)?;
            }
            left => self.inbound.intake = Intake::Skip { left, size, denied },
        }
        Ok(Step::Taken(skipped))
    }
}

/// What a PUBLISH that is not allowed is answered, once all of it was read.
#[derive(Clone, Copy)]
pub(super) struct Denied {
    answer: Answer,
    packet_id: u16,
}

impl Denied {
    /// None: at QoS 0 there is no answer.
    fn new(head: &PublishHead<'_>) -> Option<Denied> {
        let answer = match head.qos {
            0 => return None,
            1 => Answer::Puback,
            _ => Answer::Pubrec,
        };
        Some(Denied { answer, packet_id: head.packet_id })
    }
}

/// Hands a message to local subscribers, if there are any.
fn fan_out(shared: &Shared, topic: &str, payload: &[u8]) {
    let local = &shared.edge.local;
    if local.interested(topic) {
        local.publish(ClientKey::of(&shared.device.client_id), topic, payload);
    }
}
