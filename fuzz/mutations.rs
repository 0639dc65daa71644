//! Feeds a fuzz target's seeds, mutations of them and what grew out of them to its entry on stable Rust.

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

/// Every seed of `target` and its mutations come back from `entry` without a panic, and so does what grew out of the
/// seeds in long runs, as far as it was kept. `folder` is that of the fuzz targets.
pub fn come_back(folder: &Path, target: &str, entry: fn(&[u8])) {
    let seeds = files(&folder.join("seeds").join(target));
    assert!(!seeds.is_empty());
    for (name, sound) in seeds {
        entry(&sound);
        for mutation in 0..MUTATIONS {
            let data = mutate(sound.clone(), &mut ChaCha8Rng::seed_from_u64(mutation));
            let result = std::panic::catch_unwind(|| entry(&data));
            assert!(result.is_ok(), "{name}, mutation {mutation}, panicked: {data:?}");
        }
    }
    for (name, data) in files(&folder.join("grown").join(target)) {
        let result = std::panic::catch_unwind(|| entry(&data));
        assert!(result.is_ok(), "{name} panicked");
    }
}

/// The files of a folder with their names, in order; none where there is no folder.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}
