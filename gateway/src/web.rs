//! What is asked over HTTP, of those who know more of identities and of a role's admin port: with a deadline,
//! without following anybody elsewhere, and never more of an answer than it may have.

use std::error::Error as _;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Error, Response};
use url::{Host, Url};

/// A client for one service.
pub fn client(url: &Url, wait: Duration) -> Result<Client, String> {
    built(url, builder(url, wait))
}

/// The same, as long as something may be added.
pub fn builder(url: &Url, wait: Duration) -> ClientBuilder {
    let builder = Client::builder().redirect(Policy::none()).timeout(wait);
    match is_loopback(url) {
        // No proxy reaches this machine's own.
        true => builder.no_proxy(),
        false => builder,
    }
}

/// The client of a builder, or why there is none.
pub fn built(url: &Url, builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| format!("no client for {}: {error}", shown(url)))
}

/// The service is on this machine, where nobody listens on the way.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The URL without a user, a password or a query, which may be secrets.
pub fn shown(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The whole of an answer, if it is no longer than that.
pub async fn body(mut answer: Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => {
                body.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(format!("answers more than {bytes_max} bytes")),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err("does not answer in time".to_owned()),
            Err(_) => return Err("breaks off its answer".to_owned()),
        }
    }
}

/// Why there is no answer, without the URL's secrets.
pub fn explain(url: &Url, error: &Error) -> String {
    if error.is_timeout() {
        return format!("{} does not answer in time", shown(url));
    }
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    format!("{} is not reached{cause}", shown(url))
}
