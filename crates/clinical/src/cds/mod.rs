//! CDS Hooks 2.0: the services, what a client sends them, and the cards that they answer with.
//!
//! The services ask nobody for data: what they need is in the request (`prefetch`), or stored here.
//! A `fhirServer` that a client names is never called.
//!
//! - `services`: what discovery says
//! - `request`: a hook's context and prefetch
//! - `orders`: the draft orders of drugs in it
//! - `prefetch`: the lists that were fetched beforehand
//! - `person`: whose all of that is
//! - `cards`: few cards, at most one of them critical, and none where nothing is to be said
//! - `feedback`: what a person did with a card

pub mod cards;
pub mod feedback;
mod orders;
mod person;
mod prefetch;
pub mod request;
pub mod services;

#[cfg(test)]
mod tests;
