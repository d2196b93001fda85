//! Good inputs of the fuzz targets, to start from and to damage.

/// For [`super::acl_file::ask`]: a file, a client id, a user and a topic.
pub fn acl_file() -> Vec<Vec<u8>> {
    let file = "# who may what\ntopic read $SYS/#\ntopic open/#\n\nuser roger\ntopic foo/bar\n\
                topic readwrite rooms/+/light\ntopic deny rooms/cellar/light\n\n\
                pattern write devices/%u/#\npattern read a/x%c-%u/+\npattern deny devices/+/secret\n";
    let small = "user u\r\ntopic write  a b/c\r\npattern deny %c\n";
    [
        (file, "c1", "roger", "rooms/cellar/light"),
        (file, "c1", "roger", "devices/roger/secret"),
        (file, "c1", "", "open/a"),
        (file, "+", "#", "devices/#x/a"),
        (file, "c/1", "roger", "a/xc/1-roger/b"),
        (small, "a b", "u", "a b/c"),
        (small, "$SYS", "u", "$SYS"),
        ("pattern readwrite #\npattern deny a/%c\n", "a/b", "u", "a/c"),
    ]
    .map(|(file, client_id, user, topic)| [file, client_id, user, topic].join("\0").into_bytes())
    .into()
}

/// For [`super::decoder::decode_stream`]: a byte that chooses the version, then packets.
pub fn decoder() -> Vec<Vec<u8>> {
    let connect_v31 = packet(0x10, &[b"\0\x06MQIsdp\x03\x02\0\x0f", b"\0\x01a"]);
    let connect_v311 = packet(
        0x10,
        &[b"\0\x04MQTT\x04\xec\0\0", b"\0\x02id", b"\0\x03w/t", b"\0\x02\0\xff", b"\0\x01u\0\x01p"],
    );
    let connect_v5 = packet(
        0x10,
        &[
            b"\0\x04MQTT\x05\xee\0\x3c",
            b"\x24\x11\0\0\0\x0a\x21\0\x14\x27\0\0\x10\0\x22\0\x05\x19\x01\x17\0",
            b"\x26\0\x01k\0\x01v\x15\0\x01m\x16\0\x02\x01\x02",
            b"\0\x02id",
            b"\x1e\x18\0\0\0\x05\x01\x01\x02\0\0\0\x3c\x03\0\x01t\x08\0\x01r\x09\0\0",
            b"\x26\0\x01k\0\x01v\0\x01w\0\0",
            b"\0\x01u\0\x01p",
        ],
    );
    let publish_v3 = packet(0x33, &[b"\0\x03a/b\0\x09", b"hello"]);
    let publish_qos0 = packet(0x30, &[b"\0\x0adevices/\xc3\xa9", b"\0hello"]);
    let publish_v5 = packet(
        0x3c,
        &[
            b"\0\x03a/b\0\x09",
            b"\x26\x01\x01\x02\0\0\x0e\x10\x23\0\x07\x08\0\x01r\x09\0\x03\0\x01\x02",
            b"\x03\0\x01j\x26\0\x01a\0\x01b\x26\0\x01c\0\x01d",
            b"data",
        ],
    );
    let subscribe_v3 = packet(0x82, &[b"\0\x01", b"\0\x03a/#\x01", b"\0\x03+/+\x02", b"\0\x01#\0"]);
    let subscribe_v5 = packet(
        0x82,
        &[b"\0\x01\x0a\x0b\xff\x7f\x26\0\x01k\0\x01v", b"\0\x0a$share/g/a\x1a", b"\0\x01b\x2c"],
    );
    let unsubscribe_v3 = packet(0xa2, &[b"\0\x01", b"\0\x03a/#", b"\0\x01b"]);
    let unsubscribe_v5 = packet(0xa2, &[b"\0\x01\x07\x26\0\x01k\0\x01v", b"\0\x03a/#"]);
    let short = [0x40, 0x50, 0x62, 0x70].map(|first| packet(first, &[b"\0\x01"]));
    let long = [0x40, 0x50, 0x62, 0x70].map(|first| {
        let code = if first < 0x60 { b"\0\x01\x97" } else { b"\0\x01\x92" };
        packet(first, &[code, b"\x0d\x1f\0\x03why\x26\0\x01k\0\x01v"])
    });
    let ping = packet(0xc0, &[]);
    let disconnect = packet(0xe0, &[]);
    let disconnect_v5 = packet(0xe0, &[b"\x04\x05\x11\0\0\0\x78"]);
    let auth = packet(0xf0, &[b"\x18\x09\x15\0\x01m\x16\0\x02\x01\x02"]);

    let of_v3 = [publish_v3, publish_qos0, subscribe_v3, unsubscribe_v3, ping, disconnect];
    let of_v5 = [publish_v5, subscribe_v5, unsubscribe_v5, disconnect_v5, auth];
    let mut seeds = Vec::new();
    for (version, connect, packets) in [
        (0, connect_v31, [&of_v3[..], &short[..]].concat()),
        (1, connect_v311, [&of_v3[..], &short[..]].concat()),
        (2, connect_v5, [&of_v5[..], &short[..], &long[..]].concat()),
    ] {
        seeds.push(input(version, &[connect, packets.concat()].concat()));
        seeds.extend(packets.iter().map(|packet| input(version, packet)));
    }
    seeds
}

/// For [`super::session::serve`]: a plan of three bytes, fates, then what a client sends.
pub fn session() -> Vec<Vec<u8>> {
    const POWER: &str = "devices/meter/m-1/power";
    let v31 = packet(0x10, &[b"\0\x06MQIsdp\x03\x02\0\x0f", b"\0\x01a"]);
    let v311 =
        packet(0x10, &[b"\0\x04MQTT\x04\x0e\0\0", b"\0\x02id", b"\0\x07w/alarm", b"\0\x04gone"]);
    let v5 = packet(0x10, &[b"\0\x04MQTT\x05\x02\0\x3c", b"\x07\x26\0\x01k\0\x01v", b"\0\0"]);
    let publish = |first: u8, topic: &str, rest: &[u8]| {
        packet(first, &[&[0, topic.len() as u8], topic.as_bytes(), rest])
    };
    let qos0 = publish(0x30, POWER, b"21.5");
    let qos1 = publish(0x32, POWER, b"\0\x0121.5");
    let qos1_again = publish(0x3a, POWER, b"\0\x0121.5");
    let qos2 = publish(0x34, POWER, b"\0\x0221.5");
    let qos2_again = publish(0x3c, POWER, b"\0\x0221.5");
    let qos2_other = publish(0x34, POWER, b"\0\x0222.0");
    let alarm = publish(0x32, "devices/meter/m-1/alarm", b"\0\x03hot");
    // Larger than a lane takes inline.
    let large = publish(0x32, POWER, &[&b"\0\x09"[..], &[b'x'; 80]].concat());
    let large_qos2 = |byte| publish(0x34, POWER, &[&b"\0\x02"[..], &[byte; 80]].concat());
    let own = publish(0x32, "own/m-1/x", b"\0\x04\x0a\x01\x37\x4a\x01x");
    let own_bad = publish(0x32, "own/m-1/x", b"\0\x05\xff");
    let unrouted = publish(0x32, "$x", b"\0\x061");
    let local = publish(0x32, "a/b", b"\0\x07x");
    let of_v5 = publish(0x32, "a/b", b"\0\x08\x00x");
    let unrouted_v5 = publish(0x34, "$x", b"\0\x06\x001");
    let pubrel = packet(0x62, &[b"\0\x02"]);
    let subscribe = packet(0x82, &[b"\0\x07\0\x03a/#\0\0\x01#\x01"]);
    let no_local = packet(0x82, &[b"\0\x07\0\0\x03a/#\x04\0\x01#\0"]);
    let subscribe_v5 = packet(0x82, &[b"\0\x07\0\0\x03a/#\0"]);
    let unsubscribe = packet(0xa2, &[b"\0\x08\0\x03a/#"]);
    let (ping, disconnect) = (packet(0xc0, &[]), packet(0xe0, &[]));
    let numbered = |id: u8| publish(0x32, POWER, &[0, id, b'1']);
    let many: Vec<u8> = (1..20).flat_map(numbered).collect();
    let seed = |plan: &[u8], packets: &[&[u8]]| [plan, &packets.concat()].concat();
    vec![
        seed(&[0, 0, 0], &[&v31, &qos1, &ping, &disconnect]),
        seed(&[1, 0, 0], &[&v311, &qos1, &alarm, &qos2, &ping]),
        seed(&[0, 1, 0], &[&v311, &qos2, &qos2_again, &pubrel, &qos2, &pubrel]),
        seed(&[1, 0, 0], &[&v311, &qos1, &qos1_again, &qos2]),
        seed(&[0, 0, 0], &[&v311, &many, &disconnect]),
        seed(&[1, 7, 0], &[&v311, &many, &qos0, &qos0, &qos0, &qos0]),
        // Refused by the sink, no room, broken, refused.
        seed(&[0, 0, 5, 16, 8, 4, 1, 12], &[&v31, &many, &ping]),
        // The message is refused, and then its dead letter.
        seed(&[0, 0, 2, 8, 8], &[&v31, &qos1]),
        seed(&[0, 9, 0], &[&v311, &large, &qos1, &disconnect]),
        seed(&[3, 0, 0], &[&v311, &large, &alarm]),
        seed(&[0, 0, 0], &[&v311, &subscribe, &local, &unsubscribe]),
        seed(&[0, 0, 0], &[&v5, &no_local, &of_v5, &ping]),
        // One id of QoS 2 again and again, and its PUBREL before its PUBREC.
        seed(&[0, 0, 0], &[&v311, &qos2, &qos2, &qos2_other, &pubrel, &qos2]),
        seed(&[1, 0, 0], &[&v311, &qos2, &qos2_other, &pubrel, &qos2_again, &pubrel]),
        seed(&[0, 5, 2, 8, 16], &[&v31, &qos2, &qos2_other, &qos2, &pubrel]),
        seed(
            &[0, 0, 0],
            &[&v311, &large_qos2(b'x'), &large_qos2(b'x'), &large_qos2(b'y'), &pubrel],
        ),
        seed(&[0, 0, 0], &[&v311, &own, &own_bad, &unrouted]),
        seed(&[4, 30, 0], &[&v311, &many, &large, &qos2]),
        seed(&[0, 0, 1, 8], &[&v5, &subscribe_v5, &of_v5, &unrouted_v5, &ping]),
    ]
}

fn input(version: u8, stream: &[u8]) -> Vec<u8> {
    [&[version], stream].concat()
}

/// A packet of fewer than 128 bytes.
fn packet(first: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    assert!(body.len() < 128, "seeds are small");
    [&[first, body.len() as u8], &body[..]].concat()
}

/// For [`super::proxy::read`]: headers.
pub fn proxy() -> Vec<Vec<u8>> {
    let version_2 = |command: u8, family: u8, body: &[&[u8]]| {
        let body = body.concat();
        let length = (body.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, &body].concat()
    };
    let v4 = b"\xcb\0\x71\x07\x0a\0\0\x02\xc3\x51\x22\xb3";
    let tls = b"\x20\0\x17\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05dev-1";
    vec![
        b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::7 2001:db8::1 50001 8883\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        version_2(0x20, 0, &[]),
        version_2(0x21, 0x11, &[v4]),
        version_2(0x21, 0x21, &[&[1; 32], &[0, 1, 0, 2]]),
        version_2(0x21, 0x31, &[&[0; 216]]),
        version_2(0x21, 0x11, &[v4, b"\x01\0\x04mqtt\x02\0\x02gw\x05\0\x01u\x04\0\x02\0\0", tls]),
    ]
}

/// For [`super::websocket::receive`]: zero and a request, or a cut and frames.
pub fn websocket() -> Vec<Vec<u8>> {
    let request = b"\0GET /mqtt HTTP/1.1\r\nHost: gw\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n";
    let more = b"Origin: https://console.example.com\r\nSec-WebSocket-Protocol: x, mqtt\r\n";
    let frame = |first: u8, payload: &[u8]| {
        let head = [first, 0x80 | payload.len() as u8, 0x5a, 1, 0xff, 0x80];
        [&head, payload].concat()
    };
    let long = [&[0x82, 0xfe, 0, 200, 1, 2, 3, 4][..], &[7; 200]].concat();
    let endless = [&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..], &[7; 100]].concat();
    let fragments = [frame(2, b"ab"), frame(0x89, b"?"), frame(0, b""), frame(0x80, b"cd")];
    vec![
        [&request[..], b"\r\n"].concat(),
        [&request[..], more, b"\r\n"].concat(),
        // Found by the fuzzer: empty lines in front are not the end, however they come.
        [b"\0\r\n\n\n", &request[1..], b"\r\n"].concat(),
        [&[1][..], &frame(0x82, b"hello")].concat(),
        [&[3][..], &fragments.concat(), &frame(0x8a, b"!")].concat(),
        [&[7][..], &long, &frame(0x89, &[1; 125])].concat(),
        [&[50][..], &endless].concat(),
    ]
}
