//! What a device has to keep until it is acknowledged. Pure.
//!
//! A session is clean, so that the gateway forgets what was open when a connection ends, and this does
//! not: after a reconnect everything that is open is sent again, in the order it was first sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::payload::Content;

/// A message that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub sequence: u64,
    pub topic: String,
    pub qos: u8,
    /// When it happened, from and to, in milliseconds since 1970 UTC; none for messages without a past.
    pub event_ms: Option<(i64, i64)>,
    pub content: Content,
    pub payload: Vec<u8>,
    /// Of the payload, in hexadecimal digits.
    pub sha256: String,
    /// How often it was handed to the network.
    pub attempts: u32,
    /// The last time.
    pub handed_over: Option<Instant>,
}

/// See the module.
pub struct Outbox {
    messages: BTreeMap<u64, Message>,
    /// Not handed to the network since the last reconnect.
    waiting: BTreeSet<u64>,
    /// Handed over, and not yet left under a packet id; in order.
    leaving: VecDeque<u64>,
    /// Left, by packet id.
    open: HashMap<u16, u64>,
    window: usize,
}

impl Outbox {
    pub fn new(window: usize) -> Outbox {
        Outbox {
            messages: BTreeMap::new(),
            waiting: BTreeSet::new(),
            leaving: VecDeque::new(),
            open: HashMap::new(),
            window,
        }
    }

    /// Messages that are kept.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many messages may be handed over and not acknowledged.
    pub fn set_window(&mut self, window: u16) {
        self.window = usize::from(window);
    }

    pub fn push(&mut self, message: Message) {
        self.waiting.insert(message.sequence);
        self.messages.insert(message.sequence, message);
    }

    /// The message to hand over next, if the window has room: the oldest that waits.
    pub fn next(&mut self, now: Instant) -> Option<&Message> {
        if self.leaving.len() + self.open.len() >= self.window {
            return None;
        }
        let sequence = self.waiting.pop_first()?;
        self.leaving.push_back(sequence);
        let message = self.messages.get_mut(&sequence)?;
        message.attempts += 1;
        message.handed_over = Some(now);
        Some(message)
    }

    /// The message handed over first of those that did not leave yet left under this packet id; 0 is
    /// QoS 0, which is done with it.
    pub fn left(&mut self, packet_id: u16) {
        let Some(sequence) = self.leaving.pop_front() else { return };
        if packet_id == 0 {
            self.messages.remove(&sequence);
        } else {
            self.open.insert(packet_id, sequence);
        }
    }

    /// PUBACK or PUBREC came: the message that it is for, which is no longer kept.
    pub fn acknowledged(&mut self, packet_id: u16) -> Option<Message> {
        let sequence = self.open.remove(&packet_id)?;
        self.messages.remove(&sequence)
    }

    /// The connection is gone: all that is open waits again. QoS 0 that was handed over is not
    /// repeated.
    pub fn disconnected(&mut self) {
        let unsure = self.leaving.drain(..).chain(self.open.drain().map(|(_, sequence)| sequence));
        for sequence in unsure {
            match self.messages.get(&sequence) {
                Some(message) if message.qos == 0 => {
                    self.messages.remove(&sequence);
                }
                _ => {
                    self.waiting.insert(sequence);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Form;

    fn content() -> Content {
        Content {
            form: Form::Json,
            kind: "meter".to_owned(),
            stream: "power".to_owned(),
            site: String::new(),
            seed: 0,
            at_ms: 0,
            step_ms: 0,
            records: 1,
            flaw: None,
        }
    }

    fn message(sequence: u64, qos: u8) -> Message {
        Message {
            sequence,
            topic: "t".to_owned(),
            qos,
            event_ms: None,
            content: content(),
            payload: Vec::new(),
            sha256: String::new(),
            attempts: 0,
            handed_over: None,
        }
    }

    fn next(outbox: &mut Outbox) -> Option<(u64, u32)> {
        outbox.next(Instant::now()).map(|message| (message.sequence, message.attempts))
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::new(3);
        for sequence in 1..=5 {
            outbox.push(message(sequence, 1));
        }
        assert_eq!(next(&mut outbox), Some((1, 1)));
        assert_eq!(next(&mut outbox), Some((2, 1)));
        assert_eq!(next(&mut outbox), Some((3, 1)));
        assert_eq!(next(&mut outbox), None, "the window is full");
        outbox.left(11);
        outbox.left(12);
        assert_eq!(outbox.acknowledged(12).map(|message| message.sequence), Some(2));
        assert_eq!(outbox.acknowledged(12), None);
        assert_eq!(next(&mut outbox), Some((4, 1)));
        outbox.disconnected();
        assert_eq!(next(&mut outbox), Some((1, 2)), "it had left");
        assert_eq!(next(&mut outbox), Some((3, 2)), "it may have left");
        assert_eq!(next(&mut outbox), Some((4, 2)));
        outbox.left(1);
        outbox.left(2);
        outbox.left(3);
        for (packet_id, sequence) in [(1, 1), (2, 3), (3, 4)] {
            let known = outbox.acknowledged(packet_id).map(|message| message.sequence);
            assert_eq!(known, Some(sequence), "ids of the connection before mean nothing");
        }
        assert_eq!(next(&mut outbox), Some((5, 1)));
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn quality_of_service_0_is_sent_once() {
        let mut outbox = Outbox::new(3);
        outbox.push(message(1, 0));
        outbox.push(message(2, 0));
        outbox.push(message(3, 1));
        assert_eq!(next(&mut outbox), Some((1, 1)));
        assert_eq!(next(&mut outbox), Some((2, 1)));
        outbox.left(0);
        outbox.disconnected();
        assert_eq!(next(&mut outbox), Some((3, 1)));
        assert_eq!(outbox.len(), 1);
    }
}
