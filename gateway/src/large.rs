//! The threads that serve a connection while a large message arrives, behind those that serve small messages:
//! here its bytes are read, decrypted, hashed and sent to the object store. The kernel gives these threads what
//! the others leave, so a flood of large messages pays for itself.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::low_priority::step_back;
use crate::panics;
use crate::pulse::Pulse;

const NAME: &str = "large";
/// Tasks that a thread runs between two looks at the sockets to the store: a connection's turn is long here.
const TASKS_PER_LOOK: u32 = 8;

/// See the module. What waits here is bounded by the lanes' shares for large messages.
pub struct LargeThreads {
    runtime: Runtime,
    pulse: Arc<Pulse>,
}

impl LargeThreads {
    /// As many as there are cores.
    pub fn start() -> anyhow::Result<LargeThreads> {
        panics::begin_at_zero(NAME);
        let threads = available_parallelism().map_or(1, NonZero::get);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name(NAME).enable_all();
        builder.event_interval(TASKS_PER_LOOK).on_thread_start(step_back);
        let runtime = builder.build();
        let runtime =
            runtime.with_context(|| format!("the threads called {NAME} cannot be started"))?;
        let pulse = Pulse::of_runtime(runtime.handle());
        Ok(LargeThreads { runtime, pulse })
    }

    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The threads' sign of life, by their name.
    pub fn pulse(&self) -> (&'static str, Arc<Pulse>) {
        (NAME, Arc::clone(&self.pulse))
    }

    /// Ends what is left. Tasks are not waited for: what they ask may never answer.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}
