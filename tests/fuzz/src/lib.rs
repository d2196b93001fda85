//! What the fuzz targets call; apart from them, so that tests on a stable compiler call it too.

pub mod acl_file;
pub mod decoder;
pub mod payload;
pub mod proxy;
pub mod record;
pub mod seeds;
pub mod session;
pub mod token;
pub mod unpack;
pub mod websocket;

use std::path::Path;

/// Puts seeds into the corpus of a fuzz target, before the fuzzer reads it.
pub fn write_seeds(target: &str, seeds: &[Vec<u8>]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).expect("the corpus folder can be created");
    for (number, seed) in seeds.iter().enumerate() {
        let file = folder.join(format!("seed-{number:02}"));
        std::fs::write(file, seed).expect("a seed can be written");
    }
}
