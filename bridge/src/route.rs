//! Routes: families of topics, in the order in which they were written, of which the first that matches
//! says what is known of a message. Pure.

use std::collections::BTreeMap;
use std::ops::Index;

use crate::topic::filter::{Captures, Filter};
use crate::topic::trie::Trie;

/// So many routes are tried one after the other. One that does not match costs about 5 ns, and a walk
/// through the tree 60 ns, however many there are.
const TRIED_MAX: usize = 16;

/// Where a family of topics belongs and what is known of it.
#[derive(Clone, Debug)]
pub struct Route {
    pub filter: Filter,
    /// What the route says of its messages where nothing stronger does.
    pub attributes: BTreeMap<String, String>,
    /// Payloads are `landfall.v1.DeviceEnvelope`.
    pub device_envelope: bool,
}

/// All routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    /// The first of the routes with each pattern, where they are too many to be tried.
    first: Option<Trie<usize>>,
}

impl From<Vec<Route>> for Routes {
    fn from(routes: Vec<Route>) -> Routes {
        let first = (routes.len() > TRIED_MAX).then(|| {
            let mut first = Trie::default();
            for (place, route) in routes.iter().enumerate() {
                first.get_or_insert_with(&route.filter.pattern(), || place);
            }
            first
        });
        Routes { routes, first }
    }
}

impl Routes {
    /// The first route that matches, with its place and what it captures.
    #[inline]
    pub fn first_match<'a>(&'a self, topic: &'a str) -> Option<(usize, &'a Route, Captures<'a>)> {
        let captured = |place: usize| {
            let route = &self.routes[place];
            Some((place, route, route.filter.matches(topic)?))
        };
        match &self.first {
            Some(first) => first.matches(topic).min().and_then(|&place| captured(place)),
            None => (0..self.routes.len()).find_map(captured),
        }
    }

    /// From the first to the last.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.routes.iter()
    }
}

/// By its place.
impl Index<usize> for Routes {
    type Output = Route;

    fn index(&self, place: usize) -> &Route {
        &self.routes[place]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(filters: &[String]) -> Vec<Route> {
        let route = |filter: &String| Route {
            filter: Filter::parse(filter).expect("a filter"),
            attributes: BTreeMap::new(),
            device_envelope: false,
        };
        filters.iter().map(route).collect()
    }

    proptest! {
        /// Whether they are tried or looked up, the first that was written counts, with its own captures.
        #[test]
        fn the_first_that_matches_counts_however_many_there_are(
            filters in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec!["a", "b", "+", "{x}", "{y}"]), 1..4),
                0..2 * TRIED_MAX,
            ),
            open in prop::collection::vec(any::<bool>(), 2 * TRIED_MAX),
            topic in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s"]), 1..5),
        ) {
            let filters: Vec<String> = filters
                .iter()
                .zip(open)
                .filter(|(levels, _)| {
                    let twice = |name| levels.iter().filter(|level| **level == name).count() > 1;
                    !twice("{x}") && !twice("{y}")
                })
                .map(|(levels, open)| levels.join("/") + if open { "/#" } else { "" })
                .collect();
            let (routes, topic) = (routes(&filters), topic.join("/"));
            let expected = routes.iter().position(|route| route.filter.is_match(&topic));
            let routes = Routes::from(routes);
            let found = routes.first_match(&topic);
            prop_assert_eq!(found.map(|(place, ..)| place), expected);
            if let Some((place, route, captures)) = found {
                prop_assert_eq!(&route.filter.to_string(), &filters[place]);
                let own = route.filter.matches(&topic).expect("it matches");
                let pairs: Vec<_> = captures.iter().collect();
                prop_assert_eq!(pairs, own.iter().collect::<Vec<_>>());
            }
        }
    }
}
