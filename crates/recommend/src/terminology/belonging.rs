//! The entries among conditions that belong into other lists, too: lists of problems hold allergies ("penicillin allergy since
//! childhood", Z88.0) and what somebody takes ("long term (current) use of anticoagulants", Z79.01). Codes are asked before
//! words, and a known drug beside a word of an allergy, or of taking it, counts there at least as partly understood.

use super::adverse::is_anaphylaxis;
use super::conditions::is_qualifier;
use super::harms::{harmed_by, is_harm};
use super::mentions;
use super::normal::{self, is_dose_word, normalise};
use super::reading::{Found, Reading};
use super::together::is_coded;
use super::wording::{WORDING, WORDING_ZH};
use super::{Field, Meaning, TermKind, Terminology, Unclear, is_code};

/// What an entry among conditions is.
#[derive(Debug, Clone, Default)]
pub struct Belonging {
    /// An allergy, and what it is to.
    pub allergy: Option<Meaning>,
    /// Something that is taken.
    pub medication: Option<Meaning>,
    /// A condition. `None` of what belongs elsewhere and names none.
    pub condition: Option<Meaning>,
}

/// Beginnings of words by which a drug is one that somebody is allergic to.
const ALLERGIC: [&str; 5] = ["anaphyla", "hypersensitiv", "adverse", "过敏", "皮试阳性"];
/// The same of words that may be about something else where the drug is one that is taken.
const REACTIONS: [&str; 13] = [
    "intoleran",
    "rash",
    "hives",
    "urticaria",
    "swelling",
    "reaction",
    "eruption",
    "exanthem",
    "stevens",
    "necrolysis",
    "pruritus",
    "不耐受",
    "皮疹",
];
/// Words by which a drug is one that is taken.
const TAKING: [&str; 23] = [
    "use",
    "uses",
    "using",
    "used",
    "taking",
    "takes",
    "took",
    "therapy",
    "treatment",
    "treated",
    "anticoagulated",
    "anticoagulation",
    "maintained",
    "maintenance",
    "prescribed",
    "receiving",
    "receives",
    "replacement",
    "starting",
    "服用",
    "治疗",
    "使用",
    "口服",
];
/// Other words that say nothing around them.
const SILENT: [&str; 21] = [
    "long",
    "finding",
    "situation",
    "substance",
    "status",
    "term",
    "chronic",
    "systemic",
    "other",
    "multiple",
    "type",
    "known",
    "reported",
    "confirmed",
    "childhood",
    "child",
    "since",
    "after",
    "unknown",
    "ago",
    "personal",
];
/// What people are allergic to that is no drug and holds none.
const NO_DRUG: [&str; 36] = [
    "seasonal",
    "environmental",
    "perennial",
    "pollen",
    "grass",
    "grass pollen",
    "tree pollen",
    "tree",
    "birch",
    "birch pollen",
    "ragweed",
    "dust",
    "house dust",
    "dust mite",
    "house dust mite",
    "mite",
    "mold",
    "mould",
    "pet",
    "cat",
    "dog",
    "animal",
    "animal dander",
    "food",
    "insect",
    "insect sting",
    "bee sting",
    "wasp sting",
    "nickel",
    "contact",
    "respiratory",
    "skin",
    "eye",
    "nasal",
    "sun",
    "cold",
];

/// What was read of one text of an entry.
struct Said<'a> {
    text: &'a str,
    reading: Reading,
    /// Whether all of it is a condition.
    condition: bool,
    /// Whether all of it is understood.
    complete: bool,
    /// Whether it says that somebody is allergic to something.
    reacts: bool,
    /// What has done the harm that it names, where that alone says which drug.
    harmed: Vec<&'static str>,
    /// Whether it tells of harm that a drug has done.
    harm: bool,
}

impl Terminology {
    /// What an entry among conditions is, by its words, its codes and the other words that were recorded with it.
    pub fn belonging<'a>(
        &self,
        written: &'a str,
        codes: impl IntoIterator<Item = &'a String>,
        others: impl IntoIterator<Item = &'a String>,
    ) -> Belonging {
        let codes: Vec<&String> = codes.into_iter().collect();
        let others: Vec<&String> = others.into_iter().collect();
        let texts = std::iter::once(written).chain(others.iter().map(|text| text.as_str()));
        let (mut coded, worded): (Vec<&str>, Vec<&str>) =
            texts.partition(|text| is_code(text) || is_coded(text) || codes.iter().any(|code| code == text));
        coded.extend(codes.iter().map(|code| code.as_str()));
        let said: Vec<Said> = worded.into_iter().map(|text| self.said(text)).collect();

        let allergic =
            coded.iter().any(|code| self.is_allergy_code(code)) || said.iter().any(|said| said.reacts);
        let taken: Vec<Meaning> = coded.iter().filter_map(|code| self.taken_code(code)).collect();
        let takes = |said: &&Said| !said.condition && self.takes(said);
        let (codes, others) = (|| codes.iter().copied(), || others.iter().copied());

        let mut belonging = Belonging::default();
        if allergic {
            let base = self.understand_coded(Field::Allergy, written, codes(), others());
            belonging.allergy = Some(self.of_texts(Field::Allergy, base, &coded, &said));
        }
        let of_codes =
            coded.iter().flat_map(|code| harmed_by(self.understand(Field::Condition, code).names.iter()));
        for drug in of_codes.chain(said.iter().flat_map(|said| said.harmed.iter().copied())) {
            let allergy =
                belonging.allergy.get_or_insert_with(|| Meaning { known: true, ..Meaning::default() });
            let (known, partly) = (allergy.known, allergy.partly);
            let named = known || partly;
            allergy.merge(self.understand(Field::Allergy, drug));
            (allergy.known, allergy.partly) = (known, partly || !named);
        }
        if !taken.is_empty() || said.iter().any(|said| takes(&said)) {
            let mut meaning = Meaning::default();
            taken.into_iter().for_each(|taken| meaning.merge(taken));
            for said in said.iter().filter(takes) {
                // Of an allergy and a drug that is taken, each is what it is.
                let mixed = said.reacts && said.reading.counted(true).any(|found| found.taken);
                let mut drugs =
                    self.of_found(said.reading.counted(true).filter(|found| !mixed || found.taken));
                (drugs.known, drugs.partly) = (said.complete, !said.complete);
                if !said.complete {
                    meaning.unclear.push(Unclear::of(said.text, &drugs));
                }
                meaning.merge(drugs);
            }
            meaning.known = meaning.unclear.is_empty();
            meaning.partly = !meaning.known;
            belonging.medication = Some(meaning);
        }
        let mut condition = self.understand_coded(Field::Condition, written, codes(), others());
        let elsewhere = belonging.allergy.is_some() || belonging.medication.is_some();
        let beside = self.of_found(said.iter().flat_map(|said| said.reading.counted(false)));
        if elsewhere && !beside.names.is_empty() {
            let known = condition.known;
            if !known && !condition.partly {
                condition = Meaning::default();
            }
            condition.merge(Meaning { known, partly: !known, ..beside });
        }
        if elsewhere && condition.partly && said.iter().all(|said| said.complete || said.condition) {
            (condition.known, condition.partly) = (true, false);
        }
        belonging.condition =
            Some(condition).filter(|condition| !elsewhere || condition.known || condition.partly);
        belonging
    }

    fn said<'a>(&self, text: &'a str) -> Said<'a> {
        let normal = normalise(text);
        let meaning = self.understand(Field::Condition, text);
        let condition = meaning.known && !meaning.names.is_empty();
        // Nothing of what is wholly a condition belongs elsewhere.
        let reading = match condition {
            true => Reading::default(),
            false => self.read(&normal, true, says_nothing),
        };
        let harmed = match condition {
            true => harmed_by(meaning.names.iter()),
            false => harmed_by(reading.counted(false).flat_map(|found| &found.names)),
        };
        let complete = !reading.left && reading.found.iter().any(|found| !found.denied);
        let harm = self.tells_of_harm(&normal);
        let mut said = Said { text, reading, condition, complete, reacts: false, harmed, harm };
        said.reacts = self.reacts(&said, &normal);
        said
    }

    /// Whether all of a text is understood in this list, and names something.
    fn names_all(&self, field: Field, text: &str) -> bool {
        let meaning = self.understand(field, text);
        meaning.known && !meaning.names.is_empty()
    }

    /// Z88 of ICD-10 is an allergy also where it does not say to which drug ("other antibiotic agents").
    fn is_allergy_code(&self, code: &str) -> bool {
        let bare = bare(code);
        let taken = bare.starts_with("z79");
        bare.starts_with("z88")
            || is_anaphylaxis(&bare)
            || !taken && self.names_all(Field::Allergy, code) && !self.names_all(Field::Condition, code)
    }

    /// Z79: long term drug therapy.
    fn taken_code(&self, code: &str) -> Option<Meaning> {
        let meaning = self.understand(Field::Medication, code);
        (bare(code).starts_with("z79") && meaning.known && !meaning.names.is_empty()).then_some(meaning)
    }

    /// Whether a text says that somebody is allergic to something, or was harmed by it. `normal` are its words.
    fn reacts(&self, said: &Said, normal: &str) -> bool {
        if said.condition {
            return false;
        }
        let begins = |word: &String, list: &[&str]| {
            list.iter().any(|start| word.starts_with(start) || !start.is_ascii() && word.contains(start))
        };
        let words = &said.reading.words;
        let says = |wanted: &str| words.iter().any(|word| word == wanted);
        // Of a test of the skin that finds something.
        let tested = says("skin") && (says("test") || says("testing")) && says("positive");
        let allergic = tested || words.iter().any(|word| begins(word, &ALLERGIC) || word.contains("allerg"));
        let unclear = said.harm
            || words.iter().any(|word| begins(word, &REACTIONS))
            || said
                .reading
                .counted(false)
                .any(|found| found.names.iter().any(|name| name.as_ref() == "angioedema"));
        let counted = || said.reading.counted(true);
        if counted().next().is_some() {
            let drug = counted().any(|found| self.is_drug(found));
            let whole = self.names_all(Field::Allergy, said.text);
            // Who takes it is not said to be allergic to it, unless another word says so.
            let not_taken = counted().any(|found| !found.taken);
            let takes = takes_word(words) || !not_taken;
            return match drug {
                true => allergic && not_taken || unclear && !takes || whole && !takes,
                // What else people are allergic to.
                false => whole || allergic,
            };
        }
        if said.reading.found.iter().any(|found| found.drug) {
            return false;
        }
        // An allergy to what nobody knows.
        let left = normal::without_wording(normal);
        let no_drug = NO_DRUG.contains(&normal::singular(&left).as_str());
        let named = ["allerg", "anaphyla", "hypersensitiv", "adverse reaction"]
            .iter()
            .any(|word| normal.contains(word));
        left != normal && !left.is_empty() && named && !says_allergic(&left) && !no_drug
    }

    /// Whether a text says that a known drug is taken. A drug alone may be either.
    fn takes(&self, said: &Said) -> bool {
        let drugs = || said.reading.counted(true).filter(|found| self.is_drug(found));
        if drugs().next().is_none() {
            return false;
        }
        let alone = said.complete && said.reading.counted(false).next().is_none();
        let bare = alone
            && said.reading.words.iter().all(|word| {
                !word.contains("allerg")
                    && !REACTIONS.iter().chain(&ALLERGIC).any(|start| word.starts_with(start))
                    && !word.contains("过敏")
            });
        drugs().any(|found| found.taken)
            || takes_word(&said.reading.words) && !said.reacts
            || bare && !said.harm
    }

    fn is_drug(&self, found: &Found) -> bool {
        let kind = |name| self.nodes.get(name).map(|node| node.kind);
        found.names.iter().any(|name| matches!(kind(name), Some(TermKind::Drug | TermKind::Class)))
    }

    fn of_found<'a>(&self, found: impl Iterator<Item = &'a Found>) -> Meaning {
        let mut meaning = Meaning::default();
        found.flat_map(|found| &found.names).for_each(|name| self.explain(name, &mut meaning));
        meaning
    }

    /// What is understood of an entry in a list, where some of its texts name conditions beside drugs, or deny some.
    fn of_texts(&self, field: Field, base: Meaning, coded: &[&str], said: &[Said]) -> Meaning {
        let aside = |found: &Found| found.drug && (found.denied || found.taken);
        let denies = said.iter().any(|said| said.reading.found.iter().any(aside));
        let read = |unclear: &Unclear| {
            said.iter().any(|said| said.text == unclear.text && (said.complete || said.condition))
        };
        let complete = base.unclear.iter().all(read);
        if base.known && !denies || base.partly && !denies && !complete {
            return base;
        }
        let mut meaning = self
            .of_found(said.iter().flat_map(|said| said.reading.counted(true)).filter(|found| !found.taken));
        for code in coded {
            let of_code = self.understand(field, code);
            if of_code.known {
                meaning.merge(of_code);
            }
        }
        if meaning.names.is_empty() {
            return base;
        }
        (meaning.known, meaning.partly) = (complete, !complete);
        if !complete {
            meaning.unclear = base.unclear;
            meaning.unexplained = base.unexplained;
        }
        meaning
    }
}

fn bare(code: &str) -> String {
    let normal = normalise(code);
    normal.rsplit(['|', ':', '#', '/', ' ']).next().unwrap_or_default().to_owned()
}

fn takes_word(words: &[String]) -> bool {
    let says = |wanted: &str| words.iter().any(|word| word == wanted);
    let long_term = says("long") && says("term");
    long_term
        || words.iter().any(|word| {
            TAKING.iter().any(|taking| word == taking || !taking.is_ascii() && word.contains(taking))
        })
}

/// Whether a word says nothing of which drug or condition is meant.
fn says_nothing(word: &str) -> bool {
    let one = normal::singular(word);
    let listed = |list: &[&str]| list.contains(&word) || list.contains(&one.as_str());
    let chinese = || {
        let mut rest = word.to_owned();
        for wording in WORDING_ZH
            .iter()
            .chain(TAKING.iter().chain(&REACTIONS).filter(|word| !word.is_ascii()))
            .chain(&["长期", "正在", "目前", "史"])
        {
            rest = rest.replace(wording, "");
        }
        rest.trim().is_empty()
    };
    is_qualifier(word)
        || listed(WORDING)
        || listed(&TAKING)
        || listed(&SILENT)
        || listed(&NO_DRUG)
        || is_dose_word(word)
        || is_dose_word(&one)
        || word.starts_with("allerg")
        || ALLERGIC.iter().chain(&REACTIONS).any(|stem| stem.is_ascii() && word.starts_with(stem))
        || is_harm(word)
        || (!word.is_ascii() && chinese())
        || mentions::is_all_wording(word)
}

/// Whether words name no substance but a disease: "allergic rhinitis".
fn says_allergic(words: &str) -> bool {
    words.split(' ').any(|word| ALLERGIC_DISEASES.contains(&word) || word.starts_with("allerg"))
}

/// Diseases that are called allergic.
pub(super) const ALLERGIC_DISEASES: [&str; 7] =
    ["rhinitis", "asthma", "conjunctivitis", "dermatitis", "pneumonitis", "vasculitis", "sinusitis"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_into_another_list_is_told_from_conditions() {
        let terminology = Terminology::default();
        for (written, list) in [
            ("penicillin allergy", Some(Field::Allergy)),
            ("Allergy to penicillin (finding)", Some(Field::Allergy)),
            ("Allergy to aspirin", Some(Field::Allergy)),
            ("sulfa allergy", Some(Field::Allergy)),
            ("statin intolerance", Some(Field::Allergy)),
            ("Zorbamycin allergy", Some(Field::Allergy)),
            ("Z88.0", Some(Field::Allergy)),
            ("91936005", Some(Field::Allergy)),
            ("taking warfarin", Some(Field::Medication)),
            ("long term anticoagulant", Some(Field::Medication)),
            ("Z79.01", Some(Field::Medication)),
            ("Z88.6", Some(Field::Allergy)),
            ("ICD-10: Z88.1", Some(Field::Allergy)),
            ("Allergy status to penicillin", Some(Field::Allergy)),
            ("rash with amoxicillin", Some(Field::Allergy)),
            ("on warfarin therapy", Some(Field::Medication)),
            ("insulin therapy", Some(Field::Medication)),
            ("长期服用华法林", Some(Field::Medication)),
            ("oxygen therapy", Some(Field::Medication)),
            ("rash", None),
            ("pneumonia", None),
            ("asthma", None),
            ("allergic rhinitis", None),
            ("seasonal allergies", None),
            ("Seasonal allergy", None),
            ("food allergy", None),
            ("glucose intolerance", None),
            ("orthostatic intolerance", None),
            ("on dialysis", None),
            ("hypersensitivity pneumonitis", None),
            ("anaphylaxis", None),
            ("E11.9", None),
        ] {
            let belonging = terminology.belonging(written, [], []);
            let found =
                belonging.allergy.map(|_| Field::Allergy).or(belonging.medication.map(|_| Field::Medication));
            assert_eq!(found, list, "{written}");
        }
    }
}
