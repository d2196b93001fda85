//! The thread of a pool that works on large payloads, one at a time, so that the pool's own goes on with all
//! other partitions. What it makes goes back piece by piece, as the pool takes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle, Thread};

use bridge::kafka::group::Partition;
use bridge::record::RecordBatch;

use crate::desk::Ticket;
use crate::raw::RawBuf;
use crate::work::{Cancelled, Step, Work};

/// Pieces that wait for the pool; one more is in the making.
const PIECES: usize = 1;
/// Stack of the thread, in bytes: a jq program takes up to 2 MiB.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// A message to work on.
struct Job {
    ticket: Ticket,
    partition: Partition,
    raw: RawBuf,
    cancelled: Arc<AtomicBool>,
}

/// What comes back of a message.
pub enum News {
    Piece(Ticket, RecordBatch<()>),
    /// Its last piece came before.
    End(Ticket, Step, RawBuf),
}

/// See the module. Dropped, it ends its thread, and does not wait for what that reads.
pub struct Large {
    jobs: Option<Sender<Job>>,
    news: Receiver<News>,
    /// Whether the message at hand is still wanted.
    cancelled: Vec<(Ticket, Arc<AtomicBool>)>,
    thread: Option<JoinHandle<()>>,
}

impl Large {
    /// `wake` is unparked whenever there are news.
    pub fn start(name: &str, mut work: impl Work, wake: Thread) -> io::Result<Large> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (out, news) = mpsc::sync_channel(PIECES);
        let thread = thread::Builder::new().name(format!("{name}-large")).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || {
            while let Ok(job) = queue.recv() {
                if job.cancelled.load(Ordering::Acquire) {
                    continue;
                }
                let ticket = job.ticket;
                if let Ok(step) = serve(&mut work, &job, &out, &wake) {
                    if out.send(News::End(ticket, step, job.raw)).is_err() {
                        return;
                    }
                    wake.unpark();
                }
            }
        })?;
        Ok(Large { jobs: Some(jobs), news, cancelled: Vec::new(), thread: Some(thread) })
    }

    /// Works on a message when those before it are done.
    pub fn push(&mut self, ticket: Ticket, partition: Partition, raw: RawBuf) {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.cancelled.push((ticket, Arc::clone(&cancelled)));
        let job = Job { ticket, partition, raw, cancelled };
        let jobs = self.jobs.as_ref().expect("it is there until it is dropped");
        // Where the thread is gone, the pool ends in its next round: see `is_alive`.
        let _ = jobs.send(job);
    }

    /// What came, if anything.
    pub fn news(&mut self) -> Option<News> {
        let news = self.news.try_recv().ok()?;
        if let News::End(ticket, ..) = &news {
            self.cancelled.retain(|(known, _)| known != ticket);
        }
        Some(news)
    }

    /// Nothing more of the message is wanted.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.cancelled.retain(|(known, cancelled)| {
            if *known == ticket {
                cancelled.store(true, Ordering::Release);
            }
            *known != ticket
        });
    }

    /// The messages that are worked on, or wait for it.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.cancelled.iter().map(|(ticket, _)| *ticket)
    }

    /// Whether the thread is at work, or ready for it.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Whether any message is being worked on, or waits for it.
    pub fn is_idle(&self) -> bool {
        self.cancelled.is_empty()
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        for (_, cancelled) in &self.cancelled {
            cancelled.store(true, Ordering::Release);
        }
        self.jobs = None;
    }
}

fn serve(
    work: &mut impl Work,
    job: &Job,
    out: &SyncSender<News>,
    wake: &Thread,
) -> Result<Step, Cancelled> {
    let raw = job.raw.at(&job.partition.topic, job.partition.partition);
    work.work_large(&raw, &mut |piece| {
        if job.cancelled.load(Ordering::Acquire) {
            return Err(Cancelled);
        }
        out.send(News::Piece(job.ticket, piece)).map_err(|_| Cancelled)?;
        wake.unpark();
        Ok(())
    })
}
