//! The Kafka: where it is, and librdkafka's properties, for all lanes and for each. A client is made of
//! them as `run` makes it, but for the brokers, so that nobody is contacted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::Path;

use bridge::kafka::properties::{self, ClientFault};
use bridge::record;

use super::{ASSUMED_SECRET, Checker};
use crate::config::{Kafka, Secrets, written};
use crate::secret::Secret;

const DEFAULT_SERVERS: &str = "localhost:9092";
/// What is assumed of these does for a client that knows no broker.
const CREDENTIALS: [&str; 2] = ["sasl.username", "sasl.password"];
/// How names of properties end whose value is a file, which another machine may have.
const FILES: [&str; 2] = [".location", ".keytab"];

/// librdkafka's properties, by librdkafka's own names.
#[derive(Clone, Default)]
pub(super) struct Properties {
    pub values: BTreeMap<String, String>,
    /// Where each was written.
    places: BTreeMap<String, String>,
    /// Of these the value is not known here.
    assumed: BTreeSet<String>,
    /// One of them is faulty: no client has to be made to see that.
    pub are_faulty: bool,
}

impl Properties {
    /// These under a lane's own.
    pub fn under(&self, own: Properties) -> Properties {
        let mut all = self.clone();
        // What a lane says is known, whatever Kafka's section says.
        all.assumed.retain(|name| !own.values.contains_key(name));
        all.values.extend(own.values);
        all.places.extend(own.places);
        all.assumed.extend(own.assumed);
        all.are_faulty |= own.are_faulty;
        all
    }
}

impl Checker {
    pub(super) fn kafka(&mut self) -> (Kafka, Properties) {
        let written: written::Kafka = self.section("kafka").unwrap_or_default();
        let properties = self.properties("kafka.properties", written.properties);
        let servers = written.bootstrap_servers.unwrap_or_else(|| DEFAULT_SERVERS.to_owned());
        let protocol =
            properties.values.get("security.protocol").map_or("plaintext", String::as_str);
        if let Some(fault) = servers.split(',').find_map(|server| server_fault(server, protocol)) {
            self.faults.add("kafka.bootstrap_servers", fault);
        }
        if !properties.values.is_empty() && !properties.are_faulty {
            let fault = properties::reader_fault(&properties.values);
            self.client_fault("kafka.properties", &properties, fault);
        }
        let kafka = Kafka {
            bootstrap_servers: servers,
            create_topics: written.create_topics,
            embedded: false,
            properties: properties.values.clone(),
        };
        (kafka, properties)
    }

    /// Reads a section of properties; what is faulty is left out.
    pub(super) fn properties(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
    ) -> Properties {
        let mut read = Properties::default();
        let before = self.faults.0.len();
        for (name, value) in self.secrets(place, written) {
            let place = format!("{place}.{name}");
            let own = properties::canonical(&name).to_owned();
            if let Some(other) = read.places.get(&own) {
                self.faults.add(&place, format!("says the same as {other}: write one of them"));
                continue;
            }
            read.places.insert(own.clone(), place.clone());
            if let Some(fault) = properties::fault(&name, value.as_deref()) {
                self.faults.add(&place, fault);
                continue;
            }
            let assumes = self.secrets == Secrets::Assumed;
            let is_file = FILES.iter().any(|end| own.ends_with(end));
            match value {
                None if CREDENTIALS.contains(&own.as_str()) => {
                    read.values.insert(own, ASSUMED_SECRET.to_owned());
                }
                None => {
                    read.assumed.insert(own);
                }
                Some(path) if assumes && is_file && !Path::new(&path).exists() => {
                    read.assumed.insert(own);
                }
                Some(value) => {
                    read.values.insert(own, value);
                }
            }
        }
        read.are_faulty = self.faults.0.len() > before;
        read
    }

    /// Holds a lane's properties, those of Kafka's section among them, against what it sends.
    pub(super) fn producer(&mut self, place: &str, properties: &Properties, inline_size: u32) {
        let most = properties.values.get("message.max.bytes");
        if let Some(bytes) = most.and_then(|bytes| bytes.parse::<u32>().ok())
            && bytes < record::max_bytes(inline_size)
        {
            let place_of_bytes = &properties.places["message.max.bytes"];
            self.add_once(
                place_of_bytes,
                format!(
                    "{bytes} bytes are less than a record of {place}.inline_size ({inline_size} bytes) and its head: write at least {}, or leave it out",
                    record::max_bytes(inline_size)
                ),
            );
        }
        // Lanes that differ in nothing else are tried once.
        let mut tried = properties.values.clone();
        tried.remove("client.id");
        if !tried.is_empty() && !properties.are_faulty && self.tried_producers.insert(tried) {
            let fault = properties::producer_fault(&properties.values, inline_size);
            self.client_fault(&format!("{place}.properties"), properties, fault);
        }
    }

    pub(super) fn client_fault(
        &mut self,
        section: &str,
        properties: &Properties,
        fault: Option<ClientFault>,
    ) {
        let Some(ClientFault { property, text }) = fault else { return };
        let own = property.as_deref().map(properties::canonical);
        if own.is_some_and(|own| properties.assumed.contains(own)) {
            return;
        }
        let place = match (own.and_then(|own| properties.places.get(own)), property) {
            (Some(place), _) => place.clone(),
            (None, Some(property)) => format!("kafka.properties.{property}"),
            (None, None) => section.to_owned(),
        };
        self.add_once(&place, text);
    }

    /// One of Kafka's section is at fault in each lane.
    fn add_once(&mut self, place: &str, text: String) {
        if !self.faults.0.iter().any(|known| known.place == place) {
            self.faults.add(place, text);
        }
    }
}

/// What is wrong with an element of the list of brokers.
fn server_fault(server: &str, protocol: &str) -> Option<String> {
    let server = server.trim();
    let form = "write HOST:PORT,HOST:PORT, an IPv6 address as [::1]:9092";
    let address = match server.split_once("://") {
        Some((own, address)) if own.eq_ignore_ascii_case(protocol) => address,
        Some((own, _)) => {
            return Some(format!(
                "{server:?} is for {own}, and kafka.properties.security.protocol is {protocol}: write HOST:PORT"
            ));
        }
        None => server,
    };
    let Some((host, port)) = address.rsplit_once(':') else {
        return Some(format!("{server:?} is no broker: {form}"));
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(host) => host.split('%').next().is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty() && !host.contains(|c: char| ":/@[]".contains(c) || c.is_whitespace())
        }
    };
    if !is_host {
        return Some(format!("{server:?} names no host: {form}"));
    }
    match port.parse::<u16>() {
        Ok(1..) => None,
        _ => Some(format!("{server:?} has no port from 1 to 65535: {form}")),
    }
}
