//! Pictures that are not of a kind, made from those that are, and by chance.
//!
//! What foreign pictures will be sent is not known at training. What can be made without them are
//! training pictures turned, torn apart, enlarged, covered, coarsened or drowned, and pictures of chance: clouds, slopes,
//! waves, shapes, lines. A network that tells these from the training pictures also tells other
//! pictures from them (outlier exposure: Hendrycks et al. 2019, "Deep anomaly detection with outlier
//! exposure", here with outliers that need no further data).

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::augment::Planes;
use nn::random::{normal, uniform};
use vision::likeness::standardise;

/// Number of kinds of alteration.
pub const KINDS: usize = 18;

/// A picture made from `picture` (planes of any scale) by the alteration `kind`, with mean 0 and
/// variance 1.
pub fn altered(picture: &[f32], size: Planes, kind: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut values = match kind {
        0 => moved(picture, size, |x, y| (1.0 - x, 1.0 - y)),
        1 => quarter_turn(picture, size, rng.random()),
        2 => moved(picture, size, |x, y| (x, 1.0 - y)),
        3 => picture.iter().map(|value| -value).collect(),
        4 => enlarged(picture, size, rng),
        5 => {
            let (dx, dy) = (uniform(rng, 0.25, 0.75), uniform(rng, 0.25, 0.75));
            moved(picture, size, |x, y| ((x + dx).fract(), (y + dy).fract()))
        }
        6 => torn(picture, size, rng),
        7 => {
            let rounds = rng.random_range(0..12);
            clouds(size, rounds, rng)
        }
        8 => slope(size, rng),
        9 => shapes(size, false, rng),
        10 => shapes(size, true, rng),
        11 => waves(size, rng),
        12 => {
            let (share, rounds) = (uniform(rng, 0.0, 0.8), rng.random_range(0..6));
            let clouds = clouds(size, rounds, rng);
            picture.iter().zip(clouds).map(|(value, cloud)| share * value + cloud).collect()
        }
        13 => lines(size, rng),
        14 => part(picture, size, uniform(rng, 0.4, 0.8), rng),
        15 => tilted(picture, size, rng),
        16 => covered(picture, size, rng),
        _ => coarse(picture, size, rng),
    };
    standardise(&mut values);
    values
}

/// Each place takes the value of the place that `from` names; both as shares of the sides.
fn moved(picture: &[f32], size: Planes, from: impl Fn(f32, f32) -> (f32, f32)) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let place = |share: f32, side: usize| ((share * side as f32) as usize).min(side - 1);
    let mut moved = Vec::with_capacity(picture.len());
    for plane in picture.chunks(height * width) {
        for at in 0..plane.len() {
            let centre = |place: usize, side: usize| (place as f32 + 0.5) / side as f32;
            let (x, y) = from(centre(at % width, width), centre(at / width, height));
            moved.push(plane[place(y, height) * width + place(x, width)]);
        }
    }
    moved
}

fn quarter_turn(picture: &[f32], size: Planes, left: bool) -> Vec<f32> {
    moved(picture, size, |x, y| if left { (1.0 - y, x) } else { (y, 1.0 - x) })
}

/// The value at a place between others, both as shares of the sides and brought to them.
fn between(plane: &[f32], Planes { height, width, .. }: Planes, x: f32, y: f32) -> f32 {
    let (x, y) = (x.clamp(0.0, 1.0) * (width - 1) as f32, y.clamp(0.0, 1.0) * (height - 1) as f32);
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
    let (fx, fy) = (x.fract(), y.fract());
    let row = |y: usize| plane[y * width + x0] * (1.0 - fx) + plane[y * width + x1] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

/// Such a share of each side, drawn over the whole.
fn part(picture: &[f32], size: Planes, share: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let (left, top) = (uniform(rng, 0.0, 1.0 - share), uniform(rng, 0.0, 1.0 - share));
    let planes = picture.chunks(height * width);
    let drawn = planes.flat_map(|plane| {
        (0..plane.len()).map(move |at| {
            let (x, y) = ((at % width) as f32 / width as f32, (at / width) as f32 / height as f32);
            between(plane, size, left + share * x, top + share * y)
        })
    });
    drawn.collect()
}

/// A part of a quarter to a half of each side, turned any way.
fn enlarged(picture: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let share = uniform(rng, 0.25, 0.5);
    let part = part(picture, size, share, rng);
    match rng.random_range(0..4) {
        0 => part,
        1 => moved(&part, size, |x, y| (1.0 - x, 1.0 - y)),
        turn => quarter_turn(&part, size, turn == 2),
    }
}

/// Turned by 20 to 60 degrees either way, what was outside black or as the edge is.
fn tilted(picture: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let angle = uniform(rng, 20.0, 60.0).to_radians() * if rng.random() { 1.0 } else { -1.0 };
    let ((sin, cos), edges) = (angle.sin_cos(), rng.random::<bool>());
    let mut turned = Vec::with_capacity(picture.len());
    for plane in picture.chunks(height * width) {
        let black = plane.iter().copied().fold(f32::INFINITY, f32::min);
        for at in 0..plane.len() {
            let x = ((at % width) as f32 + 0.5) / width as f32 - 0.5;
            let y = ((at / width) as f32 + 0.5) / height as f32 - 0.5;
            let (x, y) = (0.5 + cos * x - sin * y, 0.5 + sin * x + cos * y);
            let inside = (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
            turned.push(if inside || edges { between(plane, size, x, y) } else { black });
        }
    }
    turned
}

/// One tone over a quarter to three fifths, from one side.
fn covered(picture: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let (share, side, lightness) = (uniform(rng, 0.25, 0.6), rng.random_range(0..4), rng.random::<f32>());
    let mut values = picture.to_vec();
    for plane in values.chunks_mut(height * width) {
        let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
        let high = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (at, value) in plane.iter_mut().enumerate() {
            let x = ((at % width) as f32 + 0.5) / width as f32;
            let y = ((at / width) as f32 + 0.5) / height as f32;
            if [x, y, 1.0 - x, 1.0 - y][side] < share {
                *value = low + lightness * (high - low);
            }
        }
    }
    values
}

/// Drawn in 4 to 9 squares a side.
fn coarse(picture: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let squares = rng.random_range(4..10usize).min(height.min(width).div_ceil(2));
    let mut values = picture.to_vec();
    for plane in values.chunks_mut(height * width) {
        let (mut sums, mut counts) = (vec![0.0f32; squares * squares], vec![0.0f32; squares * squares]);
        let square = |at: usize| at / width * squares / height * squares + at % width * squares / width;
        for (at, value) in plane.iter().enumerate() {
            sums[square(at)] += value;
            counts[square(at)] += 1.0;
        }
        plane.iter_mut().enumerate().for_each(|(at, value)| *value = sums[square(at)] / counts[square(at)]);
    }
    values
}

/// The four quarters in another order.
fn torn(picture: &[f32], size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut order = [0usize, 1, 2, 3];
    while order == [0, 1, 2, 3] {
        order.shuffle(rng);
    }
    moved(picture, size, |x, y| {
        let quarter = usize::from(x >= 0.5) + 2 * usize::from(y >= 0.5);
        let from = order[quarter];
        ((x % 0.5) + 0.5 * (from % 2) as f32, (y % 0.5) + 0.5 * (from / 2) as f32)
    })
}

/// Noise, blurred so many times.
fn clouds(size: Planes, rounds: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut values: Vec<f32> = (0..size.channels * size.height * size.width).map(|_| normal(rng)).collect();
    (0..rounds).for_each(|_| blurred(&mut values, size));
    standardise(&mut values);
    values
}

/// The mean of each place and those beside it, along rows and then along columns.
fn blurred(values: &mut [f32], size: Planes) {
    let Planes { height, width, .. } = size;
    for plane in values.chunks_mut(height * width) {
        for (step, along, lines, across) in [(1, width, height, width), (width, height, width, 1)] {
            for line in 0..lines {
                let before: Vec<f32> = (0..along).map(|at| plane[line * across + at * step]).collect();
                for at in 0..along {
                    let (low, high) = (at.saturating_sub(1), (at + 1).min(along - 1));
                    plane[line * across + at * step] = (before[low] + before[at] + before[high]) / 3.0;
                }
            }
        }
    }
}

/// `value` at each place, from -1 to 1 across both sides, in each plane.
fn drawn(size: Planes, mut value: impl FnMut(usize, f32, f32) -> f32) -> Vec<f32> {
    let Planes { channels, height, width } = size;
    let mut values = Vec::with_capacity(channels * height * width);
    for plane in 0..channels {
        for at in 0..height * width {
            let x = 2.0 * (at % width) as f32 / (width.max(2) - 1) as f32 - 1.0;
            let y = 2.0 * (at / width) as f32 / (height.max(2) - 1) as f32 - 1.0;
            values.push(value(plane, x, y));
        }
    }
    values
}

fn slope(size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (sin, cos) = uniform(rng, 0.0, std::f32::consts::TAU).sin_cos();
    let (bowl, cx, cy) = (normal(rng), uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5));
    drawn(size, |_, x, y| cos * x + sin * y + bowl * ((x - cx).powi(2) + (y - cy).powi(2)))
}

fn waves(size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (sin, cos) = uniform(rng, 0.0, std::f32::consts::TAU).sin_cos();
    let (often, phase) = (uniform(rng, 1.0, 14.0), uniform(rng, 0.0, 6.0));
    let hard = rng.random::<bool>();
    drawn(size, |_, x, y| {
        let wave = (often * (cos * x + sin * y) + phase).sin();
        if hard { wave.signum() } else { wave }
    })
}

/// Rectangles, or ellipses with soft edges, over one tone.
fn shapes(size: Planes, round: bool, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let tone = |rng: &mut ChaCha8Rng| [rng.random::<f32>(), rng.random(), rng.random()];
    let ground = tone(rng);
    let mut values = drawn(size, |plane, _, _| ground[plane % 3]);
    for _ in 0..rng.random_range(1..10) {
        let (cx, cy) = (uniform(rng, -1.0, 1.0), uniform(rng, -1.0, 1.0));
        let (rx, ry) = (uniform(rng, 0.08, 0.9), uniform(rng, 0.08, 0.9));
        let tone = tone(rng);
        let over = drawn(size, |_, x, y| {
            let (dx, dy) = (((x - cx) / rx).abs(), ((y - cy) / ry).abs());
            let inside = if round { dx * dx + dy * dy < 1.0 } else { dx.max(dy) < 1.0 };
            f32::from(u8::from(inside))
        });
        let plane = size.height * size.width;
        for (at, (value, over)) in values.iter_mut().zip(over).enumerate() {
            *value += over * (tone[at / plane % 3] - *value);
        }
    }
    if round {
        (0..rng.random_range(0..3)).for_each(|_| blurred(&mut values, size));
    }
    values
}

/// Lines of text, as they look from afar: rows of strokes on one tone.
fn lines(size: Planes, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let Planes { height, width, .. } = size;
    let step = rng.random_range(2..5);
    let filled = uniform(rng, 0.3, 1.0);
    let strength = uniform(rng, -1.0, 1.0);
    let mut page = vec![0.0f32; height * width];
    for y in (rng.random_range(0..step)..height).step_by(step) {
        let end = (uniform(rng, 0.2, 1.0) * width as f32) as usize;
        let start = rng.random_range(0..width.div_ceil(8).max(1));
        for x in start..end.max(start) {
            if rng.random::<f32>() < filled {
                page[y * width + x] = strength * uniform(rng, 0.3, 1.0);
            }
        }
    }
    page.repeat(size.channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random;

    #[test]
    fn every_kind_makes_a_picture_of_the_same_size_that_is_another() {
        let mut rng = random::stream(0, "alterations");
        for (channels, height, width) in [(1, 28, 28), (3, 16, 16), (1, 5, 9)] {
            let size = Planes { channels, height, width };
            let mut picture = drawn(size, |plane, x, y| x - 2.0 * y + plane as f32 + (7.0 * x).sin());
            standardise(&mut picture);
            for kind in 0..KINDS {
                let other = altered(&picture, size, kind, &mut rng);
                assert_eq!(other.len(), picture.len());
                assert!(other.iter().all(|value| value.is_finite()), "kind {kind}");
                let apart: f32 = picture.iter().zip(&other).map(|(a, b)| (a - b).abs()).sum();
                assert!(apart / picture.len() as f32 > 0.05, "kind {kind} changed nothing");
            }
        }
    }

    #[test]
    fn a_turn_is_a_turn() {
        let size = Planes { channels: 1, height: 2, width: 2 };
        assert_eq!(moved(&[1.0, 2.0, 3.0, 4.0], size, |x, y| (1.0 - x, 1.0 - y)), [4.0, 3.0, 2.0, 1.0]);
        assert_eq!(quarter_turn(&[1.0, 2.0, 3.0, 4.0], size, true), [2.0, 4.0, 1.0, 3.0]);
    }
}
