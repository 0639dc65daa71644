//! What the words in people's lists and in items' rules mean: which substance, of which classes,
//! in which groups of cross-reactivity.
//!
//! A built-in table knows common drugs, brands, allergens and conditions; a hospital's own tables
//! are added to it. A word is understood if its normal form (see [`normal`]) is the name, a
//! synonym or a code of a term, or a combination of such, or if nothing but doses, forms and wording
//! stands beside such names (see [`mentions`]). It is never taken for what it merely resembles:
//! [`Terminology::nearest`] is for telling people what may have been meant.

mod adverse;
mod belonging;
mod codes;
mod conditions;
mod course;
mod cues;
mod harms;
mod later;
mod measures;
mod mentions;
mod narrower;
mod nearest;
mod normal;
mod reading;
mod remembered;
mod resolve;
mod said;
mod simplified;
mod spelling;
mod stages;
mod term;
#[cfg(test)]
mod tests;
mod titles;
mod together;
mod tolerated;
mod wording;
mod worse;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use narrower::Narrower;
use remembered::Remembered;

pub use conditions::is_code;
pub use measures::{Bound, Value};
pub use normal::{normalise, without_dose, without_salts};
pub use resolve::Mistake;
pub use term::{Term, TermKind, UnknownTermKind, read_terms};
pub use together::Unclear;
pub use worse::RuleMeaning;

/// A name in its normal form, by which terms refer to each other.
pub type Key = Arc<str>;

/// Names to be looked up: by a hash that is fast for short texts, and seeded anew by each process.
pub type Keys = HashSet<Key, RandomState>;

/// What there is by name.
pub type ByKey<T> = HashMap<Key, T, RandomState>;

/// In which list words stand: of what kinds of terms they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Drugs, their classes, and what else people are allergic to.
    Allergy,
    /// Drugs and their classes.
    Medication,
    /// Conditions.
    Condition,
}

impl Field {
    fn admits(self, kind: TermKind) -> bool {
        match kind {
            TermKind::Drug | TermKind::Class => self != Field::Condition,
            TermKind::Allergen => self == Field::Allergy,
            TermKind::Condition => self == Field::Condition,
            TermKind::None => true,
        }
    }

    /// How terms name the list.
    const fn as_str(self) -> &'static str {
        match self {
            Field::Allergy => "allergy",
            Field::Medication => "medication",
            Field::Condition => "condition",
        }
    }
}

/// What some words mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The substances (for a combination several), the class or the condition meant. Words that
    /// no term explains mean themselves.
    pub names: BTreeSet<Key>,
    /// Those and all classes they belong to.
    pub broader: BTreeSet<Key>,
    /// The groups of cross-reactivity they belong to.
    pub groups: BTreeSet<Key>,
    /// The classes within which a second drug would be duplicate therapy.
    pub therapeutic: BTreeSet<Key>,
    /// Whether terms explain the words.
    pub known: bool,
    /// Whether terms explain some of the words and not all: `names` are those.
    pub partly: bool,
    /// What no term explains, by itself: "tetracaine" of "lidocaine / tetracaine". Who is allergic to a thing of that very
    /// name is allergic to this.
    pub unexplained: BTreeSet<Key>,
    /// Of those that are several words the single ones: who is allergic to what is called by that one word may be allergic
    /// to this.
    pub single_words: BTreeSet<Key>,
    /// Of an allergy: what the words say that somebody tolerates, which is no part of it.
    pub tolerated: BTreeSet<Key>,
    /// Of several words for one thing: those that are not understood, or only in part.
    pub unclear: Vec<Unclear>,
    /// Of a condition: the measured values that the words give.
    pub values: Vec<Value>,
}

impl Meaning {
    /// Of an allergy: what somebody must not be given who has it.
    pub fn allergens(self) -> impl Iterator<Item = Key> {
        self.names.into_iter().chain(self.groups).chain(self.unexplained)
    }

    fn merge(&mut self, other: Meaning) {
        self.names.extend(other.names);
        self.broader.extend(other.broader);
        self.groups.extend(other.groups);
        self.therapeutic.extend(other.therapeutic);
        self.unexplained.extend(other.unexplained);
        self.single_words.extend(other.single_words);
        self.tolerated.extend(other.tolerated);
        self.values.extend(other.values);
        self.known |= other.known;
        self.partly = !self.known && (self.partly || other.partly);
    }
}

/// What is known of one name, of all rows about it.
#[derive(Debug)]
struct Node {
    kind: TermKind,
    ingredients: BTreeSet<Key>,
    /// The first class of a drug is the therapeutic one.
    classes: Vec<Key>,
    groups: BTreeSet<Key>,
    /// Whether it names an ingredient or a class that no term has: what it is belongs to is not known.
    unresolved: bool,
}

/// Most characters, in their normal form, of a text that is read: twice what a list takes. Of a longer one nothing is understood.
const LONGEST: usize = 2 * crate::data::MAX_TEXT_CHARACTERS;

/// The terms, ready to be looked up.
#[derive(Debug)]
pub struct Terminology {
    nodes: ByKey<Node>,
    /// From every name, synonym and code to the names meant. A synonym of two terms means both.
    index: HashMap<Box<str>, Vec<Key>, RandomState>,
    /// What those of several words begin with.
    beginnings: HashSet<Box<str>, RandomState>,
    /// The names among those in scripts that put no space between words.
    unspaced: Vec<Box<str>>,
    /// What makes a condition a narrower one.
    narrower: Narrower,
    /// What was understood before.
    remembered: Remembered,
}

impl Terminology {
    /// As [`Terminology::new`]; the built-in terms alone are shared.
    pub fn shared(own: &[Term]) -> Arc<Self> {
        static ALONE: LazyLock<Arc<Terminology>> = LazyLock::new(Arc::default);
        if own.is_empty() { Arc::clone(&ALONE) } else { Arc::new(Self::new(own)) }
    }

    /// The built-in terms and, added to them, these. A row about a name that is known already
    /// adds to what is known.
    pub fn new<'a>(own: impl IntoIterator<Item = &'a Term>) -> Self {
        let mut all = Self {
            nodes: ByKey::default(),
            index: HashMap::default(),
            beginnings: HashSet::default(),
            unspaced: Vec::new(),
            narrower: Narrower::default(),
            remembered: Remembered::default(),
        };
        for term in BUILT_IN.iter().chain(own) {
            all.add(term);
        }
        all.resolve();
        all.narrower = Narrower::of(&all);
        all.beginnings = all.index.keys().filter_map(|name| Some(name.split_once(' ')?.0.into())).collect();
        all.unspaced = all.index.keys().filter(|name| mentions::is_unspaced(name)).cloned().collect();
        // The longest first: a name may begin as another does.
        all.unspaced.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all
    }

    fn add(&mut self, term: &Term) {
        let name = plain(&term.name);
        // A row of another kind says nothing of what is known; an import refuses it.
        if self.nodes.get(&name).is_some_and(|node| !node.kind.is_like(term.kind)) {
            return;
        }
        for other in std::iter::once(&term.name).chain(&term.synonyms) {
            let normal = normalise(other);
            let key = normal::key(&normal);
            // As texts are read, a space stands between the two scripts.
            let spaced = normal::key(&spelling::spelt_out(&normal));
            for form in [Some(key.clone()), normal::american(&key), Some(spaced)].into_iter().flatten() {
                self.refer(&form, &name);
                self.refer(&normal::singular(&form), &name);
            }
        }
        for code in &term.codes {
            let code = normalise(code);
            self.refer(&code, &name);
            if let Some((_, bare)) = code.rsplit_once(':') {
                self.refer(bare, &name);
            }
        }
        let keys = |names: &[String]| names.iter().map(|name| plain(name)).collect::<Vec<_>>();
        let node = self.nodes.entry(name).or_insert_with(|| Node {
            kind: term.kind,
            ingredients: BTreeSet::new(),
            classes: Vec::new(),
            groups: BTreeSet::new(),
            unresolved: false,
        });
        node.ingredients.extend(keys(&term.ingredients));
        node.classes.extend(keys(&term.classes));
        node.groups.extend(keys(&term.cross_reactivity));
    }

    fn refer(&mut self, word: &str, name: &Key) {
        let names = self.index.entry(word.into()).or_default();
        if !names.contains(name) {
            names.push(Arc::clone(name));
        }
    }

    /// What these words mean in such a list.
    pub fn understand(&self, field: Field, text: &str) -> Meaning {
        self.remembered.or_read(field, text, || self.understand_anew(field, text))
    }

    fn understand_anew(&self, field: Field, text: &str) -> Meaning {
        let mut meaning = self.understand_words(field, text);
        // Of a term whose class nobody knows no rule about the class can be asked.
        let unresolved = |name: &Key| self.nodes.get(name).is_some_and(|node| node.unresolved);
        if meaning.known && meaning.broader.iter().any(unresolved) {
            (meaning.known, meaning.partly) = (false, true);
        }
        meaning
    }

    fn understand_words(&self, field: Field, text: &str) -> Meaning {
        let normal = normalise(text);
        if let Some((cut, _)) = normal.char_indices().nth(LONGEST) {
            let raw = BTreeSet::from([Key::from(&normal[..cut])]);
            return Meaning { broader: raw.clone(), names: raw, ..Meaning::default() };
        }
        let normal = match field {
            Field::Condition => stages::in_terms(&normal),
            _ => normal,
        };
        let words = normal::without_wording(&normal);
        let whole = [normal.as_str(), words.as_str()].into_iter().find_map(|form| self.whole(field, form));
        if whole.is_none()
            && field == Field::Allergy
            && let Some(meaning) = self.tolerated_among(&normal)
        {
            return meaning;
        }
        let known = whole.or_else(|| self.combination(field, &normal::parts(&words))).or_else(|| {
            let hyphened: Vec<&str> = words.split('-').collect();
            // What is joined to a name by a hyphen is what that is bound to.
            let bound = hyphened.iter().any(|part| is_salt(part));
            self.combination(field, &hyphened).filter(|_| !bound)
        });
        if let Some(meaning) = known {
            return Meaning { known: true, ..meaning };
        }
        let among =
            if field == Field::Condition { self.conditions_among(&words) } else { self.among(field, &words) };
        let raw = || plain(&reduced(&words).unwrap_or_else(|| normal.clone()));
        match among {
            Some(meaning) if meaning.known => meaning,
            Some(mut meaning) if meaning.partly => {
                meaning.broader.insert(raw());
                let (unexplained, single_words) = self.unexplained(field, &words);
                Meaning { unexplained, single_words, ..meaning }
            }
            other => {
                let names = BTreeSet::from([raw()]);
                let (unexplained, single_words) = self.unexplained(field, &words);
                let values = other.map(|meaning| meaning.values).unwrap_or_default();
                Meaning {
                    broader: names.clone(),
                    names,
                    unexplained,
                    single_words,
                    values,
                    ..Meaning::default()
                }
            }
        }
    }

    /// What one word or name means, tried from what is written to what is left of it.
    fn whole(&self, field: Field, text: &str) -> Option<Meaning> {
        let undosed = normal::without_dose(text);
        let bare = normal::without_salts(&undosed);
        let forms = [normal::without_wording(text), undosed, bare];
        let admitted = |names: &&[Key]| names.iter().any(|name| self.admits(field, name));
        let direct = self.lookup(text).filter(admitted).or_else(|| self.code(field, text).filter(admitted));
        // Between separators a salt is bound to nothing, and a form may be the name of an allergy.
        let form = |part: &str| normal::without_dose(part).is_empty() && self.is_name(field, part);
        let any = |marks: &[char], unbound: &dyn Fn(&str) -> bool| {
            text.contains(marks) && text.split(marks).map(str::trim).any(unbound)
        };
        if any(&mentions::SEPARATORS[..5], &is_salt)
            || (field == Field::Allergy && any(&mentions::SEPARATORS, &form))
        {
            return direct.map(|names| self.explained(field, names));
        }
        let reduced = || forms.iter().find_map(|form| self.lookup(form).filter(admitted));
        Some(self.explained(field, direct.or_else(reduced)?))
    }

    /// Whether this is the very name of something that such a list can hold.
    fn is_name(&self, field: Field, text: &str) -> bool {
        self.lookup(text).is_some_and(|names| names.iter().any(|name| self.admits(field, name)))
    }

    /// What those of these names mean that such a list can hold.
    fn explained(&self, field: Field, names: &[Key]) -> Meaning {
        let mut meaning = Meaning::default();
        self.explain_all(field, names, &mut meaning);
        meaning
    }

    /// Whether this is the name of a class of drugs.
    pub fn is_class(&self, name: &Key) -> bool {
        self.nodes.get(name).is_some_and(|node| node.kind == TermKind::Class)
    }

    fn admits(&self, field: Field, name: &Key) -> bool {
        let Some(node) = self.nodes.get(name) else { return false };
        // "No known allergies" among medications says nothing of medications.
        let elsewhere = node.kind == TermKind::None
            && !node.classes.is_empty()
            && node.classes.iter().all(|list| list.as_ref() != field.as_str());
        field.admits(node.kind) && !elsewhere
    }

    /// Whether a name of several words may begin with this one: most words of a text begin none.
    fn may_begin(&self, word: &str) -> bool {
        normal::may_be_turned(word)
            || normal::beginnings(word).any(|first| self.beginnings.contains(first.as_str()))
    }

    fn lookup(&self, form: &str) -> Option<&[Key]> {
        let key = normal::key(form);
        let singular = || self.index.get(normal::singular(&key).as_str());
        // What ends in "is" is seldom a plural; where the shorter form is a name ("MAOIs"), it is.
        let short =
            || self.index.get(key.strip_suffix('s').filter(|one| one.len() > 2 && one.ends_with('i'))?);
        let american = || {
            let key = normal::american(&key)?;
            self.index.get(key.as_str()).or_else(|| self.index.get(normal::singular(&key).as_str()))
        };
        let bleeding = || normal::bleedings(&key).iter().find_map(|name| self.index.get(name.as_str()));
        let found = self.index.get(key.as_str()).or_else(singular).or_else(short).or_else(american);
        found.or_else(bleeding).map(Vec::as_slice)
    }

    /// What a combination means, if every part of it is understood. A part that gives a dose or
    /// a form alone ("0.09 mg/actuat inhaler") is none, unless it is the name of an allergy ("pen / sulfa").
    fn combination(&self, field: Field, parts: &[&str]) -> Option<Meaning> {
        let named = |part: &str| field == Field::Allergy && self.is_name(field, part);
        let said = |part: &&&str| !normal::without_dose(part).is_empty() || named(part);
        let mut meaning = Meaning::default();
        let mut found = 0;
        for part in parts.iter().filter(said) {
            meaning.merge(self.whole(field, part)?);
            found += 1;
        }
        (parts.len() > 1 && found > 0).then_some(meaning)
    }

    /// Adds what those of these names mean that such a list can hold.
    fn explain_all(&self, field: Field, names: &[Key], meaning: &mut Meaning) {
        for name in names.iter().filter(|name| self.admits(field, name)) {
            self.explain(name, meaning);
        }
    }

    fn explain(&self, name: &Key, meaning: &mut Meaning) {
        self.explain_within(name, &mut Vec::new(), meaning);
    }

    /// As [`Terminology::explain`], inside of these combinations.
    fn explain_within<'a>(&'a self, name: &'a Key, within: &mut Vec<&'a Key>, meaning: &mut Meaning) {
        let Some(node) = self.nodes.get(name) else { return };
        if node.kind == TermKind::None {
            return;
        }
        if node.kind == TermKind::Drug {
            meaning.therapeutic.extend(node.classes.first().cloned());
        }
        // What somebody's rows say to be in itself is a substance.
        if node.ingredients.is_empty() || within.contains(&name) {
            meaning.names.insert(Arc::clone(name));
        } else {
            within.push(name);
            for ingredient in &node.ingredients {
                self.explain_within(ingredient, within, meaning);
            }
            within.pop();
        }
        self.climb(name, meaning);
    }

    /// Adds the name, its classes and theirs, and the groups of all of them.
    fn climb(&self, name: &Key, meaning: &mut Meaning) {
        if !meaning.broader.insert(Arc::clone(name)) {
            return;
        }
        if let Some(node) = self.nodes.get(name) {
            meaning.groups.extend(node.groups.iter().cloned());
            for class in &node.classes {
                self.climb(class, meaning);
            }
        }
    }
}

impl Default for Terminology {
    fn default() -> Self {
        Self::new([])
    }
}

/// Whether it names a salt and nothing else, but for a dose.
fn is_salt(normal: &str) -> bool {
    let undosed = normal::without_dose(normal);
    !undosed.is_empty() && normal::without_salts(&undosed).is_empty()
}

/// What is left of a normalised text without dose, form, salt and plural, if anything.
fn reduced(normal: &str) -> Option<String> {
    let undosed = normal::without_dose(normal);
    let bare = normal::without_salts(&undosed);
    let left = [bare, undosed].into_iter().find(|form| !form.is_empty())?;
    Some(normal::singular(&left))
}

/// The text itself as a key, whatever it may mean.
pub fn plain(text: &str) -> Key {
    let normal = normalise(text);
    let key = normal::key(&normal);
    if key.is_empty() { normal.into() } else { key.into() }
}

/// The rows of `terms.csv`: common drugs, brands, allergens and conditions, from general
/// knowledge. Its codes are those of ATC and ICD-10, and the few of SNOMED CT and RxNorm that were
/// compared with records; a wrong code would be a wrong drug, so a hospital brings its own.
static BUILT_IN: LazyLock<Vec<Term>> = LazyLock::new(|| {
    // A test reads every row, so that none can be wrong here.
    let rows = read_terms(include_str!("terms.csv").as_bytes()).unwrap_or_default();
    rows.into_iter().map(|(_, term)| term).collect()
});
