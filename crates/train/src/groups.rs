//! How well a model serves each group of people: children and the old, men and women, those who walked in.
//!
//! One figure over everybody hides a group that is served badly. The fields that a model of notes reads say who
//! somebody is, so each of them parts the measured records into groups, and the card has a row for each that is
//! large enough for its figures to say something. A finished package is given the table by `train groups`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::finish::{amend as rewrite, calibrated, measure};
use super::notes::OwnRecords;
use super::{tables, text};
use model::manifest::{Input, Metrics};
use model::{Manifest, Package};

/// Values of a field that make groups of their own at most; of a number with more, there are four bands.
const GROUPS: usize = 8;
/// Examples of a group below which its figures say nothing.
pub const FEWEST: usize = 20;
/// What the section of a card begins with.
const HEADING: &str = "## Groups\n";

/// Values by name of what parts the examples into groups: one value an example, empty where it is not known.
pub type Groups = Vec<(String, Vec<String>)>;

/// The examples by value, or by the quarter of the range that their number lies in.
pub fn parts(values: &[String]) -> Vec<(String, Vec<usize>)> {
    let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, value) in values.iter().enumerate() {
        by_value.entry(if value.is_empty() { "not known" } else { value }).or_default().push(i);
    }
    if by_value.len() <= GROUPS {
        return by_value.into_iter().map(|(value, members)| (value.to_string(), members)).collect();
    }
    let mut numbers: Vec<(f64, usize)> =
        values.iter().enumerate().filter_map(|(i, value)| Some((value.parse().ok()?, i))).collect();
    numbers.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // Equal numbers stay together: a quarter ends behind the last of its largest.
    let quarter = numbers.len().div_ceil(4).max(1);
    let mut bands = Vec::new();
    let mut rest = &numbers[..];
    while !rest.is_empty() {
        let largest = rest[quarter.min(rest.len()) - 1].0;
        let end = rest.partition_point(|(number, _)| *number <= largest);
        let (band, behind) = rest.split_at(end);
        let name = format!("{} to {}", band[0].0, largest);
        bands.push((name, band.iter().map(|(_, i)| *i).collect()));
        rest = behind;
    }
    bands
}

/// Metrics of each group of at least [`FEWEST`] examples, by `field: value`, the fields in their order.
pub fn measured(
    manifest: &Manifest,
    rows: &[Vec<f32>],
    truth: &[usize],
    groups: &Groups,
) -> Vec<(String, Metrics)> {
    let of = |(field, values): &(String, Vec<String>)| {
        let parts = parts(values).into_iter().filter(|(_, members)| members.len() >= FEWEST);
        let one = |(value, members): (String, Vec<usize>)| {
            let rows: Vec<Vec<f32>> = members.iter().map(|at| rows[*at].clone()).collect();
            let truth: Vec<usize> = members.iter().map(|at| truth[*at]).collect();
            (format!("{field}: {value}"), measure(manifest, &rows, &truth, &[]))
        };
        parts.map(one).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of).collect()
}

/// The section of a card; nothing where there are no groups.
pub fn section(split: &str, groups: &[(String, Metrics)]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    format!(
        "{HEADING}\nOn {split}, by what the model reads of who somebody is, of {FEWEST} examples or more. Figures of small groups vary by \
         chance; rules for red flags are left out.\n\n{}\n",
        tables::by_group(groups)
    )
}

/// Measures a package of notes by groups on the split that its card shows, and puts the table into the card; the
/// model stays as it is.
///
/// # Errors
/// A package of another kind, or one that has seen what it would be measured on; data that cannot be read, or of other
/// labels.
pub fn amend(package: Package, data: &Path) -> Result<String> {
    let Input::Record(input) = &package.manifest.input else {
        bail!("the model \"{}\" reads no fields that say who somebody is", package.manifest.name)
    };
    let split = if package.manifest.metrics.contains_key("test") { "test" } else { "val" };
    if split == "val" && package.manifest.training.settings.get("refit") == Some(&true.into()) {
        bail!(
            "the model \"{}\" was fitted again on the validation records as well, so they say nothing about groups; train text \
             measures them before that",
            package.manifest.name
        )
    }
    let (folder, card) = (package.folder.clone(), package.card.clone());
    let mut own = OwnRecords::read(data, &package.manifest, &input.fields)?;
    let records =
        own.splits.remove(split).with_context(|| format!("{}: no records of {split}", data.display()))?;
    let groups = text::groups(&input.fields, &records);
    let (manifest, answers, _) = text::answers_of(package, &records)?;
    let rows = calibrated(&answers, manifest.calibration.temperature)?;
    let section = section(split, &measured(&manifest, &rows, &answers.truth, &groups));
    if section.is_empty() {
        bail!("the model \"{}\" reads no field of which {FEWEST} records are alike", manifest.name);
    }
    rewrite(&folder, &manifest, &put(&card, &section), &[])?;
    Ok(section)
}

/// The card with the section in the place of the one it has, or before what is said of training.
fn put(card: &str, section: &str) -> String {
    let without = match card.split_once(HEADING) {
        Some((before, after)) => {
            let end = after.find("\n## ").map_or(after.len(), |at| at + 1);
            format!("{before}{}", &after[end..])
        }
        None => card.to_string(),
    };
    match without.contains("## Training\n") {
        true => without.replacen("## Training\n", &format!("{section}\n## Training\n"), 1),
        false => format!("{without}\n{section}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_groups_and_numbers_make_bands_that_share_no_value() {
        let of = |values: &[&str]| parts(&values.iter().map(ToString::to_string).collect::<Vec<_>>());
        let sexes = of(&["f", "m", "", "f"]);
        assert_eq!(sexes, [("f".into(), vec![0, 3]), ("m".into(), vec![1]), ("not known".into(), vec![2])]);
        let ages: Vec<String> = (0..100).map(|at| (at / 2).to_string()).collect();
        let bands = parts(&ages);
        assert_eq!(
            bands.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["0 to 12", "13 to 25", "26 to 38", "39 to 49"]
        );
        assert_eq!(bands.iter().map(|(_, members)| members.len()).sum::<usize>(), 100);
        let mut skewed = vec!["0".to_string(); 60];
        skewed.extend((1..=40).map(|age| age.to_string()));
        assert_eq!(parts(&skewed)[0], ("0 to 0".into(), (0..60).collect::<Vec<_>>()));
    }

    #[test]
    fn a_card_has_its_groups_once_and_keeps_the_rest() {
        let card = "# a\n\n## Metrics\n\nm\n\n## Training\n\nt\n\n## Use\n\nu\n";
        let once = put(card, "## Groups\n\nfirst\n\n");
        assert_eq!(
            once,
            "# a\n\n## Metrics\n\nm\n\n## Groups\n\nfirst\n\n\n## Training\n\nt\n\n## Use\n\nu\n"
        );
        let again = put(&once, "## Groups\n\nsecond\n");
        assert_eq!(again.matches("## Groups").count(), 1);
        assert!(again.contains("second\n\n## Training\n\nt\n\n## Use\n\nu\n") && !again.contains("first"));
    }
}
