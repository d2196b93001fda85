//! Pages that name devices: who is connected, one of them, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bridge::text::escape;
use serde_json::json;
use url::form_urlencoded;

use super::guard::Operator;
use crate::audit::{Audit, Entry, Event};
use crate::clients::{Clients, Wanted};

/// Clients on a page, unless the caller says less or more.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// How long the answer to a DELETE waits for the connection's end.
const END_WAIT: Duration = Duration::from_secs(2);
const END_LOOK: Duration = Duration::from_millis(10);

pub fn pages(clients: &Arc<Clients>, audit: &Arc<Audit>) -> Router {
    Router::new()
        .route("/api/v1/clients", get(list))
        .route("/api/v1/clients/{client_id}", get(one).delete(end))
        .layer(Extension(Arc::clone(audit)))
        .with_state(Arc::clone(clients))
}

async fn list(State(clients): State<Arc<Clients>>, RawQuery(query): RawQuery) -> Response {
    match wanted(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => Json(clients.page(&wanted).await).into_response(),
        Err(error) => failed(StatusCode::BAD_REQUEST, &error),
    }
}

async fn one(State(clients): State<Arc<Clients>>, Path(client_id): Path<String>) -> Response {
    let Some((status, figures)) = clients.client(&client_id).await else {
        return not_connected();
    };
    #[derive(serde::Serialize)]
    struct Client {
        #[serde(flatten)]
        status: crate::clients::ClientStatus,
        #[serde(flatten)]
        figures: Option<crate::clients::Figures>,
    }
    Json(Client { status, figures }).into_response()
}

/// Tells the connection to end, and answers when it has, or says that it still does.
async fn end(
    State(clients): State<Arc<Clients>>,
    Extension(operator): Extension<Operator>,
    Extension(audit): Extension<Arc<Audit>>,
    Path(client_id): Path<String>,
) -> Response {
    let Some(ending) = clients.end(&client_id) else { return not_connected() };
    tracing::info!(
        client_id = escape(&client_id).as_str(),
        operator = &*operator.name,
        "an operator ended a connection"
    );
    audit.tell(
        Event::Operator,
        &Entry {
            client_id: &client_id,
            reason: Some("end"),
            by: Some(&operator.name),
            ..Entry::default()
        },
    );
    let until = Instant::now() + END_WAIT;
    while clients.is_held_by(&client_id, &ending) {
        if Instant::now() >= until {
            return StatusCode::ACCEPTED.into_response();
        }
        tokio::time::sleep(END_LOOK).await;
    }
    StatusCode::NO_CONTENT.into_response()
}

/// What is asked for behind the `?`.
fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted { limit: LIMIT, ..Default::default() };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        match &*key {
            "after" => wanted.after = Some(value),
            "prefix" => wanted.prefix = Some(value),
            "identity" => wanted.identity = Some(value),
            "listener" => wanted.listener = Some(value),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                wanted.limit = limit.ok_or(format!("limit: write 1 to {LIMIT_MAX}"))?;
            }
            _ => {
                return Err(
                    "there are after, limit, prefix, identity and listener, and no others".into()
                );
            }
        }
    }
    Ok(wanted)
}

fn not_connected() -> Response {
    failed(StatusCode::NOT_FOUND, "no client of that id is connected to this gateway")
}

fn failed(code: StatusCode, error: &str) -> Response {
    (code, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_whole_or_not_at_all() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(wanted(""), Ok(Wanted { limit: LIMIT, ..Default::default() }));
        let all = "after=a%2Fb&limit=1000&prefix=x+y&identity=%C3%A4&listener=plain";
        let expected = Wanted {
            after: some("a/b"),
            limit: 1000,
            prefix: some("x y"),
            identity: some("ä"),
            listener: some("plain"),
        };
        assert_eq!(wanted(all), Ok(expected));
        for wrong in ["limit=0", "limit=1001", "limit=many", "limit=", "colour=red"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }
}
