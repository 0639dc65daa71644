//! Phrases that suppose a name, ask for it or say that it may come.

/// Before a name, or a list of names, that is supposed.
pub const SUPPOSES: &[&str] = &[
    "suspicion of",
    "suspicion for",
    "suspicious for",
    "may",
    "might",
    "could",
    "suggest",
    "suggests",
    "suggesting",
    "suggestive of",
    "suggested",
    "concern for",
    "concerning for",
    "concerned for",
    "consistent with",
    "compatible with",
    "cannot exclude",
    "can not exclude",
    "cannot rule out",
    "can not rule out",
    "to rule out",
    "to exclude",
    "r / o",
    "question of",
    "appears",
    "query",
    "perhaps",
    "whether",
    "differential diagnosis",
    "differential includes",
    "ddx",
    "if",
    "unless",
    "in case of",
    "watch for",
    "monitor for",
    "monitored for",
    "monitoring for",
    "return for",
    "evaluate for",
    "assess for",
    "screen for",
    "screened for",
    "screening for",
    "risk of",
    "risk for",
    "prevent",
    "prevents",
    "prevention of",
    "prophylaxis for",
    "prophylaxis of",
    "prophylaxis against",
    "vaccinated against",
    "vaccination against",
    "immunized against",
];

/// The same, up to a comma.
pub const SUPPOSES_NEXT: &[&str] = &[
    "possible",
    "possibly",
    "probable",
    "probably",
    "suspected",
    "suspect",
    "presumed",
    "presumably",
    "presumptive",
    "likely",
    "potential",
    "potentially",
    "questionable",
];

/// Behind a name, or a list of names, that is supposed.
pub const SUPPOSED: &[&str] = &[
    "is suspected",
    "was suspected",
    "are suspected",
    "were suspected",
    "cannot be excluded",
    "can not be excluded",
    "cannot be ruled out",
    "can not be ruled out",
    "not ruled out",
    "not excluded",
    "not been ruled out",
    "not been excluded",
    "not yet ruled out",
    "is possible",
    "is likely",
    "is probable",
    "is considered",
    "was considered",
];

/// Right behind one.
pub const SUPPOSED_NEAR: &[&str] = &[
    "suspected",
    "possible",
    "prophylaxis",
    "precautions",
    "screening",
    "screen",
    "vaccine",
    "vaccination",
    "( ? )",
];

/// Before what is held to be not so.
pub const DENIES_AND_SUPPOSES: &[&str] = &["rule out", "unlikely", "doubt"];

/// Right behind it.
pub const UNLIKELY: &[&str] =
    &["unlikely", "is unlikely", "was unlikely", "seems unlikely", "felt to be unlikely"];
