//! The functions inside recurrent cells and encoders, over vectors of any width.
//!
//! The standard library's exponential is a call for every number, which makes a cell's gates
//! dearer than its matrix products. Here it is arithmetic alone: split off the power of two, take
//! a polynomial of the rest (coefficients of the Taylor series up to the seventh power, on which
//! the rest, below ln(2)/2, leaves an error below that of single precision). What is no number
//! stays none in all of them.

use pulp::{Scalar, Simd};

use super::graph::Activation;

/// e^x within a relative error of 3e-7; x is taken within -87 to 88.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let all = |value: f32| simd.splat_f32s(value);
    // Comparisons, because the smaller of a number and of what is none may be the number.
    let x = simd.select_f32s(simd.less_than_f32s(x, all(-87.0)), all(-87.0), x);
    let x = simd.select_f32s(simd.less_than_f32s(all(88.0), x), all(88.0), x);
    // Adding and taking away 1.5 * 2^23 rounds to a whole number without a branch, and leaves
    // that number in the lowest bits of the sum.
    let round = all(12_582_912.0);
    let shifted = simd.mul_add_e_f32s(x, all(std::f32::consts::LOG2_E), round);
    let power = simd.sub_f32s(shifted, round);
    // ln 2 in two parts, so that the product of the first with a small whole number is exact.
    let rest = simd.mul_add_e_f32s(power, all(-0.693_359_4), x);
    let rest = simd.mul_add_e_f32s(power, all(2.121_944_4e-4), rest);
    let mut sum = all(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = simd.mul_add_e_f32s(sum, rest, all(coefficient));
    }
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let factor = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)));
    simd.mul_f32s(sum, factor)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoids<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// The sigmoid of x times the hyperbolic tangent of y, with one division.
#[inline(always)]
pub fn sigmoids_times_tanh<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let u = exp(simd, simd.neg_f32s(x));
    let t = exp(simd, simd.mul_f32s(y, simd.splat_f32s(-2.0)));
    // Where the product below is too large for a number, the value is 0 and the quotient, too.
    let below = simd.mul_f32s(simd.add_f32s(one, u), simd.add_f32s(one, t));
    simd.div_f32s(simd.sub_f32s(one, t), below)
}

/// x times the share of a normal distribution below x (Hendrycks and Gimpel 2016, "Gaussian error
/// linear units"), within 4e-7 (1 + |x|). The share is by formula 7.1.26 of Abramowitz and Stegun
/// 1964, "Handbook of mathematical functions".
#[inline(always)]
pub fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let all = |value: f32| simd.splat_f32s(value);
    let z = simd.mul_f32s(simd.abs_f32s(x), all(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(all(1.0), simd.mul_add_e_f32s(z, all(0.327_591_1), all(1.0)));
    let mut sum = all(0.5 * 1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = simd.mul_add_e_f32s(sum, t, all(0.5 * coefficient));
    }
    let beyond = simd.mul_f32s(simd.mul_f32s(sum, t), exp(simd, simd.neg_f32s(simd.mul_f32s(z, z))));
    let positive = simd.less_than_f32s(all(0.0), x);
    simd.mul_f32s(x, simd.select_f32s(positive, simd.sub_f32s(all(1.0), beyond), beyond))
}

/// 0 where x is below it. A maximum would also turn what is no number into 0.
#[inline(always)]
pub fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// The hyperbolic tangent.
#[inline(always)]
fn tanhs<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let two = simd.splat_f32s(2.0);
    simd.sub_f32s(simd.mul_f32s(two, sigmoids(simd, simd.mul_f32s(two, x))), simd.splat_f32s(1.0))
}

/// The slope of [`gelu`]: the share of a normal distribution below x, and x times its density.
#[inline(always)]
fn gelu_slope<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let all = |value: f32| simd.splat_f32s(value);
    // The share is what gelu multiplies x by; beside 0, where it cannot be divided, it is straight.
    let near = simd.less_than_f32s(simd.abs_f32s(x), all(1e-3));
    let straight = simd.mul_add_e_f32s(x, all(0.398_942_3), all(0.5));
    let share = simd.select_f32s(near, straight, simd.div_f32s(gelu(simd, x), x));
    let density = exp(simd, simd.mul_f32s(simd.mul_f32s(x, x), all(-0.5)));
    simd.mul_add_e_f32s(simd.mul_f32s(x, density), all(0.398_942_3), share)
}

/// x within 0 and 6; what is no number stays none.
#[inline(always)]
fn relu6<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let six = simd.splat_f32s(6.0);
    relu(simd, simd.select_f32s(simd.less_than_f32s(six, x), six, x))
}

/// What a kernel keeps its results within while it still has them in registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clip {
    /// Nothing.
    #[default]
    None,
    /// At least 0.
    Relu,
    /// 0 to 6.
    Relu6,
}

impl Clip {
    /// Takes an activation that is one, so that nothing else applies it.
    pub fn take(activation: &mut Option<Activation>) -> Clip {
        let clip = match activation {
            Some(Activation::Relu) => Clip::Relu,
            Some(Activation::Relu6) => Clip::Relu6,
            _ => return Clip::None,
        };
        *activation = None;
        clip
    }

    /// `x` within the limits; what is no number stays none.
    #[inline(always)]
    pub fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        match self {
            Clip::None => x,
            Clip::Relu => relu(simd, x),
            Clip::Relu6 => relu6(simd, x),
        }
    }
}

impl Activation {
    /// Replaces values, whole vectors of them, by their activations.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, simd: S, values: &mut [f32]) {
        // No closure: one of so many instructions is compiled as a function of its own, without those of the vectors, and then each of
        // these is a call.
        macro_rules! each {
            ($x:ident => $y:expr) => {
                for place in S::as_mut_simd_f32s(values).0 {
                    let $x = *place;
                    *place = $y;
                }
            };
        }
        match self {
            Activation::Relu => each!(x => relu(simd, x)),
            Activation::Relu6 => each!(x => relu6(simd, x)),
            Activation::Silu => each!(x => simd.mul_f32s(x, sigmoids(simd, x))),
            Activation::Gelu => each!(x => gelu(simd, x)),
            Activation::Sigmoid => each!(x => sigmoids(simd, x)),
            Activation::Tanh => each!(x => tanhs(simd, x)),
        }
    }

    /// True where the slope follows from the activation itself.
    pub(crate) fn is_clipped(self) -> bool {
        matches!(self, Activation::Relu | Activation::Relu6)
    }

    /// `gradient` times the slope at x. Of those that are clipped, x may also be the activation.
    #[inline(always)]
    pub(crate) fn slope<S: Simd>(self, simd: S, x: S::f32s, gradient: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let rectified = || simd.select_f32s(simd.less_than_or_equal_f32s(x, zero), zero, gradient);
        // y (1 - y) is the slope of a sigmoid y.
        let rest = |y| simd.mul_f32s(y, simd.sub_f32s(one, y));
        match self {
            Activation::Relu => rectified(),
            Activation::Relu6 => {
                let above = simd.less_than_or_equal_f32s(simd.splat_f32s(6.0), x);
                simd.select_f32s(above, zero, rectified())
            }
            Activation::Silu => {
                let y = sigmoids(simd, x);
                simd.mul_f32s(gradient, simd.mul_add_e_f32s(x, rest(y), y))
            }
            Activation::Gelu => simd.mul_f32s(gradient, gelu_slope(simd, x)),
            Activation::Sigmoid => simd.mul_f32s(gradient, rest(sigmoids(simd, x))),
            Activation::Tanh => {
                let y = tanhs(simd, x);
                simd.mul_f32s(gradient, simd.sub_f32s(one, simd.mul_f32s(y, y)))
            }
        }
    }
}

/// 1 / (1 + e^-x) of one number, in a form that compilers turn into vector code.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    sigmoids(Scalar, x)
}

/// Hyperbolic tangent of one number, likewise.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::dispatch;
    use pulp::WithSimd;

    /// Each function of `x` and `y`, with the widest vectors there are.
    struct All(f32, f32);

    impl WithSimd for All {
        type Output = [f32; 4];
        fn with_simd<S: Simd>(self, simd: S) -> [f32; 4] {
            let (x, y) = (simd.splat_f32s(self.0), simd.splat_f32s(self.1));
            let results = [exp(simd, x), sigmoids(simd, x), sigmoids_times_tanh(simd, x, y), gelu(simd, x)];
            results.map(|vector| bytemuck::cast_slice::<_, f32>(&[vector])[S::F32_LANES - 1])
        }
    }

    fn both(x: f32, y: f32) -> [[f32; 4]; 2] {
        [dispatch(All(x, y)), All(x, y).with_simd(Scalar)]
    }

    /// The share of a normal distribution below x, by the trapezoidal rule.
    fn share(x: f64) -> f64 {
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (parts, step) = (2_000, x / 2_000.0);
        let inner: f64 = (1..parts).map(|i| density(f64::from(i) * step)).sum();
        0.5 + step * (0.5 * (density(0.0) + density(x)) + inner)
    }

    #[test]
    fn they_agree_with_double_precision() {
        for step in -8_600..=8_600 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let logistic = 1.0 / (1.0 + 1.0 / exact);
            let y = x * 0.37 + 1.0;
            for [exp, sigmoid, gate, _] in both(x, y) {
                assert!((f64::from(exp) / exact - 1.0).abs() < 3e-7, "exp {x}");
                assert!((f64::from(sigmoid) - logistic).abs() < 2e-7, "sigmoid {x}");
                assert!((f64::from(gate) - logistic * f64::from(y).tanh()).abs() < 4e-7, "gate {x} {y}");
            }
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 4e-7, "tanh {x}");
        }
        for step in -600..=600 {
            let x = step as f32 / 50.0;
            let exact = f64::from(x) * share(f64::from(x));
            for [.., gelu] in both(x, 0.0) {
                assert!((f64::from(gelu) - exact).abs() < 4e-7 * f64::from(1.0 + x.abs()), "gelu {x}");
            }
        }
    }

    #[test]
    fn large_numbers_stay_numbers_and_what_is_none_stays_none() {
        for [exp, sigmoid, gate, gelu] in both(f32::MAX, f32::MIN) {
            assert!(exp.is_finite() && sigmoid == 1.0 && gate == -1.0 && gelu == f32::MAX);
        }
        for [exp, sigmoid, gate, gelu] in both(f32::MIN, f32::MIN) {
            assert!(exp >= 0.0 && sigmoid < 1e-30 && gate.abs() < 1e-30 && gelu <= 0.0);
        }
        for bad in [f32::NAN, -f32::NAN] {
            assert!(both(bad, 1.0).iter().flatten().all(|x| x.is_nan()));
            assert!(both(1.0, bad).iter().all(|row| row[2].is_nan()));
        }
    }
}
