//! An object of JSON, written member by member.

use jiff::Timestamp;

use super::scalar::{write_int, write_text, write_time};

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

    /// Members of an object whose first one is somewhere else.
    pub fn within(out: &'o mut Vec<u8>) -> Object<'o> {
        Object { out, is_first: false }
    }

    pub fn end(&mut self) {
        self.out.push(b'}');
    }

    /// A key that may be any text.
    pub fn key(&mut self, key: &str) {
        self.comma();
        write_text(key, self.out);
        self.out.push(b':');
    }

    /// A key of the format's own, of which nothing has to be escaped.
    pub fn known(&mut self, key: &'static str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b',');
        }
    }

    pub fn text(&mut self, key: &'static str, text: &str) {
        self.known(key);
        write_text(text, self.out);
    }

    pub fn int(&mut self, key: &'static str, value: impl itoa::Integer) {
        self.known(key);
        write_int(value, self.out);
    }

    pub fn bool(&mut self, key: &'static str, value: bool) {
        self.known(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub fn time(&mut self, key: &'static str, time: Timestamp) {
        self.known(key);
        write_time(time, self.out);
    }

    pub fn id(&mut self, key: &'static str, id: &[u8; 16]) {
        self.known(key);
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
