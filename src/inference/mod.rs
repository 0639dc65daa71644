//! From decoded requests to answers: which models are served, and how their work is scheduled.
//!
//! A request's images are decoded and preprocessed, and its notes encoded, on threads of their own, as
//! many as there are cores, and handed to their model's queue. Engine threads, each owning a copy of the
//! model, take together whatever is waiting. The async threads do neither.

pub mod batcher;
pub mod change;
pub mod embedder;
pub mod engine;
pub mod extractor;
pub mod generate;
pub mod head;
pub mod image;
pub mod meter;
pub mod note;
pub mod pool;
pub mod precision;
pub mod prediction;
pub mod preprocess_pool;
pub mod recommendation;
pub mod registry;
pub mod segment;
pub mod signature;
pub mod tally;

pub use embedder::{EmbedError, Embedded};
pub use engine::InferenceError;
pub use pool::{AskError, Timing};
pub use prediction::{Estimate, Outcome, Prediction, Reason};
pub use registry::Registry;
