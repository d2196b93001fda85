//! A raw, blocking MQTT client for v3.1, v3.1.1 and v5: it sends what it is told, right or wrong, and
//! shows what comes back. Its encoder and decoder are its own.

mod packet;
pub mod property;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use crate::tls::{Stream, Tls};

pub use packet::{Connect, Packet, Publish, Version, Will, decode, encode};
pub use property::{Property, Value};

/// How long an answer may take that nothing holds back.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// One read from the socket, in bytes.
const CHUNK: usize = 16 * 1024;
/// The receive buffer of a client that is to be full soon, and its segments, in bytes.
const NARROW_BUFFER: usize = 4 * 1024;
const NARROW_SEGMENT: u32 = 536;

/// A connection.
pub struct Client {
    stream: Wire,
    version: Version,
    received: Vec<u8>,
}

/// What carries its bytes.
enum Wire {
    Tcp(TcpStream),
    Tls(Box<Stream>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Tcp(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(socket) => socket.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Tcp(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// What was there to read.
#[derive(Debug)]
pub enum Seen {
    Packet(Packet),
    /// Nothing came in time.
    Silence,
    /// The other side closed or reset the connection.
    Closed,
}

/// A socket from another address of this machine, which has all of 127/8: another network.
#[track_caller]
pub fn open_from(host: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors");
    socket.bind(&SocketAddr::from((host, 0)).into()).expect("all of 127/8 is this machine");
    let connected = socket.connect_timeout(&address.into(), PATIENCE);
    connected.unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("a connected socket takes options");
    stream
}

impl Client {
    /// A connection on which nothing was sent yet.
    #[track_caller]
    pub fn open(address: SocketAddr, version: Version) -> Client {
        let client = Client::try_open(address, version);
        client.unwrap_or_else(|error| panic!("{address} does not answer: {error}"))
    }

    /// The same with a peer that may be away.
    pub fn try_open(address: SocketAddr, version: Version) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: Wire::Tcp(stream), version, received: Vec::new() })
    }

    /// The same from another address of this machine, which has all of 127/8: another network.
    #[track_caller]
    pub fn open_from(host: [u8; 4], address: SocketAddr, version: Version) -> Client {
        Client { stream: Wire::Tcp(open_from(host, address)), version, received: Vec::new() }
    }

    /// A connection over TLS on which nothing was sent yet.
    pub fn over_tls(stream: Stream, version: Version) -> Client {
        Client { stream: Wire::Tls(Box::new(stream)), version, received: Vec::new() }
    }

    /// A connection over TLS, accepted by the gateway.
    #[track_caller]
    pub fn connect_tls(address: SocketAddr, tls: &Tls, connect: &Connect) -> Client {
        let stream = tls.connect(address);
        let stream = stream.unwrap_or_else(|error| panic!("no TLS with {address}: {error}"));
        let mut client = Client::over_tls(stream, connect.version);
        client.send(&encode::connect(connect));
        match client.expect_packet() {
            Packet::Connack { code: 0, .. } => client,
            other => panic!("the connection was not accepted: {other:?}"),
        }
    }

    /// The same with a small buffer for what comes, and segments so small that the other side's kernel
    /// has no large one either: a client that reads nothing is full soon.
    #[track_caller]
    pub fn open_narrow(address: SocketAddr, version: Version) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
        let socket = socket.expect("there are descriptors");
        socket.set_recv_buffer_size(NARROW_BUFFER).expect("a socket takes options");
        socket.set_tcp_mss(NARROW_SEGMENT).expect("a socket takes options");
        let connected = socket.connect_timeout(&address.into(), PATIENCE);
        connected.unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
        Client { stream: Wire::Tcp(socket.into()), version, received: Vec::new() }
    }

    /// A connection of a client with that id, accepted by the gateway.
    #[track_caller]
    pub fn connect(address: SocketAddr, version: Version, client_id: &str) -> Client {
        Client::connect_with(address, &Connect::new(version, client_id)).0
    }

    /// The same with everything a CONNECT can say; returns the CONNACK too.
    #[track_caller]
    pub fn connect_with(address: SocketAddr, connect: &Connect) -> (Client, Packet) {
        let mut client = Client::open(address, connect.version);
        client.send(&encode::connect(connect));
        let answer = client.expect_packet();
        match answer {
            Packet::Connack { code: 0, .. } => (client, answer),
            other => panic!("the connection was not accepted: {other:?}"),
        }
    }

    /// The gateway accepts what [`Client::open_narrow`] opened.
    #[track_caller]
    pub fn connect_narrow(address: SocketAddr, connect: &Connect) -> Client {
        let mut client = Client::open_narrow(address, connect.version);
        client.send(&encode::connect(connect));
        match client.expect_packet() {
            Packet::Connack { code: 0, .. } => client,
            other => panic!("the connection was not accepted: {other:?}"),
        }
    }

    /// Bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the connection takes bytes");
    }

    /// Bytes to a peer that may close at any moment.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The socket, for what is not here: shutdown, options, another thread.
    pub fn stream(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// The TLS connection, for what rustls knows of it.
    #[track_caller]
    pub fn tls(&self) -> &ClientConnection {
        match &self.stream {
            Wire::Tls(stream) => &stream.conn,
            Wire::Tcp(_) => panic!("there is no TLS"),
        }
    }

    #[track_caller]
    pub fn publish(&mut self, publish: &Publish) {
        let bytes = encode::publish(self.version, publish);
        self.send(&bytes);
    }

    /// Publishes with QoS 1 and waits for its PUBACK.
    #[track_caller]
    pub fn publish_acknowledged(&mut self, topic: &str, packet_id: u16, payload: &[u8]) {
        self.publish(&Publish::new(topic, payload).qos1(packet_id));
        self.expect_puback(packet_id);
    }

    #[track_caller]
    pub fn pubrel(&mut self, packet_id: u16) {
        self.send(&encode::acknowledgement(0x62, packet_id));
    }

    #[track_caller]
    pub fn subscribe(&mut self, packet_id: u16, filter: &str, qos: u8) {
        let bytes = encode::subscribe(self.version, packet_id, filter, qos);
        self.send(&bytes);
    }

    #[track_caller]
    pub fn unsubscribe(&mut self, packet_id: u16, filter: &str) {
        let bytes = encode::unsubscribe(self.version, packet_id, filter);
        self.send(&bytes);
    }

    #[track_caller]
    pub fn ping(&mut self) {
        self.send(&[0xc0, 0]);
    }

    /// A clean end.
    #[track_caller]
    pub fn disconnect(mut self) {
        self.send(&[0xe0, 0]);
    }

    /// The next packet, or what happened in its place.
    #[track_caller]
    pub fn read(&mut self, patience: Duration) -> Seen {
        let end = Instant::now() + patience;
        let mut chunk = [0; CHUNK];
        loop {
            if let Some((packet, length)) = decode::packet(self.version, &self.received) {
                self.received.drain(..length);
                return Seen::Packet(packet);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Seen::Silence;
            }
            self.stream.socket().set_read_timeout(Some(left)).expect("a socket takes a timeout");
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

    /// The next packet within [`PATIENCE`].
    #[track_caller]
    pub fn expect_packet(&mut self) -> Packet {
        match self.read(PATIENCE) {
            Seen::Packet(packet) => packet,
            other => panic!("a packet was expected within {PATIENCE:?}: {other:?}"),
        }
    }

    /// The next packet is this one's PUBACK, with success.
    #[track_caller]
    pub fn expect_puback(&mut self, packet_id: u16) {
        match self.expect_packet() {
            Packet::Puback { packet_id: id, code: 0x00 | 0x10, .. } if id == packet_id => {}
            other => panic!("PUBACK {packet_id} was expected: {other:?}"),
        }
    }

    /// The next packet is this one's PUBREC, with success.
    #[track_caller]
    pub fn expect_pubrec(&mut self, packet_id: u16) {
        match self.expect_packet() {
            Packet::Pubrec { packet_id: id, code: 0x00 | 0x10, .. } if id == packet_id => {}
            other => panic!("PUBREC {packet_id} was expected: {other:?}"),
        }
    }

    /// The next packet is this one's PUBCOMP, with success.
    #[track_caller]
    pub fn expect_pubcomp(&mut self, packet_id: u16) {
        match self.expect_packet() {
            Packet::Pubcomp { packet_id: id, code: 0, .. } if id == packet_id => {}
            other => panic!("PUBCOMP {packet_id} was expected: {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_pingresp(&mut self) {
        match self.expect_packet() {
            Packet::Pingresp => {}
            other => panic!("PINGRESP was expected: {other:?}"),
        }
    }

    /// Nothing comes for that long, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) {
        match self.read(duration) {
            Seen::Silence => {}
            other => panic!("silence was expected for {duration:?}: {other:?}"),
        }
    }

    /// The connection ends within the time, and nothing comes before.
    #[track_caller]
    pub fn expect_closed(&mut self, patience: Duration) {
        match self.read(patience) {
            Seen::Closed => {}
            other => panic!("the connection's end was expected within {patience:?}: {other:?}"),
        }
    }

    /// A DISCONNECT with this reason comes, then the connection ends.
    #[track_caller]
    pub fn expect_disconnect(&mut self, reason: u8, patience: Duration) {
        match self.read(patience) {
            Seen::Packet(Packet::Disconnect { code, .. }) if code == reason => {}
            other => panic!("DISCONNECT {reason:#04x} was expected: {other:?}"),
        }
        self.expect_closed(patience);
    }
}
