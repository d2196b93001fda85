//! A run while it lasts: the fleet talks, settles and ends, by its times and by whoever operates it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::lines::Lines;
use super::operator::{By, Operator, Wish};
use crate::counters::Counters;
use crate::hostile::Verdict;
use crate::orders::{FLOOD, FLOOD_TIMES, Orders, Pace, Stage};
use crate::screen::{Phase, Screen};

/// Between two looks at the sums.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How long devices may take to say goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(5);

/// What became of a task: hostile devices have a verdict.
pub type Fleet = JoinSet<Option<Verdict>>;

/// Where a run shows what it is at.
pub enum Face {
    Screen(Box<Screen>),
    /// Lines to standard output, or to standard error where the other is for a document.
    Lines {
        lines: Lines,
        to_stderr: bool,
    },
    /// The terminal is gone.
    Nowhere,
}

/// How long a part of the run took, and who ended it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub time: Duration,
    pub ended_by: By,
}

/// Faults by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    pub stops: u64,
    pub floods: u64,
    pub cuts: u64,
}

/// What a run was.
pub struct Ended {
    pub talk: Part,
    pub settle: Part,
    pub faults: Faults,
    pub verdicts: Vec<Verdict>,
}

/// See the module.
pub struct Conduct {
    counters: Arc<Counters>,
    orders: watch::Sender<Orders>,
    fleet: Fleet,
    operator: Operator,
    face: Face,
    verdicts: Vec<Verdict>,
    faults: Faults,
    flood_end: Option<Instant>,
}

impl Conduct {
    pub fn new(
        counters: Arc<Counters>,
        orders: watch::Sender<Orders>,
        fleet: Fleet,
        operator: Operator,
        face: Face,
    ) -> Conduct {
        Conduct {
            counters,
            orders,
            fleet,
            operator,
            face,
            verdicts: Vec::new(),
            faults: Faults::default(),
            flood_end: None,
        }
    }

    /// The fleet talks for so long, or until it is ended where there is no time, then waits for what is
    /// outstanding at most so long, and says goodbye.
    pub async fn lead(
        mut self,
        talk: Option<Duration>,
        settle: Duration,
    ) -> anyhow::Result<(Ended, Face)> {
        let talk = self.part(Stage::Talking, talk).await?;
        let settle = match talk.ended_by {
            By::Quit => Part { time: Duration::ZERO, ended_by: By::Quit },
            _ => self.part(Stage::Settling, Some(settle)).await?,
        };
        self.enter(Stage::Ended);
        let goodbye = async {
            while let Some(ended) = self.fleet.join_next().await {
                self.verdicts.extend(ended.ok().flatten());
            }
        };
        if timeout(GOODBYE_WAIT, goodbye).await.is_err() {
            self.fleet.shutdown().await;
        }
        let ended = Ended { talk, settle, faults: self.faults, verdicts: self.verdicts };
        Ok((ended, self.face))
    }

    /// Until its time is over, somebody ends it, or every task of the fleet has ended.
    async fn part(&mut self, stage: Stage, limit: Option<Duration>) -> anyhow::Result<Part> {
        self.enter(stage);
        let begin = Instant::now();
        let end = limit.and_then(|limit| begin.checked_add(limit));
        let mut look = interval(LOOK_PAUSE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended_by = loop {
            tokio::select! {
                wish = self.operator.next() => {
                    if let Some(by) = self.fulfil(wish, stage)? {
                        break by;
                    }
                }
                ended = self.fleet.join_next() => {
                    match ended {
                        Some(ended) => self.take(ended)?,
                        None => break By::Acknowledged,
                    }
                    continue;
                }
                () = until(end) => break By::Time,
                () = until(self.flood_end) => self.set_pace(Pace::Usual),
                _ = look.tick() => {}
            }
            self.show(self.phase(stage, end));
        };
        Ok(Part { time: begin.elapsed(), ended_by })
    }

    /// Who ends this part of the run with it, if it does.
    fn fulfil(&mut self, wish: Wish, stage: Stage) -> anyhow::Result<Option<By>> {
        let talks = stage == Stage::Talking;
        let pace = self.orders.borrow().pace;
        match wish {
            Wish::End(by) | Wish::EndNow(by) => return Ok(Some(by)),
            Wish::StopOrGoOn if talks && pace == Pace::Stopped => {
                self.counters.note("the fleet goes on", None);
                self.set_pace(Pace::Usual);
            }
            Wish::StopOrGoOn if talks => {
                self.faults.stops += 1;
                self.counters.note("the fleet was stopped", None);
                self.set_pace(Pace::Stopped);
            }
            Wish::Flood if talks => {
                self.faults.floods += 1;
                let seconds = FLOOD.as_secs();
                let text = format!("flood: {FLOOD_TIMES} times the rate for {seconds} s");
                self.counters.note(&text, None);
                self.set_pace(Pace::Flood);
                self.flood_end = Some(Instant::now() + FLOOD);
            }
            Wish::Cut => {
                self.faults.cuts += 1;
                let connections = self.counters.total().connected.max(0);
                self.counters.note(&format!("{connections} connections were cut"), None);
                self.orders.send_modify(|orders| orders.cuts += 1);
            }
            Wish::StopOrGoOn | Wish::Flood | Wish::Redraw => {}
            Wish::StopProcess | Wish::GoOnProcess => {
                if let Face::Screen(screen) = &mut self.face {
                    let terminal = screen.terminal();
                    let went_on = match wish {
                        Wish::StopProcess => terminal.stop(),
                        _ => terminal.go_on(),
                    };
                    went_on.context("the terminal cannot be taken anew")?;
                }
            }
        }
        Ok(None)
    }

    fn enter(&mut self, stage: Stage) {
        self.flood_end = None;
        self.orders.send_modify(|orders| orders.enter(stage));
    }

    fn set_pace(&mut self, pace: Pace) {
        self.flood_end = None;
        self.orders.send_modify(|orders| orders.pace = pace);
    }

    fn take(&mut self, ended: Result<Option<Verdict>, JoinError>) -> anyhow::Result<()> {
        self.verdicts.extend(ended.context("a device had a panic")?);
        Ok(())
    }

    fn phase(&self, stage: Stage, end: Option<Instant>) -> Phase {
        let now = Instant::now();
        let left = end.map(|end| end.saturating_duration_since(now));
        match (stage, self.orders.borrow().pace, self.flood_end) {
            (Stage::Talking, Pace::Stopped, _) => Phase::Stopped { left },
            (Stage::Talking, Pace::Flood, Some(flood_end)) => {
                Phase::Flood { flood_left: flood_end.saturating_duration_since(now), left }
            }
            (Stage::Talking, ..) => Phase::Talking { left },
            (Stage::Settling, ..) => Phase::Settling { left: left.unwrap_or_default() },
            (Stage::Ended, ..) => Phase::Ended,
        }
    }

    fn show(&mut self, phase: Phase) {
        self.face.show(&self.counters, phase);
    }
}

impl Face {
    /// What the fleet is at; called a few times a second.
    pub fn show(&mut self, counters: &Counters, phase: Phase) {
        match self {
            Face::Screen(screen) => {
                // The run goes on without whoever looked.
                if screen.draw(counters, phase).is_err() {
                    *self = Face::Nowhere;
                }
            }
            Face::Lines { lines, to_stderr } => {
                let stage = match phase {
                    Phase::Ended => return,
                    Phase::Settling { .. } => "settling",
                    _ => "talking",
                };
                match lines.next(Instant::now(), counters, stage) {
                    // A reader that went away is no reason to end.
                    Some(line) if *to_stderr => drop(writeln!(std::io::stderr(), "{line}")),
                    Some(line) => crate::println(&line),
                    None => {}
                }
            }
            Face::Nowhere => {}
        }
    }
}

/// Then, or never.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
