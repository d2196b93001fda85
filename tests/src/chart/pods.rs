//! The pods: hardened, given the time that they need to drain, and the one of `helm test` apart from
//! the others.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::configuration::Files;
use super::{Chart, Render, at, every, helm, list, text};
use crate::tools::{Folder, program, tool};

/// What the goodbyes take after a drain's deadline.
const GOODBYES: Duration = Duration::from_secs(5);
/// What a pool takes after that to leave its group.
const LEAVING: Duration = Duration::from_secs(10);

/// Kubernetes' own evaluator finds nothing that the restricted Pod Security Standard forbids, as it is
/// in the version that releases are tried on, and as it is now.
pub fn security(chart: &Chart) -> Result<(), String> {
    let folder = Folder::new("pod-security");
    let mut command = Command::new(tool("bin/pod-security"));
    command.arg("1.34,latest").current_dir(&*folder);
    let mut pods = 0;
    for render in chart.renders()? {
        let file = format!("{}.yaml", render.name);
        std::fs::write(folder.join(&file), &render.text).expect("the test's folder can be written");
        command.arg(file);
        pods += render.workloads().count() + render.kind("Pod").count();
    }
    let output = helm::output(command)?;
    match output.trim() == format!("{pods} pods") {
        true => Ok(()),
        false => Err(format!("{pods} pods, but: {output}")),
    }
}

/// A gateway or a pool that is told to end may take as long as its own configuration says.
pub fn grace_period(chart: &Chart) -> Result<(), String> {
    every(chart, |render| {
        let name = &render.name;
        for workload in render.workloads() {
            let pod = at(workload, "/spec/template/spec");
            let is_gateway = text(workload, "/kind") == "StatefulSet";
            let files = Files::of(render, pod, if is_gateway { "gateway" } else { "parse" })?;
            let config: Value = serde_saphyr::from_str(&files.config)
                .map_err(|error| format!("{name}: the configuration: {error}"))?;
            let length = |pointer: &str, default: u64| match config.pointer(pointer) {
                None | Some(Value::Null) => Ok(Duration::from_secs(default)),
                Some(written) => humantime::parse_duration(written.as_str().unwrap_or_default())
                    .map_err(|error| format!("{name}: {pointer}: {error}")),
            };
            let beside = if is_gateway { length("/drain/pause", 5)? } else { LEAVING };
            let needed = beside + length("/drain/deadline", 25)? + GOODBYES;
            let grace = at(pod, "/terminationGracePeriodSeconds");
            if grace.as_u64().is_none_or(|grace| Duration::from_secs(grace) < needed) {
                return Err(format!("{name}: a drain may take {needed:?}, the pods get {grace} s"));
            }
        }
        Ok(())
    })
}

/// The pod of `helm test` is a hook, is selected by nothing that selects gateways, and its containers'
/// arguments are what `device-sim` takes.
pub fn test_pod(chart: &Chart) -> Result<(), String> {
    every(chart, |render| {
        let name = &render.name;
        let pods: Vec<&Value> = render.kind("Pod").collect();
        let [pod] = pods[..] else { return Err(format!("{name}: there is not exactly one pod")) };
        if text(pod, "/metadata/annotations/helm.sh~1hook") != "test" {
            return Err(format!("{name}: the test pod is no hook: it would run at once"));
        }
        for object in &render.objects {
            let kind = text(object, "/kind");
            for pointer in ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels"] {
                selects(at(object, pointer), pod)
                    .map_err(|fault| format!("{name}: {kind}: {fault}"))?;
            }
            if kind == "Service" {
                selects(at(object, "/spec/selector"), pod)
                    .map_err(|fault| format!("{name}: {kind}: {fault}"))?;
            }
        }
        for group in ["/spec/initContainers", "/spec/containers"] {
            for container in list(pod, group) {
                parses(render, pod, container)?;
            }
        }
        Ok(())
    })
}

/// An error if these labels select the pod. An empty selector of a monitor or policy selects all.
fn selects(selector: &Value, pod: &Value) -> Result<(), String> {
    let Some(selector) = selector.as_object() else { return Ok(()) };
    let labels = at(pod, "/metadata/labels");
    match selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
        true => Err("its selector takes the test pod for a gateway".to_owned()),
        false => Ok(()),
    }
}

/// Runs the container's program with its arguments as far as nothing is published or read: the help
/// stops it, after everything before it was understood.
fn parses(render: &Render, pod: &Value, container: &Value) -> Result<(), String> {
    let name = &render.name;
    let who = text(container, "/name");
    let program_path = text(container, "/command/0");
    if program_path != "/usr/local/bin/device-sim" {
        return Err(format!("{name}: {who} runs {program_path:?}, not device-sim"));
    }
    let files = Files::of(render, at(pod, "/spec"), who)?;
    let mut command = Command::new(program("device-sim"));
    for argument in list(container, "/args") {
        let argument = argument.as_str().ok_or(format!("{name}: {who}: an argument is no text"))?;
        if let Some(file) = argument.strip_prefix("--config=") {
            files.holds(file).map_err(|fault| format!("{name}: {who}: {fault}"))?;
        }
        command.arg(argument);
    }
    command.arg("--help").env_clear();
    helm::output(command).map(drop).map_err(|fault| format!("{name}: {who}: {fault}"))
}
