//! One connection from the first packet of TCP to its CONNACK, without waiting for anything: it goes on when
//! its socket can.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::entry::Entry;
use crate::stream::Stream;

/// Bytes of a CONNACK in MQTT 3.1.1.
const CONNACK_SIZE: usize = 4;

/// See the module.
pub struct Visit {
    stream: Stream,
    /// What of CONNECT has not left.
    unsent: Vec<u8>,
    answer: [u8; CONNACK_SIZE],
    answered: usize,
}

/// How far a visit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Going,
    In,
    Failed(Failure),
}

/// Why a visit came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The connection was refused, reset or closed.
    Closed,
    /// A CONNACK that does not accept.
    Refused,
    /// It took too long.
    Late,
    /// Anything else, which no broker should do.
    Odd,
}

impl Failure {
    pub fn name(self) -> &'static str {
        match self {
            Failure::Closed => "closed",
            Failure::Refused => "refused",
            Failure::Late => "late",
            Failure::Odd => "odd",
        }
    }
}

impl Visit {
    pub fn begin(entry: &Entry, number: usize, client_id: &str) -> Result<Visit, String> {
        Ok(Visit {
            stream: entry.begin(number)?,
            unsent: entry.connect_packet(client_id),
            answer: [0; CONNACK_SIZE],
            answered: 0,
        })
    }

    /// Has epoll tell when it can go on, under that number. It is told of once for each change: a socket that
    /// can be written, and has nothing to write, would be told of for ever.
    pub fn watch(&self, epoll: &OwnedFd, number: usize) -> Result<(), String> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(epoll, self.stream.socket(), EventData::new_u64(number as u64), flags)
            .map_err(|error| format!("epoll does not take a socket: {error}"))
    }

    pub fn resumed(&self) -> bool {
        self.stream.resumed() == Some(true)
    }

    /// Goes as far as it can.
    pub fn step(&mut self) -> Step {
        match self.try_step() {
            Ok(step) => step,
            Err(error) => match error.kind() {
                // The connection's begin is not over, or there is nothing to read.
                ErrorKind::WouldBlock | ErrorKind::NotConnected => Step::Going,
                ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Step::Failed(Failure::Closed),
                _ => Step::Failed(Failure::Odd),
            },
        }
    }

    fn try_step(&mut self) -> std::io::Result<Step> {
        // TLS takes what is to be sent before its handshake is over, and sends it then.
        while !self.unsent.is_empty() {
            let written = self.stream.write(&self.unsent)?;
            self.unsent.drain(..written);
        }
        self.stream.flush()?;
        while self.answered < CONNACK_SIZE {
            match self.stream.read(&mut self.answer[self.answered..])? {
                0 => return Ok(Step::Failed(Failure::Closed)),
                read => self.answered += read,
            }
        }
        Ok(match self.answer {
            [0x20, 2, _, 0] => Step::In,
            [0x20, 2, ..] => Step::Failed(Failure::Refused),
            _ => Step::Failed(Failure::Odd),
        })
    }

    /// Reads what comes to a connection that is in; false when it was closed.
    pub fn is_still_there(&mut self) -> bool {
        match self.stream.read(&mut [0; 64]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
