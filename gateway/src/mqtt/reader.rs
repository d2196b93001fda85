//! A cursor over a packet's body: the data types of the standard (v5 1.5), borrowed, each read
//! checked against the end. Every read names its field, so that a fault can say where it is.

use super::Malformed;

#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(Malformed::MissingBytes(field))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (bytes, rest) =
            self.rest.split_first_chunk::<N>().ok_or(Malformed::MissingBytes(field))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn take(&mut self, size: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) =
            self.rest.split_at_checked(size).ok_or(Malformed::MissingBytes(field))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Binary data: a two-byte length and that many bytes (v5 1.5.6).
    pub(super) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let size = self.u16(field)?;
        self.take(usize::from(size), field)
    }

    /// A UTF-8 string: as binary data, well-formed and without U+0000 (v5 1.5.4). Control
    /// characters are allowed: the standard only advises against them.
    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, Malformed> {
        let text = utf8(self.binary(field)?, field)?;
        if text.as_bytes().contains(&0) {
            return Err(Malformed::Nul(field));
        }
        Ok(text)
    }

    /// A packet identifier, which is never 0 (v5 2.2.1).
    pub(super) fn packet_id(&mut self) -> Result<u16, Malformed> {
        match self.u16("packet identifier")? {
            0 => Err(Malformed::PacketIdentifier),
            id => Ok(id),
        }
    }

    /// A variable byte integer of v5, which must have its shortest form (v5 1.5.5).
    pub(super) fn variable(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let (value, size) =
            variable_int(self.rest, field)?.ok_or(Malformed::MissingBytes(field))?;
        if size != variable_int_size(value) {
            return Err(Malformed::LengthNotMinimal(field));
        }
        self.rest = &self.rest[usize::from(size)..];
        Ok(value)
    }

    /// The end of the packet, after its last field.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match u32::try_from(self.rest.len()) {
            Ok(0) => Ok(()),
            size => Err(Malformed::ExcessBytes(size.unwrap_or(u32::MAX))),
        }
    }
}

pub(super) fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8(field))
}

/// Reads a variable byte integer at the start of `bytes`: its value and its size in bytes, `None`
/// when it is not whole yet. Its shortest form is for the caller to ask for, because v3 does not.
#[inline]
pub(super) fn variable_int(
    bytes: &[u8],
    field: &'static str,
) -> Result<Option<(u32, u8)>, Malformed> {
    let mut value = 0;
    for (size, &byte) in (1u8..=4).zip(bytes) {
        value |= u32::from(byte & 0x7f) << (7 * (size - 1));
        if byte < 0x80 {
            return Ok(Some((value, size)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::LengthTooLong(field)) }
}

/// How many bytes the shortest form of a variable byte integer has.
#[inline]
pub(super) const fn variable_int_size(value: u32) -> u8 {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}
