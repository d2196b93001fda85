//! One layer of compression around a payload, with all its members, and no more bytes than a limit allows.
//! Pure.

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};

use crate::failure::{Failure, Reason};
use crate::limits::{Limits, RATIO_FREE};

/// How payloads of a parser are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    /// What the first bytes say. Those of zlib count where no plain payload can begin so (`x^` is a text),
    /// and only with its usual window: `80` is a number.
    Auto {
        zlib: bool,
    },
    Gzip,
    Zstd,
    Zlib,
}

/// Bytes that a frame of zstd may look back: what RFC 8878 (3.1.1.1.2) asks of every decoder. A larger
/// window is memory that a stranger would choose.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that are asked for at a time.
const STEP: usize = 64 * 1024;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// A frame that says something of the others and holds none of the payload: its first byte is any of 0x50 to
/// 0x5f (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE: &[u8] = b"\x2a\x4d\x18";

/// What a payload holds: itself, where it is not compressed.
pub fn unpack<'a>(
    payload: &'a [u8],
    packing: Packing,
    limits: &Limits,
) -> Result<Cow<'a, [u8]>, Failure> {
    let packing = match packing {
        Packing::Auto { zlib } => found(payload, zlib),
        declared => declared,
    };
    let mut output = Output { bytes: Vec::new(), packed: payload.len(), limits };
    match packing {
        Packing::None | Packing::Auto { .. } => return Ok(Cow::Borrowed(payload)),
        Packing::Gzip => members(payload, "gzip", &mut output, gzip)?,
        Packing::Zstd => members(payload, "zstd", &mut output, zstd)?,
        Packing::Zlib => members(payload, "zlib", &mut output, zlib)?,
    }
    Ok(Cow::Owned(output.bytes))
}

/// Whether bytes are compressed, as far as their first ones tell.
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(GZIP) || is_zstd(bytes)
}

fn is_zstd(bytes: &[u8]) -> bool {
    let is_skippable = |bytes: &[u8]| {
        bytes.first().is_some_and(|first| first & 0xf0 == 0x50)
            && bytes[1..].starts_with(ZSTD_SKIPPABLE)
    };
    bytes.starts_with(ZSTD) || is_skippable(bytes)
}

fn found(payload: &[u8], zlib: bool) -> Packing {
    if payload.starts_with(GZIP) {
        Packing::Gzip
    } else if is_zstd(payload) {
        Packing::Zstd
    } else if zlib && payload.first() == Some(&0x78) && is_zlib(payload) {
        Packing::Zlib
    } else {
        Packing::None
    }
}

/// Deflate with a window of at most 32 KiB, and a check over both bytes (RFC 1950, 2.2).
fn is_zlib(payload: &[u8]) -> bool {
    let [method, flags, ..] = payload else { return false };
    method & 0x0f == 8
        && method >> 4 <= 7
        && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
}

struct Output<'l> {
    bytes: Vec<u8>,
    /// Bytes of the payload.
    packed: usize,
    limits: &'l Limits,
}

impl Output<'_> {
    /// Takes all that a decoder gives.
    fn take(&mut self, decoder: &mut impl Read) -> Result<(), Broken> {
        loop {
            let had = self.bytes.len();
            let taken = decoder.take(STEP as u64).read_to_end(&mut self.bytes)?;
            if taken == 0 {
                return Ok(());
            }
            let size = had + taken;
            if size > self.limits.decompressed {
                return Err(Broken::TooLarge(format!(
                    "it becomes larger than {} bytes",
                    self.limits.decompressed
                )));
            }
            let ratio = self.limits.ratio;
            if size > RATIO_FREE && size > self.packed.saturating_mul(ratio) {
                return Err(Broken::TooLarge(format!("it becomes more than {ratio} times larger")));
            }
        }
    }
}

enum Broken {
    TooLarge(String),
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

/// Reads one member, and says how much of the input is left.
type Member = fn(&[u8], &mut Output<'_>) -> Result<usize, Broken>;

/// Reads member after member. Zeros behind the last are nothing: a length that counts a text's end, or a
/// block's padding.
fn members(
    payload: &[u8],
    name: &str,
    output: &mut Output<'_>,
    member: Member,
) -> Result<(), Failure> {
    let mut left = payload.len();
    loop {
        let at = payload.len() - left;
        let failed = |detail: String| Failure::new(Reason::Decompress, detail).at(at);
        match member(&payload[at..], output) {
            Ok(rest) if rest < left => left = rest,
            Ok(_) => return Err(failed(format!("no {name}: a member without bytes"))),
            Err(Broken::TooLarge(detail)) => {
                return Err(Failure::new(Reason::TooLarge, detail).at(at));
            }
            Err(Broken::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(failed(format!("the {name} data ends early")).at(payload.len()));
            }
            Err(Broken::Io(error)) if at == 0 => {
                return Err(failed(format!("no {name}, or broken: {error}")));
            }
            Err(Broken::Io(error)) => {
                return Err(failed(format!("behind a whole member of {name} is none: {error}")));
            }
        }
        if payload[payload.len() - left..].iter().all(|byte| *byte == 0) {
            return Ok(());
        }
    }
}

/// What does not begin as a member is none, however short it is: it did not end early. As much is asked as
/// there is.
fn may_begin(input: &[u8], begins: &[u8]) -> bool {
    let most = input.len().min(begins.len());
    input[..most] == begins[..most]
}

fn foreign() -> Broken {
    io::Error::new(io::ErrorKind::InvalidData, "its first bytes are others").into()
}

fn gzip(input: &[u8], output: &mut Output<'_>) -> Result<usize, Broken> {
    if !may_begin(input, GZIP) {
        return Err(foreign());
    }
    let mut decoder = GzDecoder::new(input);
    output.take(&mut decoder)?;
    Ok(decoder.into_inner().len())
}

fn zlib(input: &[u8], output: &mut Output<'_>) -> Result<usize, Broken> {
    if !is_zlib(input) {
        return Err(foreign());
    }
    let mut decoder = ZlibDecoder::new(input);
    output.take(&mut decoder)?;
    Ok(decoder.into_inner().len())
}

fn zstd(input: &[u8], output: &mut Output<'_>) -> Result<usize, Broken> {
    if !is_zstd(input) && !may_begin(input, ZSTD) {
        return Err(foreign());
    }
    let mut decoder = ::zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    output.take(&mut decoder)?;
    Ok(decoder.finish().len())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zl(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zs(text: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(text, 3).expect("memory")
    }

    fn whole(payload: &[u8], packing: Packing) -> Result<Vec<u8>, (Reason, usize)> {
        let unpacked = unpack(payload, packing, &Limits::default());
        unpacked.map(Cow::into_owned).map_err(|failure| {
            (failure.reason, failure.at.expect("a fault of compression has a place"))
        })
    }

    const AUTO: Packing = Packing::Auto { zlib: true };

    #[test]
    fn each_is_found_or_declared() {
        let text = b"{\"a\":1}\n".repeat(100);
        for (packed, packing) in
            [(gz(&text), Packing::Gzip), (zs(&text), Packing::Zstd), (zl(&text), Packing::Zlib)]
        {
            assert_eq!(whole(&packed, packing).as_ref(), Ok(&text), "{packing:?}");
            assert_eq!(whole(&packed, AUTO).as_ref(), Ok(&text), "{packing:?}");
            assert_eq!(whole(&packed, Packing::None).as_ref(), Ok(&packed));
            assert_eq!(whole(&text, packing), Err((Reason::Decompress, 0)), "{packing:?}");
            let padded = [&packed[..], b"\0\0"].concat();
            assert_eq!(whole(&padded, packing).as_ref(), Ok(&text), "{packing:?}");
            for end in 1..packed.len() {
                let (reason, _) = whole(&packed[..end], packing).expect_err("it is cut");
                assert_eq!(reason, Reason::Decompress, "{packing:?} {end}");
            }
        }
        assert_eq!(whole(&text, AUTO).as_ref(), Ok(&text));
        assert_eq!(whole(b"", AUTO), Ok(Vec::new()));
        assert_eq!(whole(b"", Packing::Gzip), Err((Reason::Decompress, 0)));
        // A text that begins as zlib would.
        assert_eq!(whole(b"x^2", Packing::Auto { zlib: false }), Ok(b"x^2".to_vec()));
    }

    #[test]
    fn all_members_count() {
        for (one, packing) in [
            (gz as fn(&[u8]) -> Vec<u8>, Packing::Gzip),
            (zs as fn(&[u8]) -> Vec<u8>, Packing::Zstd),
        ] {
            let both = [one(b"a\n"), one(b""), one(b"b\n")].concat();
            assert_eq!(whole(&both, packing), Ok(b"a\nb\n".to_vec()));
            let dirty = [&one(b"a\n")[..], b"xx"].concat();
            let behind = Err((Reason::Decompress, dirty.len() - 2));
            assert_eq!(whole(&dirty, packing), behind, "{packing:?}");
        }
        let skippable = [b"\x50\x2a\x4d\x18\x04\0\0\0four", &zs(b"a\n")[..]].concat();
        assert_eq!(whole(&skippable, AUTO), Ok(b"a\n".to_vec()));
        let behind = [zl(b"a"), zl(b"b")].concat();
        assert_eq!(whole(&behind, Packing::Zlib), Ok(b"ab".to_vec()));
    }

    #[test]
    fn a_bomb_stays_small() {
        let zeros = vec![0; 4 * RATIO_FREE];
        for (packed, packing) in
            [(gz(&zeros), Packing::Gzip), (zs(&zeros), Packing::Zstd), (zl(&zeros), Packing::Zlib)]
        {
            let failure = unpack(&packed, packing, &Limits::default()).expect_err("a bomb");
            assert_eq!(failure.reason, Reason::TooLarge, "{packing:?}");
            let limits = Limits { ratio: usize::MAX, decompressed: 1000, ..Limits::default() };
            let failure = unpack(&packed, packing, &limits).expect_err("too large");
            assert_eq!(failure.reason, Reason::TooLarge, "{packing:?}");
            let limits = Limits { ratio: usize::MAX, ..Limits::default() };
            assert_eq!(unpack(&packed, packing, &limits).map(|all| all.len()), Ok(zeros.len()));
        }
    }
}
