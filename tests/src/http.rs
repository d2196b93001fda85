//! HTTP requests, for the admin pages and for other servers' signs of life.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// An admin page answers within this, however busy the gateway is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    /// By name, in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// The body, which is JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }
}

/// Asks for a page; an error when nothing answers there.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    request("GET", address, path, &[])
}

/// The same with any method and headers.
pub fn request(
    method: &str,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<Answer> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE));
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a test asks for what can be asked for");
    let asked = config.build().new_agent().run(request);
    let mut answer = asked.map_err(ureq::Error::into_io)?;
    let code = answer.status().as_u16();
    let headers = answer.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let headers = headers.collect();
    let body = answer.body_mut().with_config().limit(ANSWER_MAX).lossy_utf8(true);
    let body = body.read_to_string().map_err(ureq::Error::into_io)?;
    Ok(Answer { code, headers, body })
}

/// Lines of a request's head that a server of the tests reads.
const HEAD_LINES_MAX: usize = 200;

/// Reads a request's head, for servers that say what they are told to: how many bytes its body has; None when
/// the connection is over.
pub fn read_head(reader: &mut impl BufRead) -> Option<u64> {
    read_request(reader).map(|(_, length)| length)
}

/// The same: what is asked for, and how many bytes its body has.
pub fn read_request(reader: &mut impl BufRead) -> Option<(String, u64)> {
    let (mut path, mut length, mut line) = (None, 0, String::new());
    for _ in 0..HEAD_LINES_MAX {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if path.is_none() {
            path = Some(line.split(' ').nth(1).unwrap_or_default().to_owned());
        }
        let text = line.trim().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    path.map(|path| (path, length))
}
