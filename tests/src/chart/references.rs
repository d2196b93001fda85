//! What the API server takes and a controller still cannot use: names that leave no room for what is
//! made of them, and names of things that are not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Chart, Render, at, every, list, text};

/// Longest name of a StatefulSet: its pods carry it in a label, with a hyphen and a hash of ten.
const STATEFUL_SET_MAX: usize = 52;

/// Every name fits, and everything that is named is there.
pub fn check(chart: &Chart) -> Result<(), String> {
    every(chart, |render| in_order(render).map_err(|fault| format!("{}: {fault}", render.name)))
}

/// The same for one render.
pub fn in_order(render: &Render) -> Result<(), String> {
    for object in &render.objects {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        refers(render, object).map_err(|fault| format!("{kind} {name}: {fault}"))?;
    }
    Ok(())
}

fn refers(render: &Render, object: &Value) -> Result<(), String> {
    let gateways = render.gateways()?;
    let name = text(gateways, "/metadata/name");
    match text(object, "/kind") {
        "StatefulSet" => {
            if name.len() > STATEFUL_SET_MAX {
                return Err(format!("its name has more than {STATEFUL_SET_MAX} characters"));
            }
            let service = text(object, "/spec/serviceName");
            let headless = render.kind("Service").any(|one| {
                text(one, "/metadata/name") == service && text(one, "/spec/clusterIP") == "None"
            });
            if !headless {
                return Err(format!("there is no headless service {service}"));
            }
            account(render, at(object, "/spec/template/spec"))
        }
        "Pod" => account(render, at(object, "/spec")),
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
        // A Secret that cert-manager fills and no pod mounts would be of no use.
        "Certificate" => known(&secrets(render), [text(object, "/spec/secretName")].into_iter()),
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

/// Its account is the one that is made here, if one is.
fn account(render: &Render, pod: &Value) -> Result<(), String> {
    let account = text(pod, "/serviceAccountName");
    let mut own = render.kind("ServiceAccount").map(|one| text(one, "/metadata/name"));
    match own.next().is_none_or(|own| own == account) {
        true => Ok(()),
        false => Err(format!("the account {account} is not the one that is made")),
    }
}

/// The Secrets that pods mount, alone or with others in one volume.
fn secrets(render: &Render) -> BTreeSet<&str> {
    let pods = render
        .kind("StatefulSet")
        .map(|one| at(one, "/spec/template/spec"))
        .chain(render.kind("Pod").map(|one| at(one, "/spec")));
    let volumes = pods.flat_map(|pod| list(pod, "/volumes"));
    let names = volumes.flat_map(|volume| {
        let sources = list(volume, "/projected/sources").iter();
        let alone = [text(volume, "/secret/secretName")];
        alone.into_iter().chain(sources.map(|source| text(source, "/secret/name")))
    });
    names.collect()
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
