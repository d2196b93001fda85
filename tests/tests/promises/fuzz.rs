//! The fuzz targets on a stable compiler: each runs for about a second over random bytes and over
//! damaged good packets, the same ones at every run unless `LANDFALL_FUZZ_SEED` says otherwise.

#[path = "../../fuzz/src/decoder.rs"]
mod decoder;
#[path = "../../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../../fuzz/src/session.rs"]
mod session;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

const DURATION: Duration = Duration::from_secs(1);
const INPUT_SIZE_MAX: u64 = 200;

#[test]
fn decoder() {
    let seeds = seeds::decoder();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(decoder::decode_stream(seed), "seed {number} is not good: {seed:02x?}");
    }
    run(&seeds, |input| {
        decoder::decode_stream(input);
    });
}

#[test]
fn session() {
    let seeds = seeds::session();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(session::serve(seed), "seed {number} begins no session: {seed:02x?}");
    }
    run(&seeds, |input| {
        session::serve(input);
    });
}

/// Every seed as it is, then damaged ones and noise until the time is over.
fn run(seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seed = match std::env::var("LANDFALL_FUZZ_SEED") {
        Ok(text) => text.parse().expect("LANDFALL_FUZZ_SEED is a whole number"),
        Err(_) => 1,
    };
    let mut random = Random(seed);
    let end = Instant::now() + DURATION;
    let mut inputs = 0u64;
    eprintln!("LANDFALL_FUZZ_SEED={seed}");
    while Instant::now() < end {
        let input = match inputs.try_into().ok().and_then(|index: usize| seeds.get(index)) {
            Some(seed) => seed.clone(),
            None if random.below(4) == 0 => random.bytes(),
            None => damaged(seeds, &mut random),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("input {inputs} of seed {seed}: {input:02x?}");
            resume_unwind(panic);
        }
        inputs += 1;
    }
    eprintln!("{inputs} inputs");
    assert!(inputs > seeds.len() as u64, "not even the seeds were through in {DURATION:?}");
}

fn damaged(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.index(seeds.len())].clone();
    for _ in 0..=random.below(3) {
        let at = random.index(input.len());
        let byte = random.next() as u8;
        match random.below(7) {
            0 => input[at] = byte,
            1 => input[at] ^= 1 << (byte % 8),
            2 => input[at] = input[at].wrapping_add(byte % 3).wrapping_sub(1),
            3 => input.insert(at, byte),
            4 if input.len() > 1 => drop(input.remove(at)),
            5 => input.truncate(at.max(1)),
            _ => {
                // A part of another one, which keeps whole fields together.
                let other = &seeds[random.index(seeds.len())];
                let from = random.index(other.len());
                input.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    input
}

/// SplitMix64: small, seeded, good enough to choose damage with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        let size = self.below(INPUT_SIZE_MAX);
        (0..size).map(|_| self.next() as u8).collect()
    }
}
