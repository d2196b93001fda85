//! The root file system of the image, as the Dockerfile's commands lay it out around any programs.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dockerfile::{Dockerfile, USER};
use super::machine::{is_root, unshare};
use super::{no_faults, output};
use crate::tools::repository;

/// Where an engine puts something of its own into every container.
const ENGINE_FOLDERS: [&str; 3] = ["proc", "sys", "dev"];
const ENGINE_FILES: [&str; 3] = ["etc/hosts", "etc/resolv.conf", "etc/landfall/landfall.yaml"];
const PROGRAMS: [&str; 2] = ["usr/local/bin/landfall", "usr/local/bin/device-sim"];
/// The one folder that is the user's.
const DATA: &str = "var/lib/landfall";
/// Folders within folders of the image.
const DEPTH_MAX: usize = 16;

pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// Runs the last RUN of the build stage, with the programs of a folder, then does what each COPY of
    /// the last stage says. The folder must not be there yet.
    pub fn assemble(
        dockerfile: &Dockerfile,
        programs: &Path,
        folder: &Path,
    ) -> Result<Root, String> {
        let build = dockerfile.build();
        let layout = build.find("RUN").ok_or("the build stage has no RUN")?;
        let out = build.instructions.iter().find_map(|found| found.values.get("OUT"));
        let out = out.ok_or("the build stage has no ARG OUT")?;
        let made = folder.with_extension("out");
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").args(&layout.command).current_dir(repository());
        output({
            shell.env("PROGRAMS", programs).env("OUT", &made);
            shell
        })?;
        let text = |path: &Path| path.display().to_string();
        for copy in dockerfile.image().instructions.iter().filter(|found| found.name == "COPY") {
            let to = folder.join(copy.to.trim_start_matches('/'));
            std::fs::create_dir_all(&to).map_err(|error| error.to_string())?;
            for source in &copy.sources {
                let from = match copy.from.is_empty() {
                    true => text(&repository().join(source)),
                    // A folder's content, as COPY has it.
                    false => source.replacen(out.as_str(), &text(&made), 1) + ".",
                };
                let mut cp = Command::new("cp");
                cp.args(["--recursive", "--no-dereference", "--preserve=mode"]).arg(&from).arg(&to);
                output(cp)?;
                if !copy.owner.is_empty() && is_root() {
                    for entry in std::fs::read_dir(&from).map_err(|error| error.to_string())? {
                        let name = entry.map_err(|error| error.to_string())?.file_name();
                        let mut chown = Command::new("chown");
                        chown.args(["--recursive", &copy.owner]).arg(to.join(name));
                        output(chown)?;
                    }
                }
            }
        }
        std::fs::remove_dir_all(&made).map_err(|error| error.to_string())?;
        Ok(Root { folder: folder.to_owned() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds what an engine adds before it starts a container, to be mounted over.
    pub fn add_mount_points(&self) {
        for name in ENGINE_FOLDERS {
            std::fs::create_dir_all(self.folder.join(name)).expect("the root can be written");
        }
        for name in ENGINE_FILES {
            std::fs::write(self.folder.join(name), "").expect("the root can be written");
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        let mut files = Vec::new();
        collect(&self.folder, 0, &mut files);
        let owner: u32 = USER.split(':').next().and_then(|id| id.parse().ok()).expect("a number");
        let mut loaders = BTreeSet::new();
        for (path, status) in &files {
            let name = path.strip_prefix(&self.folder).expect("it lies in the root");
            let name = name.to_str().expect("the image has plain names");
            let data = name.starts_with(DATA);
            if status.is_symlink() {
                let target = std::fs::read_link(path).expect("a link can be read");
                let target = target.strip_prefix("/").unwrap_or(&target).to_owned();
                if !self.folder.join(target).exists() {
                    faults.push(format!("{name} leads nowhere"));
                }
                continue;
            }
            if !data && (status.mode() & 0o022 != 0 || status.uid() == owner) {
                faults.push(format!("{name} can be written by the user"));
            }
            if status.mode() & 0o6000 != 0 {
                faults.push(format!("{name} changes who runs it"));
            }
            if data && is_root() && status.uid() != owner {
                faults.push(format!("{name} cannot be written by the user"));
            }
            let file = name.rsplit('/').next().unwrap_or(name);
            if file.starts_with("ld-linux") {
                loaders.insert(format!("/{name}"));
            }
            let executable = status.is_file() && status.mode() & 0o111 != 0;
            if executable && !PROGRAMS.contains(&name) && !file.contains(".so") {
                faults.push(format!("{name} can be run, and is no program of the image"));
            }
        }
        if !self.folder.join(DATA).is_dir() {
            faults.push(format!("{DATA} is missing"));
        }
        match loaders.len() {
            1 => self.check_libraries(&loaders.pop_first().expect("there is one"), &mut faults),
            _ => faults.push(format!("one loader is needed, there are {loaders:?}")),
        }
        no_faults(faults)
    }

    /// Asks the image's own loader, inside, what it would load.
    fn check_libraries(&self, loader: &str, faults: &mut Vec<String>) {
        let modules = output({
            let mut openssl = Command::new("openssl");
            openssl.args(["version", "-m"]);
            openssl
        });
        let modules = modules.map(|text| String::from_utf8_lossy(&text).into_owned());
        let legacy = match modules.as_deref().map(|text| text.split('"').nth(1)) {
            Ok(Some(folder)) => format!("{}/legacy.so", folder.trim_start_matches('/')),
            _ => return faults.push(format!("openssl does not tell its modules: {modules:?}")),
        };
        for file in PROGRAMS.iter().copied().chain([legacy.as_str()]) {
            let mut command = unshare(&[]);
            command.arg("--root").arg(&self.folder);
            command.args([loader, "--list", &format!("/{file}")]);
            match output(command) {
                Ok(list) if String::from_utf8_lossy(&list).contains("not found") => {
                    let list = String::from_utf8_lossy(&list).into_owned();
                    let missing: Vec<&str> =
                        list.lines().filter(|line| line.contains("not found")).collect();
                    faults.push(format!("{file}: {}", missing.join(", ")));
                }
                Ok(_) => {}
                Err(error) => faults.push(format!("{file}: {error}")),
            }
        }
    }
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<(PathBuf, Metadata)>) {
    assert!(depth < DEPTH_MAX, "{} is too deep", folder.display());
    for entry in std::fs::read_dir(folder).expect("the root can be read").flatten() {
        let status = entry.path().symlink_metadata().expect("it is there");
        let is_folder = status.is_dir();
        found.push((entry.path(), status));
        if is_folder {
            collect(&entry.path(), depth + 1, found);
        }
    }
}
