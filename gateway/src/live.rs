//! What a person sees of a process while it works: a sample each second, made once for all who look, and the last
//! half hour, which is kept whether anybody looks or not. The figures are those of the metrics. It knows no HTTP,
//! and names no device, but for what `landfall dev` shows.
//!
//! What a role has to tell is a [`Reading`]; a part that a role does not have is absent. A new part is a field
//! of it, one of [`now::Now`], and a panel of the page.

mod documented;
mod history;
mod latest;
mod now;
mod quantile;
mod reading;
mod sampler;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bridge::kafka::PARTITIONS_MAX;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::Recorded;
use history::History;
pub use latest::Latest;
pub use reading::{
    ConnectionsReading, KafkaReading, LaneReading, ListenerReading, Reading, StoreReading,
};
pub use sampler::RECORDED;
use sampler::Sampler;

/// Between two samples.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);
/// Who looks at a time: each takes what is sampled, and the whole history at first.
pub const WATCHERS_MAX: usize = 32;
/// Bytes of a step of a lane's history as text, of a lane and of a partition in a sample, and of all else in it
/// and of what the connection has: more than any of them ever is.
const STEP_TEXT_BYTES: usize = 80;
const LANE_TEXT_BYTES: usize = 2 * 1024;
const PARTITION_TEXT_BYTES: usize = 384;
const REST_BYTES: usize = 64 * 1024;

/// See the module.
pub struct Live {
    started: Instant,
    started_at: SystemTime,
    sampler: Mutex<Sampler>,
    latest: watch::Sender<Option<Event>>,
    places: Arc<Semaphore>,
}

/// A part of the stream, as server-sent events have it.
#[derive(Clone)]
pub struct Event {
    pub sequence: u64,
    pub text: Bytes,
}

/// A place among those who look, until it is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// What comes to one who looks.
pub struct Watching {
    samples: watch::Receiver<Option<Event>>,
    /// What was handed on last.
    seen: u64,
}

/// Bytes that a process with so many lanes takes for it: the history, and what those who look hold if none of
/// them reads.
pub const fn memory_cost(lanes: usize) -> u64 {
    // What was refused before it had a lane is beside them.
    let lanes = lanes + 1;
    let lane =
        history::STEPS * STEP_TEXT_BYTES + LANE_TEXT_BYTES + PARTITIONS_MAX * PARTITION_TEXT_BYTES;
    History::bytes(lanes) + (WATCHERS_MAX * (lanes * lane + REST_BYTES)) as u64
}

impl Live {
    pub fn new() -> Arc<Live> {
        Arc::new(Live {
            started: Instant::now(),
            started_at: SystemTime::now(),
            sampler: Mutex::new(Sampler::new(format!("{:016x}", rand::random::<u64>()))),
            latest: watch::Sender::new(None),
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
        })
    }

    /// Tells this process from the one before and the one after it.
    pub fn process(&self) -> String {
        self.sampler.lock().process().to_owned()
    }

    /// When it began, by the machine's clock.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Samples what `read` finds, for ever. It is told whether anybody looks. Cancel safe.
    pub async fn run(&self, mut read: impl FnMut(bool) -> (Reading, Recorded)) {
        let mut ticks = interval(SAMPLE_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_watched = self.latest.receiver_count() > 0;
            let (reading, recorded) = read(is_watched);
            let now = self.sampler.lock().take(
                reading,
                recorded,
                self.started.elapsed(),
                SystemTime::now(),
            );
            if is_watched {
                self.latest.send_replace(Some(Event::of("now", now.sequence, &now)));
            }
        }
    }

    /// A place for one more who looks; None if there is none.
    pub fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }

    /// What was sampled after that, or all that is kept: the first event of one who looks. Behind `after` of
    /// another process is everything of this one.
    pub fn begin(&self, after: Option<u64>, of_process: Option<&str>) -> (Event, Watching) {
        // What is there already is in the history.
        let samples = self.latest.subscribe();
        let sampler = self.sampler.lock();
        let after = after.filter(|_| of_process.is_none_or(|process| process == sampler.process()));
        let past = sampler.past(after, self.started.elapsed());
        let event = Event::of("history", past.last_sequence, &past);
        let seen = event.sequence;
        (event, Watching { samples, seen })
    }
}

impl Watching {
    /// The next sample; None when there are no more. Who comes late gets the newest only. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.samples.changed().await.ok()?;
            let latest = self.samples.borrow_and_update().clone();
            // It may be sampled, and in the history, before it is told.
            if let Some(event) = latest.filter(|event| event.sequence > self.seen) {
                self.seen = event.sequence;
                return Some(event);
            }
        }
    }
}

impl Event {
    /// JSON has no line breaks but escaped ones, so the text is one line of data.
    fn of(name: &str, sequence: u64, data: &impl Serialize) -> Event {
        let mut text = format!("id: {sequence}\nevent: {name}\ndata: ").into_bytes();
        serde_json::to_writer(&mut text, data).expect("texts and numbers can be written");
        text.extend_from_slice(b"\n\n");
        Event { sequence, text: text.into() }
    }
}
