//! How a pool is doing, and what operators have it do: what its thread shares with others.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bridge::kafka::group::{Partition, Position};
use metrics::gauge;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::desk::Held;
use crate::metrics as names;

/// Orders that wait for the pool's next round.
const ORDERS_MAX: usize = 1000;
/// How long Kafka is taken to be unwell after its client said so.
const TROUBLE_LASTS: Duration = Duration::from_secs(30);

/// What keeps a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Running,
    /// Its first message is tried again and again.
    Held,
    /// Its first message failed, and somebody has to decide.
    Stopped,
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Running, Status::Held, Status::Stopped];

    pub fn label(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Held => "held",
            Status::Stopped => "stopped",
        }
    }
}

/// One partition that a pool has at the moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: i32,
    pub state: Status,
    /// Why it is held or stopped; it may hold a little of a payload.
    pub reason: Option<String>,
    /// The message that it is held or stopped at.
    pub offset: Option<i64>,
    /// What an operator decided of that message, until it is done.
    pub decided: Option<What>,
    /// From where on it is read if the pool ends.
    pub committed: Option<i64>,
    /// Messages behind that; None while Kafka has not said.
    pub lag: Option<u64>,
    /// Seconds since the oldest message was received that is not finished; 0 where there is none, None where it
    /// was not read yet.
    pub lag_seconds: Option<f64>,
}

impl PartitionStatus {
    fn is(&self, partition: &Partition) -> bool {
        self.topic == partition.topic && self.partition == partition.partition
    }
}

/// What an operator decides of a message at which a partition stands.
#[derive(Clone, Debug)]
pub struct Order {
    pub at: Position,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is tried again now.
    Retry,
    /// It goes to the quarantine, and its partition goes on.
    Skip,
}

impl What {
    pub fn label(self) -> &'static str {
        match self {
            What::Retry => "retry",
            What::Skip => "skip",
        }
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// The pool does it in its next round.
    Taken,
    /// The partition is not here.
    NotHere,
    /// It is, and nothing keeps it.
    Runs,
    /// What was ordered before is not done yet.
    Decided,
    /// It stands at another message.
    StandsAt(i64),
    /// Too many wait already.
    TooMany,
}

/// See the module.
pub struct Control {
    ending: AtomicBool,
    orders: Mutex<Vec<Order>>,
    partitions: Mutex<Vec<PartitionStatus>>,
    beat: Mutex<Instant>,
    /// What was wrong with Kafka last, and when.
    trouble: Mutex<Option<(String, Instant)>>,
    thread: OnceLock<Thread>,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            ending: AtomicBool::new(false),
            orders: Mutex::default(),
            partitions: Mutex::default(),
            beat: Mutex::new(Instant::now()),
            trouble: Mutex::default(),
            thread: OnceLock::new(),
        }
    }
}

impl Control {
    /// The pool ends: what was begun lands, and nothing more is begun.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Has the pool do it in its next round, if the partition stands at that message. What is ordered before that
    /// was done is refused, and not taken and forgotten.
    pub fn order(&self, order: Order) -> Ordered {
        let mut partitions = self.partitions.lock();
        let at = &order.at;
        let Some(one) = partitions.iter_mut().find(|one| one.is(&at.partition)) else {
            return Ordered::NotHere;
        };
        match one.offset {
            Some(offset) if offset == at.offset => (),
            Some(offset) => return Ordered::StandsAt(offset),
            None => return Ordered::Runs,
        }
        if one.decided.is_some() {
            return Ordered::Decided;
        }
        let mut orders = self.orders.lock();
        if orders.len() >= ORDERS_MAX {
            return Ordered::TooMany;
        }
        one.decided = Some(order.what);
        orders.push(order);
        drop((orders, partitions));
        self.wake();
        Ordered::Taken
    }

    pub(super) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut *self.orders.lock())
    }

    /// The partitions that the pool had a second ago.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.partitions.lock().clone()
    }

    pub(super) fn show(&self, pool: &str, mut partitions: Vec<PartitionStatus>, held: Held) {
        let mut shown = self.partitions.lock();
        for Order { at, what } in self.orders.lock().iter() {
            if let Some(one) = partitions.iter_mut().find(|one| one.is(&at.partition)) {
                one.decided = Some(*what);
            }
        }
        for status in Status::ALL {
            let count = partitions.iter().filter(|one| one.state == status).count();
            let labels = [("pool", pool.to_owned()), ("state", status.label().to_owned())];
            gauge!(names::PARTITIONS, &labels).set(count as f64);
        }
        let lag: u64 = partitions.iter().filter_map(|one| one.lag).sum();
        gauge!(names::LAG, "pool" => pool.to_owned()).set(lag as f64);
        let oldest = partitions.iter().filter_map(|one| one.lag_seconds).fold(0.0, f64::max);
        gauge!(names::LAG_SECONDS, "pool" => pool.to_owned()).set(oldest);
        gauge!(names::WINDOW_MESSAGES, "pool" => pool.to_owned()).set(held.messages as f64);
        gauge!(names::WINDOW_BYTES, "pool" => pool.to_owned()).set(held.bytes as f64);
        *shown = partitions;
    }

    /// Kafka is not well, as the pool's consumer tells; it is logged when it is news.
    pub(super) fn note_trouble(&self, pool: &str, reason: String) {
        if self.trouble().is_none() {
            tracing::warn!(pool, reason, "Kafka is not well");
        }
        *self.trouble.lock() = Some((reason, Instant::now()));
    }

    /// What was wrong with Kafka a moment ago.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        let recent = trouble.as_ref().filter(|(_, when)| when.elapsed() < TROUBLE_LASTS);
        recent.map(|(reason, _)| reason.clone())
    }

    /// A sign of life, and of which thread.
    pub(super) fn beat(&self) {
        *self.beat.lock() = Instant::now();
        self.thread.get_or_init(std::thread::current);
    }

    /// How long there was no sign of life.
    pub fn silent_for(&self) -> Duration {
        self.beat.lock().elapsed()
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An order that was taken is done: what comes before that is refused, and not taken and forgotten.
    #[test]
    fn what_is_ordered_while_another_order_waits_is_refused() {
        let control = Control::default();
        let partition = Partition { topic: "raw.fast".to_owned(), partition: 1 };
        let stopped = || PartitionStatus {
            topic: partition.topic.clone(),
            partition: partition.partition,
            state: Status::Stopped,
            reason: Some("truncated".to_owned()),
            offset: Some(3),
            decided: None,
            committed: Some(3),
            lag: Some(2),
            lag_seconds: None,
        };
        let order = |what, offset| {
            control.order(Order { at: Position { partition: partition.clone(), offset }, what })
        };
        let show = || control.show("fast", vec![stopped()], Held::default());
        assert_eq!(order(What::Retry, 3), Ordered::NotHere);
        show();
        assert_eq!(order(What::Retry, 4), Ordered::StandsAt(3));
        assert_eq!(order(What::Retry, 3), Ordered::Taken);
        assert_eq!(order(What::Skip, 3), Ordered::Decided);
        assert_eq!(control.partitions()[0].decided, Some(What::Retry));
        // The pool tells how it is before it took the order.
        show();
        assert_eq!(order(What::Skip, 3), Ordered::Decided);
        assert_eq!(control.take_orders().len(), 1);
        // It was tried again, and is as bad as before.
        show();
        assert_eq!(control.partitions()[0].decided, None);
        assert_eq!(order(What::Skip, 3), Ordered::Taken);
    }
}
