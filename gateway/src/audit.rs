//! The audit log: who came in, who was refused and why, who wanted what he may not, who was ended, and what
//! was read anew, each as one line of JSON whose form does not change.
//!
//! Whoever tells something never waits: a line goes into a bounded queue, which a thread of its own writes
//! down. Floods come as so many lines a second, and what was left out is counted and said in a line, too.
//! What a client says of itself is escaped and cut; nothing here is ever a secret.

mod line;
mod output;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bridge::fail_point;
use metrics::counter;
use parking_lot::Mutex;

use crate::metrics as names;
use crate::panics;
use crate::rate_limit::RateLimit;
pub use line::Entry;
use output::Output;
pub use output::Target;

const THREAD: &str = "audit";
/// Lines that wait to be written. One that a client causes has at most 4 KiB.
const QUEUE_LINES: usize = 1024;
/// How often it is said what was left out, and looked whether the file is still the one of that name.
const ROUND: Duration = Duration::from_secs(1);
/// How long the end waits for what is not written yet.
const END_WAIT: Duration = Duration::from_secs(2);
const END_LOOK: Duration = Duration::from_millis(10);
/// Between two lines of the ordinary log about an audit log that cannot be written.
const FAILURE_LOG_PAUSE: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has a session.
    Connected,
    /// Somebody was not let in.
    Refused,
    /// A client wanted to publish or subscribe to what it may not.
    Denied,
    /// A connection was ended, because an operator wanted it or its client may not have it any more.
    Ended,
    /// An operator did something by the API.
    Operator,
    /// Files were read anew.
    Reloaded,
}

impl Event {
    const ALL: [Event; 6] = [
        Event::Connected,
        Event::Refused,
        Event::Denied,
        Event::Ended,
        Event::Operator,
        Event::Reloaded,
    ];

    /// As it stands in a line, and the value of the `kind` label.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Connected => "connected",
            Event::Refused => "refused",
            Event::Denied => "denied",
            Event::Ended => "ended",
            Event::Operator => "operator",
            Event::Reloaded => "reloaded",
        }
    }

    /// Lines a second of each reason. What strangers can cause is apart from the rest, so that they hide
    /// nothing.
    const fn per_second(self) -> u32 {
        match self {
            Event::Connected | Event::Ended => 1_000,
            Event::Refused | Event::Denied => 100,
            Event::Operator | Event::Reloaded => 100,
        }
    }
}

/// See the module.
pub struct Audit {
    /// None: nothing is written.
    log: Option<Log>,
}

struct Log {
    messages: SyncSender<Message>,
    /// By event: reasons, of which there is a closed list, each with its lines.
    allowances: [Mutex<HashMap<&'static str, Allowance>>; Event::ALL.len()],
    left_out: Arc<LeftOut>,
    /// Says when the thread is done.
    done: Mutex<Receiver<()>>,
}

/// What the thread is sent.
enum Message {
    Line(String),
    /// There is no more.
    End,
}

/// Lines that were not written and of which that is not said yet, by event.
#[derive(Default)]
struct LeftOut([AtomicU64; Event::ALL.len()]);

/// How many lines a reason of an event has had in its second.
struct Allowance {
    second: Instant,
    lines: u32,
}

impl Allowance {
    fn allows(&mut self, most: u32, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            *self = Allowance { second: now, lines: 0 };
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= most
    }
}

impl LeftOut {
    fn count(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
        counter!(names::AUDIT_LEFT_OUT, "kind" => event.name()).increment(1);
    }
}

impl Audit {
    /// Writes nothing.
    pub fn off() -> Audit {
        Audit { log: None }
    }

    /// Writes there, on a thread of its own.
    pub fn start(target: &Target) -> io::Result<Audit> {
        let output = Output::open(target)?;
        let (sender, messages) = sync_channel(QUEUE_LINES);
        let (finished, done) = sync_channel(1);
        let left_out = Arc::new(LeftOut::default());
        for event in Event::ALL {
            counter!(names::AUDIT_LEFT_OUT, "kind" => event.name()).increment(0);
        }
        counter!(names::AUDIT_FAILURES).increment(0);
        panics::begin_at_zero(THREAD);
        let writer = Writer {
            messages,
            left_out: Arc::clone(&left_out),
            output,
            failures: RateLimit::every(FAILURE_LOG_PAUSE),
            _finished: finished,
        };
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || writer.run())?;
        let allowances = Event::ALL.map(|_| Mutex::default());
        let done = Mutex::new(done);
        Ok(Audit { log: Some(Log { messages: sender, allowances, left_out, done }) })
    }

    /// Somebody reads it.
    pub fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Tells what happened. Never waits.
    pub fn tell(&self, event: Event, entry: &Entry<'_>) {
        let Some(log) = &self.log else { return };
        let now = Instant::now();
        let allowed = {
            let mut allowances = log.allowances[event as usize].lock();
            let allowance = allowances.entry(entry.reason.unwrap_or_default());
            let allowance = allowance.or_insert(Allowance { second: now, lines: 0 });
            allowance.allows(event.per_second(), now)
        };
        let written = allowed && {
            let line = entry.line(jiff::Timestamp::now(), event.name());
            log.messages.try_send(Message::Line(line)).is_ok()
        };
        if !written {
            log.left_out.count(event);
        }
    }

    /// Writes what was told until now, if the output takes it soon. Nothing is written after that.
    pub fn finish(&self) {
        let Some(log) = &self.log else { return };
        let deadline = Instant::now() + END_WAIT;
        while let Err(TrySendError::Full(_)) = log.messages.try_send(Message::End) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(END_LOOK);
        }
        // The thread says nothing; it is gone.
        let _ = log.done.lock().recv_timeout(END_WAIT);
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Audit").field("is_on", &self.is_on()).finish()
    }
}

/// The thread that writes.
struct Writer {
    messages: Receiver<Message>,
    left_out: Arc<LeftOut>,
    output: Output,
    failures: RateLimit,
    /// Gone when the thread is.
    _finished: SyncSender<()>,
}

impl Writer {
    fn run(mut self) {
        let mut round = Instant::now() + ROUND;
        loop {
            fail_point::ask_thread();
            let wait = round.saturating_duration_since(Instant::now());
            let is_over = match self.messages.recv_timeout(wait) {
                Ok(Message::Line(line)) => {
                    self.write(&line);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => true,
            };
            if is_over || Instant::now() >= round {
                round = Instant::now() + ROUND;
                self.say_left_out();
                let again = self.output.follow_name();
                self.note(again);
            }
            if is_over {
                return;
            }
        }
    }

    /// A line for each event of which something was left out.
    fn say_left_out(&mut self) {
        for event in Event::ALL {
            let count = self.left_out.0[event as usize].swap(0, Ordering::Relaxed);
            if count > 0 {
                self.write(&line::left_out(jiff::Timestamp::now(), event.name(), count));
            }
        }
    }

    fn write(&mut self, line: &str) {
        let written = self.output.write(line);
        self.note(written);
    }

    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            counter!(names::AUDIT_FAILURES).increment(1);
            if self.failures.allows() {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_cut_and_what_was_left_out_is_said() {
        let folder = std::env::temp_dir().join(format!("landfall-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of the test");
        let path = folder.join("audit.jsonl");
        let audit = Audit::start(&Target::File(path.clone())).expect("it can be written");
        let refused = |client_id: &str, reason| {
            let reason = Some(reason);
            audit.tell(Event::Refused, &Entry { client_id, reason, ..Entry::default() });
        };
        for number in 0..1_000 {
            refused(&format!("m-{number}"), "flood");
        }
        refused("rare", "rare");
        audit.tell(Event::Operator, &Entry { by: Some("ops"), ..Entry::default() });
        audit.finish();
        let text = std::fs::read_to_string(&path).expect("it is there");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
        let left_out: u64 = of("left_out")
            .filter(|line| line["of"] == "refused")
            .filter_map(|line| line["count"].as_u64())
            .sum();
        // A slow machine may begin another second.
        assert_eq!(of("refused").count() as u64 + left_out, 1_001);
        assert_eq!(of("refused").filter(|line| line["reason"] == "rare").count(), 1);
        assert!(left_out > 0);
        assert_eq!(of("operator").count(), 1, "nothing of it is hidden by a flood");
        std::fs::remove_dir_all(&folder).expect("it is the test's");
    }

    #[test]
    fn each_second_has_its_lines() {
        let start = Instant::now();
        let mut allowance = Allowance { second: start, lines: 0 };
        let allowed = [0, 0, 500, 1_000, 1_500, 1_600, 2_001]
            .map(|millis| allowance.allows(2, start + Duration::from_millis(millis)));
        assert_eq!(allowed, [true, true, false, true, true, false, true]);
    }

    #[test]
    fn nothing_is_written_where_nobody_reads() {
        let audit = Audit::off();
        audit.tell(Event::Connected, &Entry::default());
        assert!(!audit.is_on());
    }
}
