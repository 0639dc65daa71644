//! The model card (Mitchell et al. 2019, "Model cards for model reporting"): what a person must
//! know before trusting a number, written from the manifest so that the two cannot disagree.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::tables;
use model::Manifest;
use model::manifest::{
    ImageInput, Input, Interval, Likeness, Measure, Outputs, PrecisionCost, Precisions, UsualRegions,
};

/// The card of a model, in Markdown. `notes` are added as they are, before the plots, which show
/// the split `shown`.
pub fn card(manifest: &Manifest, notes: &str, shown: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, manifest, notes, shown);
    text
}

fn write_card(out: &mut String, m: &Manifest, notes: &str, shown: &str) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device and its answer is no diagnosis. It was measured on the data named here \
         and on nothing else; on images or notes from elsewhere it may be wrong more often, and with confidence.\n"
    )?;
    writeln!(out, "## Answers\n")?;
    for label in &m.labels {
        match m.label_descriptions.get(label) {
            Some(meaning) => writeln!(out, "- `{label}`: {meaning}")?,
            None => writeln!(out, "- `{label}`")?,
        }
    }
    if let Some(outputs) = &m.outputs {
        write_outputs(out, outputs)?;
        out.push_str(&likeness(m));
        write_data(out, m, "Examples")?;
        writeln!(out, "\n## Metrics\n\n{}", tables::by_output(&m.labels, outputs))?;
        write_training(out, m)?;
        if !notes.is_empty() {
            writeln!(out, "\n{}", notes.trim_end())?;
        }
        return writeln!(out, "\n## Plots\n\n![Learning curve](plots/learning-curve.svg)");
    }
    writeln!(
        out,
        "\nProbabilities are calibrated: logits are divided by the temperature {:.4} before the softmax. \
         Below a highest probability of {:.3} the model abstains.\n",
        m.calibration.temperature, m.abstain_below
    )?;
    out.push_str(&likeness(m));
    out.push_str(&precision(m));
    if m.metrics.keys().any(|split| split.ends_with("with red flags")) {
        writeln!(
            out,
            "Rules for red flags (`red_flags.json`, with their sources) hold the label to a level at the least; the \
             probabilities are the model's own. Metrics are given without the rules and with them.\n"
        )?;
    }
    write_data(out, m, "Examples")?;
    write_metrics(out, m)?;
    write_training(out, m)?;
    if !notes.is_empty() {
        writeln!(out, "\n{}", notes.trim_end())?;
    }
    // What is adopted has no history.
    let curve = if m.training.epochs == 0 { "" } else { "![Learning curve](plots/learning-curve.svg)\n\n" };
    writeln!(
        out,
        "\n## Plots\n\nReliability and ROC are those of the split {shown}.\n\n{curve}![Reliability](plots/reliability.svg)\n\n![ROC](plots/roc.svg)"
    )
}

/// How the outputs become answers, of several labels at once or of a number.
fn write_outputs(out: &mut String, outputs: &Outputs) -> std::fmt::Result {
    match outputs {
        Outputs::Binary { labels, .. } => {
            writeln!(
                out,
                "\nSeveral of these may hold at once, or none. Each has a probability of its own, calibrated by a logistic curve \
                 over its logit, and is said to hold from its threshold on, at which sensitivity and specificity together are \
                 highest on the validation pictures:\n"
            )?;
            for (label, one) in labels {
                writeln!(out, "- `{label}` from {:.4} on", one.threshold)?;
            }
            writeln!(out)
        }
        Outputs::Number(number) => {
            let unit = number.unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
            let Interval { share, half } = number.interval;
            writeln!(
                out,
                "\nThe answer is a number{}. The interval given with it, {half:.4}{unit} to either side, holds the true number in \
                 {:.0} % of the cases: by the errors on the validation pictures (split conformal prediction), and as far as other \
                 pictures are like them.\n",
                if unit.is_empty() { String::new() } else { format!(" in{unit}") },
                100.0 * share
            )
        }
    }
}

/// What the data is, how many of what it holds (`unit`, as a heading of the numbers), and its digests.
pub fn write_data(out: &mut String, m: &Manifest, unit: &str) -> std::fmt::Result {
    writeln!(out, "## Data\n\n{}. {} Licence: {}.\n", m.data.name, m.data.source, m.data.licence)?;
    let sizes: Vec<String> = m.data.examples.iter().map(|(split, n)| format!("{split} {n}")).collect();
    writeln!(out, "{unit}: {}.\n", sizes.join(", "))?;
    for (file, digest) in &m.data.sha256 {
        writeln!(out, "- `{file}` sha256 `{digest}`")?;
    }
    Ok(())
}

/// Architecture, seed, epochs, sizes and settings.
pub fn write_training(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(
        out,
        "## Training\n\nArchitecture `{}`, {} values, seed {}, {} epochs, by {}. Its sizes and settings:\n",
        m.architecture.as_str(),
        m.weights.parameters,
        m.training.seed,
        m.training.epochs,
        m.training.program
    )?;
    let mut settings = members(&m.architecture);
    settings.remove("kind");
    settings.extend(m.training.settings.clone());
    for (name, value) in settings {
        writeln!(out, "- {name}: `{value}`")?;
    }
    Ok(())
}

/// How an input that is unlike the training data is told, as a paragraph; nothing where it is not.
pub fn likeness(m: &Manifest) -> String {
    match &m.likeness {
        Some(Likeness::KnownNgrams { at_least, abstained, auroc }) => format!(
            "It abstains as well (`unlike_training`) on a note of whose n-grams training had seen less than a share of \
             {at_least:.3}: on {:.1} % of the validation notes. That share tells them from the same notes with their \
             characters shuffled with an AUROC of {auroc:.4}.\n\n",
            100.0 * abstained
        ),
        Some(Likeness::Characters { at_least, order, abstained, everyday_abstained, auroc, .. }) => format!(
            "It abstains as well (`unlike_training`) on a note of whose n-grams training had seen less than a share of \
             {at_least:.3}, or whose characters are too unlikely after one another by the training notes' n-grams of up to {order} \
             characters: on {:.1} % of the validation notes, and on {:.1} % of texts that are no notes, from which the second \
             measure tells validation notes with an AUROC of {auroc:.4}. By these texts the lengths of n-grams and how a \
             note's length counts were chosen; `docs/likeness.md` has figures of others. A note with a word in a \
             script of which training had no letter is unlike it, too.\n\n",
            100.0 * abstained,
            100.0 * everyday_abstained
        ),
        Some(Likeness::TrainingPictures {
            components,
            measured_on,
            abstained,
            altered_abstained,
            alterations,
            auroc,
        }) => {
            format!(
                "It abstains as well (`unlike_training`) on a picture that is unlike those of training: by the distance from \
             {components} principal components of their thumbnails, by roughness and colour, by tone and grain, and by a small \
             network that tells them from altered ones. That is so for {:.1} % of the {measured_on} pictures, and for {:.1} % of the same \
             pictures altered in {alterations} ways (in part, torn apart, covered, replaced by patterns of chance and the like), which it tells apart with \
             an AUROC of {auroc:.4}. A picture of one tone is `blank`.\n\n{}",
                100.0 * abstained,
                100.0 * altered_abstained,
                accepts(m) + &unlike_regions(m)
            )
        }
        None => accepts(m) + &unlike_regions(m),
    }
}

/// What was noticed of the data that bears on the figures, as a section; nothing where nothing was.
pub fn noticed(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let lines: String = warnings.iter().map(|warning| format!("- {warning}\n")).collect();
    format!("## Noticed of the data\n\n{lines}")
}

/// How paragraphs of [`likeness`] begin.
const LIKENESS_BEGINS: [&str; 4] = [
    "It abstains as well (`unlike_training`)",
    "On a DICOM file whose ",
    "One in a hundred pictures of training has less than ",
    "One in two hundred ",
];

/// A card with what is told of likeness now in place of what it said before, in whatever words.
pub fn with_likeness(card: &str, m: &Manifest) -> String {
    let before = |paragraph: &&str| LIKENESS_BEGINS.iter().any(|begins| paragraph.starts_with(begins));
    let kept: Vec<&str> = card.split("\n\n").filter(|paragraph| !before(paragraph)).collect();
    kept.join("\n\n").replacen("## Data\n", &format!("{}## Data\n", likeness(m)), 1)
}

/// What is said of pictures in which the model finds other things than on those of training.
fn unlike_regions(m: &Manifest) -> String {
    let Some(segmentation) = &m.segmentation else { return String::new() };
    let share = segmentation.least_share.map(|share| {
        format!(
            "One in a hundred pictures of training has less than {:.2} % to outline; where less is found the model abstains \
             (`unlike_training`).\n\n",
            100.0 * share
        )
    });
    let usual = segmentation.usual.map(|UsualRegions { least_certainty, least_median }| {
        let smaller = least_median.map_or_else(String::new, |median| {
            format!(", and on one in two hundred half of the objects have fewer than {median} pixels")
        });
        format!(
            "One in two hundred of these pictures and those of validation has a mean probability of less than {least_certainty:.3} in \
             what the model outlines{smaller}. Below either it abstains (`unlike_training`).\n\n",
        )
    });
    share.into_iter().chain(usual).collect()
}

/// What the network costs in less than single precision, as a paragraph; nothing where that was not measured.
pub fn precision(m: &Manifest) -> String {
    let Some(Precisions { int8, bf16 }) = &m.precision else { return String::new() };
    let PrecisionCost { measured_on, examples, measure, accuracy_f32, accuracy, same_label, .. } = &int8.cost;
    // Of what there are so many, and what is the same of them.
    let (what, same) = match (measure, &m.input) {
        (Measure::Accuracy, Input::Image(_)) => ("pictures", "of them get the same label"),
        (Measure::Accuracy, _) => ("notes", "of them get the same label"),
        (Measure::F1, _) => ("texts", "of the names are found by both"),
        (Measure::Ndcg, _) => ("questions", "of them have the same nearest text"),
    };
    let measure = measure.as_str();
    let served = match int8.allowed {
        true => "A server may compute it so.",
        false => "That is more than 0.2 points, and it is never served so.",
    };
    let half = bf16.as_ref().map_or(String::new(), |bf16| {
        let (accuracy, kept) = (bf16.cost.accuracy, 100.0 * bf16.cost.same_label);
        format!(" Over numbers of half the length (`bf16`) it is {accuracy:.4}; {kept:.1} % {same}.")
    });
    format!(
        "Over bytes (`int8`) its {measure} on the {examples} {measured_on} {what} is {accuracy:.4}, in single precision \
         {accuracy_f32:.4}; {:.1} % {same}. {served}{half}\n\n",
        100.0 * same_label
    )
}

/// What a DICOM file may say that it is, as a paragraph.
fn accepts(m: &Manifest) -> String {
    let Input::Image(ImageInput { accepts: Some(accepts), .. }) = &m.input else { return String::new() };
    let either = |name: &str, words: &[String]| match words.is_empty() {
        true => None,
        false => Some(format!("{name} is none of {}", words.join(", "))),
    };
    let modality = either("Modality (0008,0060)", &accepts.modalities);
    let part = either("Body Part Examined (0018,0015)", &accepts.body_parts);
    let view = either("View Position (0018,5101)", &accepts.views);
    let age = accepts.oldest.map(|oldest| format!("Patient's Age (0010,1010) is above {oldest} years"));
    let either: Vec<String> = modality.into_iter().chain(part).chain(view).chain(age).collect();
    format!(
        "On a DICOM file whose {} it abstains (`wrong_modality`), as on an image of an animal or for quality control; a file \
         without them is answered.\n\n",
        either.join(", or whose ")
    )
}

fn write_metrics(out: &mut String, m: &Manifest) -> std::fmt::Result {
    let answer = match m.cost().is_some() {
        true => "label of least expected cost, which is the one answered",
        false => "label of highest probability",
    };
    let table = match m.segmentation {
        Some(_) => tables::by_split_of_pixels(&m.metrics),
        None => tables::by_split(&m.metrics),
    };
    writeln!(out, "\n## Metrics\n\n{table}")?;
    let sampled = if m.segmentation.is_some() { "These are of pixels drawn from the pictures. " } else { "" };
    let unlike = match m.likeness {
        Some(_) => {
            " What it abstains on as unlike its training comes on top of that and is not in this table."
        }
        None => "",
    };
    writeln!(
        out,
        "{sampled}Accuracy counts the {answer}, abstentions included. AUC over more than two labels is the \
         mean of one against the rest. ECE is the expected calibration error over 15 bins of equal width. On the share of \
         low confidence the model abstains.{unlike}\n"
    )?;
    for (split, metrics) in m.metrics.iter().filter(|(split, _)| split.as_str() != "train") {
        writeln!(out, "By label on {split}; the last columns count answers:\n")?;
        writeln!(out, "{}", tables::by_label(&m.labels, metrics))?;
    }
    Ok(())
}

/// A value as JSON, numbers with no more digits than tell them apart in their own precision:
/// 0.12, where a plain conversion of a 32-bit number gives 0.11999999731779099.
pub fn plain(value: &impl serde::Serialize) -> Value {
    serde_json::to_string(value).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The members of a structure, each as [`plain`] has it.
pub fn members(value: &impl serde::Serialize) -> BTreeMap<String, Value> {
    match plain(value) {
        Value::Object(members) => members.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
