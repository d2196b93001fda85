//! The fuzz targets on a stable compiler: each runs for about a second over random bytes and over
//! damaged good packets, the same ones at every run unless `LANDFALL_FUZZ_SEED` says otherwise.

#[path = "../../fuzz/src/acl_file.rs"]
mod acl_file;
#[path = "../../fuzz/src/decoder.rs"]
mod decoder;
#[path = "../../fuzz/src/payload.rs"]
mod payload;
#[path = "../../fuzz/src/proxy.rs"]
mod proxy;
#[path = "../../fuzz/src/record.rs"]
mod record;
#[path = "../../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../../fuzz/src/session.rs"]
mod session;
#[path = "../../fuzz/src/token.rs"]
mod token;
#[path = "../../fuzz/src/unpack.rs"]
mod unpack;
#[path = "../../fuzz/src/websocket.rs"]
mod websocket;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use payload::Kind;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const DURATION: Duration = Duration::from_secs(1);
const INPUT_SIZE_MAX: usize = 200;

#[test]
fn acl_file() {
    let seeds = seeds::acl_file();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(acl_file::ask(seed), "seed {number} is no good file");
    }
    run(&seeds, |input| {
        acl_file::ask(input);
    });
}

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

#[test]
fn proxy() {
    let seeds = seeds::proxy();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(proxy::read(seed), "seed {number} is no header: {seed:02x?}");
    }
    run(&seeds, |input| {
        proxy::read(input);
    });
}

#[test]
fn token() {
    let seeds = token::seeds();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(token::look(seed), "seed {number} is not good");
    }
    run(&seeds, |input| {
        token::look(input);
    });
}

#[test]
fn websocket() {
    let seeds = seeds::websocket();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(websocket::receive(seed), "seed {number} is not good: {seed:02x?}");
    }
    run(&seeds, |input| {
        websocket::receive(input);
    });
}

#[test]
fn parse_json() {
    payloads(Kind::Json);
}

#[test]
fn parse_lines() {
    payloads(Kind::Lines);
}

#[test]
fn parse_csv() {
    payloads(Kind::Csv);
}

#[test]
fn parse_text() {
    payloads(Kind::Text);
}

#[test]
fn parse_jq() {
    payloads(Kind::Jq);
}

fn payloads(kind: Kind) {
    let seeds = payload::seeds(kind);
    let good = seeds.iter().filter(|seed| payload::parse(kind, seed)).count();
    assert!(good >= 3, "{good} of the payloads of {kind:?} have events");
    run(&seeds, |input| {
        payload::parse(kind, input);
    });
}

#[test]
fn unpack() {
    let seeds = unpack::seeds();
    let good = seeds.iter().filter(|seed| unpack::take_off(seed)).count();
    assert_eq!(good, seeds.len() - 3, "three become too large, by each way");
    run(&seeds, |input| {
        unpack::take_off(input);
    });
}

#[test]
fn record() {
    let seeds = record::seeds();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(record::read_value(seed), "seed {number} is not good: {seed:02x?}");
    }
    run(&seeds, |input| {
        record::read_value(input);
    });
}

/// Every seed as it is, then damaged ones and noise until the time is over.
fn run(seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seed = match std::env::var("LANDFALL_FUZZ_SEED") {
        Ok(text) => text.parse().expect("LANDFALL_FUZZ_SEED is a whole number"),
        Err(_) => 1,
    };
    let mut random = SmallRng::seed_from_u64(seed);
    let end = Instant::now() + DURATION;
    let mut inputs = 0u64;
    eprintln!("LANDFALL_FUZZ_SEED={seed}");
    // However slow the machine is, the seeds are through first.
    while inputs <= seeds.len() as u64 || Instant::now() < end {
        let input = match inputs.try_into().ok().and_then(|index: usize| seeds.get(index)) {
            Some(seed) => seed.clone(),
            None if random.random_ratio(1, 4) => noise(&mut random),
            None => damaged(seeds, &mut random),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("input {inputs} of seed {seed}: {input:02x?}");
            resume_unwind(panic);
        }
        inputs += 1;
    }
    eprintln!("{inputs} inputs");
}

fn damaged(seeds: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..=random.random_range(0..3) {
        let at = random.random_range(0..input.len());
        let byte: u8 = random.random();
        match random.random_range(0..7) {
            0 => input[at] = byte,
            1 => input[at] ^= 1 << (byte % 8),
            2 => input[at] = input[at].wrapping_add(byte % 3).wrapping_sub(1),
            3 => input.insert(at, byte),
            4 if input.len() > 1 => drop(input.remove(at)),
            5 => input.truncate(at.max(1)),
            _ => {
                // A part of another one, which keeps whole fields together.
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..other.len());
                input.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    input
}

fn noise(random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..INPUT_SIZE_MAX)];
    random.fill(&mut bytes[..]);
    bytes
}
