//! What is in the object store, as the judge has to know it: the size, the hash and the first line of an object, read
//! from the file that the store keeps it in.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path};

use sha2::Digest as _;

use crate::books::Sha256;
use crate::landed::unescaped;

/// Of its first line, as the reader of Kafka has it.
const HEAD_MAX_BYTES: usize = 100;
/// What is read at once.
const PART_BYTES: usize = 256 * 1024;

/// What is behind a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub size: u64,
    pub sha256: Sha256,
    /// Its first line.
    pub head: String,
}

impl Object {
    /// Of a URI such as `s3://bucket/key`, where each bucket is a folder in one.
    pub fn of_uri(buckets: &Path, uri: &str) -> Result<Object, String> {
        let place = uri.strip_prefix("s3://").and_then(unescaped);
        let place = place.ok_or_else(|| "it is no S3 URI".to_owned())?;
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !Path::new(&place).components().all(inside) {
            return Err("it leads out of its bucket".to_owned());
        }
        Object::of_file(&buckets.join(place))
    }

    fn of_file(path: &Path) -> Result<Object, String> {
        let cannot = |error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(cannot)?;
        let (mut hash, mut size, mut head) = (sha2::Sha256::new(), 0, Vec::new());
        let mut part = vec![0; PART_BYTES];
        loop {
            let read = file.read(&mut part).map_err(cannot)?;
            if read == 0 {
                break;
            }
            hash.update(&part[..read]);
            size += read as u64;
            let missing = HEAD_MAX_BYTES - head.len();
            head.extend_from_slice(&part[..read.min(missing)]);
        }
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let head = String::from_utf8_lossy(line).into_owned();
        Ok(Object { size, sha256: Sha256(hash.finalize().into()), head })
    }
}
