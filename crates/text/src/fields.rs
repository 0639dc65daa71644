//! Fields as numbers: what a network is given of a record beside its note.
//!
//! A numeric field gives a missing indicator, its standardised value (clipped at four standard
//! deviations, so that one odd reading does not drown the rest) and a piecewise linear encoding
//! over quantiles of the training values: one input for each stretch between neighboring knots,
//! from -1/2 below it to 1/2 above, so that a linear model can bend where the data are. A
//! categorical field gives a missing indicator and one input a value. A missing field gives its
//! indicator and zeros.
//!
//! Where a numeric field has a normal range, all this describes the value brought into that range,
//! and inputs of their own say how far beyond it lies: for each side the distance in standard
//! deviations, clipped alike, and one input for each stretch of knots, from 0 to 1 on the way out.
//! So a model can be held to become only more urgent on the way (`bag`).

use std::ops::Range;

use super::record::FieldValue;
use model::manifest::{Field, FieldKind};

/// Standard deviations beyond which a value counts as one that far out.
const CLIP: f64 = 4.0;
/// What a tree reads for a number that is missing: below every number there is, and far enough
/// that a threshold drawn at random often parts the missing from the rest.
const MISSING: f32 = -2.0 * CLIP as f32;

/// One value that a tree reads of a record. A tree bends by itself, so that it needs of a numeric
/// field its value alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// The standardised value of the numeric field whose inputs begin here.
    Number(usize),
    /// The input that stands here.
    Input(usize),
}

impl Plain {
    /// The value, from a record's inputs.
    pub fn of(self, inputs: &[f32]) -> f32 {
        match self {
            Plain::Number(start) if inputs[start] > 0.0 => MISSING,
            Plain::Number(start) => inputs[start + 1],
            Plain::Input(at) => inputs[at],
        }
    }
}

/// What trees read of a record with these fields.
pub fn plain(fields: &[Field]) -> Vec<Plain> {
    let of = |(field, place): (&Field, Range<usize>)| match field.kind {
        FieldKind::Numeric { .. } => vec![Plain::Number(place.start)],
        FieldKind::Categorical { .. } => place.map(Plain::Input).collect(),
    };
    fields.iter().zip(places(fields)).flat_map(of).collect()
}

/// Number of inputs that `fields` give.
pub fn width(fields: &[Field]) -> usize {
    fields.iter().map(|field| inputs(&field.kind)).sum()
}

fn inputs(kind: &FieldKind) -> usize {
    match kind {
        FieldKind::Numeric { knots, normal: None, .. } => 2 + knots.len().saturating_sub(1),
        FieldKind::Numeric { knots, normal: Some(normal), .. } => {
            let Stretches { below, inside, above } = Stretches::new(knots, *normal);
            // The indicator and the value; the stretches; for each side the distance.
            2 + inside.len() - 1 + below.len() + above.len()
        }
        FieldKind::Categorical { values } => 1 + values.len(),
    }
}

/// Where each field's inputs stand among those of a record.
pub fn places(fields: &[Field]) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |field: &Field| {
        let start = end;
        end += inputs(&field.kind);
        start..end
    };
    fields.iter().map(place).collect()
}

/// The knots of a field with a normal range.
struct Stretches {
    /// From the lower end outwards, which is downwards.
    below: Vec<f64>,
    /// From the lower end to the upper.
    inside: Vec<f64>,
    /// From the upper end outwards.
    above: Vec<f64>,
}

impl Stretches {
    fn new(knots: &[f64], (low, high): (f64, f64)) -> Stretches {
        let among =
            |keep: &dyn Fn(f64) -> bool| knots.iter().copied().filter(|x| keep(*x)).collect::<Vec<_>>();
        let below = std::iter::once(low).chain(among(&|x| x < low).into_iter().rev()).collect();
        let inside = [vec![low], among(&|x| low < x && x < high), vec![high]].concat();
        let above = [vec![high], among(&|x| x > high)].concat();
        Stretches { below, inside, above }
    }
}

/// Which inputs say how far beyond its normal range a value lies. They grow on the way out, and
/// are 0 within the range and for a missing field.
pub fn beyond(fields: &[Field]) -> Vec<usize> {
    let of = |(field, place): (&Field, Range<usize>)| match &field.kind {
        FieldKind::Numeric { knots, normal: Some(normal), .. } => {
            place.start + 1 + Stretches::new(knots, *normal).inside.len()..place.end
        }
        _ => 0..0,
    };
    fields.iter().zip(places(fields)).flat_map(of).collect()
}

/// Makes the inputs of one field those of a missing one.
pub fn forget(inputs: &mut [f32]) {
    inputs.fill(0.0);
    inputs[0] = 1.0;
}

/// The inputs of one record, in the fields' order.
pub fn encode(fields: &[Field], values: &[FieldValue]) -> Vec<f32> {
    let mut out = Vec::with_capacity(width(fields));
    for (field, value) in fields.iter().zip(values) {
        let start = out.len();
        match (&field.kind, value) {
            (FieldKind::Numeric { mean, std, knots, normal, .. }, FieldValue::Number(x)) => {
                let number = |x: f64| ((x - mean) / std).clamp(-CLIP, CLIP) as f32;
                // How far x is on the way from the first knot to the second, whichever is greater.
                let way = |x: f64, k: &[f64]| ((x - k[0]) / (k[1] - k[0])).clamp(0.0, 1.0) as f32;
                out.push(0.0);
                let Some((low, high)) = *normal else {
                    out.push(number(*x));
                    out.extend(knots.windows(2).map(|k| way(*x, k) - 0.5));
                    continue;
                };
                let within = x.clamp(low, high);
                let Stretches { below, inside, above } = Stretches::new(knots, (low, high));
                out.push(number(within));
                out.extend(inside.windows(2).map(|k| way(within, k) - 0.5));
                for (distance, knots) in [(low - x, below), (x - high, above)] {
                    out.push((distance / std).clamp(0.0, CLIP) as f32);
                    out.extend(knots.windows(2).map(|k| way(*x, k)));
                }
            }
            (FieldKind::Categorical { values }, FieldValue::Choice(chosen)) => {
                out.push(0.0);
                out.extend((0..values.len()).map(|index| f32::from(u8::from(index == *chosen))));
            }
            _ => {
                out.resize(start + inputs(&field.kind), 0.0);
                forget(&mut out[start..]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let age = FieldKind::Numeric {
            min: 0.0,
            max: 130.0,
            unit: "years".to_string(),
            mean: 50.0,
            std: 10.0,
            knots: vec![40.0, 50.0, 80.0],
            normal: None,
        };
        let sex = FieldKind::Categorical { values: vec!["female".to_string(), "male".to_string()] };
        vec![Field { name: "age".to_string(), kind: age }, Field { name: "sex".to_string(), kind: sex }]
    }

    #[test]
    fn values_missing_ones_and_outliers_are_told_apart() {
        let fields = fields();
        assert_eq!(width(&fields), 7);
        let known = encode(&fields, &[FieldValue::Number(65.0), FieldValue::Choice(1)]);
        assert_eq!(known, [0.0, 1.5, 0.5, 0.0, 0.0, 0.0, 1.0]);
        let missing = encode(&fields, &[FieldValue::Missing, FieldValue::Missing]);
        assert_eq!(missing, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let odd = encode(&fields, &[FieldValue::Number(130.0), FieldValue::Choice(0)]);
        assert_eq!(odd, [0.0, 4.0, 0.5, 0.5, 0.0, 1.0, 0.0]);
        let plain = |record: &[f32]| plain(&fields).iter().map(|p| p.of(record)).collect::<Vec<_>>();
        assert_eq!(plain(&known), [1.5, 0.0, 0.0, 1.0]);
        assert_eq!(plain(&missing), [-8.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn beyond_the_normal_range_only_inputs_of_their_own_change_and_they_grow() {
        let rate = FieldKind::Numeric {
            min: 0.0,
            max: 100.0,
            unit: "/min".to_string(),
            mean: 18.0,
            std: 2.0,
            knots: vec![8.0, 10.0, 14.0, 16.0, 24.0],
            normal: Some((12.0, 20.0)),
        };
        let fields = [Field { name: "rate".to_string(), kind: rate }];
        let inputs = |x: f64| encode(&fields, &[FieldValue::Number(x)]);
        let beyond = beyond(&fields);
        assert_eq!((width(&fields), beyond.clone()), (10, vec![5, 6, 7, 8, 9]));
        // Value; 12 to 14, 14 to 16, 16 to 20; below: distance, 12 to 10, 10 to 8; above: distance, 20 to 24.
        assert_eq!(inputs(15.0), [0.0, -1.5, 0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(inputs(9.0), [0.0, -3.0, -0.5, -0.5, -0.5, 1.5, 1.0, 0.5, 0.0, 0.0]);
        assert_eq!(inputs(22.0), [0.0, 1.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.5]);
        assert_eq!(inputs(60.0)[8..], [4.0, 1.0]);
        let missing = encode(&fields, &[FieldValue::Missing]);
        assert!(missing.len() == 10 && beyond.iter().all(|at| missing[*at] == 0.0));
        for outwards in [[12.0, 11.0, 9.0, 4.0, 0.0], [20.0, 21.0, 25.0, 30.0, 90.0]] {
            for pair in outwards.windows(2) {
                let (near, far) = (inputs(pair[0]), inputs(pair[1]));
                for (at, (near, far)) in near.iter().zip(&far).enumerate() {
                    assert!(if beyond.contains(&at) { near <= far } else { near == far }, "{pair:?} {at}");
                }
            }
        }
    }
}
