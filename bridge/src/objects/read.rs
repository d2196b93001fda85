//! Reading an object back, piece by piece, held against what its record says of it.
//!
//! A reference is data that a stranger may have written: nothing outside the store is opened, an object
//! is never held whole, and no more of it is read than its record says there is.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::ObjectStoreExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Backend, ObjectError, Objects};

/// How long a store may take for its next bytes.
const PIECE_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a piece at most.
pub const PIECE_MAX_BYTES: usize = 256 * 1024;

/// What a record says of its object.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'r> {
    pub uri: &'r str,
    pub size: u64,
    pub sha256: &'r [u8],
}

/// An object is not, or not as a whole, what its record says.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// Bytes as far as is known: what is longer is not read to its end.
    #[error("the object has {0} bytes, and its record says another size")]
    OtherSize(u64),
    #[error("the object has another hash than its record says")]
    OtherHash,
}

/// An object that is being read.
pub struct Reading {
    pieces: Pieces,
    /// Bytes of the object, as the store says.
    size: u64,
    expected_size: u64,
    expected_sha256: Box<[u8]>,
    hasher: Sha256,
    read: u64,
    /// More came than its record says there is.
    is_longer: bool,
}

/// Where the bytes come from.
enum Pieces {
    /// None while a piece is read, and after its end.
    File(Option<File>),
    Remote {
        stream: BoxStream<'static, object_store::Result<Bytes>>,
        /// What came and was not handed out yet.
        rest: Bytes,
    },
}

impl Objects {
    /// Begins to read the object behind a reference, if it lies under this store's place. It is asked for
    /// once: whoever reads tries again, from the beginning.
    pub async fn read(&self, expected: Expected<'_>) -> Result<Reading, ObjectError> {
        let path = self.path_of(expected.uri)?;
        let (pieces, size) = match &self.backend {
            Backend::Folder(folder) => {
                let cannot = |error: std::io::Error| match error.kind() {
                    std::io::ErrorKind::NotFound => ObjectError::Missing(expected.uri.to_owned()),
                    _ => ObjectError::Failed(error.to_string()),
                };
                let file = folder.open_inside(&path).map_err(cannot)?;
                let size = file.metadata().map_err(cannot)?.len();
                (Pieces::File(Some(file)), size)
            }
            Backend::Remote(store) => {
                let found = timeout(PIECE_WAIT, store.get(&path)).await.map_err(|_| late())?;
                let found = found.map_err(|error| match error {
                    object_store::Error::NotFound { .. } => {
                        ObjectError::Missing(expected.uri.to_owned())
                    }
                    error => error.into(),
                })?;
                let size = found.meta.size;
                (Pieces::Remote { stream: found.into_stream(), rest: Bytes::new() }, size)
            }
        };
        Ok(Reading {
            pieces,
            size,
            expected_size: expected.size,
            expected_sha256: expected.sha256.into(),
            hasher: Sha256::new(),
            read: 0,
            is_longer: false,
        })
    }
}

impl Reading {
    /// Bytes of the object, as the store says. Where it is not the size of its record, reading will not
    /// end well.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, at most [`PIECE_MAX_BYTES`], and None behind the last: only then the object was what
    /// its record says. No more than one piece is held.
    ///
    /// Not cancel safe: after a call that was dropped, the reading is over.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.is_longer {
            return Err(self.other_size());
        }
        let Some(mut piece) = self.pieces.next().await? else { return self.end().map(|()| None) };
        let left = self.expected_size - self.read;
        if piece.len() as u64 > left {
            self.is_longer = true;
            if left == 0 {
                return Err(self.other_size());
            }
            piece.truncate(left as usize);
        }
        self.read += piece.len() as u64;
        self.hasher.update(&piece);
        Ok(Some(piece))
    }

    fn other_size(&self) -> ReadError {
        // An object that grows while it is read had the right size at first.
        let least = self.read + u64::from(self.is_longer);
        ReadError::OtherSize(if self.size == self.expected_size { least } else { self.size })
    }

    fn end(&self) -> Result<(), ReadError> {
        if self.read != self.expected_size {
            return Err(self.other_size());
        }
        match *self.hasher.clone().finalize() == *self.expected_sha256 {
            true => Ok(()),
            false => Err(ReadError::OtherHash),
        }
    }
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        match self {
            Pieces::File(open) => {
                let Some(mut file) = open.take() else { return Ok(None) };
                // A disk may stand still, and a runtime's thread has others to serve.
                let reading = tokio::task::spawn_blocking(move || {
                    let mut piece = Vec::with_capacity(PIECE_MAX_BYTES);
                    let mut part = (&mut file).take(PIECE_MAX_BYTES as u64);
                    part.read_to_end(&mut piece).map(|_| (file, piece))
                });
                let read = timeout(PIECE_WAIT, reading).await.map_err(|_| late())?;
                let cannot = |reason: String| ObjectError::Failed(reason);
                let read = read.map_err(|error| cannot(error.to_string()))?;
                let (file, piece) = read.map_err(|error| cannot(error.to_string()))?;
                if piece.is_empty() {
                    return Ok(None);
                }
                *open = Some(file);
                Ok(Some(piece.into()))
            }
            Pieces::Remote { stream, rest } => {
                while rest.is_empty() {
                    let piece = timeout(PIECE_WAIT, stream.next()).await.map_err(|_| late())?;
                    let Some(piece) = piece.transpose()? else { return Ok(None) };
                    *rest = piece;
                }
                Ok(Some(rest.split_to(rest.len().min(PIECE_MAX_BYTES))))
            }
        }
    }
}

fn late() -> ObjectError {
    ObjectError::Failed(format!("no bytes came for {PIECE_WAIT:?}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Write as _;

    use url::Url;

    use super::super::tests::{Asked, Reply, Server, runtime, s3};
    use super::*;

    async fn whole(objects: &Objects, expected: Expected<'_>) -> Result<Vec<u8>, ReadError> {
        let mut reading = objects.read(expected).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = reading.next().await? {
            assert!(!piece.is_empty() && piece.len() <= PIECE_MAX_BYTES, "{}", piece.len());
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    #[test]
    fn what_a_store_has_is_held_against_its_record() {
        // Larger than a piece, and than what a client gets at once.
        let body = "0123456789abcdef".repeat(PIECE_MAX_BYTES / 8);
        let served = body.clone();
        let server = Server::start(move |asked: &Asked| {
            (asked.method == "GET").then(|| Reply::Answer { status: 200, body: served.clone() })
        });
        let objects = s3(&server);
        let sha256 = Sha256::digest(&body);
        let size = body.len() as u64;
        let expected = |size, sha256| Expected { uri: "s3://bucket/prefix/a", size, sha256 };
        runtime().block_on(async {
            let read = whole(&objects, expected(size, &sha256)).await.expect("it is the same");
            assert!(read == body.as_bytes(), "each byte is handed out once, in order");
            for wrong in [0, size - 1, size + 1] {
                let error = whole(&objects, expected(wrong, &sha256)).await;
                assert!(
                    matches!(error, Err(ReadError::OtherSize(bytes)) if bytes == size),
                    "{wrong}: {error:?}"
                );
            }
            for hash in [&[0; 32][..], &[]] {
                let error = whole(&objects, expected(size, hash)).await;
                assert!(matches!(error, Err(ReadError::OtherHash)), "{error:?}");
            }
            let outside = Expected { uri: "s3://other/prefix/a", ..expected(size, &sha256) };
            let error = whole(&objects, outside).await;
            assert!(matches!(error, Err(ReadError::Store(ObjectError::Outside(_)))), "{error:?}");
        });
    }

    #[test]
    fn a_file_comes_in_pieces_and_no_further_than_its_record_says() {
        let folder = std::env::temp_dir().join(format!("landfall-read-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        let url = Url::from_directory_path(&folder).expect("an absolute path");
        let objects = Objects::open(&url, &BTreeMap::new()).expect("a folder is a store");
        let body = b"0123456".repeat(PIECE_MAX_BYTES / 3);
        fs::write(folder.join("1"), &body).expect("it can be written");
        let uri = format!("{url}1");
        let sha256 = Sha256::digest(&body);
        let expected = Expected { uri: &uri, size: body.len() as u64, sha256: &sha256 };
        runtime().block_on(async {
            let read = whole(&objects, expected).await.expect("it is the same");
            assert!(read == body, "each byte is handed out once, in order");
            let mut reading = objects.read(expected).await.expect("it is there");
            assert_eq!(reading.size(), expected.size);
            let mut file =
                fs::OpenOptions::new().append(true).open(folder.join("1")).expect("there");
            file.write_all(&[0; 3 * PIECE_MAX_BYTES]).expect("it can be written");
            let mut handed_out = 0;
            let error = loop {
                match reading.next().await {
                    Ok(Some(piece)) => handed_out += piece.len() as u64,
                    Ok(None) => panic!("it is not what its record says"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, ReadError::OtherSize(bytes) if bytes > expected.size));
            assert_eq!(handed_out, expected.size);
            assert!(reading.next().await.is_err(), "it stays an error");
        });
        fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
