//! How many requests to the store, and files of a folder, a lane may have at a time: each takes a
//! descriptor, and those of the process have a plan. A lane's permits are its own, so that none waits for
//! another's flood.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::reaction::{Fault, Reaction};
use super::request::DEADLINE;

/// Requests of a lane that are in flight at a time.
pub const REQUESTS_PER_LANE: usize = 16;
/// Files that a lane writes in parts at a time, where the store is a folder: as long as their messages
/// arrive.
pub const FILES_PER_LANE: usize = 48;

/// The permits of one lane, which hands them over with each object that it writes.
#[derive(Clone)]
pub struct Permits {
    requests: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

impl Default for Permits {
    fn default() -> Permits {
        let permits = |count| Arc::new(Semaphore::new(count));
        Permits { requests: permits(REQUESTS_PER_LANE), files: permits(FILES_PER_LANE) }
    }
}

impl Permits {
    pub(super) async fn request(&self) -> Result<OwnedSemaphorePermit, Fault> {
        acquire(&self.requests, DEADLINE).await
    }

    pub(super) async fn file(&self) -> Result<OwnedSemaphorePermit, Fault> {
        acquire(&self.files, DEADLINE).await
    }
}

async fn acquire(permits: &Arc<Semaphore>, wait: Duration) -> Result<OwnedSemaphorePermit, Fault> {
    match timeout(wait, Arc::clone(permits).acquire_owned()).await {
        Ok(permit) => Ok(permit.expect("nobody closes it")),
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
    async fn a_lane_has_so_many_permits_and_no_more() {
        let (permits, others) = (Permits::default(), Permits::default());
        let mut taken = Vec::new();
        for _ in 0..REQUESTS_PER_LANE {
            taken.push(permits.request().await.expect("there are some"));
        }
        let none = acquire(&permits.requests, Duration::from_millis(20)).await;
        let fault = none.expect_err("all are taken");
        assert_eq!(fault.reaction, Reaction::Again);
        drop(permits.file().await.expect("files have permits of their own"));
        drop(others.request().await.expect("another lane waits for none of this one"));
        taken.pop();
        drop(permits.request().await.expect("one is free again"));
    }
}
