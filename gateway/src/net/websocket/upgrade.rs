//! The request that makes a WebSocket of an HTTP connection (RFC 6455, 4.2), and its answer. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::{Header, Request, Status};
use sha1::{Digest as _, Sha1};

/// The longest head of a request, in bytes.
pub const HEAD_MAX: usize = 8 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The names that MQTT has as a sub-protocol: OASIS's, and those that older clients say.
const SUB_PROTOCOLS: [&str; 3] = ["mqtt", "mqttv3.1", "mqttv3.1.1"];
/// The version of the protocol, which is the only one.
const VERSION: &str = "13";
/// What is hashed with a client's key (1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A client's key is so many random bytes.
const KEY_BYTES: usize = 16;

/// Who may open a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The only path that there is; None: any.
    pub path: Option<String>,
    /// Origins of web pages that may; empty: all of them. Who says no origin is no page.
    pub origins: Vec<String>,
}

/// Why a request gets no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    HeadTooLong,
    NoHttp,
    Path,
    /// Plain HTTP: a health check, a browser.
    NoUpgrade,
    Version,
    Request,
    Origin,
    SubProtocol,
}

/// What a request's head comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its end has not come.
    Partial,
    Granted {
        /// Bytes of the head; what is behind it is frames.
        head_len: usize,
        answer: Vec<u8>,
    },
    Refused(Refused),
}

impl Terms {
    /// Reads what begins with these bytes.
    pub fn read(&self, bytes: &[u8]) -> Asked {
        let within = &bytes[..bytes.len().min(HEAD_MAX)];
        if !has_end(within) {
            return match bytes.len() < HEAD_MAX {
                true => Asked::Partial,
                false => Asked::Refused(Refused::HeadTooLong),
            };
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut headers);
        match request.parse(within) {
            Ok(Status::Complete(head_len)) => match self.grant(&request) {
                Ok(answer) => Asked::Granted { head_len, answer },
                Err(refused) => Asked::Refused(refused),
            },
            Ok(Status::Partial) | Err(_) => Asked::Refused(Refused::NoHttp),
        }
    }

    /// The answer that grants it. The path comes first, because whoever asks for another wants something
    /// else.
    fn grant(&self, request: &Request<'_, '_>) -> Result<Vec<u8>, Refused> {
        let path = request.path.unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        if self.path.as_ref().is_some_and(|only| only != path) {
            return Err(Refused::Path);
        }
        let headers = &*request.headers;
        if !lists(headers, "upgrade", "websocket") {
            return Err(Refused::NoUpgrade);
        }
        if values(headers, "sec-websocket-version").next() != Some(VERSION) {
            return Err(Refused::Version);
        }
        let is_get = request.method == Some("GET") && request.version == Some(1);
        if !is_get || !lists(headers, "connection", "upgrade") {
            return Err(Refused::Request);
        }
        let key = values(headers, "sec-websocket-key").next().ok_or(Refused::Request)?;
        if STANDARD.decode(key).map(|key| key.len()) != Ok(KEY_BYTES) {
            return Err(Refused::Request);
        }
        let mut origins = values(headers, "origin");
        if !self.origins.is_empty() && !origins.all(|origin| self.allows(origin)) {
            return Err(Refused::Origin);
        }
        let sub_protocol = sub_protocol(headers)?;
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            accept(key)
        );
        if let Some(sub_protocol) = sub_protocol {
            answer += &format!("Sec-WebSocket-Protocol: {sub_protocol}\r\n");
        }
        answer += "\r\n";
        Ok(answer.into_bytes())
    }

    /// Scheme and host of an origin have no case.
    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }
}

/// The first of the offered names that is one of MQTT's, as it was offered; None where none is.
fn sub_protocol<'r>(headers: &[Header<'r>]) -> Result<Option<&'r str>, Refused> {
    let mut offered = values(headers, "sec-websocket-protocol").flat_map(elements).peekable();
    if offered.peek().is_none() {
        return Ok(None);
    }
    let known = |name: &&str| SUB_PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(name));
    offered.find(known).map(Some).ok_or(Refused::SubProtocol)
}

/// The values of a header, each as text; one that is none counts as empty.
fn values<'r>(headers: &[Header<'r>], name: &str) -> impl Iterator<Item = &'r str> {
    let found = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| str::from_utf8(header.value).unwrap_or_default().trim())
}

/// The elements of a list between commas.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|element| !element.is_empty())
}

fn lists(headers: &[Header<'_>], name: &str, wanted: &str) -> bool {
    values(headers, name).flat_map(elements).any(|element| element.eq_ignore_ascii_case(wanted))
}

/// The head's end is here. Looked for before it is parsed, so that a head in pieces is parsed once. Empty lines
/// in front are no head, as for the parser (RFC 9112, 2.2).
fn has_end(bytes: &[u8]) -> bool {
    let is_end_of_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = bytes.iter().position(|byte| !is_end_of_line(byte)).unwrap_or(bytes.len());
    let bytes = &bytes[begin..];
    let ends = |end: &[u8]| bytes.windows(end.len()).any(|part| part == end);
    ends(b"\r\n\r\n") || ends(b"\n\n") || ends(b"\n\r\n")
}

/// What proves that the key was read by a WebSocket server (4.2.2).
fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    STANDARD.encode(digest)
}

impl Refused {
    /// All of them, in the order of their places.
    pub const ALL: [Refused; 8] = [
        Refused::HeadTooLong,
        Refused::NoHttp,
        Refused::Path,
        Refused::NoUpgrade,
        Refused::Version,
        Refused::Request,
        Refused::Origin,
        Refused::SubProtocol,
    ];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Refused::NoUpgrade => "http",
            Refused::Path => "websocket_path",
            Refused::Origin => "websocket_origin",
            Refused::SubProtocol => "websocket_protocol",
            Refused::HeadTooLong | Refused::NoHttp | Refused::Version | Refused::Request => {
                "websocket_request"
            }
        }
    }

    fn status(self) -> &'static str {
        match self {
            Refused::HeadTooLong | Refused::NoHttp | Refused::Request | Refused::SubProtocol => {
                "400 Bad Request"
            }
            Refused::Origin => "403 Forbidden",
            Refused::Path => "404 Not Found",
            Refused::NoUpgrade | Refused::Version => "426 Upgrade Required",
        }
    }

    /// What is wrong and what to do. Nothing in it is the client's.
    pub fn sentence(self) -> &'static str {
        match self {
            Refused::HeadTooLong => {
                "the request's head is longer than 8192 bytes: send fewer headers"
            }
            Refused::NoHttp => "this is no request of HTTP/1.1: connect with ws:// or wss://",
            Refused::Path => {
                "MQTT over WebSocket has another path here: the one of websocket.path in the \
                 gateway's listener"
            }
            Refused::NoUpgrade => {
                "MQTT over WebSocket is spoken here: connect with ws:// or wss://, or let health \
                 checks ask /livez and /readyz of the admin port"
            }
            Refused::Version => "only version 13 of WebSocket is spoken here",
            Refused::Request => {
                "an upgrade to WebSocket is a GET of HTTP/1.1 with Connection: Upgrade and a \
                 Sec-WebSocket-Key: a proxy in between may have taken them off"
            }
            Refused::Origin => {
                "web pages of this origin may not connect: add it to websocket.origins in the \
                 gateway's listener"
            }
            Refused::SubProtocol => {
                "none of the sub-protocols is MQTT's: offer mqtt, mqttv3.1.1 or mqttv3.1, or none"
            }
        }
    }

    /// The whole response.
    pub fn response(self) -> Vec<u8> {
        let upgrade = match self {
            Refused::NoUpgrade | Refused::Version => {
                "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"
            }
            _ => "Connection: close\r\n",
        };
        let (status, sentence) = (self.status(), self.sentence());
        let length = sentence.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{upgrade}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{sentence}\n"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    fn request(line: &str, headers: &[&str]) -> Vec<u8> {
        let mut text = format!("{line}\r\nHost: gw\r\n");
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        (text + "\r\n").into_bytes()
    }

    /// A good request with these headers more.
    fn good(more: &[&str]) -> Vec<u8> {
        let own = ["Upgrade: WebSocket", "Connection: keep-alive, upgrade", KEY];
        let version = ["Sec-WebSocket-Version: 13"];
        request("GET /mqtt HTTP/1.1", &[&own[..], &version, more].concat())
    }

    fn answer(terms: &Terms, request: &[u8]) -> String {
        match terms.read(request) {
            Asked::Granted { head_len, answer } => {
                assert_eq!(head_len, request.len());
                String::from_utf8(answer).expect("text")
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(request)),
        }
    }

    fn refused(terms: &Terms, request: &[u8]) -> Refused {
        match terms.read(request) {
            Asked::Refused(refused) => refused,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(request)),
        }
    }

    /// The example of RFC 6455, 1.3.
    #[test]
    fn the_standards_own_key_is_answered() {
        let answer = answer(&Terms::default(), &good(&[]));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!answer.contains("Protocol:") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn the_first_of_mqtts_names_is_echoed_as_it_was_offered() {
        let terms = Terms::default();
        for (offered, echoed) in [
            ("mqtt", "mqtt"),
            ("mqttv3.1", "mqttv3.1"),
            ("chat, mqttv3.1.1,mqtt", "mqttv3.1.1"),
            ("MQTT", "MQTT"),
        ] {
            let answer = answer(&terms, &good(&[&format!("Sec-WebSocket-Protocol: {offered}")]));
            assert!(answer.contains(&format!("\r\nSec-WebSocket-Protocol: {echoed}\r\n")));
        }
        let two = good(&["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol: mqtt"]);
        assert!(answer(&terms, &two).contains("Protocol: mqtt\r\n"));
        for offered in ["chat", "mqttx, amqp"] {
            let request = good(&[&format!("Sec-WebSocket-Protocol: {offered}")]);
            assert_eq!(refused(&terms, &request), Refused::SubProtocol);
        }
    }

    #[test]
    fn only_its_path_and_origins_are_granted() {
        let origins = vec!["https://console.example.com".to_owned()];
        let terms = Terms { path: Some("/mqtt".to_owned()), origins };
        answer(&terms, &good(&[]));
        answer(&terms, &good(&["Origin: https://Console.example.com"]));
        for origin in
            ["https://example.com", "null", "https://console.example.com.evil", "", "\u{e9}"]
        {
            let request = good(&[&format!("Origin: {origin}")]);
            assert_eq!(refused(&terms, &request), Refused::Origin, "{origin}");
        }
        let own = ["Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"];
        answer(&terms, &request("GET /mqtt?token=1 HTTP/1.1", &own));
        for path in ["/", "/mqtt/", "/MQTT", "/mqtt/a"] {
            let request = request(&format!("GET {path} HTTP/1.1"), &own);
            assert_eq!(refused(&terms, &request), Refused::Path, "{path}");
            answer(&Terms::default(), &request);
        }
    }

    #[test]
    fn what_is_no_upgrade_is_told_what_to_do() {
        let terms = Terms { path: Some("/mqtt".to_owned()), ..Terms::default() };
        let get = "GET /mqtt HTTP/1.1";
        let upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
        let with = |more: &[&'static str]| [&upgrade[..], more].concat();
        for (request, expected, status) in [
            (request("GET /mqtt HTTP/1.0", &[]), Refused::NoUpgrade, "426 "),
            (request("POST /livez HTTP/1.1", &[]), Refused::Path, "404 "),
            (request(get, &["Upgrade: h2c", KEY]), Refused::NoUpgrade, "426 "),
            (request(get, &["Upgrade: websocket", KEY]), Refused::Version, "426 "),
            (request(get, &upgrade), Refused::Request, "400 "),
            (request(get, &with(&["Sec-WebSocket-Key: c2hvcnQ="])), Refused::Request, "400 "),
            (request(get, &with(&["Sec-WebSocket-Key: ???"])), Refused::Request, "400 "),
            (request("POST /mqtt HTTP/1.1", &with(&[KEY])), Refused::Request, "400 "),
            (request("GET /mqtt HTTP/1.0", &with(&[KEY])), Refused::Request, "400 "),
            (b"GET\r\n\r\n".to_vec(), Refused::NoHttp, "400 "),
            (request("PRI * HTTP/2.0", &[]), Refused::NoHttp, "400 "),
        ] {
            assert_eq!(refused(&terms, &request), expected);
            let response = String::from_utf8(expected.response()).expect("text");
            assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
            assert!(response.ends_with(&format!("{}\n", expected.sentence())));
        }
        for (place, refused) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(refused as usize, place, "all of them are there, once");
        }
    }

    #[test]
    fn a_head_in_pieces_is_waited_for_and_has_a_limit() {
        let terms = Terms::default();
        let whole = good(&["Sec-WebSocket-Protocol: mqtt"]);
        for end in 0..whole.len() {
            assert_eq!(terms.read(&whole[..end]), Asked::Partial, "{end} bytes");
        }
        let with_frame = [&whole[..], &[0x82, 0x80]].concat();
        let Asked::Granted { head_len, .. } = terms.read(&with_frame) else { panic!("a good one") };
        assert_eq!(head_len, whole.len());
        let padding = format!("X-Padding: {}", "p".repeat(HEAD_MAX - whole.len() - 15));
        let longest = good(&["Sec-WebSocket-Protocol: mqtt", &padding]);
        assert!((HEAD_MAX - 2..=HEAD_MAX).contains(&longest.len()), "{}", longest.len());
        answer(&terms, &longest);
        let longer = good(&[&padding, &padding]);
        assert_eq!(terms.read(&longer[..HEAD_MAX - 1]), Asked::Partial);
        assert_eq!(terms.read(&longer[..HEAD_MAX]), Asked::Refused(Refused::HeadTooLong));
        let many = vec!["X-A: b"; HEADERS_MAX];
        assert_eq!(refused(&terms, &good(&many)), Refused::NoHttp);
    }
}
