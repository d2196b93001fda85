//! Signs of life: a thread or a runtime beats by itself, and `/livez` asks how long ago that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How often a runtime beats.
const BEAT: Duration = Duration::from_secs(1);

/// The last sign of life of one thread.
pub struct Pulse {
    started: Instant,
    /// Milliseconds after `started`.
    last_ms: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { started: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Pulse {
    pub fn beat(&self) {
        self.last_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long there was no sign of life.
    pub fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// Beats for as long as the runtime runs its tasks.
    pub fn of_runtime(runtime: &Handle) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::default());
        let beating = Arc::clone(&pulse);
        runtime.spawn(async move {
            let mut beat = tokio::time::interval(BEAT);
            loop {
                beat.tick().await;
                beating.beat();
            }
        });
        pulse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_blocked_falls_silent() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime");
        let pulse = Pulse::of_runtime(runtime.handle());
        std::thread::sleep(3 * BEAT / 2);
        assert!(pulse.silent_for() < 3 * BEAT / 2, "it beats");
        runtime.spawn(async { std::thread::sleep(3 * BEAT) });
        std::thread::sleep(5 * BEAT / 2);
        assert!(pulse.silent_for() >= BEAT, "its only thread is blocked");
        runtime.shutdown_background();
    }
}
