//! Tokens and key sets, whatever they say: nobody gets in by what no key of the set has signed, by what was not
//! meant for this gateway, or by what does not hold now.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::identity::token::claims::Claims;
use gateway::identity::token::keys::{ALGORITHMS, Algorithm, KeySet};
use gateway::identity::token::{self, KeySource, TokenFault, TokenSettings};
use gateway::identity::{NAME_MAX_BYTES, is_token};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::Value;

/// When it is, in seconds since 1970 UTC.
const NOW_S: i64 = 1_800_000_000;
/// What header and claims are apart by.
const APART: u8 = 0;
/// PKCS #8's head of an Ed25519 key (RFC 8410), of which 32 bytes are the secret.
const KEY_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// Whose signatures are good, and who has another key by the same name.
static OURS: LazyLock<(KeyPair, KeySet)> = LazyLock::new(|| signer(7));
static STRANGER: LazyLock<(KeyPair, KeySet)> = LazyLock::new(|| signer(8));
static SETTINGS: LazyLock<TokenSettings> = LazyLock::new(|| TokenSettings {
    keys: KeySource::File("keys".into()),
    issuer: "us".to_owned(),
    audience: "landfall".to_owned(),
    algorithms: vec![Algorithm::EdDSA, Algorithm::ES256],
    identity: "sub".to_owned(),
    attributes: vec![("group".to_owned(), "tenant".to_owned())],
});

/// The first byte says what follows: a token of a stranger, a key set, or a header and claims that we sign.
/// Returns whether it was a good one.
pub fn look(data: &[u8]) -> bool {
    match data.split_first() {
        None => false,
        Some((0, token)) => of_a_stranger(token),
        Some((1, json)) => key_set(json),
        Some((_, parts)) => {
            let mut parts = parts.splitn(2, |byte| *byte == APART);
            signed(parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        }
    }
}

/// Only what was signed here gets in, and that is the one token which the seeds have.
fn of_a_stranger(token: &[u8]) -> bool {
    let is_accepted = prove(token, &OURS.1).is_ok();
    if is_accepted {
        let end = token.iter().rposition(|byte| *byte == b'.').expect("it has a signature");
        assert_eq!(token[..end], *message(HEADER, CLAIMS).as_bytes(), "nobody signed that");
    }
    is_accepted
}

/// Keys are read or refused; a key that is not allowed knows no token, and one that is not ours signed nothing.
fn key_set(json: &[u8]) -> bool {
    let all = ALGORITHMS.map(|(_, algorithm)| algorithm);
    let ours = sign(HEADER, CLAIMS, &OURS.0);
    let (_, header, _) = token::look(ours.as_bytes(), &SETTINGS, NOW_S).expect("it is a good one");
    let narrow = KeySet::parse(json, &[Algorithm::ES256]);
    let Ok(keys) = KeySet::parse(json, &all) else {
        assert!(narrow.is_err(), "less is allowed there");
        return false;
    };
    assert!(keys.has_all_of(&keys));
    if let Ok(narrow) = narrow {
        assert!(!narrow.knows(&header) && keys.has_all_of(&narrow));
    }
    match keys.verify(&ours, &header) {
        Ok(key) => assert!(keys.knows(&header) && OURS.1.has(&key), "another key signed it"),
        Err(fault) => assert_eq!(fault, TokenFault::Signature),
    }
    true
}

/// What is signed well gets in only as what it says, and what it says is looked at here a second time.
fn signed(header: &[u8], claims: &[u8]) -> bool {
    let token = sign(header, claims, &OURS.0);
    let proved = prove(token.as_bytes(), &OURS.1);
    let forged = sign(header, claims, &STRANGER.0);
    let refused = prove(forged.as_bytes(), &OURS.1).expect_err("a stranger has signed it");
    let Ok(proved) = proved else {
        return false;
    };
    assert_eq!(refused, TokenFault::Signature);
    assert!(is_token(token.as_bytes()), "it would be taken for a password");
    let read = |part: &[u8]| serde_json::from_slice::<Value>(part).expect("it was read before");
    let (header, claims) = (read(header), read(claims));
    assert!(header["alg"] == "EdDSA" && header.get("crit").is_none(), "{header}");
    assert!(claims["iss"] == "us", "{claims}");
    let audience = &claims["aud"];
    let several = audience.as_array().is_some_and(|all| all.iter().any(|one| one == "landfall"));
    assert!(audience == "landfall" || several, "{claims}");
    assert!(claims["exp"].as_f64().is_some_and(|end| end > NOW_S as f64), "{claims}");
    assert!(
        !proved.name.is_empty() && claims["sub"].as_str().is_none_or(|sub| *sub == *proved.name)
    );
    let [(attribute, value)] = &*proved.attributes else {
        panic!("one was asked for: {:?}", proved.attributes);
    };
    assert_eq!(&**attribute, "group");
    for text in [&proved.name, value] {
        assert!(text.len() <= NAME_MAX_BYTES && !text.chars().any(char::is_control), "{text:?}");
    }
    let end_s = proved.ends_at_ms / 1000;
    assert!(end_s > NOW_S);
    // Beyond what can be counted it never ends.
    if proved.ends_at_ms < i64::MAX {
        let later = token::look(token.as_bytes(), &SETTINGS, end_s).map(drop);
        assert_eq!(later, Err(TokenFault::Expired), "it ends at {end_s}");
    }
    true
}

/// As a connection asks, with the keys that are there.
fn prove(token: &[u8], keys: &KeySet) -> Result<Claims, TokenFault> {
    let (text, header, claims) = token::look(token, &SETTINGS, NOW_S)?;
    if !keys.knows(&header) {
        return Err(TokenFault::UnknownKey);
    }
    keys.verify(text, &header).map(|_| claims)
}

fn signer(secret: u8) -> (KeyPair, KeySet) {
    let key = [&KEY_HEAD[..], &[secret; 32]].concat();
    let key = KeyPair::try_from(key).expect("it is a key");
    let keys = KeySet::parse(set(&key).as_bytes(), &[Algorithm::EdDSA]).expect("it is of use");
    (key, keys)
}

fn set(key: &KeyPair) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.public_key_raw());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"k1","x":"{x}"}}]}}"#)
}

fn message(header: &[u8], claims: &[u8]) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn sign(header: &[u8], claims: &[u8], key: &KeyPair) -> String {
    let message = message(header, claims);
    let signature = key.sign(message.as_bytes()).expect("it can be signed");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const HEADER: &[u8] = br#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#;
const CLAIMS: &[u8] = br#"{"sub":"dev1","iss":"us","aud":"landfall","exp":1800000600}"#;

/// Good inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let both =
        |header: &[u8], claims: &str| [b"\x02", header, &[APART], claims.as_bytes()].concat();
    let elliptic = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"k1",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zw"}]}"#;
    let foreign = r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"},{"kty":"OKP","crv":"X25519","x":"AA"},"#;
    let ours = set(&OURS.0);
    let mixed = ours.replacen(r#"{"keys":["#, foreign, 1);
    vec![
        [b"\0", sign(HEADER, CLAIMS, &OURS.0).as_bytes()].concat(),
        [b"\x01", ours.as_bytes()].concat(),
        [b"\x01", elliptic.as_bytes()].concat(),
        [b"\x01", mixed.as_bytes()].concat(),
        both(HEADER, std::str::from_utf8(CLAIMS).expect("it is text")),
        both(
            br#"{"alg":"EdDSA"}"#,
            r#"{"sub":7,"iss":"us","aud":["x","landfall"],"exp":1800000600.5,"nbf":1800000299,"tenant":"acme"}"#,
        ),
        both(
            br#"{"kid":"k1","alg":"EdDSA"}"#,
            r#"{"sub":true,"iss":"us","aud":"landfall","exp":9e99,"tenant":null,"iat":-1}"#,
        ),
    ]
}
