//! Which client certificates are good, and as whom they enter: chain, validity and use, asked at each
//! handshake, at each resumption, and of who is connected already when what it rests on changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::net::Certificate;

/// A certificate may begin so much later than now: the clocks of authorities are not this one.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// What a certificate has that never ends (RFC 5280, 4.1.2.5), in seconds since 1970.
const NEVER_S: i64 = 253_402_300_799;
/// Longest identity, in bytes: it is kept, and becomes the key of records.
const IDENTITY_MAX_BYTES: usize = 1024;

thread_local! {
    /// What the last certificate that rustls had looked at on this thread turned out to be. rustls hands
    /// on no more than that it was good.
    static SEEN: Cell<Option<Result<Certificate, ClientFault>>> = const { Cell::new(None) };
}

/// What rustls had looked at on this thread since it was last asked.
pub fn take_seen() -> Option<Result<Certificate, ClientFault>> {
    SEEN.take()
}

/// Why a client certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    Unreadable,
    Version1,
    UnknownAuthority,
    Expired,
    NotYetValid,
    WrongUse,
    BadSignature,
    /// What is left of the standard: constraints on names or lengths, critical extensions.
    Unacceptable,
}

impl ClientFault {
    pub const ALL: [ClientFault; 8] = [
        ClientFault::Unreadable,
        ClientFault::Version1,
        ClientFault::UnknownAuthority,
        ClientFault::Expired,
        ClientFault::NotYetValid,
        ClientFault::WrongUse,
        ClientFault::BadSignature,
        ClientFault::Unacceptable,
    ];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            ClientFault::Unreadable => "unreadable_certificate",
            ClientFault::Version1 => "version_1",
            ClientFault::UnknownAuthority => "unknown_authority",
            ClientFault::Expired => "expired",
            ClientFault::NotYetValid => "not_yet_valid",
            ClientFault::WrongUse => "wrong_use",
            ClientFault::BadSignature => "bad_signature",
            ClientFault::Unacceptable => "unacceptable_certificate",
        }
    }
}

impl fmt::Display for ClientFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ClientFault::Unreadable => "the certificate cannot be read",
            ClientFault::Version1 => {
                "the certificate has version 1, which cannot say what it is for: issue one of \
                 version 3 (openssl x509 -req with -extfile), or pin it"
            }
            ClientFault::UnknownAuthority => {
                "no authority in client_ca vouches for the certificate"
            }
            ClientFault::Expired => "the certificate, or one above it, has expired",
            ClientFault::NotYetValid => "the certificate is not valid yet: look at both clocks",
            ClientFault::WrongUse => {
                "the certificate's extended key usage does not have TLS client authentication"
            }
            ClientFault::BadSignature => "a signature does not fit the certificate that made it",
            ClientFault::Unacceptable => {
                "the certificate breaks a constraint of one above it, or has a critical extension \
                 that is not known"
            }
        })
    }
}

impl From<webpki::Error> for ClientFault {
    fn from(error: webpki::Error) -> ClientFault {
        use webpki::Error;
        match error {
            Error::UnsupportedCertVersion => ClientFault::Version1,
            Error::UnknownIssuer | Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => {
                ClientFault::UnknownAuthority
            }
            Error::CertExpired { .. } | Error::InvalidCertValidity => ClientFault::Expired,
            Error::CertNotValidYet { .. } => ClientFault::NotYetValid,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
                ClientFault::WrongUse
            }
            Error::InvalidSignatureForPublicKey
            | Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | Error::SignatureAlgorithmMismatch => ClientFault::BadSignature,
            Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => ClientFault::Unreadable,
            _ => ClientFault::Unacceptable,
        }
    }
}

/// With the alert that the standard has for it (RFC 8446, 6.2).
impl From<ClientFault> for rustls::Error {
    fn from(fault: ClientFault) -> rustls::Error {
        rustls::Error::InvalidCertificate(match fault {
            ClientFault::Unreadable => CertificateError::BadEncoding,
            // unsupported_certificate
            ClientFault::Version1 | ClientFault::WrongUse => CertificateError::InvalidPurpose,
            ClientFault::UnknownAuthority => CertificateError::UnknownIssuer,
            ClientFault::Expired => CertificateError::Expired,
            ClientFault::NotYetValid => CertificateError::NotValidYet,
            ClientFault::BadSignature => CertificateError::BadSignature,
            ClientFault::Unacceptable => CertificateError::UnhandledCriticalExtension,
        })
    }
}

/// An authority that may vouch for clients.
#[derive(Debug)]
pub struct Authority {
    pub anchor: TrustAnchor<'static>,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Clients {
    /// Who shows no certificate is refused.
    required: bool,
    anchors: Vec<TrustAnchor<'static>>,
    /// By authority, when it ends, in seconds since 1970.
    ends: HashMap<[u8; 32], i64>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub fn new(
        required: bool,
        authorities: Vec<Authority>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Clients {
        let end = |authority: &Authority| (name_of(&authority.anchor), authority.not_after);
        Clients {
            required,
            ends: authorities.iter().map(end).collect(),
            anchors: authorities.into_iter().map(|authority| authority.anchor).collect(),
            algorithms,
        }
    }

    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether this certificate, with those that came along, is good at that time, and as whom it enters.
    pub fn examine(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Certificate, ClientFault> {
        let ends_s = match self.ends_of_path(leaf, others, now) {
            Err(ClientFault::NotYetValid) => self.ends_of_path(leaf, others, now + CLOCK_SKEW)?,
            other => other?,
        };
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| ClientFault::Unreadable)?;
        let common_name = common_name(&parsed);
        let is_identity =
            |name: &&str| name.len() <= IDENTITY_MAX_BYTES && !name.chars().any(char::is_control);
        Ok(Certificate {
            fingerprint: Sha256::digest(leaf).into(),
            identity: common_name.filter(is_identity).map(Into::into),
            common_name: common_name.map(Into::into),
            ends_at: (ends_s < NEVER_S).then(|| time(ends_s)),
        })
    }

    /// When the first certificate ends on a way from this one to an authority, in seconds since 1970.
    fn ends_of_path(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<i64, ClientFault> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let ends_s = RefCell::new(NEVER_S);
        let end = |path: &VerifiedPath<'_>| {
            let mut first =
                *self.ends.get(&name_of(path.anchor())).ok_or(webpki::Error::UnknownIssuer)?;
            // webpki asks nothing of an authority, not even whether it has expired.
            if first < now.as_secs() as i64 {
                let not_after =
                    UnixTime::since_unix_epoch(Duration::from_secs(first.max(0) as u64));
                return Err(webpki::Error::CertExpired { time: now, not_after });
            }
            let own = path.end_entity().der();
            let between = path.intermediate_certificates().map(|certificate| certificate.der());
            for certificate in between.chain([own]) {
                let parsed = X509Certificate::from_der(&certificate);
                let (_, parsed) = parsed.map_err(|_| webpki::Error::BadDer)?;
                first = first.min(parsed.validity().not_after.timestamp());
            }
            *ends_s.borrow_mut() = first;
            Ok(())
        };
        let usage = KeyUsage::client_auth();
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            others,
            now,
            usage,
            None,
            Some(&end),
        )?;
        Ok(ends_s.into_inner())
    }

    /// As [`Clients::examine`], for a handshake, of which rustls tells no more: see [`take_seen`].
    pub fn look_at(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), ClientFault> {
        let seen = self.examine(leaf, others, SystemTime::now());
        let result = seen.as_ref().map(|_| ()).map_err(|fault| *fault);
        SEEN.set(Some(seen));
        result
    }
}

impl ClientCertVerifier for Clients {
    /// Else every authority's name goes to every device, and past 64 KiB the list is cut silently.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.look_at(leaf, others)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// An authority is its name and its key.
fn name_of(anchor: &TrustAnchor<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((anchor.subject.len() as u64).to_be_bytes());
    hash.update(&anchor.subject);
    hash.update(&anchor.subject_public_key_info);
    hash.finalize().into()
}

/// The only common name: of several, none says who it is.
fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    (names.next().is_none() && !name.is_empty()).then_some(name)
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64)
}
