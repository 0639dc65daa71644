//! Phrases that say when a name was so and of whom: history, relatives, and who tells of the patient.

/// Before what is told as history.
pub const PAST: &[&str] = &[
    "history of",
    "past history of",
    "past history",
    "past medical history",
    "past medical history of",
    "medical history",
    "medical history of",
    "past surgical history",
    "pmh",
    "pmh of",
    "pmhx",
    "hx",
    "hx of",
    "h / o",
    "prior history of",
    "previous history of",
    "remote history of",
    "recovered from",
    "in remission :",
    "year ago had",
    "years ago had",
];

/// Adjectives of what was: "old stroke", "resolved pneumonia".
pub const PAST_ADJECTIVES: &[&str] = &["old", "remote", "former", "resolved"];

/// The same, up to a comma.
pub const PAST_NEXT: &[&str] = &["s / p", "status post", "previous", "previously", "prior", "formerly"];

/// Behind it.
pub const PAST_BEFORE: &[&str] = &[
    "in the past",
    "years ago",
    "year ago",
    "months ago",
    "in childhood",
    "as a child",
    "last year",
    "by history",
    "has resolved",
    "have resolved",
    "is resolved",
    "are resolved",
];

/// Before what is denied of the past.
pub const DENIES_PAST: &[&str] = &[
    "no history of",
    "no prior history of",
    "no previous history of",
    "no past history of",
    "no known history of",
    "denies history of",
    "denies any history of",
    "without history of",
    "no hx of",
    "w / o hx",
    "w / o hx of",
    "w / o history of",
    "no h / o",
    "no prior",
    "no previous",
];

/// Before what is told of the family.
pub const FAMILY: &[&str] = &[
    "family history",
    "family history of",
    "family medical history",
    "family hx",
    "family hx of",
    "fam hx",
    "fam hx of",
    "fhx",
    "fhx of",
    "fh of",
    "fh :",
    "fh",
    "fmh",
    "f / h",
    "family :",
    "mo :",
    "fa :",
    "sis :",
    "bro :",
    "family member",
    "family members",
    "maternal history of",
    "paternal history of",
];

/// Before what is denied of the family.
pub const DENIES_FAMILY: &[&str] = &[
    "no family history",
    "no family history of",
    "no one in the family",
    "no one in her family",
    "no one in his family",
    "nobody in the family",
    "nobody in her family",
    "nobody in his family",
    "no family hx of",
    "no fhx of",
    "denies family history of",
];

/// Behind what is told of the family.
pub const FAMILY_BACK: &[&str] = &[
    "in the family",
    "in family",
    "in her family",
    "in his family",
    "runs in the family",
    "run in the family",
    "runs in family",
];

/// Headings that begin a section wherever they stand, a colon behind them.
pub const HEADINGS: &[&str] = &[
    "fh",
    "fhx",
    "f / h",
    "fmh",
    "family history",
    "family medical history",
    "family hx",
    "fam hx",
    "sh",
    "shx",
    "social history",
    "social hx",
    "hpi",
    "history of present illness",
    "pmh",
    "pmhx",
    "past medical history",
    "past medical hx",
    "past history",
    "medical history",
    "psh",
    "pshx",
    "past surgical history",
    "surgical history",
    "ros",
    "review of systems",
    "pe",
    "physical exam",
    "physical examination",
    "exam",
    "examination",
    "vitals",
    "vital signs",
    "vs",
    "meds",
    "medications",
    "current medications",
    "home medications",
    "allergies",
    "allergy",
    "labs",
    "laboratory",
    "imaging",
    "assessment",
    "assessment and plan",
    "a / p",
    "plan",
    "impression",
    "cc",
    "chief complaint",
    "hospital course",
    "diagnosis",
    "diagnoses",
    "dx",
    "ddx",
    "problem list",
    "subjective",
    "objective",
    "immunizations",
    "obstetric history",
];

/// Relatives, and those who live with the patient.
pub const RELATIVES: &[&str] = &[
    "mother",
    "father",
    "mom",
    "mum",
    "dad",
    "parents",
    "parent",
    "brother",
    "brothers",
    "sister",
    "sisters",
    "sibling",
    "siblings",
    "half - brother",
    "half - sister",
    "aunt",
    "aunts",
    "uncle",
    "uncles",
    "cousin",
    "cousins",
    "niece",
    "nephew",
    "grandmother",
    "grandfather",
    "grandparent",
    "grandparents",
    "grandma",
    "grandpa",
    "mgm",
    "mgf",
    "pgm",
    "pgf",
    "son",
    "sons",
    "daughter",
    "daughters",
    "grandson",
    "granddaughter",
    "wife",
    "husband",
    "spouse",
    "relative",
    "relatives",
];

/// People who are no relatives.
pub const OTHERS: &[&str] = &[
    "friend",
    "friends",
    "roommate",
    "coworker",
    "co - worker",
    "coworkers",
    "neighbor",
    "neighbour",
    "classmate",
    "classmates",
    "boyfriend",
    "girlfriend",
];

/// The patient.
pub const PATIENT: &[&str] = &["patient", "pt", "patients"];

/// What people do who tell of the patient: "mother reports fever".
pub const INFORMS: &[&str] = &[
    "reports",
    "reported",
    "report",
    "reporting",
    "says",
    "said",
    "states",
    "stated",
    "notes",
    "noted",
    "noticed",
    "notices",
    "denies",
    "denied",
    "brought",
    "brings",
    "gave",
    "gives",
    "administered",
    "observed",
    "describes",
    "described",
    "believes",
    "thinks",
    "thought",
    "found",
    "saw",
    "witnessed",
    "mentions",
    "mentioned",
    "endorses",
    "endorsed",
    "confirms",
    "confirmed",
    "requests",
    "wants",
    "recalls",
    "recalled",
];

/// What they do or are whatever stands before the word.
pub const INFORMS_ALWAYS: &[&str] =
    &["concerned", "worried", "told", "asked", "called", "calls", "accompanied", "bedside", "present"];

/// Before a person who tells of the patient or is named beside: "per mother", "lives with wife".
pub const BESIDE: &[&str] = &["per", "by", "from", "via", "with", "to"];

/// Between a person and what stands before: "in her older sister".
pub const DETERMINERS: &[&str] = &[
    "her", "his", "their", "my", "our", "your", "the", "a", "an", "one", "both", "maternal", "paternal",
    "older", "elder", "younger", "twin", "half", "first", "second", "degree", "-", "great", "grand", "s",
    "'", "’", "patient", "late", "deceased", "several", "multiple", "other",
];

/// So many that they are those that are told of: "two brothers".
pub const NUMBERS: &[&str] = &["two", "three", "four", "five", "six", "2", "3", "4", "5", "6"];

/// Whose a person is.
pub const POSSESSIVES: &[&str] = &["her", "his", "their", "my", "our", "your", "patient", "whose"];

/// Whether the words before a colon are a heading's.
pub fn is_heading(label: &[&str]) -> bool {
    HEADINGS.iter().any(|heading| heading.split(' ').eq(label.iter().copied()))
}
