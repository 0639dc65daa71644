//! From noise to a picture in a few steps, and the noise that training puts on.
//!
//! A picture x at the time t, from 0 to 1, is cos(pi t / 2) x + sin(pi t / 2) e with noise e of variance 1 (the cosine schedule of
//! Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic models"). The network says the velocity cos e - sin x
//! (Salimans and Ho 2022, "Progressive distillation for fast sampling of diffusion models"), which is of one size at all times. The
//! steps are those of DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion
//! probabilistic models"): of second order, with one question to the network each. They are short at both ends, where colours and
//! where edges are decided.
//!
//! A network's pictures are flatter than real ones, and on its way it sees its own and not those that it was trained on. So some of the
//! noise that it sees stays in what it says (Ning et al. 2023, "Elucidating the exposure bias in diffusion models", who divide
//! the noise by a number a little above 1), which gives the pictures their contrast back at no cost. And part of the noise of each
//! step is new (Song, Meng and Ermon 2021, "Denoising diffusion implicit models", for steps of first order; the same equation
//! in Lu et al. for ours): what went wrong on the way is drowned in it, and the pictures are more alike to real ones and less to each other
//! (Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", section 4).

use std::f64::consts::{FRAC_PI_2, PI};

/// Where the way back from noise begins. At 1 itself nothing of the picture is left to be told.
const START: f64 = 0.995;

/// Largest ratio of noise to picture by which the noise that is kept is multiplied: without a bound the first steps would keep
/// more noise than there is.
const MOST_NOISE: f64 = 20.0;

/// Shares of the picture and of the noise at the time `t`.
pub fn shares(t: f64) -> (f64, f64) {
    let (noise, picture) = (t * FRAC_PI_2).sin_cos();
    (picture, noise)
}

/// A picture with noise on it at the time `t`, and the velocity that a network is to say of it.
pub fn noised(picture: &[f32], noise: &[f32], t: f64) -> (Vec<f32>, Vec<f32>) {
    let (alpha, sigma) = shares(t);
    let (alpha, sigma) = (alpha as f32, sigma as f32);
    let both = || picture.iter().zip(noise);
    (
        both().map(|(x, e)| alpha * x + sigma * e).collect(),
        both().map(|(x, e)| alpha * e - sigma * x).collect(),
    )
}

/// The time before the step `step` of `steps`.
fn time(step: usize, steps: usize) -> f64 {
    START * 0.5 * (1.0 + (PI * step as f64 / steps.max(1) as f64).cos())
}

/// The way from noise to a picture.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Steps, at least 1.
    pub steps: usize,
    /// Share of the noise that stays, times its ratio to the picture.
    pub kept: f32,
    /// How much of the noise of a step is new, from 0.
    pub anew: f32,
}

/// The picture that comes of noise on this way. `noise` gives as many normal numbers as a picture has, others each time;
/// `velocity` is what the network says of values at a time.
///
/// # Errors
/// Those of `velocity`.
pub fn sample<E>(
    Way { steps, kept, anew }: Way,
    mut noise: impl FnMut() -> Vec<f32>,
    mut velocity: impl FnMut(&[f32], f64) -> Result<Vec<f32>, E>,
) -> Result<Vec<f32>, E> {
    let time = |step: usize| time(step, steps);
    let anew = f64::from(anew);
    // Half the logarithm of the ratio of picture to noise.
    let ratio = |t: f64| {
        let (alpha, sigma) = shares(t);
        (alpha / sigma).ln()
    };
    let mut values = noise();
    let mut before: Option<Vec<f32>> = None;
    for step in 0..steps.max(1) {
        let (from, to) = (time(step), time(step + 1));
        let said = velocity(&values, from)?;
        let (alpha, sigma) = shares(from);
        let last = step + 1 >= steps.max(1);
        let kept = if last { 0.0 } else { kept * (sigma / alpha).min(MOST_NOISE) as f32 };
        let (alpha, sigma) = (alpha as f32, sigma as f32);
        let both = values.iter().zip(&said);
        let picture: Vec<f32> =
            both.map(|(z, v)| alpha * z - sigma * v + kept * (sigma * z + alpha * v)).collect();
        if last {
            return Ok(picture);
        }
        let h = ratio(to) - ratio(from);
        let (next_alpha, next_sigma) = shares(to);
        let keep = (next_sigma * (-anew * h).exp()) as f32 / sigma;
        let take = (-next_alpha * (-(1.0 + anew) * h).exp_m1()) as f32;
        let new = (next_sigma * (-(-2.0 * anew * h).exp_m1()).sqrt()) as f32;
        // The picture in the middle of the step, by the straight line through this one and the one before.
        let ahead = match step {
            0 => 0.0,
            _ => (0.5 * h / (ratio(from) - ratio(time(step - 1)))) as f32,
        };
        let earlier = before.as_ref().unwrap_or(&picture);
        for ((z, x), earlier) in values.iter_mut().zip(&picture).zip(earlier) {
            *z = keep * *z + take * (x + ahead * (x - earlier));
        }
        if new > 0.0 {
            values.iter_mut().zip(noise()).for_each(|(z, e)| *z += new * e);
        }
        before = Some(picture);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of pictures of one normal number with this mean and deviation, the velocity that is right on average.
    fn exact(z: f64, t: f64, (mean, deviation): (f64, f64)) -> f64 {
        let (alpha, sigma) = shares(t);
        let variance = (alpha * deviation).powi(2) + sigma * sigma;
        let picture = mean + alpha * deviation * deviation / variance * (z - alpha * mean);
        let noise = (z - alpha * picture) / sigma;
        alpha * noise - sigma * picture
    }

    fn way(steps: usize) -> Way {
        Way { steps, kept: 0.0, anew: 0.0 }
    }

    /// The same way in ten thousand small steps along the velocity, in double precision.
    fn plain(mut z: f64, normal: (f64, f64)) -> f64 {
        const STEPS: usize = 10_000;
        for step in 0..STEPS {
            let time = |step: f64| START * (1.0 - step / STEPS as f64);
            // The derivative of alpha x + sigma e by the angle is the velocity; the midpoint is of second order.
            let by = (time(step as f64 + 1.0) - time(step as f64)) * FRAC_PI_2;
            let half = z + 0.5 * by * exact(z, time(step as f64), normal);
            z += by * exact(half, time(step as f64 + 0.5).max(1e-9), normal);
        }
        z
    }

    #[test]
    fn a_few_steps_come_where_ten_thousand_small_ones_do() {
        for normal in [(0.7, 0.4), (-1.5, 1.0), (0.0, 1.6)] {
            let noise = [-2.0f32, -0.5, 0.0, 1.0, 2.5];
            let want: Vec<f64> = noise.iter().map(|z| plain(f64::from(*z), normal)).collect();
            let apart = |steps: usize| {
                let velocity = |z: &[f32], t: f64| {
                    Ok::<_, ()>(z.iter().map(|z| exact(f64::from(*z), t, normal) as f32).collect())
                };
                let got = sample(way(steps), || noise.to_vec(), velocity).unwrap();
                got.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs()).fold(0.0, f64::max)
            };
            assert!(apart(12) < 0.15, "{normal:?}: {}", apart(12));
            assert!(apart(100) < 0.01, "{normal:?}: {}", apart(100));
            assert!(apart(100) < apart(12), "{normal:?}");
        }
    }

    #[test]
    fn new_noise_leaves_the_pictures_what_they_are_as_a_whole_and_drowns_what_went_wrong() {
        const PICTURES: usize = 20_000;
        let normal = (0.7, 0.4);
        // One that errs early on: what it says of pictures that are nearly noise is off.
        let spread = |anew: f32, error: f64| {
            let mut rng = nn::random::stream(5, "sampler");
            let velocity = |z: &[f32], t: f64| {
                let off = if t > 0.7 { error } else { 0.0 };
                Ok::<_, ()>(z.iter().map(|z| (exact(f64::from(*z), t, normal) + off) as f32).collect())
            };
            let noise = || nn::random::normals(&mut rng, PICTURES);
            let got = sample(Way { anew, ..way(60) }, noise, velocity).unwrap();
            let mean = got.iter().map(|x| f64::from(*x)).sum::<f64>() / PICTURES as f64;
            let variance = got.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / PICTURES as f64;
            (mean, variance.sqrt())
        };
        for anew in [0.0, 0.5, 1.0] {
            let (mean, deviation) = spread(anew, 0.0);
            assert!((mean - normal.0).abs() < 0.015, "{anew}: {mean}");
            assert!((deviation - normal.1).abs() < 0.015, "{anew}: {deviation}");
        }
        let wrong = |anew: f32| (spread(anew, 0.3).0 - normal.0).abs();
        assert!(wrong(1.0) < 0.5 * wrong(0.0), "{} and {}", wrong(1.0), wrong(0.0));
    }

    #[test]
    fn the_steps_go_from_noise_to_the_picture_and_are_short_at_both_ends() {
        let times: Vec<f64> = (0..=20).map(|step| time(step, 20)).collect();
        assert_eq!((times[0], times[20]), (START, 0.0));
        let lengths: Vec<f64> = times.windows(2).map(|two| two[0] - two[1]).collect();
        assert!(lengths.iter().all(|length| *length > 0.0));
        assert!(lengths[10] > 5.0 * lengths[0] && lengths[10] > 5.0 * lengths[19]);
    }

    #[test]
    fn noise_that_is_kept_gives_pictures_that_are_too_flat_their_contrast_back() {
        // A network that says pictures of deviation 0.8 flatter than they are, as one does that has not learnt enough.
        let flat = |z: &[f32], t: f64| {
            let (alpha, sigma) = shares(t);
            let said = z.iter().map(|z| {
                let z = f64::from(*z);
                let velocity = exact(z, t, (0.0, 0.8));
                let picture = 0.97 * (alpha * z - sigma * velocity);
                (alpha * (z - alpha * picture) / sigma - sigma * picture) as f32
            });
            Ok::<_, ()>(said.collect())
        };
        let deviation =
            |kept: f32| f64::from(sample(Way { kept, ..way(20) }, || vec![1.0], flat).unwrap()[0]);
        assert!(deviation(0.0) < 0.75, "{}", deviation(0.0));
        assert!((deviation(0.02) - 0.8).abs() < (deviation(0.0) - 0.8).abs(), "{}", deviation(0.02));
        assert!(deviation(0.01) > deviation(0.0) && deviation(0.02) > deviation(0.01));
    }

    #[test]
    fn the_velocity_of_training_gives_picture_and_noise_back() {
        let (picture, noise) = (vec![0.3f32, -1.2], vec![0.9f32, 0.1]);
        for t in [0.0, 0.3, 0.8, 1.0] {
            let (z, v) = noised(&picture, &noise, t);
            let (alpha, sigma) = shares(t);
            for at in 0..2 {
                assert!((alpha as f32 * z[at] - sigma as f32 * v[at] - picture[at]).abs() < 1e-6);
                assert!((sigma as f32 * z[at] + alpha as f32 * v[at] - noise[at]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn what_stops_the_network_stops_the_way() {
        let mut asked = 0;
        let velocity = |z: &[f32], _| {
            asked += 1;
            if asked > 3 { Err("stopped") } else { Ok(z.to_vec()) }
        };
        assert_eq!(sample(way(12), || vec![0.5; 4], velocity), Err("stopped"));
        assert_eq!(asked, 4);
    }
}
