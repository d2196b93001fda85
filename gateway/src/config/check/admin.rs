//! Where the gateway is asked and told, beside the listeners, and by what its callers show who they are.

use std::net::SocketAddr;

use super::Checker;
use super::listeners::{overlap, taken};
use crate::admin::tokens::{self, TOKENS_MAX, TokenSources, Tokens};
use crate::admin::{AdminSettings, ProbesSettings, TLS_NAME};
use crate::config::written;
use crate::net::tls::{CertificateSettings, TlsSettings};
use crate::net::{Bind, ListenerSettings};

const DEFAULT_BIND: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
const AUTHENTICATE: &str = "admin.authenticate";
/// Names of certificates that are held against a caller's.
const CERTIFICATES_MAX: usize = 100;

impl Checker {
    pub(super) fn admin(&mut self, listeners: &[ListenerSettings]) -> AdminSettings {
        let default = SocketAddr::from(DEFAULT_BIND);
        let written: written::Admin = self.section("admin").unwrap_or_default();
        let bind = match written.bind {
            Some(bind) => self.address("admin.bind", &bind).unwrap_or(default),
            None => default,
        };
        self.hold_port("admin.bind", bind, listeners);
        let probes = written.probes.and_then(|probes| self.probes(&probes, bind, listeners));
        let may_vouch = written.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let tls = written.tls.and_then(|tls| self.admin_tls(tls, listeners));
        let is_asked = written.authenticate.is_some();
        let written::AdminAuthenticate { tokens, certificates } =
            written.authenticate.unwrap_or_default();
        if is_asked && tokens.is_empty() && certificates.is_empty() {
            self.faults.add(
                AUTHENTICATE,
                "is empty: nobody could show who they are. Write such as `tokens: { ops: { from_file: … } }`, or leave admin.authenticate out",
            );
        }
        self.operators(&certificates, may_vouch);
        let (token_sources, tokens) = self.tokens(tokens);
        AdminSettings { bind, probes, tls, certificates, token_sources, tokens }
    }

    /// As of a listener whose clients need not show a certificate, because others show a token.
    fn admin_tls(
        &mut self,
        written: written::AdminTls,
        listeners: &[ListenerSettings],
    ) -> Option<TlsSettings> {
        let written::AdminTls { certificates, client_ca, crl, crl_check, min_version } = written;
        if listeners.iter().any(|listener| listener.name == TLS_NAME) {
            self.faults.add("admin.tls", format!("a listener has the name {TLS_NAME} too, and metrics could not tell them apart: give it another"));
        }
        let written = written::Tls {
            client_certificate: client_ca.is_some().then(|| "optional".to_owned()),
            certificates,
            client_ca,
            crl,
            crl_check,
            min_version,
            resumption: false,
            record_size: None,
        };
        self.tls("admin.tls", written, &CertificateSettings::default(), true)
    }

    /// Certificates that open it.
    fn operators(&mut self, names: &[String], may_vouch: bool) {
        const PLACE: &str = "admin.authenticate.certificates";
        if names.len() > CERTIFICATES_MAX {
            let text = format!("has {} names: write at most {CERTIFICATES_MAX}", names.len());
            self.faults.add(PLACE, text);
        }
        if names.iter().any(String::is_empty) {
            self.faults.add(PLACE, "has an empty name: write a certificate's common name");
        }
        match (names.is_empty(), may_vouch) {
            (false, false) => self.faults.add(
                PLACE,
                "needs admin.tls.client_ca, the file with the authorities that may vouch for callers",
            ),
            (true, true) => self.faults.add(
                "admin.tls.client_ca",
                "lets nobody in by itself: write the common names of operators' certificates in admin.authenticate.certificates, or leave client_ca out",
            ),
            (true, false) | (false, true) => {}
        }
    }

    fn probes(
        &mut self,
        written: &written::Probes,
        admin: SocketAddr,
        listeners: &[ListenerSettings],
    ) -> Option<ProbesSettings> {
        const PLACE: &str = "admin.probes.bind";
        let bind = self.address(PLACE, &written.bind)?;
        self.hold_port(PLACE, bind, listeners);
        let (own, other) = (Bind::Tcp(bind), Bind::Tcp(admin));
        if overlap(&other, &own) {
            self.faults.add(PLACE, taken(&own, "admin.bind", &other));
        }
        Some(ProbesSettings { bind, metrics: written.metrics })
    }

    /// No listener has it.
    fn hold_port(&mut self, place: &str, bind: SocketAddr, listeners: &[ListenerSettings]) {
        let own = Bind::Tcp(bind);
        if let Some(known) = listeners.iter().find(|known| overlap(&known.bind, &own)) {
            let holder = format!("listener {}", known.name);
            self.faults.add(place, taken(&own, &holder, &known.bind));
        }
    }

    fn tokens(&mut self, sources: TokenSources) -> (TokenSources, Tokens) {
        const PLACE: &str = tokens::PLACE;
        if sources.len() > TOKENS_MAX {
            let count = sources.len();
            self.faults.add(PLACE, format!("has {count} tokens: write at most {TOKENS_MAX}"));
        }
        for (name, _) in sources.iter().filter(|(_, source)| !source.is_elsewhere()) {
            self.faults.add(
                format!("{PLACE}.{name}"),
                "stands in the configuration, which more people read than may have it: write { from_file: … } or { from_env: … }",
            );
        }
        let texts = self.secrets(PLACE, sources.clone());
        // What another machine has is taken to be right.
        let here = texts.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_deref()?)));
        let read = Tokens::new(here);
        let tokens = read.unwrap_or_else(|faults| {
            self.faults.0.extend(faults.0);
            Tokens::default()
        });
        (sources, tokens)
    }
}
