//! medserve: a server that classifies medical images and clinical notes and recommends care.
//!
//! `app` puts everything together, `api` is all HTTP, `inference` schedules models, `cases`
//! searches and `store` holds all SQL. A request reads as a straight line from `api` to `inference` to the libraries in
//! `crates/`, and back; which of them may use which is in their manifests, and Cargo holds them to it.

#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod bulk;
pub mod cases;
pub mod config;
pub mod dicom_net;
pub mod hl7_net;
pub mod inference;
pub mod outbound;
pub mod places;
pub mod store;
pub mod syslog;
pub mod telemetry;
