//! What a back-up carries and what it leaves out is said of every table there is.

use std::collections::BTreeSet;

use medserve::store::carried::{LEFT_OUT, TABLES, TYPED};

use super::database::Database;
use super::on_both;

async fn of_every_table_it_is_said_whether_a_back_up_carries_it(database: Database) {
    let row_by_row = TABLES.iter().map(|table| table.name);
    let left_out = LEFT_OUT.iter().flat_map(|(_, tables)| tables.iter().copied());
    let own = ["_sqlx_migrations", "sqlite_sequence"];
    let said: Vec<&str> = TYPED.into_iter().chain(row_by_row).chain(left_out).chain(own).collect();
    let tables = database.tables().await;
    for table in tables.iter().filter(|table| !table.starts_with("sqlite_stat")) {
        let times = said.iter().filter(|name| *name == table).count();
        assert_eq!(times, 1, "{table}: carried, or left out for a reason (src/store/carried.rs)?");
    }
    for table in &TABLES {
        let columns = match database.is_postgres() {
            true => format!(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = 'public' AND table_name = '{}' AND is_identity = 'NO'",
                table.name
            ),
            false => format!("SELECT name FROM pragma_table_info('{}') WHERE name <> 'number'", table.name),
        };
        let there: BTreeSet<String> = database.texts(&columns).await.into_iter().collect();
        let carried: BTreeSet<String> = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(carried, there, "the columns of {}", table.name);
    }
}

on_both!(of_every_table_it_is_said_whether_a_back_up_carries_it);
