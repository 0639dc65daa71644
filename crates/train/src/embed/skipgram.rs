//! Skip-gram and CBOW with negative sampling (Mikolov et al. 2013, "Distributed representations of words and
//! phrases and their compositionality"), over words or over words and their n-grams of characters (Bojanowski
//! et al. 2017, "Enriching word vectors with subword information").
//!
//! One thread with one seed gives the same vectors every time. More threads step shared rows
//! ([`super::shared`]) and give others each time, as good ones.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::shared::SharedMatrix;
use nn::random;

/// How vectors are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learning {
    /// Values of a vector.
    pub dimensions: usize,
    /// Most words before and after that count as near; of each word a number from 1 to it is drawn.
    pub window: usize,
    /// Words drawn against each near one.
    pub negatives: usize,
    /// Times over the texts.
    pub epochs: usize,
    /// Size of a step at the beginning; it falls to nothing.
    pub rate: f32,
    /// Words more frequent than this share are left out now and then; 0 for never.
    pub subsample: f64,
    /// The near words together tell the one between, rather than it each of them.
    pub cbow: bool,
    /// Threads.
    pub threads: usize,
    /// Of everything random.
    pub seed: u64,
}

/// The rows that make a word's vector: its own and those of its parts.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Where the rows of each word begin, and last their number; empty where words have their own row alone.
    pub starts: Vec<usize>,
    /// Rows.
    pub rows: Vec<u32>,
}

impl Parts {
    /// The rows of the word at `place`, written to `to`.
    fn of(&self, place: u32, to: &mut Vec<u32>) {
        match self.starts.get(place as usize + 1) {
            Some(end) => to.extend_from_slice(&self.rows[self.starts[place as usize]..*end]),
            None => to.push(place),
        }
    }
}

/// Learns `input`, one row a word and a part, from texts of places of words that come `counts` times.
///
/// # Panics
/// A place that has no count or no row.
pub fn learn(
    texts: &[Vec<u32>],
    counts: &[u64],
    parts: &Parts,
    input: Vec<f32>,
    learning: &Learning,
    stop: &AtomicBool,
) -> Vec<f32> {
    let shared = Shared {
        input: SharedMatrix::new(&input, learning.dimensions),
        output: SharedMatrix::new(&vec![0.0; counts.len() * learning.dimensions], learning.dimensions),
        sampler: Sampler::new(counts),
        kept: kept(counts, learning.subsample),
        total: (learning.epochs * texts.iter().map(Vec::len).sum::<usize>()).max(1) as u64,
        done: AtomicU64::new(0),
    };
    let threads = learning.threads.clamp(1, texts.len().max(1));
    let each = texts.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (number, texts) in texts.chunks(each).enumerate() {
            let shared = &shared;
            scope.spawn(move || {
                let rng = random::stream(learning.seed, &format!("skip-gram:{number}"));
                Walker::new(shared, parts, learning, rng).walk(texts, stop);
            });
        }
    });
    shared.input.into_values()
}

/// The share of each word's places that is read (Mikolov et al. 2013, as word2vec computes it).
fn kept(counts: &[u64], subsample: f64) -> Vec<f32> {
    let total: u64 = counts.iter().sum();
    let share = |count: &u64| {
        let ratio = subsample * total as f64 / *count as f64;
        if subsample > 0.0 { ((ratio.sqrt() + ratio) as f32).min(1.0) } else { 1.0 }
    };
    counts.iter().map(share).collect()
}

/// Draws words by their counts to the power of 3/4, each draw in constant time (Walker 1977, the alias method).
struct Sampler {
    threshold: Vec<f32>,
    alias: Vec<u32>,
}

impl Sampler {
    fn new(counts: &[u64]) -> Sampler {
        let weights: Vec<f64> = counts.iter().map(|count| (*count as f64).powf(0.75)).collect();
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut share: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..share.len()).partition(|place| share[*place] < 1.0);
        let mut sampler = Sampler { threshold: vec![1.0; share.len()], alias: vec![0; share.len()] };
        while let (Some(low), Some(high)) = (small.pop(), large.pop()) {
            (sampler.threshold[low], sampler.alias[low]) = (share[low] as f32, high as u32);
            share[high] -= 1.0 - share[low];
            if share[high] < 1.0 { small.push(high) } else { large.push(high) }
        }
        sampler
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        let place = rng.random_range(0..self.threshold.len());
        if rng.random::<f32>() < self.threshold[place] { place as u32 } else { self.alias[place] }
    }
}

/// What all threads use.
struct Shared {
    input: SharedMatrix,
    output: SharedMatrix,
    sampler: Sampler,
    kept: Vec<f32>,
    total: u64,
    done: AtomicU64,
}

/// One thread's way through its texts.
struct Walker<'a> {
    shared: &'a Shared,
    parts: &'a Parts,
    learning: &'a Learning,
    rng: ChaCha8Rng,
    rows: Vec<u32>,
    targets: Vec<u32>,
    step: Step,
}

impl<'a> Walker<'a> {
    fn new(shared: &'a Shared, parts: &'a Parts, learning: &'a Learning, rng: ChaCha8Rng) -> Walker<'a> {
        let step = Step::new(shared.input.width());
        Walker { shared, parts, learning, rng, rows: Vec::new(), targets: Vec::new(), step }
    }

    fn walk(&mut self, texts: &[Vec<u32>], stop: &AtomicBool) {
        let mut read = Vec::new();
        for _ in 0..self.learning.epochs {
            for text in texts {
                if stop.load(Relaxed) {
                    return;
                }
                let done = self.shared.done.fetch_add(text.len() as u64, Relaxed);
                let left = 1.0 - done as f32 / self.shared.total as f32;
                let rate = self.learning.rate * left.max(1e-4);
                read.clear();
                for place in text {
                    let kept = self.shared.kept[*place as usize];
                    if kept >= 1.0 || self.rng.random::<f32>() < kept {
                        read.push(*place);
                    }
                }
                self.text(&read, rate);
            }
        }
    }

    fn text(&mut self, text: &[u32], rate: f32) {
        for (at, &word) in text.iter().enumerate() {
            let reach = self.rng.random_range(1..=self.learning.window);
            let near =
                (at.saturating_sub(reach)..(at + reach + 1).min(text.len())).filter(|other| *other != at);
            self.rows.clear();
            match self.learning.cbow {
                true => {
                    near.for_each(|other| self.parts.of(text[other], &mut self.rows));
                    if !self.rows.is_empty() {
                        self.against(word, rate);
                    }
                }
                false => {
                    self.parts.of(word, &mut self.rows);
                    near.for_each(|other| self.against(text[other], rate));
                }
            }
        }
    }

    /// One step of the rows that are set towards `target` and away from words drawn.
    fn against(&mut self, target: u32, rate: f32) {
        self.targets.clear();
        self.targets.push(target);
        for _ in 0..self.learning.negatives {
            let drawn = self.shared.sampler.draw(&mut self.rng);
            if drawn != target {
                self.targets.push(drawn);
            }
        }
        self.step.take(&self.shared.input, &self.shared.output, &self.rows, &self.targets, rate);
    }
}

/// Memory of a step.
struct Step {
    hidden: Vec<f32>,
    gradient: Vec<f32>,
    output: Vec<f32>,
}

impl Step {
    fn new(width: usize) -> Step {
        Step { hidden: vec![0.0; width], gradient: vec![0.0; width], output: vec![0.0; width] }
    }

    /// Steps down `-ln s(h v_0) - sum ln s(-h v_k)`, h the mean of `rows` of `input` and v the rows `targets` of
    /// `output`, the first of them the one to be near. Every row of h moves by the whole gradient with respect
    /// to h, as fastText's program has it.
    fn take(
        &mut self,
        input: &SharedMatrix,
        output: &SharedMatrix,
        rows: &[u32],
        targets: &[u32],
        rate: f32,
    ) {
        let Step { hidden, gradient, output: row } = self;
        match rows {
            [one] => input.load(*one as usize, hidden),
            rows => {
                hidden.fill(0.0);
                rows.iter().for_each(|row| input.add_to(*row as usize, hidden));
                let share = 1.0 / rows.len() as f32;
                hidden.iter_mut().for_each(|value| *value *= share);
            }
        }
        gradient.fill(0.0);
        for (place, target) in targets.iter().enumerate() {
            output.load(*target as usize, row);
            let score = dot(hidden, row);
            let label = if place == 0 { 1.0 } else { 0.0 };
            let by = rate * (label - sigmoid(score));
            for ((sum, row), hidden) in gradient.iter_mut().zip(row.iter_mut()).zip(hidden.iter()) {
                *sum += by * *row;
                *row += by * hidden;
            }
            output.store(*target as usize, row);
        }
        rows.iter().for_each(|row| input.add(*row as usize, gradient));
    }
}

/// Sum of the products, in parts that the compiler keeps side by side.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0.0f32; 8];
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        parts.iter_mut().zip(a.iter().zip(b)).for_each(|(part, (a, b))| *part += a * b);
    }
    parts.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(hidden: &[f64], rows: &[Vec<f64>]) -> f64 {
        let score = |row: &Vec<f64>| hidden.iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
        let term = |(place, row): (usize, &Vec<f64>)| {
            let sign = if place == 0 { 1.0 } else { -1.0 };
            (1.0 + (-sign * score(row)).exp()).ln()
        };
        rows.iter().enumerate().map(term).sum()
    }

    #[test]
    fn a_step_goes_down_the_gradient() {
        let values = |from: usize, count: usize| -> Vec<f32> {
            (0..count).map(|at| ((from + at) as f32 * 0.7).sin() * 0.8).collect()
        };
        let (dimensions, rate) = (5, 1e-3f32);
        let (input, output) = (values(0, 4 * dimensions), values(50, 4 * dimensions));
        let (rows, targets) = ([0u32, 2], [3u32, 1, 2]);
        let shared = (SharedMatrix::new(&input, dimensions), SharedMatrix::new(&output, dimensions));
        Step::new(shared.0.width()).take(&shared.0, &shared.1, &rows, &targets, rate);
        let row = |values: &[f32], place: u32| -> Vec<f64> {
            values[place as usize * dimensions..][..dimensions].iter().map(|v| f64::from(*v)).collect()
        };
        let (a, b) = (row(&input, 0), row(&input, 2));
        let hidden: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
        let out: Vec<Vec<f64>> = targets.iter().map(|target| row(&output, *target)).collect();
        let (stepped_in, stepped_out) = (shared.0.into_values(), shared.1.into_values());
        for at in 0..dimensions {
            let slope = |change: &dyn Fn(f64) -> f64| (change(1e-5) - change(-1e-5)) / 2e-5;
            let by_hidden = slope(&|by| {
                let mut moved = hidden.clone();
                moved[at] += by;
                loss(&moved, &out)
            });
            for place in rows {
                let moved = f64::from(stepped_in[place as usize * dimensions + at]) - row(&input, place)[at];
                assert!((moved + f64::from(rate) * by_hidden).abs() < 1e-7, "{moved} {by_hidden}");
            }
            for (number, target) in targets.iter().enumerate() {
                let by_output = slope(&|by| {
                    let mut moved = out.clone();
                    moved[number][at] += by;
                    loss(&hidden, &moved)
                });
                let moved =
                    f64::from(stepped_out[*target as usize * dimensions + at]) - row(&output, *target)[at];
                assert!((moved + f64::from(rate) * by_output).abs() < 1e-7, "{moved} {by_output}");
            }
        }
    }

    #[test]
    fn words_are_drawn_by_the_power_of_their_counts() {
        let counts = [1000, 100, 10, 1];
        let sampler = Sampler::new(&counts);
        let mut rng = random::stream(0, "test");
        let mut drawn = [0.0f64; 4];
        (0..200_000).for_each(|_| drawn[sampler.draw(&mut rng) as usize] += 1.0);
        let total: f64 = counts.iter().map(|count| (*count as f64).powf(0.75)).sum();
        for (drawn, count) in drawn.iter().zip(counts) {
            let expected = (count as f64).powf(0.75) / total;
            assert!((drawn / 200_000.0 - expected).abs() < 0.005, "{count}: {drawn} {expected}");
        }
    }

    /// The same run in double precision, as plainly as it can be written.
    fn plain(texts: &[Vec<u32>], counts: &[u64], input: &[f32], learning: &Learning) -> Vec<f64> {
        let d = learning.dimensions;
        let mut input: Vec<f64> = input.iter().map(|value| f64::from(*value)).collect();
        let mut output = vec![0.0f64; counts.len() * d];
        let (sampler, kept) = (Sampler::new(counts), kept(counts, learning.subsample));
        let mut rng = random::stream(learning.seed, "skip-gram:0");
        let total = learning.epochs * texts.iter().map(Vec::len).sum::<usize>();
        let mut done = 0;
        for _ in 0..learning.epochs {
            for text in texts {
                let rate = learning.rate * (1.0 - done as f32 / total as f32).max(1e-4);
                done += text.len();
                let read: Vec<u32> = text
                    .iter()
                    .copied()
                    .filter(|place| {
                        let kept = kept[*place as usize];
                        kept >= 1.0 || rng.random::<f32>() < kept
                    })
                    .collect();
                for at in 0..read.len() {
                    let reach = rng.random_range(1..=learning.window);
                    let near: Vec<usize> =
                        (0..read.len()).filter(|other| *other != at && other.abs_diff(at) <= reach).collect();
                    let steps: Vec<(Vec<u32>, u32)> = match learning.cbow {
                        true if near.is_empty() => Vec::new(),
                        true => vec![(near.iter().map(|other| read[*other]).collect(), read[at])],
                        false => near.iter().map(|other| (vec![read[at]], read[*other])).collect(),
                    };
                    for (rows, target) in steps {
                        let mut targets = vec![target];
                        for _ in 0..learning.negatives {
                            let drawn = sampler.draw(&mut rng);
                            if drawn != target {
                                targets.push(drawn);
                            }
                        }
                        let mean = |at: usize| {
                            rows.iter().map(|row| input[*row as usize * d + at]).sum::<f64>()
                                / rows.len() as f64
                        };
                        let hidden: Vec<f64> = (0..d).map(mean).collect();
                        let mut gradient = vec![0.0; d];
                        for (place, target) in targets.iter().enumerate() {
                            let row = &mut output[*target as usize * d..][..d];
                            let score: f64 = hidden.iter().zip(row.iter()).map(|(a, b)| a * b).sum();
                            let label = if place == 0 { 1.0 } else { 0.0 };
                            let by = f64::from(rate) * (label - 1.0 / (1.0 + (-score).exp()));
                            for ((sum, row), hidden) in gradient.iter_mut().zip(row).zip(&hidden) {
                                *sum += by * *row;
                                *row += by * hidden;
                            }
                        }
                        for row in &rows {
                            (0..d).for_each(|at| input[*row as usize * d + at] += gradient[at]);
                        }
                    }
                }
            }
        }
        input
    }

    #[test]
    fn a_whole_run_agrees_with_a_plain_one() {
        let mut rng = random::stream(1, "texts");
        let texts: Vec<Vec<u32>> = (0..30)
            .map(|_| (0..20).map(|_| rng.random_range(0..9u32).min(rng.random_range(0..9))).collect())
            .collect();
        let mut counts = vec![0u64; 9];
        texts.iter().flatten().for_each(|place| counts[*place as usize] += 1);
        let input: Vec<f32> = (0..9 * 6).map(|_| rng.random_range(-0.1..0.1f32)).collect();
        for cbow in [false, true] {
            let learning = Learning {
                dimensions: 6,
                window: 3,
                negatives: 4,
                epochs: 3,
                rate: 0.05,
                subsample: 0.05,
                cbow,
                threads: 1,
                seed: 4,
            };
            let never = AtomicBool::new(false);
            let got = learn(&texts, &counts, &Parts::default(), input.clone(), &learning, &never);
            let expected = plain(&texts, &counts, &input, &learning);
            let moved = got.iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(moved > 0.05, "{moved}");
            for (a, b) in got.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{a} {b}");
            }
            let again = learn(&texts, &counts, &Parts::default(), input.clone(), &learning, &never);
            assert_eq!(got, again);
        }
    }

    #[test]
    fn words_used_alike_come_near_with_any_number_of_threads() {
        // 0 and 1 stand beside 2 and 3; 4 and 5 beside 6 and 7.
        let mut rng = random::stream(2, "texts");
        let mut text = |group: u32| -> Vec<u32> {
            (0..12).map(|at| 4 * group + 2 * (at % 2) + rng.random_range(0..2)).collect()
        };
        let texts: Vec<Vec<u32>> = (0..2000).map(|number| text(number % 2)).collect();
        let counts = vec![3000; 8];
        for threads in [1, 3] {
            let learning = Learning {
                dimensions: 8,
                window: 2,
                negatives: 3,
                epochs: 3,
                rate: 0.05,
                subsample: 0.0,
                cbow: false,
                threads,
                seed: 0,
            };
            let start: Vec<f32> = (0..64).map(|at| (at as f32 * 1.3).sin() * 0.05).collect();
            let got = learn(&texts, &counts, &Parts::default(), start, &learning, &AtomicBool::new(false));
            let cosine = |a: usize, b: usize| {
                let (a, b) = (&got[8 * a..8 * a + 8], &got[8 * b..8 * b + 8]);
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            };
            assert!(cosine(0, 1) > cosine(0, 4) + 0.3 && cosine(4, 5) > cosine(4, 1) + 0.3, "{threads}");
        }
    }
}
