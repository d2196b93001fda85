//! The certificates of `landfall dev --tls`, in a folder: a CA, the gateway's own certificate and that of one
//! device. They are kept, and made anew when one of them is about to end.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;

/// The device that has a certificate from the beginning.
pub const DEVICE: &str = "m-1";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks differ.
const SKEW: Duration = Duration::from_secs(3600);
const CA_DAYS: u32 = 3650;
const LEAF_DAYS: u32 = 365;
/// What ends sooner is made anew.
const LEFT_MIN: Duration = DAY;

/// See the module.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Those of the folder; what is missing or about to end is made.
    pub fn open(folder: &Path) -> anyhow::Result<Certificates> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let certificates = Certificates::at(folder);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .context("the clock stands before 1970")?;
        let kept = certificates.is_good("ca", now).then(|| certificates.authority()).transpose()?;
        let is_new = kept.is_none();
        let authority = match kept {
            Some(authority) => authority,
            None => certificates.make_authority(now)?,
        };
        let names = [
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        let leaves = [
            ("server", "landfall dev", ExtendedKeyUsagePurpose::ServerAuth, names.to_vec()),
            (DEVICE, DEVICE, ExtendedKeyUsagePurpose::ClientAuth, Vec::new()),
        ];
        for (name, common_name, purpose, names) in leaves {
            if is_new || !certificates.is_good(name, now) {
                let mut params = named(common_name, now, LEAF_DAYS);
                params.subject_alt_names = names;
                params.is_ca = IsCa::ExplicitNoCa;
                params.use_authority_key_identifier_extension = true;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                params.extended_key_usages = vec![purpose];
                let key = KeyPair::generate()?;
                let certificate = params.signed_by(&key, &authority)?;
                certificates.keep(name, &certificate.pem(), &key.serialize_pem())?;
            }
        }
        Ok(certificates)
    }

    /// Their files, whether they are there or not.
    pub fn at(folder: &Path) -> Certificates {
        Certificates { folder: folder.to_owned() }
    }

    /// The file of a certificate: `ca`, `server` or the device's.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// The file of its key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Both files are there, and the certificate can be read and lasts for a while.
    fn is_good(&self, name: &str, now: Duration) -> bool {
        let ends = || {
            let pem = fs::read(self.certificate(name)).ok()?;
            let (_, pem) = parse_x509_pem(&pem).ok()?;
            let certificate = pem.parse_x509().ok()?;
            u64::try_from(certificate.validity().not_after.timestamp()).ok()
        };
        let lasts = ends().is_some_and(|ends| Duration::from_secs(ends) > now + LEFT_MIN);
        lasts && self.key(name).exists()
    }

    fn authority(&self) -> anyhow::Result<Issuer<'static, KeyPair>> {
        let read = |path: PathBuf| {
            fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let remove =
            || format!("{}: remove this folder, and it is made anew", self.folder.display());
        let key = KeyPair::from_pem(&read(self.key("ca"))?).with_context(remove)?;
        Issuer::from_ca_cert_pem(&read(self.certificate("ca"))?, key).with_context(remove)
    }

    fn make_authority(&self, now: Duration) -> anyhow::Result<Issuer<'static, KeyPair>> {
        let mut params = named("landfall dev CA", now, CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        self.keep("ca", &certificate.pem(), &key.serialize_pem())?;
        Ok(Issuer::new(params, key))
    }

    fn keep(&self, name: &str, certificate: &str, key: &str) -> anyhow::Result<()> {
        let path = self.key(name);
        // A file that is there keeps its mode, and must not.
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let write = || {
            removed?;
            let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            (&file).write_all(key.as_bytes())?;
            fs::write(self.certificate(name), certificate)
        };
        write().with_context(|| format!("{} cannot be written", self.folder.display()))
    }
}

fn named(common_name: &str, now: Duration, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(1970, 1, 1) + (now - SKEW);
    params.not_after = date_time_ymd(1970, 1, 1) + (now + DAY * days);
    params
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn they_are_kept_until_one_is_about_to_end() {
        let folder = std::env::temp_dir().join(format!("landfall-dev-{}", std::process::id()));
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let all =
            || ["ca.crt", "server.crt", "m-1.crt", "ca.key", "server.key", "m-1.key"].map(read);
        Certificates::open(&folder).unwrap();
        let first = all();
        for name in ["ca.key", "server.key", "m-1.key"] {
            let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let certificates = Certificates::open(&folder).unwrap();
        assert_eq!(all(), first);

        // The device's ends within the hour; the others stay.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let key = KeyPair::generate().unwrap();
        let ends = named(DEVICE, now - DAY * LEAF_DAYS + Duration::from_secs(3600), LEAF_DAYS);
        let ends = ends.signed_by(&key, &certificates.authority().unwrap()).unwrap();
        certificates.keep(DEVICE, &ends.pem(), &key.serialize_pem()).unwrap();
        let old = all();
        Certificates::open(&folder).unwrap();
        let new = all();
        assert_eq!((&new[0], &new[1]), (&first[0], &first[1]));
        assert_ne!((&new[2], &new[5]), (&old[2], &old[5]));

        // Without its key a CA signs nothing: everything is new.
        fs::remove_file(folder.join("ca.key")).unwrap();
        Certificates::open(&folder).unwrap();
        assert!(all().iter().zip(&new).all(|(one, other)| one != other));
        fs::remove_dir_all(&folder).unwrap();
    }
}
