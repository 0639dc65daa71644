//! Names of labels: their order, and that no two of them are one label written in two ways.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// The whole number that a name is, also as pandas writes it where a column has gaps ("2.0").
pub fn whole(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".0").unwrap_or(name);
    digits.parse().ok()
}

/// Each name once: by number where all are numbers, else by name.
pub fn ordered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.collect();
    let mut names: Vec<String> = names.into_iter().map(str::to_string).collect();
    if names.iter().all(|name| whole(name).is_some()) {
        names.sort_by_key(|name| whole(name));
    }
    names
}

/// Refuses two names that differ only in capitals, blanks or how a number is written.
///
/// # Errors
/// The two.
pub fn check_distinct(names: &[String]) -> Result<()> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for name in names {
        let plain = match whole(name.trim()) {
            Some(number) => number.to_string(),
            None => name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(),
        };
        if let Some(other) = seen.insert(plain, name) {
            bail!("the labels \"{other}\" and \"{name}\" are one label written in two ways")
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_written_in_one_way() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for two in [["CARDIO", "cardio"], ["pos", "pos "], ["a b", "a  b"], ["1", "1.0"], ["1", "01"]] {
            let error = check_distinct(&names(&two)).unwrap_err().to_string();
            assert!(error.contains(two[0]) && error.contains(two[1]), "{error}");
        }
        for two in [["1", "10"], ["normal", "abnormal"], ["a", "b"], ["+", "-"]] {
            check_distinct(&names(&two)).unwrap();
        }
        assert_eq!(ordered(["10.0", "9.0", "9.0"].into_iter()), ["9.0", "10.0"]);
    }
}
