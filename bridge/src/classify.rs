//! What becomes of a message: routes and metadata → its lane, its Kafka topic and how its payload travels, or
//! why it can have none. Pure, and without an allocation on the usual way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::format::{Head, Stamp};
use crate::lanes::{LaneId, LanePlan, Lanes};
use crate::message::{Carriage, Message, Payload};
use crate::metadata::{DeviceAttributes, Facts, Metadata, declared_envelope, known_of};
use crate::outcome::{Fault, Outcome, Refusal};
use crate::record::{HEAD_ROOM_BYTES, REFERENCE_MAX_BYTES};
use crate::route::Routes;
use crate::rule::{Published, Rule};
use crate::topic::filter::Captures;

/// Everything that decides where messages go.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Stamped on every record.
    pub gateway_id: String,
    pub routes: Routes,
    pub unrouted: Unrouted,
    pub rules: Vec<Rule>,
    pub lanes: Lanes<LanePlan>,
    pub devices: DeviceAttributes,
    /// There is an object store for payloads that their lanes do not take inline.
    pub has_store: bool,
}

impl Routing {
    /// Decides what is to become of a message: its lane, its record, and how its payload travels. Pure, and
    /// the one place that does.
    pub fn decide<'a>(&'a self, message: &Message<'a>) -> Decision<'a> {
        let (route, captures) = match self.routes.first_match(message.topic) {
            Some((index, route, captures)) => (Some((index, route)), captures),
            None => (None, Captures::NONE),
        };
        let declared = route.filter(|(_, route)| route.device_envelope).map(|_| message.payload);
        let (declared, undecodable) = match declared {
            Some(Payload::Inline(payload)) => match declared_envelope(payload) {
                Ok(envelope) => (Some(envelope), None),
                Err(error) => (None, Some(error)),
            },
            // A payload that arrives in pieces is not read.
            Some(Payload::Streamed { .. }) | None => (None, None),
        };
        let of_route = route.map(|(_, route)| &route.attributes);
        let metadata = Metadata::collect(message, &captures, declared, of_route, &self.devices);
        let facts = self.facts(&metadata, captures, of_route, message);
        let published = Published { message, facts: &facts };
        let rule = self.rules.iter().position(|rule| rule.when.holds(&published));
        let lane = rule.map_or(LaneId::FAST, |rule| self.rules[rule].lane);
        let destination = if let Some(error) = undecodable {
            let reason = format!("the payload is no landfall.v1.DeviceEnvelope: {error}").into();
            Destination::DeadLetter { fault: Fault::Payload, reason }
        } else if route.is_none() && self.unrouted == Unrouted::Refuse {
            // At QoS 0 nobody was promised anything, and nobody waits.
            match (message.qos, Refusal::Unrouted) {
                (0, refusal) => Destination::Refused(refusal),
                (_, refusal) => {
                    let reason = refusal.reason().into();
                    Destination::DeadLetter { fault: Fault::Topic, reason }
                }
            }
        } else {
            match self.lanes[lane].topic.name(&facts) {
                Ok(topic) => Destination::Lane { topic },
                Err(reason) => {
                    Destination::DeadLetter { fault: Fault::Topic, reason: reason.into() }
                }
            }
        };
        let mut decision = Decision {
            routing: self,
            message: *message,
            captures,
            metadata,
            lane,
            destination,
            carriage: Carriage::Inline,
            route: route.map(|(index, _)| index),
            rule,
        };
        decision.carry();
        decision
    }

    fn facts<'b>(
        &'b self,
        metadata: &'b Metadata<'b>,
        captures: Captures<'b>,
        route: Option<&'b BTreeMap<String, String>>,
        message: &Message<'b>,
    ) -> Facts<'b> {
        let device = known_of(&self.devices, &metadata.device_id);
        let verified = message.device.verified.as_deref();
        Facts::new(metadata, captures, message.received_ms, verified, route, device)
    }
}

/// What to do with topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// They go by the rules like any other.
    Fast,
    Refuse,
}

/// What was decided of a message.
#[derive(Clone)]
pub struct Decision<'a> {
    routing: &'a Routing,
    message: Message<'a>,
    captures: Captures<'a>,
    pub metadata: Metadata<'a>,
    /// The lane that the message belongs to, also where it cannot land in it.
    pub lane: LaneId,
    pub destination: Destination<'a>,
    /// How its payload travels.
    pub carriage: Carriage,
    /// Place of the route that matched.
    pub route: Option<usize>,
    /// Place of the rule that matched.
    pub rule: Option<usize>,
}

/// Where a message is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// Its lane, and there this Kafka topic.
    Lane { topic: Cow<'a, str> },
    /// The dead-letter lane: it can never land in its own.
    DeadLetter { fault: Fault, reason: Cow<'static, str> },
    /// Nowhere, and nobody waits for an answer.
    Refused(Refusal),
}

impl<'a> Decision<'a> {
    pub fn message(&self) -> &Message<'a> {
        &self.message
    }

    /// The lane that the record goes through: the message's own, or dead-letter's.
    pub fn record_lane(&self) -> LaneId {
        match self.destination {
            Destination::Lane { .. } => self.lane,
            Destination::DeadLetter { .. } | Destination::Refused(_) => LaneId::DEAD_LETTER,
        }
    }

    /// What the landing of its record means, or why it has none.
    pub fn on_landing(&self) -> Result<Outcome, Refusal> {
        match self.destination {
            Destination::Lane { .. } => Ok(Outcome::Landed),
            Destination::DeadLetter { fault, .. } => Ok(Outcome::DeadLettered(fault)),
            Destination::Refused(refusal) => Err(refusal),
        }
    }

    /// The payload is left out of the record, and is nowhere else: a dead letter that its lane does not
    /// take inline, without an object store.
    pub fn is_cut(&self) -> bool {
        let inline_size = self.record_plan().inline_size;
        self.record_lane() == LaneId::DEAD_LETTER
            && self.carriage == Carriage::Inline
            && self.message.payload.size() > u64::from(inline_size)
    }

    /// Begins the record; what is refused has none, and gets what its dead letter would be. `message_id` is
    /// new for each message.
    pub fn begin(&self, message_id: [u8; 16], head: &mut Head) {
        let plan = self.record_plan();
        let (topic, dead_letter_reason) = match &self.destination {
            Destination::Lane { topic } => (&**topic, ""),
            Destination::DeadLetter { reason, .. } => (&*plan.topic.all()[0], &**reason),
            Destination::Refused(refusal) => (&*plan.topic.all()[0], refusal.reason()),
        };
        let stamp = Stamp {
            topic,
            gateway_id: &self.routing.gateway_id,
            lane: &self.routing.lanes[self.lane].name,
            message_id,
            dead_letter_reason,
        };
        let write_key = |out: &mut Vec<u8>| plan.key.write(&self.facts(), out);
        plan.format.begin(&stamp, &self.metadata, &self.message, write_key, head);
    }

    /// The most that [`Decision::begin`] writes, in bytes.
    pub fn head_max_bytes(&self) -> u64 {
        let plan = self.record_plan();
        let key = plan.key.size_max(&self.metadata.device_id, || self.facts());
        let most = plan.format.head_max_bytes(&self.metadata, &self.message, key);
        match self.destination {
            Destination::Lane { .. } => most,
            // A dead letter that has more is cut.
            _ => most.min(HEAD_ROOM_BYTES.into()),
        }
    }

    /// Chooses the carriage. What its lane cannot take, by value or by reference, becomes a dead letter,
    /// and that always fits: what is too much of it is cut.
    fn carry(&mut self) {
        let (routing, size) = (self.routing, self.message.payload.size());
        if let Destination::Lane { .. } = self.destination {
            let inline_size = routing.lanes[self.lane].inline_size;
            match fit(size, self.head_max_bytes(), inline_size, routing.has_store) {
                Ok(carriage) => {
                    self.carriage = carriage;
                    return;
                }
                Err(reason) => {
                    let reason = reason.into();
                    self.destination = Destination::DeadLetter { fault: Fault::Size, reason };
                }
            }
        }
        let is_large = size > u64::from(routing.lanes[LaneId::DEAD_LETTER].inline_size);
        if routing.has_store && is_large {
            self.carriage = Carriage::Large;
        }
    }

    fn record_plan(&self) -> &'a LanePlan {
        &self.routing.lanes[self.record_lane()]
    }

    fn facts(&self) -> Facts<'_> {
        let of_route = self.route.map(|index| &self.routing.routes[index].attributes);
        let Decision { routing, metadata, captures, message, .. } = self;
        routing.facts(metadata, *captures, of_route, message)
    }
}

/// How a payload of `size` bytes travels in a lane beside a head of `head` bytes, or why it cannot. So no
/// record of the lane is larger than [`crate::record::max_bytes`] of its `inline_size`.
fn fit(size: u64, head: u64, inline_size: u32, has_store: bool) -> Result<Carriage, &'static str> {
    let (inline_size, head_room) = (u64::from(inline_size), u64::from(HEAD_ROOM_BYTES));
    if size + head.saturating_sub(head_room) <= inline_size {
        return Ok(Carriage::Inline);
    }
    // A payload of nothing is no object.
    if size == 0 || head + u64::from(REFERENCE_MAX_BYTES) > inline_size + head_room {
        return Err("its topic, id and properties are larger than its lane takes");
    }
    match has_store {
        true => Ok(Carriage::Large),
        false => Err("larger than its lane takes inline, and there is no object store"),
    }
}

#[cfg(test)]
mod tests;
