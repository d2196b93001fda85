//! The publish window of one connection: what the device sent and still waits for, the order its
//! acknowledgements leave in, and the packet ids that must not be taken twice. Pure: no sockets, no
//! clock.
//!
//! Acknowledgements leave in order within one [`Group`]: a message that waits for an object store holds
//! back no small one, and a stuck lane no other lane.
//!
//! QoS 2 is taken by its word (v5 4.3.3, v3.1.1 4.3.3): from PUBLISH to PUBREL every PUBLISH of a
//! packet id is answered by a PUBREC, with DUP or without. What was landed under it is not landed
//! again; other content under the same id is another message: it lands, too, and its PUBREC waits for
//! that. So whatever a client means by using an id twice, nothing is confirmed that is not durable.

use std::sync::atomic::{AtomicBool, Ordering};

use bridge::{Carriage, Fault, LaneId, Outcome};

use crate::mqtt::encode::Answer;
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
pub const FREE_BYTES: usize =
    16 * (SLOT_BYTES + size_of::<u16>() + size_of::<u128>()) + size_of::<Unreleased>();

/// How large a window may get.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    pub messages: u16,
    pub bytes: u32,
}

/// What acknowledgements keep their order within: a lane, and one way to carry a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u8);

impl Group {
    pub const fn of(lane: LaneId, carriage: Carriage) -> Group {
        Group(2 * lane.place() + matches!(carriage, Carriage::Large) as u8)
    }

    /// The place of its lane among all lanes.
    pub const fn lane_place(self) -> usize {
        self.0 as usize / 2
    }
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
    pub group: Group,
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

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub packet_id: u16,
    /// PUBCOMP: for a PUBREL that came before the PUBREC of what is open under its packet id.
    pub answer: Answer,
    /// MQTT 5 reason code; v3 has none.
    pub code: u8,
    /// Of what is acknowledged.
    pub group: Group,
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
    group: Group,
    first: u32,
    last: u32,
}

/// What was received at QoS 2 and is not released, in no order. Small, because a connection may have
/// many: 18 bytes each. An id stands in it once for each content that landed under it.
#[derive(Default)]
struct Unreleased {
    packet_ids: Vec<u16>,
    fingerprints: Vec<u128>,
    /// Packet ids whose PUBREL came while something was open under them; one for each PUBREL.
    releasing: Vec<u16>,
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
        self.len() < before
    }

    fn is_empty(&self) -> bool {
        self.packet_ids.is_empty() && self.releasing.is_empty()
    }

    fn held_bytes(&self) -> usize {
        let ids = self.packet_ids.capacity() + self.releasing.capacity();
        size_of::<Unreleased>()
            + ids * size_of::<u16>()
            + self.fingerprints.capacity() * size_of::<u128>()
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
    open: u32,
    /// One for each group that has open messages.
    queues: Vec<Queue>,
    bytes: u64,
    /// The sum of all resends that joined.
    owed: u32,
    /// None where there is nothing of QoS 2: most connections send none.
    unreleased: Option<Box<Unreleased>>,
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
            unreleased: None,
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
        for landed in self.landed_under(publish.packet_id) {
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

    /// What landed at QoS 2 under this packet id and is not released.
    fn landed_under(&self, packet_id: u16) -> impl Iterator<Item = u128> {
        self.unreleased.iter().flat_map(move |unreleased| unreleased.of(packet_id))
    }

    /// Packet ids that are not released, each once for each content.
    fn unreleased(&self) -> usize {
        self.unreleased.as_ref().map_or(0, |unreleased| unreleased.len())
    }

    /// A message with this packet id is open or not yet released.
    fn knows(&self, packet_id: u16) -> bool {
        self.open_under(packet_id).next().is_some() || self.landed_under(packet_id).next().is_some()
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
        open.or_else(|| self.landed_under(packet_id).next())
    }

    /// A client that was told the window's size has used it up: a message with this packet id is more
    /// than it may send, unless it is one that it sent before.
    pub fn is_exceeded_by(&self, packet_id: u16) -> bool {
        self.is_v5 && !self.has_slot(false) && !self.knows(packet_id)
    }

    /// A packet id that is not released counts once, whatever is open under it.
    fn has_slot(&self, is_known: bool) -> bool {
        let unreleased = if self.is_v5 && !is_known { self.unreleased() } else { 0 };
        self.open as usize + unreleased < usize::from(self.limits.messages)
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
        let is_open = self.packet_ids.get(slot as usize).is_some_and(|packet_id| *packet_id != 0);
        match self.entries.get_mut(slot as usize).filter(|entry| is_open && entry.code.is_none()) {
            Some(entry) => {
                entry.code = Some(code);
                self.decided += 1;
            }
            None => miscounted("an outcome came for a slot that waits for none"),
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
            let Publish { packet_id, received_us, group, .. } = publish;
            let answer = if publish.qos == 2 { Answer::Pubrec } else { Answer::Puback };
            let acknowledgement = Acknowledgement { packet_id, answer, code, group, received_us };
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
                self.complete(packet_id, group, received_us, &mut send);
            }
        }
        if self.open == 0 {
            self.clear();
        }
        if self.unreleased() > UNRELEASED_MAX.max(usize::from(self.limits.messages)) {
            return Err(WindowFault::TooManyUnreleased);
        }
        Ok(())
    }

    /// The PUBREC of a message leaves.
    fn received(&mut self, publish: &Publish, code: u8) {
        if self.is_v5 && code != reason::SUCCESS {
            // The client knows by the code that the id is free (v5 4.3.3).
            self.free_id(publish.packet_id);
        } else {
            // Also what became a dead letter: a v3 client saw no code, and its PUBREL is to come.
            let unreleased = self.unreleased.get_or_insert_default();
            unreleased.add(publish.packet_id, publish.fingerprint);
        }
    }

    /// Ends what a PUBREL asked for too early, if nothing is open under its packet id any more.
    fn complete(
        &mut self,
        packet_id: u16,
        group: Group,
        received_us: u64,
        send: &mut impl FnMut(Acknowledgement) -> bool,
    ) {
        let early = self.unreleased.iter().flat_map(|known| positions(&known.releasing, packet_id));
        let early = early.count();
        if early == 0 || self.open_under(packet_id).next().is_some() {
            return;
        }
        if let Some(unreleased) = &mut self.unreleased {
            unreleased.releasing.retain(|id| *id != packet_id);
        }
        self.free_id(packet_id);
        for _ in 0..early {
            let (answer, code) = (Answer::Pubcomp, reason::SUCCESS);
            send(Acknowledgement { packet_id, answer, code, group, received_us });
        }
    }

    /// Frees a packet id of QoS 2; false if it was not in use.
    fn free_id(&mut self, packet_id: u16) -> bool {
        let Some(unreleased) = &mut self.unreleased else { return false };
        let found = unreleased.remove(packet_id);
        if unreleased.is_empty() {
            self.unreleased = None;
        }
        found
    }

    fn give_back(&mut self, slot: u32, bytes: u32) {
        let was_open = std::mem::replace(&mut self.packet_ids[slot as usize], 0) != 0;
        if !was_open || self.open == 0 || self.decided == 0 || self.bytes < u64::from(bytes) {
            miscounted("a slot was given back that was not taken");
        }
        self.entries[slot as usize].next = std::mem::replace(&mut self.free, slot);
        self.decided = self.decided.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes.into());
    }

    /// All slots are free: begins again at the first, and keeps little.
    fn clear(&mut self) {
        self.packet_ids.clear();
        self.entries.clear();
        self.free = NONE;
        self.packet_ids.shrink_to(KEEP_ENTRIES);
        self.entries.shrink_to(KEEP_ENTRIES);
    }

    /// Messages that are open.
    pub fn open_messages(&self) -> u32 {
        self.open
    }

    /// Bytes that it keeps.
    pub fn held_bytes(&self) -> usize {
        self.packet_ids.capacity() * size_of::<u16>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.queues.capacity() * size_of::<Queue>()
            + self.unreleased.as_ref().map_or(0, |unreleased| unreleased.held_bytes())
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
            if let Some(unreleased) = &mut self.unreleased {
                unreleased.packet_ids.shrink_to_fit();
                unreleased.fingerprints.shrink_to_fit();
                unreleased.releasing.shrink_to_fit();
            }
        }
    }

    /// A PUBREL arrived. While a message of QoS 2 is open under its packet id, the id does not become
    /// free: the next message of that name would take the first one's PUBREC for its own.
    pub fn release(&mut self, packet_id: u16) -> Result<Released, WindowFault> {
        if self.open_under(packet_id).any(|open| open.qos == 2) {
            let releasing = &mut self.unreleased.get_or_insert_default().releasing;
            if releasing.len() >= RELEASING_MAX {
                return Err(WindowFault::TooManyResends);
            }
            releasing.push(packet_id);
            return Ok(Released::Later);
        }
        Ok(if self.free_id(packet_id) { Released::Done } else { Released::Unknown })
    }
}

/// The same message once more. At QoS 1 only DUP says so; at QoS 2 the packet id does (v5 4.3.3).
fn is_resend(publish: &Publish, open: &Publish) -> bool {
    (publish.dup || publish.qos == 2)
        && publish.qos == open.qos
        && publish.fingerprint == open.fingerprint
}

/// The window's sums do not agree, which is a fault of ours: said once, and in debug builds a panic. The
/// sums go on at zero, so that no window is full for ever.
#[cold]
fn miscounted(fault: &'static str) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        tracing::error!(
            fault,
            "a window miscounted: this is a fault of Landfall, please report it"
        );
    }
    debug_assert!(false, "{fault}");
}

#[cfg(test)]
mod tests;
