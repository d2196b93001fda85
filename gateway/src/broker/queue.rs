//! What waits for one subscriber: bounded by count and bytes, beside a bound on all of them together.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::{Delivery, Shared};

/// Messages, and bytes of them, that wait for one subscriber.
const QUEUE_MESSAGES_MAX: usize = 1000;
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that wait for all subscribers.
const ALL_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Delivery>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Queue {
        Queue { waiting: Mutex::default(), wake }
    }

    /// Adds a message, or counts it as lost.
    pub(super) fn push(&self, delivery: Delivery, shared: &Shared) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        let size = delivery.bytes();
        if waiting.messages.len() >= QUEUE_MESSAGES_MAX || waiting.bytes + size > QUEUE_BYTES_MAX {
            shared.counts.dropped_slow.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Only the supervisor's thread adds, so nothing comes between the check and the sum.
        if shared.queued_bytes.load(Ordering::Relaxed) + size > ALL_BYTES_MAX {
            shared.counts.dropped_memory.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
        shared.counts.delivered.fetch_add(1, Ordering::Relaxed);
        waiting.bytes += size;
        waiting.messages.push_back(delivery);
        let first = waiting.messages.len() == 1;
        drop(waiting);
        if first {
            (self.wake)();
        }
    }

    pub(super) fn pop(&self, shared: &Shared) -> Option<Delivery> {
        let mut waiting = self.waiting.lock();
        let delivery = waiting.messages.pop_front()?;
        waiting.bytes -= delivery.bytes();
        shared.queued_bytes.fetch_sub(delivery.bytes(), Ordering::Relaxed);
        Some(delivery)
    }

    /// Nothing is taken any more, and what waits goes.
    pub(super) fn close(&self, shared: &Shared) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        shared.queued_bytes.fetch_sub(waiting.bytes, Ordering::Relaxed);
        waiting.bytes = 0;
        waiting.messages = VecDeque::new();
    }
}
