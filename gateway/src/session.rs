//! The publish window of one connection: what the device sent and still waits for, the order its
//! acknowledgements leave in, and the packet ids that must not be taken twice. Pure: no sockets, no
//! clock, no lanes.
//!
//! Acknowledgements leave in order within one group (a lane and a class of it): a message that waits
//! for an object store holds back no small one, and a stuck lane no other lane.

use bridge::{Fault, Outcome};

use crate::mqtt::reason;

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
    /// Acknowledgements keep their order within a group.
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

/// No slot.
const NONE: u32 = u32::MAX;

/// A message in its slot.
#[derive(Clone, Copy)]
struct Entry {
    publish: Publish,
    /// The reason code of its acknowledgement, once its outcome is known.
    code: Option<u8>,
    /// The slot of the next message of its group; of the next free slot where this one is free.
    next: u32,
}

/// The open messages of a group, in the order they came: the first and the last one's slot.
#[derive(Clone, Copy)]
struct Queue {
    group: u8,
    first: u32,
    last: u32,
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
    /// By slot: the packet id, or zero where the slot is free. Apart from the entries, because each
    /// publish looks through them.
    packet_ids: Vec<u16>,
    /// By slot.
    entries: Vec<Entry>,
    /// The first free slot.
    free: u32,
    open: usize,
    /// One for each group that has open messages.
    queues: Vec<Queue>,
    bytes: u64,
    unreleased: Vec<Unreleased>,
    /// Messages that are decided but not acknowledged.
    decided: u32,
}

impl Window {
    pub fn new(limits: WindowLimits, announced: bool) -> Window {
        Window {
            limits,
            announced,
            packet_ids: Vec::new(),
            entries: Vec::new(),
            free: NONE,
            open: 0,
            queues: Vec::new(),
            bytes: 0,
            unreleased: Vec::new(),
            decided: 0,
        }
    }

    /// What to do with a PUBLISH; changes nothing.
    pub fn admit(&self, publish: &Publish) -> Admission {
        if let Some(open) = self.find(publish.packet_id) {
            let same =
                publish.dup && open.fingerprint == publish.fingerprint && open.qos == publish.qos;
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

    fn find(&self, packet_id: u16) -> Option<&Publish> {
        let slot = self.packet_ids.iter().position(|known| *known == packet_id)?;
        Some(&self.entries[slot].publish)
    }

    /// The fingerprint of the message with this packet id that is open or not yet released.
    pub fn fingerprint_of(&self, packet_id: u16) -> Option<u128> {
        let unreleased = || self.unreleased.iter().find(|u| u.packet_id == packet_id);
        let open = self.find(packet_id).map(|open| open.fingerprint);
        open.or_else(|| unreleased().map(|unreleased| unreleased.fingerprint))
    }

    /// A client that was told the window's size has used it up: one more message is its fault.
    pub fn is_exceeded_by_one_more(&self) -> bool {
        self.announced && !self.has_slot()
    }

    fn has_slot(&self) -> bool {
        let unreleased = if self.announced { self.unreleased.len() } else { 0 };
        self.open + unreleased < usize::from(self.limits.messages)
    }

    /// What is larger than the window fits when nothing else is in it, so that it can pass at all.
    fn has_room(&self, bytes: u32) -> bool {
        self.bytes == 0 || self.bytes + u64::from(bytes) <= u64::from(self.limits.bytes)
    }

    /// The slot that [`Window::open`] will use next; the message's receipt answers to it.
    pub fn next_slot(&self) -> u32 {
        match self.free {
            NONE => self.entries.len() as u32,
            free => free,
        }
    }

    /// Puts an admitted message into the window.
    pub fn open(&mut self, publish: Publish) {
        let slot = self.next_slot();
        let entry = Entry { publish, code: None, next: NONE };
        match self.entries.get_mut(slot as usize) {
            Some(free) => {
                self.free = free.next;
                *free = entry;
                self.packet_ids[slot as usize] = publish.packet_id;
            }
            None => {
                self.entries.push(entry);
                self.packet_ids.push(publish.packet_id);
            }
        }
        self.open += 1;
        self.bytes += u64::from(publish.bytes);
        match self.queues.iter_mut().find(|queue| queue.group == publish.group) {
            Some(queue) => {
                self.entries[queue.last as usize].next = slot;
                queue.last = slot;
            }
            None => self.queues.push(Queue { group: publish.group, first: slot, last: slot }),
        }
    }

    /// Notes the outcome of the message in `slot`. Each open message is decided once.
    pub fn decide(&mut self, slot: u32, outcome: Outcome) -> Result<(), WindowFault> {
        let code = match outcome {
            Outcome::Landed => reason::SUCCESS,
            Outcome::DeadLettered(Fault::Topic) => reason::TOPIC_NAME_INVALID,
            Outcome::DeadLettered(Fault::Payload) => reason::PAYLOAD_FORMAT_INVALID,
            Outcome::DeadLettered(Fault::Size) => reason::QUOTA_EXCEEDED,
            Outcome::DeadLettered(Fault::Record) => reason::IMPLEMENTATION_SPECIFIC,
            Outcome::Refused(_) | Outcome::Failed => return Err(WindowFault::MessageFailed),
        };
        if let Some(entry) = self.entries.get_mut(slot as usize)
            && entry.code.is_none()
        {
            entry.code = Some(code);
            self.decided += 1;
        }
        Ok(())
    }

    /// Hands out the acknowledgements that may leave now, in order within each group.
    pub fn acknowledge(
        &mut self,
        mut send: impl FnMut(Acknowledgement),
    ) -> Result<(), WindowFault> {
        let mut index = 0;
        while self.decided > 0
            && let Some(queue) = self.queues.get_mut(index)
        {
            let Entry { publish, code, next } = self.entries[queue.first as usize];
            let Some(code) = code else {
                // It holds back what came after it in its group, and nothing else.
                index += 1;
                continue;
            };
            let slot = std::mem::replace(&mut queue.first, next);
            if next == NONE {
                self.queues.swap_remove(index);
            }
            self.give_back(slot, publish.bytes);
            let Publish { packet_id, qos, fingerprint, received_us, .. } = publish;
            if qos == 2 && code == reason::SUCCESS {
                self.unreleased.push(Unreleased { packet_id, fingerprint });
            }
            send(Acknowledgement { packet_id, qos, code, received_us });
        }
        if self.open == 0 {
            self.clear();
        }
        if self.unreleased.len() > UNRELEASED_MAX.max(usize::from(self.limits.messages)) {
            return Err(WindowFault::TooManyUnreleased);
        }
        Ok(())
    }

    fn give_back(&mut self, slot: u32, bytes: u32) {
        self.packet_ids[slot as usize] = 0;
        self.entries[slot as usize].next = std::mem::replace(&mut self.free, slot);
        self.decided -= 1;
        self.open -= 1;
        self.bytes -= u64::from(bytes);
    }

    /// All slots are free: begins again at the first, and keeps little.
    fn clear(&mut self) {
        self.packet_ids.clear();
        self.entries.clear();
        self.free = NONE;
        self.packet_ids.shrink_to(KEEP_ENTRIES);
        self.entries.shrink_to(KEEP_ENTRIES);
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

    /// A message of such a group is open.
    pub fn has_open(&self, in_group: impl Fn(u8) -> bool) -> bool {
        self.queues.iter().any(|queue| in_group(queue.group))
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
        assert_eq!(window.open, 0);
    }

    #[test]
    fn one_that_waits_takes_one_place_however_many_pass_it() {
        let mut window = Window::new(WindowLimits { messages: 3, bytes: 1_000 }, true);
        window.open(publish(1, 1, 1));
        for id in 2..200 {
            for id in [id, id + 1_000] {
                assert_eq!(window.admit(&publish(id, 1, 0)), Admission::New);
                let slot = window.next_slot();
                window.open(publish(id, 1, 0));
                window.decide(slot, Outcome::Landed).expect("landed");
            }
            assert!(window.is_exceeded_by_one_more());
            assert_eq!(acknowledged(&mut window), [id, id + 1_000]);
            assert!(!window.is_exceeded_by_one_more());
        }
        assert!(window.entries.len() <= 3, "what passed leaves nothing behind");
        assert_eq!((window.fingerprint_of(1), window.fingerprint_of(2)), (Some(1), None));
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(acknowledged(&mut window), [1]);
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
        /// Against a plain model, with messages coming while others are decided in any order: each is
        /// acknowledged once, never before its outcome, and in order within its group; slots are used
        /// again, and never by two.
        #[test]
        fn every_message_is_acknowledged_once_and_in_order(
            steps in prop::collection::vec((0..4_u8, any::<bool>(), any::<prop::sample::Index>()), 1..200),
        ) {
            const MESSAGES: u16 = 20;
            let mut window = Window::new(WindowLimits { messages: MESSAGES, bytes: u32::MAX }, false);
            // Slot, packet id and group of what is not decided; what is decided and not acknowledged.
            let mut undecided: Vec<(u32, u16, u8)> = Vec::new();
            let mut decided: HashMap<u16, u8> = HashMap::new();
            let mut last = [0; 4];
            let mut next_id = 1;
            let finish = steps.iter().map(|(_, _, pick)| (0, false, *pick));
            for (group, opens, pick) in steps.iter().copied().chain(finish) {
                if opens && window.admit(&publish(next_id, 1, group)) == Admission::New {
                    let slot = window.next_slot();
                    prop_assert!(undecided.iter().all(|(known, ..)| *known != slot));
                    undecided.push((slot, next_id, group));
                    window.open(publish(next_id, 1, group));
                    next_id += 1;
                } else if !opens && !undecided.is_empty() {
                    let (slot, id, group) = undecided.remove(pick.index(undecided.len()));
                    window.decide(slot, Outcome::Landed).expect("landed");
                    decided.insert(id, group);
                }
                for id in acknowledged(&mut window) {
                    let group = decided.remove(&id);
                    prop_assert!(group.is_some(), "{} was acknowledged unasked or twice", id);
                    let last = &mut last[usize::from(group.unwrap_or(0))];
                    prop_assert!(id > *last, "{} came after {}", id, last);
                    *last = id;
                }
                prop_assert_eq!(window.open, undecided.len() + decided.len());
            }
            prop_assert!(undecided.is_empty() && decided.is_empty(), "{:?} {:?}", undecided, decided);
            prop_assert_eq!(window.bytes, 0);
        }
    }
}
