//! TLS of the admin port: what a caller proves there of itself, beside or in place of a token.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::tls::Tls;

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
    let name = match stream.get_ref().1.peer_certificates() {
        None => None,
        Some(chain) => {
            let certificate = tls.examine(chain, SystemTime::now());
            certificate.map_err(|fault| fault.to_string())?.common_name.map(Into::into)
        }
    };
    Ok((stream, name))
}
