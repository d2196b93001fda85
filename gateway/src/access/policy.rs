//! What is said of who may do what, all of it, and what follows for one client: the rules of the
//! configuration, with mosquitto's file beside them. Pure.
//!
//! Nothing is allowed that nothing allows, and who forbids is stronger than who allows. A filter may be
//! subscribed to when everything that it can match may be heard: so one rule has to allow all of it, and none
//! may forbid any of it.

use std::sync::Arc;

use bridge::topic::pattern::{Pattern, Value};
use bridge::topic::trie::Trie;

use super::acl_file::AclFile;
use super::rules::Rules;

/// Somebody of whom it is asked what he may do.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The listener that he came to.
    pub listener: &'a str,
    pub client_id: &'a str,
    /// As it was proved; None: nothing was.
    pub identity: Option<&'a str>,
    /// The user name that was proved, or the identity where the way in knows no user names. One that is only
    /// said is nobody's.
    pub username: Option<&'a str>,
    /// What was proved of him beside his identity.
    pub attributes: &'a [(Box<str>, Box<str>)],
}

impl<'a> Subject<'a> {
    /// An attribute that was proved.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

/// What may be done with a topic. A will is a publish that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Publish,
    Subscribe,
}

impl Action {
    /// As it is written in a rule.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
        }
    }
}

/// What says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rule of `access` with this index.
    Rule(usize),
    /// The line of the file of `access_file`, from 1.
    Line(u32),
    /// The file has patterns that forbid, and the client is called something that cannot be held against
    /// them: there is `+`, `#` or `/` in it.
    DangerousName,
}

/// What is said of what somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Forbidden(Source),
    Allowed(Source),
    /// Nothing is said, and so he may not.
    Nothing,
}

impl Verdict {
    pub fn is_allowed(self) -> bool {
        matches!(self, Verdict::Allowed(_))
    }

    /// Of two that stand beside each other.
    fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Forbidden(_), _) | (Verdict::Allowed(_), Verdict::Nothing) => self,
            (Verdict::Allowed(_), Verdict::Allowed(_)) => self,
            (_, other) => other,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Policy {
    pub rules: Arc<Rules>,
    pub acl_file: Option<Arc<AclFile>>,
}

impl Policy {
    /// Whether somebody may publish to a topic, now or as his will.
    pub fn publish(&self, subject: &Subject<'_>, topic: &str) -> Verdict {
        let verdict = self.rules.publish(subject, topic);
        match &self.acl_file {
            Some(file) if !matches!(verdict, Verdict::Forbidden(_)) => {
                verdict.and(file.publish(subject, topic))
            }
            _ => verdict,
        }
    }

    /// Whether somebody may subscribe to a filter, whose syntax was checked.
    pub fn subscribe(&self, subject: &Subject<'_>, filter: &str) -> Verdict {
        let verdict = self.rules.subscribe(subject, filter);
        match &self.acl_file {
            Some(file) => verdict.and(file.subscribe(subject, filter)),
            None => verdict,
        }
    }
}

/// Patterns in one tree: which of many a topic can match, found in one walk.
#[derive(Clone, Debug, Default)]
pub struct Index(Trie<Vec<u32>>);

impl Index {
    /// Adds a pattern under a number.
    pub fn add(&mut self, pattern: &Pattern, number: usize) {
        let number = u32::try_from(number).expect("there are fewer patterns");
        self.0.get_or_insert_with(&pattern.widest(), Vec::new).push(number);
    }

    /// The numbers of all that could match the topic; those that have places may not.
    #[inline]
    pub fn candidates<'t>(&'t self, topic: &'t str) -> impl Iterator<Item = usize> + 't {
        self.0.matches(topic).flatten().map(|number| *number as usize)
    }
}

/// What comes into a place of what allows or forbids. Who forbids means everybody whose name cannot be held
/// against a topic: nobody gets around it by what he calls himself.
pub fn value(text: Option<&str>, forbids: bool) -> Value<'_> {
    match text {
        // He has no such name at all, and is not meant.
        None | Some("") => Value::NOTHING,
        Some(text) => match Value::of(text) {
            Some(value) => value,
            None if forbids => Value::ANYTHING,
            None => Value::NOTHING,
        },
    }
}
