//! Fields of a data set of notes: what a column holds, learned from the training records alone.
//!
//! A column most of whose values are numbers is one of numbers; a value of it that is none is a slip of the pen and refused
//! by the reader, since a column of words in its place would know each number as a word of its own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use model::manifest::{Field, FieldKind};
use text::record::FieldValue;

/// Shares of the training values that lie below the knots of a numeric field.
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Most values of a categorical field.
const MAX_VALUES: usize = 100;
/// With at least so many rows, a column of whole numbers or words that differ in all of them numbers
/// or names the rows.
const MANY_ROWS: usize = 50;

/// A field as named on the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// The column.
    pub name: String,
    /// Least and greatest value, and the unit.
    pub range: Option<(f64, f64, String)>,
    /// Where a person is well.
    pub normal: Option<(f64, f64)>,
}

impl FieldSpec {
    /// A column without more said of it.
    pub fn named(name: &str) -> FieldSpec {
        FieldSpec { name: name.to_string(), range: None, normal: None }
    }

    /// As written behind `--fields`.
    ///
    /// # Errors
    /// What is not of the form.
    pub fn parse(text: &str) -> Result<FieldSpec> {
        let mut parts = text.splitn(4, ':');
        let name = parts.next().unwrap_or_default().trim().to_string();
        ensure!(!name.is_empty(), "--fields: a name is empty");
        let Some(range) = parts.next() else { return Ok(FieldSpec::named(&name)) };
        let ends = |range: &str| {
            let ends = range.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            ends.filter(|(min, max): &(f64, f64)| min < max).with_context(|| {
                format!("--fields: \"{text}\" is not name, name:min..max, name:min..max:unit or name:min..max:unit:low..high")
            })
        };
        let (min, max) = ends(range)?;
        let unit = parts.next().unwrap_or_default().to_string();
        let normal = parts.next().map(ends).transpose()?;
        Ok(FieldSpec { name, range: Some((min, max, unit)), normal })
    }

    /// What the field is, judged by the training values: numeric if a range is given or most of them are numbers.
    ///
    /// # Errors
    /// Why the column can be no field.
    pub fn learn<'a>(&self, values: impl Iterator<Item = &'a str>) -> Result<Field> {
        let all: Vec<&str> = values.collect();
        let rows = all.len();
        let known: Vec<&str> = all.into_iter().filter(|value| !value.is_empty()).collect();
        let distinct: BTreeSet<&str> = known.iter().copied().collect();
        let is_name = |value: &&str| value.parse::<f64>().map_or(true, |x| x.fract() == 0.0);
        let names_rows = rows >= MANY_ROWS && distinct.len() == rows && known.iter().all(is_name);
        let numbers: Vec<f64> = known.iter().filter_map(|value| number(value)).collect();
        let name = self.name.clone();
        let kind = match self.range.is_some() || 2 * numbers.len() > known.len() {
            true => self.numeric(numbers)?,
            false => {
                let values: BTreeSet<&str> = known.into_iter().collect();
                ensure!(!values.is_empty(), "the column \"{name}\" has no value in any training record");
                ensure!(
                    values.len() <= MAX_VALUES,
                    "the column \"{name}\" has {} different values that are no numbers, more than {MAX_VALUES}",
                    values.len()
                );
                FieldKind::Categorical { values: values.into_iter().map(str::to_string).collect() }
            }
        };
        ensure!(
            !names_rows,
            "the column \"{name}\" is different in every row: it names the rows and says nothing of them"
        );
        Ok(Field { name, kind })
    }

    fn numeric(&self, mut numbers: Vec<f64>) -> Result<FieldKind> {
        ensure!(!numbers.is_empty(), "the column \"{}\" has no number in any training record", self.name);
        numbers.sort_by(f64::total_cmp);
        let (least, greatest) = (numbers[0], numbers[numbers.len() - 1]);
        // Without a range, what is accepted goes half as far again as what was seen, and below
        // zero only where training did.
        let reach = ((greatest - least) / 2.0).max(1.0);
        let low = if least >= 0.0 { (least - reach).max(0.0) } else { least - reach };
        let (min, max, unit) = self.range.clone().unwrap_or((low, greatest + reach, String::new()));
        numbers.retain(|x| (min..=max).contains(x));
        ensure!(!numbers.is_empty(), "the column \"{}\" has no value from {min} to {max}", self.name);
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        let std = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let mut knots: Vec<f64> = QUANTILES.iter().map(|share| quantile(&numbers, *share)).collect();
        knots.dedup();
        Ok(FieldKind::Numeric { min, max, unit, mean, std, knots, normal: self.normal })
    }
}

/// The value that a share of the sorted `numbers` lie below, between two of them if need be.
fn quantile(numbers: &[f64], share: f64) -> f64 {
    let place = share * (numbers.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    numbers[low] + (numbers[high] - numbers[low]) * (place - low as f64)
}

/// What spreadsheets, R and pandas write where there is no value.
const MISSING: [&str; 10] = ["NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "#NULL!"];

/// Whether a cell, without the blanks around it, holds no value.
pub fn is_missing(text: &str) -> bool {
    text.is_empty() || MISSING.contains(&text)
}

/// The finite number that a cell holds.
pub fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

/// The value of a cell. What cannot be (out of range, an unknown word) is missing: a data set is history, and its writer
/// cannot be asked to mend it.
pub fn value(field: &Field, text: &str) -> FieldValue {
    match &field.kind {
        FieldKind::Numeric { min, max, .. } => match number(text) {
            Some(x) if (*min..=*max).contains(&x) => FieldValue::Number(x),
            _ => FieldValue::Missing,
        },
        FieldKind::Categorical { values } => match values.iter().position(|value| value == text) {
            Some(index) => FieldValue::Choice(index),
            None => FieldValue::Missing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_units_come_from_the_command_line() {
        let spec = FieldSpec::parse("sbp:0..300:mmHg").unwrap();
        assert_eq!((spec.range, spec.normal), (Some((0.0, 300.0, "mmHg".to_string())), None));
        assert_eq!(FieldSpec::parse("sbp:0..300::110..130").unwrap().normal, Some((110.0, 130.0)));
        assert_eq!(FieldSpec::parse("sex").unwrap().range, None);
        for bad in ["", "a:b", "a:3..1", "a:1..x", "a:1..2::3..1"] {
            assert!(FieldSpec::parse(bad).is_err(), "{bad}");
        }
    }
}
