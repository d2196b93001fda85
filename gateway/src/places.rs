//! Places for what others are asked, who may take their time: a bound on them, and on the line of those who wait
//! for one. While they are scarce, one network has few of them, and those that wait take turns: whose questions
//! hang, or come by the hundred, holds up nobody else.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::arrivals::{Arrivals, Arriving};

/// See the module.
pub struct Places {
    taken: Arc<Arrivals>,
    waiting: Arc<Arrivals>,
    /// Those who may not have one as things are; the first who may is the next, and what else its network has there
    /// goes behind the others. Locked while that is found out, so that nobody waits for a place
    /// that came back meanwhile.
    line: Mutex<VecDeque<Waiter>>,
}

/// One place, given back on drop.
pub struct Place {
    places: Arc<Places>,
    /// Taken out only by drop.
    taken: Option<Arriving>,
}

/// Somebody in the line.
struct Waiter {
    /// Nothing yet.
    place: Arriving,
    _in_line: Arriving,
    tell: oneshot::Sender<Place>,
}

/// Takes those out of the line who have gone.
struct Leaving<'a>(&'a Places);

impl Places {
    /// So many of them, and so many who wait. `of` says what they are, for the log.
    pub fn new(of: &'static str, places: usize, waiting: usize) -> Arc<Places> {
        Arc::new(Places {
            taken: Arrivals::new(of, places as u64),
            waiting: Arrivals::new(of, waiting as u64),
            line: Mutex::default(),
        })
    }

    /// A place for who comes from this address, None: from this machine; nothing if too many wait already. Cancel
    /// safe.
    pub async fn take(self: &Arc<Places>, address: Option<IpAddr>) -> Option<Place> {
        let _leaving = Leaving(self);
        let told = {
            let mut line = self.line.lock();
            let mut place = self.taken.nothing(address);
            if place.change(1) {
                drop(line);
                return Some(self.given(place));
            }
            let mut in_line = self.waiting.nothing(address);
            if !in_line.change(1) {
                return None;
            }
            let (tell, told) = oneshot::channel();
            line.push_back(Waiter { place, _in_line: in_line, tell });
            told
        };
        told.await.ok()
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.line.lock().len()
    }

    fn given(self: &Arc<Places>, taken: Arriving) -> Place {
        Place { places: Arc::clone(self), taken: Some(taken) }
    }

    /// Gives what is free to those who may have it.
    fn serve(self: &Arc<Places>) {
        loop {
            let next = {
                let mut line = self.line.lock();
                let first = line.iter_mut().position(|waiter| waiter.place.change(1));
                let next = first.and_then(|at| line.remove(at));
                if let Some(next) = &next {
                    let network = next.place.network();
                    line.make_contiguous().sort_by_key(|waiter| waiter.place.network() == network);
                }
                next
            };
            let Some(Waiter { place, tell, .. }) = next else { return };
            // Of who is gone it comes back at once.
            drop(tell.send(self.given(place)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.taken.take());
        self.places.serve();
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.line.lock().retain(|waiter| !waiter.tell.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const PLACES: usize = 32;
    const WAITING: usize = 64;

    fn address(host: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, host]))
    }

    type Taking<'a> = Pin<Box<dyn Future<Output = Option<Place>> + 'a>>;

    fn poll(taking: &mut Taking<'_>) -> Poll<Option<Place>> {
        taking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn take(places: &Arc<Places>, host: u8) -> Taking<'_> {
        let mut taking: Taking<'_> = Box::pin(places.take(address(host)));
        if let Poll::Ready(taken) = poll(&mut taking) {
            return Box::pin(async move { taken });
        }
        taking
    }

    #[test]
    fn one_network_has_half_of_them_and_who_comes_from_elsewhere_passes_its_line() {
        let places = Places::new("places", PLACES, WAITING);
        let mut greedy: Vec<_> = (0..100).map(|_| take(&places, 1)).collect();
        let mut given: Vec<Place> = Vec::new();
        let (mut waits, mut refused) = (Vec::new(), 0);
        for mut taking in greedy.drain(..) {
            match poll(&mut taking) {
                Poll::Ready(Some(place)) => given.push(place),
                Poll::Ready(None) => refused += 1,
                Poll::Pending => waits.push(taking),
            }
        }
        assert_eq!((given.len(), waits.len(), refused), (PLACES / 2, WAITING / 2, 52));
        let mut others: Vec<Place> = Vec::new();
        for host in 2..10 {
            for _ in 0..PLACES / 16 {
                match poll(&mut take(&places, host)) {
                    Poll::Ready(Some(place)) => others.push(place),
                    _ => panic!("{host} has its share"),
                }
            }
        }
        // None is left: the next goes to who has least, however late it came.
        let mut late = take(&places, 11);
        assert!(poll(&mut late).is_pending());
        given.pop();
        assert!(matches!(poll(&mut late), Poll::Ready(Some(_))));
        assert!(waits.iter_mut().all(|taking| poll(taking).is_pending()));
        // Alone again, the greedy one has what it may.
        drop((others, given));
        let served = waits.iter_mut().filter_map(|taking| match poll(taking) {
            Poll::Ready(place) => place,
            Poll::Pending => None,
        });
        assert_eq!(served.collect::<Vec<_>>().len(), PLACES / 2);
    }

    #[test]
    fn one_place_is_for_one_and_networks_take_turns() {
        let places = Places::new("places", 1, WAITING);
        let Poll::Ready(mut held) = poll(&mut take(&places, 1)) else { panic!("it is free") };
        let hosts = [1, 1, 1, 2, 2, 3];
        let mut waits: Vec<_> = hosts.map(|host| (host, take(&places, host))).into();
        let mut order = Vec::new();
        while held.take().is_some() {
            waits.retain_mut(|(host, taking)| match poll(taking) {
                Poll::Ready(place) => {
                    assert!(held.is_none(), "there is one place");
                    held = place;
                    order.push(*host);
                    false
                }
                Poll::Pending => true,
            });
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
    }

    #[test]
    fn who_goes_leaves_the_line_and_no_place_is_lost() {
        let places = Places::new("places", 1, 32);
        let held = take(&places, 1);
        let mut gone = take(&places, 2);
        assert!(poll(&mut gone).is_pending());
        assert_eq!(places.line.lock().len(), 1);
        drop(gone);
        assert!(places.line.lock().is_empty());
        let mut waits: Vec<_> = (2..4).map(|host| take(&places, host)).collect();
        // The place was given to the first, who did not hear of it.
        drop(held);
        drop(waits.remove(0));
        let mut last = waits.remove(0);
        assert!(matches!(poll(&mut last), Poll::Ready(Some(_))));
        assert!(places.line.lock().is_empty());
    }
}
