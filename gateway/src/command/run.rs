//! `landfall run`: the gateway, until it is told to end.

use std::path::Path;
use std::process::ExitCode;

use super::{Failure, load, start_logging};
use crate::app::App;
use crate::config::Secrets;

pub fn run(config: &Path) -> Result<ExitCode, Failure> {
    let settings = load(Some(config), Secrets::Read)?;
    start_logging("info");
    log_hints(&settings.hints);
    let app = App::build(settings, None)?;
    serve(app)
}

/// Tells what may be meant otherwise.
pub fn log_hints(hints: &[String]) {
    for hint in hints {
        tracing::warn!(hint, "the configuration may be meant otherwise");
    }
}

/// Runs a gateway to its end. Exit 0 when nothing was left open.
pub fn serve(app: App) -> Result<ExitCode, Failure> {
    let unacknowledged = app.run()?;
    if unacknowledged == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::Other(anyhow::anyhow!(
        "the drain's deadline came: {unacknowledged} messages were not acknowledged; their devices send them again"
    )))
}
