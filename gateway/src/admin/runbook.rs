//! The runbook at `/runbook`: charts/landfall/RUNBOOK.md inside the binary, as a page that an operator has in the
//! worst hour without the Internet. It has no script, and names nothing of this process.

mod markdown;

use axum::Router;

use super::document::{Document, source};

const RUNBOOK: &str = include_str!("../../../charts/landfall/RUNBOOK.md");
const STYLE: &str = include_str!("runbook/runbook.css");

/// The whole page: what sections there are, and the runbook.
fn document() -> String {
    let (contents, body) = (markdown::contents(RUNBOOK), markdown::to_html(RUNBOOK));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Runbook · Landfall</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<nav aria-label=\"Sections\">\n<p><a href=\"/\">What the gateway is doing</a></p>\n{contents}</nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

pub fn pages() -> Router {
    Document::new(document(), &format!("style-src {}", source(STYLE))).at("/runbook")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    const ALERTS: &str = include_str!("../../../charts/landfall/files/alerts.yaml");

    fn has_section(document: &str, id: &str) -> bool {
        document.contains(&format!("<h2 id=\"{id}\">"))
    }

    #[test]
    fn each_problem_leads_to_a_section() {
        let document = document();
        for kind in Kind::ALL {
            assert!(has_section(&document, kind.section()), "{kind:?}: {}", kind.section());
        }
    }

    #[test]
    fn each_alert_leads_to_a_section() {
        let document = document();
        let links = ALERTS.lines().filter_map(|line| line.split_once("RUNBOOK.md#"));
        let ids: Vec<&str> = links.map(|(_, id)| id.trim()).collect();
        assert!(ids.len() > 20, "{ids:?}");
        for id in ids {
            assert!(has_section(&document, id), "{id}");
        }
    }

    #[test]
    fn it_has_all_the_text_and_no_script() {
        let document = document();
        for text in [
            "<strong>Restarting gateways mends neither Kafka nor the object store.</strong>",
            "<code>kafka-topics.sh --bootstrap-server … --describe --topic landfall.fast</code>",
            "curl -s localhost:8080/metrics | grep -E '^landfall_(degraded|lane|kafka|object)'",
            "<td>no route</td>",
        ] {
            assert!(document.contains(text), "{text}");
        }
        for markup in ["<script", "javascript:", " on", "style=", "http://", "https://"] {
            let found = document.match_indices(markup).find(|(at, _)| {
                // Within a tag, and not in what is said.
                let before = &document[..*at + 1];
                before.rfind('<') > before.rfind('>')
            });
            assert!(found.is_none(), "{markup} at {found:?}");
        }
        assert!(!document.contains("**") && !document.contains("<!-- "), "what is Markdown alone");
        assert!(document.len() < 100_000, "{}", document.len());
    }
}
