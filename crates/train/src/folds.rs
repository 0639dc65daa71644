//! Folds within the training examples, for what is chosen or calibrated on examples that a fit has not seen.
//!
//! What is held out together for validation is held back together here: whoever asks a fit about a patient whose other
//! visits it has learned gets an answer that is right too often, and a penalty and a temperature that promise too much.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use nn::random;

/// Folds at most.
const FOLDS: usize = 5;

/// Members of every fold, each label spread as evenly as the units allow: examples with the same number in `units` are in one
/// fold. Where all examples are one unit, each is its own.
pub fn folds(truth: &[usize], units: &[usize], seed: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.shuffle(&mut random::stream(seed, "folds"));
    order.sort_by_key(|i| truth[*i]);
    let one = units.windows(2).all(|pair| pair[0] == pair[1]);
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for member in order {
        let unit = if one { member } else { units[member] };
        let place = *places.entry(unit).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(member);
    }
    // Large units first: small ones can still even out what they leave.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let labels = truth.iter().max().map_or(0, |most| most + 1);
    let mut folds = vec![Vec::new(); FOLDS];
    let mut filled = vec![vec![0; labels]; FOLDS];
    for group in groups {
        let crowded = |fold: &usize| {
            let alike: usize = group.iter().map(|member| filled[*fold][truth[*member]]).sum();
            (alike, folds[*fold].len())
        };
        let best = (0..FOLDS).min_by_key(crowded).unwrap_or(0);
        group.iter().for_each(|member| filled[best][truth[*member]] += 1);
        folds[best].extend(group);
    }
    folds.retain(|fold| !fold.is_empty());
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_share_out_every_label() {
        let truth: Vec<usize> = (0..103).map(|i| usize::from(i % 10 == 0)).collect();
        let units: Vec<usize> = (0..103).collect();
        let folds = folds(&truth, &units, 3);
        let mut all: Vec<usize> = folds.concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        for fold in &folds {
            let rare = fold.iter().filter(|i| truth[**i] == 1).count();
            assert!((2..=3).contains(&rare) && (20..=21).contains(&fold.len()), "{rare} {}", fold.len());
        }
    }

    #[test]
    fn a_unit_is_in_one_fold() {
        // 60 people of one to four visits, each with a label of its own.
        let units: Vec<usize> = (0..60).flat_map(|person| vec![person; 1 + person % 4]).collect();
        let truth: Vec<usize> = (0..units.len()).map(|i| usize::from(i % 3 == 0)).collect();
        let folds = folds(&truth, &units, 1);
        assert_eq!(folds.len(), 5);
        for (number, fold) in folds.iter().enumerate() {
            assert!((26..=34).contains(&fold.len()), "{}", fold.len());
            let own: std::collections::BTreeSet<usize> = fold.iter().map(|i| units[*i]).collect();
            let elsewhere = folds.iter().enumerate().filter(|(other, _)| *other != number);
            assert!(elsewhere.flat_map(|(_, fold)| fold).all(|i| !own.contains(&units[*i])));
        }
        // Of few units there are few folds, and one unit says nothing of itself.
        assert_eq!(super::folds(&[0, 1, 0, 1], &[0, 0, 1, 1], 0).len(), 2);
        assert_eq!(super::folds(&[0, 1, 0, 1], &[7; 4], 0).len(), 4);
    }
}
