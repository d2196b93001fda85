//! Where devices connect: listeners, of which no two take one address.

use std::net::SocketAddr;

use super::Checker;
use crate::config::node::Node;
use crate::config::{ListenerSettings, written};

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

    pub(super) fn listeners(&mut self) -> Vec<ListenerSettings> {
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
            let Some(bind) = self.address(&bind_place, &written.bind) else { continue };
            if !bind.ip().is_loopback() && !written.anonymous {
                self.faults.add(
                    &bind_place,
                    format!("{bind} is beyond loopback and there is no authentication yet: anyone who reaches it may publish. Write `anonymous: true` on this listener if that is meant"),
                );
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
            listeners.push(ListenerSettings { name: written.name, bind, on_denied, tls });
        }
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
