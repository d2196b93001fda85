//! Who may use the pages of the admin port: those that name devices or change something only to callers who
//! showed who they are, and to nobody where the configuration does not say how that is shown.
//!
//! A port of loopback answers this machine, where a browser may run. A page of the internet whose name comes to
//! lead to loopback (DNS rebinding) is of one origin with that port, and would read what asks for nothing; but it
//! says its name in the request. So who asks there by a name that others can give is not answered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use metrics::counter;
use parking_lot::Mutex;
use serde_json::json;

use super::tokens::CurrentTokens;
use crate::metrics as names;
use crate::net::network;
use crate::rate_limit::RateLimit;

/// Wrong tokens that one address may show at once; each is forgiven after [`TRY_PAUSE`].
const TRIES_MAX: u32 = 10;
/// In the long run an address has one try in this time.
const TRY_PAUSE: Duration = Duration::from_secs(1);
/// Addresses whose tries are remembered: beyond it, the one that waits least is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Who asks, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: IpAddr,
    /// The common name of a certificate that it proved to have.
    pub certificate: Option<Arc<str>>,
}

/// Who was let in, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub name: Arc<str>,
}

/// See the module.
pub struct Guard {
    tokens: Arc<CurrentTokens>,
    /// Common names.
    certificates: Arc<[String]>,
    /// Only this machine reaches the port.
    is_loopback: bool,
    tries: Mutex<Tries>,
    log: RateLimit,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// Nobody can be, as the configuration is.
    NotConfigured,
    NoCredentials,
    WrongToken,
    /// It is good, and not of an operator.
    ForeignCertificate,
    TooManyTries,
    /// It was asked by a name that may be anybody's.
    ForeignName,
}

impl Guard {
    pub fn new(
        tokens: Arc<CurrentTokens>,
        certificates: Arc<[String]>,
        is_loopback: bool,
    ) -> Guard {
        for denied in Denied::ALL {
            denied.count(0);
        }
        let (tries, log) = (Mutex::default(), RateLimit::default());
        Guard { tokens, certificates, is_loopback, tries, log }
    }

    fn admit(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<Operator, Denied> {
        let tokens = self.tokens.get();
        if tokens.is_empty() && self.certificates.is_empty() {
            return Err(Denied::NotConfigured);
        }
        if let Some(name) = &caller.certificate
            && self.certificates.iter().any(|known| **known == **name)
        {
            return Ok(Operator { name: Arc::clone(name) });
        }
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let shown = shown.and_then(bearer).ok_or(match &caller.certificate {
            Some(_) => Denied::ForeignCertificate,
            None => Denied::NoCredentials,
        })?;
        // A right token passes whatever its neighbours show: behind a proxy all callers have one address, and
        // nobody guesses one of that length.
        if let Some(name) = tokens.find(shown) {
            return Ok(Operator { name });
        }
        let (network, mut tries) = (network(caller.address), self.tries.lock());
        if !tries.may_try(network, now) {
            return Err(Denied::TooManyTries);
        }
        tries.failed(network, now);
        Err(Denied::WrongToken)
    }

    /// Of a page that asks for nothing.
    fn admit_anybody(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match self.is_loopback && !names_this_machine(headers) {
            true => Err(Denied::ForeignName),
            false => Ok(()),
        }
    }

    /// Counts it, and says it in the log where somebody may be guessing.
    fn deny(&self, caller: &Caller, denied: Denied) -> Response {
        denied.count(1);
        if matches!(denied, Denied::WrongToken | Denied::TooManyTries) && self.log.allows() {
            let (address, reason) = (caller.address, denied.label());
            tracing::warn!(%address, reason, "a caller of the admin port was not let in");
        }
        denied.into_response()
    }
}

/// Lets in who showed who they are.
pub async fn always(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let caller = caller(&request);
    match guard.admit(&caller, request.headers(), Instant::now()) {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            let mut response = next.run(request).await;
            let uncached = header::HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, uncached);
            response
        }
        Err(denied) => guard.deny(&caller, denied),
    }
}

/// The same, and everybody where nothing is configured: for what names no device.
pub async fn if_configured(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = caller(&request);
    match guard.admit(&caller, request.headers(), Instant::now()) {
        Ok(_) => next.run(request).await,
        Err(Denied::NotConfigured) => anybody(State(guard), request, next).await,
        Err(denied) => guard.deny(&caller, denied),
    }
}

/// Lets in whoever reaches the port: of loopback, who asks by a name of this machine.
pub async fn anybody(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.admit_anybody(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => guard.deny(&caller(&request), denied),
    }
}

fn caller(request: &Request) -> Caller {
    let caller = request.extensions().get::<Caller>();
    caller.expect("each connection says who its caller is").clone()
}

/// The host that is asked for is an address, or `localhost` (RFC 6761, 6.3), which nobody can give to another
/// machine. Who says none is no browser.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.split(']').next().unwrap_or_default();
            return address.parse::<Ipv6Addr>().is_ok();
        }
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

/// What stands behind `Bearer` (RFC 6750, 2.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

impl Denied {
    const ALL: [Denied; 6] = [
        Denied::NotConfigured,
        Denied::NoCredentials,
        Denied::WrongToken,
        Denied::ForeignCertificate,
        Denied::TooManyTries,
        Denied::ForeignName,
    ];

    /// The value of the `reason` label.
    const fn label(self) -> &'static str {
        match self {
            Denied::NotConfigured => "not_configured",
            Denied::NoCredentials => "no_credentials",
            Denied::WrongToken => "wrong_token",
            Denied::ForeignCertificate => "foreign_certificate",
            Denied::TooManyTries => "too_many_tries",
            Denied::ForeignName => "foreign_name",
        }
    }

    fn count(self, times: u64) {
        counter!(names::ADMIN_DENIED, "reason" => self.label()).increment(times);
    }

    const fn told(self) -> (StatusCode, &'static str) {
        match self {
            Denied::NotConfigured => (
                StatusCode::FORBIDDEN,
                "this page is for callers who show who they are, and the configuration does not say how: write admin.authenticate.tokens, or admin.tls.client_ca and admin.authenticate.certificates",
            ),
            Denied::NoCredentials => (
                StatusCode::UNAUTHORIZED,
                "show a token of admin.authenticate.tokens by the header Authorization: Bearer TOKEN, or a certificate of admin.authenticate.certificates",
            ),
            Denied::WrongToken => {
                (StatusCode::UNAUTHORIZED, "this is no token of admin.authenticate.tokens")
            }
            Denied::ForeignCertificate => (
                StatusCode::FORBIDDEN,
                "the certificate's common name is not among admin.authenticate.certificates",
            ),
            Denied::TooManyTries => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens came from this address: wait some seconds",
            ),
            // RFC 9110, 15.5.20.
            Denied::ForeignName => (
                StatusCode::MISDIRECTED_REQUEST,
                "this port is of this machine, and a web page may lead here by another name: ask by localhost or an address; let a proxy in front say `Host: localhost`",
            ),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (code, text) = self.told();
        let mut response = (code, Json(json!({ "error": text }))).into_response();
        let header = match self {
            Denied::NotConfigured | Denied::ForeignCertificate | Denied::ForeignName => {
                return response;
            }
            // RFC 6750, 3.
            Denied::NoCredentials => (header::WWW_AUTHENTICATE, "Bearer realm=\"landfall\""),
            Denied::WrongToken => {
                (header::WWW_AUTHENTICATE, "Bearer realm=\"landfall\", error=\"invalid_token\"")
            }
            Denied::TooManyTries => (header::RETRY_AFTER, "1"),
        };
        response.headers_mut().insert(header.0, header::HeaderValue::from_static(header.1));
        response
    }
}

/// Wrong tokens, by the network that they came from: until when it would have to wait to have all its tries
/// again.
#[derive(Default)]
struct Tries(HashMap<IpAddr, Instant>);

impl Tries {
    /// One more try may be looked at.
    fn may_try(&self, network: IpAddr, now: Instant) -> bool {
        let until = self.0.get(&network);
        until
            .is_none_or(|until| until.saturating_duration_since(now) <= TRY_PAUSE * (TRIES_MAX - 1))
    }

    fn failed(&mut self, network: IpAddr, now: Instant) {
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&network) {
            self.0.retain(|_, until| *until > now);
            let least = self.0.iter().min_by_key(|(_, until)| **until).map(|(network, _)| *network);
            if self.0.len() >= ADDRESSES_MAX
                && let Some(least) = least
            {
                self.0.remove(&least);
            }
        }
        let until = self.0.entry(network).or_insert(now);
        *until = (*until).max(now) + TRY_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_address_has_so_many_tries_at_once_and_one_in_a_while() {
        let mut tries = Tries::default();
        let start = Instant::now();
        for _ in 0..TRIES_MAX {
            assert!(tries.may_try(HERE, start));
            tries.failed(HERE, start);
        }
        assert!(!tries.may_try(HERE, start));
        let other = IpAddr::from([127, 0, 0, 2]);
        assert!(tries.may_try(other, start), "another address is not locked out");
        let later = start + TRY_PAUSE;
        assert!(tries.may_try(HERE, later));
        tries.failed(HERE, later);
        assert!(!tries.may_try(HERE, later));
        assert!(tries.may_try(HERE, later + TRY_PAUSE * TRIES_MAX));
    }

    #[test]
    fn addresses_are_remembered_within_a_bound_and_who_tries_most_stays() {
        let mut tries = Tries::default();
        let now = Instant::now();
        for _ in 0..TRIES_MAX {
            tries.failed(HERE, now);
        }
        for number in 0..2 * ADDRESSES_MAX as u32 {
            tries.failed(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), now);
        }
        assert_eq!(tries.0.len(), ADDRESSES_MAX);
        assert!(!tries.may_try(HERE, now));
    }

    #[test]
    fn the_addresses_of_one_network_share_their_tries() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:1:2:3")));
        assert_ne!(network(address("2001:db8:0:1::1")), network(address("2001:db8::1")));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(network(address("10.0.0.1")), network(address("10.0.0.2")));
    }

    #[test]
    fn this_machine_is_named_by_what_nobody_can_give_to_another() {
        let names = |host: &'static str| {
            let host = (header::HOST, header::HeaderValue::from_static(host));
            names_this_machine(&HeaderMap::from_iter([host]))
        };
        assert!(names_this_machine(&HeaderMap::new()));
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "gw.localhost:1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(names(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "[evil.example]",
            "user@localhost",
            "gw-1",
        ] {
            assert!(!names(host), "{host}");
        }
    }

    #[test]
    fn a_scheme_is_read_as_it_is_written() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"Bearer", b"abc", b"", b"Bearerabc"] {
            assert_eq!(bearer(other), None);
        }
    }
}
