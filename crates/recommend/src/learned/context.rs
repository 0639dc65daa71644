//! Who, how and where: what a person's circumstances add to a learned score.
//!
//! A circumstance is a word such as `condition: asthma`, `age: 60 to 69`, `sex: female` or
//! `lifestyle: smoker` ([`features_of`](crate::context::features_of)). The package holds for each of
//! them the items that it speaks for, and how much: a row of the same form as that of an own item,
//! that is added to the score, or one of logarithms of factors that the sum is multiplied by. How
//! far a place is counts as a factor too, by the logarithm of the kilometres, against how far people
//! usually go: the score falls with a power of the distance, as in the gravity models of trade areas
//! (Huff 1963).
//!
//! score = max(sum of the parts, [`LEAST`]) x exp(sum of the factors' logarithms)

use super::weights::SparseRows;

/// What a sum of parts counts at least before it is multiplied.
pub const LEAST: f64 = 1e-4;

/// How much the distance counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistanceWeight {
    /// What one more unit of ln(1 + km) adds to the logarithm; below 0 where the nearer is the better.
    pub weight: f64,
    /// The ln(1 + km) that adds nothing: the mean over the interactions trained on.
    pub mean: f64,
}

impl DistanceWeight {
    /// The logarithm of the factor of what is so far away.
    pub fn logarithm(&self, km: f64) -> f64 {
        self.weight * (km.ln_1p() - self.mean)
    }
}

/// What circumstances speak for, over the items of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextWeights {
    features: Vec<Box<str>>,
    parts: SparseRows,
    factors: SparseRows,
    distance: Option<DistanceWeight>,
}

/// Sparse rows as they lie in a package: beginnings, targets and weights.
pub type Laid = (Vec<usize>, Vec<u32>, Vec<f32>);

impl ContextWeights {
    /// What each of `features` (sorted in byte order, distinct) speaks for among `items` items, in
    /// the form of [`ItemWeights::new`](super::ItemWeights::new): parts of the sum, and logarithms of
    /// factors.
    ///
    /// # Errors
    /// The first thing that does not fit, in words.
    pub fn new(
        features: Vec<Box<str>>,
        items: usize,
        parts: Laid,
        factors: Laid,
        distance: Option<DistanceWeight>,
    ) -> Result<Self, String> {
        if let Some(pair) = features.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("the circumstances are not sorted and distinct at {:?}", pair[1]));
        }
        if distance.is_some_and(|distance| !(distance.weight.is_finite() && distance.mean.is_finite())) {
            return Err("the weight of the distance is no finite number".to_owned());
        }
        let name = |feature: usize| format!("{:?}", features[feature]);
        let rows = |(starts, targets, weights): Laid| {
            SparseRows::new((features.len(), items), starts, targets, weights, name)
        };
        let (parts, factors) = (rows(parts)?, rows(factors)?);
        Ok(Self { features, parts, factors, distance })
    }

    /// The circumstances that are known, in order of their numbers.
    pub fn features(&self) -> &[Box<str>] {
        &self.features
    }

    /// What each of them adds.
    pub fn parts(&self) -> &SparseRows {
        &self.parts
    }

    /// The logarithms of what each of them multiplies by.
    pub fn factors(&self) -> &SparseRows {
        &self.factors
    }

    /// Whether anything is multiplied.
    pub fn multiplies(&self) -> bool {
        self.factors.weight_count() > 0 || self.distance.is_some()
    }

    /// How much the distance counts, if it does.
    pub fn distance(&self) -> Option<DistanceWeight> {
        self.distance
    }

    /// The numbers of those of a person's circumstances that are known.
    pub fn numbers(&self, of_person: &[String]) -> Vec<u32> {
        let number = |feature: &String| self.features.binary_search_by(|probe| probe.as_ref().cmp(feature));
        of_person.iter().filter_map(|feature| Some(number(feature).ok()? as u32)).collect()
    }
}
