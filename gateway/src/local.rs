//! The local plane: subscriptions between clients of this gateway, delivered at QoS 0 through the
//! embedded rumqttd. Only the files below this one know rumqttd.
//!
//! What clients want is kept here, in one tree of filters, which says whether anybody wants a message.
//! rumqttd's router does the fan-out and is disposable: a thread of its own brings it to what is wanted,
//! asks it for a sign of life with every batch, and builds a new one when it dies or has gathered more
//! than its limits. So nothing that a router loses is lost for good, and nothing of a device's way to
//! Kafka waits for it: [`LocalPlane::publish`] puts a copy into a bounded queue and returns.
//!
//! The router never sees a payload. It matches a number, under which the supervisor keeps the
//! message; so its logs, which it never frees, hold topics only.

mod mount;
mod queue;
mod router;
mod subscriptions;
mod supervisor;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use metrics::{counter, gauge};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::metrics as names;
use crate::pulse::Pulse;
use queue::Queue;
pub use subscriptions::SubscribeError;
use subscriptions::Subscriptions;

/// Longest filter and longest topic that is fanned out, in bytes.
const TOPIC_MAX_BYTES: usize = 1024;
/// Largest payload that is fanned out, in bytes: what a lane takes inline by default.
const PAYLOAD_MAX_BYTES: usize = 512 * 1024;
/// Messages, and bytes of them, that wait for the router.
const OUTBOX_MESSAGES_MAX: usize = 8192;
const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a message takes in a queue beside its topic and payload, in bytes.
const DELIVERY_COST: usize = 64;

/// The local plane of one gateway. Ends its thread and its router when it is dropped.
pub struct LocalPlane {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

/// One client's subscriptions. Dropping it ends them.
pub struct Subscriber {
    shared: Arc<Shared>,
    id: u64,
    client: ClientKey,
    queue: Arc<Queue>,
    /// Taken out of the queue and not sent.
    sending: VecDeque<Delivery>,
}

/// Who publishes and who subscribes: a hash of the client id, for No Local (v5 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey(u64);

impl ClientKey {
    pub fn of(client_id: &str) -> ClientKey {
        ClientKey(xxh3_64(client_id.as_bytes()))
    }
}

/// A message for a subscriber.
#[derive(Clone)]
pub struct Delivery {
    pub publisher: ClientKey,
    pub topic: Arc<str>,
    pub payload: Bytes,
}

impl Delivery {
    /// What it counts for, in bytes.
    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + DELIVERY_COST
    }
}

/// What the callers and the supervisor's thread share.
struct Shared {
    /// How many subscriptions there are, so that a publish without any costs one load.
    count: AtomicUsize,
    /// What clients want. The supervisor follows it; holders are brief.
    subscriptions: RwLock<Subscriptions>,
    outbox: Mutex<Outbox>,
    /// Something is there for the supervisor.
    work: Notify,
    closing: AtomicBool,
    /// The supervisor's.
    pulse: Pulse,
    counts: Counts,
    /// Bytes in the queues of all subscribers, and of what they were given and is not sent.
    queued_bytes: AtomicUsize,
}

/// Messages on their way to the router.
#[derive(Default)]
struct Outbox {
    messages: VecDeque<Delivery>,
    bytes: usize,
}

/// What happened so far; see the metrics of the same names.
#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    /// The subscriber does not keep up.
    dropped_slow: AtomicU64,
    /// All subscribers' queues together are full: of the longest.
    dropped_memory: AtomicU64,
    /// The router does not keep up.
    dropped_busy: AtomicU64,
    /// Longer than what is fanned out.
    dropped_too_large: AtomicU64,
    /// In a router that died, at most so many.
    dropped_router: AtomicU64,
    rebuilt_died: AtomicU64,
    rebuilt_silent: AtomicU64,
    rebuilt_full: AtomicU64,
}

impl LocalPlane {
    /// Starts the thread that keeps a router running.
    pub fn start() -> io::Result<LocalPlane> {
        let shared = Arc::new(Shared {
            count: AtomicUsize::new(0),
            subscriptions: RwLock::default(),
            outbox: Mutex::default(),
            work: Notify::new(),
            closing: AtomicBool::new(false),
            pulse: Pulse::default(),
            counts: Counts::default(),
            queued_bytes: AtomicUsize::new(0),
        });
        let supervised = Arc::clone(&shared);
        let supervisor = thread::Builder::new()
            .name("local-plane".to_owned())
            .spawn(move || supervisor::run(&supervised))?;
        Ok(LocalPlane { shared, supervisor: Some(supervisor) })
    }

    /// How long the thread has not made a round.
    pub fn silent_for(&self) -> Duration {
        self.shared.pulse.silent_for()
    }

    /// Whether a local subscription may match: one load while there is none.
    pub fn interested(&self, topic: &str) -> bool {
        self.shared.count.load(Ordering::Relaxed) > 0
            && self.shared.subscriptions.read().interested(topic)
    }

    /// Hands a copy to the local plane. Never waits: what does not fit is counted and dropped.
    pub fn publish(&self, publisher: ClientKey, topic: &str, payload: &[u8]) {
        let counts = &self.shared.counts;
        if topic.len() > TOPIC_MAX_BYTES || payload.len() > PAYLOAD_MAX_BYTES {
            counts.dropped_too_large.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let payload = Bytes::copy_from_slice(payload);
        let message = Delivery { publisher, topic: topic.into(), payload };
        let mut outbox = self.shared.outbox.lock();
        let bytes = outbox.bytes + message.bytes();
        if outbox.messages.len() >= OUTBOX_MESSAGES_MAX || bytes > OUTBOX_BYTES_MAX {
            counts.dropped_busy.fetch_add(1, Ordering::Relaxed);
            return;
        }
        outbox.bytes = bytes;
        outbox.messages.push_back(message);
        if outbox.messages.len() == 1 {
            self.shared.work.notify_one();
        }
    }

    /// A client's place in the local plane; `wake` is called when there is something for it after
    /// there was nothing.
    pub fn subscriber(
        &self,
        client: ClientKey,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Subscriber {
        Subscriber {
            shared: Arc::clone(&self.shared),
            id: self.shared.subscriptions.write().next_id(),
            client,
            queue: Arc::new(Queue::new(Box::new(wake))),
            sending: VecDeque::new(),
        }
    }

    /// Brings the metrics up to date.
    pub fn collect_metrics(&self) {
        let counts = &self.shared.counts;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        gauge!(names::LOCAL_SUBSCRIPTIONS).set(self.shared.count.load(Ordering::Relaxed) as f64);
        counter!(names::LOCAL_DELIVERED).absolute(load(&counts.delivered));
        for (reason, count) in [
            ("subscriber_slow", &counts.dropped_slow),
            ("memory", &counts.dropped_memory),
            ("router_busy", &counts.dropped_busy),
            ("too_large", &counts.dropped_too_large),
            ("router_died", &counts.dropped_router),
        ] {
            counter!(names::LOCAL_DROPPED, "reason" => reason).absolute(load(count));
        }
        for (reason, count) in [
            ("died", &counts.rebuilt_died),
            ("silent", &counts.rebuilt_silent),
            ("full", &counts.rebuilt_full),
        ] {
            counter!(names::ROUTER_REBUILDS, "reason" => reason).absolute(load(count));
        }
    }
}

impl Drop for LocalPlane {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.work.notify_one();
        if let Some(supervisor) = self.supervisor.take() {
            // Its panics are its own and were logged.
            let _ = supervisor.join();
        }
    }
}

impl Subscriber {
    /// Subscribes to a filter whose syntax was checked. A filter that is there already stays; with
    /// `no_local` or without is what was said last.
    pub fn subscribe(&mut self, filter: &str, no_local: bool) -> Result<(), SubscribeError> {
        if filter.len() > TOPIC_MAX_BYTES {
            return Err(SubscribeError::FilterTooLong);
        }
        self.shared.change(|subscriptions| {
            subscriptions.add(self.id, self.client, &self.queue, filter, no_local)
        })
    }

    /// How many filters it is subscribed to.
    pub fn subscriptions(&self) -> usize {
        self.shared.subscriptions.read().len_of(self.id)
    }

    /// The filters that it holds.
    pub fn filters(&self) -> Vec<Arc<str>> {
        self.shared.subscriptions.read().of(self.id)
    }

    /// Ends a subscription; `false` if there was none.
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        self.shared.change(|subscriptions| subscriptions.remove(self.id, filter))
    }

    /// The message at this place of those that are to be sent, if there are as many.
    pub fn message(&mut self, place: usize) -> Option<&Delivery> {
        if place == self.sending.len() {
            self.sending.push_back(self.queue.pop()?);
        }
        self.sending.get(place)
    }

    /// The message at this place was sent, or cannot be: until here it counts.
    pub fn remove(&mut self, place: usize) {
        if let Some(delivery) = self.sending.remove(place) {
            self.queue.release(&delivery, &self.shared);
        }
        if self.sending.is_empty() {
            self.sending = VecDeque::new();
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.change(|subscriptions| subscriptions.remove_all(self.id));
        self.queue.close(&self.shared);
    }
}

impl Shared {
    /// Changes what is wanted and tells the supervisor.
    fn change<T>(&self, change: impl FnOnce(&mut Subscriptions) -> T) -> T {
        let mut subscriptions = self.subscriptions.write();
        let changed = change(&mut subscriptions);
        self.count.store(subscriptions.len(), Ordering::Relaxed);
        let is_work = subscriptions.has_changes();
        drop(subscriptions);
        if is_work {
            self.work.notify_one();
        }
        changed
    }
}
