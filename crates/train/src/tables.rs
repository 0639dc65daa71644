//! Metrics as tables: the same rows in a model's card and on the terminal.
//!
//! They are Markdown, with the columns padded so that they can be read unrendered too.

use std::collections::BTreeMap;

use model::manifest::{Metrics, NumberOutput, Outputs, RegionMetrics};

/// One row a split. A figure that a split cannot have is a dash.
pub fn by_split(metrics: &BTreeMap<String, Metrics>) -> String {
    by("split", "examples", metrics.iter().collect())
}

/// The same of a model that outlines regions, whose examples are pixels.
pub fn by_split_of_pixels(metrics: &BTreeMap<String, Metrics>) -> String {
    by("split", "pixels", metrics.iter().collect())
}

/// One row a group of people, likewise.
pub fn by_group(groups: &[(String, Metrics)]) -> String {
    by("group", "examples", groups.iter().map(|(name, metrics)| (name, metrics)).collect())
}

fn by(what: &str, of: &str, metrics: Vec<(&String, &Metrics)>) -> String {
    let header = [what, of, "accuracy", "AUC", "macro F1", "ECE", "low confidence", "accuracy of the others"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    let ordinal = metrics.iter().any(|(_, m)| m.ordinal.is_some());
    if ordinal {
        rows[0].extend(["weighted kappa", "under-triage", "over-triage"].map(str::to_string));
    }
    for (split, m) in metrics {
        let mut row = vec![split.clone(), m.examples.to_string(), figure(m.accuracy)];
        row.push(or_dash(m.auc));
        row.extend([m.macro_f1, m.ece, m.abstained].map(figure));
        row.push(or_dash(m.accuracy_answered));
        match &m.ordinal {
            Some(o) => {
                row.push(or_dash(o.quadratic_weighted_kappa));
                row.extend([o.under_triage, o.over_triage].map(figure));
            }
            None if ordinal => row.extend(["-", "-", "-"].map(str::to_string)),
            None => {}
        }
        rows.push(row);
    }
    table(&rows)
}

/// One row a split, or whatever else `first` names, of a model that outlines regions.
pub fn by_region(first: &str, metrics: &BTreeMap<String, RegionMetrics>) -> String {
    let header = [first, "pictures", "Dice", "IoU", "objects", "found", "F1 at IoU 0.5", "average precision"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    for (split, m) in metrics {
        let mut row = vec![split.clone(), m.pictures.to_string(), figure(m.dice), figure(m.iou)];
        match &m.objects {
            Some(o) => {
                row.extend([o.truth, o.found].map(|count| count.to_string()));
                row.extend([o.f1, o.average_precision].map(figure));
            }
            None => row.extend(["-"; 4].map(str::to_string)),
        }
        rows.push(row);
    }
    table(&rows)
}

/// One row a split and label, of a model of several labels at once, or one row a split, of a number.
pub fn by_output(labels: &[String], outputs: &Outputs) -> String {
    match outputs {
        Outputs::Binary { metrics, .. } => {
            let header =
                ["split", "label", "examples", "with it", "AUC", "sensitivity", "specificity", "F1", "ECE"];
            let mut rows = vec![header.map(str::to_string).to_vec()];
            for (split, own) in metrics {
                for (label, m) in labels.iter().filter_map(|label| Some((label, own.get(label)?))) {
                    let mut row = vec![split.clone(), label.clone()];
                    row.extend([m.examples, m.positives].map(|count| count.to_string()));
                    row.extend([m.auc, m.sensitivity, m.specificity, m.f1].map(or_dash));
                    row.push(figure(m.ece));
                    rows.push(row);
                }
            }
            table(&rows)
        }
        Outputs::Number(NumberOutput { metrics, .. }) => {
            let header = [
                "split",
                "examples",
                "mean absolute error",
                "root mean square error",
                "R2",
                "in the interval",
            ];
            let mut rows = vec![header.map(str::to_string).to_vec()];
            for (split, m) in metrics {
                let mut row = vec![split.clone(), m.examples.to_string()];
                row.extend([m.mae, m.rmse].map(figure));
                row.extend([or_dash(m.r2), figure(m.covered)]);
                rows.push(row);
            }
            table(&rows)
        }
    }
}

/// One row a label: how often it is found, and what was answered where it was right.
pub fn by_label(labels: &[String], metrics: &Metrics) -> String {
    let mut rows = vec![["truth", "sensitivity", "specificity"].map(str::to_string).to_vec()];
    rows[0].extend(labels.iter().cloned());
    for (label, counts) in labels.iter().zip(&metrics.confusion) {
        let share = |by_label: &BTreeMap<String, f64>| or_dash(by_label.get(label).copied());
        let mut row = vec![label.clone(), share(&metrics.sensitivity), share(&metrics.specificity)];
        row.extend(counts.iter().map(u64::to_string));
        rows.push(row);
    }
    table(&rows)
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

/// A figure, or a dash for one that cannot be.
pub fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), figure)
}

/// A Markdown table whose first row is its header.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| -> String {
        let cells = cells.zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = line(&mut widths.iter().map(|width| "-".repeat(*width)));
    let mut lines = rows.iter().map(|row| line(&mut row.iter().cloned()));
    let header = lines.next().unwrap_or_default();
    header + &rule + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::metrics;

    #[test]
    fn an_ordered_scale_shows_its_figures_and_what_a_split_lacks_is_a_dash() {
        let labels = ["1", "2", "3"].map(str::to_string);
        let rows = [vec![0.8, 0.1, 0.1], vec![0.3, 0.4, 0.3], vec![0.1, 0.2, 0.7]];
        let val = metrics(&labels, &rows, &[0, 1, 1], &[0, 1, 2], 0.0, true);
        let test = metrics(&labels, &rows[..1], &[0], &[0], 0.0, true);
        let shown = by_split(&BTreeMap::from([("val".to_string(), val.clone()), ("test".to_string(), test)]));
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(lines[0][9..12], ["weighted kappa", "under-triage", "over-triage"]);
        assert_eq!((lines[2][1], lines[2][4]), ("test", "-"));
        // Of three, one answer is a step too low on the scale; none is too high.
        assert_eq!(
            (lines[3][1], lines[3][3], lines[3][10], lines[3][11]),
            ("val", "0.6667", "0.3333", "0.0000")
        );
        assert!(by_label(&labels, &val).contains("| 2     | 0.5000      | 1.0000      | 0   | 1   | 1   |"));
    }
}
