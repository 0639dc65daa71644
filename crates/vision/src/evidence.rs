//! What a classifier's answer rests on, by occlusion (Zeiler and Fergus 2014, "Visualizing and understanding
//! convolutional networks").
//!
//! Parts of the network's input are covered with the picture's mean, one after another, and the answer is asked for each
//! time: what it loses is the evidence of that part. This needs nothing of a network but its answers, so it holds for every
//! architecture. It is evidence of the answer, not the place of a finding: a network may look beside it.

use std::ops::Range;

use super::image::Image;

/// Parts along a side. Each window covers two by two of them, and windows overlap by one.
const PARTS: usize = 8;

/// A covered part of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Its rows.
    pub rows: Range<usize>,
    /// Its columns.
    pub columns: Range<usize>,
}

/// The parts of an input of `height` x `width` that are covered, one after another.
pub fn covers(height: usize, width: usize) -> Vec<Cover> {
    let along = |length: usize| -> Vec<Range<usize>> {
        let parts = PARTS.min(length.max(1));
        let edge = |part: usize| (part * length / parts).min(length);
        // Each is two parts wide and overlaps its neighbor; of one part there is the whole.
        (0..parts.saturating_sub(1).max(1)).map(|part| edge(part)..edge(part + 2)).collect()
    };
    let columns = along(width);
    let row = |rows: Range<usize>| {
        let cover = move |columns: &Range<usize>| Cover { rows: rows.clone(), columns: columns.clone() };
        columns.iter().map(cover).collect::<Vec<_>>()
    };
    along(height).into_iter().flat_map(row).collect()
}

/// A normalised input of `height` x `width` with a part covered by its mean, which normalisation has made 0.
pub fn covered(input: &[f32], (height, width): (usize, usize), cover: &Cover) -> Vec<f32> {
    let mut copy = input.to_vec();
    for plane in copy.chunks_exact_mut((height * width).max(1)) {
        for row in cover.rows.clone() {
            plane[row * width..][cover.columns.clone()].fill(0.0);
        }
    }
    copy
}

/// The evidence of each place of an input: the mean over the covers of it of what the answer lost.
pub fn evidence((height, width): (usize, usize), covers: &[Cover], lost: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; height * width];
    let mut counts = vec![0u32; height * width];
    for (cover, lost) in covers.iter().zip(lost) {
        for row in cover.rows.clone() {
            for column in cover.columns.clone() {
                sums[row * width + column] += lost;
                counts[row * width + column] += 1;
            }
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / count.max(1) as f32).collect()
}

/// Rows and columns of the grid of parts on an input, whose evidence is constant within each.
pub fn grid((height, width): (usize, usize)) -> (usize, usize) {
    (PARTS.min(height.max(1)), PARTS.min(width.max(1)))
}

/// The evidence of each part of an input's [`grid`], row after row, from what its [`covers`] lost.
pub fn evidence_of_parts(size: (usize, usize), lost: &[f32]) -> Vec<f32> {
    let grid = grid(size);
    // On the grid itself every part is one place, so its covers are those of the input, in the same order.
    evidence(grid, &covers(grid.0, grid.1), lost)
}

/// Draws evidence over the part of a picture that the network saw: red speaks for the answer and blue against it, the
/// strongest evidence of the picture in full colour.
pub fn drawn(
    image: &Image,
    seen: (Range<usize>, Range<usize>),
    evidence: &[f32],
    size: (usize, usize),
) -> Vec<u8> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let strongest = evidence.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
    let grey = image.grey();
    let mut pixels = Vec::with_capacity(3 * height * width);
    for row in 0..height {
        for column in 0..width {
            let light = grey[row * width + column];
            let inside = seen.0.contains(&row) && seen.1.contains(&column);
            let value = match inside {
                true => {
                    let place =
                        |at: usize, seen: &Range<usize>, own: usize| (at - seen.start) * own / seen.len();
                    evidence[place(row, &seen.0, size.0) * size.1 + place(column, &seen.1, size.1)]
                        / strongest
                }
                false => 0.0,
            };
            // Half of a pixel is the picture's at the least.
            let share = 0.5 * value.abs();
            let colour = if value >= 0.0 { [1.0, 0.1, 0.0] } else { [0.0, 0.3, 1.0] };
            pixels.extend(colour.map(|tint| ((light * (1.0 - share) + tint * share) * 255.0).round() as u8));
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_covered_and_what_counts_is_found() {
        for (height, width) in [(28, 28), (9, 40), (1, 1), (3, 2)] {
            let covers = covers(height, width);
            let seen = evidence((height, width), &covers, &vec![1.0; covers.len()]);
            assert!(seen.iter().all(|value| (value - 1.0).abs() < 1e-6), "{height} x {width}");
        }
        // An answer that is the sum over a corner.
        let size = (32, 32);
        let input = vec![1.0; 2 * 32 * 32];
        let answer = |input: &[f32]| -> f32 {
            input.chunks(1024).map(|plane| (20..26).map(|row| plane[row * 32 + 5]).sum::<f32>()).sum()
        };
        let covers = covers(32, 32);
        let lost: Vec<f32> =
            covers.iter().map(|cover| answer(&input) - answer(&covered(&input, size, cover))).collect();
        let found = evidence(size, &covers, &lost);
        let best = (0..1024).max_by(|a, b| found[*a].total_cmp(&found[*b])).unwrap();
        assert!(
            (20..26).contains(&(best / 32)) && (4..8).contains(&(best % 32)),
            "{} {}",
            best / 32,
            best % 32
        );
        assert_eq!(found[31], 0.0);
    }

    #[test]
    fn the_grid_says_what_every_place_says() {
        for (height, width) in [(28, 28), (9, 40), (1, 1), (3, 2), (224, 224)] {
            let covers = covers(height, width);
            let lost: Vec<f32> = (0..covers.len()).map(|at| (at * 7 % 11) as f32 - 4.0).collect();
            let places = evidence((height, width), &covers, &lost);
            let (rows, columns) = grid((height, width));
            let parts = evidence_of_parts((height, width), &lost);
            assert_eq!(parts.len(), rows * columns);
            for (part, value) in parts.iter().enumerate() {
                // The middle of the part.
                let (row, column) = (part / columns, part % columns);
                let row = (row * height / rows + (row + 1) * height / rows) / 2;
                let column = (column * width / columns + (column + 1) * width / columns) / 2;
                assert_eq!(places[row * width + column], *value, "{height} x {width}, part {part}");
            }
        }
    }

    #[test]
    fn what_speaks_for_an_answer_is_red_and_what_was_not_seen_is_grey() {
        let image = Image::from_gray8(4, 2, vec![100; 8]).unwrap();
        let pixels = drawn(&image, (0..2, 1..3), &[1.0, -0.5], (1, 2));
        let of = |at: usize| [pixels[3 * at], pixels[3 * at + 1], pixels[3 * at + 2]];
        assert_eq!((of(0), of(3)), ([100; 3], [100; 3]));
        assert!(of(1)[0] > of(1)[2] && of(2)[2] > of(2)[0]);
        assert!(of(1)[0] > of(2)[2]);
    }
}
