//! DICOM on the network (PS3.7 and PS3.8): images come by C-STORE, wait in the database, and are answered; results
//! go to the peer that is configured, by C-STORE or STOW-RS.
//!
//! The upper layer is written here and small: what we need of it is six messages, each read under a bound before
//! memory is taken for it. (`dicom-ul`, the field's library, read at version 0.10.1, bounds a message as well, but takes a
//! TCP stream of its own, knows no bound on what associations hold together, and brings the dictionary and the
//! registry of transfer syntaxes, which our reader does without.)
//!
//! - `pdu`: the messages; `negotiation`: what is agreed on; `command`: DIMSE's commands
//! - `association`: an association that somebody opened; `listen`: all of them; `intake`: their images into the queue
//! - `arrival`: what an image does by coming; `answers`: from an image to its results; `queue`: the images that wait
//! - `send`: results on their way; `client`: an association that we open; `stow`: the same over HTTP

pub mod answers;
pub mod arrival;
mod association;
mod client;
pub mod command;
mod intake;
mod listen;
pub mod negotiation;
pub mod pdu;
mod queue;
mod send;
pub mod stow;

pub use listen::{Acceptor, Network, serve};
pub use queue::{pause, work};
pub use send::deliver;
