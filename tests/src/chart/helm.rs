//! Helm, as its users run it, but without a cluster and without what they configured; and what comes
//! out of it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Chart;
use crate::tools::{Folder, tool};

/// What the release is called.
pub const RELEASE: &str = "edge";
/// The namespace, which no default hides.
pub const NAMESPACE: &str = "fleet";

/// What comes out for one set of values.
pub struct Render {
    /// What the values are called.
    pub name: String,
    pub text: String,
    pub objects: Vec<Value>,
}

impl Render {
    /// With the arguments after `helm template RELEASE CHART`.
    pub fn of(chart: &Chart, name: &str, arguments: &[&str]) -> Result<Render, String> {
        let folder = chart.folder().to_string_lossy();
        let fixed = ["template", RELEASE, &folder, "--namespace", NAMESPACE];
        let text =
            run(&[&fixed[..], arguments].concat()).map_err(|fault| format!("{name}: {fault}"))?;
        Render::parsed(name, text)
    }

    /// What Helm printed.
    pub fn parsed(name: &str, text: String) -> Result<Render, String> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| format!("{name}: what comes out is no YAML: {error}"))?;
        Ok(Render { name: name.to_owned(), text, objects })
    }

    /// With values as YAML instead of a file.
    pub fn with(chart: &Chart, name: &str, values: &str) -> Result<Render, String> {
        let folder = Folder::new("values");
        let file = written(&folder, values);
        Render::of(chart, name, &["--values", &file])
    }

    /// The values file of this name in the chart.
    pub fn values_file(&self, chart: &Chart) -> String {
        let file = format!("ci/{}-values.yaml", self.name);
        chart.folder().join(file).to_string_lossy().into_owned()
    }

    /// The objects of a kind.
    pub fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// What makes pods of the release: the gateways, and the pools of the parse role.
    pub fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.kind("StatefulSet").chain(self.kind("Deployment"))
    }

    /// The gateways.
    pub fn gateways(&self) -> Result<&Value, String> {
        let mut all = self.kind("StatefulSet");
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(format!("{}: there is not exactly one StatefulSet", self.name)),
        }
    }
}

/// The file's path.
pub fn written(folder: &Path, values: &str) -> String {
    let file = folder.join("values.yaml");
    std::fs::write(&file, values).expect("the test's folder can be written");
    file.to_string_lossy().into_owned()
}

/// What Helm says after an install with these arguments.
pub fn notes(chart: &Chart, arguments: &[&str]) -> Result<String, String> {
    let folder = chart.folder().to_string_lossy();
    let fixed = ["install", RELEASE, &folder, "--namespace", NAMESPACE, "--dry-run=client"];
    let output = run(&[&fixed[..], arguments].concat())?;
    match output.split_once("\nNOTES:\n") {
        Some((_, notes)) => Ok(notes.to_owned()),
        None => Err("Helm shows no notes".to_owned()),
    }
}

/// Its standard output, or what it says is wrong.
pub fn run(arguments: &[&str]) -> Result<String, String> {
    let home = Folder::new("helm");
    let mut command = Command::new(tool("bin/helm"));
    command.args(arguments).env("KUBECONFIG", home.join("no-cluster"));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &*home);
    }
    output(command)
}

/// Runs a program that ends by itself and asks nobody.
pub fn output(mut command: Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}
