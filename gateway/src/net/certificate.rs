//! The certificate that a client proved to have: as whom it enters, until when, and what that rests on,
//! so that it can be asked again whether it still may.

use std::time::SystemTime;

/// SHA-256 of a certificate as it is encoded.
pub type Fingerprint = [u8; 32];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub fingerprint: Fingerprint,
    /// None where no name of it is an identity by the configuration.
    pub identity: Option<Box<str>>,
    /// What its names say beside that, by `authentication.certificate.identity`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// The subject's common name, where there is exactly one.
    pub common_name: Option<Box<str>>,
    /// Nobody enters with it any more from then on; None if that is never.
    pub ends_at: Option<SystemTime>,
    pub(super) basis: Basis,
}

/// What a certificate's being good rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// It is known by itself.
    Pinned,
    /// An authority, by its name and key, and what is between: each certificate that vouched for the one
    /// before, and the number it gave it.
    Chain { authority: [u8; 32], links: Box<[Link]> },
}

/// A certificate of a chain, as lists of revoked ones know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The name and the key of who made it, by their hashes.
    pub issuer: [u8; 16],
    pub key: [u8; 16],
    pub serial: Box<[u8]>,
}
