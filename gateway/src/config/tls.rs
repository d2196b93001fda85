//! What a listener's TLS is configured to be; the files themselves are read by `net/tls/material.rs`.

use std::path::{Path, PathBuf};

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
    /// Certificates of those who may vouch for clients, in PEM.
    pub authorities: PathBuf,
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
        let clients = self.clients.iter().map(|clients| &clients.authorities);
        own.chain(clients).map(PathBuf::as_path)
    }
}
