//! What only a user's cluster has, made up: certificates that fit their keys, lists, keys for tokens,
//! passwords; by what a file is called, since no rendered object says more.

use std::path::Path;
use std::sync::OnceLock;

use crate::pki::{Authority, Issued, Leaf};

/// In place of any other secret: a password, a token, a key of a store.
pub const SECRET: &str = "made-up-for-the-tests";
/// Lines of a password file, as mosquitto's tool makes them, of the devices of `helm test`: the password is
/// `secret`.
const PASSWORDS: &str = "landfall-test-pump-0:$7$101$sHQ8HEkvVK9MIDGC$xzrkpqqAyIlDP9d38WRycUPXnbnPazQaxxdVQ5SdR1xBTj1yCX9kgxvG2LlTExzP+kCNBalDxScEvbKY42rGiA==
landfall-test-pump-1:$7$101$sHQ8HEkvVK9MIDGC$xzrkpqqAyIlDP9d38WRycUPXnbnPazQaxxdVQ5SdR1xBTj1yCX9kgxvG2LlTExzP+kCNBalDxScEvbKY42rGiA==
";
/// The same for those devices.
pub const DEVICES_PASSWORDS: &str = "landfall-test-pump-0:secret\nlandfall-test-pump-1:secret\n";
/// Public keys for tokens: the example of RFC 7517, A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

struct Pki {
    authority: Authority,
    server: Issued,
}

fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let authority = Authority::new("made up");
        let server = authority.issue(&Leaf::server());
        Pki { authority, server }
    })
}

/// What the file may hold.
pub fn content(path: &str) -> String {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        "tls.crt" => pki().server.chain.clone(),
        "tls.key" => pki().server.key.clone(),
        "jwks.json" => KEYS.to_owned(),
        "passwords" => PASSWORDS.to_owned(),
        // Rules for everybody.
        "acl" => "pattern readwrite devices/+/%u/#\n".to_owned(),
        _ if name.ends_with(".crt") => pki().authority.certificate(),
        _ if name.ends_with(".crl") => pki().authority.revoke(&[]),
        // A map that says nothing.
        _ if name.ends_with(".yaml") => "{}".to_owned(),
        _ => SECRET.to_owned(),
    }
}
