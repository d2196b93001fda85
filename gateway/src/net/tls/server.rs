//! The gateway's own certificates: several, of which a client gets one that it can check.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// See the module; at least one.
#[derive(Debug)]
pub struct ServerCertificates(Vec<ServerCertificate>);

#[derive(Clone, Debug)]
pub struct ServerCertificate {
    pub key: Arc<CertifiedKey>,
    /// DNS names, lower case; `*.` stands for one label.
    pub names: Vec<String>,
}

impl ServerCertificates {
    pub fn new(certificates: Vec<ServerCertificate>) -> ServerCertificates {
        ServerCertificates(certificates)
    }

    /// Among those for the name, or among all where none is for it: one whose key is on a curve, because
    /// that is cheaper for both, else another that the client can check.
    fn choose(
        &self,
        name: Option<&str>,
        can_check: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let is_for = |certificate: &&ServerCertificate| {
            name.is_some_and(|name| certificate.names.iter().any(|own| matches(own, name)))
        };
        let named: Vec<_> = self.0.iter().filter(is_for).collect();
        let all: Vec<_> = self.0.iter().collect();
        [named, all].into_iter().find_map(|candidates| {
            let rank = |certificate: &&&ServerCertificate| {
                certificate.key.key.algorithm() == SignatureAlgorithm::RSA
            };
            let mut usable: Vec<_> =
                candidates.iter().filter(|certificate| can_check(&certificate.key)).collect();
            // Stable: among equals the configuration's order counts.
            usable.sort_by_key(|certificate| rank(certificate));
            usable.first().map(|certificate| Arc::clone(&certificate.key))
        })
    }
}

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        self.choose(hello.server_name(), |certified| certified.key.choose_scheme(offered).is_some())
    }
}

/// RFC 6125, 6.4: whole labels, and a star for the first one only.
fn matches(own: &str, asked: &str) -> bool {
    match own.strip_prefix("*.") {
        Some(parent) => asked
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => own.eq_ignore_ascii_case(asked),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm as Algorithm,
    };
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn certificate(algorithm: &'static Algorithm, names: &[&str]) -> ServerCertificate {
        let key = KeyPair::generate_for(algorithm).expect("such keys can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = rcgen::CertificateParams::new(names.clone()).expect("they are names");
        let certificate = params.self_signed(&key).expect("it can be signed");
        let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let chain = vec![certificate.der().clone()];
        let key = CertifiedKey::from_der(chain, secret, &provider).expect("they belong together");
        ServerCertificate { key: Arc::new(key), names }
    }

    #[test]
    fn a_client_gets_one_that_it_can_check_and_that_is_for_the_name() {
        let all = ServerCertificates::new(vec![
            certificate(&PKCS_RSA_SHA256, &["gw.example.com"]),
            certificate(&PKCS_ECDSA_P256_SHA256, &["gw.example.com"]),
            certificate(&PKCS_ECDSA_P256_SHA256, &["*.other.example.com"]),
        ]);
        let index_of = |name: Option<&str>, checks_curves: bool| {
            let can_check = |certified: &CertifiedKey| {
                checks_curves || certified.key.algorithm() == SignatureAlgorithm::RSA
            };
            let chosen = all.choose(name, can_check)?;
            all.0.iter().position(|known| Arc::ptr_eq(&known.key, &chosen))
        };
        assert_eq!(index_of(Some("gw.example.com"), true), Some(1));
        assert_eq!(index_of(Some("gw.example.com"), false), Some(0));
        assert_eq!(index_of(Some("a.other.example.com"), true), Some(2));
        assert_eq!(index_of(None, true), Some(1), "by the configuration's order");
        assert_eq!(index_of(Some("unknown"), false), Some(0));
        // Better one for another name than one that it cannot check.
        assert_eq!(index_of(Some("a.other.example.com"), false), Some(0));
        for (own, asked, expected) in [
            ("gw.example.com", "GW.example.com", true),
            ("*.example.com", "gw.example.com", true),
            ("*.example.com", "a.gw.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
        ] {
            assert_eq!(matches(own, asked), expected, "{own} {asked}");
        }
    }
}
