//! A terminal that a test holds in its hands: a program runs on it as on a person's, keys are pressed, it is made
//! narrow and closed, and what is on its screen is read.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::process::Process;
use crate::wait::until;

/// See the module. Its kind is xterm's.
pub struct Terminal {
    /// What the program's keys come from and its screen goes to; none once it is closed.
    hand: Option<File>,
    /// The program's end, so that its settings can be read.
    end: OwnedFd,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    /// The last whole screen that a program had for itself (xterm's private mode 1049).
    last: String,
    /// It takes nothing any more.
    is_closed: bool,
}

impl Terminal {
    pub fn new(columns: u16, rows: u16) -> Terminal {
        let hand = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let hand = hand.expect("the machine has terminals");
        grantpt(&hand).expect("it is ours");
        unlockpt(&hand).expect("it is ours");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = ioctl_tiocgptpeer(&hand, flags).expect("it has another end");
        let parser = vt100::Parser::new(some(rows), some(columns), 0);
        let seen = Seen { parser, bytes: Vec::new(), last: String::new(), is_closed: false };
        let terminal = Terminal { hand: Some(hand.into()), end, seen: Arc::new(Mutex::new(seen)) };
        terminal.resize(columns, rows);
        let reads = terminal.hand().try_clone().expect("a file can be had twice");
        let seen = Arc::clone(&terminal.seen);
        thread::spawn(move || look(reads, &seen));
        terminal
    }

    /// Starts the program in front of it, as the leader of a session of which it is the terminal.
    #[track_caller]
    pub fn run(&self, name: &str, command: &Command, folder: &Path) -> Process {
        let end = || self.end.try_clone().expect("a file can be had twice");
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        session.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        session.stdin(end()).stdout(end()).stderr(end());
        Process::spawn(name, session, folder)
    }

    fn hand(&self) -> &File {
        self.hand.as_ref().expect("it is open")
    }

    pub fn press(&self, keys: &str) {
        self.hand().write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// The kernel tells the program.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.seen().parser.screen_mut().set_size(some(rows), some(columns));
        tcsetwinsize(self.hand(), size).expect("it takes a size");
    }

    /// How it reads and shows what is typed: modes and special characters.
    pub fn settings(&self) -> String {
        let settings: Termios = tcgetattr(&self.end).expect("it has settings");
        format!("{settings:?}")
    }

    /// What is on it now, row by row.
    pub fn screen(&self) -> String {
        self.seen().parser.screen().contents()
    }

    /// A program has the screen for itself now.
    pub fn is_taken(&self) -> bool {
        self.seen().parser.screen().alternate_screen()
    }

    pub fn hides_cursor(&self) -> bool {
        self.seen().parser.screen().hide_cursor()
    }

    /// The last whole screen that a program had for itself.
    pub fn last_screen(&self) -> String {
        self.seen().last.clone()
    }

    /// Everything that came, as it came.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.seen().bytes).into_owned()
    }

    /// Waits until the screen has something; panics with what it has at the deadline.
    #[track_caller]
    pub fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut has: impl FnMut(&str) -> Option<T>,
    ) -> T {
        struct Told<'t>(&'t Terminal);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    eprintln!("--- the screen\n{}", self.0.screen());
                }
            }
        }
        let _told = Told(self);
        until(what, deadline, || has(&self.screen()))
    }

    /// Its window is closed: whatever runs on it is told, and can neither read nor write it any more.
    /// The program has to write once more until then.
    pub fn close(&mut self) {
        self.seen().is_closed = true;
        self.hand = None;
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics under this lock")
    }
}

fn some(size: u16) -> NonZero<u16> {
    NonZero::new(size).expect("a terminal has a size")
}

/// Takes in what comes until there is nobody left who writes.
fn look(mut hand: File, seen: &Mutex<Seen>) {
    /// What a program leaves its own screen with.
    const LEAVE: &[u8] = b"\x1b[?1049l";
    let mut buffer = [0; 4096];
    loop {
        let Ok(read) = hand.read(&mut buffer) else { return };
        if read == 0 {
            return;
        }
        let mut seen = seen.lock().expect("nothing panics under this lock");
        if seen.is_closed {
            return;
        }
        let Seen { parser, bytes, last, .. } = &mut *seen;
        // Byte by byte, so that what was on it before it was left is known.
        for byte in &buffer[..read] {
            bytes.push(*byte);
            if bytes.ends_with(LEAVE) {
                *last = parser.screen().contents();
            }
            parser.process(&[*byte]);
        }
    }
}
