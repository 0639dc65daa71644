//! Addresses of databases, as commands and people look at them.

use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

/// The file that an address of SQLite names, if it is one.
pub fn file_of(url: &str) -> Option<PathBuf> {
    let options = url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok())??;
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    (!in_memory).then(|| options.get_filename().to_path_buf())
}

/// An address as it may be shown: without a password.
pub fn shown(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    match PgConnectOptions::from_str(url) {
        Ok(options) => {
            format!("postgres at {}, {}", options.get_host(), options.get_database().unwrap_or("by default"))
        }
        Err(_) => "an address that cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_and_a_password_not_shown() {
        assert_eq!(file_of("sqlite://a/b.db?mode=rwc"), Some(PathBuf::from("a/b.db")));
        assert_eq!(file_of("sqlite::memory:"), None);
        assert_eq!(file_of("postgres://me@host/db"), None);
        assert_eq!(shown("postgres://me:hunter2@host:5433/db"), "postgres at host, db");
        assert_eq!(shown("sqlite://b.db"), "sqlite://b.db");
    }
}
