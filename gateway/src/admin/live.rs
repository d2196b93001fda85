//! `/api/v1/live`: what [`crate::live`] samples, as server-sent events. A stream ends by itself while its
//! connection still has time, so that a page asks again, and shows again who it is; who does not read holds what
//! was made for him last, and no more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use super::CONNECTION_WAIT;
use crate::live::{Live, Place, WATCHERS_MAX};

/// How old the connection of a stream becomes.
const STREAM_WAIT: Duration = Duration::from_secs(50);
const _: () = assert!(STREAM_WAIT.as_secs() < CONNECTION_WAIT.as_secs());
/// When those come again for whom there was no place, in seconds.
const COME_AGAIN_S: &str = "10";
/// Events that wait for one who does not read.
const EVENTS_WAITING: usize = 1;

/// A connection's time, and whether somebody looks through it.
#[derive(Clone)]
pub(super) struct Stay {
    began: Instant,
    watching: Arc<AtomicUsize>,
}

/// Somebody looks through a connection, until this is dropped.
struct Looking(Arc<AtomicUsize>);

/// A stream on its way to one who looks.
struct Stream {
    events: mpsc::Receiver<Bytes>,
    _place: Place,
    _looking: Looking,
}

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
    let (sending, events) = mpsc::channel(EVENTS_WAITING);
    let stream = Stream { events, _place: place, _looking: stay.look() };
    let process = of_query("process");
    let ends = stay.began + STREAM_WAIT;
    tokio::spawn(async move {
        // Its end, for whatever reason, is the stream's.
        let _ = timeout_at(ends, send(&live, after, process.as_deref(), sending)).await;
    });
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // The next stream is another connection's, which has its whole time.
        (header::CONNECTION, "close"),
    ];
    (head, Body::new(stream)).into_response()
}

/// Sends what is sampled, until nobody takes it.
async fn send(
    live: &Live,
    after: Option<u64>,
    process: Option<&str>,
    sending: mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let (past, mut samples) = live.begin(after, process);
    sending.send(past.text).await?;
    while let Some(sample) = samples.next().await {
        sending.send(sample.text).await?;
    }
    Ok(())
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
        self.events.poll_recv(context).map(|event| event.map(|text| Ok(Frame::data(text))))
    }
}
