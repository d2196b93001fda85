//! Whatever a client sends: the decoder must not panic, must keep to what its types promise, and
//! must not change its mind when more bytes arrive.

use gateway::mqtt::{
    BODY_SIZE_MAX, Connect, ConnectFault, FIXED_HEADER_MAX, FixedHeader, Malformed,
    PUBLISH_HEAD_MAX, Packet, PacketType, PublishHead, USER_PROPERTIES_MAX, UserProperties,
    Version, connect, encode, fixed_header, packet, publish_head,
};

/// The most packets that one input is read as.
const PACKETS_MAX: usize = 64;

/// The most bytes of a packet that are given one by one.
const DRIBBLE_MAX: usize = 96;

/// Reads `data` as a connection would: the first byte chooses the version that holds until a
/// CONNECT names one, the rest is a stream of packets. Returns whether all of it was good packets.
pub fn decode_stream(data: &[u8]) -> bool {
    let Some((choice, mut stream)) = data.split_first() else {
        return false;
    };
    let mut version = [Version::V31, Version::V311, Version::V5][usize::from(choice % 3)];
    for _ in 0..PACKETS_MAX {
        dribble(version, stream);
        match decode(version, stream) {
            Verdict::Packet { size, named } => {
                stream = &stream[size..];
                version = named.unwrap_or(version);
            }
            Verdict::Incomplete => return stream.is_empty(),
            Verdict::Refused(_) => return false,
        }
    }
    false
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Incomplete,
    Packet { size: usize, named: Option<Version> },
    Refused(Malformed),
}

/// Bytes arrive one by one: nothing until a verdict, then the same one for ever.
fn dribble(version: Version, stream: &[u8]) {
    let whole = decode(version, stream);
    for end in 0..stream.len().min(DRIBBLE_MAX) {
        let early = decode(version, &stream[..end]);
        assert!(early == Verdict::Incomplete || early == whole, "{early:?}, then {whole:?}");
        if let Verdict::Packet { size, .. } = whole {
            assert!(early == Verdict::Incomplete || end >= size, "a packet before its end");
        }
    }
}

fn decode(version: Version, stream: &[u8]) -> Verdict {
    let header = match fixed_header(stream) {
        Ok(Some(header)) => header,
        Ok(None) => return Verdict::Incomplete,
        Err(fault) => return refused(fault),
    };
    check_header(&header);
    let body = &stream[usize::from(header.len)..];
    let whole = body.get(..header.remaining as usize);
    let size = header.packet_size() as usize;
    match (header.kind, whole) {
        (PacketType::Connect, _) => match connect(&header, body) {
            Ok(Some(connect)) => {
                check_connect(&connect);
                Verdict::Packet { size, named: Some(connect.version) }
            }
            Ok(None) => Verdict::Incomplete,
            Err(fault) => {
                check_connect_fault(&fault);
                refused(fault.cause)
            }
        },
        (PacketType::Publish, _) => match publish_head(version, &header, body) {
            Ok(Some(head)) => {
                check_publish(version, &header, &head, whole);
                match whole {
                    Some(_) => Verdict::Packet { size, named: None },
                    None => Verdict::Incomplete,
                }
            }
            Ok(None) => Verdict::Incomplete,
            Err(fault) => refused(fault),
        },
        (_, None) => Verdict::Incomplete,
        (_, Some(body)) => match packet(version, &header, body) {
            Ok(packet) => {
                check_packet(&packet);
                Verdict::Packet { size, named: None }
            }
            Err(fault) => refused(fault),
        },
    }
}

fn refused(fault: Malformed) -> Verdict {
    assert!(fault.code() >= 0x80, "a fault is a failure");
    assert!(!fault.label().is_empty() && !fault.to_string().is_empty());
    Verdict::Refused(fault)
}

fn check_header(header: &FixedHeader) {
    assert!((2..=FIXED_HEADER_MAX).contains(&usize::from(header.len)));
    assert!(header.remaining <= 0x0fff_ffff && header.flags <= 0x0f);
    if header.kind == PacketType::Publish {
        assert!(header.qos() <= 2 && !(header.dup() && header.qos() == 0));
    } else if header.kind != PacketType::Connect {
        assert!(header.remaining <= BODY_SIZE_MAX);
    }
}

fn check_connect(connect: &Connect<'_>) {
    assert!(!connect.client_id.contains('\0') && connect.receive_maximum > 0);
    assert!(connect.maximum_packet_size != Some(0));
    assert!(
        connect.username.is_some() || connect.password.is_none() || connect.version == Version::V5
    );
    assert!(!connect.client_id.is_empty() || connect.version != Version::V31);
    assert!(connect.authentication_method.is_some() || connect.authentication_data.is_none());
    check_properties(connect.user_properties);
    if let Some(will) = connect.will {
        check_topic(will.topic);
        assert!(will.qos <= 2);
        check_properties(will.user_properties);
    }
    let _ = format!("{connect:?}");
}

/// Its CONNACK is one packet, in the version that it is meant for.
fn check_connect_fault(fault: &ConnectFault) {
    let mut out = Vec::new();
    if fault.connack(&mut out) {
        assert_eq!(out[0], 0x20);
        let header = fixed_header(&[&[0xc0], &out[1..]].concat()).expect("its length is good");
        let header = header.expect("its length is whole");
        assert_eq!(header.packet_size() as usize, out.len());
        assert!(fault.version.is_some() && out[3] != 0, "a refusal in a known version");
    } else {
        assert!(out.is_empty());
    }
}

fn check_publish(
    version: Version,
    header: &FixedHeader,
    head: &PublishHead<'_>,
    body: Option<&[u8]>,
) {
    assert!(head.head_len <= header.remaining.min(PUBLISH_HEAD_MAX));
    assert_eq!(head.packet_id == 0, head.qos == 0);
    assert!(head.topic_alias != Some(0));
    if !head.topic.is_empty() || head.topic_alias.is_none() {
        check_topic(head.topic);
    }
    if let Some(topic) = head.response_topic {
        check_topic(topic);
    }
    check_properties(head.user_properties);
    if let Some(body) = body
        && !head.topic.is_empty()
    {
        check_delivery(version, head, &body[head.head_len as usize..]);
    }
}

/// What was received can be sent on, and a decoder reads the same in it.
fn check_delivery(version: Version, head: &PublishHead<'_>, payload: &[u8]) {
    let user_properties: Vec<_> = head.user_properties.iter().collect();
    let delivery = encode::Delivery {
        topic: head.topic,
        payload,
        retain: head.retain,
        content_type: head.content_type,
        payload_format_utf8: head.payload_format_utf8,
        response_topic: head.response_topic,
        correlation_data: head.correlation_data,
        message_expiry: head.message_expiry,
        user_properties: &user_properties,
    };
    let mut out = Vec::new();
    assert!(encode::publish_qos0(&mut out, version, &delivery, None), "it fitted into a packet");
    let header = fixed_header(&out).expect("good").expect("whole");
    assert_eq!(header.packet_size() as usize, out.len());
    let body = &out[usize::from(header.len)..];
    let again = publish_head(version, &header, body).expect("good").expect("whole");
    assert_eq!((again.topic, again.qos, again.retain), (head.topic, 0, head.retain));
    assert_eq!(&body[again.head_len as usize..], payload);
    assert_eq!(again.content_type, head.content_type);
    assert_eq!(again.payload_format_utf8, head.payload_format_utf8);
    assert_eq!(again.message_expiry, head.message_expiry);
    assert_eq!(again.response_topic, head.response_topic);
    assert_eq!(again.correlation_data, head.correlation_data);
    assert!(again.user_properties.iter().eq(head.user_properties.iter()));
}

fn check_packet(packet: &Packet<'_>) {
    match packet {
        Packet::PubAck { packet_id, .. }
        | Packet::PubRec { packet_id, .. }
        | Packet::PubRel { packet_id, .. }
        | Packet::PubComp { packet_id, .. } => assert!(*packet_id > 0),
        Packet::Subscribe(subscribe) => {
            assert!(subscribe.packet_id > 0 && subscribe.subscription_identifier != Some(0));
            assert!(subscribe.filters().count() > 0);
            for filter in subscribe.filters() {
                check_filter(filter.filter);
                assert!(filter.qos <= 2 && filter.retain_handling <= 2);
                assert!(!filter.shared || filter.filter.starts_with("$share/"));
                assert!(!(filter.shared && filter.no_local));
            }
            check_properties(subscribe.user_properties);
        }
        Packet::Unsubscribe(unsubscribe) => {
            assert!(unsubscribe.packet_id > 0 && unsubscribe.filters().count() > 0);
            unsubscribe.filters().for_each(check_filter);
            check_properties(unsubscribe.user_properties);
        }
        Packet::PingReq | Packet::Disconnect { .. } | Packet::Auth(_) => {}
    }
    let _ = format!("{packet:?}");
}

fn check_topic(topic: &str) {
    assert!(!topic.is_empty() && !topic.contains(['\0', '+', '#']));
}

fn check_filter(filter: &str) {
    assert!(!filter.is_empty() && !filter.contains('\0'));
    let levels: Vec<_> = filter.split('/').collect();
    for (index, level) in levels.iter().enumerate() {
        assert!(!level.contains('#') || (*level == "#" && index + 1 == levels.len()));
        assert!(!level.contains('+') || *level == "+");
    }
}

fn check_properties(properties: UserProperties<'_>) {
    assert!(properties.len() <= usize::from(USER_PROPERTIES_MAX));
    assert_eq!(properties.iter().count(), properties.len());
    assert_eq!(properties.is_empty(), properties.iter().next().is_none());
    for (name, value) in properties {
        assert!(!name.contains('\0') && !value.contains('\0'));
    }
}
