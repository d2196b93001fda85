//! The bytes that a server sends, written by hand from the standard.

use super::*;
use crate::mqtt::encode::{self, Answer, CONNACK_MIN, ConnAckProperties, Delivery};
use crate::mqtt::reason;

const NOTHING: [u8; 0] = [];

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // Encoders append: what is there stays.
    let mut out = vec![0xAA];
    write(&mut out);
    assert_eq!(out.remove(0), 0xAA);
    out
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Vec<u8> {
    encoded(|out| assert!(write(out)))
}

/// Whatever a client takes at most, it gets no more, of any packet: what is too large is not written,
/// and says so. With room for the packet without its reason string, that is what is sent.
#[test]
fn nothing_is_larger_than_what_the_client_takes() {
    let everything = ConnAckProperties {
        session_expiry: Some(0),
        receive_maximum: 100,
        retain_available: false,
        maximum_packet_size: Some(1),
        assigned_client_id: Some("auto-0123456789abcdef0123456789abcdef"),
        topic_alias_maximum: 10,
        reason_string: Some("a sentence that is left out first, because nothing depends on it"),
        wildcard_subscription_available: false,
        subscription_identifier_available: false,
        shared_subscription_available: false,
        server_keep_alive: Some(60),
    };
    let unexplained = ConnAckProperties { reason_string: None, ..everything };
    let least_of_all =
        written(|out| encode::connack(out, Version::V5, true, 0, &unexplained, None)).len() as u32;
    let refused = ConnAckProperties { reason_string: Some("why"), ..Default::default() };
    let delivery = Delivery::<(&str, &str)>::plain("a/b", &[7; 150]);
    // A will that is malformed, behind the properties; and a property that hides what follows.
    let mut will = bytes("10 18 0004 'MQTT' 05 06 003c 05 27 00000000 0000 00 0001 '+' 0000");
    let hidden = bytes("10 14 0004 'MQTT' 05 02 003c 07 01 00 27 00000001 0000");
    for limit in 1..=200_u32 {
        will[14..18].copy_from_slice(&limit.to_be_bytes());
        let refusal = |connect: &[u8]| {
            let (_, fault) = decode(Version::V311, connect).expect_err("malformed");
            fault.expect("a fault of CONNECT")
        };
        let (of_will, of_hidden) = (refusal(&will), refusal(&hidden));
        assert_eq!((of_will.limit, of_hidden.limit), (Some(limit), Some(5)));
        let codes = [0; 180];
        for version in VERSIONS {
            let most = limit;
            let limit = Some(limit);
            let mut packets: Vec<(u32, Vec<u8>, bool)> = Vec::new();
            let mut take = |least: u32, write: &dyn Fn(&mut Vec<u8>) -> bool| {
                let mut told = false;
                let out = encoded(|out| told = write(out));
                packets.push((least, out, told));
            };
            let v5 = u32::from(version == Version::V5);
            for (session, code, properties, least) in
                [(true, 0, &everything, least_of_all), (false, 0x87, &refused, CONNACK_MIN)]
            {
                let least = if v5 == 1 { least } else { 0 };
                take(least, &|out| encode::connack(out, version, session, code, properties, limit));
            }
            for (code, least) in [(0, 4), (0x97, 4 + v5)] {
                take(least, &|out| {
                    encode::acknowledge(out, Answer::Puback, version, 1, code, limit)
                });
                take(least, &|out| {
                    encode::acknowledge(out, Answer::Pubrec, version, 1, code, limit)
                });
                take(least, &|out| {
                    encode::acknowledge(out, Answer::Pubcomp, version, 1, code, limit)
                });
            }
            for count in [1, 40, 124, 125, 180] {
                let codes = &codes[..count];
                let remaining = 2 + v5 + count as u32;
                let least = 2 + u32::from(remaining > 127) + remaining;
                take(least, &|out| encode::suback(out, version, 1, codes, limit));
                let remaining = 2 + v5 * (1 + count as u32);
                let least = 2 + u32::from(remaining > 127) + remaining;
                take(least, &|out| encode::unsuback(out, version, 1, codes, limit));
            }
            take(2, &|out| encode::pingresp(out, limit));
            take(4, &|out| encode::disconnect(out, 0x82, Some("a sentence"), limit));
            take(3 + 5 + v5 + 150, &|out| encode::publish_qos0(out, version, &delivery, limit));
            take(CONNACK_MIN, &|out| of_will.connack(out));
            for (least, out, told) in packets {
                let is_v3_connack = version != Version::V5 && out.first() == Some(&0x20);
                assert!(out.len() as u32 <= most || is_v3_connack, "{most}: {out:02x?}");
                assert_eq!(told, !out.is_empty(), "{most}: {out:02x?}");
                assert_eq!(told, least <= most, "{most} for {least}: {out:02x?}");
            }
        }
        assert_eq!(written(|out| of_hidden.connack(out)), bytes("20 03 00 81 00"));
    }
}

#[test]
fn acknowledgements() {
    for version in VERSIONS {
        assert_eq!(
            written(|o| encode::acknowledge(o, Answer::Puback, version, 0x1234, 0, None)),
            bytes("40 02 1234")
        );
        assert_eq!(
            written(|o| encode::acknowledge(o, Answer::Pubrec, version, 0x1234, 0, None)),
            bytes("50 02 1234")
        );
        assert_eq!(
            written(|o| encode::acknowledge(o, Answer::Pubcomp, version, 1, 0, None)),
            bytes("70 02 0001")
        );
        assert_eq!(written(|o| encode::pingresp(o, None)), bytes("d0 00"));
    }
    assert_eq!(
        written(|o| encode::acknowledge(o, Answer::Puback, Version::V311, 1, 0x97, None)),
        bytes("40 02 0001")
    );
    assert_eq!(
        written(|o| encode::acknowledge(o, Answer::Puback, Version::V5, 1, 0x97, None)),
        bytes("40 03 0001 97")
    );
    assert_eq!(
        written(|o| encode::acknowledge(o, Answer::Pubrec, Version::V5, 1, 0x10, None)),
        bytes("50 03 0001 10")
    );
    assert_eq!(
        written(|o| encode::acknowledge(o, Answer::Pubcomp, Version::V5, 1, 0x92, None)),
        bytes("70 03 0001 92")
    );
}

#[test]
fn subscriptions() {
    let codes = [0, 1, 2, 0x80, 0x9e];
    assert_eq!(
        written(|o| encode::suback(o, Version::V311, 7, &codes, None)),
        bytes("90 07 0007 00 01 02 80 80")
    );
    assert_eq!(
        written(|o| encode::suback(o, Version::V5, 7, &codes, None)),
        bytes("90 08 0007 00 00 01 02 80 9e")
    );
    assert_eq!(
        written(|o| encode::unsuback(o, Version::V31, 7, &[0, 0x11], None)),
        bytes("b0 02 0007")
    );
    assert_eq!(
        written(|o| encode::unsuback(o, Version::V5, 7, &[0, 0x11], None)),
        bytes("b0 05 0007 00 00 11")
    );
    // A SUBACK long enough for a length of two bytes.
    let many = written(|o| encode::suback(o, Version::V5, 7, &[0; 200], None));
    assert_eq!((&many[..6], many.len()), (&bytes("90 cb01 0007 00")[..], 206));
}

#[test]
fn connack() {
    let plain = ConnAckProperties::default();
    let write = |version, present, code, properties: &ConnAckProperties<'_>, limit| {
        let mut written = false;
        let out =
            encoded(|o| written = encode::connack(o, version, present, code, properties, limit));
        assert_eq!(written, !out.is_empty());
        out
    };
    assert_eq!(write(Version::V31, true, 0, &plain, None), bytes("20 02 00 00"));
    assert_eq!(write(Version::V311, true, 0, &plain, None), bytes("20 02 01 00"));
    assert_eq!(write(Version::V5, true, 0, &plain, None), bytes("20 03 01 00 00"));
    assert_eq!(write(Version::V5, true, 0x87, &plain, None), bytes("20 03 00 87 00"));
    for (code, v3) in [(0x84, 1), (0x85, 2), (0x88, 3), (0x86, 4), (0x87, 5)] {
        assert_eq!(write(Version::V311, true, code, &plain, None), [0x20, 2, 0, v3]);
    }
    for code in [0x80, 0x81, 0x82, 0x83, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x9f] {
        assert_eq!(write(Version::V311, false, code, &plain, None), NOTHING);
    }
    let all = ConnAckProperties {
        session_expiry: Some(0),
        receive_maximum: 100,
        retain_available: false,
        maximum_packet_size: Some(0x0400_0000),
        assigned_client_id: Some("lf-1"),
        topic_alias_maximum: 10,
        reason_string: Some("why"),
        wildcard_subscription_available: false,
        subscription_identifier_available: false,
        shared_subscription_available: false,
        server_keep_alive: Some(60),
    };
    let expected = bytes(
        "20 2b 00 00 28 21 0064 22 000a 13 003c 11 00000000 27 04000000 \
         25 00 28 00 29 00 2a 00 12 0004 'lf-1' 1f 0003 'why'",
    );
    assert_eq!(write(Version::V5, false, 0, &all, None), expected);
    assert_eq!(write(Version::V5, false, 0, &all, Some(expected.len() as u32)), expected);
    // One byte less: the reason string goes, and at last the packet.
    let without = write(Version::V5, false, 0, &all, Some(expected.len() as u32 - 1));
    assert_eq!(without.len(), expected.len() - 6);
    assert_eq!(write(Version::V5, false, 0, &all, Some(without.len() as u32 - 1)), NOTHING);
    let too_long = "x".repeat(65_536);
    let impossible = ConnAckProperties { assigned_client_id: Some(&too_long), ..plain };
    assert_eq!(write(Version::V5, false, 0, &impossible, None), NOTHING);
}

#[test]
fn disconnect() {
    let write = |code, text, limit| {
        let mut written = false;
        let out = encoded(|o| written = encode::disconnect(o, code, text, limit));
        assert_eq!(written, !out.is_empty());
        out
    };
    assert_eq!(write(0x8b, None, None), bytes("e0 02 8b 00"));
    assert_eq!(write(0x82, Some("no"), None), bytes("e0 07 82 05 1f 0002 'no'"));
    assert_eq!(write(0x82, Some("no"), Some(8)), bytes("e0 02 82 00"));
    assert_eq!(write(0x82, Some("no"), Some(4)), bytes("e0 02 82 00"));
    assert_eq!(write(0x82, None, Some(3)), NOTHING);
    // Cut at a whole character, before a U+0000.
    let long = "é".repeat(600);
    assert_eq!(write(0x82, Some(&long), None).len(), 3 + 1 + 2 + 1 + 2 + 1024);
    let odd = format!("x{long}");
    assert_eq!(write(0x82, Some(&odd), None).len(), 3 + 1 + 2 + 1 + 2 + 1023);
    assert_eq!(write(0x82, Some("a\0b"), None), bytes("e0 06 82 04 1f 0001 'a'"));
}

#[test]
fn publish() {
    let user_properties = [("k".to_owned(), "v".to_owned())];
    let delivery = Delivery {
        topic: "a/b",
        payload: b"hi",
        retain: true,
        content_type: "text",
        payload_format_utf8: true,
        response_topic: Some("r"),
        correlation_data: Some(&[1, 2]),
        message_expiry: Some(9),
        user_properties: &user_properties,
    };
    let write = |version, delivery: &Delivery<'_, (String, String)>, limit| {
        let mut written = false;
        let out = encoded(|o| written = encode::publish_qos0(o, version, delivery, limit));
        assert_eq!(written, !out.is_empty());
        out
    };
    assert_eq!(write(Version::V311, &delivery, None), bytes("31 07 0003 'a/b' 'hi'"));
    let expected = bytes(
        "31 26 0003 'a/b' 1e 01 01 02 00000009 03 0004 'text' 08 0001 'r' 09 0002 0102 \
         26 0001 'k' 0001 'v' 'hi'",
    );
    assert_eq!(write(Version::V5, &delivery, None), expected);
    assert_eq!(write(Version::V5, &delivery, Some(expected.len() as u32)), expected);
    assert_eq!(write(Version::V5, &delivery, Some(expected.len() as u32 - 1)), NOTHING);

    let plain = Delivery {
        content_type: "",
        payload_format_utf8: false,
        response_topic: None,
        correlation_data: None,
        message_expiry: None,
        user_properties: &[],
        retain: false,
        ..delivery
    };
    assert_eq!(write(Version::V5, &plain, None), bytes("30 08 0003 'a/b' 00 'hi'"));
    let too_long = "t".repeat(65_536);
    assert_eq!(write(Version::V311, &Delivery { topic: &too_long, ..plain }, None), NOTHING);
    assert_eq!(write(Version::V5, &Delivery { content_type: &too_long, ..plain }, None), NOTHING);
}

#[test]
fn codes_of_v3() {
    assert_eq!(reason::v3_connack(reason::SUCCESS), Some(0));
    assert_eq!(reason::v3_connack(reason::PACKET_TOO_LARGE), None);
}
