//! Where a record goes: the partition that Java's producers, too, give its key.

/// The hash that Java's producers make of a key (murmur2 of 32 bits, seeded as Kafka seeds it), without its sign.
pub fn hash(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Lengths are of 32 bits in Java; a key is part of a record of less than 2 GiB.
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) & 0x7fff_ffff
}

/// The partition of a key with that hash, in a topic of so many, of which there is one at least.
pub fn of(hash: u32, count: u32) -> u32 {
    hash % count
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::native;

    proptest! {
        /// librdkafka's own, which is held against Java's by its makers.
        #[test]
        fn a_key_goes_where_others_put_it(key in vec(any::<u8>(), 0..40), count in 1..200_u32) {
            let theirs = native::partition(&key, count as i32);
            prop_assert_eq!(of(hash(&key), count) as i32, theirs);
        }
    }
}
