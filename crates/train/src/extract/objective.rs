//! What a tagger is fitted to: the log likelihood of the marked tags, and its gradient.
//!
//! A sentence whose names of some label were never marked counts by the sum over all sequences of
//! tags that its marks leave. The sentences are cut into parts of a fixed number, each summed by one
//! thread in order, and the parts are added in order: the result is the same on any number of cores.

use std::thread;

use text::tagger::chain::{Allowed, Chain, Tags};
use text::tagger::model::scores;

/// Parts that a sum is cut into.
const PARTS: usize = 4;

/// A sentence to learn from.
#[derive(Debug, Clone, Default)]
pub struct Sentence {
    /// Features of each token, as columns of the weights.
    pub features: Vec<Vec<u32>>,
    /// Tags that each token may have.
    pub allowed: Vec<Allowed>,
}

/// Sentences and the shape of the weights.
pub struct Objective<'a> {
    /// The tags.
    pub tags: Tags,
    /// Number of features.
    pub columns: usize,
    /// The sentences.
    pub sentences: &'a [Sentence],
}

impl Objective<'_> {
    /// Number of weights: one a feature and tag, then one a pair of tags.
    pub fn size(&self) -> usize {
        let tags = self.tags.count();
        self.columns * tags + tags * tags
    }

    /// Negative log likelihood of all sentences under `weights`, and its gradient.
    pub fn evaluate(&self, weights: &[f32]) -> (f64, Vec<f32>) {
        let share = self.sentences.len().div_ceil(PARTS).max(1);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(PARTS);
        let parts: Vec<&[Sentence]> = self.sentences.chunks(share).collect();
        let mut done: Vec<(f64, Vec<f32>)> = Vec::with_capacity(parts.len());
        for together in parts.chunks(threads) {
            thread::scope(|scope| {
                let running: Vec<_> =
                    together.iter().map(|part| scope.spawn(|| self.part(part, weights))).collect();
                // A panic of a part is this thread's panic too.
                done.extend(running.into_iter().map(|part| match part.join() {
                    Ok(part) => part,
                    Err(panic) => std::panic::resume_unwind(panic),
                }));
            });
        }
        let mut done = done.into_iter();
        let (mut loss, mut gradient) = done.next().unwrap_or_else(|| (0.0, vec![0.0; self.size()]));
        for (more, part) in done {
            loss += more;
            gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        (loss, gradient)
    }

    fn part(&self, sentences: &[Sentence], weights: &[f32]) -> (f64, Vec<f32>) {
        let tags = self.tags.count();
        let pairs = self.columns * tags;
        let chain = Chain::new(self.tags, &weights[pairs..]);
        let mut gradient = vec![0.0f32; self.size()];
        let mut pair_gradient = vec![0.0; tags * tags];
        let mut loss = 0.0;
        let mut difference = vec![0.0f32; tags];
        for sentence in sentences {
            let scores = scores(tags, &sentence.features, weights);
            let all = chain.sums(&scores, None);
            let marked = chain.sums(&scores, Some(&sentence.allowed));
            loss += all.log_sum - marked.log_sum;
            chain.add_pairs(&all, 1.0, &mut pair_gradient);
            chain.add_pairs(&marked, -1.0, &mut pair_gradient);
            for (token, features) in sentence.features.iter().enumerate() {
                let mut most = 0.0f32;
                for (tag, difference) in difference.iter_mut().enumerate() {
                    *difference = (all.tag(token, tag) - marked.tag(token, tag)) as f32;
                    most = most.max(difference.abs());
                }
                if most < 1e-7 {
                    continue;
                }
                for feature in features {
                    let row = &mut gradient[*feature as usize * tags..][..tags];
                    row.iter_mut().zip(&difference).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        gradient[pairs..].iter_mut().zip(pair_gradient).for_each(|(sum, value)| *sum += value as f32);
        (loss, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient against differences of the value, for marks that leave one tag a token and more.
    #[test]
    fn the_gradient_is_that_of_the_value() {
        let tags = Tags { labels: 2 };
        let one = |tags: &[usize]| tags.iter().map(|tag| 1 << tag).collect::<Vec<Allowed>>();
        let open = 1 | 1 << tags.begin(1) | 1 << tags.inside(1);
        let sentences = [
            Sentence { features: vec![vec![0, 1], vec![1, 2], vec![0]], allowed: one(&[1, 2, 0]) },
            Sentence { features: vec![vec![2], vec![0, 2]], allowed: vec![open, 1 << 1] },
            Sentence { features: vec![vec![1]], allowed: vec![open] },
        ];
        let objective = Objective { tags, columns: 3, sentences: &sentences };
        let point: Vec<f32> = (0..objective.size()).map(|at| ((at * 7 % 11) as f32 - 5.0) / 5.0).collect();
        let (value, gradient) = objective.evaluate(&point);
        assert!(value > 0.0);
        for at in 0..point.len() {
            let mut moved = point.clone();
            moved[at] += 1e-2;
            let up = objective.evaluate(&moved).0;
            moved[at] -= 2e-2;
            let slope = (up - objective.evaluate(&moved).0) / 2e-2;
            assert!((slope - f64::from(gradient[at])).abs() < 2e-3, "{at}: {slope} {}", gradient[at]);
        }
    }
}
