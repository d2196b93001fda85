//! How many requests to the store, and files of a folder, a lane may have at a time: each takes a
//! descriptor, and those of the process have a plan. A lane's turns are its own, so that none waits for
//! another's flood.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::reaction::{Fault, Reaction};
use super::request::PATIENCE;

/// Requests of a lane that are under way at a time.
pub const REQUESTS_PER_LANE: usize = 16;
/// Files that a lane writes in parts at a time, where the store is a folder: as long as their messages
/// arrive.
pub const FILES_PER_LANE: usize = 48;

/// The turns of one lane.
#[derive(Clone)]
pub(super) struct Turns {
    requests: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Turns {
        let turns = |count| Arc::new(Semaphore::new(count));
        Turns { requests: turns(REQUESTS_PER_LANE), files: turns(FILES_PER_LANE) }
    }
}

impl Turns {
    pub async fn request(&self) -> Result<OwnedSemaphorePermit, Fault> {
        next(&self.requests, PATIENCE).await
    }

    pub async fn file(&self) -> Result<OwnedSemaphorePermit, Fault> {
        next(&self.files, PATIENCE).await
    }
}

async fn next(turns: &Arc<Semaphore>, wait: Duration) -> Result<OwnedSemaphorePermit, Fault> {
    match timeout(wait, Arc::clone(turns).acquire_owned()).await {
        Ok(turn) => Ok(turn.expect("nobody closes it")),
        Err(_) => {
            let reason =
                "as much of its lane is under way as may be, and none of it ends".to_owned();
            Err(Fault { reaction: Reaction::Again, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_has_so_many_turns_and_no_more() {
        let (turns, others) = (Turns::default(), Turns::default());
        let mut taken = Vec::new();
        for _ in 0..REQUESTS_PER_LANE {
            taken.push(turns.request().await.expect("there are some"));
        }
        let none = next(&turns.requests, Duration::from_millis(20)).await;
        let fault = none.expect_err("all are taken");
        assert_eq!(fault.reaction, Reaction::Again);
        drop(turns.file().await.expect("files have turns of their own"));
        drop(others.request().await.expect("another lane waits for none of this one"));
        taken.pop();
        drop(turns.request().await.expect("one is free again"));
    }
}
