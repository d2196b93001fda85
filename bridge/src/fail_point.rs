//! The faults that tests ask for, in a build with `test-hooks`: each kind of thread and task asks at its turn
//! whether a test wants it to panic. In what users build nothing is asked.

#[cfg(feature = "test-hooks")]
mod asked {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    /// Names the folder with a file for each kind that is to fail.
    const FOLDER: &str = "LANDFALL_TEST_FAILS";

    /// Whether a kind is to fail now. It takes its file away, so that one fails, once; a folder of its name stays,
    /// and all of them fail for as long as it is there.
    pub fn fails(kind: &str) -> bool {
        static WANTED: OnceLock<Option<PathBuf>> = OnceLock::new();
        let wanted = WANTED.get_or_init(|| std::env::var_os(FOLDER).map(PathBuf::from));
        wanted.as_ref().is_some_and(|folder| {
            let wanted = folder.join(kind);
            std::fs::remove_file(&wanted).is_ok() || wanted.is_dir()
        })
    }

    /// Panics where a test wants a kind to.
    pub fn ask(kind: &str) {
        assert!(!fails(kind), "a test asked for it");
    }

    /// The same for the thread that asks, by its name.
    pub fn ask_thread() {
        if let Some(name) = std::thread::current().name() {
            ask(name);
        }
    }
}

#[cfg(not(feature = "test-hooks"))]
mod asked {
    #[inline(always)]
    pub fn fails(_kind: &str) -> bool {
        false
    }

    #[inline(always)]
    pub fn ask(_kind: &str) {}

    #[inline(always)]
    pub fn ask_thread() {}
}

pub use asked::{ask, ask_thread, fails};
