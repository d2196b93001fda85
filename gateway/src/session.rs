//! The publish window of one connection: what the device sent and still waits for, the order its
//! acknowledgements leave in, and the packet ids that must not be taken twice. Pure: no sockets, no
//! clock, no lanes.
//!
//! Acknowledgements leave in order within one group (a lane and a class of it): a message that waits
//! for an object store holds back no small one, and a stuck lane no other lane.

use std::collections::VecDeque;

use bridge::{Fault, Outcome};

use crate::mqtt::reason;

/// Most groups that a window tells apart: two for each lane.
pub const GROUPS_MAX: u8 = 64;
/// QoS 2 messages of a v3.1.1 client that may be between PUBREC and PUBREL. They cannot be held back
/// by not reading, because the PUBREL that ends them is behind what is not read.
const UNRELEASED_MAX: usize = 1024;
/// An empty window keeps room for at most this many messages.
const KEEP_ENTRIES: usize = 32;

/// How large a window may get.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    pub messages: u16,
    pub bytes: u32,
}

/// A message as the window knows it.
#[derive(Clone, Copy, Debug)]
pub struct Publish {
    pub packet_id: u16,
    /// 1 or 2.
    pub qos: u8,
    pub dup: bool,
    /// Tells one message from another that uses the same packet id: topic, length and payload.
    pub fingerprint: u128,
    /// Bytes it counts against the window; zero for what never is in memory whole.
    pub bytes: u32,
    /// Acknowledgements keep their order within a group; under [`GROUPS_MAX`].
    pub group: u8,
    /// When it was received, in microseconds of the caller's clock.
    pub received_us: u64,
}

/// What to do with a PUBLISH that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Submit it.
    New,
    /// It is a resend of what is still open: its acknowledgement will answer both.
    Joined,
    /// It is a resend of a QoS 2 message whose PUBREC is out: send PUBREC again.
    Received,
    /// Its packet id is in use by another message.
    PacketIdInUse,
    /// The window has no room; in v5 the client was told its size.
    Full,
}

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub packet_id: u16,
    /// 1: PUBACK, 2: PUBREC.
    pub qos: u8,
    /// MQTT 5 reason code; v3 has none.
    pub code: u8,
    pub received_us: u64,
}

/// A message failed or a limit was broken: the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFault {
    /// What was sent may or may not have landed; the device has to send it again.
    MessageFailed,
    /// A client keeps starting QoS 2 messages and never releases them.
    TooManyUnreleased,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Decided(u8),
    Acknowledged,
}

struct Entry {
    publish: Publish,
    state: State,
}

struct Unreleased {
    packet_id: u16,
    fingerprint: u128,
}

/// See the module.
pub struct Window {
    limits: WindowLimits,
    /// The client promised to keep to `limits.messages` (v5 Receive Maximum), unreleased included.
    announced: bool,
    entries: VecDeque<Entry>,
    /// Slot of the first entry; slots wrap.
    base: u32,
    bytes: u64,
    unreleased: Vec<Unreleased>,
    /// Entries that are decided but not acknowledged.
    decided: u32,
}

impl Window {
    pub fn new(limits: WindowLimits, announced: bool) -> Window {
        Window {
            limits,
            announced,
            entries: VecDeque::new(),
            base: 0,
            bytes: 0,
            unreleased: Vec::new(),
            decided: 0,
        }
    }

    /// What to do with a PUBLISH; changes nothing.
    pub fn admit(&self, publish: &Publish) -> Admission {
        let open = self.entries.iter().find(|entry| {
            entry.publish.packet_id == publish.packet_id && entry.state != State::Acknowledged
        });
        if let Some(open) = open {
            let same = publish.dup
                && open.publish.fingerprint == publish.fingerprint
                && open.publish.qos == publish.qos;
            return if same { Admission::Joined } else { Admission::PacketIdInUse };
        }
        let unreleased = self.unreleased.iter().find(|u| u.packet_id == publish.packet_id);
        if let Some(unreleased) = unreleased {
            let same =
                publish.dup && publish.qos == 2 && unreleased.fingerprint == publish.fingerprint;
            return if same { Admission::Received } else { Admission::PacketIdInUse };
        }
        if !self.has_slot() || !self.has_room(publish.bytes) {
            Admission::Full
        } else {
            Admission::New
        }
    }

    /// A message with this packet id is open or not yet released.
    pub fn is_in_use(&self, packet_id: u16) -> bool {
        let open = |entry: &Entry| {
            entry.publish.packet_id == packet_id && entry.state != State::Acknowledged
        };
        self.entries.iter().any(open) || self.unreleased.iter().any(|u| u.packet_id == packet_id)
    }

    /// A client that was told the window's size has used it up: one more message is its fault.
    pub fn is_exceeded_by_one_more(&self) -> bool {
        self.announced && !self.has_slot()
    }

    fn has_slot(&self) -> bool {
        let unreleased = if self.announced { self.unreleased.len() } else { 0 };
        self.entries.len() + unreleased < usize::from(self.limits.messages)
    }

    /// What is larger than the window fits when nothing else is in it, so that it can pass at all.
    fn has_room(&self, bytes: u32) -> bool {
        self.bytes == 0 || self.bytes + u64::from(bytes) <= u64::from(self.limits.bytes)
    }

    /// The slot that [`Window::open`] will use next; the message's receipt answers to it.
    pub fn next_slot(&self) -> u32 {
        self.base.wrapping_add(self.entries.len() as u32)
    }

    /// Puts an admitted message into the window.
    pub fn open(&mut self, publish: Publish) {
        self.bytes += u64::from(publish.bytes);
        self.entries.push_back(Entry { publish, state: State::Open });
    }

    /// Notes the outcome of the message in `slot`.
    pub fn decide(&mut self, slot: u32, outcome: Outcome) -> Result<(), WindowFault> {
        let code = match outcome {
            Outcome::Landed => reason::SUCCESS,
            Outcome::DeadLettered(Fault::Topic) => reason::TOPIC_NAME_INVALID,
            Outcome::DeadLettered(Fault::Payload) => reason::PAYLOAD_FORMAT_INVALID,
            Outcome::DeadLettered(Fault::Size) => reason::QUOTA_EXCEEDED,
            Outcome::DeadLettered(Fault::Record) => reason::IMPLEMENTATION_SPECIFIC,
            Outcome::Refused(_) | Outcome::Failed => return Err(WindowFault::MessageFailed),
        };
        let index = slot.wrapping_sub(self.base) as usize;
        if let Some(entry) = self.entries.get_mut(index)
            && entry.state == State::Open
        {
            entry.state = State::Decided(code);
            self.decided += 1;
        }
        Ok(())
    }

    /// Hands out the acknowledgements that may leave now, in order.
    pub fn acknowledge(
        &mut self,
        mut send: impl FnMut(Acknowledgement),
    ) -> Result<(), WindowFault> {
        let mut blocked = 0_u64;
        for entry in &mut self.entries {
            if self.decided == 0 {
                break;
            }
            let group = 1 << (entry.publish.group % GROUPS_MAX);
            match entry.state {
                State::Open => blocked |= group,
                State::Decided(code) if blocked & group == 0 => {
                    entry.state = State::Acknowledged;
                    self.decided -= 1;
                    let Publish { packet_id, qos, fingerprint, received_us, .. } = entry.publish;
                    if qos == 2 && code == reason::SUCCESS {
                        self.unreleased.push(Unreleased { packet_id, fingerprint });
                    }
                    send(Acknowledgement { packet_id, qos, code, received_us });
                }
                State::Decided(_) | State::Acknowledged => {}
            }
        }
        while let Some(first) =
            self.entries.pop_front_if(|first| first.state == State::Acknowledged)
        {
            self.bytes -= u64::from(first.publish.bytes);
            self.base = self.base.wrapping_add(1);
        }
        if self.entries.is_empty() {
            self.entries.shrink_to(KEEP_ENTRIES);
        }
        if self.unreleased.len() > UNRELEASED_MAX.max(usize::from(self.limits.messages)) {
            return Err(WindowFault::TooManyUnreleased);
        }
        Ok(())
    }

    /// A PUBREL arrived; false if its packet id is not known.
    pub fn release(&mut self, packet_id: u16) -> bool {
        match self.unreleased.iter().position(|u| u.packet_id == packet_id) {
            Some(index) => {
                self.unreleased.swap_remove(index);
                true
            }
            None => false,
        }
    }

    /// Messages whose outcome or acknowledgement is open.
    pub fn open_messages(&self) -> usize {
        self.entries.iter().filter(|entry| entry.state != State::Acknowledged).count()
    }

    /// A message of this group is open.
    pub fn has_open(&self, in_group: impl Fn(u8) -> bool) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.state != State::Acknowledged && in_group(entry.publish.group))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn publish(packet_id: u16, qos: u8, group: u8) -> Publish {
        Publish {
            packet_id,
            qos,
            dup: false,
            fingerprint: packet_id.into(),
            bytes: 10,
            group,
            received_us: 0,
        }
    }

    fn window(messages: u16) -> Window {
        Window::new(WindowLimits { messages, bytes: 1_000 }, false)
    }

    fn acknowledged(window: &mut Window) -> Vec<u16> {
        let mut ids = Vec::new();
        window.acknowledge(|ack| ids.push(ack.packet_id)).expect("no fault");
        ids
    }

    #[test]
    fn acknowledgements_keep_their_order_within_a_group_only() {
        let mut window = window(10);
        for (id, group) in [(1, 0), (2, 0), (3, 2), (4, 2)] {
            window.open(publish(id, 1, group));
        }
        window.decide(1, Outcome::Landed).expect("landed");
        assert!(acknowledged(&mut window).is_empty(), "1 is before 2");
        window.decide(2, Outcome::Landed).expect("landed");
        assert_eq!(acknowledged(&mut window), [3], "another group does not wait");
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(acknowledged(&mut window), [1, 2]);
        window.decide(3, Outcome::Landed).expect("landed");
        assert_eq!(acknowledged(&mut window), [4]);
        assert_eq!(window.open_messages(), 0);
    }

    #[test]
    fn a_resend_joins_and_another_message_does_not() {
        let mut window = window(10);
        window.open(publish(1, 1, 0));
        let resend = Publish { dup: true, ..publish(1, 1, 0) };
        assert_eq!(window.admit(&resend), Admission::Joined);
        assert_eq!(window.admit(&publish(1, 1, 0)), Admission::PacketIdInUse, "no DUP flag");
        let other = Publish { fingerprint: 99, ..resend };
        assert_eq!(window.admit(&other), Admission::PacketIdInUse);
        window.decide(0, Outcome::Landed).expect("landed");
        acknowledged(&mut window);
        assert_eq!(window.admit(&publish(1, 1, 0)), Admission::New, "the id is free again");
    }

    #[test]
    fn qos_2_is_taken_once_until_it_is_released() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(acknowledged(&mut window), [1]);
        let resend = Publish { dup: true, ..publish(1, 2, 0) };
        assert_eq!(window.admit(&resend), Admission::Received);
        assert_eq!(window.admit(&publish(1, 1, 0)), Admission::PacketIdInUse);
        assert!(window.release(1));
        assert!(!window.release(1));
        assert_eq!(window.admit(&publish(1, 2, 0)), Admission::New);
    }

    #[test]
    fn a_refused_qos_2_message_ends_with_its_pubrec() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        window.decide(0, Outcome::DeadLettered(Fault::Topic)).expect("decided");
        let mut codes = Vec::new();
        window.acknowledge(|ack| codes.push(ack.code)).expect("no fault");
        assert_eq!(codes, [reason::TOPIC_NAME_INVALID]);
        assert!(!window.release(1));
    }

    #[test]
    fn the_window_is_bounded_by_count_and_bytes() {
        let mut small = window(2);
        small.open(publish(1, 1, 0));
        small.open(publish(2, 1, 0));
        assert_eq!(small.admit(&publish(3, 1, 0)), Admission::Full);
        let mut bytes = window(10);
        let large = Publish { bytes: 5_000, ..publish(1, 1, 0) };
        assert_eq!(bytes.admit(&large), Admission::New, "alone it passes");
        bytes.open(large);
        assert_eq!(bytes.admit(&publish(2, 1, 0)), Admission::Full);
    }

    #[test]
    fn a_failed_message_ends_the_connection() {
        let mut window = window(2);
        window.open(publish(1, 1, 0));
        assert_eq!(window.decide(0, Outcome::Failed), Err(WindowFault::MessageFailed));
    }

    proptest! {
        /// Against a plain model: whatever the order of outcomes, each message is acknowledged once,
        /// never before its outcome, and in order within its group.
        #[test]
        fn every_message_is_acknowledged_once_and_in_order(
            groups in prop::collection::vec(0..4_u8, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut window = Window::new(WindowLimits { messages: 100, bytes: u32::MAX }, false);
            window.base = u32::MAX - 10;
            let mut slots = HashMap::new();
            for (index, group) in groups.iter().enumerate() {
                let id = index as u16 + 1;
                slots.insert(id, window.next_slot());
                window.open(publish(id, 1, *group));
            }
            let mut undecided: Vec<u16> = (1..=groups.len() as u16).collect();
            let mut decided = Vec::new();
            let mut sent = Vec::new();
            for pick in order.iter().take(groups.len()) {
                let id = undecided.remove(pick.index(undecided.len()));
                decided.push(id);
                window.decide(slots[&id], Outcome::Landed).expect("landed");
                for id in acknowledged(&mut window) {
                    prop_assert!(decided.contains(&id));
                    sent.push(id);
                }
            }
            prop_assert_eq!(sent.len(), groups.len());
            for group in 0..4 {
                let of_group: Vec<u16> =
                    sent.iter().copied().filter(|id| groups[usize::from(*id) - 1] == group).collect();
                prop_assert!(of_group.is_sorted());
            }
            prop_assert_eq!(window.bytes, 0);
        }
    }
}
