//! What hospitals' other systems speak, as plain data: FHIR R4 resources read into people, items and
//! interactions, answers written as FHIR R4 resources, CDS Hooks requests and cards, and model cards.
//! It knows neither HTTP nor SQL: the server's `api` and `store` are its edges.
//!
//! - `fhir`: resources, Bundles, what they mean for a person, and what is answered
//! - `cds`: the services of CDS Hooks 2.0, their requests and their cards
//! - `card`: a model card as data
//! - `hl7`: messages of HL7 version 2
//! - `dicom`: answers about images as DICOM structured reports, pictures and segmentations

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod card;
pub mod cds;
pub mod dicom;
pub mod fhir;
pub mod hl7;
