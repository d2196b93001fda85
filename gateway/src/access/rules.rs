//! The rules of the section `access`: who may publish or subscribe to what. Pure.

use std::fmt;

use bridge::topic::filter::is_name;
use bridge::topic::pattern::{Pattern, PatternError, Piece, Value};

use super::policy::{Action, Index, Source, Subject, Verdict, value};

/// What may stand in a place of a topic, in the order of the numbers of places; attributes follow.
pub const IDENTITY: &str = "identity";
pub const CLIENT_ID: &str = "client_id";
pub const USERNAME: &str = "username";
const NAMED: [&str; 3] = [IDENTITY, CLIENT_ID, USERNAME];
/// Names of attributes in all rules together.
const ATTRIBUTES_MAX: usize = u8::MAX as usize + 1 - NAMED.len();

/// A rule as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub who: Who,
    /// It forbids; else it allows.
    pub forbids: bool,
    pub publish: bool,
    pub subscribe: bool,
    /// A topic filter with `{names}` in place of levels.
    pub topic: String,
}

/// Whom a rule is for: all that is said has to be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    pub identity: Option<String>,
    pub username: Option<String>,
    pub client_id: Option<String>,
    pub listener: Option<String>,
    pub attributes: Vec<(String, String)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<(Rule, Pattern)>,
    /// Of the rules about publishing.
    publish: Index,
    /// The attributes that stand in places.
    attributes: Vec<Box<str>>,
}

/// Why this is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("`{0}`: write {{name}} alone in its level, with letters, digits, `_` and `-`")]
    Place(String),
    #[error("rules name more than {ATTRIBUTES_MAX} attributes in their topics")]
    TooManyAttributes,
}

/// Why a rule never decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// This one says the same.
    SameAs(usize),
    /// This one forbids all that it allows.
    ForbiddenBy(usize),
}

impl Rules {
    /// Adds a rule behind the others.
    pub fn add(&mut self, rule: Rule) -> Result<(), RuleError> {
        let mut pieces = Vec::new();
        for (at, level) in rule.topic.split('/').enumerate() {
            if at > 0 {
                pieces.push(Piece::Text("/"));
            }
            pieces.push(match level.contains(['{', '}']) {
                true => Piece::Value(self.number(level)?),
                false => Piece::Text(level),
            });
        }
        let pattern = Pattern::new(pieces)?;
        if rule.publish {
            self.publish.add(&pattern, self.rules.len());
        }
        self.rules.push((rule, pattern));
        Ok(())
    }

    /// The number of a `{name}`.
    fn number(&mut self, level: &str) -> Result<u8, RuleError> {
        let name = level.strip_prefix('{').and_then(|level| level.strip_suffix('}'));
        let name = name.filter(|name| is_name(name));
        let name = name.ok_or_else(|| RuleError::Place(level.to_owned()))?;
        let attributes = self.attributes.iter().map(|name| &**name);
        let known = NAMED.into_iter().chain(attributes).position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.attributes.push(name.into());
            NAMED.len() + self.attributes.len() - 1
        });
        u8::try_from(place).map_err(|_| RuleError::TooManyAttributes)
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A rule as it was written.
    pub fn rule(&self, index: usize) -> &Rule {
        &self.rules[index].0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// The names that stand in places of a rule's topic.
    pub fn names(&self, index: usize) -> impl Iterator<Item = &str> {
        self.rules[index].1.values().map(|number| self.name(number))
    }

    fn name(&self, number: u8) -> &str {
        let number = usize::from(number);
        NAMED.get(number).copied().unwrap_or_else(|| &self.attributes[number - NAMED.len()])
    }

    /// What is said of publishing to a topic.
    pub fn publish(&self, subject: &Subject<'_>, topic: &str) -> Verdict {
        let mut allowed = None;
        for index in self.publish.candidates(topic) {
            let (rule, pattern) = &self.rules[index];
            let is_meant = rule.who.is(subject)
                && (pattern.is_plain() || pattern.matches(topic, self.values(rule, subject)));
            if !is_meant {
                continue;
            }
            if rule.forbids {
                return Verdict::Forbidden(Source::Rule(index));
            }
            allowed = Some(allowed.map_or(index, |known: usize| known.min(index)));
        }
        allowed.map_or(Verdict::Nothing, |index| Verdict::Allowed(Source::Rule(index)))
    }

    /// What is said of subscribing to a filter.
    pub fn subscribe(&self, subject: &Subject<'_>, filter: &str) -> Verdict {
        let mut verdict = Verdict::Nothing;
        for (index, (rule, pattern)) in self.rules.iter().enumerate() {
            if !rule.subscribe || !rule.who.is(subject) {
                continue;
            }
            if rule.forbids {
                if pattern.overlaps(filter, self.values(rule, subject)) {
                    return Verdict::Forbidden(Source::Rule(index));
                }
            } else if verdict == Verdict::Nothing
                && pattern.contains(filter, self.values(rule, subject))
            {
                verdict = Verdict::Allowed(Source::Rule(index));
            }
        }
        verdict
    }

    /// What comes into the places of a rule for somebody.
    fn values<'s>(&self, rule: &Rule, subject: &Subject<'s>) -> impl Fn(u8) -> Value<'s> {
        let forbids = rule.forbids;
        move |number| {
            let text = match self.name(number) {
                IDENTITY => subject.identity,
                CLIENT_ID => Some(subject.client_id),
                USERNAME => subject.username,
                attribute => subject.attribute(attribute),
            };
            value(text, forbids)
        }
    }

    /// Why a rule never decides anything, as far as the other rules are the reason.
    pub fn idle(&self, index: usize) -> Option<Idle> {
        let (rule, pattern) = &self.rules[index];
        let others = || self.rules.iter().enumerate().filter(|(at, _)| *at != index);
        let takes_actions =
            |other: &Rule| (other.publish || !rule.publish) && (other.subscribe || !rule.subscribe);
        let same = others().find(|(at, (other, _))| *at < index && other == rule);
        if let Some((at, _)) = same {
            return Some(Idle::SameAs(at));
        }
        let forbidden = others().find(|(_, (other, wider))| {
            other.forbids
                && !rule.forbids
                && takes_actions(other)
                && other.who.takes_in(&rule.who)
                && wider.covers(pattern)
        });
        forbidden.map(|(at, _)| Idle::ForbiddenBy(at))
    }
}

impl Who {
    /// Whether somebody is meant.
    #[inline]
    fn is(&self, subject: &Subject<'_>) -> bool {
        let is = |wanted: &Option<String>, actual: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| actual == Some(wanted))
        };
        is(&self.identity, subject.identity)
            && is(&self.username, subject.username)
            && is(&self.client_id, Some(subject.client_id))
            && is(&self.listener, Some(subject.listener))
            && self
                .attributes
                .iter()
                .all(|(name, wanted)| subject.attribute(name) == Some(wanted.as_str()))
    }

    /// Everybody whom the other means is meant by this one, too.
    fn takes_in(&self, other: &Who) -> bool {
        let is_wider = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        is_wider(&self.identity, &other.identity)
            && is_wider(&self.username, &other.username)
            && is_wider(&self.client_id, &other.client_id)
            && is_wider(&self.listener, &other.listener)
            && self.attributes.iter().all(|attribute| other.attributes.contains(attribute))
    }

    /// What has to be proved of somebody so that he can be meant.
    pub fn proofs(&self) -> impl Iterator<Item = &str> {
        let attributes = self.attributes.iter().map(|(name, _)| name.as_str());
        let identity = self.identity.as_ref().map(|_| IDENTITY);
        let username = self.username.as_ref().map(|_| USERNAME);
        identity.into_iter().chain(username).chain(attributes)
    }
}

/// As it stands in the configuration.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Who { identity, username, client_id, listener, attributes } = &self.who;
        let named = [
            (IDENTITY, identity),
            (USERNAME, username),
            (CLIENT_ID, client_id),
            ("listener", listener),
        ];
        let mut who: Vec<String> = named
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}: {value}")))
            .collect();
        let attributes: Vec<String> =
            attributes.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        if !attributes.is_empty() {
            who.push(format!("attributes: {{ {} }}", attributes.join(", ")));
        }
        formatter.write_str("{ ")?;
        if !who.is_empty() {
            write!(formatter, "who: {{ {} }}, ", who.join(", "))?;
        }
        let actions = [(self.publish, Action::Publish), (self.subscribe, Action::Subscribe)];
        let actions: Vec<&str> =
            actions.iter().filter(|(is, _)| *is).map(|(_, action)| action.word()).collect();
        let effect = if self.forbids { "deny" } else { "allow" };
        write!(formatter, "{effect}: [{}], topic: \"{}\" }}", actions.join(", "), self.topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(identity: &str) -> Subject<'_> {
        Subject {
            listener: "fleet",
            client_id: identity,
            identity: Some(identity),
            username: None,
            attributes: &[],
        }
    }

    fn rule(effect: &str, actions: &str, topic: &str) -> Rule {
        Rule {
            forbids: effect == "deny",
            publish: actions.contains("publish"),
            subscribe: actions.contains("subscribe"),
            topic: topic.to_owned(),
            ..Rule::default()
        }
    }

    fn rules(all: impl IntoIterator<Item = Rule>) -> Rules {
        let mut rules = Rules::default();
        for rule in all {
            rules.add(rule).expect("a good rule");
        }
        rules
    }

    fn allowed(index: usize) -> Verdict {
        Verdict::Allowed(Source::Rule(index))
    }

    fn forbidden(index: usize) -> Verdict {
        Verdict::Forbidden(Source::Rule(index))
    }

    #[test]
    fn a_device_can_only_be_itself() {
        let rules = rules([
            rule("allow", "publish", "devices/+/{identity}/#"),
            rule("allow", "subscribe", "commands/{identity}/+"),
        ]);
        let own = subject("m-1");
        assert_eq!(rules.publish(&own, "devices/meter/m-1/power"), allowed(0));
        assert_eq!(rules.publish(&own, "devices/meter/m-2/power"), Verdict::Nothing);
        assert_eq!(
            rules.publish(&own, "commands/m-1/x"),
            Verdict::Nothing,
            "hearing is not saying"
        );
        assert_eq!(rules.subscribe(&own, "commands/m-1/x"), allowed(1));
        assert_eq!(rules.subscribe(&own, "commands/m-1/+"), allowed(1));
        for filter in ["commands/m-1/#", "commands/+/x", "commands/m-2/x", "#", "devices/+/m-1/#"] {
            assert_eq!(rules.subscribe(&own, filter), Verdict::Nothing, "{filter}");
        }
        // Whatever a client is called, it gets no more by it.
        for name in ["+", "#", "m-1/power", "", "\0"] {
            let subject = subject(name);
            for topic in
                ["devices/meter/m-1/power", "devices/meter/+/power", "devices/meter//power"]
            {
                assert_eq!(rules.publish(&subject, topic), Verdict::Nothing, "{name:?} {topic}");
            }
            assert_eq!(rules.subscribe(&subject, "commands/+/x"), Verdict::Nothing, "{name:?}");
        }
        let anonymous = Subject { identity: None, ..own };
        assert_eq!(rules.publish(&anonymous, "devices/meter/m-1/power"), Verdict::Nothing);
    }

    #[test]
    fn who_forbids_is_stronger_wherever_it_stands() {
        let rules = rules([
            rule("deny", "publish, subscribe", "a/secret/#"),
            rule("allow", "publish, subscribe", "#"),
            rule("deny", "publish", "by/{client_id}"),
        ]);
        let m1 = subject("m-1");
        assert_eq!(rules.publish(&m1, "a/secret"), forbidden(0));
        assert_eq!(rules.publish(&m1, "a/open"), allowed(1));
        assert_eq!(rules.publish(&m1, "by/m-1"), forbidden(2));
        assert_eq!(rules.publish(&m1, "by/m-2"), allowed(1));
        // What is not a level stands for every one, where it forbids.
        assert_eq!(rules.publish(&subject("m/1"), "by/m-2"), forbidden(2));
        // A filter that could bring some of it.
        for filter in ["a/+", "a/#", "#", "+/secret/x", "a/secret"] {
            assert_eq!(rules.subscribe(&m1, filter), forbidden(0), "{filter}");
        }
        assert_eq!(rules.subscribe(&m1, "a/open/#"), allowed(1));
        assert_eq!(rules.publish(&m1, "$SYS/a"), Verdict::Nothing, "`#` leaves `$` alone");
    }

    #[test]
    fn a_rule_is_for_whom_it_names() {
        let group = [("group".into(), "north".into())];
        let who = |who: Who| Rule { who, ..rule("allow", "publish", "a") };
        let named = |text: &str| Some(text.to_owned());
        let member = Subject { username: Some("u"), attributes: &group, ..subject("m-1") };
        for (whom, expected) in [
            (Who { identity: named("m-1"), ..Who::default() }, true),
            (Who { identity: named("m-2"), ..Who::default() }, false),
            (Who { username: named("u"), ..Who::default() }, true),
            (Who { username: named("v"), ..Who::default() }, false),
            (Who { client_id: named("m-1"), listener: named("fleet"), ..Who::default() }, true),
            (Who { client_id: named("m-1"), listener: named("other"), ..Who::default() }, false),
            (Who { attributes: vec![("group".into(), "north".into())], ..Who::default() }, true),
            (Who { attributes: vec![("group".into(), "south".into())], ..Who::default() }, false),
            (Who { attributes: vec![("tenant".into(), "north".into())], ..Who::default() }, false),
        ] {
            let rules = rules([who(whom.clone())]);
            assert_eq!(rules.publish(&member, "a").is_allowed(), expected, "{whom:?}");
        }
        let nobody = Subject { username: None, identity: None, ..member };
        let of_user = rules([who(Who { username: named("u"), ..Who::default() })]);
        assert_eq!(of_user.publish(&nobody, "a"), Verdict::Nothing, "a name that is only said");
        let of_group = rules([rule("allow", "publish", "{group}/{client_id}")]);
        assert!(of_group.publish(&member, "north/m-1").is_allowed());
        assert!(!of_group.publish(&member, "south/m-1").is_allowed());
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for topic in ["", "a/{x", "a/x{identity}", "a/{}", "a/{a b}", "a/#/b", "a/b+"] {
            let added = Rules::default().add(rule("allow", "publish", topic));
            assert!(added.is_err(), "{topic:?}");
        }
        let mut rules = Rules::default();
        let many =
            (0..=ATTRIBUTES_MAX).map(|name| rule("allow", "publish", &format!("{{a{name}}}")));
        let added: Vec<_> = many.map(|rule| rules.add(rule)).collect();
        assert_eq!(added.last(), Some(&Err(RuleError::TooManyAttributes)));
    }

    #[test]
    fn what_never_decides_is_found() {
        let m1 = Who { identity: Some("m-1".to_owned()), ..Who::default() };
        let rules = rules([
            rule("allow", "publish", "a/{identity}"),
            rule("allow", "publish", "a/{identity}"),
            Rule { who: m1.clone(), ..rule("allow", "publish", "secret/x") },
            rule("deny", "publish", "secret/#"),
            rule("allow", "publish, subscribe", "secret/y"),
            Rule { who: m1, ..rule("deny", "publish", "b") },
            rule("allow", "publish", "b"),
        ]);
        let idle: Vec<_> = (0..rules.len()).map(|index| rules.idle(index)).collect();
        let expected =
            [None, Some(Idle::SameAs(0)), Some(Idle::ForbiddenBy(3)), None, None, None, None];
        assert_eq!(idle, expected);
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let mut one = rule("allow", "publish, subscribe", "a/{identity}");
        assert_eq!(one.to_string(), r#"{ allow: [publish, subscribe], topic: "a/{identity}" }"#);
        one.forbids = true;
        one.who.username = Some("u".to_owned());
        one.who.attributes = vec![("group".to_owned(), "north".to_owned())];
        assert_eq!(
            one.to_string(),
            r#"{ who: { username: u, attributes: { group: north } }, deny: [publish, subscribe], topic: "a/{identity}" }"#
        );
    }
}
