//! The functions inside a recurrent cell, in a form that compilers turn into vector code.
//!
//! The standard library's exponential is a call for every number, which makes a cell's gates
//! dearer than its matrix products. Here it is arithmetic alone: split off the power of two, take
//! a polynomial of the rest (coefficients of the Taylor series up to the seventh power, on which
//! the rest, below ln(2)/2, leaves an error below that of single precision).

/// e^x within a relative error of 3e-7; x is taken within -87 to 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 * 2^23 rounds to a whole number without a branch.
    const ROUND: f32 = 12_582_912.0;
    let power = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    // ln 2 in two parts, so that the product of the first with a small whole number is exact.
    let rest = (x - power * 0.693_359_4) - power * -2.121_944_4e-4;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + coefficient;
    }
    sum * f32::from_bits(((power as i32 + 127) << 23) as u32)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_double_precision() {
        for step in -8_600..=8_600 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "exp {x}");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + 1.0 / exact)).abs() < 2e-7, "sigmoid {x}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 4e-7, "tanh {x}");
        }
        assert!(exp(f32::MAX).is_finite() && exp(f32::MIN) >= 0.0 && exp(f32::NAN).is_nan());
    }
}
