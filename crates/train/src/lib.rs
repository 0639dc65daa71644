//! The offline side: data sets in, model packages out.
//!
//! What training a classifier of images and one of notes share stands here once: the loop
//! (`fit`), the optimiser, metrics, plots and the card. What they do not share is how examples
//! are read and made into batches.

#![forbid(unsafe_code)]

pub mod about;
pub mod adopt;
pub mod alterations;
pub mod amount;
pub mod architectures;
pub mod augment;
pub mod bag;
pub mod card;
pub mod checkpoint;
pub mod embed;
pub mod evaluate;
pub mod examples;
pub mod extract;
pub mod familiarity;
pub mod field_dropout;
pub mod finish;
pub mod fit;
pub mod folds;
pub mod from;
pub mod generate;
pub mod groups;
pub mod image;
pub mod image_outputs;
pub mod image_set;
pub mod image_table;
pub mod label_names;
pub mod likeness;
pub mod lock;
pub mod logistic;
pub mod mask_file;
pub mod masks;
pub mod metrics;
pub mod note_fields;
pub mod note_rows;
pub mod notes;
pub mod optimizer;
pub mod pickle;
mod picture_archive;
pub mod plots;
pub mod precision;
pub mod progress;
pub mod recommender;
pub mod region_choice;
pub mod region_limits;
mod region_loss;
pub mod region_metrics;
pub mod region_views;
pub mod report;
pub mod segment;
pub mod splits;
pub mod stacking;
pub mod start_vectors;
pub mod tables;
pub mod targets;
pub mod text;
pub mod text_options;
pub mod text_plan;
pub mod text_precision;
pub mod torch_file;
pub mod trees;
