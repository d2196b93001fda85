//! TLS of a listener: what was written, and whether the files that it names make a server.

use std::path::Path;

use super::{Checker, KIB};
use crate::config::tls::{CertificateFiles, ClientSettings, TlsSettings, TlsVersion};
use crate::config::{Secrets, written};
use crate::net::tls::Material;

/// Bytes in one record: below that, overhead is most of it; beyond, TLS has no longer ones.
const RECORD_SIZE: (u64, u64) = (512, 16 * KIB);
const DEFAULT_RECORD_SIZE: u64 = 4 * KIB;

impl Checker {
    /// None where it is faulty.
    pub(super) fn tls(&mut self, place: &str, written: written::Tls) -> Option<TlsSettings> {
        let faults_before = self.faults.0.len();
        if written.certificates.is_empty() {
            self.faults.add(
                format!("{place}.certificates"),
                "is empty: write - { certificate: FILE, key: FILE }",
            );
        }
        let clients = self.tls_clients(place, &written);
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
        };
        if self.faults.0.len() > faults_before {
            return None;
        }
        self.tls_material(&settings);
        Some(settings)
    }

    fn tls_clients(&mut self, place: &str, written: &written::Tls) -> Option<ClientSettings> {
        let asked = written.client_certificate.as_deref();
        let place = format!("{place}.client_certificate");
        let required = match (asked, &written.client_ca) {
            (None | Some("none"), None) => return None,
            (Some("none"), Some(_)) => {
                self.faults.add(place, "is none, and client_ca vouches for nobody then: leave client_ca out, or write required or optional");
                return None;
            }
            (Some("required" | "optional"), None) => {
                self.faults.add(
                    place,
                    "needs client_ca, the file with the authorities that may vouch for clients",
                );
                return None;
            }
            (None | Some("required"), Some(_)) => true,
            (Some("optional"), Some(_)) => false,
            (Some(other), _) => {
                let text = format!("{other:?}: write required, optional or none");
                self.faults.add(place, text);
                return None;
            }
        };
        let authorities = written.client_ca.as_ref()?.into();
        Some(ClientSettings { required, authorities })
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
