//! The page for people at `/`: one document of markup, style and script that asks for nothing from elsewhere. It
//! has no figures in it, those it fetches from `/api/v1/live`, and its policy lets it do nothing else.

use axum::Router;

use super::document::{Document, source};

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

pub fn pages() -> Router {
    Document::new(text(), &policy()).at("/")
}

fn text() -> String {
    FRAME.replace(STYLE_PLACE, STYLE).replace(SCRIPT_PLACE, SCRIPT)
}

/// The browser runs this script and this style and no other, wherever text may come to stand, and talks to this
/// port alone. Pictures are its own sign in the browser's tab.
fn policy() -> String {
    let (script, style) = (source(SCRIPT), source(STYLE));
    format!("script-src {script}; style-src {style}; connect-src 'self'; img-src data:")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a newcomer loads and an operator over a bad line, in bytes.
    const PAGE_MAX: usize = 100_000;

    #[test]
    fn the_page_is_one_small_document() {
        let document = text();
        assert!(document.len() <= PAGE_MAX, "{} bytes", document.len());
        assert!(!document.contains(STYLE_PLACE) && !document.contains(SCRIPT_PLACE));
    }

    /// What would load something, run what is not in the policy, or take a text for markup.
    #[test]
    fn it_loads_nothing_and_takes_no_text_for_markup() {
        let document = text();
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
        let document = text();
        let whole = Document::new(document.clone(), &policy());
        let policy = whole.policy();
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
