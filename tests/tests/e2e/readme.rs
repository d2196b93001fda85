//! What README.md shows works: its configuration is accepted, its commands print what stands below them,
//! and its example is the file that the tests run.

use std::process::Command;

use tests::foreign;
use tests::tools::{Folder, program, repository};

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
    let [configuration] = configurations[..] else { panic!("there is one configuration") };
    let folder = Folder::new("readme");
    std::fs::write(folder.join("landfall.yaml"), configuration).expect("it can be written");
    let mut shown = 0;
    for block in blocks(&readme, "console") {
        // A command, and what it prints until the next one.
        for text in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = text.split_once('\n').expect("it prints something");
            let arguments = command.strip_prefix("landfall ").expect("a command of landfall");
            let mut process = Command::new(program("landfall"));
            process.args(arguments.split(' ')).current_dir(&*folder).env_clear();
            let printed = foreign::run("landfall", process);
            assert_eq!(printed.trim_end(), expected.trim_end(), "{command}");
            shown += 1;
        }
    }
    assert!(shown >= 3, "README shows explain and check");
}

#[test]
fn its_consumer_is_the_one_that_the_tests_run() {
    let example = repository().join("examples/consume/consume.py");
    let example = std::fs::read_to_string(example).expect("it is there");
    let readme = readme();
    assert_eq!(blocks(&readme, "python"), [example], "copy examples/consume/consume.py into it");
}
