//! One rumqttd router and the links to it.
//!
//! What rumqttd cannot stand is kept away from it here: link ids are never used twice, nothing is
//! called on a link after its disconnect, and every wait for the router has a deadline. A router holds
//! a sender of its own channel and so never ends by itself: [`Router::end`] makes it panic on purpose,
//! which unwinds its thread and frees its memory.

use std::panic;
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Packet, Publish};
use rumqttd::{Notification, RouterConfig};
use tokio::time::timeout;

use super::mount;
use super::subscriptions::SUBSCRIBERS_MAX;

/// How long the router may take to answer before it counts as stuck.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Bytes after which a log of the router starts a new segment, and segments it keeps. A batch is
/// smaller than a segment, so that no link can miss one.
pub(super) const SEGMENT_BYTES: usize = 2048;
const SEGMENTS: usize = 2;
/// Messages that a link gets at a time.
const OUTGOING_MESSAGES: u64 = 190;
/// The router's threads are called this, and a number.
const THREAD_PREFIX: &str = "router-";

/// Builds a link, or finds the router dead.
type BuildLink = dyn Fn(&str) -> Option<Link> + Send + Sync;

/// The router did not answer, or not in time: it is of no use any more.
#[derive(Debug)]
pub(super) struct Gone {
    pub silent: bool,
}

const DEAD: Gone = Gone { silent: false };
const SILENT: Gone = Gone { silent: true };

/// See the module.
pub(super) struct Router {
    build_link: Arc<BuildLink>,
    links_built: u64,
    /// The supervisor's own: it publishes, and it hears its own heartbeat.
    own: Link,
    beats: u64,
}

/// A client of the router.
pub(super) struct Link {
    tx: LinkTx,
    rx: LinkRx,
}

impl Router {
    /// Starts a router's thread and the supervisor's link to it.
    pub(super) async fn start(generation: usize) -> Result<Router, Gone> {
        silence_panics();
        let config = RouterConfig {
            max_connections: SUBSCRIBERS_MAX + 1,
            max_outgoing_packet_count: OUTGOING_MESSAGES,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        };
        // The sender's type cannot be named outside rumqttd, so it stays inside the closure.
        let sender = rumqttd::Router::new(generation, config).spawn();
        let build_link: Arc<BuildLink> =
            Arc::new(move |id| match LinkBuilder::new(id, sender.clone()).build() {
                Ok((tx, rx, _)) => Some(Link { tx, rx }),
                Err(_) => None,
            });
        let mut own = Link::build(&build_link, "supervisor".to_owned()).await?;
        own.tx.subscribe(mount::HEARTBEAT).map_err(|_| DEAD)?;
        Ok(Router { build_link, links_built: 0, own, beats: 0 })
    }

    /// A link for a subscriber, under an id that was never used.
    pub(super) async fn link(&mut self) -> Result<Link, Gone> {
        self.links_built += 1;
        Link::build(&self.build_link, format!("subscriber-{}", self.links_built)).await
    }

    /// Links that subscribers had, of which the router remembers each.
    pub(super) fn links_built(&self) -> u64 {
        self.links_built
    }

    /// Lays a message out for the router; it goes with the next heartbeat.
    pub(super) fn lay_out(&mut self, topic: &str, key: u64) {
        let topic = Bytes::from(mount::mount(topic).into_bytes());
        let key = Bytes::copy_from_slice(&key.to_be_bytes());
        self.own.tx.buffer().push_back(Packet::Publish(Publish::new(topic, key, false), None));
    }

    /// Sends what is laid out, with a heartbeat behind it, and waits for the heartbeat's return: the
    /// router then has handled all of it.
    pub(super) async fn beat(&mut self) -> Result<(), Gone> {
        self.beats += 1;
        let beat = self.beats.to_be_bytes();
        let Link { tx, rx } = &mut self.own;
        tx.publish(mount::HEARTBEAT, beat.to_vec()).map_err(|_| DEAD)?;
        let answer = async {
            loop {
                match rx.next().await {
                    Ok(Some(Notification::Forward(forward)))
                        if *forward.publish.payload == beat =>
                    {
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(_) => return Err(DEAD),
                }
            }
        };
        timeout(ANSWER_WAIT, answer).await.unwrap_or(Err(SILENT))
    }

    /// Ends the router's thread: `Event::Ready` of a link that it dropped makes it panic.
    pub(super) fn end(&mut self) {
        disconnect(&mut self.own.tx);
        // If it is dead already there is nothing to do.
        let _ = self.own.rx.ready();
    }
}

impl Link {
    /// Building blocks until the router answers, so it happens elsewhere and under a deadline.
    async fn build(build: &Arc<BuildLink>, id: String) -> Result<Link, Gone> {
        let build = Arc::clone(build);
        let built = tokio::task::spawn_blocking(move || build(&id));
        match timeout(ANSWER_WAIT, built).await {
            Ok(Ok(Some(link))) => Ok(link),
            Ok(_) => Err(DEAD),
            Err(_) => Err(SILENT),
        }
    }

    pub(super) fn subscribe(&mut self, filter: &str) -> Result<(), Gone> {
        self.tx.subscribe(mount::mount(filter)).map(drop).map_err(|_| DEAD)
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> Result<(), Gone> {
        self.tx.unsubscribe(mount::mount(filter)).map(drop).map_err(|_| DEAD)
    }

    /// The number of the next message that the router has for this link, without waiting. A dead
    /// router has none; its heartbeat tells.
    pub(super) fn next(&mut self) -> Option<u64> {
        loop {
            match self.rx.recv_deadline(Instant::now()) {
                Ok(Some(Notification::Forward(forward))) => {
                    return forward
                        .publish
                        .payload
                        .as_ref()
                        .try_into()
                        .ok()
                        .map(u64::from_be_bytes);
                }
                // The router paused the link because its buffer was full; it is being emptied.
                Ok(Some(Notification::Unschedule)) => self.rx.ready().ok()?,
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) fn disconnect(mut self) {
        disconnect(&mut self.tx);
    }
}

/// Ends a link; nothing may be called on it afterwards.
fn disconnect(tx: &mut LinkTx) {
    let reason_code = DisconnectReasonCode::NormalDisconnection;
    tx.buffer().push_back(Packet::Disconnect(Disconnect { reason_code }, None));
    // An unsubscribe of nothing is the way to have the buffer looked at without waiting.
    let _ = tx.try_unsubscribe(String::new());
}

/// A router's end is a panic and no news; all other threads' panics are told as before.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let name = thread::current().name().map(str::to_owned);
            if !name.is_some_and(|name| name.starts_with(THREAD_PREFIX)) {
                before(info);
            }
        }));
    });
}
