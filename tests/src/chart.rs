//! The Helm chart without a cluster: Helm renders it for each of its values files, and checks look at
//! what comes out. A check returns what is wrong, so that the same one looks at copies of the chart that
//! were broken on purpose.

pub mod api;
pub mod configuration;
pub mod helm;
pub mod immutable;
pub mod made_up;
mod pods;
pub mod references;
mod schemas;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use serde_json::Value;

use crate::tools::{Folder, program, repository, tool};
pub use helm::{RELEASE, Render};

/// A chart's folder.
pub struct Chart {
    folder: PathBuf,
    /// The values files that count; all, if empty.
    only: Vec<String>,
    renders: OnceLock<Result<Vec<Render>, String>>,
}

/// Looks at a chart; what is wrong, as text.
pub type Check = fn(&Chart) -> Result<(), String>;

/// Every check of a whole chart. What has no templates that render is not looked at by the others.
pub const CHECKS: [(&str, Check); 13] = [
    ("templates", templates),
    ("lint", lint),
    ("schemas", schemas::check),
    ("API server", api::check),
    ("references", references::check),
    ("third parties", schemas::third_parties),
    ("pod security", pods::security),
    ("grace period", pods::grace_period),
    ("test pod", pods::test_pod),
    ("configuration", configuration::check),
    ("immutable fields", immutable::check),
    ("unit tests", unit_tests),
    ("generated files", generated),
];

/// The check of this name alone.
#[track_caller]
pub fn check(name: &str, chart: &Chart) {
    let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).expect("a check's name");
    if let Err(fault) = check(chart) {
        panic!("{name}: {fault}");
    }
}

impl Chart {
    pub fn new(folder: &Path) -> Chart {
        Chart { folder: folder.to_owned(), only: Vec::new(), renders: OnceLock::new() }
    }

    /// The one that is released.
    pub fn own() -> &'static Chart {
        static OWN: OnceLock<Chart> = OnceLock::new();
        OWN.get_or_init(|| Chart::new(&repository().join("charts/landfall")))
    }

    /// A copy of the one that is released, to be changed.
    pub fn copy(folder: &Folder) -> Chart {
        let to = folder.join("landfall");
        copy_folder(&Chart::own().folder, &to);
        Chart::new(&to)
    }

    /// The same, as if it had only these values files.
    pub fn only(self, names: &[&str]) -> Chart {
        let only = names.iter().map(|name| (*name).to_owned()).collect();
        Chart { only, renders: OnceLock::new(), ..self }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files of `ci`: what a file is called without `-values.yaml`, and where it is.
    pub fn values_files(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(self.folder.join("ci")).expect("the chart has a folder ci");
        let mut files: Vec<(String, PathBuf)> = entries
            .map(|entry| entry.expect("the folder can be read").path())
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
                (self.only.is_empty() || self.only.contains(&name)).then_some((name, path))
            })
            .collect();
        files.sort();
        files
    }

    /// What Helm makes of each values file, once.
    pub fn renders(&self) -> Result<&[Render], String> {
        let renders = self.renders.get_or_init(|| {
            let files = self.values_files();
            side_by_side(&files, |(name, path)| {
                Render::of(self, name, &["--values", &path.to_string_lossy()])
            })
        });
        renders.as_deref().map_err(Clone::clone)
    }

    /// Every check that fails, with what it says.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        if let Err(fault) = templates(self) {
            return vec![("templates", fault)];
        }
        let failed = CHECKS.iter().filter_map(|(name, check)| Some((*name, check(self).err()?)));
        failed.collect()
    }
}

/// Does it for each, two at a time: the programs that are started here mostly compute. All faults.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    one: impl Fn(&T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    const THREADS: usize = 2;
    let mut done: Vec<(usize, Result<R, String>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|first| {
                let mine = items.iter().enumerate().skip(first).step_by(THREADS);
                let one = &one;
                scope
                    .spawn(move || mine.map(|(index, item)| (index, one(item))).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("it does not panic")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    let (good, bad): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, result)| result.is_ok());
    if bad.is_empty() {
        return Ok(good.into_iter().filter_map(|(_, result)| result.ok()).collect());
    }
    let faults: Vec<String> = bad.into_iter().filter_map(|(_, result)| result.err()).collect();
    Err(faults.join("\n"))
}

/// Does it for each of the renders. All faults.
fn every(chart: &Chart, one: impl Fn(&Render) -> Result<(), String> + Sync) -> Result<(), String> {
    side_by_side(chart.renders()?, one).map(drop)
}

/// Every template renders with every values file, to something, and the same each time; and what Helm
/// says after an install has no hole.
fn templates(chart: &Chart) -> Result<(), String> {
    every(chart, |render| {
        let name = &render.name;
        if render.objects.is_empty() {
            return Err(format!("{name}: nothing comes out"));
        }
        if render.text.contains("<no value>") {
            return Err(format!("{name}: there is a <no value> in it"));
        }
        if Render::of(chart, name, &["--values", &render.values_file(chart)])?.text != render.text {
            return Err(format!("{name}: a second time, something else comes out"));
        }
        let notes = helm::notes(chart, &["--values", &render.values_file(chart)])?;
        for needed in ["rollout status", "port-forward", "mosquitto_pub"] {
            if !notes.contains(needed) {
                return Err(format!("{name}: the notes do not tell of {needed}:\n{notes}"));
            }
        }
        match notes.contains("<no value>") || notes.contains("%!") {
            true => Err(format!("{name}: the notes have a hole:\n{notes}")),
            false => Ok(()),
        }
    })
}

fn lint(chart: &Chart) -> Result<(), String> {
    side_by_side(&chart.values_files(), |(name, path)| {
        let path = path.to_string_lossy();
        helm::run(&["lint", "--strict", &chart.folder.to_string_lossy(), "--values", &path])
            .map_err(|fault| format!("{name}: {fault}"))
    })
    .map(drop)
}

/// The suites of helm-unittest in the chart's own folder. It renders with Helm 3, so that is shown too.
fn unit_tests(chart: &Chart) -> Result<(), String> {
    let mut command = Command::new(tool("bin/helm-unittest"));
    command.args(["--strict", "--color=false", "--file", "tests/*_test.yaml"]).arg(&chart.folder);
    let output = helm::output(command)?;
    // Without a suite it would be content.
    match output.contains("Test Suites: 0 passed") || !output.contains("Test Suites:") {
        true => Err(format!("no suite was run:\n{output}")),
        false => Ok(()),
    }
}

/// The committed schema and README are what the values' comments and the configuration's types say.
fn generated(chart: &Chart) -> Result<(), String> {
    let mut command = Command::new(program("generate"));
    command.args(["check", "--chart"]).arg(&chart.folder);
    helm::output(command).map(drop)
}

/// A value by its path, such as `/spec/template/spec`.
fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).as_str().unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A file or folder that has to be readable, with all that is below it.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the test's folder can be written");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), target).expect("the test's folder can be written");
            }
        }
    }
}
