//! Back-pressure: why the socket is not read, when it is read again, and how a peer that is gone is
//! noticed meanwhile.
//!
//! A peer that broke the connection off is gone, whatever of it is unread: nobody can be answered. One
//! that only ended its side is served for what it sent whole, and gone when what is at hand cannot become
//! whole any more.

use std::task::Context;
use std::time::{Duration, Instant};

use bridge::{Carriage, Full};

use super::{Clock, Close, Connection};
use crate::net::transport::PeerState;

/// How long a large message may wait for room while the object store fails: as long as one that has
/// room waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(30);
/// How soon a connection that waits for room looks again by itself.
const ROOM_LOOK: Duration = Duration::from_secs(1);
/// How often a connection that waits for something else looks whether its peer is there.
const PEER_LOOK: Duration = Duration::from_secs(5);

/// Why the socket is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The next packet needs room in a share of the memory budget.
    Room(Full),
    /// The next packet is a PUBLISH and the window is full.
    Window,
    /// A part of an upload is on its way to the store.
    Upload,
    /// The client does not take what it is sent.
    Unsent,
    /// The next bytes are those of a large message, for which there are other threads.
    Threads,
}

impl Block {
    fn look_after(self) -> Duration {
        match self {
            Block::Room(_) => ROOM_LOOK,
            Block::Window | Block::Upload | Block::Unsent | Block::Threads => PEER_LOOK,
        }
    }
}

/// A block, since when there is one, and when to look by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    pub block: Block,
    since: Instant,
    pub look_at: Instant,
}

impl Blocked {
    pub fn new(block: Block, now: Instant) -> Blocked {
        Blocked { block, since: now, look_at: now + block.look_after() }
    }
}

impl Connection {
    /// Tries again what stopped the reading.
    pub(super) fn try_unblock(
        &mut self,
        context: &mut Context<'_>,
        room: bool,
        decided: bool,
        clock: &Clock,
    ) -> Result<(), Close> {
        let Some(blocked) = &mut self.blocked else { return Ok(()) };
        let looks = clock.now >= blocked.look_at;
        if looks {
            blocked.look_at = clock.now + blocked.block.look_after();
        }
        let Blocked { block, since, look_at } = *blocked;
        if looks {
            self.look_at_peer(context)?;
        }
        if let Block::Room(Full { carriage: Carriage::Large, .. }) = block
            && clock.now.saturating_duration_since(since) >= STORE_WAIT
            && self.shared.edge.uplink.store_fails()
        {
            return Err(Close::StoreFailed);
        }
        let in_line = match block {
            Block::Room(_) if !room && !looks => return Ok(()),
            Block::Room(full) => (!room).then_some(full),
            Block::Window if !decided => return Ok(()),
            Block::Unsent if !self.outbound.has_place() => return Ok(()),
            Block::Window | Block::Upload | Block::Unsent | Block::Threads => None,
        };
        self.blocked = None;
        let taken = self.take_held(clock)?;
        match &mut self.blocked {
            // Nothing moved: the clocks go on standing still since then.
            Some(still) if taken == 0 => *still = Blocked { since, look_at, ..*still },
            _ => self.deadlines.skip(clock.now.saturating_duration_since(since)),
        }
        if let Some(full) = in_line {
            let waits_for_same = self.blocked.is_some_and(|now| match now.block {
                Block::Room(new) => new.lane == full.lane && new.carriage == full.carriage,
                _ => false,
            });
            if waits_for_same {
                return Ok(());
            }
            self.shared.edge.uplink.leave(full, self.session.mailbox());
        }
        self.wait_in_line();
        Ok(())
    }

    /// Gets into the line for room, if that is what the connection waits for.
    pub(super) fn wait_in_line(&self) {
        if let Some(Blocked { block: Block::Room(full), .. }) = self.blocked {
            self.shared.edge.uplink.wait(full, self.session.mailbox());
        }
    }

    /// Leaves the line for room, if it is in one.
    pub(super) fn leave_line(&mut self) {
        if let Some(Blocked { block: Block::Room(full), .. }) = self.blocked.take() {
            self.shared.edge.uplink.leave(full, self.session.mailbox());
        }
    }

    fn look_at_peer(&mut self, context: &mut Context<'_>) -> Result<(), Close> {
        match self.transport.peer_state(context) {
            PeerState::Gone => Err(Close::PeerGone),
            PeerState::Ended { unread } if unread < self.inbound.missing_bytes() => {
                Err(Close::PeerGone)
            }
            PeerState::There | PeerState::Ended { .. } => Ok(()),
        }
    }
}
