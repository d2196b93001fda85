//! Parts in memory and files in a folder: what is read when, and what is said of it.

use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::fault::Fault;

/// A part that takes every file but those that begin with `bad`.
struct Word {
    file: PathBuf,
    read: parking_lot::Mutex<String>,
    reads: AtomicU32,
}

impl Word {
    fn new(file: PathBuf) -> Arc<Word> {
        let read = std::fs::read_to_string(&file).unwrap_or_default();
        Arc::new(Word { file, read: parking_lot::Mutex::new(read), reads: AtomicU32::new(0) })
    }

    fn says(&self) -> String {
        self.read.lock().clone()
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::Acquire)
    }
}

impl Reload for Word {
    fn place(&self) -> &str {
        "word"
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn reload(&self) -> Result<(), Faults> {
        self.reads.fetch_add(1, Ordering::AcqRel);
        let fault = |text: String| Faults(vec![Fault { place: "word".to_owned(), text }]);
        let text = std::fs::read_to_string(&self.file).map_err(|error| fault(error.to_string()))?;
        if text.starts_with("bad") {
            return Err(fault("it is bad".to_owned()));
        }
        *self.read.lock() = text;
        Ok(())
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("landfall-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is there");
    }
}

struct Reading {
    reloader: Arc<Reloader>,
    changes: Arc<AtomicU32>,
}

fn reading(parts: &[&Arc<Word>], read_at: SystemTime) -> Reading {
    let changes = Arc::new(AtomicU32::new(0));
    let parts = parts.iter().map(|part| Arc::clone(part) as Arc<dyn Reload>).collect();
    let count = Arc::clone(&changes);
    let changed = move || {
        count.fetch_add(1, Ordering::AcqRel);
    };
    let reloader =
        Reloader::new(parts, read_at, Handle::current(), Arc::new(Audit::off()), changed);
    Reading { reloader, changes }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "it does not come");
        sleep(Duration::from_millis(10)).await;
    }
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(1)
}

#[tokio::test]
async fn a_bad_file_keeps_what_was_there_and_is_named() {
    let folder = Folder::new("reload-bad");
    let [one, two] = ["one", "two"].map(|name| Word::new(folder.write(name, "old")));
    let Reading { reloader, changes } = reading(&[&one, &two], later());
    folder.write("one", "bad");
    folder.write("two", "new");
    let report = reloader.reload(By::Signal).await;
    assert_eq!(report.outcome, Outcome::Failed);
    let json = serde_json::to_value(&report).expect("it can be written");
    assert_eq!(json["outcome"], "failed");
    assert_eq!(json["parts"][0]["files"][0], one.file.to_str().expect("it is UTF-8"));
    assert_eq!(json["parts"][0]["faults"][0], "word: it is bad");
    assert_eq!(json["parts"][1]["outcome"], "read");
    assert_eq!((one.says(), two.says()), ("old".to_owned(), "new".to_owned()));
    assert_eq!(reloader.faulty().collect::<Vec<_>>(), ["word"]);
    assert_eq!(changes.load(Ordering::Acquire), 1);
    folder.write("one", "mended");
    assert_eq!(reloader.reload(By::Signal).await.outcome, Outcome::Read);
    assert_eq!((one.says(), reloader.faulty().count()), ("mended".to_owned(), 0));
}

#[tokio::test]
async fn only_what_changed_is_read_and_a_bad_file_not_again_and_again() {
    let folder = Folder::new("reload-changed");
    let [one, two] = ["one", "two"].map(|name| Word::new(folder.write(name, "old")));
    let Reading { reloader, .. } = reading(&[&one, &two], later());
    reloader.reload_changed().await;
    assert_eq!((one.reads(), two.reads()), (0, 0));
    folder.write("two", "bad");
    for _ in 0..3 {
        reloader.reload_changed().await;
    }
    assert_eq!((one.reads(), two.reads()), (0, 1));
    // As long as before, and perhaps at the same time: it is another file.
    std::fs::rename(folder.write("three", "new"), &two.file).expect("it can be moved");
    reloader.reload_changed().await;
    assert_eq!((two.reads(), two.says().as_str()), (2, "new"));
    std::fs::remove_file(&two.file).expect("it is there");
    reloader.reload_changed().await;
    assert_eq!((two.reads(), two.says().as_str()), (3, "new"));
}

#[tokio::test]
async fn what_changed_between_the_start_and_the_first_look_is_read() {
    let folder = Folder::new("reload-start");
    let one = Word::new(folder.write("one", "old"));
    let read_at = SystemTime::now();
    sleep(2 * FILE_CLOCK_LAG).await;
    folder.write("one", "new");
    let Reading { reloader, .. } = reading(&[&one], read_at);
    reloader.reload_changed().await;
    assert_eq!(one.says(), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_by_itself_as_kubernetes_makes_it_too() {
    let folder = Folder::new("reload-watch");
    let secret = |name: &str, text: &str| {
        std::fs::create_dir(folder.0.join(name)).expect("a folder can be made");
        folder.write(&format!("{name}/word"), text);
    };
    secret("..1", "old");
    symlink("..1", folder.0.join("..data")).expect("a link can be made");
    symlink("..data/word", folder.0.join("word")).expect("a link can be made");
    let swapped = Word::new(folder.0.join("word"));
    let plain = Word::new(folder.write("plain", "old"));
    let Reading { reloader, .. } = reading(&[&swapped, &plain], later());
    let running = tokio::spawn(Arc::clone(&reloader).run(false));
    // A look by itself is half a minute away.
    until(|| reloader.turn.try_lock().is_ok_and(|turn| turn.watch.is_watching())).await;
    for round in 2..5 {
        let (name, before) = (format!("..{round}"), format!("..{}", round - 1));
        secret(&name, &name);
        symlink(&name, folder.0.join("..data_tmp")).expect("a link can be made");
        std::fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).expect("it moves");
        std::fs::remove_dir_all(folder.0.join(before)).expect("it is there");
        until(|| swapped.says() == name).await;
    }
    folder.write("plain", "new");
    until(|| plain.says() == "new").await;
    let reads = plain.reads();
    sleep(2 * QUIET).await;
    assert_eq!(plain.reads(), reads, "its own reading is no change");
    running.abort();
}

#[tokio::test]
async fn an_emptied_file_takes_nothing_from_anybody() {
    let folder = Folder::new("reload-emptied");
    let one = Word::new(folder.write("one", "old"));
    let Reading { reloader, changes } = reading(&[&one], later());
    folder.write("one", "");
    for _ in 0..2 {
        let report = reloader.reload(By::Signal).await;
        assert_eq!(report.outcome, Outcome::Failed);
        assert!(report.parts[0].faults[0].contains("is empty and was not"), "{report:?}");
    }
    assert_eq!((one.says().as_str(), one.reads()), ("old", 0));
    assert_eq!(changes.load(Ordering::Acquire), 0);
    folder.write("one", "#");
    assert_eq!(reloader.reload(By::Signal).await.outcome, Outcome::Read);
    assert_eq!(one.says(), "#");
}

/// A part that is at fault itself.
struct Panics;

impl Reload for Panics {
    fn place(&self) -> &str {
        "panics"
    }

    fn files(&self) -> Vec<PathBuf> {
        vec!["/dev/null".into()]
    }

    fn reload(&self) -> Result<(), Faults> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_part_that_panics_is_faulty() {
    let audit = Arc::new(Audit::off());
    let parts: Vec<Arc<dyn Reload>> = vec![Arc::new(Panics)];
    let reloader = Reloader::new(parts, later(), Handle::current(), audit, || {});
    assert_eq!(reloader.reload(By::Signal).await.outcome, Outcome::Failed);
    assert_eq!(reloader.faulty().collect::<Vec<_>>(), ["panics"]);
}
