//! CSV files with a header, read by the names of their columns. Whatever is wrong is said with its
//! line; values are not repeated, since with a column mistaken they could be anything.

use std::io::Read;

/// Why a CSV file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file cannot be read at all.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),

    /// A column was asked for that the file does not have.
    #[error("there is no column {column:?}; the columns are {}", .columns.join(", "))]
    NoColumn {
        /// The column asked for.
        column: String,
        /// The columns there are.
        columns: Vec<String>,
    },

    /// A row is wrong.
    #[error("line {line}: {problem}")]
    Row {
        /// Counts from 1, the header among them.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

impl From<csv::Error> for CsvError {
    fn from(error: csv::Error) -> Self {
        let line = error.position().map_or(0, csv::Position::line);
        let problem = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("has {len} columns where the header has {expected_len}")
            }
            csv::ErrorKind::Io(_) => match error.into_kind() {
                csv::ErrorKind::Io(error) => return CsvError::Read(error),
                _ => String::new(),
            },
            _ => error.to_string(),
        };
        CsvError::Row { line, problem }
    }
}

/// A CSV file and its header.
pub struct CsvTable<R> {
    reader: csv::Reader<R>,
    header: csv::StringRecord,
    record: csv::StringRecord,
}

/// One row of a [`CsvTable`].
#[derive(Debug, Clone, Copy)]
pub struct CsvRow<'a> {
    record: &'a csv::StringRecord,
}

impl<R: Read> CsvTable<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// A file that cannot be read, a header that is no text.
    pub fn new(file: R) -> Result<Self, CsvError> {
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers()?.clone();
        Ok(Self { reader, header, record: csv::StringRecord::new() })
    }

    /// Refuses a header with other columns than these, of which what stands there would be lost, and one column twice.
    ///
    /// # Errors
    /// Which column, in line 1.
    pub fn only(&self, accepted: &[&str]) -> Result<(), CsvError> {
        let wrong = |problem: String| CsvError::Row { line: 1, problem };
        for (place, column) in self.header.iter().map(str::trim).enumerate() {
            if !accepted.contains(&column) {
                let accepted = accepted.join(", ");
                return Err(wrong(format!("there is no column {column:?}; accepted are {accepted}")));
            }
            if self.header.iter().take(place).any(|before| before.trim() == column) {
                return Err(wrong(format!("the column {column:?} stands twice")));
            }
        }
        Ok(())
    }

    /// The place of the column of this name.
    ///
    /// # Errors
    /// [`CsvError::NoColumn`].
    pub fn column(&self, name: &str) -> Result<usize, CsvError> {
        self.header.iter().position(|column| column.trim() == name).ok_or_else(|| CsvError::NoColumn {
            column: name.to_owned(),
            columns: self.header.iter().map(str::to_owned).collect(),
        })
    }

    /// The next row, or `None` at the end of the file.
    ///
    /// # Errors
    /// A file that cannot be read; a row that is no text or of another length than the header.
    pub fn next_row(&mut self) -> Result<Option<CsvRow<'_>>, CsvError> {
        let found = self.reader.read_record(&mut self.record)?;
        Ok(found.then_some(CsvRow { record: &self.record }))
    }

    /// How much of the file has been read.
    pub fn bytes(&self) -> u64 {
        self.reader.position().byte()
    }
}

impl<'a> CsvRow<'a> {
    /// The line it is in, from 1.
    pub fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The value in this column, without white space at its ends.
    pub fn get(&self, column: usize) -> &'a str {
        self.record.get(column).unwrap_or_default().trim()
    }

    /// Says what is wrong with the row.
    pub fn error(&self, problem: impl Into<String>) -> CsvError {
        CsvError::Row { line: self.line(), problem: problem.into() }
    }
}
