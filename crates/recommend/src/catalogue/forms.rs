//! Forms of a drug that stay where they are put: for the eye, the ear, the skin. Interactions and conditions matter less with
//! them than with what is swallowed; allergies matter as much.

use crate::terminology::{Keys, normalise};

/// Words of a name that say so.
const LOCAL: [&str; 20] = [
    "ophthalmic",
    "ophth",
    "otic",
    "eye",
    "eyedrops",
    "ear",
    "eardrops",
    "topical",
    "cutaneous",
    "cream",
    "ointment",
    "oint",
    "shampoo",
    "lotion",
    "gel",
    "foam",
    "liniment",
    "scalp",
    "auricular",
    "ocular",
];

/// The same in a script without spaces.
const LOCAL_ZH: [&str; 11] =
    ["滴眼液", "眼膏", "眼用", "滴耳液", "滴耳剂", "乳膏", "软膏", "凝胶", "洗剂", "搽剂", "外用"];

/// Words beside which those mean another form ("softgel capsule", "oral gel"), or one that is for the whole body.
const SYSTEMIC: [&str; 36] = [
    "po",
    "iv",
    "im",
    "mouth",
    "suspension",
    "syrup",
    "troche",
    "lozenge",
    "soft",
    "liqui",
    "intravenous",
    "intramuscular",
    "subcutaneous",
    "daily",
    "orally",
    "oral",
    "buccal",
    "sublingual",
    "capsule",
    "capsules",
    "cap",
    "caps",
    "tablet",
    "tablets",
    "tab",
    "tabs",
    "softgel",
    "softgels",
    "liquid",
    "transdermal",
    "patch",
    "injection",
    "rectal",
    "suppository",
    "ring",
    "implant",
];

/// Classes that are given through the skin for the whole body, that harm a child that way, too, or whose rules are about such
/// a form as it is.
const ALL_THE_SAME: [&str; 7] = [
    "nitrate",
    "opioid",
    "estrogen",
    "progestin",
    "retinoid",
    "glaucoma eye drops",
    "bladder antimuscarinic",
];

/// Whether the name is that of a local form of what can be called so.
pub fn is_local(name: &str, called: &Keys) -> bool {
    let name = normalise(name);
    // What follows says what it is for, and not what it is.
    let name = [" for ", " - ", ": "]
        .iter()
        .filter_map(|cut| name.find(cut))
        .min()
        .map_or(&name[..], |at| &name[..at]);
    let has = |list: &[&str]| name.split(|c: char| !c.is_alphanumeric()).any(|word| list.contains(&word));
    let local = has(&LOCAL) || LOCAL_ZH.iter().any(|form| name.contains(form));
    local
        && !has(&SYSTEMIC)
        && !name.contains("胶囊")
        && !ALL_THE_SAME.iter().any(|class| called.contains(*class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_local_by_its_words() {
        let none = Keys::default();
        for name in [
            "Erythromycin 5 MG/G Ophthalmic Ointment",
            "ketoconazole 2% shampoo",
            "Diclofenac Sodium 1% Gel",
            "ciprofloxacin ear drops",
            "红霉素眼膏",
            "双氯芬酸二乙胺乳胶剂 外用",
        ] {
            assert!(is_local(name, &none), "{name}");
        }
        for name in [
            "erythromycin 500 MG Oral Tablet",
            "miconazole oral gel",
            "ibuprofen 200 MG liquid gel capsule",
            "Omeprazole 20 MG Oral Capsule",
            "estradiol transdermal patch",
            "红霉素肠溶胶囊",
            "year-long course",
            "ciprofloxacin 500 mg po bid for ear infection",
            "clarithromycin 250 mg/5 ml suspension - ear infection",
            "prednisone 20 mg daily for eye inflammation",
            "ketorolac 30 mg IV then ophthalmic",
            "ibuprofen 200 mg Liqui-Gel",
            "ibuprofen soft gel",
            "clotrimazole troche",
        ] {
            assert!(!is_local(name, &none), "{name}");
        }
        assert!(!is_local("nitroglycerin 2% ointment", &Keys::from_iter(["nitrate".into()])));
    }
}
