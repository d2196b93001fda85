//! The page that has everything read anew that files say.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use axum::{Extension, Router};

use super::guard::Operator;
use crate::reload::{By, Outcome, Reloader};

pub fn pages(reloader: &Arc<Reloader>) -> Router {
    Router::new().route("/api/v1/reload", post(reload)).with_state(Arc::clone(reloader))
}

/// Answers when all is read: with each part, its files, and what is wrong with them.
async fn reload(
    State(reloader): State<Arc<Reloader>>,
    Extension(operator): Extension<Operator>,
) -> Response {
    let report = reloader.reload(By::Operator(operator.name)).await;
    let code = match report.outcome {
        Outcome::Read => StatusCode::OK,
        Outcome::Failed => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (code, Json(report)).into_response()
}
