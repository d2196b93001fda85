//! Bytes that nobody meant: no input panics, and a verdict stays the same when more bytes arrive.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A good packet of every type, to be damaged.
fn packets() -> Vec<(Version, Vec<u8>)> {
    let connect_v5 = framed(
        0x10,
        &bytes(
            "0004 'MQTT' 05 ee 003c 0a 21 0014 26 0001 'k' 0001 'v' 0002 'id' \
             07 18 00000005 01 01 0001 'w' 0002 'wp' 0001 'u' 0001 'p'",
        ),
    );
    let v3 = [
        "10 24 0004 'MQTT' 04 ec 0000 0002 'id' 0003 'w/t' 0004 00ff2b23 0004 'user' 0003 'pwd'",
        "10 0f 0006 'MQIsdp' 03 02 000f 0001 'a'",
        "33 0c 0003 'a/b' 0009 'hello'",
        "40 02 0001",
        "82 0d 0001 0003 'a/#' 01 0002 '+/' 00",
        "a2 07 0001 0003 'a/#'",
        "c0 00",
        "e0 00",
    ];
    let v5 = [
        "34 1f 0003 'a/b' 0009 13 23 0001 02 00000001 26 0001 'k' 0002 'vv' 03 0000 'data'",
        "50 0a 0001 97 06 1f 0003 'why'",
        "62 03 0001 92",
        "82 16 0001 02 0b 07 000a '$share/g/a' 10 0001 '#' 2e",
        "a2 08 0001 00 0003 'a/#'",
        "e0 07 04 05 11 00000078",
        "f0 0b 18 09 15 0001 'm' 16 0002 0102",
    ];
    let mut packets = vec![(Version::V5, connect_v5)];
    packets.extend(v3.map(|text| (Version::V311, bytes(text))));
    packets.extend(v5.map(|text| (Version::V5, bytes(text))));
    packets
}

/// Reads everything that a decoded packet lends.
fn touch(decoded: &Decoded<'_>) {
    let _ = format!("{decoded:?}");
    match decoded {
        Decoded::Packet(Packet::Subscribe(subscribe)) => {
            assert!(subscribe.filters().count() > 0);
        }
        Decoded::Packet(Packet::Unsubscribe(unsubscribe)) => {
            assert!(unsubscribe.filters().count() > 0);
        }
        _ => {}
    }
}

/// `None` until a verdict, and then that verdict for ever.
fn check_growing(version: Version, input: &[u8]) {
    let mut refused = None;
    let mut accepted = false;
    for end in 0..=input.len() {
        match decode(version, &input[..end]) {
            Ok(None) => assert!(refused.is_none() && !accepted, "{version:?} {input:02x?} {end}"),
            Ok(Some(decoded)) => {
                assert!(refused.is_none(), "{version:?} {input:02x?} {end}");
                accepted = true;
                touch(&decoded);
            }
            Err((fault, _)) => {
                assert!(!accepted, "{version:?} {input:02x?} {end}");
                assert_eq!(*refused.get_or_insert(fault), fault, "{version:?} {input:02x?} {end}");
                assert!(fault.code() >= 0x80 && !fault.to_string().is_empty());
                let in_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                assert!(fault.label().chars().all(in_label));
            }
        }
    }
}

#[test]
fn good_packets_grow_into_themselves() {
    for (version, packet) in packets() {
        assert!(matches!(decode(version, &packet), Ok(Some(_))), "{version:?} {packet:02x?}");
        check_growing(version, &packet);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes(input in vec(any::<u8>(), 0..80)) {
        for version in VERSIONS {
            check_growing(version, &input);
        }
    }

    /// A plausible first byte and length in front, so that bodies are reached.
    #[test]
    fn any_body(kind in 1u8..16, body in vec(any::<u8>(), 0..100)) {
        let first = kind << 4 | if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
        let packet = framed(first, &body);
        for version in VERSIONS {
            check_growing(version, &packet);
        }
    }

    #[test]
    fn damaged_packets(
        which: Index,
        damage in vec((any::<Index>(), any::<u8>(), 0u8..4), 1..4),
    ) {
        let packets = packets();
        let (version, packet) = which.get(&packets);
        let mut packet = packet.clone();
        for (place, byte, kind) in damage {
            let at = place.index(packet.len());
            match kind {
                0 => packet[at] = byte,
                1 => packet[at] ^= 1 << (byte % 8),
                2 => packet.insert(at, byte),
                _ if packet.len() > 1 => drop(packet.remove(at)),
                _ => {}
            }
        }
        check_growing(*version, &packet);
    }
}
