//! Where to read: from the command line, or from the gateway's configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use serde::Deserialize;
use url::Url;

use super::Arguments;
use crate::reading::{ALARM, KINDS};

/// What the names of the clouds' own environment variables begin with.
const CLOUDS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// Landfall's own defaults.
const DEFAULT_SERVERS: &str = "localhost:9092";
const DEFAULT_QUARANTINE: &str = "landfall.quarantine";
const DEFAULT_METADATA: &str = "landfall.metadata";
/// What a canonical topic says whose events are in no order.
const UNORDERED: &str = "none";

/// Where the lanes and the objects are.
pub struct Source {
    pub bootstrap_servers: String,
    pub properties: BTreeMap<String, String>,
    pub topics: Vec<String>,
    pub objects: Option<Objects>,
    pub made: Made,
}

/// Where the parse role writes.
#[derive(Clone, Debug)]
pub struct Made {
    /// Canonical topics, and those of them without an order.
    pub topics: Vec<String>,
    pub unordered: Vec<String>,
    pub quarantine: String,
    /// None where there is no metadata stream.
    pub metadata: Option<String>,
}

/// As `parse.yaml` has it, beside this.
impl Default for Made {
    fn default() -> Made {
        let kinds = KINDS.iter().map(|kind| kind.name).chain([ALARM]);
        Made {
            topics: kinds.map(|name| format!("canonical.{name}")).collect(),
            unordered: Vec::new(),
            quarantine: DEFAULT_QUARANTINE.to_owned(),
            metadata: Some(DEFAULT_METADATA.to_owned()),
        }
    }
}

/// The object store; nothing outside `url` is opened.
pub struct Objects {
    url: Url,
    store: Arc<dyn ObjectStore>,
}

/// The parts of the gateway's configuration that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    kafka: Kafka,
    object_store: Option<Store>,
    lanes: BTreeMap<String, Lane>,
    parse: Option<Parse>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parse {
    canonical: BTreeMap<String, Option<Canonical>>,
    metadata: Option<Topic>,
    quarantine: Option<Topic>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Canonical {
    order: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Topic {
    topic: Option<String>,
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kafka {
    bootstrap_servers: Option<String>,
    properties: BTreeMap<String, Secret>,
}

#[derive(Deserialize)]
struct Store {
    url: String,
    #[serde(default)]
    options: BTreeMap<String, Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lane {
    topic: Option<String>,
    topics: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Secret {
    Env { from_env: String },
    File { from_file: String },
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Source {
    pub fn of(arguments: &Arguments) -> anyhow::Result<Source> {
        let mut source = match &arguments.config {
            Some(path) => Source::of_config(path)?,
            None => Source {
                bootstrap_servers: arguments.bootstrap_servers.clone().unwrap_or_default(),
                properties: BTreeMap::new(),
                topics: LANES.map(|lane| format!("landfall.{lane}")).into(),
                objects: match &arguments.object_store {
                    Some(url) => {
                        Some(Objects::open(url, arguments.object_store_options.iter().cloned())?)
                    }
                    None => None,
                },
                made: Made::default(),
            },
        };
        source.properties.extend(arguments.properties.iter().cloned());
        if !arguments.topics.is_empty() {
            source.topics.clone_from(&arguments.topics);
        }
        if !arguments.canonical_topics.is_empty() {
            source.made.topics.clone_from(&arguments.canonical_topics);
        }
        if let Some(topic) = &arguments.quarantine_topic {
            source.made.quarantine.clone_from(topic);
        }
        if let Some(topic) = &arguments.metadata_topic {
            source.made.metadata = Some(topic.clone());
        }
        Ok(source)
    }

    fn of_config(path: &Path) -> anyhow::Result<Source> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        // Where a text is wanted it is what was written, as for the gateway; what could be another text as
        // well fits none of the forms of a secret.
        let as_written = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
        };
        let config: Config = serde_saphyr::from_str_with_options(&text, as_written)
            .with_context(|| format!("{} is no configuration of Landfall", path.display()))?;
        let mut topics = Vec::new();
        for name in LANES {
            if !config.lanes.contains_key(name) {
                topics.push(format!("landfall.{name}"));
            }
        }
        for (name, lane) in &config.lanes {
            let topic = lane.topic.clone().unwrap_or_else(|| format!("landfall.{name}"));
            // A template is not a topic; what it may become is listed beside it.
            if topic.contains('{') {
                topics.extend(lane.topics.clone())
            } else {
                topics.push(topic)
            }
        }
        let objects = match config.object_store {
            Some(store) => Some(Objects::open(&store.url, reveal(store.options)?.into_iter())?),
            None => None,
        };
        Ok(Source {
            bootstrap_servers: config
                .kafka
                .bootstrap_servers
                .unwrap_or_else(|| DEFAULT_SERVERS.to_owned()),
            properties: reveal(config.kafka.properties)?,
            topics,
            objects,
            made: config.parse.map_or_else(Made::default, Parse::made),
        })
    }
}

impl Parse {
    fn made(self) -> Made {
        let is_unordered = |topic: &Canonical| topic.order.as_deref() == Some(UNORDERED);
        let unordered = self.canonical.iter();
        let unordered = unordered.filter(|(_, topic)| topic.as_ref().is_some_and(is_unordered));
        let unordered = unordered.map(|(name, _)| name.clone()).collect();
        let metadata = self.metadata.unwrap_or_default();
        let name =
            |topic: Option<String>, default: &str| topic.unwrap_or_else(|| default.to_owned());
        Made {
            unordered,
            topics: self.canonical.into_keys().collect(),
            quarantine: name(self.quarantine.unwrap_or_default().topic, DEFAULT_QUARANTINE),
            metadata: match metadata.enabled {
                Some(false) => None,
                _ => Some(name(metadata.topic, DEFAULT_METADATA)),
            },
        }
    }
}

fn reveal(secrets: BTreeMap<String, Secret>) -> anyhow::Result<BTreeMap<String, String>> {
    let text = |secret| match secret {
        Secret::Text(text) => Ok(text),
        Secret::Number(number) => Ok(number.to_string()),
        Secret::Flag(flag) => Ok(flag.to_string()),
        Secret::Env { from_env } => std::env::var(&from_env)
            .with_context(|| format!("the environment variable {from_env} is not set")),
        Secret::File { from_file } => std::fs::read_to_string(&from_file)
            .map(|text| text.trim_end().to_owned())
            .with_context(|| format!("{from_file} cannot be read")),
    };
    secrets.into_iter().map(|(name, secret)| Ok((name, text(secret)?))).collect()
}

impl Objects {
    fn open(url: &str, options: impl Iterator<Item = (String, String)>) -> anyhow::Result<Objects> {
        let url = Url::parse(url).with_context(|| {
            format!("{url:?} is no URL: write such as s3://bucket/prefix or file:///path/")
        })?;
        // As the gateway does: what the environment says of the cloud, and the options over it.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_cloud = CLOUDS.iter().any(|prefix| name.starts_with(prefix));
            is_cloud.then_some((name.to_ascii_lowercase(), value.into_string().ok()?))
        });
        let (store, _) = object_store::parse_url_opts(&url, environment.chain(options))
            .with_context(|| format!("the object store {url} cannot be opened"))?;
        Ok(Objects { url, store: store.into() })
    }

    pub fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// The object's place in the store; an error for what is not below the store's URL.
    pub fn path(&self, uri: &str) -> anyhow::Result<ObjectPath> {
        let object = Url::parse(uri).with_context(|| format!("{uri:?} is no URI"))?;
        // Without their escapes, so that each place has one name.
        let path = ObjectPath::from_url_path(object.path())?;
        let root = ObjectPath::from_url_path(self.url.path())?;
        let below = object.scheme() == self.url.scheme()
            && object.username() == self.url.username()
            && object.host_str() == self.url.host_str()
            && object.port() == self.url.port()
            && path.prefix_match(&root).is_some_and(|mut rest| rest.next().is_some());
        anyhow::ensure!(below, "{uri} is not below {}: it is not opened", self.url);
        Ok(path)
    }

    /// An error for a file that a link leads to from outside of the store's folder.
    pub fn stays_inside(&self, path: &ObjectPath) -> anyhow::Result<()> {
        if self.url.scheme() != "file" {
            return Ok(());
        }
        let real = |path: &ObjectPath| Path::new("/").join(path.as_ref()).canonicalize();
        let (root, file) = (real(&ObjectPath::from_url_path(self.url.path())?)?, real(path)?);
        let inside = file.starts_with(&root) && file.is_file();
        anyhow::ensure!(inside, "{} is no file in {}", file.display(), root.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_store_is_opened() {
        let objects = Objects::open("file:///data/objects/", std::iter::empty()).unwrap();
        assert!(objects.path("file:///data/objects/slow/1").is_ok());
        assert!(objects.path("file:///data/%6Fbjects/slow/1").is_ok(), "the same place");
        for uri in [
            "file:///data/objects",
            "file:///data/objects-too/1",
            "file:///data/objects/..%2F1",
            "file:///data/objects/../secrets",
            "file:///etc/passwd",
            "http://127.0.0.1/data/objects/1",
            "s3://bucket/data/objects/1",
            "no uri",
        ] {
            assert!(objects.path(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_configuration_says_where_the_parse_role_writes() {
        let made = |text: &str| -> Made {
            let config: Config = serde_saphyr::from_str(text).unwrap();
            config.parse.map_or_else(Made::default, Parse::made)
        };
        let none = made("lanes: {}");
        assert_eq!(none.topics.len(), 5);
        assert_eq!(none.metadata.as_deref(), Some("landfall.metadata"));
        let some = made(
            "parse: { canonical: { a: , b: { order: none } }, quarantine: { topic: q }, metadata: { enabled: false } }",
        );
        assert_eq!(
            (some.topics, some.unordered),
            (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()])
        );
        assert_eq!((&*some.quarantine, some.metadata), ("q", None));
        // The fleet's own, which is what is read where there is no configuration.
        let own = made(include_str!("../../parse.yaml"));
        let sorted = |mut topics: Vec<String>| {
            topics.sort();
            topics
        };
        // Nobody of the fleet writes to the last: it is for whoever tries it out.
        let all = [Made::default().topics, vec!["canonical.other".to_owned()]].concat();
        assert_eq!(sorted(own.topics), sorted(all));
        assert_eq!(own.quarantine, Made::default().quarantine);
    }

    #[test]
    fn no_link_leads_out_of_the_store() {
        let base = std::env::temp_dir().join(format!("landfall-verify-{}", std::process::id()));
        std::fs::create_dir_all(base.join("store")).unwrap();
        for file in ["secret", "store/1"] {
            std::fs::write(base.join(file), b"object").unwrap();
        }
        std::os::unix::fs::symlink(base.join("secret"), base.join("store/out")).unwrap();
        std::os::unix::fs::symlink("1", base.join("store/in")).unwrap();
        let url = Url::from_directory_path(base.join("store")).unwrap();
        let objects = Objects::open(url.as_str(), std::iter::empty()).unwrap();
        let inside = |name: &str| objects.stays_inside(&objects.path(&format!("{url}{name}"))?);
        assert!(inside("1").is_ok() && inside("in").is_ok());
        assert!(inside("out").is_err() && inside("absent").is_err());
        std::fs::remove_dir_all(&base).unwrap();
    }
}
