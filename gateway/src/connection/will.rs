//! A device's last words: kept while it is connected, published when it goes without a goodbye, on a
//! message's normal way.

use std::time::{Duration, Instant};

use bridge::Refusal;
use bridge::message::{Message, Payload};
use tokio::time::sleep;

use super::{Clock, Shared};
use crate::access::Action;
use crate::budget::Kept;
use crate::local::ClientKey;
use crate::mqtt::Will;

/// How long a will waits for room in its lane before it counts as refused.
const ROOM_WAIT: Duration = Duration::from_secs(60);
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// What a will that waits takes beside its texts, in bytes: its task and the sender's state.
const WAITING_COST: u64 = 1024;

/// An owned copy of a [`Will`].
pub struct StoredWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: u8,
    retain: bool,
    content_type: Box<str>,
    properties: Vec<(Box<str>, Box<str>)>,
}

impl StoredWill {
    pub fn new(will: &Will<'_>) -> StoredWill {
        let own = |(name, value): (&str, &str)| (name.into(), value.into());
        StoredWill {
            topic: will.topic.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            content_type: will.content_type.into(),
            properties: will.user_properties.iter().map(own).collect(),
        }
    }

    /// Publishes it. Its session ended with the connection, so a delay ends at once (v5 3.1.3.2.2).
    pub(super) async fn publish(&self, shared: &Shared) {
        let uplink = &shared.edge.uplink;
        // It was allowed when it was left, which may be long ago.
        if !shared.may_publish(&self.topic) {
            shared.denied(Action::Publish, &self.topic);
            return uplink.refuse(None, Refusal::NotAuthorized);
        }
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        let message = Message {
            device: &shared.device,
            topic: &self.topic,
            payload: Payload::Inline(&self.payload),
            qos: self.qos,
            dup: false,
            retain: self.retain,
            packet_id: 0,
            received_ms: Clock::read().unix_ms,
            content_type: &self.content_type,
            properties: &properties,
        };
        // It is part of a packet of at most 64 KiB, and so here whole.
        let decided = uplink.decide(&message);
        let deadline = Instant::now() + ROOM_WAIT;
        let mut waiting = None;
        while decided.offer(Instant::now()).is_err() {
            if waiting.is_none() && self.qos > 0 {
                let mut place = Kept::nothing(&shared.edge.waiting_wills);
                waiting = place.change(self.waiting_bytes(shared)).then_some(place);
            }
            // Meanwhile it may have been taken from its sender to speak in that name.
            if !shared.is_proved() {
                return uplink.refuse(Some(decided.lane()), Refusal::NotAuthorized);
            }
            if waiting.is_none() || Instant::now() >= deadline {
                return uplink.refuse(Some(decided.lane()), Refusal::Shed);
            }
            sleep(ROOM_PAUSE).await;
        }
        if shared.edge.local.interested(&self.topic) {
            let client = ClientKey::of(&shared.device.client_id);
            shared.edge.local.publish(client, &self.topic, &self.payload);
        }
    }

    /// What it takes while it waits, with what is kept of its sender.
    fn waiting_bytes(&self, shared: &Shared) -> u64 {
        (self.bytes() + shared.device.bytes()) as u64 + WAITING_COST
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// It asks to be retained.
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// How many properties it has.
    pub fn properties(&self) -> usize {
        self.properties.len()
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value.len());
        let own = self.topic.len() + self.payload.len() + self.content_type.len();
        own + properties.sum::<usize>()
    }
}
