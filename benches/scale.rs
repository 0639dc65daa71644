//! How far one machine goes: the same questions over more and more interactions, up to a hundred million.
//!
//! `cargo bench --bench scale -- 1 10 30 100` invents so many million interactions (seeded; 20,000 items, one person for
//! every fifty interactions), loads them as the server does, and asks for recommendations of people drawn evenly: a
//! hundred nearest neighbors, the scores of their items, the ten best. Each size prints one JSON line. What a size takes
//! is said before it begins, and it is refused where that does not fit into the memory that is free.

use std::hint::black_box;
use std::time::{Duration, Instant};

use recommend::{Loader, Weighing};

mod cosine;
mod invented;
mod memory;

use cosine::{push, request};
use invented::generate;
use memory::{kibibytes, resident_bytes};

type Error = Box<dyn std::error::Error>;

const ITEMS: u32 = 20_000;
const INTERACTIONS_A_PERSON: u64 = 50;
/// Interactions that are invented at once, and then loaded: only that is timed.
const BATCH: usize = 1 << 16;
/// People who are asked about.
const ASKED: u32 = 300;
/// Each request is made so often in a row and the fastest counts: what else the machine does is not measured.
const REPEATS: usize = 5;
/// While loading an interaction is kept twice: as it came (12 bytes) and in its row (8). At rest it takes 14.
const BYTES_AN_INTERACTION: u64 = 20;
/// Of a person: the identifier with its place in tables, and sums.
const BYTES_A_PERSON: u64 = 200;

fn main() -> Result<(), Error> {
    let mut millions = Vec::new();
    // What cargo adds begins with a dash.
    for word in std::env::args().skip(1).filter(|word| !word.starts_with('-')) {
        let number: f64 = word.parse().map_err(|_| format!("{word:?} is no number of millions"))?;
        if !(number.is_finite() && (0.01..=1000.0).contains(&number)) {
            return Err(format!("{word} million: from 0.01 to 1000 are simulated").into());
        }
        millions.push(number);
    }
    if millions.is_empty() {
        millions = vec![1.0, 10.0];
    }
    millions.sort_by(f64::total_cmp);
    for million in millions {
        simulate((million * 1e6) as u64)?;
    }
    Ok(())
}

fn simulate(interactions: u64) -> Result<(), Error> {
    let users = u32::try_from(interactions / INTERACTIONS_A_PERSON)?.max(ASKED);
    let needed = interactions * BYTES_AN_INTERACTION + u64::from(users) * BYTES_A_PERSON;
    let gib = |bytes: u64| bytes as f64 / f64::from(1u32 << 30);
    let free = kibibytes("/proc/meminfo", "MemAvailable:");
    let of = free.map_or(String::new(), |free| format!(" of the {:.1} GiB that are free", gib(free)));
    eprintln!("{interactions} interactions of {users} people take about {:.1} GiB{of}", gib(needed));
    if free.is_some_and(|free| needed > free) {
        return Err("that does not fit into memory: simulate fewer, or spread them over a cluster".into());
    }
    let mut loader = Loader::new(Weighing::default());
    let mut invented: Vec<(u32, u32, f32)> = Vec::with_capacity(BATCH);
    let mut loading = Duration::ZERO;
    let mut load = |invented: &mut Vec<(u32, u32, f32)>, loader: &mut Loader| {
        let start = Instant::now();
        invented.drain(..).for_each(|(user, item, weight)| push(loader, user, item, weight));
        loading += start.elapsed();
    };
    let Ok(()) = generate(users, ITEMS, interactions, |user, item, weight| {
        invented.push((user, item, weight));
        if invented.len() == BATCH {
            load(&mut invented, &mut loader);
        }
        Ok::<(), std::convert::Infallible>(())
    });
    load(&mut invented, &mut loader);
    let start = Instant::now();
    let layers = loader.finish();
    let load_seconds = (loading + start.elapsed()).as_secs_f64();
    let resident = resident_bytes("VmRSS:");

    let mut times = Vec::new();
    for number in 0..ASKED {
        let user = (u64::from(number) * u64::from(users) / u64::from(ASKED)) as u32;
        let user = layers.users.get(&format!("{user:08}")).ok_or("a person is missing")?;
        let answered = || {
            let start = Instant::now();
            black_box(request(&layers, black_box(user)));
            start.elapsed().as_secs_f64() * 1e3
        };
        times.push((0..REPEATS).map(|_| answered()).fold(f64::INFINITY, f64::min));
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let entries = layers.entry_count();
    println!(
        "{}",
        serde_json::json!({
            "interactions": entries,
            "users": layers.users.len(),
            "items": layers.items.len(),
            "estimated_bytes": needed,
            "peak_resident_bytes": resident_bytes("VmHWM:"),
            "resident_bytes": resident,
            "matrix_bytes_per_interaction": layers.memory() as f64 / entries as f64,
            "load_seconds": load_seconds,
            "p50_ms": at(0.5),
            "p90_ms": at(0.9),
            "p99_ms": at(0.99),
        })
    );
    Ok(())
}
