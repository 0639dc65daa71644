//! The words of titles of ICD-10 that stand apart from each other ("malignant neoplasm of upper-outer quadrant of left female
//! breast"), each with the condition that it is a kind of. The words of a pattern stand in this order in one clause, and few
//! words between them.

use std::sync::LazyLock;

use super::normal;
use super::said::Token;

/// The most words between two words of a pattern that stand apart.
const APART: usize = 9;

/// Patterns by condition; "*" stands for words between.
const TITLES: &[(&str, &[&str])] = &[
    (
        "breast cancer",
        &["malignant * neoplasm * breast", "malignant neoplasm * axillary tail", "cancer of * breast"],
    ),
    (
        "bladder cancer",
        &[
            "malignant * neoplasm * bladder",
            "malignant neoplasm * ureteric orifice",
            "malignant neoplasm * urachus",
        ],
    ),
    (
        "bleeding disorder",
        &[
            "hemorrhagic disorder",
            "coagulation defect",
            "coagulation factor deficiency",
            "deficiency of * clotting factor",
            "factor xi deficiency",
        ],
    ),
    (
        "stroke",
        &[
            "cerebral ischemic attack",
            "carotid artery syndrome",
            "basilar artery syndrome",
            "precerebral artery syndrome",
            "amaurosis fugax",
        ],
    ),
    (
        "coronary artery disease",
        &[
            "atherosclerotic heart disease",
            "coronary atherosclerosis",
            "atherosclerosis of * coronary",
            "coronary artery aneurysm",
            "coronary artery dissection",
            "myocardial ischemia",
            "aneurysm of heart",
            "aortocoronary bypass",
            "coronary angioplasty",
            "coronary microvascular dysfunction",
        ],
    ),
    (
        "heart failure",
        &["endomyocardial disease", "endomyocardial eosinophilic disease", "endocardial fibroelastosis"],
    ),
    (
        "venous thrombosis",
        &[
            "embolism and thrombosis * vein",
            "embolism and thrombosis * vena cava",
            "thrombophlebitis * iliac vein",
            "thrombophlebitis * femoral vein",
            "thrombophlebitis * popliteal vein",
            "thrombophlebitis * tibial vein",
            "thrombophlebitis * muscular vein",
            "thrombophlebitis * peroneal vein",
            "thrombophlebitis * deep vessel",
            "thrombophlebitis migrans",
            "portal vein thrombosis",
            "budd chiari",
            "thromboembolism in childbirth",
            "thromboembolism in the puerperium",
            "embolism of pulmonary artery",
            "thrombosis of deep vein",
            "thrombosis of renal vein",
        ],
    ),
    ("copd", &["bronchiolitis obliterans"]),
    ("peptic ulcer", &["gastrojejunal ulcer"]),
    (
        "ulcerative colitis",
        &[
            "ulcerative * colitis",
            "ulcerative * pancolitis",
            "ulcerative * proctitis",
            "ulcerative * rectosigmoiditis",
            "inflammatory polyp of colon",
            "left sided colitis",
        ],
    ),
    (
        "bowel obstruction",
        &[
            "intussusception",
            "volvulus",
            "fecal impaction",
            "impaction of intestine",
            "intestinal adhesion",
            "obstruction of intestine",
        ],
    ),
    (
        "liver disease",
        &[
            "fibrosis * liver",
            "sclerosis of liver",
            "hepatic * fibrosis",
            "hepatic sclerosis",
            "abscess of liver",
            "congestion of liver",
            "necrosis of liver",
            "infarction of liver",
            "peliosis hepatis",
            "hepatic veno occlusive disease",
            "hepatorenal syndrome",
            "hepatopulmonary syndrome",
            "fatty * liver",
            "disease of liver",
            "liver transaminase",
            "phlebitis of portal vein",
        ],
    ),
    (
        "glomerular disease",
        &[
            "glomerular",
            "glomerulonephritis",
            "dense deposit disease",
            "recurrent and persistent hematuria",
            "isolated proteinuria",
            "nephritic syndrome",
            "nephrotic syndrome",
            "hereditary nephropathy",
        ],
    ),
    (
        "chronic kidney disease",
        &["tubulo interstitial nephritis", "renal osteodystrophy", "hyperparathyroidism of renal origin"],
    ),
    ("polycystic kidney disease", &["cystic dilatation of collecting duct"]),
    (
        "pregnancy",
        &[
            "maternal care",
            "antenatal screening",
            "papyraceous fetus",
            "trimester",
            "complicating childbirth",
            "complicating pregnancy",
            "in childbirth",
            "false labor",
            "antepartum hemorrhage",
            "placenta previa",
            "premature separation of placenta",
            "placental disorder",
            "low lying placenta",
            "placenta accreta",
            "amniotic fluid",
            "amniotic sac",
            "polyhydramnios",
            "oligohydramnios",
            "premature rupture of membrane",
            "threatened abortion",
            "eclampsia",
            "hellp syndrome",
            "fetal movement",
            "fetal growth",
            "placental transfusion",
            "fetal stress",
            "gestational edema",
            "gestational proteinuria",
            "multiple gestation",
            "twin gestation",
            "triplet gestation",
            "malpresentation of fetus",
            "cervical incompetence",
            "primigravida",
            "induction of labor",
            "force of labor",
            "uterine inertia",
            "precipitate labor",
            "long labor",
            "prolonged * labor",
            "obstructed labor",
            "labor and delivery complicated",
            "labor complicated",
            "preterm labor",
            "intrapartum hemorrhage",
            "labor with",
        ],
    ),
    (
        "hyperlipidemia",
        &[
            "hyperglyceridemia",
            "hyperchylomicronemia",
            "lipoprotein metabolism",
            "elevated lipoprotein",
            "lipoprotein deficiency",
        ],
    ),
    ("hypertension", &["hypertensive heart disease"]),
    ("uncontrolled hypertension", &["hypertensive urgency", "hypertensive emergency"]),
    ("atrial fibrillation", &["atrial flutter"]),
    ("renal artery stenosis", &["atherosclerosis of renal artery"]),
    ("thrombocytopenia", &["thrombocytopenic purpura"]),
    ("eating disorder", &["food intake disorder"]),
    ("epilepsy", &["lennox gastaut", "kinase like 5 deficiency"]),
    ("sleep apnea", &["sleep related * hypoventilation"]),
    ("myasthenia gravis", &["myoneural disorder"]),
    ("glaucoma", &["narrow angle", "aqueous misdirection", "angle closure"]),
    ("intracranial bleeding", &["subdural hemorrhage", "extradural hemorrhage"]),
];

/// The patterns as their words, each in the singular.
static PATTERNS: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
    let patterns =
        TITLES.iter().flat_map(|&(name, patterns)| patterns.iter().map(move |pattern| (name, *pattern)));
    patterns.map(|(name, pattern)| (name, pattern.split(' ').map(normal::singular).collect())).collect()
});

/// The patterns among the words: from which to which, and the condition.
pub(super) fn found(tokens: &[Token<'_>]) -> Vec<(usize, usize, &'static str)> {
    let american = |word: &str| normal::american(word).unwrap_or_else(|| word.to_owned());
    let words: Vec<String> = tokens.iter().map(|token| normal::singular(&american(token.text))).collect();
    let places = |pattern: &[String]| (0..words.len()).find_map(|at| Some((at, ends(&words, at, pattern)?)));
    let found =
        PATTERNS.iter().filter_map(|(name, pattern)| places(pattern).map(|(start, end)| (start, end, *name)));
    found.collect()
}

/// Where a pattern ends that begins here.
fn ends(words: &[String], from: usize, pattern: &[String]) -> Option<usize> {
    let (mut at, mut apart) = (from, 0);
    for wanted in pattern {
        if wanted == "*" {
            apart = APART;
            continue;
        }
        at += words.iter().skip(at).take(apart + 1).position(|word| word == wanted)? + 1;
        apart = 0;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::{Terminology, plain};

    #[test]
    fn every_title_is_of_a_known_condition() {
        let terminology = Terminology::default();
        for (name, patterns) in TITLES {
            assert!(terminology.nodes.contains_key(&plain(name)), "{name}");
            assert!(
                patterns.iter().all(|pattern| !pattern.starts_with('*') && !pattern.ends_with('*')),
                "{name}"
            );
        }
    }
}
