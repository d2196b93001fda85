//! What an independent codec writes is decoded to the same fields, and what we write is read by it.
//! Every packet it writes is also cut at every byte: a prefix is never a fault and never a packet.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::{self as five, v5};

use super::*;
use crate::mqtt::encode::{self, Answer, ConnAckProperties, Delivery};
use crate::mqtt::{Filter, UserProperties};

type Pairs = Vec<(String, String)>;

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,24}"
}

fn some_text() -> impl Strategy<Value = String> {
    "[^\\x00]{1,24}"
}

fn topic() -> impl Strategy<Value = String> {
    "[^\\x00+#]{1,48}"
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => "[a-zé$ ]{0,6}", 1 => Just("+".to_owned())];
    (vec(level, 1..6), any::<bool>())
        .prop_map(|(levels, rest)| levels.join("/") + if rest { "/#" } else { "" })
        .prop_filter("not empty, not shared", |f| !f.is_empty() && !f.starts_with("$share/"))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 120..20_000)]
}

fn pairs() -> impl Strategy<Value = Pairs> {
    vec((text(), text()), 0..6)
}

fn collect(properties: UserProperties<'_>) -> Pairs {
    properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn bytes_of(data: Option<Vec<u8>>) -> Option<Bytes> {
    data.map(Bytes::from)
}

/// The bytes of a packet of v3.1.1, cut everywhere.
fn write_v4(write: impl FnOnce(&mut BytesMut) -> usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    assert_eq!(write(&mut out), out.len());
    check_prefixes(Version::V311, &out);
    out.to_vec()
}

/// The bytes of a packet of v5, cut everywhere.
fn write_v5(packet: v5::Packet) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).expect("rumqttc can write it");
    check_prefixes(Version::V5, &out);
    out.to_vec()
}

fn check_prefixes(version: Version, packet: &[u8]) {
    // Long packets are cut at their head, their end and here and there.
    let step = (packet.len() / 512).max(1);
    let near = packet.len().min(256);
    for end in (0..near).chain((near..packet.len()).step_by(step)).chain([packet.len() - 1]) {
        match decode(version, &packet[..end]) {
            Ok(None) => {}
            other => panic!("{end} of {} bytes: {other:?}", packet.len()),
        }
    }
}

proptest! {
    #[test]
    fn v311_connect(
        client_id in some_text(),
        keep_alive: u16,
        clean_session: bool,
        login in option::of((some_text(), text())),
        will in option::of((topic(), payload(), 0u8..3, any::<bool>())),
    ) {
        let written = v4::Connect {
            protocol: rumqttc::Protocol::V4,
            keep_alive,
            client_id,
            clean_session,
            last_will: will.map(|(topic, message, qos, retain)| v4::LastWill {
                topic,
                message: message.into(),
                qos: rumqttc::qos(qos).expect("0 to 2"),
                retain,
            }),
            login: login.map(|(username, password)| v4::Login { username, password }),
        };
        let packet = write_v4(|out| written.write(out).expect("rumqttc can write it"));
        let read = decode_connect(&packet);
        prop_assert_eq!(read.version, Version::V311);
        prop_assert_eq!(read.client_id, &written.client_id);
        prop_assert_eq!((read.keep_alive, read.clean_start), (keep_alive, clean_session));
        let login = written.login.as_ref();
        prop_assert_eq!(read.username, login.map(|login| login.username.as_str()));
        // rumqttc leaves an empty password out.
        let password = login.map(|login| login.password.as_bytes()).filter(|p| !p.is_empty());
        prop_assert_eq!(read.password, password);
        prop_assert_eq!(read.will.is_some(), written.last_will.is_some());
        if let (Some(read), Some(written)) = (read.will, written.last_will) {
            prop_assert_eq!(read.topic, &written.topic);
            prop_assert_eq!(read.payload, &written.message);
            prop_assert_eq!((read.qos, read.retain), (written.qos as u8, written.retain));
        }
    }

    #[test]
    fn v311_publish(
        topic in topic(),
        payload in payload(),
        qos in 0u8..3,
        dup: bool,
        retain: bool,
        pkid in 1u16..,
    ) {
        let written = v4::Publish {
            dup: dup && qos > 0,
            qos: rumqttc::qos(qos).expect("0 to 2"),
            retain,
            topic,
            pkid,
            payload: payload.into(),
        };
        let packet = write_v4(|out| written.write(out).expect("rumqttc can write it"));
        let (read, payload) = decode_publish(Version::V311, &packet);
        prop_assert_eq!(read.topic, &written.topic);
        prop_assert_eq!(payload, &written.payload);
        prop_assert_eq!((read.dup, read.qos, read.retain), (written.dup, qos, retain));
        prop_assert_eq!(read.packet_id, if qos == 0 { 0 } else { pkid });
        prop_assert!(read.user_properties.is_empty());
    }

    #[test]
    fn v311_subscriptions(pkid in 1u16.., filters in vec((filter(), 0u8..3), 1..8)) {
        let written = v4::Subscribe {
            pkid,
            filters: filters
                .iter()
                .map(|(path, qos)| {
                    v4::SubscribeFilter::new(path.clone(), rumqttc::qos(*qos).expect("0 to 2"))
                })
                .collect(),
        };
        let packet = write_v4(|out| written.write(out).expect("rumqttc can write it"));
        let Packet::Subscribe(read) = decode_packet(Version::V311, &packet) else { panic!() };
        prop_assert_eq!(read.packet_id, pkid);
        let read: Vec<_> = read.filters().map(|f| (f.filter.to_owned(), f.qos)).collect();
        prop_assert_eq!(&read, &filters);

        let topics: Vec<String> = filters.into_iter().map(|(path, _)| path).collect();
        let written = v4::Unsubscribe { pkid, topics };
        let packet = write_v4(|out| written.write(out).expect("rumqttc can write it"));
        let Packet::Unsubscribe(read) = decode_packet(Version::V311, &packet) else { panic!() };
        prop_assert_eq!(read.packet_id, pkid);
        let read: Vec<_> = read.filters().map(str::to_owned).collect();
        prop_assert_eq!(read, written.topics);
    }

    #[test]
    fn v5_connect(
        client_id in text(),
        keep_alive: u16,
        clean_start: bool,
        login in (text(), text()),
        properties in option::of((
            option::of(any::<u32>()),
            option::of(1u16..),
            option::of(1u32..),
            option::of(any::<u16>()),
            option::of(0u8..2),
            option::of(0u8..2),
            pairs(),
            option::of((text(), option::of(payload().prop_map(|p| p[..p.len().min(99)].to_vec())))),
        )),
        will in option::of((
            topic(), payload(), 0u8..3, any::<bool>(),
            option::of((
                option::of(any::<u32>()),
                option::of(0u8..2),
                option::of(any::<u32>()),
                option::of(some_text()),
                option::of(topic()),
                option::of(vec(any::<u8>(), 0..32)),
                pairs(),
            )),
        )),
    ) {
        let written = v5::Connect {
            keep_alive,
            client_id,
            clean_start,
            properties: properties.map(|p| v5::ConnectProperties {
                session_expiry_interval: p.0,
                receive_maximum: p.1,
                max_packet_size: p.2,
                topic_alias_max: p.3,
                request_response_info: p.4,
                request_problem_info: p.5,
                user_properties: p.6,
                authentication_method: p.7.clone().map(|(method, _)| method),
                authentication_data: bytes_of(p.7.and_then(|(_, data)| data)),
            }),
        };
        let will = will.map(|(topic, message, qos, retain, properties)| v5::LastWill {
            topic: topic.into(),
            message: message.into(),
            qos: five::qos(qos).expect("0 to 2"),
            retain,
            properties: properties.map(|p| v5::LastWillProperties {
                delay_interval: p.0,
                payload_format_indicator: p.1,
                message_expiry_interval: p.2,
                content_type: p.3,
                response_topic: p.4,
                correlation_data: bytes_of(p.5),
                user_properties: p.6,
            }),
        });
        let login = v5::Login { username: login.0, password: login.1 };
        let packet = write_v5(v5::Packet::Connect(written.clone(), will.clone(), Some(login.clone())));
        let read = decode_connect(&packet);
        prop_assert_eq!(read.version, Version::V5);
        prop_assert_eq!(read.client_id, &written.client_id);
        prop_assert_eq!((read.keep_alive, read.clean_start), (keep_alive, clean_start));
        // rumqttc leaves empty ones out.
        prop_assert_eq!(read.username.unwrap_or_default(), login.username);
        prop_assert_eq!(read.password.unwrap_or_default(), login.password.as_bytes());
        let properties = written.properties.unwrap_or_default();
        prop_assert_eq!(read.session_expiry, properties.session_expiry_interval.unwrap_or(0));
        prop_assert_eq!(read.receive_maximum, properties.receive_maximum.unwrap_or(65_535));
        prop_assert_eq!(read.maximum_packet_size, properties.max_packet_size);
        prop_assert_eq!(read.topic_alias_maximum, properties.topic_alias_max.unwrap_or(0));
        prop_assert_eq!(
            read.request_response_information,
            properties.request_response_info.unwrap_or(0) == 1
        );
        prop_assert_eq!(
            read.request_problem_information,
            properties.request_problem_info.unwrap_or(1) == 1
        );
        prop_assert_eq!(collect(read.user_properties), properties.user_properties);
        prop_assert_eq!(read.authentication_method, properties.authentication_method.as_deref());
        prop_assert_eq!(read.authentication_data, properties.authentication_data.as_deref());
        prop_assert_eq!(read.will.is_some(), will.is_some());
        if let (Some(read), Some(written)) = (read.will, will) {
            prop_assert_eq!(read.topic.as_bytes(), &written.topic);
            prop_assert_eq!(read.payload, &written.message);
            prop_assert_eq!((read.qos, read.retain), (written.qos as u8, written.retain));
            if let Some(properties) = written.properties {
                prop_assert_eq!(read.delay_s, properties.delay_interval.unwrap_or(0));
                prop_assert_eq!(
                    read.payload_format_utf8,
                    properties.payload_format_indicator.unwrap_or(0) == 1
                );
                prop_assert_eq!(read.message_expiry, properties.message_expiry_interval);
                prop_assert_eq!(read.content_type, properties.content_type.unwrap_or_default());
                prop_assert_eq!(read.response_topic, properties.response_topic.as_deref());
                prop_assert_eq!(read.correlation_data, properties.correlation_data.as_deref());
                prop_assert_eq!(collect(read.user_properties), properties.user_properties);
            }
        }
    }

    #[test]
    fn v5_publish(
        topic in topic(),
        payload in payload(),
        qos in 0u8..3,
        dup: bool,
        retain: bool,
        pkid in 1u16..,
        properties in option::of((
            option::of(0u8..2),
            option::of(any::<u32>()),
            option::of(1u16..),
            option::of(topic()),
            option::of(vec(any::<u8>(), 0..200)),
            pairs(),
            option::of(some_text()),
        )),
    ) {
        let written = v5::Publish {
            dup: dup && qos > 0,
            qos: five::qos(qos).expect("0 to 2"),
            retain,
            topic: topic.into(),
            pkid: if qos == 0 { 0 } else { pkid },
            payload: payload.into(),
            properties: properties.map(|p| v5::PublishProperties {
                payload_format_indicator: p.0,
                message_expiry_interval: p.1,
                topic_alias: p.2,
                response_topic: p.3,
                correlation_data: bytes_of(p.4),
                user_properties: p.5,
                subscription_identifiers: Vec::new(),
                content_type: p.6,
            }),
        };
        let packet = write_v5(v5::Packet::Publish(written.clone()));
        let (read, payload) = decode_publish(Version::V5, &packet);
        prop_assert_eq!(read.topic.as_bytes(), &written.topic);
        prop_assert_eq!(payload, &written.payload);
        prop_assert_eq!((read.dup, read.qos, read.retain), (written.dup, qos, retain));
        prop_assert_eq!(read.packet_id, written.pkid);
        let properties = written.properties.unwrap_or_default();
        prop_assert_eq!(
            read.payload_format_utf8,
            properties.payload_format_indicator.unwrap_or(0) == 1
        );
        prop_assert_eq!(read.message_expiry, properties.message_expiry_interval);
        prop_assert_eq!(read.topic_alias, properties.topic_alias);
        prop_assert_eq!(read.response_topic, properties.response_topic.as_deref());
        prop_assert_eq!(read.correlation_data, properties.correlation_data.as_deref());
        prop_assert_eq!(collect(read.user_properties), properties.user_properties);
        prop_assert_eq!(read.content_type, properties.content_type.unwrap_or_default());
    }

    #[test]
    fn v5_subscriptions(
        pkid in 1u16..,
        filters in vec((filter(), 0u8..3, any::<bool>(), any::<bool>(), 0u8..3), 1..8),
        id in option::of(1usize..268_435_456),
        user_properties in pairs(),
    ) {
        let written = v5::Subscribe {
            pkid,
            filters: filters
                .iter()
                .map(|(path, qos, nolocal, preserve_retain, handling)| v5::Filter {
                    path: path.clone(),
                    qos: five::qos(*qos).expect("0 to 2"),
                    nolocal: *nolocal,
                    preserve_retain: *preserve_retain,
                    retain_forward_rule: match handling {
                        0 => v5::RetainForwardRule::OnEverySubscribe,
                        1 => v5::RetainForwardRule::OnNewSubscribe,
                        _ => v5::RetainForwardRule::Never,
                    },
                })
                .collect(),
            properties: Some(v5::SubscribeProperties { id, user_properties: user_properties.clone() }),
        };
        let packet = write_v5(v5::Packet::Subscribe(written));
        let Packet::Subscribe(read) = decode_packet(Version::V5, &packet) else { panic!() };
        prop_assert_eq!(read.packet_id, pkid);
        prop_assert_eq!(read.subscription_identifier.map(|id| id as usize), id);
        prop_assert_eq!(collect(read.user_properties), user_properties.clone());
        let expected: Vec<_> = filters
            .iter()
            .map(|(filter, qos, no_local, retain_as_published, retain_handling)| Filter {
                filter,
                shared: false,
                qos: *qos,
                no_local: *no_local,
                retain_as_published: *retain_as_published,
                retain_handling: *retain_handling,
            })
            .collect();
        prop_assert_eq!(read.filters().collect::<Vec<_>>(), expected);

        let written = v5::Unsubscribe {
            pkid,
            filters: filters.iter().map(|(path, ..)| path.clone()).collect(),
            properties: Some(v5::UnsubscribeProperties { user_properties: user_properties.clone() }),
        };
        let packet = write_v5(v5::Packet::Unsubscribe(written.clone()));
        let Packet::Unsubscribe(read) = decode_packet(Version::V5, &packet) else { panic!() };
        prop_assert_eq!(collect(read.user_properties), user_properties);
        prop_assert_eq!(read.filters().collect::<Vec<_>>(), written.filters);
    }

    #[test]
    fn v5_acknowledgements(
        pkid in 1u16..,
        user_properties in pairs(),
        reason_string in option::of(text()),
    ) {
        let written = v5::PubAck {
            pkid,
            reason: v5::PubAckReason::QuotaExceeded,
            properties: Some(v5::PubAckProperties {
                reason_string: reason_string.clone(),
                user_properties: user_properties.clone(),
            }),
        };
        let packet = write_v5(v5::Packet::PubAck(written));
        let read = decode_packet(Version::V5, &packet);
        let Packet::PubAck { packet_id, code: 0x97 } = read else { panic!("{read:?}") };
        prop_assert_eq!(packet_id, pkid);

        let written = v5::PubRel {
            pkid,
            reason: v5::PubRelReason::PacketIdentifierNotFound,
            properties: Some(v5::PubRelProperties {
                reason_string: reason_string.clone(),
                user_properties: user_properties.clone(),
            }),
        };
        let packet = write_v5(v5::Packet::PubRel(written));
        let read = decode_packet(Version::V5, &packet);
        let Packet::PubRel { packet_id, code: 0x92 } = read else { panic!("{read:?}") };
        prop_assert_eq!(packet_id, pkid);

        let written = v5::Disconnect {
            reason_code: v5::DisconnectReasonCode::DisconnectWithWillMessage,
            properties: Some(v5::DisconnectProperties {
                session_expiry_interval: Some(7),
                reason_string,
                user_properties,
                server_reference: None,
            }),
        };
        let packet = write_v5(v5::Packet::Disconnect(written));
        let read = decode_packet(Version::V5, &packet);
        let is_as_written =
            matches!(read, Packet::Disconnect { code: 4, session_expiry: Some(7) });
        prop_assert!(is_as_written, "{:?}", read);
    }

    /// Ours to theirs: the packets of a server, and that each ends where it says.
    #[test]
    fn ours_are_read(
        pkid in 1u16..,
        present: bool,
        topic in topic(),
        payload in payload(),
        retain: bool,
        user_properties in pairs(),
        content_type in text(),
        response_topic in option::of(topic()),
        correlation_data in option::of(vec(any::<u8>(), 0..32)),
        message_expiry: Option<u32>,
        payload_format_utf8: bool,
        numbers: (Option<u32>, u16, Option<u32>, u16, Option<u16>),
        flags: [bool; 4],
        texts in (option::of(some_text()), option::of(some_text())),
    ) {
        let delivery = Delivery {
            topic: &topic,
            payload: &payload,
            retain,
            content_type: &content_type,
            payload_format_utf8,
            response_topic: response_topic.as_deref(),
            correlation_data: correlation_data.as_deref(),
            message_expiry,
            user_properties: &user_properties,
        };
        let connack = ConnAckProperties {
            session_expiry: numbers.0,
            receive_maximum: numbers.1.max(1),
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            server_keep_alive: numbers.4,
            retain_available: flags[0],
            wildcard_subscription_available: flags[1],
            subscription_identifier_available: flags[2],
            shared_subscription_available: flags[3],
            assigned_client_id: texts.0.as_deref(),
            reason_string: texts.1.as_deref(),
        };
        let write = |version| {
            let mut out = Vec::new();
            assert!(encode::connack(&mut out, version, present, 0, &connack, None));
            assert!(encode::acknowledge(&mut out, Answer::Puback, version, pkid, 0, None));
            assert!(encode::acknowledge(&mut out, Answer::Pubrec, version, pkid, 0, None));
            assert!(encode::acknowledge(&mut out, Answer::Pubcomp, version, pkid, 0, None));
            assert!(encode::suback(&mut out, version, pkid, &[0, 1, 2, 0x80], None));
            assert!(encode::unsuback(&mut out, version, pkid, &[0, 0x11], None));
            assert!(encode::pingresp(&mut out, None));
            assert!(encode::publish_qos0(&mut out, version, &delivery, None));
            BytesMut::from(&out[..])
        };

        let mut stream = write(Version::V311);
        let mut read = || v4::Packet::read(&mut stream, 1 << 20).expect("rumqttc can read it");
        prop_assert_eq!(
            read(),
            v4::Packet::ConnAck(v4::ConnAck::new(v4::ConnectReturnCode::Success, present))
        );
        prop_assert_eq!(read(), v4::Packet::PubAck(v4::PubAck::new(pkid)));
        prop_assert_eq!(read(), v4::Packet::PubRec(v4::PubRec::new(pkid)));
        prop_assert_eq!(read(), v4::Packet::PubComp(v4::PubComp::new(pkid)));
        let v4::Packet::SubAck(suback) = read() else { panic!() };
        prop_assert_eq!(suback.return_codes.len(), 4);
        prop_assert_eq!(read(), v4::Packet::UnsubAck(v4::UnsubAck::new(pkid)));
        prop_assert_eq!(read(), v4::Packet::PingResp);
        let v4::Packet::Publish(publish) = read() else { panic!() };
        prop_assert_eq!((&publish.topic, &publish.payload[..]), (&topic, &payload[..]));
        prop_assert_eq!((publish.retain, publish.qos as u8), (retain, 0));
        prop_assert!(stream.is_empty());

        let mut stream = write(Version::V5);
        for code in [0x10, 0x97, 0x99] {
            let mut more = Vec::new();
            assert!(encode::acknowledge(&mut more, Answer::Puback, Version::V5, pkid, code, None));
            assert!(encode::acknowledge(&mut more, Answer::Pubrec, Version::V5, pkid, code, None));
            assert!(encode::acknowledge(&mut more, Answer::Pubcomp, Version::V5, pkid, 0x92, None));
            assert!(encode::disconnect(&mut more, 0x8b, None, None));
            assert!(encode::disconnect(&mut more, 0x82, texts.1.as_deref(), None));
            stream.extend_from_slice(&more);
        }
        let mut read = || v5::Packet::read(&mut stream, None).expect("rumqttc can read it");
        let v5::Packet::ConnAck(read_connack) = read() else { panic!() };
        prop_assert_eq!(read_connack.session_present, present);
        let read_properties = read_connack.properties;
        let is = |flag: bool| (!flag).then_some(0);
        let expected = v5::ConnAckProperties {
            session_expiry_interval: numbers.0,
            receive_max: Some(connack.receive_maximum).filter(|maximum| *maximum != 65_535),
            max_qos: None,
            retain_available: is(flags[0]),
            max_packet_size: numbers.2,
            assigned_client_identifier: texts.0.clone(),
            topic_alias_max: Some(numbers.3).filter(|maximum| *maximum != 0),
            reason_string: texts.1.clone(),
            user_properties: Vec::new(),
            wildcard_subscription_available: is(flags[1]),
            subscription_identifiers_available: is(flags[2]),
            shared_subscription_available: is(flags[3]),
            server_keep_alive: numbers.4,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        };
        match read_properties {
            Some(read) => prop_assert_eq!(read, expected),
            None => prop_assert_eq!(connack, ConnAckProperties::default()),
        }
        prop_assert_eq!(read(), v5::Packet::PubAck(v5::PubAck::new(pkid, None)));
        prop_assert_eq!(read(), v5::Packet::PubRec(v5::PubRec::new(pkid, None)));
        prop_assert_eq!(read(), v5::Packet::PubComp(v5::PubComp::new(pkid, None)));
        let v5::Packet::SubAck(suback) = read() else { panic!() };
        prop_assert_eq!(suback.return_codes.len(), 4);
        let v5::Packet::UnsubAck(unsuback) = read() else { panic!() };
        prop_assert_eq!(unsuback.reasons.len(), 2);
        prop_assert!(matches!(read(), v5::Packet::PingResp(_)));
        let v5::Packet::Publish(publish) = read() else { panic!() };
        prop_assert_eq!((&publish.topic[..], &publish.payload[..]), (topic.as_bytes(), &payload[..]));
        let properties = publish.properties.unwrap_or_default();
        prop_assert_eq!(properties.user_properties, user_properties);
        prop_assert_eq!(properties.content_type.unwrap_or_default(), content_type);
        prop_assert_eq!(properties.response_topic, response_topic);
        prop_assert_eq!(properties.correlation_data.as_deref(), correlation_data.as_deref());
        prop_assert_eq!(properties.message_expiry_interval, message_expiry);
        prop_assert_eq!(properties.payload_format_indicator, payload_format_utf8.then_some(1));
        for reason in [
            v5::PubAckReason::NoMatchingSubscribers,
            v5::PubAckReason::QuotaExceeded,
            v5::PubAckReason::PayloadFormatInvalid,
        ] {
            let v5::Packet::PubAck(puback) = read() else { panic!() };
            prop_assert_eq!((puback.pkid, puback.reason), (pkid, reason));
            prop_assert!(matches!(read(), v5::Packet::PubRec(_)));
            let v5::Packet::PubComp(pubcomp) = read() else { panic!() };
            prop_assert_eq!(pubcomp.reason, v5::PubCompReason::PacketIdentifierNotFound);
            let v5::Packet::Disconnect(disconnect) = read() else { panic!() };
            prop_assert_eq!(disconnect.reason_code, v5::DisconnectReasonCode::ServerShuttingDown);
            let v5::Packet::Disconnect(disconnect) = read() else { panic!() };
            let reason_string = disconnect.properties.and_then(|p| p.reason_string);
            prop_assert_eq!(&reason_string, &texts.1);
        }
        prop_assert!(stream.is_empty());
    }
}
