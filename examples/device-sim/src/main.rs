//! `device-sim`: a fleet of simulated devices that publishes to a gateway and remembers what was
//! acknowledged, and the proof that all of it is in Kafka.

mod counters;
mod device;
mod figure;
mod fleet;
mod happenings;
mod hostile;
mod latency;
mod ledger;
mod link;
mod orders;
mod outbox;
mod payload;
mod progress;
mod reading;
mod rhythm;
mod run;
mod screen;
mod security;
mod show;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bad arguments.
const EXIT_USAGE: u8 = 64;

#[derive(Parser)]
#[command(
    name = "device-sim",
    version,
    about = "Simulated devices for Landfall, and the proof that nothing was lost"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish as a fleet, and keep a ledger of what was sent and acknowledged
    Run(Box<run::Arguments>),
    /// Make the CA, certificates and tokens that a run with the same options gives its devices
    Prepare(run::Preparation),
    /// Show what such a fleet says, with the events that are in it, and send nothing
    Show(show::Arguments),
    /// Read Kafka and the object store, and exit 1 unless everything acknowledged is there
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // Standard output may be closed, and then nobody reads the help.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let ended = match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Prepare(preparation) => run::prepare(preparation),
        Command::Show(arguments) => show::show(arguments),
        Command::Verify(arguments) => verify::verify(arguments),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("device-sim: {error:#}");
        ExitCode::FAILURE
    })
}

/// A reader that went away is no reason to end.
fn println(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The same JSON without a character that a terminal might obey.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' | '\n' => escaped.push(character),
            // Outside of strings there is none of these.
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// A length of time such as `60s`, `5m` or `0`.
fn parse_length(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write such as 60s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn what_strangers_wrote_is_harmless_as_json_too() {
        let text = "m\u{9b}31m\u{202e}\u{7f}é🚜\n";
        let json = serde_json::json!({ "text": text }).to_string();
        let escaped = super::ascii(&json);
        assert!(escaped.is_ascii() && !escaped.contains(char::is_control), "{escaped:?}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["text"], text);
    }
}
