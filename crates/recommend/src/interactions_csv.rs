//! Interactions from a CSV file, for the import and for the evaluation alike.
//!
//! - A row whose item is blank tells of no interaction (a survey's person without prescriptions).
//!   A row with an item and no user is wrong.
//! - Without a weight column every weight is 1.
//! - Without a time column every time is 1970-01-01.

use std::io::Read;

use super::clock::{TIME_FORMS, parse_time};
use super::csv_table::{CsvError, CsvRow, CsvTable};
use super::data::{Interaction, Millis};
use super::valid::validate_weight;

/// What is in which column of a CSV file of interactions.
#[derive(Debug, Clone)]
pub struct InteractionColumns {
    /// Column of the user's identifier.
    pub user: String,
    /// Column of the item's identifier.
    pub item: String,
    /// Column of the weight.
    pub weight: Option<String>,
    /// Column of the time, as [`parse_time`](super::clock::parse_time) reads it.
    pub time: Option<String>,
    /// The event all rows tell of.
    pub event: String,
    /// Values of the item column that stand for no item, such as a survey's code for "refused".
    pub no_item: Vec<String>,
}

/// What one row tells of.
#[derive(Debug, Clone, PartialEq)]
pub enum InteractionLine {
    /// An interaction.
    Interaction(Interaction),
    /// None: the item is blank.
    Blank,
    /// None: the item is one of [`InteractionColumns::no_item`].
    NoItem,
}

/// Reads a file of interactions row by row.
pub struct InteractionReader<'a, R> {
    table: CsvTable<R>,
    columns: &'a InteractionColumns,
    now: Millis,
    user: usize,
    item: usize,
    weight: Option<usize>,
    time: Option<usize>,
}

impl<'a, R: Read> InteractionReader<'a, R> {
    /// Reads the header. `now` is the present time, after which nothing can have happened.
    ///
    /// # Errors
    /// A file that cannot be read, or without one of the columns.
    pub fn new(file: R, columns: &'a InteractionColumns, now: Millis) -> Result<Self, CsvError> {
        let table = CsvTable::new(file)?;
        Ok(Self {
            user: table.column(&columns.user)?,
            item: table.column(&columns.item)?,
            weight: columns.weight.as_deref().map(|name| table.column(name)).transpose()?,
            time: columns.time.as_deref().map(|name| table.column(name)).transpose()?,
            table,
            columns,
            now,
        })
    }

    /// The next row and its line, or `None` at the end of the file.
    ///
    /// # Errors
    /// A file that cannot be read, the first row that is wrong.
    pub fn next_line(&mut self) -> Result<Option<(u64, InteractionLine)>, CsvError> {
        // The row borrows the table, so the places are taken before.
        let places = (self.user, self.item, self.weight, self.time);
        let (columns, now) = (self.columns, self.now);
        let Some(row) = self.table.next_row()? else { return Ok(None) };
        let item = row.get(places.1);
        let told = if item.is_empty() {
            InteractionLine::Blank
        } else if columns.no_item.iter().any(|code| code == item) {
            InteractionLine::NoItem
        } else {
            let read = interaction(row, places, columns, now).map_err(|problem| row.error(problem))?;
            InteractionLine::Interaction(read)
        };
        Ok(Some((row.line(), told)))
    }

    /// How much of the file has been read.
    pub fn bytes(&self) -> u64 {
        self.table.bytes()
    }
}

fn interaction(
    row: CsvRow<'_>,
    (user, item, weight, time): (usize, usize, Option<usize>, Option<usize>),
    columns: &InteractionColumns,
    now: Millis,
) -> Result<Interaction, String> {
    let weight = match (weight, &columns.weight) {
        (Some(place), Some(name)) => {
            let weight: f64 = row.get(place).parse().map_err(|_| format!("column {name} is not a number"))?;
            validate_weight("", weight).map_err(|error| format!("column {name} {}", error.detail))?;
            weight as f32
        }
        _ => 1.0,
    };
    let time = match (time, &columns.time) {
        (Some(place), Some(name)) => parse_time(row.get(place))
            .ok_or_else(|| format!("column {name} is not a time; accepted are {TIME_FORMS}"))?,
        _ => 0,
    };
    let interaction = Interaction {
        user_id: row.get(user).to_owned(),
        item_id: row.get(item).to_owned(),
        event: columns.event.clone(),
        weight,
        time,
    };
    let Some(error) = interaction.validate("", now).into_iter().next() else { return Ok(interaction) };
    let column = match error.pointer.as_str() {
        "/user_id" => Some(columns.user.as_str()),
        "/item_id" => Some(columns.item.as_str()),
        "/time" => columns.time.as_deref(),
        _ => None,
    };
    let place = column.map_or(error.pointer, |name| format!("column {name}"));
    Err(format!("{place} {}", error.detail))
}
