//! One line of the books: what happened, as fields with one space between them. Times are milliseconds since
//! 1970.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use sha2::Digest as _;

/// The hash of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `r RUN SEED DEVICES PID T`: a process of the fleet began; the first has the number 1.
    Run { run: u32, seed: u64, devices: usize, pid: u32, at: u64 },
    /// `c DEVICE T WAIT_MS`: a CONNACK said yes, so long after the device began to connect.
    Connected { device: &'a str, at: u64, wait_ms: u64 },
    /// `d DEVICE T WHY`: a connection is gone, or an attempt that a CONNACK refused or left unanswered.
    Disconnected { device: &'a str, at: u64, why: &'a str },
    /// `i DEVICE SEQ QOS SIZE SHA256 TOPIC T`: sent for the first time.
    Invoked {
        device: &'a str,
        seq: u64,
        qos: u8,
        size: usize,
        sha256: Sha256,
        topic: &'a str,
        at: u64,
    },
    /// `s DEVICE SEQ T`: sent again, on the same connection or another.
    SentAgain { device: &'a str, seq: u64, at: u64 },
    /// `o DEVICE SEQ T CODE`: a PUBACK, or a PUBREC, with success.
    Acknowledged { device: &'a str, seq: u64, at: u64, code: u8 },
    /// `n DEVICE SEQ T CODE`: a PUBACK, or a PUBREC, with a code of 0x80 or more.
    Negative { device: &'a str, seq: u64, at: u64, code: u8 },
    /// `u DEVICE SEQ T WHY`: the device does not send it again, and nobody knows whether it landed.
    GivenUp { device: &'a str, seq: u64, at: u64, why: &'a str },
    /// `x DEVICE T WHAT`: the gateway sent what it must not; the only field with spaces in it.
    Fault { device: &'a str, at: u64, what: &'a str },
    /// `e T OPEN`: a process of the fleet ended by itself, with so many messages never answered.
    Ended { at: u64, open: u64 },
}

impl<'a> Line<'a> {
    /// Reads a line without its end.
    pub fn parse(line: &'a str) -> Result<Line<'a>, String> {
        let mut fields = Fields { line, rest: Some(line) };
        let parsed = match fields.word()? {
            "r" => Line::Run {
                run: fields.number()?,
                seed: fields.number()?,
                devices: fields.number()?,
                pid: fields.number()?,
                at: fields.number()?,
            },
            "c" => Line::Connected {
                device: fields.word()?,
                at: fields.number()?,
                wait_ms: fields.number()?,
            },
            "d" => Line::Disconnected {
                device: fields.word()?,
                at: fields.number()?,
                why: fields.word()?,
            },
            "i" => Line::Invoked {
                device: fields.word()?,
                seq: fields.number()?,
                qos: fields.number()?,
                size: fields.number()?,
                sha256: fields.number()?,
                topic: fields.word()?,
                at: fields.number()?,
            },
            "s" => Line::SentAgain {
                device: fields.word()?,
                seq: fields.number()?,
                at: fields.number()?,
            },
            "o" => Line::Acknowledged {
                device: fields.word()?,
                seq: fields.number()?,
                at: fields.number()?,
                code: fields.code()?,
            },
            "n" => Line::Negative {
                device: fields.word()?,
                seq: fields.number()?,
                at: fields.number()?,
                code: fields.code()?,
            },
            "u" => Line::GivenUp {
                device: fields.word()?,
                seq: fields.number()?,
                at: fields.number()?,
                why: fields.word()?,
            },
            "x" => Line::Fault {
                device: fields.word()?,
                at: fields.number()?,
                what: fields.rest.take().unwrap_or_default(),
            },
            "e" => Line::Ended { at: fields.number()?, open: fields.number()? },
            _ => return Err(format!("no line begins so: {line:?}")),
        };
        match fields.rest {
            None => Ok(parsed),
            Some(rest) => Err(format!("{rest:?} is too much: {line:?}")),
        }
    }
}

impl Display for Line<'_> {
    /// Without the end of the line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Line::Run { run, seed, devices, pid, at } => {
                write!(f, "r {run} {seed} {devices} {pid} {at}")
            }
            Line::Connected { device, at, wait_ms } => write!(f, "c {device} {at} {wait_ms}"),
            Line::Disconnected { device, at, why } => write!(f, "d {device} {at} {why}"),
            Line::Invoked { device, seq, qos, size, sha256, topic, at } => {
                write!(f, "i {device} {seq} {qos} {size} {sha256} {topic} {at}")
            }
            Line::SentAgain { device, seq, at } => write!(f, "s {device} {seq} {at}"),
            Line::Acknowledged { device, seq, at, code } => {
                write!(f, "o {device} {seq} {at} {code:02x}")
            }
            Line::Negative { device, seq, at, code } => {
                write!(f, "n {device} {seq} {at} {code:02x}")
            }
            Line::GivenUp { device, seq, at, why } => write!(f, "u {device} {seq} {at} {why}"),
            Line::Fault { device, at, what } => write!(f, "x {device} {at} {what}"),
            Line::Ended { at, open } => write!(f, "e {at} {open}"),
        }
    }
}

/// What is left of a line.
struct Fields<'a> {
    line: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn word(&mut self) -> Result<&'a str, String> {
        let rest = self.rest.ok_or_else(|| format!("it has too few fields: {:?}", self.line))?;
        let (word, rest) = match rest.split_once(' ') {
            Some((word, rest)) => (word, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        if word.is_empty() { Err(format!("a field is empty: {:?}", self.line)) } else { Ok(word) }
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("{word:?} cannot stand there: {:?}", self.line))
    }

    /// A reason code, as two hexadecimal digits.
    fn code(&mut self) -> Result<u8, String> {
        let word = self.word()?;
        u8::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no code: {:?}", self.line))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl Sha256 {
    pub fn of(payload: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(payload).into())
    }
}

impl Display for Sha256 {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Sha256, String> {
        let wrong = || format!("{text:?} is no SHA-256");
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(wrong()) };
        let mut hash = [0; 32];
        if pairs.len() != hash.len() {
            return Err(wrong());
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let digit = |one: u8| char::from(one).to_digit(16).map(|digit| digit as u8);
            *byte =
                digit(pair[0]).zip(digit(pair[1])).map(|(a, b)| a << 4 | b).ok_or_else(wrong)?;
        }
        Ok(Sha256(hash))
    }
}
