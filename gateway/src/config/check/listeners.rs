//! Where devices connect: listeners, of which no two take one address.

use std::net::SocketAddr;

use super::Checker;
use crate::config::node::Node;
use crate::config::{AuthenticationSettings, ListenerSettings, written};

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
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("listeners[{index}]");
            let Some(written) = self.read::<written::Listener>(&place, item) else { continue };
            let bind_place = format!("{place}.bind");
            let demands = self.demands(&place, &written, authentication, &bindings);
            let Some(bind) = self.address(&bind_place, &written.bind) else { continue };
            if !bind.ip().is_loopback() && !written.anonymous && written.authenticate.is_none() {
                self.faults.add(
                    &bind_place,
                    format!("{bind} is beyond loopback and asks nobody who it is: anyone who reaches it may publish. Write `authenticate: [password]` on this listener, or `anonymous: true` if that is meant"),
                );
            }
            if !bind.ip().is_loopback() && demands.is_some() && written.tls.is_none() {
                self.hints.push(format!(
                    "{place}: passwords go over the network as they are: without `tls`, and without TLS in front of it, whoever listens there has them"
                ));
            }
            if listeners.iter().any(|known| known.name == written.name) {
                self.faults
                    .add(format!("{place}.name"), format!("{:?} is used twice", written.name));
            }
            if let Some(known) = listeners.iter().find(|known| overlap(known.bind, bind)) {
                self.faults
                    .add(&bind_place, taken(bind, &format!("listener {}", known.name), known.bind));
            }
            let on_denied = self.on_denied(&place, written.on_denied.as_deref());
            let tls = written.tls.and_then(|tls| self.tls(&format!("{place}.tls"), tls));
            listeners.push(ListenerSettings { name: written.name, bind, on_denied, tls, demands });
        }
        self.default_binding_is_used(&bindings, &listeners);
        listeners
    }
}

/// Both cannot be bound at a time. `[::]` takes IPv4 too.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |one: SocketAddr, other: SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let same_address = one.ip() == other.ip() || takes(one, other) || takes(other, one);
    one.port() == other.port() && one.port() != 0 && same_address
}

pub(super) fn taken(bind: SocketAddr, holder: &str, by: SocketAddr) -> String {
    match bind == by {
        true => format!("{bind} is used twice: {holder} has it"),
        false => format!(
            "{bind} cannot be beside {by} of {holder}, which takes the same port of the same addresses: write another port, or one of both ([::] takes IPv4 too)"
        ),
    }
}
