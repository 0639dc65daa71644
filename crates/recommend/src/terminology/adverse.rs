//! Adverse effects in codes of ICD-10: that a drug was taken rightly and has done harm (T36-T50 with a 5 for "adverse effect"
//! in the fifth or sixth place, Y40-Y59). They are a reason not to give the drug again, as an allergy to it is.

/// By category, the drug or class that it is about. Where the harm says too little of the next dose (insulin, corticosteroids,
/// anticoagulants, drugs against cancer), or the category is a mixture, there is none.
const ADVERSE: [(&str, &str); 53] = [
    ("t360", "penicillin"),
    ("t361", "cephalosporin"),
    ("t363", "macrolide"),
    ("t364", "tetracycline"),
    ("t365", "aminoglycoside"),
    ("t366", "rifamycin"),
    ("t370", "sulfonamide"),
    ("t382", "antithyroid"),
    ("t3901", "aspirin"),
    ("t3909", "salicylate"),
    ("t391", "paracetamol"),
    ("t392", "pyrazolone"),
    ("t393", "nsaid"),
    ("t402", "opioid"),
    ("t403", "methadone"),
    ("t404", "opioid"),
    ("t413", "local anesthetic"),
    ("t420", "hydantoin anticonvulsant"),
    ("t421", "dibenzazepine anticonvulsant"),
    ("t423", "barbiturate"),
    ("t424", "benzodiazepine"),
    ("t430", "tricyclic antidepressant"),
    ("t431", "monoamine oxidase inhibitor"),
    ("t433", "phenothiazine"),
    ("t447", "beta blocker"),
    ("t460", "cardiac glycoside"),
    ("t461", "calcium channel blocker"),
    ("t464", "ace inhibitor"),
    ("t466", "lipid lowering drug"),
    ("t501", "loop diuretic"),
    ("t502", "thiazide diuretic"),
    ("t504", "xanthine oxidase inhibitor"),
    ("y400", "penicillin"),
    ("y401", "cephalosporin"),
    ("y403", "macrolide"),
    ("y404", "tetracycline"),
    ("y405", "aminoglycoside"),
    ("y406", "rifamycin"),
    ("y410", "sulfonamide"),
    ("y422", "antithyroid"),
    ("y450", "opioid"),
    ("y451", "salicylate"),
    ("y452", "nsaid"),
    ("y453", "nsaid"),
    ("y455", "paracetamol"),
    ("y462", "hydantoin anticonvulsant"),
    ("y470", "barbiturate"),
    ("y471", "benzodiazepine"),
    ("y490", "tricyclic antidepressant"),
    ("y520", "cardiac glycoside"),
    ("y521", "calcium channel blocker"),
    ("y524", "ace inhibitor"),
    ("y526", "lipid lowering drug"),
];

/// The drug that has done harm by this normalised code.
pub(super) fn drug(code: &str) -> Option<&'static str> {
    let bare: String = code.chars().filter(|c| *c != '.').collect();
    let place = |at: usize| bare.as_bytes().get(at);
    let told = match bare.as_bytes().first() {
        Some(b't') => {
            place(5) == Some(&b'5') || place(4) == Some(&b'5') && place(5).is_none_or(|c| *c == b'x')
        }
        Some(b'y') => true,
        _ => false,
    };
    let shaped = (4..=7).contains(&bare.len()) && bare.bytes().skip(1).all(|c| c.is_ascii_alphanumeric());
    let category = || ADVERSE.iter().filter(|(category, _)| bare.starts_with(category));
    (told && shaped).then(|| category().max_by_key(|(category, _)| category.len()))?.map(|(_, drug)| *drug)
}

/// Whether it is the code of an anaphylaxis to a drug that it does not name.
pub(super) fn is_anaphylaxis(code: &str) -> bool {
    code.replace('.', "").starts_with("t886")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::{Field, Terminology};

    #[test]
    fn an_adverse_effect_is_of_a_known_drug_and_a_poisoning_is_none() {
        let terminology = Terminology::default();
        for (_, name) in ADVERSE {
            assert!(terminology.understand(Field::Allergy, name).known, "{name}");
        }
        for (code, name) in [
            ("t36.0x5a", Some("penicillin")),
            ("t360x5a", Some("penicillin")),
            ("t39.015a", Some("aspirin")),
            ("t39.395a", Some("nsaid")),
            ("t46.4x5d", Some("ace inhibitor")),
            ("y40.0", Some("penicillin")),
            ("t36.0x1a", None),
            ("t36.0", None),
            ("t45.1x5a", None),
            ("y95", None),
        ] {
            assert_eq!(drug(code), name, "{code}");
        }
    }
}
