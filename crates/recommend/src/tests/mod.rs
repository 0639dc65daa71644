//! Tests of the recommender as a whole, over a store that is a few maps.

mod demo_rules;
mod drug_lists;
mod evaluation;
pub(crate) mod fake_store;
mod freshness;
mod golden;
mod item_words;
mod learned;
pub(crate) mod numbers;
mod orders;
mod problem_lists;
mod problem_words;
mod records;
mod rules;
mod safety;
mod several_words;
mod stages;
mod strategies;
mod whole_record;
