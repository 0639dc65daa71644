//! Which value each byte stands for.

/// A byte q stands for `scale * (q - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// From one value to the next.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: u8,
}

impl Levels {
    /// Levels from `low` to `high`, moved so that 0 is one of them; 0 is always within.
    pub fn over(low: f32, high: f32) -> Levels {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(1e-12);
        Levels { scale, zero: (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    /// The byte nearest to a value.
    #[cfg(test)]
    pub fn byte(self, value: f32) -> u8 {
        let place = value.mul_add(1.0 / self.scale, f32::from(self.zero));
        place.round_ties_even().clamp(0.0, 255.0) as u8
    }

    /// What a byte stands for.
    #[cfg(test)]
    pub fn value(self, byte: u8) -> f32 {
        (f32::from(byte) - f32::from(self.zero)) * self.scale
    }
}

/// Signed levels of weights, symmetric by the largest of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightLevels {
    /// From one weight to the next; 0 where all weights are.
    pub scale: f32,
}

impl WeightLevels {
    /// Those of the weights of one output.
    pub fn over(weights: &[f32]) -> WeightLevels {
        WeightLevels { scale: weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs())) / 127.0 }
    }

    /// The byte nearest to a weight.
    pub fn byte(self, weight: f32) -> i8 {
        match self.scale > 0.0 {
            true => (weight / self.scale).round_ties_even().clamp(-127.0, 127.0) as i8,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exact_and_every_value_within_is_at_most_half_a_level_off() {
        for (low, high) in [(0.0, 6.0), (-1.0, 3.0), (-2.0, -1.0), (0.5, 2.0), (-1e-3, 1e-3)] {
            let levels = Levels::over(low, high);
            assert_eq!(levels.value(levels.zero), 0.0);
            assert_eq!(levels.byte(0.0), levels.zero);
            for step in 0..=100 {
                let value = low + (high - low) * step as f32 / 100.0;
                let apart = (levels.value(levels.byte(value)) - value).abs();
                // At the ends one level may be lost, where 0 was moved onto one.
                assert!(apart <= 1.01 * levels.scale, "{value} of {low} to {high}");
            }
            assert_eq!(levels.byte(f32::MAX), 255);
            assert_eq!(levels.byte(f32::MIN), 0);
        }
        assert_eq!(Levels::over(0.0, 0.0).byte(1.0), 255);
    }
}
