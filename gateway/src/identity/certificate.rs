//! The certificate that a client showed, as who it is. TLS has verified it, and will again when something
//! changes; the connection's end is the certificate's, whatever else proves who comes.

use std::sync::Arc;

use super::{Denied, Identity, Way};
use crate::net::Certificate;

/// Whom the certificate names.
pub(super) fn prove(certificate: &Certificate) -> Result<Identity, Denied> {
    let verified = certificate.verified.as_ref().ok_or(Denied::Nameless)?;
    Ok(Identity {
        verified: Arc::clone(verified),
        way: Way::Certificate,
        user_name: None,
        ends_at_ms: None,
        credentials: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Authentication, Binding, Demands, Evidence};
    use super::*;
    use crate::low_priority::LowPriority;

    #[tokio::test]
    async fn the_first_way_whose_evidence_is_there_decides_and_its_failure_is_final() {
        let low = LowPriority::start().expect("threads can be started");
        let (named, nameless) = (Certificate::of(Some("m-1")), Certificate::of(None));
        let evidence = |certificate, password| Evidence {
            client_id: "m-1",
            certificate,
            user_name: None,
            password,
            address: None,
        };
        let one = || vec![Way::Certificate];
        let both = || vec![Way::Certificate, Way::Password];
        for (ways, evidence, expected) in [
            (vec![one()], evidence(Some(&named), None), Ok("m-1")),
            (vec![one()], evidence(None, Some(&b"x"[..])), Err(Denied::NoEvidence)),
            (vec![one()], evidence(Some(&nameless), None), Err(Denied::Nameless)),
            // Nobody knows passwords here: whoever is asked for one is turned away.
            (vec![vec![Way::Password], one()], evidence(Some(&named), None), Ok("m-1")),
            (
                vec![vec![Way::Password], one()],
                evidence(Some(&named), Some(b"x")),
                Err(Denied::Unavailable),
            ),
            (
                vec![one(), vec![Way::Password]],
                evidence(Some(&nameless), Some(b"x")),
                Err(Denied::Nameless),
            ),
            (vec![both()], evidence(Some(&named), None), Err(Denied::NoEvidence)),
            (vec![both()], evidence(None, Some(b"x")), Err(Denied::NoEvidence)),
            (vec![both()], evidence(Some(&named), Some(b"x")), Err(Denied::Unavailable)),
            (vec![both(), one()], evidence(Some(&named), None), Ok("m-1")),
        ] {
            let what = format!("{ways:?}");
            let demands = Demands::new(Authentication::none(), ways, Binding::Equals);
            let identified = demands.identify(&evidence, &low).await;
            let name = identified.as_ref().map(|identity| identity.name());
            assert_eq!(name.map_err(|denied| *denied), expected, "{what}");
            if let Ok(identity) = identified {
                assert_eq!((identity.way, identity.user_name()), (Way::Certificate, "m-1"));
            }
        }
    }
}
