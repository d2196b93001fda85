//! A certificate authority for a fleet, in a folder: `ca.crt` is what the gateway is given as its
//! `client_ca`, and each device has a certificate of its own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks differ.
const SKEW: Duration = Duration::from_secs(3600);
const CA_DAYS: u32 = 3650;
const DEVICE_DAYS: u32 = 365;
pub const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

/// See the module.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// Certificates from the device's own up to its CA, and the device's key.
pub struct Certified {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// From when until when a device's certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Now,
    /// It ended an hour ago.
    Over,
}

impl Authority {
    /// A new one, which nobody keeps.
    pub fn new(name: &str) -> anyhow::Result<Authority> {
        Ok(Authority::create(name)?.0)
    }

    fn create(name: &str) -> anyhow::Result<(Authority, String)> {
        let key = KeyPair::generate().context("a key cannot be made")?;
        let key_pem = key.serialize_pem();
        let mut params = named(name);
        let now = since_1970(SystemTime::now())?;
        params.not_before = date_time_ymd(1970, 1, 1) + (now - SKEW);
        params.not_after = date_time_ymd(1970, 1, 1) + (now + DAY * CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("the CA cannot be made")?.pem();
        Ok((Authority { issuer: Issuer::new(params, key), certificate }, key_pem))
    }

    /// The one of the folder, which is made unless it is there.
    pub fn open(folder: &Path) -> anyhow::Result<Authority> {
        let (certificate, key) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
        match (certificate.exists(), key.exists()) {
            (true, true) => Authority::read(&certificate, &key),
            (false, false) => {
                let (authority, pem) = Authority::create("device-sim CA")?;
                write_secret(&key, &pem)?;
                write(&certificate, &authority.certificate)?;
                Ok(authority)
            }
            _ => anyhow::bail!(
                "{}: of {CA_CERTIFICATE} and {CA_KEY} only one is there: remove it, and a new CA is made",
                folder.display()
            ),
        }
    }

    fn read(certificate: &Path, key: &Path) -> anyhow::Result<Authority> {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let (certificate_pem, key_pem) = (read(certificate)?, read(key)?);
        let key = KeyPair::from_pem(&key_pem).with_context(|| format!("{}", key.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .with_context(|| format!("{}", certificate.display()))?;
        Ok(Authority { issuer, certificate: certificate_pem })
    }

    /// A device's certificate; its id is the common name, and a DNS name where it can be one.
    pub fn certify(&self, id: &str, validity: Validity) -> anyhow::Result<Made> {
        let mut params = named(id);
        let now = since_1970(SystemTime::now())?;
        let (from, until) = match validity {
            Validity::Now => (now - SKEW, now + DAY * DEVICE_DAYS),
            Validity::Over => (now - DAY, now - SKEW),
        };
        params.not_before = date_time_ymd(1970, 1, 1) + from;
        params.not_after = date_time_ymd(1970, 1, 1) + until;
        if id.chars().all(|one| one.is_ascii_alphanumeric() || "-.".contains(one)) {
            params.subject_alt_names = vec![SanType::DnsName(id.try_into()?)];
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("a key cannot be made")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("a certificate for {id} cannot be made"))?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A new certificate and its key, in PEM.
pub struct Made {
    certificate: String,
    key: String,
}

impl Made {
    pub fn certified(&self) -> anyhow::Result<Certified> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        Ok(Certified { chain: chain.context("our own PEM")?, key: key.context("our own PEM")? })
    }

    /// Into `ID.crt` and `ID.key`.
    pub fn keep(&self, folder: &Path, id: &str) -> anyhow::Result<()> {
        let [certificate, key] = files(folder, id)?;
        write_secret(&key, &self.key)?;
        write(&certificate, &self.certificate)
    }
}

/// What somebody else made: `ID.crt` and `ID.key` of the folder.
pub fn read(folder: &Path, id: &str) -> anyhow::Result<Certified> {
    let [certificate, key] = files(folder, id)?;
    let told = |path: &Path| {
        format!(
            "{} cannot be used: --certificates wants ID.crt and ID.key for each device, and --make-ca makes them",
            path.display()
        )
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    Ok(Certified {
        chain: chain.with_context(|| told(&certificate))?,
        key: PrivateKeyDer::from_pem_file(&key).with_context(|| told(&key))?,
    })
}

fn files(folder: &Path, id: &str) -> anyhow::Result<[std::path::PathBuf; 2]> {
    anyhow::ensure!(
        !id.contains('/'),
        "the device id {id:?} cannot be the name of a file: choose another --client-prefix"
    );
    Ok([folder.join(format!("{id}.crt")), folder.join(format!("{id}.key"))])
}

/// A folder, with those above it.
pub fn make_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made: name another folder", folder.display()))
}

pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Nobody else can read it.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let told = || format!("{} cannot be written", path.display());
    // A file that is there keeps its mode, and must not.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(told);
        }
        _ => {}
    }
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(told)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub fn since_1970(time: SystemTime) -> anyhow::Result<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).context("the clock stands before 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_kept_and_its_key_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = std::env::temp_dir().join(format!("authority-{}", std::process::id()));
        make_folder(&folder).unwrap();
        let first = Authority::open(&folder).unwrap();
        let second = Authority::open(&folder).unwrap();
        assert_eq!(first.certificate, second.certificate);
        for authority in [first, second] {
            let made = authority.certify("m-1", Validity::Now).unwrap();
            made.keep(&folder, "m-1").unwrap();
            let (kept, own) = (read(&folder, "m-1").unwrap(), made.certified().unwrap());
            assert_eq!((kept.chain, kept.key), (own.chain, own.key));
        }
        for key in ["ca.key", "m-1.key"] {
            let mode = fs::metadata(folder.join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        fs::remove_file(folder.join("ca.key")).unwrap();
        let told = Authority::open(&folder).err().unwrap().to_string();
        assert!(told.contains("only one is there"), "{told}");
        assert!(read(&folder, "../x").is_err() && read(&folder, "m-2").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
