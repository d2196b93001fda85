//! The times by which a client has to have done something. They stand still while the gateway does
//! not read the socket: that is not the client's silence. Nor is the gateway's own standstill; see
//! `patience.rs`.

use std::time::{Duration, Instant};

use super::Close;
use crate::patience::late_by;

/// How long a packet may take to arrive, besides what its size allows at the slowest rate.
const PACKET_GRACE: Duration = Duration::from_secs(10);
/// The slowest rate of a packet's bytes, in bytes per second, over its whole arrival.
const RATE_MIN: u64 = 4 * 1024;
/// How long a large message may pause.
const UPLOAD_IDLE: Duration = Duration::from_secs(30);
/// How long a client may leave what it is sent unread.
const UNREAD_WAIT: Duration = Duration::from_secs(30);
/// After so long without a byte, and as often, a connection gives back what it holds for more.
const REST_AFTER: Duration = Duration::from_secs(10);
/// When there is nothing to wait for.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// See the module.
pub(super) struct Deadlines {
    /// Zero: none. One and a half times what the client said, in milliseconds.
    keep_alive_ms: u32,
    last_packet: Instant,
    last_bytes: Instant,
    /// When the packet that is not whole yet began.
    packet_began: Instant,
    /// Since when the client takes nothing of what it is sent.
    unread_since: Option<Instant>,
    /// A deadline was moved because the gateway came late to it, and the client gave no sign since.
    excused: bool,
    last_rest: Instant,
}

/// What the connection is at.
pub(super) struct Waits {
    pub reading: bool,
    /// When to look by itself at what stands in the way of reading.
    pub look_at: Option<Instant>,
    /// When what proved who the client is ends, by the clock as it is now.
    pub credentials_end: Option<Instant>,
    /// A packet is incomplete; how many bytes it has in all, as far as is known.
    pub partial_bytes: Option<usize>,
    /// A large message arrives; how many bytes it has.
    pub upload_bytes: Option<u64>,
    /// There are buffers that a connection at rest does not need.
    pub holds_room: bool,
}

impl Deadlines {
    pub fn new(keep_alive_s: u16, now: Instant) -> Deadlines {
        Deadlines {
            keep_alive_ms: u32::from(keep_alive_s) * 1_500,
            last_packet: now,
            last_bytes: now,
            packet_began: now,
            unread_since: None,
            excused: false,
            last_rest: now,
        }
    }

    /// Bytes came; `begin` is true if they begin a packet.
    pub fn bytes_received(&mut self, now: Instant, begin: bool) {
        self.last_bytes = now;
        self.excused = false;
        if begin {
            self.packet_began = now;
        }
    }

    /// A whole packet was taken; what came behind it begins a new one.
    pub fn packet_received(&mut self, now: Instant) {
        self.last_packet = now;
        self.packet_began = now;
    }

    /// The socket was not read for this long.
    pub fn skip(&mut self, unread: Duration) {
        self.last_packet += unread;
        self.last_bytes += unread;
        self.packet_began += unread;
    }

    /// A deadline passed and the gateway was not there: all of them move on, so that the client has as
    /// much time again as nobody looked. False if it was, or if that is used up.
    pub fn excuse(&mut self, due: Instant, now: Instant) -> bool {
        let Some(late) = late_by(due, now).filter(|_| !self.excused) else { return false };
        self.excused = true;
        self.skip(2 * late);
        if let Some(since) = &mut self.unread_since {
            *since += 2 * late;
        }
        true
    }

    /// Something was written, or nothing could be.
    pub fn sent(&mut self, now: Instant, progress: bool, unsent: bool) {
        if progress {
            self.excused = false;
        }
        match (unsent, self.unread_since) {
            (false, _) => self.unread_since = None,
            (true, None) => self.unread_since = Some(now),
            (true, Some(_)) if progress => self.unread_since = Some(now),
            (true, Some(_)) => {}
        }
    }

    /// The client takes nothing of what it is sent.
    pub fn is_unread(&self) -> bool {
        self.unread_since.is_some()
    }

    /// Nothing came for a while.
    pub fn may_rest(&self, now: Instant) -> bool {
        now >= self.rest_at()
    }

    /// Buffers were given back.
    pub fn rested(&mut self, now: Instant) {
        self.last_rest = now;
    }

    fn rest_at(&self) -> Instant {
        self.last_bytes.max(self.last_rest) + REST_AFTER
    }

    /// The next time to look, and how the connection ends if nothing changed until then; None where
    /// it does not end.
    pub fn next(&self, waits: Waits) -> (Instant, Option<Close>) {
        let mut next = (self.last_bytes + FAR, None);
        let mut consider = |due: Instant, close: Option<Close>| {
            if due < next.0 {
                next = (due, close);
            }
        };
        if let Some(since) = self.unread_since {
            consider(since + UNREAD_WAIT, Some(Close::NotReading));
        }
        if let Some(at) = waits.look_at {
            consider(at, None);
        }
        if let Some(at) = waits.credentials_end {
            // Whoever looks then looks at the clock.
            consider(at, None);
        }
        if waits.holds_room {
            consider(self.rest_at(), None);
        }
        if waits.reading {
            let slowest = |bytes: u64| {
                self.packet_began + PACKET_GRACE + Duration::from_secs(bytes / RATE_MIN)
            };
            match (waits.upload_bytes, waits.partial_bytes) {
                (Some(bytes), _) => {
                    // A client that sends a long packet can send no other meanwhile: its keep-alive
                    // is the progress of the packet.
                    consider(self.last_bytes + UPLOAD_IDLE, Some(Close::TooSlow));
                    consider(slowest(bytes), Some(Close::TooSlow));
                }
                (None, Some(bytes)) => consider(slowest(bytes as u64), Some(Close::TooSlow)),
                (None, None) => {}
            }
            if waits.upload_bytes.is_none() && self.keep_alive_ms > 0 {
                let keep_alive = Duration::from_millis(self.keep_alive_ms.into());
                consider(self.last_packet + keep_alive, Some(Close::KeepAlive));
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Waits = Waits {
        reading: true,
        look_at: None,
        credentials_end: None,
        partial_bytes: None,
        upload_bytes: None,
        holds_room: false,
    };

    #[test]
    fn keep_alive_counts_received_packets_and_stands_still_while_not_reading() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(10, start);
        assert_eq!(deadlines.next(IDLE), (start + Duration::from_secs(15), Some(Close::KeepAlive)));
        let blocked = Waits { reading: false, ..IDLE };
        assert_eq!(deadlines.next(blocked).1, None);
        deadlines.skip(Duration::from_secs(60));
        assert_eq!(deadlines.next(IDLE).0, start + Duration::from_secs(75));
        deadlines.bytes_received(start + Duration::from_secs(70), true);
        assert_eq!(deadlines.next(IDLE).0, start + Duration::from_secs(75), "bytes are no packet");
        deadlines.packet_received(start + Duration::from_secs(70));
        assert_eq!(deadlines.next(IDLE).0, start + Duration::from_secs(85));
    }

    #[test]
    fn a_dribbled_packet_has_an_end_without_any_keep_alive() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(0, start);
        assert_eq!(deadlines.next(IDLE).1, None);
        deadlines.bytes_received(start + Duration::from_secs(9), false);
        let partial = Waits { partial_bytes: Some(2), ..IDLE };
        assert_eq!(deadlines.next(partial), (start + PACKET_GRACE, Some(Close::TooSlow)));
    }

    #[test]
    fn silence_before_a_packet_is_not_its_slowness() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(0, start);
        let later = start + Duration::from_secs(3600);
        deadlines.bytes_received(later, true);
        let partial = Waits { partial_bytes: Some(2), ..IDLE };
        assert_eq!(deadlines.next(partial).0, later + PACKET_GRACE);
        let upload = Waits { upload_bytes: Some(1024 * 1024), ..IDLE };
        assert_eq!(deadlines.next(upload).0, later + UPLOAD_IDLE);
    }

    #[test]
    fn a_standstill_of_the_gateway_moves_deadlines_once_in_a_silence() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut deadlines = Deadlines::new(4, start);
        let (due, _) = deadlines.next(IDLE);
        assert_eq!(due, start + 6 * second);
        assert!(!deadlines.excuse(due, due + second / 10), "a timer is that late by itself");
        // Stopped until three seconds after the deadline.
        assert!(deadlines.excuse(due, due + 3 * second));
        let (moved, close) = deadlines.next(IDLE);
        assert_eq!((moved, close), (due + 6 * second, Some(Close::KeepAlive)), "as much again");
        assert!(!deadlines.excuse(moved, moved + 9 * second), "it is silent still");
        deadlines.bytes_received(moved, true);
        deadlines.packet_received(moved);
        assert!(deadlines.excuse(moved + 6 * second, moved + 9 * second), "a new silence");
        deadlines.sent(moved, false, true);
        let unread = moved + UNREAD_WAIT;
        assert!(!deadlines.excuse(unread, unread + 5 * second));
        deadlines.sent(moved, true, true);
        assert!(deadlines.excuse(unread, unread + 5 * second));
        assert_eq!(deadlines.unread_since, Some(moved + 10 * second));
    }

    #[test]
    fn a_connection_rests_after_a_while_without_a_byte_and_not_at_once_again() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(0, start);
        let holds = || Waits { holds_room: true, ..IDLE };
        assert_eq!(deadlines.next(holds()), (start + REST_AFTER, None));
        let later = start + Duration::from_secs(7);
        deadlines.bytes_received(later, true);
        assert!(!deadlines.may_rest(start + REST_AFTER));
        assert!(deadlines.may_rest(later + REST_AFTER));
        deadlines.rested(later + REST_AFTER);
        assert!(!deadlines.may_rest(later + REST_AFTER));
        assert_eq!(deadlines.next(holds()), (later + 2 * REST_AFTER, None));
    }

    #[test]
    fn the_end_of_an_identity_is_a_time_to_look_whether_the_socket_is_read_or_not() {
        let start = Instant::now();
        let deadlines = Deadlines::new(10, start);
        let end = start + Duration::from_secs(3);
        for reading in [true, false] {
            let waits = Waits { reading, credentials_end: Some(end), ..IDLE };
            assert_eq!(deadlines.next(waits), (end, None));
        }
    }

    #[test]
    fn a_client_that_does_not_read_has_an_end() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(0, start);
        deadlines.sent(start, false, true);
        deadlines.sent(start + Duration::from_secs(5), false, true);
        assert_eq!(deadlines.next(IDLE), (start + UNREAD_WAIT, Some(Close::NotReading)));
        deadlines.sent(start + Duration::from_secs(6), true, false);
        assert_eq!(deadlines.next(IDLE).1, None);
    }
}
