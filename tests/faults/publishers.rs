//! The fleet as a cell sees it: a process that publishes and keeps books, told what to do by lines.

use std::io::{PipeWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tests::process::Process;
use tests::wait;

use crate::setting::Setting;

/// How long the fleet waits for what is open when it was told to stop, and some more.
const END: Duration = Duration::from_secs(90);
/// What stands in its output when all of its devices are connected.
const READY: &str = "ready";

/// A fleet; it ends with this.
pub struct Publishers {
    gateway: SocketAddr,
    setting: Setting,
    seed: u64,
    folder: PathBuf,
    running: Mutex<Running>,
}

struct Running {
    process: Process,
    orders: PipeWriter,
}

impl Publishers {
    /// All of its devices are connected when this returns.
    pub fn start(setting: &Setting, gateway: SocketAddr, seed: u64, folder: &Path) -> Publishers {
        let running = Mutex::new(launch(setting, gateway, seed, folder));
        let folder = folder.to_owned();
        let fleet = Publishers { gateway, setting: setting.clone(), seed, folder, running };
        fleet.until_ready();
        fleet
    }

    pub fn books(&self) -> PathBuf {
        books(&self.folder)
    }

    /// No new messages until [`Publishers::resume`].
    pub fn pause(&self) {
        self.order("pause");
    }

    pub fn resume(&self) {
        self.order("resume");
    }

    /// SIGKILL, and a new process after that long, which goes on with the same books.
    pub fn kill(&self, gone: Duration) {
        let mut running = self.running();
        running.process.kill();
        std::thread::sleep(gone);
        *running = launch(&self.setting, self.gateway, self.seed, &self.folder);
    }

    /// Tells it to send nothing new, and waits until everything is answered or it has waited long enough.
    pub fn stop(&self) {
        self.order("stop");
        let code = self.running().process.wait(END).code();
        assert_eq!(code, Some(0), "the fleet: {}", self.running().process.tail());
    }

    fn order(&self, line: &str) {
        let mut running = self.running();
        let sent = writeln!(running.orders, "{line}");
        sent.unwrap_or_else(|error| panic!("the fleet takes no order: {error}"));
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn until_ready(&self) {
        let mut running = self.running();
        wait::until_true("the fleet is connected", wait::START, || {
            let ended = running.process.ended();
            assert!(ended.is_none(), "the fleet has ended: {}", running.process.tail());
            running.process.output().lines().any(|line| line == READY)
        });
    }
}

fn books(folder: &Path) -> PathBuf {
    folder.join("books")
}

fn launch(setting: &Setting, gateway: SocketAddr, seed: u64, folder: &Path) -> Running {
    let own = std::env::current_exe().expect("a program knows its path");
    let (orders_of_fleet, orders) = std::io::pipe().expect("a pipe can be made");
    let mut command = Command::new(own);
    command
        .args(["fleet", "--gateway", &gateway.to_string()])
        .arg("--books")
        .arg(books(folder))
        .args(["--seed", &seed.to_string(), "--devices", &setting.devices.to_string()])
        .args(["--rate", &setting.rate.to_string()])
        .args(setting.large.then_some("--large"))
        .args(setting.synced.then_some("--sync"));
    let process = Process::start_with_input("fleet", command, orders_of_fleet, folder);
    Running { process, orders }
}
