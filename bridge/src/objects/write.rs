//! Writing objects, so that what was written is there: and asking the store whether it can, before and
//! while it cannot.
//!
//! A server may say 200 to a completion that was sent again and have no object (versitygw 1.8 does, when it
//! was killed in between). So after every multipart upload, and after every write that was not the first
//! try, the object is asked for, and has to have its size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{MultipartId, ObjectStoreExt as _, PutPayload};
use tokio::sync::OwnedSemaphorePermit;

use super::folder::Staged;
use super::permits::Permits;
use super::reaction::{Fault, Reaction};
use super::request::{Done, Failed, observed, or_panic, persist};
use super::{Backend, ObjectError, Objects, Remote};
use crate::fail_point;

/// How often an object is looked for that should be there, and how long is waited in between.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// How long the store may take to answer the probe.
const PROBE_WAIT: Duration = Duration::from_secs(10);
/// The pause after a probe; while the store fails, each is twice the one before.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A place for one object.
pub struct Object {
    pub(super) objects: Arc<Objects>,
    pub(super) path: Path,
    pub(super) uri: String,
    /// Those of its lane.
    pub(super) permits: Permits,
}

/// An object being written in parts. It has to be completed or aborted: the store keeps the parts of
/// an upload that was neither until a lifecycle rule removes them.
pub struct Parts {
    object: Arc<Object>,
    upload: Upload,
    /// Bytes written.
    size: u64,
}

enum Upload {
    Remote {
        id: MultipartId,
        parts: Vec<PartId>,
    },
    Folder {
        staged: Arc<Staged>,
        /// Held as long as the file is.
        _permit: OwnedSemaphorePermit,
    },
}

impl From<Failed> for ObjectError {
    fn from(failed: Failed) -> ObjectError {
        let tries = match failed.tries {
            0 | 1 => String::new(),
            tries => format!(" (tried {tries} times)"),
        };
        ObjectError::Failed(format!("{}{tries}", failed.fault.reason))
    }
}

impl Object {
    /// What a reference to it says.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Writes it in one request.
    pub async fn put(&self, payload: Bytes) -> Result<(), ObjectError> {
        let size = payload.len() as u64;
        let put = self.persist(|| {
            let payload = payload.clone();
            async move {
                match &self.objects.backend {
                    Backend::Remote(store) => {
                        let payload = PutPayload::from_bytes(payload);
                        self.observed(store.put(&self.path, payload)).await.map(|_| ())
                    }
                    Backend::Folder(folder) => self.counted(folder.put(&self.path, payload).await),
                }
            }
        });
        match put.await? {
            Done { tries: 1, .. } => Ok(()),
            _ => self.confirm(size).await,
        }
    }

    /// Starts to write it in parts of [`super::PART_SIZE`], the last of which may be smaller.
    pub async fn put_parts(self: &Arc<Object>) -> Result<Parts, ObjectError> {
        let upload = match &self.objects.backend {
            Backend::Remote(store) => {
                let begin = || self.observed(store.create_multipart(&self.path));
                Upload::Remote { id: self.persist(begin).await?.value, parts: Vec::new() }
            }
            Backend::Folder(folder) => {
                let permit = self.permits.file().await;
                let permit = permit.map_err(|fault| Failed { fault, tries: 0 })?;
                let stage = || async move { self.counted(folder.stage(&self.path).await) };
                Upload::Folder { staged: self.persist(stage).await?.value, _permit: permit }
            }
        };
        Ok(Parts { upload, object: Arc::clone(self), size: 0 })
    }

    /// A message that was to be in this object is not stored; says so, but not in a flood.
    pub fn log_failure(&self, error: &ObjectError) {
        if let Some(messages) = self.objects.failures.next() {
            tracing::warn!(%error, messages, "a large message could not be stored; its device has to send it again");
        }
    }

    /// The object is there and has that size.
    async fn confirm(&self, size: u64) -> Result<(), ObjectError> {
        for look in 1..=LOOKS {
            let found = self.persist(|| self.size()).await?.value;
            match found {
                Some(found) if found == size => return Ok(()),
                Some(found) => {
                    let text =
                        format!("the store said that it has all {size} bytes, and has {found}");
                    return Err(ObjectError::Failed(text));
                }
                None if look < LOOKS => tokio::time::sleep(LOOK_PAUSE).await,
                None => {}
            }
        }
        Err(ObjectError::Failed(
            "the store said that it has the object, and does not show it".into(),
        ))
    }

    /// Its size in the store, if it is there.
    async fn size(&self) -> Result<Option<u64>, Fault> {
        match &self.objects.backend {
            Backend::Folder(folder) => self.counted(folder.size(&self.path).await),
            Backend::Remote(store) => match observed(self.name(), store.head(&self.path)).await {
                Ok(found) => {
                    self.objects.health.look_worked();
                    Ok(Some(found.size))
                }
                Err((object_store::Error::NotFound { .. }, _)) => Ok(None),
                // S3 does not tell those who may not list what is absent from what is forbidden.
                Err((object_store::Error::PermissionDenied { .. }, fault)) => {
                    self.objects.health.look_was_refused(&fault.reason);
                    Err(Fault { reaction: Reaction::Anew, ..fault })
                }
                Err((_, fault)) => Err(fault),
            },
        }
    }

    async fn persist<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<Done<T>, Failed> {
        let mut attempt = attempt;
        persist(&self.objects.health, &self.objects.meter, || {
            let attempt = attempt();
            async move {
                let _permit = self.permits.request().await?;
                attempt.await
            }
        })
        .await
    }

    /// One try over HTTP.
    async fn observed<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Fault> {
        observed(self.name(), request).await.map_err(|(_, fault)| fault)
    }

    /// One try that no HTTP client counts.
    fn counted<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        self.objects.meter.attempt(result.is_ok());
        result
    }

    fn remote(&self) -> &dyn Remote {
        match &self.objects.backend {
            Backend::Remote(store) => &**store,
            Backend::Folder(_) => unreachable!("the backend that began an upload ends it"),
        }
    }

    /// The last part of the key, which is no other object's.
    fn name(&self) -> &str {
        let path = self.path.as_ref();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}

impl Parts {
    pub async fn put(&mut self, part: Bytes) -> Result<(), ObjectError> {
        let (object, offset) = (&*self.object, self.size);
        self.size += part.len() as u64;
        match &mut self.upload {
            Upload::Remote { id, parts } => {
                let (store, id, index) = (object.remote(), &*id, parts.len());
                let put = object.persist(|| {
                    let payload = PutPayload::from_bytes(part.clone());
                    object.observed(store.put_part(&object.path, id, index, payload))
                });
                parts.push(put.await?.value);
            }
            Upload::Folder { staged, .. } => {
                let staged = &*staged;
                let put = object.persist(|| {
                    let write = Arc::clone(staged).write(part.clone(), offset);
                    async move { object.counted(write.await) }
                });
                put.await?;
            }
        }
        Ok(())
    }

    pub async fn complete(&mut self) -> Result<(), ObjectError> {
        let object = &*self.object;
        let completed = match &self.upload {
            Upload::Remote { id, parts } => {
                let store = object.remote();
                let complete = object.persist(|| async move {
                    let complete = store.complete_multipart(&object.path, id, parts.clone());
                    object.observed(complete).await.map(|_| ())
                });
                complete.await
            }
            Upload::Folder { staged, .. } => {
                let complete = object.persist(|| {
                    let complete = Arc::clone(staged).complete();
                    async move { object.counted(complete.await) }
                });
                complete.await
            }
        };
        match completed {
            Ok(_) => object.confirm(self.size).await,
            // An earlier try may have done it, so that there is no upload any more.
            Err(Failed { fault, tries }) if fault.reaction == Reaction::Anew && tries > 1 => {
                let failed = ObjectError::from(Failed { fault, tries });
                object.confirm(self.size).await.map_err(|_| failed)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// Removes what was written, as far as the store lets it.
    pub async fn abort(self) {
        let object = &*self.object;
        let aborted = match &self.upload {
            Upload::Remote { id, .. } => {
                let store = object.remote();
                let abort =
                    object.persist(|| object.observed(store.abort_multipart(&object.path, id)));
                abort.await
            }
            Upload::Folder { staged, .. } => {
                let abort = object.persist(|| {
                    let abort = Arc::clone(staged).abort();
                    async move { object.counted(abort.await) }
                });
                abort.await
            }
        };
        // Without such an upload there is nothing to remove.
        if let Err(Failed { fault: Fault { reaction, reason }, .. }) = aborted
            && reaction != Reaction::Anew
            && let Some(uploads) = object.objects.leftovers.next()
        {
            tracing::warn!(
                reason,
                uploads,
                "the parts of an abandoned upload stay until the bucket's lifecycle rule removes them"
            );
        }
    }
}

impl Objects {
    /// Asks the store whether it takes what is written: now, and again while it fails. Never ends, since
    /// uploads wait at a gate that nobody else opens: a probe that panics is one that failed.
    pub async fn watch(self: Arc<Objects>, gateway_id: String) {
        let mut pause = PROBE_PAUSE_MIN;
        loop {
            fail_point::ask("store-watch");
            match self.ask(&gateway_id).await {
                Ok(()) => {
                    self.health.probe_worked();
                    pause = PROBE_PAUSE_MIN;
                    tokio::time::sleep(pause).await;
                    self.health.doubted().await;
                }
                Err(fault) => {
                    self.health.probe_failed(&fault);
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(PROBE_PAUSE_MAX);
                }
            }
        }
    }

    async fn ask(self: &Arc<Objects>, gateway_id: &str) -> Result<(), Fault> {
        or_panic(self.probe(gateway_id)).await.and_then(|answer| answer)
    }

    /// Does what a write does and leaves nothing: an upload that is begun, gets a byte and is aborted. A
    /// listing would ask for a right that a gateway does not need.
    async fn probe(self: &Arc<Objects>, gateway_id: &str) -> Result<(), Fault> {
        let name = format!("probe-{}", uuid::Uuid::now_v7());
        let probe = async {
            let store = match &self.backend {
                Backend::Folder(folder) => {
                    let probed = folder.probe(name).await;
                    self.meter.attempt(probed.is_ok());
                    return probed;
                }
                Backend::Remote(store) => store,
            };
            let object = self.object(&format!("probe/{gateway_id}/{name}"), &Permits::default());
            let begun = observed(&name, store.create_multipart(&object.path)).await;
            let id = match begun {
                Ok(id) => id,
                // It knows no uploads in parts; whether it takes whole objects, the first one tells.
                Err((_, fault)) if fault.reason.starts_with("501") => return Ok(()),
                Err((_, fault)) => return Err(fault),
            };
            let part = store.put_part(&object.path, &id, 0, PutPayload::from_static(b"?"));
            let put = object.observed(part).await;
            // What is not aborted, the bucket's lifecycle rule removes; no message depends on it.
            let aborted = object.observed(store.abort_multipart(&object.path, &id)).await;
            if let Err(fault) = aborted
                && fault.reaction == Reaction::Wait
                && put.is_ok()
            {
                tracing::warn!(
                    reason = fault.reason,
                    "the object store lets no upload be aborted: those that fail stay until the bucket's lifecycle rule removes them"
                );
            }
            put.map(|_| ())
        };
        tokio::time::timeout(PROBE_WAIT, probe).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", PROBE_WAIT.as_secs());
            Err(Fault { reaction: Reaction::Again, reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Without a clock, the probe panics where it sets its deadline.
    #[test]
    fn a_probe_that_panics_is_one_that_failed() {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        let runtime = builder.build().expect("a runtime without a clock");
        let url = url::Url::from_directory_path(std::env::temp_dir()).expect("an absolute path");
        let objects = Objects::open(&url, &BTreeMap::new()).expect("the folder is there");
        let answer = runtime.block_on(Arc::new(objects).ask("gw"));
        assert_eq!(answer, Err(Fault::panicked()));
    }
}
