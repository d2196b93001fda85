//! What clients have to prove, and what knows whether they do: each way that a listener names has its
//! section, each section has a listener, and what they read can be read.

use super::Checker;
use crate::config::evidence::{ClientId, Ways};
use crate::config::{
    AuthenticationSettings, DemandSettings, ListenerSettings, PasswordSettings, Secrets, written,
};
use crate::identity::{Binding, Way, password};

/// The section `client_id`, where there is one.
pub(super) type DefaultBinding = Option<Binding>;

impl Checker {
    pub(super) fn authentication(&mut self) -> AuthenticationSettings {
        let written: written::Authentication = self.section("authentication").unwrap_or_default();
        let password =
            written.password.map(|written| PasswordSettings { file: written.file.into() });
        if let Some(settings) = &password {
            match password::check(settings) {
                // Another machine has the file.
                Err(_) if self.secrets == Secrets::Assumed && !settings.file.exists() => {}
                Err(faults) => self.faults.0.extend(faults.0),
                Ok(()) => {}
            }
        }
        let certificate = self.certificate_names(written.certificate);
        AuthenticationSettings { password, certificate }
    }

    /// What of it some listener asks for; it is a fault where none does.
    pub(super) fn used(
        &mut self,
        settings: AuthenticationSettings,
        listeners: &[ListenerSettings],
    ) -> AuthenticationSettings {
        for way in Way::ALL {
            let demands = listeners.iter().filter_map(|listener| listener.demands.as_ref());
            let is_named =
                demands.flat_map(|demands| demands.ways.iter().flatten()).any(|one| *one == way);
            if settings.has(way) && !is_named {
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
            .map(|(index, ways)| self.ways(&place, index, ways, authentication))
            .collect();
        for (index, one) in ways.iter().enumerate() {
            let is_hidden = |earlier: &Vec<Way>| earlier.iter().all(|way| one.contains(way));
            if !one.is_empty()
                && ways[..index].iter().any(|earlier| !earlier.is_empty() && is_hidden(earlier))
            {
                self.faults.add(
                    format!("{place}[{index}]"),
                    "is never asked for: what stands before it decides first. Leave it out, or write it before",
                );
            }
        }
        let binding = own_binding.flatten().or_else(|| default.clone()).unwrap_or(Binding::Equals);
        Some(DemandSettings { ways, binding })
    }

    fn ways(
        &mut self,
        place: &str,
        index: usize,
        Ways(words): &Ways,
        authentication: &AuthenticationSettings,
    ) -> Vec<Way> {
        let place = format!("{place}[{index}]");
        if words.is_empty() {
            self.faults.add(&place, "asks for nothing: name the ways of which all are asked for");
        }
        let mut ways = Vec::new();
        for word in words {
            let Some(way) = Way::named(word) else {
                let known = Way::ALL.map(Way::name).join(", ");
                self.faults.add(&place, format!("there is no way {word:?}: there are {known}"));
                continue;
            };
            if ways.contains(&way) {
                self.faults.add(&place, format!("{word} stands there twice"));
                continue;
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
        Way::Password => "`password: { file: passwords }`",
    }
}
