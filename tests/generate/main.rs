//! What is written of documentation by the code itself, so that it cannot go stale: the schema of the
//! chart's values and the tables of its README, the reference of the configuration, the tables of refusals and of
//! parsers' reasons, and the code map.
//! `generate write` writes it, `generate check` exits 1 when something is not what it would write.

mod map;
mod reasons;
mod reference;
mod refusals;
mod schema;
mod sections;
mod tables;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use sections::replaced;

#[derive(Parser)]
struct Arguments {
    /// What to do with the generated files
    #[arg(value_enum)]
    action: Action,
    /// The repository, which may be a copy
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    root: PathBuf,
    /// A chart and nothing else, which may be a copy
    #[arg(long, value_name = "DIR", conflicts_with = "root")]
    chart: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    Write,
    Check,
}

/// A file with what it should be.
struct Generated {
    path: PathBuf,
    content: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let files = match &arguments.chart {
        Some(chart) => of_chart(chart),
        None => of_repository(&arguments.root),
    };
    match files.and_then(|files| act(arguments.action, &files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn of_repository(root: &Path) -> Result<Vec<Generated>, String> {
    let mut files = of_chart(&root.join("charts/landfall"))?;
    let configuration = reference::Reference::of(&gateway::config::schema());
    let path = root.join("docs/configuration.md");
    let content = replaced(&read(&path)?, "sections", &configuration.contents())
        .and_then(|text| replaced(&text, "keys", &configuration.tables()))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    files.push(Generated { path, content });
    let path = root.join("docs/devices.md");
    let content = replaced(&read(&path)?, "refusals", &refusals::table())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    files.push(Generated { path, content });
    let path = root.join("docs/formats.md");
    let content = replaced(&read(&path)?, "reasons", &reasons::table())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    files.push(Generated { path, content });
    let path = root.join("ARCHITECTURE.md");
    let content = replaced(&read(&path)?, "code map", &map::of(root)?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    files.push(Generated { path, content });
    Ok(files)
}

fn of_chart(chart: &Path) -> Result<Vec<Generated>, String> {
    let values = values::parse(&read(&chart.join("values.yaml"))?)?;
    let schema = schema::of(&values, &gateway::config::schema())?;
    let schema =
        Generated { path: chart.join("values.schema.json"), content: format!("{schema:#}\n") };
    let path = chart.join("README.md");
    let content = replaced(&read(&path)?, "values", &tables::of(&values))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(vec![schema, Generated { path, content }])
}

fn act(action: Action, files: &[Generated]) -> Result<(), String> {
    for Generated { path, content } in files {
        let is_so = || fs::read_to_string(path).ok().as_ref() == Some(content);
        match action {
            Action::Write if is_so() => {}
            Action::Write => fs::write(path, content)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?,
            Action::Check if is_so() => {}
            Action::Check => {
                return Err(format!(
                    "{} is not what the code, its comments and values.yaml say: run `make generate`",
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
