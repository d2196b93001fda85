//! Where the gateway is asked and told, beside the listeners, and by what its callers show who they are.

use std::net::SocketAddr;

use super::Checker;
use super::listeners::{overlap, taken};
use crate::admin::tokens::{self, TOKENS_MAX, TokenSources, Tokens};
use crate::admin::{AdminSettings, ProbesSettings};
use crate::config::written;
use crate::net::{Bind, ListenerSettings};

const DEFAULT_BIND: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

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
        let authenticate = written.authenticate.map(|authenticate| authenticate.tokens);
        let (token_sources, tokens) = match authenticate {
            Some(sources) => self.tokens(sources),
            None => Default::default(),
        };
        AdminSettings { bind, probes, token_sources, tokens }
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
        if sources.is_empty() {
            self.faults.add(
                PLACE,
                "is empty: nobody could show who they are. Write such as `{ ops: { from_file: … } }`, or leave admin.authenticate out",
            );
        }
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
