//! One device of the fleet, from its start to its end: it connects, says what it has to say, keeps its books,
//! and comes back when its connection is gone, as its character has it.

use std::rc::Rc;
use std::time::Duration;

use ::tests::mqtt::{Connect, Packet, Property, Publish, Value, Version, encode, property};
use tokio::sync::watch;
use tokio::time::sleep;

use super::character::Character;
use super::draw::Draw;
use super::link::{Gone, Link};
use super::message::Message;
use super::outbox::{Answer, Outbox, Sending};
use super::pace::Pace;
use super::resume::Left;
use super::{Orders, Phase, Shared};
use crate::books::{Line, Sha256};

/// How long a device waits for its CONNACK.
const CONNACK_PATIENCE: Duration = Duration::from_secs(10);
/// How long a socket may take nothing before the device gives it up.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// The first and the longest pause before another connection; each is drawn from half of it up.
const PAUSE_MIN: Duration = Duration::from_millis(400);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// A connection that held so long was a good one: the next pause is short again.
const HELD: Duration = Duration::from_secs(5);
/// All devices of a fleet begin within so long.
const START_SPREAD: Duration = Duration::from_secs(1);
/// More packets are made when fewer bytes than this wait for the socket.
const OUT_MAX: usize = 64 * 1024;
/// A PUBLISH has at most so many bytes beside its topic and payload: lengths, packet id, `message-id`.
const PUBLISH_OVERHEAD: usize = 128;
/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// What a draw is for.
const MANNERS: u64 = 0x6d61_6e6e;
const PUBREL: u8 = 0x62;

pub struct Device {
    character: Character,
    outbox: Outbox,
    pace: Pace,
    draw: Draw,
    last_seq: u64,
    was_connected: bool,
    shared: Rc<Shared>,
    orders: watch::Receiver<Orders>,
}

/// A connection that a CONNACK accepted.
struct Talk {
    link: Link,
    limits: Limits,
    /// When something was last sent, and received.
    sent: Duration,
    received: Duration,
    /// When the socket last took anything, or had nothing to take.
    flushed: Duration,
    /// An upload is on its way, and when the last one was through.
    uploads: bool,
    uploaded: Duration,
    pinged: Option<Duration>,
}

/// What the gateway takes on a connection, as its CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    receive_maximum: usize,
    packet_size: usize,
    qos: u8,
    keep_alive: Duration,
}

impl Device {
    pub fn new(character: Character, left: Left, shared: Rc<Shared>) -> Device {
        let mut outbox = Outbox::new(character.session, character.window);
        for message in left.open {
            outbox.take_up(message);
        }
        shared.open.set(shared.open.get() + outbox.open());
        let draw =
            |what| Draw::of(&[MANNERS, shared.seed, character.number as u64, left.last_seq, what]);
        let orders = shared.orders.clone();
        let pace = Pace::new(&character, draw(0), orders.borrow().rates, shared.now());
        let (draw, last_seq) = (draw(1), left.last_seq);
        Device { character, outbox, pace, draw, last_seq, was_connected: false, shared, orders }
    }

    /// Until the fleet is told to leave. An error is one of the books.
    pub async fn live(mut self) -> Result<(), String> {
        sleep(START_SPREAD.mul_f64(self.draw.share())).await;
        let mut pause = PAUSE_MIN;
        while self.phase() != Phase::Leave {
            let began = self.shared.now();
            if let Some(gone) = self.connect_and_talk().await? {
                self.gone(&gone)?;
            }
            if self.shared.now() > began + HELD {
                pause = PAUSE_MIN;
            }
            let wait = pause.mul_f64(0.5 + self.draw.share() / 2.0);
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = sleep(wait) => {}
                () = left(&mut self.orders) => {}
            }
        }
        Ok(())
    }

    fn phase(&self) -> Phase {
        self.orders.borrow().phase
    }

    /// None when nobody took the connection.
    async fn connect_and_talk(&mut self) -> Result<Option<Gone>, String> {
        let began = self.shared.now();
        let opened = tokio::select! {
            opened = Link::open(self.shared.gateway, self.character.version) => opened,
            () = left(&mut self.orders) => None,
        };
        let Some(mut link) = opened else { return Ok(None) };
        let mut orders = self.orders.clone();
        let limits = tokio::select! {
            limits = self.handshake(&mut link) => limits,
            () = left(&mut orders) => Err(Gone::Own),
        };
        let limits = match limits {
            Ok(limits) => limits,
            Err(gone) => return Ok(Some(gone)),
        };
        let now = self.shared.now();
        let wait_ms = (now - began).as_millis() as u64;
        let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
        self.shared.pen.line(Line::Connected { device, at, wait_ms })?;
        if !self.was_connected {
            self.was_connected = true;
            self.shared.one_more_is_connected()?;
        }
        for packet_id in self.outbox.connected(limits.receive_maximum, now) {
            link.push(&encode::acknowledgement(PUBREL, packet_id));
        }
        self.talk(Talk::new(link, limits, now)).await.map(Some)
    }

    /// CONNECT, and what the CONNACK says.
    async fn handshake(&mut self, link: &mut Link) -> Result<Limits, Gone> {
        let Character { version, name, keep_alive, session, .. } = &self.character;
        let mut connect = Connect::new(*version, name);
        connect.clean = *session == super::character::Session::Fresh;
        connect.keep_alive_seconds = keep_alive.as_secs() as u16;
        link.push(&encode::connect(&connect));
        let end = sleep(CONNACK_PATIENCE);
        tokio::pin!(end);
        loop {
            link.write()?;
            let (packets, gone) = link.read(1);
            if let Some(packet) = packets.first() {
                return Limits::of(packet, &self.character);
            }
            if let Some(gone) = gone {
                return Err(gone);
            }
            tokio::select! {
                () = link.ready() => {}
                () = &mut end => return Err(Gone::Silent),
            }
        }
    }

    /// Until the connection is gone, or the fleet leaves.
    async fn talk(&mut self, mut talk: Talk) -> Result<Gone, String> {
        loop {
            let now = self.shared.now();
            let orders = *self.orders.borrow_and_update();
            self.pace.set(orders.rates, now);
            match orders.phase {
                Phase::Publish => self.pace.advance(now),
                Phase::Hold => self.pace.hold(now),
                Phase::Leave => {
                    goodbye(talk.link).await;
                    return Ok(Gone::Own);
                }
            }
            self.fill(&mut talk, now).await?;
            if let Err(gone) = talk.write(self.shared.now()) {
                return Ok(gone);
            }
            if let Some(gone) = self.hear(&mut talk)? {
                return Ok(gone);
            }
            let now = self.shared.now();
            if let Some(gone) = self.lost_patience(&talk, now) {
                return Ok(gone);
            }
            let wake = self.wakes_at(&talk, orders.phase).saturating_sub(now);
            tokio::select! {
                () = talk.link.ready() => {}
                () = sleep(wake) => {}
                changed = self.orders.changed() => changed.map_err(|_| "nobody gives orders".to_owned())?,
            }
        }
    }

    /// Makes the packets that are to leave now, and writes into the books that they do, before they do.
    async fn fill(&mut self, talk: &mut Talk, now: Duration) -> Result<(), String> {
        let (mut lines, mut packets) = (String::new(), Vec::new());
        while talk.link.unwritten() + packets.len() < OUT_MAX {
            let Some((sending, is_first)) = self.next(talk, now, &mut lines) else { break };
            let payload = self.shared.payloads.make(&self.character, &sending.message);
            let Message { seq, qos, size, ref topic } = sending.message;
            let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
            let line = match is_first {
                true => {
                    let sha256 = Sha256::of(&payload);
                    Line::Invoked { device, seq, qos, size, sha256, topic, at }
                }
                false => Line::SentAgain { device, seq, at },
            };
            lines += &format!("{line}\n");
            packets.extend(self.publish(&sending, payload));
        }
        if talk.is_quiet(now) && packets.is_empty() {
            talk.pinged = Some(now);
            packets.extend([0xc0, 0]);
        }
        if packets.is_empty() && lines.is_empty() {
            return Ok(());
        }
        self.shared.pen.write(&lines)?;
        self.shared.pen.durable().await?;
        talk.push(&packets, self.shared.now());
        Ok(())
    }

    /// What is sent next, if anything, and whether for the first time.
    fn next(&mut self, talk: &Talk, now: Duration, lines: &mut String) -> Option<(Sending, bool)> {
        while self.outbox.peek_again().is_some_and(|message| !talk.limits.take(message)) {
            let message = self.outbox.give_up_next().expect("it was just looked at");
            let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
            let line = Line::GivenUp { device, seq: message.seq, at, why: "too-large" };
            *lines += &format!("{line}\n");
            self.shared.open.set(self.shared.open.get() - 1);
        }
        if let Some(again) = self.outbox.next_again(now) {
            return Some((again, false));
        }
        if let Some(after) = self.character.repeats_after
            && let Some(again) = self.outbox.repeat(now, after)
        {
            return Some((again, false));
        }
        let is_upload = self.pace.waiting()?;
        let seq = self.last_seq + 1;
        let mut message = Message::of(self.shared.seed, &self.character, seq, is_upload);
        talk.limits.fit(&mut message);
        if !self.outbox.takes(message.qos) {
            return None;
        }
        self.pace.sent();
        self.last_seq = seq;
        if message.qos > 0 {
            self.shared.open.set(self.shared.open.get() + 1);
        }
        Some((self.outbox.send(message, now), true))
    }

    fn publish(&self, sending: &Sending, payload: Vec<u8>) -> Vec<u8> {
        let Sending { message, packet_id, dup } = sending;
        let properties = match self.character.version {
            Version::V5 => {
                let id = format!("{}-{}", self.character.name, message.seq);
                vec![Property::user("message-id", &id)]
            }
            Version::V31 | Version::V311 => Vec::new(),
        };
        let publish = Publish {
            topic: message.topic.clone(),
            payload,
            qos: message.qos,
            packet_id: *packet_id,
            dup: *dup,
            retain: false,
            properties,
        };
        encode::publish(self.character.version, &publish)
    }

    /// Takes what came, and writes into the books what it answers.
    fn hear(&mut self, talk: &mut Talk) -> Result<Option<Gone>, String> {
        let (packets, mut gone) = talk.link.read(usize::MAX);
        let now = self.shared.now();
        if !packets.is_empty() {
            talk.received = now;
        }
        let mut lines = String::new();
        for packet in packets {
            if let Packet::Disconnect { code, .. } = packet
                && self.character.version == Version::V5
            {
                gone = Some(Gone::Code(code));
                break;
            }
            self.take(packet, talk, now, &mut lines);
        }
        self.shared.pen.write(&lines)?;
        Ok(gone)
    }

    fn take(&mut self, packet: Packet, talk: &mut Talk, now: Duration, lines: &mut String) {
        let is_right = match packet {
            Packet::Puback { packet_id, code, .. } => {
                let answer = self.outbox.puback(packet_id);
                self.settle(answer, code, lines)
            }
            Packet::Pubrec { packet_id, code, .. } if code >= 0x80 => {
                let answer = self.outbox.pubrec_negative(packet_id);
                self.settle(answer, code, lines)
            }
            Packet::Pubrec { packet_id, code, .. } => {
                let answer = self.outbox.pubrec(packet_id, now);
                if answer != Answer::Stray {
                    talk.push(&encode::acknowledgement(PUBREL, packet_id), now);
                }
                self.settle(answer, code, lines)
            }
            Packet::Pubcomp { packet_id, .. } => self.outbox.pubcomp(packet_id),
            Packet::Pingresp => talk.pinged.take().is_some(),
            _ => false,
        };
        if !is_right {
            self.fault(&format!("{packet:?}, which answers nothing"), lines);
        }
    }

    /// False when nothing waited for the answer.
    fn settle(&mut self, answer: Answer, code: u8, lines: &mut String) -> bool {
        let Answer::Settled(seq) = answer else { return answer == Answer::Again };
        let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
        let line = match code < 0x80 {
            true => Line::Acknowledged { device, seq, at, code },
            false => Line::Negative { device, seq, at, code },
        };
        *lines += &format!("{line}\n");
        self.shared.open.set(self.shared.open.get() - 1);
        self.shared.answered.set(self.shared.answered.get() + 1);
        true
    }

    fn fault(&self, what: &str, lines: &mut String) {
        let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
        *lines += &format!("{}\n", Line::Fault { device, at, what });
    }

    fn gone(&self, gone: &Gone) -> Result<(), String> {
        let mut lines = String::new();
        if let Gone::Malformed(what) = gone {
            self.fault(what, &mut lines);
        }
        let (device, at) = (self.character.name.as_str(), Shared::unix_ms());
        lines += &format!("{}\n", Line::Disconnected { device, at, why: &gone.word() });
        self.shared.pen.write(&lines)
    }

    fn lost_patience(&self, talk: &Talk, now: Duration) -> Option<Gone> {
        let unwritten = talk.link.unwritten() > 0;
        if unwritten && now >= talk.flushed + WRITE_PATIENCE {
            return Some(Gone::Silent);
        }
        if talk.pinged.is_some_and(|pinged| now >= pinged + self.character.pingresp_patience) {
            return Some(Gone::Silent);
        }
        let gives_up_at = self.gives_up_at(talk)?;
        (!unwritten && now >= gives_up_at).then_some(Gone::GaveUp)
    }

    /// When it gives up waiting for an answer, which it does not before all was sent.
    fn gives_up_at(&self, talk: &Talk) -> Option<Duration> {
        let since = self.outbox.waits_since()?.max(talk.uploaded);
        Some(since + self.character.puback_patience?)
    }

    fn wakes_at(&self, talk: &Talk, phase: Phase) -> Duration {
        let unwritten = talk.link.unwritten() > 0;
        let pace = (phase == Phase::Publish).then(|| self.pace.wakes_at());
        let written = unwritten.then_some(talk.flushed + WRITE_PATIENCE);
        let pinged = talk.pinged.map(|pinged| pinged + self.character.pingresp_patience);
        let quiet = (!unwritten && talk.pinged.is_none()).then(|| talk.quiet_at());
        let repeats = self.character.repeats_after.and_then(|after| self.outbox.repeat_at(after));
        let repeats = repeats.filter(|_| !unwritten);
        let gives_up = self.gives_up_at(talk).filter(|_| !unwritten);
        let all = [pace, written, pinged, quiet, repeats, gives_up];
        all.into_iter().flatten().min().unwrap_or(talk.sent + talk.limits.keep_alive)
    }
}

impl Talk {
    fn new(link: Link, limits: Limits, now: Duration) -> Talk {
        let (sent, received, flushed, uploaded) = (now, now, now, now);
        Talk { link, limits, sent, received, flushed, uploads: false, uploaded, pinged: None }
    }

    fn push(&mut self, bytes: &[u8], now: Duration) {
        if self.link.unwritten() == 0 {
            self.flushed = now;
        }
        self.uploads |= bytes.len() > OUT_MAX;
        self.link.push(bytes);
        self.sent = now;
    }

    fn write(&mut self, now: Duration) -> Result<(), Gone> {
        if self.link.write()? {
            self.flushed = now;
        }
        if self.uploads && self.link.unwritten() == 0 {
            (self.uploads, self.uploaded) = (false, now);
        }
        Ok(())
    }

    /// Nothing went in one of the directions for so long that a client asks whether anybody is there.
    fn quiet_at(&self) -> Duration {
        self.sent.min(self.received) + self.limits.keep_alive.mul_f64(0.75)
    }

    fn is_quiet(&self, now: Duration) -> bool {
        self.pinged.is_none() && self.link.unwritten() == 0 && now >= self.quiet_at()
    }
}

impl Limits {
    fn of(packet: &Packet, device: &Character) -> Result<Limits, Gone> {
        match packet {
            Packet::Connack { code: 0, .. } => {}
            Packet::Connack { code, .. } | Packet::Disconnect { code, .. } => {
                return Err(Gone::Code(*code));
            }
            other => return Err(Gone::Malformed(format!("{other:?} in place of a CONNACK"))),
        }
        let number = |number| match packet.property(number) {
            Some(Value::Byte(value)) => Some(u32::from(*value)),
            Some(Value::TwoBytes(value)) => Some(u32::from(*value)),
            Some(Value::FourBytes(value)) => Some(*value),
            _ => None,
        };
        let keep_alive = number(property::SERVER_KEEP_ALIVE);
        Ok(Limits {
            receive_maximum: number(property::RECEIVE_MAXIMUM).unwrap_or(u16::MAX.into()) as usize,
            packet_size: number(property::MAXIMUM_PACKET_SIZE).unwrap_or(u32::MAX) as usize,
            qos: number(property::MAXIMUM_QOS).unwrap_or(2) as u8,
            keep_alive: keep_alive
                .map_or(device.keep_alive, |seconds| Duration::from_secs(seconds.into())),
        })
    }

    fn take(&self, message: &Message) -> bool {
        message.qos <= self.qos && size(message) <= self.packet_size
    }

    /// Makes a new message one that they take.
    fn fit(&self, message: &mut Message) {
        message.qos = message.qos.min(self.qos);
        let too_much = size(message).saturating_sub(self.packet_size);
        message.size = message.size.saturating_sub(too_much).max(PUBLISH_OVERHEAD);
    }
}

/// A PUBLISH has no more bytes.
fn size(message: &Message) -> usize {
    PUBLISH_OVERHEAD + message.topic.len() + message.size
}

/// What is still unwritten, and a DISCONNECT.
async fn goodbye(mut link: Link) {
    link.push(&[0xe0, 0]);
    let leave = async {
        while link.write().is_ok() && link.unwritten() > 0 {
            link.ready().await;
            // What comes now answers nothing that anybody waits for.
            link.read(usize::MAX);
        }
    };
    // A gateway that does not take it is left without.
    let _ = tokio::time::timeout(GOODBYE, leave).await;
}

/// Until the fleet is told to leave; cancel safe.
async fn left(orders: &mut watch::Receiver<Orders>) {
    // Whoever gives orders is gone only when the fleet ends.
    let _ = orders.wait_for(|orders| orders.phase == Phase::Leave).await;
}

#[cfg(test)]
mod tests;
