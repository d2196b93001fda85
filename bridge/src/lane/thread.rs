//! The lane's thread: it owns the lane's sink, gathers what came within a few milliseconds, and makes round after
//! round; without anything to do it sleeps until it is woken.
//!
//! Few large hand-overs instead of many small ones halve the lane's CPU time and Kafka's. The same thread serves the
//! verdicts, so a message costs no wake-up of its own between threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::forwarder::Forwarder;
use super::{GATHER_MAX_BYTES, GATHERING, IDLE, Lane, SinkFactory};
use crate::fail_point;
use crate::record::RecordBatch;

/// The queue's buffers keep at most this many bytes while they are empty.
const QUEUE_KEEP_BYTES: usize = 1024 * 1024;
/// How long an idle lane sleeps at most: its heartbeat.
const IDLE_SLEEP: Duration = Duration::from_secs(1);

/// The lane's running thread.
pub struct LaneThread {
    lane: Arc<Lane>,
    handle: JoinHandle<()>,
}

impl LaneThread {
    /// Starts the thread that serves the lane.
    pub(crate) fn start(lane: &Arc<Lane>, sink: SinkFactory) -> std::io::Result<LaneThread> {
        let served = Arc::clone(lane);
        // Linux cuts thread names at 15 bytes.
        let handle = thread::Builder::new()
            .name(format!("lane-{}", lane.account.name).chars().take(15).collect())
            .spawn(move || {
                let _ended = Ended(&served);
                let _ = served.thread.set(thread::current());
                let sink = sink();
                serve(&served, Forwarder::new(&served, sink, Instant::now()));
            })?;
        Ok(LaneThread { lane: Arc::clone(lane), handle })
    }

    /// Closes the lane: what is still in it fails its receipts.
    pub fn stop(self) {
        self.lane.queue.lock().closed = true;
        self.lane.wake();
        if self.handle.join().is_err() {
            tracing::error!(lane = &*self.lane.account.name, "the lane's thread had panicked");
        }
    }
}

/// The lane's thread at its end, also by a panic: nobody serves the queue any more, so it is closed, and
/// what is in it fails.
struct Ended<'l>(&'l Lane);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.status.finish();
        let left = {
            let mut queue = self.0.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.batch)
        };
        drop(left);
    }
}

fn serve(lane: &Lane, mut forwarder: Forwarder<'_>) {
    let mut incoming = RecordBatch::default();
    let mut take_at = Instant::now();
    loop {
        fail_point::ask_thread();
        let now = Instant::now();
        forwarder.round(now, wall_ms());
        let mut queue = lane.queue.lock();
        if queue.closed && queue.batch.is_empty() {
            return;
        }
        let due = now >= take_at || queue.closed || queue.batch.bytes() >= GATHER_MAX_BYTES;
        if due && !queue.batch.is_empty() {
            std::mem::swap(&mut queue.batch, &mut incoming);
            drop(queue);
            take_at = now + lane.gather;
            incoming.drain(QUEUE_KEEP_BYTES, |record, pending| forwarder.take(record, pending));
            continue;
        }
        let gathering = !due || !queue.batch.is_empty();
        if !gathering {
            // Under the queue's lock, so that a submit after this sees IDLE and wakes us.
            lane.state.store(IDLE, Ordering::SeqCst);
        }
        drop(queue);
        let until_round = forwarder.next_round(now).map_or(IDLE_SLEEP, |at| {
            at.saturating_duration_since(now).clamp(Duration::from_millis(1), IDLE_SLEEP)
        });
        let sleep = match gathering {
            true => take_at.saturating_duration_since(now).min(until_round),
            false => until_round,
        };
        thread::park_timeout(sleep);
        if !gathering && lane.state.load(Ordering::SeqCst) == GATHERING {
            // The first message after a pause: those that follow it within the gathering time
            // travel with it.
            take_at = Instant::now() + lane.gather;
        }
    }
}

/// Milliseconds since 1970 UTC.
fn wall_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
