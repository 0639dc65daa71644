//! The least of a smooth function plus a penalty on the weights' sizes (Andrew and Gao 2007,
//! "Scalable training of L1-regularized log-linear models").
//!
//! It is limited-memory BFGS that stays in one orthant a step: a weight that would change its sign
//! becomes 0 and may leave it at the next. So most weights end at exactly 0, and what is not kept
//! need not be shipped.

/// Pairs of steps that are remembered.
const MEMORY: usize = 6;
/// Steps over which the fall of the value is watched.
const PERIOD: usize = 10;

/// The penalty and when to stop.
#[derive(Debug, Clone, Copy)]
pub struct Penalty {
    /// Times the sum of the weights' sizes.
    pub l1: f64,
    /// Times the sum of their squares.
    pub l2: f64,
    /// Most iterations.
    pub iterations: usize,
    /// Stop when the value falls, over ten iterations, by less than this share of itself.
    pub tolerance: f64,
}

/// Finds the least of `function` (value and gradient at a point) plus the penalty, from `start`.
/// `seen` is called after every iteration with its number and the value; it stops the search by `false`.
pub fn least(
    start: Vec<f32>,
    penalty: Penalty,
    mut function: impl FnMut(&[f32]) -> (f64, Vec<f32>),
    mut seen: impl FnMut(usize, f64) -> bool,
) -> Vec<f32> {
    let mut whole = |point: &[f32]| {
        let (value, mut gradient) = function(point);
        gradient.iter_mut().zip(point).for_each(|(g, x)| *g += (2.0 * penalty.l2) as f32 * x);
        let squares: f64 = point.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let sizes: f64 = point.iter().map(|x| f64::from(x.abs())).sum();
        (value + penalty.l2 * squares + penalty.l1 * sizes, gradient)
    };
    let mut point = start;
    let (mut value, mut gradient) = whole(&point);
    let mut pairs: Vec<(Vec<f32>, Vec<f32>, f64)> = Vec::new();
    let mut values = vec![value];
    for iteration in 1..=penalty.iterations {
        let steepest = pseudo_gradient(&point, &gradient, penalty.l1 as f32);
        let mut direction = newton(&steepest, &pairs);
        if penalty.l1 > 0.0 {
            // Only ways on which the value falls in each weight by itself.
            direction.iter_mut().zip(&steepest).for_each(|(d, g)| {
                if *d * *g >= 0.0 {
                    *d = 0.0;
                }
            });
        }
        let slope = dot(&direction, &steepest);
        if slope >= 0.0 {
            break;
        }
        let mut step = if pairs.is_empty() { 1.0 / dot(&steepest, &steepest).sqrt().max(1e-12) } else { 1.0 };
        let mut next = None;
        for _ in 0..20 {
            let trial = moved(&point, &direction, step as f32, &steepest, penalty.l1 > 0.0);
            let (trial_value, trial_gradient) = whole(&trial);
            if trial_value.is_finite() && trial_value <= value + 1e-4 * step * slope {
                next = Some((trial, trial_value, trial_gradient));
                break;
            }
            step *= 0.5;
        }
        let Some((trial, trial_value, trial_gradient)) = next else { break };
        let moved_by: Vec<f32> = trial.iter().zip(&point).map(|(a, b)| a - b).collect();
        let changed: Vec<f32> = trial_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved_by, &changed);
        if curvature > 1e-12 {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((moved_by, changed, curvature));
        }
        (point, value, gradient) = (trial, trial_value, trial_gradient);
        values.push(value);
        if !seen(iteration, value) {
            break;
        }
        let before = values.len().checked_sub(PERIOD + 1).map(|at| values[at]);
        if before.is_some_and(|before| before - value < penalty.tolerance * value.abs()) {
            break;
        }
    }
    point
}

/// The gradient with the penalty's; of a weight at 0, that of the side on which the value falls.
fn pseudo_gradient(point: &[f32], gradient: &[f32], l1: f32) -> Vec<f32> {
    let one = |(x, g): (&f32, &f32)| match x.total_cmp(&0.0) {
        _ if l1 == 0.0 => *g,
        _ if *x > 0.0 => g + l1,
        _ if *x < 0.0 => g - l1,
        _ if *g + l1 < 0.0 => g + l1,
        _ if *g - l1 > 0.0 => g - l1,
        _ => 0.0,
    };
    point.iter().zip(gradient).map(one).collect()
}

/// The way to go (Nocedal and Wright 2006, algorithm 7.4).
fn newton(gradient: &[f32], pairs: &[(Vec<f32>, Vec<f32>, f64)]) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (moved, changed, curvature) in pairs.iter().rev() {
        let share = dot(moved, &direction) / curvature;
        add(&mut direction, changed, -share as f32);
        shares.push(share);
    }
    if let Some((_, changed, curvature)) = pairs.last() {
        let scale = (curvature / dot(changed, changed).max(1e-30)) as f32;
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((moved, changed, curvature), share) in pairs.iter().zip(shares.into_iter().rev()) {
        let back = dot(changed, &direction) / curvature;
        add(&mut direction, moved, (share - back) as f32);
    }
    direction
}

fn moved(point: &[f32], direction: &[f32], step: f32, steepest: &[f32], in_orthant: bool) -> Vec<f32> {
    let one = |((x, d), g): ((&f32, &f32), &f32)| {
        let next = x + step * d;
        let orthant = if *x == 0.0 { -g } else { *x };
        if in_orthant && next * orthant <= 0.0 { 0.0 } else { next }
    };
    point.iter().zip(direction).zip(steepest).map(one).collect()
}

fn add(to: &mut [f32], values: &[f32], factor: f32) {
    to.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Short sums in 32 bits would lose what long ones are made of.
    a.chunks(1024)
        .zip(b.chunks(1024))
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a sum of squares with an L1 penalty the least is known: each weight shrinks by the penalty,
    /// and to 0 where it is smaller than that.
    #[test]
    fn the_least_of_a_known_function_is_found_and_small_weights_are_zero() {
        let target = [3.0f32, -2.0, 0.4, -0.1, 0.0];
        let curve = [1.0f32, 10.0, 1.0, 4.0, 2.0];
        let function = |x: &[f32]| {
            let part = |at: usize| f64::from(curve[at]) * f64::from(x[at] - target[at]).powi(2) / 2.0;
            let gradient = (0..5).map(|at| curve[at] * (x[at] - target[at])).collect();
            ((0..5).map(part).sum::<f64>(), gradient)
        };
        let penalty = Penalty { l1: 0.5, l2: 0.0, iterations: 200, tolerance: 0.0 };
        let found = least(vec![0.0; 5], penalty, function, |_, _| true);
        for (found, expected) in found.iter().zip([2.5, -1.95, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
        let ridge = Penalty { l1: 0.0, l2: 0.5, ..penalty };
        let found = least(vec![0.0; 5], ridge, function, |_, _| true);
        assert!((found[0] - 1.5).abs() < 1e-3 && (found[1] + 20.0 / 11.0).abs() < 1e-3, "{found:?}");
    }
}
