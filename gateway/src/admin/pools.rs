//! The pages of what makes events of messages: how it is doing, and what operators decide of a message at which a
//! partition stands.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bridge::kafka::group::Partition;
use parse::pool::status::{Ordered, What};
use serde_json::json;
use url::form_urlencoded;

use super::guard::Operator;
use crate::pools::{Pools, position};

pub fn pages(pools: &Arc<Pools>) -> Router {
    Router::new()
        .route("/api/v1/parse", get(list))
        .route("/api/v1/parse/{what}", post(decide))
        .with_state(Arc::clone(pools))
}

async fn list(State(pools): State<Arc<Pools>>) -> Response {
    Json(pools.status()).into_response()
}

async fn decide(
    State(pools): State<Arc<Pools>>,
    Extension(operator): Extension<Operator>,
    Path(what): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(what) = [What::Retry, What::Skip].into_iter().find(|known| known.label() == what)
    else {
        return failed(StatusCode::NOT_FOUND, "there are retry and skip");
    };
    let at = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "at")
        .and_then(|(_, at)| position(&at));
    let Some(at) = at else {
        return failed(StatusCode::BAD_REQUEST, "write ?at=TOPIC/PARTITION/OFFSET");
    };
    let Partition { topic, partition } = &at.partition;
    let (operator, offset, what_is_done) = (&*operator.name, at.offset, what.label());
    tracing::info!(operator, topic, partition, offset, what_is_done, "an operator decides");
    match pools.order(at, what) {
        Ordered::Taken => StatusCode::ACCEPTED.into_response(),
        Ordered::NotHere => failed(
            StatusCode::NOT_FOUND,
            "this process does not have that partition: another one of the group does, or its pools do not read that topic",
        ),
        Ordered::Runs => failed(
            StatusCode::CONFLICT,
            "that partition is neither held nor stopped, so there is nothing to decide",
        ),
        Ordered::Decided => failed(
            StatusCode::CONFLICT,
            "that message was decided a moment ago, and that is not done yet: ask again in a second",
        ),
        Ordered::StandsAt(offset) => failed(
            StatusCode::CONFLICT,
            &format!("that partition stands at {offset}, and only that message can be decided"),
        ),
        Ordered::TooMany => {
            failed(StatusCode::TOO_MANY_REQUESTS, "too many decisions wait: ask again in a second")
        }
    }
}

fn failed(code: StatusCode, error: &str) -> Response {
    (code, Json(json!({ "error": error }))).into_response()
}
