//! A page that is one document and the same for everybody: its text, and what the browser is told about it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// See the module.
pub struct Document {
    text: Bytes,
    headers: HeaderMap,
}

impl Document {
    /// Beyond what `policy` allows (CSP 3), the browser loads and runs nothing, sends no form, and shows the page in
    /// no other's frame.
    pub fn new(text: String, policy: &str) -> Document {
        let policy = format!(
            "default-src 'none'; {policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::try_from(policy).expect("hashes and words are in ASCII");
        let fixed = |text| HeaderValue::from_static(text);
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            // The next release has another one.
            (header::CACHE_CONTROL, fixed("no-store")),
        ];
        Document { text: text.into(), headers: headers.into_iter().collect() }
    }

    pub fn at(self, path: &str) -> Router {
        Router::new().route(path, get(show)).with_state(Arc::new(self))
    }

    #[cfg(test)]
    pub fn policy(&self) -> &str {
        let policy = self.headers[header::CONTENT_SECURITY_POLICY].to_str();
        policy.expect("hashes and words are in ASCII")
    }
}

/// How a policy names a text within the document (CSP 3, 2.3.1).
pub fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

async fn show(State(document): State<Arc<Document>>) -> Response {
    (document.headers.clone(), document.text.clone()).into_response()
}
