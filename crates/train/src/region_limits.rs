//! What a network finds on the pictures it knows, so that a picture on which it finds something else gets no regions.
//!
//! Clouds and fields of stars look like nuclei from afar, and what tells pictures apart as a whole lets some of them pass. But of
//! what it outlines there a network is less sure than of anything that it was trained on, or its objects are smaller.

use std::collections::BTreeMap;

use anyhow::Result;
use rayon::prelude::*;

use super::masks::Example;
use super::region_choice::segmenter;
use model::Manifest;
use model::manifest::UsualRegions;
use nn::ImageNetwork;
use vision::segment::Segmenter;

/// One in so many pictures is beyond a limit.
const RARE: usize = 200;
/// Fewest pictures that say what is usual.
const FEWEST: usize = 20;
/// Most pictures that are looked at.
const MOST: usize = 1000;

/// The limits of what a network finds on the pictures of training and validation; nothing where there are too few. The network
/// has learnt from most of them and is surer there than elsewhere, but not by much: it is the sparsest and faintest that decide.
///
/// # Errors
/// A picture that cannot be read, or a network that fails.
pub fn usual(
    network: &ImageNetwork,
    manifest: &Manifest,
    splits: &BTreeMap<String, Vec<Example>>,
) -> Result<Option<UsualRegions>> {
    let seen: Vec<&Example> =
        ["train", "val"].into_iter().filter_map(|split| splits.get(split)).flatten().collect();
    let every = seen.len().div_ceil(MOST).max(1);
    let chosen: Vec<&Example> = seen.into_iter().step_by(every).collect();
    let segmenter = segmenter(network, manifest)?;
    let find = |segmenter: &mut Segmenter, example: &&Example| segmenter.run(&example.image, || false);
    let found: Vec<_> = chosen.par_iter().map_init(|| segmenter.clone(), find).collect::<Result<_, _>>()?;
    let outlined = || found.iter().filter(|regions| regions.share() > 0.0);
    let certainties = outlined().map(|regions| f64::from(regions.certainty)).collect();
    let medians = outlined().filter_map(|regions| regions.median_pixels()).collect();
    let usual = |least_certainty| UsualRegions { least_certainty, least_median: least(medians) };
    Ok(least(certainties).map(usual))
}

/// What one in [`RARE`] values is below.
fn least(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    if values.len() < FEWEST { None } else { values.get(values.len() / RARE).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_two_hundred_is_below_a_limit() {
        let values: Vec<f64> = (0..1000).map(|at| f64::from((at * 7) % 1000)).collect();
        assert_eq!(least(values), Some(5.0));
        assert_eq!(least((0..20).map(f64::from).collect()), Some(0.0));
        assert_eq!(least(vec![1.0; 19]), None);
    }
}
