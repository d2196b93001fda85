//! Takes received bytes apart into packets and does what each asks for: publishes go to the bridge
//! or into an upload, the rest is answered.

use bridge::text::escape;

use super::block::Block;
use super::deadlines::Deadlines;
use super::inbound::{Inbound, Intake};
use super::outbound::Outbound;
use super::{Clock, Close, Refusal, Shared};
use crate::mqtt::encode::Answer;
use crate::mqtt::{self, Packet, PacketType, reason};
use crate::session::Session;
use crate::session::window::Released;

/// All of a connection that packets touch: neither its socket nor its timer.
pub(super) struct Packets<'c> {
    pub shared: &'c Shared,
    pub session: &'c mut Session,
    pub inbound: &'c mut Inbound,
    pub outbound: &'c mut Outbound,
    pub deadlines: &'c mut Deadlines,
    pub clock: Clock,
}

/// What became of the bytes at hand.
pub(super) enum Step {
    /// This many were taken.
    Taken(usize),
    /// The packet at hand needs this many in all.
    Needs(usize),
    /// Nothing was taken, and nothing can be as long as this lasts.
    Blocked(Block),
}

impl Packets<'_> {
    /// Takes what it can of `data`: how many bytes that was, and what stands in the way of the rest. Without
    /// a block, what is left is an incomplete packet.
    pub fn take_in(&mut self, data: &[u8]) -> Result<(usize, Option<Block>), Close> {
        let mut taken = 0;
        self.inbound.needs(1);
        while taken < data.len() {
            if !self.outbound.has_place() {
                return Ok((taken, Some(Block::Unsent)));
            }
            if self.inbound.is_misplaced() && !self.inbound.among_large {
                return Ok((taken, Some(Block::Threads)));
            }
            match self.step(&data[taken..])? {
                Step::Taken(bytes) => taken += bytes,
                Step::Needs(bytes) => {
                    self.inbound.needs(bytes);
                    break;
                }
                Step::Blocked(block) => return Ok((taken, Some(block))),
            }
        }
        Ok((taken, None))
    }

    fn step(&mut self, data: &[u8]) -> Result<Step, Close> {
        match std::mem::take(&mut self.inbound.intake) {
            Intake::Packets => self.take_packet(data),
            Intake::Upload(arriving) => self.take_upload(arriving, data),
            Intake::Rejoin(rejoining) => self.take_rejoin(rejoining, data),
            Intake::Skip { left, size, denied } => self.skip(left, size, denied, data),
        }
    }

    fn take_packet(&mut self, data: &[u8]) -> Result<Step, Close> {
        let Some(header) = mqtt::fixed_header(data)? else {
            return Ok(Step::Needs(data.len() + 1));
        };
        let size = header.packet_size() as usize;
        if header.packet_size() > self.shared.edge.limits.message_size {
            self.shared.edge.uplink.refuse(None, bridge::Refusal::TooLarge);
            self.log_too_large(header.packet_size());
            return Err(Close::TooLarge);
        }
        let body = &data[usize::from(header.len)..];
        let step = if header.kind == PacketType::Publish {
            self.take_publish(&header, body)?
        } else if data.len() < size {
            header.check(self.outbound.version())?;
            let room = self.inbound.make_room(&self.shared.edge.uplink, None, size);
            room.map_or_else(|full| Step::Blocked(Block::Room(full)), |()| Step::Needs(size))
        } else {
            let body = &body[..header.remaining as usize];
            let packet = mqtt::packet(self.outbound.version(), &header, body)?;
            self.answer(packet)?;
            Step::Taken(size)
        };
        if matches!(step, Step::Taken(_)) {
            self.inbound.give_back_room();
            self.deadlines.packet_received(self.clock.now);
        }
        Ok(step)
    }

    /// Every packet but PUBLISH.
    fn answer(&mut self, packet: Packet<'_>) -> Result<(), Close> {
        match packet {
            Packet::PingReq => self.outbound.pingresp()?,
            Packet::PubRel { packet_id, .. } => {
                let code = match self.session.window.release(packet_id)? {
                    Released::Done => reason::SUCCESS,
                    Released::Unknown => reason::PACKET_IDENTIFIER_NOT_FOUND,
                    Released::Later => return Ok(()),
                };
                self.outbound.acknowledge(Answer::Pubcomp, packet_id, code)?;
            }
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe)?,
            Packet::Disconnect { code, session_expiry } => {
                let asks_to_outlive = session_expiry.is_some_and(|seconds| seconds > 0);
                if asks_to_outlive && !self.session.asked_to_outlive() {
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
            Packet::Auth(_) => return Err(Refusal::Auth.into()),
        }
        Ok(())
    }

    /// The one refusal that may lose a message: its device is named, at most once a second.
    fn log_too_large(&self, size: u32) {
        let Shared { edge, device, peer, .. } = self.shared;
        if edge.too_large_log.allows() {
            tracing::warn!(
                client_id = escape(&device.client_id).as_str(),
                listener = peer.listener(),
                %peer,
                size,
                limit = edge.limits.message_size,
                "a packet is too large to be taken anywhere"
            );
        }
    }
}
