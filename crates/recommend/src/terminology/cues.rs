//! The words by which a text says that somebody does not have what it names: denials, relatives, what is feared, prevented or
//! looked for, what is over. They hold for the name beside which they stand and for nothing else.

/// Why a name in a text is not what the person has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is denied.
    Denied,
    /// Somebody else has it.
    Relative,
    /// It is feared, prevented, looked for.
    Purpose,
    /// It was, and is over.
    Past,
}

/// What stands directly before such a name.
pub(super) const BEFORE: &[(&str, Why)] = &[
    ("no", Why::Denied),
    ("not", Why::Denied),
    ("never", Why::Denied),
    ("denies", Why::Denied),
    ("denied", Why::Denied),
    ("deny", Why::Denied),
    ("denying", Why::Denied),
    ("without", Why::Denied),
    ("negative for", Why::Denied),
    ("absence of", Why::Denied),
    ("free of", Why::Denied),
    ("无", Why::Denied),
    ("没有", Why::Denied),
    ("否认", Why::Denied),
    ("未见", Why::Denied),
    ("排除", Why::Denied),
    ("rule out", Why::Purpose),
    ("ruling out", Why::Purpose),
    ("ruled out", Why::Purpose),
    ("exclude", Why::Purpose),
    ("unlikely", Why::Purpose),
    ("risk of", Why::Purpose),
    ("risk for", Why::Purpose),
    ("fear of", Why::Purpose),
    ("screen for", Why::Purpose),
    ("screening for", Why::Purpose),
    ("screening", Why::Purpose),
    ("prevention of", Why::Purpose),
    ("prophylaxis of", Why::Purpose),
    ("prophylaxis for", Why::Purpose),
    ("prophylaxis against", Why::Purpose),
    ("vaccination against", Why::Purpose),
    ("vaccination for", Why::Purpose),
    ("vaccine against", Why::Purpose),
    ("vaccine for", Why::Purpose),
    ("immunization against", Why::Purpose),
    ("immunization for", Why::Purpose),
    ("immunisation against", Why::Purpose),
    ("immunisation for", Why::Purpose),
    ("precautions for", Why::Purpose),
    ("exposure to", Why::Purpose),
    ("susceptibility to", Why::Purpose),
    ("avoid", Why::Purpose),
    ("planning", Why::Purpose),
    ("trying to", Why::Purpose),
    ("trying for", Why::Purpose),
    ("desire for", Why::Purpose),
    ("desires", Why::Purpose),
    ("desiring", Why::Purpose),
    ("wants", Why::Purpose),
    ("wishes for", Why::Purpose),
    ("immune to", Why::Denied),
    ("immunity to", Why::Denied),
    ("家族史", Why::Relative),
    ("family history", Why::Relative),
    ("family hx", Why::Relative),
    ("family medical history", Why::Relative),
    ("maternal history", Why::Relative),
    ("paternal history", Why::Relative),
    ("fhx", Why::Relative),
    ("fh", Why::Relative),
];

/// What stands directly before a drug that is not taken, or that somebody is not allergic to.
pub(super) const BEFORE_DRUGS: &[(&str, Why)] = &[
    ("off", Why::Denied),
    ("tolerates", Why::Denied),
    ("tolerated", Why::Denied),
    ("tolerating", Why::Denied),
    ("can take", Why::Denied),
    ("ok with", Why::Denied),
];

/// Of those the ones after which a colon may stand: "Family history: gout".
pub(super) const HEADINGS: &[&str] =
    &["family history", "family hx", "family medical history", "fhx", "fh", "rule out", "家族史"];

/// Other people.
pub(super) const RELATIVES: &[&str] = &[
    "mother",
    "father",
    "mom",
    "dad",
    "parent",
    "parents",
    "sister",
    "brother",
    "sibling",
    "siblings",
    "grandmother",
    "grandfather",
    "grandparent",
    "aunt",
    "uncle",
    "cousin",
    "son",
    "daughter",
    "wife",
    "husband",
    "spouse",
    "partner",
    "girlfriend",
    "boyfriend",
    "relative",
    "relatives",
];

/// Who is called so in the record of a birth is the person.
pub(super) const MOTHERS: &[&str] = &["mother", "mom"];

/// Whose pregnancy is spoken of in "pregnant wife".
pub(super) const PARTNERS: &[&str] = &["wife", "girlfriend", "partner"];

/// What stands directly behind such a name.
pub(super) const BEHIND: &[(&str, Why)] = &[
    ("ruled out", Why::Denied),
    ("excluded", Why::Denied),
    ("unlikely", Why::Denied),
    ("negative", Why::Denied),
    ("neg", Why::Denied),
    ("nonreactive", Why::Denied),
    ("not detected", Why::Denied),
    ("immune", Why::Denied),
    ("normal", Why::Denied),
    ("阴性", Why::Denied),
    ("正常", Why::Denied),
    ("denied", Why::Denied),
    ("delabeled", Why::Denied),
    ("delabelled", Why::Denied),
    ("screening", Why::Purpose),
    ("screen", Why::Purpose),
    ("prophylaxis", Why::Purpose),
    ("vaccination", Why::Purpose),
    ("vaccine", Why::Purpose),
    ("vaccines", Why::Purpose),
    ("vaccinated", Why::Purpose),
    ("immunization", Why::Purpose),
    ("immunisation", Why::Purpose),
    ("immunized", Why::Purpose),
    ("immunised", Why::Purpose),
    ("precaution", Why::Purpose),
    ("precautions", Why::Purpose),
    ("prevention", Why::Purpose),
    ("planning", Why::Purpose),
    ("family history", Why::Relative),
    ("family hx", Why::Relative),
    ("fhx", Why::Relative),
];

/// What answers a name of its own part: "Pulmonary embolism: ruled out", "Pregnant: no", "gout (excluded)".
pub(super) const ANSWERS: &[&str] = &[
    "no",
    "none",
    "never",
    "absent",
    "not present",
    "rule out",
    "ruled out",
    "excluded",
    "negative",
    "denied",
    "unlikely",
];

/// What stands behind "immune" where it says that of a person.
pub(super) const IMMUNE: &[&str] = &["status", "by", "due", "since", "after", "per"];

/// What looks for something, and of what.
pub(super) const TESTS: &[&str] = &[
    "test",
    "tests",
    "testing",
    "antibody",
    "antibodies",
    "ab",
    "antigen",
    "serology",
    "titer",
    "titre",
    "igg",
    "igm",
    "pcr",
    "rna",
    "dna",
    "surface",
    "core",
    "skin",
    "result",
    "results",
];
pub(super) const SPECIMENS: &[&str] =
    &["urine", "serum", "blood", "home", "rapid", "hcg", "the", "a", "point", "of", "care", "quantitative"];

/// What says that it is over.
pub(super) const OVER: &[&str] = &["resolved", "cured", "healed", "recovered"];

/// What says that it is there once more.
pub(super) const AGAIN: &[&str] = &[
    "again",
    "recurred",
    "recurrent",
    "recurring",
    "recurs",
    "recurrence",
    "relapse",
    "relapsed",
    "relapsing",
    "reoccurred",
    "returned",
];

/// What makes a denial none: "cannot rule out gout".
pub(super) const UNDENIES: &[&str] = &["not", "cannot", "never", "unable"];

/// What may stand between a denial and its name.
pub(super) const BETWEEN: &[&str] = &[
    "any",
    "a",
    "an",
    "the",
    "of",
    "known",
    "history",
    "hx",
    "evidence",
    "sign",
    "signs",
    "symptom",
    "symptoms",
    "documented",
    "current",
    "currently",
    "previous",
    "prior",
    "past",
    "personal",
    "significant",
    "obvious",
    "clear",
    "has",
    "had",
    "have",
    "having",
    "been",
    "is",
    "was",
    "are",
    "were",
    "be",
    "being",
    "with",
    "suffer",
    "suffers",
    "suffered",
    "from",
    "for",
    "to",
    "on",
    "get",
    "getting",
    "become",
    "becoming",
    "develop",
    "developing",
    "diagnosed",
    "diagnosis",
    "longer",
    "ever",
    "either",
    "his",
    "her",
    "their",
    "my",
    "明显",
    "明确",
    "有",
];

/// What may stand between the word for a drug and a denial besides: "not allergic to penicillin".
pub(super) const BETWEEN_DRUGS: &[&str] = &[
    "allergic",
    "allergy",
    "allergies",
    "anaphylaxis",
    "hypersensitivity",
    "intolerance",
    "intolerant",
    "reaction",
    "reactions",
    "drug",
    "status",
    "take",
    "takes",
    "taking",
    "took",
    "use",
    "using",
    "used",
];

/// What may stand there besides where the name is somebody else's, or is only looked for. Where it is denied, such a word
/// leaves open whether all of it is: no severe asthma may be a mild one.
pub(super) const BETWEEN_OTHERS: &[&str] = &[
    "acute",
    "chronic",
    "severe",
    "mild",
    "moderate",
    "active",
    "recent",
    "new",
    "early",
    "onset",
    "recurrent",
    "childhood",
    "possible",
    "suspected",
    "maternal",
    "paternal",
    "premature",
    "strong",
    "other",
    "familial",
    "side",
    "who",
    "died",
    "die",
    "deceased",
    "passed",
    "away",
    "both",
    "younger",
    "older",
    "elder",
    "at",
    "age",
    "encounter",
    "mammogram",
    "mammography",
    "colonoscopy",
    "examination",
    "exam",
    "test",
];

/// What may stand between a name and what is said of it behind it.
pub(super) const BETWEEN_BEHIND: &[&str] =
    &["is", "was", "were", "are", "has", "have", "been", "be", "now", "currently", "virus", "conjugate"];

/// What says that something was before now, and what may stand between that and its name.
pub(super) const EARLIER: &[&str] =
    &["history", "hx", "previous", "prior", "past", "former", "earlier", "last"];
pub(super) const BETWEEN_EARLIER: &[&str] = &[
    "of",
    "the",
    "a",
    "an",
    "any",
    "personal",
    "known",
    "ectopic",
    "molar",
    "tubal",
    "twin",
    "normal",
    "multiple",
    "failed",
    "lost",
    "complicated",
    "uncomplicated",
    "term",
    "preterm",
    "full",
    "severe",
    "mild",
    "one",
    "two",
    "three",
    "four",
    "recurrent",
    "other",
    "complication",
    "complications",
    "procedure",
    "utero",
    "loss",
    "her",
    "with",
    "in",
    "during",
];
