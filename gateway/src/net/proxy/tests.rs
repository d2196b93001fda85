//! The headers of both versions, good and bad, and what is read of a socket for them.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::edge::tests::edge;
use crate::net::peer::tests::peer;
use crate::net::transport::tests::pair;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883\r\n";
/// TCP over IPv4, from 203.0.113.7:50001.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x02\xc3\x51\x22\xb3";
const CLIENT: &str = "203.0.113.7:50001";

/// A header of version 2 with these parts behind its length.
fn version_2(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = (body.len() as u16).to_be_bytes();
    [V2, &[command, family], &length, &body].concat()
}

fn address(header: Header) -> Option<SocketAddr> {
    match header {
        Header::Whole(proxied) => proxied.address,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_versions_say_who_connects() {
    let v4: SocketAddr = CLIENT.parse().expect("an address");
    let v6: SocketAddr = "[2001:db8::7]:50001".parse().expect("an address");
    let line_v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 50001 8883\r\n";
    let v6_addresses =
        [&v6_octets("2001:db8::7")[..], &v6_octets("2001:db8::1"), b"\xc3\x51\x22\xb3"];
    let mapped = [&v6_octets("::ffff:203.0.113.7")[..], &v6_octets("::1"), b"\xc3\x51\x22\xb3"];
    assert_eq!(address(header(LINE)), Some(v4));
    assert_eq!(address(header(line_v6)), Some(v6));
    assert_eq!(address(header(BINARY)), Some(v4));
    assert_eq!(address(header(&version_2(0x21, 0x21, &v6_addresses))), Some(v6));
    assert_eq!(address(header(&version_2(0x21, 0x21, &mapped))), Some(v4));
    // Its own connection, and those of which nothing is known.
    for own in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        version_2(0x20, 0x00, &[]),
        version_2(0x20, 0x11, &[&BINARY[V2_HEAD..]]),
        version_2(0x21, 0x00, &[]),
        version_2(0x21, 0x31, &[&[0; 216]]),
    ] {
        assert_eq!(address(header(&own)), None, "{own:02x?}");
    }
}

fn v6_octets(address: &str) -> [u8; 16] {
    address.parse::<std::net::Ipv6Addr>().expect("an address").octets()
}

#[test]
fn a_header_is_not_whole_before_its_end_and_no_more_is_wanted_than_it_takes() {
    for whole in [LINE, BINARY, &version_2(0x20, 0x00, &[&[4, 0, 3, 1, 2, 3]])] {
        for end in 0..whole.len() {
            let left = whole.len() - end;
            match header(&whole[..end]) {
                Header::Partial(Next::Bytes(bytes)) => {
                    assert!((1..=left).contains(&bytes), "{end}")
                }
                Header::Partial(Next::Line(_)) => assert!(whole == LINE),
                other => panic!("{other:?} of {end} bytes"),
            }
        }
        assert!(matches!(header(whole), Header::Whole(_)));
    }
}

#[test]
fn what_lies_or_is_no_header_is_refused() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'a'; V1_MAX], b"\r\n"].concat();
    let datagram = version_2(0x21, 0x12, &[&BINARY[V2_HEAD..]]);
    for malformed in [
        b"PROXY \r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 50001\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 99999\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 10.0.0.2 50001 8883\r\n".to_vec(),
        b"PROXY TCP6 203.0.113.7 10.0.0.2 50001 8883\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883 x\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.7 10.0.0.2 50001 8883\r\n".to_vec(),
        long[..V1_MAX].to_vec(),
        datagram,
        // Too short for its addresses, an unknown version, command and family.
        version_2(0x21, 0x11, &[&[1, 2, 3, 4]]),
        version_2(0x11, 0x11, &[&BINARY[V2_HEAD..]]),
        version_2(0x22, 0x11, &[&BINARY[V2_HEAD..]]),
        version_2(0x21, 0x41, &[&BINARY[V2_HEAD..]]),
        // Longer than anybody needs, and a field that is longer than what is there.
        version_2(0x20, 0x00, &[&[0; V2_MAX]]),
        version_2(0x20, 0x00, &[&[4, 0, 9, 1, 2, 3]]),
    ] {
        assert_eq!(header(&malformed), Header::Fault(HeaderFault::Malformed), "{malformed:02x?}");
    }
    for other in
        [&b"\x10\x13\0\x04MQTT"[..], &[0x16, 3, 1], b"GET / HTTP/1.1", b"PROXX ", b"\r\n\r\nab"]
    {
        assert_eq!(header(other), Header::Fault(HeaderFault::Missing), "{other:02x?}");
    }
    for (place, fault) in HeaderFault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, place, "all of them are there, once");
    }
}

/// The header of HAProxy's own documentation of it, made by its program.
/// What HAProxy says of TLS (`send-proxy-v2-ssl-cn`): flags, what its look at the certificate came to, and
/// behind its version the common name.
fn of_tls(flags: u8, verify: u32, common_name: &[u8]) -> Vec<u8> {
    let part =
        |kind: u8, value: &[u8]| [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat();
    let told =
        [&[flags][..], &verify.to_be_bytes(), &part(0x21, b"TLSv1.3"), &part(0x22, common_name)];
    part(0x20, &told.concat())
}

#[test]
fn a_common_name_counts_if_the_sender_verified_the_certificate() {
    let told = |command: u8, tls: &[u8]| {
        let whole = version_2(command, 0x11, &[&BINARY[V2_HEAD..], tls]);
        match header(&whole) {
            Header::Whole(proxied) => proxied.common_name,
            other => panic!("{other:?}"),
        }
    };
    const TLS: u8 = 1;
    const SHOWN: u8 = 2;
    const SHOWN_BEFORE: u8 = 4;
    let name = Some("m-1".into());
    for (flags, verify, cn, expected) in [
        (TLS | SHOWN, 0, "m-1", &name),
        (TLS | SHOWN_BEFORE, 0, "m-1", &name),
        (TLS | SHOWN, 1, "m-1", &None),
        (TLS | SHOWN, u32::MAX, "m-1", &None),
        (TLS, 0, "m-1", &None),
        (SHOWN, 0, "m-1", &None),
        (0, 0, "m-1", &None),
        (TLS | SHOWN, 0, "", &None),
    ] {
        let tls = of_tls(flags, verify, cn.as_bytes());
        assert_eq!(told(0x21, &tls), *expected, "{flags} {verify} {cn:?}");
        assert_eq!(told(0x20, &tls), None, "of its own connection it says nothing of anybody");
    }
    assert_eq!(told(0x21, &of_tls(TLS | SHOWN, 0, b"m-\xff")), None, "no UTF-8");
    assert_eq!(told(0x21, &[]), None);
}

#[test]
fn a_checksum_has_to_fit() {
    assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    let unset =
        version_2(0x21, 0x11, &[&BINARY[V2_HEAD..], &[3, 0, 4, 0, 0, 0, 0], &[5, 0, 1, b'u']]);
    let sum = !crc32c(u32::MAX, &unset);
    let at = BINARY.len() + 3;
    let with = |sum: u32| {
        let mut header = unset.clone();
        header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        header
    };
    assert_eq!(address(header(&with(sum))), CLIENT.parse().ok());
    let mut damaged = with(sum);
    damaged[V2_HEAD] ^= 1;
    for wrong in [with(sum ^ 1), with(0), damaged] {
        assert_eq!(header(&wrong), Header::Fault(HeaderFault::Malformed));
    }
}

/// What is left of the socket, and whose connection it is.
async fn read(bytes: &[u8], trusted: &[&str]) -> (Result<(), Close>, Peer, Vec<u8>) {
    let edge = edge();
    let (mut transport, mut client) = pair().await;
    client.write_all(bytes).expect("it is connected");
    drop(client);
    let mut peer = peer("127.0.0.1:1".parse().expect("an address"));
    let trusted = trusted.iter().map(|text| text.parse().expect("a network")).collect();
    let mut patience = Patience::new(Duration::from_secs(60));
    let settings = Settings { trusted, common_names: None };
    let done = settings.read(&edge, &mut transport, &mut peer, &mut patience).await;
    let mut rest = Vec::new();
    let mut buffer = [0; 64];
    while let Ok(Some(count @ 1..)) = transport.read_within(&mut buffer, &mut patience).await {
        rest.extend_from_slice(&buffer[..count]);
    }
    (done, peer, rest)
}

#[tokio::test]
async fn of_the_socket_no_more_is_read_than_the_header() {
    for line in [LINE, BINARY, b"PROXY UNKNOWN\r\n"] {
        let (done, peer, rest) = read(&[line, LINE, b"rest"].concat(), &["127.0.0.0/8"]).await;
        assert_eq!(done, Ok(()));
        assert_eq!(rest, [LINE, b"rest"].concat());
        let own = line.ends_with(b"UNKNOWN\r\n");
        let expected = if own { "127.0.0.1:1" } else { CLIENT };
        assert_eq!(peer.address, expected.parse().ok());
    }
}

#[tokio::test]
async fn who_is_trusted_has_to_say_it_and_nobody_else_may() {
    let own = "127.0.0.1:1".parse().ok();
    for (bytes, trusted, expected) in [
        (&b"\x10\x13\0\x04MQTT"[..], &["127.0.0.1"][..], Err(HeaderFault::Missing)),
        (&LINE[..20], &["127.0.0.1"], Err(HeaderFault::Malformed)),
        (&BINARY[..20], &["127.0.0.1"], Err(HeaderFault::Malformed)),
        (LINE, &["10.0.0.0/8"], Err(HeaderFault::Stranger)),
        (BINARY, &["10.0.0.0/8"], Err(HeaderFault::Stranger)),
        (b"\x10\x13\0\x04MQTT", &["10.0.0.0/8"], Ok(())),
    ] {
        let (done, peer, rest) = read(bytes, trusted).await;
        assert_eq!(done, expected.map_err(Close::Proxy), "{bytes:02x?}");
        assert_eq!(peer.address, own);
        assert!(expected.is_err() || rest == bytes, "nothing of it is taken");
    }
    // A health check.
    assert_eq!(read(b"", &["127.0.0.1"]).await.0, Err(Close::BeforeConnect));
}
