//! The services of a compose file as an engine would start them, on a machine of their own. Programs that
//! are not ours come from the tests' tools instead of their images; everything that compose.yaml says
//! about them is as it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::compose::{Compose, Service};
use super::dockerfile::Dockerfile;
use super::machine::{Container, Machine};
use super::root::Root;
use crate::kafka::java;
use crate::process::Process;
use crate::tools::tool;
use crate::wait;

/// A cluster's id, which Kafka's image has one of its own for.
const CLUSTER: (&str, &str) = ("CLUSTER_ID", "TGFuZGZhbGwtdGVzdHMtMQ");

pub struct Services<'a> {
    pub compose: &'a Compose,
    /// Of the image that `build` in the compose file makes, and what it looks like inside.
    pub dockerfile: &'a Dockerfile,
    pub root: &'a Root,
    pub machine: &'a Machine,
    /// For the files of each.
    pub folder: &'a Path,
}

impl Services<'_> {
    /// Kafka as its image starts it: the image's own program makes properties of the environment, and
    /// formats the storage.
    pub fn kafka(&self) -> Process {
        let stage = Stage::new(self, "kafka");
        let folder = &stage.folder;
        let mut setup = java(folder, "kafka.docker.KafkaDockerWrapper");
        setup.arg("setup").envs(stage.environment()).env(CLUSTER.0, CLUSTER.1);
        for name in ["default-configs", "mounted-configs", "final-configs"] {
            let place = folder.join(name);
            create(&place);
            setup.arg(format!("--{name}-dir")).arg(place);
        }
        // The image has them; they are not used where there is an environment.
        for name in ["server.properties", "log4j2.yaml", "tools-log4j2.yaml"] {
            write(&folder.join("default-configs").join(name), "");
        }
        let mut setup = Process::start("kafka-setup", self.machine.enter(&setup), folder);
        assert!(setup.wait(wait::START).success(), "{}", setup.tail());
        let mut kafka = java(folder, "kafka.Kafka");
        kafka.arg(folder.join("final-configs/server.properties"));
        Process::start("kafka", self.machine.enter(&kafka), folder)
    }

    /// Its volumes are folders of the test: see [`Services::place`].
    pub fn s3(&self) -> Process {
        let stage = Stage::new(self, "s3");
        let mut command = Command::new(tool("bin/versitygw"));
        command.args(stage.service.words("command").iter().map(|word| stage.place(word)));
        command.envs(stage.environment());
        Process::start("s3", self.machine.enter(&command), &stage.folder)
    }

    /// Prometheus as its image starts it, but that it asks every second.
    pub fn prometheus(&self) -> Process {
        let stage = Stage::new(self, "prometheus");
        let config = stage.place("/etc/prometheus/prometheus.yml");
        let text = std::fs::read_to_string(&config).expect("compose.yaml has it");
        write(Path::new(&config), &text.replace("15s", "1s"));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={config}"));
        command.arg(format!("--storage.tsdb.path={}", stage.place("/prometheus")));
        Process::start("prometheus", self.machine.enter(&command), &stage.folder)
    }

    /// A service of ours, from the image's root. `words` are options with their values, in place of those
    /// that its command has.
    pub fn ours(&self, name: &str, words: &[(&str, &str)]) -> Process {
        let stage = Stage::new(self, name);
        let image = self.dockerfile.image();
        let from = |key: &str, instruction: &str| match stage.service.words(key) {
            words if !words.is_empty() => words,
            _ => image.find(instruction).map(|found| found.command.clone()).unwrap_or_default(),
        };
        let mut all = [from("entrypoint", "ENTRYPOINT"), from("command", "CMD")].concat();
        for (option, word) in words {
            match all.iter().position(|found| found == option) {
                Some(at) => all[at + 1] = (*word).to_owned(),
                None => all.extend([*option, *word].map(str::to_owned)),
            }
        }
        // They share one volume.
        let data = self.folder.join("data");
        create(&data);
        let config = PathBuf::from(stage.place("/etc/landfall/landfall.yaml"));
        let hosts = self.machine.hosts();
        let container = Container { root: self.root, config: &config, data: &data, hosts: &hosts };
        let environment: Vec<(&str, &str)> = stage.service.environment().collect();
        let mut command = container.command(&all[0], &environment);
        command.args(&all[1..]);
        Process::start(name, self.machine.enter(&command), &stage.folder)
    }

    /// Where a path of a service is on this machine.
    pub fn place(&self, service: &str, path: &str) -> PathBuf {
        PathBuf::from(
            Stage { service: self.compose.service(service), folder: self.folder.join(service) }
                .place(path),
        )
    }
}

/// A service's files, in a folder: its volumes and configs are there, and absolute paths in words,
/// variables and configs lead there.
struct Stage<'a> {
    service: Service<'a>,
    folder: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(services: &Services<'a>, name: &str) -> Stage<'a> {
        let stage =
            Stage { service: services.compose.service(name), folder: services.folder.join(name) };
        create(&stage.folder);
        for target in stage.service.volumes() {
            create(Path::new(&stage.place(target)));
        }
        let configs: Vec<(PathBuf, String)> = stage.service.configs().collect();
        for (path, text) in &configs {
            let mut text = text.clone();
            for (other, _) in &configs {
                let other = other.display().to_string();
                text = text.replace(&other, &stage.place(&other));
            }
            let place = PathBuf::from(stage.place(&path.display().to_string()));
            create(place.parent().expect("a config lies in a folder"));
            write(&place, &text);
        }
        stage
    }

    fn place(&self, word: &str) -> String {
        match word.starts_with('/') {
            true => format!("{}{word}", self.folder.display()),
            false => word.to_owned(),
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let place = |(name, value): (&str, &str)| (name.to_owned(), self.place(value));
        self.service.environment().map(place).collect()
    }
}

fn create(folder: &Path) {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("the test's folder can be written");
}
