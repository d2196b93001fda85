//! WebSocket's frames (RFC 6455, 5) as a server meets them: taken apart in the buffer that they were read
//! into, whatever they are cut into on their way, so that a payload of any length streams through. Pure.

/// The longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_MAX: usize = 14;
/// The longest payload of a control frame, in bytes (5.5).
pub const CONTROL_MAX: usize = 125;

/// The first byte of a frame that is the last of its message.
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// In the second byte: the payload is masked, as each of a client has to be (5.1).
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Codes of a Close frame (7.4.1).
pub const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED_DATA: u16 = 1003;

/// Why bytes are no frames that are taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("a frame of a client has to be masked")]
    Unmasked,
    #[error("MQTT travels in binary frames, and this is a text frame")]
    Text,
    #[error("a reserved bit is set, and no extension was agreed on")]
    Reserved,
    #[error("the frame's opcode is unknown")]
    Opcode,
    #[error("the frame's length is impossible")]
    Length,
    #[error("a control frame is whole and has at most {CONTROL_MAX} bytes")]
    Control,
    #[error("a message begins before the last one ended, or goes on without a beginning")]
    Fragment,
}

impl FrameFault {
    /// The code of the Close frame that answers it.
    pub fn close_code(self) -> u16 {
        match self {
            FrameFault::Text => UNSUPPORTED_DATA,
            _ => PROTOCOL_ERROR,
        }
    }
}

/// The payload of a control frame.
pub struct Control {
    len: u8,
    bytes: [u8; CONTROL_MAX],
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client sent Close; with this code, if any, it is answered.
    Closed(Option<u16>),
    Fault(FrameFault),
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Data,
    /// The payload of a control frame with this opcode.
    Control(u8),
}

/// The frames of one connection, as far as they came.
pub struct Frames {
    head: [u8; HEAD_MAX],
    /// Bytes of the head that are here.
    head_len: u8,
    at: At,
    /// Bytes of the frame's payload that are to come.
    left: u64,
    /// As the next byte of payload needs it.
    mask: [u8; 4],
    /// A message began and has not ended.
    in_message: bool,
    end: Option<End>,
    /// What is here of a control frame.
    control: Option<Box<Control>>,
    /// The last ping that was not answered; answering earlier ones is not asked for (5.5.3).
    ping: Option<Box<Control>>,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames {
            head: [0; HEAD_MAX],
            head_len: 0,
            at: At::Head,
            left: 0,
            mask: [0; 4],
            in_message: false,
            end: None,
            control: None,
            ping: None,
        }
    }
}

impl Frames {
    /// Takes received bytes apart and leaves the payload of messages, unmasked, at their beginning; returns
    /// how many bytes that is. At an [`End`] the rest is dropped.
    pub fn take(&mut self, bytes: &mut [u8]) -> usize {
        let (mut next, mut payload) = (0, 0);
        while next < bytes.len() && self.end.is_none() {
            match self.at {
                At::Head => {
                    self.head[usize::from(self.head_len)] = bytes[next];
                    self.head_len += 1;
                    next += 1;
                    if let Err(fault) = self.look_at_head() {
                        self.end = Some(End::Fault(fault));
                    }
                }
                At::Data => {
                    let count = self.arriving(bytes.len() - next);
                    bytes.copy_within(next..next + count, payload);
                    self.unmask(&mut bytes[payload..payload + count]);
                    payload += count;
                    next += count;
                    self.arrived(count);
                }
                At::Control(opcode) => {
                    let count = self.arriving(bytes.len() - next);
                    self.unmask(&mut bytes[next..next + count]);
                    self.keep(&bytes[next..next + count]);
                    next += count;
                    self.arrived(count);
                    if self.left == 0 {
                        self.obey(opcode);
                    }
                }
            }
        }
        payload
    }

    /// Why nothing more is taken, if that is so.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The ping that is to be answered.
    pub fn take_ping(&mut self) -> Option<Box<Control>> {
        self.ping.take()
    }

    /// How many of `here` bytes belong to the frame at hand.
    fn arriving(&self, here: usize) -> usize {
        self.left.min(here as u64) as usize
    }

    fn arrived(&mut self, count: usize) {
        self.left -= count as u64;
        if self.left == 0 {
            self.at = At::Head;
        }
    }

    /// Refuses what can be refused from the bytes of the head that are here, and begins the frame when all
    /// of them are.
    fn look_at_head(&mut self) -> Result<(), FrameFault> {
        let here = usize::from(self.head_len);
        let first = self.head[0];
        let opcode = first & OPCODE;
        if first & RESERVED != 0 {
            return Err(FrameFault::Reserved);
        }
        match opcode {
            CONTINUATION if self.in_message => {}
            BINARY if !self.in_message => {}
            CONTINUATION | BINARY => return Err(FrameFault::Fragment),
            TEXT => return Err(FrameFault::Text),
            CLOSE | PING | PONG if first & FIN == 0 => return Err(FrameFault::Control),
            CLOSE | PING | PONG => {}
            _ => return Err(FrameFault::Opcode),
        }
        if here < 2 {
            return Ok(());
        }
        let second = self.head[1];
        let short = second & !MASKED;
        if second & MASKED == 0 {
            return Err(FrameFault::Unmasked);
        }
        if opcode >= CLOSE && usize::from(short) > CONTROL_MAX {
            return Err(FrameFault::Control);
        }
        let length_len = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if length_len == 8 && here > 2 && self.head[2] & 0x80 != 0 {
            return Err(FrameFault::Length);
        }
        if here < 2 + length_len + self.mask.len() {
            return Ok(());
        }
        let (length, mask) = self.head[2..here].split_at(length_len);
        self.left = match length {
            [] => short.into(),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.mask.copy_from_slice(mask);
        self.head_len = 0;
        self.begin(opcode, first & FIN != 0);
        Ok(())
    }

    fn begin(&mut self, opcode: u8, is_last: bool) {
        if opcode < CLOSE {
            self.in_message = !is_last;
            self.at = if self.left > 0 { At::Data } else { At::Head };
        } else if self.left > 0 {
            self.at = At::Control(opcode);
        } else {
            self.obey(opcode);
        }
    }

    /// Removes the mask, and turns it so that it fits the byte behind.
    fn unmask(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.mask;
        let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            let masked = u64::from_ne_bytes((&*word).try_into().expect("a word has 8 bytes"));
            word.copy_from_slice(&(masked ^ twice).to_ne_bytes());
        }
        let rest = words.into_remainder();
        rest.iter_mut().zip(self.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let turn = rest.len() % self.mask.len();
        self.mask.rotate_left(turn);
    }

    /// Keeps a piece of a control frame's payload.
    fn keep(&mut self, piece: &[u8]) {
        let empty = || Box::new(Control { len: 0, bytes: [0; CONTROL_MAX] });
        let control = self.control.get_or_insert_with(empty);
        let begin = usize::from(control.len);
        control.bytes[begin..begin + piece.len()].copy_from_slice(piece);
        control.len += piece.len() as u8;
    }

    /// A control frame is whole.
    fn obey(&mut self, opcode: u8) {
        let control = self.control.take();
        match opcode {
            PING => {
                let empty = || Box::new(Control { len: 0, bytes: [0; CONTROL_MAX] });
                self.ping = Some(control.unwrap_or_else(empty));
            }
            // A pong says that the client is there, as its bytes said already.
            PONG => {}
            _ => self.end = Some(close(control.as_deref().map_or(&[], Control::payload))),
        }
    }
}

/// What a Close frame with this payload means: no code, or one that may be on the wire (7.4).
fn close(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(None),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => End::Closed(Some(code)),
            _ => End::Fault(FrameFault::Control),
        },
        [_] => End::Fault(FrameFault::Control),
    }
}

impl Control {
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Appends the frames of a message: as many as it takes with `frame_max` bytes of payload each.
pub fn binary(out: &mut Vec<u8>, payload: &[u8], frame_max: usize) {
    for piece in payload.chunks(frame_max) {
        frame(out, BINARY, piece);
    }
}

/// How many bytes a frame of the server has in front of its payload.
pub fn head_size(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    }
}

pub fn ping(out: &mut Vec<u8>) {
    frame(out, PING, &[]);
}

pub fn pong(out: &mut Vec<u8>, ping: &Control) {
    frame(out, PONG, ping.payload());
}

pub fn close_frame(out: &mut Vec<u8>, code: Option<u16>) {
    match code {
        Some(code) => frame(out, CLOSE, &code.to_be_bytes()),
        None => frame(out, CLOSE, &[]),
    }
}

fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FIN | opcode);
    match head_size(payload.len()) {
        2 => out.push(payload.len() as u8),
        4 => {
            out.push(126);
            out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, 0, payload);
        out[0] = first;
        out[1] |= MASKED;
        let head = head_size(payload.len());
        out.splice(head..head, MASK);
        let body = out[head + 4..].iter_mut().zip(MASK.iter().cycle());
        body.for_each(|(byte, mask)| *byte ^= mask);
        out
    }

    /// The payload of all of it in pieces that end at these places, and the frames behind it.
    fn take(bytes: &[u8], piece: usize) -> (Vec<u8>, Frames) {
        let (mut frames, mut payload) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let count = frames.take(&mut piece);
            payload.extend_from_slice(&piece[..count]);
        }
        (payload, frames)
    }

    /// The example of RFC 6455, 5.7, as a binary frame.
    #[test]
    fn the_standards_own_example_is_read() {
        let bytes = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(take(&bytes, bytes.len()).0, b"Hello");
        assert_eq!(masked(0x82, b"Hello"), bytes);
    }

    #[test]
    fn a_payload_is_the_same_wherever_its_frames_are_cut_and_whatever_is_between() {
        let long: Vec<u8> = (0..70_000_u32).map(|number| number as u8).collect();
        let frames = [
            masked(0x02, b"one "),
            masked(0x89, b"are you there?"),
            masked(0x00, b""),
            masked(0x80, &long[..300]),
            masked(0x8a, &[]),
            masked(0x82, &[]),
            masked(0x82, &long),
            masked(0x89, &[7; CONTROL_MAX]),
        ]
        .concat();
        let expected = [&b"one "[..], &long[..300], &long].concat();
        for piece in [1, 2, 3, 5, 7, 13, 64, 1000, frames.len()] {
            let (payload, mut taken) = take(&frames, piece);
            assert!(payload == expected, "in pieces of {piece}");
            let ping = taken.take_ping().expect("two pings came");
            assert_eq!(ping.payload(), [7; CONTROL_MAX], "the last is answered");
            assert!(taken.end().is_none() && taken.take_ping().is_none());
        }
        let short = [masked(0x02, b"ab"), masked(0x89, b"?"), masked(0x80, b"cd")].concat();
        for cut in 1..short.len() {
            let mut taken = Frames::default();
            let mut payload = Vec::new();
            for piece in [&short[..cut], &short[cut..]] {
                let mut piece = piece.to_vec();
                let count = taken.take(&mut piece);
                payload.extend_from_slice(&piece[..count]);
            }
            assert_eq!(payload, b"abcd", "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_of_a_client_is_told_with_its_code() {
        let mut unmasked = Vec::new();
        binary(&mut unmasked, b"x", 100);
        let begun = masked(0x02, b"x");
        for (bytes, fault, code) in [
            (unmasked, FrameFault::Unmasked, 1002),
            (masked(0x81, b"x"), FrameFault::Text, 1003),
            (masked(0x01, b"x"), FrameFault::Text, 1003),
            (masked(0xc2, b"x"), FrameFault::Reserved, 1002),
            (masked(0x92, b"x"), FrameFault::Reserved, 1002),
            (masked(0x83, b"x"), FrameFault::Opcode, 1002),
            (masked(0x8f, b"x"), FrameFault::Opcode, 1002),
            (masked(0x80, b"x"), FrameFault::Fragment, 1002),
            ([begun, masked(0x82, b"y")].concat(), FrameFault::Fragment, 1002),
            (masked(0x09, b""), FrameFault::Control, 1002),
            (masked(0x89, &[0; CONTROL_MAX + 1]), FrameFault::Control, 1002),
            (masked(0x88, b"x"), FrameFault::Control, 1002),
            (masked(0x88, &1005_u16.to_be_bytes()), FrameFault::Control, 1002),
            (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1], FrameFault::Length, 1002),
        ] {
            for piece in [1, bytes.len()] {
                let (_, frames) = take(&bytes, piece);
                assert_eq!(frames.end(), Some(End::Fault(fault)), "{bytes:02x?}");
            }
            assert_eq!(fault.close_code(), code);
        }
    }

    /// It only streams through: nothing is held for what was announced.
    #[test]
    fn a_frame_of_any_length_is_taken_as_it_comes() {
        let mut head = vec![0x82, 0xff];
        head.extend_from_slice(&(1_u64 << 62).to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        let (payload, mut frames) = take(&[&head[..], &[7; 1000]].concat(), 100);
        assert!(payload == [7; 1000] && frames.end().is_none());
        assert_eq!(frames.take(&mut [1; 64]), 64);
    }

    #[test]
    fn behind_close_nothing_is_taken_and_what_was_before_it_is() {
        for (payload, code) in [(&b""[..], None), (&[0x03, 0xe9, b'b', b'y', b'e'], Some(1001))] {
            let bytes = [masked(0x82, b"last"), masked(0x88, payload), masked(0x82, b"more")];
            let (taken, frames) = take(&bytes.concat(), 3);
            assert_eq!(taken, b"last");
            assert_eq!(frames.end(), Some(End::Closed(code)));
        }
    }

    #[test]
    fn lengths_are_written_in_the_fewest_bytes() {
        for (size, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            frame(&mut out, BINARY, &vec![0; size]);
            assert!(out.starts_with(head) && out.len() == head_size(size) + size, "{size}");
        }
        let mut out = Vec::new();
        binary(&mut out, &[7; 5], 2);
        assert_eq!(out, [0x82, 2, 7, 7, 0x82, 2, 7, 7, 0x82, 1, 7]);
    }
}
