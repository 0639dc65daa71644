//! Parting examples into train, val and test where a data set does not.
//!
//! What belongs together (pictures of one person, files of one content) falls to one split whole, since a network that has
//! seen a person knows that person again. Every split gets its share of every label as nearly as the groups allow.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use regex::Regex;

use super::examples::SPLITS;

/// Shares of train, val and test, in this order.
const SHARES: [f64; 3] = [0.8, 0.1, 0.1];

/// Says of a file's name whose it is.
#[derive(Debug, Clone)]
pub struct Grouping(Regex);

impl Grouping {
    /// By a pattern whose first group, or else the whole of what it matches, names the group.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(pattern: &str) -> Result<Grouping> {
        Ok(Grouping(Regex::new(pattern).with_context(|| format!("--group-by \"{pattern}\" is no pattern"))?))
    }

    /// The group of a file.
    ///
    /// # Errors
    /// A name that the pattern does not match.
    pub fn of(&self, name: &str) -> Result<String> {
        let found = self.0.captures(name);
        let found =
            found.with_context(|| format!("--group-by \"{}\" does not match {name}", self.0.as_str()))?;
        let part = found.get(1).or_else(|| found.get(0));
        Ok(part.map_or_else(String::new, |part| part.as_str().to_string()))
    }
}

/// The split of each group; `groups` are the labels of the examples of each, by name.
pub fn assign(groups: &BTreeMap<String, Vec<usize>>, rng: &mut ChaCha8Rng) -> BTreeMap<String, &'static str> {
    let labels = groups.values().flatten().max().map_or(0, |most| most + 1);
    let mut totals = vec![0f64; labels];
    groups.values().flatten().for_each(|label| totals[*label] += 1.0);
    let mut order: Vec<&String> = groups.keys().collect();
    order.shuffle(rng);
    // Large groups first: small ones can still even out what they leave.
    order.sort_by_key(|name| std::cmp::Reverse(groups[*name].len()));
    let mut filled = vec![[0f64; 3]; labels];
    let mut splits = BTreeMap::new();
    for name in order {
        // How much of a label a split still lacks, as a share of what it is to have.
        let lack = |split: usize, label: usize| {
            let wanted = SHARES[split] * totals[label];
            (wanted - filled[label][split]) / wanted
        };
        let want = |split: usize| groups[name].iter().map(|label| lack(split, *label)).sum::<f64>();
        let best = (0..3).fold(0, |best, split| if want(split) > want(best) + 1e-9 { split } else { best });
        groups[name].iter().for_each(|label| filled[*label][best] += 1.0);
        splits.insert(name.clone(), SPLITS[best]);
    }
    splits
}

/// Refuses a group that is in two splits; `files` are (split, group).
///
/// # Errors
/// The first such group, with its splits.
pub fn check_apart<'a>(files: impl Iterator<Item = (&'a str, String)>) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (split, group) in files {
        let first = *seen.entry(group.clone()).or_insert(split);
        ensure!(first == split, "the group \"{group}\" is in {first} and in {split}");
    }
    Ok(())
}

/// What is said of files of one content: how many of a split are in an earlier one as well, so that its figures flatter a
/// network that has seen them, and how many have two different labels. `files` are (split, digest, label).
pub fn shared<'a>(files: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let mut places: BTreeMap<&str, (BTreeMap<&str, usize>, BTreeSet<&str>)> = BTreeMap::new();
    for (split, digest, label) in files {
        let (splits, labels) = places.entry(digest).or_default();
        *splits.entry(split).or_default() += 1;
        labels.insert(label);
    }
    let mut said = Vec::new();
    for (place, split) in SPLITS.iter().enumerate() {
        for earlier in &SPLITS[..place] {
            let both = places.values().filter(|(splits, _)| splits.contains_key(earlier));
            let count: usize = both.filter_map(|(splits, _)| splits.get(split)).sum();
            if count > 0 {
                said.push(format!("{count} pictures of {split} are in {earlier} as well"));
            }
        }
    }
    let doubtful = places.values().filter(|(_, labels)| labels.len() > 1).count();
    if doubtful > 0 {
        said.push(format!("{doubtful} pictures are there more than once, with different labels"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::random;

    #[test]
    fn every_split_has_its_share_of_every_label_and_groups_stay_whole() {
        // 200 people with one to four pictures of their label, one label ten times as rare as the other.
        let person = |number: usize| {
            (format!("p{number}"), vec![usize::from(number.is_multiple_of(10)); 1 + number % 4])
        };
        let groups: BTreeMap<String, Vec<usize>> = (0..200).map(person).collect();
        for seed in 0..5 {
            let splits = assign(&groups, &mut random::stream(seed, "split"));
            for label in 0..2 {
                let count = |split: &str| -> f64 {
                    let own = splits.iter().filter(|(_, own)| split.is_empty() || **own == split);
                    own.flat_map(|(name, _)| &groups[name]).filter(|l| **l == label).count() as f64
                };
                for (split, share) in SPLITS.iter().zip(SHARES) {
                    let got = count(split) / count("");
                    assert!((got - share).abs() < 0.06, "{seed} {label} {split}: {got}");
                }
            }
        }
        let one = |seed| assign(&groups, &mut random::stream(seed, "split"));
        assert_eq!(one(1), one(1));
        assert_ne!(one(1), one(2));
    }

    #[test]
    fn one_content_in_two_splits_or_under_two_labels_is_said() {
        let files = [("train", "1", "a"), ("val", "1", "a"), ("val", "1", "a"), ("test", "2", "b")];
        assert_eq!(shared(files.into_iter()), ["2 pictures of val are in train as well"]);
        let files = [("train", "1", "a"), ("train", "1", "b"), ("val", "2", "a"), ("test", "2", "a")];
        assert_eq!(
            shared(files.into_iter()),
            [
                "1 pictures of test are in val as well",
                "1 pictures are there more than once, with different labels"
            ]
        );
        assert!(shared([("train", "1", "a"), ("train", "1", "a"), ("val", "2", "b")].into_iter()).is_empty());
    }

    #[test]
    fn a_group_is_what_the_pattern_names() {
        let grouping = Grouping::new("^(person[0-9]+|IM-[0-9]+)").unwrap();
        assert_eq!(grouping.of("person12_virus_3.jpeg").unwrap(), "person12");
        assert!(grouping.of("scan.png").unwrap_err().to_string().contains("scan.png"));
        assert_eq!(Grouping::new("[0-9]+").unwrap().of("a17-2.png").unwrap(), "17");
        assert!(Grouping::new("(").is_err());
        let files = [("train", "a".to_string()), ("val", "b".to_string()), ("val", "a".to_string())];
        let error = check_apart(files.into_iter()).unwrap_err().to_string();
        assert_eq!(error, "the group \"a\" is in train and in val");
    }
}
