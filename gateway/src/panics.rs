//! Panics, told once where they happen: a line of the log and a count. Whoever waits for a task or a
//! thread that panicked hears of its end by what the unwinding drops; people hear of it here.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use bridge::text::escape;

use crate::metrics::PANICS;

/// Characters of what a panic says that are told: it may hold a text of a device.
const TOLD_MAX: usize = 200;

/// Tells every panic of the process from here on.
pub fn tell_all() {
    panic::set_hook(Box::new(tell));
}

/// Counts a thread's panics from zero: a rate of what first appears with its first panic would miss that.
pub fn begin_at_zero(thread: &'static str) {
    ::metrics::counter!(PANICS, "thread" => thread).increment(0);
}

fn tell(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    ::metrics::counter!(PANICS, "thread" => thread.to_owned()).increment(1);
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let said: String = info.payload_as_str().unwrap_or_default().chars().take(TOLD_MAX).collect();
    // Empty unless RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    tracing::error!(
        thread,
        place,
        said = escape(&said).as_str(),
        backtrace,
        "a thread or a task panicked: this is a fault of Landfall, please report it with this line"
    );
}
