//! A WebSocket over a real socket: its upgrade, its control frames and faults, and what it holds.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::edge::tests::edge;
use crate::net::peer::tests::peer;
use crate::net::transport::tests::pair;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: gw\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
const LONG: Duration = Duration::from_secs(60);

/// A frame of a client. Its mask is zero, which is one.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

async fn socket(ping: Duration) -> (Transport, TcpStream) {
    let (transport, client) = pair().await;
    client.set_read_timeout(Some(LONG)).expect("a socket takes options");
    (WebSocket::over(transport, Vec::new(), ping), client)
}

async fn opened(request: &[u8]) -> (Result<Transport, Close>, TcpStream) {
    let edge = edge();
    let (transport, mut client) = pair().await;
    client.set_read_timeout(Some(LONG)).expect("a socket takes options");
    client.write_all(request).expect("it is connected");
    let peer = peer("127.0.0.1:1".parse().expect("an address"));
    let settings = Settings { terms: Terms::default(), ping: LONG };
    let mut patience = Patience::new(LONG);
    (open(&edge, transport, &peer, &settings, &mut patience).await, client)
}

async fn read(transport: &mut Transport, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| transport.poll_read(context, buffer)).await
}

fn received(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).expect("so much is sent");
    bytes
}

#[tokio::test]
async fn what_comes_right_behind_the_request_is_not_lost() {
    let (opened, mut client) = opened(&[REQUEST, &frame(0x82, b"early")].concat()).await;
    let mut transport = opened.unwrap_or_else(|close| panic!("{close:?}"));
    client.write_all(&frame(0x82, b"later")).expect("it is connected");
    let mut all = Vec::new();
    while all.len() < 10 {
        let mut buffer = [0; 3];
        let count = read(&mut transport, &mut buffer).await.expect("it is open");
        all.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(all, b"earlylater");
    let answer = received(&mut client, 12);
    assert_eq!(answer, b"HTTP/1.1 101");
}

#[tokio::test]
async fn who_asks_for_something_else_is_told() {
    for (request, close, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Close::Upgrade(Refused::NoUpgrade), "HTTP/1.1 426 "),
        (b"GET\r\n\r\n", Close::Upgrade(Refused::NoHttp), "HTTP/1.1 400 "),
        (b"\x10\x13\0\x04MQTT", Close::Foreign(Foreign::Mqtt), ""),
        (&[0x16, 3, 1, 2], Close::Foreign(Foreign::Tls), ""),
        (b"PROXY TCP4 ", Close::Foreign(Foreign::ProxyHeader), ""),
    ] {
        let (opened, mut client) = opened(request).await;
        assert_eq!(opened.err(), Some(close));
        let mut answer = String::new();
        client.read_to_string(&mut answer).map(drop).unwrap_or_default();
        assert!(answer.starts_with(status) && answer.is_empty() == status.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn pings_are_answered_and_close_is_echoed() {
    let (mut transport, mut client) = socket(LONG).await;
    let frames = [frame(0x89, b"there?"), frame(0x82, b"yes"), frame(0x88, &[3, 0xe8])].concat();
    client.write_all(&frames).expect("it is connected");
    let mut buffer = [0; 64];
    assert_eq!(read(&mut transport, &mut buffer).await.expect("a payload"), 3);
    assert_eq!(&buffer[..3], b"yes");
    assert_eq!(read(&mut transport, &mut buffer).await.expect("the end"), 0);
    assert_eq!(received(&mut client, 8), [&[0x8a, 6][..], b"there?"].concat());
    transport.close_with(b"").await;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("no reset");
    assert_eq!(rest, [0x88, 2, 3, 0xe8], "and once only");
}

#[tokio::test]
async fn a_fault_comes_behind_what_was_good_and_is_told_in_the_goodbye() {
    let (mut transport, mut client) = socket(LONG).await;
    client.write_all(&[frame(0x82, b"good"), frame(0x81, b"text")].concat()).expect("it is there");
    let mut buffer = [0; 64];
    assert_eq!(read(&mut transport, &mut buffer).await.expect("a payload"), 4);
    let fault = read(&mut transport, &mut buffer).await.expect_err("a text frame");
    assert_eq!(Close::from(fault), Close::Frame(FrameFault::Text));
    transport.close_with(b"bye").await;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("no reset");
    assert_eq!(rest, [&[0x82, 3][..], b"bye", &[0x88, 2, 3, 0xeb]].concat());
}

/// A client that does not read costs the rest of one frame, and gets every byte in the end.
#[tokio::test]
async fn of_what_is_sent_the_rest_of_one_frame_is_held_at_most() {
    let (mut transport, mut client) = socket(LONG).await;
    let message: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = [&message[..], &message].concat();
    let total = expected.len();
    let mut sent = 0;
    let mut full = 0;
    let mut wire = Vec::new();
    while sent < total || transport.unsent_bytes() > 0 {
        let piece = &expected[sent..total.min(sent + 300_000)];
        match transport.write_now(piece).expect("it is connected") {
            Some(count) => sent += count,
            None => {
                full += 1;
                let held = transport.unsent_bytes();
                assert!(held <= FRAME_MAX + 4, "{held} bytes are held");
                wire.resize(wire.len() + 100_000, 0);
                let begin = wire.len() - 100_000;
                let count = client.read(&mut wire[begin..]).expect("it is connected");
                wire.truncate(begin + count);
            }
        }
        transport.flush_now().expect("it is connected");
    }
    assert!(full > 0, "the socket took everything at once");
    drop(transport);
    client.read_to_end(&mut wire).expect("no reset");
    let (mut payload, mut rest) = (Vec::new(), &wire[..]);
    while !rest.is_empty() {
        assert_eq!(rest[0], 0x82);
        let (head, len) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            len => (2, usize::from(len)),
        };
        payload.extend_from_slice(&rest[head..head + len]);
        rest = &rest[head + len..];
    }
    assert!(payload == expected, "not what was sent");
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_once_while_nothing_is_read() {
    let (mut transport, mut client) = socket(LONG).await;
    while transport.write_now(&[7; 8 * 1024]).expect("it is connected").is_some() {}
    let held = transport.unsent_bytes();
    for number in 0..100 {
        client.write_all(&frame(0x89, &[number; 125])).expect("it is connected");
    }
    let mut buffer = [0; 1024];
    for _ in 0..100 {
        assert!(matches!(transport.read_now(&mut buffer), Ok(None)));
        assert!(transport.unsent_bytes() <= held, "{}", transport.unsent_bytes());
    }
    let reading = std::thread::spawn(move || {
        let mut wire = Vec::new();
        client.read_to_end(&mut wire).map(|_| wire)
    });
    while transport.unsent_bytes() > 0 {
        transport.flush_now().expect("it is connected");
    }
    drop(transport);
    let wire = reading.join().expect("no panic").expect("no reset");
    assert!(wire.ends_with(&[&[0x8a, 125][..], &[99; 125]].concat()), "the last ping");
}

#[tokio::test]
async fn silence_in_one_direction_is_broken_by_a_ping() {
    const EVERY: Duration = Duration::from_secs(30);
    let second = Duration::from_secs(1);
    let begun = Instant::now();
    let timer = Box::pin(sleep_until(begun));
    let mut pings = Pings { every: EVERY, received: begun, sent: begun, pinged: begun, timer };
    let mut look = |after: u64, received: u64, sent: u64| {
        pings.received = begun + second * received as u32;
        pings.sent = begun + second * sent as u32;
        let (is_due, look_at) = pings.look(begun + second * after as u32);
        (is_due, (look_at - begun).as_secs())
    };
    assert_eq!(look(30, 20, 10), (false, 40), "both were heard of");
    assert_eq!(look(40, 40, 10), (true, 70), "nothing was sent");
    assert_eq!(look(70, 70, 40), (true, 100), "but the ping");
    assert_eq!(look(100, 70, 95), (true, 130), "nothing came: a ping is not repeated at once");
    assert_eq!(look(130, 129, 128), (false, 158));
}

#[tokio::test]
async fn a_ping_is_sent_although_nothing_is_written() {
    let (mut transport, mut client) = socket(Duration::from_millis(50)).await;
    let reading = std::thread::spawn(move || received(&mut client, 4));
    let pinging = poll_fn(|context| match transport.poll_flush(context) {
        Ok(()) if reading.is_finished() => Poll::Ready(Ok(())),
        Ok(()) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    });
    tokio::time::timeout(LONG, pinging).await.expect("pings are sent").expect("it is there");
    assert_eq!(reading.join().expect("no panic"), [0x89, 0, 0x89, 0]);
}
