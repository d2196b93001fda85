//! What a listener's TLS is made of: certificates, keys and authorities, read from their files and made
//! into what rustls serves with. `check` makes it too, and throws it away.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, SignatureVerificationAlgorithm,
};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, InconsistentKeys};
use webpki::{EndEntityCert, anchor_from_trusted_cert, spki_for_anchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use super::clients::{Authority, ClientRules, Clients};
use super::flight::first_flight;
use super::pins::{self, Pins};
use super::revocation::{List, Lists, ONE_NAME_MAX, issuer_name};
use super::server::{ServerCertificate, ServerCertificates};
use super::tickets::Tickets;
use super::{CertificateFiles, ClientSettings, TlsSettings, TlsVersion};
use crate::fault::Faults;

/// Longest file with certificates or a key, in bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Longest file with lists of revoked certificates, in bytes: some million of them.
const LISTS_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Faults of one file of pins that are told.
const PIN_FAULTS_TOLD: usize = 10;
const PEM: &[u8] = b"-----BEGIN";
/// What the client of a first flight may have room for, in bytes: small stacks join no records, and have
/// buffers of this size.
const FIRST_FLIGHT_MAX_BYTES: usize = 4 * 1024;
/// What is spoken above TLS, where MQTT is; `x-amzn-mqtt-ca` is AWS's name for it on port 443.
const MQTT_PROTOCOLS: &[&[u8]] = &[b"mqtt", b"x-amzn-mqtt-ca"];
/// The same below WebSocket, which begins as HTTP.
const HTTP_PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// See the module.
pub struct Material {
    /// What is spoken above TLS, by ALPN.
    pub protocols: &'static [&'static [u8]],
    /// For clients that offer a protocol that is spoken here.
    pub with_protocols: Arc<ServerConfig>,
    /// For all others: what they offer is ignored, not refused.
    pub without_protocols: Arc<ServerConfig>,
    /// Where clients are asked for a certificate.
    pub clients: Option<Arc<Clients>>,
    /// What makes tickets, for who follows at a reload.
    pub tickets: Option<Arc<dyn ProducesTickets>>,
    /// When the first of the gateway's own certificates ends, in seconds since 1970.
    pub ends_s: i64,
    /// When the first list of revoked certificates should be replaced, in seconds since 1970.
    pub lists_end_s: Option<i64>,
    /// What may be meant otherwise, for people.
    pub hints: Vec<String>,
}

/// What is found while files are read.
struct Reader<'a> {
    settings: &'a TlsSettings,
    provider: Arc<CryptoProvider>,
    now_s: i64,
    faults: Faults,
    hints: Vec<String>,
}

impl Material {
    /// With the tickets of what was before, so that sessions outlive a reload.
    pub fn load(
        settings: &TlsSettings,
        tickets: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<Material, Faults> {
        let mut reader = Reader::new(settings);
        let certificates = reader.certificates();
        let clients = settings.clients.as_ref().map(|clients| reader.clients(clients));
        if !reader.faults.0.is_empty() {
            return Err(reader.faults);
        }
        let (certificates, ends): (Vec<_>, Vec<_>) = certificates.into_iter().unzip();
        let tickets = match (settings.resumption, tickets) {
            (false, _) => None,
            (true, Some(tickets)) => Some(tickets),
            (true, None) => Some(Ticketer::new().map_err(|error| {
                reader.faults.add(&settings.place, format!("no tickets can be made: {error}"));
                reader.faults.clone()
            })?),
        };
        let clients = clients.flatten().map(Arc::new);
        let lists_end_s = clients.as_ref().and_then(|clients| clients.next_list_update());
        for (index, certificate) in certificates.iter().enumerate() {
            let alone = ServerCertificates::new(vec![certificate.clone()]);
            let config = reader.config(alone, clients.as_ref(), tickets.as_ref())?;
            reader.measure(index, config);
        }
        let certificates = ServerCertificates::new(certificates);
        let config = reader.config(certificates, clients.as_ref(), tickets.as_ref())?;
        let protocols = match settings.below_websocket {
            true => HTTP_PROTOCOLS,
            false => MQTT_PROTOCOLS,
        };
        let mut with_protocols = config.clone();
        with_protocols.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Material {
            protocols,
            with_protocols: Arc::new(with_protocols),
            without_protocols: Arc::new(config),
            clients,
            tickets,
            ends_s: ends.into_iter().min().unwrap_or_default(),
            lists_end_s,
            hints: reader.hints,
        })
    }
}

/// What decides about clients' certificates, without the rest; None where nobody is asked for one.
pub fn clients(settings: &TlsSettings) -> Result<Option<Clients>, Faults> {
    let Some(clients) = &settings.clients else { return Ok(None) };
    let mut reader = Reader::new(settings);
    let clients = reader.clients(clients);
    if reader.faults.0.is_empty() { Ok(clients) } else { Err(reader.faults) }
}

impl Reader<'_> {
    fn new(settings: &TlsSettings) -> Reader<'_> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Reader {
            settings,
            provider: Arc::new(aws_lc_rs::default_provider()),
            now_s: now.as_secs() as i64,
            faults: Faults::default(),
            hints: Vec::new(),
        }
    }

    /// Those that are good, and when each ends.
    fn certificates(&mut self) -> Vec<(ServerCertificate, i64)> {
        let place = |index| format!("{}.certificates[{index}]", self.settings.place);
        let places: Vec<String> = (0..self.settings.certificates.len()).map(place).collect();
        let files = places.iter().zip(&self.settings.certificates);
        files.filter_map(|(place, files)| self.certificate(place, files)).collect()
    }

    fn certificate(
        &mut self,
        place: &str,
        files: &CertificateFiles,
    ) -> Option<(ServerCertificate, i64)> {
        let (certificate_place, key_place) =
            (format!("{place}.certificate"), format!("{place}.key"));
        let chain = self.certificates_of(&certificate_place, &files.certificate);
        let key = self.key(&key_place, &files.key);
        let (chain, key) = (chain?, key?);
        let file = files.certificate.display();
        let Ok((_, leaf)) = X509Certificate::from_der(&chain[0]) else {
            self.faults.add(certificate_place, format!("{file}: the first certificate is none"));
            return None;
        };
        if leaf.version() != X509Version::V3 {
            self.faults.add(certificate_place, format!("{file} is a certificate of version 1, which no client can check the name of: make one of version 3, such as by `openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 365 -out server.crt -extfile <(printf 'subjectAltName=DNS:gateway.example.com')`"));
            return None;
        }
        let not_after = leaf.validity().not_after;
        if not_after.timestamp() < self.now_s {
            self.hints.push(format!("{certificate_place}: {file} has expired ({not_after}): a client that looks at the time refuses it"));
        }
        let ends_s = not_after.timestamp();
        let names = match EndEntityCert::try_from(&chain[0]) {
            Ok(leaf) => leaf.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            Err(error) => {
                let text = format!("{file} is no certificate of a server: {error}");
                self.faults.add(certificate_place, text);
                return None;
            }
        };
        match CertifiedKey::from_der(chain, key, &self.provider) {
            Ok(key) => Some((ServerCertificate { key: Arc::new(key), names }, ends_s)),
            Err(error) => {
                let key = files.key.display();
                let text = match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        format!("{key} is not the key of {file}: they have to be made together")
                    }
                    rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => {
                        format!("{file} is no certificate of a server")
                    }
                    error => format!("{key} cannot be used: {error}"),
                };
                self.faults.add(key_place, text);
                None
            }
        }
    }

    fn clients(&mut self, settings: &ClientSettings) -> Option<Clients> {
        let algorithms = self.provider.signature_verification_algorithms;
        let pins = settings.names.pinned.as_ref().map(|file| self.pins(file));
        let authorities = settings.authorities.as_ref().map(|file| self.authorities(file));
        let authorities = authorities.unwrap_or_default();
        let lists = match settings.lists.is_empty() {
            true => None,
            false => {
                let lists = self.lists(&settings.lists, &authorities);
                Some(Lists::new(lists, settings.whole_chain, algorithms.all))
            }
        };
        Some(Clients::new(ClientRules {
            required: settings.required,
            authorities,
            lists,
            pins: pins.unwrap_or_default(),
            identity: settings.names.identity.clone(),
            algorithms,
        }))
    }

    fn authorities(&mut self, file: &Path) -> Vec<Authority> {
        let place = format!("{}.client_ca", self.settings.place);
        let certificates = self.certificates_of(&place, file).unwrap_or_default();
        let file = file.display().to_string();
        let mut authorities = Vec::new();
        let faults_before = self.faults.0.len();
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            let name = |parsed: &X509Certificate<'_>| {
                format!("certificate {number} of {file} ({})", parsed.subject())
            };
            let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
                self.faults.add(&place, format!("certificate {number} of {file} cannot be read"));
                continue;
            };
            if let Err(why) = may_vouch(&parsed) {
                self.faults.add(&place, format!("{} {why}", name(&parsed)));
                continue;
            }
            let not_after = parsed.validity().not_after;
            if not_after.timestamp() < self.now_s {
                let hint = format!(
                    "{place}: {} has expired ({not_after}), and vouches for nobody any more: take it out",
                    name(&parsed)
                );
                self.hints.push(hint);
                continue;
            }
            match anchor_from_trusted_cert(certificate) {
                Ok(anchor) => authorities.push(Authority {
                    anchor: anchor.to_owned(),
                    not_after: not_after.timestamp(),
                }),
                Err(error) => {
                    self.faults.add(&place, format!("{} cannot be used: {error}", name(&parsed)));
                }
            }
        }
        let all_told = self.faults.0.len() > faults_before || certificates.is_empty();
        if authorities.is_empty() && !all_told {
            let text = format!("every authority in {file} has expired: nobody could come in");
            self.faults.add(&place, text);
        }
        let mut by_name: HashMap<&[u8], usize> = HashMap::new();
        for authority in &authorities {
            *by_name.entry(&authority.anchor.subject).or_default() += 1;
        }
        if let Some(most) = by_name.into_values().max().filter(|most| *most > ONE_NAME_MAX) {
            self.faults.add(&place, format!("{most} authorities in {file} have one name: at most {ONE_NAME_MAX} can be told apart, so give each a name of its own"));
        }
        authorities
    }

    /// Lists, checked with the authorities that are known already.
    fn lists(&mut self, files: &[PathBuf], authorities: &[Authority]) -> Vec<List> {
        let place = format!("{}.crl", self.settings.place);
        let algorithms = self.provider.signature_verification_algorithms.all;
        let mut lists = Vec::new();
        for file in files {
            let Some(bytes) = self.file(&place, file, LISTS_MAX_BYTES) else { continue };
            let file = file.display();
            let is_pem = bytes.windows(PEM.len()).any(|window| window == PEM);
            let ders = match is_pem {
                true => CertificateRevocationListDer::pem_slice_iter(&bytes).collect(),
                false => Ok(vec![CertificateRevocationListDer::from(bytes)]),
            };
            let ders: Vec<_> = match ders {
                Ok(ders) => ders,
                Err(error) => {
                    self.faults.add(&place, format!("{file} is no PEM: {error}"));
                    continue;
                }
            };
            if ders.is_empty() {
                self.faults.add(
                    &place,
                    format!(
                        "{file} has no list in PEM: it would begin with -----BEGIN X509 CRL-----"
                    ),
                );
            }
            for (index, der) in ders.iter().enumerate() {
                let number = index + 1;
                match List::parse(der) {
                    Ok(list) => {
                        self.look_at_list(
                            &place,
                            &format!("list {number} of {file}"),
                            &list,
                            authorities,
                            algorithms,
                        );
                        lists.push(list);
                    }
                    Err(why) => self.faults.add(&place, format!("list {number} of {file} {why}")),
                }
            }
        }
        lists
    }

    fn look_at_list(
        &mut self,
        place: &str,
        name: &str,
        list: &List,
        authorities: &[Authority],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) {
        let issuer = &list.issuer_text;
        let namesakes: Vec<&Authority> = authorities
            .iter()
            .filter(|authority| issuer_name(&authority.anchor.subject) == list.issuer)
            .collect();
        let is_theirs = namesakes
            .iter()
            .any(|authority| list.check(&spki_for_anchor(&authority.anchor), algorithms));
        if namesakes.is_empty() {
            self.hints.push(format!("{place}: {name} is of {issuer}, who is not in client_ca: it counts when a client brings that authority's certificate along"));
        } else if !is_theirs {
            self.faults.add(place, format!("{name} is not signed by {issuer} as client_ca knows it: fetch the list anew, or the authority's certificate"));
        }
        if list.next_update.is_some_and(|next| next < self.now_s) {
            self.hints.push(format!("{place}: {name}, of {issuer}, should have been replaced: who was revoked since comes in"));
        }
    }

    fn pins(&mut self, file: &Path) -> Pins {
        const PLACE: &str = "authentication.certificate.pinned";
        let Some(bytes) = self.file(PLACE, file, pins::FILE_MAX_BYTES) else {
            return Pins::default();
        };
        let file = file.display();
        let Ok(text) = String::from_utf8(bytes) else {
            self.faults.add(PLACE, format!("{file} is no UTF-8"));
            return Pins::default();
        };
        Pins::parse(&text).unwrap_or_else(|faults| {
            let more = faults.len().saturating_sub(PIN_FAULTS_TOLD);
            for fault in faults.into_iter().take(PIN_FAULTS_TOLD) {
                self.faults.add(PLACE, format!("{file}: {fault}"));
            }
            if more > 0 {
                self.faults.add(PLACE, format!("{file}: and {more} more"));
            }
            Pins::default()
        })
    }

    /// At least one.
    fn certificates_of(
        &mut self,
        place: &str,
        file: &Path,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.file(place, file, FILE_MAX_BYTES)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let file = file.display();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => return Some(certificates),
            Ok(_) => self.faults.add(place, format!("{file} has no certificate in PEM: it would begin with -----BEGIN CERTIFICATE-----")),
            Err(error) => self.faults.add(place, format!("{file} is no PEM: {error}")),
        }
        None
    }

    fn key(&mut self, place: &str, file: &Path) -> Option<PrivateKeyDer<'static>> {
        let text = self.file(place, file, FILE_MAX_BYTES)?;
        match PrivateKeyDer::from_pem_slice(&text) {
            Ok(key) => Some(key),
            Err(_) => {
                let text = format!(
                    "{} has no private key in PEM that is not encrypted (`openssl pkey -in {0} -out plain.key` makes one)",
                    file.display()
                );
                self.faults.add(place, text);
                None
            }
        }
    }

    fn file(&mut self, place: &str, file: &Path, most: u64) -> Option<Vec<u8>> {
        match read(file, most) {
            Ok(bytes) => Some(bytes),
            Err(text) => {
                self.faults.add(place, text);
                None
            }
        }
    }

    /// Says so where what a client has to hold at once is more than small ones can.
    fn measure(&mut self, index: usize, config: ServerConfig) {
        let Some(bytes) = first_flight(Arc::new(config)) else { return };
        if bytes > FIRST_FLIGHT_MAX_BYTES {
            self.hints.push(format!("{}.certificates[{index}]: a handshake begins with {bytes} bytes of the gateway's, and small devices (Zephyr, nRF91) hold at most {FIRST_FLIGHT_MAX_BYTES}: a key on P-256 in place of RSA, and a chain without the root, are shorter", self.settings.place));
        }
    }

    fn config(
        &self,
        certificates: ServerCertificates,
        clients: Option<&Arc<Clients>>,
        tickets: Option<&Arc<dyn ProducesTickets>>,
    ) -> Result<ServerConfig, Faults> {
        let versions: &[_] = match self.settings.min_version {
            TlsVersion::V12 => &[&TLS13, &TLS12],
            TlsVersion::V13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(versions).map_err(|error| {
            let mut faults = Faults::default();
            faults.add(&self.settings.place, format!("no server can be made: {error}"));
            faults
        })?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as _),
            None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        // Sessions are kept by clients, in tickets, or nowhere.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(maker) = tickets {
            let clients = clients.cloned();
            config.ticketer = Arc::new(Tickets { maker: Arc::clone(maker), clients });
            // A second one would only be another message that simple clients stumble over.
            config.send_tls13_tickets = 1;
        }
        // `max_early_data_size` stays 0: what comes before the handshake is over can be played again.
        Ok(config)
    }
}

/// The file's bytes, or why not.
fn read(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > most {
        return Err(format!("{} has {size} bytes; at most {most} are read", file.display()));
    }
    std::fs::read(file).map_err(failed)
}

/// Whether the certificate says of itself that it may sign others.
fn may_vouch(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    if certificate.version() != X509Version::V3 {
        return Err(
            "has version 1 and cannot say that it is an authority: make one of version 3 (openssl req -x509 does)",
        );
    }
    let is_ca =
        matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca);
    if !is_ca {
        return Err(
            "is no authority (basicConstraints CA:TRUE), and client_ca is for those that vouch for devices, not for devices' own certificates",
        );
    }
    match certificate.key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.key_cert_sign() => Ok(()),
        _ => Err("is an authority that may not sign certificates, by its key usage"),
    }
}
