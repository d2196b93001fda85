//! A folder as an object store, by our own hand: object_store's writer of files cannot write a part
//! again. A file is whole or absent, and fsynced with its folder before anybody is told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as Key;

use super::PART_SIZE;
use super::reaction::{Fault, Reaction};

/// Bytes that the probe writes at once.
const PROBE_PIECE: usize = 64 * 1024;

/// See the module.
pub(super) struct Folder {
    /// Without links and `..`.
    root: PathBuf,
}

/// A file that is not yet there under its name; gone when it is dropped before it was published.
pub(super) struct Staged {
    file: File,
    at: PathBuf,
    to: PathBuf,
}

impl Folder {
    /// The folder has to be there.
    pub fn open(root: &Path) -> io::Result<Folder> {
        Ok(Folder { root: fs::canonicalize(root)? })
    }

    fn file(&self, key: &Key) -> PathBuf {
        key.parts().fold(self.root.clone(), |path, part| path.join(part.as_ref()))
    }

    /// Writes a file in one go.
    pub async fn put(&self, key: &Key, payload: Bytes) -> Result<(), Fault> {
        let to = self.file(key);
        let put = blocking(move || {
            let staged = Staged::create(to).map_err(of_writing)?;
            (&staged.file).write_all(&payload).map_err(of_writing)?;
            staged.publish()
        });
        // It begins with a new file at each try.
        put.await.map_err(|fault| match fault.reaction {
            Reaction::Anew => Fault { reaction: Reaction::Again, ..fault },
            _ => fault,
        })
    }

    /// Begins a file that is written in parts.
    pub async fn stage(&self, key: &Key) -> Result<Arc<Staged>, Fault> {
        let to = self.file(key);
        blocking(move || Staged::create(to).map(Arc::new).map_err(of_writing)).await
    }

    /// Bytes of a file that was written.
    pub async fn size(&self, key: &Key) -> Result<Option<u64>, Fault> {
        let file = self.file(key);
        blocking(move || match fs::metadata(file) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_writing(error)),
        })
        .await
    }

    /// Writes as much as a part, and removes it again.
    pub async fn probe(&self, name: String) -> Result<(), Fault> {
        let to = self.root.join(name);
        blocking(move || {
            let staged = Staged::create(to).map_err(of_writing)?;
            let piece = [0; PROBE_PIECE];
            for _ in 0..PART_SIZE / PROBE_PIECE as u64 {
                (&staged.file).write_all(&piece).map_err(of_writing)?;
            }
            staged.file.sync_all().map_err(of_writing)
        })
        .await
    }

    /// Opens a file for reading, if it lies in this folder when all links are followed.
    pub fn open_inside(&self, key: &Key) -> io::Result<File> {
        let outside = || {
            let text = "a link leads out of the folder, or to what is no file";
            io::Error::new(ErrorKind::PermissionDenied, text)
        };
        let real = fs::canonicalize(self.file(key))?;
        if !(real.starts_with(&self.root) && fs::metadata(&real)?.is_file()) {
            return Err(outside());
        }
        let file = File::open(real)?;
        // The path may have changed meanwhile: what counts is what was opened.
        let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        match opened.starts_with(&self.root) && file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(outside()),
        }
    }
}

impl Staged {
    fn create(to: PathBuf) -> io::Result<Staged> {
        let mut at = to.clone().into_os_string();
        // Readers of such folders take no file that ends like this.
        at.push("#1");
        let at = PathBuf::from(at);
        let open = || OpenOptions::new().write(true).create(true).truncate(true).open(&at);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folders(at.parent().unwrap_or(Path::new("/")))?;
                open()?
            }
            opened => opened?,
        };
        Ok(Staged { file, at, to })
    }

    /// Writes a part at its place; it may be written again.
    pub async fn write(self: Arc<Staged>, part: Bytes, offset: u64) -> Result<(), Fault> {
        blocking(move || self.file.write_all_at(&part, offset).map_err(of_writing)).await
    }

    /// Makes it durable and gives it its name.
    pub async fn complete(self: Arc<Staged>) -> Result<(), Fault> {
        blocking(move || self.publish()).await
    }

    /// Removes it.
    pub async fn abort(self: Arc<Staged>) -> Result<(), Fault> {
        blocking(move || fs::remove_file(&self.at).map_err(of_writing)).await
    }

    fn publish(&self) -> Result<(), Fault> {
        // What the disk has after a failed fsync is not known, and a second one would say nothing.
        let of_fsync = |error| Fault { reaction: Reaction::Anew, ..of_writing(error) };
        self.file.sync_all().map_err(of_fsync)?;
        fs::rename(&self.at, &self.to).map_err(of_writing)?;
        sync_folder(self.to.parent().unwrap_or(Path::new("/"))).map_err(of_fsync)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After it was published or aborted there is none.
        let _ = fs::remove_file(&self.at);
    }
}

/// Makes a folder and those above it, durably.
fn make_folders(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folders(folder.parent().ok_or(error)?)?;
            match fs::create_dir(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        made => made?,
    }
    sync_folder(folder.parent().unwrap_or(Path::new("/")))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn of_writing(error: io::Error) -> Fault {
    let reaction = match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotFound
        | ErrorKind::NotADirectory => Reaction::Wait,
        ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::FileTooLarge
        | ErrorKind::InvalidFilename => Reaction::Never,
        // A full disk among them.
        _ => Reaction::Again,
    };
    Fault { reaction, reason: error.to_string() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Fault { reaction: Reaction::Anew, reason: format!("a task was lost: {error}") })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_open_is_inside() {
        let base = std::env::temp_dir().join(format!("landfall-folder-{}", std::process::id()));
        let root = base.join("store");
        fs::create_dir_all(root.join("slow")).unwrap();
        fs::write(base.join("secret"), b"secret").unwrap();
        fs::write(root.join("slow/1"), b"object").unwrap();
        symlink(base.join("secret"), root.join("slow/out")).unwrap();
        symlink("../..", root.join("slow/up")).unwrap();
        symlink("1", root.join("slow/in")).unwrap();
        let folder = Folder::open(&root).unwrap();
        let open = |key: &str| folder.open_inside(&Key::parse(key).unwrap());
        assert!(open("slow/1").is_ok());
        assert!(open("slow/in").is_ok());
        for key in ["slow/out", "slow/up/secret", "slow/up", "slow"] {
            assert_eq!(open(key).expect_err(key).kind(), ErrorKind::PermissionDenied, "{key}");
        }
        assert_eq!(open("slow/2").expect_err("absent").kind(), ErrorKind::NotFound);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_full_disk_is_tried_again_and_a_folder_that_refuses_is_waited_for() {
        for (kind, reaction) in [
            (ErrorKind::StorageFull, Reaction::Again),
            (ErrorKind::QuotaExceeded, Reaction::Again),
            (ErrorKind::TimedOut, Reaction::Again),
            (ErrorKind::Other, Reaction::Again),
            (ErrorKind::PermissionDenied, Reaction::Wait),
            (ErrorKind::ReadOnlyFilesystem, Reaction::Wait),
            (ErrorKind::NotFound, Reaction::Wait),
            (ErrorKind::IsADirectory, Reaction::Never),
            (ErrorKind::FileTooLarge, Reaction::Never),
        ] {
            assert_eq!(of_writing(kind.into()).reaction, reaction, "{kind}");
        }
    }

    #[tokio::test]
    async fn a_file_is_whole_or_absent() {
        let root = std::env::temp_dir().join(format!("landfall-staged-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let folder = Folder::open(&root).unwrap();
        let key = Key::parse("slow/2026/1").unwrap();
        let staged = folder.stage(&key).await.unwrap();
        for (part, offset) in [("ab", 0), ("xx", 2), ("cd", 2)] {
            Arc::clone(&staged).write(Bytes::from(part), offset).await.unwrap();
        }
        assert_eq!(folder.size(&key).await, Ok(None));
        staged.complete().await.unwrap();
        assert_eq!(fs::read(root.join("slow/2026/1")).unwrap(), b"abcd");
        assert_eq!(folder.size(&key).await, Ok(Some(4)));
        drop(folder.stage(&key).await.unwrap());
        folder.probe("probe".to_owned()).await.unwrap();
        let left: Vec<_> = fs::read_dir(root.join("slow/2026")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "a probe leaves nothing");
        fs::remove_dir_all(&root).unwrap();
    }
}
