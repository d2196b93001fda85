//! One request to a store with all its tries: the only place where anything is tried again.
//!
//! Whether a request took more than one try is known here, and matters: the answer to a completion that
//! was sent again is worth little, because the server that answers may be another one than the one that
//! was asked first, or the same after a crash.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use object_store::client::HttpError;

use super::health::Health;
use super::meter::Meter;
use super::reaction::{Answer, Fault, Reaction};

/// How long a failing request is tried again before the upload fails. Devices give up at 30 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// The first pause before a request is tried again; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The longest pause of a request that was refused.
const PAUSE_REFUSED_MAX: Duration = Duration::from_secs(8);

/// What worked, and how many tries it took.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub value: T,
    pub tries: u32,
}

/// A request that failed for good.
#[derive(Debug)]
pub(super) struct Failed {
    pub fault: Fault,
    pub tries: u32,
}

/// Tries until it works, cannot work, or [`DEADLINE`] has passed since the first try. A try that panics
/// has failed: who waits for it hears so, and the store counts as failing.
pub(super) async fn persist<T, F: Future<Output = Result<T, Fault>>>(
    health: &Health,
    meter: &Meter,
    mut attempt: impl FnMut() -> F,
) -> Result<Done<T>, Failed> {
    let began = Instant::now();
    let request = meter.begin();
    let mut tries = 0;
    let mut pause = PAUSE_MIN;
    loop {
        let left = DEADLINE.saturating_sub(began.elapsed());
        if !health.opens_within(left).await {
            let reason = health.problem().unwrap_or_else(|| "the store refuses".to_owned());
            request.end(false);
            return Err(Failed { fault: Fault { reaction: Reaction::Wait, reason }, tries });
        }
        tries += 1;
        let fault = match or_panic(attempt()).await {
            Ok(Ok(value)) => {
                health.write_worked();
                request.end(true);
                return Ok(Done { value, tries });
            }
            Ok(Err(fault)) => fault,
            Err(panicked) => {
                health.write_failed(&panicked);
                panicked
            }
        };
        let longest = match fault.reaction {
            Reaction::Again => PAUSE_MAX,
            Reaction::Wait => PAUSE_REFUSED_MAX,
            Reaction::Anew | Reaction::Never => Duration::ZERO,
        };
        if !longest.is_zero() {
            health.write_failed(&fault);
        }
        if longest.is_zero() || began.elapsed() + pause > DEADLINE {
            request.end(false);
            return Err(Failed { fault, tries });
        }
        // Those that failed together do not come back together.
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (2 * pause).min(longest);
    }
}

/// What comes of a request, or that it panicked. Nothing of a request is used after that.
pub(super) async fn or_panic<T>(request: impl Future<Output = T>) -> Result<T, Fault> {
    AssertUnwindSafe(request).catch_unwind().await.map_err(|_| Fault::panicked())
}

/// What the HTTP client saw of the try in flight; see [`observed`].
struct Seen {
    /// Stands in the path of every request about the object. Others are for credentials.
    object: String,
    last: Option<Last>,
}

enum Last {
    /// What a server said that was asked for credentials.
    Elsewhere(String),
    Answer(Answer),
    NoAnswer(Fault),
}

tokio::task_local! {
    static SEEN: RefCell<Seen>;
}

/// Runs one try of a request about `object`, the last part of its key, and says what a failure means.
pub(super) async fn observed<T>(
    object: &str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, (object_store::Error, Fault)> {
    let seen = RefCell::new(Seen { object: object.to_owned(), last: None });
    let (result, last) = SEEN
        .scope(seen, async {
            let result = request.await;
            let last = SEEN.with(|seen| seen.borrow_mut().last.take());
            (result, last)
        })
        .await;
    result.map_err(|error| {
        let fault = match last {
            // Without a question to anybody: a file with a token that is not there, for example.
            None => Fault::no_credentials(&error.to_string()),
            Some(Last::Elsewhere(text)) => Fault::no_credentials(&text),
            Some(Last::NoAnswer(fault)) => fault,
            Some(Last::Answer(answer)) if answer.is_ok() => {
                let reason = format!("its answer is not understood: {error}");
                Fault { reaction: Reaction::Again, reason }
            }
            Some(Last::Answer(answer)) => answer.fault(),
        };
        (error, fault)
    })
}

/// Notes an answer, for the try in flight in this task, if there is one.
pub(super) fn see_answer(host: &str, path: &str, answer: Answer) {
    see(path, |about_object| match about_object {
        true => Last::Answer(answer),
        false => Last::Elsewhere(format!("{host} answers {} {}", answer.status, answer.message)),
    });
}

/// Notes that there was no answer.
pub(super) fn see_error(host: &str, path: &str, error: &HttpError) {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let fault = Fault::no_answer(error.kind(), &causes.join(": "));
    see(path, |about_object| match about_object {
        true => Last::NoAnswer(fault),
        false => Last::Elsewhere(format!("{host}: {}", fault.reason)),
    });
}

fn see(path: &str, last: impl FnOnce(bool) -> Last) {
    // Reading for people is not observed.
    let _ = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let about_object = path.contains(&seen.object);
        seen.last = Some(last(about_object));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_panics_has_failed_and_the_store_is_asked() {
        let (health, meter) = (Health::new(), Meter::new());
        health.probe_worked();
        let tried = persist(&health, &meter, || async { panic!("as a library of ours may") });
        let failed: Result<Done<()>, Failed> = tried.await;
        assert_eq!(failed.expect_err("it failed").tries, 1, "no second try mends it");
        let figures = meter.figures();
        assert_eq!((figures.open, figures.requests.failed), (0, 1));
        let asked = tokio::time::timeout(Duration::from_secs(20), health.doubted());
        asked.await.expect("the probe is asked for");
    }
}
