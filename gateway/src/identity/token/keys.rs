//! The keys that tokens are signed by: a JSON Web Key Set, of which only what can check signatures and is
//! allowed to is used. Never a shared secret: who could check with it could sign with it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::TokenFault;

/// Largest key set, in bytes.
pub const KEYS_MAX_BYTES: usize = 1024 * 1024;
/// Keys in it.
const KEYS_MAX: usize = 100;
/// Keys that are tried for one token.
const TRIED_MAX: usize = 4;
/// What may be allowed.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// What a key is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; 32]);

/// See the module.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    kid: Option<String>,
    /// Those that it can be used with and that are allowed.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
    id: KeyId,
}

/// What a token says of how it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub algorithm: Algorithm,
    kid: Option<String>,
}

impl Header {
    pub fn parse(token: &str) -> Result<Header, TokenFault> {
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed);
        };
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenFault::Malformed)?;
        let head: Map<String, Value> =
            serde_json::from_slice(&head).map_err(|_| TokenFault::Malformed)?;
        // RFC 7515, 4.1.11: what has to be understood and is not.
        if head.contains_key("crit") {
            return Err(TokenFault::Malformed);
        }
        let name = head.get("alg").and_then(Value::as_str).ok_or(TokenFault::Malformed)?;
        let algorithm = algorithm(name).ok_or(TokenFault::Algorithm)?;
        let kid = match head.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(TokenFault::Malformed),
        };
        Ok(Header { algorithm, kid })
    }
}

/// An algorithm that may be allowed: `none` and those of shared secrets are not.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// What is wrong with an empty key set, and what to do.
pub fn none_of_use(allowed: &[Algorithm]) -> String {
    format!(
        "has no public key for the allowed algorithms ({allowed:?}): add one, or allow its algorithm in authentication.token.algorithms"
    )
}

impl KeySet {
    /// Reads a key set: those of its keys that are of use, which may be none.
    pub fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<KeySet, String> {
        if json.len() > KEYS_MAX_BYTES {
            return Err(format!("has more than {KEYS_MAX_BYTES} bytes"));
        }
        let set: Value = serde_json::from_slice(json)
            .map_err(|error| format!("is no JSON: {error}; a key set is {{\"keys\": [...]}}"))?;
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err("is no key set, which is {\"keys\": [...]}".to_owned());
        };
        if keys.len() > KEYS_MAX {
            return Err(format!("has {} keys; at most {KEYS_MAX} are read", keys.len()));
        }
        Ok(KeySet { keys: keys.iter().filter_map(|key| Key::read(key, allowed)).collect() })
    }

    /// None of its keys is of use: no token is good.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// There is a key that may have signed such a token.
    pub fn knows(&self, header: &Header) -> bool {
        self.candidates(header).next().is_some()
    }

    pub fn has(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    /// All keys of the other set are here.
    pub fn has_all_of(&self, other: &KeySet) -> bool {
        other.keys.iter().all(|key| self.has(&key.id))
    }

    /// Which key has signed it. Expensive.
    pub fn verify(&self, token: &str, header: &Header) -> Result<KeyId, TokenFault> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let has_signed = |key: &&Key| {
            let algorithm = header.algorithm;
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, algorithm)
                .is_ok_and(|is_right| is_right)
        };
        let mut candidates = self.candidates(header).take(TRIED_MAX);
        candidates.find(has_signed).map(|key| key.id).ok_or(TokenFault::Signature)
    }

    fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(|key| {
            let is_called = match (&key.kid, &header.kid) {
                (Some(of_key), Some(of_token)) => of_key == of_token,
                // Without a name on one side any may be meant.
                _ => true,
            };
            is_called && key.algorithms.contains(&header.algorithm)
        })
    }
}

impl Key {
    /// None: it is of no use here.
    fn read(json: &Value, allowed: &[Algorithm]) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|use_| *use_ != PublicKeyUse::Signature) {
            return None;
        }
        let able: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        let own = jwk.common.key_algorithm.map(Algorithm::try_from);
        let own = own.transpose().ok()?;
        let is_meant = |one: &Algorithm| own.is_none_or(|own| own == *one) && allowed.contains(one);
        let algorithms: Vec<_> = able.iter().copied().filter(is_meant).collect();
        if algorithms.is_empty() {
            return None;
        }
        let material = serde_json::to_vec(&jwk.algorithm).ok()?;
        Some(Key {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            kid: jwk.common.key_id,
            algorithms,
            id: KeyId(*blake3::hash(&material).as_bytes()),
        })
    }
}
