//! Whether answers are spread over the labels as they were on held-out data: the population stability index, and what
//! of it chance alone explains.
//!
//! The index (N. Siddiqi, Credit Risk Scorecards, Wiley 2006) is the sum over the categories of
//! (now - then) x ln(now / then), that is, the Kullback-Leibler divergence both ways. By its convention a value below
//! 0.1 is no change, and one from 0.25 on a large one. Without any change it is not 0: with n answers now, m then
//! and k categories it is about (1/n + 1/m) times a chi-squared variable of k - 1 degrees of freedom (B. Yurdakul,
//! J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation 14, 2020).
//! So few answers are told to be few, and are not told to have drifted.

use crate::Manifest;
use crate::manifest::{Likeness, Task};

/// From here on a spread is worth a look.
pub const MOVED: f64 = 0.1;
/// From here on it is another one.
pub const SHIFTED: f64 = 0.25;
/// The 99 % quantile of the standard normal distribution.
const Z_99: f64 = 2.326_347_874_040_841;
/// Added to each count, so that a category without answers has a logarithm (as Jeffreys' prior does).
const HALF: f64 = 0.5;

/// What held-out data says to expect of a model that classifies.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The split that it is measured on.
    pub split: String,
    /// Its examples.
    pub examples: usize,
    /// By label, in label order: its share of the answers.
    pub shares: Vec<f64>,
    /// Share of the answers that are withheld.
    pub abstained: f64,
    /// The mean confidence lies between these two. The expected calibration error is no less than the distance between
    /// mean confidence and accuracy. None where the label answered is not the most probable one.
    pub confidence: Option<(f64, f64)>,
}

impl Expected {
    /// What a manifest says; none where it has no measures by label.
    ///
    /// The shares are those of the confusion matrix, which counts an example that is abstained from by the label that would
    /// have been answered, and they are taken to be the same among those that are answered.
    pub fn of(manifest: &Manifest) -> Option<Expected> {
        if !matches!(manifest.task(), Task::ImageClassification | Task::NoteClassification) {
            return None;
        }
        // The rules for red flags are applied in service, too.
        let names = ["test, with red flags", "test", "val, with red flags", "val"];
        let (split, metrics) =
            names.into_iter().find_map(|name| Some((name, manifest.metrics.get(name)?)))?;
        let columns: Vec<u64> = (0..manifest.labels.len())
            .map(|at| metrics.confusion.iter().map(|row| row.get(at).copied().unwrap_or(0)).sum())
            .collect();
        let total = columns.iter().sum::<u64>();
        if total == 0 {
            return None;
        }
        let plain = split.strip_suffix(", with red flags").and_then(|plain| manifest.metrics.get(plain));
        let plain = plain.unwrap_or(metrics);
        let decided = manifest.ordinal.as_ref().is_some_and(|ordinal| ordinal.cost.is_some());
        let unlike = manifest.likeness.as_ref().map_or(0.0, |likeness| match likeness {
            Likeness::KnownNgrams { abstained, .. }
            | Likeness::Characters { abstained, .. }
            | Likeness::TrainingPictures { abstained, .. } => *abstained,
        });
        Some(Expected {
            split: split.to_string(),
            examples: metrics.examples,
            shares: columns.iter().map(|count| *count as f64 / total as f64).collect(),
            // Unsure and unlike are two tests, of which little says that they go together.
            abstained: 1.0 - (1.0 - metrics.abstained) * (1.0 - unlike),
            confidence: (!decided)
                .then(|| ((plain.accuracy - plain.ece).max(0.0), (plain.accuracy + plain.ece).min(1.0))),
        })
    }

    /// Compares counts of answers with it: by label, in label order, and the number withheld.
    pub fn compare(&self, labels: &[u64], withheld: u64) -> Drift {
        let examples = self.examples as f64;
        let then: Vec<f64> = self
            .shares
            .iter()
            .map(|share| share * (1.0 - self.abstained) * examples)
            .chain([self.abstained * examples])
            .collect();
        let now: Vec<f64> = labels.iter().chain([&withheld]).map(|count| *count as f64).collect();
        Drift::between(&now, &then)
    }
}

/// How far a spread is from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The population stability index; 0 or more.
    pub index: f64,
    /// What it stays below 99 times in 100 where nothing has changed.
    pub chance: f64,
}

/// A drift in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Too few answers to tell.
    Few,
    /// As on held-out data.
    Stable,
    /// Worth a look.
    Moved,
    /// Another spread.
    Shifted,
}

impl Drift {
    /// Between two lists of counts over the same categories.
    pub fn between(now: &[f64], then: &[f64]) -> Drift {
        let smoothed = |counts: &[f64]| {
            let total: f64 = counts.iter().map(|count| count + HALF).sum();
            counts.iter().map(|count| (count + HALF) / total).collect::<Vec<f64>>()
        };
        let index = smoothed(now)
            .iter()
            .zip(smoothed(then))
            .map(|(now, then)| (now - then) * (now / then).ln())
            .sum();
        let least = |counts: &[f64]| counts.iter().sum::<f64>().max(1.0);
        let freedom = now.len().saturating_sub(1).max(1) as f64;
        Drift { index, chance: (1.0 / least(now) + 1.0 / least(then)) * chi_squared_99(freedom) }
    }

    /// What that means.
    pub fn verdict(&self) -> Verdict {
        match self.index {
            index if index > self.chance.max(SHIFTED) => Verdict::Shifted,
            index if index > self.chance.max(MOVED) => Verdict::Moved,
            _ if self.chance > SHIFTED => Verdict::Few,
            _ => Verdict::Stable,
        }
    }
}

/// The 99 % quantile of a chi-squared variable, by the cube of a normal one (E. B. Wilson, M. M. Hilferty, The
/// distribution of chi-square, PNAS 17, 1931); within 1 % for one degree of freedom and more.
fn chi_squared_99(freedom: f64) -> f64 {
    let ninth = 2.0 / (9.0 * freedom);
    freedom * (1.0 - ninth + Z_99 * ninth.sqrt()).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// `tests/golden/drift.py` made them without this program.
    fn golden() -> Value {
        serde_json::from_str(include_str!("../../../tests/golden/drift.json")).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect()
    }

    #[test]
    fn the_index_is_that_of_the_golden_cases_and_chance_what_simulation_finds() {
        for case in golden()["cases"].as_array().unwrap() {
            let drift = Drift::between(&numbers(&case["now"]), &numbers(&case["then"]));
            assert!((drift.index - case["index"].as_f64().unwrap()).abs() < 1e-12, "{case}");
            assert!((drift.chance / case["chance"].as_f64().unwrap() - 1.0).abs() < 0.01, "{case}");
            if let Some(simulated) = case["simulated"].as_f64() {
                assert!((0.9..1.1).contains(&(simulated / drift.chance)), "{case}");
            }
        }
    }

    #[test]
    fn few_answers_are_few_and_many_are_judged() {
        let then = [500.0, 300.0, 200.0];
        let verdict = |now: [f64; 3]| Drift::between(&now, &then).verdict();
        assert_eq!(verdict([3.0, 2.0, 1.0]), Verdict::Few);
        assert_eq!(verdict([510.0, 290.0, 200.0]), Verdict::Stable);
        assert_eq!(verdict([350.0, 300.0, 350.0]), Verdict::Moved);
        assert_eq!(verdict([100.0, 300.0, 600.0]), Verdict::Shifted);
        // So far away that few answers say it as well.
        assert_eq!(verdict([0.0, 0.0, 25.0]), Verdict::Shifted);
    }
}
