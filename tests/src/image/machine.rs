//! What a container engine does, done with Linux' namespaces: a network with names of its own, and a
//! program in a root file system that it cannot write, as a user who can do nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::dockerfile::USER;
use super::root::Root;
use crate::process::Process;
use crate::tools::Folder;
use crate::wait;

/// What is allowed here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Privilege {
    /// Everything, as root; programs then run as the image's user.
    Root,
    /// Namespaces of a user namespace; programs run as its root, who is nobody outside of it.
    UserNamespace,
}

fn privilege() -> Privilege {
    static FOUND: OnceLock<Privilege> = OnceLock::new();
    let allowed = |privilege| {
        let mut unshare = command(privilege, &["--mount", "--net"]);
        unshare
            .args(["mount", "--bind", "/etc", "/etc"])
            .output()
            .is_ok_and(|done| done.status.success())
    };
    *FOUND.get_or_init(|| {
        [Privilege::Root, Privilege::UserNamespace].into_iter().find(|&one| allowed(one)).expect(
            "the image's tests need mount and network namespaces: run them as root, in a container \
             with --privileged, or where users may make namespaces (sysctl user.max_user_namespaces, \
             kernel.apparmor_restrict_unprivileged_userns=0)",
        )
    })
}

/// Can files be given to the image's user?
pub fn is_root() -> bool {
    privilege() == Privilege::Root
}

/// Starts a program in new namespaces, such as `--mount`.
pub fn unshare(namespaces: &[&str]) -> Command {
    command(privilege(), namespaces)
}

fn command(privilege: Privilege, namespaces: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    if privilege == Privilege::UserNamespace {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(namespaces);
    unshare
}

/// A network with loopback only, where every service has its name and every port is free.
pub struct Machine {
    folder: Folder,
    holder: Process,
}

impl Machine {
    pub fn start(names: &[String]) -> Machine {
        let folder = Folder::new("machine");
        let hosts = folder.join("hosts");
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = names.join(" ");
        std::fs::write(&hosts, format!("127.0.0.1 localhost {names} {}\n", own.trim()))
            .expect("the test's folder can be written");
        let mut command = unshare(&["--mount", "--net"]);
        const SCRIPT: &str = r#"
            set -eu
            PATH=$PATH:/usr/sbin:/sbin
            ip link set lo up
            mount --bind "$1" /etc/hosts
            echo up
            exec sleep 86400
        "#;
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(&hosts);
        let mut holder = Process::start("machine", command, &folder);
        holder.until("the network of the machine", wait::SOON, || {
            (holder_says(&folder) == "up\n").then_some(())
        });
        Machine { folder, holder }
    }

    /// The same command, on this machine.
    pub fn enter(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["--target", &self.holder.id().to_string(), "--mount", "--net"]);
        if !is_root() {
            entered.args(["--user", "--preserve-credentials"]);
        }
        entered.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            // It stays the same folder: the machine has the same files.
            entered.current_dir(folder);
        }
        entered
    }

    /// What a page of a service answers; nothing where it answers no success.
    pub fn get(&self, url: &str) -> Option<String> {
        const SCRIPT: &str = "import sys, urllib.request\n\
            print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())";
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT, url]);
        let output = self.enter(&python).output().expect("python3 can be started");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The file with the names.
    pub fn hosts(&self) -> PathBuf {
        self.folder.join("hosts")
    }
}

fn holder_says(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("machine.out")).unwrap_or_default()
}

/// What a container is started with.
pub struct Container<'a> {
    pub root: &'a Root,
    /// Mounted at /etc/landfall/landfall.yaml, and cannot be written.
    pub config: &'a Path,
    /// Mounted at /var/lib/landfall.
    pub data: &'a Path,
    /// Mounted at /etc/hosts.
    pub hosts: &'a Path,
}

impl Container<'_> {
    /// Runs a program of the root, such as `/usr/local/bin/landfall`, with nothing else in its
    /// environment. The process is the program itself, so that signals reach it.
    pub fn command(&self, program: &str, environment: &[(&str, &str)]) -> Command {
        const SCRIPT: &str = r#"
            set -eu
            root=$1 config=$2 data=$3 hosts=$4
            shift 4
            mount --bind "$root" "$root"
            for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
            mount --bind "$hosts" "$root/etc/hosts"
            mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
            mount --bind "$config" "$root/etc/landfall/landfall.yaml"
            mount --bind "$data" "$root/var/lib/landfall"
            for place in "$root/etc/landfall/landfall.yaml" "$root"; do
                mount -o remount,bind,ro "$place"
            done
            exec env --ignore-environment PATH="$PATH" "$@"
        "#;
        let mut command = unshare(&["--mount"]);
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(self.root.folder());
        command.args([self.config, self.data, self.hosts]);
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.args(["setpriv", "--no-new-privs", "chroot"]);
        if is_root() {
            let [uid, gid] = [0, 1].map(|part| USER.split(':').nth(part)?.parse().ok());
            std::os::unix::fs::chown(self.data, uid, gid).expect("root gives files away");
            command.arg(format!("--userspec={USER}"));
        }
        command.arg(self.root.folder()).arg(program);
        command
    }
}
