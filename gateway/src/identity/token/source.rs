//! Where the keys of tokens come from: a file, or a server that is asked now and then, and when a token
//! names a key that is not known, but not more than once in a while. What is known goes on without it. A key set
//! that says that there is no key is believed: whoever takes all keys back wants nobody to come in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use parking_lot::{Mutex, RwLock};
use reqwest::Client;
use tokio::sync::{Notify, watch};
use url::Url;

use super::keys::{Algorithm, KEYS_MAX_BYTES, KeySet, none_of_use};
use super::{KeySource, TokenSettings};
use crate::metrics as names;
use crate::web;

/// How often the server is asked without a reason.
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// It is not asked more often, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Source {
    keys: RwLock<Arc<KeySet>>,
    algorithms: Vec<Algorithm>,
    place: Place,
}

enum Place {
    File(PathBuf),
    Server(Box<Server>),
}

struct Server {
    client: Client,
    url: Url,
    /// Somebody wants to know more than is known.
    wanted: Notify,
    /// How often it has been asked, with an end or without.
    asked: watch::Sender<u64>,
    state: Mutex<State>,
}

struct State {
    last: Option<Instant>,
    is_asking: bool,
    /// Why the last answer was none.
    error: Option<String>,
}

/// Reads the keys of a file, of which at least one has to be of use: nobody means to start without.
pub fn read(path: &std::path::Path, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    let keys = read_any(path, algorithms)?;
    match keys.is_empty() {
        true => Err(format!("{} {}", path.display(), none_of_use(algorithms))),
        false => Ok(keys),
    }
}

fn read_any(path: &std::path::Path, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    let shown = path.display();
    let size =
        std::fs::metadata(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if size.len() > KEYS_MAX_BYTES as u64 {
        return Err(format!("{shown} has more than {KEYS_MAX_BYTES} bytes"));
    }
    let json = std::fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    KeySet::parse(&json, algorithms).map_err(|error| format!("{shown} {error}"))
}

/// Counts from nothing on, so that the first fetch that fails is seen to grow.
pub fn begin_to_count() {
    for result in ["ok", "empty", "failed"] {
        counter!(names::KEY_FETCHES, "result" => result).increment(0);
    }
}

impl Source {
    pub fn open(settings: &TokenSettings) -> Result<Source, String> {
        let algorithms = settings.algorithms.clone();
        let (keys, place) = match &settings.keys {
            KeySource::File(path) => (read(path, &algorithms)?, Place::File(path.clone())),
            KeySource::Url(url) => {
                let server = Server {
                    client: web::client(url, ANSWER_WAIT)?,
                    url: url.clone(),
                    wanted: Notify::new(),
                    asked: watch::Sender::new(0),
                    state: Mutex::new(State { last: None, is_asking: true, error: None }),
                };
                (KeySet::default(), Place::Server(Box::new(server)))
            }
        };
        Ok(Source { keys: RwLock::new(Arc::new(keys)), algorithms, place })
    }

    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read())
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Server(_))
    }

    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::File(path) => Some(path.clone()),
            Place::Server(_) => None,
        }
    }

    /// Reads the file anew; a server is asked by itself.
    pub fn reload(&self) -> Result<(), String> {
        if let Place::File(path) = &self.place {
            self.replace(read_any(path, &self.algorithms)?);
        }
        Ok(())
    }

    /// What is known from now on; returns what was before.
    fn replace(&self, keys: KeySet) -> Arc<KeySet> {
        let is_empty = keys.is_empty();
        let before = std::mem::replace(&mut *self.keys.write(), Arc::new(keys));
        match (before.is_empty(), is_empty) {
            (false, true) => tracing::error!(
                problem = none_of_use(&self.algorithms),
                "all keys of tokens were taken back: nobody comes in with one, and who had is ended"
            ),
            (true, false) => tracing::info!("there are keys of tokens"),
            _ => {}
        }
        before
    }

    pub fn problem(&self) -> Option<String> {
        let empty = || {
            let problem = none_of_use(&self.algorithms);
            self.keys()
                .is_empty()
                .then(|| format!("the key set of authentication.token {problem}; no token is good"))
        };
        let Place::Server(server) = &self.place else { return empty() };
        let state = server.state.lock();
        match &state.error {
            Some(error) => Some(format!(
                "the key server of authentication.token: {error}; the keys that are known go on"
            )),
            // Before its first answer nothing is wrong with it.
            None if state.last.is_none() => None,
            None => empty(),
        }
    }

    /// Waits for an answer of the server that is newer than this call, if it may be asked now. Cancel safe.
    pub async fn ask_again(&self) {
        let Place::Server(server) = &self.place else { return };
        let mut asked = server.asked.subscribe();
        {
            let state = server.state.lock();
            let may = state.last.is_none_or(|last| last.elapsed() >= PAUSE);
            // Later, for those who come then.
            server.wanted.notify_one();
            if !may && !state.is_asking {
                return;
            }
        }
        // The sender lives as long as this.
        let _ = asked.changed().await;
    }

    /// Asks the server, for ever. `changed` is called when a key is gone.
    pub async fn follow(self: Arc<Source>, changed: impl Fn() + Send + Sync) {
        let Place::Server(server) = &self.place else { return };
        loop {
            server.state.lock().is_asking = true;
            let fetched = server.fetch(&self.algorithms).await;
            let result = match &fetched {
                Ok(keys) if keys.is_empty() => "empty",
                Ok(_) => "ok",
                Err(_) => "failed",
            };
            let gone = self.take(server, fetched);
            counter!(names::KEY_FETCHES, "result" => result).increment(1);
            server.asked.send_modify(|asked| *asked += 1);
            if gone {
                changed();
            }
            let pause = if result == "ok" { PERIOD } else { PAUSE };
            let early = async {
                tokio::time::sleep(PAUSE).await;
                server.wanted.notified().await;
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = early => {}
            }
        }
    }

    /// Takes what the server said; true if it does not have keys any more that it had.
    fn take(&self, server: &Server, fetched: Result<KeySet, String>) -> bool {
        let mut state = server.state.lock();
        state.last = Some(Instant::now());
        state.is_asking = false;
        match fetched {
            Ok(keys) => {
                if state.error.take().is_some() {
                    tracing::info!("the key server answers again");
                }
                let before = self.replace(keys);
                !self.keys().has_all_of(&before)
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the key server gives no keys: those that are known go on");
                }
                state.error = Some(error);
                false
            }
        }
    }
}

impl Server {
    async fn fetch(&self, algorithms: &[Algorithm]) -> Result<KeySet, String> {
        let answer = self.client.get(self.url.clone()).send().await;
        let answer = answer.map_err(|error| web::explain(&self.url, &error))?;
        let status = answer.status();
        if status != 200 {
            let hint =
                if status.is_redirection() { ": write the URL that it leads to" } else { "" };
            return Err(format!("{} answers {}{hint}", web::shown(&self.url), status.as_u16()));
        }
        let body = web::body(answer, KEYS_MAX_BYTES).await;
        let body = body.map_err(|error| format!("{} {error}", web::shown(&self.url)))?;
        KeySet::parse(&body, algorithms)
            .map_err(|error| format!("what {} answers {error}", web::shown(&self.url)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7517, A.1.
    const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

    fn source() -> Source {
        let settings = TokenSettings {
            keys: KeySource::Url(Url::parse("https://keys.example.com/").expect("a URL")),
            issuer: "us".to_owned(),
            audience: "landfall".to_owned(),
            algorithms: vec![Algorithm::ES256],
            identity: "sub".to_owned(),
            attributes: Vec::new(),
        };
        Source::open(&settings).expect("a client")
    }

    #[test]
    fn a_server_that_takes_all_keys_back_is_believed_and_one_that_is_away_is_not() {
        let source = source();
        let Place::Server(server) = &source.place else { panic!("it has a URL") };
        let said = |keys: &str| {
            KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes(), &[Algorithm::ES256])
        };
        let knows = |source: &Source| !source.keys().is_empty();
        assert_eq!(source.problem(), None, "nothing was said yet");
        assert!(!source.take(server, said(KEY)), "no key is gone");
        assert_eq!((knows(&source), source.problem()), (true, None));
        assert!(!source.take(server, Err("does not answer".to_owned())));
        assert!(knows(&source) && source.problem().is_some_and(|text| text.contains("go on")));
        // One that cannot be used is none.
        for none in ["", r#"{"kty":"oct","k":"c2VjcmV0"}"#] {
            source.take(server, said(KEY));
            assert!(source.take(server, said(none)), "a key is gone");
            assert!(
                !knows(&source) && source.problem().is_some_and(|text| text.contains("no token"))
            );
        }
        assert!(!source.take(server, said(KEY)));
        assert_eq!((knows(&source), source.problem()), (true, None));
    }
}
