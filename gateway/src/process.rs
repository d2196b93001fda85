//! The frame of every role of Landfall: its runtimes, metrics and admin server, the signals that end it,
//! and how it waits while it drains. What is served, the role builds and binds beside it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{Admin, AdminSettings, AdminThread, AdminView};
use crate::metrics::MetricsHandle;
use crate::panics;
use crate::pulse::Pulse;
use crate::reload::Reload;

/// The threads that serve what can wait: admin requests to Kafka, files that changed.
const BACKGROUND: &str = "background";
const BACKGROUND_THREADS: usize = 1;
/// Tasks that a thread of a runtime runs between two looks at its sockets, and sockets that such a look tells
/// of at most. Fewer than it runs: else those that are woken by another thread, because there is something to
/// acknowledge, wait behind thousands of sockets that were closed at once. In the kernel these wait in line.
const TASKS_PER_LOOK: u32 = 61;
const SOCKETS_PER_LOOK: usize = 32;
/// Sockets that a look of a thread tells of that has nothing else to do: its queue holds 256 tasks.
const SOCKETS_PER_IDLE_LOOK: usize = 128;
/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The signs of life of a process's runtimes, by their threads' name.
pub type Pulses = Vec<(&'static str, Arc<Pulse>)>;

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
    /// Starts the runtimes, the role's own with so many threads of this name, and binds the admin port. Of
    /// descriptors there are going to be so many at most. Once per process.
    pub fn build(
        front: &'static str,
        threads: usize,
        descriptors: u64,
        admin: &AdminSettings,
    ) -> anyhow::Result<Process> {
        raise_descriptor_limit();
        if let Err(error) = expand_descriptor_table(descriptors) {
            tracing::debug!(%error, "the table of descriptors grows as they are needed");
        }
        let metrics = crate::metrics::install();
        let runtimes = Runtimes {
            front: runtime(front, threads)?,
            background: runtime(BACKGROUND, BACKGROUND_THREADS)?,
        };
        let pulses = [(front, &runtimes.front), (BACKGROUND, &runtimes.background)];
        let pulses = pulses.map(|(name, runtime)| (name, Pulse::of_runtime(runtime.handle())));
        let pulses = pulses.into();
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

    /// Where people open it in a browser.
    pub fn page_url(&self) -> io::Result<String> {
        self.admin.url()
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
    builder.event_interval(TASKS_PER_LOOK).max_io_events_per_busy_tick(SOCKETS_PER_LOOK);
    builder.max_io_events_per_tick(SOCKETS_PER_IDLE_LOOK);
    builder.build().with_context(|| format!("the threads called {name} cannot be started"))
}

/// Connections need descriptors: up to what the system allows.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open descriptors cannot be raised");
    }
}

/// Has the kernel make room for that many descriptors now. Later, the table doubles when it is full, and the
/// thread that needs one more stands still until every core has come round: an edge thread for 22 ms, with all
/// that it had to acknowledge, when a herd came. The table does not shrink.
fn expand_descriptor_table(count: u64) -> io::Result<()> {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = RawFd::try_from(count.min(allowed)).unwrap_or(RawFd::MAX) - 1;
    let any = File::open("/dev/null")?;
    // Closed again at once.
    fcntl_dupfd_cloexec(&any, last)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_table_of_descriptors_has_its_size_before_they_are_needed() {
        const WANTED: u64 = 700;
        expand_descriptor_table(WANTED).expect("so many are allowed everywhere");
        let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        let size: u64 = size.expect("the kernel tells").trim().parse().expect("a number");
        assert!(size >= WANTED, "{size}");
    }

    /// What is woken by another thread, as by a lane with something to acknowledge, does not wait behind all
    /// that happened to sockets before it.
    #[test]
    fn who_is_woken_from_outside_goes_past_very_many_sockets() {
        const SOCKETS: usize = 600;
        const PAST_AT_MOST: usize = SOCKETS / 4;
        /// So that whoever wakes comes in between.
        const WORK: Duration = Duration::from_micros(100);
        raise_descriptor_limit();
        let runtime = runtime("test", 1).expect("a runtime");
        let served = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for _ in 0..SOCKETS {
            let (client, socket) = std::os::unix::net::UnixStream::pair().expect("descriptors");
            socket.set_nonblocking(true).expect("it can be");
            clients.push(client);
            let (_context, served) = (runtime.enter(), Arc::clone(&served));
            let socket = tokio::net::UnixStream::from_std(socket).expect("it is watched");
            runtime.spawn(async move {
                socket.readable().await.expect("it is open");
                let begun = Instant::now();
                while begun.elapsed() < WORK {}
                served.fetch_add(1, Ordering::Relaxed);
            });
        }
        // Each of them waits for its socket before any is closed; then all are, while the thread is held.
        std::thread::sleep(Duration::from_millis(50));
        let (hold, held) = std::sync::mpsc::channel::<()>();
        runtime.spawn(async move { held.recv().is_err() });
        drop(clients);
        drop(hold);
        while served.load(Ordering::Relaxed) < SOCKETS / 20 {
            std::thread::yield_now();
        }
        let before = served.load(Ordering::Relaxed);
        let after = Arc::clone(&served);
        let woken = runtime.spawn(async move { after.load(Ordering::Relaxed) });
        let passed = runtime.block_on(woken).expect("no panic") - before;
        assert!(passed <= PAST_AT_MOST, "{passed} sockets came first");
    }

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
