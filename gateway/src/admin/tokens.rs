//! The tokens that open the admin port: secrets with names, read anew when their files change. Only their
//! hashes are kept, and which one was shown cannot be told from the time that an answer takes.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::fault::{Fault, Faults};
use crate::reload::Reload;
use crate::secret::Secret;

/// Where the configuration has them.
pub const PLACE: &str = "admin.authenticate.tokens";
/// What is shorter can be tried out, in bytes.
pub const TOKEN_MIN_BYTES: usize = 16;
/// What is longer does not fit into a request's head beside what else stands there, in bytes.
pub const TOKEN_MAX_BYTES: usize = 4096;
/// Each request is held against all of them.
pub const TOKENS_MAX: usize = 100;

/// Where the tokens are kept, by name.
pub type TokenSources = BTreeMap<String, Secret>;

/// The tokens as they were read.
#[derive(Clone, Default)]
pub struct Tokens(Vec<Token>);

#[derive(Clone)]
struct Token {
    name: Arc<str>,
    hash: [u8; 32],
}

impl Tokens {
    /// Those of these names and texts, or what is wrong with each.
    pub fn new<'a>(
        written: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Tokens, Faults> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut faults = Faults::default();
        for (name, text) in written {
            let hash = hash(text.as_bytes());
            let text = match fault_of(text) {
                Some(fault) => Some(fault),
                None => tokens
                    .iter()
                    .find(|known| same(&known.hash, &hash))
                    .map(|known| format!("is the token of {} too: give each its own", known.name)),
            };
            match text {
                Some(text) => faults.0.push(Fault { place: format!("{PLACE}.{name}"), text }),
                None => tokens.push(Token { name: name.into(), hash }),
            }
        }
        if faults.0.is_empty() { Ok(Tokens(tokens)) } else { Err(faults) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. It is held against all of them, whole.
    pub fn find(&self, shown: &[u8]) -> Option<Arc<str>> {
        let shown = hash(shown);
        let mut found = None;
        for token in &self.0 {
            if same(&token.hash, &shown) {
                found = Some(&token.name);
            }
        }
        found.cloned()
    }
}

/// Names only.
impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.iter().map(|token| &token.name)).finish()
    }
}

/// Why a text is no token, without the text.
fn fault_of(text: &str) -> Option<String> {
    let bytes = text.len();
    if bytes < TOKEN_MIN_BYTES {
        return Some(format!(
            "has {bytes} bytes and can be guessed: write at least {TOKEN_MIN_BYTES}, as `openssl rand -hex 32` makes them"
        ));
    }
    if bytes > TOKEN_MAX_BYTES {
        return Some(format!("has {bytes} bytes: write at most {TOKEN_MAX_BYTES}"));
    }
    // RFC 6750, 2.1: what may stand behind `Bearer`.
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (!text.bytes().all(legal)).then(|| {
        "has a character that cannot stand in a header: write A-Z a-z 0-9 - . _ ~ + / =, as `openssl rand -hex 32` makes them".to_owned()
    })
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// In a time that does not tell how far they are alike.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing =
        one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other));
    black_box(differing) == 0
}

/// The tokens that hold now.
pub struct CurrentTokens {
    sources: TokenSources,
    tokens: Mutex<Arc<Tokens>>,
}

impl CurrentTokens {
    /// Tokens that were read from there.
    pub fn new(sources: TokenSources, tokens: Tokens) -> CurrentTokens {
        CurrentTokens { sources, tokens: Mutex::new(Arc::new(tokens)) }
    }

    pub fn get(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.lock())
    }
}

impl Reload for CurrentTokens {
    fn place(&self) -> &str {
        PLACE
    }

    fn files(&self) -> Vec<PathBuf> {
        let file = |secret: &Secret| match secret {
            Secret::File(path) => Some(PathBuf::from(path)),
            Secret::Text(_) | Secret::Environment(_) => None,
        };
        self.sources.values().filter_map(file).collect()
    }

    fn reload(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let mut texts = Vec::new();
        for (name, secret) in &self.sources {
            match secret.clone().reveal() {
                Ok(text) => texts.push((name.as_str(), text)),
                Err(text) => faults.0.push(Fault { place: format!("{PLACE}.{name}"), text }),
            }
        }
        if !faults.0.is_empty() {
            return Err(faults);
        }
        let tokens = Tokens::new(texts.iter().map(|(name, text)| (*name, text.as_str())))?;
        *self.tokens.lock() = Arc::new(tokens);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0123456789abcdef";
    const SECOND: &str = "fedcba9876543210";

    #[test]
    fn a_token_is_found_by_all_of_it() {
        let tokens = Tokens::new([("ops", FIRST), ("grafana", SECOND)]).expect("they are good");
        assert_eq!(tokens.find(FIRST.as_bytes()).as_deref(), Some("ops"));
        assert_eq!(tokens.find(SECOND.as_bytes()).as_deref(), Some("grafana"));
        let longer = format!("{FIRST}0");
        for stranger in ["", &FIRST[..15], &longer, "0123456789abcdeF"] {
            assert_eq!(tokens.find(stranger.as_bytes()), None, "{stranger}");
        }
        assert_eq!(Tokens::default().find(b""), None);
        assert_eq!(format!("{tokens:?}"), r#"{"ops", "grafana"}"#);
    }

    #[test]
    fn what_is_no_token_is_said_without_it() {
        let long = "a".repeat(TOKEN_MAX_BYTES + 1);
        for (text, word) in [
            ("short", "guessed"),
            (long.as_str(), "at most"),
            ("0123456789 abcdef", "character"),
            ("0123456789abcdeä", "character"),
        ] {
            let faults = Tokens::new([("ops", text)]).expect_err(word);
            assert_eq!(faults.0[0].place, "admin.authenticate.tokens.ops");
            assert!(faults.0[0].text.contains(word), "{faults}");
            assert!(!faults.to_string().contains(text));
        }
        let faults = Tokens::new([("one", FIRST), ("two", FIRST)]).expect_err("one token");
        assert!(faults.0[0].text.contains("of one too"), "{faults}");
    }

    #[test]
    fn what_cannot_be_read_anew_leaves_what_was_there() {
        let folder = std::env::temp_dir().join(format!("landfall-tokens-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let file = folder.join("ops");
        std::fs::write(&file, FIRST).expect("a file can be written");
        let path = file.to_str().expect("it is UTF-8").to_owned();
        let sources = TokenSources::from([("ops".to_owned(), Secret::File(path))]);
        let current = CurrentTokens::new(sources, Tokens::default());
        assert_eq!(current.files(), std::slice::from_ref(&file));
        current.reload().expect("it can be read");
        std::fs::write(&file, "short").expect("a file can be written");
        current.reload().expect_err("it is no token");
        assert!(current.get().find(FIRST.as_bytes()).is_some());
        std::fs::write(&file, SECOND).expect("a file can be written");
        current.reload().expect("it can be read");
        assert!(current.get().find(FIRST.as_bytes()).is_none());
        assert!(current.get().find(SECOND.as_bytes()).is_some());
        std::fs::remove_dir_all(&folder).expect("it is there");
    }
}
