//! The thread that keeps a router running: brings it to what clients want, feeds it, listens for its
//! heartbeat and replaces it.
//!
//! It works in rounds: a bounded number of changes and messages, then a heartbeat through the router,
//! whose return says that the router has handled them. So little is under way at any time that no
//! channel or log of the router overflows, and a router that stands still is noticed.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bridge::fail_point;
use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::queue::Queue;
use super::router::{Gone, Link, Router, SEGMENT_BYTES};
use super::subscriptions::Wanted;
use super::{ClientKey, Delivery, Shared, mount};

/// The longest pause between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages of one round, and bytes of their topics and what the router adds: less than a segment.
const ROUND_MESSAGES: usize = 64;
const ROUND_TOPIC_BYTES: usize = SEGMENT_BYTES;
/// What the router's log counts beside the topic, in bytes.
const LOG_ENTRY_BYTES: usize = mount::MOUNT_BYTES + 12;
/// Payload bytes after which a round is full.
const ROUND_BYTES: usize = 1024 * 1024;
/// Rounds whose messages are kept for links that are late.
const ROUNDS_KEPT: usize = 4;
/// Changes of subscriptions in one round.
const ROUND_CHANGES: usize = 64;
/// What a router may gather, none of which it frees, before a new one takes its place: filters, ids of
/// links, topics and their bytes.
const SEEN_FILTERS_MAX: usize = 500;
const SEEN_LINKS_MAX: u64 = 4000;
const SEEN_TOPICS_MAX: usize = 10_000;
const SEEN_TOPIC_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A router that is replaced has lived at least this long, so that nobody can keep the thread busy
/// with building routers.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// Why a router is replaced.
enum End {
    Closing,
    Full,
    Gone(Gone),
}

/// Runs until the local plane closes. A panic here is a bug of ours and ends a router, not the plane.
pub(super) fn run(shared: &Shared) {
    let mut generation = 0;
    while !shared.closing.load(Ordering::Acquire) {
        shared.pulse.beat();
        let rounds = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(supervise(shared, &mut generation));
                    // A link that is being built to a router that is stuck is not waited for.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!(%error, "the local plane cannot start"),
            }
        }));
        if rounds.is_err() {
            tracing::error!("the local plane had a panic and starts again");
        }
        if !shared.closing.load(Ordering::Acquire) {
            thread::sleep(REBUILD_PAUSE);
        }
    }
}

async fn supervise(shared: &Shared, generation: &mut usize) {
    loop {
        *generation += 1;
        shared.pulse.beat();
        let started = Instant::now();
        let end = match Router::start(*generation).await {
            Ok(router) => serve(shared, router).await,
            Err(gone) => End::Gone(gone),
        };
        let counts = &shared.counts;
        match end {
            End::Closing => return,
            End::Full => {
                counts.rebuilt_full.fetch_add(1, Ordering::Relaxed);
                tracing::debug!("the router of the local plane is full: a new one takes its place");
            }
            End::Gone(Gone { silent }) => {
                let count = if silent { &counts.rebuilt_silent } else { &counts.rebuilt_died };
                count.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    silent,
                    "the router of the local plane died: a new one takes its place"
                );
                // The first death is healed at once, a series of them is not.
                let rest = REBUILD_PAUSE.saturating_sub(started.elapsed());
                sleep(rest).await;
            }
        }
    }
}

/// Serves with one router until it has to be replaced.
async fn serve(shared: &Shared, router: Router) -> End {
    let mut serving = Serving {
        shared,
        router,
        links: HashMap::new(),
        under_way: UnderWay::default(),
        seen_filters: HashSet::new(),
        seen_topics: HashSet::new(),
        seen_topic_bytes: 0,
        started: Instant::now(),
    };
    shared.subscriptions.write().all_changed();
    let end = loop {
        if let Err(end) = serving.round().await {
            break end;
        }
    };
    serving.router.end();
    end
}

/// A router at work.
struct Serving<'a> {
    shared: &'a Shared,
    router: Router,
    links: HashMap<u64, Subscribed>,
    under_way: UnderWay,
    seen_filters: HashSet<Arc<str>>,
    /// Hashes of topics.
    seen_topics: HashSet<u64>,
    seen_topic_bytes: usize,
    started: Instant,
}

/// A subscriber's link, and what the router was told of it.
struct Subscribed {
    client: ClientKey,
    link: Link,
    filters: HashSet<Arc<str>>,
    queue: Arc<Queue>,
    /// How often each of the client's own messages came that are under way.
    own: HashMap<u64, usize>,
}

impl Subscribed {
    /// Whether a message that the router has for the client is for it (v5 3.8.3.1, No Local). The
    /// router hands a message over once for each filter that matches and does not say for which, so
    /// the client's own pass as often as filters match that want them.
    fn takes(&mut self, key: u64, message: &Delivery, wanted: impl FnOnce() -> usize) -> bool {
        if message.publisher != self.client {
            return true;
        }
        let came = self.own.entry(key).or_default();
        *came += 1;
        *came <= wanted()
    }
}

/// The messages of the last rounds by their number; a link that is later than that has lost them.
#[derive(Default)]
struct UnderWay {
    first: u64,
    messages: VecDeque<Delivery>,
    /// How many messages each of the last rounds had.
    rounds: VecDeque<usize>,
}

impl UnderWay {
    fn get(&self, key: u64) -> Option<&Delivery> {
        self.messages.get(usize::try_from(key.checked_sub(self.first)?).ok()?)
    }

    /// Keeps a message and says under which number.
    fn keep(&mut self, message: Delivery) -> u64 {
        self.messages.push_back(message);
        self.first + self.messages.len() as u64 - 1
    }

    /// A round ends: the oldest goes.
    fn end_round(&mut self, messages: usize) {
        self.rounds.push_back(messages);
        if self.rounds.len() > ROUNDS_KEPT {
            let old = self.rounds.pop_front().unwrap_or(0);
            self.messages.drain(..old);
            self.first += old as u64;
        }
    }
}

impl Serving<'_> {
    /// Brings some of what is wanted and some messages to the router and hears its heartbeat.
    async fn round(&mut self) -> Result<(), End> {
        let shared = self.shared;
        shared.pulse.beat();
        if shared.closing.load(Ordering::Acquire) {
            return Err(End::Closing);
        }
        fail_point::ask_thread();
        if fail_point::fails("router") {
            self.router.end();
        }
        if self.is_full() {
            // Subscriptions and messages wait meanwhile, in their bounds.
            sleep(REBUILD_PAUSE.saturating_sub(self.started.elapsed())).await;
            self.hand_over();
            return Err(End::Full);
        }
        let changes = self.follow().await.map_err(End::Gone)?;
        let messages = self.lay_out();
        if let Err(gone) = self.router.beat().await {
            shared.counts.dropped_router.fetch_add(messages as u64, Ordering::Relaxed);
            return Err(End::Gone(gone));
        }
        let handed_over = self.hand_over();
        self.under_way.end_round(messages);
        if changes + messages + handed_over == 0 {
            // Time passed without work is no fault.
            let _ = timeout(HEARTBEAT, shared.work.notified()).await;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.seen_filters.len() > SEEN_FILTERS_MAX
            || self.seen_topics.len() > SEEN_TOPICS_MAX
            || self.seen_topic_bytes > SEEN_TOPIC_BYTES_MAX
            || self.router.links_built() > SEEN_LINKS_MAX
    }

    /// Makes some of the wanted changes and says how many.
    async fn follow(&mut self) -> Result<usize, Gone> {
        let mut changes = 0;
        while changes < ROUND_CHANGES && !self.is_full() {
            let Some((id, wanted)) = self.next_changed() else { break };
            let Some(wanted) = wanted else {
                if let Some(gone) = self.links.remove(&id) {
                    gone.link.disconnect();
                }
                changes += 1;
                continue;
            };
            let known = match self.links.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let link = self.router.link().await?;
                    place.insert(Subscribed {
                        client: wanted.client,
                        link,
                        filters: HashSet::new(),
                        queue: wanted.queue,
                        own: HashMap::new(),
                    })
                }
            };
            for gone in known.filters.difference(&wanted.filters) {
                known.link.unsubscribe(gone)?;
                changes += 1;
            }
            for new in wanted.filters.difference(&known.filters) {
                known.link.subscribe(new)?;
                self.seen_filters.insert(Arc::clone(new));
                changes += 1;
            }
            known.filters = wanted.filters;
        }
        Ok(changes)
    }

    /// The next subscriber that changed, with what it wants; nothing if it is gone.
    fn next_changed(&self) -> Option<(u64, Option<Wanted>)> {
        self.shared.subscriptions.write().next_changed()
    }

    /// Takes a round's messages out of the outbox and says how many.
    fn lay_out(&mut self) -> usize {
        let (mut count, mut topic_bytes, mut bytes) = (0, 0, 0);
        while count < ROUND_MESSAGES && bytes < ROUND_BYTES {
            let mut outbox = self.shared.outbox.lock();
            let Some(next) = outbox.messages.front() else { break };
            topic_bytes += next.topic.len() + LOG_ENTRY_BYTES;
            if count > 0 && topic_bytes > ROUND_TOPIC_BYTES {
                break;
            }
            let message = outbox.messages.pop_front().expect("it was just seen");
            outbox.bytes -= message.bytes();
            drop(outbox);
            (count, bytes) = (count + 1, bytes + message.bytes());
            if self.seen_topics.insert(xxh3_64(message.topic.as_bytes())) {
                self.seen_topic_bytes += message.topic.len();
            }
            let topic = Arc::clone(&message.topic);
            let key = self.under_way.keep(message);
            self.router.lay_out(&topic, key);
        }
        count
    }

    /// Empties the links into their subscribers' queues and says how many messages there were.
    fn hand_over(&mut self) -> usize {
        let mut count = 0;
        let all: Vec<Arc<Queue>> =
            self.links.values().map(|subscribed| Arc::clone(&subscribed.queue)).collect();
        let subscriptions = &self.shared.subscriptions;
        for (&id, subscribed) in &mut self.links {
            while let Some(key) = subscribed.link.next() {
                count += 1;
                match self.under_way.get(key) {
                    Some(delivery)
                        if subscribed.takes(key, delivery, || {
                            subscriptions.read().wanted_of_own(id, &delivery.topic)
                        }) =>
                    {
                        subscribed.queue.push(delivery.clone(), self.shared, &all);
                    }
                    Some(_) => {}
                    None => _ = self.shared.counts.dropped_busy.fetch_add(1, Ordering::Relaxed),
                }
            }
        }
        for subscribed in self.links.values_mut().filter(|subscribed| !subscribed.own.is_empty()) {
            subscribed.own.retain(|key, _| *key >= self.under_way.first);
        }
        count
    }
}
