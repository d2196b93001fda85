//! Hand-written packets of every type, and the fields that must come out.

use super::*;
use crate::mqtt::{Filter, reason};

#[test]
fn fixed_header_of_every_length() {
    for (text, remaining, len) in [
        ("30 00", 0, 2),
        ("30 7f", 127, 2),
        ("30 8001", 128, 3),
        ("30 ff7f", 16_383, 3),
        ("30 808001", 16_384, 4),
        ("30 ffff7f", 2_097_151, 4),
        ("30 80808001", 2_097_152, 5),
        ("30 ffffff7f", 268_435_455, 5),
    ] {
        let header = header(&bytes(text));
        assert_eq!((header.remaining, header.len), (remaining, len), "{text}");
        assert_eq!(header.packet_size(), remaining + u32::from(len));
    }
    for incomplete in ["", "30", "30 80", "30 8080", "30 808080"] {
        assert_eq!(fixed_header(&bytes(incomplete)), Ok(None), "{incomplete}");
    }
}

#[test]
fn connect_v311_least() {
    let packet = bytes("10 0d 0004 'MQTT' 04 02 003c 0001 'a'");
    let connect = decode_connect(&packet);
    assert_eq!(connect.version, Version::V311);
    assert_eq!((connect.client_id, connect.clean_start, connect.keep_alive), ("a", true, 60));
    assert!(connect.will.is_none() && connect.username.is_none() && connect.password.is_none());
    assert_eq!((connect.session_expiry, connect.receive_maximum), (0, 65_535));
    assert!(connect.request_problem_information && !connect.request_response_information);
}

#[test]
fn connect_v311_whole() {
    let packet = bytes(
        "10 24 0004 'MQTT' 04 ec 0000 0002 'id' 0003 'w/t' 0004 00ff2b23 0004 'user' 0003 'pwd'",
    );
    let connect = decode_connect(&packet);
    let will = connect.will.expect("a will");
    assert_eq!((will.topic, will.payload), ("w/t", &[0, 0xff, 0x2b, 0x23][..]));
    assert_eq!((will.qos, will.retain, will.delay_s), (1, true, 0));
    assert_eq!((connect.username, connect.password), (Some("user"), Some(&b"pwd"[..])));
    assert_eq!((connect.clean_start, connect.session_expiry), (false, u32::MAX));
    let debug = format!("{connect:?}");
    assert!(!debug.contains("pwd") && !debug.contains("112, 119, 100"), "a secret in {debug}");
}

#[test]
fn connect_v31() {
    let packet = bytes("10 0f 0006 'MQIsdp' 03 02 000f 0001 'a'");
    let connect = decode_connect(&packet);
    assert_eq!((connect.version, connect.client_id), (Version::V31, "a"));
    // Longer than the 23 characters that v3.1 recommends.
    let long = framed(0x10, &bytes("0006 'MQIsdp' 03 00 000f 0018 'abcdefghijklmnopqrstuvwx'"));
    assert_eq!(decode_connect(&long).client_id.len(), 24);
    // A user name is announced and is not there; bits that v3.1 does not use are set.
    let odd = framed(0x10, &bytes("0006 'MQIsdp' 03 fb 000f 0001 'a'"));
    let connect = decode_connect(&odd);
    assert!(connect.username.is_none() && connect.password.is_none() && connect.will.is_none());
}

#[test]
fn connect_v5_least() {
    let packet = bytes("10 0d 0004 'MQTT' 05 02 0000 00 0000");
    let connect = decode_connect(&packet);
    assert_eq!((connect.version, connect.client_id), (Version::V5, ""));
    assert_eq!((connect.receive_maximum, connect.maximum_packet_size), (65_535, None));
    assert_eq!((connect.session_expiry, connect.topic_alias_maximum), (0, 0));
    // Without clean start a v5 session still ends with its connection unless it says otherwise.
    let kept = bytes("10 0d 0004 'MQTT' 05 00 0000 00 0000");
    assert_eq!(decode_connect(&kept).session_expiry, 0);
}

#[test]
fn connect_v5_whole() {
    let properties = bytes(
        "11 0000000a 21 0014 27 00001000 22 0005 19 01 17 00 \
         26 0001 'k' 0001 'v' 15 0005 'SCRAM' 16 0002 0102 26 0001 'k' 0000",
    );
    let will_properties = bytes(
        "18 00000005 01 01 02 0000003c 03 0004 'text' 08 0003 'r/t' 09 0002 ffff \
         26 0002 'wk' 0002 'wv'",
    );
    let mut body = bytes("0004 'MQTT' 05 56 012c");
    body.push(properties.len() as u8);
    body.extend(properties);
    body.extend(bytes("0002 'id'"));
    body.push(will_properties.len() as u8);
    body.extend(will_properties);
    // A password without a user name, which only v5 allows.
    body.extend(bytes("0001 'w' 0000 0002 00ff"));
    let packet = framed(0x10, &body);
    let connect = decode_connect(&packet);
    assert_eq!((connect.session_expiry, connect.receive_maximum), (10, 20));
    assert_eq!((connect.maximum_packet_size, connect.topic_alias_maximum), (Some(4096), 5));
    assert!(connect.request_response_information && !connect.request_problem_information);
    assert_eq!(connect.authentication_method, Some("SCRAM"));
    assert_eq!(connect.authentication_data, Some(&[1, 2][..]));
    assert_eq!(connect.user_properties.iter().collect::<Vec<_>>(), [("k", "v"), ("k", "")]);
    assert_eq!((connect.username, connect.password), (None, Some(&[0, 0xff][..])));
    let will = connect.will.expect("a will");
    assert_eq!((will.topic, will.payload, will.qos, will.retain), ("w", &[][..], 2, false));
    assert_eq!((will.delay_s, will.message_expiry), (5, Some(60)));
    assert!(will.payload_format_utf8);
    assert_eq!((will.content_type, will.response_topic), ("text", Some("r/t")));
    assert_eq!(will.correlation_data, Some(&[0xff, 0xff][..]));
    assert_eq!(will.user_properties.iter().collect::<Vec<_>>(), [("wk", "wv")]);
}

#[test]
fn publish_v3() {
    for version in [Version::V31, Version::V311] {
        let packet = bytes("30 05 0001 'a' 'hi'");
        let (head, payload) = decode_publish(version, &packet);
        assert_eq!((head.topic, head.qos, head.packet_id), ("a", 0, 0));
        assert_eq!((head.head_len, payload), (3, &b"hi"[..]));
        assert!(!head.dup && !head.retain && head.content_type.is_empty());

        // An empty payload, and every flag.
        let packet = bytes("3b 07 0003 'a/b' ffff");
        let (head, payload) = decode_publish(version, &packet);
        assert_eq!((head.topic, head.qos, head.packet_id), ("a/b", 1, 65_535));
        assert!(head.dup && head.retain && payload.is_empty());

        let packet = bytes("34 06 0002 c3a9 0001");
        assert_eq!(decode_publish(version, &packet).0.topic, "é");
    }
}

#[test]
fn publish_v5() {
    let packet = bytes("32 08 0003 'a/b' 0009 00");
    let (head, payload) = decode_publish(Version::V5, &packet);
    assert_eq!((head.topic, head.packet_id, head.head_len), ("a/b", 9, 8));
    assert!(payload.is_empty() && head.user_properties.is_empty());

    let properties = bytes(
        "01 01 02 00000e10 23 0007 08 0001 'r' 09 0003 000102 26 0001 'a' 0001 'b' \
         03 0004 'json' 26 0001 'c' 0001 'd'",
    );
    let mut body = bytes("0000 0001");
    body.push(properties.len() as u8);
    body.extend(properties);
    body.extend(b"payload");
    let packet = framed(0x34, &body);
    let (head, payload) = decode_publish(Version::V5, &packet);
    assert_eq!((head.topic, head.topic_alias, head.qos), ("", Some(7), 2));
    assert!(head.payload_format_utf8);
    assert_eq!((head.message_expiry, head.response_topic), (Some(3600), Some("r")));
    assert_eq!(head.correlation_data, Some(&[0, 1, 2][..]));
    assert_eq!(head.content_type, "json");
    assert_eq!(head.user_properties.len(), 2);
    assert_eq!(head.user_properties.iter().collect::<Vec<_>>(), [("a", "b"), ("c", "d")]);
    assert_eq!(payload, b"payload");
}

/// The head of a 64 MiB PUBLISH is there long before its payload.
#[test]
fn publish_head_before_its_payload() {
    let head_bytes = bytes("32 80808020 0003 'a/b' 0009");
    let header = header(&head_bytes);
    assert_eq!(header.remaining, 64 * 1024 * 1024);
    let body = &head_bytes[5..];
    let head = publish_head(Version::V311, &header, body).expect("good").expect("whole");
    assert_eq!((head.topic, head.packet_id, head.head_len), ("a/b", 9, 7));
    for end in 0..body.len() {
        let head = publish_head(Version::V311, &header, &body[..end]).expect("good");
        assert!(head.is_none(), "{end} bytes are no head");
    }
}

#[test]
fn topics_may_hold_what_the_standard_allows() {
    for topic in ["/", "//", "a/ /b", "$SYS/x", "\u{1}\u{7f}", "\u{feff}x", "\u{10ffff}", "ü"] {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        assert_eq!(decode_publish(Version::V311, &framed(0x30, &body)).0.topic, topic);
    }
}

#[test]
fn acknowledgements() {
    for (first, name) in [(0x40, "PubAck"), (0x50, "PubRec"), (0x62, "PubRel"), (0x70, "PubComp")] {
        for version in VERSIONS {
            let packet = [first, 2, 0x12, 0x34];
            let debug = format!("{:?}", decode_packet(version, &packet));
            assert_eq!(debug, format!("{name} {{ packet_id: 4660, code: 0 }}"));
        }
        let code = if first < 0x60 { 0x97 } else { 0x92 };
        let expected = format!("{name} {{ packet_id: 1, code: {code} }}");
        let short = framed(first, &[0, 1, code]);
        let no_properties = framed(first, &[0, 1, code, 0]);
        let properties = bytes("1f 0002 'no' 26 0001 'k' 0001 'v'");
        let mut long = vec![0, 1, code, properties.len() as u8];
        long.extend(properties);
        for packet in [short, no_properties, framed(first, &long)] {
            assert_eq!(format!("{:?}", decode_packet(Version::V5, &packet)), expected);
        }
    }
}

/// v3.1 may send these again with DUP.
#[test]
fn v31_dup_of_other_packets() {
    for text in ["6a 02 0001", "8a 06 0001 0001 'a' 00", "aa 05 0001 0001 'a'"] {
        let packet = bytes(text);
        assert!(matches!(decode(Version::V31, &packet), Ok(Some(_))), "{text}");
    }
}

#[test]
fn subscribe_v3() {
    let packet = bytes("82 17 000a 0003 'a/b' 01 0001 '#' 00 0003 '+/+' 02 0002 '/#' 00");
    for version in [Version::V31, Version::V311] {
        let Packet::Subscribe(subscribe) = decode_packet(version, &packet) else { panic!() };
        assert_eq!((subscribe.packet_id, subscribe.subscription_identifier), (10, None));
        let filters: Vec<_> = subscribe.filters().map(|f| (f.filter, f.qos, f.shared)).collect();
        assert_eq!(
            filters,
            [("a/b", 1, false), ("#", 0, false), ("+/+", 2, false), ("/#", 0, false)]
        );
    }
}

#[test]
fn subscribe_v5() {
    let packet = framed(
        0x82,
        &bytes("0001 0a 0b ff7f 26 0001 'k' 0001 'v' 000c '$share/g/a/#' 1a 0001 'b' 2c"),
    );
    let Packet::Subscribe(subscribe) = decode_packet(Version::V5, &packet) else { panic!() };
    assert_eq!(subscribe.subscription_identifier, Some(16_383));
    assert_eq!(subscribe.user_properties.iter().collect::<Vec<_>>(), [("k", "v")]);
    assert_eq!(
        subscribe.filters().collect::<Vec<_>>(),
        [
            Filter {
                filter: "$share/g/a/#",
                shared: true,
                qos: 2,
                no_local: false,
                retain_as_published: true,
                retain_handling: 1,
            },
            Filter {
                filter: "b",
                shared: false,
                qos: 0,
                no_local: true,
                retain_as_published: true,
                retain_handling: 2,
            },
        ]
    );
}

/// In v3 a share name that is none is a filter like any other.
#[test]
fn share_names_in_v3() {
    for (filter, shared) in [
        ("$share/g/a", true),
        ("$share/g//", true),
        ("$share/g", false),
        ("$share/g/", false),
        ("$share//a", false),
        ("$share/+/a", false),
        ("$share", false),
        ("$shared/g/a", false),
    ] {
        let mut body = vec![0, 1, 0, filter.len() as u8];
        body.extend(filter.as_bytes());
        body.push(0);
        let packet = framed(0x82, &body);
        let Packet::Subscribe(subscribe) = decode_packet(Version::V311, &packet) else { panic!() };
        assert_eq!(subscribe.filters().next().expect("one").shared, shared, "{filter}");
    }
}

#[test]
fn unsubscribe() {
    let packet = bytes("a2 0a 0001 0001 'a' 0003 'b/#'");
    let Packet::Unsubscribe(unsubscribe) = decode_packet(Version::V311, &packet) else { panic!() };
    assert_eq!(unsubscribe.filters().collect::<Vec<_>>(), ["a", "b/#"]);

    let packet = framed(0xa2, &bytes("0001 07 26 0001 'k' 0001 'v' 000a '$share/g/a'"));
    let Packet::Unsubscribe(unsubscribe) = decode_packet(Version::V5, &packet) else { panic!() };
    assert_eq!(unsubscribe.filters().collect::<Vec<_>>(), ["$share/g/a"]);
    assert_eq!(unsubscribe.user_properties.len(), 1);
}

#[test]
fn ping_and_disconnect() {
    for version in VERSIONS {
        assert!(matches!(decode_packet(version, &[0xc0, 0]), Packet::PingReq));
        assert!(matches!(
            decode_packet(version, &[0xe0, 0]),
            Packet::Disconnect { code: reason::SUCCESS, session_expiry: None }
        ));
    }
    for (text, expected_code, expected_expiry) in [
        ("e0 01 00", 0, None),
        ("e0 01 04", 4, None),
        ("e0 02 00 00", 0, None),
        ("e0 07 04 05 11 00000078", 4, Some(120)),
        ("e0 0d 80 0b 1f 0001 'x' 26 0001 'k' 0001 'v'", 0x80, None),
    ] {
        let packet = bytes(text);
        let Packet::Disconnect { code, session_expiry } = decode_packet(Version::V5, &packet)
        else {
            panic!()
        };
        assert_eq!((code, session_expiry), (expected_code, expected_expiry), "{text}");
    }
}

#[test]
fn auth() {
    let packet = framed(0xf0, &bytes("18 09 15 0001 'm' 16 0002 0102"));
    let Packet::Auth(auth) = decode_packet(Version::V5, &packet) else { panic!() };
    assert_eq!((auth.code, auth.method), (reason::CONTINUE_AUTHENTICATION, "m"));
    assert_eq!(auth.data, Some(&[1, 2][..]));
    assert!(!format!("{auth:?}").contains("[1, 2]"), "authentication data is a secret");
}

/// The most user properties that a packet may carry.
#[test]
fn user_properties_up_to_the_limit() {
    let mut body = bytes("0001 'a'");
    let block = bytes("26 0001 'k' 0001 'v'").repeat(64);
    body.extend([(block.len() % 128) as u8 | 0x80, (block.len() / 128) as u8]);
    body.extend(&block);
    let packet = framed(0x30, &body);
    let (head, _) = decode_publish(Version::V5, &packet);
    assert_eq!(head.user_properties.len(), 64);
    assert!(head.user_properties.iter().all(|property| property == ("k", "v")));
    assert_eq!(head.user_properties.iter().count(), 64);
}
