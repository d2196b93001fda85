//! Object storage, and (with the files below it) the only place that knows object_store: where payloads
//! go that are too large for their lane.
//!
//! An object is whole or absent: one request for what fits in a part, a multipart upload for the
//! rest, aborted when anything fails. `file://` is written with fsync. `write.rs` writes, `request.rs`
//! tries again, by the table of `reaction.rs`, and `health.rs` keeps what is known of the store.

mod folder;
mod health;
mod meter;
mod place;
mod reaction;
mod read;
mod request;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use self::folder::Folder;
use self::health::{FailureLog, Health};
use self::meter::{Meter, MeteredConnector};
pub use self::meter::{ObjectFigures, Results};
use self::place::Place;
pub use self::place::parse_url;
pub use self::read::{Expected, Limits, Looked, Verdict};
pub use self::write::{Object, Parts};

/// Bytes of a part; S3 takes none smaller, but for the last.
pub const PART_SIZE: u64 = 5 * 1024 * 1024;
/// A request under way for longer says that the store does not answer.
const SLOW_ANSWER: Duration = Duration::from_secs(10);

/// What went wrong with the object store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("object_store.url: {0}")]
    Url(String),
    #[error("object_store.options.{key}: {reason}")]
    Option { key: String, reason: String },
    #[error("the object store failed: {0}")]
    Store(#[from] object_store::Error),
    #[error("the object store failed: {0}")]
    Failed(String),
}

/// An object store and the place in it that Landfall writes to.
pub struct Objects {
    backend: Backend,
    meter: Arc<Meter>,
    health: Health,
    /// Of messages that could not be stored.
    failures: FailureLog,
    /// Of uploads that could not be aborted.
    leftovers: FailureLog,
    place: Place,
}

/// Who keeps the objects.
enum Backend {
    Remote(Arc<dyn Remote>),
    Folder(Folder),
}

/// A store that is asked over HTTP.
trait Remote: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Remote for S {}

impl Objects {
    /// Opens the store at `url`: `s3://bucket/prefix`, `gs://`, `az://` or `file:///path`. No request
    /// is made.
    pub fn open(url: &Url, options: &BTreeMap<String, String>) -> Result<Objects, ObjectError> {
        // What is tried again, and when, is decided in `request.rs`.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let key = |key: &str, reason: object_store::Error| ObjectError::Option {
            key: key.to_owned(),
            reason: reason.to_string(),
        };
        let place = Place::new(url).map_err(ObjectError::Url)?;
        let meter = Meter::new();
        let metered = MeteredConnector(Arc::clone(&meter));
        let backend = match url.scheme() {
            "s3" => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_http_connector(metered);
                for (name, value) in options {
                    let parsed = AmazonS3ConfigKey::from_str(name).map_err(|e| key(name, e))?;
                    builder = builder.with_config(parsed, value);
                }
                Backend::Remote(Arc::new(builder.build()?))
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_http_connector(metered);
                for (name, value) in options {
                    let parsed = GoogleConfigKey::from_str(name).map_err(|e| key(name, e))?;
                    builder = builder.with_config(parsed, value);
                }
                Backend::Remote(Arc::new(builder.build()?))
            }
            "az" | "abfs" | "abfss" => {
                let mut builder = MicrosoftAzureBuilder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_http_connector(metered);
                for (name, value) in options {
                    let parsed = AzureConfigKey::from_str(name).map_err(|e| key(name, e))?;
                    builder = builder.with_config(parsed, value);
                }
                Backend::Remote(Arc::new(builder.build()?))
            }
            "file" => {
                let folder = url
                    .to_file_path()
                    .map_err(|()| ObjectError::Url(format!("{url} is not an absolute path")))?;
                std::fs::create_dir_all(&folder).map_err(|error| {
                    ObjectError::Url(format!(
                        "the folder {} cannot be made: {error}",
                        folder.display()
                    ))
                })?;
                let folder = Folder::open(&folder);
                Backend::Folder(folder.map_err(|error| ObjectError::Url(error.to_string()))?)
            }
            other => {
                return Err(ObjectError::Url(format!(
                    "{other}:// is not known: write s3://, gs://, az:// or file:///"
                )));
            }
        };
        Ok(Objects {
            backend,
            meter,
            health: Health::new(),
            failures: FailureLog::default(),
            leftovers: FailureLog::default(),
            place,
        })
    }

    /// What [`Objects::open`] would refuse, each with its place; touches neither disk nor network.
    pub fn faults(url: &Url, options: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let known: fn(&str) -> bool = match url.scheme() {
            "s3" => |name| AmazonS3ConfigKey::from_str(name).is_ok(),
            "gs" => |name| GoogleConfigKey::from_str(name).is_ok(),
            "az" | "abfs" | "abfss" => |name| AzureConfigKey::from_str(name).is_ok(),
            _ => |_| false,
        };
        let mut faults = Vec::new();
        if let Err(text) = parse_url(url.as_str()) {
            faults.push(("url".to_owned(), text));
        }
        for name in options.keys().filter(|name| !known(name)) {
            let text = format!("is no option of {}:// stores", url.scheme());
            faults.push((format!("options.{name}"), text));
        }
        let plain = options.iter().any(|(name, value)| {
            name.to_ascii_lowercase().ends_with("endpoint") && value.starts_with("http://")
        });
        let allowed = options.iter().any(|(name, value)| {
            name.to_ascii_lowercase().ends_with("allow_http") && value == "true"
        });
        if plain && !allowed {
            let text = "is needed for an http:// endpoint: write allow_http: \"true\"";
            faults.push(("options.allow_http".to_owned(), text.to_owned()));
        }
        faults
    }

    /// The object for `key`, slash-separated parts that nothing of a device may be in.
    pub fn object(self: &Arc<Objects>, key: &str) -> Object {
        let (path, uri) = (self.place.path(key), self.place.uri(key));
        Object { objects: Arc::clone(self), path, uri }
    }

    /// How the store is doing.
    pub fn figures(&self) -> ObjectFigures {
        ObjectFigures { is_well: self.health.is_well(), ..self.meter.figures() }
    }

    /// The store fails: what is written to it now may have to be written again.
    pub fn fails(&self) -> bool {
        self.health.problem().is_some()
    }

    /// Why large messages do not land, for those who can mend it.
    pub fn problem(&self) -> Option<String> {
        let problem = self.health.problem();
        problem.map(|reason| format!("the object store fails: {reason}")).or_else(|| {
            let oldest = self.meter.figures().oldest;
            (oldest > SLOW_ANSWER).then(|| {
                format!("the object store has not answered a request for {} s", oldest.as_secs())
            })
        })
    }

    /// Where the store has what a reference names, if that lies under this store's place.
    fn path_of(&self, uri: &str) -> Result<Path, ObjectError> {
        let outside = || ObjectError::Url(format!("{uri:?} is not under the configured store"));
        self.place.find(uri).ok_or_else(outside)
    }
}
