//! How long the gateway's first flight is: a handshake with a client in memory, up to what the client
//! would have to hold at once.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ServerConfig;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
};

/// The longer one of both versions, in bytes; None where no client of ours could shake hands.
pub fn first_flight(config: Arc<ServerConfig>) -> Option<usize> {
    let of_version = |version| first_flight_of(Arc::clone(&config), version);
    [&TLS13, &TLS12].into_iter().filter_map(of_version).max()
}

fn first_flight_of(
    config: Arc<ServerConfig>,
    version: &'static SupportedProtocolVersion,
) -> Option<usize> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let client = builder
        .with_protocol_versions(&[version])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unasked))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut client = ClientConnection::new(Arc::new(client), name).ok()?;
    let mut server = ServerConnection::new(config).ok()?;
    let (mut hello, mut flight) = (Vec::new(), Vec::new());
    client.write_tls(&mut hello).ok()?;
    server.read_tls(&mut hello.as_slice()).ok()?;
    server.process_new_packets().ok()?;
    while server.wants_write() {
        server.write_tls(&mut flight).ok()?;
    }
    Some(flight.len())
}

/// The client comes no further than to the flight: nothing is verified, because nothing is read.
#[derive(Debug)]
struct Unasked;

impl ServerCertVerifier for Unasked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
