//! Tokens: a JWT in the place of a password, signed by a key of the key set. What it claims is looked at
//! before its signature, which costs more, and both before a key server is asked for a key.

pub mod claims;
pub mod keys;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bridge::message::Verified;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::Url;

use super::{Credential, Denied, Identity, Way};
use crate::fault::{Fault, Faults};
use crate::low_priority::LowPriority;
use crate::reload::Reload;
use claims::Claims;
use keys::{Algorithm, Header, KeyId};
use source::Source;

pub use source::{begin_to_count, read};

/// Longest token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Signatures that are looked at or wait for it; who comes beyond is turned away.
const VERIFYING_MAX: usize = 256;
/// Who waits for a key server because of a key that is not known; who comes beyond is turned away, and keeps no
/// place of those whose key is known.
const ASKING_MAX: usize = 32;
/// Where the configuration names the keys.
pub const KEYS_PLACE: &str = "authentication.token.jwks";

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    pub keys: KeySource,
    pub issuer: String,
    pub audience: String,
    /// Not empty.
    pub algorithms: Vec<Algorithm>,
    /// The claim that is the name.
    pub identity: String,
    /// Attributes, and the claims that say them.
    pub attributes: Vec<(String, String)>,
}

/// Where the keys of tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Url(Url),
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is larger than 16 KiB")]
    TooLarge,
    #[error("it is no JWT")]
    Malformed,
    #[error("its algorithm is not among those that are allowed")]
    Algorithm,
    #[error("its key is not in the key set")]
    UnknownKey,
    #[error("its signature is not of its key")]
    Signature,
    #[error("it has expired, or says no end")]
    Expired,
    #[error("it does not hold yet")]
    NotYetValid,
    #[error("another has issued it")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it has no usable identity or attributes")]
    Claims,
}

impl TokenFault {
    /// The value of the `result` label.
    pub const fn label(self) -> &'static str {
        match self {
            TokenFault::TooLarge => "token_too_large",
            TokenFault::Malformed => "token_malformed",
            TokenFault::Algorithm => "token_algorithm",
            TokenFault::UnknownKey => "token_unknown_key",
            TokenFault::Signature => "token_signature",
            TokenFault::Expired => "token_expired",
            TokenFault::NotYetValid => "token_not_yet_valid",
            TokenFault::Issuer => "token_issuer",
            TokenFault::Audience => "token_audience",
            TokenFault::Claims => "token_claims",
        }
    }
}

impl From<TokenFault> for Denied {
    fn from(fault: TokenFault) -> Denied {
        Denied::Token(fault)
    }
}

/// See the module.
pub struct Tokens {
    settings: TokenSettings,
    source: Arc<Source>,
    verifying: Semaphore,
    asking: Semaphore,
}

/// By which key an identity was proved.
#[derive(Debug)]
pub struct TokenCredential(KeyId);

impl Tokens {
    /// Reads the keys of a file; a server is asked from [`Tokens::follow`] on.
    pub fn open(settings: &TokenSettings) -> Result<Tokens, Faults> {
        let source = Source::open(settings).map_err(fault)?;
        let (verifying, asking) = (Semaphore::new(VERIFYING_MAX), Semaphore::new(ASKING_MAX));
        Ok(Tokens { settings: settings.clone(), source: Arc::new(source), verifying, asking })
    }

    /// Asks the key server now and then, and tells when keys are gone.
    pub fn follow(&self, runtime: &Handle, changed: impl Fn() + Send + Sync + 'static) {
        if self.source.is_remote() {
            runtime.spawn(Arc::clone(&self.source).follow(changed));
        }
    }

    /// What is wrong with the keys, for `/readyz`.
    pub fn problem(&self) -> Option<String> {
        self.source.problem()
    }

    /// Says who the token is for. Cancel safe.
    pub(super) async fn prove(
        &self,
        token: &[u8],
        low_priority: &LowPriority,
    ) -> Result<Identity, Denied> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (token, header, claims) = look(token, &self.settings, now as i64)?;
        let mut keys = self.source.keys();
        if !keys.knows(&header) {
            let _asks = self.asking.try_acquire().map_err(|_| Denied::Busy)?;
            self.source.ask_again().await;
            keys = self.source.keys();
            if !keys.knows(&header) {
                return Err(match self.source.problem() {
                    // It may be a key that the server has.
                    Some(_) => Denied::Unavailable,
                    None => TokenFault::UnknownKey.into(),
                });
            }
        }
        let _place = self.verifying.try_acquire().map_err(|_| Denied::Busy)?;
        let own = token.to_owned();
        let verified = low_priority.run(move || keys.verify(&own, &header)).await;
        let key = verified.map_err(|_| Denied::Unavailable)??;
        let Claims { name, attributes, ends_at_ms } = claims;
        Ok(Identity {
            verified: Arc::new(Verified { id: name, attributes }),
            way: Way::Token,
            user_name: None,
            ends_at_ms: Some(ends_at_ms),
            credentials: vec![Credential::Token(TokenCredential(key))],
        })
    }

    /// Its key is still there.
    pub(super) fn still_has(&self, credential: &TokenCredential) -> bool {
        self.source.keys().has(&credential.0)
    }
}

/// What a token says of itself: its text, how it was signed, and what it claims now, in seconds since 1970 UTC.
/// Whether it was signed is another matter. Pure.
pub fn look<'a>(
    token: &'a [u8],
    settings: &TokenSettings,
    now_s: i64,
) -> Result<(&'a str, Header, Claims), TokenFault> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(TokenFault::TooLarge);
    }
    let token = std::str::from_utf8(token).map_err(|_| TokenFault::Malformed)?;
    let header = Header::parse(token)?;
    if !settings.algorithms.contains(&header.algorithm) {
        return Err(TokenFault::Algorithm);
    }
    let claims = Claims::check(token, settings, now_s)?;
    Ok((token, header, claims))
}

fn fault(text: String) -> Faults {
    Faults(vec![Fault { place: KEYS_PLACE.to_owned(), text }])
}

impl Reload for Tokens {
    fn place(&self) -> &str {
        KEYS_PLACE
    }

    fn files(&self) -> Vec<PathBuf> {
        self.source.file().into_iter().collect()
    }

    fn reload(&self) -> Result<(), Faults> {
        self.source.reload().map_err(fault)
    }
}
