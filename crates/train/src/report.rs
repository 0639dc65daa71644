//! The report of a finished training: one HTML page that needs nothing beside it.
//!
//! A model card says what a model is worth; a person who has to trust it wants to see what it gets wrong. The
//! page shows the plots, who was taken for whom, how well each group is served, and the wrong answers of which the
//! model was most certain, with their pictures or notes. Those are patients' data, so nothing of this is in a package
//! unless `--report` asks for it.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result as Written, Write};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::groups::{FEWEST, Groups, parts};
use super::metrics::{confusion, highest};
use super::tables::or_dash;
use model::Manifest;
use model::manifest::Metrics;

/// The report's file in a package.
pub const REPORT: &str = "report.html";

/// Wrong answers on the page at most, the most certain first.
const MOST: usize = 48;
/// Characters of a note on the page.
const NOTE: usize = 400;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a2530;\
background:#fff}h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}th,td{padding:.25rem .6rem;text-align:\
right;border-bottom:1px solid #d5dde4}th:first-child,td:first-child{text-align:left}.plots,.wrong{display:grid;gap:1rem;\
grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr))}.plots svg{width:100%;height:auto}.wrong{grid-template-columns:\
repeat(auto-fill,minmax(11rem,1fr))}figure{margin:0;padding:.5rem;border:1px solid #d5dde4;border-radius:6px;\
overflow-wrap:anywhere}figure img{width:100%;image-rendering:auto}figcaption{font-size:.85rem}.warn{padding:.6rem 1rem;\
border-left:4px solid #b3541e;background:#fdf3ec}";

/// What one example was, for the page.
pub enum Shown {
    /// A picture, as PNG.
    Picture(Vec<u8>),
    /// A note and its fields.
    Note(String, Vec<(String, String)>),
}

/// What the report needs to know of the examples of a split.
pub struct Subjects<'a> {
    /// The example of that index.
    pub show: Box<dyn Fn(usize) -> Result<Shown> + 'a>,
    /// What parts the examples into groups.
    pub groups: Groups,
}

/// What was answered on the split that the report is about.
pub struct Outcome<'a> {
    /// Name of the split.
    pub split: &'a str,
    /// Calibrated probabilities, one row an example.
    pub rows: &'a [Vec<f32>],
    /// Index of the right label.
    pub truth: &'a [usize],
}

/// The page. `plots` are SVG.
///
/// # Errors
/// An example that cannot be shown.
pub fn report(
    manifest: &Manifest,
    outcome: &Outcome,
    subjects: &Subjects,
    plots: &[&[u8]],
) -> Result<Vec<u8>> {
    let mut page = String::new();
    let answers: Vec<usize> = outcome.rows.iter().map(|row| manifest.decide(row)).collect();
    write_head(&mut page, manifest)?;
    page.push_str("<h2>Plots</h2><div class=\"plots\">");
    plots.iter().for_each(|svg| page.push_str(&String::from_utf8_lossy(svg)));
    page.push_str("</div>");
    write_metrics(&mut page, &manifest.metrics)?;
    write_confusion(&mut page, manifest, outcome, &answers)?;
    write_groups(&mut page, manifest, outcome, &answers, &subjects.groups)?;
    write_wrong(&mut page, manifest, outcome, &answers, subjects)?;
    page.push_str("</body></html>\n");
    Ok(page.into_bytes())
}

/// Text as it stands in HTML, whatever is in it.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, out: &mut Formatter) -> Written {
        self.0.chars().try_for_each(|character| match character {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
            other => out.write_char(other),
        })
    }
}

fn write_head(out: &mut String, m: &Manifest) -> Written {
    let title = format!("{}, version {}", m.name, m.version);
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style></head><body><h1>{0}</h1><p>{1}</p>\
         <p class=\"warn\">This page shows examples of the data that the model was measured on. It is for those who may see \
         that data. The model is no medical device and its answer is no diagnosis.</p>",
        Plain(&title),
        Plain(&m.description)
    )?;
    write!(
        out,
        "<p>Trained on {} ({}). {} epochs, seed {}, {} values, architecture {}.</p>",
        Plain(&m.data.name),
        Plain(&m.data.licence),
        m.training.epochs,
        m.training.seed,
        m.weights.parameters,
        Plain(m.architecture.as_str())
    )
}

fn write_metrics(out: &mut String, metrics: &BTreeMap<String, Metrics>) -> Written {
    out.push_str(
        "<h2>Measures</h2><table><tr><th>split</th><th>examples</th><th>accuracy</th><th>AUC</th><th>macro F1</th>\
         <th>calibration error</th><th>low confidence</th><th>accuracy of the others</th></tr>",
    );
    for (split, m) in metrics {
        let (auc, answered) = (or_dash(m.auc), or_dash(m.accuracy_answered));
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{:.4}</td><td>{auc}</td><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td>\
             <td>{answered}</td></tr>",
            Plain(split),
            m.examples,
            m.accuracy,
            m.macro_f1,
            m.ece,
            m.abstained
        )?;
    }
    out.push_str("</table>");
    Ok(())
}

/// Rows are what is right, columns what was answered; the darker, the larger its share of the row.
fn write_confusion(out: &mut String, m: &Manifest, outcome: &Outcome, answers: &[usize]) -> Written {
    write!(
        out,
        "<h2>Who is taken for whom</h2><p>Split {}: a row is what is right, a column what was answered.</p>\
         <table><tr><th></th>",
        Plain(outcome.split)
    )?;
    m.labels.iter().try_for_each(|label| write!(out, "<th>{}</th>", Plain(label)))?;
    out.push_str("<th>share right</th></tr>");
    for (label, row) in confusion(m.labels.len(), outcome.truth, answers).iter().enumerate() {
        let total = row.iter().sum::<u64>().max(1) as f64;
        write!(out, "<tr><td>{}</td>", Plain(&m.labels[label]))?;
        for (answer, count) in row.iter().enumerate() {
            let share = *count as f64 / total;
            let tone = if answer == label { "31,98,168" } else { "200,80,50" };
            write!(out, "<td style=\"background:rgba({tone},{:.2})\">{count}</td>", 0.6 * share)?;
        }
        write!(out, "<td>{:.3}</td></tr>", row[label] as f64 / total)?;
    }
    out.push_str("</table>");
    Ok(())
}

fn write_groups(
    out: &mut String,
    m: &Manifest,
    outcome: &Outcome,
    answers: &[usize],
    groups: &[(String, Vec<String>)],
) -> Written {
    let mut lines = String::new();
    for (name, values) in groups {
        for (value, members) in parts(values) {
            if members.len() < FEWEST {
                continue;
            }
            let right = members.iter().filter(|i| answers[**i] == outcome.truth[**i]).count();
            let abstained =
                members.iter().filter(|i| highest(&outcome.rows[**i]).1 < m.abstain_below).count();
            let share = |part: usize| part as f64 / members.len() as f64;
            write!(
                lines,
                "<tr><td>{}: {}</td><td>{}</td><td>{:.4}</td><td>{:.4}</td></tr>",
                Plain(name),
                Plain(&value),
                members.len(),
                share(right),
                share(abstained)
            )?;
        }
    }
    if !lines.is_empty() {
        write!(
            out,
            "<h2>Groups</h2><p>Of {FEWEST} examples or more.</p><table><tr><th>group</th><th>examples</th>\
             <th>accuracy</th><th>abstained</th></tr>{lines}</table>"
        )?;
    }
    Ok(())
}

fn write_wrong(
    out: &mut String,
    m: &Manifest,
    outcome: &Outcome,
    answers: &[usize],
    subjects: &Subjects,
) -> Result<()> {
    let mut wrong: Vec<usize> = (0..answers.len()).filter(|i| answers[*i] != outcome.truth[*i]).collect();
    wrong.sort_by(|a, b| {
        outcome.rows[*b][answers[*b]].total_cmp(&outcome.rows[*a][answers[*a]]).then(a.cmp(b))
    });
    let shown = wrong.len().min(MOST);
    write!(
        out,
        "<h2>Wrong, and how sure</h2><p>{} of {} answers are wrong; these are the {shown} of which the model was most \
         certain.</p><div class=\"wrong\">",
        wrong.len(),
        answers.len()
    )?;
    for i in &wrong[..shown] {
        out.push_str("<figure>");
        match (subjects.show)(*i)? {
            Shown::Picture(png) => {
                write!(out, "<img alt=\"\" src=\"data:image/png;base64,{}\">", STANDARD.encode(png))?;
            }
            Shown::Note(note, fields) => {
                let short: String = note.chars().take(NOTE).collect();
                let cut = if short.len() < note.len() { " ..." } else { "" };
                write!(out, "<p>{}{cut}</p>", Plain(&short))?;
                for (name, value) in fields {
                    write!(out, "<small>{} {}; </small>", Plain(&name), Plain(&value))?;
                }
            }
        }
        let answer = answers[*i];
        let (said, right) = (&m.labels[answer], &m.labels[outcome.truth[*i]]);
        let sure = outcome.rows[*i][answer];
        let abstains = if highest(&outcome.rows[*i]).1 < m.abstain_below { ", abstains" } else { "" };
        write!(
            out,
            "<figcaption>{} ({sure:.3}{abstains}), right is {}</figcaption></figure>",
            Plain(said),
            Plain(right)
        )?;
    }
    out.push_str("</div>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_note_stays_text() {
        assert_eq!(Plain("<b a=\"1\">&'x'").to_string(), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;x&#39;");
    }

    #[test]
    fn few_values_are_groups_and_many_numbers_are_bands() {
        let sexes = ["female", "male", "", "female"].map(String::from);
        let named: Vec<(String, usize)> =
            parts(&sexes).into_iter().map(|(name, of)| (name, of.len())).collect();
        assert_eq!(named, [("female".into(), 2), ("male".into(), 1), ("not known".into(), 1)]);
        let ages: Vec<String> = (1..=40).map(|age| age.to_string()).collect();
        let bands = parts(&ages);
        assert_eq!(bands.len(), 4);
        assert_eq!((bands[0].0.as_str(), bands[3].0.as_str()), ("1 to 10", "31 to 40"));
        assert_eq!(bands.iter().map(|(_, of)| of.len()).sum::<usize>(), 40);
    }
}
