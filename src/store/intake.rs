//! Taking records in: what is stored is read, what comes is put beside it, and what follows is written, in one transaction that
//! nobody comes between, whichever process they are.
//!
//! SQLite has one writer at a time, so there the transaction is the only one from its beginning. Postgres has many, and what must
//! not happen at one moment waits by locks that have names: of two Bundles about one person the second reads what the first has
//! written. An erasure and a profile that is put take the same locks of people, and of items those who write them. The names are
//! held kind by kind, in the order of [`Held`], and each kind at once, so that no two intakes wait for each other.

use std::collections::BTreeSet;

use super::{Answer, InteractionFilter, ItemQuery, KnownStore, Loaded};
use recommend::{Interaction, Item, User};

/// What is read of records before others are put beside them: as it is stored, or as it is within an [`Intake`].
pub trait RecordStore: KnownStore {
    /// The user, or [`StoreError::NotFound`](super::StoreError::NotFound).
    fn get_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, User>;

    /// The present state of these items; one that does not exist is left out.
    fn stored_items<'a>(&'a self, item_ids: &'a [String]) -> Answer<'a, Vec<Item>>;

    /// One page of items, hidden ones included.
    fn list_items<'a>(&'a self, query: &'a ItemQuery) -> Answer<'a, Vec<Item>>;
}

/// What names are of that are held, in the order in which they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Medications, which say what the orders are that refer to them.
    Medications,
    /// Identifiers, which say who somebody is.
    Identifiers,
    /// Other resources, and items by their ids.
    Resources,
    /// People.
    People,
}

/// A transaction that takes records in. Dropping it takes everything back.
pub trait Intake: RecordStore {
    /// Whether nobody else can write until the end, so that no name has to be held.
    fn is_alone(&self) -> bool;

    /// Waits until nobody else holds one of these names, and holds them until the end.
    fn hold<'a>(&'a self, what: Held, names: &'a BTreeSet<String>) -> Answer<'a, ()>;

    /// Adds or replaces these, as [`BulkLoad`](super::BulkLoad) does. Interactions are there at the end.
    fn put<'a>(
        &'a self,
        users: &'a [User],
        items: &'a [Item],
        interactions: &'a [Interaction],
    ) -> Answer<'a, ()>;

    /// Deletes a user's interactions and says how many there were.
    fn delete_interactions<'a>(&'a self, user_id: &'a str, filter: &'a InteractionFilter) -> Answer<'a, u64>;

    /// Erases the user and everything about it, or [`StoreError::NotFound`](super::StoreError::NotFound).
    fn delete_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()>;

    /// Makes everything visible at once.
    fn commit(self: Box<Self>) -> Answer<'static, Loaded>;
}

/// Makes what a store, or an intake, of one database reads. It lends a `connection`, and `find_user`, `find_items` and
/// `page_of_items` are in scope.
macro_rules! record_adapter {
    ($store:ty) => {
        impl crate::store::RecordStore for $store {
            fn get_user<'a>(&'a self, user_id: &'a str) -> crate::store::Answer<'a, recommend::User> {
                Box::pin(async move {
                    let mut connection = self.connection().await?;
                    find_user(&mut connection, user_id, Self::READS).await
                })
            }

            fn stored_items<'a>(
                &'a self,
                item_ids: &'a [String],
            ) -> crate::store::Answer<'a, Vec<recommend::Item>> {
                Box::pin(async move {
                    let mut connection = self.connection().await?;
                    find_items(&mut connection, item_ids).await
                })
            }

            fn list_items<'a>(
                &'a self,
                query: &'a crate::store::ItemQuery,
            ) -> crate::store::Answer<'a, Vec<recommend::Item>> {
                Box::pin(async move {
                    let mut connection = self.connection().await?;
                    page_of_items(&mut connection, query).await
                })
            }
        }
    };
}
pub(super) use record_adapter;

/// Makes the intake of one database, of which what differs is written beside it.
macro_rules! intake_adapter {
    ($intake:ty) => {
        impl crate::store::Intake for $intake {
            fn is_alone(&self) -> bool {
                Self::ALONE
            }

            fn hold<'a>(
                &'a self,
                what: crate::store::Held,
                names: &'a std::collections::BTreeSet<String>,
            ) -> crate::store::Answer<'a, ()> {
                Box::pin(async move {
                    let mut connection = self.connection().await?;
                    hold(&mut connection, what, names.iter().map(String::as_str)).await
                })
            }

            fn put<'a>(
                &'a self,
                users: &'a [recommend::User],
                items: &'a [recommend::Item],
                interactions: &'a [recommend::Interaction],
            ) -> crate::store::Answer<'a, ()> {
                use crate::store::BulkLoad;
                Box::pin(async move {
                    let mut load = self.load.lock().await;
                    // What is nothing is not asked for.
                    if !users.is_empty() {
                        load.users(users).await?;
                    }
                    if !items.is_empty() {
                        load.items(items).await?;
                    }
                    if !interactions.is_empty() {
                        load.interactions(interactions).await?;
                    }
                    Ok(())
                })
            }

            fn delete_interactions<'a>(
                &'a self,
                user_id: &'a str,
                filter: &'a crate::store::InteractionFilter,
            ) -> crate::store::Answer<'a, u64> {
                Box::pin(self.remove_interactions(user_id, filter))
            }

            fn delete_user<'a>(&'a self, user_id: &'a str) -> crate::store::Answer<'a, ()> {
                Box::pin(self.erase_user(user_id))
            }

            fn commit(self: Box<Self>) -> crate::store::Answer<'static, crate::store::Loaded> {
                Box::pin(self.finish())
            }
        }
    };
}
pub(super) use intake_adapter;
