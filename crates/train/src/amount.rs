//! How long and how large to train where nobody says: by the size of the data.
//!
//! An epoch of a few hundred images is a few steps, and a run of a few epochs of these has learnt next to
//! nothing; a large picture of which there are few examples is learnt by heart.

/// Steps that a run takes at least.
const STEPS: usize = 1000;

/// Epochs of a large data set, and the most of a small one.
const EPOCHS: (usize, usize) = (24, 100);

/// Training images below which the network's input is small, and the side that it then has at most.
const FEW: (usize, u32) = (1500, 64);

/// Epochs over so many examples.
pub fn epochs(examples: usize, batch: usize) -> usize {
    let steps = examples.div_ceil(batch.max(1)).max(1);
    STEPS.div_ceil(steps).clamp(EPOCHS.0, EPOCHS.1)
}

/// Epochs without a better validation loss after which a run of so many ends.
pub fn patience(epochs: usize) -> usize {
    (epochs / 3).max(8)
}

/// The side of the network's input, where the median of the images' shorter sides is `median`.
pub fn side(median: u32, examples: usize) -> u32 {
    if examples < FEW.0 { median.min(FEW.1) } else { median }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_are_seen_more_often_and_smaller() {
        assert_eq!(
            (epochs(624, 64), epochs(4249, 64), epochs(100_000, 64), epochs(2, 64)),
            (100, 24, 24, 100)
        );
        assert_eq!((patience(24), patience(100)), (8, 33));
        assert_eq!((side(224, 624), side(28, 624), side(224, 4746)), (64, 28, 224));
    }
}
