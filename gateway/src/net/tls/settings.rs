//! What a listener's TLS is configured to be; the files themselves are read by `material.rs`.

use std::path::{Path, PathBuf};

use super::{Source, Template};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where it stands, such as `listeners[0].tls`.
    pub place: String,
    /// At least one.
    pub certificates: Vec<CertificateFiles>,
    /// None where clients are asked for no certificate.
    pub clients: Option<ClientSettings>,
    pub min_version: TlsVersion,
    /// Clients get a ticket to come back with.
    pub resumption: bool,
    /// Most bytes in one record that is sent.
    pub record_size: usize,
    /// What is spoken above it is HTTP, which becomes WebSocket.
    pub below_websocket: bool,
}

/// A certificate of the gateway with those above it, and its key; both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What clients are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Who shows no certificate is refused.
    pub required: bool,
    /// Certificates of those who may vouch for clients, in PEM. None where all are pinned.
    pub authorities: Option<PathBuf>,
    /// Lists of revoked certificates, in PEM or DER.
    pub lists: Vec<PathBuf>,
    /// The lists are asked for each certificate of a chain, or for a client's own only.
    pub whole_chain: bool,
    pub names: CertificateSettings,
}

/// As whom certificates enter, wherever they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// Lines of fingerprint and identity.
    pub pinned: Option<PathBuf>,
    /// The first that fits says who it is.
    pub identity: Vec<Template>,
}

impl Default for CertificateSettings {
    fn default() -> CertificateSettings {
        CertificateSettings { pinned: None, identity: vec![Template::whole(Source::CommonName)] }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V12,
    V13,
}

impl TlsSettings {
    /// Everything that is read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.certificates.iter().flat_map(|files| [&files.certificate, &files.key]);
        let clients = self.clients.iter().flat_map(|clients| {
            let authorities = clients.authorities.iter().chain(&clients.lists);
            authorities.chain(&clients.names.pinned)
        });
        own.chain(clients).map(PathBuf::as_path)
    }
}
