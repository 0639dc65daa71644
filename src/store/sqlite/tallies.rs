//! Counts of answers on SQLite.

use super::{Answer, SqliteStore, StoreError};
use crate::store::tallies::{Tallied, TallyQuery, adapter};

adapter!(SqliteStore, write, StoreError::from);
