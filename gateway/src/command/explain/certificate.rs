//! `landfall explain --certificate`: as whom a client's certificate enters at a listener, or which check it
//! fails. It is looked at by what looks at it in a handshake. Touches no network.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use bridge::text::escape;

use crate::command::Failure;
use crate::config::Settings;
use crate::net::Certificate;
use crate::net::tls;

/// Exits with 0 also for a refusal, as it explains that.
pub fn explain(settings: &Settings, file: &Path, name: Option<&str>) -> Result<ExitCode, Failure> {
    let with_tls: Vec<_> =
        settings.listeners.iter().filter(|listener| listener.tls.is_some()).collect();
    let names = || {
        let names: Vec<&str> = with_tls.iter().map(|listener| listener.name.as_str()).collect();
        if names.is_empty() { "none has tls".to_owned() } else { names.join(", ") }
    };
    let listener = match (name, &with_tls[..]) {
        (None, [only]) => *only,
        (None, _) => {
            return Err(Failure::Usage(format!("--listener NAME is missing: {}", names())));
        }
        (Some(name), _) => with_tls
            .iter()
            .find(|listener| listener.name == name)
            .ok_or_else(|| Failure::Usage(format!("--listener {name}: there are {}", names())))?,
    };
    let tls = listener.tls.as_ref().expect("only those are looked at");
    let text = std::fs::read(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    let Some(clients) = tls::clients(tls)? else {
        let name = &listener.name;
        return Err(Failure::Usage(format!(
            "listener {name} asks for no certificate: write client_ca"
        )));
    };
    let explained = clients.explain(&text, SystemTime::now());
    let explained = explained.ok_or_else(|| {
        Failure::Usage(format!("{} has no certificate in PEM or DER", file.display()))
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "listener  {}", listener.name)?;
    match explained {
        Ok(certificate) => print(&mut out, &certificate)?,
        Err(fault) => {
            writeln!(out, "outcome   refused")?;
            writeln!(out, "reason    {}: {fault}", fault.label())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl io::Write, certificate: &Certificate) -> io::Result<()> {
    match &certificate.identity {
        Some(identity) => {
            writeln!(out, "outcome   enters")?;
            writeln!(out, "identity  {}", escape(identity))?;
        }
        None => {
            writeln!(out, "outcome   enters TLS, as nobody")?;
            writeln!(out, "identity  none of its names fits authentication.certificate.identity")?;
        }
    }
    for (name, value) in &certificate.attributes {
        writeln!(out, "{name:<10}{}", escape(value))?;
    }
    let digits: String = certificate.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "sha256    {digits}")?;
    match certificate.ends_at {
        Some(end) => {
            let end = jiff::Timestamp::try_from(end).map_err(io::Error::other)?;
            writeln!(out, "until     {end}")
        }
        None => writeln!(out, "until     its pin or its authority is taken out"),
    }
}
