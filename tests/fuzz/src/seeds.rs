//! Good inputs of the fuzz targets, to start from and to damage.

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

fn input(version: u8, stream: &[u8]) -> Vec<u8> {
    [&[version], stream].concat()
}

/// A packet of fewer than 128 bytes.
fn packet(first: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    assert!(body.len() < 128, "seeds are small");
    [&[first, body.len() as u8], &body[..]].concat()
}
