//! What a client offers in its ClientHello, as far as somebody has to know it beside rustls: whether all
//! of it is here, which protocols it speaks above TLS, and what to write into the log when nothing fits.

use std::fmt;

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

/// The longest ClientHello that is taken, in bytes. With keys for every group it has about 3 KiB.
pub const HELLO_MAX_BYTES: usize = 16 * 1024;
/// Of each list of an offer, so many are told.
const TOLD_MAX: usize = 24;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SUPPORTED_GROUPS: u16 = 10;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Beginning {
    /// More have to come.
    Part,
    /// No record of a handshake.
    Foreign,
    /// A ClientHello, or at least a whole first message; what is wrong with it, rustls says.
    Hello(Offer),
}

/// See the module. Empty where there is nothing to read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    versions: Vec<u16>,
    suites: Vec<u16>,
    groups: Vec<u16>,
    protocols: Vec<Vec<u8>>,
}

impl Beginning {
    /// Looks at everything that was received.
    pub fn of(bytes: &[u8]) -> Beginning {
        match bytes {
            [HANDSHAKE_RECORD, 3, ..] | [HANDSHAKE_RECORD] | [] => {}
            _ => return Beginning::Foreign,
        }
        let message = match first_message(bytes) {
            First::Part => return Beginning::Part,
            // rustls refuses it.
            First::Broken => return Beginning::Hello(Offer::default()),
            First::Whole(message) => message,
        };
        let offer = match message.split_first() {
            Some((&CLIENT_HELLO, body)) => Offer::read(body.get(3..).unwrap_or_default()),
            _ => None,
        };
        Beginning::Hello(offer.unwrap_or_default())
    }
}

impl Offer {
    /// Of the ClientHello's body (RFC 8446, 4.1.2).
    fn read(body: &[u8]) -> Option<Offer> {
        let mut body = Bytes(body);
        let legacy_version = body.number(2)?;
        body.take(32)?;
        body.list(1)?;
        let suites = numbers(body.list(2)?);
        body.list(1)?;
        let mut offer = Offer { suites, ..Offer::default() };
        if let Some(extensions) = body.list(2) {
            let mut extensions = Bytes(extensions);
            while let (Some(kind), Some(content)) = (extensions.number(2), extensions.list(2)) {
                offer.read_extension(kind as u16, content);
            }
        }
        if offer.versions.is_empty() {
            offer.versions.push(legacy_version as u16);
        }
        Some(offer)
    }

    fn read_extension(&mut self, kind: u16, content: &[u8]) {
        let mut content = Bytes(content);
        match kind {
            SUPPORTED_VERSIONS => self.versions = numbers(content.list(1).unwrap_or_default()),
            SUPPORTED_GROUPS => self.groups = numbers(content.list(2).unwrap_or_default()),
            ALPN => {
                let mut names = Bytes(content.list(2).unwrap_or_default());
                while let Some(name) = names.list(1) {
                    self.protocols.push(name.to_vec());
                }
            }
            _ => {}
        }
    }

    /// The client offers one of these protocols to be spoken above TLS.
    pub fn has_protocol(&self, known: &[&[u8]]) -> bool {
        self.protocols.iter().any(|offered| known.contains(&offered.as_slice()))
    }

    pub fn versions(&self) -> impl fmt::Display {
        Told(self.versions.iter().map(|&version| ProtocolVersion::from(version)).collect())
    }

    pub fn suites(&self) -> impl fmt::Display {
        Told(self.suites.iter().map(|&suite| CipherSuite::from(suite)).collect())
    }

    pub fn groups(&self) -> impl fmt::Display {
        Told(self.groups.iter().map(|&group| NamedGroup::from(group)).collect())
    }
}

/// A list for the log, by names where there are names.
struct Told<T>(Vec<T>);

impl<T: fmt::Debug> fmt::Display for Told<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().take(TOLD_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{item:?}")?;
        }
        match self.0.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => write!(formatter, ",… {more} more"),
        }
    }
}

enum First {
    Part,
    Broken,
    Whole(Vec<u8>),
}

/// The first handshake message with its header, which may come in many records.
fn first_message(bytes: &[u8]) -> First {
    let mut message = Vec::new();
    let mut records = Bytes(bytes);
    loop {
        if let [_, a, b, c, body @ ..] = &message[..] {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > HELLO_MAX_BYTES {
                return First::Broken;
            }
            if body.len() >= length {
                message.truncate(4 + length);
                return First::Whole(message);
            }
        }
        match (records.number(1), records.number(2), records.list(2)) {
            (Some(kind), _, _) if kind != u32::from(HANDSHAKE_RECORD) => return First::Broken,
            (Some(_), Some(_), Some(fragment)) => message.extend_from_slice(fragment),
            _ => return First::Part,
        }
    }
}

/// Two bytes each; a byte left over is none.
fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, at most four.
    fn number(&mut self, width: usize) -> Option<u32> {
        Some(self.take(width)?.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// What stands behind its length, which has so many bytes.
    fn list(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As OpenSSL 3.0 sends it, shortened: two suites, two groups, two versions, one protocol.
    fn hello() -> Vec<u8> {
        let extensions = [
            &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
            &[0, 16, 0, 7, 0, 5, 4, b'm', b'q', b't', b't'],
            &[0, 43, 0, 5, 4, 3, 4, 3, 3],
        ]
        .concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &[0, 4, 0x13, 1, 0xc0, 0x2b],
            &[1, 0],
            &(extensions.len() as u16).to_be_bytes(),
            &extensions,
        ]
        .concat();
        let length = (body.len() as u32).to_be_bytes();
        [&[CLIENT_HELLO], &length[1..], &body].concat()
    }

    fn in_records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |fragment: &[u8]| {
            let length = (fragment.len() as u16).to_be_bytes();
            [&[HANDSHAKE_RECORD, 3, 1][..], &length, fragment].concat()
        };
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn what_is_offered_is_read_however_it_is_cut() {
        let message = hello();
        for size in [1, 5, 60, 1000] {
            let bytes = in_records(&message, size);
            for end in 0..bytes.len() {
                assert_eq!(Beginning::of(&bytes[..end]), Beginning::Part, "{end} of {size}");
            }
            let Beginning::Hello(offer) = Beginning::of(&bytes) else { panic!("it is whole") };
            assert_eq!(offer.versions().to_string(), "TLSv1_3,TLSv1_2");
            let suites = "TLS13_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
            assert_eq!(offer.suites().to_string(), suites);
            assert_eq!(offer.groups().to_string(), "X25519,secp256r1");
            assert!(offer.has_protocol(&[b"x", b"mqtt"]) && !offer.has_protocol(&[b"http/1.1"]));
        }
    }

    #[test]
    fn what_is_no_handshake_is_foreign_at_its_first_bytes() {
        for bytes in [&[0x10, 0x13][..], b"GET / HTTP/1.1", &[22, 9], &[0x80, 0x2e, 1]] {
            assert_eq!(Beginning::of(bytes), Beginning::Foreign, "{bytes:02x?}");
        }
        // Longer than any ClientHello: rustls is to refuse it, and nobody waits for the rest.
        let long = in_records(&[CLIENT_HELLO, 1, 0, 0], 4);
        assert_eq!(Beginning::of(&long), Beginning::Hello(Offer::default()));
        // A list that is longer than what is there.
        let mut lying = hello();
        lying[39] = 0xff;
        let read = Beginning::of(&in_records(&lying, 1000));
        assert_eq!(read, Beginning::Hello(Offer::default()));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(noise in prop::collection::vec(any::<u8>(), 0..300), at in 0..150usize) {
            let mut bytes = in_records(&hello(), 1000);
            let end = bytes.len().min(at + noise.len());
            bytes[at.min(end)..end].copy_from_slice(&noise[..end - at.min(end)]);
            let _ = Beginning::of(&bytes);
            let _ = Beginning::of(&noise);
        }
    }
}
