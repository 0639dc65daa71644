//! What words count, what all texts share, and the order of a vector's values.

use anyhow::{Result, bail};

use super::skipgram::dot;
use nn::random;
use text::vectors::to_unit;

/// Rounds of the power method.
const ROUNDS: usize = 50;
/// Sweeps of Jacobi's method.
const SWEEPS: usize = 30;
/// More values than these are not brought into order: it would take too long.
pub const MOST_ORDERED: usize = 400;

/// How words are weighted where that is not learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Weighting {
    /// a / (a + p), p the word's share of all words (Arora, Liang and Ma 2017)
    Sif,
    /// The logarithm of the word's rarity among the texts
    Idf,
}

/// a / (a + p) for words that come `counts` times, and last for one that never does.
pub fn smooth_inverse_frequency(counts: &[u64], a: f64) -> Vec<f32> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let weight = |count: &u64| (a / (a + *count as f64 / total)) as f32;
    counts.iter().map(weight).chain([1.0]).collect()
}

/// ln(1 + texts / those with the word), and last for a word that one text has.
pub fn inverse_document_frequency(texts: &[Vec<u32>], words: usize) -> Vec<f32> {
    let mut with = vec![0u32; words];
    let mut last = vec![usize::MAX; words];
    for (number, text) in texts.iter().enumerate() {
        for word in text {
            let word = *word as usize;
            if last[word] != number {
                (last[word], with[word]) = (number, with[word] + 1);
            }
        }
    }
    let weight = |with: u32| (1.0 + texts.len() as f64 / f64::from(with.max(1))).ln() as f32;
    with.into_iter().map(weight).chain([weight(1)]).collect()
}

/// The `count` strongest directions of `rows`, each of `dimensions` values: of length 1, at right angles, row
/// after row (the first right singular vectors, by the power method).
pub fn strongest(rows: &[Vec<f32>], dimensions: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut rng = random::stream(seed, "common");
    let mut found: Vec<Vec<f32>> = Vec::new();
    for _ in 0..count {
        let mut direction: Vec<f32> = (0..dimensions).map(|_| random::normal(&mut rng)).collect();
        for _ in 0..ROUNDS {
            let mut next = vec![0.0f32; dimensions];
            for row in rows {
                let share = dot(row, &direction);
                next.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
            }
            for earlier in &found {
                let share = dot(earlier, &next);
                next.iter_mut().zip(earlier).for_each(|(value, part)| *value -= share * part);
            }
            to_unit(&mut next);
            direction = next;
        }
        found.push(direction);
    }
    found.concat()
}

/// Turns `table`, so that products stay what they are and the first values of `texts`' vectors say the most:
/// then fewer of them are still worth something (principal axes, by Jacobi's method).
///
/// # Errors
/// Vectors that are no numbers.
pub fn order(table: &mut [f32], common: &mut [f32], texts: &[Vec<f32>], dimensions: usize) -> Result<()> {
    let mut moments = vec![0.0f64; dimensions * dimensions];
    for text in texts {
        for (at, a) in text.iter().enumerate() {
            let row = &mut moments[at * dimensions..][..dimensions];
            row.iter_mut().zip(text).for_each(|(sum, b)| *sum += f64::from(*a) * f64::from(*b));
        }
    }
    if moments.iter().any(|value| !value.is_finite()) {
        bail!("the vectors are no numbers; a smaller --lr may help")
    }
    let axes = principal_axes(moments, dimensions);
    let mut turned = vec![0.0f32; dimensions];
    for row in table.chunks_exact_mut(dimensions).chain(common.chunks_exact_mut(dimensions)) {
        turned.iter_mut().zip(axes.chunks_exact(dimensions)).for_each(|(to, axis)| *to = dot(axis, row));
        row.copy_from_slice(&turned);
    }
    Ok(())
}

/// The eigenvectors of a symmetric matrix, that of the highest value first, row after row.
fn principal_axes(mut matrix: Vec<f64>, n: usize) -> Vec<f32> {
    // Rows are axes: turning two axes changes two rows of it.
    let mut axes = vec![0.0f64; n * n];
    (0..n).for_each(|at| axes[at * n + at] = 1.0);
    let scale = (0..n).map(|at| matrix[at * n + at].abs()).fold(0.0, f64::max).max(1e-300);
    for _ in 0..SWEEPS {
        let mut largest = 0.0f64;
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p * n + q];
                largest = largest.max(off.abs());
                if off.abs() < 1e-12 * scale {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (kp, kq) = (matrix[k * n + p], matrix[k * n + q]);
                    (matrix[k * n + p], matrix[k * n + q]) = (c * kp - s * kq, s * kp + c * kq);
                }
                for k in 0..n {
                    let (pk, qk) = (matrix[p * n + k], matrix[q * n + k]);
                    (matrix[p * n + k], matrix[q * n + k]) = (c * pk - s * qk, s * pk + c * qk);
                    let (pk, qk) = (axes[p * n + k], axes[q * n + k]);
                    (axes[p * n + k], axes[q * n + k]) = (c * pk - s * qk, s * pk + c * qk);
                }
            }
        }
        if largest < 1e-9 * scale {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| matrix[b * n + b].total_cmp(&matrix[a * n + a]));
    order.into_iter().flat_map(|at| axes[at * n..][..n].iter().map(|value| *value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_count_less() {
        let sif = smooth_inverse_frequency(&[900, 90, 10], 1e-2);
        assert!((sif[0] - 0.01 / 0.91).abs() < 1e-6 && sif[0] < sif[1] && sif[1] < sif[2], "{sif:?}");
        assert_eq!(sif[3], 1.0);
        let idf = inverse_document_frequency(&[vec![0, 0, 1], vec![0], vec![0, 2]], 3);
        assert!((idf[0] - 2f32.ln()).abs() < 1e-6 && (idf[1] - 4f32.ln()).abs() < 1e-6, "{idf:?}");
        assert_eq!(idf[3], idf[1]);
    }

    #[test]
    fn the_strongest_directions_come_first_and_at_right_angles() {
        let rows: Vec<Vec<f32>> = (0..60)
            .map(|at| {
                let x = at as f32;
                vec![5.0 + 0.1 * x.sin(), 2.0 * (x * 0.9).cos(), 0.3 * (x * 2.3).sin()]
            })
            .collect();
        let both = strongest(&rows, 3, 2, 0);
        assert!(both[0].abs() > 0.99 && both[4].abs() > 0.99, "{both:?}");
        assert!(dot(&both[..3], &both[3..]).abs() < 1e-5);
    }

    #[test]
    fn turning_changes_no_product_and_puts_what_says_most_first() {
        let texts: Vec<Vec<f32>> = (0..80)
            .map(|at| (0..6).map(|d| ((at * (d + 3)) as f32 * 0.37).sin() * (d + 1) as f32).collect())
            .collect();
        let mut table: Vec<f32> = texts.concat();
        let before = table.clone();
        order(&mut table, &mut [], &texts, 6).unwrap();
        for (a, b) in [(0, 1), (3, 40), (7, 7)] {
            let product = |table: &[f32]| dot(&table[6 * a..6 * a + 6], &table[6 * b..6 * b + 6]);
            assert!((product(&before) - product(&table)).abs() < 1e-3);
        }
        let strength = |d: usize| table.chunks_exact(6).map(|row| row[d] * row[d]).sum::<f32>();
        assert!((1..6).all(|d| strength(d) <= strength(d - 1) * 1.001));
        let cross: f32 = table.chunks_exact(6).map(|row| row[0] * row[3]).sum();
        assert!(cross.abs() < 1e-2 * strength(0), "{cross}");
    }
}
