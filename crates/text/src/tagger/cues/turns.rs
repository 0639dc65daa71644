//! Where what was said of the names before ends: words that turn a sentence, that begin a statement, or that say of a name
//! that it is there.

/// Part a sentence: what was denied before them is not so behind them.
pub const TURNS: &[&str] = &[
    "but",
    "however",
    "although",
    "though",
    "except",
    "yet",
    ";",
    "apart from",
    "other than",
    "with the exception of",
    "with exception of",
    "besides",
    "aside from",
    "save for",
    "but for",
    "excepting",
];

/// Tell when, why or of which: what was denied before them does not reach over them either.
pub const CIRCUMSTANCES: &[&str] = &[
    "which",
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

/// Begin a statement behind a comma, "and" or "or".
pub const RESUMES: &[&str] = &[
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
    "reporting",
    "endorsing",
    "endorsed",
    "admitting",
    "reveal",
    "does have",
    "pertinent positives",
    "positives",
];

/// Begin a statement of the patient wherever they stand.
pub const RETURNS: &[&str] = &[
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
    "complaining of",
    "complains of",
    "complained of",
    "p / w",
    "presents with",
    "presented with",
];

/// Say behind a name that it is there, also where a comma stands before the name: "no fever, cough persists".
pub const AFFIRMS: &[&str] = &[
    "developed",
    "began",
    "begins",
    "started",
    "starts",
    "persists",
    "persisted",
    "persisting",
    "continues",
    "continued",
    "worsened",
    "worsens",
    "increased",
    "improved",
    "improves",
    "resolved",
    "occurred",
    "occurs",
    "appeared",
    "appears",
    "remains",
    "remained",
    "recurred",
    "recurs",
    "returned",
    "worse",
    "has resolved",
    "have resolved",
];

/// Say so, too, but at the end of a list they speak of the list: "no murmurs, rubs, gallops noted".
pub const NOTED: &[&str] = &[
    "is", "was", "are", "were", "noted", "present", "palpable", "positive", "evident", "apparent", "visible",
    "audible", "observed", "elevated", "+ ve",
];

/// Begin what is said of a name by the way: "no fever, pain when the leg is moved".
pub const SUBORDINATES: &[&str] = &["when", "while", "whilst", "as", "that", "if", "where", "before"];

/// Behind "since" where something has gone on.
pub const DAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "yesterday",
    "this",
    "last",
    "noon",
    "midnight",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Of how long something has gone on.
pub const UNITS: &[&str] = &[
    "min", "mins", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day", "days", "night", "nights", "wk",
    "wks", "week", "weeks", "mo", "mos", "month", "months", "yr", "yrs", "year", "years",
];
/// By what something is noted where a list of it is: "no masses, tenderness noted on exam".
pub const EXAMS: &[&str] =
    &["exam", "examination", "imaging", "ct", "mri", "auscultation", "palpation", "inspection", "review"];
/// Behind a verb that takes nothing: "seizures have stopped since", but not "has stopped smoking".
pub const RESTS: &[&str] = &["since", "after", "following", "now", "completely", "entirely", "when", "once"];
/// What something comes from, which nobody says of what is not there.
pub const CAUSES: &[&str] = &["due", "secondary", "owing", "caused", "attributed"];
/// Begin a member of a list that is there: "no fever, severe headache". A list that goes on with "or" is denied.
pub const INTRODUCES: &[&str] = &[
    "having",
    "known",
    "only",
    "just",
    "some",
    "mild",
    "moderate",
    "severe",
    "slight",
    "marked",
    "profuse",
    "occasional",
    "intermittent",
    "constant",
    "persistent",
    "ongoing",
    "chronic",
    "worsening",
    "increasing",
    "new",
    "sudden",
    "acute",
    "old",
    "left",
    "right",
    "bilateral",
    "small",
    "large",
];
/// When something is so.
pub const TODAY: &[&str] = &["today", "yesterday", "tonight", "overnight", "this", "twice"];
/// Behind a value.
pub const MEASURES: &[&str] = &["bpm", "mmhg", "mm", "f", "c", "°", "beats", "times"];
/// Lead from what is denied to what is there: "no bleeding on warfarin".
pub const LEADS_ON: &[&str] = &["on", "with", "to", "from", "for", "by", "under", "while", "since"];
/// What is looked for stands before them: "malaria smear negative".
pub const TESTS: &[&str] = &[
    "test",
    "tests",
    "testing",
    "smear",
    "antibody",
    "antibodies",
    "antigen",
    "ab",
    "ag",
    "pcr",
    "serology",
    "culture",
    "cultures",
    "titer",
    "titers",
    "igg",
    "igm",
    "swab",
];
/// What is treated stands before them: "no asthma meds".
pub const MEDICINES: &[&str] =
    &["meds", "medication", "medications", "medicine", "medicines", "inhaler", "pills"];
