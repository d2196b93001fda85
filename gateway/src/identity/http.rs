//! An HTTP service that knows who may come in, in the format of EMQX 5. It is asked within a deadline, not
//! more than so often at a time, and what it says is remembered for a while. Whatever it does not clearly
//! allow is refused.
//!
//! A client waits for its place with nothing but its CONNECT, which is paid for already; the question is made of
//! that with the place in hand. Whose questions hang, and who guesses, holds up nobody else.

mod answer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::message::Verified;
use parking_lot::Mutex;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use url::Url;

use super::attempts::{Attempts, Who};
use super::remembered::{Mark, Remembered, Secret};
use super::{Denied, Evidence, Identity, NAME_MAX_BYTES, Way, is_text};
use crate::fault::{Fault, Faults};
use crate::places::Place;
use crate::web;
use answer::{Answer, Question};

/// Questions under way; who comes beyond waits for a place as long as its CONNECT may.
pub const ASKING_MAX: usize = 64;
/// Clients that wait for a place; more are turned away.
const WAITING_MAX: usize = 1024;
/// What one that waits takes beside its CONNECT, in bytes.
const WAITING_COST: usize = 512;
/// Longest question, in bytes: a CONNECT may be as long, and what JSON has to escape is longer there.
const QUESTION_MAX_BYTES: usize = 64 * 1024;
/// Longest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// What a question under way takes beside it and its answer, in bytes: its connection with TLS.
const ASKING_COST: usize = 48 * 1024;
/// Answers that are remembered.
const REMEMBERED_MAX: usize = 100_000;
/// What they take at most, in bytes.
const REMEMBERED_BYTES: usize = 32 * 1024 * 1024;
/// What one takes beside its texts, with its place, in bytes.
const ENTRY_BYTES: usize = 256;
/// What the service takes at most, in bytes.
pub const MEMORY_COST: u64 = (REMEMBERED_BYTES
    + ASKING_MAX * (QUESTION_MAX_BYTES + ANSWER_MAX_BYTES + ASKING_COST)
    + WAITING_MAX * WAITING_COST) as u64;

/// A service that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    pub url: Url,
    pub timeout: Duration,
    /// How long an answer holds; zero: it is asked each time.
    pub cache: Duration,
}

/// See the module.
pub struct Service {
    client: Client,
    url: Url,
    cache: Duration,
    runtime: Handle,
    secret: Secret,
    remembered: Mutex<Remembered<Known>>,
    attempts: Attempts,
    /// Why its last answer was none.
    error: Arc<Mutex<Option<String>>>,
}

/// What it said of somebody.
#[derive(Clone)]
struct Known {
    verified: Arc<Verified>,
    ends_at_ms: Option<i64>,
}

impl Service {
    /// Its answers are waited for on that runtime.
    pub fn new(settings: &HttpSettings, runtime: &Handle) -> Result<Service, Faults> {
        let client = web::client(&settings.url, settings.timeout).map_err(|text| {
            Faults(vec![Fault { place: "authentication.http.url".to_owned(), text }])
        })?;
        Ok(Service {
            client,
            url: settings.url.clone(),
            cache: settings.cache,
            runtime: runtime.clone(),
            secret: Secret::new(),
            remembered: Mutex::new(Remembered::new(REMEMBERED_MAX, REMEMBERED_BYTES)),
            attempts: Attempts::new("questions to the HTTP service", ASKING_MAX, WAITING_MAX),
            error: Arc::default(),
        })
    }

    /// What is wrong with it, for `/readyz`.
    pub fn problem(&self) -> Option<String> {
        let error = self.error.lock();
        error.as_ref().map(|error| {
            format!("the service of authentication.http: {error}; who is not remembered is refused")
        })
    }

    /// Asks who the client is. Cancel safe: an answer that comes later is dropped.
    pub(super) async fn prove(&self, evidence: &Evidence<'_>) -> Result<Identity, Denied> {
        let name = evidence.user_name.filter(|name| !name.is_empty()).unwrap_or(evidence.client_id);
        if name.is_empty() || !is_text(name, NAME_MAX_BYTES) {
            return Err(Denied::ByService);
        }
        let password = std::str::from_utf8(evidence.password.unwrap_or_default());
        let password = password.map_err(|_| Denied::ByService)?;
        let question = Question {
            clientid: evidence.client_id,
            username: evidence.user_name,
            password,
            peerhost: evidence.address.map(|address| address.to_string()),
            cert_common_name: evidence.certificate.and_then(|shown| shown.common_name.as_deref()),
        };
        let mark = self.mark(&question);
        let known = self.remembered.lock().get(&mark, Instant::now());
        let known = match known {
            Some(known) => known,
            None => self.ask(name, &question, evidence.address, mark).await?,
        };
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        if known.ends_at_ms.is_some_and(|end| end <= now) {
            return Err(Denied::ByService);
        }
        Ok(Identity {
            verified: known.verified,
            way: Way::Http,
            user_name: Some(name.into()),
            ends_at_ms: known.ends_at_ms,
            credentials: Vec::new(),
        })
    }

    /// What its answer is remembered under: everything that is asked.
    fn mark(&self, question: &Question<'_>) -> Mark {
        let Question { clientid, username, password, peerhost, cert_common_name } = question;
        let optional = [*username, peerhost.as_deref(), *cert_common_name];
        // Which of them are there, as an empty one is another question than none.
        let are_there = optional.map(|one| u8::from(one.is_some()));
        let [username, peerhost, common_name] = optional.map(Option::unwrap_or_default);
        let texts = [*clientid, username, *password, peerhost, common_name].map(str::as_bytes);
        let [client_id, username, password, peerhost, common_name] = texts;
        self.secret.mark(&[&are_there, client_id, username, password, peerhost, common_name])
    }

    async fn ask(
        &self,
        name: &str,
        question: &Question<'_>,
        address: Option<IpAddr>,
        mark: Mark,
    ) -> Result<Known, Denied> {
        let who = Who { address, name: self.secret.mark(&[name.as_bytes()]).number() };
        let place = self.attempts.place(who).await?;
        let question = written(question, &place).ok_or(Denied::ByService)?;
        let (client, url, error) = (self.client.clone(), self.url.clone(), Arc::clone(&self.error));
        // The place goes along with the question, for which the service works even if nobody waits any more.
        let asked = self.runtime.spawn(async move {
            let answer = ask(&client, &url, question).await;
            drop(place);
            note(&error, answer.as_ref().err());
            answer
        });
        let answer = match asked.await {
            Ok(Ok(answer)) => answer,
            // Its failure was noted, or the process ends.
            Ok(Err(_)) | Err(_) => return Err(Denied::Unavailable),
        };
        let Answer::Allowed { attributes, ends_at_ms } = answer else {
            self.attempts.ended(who, false);
            return Err(Denied::ByService);
        };
        self.attempts.ended(who, true);
        let known =
            Known { verified: Arc::new(Verified { id: name.into(), attributes }), ends_at_ms };
        if !self.cache.is_zero() {
            let bytes =
                known.verified.bytes() + ENTRY_BYTES * (1 + known.verified.attributes.len());
            let until = Instant::now() + self.cache;
            self.remembered.lock().insert(mark, known.clone(), bytes, Some(until));
        }
        Ok(known)
    }
}

/// A question as it is sent; None if it is too long. Only for who has a place: the memory of a question is planned
/// for those that are under way, and not for those that wait.
fn written(question: &Question<'_>, _: &Place) -> Option<Vec<u8>> {
    let mut bytes = vec![0; QUESTION_MAX_BYTES];
    let mut left = &mut bytes[..];
    serde_json::to_writer(&mut left, question).ok()?;
    let length = QUESTION_MAX_BYTES - left.len();
    bytes.truncate(length);
    Some(bytes)
}

/// Asks once.
async fn ask(client: &Client, url: &Url, question: Vec<u8>) -> Result<Answer, String> {
    let asked = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(question);
    let answer = asked.send().await.map_err(|error| web::explain(url, &error))?;
    let status = answer.status().as_u16();
    let body = web::body(answer, ANSWER_MAX_BYTES).await;
    let body = body.map_err(|error| format!("{} {error}", web::shown(url)))?;
    Answer::read(status, &body).map_err(|error| format!("{} {error}", web::shown(url)))
}

fn note(known: &Mutex<Option<String>>, error: Option<&String>) {
    let mut known = known.lock();
    match error {
        Some(error) if known.as_ref() != Some(error) => {
            tracing::warn!(%error, "the service that knows clients gives no answer");
            *known = Some(error.clone());
        }
        None if known.is_some() => {
            tracing::info!("the service that knows clients answers again");
            *known = None;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Places;

    fn question<'a>(username: Option<&'a str>, password: &'a str) -> Question<'a> {
        let (clientid, peerhost, cert_common_name) = ("dev1", Some("::1".to_owned()), None);
        Question { clientid, username, password, peerhost, cert_common_name }
    }

    #[tokio::test]
    async fn a_question_is_as_long_as_it_may_be_and_no_longer() {
        let place = Places::new("questions", ASKING_MAX, WAITING_MAX)
            .take(None)
            .await
            .expect("there are some");
        let empty = written(&question(None, ""), &place).expect("it is short").len();
        let longest = "x".repeat(QUESTION_MAX_BYTES - empty);
        let bytes = written(&question(None, &longest), &place).expect("it fits");
        assert_eq!(bytes.len(), QUESTION_MAX_BYTES);
        let read: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!((&read["clientid"], &read["password"]), (&"dev1".into(), &longest.into()));
        // Each of them is six in JSON.
        let escaped = "\u{1}".repeat(QUESTION_MAX_BYTES / 5);
        assert_eq!(written(&question(None, &escaped), &place), None);
    }

    #[tokio::test]
    async fn only_the_same_question_has_an_answer_already() {
        let url = Url::parse("http://127.0.0.1:9/").expect("a URL");
        let settings =
            HttpSettings { url, timeout: Duration::from_secs(1), cache: Duration::from_secs(60) };
        let service = Service::new(&settings, &Handle::current()).expect("a client");
        let mark = |username, password| service.mark(&question(username, password));
        assert_eq!(mark(Some("a"), "b"), mark(Some("a"), "b"));
        for (username, password) in
            [(None, "b"), (Some(""), "b"), (Some("ab"), ""), (Some("a"), "")]
        {
            assert_ne!(mark(Some("a"), "b"), mark(username, password), "{username:?} {password}");
        }
        assert_ne!(mark(None, "b"), mark(Some(""), "b"));
    }
}
