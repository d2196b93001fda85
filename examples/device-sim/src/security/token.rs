//! Tokens (JWT, RFC 7519) for a fleet, signed with ES256 by a key in a folder: `jwks.json` is what the
//! gateway is given, and each device has a token of its own.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::authority::{Validity, since_1970, write, write_secret};

const SIGNING_KEY: &str = "signing.key";
pub const KEY_SET: &str = "jwks.json";
/// Bytes of each half of an ES256 signature, and of a coordinate of its key.
const FIELD_SIZE: usize = 32;
/// Hexadecimal digits of a key's name.
const KEY_ID_DIGITS: usize = 16;

/// What tokens say beside whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub lifetime: Duration,
}

/// See the module.
pub struct Signer {
    key: KeyPair,
    key_id: String,
    claims: Claims,
}

impl Signer {
    /// With a new key, which nobody keeps.
    pub fn new(claims: Claims) -> anyhow::Result<Signer> {
        Ok(Signer::with(KeyPair::generate().context("a key cannot be made")?, claims))
    }

    /// With the key of the folder, which is made unless it is there.
    pub fn open(folder: &Path, claims: Claims) -> anyhow::Result<Signer> {
        let path = folder.join(SIGNING_KEY);
        let signer = if path.exists() {
            let pem = fs::read_to_string(&path);
            let pem = pem.with_context(|| format!("{} cannot be read", path.display()))?;
            let key = KeyPair::from_pem(&pem).with_context(|| format!("{}", path.display()))?;
            Signer::with(key, claims)
        } else {
            let signer = Signer::new(claims)?;
            write_secret(&path, &signer.key.serialize_pem())?;
            signer
        };
        write(&folder.join(KEY_SET), &signer.key_set())?;
        Ok(signer)
    }

    fn with(key: KeyPair, claims: Claims) -> Signer {
        let digest = Sha256::digest(key.public_key_raw());
        let key_id = crate::device::hex(&digest)[..KEY_ID_DIGITS].to_owned();
        Signer { key, key_id, claims }
    }

    /// Another key under the same name.
    pub fn forged(&self) -> anyhow::Result<Signer> {
        let other = Signer::new(self.claims.clone())?;
        Ok(Signer { key_id: self.key_id.clone(), ..other })
    }

    /// The key set (JWKS, RFC 7517) by which tokens are checked.
    pub fn key_set(&self) -> String {
        // A point that is not compressed: a byte that says so, then both coordinates.
        let (x, y) = self.key.public_key_raw()[1..].split_at(FIELD_SIZE);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        let (kid, alg) = (&self.key_id, "ES256");
        let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": alg, "kid": kid, "x": x, "y": y });
        json!({ "keys": [key] }).to_string()
    }

    /// A token for that device.
    pub fn token(&self, subject: &str, validity: Validity) -> anyhow::Result<String> {
        let now = since_1970(SystemTime::now())?;
        let (from, until) = match validity {
            Validity::Now => (now, now + self.claims.lifetime),
            // An hour ago: more than clocks differ.
            Validity::Over => (now - Duration::from_secs(7200), now - Duration::from_secs(3600)),
        };
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.key_id });
        let mut claims = json!({ "sub": subject, "iat": from.as_secs(), "exp": until.as_secs() });
        for (name, value) in [("iss", &self.claims.issuer), ("aud", &self.claims.audience)] {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(signed.as_bytes()).context("a token cannot be signed")?;
        let signature = fixed(&signature).context("a signature of another form than expected")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Writes a device's token into `ID.jwt`.
    pub fn keep(&self, folder: &Path, id: &str) -> anyhow::Result<()> {
        write_secret(&file(folder, id)?, &self.token(id, Validity::Now)?)
    }
}

/// What somebody else made: `ID.jwt` of the folder.
pub fn read(folder: &Path, id: &str) -> anyhow::Result<String> {
    let path = file(folder, id)?;
    let token = fs::read_to_string(&path).with_context(|| {
        format!(
            "{} cannot be read: --tokens wants ID.jwt for each device, and --make-tokens makes them",
            path.display()
        )
    })?;
    Ok(token.trim().to_owned())
}

fn file(folder: &Path, id: &str) -> anyhow::Result<std::path::PathBuf> {
    anyhow::ensure!(
        !id.contains('/'),
        "the device id {id:?} cannot be the name of a file: choose another --client-prefix"
    );
    Ok(folder.join(format!("{id}.jwt")))
}

/// The two numbers of an ECDSA signature in DER, as JWS wants them (RFC 7518, 3.4): each as long as the
/// field, end to end.
fn fixed(der: &[u8]) -> Option<[u8; 2 * FIELD_SIZE]> {
    let mut out = [0; 2 * FIELD_SIZE];
    let mut rest = der.strip_prefix(&[0x30])?.get(1..)?;
    for half in out.chunks_mut(FIELD_SIZE) {
        let (&length, behind) = rest.strip_prefix(&[0x02])?.split_first()?;
        let (number, behind) = behind.split_at_checked(usize::from(length))?;
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        half[FIELD_SIZE.checked_sub(digits.len())?..].copy_from_slice(digits);
        rest = behind;
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_two_numbers_of_fixed_length() {
        let der = |r: &[u8], s: &[u8]| {
            let number = |n: &[u8]| [&[0x02, n.len() as u8], n].concat();
            let both = [number(r), number(s)].concat();
            [&[0x30, both.len() as u8], &both[..]].concat()
        };
        let out = fixed(&der(&[7; 32], &[&[0][..], &[0x80; 32]].concat())).unwrap();
        assert_eq!((&out[..32], &out[32..]), (&[7; 32][..], &[0x80; 32][..]));
        let out = fixed(&der(&[1], &[2; 31])).unwrap();
        assert_eq!((out[30], out[31], out[32], out[33]), (0, 1, 0, 2));
        assert_eq!(fixed(&der(&[1; 34], &[1])), None);
        assert_eq!(fixed(&der(&[1], &[1])[..5]), None);
        assert_eq!(fixed(b""), None);
    }

    #[test]
    fn a_token_says_whose_it_is_and_for_whom() {
        let claims = Claims {
            issuer: Some("sim".to_owned()),
            audience: None,
            lifetime: Duration::from_secs(60),
        };
        let signer = Signer::new(claims).unwrap();
        let token = signer.token("m-1", Validity::Now).unwrap();
        let parts: Vec<Vec<u8>> =
            token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let json = |part: usize| serde_json::from_slice::<serde_json::Value>(&parts[part]).unwrap();
        assert_eq!((parts.len(), parts[2].len()), (3, 64));
        assert_eq!((&json(1)["sub"], &json(1)["iss"]), (&json!("m-1"), &json!("sim")));
        assert!(json(1).get("aud").is_none());
        let lived = json(1)["exp"].as_u64().unwrap() - json(1)["iat"].as_u64().unwrap();
        assert_eq!(lived, 60);
        let set: serde_json::Value = serde_json::from_str(&signer.key_set()).unwrap();
        assert_eq!(set["keys"][0]["kid"], json(0)["kid"]);
    }
}
