//! The publish window of one connection: what the device sent and still waits for, the order its
//! acknowledgements leave in, and the packet ids that must not be taken twice. Pure: no sockets, no
//! clock, no lanes.
//!
//! Acknowledgements leave in order within one group (a lane and a class of it): a message that waits
//! for an object store holds back no small one, and a stuck lane no other lane.
//!
//! QoS 2 is taken by its word (v5 4.3.3, v3.1.1 4.3.3): from PUBLISH to PUBREL every PUBLISH of a
//! packet id is answered by a PUBREC, with DUP or without. What was landed under it is not landed
//! again; other content under the same id is another message: it lands, too, and its PUBREC waits for
//! that. So whatever a client means by using an id twice, nothing is confirmed that is not durable.

use bridge::{Fault, Outcome};

use crate::mqtt::reason;

/// QoS 2 messages of a v3.1.1 client that may be between PUBREC and PUBREL. They cannot be held back
/// by not reading, because the PUBREL that ends them is behind what is not read.
const UNRELEASED_MAX: usize = 1024;
/// PUBRECs that open messages may owe to resends of theirs, in all. More are no resends of a client
/// that waits; their answers would leave at once.
const OWED_MAX: u32 = 8192;
/// PUBRELs that may wait for the end of what is open under their packet id. Their PUBCOMPs leave at once.
const RELEASING_MAX: usize = 128;
/// Packet ids that are compared at a time.
const IDS_AT_ONCE: usize = 64;
/// An empty window keeps room for at most this many messages, until it [rests](Window::rest).
const KEEP_ENTRIES: usize = 32;
/// What a message takes in the window, in bytes.
const SLOT_BYTES: usize = size_of::<Entry>() + size_of::<u16>();
/// What a window may keep without asking, in bytes: 16 messages, their groups, and as many packet ids
/// that are not released.
pub const FREE_BYTES: usize = 16 * (SLOT_BYTES + size_of::<u16>() + size_of::<u128>());

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
    /// It is a resend of what is still open: [`Window::join`] it, and it is answered with the first.
    Joined,
    /// It is a resend of a QoS 2 message whose PUBREC is out: send PUBREC again.
    Received,
    /// Its packet id is in use by another message.
    PacketIdInUse,
    /// The window has no room; in v5 the client was told its size.
    Full,
}

/// Which packet an acknowledgement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Puback,
    Pubrec,
    /// For a PUBREL that came before the PUBREC of what is open under its packet id.
    Pubcomp,
}

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub packet_id: u16,
    pub answer: Answer,
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
    /// A client sends what is open again and again, or releases it before it is received.
    TooManyResends,
}

/// What a PUBREL found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Its message, whose packet id is free now.
    Done,
    /// Nothing: the packet id is not known.
    Unknown,
    /// A message that is not decided: PUBCOMP follows its PUBREC.
    Later,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// A message in its slot.
#[derive(Clone, Copy)]
struct Entry {
    publish: Publish,
    /// The reason code of its acknowledgement, once its outcome is known.
    code: Option<u8>,
    /// Resends of a QoS 2 message that joined it: each gets a PUBREC of its own.
    resends: u16,
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

/// What was received at QoS 2 and is not released, in no order. Small, because a connection may have
/// many: 18 bytes each. An id stands in it once for each content that landed under it.
#[derive(Default)]
struct Unreleased {
    packet_ids: Vec<u16>,
    fingerprints: Vec<u128>,
}

impl Unreleased {
    fn len(&self) -> usize {
        self.packet_ids.len()
    }

    fn add(&mut self, packet_id: u16, fingerprint: u128) {
        self.packet_ids.push(packet_id);
        self.fingerprints.push(fingerprint);
    }

    /// What landed under an id.
    fn of(&self, packet_id: u16) -> impl Iterator<Item = u128> {
        positions(&self.packet_ids, packet_id).map(move |index| self.fingerprints[index])
    }

    /// Frees an id; false if it is not there.
    fn remove(&mut self, packet_id: u16) -> bool {
        let before = self.len();
        while let Some(index) = self.position(packet_id) {
            self.packet_ids.swap_remove(index);
            self.fingerprints.swap_remove(index);
        }
        let found = self.len() < before;
        if self.packet_ids.is_empty() {
            *self = Unreleased::default();
        }
        found
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        positions(&self.packet_ids, packet_id).next()
    }
}

/// Where an id stands: every publish asks, so they are compared many at a time.
fn positions(packet_ids: &[u16], wanted: u16) -> impl Iterator<Item = usize> {
    let chunks = packet_ids.chunks(IDS_AT_ONCE).enumerate();
    chunks
        .filter(move |(_, ids)| ids.iter().fold(false, |found, id| found | (*id == wanted)))
        .flat_map(move |(chunk, ids)| {
            let found = ids.iter().enumerate().filter(move |(_, id)| **id == wanted);
            found.map(move |(index, _)| chunk * IDS_AT_ONCE + index)
        })
}

/// See the module.
pub struct Window {
    limits: WindowLimits,
    /// The client speaks v5: it promised to keep to `limits.messages` (Receive Maximum), unreleased
    /// included, and it sees the codes of its acknowledgements.
    is_v5: bool,
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
    /// The sum of all resends that joined.
    owed: u32,
    unreleased: Unreleased,
    /// Packet ids whose PUBREL came while something was open under them; one for each PUBREL.
    releasing: Vec<u16>,
    /// Messages that are decided but not acknowledged.
    decided: u32,
}

impl Window {
    pub fn new(limits: WindowLimits, is_v5: bool) -> Window {
        Window {
            limits,
            is_v5,
            packet_ids: Vec::new(),
            entries: Vec::new(),
            free: NONE,
            open: 0,
            queues: Vec::new(),
            bytes: 0,
            owed: 0,
            unreleased: Unreleased::default(),
            releasing: Vec::new(),
            decided: 0,
        }
    }

    /// What to do with a PUBLISH; changes nothing.
    pub fn admit(&self, publish: &Publish) -> Admission {
        let mut is_known = false;
        for open in self.open_under(publish.packet_id) {
            if is_resend(publish, open) {
                return Admission::Joined;
            }
            if publish.qos != 2 || open.qos != 2 {
                return Admission::PacketIdInUse;
            }
            is_known = true;
        }
        for landed in self.unreleased.of(publish.packet_id) {
            if publish.qos != 2 {
                return Admission::PacketIdInUse;
            }
            if landed == publish.fingerprint {
                return Admission::Received;
            }
            is_known = true;
        }
        if !self.has_slot(is_known) || !self.has_room(publish.bytes) {
            Admission::Full
        } else {
            Admission::New
        }
    }

    /// The open messages with this packet id: one, or several of QoS 2 with different content.
    fn open_under(&self, packet_id: u16) -> impl Iterator<Item = &Publish> {
        positions(&self.packet_ids, packet_id).map(move |slot| &self.entries[slot].publish)
    }

    /// A message with this packet id is open or not yet released.
    fn knows(&self, packet_id: u16) -> bool {
        self.open_under(packet_id).next().is_some()
            || self.unreleased.of(packet_id).next().is_some()
    }

    /// A resend was admitted as [`Admission::Joined`].
    pub fn join(&mut self, publish: &Publish) -> Result<(), WindowFault> {
        if publish.qos != 2 {
            // One PUBACK answers all of them.
            return Ok(());
        }
        let first = positions(&self.packet_ids, publish.packet_id)
            .find(|slot| is_resend(publish, &self.entries[*slot].publish));
        if let Some(slot) = first {
            if self.owed >= OWED_MAX {
                return Err(WindowFault::TooManyResends);
            }
            self.entries[slot].resends += 1;
            self.owed += 1;
        }
        Ok(())
    }

    /// The fingerprint of the message with this packet id that is open or not yet released.
    pub fn fingerprint_of(&self, packet_id: u16) -> Option<u128> {
        let open = self.open_under(packet_id).next().map(|open| open.fingerprint);
        open.or_else(|| self.unreleased.of(packet_id).next())
    }

    /// A client that was told the window's size has used it up: a message with this packet id is more
    /// than it may send, unless it is one that it sent before.
    pub fn is_exceeded_by(&self, packet_id: u16) -> bool {
        self.is_v5 && !self.has_slot(false) && !self.knows(packet_id)
    }

    /// A packet id that is not released counts once, whatever is open under it.
    fn has_slot(&self, is_known: bool) -> bool {
        let unreleased = if self.is_v5 && !is_known { self.unreleased.len() } else { 0 };
        self.open + unreleased < usize::from(self.limits.messages)
    }

    /// What is larger than the window fits when nothing else is in it, so that it can pass at all.
    fn has_room(&self, bytes: u32) -> bool {
        self.bytes == 0 || self.bytes + u64::from(bytes) <= u64::from(self.limits.bytes)
    }

    /// The slot that [`Window::open`] will use next.
    fn next_slot(&self) -> u32 {
        match self.free {
            NONE => self.entries.len() as u32,
            free => free,
        }
    }

    /// Puts an admitted message into the window. Its receipt answers to the slot that it gets.
    pub fn open(&mut self, publish: Publish) -> u32 {
        let slot = self.next_slot();
        let entry = Entry { publish, code: None, resends: 0, next: NONE };
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
        slot
    }

    /// Notes the outcome of the message in `slot`. Each open message is decided once.
    pub fn decide(&mut self, slot: u32, outcome: Outcome) -> Result<(), WindowFault> {
        let code = match outcome {
            Outcome::Landed => reason::SUCCESS,
            Outcome::DeadLettered(Fault::Topic) => reason::TOPIC_NAME_INVALID,
            Outcome::DeadLettered(Fault::Payload) => reason::PAYLOAD_FORMAT_INVALID,
            Outcome::DeadLettered(Fault::Size) => reason::QUOTA_EXCEEDED,
            Outcome::DeadLettered(Fault::Record) => reason::IMPLEMENTATION_SPECIFIC,
            Outcome::Failed => return Err(WindowFault::MessageFailed),
        };
        if let Some(entry) = self.entries.get_mut(slot as usize)
            && entry.code.is_none()
        {
            entry.code = Some(code);
            self.decided += 1;
        }
        Ok(())
    }

    /// Hands out the acknowledgements that may leave now, in order within each group, until `send` says
    /// that it takes no more.
    pub fn acknowledge(
        &mut self,
        mut send: impl FnMut(Acknowledgement) -> bool,
    ) -> Result<(), WindowFault> {
        let (mut index, mut goes_on) = (0, true);
        while goes_on
            && self.decided > 0
            && let Some(queue) = self.queues.get_mut(index)
        {
            let entry = &mut self.entries[queue.first as usize];
            let Entry { publish, code, resends, next } = *entry;
            let Some(code) = code else {
                // It holds back what came after it in its group, and nothing else.
                index += 1;
                continue;
            };
            let Publish { packet_id, received_us, .. } = publish;
            let answer = if publish.qos == 2 { Answer::Pubrec } else { Answer::Puback };
            let acknowledgement = Acknowledgement { packet_id, answer, code, received_us };
            if resends > 0 {
                entry.resends -= 1;
                self.owed -= 1;
                goes_on = send(acknowledgement);
                continue;
            }
            let slot = std::mem::replace(&mut queue.first, next);
            if next == NONE {
                self.queues.swap_remove(index);
            }
            self.give_back(slot, publish.bytes);
            goes_on = send(acknowledgement);
            if publish.qos == 2 {
                self.received(&publish, code);
                self.complete(packet_id, received_us, &mut send);
            }
        }
        if self.open == 0 {
            self.clear();
        }
        if self.unreleased.len() > UNRELEASED_MAX.max(usize::from(self.limits.messages)) {
            return Err(WindowFault::TooManyUnreleased);
        }
        Ok(())
    }

    /// The PUBREC of a message leaves.
    fn received(&mut self, publish: &Publish, code: u8) {
        if self.is_v5 && code != reason::SUCCESS {
            // The client knows by the code that the id is free (v5 4.3.3).
            self.unreleased.remove(publish.packet_id);
        } else {
            // Also what became a dead letter: a v3 client saw no code, and its PUBREL is to come.
            self.unreleased.add(publish.packet_id, publish.fingerprint);
        }
    }

    /// Ends what a PUBREL asked for too early, if nothing is open under its packet id any more.
    fn complete(
        &mut self,
        packet_id: u16,
        received_us: u64,
        send: &mut impl FnMut(Acknowledgement) -> bool,
    ) {
        if !self.releasing.contains(&packet_id) || self.open_under(packet_id).next().is_some() {
            return;
        }
        self.unreleased.remove(packet_id);
        self.releasing.retain(|id| {
            if *id == packet_id {
                let (answer, code) = (Answer::Pubcomp, reason::SUCCESS);
                send(Acknowledgement { packet_id, answer, code, received_us });
            }
            *id != packet_id
        });
        if self.releasing.is_empty() {
            self.releasing = Vec::new();
        }
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

    /// Bytes that it keeps.
    pub fn held_bytes(&self) -> usize {
        let Unreleased { packet_ids, fingerprints } = &self.unreleased;
        let ids = self.packet_ids.capacity() + self.releasing.capacity() + packet_ids.capacity();
        ids * size_of::<u16>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.queues.capacity() * size_of::<Queue>()
            + fingerprints.capacity() * size_of::<u128>()
    }

    /// Bytes by which it grows when one more message is opened: all its slots twice, or nothing.
    pub fn growth_bytes(&self) -> usize {
        let is_full = self.free == NONE && self.entries.len() == self.entries.capacity();
        if is_full { self.entries.capacity() * SLOT_BYTES } else { 0 }
    }

    /// Nothing was sent for a while: an empty window keeps nothing.
    pub fn rest(&mut self) {
        if self.open == 0 {
            self.packet_ids = Vec::new();
            self.entries = Vec::new();
            self.queues = Vec::new();
            self.unreleased.packet_ids.shrink_to_fit();
            self.unreleased.fingerprints.shrink_to_fit();
        }
    }

    /// A PUBREL arrived. While a message of QoS 2 is open under its packet id, the id does not become
    /// free: the next message of that name would take the first one's PUBREC for its own.
    pub fn release(&mut self, packet_id: u16) -> Result<Released, WindowFault> {
        if self.open_under(packet_id).any(|open| open.qos == 2) {
            if self.releasing.len() >= RELEASING_MAX {
                return Err(WindowFault::TooManyResends);
            }
            self.releasing.push(packet_id);
            return Ok(Released::Later);
        }
        Ok(if self.unreleased.remove(packet_id) { Released::Done } else { Released::Unknown })
    }
}

/// The same message once more. At QoS 1 only DUP says so; at QoS 2 the packet id does (v5 4.3.3).
fn is_resend(publish: &Publish, open: &Publish) -> bool {
    (publish.dup || publish.qos == 2)
        && publish.qos == open.qos
        && publish.fingerprint == open.fingerprint
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
        let send = |ack: Acknowledgement| {
            ids.push(ack.packet_id);
            true
        };
        window.acknowledge(send).expect("no fault");
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
    fn what_may_not_leave_yet_leaves_later() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        for _ in 0..3 {
            window.join(&publish(1, 2, 0)).expect("a resend");
        }
        window.open(publish(2, 1, 0));
        window.decide(0, Outcome::Landed).expect("landed");
        window.decide(1, Outcome::Landed).expect("landed");
        let mut left = Vec::new();
        for _ in 0..5 {
            let send = |ack: Acknowledgement| {
                left.push((ack.answer, ack.packet_id));
                false
            };
            window.acknowledge(send).expect("no fault");
        }
        assert_eq!(left[..4], [(Answer::Pubrec, 1); 4]);
        assert_eq!(left[4..], [(Answer::Puback, 2)]);
        assert_eq!((window.open, window.owed), (0, 0));
    }

    #[test]
    fn a_window_at_rest_keeps_what_is_not_released_and_nothing_else() {
        let mut window = window(1000);
        let nothing = window.held_bytes();
        let mut grown = 0;
        for id in 1..=1000 {
            grown += window.growth_bytes();
            window.open(publish(id, 1 + u8::from(id == 7), 0));
        }
        assert!(window.held_bytes() > FREE_BYTES && grown > FREE_BYTES);
        window.rest();
        for slot in 0..1000 {
            window.decide(slot, Outcome::Landed).expect("landed");
        }
        assert_eq!(acknowledged(&mut window).len(), 1000);
        assert!(window.held_bytes() < 3 * FREE_BYTES, "{}", window.held_bytes());
        window.rest();
        assert_eq!(window.held_bytes(), nothing + size_of::<u16>() + size_of::<u128>());
        assert_eq!(window.release(7), Ok(Released::Done));
        assert_eq!(window.held_bytes(), nothing);
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
            assert!(window.is_exceeded_by(9_999));
            assert_eq!(acknowledged(&mut window), [id, id + 1_000]);
            assert!(!window.is_exceeded_by(9_999));
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

    /// Everything that may leave now, as the packets that it is.
    fn answers(window: &mut Window) -> Vec<(Answer, u16, u8)> {
        let mut answers = Vec::new();
        let send = |ack: Acknowledgement| {
            answers.push((ack.answer, ack.packet_id, ack.code));
            true
        };
        window.acknowledge(send).expect("no fault");
        answers
    }

    const RECEIVED: (Answer, u16, u8) = (Answer::Pubrec, 1, reason::SUCCESS);

    #[test]
    fn qos_2_is_taken_once_until_it_is_released() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(answers(&mut window), [RECEIVED]);
        for dup in [true, false] {
            let resend = Publish { dup, ..publish(1, 2, 0) };
            assert_eq!(window.admit(&resend), Admission::Received, "DUP says nothing at QoS 2");
        }
        assert_eq!(window.admit(&publish(1, 1, 0)), Admission::PacketIdInUse);
        assert_eq!(window.release(1), Ok(Released::Done));
        assert_eq!(window.release(1), Ok(Released::Unknown));
        assert_eq!(window.admit(&publish(1, 2, 0)), Admission::New);
    }

    #[test]
    fn every_publish_of_an_open_qos_2_message_gets_its_pubrec() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        for dup in [true, false] {
            let resend = Publish { dup, ..publish(1, 2, 0) };
            assert_eq!(window.admit(&resend), Admission::Joined);
            window.join(&resend).expect("no limit is reached");
        }
        assert!(answers(&mut window).is_empty(), "nothing is durable");
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(answers(&mut window), [RECEIVED; 3]);
        assert_eq!((window.owed, window.unreleased.len()), (0, 1));
    }

    #[test]
    fn other_content_under_a_qos_2_id_lands_too() {
        let mut window = window(10);
        let other = Publish { fingerprint: 99, ..publish(1, 2, 0) };
        window.open(publish(1, 2, 0));
        assert_eq!(window.admit(&other), Admission::New);
        window.open(other);
        window.decide(0, Outcome::Landed).expect("landed");
        assert_eq!(answers(&mut window), [RECEIVED], "the other is not durable");
        assert_eq!(window.admit(&publish(1, 2, 0)), Admission::Received);
        assert_eq!(window.admit(&other), Admission::Joined);
        window.decide(1, Outcome::Landed).expect("landed");
        assert_eq!(answers(&mut window), [RECEIVED]);
        for known in [publish(1, 2, 0), other] {
            assert_eq!(window.admit(&known), Admission::Received);
        }
        assert_eq!(window.release(1), Ok(Released::Done));
        for known in [publish(1, 2, 0), other] {
            assert_eq!(window.admit(&known), Admission::New);
        }
    }

    /// Else a client that was told PUBCOMP could take the PUBREC that comes then for its next message's.
    #[test]
    fn a_pubrel_that_comes_too_early_waits_for_the_pubrec() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        assert_eq!(window.release(1), Ok(Released::Later));
        assert!(answers(&mut window).is_empty());
        window.decide(0, Outcome::Landed).expect("landed");
        let completed = (Answer::Pubcomp, 1, reason::SUCCESS);
        assert_eq!(answers(&mut window), [RECEIVED, completed]);
        assert_eq!(window.admit(&publish(1, 2, 0)), Admission::New);
    }

    #[test]
    fn a_refused_qos_2_message_ends_with_the_pubrec_that_says_so() {
        for (is_v5, after) in [(true, Admission::New), (false, Admission::Received)] {
            let limits = WindowLimits { messages: 10, bytes: 1_000 };
            let mut window = Window::new(limits, is_v5);
            window.open(publish(1, 2, 0));
            window.decide(0, Outcome::DeadLettered(Fault::Topic)).expect("decided");
            assert_eq!(answers(&mut window), [(Answer::Pubrec, 1, reason::TOPIC_NAME_INVALID)]);
            // A v3 client saw no code: for it the id is in use until its PUBREL.
            assert_eq!(window.admit(&publish(1, 2, 0)), after, "v5: {is_v5}");
        }
    }

    #[test]
    fn resends_that_wait_for_their_pubrec_are_bounded() {
        let mut window = window(10);
        window.open(publish(1, 2, 0));
        for _ in 0..OWED_MAX {
            window.join(&publish(1, 2, 0)).expect("below the limit");
        }
        let fault = WindowFault::TooManyResends;
        assert_eq!(window.join(&publish(1, 2, 0)), Err(fault));
        for _ in 0..RELEASING_MAX {
            assert_eq!(window.release(1), Ok(Released::Later));
        }
        assert_eq!(window.release(1), Err(fault));
    }

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let ids: Vec<u16> = (1..=200).chain([7]).collect();
        for id in (1..=200).filter(|id| *id != 7) {
            assert_eq!(positions(&ids, id).collect::<Vec<_>>(), [usize::from(id) - 1]);
        }
        assert_eq!(positions(&ids, 7).collect::<Vec<_>>(), [6, 200]);
        assert_eq!(positions(&ids, 201).next(), None);
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

        /// Against a plain model, in both versions, with few packet ids and contents: what is a resend
        /// never lands again, every PUBLISH of QoS 2 gets its PUBREC and every PUBREL its PUBCOMP, and
        /// none before what it confirms is decided.
        #[test]
        fn packet_ids_mean_what_the_standard_says(
            is_v5 in any::<bool>(),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            const MESSAGES: u16 = 500;
            let mut window = Window::new(WindowLimits { messages: MESSAGES, bytes: u32::MAX }, is_v5);
            let mut model = Model { is_v5, ..Model::default() };
            for step in steps {
                match step {
                    Step::Publish(publish) => {
                        let slot = window.next_slot();
                        let expected = model.publish(&publish, slot);
                        prop_assert_eq!(window.admit(&publish), expected, "{:?}", publish);
                        match expected {
                            Admission::New => prop_assert_eq!(window.open(publish), slot),
                            Admission::Joined => window.join(&publish).expect("few resends"),
                            _ => {}
                        }
                    }
                    Step::Decide { pick, refuse } => {
                        if let Some(slot) = model.decide(|count| pick.index(count), refuse) {
                            window.decide(slot, outcome(refuse)).expect("decided");
                        }
                    }
                    Step::Release(packet_id) => {
                        let expected = model.release(packet_id);
                        prop_assert_eq!(window.release(packet_id), Ok(expected));
                    }
                }
                let (mut is, mut expected) = (answers(&mut window), model.answers());
                let completed = is.iter().position(|(answer, ..)| *answer == Answer::Pubcomp);
                if let Some(at) = completed {
                    let id = is[at].1;
                    let late = |(answer, other, _): &(Answer, u16, u8)| *answer != Answer::Pubcomp && *other == id;
                    prop_assert!(!is[at..].iter().any(late), "PUBCOMP is the last: {:?}", is);
                }
                is.sort();
                expected.sort();
                prop_assert_eq!(is, expected);
            }
            while let Some(slot) = model.decide(|_| 0, false) {
                window.decide(slot, Outcome::Landed).expect("landed");
                let (mut is, mut expected) = (answers(&mut window), model.answers());
                is.sort();
                expected.sort();
                prop_assert_eq!(is, expected);
            }
            prop_assert_eq!((window.open, window.owed, window.releasing.len()), (0, 0, 0));
            prop_assert_eq!(window.unreleased.len(), model.received.len());
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Publish(Publish),
        Decide { pick: prop::sample::Index, refuse: bool },
        Release(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        let publish = (1..4_u16, 1..3_u8, any::<bool>(), 0..3_u128, 0..2_u8).prop_map(
            |(packet_id, qos, dup, fingerprint, group)| {
                Step::Publish(Publish { dup, fingerprint, ..publish(packet_id, qos, group) })
            },
        );
        let decide = (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(pick, refuse)| Step::Decide { pick, refuse });
        prop_oneof![3 => publish, 2 => decide, 1 => (1..4_u16).prop_map(Step::Release)]
    }

    fn outcome(refuse: bool) -> Outcome {
        if refuse { Outcome::DeadLettered(Fault::Topic) } else { Outcome::Landed }
    }

    /// The rules, told without any thought of speed.
    #[derive(Default)]
    struct Model {
        is_v5: bool,
        open: Vec<ModelMessage>,
        /// What landed at QoS 2 and is not released: packet id and content.
        received: Vec<(u16, u128)>,
        /// Packet ids whose PUBREL came too early.
        released: Vec<u16>,
    }

    struct ModelMessage {
        slot: u32,
        publish: Publish,
        publishes: usize,
        decided: Option<bool>,
    }

    impl Model {
        fn publish(&mut self, publish: &Publish, slot: u32) -> Admission {
            let Publish { packet_id, qos, fingerprint, dup, .. } = *publish;
            let mut under = self.open.iter_mut().filter(|open| open.publish.packet_id == packet_id);
            if qos == 1 {
                let admission = match under.next() {
                    Some(open) => {
                        let same = open.publish.qos == 1 && open.publish.fingerprint == fingerprint;
                        if same && dup { Admission::Joined } else { Admission::PacketIdInUse }
                    }
                    None if self.received.iter().any(|(id, _)| *id == packet_id) => {
                        Admission::PacketIdInUse
                    }
                    None => Admission::New,
                };
                if admission == Admission::New {
                    self.take(*publish, slot);
                }
                return admission;
            }
            let mut under: Vec<&mut ModelMessage> = under.collect();
            if under.iter().any(|open| open.publish.qos == 1) {
                return Admission::PacketIdInUse;
            }
            let same = under.iter_mut().find(|open| open.publish.fingerprint == fingerprint);
            if let Some(same) = same {
                same.publishes += 1;
                return Admission::Joined;
            }
            if self.received.contains(&(packet_id, fingerprint)) {
                return Admission::Received;
            }
            self.take(*publish, slot);
            Admission::New
        }

        fn take(&mut self, publish: Publish, slot: u32) {
            self.open.push(ModelMessage { slot, publish, publishes: 1, decided: None });
        }

        fn decide(&mut self, pick: impl Fn(usize) -> usize, refuse: bool) -> Option<u32> {
            let mut undecided: Vec<_> =
                self.open.iter_mut().filter(|open| open.decided.is_none()).collect();
            if undecided.is_empty() {
                return None;
            }
            let index = pick(undecided.len());
            undecided[index].decided = Some(refuse);
            Some(undecided[index].slot)
        }

        fn release(&mut self, packet_id: u16) -> Released {
            let waits =
                |open: &ModelMessage| open.publish.packet_id == packet_id && open.publish.qos == 2;
            if self.open.iter().any(waits) {
                self.released.push(packet_id);
                return Released::Later;
            }
            let before = self.received.len();
            self.received.retain(|(id, _)| *id != packet_id);
            if self.received.len() < before { Released::Done } else { Released::Unknown }
        }

        fn answers(&mut self) -> Vec<(Answer, u16, u8)> {
            let mut answers = Vec::new();
            while let Some(index) = (0..self.open.len()).find(|index| {
                let group = self.open[*index].publish.group;
                let first = self.open.iter().position(|open| open.publish.group == group);
                first == Some(*index) && self.open[*index].decided.is_some()
            }) {
                let ModelMessage { publish, publishes, decided, .. } = self.open.remove(index);
                let refused = decided == Some(true);
                let Publish { packet_id, qos, fingerprint, .. } = publish;
                let code = if refused { reason::TOPIC_NAME_INVALID } else { reason::SUCCESS };
                if qos == 1 {
                    answers.push((Answer::Puback, packet_id, code));
                    continue;
                }
                answers.extend(vec![(Answer::Pubrec, packet_id, code); publishes]);
                if self.is_v5 && refused {
                    self.received.retain(|(id, _)| *id != packet_id);
                } else {
                    self.received.push((packet_id, fingerprint));
                }
                if !self.open.iter().any(|open| open.publish.packet_id == packet_id) {
                    let before = self.released.len();
                    self.released.retain(|id| *id != packet_id);
                    for _ in self.released.len()..before {
                        self.received.retain(|(id, _)| *id != packet_id);
                        answers.push((Answer::Pubcomp, packet_id, reason::SUCCESS));
                    }
                }
            }
            answers
        }
    }
}
