//! What is to outlive a connection: the window, the mailbox that outcomes come to, subscriptions, the
//! will, and what all of it takes. Until sessions are kept, each ends with its one connection, which
//! owns it and lends it its task to wake.

pub mod window;

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;

use bridge::uplink::ReplyTo;
use bridge::{Mailbox, Mark, Signals};

use crate::budget::Kept;
use crate::connection::StoredWill;
use crate::local::{ClientKey, LocalPlane, SubscribeError, Subscriber};
use window::{Publish, Window, WindowFault, WindowLimits};

/// What is kept of a CONNECT counts in the budget of sessions from here on, in bytes.
pub const FREE_CONNECT_BYTES: usize = 1024;
/// What a session may keep without asking, in bytes.
pub const FREE_BYTES: usize = FREE_CONNECT_BYTES + window::FREE_BYTES;

thread_local! {
    static MARKS: RefCell<Vec<Mark>> = const { RefCell::new(Vec::new()) };
}

/// What of a CONNECT a session keeps.
pub struct Beginning {
    pub is_v5: bool,
    /// It asked for a session that outlives the connection.
    pub asked_to_outlive: bool,
    pub will: Option<Box<StoredWill>>,
    /// The bytes of it beyond what is free, which are taken.
    pub kept: Kept,
}

/// See the module.
pub struct Session {
    pub window: Window,
    mailbox: Arc<Mailbox>,
    subscriber: Option<Box<Subscriber>>,
    will: Option<Box<StoredWill>>,
    /// Bytes of what CONNECT brought that count in the budget of sessions.
    connect_bytes: u32,
    /// What counts there in all.
    kept: Kept,
    asked_to_outlive: bool,
}

/// What came to a session since it looked last.
pub struct Collected {
    pub signals: Signals,
    /// Outcomes came.
    pub decided: bool,
    /// The connection has to end, after what may be acknowledged is.
    pub fault: Option<WindowFault>,
}

impl Session {
    pub fn new(mailbox: Arc<Mailbox>, limits: WindowLimits, beginning: Beginning) -> Session {
        let Beginning { is_v5, asked_to_outlive, will, kept } = beginning;
        Session {
            window: Window::new(limits, is_v5),
            mailbox,
            subscriber: None,
            will,
            connect_bytes: kept.bytes() as u32,
            kept,
            asked_to_outlive,
        }
    }

    /// Puts an admitted message into the window: where its outcome goes.
    pub fn open(&mut self, publish: Publish) -> ReplyTo {
        (Arc::clone(&self.mailbox), self.window.open(publish))
    }

    /// Where outcomes and signals come to.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub fn asked_to_outlive(&self) -> bool {
        self.asked_to_outlive
    }

    /// Brings the outcomes that arrived into the window; from now on what arrives wakes `waker`.
    pub fn collect(&mut self, waker: &Waker) -> Collected {
        MARKS.with_borrow_mut(|marks| {
            let signals = self.mailbox.collect(waker, marks);
            let (decided, mut fault) = (!marks.is_empty(), None);
            for Mark { slot, outcome } in marks.drain(..) {
                fault = fault.or(self.window.decide(slot, outcome).err());
            }
            Collected { signals, decided, fault }
        })
    }

    /// Subscribes at the local plane, where the client has a place from its first subscription on.
    pub fn subscribe(
        &mut self,
        local: &LocalPlane,
        client_id: &str,
        filter: &str,
        no_local: bool,
    ) -> Result<(), SubscribeError> {
        let subscriber = self.subscriber.get_or_insert_with(|| {
            let mailbox = Arc::clone(&self.mailbox);
            let wake = move || mailbox.wake();
            Box::new(local.subscriber(ClientKey::of(client_id), wake))
        });
        subscriber.subscribe(filter, no_local)
    }

    /// Ends a subscription; false if there was none.
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        self.subscriber.as_mut().is_some_and(|subscriber| subscriber.unsubscribe(filter))
    }

    /// How many filters it is subscribed to.
    pub fn subscriptions(&self) -> usize {
        self.subscriber.as_ref().map_or(0, |subscriber| subscriber.subscriptions())
    }

    pub fn has_will(&self) -> bool {
        self.will.is_some()
    }

    /// What was published for it, if it has subscribed.
    pub fn subscriber(&mut self) -> Option<&mut Subscriber> {
        self.subscriber.as_deref_mut()
    }

    /// Nothing is delivered any more.
    pub fn end_subscriptions(&mut self) {
        self.subscriber = None;
    }

    /// The will, while it is kept.
    pub fn will(&self) -> Option<&StoredWill> {
        self.will.as_deref()
    }

    /// The will, which is published or given up by whoever takes it.
    pub fn take_will(&mut self) -> Option<Box<StoredWill>> {
        self.will.take()
    }

    /// One more message may be opened: its place is there, or comes out of the budget of all sessions.
    /// `beside` is what the connection keeps that counts there.
    pub fn may_open(&mut self, beside: usize) -> bool {
        match self.window.growth_bytes() {
            0 => true,
            growth => self.kept.change(self.counted_bytes(growth, beside)),
        }
    }

    /// Brings what is kept into the budget of all sessions. What fits into a window without asking always
    /// does; who lets more become of it than there is room for has to go, and the error says how many
    /// bytes that were.
    pub fn keep(&mut self, beside: usize) -> Result<(), u64> {
        let bytes = self.counted_bytes(0, beside);
        match bytes == self.kept.bytes() || self.kept.change(bytes) {
            true => Ok(()),
            false => Err(bytes),
        }
    }

    /// What counts in the budget, if the window kept so much more, in bytes.
    fn counted_bytes(&self, more: usize, beside: usize) -> u64 {
        let window = (self.window.held_bytes() + more).saturating_sub(window::FREE_BYTES);
        u64::from(self.connect_bytes) + (window + beside) as u64
    }

    /// Gives back what is held for the next message.
    pub fn rest(&mut self) {
        self.window.rest();
        self.mailbox.rest();
    }
}

#[cfg(test)]
mod tests {
    use bridge::{Account, Carriage, LaneId, Outcome, Receipt};

    use super::window::{Acknowledgement, Admission, Group};
    use super::*;
    use crate::budget::Budget;

    const LIMITS: WindowLimits = WindowLimits { messages: 1000, bytes: u32::MAX };

    fn session(budget: &Arc<Budget>) -> Session {
        let kept = Kept::nothing(budget);
        let beginning = Beginning { is_v5: true, asked_to_outlive: false, will: None, kept };
        Session::new(Arc::default(), LIMITS, beginning)
    }

    fn publish(packet_id: u16) -> Publish {
        Publish {
            packet_id,
            qos: 1,
            dup: false,
            fingerprint: packet_id.into(),
            bytes: 10,
            group: Group::of(LaneId::FAST, Carriage::Inline),
            received_us: 0,
        }
    }

    fn acknowledged(session: &mut Session) -> Vec<u16> {
        let mut packet_ids = Vec::new();
        let send = |ack: Acknowledgement| {
            packet_ids.push(ack.packet_id);
            true
        };
        session.window.acknowledge(send).expect("no fault");
        packet_ids
    }

    /// The outcome finds the slot by the session's mailbox, whoever is awake meanwhile.
    #[test]
    fn what_lands_is_acknowledged_by_the_session_that_it_came_to() {
        let account = Arc::new(Account::new("fast", 1_000, 0));
        let mut session = session(&Budget::new("bytes", 0));
        let receipts: Vec<Receipt> = (1..=3)
            .map(|packet_id| {
                assert_eq!(session.window.admit(&publish(packet_id)), Admission::New);
                assert!(account.share(Carriage::Inline).try_take(100));
                let reply_to = Some(session.open(publish(packet_id)));
                Receipt::open(Arc::clone(&account), Carriage::Inline, 100, reply_to)
            })
            .collect();
        assert!(!session.collect(Waker::noop()).decided);
        let mut receipts = receipts.into_iter();
        let [first, second, third] = [(); 3].map(|()| receipts.next().expect("three"));
        second.resolve(Outcome::Landed);
        assert!(session.collect(Waker::noop()).decided);
        assert!(acknowledged(&mut session).is_empty(), "the first is before it");
        first.resolve(Outcome::Landed);
        assert_eq!(session.collect(Waker::noop()).fault, None);
        assert_eq!(acknowledged(&mut session), [1, 2]);
        // A message that is forgotten is a failed one.
        drop(third);
        let collected = session.collect(Waker::noop());
        assert_eq!(collected.fault, Some(WindowFault::MessageFailed));
    }

    #[test]
    fn what_it_keeps_beyond_its_right_comes_out_of_the_budget_of_all() {
        let budget = Budget::new("bytes", 64 * 1024);
        let mut session = session(&budget);
        assert_eq!(session.keep(0), Ok(()));
        assert_eq!(budget.used(), 0, "what is free is free");
        let mut opened = 0;
        while session.may_open(0) {
            opened += 1;
            session.window.open(publish(opened));
            assert_eq!(session.keep(0), Ok(()));
        }
        assert!(opened > 16, "{opened}");
        let used = budget.used();
        assert!(used > 0 && used <= budget.limit());
        let refused =
            session.keep(budget.limit() as usize).expect_err("there is no room beside it");
        assert_eq!(refused, budget.limit() + used);
        drop(session);
        assert_eq!(budget.used(), 0);
    }
}
