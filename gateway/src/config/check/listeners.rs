//! Where devices connect: listeners, of which no two take one address, and what each of them asks of who
//! comes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Checker;
use super::authentication::Certificates;
use crate::config::node::Node;
use crate::config::values::Length;
use crate::config::written;
use crate::identity::{AuthenticationSettings, Way};
use crate::net::listen::UNIX;
use crate::net::tls::{CertificateSettings, Template, TlsSettings};
use crate::net::{Bind, ListenerSettings};
use crate::net::{Network, proxy, websocket};

/// The longest path of a socket file, in bytes: what the system takes.
const UNIX_PATH_MAX: usize = 107;
/// A listener's name is a label of metrics, in bytes.
const NAME_MAX: usize = 64;
const DEFAULT_PING: Duration = Duration::from_secs(30);
const PING_MIN: Duration = Duration::from_secs(1);
const PING_MAX: Duration = Duration::from_secs(3600);
/// What a listener's limits will have one day.
const LATER_LIMITS: [&str; 2] = ["connections_per_address", "connects_per_second"];

impl Checker {
    pub(super) fn address(&mut self, place: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.faults.add(
                place,
                format!("{text:?} is no address: write IP:PORT, such as 127.0.0.1:1883"),
            );
        }
        address
    }

    fn bind(&mut self, place: &str, text: &str) -> Option<Bind> {
        let Some(path) = text.strip_prefix(UNIX) else {
            return self.address(place, text).map(Bind::Tcp);
        };
        if !Path::new(path).is_absolute() || path.len() > UNIX_PATH_MAX {
            self.faults.add(
                place,
                format!("{path:?} cannot be a socket file: write unix: and an absolute path of at most {UNIX_PATH_MAX} bytes, such as unix:/run/landfall/mqtt.sock"),
            );
            return None;
        }
        Some(Bind::Unix(PathBuf::from(path)))
    }

    pub(super) fn listeners(
        &mut self,
        authentication: &AuthenticationSettings,
    ) -> Vec<ListenerSettings> {
        let bindings = self.default_binding();
        let default = || {
            let plain = [("name", Node::text("plain")), ("bind", Node::text("127.0.0.1:1883"))];
            vec![Node::map(plain)]
        };
        let items = self.list("listeners").unwrap_or_else(default);
        if items.is_empty() {
            self.faults.add("listeners", "is empty: write at least one, or leave the section out");
        }
        let mut listeners: Vec<ListenerSettings> = Vec::new();
        for (index, mut item) in items.into_iter().enumerate() {
            let place = format!("listeners[{index}]");
            self.refuse_later_limits(&place, &mut item);
            let Some(mut written) = self.read::<written::Listener>(&place, item) else { continue };
            let bind_place = format!("{place}.bind");
            let tls = written.tls.take().map(|tls| {
                let names = &authentication.certificate;
                self.tls(&format!("{place}.tls"), tls, names, written.websocket.is_some())
            });
            let is_told = written.proxy_protocol.as_ref().is_some_and(|proxy| proxy.common_names);
            let certificates = match asked(tls.as_ref().map(Option::as_ref)) {
                Certificates::NotAsked if is_told => Certificates::Optional,
                asked => asked,
            };
            let demands = self.demands(&place, &written, certificates, authentication, &bindings);
            let Some(bind) = self.bind(&bind_place, &written.bind) else { continue };
            let is_reached = match &bind {
                Bind::Tcp(address) => !address.ip().is_loopback(),
                Bind::Unix(_) => false,
            };
            if is_reached && !written.anonymous && written.authenticate.is_none() {
                let (anyone, way) = match certificates {
                    Certificates::Required => ("anyone whose certificate is good", "certificate"),
                    _ => ("anyone who reaches it", "password"),
                };
                self.faults.add(
                    &bind_place,
                    format!("{bind} is beyond loopback and asks nobody who it is: {anyone} may publish as any device. Write `authenticate: [{way}]` on this listener, or `anonymous: true` if that is meant"),
                );
            }
            if is_reached && demands.is_some() && tls.is_none() {
                self.hints.push(format!(
                    "{place}: passwords go over the network as they are: without `tls`, and without TLS in front of it, whoever listens there has them"
                ));
            }
            self.name(&format!("{place}.name"), &written.name, &listeners);
            if let Some(known) = listeners.iter().find(|known| overlap(&known.bind, &bind)) {
                let holder = format!("listener {}", known.name);
                self.faults.add(&bind_place, taken(&bind, &holder, &known.bind));
            }
            let websocket = written.websocket.map(|it| self.websocket(&place, it));
            let proxy = written
                .proxy_protocol
                .map(|it| self.proxy_protocol(&place, &bind, it, &authentication.certificate));
            let connections = written.limits.and_then(|limits| limits.connections);
            if connections == Some(0) {
                self.faults.add(
                    format!("{place}.limits.connections"),
                    "is zero: write at least 1, or take the listener out",
                );
            }
            let on_denied = self.on_denied(&place, written.on_denied.as_deref());
            if let (Some(websocket), Some(tls)) = (&websocket, tls.iter().flatten().next())
                && tls.clients.is_some()
                && websocket.terms.origins.is_empty()
            {
                self.faults.add(
                    format!("{place}.websocket.origins"),
                    "is missing: clients are asked for a certificate here, and a browser shows its user's for any page that connects. Write the pages that may, such as [\"https://console.example.com\"], or, where none does, one that there is not, such as [\"https://none.invalid\"]; devices say no origin, and come in",
                );
            }
            let listener = ListenerSettings {
                name: written.name,
                bind,
                on_denied,
                tls: tls.flatten(),
                demands,
                websocket,
                proxy,
                connections,
                // Known when the limits of all are.
                silent: 1,
            };
            self.look_at_common_names(&place, &listener, authentication);
            self.hint_at_certificates(&place, &listener);
            listeners.push(listener);
        }
        self.default_binding_is_used(&bindings, &listeners);
        self.certificate_names_are_used(&authentication.certificate, &listeners);
        listeners
    }

    /// Certificates that are checked say nothing of who comes, unless somebody looks at them.
    fn hint_at_certificates(&mut self, place: &str, listener: &ListenerSettings) {
        let is_used = [Way::Certificate, Way::Http].iter().any(|way| listener.asks_for(*way));
        let is_asked = listener.certificates().is_some() || listener.is_told_common_names();
        if is_asked && !is_used {
            self.hints.push(format!("{place}: clients' certificates are checked, and who they are is not: where a certificate shall say who comes, name certificate in authenticate"));
        }
    }

    /// What a load balancer tells of certificates is of use, and is the only thing that does.
    fn look_at_common_names(
        &mut self,
        place: &str,
        listener: &ListenerSettings,
        authentication: &AuthenticationSettings,
    ) {
        if !listener.is_told_common_names() {
            return;
        }
        let place = format!("{place}.proxy_protocol.common_names");
        if listener.certificates().is_some() {
            self.faults.add(
                &place,
                "stands beside certificates that tls asks for: a client has one of both. Leave it out, or client_ca and client_certificate",
            );
        }
        if !authentication.certificate.identity.iter().any(Template::is_of_common_names) {
            self.faults.add(
                &place,
                "says nothing, because authentication.certificate.identity has no cn: write `identity: [cn]` there, or leave it out",
            );
        }
    }

    /// Takes out what is known by name and not there yet, and says so.
    fn refuse_later_limits(&mut self, place: &str, listener: &mut Node) {
        let Node::Map(listener) = listener else { return };
        let Some(Node::Map(limits)) = listener.get_mut("limits") else { return };
        for name in LATER_LIMITS {
            if limits.remove(name).is_some() {
                self.faults.add(
                    format!("{place}.limits.{name}"),
                    "is not available yet: of a listener's limits there is connections",
                );
            }
        }
    }

    fn name(&mut self, place: &str, name: &str, known: &[ListenerSettings]) {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(legal) {
            self.faults.add(
                place,
                format!("{name:?} cannot be a label of metrics: write 1 to {NAME_MAX} of A-Z a-z 0-9 . _ -"),
            );
        }
        if known.iter().any(|known| known.name == name) {
            self.faults.add(place, format!("{name:?} is used twice"));
        }
    }

    fn websocket(&mut self, place: &str, written: written::WebSocket) -> websocket::Settings {
        let place = format!("{place}.websocket");
        if let Some(path) = &written.path
            && (!path.starts_with('/') || path.contains(['?', '#', ' ']))
        {
            self.faults.add(
                format!("{place}.path"),
                format!(
                    "{path:?} is no path of a URL: write one such as /mqtt, or leave it out for any"
                ),
            );
        }
        for (index, origin) in written.origins.iter().enumerate() {
            if !is_origin(origin) {
                self.faults.add(
                    format!("{place}.origins[{index}]"),
                    format!("{origin:?} is no origin: write SCHEME://HOST or SCHEME://HOST:PORT and nothing behind it, such as https://console.example.com"),
                );
            }
        }
        let ping = written.ping.map_or(DEFAULT_PING, |Length(ping)| ping);
        if !(PING_MIN..=PING_MAX).contains(&ping) {
            self.faults.add(format!("{place}.ping"), "write 1s to 1h, such as 30s");
        }
        let terms = websocket::Terms { path: written.path, origins: written.origins };
        websocket::Settings { terms, ping }
    }

    fn proxy_protocol(
        &mut self,
        place: &str,
        bind: &Bind,
        written: written::ProxyProtocol,
        names: &CertificateSettings,
    ) -> proxy::Settings {
        let place = format!("{place}.proxy_protocol.trusted");
        match bind {
            Bind::Unix(_) if !written.trusted.is_empty() => self.faults.add(
                &place,
                "nobody at a unix socket has an address: leave it out, everybody who may connect is trusted",
            ),
            Bind::Tcp(_) if written.trusted.is_empty() => self.faults.add(
                &place,
                "names nobody: write the networks of the load balancers, such as 10.0.0.0/8, or leave proxy_protocol out",
            ),
            _ => {}
        }
        let mut trusted = Vec::new();
        for (index, text) in written.trusted.iter().enumerate() {
            match text.parse::<Network>() {
                Ok(network) => trusted.push(network),
                Err(error) => {
                    self.faults.add(format!("{place}[{index}]"), format!("{text:?} {error}"));
                }
            }
        }
        let common_names = written.common_names.then(|| names.identity.clone());
        proxy::Settings { trusted, common_names }
    }
}

/// What is asked of certificates by TLS as it is written: none, faulty, or good.
fn asked(tls: Option<Option<&TlsSettings>>) -> Certificates {
    match tls {
        None => Certificates::NotAsked,
        Some(None) => Certificates::Unknown,
        Some(Some(tls)) => match &tls.clients {
            None => Certificates::NotAsked,
            Some(clients) if clients.required => Certificates::Required,
            Some(_) => Certificates::Optional,
        },
    }
}

/// An origin as browsers send it: no path, no user, no slash at the end.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !scheme.is_empty()
        && scheme.chars().all(is_scheme)
        && !host.is_empty()
        && host.chars().all(is_host)
}

/// Both cannot be bound at a time. `[::]` takes IPv4 too.
pub(super) fn overlap(one: &Bind, other: &Bind) -> bool {
    let (one, other) = match (one, other) {
        (Bind::Tcp(one), Bind::Tcp(other)) => (one, other),
        _ => return one == other,
    };
    let takes = |one: &SocketAddr, other: &SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let same_address = one.ip() == other.ip() || takes(one, other) || takes(other, one);
    one.port() == other.port() && one.port() != 0 && same_address
}

pub(super) fn taken(bind: &Bind, holder: &str, by: &Bind) -> String {
    match bind == by {
        true => format!("{bind} is used twice: {holder} has it"),
        false => format!(
            "{bind} cannot be beside {by} of {holder}, which takes the same port of the same addresses: write another port, or one of both ([::] takes IPv4 too)"
        ),
    }
}
