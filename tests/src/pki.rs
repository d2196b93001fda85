//! Certificates for tests: an authority, the certificates that it signs, its list of those that it took
//! back, and what only old tools make (version 1), each written into a test's folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use sha2::{Digest as _, Sha256};

/// Certificates are valid from so long before they were made to so long after.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What a certificate has for "never" (RFC 5280, 4.1.2.5): 9999-12-31 23:59:59.
const NEVER_ENDS_S: u64 = 253_402_300_799;

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// On P-256.
    Ecdsa,
    /// Of 2048 bits.
    Rsa,
}

/// What a certificate may be used for, by its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Client,
    Server,
    /// It has no such extension.
    Anything,
}

/// What a certificate is to say; `Leaf::client` and `Leaf::server` say what most do.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub common_name: Option<String>,
    pub organization: Option<String>,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub key: Key,
    pub usage: Use,
}

impl Leaf {
    /// A device's, with this common name and no other.
    pub fn client(common_name: &str) -> Leaf {
        Leaf {
            common_name: Some(common_name.to_owned()),
            organization: None,
            dns: Vec::new(),
            uris: Vec::new(),
            not_before: SystemTime::now() - DAY,
            not_after: SystemTime::now() + DAY,
            key: Key::Ecdsa,
            usage: Use::Client,
        }
    }

    /// A gateway's, for `localhost`, 127.0.0.1 and ::1.
    pub fn server() -> Leaf {
        let dns = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        Leaf { dns, usage: Use::Server, ..Leaf::client("gateway") }
    }

    /// Without a common name: only its other names say who it is.
    pub fn nameless(mut self) -> Leaf {
        self.common_name = None;
        self
    }

    pub fn organization(mut self, organization: &str) -> Leaf {
        self.organization = Some(organization.to_owned());
        self
    }

    /// One more DNS name, or IP address.
    pub fn dns(mut self, name: &str) -> Leaf {
        self.dns.push(name.to_owned());
        self
    }

    /// For these names and no other.
    pub fn only_dns(mut self, names: &[&str]) -> Leaf {
        self.dns = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub fn uri(mut self, uri: &str) -> Leaf {
        self.uris.push(uri.to_owned());
        self
    }

    pub fn key(mut self, key: Key) -> Leaf {
        self.key = key;
        self
    }

    pub fn usage(mut self, usage: Use) -> Leaf {
        self.usage = usage;
        self
    }

    /// It ended an hour ago.
    pub fn expired(mut self) -> Leaf {
        self.not_after = SystemTime::now() - DAY / 24;
        self
    }

    /// It begins in an hour.
    pub fn not_yet_valid(mut self) -> Leaf {
        self.not_before = SystemTime::now() + DAY / 24;
        self
    }

    /// It ends that soon.
    pub fn ends_in(mut self, length: Duration) -> Leaf {
        self.not_after = SystemTime::now() + length;
        self
    }

    /// It ends on 9999-12-31.
    pub fn never_ends(mut self) -> Leaf {
        self.not_after = UNIX_EPOCH + Duration::from_secs(NEVER_ENDS_S);
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.dns.clone()).expect("names are ASCII");
        for uri in &self.uris {
            let uri = uri.as_str().try_into().expect("a URI is ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = &self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        if let Some(common_name) = &self.common_name {
            params.distinguished_name.push(DnType::CommonName, common_name.as_str());
        }
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(self.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(self.not_after);
        params.serial_number = Some(serial());
        params.extended_key_usages = match self.usage {
            Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Use::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Use::Anything => Vec::new(),
        };
        params.use_authority_key_identifier_extension = true;
        params
    }

    /// A certificate that nobody but itself vouches for.
    pub fn self_signed(&self) -> Issued {
        let (params, key) = (self.params(), self.key.pair());
        let certificate = params.self_signed(&key).expect("it can be signed");
        Issued::new(&certificate.pem(), "", &key, &params)
    }
}

impl Key {
    fn pair(self) -> KeyPair {
        let algorithm = match self {
            Key::Ecdsa => &PKCS_ECDSA_P256_SHA256,
            Key::Rsa => &PKCS_RSA_SHA256,
        };
        KeyPair::generate_for(algorithm).expect("the library makes such keys")
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate alone.
    pub certificate: String,
    /// The certificate and the intermediate ones, as a client or server sends them.
    pub chain: String,
    pub key: String,
    serial: Vec<u8>,
}

/// Where a certificate and its key were written.
#[derive(Clone, Debug)]
pub struct Files {
    /// With the intermediate ones.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    /// The paths as text, for command lines and configurations.
    pub fn certificate(&self) -> &str {
        self.certificate.to_str().expect("paths of tests are UTF-8")
    }

    pub fn key(&self) -> &str {
        self.key.to_str().expect("paths of tests are UTF-8")
    }
}

impl Issued {
    fn new(certificate: &str, above: &str, key: &KeyPair, params: &CertificateParams) -> Issued {
        Issued {
            certificate: certificate.to_owned(),
            chain: format!("{certificate}{above}"),
            key: key.serialize_pem(),
            serial: params.serial_number.as_ref().expect("each has one").to_bytes(),
        }
    }

    /// Writes `NAME.crt`, with the intermediate ones, and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> Files {
        Files {
            certificate: write(folder, &format!("{name}.crt"), &self.chain),
            key: write(folder, &format!("{name}.key"), &self.key),
        }
    }

    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let der = der(&self.certificate);
        Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Certificates of the authorities between the root and this one, itself included, as a leaf's chain
    /// ends; empty for a root.
    above: String,
    name: String,
}

impl Authority {
    /// A root, valid for a day.
    pub fn new(name: &str) -> Authority {
        Authority::valid(name, SystemTime::now() - DAY, SystemTime::now() + DAY)
    }

    /// A root that has expired.
    pub fn ended(name: &str) -> Authority {
        Authority::valid(name, SystemTime::now() - DAY, SystemTime::now() - DAY / 24)
    }

    /// A root that is valid for so long.
    pub fn valid(name: &str, not_before: SystemTime, not_after: SystemTime) -> Authority {
        let params = authority_params(name, not_before, not_after);
        let issuer = CertifiedIssuer::self_signed(params, Key::Ecdsa.pair());
        let issuer = issuer.expect("it can be signed");
        Authority { issuer, above: String::new(), name: name.to_owned() }
    }

    /// An authority that this one vouches for; leaves of it bring its certificate along.
    pub fn intermediate(&self, name: &str) -> Authority {
        let now = SystemTime::now();
        let params = authority_params(name, now - DAY, now + DAY);
        let issuer = CertifiedIssuer::signed_by(params, Key::Ecdsa.pair(), &self.issuer);
        let issuer = issuer.expect("it can be signed");
        let above = format!("{}{}", issuer.pem(), self.above);
        Authority { issuer, above, name: name.to_owned() }
    }

    pub fn issue(&self, leaf: &Leaf) -> Issued {
        let (params, key) = (leaf.params(), leaf.key.pair());
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        Issued::new(&certificate.pem(), &self.above, &key, &params)
    }

    /// The authority's own certificate, in PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Writes the authority's own certificate as `NAME.crt`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, &format!("{name}.crt"), &self.certificate())
    }

    /// The list (version 2) of what it took back, in PEM, which is to be replaced in a day.
    pub fn revoke(&self, revoked: &[&Issued]) -> String {
        self.revoke_until(revoked, SystemTime::now() + DAY)
    }

    /// The same, to be replaced then.
    pub fn revoke_until(&self, revoked: &[&Issued], next_update: SystemTime) -> String {
        let taken_back = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&issued.serial),
            revocation_time: date_time_ymd(1970, 1, 1) + since_1970(SystemTime::now() - DAY / 24),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(next_update - 2 * DAY),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(next_update),
            crl_number: serial(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(taken_back).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("it can be signed");
        list.pem().expect("it can be written")
    }

    /// A certificate of version 1, as mosquitto's own recipe made them up to OpenSSL 3.1.
    #[track_caller]
    pub fn issue_v1(&self, folder: &Path, common_name: &str) -> Issued {
        let (request, key) = self.request(folder, common_name);
        let (own, own_key) = self.write_own(folder);
        let serial = serial().to_bytes();
        let certificate = openssl(&[
            "x509",
            "-req",
            "-days",
            "1",
            "-set_serial",
            &format!("0x{}", hexadecimal(&serial)),
            "-in",
            &request,
            "-CA",
            &own,
            "-CAkey",
            &own_key,
        ]);
        let chain = format!("{certificate}{}", self.above);
        Issued { certificate, chain, key, serial }
    }

    /// A list of version 1, as `openssl ca -gencrl` makes it of a configuration without extensions.
    #[track_caller]
    pub fn revoke_v1(&self, folder: &Path, revoked: &[&Issued]) -> String {
        let line = |issued: &&Issued| {
            let serial = hexadecimal(&issued.serial);
            format!("R\t491231235959Z\t200101000000Z\t{serial}\tunknown\t/CN=revoked\n")
        };
        let database: String = revoked.iter().map(line).collect();
        let database = write(folder, "v1-index.txt", &database);
        let configuration = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\ndefault_md = sha256\ndefault_crl_days = 1\n",
            database.display()
        );
        let configuration = write(folder, "v1.cnf", &configuration);
        let (own, own_key) = self.write_own(folder);
        let configuration = configuration.to_str().expect("paths of tests are UTF-8");
        openssl(&["ca", "-gencrl", "-config", configuration, "-cert", &own, "-keyfile", &own_key])
    }

    fn request(&self, folder: &Path, common_name: &str) -> (String, String) {
        let key = Key::Ecdsa.pair().serialize_pem();
        (request(folder, common_name, &key), key)
    }

    /// Its certificate and key, for `openssl`.
    fn write_own(&self, folder: &Path) -> (String, String) {
        let text = |path: PathBuf| path.to_str().expect("paths of tests are UTF-8").to_owned();
        let key = self.issuer.key().serialize_pem();
        (
            text(write(folder, &format!("{}-own.crt", self.name), &self.certificate())),
            text(write(folder, &format!("{}-own.key", self.name), &key)),
        )
    }
}

/// A self-signed certificate of version 1.
#[track_caller]
pub fn self_signed_v1(folder: &Path, common_name: &str) -> Issued {
    let key = Key::Ecdsa.pair().serialize_pem();
    let request = request(folder, common_name, &key);
    let key_file = write(folder, &format!("{common_name}-self.key"), &key);
    let key_file = key_file.to_str().expect("paths of tests are UTF-8");
    let arguments = ["x509", "-req", "-days", "1", "-in", &request, "-signkey", key_file];
    let certificate = openssl(&arguments);
    Issued { chain: certificate.clone(), certificate, key, serial: Vec::new() }
}

fn request(folder: &Path, common_name: &str, key: &str) -> String {
    let key = write(folder, &format!("{common_name}-request.key"), key);
    let key = key.to_str().expect("paths of tests are UTF-8");
    let subject = format!("/CN={common_name}");
    let request = openssl(&["req", "-new", "-key", key, "-subj", &subject]);
    let path = write(folder, &format!("{common_name}.csr"), &request);
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

/// What the command prints.
#[track_caller]
fn openssl(arguments: &[&str]) -> String {
    let ran = Command::new("openssl").args(arguments).output();
    let output = ran.unwrap_or_else(|error| panic!("openssl cannot be run: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("PEM is text")
}

fn authority_params(
    name: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
    params.serial_number = Some(serial());
    params.use_authority_key_identifier_extension = true;
    params
}

/// Another one each time.
fn serial() -> SerialNumber {
    static NEXT: AtomicU64 = AtomicU64::new(0x1000);
    SerialNumber::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Since 1970, in whole seconds, as certificates have it.
fn since_1970(at: SystemTime) -> Duration {
    let since = at.duration_since(UNIX_EPOCH).expect("it is later than 1970");
    Duration::from_secs(since.as_secs())
}

/// The bytes of the first block of a PEM text.
fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is PEM").to_vec()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the test's folder can be written");
    path
}
