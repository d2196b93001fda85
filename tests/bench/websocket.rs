//! MQTT in a WebSocket, as far as an idle connection needs it: the upgrade, CONNECT in one frame, CONNACK in
//! another (RFC 6455; MQTT 5, 6.0).

use std::io;
use std::net::SocketAddr;

use crate::stream::Stream;

/// The head of an answer is shorter, in bytes.
const HEAD_MAX: usize = 4096;
/// A final frame with binary data.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;

/// Upgrades, sends a CONNECT and returns the CONNACK; blocking.
pub fn shake(stream: &mut Stream, address: SocketAddr, connect: &[u8]) -> io::Result<[u8; 4]> {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_MAX {
            return Err(io::Error::other("the answer to the upgrade does not end"));
        }
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let said = String::from_utf8_lossy(&head);
        let said = said.lines().next().unwrap_or_default().to_owned();
        return Err(io::Error::other(format!("the upgrade is answered with {said}")));
    }
    let size = u8::try_from(connect.len()).ok().filter(|size| *size < 126);
    let size = size.ok_or_else(|| io::Error::other("this CONNECT wants a longer frame"))?;
    // A mask of zeros leaves the bytes as they are.
    let mut frame = vec![BINARY, MASKED | size, 0, 0, 0, 0];
    frame.extend_from_slice(connect);
    stream.write_all(&frame)?;
    let mut answer = [0; 6];
    stream.read_exact(&mut answer)?;
    match answer {
        [BINARY, 4, connack @ ..] => Ok(connack),
        other => Err(io::Error::other(format!("a frame with CONNACK was expected: {other:02x?}"))),
    }
}
