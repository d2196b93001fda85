//! Object storage, and (with the files below it) the only place that knows object_store: where payloads
//! go that are too large for their lane.
//!
//! An object is whole or absent: one request for what fits in a part, a multipart upload for the
//! rest, aborted when anything fails. `file://` is written with fsync.

mod meter;
mod place;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
};
use url::Url;

use self::meter::{Meter, MeteredConnector};
pub use self::meter::{ObjectFigures, Results};
use self::place::Place;
pub use self::place::parse_url;

/// Bytes of a part; S3 takes none smaller, but for the last.
pub const PART_SIZE: u64 = 5 * 1024 * 1024;
/// How long a failing request is tried again before the upload fails. Devices give up at 30 s.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a failing request is tried again at most: more than fits into that time, which decides.
const RETRIES_MAX: usize = 1000;

/// What went wrong with the object store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("object_store.url: {0}")]
    Url(String),
    #[error("object_store.options.{key}: {reason}")]
    Option { key: String, reason: String },
    #[error("the object store failed: {0}")]
    Store(#[from] object_store::Error),
}

/// An object store and the place in it that Landfall writes to.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
    place: Place,
}

impl Objects {
    /// Opens the store at `url`: `s3://bucket/prefix`, `gs://`, `az://` or `file:///path`. No request
    /// is made.
    pub fn open(url: &Url, options: &BTreeMap<String, String>) -> Result<Objects, ObjectError> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let key = |key: &str, reason: object_store::Error| ObjectError::Option {
            key: key.to_owned(),
            reason: reason.to_string(),
        };
        let place = Place::new(url).map_err(ObjectError::Url)?;
        let meter = Meter::new(url.scheme() == "file");
        let metered = MeteredConnector(Arc::clone(&meter));
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "s3" => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_http_connector(metered);
                for (name, value) in options {
                    let parsed = AmazonS3ConfigKey::from_str(name).map_err(|e| key(name, e))?;
                    builder = builder.with_config(parsed, value);
                }
                Arc::new(builder.build()?)
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
                Arc::new(builder.build()?)
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
                Arc::new(builder.build()?)
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
                Arc::new(LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true))
            }
            other => {
                return Err(ObjectError::Url(format!(
                    "{other}:// is not known: write s3://, gs://, az:// or file:///"
                )));
            }
        };
        Ok(Objects { store, meter, place })
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
        self.meter.figures()
    }

    /// Reads the object behind a reference's URI, if it lies under this store's place.
    pub async fn read(&self, uri: &str) -> Result<Bytes, ObjectError> {
        let outside = || ObjectError::Url(format!("{uri:?} is not under the configured store"));
        let path = self.place.find(uri).ok_or_else(outside)?;
        Ok(self.store.get(&path).await?.bytes().await?)
    }
}

/// A place for one object.
pub struct Object {
    objects: Arc<Objects>,
    path: Path,
    uri: String,
}

impl Object {
    /// What a reference to it says.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Writes it in one request.
    pub async fn put(&self, payload: Bytes) -> Result<(), ObjectError> {
        let Objects { store, meter, .. } = &*self.objects;
        meter.request(store.put(&self.path, PutPayload::from_bytes(payload))).await?;
        Ok(())
    }

    /// Starts to write it in parts of [`PART_SIZE`], the last of which may be smaller.
    pub async fn put_parts(&self) -> Result<Parts, ObjectError> {
        let Objects { store, meter, .. } = &*self.objects;
        let upload = meter.request(store.put_multipart(&self.path)).await?;
        Ok(Parts { upload, meter: Arc::clone(meter) })
    }
}

/// An object being written in parts. It has to be completed or aborted: the store keeps the parts of
/// an upload that was neither until a lifecycle rule removes them.
pub struct Parts {
    upload: Box<dyn MultipartUpload>,
    meter: Arc<Meter>,
}

impl Parts {
    pub async fn put(&mut self, part: Bytes) -> Result<(), ObjectError> {
        let put = self.upload.put_part(PutPayload::from_bytes(part));
        Ok(self.meter.request(put).await?)
    }

    pub async fn complete(&mut self) -> Result<(), ObjectError> {
        self.meter.request(self.upload.complete()).await?;
        Ok(())
    }

    pub async fn abort(&mut self) -> Result<(), ObjectError> {
        Ok(self.meter.request(self.upload.abort()).await?)
    }
}
