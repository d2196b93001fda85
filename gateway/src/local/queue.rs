//! What waits for one subscriber: bounded by count and bytes, beside a bound on all of them together.
//!
//! A message counts until it is sent. When all queues together are full, what is dropped is of the
//! longest one, so that subscribers that do not keep up take nothing from one that does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Delivery, Shared};

/// Messages, and bytes of them, that wait for one subscriber.
const QUEUE_MESSAGES_MAX: usize = 1000;
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that wait for all subscribers.
pub(super) const ALL_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Bytes of `messages`, to find the longest queue without its lock.
    length: AtomicUsize,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Delivery>,
    /// Bytes of `messages` and of what was taken and is not sent.
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Queue {
        Queue { waiting: Mutex::default(), length: AtomicUsize::new(0), wake }
    }

    /// Adds a message, or counts it as lost. `all` are the queues of which one may have to make room.
    /// Only the supervisor's thread adds, so nothing comes between a check and its sum.
    pub(super) fn push(&self, delivery: Delivery, shared: &Shared, all: &[Arc<Queue>]) {
        let size = delivery.bytes();
        if !self.has_room(size) {
            shared.counts.dropped_slow.fetch_add(1, Ordering::Relaxed);
            return;
        }
        while shared.queued_bytes.load(Ordering::Relaxed) + size > ALL_BYTES_MAX {
            let longest = all.iter().max_by_key(|queue| queue.length());
            let longest = longest.filter(|longest| longest.length() > self.length() + size);
            shared.counts.dropped_memory.fetch_add(1, Ordering::Relaxed);
            if !longest.is_some_and(|longest| longest.drop_oldest(shared)) {
                return;
            }
        }
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
        shared.counts.delivered.fetch_add(1, Ordering::Relaxed);
        waiting.bytes += size;
        waiting.messages.push_back(delivery);
        self.length.fetch_add(size, Ordering::Relaxed);
        let first = waiting.messages.len() == 1;
        drop(waiting);
        if first {
            (self.wake)();
        }
    }

    fn has_room(&self, size: usize) -> bool {
        let waiting = self.waiting.lock();
        waiting.messages.len() < QUEUE_MESSAGES_MAX && waiting.bytes + size <= QUEUE_BYTES_MAX
    }

    fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Takes the oldest message, which still counts until [`Queue::release`].
    pub(super) fn pop(&self) -> Option<Delivery> {
        self.take(&mut self.waiting.lock())
    }

    fn take(&self, waiting: &mut Waiting) -> Option<Delivery> {
        let delivery = waiting.messages.pop_front()?;
        self.length.fetch_sub(delivery.bytes(), Ordering::Relaxed);
        if waiting.messages.is_empty() {
            waiting.messages = VecDeque::new();
        }
        Some(delivery)
    }

    /// A message that was taken is sent, or not wanted.
    pub(super) fn release(&self, delivery: &Delivery, shared: &Shared) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            waiting.bytes -= delivery.bytes();
            shared.queued_bytes.fetch_sub(delivery.bytes(), Ordering::Relaxed);
        }
    }

    /// Makes room for others; false if there is nothing that could go.
    fn drop_oldest(&self, shared: &Shared) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(delivery) = self.take(&mut waiting) else { return false };
        waiting.bytes -= delivery.bytes();
        shared.queued_bytes.fetch_sub(delivery.bytes(), Ordering::Relaxed);
        true
    }

    /// Nothing is taken any more, and what waits goes.
    pub(super) fn close(&self, shared: &Shared) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        shared.queued_bytes.fetch_sub(waiting.bytes, Ordering::Relaxed);
        waiting.bytes = 0;
        waiting.messages = VecDeque::new();
        self.length.store(0, Ordering::Relaxed);
    }
}
