//! A clock that jumps, for a gateway alone: its time of day is the machine's and an offset, while the monotonic
//! clock goes on. It is a small library in C (`tests/tools/clock.c`), which is preloaded.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::tools::{Folder, repository, run_folder};

/// Names the file with the offset.
const OFFSET: &str = "LANDFALL_TEST_CLOCK";

/// A clock; it is right at first, and again when it was set right.
pub struct Clock {
    path: PathBuf,
    file: File,
    offset_ns: AtomicI64,
    /// The file's.
    _folder: Folder,
}

impl Clock {
    #[track_caller]
    pub fn start() -> Clock {
        let folder = Folder::new("clock");
        let path = folder.join("offset");
        let file = File::create_new(&path).expect("the test's folder can be written");
        let clock = Clock { path, file, offset_ns: AtomicI64::new(0), _folder: folder };
        clock.write(0);
        clock
    }

    /// What a process has in its environment that goes by it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", library()), (OFFSET, self.path.to_string_lossy().into_owned())]
    }

    /// It is suddenly so much later.
    pub fn forward(&self, by: Duration) {
        self.jump(nanoseconds(by));
    }

    /// It is suddenly so much earlier.
    pub fn back(&self, by: Duration) {
        self.jump(-nanoseconds(by));
    }

    /// It shows the machine's time of day again.
    pub fn right(&self) {
        self.jump(-self.offset_ns.load(Ordering::Acquire));
    }

    /// By how much it is wrong, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ns.load(Ordering::Acquire) / 1_000_000
    }

    fn jump(&self, by_ns: i64) {
        self.write(self.offset_ns.fetch_add(by_ns, Ordering::AcqRel) + by_ns);
    }

    fn write(&self, offset_ns: i64) {
        let written = self.file.write_all_at(&offset_ns.to_ne_bytes(), 0);
        written.expect("the test's folder can be written");
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).expect("a clock is wrong by less than centuries")
}

/// The library, built once for this program.
#[track_caller]
fn library() -> String {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let (source, library) =
            (repository().join("tests/tools/clock.c"), run_folder().join("clock.so"));
        std::fs::create_dir_all(run_folder()).expect("the target folder can be written");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        let said = compiler.arg(&library).arg(&source).output().expect("there is a C compiler");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        library
    });
    built.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    /// Between a process's look at its clock and ours.
    const CLOSE_MS: i64 = 30_000;

    /// By how much a process's time of day is wrong, in milliseconds.
    fn wrong_by(clock: &Clock) -> i64 {
        let said = Command::new("date").arg("+%s").envs(clock.environment()).output();
        let said = String::from_utf8(said.expect("date can be started").stdout);
        let theirs: i64 = said.expect("digits").trim().parse().expect("a number");
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        theirs * 1000 - ours.as_millis() as i64
    }

    #[test]
    fn it_jumps_both_ways_and_is_right_again() {
        let clock = Clock::start();
        let hour_ms = HOUR.as_millis() as i64;
        let close_to = |expected: i64| (wrong_by(&clock) - expected).abs() < CLOSE_MS;
        assert!(close_to(0));
        clock.forward(2 * HOUR);
        assert!(close_to(2 * hour_ms));
        clock.back(26 * HOUR);
        assert_eq!(clock.offset_ms(), -24 * hour_ms);
        assert!(close_to(-24 * hour_ms));
        clock.right();
        assert!(close_to(0));
    }
}
