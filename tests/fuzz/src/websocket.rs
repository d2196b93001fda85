//! What a stranger sends to a listener for WebSockets: the request's head, then frames. However it is cut, the
//! decoder must come to the same payload and the same end, never to more than came in.

use gateway::net::websocket::frames::Frames;
use gateway::net::websocket::{Asked, Terms};

/// The longest payload of a control frame, in bytes.
const CONTROL_MAX: usize = 125;

/// The first byte says whether a request or frames follow, and how they are cut. Returns whether the request
/// was granted, or the frames were good.
pub fn receive(data: &[u8]) -> bool {
    match data.split_first() {
        None => false,
        Some((0, request)) => ask(request),
        Some((cut, frames)) => take(frames, usize::from(*cut)),
    }
}

/// A head is not granted before its end, and what was once said of it stays.
fn ask(request: &[u8]) -> bool {
    let terms = Terms {
        path: Some("/mqtt".to_owned()),
        origins: vec!["https://console.example.com".to_owned()],
    };
    let whole = terms.read(request);
    for end in 0..request.len() {
        match terms.read(&request[..end]) {
            Asked::Partial => {}
            early => assert_eq!(early, whole, "at {end} of {}", request.len()),
        }
    }
    match whole {
        Asked::Granted { head_len, answer } => {
            assert!(head_len <= request.len() && answer.starts_with(b"HTTP/1.1 101 "));
            let lines = answer.iter().filter(|byte| **byte == b'\n').count();
            assert!((5..=6).contains(&lines), "what was offered adds no header of its own");
            true
        }
        Asked::Refused(refused) => {
            assert!(refused.response().starts_with(b"HTTP/1.1 4"));
            false
        }
        Asked::Partial => false,
    }
}

fn take(bytes: &[u8], cut: usize) -> bool {
    let (whole, end, ping) = run(bytes, bytes.len().max(1));
    assert!(whole.len() <= bytes.len(), "a payload is not longer than its frames");
    let pieces = run(bytes, cut);
    assert!(pieces == (whole, end.clone(), ping), "in pieces of {cut}");
    end.is_none()
}

/// The payload, the end, and the ping that is to be answered.
fn run(bytes: &[u8], cut: usize) -> (Vec<u8>, Option<String>, Option<Vec<u8>>) {
    let (mut frames, mut payload) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(cut) {
        let mut piece = piece.to_vec();
        let ended = frames.end().is_some();
        let count = frames.take(&mut piece);
        assert!(count <= piece.len() && !(ended && count > 0), "behind the end nothing is taken");
        payload.extend_from_slice(&piece[..count]);
    }
    let ping = frames.take_ping().map(|ping| ping.payload().to_vec());
    assert!(ping.as_ref().is_none_or(|ping| ping.len() <= CONTROL_MAX));
    (payload, frames.end().map(|end| format!("{end:?}")), ping)
}
