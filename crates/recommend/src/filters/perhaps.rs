//! Allergies and medications that are not understood and are very like another: "penicilin" may be "penicillin". What would
//! speak against a drug then is told as serious, since nobody who wrote it meant nothing.

use super::allergies::Allergy;
use super::{Concern, Medication, Reason, severe};
use crate::catalogue::{Catalogue, Entry};
use crate::data::Severity;
use crate::terminology::{Field, Terminology};

/// What texts may mean, each with how that is told.
#[derive(Default)]
pub(super) struct Perhaps<'a> {
    allergies: Vec<(String, Allergy<'a>)>,
    medications: Vec<(String, Medication<'a>)>,
}

impl<'a> Perhaps<'a> {
    /// Adds what `written` may mean; of conditions nothing, which are compared in another way.
    pub(super) fn add(
        &mut self,
        field: Field,
        (written, near): (&str, &str),
        drugs: &'a Catalogue,
        terminology: &Terminology,
    ) {
        let meaning = terminology.understand(field, near);
        match field {
            Field::Allergy => {
                let text = format!("allergy: {written} (may be {near})");
                self.allergies.push((text, Allergy::of("", meaning)));
            }
            Field::Medication => {
                let text = format!("interaction: {written} (may be {near})");
                self.medications.push((text, Medication::stated(near, meaning, drugs, terminology)));
            }
            Field::Condition => {}
        }
    }

    /// What would speak against the drug.
    pub(super) fn against<'s>(
        &'s self,
        number: u32,
        entry: &'a Entry,
    ) -> impl Iterator<Item = (Concern, Severity, Reason)> + 's
    where
        'a: 's,
    {
        let is_to = move |allergy: &Allergy<'_>| allergy.against(entry).is_some_and(|found| severe(&found));
        let allergies = self.allergies.iter().filter(move |(_, allergy)| is_to(allergy));
        let interacts = move |medication: &Medication<'a>| {
            let found = medication.findings(number, entry);
            found.iter().any(|(concern, severity, _)| {
                *concern == Concern::Interaction && *severity != Severity::Caution
            })
        };
        let medications = self.medications.iter().filter(move |(_, medication)| interacts(medication));
        let allergies = allergies.map(|(text, _)| (Concern::Allergy, text));
        let medications = medications.map(|(text, _)| (Concern::Interaction, text));
        let told =
            |(concern, text): (Concern, &String)| (concern, Severity::Serious, Reason::plain(text.clone()));
        allergies.chain(medications).map(told)
    }
}
