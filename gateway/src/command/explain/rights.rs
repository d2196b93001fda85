//! What somebody may do with a topic, and which rule says so: asked of what `run` asks.

use std::io;

use bridge::message::Device;
use bridge::text::escape;
use bridge::topic::filter::is_filter;
use serde::Serialize;

use crate::access::{Policy, Source, Subject, Verdict};
use crate::command::Failure;
use crate::config::Settings;
use crate::net::ListenerSettings;

/// What may be done, where it is asked: with rules, or for an identity.
#[derive(Serialize)]
pub struct Rights {
    listener: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    client_id: String,
    pub publish: Right,
    subscribe: Right,
}

/// Whether something may be done.
#[derive(Serialize)]
pub struct Right {
    pub allowed: bool,
    /// What says so.
    by: String,
}

impl Right {
    fn no(by: impl Into<String>) -> Right {
        Right { allowed: false, by: by.into() }
    }
}

/// The listener of this name; else the first that asks an identity, or does not, as is meant.
pub fn listener<'a>(
    settings: &'a Settings,
    name: Option<&str>,
    as_identity: bool,
) -> Result<&'a ListenerSettings, Failure> {
    let all = &settings.listeners;
    let Some(name) = name else {
        let fitting = all.iter().find(|listener| listener.demands.is_some() == as_identity);
        return Ok(fitting.unwrap_or(&all[0]));
    };
    all.iter().find(|listener| listener.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|listener| listener.name.as_str()).collect();
        Failure::Usage(format!("--listener: there is no {name:?}: there are {}", names.join(", ")))
    })
}

/// What a device may do with a topic, or a filter; None where there are no rules and none are asked for.
pub fn rights(
    settings: &Settings,
    listener: &ListenerSettings,
    device: &Device,
    topic: &str,
) -> Option<Rights> {
    let identity = device.verified_id();
    if settings.access.is_none() && identity.is_none() {
        return None;
    }
    let (publish, subscribe) = decide(settings, listener, device, topic);
    Some(Rights {
        listener: listener.name.clone(),
        identity: identity.map(str::to_owned),
        client_id: device.client_id.to_string(),
        publish,
        subscribe,
    })
}

/// Whether it may be published and subscribed to.
fn decide(
    settings: &Settings,
    listener: &ListenerSettings,
    device: &Device,
    topic: &str,
) -> (Right, Right) {
    let identity = device.verified_id();
    let not_in = |why: String| (Right::no(why.clone()), Right::no(why));
    match (&listener.demands, identity) {
        (Some(_), None) => {
            return not_in(format!("listener {} wants an identity: say --as", listener.name));
        }
        (None, Some(_)) => {
            return not_in(format!("nobody proves an identity at listener {}", listener.name));
        }
        (Some(demands), Some(identity))
            if demands.binding.bind(identity, &device.client_id, String::new).is_none() =>
        {
            return not_in("the identity may not have this client id: see client_id".to_owned());
        }
        _ => {}
    }
    let Some(access) = &settings.access else {
        let all = || Right { allowed: true, by: "there are no access rules".to_owned() };
        return (all(), all());
    };
    let subject = Subject {
        listener: &listener.name,
        client_id: &device.client_id,
        identity,
        // Whoever is asked for by his identity alone has no other user name.
        username: identity,
        attributes: device.verified.as_ref().map_or(&[], |verified| &verified.attributes),
    };
    let policy = access.policy();
    let publish = match topic.contains(['+', '#']) {
        true => Right::no("a topic that is published to has no wildcards"),
        false => right(&policy, policy.publish(&subject, topic)),
    };
    let subscribe = match is_filter(topic) {
        true => right(&policy, policy.subscribe(&subject, topic)),
        false => Right::no("this is no topic filter"),
    };
    (publish, subscribe)
}

fn right(policy: &Policy, verdict: Verdict) -> Right {
    let said = |source| match source {
        Source::Rule(index) => format!("access[{index}] {}", policy.rules.rule(index)),
        Source::Line(line) => format!("access_file, line {line}"),
        Source::DangerousName => {
            "access_file: its patterns deny, and the client's name has + # or / in it".to_owned()
        }
    };
    match verdict {
        Verdict::Allowed(source) => Right { allowed: true, by: said(source) },
        Verdict::Forbidden(source) => Right::no(said(source)),
        Verdict::Nothing => Right::no("no rule allows it"),
    }
}

pub fn print(out: &mut impl io::Write, rights: &Rights) -> io::Result<()> {
    writeln!(out, "listener  {}", rights.listener)?;
    let identity = rights.identity.as_deref().unwrap_or("none: anonymous");
    writeln!(out, "identity  {}", escape(identity))?;
    writeln!(out, "client    {}", escape(&rights.client_id))?;
    for (action, right) in [("publish", &rights.publish), ("subscribe", &rights.subscribe)] {
        let word = if right.allowed { "allowed by" } else { "denied:" };
        writeln!(out, "{action:<10}{word} {}", right.by)?;
    }
    Ok(())
}
