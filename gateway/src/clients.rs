//! Which connection holds which client id. A second connection takes the id over: the first ends,
//! and only then does the second get its CONNACK, so that no two speak for one device. Whose id it is,
//! decides who may: an identity takes over from itself and from who proved none, and from nobody else.

mod list;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bridge::{Mailbox, Signals};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::connection::Shared;
use crate::identity::Identity;
use crate::patience::Patience;

use list::Questions;

pub use list::{ClientPage, ClientStatus, Figures, Wanted};

/// Locks that the ids are spread over.
const SHARDS: usize = 16;
/// A connection that took its id over and loses it in this time was thrown out by whom it threw out:
/// a device that comes back after its network was away does not do that.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// See the module.
pub struct Clients {
    shards: Box<[Shard]>,
    hasher: RandomState,
    takeovers: Takeovers,
    questions: Questions,
}

/// How often ids were taken over, once or again and again.
#[derive(Default)]
struct Takeovers {
    once: AtomicU64,
    again: AtomicU64,
}

type Shard = Mutex<HashMap<Arc<str>, Holder>>;

struct Holder {
    mailbox: Arc<Mailbox>,
    /// None: anonymous.
    identity: Option<Arc<Identity>>,
    /// When it took the id over, if somebody had it.
    took_over: Option<Instant>,
    /// The connection that waits for this one's end; a later one that may replaces it.
    successor: Option<Box<Successor>>,
    /// What it is, as soon as it is a session.
    shared: Option<Arc<Shared>>,
}

struct Successor {
    identity: Option<Arc<Identity>>,
    /// Hears of the holder's end.
    ended: oneshot::Sender<()>,
}

/// A connection's hold on its client id, given back on drop.
pub struct Claim {
    clients: Arc<Clients>,
    client_id: Arc<str>,
    /// The id was taken over from a connection that had taken it over itself not long ago.
    pub again: bool,
}

/// The id could not be had.
#[derive(Debug, PartialEq, Eq)]
pub enum ClaimLost {
    /// A still newer connection came, or the old one did not end in time.
    Contended,
    /// Another identity has it.
    Held,
}

impl Clients {
    pub fn new() -> Arc<Clients> {
        Arc::new(Clients {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            takeovers: Takeovers::default(),
            questions: Questions::default(),
        })
    }

    /// Takes the id, after the end of the connection that had it, for which it waits as long as it may.
    pub async fn claim(
        self: &Arc<Clients>,
        client_id: &Arc<str>,
        identity: Option<&Arc<Identity>>,
        mailbox: &Arc<Mailbox>,
        patience: &mut Patience,
    ) -> Result<Claim, ClaimLost> {
        let (mut took_over, mut again) = (None, false);
        loop {
            let mut ended = {
                let mut shard = self.shard(client_id).lock();
                match shard.get_mut(client_id) {
                    None => {
                        let holder = Holder {
                            mailbox: Arc::clone(mailbox),
                            identity: identity.cloned(),
                            took_over,
                            successor: None,
                            shared: None,
                        };
                        self.takeovers.count(took_over.is_some(), again);
                        shard.insert(Arc::clone(client_id), holder);
                        return Ok(Claim {
                            clients: Arc::clone(self),
                            client_id: Arc::clone(client_id),
                            again,
                        });
                    }
                    Some(holder) => {
                        let waits = holder.successor.as_ref().map(|waits| &waits.identity);
                        let others = [Some(&holder.identity), waits];
                        let may = |other: &Option<_>| may_take_over(identity, other.as_ref());
                        if !others.into_iter().flatten().all(may) {
                            return Err(ClaimLost::Held);
                        }
                        let (sender, ended) = oneshot::channel();
                        let successor = Successor { identity: identity.cloned(), ended: sender };
                        holder.successor = Some(Box::new(successor));
                        holder.mailbox.signal(Signals::TAKEN_OVER);
                        let now = Instant::now();
                        again |= holder.took_over.is_some_and(|at| now - at < AGAIN_WITHIN);
                        took_over = Some(now);
                        ended
                    }
                }
            };
            loop {
                match tokio::time::timeout_at(patience.due(), &mut ended).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => return Err(ClaimLost::Contended),
                    Err(_) if patience.ends(Instant::now()) => return Err(ClaimLost::Contended),
                    Err(_) => {}
                }
            }
        }
    }

    /// Sends a signal to every connection.
    pub fn signal_all(&self, signal: Signals) {
        for shard in &self.shards {
            let mailboxes: Vec<_> =
                shard.lock().values().map(|holder| Arc::clone(&holder.mailbox)).collect();
            for mailbox in mailboxes {
                mailbox.signal(signal);
            }
        }
    }

    /// Tells whoever holds the id to end: the session's mailbox. What it owes its client, it does first.
    pub fn end(&self, client_id: &str) -> Option<Arc<Mailbox>> {
        let shard = self.shard(client_id).lock();
        let mailbox = &shard.get(client_id)?.mailbox;
        mailbox.signal(Signals::ENDED);
        Some(Arc::clone(mailbox))
    }

    /// The session of this mailbox holds the id.
    pub fn is_held_by(&self, client_id: &str, mailbox: &Arc<Mailbox>) -> bool {
        let shard = self.shard(client_id).lock();
        shard.get(client_id).is_some_and(|holder| Arc::ptr_eq(&holder.mailbox, mailbox))
    }

    /// Those who have a session, part by part, each as it is when its turn comes.
    pub(crate) fn held(&self) -> impl Iterator<Item = Vec<(Arc<Mailbox>, Arc<Shared>)>> {
        self.shards.iter().map(|shard| {
            let shard = shard.lock();
            let held = shard.values().filter_map(|holder| {
                Some((Arc::clone(&holder.mailbox), Arc::clone(holder.shared.as_ref()?)))
            });
            held.collect()
        })
    }

    /// Connections that took an id over: from one that had not taken it over itself, and from one that
    /// had, not long ago.
    pub fn takeovers(&self) -> [(&'static str, u64); 2] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("once", load(&self.takeovers.once)), ("again", load(&self.takeovers.again))]
    }

    /// Connections that hold an id.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, client_id: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(client_id) as usize % SHARDS]
    }
}

/// Who has proved something may end who has not, and itself.
fn may_take_over(newcomer: Option<&Arc<Identity>>, holder: Option<&Arc<Identity>>) -> bool {
    match (newcomer, holder) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(newcomer), Some(holder)) => newcomer.name() == holder.name(),
    }
}

impl Takeovers {
    fn count(&self, is_one: bool, again: bool) {
        if is_one {
            let count = if again { &self.again } else { &self.once };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Claim {
    /// It is a session now, and this is what others may know of it.
    pub(crate) fn show(&self, shared: &Arc<Shared>) {
        if let Some(holder) = self.clients.shard(&self.client_id).lock().get_mut(&self.client_id) {
            holder.shared = Some(Arc::clone(shared));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let holder = self.clients.shard(&self.client_id).lock().remove(&self.client_id);
        if let Some(successor) = holder.and_then(|holder| holder.successor) {
            // It may have given up waiting.
            let _ = successor.ended.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(
        clients: &Arc<Clients>,
        id: &Arc<str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Claim, ClaimLost> {
        take_as(clients, id, None, mailbox).await
    }

    async fn take_as(
        clients: &Arc<Clients>,
        id: &Arc<str>,
        identity: Option<&Arc<Identity>>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Claim, ClaimLost> {
        clients.claim(id, identity, mailbox, &mut Patience::new(Duration::from_secs(60))).await
    }

    /// Tries to take an id that is held: what comes of it when the holder ends, or at once.
    async fn replaces(holder: Option<&Arc<Identity>>, newcomer: Option<&Arc<Identity>>) -> bool {
        let clients = Clients::new();
        let id: Arc<str> = "meter-1".into();
        let mailbox = Arc::new(Mailbox::default());
        let claim = take_as(&clients, &id, holder, &mailbox).await.expect("the id is free");
        let taking = tokio::spawn({
            let (clients, id, newcomer) =
                (Arc::clone(&clients), Arc::clone(&id), newcomer.cloned());
            async move { take_as(&clients, &id, newcomer.as_ref(), &Arc::default()).await }
        });
        tokio::task::yield_now().await;
        let is_told = mailbox.signals().has(Signals::TAKEN_OVER);
        drop(claim);
        let taken = taking.await.expect("no panic");
        assert_eq!(taken.is_ok(), is_told, "who is not replaced hears nothing of it");
        assert!(taken.is_ok() || taken.is_err_and(|lost| lost == ClaimLost::Held));
        is_told
    }

    #[tokio::test]
    async fn only_the_same_identity_takes_over_and_a_proved_one_from_who_has_none() {
        let [one, again, other] = ["dev1", "dev1", "dev2"].map(Identity::named);
        for (holder, newcomer, expected) in [
            (None, None, true),
            (None, Some(&one), true),
            (Some(&one), Some(&again), true),
            (Some(&one), Some(&other), false),
            (Some(&one), None, false),
        ] {
            assert_eq!(replaces(holder, newcomer).await, expected, "{holder:?} {newcomer:?}");
        }
    }

    #[tokio::test]
    async fn a_stranger_does_not_push_out_the_one_that_waits() {
        let clients = Clients::new();
        let id: Arc<str> = "meter-1".into();
        let claim = take(&clients, &id, &Arc::new(Mailbox::default())).await.expect("free");
        let taking = tokio::spawn({
            let (clients, id) = (Arc::clone(&clients), Arc::clone(&id));
            async move { take_as(&clients, &id, Some(&Identity::named("dev1")), &Arc::default()).await }
        });
        tokio::task::yield_now().await;
        for stranger in [None, Some(Identity::named("dev2"))] {
            let lost = take_as(&clients, &id, stranger.as_ref(), &Arc::default()).await;
            assert_eq!(lost.err(), Some(ClaimLost::Held));
        }
        drop(claim);
        assert!(taking.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn a_takeover_waits_for_the_first_to_end() {
        let clients = Clients::new();
        let id: Arc<str> = "meter-1".into();
        let (first, second) = (Arc::new(Mailbox::default()), Arc::new(Mailbox::default()));
        let claim = take(&clients, &id, &first).await.expect("the id is free");
        let taking = tokio::spawn({
            let (clients, id) = (Arc::clone(&clients), Arc::clone(&id));
            async move { take(&clients, &id, &second).await }
        });
        while !first.signals().has(Signals::TAKEN_OVER) {
            tokio::task::yield_now().await;
        }
        assert!(!taking.is_finished());
        drop(claim);
        let claim = taking.await.expect("no panic").expect("the id is free now");
        assert_eq!(clients.len(), 1);
        drop(claim);
        assert!(clients.is_empty());
    }

    #[tokio::test]
    async fn connections_that_throw_each_other_out_are_told_from_one_that_comes_back() {
        let clients = Clients::new();
        let id: Arc<str> = "meter-1".into();
        let mut claim = take(&clients, &id, &Arc::new(Mailbox::default())).await.expect("free");
        for expected in [[1, 0], [1, 1], [1, 2]] {
            let taking = tokio::spawn({
                let (clients, id) = (Arc::clone(&clients), Arc::clone(&id));
                async move { take(&clients, &id, &Arc::new(Mailbox::default())).await }
            });
            tokio::task::yield_now().await;
            drop(claim);
            claim = taking.await.expect("no panic").expect("the id is free now");
            assert_eq!(claim.again, expected[1] > 0);
            assert_eq!(clients.takeovers().map(|(_, count)| count), expected);
        }
        drop(claim);
        // Nobody held it.
        let claim = take(&clients, &id, &Arc::new(Mailbox::default())).await.expect("free");
        assert_eq!((claim.again, clients.takeovers()[0].1), (false, 1));
    }

    #[tokio::test]
    async fn of_two_that_wait_the_later_wins() {
        let clients = Clients::new();
        let id: Arc<str> = "meter-1".into();
        let claim = take(&clients, &id, &Arc::new(Mailbox::default())).await.expect("free");
        let wait = || {
            let (clients, id) = (Arc::clone(&clients), Arc::clone(&id));
            tokio::spawn(async move { take(&clients, &id, &Arc::new(Mailbox::default())).await })
        };
        let earlier = wait();
        tokio::task::yield_now().await;
        let later = wait();
        tokio::task::yield_now().await;
        drop(claim);
        assert_eq!(earlier.await.expect("no panic").err(), Some(ClaimLost::Contended));
        assert!(later.await.expect("no panic").is_ok());
    }
}
