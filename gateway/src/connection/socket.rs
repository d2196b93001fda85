//! Bytes between the socket and what a connection holds: so many at a time that others have their turn,
//! and past the runtime where the clock would end a client of which the kernel knows more.

use std::cell::RefCell;
use std::task::{Context, Poll};

use super::block::{Block, Blocked};
use super::inbound::{CARRY_BYTES, Gathered, READ_BYTES};
use super::{Clock, Close, Connection};
use crate::phase::Phase;

/// Reads of one connection before others have their turn: fewer when they bring [`READ_BYTES`] together.
const READS_PER_TURN: usize = 4;
/// Writes of one connection before others have their turn.
const WRITES_PER_TURN: usize = 4;

thread_local! {
    /// What was kept of the last packet ends at `CARRY_BYTES`, where the bytes read begin.
    static INPUT: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; CARRY_BYTES + READ_BYTES].into_boxed_slice());
}

impl Connection {
    /// Reads and takes in what the socket has, up to a turn's share.
    pub(super) fn read(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        let (mut reads, mut bytes) = (0, 0);
        while reads < READS_PER_TURN && bytes < READ_BYTES {
            if self.blocked.is_some() || self.inbound.is_misplaced() {
                return Ok(());
            }
            if !self.outbound.has_place() {
                self.send(context, clock)?;
                if !self.outbound.has_place() {
                    self.blocked = Some(Blocked::new(Block::Unsent, clock.now));
                    return Ok(());
                }
            }
            let read = INPUT.with_borrow_mut(|input| self.read_once(input, context, clock))?;
            let Some(count) = read else { return Ok(()) };
            (reads, bytes) = (reads + 1, bytes + count);
            if self.blocked.is_some() {
                self.wait_in_line();
                return Ok(());
            }
        }
        // There may be more, but others have their turn first.
        context.waker().wake_by_ref();
        Ok(())
    }

    /// Reads once; how many bytes that brought, and None when there is nothing to read now.
    fn read_once(
        &mut self,
        input: &mut [u8],
        context: &mut Context<'_>,
        clock: &Clock,
    ) -> Result<Option<usize>, Close> {
        // What is read and cannot be taken is kept: then only what is free or reserved is read.
        let room = match self.shared.edge.uplink.is_contended() || self.deadlines.is_unread() {
            true => self.inbound.free_to_read(),
            false => READ_BYTES,
        };
        let buffer = &mut input[CARRY_BYTES..CARRY_BYTES + room];
        match self.transport.poll_read(context, buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(0)) => Err(Close::PeerGone),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok(count)) => self.take_read(input, count, clock).map(|()| Some(count)),
        }
    }

    /// Takes in `count` bytes that were read.
    fn take_read(&mut self, input: &mut [u8], count: usize, clock: &Clock) -> Result<(), Close> {
        self.deadlines.bytes_received(clock.now, self.inbound.begins_packet());
        match self.inbound.gather(input, count) {
            Some(gathered) => self.take(gathered, clock).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Takes in what is held; how many bytes that were.
    pub(super) fn take_held(&mut self, clock: &Clock) -> Result<usize, Close> {
        let held = self.inbound.take_held();
        self.take(held, clock)
    }

    fn take(&mut self, gathered: Gathered<'_>, clock: &Clock) -> Result<usize, Close> {
        let (taken, block) = self.packets(clock).take_in(&gathered)?;
        self.blocked = block.map(|block| Blocked::new(block, clock.now));
        self.inbound.hold(gathered, taken);
        self.inbound.count(self.blocked.is_some(), &self.shared.edge.uplink);
        Ok(taken)
    }

    /// Writes what there is, as far as the socket takes it.
    pub(super) fn send(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        let Connection { transport, outbound, session, .. } = self;
        let before = transport.unsent_bytes();
        let (mut written, mut writes) = (0, 0);
        let took_all = loop {
            if writes == WRITES_PER_TURN {
                context.waker().wake_by_ref();
                break true;
            }
            writes += 1;
            let (offered, taken) = outbound.send(session.subscriber(), |bytes| match transport
                .poll_write(context, bytes)
            {
                Poll::Ready(written) => written.map(Some),
                Poll::Pending => Ok(None),
            })?;
            written += taken;
            if taken < offered || offered == 0 {
                break offered == 0;
            }
        };
        transport.poll_flush(context)?;
        let unsent = transport.unsent_bytes();
        let has_progress = written > 0 || unsent < before;
        self.deadlines.sent(clock.now, has_progress, !took_all || unsent > 0);
        // While the gateway drains nothing is read any more, whatever is sent.
        let is_unsent = self.blocked.is_some_and(|blocked| blocked.block == Block::Unsent);
        let reads_on = is_unsent && self.shared.edge.phase() == Phase::Running;
        if (self.outbound.acks_left || reads_on) && self.outbound.has_place() {
            context.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Asks the kernel, before a client is ended by the clock, whether it did what it had to do; the
    /// runtime may not know yet. True if there was something.
    pub(super) fn ask_kernel(&mut self, close: &Close, clock: &Clock) -> Result<bool, Close> {
        if *close == Close::NotReading {
            return self.send_now(clock);
        }
        let read = INPUT.with_borrow_mut(|input| {
            let room = CARRY_BYTES..CARRY_BYTES + self.inbound.free_to_read();
            match self.transport.read_now(&mut input[room]) {
                Ok(None) => Ok(false),
                Ok(Some(0)) => Err(Close::PeerGone),
                Err(error) => Err(error.into()),
                Ok(Some(count)) => self.take_read(input, count, clock).map(|()| true),
            }
        })?;
        self.wait_in_line();
        Ok(read)
    }

    /// Writes what the kernel takes, whatever the runtime knows; false if that is nothing.
    fn send_now(&mut self, clock: &Clock) -> Result<bool, Close> {
        let Connection { transport, outbound, session, .. } = self;
        let before = transport.unsent_bytes();
        transport.flush_now()?;
        let flushed = before.saturating_sub(transport.unsent_bytes());
        let write = |bytes: &[u8]| transport.write_now(bytes);
        let (offered, taken) = outbound.send(session.subscriber(), write)?;
        let is_unsent = taken < offered || transport.unsent_bytes() > 0;
        let has_progress = flushed + taken > 0;
        self.deadlines.sent(clock.now, has_progress, is_unsent);
        Ok(has_progress)
    }
}
