//! What is read from files and may be read anew while the gateway runs: when the files change, at SIGHUP, and
//! when the admin port is asked to. What cannot be taken leaves everything as it was.

mod watch;

use std::collections::BTreeSet;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::time::{sleep, timeout};

use crate::audit::{Audit, Entry, Event};
use crate::fault::{Fault, Faults};
use crate::metrics as names;
use watch::Watch;

/// After a change, files are read as soon as nothing changed for this long: whoever writes several is
/// probably not done.
const QUIET: Duration = Duration::from_millis(250);
/// They are read after this long, however much goes on in their directories.
const QUIET_WAIT: Duration = Duration::from_secs(1);
/// How often files are looked at by themselves: not all file systems tell of changes.
const LOOK_PAUSE: Duration = Duration::from_secs(30);
/// The same where directories cannot be watched.
const BLIND_LOOK_PAUSE: Duration = Duration::from_secs(2);
/// The kernel's times of files are this much behind its clock.
const FILE_CLOCK_LAG: Duration = Duration::from_millis(20);

/// Something that files say: certificates, keys, passwords, rules.
pub trait Reload: Send + Sync {
    /// Where the configuration names it, such as `listeners[0].tls`.
    fn place(&self) -> &str;

    /// What it was read from.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads all of it anew. At a fault everything stays as it was.
    fn reload(&self) -> Result<(), Faults>;
}

/// See the module.
pub struct Reloader {
    parts: Vec<Part>,
    audit: Arc<Audit>,
    /// Called after something was read anew.
    changed: Box<dyn Fn() + Send + Sync>,
    /// Where files are read, however long that takes.
    background: Handle,
    /// One reads at a time: who holds it.
    turn: Arc<Mutex<Turn>>,
}

struct Part {
    reload: Arc<dyn Reload>,
    /// What was read last could not be taken.
    is_faulty: AtomicBool,
}

/// What whoever reads knows of the files.
struct Turn {
    watch: Watch,
    /// By part: its files.
    seen: Vec<PartSeen>,
}

/// The files of one part.
struct PartSeen {
    /// As they were before they were read last.
    last: Seen,
    /// As they were before they were last taken.
    taken: Seen,
}

/// Files as their directories say they are; None where one cannot be looked at.
type Seen = Vec<(PathBuf, Option<FileState>)>;

/// What changes when a file is written, replaced, or made readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    /// In nanoseconds since 1970: of the content, and of the file.
    changed_ns: [i128; 2],
}

/// Which parts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// Those whose files are not what they were.
    Changed,
}

/// What files are read anew for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// They changed.
    Change,
    Signal,
    /// An operator, of that name, asked for it.
    Operator(Arc<str>),
}

impl By {
    /// As the audit log says it.
    fn name(&self) -> &str {
        match self {
            By::Change => "change",
            By::Signal => "signal",
            By::Operator(name) => name,
        }
    }
}

/// What came of reading anew.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub outcome: Outcome,
    pub parts: Vec<PartReport>,
}

/// Of one part.
#[derive(Clone, Debug, Serialize)]
pub struct PartReport {
    pub place: String,
    pub files: Vec<PathBuf>,
    pub outcome: Outcome,
    /// What is wrong, and what to do.
    pub faults: Vec<String>,
}

/// Whether what was read is what holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Read,
    /// What was there stays.
    Failed,
}

impl Reloader {
    /// Of parts that were read after `read_at`. `changed` is called after one was read anew.
    pub fn new(
        parts: Vec<Arc<dyn Reload>>,
        read_at: SystemTime,
        background: Handle,
        audit: Arc<Audit>,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Reloader> {
        let seen = parts.iter().map(|part| {
            let taken = look(&**part);
            PartSeen { last: unless_changed_since(taken.clone(), read_at), taken }
        });
        let seen = seen.collect();
        let parts = parts
            .into_iter()
            .map(|reload| Part { reload, is_faulty: AtomicBool::new(false) })
            .collect();
        for outcome in [Outcome::Read, Outcome::Failed] {
            count(outcome, 0);
        }
        gauge!(names::RELOAD_FAILING).set(0.0);
        gauge!(names::RELOAD_LAST_SUCCESS).set(unix_seconds());
        let turn = Arc::new(Mutex::new(Turn { watch: Watch::default(), seen }));
        Arc::new(Reloader { parts, audit, changed: Box::new(changed), background, turn })
    }

    /// Reads everything anew.
    pub async fn reload(self: &Arc<Reloader>, by: By) -> Report {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.read(turn, Which::All, by).await
    }

    /// Where the configuration names what could not be taken when it was read last.
    pub fn faulty(&self) -> impl Iterator<Item = &str> {
        let faulty = self.parts.iter().filter(|part| part.is_faulty.load(Ordering::Acquire));
        faulty.map(|part| part.reload.place())
    }

    /// Reads anew what changes, for ever; and everything at SIGHUP, if it may.
    pub async fn run(self: Arc<Reloader>, at_hangup: bool) {
        let mut hangup = Hangup::new(at_hangup);
        // One is as good as many: what changed, the files themselves say.
        let (tell, mut told) = mpsc::channel(1);
        self.turn.lock().await.watch = Watch::start(tell);
        loop {
            let pause = self.follow().await;
            tokio::select! {
                () = hangup.comes() => {
                    tracing::info!("SIGHUP: everything that files say is read anew");
                    self.reload(By::Signal).await;
                }
                Some(()) = told.recv() => {
                    until_quiet(&mut told).await;
                    self.reload_changed().await;
                }
                () = sleep(pause) => self.reload_changed().await,
            }
        }
    }

    async fn reload_changed(self: &Arc<Reloader>) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.read(turn, Which::Changed, By::Change).await;
    }

    /// Watches the directories that the files are in by now: how long may pass until the next look.
    async fn follow(self: &Arc<Reloader>) -> Duration {
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        let reloader = Arc::clone(self);
        let followed = self.background.spawn_blocking(move || {
            let files = reloader.parts.iter().flat_map(|part| part.reload.files()).collect();
            turn.watch.follow(&files)
        });
        match followed.await {
            Ok(true) => LOOK_PAUSE,
            // Or it panicked, which is told where it happens.
            Ok(false) | Err(_) => BLIND_LOOK_PAUSE,
        }
    }

    async fn read(
        self: &Arc<Reloader>,
        turn: OwnedMutexGuard<Turn>,
        which: Which,
        by: By,
    ) -> Report {
        let reloader = Arc::clone(self);
        let read = self.background.spawn_blocking(move || reloader.read_now(turn, which, &by));
        let read = read.await;
        read.unwrap_or_else(|_| {
            // It panicked, which is told where it happens; or the process ends.
            count(Outcome::Failed, 1);
            gauge!(names::RELOAD_FAILING).set(self.faulty().count() as f64);
            Report { outcome: Outcome::Failed, parts: Vec::new() }
        })
    }

    /// Reads files, and waits for them.
    fn read_now(&self, mut turn: OwnedMutexGuard<Turn>, which: Which, by: &By) -> Report {
        let mut parts = Vec::new();
        for (part, seen) in self.parts.iter().zip(&mut turn.seen) {
            // Looked at before they are read: what changes meanwhile is seen the next time.
            let now = look(&*part.reload);
            if which == Which::Changed && seen.last == now {
                continue;
            }
            seen.last = now.clone();
            let report = part.read(emptied(&seen.taken, &now));
            if report.outcome == Outcome::Read {
                seen.taken = now;
            }
            parts.push(report);
        }
        let outcome = match parts.iter().all(|part| part.outcome == Outcome::Read) {
            true => Outcome::Read,
            false => Outcome::Failed,
        };
        if parts.iter().any(|part| part.outcome == Outcome::Read) {
            (self.changed)();
        }
        if !parts.is_empty() || which == Which::All {
            self.tell(&parts, by);
            count(outcome, 1);
            let failing = self.faulty().count();
            gauge!(names::RELOAD_FAILING).set(failing as f64);
            if failing == 0 {
                gauge!(names::RELOAD_LAST_SUCCESS).set(unix_seconds());
            }
        }
        Report { outcome, parts }
    }

    /// A line of the audit log for what was read, and one for what was not taken.
    fn tell(&self, parts: &[PartReport], by: &By) {
        for (outcome, reason) in [(Outcome::Read, "ok"), (Outcome::Failed, "failed")] {
            let of_it = parts.iter().filter(|part| part.outcome == outcome);
            let places: Vec<&str> = of_it.map(|part| part.place.as_str()).collect();
            if !places.is_empty() {
                let (reason, by) = (Some(reason), Some(by.name()));
                let entry = Entry { reason, by, places: &places, ..Entry::default() };
                self.audit.tell(Event::Reloaded, &entry);
            }
        }
    }
}

impl Part {
    /// Reads it, unless one of its files was emptied: that takes everything from everybody, and is what comes
    /// of a full disk or a script that failed.
    fn read(&self, emptied: Option<&Path>) -> PartReport {
        let place = self.reload.place();
        // If it panics, that is how it stays.
        self.is_faulty.store(true, Ordering::Release);
        let read = match emptied {
            None => self.reload.reload(),
            Some(file) => Err(Faults(vec![Fault {
                place: place.to_owned(),
                text: format!(
                    "{} is empty and was not: if that is meant, write a line of comment into it",
                    file.display()
                ),
            }])),
        };
        let (outcome, faults) = match read {
            Ok(()) => {
                tracing::info!(place, "files were read anew");
                (Outcome::Read, Vec::new())
            }
            Err(faults) => {
                tracing::error!(
                    place,
                    %faults,
                    "files were not taken and everything stays as it was: mend them, they are read again when they change"
                );
                let texts = faults.0.iter().map(|fault| format!("{}: {}", fault.place, fault.text));
                (Outcome::Failed, texts.collect())
            }
        };
        self.is_faulty.store(outcome == Outcome::Failed, Ordering::Release);
        // It may have been told of other files by those that it read.
        PartReport { place: place.to_owned(), files: self.reload.files(), outcome, faults }
    }
}

/// SIGHUP, where it is taken: without a handler it ends the process.
struct Hangup(Option<Signal>);

impl Hangup {
    fn new(is_taken: bool) -> Hangup {
        let handler = is_taken.then(|| signal(SignalKind::hangup())).transpose();
        Hangup(handler.unwrap_or_else(|error| {
            tracing::error!(%error, "SIGHUP cannot be taken: it ends the gateway");
            None
        }))
    }

    /// Cancel safe.
    async fn comes(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => pending().await,
        }
    }
}

/// Returns when nothing was told for a while, or enough.
async fn until_quiet(told: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + QUIET_WAIT;
    while Instant::now() < end && timeout(QUIET, told.recv()).await.is_ok() {}
}

/// The first file that has nothing in it now and had something when it was taken.
fn emptied<'a>(taken: &Seen, now: &'a Seen) -> Option<&'a Path> {
    let had_content = |file: &PathBuf| {
        taken.iter().any(|(known, state)| known == file && state.is_some_and(|one| one.size > 0))
    };
    let is_empty = |state: &Option<FileState>| state.is_some_and(|state| state.size == 0);
    let mut emptied = now.iter().filter(|(file, state)| is_empty(state) && had_content(file));
    emptied.next().map(|(file, _)| file.as_path())
}

fn look(part: &dyn Reload) -> Seen {
    let files: BTreeSet<PathBuf> = part.files().into_iter().collect();
    files
        .into_iter()
        .map(|file| {
            let state = FileState::of(&file);
            (file, state)
        })
        .collect()
}

/// What changed since is not what was read.
fn unless_changed_since(seen: Seen, read_at: SystemTime) -> Seen {
    let read_at = read_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let read_at_ns = read_at.saturating_sub(FILE_CLOCK_LAG).as_nanos() as i128;
    let is_old = |state: &FileState| state.changed_ns.iter().all(|changed| *changed < read_at_ns);
    seen.into_iter().map(|(file, state)| (file, state.filter(is_old))).collect()
}

impl FileState {
    fn of(file: &Path) -> Option<FileState> {
        let found = std::fs::metadata(file).ok()?;
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Some(FileState {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed_ns: [
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
            ],
        })
    }
}

fn count(outcome: Outcome, times: u64) {
    let result = match outcome {
        Outcome::Read => "ok",
        Outcome::Failed => "failed",
    };
    counter!(names::RELOADS, "result" => result).increment(times);
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
