//! The life of one connection: handshake, then reading, acknowledging and delivering until an end,
//! then what the end owes: a DISCONNECT, the will.
//!
//! Everything that can happen wakes one task, through the socket, the mailbox or one timer, and
//! [`Connection::poll_run`] looks at all of it in a fixed order. Bytes are read into a buffer of the
//! thread and taken apart there; a connection keeps only the packet that is not whole yet, so an
//! idle one costs little more than its task.
//!
//! Back-pressure is not reading the socket: see [`Block`]. While it is not read, the clocks of the
//! client's silence and slowness stand still.

mod close;
mod deadlines;
mod foreign;
mod handshake;
mod intake;
mod refusal;
mod send;
mod will;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::message::Device;
use bridge::{Carriage, Full, LaneId, Mailbox, Mark, ROOM, Reservation};
use tokio::time::Sleep;

pub use close::Close;
pub use foreign::Foreign;
pub use refusal::Refusal;

use crate::budget::Kept;
use crate::clients::{Claim, PHASE_CHANGED, TAKEN_OVER};
use crate::edge::{Admitted, Edge, Phase};
use crate::local::Subscriber;
use crate::mqtt::{Version, encode};
use crate::net::{Accepted, Peer, Transport};
use crate::session::{self, Acknowledgement, Answer, Window};
use deadlines::Deadlines;
use handshake::HANDSHAKE_WAIT;
use intake::Intake;
use will::StoredWill;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// A packet that is not whole is completed in the thread's buffer up to this size, and in a buffer
/// of its own above it.
const CARRY_BYTES: usize = 32 * 1024;
/// Reads of one connection before others have their turn.
const READS_PER_TURN: usize = 4;
/// Encoded bytes at which nothing more is encoded or read until they are sent. With the answer that
/// was begun below it, they are at most twice as many.
const OUT_SOFT_BYTES: usize = 512;
/// A connection's own buffers are given back above this size when they are empty; encoded bytes count
/// in the budget of sessions from here on.
const KEEP_BYTES: usize = 1024;
/// A packet that is not whole may keep this much without asking the memory budget.
pub(crate) const FREE_PARTIAL_BYTES: usize = 2 * 1024;
/// What is kept of a CONNECT counts in the budget of sessions from here on, in bytes.
const FREE_CONNECT_BYTES: usize = 1024;
/// What a connection may take by itself, beside its task and its socket, in bytes.
pub(crate) const FREE_BYTES: usize =
    FREE_PARTIAL_BYTES + KEEP_BYTES + FREE_CONNECT_BYTES + session::FREE_BYTES;
/// A connection of which nothing came for a while gives back what it holds beyond this, in bytes.
const REST_BYTES: usize = 256;
/// How long a large message may wait for room while the object store fails: as long as one that has
/// room waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(30);
/// How soon a connection that waits for room looks again by itself.
const ROOM_RECHECK: Duration = Duration::from_secs(1);

thread_local! {
    /// What was kept of the last packet ends at `CARRY_BYTES`, where the bytes read begin.
    static INPUT: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; CARRY_BYTES + READ_BYTES].into_boxed_slice());
    static MARKS: RefCell<Vec<Mark>> = const { RefCell::new(Vec::new()) };
}

/// Why the socket is not read.
#[derive(Clone, Copy, Debug)]
enum Block {
    /// The next packet needs room in a share of the memory budget.
    Room { full: Full, recheck_at: Instant },
    /// The next packet is a PUBLISH and the window is full.
    Window,
    /// A part of an upload is on its way to the store.
    Upload,
    /// The client does not take what it is sent.
    Unsent,
}

/// The time, read once per turn.
#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    /// Milliseconds since 1970 UTC.
    unix_ms: i64,
}

impl Clock {
    fn read() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { now: Instant::now(), unix_ms: unix.as_millis() as i64 }
    }
}

/// What does not change while the connection lasts; bytes are taken in beside it.
struct Shared {
    edge: Arc<Edge>,
    device: Device,
    peer: Peer,
}

struct Connection {
    shared: Arc<Shared>,
    edge: Arc<Edge>,
    transport: Transport,
    /// It counts while it lasts.
    _admitted: Admitted,
    version: Version,
    /// CONNECT asked for a session that outlives the connection.
    asked_for_session: bool,
    mailbox: Arc<Mailbox>,
    window: Window,
    intake: Intake,
    /// Bytes received and not taken: the packet that is not whole, or what back-pressure left.
    tail: Vec<u8>,
    /// `tail` is worth looking at when it has this many bytes.
    needed: usize,
    /// Room for a packet that is still arriving, in the share of this lane or, while only a part of its
    /// head is here, of none.
    reservation: Option<(Option<LaneId>, Reservation)>,
    block: Option<(Block, Instant)>,
    /// What `tail` takes beyond [`FREE_PARTIAL_BYTES`] and the reservation, while it waits.
    kept: Option<Reservation>,
    /// Encoded and not yet sent.
    out: Vec<u8>,
    /// Acknowledgements may leave that had no place in `out`.
    acks_left: bool,
    /// Bytes of the subscriber's first message that are sent.
    partly_sent: usize,
    /// Largest packet that the client takes, in bytes.
    client_packet_max: Option<u32>,
    will: Option<Box<StoredWill>>,
    subscriber: Option<Box<Subscriber>>,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
    /// Bytes of what CONNECT brought that count in the budget of sessions.
    connect_bytes: usize,
    /// What counts there in all.
    session: Kept,
}

/// Serves one socket to its end.
pub async fn serve(edge: Arc<Edge>, mut accepted: Accepted) {
    let handshake = handshake::shake(&edge, &mut accepted, HANDSHAKE_WAIT);
    match Box::pin(handshake).await {
        Ok(established) => {
            let (connection, claim) = established.into_connection(edge, accepted);
            connection.run(claim).await;
        }
        Err(refused) => refused.end(&mut accepted.transport).await,
    }
}

impl Connection {
    /// Runs to the end.
    async fn run(mut self, claim: Claim) {
        let close = poll_fn(|context| self.poll_run(context)).await;
        // A successor gets its CONNACK when the claim is gone: before that, what was not submitted
        // has to be.
        self.intake = Intake::Packets;
        self.tail = Vec::new();
        if let Some((Block::Room { full, .. }, _)) = self.block {
            self.edge.bridge.leave(full, &self.mailbox);
        }
        self.reservation = None;
        self.kept = None;
        self.subscriber = None;
        drop(claim);
        close.count();
        let will = self.will.take().filter(|_| close.publishes_will(self.edge.wills_at_drain));
        Box::pin(async move {
            if let Some(will) = will {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { will.publish(&shared).await });
            }
            if self.partly_sent > 0 {
                // Whatever came now would be taken for the rest of a message.
                return self.transport.close_with(&[]).await;
            }
            let limit = self.client_packet_max;
            close.tell(&mut self.transport, self.version, limit, &self.out).await;
        })
        .await;
    }

    fn poll_run(&mut self, context: &mut Context<'_>) -> Poll<Close> {
        match self.turn(context) {
            Ok(()) => Poll::Pending,
            Err(close) => Poll::Ready(close),
        }
    }

    /// Looks at everything that may have happened.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), Close> {
        let clock = Clock::read();
        let (signals, decided) = self.collect_outcomes(context, &clock)?;
        if signals & TAKEN_OVER != 0 {
            return Err(Close::TakenOver);
        }
        let phase = self.edge.phase();
        if phase == Phase::Closing {
            return Err(Close::ShuttingDown);
        }
        if phase == Phase::Running {
            self.try_unblock(signals & ROOM != 0, decided, &clock)?;
            self.read(context, &clock)?;
        }
        self.send(context, &clock)?;
        self.keep()?;
        self.watch_deadlines(context, &clock)
    }

    /// Takes the outcomes that arrived and encodes the acknowledgements that may leave.
    fn collect_outcomes(
        &mut self,
        context: &mut Context<'_>,
        clock: &Clock,
    ) -> Result<(u8, bool), Close> {
        MARKS.with_borrow_mut(|marks| {
            let signals = self.mailbox.collect(context.waker(), marks, ROOM | PHASE_CHANGED);
            if marks.is_empty() && !self.acks_left {
                return Ok((signals, false));
            }
            let mut fault = None;
            for Mark { slot, outcome } in marks.drain(..) {
                fault = fault.or(self.window.decide(slot, outcome).err());
            }
            self.acknowledge(context, clock)?;
            match fault {
                // What landed is acknowledged all the same, ahead of the end.
                Some(fault) => Err(fault.into()),
                None => Ok((signals, true)),
            }
        })
    }

    /// Encodes the acknowledgements that may leave, and sends them in between where they are many.
    fn acknowledge(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        let now_us = self.edge.micros(clock.now);
        loop {
            if self.out.len() >= OUT_SOFT_BYTES {
                self.send(context, clock)?;
                if self.out.len() >= OUT_SOFT_BYTES {
                    self.acks_left = true;
                    return Ok(());
                }
            }
            let Connection { window, edge, out, version, client_packet_max, .. } = self;
            let (mut goes_on, mut fits) = (true, true);
            window.acknowledge(|ack| {
                if ack.answer != Answer::Pubcomp {
                    let waited_us = now_us.saturating_sub(ack.received_us);
                    edge.acknowledgement_latency.record(waited_us as f64 / 1e6);
                }
                fits &= encode_acknowledgement(*version, ack, *client_packet_max, out);
                goes_on = out.len() < OUT_SOFT_BYTES;
                goes_on
            })?;
            Close::unless(fits)?;
            if goes_on {
                self.acks_left = false;
                return Ok(());
            }
        }
    }

    /// Tries again what stopped the reading.
    fn try_unblock(&mut self, room: bool, decided: bool, clock: &Clock) -> Result<(), Close> {
        let Some((block, since)) = self.block else { return Ok(()) };
        if let Block::Room { full: Full { carriage: Carriage::Large, .. }, .. } = block
            && clock.now.saturating_duration_since(since) >= STORE_WAIT
            && self.edge.bridge.store_fails()
        {
            return Err(Close::StoreFailed);
        }
        let in_line = match block {
            Block::Room { recheck_at, .. } if !room && clock.now < recheck_at => return Ok(()),
            Block::Room { full, .. } => (!room).then_some(full),
            Block::Window if !decided => return Ok(()),
            Block::Unsent if self.out.len() >= OUT_SOFT_BYTES => return Ok(()),
            Block::Window | Block::Upload | Block::Unsent => None,
        };
        self.block = None;
        let tail = std::mem::take(&mut self.tail);
        let taken = self.take_in(&tail, clock)?;
        if taken == 0
            && let Some((still, _)) = self.block
        {
            // Nothing moved: the clocks go on standing still since then.
            self.block = Some((still, since));
        } else {
            self.deadlines.skip(clock.now.saturating_duration_since(since));
        }
        self.keep_tail(tail, taken);
        if let Some(full) = in_line {
            let waits_for_same = matches!(self.block, Some((Block::Room { full: new, .. }, _))
                if new.lane == full.lane && new.carriage == full.carriage);
            if waits_for_same {
                return Ok(());
            }
            self.edge.bridge.leave(full, &self.mailbox);
        }
        self.wait_in_line();
        Ok(())
    }

    /// Gets into the line for room, if that is what the connection waits for.
    fn wait_in_line(&self) {
        if let Some((Block::Room { full, .. }, _)) = self.block {
            self.edge.bridge.wait(full, &self.mailbox);
        }
    }

    /// Reads and takes in what the socket has, up to a turn's share.
    fn read(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        for _ in 0..READS_PER_TURN {
            if self.block.is_some() {
                return Ok(());
            }
            if self.out.len() >= OUT_SOFT_BYTES {
                self.send(context, clock)?;
                if self.out.len() >= OUT_SOFT_BYTES {
                    self.block = Some((Block::Unsent, clock.now));
                    return Ok(());
                }
            }
            let read = INPUT.with_borrow_mut(|input| self.read_once(input, context, clock))?;
            if !read {
                return Ok(());
            }
            if self.block.is_some() {
                self.wait_in_line();
                return Ok(());
            }
        }
        // There may be more, but others have their turn first.
        context.waker().wake_by_ref();
        Ok(())
    }

    /// Reads once; false when there is nothing to read now.
    fn read_once(
        &mut self,
        input: &mut [u8],
        context: &mut Context<'_>,
        clock: &Clock,
    ) -> Result<bool, Close> {
        // What is read and cannot be taken is kept: then only what is free or reserved is read.
        let room = match self.edge.bridge.is_contended() || self.deadlines.is_unread() {
            true => self.free_to_read(),
            false => READ_BYTES,
        };
        let buffer = &mut input[CARRY_BYTES..CARRY_BYTES + room];
        match self.transport.poll_read(context, buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => Err(Close::PeerGone),
            Poll::Ready(Ok(count)) => self.take_read(input, count, clock).map(|()| true),
        }
    }

    /// Takes in `count` bytes that were read.
    fn take_read(&mut self, input: &mut [u8], count: usize, clock: &Clock) -> Result<(), Close> {
        let end = CARRY_BYTES + count;
        let begin = self.tail.is_empty() && matches!(self.intake, Intake::Packets);
        self.deadlines.bytes_received(clock.now, begin);
        if self.tail.len() <= CARRY_BYTES {
            let start = CARRY_BYTES - self.tail.len();
            input[start..CARRY_BYTES].copy_from_slice(&self.tail);
            let taken = self.take_in(&input[start..end], clock)?;
            let left = &input[start + taken..end];
            self.tail.clear();
            self.extend_tail(left);
            self.tidy_tail();
        } else {
            self.extend_tail(&input[CARRY_BYTES..end]);
            if self.tail.len() >= self.needed {
                let tail = std::mem::take(&mut self.tail);
                let taken = self.take_in(&tail, clock)?;
                self.keep_tail(tail, taken);
            }
        }
        Ok(())
    }

    /// Asks the kernel, before a client is ended by the clock, whether it did what it had to do; the
    /// runtime may not know yet. True if there was something.
    fn ask_kernel(&mut self, close: &Close, clock: &Clock) -> Result<bool, Close> {
        if *close == Close::NotReading {
            return self.send_now(clock);
        }
        let read = INPUT.with_borrow_mut(|input| {
            let room = CARRY_BYTES..CARRY_BYTES + self.free_to_read();
            match self.transport.read_now(&mut input[room]) {
                Ok(None) => Ok(false),
                Ok(Some(0)) | Err(_) => Err(Close::PeerGone),
                Ok(Some(count)) => self.take_read(input, count, clock).map(|()| true),
            }
        })?;
        self.wait_in_line();
        Ok(read)
    }

    /// Bytes that a packet may have here while it arrives: what is reserved for it, or free.
    fn partial_max(&self) -> usize {
        let reserved = self.reservation.as_ref().map_or(0, |(_, room)| room.bytes() as usize);
        reserved.max(FREE_PARTIAL_BYTES)
    }

    /// Bytes that may be read without asking for what they take if they cannot be taken in.
    fn free_to_read(&self) -> usize {
        self.partial_max().saturating_sub(self.tail.len()).clamp(1, READ_BYTES)
    }

    /// Adds to `tail`, which grows to what the packet at hand needs, and without need no further than
    /// it may.
    fn extend_tail(&mut self, bytes: &[u8]) {
        let (kept, held) = (self.tail.len() + bytes.len(), self.tail.capacity());
        if kept > held {
            let wanted = self.needed.max(2 * held).min(self.partial_max()).max(kept);
            self.tail.reserve_exact(wanted - self.tail.len());
        }
        self.tail.extend_from_slice(bytes);
    }

    fn keep_tail(&mut self, mut tail: Vec<u8>, taken: usize) {
        tail.drain(..taken);
        self.tail = tail;
        self.tidy_tail();
    }

    fn tidy_tail(&mut self) {
        let held = self.tail.capacity();
        if self.tail.is_empty() && held > KEEP_BYTES {
            self.tail = Vec::new();
        } else if held > self.partial_max() && held > 4 * self.tail.len() {
            self.tail.shrink_to(self.tail.len());
        }
        self.kept = self.block.and_then(|_| {
            let bytes = self.tail.capacity().saturating_sub(self.partial_max());
            (bytes > 0).then(|| self.edge.bridge.keep(bytes as u64))
        });
    }

    /// What the session keeps beyond what is free, if it kept so much more, in bytes.
    fn session_bytes(&self, more: usize) -> u64 {
        let window = (self.window.held_bytes() + more).saturating_sub(session::FREE_BYTES);
        let out = self.out.capacity().saturating_sub(KEEP_BYTES);
        (self.connect_bytes + window + out) as u64
    }

    /// One more message may be opened: its place is there, or comes out of the budget of all sessions.
    fn may_open(&mut self) -> bool {
        match self.window.growth_bytes() {
            0 => true,
            growth => self.session.change(self.session_bytes(growth)),
        }
    }

    /// Brings what the session keeps into the budget of all sessions. What fits into a window without
    /// asking always does; who lets more become of it than there is room for has to go.
    fn keep(&mut self) -> Result<(), Close> {
        let bytes = self.session_bytes(0);
        if bytes == self.session.bytes() || self.session.change(bytes) {
            return Ok(());
        }
        self.edge.log_sessions_full(&self.shared.device.client_id, bytes);
        Err(Refusal::SessionMemory.into())
    }

    /// Gives back what it holds for the next message, when none came for a while.
    fn rest(&mut self, clock: &Clock) {
        self.deadlines.rested(clock.now);
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        if self.tail.is_empty() {
            self.tail = Vec::new();
        }
        self.window.rest();
        self.mailbox.rest();
    }

    /// Ends the connection when the client was too slow or silent, and sets the timer for the next
    /// time to look.
    fn watch_deadlines(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        loop {
            let (due, close) = self.deadlines.next(self.waits_for());
            if due <= clock.now {
                if let Some(close) = close
                    && !self.ask_kernel(&close, clock)?
                    && !self.deadlines.excuse(due, clock.now)
                {
                    return Err(close);
                }
                if self.deadlines.may_rest(clock.now) {
                    self.rest(clock);
                    self.keep()?;
                }
                // Time to look for room again, or at what the client did after all.
                context.waker().wake_by_ref();
                return Ok(());
            }
            // The timer is only moved to an earlier time: deadlines mostly move away from it, and
            // what fires early looks again.
            let due = tokio::time::Instant::from_std(due);
            if due < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
        }
    }

    fn waits_for(&self) -> deadlines::Waits {
        deadlines::Waits {
            reading: self.block.is_none() && self.edge.phase() == Phase::Running,
            recheck_at: match self.block {
                Some((Block::Room { recheck_at, .. }, _)) => Some(recheck_at),
                _ => None,
            },
            partial_bytes: (!self.tail.is_empty()).then_some(self.needed),
            upload_bytes: self.intake.streaming_bytes(),
            holds_room: self.out.capacity() + self.tail.capacity() + self.window.held_bytes()
                > REST_BYTES,
        }
    }
}

fn encode_acknowledgement(
    version: Version,
    ack: Acknowledgement,
    limit: Option<u32>,
    out: &mut Vec<u8>,
) -> bool {
    match ack.answer {
        Answer::Puback => encode::puback(out, version, ack.packet_id, ack.code, limit),
        Answer::Pubrec => encode::pubrec(out, version, ack.packet_id, ack.code, limit),
        Answer::Pubcomp => encode::pubcomp(out, version, ack.packet_id, ack.code, limit),
    }
}
