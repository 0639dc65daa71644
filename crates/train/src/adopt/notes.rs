//! A sequence classifier becomes a package of task `note-classification`, or an encoder without a head once one was fitted
//! to the hospital's training notes ([`super::linear`]).
//!
//! No weight of theirs changes. The temperature and the confidence below which it abstains come from the hospital's validation
//! notes, and what tells a note unlike theirs from the hospital's training notes, as for a model trained here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::{Device, Tensor};
use serde_json::json;

use super::directory::Directory;
use super::linear::fit_head;
use super::{AdoptOptions, FEWEST, describe, labels, most_tokens, names, tokenizer};
use crate::about::meanings;
use crate::familiarity::{self, Choice, FittedFamiliarity, Training};
use crate::finish::{Answers, Finished, check_abstain_share, finish};
use crate::notes::{Columns, NoteSource};
use model::manifest::{Architecture, EncoderConfig, EncoderHead, Input, Manifest, RecordInput};
use model::package::{LIKENESS, TOKENIZER, serialize};
use nn::{Params, SequenceInput, SequenceNetwork};
use text::encoder::{Encoded, Example};
use text::familiarity::{KNOWN, adopted_ngrams};
use text::tokenizer::Tokens;
use text::{Encoder, Record, network, pretrained, terms};

/// Most n-grams by which notes are told.
const NGRAMS: usize = 1 << 18;
/// Notes that go through the network together.
const TOGETHER: usize = 32;
/// What the card says.
const NOTES: &str = "## Adopted\n\nThe weights are those that others have trained, on texts that are not named here; none was changed. \
                     The temperature and the confidence below which the model abstains were fitted on the validation notes, which \
                     flatters the calibration measured on them a little; what tells a note unlike the hospital's was learned from \
                     its training notes. Of a note that is longer than the model reads, its beginning and its end are read.\n";

/// What the card says of an encoder that was given a head.
const FITTED: &str = "## Adopted\n\nThe encoder's weights are those that others have trained, on texts that are not named here; none was changed. \
                      Its head was fitted to the training notes by logistic regression over the encoder's vectors, the penalty \
                      chosen by cross-validation. The temperature and the confidence below which the model abstains were fitted on \
                      the validation notes, which flatters the calibration measured on them a little; what tells a note unlike \
                      the hospital's was learned from the training notes. Of a note that is longer than the model reads, its \
                      beginning and its end are read.\n";

/// Notes with the places of their labels.
type Labelled = Vec<(Record, usize)>;

/// Measures, calibrates and writes the package; without a `head`, the names of whose outputs it is, one is fitted before.
/// Returns its folder and manifest.
///
/// # Errors
/// Weights that do not fit, data that cannot be read, labels that the head does not know.
pub fn adopt(
    options: &AdoptOptions,
    directory: &Directory,
    head: Option<&Vec<String>>,
) -> Result<(PathBuf, Manifest)> {
    let of = &options.head;
    check_abstain_share(of.abstain_share)?;
    let NoteSource { labels, splits, units, sha256, .. } = data(options, head)?;
    let input = RecordInput { max_tokens: most_tokens(options, directory)?, fields: Vec::new() };
    let mut manifest = describe(options, directory)?;
    manifest.description =
        options.about.description_or("Classifies notes by an encoder that others have trained.".to_string());
    manifest.label_descriptions = meanings(&of.label_descriptions)?;
    manifest.labels = labels;
    manifest.input = Input::Record(input.clone());
    let mut config = directory.config.clone();
    config.head = config.head.or(Some(EncoderHead::Linear));
    manifest.architecture = Architecture::Encoder(config);
    let folder = options.data.file_name().map(|name| name.to_string_lossy().into_owned());
    let counts = splits.iter().map(|(split, records)| (split.clone(), records.len())).collect();
    manifest.data = options.about.data(folder, sha256, counts);
    manifest.training.seed = of.seed;
    let settings = &mut manifest.training.settings;
    settings.insert("note_column".to_string(), json!(of.note_column));
    settings.insert("label_column".to_string(), json!(of.label_column));
    if let Some(group) = &of.group_by {
        settings.insert("group_by".to_string(), json!(group));
    }
    manifest.check().map_err(anyhow::Error::msg)?;

    let (mut weights, digest) = names::weights(directory)?;
    manifest.training.settings.insert("model.safetensors sha256".to_string(), json!(digest));
    let encoder = Encoder::adopted(input.clone(), tokenizer(directory)?);
    let misfit = || format!("{}/model.safetensors", options.directory.display());
    if head.is_none() {
        let records = &splits["train"];
        eprintln!("fitting a head to {} notes", records.len());
        let vectors = vectors(&directory.config, &weights, &encoder, records).with_context(misfit)?;
        let truth: Vec<usize> = records.iter().map(|(_, label)| *label).collect();
        let fitted = fit_head(&vectors, &truth, &units["train"], manifest.labels.len(), of.seed)?;
        weights.extend(fitted.tensors);
        let chosen = json!(fitted.inverse_penalty);
        manifest.training.settings.insert("inverse_penalty".to_string(), chosen);
    }
    let answers = answers(&manifest, &encoder, &input, &weights, &splits).with_context(misfit)?;
    let familiar = familiar(&encoder, &splits, &units["train"], of.seed)?;
    manifest.likeness = Some(familiar.described);
    let extra = vec![(TOKENIZER, directory.tokenizer.clone()), (LIKENESS, serialize(&familiar.tensors)?)];
    let finished = Finished {
        manifest,
        weights,
        calibration: Answers { logits: answers["val"].logits.clone(), truth: answers["val"].truth.clone() },
        splits: answers,
        floors: BTreeMap::new(),
        abstain_share: of.abstain_share,
        history: Vec::new(),
        notes: if head.is_some() { NOTES } else { FITTED }.to_string(),
        extra,
        subjects: None,
        report: false,
    };
    finish(finished, &options.out)
}

/// The notes by split, their labels those of the head in its order.
fn data(options: &AdoptOptions, head: Option<&Vec<String>>) -> Result<NoteSource> {
    let of = &options.head;
    let no_fields = ["none".to_string()];
    let columns = Columns {
        note: &of.note_column,
        label: &of.label_column,
        fields: &no_fields,
        group: of.group_by.as_deref(),
        skip_unlabelled: of.skip_unlabelled,
    };
    let mut source = NoteSource::read(&options.data, columns, &[], of.seed)?;
    source.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if let Some(head) = head {
        let (labels, places) = labels::matched(head, &source.labels)?;
        for records in source.splits.values_mut() {
            records.iter_mut().for_each(|(_, label)| *label = places[*label]);
        }
        source.labels = labels;
    }
    let count = source.splits["val"].len();
    ensure!(
        count >= FEWEST,
        "{count} validation notes are too few to measure a model by; at least {FEWEST} are asked for"
    );
    Ok(source)
}

/// What the network, as it serves, says of the splits that it is measured on.
fn answers(
    manifest: &Manifest,
    encoder: &Encoder,
    input: &RecordInput,
    weights: &BTreeMap<String, Tensor>,
    splits: &BTreeMap<String, Labelled>,
) -> Result<BTreeMap<String, Answers>> {
    let mut params = Params::frozen(weights.clone());
    let mut plan = network::plan(&manifest.architecture, input, manifest.labels.len(), &mut params)?;
    params.finish()?;
    let mut all = BTreeMap::new();
    for (split, records) in splits.iter().filter(|(split, _)| split.as_str() != "train") {
        eprintln!("measuring on {} notes ({split})", records.len());
        let mut logits = Vec::with_capacity(records.len());
        for part in records.chunks(TOGETHER) {
            logits.extend(plan.logits(&encoded(encoder, part)?)?);
        }
        let truth = records.iter().map(|(_, label)| *label).collect();
        all.insert(split.clone(), Answers { logits, truth });
    }
    Ok(all)
}

/// Notes as the network reads them.
fn encoded(encoder: &Encoder, records: &[(Record, usize)]) -> Result<Vec<Example>> {
    let encode = |(record, _): &(Record, usize)| encoder.encode(record).map(Arc::new);
    records.iter().map(encode).collect::<Result<_, _>>().map_err(|e| anyhow!(e))
}

/// What an encoder without a head makes of notes, a vector each.
fn vectors(
    config: &EncoderConfig,
    weights: &BTreeMap<String, Tensor>,
    encoder: &Encoder,
    records: &[(Record, usize)],
) -> Result<Vec<Vec<f32>>> {
    let mut params = Params::frozen(weights.clone());
    let mut plan = SequenceNetwork::new(pretrained::encoder(config)?, &mut params)?.plan()?;
    params.finish()?;
    let mut vectors = Vec::with_capacity(records.len());
    for part in records.chunks(TOGETHER) {
        let batch = encoded(encoder, part)?;
        let inputs: Vec<SequenceInput> =
            batch.iter().map(|example| SequenceInput { tokens: &example.tokens.ids, values: &[] }).collect();
        vectors.extend(plan.logits(&inputs)?);
    }
    ensure!(
        vectors.iter().flatten().all(|value| value.is_finite()),
        "a note's vector holds something that is no number"
    );
    Ok(vectors)
}

/// What the hospital's notes are like.
fn familiar(
    encoder: &Encoder,
    splits: &BTreeMap<String, Labelled>,
    units: &[usize],
    seed: u64,
) -> Result<FittedFamiliarity> {
    let texts = |records: &Labelled| -> Result<Vec<String>> {
        records.iter().map(|(record, _)| encoder.text(record).map_err(|e| anyhow!(e))).collect()
    };
    let (notes, unseen) = (texts(&splits["train"])?, texts(&splits["val"])?);
    let config = adopted_ngrams();
    let in_ngrams = |text: &String| Encoded {
        tokens: Tokens { ids: Vec::new(), total: 0 },
        words: Vec::new(),
        characters: terms::characters(text, config.characters),
        fields: Vec::new(),
    };
    let encoded: Vec<Encoded> = notes.iter().map(in_ngrams).collect();
    let encoded: Vec<&Encoded> = encoded.iter().collect();
    let truth: Vec<usize> = splits["train"].iter().map(|(_, label)| *label).collect();
    let choice = Choice { config: &config, ngrams: NGRAMS, least: 1, seed };
    let training = Training { notes: &notes, encoded: &encoded, truth: &truth, units };
    let normalise = |line: &str| encoder.normalise(line).map_err(|e| anyhow!(e));
    let mut fitted = familiarity::fit(choice, training, &unseen, &normalise)?;
    let known = Tensor::from_slice(&fitted.known, fitted.known.len(), &Device::Cpu)?;
    fitted.tensors.insert(KNOWN.to_string(), known);
    Ok(fitted)
}
