//! A compose file, as `docker compose` reads it, and what has to be true of ours.

use std::path::Path;

use serde_json::Value;

use super::{no_faults, parsed, pinned};

/// Nothing that a service runs gets more than it has.
const NO_PRIVILEGES: &str = "no-new-privileges:true";

pub struct Compose(Value);

impl Compose {
    /// Reads and checks against the specification's schema; the environment is the file's variables.
    pub fn read(file: &Path, environment: &[(&str, &str)]) -> Result<Compose, String> {
        parsed("compose", file, environment).map(Compose)
    }

    pub fn services(&self) -> impl Iterator<Item = (&str, Service<'_>)> {
        let services = self.0["services"].as_object().into_iter().flatten();
        services.map(|(name, value)| (name.as_str(), Service { compose: self, value }))
    }

    #[track_caller]
    pub fn service(&self, name: &str) -> Service<'_> {
        let found = self.services().find(|(found, _)| *found == name);
        found.unwrap_or_else(|| panic!("there is no service {name}")).1
    }

    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        for (name, service) in self.services() {
            service.check(&mut |fault: String| faults.push(format!("service {name}: {fault}")));
        }
        for (name, config) in self.0["configs"].as_object().into_iter().flatten() {
            if let Some(file) = config["file"].as_str().filter(|file| !Path::new(file).is_file()) {
                faults.push(format!("config {name}: there is no file {file}"));
            }
        }
        no_faults(faults)
    }
}

#[derive(Clone, Copy)]
pub struct Service<'a> {
    compose: &'a Compose,
    value: &'a Value,
}

impl<'a> Service<'a> {
    fn check(self, fault: &mut impl FnMut(String)) {
        let list = |key: &str| self.value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        for port in list("ports") {
            if port["host_ip"] != "127.0.0.1" {
                fault(format!("port {} is published beyond 127.0.0.1", port["published"]));
            }
        }
        let image = self.value["image"].as_str().unwrap_or_default();
        // One service builds it, others may use it.
        let mut services = self.compose.services().map(|(_, service)| service.value);
        let ours = services.any(|one| one["image"] == image && !one["build"].is_null());
        if !ours && !pinned(image) {
            fault(format!("image {image} is not pinned to a version"));
        }
        if !list("cap_drop").contains(&"ALL".into()) {
            fault("cap_drop is not [ALL]".to_owned());
        }
        if !list("security_opt").contains(&NO_PRIVILEGES.into()) {
            fault(format!("security_opt has no {NO_PRIVILEGES}"));
        }
        let read_only = self.value["read_only"] == true;
        if ours && !read_only {
            fault("read_only is not true".to_owned());
        }
        for volume in list("volumes") {
            let source = volume["source"].as_str().unwrap_or_default();
            if volume["type"] == "bind" && !Path::new(source).exists() {
                fault(format!("there is no {source} to mount"));
            }
        }
        for config in list("configs") {
            let name = config["source"].as_str().unwrap_or_default();
            if read_only && !self.compose.0["configs"][name]["content"].is_null() {
                fault(format!("config {name}: no content can be put into a read-only root"));
            }
        }
    }

    /// A key such as `stop_grace_period`, in compose's canonical form.
    pub fn key(self, name: &str) -> &'a Value {
        &self.value[name]
    }
}
