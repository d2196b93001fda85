//! Many filters in one tree: which of them match a topic, found in one walk.
//!
//! The tree branches where filters part and nowhere else: a node has as many levels as all filters below
//! it share. So `n` filters make at most `2 n` nodes, whose texts are together no longer than the filters',
//! however many levels a stranger writes; and a walk visits a node at most once.

use smallvec::SmallVec;

use super::{hides_from_wildcards, level_end};

/// The node without levels, from which all others come.
const ROOT: u32 = 0;
/// Nodes that a walk can put off without an allocation: it does so where a literal and `+` both lead on.
const PUT_OFF: usize = 8;

/// Filters, each with a value. Keys are texts whose syntax was checked; see [`super::filter::is_filter`].
#[derive(Clone, Debug)]
pub struct Trie<V> {
    nodes: Vec<Node<V>>,
    /// Places in `nodes` that nothing uses.
    free: Vec<u32>,
    filters: usize,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// Literals and `+`, joined by slashes.
    levels: Box<str>,
    /// One of them is `+`.
    has_wildcard: bool,
    parent: u32,
    /// Of the filter that ends with these levels.
    exact: Option<V>,
    /// Of the filter that has a `#` behind them.
    open: Option<V>,
    /// Nodes that begin with a literal, in the order of their first levels.
    literals: Vec<u32>,
    /// The node that begins with `+`.
    any: Option<u32>,
}

impl<V> Default for Trie<V> {
    fn default() -> Trie<V> {
        Trie { nodes: vec![Node::new("", ROOT)], free: Vec::new(), filters: 0 }
    }
}

impl<V> Trie<V> {
    /// How many filters there are.
    pub fn len(&self) -> usize {
        self.filters
    }

    pub fn is_empty(&self) -> bool {
        self.filters == 0
    }

    /// A filter's value.
    pub fn get(&self, filter: &str) -> Option<&V> {
        let (levels, is_open) = parts(filter);
        let node = &self.nodes[self.find(levels)? as usize];
        if is_open { node.open.as_ref() } else { node.exact.as_ref() }
    }

    /// A filter's value, to be changed.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        let (levels, is_open) = parts(filter);
        let at = self.find(levels)?;
        self.node(at).value(is_open).as_mut()
    }

    /// A filter's value; `make` makes one where the filter is new.
    pub fn get_or_insert_with(&mut self, filter: &str, make: impl FnOnce() -> V) -> &mut V {
        let (levels, is_open) = parts(filter);
        let (mut at, mut rest) = (ROOT, levels);
        while let Some(text) = rest {
            let Some(child) = self.child(at, first_level(text)) else {
                at = self.add(Node::new(text, at));
                break;
            };
            let shared = shared_bytes(&self.nodes[child as usize].levels, text);
            at = self.part(child, shared);
            rest = behind(text, &self.nodes[at as usize].levels).expect("both begin with them");
        }
        if self.node(at).value(is_open).is_none() {
            self.filters += 1;
        }
        self.node(at).value(is_open).get_or_insert_with(make)
    }

    /// Takes a filter out.
    pub fn remove(&mut self, filter: &str) -> Option<V> {
        let (levels, is_open) = parts(filter);
        let at = self.find(levels)?;
        let value = self.node(at).value(is_open).take()?;
        self.filters -= 1;
        if self.filters == 0 {
            *self = Trie::default();
        } else {
            self.tidy(at);
        }
        Some(value)
    }

    /// The values of all filters that match the topic, in no order.
    pub fn matches<'t>(&'t self, topic: &'t str) -> Matches<'t, V> {
        let topic = topic.as_bytes();
        let mut matches =
            Matches { trie: self, topic, put_off: SmallVec::new(), found: [None, None] };
        let root = &self.nodes[ROOT as usize];
        let is_hidden = hides_from_wildcards(topic);
        matches.lead_on(root, 0, root.any.filter(|_| !is_hidden));
        matches.found[0] = root.open.as_ref().filter(|_| !is_hidden);
        matches
    }

    /// Whether any filter matches the topic.
    pub fn is_match(&self, topic: &str) -> bool {
        !self.is_empty() && self.matches(topic).next().is_some()
    }

    fn node(&mut self, at: u32) -> &mut Node<V> {
        &mut self.nodes[at as usize]
    }

    /// The node at which a filter with these levels ends.
    fn find(&self, levels: Option<&str>) -> Option<u32> {
        let (mut at, mut rest) = (ROOT, levels);
        while let Some(text) = rest {
            at = self.child(at, first_level(text))?;
            rest = behind(text, &self.nodes[at as usize].levels)?;
        }
        Some(at)
    }

    /// The node below `at` that begins with this level of a filter.
    fn child(&self, at: u32, level: &str) -> Option<u32> {
        match level {
            "+" => self.nodes[at as usize].any,
            _ => self.nodes[at as usize].literal(&self.nodes, level.as_bytes()),
        }
    }

    /// Puts a node into a free place and below its parent.
    fn add(&mut self, node: Node<V>) -> u32 {
        let at = match self.free.pop() {
            Some(at) => {
                *self.node(at) = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("so many nodes fit into no memory")
            }
        };
        self.hang(at);
        at
    }

    /// Puts a node below its parent, where nothing begins with the same level.
    fn hang(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (parent, first) = (node.parent, first_level(&node.levels));
        if first == "+" {
            self.node(parent).any = Some(at);
        } else {
            let literals = &self.nodes[parent as usize].literals;
            let place = literals.partition_point(|&other| self.first_literal(other) < first);
            self.node(parent).literals.insert(place, at);
        }
    }

    fn first_literal(&self, at: u32) -> &str {
        first_level(&self.nodes[at as usize].levels)
    }

    /// Parts a node after so many bytes of its levels; the upper one has the rest below it. All of them:
    /// the node itself.
    fn part(&mut self, at: u32, bytes: usize) -> u32 {
        let node = &self.nodes[at as usize];
        if bytes == node.levels.len() {
            return at;
        }
        let (upper, parent) = (Node::new(&node.levels[..bytes], node.parent), node.parent);
        let lower: Box<str> = node.levels[bytes + 1..].into();
        self.take_off(parent, at);
        let upper = self.add(upper);
        let node = self.node(at);
        node.set_levels(lower);
        node.parent = upper;
        self.hang(at);
        upper
    }

    /// Takes a node away from below its parent.
    fn take_off(&mut self, parent: u32, at: u32) {
        let parent = self.node(parent);
        if parent.any == Some(at) {
            parent.any = None;
        } else {
            parent.literals.retain(|&other| other != at);
        }
    }

    /// A node lost a value: it goes if nothing needs it, or becomes one with what is below it.
    fn tidy(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        if at == ROOT || node.exact.is_some() || node.open.is_some() {
            return;
        }
        let parent = node.parent;
        match (&*node.literals, node.any) {
            ([], None) => {
                self.take_off(parent, at);
                self.release(at);
                // Which may have had nothing but this and one more.
                self.tidy(parent);
            }
            (&[below], None) | (&[], Some(below)) => {
                let levels = [&node.levels, "/", &self.nodes[below as usize].levels].concat();
                self.take_off(parent, at);
                self.release(at);
                let below_node = self.node(below);
                below_node.set_levels(levels.into());
                below_node.parent = parent;
                self.hang(below);
            }
            _ => {}
        }
    }

    fn release(&mut self, at: u32) {
        *self.node(at) = Node::new("", ROOT);
        self.free.push(at);
    }
}

impl<V> Node<V> {
    fn new(levels: &str, parent: u32) -> Node<V> {
        let mut node = Node {
            levels: Box::default(),
            has_wildcard: false,
            parent,
            exact: None,
            open: None,
            literals: Vec::new(),
            any: None,
        };
        node.set_levels(levels.into());
        node
    }

    fn set_levels(&mut self, levels: Box<str>) {
        self.has_wildcard = levels.contains('+');
        self.levels = levels;
    }

    fn value(&mut self, is_open: bool) -> &mut Option<V> {
        if is_open { &mut self.open } else { &mut self.exact }
    }

    /// The node below it that begins with this literal.
    #[inline]
    fn literal(&self, nodes: &[Node<V>], level: &[u8]) -> Option<u32> {
        let first = |at: u32| {
            let levels = nodes[at as usize].levels.as_bytes();
            &levels[..level_end(levels, 0)]
        };
        // Most nodes have one.
        if let [only] = *self.literals {
            return (first(only) == level).then_some(only);
        }
        let place = self.literals.binary_search_by(|&at| first(at).cmp(level));
        place.ok().map(|place| self.literals[place])
    }

    /// Where the next level of the topic starts if those from `start` on are this node's; past its end
    /// when there is none.
    #[inline]
    fn walk(&self, topic: &[u8], start: usize) -> Option<usize> {
        let levels = self.levels.as_bytes();
        if !self.has_wildcard {
            let rest = topic[start..].strip_prefix(levels)?;
            let is_whole = rest.first().is_none_or(|&byte| byte == b'/');
            return is_whole.then(|| start + levels.len() + 1);
        }
        let (mut at, mut start) = (0, start);
        while at <= levels.len() {
            if start > topic.len() {
                return None;
            }
            let (level_at, topic_at) = (level_end(levels, at), level_end(topic, start));
            let level = &levels[at..level_at];
            if level != b"+" && level != &topic[start..topic_at] {
                return None;
            }
            (at, start) = (level_at + 1, topic_at + 1);
        }
        Some(start)
    }
}

/// See [`Trie::matches`].
#[derive(Debug)]
pub struct Matches<'t, V> {
    trie: &'t Trie<V>,
    topic: &'t [u8],
    /// Nodes that were not visited yet, each with where its levels have to start in the topic.
    put_off: SmallVec<[(u32, usize); PUT_OFF]>,
    /// Of the node that was visited last.
    found: [Option<&'t V>; 2],
}

impl<'t, V> Matches<'t, V> {
    /// What is below a node, for the topic from `start` on.
    #[inline]
    fn lead_on(&mut self, node: &'t Node<V>, start: usize, any: Option<u32>) {
        self.put_off.extend(any.map(|any| (any, start)));
        if !node.literals.is_empty() {
            let level = &self.topic[start..level_end(self.topic, start)];
            let literal = node.literal(&self.trie.nodes, level);
            self.put_off.extend(literal.map(|literal| (literal, start)));
        }
    }
}

impl<'t, V> Iterator for Matches<'t, V> {
    type Item = &'t V;

    #[inline]
    fn next(&mut self) -> Option<&'t V> {
        loop {
            if let Some(found) = self.found[0].take().or_else(|| self.found[1].take()) {
                return Some(found);
            }
            let (at, start) = self.put_off.pop()?;
            let node = &self.trie.nodes[at as usize];
            let Some(next) = node.walk(self.topic, start) else { continue };
            let is_end = next > self.topic.len();
            // `#` also stands for no level at all.
            self.found = [node.open.as_ref(), node.exact.as_ref().filter(|_| is_end)];
            if !is_end {
                self.lead_on(node, next, node.any);
            }
        }
    }
}

/// A filter's levels before its `#`, if there are any, and whether it has one.
fn parts(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix('#') {
        Some("") => (None, true),
        Some(before) => (Some(before.strip_suffix('/').unwrap_or(before)), true),
        None => (Some(filter), false),
    }
}

fn first_level(levels: &str) -> &str {
    &levels[..level_end(levels.as_bytes(), 0)]
}

/// Bytes of the levels with which both begin; their first levels are the same.
fn shared_bytes(left: &str, right: &str) -> usize {
    let pairs = left.split('/').zip(right.split('/'));
    let same = pairs.take_while(|(left, right)| left == right);
    same.map(|(level, _)| level.len() + 1).sum::<usize>() - 1
}

/// What the text has behind these levels, with which it has to begin; nothing where it has no more.
fn behind<'t>(text: &'t str, levels: &str) -> Option<Option<&'t str>> {
    let rest = text.strip_prefix(levels)?;
    if rest.is_empty() { Some(None) } else { rest.strip_prefix('/').map(Some) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::naive;
    use super::*;

    /// What was said of the tree, of every node of it.
    fn check(trie: &Trie<u32>, filters: &BTreeMap<String, u32>) {
        assert_eq!(trie.len(), filters.len());
        let used = trie.nodes.len() - trie.free.len();
        assert!(used <= 2 * filters.len() + 1, "{used} nodes for {} filters", filters.len());
        let texts: usize = trie.nodes.iter().map(|node| node.levels.len()).sum();
        assert!(texts <= filters.keys().map(String::len).sum());
        for (at, node) in trie.nodes.iter().enumerate() {
            let at = at as u32;
            let below = node.literals.iter().copied().chain(node.any);
            assert!(below.clone().all(|below| trie.nodes[below as usize].parent == at));
            let firsts: Vec<&str> =
                node.literals.iter().map(|&at| trie.first_literal(at)).collect();
            assert!(firsts.is_sorted_by(|left, right| left < right), "{firsts:?}");
            let values = usize::from(node.exact.is_some()) + usize::from(node.open.is_some());
            assert!(
                at == ROOT || trie.free.contains(&at) || values + below.count() > 1 || values == 1
            );
        }
    }

    /// The whole, with its nodes in an order of their own.
    fn shown(trie: &Trie<u32>, at: u32) -> String {
        let node = &trie.nodes[at as usize];
        let below = node.literals.iter().copied().chain(node.any);
        let below: Vec<String> = below.map(|below| shown(trie, below)).collect();
        format!("({:?} {:?} {:?} {})", node.levels, node.exact, node.open, below.join(" "))
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "ab", "", "+", "$s", "ä"]);
        (prop::collection::vec(level, 0..5), any::<bool>())
            .prop_map(|(mut levels, open)| {
                levels.extend(open.then_some("#"));
                levels.join("/")
            })
            .prop_filter("a filter is not empty", |filter| !filter.is_empty())
    }

    fn topic() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "ab", "", "$s", "ä", "c"]);
        prop::collection::vec(level, 1..6).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        /// Filters come and go, and what is left is what matches.
        #[test]
        fn it_agrees_with_the_standard_whatever_came_and_went(
            steps in prop::collection::vec((filter(), 0..3_u8, any::<u32>()), 1..40),
            topics in prop::collection::vec(topic(), 1..8),
        ) {
            let (mut trie, mut filters) = (Trie::default(), BTreeMap::new());
            for (filter, step, value) in steps {
                prop_assert_eq!(trie.get(&filter), filters.get(&filter));
                if step == 0 {
                    prop_assert_eq!(trie.remove(&filter), filters.remove(&filter));
                } else {
                    let known = *filters.entry(filter.clone()).or_insert(value);
                    prop_assert_eq!(*trie.get_or_insert_with(&filter, || value), known);
                    prop_assert_eq!(trie.get_mut(&filter).copied(), Some(known));
                }
                check(&trie, &filters);
            }
            for topic in topics {
                let mut found: Vec<u32> = trie.matches(&topic).copied().collect();
                let matching = filters.iter().filter(|(filter, _)| naive(filter, &topic));
                let mut expected: Vec<u32> = matching.map(|(_, value)| *value).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(trie.is_match(&topic), !expected.is_empty());
                prop_assert_eq!(found, expected, "{} in {:?}", topic, filters);
            }
            // What went left nothing behind.
            let mut fresh = Trie::default();
            for (filter, value) in &filters {
                fresh.get_or_insert_with(filter, || *value);
            }
            prop_assert_eq!(shown(&trie, ROOT), shown(&fresh, ROOT));
        }
    }

    /// The worst that a filter of the length that is taken can be, many times over.
    #[test]
    fn levels_without_end_cost_no_more_than_their_bytes() {
        let mut trie = Trie::default();
        for number in 0..400_u32 {
            let filter = "/".repeat(600) + &number.to_string() + &"/".repeat(400);
            trie.get_or_insert_with(&filter, || number);
        }
        let texts: usize = trie.nodes.iter().map(|node| node.levels.len()).sum();
        assert!(trie.nodes.len() <= 402 && texts < 400 * 410, "{texts} bytes");
        let topic = "/".repeat(600) + "77" + &"/".repeat(400);
        assert_eq!(trie.matches(&topic).collect::<Vec<_>>(), [&77]);
    }

    /// As many levels as a topic can have, each with a filter of its own that parts there, on both sides.
    #[test]
    fn a_deep_tree_is_walked_without_a_deep_stack() {
        const DEPTH: usize = 2_000;
        let mut trie = Trie::default();
        let mut prefix = String::new();
        for depth in 0..DEPTH {
            trie.get_or_insert_with(&format!("{prefix}a"), || depth as u32);
            trie.get_or_insert_with(&format!("{prefix}+"), || depth as u32);
            prefix.push_str("a/");
        }
        let topic = vec!["a"; DEPTH].join("/");
        assert_eq!(trie.matches(&topic).count(), 2);
        let longer = vec!["a"; 2 * DEPTH].join("/");
        assert!(!trie.is_match(&longer));
    }
}
