//! Which client certificates are good, and as whom they enter: chain, validity and use, asked at each
//! handshake, at each resumption, and of who is connected already when what it rests on changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bridge::message::Verified;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, VerifiedPath, spki_for_anchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::names::{self, Template};
use super::pins::Pins;
use super::revocation::{Lists, issuer_key, issuer_name};
use crate::net::Certificate;
use crate::net::certificate::{Basis, EndsAtMs, Fingerprint, Link};

/// A certificate may begin so much later than now: the clocks of authorities are not this one.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// What a certificate has that never ends (RFC 5280, 4.1.2.5), in seconds since 1970.
const NEVER_S: i64 = 253_402_300_799;

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
    Revoked,
    /// There is no list of its issuer.
    RevocationUnknown,
    /// It is not pinned, and nobody may vouch for it.
    NotPinned,
    /// What is left of the standard: constraints on names or lengths, critical extensions.
    Unacceptable,
}

impl ClientFault {
    pub const ALL: [ClientFault; 11] = [
        ClientFault::Unreadable,
        ClientFault::Version1,
        ClientFault::UnknownAuthority,
        ClientFault::Expired,
        ClientFault::NotYetValid,
        ClientFault::WrongUse,
        ClientFault::BadSignature,
        ClientFault::Revoked,
        ClientFault::RevocationUnknown,
        ClientFault::NotPinned,
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
            ClientFault::Revoked => "revoked",
            ClientFault::RevocationUnknown => "revocation_unknown",
            ClientFault::NotPinned => "not_pinned",
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
            ClientFault::Revoked => "the certificate, or one above it, was revoked",
            ClientFault::RevocationUnknown => {
                "crl has no list of an authority in the chain: add one for each, or write crl_check: leaf"
            }
            ClientFault::NotPinned => {
                "the certificate is not in the file that authentication.certificate.pinned names"
            }
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
            Error::CertRevoked => ClientFault::Revoked,
            Error::UnknownRevocationStatus => ClientFault::RevocationUnknown,
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
            ClientFault::UnknownAuthority | ClientFault::NotPinned => {
                CertificateError::UnknownIssuer
            }
            ClientFault::Revoked => CertificateError::Revoked,
            ClientFault::RevocationUnknown => CertificateError::UnknownRevocationStatus,
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

/// What decides about clients' certificates.
#[derive(Debug)]
pub struct ClientRules {
    /// Who shows no certificate is refused.
    pub required: bool,
    pub authorities: Vec<Authority>,
    /// None where nothing is asked about revocation.
    pub lists: Option<Lists>,
    pub pins: Pins,
    /// The first that fits says who it is.
    pub identity: Vec<Template>,
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// See the module.
#[derive(Debug)]
pub struct Clients {
    rules: ClientRules,
    anchors: Vec<TrustAnchor<'static>>,
    /// By authority, when it ends, in seconds since 1970.
    ends: HashMap<[u8; 32], i64>,
}

/// A way from a certificate to an authority.
struct Way {
    /// When the first of it ends, the authority aside, in seconds since 1970.
    ends_s: i64,
    authority: [u8; 32],
    links: Vec<Link>,
}

impl Clients {
    pub fn new(mut rules: ClientRules) -> Clients {
        let authorities = std::mem::take(&mut rules.authorities);
        let mut ends = HashMap::new();
        for authority in &authorities {
            // A renewed certificate of the same authority stands beside the old one, in any order.
            let end = ends.entry(name_of(&authority.anchor)).or_insert(authority.not_after);
            *end = authority.not_after.max(*end);
        }
        Clients {
            ends,
            anchors: authorities.into_iter().map(|authority| authority.anchor).collect(),
            rules,
        }
    }

    pub fn is_required(&self) -> bool {
        self.rules.required
    }

    /// When the first list of revoked certificates should be replaced, in seconds since 1970.
    pub fn next_list_update(&self) -> Option<i64> {
        self.rules.lists.as_ref().and_then(Lists::next_update)
    }

    /// Whether this certificate, with those that came along, is good at that time, and as whom it enters.
    pub fn examine(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Certificate, ClientFault> {
        let fingerprint = Sha256::digest(leaf).into();
        let parsed = X509Certificate::from_der(leaf);
        if let Some(identity) = self.rules.pins.identity(&fingerprint) {
            let (_, parsed) = parsed.map_err(|_| ClientFault::Unreadable)?;
            let mut verified = Verified { id: identity.into(), attributes: Vec::new() };
            names::complete(&self.rules.identity, &mut verified);
            return Ok(Certificate {
                fingerprint: Some(fingerprint),
                verified: Some(Arc::new(verified)),
                common_name: names::common_name(&parsed).map(Into::into),
                ends_at_ms: None,
                basis: Basis::Pinned,
            });
        }
        if self.anchors.is_empty() {
            return Err(ClientFault::NotPinned);
        }
        let way = match self.way(leaf, others, now) {
            Err(ClientFault::NotYetValid) => self.way(leaf, others, now + CLOCK_SKEW)?,
            other => other?,
        };
        let (_, parsed) = parsed.map_err(|_| ClientFault::Unreadable)?;
        let Way { ends_s, authority, links } = way;
        let authority_ends_s = *self.ends.get(&authority).ok_or(ClientFault::UnknownAuthority)?;
        Ok(Certificate {
            fingerprint: Some(fingerprint),
            verified: names::find(&self.rules.identity, &parsed).map(Arc::new),
            common_name: names::common_name(&parsed).map(Into::into),
            ends_at_ms: first_end_ms(ends_s, authority_ends_s),
            basis: Basis::Chain { authority, ends_s, links: links.into() },
        })
    }

    /// The same of a file: the certificate, and behind it those above it, in PEM, or itself in DER. None if
    /// it has none.
    pub fn explain(
        &self,
        file: &[u8],
        now: SystemTime,
    ) -> Option<Result<Certificate, ClientFault>> {
        let in_pem = CertificateDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>().ok()?;
        let chain = match in_pem.is_empty() {
            false => in_pem,
            true if X509Certificate::from_der(file).is_ok() => vec![CertificateDer::from(file)],
            true => return None,
        };
        let (leaf, others) = chain.split_first()?;
        Some(self.examine(leaf, others, now))
    }

    /// Until when a client that came in with this certificate may stay, now that something may have changed;
    /// None where what it rested on is not there as it was, so that it has to be verified anew. Without
    /// arithmetic.
    pub fn ask_again(&self, certificate: &Certificate, now: SystemTime) -> Option<EndsAtMs> {
        let fingerprint = certificate.fingerprint.as_ref();
        let pinned = fingerprint.and_then(|fingerprint| self.rules.pins.identity(fingerprint));
        match &certificate.basis {
            // What it rested on is not known here.
            Basis::Told => Some(None),
            Basis::Pinned => (pinned.is_some() && pinned == certificate.identity()).then_some(None),
            Basis::Chain { authority, ends_s, links } => {
                let ends_at_ms = first_end_ms(*ends_s, *self.ends.get(authority)?);
                let in_time = ends_at_ms.is_none_or(|end_ms| end_ms > since_1970_ms(now));
                let clean = self.rules.lists.as_ref().is_none_or(|lists| {
                    let depth = if lists.whole_chain { links.len() } else { 1 };
                    links.iter().take(depth).enumerate().all(|(index, link)| {
                        let Link { issuer, key, serial } = link;
                        lists.ask_known(issuer, key, serial, index > 0).is_ok()
                    })
                });
                (in_time && clean && pinned.is_none()).then_some(ends_at_ms)
            }
        }
    }

    /// The same with the chain that it showed, which may be good by another way; else this says why it is
    /// not.
    pub fn verify_again(
        &self,
        certificate: &Certificate,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<EndsAtMs, ClientFault> {
        let (leaf, others) = chain.split_first().ok_or(ClientFault::Unreadable)?;
        let again = self.examine(leaf, others, now)?;
        match again.verified == certificate.verified {
            true => Ok(again.ends_at_ms),
            // Whom it was let in as, it is not.
            false => Err(ClientFault::NotPinned),
        }
    }

    /// The way from this certificate to an authority on which all are good.
    fn way(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Way, ClientFault> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let found = RefCell::new(None);
        let look = |path: &VerifiedPath<'_>| {
            *found.borrow_mut() = Some(self.look_along(path, now)?);
            Ok(())
        };
        let (algorithms, usage) = (self.rules.algorithms.all, KeyUsage::client_auth());
        leaf.verify_for_usage(algorithms, &self.anchors, others, now, usage, None, Some(&look))?;
        found.into_inner().ok_or(ClientFault::UnknownAuthority)
    }

    /// What webpki does not ask: whether the authority has expired, and whether anything was revoked.
    fn look_along(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<Way, webpki::Error> {
        let authority = name_of(path.anchor());
        let end_s = *self.ends.get(&authority).ok_or(webpki::Error::UnknownIssuer)?;
        if end_s < now.as_secs() as i64 {
            let not_after = UnixTime::since_unix_epoch(Duration::from_secs(end_s.max(0) as u64));
            return Err(webpki::Error::CertExpired { time: now, not_after });
        }
        let mut ends_s = i64::MAX;
        let certificates: Vec<&webpki::Cert<'_>> =
            std::iter::once(&**path.end_entity()).chain(path.intermediate_certificates()).collect();
        let mut links = Vec::new();
        for (index, certificate) in certificates.iter().enumerate() {
            let der = certificate.der();
            let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| webpki::Error::BadDer)?;
            ends_s = ends_s.min(parsed.validity().not_after.timestamp());
            let issuer = issuer_name(certificate.issuer());
            let key = match certificates.get(index + 1) {
                Some(above) => above.subject_public_key_info(),
                None => spki_for_anchor(path.anchor()),
            };
            if let Some(lists) = &self.rules.lists
                && (index == 0 || lists.whole_chain)
            {
                let asked = lists.ask(&issuer, &key, certificate.serial(), index > 0);
                asked.map_err(|fault| match fault {
                    ClientFault::Revoked => webpki::Error::CertRevoked,
                    _ => webpki::Error::UnknownRevocationStatus,
                })?;
            }
            let (key, serial) = (issuer_key(&key), certificate.serial().into());
            links.push(Link { issuer, key, serial });
        }
        Ok(Way { ends_s, authority, links })
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

    /// The key of a certificate that webpki would not read, because it is known by itself.
    fn pinned_key(
        &self,
        certificate: &CertificateDer<'_>,
    ) -> Option<SubjectPublicKeyInfoDer<'static>> {
        let fingerprint: Fingerprint = Sha256::digest(certificate).into();
        self.rules.pins.identity(&fingerprint)?;
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
    }
}

impl ClientCertVerifier for Clients {
    /// Else every authority's name goes to every device, and past 64 KiB the list is cut silently.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.rules.required
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
        let algorithms = &self.rules.algorithms;
        let Some(key) = self.pinned_key(certificate) else {
            return verify_tls12_signature(message, certificate, signed, algorithms);
        };
        let key = RawPublicKeyEntity::try_from(&key).map_err(ClientFault::from)?;
        // In TLS 1.2 a scheme does not say the curve: the one that fits the key has to be found.
        let fitting = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let is_signed = fitting
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        match is_signed {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(ClientFault::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.rules.algorithms;
        match self.pinned_key(certificate) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, algorithms),
            None => verify_tls13_signature(message, certificate, signed, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.algorithms.supported_schemes()
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

/// The earlier of two ends, which are in seconds since 1970.
fn first_end_ms(one_s: i64, other_s: i64) -> EndsAtMs {
    let end_s = one_s.min(other_s);
    (end_s < NEVER_S).then(|| end_s.saturating_mul(1000))
}

fn since_1970_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
