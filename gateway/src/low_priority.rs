//! Threads for what established connections must not wait for: a handshake's signatures, a password's hash,
//! the remains of a connection that is gone. The kernel gives them what the threads that serve sockets leave.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use bridge::fail_point;
use tokio::runtime::{Builder, Runtime};

/// Below every thread that serves sockets: with it a thread that competes with those gets a tenth.
const NICE: i32 = 10;
const NAME: &str = "low-priority";

/// See the module. How much waits here is bounded by who asks.
pub struct LowPriority {
    /// Taken out only by drop.
    runtime: Option<Runtime>,
}

/// The arithmetic panicked, which is a fault of Landfall, or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was not done")]
pub struct NotDone;

impl LowPriority {
    /// As many threads as there are cores.
    pub fn start() -> io::Result<LowPriority> {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name(NAME).on_thread_start(step_back);
        Ok(LowPriority { runtime: Some(builder.build()?) })
    }

    /// Does the work when nothing else wants the core. It has to come to its end without waiting for
    /// anything. Cancel safe: the work is done all the same, and its result dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let work = async move {
            fail_point::ask_thread();
            work()
        };
        self.runtime().spawn(work).await.map_err(|_| NotDone)
    }

    /// Drops it when nothing else wants the core: closing a socket and forgetting its keys takes as long as
    /// several messages.
    pub fn drop_there(&self, remains: impl Send + 'static) {
        self.runtime().spawn(async move { drop(remains) });
    }

    #[cfg(test)]
    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime().handle()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only drop takes it")
    }
}

impl Drop for LowPriority {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last holder may be a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Puts the thread that calls it behind those that serve sockets. On Linux a nice value belongs to a thread.
pub fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the low-priority threads have the priority of all others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_behind_the_others() {
        let low = LowPriority::start().expect("threads can be started");
        let nice = || rustix::process::getpriority_process(None).expect("it is this thread's");
        let here = nice();
        assert_eq!(low.run(nice).await, Ok(NICE.max(here)));
        assert_eq!(nice(), here, "the others stay where they are");
    }

    #[tokio::test]
    async fn what_remains_is_dropped_there() {
        struct Remains(std::sync::mpsc::Sender<Option<String>>);
        impl Drop for Remains {
            fn drop(&mut self) {
                let thread = std::thread::current().name().map(str::to_owned);
                self.0.send(thread).expect("the test waits for it");
            }
        }
        let low = LowPriority::start().expect("threads can be started");
        let (sender, dropped) = std::sync::mpsc::channel();
        low.drop_there(Remains(sender));
        assert_eq!(dropped.recv().expect("it is dropped").as_deref(), Some(NAME));
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_panic() {
        let low = LowPriority::start().expect("threads can be started");
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let done = low.run(|| panic!("on purpose")).await;
        std::panic::set_hook(hook);
        assert_eq!(done, Err::<(), _>(NotDone));
        assert_eq!(low.run(|| 1).await, Ok(1), "and the next is served");
    }
}
