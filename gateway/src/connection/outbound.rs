//! What leaves for the client: answers, which are encoded in a small buffer of the connection, and
//! messages of its local subscriptions.
//!
//! The messages stay where they count, in the subscriber's queue, until the socket has taken them: they
//! are encoded into a buffer of the thread, once more for what the socket did not take, and of the one
//! that is partly sent the connection keeps how much that is. So a client that does not read holds no
//! copy of what is for it. Answers go first, but not into the middle of a message.

use std::cell::RefCell;
use std::io;

use super::{Close, Refusal};
use crate::local::{self, Subscriber};
use crate::mqtt::encode::{self, Answer};
use crate::mqtt::{Version, reason};

/// Encoded bytes at which nothing more is encoded or read until they are sent. With the answer that
/// was begun below it, they are at most twice as many.
pub(super) const OUT_SOFT_BYTES: usize = 512;
/// The buffer is given back above this size when it is empty; encoded bytes count in the budget of
/// sessions from here on.
pub(super) const KEEP_BYTES: usize = 1024;
/// Bytes of messages that are written at once.
const MESSAGES_BYTES: usize = 64 * 1024;

thread_local! {
    static MESSAGES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(MESSAGES_BYTES));
}

/// See the module.
pub(super) struct Outbound {
    version: Version,
    /// Largest packet that the client takes, in bytes.
    packet_max: Option<u32>,
    /// Answers that are encoded and not sent.
    answers: Vec<u8>,
    /// Bytes of the subscriber's first message that are sent.
    partly_sent: u32,
    /// Acknowledgements may leave for which there was no place.
    pub acks_left: bool,
}

impl Outbound {
    pub fn new(version: Version, packet_max: Option<u32>) -> Outbound {
        Outbound { version, packet_max, answers: Vec::new(), partly_sent: 0, acks_left: false }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// One more answer may be encoded.
    pub fn has_place(&self) -> bool {
        self.answers.len() < OUT_SOFT_BYTES
    }

    pub fn pingresp(&mut self) -> Result<(), Refusal> {
        within(encode::pingresp(&mut self.answers, self.packet_max))
    }

    pub fn acknowledge(&mut self, answer: Answer, packet_id: u16, code: u8) -> Result<(), Refusal> {
        let (out, limit) = (&mut self.answers, self.packet_max);
        within(encode::acknowledge(out, answer, self.version, packet_id, code, limit))
    }

    /// The PUBREC of what was received before.
    pub fn pubrec_again(&mut self, packet_id: u16) -> Result<(), Refusal> {
        self.acknowledge(Answer::Pubrec, packet_id, reason::SUCCESS)
    }

    pub fn suback(&mut self, packet_id: u16, codes: &[u8]) -> Result<(), Refusal> {
        let (out, limit) = (&mut self.answers, self.packet_max);
        within(encode::suback(out, self.version, packet_id, codes, limit))
    }

    pub fn unsuback(&mut self, packet_id: u16, codes: &[u8]) -> Result<(), Refusal> {
        let (out, limit) = (&mut self.answers, self.packet_max);
        within(encode::unsuback(out, self.version, packet_id, codes, limit))
    }

    /// The last that is sent: what was encoded before, and in v5 why the connection ends, if that is
    /// within what the client takes. Nothing where the client would take it for the rest of a message.
    pub fn last_words(&mut self, close: &Close) -> Vec<u8> {
        if self.partly_sent > 0 {
            return Vec::new();
        }
        let mut last_words = std::mem::take(&mut self.answers);
        if self.version == Version::V5
            && let Some(code) = close.code()
        {
            let (sentence, limit) = (close.sentence(), self.packet_max);
            if !encode::disconnect(&mut last_words, code, sentence.as_deref(), limit) {
                tracing::debug!(limit, "a client takes no DISCONNECT: it is closed without one");
            }
        }
        last_words
    }

    /// Writes what is next, answers or messages: how many bytes there were, and how many of them `write`
    /// took, which takes none when the socket does not.
    pub fn send(
        &mut self,
        subscriber: Option<&mut Subscriber>,
        write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> Result<(usize, usize), Close> {
        match (self.partly_sent == 0 && !self.answers.is_empty(), subscriber) {
            (true, _) => self.send_answers(write),
            (false, Some(subscriber)) => self.send_messages(subscriber, write),
            (false, None) => Ok((0, 0)),
        }
    }

    fn send_answers(
        &mut self,
        write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> Result<(usize, usize), Close> {
        let offered = self.answers.len();
        let taken = write_all(&self.answers, write)?;
        if taken < offered {
            self.answers.drain(..taken);
        } else if self.answers.capacity() > KEEP_BYTES {
            self.answers = Vec::new();
        } else {
            self.answers.clear();
        }
        Ok((offered, taken))
    }

    /// While there are answers, the rest of the first message only.
    fn send_messages(
        &mut self,
        subscriber: &mut Subscriber,
        write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> Result<(usize, usize), Close> {
        let messages_max = if self.answers.is_empty() { usize::MAX } else { 1 };
        MESSAGES.with_borrow_mut(|bytes| {
            bytes.clear();
            self.encode(subscriber, messages_max, bytes);
            let taken = write_all(bytes, write)?;
            self.remove_sent(subscriber, taken);
            Ok((bytes.len(), taken))
        })
    }

    /// Encodes up to [`MESSAGES_BYTES`] of the next messages, without the bytes of the first that are
    /// sent already. What the client cannot take is removed.
    fn encode(&self, subscriber: &mut Subscriber, messages_max: usize, bytes: &mut Vec<u8>) {
        let partly_sent = self.partly_sent as usize;
        let mut place = 0;
        while place < messages_max && bytes.len() < MESSAGES_BYTES {
            let Some(delivery) = subscriber.message(place) else { return };
            let message = message(delivery);
            if !encode::publish_qos0_head(bytes, self.version, &message, self.packet_max) {
                ::metrics::counter!(crate::metrics::LOCAL_TOO_LARGE_FOR_CLIENT).increment(1);
                subscriber.remove(place);
                continue;
            }
            let mut payload = message.payload;
            if place == 0 && partly_sent > 0 {
                let of_head = partly_sent.min(bytes.len());
                bytes.drain(..of_head);
                payload = &payload[partly_sent - of_head..];
            }
            let room = MESSAGES_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&payload[..payload.len().min(room)]);
            place += 1;
        }
    }

    /// Removes the messages of which everything is sent with these bytes.
    fn remove_sent(&mut self, subscriber: &mut Subscriber, taken: usize) {
        // A message and what is encoded at once are far below 4 GiB.
        let mut sent = self.partly_sent + taken as u32;
        while sent > 0 {
            let first = subscriber.message(0).expect("it was encoded");
            let size = encode::publish_qos0_size(self.version, &message(first));
            let size = size.expect("it was encoded");
            if sent < size {
                break;
            }
            sent -= size;
            subscriber.remove(0);
        }
        self.partly_sent = sent;
    }

    /// Bytes that it holds.
    pub fn held_bytes(&self) -> usize {
        self.answers.capacity()
    }

    /// Bytes that it holds beyond what a connection has by right.
    pub fn counted_bytes(&self) -> usize {
        self.answers.capacity().saturating_sub(KEEP_BYTES)
    }

    /// Gives back what is held for the next answer.
    pub fn rest(&mut self) {
        if self.answers.is_empty() {
            self.answers = Vec::new();
        }
    }
}

/// An answer that is larger than what the client takes ends the connection.
fn within(encoded: bool) -> Result<(), Refusal> {
    encoded.then_some(()).ok_or(Refusal::AnswerTooLarge)
}

fn message(delivery: &local::Delivery) -> encode::Delivery<'_> {
    encode::Delivery::plain(&delivery.topic, &delivery.payload)
}

/// Writes as much as is taken.
fn write_all(
    bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
) -> Result<usize, Close> {
    let mut sent = 0;
    while sent < bytes.len() {
        match write(&bytes[sent..]) {
            Ok(None) => break,
            Ok(Some(0)) | Err(_) => return Err(Close::PeerGone),
            Ok(Some(count)) => sent += count,
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::edge::tests::edge;
    use crate::local::ClientKey;

    const PINGRESP: [u8; 2] = [0xd0, 0];

    /// A socket that takes so many bytes at a time, and none between.
    fn slow<'w>(
        pace: usize,
        wire: &'w mut Vec<u8>,
    ) -> impl FnMut(&[u8]) -> io::Result<Option<usize>> + 'w {
        let mut left = pace;
        move |bytes| {
            let count = bytes.len().min(left);
            left -= count;
            wire.extend_from_slice(&bytes[..count]);
            Ok((count > 0).then_some(count))
        }
    }

    #[test]
    fn an_answer_that_the_client_does_not_take_is_a_refusal_and_nothing_is_encoded() {
        let mut outbound = Outbound::new(Version::V5, Some(4));
        assert_eq!(outbound.pingresp(), Ok(()));
        assert_eq!(outbound.acknowledge(Answer::Puback, 1, reason::SUCCESS), Ok(()));
        let refused = [
            outbound.acknowledge(Answer::Puback, 1, reason::QUOTA_EXCEEDED),
            outbound.suback(1, &[0]),
            outbound.unsuback(1, &[0]),
        ];
        assert_eq!(refused, [Err(Refusal::AnswerTooLarge); 3]);
        let goodbye = [0xe0, 2, reason::KEEP_ALIVE_TIMEOUT, 0];
        let sent = [&PINGRESP[..], &[0x40, 2, 0, 1], &goodbye].concat();
        assert_eq!(outbound.last_words(&Close::KeepAlive), sent);
    }

    #[test]
    fn it_has_place_until_its_soft_limit_and_never_twice_as_much() {
        let mut outbound = Outbound::new(Version::V5, None);
        while outbound.has_place() {
            outbound.suback(1, &[0; 500]).expect("the client takes it");
        }
        assert!(outbound.held_bytes() <= KEEP_BYTES, "{}", outbound.held_bytes());
        assert_eq!(outbound.counted_bytes(), 0);
        let mut wire = Vec::new();
        let (offered, taken) = outbound.send(None, slow(100, &mut wire)).expect("it is there");
        assert!(taken == 100 && offered > OUT_SOFT_BYTES && !outbound.has_place());
        while !outbound.answers.is_empty() {
            outbound.send(None, slow(100, &mut wire)).expect("it is there");
        }
        assert_eq!(wire.len(), offered);
        outbound.rest();
        assert_eq!(outbound.held_bytes(), 0);
    }

    #[test]
    fn the_last_words_say_why_in_version_5() {
        let close = Close::Refused(Refusal::TopicAlias);
        let mut outbound = Outbound::new(Version::V5, None);
        let words = outbound.last_words(&close);
        let sentence = Refusal::TopicAlias.sentence().as_bytes();
        assert_eq!(words[..3], [0xe0, words.len() as u8 - 2, reason::TOPIC_ALIAS_INVALID]);
        assert!(words.ends_with(sentence));
        // Without the sentence where it is too long, and without a word where that is.
        let mut short = Outbound::new(Version::V5, Some(10));
        assert_eq!(short.last_words(&close), [0xe0, 2, reason::TOPIC_ALIAS_INVALID, 0]);
        assert!(Outbound::new(Version::V5, Some(3)).last_words(&close).is_empty());
        assert!(Outbound::new(Version::V311, None).last_words(&close).is_empty());
    }

    #[test]
    fn a_socket_that_takes_nothing_any_more_is_a_peer_that_is_gone() {
        let mut outbound = Outbound::new(Version::V311, None);
        outbound.pingresp().expect("the client takes it");
        assert_eq!(outbound.send(None, |_| Ok(Some(0))), Err(Close::PeerGone));
        let broken = io::ErrorKind::BrokenPipe;
        assert_eq!(outbound.send(None, |_| Err(broken.into())), Err(Close::PeerGone));
    }

    #[test]
    fn answers_go_first_but_not_into_the_middle_of_a_message() {
        let edge = edge();
        let mut subscriber = edge.local.subscriber(ClientKey::of("reader"), || {});
        subscriber.subscribe("news/#", false).expect("there is place");
        let payloads = [vec![1; 10], vec![2; 3 * MESSAGES_BYTES], vec![3; 10]];
        let deadline = Instant::now() + Duration::from_secs(60);
        let sender = ClientKey::of("sender");
        while subscriber.message(0).is_none() {
            // What comes before the router knows of the subscription is lost.
            edge.local.publish(sender, "news/first", &[0]);
            std::thread::sleep(Duration::from_millis(20));
            assert!(Instant::now() < deadline, "nothing is delivered");
        }
        while subscriber.message(0).is_some() {
            subscriber.remove(0);
            std::thread::sleep(Duration::from_millis(50));
        }
        payloads.iter().for_each(|payload| edge.local.publish(sender, "news/a", payload));
        while (0..payloads.len()).any(|place| subscriber.message(place).is_none()) {
            std::thread::sleep(Duration::from_millis(20));
            assert!(Instant::now() < deadline, "not everything is delivered");
        }
        let packet = |payload: &Vec<u8>| {
            let mut bytes = Vec::new();
            let delivery = encode::Delivery::<(&str, &str)>::plain("news/a", payload);
            assert!(encode::publish_qos0(&mut bytes, Version::V5, &delivery, None));
            bytes
        };
        let packets = payloads.iter().map(packet).collect::<Vec<_>>();
        let mut outbound = Outbound::new(Version::V5, None);
        let mut wire = Vec::new();
        // The first is sent, and a piece of the second.
        outbound.send(Some(&mut subscriber), slow(1000, &mut wire)).expect("it is there");
        let amid = outbound.last_words(&Close::ShuttingDown);
        assert!(amid.is_empty(), "it would be taken for payload");
        outbound.pingresp().expect("the client takes it");
        while wire.len() < packets.concat().len() + PINGRESP.len() {
            outbound.send(Some(&mut subscriber), slow(10_000, &mut wire)).expect("it is there");
        }
        let expected = [&packets[0][..], &packets[1], &PINGRESP, &packets[2]].concat();
        assert!(wire == expected, "PINGRESP stands between the second and the third");
        assert!(subscriber.message(0).is_none());
    }
}
