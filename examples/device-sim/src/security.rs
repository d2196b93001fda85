//! What devices prove themselves with, and what is between them and the gateway: TLS, certificates,
//! tokens, passwords, WebSocket; read, or made here.

pub mod authority;
pub mod token;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::link::{Login, Way};
use authority::{Authority, Certified, Validity};
use token::{Claims, Signer};

/// Sessions that a device keeps to resume: it speaks to one gateway.
const SESSIONS: usize = 2;
/// How long a token holds, without `--token-lifetime`.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What is made for the fleet.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Made {
    /// Give each device a certificate of a CA in this folder, which is made unless it is there; the
    /// gateway's `client_ca` is its ca.crt
    #[arg(long, value_name = "DIR")]
    make_ca: Option<PathBuf>,
    /// Give each device a token, signed by a key in this folder, which is made unless it is there; the
    /// gateway's `jwks` is its jwks.json
    #[arg(long, value_name = "DIR")]
    make_tokens: Option<PathBuf>,
    /// The `iss` of tokens that are made
    #[arg(long, value_name = "TEXT", requires = "make_tokens")]
    token_issuer: Option<String>,
    /// The `aud` of tokens that are made
    #[arg(long, value_name = "TEXT", requires = "make_tokens")]
    token_audience: Option<String>,
    /// How long a token that is made holds; devices make a new one for each connection [default: 24h]
    #[arg(long, value_name = "TIME", requires = "make_tokens", value_parser = crate::parse_length)]
    token_lifetime: Option<Duration>,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    #[command(flatten)]
    made: Made,
    /// Speak TLS
    #[arg(long)]
    tls: bool,
    /// The CA that signed the gateway's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// The name in the gateway's certificate [default: the host of --gateway]
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
    /// Give each device the certificate ID.crt and the key ID.key of this folder
    #[arg(long, value_name = "DIR", requires = "tls", conflicts_with = "make_ca")]
    certificates: Option<PathBuf>,
    /// Give each device the token ID.jwt of this folder
    #[arg(long, value_name = "DIR", conflicts_with = "make_tokens")]
    tokens: Option<PathBuf>,
    /// The password of all devices
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["tokens", "make_tokens"])]
    password: Option<String>,
    /// A file with a line USER:PASSWORD for each device; the user is the device's id
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password", "tokens", "make_tokens"])]
    password_file: Option<PathBuf>,
    /// The user name of all devices [default: the device's id]
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    username: Option<String>,
    /// Speak MQTT in a WebSocket
    #[arg(long)]
    websocket: bool,
    /// The path of the WebSocket [default: /mqtt]
    #[arg(long, value_name = "PATH", requires = "websocket")]
    websocket_path: Option<String>,
}

/// See the module: what is there for the whole fleet.
pub struct Security {
    trust: Option<ClientConfig>,
    certificates: Certificates,
    logins: Logins,
}

enum Certificates {
    None,
    Made { authority: Box<Authority>, folder: PathBuf },
    Read(PathBuf),
}

enum Logins {
    None,
    User(String),
    Password { user: Option<String>, password: String },
    Lines(HashMap<String, String>),
    Made { user: Option<String>, signer: Arc<Signer>, folder: PathBuf },
    Read { user: Option<String>, folder: PathBuf },
}

/// What one device says who it is, and with what it proves that.
pub struct Proof {
    client_id: String,
    tls: Option<TlsConnector>,
    login: Said,
}

enum Said {
    Nothing,
    Always(Login),
    /// A new token for each connection.
    Token {
        user: String,
        subject: String,
        signer: Arc<Signer>,
        validity: Validity,
    },
}

impl Proof {
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn tls(&self) -> Option<&TlsConnector> {
        self.tls.as_ref()
    }

    /// User name and password of a connection that begins now.
    pub fn login(&self) -> Result<Option<Login>, String> {
        match &self.login {
            Said::Nothing => Ok(None),
            Said::Always(login) => Ok(Some(login.clone())),
            Said::Token { user, subject, signer, validity } => {
                let password = signer.token(subject, *validity);
                let password = password.map_err(|error| format!("{error:#}"))?;
                Ok(Some(Login { user: user.clone(), password }))
            }
        }
    }
}

impl Options {
    /// What is between a device and the gateway.
    pub fn way(&self, host: &str, port: u16) -> anyhow::Result<Way> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let tls = match self.tls {
            true => Some(ServerName::try_from(name.to_owned()).with_context(|| {
                format!("{name:?} is no name for a certificate: name one with --server-name")
            })?),
            false => None,
        };
        let path = self.websocket_path.as_deref().unwrap_or("/mqtt");
        anyhow::ensure!(
            path.starts_with('/'),
            "--websocket-path {path}: write a path from its slash on, such as /mqtt"
        );
        let websocket = self.websocket.then(|| path.to_owned());
        Ok(Way { host: host.to_owned(), port, tls, websocket })
    }

    /// Reads and makes what the fleet has in common.
    pub fn open(&self) -> anyhow::Result<Security> {
        let trust = match (&self.ca, self.tls) {
            (Some(file), _) => Some(trusting(file, self.websocket)?),
            (None, true) => anyhow::bail!(
                "--tls needs --ca FILE: the CA that signed the gateway's certificate, in PEM"
            ),
            (None, false) => None,
        };
        anyhow::ensure!(
            self.made.make_ca.is_none() || self.tls,
            "--make-ca needs --tls: certificates are shown in TLS"
        );
        let certificates = match &self.certificates {
            Some(folder) => Certificates::Read(folder.clone()),
            None => self.made.certificates()?,
        };
        let user = self.username.clone();
        let logins = match (&self.tokens, &self.password, &self.password_file) {
            (Some(folder), ..) => Logins::Read { user, folder: folder.clone() },
            (_, Some(password), _) => Logins::Password { user, password: password.clone() },
            (.., Some(file)) => Logins::Lines(lines(file)?),
            _ => self.made.logins(user)?,
        };
        Ok(Security { trust, certificates, logins })
    }
}

impl Made {
    /// Without a gateway: only what is made.
    pub fn open(&self) -> anyhow::Result<Security> {
        anyhow::ensure!(
            self.make_ca.is_some() || self.make_tokens.is_some(),
            "nothing is to be made: write --make-ca DIR, --make-tokens DIR or both"
        );
        let (certificates, logins) = (self.certificates()?, self.logins(None)?);
        Ok(Security { trust: None, certificates, logins })
    }

    /// What was made, and what for.
    pub fn told(&self, devices: u32) -> String {
        let mut lines = Vec::new();
        if let Some(folder) = &self.make_ca {
            lines.push(format!(
                "{devices} certificates in {}; the gateway's client_ca is {}",
                folder.display(),
                folder.join(authority::CA_CERTIFICATE).display()
            ));
        }
        if let Some(folder) = &self.make_tokens {
            lines.push(format!(
                "{devices} tokens in {}; the gateway's jwks is {}",
                folder.display(),
                folder.join(token::KEY_SET).display()
            ));
        }
        lines.join("\n")
    }

    fn certificates(&self) -> anyhow::Result<Certificates> {
        let Some(folder) = &self.make_ca else { return Ok(Certificates::None) };
        authority::make_folder(folder)?;
        let authority = Box::new(Authority::open(folder).context("--make-ca")?);
        Ok(Certificates::Made { authority, folder: folder.clone() })
    }

    fn logins(&self, user: Option<String>) -> anyhow::Result<Logins> {
        let Some(folder) = &self.make_tokens else {
            return Ok(user.map_or(Logins::None, Logins::User));
        };
        authority::make_folder(folder)?;
        let claims = Claims {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
            lifetime: self.token_lifetime.unwrap_or(TOKEN_LIFETIME),
        };
        let signer = Signer::open(folder, claims).context("--make-tokens")?;
        Ok(Logins::Made { user, signer: Arc::new(signer), folder: folder.clone() })
    }
}

impl Security {
    /// What a device of the fleet has; what is made for it is kept in its folder.
    pub fn proof(&self, id: &str) -> anyhow::Result<Proof> {
        let certified = match &self.certificates {
            Certificates::Made { authority, folder } => {
                let made = authority.certify(id, Validity::Now)?;
                made.keep(folder, id)?;
                Some(made.certified()?)
            }
            _ => self.certified(id)?,
        };
        if let Logins::Made { signer, folder, .. } = &self.logins {
            signer.keep(folder, id)?;
        }
        self.with(id, certified, self.said(id, Validity::Now)?)
    }

    /// The proof of one device of the fleet under the id of another.
    pub fn under_foreign_id(&self, id: &str, foreign: &str) -> anyhow::Result<Proof> {
        let proof = self.with(id, self.certified(id)?, self.said(id, Validity::Now)?)?;
        Ok(Proof { client_id: foreign.to_owned(), ..proof })
    }

    /// A proof of that device which has come to its end: its certificate, or else its token. None where
    /// neither is made here.
    pub fn expired(&self, id: &str) -> anyhow::Result<Option<Proof>> {
        let (certified, login) = match (&self.certificates, &self.logins) {
            (Certificates::Made { authority, .. }, _) => {
                let certified = authority.certify(id, Validity::Over)?.certified()?;
                (Some(certified), self.said(id, Validity::Now)?)
            }
            (_, Logins::Made { .. }) => (self.certified(id)?, self.said(id, Validity::Over)?),
            _ => return Ok(None),
        };
        self.with(id, certified, login).map(Some)
    }

    /// A certificate that a stranger's CA made for that device. None where the fleet has none.
    pub fn of_a_strange_ca(&self, id: &str) -> anyhow::Result<Option<Proof>> {
        if matches!(self.certificates, Certificates::None) {
            return Ok(None);
        }
        let stranger = Authority::new("a stranger's CA")?;
        let certified = stranger.certify(id, Validity::Now)?.certified()?;
        self.with(id, Some(certified), self.said(id, Validity::Now)?).map(Some)
    }

    /// A token that a stranger signed for that device, under the name of the fleet's key where it is known;
    /// or a password that is not the device's. None where the fleet has neither.
    pub fn of_a_strange_login(&self, id: &str) -> anyhow::Result<Option<Proof>> {
        let login = match (&self.logins, self.said(id, Validity::Now)?) {
            (Logins::Made { .. }, Said::Token { user, subject, signer, validity }) => {
                Said::Token { user, subject, signer: Arc::new(signer.forged()?), validity }
            }
            (Logins::Read { .. }, Said::Always(Login { user, .. })) => {
                let claims = Claims { lifetime: TOKEN_LIFETIME, ..Claims::default() };
                let signer = Arc::new(Signer::new(claims)?);
                Said::Token { user, subject: id.to_owned(), signer, validity: Validity::Now }
            }
            (Logins::Password { .. } | Logins::Lines(_), Said::Always(login)) => {
                let password = format!("not {}", login.password);
                Said::Always(Login { password, ..login })
            }
            _ => return Ok(None),
        };
        self.with(id, self.certified(id)?, login).map(Some)
    }

    fn certified(&self, id: &str) -> anyhow::Result<Option<Certified>> {
        Ok(match &self.certificates {
            Certificates::None => None,
            Certificates::Made { authority, .. } => {
                Some(authority.certify(id, Validity::Now)?.certified()?)
            }
            Certificates::Read(folder) => Some(authority::read(folder, id)?),
        })
    }

    fn said(&self, id: &str, validity: Validity) -> anyhow::Result<Said> {
        let own = |user: &Option<String>| user.clone().unwrap_or_else(|| id.to_owned());
        let always = |user, password| Said::Always(Login { user, password });
        Ok(match &self.logins {
            Logins::None => Said::Nothing,
            Logins::User(user) => always(user.clone(), String::new()),
            Logins::Password { user, password } => always(own(user), password.clone()),
            Logins::Lines(lines) => {
                let password = lines.get(id).with_context(|| {
                    format!("--password-file has no line for {id}: write {id}:PASSWORD")
                })?;
                always(id.to_owned(), password.clone())
            }
            Logins::Made { user, signer, .. } => Said::Token {
                user: own(user),
                subject: id.to_owned(),
                signer: Arc::clone(signer),
                validity,
            },
            Logins::Read { user, folder } => always(own(user), token::read(folder, id)?),
        })
    }

    fn with(&self, id: &str, certified: Option<Certified>, login: Said) -> anyhow::Result<Proof> {
        Ok(Proof { client_id: id.to_owned(), tls: self.connector(certified)?, login })
    }

    /// Whether devices prove anything at all.
    pub fn proves(&self) -> bool {
        !matches!(
            (&self.certificates, &self.logins),
            (Certificates::None, Logins::None | Logins::User(_))
        )
    }

    /// Each device keeps the sessions that it may resume to itself.
    fn connector(&self, certified: Option<Certified>) -> anyhow::Result<Option<TlsConnector>> {
        let Some(trust) = &self.trust else { return Ok(None) };
        let mut config = trust.clone();
        if let Some(Certified { chain, key }) = certified {
            let key = aws_lc_rs::sign::any_supported_type(&key).context("a device's key")?;
            let certified = rustls::sign::CertifiedKey::new(chain, key);
            config.client_auth_cert_resolver =
                Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        }
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }
}

/// TLS that trusts the CA of a file, and nobody else.
fn trusting(file: &Path, websocket: bool) -> anyhow::Result<ClientConfig> {
    let told =
        || format!("--ca {} cannot be used: name a file with certificates in PEM", file.display());
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates.with_context(told)? {
        roots.add(certificate).with_context(told)?;
    }
    anyhow::ensure!(!roots.is_empty(), "--ca {} has no certificate", file.display());
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().context("TLS")?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // The names of what is spoken inside (RFC 7301; WebSocket begins as HTTP).
    config.alpn_protocols = vec![if websocket { b"http/1.1".to_vec() } else { b"mqtt".to_vec() }];
    Ok(config)
}

/// `USER:PASSWORD`, a line each; empty lines and those that begin with # are passed over.
fn lines(file: &Path) -> anyhow::Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--password-file {} cannot be read", file.display()))?;
    let mut lines = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, password) = line.split_once(':').with_context(|| {
            format!("--password-file {}, line {}: write USER:PASSWORD", file.display(), number + 1)
        })?;
        lines.insert(user.to_owned(), password.to_owned());
    }
    Ok(lines)
}
