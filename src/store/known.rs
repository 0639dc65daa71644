//! What has to be known of FHIR resources that came before; see the table `resources_known`.

use super::Answer;
use recommend::Millis;

/// What is known of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Type and id: `AllergyIntolerance/a1`; or of a person's identifier `Patient#`, its digest, `#` and a digest of the
    /// person, so that each who has it has a row (`clinical::fhir::references::holder_name`).
    pub name: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// Of a Medication: the resource; of what made interactions: these, as `[[item, event, time], ...]`; of an identifier
    /// that its person has no more: [`FORMER`]; of a resource that an export says was deleted: [`DELETED`].
    pub said: Option<String>,
    /// When the version was made that came last.
    pub updated: Option<Millis>,
    /// Its number.
    pub version: Option<i64>,
}

/// What is said of an identifier that somebody had: it tells no more who that is, nor that it is nobody.
pub const FORMER: &str = "former";
/// What is said of a resource that was deleted: its newest version says nothing.
pub const DELETED: &str = "deleted";

/// A row as it is read.
pub(in crate::store) type KnownRow = (String, Option<String>, Option<String>, Option<Millis>, Option<i64>);

impl From<KnownRow> for Known {
    fn from((name, user_id, said, updated, version): KnownRow) -> Known {
        Known { name, user_id, said, updated, version }
    }
}

/// Rows of one statement: at five values each below the limits of both databases.
pub(in crate::store) const ROWS: usize = 1_000;
/// Ranges of one statement: SQLite takes a thousand conditions one within the other.
pub(in crate::store) const RANGES: usize = 200;

/// The part of the store that knows resources.
pub trait KnownStore: Send + Sync {
    /// What is known of these, in any order.
    fn known<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Known>>;

    /// What is known of a person's resources that made interactions, in any order.
    fn known_of<'a>(&'a self, user_id: &'a str) -> Answer<'a, Vec<Known>>;

    /// What is known by names from the first of each of these pairs to before the second, in any order.
    fn known_between<'a>(&'a self, ranges: &'a [(String, String)]) -> Answer<'a, Vec<Known>>;

    /// Who has, or had, the identifiers of these names (`clinical::fhir::references::patient_name`), in any order.
    fn holders<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Known>> {
        // "$" comes after "#", and all that begins with the name and "#" before that.
        let ranges = names.iter().map(|name| (name.clone(), format!("{name}$"))).collect::<Vec<_>>();
        Box::pin(async move { self.known_between(&ranges).await })
    }

    /// What is known, by servers, of resources of which these names have none (`clinical::fhir::references::known_name`), in
    /// any order.
    fn on_servers<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Known>> {
        // "A" comes after "@".
        let ranges = names.iter().map(|name| (format!("{name}@"), format!("{name}A"))).collect::<Vec<_>>();
        Box::pin(async move { self.known_between(&ranges).await })
    }

    /// The identifiers that a person has, or had, in any order.
    fn identifiers_of<'a>(&'a self, user_id: &'a str) -> Answer<'a, Vec<Known>>;

    /// Adds or replaces what is known. No name may be there twice; people have to be stored.
    fn put_known<'a>(&'a self, known: &'a [Known]) -> Answer<'a, ()>;
}

/// Makes the adapter of a store, or of an intake of it: its type, its database's name for sqlx, and how that names an error. It
/// lends a `connection`.
macro_rules! known_adapter {
    ($store:ty, $database:ty, $error:path) => {
        impl crate::store::known::KnownStore for $store {
            fn known<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<crate::store::known::Known>> {
                Box::pin(async move {
                    let mut known = Vec::new();
                    for names in names.chunks(crate::store::known::ROWS) {
                        let mut select = sqlx::QueryBuilder::<$database>::new(
                            "SELECT name, user_id, said, updated, version FROM resources_known WHERE name IN (",
                        );
                        let mut list = select.separated(", ");
                        for name in names {
                            list.push_bind(name.as_str());
                        }
                        list.push_unseparated(")");
                        let rows = select.build_query_as::<crate::store::known::KnownRow>().persistent(false);
                        let mut connection = self.connection().await?;
                        let rows = rows.fetch_all(&mut *connection).await.map_err($error)?;
                        known.extend(rows.into_iter().map(Into::into));
                    }
                    Ok(known)
                })
            }

            fn known_of<'a>(&'a self, user_id: &'a str) -> Answer<'a, Vec<crate::store::known::Known>> {
                Box::pin(async move {
                    let mut select = sqlx::QueryBuilder::<$database>::new(
                        "SELECT name, user_id, said, updated, version FROM resources_known \
                         WHERE said IS NOT NULL AND user_id = ",
                    );
                    let select = select.push_bind(user_id);
                    let rows = select.build_query_as::<crate::store::known::KnownRow>();
                    let mut connection = self.connection().await?;
                    let rows = rows.fetch_all(&mut *connection).await.map_err($error)?;
                    Ok(rows.into_iter().map(Into::into).collect())
                })
            }

            fn known_between<'a>(
                &'a self,
                ranges: &'a [(String, String)],
            ) -> Answer<'a, Vec<crate::store::known::Known>> {
                Box::pin(async move {
                    let mut known = Vec::new();
                    for some in ranges.chunks(crate::store::known::RANGES) {
                        let mut select = sqlx::QueryBuilder::<$database>::new(
                            "SELECT name, user_id, said, updated, version FROM resources_known WHERE ",
                        );
                        let mut ranges = select.separated(" OR ");
                        for (first, end) in some {
                            ranges.push("(name >= ").push_bind_unseparated(first.as_str());
                            ranges.push_unseparated(" AND name < ");
                            ranges.push_bind_unseparated(end.as_str()).push_unseparated(")");
                        }
                        let rows = select.build_query_as::<crate::store::known::KnownRow>().persistent(false);
                        let mut connection = self.connection().await?;
                        let rows = rows.fetch_all(&mut *connection).await.map_err($error)?;
                        known.extend(rows.into_iter().map(Into::into));
                    }
                    Ok(known)
                })
            }

            fn identifiers_of<'a>(
                &'a self,
                user_id: &'a str,
            ) -> Answer<'a, Vec<crate::store::known::Known>> {
                Box::pin(async move {
                    let mut select = sqlx::QueryBuilder::<$database>::new(
                        "SELECT name, user_id, said, updated, version FROM resources_known \
                         WHERE name >= 'Patient#' AND name < 'Patient$' AND user_id = ",
                    );
                    let select = select.push_bind(user_id);
                    let rows = select.build_query_as::<crate::store::known::KnownRow>();
                    let mut connection = self.connection().await?;
                    let rows = rows.fetch_all(&mut *connection).await.map_err($error)?;
                    Ok(rows.into_iter().map(Into::into).collect())
                })
            }

            fn put_known<'a>(&'a self, known: &'a [crate::store::known::Known]) -> Answer<'a, ()> {
                Box::pin(async move {
                    for rows in known.chunks(crate::store::known::ROWS) {
                        let mut insert = sqlx::QueryBuilder::<$database>::new(
                            "INSERT INTO resources_known (name, user_id, said, updated, version) ",
                        );
                        insert.push_values(rows, |mut values, row| {
                            values
                                .push_bind(row.name.as_str())
                                .push_bind(row.user_id.as_deref())
                                .push_bind(row.said.as_deref())
                                .push_bind(row.updated)
                                .push_bind(row.version);
                        });
                        insert.push(
                            " ON CONFLICT (name) DO UPDATE SET user_id = excluded.user_id, said = excluded.said, \
                             updated = excluded.updated, version = excluded.version",
                        );
                        let _turn = self.turn().await?;
                        let mut connection = self.connection().await?;
                        insert.build().persistent(false).execute(&mut *connection).await.map_err($error)?;
                    }
                    Ok(())
                })
            }
        }
    };
}
pub(in crate::store) use known_adapter;
