//! The admin port of a running role, as commands ask it: where it is, and by what a caller shows there who he is.
//! Of a role on this machine both stand in its configuration; of another, arguments say it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Certificate, Client, Identity, Method};
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::{Failure, environment};
use crate::admin::AdminSettings;
use crate::config::{self, Secrets};
use crate::net::tls;
use crate::secret::Secret;
use crate::web;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes: some thousand partitions.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest file with certificates or a key, in bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Which role is asked.
#[derive(clap::Args)]
pub struct Whom {
    /// The configuration of a role on this machine: it says where the admin port is, and has a token
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// The admin port of a role elsewhere, such as https://HOST:8080
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    admin: Option<String>,
    /// A file with a token of admin.authenticate.tokens; with --config the first that can be read here
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file in PEM with the authorities that vouch for the admin port's certificate; without it the system's
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    ca: Option<PathBuf>,
    /// A file in PEM with a certificate of admin.authenticate.certificates, in place of a token
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "config")]
    certificate: Option<PathBuf>,
    /// The file in PEM with its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

impl Whom {
    /// The arguments, as somebody types them again.
    pub fn typed(&self) -> String {
        let files = [
            ("config", &self.config),
            ("token-file", &self.token_file),
            ("ca", &self.ca),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ];
        let admin = self.admin.iter().map(|url| format!(" --admin {url}"));
        let files = files.into_iter().filter_map(|(name, file)| {
            let file = super::quoted(file.as_deref()?);
            Some(format!(" --{name} {file}"))
        });
        admin.chain(files).collect()
    }
}

/// See the module.
pub struct AdminPort {
    url: Url,
    client: Client,
    token: Option<String>,
    runtime: Runtime,
}

/// What it answered.
pub struct Answer {
    pub code: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// Its reason why not, for people.
    pub fn error(&self) -> String {
        let read = serde_json::from_slice::<Value>(&self.body).ok();
        match read.as_ref().and_then(|value| value["error"].as_str()) {
            Some(text) => text.to_owned(),
            None => format!("it answers {}, and is no admin port of a parse role", self.code),
        }
    }
}

impl AdminPort {
    pub fn of(whom: &Whom) -> Result<AdminPort, Failure> {
        let token = whom.token_file.as_deref().map(token_of).transpose()?;
        let (url, client, token) = match (&whom.config, &whom.admin) {
            (Some(file), _) => {
                let admin = config::load_parse(file, environment(), Secrets::Assumed, &[])?.admin;
                let (url, client) = own(&admin)?;
                (url, client, token.or_else(|| first_token(admin)))
            }
            (None, Some(url)) => {
                let url = elsewhere(url)?;
                let client = client_of(&url, whom)?;
                (url, client, token)
            }
            (None, None) => unreachable!("one of both is required"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        Ok(AdminPort { url, client, token, runtime })
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, &[])
    }

    pub fn post(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.ask(Method::POST, path, query)
    }

    fn ask(&self, method: Method, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|error| {
                let text = web::explain(&url, &error);
                anyhow::anyhow!("{text}: is that the admin port of a parse role that runs?")
            })?;
            let code = answer.status().as_u16();
            let body = web::body(answer, ANSWER_MAX_BYTES).await;
            let body = body.map_err(|text| anyhow::anyhow!("{} {text}", web::shown(&url)))?;
            Ok(Answer { code, body })
        })
    }
}

/// The port of a configuration, which is this machine's.
fn own(admin: &AdminSettings) -> Result<(Url, Client), Failure> {
    let mut bind = admin.bind;
    if bind.ip().is_unspecified() {
        bind.set_ip(match bind.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{bind}/").parse::<Url>().context("an address is a URL's host")?;
    // It is this machine's own, whichever of its addresses is bound.
    let mut builder = web::builder(&url, ANSWER_WAIT).no_proxy();
    if let Some(tls) = &admin.tls {
        let known = tls::own_client(tls);
        let known = known.map_err(|text| Failure::Usage(format!("admin.tls.certificates: {text}")));
        builder = builder.tls_backend_preconfigured(known?);
    }
    let client = web::built(&url, builder).map_err(anyhow::Error::msg)?;
    Ok((url, client))
}

/// The first that is here; the others may be for others to read.
fn first_token(admin: AdminSettings) -> Option<String> {
    admin.token_sources.into_values().find_map(|source| source.reveal().ok())
}

fn elsewhere(text: &str) -> Result<Url, Failure> {
    let url = text.parse::<Url>().ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        let text = format!("--admin {text}: write http://HOST:PORT or https://HOST:PORT");
        Failure::Usage(text)
    })
}

fn client_of(url: &Url, whom: &Whom) -> Result<Client, Failure> {
    let wrong = |option: &str, file: &Path, error: reqwest::Error| {
        Failure::Usage(format!("--{option} {}: {error}", file.display()))
    };
    let mut builder = web::builder(url, ANSWER_WAIT);
    if let Some(file) = &whom.ca {
        let known = Certificate::from_pem_bundle(&read("ca", file)?);
        builder = builder.tls_certs_only(known.map_err(|error| wrong("ca", file, error))?);
    }
    if let (Some(certificate), Some(key)) = (&whom.certificate, &whom.key) {
        let mut both = read("certificate", certificate)?;
        both.push(b'\n');
        both.extend(read("key", key)?);
        let identity = Identity::from_pem(&both);
        let identity = identity.map_err(|error| wrong("certificate", certificate, error));
        builder = builder.identity(identity?);
    }
    Ok(web::built(url, builder).map_err(anyhow::Error::msg)?)
}

fn token_of(file: &Path) -> Result<String, Failure> {
    let token = Secret::File(file.display().to_string()).reveal();
    token.map_err(|text| Failure::Usage(format!("--token-file: {text}")))
}

fn read(option: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |text: String| Failure::Usage(format!("--{option} {}: {text}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| cannot(error.to_string()))?.len();
    if size > FILE_MAX_BYTES {
        return Err(cannot(format!("has {size} bytes; at most {FILE_MAX_BYTES} are read")));
    }
    std::fs::read(file).map_err(|error| cannot(error.to_string()))
}
