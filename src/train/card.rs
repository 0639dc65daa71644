//! The model card (Mitchell et al. 2019, "Model cards for model reporting"): what a person must
//! know before trusting a number, written from the manifest so that the two cannot disagree.

use std::fmt::Write;

use crate::model::Manifest;
use crate::model::manifest::Metrics;

/// The card of a model, in Markdown. `notes` are added as they are, before the plots.
pub fn card(manifest: &Manifest, notes: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, manifest, notes);
    text
}

fn write_card(out: &mut String, m: &Manifest, notes: &str) -> std::fmt::Result {
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
    writeln!(
        out,
        "\nProbabilities are calibrated: logits are divided by the temperature {:.4} before the softmax. \
         Below a highest probability of {:.3} the model abstains.\n",
        m.calibration.temperature, m.abstain_below
    )?;
    writeln!(out, "## Data\n\n{}. {} Licence: {}.\n", m.data.name, m.data.source, m.data.licence)?;
    let sizes: Vec<String> = m.data.examples.iter().map(|(split, n)| format!("{split} {n}")).collect();
    writeln!(out, "Examples: {}.\n", sizes.join(", "))?;
    for (file, digest) in &m.data.sha256 {
        writeln!(out, "- `{file}` sha256 `{digest}`")?;
    }
    write_metrics(out, m)?;
    writeln!(
        out,
        "## Training\n\nArchitecture `{}`, {} values, seed {}, {} epochs, by {}. Settings:\n",
        m.architecture.as_str(),
        m.weights.parameters,
        m.training.seed,
        m.training.epochs,
        m.training.program
    )?;
    for (name, value) in &m.training.settings {
        writeln!(out, "- {name}: `{value}`")?;
    }
    if !notes.is_empty() {
        writeln!(out, "\n{}", notes.trim_end())?;
    }
    writeln!(
        out,
        "\n## Plots\n\n![Learning curve](plots/learning-curve.svg)\n\n![Reliability](plots/reliability.svg)\n\n![ROC](plots/roc.svg)"
    )
}

fn write_metrics(out: &mut String, m: &Manifest) -> std::fmt::Result {
    writeln!(out, "\n## Metrics\n")?;
    let ordinal = m.metrics.values().any(|metrics| metrics.ordinal.is_some());
    let extra =
        if ordinal { (" weighted kappa | under-triage | over-triage |", "---|---|---|") } else { ("", "") };
    writeln!(
        out,
        "| split | examples | accuracy | AUC | macro F1 | ECE | abstained | accuracy of answers |{}",
        extra.0
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|{}", extra.1)?;
    for (split, x) in &m.metrics {
        write!(
            out,
            "| {split} | {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} |",
            x.examples, x.accuracy, x.auc, x.macro_f1, x.ece, x.abstained, x.accuracy_answered
        )?;
        if let Some(o) = &x.ordinal {
            write!(
                out,
                " {:.4} | {:.4} | {:.4} |",
                o.quadratic_weighted_kappa, o.under_triage, o.over_triage
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "\nAccuracy counts the label of highest probability, abstentions included. AUC over more than two labels is the \
         mean of one against the rest. ECE is the expected calibration error over 15 bins of equal width.\n"
    )?;
    for (split, metrics) in m.metrics.iter().filter(|(split, _)| split.as_str() != "train") {
        write_labels(out, &m.labels, split, metrics)?;
    }
    Ok(())
}

fn write_labels(out: &mut String, labels: &[String], split: &str, metrics: &Metrics) -> std::fmt::Result {
    writeln!(out, "By label on {split}; the last columns count answers:\n")?;
    writeln!(out, "| truth | sensitivity | specificity | {} |", labels.join(" | "))?;
    writeln!(out, "|---|---|---|{}", "---|".repeat(labels.len()))?;
    for (label, row) in labels.iter().zip(&metrics.confusion) {
        let counts: Vec<String> = row.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "| {label} | {:.4} | {:.4} | {} |",
            metrics.sensitivity.get(label).copied().unwrap_or(f64::NAN),
            metrics.specificity.get(label).copied().unwrap_or(f64::NAN),
            counts.join(" | ")
        )?;
    }
    writeln!(out)
}
