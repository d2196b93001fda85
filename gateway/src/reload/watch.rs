//! Directories that are watched for what changes in them: those of files, and those of every link on the way
//! to a file. Kubernetes replaces a whole directory by one link, and the file itself never changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Directories that are watched: beyond it files are looked at often.
const DIRECTORIES_MAX: usize = 256;
/// Links on the way to a file, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// See the module. One that was not started watches nothing.
#[derive(Default)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// With what they were when they were watched: another directory may get the same name.
    watched: BTreeMap<PathBuf, Directory>,
    /// It was said that some cannot be watched.
    told_blind: bool,
}

/// A directory, whatever its name is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Directory {
    device: u64,
    inode: u64,
}

impl Watch {
    /// `tell` hears that something changed; what it has no place for, it has heard already.
    pub fn start(tell: mpsc::Sender<()>) -> Watch {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may be a loss of events.
            if event.map_or(true, |event| may_change(&event.kind)) {
                let _ = tell.try_send(());
            }
        });
        let watcher = watcher.map_err(|error| {
            tracing::warn!(%error, "the kernel cannot be asked to tell of changed files");
        });
        Watch { watcher: watcher.ok(), ..Watch::default() }
    }

    /// Something is watched.
    #[cfg(test)]
    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Watches the directories of these files, as they are by now, and no others. False if some cannot be.
    pub fn follow(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let wanted = directories(files);
        let watched =
            self.watcher.as_mut().map_or(Err("there is no watcher".to_owned()), |watcher| {
                self.watched.retain(|path, directory| {
                    let stays = wanted.get(path) == Some(directory);
                    if !stays {
                        // It may be gone.
                        let _ = watcher.unwatch(path);
                    }
                    stays
                });
                for (path, directory) in &wanted {
                    if self.watched.contains_key(path) {
                        continue;
                    }
                    if self.watched.len() >= DIRECTORIES_MAX {
                        return Err(format!("more than {DIRECTORIES_MAX} directories"));
                    }
                    let watched = watcher.watch(path, RecursiveMode::NonRecursive);
                    watched.map_err(|error| error.to_string())?;
                    self.watched.insert(path.clone(), *directory);
                }
                Ok(())
            });
        if let Err(reason) = &watched
            && !self.told_blind
        {
            tracing::warn!(
                reason,
                "files cannot be watched for changes and are looked at every 2 s: raise fs.inotify.max_user_watches and max_user_instances"
            );
        }
        self.told_blind = watched.is_err();
        watched.is_ok()
    }
}

/// What is read only, is not changed: our own reading would go on for ever.
fn may_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The directories in which something changes when one of the files becomes another one.
fn directories(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Directory> {
    let mut found = BTreeSet::new();
    for file in files {
        // Without a working directory there is no relative path to be followed.
        if let Ok(file) = std::path::absolute(file) {
            follow(&file, &mut found);
        }
    }
    let known = found.into_iter().filter_map(|path| {
        let of = std::fs::metadata(&path).ok()?;
        Some((path, Directory { device: of.dev(), inode: of.ino() }))
    });
    known.collect()
}

/// Adds the directories on the way to an absolute path: of each link, of the file, and where the way ends
/// too early, that in which it would go on.
fn follow(path: &Path, found: &mut BTreeSet<PathBuf>) {
    let mut way: VecDeque<OsString> = names(path).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = way.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match std::fs::symlink_metadata(&next) {
            Ok(entry) if entry.is_symlink() => {
                found.insert(at.clone());
                links += 1;
                let Ok(target) = std::fs::read_link(&next) else { return };
                if links > LINKS_MAX {
                    return;
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    way.push_front(name);
                }
            }
            Ok(_) if !way.is_empty() => at = next,
            Ok(_) | Err(_) => {
                found.insert(at);
                return;
            }
        }
    }
}

/// What has to be walked through, one after the other.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir();
            let path = path.canonicalize().expect("it is there");
            let path = path.join(format!("landfall-watch-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder can be made");
            Folder(path)
        }

        fn file(&self, name: &str) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            std::fs::write(path, name).expect("a file can be written");
        }

        fn link(&self, name: &str, target: &str) {
            symlink(target, self.0.join(name)).expect("a link can be made");
        }

        /// The watched directories, by what they are called here.
        fn watched(&self, file: &str) -> Vec<String> {
            let found = directories(&BTreeSet::from([self.0.join(file)]));
            let short = |path: &PathBuf| {
                path.strip_prefix(&self.0).map(|path| path.display().to_string()).ok()
            };
            found.keys().filter_map(short).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("it is there");
        }
    }

    #[test]
    fn every_link_on_the_way_is_watched() {
        let folder = Folder::new("links");
        folder.file("plain/acl");
        folder.file("tls/..2026_1/tls.crt");
        folder.link("tls/..data", "..2026_1");
        folder.link("tls/tls.crt", "..data/tls.crt");
        folder.link("current", "tls");
        folder.file("archive/one.pem");
        std::fs::create_dir(folder.0.join("live")).expect("it can be made");
        folder.link("live/cert.pem", "../archive/one.pem");
        folder.link("round", "round");
        for (file, expected) in [
            ("plain/acl", &["plain"][..]),
            ("tls/tls.crt", &["tls", "tls/..2026_1"]),
            ("current/tls.crt", &["", "tls", "tls/..2026_1"]),
            ("live/cert.pem", &["archive", "live"]),
            ("plain/missing", &["plain"]),
            ("plain/missing/deeper/acl", &["plain"]),
            ("round", &[""]),
        ] {
            assert_eq!(folder.watched(file), expected, "{file}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_another_by_now_is_watched_again() {
        let folder = Folder::new("replaced");
        folder.file("rules/acl");
        let files = BTreeSet::from([folder.0.join("rules/acl")]);
        let (tell, mut told) = mpsc::channel(1);
        let mut watch = Watch::start(tell);
        assert!(watch.follow(&files));
        std::fs::read(folder.0.join("rules/acl")).expect("it is there");
        std::fs::rename(folder.0.join("rules"), folder.0.join("old")).expect("it can be moved");
        folder.file("rules/acl");
        assert!(watch.follow(&files));
        assert_eq!(watch.watched.len(), 1);
        while told.try_recv().is_ok() {}
        // What is old is not watched any more, what is new is.
        let mut heard = false;
        for _ in 0..100 {
            std::fs::write(folder.0.join("rules/acl"), "new").expect("a file can be written");
            let wait = std::time::Duration::from_millis(100);
            heard |= tokio::time::timeout(wait, told.recv()).await.is_ok();
            if heard {
                break;
            }
        }
        assert!(heard);
    }

    #[test]
    fn who_watches_nothing_says_so() {
        assert!(!Watch::default().follow(&BTreeSet::from([PathBuf::from("/etc/hosts")])));
    }

    #[test]
    fn reading_changes_nothing() {
        use notify::event::{CreateKind, ModifyKind, RemoveKind};
        for kind in [AccessKind::Read, AccessKind::Open(AccessMode::Any), AccessKind::Any] {
            assert!(!may_change(&EventKind::Access(kind)));
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::Any),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::Any),
            EventKind::Any,
            EventKind::Other,
        ] {
            assert!(may_change(&kind), "{kind:?}");
        }
    }
}
