//! Who tries to prove a name waits for a place, so that only so many proofs are looked at at a time, and who failed
//! often waits longer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::Denied;
use super::failures::Failures;
use crate::places::{Place, Places};

/// See the module.
pub struct Attempts {
    places: Arc<Places>,
    failures: Mutex<Failures>,
}

/// From where which name is tried.
#[derive(Clone, Copy)]
pub struct Who {
    /// None: from this machine, where nobody is taken for a guesser.
    pub address: Option<IpAddr>,
    /// The number that stands for the name.
    pub name: u64,
}

impl Attempts {
    /// So many at a time, and so many who wait. `of` says what they are, for the log.
    pub fn new(of: &'static str, at_a_time: usize, waiting: usize) -> Attempts {
        Attempts { places: Places::new(of, at_a_time, waiting), failures: Mutex::default() }
    }

    /// Waits for a place. What has failed often is known only with one in hand, however many attempts came at once;
    /// who has to wait for that keeps nobody else waiting. Cancel safe.
    pub async fn place(&self, who: Who) -> Result<Place, Denied> {
        let next = async || self.places.take(who.address).await.ok_or(Denied::Busy);
        let place = next().await?;
        let Some(address) = who.address else { return Ok(place) };
        let wait = self.failures.lock().turn(address, who.name, Instant::now());
        let wait = wait.ok_or(Denied::Busy)?;
        if wait.is_zero() {
            return Ok(place);
        }
        drop(place);
        sleep(wait).await;
        next().await
    }

    /// How an attempt ended.
    pub fn ended(&self, who: Who, is_proved: bool) {
        let Some(address) = who.address else { return };
        let mut failures = self.failures.lock();
        match is_proved {
            true => failures.forget(address, who.name),
            false => failures.note(address, who.name, Instant::now()),
        }
    }

    #[cfg(test)]
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }
}
