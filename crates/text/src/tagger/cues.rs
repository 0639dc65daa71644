//! Phrases that say something of a name near them, and those that end what they say.
//!
//! All of them are our own, and English. A phrase is written as [`super::tokens`] cuts it, words apart by blanks; where
//! several begin at one place the longest counts, so that "family history of" is no "history of".

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a cue says of a name: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Says(pub u8);

impl Says {
    /// It is not so.
    pub const DENIED: Says = Says(1);
    /// It may be so, or may become so.
    pub const SUPPOSED: Says = Says(2);
    /// It was so.
    pub const PAST: Says = Says(4);
    /// It is so of a relative.
    pub const FAMILY: Says = Says(8);
    /// It is so of somebody else.
    pub const OTHER: Says = Says(16);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Says) -> Says {
        Says(self.0 | other.0)
    }

    /// Whether it says any of `other`.
    pub const fn any(self, other: Says) -> bool {
        self.0 & other.0 > 0
    }
}

/// What a phrase does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Speaks of what follows it.
    Ahead(Says),
    /// Speaks of what follows it up to a comma.
    Next(Says),
    /// Speaks of what follows it, unless a name begins with it: "absence of the iris".
    Begins(Says),
    /// Speaks of what stands before it.
    Back(Says),
    /// Speaks of what stands right before it.
    Near(Says),
    /// A person who may be the one that is spoken of.
    Person(Says),
    /// Looks like a cue and is none.
    Nothing,
    /// Ends what was said before it, but not of whom.
    Turns,
    /// Begins a new statement behind a comma, "and" or "or".
    Resumes,
    /// Begins a new statement of the patient.
    Returns,
    /// The patient.
    Patient,
}

const DENIES: &[&str] = &[
    "no",
    "not",
    "without",
    "denies",
    "denied",
    "deny",
    "denying",
    "negative for",
    "negative for the following",
    "denies the following",
    "denies any of the following",
    "never",
    "no evidence of",
    "no signs of",
    "no sign of",
    "no symptoms of",
    "no complaints of",
    "no complaint of",
    "rules out",
    "ruled out",
    "fails to reveal",
    "fails to show",
    "failed to show",
    "neither",
    "nor",
    "nil",
    "hasn ' t",
    "haven ' t",
    "hadn ' t",
    "doesn ' t",
    "don ' t",
    "didn ' t",
    "isn ' t",
    "wasn ' t",
    "hasn ’ t",
    "haven ’ t",
    "hadn ’ t",
    "doesn ’ t",
    "don ’ t",
    "didn ’ t",
    "isn ’ t",
    "wasn ’ t",
];
const DENIES_IN_A_NAME: &[&str] = &["absence of", "free of", "lack of"];
const DENIED: &[&str] = &[
    "was ruled out",
    "were ruled out",
    "is ruled out",
    "has been ruled out",
    "have been ruled out",
    "was excluded",
    "were excluded",
    "has been excluded",
    "absent",
    "not seen",
    "not found",
    "not present",
    "was negative",
    "were negative",
    "is negative",
];
const DENIED_NEAR: &[&str] = &[
    "denied",
    ": denied",
    ": denies",
    ": no",
    ": none",
    ": nil",
    ": negative",
    ": absent",
    "( - )",
    "- ve",
    "- negative",
    "negative",
    "ruled out",
    "excluded",
];
const SUPPOSES: &[&str] = &[
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
const SUPPOSED: &[&str] = &[
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
const SUPPOSED_NEAR: &[&str] = &[
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
const DENIES_AND_SUPPOSES: &[&str] = &["rule out", "unlikely", "doubt"];
const UNLIKELY: &[&str] =
    &["unlikely", "is unlikely", "was unlikely", "seems unlikely", "felt to be unlikely"];
const PAST: &[&str] = &[
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
];
const PAST_BEFORE: &[&str] = &[
    "in the past",
    "years ago",
    "year ago",
    "months ago",
    "in childhood",
    "as a child",
    "last year",
    "by history",
];
const DENIES_PAST: &[&str] = &[
    "no history of",
    "no prior history of",
    "no previous history of",
    "no past history of",
    "no known history of",
    "denies history of",
    "denies any history of",
    "without history of",
    "no hx of",
    "no h / o",
    "no prior",
    "no previous",
];
const FAMILY: &[&str] = &[
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
    "family member",
    "family members",
    "maternal history of",
    "paternal history of",
];
const DENIES_FAMILY: &[&str] = &[
    "no family history",
    "no family history of",
    "no family hx of",
    "no fhx of",
    "denies family history of",
];
const FAMILY_BACK: &[&str] = &[
    "in the family",
    "in family",
    "in her family",
    "in his family",
    "runs in the family",
    "run in the family",
    "runs in family",
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
const OTHERS: &[&str] = &[
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
const NOTHING: &[&str] = &[
    "no increase",
    "no change",
    "no improvement",
    "no relief",
    "no doubt",
    "not only",
    "not necessarily",
    "no further",
    "not certain",
    "not cause",
    "no longer",
    "no other",
    "no known cause",
    "without relief",
    "without improvement",
    "not improving",
    "not improved",
    "not relieved",
    "not resolved",
    "not controlled",
    "not well controlled",
    "the following",
    "history of present illness",
    "history of the present illness",
    "natural history",
    "natural history of",
    "case history",
    "case history of",
    "prior to",
    "previously healthy",
    "previously well",
    "previously described",
    "previously reported",
    "previously shown",
    "previously published",
    "previous studies",
    "previous study",
    "previous report",
    "previous reports",
    "prior studies",
    "prior reports",
    "as if",
    "mother - to - child",
    "daughter cell",
    "daughter cells",
    "sister chromatid",
    "single parent",
];
const TURNS: &[&str] = &[
    "but",
    "however",
    "although",
    "though",
    "except",
    "yet",
    "which",
    ";",
    "who",
    "because",
    "therefore",
    "apart",
    "after",
    "following",
    "during",
    "despite",
    "due to",
    "secondary to",
    "owing to",
    "caused by",
    "attributed to",
    "until",
    "since",
];
const RESUMES: &[&str] = &[
    "has",
    "had",
    "have",
    "is",
    "was",
    "are",
    "were",
    "reports",
    "reported",
    "endorses",
    "admits",
    "states",
    "developed",
    "experienced",
    "noted",
    "found",
    "received",
    "takes",
    "taking",
    "started",
    "showed",
    "shows",
    "reveals",
    "revealed",
    "positive",
    "then",
    "there",
    "now",
    "stop",
    "call",
    "return",
    "discontinue",
    "seek",
    "hold",
    "start",
    "give",
    "take",
    "continue",
    "treated",
    "given",
    "he",
    "she",
    "they",
    "i",
    "we",
    "it",
];
const RETURNS: &[&str] = &[
    "presents",
    "presented",
    "presenting",
    "complains",
    "complained",
    "complaining",
    "c / o",
    "admitted",
    "came",
    "here with",
    "here for",
    "now with",
    "currently",
];

const SUPPOSES_NEXT: &[&str] = &[
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

const PAST_NEXT: &[&str] = &["s / p", "status post", "previous", "previously", "prior", "formerly"];

const PATIENT: &[&str] = &["patient", "pt", "patients"];

/// The words of a phrase, and what it does.
type Phrase = (Vec<&'static str>, Does);

/// Every phrase with what it does, by its first word.
static PHRASES: LazyLock<HashMap<&str, Vec<Phrase>>> = LazyLock::new(|| {
    let (denied, supposed, past) = (Says::DENIED, Says::SUPPOSED, Says::PAST);
    let groups = [
        (NOTHING, Does::Nothing),
        (TURNS, Does::Turns),
        (RESUMES, Does::Resumes),
        (RETURNS, Does::Returns),
        (PATIENT, Does::Patient),
        (DENIES, Does::Ahead(denied)),
        (DENIES_IN_A_NAME, Does::Begins(denied)),
        (SUPPOSES, Does::Ahead(supposed)),
        (SUPPOSES_NEXT, Does::Next(supposed)),
        (DENIES_AND_SUPPOSES, Does::Ahead(denied.and(supposed))),
        (PAST, Does::Ahead(past)),
        (PAST_NEXT, Does::Next(past)),
        (DENIES_PAST, Does::Ahead(denied.and(past))),
        (FAMILY, Does::Ahead(Says::FAMILY)),
        (DENIES_FAMILY, Does::Ahead(denied.and(Says::FAMILY))),
        (DENIED, Does::Back(denied)),
        (SUPPOSED, Does::Back(supposed)),
        (PAST_BEFORE, Does::Back(past)),
        (FAMILY_BACK, Does::Back(Says::FAMILY)),
        (DENIED_NEAR, Does::Near(denied)),
        (SUPPOSED_NEAR, Does::Near(supposed)),
        (UNLIKELY, Does::Near(denied.and(supposed))),
        (RELATIVES, Does::Person(Says::FAMILY)),
        (OTHERS, Does::Person(Says::OTHER)),
    ];
    let mut phrases: HashMap<&str, Vec<(Vec<&str>, Does)>> = HashMap::new();
    for (group, does) in groups {
        for phrase in group {
            let words: Vec<&str> = phrase.split(' ').collect();
            phrases.entry(words[0]).or_default().push((words, does));
        }
    }
    phrases.values_mut().for_each(|of| of.sort_by_key(|(words, _)| std::cmp::Reverse(words.len())));
    phrases
});

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
/// Cues that part a name which a tagger found around them. "Without" is none: "migraine without aura".
pub const PARTS: &[&str] = &["no", "denies", "denied", "denying", "deny", "negative"];
/// Before "NO" where it is nitric oxide.
pub const OXIDE_AFTER: &[&str] = &["of", "by", "(", "inhaled", "exhaled", "endothelial", "-", "/"];
/// Behind "NO" where it is nitric oxide.
pub const OXIDE_BEFORE: &[&str] = &[
    "synthase",
    "synthases",
    "synthesis",
    "donor",
    "donors",
    "production",
    "release",
    "generation",
    "formation",
    "inhibitor",
    "inhibitors",
    "bioavailability",
    "pathway",
    "signaling",
    "signalling",
    "level",
    "levels",
    "system",
    "-",
    ")",
    ",",
    ".",
    ";",
    "/",
    "and",
    "or",
    "in",
    "is",
    "was",
    "has",
    "may",
    "by",
    "from",
    "on",
    "to",
];

/// The longest phrase that begins at `at`: its words, and everything that it may do.
pub fn longest(lowers: &[&str], at: usize) -> Option<(usize, Vec<Does>)> {
    let of = PHRASES.get(lowers[at])?;
    let mut begins = of.iter().filter(|(words, _)| lowers[at..].starts_with(words)).peekable();
    let length = begins.peek()?.0.len();
    Some((length, begins.take_while(|(words, _)| words.len() == length).map(|(_, does)| *does).collect()))
}
