//! `landfall parse --config FILE`: the parse role, until it is told to end.

use std::path::Path;
use std::process::ExitCode;

use crate::command::{Failure, environment, run, start_logging};
use crate::config::{self, Secrets};
use crate::parse_role::ParseApp;

pub fn run(config: &Path, pools: &[String]) -> Result<ExitCode, Failure> {
    let settings = config::load_parse(config, environment(), Secrets::Read, pools)?;
    start_logging("info");
    run::log_hints(&settings.hints);
    ParseApp::build(settings)?.run()?;
    Ok(ExitCode::SUCCESS)
}
