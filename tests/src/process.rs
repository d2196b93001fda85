//! Processes that a test starts: their output goes to files, signals are real ones, and none of them
//! outlives the test, not even when the test program itself is killed.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use crate::wait;

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 40;
/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// A running process, killed on drop.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it with its standard output appended to `NAME.out` in the folder, and its standard error
    /// to `NAME.log`.
    #[track_caller]
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Process {
        let (out, log) = files(name, folder);
        command.stdin(Stdio::null()).stdout(append(&out)).stderr(append(&log));
        Process::spawn(name, command, folder)
    }

    /// The same, with its standard input from a pipe.
    #[track_caller]
    pub fn start_with_input(
        name: &str,
        mut command: Command,
        input: PipeReader,
        folder: &Path,
    ) -> Process {
        let (out, log) = files(name, folder);
        command.stdin(input).stdout(append(&out)).stderr(append(&log));
        Process::spawn(name, command, folder)
    }

    /// Starts it with the input and output that the command says, such as those of a terminal.
    #[track_caller]
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Process {
        let (out, log) = files(name, folder);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}: {command:?}"));
        guard(&format!("+ {}", child.id()));
        Process { name: name.to_owned(), child, out, log, ended: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "{} has ended: it takes no signal", self.name);
        let id = Pid::from_child(&self.child);
        if let Err(error) = kill_process(id, signal) {
            panic!("{} does not take {signal:?}: {error}", self.name);
        }
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself in this moment.
            let _ = self.child.kill();
            self.wait(GONE);
        }
    }

    /// SIGTERM, and its exit code.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait(deadline).code()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, deadline, || self.ended())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
            if self.ended.is_some() {
                guard(&format!("- {}", self.child.id()));
            }
        }
        self.ended
    }

    /// Waits until `ready` returns something; panics at the deadline, or when the process ends.
    #[track_caller]
    pub fn until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> T {
        wait::until(what, deadline, || {
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before: {what}\n{}", self.name, self.tail());
            }
            ready()
        })
    }

    /// Its standard output.
    pub fn output(&self) -> String {
        read(&self.out)
    }

    /// Everything it wrote: standard output, then standard error.
    pub fn log(&self) -> String {
        self.output() + &read(&self.log)
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("--- {} ({})\n{tail}", self.name, self.log.display())
    }
}

/// Its standard output, and its standard error.
fn files(name: &str, folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")))
}

fn append(path: &Path) -> File {
    let file = File::options().create(true).append(true).open(path);
    file.expect("the test's folder can be written")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            guard(&format!("- {}", self.child.id()));
        }
    }
}

/// Tells the guard of a process that began (`+ ID`) or ended (`- ID`). The guard is a small shell that
/// reads this from a pipe: when the pipe closes, because this program ended however it did, it kills
/// what is still running. Servers that the tests share live in statics, which are never dropped.
fn guard(line: &str) {
    /// The shell, so that it has an owner, and its pipe.
    static GUARD: OnceLock<(Child, Mutex<PipeWriter>)> = OnceLock::new();
    const SCRIPT: &str = r#"
        trap '' HUP INT TERM
        ids=' '
        while read -r sign id; do
            case $sign in
                +) ids="$ids$id " ;;
                -) ids="${ids%% $id *} ${ids#* $id }" ;;
            esac
        done
        [ -z "${ids# }" ] || kill -KILL $ids 2>/dev/null
    "#;
    let guard = GUARD.get_or_init(|| {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(SCRIPT).stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
        (shell.spawn().expect("sh can be started"), Mutex::new(writer))
    });
    let mut pipe = guard.1.lock().expect("nothing panics under this lock");
    writeln!(pipe, "{line}").expect("the guard reads");
}
