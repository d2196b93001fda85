//! Plays one cell: lets the fleet talk, breaks what is to be broken, waits until all is well, and judges.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use tests::network::Namespace;

use crate::cell::{Cell, Draw};
use crate::outcome::{Numbers, Outcome};
use crate::probe::{self, Visit};
use crate::programs::Programs;
use crate::reckoning::Seen;
use crate::rig::{Rig, memory_group};
use crate::say::{note, say};
use crate::setting::{Setting, Soak};
use crate::timeline::now_ms;
use crate::watch::{self, Watch};

/// How long the fleet talks until it talks evenly, and then before anything breaks.
const WARM_UP: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(8);
/// And after the gateway says that all is well again; it is waited for no longer than that.
const AFTER: Duration = Duration::from_secs(6);
const AFTER_MAX: Duration = Duration::from_secs(35);
/// Between the beginnings of two faults.
const APART_MS: u64 = 8000;

#[derive(Args)]
pub struct Options {
    /// Such as gateway-killed, or two at once: kafka-killed+storm
    cell: String,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the gateway was built from, for the outcome
    #[arg(long, default_value = "")]
    commit: String,
    /// Where the outcome is written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    soak: Soak,
    #[command(flatten)]
    programs: Programs,
}

pub fn run(options: Options) -> ExitCode {
    let cell = match Cell::named(&options.cell) {
        Ok(cell) => cell,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(64);
        }
    };
    let begin = Instant::now();
    let programs = options.programs.built();
    let kept = options.folder.join(format!("{}-{}", cell.name, options.seed));

    let setting = Setting::of(&cell.faults, options.soak).expect("its name was looked up");
    let played = play(&cell, options.seed, &setting, &programs, &kept);
    let outcome = Outcome {
        about: cell.about(),
        cell: cell.name,
        seed: options.seed,
        commit: options.commit,
        took_s: begin.elapsed().as_secs(),
        instead: instead(&setting),
        numbers: played.0,
        findings: played.1,
    };
    outcome.store(&options.folder);
    say(outcome.line());
    outcome.findings.iter().for_each(|finding| say(format!("- {finding}")));
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What this machine could not do, and what was done in its place.
fn instead(setting: &Setting) -> Option<String> {
    if setting.swallows {
        let why = Namespace::unavailable().unwrap_or("played outside of a network of its own");
        return Some(format!("a proxy swallowed what was to vanish: {why}"));
    }
    let group = setting.memory_group.then(memory_group);
    group?.err().map(|why| format!("somebody killed it in the kernel's place: {why}"))
}

fn play(
    cell: &Cell,
    seed: u64,
    setting: &Setting,
    programs: &Programs,
    kept: &Path,
) -> (Numbers, Vec<String>) {
    let mut draw = Draw::new(seed);
    let rig = Rig::start(setting, programs, draw.seed());
    let looking = AtomicBool::new(true);
    let seen = thread::scope(|scope| {
        let looking = EndsWith(&looking);
        let watching = scope.spawn(|| Watch::while_true(&rig, looking.0));
        let visits = with_visits(&rig, || {
            note("the fleet talks");
            thread::sleep(WARM_UP);
            let begun_ms = now_ms();
            thread::sleep(IDLE);
            note("it breaks");
            rig.timeline.broken(begun_ms, || break_all(&rig, cell, &mut draw));
            note("everything is whole again");
            until_well(&rig);
        });
        note("the fleet ends");
        rig.publishers.stop();
        let at_rest = watch::at_rest(&rig);
        drop(looking);
        Seen { watch: watching.join().expect("it has told why"), visits, at_rest }
    });
    rig.end_gateway();
    let (numbers, findings) = seen.reckon(cell, &rig);
    if !findings.is_empty() {
        rig.keep(kept);
    }
    (numbers, findings)
}

/// Ends those who look when the cell ends, however it does: they would be waited for.
struct EndsWith<'e>(&'e AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// New clients come while `meanwhile` runs.
fn with_visits(rig: &Rig, meanwhile: impl FnOnce()) -> Vec<Visit> {
    let (coming, books) = (AtomicBool::new(true), rig.books_of_probes());
    thread::scope(|scope| {
        let visits = scope.spawn(|| probe::while_true(rig.mqtt(), &books, &coming));
        let coming = EndsWith(&coming);
        meanwhile();
        drop(coming);
        visits.join().expect("it has told why")
    })
}

/// All faults of the cell at the same time, each from a moment of its own.
fn break_all(rig: &Rig, cell: &Cell, draw: &mut Draw) {
    thread::scope(|scope| {
        for (index, fault) in (0..).zip(&cell.faults) {
            let mut draw = draw.split();
            scope.spawn(move || {
                if index > 0 {
                    thread::sleep(draw.pause(0, APART_MS));
                }
                (fault.run)(rig, &mut draw);
            });
        }
    });
}

/// Waits until the gateway says so, and some more, in which it can go wrong again.
fn until_well(rig: &Rig) {
    let begin = Instant::now();
    while begin.elapsed() < AFTER_MAX && !watch::is_well(rig) {
        thread::sleep(Duration::from_millis(500));
    }
    thread::sleep(AFTER);
}
