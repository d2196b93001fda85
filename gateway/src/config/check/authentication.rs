//! What clients have to prove, and what knows whether they do: each way that a listener names has its
//! section, each section has a listener, and what they read can be read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::Checker;
use crate::config::evidence::{ClientId, Ways};
use crate::config::values::Length;
use crate::config::{Secrets, written};
use crate::identity::http::HttpSettings;
use crate::identity::password::{self, PasswordSettings};
use crate::identity::token::keys::{self, Algorithm};
use crate::identity::token::{self, KeySource, TokenSettings};
use crate::identity::{AuthenticationSettings, Binding, DemandSettings, Way, is_attribute_name};
use crate::net::ListenerSettings;
use crate::web;

/// How long the HTTP service may take, and how long its answers hold.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_MAX: Duration = Duration::from_secs(8);
const CACHE: Duration = Duration::from_secs(60);
const CACHE_MAX: Duration = Duration::from_secs(3600);

/// What a listener's TLS asks of clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    NotAsked,
    Optional,
    Required,
    /// What is written is faulty.
    Unknown,
}

/// The section `client_id`, where there is one.
pub(super) type DefaultBinding = Option<Binding>;

impl Checker {
    pub(super) fn authentication(&mut self) -> AuthenticationSettings {
        let written: written::Authentication = self.section("authentication").unwrap_or_default();
        let token = written.token.and_then(|written| self.token(written));
        let password = written.password.map(|written| self.password(written));
        let http = written.http.and_then(|written| self.http(written));
        let certificate = self.certificate_names(written.certificate);
        AuthenticationSettings { token, password, http, certificate }
    }

    fn password(&mut self, written: written::Password) -> PasswordSettings {
        let settings = PasswordSettings { file: written.file.into() };
        match password::check(&settings) {
            Err(faults) if !self.is_elsewhere(&settings.file) => self.faults.0.extend(faults.0),
            _ => {}
        }
        settings
    }

    /// Another machine has the file.
    fn is_elsewhere(&self, file: &Path) -> bool {
        self.secrets == Secrets::Assumed && !file.exists()
    }

    fn token(&mut self, written: written::Token) -> Option<TokenSettings> {
        const PLACE: &str = "authentication.token";
        for (key, text) in [("issuer", &written.issuer), ("audience", &written.audience)] {
            if text.is_empty() {
                let text = "is empty: write what the tokens have there";
                self.faults.add(format!("{PLACE}.{key}"), text);
            }
        }
        let algorithms = self.algorithms(written.algorithms);
        let mut attributes = Vec::new();
        for (attribute, claim) in written.attributes {
            if !is_attribute_name(&attribute) {
                self.faults.add(
                    format!("{PLACE}.attributes.{attribute}"),
                    "is no name of an attribute: write a-z 0-9 _, such as group; device_id is the identity",
                );
            }
            attributes.push((attribute, claim));
        }
        let place = format!("{PLACE}.jwks");
        let keys = match written.jwks.split_once("://") {
            Some(_) => KeySource::Url(self.web(&place, &written.jwks, written.allow_http)?),
            None => {
                let file = PathBuf::from(written.jwks);
                if !algorithms.is_empty()
                    && let Err(error) = token::read(&file, &algorithms)
                    && !self.is_elsewhere(&file)
                {
                    self.faults.add(&place, error);
                }
                KeySource::File(file)
            }
        };
        Some(TokenSettings {
            keys,
            issuer: written.issuer,
            audience: written.audience,
            algorithms,
            identity: written.identity.unwrap_or_else(|| "sub".to_owned()),
            attributes,
        })
    }

    fn algorithms(&mut self, written: Option<Vec<String>>) -> Vec<Algorithm> {
        let Some(written) = written else { return vec![Algorithm::ES256, Algorithm::RS256] };
        let place = "authentication.token.algorithms";
        let known = || keys::ALGORITHMS.map(|(name, _)| name).join(", ");
        if written.is_empty() {
            self.faults.add(place, format!("is empty: write some of {}", known()));
        }
        let mut algorithms = Vec::new();
        for (index, name) in written.iter().enumerate() {
            match keys::algorithm(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => self.faults.add(
                    format!("{place}[{index}]"),
                    format!("{name:?} is never allowed (whoever can check with a shared secret can sign with it), or is not known: write one of {}", known()),
                ),
            }
        }
        algorithms
    }

    fn http(&mut self, written: written::Http) -> Option<HttpSettings> {
        const PLACE: &str = "authentication.http";
        let url = self.web(&format!("{PLACE}.url"), &written.url, written.allow_http)?;
        let timeout = written.timeout.map_or(TIMEOUT, |Length(length)| length);
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            let text = "has to be above 0 and at most 8s: CONNECT has 10s for everything";
            self.faults.add(format!("{PLACE}.timeout"), text);
        }
        let cache = written.cache.map_or(CACHE, |Length(length)| length);
        if cache > CACHE_MAX {
            let text = "has to be at most 1h: whom the service takes back comes in for so long";
            self.faults.add(format!("{PLACE}.cache"), text);
        }
        Some(HttpSettings { url, timeout, cache })
    }

    /// A URL that may be asked.
    fn web(&mut self, place: &str, text: &str, allow_http: bool) -> Option<Url> {
        let Ok(url) = Url::parse(text) else {
            self.faults.add(place, "is no URL: write https://HOST/PATH");
            return None;
        };
        match url.scheme() {
            "https" => {}
            "http" if allow_http || web::is_loopback(&url) => {}
            "http" => self.faults.add(
                place,
                "goes over the network as it is: write https://, or `allow_http: true` beside it if that is meant",
            ),
            _ => self.faults.add(place, "is no URL of a web server: write https://HOST/PATH"),
        }
        Some(url)
    }

    /// What of it some listener asks for; it is a fault where none does.
    pub(super) fn used(
        &mut self,
        settings: AuthenticationSettings,
        listeners: &[ListenerSettings],
    ) -> AuthenticationSettings {
        // Certificates are asked for in TLS: what is of no use to them is found there.
        for way in Way::ALL.into_iter().filter(|way| *way != Way::Certificate) {
            if settings.has(way) && !listeners.iter().any(|listener| listener.asks_for(way)) {
                let name = way.name();
                self.faults.add(
                    format!("authentication.{name}"),
                    format!("no listener asks for it: write `authenticate: [{name}]` on one, or leave this out"),
                );
            }
        }
        settings
    }

    /// What clients of a listener have to prove.
    pub(super) fn demands(
        &mut self,
        place: &str,
        written: &written::Listener,
        certificates: Certificates,
        authentication: &AuthenticationSettings,
        default: &DefaultBinding,
    ) -> Option<DemandSettings> {
        let own_binding = written.client_id.as_ref();
        let own_binding =
            own_binding.map(|written| self.binding(&format!("{place}.client_id"), written));
        let Some(ways) = &written.authenticate else {
            if own_binding.is_some() {
                self.faults.add(
                    format!("{place}.client_id"),
                    "nobody has an identity here: write `authenticate: [...]` on this listener, or leave it out",
                );
            }
            return None;
        };
        let place = format!("{place}.authenticate");
        if written.anonymous {
            self.faults.add(
                &place,
                "stands beside `anonymous: true`: write one of both, or two listeners",
            );
        }
        if ways.is_empty() {
            self.faults
                .add(&place, "is empty: name a way such as password, or write `anonymous: true`");
        }
        let ways: Vec<_> = ways
            .iter()
            .enumerate()
            .map(|(index, ways)| {
                let place = format!("{place}[{index}]");
                self.ways(&place, ways, certificates, authentication)
            })
            .collect();
        for (index, one) in ways.iter().enumerate() {
            let is_there = |way: &Way| match way {
                // Whoever gets as far as CONNECT has shown one.
                Way::Certificate if certificates == Certificates::Required => true,
                // The service takes every password.
                Way::Http => one.iter().any(|asked| *asked != Way::Certificate),
                way => one.contains(way),
            };
            let hides = |earlier: &&Vec<Way>| !earlier.is_empty() && earlier.iter().all(is_there);
            let Some(earlier) = ways[..index].iter().find(hides).filter(|_| !one.is_empty()) else {
                continue;
            };
            let text = match earlier.contains(&Way::Certificate) && !one.contains(&Way::Certificate)
            {
                true => {
                    "is never asked for: every client has shown a certificate, which decides first. Write `client_certificate: optional` in tls, or write it before, or leave it out"
                }
                false => {
                    "is never asked for: what stands before it decides first. Leave it out, or write it before"
                }
            };
            self.faults.add(format!("{place}[{index}]"), text);
        }
        let names = |way| ways.iter().flatten().any(|one| *one == way);
        if names(Way::Password) && names(Way::Http) {
            self.faults.add(&place, "names password and http: the service stands in place of the file. Leave one of them out");
        }
        let binding = own_binding.flatten().or_else(|| default.clone()).unwrap_or(Binding::Equals);
        Some(DemandSettings { ways, binding })
    }

    fn ways(
        &mut self,
        place: &str,
        Ways(words): &Ways,
        certificates: Certificates,
        authentication: &AuthenticationSettings,
    ) -> Vec<Way> {
        if words.is_empty() {
            self.faults.add(place, "asks for nothing: name the ways of which all are asked for");
        }
        let mut ways = Vec::new();
        for word in words {
            let Some(way) = Way::named(word) else {
                let known = Way::ALL.map(Way::name).join(", ");
                self.faults.add(place, format!("there is no way {word:?}: there are {known}"));
                continue;
            };
            if ways.contains(&way) {
                self.faults.add(place, format!("{word} stands there twice"));
                continue;
            }
            if way == Way::Certificate && certificates == Certificates::NotAsked {
                self.faults.add(place, "asks for a certificate, and nobody is to show one here: write `client_ca: FILE` in this listener's tls, with the authorities that may vouch for clients; or `client_certificate: required`, with authentication.certificate.pinned; or, behind a load balancer that verifies them, `common_names: true` in proxy_protocol");
            }
            if !authentication.has(way) {
                self.faults.add(
                    format!("authentication.{word}"),
                    format!("is missing: {place} asks for it. Write {}", example(way)),
                );
            }
            ways.push(way);
        }
        ways
    }

    /// The section `client_id`.
    pub(super) fn default_binding(&mut self) -> DefaultBinding {
        let written: ClientId = self.section("client_id")?;
        self.binding("client_id", &written)
    }

    pub(super) fn default_binding_is_used(
        &mut self,
        default: &DefaultBinding,
        listeners: &[ListenerSettings],
    ) {
        if default.is_some() && listeners.iter().all(|listener| listener.demands.is_none()) {
            self.faults.add(
                "client_id",
                "nobody has an identity: write `authenticate: [...]` on a listener, or leave this out",
            );
        }
    }

    fn binding(&mut self, place: &str, written: &ClientId) -> Option<Binding> {
        match written {
            ClientId::Word(word) if word == "equals" => Some(Binding::Equals),
            ClientId::Word(word) if word == "any" => Some(Binding::Any),
            ClientId::Word(word) => {
                self.faults.add(
                    place,
                    format!(
                        "{word:?} is not known: write equals, any, or {{ begins_with: \"-\" }}"
                    ),
                );
                None
            }
            ClientId::BeginsWith(separator) if separator.is_empty() => {
                self.faults.add(
                    format!("{place}.begins_with"),
                    "is empty, so that dev1 could be dev10: write a separator such as \"-\"",
                );
                None
            }
            ClientId::BeginsWith(separator) => Some(Binding::BeginsWith(separator.as_str().into())),
        }
    }
}

/// What to write for a way whose section is missing.
fn example(way: Way) -> &'static str {
    match way {
        Way::Certificate => "`certificate: { identity: [cn] }`",
        Way::Token => "`token: { jwks: https://…, issuer: …, audience: … }`",
        Way::Password => "`password: { file: passwords }`",
        Way::Http => "`http: { url: https://… }`",
    }
}
