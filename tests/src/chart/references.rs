//! What the API server takes and a controller still cannot use: names that leave no room for what is
//! made of them, and names of things that are not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Chart, Render, at, every, list, text};

/// Longest name of a StatefulSet: its pods carry it in a label, with a hyphen and a hash of ten.
const STATEFUL_SET_MAX: usize = 52;
/// Longest name of a Deployment: KEDA makes a label of it.
const DEPLOYMENT_MAX: usize = 63;

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
    let name = text(object, "/metadata/name");
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
        "Deployment" => {
            if name.len() > DEPLOYMENT_MAX {
                return Err(format!("its name has more than {DEPLOYMENT_MAX} characters"));
            }
            selected(render, at(object, "/spec/selector/matchLabels"))?;
            account(render, at(object, "/spec/template/spec"))
        }
        "Pod" => account(render, at(object, "/spec")),
        "Service" => {
            let chosen = selected(render, at(object, "/spec/selector"))?;
            let ports = list(object, "/spec/ports").iter();
            known(&port_names(&chosen), ports.map(|port| text(port, "/targetPort")))
        }
        "PodDisruptionBudget" => {
            selected(render, at(object, "/spec/selector/matchLabels")).map(drop)
        }
        "NetworkPolicy" => {
            let chosen = selected(render, at(object, "/spec/podSelector/matchLabels"))?;
            let ports = chosen.iter().flat_map(|one| ports(one));
            let numbers: Vec<&Value> = ports.map(|port| at(port, "/containerPort")).collect();
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
            let target = at(object, "/spec/scaleTargetRef");
            let same = render.workloads().filter(|one| one["kind"] == target["kind"]);
            let names = same.map(|one| text(one, "/metadata/name")).collect();
            known(&names, [text(target, "/name")].into_iter())
        }
        "PodMonitor" => {
            let chosen = selected(render, at(object, "/spec/selector/matchLabels"))?;
            let endpoints = list(object, "/spec/podMetricsEndpoints").iter();
            known(&port_names(&chosen), endpoints.map(|one| text(one, "/port")))
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
        .workloads()
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

/// The ports of its pods' first container.
fn ports(workload: &Value) -> &[Value] {
    list(workload, "/spec/template/spec/containers/0/ports")
}

/// Those that all of them have.
fn port_names<'a>(workloads: &[&'a Value]) -> BTreeSet<&'a str> {
    let names = |one: &&'a Value| ports(one).iter().map(|port| text(port, "/name")).collect();
    let each = workloads.iter().map(names);
    each.reduce(|all: BTreeSet<&str>, own| &all & &own).unwrap_or_default()
}

/// An error for the first that is not among those.
fn known<'a>(all: &BTreeSet<&str>, mut named: impl Iterator<Item = &'a str>) -> Result<(), String> {
    match named.find(|name| !all.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!("there is no {name:?} among {all:?}")),
    }
}

/// Whose pods it selects: the gateways, or pools of the parse role, and never both.
fn selected<'a>(render: &'a Render, selector: &Value) -> Result<Vec<&'a Value>, String> {
    let is_some = selector.as_object().is_some_and(|it| !it.is_empty());
    let chosen = render
        .workloads()
        .filter(|one| is_some && has(at(one, "/spec/template/metadata/labels"), selector));
    let chosen: Vec<&Value> = chosen.collect();
    let kinds: BTreeSet<&str> = chosen.iter().map(|one| text(one, "/kind")).collect();
    match kinds.len() {
        1 => Ok(chosen),
        0 => Err(format!("no pods' labels have {selector}")),
        _ => Err(format!("gateways and pools have {selector}")),
    }
}

/// All that the selector wants.
fn has(labels: &Value, selector: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}
