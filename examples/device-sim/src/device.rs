//! The life of one device: it says what it has to say, and sends it until it is acknowledged, over as
//! many connections as that takes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fleet::{self, Device, Habits, Sayings, Version};
use crate::ledger::{Ledger, Line};
use crate::link::{End, Link, Signal, Way};
use crate::outbox::{Message, Outbox};
use crate::payload::Head;
use crate::security::Proof;

/// Messages of a device that may be open at once.
const WINDOW: u16 = 10;
/// Messages that a device keeps; with more it falls silent.
const OUTBOX_MAX: usize = 1000;
/// From here on a code of MQTT 5 refuses.
pub const REFUSED: u8 = 0x80;
/// The first and the longest pause between two attempts to connect; each is drawn from half of it up.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// What the whole fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Devices have something to say.
    Talking,
    /// They say nothing new, and send until all is acknowledged.
    Settling,
    /// They end.
    Ended,
}

/// Sums over the fleet.
#[derive(Default)]
pub struct Counters {
    pub connected: AtomicI64,
    pub connections: AtomicU64,
    /// Messages handed to the network, resends included.
    pub sent: AtomicU64,
    pub resent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    /// Connections that the gateway did not let in.
    pub turned_away: AtomicU64,
    /// Why the last connection of the fleet that failed did so, for people.
    pub last_trouble: Mutex<Option<String>>,
    /// Messages that devices keep.
    pub outstanding: AtomicI64,
}

/// What all devices share.
#[derive(Clone)]
pub struct World {
    pub run: Arc<str>,
    pub way: Arc<Way>,
    pub habits: Habits,
    pub ledger: Ledger,
    pub counters: Arc<Counters>,
    pub stage: watch::Receiver<Stage>,
}

/// One device at work.
pub struct Living {
    device: Device,
    proof: Arc<Proof>,
    world: World,
    sayings: Sayings,
    /// When the next saying is due, and what it is.
    next_at: Instant,
    next: fleet::Saying,
    sequence: u64,
    outbox: Outbox,
    /// What of the outbox is in the fleet's sum.
    counted: i64,
}

/// Milliseconds since 1970 UTC.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Living {
    pub fn new(device: Device, proof: Proof, world: World) -> Living {
        let mut sayings = device.sayings(world.habits);
        let next = sayings.next().expect("a device never falls silent");
        Living {
            next_at: Instant::now() + next.pause,
            next,
            sayings,
            sequence: 0,
            outbox: Outbox::new(usize::from(WINDOW)),
            counted: 0,
            device,
            proof: Arc::new(proof),
            world,
        }
    }

    /// Lives until the fleet ends or all is said and acknowledged; says how many messages are left.
    pub async fn live(mut self) -> usize {
        let mut backoff = BACKOFF_MIN;
        loop {
            if self.is_done() {
                return self.outbox.len();
            }
            let connected = self.one_connection().await;
            backoff = if connected { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            if self.is_done() {
                return self.outbox.len();
            }
            let part = rand::rng().random_range(0.5..1.0);
            sleep(backoff.mul_f64(part)).await;
        }
    }

    fn is_done(&self) -> bool {
        match *self.world.stage.borrow() {
            Stage::Talking => false,
            Stage::Settling => self.outbox.len() == 0,
            Stage::Ended => true,
        }
    }

    /// Connects and stays as long as it lasts; false if it was never accepted.
    async fn one_connection(&mut self) -> bool {
        let mut link = Link::connect(&self.world.way, &self.proof, self.device.version);
        let mut connected = false;
        let mut stage = self.world.stage.clone();
        let lost = loop {
            if connected && !self.hand_over(&link).await {
                break true;
            }
            if self.is_done() {
                break false;
            }
            let talks = *stage.borrow_and_update() == Stage::Talking;
            let talks = talks && self.outbox.len() < OUTBOX_MAX;
            tokio::select! {
                signal = link.next() => match signal {
                    Signal::Connected { receive_maximum } => {
                        connected = true;
                        self.outbox.set_window(receive_maximum.unwrap_or(WINDOW).min(WINDOW));
                        self.count_connection(1).await;
                    }
                    Signal::Left(packet_id) => self.outbox.left(packet_id),
                    Signal::Acknowledged { packet_id, code } => {
                        self.acknowledged(packet_id, code).await;
                    }
                    Signal::Ended(end) => {
                        self.count_end(end).await;
                        break true;
                    }
                },
                () = sleep_until(self.next_at), if talks => self.say(),
                _ = stage.changed() => {}
            }
            self.count_outstanding();
        };
        if !lost {
            link.disconnect().await;
        }
        self.outbox.disconnected();
        self.count_outstanding();
        if connected {
            self.count_connection(-1).await;
        }
        connected
    }

    /// Something happens that the device reports.
    fn say(&mut self) {
        self.sequence += 1;
        let next = self.sayings.next().expect("a device never falls silent");
        self.next_at += next.pause;
        let said = std::mem::replace(&mut self.next, next);
        let mut content = said.content_at(now_ms());
        let payload = content
            .write(
                Head {
                    run: &self.world.run,
                    device: &self.device.id,
                    sequence: self.sequence,
                    firmware: self.device.firmware,
                },
                said.size,
            )
            .expect("a device says what devices of its type say");
        let tells_time = said.is_late && self.device.version == Version::V5;
        let event_ms = tells_time.then(|| (content.at_ms, content.end_ms()));
        let sha256 = hex(&Sha256::digest(&payload));
        self.outbox.push(Message {
            sequence: self.sequence,
            topic: said.topic,
            qos: said.qos,
            event_ms,
            content,
            payload,
            sha256,
            attempts: 0,
        });
    }

    /// Hands over what the window takes; false when that fails, which ends the connection.
    async fn hand_over(&mut self, link: &Link) -> bool {
        while let Some(message) = self.outbox.next() {
            let line = Line::Sent {
                device: self.device.id.clone(),
                sequence: message.sequence,
                topic: message.topic.clone(),
                qos: message.qos,
                size: message.payload.len() as u64,
                sha256: message.sha256.clone(),
                attempt: message.attempts,
                content: Some(Box::new(message.content.clone())),
                at_ms: now_ms(),
            };
            let counters = &self.world.counters;
            counters.sent.fetch_add(1, Ordering::Relaxed);
            if message.attempts > 1 {
                counters.resent.fetch_add(1, Ordering::Relaxed);
            }
            // First the ledger, then the network: a double must be explained.
            if !self.world.ledger.write(line).await || !link.publish(&self.device, message) {
                return false;
            }
        }
        true
    }

    async fn acknowledged(&mut self, packet_id: u16, code: u8) {
        let Some(message) = self.outbox.acknowledged(packet_id) else { return };
        let counters = &self.world.counters;
        counters.acknowledged.fetch_add(1, Ordering::Relaxed);
        if code >= REFUSED {
            counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        let device = self.device.id.clone();
        let sequence = message.sequence;
        // A ledger that cannot be written is told once, at the end.
        self.world
            .ledger
            .write(Line::Acknowledged { device, sequence, code, at_ms: now_ms() })
            .await;
    }

    async fn count_end(&self, end: End) {
        let counters = &self.world.counters;
        let (End::Refused(why) | End::Unreachable(why) | End::Lost(why)) = &end;
        let trouble = format!("{}: {why}", self.device.id);
        *counters.last_trouble.lock().expect("nothing panics under this lock") = Some(trouble);
        if let End::Refused(why) = end {
            counters.turned_away.fetch_add(1, Ordering::Relaxed);
            let (device, at_ms) = (self.device.id.clone(), now_ms());
            self.world.ledger.write(Line::TurnedAway { device, profile: None, why, at_ms }).await;
        }
    }

    async fn count_connection(&self, change: i64) {
        let counters = &self.world.counters;
        counters.connected.fetch_add(change, Ordering::Relaxed);
        let (device, at_ms) = (self.device.id.clone(), now_ms());
        let line = if change > 0 {
            counters.connections.fetch_add(1, Ordering::Relaxed);
            Line::Connected { device, at_ms }
        } else {
            Line::Disconnected { device, at_ms }
        };
        self.world.ledger.write(line).await;
    }

    fn count_outstanding(&mut self) {
        let now = self.outbox.len() as i64;
        self.world.counters.outstanding.fetch_add(now - self.counted, Ordering::Relaxed);
        self.counted = now;
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
