//! What can go wrong in the store, in words a client may read.
//!
//! No variant carries SQL, a connection string or a driver's message: those go to the log by way
//! of [`StoreError::Internal`]'s source and never into `Display`. Identifiers are named, since
//! the caller sent them, and cut short, since a caller may send a megabyte.

use std::borrow::Cow;

use recommend::Kind;

/// A failure of a store operation. `Display` is fit for a client; `source` is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such user or item.
    #[error("{what} {} does not exist", quoted(.id))]
    NotFound { what: &'static str, id: String },

    /// An interaction of the batch names a user that does not exist.
    #[error("interaction {index}: user {} does not exist", quoted(.id))]
    UnknownUser { index: usize, id: String },

    /// An interaction of the batch names an item that does not exist.
    #[error("interaction {index}: item {} does not exist", quoted(.id))]
    UnknownItem { index: usize, id: String },

    /// An interaction of a load that may create items names one that exists and is of another
    /// kind.
    #[error("item {} exists and is of kind {kind}, not {expected}", quoted(.id))]
    OtherKind { index: usize, id: String, kind: String, expected: Kind },

    /// A value that cannot be stored, such as an identifier of a megabyte. `index` is the place
    /// in the batch, `field` the name of the member.
    #[error("{}{field} {problem}", place(.index))]
    Invalid { index: Option<usize>, field: &'static str, problem: Cow<'static, str> },

    /// The write contradicts what is stored, such as an item that changes its kind.
    #[error("{0}")]
    Conflict(String),

    /// A write was to go ahead only where what is stored is as the caller expects, and it is not.
    #[error("the {what} is not as this request expects it: read it again, and send the ETag that it has now")]
    Changed { what: &'static str },

    /// The database does not answer, is out of connections, or is busy beyond the time allowed.
    /// The same call may succeed later.
    #[error("the database is not available at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The database is of a shape this program does not understand, or the address is wrong.
    #[error("the database cannot be used: {0}")]
    Setup(String),

    /// A defect of this program or of the database. The cause is for the log only.
    #[error("the database could not carry out the operation")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later without any change to it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the database could not be reached, or takes no connections for now, as while it starts or is full.
    pub fn is_away(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        match cause.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Io(_)) => true,
            Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
                code.len() == 5 && ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }

    pub(super) fn invalid(
        index: Option<usize>,
        field: &'static str,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Invalid { index, field, problem: problem.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            // A connection that breaks in the middle of a message ends as a protocol error.
            sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(database) => database.code().is_some_and(|code| is_passing(&code)),
            _ => false,
        };
        if unavailable { Self::Unavailable(error.into()) } else { Self::Internal(error.into()) }
    }
}

/// Whether a database's code speaks of a state that passes, or that its operator ends, with the same
/// call as before: Postgres' classes 08 (connection), 53 (resources), 57 (operator intervention), 58
/// (the system) and 40 (rolled back, after the retries are used up), 25006 (takes no writes), 42501 (a
/// right that was taken away) and 55P03 (a lock that somebody holds); SQLite's PERM (3), BUSY (5), LOCKED
/// (6), READONLY (8), IOERR (10), FULL (13), CANTOPEN (14) and AUTH (23), of which the low byte is the
/// primary code.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
            || ["25006", "42501", "55P03"].contains(&code);
    }
    matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(3 | 5 | 6 | 8 | 10 | 13 | 14 | 23))
}

/// An identifier between quotes, cut at 80 characters, control characters escaped.
fn quoted(id: &str) -> String {
    let mut shown: String = id.chars().take(80).flat_map(char::escape_debug).collect();
    if id.chars().nth(80).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn place(index: &Option<usize>) -> String {
    index.map_or(String::new(), |index| format!("element {index}: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_identifier_but_never_at_full_length() {
        let error = StoreError::UnknownUser { index: 3, id: "x".repeat(1 << 20) };
        let message = error.to_string();
        assert!(message.starts_with("interaction 3: user \"xxx"));
        assert!(message.len() < 200, "{}", message.len());
    }

    #[test]
    fn a_driver_message_stays_out_of_the_text_for_clients() {
        let error = StoreError::from(sqlx::Error::Protocol("password=hunter2".into()));
        assert!(!error.to_string().contains("hunter2"));
        assert!(error.is_transient());
    }

    #[test]
    fn codes_of_passing_states() {
        for code in [
            "08006", "53300", "57P01", "40P01", "25006", "42501", "55P03", "58030", "5", "261", "13", "8",
            "1032",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42P01", "1", "19"] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
