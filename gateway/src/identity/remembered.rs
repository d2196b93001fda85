//! What was proved a while ago need not be proved again: a bounded memory under keys of which only this
//! process knows the secret, so that neither a password nor anything that it could be guessed from is kept.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// What a proof is remembered under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 32]);

/// The secret of this process.
pub struct Secret([u8; 32]);

impl Secret {
    /// Another one at each start.
    pub fn new() -> Secret {
        Secret(rand::random())
    }

    /// The mark of some texts, of which none can be taken for a part of another.
    pub fn mark(&self, parts: &[&[u8]]) -> Mark {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Mark(*hasher.finalize().as_bytes())
    }
}

impl Mark {
    /// A number that says nothing of what it was made of.
    pub fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// See the module. The oldest goes first.
pub struct Remembered<V> {
    entries: HashMap<Mark, Entry<V>>,
    /// By age. Each entry's mark is in it once.
    order: VecDeque<Mark>,
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    /// Not remembered from then on.
    until: Option<Instant>,
    bytes: usize,
}

impl<V: Clone> Remembered<V> {
    /// At most so many entries, whose values have at most so many bytes.
    pub fn new(entries_max: usize, bytes_max: usize) -> Remembered<V> {
        Remembered {
            entries: HashMap::new(),
            order: VecDeque::new(),
            entries_max,
            bytes_max,
            bytes: 0,
        }
    }

    pub fn get(&self, mark: &Mark, now: Instant) -> Option<V> {
        let entry = self.entries.get(mark)?;
        entry.until.is_none_or(|until| now < until).then(|| entry.value.clone())
    }

    /// Remembers a value that has so many bytes.
    pub fn insert(&mut self, mark: Mark, value: V, bytes: usize, until: Option<Instant>) {
        if bytes > self.bytes_max || self.entries_max == 0 {
            return;
        }
        if let Some(known) = self.entries.get_mut(&mark) {
            // It keeps its place: who comes often does not push out who comes seldom.
            self.bytes = self.bytes - known.bytes + bytes;
            *known = Entry { value, until, bytes };
        } else {
            self.bytes += bytes;
            self.entries.insert(mark, Entry { value, until, bytes });
            self.order.push_back(mark);
        }
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            let oldest = self.order.pop_front().expect("every entry has its place");
            let entry = self.entries.remove(&oldest).expect("every place has its entry");
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn texts_cannot_be_cut_otherwise() {
        let secret = Secret::new();
        let mark = secret.mark(&[b"ab", b"c"]);
        assert_eq!(mark, secret.mark(&[b"ab", b"c"]));
        for other in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""]] {
            assert_ne!(mark, secret.mark(other));
        }
        assert_ne!(mark, Secret::new().mark(&[b"ab", b"c"]), "another process has another secret");
    }

    #[test]
    fn it_is_bounded_in_entries_bytes_and_time() {
        let secret = Secret::new();
        let mark = |number: u8| secret.mark(&[&[number]]);
        let now = Instant::now();
        let mut remembered = Remembered::new(3, 100);
        for number in 0..5 {
            remembered.insert(mark(number), number, 10, None);
        }
        let known = |remembered: &Remembered<u8>| {
            (0..9)
                .filter(|number| remembered.get(&mark(*number), now).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(known(&remembered), [2, 3, 4]);
        remembered.insert(mark(5), 5, 85, None);
        assert_eq!(known(&remembered), [4, 5], "bytes count too");
        remembered.insert(mark(6), 6, 101, None);
        assert_eq!(known(&remembered), [4, 5], "what does not fit at all changes nothing");
        let until = now + Duration::from_secs(60);
        remembered.insert(mark(5), 5, 10, Some(until));
        assert_eq!(remembered.get(&mark(5), until), None);
        assert_eq!(remembered.get(&mark(5), now), Some(5));
        assert_eq!(remembered.bytes, 20);
    }
}
