//! HL7 version 2: messages of admission, discharge and transfer become FHIR Bundles, which the rest of the program
//! reads; acknowledgements and results are written.
//!
//! - `message`: segments, fields and their escapes
//! - `adt`: who a message is about, as a FHIR transaction
//! - `answer`: acknowledgements, and a result as ORU^R01

mod adt;
mod answer;
mod message;

pub use adt::{EVENTS, bundle};
pub use answer::{Accepted, Observation, accepted, acknowledgement, result};
pub use message::{Hl7Error, Message};
