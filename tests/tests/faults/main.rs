//! The fault harness in short: a few cells of `make faults`, played as it plays them; and what it is made of fits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::network::Namespace;
use tests::not_run;
use tests::tools::{program, repository, without_faults};

/// One of each kind: the gateway dies, Kafka's answers do not come, the network flaps while the store lies.
const CELLS: [&str; 3] = ["gateway-killed", "answers-lost", "kafka-flapping+store-lies"];

/// The harness, with the gateway that the other tests have.
fn faults(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    let said = command.args(arguments).output().expect("it can be started");
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    (said.status.success(), text.into_owned())
}

#[test]
fn nothing_acknowledged_is_lost_in_a_few_cells() {
    if let Some(why) = Namespace::unavailable() {
        not_run("the faults of the network by packets, by a proxy instead", why);
    }
    let (gateway, with_faults) = (without_faults(), program("landfall"));
    let path = |path: &Path| path.to_str().expect("the target folder is text").to_owned();
    let (cells, jobs) = (CELLS.join(","), CELLS.len().to_string());
    let told = ["run", "--again", "--cells", &cells, "--jobs", &jobs];
    let programs = ["--gateway", &path(&gateway), "--with-faults", &path(&with_faults)];
    let (is_good, said) = faults(&[&told[..], &programs].concat());
    assert!(is_good, "{said}");
    for cell in CELLS {
        assert!(said.contains(&format!("| {cell} ")), "no row of {cell}: {said}");
    }
}

#[test]
fn a_cell_that_is_not_there_is_told() {
    let (is_good, said) = faults(&["run", "--cells", "moon-falls"]);
    assert!(!is_good && said.contains("there is no cell moon-falls"), "{said}");
    assert!(said.contains("faults list"), "{said}");
    let (is_good, said) = faults(&["list"]);
    assert!(
        is_good
            && CELLS.iter().all(|cell| {
                cell.split('+').all(|name| said.lines().any(|line| line.starts_with(name)))
            }),
        "{said}"
    );
}

/// A cell that is new has been played too.
#[test]
fn the_kept_table_has_a_row_for_each_cell() {
    let table = std::fs::read_to_string(repository().join("tests/faults/RESULTS.md"));
    let table = table.expect("it is committed");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let rows: BTreeSet<&str> = rows.map(|name| name.trim_matches('*')).collect();
    let (_, said) = faults(&["list"]);
    let cells = said.lines().filter_map(|line| line.split(' ').next());
    let missing: Vec<&str> = cells.filter(|name| !rows.contains(name)).collect();
    assert!(missing.is_empty(), "not in RESULTS.md: {missing:?}");
}

/// Whoever changes what a mutant changes has to change it too.
#[test]
fn each_mutant_can_be_put_in() {
    let folder = repository().join("tests/faults/mutants");
    let files = std::fs::read_dir(&folder).expect("there are mutants").flatten();
    let patches: Vec<PathBuf> = files.map(|file| file.path()).collect();
    assert!(!patches.is_empty());
    for patch in patches {
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(repository());
        let said = git.output().expect("git can be started");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}
