//! How a store is opened: a URL, what the environment says of the cloud, and the options over it. What
//! cannot be opened so, or not be used afterwards, is told by its name; no request is made for that.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, RetryConfig, StaticCredentialProvider};
use rustix::fs::{Access, access};
use url::Url;

use super::folder::Folder;
use super::meter::{Meter, MeteredConnector};
use super::{Backend, ObjectError, Remote, parse_url};

/// What object_store takes for true, in any case.
const TRUE: [&str; 5] = ["1", "true", "on", "yes", "y"];
/// Parts of options' names whose values nobody should read.
const SECRETS: [&str; 6] = ["key", "secret", "token", "password", "sas", "credential"];

/// Opens the store at `url`. A folder is made where there is none.
pub(super) fn open(
    url: &Url,
    options: &BTreeMap<String, String>,
    environment: impl IntoIterator<Item = (String, String)>,
    meter: &Arc<Meter>,
) -> Result<Backend, ObjectError> {
    let Some(cloud) = Cloud::of(url) else {
        let folder = url
            .to_file_path()
            .map_err(|()| ObjectError::Url(format!("{url} is not an absolute path")))?;
        std::fs::create_dir_all(&folder).map_err(|error| {
            ObjectError::Url(format!("the folder {} cannot be made: {error}", folder.display()))
        })?;
        let folder = Folder::open(&folder);
        return Ok(Backend::Folder(folder.map_err(|error| ObjectError::Url(error.to_string()))?));
    };
    let mut builder = Builder::new(cloud, url, environment);
    for (name, value) in options {
        let key = cloud
            .key(name)
            .ok_or_else(|| ObjectError::Option { key: name.clone(), reason: cloud.unknown() })?;
        builder = builder.with(key, value);
    }
    Ok(Backend::Remote(builder.build(meter)?))
}

/// What [`open`] would refuse, or what could not be used, each with its place: `url`, `options.NAME` or
/// `environment NAME`. An option without a value, and an absent environment, are another machine's and
/// taken to be right.
pub(super) fn faults(
    url: &Url,
    options: &BTreeMap<String, Option<String>>,
    environment: Option<&[(String, String)]>,
) -> Vec<(String, String)> {
    if let Err(text) = parse_url(url.as_str()) {
        return vec![("url".to_owned(), text)];
    }
    let Some(cloud) = Cloud::of(url) else {
        let mut faults: Vec<_> = options
            .keys()
            .map(|name| (format!("options.{name}"), "is no option: file:// has none".to_owned()))
            .collect();
        let folder = url.to_file_path().ok().filter(|_| environment.is_some());
        faults.extend(folder.and_then(|folder| folder_fault(&folder)));
        return faults;
    };
    let mut faults = Vec::new();
    let mut known: Vec<(Key, &str)> = Vec::new();
    for name in options.keys() {
        let fault = match cloud.key(name) {
            None => cloud.unknown(),
            Some(key) if key.is_bucket() => "is said by object_store.url: leave it out".to_owned(),
            Some(key) => match known.iter().find(|(other, _)| *other == key) {
                Some((_, other)) => {
                    format!("says the same as object_store.options.{other}: write one of them")
                }
                None => {
                    known.push((key, name));
                    continue;
                }
            },
        };
        faults.push((format!("options.{name}"), fault));
    }
    let mut names = Names { cloud, written: BTreeMap::new() };
    let mut builder = Builder::new(cloud, url, []);
    for (name, value) in environment.unwrap_or_default() {
        if let Some(key) = cloud.key_of_variable(name) {
            names.written.insert(key.name().to_owned(), format!("environment {name}"));
            builder = builder.with(key, value);
        }
    }
    for (key, name) in known {
        names.written.insert(key.name().to_owned(), format!("options.{name}"));
        if let Some(value) = &options[name] {
            builder = builder.with(key, value);
        }
    }
    if let Some(fault) = names.endpoint_fault(&builder) {
        faults.push(fault);
    }
    let meter = Meter::new();
    let Err(whole) = builder.build(&meter) else { return faults };
    let is_whole = environment.is_some() && options.values().all(Option::is_some);
    let of_options = options.iter().filter_map(|(name, value)| {
        Some((format!("options.{name}"), cloud.key(name)?, value.as_ref()?))
    });
    let of_environment = environment.unwrap_or_default().iter().filter_map(|(name, value)| {
        Some((format!("environment {name}"), cloud.key_of_variable(name)?, value))
    });
    for (place, key, value) in of_options.chain(of_environment) {
        // The last word on it is somebody else's.
        if names.written.get(key.name()) != Some(&place) {
            continue;
        }
        if let Err(error) = Builder::neutral(cloud, url).with(key, value).build(&meter) {
            faults.push((place, value_fault(key, value, &error)));
        }
    }
    if faults.is_empty() && is_whole {
        let values =
            options.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)));
        let text = values.fold(in_short(&whole), |text, (name, value)| hide(name, value, text));
        faults.push(("options".to_owned(), format!("no store can be opened with them: {text}")));
    }
    faults
}

/// Which cloud.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cloud {
    S3,
    Gs,
    Azure,
}

/// An option of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    S3(AmazonS3ConfigKey),
    Gs(GoogleConfigKey),
    Azure(AzureConfigKey),
}

enum Builder {
    S3(AmazonS3Builder),
    Gs(GoogleCloudStorageBuilder),
    Azure(MicrosoftAzureBuilder),
}

impl Cloud {
    /// None for a folder.
    fn of(url: &Url) -> Option<Cloud> {
        match url.scheme() {
            "s3" => Some(Cloud::S3),
            "gs" => Some(Cloud::Gs),
            "az" | "abfs" | "abfss" => Some(Cloud::Azure),
            _ => None,
        }
    }

    fn unknown(self) -> String {
        let scheme = match self {
            Cloud::S3 => "s3",
            Cloud::Gs => "gs",
            Cloud::Azure => "az",
        };
        format!("is no option of {scheme}:// stores")
    }

    fn key(self, name: &str) -> Option<Key> {
        match self {
            Cloud::S3 => AmazonS3ConfigKey::from_str(name).ok().map(Key::S3),
            Cloud::Gs => GoogleConfigKey::from_str(name).ok().map(Key::Gs),
            Cloud::Azure => AzureConfigKey::from_str(name).ok().map(Key::Azure),
        }
    }

    /// As the cloud's own tools read the environment.
    fn key_of_variable(self, name: &str) -> Option<Key> {
        let (prefix, other, of_other) = match self {
            Cloud::S3 => ("AWS_", "", ""),
            Cloud::Gs => ("GOOGLE_", "SERVICE_ACCOUNT", "service_account"),
            Cloud::Azure => ("AZURE_", "IDENTITY_ENDPOINT", "msi_endpoint"),
        };
        match name == other {
            true => self.key(of_other),
            false if name.starts_with(prefix) => self.key(&name.to_ascii_lowercase()),
            false => None,
        }
    }

    /// What may say where requests go; the first one counts.
    fn endpoints(self) -> &'static [Key] {
        match self {
            Cloud::S3 => {
                &[Key::S3(AmazonS3ConfigKey::S3Endpoint), Key::S3(AmazonS3ConfigKey::Endpoint)]
            }
            Cloud::Gs => &[Key::Gs(GoogleConfigKey::BaseUrl)],
            Cloud::Azure => &[Key::Azure(AzureConfigKey::Endpoint)],
        }
    }

    fn allow_http(self) -> Key {
        match self {
            Cloud::S3 => Key::S3(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)),
            Cloud::Gs => Key::Gs(GoogleConfigKey::Client(ClientConfigKey::AllowHttp)),
            Cloud::Azure => Key::Azure(AzureConfigKey::Client(ClientConfigKey::AllowHttp)),
        }
    }
}

impl Key {
    /// object_store's own name.
    fn name(&self) -> &str {
        match self {
            Key::S3(key) => key.as_ref(),
            Key::Gs(key) => key.as_ref(),
            Key::Azure(key) => key.as_ref(),
        }
    }

    fn is_bucket(&self) -> bool {
        [
            Key::S3(AmazonS3ConfigKey::Bucket),
            Key::Gs(GoogleConfigKey::Bucket),
            Key::Azure(AzureConfigKey::ContainerName),
        ]
        .contains(self)
    }
}

impl Builder {
    fn new(
        cloud: Cloud,
        url: &Url,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Builder {
        let builder = match cloud {
            Cloud::S3 => Builder::S3(AmazonS3Builder::new().with_url(url.as_str())),
            Cloud::Gs => Builder::Gs(GoogleCloudStorageBuilder::new().with_url(url.as_str())),
            Cloud::Azure => Builder::Azure(MicrosoftAzureBuilder::new().with_url(url.as_str())),
        };
        environment.into_iter().fold(builder, |builder, (name, value)| {
            match cloud.key_of_variable(&name) {
                Some(key) => builder.with(key, &value),
                None => builder,
            }
        })
    }

    /// One that lacks nothing, so that an option put on top shows whether it is right by itself.
    fn neutral(cloud: Cloud, url: &Url) -> Builder {
        match Builder::new(cloud, url, []) {
            Builder::S3(builder) => {
                Builder::S3(builder.with_access_key_id("none").with_secret_access_key("none"))
            }
            Builder::Gs(builder) => {
                let credential = GcpCredential { bearer: String::new() };
                let provider = Arc::new(StaticCredentialProvider::new(credential));
                Builder::Gs(builder.with_credentials(provider))
            }
            Builder::Azure(builder) => {
                Builder::Azure(builder.with_account("none").with_access_key("bm9uZQ=="))
            }
        }
    }

    fn with(self, key: Key, value: &str) -> Builder {
        match (self, key) {
            (Builder::S3(builder), Key::S3(key)) => Builder::S3(builder.with_config(key, value)),
            (Builder::Gs(builder), Key::Gs(key)) => Builder::Gs(builder.with_config(key, value)),
            (Builder::Azure(builder), Key::Azure(key)) => {
                Builder::Azure(builder.with_config(key, value))
            }
            _ => unreachable!("a cloud's keys are its builder's"),
        }
    }

    fn get(&self, key: Key) -> Option<String> {
        match (self, key) {
            (Builder::S3(builder), Key::S3(key)) => builder.get_config_value(&key),
            (Builder::Gs(builder), Key::Gs(key)) => builder.get_config_value(&key),
            (Builder::Azure(builder), Key::Azure(key)) => builder.get_config_value(&key),
            _ => unreachable!("a cloud's keys are its builder's"),
        }
    }

    /// object_store reads most values only here.
    fn build(self, meter: &Arc<Meter>) -> object_store::Result<Arc<dyn Remote>> {
        // What is tried again, and when, is decided in `request.rs`.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let metered = MeteredConnector(Arc::clone(meter));
        Ok(match self {
            Builder::S3(builder) => {
                Arc::new(builder.with_retry(retry).with_http_connector(metered).build()?)
            }
            Builder::Gs(builder) => {
                Arc::new(builder.with_retry(retry).with_http_connector(metered).build()?)
            }
            Builder::Azure(builder) => {
                Arc::new(builder.with_retry(retry).with_http_connector(metered).build()?)
            }
        })
    }
}

/// Where each option was written that counts, by object_store's own name.
struct Names {
    cloud: Cloud,
    written: BTreeMap<String, String>,
}

impl Names {
    /// What is wrong with where requests go.
    fn endpoint_fault(&self, builder: &Builder) -> Option<(String, String)> {
        let (key, endpoint) =
            self.cloud.endpoints().iter().find_map(|key| Some((*key, builder.get(*key)?)))?;
        let place = self.written.get(key.name())?.clone();
        let form = "write http://HOST:PORT or https://HOST:PORT";
        let url = Url::parse(&endpoint).ok().filter(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.host_str().is_some_and(|host| !host.is_empty())
        });
        let Some(url) = url else {
            return Some((place, format!("{endpoint:?} is no address: {form}")));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Some((
                place,
                format!("holds a user name: {form}, and the credentials as options"),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Some((place, format!("holds a query or a fragment: {form}")));
        }
        let allow_http = self.cloud.allow_http();
        let allowed = builder.get(allow_http).unwrap_or_default();
        let allowed = TRUE.iter().any(|word| allowed.eq_ignore_ascii_case(word));
        (url.scheme() == "http" && !allowed).then(|| {
            let written = self.written.get(allow_http.name());
            let at = written.cloned().unwrap_or_else(|| "options.allow_http".to_owned());
            (at, format!("is needed for the http:// of {place}: write allow_http: \"true\""))
        })
    }
}

/// What is wrong with a value, and what to write.
fn value_fault(key: Key, value: &str, error: &object_store::Error) -> String {
    let text = hide(key.name(), value, in_short(error));
    let hint = [
        ("as Duration", "write a length of time with its unit, such as 30s"),
        ("as boolean", "write true or false"),
        ("checksum algorithm", "write sha256 or crc64nvme"),
        ("as usize", "write a number"),
        ("as u32", "write a number"),
    ];
    match hint.iter().find(|(words, _)| text.contains(words)) {
        Some((_, hint)) => format!("{text}: {hint}"),
        None => text,
    }
}

/// An error without the words before it that tell nothing.
fn in_short(error: &object_store::Error) -> String {
    let text = error.to_string();
    match (text.strip_prefix("Generic "), text.split_once(" error: ")) {
        (Some(_), Some((_, rest))) => rest.to_owned(),
        _ => text,
    }
}

/// `text` without the value, where that may be a secret.
fn hide(name: &str, value: &str, text: String) -> String {
    let is_secret = SECRETS.iter().any(|part| name.contains(part));
    if is_secret && !value.is_empty() { text.replace(value, "…") } else { text }
}

/// Why a folder cannot be made or written. Nothing is made or written for that.
fn folder_fault(folder: &std::path::Path) -> Option<(String, String)> {
    let there = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok())?;
    let fault = if !there.is_dir() {
        format!("{} is no folder", there.display())
    } else {
        let error = access(there, Access::WRITE_OK | Access::EXEC_OK).err()?;
        format!("{} cannot be written: {}", there.display(), std::io::Error::from(error))
    };
    Some(("url".to_owned(), format!("{fault}: name a folder that can be made and written")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(
        url: &str,
        options: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options = options.iter().map(owned).map(|(name, value)| (name, Some(value))).collect();
        let environment: Vec<_> = environment.iter().map(owned).collect();
        faults(&Url::parse(url).expect(url), &options, Some(&environment))
    }

    #[test]
    fn what_cannot_be_opened_or_used_is_told_at_its_place() {
        const S3: &str = "s3://fleet/devices";
        const AZ: &str = "az://fleet/devices";
        const ACCOUNT: [(&str, &str); 2] = [("account_name", "a"), ("access_key", "aGlkZGVu")];
        for (url, options, environment, place, word) in [
            (S3, &[("timeout", "30")][..], &[][..], "options.timeout", "30s"),
            (S3, &[("connect_timeout", "soon")], &[], "options.connect_timeout", "30s"),
            (S3, &[("checksum_algorithm", "md5")], &[], "options.checksum_algorithm", "sha256"),
            (
                S3,
                &[("virtual_hosted_style_request", "maybe")],
                &[],
                "options.virtual_hosted_style_request",
                "true or false",
            ),
            (S3, &[("allow_http", "perhaps")], &[], "options.allow_http", "true or false"),
            (
                S3,
                &[("pool_max_idle_per_host", "-1")],
                &[],
                "options.pool_max_idle_per_host",
                "number",
            ),
            (S3, &[("conditional_put", "never")], &[], "options.conditional_put", "never"),
            (S3, &[("user_agent", "a\nb")], &[], "options.user_agent", "HeaderValue"),
            (S3, &[("proxy_url", "::")], &[], "options.proxy_url", ""),
            (S3, &[("endpoint", "localhost:9000")], &[], "options.endpoint", "http://HOST:PORT"),
            (S3, &[("endpoint", "//localhost")], &[], "options.endpoint", "http://HOST:PORT"),
            (S3, &[("endpoint", "ftp://localhost")], &[], "options.endpoint", "http://HOST:PORT"),
            (S3, &[("endpoint", "https://u:hidden@h")], &[], "options.endpoint", "user name"),
            (S3, &[("endpoint", "https://h/?a")], &[], "options.endpoint", "query"),
            (S3, &[("endpoint", "http://h")], &[], "options.allow_http", "of options.endpoint"),
            (
                S3,
                &[("endpoint_url", "http://h")],
                &[],
                "options.allow_http",
                "options.endpoint_url",
            ),
            (
                S3,
                &[("aws_endpoint_url", "http://h")],
                &[],
                "options.allow_http",
                "options.aws_endpoint_url",
            ),
            (
                S3,
                &[("endpoint", "https://h"), ("aws_endpoint_url_s3", "HTTP://h")],
                &[],
                "options.allow_http",
                "options.aws_endpoint_url_s3",
            ),
            (
                S3,
                &[],
                &[("AWS_ENDPOINT_URL", "http://h")],
                "options.allow_http",
                "AWS_ENDPOINT_URL",
            ),
            (
                S3,
                &[("endpoint", "https://h")],
                &[("AWS_ENDPOINT_URL_S3", "http://h")],
                "options.allow_http",
                "AWS_ENDPOINT_URL_S3",
            ),
            (S3, &[], &[("AWS_ENDPOINT", "h:1")], "environment AWS_ENDPOINT", "http://HOST:PORT"),
            (S3, &[], &[("AWS_TIMEOUT", "30")], "environment AWS_TIMEOUT", "30s"),
            (
                S3,
                &[("endpoint", "http://h"), ("allow_http", "no")],
                &[("AWS_ALLOW_HTTP", "true")],
                "options.allow_http",
                "needed",
            ),
            (S3, &[("access_key_id", "hidden")], &[], "options", "SecretAccessKey"),
            (S3, &[("bucket", "other")], &[], "options.bucket", "object_store.url"),
            (S3, &[("colour", "red")], &[], "options.colour", "no option of s3://"),
            (S3, &[("account_name", "a")], &[], "options.account_name", "no option of s3://"),
            (
                S3,
                &[("aws_region", "a"), ("region", "b")],
                &[],
                "options.region",
                "the same as object_store.options.aws_region",
            ),
            (AZ, &[], &[], "options", "Account"),
            (
                AZ,
                &[("account_name", "a"), ("access_key", "hidden!")],
                &[],
                "options.access_key",
                "",
            ),
            (
                AZ,
                &[ACCOUNT[0], ACCOUNT[1], ("endpoint", "h:1")],
                &[],
                "options.endpoint",
                "http://",
            ),
            (
                AZ,
                &[ACCOUNT[0], ACCOUNT[1], ("azure_storage_endpoint", "http://h")],
                &[],
                "options.allow_http",
                "azure_storage_endpoint",
            ),
            (
                AZ,
                &ACCOUNT,
                &[("AZURE_ENDPOINT", "http://h")],
                "options.allow_http",
                "AZURE_ENDPOINT",
            ),
            ("gs://fleet", &[("base_url", "h:1")], &[], "options.base_url", "http://HOST:PORT"),
            (
                "gs://fleet",
                &[("base_url", "http://h"), ("allow_http", "no")],
                &[],
                "options.allow_http",
                "base_url",
            ),
            (
                "gs://fleet",
                &[("service_account", "/nowhere/account")],
                &[],
                "options.service_account",
                "/nowhere/account",
            ),
            ("file:///data", &[("region", "a")], &[], "options.region", "file:// has none"),
            ("file:///proc/self/status/objects", &[], &[], "url", "is no folder"),
            ("s3://fleet//a", &[], &[], "url", "single slashes"),
        ] {
            let found = faults_of(url, options, environment);
            let fault = found.iter().find(|(at, _)| at == place);
            let (_, text) = fault.unwrap_or_else(|| {
                panic!("{url} {options:?} {environment:?}: {place} is missing in {found:?}")
            });
            assert!(text.contains(word), "{options:?}: {text}");
            assert_eq!(found.len(), 1, "{options:?}: {found:?}");
            assert!(!text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn what_can_be_opened_is_taken() {
        const KEYS: [(&str, &str); 2] = [("access_key_id", "a"), ("secret_access_key", "b")];
        for allowed in ["true", "True", "TRUE", "1", "on", "yes", "Y"] {
            let options = [KEYS[0], KEYS[1], ("endpoint", "http://h:1"), ("allow_http", allowed)];
            assert_eq!(faults_of("s3://fleet", &options, &[]), [], "{allowed}");
            let environment = [("AWS_ENDPOINT_URL", "http://h:1"), ("AWS_ALLOW_HTTP", allowed)];
            assert_eq!(faults_of("s3://fleet", &KEYS, &environment), [], "{allowed}");
        }
        let timed =
            [("timeout", "30s"), ("connect_timeout", "1 minute"), ("checksum_algorithm", "SHA256")];
        assert_eq!(faults_of("s3://fleet", &timed, &[("AWS_REGION", "eu"), ("PATH", "/")]), []);
        assert_eq!(faults_of("gs://fleet", &[("base_url", "http://h")], &[]), [], "its default");
        // What an option says goes over what the environment says.
        let over = [("timeout", "30s"), ("endpoint", "https://h")];
        let environment = [("AWS_TIMEOUT", "30"), ("AWS_ENDPOINT_URL", "http://h")];
        assert_eq!(faults_of("s3://fleet", &over, &environment), []);
        let folder = std::env::temp_dir().join("landfall-never-made/objects");
        let url = Url::from_directory_path(&folder).expect("it is absolute");
        assert_eq!(faults_of(url.as_str(), &[], &[]), []);
        assert!(!folder.exists(), "nothing is made");
    }

    #[test]
    fn what_another_machine_has_is_taken_to_be_right() {
        let url = Url::parse("az://fleet").expect("it is one");
        let options =
            BTreeMap::from([("access_key".to_owned(), None), ("timeout".to_owned(), None)]);
        assert_eq!(faults(&url, &options, None), []);
        let options = BTreeMap::from([("timeout".to_owned(), Some("30".to_owned()))]);
        assert_eq!(faults(&url, &options, None).len(), 1, "that is known here");
        let folder = Url::parse("file:///proc/self/status/objects").expect("it is one");
        assert_eq!(faults(&folder, &BTreeMap::new(), None), []);
    }
}
