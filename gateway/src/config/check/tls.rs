//! TLS of a listener: what was written, and whether the files that it names make a server.

use std::path::{Path, PathBuf};

use super::{Checker, KIB};
use crate::config::evidence::CertificateName;
use crate::config::values::Files;
use crate::config::{Secrets, written};
use crate::identity::Way;
use crate::net::ListenerSettings;
use crate::net::tls::{
    CertificateFiles, CertificateSettings, ClientSettings, Material, Source, Template, TlsSettings,
    TlsVersion,
};

/// Bytes in one record: below that, overhead is most of it; beyond, TLS has no longer ones.
const RECORD_SIZE: (u64, u64) = (512, 16 * KIB);
/// Names of a certificate that are tried.
const IDENTITIES_MAX: usize = 16;
const DEFAULT_RECORD_SIZE: u64 = 4 * KIB;

impl Checker {
    /// None where it is faulty.
    pub(super) fn tls(
        &mut self,
        place: &str,
        written: written::Tls,
        names: &CertificateSettings,
        below_websocket: bool,
    ) -> Option<TlsSettings> {
        let faults_before = self.faults.0.len();
        if written.certificates.is_empty() {
            self.faults.add(
                format!("{place}.certificates"),
                "is empty: write - { certificate: FILE, key: FILE }",
            );
        }
        let clients = self.tls_clients(place, &written, names);
        let min_version = match written.min_version.as_deref() {
            None | Some("1.2") => TlsVersion::V12,
            Some("1.3") => TlsVersion::V13,
            Some(other) => {
                let text = format!("{other:?} is no version: write \"1.2\" or \"1.3\"");
                self.faults.add(format!("{place}.min_version"), text);
                TlsVersion::V12
            }
        };
        let record_place = format!("{place}.record_size");
        let record_size =
            self.size(&record_place, written.record_size, DEFAULT_RECORD_SIZE, RECORD_SIZE);
        let file = |file: written::CertificateFiles| CertificateFiles {
            certificate: file.certificate.into(),
            key: file.key.into(),
        };
        let settings = TlsSettings {
            place: place.to_owned(),
            certificates: written.certificates.into_iter().map(file).collect(),
            clients,
            min_version,
            resumption: written.resumption,
            record_size: record_size as usize,
            below_websocket,
        };
        if self.faults.0.len() > faults_before {
            return None;
        }
        self.tls_material(&settings);
        Some(settings)
    }

    fn tls_clients(
        &mut self,
        place: &str,
        written: &written::Tls,
        names: &CertificateSettings,
    ) -> Option<ClientSettings> {
        let whole_chain = match written.crl_check.as_deref() {
            None | Some("chain") => true,
            Some("leaf") => false,
            Some(other) => {
                let text = format!("{other:?}: write chain or leaf");
                self.faults.add(format!("{place}.crl_check"), text);
                true
            }
        };
        let lists: Vec<PathBuf> =
            written.crl.iter().flat_map(|Files(files)| files).map(PathBuf::from).collect();
        if lists.is_empty() && written.crl_check.is_some() {
            self.faults.add(format!("{place}.crl_check"), "needs crl, the file with the lists");
        }
        if !lists.is_empty() && written.client_ca.is_none() {
            self.faults.add(
                format!("{place}.crl"),
                "needs client_ca: a list says which of an authority's certificates are bad",
            );
        }
        let place = format!("{place}.client_certificate");
        let who = (&written.client_ca, &names.pinned);
        let required = match (written.client_certificate.as_deref(), who) {
            (None, (None, _)) | (Some("none"), (None, _)) => return None,
            (Some("none"), (Some(_), _)) => {
                self.faults.add(place, "is none, and client_ca vouches for nobody then: leave client_ca out, or write required or optional");
                return None;
            }
            (Some("required" | "optional"), (None, None)) => {
                self.faults.add(place, "needs client_ca, the file with the authorities that may vouch for clients, or authentication.certificate.pinned");
                return None;
            }
            (None | Some("required"), _) => true,
            (Some("optional"), _) => false,
            (Some(other), _) => {
                let text = format!("{other:?}: write required, optional or none");
                self.faults.add(place, text);
                return None;
            }
        };
        let authorities = written.client_ca.as_ref().map(PathBuf::from);
        Some(ClientSettings { required, authorities, lists, whole_chain, names: names.clone() })
    }

    /// The section `authentication.certificate`.
    pub(super) fn certificate_names(
        &mut self,
        written: Option<written::CertificateNames>,
    ) -> CertificateSettings {
        const PLACE: &str = "authentication.certificate.identity";
        let mut settings = CertificateSettings::default();
        let Some(written::CertificateNames { identity, pinned }) = written else { return settings };
        settings.pinned = pinned.map(PathBuf::from);
        if let Some(names) = identity {
            if !(1..=IDENTITIES_MAX).contains(&names.len()) {
                let text = format!("has {} names: write 1 to {IDENTITIES_MAX}", names.len());
                self.faults.add(PLACE, text);
            }
            settings.identity.clear();
            for (index, CertificateName { source, template }) in names.into_iter().enumerate() {
                let parsed = source.parse::<Source>().and_then(|source| match template {
                    None => Ok(Template::whole(source)),
                    Some(text) => Template::parse(source, &text),
                });
                match parsed {
                    Ok(template) => settings.identity.push(template),
                    Err(error) => self.faults.add(format!("{PLACE}[{index}]"), error),
                }
            }
        }
        settings
    }

    /// What says as whom certificates enter has a listener that asks for one.
    pub(super) fn certificate_names_are_used(
        &mut self,
        names: &CertificateSettings,
        listeners: &[ListenerSettings],
    ) {
        let default = CertificateSettings::default();
        let asks = |listener: &ListenerSettings| {
            listener.certificates().is_some() || listener.is_told_common_names()
        };
        if !listeners.iter().any(asks) {
            // What asks for a certificate that nobody is to show was told so.
            let is_told = listeners.iter().any(|listener| listener.asks_for(Way::Certificate));
            if *names == default || is_told {
                return;
            }
            self.faults.add("authentication.certificate", "no listener asks for a certificate: write `tls` with client_ca or client_certificate on one, or leave this out");
            return;
        }
        // A pin says itself who comes.
        let names_clients = |listener: &ListenerSettings| {
            let is_vouched_for = |clients: &ClientSettings| clients.authorities.is_some();
            let is_vouched_for = listener.certificates().is_some_and(is_vouched_for);
            listener.asks_for(Way::Certificate)
                && (is_vouched_for || listener.is_told_common_names())
        };
        if names.identity != default.identity && !listeners.iter().any(names_clients) {
            self.faults.add("authentication.certificate.identity", "nobody comes in by a name of a certificate: write `authenticate: [certificate]` on a listener with client_ca, or leave this out");
        }
    }

    /// Builds what `run` builds. Of files that another machine has, nothing can be said.
    fn tls_material(&mut self, settings: &TlsSettings) {
        let is_elsewhere = |path: &Path| self.secrets == Secrets::Assumed && !path.exists();
        if settings.files().any(is_elsewhere) {
            return;
        }
        match Material::load(settings, None) {
            Ok(material) => self.hints.extend(material.hints),
            Err(faults) => self.faults.0.extend(faults.0),
        }
    }
}
