//! TLS of one listener: what it is served with now, which a reload replaces, and the way from a socket
//! to a stream on which MQTT is spoken.

mod clients;
mod flight;
mod handshake;
mod hello;
mod material;
pub(super) mod names;
mod own;
mod pins;
mod revocation;
mod server;
mod settings;
mod stream;
mod tickets;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use rustls::server::ServerConfig;

pub use clients::{ClientFault, Clients};
pub use handshake::{HandshakeFault, Handshakes, accept};
pub use material::{Material, clients};
pub use names::{Source, Template, common_name_of};
pub use own::own_client;
pub use settings::{
    CertificateFiles, CertificateSettings, ClientSettings, TlsSettings, TlsVersion,
};
pub use stream::{HELD_MAX_BYTES, RECORD_OVERHEAD_BYTES, TlsStream};

use super::Certificate;
use super::certificate::EndsAtMs;
use crate::fault::Faults;
use crate::metrics;
use crate::problem::{Kind, Problem};
use crate::rate_limit::RateLimit;
use crate::reload::Reload;

/// Between two lines of the log about one reason why handshakes fail.
const REFUSED_LOG_PAUSE: Duration = Duration::from_secs(10);

/// See the module.
pub struct Tls {
    listener: Arc<str>,
    settings: TlsSettings,
    material: RwLock<Arc<Material>>,
    refused_logs: [RateLimit; HandshakeFault::COUNT],
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads its files.
    pub fn open(listener: &str, settings: &TlsSettings) -> Result<Tls, Faults> {
        let material = Material::load(settings, None)?;
        let tls = Tls {
            listener: listener.into(),
            settings: settings.clone(),
            material: RwLock::new(Arc::new(material)),
            refused_logs: std::array::from_fn(|_| RateLimit::every(REFUSED_LOG_PAUSE)),
        };
        tls.tell();
        Ok(tls)
    }

    /// Until when a client that came in with this certificate may stay, by the files as they are now; None
    /// where it has to be verified anew.
    pub fn ask_again(&self, certificate: &Certificate) -> Option<EndsAtMs> {
        match &self.material().clients {
            Some(clients) => clients.ask_again(certificate, SystemTime::now()),
            None => Some(certificate.ends_at_ms),
        }
    }

    /// The same by verifying it; `chain` is what it showed ([`super::Transport::client_chain`]). That is
    /// arithmetic, which nobody is to wait for.
    pub fn verify_again(
        &self,
        certificate: &Certificate,
        chain: &[CertificateDer<'_>],
    ) -> Result<EndsAtMs, ClientFault> {
        match &self.material().clients {
            Some(clients) => clients.verify_again(certificate, chain, SystemTime::now()),
            None => Ok(certificate.ends_at_ms),
        }
    }

    /// Why hardly anybody comes in, for `/readyz`.
    pub fn problem(&self) -> Option<Problem> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let has_ended = self.material().ends_s < now.as_secs() as i64;
        has_ended.then(|| {
            let text = format!(
                "listener {}: a certificate of {} has expired: clients that look at the time do not come in; put a new one in its place, and it is read",
                self.listener, self.settings.place
            );
            Problem::new(Kind::Certificate, &*self.listener, text)
        })
    }

    /// What serves HTTP with its files as they are now.
    pub fn http_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.material().with_protocols)
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.material.read())
    }

    /// Says what of its files needs a look, and until when they are good.
    fn tell(&self) {
        let (listener, material) = (&*self.listener, self.material());
        for hint in &material.hints {
            tracing::warn!(listener, hint, "what TLS is served with needs a look");
        }
        let label = listener.to_owned();
        ::metrics::gauge!(metrics::TLS_CERTIFICATE_ENDS, "listener" => label)
            .set(material.ends_s as f64);
        if let Some(lists_end_s) = material.lists_end_s {
            let label = listener.to_owned();
            ::metrics::gauge!(metrics::TLS_LISTS_END, "listener" => label).set(lists_end_s as f64);
        }
    }
}

impl Reload for Tls {
    fn place(&self) -> &str {
        &self.settings.place
    }

    fn files(&self) -> Vec<PathBuf> {
        self.settings.files().map(Into::into).collect()
    }

    /// Sessions go on: tickets that were given out are opened by what follows.
    fn reload(&self) -> Result<(), Faults> {
        let tickets = self.material().tickets.clone();
        let material = Material::load(&self.settings, tickets)?;
        *self.material.write() = Arc::new(material);
        self.tell();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
