//! The way of a device's bytes: a TCP connection, TLS over it where the gateway wants it, and a WebSocket
//! over either.

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::End;

/// What one read takes, and what a WebSocket keeps for its reads: a fleet has many of them. In bytes.
const READ_SIZE: usize = 4096;

/// Where the gateway is, and what is between its socket and MQTT.
pub struct Way {
    pub host: String,
    pub port: u16,
    /// The name in the gateway's certificate, where it speaks TLS.
    pub tls: Option<ServerName<'static>>,
    /// The path to upgrade on, where it speaks WebSocket.
    pub websocket: Option<String>,
}

pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}
pub type Stream = Box<dyn Socket>;

/// See the module.
pub enum Channel {
    Stream(Stream),
    WebSocket(Box<WebSocketStream<Stream>>),
}

impl Channel {
    /// Connects; `tls` is what the device proves itself with, and checks the gateway by.
    pub async fn open(way: &Way, tls: Option<&TlsConnector>) -> Result<Channel, End> {
        let unreachable = |error: io::Error| End::Unreachable(error.to_string());
        let socket = TcpStream::connect((&*way.host, way.port)).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let stream: Stream = match (&way.tls, tls) {
            (Some(name), Some(connector)) => {
                let secured = connector.connect(name.clone(), socket).await;
                Box::new(secured.map_err(|error| before_connack(&error))?)
            }
            _ => Box::new(socket),
        };
        match &way.websocket {
            None => Ok(Channel::Stream(stream)),
            Some(path) => upgrade(way, path, stream).await,
        }
    }

    /// Adds what came to `received`; false when the other side closed. Cancel safe.
    pub async fn receive(&mut self, received: &mut BytesMut) -> io::Result<bool> {
        match self {
            Channel::Stream(stream) => {
                received.reserve(READ_SIZE);
                Ok(stream.read_buf(received).await? > 0)
            }
            Channel::WebSocket(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        received.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                    None | Some(Ok(Message::Close(_))) => return Ok(false),
                    // Pings are answered below this.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(lower(error)),
                }
            },
        }
    }

    /// Sends everything. Not cancel safe.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Channel::Stream(stream) => {
                stream.write_all(&bytes).await?;
                stream.flush().await
            }
            Channel::WebSocket(stream) => stream.send(Message::Binary(bytes)).await.map_err(lower),
        }
    }

    /// Closes it as its layers want it.
    pub async fn close(&mut self) {
        // Whoever is left does not mind how.
        let _ = match self {
            Channel::Stream(stream) => stream.shutdown().await,
            Channel::WebSocket(stream) => stream.close().await.map_err(lower),
        };
    }
}

/// Asks for a WebSocket that carries MQTT (MQTT 5, 6.0).
async fn upgrade(way: &Way, path: &str, stream: Stream) -> Result<Channel, End> {
    let scheme = if way.tls.is_some() { "wss" } else { "ws" };
    let host = if way.host.contains(':') { format!("[{}]", way.host) } else { way.host.clone() };
    let url = format!("{scheme}://{host}:{}{path}", way.port);
    let request = url.into_client_request();
    let mut request =
        request.map_err(|error| End::Unreachable(format!("the WebSocket's URL: {error}")))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let config =
        WebSocketConfig::default().read_buffer_size(READ_SIZE).write_buffer_size(READ_SIZE);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, _)) => Ok(Channel::WebSocket(Box::new(stream))),
        Err(tungstenite::Error::Http(answer)) => Err(End::Refused(format!(
            "the WebSocket's upgrade is answered with {}",
            answer.status()
        ))),
        Err(error) => Err(before_connack(&lower(error))),
    }
}

fn lower(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            ErrorKind::UnexpectedEof.into()
        }
        // What a server does that closes in the middle of the upgrade, or of a message.
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::HandshakeIncomplete
            | tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => ErrorKind::UnexpectedEof.into(),
        other => io::Error::other(other),
    }
}

/// What an error means for a device that was not let in yet: that it was not reached is another matter
/// than that it was sent away.
pub fn before_connack(error: &io::Error) -> End {
    use rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::AlertReceived(alert)) => End::Refused(format!("TLS alert {alert:?}")),
        Some(Tls::InvalidCertificate(fault)) => End::Unreachable(format!(
            "the gateway's certificate is not taken ({fault:?}): --ca names the CA that signed it, --server-name the name in it"
        )),
        Some(other) => End::Unreachable(format!("TLS: {other}")),
        None => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                End::Refused("closed without a word".to_owned())
            }
            _ => End::Unreachable(error.to_string()),
        },
    }
}
