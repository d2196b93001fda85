//! Hashes of passwords as password files have them: argon2id, which `landfall password` makes, and the two
//! that mosquitto's tool made before it did. Pure.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha512};

/// Memory that one look at an argon2id hash may take, in bytes.
pub const ARGON2_MEMORY_MAX: u64 = 64 * 1024 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;
/// What new hashes take: 46 MiB and one pass, as OWASP asks for and mosquitto's tool does.
const ARGON2_MEMORY_KIB: u32 = 47_104;
const ARGON2_PASSES: u32 = 1;
const HASH_BYTES: usize = 32;
/// Rounds of PBKDF2: about a second.
const ROUNDS_MAX: u32 = 1_000_000;
/// Bytes of a salt or of a hash.
const PART_BYTES: std::ops::RangeInclusive<usize> = 8..=64;

/// mosquitto pads, argon2 does not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    kind: Kind,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Argon2id {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    /// `$7$`: PBKDF2 with HMAC of SHA-512.
    Pbkdf2 {
        rounds: u32,
    },
    /// `$6$`: SHA-512 over the password and the salt, once.
    Sha512,
}

/// Without what passwords could be guessed from.
impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)
    }
}

/// Why a text is no hash; never the text itself, which may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("what stands behind the name is no hash: make the line with `landfall password NAME`")]
    Unknown,
    #[error(
        "the hash is cut or was changed: make the line anew with `landfall password NAME`, or with mosquitto_passwd"
    )]
    Broken,
    #[error(
        "the hash takes more than 64 MiB, 16 passes, 16 lanes or 1000000 rounds: make the line anew with `landfall password NAME`"
    )]
    TooExpensive,
}

impl Hash {
    /// Reads `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`, `$7$ROUNDS$SALT$HASH` or `$6$SALT$HASH`.
    pub fn parse(text: &str) -> Result<Hash, HashError> {
        let parts: Vec<&str> = text.split('$').collect();
        let (kind, salt, hash) = match parts[..] {
            ["", "argon2id", "v=19", cost, salt, hash] => (argon2id(cost)?, salt, hash),
            ["", "7", rounds, salt, hash] => {
                let rounds = number(rounds)?;
                if rounds > ROUNDS_MAX {
                    return Err(HashError::TooExpensive);
                }
                (Kind::Pbkdf2 { rounds }, salt, hash)
            }
            ["", "6", salt, hash] => (Kind::Sha512, salt, hash),
            ["", "argon2id" | "6" | "7", ..] => return Err(HashError::Broken),
            _ => return Err(HashError::Unknown),
        };
        let part = |text| BASE64.decode(text).map_err(|_| HashError::Broken);
        let (salt, hash) = (part(salt)?, part(hash)?);
        let is_whole = match kind {
            Kind::Argon2id { .. } => PART_BYTES.contains(&hash.len()),
            Kind::Pbkdf2 { .. } | Kind::Sha512 => {
                hash.len() == <Sha512 as sha2::Digest>::output_size()
            }
        };
        if !is_whole || !PART_BYTES.contains(&salt.len()) {
            return Err(HashError::Broken);
        }
        Ok(Hash { kind, salt: salt.into(), hash: hash.into() })
    }

    /// A new hash, as it is written; None if there is no memory for it.
    pub fn of(password: &[u8], salt: [u8; 16]) -> Option<String> {
        let hash = Hash { salt: salt.into(), ..Hash::stand_in() };
        let made = hash.compute(password)?;
        let (salt, made) = (unpadded(&salt), unpadded(&made));
        Some(format!("$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p=1${salt}${made}"))
    }

    /// One that costs as much as a new one and is nobody's.
    pub fn stand_in() -> Hash {
        let kind =
            Kind::Argon2id { memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: 1 };
        Hash { kind, salt: [0; 16].into(), hash: [0; HASH_BYTES].into() }
    }

    /// It is the hash of this password. Expensive. Without memory for it, it is not.
    pub fn is_of(&self, password: &[u8]) -> bool {
        self.compute(password).is_some_and(|computed| is_same(&computed, &self.hash))
    }

    fn compute(&self, password: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; self.hash.len()];
        match self.kind {
            Kind::Argon2id { memory_kib, passes, lanes } => {
                let params = Params::new(memory_kib, passes, lanes, Some(out.len())).ok()?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(password, &self.salt, &mut out).ok()?;
            }
            Kind::Pbkdf2 { rounds } => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, rounds, &mut out);
            }
            Kind::Sha512 => {
                let hasher = Sha512::new().chain_update(password).chain_update(&self.salt);
                out.copy_from_slice(&hasher.finalize());
            }
        }
        Some(out)
    }
}

fn argon2id(cost: &str) -> Result<Kind, HashError> {
    let mut cost = cost.split(',');
    let mut next = |name: &str| {
        number(cost.next().and_then(|part| part.strip_prefix(name)).ok_or(HashError::Broken)?)
    };
    let (memory_kib, passes, lanes) = (next("m=")?, next("t=")?, next("p=")?);
    let memory = u64::from(memory_kib) * 1024;
    if memory > ARGON2_MEMORY_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX {
        return Err(HashError::TooExpensive);
    }
    match Params::new(memory_kib, passes, lanes, None) {
        Ok(_) if cost.next().is_none() => Ok(Kind::Argon2id { memory_kib, passes, lanes }),
        _ => Err(HashError::Broken),
    }
}

/// A decimal number above 0.
fn number(text: &str) -> Result<u32, HashError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number > 0).ok_or(HashError::Broken)
}

fn unpadded(bytes: &[u8]) -> String {
    BASE64.encode(bytes).trim_end_matches('=').to_owned()
}

/// Takes the same time wherever they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `mosquitto_passwd` 2.0.11, with 12 bytes of salt.
    const MADE: [&str; 2] = [
        "$7$101$t4awiRkPUONjV++3$JCxZZUSOkanwSvHA84QE9lN3kSaApj76TfKRMzt4NGQax38KSSUlYfZrTS997kJCOOYZWldJeGNn45nzGkrFHg==",
        "$6$wNFOE5u4QeSRTErS$6rZclf8duo18CLqsh+fPEVO3yhbhvCmBS3HYFR2SsvMqNJsrbFav7JlzwxSTtZHO7i4mvC+0qB4gH5v5Qaso/Q==",
    ];

    #[test]
    fn what_other_tools_made_is_verified() {
        for text in MADE {
            let hash = Hash::parse(text).expect("it is a hash");
            assert!(hash.is_of(b"b"), "{text}");
            assert!(!hash.is_of(b"B") && !hash.is_of(b""), "{text}");
        }
        // Of the tests of argon2's reference implementation.
        let text =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(Hash::parse(text).expect("it is a hash").is_of(b"password"));
    }

    #[test]
    fn what_is_made_here_is_read_here() {
        let text = Hash::of("pässword".as_bytes(), [9; 16]).expect("there is memory");
        assert!(
            text.starts_with("$argon2id$v=19$m=47104,t=1,p=1$CQkJCQkJCQkJCQkJCQkJCQ$"),
            "{text}"
        );
        let hash = Hash::parse(&text).expect("it is a hash");
        assert!(hash.is_of("pässword".as_bytes()));
        assert!(!hash.is_of(b"password"));
        assert!(!format!("{hash:?}").contains("CQk"), "it is not printed");
    }

    #[test]
    fn newer_mosquittos_have_a_salt_of_64_bytes() {
        let (salt, mut made) = ([3_u8; 64], [0; 64]);
        pbkdf2::pbkdf2_hmac::<Sha512>(b"b", &salt, 1000, &mut made);
        let text = format!("$7$1000${}${}", BASE64.encode(salt), BASE64.encode(made));
        assert!(Hash::parse(&text).expect("it is a hash").is_of(b"b"));
    }

    #[test]
    fn what_is_no_hash_says_what_to_do() {
        let salt = "AAAAAAAAAAAAAAAA";
        let hash = "A".repeat(86);
        for (text, error) in [
            ("secret".to_owned(), HashError::Unknown),
            (String::new(), HashError::Unknown),
            ("$5$x$y".to_owned(), HashError::Unknown),
            ("$argon2i$v=19$m=64,t=1,p=1$x$y".to_owned(), HashError::Unknown),
            (
                "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy".to_owned(),
                HashError::Unknown,
            ),
            (format!("$7$101${salt}$AAAA"), HashError::Broken),
            (format!("$7$0${salt}${hash}"), HashError::Broken),
            (format!("$7$+1${salt}${hash}"), HashError::Broken),
            (format!("$7$101${salt}${hash}$"), HashError::Broken),
            (format!("$7$2000000${salt}${hash}"), HashError::TooExpensive),
            (format!("$6$AAAA${hash}"), HashError::Broken),
            (format!("$6${salt}$!"), HashError::Broken),
            (format!("$argon2id$v=16$m=64,t=1,p=1${salt}${salt}"), HashError::Broken),
            (format!("$argon2id$v=19$m=64,t=1${salt}${salt}"), HashError::Broken),
            (format!("$argon2id$v=19$m=64,t=1,p=1,x=1${salt}${salt}"), HashError::Broken),
            (format!("$argon2id$v=19$m=4,t=1,p=1${salt}${salt}"), HashError::Broken),
            (format!("$argon2id$v=19$m=4294967295,t=1,p=1${salt}${salt}"), HashError::TooExpensive),
            (format!("$argon2id$v=19$m=64,t=17,p=1${salt}${salt}"), HashError::TooExpensive),
        ] {
            assert_eq!(Hash::parse(&text), Err(error), "{text}");
        }
    }
}
