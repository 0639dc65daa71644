//! What the recommender needs of a store: two small traits, and the words they speak.
//!
//! [`Source`] feeds the matrices kept in memory. Its change feed names *who* changed, never
//! *what*: the recommender then reads the present state of those users and items whole. Reading
//! a name twice is therefore harmless, and that is what makes the feed safe. A store may (and
//! should) hand out again everything that could have committed late, where a feed of "rows with
//! a sequence number above the last one seen" would lose the row whose transaction took an early
//! number and committed last. Deletes need no form of their own either: a user that is gone has
//! no state.
//!
//! Loading: `cursor()`, then the three scans, then `changes(cursor)` until it is empty. The
//! cursor comes first, so whatever commits during the scans is named afterwards.
//!
//! [`Evidence`] is the other way round: the store computes neighbors and scores itself, in SQL,
//! for data that outgrows the memory of one machine. One question brings all that a request needs,
//! so that all of it is of one moment; which of the items may be recommended is not the store's
//! affair, hence it says of every item who speaks for it.
//!
//! Both return boxed futures so that they can be used as `dyn`, and neither names a runtime.

use futures::future::BoxFuture;

use super::data::{Interaction, Item, Kind, Millis, Profile, User};
use super::learned::Learned;
use super::terminology::Term;

/// Why a store could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// The database cannot be reached, or timed out: worth trying again.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database answered, but not with what was asked for.
    #[error("the database could not answer: {0}")]
    Failed(String),
}

/// A place in the change feed. Only the store that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor(pub String);

/// One interaction as a scan hands it over: borrowed, because a scan has tens of millions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InteractionRow<'a> {
    /// The kind of the item.
    pub kind: Kind,
    /// Whose.
    pub user_id: &'a str,
    /// With what.
    pub item_id: &'a str,
    /// What happened.
    pub event: &'a str,
    /// How much it counts.
    pub weight: f32,
    /// When.
    pub time: Millis,
}

/// Who changed since a cursor.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Users whose profile or interactions were added, changed or deleted, in any order; naming
    /// one twice, or one that did not change, is allowed.
    pub users: Vec<String>,
    /// Items that were added, changed or deleted. Interactions that went with a deleted item
    /// must be reported through their users.
    pub items: Vec<String>,
    /// The feed cannot say (the cursor is older than what is kept, a table was truncated, or the terms
    /// changed):
    /// everything has to be loaded anew.
    pub reload: bool,
    /// Where to go on from.
    pub cursor: Cursor,
}

/// One user as the store has it now.
#[derive(Debug, Clone, PartialEq)]
pub struct UserState {
    /// Who.
    pub user_id: String,
    /// `None` if there is no such user (any more).
    pub profile: Option<Profile>,
    /// All the user's interactions, each with the kind of its item, in any order.
    pub interactions: Vec<(Kind, Interaction)>,
}

/// What the recommender reads. Every call sees at least all that had committed when it began.
pub trait Source: Send + Sync {
    /// Where the change feed stands now: everything that commits after this call, and everything
    /// in flight during it, is named by `changes` from here.
    fn cursor(&self) -> BoxFuture<'_, Result<Cursor, SourceError>>;

    /// Hands over every user once, in any order.
    fn scan_users<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(User) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>>;

    /// The terms that are added to the built-in ones. A change of theirs is a [`Changes::reload`],
    /// as what every item and every profile says may mean something else then.
    fn terms(&self) -> BoxFuture<'_, Result<Vec<Term>, SourceError>>;

    /// Hands over every item once, hidden ones included, in any order.
    fn scan_items<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Item) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>>;

    /// Hands over every interaction of every kind once, in any order.
    fn scan_interactions<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(InteractionRow<'_>) + Send),
    ) -> BoxFuture<'a, Result<(), SourceError>>;

    /// Who changed since the cursor. Asked every second or so: it must be cheap when nothing did.
    fn changes<'a>(&'a self, since: &'a Cursor) -> BoxFuture<'a, Result<Changes, SourceError>>;

    /// The present state of these users, one entry for each id asked for, in any order.
    fn users<'a>(&'a self, user_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<UserState>, SourceError>>;

    /// What is known of these people now, of those that there are, in any order: a row each, for before a drug is
    /// recommended. It must fail rather than wait for long. An id may come twice.
    fn profiles<'a>(
        &'a self,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Profile)>, SourceError>> {
        Box::pin(async move {
            let states = self.users(user_ids).await?;
            Ok(states.into_iter().filter_map(|state| Some((state.user_id, state.profile?))).collect())
        })
    }

    /// The present state of these items; one that does not exist is left out.
    fn items<'a>(&'a self, item_ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Item>, SourceError>>;
}

/// How alike two users are, over their full rows of weights (absent = 0).
///
/// With x and y the rows, m the number of items of the kind in the catalogue:
/// - cosine: x.y / (|x| |y|)
/// - pearson: (m x.y - Sx Sy) / sqrt((m |x|^2 - Sx^2) (m |y|^2 - Sy^2)), Sx the sum of x: the
///   correlation coefficient of the two full rows
/// - euclidean: 1 / (1 + |x - y|), with |x - y|^2 = max(0, |x|^2 + |y|^2 - 2 x.y)
///
/// All in double precision from 32-bit weights. Only users who share an item with the asking
/// user are compared, and only those with a similarity of at least
/// [`MIN_SIMILARITY`] are neighbors. Neighbors are ordered by similarity, highest first, then by
/// id in byte order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// The cosine of the angle between the rows.
    #[default]
    Cosine,
    /// The correlation of the rows, zeros included.
    Pearson,
    /// From the distance between the rows.
    Euclidean,
}

/// Users less alike than this are no neighbors.
pub const MIN_SIMILARITY: f64 = 1e-6;

impl Similarity {
    /// Every similarity, in the order they are listed to people.
    pub const ALL: [Similarity; 3] = [Similarity::Cosine, Similarity::Pearson, Similarity::Euclidean];

    /// The name used in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Similarity::Cosine => "cosine",
            Similarity::Pearson => "pearson",
            Similarity::Euclidean => "euclidean",
        }
    }
}

impl std::str::FromStr for Similarity {
    type Err = UnknownSimilarity;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Similarity::ALL.into_iter().find(|s| s.as_str() == name).ok_or(UnknownSimilarity)
    }
}

/// The name given is not a [`Similarity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown similarity; the similarities are cosine, pearson and euclidean")]
pub struct UnknownSimilarity;

/// A user like the one asking. For administrators and for the computation; its id never goes
/// into an explanation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Neighbor {
    /// Who.
    pub user_id: String,
    /// How alike, in the terms of the similarity.
    pub similarity: f64,
}

/// One of a user's own items and its combined weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// The item.
    pub item_id: String,
    /// Its weight.
    pub weight: f32,
}

/// An item and what speaks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// The item.
    pub item_id: String,
    /// The sum of similarity x weight over the neighbors who have the item, added in the order
    /// of the neighbors.
    pub score: f64,
    /// Which of the neighbors have it: their places in the list, from 0, ascending.
    pub supporters: Vec<u32>,
    /// Where the asking user has the item too, what it weighs with each of the supporters;
    /// empty where not.
    pub weights: Vec<f32>,
}

/// An item and how many people have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopularItem {
    /// The item.
    pub item_id: String,
    /// How many users have it.
    pub users: u32,
}

/// What a user's history leads to, all of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The user's own items of the kind, in any order.
    pub own: Vec<Owned>,
    /// The users most like this one, most alike first, ties by id in byte order; the user itself
    /// is not among them.
    pub neighbors: Vec<Neighbor>,
    /// All items of the kind the neighbors have, in any order.
    pub scored: Vec<ScoredItem>,
}

/// What speaks for an item by a package: the parts of its score added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// The item, by its number in the package.
    pub item: u32,
    /// The base, the weights of the own items in the order of their identifiers, and those of the
    /// circumstances, added in this order.
    pub sum: f64,
    /// The logarithms of what the circumstances multiply it by, added up.
    pub logarithm: f64,
}

/// What a user's history leads to by a package, all of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summed {
    /// The user's own items of the kind, in any order.
    pub own: Vec<Owned>,
    /// Every item of the package with a sum above 0, in any order.
    pub sums: Vec<Sum>,
}

/// Neighbors and scores computed elsewhere, from the same weights by the same rules: event
/// weight x weight (x decay), repeats of a user and item combined in double precision, then
/// narrowed to 32 bits.
pub trait Evidence: Send + Sync {
    /// The user's own items, the `count` users most like this one and the items they have.
    /// Nothing for an unknown user.
    fn find<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Found, SourceError>>;

    /// Writes the weights of a package to where [`Evidence::sums`] reads them, whole or not at all.
    /// One that is there is left as it is.
    fn keep<'a>(&'a self, _package: &'a Learned) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }

    /// The user's own items, and the sums that the package makes of them and of the circumstances
    /// `features` (numbers of the package). `None` where the weights are not there.
    fn sums<'a>(
        &'a self,
        _kind: Kind,
        _user_id: &'a str,
        _package: &'a Learned,
        _features: &'a [u32],
    ) -> BoxFuture<'a, Result<Option<Summed>, SourceError>> {
        Box::pin(async { Ok(None) })
    }

    /// Of the same, the neighbors alone.
    fn neighbors<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Neighbor>, SourceError>>;

    /// All items of the kind that these users have, in any order; `own` are the items of the one
    /// who asks.
    fn scores<'a>(
        &'a self,
        kind: Kind,
        own: &'a [Owned],
        neighbors: &'a [Neighbor],
    ) -> BoxFuture<'a, Result<Vec<ScoredItem>, SourceError>>;

    /// The items of the kind that most people have, most first, ties by id in byte order, at most
    /// `count` (which may be `usize::MAX`, for all of them).
    fn popular(&self, kind: Kind, count: usize) -> BoxFuture<'_, Result<Vec<PopularItem>, SourceError>>;

    /// Those of the users who have anything of the kind, in any order.
    fn with_history<'a>(
        &'a self,
        kind: Kind,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, SourceError>>;
}
