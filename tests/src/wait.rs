//! Waiting for something to become true, never without a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// For what happens at once on a quiet machine; generous, because a busy one runs the tests too.
pub const SOON: Duration = Duration::from_secs(10);
/// For starts and restarts of servers.
pub const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Asks until the answer is there, and panics at the deadline.
#[track_caller]
pub fn until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        thread::sleep(LOOK);
    }
}

/// Asks until it is true, and panics at the deadline.
#[track_caller]
pub fn until_true(what: &str, deadline: Duration, mut ask: impl FnMut() -> bool) {
    until(what, deadline, || ask().then_some(()));
}

/// Asks until it is true, however long that takes, and panics when `progress` stands still meanwhile. For
/// work whose time is the machine's affair.
#[track_caller]
pub fn until_true_at_any_pace<P: PartialEq>(
    what: &str,
    standstill: Duration,
    mut progress: impl FnMut() -> P,
    mut ask: impl FnMut() -> bool,
) {
    let (mut last, mut moved) = (progress(), Instant::now());
    while !ask() {
        let now = progress();
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < standstill, "{what}: nothing moves for {standstill:?}");
        thread::sleep(LOOK);
    }
}
