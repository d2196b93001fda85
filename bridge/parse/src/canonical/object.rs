//! An object of JSON, written member by member.

use std::io::Write as _;

use jiff::Timestamp;

/// An object that is being written.
pub struct Object<'o> {
    pub out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Object<'o> {
    pub fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, is_first: true }
    }

    pub fn end(&mut self) {
        self.out.push(b'}');
    }

    pub fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b',');
        }
        write_text(key, self.out);
        self.out.push(b':');
    }

    pub fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        write_text(text, self.out);
    }

    pub fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        write!(self.out, "{value}").expect("memory takes everything");
    }

    pub fn time(&mut self, key: &str, time: Timestamp) {
        self.key(key);
        write_time(time, self.out);
    }

    pub fn id(&mut self, key: &str, id: &[u8; 16]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(&id_text(id));
        self.out.push(b'"');
    }
}

/// Bytes of an id as text.
pub const ID_TEXT_LEN: usize = 36;

/// An id as UUIDs are written.
pub fn id_text(id: &[u8; 16]) -> [u8; ID_TEXT_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; ID_TEXT_LEN];
    let mut place = 0;
    for (at, byte) in id.iter().enumerate() {
        // The dash is there.
        place += usize::from(matches!(at, 4 | 6 | 8 | 10));
        text[place] = DIGITS[usize::from(byte >> 4)];
        text[place + 1] = DIGITS[usize::from(byte & 15)];
        place += 2;
    }
    text
}

/// With milliseconds, and with more digits where there are more.
pub fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    let is_whole = time.subsec_nanosecond() % 1_000_000 == 0;
    let written =
        if is_whole { write!(out, "\"{time:.3}\"") } else { write!(out, "\"{time:.9}\"") };
    written.expect("memory takes everything");
}

pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        match escape {
            b"" => write!(out, "\\u{byte:04x}").expect("memory takes everything"),
            escape => out.extend_from_slice(escape),
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
