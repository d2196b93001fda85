//! TLS of the admin port: what a caller proves there of itself, beside or in place of a token.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::tls::{Tls, common_name_of};

/// Shakes hands, and says by which common name a certificate of the caller's was good. Sessions are not resumed
/// there: what is read anew counts from the next connection on.
///
/// Not cancel safe: who is not waited for any more has lost its connection.
pub async fn accept(
    tls: &Tls,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Option<Arc<str>>), String> {
    let stream = TlsAcceptor::from(tls.http_server()).accept(stream).await;
    let stream = stream.map_err(|error| error.to_string())?;
    // What the handshake let through was verified in it.
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = shown.and_then(|leaf| common_name_of(leaf)).map(Into::into);
    Ok((stream, name))
}
