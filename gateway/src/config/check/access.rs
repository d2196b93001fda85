//! What clients may do: every rule has to be one that can hold, and no listener may be left without anybody
//! who can use it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Checker;
use crate::access::OnDenied;
use crate::access::acl_file::AclFile;
use crate::access::rules::{CLIENT_ID as SAID, IDENTITY, Idle, Rule, Rules, USERNAME, Who};
use crate::access::{self, AccessSettings};
use crate::config::{Secrets, written};
use crate::identity::{AuthenticationSettings, Binding, Way};
use crate::net::ListenerSettings;
use crate::net::tls::ClientSettings;

const RULES_MAX: usize = 1_000;
const FILE_PLACE: &str = "access_file.mosquitto";

impl Checker {
    pub(super) fn on_denied(&mut self, place: &str, written: Option<&str>) -> OnDenied {
        match written {
            None | Some("answer") => OnDenied::Answer,
            Some("close") => OnDenied::Close,
            Some(other) => {
                let text = format!("{other:?} is not known: write answer or close");
                self.faults.add(format!("{place}.on_denied"), text);
                OnDenied::Answer
            }
        }
    }

    pub(super) fn access(
        &mut self,
        listeners: &[ListenerSettings],
        authentication: &AuthenticationSettings,
    ) -> Option<AccessSettings> {
        let faults = self.faults.0.len();
        let rules = self.access_rules(listeners);
        let file = self.access_file();
        // Whoever is asked who he is may do nothing that is not allowed to him.
        let nobody_is_asked = listeners.iter().all(|listener| listener.demands.is_none());
        if rules.is_none() && file.is_none() && nobody_is_asked {
            return None;
        }
        let settings = AccessSettings {
            rules: Arc::new(rules.unwrap_or_default()),
            file: file.map(|(path, file)| (path, Arc::new(file))),
        };
        // What a faulty rule was to allow is not known.
        if self.faults.0.len() == faults {
            let proofs = Proofs { authentication };
            self.hold_rules(&settings.rules, listeners, proofs);
            self.hold_listeners(&settings, listeners, proofs);
            self.hint_at_client_ids(&settings.rules, listeners);
            self.hint_at_namesakes(&settings.rules, listeners);
        }
        Some(settings)
    }

    fn access_rules(&mut self, listeners: &[ListenerSettings]) -> Option<Rules> {
        let items = self.list("access")?;
        if items.len() > RULES_MAX {
            let text = format!("there are {}: at most {RULES_MAX} can be", items.len());
            self.faults.add("access", text);
        }
        let mut rules = Rules::default();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("access[{index}]");
            let Some(written) = self.read::<written::AccessRule>(&place, item) else { continue };
            let Some(rule) = self.access_rule(&place, written, listeners) else { continue };
            if let Err(error) = rules.add(rule) {
                self.faults.add(format!("{place}.topic"), error.to_string());
            }
        }
        Some(rules)
    }

    fn access_rule(
        &mut self,
        place: &str,
        written: written::AccessRule,
        listeners: &[ListenerSettings],
    ) -> Option<Rule> {
        let written::AccessRule { who, allow, deny, topic } = written;
        let (forbids, actions, key) = match (allow.is_empty(), deny.is_empty()) {
            (false, true) => (false, allow, "allow"),
            (true, false) => (true, deny, "deny"),
            _ => {
                let text =
                    "write either `allow: [publish, subscribe]` or `deny: […]`, with what is meant";
                self.faults.add(place, text);
                return None;
            }
        };
        let (mut publish, mut subscribe) = (false, false);
        for action in actions {
            match action.as_str() {
                "publish" => publish = true,
                "subscribe" => subscribe = true,
                _ => {
                    let text = format!("{action:?} is not known: write publish or subscribe");
                    self.faults.add(format!("{place}.{key}"), text);
                }
            }
        }
        if let Some(name) = &who.listener
            && !listeners.iter().any(|listener| listener.name == *name)
        {
            let names: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
            let text = format!("there is no listener {name:?}: there are {}", names.join(", "));
            self.faults.add(format!("{place}.who.listener"), text);
        }
        let mut attributes: Vec<(String, String)> = who.attributes.into_iter().collect();
        attributes.extend(who.group.map(|group| ("group".to_owned(), group)));
        let who = Who {
            identity: who.identity,
            username: who.username,
            client_id: who.client_id,
            listener: who.listener,
            attributes,
        };
        Some(Rule { who, forbids, publish, subscribe, topic })
    }

    fn access_file(&mut self) -> Option<(PathBuf, AclFile)> {
        let written::AccessFile { mosquitto } = self.section("access_file")?;
        let path = PathBuf::from(mosquitto);
        if self.secrets == Secrets::Assumed && !path.exists() {
            let hint =
                format!("{FILE_PLACE}: {} is not here: what it says is not known", path.display());
            self.hints.push(hint);
            return Some((path, AclFile::default()));
        }
        match access::read(&path) {
            Ok(file) => {
                self.compare_with_mosquitto(&file);
                Some((path, file))
            }
            Err(texts) => {
                for text in texts {
                    self.faults.add(FILE_PLACE, text);
                }
                Some((path, AclFile::default()))
            }
        }
    }

    /// Where Landfall does not do what mosquitto does.
    fn compare_with_mosquitto(&mut self, file: &AclFile) {
        if file.has_readers() {
            self.hints.push(format!("{FILE_PLACE}: mosquitto grants every SUBSCRIBE and leaves out what may not be read; Landfall refuses one that could bring what may not be read, such as # where only a part may be"));
        }
        for line in file.plain_patterns() {
            self.hints.push(format!(
                "{FILE_PLACE}: line {line} is a pattern without %c or %u: it is for every client"
            ));
        }
    }

    /// Finds rules that never decide anything.
    fn hold_rules(&mut self, rules: &Rules, listeners: &[ListenerSettings], proofs: Proofs<'_>) {
        for (index, rule) in rules.iter().enumerate() {
            let place = format!("access[{index}]");
            let is_for = |listener: &&ListenerSettings| {
                rule.who.listener.as_ref().is_none_or(|name| *name == listener.name)
            };
            let mut unproved: Vec<&str> = rules
                .names(index)
                .chain(rule.who.proofs())
                .filter(|name| *name != SAID)
                .filter(|name| {
                    !listeners.iter().filter(is_for).any(|listener| proofs.give(listener, name))
                })
                .collect();
            unproved.dedup();
            for name in unproved {
                self.faults.add(&place, format!("it asks for {name}, which no client of its listeners proves: it can never hold. Name a way of authentication that gives it"));
            }
            match rules.idle(index) {
                Some(Idle::SameAs(other)) => self
                    .faults
                    .add(&place, format!("says the same as access[{other}]: leave one of them out")),
                Some(Idle::ForbiddenBy(other)) => self.faults.add(
                    &place,
                    format!("can never hold, because access[{other}] denies all that it allows: leave one of them out, or make the deny narrower"),
                ),
                None => {}
            }
        }
    }

    /// A client id is what its client says, unless it is bound to an identity.
    fn hint_at_client_ids(&mut self, rules: &Rules, listeners: &[ListenerSettings]) {
        let chooses = |listener: &&ListenerSettings| {
            listener.demands.as_ref().is_some_and(|demands| demands.binding == Binding::Any)
        };
        for (index, rule) in rules.iter().enumerate() {
            let is_for = |listener: &&ListenerSettings| {
                rule.who.listener.as_ref().is_none_or(|name| *name == listener.name)
            };
            let asks = rule.who.client_id.is_some() || rules.names(index).any(|name| name == SAID);
            if let Some(listener) = listeners.iter().filter(is_for).find(chooses).filter(|_| asks) {
                self.hints.push(format!("access[{index}] goes by the client id, which clients of listener {} choose themselves (`client_id: any`): write identity, or bind the client id to it", listener.name));
            }
        }
    }

    /// Identities of all ways and listeners are one set of names: who may call a client `m-1` at one listener, may
    /// do so for every rule that names none.
    fn hint_at_namesakes(&mut self, rules: &Rules, listeners: &[ListenerSettings]) {
        let asking: Vec<&ListenerSettings> =
            listeners.iter().filter(|listener| listener.demands.is_some()).collect();
        let Some((first, others)) = asking.split_first() else { return };
        let own = namers(first);
        let Some(other) = others.iter().find(|other| namers(other) != own) else { return };
        let goes_by_name = |(index, rule): &(usize, &Rule)| {
            let mut names = rules.names(*index).chain(rule.who.proofs());
            let is_one = |name: &str| matches!(name, IDENTITY | USERNAME);
            !rule.forbids && rule.who.listener.is_none() && names.any(is_one)
        };
        let mut by_name = rules.iter().enumerate().filter(goes_by_name);
        let Some((index, _)) = by_name.next() else { return };
        let more = match by_name.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let (own, others) = (own.join(", "), namers(other).join(", "));
        let (first, other) = (&first.name, &other.name);
        self.hints.push(format!("access[{index}]{more} is for whoever has that identity, at every listener, and not everywhere the same say who has it: at {first} {own}, at {other} {others}. Who is m-1 by one is m-1 by the other; where that is not meant, let the names differ, or write a rule for each: `who: {{ listener: {first} }}`"));
    }

    /// Finds listeners whose clients may do nothing.
    fn hold_listeners(
        &mut self,
        settings: &AccessSettings,
        listeners: &[ListenerSettings],
        proofs: Proofs<'_>,
    ) {
        // What a file says that is not here, another machine knows.
        let is_unknown = settings.file.as_ref().is_some_and(|(path, _)| !path.exists());
        for (index, listener) in listeners.iter().enumerate() {
            let by_rule = settings.rules.iter().enumerate().any(|(at, rule)| {
                let names = settings.rules.names(at).chain(rule.who.proofs());
                let mut names = names.filter(|name| *name != SAID);
                !rule.forbids
                    && rule.who.listener.as_ref().is_none_or(|name| *name == listener.name)
                    && names.all(|name| proofs.give(listener, name))
            });
            let by_file = settings.file.as_ref().is_some_and(|(_, file)| file.allows_anything());
            if !by_rule && !by_file && !is_unknown {
                let name = &listener.name;
                self.faults.add(format!("listeners[{index}]"), format!("nobody can use listener {name}: as soon as a listener authenticates, or there are rules, nobody may do what no rule allows. Write in `access` what its clients may do, such as `- {{ allow: [publish], topic: \"devices/+/{{identity}}/#\" }}`, or `- {{ who: {{ listener: {name} }}, allow: [publish, subscribe], topic: \"#\" }}` for everything"));
            }
        }
    }
}

/// Who says what the identities of a listener's clients are.
fn namers(listener: &ListenerSettings) -> Vec<String> {
    let ways = listener.demands.iter().flat_map(|demands| &demands.ways);
    // Of several ways that are all asked for, the first gives the name.
    let namer =
        |way: &Way| match (way, listener.certificates().and_then(|it| it.authorities.as_ref())) {
            (Way::Certificate, Some(authorities)) => {
                format!("{} of {}", way.name(), authorities.display())
            }
            (way, _) => way.name().to_owned(),
        };
    let namers: BTreeSet<String> = ways.filter_map(|ways| ways.first()).map(namer).collect();
    namers.into_iter().collect()
}

/// What clients can prove.
#[derive(Clone, Copy)]
struct Proofs<'a> {
    authentication: &'a AuthenticationSettings,
}

impl Proofs<'_> {
    /// Whether clients of a listener can prove something of this name: `identity`, `username`, an attribute.
    fn give(self, listener: &ListenerSettings, name: &str) -> bool {
        let Some(demands) = &listener.demands else { return false };
        let is_vouched_for = |clients: &ClientSettings| clients.authorities.is_some();
        matches!(name, IDENTITY | USERNAME)
            || demands.ways.iter().flatten().any(|way| match way {
                // A pin has an identity and nothing else.
                Way::Certificate
                    if !listener.certificates().is_some_and(is_vouched_for)
                        && !listener.is_told_common_names() =>
                {
                    false
                }
                way => self.authentication.gives(*way, name),
            })
    }
}
