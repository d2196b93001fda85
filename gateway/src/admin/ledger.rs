//! `/api/v1/ledger`: what became of every message, lane by lane and in sum, and the ids of those that were handed over
//! to Kafka again. It names no device: what a message's id says is when it came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use bridge::repeats::REPEATS_MAX;
use bridge::{Refusal, Repeats, Totals};
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;

use super::{AdminView, Pages};
use crate::live::{LaneReading, Reading};

/// What is asked for behind the `?`.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    after: u64,
    /// The process that counted so far; none: this one.
    process: Option<String>,
}

#[derive(Serialize)]
struct Ledger {
    gateway_id: String,
    process: String,
    started_ms: u64,
    lanes: Vec<LaneBooks>,
    sum: Books,
    adds_up: bool,
    handed_over_again: HandedOverAgain,
}

#[derive(Serialize)]
struct LaneBooks {
    lane: String,
    #[serde(flatten)]
    books: Books,
}

#[derive(Serialize)]
struct Books {
    received: u64,
    landed: u64,
    dead_lettered: u64,
    refused: BTreeMap<&'static str, u64>,
    failed: u64,
    in_flight: u64,
    difference: i64,
}

#[derive(Serialize)]
struct HandedOverAgain {
    count: u64,
    limit: usize,
    from: u64,
    next: u64,
    ids: Vec<String>,
}

/// The page of a role whose lanes note their repeats there.
pub fn pages<V: AdminView>(pages: &Arc<Pages<V>>, repeats: &Arc<Repeats>) -> Router {
    let state = (Arc::clone(pages), Arc::clone(repeats));
    Router::new().route("/api/v1/ledger", get(ledger::<V>)).with_state(state)
}

async fn ledger<V: AdminView>(
    State((pages, repeats)): State<(Arc<Pages<V>>, Arc<Repeats>)>,
    RawQuery(query): RawQuery,
) -> Response {
    let wanted = match wanted(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
        }
    };
    let process = pages.live.process();
    let is_ours = wanted.process.is_none_or(|wanted| wanted == process);
    let handed_over_again = handed_over_again(&repeats, if is_ours { wanted.after } else { 0 });
    let Reading { gateway_id, lanes, .. } = pages.view.reading(false);
    let started = pages.live.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ledger = Ledger {
        gateway_id,
        process,
        started_ms: started.as_millis() as u64,
        sum: books(lanes.iter().map(|lane| lane.totals).sum()),
        // Differences of two lanes must not make up for each other.
        adds_up: lanes.iter().all(|lane| lane.totals.add_up()),
        lanes: lanes.into_iter().map(lane_books).collect(),
        handed_over_again,
    };
    Json(ledger).into_response()
}

fn wanted(query: &str) -> Result<Wanted, &'static str> {
    let mut wanted = Wanted::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "after" => {
                let after = value.parse().ok();
                wanted.after = after.ok_or("after: write `next` of the answer before, or 0")?;
            }
            "process" => wanted.process = Some(value.into_owned()),
            _ => return Err("there are after and process, and no others"),
        }
    }
    Ok(wanted)
}

fn handed_over_again(repeats: &Repeats, after: u64) -> HandedOverAgain {
    let page = repeats.since(after);
    let next = page.from + page.ids.len() as u64;
    HandedOverAgain { count: page.count, limit: REPEATS_MAX, from: page.from, next, ids: page.ids }
}

fn lane_books(reading: LaneReading) -> LaneBooks {
    LaneBooks { lane: reading.lane, books: books(reading.totals) }
}

fn books(totals: Totals) -> Books {
    Books {
        received: totals.received,
        landed: totals.landed,
        dead_lettered: totals.dead_lettered,
        refused: Refusal::ALL.into_iter().map(Refusal::label).zip(totals.refused).collect(),
        failed: totals.failed,
        in_flight: totals.in_flight,
        difference: totals.difference(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_whole_or_not_at_all() {
        assert_eq!(wanted(""), Ok(Wanted::default()));
        let both = Wanted { after: 7, process: Some("0f".to_owned()) };
        assert_eq!(wanted("after=7&process=0f"), Ok(both));
        for wrong in ["after=", "after=-1", "after=1.5", "after=all", "limit=3", "after=1&x"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    /// A reason of refusal is a part of its own, and the books add up by all of them.
    #[test]
    fn books_have_each_message_in_one_place() {
        let mut totals = Totals { received: 10, landed: 4, in_flight: 1, ..Totals::default() };
        totals.refused[Refusal::Shed as usize] = 3;
        let books = books(totals);
        assert_eq!(books.refused["shed"], 3);
        assert_eq!(books.refused.len(), Refusal::ALL.len());
        assert_eq!(books.difference, 2);
    }
}
