//! Whoever sits at the terminal of a run, or sends it signals: what they want.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::screen::terminal;

/// SIGTSTP, which Ctrl-Z sends, and SIGCONT: Linux's numbers.
const SIGTSTP: i32 = 20;
const SIGCONT: i32 = 18;
/// Between two looks at the keyboard: no person notices.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The run is to come to its end.
    End(By),
    /// And at once.
    EndNow(By),
    StopOrGoOn,
    Flood,
    Cut,
    /// The screen has another size.
    Redraw,
    /// The process is to stop, and goes on.
    StopProcess,
    GoOnProcess,
}

/// Who ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its time was over.
    Time,
    /// All was acknowledged.
    Acknowledged,
    Key,
    Interrupt,
    Terminate,
    /// The terminal was closed.
    Hangup,
    /// SIGQUIT, or Ctrl-\.
    Quit,
}

/// See the module.
pub struct Operator {
    interrupt: Signal,
    terminate: Signal,
    on_terminal: Option<OnTerminal>,
}

/// What comes to a run that shows itself. Without a terminal, these signals do what they always do.
struct OnTerminal {
    hangup: Signal,
    quit: Signal,
    stop: Signal,
    go_on: Signal,
    window: Signal,
    keys: Option<Keys>,
}

/// The keyboard, and what was pressed and not yet heard: no more than one read brings.
struct Keys {
    look: Interval,
    pressed: VecDeque<char>,
}

impl Operator {
    pub fn new(has_screen: bool) -> io::Result<Operator> {
        let on_terminal = if has_screen { Some(OnTerminal::new()?) } else { None };
        Ok(Operator {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            on_terminal,
        })
    }

    /// Somebody can press keys.
    pub fn has_keys(&self) -> bool {
        self.on_terminal.as_ref().is_some_and(|on_terminal| on_terminal.keys.is_some())
    }

    /// The next wish. Cancel safe.
    pub async fn next(&mut self) -> Wish {
        let on_terminal = async {
            match &mut self.on_terminal {
                Some(on_terminal) => on_terminal.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End(By::Interrupt),
            _ = self.terminate.recv() => Wish::End(By::Terminate),
            wish = on_terminal => wish,
        }
    }
}

impl OnTerminal {
    fn new() -> io::Result<OnTerminal> {
        let keys = io::stdin().is_terminal().then(|| {
            let mut look = interval(LOOK_PAUSE);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Keys { look, pressed: VecDeque::new() }
        });
        Ok(OnTerminal {
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            stop: signal(SignalKind::from_raw(SIGTSTP))?,
            go_on: signal(SignalKind::from_raw(SIGCONT))?,
            window: signal(SignalKind::window_change())?,
            keys,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::End(By::Hangup),
            _ = self.quit.recv() => Wish::EndNow(By::Quit),
            _ = self.stop.recv() => Wish::StopProcess,
            _ = self.go_on.recv() => Wish::GoOnProcess,
            _ = self.window.recv() => Wish::Redraw,
            wish = next_key(&mut self.keys) => wish,
        }
    }
}

async fn next_key(keys: &mut Option<Keys>) -> Wish {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

impl Keys {
    /// The next key that means something. A terminal that cannot be read any more has none.
    async fn next(&mut self) -> Wish {
        loop {
            while let Some(key) = self.pressed.pop_front() {
                if let Some(wish) = meaning(key) {
                    return wish;
                }
            }
            self.look.tick().await;
            let Ok(pressed) = terminal::read_keys() else { break };
            self.pressed.extend(pressed);
        }
        std::future::pending().await
    }
}

fn meaning(key: char) -> Option<Wish> {
    match key {
        's' => Some(Wish::StopOrGoOn),
        'f' => Some(Wish::Flood),
        'c' => Some(Wish::Cut),
        'q' => Some(Wish::End(By::Key)),
        _ => None,
    }
}
