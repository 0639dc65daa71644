//! HL7 version 2: messages of admission, discharge and transfer become FHIR Bundles, which the rest of the program
//! reads; acknowledgements and results are written.
//!
//! - `charset`: the character set of a message
//! - `message`: segments, fields and their escapes
//! - `sent`: which of two messages is the later one, and which came already
//! - `patient`: who a message is about
//! - `coded`: codes and words
//! - `tables`: codes of HL7's own tables
//! - `adt`: what a message says, as a FHIR transaction
//! - `answer`: acknowledgements
//! - `oru`: a result as ORU^R01

mod adt;
mod answer;
mod charset;
mod coded;
mod message;
mod oru;
mod patient;
mod sent;
mod tables;

pub use adt::{EVENTS, bundle};
use answer::time;
pub use answer::{Accepted, Acknowledged, acknowledged, acknowledgement};
pub use charset::{Charset, text};
pub use message::{Hl7Error, Message};
pub use oru::{Finding, Receiver, message_id, result};
pub use patient::{Identity, Remembered};
pub use sent::Sent;
