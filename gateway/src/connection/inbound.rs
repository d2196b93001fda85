//! What a connection holds of what it received and has not taken: the packet that is not whole, or what
//! back-pressure left; and the memory for it.
//!
//! Bytes are read into a buffer of the thread, behind a place for the packet that is not whole yet, and
//! are taken apart there. So an idle connection holds nothing.

use std::ops::Deref;

use bridge::{Full, LaneId, Reservation, Uplink};

use super::publish::Denied;
use super::upload::{Arriving, Rejoining};
use crate::mqtt;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// A packet that is not whole is completed in the thread's buffer up to this size, and in a buffer
/// of its own above it.
pub(super) const CARRY_BYTES: usize = 32 * 1024;
/// A packet that is not whole may keep this much without asking the memory budget.
pub(crate) const FREE_PARTIAL_BYTES: usize = 2 * 1024;
/// An empty buffer is given back above this size.
const KEEP_BYTES: usize = 1024;

/// What the next bytes are.
#[derive(Default)]
pub(super) enum Intake {
    #[default]
    Packets,
    /// The payload of a large message, which goes to the object store.
    Upload(Box<Arriving>),
    /// A payload that is not kept, in bytes; nothing that MQTT carries is longer. Then the answer to what is
    /// not allowed.
    Skip { left: u32, size: u32, denied: Option<Denied> },
    /// The payload of a large message sent again, of which only the hash is wanted.
    Rejoin(Box<Rejoining>),
}

/// See the module.
pub(super) struct Inbound {
    pub intake: Intake,
    /// Bytes received and not taken.
    tail: Vec<u8>,
    /// `tail` is worth looking at when it has this many bytes; no packet has more than a u32 says.
    needed: u32,
    /// It is the threads for large messages that read.
    pub among_large: bool,
    /// Room for a packet that is still arriving, in the share of this lane or, while only a part of its
    /// head is here, of none.
    room: Option<Box<Room>>,
    /// What `tail` takes beyond what it may by right and the room, while it waits.
    kept: Option<Box<Reservation>>,
}

/// Memory for a packet that arrives; few connections have any, so it is in a box.
struct Room {
    lane: Option<LaneId>,
    bytes: Reservation,
}

/// Bytes that are looked at together.
pub(super) enum Gathered<'i> {
    /// In the thread's buffer.
    Read(&'i [u8]),
    Held(Vec<u8>),
}

impl Deref for Gathered<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Gathered::Read(bytes) => bytes,
            Gathered::Held(bytes) => bytes,
        }
    }
}

impl Inbound {
    /// What came behind CONNECT is held.
    pub fn new(rest: Vec<u8>) -> Inbound {
        Inbound {
            intake: Intake::Packets,
            tail: rest,
            needed: 1,
            among_large: false,
            room: None,
            kept: None,
        }
    }

    /// The next byte begins a packet.
    pub fn begins_packet(&self) -> bool {
        self.tail.is_empty() && matches!(self.intake, Intake::Packets)
    }

    /// Puts what is held in front of `count` bytes that were read into `input` behind
    /// [`CARRY_BYTES`]; None while the packet at hand needs more.
    pub fn gather<'i>(&mut self, input: &'i mut [u8], count: usize) -> Option<Gathered<'i>> {
        let end = CARRY_BYTES + count;
        if self.tail.len() > CARRY_BYTES {
            self.extend(&input[CARRY_BYTES..end]);
            return (self.tail.len() >= self.needed as usize).then(|| self.take_held());
        }
        let start = CARRY_BYTES - self.tail.len();
        input[start..CARRY_BYTES].copy_from_slice(&self.tail);
        self.tail.clear();
        Some(Gathered::Read(&input[start..end]))
    }

    /// What is held, to be looked at again.
    pub fn take_held(&mut self) -> Gathered<'static> {
        Gathered::Held(std::mem::take(&mut self.tail))
    }

    /// Holds what was gathered and not taken.
    pub fn hold(&mut self, gathered: Gathered<'_>, taken: usize) {
        match gathered {
            Gathered::Read(bytes) => self.extend(&bytes[taken..]),
            Gathered::Held(mut bytes) => {
                bytes.drain(..taken);
                self.tail = bytes;
            }
        }
        let held = self.tail.capacity();
        if self.tail.is_empty() && held > KEEP_BYTES {
            self.tail = Vec::new();
        } else if held > self.partial_max() && held > 4 * self.tail.len() {
            self.tail.shrink_to(self.tail.len());
        }
    }

    /// Counts what is held, if it waits for something else than its own end.
    pub fn count(&mut self, waits: bool, uplink: &Uplink) {
        let bytes = self.tail.capacity().saturating_sub(self.partial_max());
        self.kept = (waits && bytes > 0).then(|| Box::new(uplink.reserve_over_limit(bytes as u64)));
    }

    /// The packet at hand is worth looking at when it has so many bytes.
    pub fn needs(&mut self, bytes: usize) {
        self.needed = bytes as u32;
    }

    /// Makes sure that there is room for a packet of `size` bytes while it arrives.
    pub fn make_room(
        &mut self,
        uplink: &Uplink,
        lane: Option<LaneId>,
        size: usize,
    ) -> Result<(), Full> {
        if size > FREE_PARTIAL_BYTES && !self.has_room_in(lane) {
            // Only then the head's own room is given back, if it had some.
            let bytes = uplink.reserve(lane, size as u64)?;
            self.room = Some(Box::new(Room { lane, bytes }));
        }
        Ok(())
    }

    /// The room of the packet at hand, if it has some.
    pub fn room(&self) -> Option<&Reservation> {
        self.room.as_ref().map(|room| &room.bytes)
    }

    /// The packet at hand has room in the share of this lane.
    fn has_room_in(&self, lane: Option<LaneId>) -> bool {
        self.room.as_ref().is_some_and(|room| room.lane == lane)
    }

    /// The packet at hand was taken.
    pub fn give_back_room(&mut self) {
        self.room = None;
    }

    /// Bytes that a packet may have here while it arrives: what is reserved for it, or free.
    fn partial_max(&self) -> usize {
        let reserved = self.room.as_ref().map_or(0, |room| room.bytes.bytes() as usize);
        reserved.max(FREE_PARTIAL_BYTES)
    }

    /// Bytes that may be read without asking for what they take if they cannot be taken in.
    pub fn free_to_read(&self) -> usize {
        self.partial_max().saturating_sub(self.tail.len()).clamp(1, READ_BYTES)
    }

    /// Adds to `tail`, which grows to what the packet at hand needs, and without need no further than
    /// it may.
    fn extend(&mut self, bytes: &[u8]) {
        let (kept, held) = (self.tail.len() + bytes.len(), self.tail.capacity());
        if kept > held {
            let wanted = (self.needed as usize).max(2 * held).min(self.partial_max()).max(kept);
            self.tail.reserve_exact(wanted - self.tail.len());
        }
        self.tail.extend_from_slice(bytes);
    }

    /// A packet is incomplete; how many bytes it has in all, as far as is known.
    pub fn partial_bytes(&self) -> Option<usize> {
        (!self.tail.is_empty()).then_some(self.needed as usize)
    }

    /// The next bytes are work for the threads of large messages. What is only dropped is none when it comes with
    /// one read: small messages are, when they are many and there is no room.
    fn is_large(&self) -> bool {
        match &self.intake {
            Intake::Packets => false,
            Intake::Upload(_) | Intake::Rejoin(_) => true,
            Intake::Skip { left, .. } => *left as usize > READ_BYTES,
        }
    }

    /// Other threads than those that read are to take the next bytes.
    pub fn is_misplaced(&self) -> bool {
        self.is_large() != self.among_large
    }

    /// A large message arrives in pieces; how many bytes its payload has.
    pub fn streaming_bytes(&self) -> Option<u64> {
        match &self.intake {
            Intake::Packets => None,
            Intake::Upload(arriving) => Some(arriving.size().into()),
            Intake::Skip { size, .. } => Some((*size).into()),
            Intake::Rejoin(rejoining) => Some(rejoining.size().into()),
        }
    }

    /// Bytes that what is at hand lacks and that have to come yet, so that it can be taken.
    pub fn missing_bytes(&self) -> u64 {
        let all = match &self.intake {
            Intake::Packets => {
                let header = mqtt::fixed_header(&self.tail).ok().flatten();
                header.map_or(0, |header| header.packet_size())
            }
            Intake::Upload(arriving) => arriving.left(),
            Intake::Skip { left, .. } => *left,
            Intake::Rejoin(rejoining) => rejoining.left(),
        };
        u64::from(all).saturating_sub(self.tail.len() as u64)
    }

    /// Bytes that it holds.
    pub fn held_bytes(&self) -> usize {
        self.tail.capacity()
    }

    /// Gives back what is held for the next packet.
    pub fn rest(&mut self) {
        if self.tail.is_empty() {
            self.tail = Vec::new();
        }
    }

    /// Nothing is taken any more: what did not become whole is gone, and its memory free.
    pub fn end(&mut self) {
        *self = Inbound::new(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bridge::Carriage;

    use super::*;
    use crate::edge::Edge;
    use crate::edge::tests::{LANE_MEMORY, edge};

    fn input() -> Vec<u8> {
        vec![0; CARRY_BYTES + READ_BYTES]
    }

    /// PUBLISHes with payloads of these sizes, as bytes and one by one.
    fn packets(sizes: &[usize]) -> Vec<Vec<u8>> {
        let packet = |(number, size): (usize, &usize)| {
            let mut packet = vec![0x30];
            let mut length = 3 + size;
            while length > 0 {
                packet.push((length % 128) as u8 | if length > 127 { 0x80 } else { 0 });
                length /= 128;
            }
            packet.extend_from_slice(&[0, 1, b'a' + number as u8]);
            packet.resize(packet.len() + size, number as u8);
            packet
        };
        sizes.iter().enumerate().map(packet).collect()
    }

    /// Takes whole packets, as a connection does.
    fn take(inbound: &mut Inbound, edge: &Edge, data: &[u8], found: &mut Vec<Vec<u8>>) -> usize {
        let mut taken = 0;
        inbound.needs(1);
        while taken < data.len() {
            let rest = &data[taken..];
            let Some(header) = mqtt::fixed_header(rest).expect("a good header") else {
                inbound.needs(rest.len() + 1);
                break;
            };
            let size = header.packet_size() as usize;
            if rest.len() < size {
                inbound.make_room(&edge.uplink, Some(LaneId::FAST), size).expect("there is room");
                inbound.needs(size);
                break;
            }
            found.push(rest[..size].to_vec());
            inbound.give_back_room();
            taken += size;
        }
        taken
    }

    fn receive(inbound: &mut Inbound, edge: &Edge, bytes: &[u8], found: &mut Vec<Vec<u8>>) {
        let mut input = input();
        input[CARRY_BYTES..CARRY_BYTES + bytes.len()].copy_from_slice(bytes);
        if let Some(gathered) = inbound.gather(&mut input, bytes.len()) {
            let taken = take(inbound, edge, &gathered, found);
            inbound.hold(gathered, taken);
            inbound.count(false, &edge.uplink);
        }
    }

    fn used(edge: &Edge) -> u64 {
        let accounts = edge.uplink.accounts();
        accounts.map(|account| account.share(Carriage::Inline).used()).sum()
    }

    #[test]
    fn packets_come_whole_wherever_their_bytes_are_cut() {
        let edge = edge();
        let expected = packets(&[0, 1, 124, 125, 300, 0]);
        let stream = expected.concat();
        for cut in 1..stream.len() {
            let (mut inbound, mut found) = (Inbound::new(Vec::new()), Vec::new());
            for piece in [&stream[..cut], &stream[cut..]] {
                receive(&mut inbound, &edge, piece, &mut found);
            }
            assert!(found == expected, "cut at {cut}");
            assert!(inbound.begins_packet() && inbound.held_bytes() <= KEEP_BYTES);
        }
        for length in 1..stream.len() {
            let (mut inbound, mut found) = (Inbound::new(Vec::new()), Vec::new());
            stream.chunks(length).for_each(|piece| {
                receive(&mut inbound, &edge, piece, &mut found);
            });
            assert!(found == expected, "in pieces of {length}");
        }
    }

    #[test]
    fn a_packet_larger_than_the_threads_buffer_has_one_of_its_own_and_room_for_it() {
        let edge = edge();
        let expected = packets(&[10, CARRY_BYTES + 20_000, 10]);
        let stream = expected.concat();
        for length in [1000, CARRY_BYTES - 1, CARRY_BYTES, CARRY_BYTES + 1, READ_BYTES] {
            let (mut inbound, mut found) = (Inbound::new(Vec::new()), Vec::new());
            let mut most = 0;
            for piece in stream.chunks(length) {
                receive(&mut inbound, &edge, piece, &mut found);
                most = most.max(inbound.held_bytes());
                assert!(inbound.held_bytes() as u64 <= used(&edge).max(FREE_PARTIAL_BYTES as u64));
            }
            assert!(found == expected, "in pieces of {length}");
            assert!(most <= expected[1].len(), "{most}");
            assert_eq!(used(&edge), 0, "its room is given back");
            assert!(inbound.held_bytes() <= KEEP_BYTES);
        }
    }

    #[test]
    fn what_back_pressure_leaves_counts_until_it_is_taken() {
        let edge = edge();
        let mut inbound = Inbound::new(Vec::new());
        let mut input = input();
        let gathered = inbound.gather(&mut input, 5000).expect("there is something");
        inbound.hold(gathered, 100);
        inbound.count(true, &edge.uplink);
        assert_eq!(used(&edge), (4900 - FREE_PARTIAL_BYTES) as u64);
        assert_eq!(inbound.free_to_read(), 1, "it has more than it may");
        let held = inbound.take_held();
        assert_eq!(held.len(), 4900);
        inbound.hold(held, 4900);
        inbound.count(false, &edge.uplink);
        assert_eq!((used(&edge), inbound.held_bytes()), (0, 0));
    }

    #[test]
    fn room_is_taken_once_and_in_the_lane_where_it_belongs() {
        let edge = edge();
        let mut inbound = Inbound::new(Vec::new());
        let make = |inbound: &mut Inbound, edge: &Arc<Edge>, lane, size| {
            inbound.make_room(&edge.uplink, lane, size)
        };
        assert_eq!(make(&mut inbound, &edge, None, FREE_PARTIAL_BYTES), Ok(()));
        assert_eq!(used(&edge), 0, "so much is free");
        for _ in 0..2 {
            assert_eq!(make(&mut inbound, &edge, None, 10_000), Ok(()));
            assert_eq!(used(&edge), 10_000);
        }
        assert_eq!(make(&mut inbound, &edge, Some(LaneId::FAST), 20_000), Ok(()));
        assert_eq!(used(&edge), 20_000, "that of the head is given back");
        let full = Inbound::new(Vec::new()).make_room(
            &edge.uplink,
            Some(LaneId::FAST),
            LANE_MEMORY as usize,
        );
        assert_eq!(full.map_err(|full| full.lane), Err(Some(LaneId::FAST)));
        inbound.end();
        assert_eq!(used(&edge), 0);
    }

    #[test]
    fn what_a_packet_lacks_is_known() {
        let mut inbound = Inbound::new(packets(&[300])[0][..100].to_vec());
        assert_eq!(inbound.missing_bytes(), 6 + 300 - 100);
        inbound.intake = Intake::Skip { left: 1000, size: 2000, denied: None };
        assert_eq!(inbound.missing_bytes(), 900);
        assert!(!inbound.is_large(), "it is gone before others would have their turn");
        let size = 2 * READ_BYTES as u32;
        inbound.intake = Intake::Skip { left: size, size, denied: None };
        assert!(inbound.is_large());
        inbound.intake = Intake::Skip { left: 100, size: 2000, denied: None };
        assert_eq!(inbound.missing_bytes(), 0);
    }
}
