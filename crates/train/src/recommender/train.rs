//! `train recommender`: weights between items, as a package that the server applies to histories.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use model::Package;
use model::manifest::{Architecture, Calibration, FORMAT, Input, Manifest};
use model::package::{CONTEXT, ITEMS, sha256};
use model::recommendation::{ContextConfig, DistanceConfig, EaseConfig, HistoryInput, RankingMetrics};
use recommend::{
    ContextWeights, Interaction, ItemWeights, Kind, Laid, Layers, Loader, Report, Settings, Split,
};
use serde_json::json;

use super::InteractionOptions;
use super::choose::{Choice, most_frequent};
use super::circumstances::{CircumstanceOptions, Circumstances};
use super::ease::{Ease, EaseSettings};
use super::head::{Head, Lifts};
use super::inverse;
use crate::about::{AboutOptions, training, unwritten_weights};
use crate::card::plain;
use crate::finish::version;

/// What is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// Weights between items in closed form
    Ease,
    /// The same, unless neighbors do better on a held-out part: then no package is written
    Auto,
}

/// Settings of `train recommender`.
#[derive(Debug, Clone, clap::Args)]
pub struct RecommenderOptions {
    #[command(flatten)]
    pub file: InteractionOptions,
    #[command(flatten)]
    pub circumstances: CircumstanceOptions,
    /// Name of the model
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// What the items are: hospital, doctor, pharmacy, drug or advice
    #[arg(long, env = "MEDSERVE_KIND", default_value = "drug")]
    pub kind: Kind,
    /// What is fitted
    #[arg(long, env = "MEDSERVE_RECOMMENDER_ARCH", value_enum, default_value = "ease")]
    pub arch: Arch,
    /// Penalty on the weights; default: chosen on a held-out part, with the base and the dropout
    #[arg(long, env = "MEDSERVE_LAMBDA")]
    pub lambda: Option<f64>,
    /// Weights kept for an item, those of the largest size
    #[arg(long, env = "MEDSERVE_KEEP_WEIGHTS", default_value = "1000")]
    pub keep_weights: NonZeroUsize,
    /// Most items: of more, the most frequent are fitted and the others are left to neighbors
    #[arg(long, env = "MEDSERVE_MAX_ITEMS", default_value = "20000")]
    pub max_items: NonZeroUsize,
    /// Most memory to take, in gibibytes; default: what is free
    #[arg(long, env = "MEDSERVE_MEMORY_GIB")]
    pub memory_gib: Option<f64>,
    /// Length of the lists that settings are chosen by
    #[arg(long, env = "MEDSERVE_K", default_value = "10")]
    pub k: NonZeroUsize,
    /// Folder of models
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Seed of what is held out for choosing
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// What came of it.
pub enum Outcome {
    /// A package, in this folder, and what it measured.
    Wrote(PathBuf, String),
    /// Nothing was written, for this reason.
    NeighborsDoBetter(String),
}

/// Says what the closed form takes for so many items, and refuses what does not fit.
///
/// # Errors
/// More than is free, or than `most` bytes.
pub fn check_memory(items: usize, most: Option<u64>) -> Result<()> {
    let needed = inverse::memory(items + 1);
    let gib = |bytes: u64| bytes as f64 / f64::from(1u32 << 30);
    if let Some(most) = most.or_else(free_memory) {
        ensure!(
            needed <= most,
            "the weights between {items} items take about {:.1} GiB to compute, and {:.1} GiB are free; \
             fit fewer with --max-items, the others are left to neighbors",
            gib(needed),
            gib(most)
        );
    }
    if needed > 1 << 30 {
        eprintln!("the weights between {items} items take about {:.1} GiB to compute", gib(needed));
    }
    Ok(())
}

/// What the system could give without swapping, where it tells (Linux).
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Fits the weights and writes the package.
///
/// # Errors
/// A file that cannot be read, settings that cannot be meant, too little memory.
pub fn train(options: &RecommenderOptions) -> Result<Outcome> {
    if let Some(lambda) = options.lambda {
        ensure!(lambda.is_finite() && lambda > 0.0, "--lambda must be a finite number above 0");
    }
    let read = options.file.read()?;
    let frequent = most_frequent(&read, options.max_items.get());
    let total = most_frequent(&read, usize::MAX).len();
    let most = options.memory_gib.map(|gib| (gib * f64::from(1u32 << 30)) as u64);
    check_memory(frequent.len(), most)?;
    if frequent.len() < total {
        eprintln!(
            "{} of {total} items are fitted, the most frequent; the others are left to neighbors",
            frequent.len()
        );
    }
    let interactions: Vec<Interaction> =
        read.iter().filter(|event| frequent.contains(event.item_id.as_str())).cloned().collect();

    let settings = Settings::default();
    let circumstances =
        Circumstances::read(&options.circumstances, &options.file, Some(options.kind))?.unwrap_or_default();
    let (k, seed) = (options.k.get(), options.seed);
    let choice = Choice::new(&interactions, Split::Ratio(0.2), k, seed, &settings, &circumstances)?;
    let (chosen, mut report, mut ours) = match options.lambda {
        Some(lambda) => choice.by_weights(EaseSettings::plain(lambda))?,
        None => choice.weights()?,
    };
    let head = match options.lambda {
        Some(_) => None,
        None => choice.head(chosen)?,
    };
    let head = head.map(|(head, by_head, goal)| {
        (report, ours) = (by_head, ours.max(goal));
        head
    });
    let mut by_neighbors = choice.usual_neighbors().1;
    if options.arch == Arch::Auto {
        let (neighbors, best, theirs) = choice.neighbors();
        by_neighbors = best;
        if theirs >= ours {
            return Ok(Outcome::NeighborsDoBetter(format!(
                "no package was written: neighbors ({}, {} of them, amplification {}) have nDCG@{} {theirs:.4} on the \
             held-out part, the best weights {ours:.4}",
                neighbors.similarity.as_str(),
                neighbors.neighbors,
                neighbors.amplification,
                options.k
            )));
        }
    }
    let mut loader = Loader::new(settings.weighing);
    for event in &interactions {
        loader.push(&event.user_id, &event.item_id, &event.event, event.weight, event.time);
    }
    let layers = loader.finish();
    let ease = Ease::fit(&layers, chosen, &circumstances)?;
    let weights = ease.weights(&layers, options.keep_weights.get())?;
    let context = context(&ease, head, &layers, &circumstances)?;
    ensure!(weights.weight_count() > 0, "no item speaks for any other: nobody has two of them");

    let held_out = metrics(&report, &by_neighbors);
    let summary = format!(
        "{} items, {} weights; lambda {}, base {}, dropout {}, damping {}; nDCG@{} on the held-out part {:.4}, neighbors {:.4}, popularity {:.4}",
        weights.items().len(),
        weights.weight_count(),
        chosen.lambda,
        chosen.base,
        chosen.dropout,
        chosen.damping,
        held_out.k,
        held_out.ndcg,
        held_out.ndcg_of_neighbors,
        held_out.ndcg_of_popularity
    );
    let mut manifest = describe(
        options,
        chosen,
        (&weights, context.as_ref()),
        held_out,
        layers.users.len(),
        layers.entry_count(),
    )?;
    let card = card(&manifest, &summary, &report);
    let mut files = vec![(ITEMS, serde_json::to_vec(weights.items())?)];
    if let Some((_, context)) = &context {
        files.push((CONTEXT, serde_json::to_vec(context.features())?));
    }
    let tensors = tensors(&weights, context.as_ref().map(|(_, context)| context))?;
    let folder = Package::write(&options.out, &mut manifest, &tensors, &card, &files)?;
    Ok(Outcome::Wrote(folder, summary))
}

fn metrics(report: &Report, by_neighbors: &Report) -> RankingMetrics {
    let one = &report.recommender;
    RankingMetrics {
        users: report.evaluated_users,
        k: report.k,
        hit_rate: one.hit_rate,
        precision: one.precision,
        recall: one.recall,
        ndcg: one.ndcg,
        map: one.map,
        coverage: one.coverage,
        catalogue_share: one.catalogue_share,
        ndcg_of_neighbors: by_neighbors.recommender.ndcg,
        ndcg_of_popularity: report.popularity.ndcg,
    }
}

/// What circumstances speak for, in the form of a package; none where they do not count.
fn context(
    ease: &Ease,
    head: Option<Head>,
    layers: &Layers,
    circumstances: &Circumstances,
) -> Result<Option<(ContextConfig, ContextWeights)>> {
    let of_who = ease.of_who();
    if of_who.is_empty() && head.is_none() {
        return Ok(None);
    }
    let lifts = Lifts::new(layers, circumstances);
    let who: &[String] = if of_who.is_empty() { &[] } else { &circumstances.who[..] };
    let conditions: &[String] = if head.is_some() { &circumstances.conditions[..] } else { &[] };
    let mut names: Vec<&String> = who.iter().chain(conditions).collect();
    names.sort_unstable();
    let nothing: Laid = (vec![0; conditions.len() + 1], Vec::new(), Vec::new());
    let factors = head.as_ref().map_or(nothing, |head| head.factors(&lifts));
    // Both have a row for each name, of which one is empty.
    let (mut parts, mut factors_of): (Laid, Laid) = Default::default();
    for name in &names {
        parts.0.push(parts.1.len());
        factors_of.0.push(factors_of.1.len());
        if let Ok(place) = who.binary_search(name) {
            parts.1.extend(of_who[place].iter().map(|&(item, _)| item));
            parts.2.extend(of_who[place].iter().map(|&(_, weight)| weight));
        } else if let Ok(place) = conditions.binary_search(name) {
            let range = factors.0[place]..factors.0[place + 1];
            factors_of.1.extend_from_slice(&factors.1[range.clone()]);
            factors_of.2.extend_from_slice(&factors.2[range]);
        }
    }
    parts.0.push(parts.1.len());
    factors_of.0.push(factors_of.1.len());
    let distance = head.as_ref().and_then(|head| head.distance(&lifts));
    let config = ContextConfig {
        features: names.len(),
        weights: parts.1.len() + factors_of.1.len(),
        coefficients: head.as_ref().map(|head| head.by_name(&lifts)).unwrap_or_default(),
        scale: head.as_ref().map(Head::scale),
        distance: distance.map(|it| DistanceConfig { weight: it.weight, mean: it.mean }),
    };
    let names = names.into_iter().map(|name| name.as_str().into()).collect();
    let context = ContextWeights::new(names, layers.items.len(), parts, factors_of, distance);
    Ok(Some((config, context.map_err(anyhow::Error::msg)?)))
}

fn tensors(weights: &ItemWeights, context: Option<&ContextWeights>) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = rows("", weights.items().len(), |item| weights.row(item))?;
    tensors.insert("base".to_string(), Tensor::new(weights.base(), &Device::Cpu)?);
    if let Some(context) = context {
        let count = context.features().len();
        tensors.extend(rows("context_", count, |feature| context.parts().row(feature))?);
        tensors.extend(rows("factor_", count, |feature| context.factors().row(feature))?);
    }
    Ok(tensors)
}

/// The tensors of sparse rows, their names with this before them.
fn rows<'a>(
    prefix: &str,
    count: usize,
    row: impl Fn(u32) -> (&'a [u32], &'a [f32]),
) -> Result<BTreeMap<String, Tensor>> {
    let (mut starts, mut targets, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for number in 0..count as u32 {
        let (to, by) = row(number);
        targets.extend_from_slice(to);
        values.extend_from_slice(by);
        starts.push(
            u32::try_from(targets.len()).context("more than 2^32 weights; keep fewer with --keep-weights")?,
        );
    }
    let named = |name: &str, tensor: candle_core::Result<Tensor>| Ok((format!("{prefix}{name}"), tensor?));
    [
        named("starts", Tensor::new(starts, &Device::Cpu)),
        named("targets", Tensor::new(targets, &Device::Cpu)),
        named("weights", Tensor::new(values, &Device::Cpu)),
    ]
    .into_iter()
    .collect()
}

fn describe(
    options: &RecommenderOptions,
    chosen: EaseSettings,
    (weights, context): (&ItemWeights, Option<&(ContextConfig, ContextWeights)>),
    held_out: RankingMetrics,
    users: usize,
    entries: usize,
) -> Result<Manifest> {
    let file: &Path = &options.file.interactions;
    let file_name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let digest = sha256(&std::fs::read(file).with_context(|| file.display().to_string())?);
    let kind = options.kind.as_str();
    let otherwise = format!("Recommends items of kind {kind} by what speaks for each in a person's history.");
    Ok(Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version(None, &options.out, &options.name)?.to_string(),
        description: options.about.description_or(otherwise),
        labels: Vec::new(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::History(HistoryInput { item_kind: kind.to_string(), items: weights.items().len() }),
        outputs: None,
        segmentation: None,
        generation: None,
        architecture: Architecture::Ease(EaseConfig {
            lambda: chosen.lambda,
            base: chosen.base,
            weights: weights.weight_count(),
            context: context.map(|(config, _)| config.clone()),
            held_out,
        }),
        exact_convolution: false,
        precision: None,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        data: options.about.data(
            Some(file_name.clone()),
            BTreeMap::from([(file_name, digest)]),
            BTreeMap::from([("users".to_string(), users), ("interactions".to_string(), entries)]),
        ),
        training: training(
            options.seed,
            0,
            BTreeMap::from([
                ("dropout".to_string(), plain(&chosen.dropout)),
                ("damping".to_string(), plain(&chosen.damping)),
                ("keep_weights".to_string(), json!(options.keep_weights)),
                ("max_items".to_string(), json!(options.max_items)),
                ("lambda_given".to_string(), json!(options.lambda)),
            ]),
        ),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    })
}

/// The card: what a person must know before trusting a list.
fn card(manifest: &Manifest, summary: &str, report: &Report) -> String {
    let Manifest { name, version, description, data, training, .. } = manifest;
    let digests = data.sha256.iter().map(|(file, digest)| format!("- `{file}` sha256 `{digest}`\n"));
    let examples: Vec<String> = data.examples.iter().map(|(what, n)| format!("{n} {what}")).collect();
    let settings: Vec<String> =
        training.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let measured = match &manifest.architecture {
        Architecture::Ease(ease) => {
            let m = &ease.held_out;
            format!(
                "| users | hit rate@{k} | recall@{k} | precision@{k} | nDCG@{k} | MAP@{k} | coverage | catalogue share |\n\
                 |---|---|---|---|---|---|---|---|\n\
                 | {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} |\n",
                m.users,
                m.hit_rate,
                m.recall,
                m.precision,
                m.ndcg,
                m.map,
                m.coverage,
                m.catalogue_share,
                k = m.k
            )
        }
        _ => String::new(),
    };
    let groups = by_group(report);
    let circumstances = circumstances_in(manifest);
    format!(
        "# {name}, version {version}\n\n{description}\n\n\
         This model is no medical device and a recommendation is no prescription. What people like this one have is \
         not what this one needs: it repeats the habits of its data, and what was rare there it hardly recommends. \
         The server's safety rules are applied to every item before anything is ranked.\n\n\
         ## Data\n\n{}. {} Licence: {}. {}.\n\n{}\n\
         ## Measured\n\nA fifth of each person's items was held out and the settings were chosen on it, so a new \
         person's list will be a little worse than this; `train evaluate-recommender` measures without that.\n\n\
         {summary}.\n\n{measured}\n{groups}{circumstances}\
         ## Weights\n\nItem-item weights in closed form (Steck 2019): what a person has, not how much of it, is \
         what counts. Seed {}, by {}. {}.\n",
        data.name,
        data.source,
        data.licence,
        examples.join(", "),
        digests.collect::<String>(),
        training.seed,
        training.program,
        settings.join(", "),
    )
}

/// The groups of people that were measured, where there are any.
fn by_group(report: &Report) -> String {
    if report.by_group.is_empty() {
        return String::new();
    }
    let k = report.k;
    let mut text = format!("| group | cases | hit rate@{k} | nDCG@{k} |\n|---|---|---|---|\n");
    for (name, group) in &report.by_group {
        let metrics = &group.metrics;
        text += &format!("| {name} | {} | {:.4} | {:.4} |\n", group.users, metrics.hit_rate, metrics.ndcg);
    }
    text + "\n"
}

/// What circumstances count and how much, where they do.
fn circumstances_in(manifest: &Manifest) -> String {
    let Architecture::Ease(EaseConfig { context: Some(context), .. }) = &manifest.architecture else {
        return String::new();
    };
    let mut text = format!(
        "## Circumstances\n\n{} circumstances, each shared by at least five people, count in the score: age, sex \
         and lifestyle as parts of the sum, conditions and distance as factors. Coefficients of a conditional \
         logit over the items:\n\n",
        context.features,
    );
    for (name, value) in &context.coefficients {
        text += &format!("- {name}: {value:.4}\n");
    }
    text + "\n"
}
