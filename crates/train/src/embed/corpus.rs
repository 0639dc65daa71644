//! Texts to learn words from, and pairs of a question and its answer, from a file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::examples::file_name;
use text::vectors::words::Words;

/// Distinct words beyond which the rarest so far are forgotten, so that counting fits in memory (as word2vec does).
const MOST_DISTINCT: usize = 20_000_000;

/// One text, with what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What words are learned from.
    pub text: String,
    /// A question and its answer, where the file has pairs.
    pub pair: Option<(String, String)>,
    /// What is kept together when some is held out.
    pub group: String,
}

/// What a file holds.
pub struct Corpus {
    /// The file's name.
    pub name: String,
    /// Its digest.
    pub sha256: BTreeMap<String, String>,
    /// In the order of the file.
    pub rows: Vec<Row>,
}

/// Which members of a line are what.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// What words are learned from, joined.
    pub text: Vec<String>,
    /// The question and the answer.
    pub pair: Option<(String, String)>,
    /// What lines belong together by.
    pub group: Option<String>,
}

impl Corpus {
    /// Reads a `.jsonl` of objects, or a `.txt` with a text a line.
    ///
    /// # Errors
    /// A file that cannot be read; a line that is no object or lacks a member, with its number.
    pub fn read(file: &Path, members: &Members) -> Result<Corpus> {
        let shown = file.display();
        let bytes = std::fs::read(file).with_context(|| shown.to_string())?;
        let name = file_name(file);
        let sha256 = BTreeMap::from([(name.clone(), model::package::sha256(&bytes))]);
        let content = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))?;
        let lines = content
            .trim_start_matches('\u{feff}')
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let rows: Vec<Row> = match file.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => lines
                .map(|(number, line)| {
                    object(line, members).with_context(|| format!("{shown}, line {}", number + 1))
                })
                .collect::<Result<_>>()?,
            Some("txt") => {
                ensure!(
                    members.pair.is_none() && members.group.is_none(),
                    "{shown}: lines of plain text have no members; --pairs and --group-by need a .jsonl"
                );
                lines.map(|(_, line)| Row { text: line.to_string(), ..Row::default() }).collect()
            }
            _ => bail!("{shown} is neither a .jsonl nor a .txt"),
        };
        ensure!(!rows.is_empty(), "{shown} has no text");
        Ok(Corpus { name, sha256, rows })
    }
}

fn object(line: &str, members: &Members) -> Result<Row> {
    let value: Value = serde_json::from_str(line).context("it is no JSON")?;
    let object = value.as_object().context("it is no object")?;
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => bail!("the member \"{name}\" is no string"),
        None => {
            let there: Vec<&str> = object.keys().map(String::as_str).collect();
            bail!("no member \"{name}\"; it has {}", there.join(", "))
        }
    };
    let texts = members.text.iter().map(|name| text(name)).collect::<Result<Vec<_>>>()?;
    let pair = match &members.pair {
        Some((question, answer)) => Some((text(question)?, text(answer)?)),
        None => None,
    };
    let group = members.group.as_ref().map(|name| text(name)).transpose()?.unwrap_or_default();
    Ok(Row { text: texts.join("\n"), pair, group: group.to_lowercase() })
}

/// Words with how often they come, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// In lower case.
    pub words: Vec<String>,
    /// How often each comes.
    pub counts: Vec<u64>,
    /// Where each is.
    pub places: HashMap<String, u32>,
}

impl Vocabulary {
    /// The words of texts that come at least `least` times, at most `most` of them.
    pub fn count<'a>(texts: impl Iterator<Item = &'a str>, least: u64, most: usize) -> Vocabulary {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut floor = 1;
        for text in texts {
            for word in Words::of(text).iter() {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.to_string(), 1)),
                }
            }
            while counts.len() > MOST_DISTINCT {
                counts.retain(|_, count| *count > floor);
                floor += 1;
            }
        }
        let mut all: Vec<(String, u64)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(most);
        let (words, counts): (Vec<String>, Vec<u64>) = all.into_iter().unzip();
        let mut vocabulary = Vocabulary { words, counts, places: HashMap::new() };
        vocabulary.index();
        vocabulary
    }

    /// Adds words that the texts do not have, each as if it came once.
    pub fn add(&mut self, words: impl Iterator<Item = String>) {
        for word in words.filter(|word| !self.places.contains_key(word)) {
            self.words.push(word);
            self.counts.push(1);
        }
        self.index();
    }

    fn index(&mut self) {
        let places = self.words.iter().enumerate();
        self.places = places.map(|(place, word)| (word.clone(), place as u32)).collect();
    }

    /// The places of a text's known words.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        Words::of(text).iter().filter_map(|word| self.places.get(word).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_what_is_missing_is_said_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jsonl");
        std::fs::write(
            &file,
            "\u{feff}{\"q\": \"Why?\", \"a\": \"Thus.\", \"g\": \"X\"}\n\n{\"q\": \"How?\"}\n",
        )
        .unwrap();
        let members = |text: &[&str], pair: Option<(&str, &str)>| Members {
            text: text.iter().map(|name| name.to_string()).collect(),
            pair: pair.map(|(question, answer)| (question.to_string(), answer.to_string())),
            group: None,
        };
        let read = Corpus::read(&file, &members(&["q"], None)).unwrap();
        assert_eq!(read.rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["Why?", "How?"]);
        let error = Corpus::read(&file, &members(&["q"], Some(("q", "a")))).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("line 3") && error.contains("no member \"a\"; it has q"), "{error}");
        let other = Corpus::read(&folder.path().join("a.csv"), &members(&["q"], None));
        assert!(other.is_err());
    }

    #[test]
    fn the_most_frequent_words_come_first_and_rare_ones_not_at_all() {
        let vocabulary = Vocabulary::count(["b a b", "A c B"].into_iter(), 2, 10);
        assert_eq!((vocabulary.words, vocabulary.counts), (vec!["b".into(), "a".into()], vec![3, 2]));
        let mut one = Vocabulary::count(["b a b"].into_iter(), 1, 1);
        one.add(["b".to_string(), "z".to_string()].into_iter());
        assert_eq!((one.words.len(), one.encode("Z b, a")), (2, vec![1, 0]));
    }
}
