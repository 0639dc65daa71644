//! FHIR R4 (4.0.1): Bundles read into people, items and interactions, and answers written as resources.
//!
//! - `resources`, `bundle`, `modifiers`, `kept`, `request`, `sources`, `version`, `references`: what is read, from where, and of which
//!   release it is
//! - `patient`, `people`, `status`, `described`, `ended`, `none_known`, `denial`, `items`, `mapping`, `settle`: what it means, and what of it can be written
//! - `deletions`: what an export says was deleted
//! - `report`, `outcome`: what became of it, for people and for programs
//! - `capability`: what the server says it can do
//! - `answers`: images, notes and recommendations as resources

pub mod answers;
pub mod bundle;
pub mod capability;
pub mod deletions;
mod denial;
mod described;
mod ended;
pub(crate) mod holds;
pub mod items;
mod kept;
pub mod mapping;
mod modifiers;
mod none_known;
pub mod outcome;
pub mod patient;
pub mod people;
pub mod references;
pub mod report;
mod request;
pub mod resources;
pub mod settle;
pub mod sources;
pub(crate) mod status;
mod version;

pub use bundle::{Bundle, BundleKind, FhirError};
pub use deletions::Deletions;
pub use mapping::{map, map_while, map_with, medications_elsewhere, ordered};
pub use people::{PersonChange, Statement};
pub use report::Report;
pub use settle::{Found, Mapped, Settled, Spoken, Wanted};
pub use sources::Sources;

/// The media type of a resource as JSON.
pub const MEDIA_TYPE: &str = "application/fhir+json";

#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod tests;
