//! The life of one connection: handshake, then reading, acknowledging and delivering until an end,
//! then what the end owes: a DISCONNECT, the will.
//!
//! Everything that can happen wakes one task, through the socket, the mailbox or one timer, and
//! [`Connection::turn`] looks at all of it in a fixed order. What is to outlive the connection is its
//! [`Session`]; what it received and has not taken is [`Inbound`], what it has to send [`Outbound`].
//!
//! Back-pressure is not reading the socket: see [`block`]. While it is not read, the clocks of the
//! client's silence and slowness stand still.

mod block;
mod close;
mod deadlines;
mod examination;
mod foreign;
mod handshake;
mod inbound;
mod outbound;
mod packets;
mod publish;
mod refusal;
mod socket;
mod subscribe;
mod upload;
mod will;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::Signals;
use bridge::fail_point;
use bridge::message::Device;
use tokio::time::Sleep;

pub use close::Close;
pub use foreign::Foreign;
pub(crate) use inbound::FREE_PARTIAL_BYTES;
pub use refusal::Refusal;
pub use will::StoredWill;

use crate::access::{self, Access, Action, Subject};
use crate::admission::Admitted;
use crate::audit::{Entry, Event};
use crate::clients::{Claim, Figures};
use crate::edge::Edge;
use crate::identity::Identity;
use crate::mqtt::Version;
use crate::mqtt::encode::Answer;
use crate::net::certificate::EndsAtMs;
use crate::net::{Accepted, Peer, Transport};
use crate::phase::Phase;
use crate::session::{self, Collected, Session};
use block::Blocked;
use deadlines::{Deadlines, Waits};
use examination::Examination;
use inbound::Inbound;
use outbound::Outbound;
use packets::Packets;

/// What a connection may take by itself, beside its task and its socket, in bytes.
pub(crate) const FREE_BYTES: usize =
    FREE_PARTIAL_BYTES + outbound::KEEP_BYTES + session::FREE_BYTES;
/// A connection of which nothing came for a while gives back what it holds beyond this, in bytes.
const REST_BYTES: usize = 256;

/// When a connection ends whose credentials have no end.
const FOREVER: i64 = i64::MAX;

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

/// What does not change while the connection lasts; its will takes it along, and the admin port looks at it.
pub(crate) struct Shared {
    edge: Arc<Edge>,
    pub(crate) device: Device,
    /// None: anonymous.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) peer: Peer,
    pub(crate) version: Version,
    pub(crate) keep_alive_s: u16,
    /// When its CONNECT was accepted, in seconds since 1970 UTC.
    pub(crate) connected_s: u32,
    /// When its credentials end, in milliseconds since 1970 UTC: only its connection changes it.
    ends_at_ms: AtomicI64,
}

impl Shared {
    /// What is asked what the client may do; None: it may do everything.
    fn access(&self) -> Option<&Access> {
        self.peer.entrance.access.as_deref()
    }

    /// What its connection is told after something was read anew that says who may do what; None where there
    /// is nothing that may be taken from it.
    pub(crate) fn after_change(&self) -> Option<Signals> {
        if !self.is_proved() {
            return Some(Signals::REVOKED);
        }
        let may_lose = self.access().is_some() || self.peer.certificate.is_some();
        may_lose.then_some(Signals::RIGHTS_CHANGED)
    }

    /// Its certificate ends then: what else it has proved may end before.
    fn stays_until(&self, certificate_ends_at_ms: EndsAtMs) {
        let identity_ends_at_ms = self.identity.as_ref().and_then(|identity| identity.ends_at_ms);
        let ends = certificate_ends_at_ms.into_iter().chain(identity_ends_at_ms);
        self.ends_at_ms.store(ends.min().unwrap_or(FOREVER), Ordering::Relaxed);
    }

    /// In milliseconds since 1970 UTC, or [`FOREVER`].
    fn ends_at_ms(&self) -> i64 {
        self.ends_at_ms.load(Ordering::Relaxed)
    }

    /// What had to prove who the client is, still does.
    fn is_proved(&self) -> bool {
        match (&self.identity, &self.peer.entrance.demands) {
            (Some(identity), Some(demands)) => demands.still_proves(identity),
            _ => true,
        }
    }

    /// Who the client is, to those who are asked what it may do.
    fn subject(&self) -> Subject<'_> {
        subject(&self.peer, &self.device, self.identity.as_deref())
    }

    /// Tells the audit log.
    fn tell(&self, event: Event, entry: Entry<'_>) {
        let (client_id, identity) = (&self.device.client_id, self.identity.as_deref());
        tell(&self.edge, &self.peer, client_id, identity, event, entry);
    }

    /// Tells the audit log of what the client wanted and may not, and counts it.
    fn denied(&self, action: Action, topic: &str) {
        access::count_denied(action);
        self.tell(Event::Denied, denied(action, topic));
    }

    /// Whether the client may publish to a topic.
    fn may_publish(&self, topic: &str) -> bool {
        self.access().is_none_or(|access| access.may_publish(&self.subject(), topic))
    }

    /// Whether the client may subscribe to a filter.
    fn may_subscribe(&self, filter: &str) -> bool {
        self.access().is_none_or(|access| access.may_subscribe(&self.subject(), filter))
    }
}

/// A client, to those who are asked what it may do.
fn subject<'a>(peer: &'a Peer, device: &'a Device, identity: Option<&'a Identity>) -> Subject<'a> {
    Subject {
        listener: peer.listener(),
        client_id: &device.client_id,
        identity: identity.map(Identity::name),
        username: identity.map(Identity::user_name),
        attributes: device.verified.as_ref().map_or(&[], |verified| &verified.attributes),
    }
}

/// Tells the audit log something of a client, as far as it is known.
fn tell(
    edge: &Edge,
    peer: &Peer,
    client_id: &str,
    identity: Option<&Identity>,
    event: Event,
    entry: Entry<'_>,
) {
    if edge.audit.is_on() {
        let known = Entry {
            listener: Some(peer.listener()),
            address: Some(peer.to_string()),
            client_id,
            identity: identity.map(Identity::name),
            way: identity.map(|identity| identity.way.name()),
            ..entry
        };
        edge.audit.tell(event, &known);
    }
}

/// What a client wanted and may not, for the audit log.
fn denied(action: Action, topic: &str) -> Entry<'_> {
    let reason = Some(Refusal::NotAuthorized.label());
    Entry { reason, action: Some(action.word()), topic: Some(topic), ..Entry::default() }
}

/// See the module.
struct Connection {
    shared: Arc<Shared>,
    transport: Transport,
    /// It counts as long as it lasts.
    _admitted: Admitted,
    /// Its hold on the client id; None when it is over.
    claim: Option<Claim>,
    session: Session,
    inbound: Inbound,
    outbound: Outbound,
    /// Why the socket is not read.
    blocked: Option<Blocked>,
    /// Whether it may stay with its certificate, where that takes arithmetic.
    examination: Option<Box<Examination>>,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
}

/// Why a connection is not served any more where it was.
enum Leaves {
    Ends(Close),
    /// A large message begins to arrive, or is whole.
    Moves,
}

/// Serves one socket to its end.
pub fn serve(edge: Arc<Edge>, accepted: Accepted) -> impl Future<Output = ()> + Send + 'static {
    // In a box of its own, and the connection in another: the task has no room for both.
    let handshake = Box::pin(handshake::establish(edge, accepted));
    async move {
        let established = handshake.await;
        if let Some(connection) = established {
            connection.run().await;
        }
    }
}

impl Connection {
    /// Runs to the end.
    async fn run(mut self: Box<Self>) {
        let close = match self.take_what_came_early() {
            Ok(()) => {
                let Some((connection, close)) = self.live().await else { return };
                self = connection;
                close
            }
            Err(close) => close,
        };
        // A successor gets its CONNACK when the claim is gone: before that, what was not submitted
        // has to be.
        self.leave_line();
        self.inbound.end();
        self.session.end_subscriptions();
        self.claim = None;
        close.count();
        self.tell_end(&close);
        Box::pin(self.part(close)).await;
    }

    /// Is served until something ends it, which is what it returns; by the threads for large messages while one
    /// arrives. None: a panic there ended it.
    async fn live(mut self: Box<Self>) -> Option<(Box<Self>, Close)> {
        loop {
            if let Leaves::Ends(close) = poll_fn(|context| self.poll_run(context)).await {
                return Some((self, close));
            }
            let moved = {
                let large = self.shared.edge.large.clone();
                large.spawn(self.live_among_large())
            };
            match moved.await.ok()? {
                (connection, Leaves::Moves) => self = connection,
                (connection, Leaves::Ends(close)) => return Some((connection, close)),
            }
        }
    }

    /// Is served until what arrives is whole, or something ends it.
    async fn live_among_large(mut self: Box<Self>) -> (Box<Self>, Leaves) {
        self.inbound.among_large = true;
        let leaves = poll_fn(|context| self.poll_run(context)).await;
        self.inbound.among_large = false;
        (self, leaves)
    }

    /// Tells the audit log of an end that was decided over the client's head.
    fn tell_end(&self, close: &Close) {
        if let Close::Refused(refusal) = close
            && refusal.is_decided_by_others()
        {
            let reason = Some(refusal.label());
            self.shared.tell(Event::Ended, Entry { reason, ..Entry::default() });
        }
    }

    /// Publishes the will, if this is an end that does, and tells the client why it ends.
    async fn part(mut self: Box<Self>, close: Close) {
        let will = self.session.take_will();
        if let Some(will) = will.filter(|_| close.publishes_will(self.shared.edge.wills_at_drain)) {
            let shared = Arc::clone(&self.shared);
            let chain = self.transport.client_chain().to_vec();
            tokio::spawn(async move { will.publish(&shared, &chain).await });
        }
        if close == Close::PeerGone {
            // Thousands that fall away at once hold up nobody who is there.
            let edge = Arc::clone(&self.shared.edge);
            edge.low_priority.drop_there(self);
            return;
        }
        let last_words = self.outbound.last_words(&close);
        self.transport.close_with(&last_words).await;
    }

    /// What came behind CONNECT was read with it.
    fn take_what_came_early(&mut self) -> Result<(), Close> {
        let clock = Clock::read();
        let signals = self.session.mailbox().signals();
        if signals.has(Signals::FROM_OUTSIDE) {
            self.heed(signals)?;
        }
        self.hold_end(&clock)?;
        if self.shared.edge.phase() == Phase::Running {
            self.take_held(&clock)?;
            self.wait_in_line();
        }
        Ok(())
    }

    fn poll_run(&mut self, context: &mut Context<'_>) -> Poll<Leaves> {
        match self.turn(context) {
            Ok(()) if self.inbound.is_misplaced() => Poll::Ready(Leaves::Moves),
            Ok(()) => Poll::Pending,
            Err(close) => Poll::Ready(Leaves::Ends(close)),
        }
    }

    /// Looks at everything that may have happened.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), Close> {
        fail_point::ask_thread();
        let clock = Clock::read();
        let Collected { signals, decided, fault } = self.session.collect(context.waker());
        let decided = decided || self.outbound.acks_left;
        if decided {
            self.acknowledge(context, &clock)?;
        }
        if let Some(fault) = fault {
            // What landed is acknowledged all the same, ahead of the end.
            return Err(fault.into());
        }
        if signals.has(Signals::FROM_OUTSIDE) {
            self.heed(signals)?;
        }
        if self.examination.is_some() {
            self.examine(context)?;
        }
        self.hold_end(&clock)?;
        match self.shared.edge.phase() {
            Phase::Running => {
                self.try_unblock(context, signals.has(Signals::ROOM), decided, &clock)?;
                self.read(context, &clock)?;
            }
            Phase::Draining => {}
            Phase::Closing => return Err(Close::ShuttingDown),
        }
        self.send(context, &clock)?;
        self.keep()?;
        self.watch_deadlines(context, &clock)
    }

    /// What the client came in with may have an end.
    fn hold_end(&self, clock: &Clock) -> Result<(), Refusal> {
        match self.shared.ends_at_ms() <= clock.unix_ms {
            true => Err(Refusal::CredentialsExpired),
            false => Ok(()),
        }
    }

    /// Looks whether the certificate was verified anew.
    #[cold]
    fn examine(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        let Connection { shared, transport, examination, .. } = self;
        if let Some(under_way) = examination
            && let Poll::Ready(verified) = under_way.poll(shared, transport.client_chain(), context)
        {
            *examination = None;
            shared.stays_until(verified?);
        }
        Ok(())
    }

    /// Does what others want of the connection.
    #[cold]
    fn heed(&mut self, signals: Signals) -> Result<(), Close> {
        if signals.has(Signals::TAKEN_OVER) {
            return Err(Close::TakenOver);
        }
        if signals.has(Signals::ENDED) {
            return Err(Refusal::EndedByOperator.into());
        }
        if signals.has(Signals::REVOKED) {
            return Err(Refusal::CredentialsRevoked.into());
        }
        if signals.has(Signals::RIGHTS_CHANGED) {
            self.still_may()?;
        }
        if !signals.has(Signals::ASKED) {
            return Ok(());
        }
        let figures = Figures {
            in_flight: self.session.window.open_messages(),
            subscriptions: self.session.subscriptions(),
            has_will: self.session.has_will(),
        };
        self.shared.edge.clients.answer(&self.shared.device.client_id, figures);
        Ok(())
    }

    /// Whether the client may be here with its certificate, and may have what it holds, its subscriptions and
    /// its will, as the files and rules are now. What it publishes is asked for each time.
    fn still_may(&mut self) -> Result<(), Refusal> {
        let Connection { shared, session, examination, .. } = self;
        // By what the files said before.
        *examination = None;
        if let (Some(certificate), Some(tls)) =
            (&shared.peer.certificate, &shared.peer.entrance.tls)
        {
            match tls.ask_again(certificate) {
                Some(ends_at_ms) => shared.stays_until(ends_at_ms),
                None => *examination = Some(Box::new(Examination::begin(&shared.edge.rights))),
            }
        }
        let may_have_will = session.will().is_none_or(|will| shared.may_publish(will.topic()));
        let may_have_filters = session.subscriber().is_none_or(|subscriber| {
            subscriber.filters().iter().all(|filter| shared.may_subscribe(filter))
        });
        match may_have_will && may_have_filters {
            true => Ok(()),
            false => Err(Refusal::RightsChanged),
        }
    }

    /// Encodes the acknowledgements that may leave, and sends them in between where they are many.
    fn acknowledge(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        let now_us = self.shared.edge.micros(clock.now);
        self.outbound.acks_left = true;
        while self.outbound.acks_left {
            if !self.outbound.has_place() {
                self.send(context, clock)?;
                if !self.outbound.has_place() {
                    return Ok(());
                }
            }
            let Connection { shared, session, outbound, .. } = self;
            let mut answered = Ok(());
            session.window.acknowledge(|ack| {
                if ack.answer != Answer::Pubcomp {
                    let waited_us = now_us.saturating_sub(ack.received_us);
                    let latency = &shared.edge.acknowledgement_latencies[ack.group.lane_place()];
                    latency.record(waited_us as f64 / 1e6);
                }
                answered = answered.and(outbound.acknowledge(ack.answer, ack.packet_id, ack.code));
                outbound.has_place()
            })?;
            answered?;
            self.outbound.acks_left = !self.outbound.has_place();
        }
        Ok(())
    }

    /// What packets work on.
    fn packets(&mut self, clock: &Clock) -> Packets<'_> {
        let Connection { shared, session, inbound, outbound, deadlines, .. } = self;
        Packets { shared, session, inbound, outbound, deadlines, clock: *clock }
    }

    /// Keeps what the session holds within the budget of all sessions.
    fn keep(&mut self) -> Result<(), Close> {
        self.session.keep(self.outbound.counted_bytes()).map_err(|bytes| {
            self.shared.edge.log_sessions_full(&self.shared.device.client_id, bytes);
            Refusal::SessionMemory.into()
        })
    }

    /// Ends the connection when the client was too slow or silent, and sets the timer for the next
    /// time to look.
    fn watch_deadlines(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        loop {
            let (due, close) = self.deadlines.next(self.waits_for(clock));
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

    fn waits_for(&self, clock: &Clock) -> Waits {
        let held = self.outbound.held_bytes() + self.inbound.held_bytes();
        // While the gateway drains nothing is read any more, so there is nothing to look for.
        let is_running = self.shared.edge.phase() == Phase::Running;
        let end_ms = self.shared.ends_at_ms();
        Waits {
            reading: is_running && self.blocked.is_none(),
            look_at: self.blocked.filter(|_| is_running).map(|blocked| blocked.look_at),
            credentials_end: (end_ms != FOREVER).then(|| {
                let left_ms = end_ms.saturating_sub(clock.unix_ms).max(0);
                clock.now + Duration::from_millis(left_ms as u64)
            }),
            partial_bytes: self.inbound.partial_bytes(),
            upload_bytes: self.inbound.streaming_bytes(),
            holds_room: held + self.session.window.held_bytes() > REST_BYTES,
        }
    }

    /// Gives back what it holds for the next message, when none came for a while.
    fn rest(&mut self, clock: &Clock) {
        self.deadlines.rested(clock.now);
        self.outbound.rest();
        self.inbound.rest();
        self.session.rest();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::edge::tests::edge;
    use crate::net::peer::tests::peer;
    use crate::net::transport::tests::pair;

    /// Bytes of the largest of the allocator's classes that a connection may fall into, and of that for
    /// its task, which has about a hundred of its own: the two are what most of an idle connection is.
    const CONNECTION_MAX_BYTES: usize = 512;
    const TASK_MAX_BYTES: usize = 256 - 112;

    /// What others know of a client that came to the listener `plain`.
    pub(crate) fn shared(edge: &Arc<Edge>, device: Device) -> Arc<Shared> {
        Arc::new(Shared {
            edge: Arc::clone(edge),
            device,
            identity: None,
            peer: peer(([127, 0, 0, 1], 49_152).into()),
            version: Version::V5,
            keep_alive_s: 60,
            connected_s: 1_800_000_000,
            ends_at_ms: AtomicI64::new(FOREVER),
        })
    }

    /// A connection's future grew from issue to issue, unseen: what was awaited in it stood in it up to
    /// three times.
    #[tokio::test]
    async fn an_idle_connection_stays_small() {
        let edge = edge();
        let (transport, client) = pair().await;
        let address = client.local_addr().expect("it is connected");
        let accepted = Accepted::new(&edge, transport, peer(address));
        let task = size_of_val(&serve(Arc::clone(&edge), accepted));
        let sizes = [
            ("connection", size_of::<Connection>()),
            ("task", task),
            ("session", size_of::<Session>()),
            ("inbound", size_of::<Inbound>()),
            ("outbound", size_of::<Outbound>()),
            ("blocked", size_of::<Option<Blocked>>()),
            ("deadlines", size_of::<Deadlines>()),
            ("transport", size_of::<Transport>()),
        ];
        assert!(size_of::<Connection>() <= CONNECTION_MAX_BYTES, "{sizes:?}");
        assert!(task <= TASK_MAX_BYTES, "{sizes:?}");
    }
}
