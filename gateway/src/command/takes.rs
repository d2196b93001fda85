//! Which parser would take a message: asked of what a parse role asks, about the record that the gateway would
//! write.

use bridge::classify::{Decision, Destination};
use bridge::format::Head;
use parse::facts::Facts;
use parse::plan::rules::{RawMessage, Rule};
use parse::plan::{Plan, Pool};
use prost::Message as _;
use proto::v1::{Envelope, IdentityTrust};

/// A message as it would be read back.
pub struct Raw {
    lane: String,
    envelope: Envelope,
}

/// What a plan has for a message.
pub struct Takes<'p> {
    /// None: nobody reads its lane.
    pub pool: Option<&'p Pool>,
    /// The place of the rule, and the rule.
    pub rule: Option<(usize, &'p Rule)>,
}

impl Raw {
    /// None where the message does not land in a lane.
    pub fn of(decision: &Decision<'_>, lane: &str) -> Option<Raw> {
        let Destination::Lane { .. } = decision.destination else { return None };
        let mut head = Head::default();
        decision.begin([0; 16], &mut head);
        let envelope = Envelope::decode(head.record().value()).expect("an envelope was written");
        Some(Raw { lane: lane.to_owned(), envelope })
    }

    pub fn lane(&self) -> &str {
        &self.lane
    }

    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Goes on with what is known of it beside its payload.
    pub fn with_facts<T>(&self, plan: &Plan, look: impl FnOnce(&Facts<'_>) -> T) -> T {
        let Envelope { source_topic, device_id, .. } = &self.envelope;
        let attributes = plan.known.of_message(&self.envelope);
        look(&Facts {
            topic: source_topic,
            received_ms: self.envelope.received_ms,
            device_id,
            verified: self.envelope.device_id_trust() == IdentityTrust::Verified,
            attributes: &attributes,
        })
    }

    pub fn takes<'p>(&self, plan: &'p Plan) -> Takes<'p> {
        let reads = |pool: &&Pool| pool.lanes.iter().any(|lane| lane.name == self.lane);
        let pool = plan.pools.iter().find(reads);
        let first = |facts: &Facts<'_>| {
            plan.rules.first_match(&self.lane, &RawMessage { facts, envelope: &self.envelope })
        };
        Takes { pool, rule: pool.and_then(|_| self.with_facts(plan, first)) }
    }
}
