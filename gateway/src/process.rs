//! The frame of every role of Landfall: its runtimes, metrics and admin server, the signals that end it,
//! and how it waits while it drains. What is served, the role builds and binds beside it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{Admin, AdminSettings, AdminThread, AdminView};
use crate::metrics::MetricsHandle;
use crate::panics;
use crate::pulse::Pulse;
use crate::reload::Reload;

/// The threads that serve what can wait: the object store, admin requests to Kafka.
const BACKGROUND: &str = "background";
const BACKGROUND_THREADS: usize = 1;
/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The signs of life of a process's runtimes, by their threads' name.
pub type Pulses = [(&'static str, Arc<Pulse>); 2];

/// A process that is built and bound; it serves nothing yet.
pub struct Process {
    pub metrics: MetricsHandle,
    admin: Admin,
    runtimes: Runtimes,
    pulses: Pulses,
}

/// A process whose admin server answers.
pub struct Running {
    admin: AdminThread,
    runtimes: Runtimes,
}

struct Runtimes {
    /// Serves what the role is for.
    front: Runtime,
    /// Serves what may be slow, so that it can hold up nothing of the front.
    background: Runtime,
}

impl Process {
    /// Starts the runtimes, the role's own with so many threads of this name, and binds the admin
    /// port. Once per process.
    pub fn build(
        front: &'static str,
        threads: usize,
        admin: &AdminSettings,
    ) -> anyhow::Result<Process> {
        raise_descriptor_limit();
        let metrics = crate::metrics::install();
        let runtimes = Runtimes {
            front: runtime(front, threads)?,
            background: runtime(BACKGROUND, BACKGROUND_THREADS)?,
        };
        let pulses = [(front, &runtimes.front), (BACKGROUND, &runtimes.background)];
        let pulses = pulses.map(|(name, runtime)| (name, Pulse::of_runtime(runtime.handle())));
        let admin = Admin::bind(admin)?;
        Ok(Process { metrics, admin, runtimes, pulses })
    }

    /// The runtime of what the role is for.
    pub fn front(&self) -> &Handle {
        self.runtimes.front.handle()
    }

    /// The runtime of what may be slow.
    pub fn background(&self) -> &Handle {
        self.runtimes.background.handle()
    }

    pub fn pulses(&self) -> Pulses {
        self.pulses.clone()
    }

    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.address()
    }

    /// What of its admin port may be read anew.
    pub fn reloads(&self) -> Vec<Arc<dyn Reload>> {
        self.admin.reloads()
    }

    /// Answers on the admin port from here on, with what the role shows.
    pub fn serve<V: AdminView>(self, view: Arc<V>) -> anyhow::Result<Running> {
        let admin = self.admin.serve(view, self.metrics);
        let admin = admin.context("the admin server cannot be started")?;
        Ok(Running { admin, runtimes: self.runtimes })
    }
}

impl Running {
    /// The life of the role, from what it starts to the end of its drain.
    pub fn block_on<T>(&self, life: impl Future<Output = T>) -> T {
        self.runtimes.front.block_on(life)
    }

    /// Ends what is left. Tasks are not waited for: what they ask may never answer.
    pub fn end(self) {
        self.runtimes.front.shutdown_background();
        self.runtimes.background.shutdown_background();
        self.admin.stop();
    }
}

/// Returns when the process is told to end, by SIGTERM or SIGINT from now on.
pub fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits until it is done, but no longer than to the deadline. `is_done` is asked now and again.
pub async fn until(deadline: Instant, mut is_done: impl FnMut() -> bool) {
    while !is_done() && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

fn runtime(name: &'static str, threads: usize) -> anyhow::Result<Runtime> {
    panics::begin_at_zero(name);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).enable_all();
    builder.build().with_context(|| format!("the threads called {name} cannot be started"))
}

/// Connections need descriptors: up to what the system allows.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open descriptors cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_it_is_done_and_else_at_its_deadline() {
        let begun = Instant::now();
        let mut looks = 0;
        let done = || {
            looks += 1;
            looks == 3
        };
        until(begun + Duration::from_secs(600), done).await;
        assert_eq!(looks, 3);
        let deadline = Instant::now() + 2 * DRAIN_LOOK;
        until(deadline, || false).await;
        assert!(Instant::now() >= deadline);
    }
}
