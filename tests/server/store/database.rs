//! A fresh database for one test, and small data to put into it.

use std::sync::Arc;

use medserve::store::{Store, StoreOptions, connect};
use recommend::{Changes, Cursor, Interaction, Item, Kind, Profile, User};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::postgres::{self as cluster, TestDatabase};

pub struct Database {
    pub store: Arc<dyn Store>,
    pub url: String,
    /// The SQLite file's folder.
    pub folder: Option<tempfile::TempDir>,
    _cluster: Option<TestDatabase>,
}

impl Database {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", folder.path().display());
        Self { store: open(&url).await, url, folder: Some(folder), _cluster: None }
    }

    /// `None` where there is no Postgres.
    pub async fn postgres() -> Option<Self> {
        let database = cluster::database().await?;
        Some(Self {
            store: open(&database.url).await,
            url: database.url.clone(),
            folder: None,
            _cluster: Some(database),
        })
    }

    /// The address of a Postgres database nobody has opened yet. It lives as long as the cluster.
    pub async fn postgres_without_tables() -> String {
        let database = cluster::database().await.expect("there is a Postgres");
        let url = database.url.clone();
        std::mem::forget(database);
        url
    }

    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    /// Another process' view of the same database.
    pub async fn replica(&self) -> Arc<dyn Store> {
        open(&self.url).await
    }

    /// As an operator does before distributing the tables, in the words of `docs/citus.md`.
    pub async fn drop_triggers(&mut self) {
        let page = include_str!("../../../docs/citus.md");
        let (_, sql) = page.split_once("<!-- triggers -->\n```sql\n").unwrap();
        let (sql, _) = sql.split_once("```").unwrap();
        self.plain_sql(sql).await;
        assert_eq!(
            self.number(
                "SELECT count(*) FROM pg_trigger
                 WHERE NOT tgisinternal AND tgrelid NOT IN ('audit'::regclass, 'terms'::regclass, 'cases'::regclass)"
            )
            .await,
            0
        );
        self.store = self.replica().await;
    }

    /// Runs SQL as somebody would who knows nothing of this program.
    pub async fn plain_sql(&self, sql: &str) {
        self.try_sql(sql).await.unwrap();
    }

    /// The same, where it may be refused.
    pub async fn try_sql(&self, sql: &str) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = sqlx::PgConnection::connect(&self.url).await?;
            connection.execute(sql).await?;
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().unwrap();
            // As the sqlite3 program does it.
            let options = options.foreign_keys(false);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
            connection.execute(sql).await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// The first column of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        }
    }

    /// The first column of all rows.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        }
    }

    /// Every table there is.
    pub async fn tables(&self) -> Vec<String> {
        let sql = if self.is_postgres() {
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
        } else {
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        };
        self.texts(sql).await
    }

    /// Users `u1` to `u5`, drugs `d1` to `d5` and a hospital `h1`.
    pub async fn with_people_and_things(self) -> Self {
        let users: Vec<User> = (1..=5).map(|n| user(&format!("u{n}"))).collect();
        let mut items: Vec<Item> = (1..=5).map(|n| item(&format!("d{n}"), Kind::Drug)).collect();
        items.push(item("h1", Kind::Hospital));
        self.store.put_users(&users).await.unwrap();
        self.store.put_items(&items).await.unwrap();
        self
    }
}

pub async fn open(url: &str) -> Arc<dyn Store> {
    connect(url, &StoreOptions::default()).await.unwrap()
}

pub fn user(id: &str) -> User {
    User { user_id: id.to_owned(), profile: Profile::default() }
}

pub fn item(id: &str, kind: Kind) -> Item {
    Item {
        item_id: id.to_owned(),
        kind,
        name: format!("{id} by name"),
        attributes: serde_json::Map::new(),
        latitude: None,
        longitude: None,
        hidden: false,
        repeatable: false,
        contraindications: Default::default(),
    }
}

pub fn interaction(user: &str, item: &str, time: i64, weight: f32) -> Interaction {
    Interaction {
        user_id: user.to_owned(),
        item_id: item.to_owned(),
        event: "visit".to_owned(),
        weight,
        time,
    }
}

/// What changed since the cursor, sorted and without repeats; the cursor moves on.
pub async fn changes(store: &dyn Store, cursor: &mut Cursor) -> Changes {
    let mut changes = store.changes(cursor).await.unwrap();
    *cursor = changes.cursor.clone();
    changes.users.sort();
    changes.users.dedup();
    changes.items.sort();
    changes.items.dedup();
    changes
}
