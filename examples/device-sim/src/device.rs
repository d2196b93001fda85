//! The life of one device: it says what it has to say, and sends it until it is acknowledged, over as
//! many connections as that takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use crate::counters::{Counters, Tally};
use crate::fleet::{self, Device, Habits, Sayings, Version};
use crate::ledger::{Ledger, Line};
use crate::link::{End, Link, Signal, Way};
use crate::orders::{Orders, Stage};
use crate::outbox::{Message, Outbox};
use crate::payload::Head;
use crate::rhythm::Rhythm;
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

/// What all devices share.
#[derive(Clone)]
pub struct World {
    pub run: Arc<str>,
    pub way: Arc<Way>,
    pub habits: Habits,
    pub ledger: Ledger,
    pub counters: Arc<Counters>,
    pub orders: watch::Receiver<Orders>,
}

/// One device at work.
pub struct Living {
    device: Device,
    proof: Arc<Proof>,
    world: World,
    sayings: Sayings,
    tally: Arc<Tally>,
    /// When the next saying is due, and what it is.
    rhythm: Rhythm,
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
            rhythm: Rhythm::new(Instant::now(), next.pause),
            tally: world.counters.tally(&device),
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
        let mut ended = self.world.orders.clone();
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
            let done = if self.outbox.len() == 0 { Stage::Settling } else { Stage::Ended };
            tokio::select! {
                () = sleep(backoff.mul_f64(part)) => {}
                // Also where whoever tells it is gone.
                _ = ended.wait_for(|orders| orders.stage >= done) => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        match self.world.orders.borrow().stage {
            Stage::Talking => false,
            Stage::Settling => self.outbox.len() == 0,
            Stage::Ended => true,
        }
    }

    /// Connects and stays as long as it lasts; false if it was never accepted.
    async fn one_connection(&mut self) -> bool {
        let mut link = Link::connect(&self.world.way, &self.proof, self.device.version);
        let mut connected = false;
        let mut orders = self.world.orders.clone();
        let cuts = orders.borrow_and_update().cuts;
        let lost = loop {
            let told = *orders.borrow_and_update();
            if told.cuts != cuts {
                break true;
            }
            self.rhythm.follow(told.pace, Instant::now());
            if connected && told.lets_publish() && !self.hand_over(&link).await {
                break true;
            }
            if self.is_done() {
                break false;
            }
            let due =
                self.rhythm.due().filter(|_| told.lets_say() && self.outbox.len() < OUTBOX_MAX);
            let due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
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
                () = due => self.say(),
                _ = orders.changed() => {}
            }
            self.count_outstanding();
        };
        if lost {
            // Without a goodbye, and before the device waits to come back.
            drop(link);
        } else {
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
        self.rhythm.said(next.pause);
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
            handed_over: None,
        });
    }

    /// Hands over what the window takes; false when that fails, which ends the connection.
    async fn hand_over(&mut self, link: &Link) -> bool {
        while let Some(message) = self.outbox.next(Instant::now()) {
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
            self.tally.sent.fetch_add(1, Ordering::Relaxed);
            if message.attempts > 1 {
                self.tally.resent.fetch_add(1, Ordering::Relaxed);
            }
            if message.qos == 0 {
                self.tally.sent_at_qos_0.fetch_add(1, Ordering::Relaxed);
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
        self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
        if let Some(handed_over) = message.handed_over {
            self.tally.latency.count(handed_over.elapsed());
        }
        if code >= REFUSED {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            self.world.counters.note_refused(code, &self.device.id);
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
        let text = match &end {
            End::Refused(why) => format!("connection refused: {why}"),
            End::Unreachable(why) => format!("gateway not reached: {why}"),
            End::Lost(why) => format!("connection lost: {why}"),
        };
        counters.note_trouble(&text, &self.device.id);
        if let End::Refused(why) = end {
            self.tally.turned_away.fetch_add(1, Ordering::Relaxed);
            counters.note_turned_away(&why);
            let (device, at_ms) = (self.device.id.clone(), now_ms());
            self.world.ledger.write(Line::TurnedAway { device, profile: None, why, at_ms }).await;
        }
    }

    async fn count_connection(&self, change: i64) {
        self.tally.connected.fetch_add(change, Ordering::Relaxed);
        let (device, at_ms) = (self.device.id.clone(), now_ms());
        let line = if change > 0 {
            self.tally.connections.fetch_add(1, Ordering::Relaxed);
            Line::Connected { device, at_ms }
        } else {
            Line::Disconnected { device, at_ms }
        };
        self.world.ledger.write(line).await;
    }

    fn count_outstanding(&mut self) {
        let now = self.outbox.len() as i64;
        self.tally.outstanding.fetch_add(now - self.counted, Ordering::Relaxed);
        self.counted = now;
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
