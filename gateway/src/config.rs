//! Configuration: what was written → what it means, with every fault at once, each at its place and
//! with what to write instead.

mod check;
mod descriptors;
mod environment;
mod evidence;
mod memory;
mod node;
mod parse_role;
mod values;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bridge::classify::Routing;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;
use url::Url;

use check::Checker;
use environment::Overrides;
use node::Node;

use crate::access::AccessSettings;
use crate::admin::AdminSettings;
use crate::audit::Target;
use crate::fault::{Fault, Faults};
use crate::identity::AuthenticationSettings;
use crate::mqtt::{FIXED_HEADER_MAX, PUBLISH_HEAD_MAX};
use crate::net::ListenerSettings;

pub use written::Configuration;

pub use check::LaneView;
pub use descriptors::{DescriptorPlan, descriptor_limit};
pub use memory::{CONNECTION_COST, METADATA_WINDOW_BYTES, MemoryPlan, QUEUE_SHARE};
pub use parse_role::ParseSettings;

/// Head and properties of a packet beside its payload, in bytes: room in the announced maximum.
const PACKET_HEAD_MAX: u32 = PUBLISH_HEAD_MAX + FIXED_HEADER_MAX as u32;
/// Longest configuration file, in bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What the configuration means for the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listeners: Vec<ListenerSettings>,
    /// What clients may do; None: everything.
    pub access: Option<AccessSettings>,
    pub authentication: AuthenticationSettings,
    /// Where the audit log goes; None: nowhere.
    pub audit: Option<Target>,
    pub admin: AdminSettings,
    pub drain: Drain,
    pub kafka: Kafka,
    pub object_store: Option<ObjectStore>,
    pub limits: Limits,
    pub routing: Routing,
    pub memory: MemoryPlan,
    pub descriptors: DescriptorPlan,
    /// A time before any file that the configuration names was read.
    pub read_at: SystemTime,
    /// SIGHUP is taken, and everything that files say read anew; else it ends the process, as it does for
    /// who runs in a terminal that is closed.
    pub reload_at_hangup: bool,
    /// What may be meant otherwise, for people.
    pub hints: Vec<String>,
}

impl Settings {
    /// The largest packet that is taken, in bytes. Without an object store nothing larger than the largest
    /// inline limit can land, and CONNACK says so.
    pub fn packet_size_max(&self) -> u32 {
        if self.object_store.is_some() {
            return self.limits.message_size;
        }
        let inline_max =
            self.routing.lanes.values().map(|lane| lane.inline_size).max().unwrap_or(0);
        self.limits.message_size.min(inline_max.saturating_add(PACKET_HEAD_MAX))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long connections are still accepted after readiness went off.
    pub pause: Duration,
    /// How long open messages may take after that.
    pub deadline: Duration,
    /// Wills are published when the gateway ends connections.
    pub wills: bool,
}

/// `properties` may hold secrets: never print them.
#[derive(Clone)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub create_topics: bool,
    /// It is the one in this process, as only `landfall dev` has it.
    pub embedded: bool,
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

/// `options` may hold secrets: never print them.
#[derive(Clone)]
pub struct ObjectStore {
    pub url: Url,
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObjectStore")
            .field("url", &self.url.as_str())
            .field("options", &self.options.keys())
            .finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the process may use.
    pub memory: u64,
    pub connections: u32,
    /// Bytes of a whole packet.
    pub message_size: u32,
    pub window_messages: u16,
    /// Bytes.
    pub window_size: u32,
    /// Threads that serve sockets.
    pub workers: usize,
}

/// What may be written, as a JSON Schema (draft 7, which editors and Helm understand).
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(forget_null));
    settings.into_generator().into_root_schema_for::<Configuration>().to_value()
}

/// A null is as good as nothing, so the schema does not speak of it: it would stand in every error.
fn forget_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        // A text may be the word.
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|option| option["type"] != "null");
        if let [_] = options[..] {
            let only = schema.remove("anyOf").expect("it was just there");
            // Draft 7 sees nothing beside a `$ref`, such as the description.
            schema.insert("allOf".to_owned(), only);
        }
    }
}

/// What is done about secrets that are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are read; one that cannot be is a fault.
    Read,
    /// One that cannot be read is taken to be right, as another machine has it. Such settings must not
    /// be run.
    Assumed,
}

/// Reads the file, if there is one, lets the environment override it, and checks all that a gateway looks at.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
) -> Result<Settings, Faults> {
    parse(&text(file)?, environment, secrets)
}

/// As [`load`], with the file's text.
pub fn parse(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
) -> Result<Settings, Faults> {
    checked(text, environment, secrets, Checker::gateway)
}

/// As [`load`], with all that a parse role looks at, which has only these pools; all where there is no name.
pub fn load_parse(
    file: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
    pools: &[String],
) -> Result<ParseSettings, Faults> {
    let look = |checker: &mut Checker| checker.only(pools).parse_role();
    checked(&read(file)?, environment, secrets, look)?.ok_or_else(|| {
        let text = "is not there, and says how messages become events: `landfall parse try --input FILE --topic T` proposes a parser to begin with";
        Faults(vec![Fault { place: "parse".to_owned(), text: text.to_owned() }])
    })
}

/// What one file means for the gateway, and for the parse role where it has one.
pub struct Whole {
    pub gateway: Settings,
    pub parse: Option<ParseSettings>,
}

/// As [`load`], with all that is written.
pub fn load_whole(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
) -> Result<Whole, Faults> {
    parse_whole(&text(file)?, environment, secrets)
}

/// As [`load_whole`], with the file's text.
pub fn parse_whole(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
) -> Result<Whole, Faults> {
    checked(text, environment, secrets, Checker::whole)
}

/// As [`parse_whole`], of a process that is both roles at once, which share its memory.
pub fn parse_one_process(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
) -> Result<Whole, Faults> {
    checked(text, environment, secrets, Checker::one_process)
}

fn checked<T>(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: Secrets,
    look: impl FnOnce(&mut Checker) -> T,
) -> Result<T, Faults> {
    let mut written = Node::parse(text)
        .map_err(|error| Faults(vec![Fault { place: "the file".to_owned(), text: error }]))?;
    if written.is_null() {
        // An empty file, or one of comments only.
        written = Node::map([]);
    }
    let mut faults = Faults::default();
    if !matches!(written, Node::Map(_)) {
        faults.add("the file", "is no map of sections: write `kafka: …`, `lanes: …` and so on");
        return Err(faults);
    }
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let sections = sections();
    let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
    let names = environment.iter().map(|(name, _)| name.as_str());
    let hints = environment::hints(names, &sections);
    let overrides = Overrides::apply(&mut written, environment.clone(), &mut faults);
    let checker = Checker::new(written, environment, faults, secrets, hints.clone());
    checker.check(look).map_err(|mut faults| {
        overrides.name_in(&mut faults);
        for hint in hints {
            faults.add("the environment", hint);
        }
        faults
    })
}

/// The names of the sections.
fn sections() -> Vec<String> {
    let schema = schema();
    let sections = schema["properties"].as_object().expect("a configuration has sections");
    sections.keys().cloned().collect()
}

fn text(file: Option<&Path>) -> Result<String, Faults> {
    file.map_or_else(|| Ok(String::new()), read)
}

fn read(path: &Path) -> Result<String, Faults> {
    let place = path.display().to_string();
    let fault = |text: String| Faults(vec![Fault { place: place.clone(), text }]);
    let size =
        std::fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?.len();
    if size > FILE_MAX_BYTES {
        return Err(fault(format!("has {size} bytes; at most {FILE_MAX_BYTES} are read")));
    }
    std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
