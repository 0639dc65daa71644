//! The recommender: exact nearest neighbors over sparse user-item matrices, safety before rank,
//! and a reason with every answer. Pure code over plain data, it reads through the traits
//! [`Source`] and [`Evidence`] and knows nothing of HTTP or SQL.
//!
//! From the bottom up:
//!
//! - `data`, `source`, `answer`, `settings`: what comes in, what is asked of a store, what goes
//!   out, what can be set
//! - `csv_table`, `interactions_csv`: interactions from files
//! - `names`, `weights`, `matrix`, `load`, `layers`: the matrix, and how it stays fresh
//! - `neighbors`, `ranking`: similarities and scores
//! - `terminology`: what words in lists and rules mean
//! - `catalogue`, `filters`, `context`, `places`, `explain`: what is known of items and people,
//!   and what follows from it
//! - `learned`: weights between items that were fitted offline, applied to a history as it is now
//! - `evaluate`: how good the recommendations are, by the same scorer as answers requests
//! - `snapshot`, `fresh`: all of it at one moment, kept true to the store
//! - `candidates`, `answering`, `recommender`: a request and its answer
//! - `orders`: what speaks against a drug that somebody is about to order
//!
//! With the feature `openapi` the types that go over HTTP also describe themselves as schemas.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod answering;
mod candidates;
mod catalogue;
pub mod clock;
mod context;
mod csv_table;
mod data;
mod evaluate;
mod explain;
mod filters;
mod fresh;
mod interactions_csv;
mod latest;
mod layers;
mod learned;
mod load;
mod matrix;
mod names;
mod neighbors;
mod orders;
mod places;
mod ranking;
mod recommender;
mod settings;
mod shared;
mod snapshot;
mod source;
mod terminology;
mod valid;
mod weights;

pub use answer::{
    Because, Excluded, MAX_NEIGHBORS, RecommendError, Recommendation, Recommended, Request, Strategy, Support,
};
pub use catalogue::flags as item_flags;
pub use context::{condition_feature, features_of};
pub use csv_table::{CsvError, CsvRow, CsvTable};
pub use data::{
    Contraindications, EARLIEST_TIME, GradedRule, Interaction, Item, Kind, Millis, Profile, Recorded,
    Severity, Sex, Subject, UnknownKind, User,
};
pub use evaluate::{
    Comparison, DrugListReport, DrugLists, Group, Groups, HeldOut, ListSafety, Metrics, Options, Partition,
    Prediction, Report, Split, compare_predictions, evaluate, measure, nearest as nearest_to,
    neighbors as rank_by_neighbors, score as score_ranking,
};
pub use filters::{Concern, Unknown, Unmatched};
pub use fresh::Fresh;
pub use interactions_csv::{InteractionColumns, InteractionLine, InteractionReader};
pub use layers::{Layers, Row};
pub use learned::{
    ContextWeights, DistanceWeight, ItemWeights, LEAST as LEAST_SCORE, Laid, Learned, ScoredBy, SparseRows,
};
pub use load::Loader;
pub use neighbors::best::Best;
pub use neighbors::{Rows, Search, search};
pub use orders::{Alternative, Checked, Finding, Ordered};
pub use places::Place;
pub use ranking::{Candidate, Scoring, implicit};
pub use recommender::Recommender;
pub use settings::Settings;
pub use source::{
    Changes, Cursor, Evidence, Found, InteractionRow, MIN_SIMILARITY, Neighbor, Owned, PopularItem,
    ScoredItem, Similarity, Source, SourceError, Sum, Summed, UnknownSimilarity, UserState,
};
pub use terminology::plain as plain_name;
pub use terminology::{
    Field, Key, Meaning, Mistake, Term, TermKind, Terminology, Unclear, UnknownTermKind, normalise,
    read_terms, without_dose, without_salts,
};
pub use valid::{FieldError, validate_id, validate_weight};
pub use weights::{Repeats, Weighing};

// The demo's tables, which a test reads, know this crate by its name.
#[cfg(test)]
extern crate self as recommend;
#[cfg(test)]
mod tests;
