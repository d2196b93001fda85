//! What Kubernetes' API server says, by its own code: strict decoding, defaults, validation, and what
//! an update may change.

use std::process::Command;

use super::{Chart, Render, helm, text};
use crate::tools::{Folder, tool};

/// It takes every object of every values file.
pub fn check(chart: &Chart) -> Result<(), String> {
    creates(&chart.renders()?.iter().collect::<Vec<_>>())
}

/// It takes every object.
pub fn creates(renders: &[&Render]) -> Result<(), String> {
    let objects = renders.iter().flat_map(|render| &render.objects);
    let own = objects.filter(|object| !is_foreign(text(object, "/apiVersion"))).count();
    let output = validated("create", renders)?;
    match output.trim() == format!("{own} objects") {
        true => Ok(()),
        false => Err(format!("there are {own} objects, but: {output}")),
    }
}

/// It takes the second where the first is.
pub fn update(before: &Render, after: &Render) -> Result<(), String> {
    validated("update", &[before, after]).map(drop)
}

fn validated(action: &str, renders: &[&Render]) -> Result<String, String> {
    let folder = Folder::new("api");
    let mut command = Command::new(tool("bin/api-validation"));
    command.arg(action).current_dir(&*folder);
    for (index, render) in renders.iter().enumerate() {
        let file = format!("{index}-{}.yaml", render.name);
        std::fs::write(folder.join(&file), &render.text).expect("the test's folder can be written");
        command.arg(file);
    }
    helm::output(command)
}

/// Of another project: Kubernetes' own groups have no dot, or end with its name.
pub fn is_foreign(version: &str) -> bool {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}
