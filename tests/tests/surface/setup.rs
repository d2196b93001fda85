//! `tests/tools/setup.sh`, the first thing that `make dev` runs: whoever waits for it is told what it does, how
//! much, and how long it takes. On a machine that is made up: its commands are stand-ins.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use tests::process::Process;
use tests::tools::{Folder, repository};
use tests::wait::START;

/// What setup.sh itself calls, and what it asks for at its first level but Perl.
const COMMANDS: [&str; 14] = [
    "bash",
    "dirname",
    "ls",
    "mkdir",
    "flock",
    "id",
    "awk",
    "tail",
    "sleep",
    "cargo",
    "cc",
    "c++",
    "make",
    "pkg-config",
];

fn machine(folder: &Path, apt_get: &str) -> Command {
    let programs = folder.join("bin");
    std::fs::create_dir(&programs).expect("the test's folder can be written");
    for name in COMMANDS {
        let found = std::env::split_paths(&std::env::var_os("PATH").expect("there is a path"))
            .map(|folder| folder.join(name))
            .find(|path| path.exists());
        symlink(found.unwrap_or_else(|| panic!("{name} is not there")), programs.join(name))
            .expect("the test's folder can be written");
    }
    // Nothing of the machine is changed: whoever runs this may be root.
    for (name, script) in [
        ("apt-get", apt_get),
        ("sudo", "while [ $# -gt 0 ] && [[ $1 = -* ]]; do shift; done; \"$@\""),
        ("env", "shift; \"$@\""),
        ("tee", ":"),
        ("chmod", ":"),
        ("rm", ":"),
        ("true", ":"),
    ] {
        let path = programs.join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("it can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("it is ours");
    }
    let mut command = Command::new("/bin/bash");
    command.arg(repository().join("tests/tools/setup.sh")).arg("build");
    command.env("PATH", &programs).env("LANDFALL_TOOLS", folder.join("tools"));
    command
}

#[test]
fn whoever_waits_is_told_what_for_and_how_long() {
    let folder = Folder::new("setup");
    let slow = "[ \"$1\" = update ] || sleep 6";
    let mut setup = Process::start("setup", machine(&folder, slow), &folder);
    let code = setup.wait(START).code();
    let said = setup.log();
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let [what, beat, took] = lines[..] else { panic!("three lines were expected:\n{said}") };
    assert_eq!(what, "setup: apt-get install perl (Debian's packages) ...");
    assert!(beat.starts_with("setup: apt-get: ") && beat.ends_with(" MB came over the network"));
    assert!(took.starts_with("setup: apt-get took "), "{said}");
}
