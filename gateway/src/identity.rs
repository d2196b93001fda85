//! Who a client is: what it has proved of itself, and by which way. Of the ways that its listener names the
//! first whose evidence is there decides, and its failure is final.

mod attempts;
mod binding;
mod certificate;
mod failures;
pub mod http;
pub mod password;
mod remembered;
mod settings;
pub mod token;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bridge::message::Verified;
use tokio::runtime::Handle;

use crate::fault::Faults;
use crate::low_priority::LowPriority;
use crate::metrics;
use crate::net::Certificate;
use crate::problem::{Kind, Problem};
use crate::reload::Reload;

pub use binding::{Binding, Bound};
use http::Service;
use password::{PasswordCredential, Passwords};
pub use settings::{AuthenticationSettings, DemandSettings};
use token::{TokenCredential, TokenFault, Tokens};

/// Longest name of an identity, in bytes: it becomes the key of records.
pub const NAME_MAX_BYTES: usize = 512;

/// Names and values that were proved beside a name.
pub type Attributes = Vec<(Box<str>, Box<str>)>;

/// It has no control characters and at most so many bytes.
fn is_text(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// An attribute may be called so. The device's id is the name of the identity.
pub fn is_attribute_name(name: &str) -> bool {
    let is_legal = |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(is_legal) && name != "device_id"
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Certificate,
    Token,
    Password,
    Http,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 4] = [Way::Certificate, Way::Token, Way::Password, Way::Http];

    /// As it is written in a configuration, and the value of the `kind` label.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Certificate => "certificate",
            Way::Token => "token",
            Way::Password => "password",
            Way::Http => "http",
        }
    }

    pub fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// Who a client is, proved. A client without one is anonymous.
#[derive(Debug)]
pub struct Identity {
    /// The name and the attributes, as they go into envelopes.
    pub verified: Arc<Verified>,
    /// Where several ways were asked for, the first.
    pub way: Way,
    /// The user name, where it was proved beside the name.
    user_name: Option<Box<str>>,
    /// Milliseconds since 1970 UTC. A certificate's end is not in it: that may move.
    pub ends_at_ms: Option<i64>,
    /// What it was proved by, a certificate aside, which belongs to the connection.
    credentials: Vec<Credential>,
}

/// What proved an identity, and has to be there for as long as it lasts.
#[derive(Debug)]
enum Credential {
    Token(TokenCredential),
    Password(PasswordCredential),
}

impl Identity {
    /// The name that was proved.
    pub fn name(&self) -> &str {
        &self.verified.id
    }

    /// The user name that was proved, or the name where the way knows no user names.
    pub fn user_name(&self) -> &str {
        self.user_name.as_deref().unwrap_or(self.name())
    }

    /// Bytes of its texts beside those that go into envelopes.
    pub fn bytes(&self) -> usize {
        self.user_name.as_ref().map_or(0, |name| name.len())
    }

    /// Adds what another way proved: the name stays, an attribute of which something is known too, and the
    /// earlier end counts.
    fn and(mut self, other: Identity) -> Identity {
        let verified = Arc::make_mut(&mut self.verified);
        for (name, value) in &other.verified.attributes {
            match verified.attributes.iter_mut().find(|(known, _)| known == name) {
                // It could have said so and did not; the other way does.
                Some((_, known)) if known.is_empty() => known.clone_from(value),
                Some(_) => {}
                None => verified.attributes.push((name.clone(), value.clone())),
            }
        }
        self.user_name = self.user_name.or(other.user_name);
        self.ends_at_ms = match (self.ends_at_ms, other.ends_at_ms) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.credentials.extend(other.credentials);
        self
    }
}

/// What a client brings to prove who it is. It holds secrets: never print it.
pub struct Evidence<'a> {
    pub client_id: &'a str,
    /// The one that TLS has verified.
    pub certificate: Option<&'a Certificate>,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    /// Where it comes from, where that is known.
    pub address: Option<IpAddr>,
}

impl Evidence<'_> {
    /// There is something that this way could look at. A user name alone proves nothing: libraries send one
    /// by themselves.
    fn has(&self, way: Way) -> bool {
        match way {
            Way::Certificate => self.certificate.is_some(),
            Way::Token => self.password.is_some_and(is_token),
            Way::Password => self.password.is_some_and(|password| !is_token(password)),
            // It may know tokens of its own.
            Way::Http => self.password.is_some(),
        }
    }
}

/// The JWS compact form: three parts of base64url, the first of which is a JSON object.
pub fn is_token(password: &[u8]) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts = password.split(|byte| *byte == b'.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_base64url = |part: &[u8]| {
        part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    is_base64url(body)
        && is_base64url(signature)
        && URL_SAFE_NO_PAD
            .decode(head)
            .is_ok_and(|head| serde_json::from_slice::<serde_json::Map<_, _>>(&head).is_ok())
}

/// Why a client has not proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It brought nothing that its listener looks at.
    NoEvidence,
    /// The certificate is good, and none of its names is an identity.
    Nameless,
    /// The name is unknown, or the password is not its own.
    WrongPassword,
    Token(TokenFault),
    /// The HTTP service does not let it in.
    ByService,
    /// More wait for their turn than may.
    Busy,
    /// It could not be looked at.
    Unavailable,
}

impl Denied {
    /// The value of the `result` label.
    pub const fn label(self) -> &'static str {
        match self {
            Denied::NoEvidence => "no_evidence",
            Denied::Nameless => "nameless",
            Denied::WrongPassword => "wrong_password",
            Denied::Token(fault) => fault.label(),
            Denied::ByService => "denied",
            Denied::Busy => "busy",
            Denied::Unavailable => "unavailable",
        }
    }
}

/// Everything that knows whether evidence is good, for all listeners.
#[derive(Default)]
pub struct Authentication {
    tokens: Option<Arc<Tokens>>,
    passwords: Option<Arc<Passwords>>,
    service: Option<Service>,
}

impl Authentication {
    /// Nobody can prove anything.
    pub fn none() -> Arc<Authentication> {
        Arc::default()
    }

    /// Reads what is in files. Others are asked on that runtime.
    pub fn new(
        settings: &AuthenticationSettings,
        runtime: &Handle,
    ) -> Result<Arc<Authentication>, Faults> {
        token::begin_to_count();
        let tokens = settings.token.as_ref().map(Tokens::open).transpose()?;
        let passwords = settings.password.as_ref().map(Passwords::read).transpose()?;
        let service = settings.http.as_ref().map(|http| Service::new(http, runtime)).transpose()?;
        Ok(Arc::new(Authentication {
            tokens: tokens.map(Arc::new),
            passwords: passwords.map(Arc::new),
            service,
        }))
    }

    /// Asks key servers from now on, and tells when keys are gone.
    pub fn follow(&self, runtime: &Handle, changed: impl Fn() + Send + Sync + 'static) {
        if let Some(tokens) = &self.tokens {
            tokens.follow(runtime, changed);
        }
    }

    /// What may be read anew.
    pub fn reloads(&self) -> Vec<Arc<dyn Reload>> {
        let tokens = self.tokens.iter().map(|one| Arc::clone(one) as Arc<dyn Reload>);
        let passwords = self.passwords.iter().map(|one| Arc::clone(one) as Arc<dyn Reload>);
        tokens.chain(passwords).collect()
    }

    /// Who does not answer that is asked.
    pub fn problems(&self) -> Vec<Problem> {
        let tokens = self.tokens.as_ref().and_then(|tokens| tokens.problem());
        let service = self.service.as_ref().and_then(Service::problem);
        let of = |about, text| Problem::new(Kind::Authentication, about, text);
        let tokens = tokens.map(|text| of("authentication.token", text));
        tokens.into_iter().chain(service.map(|text| of("authentication.http", text))).collect()
    }

    /// What proved it is still there, after something was read anew.
    pub fn still_proves(&self, identity: &Identity) -> bool {
        identity.credentials.iter().all(|credential| match credential {
            Credential::Token(credential) => {
                self.tokens.as_ref().is_some_and(|tokens| tokens.still_has(credential))
            }
            Credential::Password(credential) => {
                self.passwords.as_ref().is_some_and(|passwords| passwords.still_has(credential))
            }
        })
    }

    /// Looks at the evidence for one way. Cancel safe.
    async fn prove(
        &self,
        way: Way,
        evidence: &Evidence<'_>,
        low_priority: &LowPriority,
    ) -> Result<Identity, Denied> {
        let password = || evidence.password.ok_or(Denied::NoEvidence);
        match way {
            Way::Certificate => certificate::prove(evidence.certificate.ok_or(Denied::NoEvidence)?),
            Way::Token => {
                let tokens = self.tokens.as_ref().ok_or(Denied::Unavailable)?;
                tokens.prove(password()?, low_priority).await
            }
            Way::Password => {
                let passwords = self.passwords.as_ref().ok_or(Denied::Unavailable)?;
                let name = evidence.user_name.unwrap_or_default();
                passwords.prove(name, password()?, evidence.address, low_priority).await
            }
            Way::Http => {
                let service = self.service.as_ref().ok_or(Denied::Unavailable)?;
                service.prove(evidence).await
            }
        }
    }
}

/// What a listener asks of who comes.
pub struct Demands {
    authentication: Arc<Authentication>,
    /// Each is one way, or several of which all are asked for.
    ways: Vec<Vec<Way>>,
    pub binding: Binding,
}

impl fmt::Debug for Demands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Demands")
            .field("ways", &self.ways)
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

impl Demands {
    pub fn new(
        authentication: Arc<Authentication>,
        ways: Vec<Vec<Way>>,
        binding: Binding,
    ) -> Demands {
        Demands { authentication, ways, binding }
    }

    /// Says who the client is, by the first way whose evidence it brings. Cancel safe.
    pub async fn identify(
        &self,
        evidence: &Evidence<'_>,
        low_priority: &LowPriority,
    ) -> Result<Arc<Identity>, Denied> {
        let is_there = |ways: &&Vec<Way>| ways.iter().all(|way| evidence.has(*way));
        let Some(ways) = self.ways.iter().find(is_there) else {
            count("none", Denied::NoEvidence.label());
            return Err(Denied::NoEvidence);
        };
        let mut proved: Option<Identity> = None;
        for way in ways {
            let identity = self.authentication.prove(*way, evidence, low_priority).await;
            count(way.name(), identity.as_ref().map_or_else(|denied| denied.label(), |_| "ok"));
            let identity = identity?;
            proved = Some(match proved {
                None => identity,
                Some(proved) => proved.and(identity),
            });
        }
        proved.map(Arc::new).ok_or(Denied::NoEvidence)
    }

    /// Who does not answer that is asked.
    pub fn problems(&self) -> Vec<Problem> {
        self.authentication.problems()
    }

    /// The identity is still good, after something was read anew.
    pub fn still_proves(&self, identity: &Identity) -> bool {
        self.authentication.still_proves(identity)
    }
}

fn count(kind: &'static str, result: &'static str) {
    ::metrics::counter!(metrics::AUTHENTICATIONS, "kind" => kind, "result" => result).increment(1);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Identity {
        /// Somebody who proved to be that, for tests.
        pub(crate) fn named(name: &str) -> Arc<Identity> {
            Arc::new(identity(name, None, &[]))
        }
    }

    #[test]
    fn a_token_is_known_by_its_form() {
        // `{"alg":"none"}` and `{}`.
        let head = "eyJhbGciOiJub25lIn0";
        for (password, expected) in [
            (format!("{head}.e30."), true),
            (format!("{head}.e30.c2ln"), true),
            (format!("{head}.e30"), false),
            (format!("{head}.e30.c2ln.x"), false),
            (format!("{head}.e 0.c2ln"), false),
            (format!("{head}.e30.c2l+"), false),
            // Three words are a password.
            ("my.pass.word".to_owned(), false),
            ("..".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_token(password.as_bytes()), expected, "{password}");
        }
    }

    fn identity(name: &str, ends_at_ms: Option<i64>, attributes: &[(&str, &str)]) -> Identity {
        let attributes = attributes.iter().map(|&(name, value)| (name.into(), value.into()));
        let verified = Verified { id: name.into(), attributes: attributes.collect() };
        Identity {
            verified: Arc::new(verified),
            way: Way::Password,
            user_name: None,
            ends_at_ms,
            credentials: Vec::new(),
        }
    }

    #[test]
    fn of_several_ways_the_first_names_and_the_earliest_end_counts() {
        let first = identity("dev1", Some(20), &[("group", "a"), ("device_type", "")]);
        let second =
            identity("alice", Some(10), &[("group", "b"), ("tenant", "c"), ("device_type", "d")]);
        let both = first.and(Identity { user_name: Some("alice".into()), ..second });
        assert_eq!((both.name(), both.user_name()), ("dev1", "alice"));
        assert_eq!(both.ends_at_ms, Some(10));
        assert_eq!(both.verified.attribute("group"), Some("a"));
        assert_eq!(both.verified.attribute("tenant"), Some("c"));
        assert_eq!(both.verified.attribute("device_type"), Some("d"), "the first says none");
        let endless = identity("dev1", None, &[]).and(identity("alice", Some(5), &[]));
        assert_eq!(endless.ends_at_ms, Some(5));
    }
}
