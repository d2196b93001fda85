//! What README.md shows works: its configuration is accepted, its commands print what stands below them,
//! and its example is the file that the tests run.

use std::path::Path;
use std::process::Command;

use tests::foreign;
use tests::tools::{Folder, program, repository, tool};

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).expect("it is there")
}

/// The insides of its code blocks of one language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let after = readme.split(&opening).skip(1);
    after.map(|rest| rest.split("```").next().expect("a split has a first part")).collect()
}

#[test]
fn its_configuration_is_accepted_and_its_commands_print_what_it_says() {
    let readme = readme();
    let configurations = blocks(&readme, "yaml");
    let [configuration, values] = configurations[..] else { panic!("there is one, and values") };
    let folder = Folder::new("readme");
    std::fs::write(folder.join("landfall.yaml"), configuration).expect("it can be written");
    std::fs::write(folder.join("values.yaml"), values).expect("it can be written");
    std::os::unix::fs::symlink(repository().join("charts"), folder.join("charts")).expect("a link");
    let programs = [program("landfall"), tool("bin/helm")];
    let programs = programs.iter().filter_map(|program| program.parent());
    let system = ["/usr/bin", "/bin"].map(Path::new);
    let path = std::env::join_paths(programs.chain(system)).expect("no path has a colon");
    let mut shown = 0;
    for block in blocks(&readme, "console") {
        // A command, and what it prints until the next one.
        for text in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = text.split_once('\n').unwrap_or((text, ""));
            let mut process = Command::new("/bin/bash");
            process.args(["-o", "pipefail", "-c", command]).current_dir(&*folder);
            process.env_clear().env("PATH", &path);
            let printed = foreign::run("readme", process);
            assert_eq!(printed.trim_end(), expected.trim_end(), "{command}");
            shown += 1;
        }
    }
    assert!(shown >= 6, "README shows explain, check and the chart");
}

#[test]
fn its_consumer_is_the_one_that_the_tests_run() {
    let example = repository().join("examples/consume/consume.py");
    let example = std::fs::read_to_string(example).expect("it is there");
    let readme = readme();
    assert_eq!(blocks(&readme, "python"), [example], "copy examples/consume/consume.py into it");
}
