//! Compressed payloads, whatever stands in them: what comes out is within its limits or has a reason, and what
//! was compressed whole comes out as it was.

use std::borrow::Cow;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use parse::failure::Reason;
use parse::limits::{Limits, RATIO_FREE};
use parse::unpack::{Packing, unpack};

const PACKINGS: [Packing; 6] = [
    Packing::None,
    Packing::Auto { zlib: false },
    Packing::Auto { zlib: true },
    Packing::Gzip,
    Packing::Zstd,
    Packing::Zlib,
];
const DECOMPRESSED: [usize; 2] = [8 * 1024, 4 * 1024 * 1024];
const RATIO: usize = 20;

/// Writes one member.
type Pack = fn(&[u8]) -> Vec<u8>;

const PACKS: [(Packing, Pack); 3] =
    [(Packing::Gzip, gzip), (Packing::Zstd, zstd), (Packing::Zlib, zlib)];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).expect("memory takes everything")
}

/// The first byte says what is declared and allowed; the rest is a payload. Returns whether it could be
/// unpacked.
pub fn take_off(data: &[u8]) -> bool {
    let Some((&how, payload)) = data.split_first() else { return false };
    let packing = PACKINGS[usize::from(how & 0x0f) % PACKINGS.len()];
    let decompressed = DECOMPRESSED[usize::from(how >> 7)];
    let limits = Limits { decompressed, ratio: RATIO, ..Limits::default() };
    comes_back(how, payload);
    match unpack(payload, packing, &limits) {
        Ok(Cow::Borrowed(bytes)) => {
            assert_eq!(bytes, payload, "it is not compressed");
            let is_declared = matches!(packing, Packing::Gzip | Packing::Zstd | Packing::Zlib);
            assert!(!is_declared, "what is declared is taken off");
            true
        }
        Ok(Cow::Owned(bytes)) => {
            assert!(packing != Packing::None && bytes.len() <= decompressed);
            let is_free = bytes.len() <= RATIO_FREE;
            assert!(is_free || bytes.len() <= RATIO * payload.len(), "{}", bytes.len());
            true
        }
        Err(failure) => {
            assert!([Reason::Decompress, Reason::TooLarge].contains(&failure.reason), "{failure}");
            assert!(failure.at.is_some_and(|at| at <= payload.len()), "{failure}");
            false
        }
    }
}

/// What is packed comes out as it was, member by member, and nothing of a part of it.
fn comes_back(how: u8, bytes: &[u8]) {
    let limits = Limits { ratio: usize::MAX, ..Limits::default() };
    for (packing, pack) in PACKS {
        let packed = pack(bytes);
        for declared in [packing, Packing::Auto { zlib: true }] {
            let unpacked = unpack(&packed, declared, &limits);
            assert_eq!(unpacked.as_deref(), Ok(bytes), "{packing:?}");
        }
        let cut = usize::from(how) * packed.len() / 256;
        let failure = unpack(&packed[..cut], packing, &limits).expect_err("it is cut");
        assert_eq!(failure.reason, Reason::Decompress, "{packing:?}: {failure}");
        if packing != Packing::Zlib {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let both = [pack(first), pack(second)].concat();
            assert_eq!(unpack(&both, packing, &limits).as_deref(), Ok(bytes), "{packing:?}");
        }
    }
}

/// Good inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"{\"ts\":1770149645123,\"v\":21.5}\n".repeat(8);
    let mut seeds = Vec::new();
    for (number, (packing, pack)) in PACKS.into_iter().enumerate() {
        let declared = PACKINGS.iter().position(|one| *one == packing).expect("all are there");
        let (one, packed) = (pack(&text[..30]), pack(&text));
        seeds.push([&[declared as u8], &packed[..]].concat());
        seeds.push([&[2 | 0x80], &packed[..], &b"\0\0"[..2 * (number % 2)]].concat());
        if packing != Packing::Zlib {
            seeds.push([&[declared as u8], &one[..], &one[..]].concat());
        }
        // What may become of anything, and too much where less is allowed.
        let zeros = pack(&vec![0; RATIO_FREE]);
        seeds.push([&[declared as u8 | 0x80], &zeros[..]].concat());
        seeds.push([&[declared as u8], &zeros[..]].concat());
    }
    seeds.push(b"\x01{\"plain\":true}".to_vec());
    seeds.push(b"\x01x^2 is a text".to_vec());
    seeds
}
