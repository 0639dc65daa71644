//! What a tagger may know besides marked texts: lists of names, and classes of words used alike.
//!
//! Classes come from plain text. Of every word is counted which words stand one and two places before
//! and after it; the counts become positive pointwise mutual information, which is brought to few
//! values by subspace iteration (Halko, Martinsson and Tropp 2011), and words near each other there
//! are put into one class by k-means, coarsely and finely. Distances are all that k-means sees, so no
//! singular vectors are needed, only the space that they span.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde_json::Value;

use super::corpus::{Corpus, Sample};
use nn::random;
use text::tagger::lexicon::{LEVELS, Lexicons, word};
use text::tagger::tokens::tokens;

/// Classes of each level.
const CLASSES: [usize; LEVELS] = [64, 256, 1024];
/// Words that are no rarer get a class.
const LEAST: u32 = 3;
/// Most words with a class, and most neighbors that are told apart.
const WORDS: usize = 40_000;
const NEIGHBORS: usize = 3_000;
/// Places of neighbors.
const PLACES: [i64; 4] = [-2, -1, 1, 2];
/// Values a word.
const WIDTH: usize = 100;
/// Words that k-means is fitted on, the most frequent.
const FITTED: usize = 20_000;
const ROUNDS: usize = 12;

/// A list of names from a file: `NAME=FILE` of a `.txt` with a name a line, `NAME=FILE:FIELD` of a
/// `.csv` column or a `.jsonl` member, `NAME=FOLDER:LABEL` of what the training texts there mark so. The parts of a name between brackets, commas, semicolons and
/// slashes are names too. Two lists are made: the names, and the words of four letters and more that
/// they are made of, since a new name is often made of known words.
///
/// # Errors
/// A file that cannot be read, or has no such field.
pub fn lists(given: &str) -> Result<[(String, HashSet<u32>); 2]> {
    let (name, rest) = given
        .split_once('=')
        .with_context(|| format!("--names: \"{given}\" is not NAME=FILE or NAME=FILE:FIELD"))?;
    let (file, field) = match rest.rsplit_once(':') {
        Some((file, field)) if !field.contains(['/', '.']) => (file, Some(field)),
        _ => (rest, None),
    };
    let values = values(Path::new(file), field).with_context(|| format!("--names: {file}"))?;
    let mut names = BTreeSet::new();
    for value in &values {
        let parts =
            value.split(['(', ')', ',', ';', '/']).map(str::trim).filter(|part| part.chars().count() > 3);
        names.extend(parts.chain([value.trim()]).filter(|name| name.chars().any(char::is_alphabetic)));
    }
    ensure!(!names.is_empty(), "--names: {file} has no name");
    let word = |name: &&str| -> Vec<String> {
        let words = tokens(name).into_iter().map(|token| name[token.bytes].to_string());
        words.filter(|word| word.chars().count() > 3 && word.parse::<f64>().is_err()).collect()
    };
    let words: BTreeSet<String> = names.iter().flat_map(word).collect();
    let words = Lexicons::list(words.iter().map(String::as_str));
    Ok([(name.to_string(), Lexicons::list(names.into_iter())), (format!("{name}, words"), words)])
}

/// Plain texts of a file: a `.txt` by lines, a `.jsonl` by all members that are strings, event records
/// by their contexts, a `.tsv` of tokens by sentences.
///
/// # Errors
/// A file that cannot be read.
pub fn plain(file: &Path) -> Result<Vec<String>> {
    let content = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut texts = Vec::new();
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => {
            for line in content.lines().filter(|line| !line.trim().is_empty()) {
                let value: Value = serde_json::from_str(line).with_context(|| file.display().to_string())?;
                let members = value.as_object().into_iter().flat_map(|members| members.values());
                let long = members.filter_map(Value::as_str).filter(|text| text.contains(' '));
                texts.extend(long.map(str::to_string));
            }
        }
        Some("tsv") => {
            let sentence = |lines: &str| {
                let tokens = lines.lines().filter_map(|line| line.split('\t').next());
                tokens.collect::<Vec<_>>().join(" ")
            };
            texts.extend(content.split("\n\n").map(sentence));
        }
        _ => texts.extend(content.lines().map(str::to_string)),
    }
    Ok(texts)
}

fn values(file: &Path, field: Option<&str>) -> Result<Vec<String>> {
    if let (true, Some(label)) = (file.is_dir(), field) {
        let corpus = Corpus::read(file)?;
        let named = |sample: &Sample| -> Vec<String> {
            let characters: Vec<char> = sample.text.chars().collect();
            let marks = sample.marks.iter().filter(|mark| mark.label == label);
            marks.map(|mark| characters[mark.start..mark.end].iter().collect()).collect()
        };
        return Ok(corpus.splits["train"].iter().flat_map(named).collect());
    }
    let content = std::fs::read_to_string(file)?;
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match (ending, field) {
        ("csv", Some(field)) => {
            let mut reader = csv::Reader::from_reader(content.as_bytes());
            let column = reader.headers()?.iter().position(|name| name == field);
            let column = column.with_context(|| format!("no column \"{field}\""))?;
            let mut values = Vec::new();
            for row in reader.records() {
                values.push(row?.get(column).unwrap_or_default().to_string());
            }
            Ok(values)
        }
        ("jsonl", Some(field)) => {
            let mut values = Vec::new();
            for line in content.lines().filter(|line| !line.trim().is_empty()) {
                let value: Value = serde_json::from_str(line)?;
                values.extend(value[field].as_str().map(str::to_string));
            }
            Ok(values)
        }
        ("csv" | "jsonl", None) => bail!("a .csv or .jsonl needs a field: FILE:FIELD"),
        _ => Ok(content.lines().map(str::to_string).collect()),
    }
}

/// Classes of the words of `texts`, by their hashes.
pub fn classes(texts: &[String], seed: u64) -> HashMap<u32, [u16; LEVELS]> {
    let cut = |text: &String| -> Vec<String> {
        tokens(text).into_iter().map(|token| plain_word(&text[token.bytes])).collect()
    };
    let texts: Vec<Vec<String>> = texts.par_iter().map(cut).collect();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    texts.iter().flatten().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut kept: Vec<(&str, u32)> = counts.into_iter().filter(|(_, count)| *count >= LEAST).collect();
    kept.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    kept.truncate(WORDS);
    if kept.len() < 2 * CLASSES[0] {
        return HashMap::new();
    }
    let place: HashMap<&str, u32> =
        kept.iter().enumerate().map(|(at, (word, _))| (*word, at as u32)).collect();
    let rows = information(&texts, &place, kept.len());
    let vectors = project(&rows, seed);
    let levels: Vec<Vec<u16>> = CLASSES
        .iter()
        .enumerate()
        .map(|(level, count)| means(&vectors, *count, seed + level as u64))
        .collect();
    let of = |at: usize| std::array::from_fn(|level| levels[level][at] + 1);
    kept.iter().enumerate().map(|(at, (text, _))| (word(text), of(at))).collect()
}

/// A word in lower case, every digit of it taken for 0.
fn plain_word(word: &str) -> String {
    word.to_lowercase().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

type Rows = Vec<Vec<(u32, f32)>>;

/// Positive pointwise mutual information of words and the neighbors at each place.
fn information(texts: &[Vec<String>], place: &HashMap<&str, u32>, words: usize) -> Rows {
    let mut counts: Vec<HashMap<u32, f32>> = vec![HashMap::new(); words];
    for text in texts {
        let known: Vec<Option<u32>> = text.iter().map(|word| place.get(word.as_str()).copied()).collect();
        for (at, word) in known.iter().enumerate() {
            let Some(word) = word else { continue };
            for (number, distance) in PLACES.into_iter().enumerate() {
                let near = usize::try_from(at as i64 + distance).ok().and_then(|at| *known.get(at)?);
                let Some(near) = near.filter(|near| (*near as usize) < NEIGHBORS) else { continue };
                *counts[*word as usize].entry((number * NEIGHBORS) as u32 + near).or_default() += 1.0;
            }
        }
    }
    let mut columns = vec![0.0f64; PLACES.len() * NEIGHBORS];
    for row in &counts {
        row.iter().for_each(|(column, count)| columns[*column as usize] += f64::from(*count));
    }
    let total: f64 = columns.iter().sum();
    // Smoothed, so that rare neighbors do not count too much (Levy, Goldberg and Dagan 2015).
    let smooth: f64 = columns.iter().map(|count| count.powf(0.75)).sum();
    let one = |row: HashMap<u32, f32>| {
        let of_row: f64 = row.values().map(|count| f64::from(*count)).sum();
        let mut row: Vec<(u32, f32)> = row
            .into_iter()
            .filter_map(|(column, count)| {
                let expected = of_row * columns[column as usize].powf(0.75) / smooth;
                let information = (f64::from(count) / expected).ln();
                (information > 0.0 && total > 0.0).then_some((column, information as f32))
            })
            .collect();
        row.sort_unstable_by_key(|(column, _)| *column);
        row
    };
    counts.into_iter().map(one).collect()
}

/// Rows in the space of the strongest directions, each of length 1.
fn project(rows: &Rows, seed: u64) -> Vec<[f32; WIDTH]> {
    let mut rng = random::stream(seed, "classes");
    let columns = PLACES.len() * NEIGHBORS;
    let mut basis: Vec<[f32; WIDTH]> =
        (0..columns).map(|_| std::array::from_fn(|_| rng.random_range(-1.0f32..1.0))).collect();
    for _ in 0..4 {
        orthonormal(&mut basis);
        let rows_in: Vec<[f32; WIDTH]> = times(rows, &basis);
        let mut next = vec![[0.0f32; WIDTH]; columns];
        for (row, values) in rows.iter().zip(&rows_in) {
            for (column, value) in row {
                let to = &mut next[*column as usize];
                to.iter_mut().zip(values).for_each(|(sum, x)| *sum += value * x);
            }
        }
        basis = next;
    }
    orthonormal(&mut basis);
    let mut vectors = times(rows, &basis);
    vectors.par_iter_mut().for_each(|vector| {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
        vector.iter_mut().for_each(|x| *x /= length);
    });
    vectors
}

fn times(rows: &Rows, basis: &[[f32; WIDTH]]) -> Vec<[f32; WIDTH]> {
    let one = |row: &Vec<(u32, f32)>| {
        let mut sum = [0.0f32; WIDTH];
        for (column, value) in row {
            sum.iter_mut().zip(&basis[*column as usize]).for_each(|(sum, x)| *sum += value * x);
        }
        sum
    };
    rows.par_iter().map(one).collect()
}

/// Makes the columns of a tall matrix orthonormal, one after another (modified Gram-Schmidt).
fn orthonormal(basis: &mut [[f32; WIDTH]]) {
    for at in 0..WIDTH {
        let length = basis.iter().map(|row| f64::from(row[at]).powi(2)).sum::<f64>().sqrt().max(1e-12) as f32;
        basis.iter_mut().for_each(|row| row[at] /= length);
        let mut shares = [0.0f64; WIDTH];
        for row in basis.iter() {
            for later in at + 1..WIDTH {
                shares[later] += f64::from(row[at] * row[later]);
            }
        }
        for row in basis.iter_mut() {
            for later in at + 1..WIDTH {
                row[later] -= shares[later] as f32 * row[at];
            }
        }
    }
}

/// The class of every vector: k-means over the most frequent words, the rest to the nearest centre.
fn means(vectors: &[[f32; WIDTH]], count: usize, seed: u64) -> Vec<u16> {
    let mut rng = random::stream(seed, "k-means");
    let fitted = &vectors[..vectors.len().min(FITTED)];
    let count = count.min(fitted.len() / 2).max(1);
    let mut order: Vec<usize> = (0..fitted.len()).collect();
    order.shuffle(&mut rng);
    let mut centres: Vec<[f32; WIDTH]> = order[..count].iter().map(|at| fitted[*at]).collect();
    for _ in 0..ROUNDS {
        let nearest = assign(fitted, &centres);
        let mut sums = vec![([0.0f32; WIDTH], 0u32); count];
        for (vector, class) in fitted.iter().zip(&nearest) {
            let (sum, members) = &mut sums[usize::from(*class)];
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
            *members += 1;
        }
        for (centre, (sum, members)) in centres.iter_mut().zip(sums) {
            match members {
                // A class that nobody is in starts again elsewhere.
                0 => *centre = fitted[rng.random_range(0..fitted.len())],
                members => *centre = sum.map(|x| x / members as f32),
            }
        }
    }
    assign(vectors, &centres)
}

fn assign(vectors: &[[f32; WIDTH]], centres: &[[f32; WIDTH]]) -> Vec<u16> {
    let half: Vec<f32> =
        centres.iter().map(|centre| centre.iter().map(|x| x * x).sum::<f32>() / 2.0).collect();
    let one = |vector: &[f32; WIDTH]| {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, centre) in centres.iter().enumerate() {
            let mut parts = [0.0f32; 4];
            for (a, b) in vector.chunks_exact(4).zip(centre.chunks_exact(4)) {
                parts.iter_mut().zip(a.iter().zip(b)).for_each(|(part, (a, b))| *part += a * b);
            }
            let near = parts.iter().sum::<f32>() - half[class];
            if near > best.1 {
                best = (class as u16, near);
            }
        }
        best.0
    };
    vectors.par_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_used_alike_share_a_class() {
        let name =
            |kind: &str, i: u8| format!("{kind}{}{}", char::from(b'a' + i / 10), char::from(b'a' + i % 10));
        let mut texts = Vec::new();
        for i in 0..80u8 {
            for (before, after, kind) in
                [("take", "daily", "drug"), ("suffers", "badly", "ill"), ("walks", "home", "who")]
            {
                for round in 0..3 {
                    texts.push(format!("she {before} {} {after} and {round}", name(kind, i)));
                }
            }
        }
        let classes = classes(&texts, 0);
        let of = |text: &str| classes[&word(text)][0];
        // However many classes drugs and illnesses fall into, none has both in it.
        let all = |kind: &str| (0..80).map(|i| of(&name(kind, i))).collect::<BTreeSet<u16>>();
        assert!(all("drug").is_disjoint(&all("ill")), "{:?} {:?}", all("drug"), all("ill"));
    }

    #[test]
    fn lists_are_read_from_columns_and_members() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, content: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            file.display().to_string()
        };
        let csv = at("a.csv", "x,drug\n1,ASPIRIN; CODEINE\n2,12345\n");
        let jsonl = at("a.jsonl", "{\"focus\": \"Bartter syndromes (BS)\"}\n{\"other\": 1}\n");
        let plain = at("a.txt", "one\ntwo\n");
        let lexicons = Lexicons {
            lists: [format!("drug={csv}:drug"), format!("ill={jsonl}:focus")]
                .iter()
                .flat_map(|given| lists(given).unwrap().map(|(_, list)| list))
                .collect(),
            ..Lexicons::default()
        };
        let words = ["codeine", "for", "bartter", "syndrome"].map(str::to_string);
        assert_eq!(
            lexicons.matches(&words),
            [vec![(0, 1), (1, 1)], vec![], vec![(2, 2), (3, 1)], vec![(2, 4), (3, 1)],]
        );
        assert_eq!(lists(&format!("n={plain}")).unwrap()[0].1.len(), 2);
        for (given, want) in [
            ("x", "is not NAME=FILE"),
            (&format!("x={csv}"), "needs a field"),
            (&format!("x={csv}:y"), "no column"),
        ] {
            assert!(format!("{:#}", lists(given).unwrap_err()).contains(want), "{given}");
        }
    }
}
