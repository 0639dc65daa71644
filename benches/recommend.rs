//! How long a recommendation takes: one user's hundred nearest neighbors, the scores of their
//! items, the ten best.
//!
//! Three programs in one, all over the same invented interactions (popularity 1/rank^0.8,
//! log-normal activity, seeded):
//!
//! - `cargo bench --bench recommend`: criterion, over three numbers of users
//! - `... -- generate USERS ITEMS INTERACTIONS FILE`: writes the interactions for others to read, little-endian
//!   (u32 user, u32 item, f32 weight), or as CSV where the file is named so
//! - `... -- answer FILE`: loads such a file, prints one JSON line about it, then answers every
//!   user number on a line of standard input with a JSON line of the time and the result:
//!   `benches/peers/recommend.py` asks other people's software the same in turn

use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::time::Instant;

use criterion::{BenchmarkId, Criterion};
use recommend::{Layers, Loader, Weighing};

mod cosine;
mod invented;
mod memory;

use cosine::{Ranked, push, request};
use invented::generate;
use memory::resident_bytes;

type Error = Box<dyn std::error::Error>;

/// Each request is made so often in a row and the fastest counts, here and for the peers: turn by
/// turn, the caches and the processor are the other program's at first.
const REPEATS: usize = 3;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", users, items, interactions, file, ..] => {
            let mut out = BufWriter::new(std::fs::File::create(file)?);
            let csv = file.ends_with(".csv");
            if csv {
                writeln!(out, "user,item,weight")?;
            }
            generate(users.parse()?, items.parse()?, interactions.parse()?, |user, item, weight| {
                if csv {
                    return writeln!(out, "{user},{item},{weight}");
                }
                out.write_all(&user.to_le_bytes())?;
                out.write_all(&item.to_le_bytes())?;
                out.write_all(&weight.to_le_bytes())
            })?;
            out.flush()?;
            Ok(())
        }
        ["answer", file, ..] => answer(file),
        _ => {
            criterion();
            Ok(())
        }
    }
}

fn answer(file: &str) -> Result<(), Error> {
    let start = Instant::now();
    let mut input = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
    let mut loader = Loader::new(Weighing::default());
    let mut record = [0u8; 12];
    while input.read_exact(&mut record).is_ok() {
        let word = |at: usize| [record[at], record[at + 1], record[at + 2], record[at + 3]];
        let (user, item) = (u32::from_le_bytes(word(0)), u32::from_le_bytes(word(4)));
        push(&mut loader, user, item, f32::from_le_bytes(word(8)));
    }
    let layers = loader.finish();
    let seconds = start.elapsed().as_secs_f64();
    let entries = layers.entry_count();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}",
        serde_json::json!({
            "users": layers.users.len(),
            "items": layers.items.len(),
            "interactions": entries,
            "load_seconds": seconds,
            "bytes_per_interaction": layers.memory() as f64 / entries as f64,
            "peak_resident_bytes": resident_bytes("VmHWM:"),
        })
    )?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let user = layers.users.get(&format!("{:08}", line.trim().parse::<u32>()?));
        let user = user.ok_or_else(|| format!("no user {line}"))?;
        let mut fastest = u64::MAX;
        let mut found = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let start = Instant::now();
            found = black_box(request(&layers, black_box(user)));
            fastest = fastest.min(start.elapsed().as_nanos() as u64);
        }
        let (neighbors, items) = found;
        let touched: u32 = layers.row(user).items.iter().map(|&i| column_len(&layers, i)).sum();
        let named = |names: &dyn Fn(u32) -> u32, list: Ranked| -> Ranked {
            list.into_iter().map(|(number, value)| (names(number), value)).collect()
        };
        let user_number = |u: u32| layers.users.name(u).parse().unwrap_or(u32::MAX);
        let item_number = |i: u32| layers.items.name(i).parse().unwrap_or(u32::MAX);
        writeln!(
            out,
            "{}",
            serde_json::json!({
                "ns": fastest,
                "touched": touched,
                "neighbors": named(&user_number, neighbors),
                "items": named(&item_number, items),
            })
        )?;
        out.flush()?;
    }
    Ok(())
}

fn column_len(layers: &Layers, item: u32) -> u32 {
    let [base, _] = layers.matrices();
    base.matrix.blocks().iter().map(|block| block.column_len(item) as u32).sum()
}

/// Three sizes with columns of the same length: one, four and sixteen regions of people who share
/// items within their region only. The time should hardly grow.
fn criterion() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("recommend");
    let (users, items, interactions) = (6_000, 3_000, 300_000);
    for regions in [1, 4, 16] {
        let mut loader = Loader::new(Weighing::default());
        for region in 0..regions {
            let Ok(()) = generate(users, items, interactions, |user, item, weight| {
                push(&mut loader, region * users + user, region * items + item, weight);
                Ok::<(), std::convert::Infallible>(())
            });
        }
        let layers = loader.finish();
        let mut user = 0;
        group.bench_function(BenchmarkId::from_parameter(users * regions), |bencher| {
            bencher.iter(|| {
                user = (user + 997) % users;
                black_box(request(&layers, user))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
