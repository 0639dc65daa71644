//! The black-box tests: the real server program on a random port, spoken to over HTTP, and the
//! store held against both databases. One program, so that everything is linked once.

mod audit;
mod conditional;
mod console;
mod first_steps;
mod fuzz_corpus;
mod identity;
mod images;
mod lifecycle;
mod metrics;
mod models;
mod notes;
mod oip;
mod openapi;
mod overload;
mod recommendations;
mod replicas;
mod repository;
mod store;
mod support;
mod traces;
