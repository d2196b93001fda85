//! One connection of a device, in MQTT 3.1.1 or 5, over whatever is between it and the gateway's socket.
//!
//! It runs in a task of its own, because a message that was begun has to be sent to its end. What happens
//! comes out as [`Signal`]s, in order.

mod channel;
mod mqtt;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

pub use channel::Way;
use channel::{Channel, before_connack};
pub use mqtt::Login;
use mqtt::{Heard, Publication};

use crate::device::REFUSED;
use crate::fleet::{Device, Version};
use crate::outbox::Message;
use crate::security::Proof;

/// Requests on their way to the connection's task; more than any window.
const REQUESTS: usize = 64;
/// Signals on their way to the device.
const SIGNALS: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// From the first packet of TCP to CONNACK: as long as the gateway gives a device.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a message may take to leave: a gateway whose Kafka is away reads nothing meanwhile.
const SEND_WAIT: Duration = Duration::from_secs(120);
/// How long a goodbye may take.
const GOODBYE_WAIT: Duration = Duration::from_millis(500);

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The gateway accepted it, and takes this many messages at once, if it said so.
    Connected { receive_maximum: Option<u16> },
    /// The next of the messages handed over leaves, under this packet id; 0 is QoS 0.
    Left(u16),
    /// PUBACK or PUBREC; the code is MQTT 5's.
    Acknowledged { packet_id: u16, code: u8 },
    /// The connection is gone.
    Ended(End),
}

/// Why a connection is gone, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There was no gateway, none that the device trusts, or none that answered in time.
    Unreachable(String),
    /// The gateway was there, and did not let it in: by a TLS alert, an HTTP status, a CONNACK, or by
    /// closing.
    Refused(String),
    /// It was in.
    Lost(String),
}

/// See the module.
pub struct Link {
    requests: mpsc::Sender<Request>,
    signals: mpsc::Receiver<Signal>,
    task: JoinHandle<()>,
}

enum Request {
    Publish(Box<Publication>),
    Goodbye,
}

impl Link {
    /// Begins to connect with a clean session.
    pub fn connect(way: &Arc<Way>, proof: &Arc<Proof>, version: Version) -> Link {
        let (sender, signals) = mpsc::channel(SIGNALS);
        let (requests, queue) = mpsc::channel(REQUESTS);
        let (way, proof) = (Arc::clone(way), Arc::clone(proof));
        let task = tokio::spawn(async move {
            let end = match Box::pin(Talk::begin(&way, &proof, version, sender.clone())).await {
                Ok(talk) => Box::pin(talk.until_the_end(queue)).await,
                Err(end) => end,
            };
            // The device may be gone too.
            let _ = sender.send(Signal::Ended(end)).await;
        });
        Link { requests, signals, task }
    }

    /// The next signal; nothing comes after [`Signal::Ended`]. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        let gone = || Signal::Ended(End::Lost("it was ended here".to_owned()));
        self.signals.recv().await.unwrap_or_else(gone)
    }

    /// Hands a message over; false when the connection is gone.
    pub fn publish(&self, device: &Device, message: &Message) -> bool {
        self.requests
            .try_send(Request::Publish(Box::new(Publication::new(device, message))))
            .is_ok()
    }

    /// Ends the connection with a goodbye.
    pub async fn disconnect(mut self) {
        if self.requests.try_send(Request::Goodbye).is_ok() {
            let ended = async { while !matches!(self.next().await, Signal::Ended(_)) {} };
            // A gateway that does not close in time is left.
            let _ = timeout(GOODBYE_WAIT, ended).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An accepted connection.
struct Talk {
    channel: Channel,
    version: Version,
    signals: mpsc::Sender<Signal>,
    received: BytesMut,
    out: BytesMut,
    /// Packet ids that are in use, those of QoS 2 until PUBCOMP.
    taken: BTreeSet<u16>,
    last_id: u16,
    ping_at: Instant,
}

impl Talk {
    /// Connects, and waits for CONNACK.
    async fn begin(
        way: &Way,
        proof: &Proof,
        version: Version,
        signals: mpsc::Sender<Signal>,
    ) -> Result<Talk, End> {
        let begun = async {
            let channel = Channel::open(way, proof.tls()).await?;
            let mut talk = Talk {
                channel,
                version,
                signals,
                received: BytesMut::new(),
                out: BytesMut::new(),
                taken: BTreeSet::new(),
                last_id: 0,
                ping_at: Instant::now() + KEEP_ALIVE,
            };
            let login = proof.login().map_err(End::Unreachable)?;
            mqtt::connect(version, proof.client_id(), KEEP_ALIVE, login, &mut talk.out)
                .map_err(End::Unreachable)?;
            let receive_maximum = talk.shake().await?;
            // The device may be gone.
            let _ = talk.signals.send(Signal::Connected { receive_maximum }).await;
            Ok(talk)
        };
        let late = || End::Unreachable(format!("no answer in {} s", CONNECT_WAIT.as_secs()));
        timeout(CONNECT_WAIT, begun).await.unwrap_or_else(|_| Err(late()))
    }

    async fn shake(&mut self) -> Result<Option<u16>, End> {
        let sent = self.channel.send(self.out.split().freeze()).await;
        if let Err(error) = sent
            // Whoever closed may have said why before.
            && self.channel.receive(&mut self.received).await.is_err()
        {
            return Err(before_connack(&error));
        }
        loop {
            match mqtt::hear(self.version, &mut self.received).map_err(End::Unreachable)? {
                Some(Heard::Accepted { receive_maximum }) => return Ok(receive_maximum),
                Some(Heard::Refused(why)) => return Err(End::Refused(why)),
                Some(other) => {
                    return Err(End::Unreachable(format!("{other:?} came in place of CONNACK")));
                }
                None => {}
            }
            match self.channel.receive(&mut self.received).await {
                Ok(true) => {}
                Ok(false) => return Err(End::Refused("closed without a word".to_owned())),
                Err(error) => return Err(before_connack(&error)),
            }
        }
    }

    async fn until_the_end(mut self, mut requests: mpsc::Receiver<Request>) -> End {
        loop {
            match self.turn(&mut requests).await {
                Ok(true) => {}
                Ok(false) => return End::Lost("said goodbye".to_owned()),
                Err(why) => return End::Lost(why),
            }
        }
    }

    /// One thing that happens, and what it makes the device send; false after a goodbye.
    async fn turn(&mut self, requests: &mut mpsc::Receiver<Request>) -> Result<bool, String> {
        let mut stays = true;
        tokio::select! {
            came = self.channel.receive(&mut self.received) => match came {
                Ok(true) => self.hear().await?,
                Ok(false) => return Err("closed without a word".to_owned()),
                Err(error) => return Err(error.to_string()),
            },
            request = requests.recv() => match request {
                Some(Request::Publish(publication)) => self.publish(*publication).await?,
                Some(Request::Goodbye) | None => {
                    mqtt::goodbye(self.version, &mut self.out)?;
                    stays = false;
                }
            },
            () = sleep_until(self.ping_at) => {
                mqtt::ping(self.version, &mut self.out)?;
                self.ping_at = Instant::now() + KEEP_ALIVE;
            }
        }
        if !self.out.is_empty() {
            let sent = timeout(SEND_WAIT, self.channel.send(self.out.split().freeze())).await;
            sent.map_err(|_| format!("nothing was taken for {} s", SEND_WAIT.as_secs()))?
                .map_err(|error| error.to_string())?;
        }
        if !stays {
            self.channel.close().await;
        }
        Ok(stays)
    }

    async fn publish(&mut self, publication: Publication) -> Result<(), String> {
        let packet_id = if publication.wants_id() { self.new_id() } else { 0 };
        // Before the message itself, so that the id is known when its acknowledgement comes.
        self.tell(Signal::Left(packet_id)).await;
        publication.write(packet_id, &mut self.out)
    }

    /// The next that is free: the window is far smaller than there are ids.
    fn new_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.taken.insert(self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Everything whole that was received.
    async fn hear(&mut self) -> Result<(), String> {
        while let Some(heard) = mqtt::hear(self.version, &mut self.received)? {
            match heard {
                Heard::Acknowledged { packet_id, code } => {
                    self.taken.remove(&packet_id);
                    self.tell(Signal::Acknowledged { packet_id, code }).await;
                }
                Heard::Received { packet_id, code } => {
                    if code < REFUSED {
                        mqtt::release(self.version, packet_id, &mut self.out)?;
                    } else {
                        self.taken.remove(&packet_id);
                    }
                    self.tell(Signal::Acknowledged { packet_id, code }).await;
                }
                Heard::Completed { packet_id } => {
                    self.taken.remove(&packet_id);
                }
                Heard::Ended(why) => return Err(why),
                Heard::Accepted { .. } | Heard::Refused(_) => {
                    return Err("a second CONNACK came".to_owned());
                }
                Heard::Other => {}
            }
        }
        Ok(())
    }

    async fn tell(&mut self, signal: Signal) {
        // A device that is gone ends this task.
        let _ = self.signals.send(signal).await;
    }
}
