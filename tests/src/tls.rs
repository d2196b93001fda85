//! TLS as a client speaks it: rustls, told exactly what to trust, to show and to offer, under the raw
//! MQTT client or alone.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::mqtt::PATIENCE;
use crate::pki::{Authority, Issued};

pub use rustls::version::{TLS12, TLS13};

/// A TLS connection over TCP.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// What a client trusts, shows and offers. Its connections resume each other's sessions, as those of one
/// device do.
#[derive(Clone)]
pub struct Tls {
    roots: RootCertStore,
    shown: Option<Issued>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    name: String,
    config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// A client that trusts this authority and shows nothing.
    pub fn trusting(authority: &Authority) -> Tls {
        let mut roots = RootCertStore::empty();
        let certificate = authority.certificate();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
        roots.add(certificate.expect("it is PEM")).expect("it is an authority");
        Tls {
            roots,
            shown: None,
            versions: vec![&TLS13, &TLS12],
            protocols: Vec::new(),
            name: "localhost".to_owned(),
            config: None,
        }
        .made()
    }

    /// It shows this certificate.
    pub fn showing(mut self, issued: &Issued) -> Tls {
        self.shown = Some(issued.clone());
        self.made()
    }

    /// It speaks this version only.
    pub fn only(mut self, version: &'static SupportedProtocolVersion) -> Tls {
        self.versions = vec![version];
        self.made()
    }

    /// It offers these protocols (ALPN).
    pub fn offering(mut self, protocols: &[&str]) -> Tls {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.made()
    }

    /// It asks for this name (SNI).
    pub fn asking_for(mut self, name: &str) -> Tls {
        self.name = name.to_owned();
        self.made()
    }

    /// The same client with another session store: it resumes nothing that was before.
    pub fn forgetful(self) -> Tls {
        self.made()
    }

    fn made(mut self) -> Tls {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&self.versions).expect("it knows them");
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes());
                let key = key.expect("it is a key");
                let key = any_supported_type(&key).expect("the library signs with it");
                // Whether it is a good one is the gateway's to find out.
                let certified = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(certified))
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config.resumption = Resumption::in_memory_sessions(64);
        self.config = Some(Arc::new(config));
        self
    }

    /// What rustls is told.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(self.config.as_ref().expect("each step makes it"))
    }

    /// What a client says first.
    pub fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        self.client().write_tls(&mut hello).expect("there is room for it");
        hello
    }

    fn client(&self) -> ClientConnection {
        let name = ServerName::try_from(self.name.clone()).expect("it is a name");
        ClientConnection::new(self.config(), name).expect("the configuration is complete")
    }

    /// Shakes hands. In TLS 1.3 a client is through before the gateway has seen its certificate: what it
    /// thinks of that comes with the first read.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut connection = self.client();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}

/// The alert that the gateway ended the connection with, as rustls names it, such as `CertificateExpired`;
/// None for an end without one.
pub fn alert(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}
