//! `landfall schema`: what may be written in a configuration, as a JSON Schema, for editors and charts.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::Failure;
use crate::config;

pub fn schema() -> Result<ExitCode, Failure> {
    writeln!(io::stdout(), "{:#}", config::schema())?;
    Ok(ExitCode::SUCCESS)
}
