//! Panics that a test asks for, in a gateway that was built for tests: in which kind of thread or task, once or for
//! as long as the test wants. They are files in a folder, at which each kind looks at its turn.

use std::fs;
use std::io;

use crate::tools::Folder;

/// Where a gateway looks.
const FOLDER: &str = "LANDFALL_TEST_FAILS";

/// What is to fail. Kinds are names of threads (`lane-fast`, `edge`, `large`, `admin`, `local-plane`, `low-priority`,
/// `kafka-topics`, `audit`), and `upload`, `store-watch`, `listener` and `router`.
pub struct FailPoints(Folder);

impl FailPoints {
    /// Nothing fails.
    #[track_caller]
    pub fn start() -> FailPoints {
        FailPoints(Folder::new("fail-points"))
    }

    /// What a process has in its environment that looks there.
    pub fn environment(&self) -> (&'static str, String) {
        (FOLDER, self.0.to_string_lossy().into_owned())
    }

    /// The next of this kind that comes to its turn panics.
    #[track_caller]
    pub fn once(&self, kind: &str) {
        fs::write(self.0.join(kind), "").expect("the test's folder can be written");
    }

    /// Whether nobody of this kind has to panic any more.
    pub fn came(&self, kind: &str) -> bool {
        !self.0.join(kind).exists()
    }

    /// All of this kind panic from here on.
    #[track_caller]
    pub fn begin(&self, kind: &str) {
        fs::create_dir(self.0.join(kind)).expect("the test's folder can be written");
    }

    /// None of this kind panics any more.
    #[track_caller]
    pub fn end(&self, kind: &str) {
        let ended: io::Result<()> = fs::remove_dir(self.0.join(kind));
        ended.expect("it had begun");
    }
}
