//! `landfall explain --certificate`: as whom a client's certificate enters at a listener, or which check it
//! fails. It is looked at by what looks at it in a handshake. Touches no network.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use bridge::message::Verified;
use bridge::text::escape;

use crate::command::Failure;
use crate::config::Settings;
use crate::identity::{Binding, DemandSettings, Denied, Way};
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
        Ok(certificate) => print(&mut out, listener.demands.as_ref(), &certificate)?,
        Err(fault) => {
            writeln!(out, "outcome   refused")?;
            writeln!(out, "reason    {}: {fault}", fault.label())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What becomes of a client that shows a certificate that is good.
fn print(
    out: &mut impl io::Write,
    demands: Option<&DemandSettings>,
    certificate: &Certificate,
) -> io::Result<()> {
    let ways = demands.map_or(&[][..], |demands| &demands.ways);
    let asked = ways.iter().find(|ways| ways.contains(&Way::Certificate));
    match (demands, asked, &certificate.verified) {
        (Some(_), Some(_), None) => {
            writeln!(out, "outcome   refused")?;
            let label = Denied::Nameless.label();
            writeln!(
                out,
                "reason    {label}: none of its names fits authentication.certificate.identity"
            )?;
        }
        (Some(demands), Some(asked), Some(verified)) => {
            let others: Vec<&str> = asked
                .iter()
                .filter(|way| **way != Way::Certificate)
                .map(|way| way.name())
                .collect();
            match others[..] {
                [] => writeln!(out, "outcome   enters")?,
                _ => writeln!(out, "outcome   enters, with {} beside it", others.join(" and "))?,
            }
            match asked[0] {
                Way::Certificate => print_identity(out, demands, verified)?,
                first => writeln!(out, "identity  that of its {}", first.name())?,
            }
        }
        (Some(_), None, _) => {
            writeln!(out, "outcome   passes TLS")?;
            writeln!(out, "identity  by other ways: authenticate does not name certificate")?;
        }
        (None, ..) => {
            writeln!(out, "outcome   enters")?;
            writeln!(out, "identity  none: the listener asks nobody who it is")?;
        }
    }
    if let Some(sha256) = certificate.sha256() {
        writeln!(out, "sha256    {sha256}")?;
    }
    match certificate.ends_at_ms {
        Some(end_ms) => {
            let end = jiff::Timestamp::from_millisecond(end_ms).map_err(io::Error::other)?;
            writeln!(out, "until     {end}")
        }
        None => writeln!(out, "until     its pin or its authority is taken out"),
    }
}

/// Who it is, and which client ids it may have.
fn print_identity(
    out: &mut impl io::Write,
    demands: &DemandSettings,
    verified: &Verified,
) -> io::Result<()> {
    let identity = escape(&verified.id);
    writeln!(out, "identity  {identity}")?;
    match &demands.binding {
        Binding::Equals => writeln!(out, "client    {identity}")?,
        Binding::BeginsWith(separator) if verified.id.contains(&**separator) => {
            writeln!(out, "client    none: the separator {separator:?} is in its identity")?;
        }
        Binding::BeginsWith(separator) => writeln!(
            out,
            "client    {identity}, or what begins with {identity}{}",
            escape(separator)
        )?,
        Binding::Any => writeln!(out, "client    any")?,
    }
    for (name, value) in verified.attributes.iter().filter(|(_, value)| !value.is_empty()) {
        // As what a message's metadata is shown by.
        let name = match &**name {
            "device_type" => "type",
            "firmware_version" => "firmware",
            other => other,
        };
        writeln!(out, "{name:<10}{}", escape(value))?;
    }
    Ok(())
}
