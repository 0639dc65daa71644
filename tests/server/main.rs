//! The black-box tests: the real server program on a random port, spoken to over HTTP, and the
//! store held against both databases. One program, so that everything is linked once.

mod adopted;
mod audit;
mod backup;
mod cases;
mod cds;
mod conditional;
mod console;
mod dicom;
mod embeddings;
mod explain;
mod extract;
mod fhir;
mod first_steps;
mod fuzz_corpus;
mod generate;
mod hl7;
mod identity;
mod images;
mod learned;
mod lifecycle;
mod metrics;
mod models;
mod notes;
mod oip;
mod openapi;
mod overload;
mod recommendations;
mod records;
mod replicas;
mod repository;
mod segment;
mod store;
mod support;
mod traces;
