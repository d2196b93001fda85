//! The certificate that a client proved to have: as whom it enters, until when, and what that rests on,
//! so that it can be asked again whether it still may.

use std::sync::Arc;

use bridge::message::Verified;

use super::tls::{Template, names};

/// SHA-256 of a certificate as it is encoded.
pub type Fingerprint = [u8; 32];

/// From then on nobody enters any more, in milliseconds since 1970 UTC; None: that is never.
pub type EndsAtMs = Option<i64>;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// None where nobody here has seen it.
    pub fingerprint: Option<Fingerprint>,
    /// Whom it names by `authentication.certificate`, and what its names say beside that; None where none of
    /// its names is an identity.
    pub verified: Option<Arc<Verified>>,
    /// The subject's common name, where there is exactly one.
    pub common_name: Option<Box<str>>,
    /// The end of the first of it and of those above it, as they were when it was looked at.
    pub ends_at_ms: EndsAtMs,
    pub(super) basis: Basis,
}

/// What a certificate's being good rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// It is known by itself.
    Pinned,
    /// A load balancer has verified it, and says for each connection whose it is.
    Told,
    /// An authority, by its name and key, and what is between: each certificate that vouched for the one
    /// before, and the number it gave it. They end at `ends_s`, in seconds since 1970, the authority aside.
    Chain { authority: [u8; 32], ends_s: i64, links: Box<[Link]> },
}

/// A certificate of a chain, as lists of revoked ones know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The name and the key of who made it, by their hashes.
    pub issuer: [u8; 16],
    pub key: [u8; 16],
    pub serial: Box<[u8]>,
}

impl Certificate {
    /// One that a load balancer has verified, of which it tells the common name.
    pub fn told(templates: &[Template], common_name: Box<str>) -> Certificate {
        Certificate {
            fingerprint: None,
            verified: names::find_told(templates, &common_name).map(Arc::new),
            common_name: Some(common_name),
            ends_at_ms: None,
            basis: Basis::Told,
        }
    }

    /// Its fingerprint in hexadecimal digits, as a pin has it.
    pub fn sha256(&self) -> Option<String> {
        let fingerprint = self.fingerprint?;
        Some(fingerprint.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The name of its identity.
    pub fn identity(&self) -> Option<&str> {
        self.verified.as_ref().map(|verified| &*verified.id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Certificate {
        /// A pinned one that names somebody, or nobody, for tests.
        pub(crate) fn of(identity: Option<&str>) -> Certificate {
            let verified = |id: &str| Verified { id: id.into(), attributes: Vec::new() };
            Certificate {
                fingerprint: Some([7; 32]),
                verified: identity.map(verified).map(Arc::new),
                common_name: identity.map(Into::into),
                ends_at_ms: None,
                basis: Basis::Pinned,
            }
        }
    }
}
