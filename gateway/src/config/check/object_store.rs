//! Where large payloads go: the store is opened once, without a network, as a start opens it.

use std::collections::BTreeMap;

use bridge::objects::{self, Objects};

use super::{ASSUMED_SECRET, Checker};
use crate::config::{ObjectStore, Secrets, written};

impl Checker {
    pub(super) fn object_store(&mut self) -> Option<ObjectStore> {
        let written: written::ObjectStore = self.section("object_store")?;
        let before = self.faults.0.len();
        let options = self.secrets("object_store.options", written.options);
        let options: BTreeMap<String, Option<String>> = options.into_iter().collect();
        let url = match objects::parse_url(&written.url) {
            Ok(url) => url,
            Err(error) => {
                self.faults.add("object_store.url", error);
                return None;
            }
        };
        // A secret that is not there is told already, and all that follows from it is no news.
        if self.faults.0.len() == before {
            let environment = Some(&*self.environment);
            let environment = environment.filter(|_| self.secrets == Secrets::Read);
            for (place, text) in Objects::faults(&url, &options, environment) {
                let is_variable = place.starts_with("environment ");
                let place = if is_variable { place } else { format!("object_store.{place}") };
                self.faults.add(place, text);
            }
        }
        let assumed = || ASSUMED_SECRET.to_owned();
        let revealed =
            options.into_iter().map(|(name, value)| (name, value.unwrap_or_else(assumed)));
        Some(ObjectStore { url, options: revealed.collect() })
    }
}
