//! What a member of a group has at hand: its partitions, each with its window, and the records that are on
//! their way to Kafka. Pure.
//!
//! Each assignment of a partition has an epoch of its own, and so has each time that it is read again from
//! its commit. What belongs to an earlier epoch changes nothing any more: no stale report finishes a message.

use std::time::{Duration, Instant};

use bridge::kafka::group::{Partition, Position};
use slab::Slab;

use crate::line::Line;
use crate::plan::WindowLimits;
use crate::window::{Arrival, Seq, Window};

/// A partition has at most so many times of the window what it leaves to all others: one of which nothing lands keeps
/// no other.
const SHARE: u64 = 4;
/// A partition stands of which nothing landed for so long although it has records on their way.
const STANDS_AFTER: Duration = Duration::from_secs(5);

/// A partition's place at the desk, as long as nothing is assigned or revoked.
pub type SlotId = usize;

/// The name of a record on its way; unique among those that are.
pub type Token = usize;

/// One message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub slot: SlotId,
    epoch: u64,
    seq: Seq,
    /// When its gateway received it, milliseconds since 1970 UTC.
    pub received_ms: i64,
}

/// A record on its way.
struct Place {
    ticket: Ticket,
    bytes: u64,
}

/// One partition.
pub struct Slot {
    pub partition: Partition,
    epoch: u64,
    window: Window,
    /// What was committed last, as far as is known.
    committed: Option<i64>,
    on_way: OnWay,
    pub line: Line,
}

/// What of a partition is on its way, of what was begun since it was assigned or read again.
#[derive(Default)]
struct OnWay {
    records: usize,
    bytes: u64,
    /// How many landed, now and when it was looked at, and since when that is so.
    landed: u64,
    seen: Option<(u64, Instant)>,
    /// Nothing landed for a while.
    stands: bool,
}

/// What a report means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Its message is not finished with that.
    Part,
    /// Its message is finished.
    Message(Ticket),
    /// Its message is somebody else's, or was begun again.
    Stale,
}

/// How much is at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub messages: usize,
    pub bytes: u64,
}

/// See the module.
pub struct Desk {
    limits: WindowLimits,
    /// By number; None where a partition was, and the next one may be.
    slots: Vec<Option<Slot>>,
    epoch: u64,
    places: Slab<Place>,
    /// Messages that are not finished.
    open_messages: usize,
    /// Bytes of records on their way.
    open_bytes: u64,
    /// Counts assignments and revocations.
    pub changes: u64,
    /// Something that was begun is somebody else's since this was asked last, or begun again.
    has_stale: bool,
}

impl Desk {
    pub fn new(limits: WindowLimits) -> Desk {
        Desk {
            limits,
            slots: Vec::new(),
            epoch: 0,
            places: Slab::new(),
            open_messages: 0,
            open_bytes: 0,
            changes: 0,
            has_stale: false,
        }
    }

    pub fn assigned(&mut self, partitions: Vec<Partition>) {
        self.changes += 1;
        for partition in partitions {
            // An eager group tells of what was there all the time.
            self.forget(&partition);
            self.epoch += 1;
            let slot = Slot {
                partition,
                epoch: self.epoch,
                window: Window::default(),
                committed: None,
                on_way: OnWay::default(),
                line: Line::default(),
            };
            match self.slots.iter_mut().find(|slot| slot.is_none()) {
                Some(free) => *free = Some(slot),
                None => self.slots.push(Some(slot)),
            }
        }
    }

    /// Says what of them is finished and not committed.
    pub fn revoked(&mut self, partitions: &[Partition]) -> Vec<Position> {
        self.changes += 1;
        let finished = self.uncommitted(|slot| partitions.contains(&slot.partition));
        for partition in partitions {
            self.forget(partition);
        }
        finished
    }

    /// What was taken for committed of them was not: it is again when commits are taken next.
    pub fn not_committed(&mut self, partitions: &[Partition]) {
        for slot in self.slots.iter_mut().flatten() {
            if partitions.contains(&slot.partition) {
                slot.committed = None;
            }
        }
    }

    fn forget(&mut self, partition: &Partition) {
        let found = self
            .slots
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|slot| slot.partition == *partition));
        if let Some(slot) = found.and_then(Option::take) {
            self.has_stale = true;
            self.open_messages -= slot.window.len();
        }
    }

    /// The place of a partition that is assigned.
    pub fn find(&self, topic: &str, partition: i32) -> Option<SlotId> {
        self.slots.iter().position(|slot| {
            slot.as_ref().is_some_and(|slot| {
                slot.partition.partition == partition && slot.partition.topic == topic
            })
        })
    }

    pub fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id)?.as_ref()
    }

    pub fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id)?.as_mut()
    }

    /// Every partition that is assigned.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(id, slot)| slot.as_ref().map(|slot| (id, slot)))
    }

    /// Wakes what was held long enough, and says which partitions have anything that waits, or are not read:
    /// most have not, most of the time.
    pub fn wake(&mut self, now: Instant) -> Vec<SlotId> {
        let slots = self.slots.iter_mut().enumerate();
        let waiting = slots.filter_map(|(id, slot)| {
            let line = &mut slot.as_mut()?.line;
            line.wake(now);
            (!line.is_quiet()).then_some(id)
        });
        waiting.collect()
    }

    /// What Kafka says was committed, of a partition of which nothing was read yet.
    pub fn start_at(&mut self, id: SlotId, committed: i64) {
        if let Some(slot) = self.slots.get_mut(id).and_then(Option::as_mut) {
            if slot.window.is_empty() && slot.window.commit().is_none() {
                slot.window = Window::at(Some(committed));
            }
            slot.committed = Some(committed);
        }
    }

    /// The first message of a partition came of which nothing was known: whatever becomes of it, it is there
    /// that the partition is read from.
    pub fn first_came(&mut self, id: SlotId, offset: i64) {
        if let Some(slot) = self.slots.get_mut(id).and_then(Option::as_mut)
            && slot.window.next().is_none()
        {
            slot.window = Window::at(Some(offset));
        }
    }

    /// Whether one more message may be begun.
    pub fn has_room(&self) -> bool {
        self.open_messages < self.limits.records && self.has_room_for_records()
    }

    fn has_room_for_records(&self) -> bool {
        self.open_bytes < self.limits.bytes
    }

    /// Whether one more message of the partition may be begun.
    pub fn has_room_for(&self, id: SlotId) -> bool {
        let free = self.limits.records.saturating_sub(self.open_messages);
        let share = free.saturating_mul(SHARE as usize);
        self.has_room_for_more_of(id) && self.window_len(id) < share
    }

    /// Whether more may be made of a message of the partition that was begun: it has its place among the messages.
    pub fn has_room_for_more_of(&self, id: SlotId) -> bool {
        let free = self.limits.bytes.saturating_sub(self.open_bytes);
        self.slot(id).is_some_and(|slot| slot.on_way.bytes < free.saturating_mul(SHARE))
    }

    /// Whether more is to be read: there is room, and nobody waits for it who would be served as soon as records land.
    pub fn may_read(&self) -> bool {
        let waits = |slot: &Slot| slot.line.waits_for_room() && !slot.on_way.stands;
        self.has_room() && !self.slots.iter().flatten().any(waits)
    }

    /// Looks which partitions stand.
    pub fn look(&mut self, now: Instant) {
        for slot in self.slots.iter_mut().flatten() {
            let on_way = &mut slot.on_way;
            let since = match on_way.seen {
                Some((landed, since)) if landed == on_way.landed && on_way.records > 0 => since,
                _ => now,
            };
            on_way.seen = Some((on_way.landed, since));
            on_way.stands = now.saturating_duration_since(since) >= STANDS_AFTER;
        }
    }

    /// What is at hand: messages that are not finished or wait, and the bytes of what waits and of what is on its
    /// way.
    pub fn held(&self) -> Held {
        let lines = self.slots.iter().flatten().map(|slot| &slot.line);
        let start = Held { messages: self.open_messages, bytes: self.open_bytes };
        lines.fold(start, |held, line| Held {
            messages: held.messages + line.waiting(),
            bytes: held.bytes + line.waiting_bytes() as u64,
        })
    }

    /// Whether records are on their way that ought to land soon.
    pub fn expects_landings(&self) -> bool {
        let expects = |slot: &Slot| slot.on_way.records > 0 && !slot.on_way.stands;
        self.slots.iter().flatten().any(expects)
    }

    pub fn arrival(&self, id: SlotId, offset: i64) -> Arrival {
        self.slot(id).map_or(Arrival::Next, |slot| slot.window.arrival(offset))
    }

    /// Takes on a message of a partition that is assigned, and that is not [`Arrival::Before`].
    pub fn begin(&mut self, id: SlotId, offset: i64, received_ms: i64) -> Ticket {
        let slot = self.slots[id].as_mut().expect("a message is begun of what is assigned");
        self.open_messages += 1;
        Ticket {
            slot: id,
            epoch: slot.epoch,
            seq: slot.window.begin(offset, received_ms),
            received_ms,
        }
    }

    /// The message that was begun last is to be begun later. False if it is somebody else's.
    pub fn take_back(&mut self, ticket: Ticket) -> bool {
        let Some(slot) = self.current(ticket) else { return false };
        slot.window.take_back(ticket.seq);
        self.open_messages -= 1;
        true
    }

    /// A record of the message goes on its way; None if the message is somebody else's.
    pub fn open(&mut self, ticket: Ticket, bytes: u64) -> Option<Token> {
        let slot = self.current(ticket)?;
        slot.window.open(ticket.seq);
        slot.on_way.records += 1;
        slot.on_way.bytes += bytes;
        self.open_bytes += bytes;
        Some(self.places.insert(Place { ticket, bytes }))
    }

    /// All records of the message are on their way, or landed. True if it is finished with that.
    pub fn close(&mut self, ticket: Ticket) -> bool {
        let Some(slot) = self.current(ticket) else { return false };
        let before = slot.window.len();
        let finished = slot.window.close(ticket.seq);
        self.open_messages -= before - self.window_len(ticket.slot);
        finished
    }

    /// A record landed.
    pub fn landed(&mut self, token: Token) -> Landed {
        let Place { ticket, bytes } = self.places.remove(token);
        self.open_bytes -= bytes;
        let Some(slot) = self.current(ticket) else { return Landed::Stale };
        slot.on_way.gone(bytes);
        slot.on_way.landed += 1;
        slot.on_way.stands = false;
        let before = slot.window.len();
        let finished = slot.window.landed(ticket.seq);
        self.open_messages -= before - self.window_len(ticket.slot);
        if finished { Landed::Message(ticket) } else { Landed::Part }
    }

    /// A record does not land, and its message has to be begun again: says of which partition and offset, unless it
    /// is somebody else's.
    pub fn failed(&mut self, token: Token) -> Option<(SlotId, i64)> {
        let Place { ticket, bytes } = self.places.remove(token);
        self.open_bytes -= bytes;
        let slot = self.current(ticket)?;
        slot.on_way.gone(bytes);
        Some((ticket.slot, slot.window.offset(ticket.seq)))
    }

    /// Whether a record's message is still this member's, and is not read again.
    pub fn is_wanted(&self, token: Token) -> bool {
        self.places.get(token).is_some_and(|place| self.is_current(place.ticket))
    }

    /// Whether the record is of the first message of the partition that is not finished.
    pub fn is_of_first(&self, token: Token, id: SlotId) -> bool {
        self.places.get(token).is_some_and(|Place { ticket, .. }| {
            let is_first = |slot: &Slot| slot.window.is_first(ticket.seq);
            ticket.slot == id && self.is_current(*ticket) && self.slot(id).is_some_and(is_first)
        })
    }

    /// Whether records may be on their way that are not wanted since this was asked last.
    pub fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.has_stale)
    }

    pub fn is_current(&self, ticket: Ticket) -> bool {
        self.slot(ticket.slot).is_some_and(|slot| slot.epoch == ticket.epoch)
    }

    /// The offset behind the last message of the partition that was begun.
    pub fn begun(&self, id: SlotId) -> Option<i64> {
        self.slot(id)?.window.next()
    }

    /// From where on the partition is to be read if it is read again.
    pub fn position(&self, id: SlotId) -> Option<Position> {
        let slot = self.slot(id)?;
        let partition = slot.partition.clone();
        slot.window.commit().map(|offset| Position { partition, offset })
    }

    /// Everything of the partition that is not finished is void, and read again: from where on.
    pub fn rewind(&mut self, id: SlotId) -> Option<Position> {
        self.epoch += 1;
        let slot = self.slots.get_mut(id)?.as_mut()?;
        self.has_stale = true;
        self.open_messages -= slot.window.len();
        slot.window = Window::at(slot.window.commit());
        slot.on_way = OnWay::default();
        slot.epoch = self.epoch;
        self.position(id)
    }

    /// The partition begins anew, at whatever offset comes.
    pub fn begin_anew(&mut self, id: SlotId) {
        self.epoch += 1;
        if let Some(slot) = self.slots.get_mut(id).and_then(Option::as_mut) {
            self.has_stale = true;
            self.open_messages -= slot.window.len();
            slot.window = Window::default();
            slot.on_way = OnWay::default();
            slot.epoch = self.epoch;
            slot.committed = None;
            slot.line.begin_anew();
        }
    }

    /// What is finished and not committed; it is taken for committed from here on.
    pub fn take_commits(&mut self) -> Vec<Position> {
        let commits = self.uncommitted(|_| true);
        for slot in self.slots.iter_mut().flatten() {
            slot.committed = slot.window.commit().or(slot.committed);
            if let Some(commit) = slot.window.commit() {
                slot.line.finished_before(commit);
            }
        }
        commits
    }

    fn uncommitted(&self, of: impl Fn(&Slot) -> bool) -> Vec<Position> {
        let slots = self.slots.iter().flatten().filter(|slot| of(slot));
        let commits = slots.filter_map(|slot| {
            let offset = slot.window.commit()?;
            let partition = slot.partition.clone();
            (slot.committed != Some(offset)).then_some(Position { partition, offset })
        });
        commits.collect()
    }

    fn window_len(&self, id: SlotId) -> usize {
        self.slot(id).map_or(0, |slot| slot.window.len())
    }

    fn current(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(ticket.slot)?.as_mut()?;
        (slot.epoch == ticket.epoch).then_some(slot)
    }
}

impl OnWay {
    fn gone(&mut self, bytes: u64) {
        self.records -= 1;
        self.bytes -= bytes;
    }
}

impl Slot {
    /// Where it would be read from if the member ended now.
    pub fn commit(&self) -> Option<i64> {
        self.window.commit()
    }

    /// When the oldest message was received that is at hand and not finished, milliseconds since 1970 UTC.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.window.oldest_ms().or(self.line.oldest_ms())
    }

    /// Nothing of it landed for a while, although it has records on their way.
    pub fn stands(&self) -> bool {
        self.on_way.stands
    }

    /// The message that it stands at: the one that does not land, or else the first that waits, or the one that is to
    /// be read again.
    pub fn stands_at(&self) -> Option<i64> {
        let waits = self.line.first_offset().filter(|_| !self.stands());
        waits.or(self.commit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Raw;

    fn partition(partition: i32) -> Partition {
        Partition { topic: "fast".to_owned(), partition }
    }

    fn at(partition_number: i32, offset: i64) -> Position {
        Position { partition: partition(partition_number), offset }
    }

    fn desk() -> Desk {
        let mut desk = Desk::new(WindowLimits { records: 3, bytes: 100 });
        desk.assigned(vec![partition(0), partition(1)]);
        desk
    }

    #[test]
    fn a_stale_report_finishes_nothing() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let ticket = desk.begin(slot, 7, 0);
        let token = desk.open(ticket, 10).expect("it is at hand");
        desk.close(ticket);
        assert!(desk.revoked(&[partition(0)]) == vec![at(0, 7)], "whoever comes next begins there");
        desk.assigned(vec![partition(0)]);
        let slot = desk.find("fast", 0).expect("it is assigned again");
        let again = desk.begin(slot, 7, 0);
        let second = desk.open(again, 10).expect("it is at hand");
        desk.close(again);
        assert_eq!(desk.landed(token), Landed::Stale);
        assert_eq!(desk.take_commits(), [at(0, 7)]);
        assert_eq!(desk.landed(second), Landed::Message(again));
        assert_eq!(desk.take_commits(), [at(0, 8)]);
        assert!(desk.take_commits().is_empty() && desk.places.is_empty());
    }

    /// Of whatever was begun before a partition went and came back.
    #[test]
    fn what_an_earlier_assignment_left_behind_changes_nothing_of_the_next() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let [a, b] = [3, 4].map(|offset| desk.begin(slot, offset, 0));
        let token = desk.open(a, 10).expect("it is at hand");
        desk.revoked(&[partition(0)]);
        desk.assigned(vec![partition(0)]);
        let slot = desk.find("fast", 0).expect("it is assigned again");
        let again = [3, 4].map(|offset| desk.begin(slot, offset, 0));
        assert!(desk.has_room(), "only two of three are begun");
        // What is told of it twice, late or not at all.
        desk.revoked(&[partition(7)]);
        assert!(!desk.take_back(b) && !desk.close(a) && !desk.close(b));
        assert_eq!((desk.open(b, 1), desk.failed(token)), (None, None));
        assert!(again.iter().all(|ticket| desk.is_current(*ticket)));
        assert!(again.iter().all(|ticket| desk.close(*ticket)));
        assert_eq!(desk.take_commits(), [at(0, 5)]);
        assert!(desk.places.is_empty() && desk.has_room());
    }

    #[test]
    fn what_is_read_again_begins_at_the_first_that_is_not_finished() {
        let mut desk = desk();
        let slot = desk.find("fast", 1).expect("it is assigned");
        let tickets = [3, 4].map(|offset| desk.begin(slot, offset, 0));
        let tokens = tickets.map(|ticket| desk.open(ticket, 1).expect("at hand"));
        for ticket in tickets {
            desk.close(ticket);
        }
        assert_eq!(desk.landed(tokens[1]), Landed::Message(tickets[1]));
        assert_eq!(desk.failed(tokens[0]), Some((slot, 3)));
        assert_eq!(desk.rewind(slot), Some(at(1, 3)));
        assert!(!desk.is_current(tickets[0]));
        assert_eq!(desk.open(tickets[0], 1), None);
        assert_eq!(desk.arrival(slot, 3), Arrival::Next);
        let again = desk.begin(slot, 3, 0);
        assert!(desk.close(again));
        assert_eq!(desk.take_commits(), [at(1, 4)]);
    }

    #[test]
    fn what_is_taken_back_gives_its_room_back() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let tickets = [0, 1, 2].map(|offset| desk.begin(slot, offset, 0));
        assert!(!desk.has_room());
        assert!(desk.take_back(tickets[2]));
        assert!(desk.has_room());
        assert_eq!(desk.begun(slot), Some(2));
        desk.rewind(slot);
        assert!(!desk.take_back(tickets[1]), "it is void");
    }

    #[test]
    fn the_oldest_message_is_that_under_way_or_else_the_first_that_waits() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let oldest = |desk: &Desk| desk.slot(slot).expect("it is assigned").oldest_ms();
        assert_eq!((oldest(&desk), desk.held()), (None, Held { messages: 0, bytes: 0 }));
        let ticket = desk.begin(slot, 7, 700);
        let token = desk.open(ticket, 10).expect("it is at hand");
        desk.close(ticket);
        let value = Some(&b"1234"[..]);
        let raw =
            Raw { topic: "fast", partition: 0, offset: 8, timestamp_ms: 800, key: None, value };
        desk.slot_mut(slot).expect("it is assigned").line.push(raw.to_owned());
        assert_eq!((oldest(&desk), desk.held()), (Some(700), Held { messages: 2, bytes: 14 }));
        desk.landed(token);
        assert_eq!((oldest(&desk), desk.held()), (Some(800), Held { messages: 1, bytes: 4 }));
    }

    #[test]
    fn what_came_first_and_waits_is_read_again_too() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        assert_eq!(desk.rewind(slot), None);
        desk.first_came(slot, 5);
        desk.first_came(slot, 6);
        assert_eq!(desk.rewind(slot), Some(at(0, 5)));
        assert_eq!(desk.arrival(slot, 6), Arrival::Behind(1));
    }

    #[test]
    fn room_is_of_messages_and_of_bytes_and_comes_back_whatever_happens() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let first = desk.begin(slot, 0, 0);
        let large = desk.open(first, 100).expect("at hand");
        assert!(!desk.has_room(), "100 bytes are on their way");
        assert_eq!(desk.landed(large), Landed::Part);
        assert!(desk.has_room());
        desk.begin(slot, 1, 0);
        desk.begin(slot, 2, 0);
        assert!(!desk.has_room(), "three messages are not finished");
        desk.rewind(slot);
        assert!(desk.has_room());
        let other = desk.find("fast", 1).expect("it is assigned");
        (0..3).for_each(|offset| {
            desk.begin(other, offset, 0);
        });
        assert!(!desk.has_room());
        desk.revoked(&[partition(1)]);
        assert!(desk.has_room());
        assert_eq!(desk.find("fast", 1), None);
    }

    #[test]
    fn a_partition_of_which_nothing_lands_leaves_room_for_others_and_stands_after_a_while() {
        let mut desk = Desk::new(WindowLimits { records: 100, bytes: 1000 });
        desk.assigned(vec![partition(0), partition(1)]);
        let ids = [0, 1].map(|number| desk.find("fast", number).expect("it is assigned"));
        let fill = |desk: &mut Desk, id| {
            let mut tokens = Vec::new();
            while desk.has_room_for(id) {
                let ticket = desk.begin(id, tokens.len() as i64, 0);
                tokens.push(desk.open(ticket, 1).expect("it is at hand"));
                desk.close(ticket);
            }
            tokens
        };
        let first = fill(&mut desk, ids[0]);
        let second = fill(&mut desk, ids[1]);
        assert_eq!((first.len(), second.len()), (80, 16));
        assert!(desk.has_room() && desk.may_read());
        let value = Some(&b"1234"[..]);
        let raw =
            Raw { topic: "fast", partition: 0, offset: 80, timestamp_ms: 0, key: None, value };
        desk.slot_mut(ids[0]).expect("it is assigned").line.push(raw.to_owned());
        assert!(!desk.may_read(), "it is served as soon as anything lands");

        let begin = Instant::now();
        let stand = |desk: &Desk| ids.map(|id| desk.slot(id).expect("it is assigned").stands());
        desk.look(begin);
        second.iter().take(10).for_each(|token| _ = desk.landed(*token));
        desk.look(begin + Duration::from_secs(1));
        desk.look(begin + STANDS_AFTER);
        assert_eq!(stand(&desk), [true, false]);
        assert!(desk.may_read(), "nobody knows when anything of it lands");
        assert!(desk.expects_landings(), "of the other");
        assert_eq!(desk.slot(ids[0]).and_then(Slot::stands_at), Some(0));
        assert!(desk.is_of_first(first[0], ids[0]) && !desk.is_of_first(first[1], ids[0]));
        assert!(!desk.is_of_first(first[0], ids[1]));
        desk.look(begin + STANDS_AFTER + Duration::from_secs(1));
        assert_eq!((stand(&desk), desk.expects_landings()), ([true, true], false));

        desk.landed(first[0]);
        assert_eq!(stand(&desk), [false, true]);
        assert_eq!(desk.slot(ids[0]).and_then(Slot::stands_at), Some(80));
        // What is read again stands anew, and what is still on its way of before is nobody's.
        desk.rewind(ids[1]);
        assert_eq!(stand(&desk), [false, false]);
        assert_eq!((desk.has_room_for(ids[1]), desk.failed(second[15])), (true, None));
        desk.look(begin + Duration::from_secs(100));
        assert_eq!(stand(&desk), [false, false], "it has nothing on its way");
    }

    #[test]
    fn what_was_not_committed_is_committed_later() {
        let mut desk = desk();
        let slot = desk.find("fast", 0).expect("it is assigned");
        let ticket = desk.begin(slot, 7, 0);
        desk.close(ticket);
        assert_eq!(desk.take_commits(), [at(0, 8)]);
        desk.not_committed(&[partition(0), partition(7)]);
        assert_eq!(desk.take_commits(), [at(0, 8)]);
        assert!(desk.take_commits().is_empty());
        desk.not_committed(&[partition(0)]);
        assert_eq!(desk.revoked(&[partition(0)]), [at(0, 8)]);
    }

    #[test]
    fn only_what_is_new_is_committed_and_nothing_before_anything_was_read() {
        let mut desk = desk();
        assert!(desk.take_commits().is_empty());
        let slot = desk.find("fast", 0).expect("it is assigned");
        desk.start_at(slot, 40);
        assert!(desk.take_commits().is_empty(), "that is what Kafka said");
        assert_eq!(desk.arrival(slot, 42), Arrival::Behind(2));
        let ticket = desk.begin(slot, 42, 0);
        desk.close(ticket);
        assert_eq!(desk.take_commits(), [at(0, 43)]);
        desk.begin_anew(slot);
        assert!(desk.take_commits().is_empty());
        assert_eq!(desk.arrival(slot, 0), Arrival::Next);
    }
}
