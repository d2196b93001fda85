//! An HTTP service that knows who may come in, in the format of EMQX 5. It is asked within a deadline, not
//! more than so often at a time, and what it says is remembered for a while. Whatever it does not clearly
//! allow is refused.

mod answer;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::message::Verified;
use parking_lot::Mutex;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::Url;

use super::remembered::{Mark, Remembered, Secret};
use super::{Denied, Evidence, Identity, NAME_MAX_BYTES, Way, is_text, web};
use crate::config::{Fault, Faults, HttpSettings};
use answer::Answer;

/// Questions under way; who comes beyond waits for a place as long as its CONNECT may.
pub const ASKING_MAX: usize = 64;
/// Clients that wait for a place; more are turned away.
const WAITING_MAX: usize = 1024;
/// Longest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Answers that are remembered.
const REMEMBERED_MAX: usize = 100_000;
/// What they take at most, in bytes.
const REMEMBERED_BYTES: usize = 32 * 1024 * 1024;
/// What one takes beside its texts, with its place, in bytes.
const ENTRY_BYTES: usize = 256;
/// What the service takes at most, in bytes.
pub const MEMORY_COST: u64 =
    (REMEMBERED_BYTES + ASKING_MAX * (ANSWER_MAX_BYTES + 64 * 1024)) as u64;

/// See the module.
pub struct Service {
    client: Client,
    url: Url,
    cache: Duration,
    runtime: Handle,
    secret: Secret,
    remembered: Mutex<Remembered<Known>>,
    asking: Arc<Semaphore>,
    waiting: Semaphore,
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
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
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
        let question = answer::Question {
            clientid: evidence.client_id,
            username: evidence.user_name,
            password,
            peerhost: evidence.address.map(|address| address.to_string()),
            cert_common_name: evidence.common_name,
        };
        let question = serde_json::to_vec(&question).map_err(|_| Denied::Unavailable)?;
        let mark = self.secret.mark(&[&question]);
        let known = self.remembered.lock().get(&mark, Instant::now());
        let known = match known {
            Some(known) => known,
            None => self.ask(name, question, mark).await?,
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

    async fn ask(&self, name: &str, question: Vec<u8>, mark: Mark) -> Result<Known, Denied> {
        let _waits = self.waiting.try_acquire().map_err(|_| Denied::Busy)?;
        let place = Arc::clone(&self.asking).acquire_owned().await.expect("nobody closes it");
        let (client, url, error) = (self.client.clone(), self.url.clone(), Arc::clone(&self.error));
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
            return Err(Denied::ByService);
        };
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
