//! Where things are: the repository, what `tests/tools/setup.sh` installed, the built programs, and a
//! folder for each test.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// A file or folder that the setup made, such as `bin/versitygw`.
pub fn tool(name: &str) -> PathBuf {
    let tools = match std::env::var_os("LANDFALL_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => repository().join(".tools"),
    };
    let path = tools.join(name);
    assert!(path.exists(), "{} is missing: run tests/tools/setup.sh test", path.display());
    path
}

/// A built program of this workspace, such as `landfall`, from the tree as it is now and with the faults
/// that tests may ask for.
pub fn program(name: &str) -> PathBuf {
    static KEPT: OnceLock<PathBuf> = OnceLock::new();
    let path = KEPT.get_or_init(|| {
        // Cargo builds no programs of other packages for a test; it is quick when nothing changed.
        build(&["--workspace", "--bins"]);
        keep("with-faults")
    });
    let path = path.join(name);
    assert!(path.exists(), "{} is not there after a build", path.display());
    path
}

/// `landfall` as its users build it: of its package alone, so that no fault can be asked for.
pub fn without_faults() -> PathBuf {
    static KEPT: OnceLock<PathBuf> = OnceLock::new();
    let path = KEPT.get_or_init(|| {
        // First, so that no other test finds this one there.
        program("landfall");
        build(&["--package", "gateway", "--bin", "landfall"]);
        let kept = keep("without-faults");
        // Cargo keeps both builds of our crates, and one program for both.
        build(&["--workspace", "--bins"]);
        kept
    });
    path.join("landfall")
}

/// The broker, which Debian puts where only root looks.
pub fn mosquitto() -> PathBuf {
    const PLACES: [&str; 3] =
        ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("mosquitto is missing: run tests/tools/setup.sh test")
}

/// A program as its users get it: a release build of its package alone.
pub fn released(package: &str, name: &str) -> PathBuf {
    cargo_build(&["--release", "--package", package, "--bin", name]);
    let profile = profile_folder();
    let path = profile.parent().expect("the profile lies in the target folder").join("release");
    path.join(name)
}

/// Builds in the profile of the tests.
fn build(arguments: &[&str]) {
    let profile: &[&str] = if profile_folder().ends_with("release") { &["--release"] } else { &[] };
    cargo_build(&[arguments, profile].concat());
}

fn cargo_build(arguments: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).args(arguments).current_dir(repository());
    let built = cargo.status().expect("cargo can be started");
    assert!(built.success(), "cargo build {} failed", arguments.join(" "));
}

/// The programs that were just built under names that the next build leaves alone.
fn keep(name: &str) -> PathBuf {
    let kept = run_folder().join(name);
    std::fs::create_dir_all(&kept).expect("the target folder can be written");
    for entry in std::fs::read_dir(profile_folder()).expect("it was built into").flatten() {
        let path = entry.path();
        if path.is_file() && path.extension().is_none() {
            let link = std::fs::hard_link(&path, kept.join(entry.file_name()));
            link.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
    kept
}

/// Such as `target/debug`: test programs lie in its `deps`.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its path");
    let deps = own.parent().expect("a program lies in a folder");
    match deps.ends_with("deps") {
        true => deps.parent().expect("deps lies in the profile's folder").to_owned(),
        false => deps.to_owned(),
    }
}

/// A folder of its own for a test or a server. It stays behind when the test fails.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = run_folder().join(format!("{number:03}-{name}"));
        std::fs::create_dir_all(&path).expect("the target folder can be written");
        Folder(path)
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What is left over goes with the next run.
            let _ = std::fs::remove_dir_all(&self.0);
            let _ = self.0.parent().map(std::fs::remove_dir);
        }
    }
}

/// The folder of this process, after those of processes that are gone were swept away.
pub(crate) fn run_folder() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let target = profile_folder();
        let all = target.parent().expect("the profile lies in the target folder").join("tmp/tests");
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let alive = Path::new("/proc").join(&name).exists();
            if !alive {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        all.join(std::process::id().to_string())
    })
}
