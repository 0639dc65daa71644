//! What a network over images loses when it is computed over bytes or over numbers of half the length, and whether
//! a package allows it.
//!
//! Between what the values of every layer lie is measured on training pictures, and how values far out are
//! treated is chosen by what it does to the logits of others of them. What it costs is measured once, on
//! the validation split: where accuracy falls by more than 0.2 points, the stem stays in single precision,
//! and where that does not help either, the whole network. The last layer, a few products at most, always does.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;

use super::card;
use super::examples::Source;
use super::finish::amend as rewrite;
use super::fit::Examples;
use super::image_set::ImageSet;
use super::metrics::highest;
use model::calibration::probabilities;
use model::manifest::{Architecture, Bf16, ImageInput, Input, Int8, Measure, PrecisionCost, Precisions};
use model::{Manifest, Package};
use nn::{Calibration, Clipping, Numerics, Params, Plan, Ranges, Runner};
use vision::network;

/// Most training pictures that ranges are measured on, and that they are compared by.
const MOST: usize = 512;

/// What is tried, with its name in the manifest.
const CLIPPINGS: [(&str, Clipping); 5] = [
    ("none", Clipping::Nothing),
    ("share 0.00001", Clipping::Share(1e-5)),
    ("share 0.0001", Clipping::Share(1e-4)),
    ("share 0.001", Clipping::Share(1e-3)),
    ("error", Clipping::Error),
];

/// Measures the package over bytes on the data that it was trained on, and writes what was found to its manifest
/// and its card; weights and answers in single precision stay.
///
/// # Errors
/// A package that does not classify images; data that do not fit it; what the file system says.
pub fn amend(package: Package, source: &Source) -> Result<Manifest> {
    let precisions = measure(&package.manifest, &package.weights, source)?;
    say(package, precisions)
}

/// Writes what was measured to a package's manifest and card.
///
/// # Errors
/// What the file system says; a package that would be refused.
pub fn say(package: Package, precisions: Precisions) -> Result<Manifest> {
    let Package { folder, mut manifest, card: mut text, .. } = package;
    let before = card::precision(&manifest);
    manifest.precision = Some(precisions);
    let after = card::precision(&manifest);
    let heading = ["## Data\n", "## Measured on\n"].into_iter().find(|heading| text.contains(heading));
    text = match heading {
        _ if !before.is_empty() && text.contains(&before) => text.replacen(&before, &after, 1),
        Some(heading) => text.replacen(heading, &format!("{after}{heading}"), 1),
        None => text,
    };
    rewrite(&folder, &manifest, &text, &[])?;
    Ok(manifest)
}

/// What the network of `manifest` is computed with over bytes, and what it costs.
///
/// # Errors
/// As [`amend`].
pub fn measure(
    manifest: &Manifest,
    weights: &BTreeMap<String, Tensor>,
    source: &Source,
) -> Result<Precisions> {
    let Input::Image(input) = &manifest.input else {
        bail!("the model \"{}\" does not read images", manifest.name)
    };
    if matches!(manifest.architecture, Architecture::Onnx(_)) {
        bail!("the model \"{}\" is an ONNX file, which is run as it is", manifest.name);
    }
    if manifest.outputs.is_some() {
        bail!(
            "the model \"{}\" has no labels that exclude each other: it is served in single precision",
            manifest.name
        );
    }
    if manifest.segmentation.is_some() {
        bail!("the model \"{}\" outlines regions: it is served in single precision", manifest.name);
    }
    let split =
        |name: &str| source.splits.get(name).with_context(|| format!("the data has no split \"{name}\""));
    let plan = |ranges: &Ranges, halves: bool| -> Result<Plan> {
        let numerics = Numerics { exact: manifest.exact_convolution, ranges: ranges.clone(), halves };
        let (architecture, labels) = (&manifest.architecture, manifest.labels.len());
        let mut params = Params::frozen(weights.clone());
        Ok(network::plan_with(architecture, input, labels, &mut params, &numerics)?)
    };
    let whole = plan(&Ranges::new(), false)?;
    let layers = whole.convolutions();
    let mut single = Runner::new(Arc::new(whole));
    let train = split("train")?;
    let fitted = pictures(train, input, 0)?;
    let compared = pictures(train, input, 1)?;
    let calibration = Calibration::new(&mut single, &fitted)?;
    let plain = logits(&mut single, &compared)?;

    let val = split("val")?;
    let shown = all(val, input)?;
    let truth: Vec<usize> = val.iter().map(|(_, label)| *label).collect();
    let exact = logits(&mut single, &shown)?;
    let mut found = None;
    // All but the last, then all but the first and the last.
    for left_out in [&layers[..0], &layers[..1.min(layers.len())]] {
        let mut best: Option<(f64, &str, Ranges)> = None;
        for (name, clipping) in CLIPPINGS {
            let mut ranges = calibration.ranges(clipping);
            ranges.retain(|name, _| !left_out.iter().chain(layers.last()).any(|layer| layer == name));
            let rows = logits(&mut Runner::new(Arc::new(plan(&ranges, false)?)), &compared)?;
            let off = difference(&plain, &rows);
            if best.as_ref().is_none_or(|(least, ..)| off < *least) {
                best = Some((off, name, ranges));
            }
        }
        let (_, clipping, ranges) = best.context("nothing was tried")?;
        let rows = logits(&mut Runner::new(Arc::new(plan(&ranges, false)?)), &shown)?;
        let cost = cost(manifest, (&exact, &rows), &truth)?;
        let allowed = cost.is_small() && !ranges.is_empty();
        let ranges = ranges.into_iter().map(|(name, range)| (name, (range.low, range.high))).collect();
        found = Some(Int8 { allowed, cost, clipping: clipping.to_string(), ranges });
        if allowed {
            break;
        }
    }
    let mut int8 = found.context("nothing was tried")?;
    if !int8.allowed {
        int8.ranges.clear();
    }
    let rows = logits(&mut Runner::new(Arc::new(plan(&Ranges::new(), true)?)), &shown)?;
    let cost = cost(manifest, (&exact, &rows), &truth)?;
    let bf16 = Some(Bf16 { allowed: cost.is_small(), cost });
    Ok(Precisions { int8, bf16 })
}

/// Up to [`MOST`] of the examples, every so many from the one at `from` on.
fn pictures(examples: &[(vision::Image, usize)], input: &ImageInput, from: usize) -> Result<Vec<Vec<f32>>> {
    let every = (examples.len() / MOST).max(2);
    let some: Vec<_> = examples.iter().skip(from).step_by(every).take(MOST).cloned().collect();
    all(&some, input)
}

/// What the network reads of each example.
fn all(examples: &[(vision::Image, usize)], input: &ImageInput) -> Result<Vec<Vec<f32>>> {
    let set = ImageSet::new(examples, input, None)?;
    let one = |index: usize| -> Result<Vec<f32>> { Ok(set.batch(&[index])?.flatten_all()?.to_vec1()?) };
    (0..examples.len()).map(one).collect()
}

fn logits(runner: &mut Runner, images: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(images.len());
    runner.run(images, |row| rows.push(row.to_vec()))?;
    Ok(rows)
}

/// Mean square difference.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let squares = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / a.iter().map(Vec::len).sum::<usize>().max(1) as f64
}

/// What the second rows of logits cost beside the first.
///
/// # Errors
/// Logits that are no numbers.
pub fn cost(
    manifest: &Manifest,
    (exact, rows): (&[Vec<f32>], &[Vec<f32>]),
    truth: &[usize],
) -> Result<PrecisionCost> {
    let all = truth.len().max(1) as f64;
    let (mut right, mut right_exact, mut same, mut other, mut apart) = (0, 0, 0, 0, 0.0);
    for ((exact, row), truth) in exact.iter().zip(rows).zip(truth) {
        let temperature = manifest.calibration.temperature;
        let (exact, row) = (probabilities(exact, temperature)?, probabilities(row, temperature)?);
        let (answer_exact, answer) = (manifest.decide(&exact), manifest.decide(&row));
        right_exact += usize::from(answer_exact == *truth);
        right += usize::from(answer == *truth);
        same += usize::from(answer == answer_exact);
        let (sure_exact, sure) = (highest(&exact).1, highest(&row).1);
        other += usize::from((sure_exact < manifest.abstain_below) != (sure < manifest.abstain_below));
        apart += f64::from((sure_exact - sure).abs());
    }
    Ok(PrecisionCost {
        measured_on: "val".to_string(),
        examples: truth.len(),
        measure: Measure::Accuracy,
        accuracy_f32: right_exact as f64 / all,
        accuracy: right as f64 / all,
        same_label: same as f64 / all,
        other_abstention: other as f64 / all,
        probability_difference: apart / all,
    })
}
