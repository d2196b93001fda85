//! The terminal that a run shows itself on: taken, drawn on, and given back as it was, however the run ends.
//!
//! Its mode is not raw: Ctrl-C, Ctrl-Z and Ctrl-\ stay signals. Keys come at once and are not shown, and a read
//! never waits. What was taken is kept in one place of the process, so that a panic, wherever it is, can give
//! it back.

use std::io::{self, IsTerminal as _, Stdout};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr,
};

use super::row::Row;

/// The other screen (xterm's private mode 1049), without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// What is between them appears at once, where a terminal knows of it (private mode 2026).
const FRAME_BEGINS: &str = "\x1b[?2026h\x1b[H";
const FRAME_ENDS: &str = "\x1b[J\x1b[?2026l";
/// Columns and rows of a terminal that does not say how large it is.
const SIZE: (usize, usize) = (80, 24);
/// What one read takes, in bytes.
const READ_BYTES: usize = 64;

/// The settings of the terminal from before it was taken, while it is.
static TAKEN: Mutex<Option<Termios>> = Mutex::new(None);

fn taken() -> MutexGuard<'static, Option<Termios>> {
    // It may be a panic that asks.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module. Whoever drops it gives the terminal back.
pub struct Terminal {
    out: Stdout,
    colours: bool,
    /// Of the last frame: another size begins on an empty screen.
    drawn: (usize, usize),
}

impl Terminal {
    /// Standard output, if it is a terminal that can show more than lines, and this process is in front there.
    pub fn take() -> io::Result<Option<Terminal>> {
        let out = io::stdout();
        if !out.is_terminal() || !is_capable() || !is_in_front(out.as_fd()) {
            return Ok(None);
        }
        give_back_at_a_panic();
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut terminal = Terminal { out, colours, drawn: (0, 0) };
        terminal.enter()?;
        Ok(Some(terminal))
    }

    /// Takes it, or what a shell did to it meanwhile.
    fn enter(&mut self) -> io::Result<()> {
        let mut taken = taken();
        let before = match taken.take() {
            Some(before) => before,
            None => tcgetattr(&self.out)?,
        };
        let mut ours = before.clone();
        ours.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // Ctrl-S would hold this process's signals with its output.
        ours.input_modes.remove(InputModes::IXON);
        ours.special_codes[SpecialCodeIndex::VMIN] = 0;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        *taken = Some(before);
        tcsetattr(&self.out, OptionalActions::Now, &ours)?;
        self.drawn = (0, 0);
        write(self.out.as_fd(), ENTER)
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        size_of(self.out.as_fd())
    }

    /// Draws the rows over those that are there. Nothing is drawn while another process is in front.
    pub fn draw(&mut self, rows: &[Row]) -> io::Result<()> {
        let is_ours = taken().is_some();
        if !is_ours {
            if !is_in_front(self.out.as_fd()) {
                return Ok(());
            }
            self.enter()?;
        }
        let size = self.size();
        let mut frame = String::from(FRAME_BEGINS);
        if size != self.drawn {
            frame.push_str("\x1b[2J");
            self.drawn = size;
        }
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                frame.push_str("\r\n");
            }
            row.paint(self.colours, &mut frame);
            frame.push_str("\x1b[K");
        }
        frame.push_str(FRAME_ENDS);
        write(self.out.as_fd(), &frame)
    }

    /// Gives it back and stops this process, as Ctrl-Z is expected to; returns when it goes on.
    pub fn stop(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::STOP)?;
        self.go_on()
    }

    /// The process goes on after it was stopped, by whatever signal: in front, the terminal is taken anew.
    pub fn go_on(&mut self) -> io::Result<()> {
        if is_in_front(self.out.as_fd()) { self.enter() } else { Ok(()) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// As it was before it was taken; nothing where it is not.
pub fn give_back() {
    let Some(before) = taken().take() else { return };
    let out = io::stdout();
    // A terminal that is gone needs nothing.
    let _ = write(out.as_fd(), LEAVE);
    let _ = tcsetattr(&out, OptionalActions::Now, &before);
}

/// Whatever a panic says is said on the screen that stays.
fn give_back_at_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
    });
}

/// How wide a line of standard error is, if it is a terminal on which a line can change.
pub fn line_width() -> Option<usize> {
    let out = io::stderr();
    (out.is_terminal() && is_capable()).then(|| size_of(out.as_fd()).0)
}

/// Whether a terminal can do more than print: it says what it is.
fn is_capable() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    !term.is_empty() && term != "dumb"
}

/// Columns and rows. The last column stays empty: what ends there wraps in some terminals.
fn size_of(terminal: BorrowedFd<'_>) -> (usize, usize) {
    let (width, height) = match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => SIZE,
    };
    (width - 1, height)
}

/// This process's group is the one that the terminal listens to: whoever is not and touches it is stopped.
fn is_in_front(terminal: BorrowedFd<'_>) -> bool {
    tcgetpgrp(terminal).is_ok_and(|front| front == getpgrp())
}

/// All of it, past what Rust keeps of a line.
fn write(out: BorrowedFd<'_>, text: &str) -> io::Result<()> {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match rustix::io::write(out, left) {
            Ok(written) => left = &left[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What was pressed; empty when that is all for now, or somebody else's. Never waits.
pub fn read_keys() -> io::Result<Vec<char>> {
    let input = io::stdin();
    let mut bytes = [0; READ_BYTES];
    if taken().is_none() || !is_in_front(input.as_fd()) {
        return Ok(Vec::new());
    }
    // It may be another terminal than the one that was taken, or a shell's again.
    if tcgetattr(&input)?.special_codes[SpecialCodeIndex::VMIN] != 0 {
        return Ok(Vec::new());
    }
    let read = rustix::io::read(&input, &mut bytes)?;
    Ok(keys(&bytes[..read]))
}

/// The letters that were pressed. Arrows and their like begin with ESC, and their letters are none.
fn keys(bytes: &[u8]) -> Vec<char> {
    let escape = bytes.iter().position(|byte| *byte == 0x1b).unwrap_or(bytes.len());
    let letters = bytes[..escape].iter().filter(|byte| byte.is_ascii_alphabetic());
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says to the child of the test below that it is the child.
    const CHILD: &str = "DEVICE_SIM_TEST_PANICS";

    /// In a process of its own, because a terminal is the process's: this test once more, which takes the
    /// terminal and panics in another thread.
    #[test]
    fn a_panic_gives_the_terminal_back_and_is_read() {
        use std::io::Read as _;
        use std::process::Command;

        use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

        if std::env::var_os(CHILD).is_some() {
            let terminal = Terminal::take().unwrap().expect("it runs on a terminal");
            let panics = std::thread::spawn(|| panic!("a device fell over"));
            assert!(panics.join().is_err());
            // The end of the process is no end of this.
            std::mem::forget(terminal);
            return;
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let hand = openpt(flags).unwrap();
        grantpt(&hand).unwrap();
        unlockpt(&hand).unwrap();
        let end = ioctl_tiocgptpeer(&hand, flags).unwrap();
        let before = format!("{:?}", tcgetattr(&end).unwrap());
        let name = "screen::terminal::tests::a_panic_gives_the_terminal_back_and_is_read";
        let [input, output, errors] = [(); 3].map(|()| end.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").env("TERM", "xterm");
        command.stdin(input).stdout(output).stderr(errors);
        assert!(command.status().unwrap().success());
        drop(command);
        assert_eq!(format!("{:?}", tcgetattr(&end).unwrap()), before);
        drop(end);
        // What nobody has read yet is there until its end, which is an error.
        let mut said = Vec::new();
        let _ = std::fs::File::from(hand).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let (taken, left) = said.split_once(LEAVE).unwrap_or_else(|| panic!("not left: {said}"));
        assert!(taken.contains(ENTER) && left.contains("a device fell over"), "{said}");
    }

    #[test]
    fn an_arrow_is_no_letter() {
        assert_eq!(keys(b"sF\r\n\x03 c"), ['s', 'f', 'c']);
        assert!(keys(b"\x1b[C").is_empty());
        assert_eq!(keys(b"q\x1bOFs"), ['q']);
    }
}
