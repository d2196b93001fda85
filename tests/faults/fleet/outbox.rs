//! What a device has open, and what it sends next: the rules of MQTT about packet ids, order and sending again
//! (MQTT 3.1.1 and 5, 4.4 and 4.6), as clients keep them. Time is an argument. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::character::Session;
use super::message::Message;

/// How often a device sends one message again on one connection.
const REPEATS_MAX: u32 = 4;
/// Packets that were sent more than once on a connection, and may be answered more than once: the answers to
/// older ones have come.
const ECHOES_MAX: usize = 256;

/// What a device sent and has no answer to, in its order.
pub struct Outbox {
    session: Session,
    window: usize,
    /// What the gateway takes on this connection.
    receive_maximum: usize,
    open: VecDeque<Open>,
    /// Packet ids whose PUBREC came, and whose PUBCOMP did not, with when the PUBREL was sent.
    releasing: VecDeque<(u16, Duration)>,
    echoes: VecDeque<Echo>,
    last_id: u16,
}

struct Open {
    message: Message,
    /// None until it has one on this connection.
    packet_id: Option<u16>,
    /// How often it was sent on this connection, and when for the first and the last time.
    sendings: u32,
    first_sent: Duration,
    last_sent: Duration,
}

/// Answers that may still come to what was answered.
struct Echo {
    packet_id: u16,
    answers: u32,
    completions: u32,
}

/// A PUBLISH that is to leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    pub message: Message,
    /// 0 for QoS 0.
    pub packet_id: u16,
    pub dup: bool,
}

/// What an answer of the gateway is to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This message has its answer.
    Settled(u64),
    /// To what was sent more than once, and was answered already.
    Again,
    /// To nothing that is open.
    Stray,
}

impl Outbox {
    pub fn new(session: Session, window: usize) -> Outbox {
        Outbox {
            session,
            window,
            receive_maximum: window,
            open: VecDeque::new(),
            releasing: VecDeque::new(),
            echoes: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Messages that wait for an answer.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Takes up what an earlier process of the device left open; in its order, before anything is sent.
    pub fn take_up(&mut self, message: Message) {
        let (packet_id, sendings, never) = (None, 0, Duration::ZERO);
        self.open.push_back(Open {
            message,
            packet_id,
            sendings,
            first_sent: never,
            last_sent: never,
        });
    }

    /// A connection begins: all that is open is to be sent again. Returns the packet ids that are released
    /// again first.
    pub fn connected(&mut self, receive_maximum: usize, now: Duration) -> Vec<u16> {
        self.receive_maximum = receive_maximum;
        self.echoes.clear();
        if self.session == Session::Fresh {
            self.releasing.clear();
            self.last_id = 0;
        }
        for open in &mut self.open {
            open.sendings = 0;
            if self.session == Session::Fresh {
                open.packet_id = None;
            }
        }
        for (_, released) in &mut self.releasing {
            *released = now;
        }
        self.releasing.iter().map(|(id, _)| *id).collect()
    }

    /// What was sent on an earlier connection only and is to be sent now, one after the other.
    pub fn next_again(&mut self, now: Duration) -> Option<Sending> {
        let at = self.open.iter().position(|open| open.sendings == 0)?;
        if !self.has_slot() {
            return None;
        }
        let dup = self.open[at].packet_id.is_some();
        let packet_id = self.open[at].packet_id.unwrap_or_else(|| self.free_id());
        let open = &mut self.open[at];
        open.packet_id = Some(packet_id);
        (open.sendings, open.first_sent, open.last_sent) = (1, now, now);
        Some(Sending { message: open.message.clone(), packet_id, dup })
    }

    /// Drops what would be sent next: the gateway of this connection does not take it.
    pub fn give_up_next(&mut self) -> Option<Message> {
        let at = self.open.iter().position(|open| open.sendings == 0)?;
        self.open.remove(at).map(|open| open.message)
    }

    /// The message that [`Outbox::next_again`] would send, were there room.
    pub fn peek_again(&self) -> Option<&Message> {
        self.open.iter().find(|open| open.sendings == 0).map(|open| &open.message)
    }

    /// A new message with that QoS may be sent: everything open was sent before it.
    pub fn takes(&self, qos: u8) -> bool {
        self.peek_again().is_none() && (qos == 0 || self.has_slot())
    }

    /// A new message, for which there is room.
    pub fn send(&mut self, message: Message, now: Duration) -> Sending {
        if message.qos == 0 {
            return Sending { message, packet_id: 0, dup: false };
        }
        assert!(self.takes(message.qos), "a device sends nothing that it has no room for");
        let id = self.free_id();
        self.open.push_back(Open {
            message: message.clone(),
            packet_id: Some(id),
            sendings: 1,
            first_sent: now,
            last_sent: now,
        });
        Sending { message, packet_id: id, dup: false }
    }

    /// What has no answer for so long on this connection, and is sent again on it.
    pub fn repeat(&mut self, now: Duration, after: Duration) -> Option<Sending> {
        let open =
            self.open.iter_mut().find(|open| may_repeat(open) && open.last_sent + after <= now)?;
        open.sendings += 1;
        open.last_sent = now;
        let packet_id = open.packet_id.expect("what was sent has a packet id");
        Some(Sending { message: open.message.clone(), packet_id, dup: true })
    }

    /// When the next [`Outbox::repeat`] is due.
    pub fn repeat_at(&self, after: Duration) -> Option<Duration> {
        self.open.iter().filter(|open| may_repeat(open)).map(|open| open.last_sent + after).min()
    }

    /// Since when something waits for an answer on this connection.
    pub fn waits_since(&self) -> Option<Duration> {
        let sent = self.open.iter().filter(|open| open.sendings > 0).map(|open| open.first_sent);
        sent.chain(self.releasing.iter().map(|(_, released)| *released)).min()
    }

    pub fn puback(&mut self, packet_id: u16) -> Answer {
        match self.settle(packet_id, 1) {
            Some(seq) => Answer::Settled(seq),
            None if self.echo(packet_id).is_some() => Answer::Again,
            None => Answer::Stray,
        }
    }

    /// With success; a PUBREL is to follow, but where it is stray.
    pub fn pubrec(&mut self, packet_id: u16, now: Duration) -> Answer {
        if let Some(seq) = self.settle(packet_id, 2) {
            self.releasing.push_back((packet_id, now));
            return Answer::Settled(seq);
        }
        let is_releasing = self.is_releasing(packet_id);
        let Some(echo) = self.echo(packet_id) else { return Answer::Stray };
        if is_releasing {
            echo.completions += 1;
        } else {
            self.releasing.push_back((packet_id, now));
        }
        Answer::Again
    }

    /// With a code of 0x80 or more: its packet id is free.
    pub fn pubrec_negative(&mut self, packet_id: u16) -> Answer {
        match self.settle(packet_id, 2) {
            Some(seq) => Answer::Settled(seq),
            None if self.echo(packet_id).is_some() => Answer::Again,
            None => Answer::Stray,
        }
    }

    /// False when no PUBREL waits for it.
    pub fn pubcomp(&mut self, packet_id: u16) -> bool {
        if let Some(at) = self.releasing.iter().position(|(id, _)| *id == packet_id) {
            self.releasing.remove(at);
            return true;
        }
        let echo =
            self.echoes.iter_mut().find(|echo| echo.packet_id == packet_id && echo.completions > 0);
        echo.map(|echo| echo.completions -= 1).is_some()
    }

    /// The message that was sent on this connection under the packet id, out of what is open.
    fn settle(&mut self, packet_id: u16, qos: u8) -> Option<u64> {
        let at = self.open.iter().position(|open| {
            open.packet_id == Some(packet_id) && open.message.qos == qos && open.sendings > 0
        })?;
        let open = self.open.remove(at)?;
        if open.sendings > 1 {
            if self.echoes.len() == ECHOES_MAX {
                self.echoes.pop_front();
            }
            self.echoes.push_back(Echo { packet_id, answers: open.sendings - 1, completions: 0 });
        }
        Some(open.message.seq)
    }

    /// Takes one of the answers that may still come.
    fn echo(&mut self, packet_id: u16) -> Option<&mut Echo> {
        let mut echoes = self.echoes.iter_mut();
        let echo = echoes.find(|echo| echo.packet_id == packet_id && echo.answers > 0)?;
        echo.answers -= 1;
        Some(echo)
    }

    fn has_slot(&self) -> bool {
        let sent = self.open.iter().filter(|open| open.sendings > 0).count();
        sent + self.releasing.len() < self.window.min(self.receive_maximum)
    }

    fn is_releasing(&self, packet_id: u16) -> bool {
        self.releasing.iter().any(|(id, _)| *id == packet_id)
    }

    /// The next packet id that stands for nothing.
    fn free_id(&mut self) -> u16 {
        let is_free = |id: u16| {
            id != 0
                && !self.is_releasing(id)
                && !self.open.iter().any(|open| open.packet_id == Some(id))
                && !self.echoes.iter().any(|echo| echo.packet_id == id)
        };
        let mut id = self.last_id.wrapping_add(1);
        while !is_free(id) {
            id = id.wrapping_add(1);
        }
        self.last_id = id;
        id
    }
}

fn may_repeat(open: &Open) -> bool {
    (1..=REPEATS_MAX).contains(&open.sendings)
}

#[cfg(test)]
mod tests;
