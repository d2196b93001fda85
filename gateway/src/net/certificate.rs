//! The certificate that a client proved to have: as whom it enters, until when, and what that rests on.

use std::time::SystemTime;

/// SHA-256 of a certificate as it is encoded.
pub type Fingerprint = [u8; 32];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub fingerprint: Fingerprint,
    /// None where no name of it is an identity by the configuration.
    pub identity: Option<Box<str>>,
    /// The subject's common name, where there is exactly one.
    pub common_name: Option<Box<str>>,
    /// Nobody enters with it any more from then on; None if that is never.
    pub ends_at: Option<SystemTime>,
}
