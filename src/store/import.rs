//! Getting files into a store: users, items and cases as JSON lines, interactions and terms as CSV.
//!
//! A file goes in whole or not at all. The first row that is wrong ends the import with its line
//! number, and nothing of the file stays. Nothing is dropped silently either: the report counts
//! every row of the file, also those that say nothing.
//!
//! Users and items that a CSV of interactions names and that do not exist are created: the user with
//! an empty profile (of which everything is unknown), the item with its id for a name and, where it is a drug, the mark
//! that nobody has described it. Without a
//! time column every time is 1970-01-01, so that importing the file again changes nothing; give a
//! column where a half-life is configured. [`InteractionReader`] says what else may be left out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BulkLoad, Case, ItemQuery, Loaded, Store, StoreError, StoredCase, Written};
use recommend::{
    CsvError, FieldError, InteractionColumns, InteractionLine, InteractionReader, Item, Key, Kind, Millis,
    Mistake, SourceError, Term, TermKind, Terminology, User, item_flags, plain_name, read_terms,
};

/// Longest line of a file, in bytes.
const MAX_LINE: usize = 16 << 20;

/// A file, of which no line is longer than [`MAX_LINE`]: a line is held whole, so one without an end would
/// take all memory.
pub struct Lined<R> {
    file: R,
    line: u64,
    length: usize,
}

impl<R> Lined<R> {
    /// The file from its beginning.
    pub fn new(file: R) -> Self {
        Self { file, line: 1, length: 0 }
    }
}

impl<R: Read> Read for Lined<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            self.length += piece.len();
            if self.length > MAX_LINE {
                let problem = format!("line {} is longer than {MAX_LINE} bytes", self.line);
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
            }
            if piece.ends_with(b"\n") {
                self.line += 1;
                self.length = 0;
            }
        }
        Ok(read)
    }
}

/// Most items of a file of which the words that are not understood are told.
const MOST_DOUBTFUL: usize = 1_000;
/// Words that are not understood of which a report tells.
const TOLD: usize = 20;
/// Rows handed to the store at once.
const BATCH: usize = 5_000;
/// Cases handed over at once; a text may be a megabyte.
const CASES: usize = 500;

/// Why a file was not imported. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),

    /// A CSV file is not as it should be.
    #[error(transparent)]
    Csv(#[from] CsvError),

    /// A row is wrong. Lines count from 1, the header among them.
    #[error("line {line}: {problem}")]
    Row { line: u64, problem: String },

    /// The store refused or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The store could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// What usually happens between a person and an item of this kind.
pub fn default_event(kind: Kind) -> &'static str {
    match kind {
        Kind::Hospital | Kind::Doctor => "visit",
        Kind::Pharmacy => "dispense",
        Kind::Drug => "prescription",
        Kind::Advice => "follow",
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    pub bytes: u64,
    pub rows: u64,
}

/// What became of the rows of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Rows of the file, without the header and blank lines.
    pub rows: u64,
    /// Rows that tell of no interaction because their item is blank, and the line of the first.
    pub blank: u64,
    pub first_blank_line: Option<u64>,
    /// Rows whose item is one of [`InteractionColumns::no_item`].
    pub no_item: u64,
    pub loaded: Loaded,
    /// What became of the rows of a terminology.
    pub terms: Written,
    /// Words of items that are not understood, each with its line and its place.
    pub flags: Vec<String>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows read", self.rows)?;
        let Loaded { users, items, interactions, cases, repeated } = self.loaded;
        let all = [
            ("users", users),
            ("items", items),
            ("interactions", interactions),
            ("cases", cases),
            ("terms", self.terms),
        ];
        for (name, written) in all {
            if written != Default::default() {
                write!(
                    f,
                    "; {name}: {} created, {} updated, {} unchanged",
                    written.created, written.updated, written.unchanged
                )?;
            }
        }
        if repeated > 0 {
            write!(f, "; {repeated} rows repeat the user, item, event and time of a later row")?;
        }
        if let Some(line) = self.first_blank_line {
            write!(f, "; {} rows name no item, the first in line {line}", self.blank)?;
        }
        if self.no_item > 0 {
            write!(f, "; {} rows have a code that stands for no item", self.no_item)?;
        }
        for flag in self.flags.iter().take(TOLD) {
            write!(f, "\n{flag}")?;
        }
        if let Some(more) = self.flags.len().checked_sub(TOLD).filter(|more| *more > 0) {
            write!(f, "\nand {more} more words are not understood")?;
        }
        Ok(())
    }
}

/// Imports a CSV file of items of one kind. `now` is the present time, after which nothing can
/// have happened; `progress` is called now and then.
pub async fn import_interactions(
    store: &dyn Store,
    file: impl Read + Send,
    kind: Kind,
    columns: &InteractionColumns,
    now: Millis,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let mut reader = InteractionReader::new(Lined::new(file), columns, now)?;
    let mut report = ImportReport::default();
    let mut load = store.begin_load().await?;
    let mut lines = Lines::default();
    let mut batch = Vec::with_capacity(BATCH);
    while let Some((line, told)) = reader.next_line()? {
        report.rows += 1;
        match told {
            InteractionLine::Interaction(interaction) => {
                batch.push(interaction);
                lines.push(line);
            }
            InteractionLine::Blank => {
                report.blank += 1;
                report.first_blank_line.get_or_insert(line);
            }
            InteractionLine::NoItem => report.no_item += 1,
        }
        if batch.len() == BATCH {
            load.interactions(&batch).await?;
            batch.clear();
            progress(Progress { bytes: reader.bytes(), rows: report.rows });
        }
    }
    load.interactions(&batch).await?;
    report.loaded = load.commit(Some(kind)).await.map_err(|error| match error {
        StoreError::OtherKind { index, .. } => {
            ImportError::Row { line: lines.of(index), problem: error.to_string() }
        }
        other => other.into(),
    })?;
    progress(Progress { bytes: reader.bytes(), rows: report.rows });
    Ok(report)
}

/// In which line each interaction stands: of those that follow each other line by line, only the
/// first is remembered.
#[derive(Default)]
struct Lines {
    /// (interaction, line) of the first of each run.
    runs: Vec<(usize, u64)>,
    count: usize,
}

impl Lines {
    fn push(&mut self, line: u64) {
        if self.of(self.count) != line {
            self.runs.push((self.count, line));
        }
        self.count += 1;
    }

    fn of(&self, index: usize) -> u64 {
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        let run = after.checked_sub(1).and_then(|run| self.runs.get(run));
        run.map_or(0, |(first, line)| line + (index - first) as u64)
    }
}

/// Imports users, one JSON object a line, as `PUT /v1/users/{user_id}` takes them with the id
/// beside the profile.
pub async fn import_users(
    store: &dyn Store,
    file: impl Read + Send,
    now: Millis,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let mut load = store.begin_load().await?;
    let mut lines = JsonLines::new(file, |user: &User| user.validate("", now), |user| &user.user_id);
    while let Some(batch) = lines.next_batch()? {
        load.users(&batch).await?;
        progress(lines.progress);
    }
    finish(load, lines.progress.rows).await
}

/// Imports items, one JSON object a line.
pub async fn import_items(
    store: &dyn Store,
    file: impl Read + Send,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let terminology = Terminology::shared(&store.terms().await?);
    let mut load = store.begin_load().await?;
    let mut lines = JsonLines::new(file, |item: &Item| item.validate(""), |item| &item.item_id);
    let mut doubtful = Vec::new();
    while let Some(batch) = lines.next_batch()? {
        load.items(&batch).await?;
        progress(lines.progress);
        let unclear = |item: &Item| !item_flags(item, &terminology, |_| false).is_empty();
        doubtful.extend(batch.into_iter().filter(unclear).take(MOST_DOUBTFUL - doubtful.len()));
    }
    let mut report = finish(load, lines.progress.rows).await?;
    if doubtful.is_empty() {
        return Ok(report);
    }
    let known = drug_names(store).await?;
    for item in doubtful {
        let line = lines.seen.get(&item.item_id).copied().unwrap_or_default();
        let flags = item_flags(&item, &terminology, |name| known.contains(name));
        report.flags.extend(flags.into_iter().map(|flag| format!("line {line}: {flag}")));
    }
    Ok(report)
}

/// What the drugs of a store are called: a rule may name any of them.
async fn drug_names(store: &dyn Store) -> Result<HashSet<Key>, StoreError> {
    const PAGE: u32 = 1000;
    let mut names = HashSet::new();
    let mut query = ItemQuery { kind: Some(Kind::Drug), after: None, limit: PAGE };
    loop {
        let page = store.list_items(&query).await?;
        query.after = page.last().map(|item| item.item_id.clone());
        let full = page.len() == PAGE as usize;
        for item in &page {
            let class = item.contraindications.therapeutic_class.as_ref();
            names.extend(
                [Some(&item.item_id), Some(&item.name), class]
                    .into_iter()
                    .flatten()
                    .map(|name| plain_name(name)),
            );
        }
        if !full {
            return Ok(names);
        }
    }
}

/// Imports cases, one JSON object a line, as `PUT /v1/cases/{case_id}` takes them with the id beside the
/// text. Their vectors are made by the server that reads them.
pub async fn import_cases(
    store: &dyn Store,
    file: impl Read + Send,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let mut load = store.begin_load().await?;
    let mut lines = JsonLines::new(file, |case: &Case| case.validate(""), |case| &case.case_id);
    while let Some(batch) = lines.next_batch()? {
        let batch: Vec<StoredCase> =
            batch.into_iter().map(|case| StoredCase { case, vector: None }).collect();
        for part in batch.chunks(CASES) {
            load.cases(part).await?;
        }
        progress(lines.progress);
    }
    finish(load, lines.progress.rows).await
}

/// Imports a terminology from a CSV file; [`read_terms`] says which columns it has. A name that
/// comes twice with the same kind would be half lost, and is refused.
pub async fn import_terminology(
    store: &dyn Store,
    file: impl Read + Send,
) -> Result<ImportReport, ImportError> {
    let mut seen: HashMap<(TermKind, String), u64> = HashMap::new();
    let (mut terms, mut lines) = (Vec::new(), Vec::new());
    for (line, term) in read_terms(Lined::new(file))? {
        if let Some(before) = seen.insert((term.kind, term.name.clone()), line) {
            let problem =
                format!("the {} {:?} was given in line {before} already", term.kind.as_str(), term.name);
            return Err(ImportError::Row { line, problem });
        }
        lines.push(line);
        terms.push(term);
    }
    let stored = store.terms().await?;
    let terminology = Terminology::new(stored.iter().chain(&terms));
    if let Some((place, known)) = terminology.misplaced(&terms) {
        let Term { name, kind, .. } = &terms[place];
        let problem = format!(
            "{name:?} is of the kind {} already and cannot be of the kind {}; drug, class and allergen go together, the others with themselves alone",
            known.as_str(),
            kind.as_str()
        );
        return Err(ImportError::Row { line: lines[place], problem });
    }
    if let Some((place, name, near)) = terminology.unresolved(&terms) {
        if let Some(known) = terminology.kind_of(name) {
            let (known, row) = (known.as_str(), terms[place].kind.as_str());
            let problem =
                format!("{name:?} is of the kind {known}, and no class or part of a row of the kind {row}");
            return Err(ImportError::Row { line: lines[place], problem });
        }
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let problem = format!(
            "{name:?} is the name of no term, neither in this file nor known before{near}; give it a row, of the class or the substance that it is"
        );
        return Err(ImportError::Row { line: lines[place], problem });
    }
    if let Some((place, mistake)) = terminology.mistaken(&terms) {
        let problem = match mistake {
            Mistake::Cycle(way) => {
                format!("{:?} is of itself: {}", terms[place].name, way.join(", which is of "))
            }
            Mistake::Names(word, name) => {
                format!("{word:?} is said to be a word for none, and names {name:?}")
            }
            Mistake::Like(word, near) => format!(
                "{word:?} is said to be a word for none, and is very like {near:?}: whoever meant that would be taken to have none"
            ),
        };
        return Err(ImportError::Row { line: lines[place], problem });
    }
    let written = store.put_terms(&terms).await?;
    Ok(ImportReport { rows: terms.len() as u64, terms: written, ..ImportReport::default() })
}

async fn finish(load: Box<dyn BulkLoad>, rows: u64) -> Result<ImportReport, ImportError> {
    let loaded = load.commit(None).await?;
    Ok(ImportReport { rows, loaded, ..ImportReport::default() })
}

/// Reads objects of one type, one a line, and checks them.
pub struct JsonLines<R, T, V> {
    file: BufReader<Lined<R>>,
    validate: V,
    id: fn(&T) -> &String,
    /// In which line each id came: coming twice, one of the two would be lost.
    seen: HashMap<String, u64>,
    line: u64,
    progress: Progress,
}

impl<R: Read, T: DeserializeOwned, V: Fn(&T) -> Vec<FieldError>> JsonLines<R, T, V> {
    /// Reads `file`; `validate` says what is wrong with an object, `id` which it is.
    pub fn new(file: R, validate: V, id: fn(&T) -> &String) -> Self {
        Self {
            file: BufReader::new(Lined::new(file)),
            validate,
            id,
            seen: HashMap::new(),
            line: 0,
            progress: Progress::default(),
        }
    }

    /// The next objects, or `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read; the first line that is wrong.
    pub fn next_batch(&mut self) -> Result<Option<Vec<T>>, ImportError> {
        let mut batch = Vec::new();
        let mut text = Vec::new();
        while batch.len() < BATCH {
            text.clear();
            let bytes = self.file.read_until(b'\n', &mut text)?;
            if bytes == 0 {
                break;
            }
            self.line += 1;
            self.progress.bytes += bytes as u64;
            let text = text.trim_ascii();
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            if text.is_empty() {
                continue;
            }
            self.progress.rows += 1;
            let value = self.read(text).map_err(|problem| ImportError::Row { line: self.line, problem })?;
            batch.push(value);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn read(&mut self, text: &[u8]) -> Result<T, String> {
        if text.starts_with(b"[") {
            return Err("must be one JSON object a line, and no array".to_owned());
        }
        let value: T = serde_json::from_slice(text).map_err(|error| without_values(&error.to_string()))?;
        if let Some(error) = (self.validate)(&value).first() {
            return Err(format!("{} {}", error.pointer, error.detail));
        }
        let id = (self.id)(&value);
        match self.seen.insert(id.clone(), self.line) {
            None => Ok(value),
            Some(before) => Err(format!("{id:?} was given in line {before} already")),
        }
    }
}

/// The parser's message with what it quotes from the file left out, since that may be a
/// patient's.
fn without_values(message: &str) -> String {
    // From the first quotation mark to the last: what is quoted may hold some of its own.
    let kept = match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &message[..first], &message[last + 1..])
        }
        _ => message.to_string(),
    };
    // The line is that of the file, not of the text given to the parser.
    kept.replace(" at line 1 column ", ", column ")
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn a_line_without_an_end_is_not_held() {
        use std::io::Read;
        let endless = std::io::repeat(b'x').take(1 << 40);
        let error = std::io::read_to_string(super::Lined::new((&b"a\nb\n"[..]).chain(endless))).unwrap_err();
        assert!(error.to_string().starts_with("line 3 is longer"), "{error}");
        let lines = "x\n".repeat(super::MAX_LINE);
        assert_eq!(std::io::read_to_string(super::Lined::new(lines.as_bytes())).unwrap(), lines);
    }

    #[test]
    fn messages_do_not_repeat_what_the_file_says() {
        let error = serde_json::from_str::<f64>("\"Jane \\\"Doe\\\"\"").unwrap_err();
        let message = without_values(&error.to_string());
        assert!(!message.contains("Jane") && !message.contains("Doe"), "{message}");
        assert!(message.contains("expected f64"), "{message}");
    }
}
