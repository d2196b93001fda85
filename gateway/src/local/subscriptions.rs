//! What clients of this gateway want to hear: which filters each holds, and by one tree of all filters, who
//! wants a topic. The supervisor brings the router to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bridge::topic::trie::Trie;

use super::queue::Queue;
use super::{ClientKey, TOPIC_MAX_BYTES};

/// Clients with subscriptions. A link to the router costs about 34 kB.
pub(super) const SUBSCRIBERS_MAX: usize = 400;
/// Distinct filters. The router keeps a log for each, and slows down with their number.
pub(super) const FILTERS_MAX: usize = 400;
/// Filters of one client.
pub(super) const CLIENT_FILTERS_MAX: usize = 100;

/// Why a subscription was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    FilterTooLong,
    TooManyForClient,
    TooManyInAll,
}

/// See the module.
#[derive(Default)]
pub(super) struct Subscriptions {
    last_id: u64,
    subscribers: HashMap<u64, Wanted>,
    filters: Trie<Holders>,
    /// Subscriptions of all clients.
    count: usize,
    /// Subscribers whose state in the router may differ from what is wanted.
    changed: BTreeSet<u64>,
}

/// What one client wants of the router.
#[derive(Clone)]
pub(super) struct Wanted {
    pub client: ClientKey,
    pub filters: HashSet<Arc<str>>,
    pub queue: Arc<Queue>,
}

/// Who holds one filter.
struct Holders {
    filter: Arc<str>,
    /// By id, and whether the holder leaves its own messages alone (v5 3.8.3.1, No Local).
    no_local: HashMap<u64, bool>,
}

impl Subscriptions {
    /// An id for one more subscriber.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many of them one client has.
    pub fn len_of(&self, id: u64) -> usize {
        self.subscribers.get(&id).map_or(0, |own| own.filters.len())
    }

    /// Whether anybody wants a topic.
    pub fn interested(&self, topic: &str) -> bool {
        self.filters.is_match(topic)
    }

    /// For how many filters a client wants what it published itself.
    pub fn wanted_of_own(&self, id: u64, topic: &str) -> usize {
        let of_id = self.filters.matches(topic).filter_map(|holders| holders.no_local.get(&id));
        of_id.filter(|no_local| !**no_local).count()
    }

    /// Adds a filter whose syntax was checked. One that is there already stays; with `no_local` or without
    /// is what was said last.
    pub fn add(
        &mut self,
        id: u64,
        client: ClientKey,
        queue: &Arc<Queue>,
        filter: &str,
        no_local: bool,
    ) -> Result<(), SubscribeError> {
        if filter.len() > TOPIC_MAX_BYTES {
            return Err(SubscribeError::FilterTooLong);
        }
        let holders = self.filters.get_mut(filter);
        let is_known = holders.is_some();
        if let Some(held) = holders.and_then(|holders| holders.no_local.get_mut(&id)) {
            *held = no_local;
            return Ok(());
        }
        match self.subscribers.get(&id) {
            None if self.subscribers.len() >= SUBSCRIBERS_MAX => {
                return Err(SubscribeError::TooManyInAll);
            }
            Some(own) if own.filters.len() >= CLIENT_FILTERS_MAX => {
                return Err(SubscribeError::TooManyForClient);
            }
            _ if !is_known && self.filters.len() >= FILTERS_MAX => {
                return Err(SubscribeError::TooManyInAll);
            }
            _ => {}
        }
        let holders = self.filters.get_or_insert_with(filter, || Holders {
            filter: filter.into(),
            no_local: HashMap::new(),
        });
        holders.no_local.insert(id, no_local);
        let own = self.subscribers.entry(id).or_insert_with(|| Wanted {
            client,
            filters: HashSet::new(),
            queue: Arc::clone(queue),
        });
        own.filters.insert(Arc::clone(&holders.filter));
        self.count += 1;
        self.changed.insert(id);
        Ok(())
    }

    /// The filters of a client.
    pub fn of(&self, id: u64) -> Vec<Arc<str>> {
        self.subscribers.get(&id).into_iter().flat_map(|own| own.filters.iter().cloned()).collect()
    }

    /// Takes a filter from a client; false if it does not hold it.
    pub fn remove(&mut self, id: u64, filter: &str) -> bool {
        let Some(own) = self.subscribers.get_mut(&id) else { return false };
        if !own.filters.remove(filter) {
            return false;
        }
        self.release(id, filter);
        self.changed.insert(id);
        true
    }

    /// A client is gone.
    pub fn remove_all(&mut self, id: u64) {
        let Some(own) = self.subscribers.remove(&id) else { return };
        for filter in &own.filters {
            self.release(id, filter);
        }
        self.changed.insert(id);
    }

    /// One client less holds the filter.
    fn release(&mut self, id: u64, filter: &str) {
        self.count -= 1;
        let holders = self.filters.get_mut(filter).expect("who holds a filter is in the tree");
        holders.no_local.remove(&id);
        if holders.no_local.is_empty() {
            self.filters.remove(filter);
        }
    }

    /// A new router knows of nobody.
    pub fn all_changed(&mut self) {
        self.changed = self.subscribers.keys().copied().collect();
    }

    /// Somebody wants something else than the router was told.
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The next subscriber that changed, with what it wants; nothing if it is gone.
    pub fn next_changed(&mut self) -> Option<(u64, Option<Wanted>)> {
        let id = self.changed.pop_first()?;
        Some((id, self.subscribers.get(&id).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_went_leaves_nothing() {
        let mut subscriptions = Subscriptions::default();
        let queue = Arc::new(Queue::new(Box::new(|| {})));
        let (one, two) = (subscriptions.next_id(), subscriptions.next_id());
        let mut add = |id, filter, no_local| {
            subscriptions.add(id, ClientKey::of("c"), &queue, filter, no_local).expect("few")
        };
        add(one, "a/+", false);
        add(one, "a/#", true);
        add(two, "a/+", true);
        // What is said again changes what was said before.
        add(two, "a/+", false);
        add(two, "a/+", true);
        assert_eq!((subscriptions.len(), subscriptions.filters.len()), (3, 2));
        assert_eq!(subscriptions.wanted_of_own(one, "a/b"), 1, "a/# leaves its own alone");
        assert_eq!(subscriptions.wanted_of_own(two, "a/b"), 0);
        assert!(subscriptions.interested("a") && !subscriptions.interested("b"));
        assert!(subscriptions.remove(two, "a/+") && !subscriptions.remove(two, "a/+"));
        assert_eq!((subscriptions.len(), subscriptions.filters.len()), (2, 2));
        subscriptions.remove_all(one);
        subscriptions.remove_all(two);
        assert_eq!((subscriptions.len(), subscriptions.filters.len()), (0, 0));
        assert!(!subscriptions.interested("a"));
        let changed: Vec<u64> =
            std::iter::from_fn(|| subscriptions.next_changed()).map(|(id, _)| id).collect();
        assert_eq!(changed, [one, two]);
    }
}
