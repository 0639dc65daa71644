//! What becomes of conditions: which are over once they are resolved, and which speak against drugs once somebody has had
//! them, as the rules about them are about the history. Of all others only what is there now counts, and a word that says
//! that it is resolved is not trusted where others of its kind stay.

use super::{Field, Key, Terminology};

/// What is over once it is resolved, and no reason against a drug any more.
const ENDS: [&str; 37] = [
    "shock",
    "severe hypotension",
    "severe hypokalemia",
    "severe hyponatremia",
    "respiratory failure",
    "anuria",
    "major bleeding",
    "alcohol withdrawal",
    "acute kidney injury",
    "hyperkalemia",
    "hypokalemia",
    "hypernatremia",
    "hyponatremia",
    "hypermagnesemia",
    "hypomagnesemia",
    "hyperphosphatemia",
    "hypophosphatemia",
    "hypercalcemia",
    "hypocalcemia",
    "hyperglycemia",
    "hypoglycemia",
    "hypotension",
    "thrombocytopenia",
    "sinus bradycardia",
    "pneumonia",
    "urinary tract infection",
    "skin infection",
    "influenza",
    "sinusitis",
    "fungal infection",
    "systemic fungal infection",
    "infectious mononucleosis",
    "bowel obstruction",
    "constipation",
    "diarrhea",
    "nausea",
    "contraception",
];

/// What counts once somebody has had it.
const ONCE_HAD: [&str; 14] = [
    "long qt syndrome",
    "epilepsy",
    "agranulocytosis",
    "stroke",
    "myocardial infarction",
    "venous thrombosis",
    "peptic ulcer",
    "angioedema",
    "pancreatitis",
    "breast cancer",
    "bladder cancer",
    "medullary thyroid cancer",
    "heparin induced thrombocytopenia",
    "aspirin exacerbated respiratory disease",
];

/// Whether all of it is over once it is resolved.
pub(super) fn ends(names: &[Key]) -> bool {
    !names.is_empty() && names.iter().all(|name| ENDS.contains(&name.as_ref()))
}

impl Terminology {
    /// Whether the words or the code of a condition say something that counts once somebody has had it. A pregnancy is over.
    pub fn counts_once_had(&self, text: &str) -> bool {
        let broader = self.understand(Field::Condition, text).broader;
        !broader.contains("pregnancy") && ONCE_HAD.iter().any(|name| broader.contains(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::plain;

    #[test]
    fn the_lists_are_of_known_conditions() {
        let terminology = Terminology::default();
        for name in ENDS.iter().chain(&ONCE_HAD) {
            assert!(terminology.nodes.contains_key(&plain(name)), "{name}");
        }
    }

    #[test]
    fn what_counts_once_had_is_told_from_what_is_over() {
        let terminology = Terminology::default();
        for text in
            ["Ischemic stroke", "Deep vein thrombosis", "I26.99", "Gastric ulcer with bleeding", "心肌梗死"]
        {
            assert!(terminology.counts_once_had(text), "{text}");
        }
        for text in
            ["Asthma", "Pneumonia", "DVT in pregnancy", "O22.3", "No history of stroke", "Viral sinusitis"]
        {
            assert!(!terminology.counts_once_had(text), "{text}");
        }
    }
}
