//! `faults mutants`: shows that the harness sees. Each file of `mutants` is a fault that is put into a copy of the
//! gateway's code; the cell that it names has to find it, or the simulation of a lane.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use tests::tools::repository;

use crate::programs::Programs;
use crate::run;
use crate::say::say;

/// Where the faults are, from the repository's root.
const MUTANTS: &str = "tests/faults/mutants";
/// Seeds that a mutant is looked for with.
const SEEDS: u64 = 3;
/// In place of a cell: the simulation of a lane (`bridge/src/lane/simulation.rs`), and its test.
const SIMULATION: &str = "simulation";
const SIMULATION_TEST: &str = "lane::simulation::whatever_goes_wrong";

#[derive(Args)]
pub struct Options {
    /// Such as early-acknowledgement; all of them, where none is named
    #[arg(long, value_delimiter = ',')]
    mutants: Vec<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A fault to put in.
struct Mutant {
    name: String,
    patch: PathBuf,
    /// The cell that finds it, and a word of what it says then.
    cell: String,
    finds: String,
    /// Of a rare one, the seeds that the simulation plays, in place of its own.
    seeds: Option<String>,
}

pub fn run(options: &Options) -> ExitCode {
    let mut mutants = match all() {
        Ok(mutants) => mutants,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(64);
        }
    };
    mutants.retain(|mutant| options.mutants.is_empty() || options.mutants.contains(&mutant.name));
    let mut rows = Vec::new();
    let mut missed = 0;
    for mutant in &mutants {
        let found = find(mutant, options.seed);
        missed += usize::from(found.is_err());
        let said = found.unwrap_or_else(|why| format!("**NOT FOUND**: {why}"));
        let row = format!("| {} | {} | {said} |", mutant.name, mutant.cell);
        say(&row);
        rows.push(row);
    }
    say(format!("\n| mutant | cell | what it found |\n|---|---|---|\n{}", rows.join("\n")));
    if missed == 0 && !mutants.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The mutants, by their files: lines of `cell: …` and `finds: …` stand before the patch, and of `seeds: …` where the
/// simulation has to play others than in the tests.
fn all() -> Result<Vec<Mutant>, String> {
    let folder = repository().join(MUTANTS);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{MUTANTS}: {error}"))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "patch"));
    files.sort();
    files.into_iter().map(|file| mutant(&file)).collect()
}

fn mutant(patch: &Path) -> Result<Mutant, String> {
    let text = std::fs::read_to_string(patch).map_err(|error| error.to_string())?;
    let line = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let said = |key| line(key).ok_or_else(|| format!("{}: no line `{key}: …`", patch.display()));
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (cell, finds) = (said("cell")?, said("finds")?);
    Ok(Mutant { name, patch: patch.to_owned(), cell, finds, seeds: line("seeds") })
}

/// The seed and the finding that it was found by.
fn find(mutant: &Mutant, seed: u64) -> Result<String, String> {
    if mutant.cell == SIMULATION {
        return simulate(mutant);
    }
    let gateway = build(mutant)?;
    let programs = Programs::with_gateway(gateway).built();
    for seed in seed..seed + SEEDS {
        let outcome = run::once(&mutant.cell, seed, &format!("mutant-{}", mutant.name), &programs);
        if let Some(finding) = outcome.findings.iter().find(|found| found.contains(&mutant.finds)) {
            return Ok(format!("seed {seed}: {finding}"));
        }
    }
    Err(format!("{SEEDS} seeds, and none says `{}`", mutant.finds))
}

/// Plays the simulation's seeds on a lane with the fault; what it says of the first that finds it.
fn simulate(mutant: &Mutant) -> Result<String, String> {
    let mut cargo = cargo_on_copy(mutant, &["test", "--quiet", "--package", "bridge", "--lib"])?;
    cargo.envs(mutant.seeds.iter().map(|seeds| ("LANDFALL_SIMULATION_SEEDS", seeds)));
    let output = cargo.args(["--", SIMULATION_TEST]).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let found = said.lines().find(|line| line.contains("seed ") && line.contains(&mutant.finds));
    found.map(|line| line.trim().to_owned()).ok_or_else(|| format!("not found: {said}"))
}

/// Builds the gateway with the fault.
fn build(mutant: &Mutant) -> Result<PathBuf, String> {
    let build = ["build", "--quiet", "--package", "gateway", "--bin", "landfall"];
    did(&mut cargo_on_copy(mutant, &build)?)?;
    Ok(mutant_target().join("debug/landfall"))
}

fn mutant_target() -> PathBuf {
    run::target_folder().join("faults-mutant-target")
}

/// Cargo on a copy of the committed tree that has the fault.
fn cargo_on_copy(mutant: &Mutant, arguments: &[&str]) -> Result<Command, String> {
    let copy = run::target_folder().join("faults-mutant");
    let git = |arguments: &[&str], folder: &Path| {
        did(Command::new("git").args(arguments).current_dir(folder))
    };
    if !copy.exists() {
        git(&["worktree", "prune"], repository())?;
        let place = copy.to_string_lossy().into_owned();
        git(&["worktree", "add", "--detach", &place, "HEAD"], repository())?;
    }
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(repository()).output();
    let head = head.map_err(|error| error.to_string())?.stdout;
    git(&["checkout", "--force", "--detach", String::from_utf8_lossy(&head).trim()], &copy)?;
    git(&["apply", &mutant.patch.to_string_lossy()], &copy)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).arg("--target-dir").arg(mutant_target()).current_dir(&copy);
    Ok(cargo)
}

fn did(command: &mut Command) -> Result<(), String> {
    let said = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match said.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&said.stderr))),
    }
}
