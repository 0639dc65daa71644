//! In how many views a model of regions reads its tiles, chosen on the validation pictures.
//!
//! A model trained on mirror images and quarter turns can be asked about each of them, and the mean of its answers is
//! mostly better than one. It takes as many times as long, so more views are taken only where they are worth it. All that
//! hangs on the answers follows: temperature, the limits by which objects grow, and the metrics. Weights stay, so that a
//! package that is trained already can be given its views afterwards (`train views`).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::augment::Planes;
use super::card::card;
use super::finish::{self, Answers, calibrated, threshold};
use super::image::Orientation;
use super::masks::{Example, Masks, Page};
use super::metrics::reliability;
use super::plots;
use super::region_choice::{choose, maps, measure as measure_maps, network_of, segmenter, worth};
use super::region_limits;
use super::tables;
use model::calibration::fit_temperature;
use model::manifest::{Calibration, Input, Instances, RegionMetrics, Segmentation};
use model::{Manifest, Package};
use nn::{ImageNetwork, random};
use vision::segment::{Segmenter, joined};

/// Of the pixels of a tile, one in so many is looked at for calibration.
const SAMPLED: usize = 97;

/// Pictures of the training split that are measured.
const MEASURED: usize = 100;

/// What more views are worth at least, since an answer takes so much longer.
const GAIN: f64 = 0.001;

/// Objects of fewer pixels are none, unless something else is chosen.
const LEAST_PIXELS: u32 = 16;

/// The share of pixels that abstentions are measured on, among a package's settings, and what it is where it is not there.
pub const ABSTAIN_SHARE: &str = "abstain_share";
const SHARE: f64 = 0.01;

/// The headings of the card's section on regions and of its last one.
const HEADINGS: [&str; 2] = ["\n## Regions\n", "\n## Plots\n"];

/// How objects are told apart before anything is chosen.
pub const START: Instances = Instances { seed: 0.5, object: 0.5, pixels: LEAST_PIXELS };

/// What a model is in so many views.
pub struct Measured {
    /// With the views and the limits of objects, without metrics.
    pub segmentation: Segmentation,
    /// Fitted on [`Measured::answers`].
    pub temperature: f32,
    /// Some pixels of the validation pictures.
    pub answers: Answers,
    /// On the validation pictures.
    pub metrics: RegionMetrics,
}

/// The numbers of views that pictures in such orientations have.
pub fn possible(orientation: Orientation) -> &'static [u8] {
    match orientation {
        Orientation::Fixed => &[1],
        Orientation::Mirrored => &[1, 2],
        Orientation::Any => &[1, 2, 4, 8],
    }
}

/// The same of a package, by what it was trained on.
fn possible_for(manifest: &Manifest) -> &'static [u8] {
    let setting = |name: &str| manifest.training.settings.get("augmentation").and_then(|all| all.get(name));
    let flipped = setting("flip").and_then(Value::as_f64).is_some_and(|share| share > 0.0);
    let turned = setting("quarter_turns").and_then(Value::as_bool).unwrap_or(false);
    possible(match (flipped, turned) {
        (true, true) => Orientation::Any,
        (true, false) => Orientation::Mirrored,
        (false, _) => Orientation::Fixed,
    })
}

/// Measures a network on the validation pictures in each of these numbers of views. `pages` are the `examples` as the
/// network reads them.
///
/// # Errors
/// A picture that cannot be read, or a network that fails.
pub fn measure(
    network: &ImageNetwork,
    manifest: &Manifest,
    examples: &[Example],
    pages: &[Page],
    views: &[u8],
) -> Result<Vec<Measured>> {
    views.iter().map(|views| in_views(network, manifest, examples, pages, *views)).collect()
}

fn in_views(
    network: &ImageNetwork,
    manifest: &Manifest,
    examples: &[Example],
    pages: &[Page],
    views: u8,
) -> Result<Measured> {
    let mut tried = manifest.clone();
    let start = tried.segmentation.take().context("the manifest describes no segmentation")?;
    let instances = start.instances.map(|_| START);
    let mut segmentation = Segmentation { views, instances, metrics: BTreeMap::new(), ..start };
    tried.segmentation = Some(segmentation.clone());
    let answers = sampled(&mut segmenter(network, &tried)?, &tried, pages)?;
    let temperature = fit_temperature(&answers.logits, &answers.truth) as f32;
    // The temperature decides what is measured here.
    tried.calibration = Calibration::at(temperature);
    let maps = maps(network, &tried, examples)?;
    segmentation.instances = instances.map(|start| choose(&manifest.labels, start, examples, &maps));
    let metrics = measure_maps(&manifest.labels, segmentation.instances.as_ref(), examples, &maps);
    eprintln!("{}: {}", named(views), short(&metrics));
    Ok(Measured { segmentation, temperature, answers, metrics })
}

/// What is taken of measures in rising numbers of views, and all of them for people.
pub fn best(measures: Vec<Measured>) -> Option<(Measured, Vec<(u8, RegionMetrics)>)> {
    let compared = measures.iter().map(|one| (one.segmentation.views, one.metrics.clone())).collect();
    let better = |kept: Measured, next: Measured| {
        if worth(&next.metrics) >= worth(&kept.metrics) + GAIN { next } else { kept }
    };
    measures.into_iter().reduce(better).map(|kept| (kept, compared))
}

/// The metrics of every split, of training those of its first pictures.
///
/// # Errors
/// As [`measure`].
pub fn of_splits(
    network: &ImageNetwork,
    manifest: &Manifest,
    splits: &BTreeMap<String, Vec<Example>>,
) -> Result<BTreeMap<String, RegionMetrics>> {
    let one = |(split, examples): (&String, &Vec<Example>)| {
        let most = if split == "train" { MEASURED } else { usize::MAX };
        let first = &examples[..examples.len().min(most)];
        Ok((split.clone(), super::segment::measure(network, manifest, first)?))
    };
    splits.iter().map(one).collect()
}

/// The card's section on regions.
pub fn notes(
    metrics: &BTreeMap<String, RegionMetrics>,
    views: u8,
    compared: &[(u8, RegionMetrics)],
) -> String {
    let mut text = format!("## Regions\n\n{}", tables::by_region("split", metrics));
    if compared.len() > 1 {
        let rows = compared.iter().map(|(views, metrics)| (named(*views), metrics.clone())).collect();
        let taken = match views {
            1 => "Each tile is read as it is: more views were not worth the time that they take.".to_string(),
            views => format!(
                "Each tile is read in {views} views, as it is, mirrored and turned, and their probabilities are averaged, which \
                 takes {views} times as long."
            ),
        };
        text += &format!("\n{taken} On val:\n\n{}", tables::by_region("read in", &rows));
    }
    text
}

fn named(views: u8) -> String {
    if views == 1 { "1 view".to_string() } else { format!("{views} views") }
}

fn short(metrics: &RegionMetrics) -> String {
    let objects = metrics.objects.map(|objects| format!(", F1 of objects {:.4}", objects.f1));
    format!("Dice {:.4}{}", metrics.dice, objects.unwrap_or_default())
}

/// Measures a finished package in each number of views that it can be read in, or in the one asked for, and writes what is
/// best, with all that follows from it, to its manifest, card and plots. Returns them with a table for people.
///
/// # Errors
/// A package that outlines no regions, or was not trained on such views; other data than it was trained on; what the file
/// system says.
pub fn amend(package: Package, data: &Path, asked: Option<u8>) -> Result<(Manifest, String)> {
    let Package { folder, mut manifest, card: text, weights } = package;
    let (Input::Image(input), Some(own)) = (manifest.input.clone(), manifest.segmentation.clone()) else {
        bail!("the model \"{}\" outlines no regions", manifest.name)
    };
    let possible = possible_for(&manifest);
    let tried = match &asked {
        Some(views) if possible.contains(views) => std::slice::from_ref(views),
        Some(views) => bail!("--views is {views}; by what it was trained on the model has {possible:?}"),
        None => possible,
    };
    let masks = Masks::own(&manifest, data)?;
    let network = network_of(&manifest, weights)?;
    let examples = &masks.splits["val"];
    let pages: Vec<Page> =
        examples.iter().map(|example| Page::new(example, &input, own.reading)).collect::<Result<_>>()?;
    let measures = measure(&network, &manifest, examples, &pages, tried)?;
    let (settled, compared) = best(measures).context("nothing was measured")?;

    let Measured { segmentation, temperature, answers, .. } = settled;
    manifest.calibration = Calibration::at(temperature);
    manifest.segmentation = Some(segmentation.clone());
    let metrics = of_splits(&network, &manifest, &masks.splits)?;
    let notes = notes(&metrics, segmentation.views, &compared);
    let usual = region_limits::usual(&network, &manifest, &masks.splits)?;
    manifest.segmentation = Some(Segmentation { metrics, usual, ..segmentation });
    let rows = calibrated(&answers, temperature)?;
    let share = manifest.training.settings.get(ABSTAIN_SHARE).and_then(Value::as_f64).unwrap_or(SHARE);
    manifest.abstain_below = threshold(&rows, share);
    let metrics = finish::measure(&manifest, &rows, &answers.truth, &[]);
    manifest.metrics.insert("val".to_string(), metrics);
    let plots = [
        ("plots/reliability.svg", plots::reliability(&reliability(&rows, &answers.truth))?),
        ("plots/roc.svg", plots::roc_curves(&manifest.labels, &rows, &answers.truth)?),
    ];
    let text = card(&manifest, &format!("{notes}\n{}", further(&text)), "val");
    finish::amend(&folder, &manifest, &text, &plots)?;
    Ok((manifest, notes))
}

/// What a card says between its section on regions and its plots.
fn further(card: &str) -> &str {
    let [regions, plots] = HEADINGS;
    let Some(start) = card.find(regions) else { return "" };
    let rest = &card[start + regions.len()..];
    let end = rest.find(plots).unwrap_or(rest.len());
    rest[..end].find("\n## ").map_or("", |next| rest[next + 1..end].trim_end())
}

/// Some pixels of the middle tiles of pages and what the network says of them, an edge counted as its object.
fn sampled(segmenter: &mut Segmenter, manifest: &Manifest, pages: &[Page]) -> Result<Answers> {
    let (Input::Image(input), Some(segmentation)) = (&manifest.input, &manifest.segmentation) else {
        bail!("the model \"{}\" outlines no regions", manifest.name)
    };
    let size = Planes {
        channels: input.channels as usize,
        height: input.height as usize,
        width: input.width as usize,
    };
    let area = size.height * size.width;
    let mut found = Answers { logits: Vec::new(), truth: Vec::new() };
    let mut rng = random::stream(manifest.training.seed, "calibration");
    for page in pages {
        let (values, numbers) = page.tile(size, None, &mut rng);
        let logits = segmenter.tile(&values)?;
        for at in (0..area).step_by(SAMPLED) {
            let mut row: Vec<f32> = logits[at..].iter().step_by(area).copied().collect();
            let mut truth = numbers[at] as usize;
            if segmentation.instances.is_some() {
                row = vec![row[0], joined(&row[1..])];
                truth = truth.min(1);
            }
            found.logits.push(row);
            found.truth.push(truth);
        }
    }
    ensure!(!found.truth.is_empty(), "there are no validation pictures");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_regions_in_a_card_is_kept() {
        let card = "# a\n\n## Regions\n\n| a |\n\nmore\n\n## Commands\n\nx\n\n## Plots\n\ny\n";
        assert_eq!(further(card), "## Commands\n\nx");
        assert_eq!(further("# a\n\n## Regions\n\n| a |\n\n## Plots\n"), "");
        assert_eq!(further("# a\n"), "");
    }

    #[test]
    fn more_views_are_taken_only_where_they_are_worth_it() {
        let of = |views: u8, dice: f64| {
            let metrics =
                RegionMetrics { pictures: 1, dice, iou: dice, dice_by_label: BTreeMap::new(), objects: None };
            let segmentation = Segmentation {
                reading: model::manifest::Reading::Whole,
                instances: None,
                least_share: None,
                usual: None,
                views,
                metrics: BTreeMap::new(),
            };
            let answers = Answers { logits: Vec::new(), truth: Vec::new() };
            Measured { segmentation, temperature: 1.0, answers, metrics }
        };
        let taken = |dices: [f64; 3]| {
            let measures = [1, 4, 8].into_iter().zip(dices).map(|(views, dice)| of(views, dice)).collect();
            let (kept, compared) = best(measures).unwrap();
            assert_eq!(compared.len(), 3);
            kept.segmentation.views
        };
        assert_eq!(taken([0.9, 0.9005, 0.9004]), 1);
        assert_eq!(taken([0.9, 0.902, 0.9025]), 4);
        assert_eq!(taken([0.9, 0.9005, 0.902]), 8);
    }
}
