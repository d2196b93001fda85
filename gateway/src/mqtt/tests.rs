//! Tests of the codec: hand-written bytes, a table of malformed ones, a foreign codec's packets,
//! and bytes that nobody meant.

mod encoded;
mod foreign;
mod malformed;
mod robust;
mod valid;

use super::{
    Connect, ConnectFault, FixedHeader, Malformed, Packet, PacketType, PublishHead, Version,
    connect, fixed_header, packet, publish_head,
};

pub(crate) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// One decoded packet of any type.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Connect(Connect<'a>),
    Publish(PublishHead<'a>, &'a [u8]),
    Packet(Packet<'a>),
}

/// Decodes the packet at the start of `bytes` as a connection does; `None`: more bytes needed.
pub(crate) fn decode(
    version: Version,
    bytes: &[u8],
) -> Result<Option<Decoded<'_>>, (Malformed, Option<ConnectFault>)> {
    let plain = |cause| (cause, None);
    let Some(header) = fixed_header(bytes).map_err(plain)? else {
        return Ok(None);
    };
    let body = &bytes[usize::from(header.len)..];
    let whole = body.get(..header.remaining as usize);
    Ok(match header.kind {
        PacketType::Connect => connect(&header, body)
            .map_err(|fault| (fault.cause, Some(fault)))?
            .map(Decoded::Connect),
        PacketType::Publish => {
            let head = publish_head(version, &header, body).map_err(plain)?;
            match (head, whole) {
                (Some(head), Some(body)) => {
                    Some(Decoded::Publish(head, &body[head.head_len as usize..]))
                }
                _ => None,
            }
        }
        _ => match whole {
            None => None,
            Some(body) => Some(Decoded::Packet(packet(version, &header, body).map_err(plain)?)),
        },
    })
}

pub(crate) fn decode_packet(version: Version, bytes: &[u8]) -> Packet<'_> {
    match decode(version, bytes) {
        Ok(Some(Decoded::Packet(packet))) => packet,
        other => panic!("{version:?} {bytes:02x?}: {other:?}"),
    }
}

pub(crate) fn decode_publish(version: Version, bytes: &[u8]) -> (PublishHead<'_>, &[u8]) {
    match decode(version, bytes) {
        Ok(Some(Decoded::Publish(head, payload))) => (head, payload),
        other => panic!("{version:?} {bytes:02x?}: {other:?}"),
    }
}

pub(crate) fn decode_connect(bytes: &[u8]) -> Connect<'_> {
    match decode(Version::V311, bytes) {
        Ok(Some(Decoded::Connect(connect))) => connect,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

pub(crate) fn header(bytes: &[u8]) -> FixedHeader {
    fixed_header(bytes).expect("a good header").expect("a whole header")
}

/// Bytes from a readable form: hex digits, and text in quotes: `30 06 0001 'a' 'hello'`.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).expect("a hex digit") as u8)
            .collect();
        out.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    out
}

/// A packet with the remaining length computed: the first byte, then the body.
pub(crate) fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut rest = body.len();
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend_from_slice(body);
    out
}
