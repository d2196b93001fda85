//! The bytes that a server sends, written by hand from the standard.

use super::*;
use crate::mqtt::encode::{self, ConnAckProperties, Delivery};
use crate::mqtt::reason;

const NOTHING: [u8; 0] = [];

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // Encoders append: what is there stays.
    let mut out = vec![0xAA];
    write(&mut out);
    assert_eq!(out.remove(0), 0xAA);
    out
}

#[test]
fn acknowledgements() {
    for version in VERSIONS {
        assert_eq!(encoded(|o| encode::puback(o, version, 0x1234, 0)), bytes("40 02 1234"));
        assert_eq!(encoded(|o| encode::pubrec(o, version, 0x1234, 0)), bytes("50 02 1234"));
        assert_eq!(encoded(|o| encode::pubcomp(o, version, 1, 0)), bytes("70 02 0001"));
        assert_eq!(encoded(encode::pingresp), bytes("d0 00"));
    }
    assert_eq!(encoded(|o| encode::puback(o, Version::V311, 1, 0x97)), bytes("40 02 0001"));
    assert_eq!(encoded(|o| encode::puback(o, Version::V5, 1, 0x97)), bytes("40 03 0001 97"));
    assert_eq!(encoded(|o| encode::pubrec(o, Version::V5, 1, 0x10)), bytes("50 03 0001 10"));
    assert_eq!(encoded(|o| encode::pubcomp(o, Version::V5, 1, 0x92)), bytes("70 03 0001 92"));
}

#[test]
fn subscriptions() {
    let codes = [0, 1, 2, 0x80, 0x9e];
    assert_eq!(
        encoded(|o| encode::suback(o, Version::V311, 7, &codes)),
        bytes("90 07 0007 00 01 02 80 80")
    );
    assert_eq!(
        encoded(|o| encode::suback(o, Version::V5, 7, &codes)),
        bytes("90 08 0007 00 00 01 02 80 9e")
    );
    assert_eq!(encoded(|o| encode::unsuback(o, Version::V31, 7, &[0, 0x11])), bytes("b0 02 0007"));
    assert_eq!(
        encoded(|o| encode::unsuback(o, Version::V5, 7, &[0, 0x11])),
        bytes("b0 05 0007 00 00 11")
    );
    // A SUBACK long enough for a length of two bytes.
    let many = encoded(|o| encode::suback(o, Version::V5, 7, &[0; 200]));
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
