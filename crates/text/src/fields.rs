//! Fields as numbers: what a network is given of a record beside its note.
//!
//! A numeric field gives a missing indicator, its standardised value (clipped at four standard
//! deviations, so that one odd reading does not drown the rest) and a piecewise linear encoding
//! over quantiles of the training values: one input for each stretch between neighboring knots,
//! from -1/2 below it to 1/2 above, so that a linear model can bend where the data are. A
//! categorical field gives a missing indicator and one input a value. A missing field gives its
//! indicator and zeros.

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
        FieldKind::Numeric { knots, .. } => 2 + knots.len().saturating_sub(1),
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
            (FieldKind::Numeric { mean, std, knots, .. }, FieldValue::Number(x)) => {
                out.push(0.0);
                out.push(((x - mean) / std).clamp(-CLIP, CLIP) as f32);
                out.extend(
                    knots.windows(2).map(|k| ((x - k[0]) / (k[1] - k[0])).clamp(0.0, 1.0) as f32 - 0.5),
                );
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
}
