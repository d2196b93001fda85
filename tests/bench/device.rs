//! One connection of the load: MQTT 3.1.1, one prepared packet, a window of open messages.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;

use crate::entry::{Entry, length, text};
use crate::report::Meter;
use crate::stream::Stream;

/// Bytes of a PUBACK.
const PUBACK_SIZE: usize = 4;

/// A connected client.
pub struct Device {
    stream: Stream,
    packet: Packet,
    /// When each open message was due, by packet id less one; zero for an id that is free.
    open: Vec<u64>,
    free: Vec<u16>,
    /// Due times of messages for which the window has no room.
    waiting: VecDeque<u64>,
    /// The begin of an acknowledgement whose rest has not arrived.
    tail: [u8; PUBACK_SIZE],
    tail_size: usize,
    /// What the socket did not take, and how much of it it took since.
    unsent: Vec<u8>,
    unsent_from: usize,
}

/// What all connections of a load publish.
pub struct Message<'a> {
    /// What their names begin with.
    pub devices: &'a str,
    /// The last level of the topic.
    pub channel: &'a str,
    pub payload_size: usize,
}

/// A PUBLISH that is written once; packet id and time are put in before it is sent.
struct Packet {
    bytes: Vec<u8>,
    id_at: usize,
    time_at: usize,
}

impl Device {
    pub fn connect(
        entry: &Entry,
        number: usize,
        message: &Message<'_>,
        window: usize,
    ) -> Result<Device, String> {
        let device = format!("{}-{number}", message.devices);
        let stream = entry.connect(number, &device)?;
        stream.set_nonblocking()?;
        Ok(Device {
            stream,
            packet: Packet::new(
                &format!("devices/meter/{device}/{}", message.channel),
                message.payload_size,
            ),
            open: vec![0; window],
            free: (1..=window as u16).rev().collect(),
            waiting: VecDeque::new(),
            tail: [0; PUBACK_SIZE],
            tail_size: 0,
            unsent: Vec::new(),
            unsent_from: 0,
        })
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Messages that are not acknowledged, those that wait included.
    pub fn outstanding(&self) -> usize {
        self.open.len() - self.free.len() + self.waiting.len()
    }

    /// Something is left that the socket did not take.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.stream.has_unsent()
    }

    /// A message is due: it leaves as soon as the window has room.
    pub fn publish_when_there_is_room(&mut self, due: u64) {
        self.waiting.push_back(due);
    }

    /// Sends what waits and fits; with `fill`, so many more that the window is full. `unix` is the time
    /// now, in nanoseconds since 1970.
    pub fn send(
        &mut self,
        fill: bool,
        now: u64,
        unix: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<(), String> {
        scratch.clear();
        while let Some(&id) = self.free.last() {
            let due = match self.waiting.pop_front() {
                Some(due) => due,
                None if fill => now,
                None => break,
            };
            self.free.pop();
            self.open[usize::from(id) - 1] = due;
            self.packet.write(id, unix, scratch);
        }
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(scratch);
            return Ok(());
        }
        let written = if scratch.is_empty() { 0 } else { self.write(scratch)? };
        self.unsent.extend_from_slice(&scratch[written..]);
        Ok(())
    }

    /// Sends what the socket did not take before.
    pub fn send_rest(&mut self) -> Result<(), String> {
        self.stream.flush().map_err(|error| format!("a device cannot write: {error}"))?;
        let unsent = std::mem::take(&mut self.unsent);
        let written = self.write(&unsent[self.unsent_from..]);
        self.unsent = unsent;
        self.unsent_from += written?;
        if self.unsent_from == self.unsent.len() {
            self.unsent.clear();
            self.unsent_from = 0;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.stream.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(format!("a device cannot write: {error}")),
        }
    }

    /// Reads acknowledgements, as many as one call gives, into `meter`.
    pub fn receive(
        &mut self,
        now: u64,
        buffer: &mut [u8],
        meter: &mut Meter,
    ) -> Result<(), String> {
        buffer[..self.tail_size].copy_from_slice(&self.tail[..self.tail_size]);
        let size = match self.stream.read(&mut buffer[self.tail_size..]) {
            Ok(0) => return Err("a connection was closed".to_owned()),
            Ok(size) => self.tail_size + size,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("a device cannot read: {error}")),
        };
        let (packets, tail) = buffer[..size].as_chunks::<PUBACK_SIZE>();
        for packet in packets {
            let &[0x40, 2, high, low] = packet else {
                return Err(format!("a device expected a PUBACK and got {packet:02x?}"));
            };
            let id = u16::from_be_bytes([high, low]);
            let due = self.open.get_mut(usize::from(id.wrapping_sub(1))).map(std::mem::take);
            match due {
                None | Some(0) => return Err(format!("{id} was acknowledged and was not open")),
                Some(due) => meter.acknowledged(due, now),
            }
            self.free.push(id);
        }
        self.tail[..tail.len()].copy_from_slice(tail);
        self.tail_size = tail.len();
        Ok(())
    }
}

/// The head of a PUBLISH with QoS 1, up to its payload.
pub fn publish_head(topic: &str, packet_id: u16, payload_size: usize) -> Vec<u8> {
    let mut variable = Vec::new();
    text(&mut variable, topic);
    variable.extend_from_slice(&packet_id.to_be_bytes());
    let mut head = vec![0x32];
    length(&mut head, variable.len() + payload_size);
    head.extend_from_slice(&variable);
    head
}

impl Packet {
    fn new(topic: &str, payload_size: usize) -> Packet {
        let mut bytes = publish_head(topic, 0, payload_size);
        let time_at = bytes.len();
        bytes.extend((0..payload_size).map(|at| b'a' + (at * 31 % 26) as u8));
        Packet { bytes, id_at: time_at - 2, time_at }
    }

    /// The payload begins with its sending time, in nanoseconds since 1970, big-endian.
    fn write(&mut self, id: u16, unix: u64, out: &mut Vec<u8>) {
        self.bytes[self.id_at..][..2].copy_from_slice(&id.to_be_bytes());
        self.bytes[self.time_at..][..8].copy_from_slice(&unix.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }
}
