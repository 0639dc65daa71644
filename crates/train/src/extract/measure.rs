//! How much of what is marked a tagger finds: exact spans and pairs, by label and by relation.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::fitting::Marked;
use crate::metrics::ratio;
use crate::tables::or_dash;
use model::Manifest;
use model::manifest::{CrfConfig, ExtractionMetrics, FoundMetrics, Metrics};
use text::tagger::chain::Span;
use text::tagger::{Found, Tagger};

/// Bins of probabilities.
const BINS: usize = 15;

/// Right ones, found ones and those that are there.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: usize,
    found: usize,
    there: usize,
}

impl Counts {
    fn metrics(self) -> FoundMetrics {
        let share = |of: usize| ratio(self.right as u64, of as u64);
        let f1 = ratio(2 * self.right as u64, (self.found + self.there) as u64);
        FoundMetrics { count: self.there, precision: share(self.found), recall: share(self.there), f1 }
    }
}

/// What `found`, one answer a text, is worth beside the marks of `texts`. Names of labels that a
/// text's source does not mark are not counted.
pub fn measure(labels: &[String], relations: &[String], texts: &[Marked], found: &[Found]) -> Metrics {
    let mut by_label = vec![Counts::default(); labels.len()];
    let mut by_relation = vec![Counts::default(); relations.len()];
    let mut seen = Vec::new();
    let (mut tokens, mut right_tokens) = (0, 0);
    for (text, found) in texts.iter().zip(found) {
        text.spans.iter().for_each(|span| by_label[span.label].there += 1);
        let known = found.entities.iter().filter(|entity| text.known[entity.span.label]);
        let mut tags = vec![[0usize; 2]; text.document.tokens.len()];
        let mut mark = |span: &Span, side: usize| {
            for (place, tag) in tags[span.start..span.end].iter_mut().enumerate() {
                tag[side] = 1 + 2 * span.label + usize::from(place > 0);
            }
        };
        text.spans.iter().for_each(|span| mark(span, 0));
        for entity in known {
            mark(&entity.span, 1);
            let right = text.spans.contains(&entity.span);
            let counts = &mut by_label[entity.span.label];
            counts.found += 1;
            counts.right += usize::from(right);
            seen.push((entity.probability, right));
        }
        tokens += tags.len();
        right_tokens += tags.iter().filter(|[truth, answer]| truth == answer).count();
        for (number, label) in relations.iter().enumerate() {
            let there: Vec<(Span, Span)> = text
                .relations
                .iter()
                .filter(|(_, _, of)| of == label)
                .map(|(from, to, _)| (text.spans[*from], text.spans[*to]))
                .collect();
            let links = found.links.iter().filter(|link| link.relation == number);
            let pairs = links.map(|link| (found.entities[link.from].span, found.entities[link.to].span));
            let counts = &mut by_relation[number];
            counts.there += there.len();
            for pair in pairs {
                counts.found += 1;
                counts.right += usize::from(there.contains(&pair));
            }
        }
    }
    let entities = by_label.iter().fold(Counts::default(), |sum, counts| Counts {
        right: sum.right + counts.right,
        found: sum.found + counts.found,
        there: sum.there + counts.there,
    });
    let named = |names: &[String], counts: &[Counts]| -> BTreeMap<String, FoundMetrics> {
        names
            .iter()
            .cloned()
            .zip(counts.iter().map(|counts| counts.metrics()))
            .filter(|(_, m)| m.count > 0)
            .collect()
    };
    let by_label = named(labels, &by_label);
    let accuracy = right_tokens as f64 / tokens.max(1) as f64;
    Metrics {
        examples: texts.len(),
        accuracy,
        auc: None,
        macro_f1: by_label.values().filter_map(|m| m.f1).sum::<f64>() / by_label.len().max(1) as f64,
        ece: calibration_error(&seen),
        abstained: 0.0,
        accuracy_answered: Some(accuracy),
        sensitivity: by_label.iter().filter_map(|(label, m)| Some((label.clone(), m.recall?))).collect(),
        specificity: BTreeMap::new(),
        confusion: Vec::new(),
        ordinal: None,
        extraction: Some(ExtractionMetrics {
            entities: entities.metrics(),
            by_label,
            relations: named(relations, &by_relation),
        }),
        retrieval: None,
    }
}

/// How far probabilities are from how often what they are of was right, over bins of equal width: the expected calibration
/// error.
pub fn calibration_error(seen: &[(f64, bool)]) -> f64 {
    let mut bins = [(0.0, 0usize); BINS];
    for (probability, right) in seen {
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += probability;
        bin.1 += usize::from(*right);
    }
    let apart: f64 = bins.iter().map(|(sum, right)| (sum - *right as f64).abs()).sum();
    apart / seen.len().max(1) as f64
}

/// Names of a package's relations.
pub fn relation_labels(config: &CrfConfig) -> Vec<String> {
    config.relations.iter().map(|relation| relation.label.clone()).collect()
}

/// What a tagger finds in each text.
pub fn answers(tagger: &Tagger, texts: &[String]) -> Vec<Found> {
    use rayon::prelude::*;
    texts.par_iter().map(|text| tagger.find(&tagger.read_text(text, usize::MAX))).collect()
}

/// What was measured on each split, for a card.
///
/// # Errors
/// None but the writer's.
pub fn write_splits(out: &mut String, manifest: &Manifest) -> std::fmt::Result {
    for (split, metrics) in &manifest.metrics {
        writeln!(out, "On {split}, {} texts:\n\n{}", metrics.examples, table(metrics))?;
        writeln!(out, "{}\n", super::confidence::sentence(metrics.ece))?;
    }
    Ok(())
}

/// Metrics as a table, a row a label and relation.
pub fn table(metrics: &Metrics) -> String {
    let Some(of) = &metrics.extraction else { return String::new() };
    let row = |name: &str, m: &FoundMetrics| {
        let [precision, recall, f1] = [m.precision, m.recall, m.f1].map(or_dash);
        format!("| {name} | {} | {precision} | {recall} | {f1} |\n", m.count)
    };
    let mut table = "| what | there | precision | recall | F1 |\n|---|---|---|---|---|\n".to_string();
    table += &row("all names", &of.entities);
    of.by_label.iter().for_each(|(label, m)| table += &row(label, m));
    of.relations.iter().for_each(|(label, m)| table += &row(&format!("{label} (pairs)"), m));
    table
}
