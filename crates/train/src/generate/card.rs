//! The card of a model that makes pictures: what they may be used for, and what was measured of them.

use std::fmt::Write;

use serde_json::Value;

use crate::card::{write_data, write_training};
use model::Manifest;
use model::manifest::{GenerationMetrics, Input};

/// The card, in Markdown.
pub fn card(manifest: &Manifest) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, manifest);
    text
}

fn write_card(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "**The pictures are synthetic: they show nobody.** Each says so in its file and in its lower right corner. They are for \
         teaching and for trying software, and to have more examples of what is rare. They are no evidence of anything, and no \
         classifier should be measured on them. This model is no medical device.\n"
    )?;
    writeln!(out, "## Labels\n")?;
    for label in &m.labels {
        match m.label_descriptions.get(label) {
            Some(meaning) => writeln!(out, "- `{label}`: {meaning}")?,
            None => writeln!(out, "- `{label}`")?,
        }
    }
    if let Input::Image(input) = &m.input {
        let colour = if input.channels == 1 { "grey" } else { "colour" };
        writeln!(out, "\nPictures have {} x {} pixels, in {colour}.\n", input.height, input.width)?;
    }
    write_data(out, m, "Examples")?;
    let Some(generation) = &m.generation else { return Ok(()) };
    if let Some(metrics) = &generation.metrics {
        writeln!(out, "\n## Measures\n\n{}", measures(metrics))?;
    }
    writeln!(
        out,
        "## How they are made\n\nDiffusion in {} steps of DPM-Solver++(2M), the network trained to say the velocity under a cosine \
         schedule, its weights averaged over steps. It works on squares of {} x {} pixels, each as {} principal components. Guidance \
         {}: how much further than asked a step goes towards the label. Of the noise {} stays on the way, times its ratio to the \
         picture, without which pictures would be flatter than real ones. Of the noise of a step {} is new, in the measure of what \
         training puts on.\n",
        generation.steps,
        generation.patch,
        generation.patch,
        generation.components,
        generation.guidance,
        generation.noise_kept,
        generation.noise_anew
    )?;
    write_training(out, m)?;
    writeln!(out, "\n## Plots\n\nSamples are a row a label, as they came.\n")?;
    // Weights that were only measured anew have none.
    if m.training.settings.get("epochs").and_then(Value::as_u64) != Some(0) {
        writeln!(out, "![Learning curve](plots/learning-curve.svg)\n")?;
    }
    writeln!(out, "![Samples](plots/samples.png)")
}

/// The measures as a table, with what each says.
pub fn measures(metrics: &GenerationMetrics) -> String {
    let GenerationMetrics { generated, measured_on, memorisation, .. } = metrics;
    let mut rows = vec![
        (
            "accuracy on real pictures, trained on synthetic ones alone".to_string(),
            metrics.trained_on_generated,
        ),
        ("the same, trained on the real ones of training".to_string(), metrics.trained_on_real),
    ];
    if let Some(few) = &metrics.few {
        let each = few.per_label;
        rows.push((format!("the same, trained on {each} real ones a label"), few.real));
        rows.push((
            format!("the same, trained on these {each} and the synthetic ones"),
            few.real_and_generated,
        ));
    }
    rows.extend([
        ("Fréchet distance to real pictures".to_string(), metrics.frechet_distance),
        ("that of the training pictures".to_string(), metrics.frechet_distance_of_real),
        ("precision".to_string(), metrics.precision),
        ("recall".to_string(), metrics.recall),
        ("share of copies".to_string(), memorisation.nearer),
        ("median distance to training, over that of real pictures".to_string(), memorisation.median_ratio),
    ]);
    let mut text = "| measure | value |\n|---|---|\n".to_string();
    rows.iter().for_each(|(name, value)| text.push_str(&format!("| {name} | {value:.4} |\n")));
    text.push_str(&format!(
        "\nOver {generated} synthetic pictures and the real ones of the split {measured_on}, which training has not seen. All \
         classifiers are one small residual network of the same number of steps; the Fréchet distance, precision and recall are in \
         the features of the one trained on real pictures, and mean nothing beside figures in other features. The generator itself \
         has learnt from every training picture, also where a classifier is given few. A copy is a picture nearer to a training \
         picture (thumbnails, in every way that a picture may lie) than 99 % of the real ones are; a model with a share of more than \
         {:.3} of them is not written.\n",
        memorisation.at_most
    ));
    text
}
