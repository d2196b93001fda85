//! The rendered configuration through `landfall check`, with the files and the environment that the
//! container would have: what is in no rendered object, such as a Secret of the user's, is made up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Chart, Render, at, every, helm, list, made_up, text};
use crate::tools::{Folder, program};

/// Below it is everything that the chart mounts for the gateway to read.
const MOUNTS: &str = "/etc/landfall/";
const MIB: u64 = 1024 * 1024;

/// `landfall check` accepts what the gateways and the pools of a parse role get, and it counts with the
/// container's memory.
pub fn check(chart: &Chart) -> Result<(), String> {
    every(chart, |render| {
        let gateways = at(render.gateways()?, "/spec/template/spec");
        is_taken(render, gateways, "gateway")?;
        for pool in render.kind("Deployment") {
            is_taken(render, at(pool, "/spec/template/spec"), "parse")?;
        }
        Ok(())
    })
}

fn is_taken(render: &Render, pod: &Value, container: &str) -> Result<(), String> {
    let name = format!("{}, {container}", render.name);
    let files = Files::of(render, pod, container)?;
    let folder = Folder::new("check");
    let file =
        files.write(&folder, &BTreeMap::new()).map_err(|fault| format!("{name}: {fault}"))?;
    let mut command = Command::new(program("landfall"));
    command.arg("check").arg("--config").arg(&file);
    let arguments: Vec<&str> =
        list(files.container, "/args").iter().filter_map(Value::as_str).collect();
    let pool = arguments.iter().skip_while(|argument| **argument != "--pool");
    command.args(pool).env_clear().envs(files.environment()?);
    let output = helm::output(command).map_err(|fault| {
        format!("{name}: landfall check: {}", fault.replace(&moved(&folder, MOUNTS), MOUNTS))
    })?;
    let Some(limit) = files.container.pointer("/resources/limits/memory") else {
        return Ok(());
    };
    let mib = quantity(limit)? as u64 / MIB;
    // A pool takes what it needs of its limit, and the gateways share out all of theirs.
    let said = [format!("memory: {mib} MiB"), format!("of {mib} MiB")];
    match said.iter().any(|said| output.contains(said)) {
        true => Ok(()),
        false => Err(format!(
            "{name}: the container's limit is {limit}, but landfall check says:\n{output}"
        )),
    }
}

/// What a container finds in its file system, and itself.
pub struct Files<'a> {
    pub container: &'a Value,
    /// The file after `--config`; empty where there is none.
    pub config: String,
    pod_name: String,
    /// Where each volume is.
    mounts: BTreeMap<String, &'a Value>,
    render: &'a Render,
}

impl<'a> Files<'a> {
    pub fn of(render: &'a Render, pod: &'a Value, container: &str) -> Result<Files<'a>, String> {
        let name = &render.name;
        let groups = ["/initContainers", "/containers"].map(|group| list(pod, group)).concat();
        let index = groups.iter().position(|one| text(one, "/name") == container);
        let index = index.ok_or(format!("{name}: there is no container {container}"))?;
        let initial = list(pod, "/initContainers");
        let container = match index.checked_sub(initial.len()) {
            None => &initial[index],
            Some(index) => &list(pod, "/containers")[index],
        };
        let mut mounts = BTreeMap::new();
        for mount in list(container, "/volumeMounts") {
            let (volume, path) = (text(mount, "/name"), text(mount, "/mountPath"));
            // A claim is a volume too.
            if let Some(found) =
                list(pod, "/volumes").iter().find(|one| text(one, "/name") == volume)
            {
                mounts.insert(path.to_owned(), found);
            }
        }
        let pod_name = format!("{}-0", text(render.gateways()?, "/metadata/name"));
        let mut files = Files { container, config: String::new(), pod_name, mounts, render };
        let arguments: Vec<&str> =
            list(container, "/args").iter().filter_map(Value::as_str).collect();
        let mut after = arguments.iter().skip_while(|argument| !argument.starts_with("--config"));
        if let Some(first) = after.next() {
            let path = first.strip_prefix("--config=").or_else(|| after.next().copied());
            let path = path.ok_or(format!("{name}: --config names no file"))?;
            files.config = files.holds(path).map_err(|fault| format!("{name}: {fault}"))?;
        }
        Ok(files)
    }

    /// Writes the configuration, and every file below the mounts that it names, below this folder
    /// instead; secrets as they are given, by their path in the container. Where the configuration is.
    pub fn write(&self, folder: &Path, secrets: &BTreeMap<&str, &str>) -> Result<PathBuf, String> {
        let config: Value =
            serde_saphyr::from_str(&self.config).map_err(|error| error.to_string())?;
        for path in paths(&config) {
            let content = self.holds(path)?;
            let content = secrets.get(path).map_or(content, |secret| (*secret).to_owned());
            let file = PathBuf::from(moved(folder, path));
            std::fs::create_dir_all(file.parent().expect("it is below the folder"))
                .and_then(|()| std::fs::write(&file, content))
                .expect("the test's folder can be written");
        }
        let file = folder.join("landfall.yaml");
        std::fs::write(&file, moved(folder, &self.config))
            .expect("the test's folder can be written");
        Ok(file)
    }

    /// The container's variables, as the kubelet would set them.
    pub fn environment(&self) -> Result<Vec<(String, String)>, String> {
        environment(self.container, &self.pod_name)
    }

    /// What is in the file, made up where only the user's cluster knows; an error if it is not there.
    pub fn holds(&self, path: &str) -> Result<String, String> {
        let mount = self.mounts.iter().rev().find_map(|(mount, volume)| {
            let inside = path.strip_prefix(mount.as_str())?.strip_prefix('/')?;
            Some((inside, *volume))
        });
        let Some((inside, volume)) = mount else {
            return Err(format!("{path} is read, but no volume of the pod is mounted there"));
        };
        let source = ["/secret", "/configMap"].iter().find_map(|kind| volume.pointer(kind));
        let source = source.unwrap_or(&Value::Null);
        let mut key = inside;
        if let Some(items) = source["items"].as_array() {
            let item = items.iter().find(|item| text(item, "/path") == inside);
            let item =
                item.ok_or(format!("{path} is read, but the volume's items do not bring it"))?;
            key = text(item, "/key");
        }
        let own = self.render.kind("ConfigMap").find(|map| {
            map["metadata"]["name"] == source["name"] && volume.get("configMap").is_some()
        });
        match own {
            None => Ok(made_up::content(inside)),
            Some(map) => match map["data"][key].as_str() {
                Some(text) => Ok(text.to_owned()),
                None => Err(format!("{path} is read, but its ConfigMap has no {key}")),
            },
        }
    }
}

/// The same text with its files below a folder.
fn moved(folder: &Path, text: &str) -> String {
    text.replace(MOUNTS, &format!("{}/", folder.display()))
}

/// Every text that is a file below the mounts.
fn paths(config: &Value) -> Vec<&str> {
    match config {
        Value::String(text) if text.starts_with(MOUNTS) => vec![text],
        Value::Array(items) => items.iter().flat_map(paths).collect(),
        Value::Object(map) => map.values().flat_map(paths).collect(),
        _ => Vec::new(),
    }
}

fn environment(container: &Value, pod_name: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for entry in list(container, "/env") {
        let name = text(entry, "/name");
        let field = entry.pointer("/valueFrom/resourceFieldRef/resource").and_then(Value::as_str);
        let mut value = match (entry["value"].as_str(), field) {
            (Some(value), _) => value.to_owned(),
            (None, Some(field)) => {
                let place = format!("/resources/{}", field.replace('.', "/"));
                let amount = container.pointer(&place);
                let amount = amount.ok_or(format!("{name}: the container has no {field}"))?;
                // The kubelet counts in whole bytes and whole cores, rounded up.
                (quantity(amount)?.ceil() as u64).to_string()
            }
            (None, None) => match text(entry, "/valueFrom/fieldRef/fieldPath") {
                "metadata.name" => pod_name.to_owned(),
                _ => made_up::SECRET.to_owned(),
            },
        };
        for (known, text) in &variables {
            value = value.replace(&format!("$({known})"), text);
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

/// Kubernetes' way to write an amount, such as `500m`, `2` or `1Gi`.
fn quantity(written: &Value) -> Result<f64, String> {
    let text = match written {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "m" => 0.001,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("{text}: {other} is no unit that is known here")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{text} is no amount"))?;
    Ok(number * factor)
}
