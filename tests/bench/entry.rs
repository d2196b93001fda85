//! How connections of the bench get in: the address, TLS, a password, a WebSocket; and the bytes with which
//! each begins.
//!
//! Where TLS is compared, both sides speak the same: one version, one curve and AES-128-GCM. The bench does
//! not check certificates: what a client pays for that is no part of what a broker costs.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use crate::stream::Stream;
use crate::trust::{Anyone, Tickets};
use crate::websocket;

/// How long a connection may take, CONNACK included.
pub const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// Long enough for every run, so that no ping is needed; short enough to be a real deadline.
const KEEP_ALIVE_SECONDS: u16 = 3600;
/// Connections from one address: well below the ports that a system gives out.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tls {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    X25519,
    P256,
}

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where the broker listens
    #[arg(long)]
    pub address: SocketAddr,
    /// Speak TLS of this version, without a look at the broker's certificate
    #[arg(long, value_enum)]
    pub tls: Option<Tls>,
    /// The curve of the key exchange
    #[arg(long, value_enum, default_value = "x25519")]
    pub group: Group,
    /// Resume sessions where the broker gave tickets
    #[arg(long)]
    pub resume: bool,
    /// The password of all; the user name is the client id
    #[arg(long)]
    pub password: Option<String>,
    /// Speak MQTT in a WebSocket
    #[arg(long)]
    pub websocket: bool,
    /// From how many addresses of loopback connections come in turn; without it, from as few as possible
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub addresses: Option<u8>,
}

/// What all connections share.
pub struct Entry {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    /// Each connection resumes what it was itself, by its number, and not what any of them was.
    own_sessions: bool,
}

impl Entry {
    pub fn new(options: &Options) -> Entry {
        let tls = options.tls.map(|version| Arc::new(config(options, version)));
        Entry { options: options.clone(), tls, own_sessions: false }
    }

    /// The same, for connections that come back: each with the sessions of its number only.
    pub fn with_own_sessions(self) -> Entry {
        Entry { own_sessions: true, ..self }
    }

    /// A connection that was accepted, blocking.
    pub fn connect(&self, number: usize, client_id: &str) -> Result<Stream, String> {
        let failed = |error: std::io::Error| {
            let address = self.options.address;
            format!("connection {number} to {address} failed: {error} (ulimit -n must allow it)")
        };
        let socket = self.socket(number).map_err(failed)?;
        socket.connect_timeout(&self.options.address.into(), CONNECT_WAIT).map_err(failed)?;
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(CONNECT_WAIT)).map_err(failed)?;
        let mut stream = self.over(socket, number)?;
        let connect = self.connect_packet(client_id);
        let answer = if self.options.websocket {
            websocket::shake(&mut stream, self.options.address, &connect).map_err(failed)?
        } else {
            stream.write_all(&connect).map_err(failed)?;
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).map_err(failed)?;
            answer
        };
        match answer {
            [0x20, 2, _, 0] => Ok(stream),
            _ => Err(format!("connection {number} was refused: {answer:02x?}")),
        }
    }

    /// A connection that has only begun, and waits for nothing.
    pub fn begin(&self, number: usize) -> Result<Stream, String> {
        let failed = |error: std::io::Error| format!("connection {number} cannot begin: {error}");
        let socket = self.socket(number).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        match socket.connect(&self.options.address.into()) {
            Err(error) if !is_in_progress(&error) => Err(failed(error)),
            _ => self.over(TcpStream::from(socket), number),
        }
    }

    fn socket(&self, number: usize) -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        // 127.0.0.1 is where brokers listen, and everything else comes from.
        let source = match self.options.addresses {
            Some(addresses) => Some(2 + (number % usize::from(addresses)) as u8),
            None if number >= CONNECTIONS_PER_ADDRESS => {
                Some((number / CONNECTIONS_PER_ADDRESS + 1) as u8)
            }
            None => None,
        };
        if let Some(source) = source {
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)).into())?;
        }
        Ok(socket)
    }

    fn over(&self, socket: TcpStream, number: usize) -> Result<Stream, String> {
        let Some(config) = &self.tls else { return Ok(Stream::plain(socket)) };
        let name = match self.own_sessions {
            // An address is not told to the broker.
            true => ServerName::from(IpAddr::from(Ipv4Addr::from(number as u32))),
            false => ServerName::try_from("localhost").expect("it is a name"),
        };
        let tls = ClientConnection::new(Arc::clone(config), name);
        Ok(Stream::secured(socket, tls.map_err(|error| format!("TLS: {error}"))?))
    }

    /// CONNECT in MQTT 3.1.1, with a clean session.
    pub fn connect_packet(&self, client_id: &str) -> Vec<u8> {
        const CLEAN: u8 = 0b10;
        const LOGIN: u8 = 0b1100_0000;
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        let flags = if self.options.password.is_some() { CLEAN | LOGIN } else { CLEAN };
        body.extend_from_slice(&[4, flags]);
        body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
        text(&mut body, client_id);
        if let Some(password) = &self.options.password {
            text(&mut body, client_id);
            text(&mut body, password);
        }
        let mut packet = vec![0x10];
        length(&mut packet, body.len());
        packet.extend_from_slice(&body);
        packet
    }
}

fn is_in_progress(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

fn config(options: &Options, version: Tls) -> ClientConfig {
    use aws_lc_rs::{cipher_suite, kx_group};
    let (version, suite) = match version {
        Tls::V1_2 => {
            (&rustls::version::TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
        }
        Tls::V1_3 => (&rustls::version::TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
    };
    let group: &'static dyn SupportedKxGroup = match options.group {
        Group::X25519 => kx_group::X25519,
        Group::P256 => kx_group::SECP256R1,
    };
    let provider = CryptoProvider {
        cipher_suites: vec![suite],
        kx_groups: vec![group],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).expect("the provider speaks it");
    let trust = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone::new()));
    let mut config = trust.with_no_client_auth();
    config.resumption = match options.resume {
        true => Resumption::store(Arc::new(Tickets::default())),
        false => Resumption::disabled(),
    };
    config
}

/// A text of MQTT, with its length before it.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// MQTT's remaining length (MQTT 3.1.1, 2.2.3).
pub fn length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
