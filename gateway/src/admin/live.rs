//! `/api/v1/live`: what [`crate::live`] samples, as server-sent events. A stream ends by itself while its
//! connection still has time, so that a page asks again, and shows again who it is; for one who does not read, nothing
//! is kept but what was on its way already.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use super::CONNECTION_WAIT;
use crate::live::{Live, Place, WATCHERS_MAX, Watching};

/// How old the connection of a stream becomes.
const STREAM_WAIT: Duration = Duration::from_secs(50);
const _: () = assert!(STREAM_WAIT.as_secs() < CONNECTION_WAIT.as_secs());
/// When those come again for whom there was no place, in seconds.
const COME_AGAIN_S: &str = "10";

/// A connection's time, and whether somebody looks through it.
#[derive(Clone)]
pub(super) struct Stay {
    began: Instant,
    watching: Arc<AtomicUsize>,
}

/// Somebody looks through a connection, until this is dropped.
struct Looking(Arc<AtomicUsize>);

/// A stream on its way to one who looks. It has nothing ready before somebody takes it.
struct Stream {
    /// None behind the last.
    next: Option<Next>,
    ends: Instant,
    _place: Place,
    _looking: Looking,
}

/// The next event's text, and what comes after it; None at the end.
type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Watching)>> + Send>>;

pub(super) fn pages(live: &Arc<Live>) -> Router {
    Router::new().route("/api/v1/live", get(stream)).with_state(Arc::clone(live))
}

async fn stream(
    State(live): State<Arc<Live>>,
    Extension(stay): Extension<Stay>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(place) = live.place() else {
        let text = format!(
            "too many pages are open: {WATCHERS_MAX} at a time see this; come again in {COME_AGAIN_S} s\n"
        );
        let head = [(header::RETRY_AFTER, COME_AGAIN_S)];
        return (StatusCode::SERVICE_UNAVAILABLE, head, text).into_response();
    };
    let of_query = |wanted: &str| {
        let query = query.as_deref().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let after = match of_query("after").map(|after| after.parse()).transpose() {
        Ok(after) => after,
        Err(_) => return (StatusCode::BAD_REQUEST, "write ?after=SEQUENCE\n").into_response(),
    };
    let (past, samples) = live.begin(after, of_query("process").as_deref());
    let stream = Stream {
        next: Some(Box::pin(async { Some((past.text, samples)) })),
        ends: stay.began + STREAM_WAIT,
        _place: place,
        _looking: stay.look(),
    };
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // The next stream is another connection's, which has its whole time.
        (header::CONNECTION, "close"),
    ];
    (head, Body::new(stream)).into_response()
}

/// Waits for the next sample, until the stream ends.
async fn sample(mut samples: Watching, ends: Instant) -> Option<(Bytes, Watching)> {
    let event = timeout_at(ends, samples.next()).await.ok()??;
    Some((event.text, samples))
}

impl Stay {
    pub fn begin() -> Stay {
        Stay { began: Instant::now(), watching: Arc::default() }
    }

    /// Somebody looks through the connection.
    pub fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    fn look(&self) -> Looking {
        self.watching.fetch_add(1, Ordering::Relaxed);
        Looking(Arc::clone(&self.watching))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let event = ready!(next.as_mut().poll(context));
        let ends = self.ends;
        let (text, next) = event.map(|(text, samples)| (text, sample(samples, ends))).unzip();
        self.next = next.map(|next| Box::pin(next) as Next);
        Poll::Ready(text.map(|text| Ok(Frame::data(text))))
    }
}
