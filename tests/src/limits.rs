//! Limits of the system that a test puts a program under: descriptors of a process, and memory of a control group,
//! beyond which the kernel kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Puts itself under the limits, and then the program takes its place.
const BEGIN: &str = r#"
    [ -z "$DESCRIPTORS" ] || ulimit -n "$DESCRIPTORS" || exit 126
    [ -z "$GROUP" ] || echo $$ >"$GROUP/cgroup.procs" || exit 126
    unset DESCRIPTORS GROUP
    exec "$0" "$@"
"#;

/// What a program is started under.
#[derive(Clone, Default)]
pub struct Limits {
    descriptors: Option<u64>,
    group: Option<PathBuf>,
}

impl Limits {
    pub fn new() -> Limits {
        Limits::default()
    }

    /// So many descriptors, and it cannot raise that.
    pub fn descriptors(mut self, count: u64) -> Limits {
        self.descriptors = Some(count);
        self
    }

    /// In this group, which has to outlive it.
    pub fn group(mut self, group: &MemoryGroup) -> Limits {
        self.group = Some(group.folder.clone());
        self
    }

    /// The program, which is going to have the id of what is started here.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", BEGIN]).arg(program);
        let descriptors = self.descriptors.map_or_else(String::new, |count| count.to_string());
        command.env("DESCRIPTORS", descriptors);
        command.env("GROUP", self.group.as_deref().unwrap_or(Path::new("")));
        command
    }
}

/// A control group with a limit of memory; it goes with this, when its processes are gone.
pub struct MemoryGroup {
    folder: PathBuf,
    files: &'static Files,
}

/// What the files of a group are called.
struct Files {
    limit: &'static str,
    used: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill N`.
    events: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    peak: "memory.peak",
    events: "memory.events",
};

impl MemoryGroup {
    /// A group with so many bytes, or why this machine gives none.
    pub fn new(bytes: u64) -> Result<MemoryGroup, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (parent, files) = parent()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("landfall-tests-{}-{number}", std::process::id()));
        let told = |error| format!("no memory cgroup: {}: {error}", folder.display());
        fs::create_dir(&folder).map_err(told)?;
        let group = MemoryGroup { folder: folder.clone(), files };
        fs::write(folder.join(files.limit), bytes.to_string()).map_err(told)?;
        Ok(group)
    }

    /// From now on its processes have so many bytes together.
    #[track_caller]
    pub fn set(&self, bytes: u64) {
        let set = fs::write(self.folder.join(self.files.limit), bytes.to_string());
        set.unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()));
    }

    /// What its processes have now, in bytes; what the kernel keeps for them of files is part of it.
    #[track_caller]
    pub fn used(&self) -> u64 {
        self.number(self.files.used)
    }

    /// The most that its processes had at a time, in bytes.
    #[track_caller]
    pub fn peak(&self) -> u64 {
        self.number(self.files.peak)
    }

    #[track_caller]
    fn number(&self, file: &str) -> u64 {
        self.read(file).trim().parse().expect("the kernel says a number")
    }

    /// How many of its processes the kernel killed.
    #[track_caller]
    pub fn killed(&self) -> u64 {
        let events = self.read(self.files.events);
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).expect("the kernel counts them")
    }

    #[track_caller]
    fn read(&self, file: &str) -> String {
        let path = self.folder.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Who is in it still keeps it, and it is empty with the machine's next start.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where this process may have groups with a limit of memory.
fn parent() -> Result<(PathBuf, &'static Files), String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, place, kind, options, ..] = fields[..] else { continue };
        let of_memory = options.split(',').any(|option| option == "memory");
        let (files, selector) = match kind {
            "cgroup" if of_memory => (&VERSION_1, ":memory:"),
            "cgroup2" => (&VERSION_2, "0::"),
            _ => continue,
        };
        let path =
            own.lines().find_map(|line| line.split_once(selector)).map_or("", |(_, path)| path);
        // In a container a group's path may begin above what is to be seen; its root is ours then.
        let own = Path::new(place).join(path.trim_start_matches('/'));
        let folder = if own.is_dir() { own } else { PathBuf::from(place) };
        let gives = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
        if kind == "cgroup"
            || gives("cgroup.subtree_control").split_whitespace().any(|name| name == "memory")
        {
            return Ok((folder, files));
        }
    }
    Err("no memory cgroup: neither version 1 is mounted nor version 2 gives its children memory"
        .into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    use super::*;
    use crate::not_run;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_program_has_what_it_was_given() {
        let limits = Limits::new().descriptors(77);
        let said = limits
            .command(Path::new("/bin/sh"))
            .args(["-c", "ulimit -Hn; ulimit -n; echo \"$DESCRIPTORS$GROUP\""])
            .output()
            .expect("sh can be started");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "77\n77\n\n");
    }

    #[test]
    fn who_takes_more_memory_than_his_group_has_is_killed() {
        const KILLED: i32 = 9;
        let group = match MemoryGroup::new(32 * MIB) {
            Ok(group) => group,
            Err(why) => return not_run("the limit of a group's memory", &why),
        };
        let mut greedy = Limits::new().group(&group).command(Path::new("tail"));
        // It keeps what it reads until a line ends.
        let ended = greedy.arg("/dev/zero").stdout(Stdio::null()).status();
        assert_eq!(ended.expect("tail can be started").signal(), Some(KILLED));
        assert_eq!(group.killed(), 1);
        assert!(group.peak() <= 32 * MIB, "{} bytes", group.peak());
    }
}
