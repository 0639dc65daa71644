//! Files that are imported: people, items and cases as JSON lines, interactions and terminologies as CSV.

use std::sync::LazyLock;

use medserve::store::Case;
use medserve::store::import::JsonLines;
use recommend::{InteractionColumns, InteractionReader, Item, User, read_terms};
use serde::de::DeserializeOwned;

/// A present time, always the same: 2026-03-01.
const NOW: i64 = 1_772_323_200_000;

static COLUMNS: LazyLock<InteractionColumns> = LazyLock::new(|| InteractionColumns {
    user: "user".to_string(),
    item: "item".to_string(),
    weight: Some("weight".to_string()),
    time: Some("time".to_string()),
    event: "visit".to_string(),
    no_item: vec!["99".to_string()],
});

/// A file to import: a byte for its kind, then its content.
pub fn import(data: &[u8]) {
    let Some((&kind, file)) = data.split_first() else { return };
    match kind % 5 {
        0 => lines(JsonLines::new(file, |user: &User| user.validate("", NOW), |user| &user.user_id)),
        1 => lines(JsonLines::new(file, |item: &Item| item.validate(""), |item| &item.item_id)),
        2 => lines(JsonLines::new(file, |case: &Case| case.validate(""), |case| &case.case_id)),
        3 => {
            if let Ok(mut rows) = InteractionReader::new(file, &COLUMNS, NOW) {
                while let Ok(Some(_)) = rows.next_line() {}
            }
        }
        _ => drop(read_terms(file)),
    }
}

fn lines<R, T, V>(mut lines: JsonLines<R, T, V>)
where
    R: std::io::Read,
    T: DeserializeOwned,
    V: Fn(&T) -> Vec<recommend::FieldError>,
{
    while let Ok(Some(_)) = lines.next_batch() {}
}
