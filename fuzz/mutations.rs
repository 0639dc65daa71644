//! Feeds a fuzz target's seeds, and mutations of them, to its entry on stable Rust.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mutations of each seed.
const MUTATIONS: u64 = 1000;

/// Breaks `data` in a few places: bytes changed, cut off, repeated, or put between.
fn mutate(mut data: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'0', b'9'];
    for _ in 0..random.random_range(1..=4) {
        if data.is_empty() {
            return data;
        }
        let at = random.random_range(0..data.len());
        match random.random_range(0..5) {
            0 => data[at] ^= 1 << random.random_range(0..8),
            1 => data[at] = TELLING[random.random_range(0..TELLING.len())],
            2 => data.truncate(at),
            3 => data.insert(at, TELLING[random.random_range(0..TELLING.len())]),
            _ => {
                let end = (at + random.random_range(1..32)).min(data.len());
                let part = data[at..end].to_vec();
                let to = random.random_range(0..=data.len());
                data.splice(to..to, part);
            }
        }
    }
    data
}

/// Every seed in `folder` and its mutations come back from `entry` without a panic.
pub fn come_back(folder: impl AsRef<Path>, entry: fn(&[u8])) {
    let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let sound = std::fs::read(&seed).unwrap();
        entry(&sound);
        for mutation in 0..MUTATIONS {
            let data = mutate(sound.clone(), &mut ChaCha8Rng::seed_from_u64(mutation));
            let result = std::panic::catch_unwind(|| entry(&data));
            assert!(result.is_ok(), "{}, mutation {mutation}, panicked: {data:?}", seed.display());
        }
    }
}
