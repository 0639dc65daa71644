//! Reading vectors of words that others have made: the text formats of word2vec and fastText (a first line with
//! the number of words and of values) and of GloVe (none).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Words with their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// In the order of the file, in lower case, each once: the first of several counts.
    pub words: Vec<String>,
    /// One row a word.
    pub rows: Vec<f32>,
    /// Values of a row.
    pub dimensions: usize,
    /// Words of the file that were left out because there were too many.
    pub left_out: usize,
}

/// Reads at most `most` words of a file; what memory they take is said before.
///
/// # Errors
/// A file that cannot be read, or a line that does not fit, with its number.
pub fn read(file: &Path, most: usize) -> Result<Given> {
    let shown = file.display().to_string();
    let bytes = std::fs::metadata(file).with_context(|| shown.clone())?.len();
    let mut lines = BufReader::new(File::open(file).with_context(|| shown.clone())?);
    let mut line = Vec::new();
    let mut given = Given { words: Vec::new(), rows: Vec::new(), dimensions: 0, left_out: 0 };
    let mut known = std::collections::HashSet::new();
    let mut number = 0;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).with_context(|| shown.clone())? == 0 {
            break;
        }
        number += 1;
        let text = std::str::from_utf8(&line).with_context(|| format!("{shown}, line {number}: no UTF-8"))?;
        let text = text.trim_end_matches(['\n', '\r', ' ']);
        if text.is_empty() {
            continue;
        }
        if number == 1
            && let Some((words, dimensions)) = header(text)
        {
            ensure!(dimensions > 0, "{shown}, line 1: vectors of no values");
            say(&shown, words.min(most), words, dimensions);
            given.dimensions = dimensions;
            continue;
        }
        let (word, values) = text.split_once([' ', '\t']).with_context(|| {
            format!("{shown}, line {number}: a word and its values are expected, apart by blanks")
        })?;
        let count = values.split_ascii_whitespace().count();
        if given.dimensions == 0 {
            given.dimensions = count;
            let words = (bytes / line.len().max(1) as u64) as usize;
            say(&shown, words.min(most), words, count);
        }
        if count != given.dimensions {
            bail!("{shown}, line {number}: {count} values, where the others have {}", given.dimensions)
        }
        let word = word.to_lowercase();
        if given.words.len() == most {
            given.left_out += 1;
            continue;
        }
        if !known.insert(word.clone()) {
            continue;
        }
        for value in values.split_ascii_whitespace() {
            let value: f32 = value
                .parse()
                .ok()
                .filter(|value: &f32| value.is_finite())
                .with_context(|| format!("{shown}, line {number}: \"{value}\" is no number"))?;
            given.rows.push(value);
        }
        given.words.push(word);
    }
    ensure!(!given.words.is_empty(), "{shown} has no vectors");
    Ok(given)
}

/// What the vectors take while they are learned from: two rows of 32-bit numbers a word.
fn say(file: &str, words: usize, all: usize, dimensions: usize) {
    let mib = words.saturating_mul(dimensions).saturating_mul(8) >> 20;
    eprintln!("{file}: about {words} of {all} words with {dimensions} values each, {mib} MiB while training");
}

/// Numbers of words and of values, where the line is nothing else.
fn header(line: &str) -> Option<(usize, usize)> {
    let mut parts = line.split_ascii_whitespace();
    let both = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(content: &[u8], most: usize) -> Result<Given> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("v.vec");
        std::fs::write(&file, content).unwrap();
        read(&file, most)
    }

    #[test]
    fn files_with_and_without_a_first_line_are_read() {
        for content in ["2 3\nPain 1 2 3 \nfever -1 0.5 1e-2\n", "pain 1 2 3\r\nfever -1 .5 0.01\n"] {
            let given = from(content.as_bytes(), 10).unwrap();
            assert_eq!(given.words, ["pain", "fever"]);
            assert_eq!((given.rows, given.dimensions), (vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.01], 3));
        }
        let one = from(b"a 1 2\nA 3 4\nb 5 6\nc 7 8\n", 2).unwrap();
        assert_eq!((one.words, one.rows), (vec!["a".into(), "b".into()], vec![1.0, 2.0, 5.0, 6.0]));
        assert_eq!(one.left_out, 1);
    }

    #[test]
    fn lines_that_do_not_fit_are_named() {
        for (content, want) in [
            (&b"a 1 2\nb 1\n"[..], "line 2: 1 values, where the others have 2"),
            (b"2 3\na 1 2\n", "line 2: 2 values, where the others have 3"),
            (b"a 1 x\n", "line 1: \"x\" is no number"),
            (b"a 1 2\nb 1 NaN\n", "line 2: \"NaN\" is no number"),
            (b"a 1 2\nword\n", "line 2"),
            (b"a 1\n\xff 2\n", "line 2"),
            (b"", "no vectors"),
            (b"7 3\n", "no vectors"),
        ] {
            let error = format!("{:#}", from(content, 10).unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }
}
