//! medserve: a server that classifies medical images and clinical notes and recommends care.
//!
//! The crate is a house of rooms, listed here from the top floor down. Imports run downwards
//! only, which `tests/architecture.rs` enforces by reading the sources: a request reads as a
//! straight line from `api` to `inference` to `vision` or `text` to `nn`, and back.

pub mod app;

pub mod api;
pub mod train;

pub mod inference;
pub mod store;

pub mod recommend;
pub mod text;
pub mod vision;

pub mod model;

pub mod nn;

pub mod config;
pub mod telemetry;
