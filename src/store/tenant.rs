//! Where the data of a tenant lies: in a schema of Postgres, or in a file of SQLite, of its own.
//!
//! The tables of a tenant are the tables of every database, under another name. So no statement can
//! forget to say whose rows it means, no index becomes longer, and Citus distributes each tenant's
//! tables by the column that it distributes by anyway. What a tenant can reach is settled when its
//! connections are made.

use super::StoreError;

/// What stands before a tenant's name in the name of its schema.
const PREFIX: &str = "medserve_";

/// Longest name of a tenant, in bytes: with what stands before it, it is an identifier of Postgres.
const LONGEST: usize = 40;

/// What names of tenants are, in words that fit behind "must be".
pub const NAMES: &str = "lower-case letters, digits and underscores, a letter first, at most 40";

/// Whether this can be the name of a tenant. The default tenant has the empty name, which is none.
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The address of a tenant's data, where that of the default tenant is at `url`.
///
/// # Errors
/// A name that is none; an SQLite database that is no file, of which there can be no second one.
pub fn address(url: &str, tenant: &str) -> Result<String, StoreError> {
    if tenant.is_empty() {
        return Ok(url.to_owned());
    }
    if !is_name(tenant) {
        return Err(StoreError::Setup(format!("the name of a tenant must be {NAMES}")));
    }
    if !url.starts_with("sqlite:") {
        let mark = if url.contains('?') { '&' } else { '?' };
        return Ok(format!("{url}{mark}options[search_path]={PREFIX}{tenant}"));
    }
    let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let name = path.rfind(['/', ':']).map_or(path, |at| &path[at + 1..]);
    if name.is_empty() || path.ends_with(":memory:") || query.contains("mode=memory") {
        return Err(StoreError::Setup("tenants need a database in a file".into()));
    }
    // `medserve.db` becomes `medserve.NAME.db`.
    let end = name.rfind('.').filter(|at| *at > 0).map_or(path.len(), |at| path.len() - name.len() + at);
    Ok(format!("{}.{tenant}{}{query}", &path[..end], &path[end..]))
}

/// The tenant's schema that these options of a connection to Postgres lead to, if they do.
pub(super) fn schema(options: Option<&str>) -> Option<&str> {
    let (_, last) = options?.rsplit_once("-c search_path=")?;
    let tenant = last.strip_prefix(PREFIX)?;
    is_name(tenant).then_some(last)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn each_tenant_has_a_file_beside_that_of_the_default_tenant() {
        let of = |url| address(url, "north").ok();
        assert_eq!(of("sqlite://medserve.db").as_deref(), Some("sqlite://medserve.north.db"));
        assert_eq!(
            of("sqlite:///var/lib/a.b/data?mode=rwc").as_deref(),
            Some("sqlite:///var/lib/a.b/data.north?mode=rwc")
        );
        assert_eq!(of("sqlite://.db").as_deref(), Some("sqlite://.db.north"));
        for without in ["sqlite::memory:", "sqlite://:memory:", "sqlite://x.db?mode=memory", "sqlite://"] {
            assert_eq!(of(without), None, "{without}");
        }
        assert_eq!(address("sqlite::memory:", "").ok().as_deref(), Some("sqlite::memory:"));
    }

    #[test]
    fn each_tenant_has_a_schema_that_its_connections_lead_to() {
        let schema_of = |url: &str| {
            let options = PgConnectOptions::from_str(url).unwrap();
            schema(options.get_options()).map(str::to_owned)
        };
        for url in [
            "postgres://u@h/d",
            "postgres://u@h/d?sslmode=disable",
            "postgres://u@h/d?options[search_path]=own",
        ] {
            let found = schema_of(&address(url, "north_2").unwrap());
            assert_eq!(found.as_deref(), Some("medserve_north_2"), "{url}");
            assert_eq!(schema_of(url), None, "{url}");
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "north", "site_2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "2", "_a", "North", "a-b", "a b", "a.b", "é", &"a".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
