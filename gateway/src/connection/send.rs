//! What leaves for the client: answers, which are encoded in a small buffer of the connection, and
//! messages of its local subscriptions.
//!
//! The messages stay where they count, in the subscriber's queue, until the socket has taken them: they
//! are encoded into a buffer of the thread, once more for what the socket did not take, and of the one
//! that is partly sent the connection keeps how much that is. So a client that does not read holds no
//! copy of what is for it. Answers go first, but not into the middle of a message.

use std::cell::RefCell;
use std::task::{Context, Poll};

use super::{Block, Clock, Close, Connection, KEEP_BYTES, OUT_SOFT_BYTES};
use crate::edge::Phase;
use crate::local::{self, Subscriber};
use crate::mqtt::{Version, encode};
use crate::net::Transport;

/// Bytes of messages that are written at once.
const MESSAGES_BYTES: usize = 64 * 1024;
/// Writes of one connection's messages before others have their turn.
const WRITES_PER_TURN: usize = 4;

thread_local! {
    static MESSAGES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(MESSAGES_BYTES));
}

/// Who is asked whether the socket takes more.
enum Ask<'a, 'c> {
    /// The runtime, which wakes the task when it does.
    Runtime(&'a mut Context<'c>),
    /// The kernel itself; see [`Transport`].
    Kernel,
}

/// How a message has to look for this client.
#[derive(Clone, Copy)]
struct Form {
    version: Version,
    /// Largest packet that the client takes, in bytes.
    packet_max: Option<u32>,
}

impl Connection {
    /// Writes what there is, as far as the socket takes it.
    pub(super) fn send(&mut self, context: &mut Context<'_>, clock: &Clock) -> Result<(), Close> {
        let (mut written, mut writes) = (0, 0);
        let took_all = loop {
            if writes == WRITES_PER_TURN {
                context.waker().wake_by_ref();
                break true;
            }
            writes += 1;
            let (offered, taken) = self.send_some(&mut Ask::Runtime(context))?;
            written += taken;
            if taken < offered || offered == 0 {
                break offered == 0;
            }
        };
        self.deadlines.sent(clock.now, written > 0, !took_all);
        // While the gateway drains nothing is read any more, whatever is sent.
        let reads_on =
            matches!(self.block, Some((Block::Unsent, _))) && self.edge.phase() == Phase::Running;
        let goes_on = self.acks_left || reads_on;
        if goes_on && self.out.len() < OUT_SOFT_BYTES {
            context.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Writes what the kernel takes, whatever the runtime knows; false if that is nothing.
    pub(super) fn send_now(&mut self, clock: &Clock) -> Result<bool, Close> {
        let (offered, taken) = self.send_some(&mut Ask::Kernel)?;
        self.deadlines.sent(clock.now, taken > 0, taken < offered);
        Ok(taken > 0)
    }

    /// How many bytes there were to write next, and how many of them were taken.
    fn send_some(&mut self, ask: &mut Ask<'_, '_>) -> Result<(usize, usize), Close> {
        match self.partly_sent == 0 && !self.out.is_empty() {
            true => self.send_answers(ask),
            false => self.send_messages(ask),
        }
    }

    fn send_answers(&mut self, ask: &mut Ask<'_, '_>) -> Result<(usize, usize), Close> {
        let offered = self.out.len();
        let taken = write(&mut self.transport, ask, &self.out)?;
        if taken < offered {
            self.out.drain(..taken);
        } else if self.out.capacity() > KEEP_BYTES {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
        Ok((offered, taken))
    }

    /// While there are answers, the rest of the first message only.
    fn send_messages(&mut self, ask: &mut Ask<'_, '_>) -> Result<(usize, usize), Close> {
        let Connection { transport, subscriber, partly_sent, out, .. } = self;
        let Some(subscriber) = subscriber else { return Ok((0, 0)) };
        let form = Form { version: self.version, packet_max: self.client_packet_max };
        let messages_max = if out.is_empty() { usize::MAX } else { 1 };
        MESSAGES.with_borrow_mut(|bytes| {
            bytes.clear();
            form.encode(subscriber, messages_max, *partly_sent, bytes);
            let taken = write(transport, ask, bytes)?;
            *partly_sent = form.remove_sent(subscriber, *partly_sent + taken);
            Ok((bytes.len(), taken))
        })
    }
}

impl Form {
    /// Encodes up to [`MESSAGES_BYTES`] of the next messages, without the bytes of the first that are
    /// sent already. What the client cannot take is removed.
    fn encode(
        self,
        subscriber: &mut Subscriber,
        messages_max: usize,
        partly_sent: usize,
        bytes: &mut Vec<u8>,
    ) {
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

    /// Removes the messages that are in the first `sent` bytes, and says how many bytes of the next
    /// one are.
    fn remove_sent(self, subscriber: &mut Subscriber, mut sent: usize) -> usize {
        while sent > 0 {
            let first = subscriber.message(0).expect("it was encoded");
            let size = encode::publish_qos0_size(self.version, &message(first));
            let size = size.expect("it was encoded") as usize;
            if sent < size {
                break;
            }
            sent -= size;
            subscriber.remove(0);
        }
        sent
    }
}

fn message(delivery: &local::Delivery) -> encode::Delivery<'_> {
    encode::Delivery {
        topic: &delivery.topic,
        payload: &delivery.payload,
        retain: false,
        content_type: "",
        payload_format_utf8: false,
        response_topic: None,
        correlation_data: None,
        message_expiry: None,
        user_properties: &[],
    }
}

/// Writes as much as the socket takes.
fn write(transport: &mut Transport, ask: &mut Ask<'_, '_>, bytes: &[u8]) -> Result<usize, Close> {
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        let written = match ask {
            Ask::Runtime(context) => match transport.poll_write(context, rest) {
                Poll::Ready(written) => written.map(Some),
                Poll::Pending => Ok(None),
            },
            Ask::Kernel => transport.write_now(rest),
        };
        match written {
            Ok(None) => break,
            Ok(Some(0)) | Err(_) => return Err(Close::PeerGone),
            Ok(Some(count)) => sent += count,
        }
    }
    Ok(sent)
}
