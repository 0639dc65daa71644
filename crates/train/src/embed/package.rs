//! The description and the card of a package that makes vectors of texts.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::corpus::Corpus;
use super::options::EmbedOptions;
use super::retrieval::table;
use crate::about::{training, unwritten_weights};
use crate::examples::file_name;
use model::manifest::{Architecture, Calibration, FORMAT, Input, Manifest, TextInput, VectorsConfig};

/// The package as far as it is known without what was measured.
pub(super) fn describe(
    options: &EmbedOptions,
    corpus: &Corpus,
    config: &VectorsConfig,
    version: u64,
    examples: BTreeMap<String, usize>,
) -> Manifest {
    let mut settings: BTreeMap<String, Value> = [
        ("arch", json!(options.arch.as_str())),
        ("window", json!(options.window)),
        ("negatives", json!(options.negatives)),
        ("lr", plain(options.lr)),
        ("subsample", json!(options.subsample)),
        ("min_count", json!(options.min_count)),
        ("text_field", json!(options.text_field)),
        ("unknown", plain(options.unknown)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    let mut also = |name: &str, value: Value| drop(settings.insert(name.to_string(), value));
    if let Some(file) = &options.from {
        also("from", json!(file_name(file)));
    }
    if let Some(pairs) = &options.pairs {
        also("pairs", json!(pairs));
        also("pair_epochs", json!(options.pair_epochs));
        also("pair_lr", plain(options.pair_lr));
        also("batch_size", json!(options.batch_size));
        also("temperature", plain(options.temperature));
        also("stretches", plain(options.stretches));
        also("word_dropout", plain(options.word_dropout));
        also("holdout", json!(options.holdout));
        also("group_by", json!(options.group_by));
        also("refit", json!(options.refit));
        if let Some(file) = &options.asides {
            also("asides", json!(file_name(file)));
            also("aside_share", plain(options.aside_share));
        }
    }
    Manifest {
        format: FORMAT,
        name: options.name.clone(),
        version: version.to_string(),
        description: options
            .about
            .description_or("Makes vectors of texts from those of their words.".to_string()),
        labels: Vec::new(),
        label_descriptions: BTreeMap::new(),
        ordinal: None,
        input: Input::Text(TextInput { max_tokens: options.max_tokens }),
        outputs: None,
        segmentation: None,
        generation: None,
        precision: None,
        architecture: Architecture::Vectors(config.clone()),
        exact_convolution: false,
        calibration: Calibration::at(1.0),
        abstain_below: 0.0,
        likeness: None,
        data: options.about.data(Some(corpus.name.clone()), corpus.sha256.clone(), examples),
        training: training(options.seed, options.epochs, settings),
        metrics: BTreeMap::new(),
        weights: unwritten_weights(),
        files: BTreeMap::new(),
    }
}

/// A number without more digits than tell it apart in its own precision.
fn plain(value: f32) -> Value {
    crate::card::plain(&value)
}

/// The model card (Mitchell et al. 2019).
pub(super) fn card(manifest: &Manifest, notes: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, manifest, notes);
    text
}

fn write_card(out: &mut String, m: &Manifest, notes: &str) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device. It says how alike two texts are in the words that they use, and nothing about \
         whether what a text says is true, up to date, or right for anybody.\n"
    )?;
    writeln!(out, "## Answers\n")?;
    if let Architecture::Vectors(config) = &m.architecture {
        writeln!(
            out,
            "A text's vector has {} values and length 1; it is the weighted sum over the text's words{}. {} words are known, by \
             hashes; {}. A text without any such word has all zeros. Vectors of two versions of a model cannot be compared.\n",
            config.dimensions,
            match config.common {
                0 => String::new(),
                1 => ", less the direction that all texts share".to_string(),
                more => format!(", less the {more} directions that all texts share"),
            },
            config.words,
            match config.subwords {
                0 => "others count for nothing".to_string(),
                buckets => format!(
                    "others are made of their n-grams of {} to {} characters in {buckets} buckets",
                    config.min_characters, config.max_characters
                ),
            }
        )?;
    }
    crate::card::write_data(out, m, "Texts")?;
    if !m.metrics.is_empty() {
        writeln!(out, "\n## Metrics\n\n{}", table(m.metrics.iter()))?;
        writeln!(
            out,
            "Each question is asked of all answers that were held out, and its own answer is the only right one, although \
             others may answer it as well: so these figures say which settings are better, and less how good the answers are. \
             BM25 counts words alone; \"both\" adds the two scores, each from 0 to 1. \"Among asides\": each question between \
             sentences that say nothing of the matter, none of which was learned with.\n"
        )?;
    }
    writeln!(
        out,
        "## Training\n\n{} values, seed {}, {} times over the texts, by {}.\n",
        m.weights.parameters, m.training.seed, m.training.epochs, m.training.program
    )?;
    for (name, value) in &m.training.settings {
        writeln!(out, "- {name}: `{value}`")?;
    }
    if !notes.is_empty() {
        writeln!(out, "\n{}", notes.trim_end())?;
    }
    Ok(())
}
