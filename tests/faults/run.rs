//! `faults run`: plays cells, several at a time, each in a process and a network of its own, keeps what each saw, and
//! prints the table.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;

use clap::Args;
use tests::network::Namespace;
use tests::tools::repository;

use crate::books::Sha256;
use crate::cell::{Cell, Draw};
use crate::cells;
use crate::outcome::{Outcome, table};
use crate::programs::Programs;
use crate::say::say;
use crate::setting::Soak;

/// Where outcomes are kept, in the target folder.
const KEPT: &str = "faults";
/// Pairs of faults that the seed draws, beside those that always belong into the table.
const DRAWN: usize = 3;

#[derive(Args)]
pub struct Options {
    /// The cells, such as gateway-killed,kafka-paused, or two faults at once: kafka-killed+storm. All of them, and
    /// some pairs that the seed draws, where none is named
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// How often each is played, each time with another seed
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// What chance decides follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cells that are played at once: two cores take two or three, most of them wait. Those of three brokers are
    /// played one after another
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Plays what was played already on this commit
    #[arg(long)]
    again: bool,
    /// Writes the table there too
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    #[command(flatten)]
    soak: Soak,
    #[command(flatten)]
    programs: Programs,
}

/// One cell that is to be played.
struct Turn {
    cell: String,
    seed: u64,
}

pub fn run(options: Options) -> ExitCode {
    let turns = match turns(&options) {
        Ok(turns) => turns,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(64);
        }
    };
    let programs = options.programs.clone().built();
    let commit = commit(programs.gateway(false));
    let folder = kept_folder(&commit);
    let is_played =
        |turn: &Turn| !options.again && Outcome::file(&folder, &turn.cell, turn.seed).exists();
    let (played, left): (Vec<&Turn>, Vec<&Turn>) = turns.iter().partition(|turn| is_played(turn));
    say(format!(
        "{} cells to play, seeds from {}; {} were played on {commit} before; outcomes are in {}",
        left.len(),
        options.seed,
        played.len(),
        folder.display()
    ));
    let (alone, beside): (Vec<&Turn>, Vec<&Turn>) = left
        .into_iter()
        .partition(|turn| Cell::named(&turn.cell).is_ok_and(|cell| cell.is_alone()));
    for (turns, jobs) in [(beside, options.jobs.max(1)), (alone, 1)] {
        let queue: Mutex<VecDeque<&Turn>> = Mutex::new(turns.into());
        let next = || queue.lock().expect("nothing panics under this lock").pop_front();
        let play_next = || {
            while let Some(turn) = next() {
                say(format!("{} seed {} begins", turn.cell, turn.seed));
                let outcome = play(turn, &commit, &folder, &programs, options.soak);
                say(outcome.line());
                outcome.findings.iter().for_each(|finding| say(format!("  - {finding}")));
            }
        };
        thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(play_next))));
    }
    let stored = |turn: &Turn| {
        let outcome = Outcome::read(&Outcome::file(&folder, &turn.cell, turn.seed));
        outcome.expect("every cell that was played has an outcome")
    };
    let outcomes: Vec<Outcome> = turns.iter().map(stored).collect();
    let table = table(&outcomes);
    say(format!("\n{table}"));
    if let Some(file) = &options.table
        && let Err(error) = std::fs::write(file, &table)
    {
        eprintln!("{} cannot be written: {error}", file.display());
    }
    match outcomes.iter().all(Outcome::is_good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn turns(options: &Options) -> Result<Vec<Turn>, String> {
    let mut turns = Vec::new();
    for run in 0..options.runs {
        let seed = options.seed + run;
        let mut names = options.cells.clone();
        if names.is_empty() {
            let mut draw = Draw::new(seed);
            names = cells::all().map(|fault| fault.name.to_owned()).collect();
            names.extend(cells::PAIRS.map(str::to_owned));
            names.extend((0..DRAWN).map(|_| Cell::drawn(&mut draw).name));
        }
        for cell in names {
            Cell::named(&cell)?;
            turns.push(Turn { cell, seed });
        }
    }
    // All runs of a cell stand together in the table.
    let order: Vec<String> = turns.iter().map(|turn| turn.cell.clone()).collect();
    turns.sort_by_key(|turn| order.iter().position(|cell| *cell == turn.cell));
    Ok(turns)
}

/// What was built: the commit, and the program itself where the tree has other changes.
fn commit(program: &Path) -> String {
    let git = |arguments: &[&str]| {
        let told = Command::new("git").args(arguments).current_dir(repository()).output().ok()?;
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "no-commit".into());
    let is_clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    if is_clean {
        return head;
    }
    let program = std::fs::read(program).expect("the gateway is built");
    format!("{head}-{:.8}", Sha256::of(&program).to_string())
}

pub fn target_folder() -> PathBuf {
    let told = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    told.unwrap_or_else(|| repository().join("target"))
}

fn kept_folder(commit: &str) -> PathBuf {
    let folder = target_folder().join(KEPT).join(commit);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// Plays one cell in a process of its own; what it says goes to a file beside its outcome.
fn play(turn: &Turn, commit: &str, folder: &Path, programs: &Programs, soak: Soak) -> Outcome {
    let Turn { cell, seed } = turn;
    let log = folder.join(format!("{cell}-{seed}.log"));
    let own = std::env::current_exe().expect("a program knows its path");
    let mut command = match Namespace::unavailable() {
        None => Namespace::command(&own),
        Some(_) => Command::new(&own),
    };
    let said = std::fs::File::create(&log).expect("the folder of outcomes can be written");
    command
        .args(["cell", cell, "--seed", &seed.to_string(), "--commit", commit, "--folder"])
        .arg(folder)
        .args(soak.arguments())
        .args(programs.arguments())
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a file can be shared"))
        .stderr(said);
    let file = Outcome::file(folder, cell, *seed);
    let _ = std::fs::remove_file(&file);
    let status = command.status().expect("the cell's process can be started");
    Outcome::read(&file).unwrap_or_else(|| {
        let outcome = broken_off(turn, commit, &format!("{status}"), &log);
        outcome.store(folder);
        outcome
    })
}

/// Plays one cell, whatever was played before.
pub fn once(cell: &str, seed: u64, commit: &str, programs: &Programs) -> Outcome {
    let turn = Turn { cell: cell.to_owned(), seed };
    play(&turn, commit, &kept_folder(commit), programs, Soak::default())
}

/// A cell that ended without a verdict: something ended that should not, or never came.
fn broken_off(turn: &Turn, commit: &str, how: &str, log: &Path) -> Outcome {
    const LINES: usize = 3;
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let panic = said.lines().skip_while(|line| !line.contains("panicked at")).take(LINES);
    let panic: Vec<&str> = panic.collect();
    let cell = Cell::named(&turn.cell).expect("it was looked up before");
    Outcome {
        cell: turn.cell.clone(),
        about: cell.about(),
        seed: turn.seed,
        commit: commit.to_owned(),
        took_s: 0,
        instead: None,
        numbers: Default::default(),
        findings: vec![format!(
            "it ended without a verdict ({how}): {} (see {})",
            panic.join(" "),
            log.display()
        )],
    }
}
