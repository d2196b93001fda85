//! The page for people at `/`: one document of markup, style and script that asks for nothing from elsewhere. It
//! has no figures in it, those it fetches from `/api/v1/live`, and its policy lets it do nothing else.

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

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// One script of several files, each of which uses what is above it.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("page/numbers.js"),
    include_str!("page/elements.js"),
    include_str!("page/history.js"),
    include_str!("page/plots.js"),
    include_str!("page/panels/well.js"),
    include_str!("page/panels/latest.js"),
    include_str!("page/panels/lanes.js"),
    include_str!("page/panels/sum.js"),
    include_str!("page/panels/connections.js"),
    include_str!("page/panels/kafka.js"),
    include_str!("page/panels/large.js"),
    include_str!("page/panels/refused.js"),
    include_str!("page/panels/pools.js"),
    include_str!("page/panels.js"),
    include_str!("page/feed.js"),
    include_str!("page/page.js"),
);
/// Where they go in the frame, alone in their elements.
const STYLE_PLACE: &str = "{{style}}";
const SCRIPT_PLACE: &str = "{{script}}";

/// The document as it is sent, and what is said about it.
struct Page {
    text: Bytes,
    headers: HeaderMap,
}

impl Page {
    fn new() -> Page {
        let text = FRAME.replace(STYLE_PLACE, STYLE).replace(SCRIPT_PLACE, SCRIPT);
        let policy = HeaderValue::try_from(policy()).expect("hashes and words are in ASCII");
        let fixed = |text| HeaderValue::from_static(text);
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            // The next release has another one.
            (header::CACHE_CONTROL, fixed("no-store")),
        ];
        Page { text: text.into(), headers: headers.into_iter().collect() }
    }
}

/// The browser runs this script and this style and no other, wherever text may come to stand, and talks to this
/// port alone. Pictures are its own sign in the browser's tab.
fn policy() -> String {
    let (script, style) = (source(SCRIPT), source(STYLE));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// How a policy names a text within the document (CSP 3, 2.3.1).
pub(super) fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

pub fn pages() -> Router {
    Router::new().route("/", get(show)).with_state(Arc::new(Page::new()))
}

async fn show(State(page): State<Arc<Page>>) -> Response {
    (page.headers.clone(), page.text.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a newcomer loads and an operator over a bad line, in bytes.
    const PAGE_MAX: usize = 100_000;

    fn document() -> String {
        String::from_utf8(Page::new().text.to_vec()).expect("it is text")
    }

    #[test]
    fn the_page_is_one_small_document() {
        let document = document();
        assert!(document.len() <= PAGE_MAX, "{} bytes", document.len());
        assert!(!document.contains(STYLE_PLACE) && !document.contains(SCRIPT_PLACE));
    }

    /// What would load something, run what is not in the policy, or take a text for markup.
    #[test]
    fn it_loads_nothing_and_takes_no_text_for_markup() {
        let document = document();
        for word in [
            " src=",
            "srcset=",
            "@import",
            "url(",
            "import(",
            " style=",
            " onclick=",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "eval(",
            "new Function",
            "WebSocket",
            "EventSource",
            "localStorage",
            "<form action",
        ] {
            assert!(!document.contains(word), "{word}");
        }
        let name_of_svg = "http://www.w3.org/2000/svg";
        let elsewhere = document.replace(name_of_svg, "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
    }

    #[test]
    fn its_policy_names_the_very_texts_that_are_in_it() {
        let page = Page::new();
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("it is ASCII");
        let document = document();
        for (name, directive) in [("script", "script-src"), ("style", "style-src")] {
            let (begin, end) = (format!("<{name}>"), format!("</{name}"));
            let (_, behind) = document.split_once(&begin).expect("there is one");
            let (text, rest) = behind.split_once(&end).expect("it ends");
            assert!(!rest.contains(&begin) && !rest.contains(&end), "there is one {name}");
            assert!(policy.contains(&format!("{directive} {};", source(text))), "{policy}");
        }
        // Of the empty text, as anybody's sha256 says.
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
