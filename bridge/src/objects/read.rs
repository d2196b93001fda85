//! Reading an object back, for people: what it begins with, and whether it is what its record says.
//!
//! A reference is data that a stranger may have written: nothing outside the store is opened, an object
//! is never held whole, and no more of it is read than the caller allows.

use std::io::Read as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use sha2::{Digest as _, Sha256};

use super::{Backend, ObjectError, Objects};

/// How long a store may take for its next bytes.
const PIECE_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What a record says of its object.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'r> {
    pub uri: &'r str,
    pub size: u64,
    pub sha256: &'r [u8],
}

/// How much is read of an object, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of its beginning, which is handed out.
    pub start: usize,
    /// In all: a larger object is not held against its hash.
    pub check: u64,
}

/// What an object is.
#[derive(Debug, PartialEq, Eq)]
pub struct Looked {
    pub start: Vec<u8>,
    pub verdict: Verdict,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Size and hash are those of the record.
    Same,
    /// It has another size, this one.
    OtherSize(u64),
    OtherHash,
    /// It has the right size and is too large to be read.
    Unchecked,
}

/// An object that is being read.
struct Reading {
    limits: Limits,
    /// Only the beginning is wanted.
    verdict: Option<Verdict>,
    start: Vec<u8>,
    hasher: Sha256,
    read: u64,
}

impl Reading {
    /// An object of `size` bytes begins.
    fn new(expected: Expected<'_>, limits: Limits, size: u64) -> Reading {
        let verdict = if size != expected.size {
            Some(Verdict::OtherSize(size))
        } else if size > limits.check {
            Some(Verdict::Unchecked)
        } else {
            None
        };
        Reading { limits, verdict, start: Vec::new(), hasher: Sha256::new(), read: 0 }
    }

    /// Takes the next bytes; false if no more are wanted.
    fn take(&mut self, piece: &[u8]) -> bool {
        let room = self.limits.start - self.start.len();
        self.start.extend_from_slice(&piece[..piece.len().min(room)]);
        self.read += piece.len() as u64;
        match self.verdict {
            Some(_) => self.start.len() < self.limits.start,
            None => {
                self.hasher.update(piece);
                // What grows while it is read has an end.
                self.read <= self.limits.check
            }
        }
    }

    fn end(self, expected: Expected<'_>) -> Looked {
        let verdict = self.verdict.unwrap_or_else(|| {
            if self.read != expected.size {
                Verdict::OtherSize(self.read)
            } else if *self.hasher.finalize() == *expected.sha256 {
                Verdict::Same
            } else {
                Verdict::OtherHash
            }
        });
        Looked { start: self.start, verdict }
    }
}

impl Objects {
    /// Reads the object behind a reference, if it lies under this store's place, up to `limits`.
    pub async fn look(
        &self,
        expected: Expected<'_>,
        limits: Limits,
    ) -> Result<Looked, ObjectError> {
        let path = self.path_of(expected.uri)?;
        match &self.backend {
            Backend::Folder(folder) => {
                let cannot = |error: std::io::Error| ObjectError::Failed(error.to_string());
                let mut file = folder.open_inside(&path).map_err(cannot)?;
                let size = file.metadata().map_err(cannot)?.len();
                let mut reading = Reading::new(expected, limits, size);
                let mut piece = vec![0; PIECE_BYTES];
                loop {
                    let read = file.read(&mut piece).map_err(cannot)?;
                    if read == 0 || !reading.take(&piece[..read]) {
                        return Ok(reading.end(expected));
                    }
                }
            }
            Backend::Remote(store) => {
                let late = || ObjectError::Failed(format!("no bytes came for {PIECE_WAIT:?}"));
                let found = tokio::time::timeout(PIECE_WAIT, store.get(&path));
                let found = found.await.map_err(|_| late())??;
                let mut reading = Reading::new(expected, limits, found.meta.size);
                let mut pieces = found.into_stream();
                loop {
                    let piece = tokio::time::timeout(PIECE_WAIT, pieces.next());
                    match piece.await.map_err(|_| late())?.transpose()? {
                        Some(piece) if reading.take(&piece) => {}
                        _ => return Ok(reading.end(expected)),
                    }
                }
            }
        }
    }
}
