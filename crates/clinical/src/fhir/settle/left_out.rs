//! What is left out of what can be written once more is known of it: a resource that is older than what came before, a
//! person who is somebody else.

use std::collections::BTreeSet;

use recommend::Interaction;

use super::Settled;
use crate::fhir::bundle::FhirError;
use crate::fhir::people::PersonChange;

impl Settled {
    pub(super) fn keep_interactions(&mut self, mut stays: impl FnMut(&Interaction) -> bool) {
        let both = std::mem::take(&mut self.interactions).into_iter().zip(std::mem::take(&mut self.happened));
        (self.interactions, self.happened) = both.filter(|(interaction, _)| stays(interaction)).unzip();
    }

    /// The interactions, each with the entries that it comes from.
    pub fn happened(&self) -> impl Iterator<Item = (&Interaction, &[usize])> {
        self.interactions.iter().zip(self.happened.iter().map(Vec::as_slice))
    }

    /// Leaves out the interactions that come from these entries alone.
    pub fn leave_out_happened(&mut self, entries: &BTreeSet<usize>) {
        for of in &mut self.happened {
            of.retain(|entry| !entries.contains(entry));
        }
        self.leave_out_groundless();
    }

    /// Leaves out the interactions that come from no entry any more.
    fn leave_out_groundless(&mut self) {
        let mut stays = self.happened.iter().map(|of| !of.is_empty()).collect::<Vec<_>>().into_iter();
        self.keep_interactions(|_| stays.next().unwrap_or(true));
    }

    /// Leaves out an item that one entry describes, and what happened there.
    pub fn leave_out_item(&mut self, item_id: &str, error: FhirError) {
        self.items.retain(|item| item.item_id != item_id);
        self.keep_interactions(|interaction| interaction.item_id != item_id);
        self.leave_out_entry(error);
    }

    /// Leaves out what one entry says.
    pub fn leave_out_entry(&mut self, error: FhirError) {
        let Some(entry) = error.entry else { return };
        for person in &mut self.people {
            person.statements.retain(|said| said.entry != entry);
        }
        self.people.retain(|person| person.patient.is_some() || !person.statements.is_empty());
        self.leave_out_happened(&BTreeSet::from([entry]));
        let outcome = &mut self.outcomes[entry];
        outcome.used = false;
        outcome.notes.push((error.code, error.detail.clone()));
        outcome.error = Some(error);
    }

    /// Leaves out what happened, by one entry, with one item.
    pub fn leave_out_happened_with(&mut self, entry: usize, item_id: &str, note: &str) {
        for (one, of) in self.interactions.iter().zip(&mut self.happened) {
            if one.item_id == item_id {
                of.retain(|at| *at != entry);
            }
        }
        self.leave_out_groundless();
        self.unknown_items += 1;
        self.outcomes[entry].notes.push(("not-found", note.to_owned()));
    }

    /// Leaves out a person who does not fit, with all that is said of the person: of a batch or a collection the others
    /// go in.
    pub fn leave_out(&mut self, user_id: &str, code: &'static str, detail: &str) {
        self.leave_out_but(user_id, code, detail, &BTreeSet::new());
    }

    /// As [`Settled::leave_out`], of a Patient who is another than the person who is stored under the id: what these entries
    /// say is said of that person, and stays.
    pub fn leave_out_but(&mut self, user_id: &str, code: &'static str, detail: &str, stay: &BTreeSet<usize>) {
        let of_person = |person: &&PersonChange| person.user_id == user_id;
        let said = self.people.iter().filter(of_person);
        let said =
            said.flat_map(|person| person.statements.iter().map(|said| said.entry).chain(person.patient));
        let happened = self.interactions.iter().zip(&self.happened);
        let happened = happened
            .filter(|(one, _)| one.user_id == user_id)
            .flat_map(|(_, entries)| entries.iter().copied());
        let entries: BTreeSet<usize> = said.chain(happened).filter(|entry| !stay.contains(entry)).collect();
        for entry in &entries {
            let outcome = &mut self.outcomes[*entry];
            outcome.used = false;
            outcome.notes.push((code, detail.to_owned()));
            outcome.error = Some(FhirError::at(*entry, outcome.kind.clone(), code, detail));
        }
        for person in self.people.iter_mut().filter(|person| person.user_id == user_id) {
            let statements = std::mem::take(&mut person.statements);
            *person = PersonChange { user_id: user_id.to_owned(), ..PersonChange::default() };
            person.statements = statements.into_iter().filter(|said| stay.contains(&said.entry)).collect();
        }
        self.people.retain(|person| person.user_id != user_id || !person.statements.is_empty());
        self.leave_out_happened(&entries);
    }
}
