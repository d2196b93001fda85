//! A Dockerfile, as Docker reads it, and what has to be true of ours.

use std::path::Path;

use serde::Deserialize;

use super::{no_faults, parsed, pinned};
use crate::tools::repository;

/// The user of the image, which the chart's pods have too.
pub const USER: &str = "65532:65532";
const LABELS: [&str; 5] = ["title", "description", "licenses", "version", "revision"];

#[derive(Debug, Deserialize)]
pub struct Dockerfile {
    stages: Vec<Stage>,
    /// Docker's own: those of `docker build --check`.
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Stage {
    name: String,
    base: String,
    instructions: Vec<Instruction>,
}

#[derive(Debug, Deserialize)]
struct Instruction {
    name: String,
    text: String,
    #[serde(default)]
    sources: Vec<String>,
    /// The stage that a COPY takes from; empty where it is the build context.
    #[serde(default)]
    from: String,
    #[serde(default)]
    shell: bool,
    #[serde(default)]
    values: std::collections::BTreeMap<String, String>,
}

impl Dockerfile {
    pub fn read(file: &Path) -> Result<Dockerfile, String> {
        let value = parsed("dockerfile", file, &[])?;
        serde_json::from_value(value).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The image itself: the last stage.
    fn image(&self) -> &Stage {
        self.stages.last().expect("Docker's parser wants a stage")
    }

    /// What is wrong, given the files that the build context has: see [`context`].
    pub fn check(&self, context: &[String]) -> Result<(), String> {
        let mut faults: Vec<String> =
            self.warnings.iter().map(|warning| format!("Docker warns: {warning}")).collect();
        for (index, stage) in self.stages.iter().enumerate() {
            let earlier = &self.stages[..index];
            let is_stage = |name: &str| earlier.iter().any(|stage| stage.name == name);
            if stage.base != "scratch" && !is_stage(&stage.base) && !pinned(&stage.base) {
                faults.push(format!("FROM {} is not pinned to a version", stage.base));
            }
            for copy in stage.instructions.iter().filter(|found| found.name == "COPY") {
                match copy.from.is_empty() {
                    true => faults.extend(missing(copy, context)),
                    false if is_stage(&copy.from) => {}
                    false => faults.push(format!("{}: no such stage", copy.text)),
                }
            }
            for one in ["x86_64", "amd64", "aarch64", "arm64"] {
                let named = stage.instructions.iter().any(|found| found.text.contains(one));
                if named {
                    faults.push(format!("{one} is named: the image is for other machines too"));
                }
            }
            for add in stage.instructions.iter().filter(|found| found.name == "ADD") {
                faults.push(format!("{}: COPY says what it does", add.text));
            }
        }
        self.image().check(&mut faults);
        no_faults(faults)
    }
}

impl Stage {
    fn find(&self, name: &str) -> Option<&Instruction> {
        self.instructions.iter().rev().find(|found| found.name == name)
    }

    fn check(&self, faults: &mut Vec<String>) {
        match self.find("USER") {
            Some(user) if user.text == USER => {}
            Some(user) => faults.push(format!("USER {} is not {USER}", user.text)),
            None => faults.push(format!("without USER {USER} the image runs as root")),
        }
        if let Some(run) = self.find("RUN") {
            faults.push(format!("{}: the image has no shell", run.text));
        }
        for name in ["ENTRYPOINT", "CMD"] {
            match self.find(name) {
                Some(found) if !found.shell => {}
                Some(found) => faults.push(format!("{}: not in exec form", found.text)),
                None => faults.push(format!("there is no {name}")),
            }
        }
        let labels = self.find("LABEL").map(|label| &label.values);
        for name in LABELS {
            let name = format!("org.opencontainers.image.{name}");
            if labels.and_then(|labels| labels.get(&name)).is_none_or(String::is_empty) {
                faults.push(format!("there is no label {name}"));
            }
        }
        let version = self.instructions.iter().find_map(|found| found.values.get("VERSION"));
        if version.map(String::as_str) != Some(env!("CARGO_PKG_VERSION")) {
            let own = env!("CARGO_PKG_VERSION");
            faults.push(format!("ARG VERSION is {version:?}, Cargo.toml says {own}"));
        }
    }
}

/// What of a COPY from the build context is not in it.
fn missing<'a>(
    copy: &'a Instruction,
    context: &'a [String],
) -> impl Iterator<Item = String> + use<'a> {
    let there = |source: &str| {
        let folder = format!("{}/", source.trim_end_matches('/'));
        source == "." || context.iter().any(|file| file == source || file.starts_with(&folder))
    };
    let missing = copy.sources.iter().filter(move |source| !there(source));
    missing.map(|source| format!("{}: {source} is not in the build context", copy.text))
}

/// The files of the repository that its .dockerignore lets into a build.
pub fn context() -> Result<Vec<String>, String> {
    let value = parsed("context", repository(), &[])?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}
