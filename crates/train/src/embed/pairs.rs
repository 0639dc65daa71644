//! Vectors of words fitted to pairs of a question and its answer.
//!
//! A text's vector is the sum of its words' at length 1. Of a batch, each question's vector should have a
//! higher product with its own answer's than with the others', and the other way round: the cross entropy of
//! the products over a temperature (van den Oord, Li and Vinyals 2018, "Representation learning with
//! contrastive predictive coding"; over questions and answers Henderson et al. 2017, "Efficient natural
//! language response suggestion"). What a word counts is the length of its vector, learned with it. Steps
//! are those of Adagrad (Duchi, Hazan and Singer 2011), which suit words as rare as most are.
//!
//! So that vectors are good for more than the questions that are there, some questions are replaced by a
//! stretch of their answer, and some are set among sentences that say nothing of the matter, as people
//! write them around what they want to know.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::skipgram::dot;
use nn::random;
use text::vectors::damped;

/// Words of a stretch of an answer.
const STRETCH: std::ops::Range<usize> = 6..30;
/// Most sentences around a question.
const MOST_ASIDES: usize = 6;

/// How vectors are fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitting {
    /// Times over the pairs.
    pub epochs: usize,
    /// Pairs that are told apart at a time.
    pub batch: usize,
    /// Size of a step at the beginning; it falls to nothing.
    pub rate: f32,
    /// What products are divided by.
    pub temperature: f32,
    /// Share of the questions that are replaced by a stretch of their answer.
    pub stretches: f32,
    /// Share of the questions that are set among other sentences.
    pub asides: f32,
    /// Share of a question's words that are left out.
    pub dropped: f32,
    /// Of everything random.
    pub seed: u64,
}

/// A text as places of words with what each counts, each word once.
pub type Bag = Vec<(u32, f32)>;

/// What is fitted to, as places of words.
pub struct Pairs<'a> {
    /// Questions.
    pub questions: &'a [Vec<u32>],
    /// Their answers.
    pub answers: &'a [Vec<u32>],
    /// Sentences that say nothing of the matter.
    pub asides: &'a [Vec<u32>],
}

/// The words of a text, each once, with what its number counts.
pub fn bag(words: &[u32]) -> Bag {
    let mut sorted = words.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], damped(same.len()))).collect()
}

/// Fits `table`, (words, dimensions), to pairs; `told` hears of every epoch's mean loss.
pub fn fit(
    table: &mut [f32],
    dimensions: usize,
    pairs: &Pairs,
    fitting: &Fitting,
    stop: &AtomicBool,
    mut told: impl FnMut(usize, f32),
) {
    let answers: Vec<Bag> = pairs.answers.iter().map(|answer| bag(answer)).collect();
    let mut order: Vec<usize> = (0..answers.len()).collect();
    let batch = fitting.batch.clamp(1, order.len().max(1));
    let batches = order.len() / batch;
    let mut squares = vec![0.0f32; table.len()];
    let mut step = 0;
    for epoch in 0..fitting.epochs {
        let mut rng = random::stream(fitting.seed, &format!("pairs:{epoch}"));
        order.shuffle(&mut rng);
        let mut total = 0.0;
        for own in order.chunks_exact(batch) {
            if stop.load(Relaxed) {
                return;
            }
            let questions: Vec<Bag> =
                own.iter().map(|pair| bag(&question(pairs, *pair, fitting, &mut rng))).collect();
            let answers: Vec<&Bag> = own.iter().map(|pair| &answers[*pair]).collect();
            let questions: Vec<&Bag> = questions.iter().collect();
            let (loss, gradient) = gradient(table, dimensions, &questions, &answers, fitting.temperature);
            total += loss;
            let rate = fitting.rate * (1.0 - step as f32 / (fitting.epochs * batches) as f32);
            step += 1;
            for (word, own) in gradient {
                let at = word as usize * dimensions;
                let (row, squares) = (&mut table[at..at + dimensions], &mut squares[at..at + dimensions]);
                for ((value, square), slope) in row.iter_mut().zip(squares).zip(own) {
                    *square += slope * slope;
                    *value -= rate * slope / (square.sqrt() + 1e-8);
                }
            }
        }
        told(epoch, total / batches.max(1) as f32);
    }
}

/// The question of a pair as it is asked this time.
fn question(pairs: &Pairs, pair: usize, fitting: &Fitting, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let kind = rng.random::<f32>();
    let (question, answer) = (&pairs.questions[pair], &pairs.answers[pair]);
    if kind < fitting.stretches && answer.len() > STRETCH.start {
        let length = rng.random_range(STRETCH).min(answer.len());
        let from = rng.random_range(0..=answer.len() - length);
        return answer[from..from + length].to_vec();
    }
    let mut asked: Vec<u32> =
        question.iter().copied().filter(|_| rng.random::<f32>() >= fitting.dropped).collect();
    if kind < fitting.stretches + fitting.asides && !pairs.asides.is_empty() {
        for _ in 0..rng.random_range(1..=MOST_ASIDES) {
            asked.extend_from_slice(&pairs.asides[rng.random_range(0..pairs.asides.len())]);
        }
    }
    asked
}

/// A text's vector at length 1, and the length that it had.
fn vector(table: &[f32], dimensions: usize, bag: &Bag, to: &mut [f32]) -> f32 {
    to.fill(0.0);
    for (word, count) in bag {
        let row = &table[*word as usize * dimensions..][..dimensions];
        to.iter_mut().zip(row).for_each(|(sum, value)| *sum += count * value);
    }
    let length = dot(to, to).sqrt().max(1e-9);
    to.iter_mut().for_each(|value| *value /= length);
    length
}

/// The mean loss of a batch, and its gradient with respect to the words that are in it.
fn gradient(
    table: &[f32],
    dimensions: usize,
    questions: &[&Bag],
    answers: &[&Bag],
    temperature: f32,
) -> (f32, Vec<(u32, Vec<f32>)>) {
    let count = questions.len();
    let side = |bags: &[&Bag]| -> (Vec<f32>, Vec<f32>) {
        let mut vectors = vec![0.0; count * dimensions];
        let rows = vectors.chunks_exact_mut(dimensions);
        let lengths = bags.iter().zip(rows).map(|(bag, to)| vector(table, dimensions, bag, to)).collect();
        (vectors, lengths)
    };
    let ((q, q_lengths), (a, a_lengths)) = (side(questions), side(answers));
    let row = |vectors: &[f32], at: usize| -> std::ops::Range<usize> {
        debug_assert!(vectors.len() >= (at + 1) * dimensions);
        at * dimensions..(at + 1) * dimensions
    };
    let mut scores = vec![0.0f32; count * count];
    for (at, scores) in scores.chunks_exact_mut(count).enumerate() {
        let own = &q[row(&q, at)];
        scores
            .iter_mut()
            .enumerate()
            .for_each(|(to, score)| *score = dot(own, &a[row(&a, to)]) / temperature);
    }
    // Each way: what the scores' softmax has above the truth, and the logarithm of the truth's share.
    let mut slopes = vec![0.0f32; count * count];
    let mut loss = 0.0;
    let mut way = |place: &dyn Fn(usize, usize) -> usize| {
        for at in 0..count {
            let highest = (0..count).map(|to| scores[place(at, to)]).fold(f32::NEG_INFINITY, f32::max);
            let terms: Vec<f32> = (0..count).map(|to| (scores[place(at, to)] - highest).exp()).collect();
            let sum: f32 = terms.iter().sum();
            for (to, term) in terms.iter().enumerate() {
                slopes[place(at, to)] += (term / sum - if to == at { 1.0 } else { 0.0 }) / 2.0;
            }
            loss += (sum.ln() + highest - scores[place(at, at)]) / 2.0;
        }
    };
    way(&|question, answer| question * count + answer);
    way(&|answer, question| question * count + answer);
    let scale = 1.0 / (count as f32 * temperature);
    let (mut by_q, mut by_a) = (vec![0.0f32; q.len()], vec![0.0f32; a.len()]);
    for from in 0..count {
        for to in 0..count {
            let slope = slopes[from * count + to] * scale;
            if slope.abs() < 1e-9 {
                continue;
            }
            let (q, a) = (&q[row(&q, from)], &a[row(&a, to)]);
            by_q[from * dimensions..][..dimensions].iter_mut().zip(a).for_each(|(sum, x)| *sum += slope * x);
            by_a[to * dimensions..][..dimensions].iter_mut().zip(q).for_each(|(sum, x)| *sum += slope * x);
        }
    }
    let mut words: Vec<u32> =
        questions.iter().chain(answers).flat_map(|bag| bag.iter().map(|(word, _)| *word)).collect();
    words.sort_unstable();
    words.dedup();
    let mut places = vec![u32::MAX; table.len() / dimensions];
    words.iter().enumerate().for_each(|(place, word)| places[*word as usize] = place as u32);
    let mut sums = vec![0.0f32; words.len() * dimensions];
    let mut back = |bags: &[&Bag], vectors: &[f32], lengths: &[f32], by: &mut [f32]| {
        for (at, bag) in bags.iter().enumerate() {
            let (unit, by) = (&vectors[row(vectors, at)], &mut by[at * dimensions..][..dimensions]);
            // Length 1 is kept: only what is at right angles counts.
            let along = dot(unit, by);
            by.iter_mut().zip(unit).for_each(|(by, unit)| *by = (*by - along * unit) / lengths[at]);
            for (word, count) in bag.iter() {
                let sum = &mut sums[places[*word as usize] as usize * dimensions..][..dimensions];
                sum.iter_mut().zip(by.iter()).for_each(|(sum, by)| *sum += count * by);
            }
        }
    };
    back(questions, &q, &q_lengths, &mut by_q);
    back(answers, &a, &a_lengths, &mut by_a);
    let rows = sums.chunks_exact(dimensions).map(<[f32]>::to_vec);
    (loss / count as f32, words.into_iter().zip(rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(words: usize, dimensions: usize) -> Vec<f32> {
        (0..words * dimensions).map(|at| (at as f32 * 1.7).sin() * 0.7).collect()
    }

    /// The mean loss in double precision, as plainly as it can be written.
    fn loss(table: &[f64], d: usize, questions: &[&Bag], answers: &[&Bag], temperature: f64) -> f64 {
        let vector = |bag: &Bag| {
            let value = |at: usize| {
                bag.iter().map(move |(word, count)| f64::from(*count) * table[*word as usize * d + at])
            };
            let sum: Vec<f64> = (0..d).map(|at| value(at).sum()).collect();
            let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
            sum.into_iter().map(|x| x / length).collect::<Vec<f64>>()
        };
        let q: Vec<Vec<f64>> = questions.iter().map(|bag| vector(bag)).collect();
        let a: Vec<Vec<f64>> = answers.iter().map(|bag| vector(bag)).collect();
        let score =
            |i: usize, j: usize| q[i].iter().zip(&a[j]).map(|(x, y)| x * y).sum::<f64>() / temperature;
        let n = q.len();
        let each = |i: usize| {
            let there = (0..n).map(|j| score(i, j).exp()).sum::<f64>().ln();
            let back = (0..n).map(|j| score(j, i).exp()).sum::<f64>().ln();
            (there + back) / 2.0 - score(i, i)
        };
        (0..n).map(each).sum::<f64>() / n as f64
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (words, d, temperature) = (7, 4, 0.3);
        let table = table(words, d);
        let bags = [bag(&[0, 1, 1]), bag(&[2]), bag(&[3, 4]), bag(&[1, 5]), bag(&[2, 2, 0]), bag(&[6, 3])];
        let questions: Vec<&Bag> = bags[..3].iter().collect();
        let answers: Vec<&Bag> = bags[3..].iter().collect();
        let (got, gradient) = gradient(&table, d, &questions, &answers, temperature);
        let wide: Vec<f64> = table.iter().map(|value| f64::from(*value)).collect();
        let plain = |table: &[f64]| loss(table, d, &questions, &answers, f64::from(temperature));
        assert!((f64::from(got) - plain(&wide)).abs() < 1e-5);
        assert_eq!(gradient.len(), words);
        for (word, slopes) in gradient {
            for (at, slope) in slopes.iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = wide.clone();
                    moved[word as usize * d + at] += by;
                    plain(&moved)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(*slope) - expected).abs() < 1e-4, "{word} {at}: {slope} {expected}");
            }
        }
    }

    #[test]
    fn questions_come_to_their_answers_and_asides_to_nothing() {
        // Words 0..40 are of matters, 40..44 are said around them.
        let questions: Vec<Vec<u32>> = (0..20).map(|matter| vec![matter]).collect();
        let answers: Vec<Vec<u32>> =
            (0..20).map(|matter| vec![matter, 20 + matter, 20 + (matter + 7) % 20]).collect();
        let asides: Vec<Vec<u32>> = (40..44).map(|word| vec![word]).collect();
        let pairs = Pairs { questions: &questions, answers: &answers, asides: &asides };
        let fitting = Fitting {
            epochs: 60,
            batch: 10,
            rate: 0.05,
            temperature: 0.1,
            stretches: 0.1,
            asides: 0.5,
            dropped: 0.0,
            seed: 3,
        };
        let (d, mut table) = (12, table(44, 12));
        let mut losses = Vec::new();
        fit(&mut table, d, &pairs, &fitting, &AtomicBool::new(false), |_, loss| losses.push(loss));
        assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
        let length = |word: usize| dot(&table[word * d..][..d], &table[word * d..][..d]).sqrt();
        let mean =
            |words: std::ops::Range<usize>| words.clone().map(length).sum::<f32>() / words.len() as f32;
        assert!(mean(40..44) < 0.6 * mean(0..20), "{} {}", mean(40..44), mean(0..20));
        let mut one = vec![0.0; d];
        let mut other = vec![0.0; d];
        vector(&table, d, &bag(&[3, 41, 42]), &mut one);
        let nearest = (0..20).max_by(|a, b| {
            let mut near = |answer: &usize| {
                vector(&table, d, &bag(&answers[*answer]), &mut other);
                dot(&one, &other)
            };
            near(a).total_cmp(&near(b))
        });
        assert_eq!(nearest, Some(3));
    }
}
