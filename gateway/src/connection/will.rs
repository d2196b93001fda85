//! A device's last words: kept while it is connected, published when it goes without a goodbye, on a
//! message's normal way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::message::{Message, Payload};
use bridge::{Mailbox, Refusal};
use tokio::time::sleep;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::{Clock, Shared};
use crate::mqtt::Will;

/// How long a will waits for room in its lane before it counts as refused.
const ROOM_WAIT: Duration = Duration::from_secs(60);
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// An owned copy of a [`Will`].
pub(super) struct StoredWill {
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
    pub async fn publish(&self, shared: &Shared) {
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        let clock = Clock::read();
        let message = |payload| Message {
            device: &shared.device,
            topic: &self.topic,
            payload,
            qos: self.qos,
            dup: false,
            retain: self.retain,
            packet_id: 0,
            received_ms: clock.unix_ms,
            content_type: &self.content_type,
            properties: &properties,
        };
        let bridge = &shared.edge.bridge;
        let inline = message(Payload::Inline(&self.payload));
        let decision = bridge.classify(&inline);
        let size = self.payload.len() as u64;
        let fits_inline = size <= bridge.inline_size(&decision);
        if !fits_inline && !bridge.has_store() {
            return bridge.refuse(Some(decision.lane), Refusal::TooLarge);
        }
        let fingerprint = xxh3_128_with_seed(&self.payload, xxh3_64(self.topic.as_bytes()));
        let deadline = Instant::now() + ROOM_WAIT;
        loop {
            if fits_inline {
                let now = Instant::now();
                if bridge.submit(&decision, &inline, fingerprint, None, false, now).is_ok() {
                    break;
                }
            } else {
                // A will is at most one packet of 64 KiB, so it fits into an upload's first part.
                let streamed = message(Payload::Streamed { size });
                let nobody = Arc::new(Mailbox::default());
                if let Some(Ok(mut upload)) = bridge.begin_upload(&decision, &streamed, &nobody)
                    && upload.push(&self.payload).is_ok()
                    && upload.is_whole()
                {
                    upload.finish(None);
                    break;
                }
            }
            if self.qos == 0 || Instant::now() >= deadline {
                return bridge.refuse(Some(decision.lane), Refusal::Shed);
            }
            sleep(ROOM_PAUSE).await;
        }
        if shared.edge.local.interested(&self.topic) {
            shared.edge.local.publish(&self.topic, &self.payload);
        }
    }
}
