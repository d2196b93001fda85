//! Malformed packets, each with the label and the v5 code that it must get, in the versions it is
//! malformed in.

use super::*;
use crate::mqtt::{CONNECT_SIZE_MAX, PROPERTIES_MAX, PUBLISH_HEAD_MAX, publish_head_bound};

const ALL: &[Version] = &VERSIONS;
const V3: &[Version] = &[Version::V31, Version::V311];
const NOT_31: &[Version] = &[Version::V311, Version::V5];
const FIVE: &[Version] = &[Version::V5];

/// Versions, packet, label, v5 code.
type Row = (&'static [Version], &'static str, &'static str, u8);

const FIXED_HEADER: &[Row] = &[
    (ALL, "00 00", "packet_type", 0x81),
    (ALL, "0f", "packet_type", 0x81),
    (V3, "f0 00", "packet_type", 0x81),
    (ALL, "20 02 0000", "server_packet", 0x82),
    (ALL, "90 03 0001 00", "server_packet", 0x82),
    (ALL, "b0 02 0001", "server_packet", 0x82),
    (ALL, "d0 00", "server_packet", 0x82),
    // One wrong flag of every type. Where no version has it, it is seen without its length.
    (ALL, "60", "reserved_flags", 0x81),
    (ALL, "64", "reserved_flags", 0x81),
    (ALL, "80", "reserved_flags", 0x81),
    (ALL, "86", "reserved_flags", 0x81),
    (ALL, "a0", "reserved_flags", 0x81),
    // v3.1 does not use them, and so does not look at them.
    (NOT_31, "42 02 0001", "reserved_flags", 0x81),
    (NOT_31, "51 02 0001", "reserved_flags", 0x81),
    (NOT_31, "63 02 0001", "reserved_flags", 0x81),
    (NOT_31, "6a 02 0001", "reserved_flags", 0x81),
    (NOT_31, "78 02 0001", "reserved_flags", 0x81),
    (NOT_31, "83 06 0001 0001 'a' 00", "reserved_flags", 0x81),
    (NOT_31, "8a 07 0001 00 0001 'a' 00", "reserved_flags", 0x81),
    (NOT_31, "a3 05 0001 0001 'a'", "reserved_flags", 0x81),
    (NOT_31, "aa 06 0001 00 0001 'a'", "reserved_flags", 0x81),
    (NOT_31, "c1 00", "reserved_flags", 0x81),
    (NOT_31, "e2 00", "reserved_flags", 0x81),
    (FIVE, "f1 00", "reserved_flags", 0x81),
    (ALL, "36", "publish_qos", 0x81),
    (ALL, "3f", "publish_qos", 0x81),
    (ALL, "38", "dup_with_qos0", 0x81),
    (ALL, "39", "dup_with_qos0", 0x81),
    (ALL, "30 ffffffff", "length_too_long", 0x81),
    (ALL, "30 80808080", "length_too_long", 0x81),
    (FIVE, "30 8500 0001 'a' 00 'x'", "length_not_minimal", 0x81),
    (FIVE, "c0 8000", "length_not_minimal", 0x81),
    (FIVE, "40 828000 0001", "length_not_minimal", 0x81),
    (ALL, "82 81a004", "packet_too_large", 0x95),
    (ALL, "c0 ffffff7f", "packet_too_large", 0x95),
];

const PUBLISH: &[Row] = &[
    (ALL, "30 00", "missing_bytes", 0x81),
    (ALL, "30 01 00", "missing_bytes", 0x81),
    (ALL, "30 02 0001", "missing_bytes", 0x81),
    (ALL, "32 04 0001 'a' 00", "missing_bytes", 0x81),
    (FIVE, "30 03 0001 'a'", "missing_bytes", 0x81),
    (FIVE, "32 05 0001 'a' 0001", "missing_bytes", 0x81),
    (FIVE, "30 05 0001 'a' 8080", "missing_bytes", 0x81),
    (FIVE, "30 07 0001 'a' 80808080", "length_too_long", 0x81),
    (FIVE, "30 05 0001 'a' 8000", "length_not_minimal", 0x81),
    (FIVE, "30 04 0001 'a' 01", "property_length", 0x81),
    (ALL, "32 06 0001 'a' 0000 00", "packet_identifier", 0x82),
    (V3, "30 02 0000", "topic_empty", 0x82),
    (FIVE, "30 03 0000 00", "topic_empty", 0x82),
    (FIVE, "30 05 0000 02 01 01", "topic_empty", 0x82),
    (ALL, "30 04 0001 '+' 00", "topic_wildcard", 0x81),
    (ALL, "30 06 0003 'a/#' 00", "topic_wildcard", 0x81),
    (ALL, "30 06 0003 'a+b' 00", "topic_wildcard", 0x81),
    (ALL, "30 04 0001 00 00", "nul", 0x81),
    (ALL, "30 06 0003 'a' 00 'b' 00", "nul", 0x81),
    (ALL, "30 04 0001 ff 00", "utf8", 0x81),
    // An overlong NUL, a surrogate, a truncated sequence, above U+10FFFF.
    (ALL, "30 05 0002 c080 00", "utf8", 0x81),
    (ALL, "30 06 0003 eda080 00", "utf8", 0x81),
    (ALL, "30 05 0002 e282 00", "utf8", 0x81),
    (ALL, "30 07 0004 f4908080 00", "utf8", 0x81),
    (FIVE, "30 07 0001 'a' 03 23 0000", "topic_alias", 0x94),
    (FIVE, "30 0a 0001 'a' 06 23 0001 23 0001", "property_twice", 0x82),
    (FIVE, "30 08 0001 'a' 04 01 00 01 00", "property_twice", 0x82),
    (FIVE, "30 0c 0001 'a' 08 03 0001 'a' 03 0001 'b'", "property_twice", 0x82),
    (FIVE, "30 06 0001 'a' 02 01 02", "property_value", 0x82),
    (FIVE, "30 06 0001 'a' 02 0b 05", "server_property", 0x82),
    (FIVE, "30 06 0001 'a' 02 0b 00", "property_value", 0x82),
    (FIVE, "30 09 0001 'a' 05 11 00000001", "property_not_allowed", 0x81),
    (FIVE, "30 06 0001 'a' 02 00 00", "property_not_allowed", 0x81),
    (FIVE, "30 06 0001 'a' 02 ff 00", "property_not_allowed", 0x81),
    (FIVE, "30 07 0001 'a' 03 8001 00", "property_not_allowed", 0x81),
    (FIVE, "30 08 0001 'a' 04 08 0001 '#'", "response_topic", 0x81),
    (FIVE, "30 07 0001 'a' 03 08 0000", "response_topic", 0x81),
    (FIVE, "30 08 0001 'a' 04 03 0001 ff", "utf8", 0x81),
    (FIVE, "30 08 0001 'a' 04 03 0001 00", "nul", 0x81),
    (FIVE, "30 0b 0001 'a' 07 26 0001 'k' 0001 00", "nul", 0x81),
    (FIVE, "30 0b 0001 'a' 07 26 0001 fe 0001 'v'", "utf8", 0x81),
    // A property that ends beyond its block, though the packet goes on.
    (FIVE, "30 0b 0001 'a' 04 26 0001 'k' 0001 'v'", "missing_bytes", 0x81),
    (FIVE, "30 08 0001 'a' 03 02 0000 0001", "missing_bytes", 0x81),
];

const ACKNOWLEDGEMENTS: &[Row] = &[
    (ALL, "40 00", "missing_bytes", 0x81),
    (ALL, "50 01 00", "missing_bytes", 0x81),
    (ALL, "62 02 0000", "packet_identifier", 0x82),
    (ALL, "40 02 0000", "packet_identifier", 0x82),
    (V3, "40 03 0001 00", "excess_bytes", 0x81),
    (V3, "62 03 0001 00", "excess_bytes", 0x81),
    (V3, "70 04 0001 0000", "excess_bytes", 0x81),
    (FIVE, "40 03 0001 92", "reason_code", 0x82),
    (FIVE, "40 03 0001 01", "reason_code", 0x82),
    (FIVE, "50 03 0001 92", "reason_code", 0x82),
    (FIVE, "62 03 0001 97", "reason_code", 0x82),
    (FIVE, "70 03 0001 80", "reason_code", 0x82),
    (FIVE, "40 05 0001 00 00 00", "excess_bytes", 0x81),
    (FIVE, "40 04 0001 00 01", "property_length", 0x81),
    (FIVE, "40 06 0001 00 8200 00", "length_not_minimal", 0x81),
    (FIVE, "40 09 0001 00 05 02 00000001", "property_not_allowed", 0x81),
    (FIVE, "40 0a 0001 00 06 1f 0000 1f 0000", "property_twice", 0x82),
    (FIVE, "62 06 0001 00 02 1f 00", "missing_bytes", 0x81),
];

const SUBSCRIPTIONS: &[Row] = &[
    (ALL, "82 00", "missing_bytes", 0x81),
    (V3, "82 02 0001", "no_filters", 0x82),
    (FIVE, "82 02 0001", "missing_bytes", 0x81),
    (FIVE, "82 03 0001 00", "no_filters", 0x82),
    (FIVE, "82 07 0000 00 0001 'a' 00", "packet_identifier", 0x82),
    (V3, "82 06 0000 0001 'a' 00", "packet_identifier", 0x82),
    (V3, "82 05 0001 0001 'a'", "missing_bytes", 0x81),
    (V3, "82 04 0001 0001", "missing_bytes", 0x81),
    (V3, "82 07 0001 0001 'a' 00 00", "missing_bytes", 0x81),
    (V3, "82 06 0001 0001 'a' 03", "subscription_qos", 0x82),
    (V3, "82 06 0001 0001 'a' 04", "subscription_options", 0x81),
    (V3, "82 06 0001 0001 'a' 80", "subscription_options", 0x81),
    (FIVE, "82 07 0001 00 0001 'a' 03", "subscription_qos", 0x82),
    (FIVE, "82 07 0001 00 0001 'a' 30", "retain_handling", 0x82),
    (FIVE, "82 07 0001 00 0001 'a' 40", "subscription_options", 0x81),
    (FIVE, "82 07 0001 00 0001 'a' 80", "subscription_options", 0x81),
    (V3, "82 05 0001 0000 00", "topic_filter", 0x81),
    (FIVE, "82 06 0001 00 0000 00", "topic_filter", 0x81),
    (V3, "82 07 0001 0002 'a#' 00", "topic_filter", 0x81),
    (V3, "82 08 0001 0003 '#/a' 00", "topic_filter", 0x81),
    (V3, "82 09 0001 0003 'a/#' 00 00", "missing_bytes", 0x81),
    (V3, "82 07 0001 0002 'a+' 00", "topic_filter", 0x81),
    (V3, "82 09 0001 0004 '/+a/' 00", "topic_filter", 0x81),
    (V3, "82 07 0001 0002 '##' 00", "topic_filter", 0x81),
    (V3, "82 07 0001 0002 '++' 00", "topic_filter", 0x81),
    // The first filter is good, the second is not.
    (V3, "82 0b 0001 0001 'a' 00 0002 '+#' 00", "topic_filter", 0x81),
    (V3, "82 06 0001 0001 00 00", "nul", 0x81),
    (V3, "82 06 0001 0001 ff 00", "utf8", 0x81),
    (FIVE, "82 0e 0001 00 0008 '$share/g' 00", "share_name", 0x81),
    (FIVE, "82 0f 0001 00 0009 '$share/g/' 00", "share_name", 0x81),
    (FIVE, "82 0f 0001 00 0009 '$share//a' 00", "share_name", 0x81),
    (FIVE, "82 10 0001 00 000a '$share/+/a' 00", "share_name", 0x81),
    (FIVE, "82 10 0001 00 000a '$share/#/a' 00", "share_name", 0x81),
    (FIVE, "82 0d 0001 00 0007 '$share/' 00", "share_name", 0x81),
    (FIVE, "82 11 0001 00 000b '$share/g/a#' 00", "topic_filter", 0x81),
    (FIVE, "82 10 0001 00 000a '$share/g/a' 04", "no_local_shared", 0x82),
    (FIVE, "82 09 0001 02 0b00 0001 'a' 00", "property_value", 0x82),
    (FIVE, "82 0a 0001 03 0b8100 0001 'a' 00", "length_not_minimal", 0x81),
    (FIVE, "82 0b 0001 04 0b01 0b02 0001 'a' 00", "property_twice", 0x82),
    (FIVE, "82 0a 0001 03 1f0000 0001 'a' 00", "property_not_allowed", 0x81),
    (V3, "a2 02 0001", "no_filters", 0x82),
    (FIVE, "a2 03 0001 00", "no_filters", 0x82),
    (V3, "a2 05 0000 0001 'a'", "packet_identifier", 0x82),
    (V3, "a2 06 0001 0002 'a#'", "topic_filter", 0x81),
    (V3, "a2 06 0001 0001 'a' 00", "missing_bytes", 0x81),
    (FIVE, "a2 0d 0001 00 0008 '$share/g'", "share_name", 0x81),
    (FIVE, "a2 08 0001 02 0b01 0001 'a'", "property_not_allowed", 0x81),
];

const OTHERS: &[Row] = &[
    (ALL, "c0 01 00", "excess_bytes", 0x81),
    (V3, "e0 01 00", "excess_bytes", 0x81),
    (FIVE, "e0 01 01", "reason_code", 0x82),
    // Codes that only a server sends.
    (FIVE, "e0 01 87", "reason_code", 0x82),
    (FIVE, "e0 01 8b", "reason_code", 0x82),
    (FIVE, "e0 01 8e", "reason_code", 0x82),
    (FIVE, "e0 03 00 00 00", "excess_bytes", 0x81),
    (FIVE, "e0 02 00 01", "property_length", 0x81),
    (FIVE, "e0 05 00 03 1c 0000", "property_not_allowed", 0x81),
    (FIVE, "e0 0c 00 0a 11 00000001 11 00000001", "property_twice", 0x82),
    (FIVE, "f0 00", "reason_code", 0x82),
    (FIVE, "f0 01 18", "missing_bytes", 0x81),
    (FIVE, "f0 02 18 00", "authentication_method", 0x82),
    (FIVE, "f0 06 00 04 15 0001 'm'", "reason_code", 0x82),
    (FIVE, "f0 07 18 04 15 0001 'm' 00", "excess_bytes", 0x81),
];

#[test]
fn every_row_in_every_version() {
    for table in [FIXED_HEADER, PUBLISH, ACKNOWLEDGEMENTS, SUBSCRIPTIONS, OTHERS] {
        for (versions, text, label, code) in table {
            let packet = bytes(text);
            for version in *versions {
                match decode(*version, &packet) {
                    Err((fault, _)) => {
                        assert_eq!((fault.label(), fault.code()), (*label, *code), "{text}");
                    }
                    other => panic!("{version:?} {text}: {other:?}, not {label}"),
                }
            }
        }
    }
}

/// What v3 allows that v5 does not: a length in more bytes than it needs.
#[test]
fn long_lengths_are_v3s_to_send() {
    for version in [Version::V31, Version::V311] {
        assert!(matches!(decode(version, &bytes("c0 8000")), Ok(Some(_))));
        assert!(matches!(decode(version, &bytes("30 8480 00 0001 'a' 'x'")), Ok(Some(_))));
    }
}

/// CONNECT, label, and the CONNACK that the client gets ("" is closed without one; a v5 CONNACK is
/// given by its code, because a reason string follows).
const CONNECT: &[(&str, &str, &str)] = &[
    ("10 00", "missing_bytes", ""),
    ("10 02 0004", "missing_bytes", ""),
    ("10 06 0004 'MQTT'", "missing_bytes", ""),
    ("10 0d 0004 'MQTt' 04 02 003c 0001 'a'", "protocol_name", ""),
    ("10 0f 0006 'MQIsdq' 03 02 003c 0001 'a'", "protocol_name", ""),
    ("10 0e 0005 'MQTTX' 04 02 003c 0001 'a'", "protocol_name", ""),
    ("10 ff01 ffff", "protocol_name", ""),
    // Unknown levels: seen with the level, without what follows.
    ("10 0d 0004 'MQTT' 00", "protocol_level", "20 02 00 01"),
    ("10 0d 0004 'MQTT' 03", "protocol_level", "20 02 00 01"),
    ("10 0d 0004 'MQTT' 83", "protocol_level", "20 02 00 01"),
    ("10 0d 0004 'MQTT' 84", "protocol_level", "20 02 00 01"),
    ("10 0d 0004 'MQTT' 06", "protocol_level", "84"),
    ("10 0d 0004 'MQTT' 85", "protocol_level", "84"),
    ("10 0d 0004 'MQTT' ff", "protocol_level", "84"),
    ("10 0d 0006 'MQIsdp' 04", "protocol_level", "20 02 00 01"),
    ("10 0d 0006 'MQIsdp' 83", "protocol_level", "20 02 00 01"),
    // Flags that only v3.1 leaves unused.
    ("11 0d 0004 'MQTT' 04 02 003c 0001 'a'", "reserved_flags", ""),
    ("12 0d 0004 'MQTT' 05 02 003c 00 0000", "reserved_flags", "81"),
    ("18 0d 0004 'MQTT' 05 02 003c 00 0000", "reserved_flags", "81"),
    // v3: only the client identifier has a code.
    ("10 0c 0004 'MQTT' 04 00 003c 0000", "client_identifier", "20 02 00 02"),
    ("10 0e 0006 'MQIsdp' 03 02 003c 0000", "client_identifier", "20 02 00 02"),
    ("10 0d 0004 'MQTT' 04 03 003c 0001 'a'", "connect_flags", ""),
    ("10 0d 0004 'MQTT' 04 0a 003c 0001 'a'", "will_flags", ""),
    ("10 0d 0004 'MQTT' 04 22 003c 0001 'a'", "will_flags", ""),
    ("10 12 0004 'MQTT' 04 1e 003c 0001 'a' 0001 'w' 0000", "will_flags", ""),
    ("10 14 0006 'MQIsdp' 03 1e 003c 0001 'a' 0001 'w' 0000", "will_flags", ""),
    ("10 0f 0004 'MQTT' 04 42 003c 0001 'a' 0000", "password_without_user_name", ""),
    ("10 11 0006 'MQIsdp' 03 42 003c 0001 'a' 0000", "password_without_user_name", ""),
    ("10 0e 0004 'MQTT' 04 02 003c 0001 'a' 00", "excess_bytes", ""),
    ("10 0c 0004 'MQTT' 04 02 003c 0001", "missing_bytes", ""),
    ("10 0d 0004 'MQTT' 04 82 003c 0001 'a'", "missing_bytes", ""),
    ("10 10 0004 'MQTT' 04 82 003c 0001 'a' 0002 'u'", "missing_bytes", ""),
    ("10 0d 0004 'MQTT' 04 02 003c 0001 00", "nul", ""),
    ("10 0d 0004 'MQTT' 04 02 003c 0001 ff", "utf8", ""),
    ("10 12 0004 'MQTT' 04 06 003c 0001 'a' 0001 '#' 0000", "will_topic", ""),
    ("10 11 0004 'MQTT' 04 06 003c 0001 'a' 0000 0000", "will_topic", ""),
    ("10 10 0004 'MQTT' 04 06 003c 0001 'a' 0001 'w'", "missing_bytes", ""),
    // v5 has a code for all of them.
    ("10 0d 0004 'MQTT' 05 03 003c 00 0000", "connect_flags", "81"),
    ("10 0d 0004 'MQTT' 05 0a 003c 00 0000", "will_flags", "81"),
    ("10 12 0004 'MQTT' 05 1e 003c 00 0000 00 0001 'w' 0000", "will_flags", "81"),
    ("10 13 0004 'MQTT' 05 06 003c 00 0000 00 0001 '+' 0000", "will_topic", "81"),
    ("10 0e 0004 'MQTT' 05 02 003c 00 0000 00", "excess_bytes", "81"),
    ("10 0c 0004 'MQTT' 05 02 003c 00 00", "missing_bytes", "81"),
    ("10 0d 0004 'MQTT' 05 02 003c 03 0000", "property_length", "81"),
    ("10 8d00 0004 'MQTT' 05 02 003c 00 0000", "length_not_minimal", "81"),
    ("10 10 0004 'MQTT' 05 02 003c 03 21 0000 0000", "property_value", "82"),
    ("10 12 0004 'MQTT' 05 02 003c 05 27 00000000 0000", "property_value", "82"),
    ("10 0f 0004 'MQTT' 05 02 003c 02 17 02 0000", "property_value", "82"),
    ("10 0f 0004 'MQTT' 05 02 003c 02 19 02 0000", "property_value", "82"),
    ("10 13 0004 'MQTT' 05 02 003c 06 21 0001 21 0001 0000", "property_twice", "82"),
    ("10 0f 0004 'MQTT' 05 02 003c 02 01 00 0000", "property_not_allowed", "81"),
    ("10 10 0004 'MQTT' 05 02 003c 03 23 0001 0000", "property_not_allowed", "81"),
    ("10 11 0004 'MQTT' 05 02 003c 04 16 0001 ff 0000", "authentication_method", "82"),
    ("10 15 0004 'MQTT' 05 06 003c 00 0000 02 01 02 0001 'w' 0000", "property_value", "82"),
    (
        "10 18 0004 'MQTT' 05 06 003c 00 0000 05 11 00000001 0001 'w' 0000",
        "property_not_allowed",
        "81",
    ),
    ("10 0f 0004 'MQTT' 05 02 003c 00 0002 c328", "utf8", "81"),
];

#[test]
fn every_connect() {
    for (text, label, answer) in CONNECT {
        let packet = bytes(text);
        let (fault, connect_fault) = match decode(Version::V311, &packet) {
            Err(fault) => fault,
            other => panic!("{text}: {other:?}, not {label}"),
        };
        assert_eq!(fault.label(), *label, "{text}");
        let mut out = Vec::new();
        let answered = connect_fault.expect("a fault of CONNECT").connack(&mut out);
        let expected = bytes(answer);
        assert_eq!(answered, !expected.is_empty(), "{text}");
        match expected.as_slice() {
            [] => assert!(out.is_empty(), "{text}: {out:02x?}"),
            [code] => {
                assert_eq!((out[0], out[2], out[3]), (0x20, 0, *code), "{text}");
                assert_eq!(fault.code(), *code, "{text}");
                assert_eq!(out.len(), usize::from(out[1]) + 2, "{text}");
            }
            v3 => assert_eq!(out, v3, "{text}"),
        }
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let second = bytes("10 0d 0004 'MQTT' 04 02 003c 0001 'a'");
    let header = header(&second);
    let fault = packet(Version::V5, &header, &second[2..]).expect_err("not there again");
    assert_eq!((fault.label(), fault.code()), ("unexpected_packet", 0x82));
}

#[test]
fn one_user_property_too_many() {
    let mut body = bytes("0001 'a'");
    let block = bytes("26 0001 'k' 0001 'v'").repeat(65);
    body.extend([(block.len() % 128) as u8 | 0x80, (block.len() / 128) as u8]);
    body.extend(&block);
    let packet = framed(0x30, &body);
    let (fault, _) = decode(Version::V5, &packet).expect_err("65");
    assert_eq!((fault.label(), fault.code()), ("too_many_user_properties", 0x97));
}

/// Properties over the limit are refused from their length, before they are there; a topic may be as
/// long as its length can say.
#[test]
fn heads_too_large() {
    // Properties of 64 KiB and a byte.
    let packet = bytes("30 80808020 0001 'a' 818004");
    let (fault, _) = decode(Version::V5, &packet).expect_err("too large");
    assert_eq!((fault.label(), fault.code()), ("head_too_large", 0x95));
    for (topic_len, qos) in [(65_531_u16, 0), (65_532, 1), (65_535, 0), (65_535, 1)] {
        for version in VERSIONS {
            let mut packet = bytes(if qos == 0 { "30 80808020" } else { "32 80808020" });
            packet.extend(topic_len.to_be_bytes());
            let fixed = header(&packet);
            let bound = |packet: &[u8]| publish_head_bound(version, &fixed, &packet[5..]);
            let exact = 2 + u32::from(topic_len) + 2 * qos;
            match version {
                Version::V5 => assert_eq!(bound(&packet), PUBLISH_HEAD_MAX),
                _ => assert_eq!(bound(&packet), exact),
            }
            packet.extend(vec![b'a'; usize::from(topic_len)]);
            packet.extend(vec![7; 2 * qos as usize]);
            let mut expected = exact;
            if version == Version::V5 {
                let content_type = [&[0x03, 0xff, 0xfd][..], &[b'c'; 65_533]].concat();
                assert_eq!(content_type.len(), PROPERTIES_MAX as usize);
                packet.extend(bytes("808004"));
                assert_eq!(bound(&packet), exact + 3 + PROPERTIES_MAX);
                packet.extend(content_type);
                expected += 3 + PROPERTIES_MAX;
            }
            let head = publish_head(version, &fixed, &packet[5..]).expect("good").expect("whole");
            assert_eq!((head.head_len, head.topic.len()), (expected, usize::from(topic_len)));
            assert!(head.head_len <= PUBLISH_HEAD_MAX);
        }
    }
}

/// A filter and a will's topic may be as long, too.
#[test]
fn long_filters_and_will_topics_are_taken() {
    let long = [&[0xff, 0xff][..], &[b'a'; 65_535]].concat();
    for version in VERSIONS {
        let v5 = &[0][..usize::from(version == Version::V5)];
        let subscribe = framed(0x82, &[&[0, 1], v5, &long, &[0]].concat());
        assert!(matches!(decode_packet(version, &subscribe), Packet::Subscribe(_)));
        let unsubscribe = framed(0xa2, &[&[0, 1], v5, &long].concat());
        assert!(matches!(decode_packet(version, &unsubscribe), Packet::Unsubscribe(_)));
        let name = match version {
            Version::V31 => bytes("0006 'MQIsdp' 03"),
            Version::V311 => bytes("0004 'MQTT' 04"),
            Version::V5 => bytes("0004 'MQTT' 05"),
        };
        // As long as a CONNECT has room for it.
        let topic = [&[0xff, 0xc8][..], &[b'a'; 0xffc8]].concat();
        let connect = [&name[..], &[6, 0, 60], v5, &[0, 1, b'c'], v5, &topic, &[0, 0]].concat();
        let connect = framed(0x10, &connect);
        assert_eq!(decode_connect(&connect).will.map(|will| will.topic.len()), Some(0xffc8));
    }
}

/// Bits of the first byte that v3.1 does not use are nobody's fault there.
#[test]
fn version_3_1_leaves_flags_unused() {
    for flags in 0..16 {
        let connect = framed(0x10 | flags, &bytes("0006 'MQIsdp' 03 02 003c 0001 'a'"));
        assert_eq!(decode_connect(&connect).client_id, "a");
        for (first, body) in
            [(0x40, "0001"), (0x50, "0001"), (0x70, "0001"), (0xc0, ""), (0xe0, "")]
        {
            decode_packet(Version::V31, &framed(first | flags, &bytes(body)));
        }
    }
    for flags in [0b0010, 0b0011, 0b1010, 0b1011] {
        for (first, body) in [(0x60, "0001"), (0x80, "0001 0001 'a' 00"), (0xa0, "0001 0001 'a'")] {
            decode_packet(Version::V31, &framed(first | flags, &bytes(body)));
        }
    }
}

/// A CONNECT over the limit is answered in the version that its first bytes name.
#[test]
fn connect_too_large() {
    // The fixed header has four bytes more.
    let over = CONNECT_SIZE_MAX - 3;
    let length = [over as u8 | 0x80, (over >> 7) as u8 | 0x80, (over >> 14) as u8];
    for (level, answer) in [(4u8, None), (5, Some(0x95))] {
        let mut packet = vec![0x10];
        packet.extend(length);
        packet.extend(bytes("0004 'MQTT'"));
        assert!(matches!(decode(Version::V311, &packet), Ok(None)));
        packet.push(level);
        let (fault, connect_fault) = decode(Version::V311, &packet).expect_err("too large");
        assert_eq!(fault.label(), "packet_too_large");
        let mut out = Vec::new();
        let told = connect_fault.expect("a fault of CONNECT").connack(&mut out);
        assert_eq!((told, out.get(3).copied()), (answer.is_some(), answer));
    }
}

/// What people read says where, and nothing of what the client wrote.
#[test]
fn sentences() {
    let (fault, _) = decode(Version::V311, &bytes("30 04 0001 ff 00")).expect_err("not UTF-8");
    assert_eq!(fault.to_string(), "the topic is not UTF-8");
    let (fault, _) = decode(Version::V5, &bytes("30 06 0001 'a' 02 01 02")).expect_err("a value");
    assert!(fault.to_string().starts_with("property 0x01 has a value"), "{fault}");
}
