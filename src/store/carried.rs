//! What a back-up carries from one kind of database to the other, table by table.
//!
//! Users, items, interactions, terms and cases go as what they are ([`TYPED`]). What else nobody could say again goes row by
//! row ([`TABLES`]): what is known of resources that came before, by which people are told apart, and what was acknowledged and
//! waits. The rest is left out for a reason ([`LEFT_OUT`]). A test holds the three lists to the schema, so that a migration that
//! adds a table says to which of them it belongs.

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Answer;

/// What a column holds, in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Integer,
    Text,
    Bytes,
}

use Column::{Bytes, Integer, Text};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    Nothing,
    Integer(i64),
    Text(String),
    Bytes(#[serde(serialize_with = "digest")] Vec<u8>),
}

/// Of a file a digest is compared.
fn digest<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(Sha256::digest(bytes)))
}

/// A table that goes row by row.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Column)],
    /// In which order its rows go.
    order: &'static str,
    /// Which column names a user who has to be there.
    pub user: Option<usize>,
}

/// The tables that go as what they are.
pub const TYPED: [&str; 5] = ["users", "items", "interactions", "terms", "cases"];

/// How many go row by row.
pub const COUNT: usize = 7;

/// The tables that go row by row. A number that the database gives is given anew, in the same order.
pub static TABLES: [Table; COUNT] = [
    Table {
        name: "resources_known",
        columns: &[
            ("name", Text),
            ("user_id", Text),
            ("said", Text),
            ("updated", Integer),
            ("version", Integer),
        ],
        order: "name",
        user: Some(1),
    },
    Table {
        name: "dicom_queue",
        columns: &[
            ("sop_instance", Text),
            ("image", Text),
            ("study", Text),
            ("patient", Text),
            ("caller", Text),
            ("address", Text),
            ("received", Integer),
            ("tries", Integer),
            ("unfinished", Integer),
            ("due", Integer),
            ("failure", Text),
            ("file", Bytes),
        ],
        order: "number",
        user: None,
    },
    Table {
        name: "dicom_results",
        columns: &[
            ("sop_instance", Text),
            ("series", Text),
            ("study", Text),
            ("sop_class", Text),
            ("source", Text),
            ("image", Text),
            ("patient", Text),
            ("model", Text),
            ("version", Text),
            ("created", Integer),
            ("due", Integer),
            ("tries", Integer),
            ("failure", Text),
            ("metadata", Text),
            ("file", Bytes),
        ],
        order: "sop_instance",
        user: None,
    },
    Table {
        name: "hl7_results",
        columns: &[
            ("id", Text),
            ("source", Text),
            ("image", Text),
            ("patient", Text),
            ("created", Integer),
            ("due", Integer),
            ("tries", Integer),
            ("failure", Text),
            ("message", Text),
        ],
        order: "id",
        user: None,
    },
    Table {
        name: "bulk_exports",
        columns: &[
            ("export", Text),
            ("due", Integer),
            ("tries", Integer),
            ("since", Text),
            ("failure", Text),
        ],
        order: "export",
        user: None,
    },
    Table {
        name: "cds_offers",
        columns: &[
            ("card", Text),
            ("suggestion", Text),
            ("patient", Text),
            ("item_id", Text),
            ("offered", Integer),
        ],
        order: "card, suggestion, item_id",
        user: None,
    },
    Table {
        name: "answers_by_hour",
        columns: &[
            ("model", Text),
            ("version", Text),
            ("hour", Integer),
            ("label", Text),
            ("answers", Integer),
            ("confidence", Integer),
        ],
        order: "model, version, hour, label",
        user: None,
    },
];

/// What stays behind, and why.
pub const LEFT_OUT: [(&str, &[&str]); 4] = [
    (
        "the audit (\"medserve audit export\" takes it out)",
        &["audit", "audit_people", "audit_head", "audit_clock", "audit_stream"],
    ),
    (
        "the change feed, which begins anew",
        &[
            "changes",
            "change_marks",
            "change_horizon",
            "case_changes",
            "case_change_marks",
            "case_change_horizon",
        ],
    ),
    (
        "what a server works out again at its start",
        &[
            "reference_time",
            "weighing",
            "event_weights",
            "user_norms",
            "learned_packages",
            "learned_items",
            "learned_rows",
        ],
    ),
    ("images whose sender waits for the answer", &["dicom_arrivals"]),
];

/// What stays behind, in a sentence.
pub fn left_out() -> String {
    let what: Vec<&str> = LEFT_OUT.iter().map(|(what, _)| *what).collect();
    format!("left out: {}", what.join("; "))
}

impl Table {
    /// The names of its columns, as SQL lists them.
    pub(super) fn list(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// What reads all of it.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.list(), self.name, self.order)
    }
}

/// Takes rows as they are read.
pub trait RowSink: Send {
    fn take<'a>(&'a mut self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Answer<'a, ()>;
}

/// The part of the store that reads such tables.
pub trait CarriedStore: Send + Sync {
    /// Hands over all rows of a table, some at a time.
    fn scan_rows<'a>(&'a self, table: &'static Table, sink: &'a mut dyn RowSink) -> Answer<'a, ()>;
}

/// Rows that are handed over at once: at fifteen values each, within the values that a statement of either database takes.
pub(super) const ROWS: usize = 1_000;
/// Bytes after which rows are handed over: files may be many megabytes each.
pub(super) const BYTES: usize = 8 << 20;

/// How much of [`BYTES`] a value is.
pub(super) fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Nothing | Cell::Integer(_) => 8,
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
    }
}

/// Makes the adapter of one database: its store, its name for sqlx, its connection, and how it names an error. The function
/// writes rows within a load.
macro_rules! carried_adapter {
    ($store:ty, $database:ty, $connection:ty, $error:path) => {
        impl crate::store::carried::CarriedStore for $store {
            fn scan_rows<'a>(
                &'a self,
                table: &'static crate::store::carried::Table,
                sink: &'a mut dyn crate::store::carried::RowSink,
            ) -> crate::store::Answer<'a, ()> {
                use crate::store::carried::{BYTES, Cell, Column, ROWS, size};
                use sqlx::Row;
                Box::pin(async move {
                    let mut read = sqlx::query(sqlx::AssertSqlSafe(table.select())).fetch(&self.pool);
                    let (mut rows, mut bytes) = (Vec::new(), 0);
                    while let Some(row) = futures::TryStreamExt::try_next(&mut read).await.map_err($error)? {
                        let mut cells = Vec::with_capacity(table.columns.len());
                        for (at, (_, column)) in table.columns.iter().enumerate() {
                            let cell = match column {
                                Column::Integer => {
                                    row.try_get::<Option<i64>, _>(at).map(|cell| cell.map(Cell::Integer))
                                }
                                Column::Text => {
                                    row.try_get::<Option<String>, _>(at).map(|cell| cell.map(Cell::Text))
                                }
                                Column::Bytes => {
                                    row.try_get::<Option<Vec<u8>>, _>(at).map(|cell| cell.map(Cell::Bytes))
                                }
                            };
                            cells.push(cell.map_err($error)?.unwrap_or(Cell::Nothing));
                        }
                        bytes += cells.iter().map(size).sum::<usize>();
                        rows.push(cells);
                        if rows.len() == ROWS || bytes > BYTES {
                            sink.take(table, std::mem::take(&mut rows)).await?;
                            bytes = 0;
                        }
                    }
                    sink.take(table, rows).await
                })
            }
        }

        /// Adds rows that are not there.
        pub(super) async fn insert_rows(
            connection: &mut $connection,
            table: &crate::store::carried::Table,
            rows: &[Vec<crate::store::carried::Cell>],
        ) -> Result<(), crate::store::StoreError> {
            use crate::store::carried::{Cell, Column};
            if rows.is_empty() {
                return Ok(());
            }
            let mut insert = sqlx::QueryBuilder::<$database>::new(format!(
                "INSERT INTO {} ({}) ",
                table.name,
                table.list()
            ));
            insert.push_values(rows, |mut values, row| {
                for (cell, (_, column)) in row.iter().zip(table.columns) {
                    match (cell, column) {
                        (Cell::Integer(number), _) => values.push_bind(*number),
                        (Cell::Text(text), _) => values.push_bind(text.as_str()),
                        (Cell::Bytes(bytes), _) => values.push_bind(bytes.as_slice()),
                        (Cell::Nothing, Column::Integer) => values.push_bind(None::<i64>),
                        (Cell::Nothing, Column::Text) => values.push_bind(None::<&str>),
                        (Cell::Nothing, Column::Bytes) => values.push_bind(None::<&[u8]>),
                    };
                }
            });
            insert.build().persistent(false).execute(connection).await.map_err($error)?;
            Ok(())
        }
    };
}
pub(super) use carried_adapter;
