//! Invented interactions: shared by the benches of the recommender.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 20_240_501;

/// Invents interactions: each user draws distinct items by popularity, as many as a log-normal
/// law (sigma 1) says, scaled to the total asked for. Weights are 0.5 to 5 in steps of a half.
pub fn generate<E>(
    users: u32,
    items: u32,
    interactions: u64,
    mut visit: impl FnMut(u32, u32, f32) -> Result<(), E>,
) -> Result<(), E> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut uniform = move || rng.random::<f64>();
    let mut cumulative = Vec::with_capacity(items as usize);
    let mut sum = 0.0;
    for rank in 1..=items {
        sum += f64::from(rank).powf(-0.8);
        cumulative.push(sum);
    }
    let mut activity = Vec::with_capacity(users as usize);
    for _ in 0..users {
        let (a, b) = (uniform().max(1e-300), uniform());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        activity.push(normal.exp());
    }
    let scale = interactions as f64 / activity.iter().sum::<f64>();
    let mut drawn = vec![u32::MAX; items as usize];
    for user in 0..users {
        let count = (activity[user as usize] * scale).round().clamp(1.0, f64::from(items) / 2.0);
        let mut left = count as u64;
        while left > 0 {
            let at = uniform() * sum;
            let item = cumulative.partition_point(|&c| c <= at).min(items as usize - 1);
            if drawn[item] != user {
                drawn[item] = user;
                left -= 1;
                visit(user, item as u32, (uniform() * 10.0).floor() as f32 * 0.5 + 0.5)?;
            }
        }
    }
    Ok(())
}

/// Identifiers whose order is that of the numbers, as the peers have no identifiers.
pub fn name(number: u32) -> String {
    format!("{number:08}")
}
