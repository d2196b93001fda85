//! The characters of a payload: UTF-8, or the charset that its parser declares. Nothing is repaired with
//! replacement characters. Pure.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_16BE, UTF_16LE};

use crate::failure::{Dirt, Failure, Reason};

/// How a payload's characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    /// ISO 8859-1: each byte is the character of its number.
    Latin1,
    /// Another one of the WHATWG's.
    Other(&'static Encoding),
}

/// A payload's text as UTF-8, not looked at yet, and how places in it are those of the payload.
pub struct Characters<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// What it was made of, behind the mark.
    payload: &'a [u8],
    charset: Charset,
    /// Bytes of the mark in front.
    skipped: usize,
    pub dirt: Dirt,
}

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

impl Charset {
    pub fn parse(name: &str) -> Result<Charset, String> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "utf-8" | "utf8" => Ok(Charset::Utf8),
            "latin1" | "iso-8859-1" => Ok(Charset::Latin1),
            _ => match Encoding::for_label_no_replacement(lower.as_bytes()) {
                Some(encoding) => Ok(Charset::Other(encoding)),
                None => Err(format!(
                    "{name:?} is no charset: write utf-8, latin1, windows-1252, utf-16le, shift_jis or \
                     another of the WHATWG's names"
                )),
            },
        }
    }

    /// A mark of the byte order in front, and zeros behind (C's end of a text, counted too), are nothing.
    pub fn read(self, payload: &[u8]) -> Result<Characters<'_>, Failure> {
        match self {
            Charset::Utf8 => {
                let bytes = payload.strip_prefix(UTF8_MARK).unwrap_or(payload);
                let skipped = payload.len() - bytes.len();
                let text = without_zeros(bytes);
                let dirt = Dirt { mark: skipped > 0, zeros: text.len() < bytes.len() };
                Ok(Characters {
                    bytes: Cow::Borrowed(text),
                    payload: bytes,
                    charset: self,
                    skipped,
                    dirt,
                })
            }
            Charset::Latin1 => {
                let bytes = without_zeros(payload);
                let dirt = Dirt { mark: false, zeros: bytes.len() < payload.len() };
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                let bytes = text.into_bytes().into();
                Ok(Characters { bytes, payload, charset: self, skipped: 0, dirt })
            }
            Charset::Other(encoding) => {
                let (encoding, skipped) = marked(payload, encoding);
                let payload = &payload[skipped..];
                let decoded = encoding.decode_without_bom_handling_and_without_replacement(payload);
                let Some(text) = decoded else {
                    let detail = format!("it is not {}, which is declared", encoding.name());
                    let at = skipped + decoded_until(encoding, payload, usize::MAX);
                    return Err(Failure::new(Reason::NotUtf8, detail).at(at));
                };
                let mut bytes = text.into_owned().into_bytes();
                let length = without_zeros(&bytes).len();
                let dirt = Dirt { mark: skipped > 0, zeros: length < bytes.len() };
                bytes.truncate(length);
                let charset = Charset::Other(encoding);
                Ok(Characters { bytes: bytes.into(), payload, charset, skipped, dirt })
            }
        }
    }
}

impl<'a> Characters<'a> {
    /// Bytes that are no text.
    pub fn plain(bytes: &'a [u8]) -> Characters<'a> {
        let dirt = Dirt::default();
        let charset = Charset::Utf8;
        Characters { bytes: Cow::Borrowed(bytes), payload: bytes, charset, skipped: 0, dirt }
    }

    /// The place in the payload of a place in the text.
    pub fn place(&self, at: usize) -> usize {
        match self.charset {
            Charset::Utf8 => at + self.skipped,
            // Two bytes for each character beyond ASCII.
            Charset::Latin1 => {
                let until = &self.bytes[..at.min(self.bytes.len())];
                until.iter().filter(|byte| (**byte as i8) >= -0x40).count()
            }
            Charset::Other(encoding) => self.skipped + decoded_until(encoding, self.payload, at),
        }
    }
}

/// The encoding, and the length of the mark in front. A mark of UTF-16 says which of both it is, whichever is
/// declared.
fn marked(payload: &[u8], declared: &'static Encoding) -> (&'static Encoding, usize) {
    let is_utf16 = |encoding| encoding == UTF_16LE || encoding == UTF_16BE;
    match Encoding::for_bom(payload) {
        Some((found, length)) if found == declared || is_utf16(found) && is_utf16(declared) => {
            (found, length)
        }
        _ => (declared, 0),
    }
}

/// How much of a payload is right and becomes at most so many bytes of UTF-8.
fn decoded_until(encoding: &'static Encoding, payload: &[u8], bytes: usize) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    // More than one step puts out: a character, and what was kept back in front of it.
    let mut output = [0; 16];
    let (mut whole, mut written) = (0, 0);
    for (at, byte) in payload.iter().enumerate() {
        let (result, _, put_out) = decoder.decode_to_utf8_without_replacement(
            std::slice::from_ref(byte),
            &mut output,
            false,
        );
        if written >= bytes || matches!(result, DecoderResult::Malformed(..)) {
            break;
        }
        if put_out > 0 {
            (whole, written) = (at + 1, written + put_out);
        }
    }
    whole
}

/// Bytes without zeros behind them, and without line ends between those.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    let end = bytes.iter().rposition(|byte| !is_end(byte)).map_or(0, |last| last + 1);
    if bytes[end..].contains(&0) { &bytes[..end] } else { bytes }
}

/// A part of the text that has to be UTF-8; a character that is cut at its end is a part that ends early.
pub fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        match error.error_len() {
            Some(_) => {
                let byte = bytes[at];
                let detail = format!(
                    "the byte 0x{byte:02x} is not UTF-8; another charset has to be declared"
                );
                Failure::new(Reason::NotUtf8, detail).at(at)
            }
            None => {
                let detail = "it ends within a character";
                Failure::new(Reason::Truncated, detail).at(bytes.len())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, payload: &[u8]) -> Result<String, Reason> {
        let charset = Charset::parse(name).expect("a charset");
        let read = charset.read(payload).map_err(|failure| failure.reason)?;
        Ok(utf8(&read.bytes).map_err(|failure| failure.reason)?.to_owned())
    }

    #[test]
    fn charsets_are_declared() {
        for (name, payload, result) in [
            ("utf-8", &b"K\xc3\xbchl"[..], Ok("Kühl")),
            ("utf-8", b"\xef\xbb\xbfa", Ok("a")),
            ("utf-8", b"a\0", Ok("a")),
            ("utf-8", b"a\r\n\0\0", Ok("a")),
            ("utf-8", b"a\r\n", Ok("a\r\n")),
            ("utf-8", b"\0", Ok("")),
            ("utf-8", b"a\0b", Ok("a\0b")),
            ("utf-8", b"K\xfchl", Err(Reason::NotUtf8)),
            ("utf-8", b"K\xc3", Err(Reason::Truncated)),
            ("latin1", b"K\xfchl \xb0C\0", Ok("Kühl °C")),
            ("ISO-8859-1", b"\x80", Ok("\u{80}")),
            ("windows-1252", b"\x80", Ok("€")),
            ("utf-16le", b"\xff\xfea\0\xfc\0", Ok("aü")),
            ("utf-16be", b"\0a\0\xfc", Ok("aü")),
            ("utf-16le", b"\xfe\xff\0a\0\xfc", Ok("aü")),
            ("utf-16", b"\xff\xfea\0\0\0", Ok("a")),
            ("utf-16le", b"a\0\xfc", Err(Reason::NotUtf8)),
            ("shift_jis", b"\x93\xfa\x96\x7b", Ok("日本")),
            ("shift_jis", b"\x93", Err(Reason::NotUtf8)),
        ] {
            assert_eq!(text(name, payload), result.map(str::to_owned), "{name} {payload:?}");
        }
        assert!(Charset::parse("klingon").is_err());
    }

    #[test]
    fn places_are_those_of_the_payload() {
        let marked = Charset::Utf8.read(b"\xef\xbb\xbf{").expect("UTF-8");
        assert_eq!(marked.place(1), 4);
        assert_eq!(marked.dirt, Dirt { mark: true, zeros: false });
        let ended = Charset::Latin1.read(b"x\0").expect("Latin 1");
        assert_eq!(ended.dirt, Dirt { mark: false, zeros: true });
        for (name, payload, places) in [
            ("utf-16le", &b"\xff\xfea\0\xfc\0x\0"[..], [2, 4, 6, 8]),
            ("utf-16be", b"\0a\0\xfc\0x", [0, 2, 4, 6]),
            ("windows-1252", b"a\xfcx", [0, 1, 2, 3]),
            ("shift_jis", b"a\x83\xc4x", [0, 1, 3, 4]),
        ] {
            let read = Charset::parse(name).expect(name).read(payload).expect(name);
            assert_eq!([0, 1, 3, 4].map(|at| read.place(at)), places, "{name}");
        }
        for (name, payload, at) in
            [("shift_jis", &b"ab\x93"[..], 2), ("utf-16le", b"\xff\xfea\0\xfc", 4)]
        {
            let failure = Charset::parse(name).expect(name).read(payload).err().expect(name);
            assert_eq!(failure.at, Some(at), "{name}");
        }
        let latin = Charset::Latin1.read(b"\xfc\xfcx").expect("Latin 1");
        let at: Vec<usize> = [0, 2, 4, 5].map(|at| latin.place(at)).to_vec();
        assert_eq!(at, [0, 1, 2, 3]);
    }
}
