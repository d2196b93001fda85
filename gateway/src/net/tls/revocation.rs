//! Lists of certificates that authorities took back. A list is checked once and kept by its issuer, which is a
//! name and the key that signed it, in version 1 as in 2; one that should have been replaced long ago still says
//! what it says.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};
use webpki::RawPublicKeyEntity;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::x509::X509Name;

use super::clients::ClientFault;

/// Authorities of one name that are told apart: a chain is tried with each of them, and webpki checks no more than
/// 100 signatures for one. Lists of that name are tried with the key of each, once.
pub const ONE_NAME_MAX: usize = 64;

/// The name of an issuer, by its hash.
pub type IssuerName = [u8; 16];
/// The key of an issuer, by its hash.
pub type IssuerKey = [u8; 16];

/// An issuer's name as it stands in certificates, without its outermost header.
pub fn issuer_name(contents: &[u8]) -> IssuerName {
    hash(contents)
}

pub fn issuer_key(key: &SubjectPublicKeyInfoDer<'_>) -> IssuerKey {
    hash(key)
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    *hash.first_chunk().expect("it is longer")
}

/// All lists of a listener.
#[derive(Debug)]
pub struct Lists {
    by_issuer: HashMap<IssuerName, Vec<List>>,
    /// All certificates of a chain have to be on nobody's list, or only a client's own.
    pub whole_chain: bool,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

/// One list.
#[derive(Debug)]
pub struct List {
    /// Who made it, as people write it.
    pub issuer_text: String,
    pub issuer: IssuerName,
    /// When it should be replaced, in seconds since 1970.
    pub next_update: Option<i64>,
    covers_clients: bool,
    covers_authorities: bool,
    serials: HashSet<Box<[u8]>>,
    trust: Mutex<Trust>,
}

/// Whose list it is.
#[derive(Debug)]
enum Trust {
    /// Of the authority with this key, and not of another one of that name.
    Checked(IssuerKey),
    /// The issuer was not seen yet, or not with the key that made this; the keys that were tried.
    Unchecked { signed: Box<Signed>, tried: Vec<IssuerKey> },
}

/// What a signature is of.
#[derive(Debug)]
struct Signed {
    content: Vec<u8>,
    /// As the encoding has it, without its outermost header.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl List {
    /// Of DER; what is wrong with it otherwise.
    pub fn parse(der: &[u8]) -> Result<List, String> {
        let unreadable = || "cannot be read".to_owned();
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| unreadable())?;
        let content = list.tbs_cert_list.as_ref();
        // The parser passes over entries that it cannot read, and nobody would be on such a list.
        if !rest.is_empty() || length(content) != Some(content.len()) {
            return Err(unreadable());
        }
        let (mut covers_clients, mut covers_authorities) = (true, true);
        for extension in list.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::IssuingDistributionPoint(part) => {
                    if part.indirect_crl
                        || part.only_some_reasons.is_some()
                        || part.only_contains_attribute_certs
                    {
                        return Err("is indirect, or for some reasons or attribute certificates only: publish a complete one".to_owned());
                    }
                    if part.distribution_point.is_some() {
                        return Err("names a distribution point, and may be a part of a list only: publish a complete one without that extension".to_owned());
                    }
                    covers_clients = !part.only_contains_ca_certs;
                    covers_authorities = !part.only_contains_user_certs;
                }
                _ if extension.critical => {
                    return Err(format!(
                        "has a critical extension ({}) that is not known, such as of a delta list: publish a complete one",
                        extension.oid
                    ));
                }
                _ => {}
            }
        }
        let is_indirect = |entry: &RevokedCertificate<'_>| {
            entry.extensions().iter().any(|extension| {
                let known = extension.parsed_extension();
                let is_known = matches!(
                    known,
                    ParsedExtension::ReasonCode(_) | ParsedExtension::InvalidityDate(_)
                );
                extension.critical && !is_known
            })
        };
        if list.iter_revoked_certificates().any(is_indirect) {
            return Err(
                "has an entry with a critical extension that is not known: publish a complete one"
                    .to_owned(),
            );
        }
        let signed = Signed {
            content: content.to_vec(),
            algorithm: algorithm_of(der).ok_or_else(unreadable)?.to_vec(),
            signature: list.signature_value.data.to_vec(),
        };
        Ok(List {
            issuer_text: list.issuer().to_string(),
            issuer: issuer_name(contents(list.issuer())),
            next_update: list.next_update().map(|next| next.timestamp()),
            covers_clients,
            covers_authorities,
            serials: list
                .iter_revoked_certificates()
                .map(|entry| entry.raw_serial().into())
                .collect(),
            trust: Mutex::new(Trust::Unchecked { signed: Box::new(signed), tried: Vec::new() }),
        })
    }

    /// Whether the list is of the authority with this key.
    pub fn check(
        &self,
        key: &SubjectPublicKeyInfoDer<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let hash = issuer_key(key);
        let mut trust = self.trust.lock();
        let (signed, tried) = match &mut *trust {
            Trust::Checked(known) => return *known == hash,
            Trust::Unchecked { signed, tried } => (signed, tried),
        };
        if tried.contains(&hash) || tried.len() == ONE_NAME_MAX {
            return false;
        }
        let is_made_by = |entity: &RawPublicKeyEntity<'_>| {
            let fitting = algorithms
                .iter()
                .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm);
            fitting.into_iter().any(|algorithm| {
                entity.verify_signature(*algorithm, &signed.content, &signed.signature).is_ok()
            })
        };
        match RawPublicKeyEntity::try_from(key) {
            Ok(entity) if is_made_by(&entity) => {
                *trust = Trust::Checked(hash);
                true
            }
            _ => {
                tried.push(hash);
                false
            }
        }
    }

    /// The same without arithmetic: it was found out before.
    fn is_known_of(&self, key: &IssuerKey) -> bool {
        matches!(&*self.trust.lock(), Trust::Checked(known) if known == key)
    }
}

impl Lists {
    pub fn new(
        lists: Vec<List>,
        whole_chain: bool,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Lists {
        let mut by_issuer: HashMap<IssuerName, Vec<List>> = HashMap::new();
        for list in lists {
            by_issuer.entry(list.issuer).or_default().push(list);
        }
        Lists { by_issuer, whole_chain, algorithms }
    }

    /// When the first of them should be replaced, in seconds since 1970.
    pub fn next_update(&self) -> Option<i64> {
        self.by_issuer.values().flatten().filter_map(|list| list.next_update).min()
    }

    /// Whether the certificate with this serial number is on none of the lists of its issuer, which has this name
    /// and this key; there has to be one.
    pub fn ask(
        &self,
        name: &IssuerName,
        key: &SubjectPublicKeyInfoDer<'_>,
        serial: &[u8],
        is_authority: bool,
    ) -> Result<(), ClientFault> {
        let is_its = |list: &List| list.check(key, self.algorithms);
        self.ask_of(name, is_its, serial, is_authority)
    }

    /// The same of an issuer whose key was seen before, by the lists that are known to be its own: without
    /// arithmetic.
    pub fn ask_known(
        &self,
        name: &IssuerName,
        key: &IssuerKey,
        serial: &[u8],
        is_authority: bool,
    ) -> Result<(), ClientFault> {
        self.ask_of(name, |list| list.is_known_of(key), serial, is_authority)
    }

    fn ask_of(
        &self,
        name: &IssuerName,
        is_its: impl Fn(&List) -> bool,
        serial: &[u8],
        is_authority: bool,
    ) -> Result<(), ClientFault> {
        let lists = self.by_issuer.get(name).map(Vec::as_slice).unwrap_or_default();
        let covering = lists.iter().filter(|list| {
            let covers = if is_authority { list.covers_authorities } else { list.covers_clients };
            covers && is_its(list)
        });
        let mut known = false;
        for list in covering {
            known = true;
            if list.serials.contains(serial) {
                return Err(ClientFault::Revoked);
            }
        }
        if known { Ok(()) } else { Err(ClientFault::RevocationUnknown) }
    }
}

/// The encoding of a name, without its outermost header.
pub fn contents<'a>(name: &X509Name<'a>) -> &'a [u8] {
    let raw = name.as_raw();
    let header = length(raw).map_or(0, |_| header_length(raw));
    &raw[header..]
}

/// The algorithm in a list: what stands behind the content that is signed, without its outermost header.
fn algorithm_of(der: &[u8]) -> Option<&[u8]> {
    let behind_header = der.get(header_length(der)..)?;
    let behind_content = behind_header.get(length(behind_header)?..)?;
    let whole = behind_content.get(..length(behind_content)?)?;
    whole.get(header_length(whole)..)
}

/// The length of the value that begins here, with its header, as its header says.
fn length(der: &[u8]) -> Option<usize> {
    let [_tag, first, rest @ ..] = der else { return None };
    match first {
        0..0x80 => Some(2 + usize::from(*first)),
        _ => {
            let digits =
                rest.get(..usize::from(first & 0x7f)).filter(|digits| digits.len() <= 4)?;
            let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
            Some(2 + digits.len() + length)
        }
    }
}

fn header_length(der: &[u8]) -> usize {
    match der {
        [_tag, first, ..] if *first >= 0x80 => 2 + usize::from(first & 0x7f),
        _ => 2,
    }
}
