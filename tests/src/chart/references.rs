//! What no schema says and an API server or a controller still refuses, or leaves without effect: names
//! and labels that are too long, and names of things that are not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::configuration::quantity;
use super::{Chart, Render, at, every, helm, list, text};

/// Longest label value, and longest name of a service.
const NAME_MAX: usize = 63;
/// Longest name of a StatefulSet: its pods carry it in a label, with a hyphen and a hash of ten.
const STATEFUL_SET_MAX: usize = 52;

/// Every name fits, and everything that is named is there.
pub fn check(chart: &Chart) -> Result<(), String> {
    every(chart, |render| in_order(render).map_err(|fault| format!("{}: {fault}", render.name)))
}

/// The same for one render.
pub fn in_order(render: &Render) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for object in &render.objects {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        if !seen.insert((kind, name)) {
            return Err(format!("there are two of {kind} {name}"));
        }
        well_named(object).map_err(|fault| format!("{kind} {name}: {fault}"))?;
        refers(render, object).map_err(|fault| format!("{kind} {name}: {fault}"))?;
    }
    Ok(())
}

fn well_named(object: &Value) -> Result<(), String> {
    let name = text(object, "/metadata/name");
    let longest = match text(object, "/kind") {
        "StatefulSet" => STATEFUL_SET_MAX,
        _ => NAME_MAX,
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > longest || !name.chars().all(legal) || name.ends_with('-') {
        return Err(format!("{name:?} is no name of at most {longest} characters"));
    }
    let namespace = at(object, "/metadata/namespace");
    if !namespace.is_null() && namespace != helm::NAMESPACE {
        return Err(format!("it goes into the namespace {namespace}, not the release's"));
    }
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        for (key, value) in at(object, labels).as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
            let ends = ends(value.chars().next()) && ends(value.chars().last());
            if value.len() > NAME_MAX || !value.chars().all(legal) || !ends {
                return Err(format!("{value:?} cannot be the value of the label {key}"));
            }
        }
    }
    Ok(())
}

fn refers(render: &Render, object: &Value) -> Result<(), String> {
    let gateways = render.gateways()?;
    let name = text(gateways, "/metadata/name");
    match text(object, "/kind") {
        "StatefulSet" => {
            selects_gateways(render, at(object, "/spec/selector/matchLabels"))?;
            let service = text(object, "/spec/serviceName");
            let headless = render.kind("Service").any(|one| {
                text(one, "/metadata/name") == service && text(one, "/spec/clusterIP") == "None"
            });
            if !headless {
                return Err(format!("there is no headless service {service}"));
            }
            pod(
                render,
                at(object, "/spec/template/spec"),
                list(object, "/spec/volumeClaimTemplates"),
            )
        }
        "Pod" => pod(render, at(object, "/spec"), &[]),
        "Service" => {
            selects_gateways(render, at(object, "/spec/selector"))?;
            let ports = list(object, "/spec/ports").iter();
            known(&port_names(render), ports.map(|port| text(port, "/targetPort")))
        }
        "PodDisruptionBudget" => selects_gateways(render, at(object, "/spec/selector/matchLabels")),
        "NetworkPolicy" => {
            selects_gateways(render, at(object, "/spec/podSelector/matchLabels"))?;
            let numbers: Vec<&Value> =
                ports(render).iter().map(|port| at(port, "/containerPort")).collect();
            let rules = list(object, "/spec/ingress").iter();
            let mut allowed =
                rules.flat_map(|rule| list(rule, "/ports")).map(|port| at(port, "/port"));
            match allowed.find(|port| !numbers.contains(port)) {
                None => Ok(()),
                Some(port) => Err(format!("no container has the port {port}")),
            }
        }
        "HorizontalPodAutoscaler" | "ScaledObject" => {
            known(&BTreeSet::from([name]), [text(object, "/spec/scaleTargetRef/name")].into_iter())
        }
        "PodMonitor" => {
            selects_gateways(render, at(object, "/spec/selector/matchLabels"))?;
            let endpoints = list(object, "/spec/podMetricsEndpoints").iter();
            known(&port_names(render), endpoints.map(|one| text(one, "/port")))
        }
        "ServiceMonitor" => {
            let selector = at(object, "/spec/selector/matchLabels");
            let mut chosen =
                render.kind("Service").filter(|one| has(at(one, "/metadata/labels"), selector));
            let (Some(service), None) = (chosen.next(), chosen.next()) else {
                return Err("it does not select exactly one service".to_owned());
            };
            let names =
                list(service, "/spec/ports").iter().map(|port| text(port, "/name")).collect();
            let endpoints = list(object, "/spec/endpoints").iter();
            known(&names, endpoints.map(|one| text(one, "/port")))
        }
        _ => Ok(()),
    }
}

/// Its mounts have volumes, its ports different names, its requests fit its limits; its account is
/// made here or somebody else's.
fn pod(render: &Render, pod: &Value, claims: &[Value]) -> Result<(), String> {
    let volumes = list(pod, "/volumes").iter().map(|volume| text(volume, "/name"));
    let claims = claims.iter().map(|claim| text(claim, "/metadata/name"));
    let mut all = BTreeSet::new();
    for volume in volumes.chain(claims) {
        if !all.insert(volume) {
            return Err(format!("there are two volumes {volume}"));
        }
    }
    let account = text(pod, "/serviceAccountName");
    let mut accounts = render.kind("ServiceAccount").map(|one| text(one, "/metadata/name"));
    if accounts.next().is_some_and(|own| own != account) {
        return Err(format!("the account {account} is not the one that is made"));
    }
    let containers = list(pod, "/containers").iter().chain(list(pod, "/initContainers"));
    for container in containers {
        let who = text(container, "/name");
        let mounts = list(container, "/volumeMounts").iter();
        known(&all, mounts.map(|mount| text(mount, "/name")))
            .map_err(|fault| format!("{who}: volumes: {fault}"))?;
        let mut names = BTreeSet::new();
        for port in list(container, "/ports") {
            if !names.insert(text(port, "/name")) {
                return Err(format!("{who}: two ports have one name"));
            }
        }
        let requests = at(container, "/resources/requests").as_object();
        for (resource, request) in requests.into_iter().flatten() {
            let Some(limit) = at(container, "/resources/limits").get(resource) else { continue };
            if quantity(request)? > quantity(limit)? {
                return Err(format!("{who}: {resource}: {request} are asked for, {limit} at most"));
            }
        }
    }
    Ok(())
}

/// The ports of the gateways' first container.
fn ports(render: &Render) -> &[Value] {
    render.gateways().map_or(&[], |it| list(it, "/spec/template/spec/containers/0/ports"))
}

fn port_names(render: &Render) -> BTreeSet<&str> {
    ports(render).iter().map(|port| text(port, "/name")).collect()
}

/// An error for the first that is not among those.
fn known<'a>(all: &BTreeSet<&str>, mut named: impl Iterator<Item = &'a str>) -> Result<(), String> {
    match named.find(|name| !all.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!("there is no {name:?} among {all:?}")),
    }
}

fn selects_gateways(render: &Render, selector: &Value) -> Result<(), String> {
    let labels = at(render.gateways()?, "/spec/template/metadata/labels");
    match selector.as_object().is_some_and(|it| !it.is_empty()) && has(labels, selector) {
        true => Ok(()),
        false => Err(format!("the gateways' labels do not have {selector}")),
    }
}

/// All that the selector wants.
fn has(labels: &Value, selector: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}
