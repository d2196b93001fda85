//! A raw, blocking WebSocket client: it sends the frames that it is told, right or wrong, and shows what
//! comes back; and a tunnel, through which a client of TCP speaks over WebSocket. Its encoder and decoder
//! are its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer may take that nothing holds back.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The key of RFC 6455, 1.3, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];
/// One read from the socket, in bytes.
const CHUNK: usize = 16 * 1024;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// The last frame of its message.
pub const FIN: u8 = 0x80;

/// What a socket is, and what is around it.
pub trait Stream: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// A frame as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// What was there to read.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Frame(Frame),
    /// Nothing came in time.
    Silence,
    /// The other side closed or reset the connection.
    Closed,
}

/// An HTTP response's head and body.
#[derive(Debug)]
pub struct Response {
    pub code: u16,
    pub head: String,
    pub body: String,
}

/// An open WebSocket.
pub struct Socket<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

/// The headers of a good upgrade, without what a test adds.
pub fn upgrade(path: &str, more: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    more.iter().for_each(|header| request += &format!("{header}\r\n"));
    request + "\r\n"
}

/// Sends a request and reads the response to its end.
#[track_caller]
pub fn refused(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(address);
    stream.write_all(request).expect("the gateway takes bytes");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap_or_else(|error| panic!("no end: {error}"));
    response(&String::from_utf8_lossy(&text))
}

/// A connection to the gateway on which nothing was sent yet.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
    stream.set_nodelay(true).expect("a connected socket takes options");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream
}

fn response(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.unwrap_or_else(|| panic!("no response of HTTP: {text:?}"));
    Response { code, head: head.to_owned(), body: body.to_owned() }
}

impl Socket<TcpStream> {
    /// An upgraded connection, as MQTT's clients open it.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str) -> Socket<TcpStream> {
        let (socket, response) =
            Socket::over(connect(address), &upgrade(path, &["Sec-WebSocket-Protocol: mqtt"]));
        assert!(response.head.contains("\r\nSec-WebSocket-Protocol: mqtt"), "{}", response.head);
        socket
    }
}

impl<S: Stream> Socket<S> {
    /// Upgrades a connection by that request, which has to be granted.
    #[track_caller]
    pub fn over(mut stream: S, request: &str) -> (Socket<S>, Response) {
        stream.write_all(request.as_bytes()).expect("the gateway takes bytes");
        let mut received = Vec::new();
        let head = loop {
            if let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; CHUNK];
            let count = stream.read(&mut chunk).expect("the gateway answers");
            assert!(count > 0, "closed: {}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&chunk[..count]);
        };
        let response = response(&String::from_utf8_lossy(&received[..head]));
        assert_eq!(response.code, 101, "{}", response.head);
        assert!(response.head.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}")));
        received.drain(..head);
        (Socket { stream, received }, response)
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    #[track_caller]
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload));
    }

    /// Bytes of MQTT in one frame.
    #[track_caller]
    pub fn send_binary(&mut self, payload: &[u8]) {
        self.send(FIN | BINARY, payload);
    }

    /// The next frame, or what happened in its place.
    #[track_caller]
    pub fn read(&mut self, patience: Duration) -> Seen {
        let end = Instant::now() + patience;
        loop {
            if let Some(frame) = take_frame(&mut self.received) {
                return Seen::Frame(frame);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Seen::Silence;
            }
            let timeout = self.stream.socket().set_read_timeout(Some(left));
            timeout.expect("a socket takes a timeout");
            let mut chunk = [0; CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Seen::Closed,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Seen::Closed,
                },
            }
        }
    }

    /// The next frame is this one.
    #[track_caller]
    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        match self.read(PATIENCE) {
            Seen::Frame(frame) if frame.first == first && frame.payload == payload => {}
            other => panic!("frame {first:#04x} {payload:02x?} was expected: {other:02x?}"),
        }
    }

    /// A Close frame with this code, after which the connection ends.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) {
        self.expect(FIN | CLOSE, &code.to_be_bytes());
        assert_eq!(self.read(PATIENCE), Seen::Closed);
    }
}

/// A frame of a client.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = head(first, payload.len() as u64);
    let masked = payload.iter().zip(MASK.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
    out
}

/// What stands in front of a payload of that length, which [`MASK`] masks.
pub fn head(first: u8, length: u64) -> Vec<u8> {
    let mut out = vec![first];
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out
}

/// Takes a whole frame of a server from the front.
fn take_frame(received: &mut Vec<u8>) -> Option<Frame> {
    let [first, second, ..] = received[..] else { return None };
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let number = |from: usize, to: usize| {
        let bytes = received.get(from..to)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (begin, length) = match second {
        126 => (4, number(2, 4)?),
        127 => (10, number(2, 10)?),
        short => (2, usize::from(short)),
    };
    let payload = received.get(begin..begin + length)?.to_vec();
    received.drain(..begin + length);
    Some(Frame { first, payload })
}

/// How a tunnel cuts what it carries.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Payload of a frame, in bytes.
    pub frame: usize,
    /// Frames of a message.
    pub frames: usize,
    /// A ping stands between two frames.
    pub pings: bool,
}

/// Carries what comes to the returned address to the gateway, in frames that are cut like this, and back. It
/// ends with the test's process.
#[track_caller]
pub fn tunnel(gateway: SocketAddr, path: &'static str, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || carry(client, gateway, path, cut));
        }
    });
    address
}

fn carry(mut client: TcpStream, gateway: SocketAddr, path: &str, cut: Cut) {
    let mut socket = Socket::open(gateway, path);
    let mut to_gateway = socket.stream.try_clone().expect("a socket can be shared");
    let mut from_client = client.try_clone().expect("a socket can be shared");
    let there = thread::spawn(move || {
        let mut chunk = [0; CHUNK];
        let mut number = 0;
        while let Ok(count @ 1..) = from_client.read(&mut chunk) {
            for piece in chunk[..count].chunks(cut.frame) {
                let opcode = if number == 0 { BINARY } else { CONTINUATION };
                number = (number + 1) % cut.frames;
                let fin = if number == 0 { FIN } else { 0 };
                let mut bytes = frame(fin | opcode, piece);
                if cut.pings {
                    bytes.extend_from_slice(&frame(FIN | PING, b"tunnel"));
                }
                if to_gateway.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
        // As a client that closes its socket without a word.
        let _ = to_gateway.shutdown(Shutdown::Write);
    });
    loop {
        match socket.read(PATIENCE) {
            Seen::Frame(Frame { first, payload }) if first & 0x0f == BINARY => {
                if client.write_all(&payload).is_err() {
                    break;
                }
            }
            Seen::Frame(Frame { first, .. }) if first & 0x0f == CLOSE => break,
            Seen::Frame(_) | Seen::Silence => {}
            Seen::Closed => break,
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = socket.stream.shutdown(Shutdown::Both);
    let _ = there.join();
}
