//! What the environment says of the configuration: `LANDFALL__SECTION__KEY` overrides a key. A fault in
//! what it says names the variable, and what only looks like an override gets a hint.

use std::collections::BTreeMap;

use super::node::{Node, join};
use crate::fault::{Fault, Faults};

/// Environment variables with this prefix override keys of the file.
pub const ENV_PREFIX: &str = "LANDFALL__";
/// With this one, and a section's name, they look so.
const NEAR_PREFIX: &str = "LANDFALL_";
/// How Kubernetes' variables for a service end, which may be called `landfall-admin`; numbers stand for
/// its ports.
const SERVICE_ENDS: [&str; 4] = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_ADDR"];
const SERVICE_PARTS: [&str; 3] = ["_SERVICE_PORT_", "_TCP", "_UDP"];

/// Which variables said what.
#[derive(Default)]
pub struct Overrides {
    /// Places, and the variables that wrote there.
    written: Vec<(String, String)>,
}

impl Overrides {
    /// Sets what the variables say.
    pub fn apply(
        root: &mut Node,
        variables: impl IntoIterator<Item = (String, String)>,
        faults: &mut Faults,
    ) -> Overrides {
        let is_one = |name: &str| name.to_ascii_uppercase().starts_with(ENV_PREFIX);
        let mut variables: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| is_one(name)).collect();
        variables.sort();
        let mut overrides = Overrides::default();
        for (name, value) in variables {
            match set(root, &name, &value) {
                Ok(places) => {
                    overrides.written.extend(places.into_iter().map(|place| (place, name.clone())));
                }
                Err(error) => faults.add(format!("environment {name}"), error),
            }
        }
        overrides
    }

    /// Names the variable at each fault that one may be the reason of.
    pub fn name_in(&self, faults: &mut Faults) {
        for Fault { place, text } in &mut faults.0 {
            let mut names: Vec<&str> = Vec::new();
            for (written, name) in &self.written {
                let says = is_within(place, written) || is_within(written, place);
                if says && !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            if !names.is_empty() {
                text.push_str(&format!(" (from the environment: {})", names.join(", ")));
                text.extend(names.iter().find_map(|name| dotted(place, name)));
            }
        }
    }
}

/// `place` is `at`, or within it.
fn is_within(place: &str, at: &str) -> bool {
    place.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What to write for a property of librdkafka, whose name has dots, where a variable's name is all of it.
fn dotted(place: &str, name: &str) -> Option<String> {
    let (_, property) = place.rsplit_once("properties.")?;
    let ends = name.to_ascii_lowercase().ends_with(&format!("__properties__{property}"));
    (ends && property.contains('_')).then(|| {
        format!(
            ": a variable's name holds no dots, so write {}='{{ {}: … }}'",
            &name[..name.len() - property.len() - "__".len()],
            property.replace('_', ".")
        )
    })
}

/// Sets the key that `name` names (`LANDFALL__KAFKA__CREATE_TOPICS`) to `value`, which is YAML. Returns
/// the places that it wrote.
fn set(root: &mut Node, name: &str, value: &str) -> Result<Vec<String>, String> {
    let path: Vec<String> =
        name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    if path.iter().any(String::is_empty) {
        return Err("write the sections between double underscores: LANDFALL__SECTION__KEY".into());
    }
    let value = Node::parse(value)?;
    let (mut at, mut place) = (root, String::new());
    for (depth, key) in path.iter().enumerate() {
        at = match at {
            Node::List(items) => {
                let index = key.parse().ok().filter(|index: &usize| *index < items.len());
                let index =
                    index.ok_or_else(|| format!("there is no element {key} in the list"))?;
                place = join(&place, &format!("[{index}]"));
                &mut items[index]
            }
            at => {
                if !matches!(at, Node::Map(_)) {
                    *at = Node::Map(BTreeMap::new());
                }
                let Node::Map(map) = at else { unreachable!("it was made one") };
                // A variable's name can hold no hyphen.
                let is_name = match depth {
                    1 => path[0] == "lanes",
                    2 => path[0] == "parse" && ["pools", "parsers"].contains(&path[1].as_str()),
                    _ => false,
                };
                let key = match key.replace('_', "-") {
                    hyphened
                        if is_name
                            && !map.contains_key(key)
                            && (map.contains_key(&hyphened) || hyphened == "dead-letter") =>
                    {
                        hyphened
                    }
                    _ => key.clone(),
                };
                place = join(&place, &key);
                map.entry(key).or_insert(Node::Null)
            }
        };
    }
    let mut places = Vec::new();
    value.places(&place, &mut places);
    merge(at, value);
    Ok(places)
}

/// Maps merge, everything else is replaced.
fn merge(into: &mut Node, value: Node) {
    match (into, value) {
        (Node::Map(into), Node::Map(map)) => {
            for (key, value) in map {
                merge(into.entry(key).or_insert(Node::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

/// Variables that look as if they were meant to override something, each with what to write.
pub fn hints<'n>(names: impl IntoIterator<Item = &'n str>, sections: &[&str]) -> Vec<String> {
    let mut hints = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let Some(rest) = upper.strip_prefix(NEAR_PREFIX).filter(|rest| !rest.starts_with('_'))
        else {
            continue;
        };
        let is_service = SERVICE_ENDS.iter().any(|end| upper.ends_with(end))
            || SERVICE_PARTS.iter().any(|part| upper.contains(part));
        let section = sections.iter().find_map(|section| {
            let section = section.to_ascii_uppercase();
            let key = rest.strip_prefix(&section)?.trim_start_matches('_');
            let parts = rest == section || rest[section.len()..].starts_with('_');
            parts.then(|| (section, key.to_owned()))
        });
        if let Some((section, key)) = section.filter(|_| !is_service) {
            let key = if key.is_empty() { key } else { format!("__{key}") };
            hints.push(format!(
                "the environment variable {name} is not read: two underscores stand before each key, as in {ENV_PREFIX}{section}{key}"
            ));
        }
    }
    hints.sort();
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_override_gets_a_hint() {
        let sections = ["gateway_id", "kafka", "object_store", "admin", "lanes"];
        for (name, hint) in [
            ("LANDFALL_KAFKA_BOOTSTRAP_SERVERS", Some("LANDFALL__KAFKA__BOOTSTRAP_SERVERS")),
            ("LANDFALL_KAFKA__BOOTSTRAP_SERVERS", Some("LANDFALL__KAFKA__BOOTSTRAP_SERVERS")),
            ("landfall_gateway_id", Some("LANDFALL__GATEWAY_ID")),
            ("LANDFALL_OBJECT_STORE_URL", Some("LANDFALL__OBJECT_STORE__URL")),
            ("LANDFALL_LOG", None),
            ("LANDFALL_LOG_FORMAT", None),
            ("LANDFALL__KAFKA__BOOTSTRAP_SERVERS", None),
            ("KAFKA_BOOTSTRAP_SERVERS", None),
            // Kubernetes says where services are.
            ("LANDFALL_ADMIN_SERVICE_HOST", None),
            ("LANDFALL_ADMIN_SERVICE_PORT_HTTP", None),
            ("LANDFALL_ADMIN_PORT", None),
            ("LANDFALL_ADMIN_PORT_8080_TCP_ADDR", None),
            ("LANDFALL_ADMIN_PORT_8080_TCP", None),
        ] {
            let found = hints([name], &sections);
            match hint {
                None => assert!(found.is_empty(), "{name}: {found:?}"),
                Some(hint) => {
                    assert!(found[0].contains(name) && found[0].ends_with(hint), "{found:?}")
                }
            }
        }
    }
}
