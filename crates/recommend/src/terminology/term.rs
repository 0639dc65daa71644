//! One row of a terminology, and the CSV file that brings many.

use std::io::Read;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::csv_table::{CsvError, CsvRow, CsvTable};
use crate::data::MAX_CODES;
use crate::valid::text_problem;

/// What a term stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TermKind {
    /// A substance or a product, such as "amoxicillin" or "co-trimoxazole".
    Drug,
    /// A therapeutic class or a group of substances, such as "penicillin".
    Class,
    /// What people are allergic to and is no drug, such as "peanut".
    Allergen,
    /// A condition, such as "chronic kidney disease".
    Condition,
    /// Words that say that there is none, such as "no known allergies".
    None,
}

impl TermKind {
    const ALL: [(TermKind, &str); 5] = [
        (TermKind::Drug, "drug"),
        (TermKind::Class, "class"),
        (TermKind::Allergen, "allergen"),
        (TermKind::Condition, "condition"),
        (TermKind::None, "none"),
    ];

    /// Whether a name can be of both: drugs, classes and allergens are all substances.
    pub(super) fn is_like(self, other: TermKind) -> bool {
        let substance = |kind| matches!(kind, TermKind::Drug | TermKind::Class | TermKind::Allergen);
        self == other || (substance(self) && substance(other))
    }

    /// The name used in files and the database.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// The name given is not a [`TermKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of term; the kinds are drug, class, allergen, condition and none")]
pub struct UnknownTermKind;

impl FromStr for TermKind {
    type Err = UnknownTermKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind).ok_or(UnknownTermKind)
    }
}

/// What is known of one name. Names are compared in their normal form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// What it stands for.
    pub kind: TermKind,
    /// The name.
    pub name: String,
    /// Other names of the same: brands, abbreviations, spellings.
    pub synonyms: Vec<String>,
    /// Codes, each with its system before it: `snomed:91936005`.
    pub codes: Vec<String>,
    /// For a combination: the names of the substances in it.
    pub ingredients: Vec<String>,
    /// The names of the classes, or for a condition of the broader conditions, it belongs to.
    pub classes: Vec<String>,
    /// The groups it shares allergies with: who is allergic to one of a group is taken to be
    /// allergic to all of it. A class hands its groups down to its members.
    pub cross_reactivity: Vec<String>,
}

/// The columns of a terminology file, in the order they are documented.
const COLUMNS: [&str; 7] =
    ["kind", "name", "synonyms", "codes", "ingredients", "classes", "cross_reactivity"];

/// Reads a terminology from a CSV file: the columns `kind` and `name`, and as far as they are
/// there `synonyms`, `codes`, `ingredients`, `classes` and `cross_reactivity`, each a list with
/// semicolons between. A row comes with its line.
///
/// # Errors
/// A file that cannot be read, a missing column, one that is none of these or stands twice, the first row that is wrong.
pub fn read_terms(file: impl Read) -> Result<Vec<(u64, Term)>, CsvError> {
    let mut table = CsvTable::new(file)?;
    table.only(&COLUMNS)?;
    let (kind, name) = (table.column(COLUMNS[0])?, table.column(COLUMNS[1])?);
    let lists: Vec<Option<usize>> = COLUMNS[2..].iter().map(|name| table.column(name).ok()).collect();
    let mut terms = Vec::new();
    while let Some(row) = table.next_row()? {
        terms.push((row.line(), term(row, kind, name, &lists)?));
    }
    Ok(terms)
}

fn term(row: CsvRow<'_>, kind: usize, name: usize, lists: &[Option<usize>]) -> Result<Term, CsvError> {
    let kind = row.get(kind).parse().map_err(|error: UnknownTermKind| row.error(error.to_string()))?;
    let mut lists = lists.iter().zip(&COLUMNS[2..]).map(|(&place, column)| {
        let values = place.map_or("", |place| row.get(place)).split(';').map(str::trim);
        let list: Vec<String> = values.filter(|value| !value.is_empty()).map(str::to_owned).collect();
        if list.len() > MAX_CODES {
            return Err(row.error(format!("column {column} must have at most {MAX_CODES} entries")));
        }
        match list.iter().find_map(|value| text_problem(value)) {
            Some(problem) => Err(row.error(format!("column {column} {problem}"))),
            None => Ok(list),
        }
    });
    let mut next = || lists.next().unwrap_or(Ok(Vec::new()));
    let name = row.get(name).to_owned();
    if let Some(problem) = text_problem(&name) {
        return Err(row.error(format!("column name {problem}")));
    }
    Ok(Term {
        kind,
        name,
        synonyms: next()?,
        codes: next()?,
        ingredients: next()?,
        classes: next()?,
        cross_reactivity: next()?,
    })
}
