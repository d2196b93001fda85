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

/// Lines of a head that a server of the tests reads.
const HEAD_LINES_MAX: usize = 200;

/// The head of a request or of an answer, as it came.
pub struct Head(String);

impl Head {
    /// None when the connection is over, or what comes is no head.
    pub fn read(reader: &mut impl BufRead) -> Option<Head> {
        let mut text = String::new();
        for _ in 0..HEAD_LINES_MAX {
            let begin = text.len();
            if reader.read_line(&mut text).ok()? == 0 {
                return None;
            }
            if text[begin..].trim().is_empty() {
                return Some(Head(text));
            }
        }
        None
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Of a request.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// What a request asks for: its path and its query.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// Of an answer.
    pub fn status(&self) -> Option<u16> {
        self.word(1).parse().ok()
    }

    /// A header's value, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut named = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    /// Whether the client sends its body when it was told to (RFC 9110, 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue"))
    }

    fn word(&self, place: usize) -> &str {
        self.0.lines().next().and_then(|line| line.split(' ').nth(place)).unwrap_or_default()
    }
}

/// Reads a request's head, for servers that say what they are told to: how many bytes its body has; None when
/// the connection is over.
pub fn read_head(reader: &mut impl BufRead) -> Option<u64> {
    read_request(reader).map(|(_, length)| length)
}

/// The same: what is asked for, and how many bytes its body has.
pub fn read_request(reader: &mut impl BufRead) -> Option<(String, u64)> {
    let head = Head::read(reader)?;
    let length = match head.header("content-length") {
        Some(length) => length.parse().ok()?,
        None => 0,
    };
    Some((head.target().to_owned(), length))
}
