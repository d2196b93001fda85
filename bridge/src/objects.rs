//! The object store, and (with the files below it) the only place that knows object_store: where payloads
//! go that are too large for their lane.
//!
//! An object is whole or absent: one request for what fits in a part, a multipart upload for the
//! rest, aborted when anything fails. `file://` is written with fsync. `write.rs` writes, `request.rs`
//! tries again, by the table of `reaction.rs`, `health.rs` keeps what is known of the store, and `open.rs`
//! opens one.

mod folder;
mod health;
mod meter;
mod open;
mod permits;
mod place;
mod reaction;
mod read;
mod request;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use tokio::runtime::Handle;
use url::Url;

use self::folder::Folder;
use self::health::{FailureLog, Health};
use self::meter::Meter;
pub use self::meter::{ObjectFigures, Results};
pub use self::permits::{FILES_PER_LANE, Permits, REQUESTS_PER_LANE};
use self::place::Place;
pub use self::place::parse_url;
pub(crate) use self::place::payload_key;
pub use self::read::{Expected, PIECE_MAX_BYTES, ReadError, Reading};
pub use self::write::{Object, Parts};

/// Bytes of a part; S3 takes none smaller, but for the last.
pub const PART_SIZE: u64 = 5 * 1024 * 1024;
/// A request in flight for longer says that the store does not answer.
const SLOW_ANSWER: Duration = Duration::from_secs(10);

/// What went wrong with the object store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("object_store.url: {0}")]
    Url(String),
    #[error("object_store.options.{key}: {reason}")]
    Option { key: String, reason: String },
    #[error("{0:?} is not under the configured store")]
    Outside(String),
    #[error("there is no object {0:?}")]
    Missing(String),
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

/// Where large payloads go, for whoever uploads them.
#[derive(Clone)]
pub struct Store {
    pub objects: Arc<Objects>,
    /// The runtime that uploads run on; never the one that serves small messages.
    pub runtime: Handle,
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
        let place = Place::new(url).map_err(ObjectError::Url)?;
        let meter = Meter::new();
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Objects {
            backend: open::open(url, options, variables, &meter)?,
            meter,
            health: Health::new(),
            failures: FailureLog::default(),
            leftovers: FailureLog::default(),
            place,
        })
    }

    /// What [`Objects::open`] would refuse, or what could not be used afterwards, each with its place:
    /// `url`, `options.NAME` or `environment NAME`. No request is made, and nothing is written. An option
    /// without a value, and an absent environment, are another machine's and taken to be right.
    pub fn faults(
        url: &Url,
        options: &BTreeMap<String, Option<String>>,
        environment: Option<&[(String, String)]>,
    ) -> Vec<(String, String)> {
        open::faults(url, options, environment)
    }

    /// The object for `key`, slash-separated parts that nothing of a device may be in; it is written with
    /// these permits, which are those of its lane.
    pub fn object(self: &Arc<Objects>, key: &str, permits: &Permits) -> Object {
        let (path, uri) = (self.place.path(key), self.place.uri(key));
        Object { objects: Arc::clone(self), path, uri, permits: permits.clone() }
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
        let outside = || ObjectError::Outside(uri.to_owned());
        self.place.find(uri).ok_or_else(outside)
    }
}
