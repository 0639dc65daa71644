//! Records with fields left out, shown in training beside the records as they are.
//!
//! In an emergency department's records a blank says something: what is not measured in a dying
//! person is measured in everybody else. A model fitted on such records alone takes a caller who
//! knows nothing but the note for the worst case there is. So it is also shown each record with
//! fields taken away at random, at a rate that is itself random from none to all, and learns what
//! the rest of a record says by itself (the idea of dropout, Srivastava et al. 2014, on inputs).

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use model::manifest::Field;
use nn::random;
use text::encoder::Example;
use text::fields;

/// Leaves fields out. See the module's introduction.
#[derive(Debug, Clone)]
pub struct FieldDropout {
    places: Vec<Range<usize>>,
    weight: f64,
}

impl FieldDropout {
    /// For records with these fields; records with fields left out count, together, `weight` times
    /// as much as the records themselves.
    pub fn new(fields: &[Field], weight: f64) -> FieldDropout {
        FieldDropout { places: fields::places(fields), weight }
    }

    /// How much records with fields left out count; 0 where there is no field to leave out.
    pub fn weight(&self) -> f64 {
        if self.places.is_empty() { 0.0 } else { self.weight }
    }

    /// Share of the records shown to a network that have fields left out.
    pub fn share(&self) -> f32 {
        (self.weight() / (1.0 + self.weight())) as f32
    }

    /// The record with each field left out at one rate, drawn evenly from 0 to 1.
    pub fn apply(&self, example: &Example, rng: &mut ChaCha8Rng) -> Example {
        let rate = random::uniform(rng, 0.0, 1.0);
        let mut record = example.as_ref().clone();
        for place in &self.places {
            if random::uniform(rng, 0.0, 1.0) < rate {
                fields::forget(&mut record.fields[place.clone()]);
            }
        }
        Arc::new(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::FieldKind;
    use text::encoder::Encoded;
    use text::record::FieldValue;
    use text::tokenizer::Tokens;

    #[test]
    fn a_field_is_left_whole_or_becomes_a_missing_one() {
        let choice = |name: &str| Field {
            name: name.to_string(),
            kind: FieldKind::Categorical { values: vec!["no".to_string(), "yes".to_string()] },
        };
        let fields = vec![choice("pain"), choice("injury")];
        let encode = |a, b| fields::encode(&fields, &[a, b]);
        let (yes, missing) = (FieldValue::Choice(1), FieldValue::Missing);
        let example = Arc::new(Encoded {
            tokens: Tokens { ids: vec![1], total: 1 },
            words: Vec::new(),
            characters: Vec::new(),
            fields: encode(yes, yes),
        });
        let possible =
            [encode(yes, yes), encode(yes, missing), encode(missing, yes), encode(missing, missing)];
        let dropout = FieldDropout::new(&fields, 1.0);
        let mut rng = random::stream(0, "fields");
        let mut counts = [0; 4];
        for _ in 0..600 {
            let left = dropout.apply(&example, &mut rng);
            counts[possible.iter().position(|p| *p == left.fields).unwrap()] += 1;
        }
        // At a rate r each of the four has r^2, r (1 - r), ...: a third or a sixth on average.
        for (count, share) in counts.iter().zip([1.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 3.0]) {
            assert!((f64::from(*count) - 600.0 * share).abs() < 50.0, "{counts:?}");
        }
        assert_eq!(FieldDropout::new(&[], 1.0).weight(), 0.0);
        assert_eq!(dropout.share(), 0.5);
    }
}
