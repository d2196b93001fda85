//! The chart's generated files: `values.schema.json` and `README.md`, made of the comments in
//! `values.yaml` and of the schema of the gateway's configuration. `chart write` writes them, `chart
//! check` exits 1 when they are not what it would write.

mod readme;
mod schema;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// What to do with the generated files
    #[arg(value_enum)]
    action: Action,
    /// The chart's folder
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/landfall"))]
    chart: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    Write,
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match files(&arguments.chart).and_then(|files| act(arguments.action, &arguments.chart, &files))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chart: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Name and content of each generated file.
fn files(chart: &Path) -> Result<[(&'static str, String); 2], String> {
    let values = values::parse(&read(chart, "values.yaml")?)?;
    let configuration = gateway::config::schema();
    let schema = schema::of(&values, &configuration)?;
    let readme = readme::of(&read(chart, "README.in.md")?, &values, &configuration)?;
    Ok([("values.schema.json", format!("{schema:#}\n")), ("README.md", readme)])
}

fn act(action: Action, chart: &Path, files: &[(&str, String)]) -> Result<(), String> {
    for (name, wanted) in files {
        match action {
            Action::Write => fs::write(chart.join(name), wanted)
                .map_err(|error| format!("{name} cannot be written: {error}"))?,
            Action::Check if fs::read_to_string(chart.join(name)).ok().as_ref() != Some(wanted) => {
                return Err(format!(
                    "{name} is not what values.yaml and the configuration's types say: run `make chart`"
                ));
            }
            Action::Check => {}
        }
    }
    Ok(())
}

fn read(chart: &Path, name: &str) -> Result<String, String> {
    fs::read_to_string(chart.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))
}
