//! The items of one kind, ready to be judged: what an item is and what its rules mean is worked
//! out once, when the item is written, and not for each request.
//!
//! A drug that came with somebody's record has no rules of its own. What the catalogue says of the
//! same substances holds for it, see [`Catalogue::judged`]; where nobody understands its name, nothing
//! can be said of it, see [`Entry::unclear`]. An item that is named for a class ("statin") says what holds for every
//! drug of the class, whether the catalogue has that drug or not; of a drug that it has not got, what several drugs of its
//! class have in common holds, too. [`Catalogue::sources`] finds all of them, whoever asks.

pub mod forms;
mod kin;
mod rule;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::data::{Contraindications, Item, Kind, Severity, Subject};
use super::shared::ByNumber;
use super::terminology::{ByKey, Field, Key, Keys, Terminology, plain};
pub use rule::{CHILDBEARING, Doubt, OLDER_ADULT, Rule, flags};

/// Substances, each with its therapeutic classes.
pub type Parts = Vec<(Key, BTreeSet<Key>)>;

/// The substances of what is meant, each with its therapeutic classes.
pub fn parts(names: &BTreeSet<Key>, therapeutic: &BTreeSet<Key>, terminology: &Terminology) -> Parts {
    let of_one = |name: &Key| match names.len() {
        1 => therapeutic.clone(),
        _ => terminology.understand(Field::Medication, name).therapeutic,
    };
    names.iter().map(|name| (Key::clone(name), of_one(name))).collect()
}

/// An item and what follows from what is known of it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub item: Item,
    /// The substances in it; for what no term explains, its name.
    pub substances: BTreeSet<Key>,
    /// What it can be called in a list: its id, its name, its substances, their classes.
    pub called: Keys,
    /// Its classes within which a second drug would be duplicate therapy.
    pub therapeutic: BTreeSet<Key>,
    /// Each of its substances with the therapeutic classes of that one.
    pub parts: Parts,
    /// Whether it is a form for the eye, the ear or the skin, of which little gets into the blood.
    pub local: bool,
    /// What somebody may be allergic to who is allergic to it.
    pub allergens: Keys,
    /// Of a drug: what of its words no term explains, by which rules and lists may know it all the same.
    pub unexplained: BTreeSet<Key>,
    /// The single words of those of its words that are several and that no term explains.
    pub single_words: BTreeSet<Key>,
    /// Whether it is named for a class of drugs, and so no drug itself.
    pub is_class: bool,
    pub allergies: Vec<Rule>,
    pub conditions: Vec<Rule>,
    pub partners: Vec<Rule>,
    /// What it is for; empty where it is for everybody.
    pub indications: BTreeSet<Key>,
    /// What it may be given for: that, and what its attributes say it treats.
    pub purposes: BTreeSet<Key>,
    /// Whether any rule of its own could rule the item out for somebody.
    pub restricted: bool,
    /// Whether rules about its very substances are known, its own or lent; those of a class are not all that matters.
    ruled: bool,
    /// Whether it is a drug that came with a record, or that interactions name, under words that terms do not explain, or
    /// only in part: that there is an item of this name does not say what it is.
    pub unclear: bool,
    /// Whether it is a drug that somebody described by a name alone that terms do not explain.
    pub blank: bool,
    /// What seems to be a misspelt name of its class.
    pub class_doubt: Option<Doubt>,
}

impl Entry {
    pub fn new(item: Item, terminology: &Terminology) -> Self {
        let listed = &item.contraindications;
        let meaning = terminology.understand_item(Field::Medication, &item);
        let mut called: Keys = meaning.broader.iter().cloned().collect();
        // An id may look like a code of some system and is none.
        called.extend([plain(&item.item_id), plain(&item.name)]);
        let mut therapeutic = meaning.therapeutic;
        let mut allergens: Keys = meaning.groups.into_iter().collect();
        if let Some(class) = &listed.therapeutic_class {
            let class = terminology.understand(Field::Medication, class);
            therapeutic.extend(class.names);
            called.extend(class.broader);
            allergens.extend(class.groups);
        }
        allergens.extend(called.iter().cloned());
        let (mut unexplained, mut single_words) = (BTreeSet::new(), BTreeSet::new());
        if item.kind == Kind::Drug {
            // Soy and latex are no drugs, and are in some.
            let contained = terminology.contained(&item);
            allergens.extend(contained.broader);
            allergens.extend(contained.groups);
            allergens.extend(contained.unexplained);
            single_words = contained.single_words;
            single_words.extend(meaning.single_words);
            unexplained = meaning.unexplained;
            allergens.extend(unexplained.iter().cloned());
        }
        let conditions = |codes: &[String]| -> BTreeSet<Key> {
            codes.iter().flat_map(|code| terminology.understand(Field::Condition, code).names).collect()
        };
        let indications = conditions(&listed.indications);
        let purposes = conditions(&item.texts("treats")).into_iter().chain(indications.iter().cloned());
        let purposes = purposes.collect();
        // A class is no drug, either.
        let class = meaning.names.iter().any(|name| terminology.is_class(name));
        let explained = meaning.known && !meaning.names.is_empty();
        let drug = item.kind == Kind::Drug;
        let unclear = drug && item.is_imported() && (!explained || class);
        let class_doubt = listed
            .therapeutic_class
            .as_deref()
            .filter(|_| drug)
            .and_then(|class| Doubt::of_class(class, terminology));
        let is_class = item.kind == Kind::Drug && class && meaning.names.len() == 1;
        let parts = if class { Parts::new() } else { parts(&meaning.names, &therapeutic, terminology) };
        let restricted = *listed != Contraindications::default();
        // Who wrote rules for a form had that form in mind.
        let own = restricted && !item.is_imported();
        // A brand is explained by its code.
        let blank = drug && !restricted && !item.is_imported() && !explained && {
            !item.also_called().iter().any(|name| {
                let meaning = terminology.understand(Field::Medication, name);
                meaning.known && !meaning.names.is_empty()
            })
        };
        let local = item.kind == Kind::Drug && !own && forms::is_local(&item.name, &called);
        Self {
            parts,
            local,
            substances: meaning.names,
            called,
            therapeutic,
            allergens,
            unexplained,
            single_words,
            is_class,
            allergies: Rule::all(listed, Subject::Allergy, terminology),
            conditions: Rule::all(listed, Subject::Condition, terminology),
            partners: Rule::all(listed, Subject::Medication, terminology),
            indications,
            purposes,
            restricted,
            ruled: restricted,
            unclear,
            blank,
            class_doubt,
            item,
        }
    }

    /// Whether it came with a record, or from a file of interactions, and no rule, its own or lent by a drug of its
    /// substances, says anything of it: that is no sign that it is safe.
    pub fn is_unruled(&self) -> bool {
        self.item.kind == Kind::Drug && self.item.is_imported() && !self.ruled
    }

    /// Whether somebody has described it: it did not merely come with a record.
    pub fn is_described(&self) -> bool {
        self.item.kind == Kind::Drug && !self.item.is_imported()
    }

    /// Whether it is there for its rules alone: what holds for all of a class.
    pub fn is_rule(&self) -> bool {
        self.is_class && self.item.hidden
    }

    /// Whether the hospital describes the drug and not only its class, and has rules about it.
    pub fn is_ruled(&self) -> bool {
        self.restricted && self.is_described() && !self.item.hidden
    }

    /// Whether the rules of the other, which hold for it, say anything that its own do not.
    fn lacks(&self, other: &Self) -> bool {
        let lists = [
            (&self.allergies, &other.allergies),
            (&self.conditions, &other.conditions),
            (&self.partners, &other.partners),
        ];
        let (own, theirs) = (&self.item.contraindications, &other.item.contraindications);
        lists.iter().any(|(own, theirs)| theirs.iter().any(|rule| !own.contains(rule)))
            || (theirs.pregnancy && !own.pregnancy)
    }

    /// Lowers all that speaks against it but allergies to a caution, where it is a local form.
    pub fn lower_local(&mut self) {
        if !self.local {
            return;
        }
        for rule in self.conditions.iter_mut().chain(&mut self.partners) {
            rule.severity = Severity::Caution;
            rule.graded = true;
        }
        let rules = &mut self.item.contraindications;
        (rules.sex, rules.min_age, rules.max_age) = (None, None, None);
        if std::mem::take(&mut rules.pregnancy) {
            let note = "little of a local form gets into the blood".to_owned();
            let pregnancy = Rule::about_pregnancy(Severity::Caution);
            self.conditions.push(Rule { graded: true, note, ..pregnancy });
        }
    }

    /// Takes over the rules of another: the stricter of both.
    pub fn lend_rules(&mut self, other: &Self) {
        let rules = [
            (&mut self.allergies, &other.allergies),
            (&mut self.conditions, &other.conditions),
            (&mut self.partners, &other.partners),
        ];
        for (own, theirs) in rules {
            for rule in theirs {
                if !own.contains(rule) {
                    own.push(rule.clone());
                }
            }
        }
        self.restricted |= other.restricted;
        self.item.contraindications.pregnancy |= other.item.contraindications.pregnancy;
    }

    /// The same with the sex and the age that the other is meant for.
    pub fn lend_circumstances(&mut self, other: &Self) {
        self.lend_rules(other);
        let (own, theirs) = (&mut self.item.contraindications, &other.item.contraindications);
        own.sex = own.sex.or(theirs.sex);
        own.min_age = own.min_age.max(theirs.min_age);
        own.max_age = [own.max_age, theirs.max_age].into_iter().flatten().min();
    }

    /// This item with the rules of another whose substances are all in it: the stricter of both.
    pub fn lend(&mut self, other: &Self) {
        self.lend_circumstances(other);
        self.ruled |= other.ruled;
        self.therapeutic.extend(other.therapeutic.iter().cloned());
        self.indications.extend(other.indications.iter().cloned());
        self.purposes.extend(other.purposes.iter().cloned());
        let (own, theirs) = (&mut self.item.contraindications, &other.item.contraindications);
        for indication in &theirs.indications {
            if !own.indications.contains(indication) {
                own.indications.push(indication.clone());
            }
        }
    }
}

/// What words can mean within a catalogue.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// Numbers of the items called so.
    called: ByKey<Vec<u32>>,
    allergies: Keys,
    conditions: Keys,
    /// Whatever items say they interact with.
    partners: Keys,
    restricted: bool,
    /// Numbers of the items of which nobody knows what they are.
    unclear: HashSet<u32>,
    /// By the name of a class, the items that are named for it.
    classes: ByKey<Vec<u32>>,
    /// By its first substance, the drugs that have rules.
    ruled: ByKey<Vec<u32>>,
    /// By a therapeutic class, what the drugs of it that have rules have in common.
    kin: ByKey<Entry>,
    /// Drugs for which rules of others hold, with those.
    judged: HashMap<u32, Arc<Entry>>,
}

/// The items whose rules hold for a drug.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// Drugs that have rules and all of whose substances are in it.
    pub same: Vec<(u32, &'a Entry)>,
    /// Those that are named for a class that it is of.
    pub classes: Vec<(u32, &'a Entry)>,
    /// For each of its substances that no drug among the first covers: what the drugs of its class have in common.
    pub kin: Vec<&'a Entry>,
}

impl<'a> Sources<'a> {
    pub fn all(&self) -> impl Iterator<Item = &'a Entry> {
        self.same.iter().chain(&self.classes).map(|(_, entry)| *entry).chain(self.kin.iter().copied())
    }
}

impl Vocabulary {
    /// The numbers of the items called so, by id, name, substance or class.
    pub fn items_called(&self, name: &Key) -> &[u32] {
        self.called.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether any item that is understood, or any rule, has one of these names.
    pub fn knows(&self, field: Field, names: &BTreeSet<Key>) -> bool {
        let clear = |name: &Key| self.items_called(name).iter().any(|number| !self.unclear.contains(number));
        let known = |name: &Key| match field {
            Field::Allergy => clear(name) || self.allergies.contains(name),
            Field::Medication => clear(name) || self.partners.contains(name),
            Field::Condition => self.conditions.contains(name),
        };
        names.iter().any(known)
    }

    /// Whether any item is called so.
    pub fn is_called(&self, name: &Key) -> bool {
        self.called.contains_key(name)
    }

    /// Whether any rule, or what an item is for, is about this condition.
    pub fn is_about_condition(&self, name: &Key) -> bool {
        self.conditions.contains(name)
    }

    /// All names that [`Vocabulary::knows`] knows, and those of items that are not understood.
    pub fn words(&self, field: Field) -> impl Iterator<Item = &str> {
        let rules = match field {
            Field::Allergy => &self.allergies,
            Field::Medication => &self.partners,
            Field::Condition => &self.conditions,
        };
        let items = (field != Field::Condition).then(|| self.called.keys());
        rules.iter().chain(items.into_iter().flatten()).map(AsRef::as_ref)
    }

    /// Whether any item of the catalogue has rules to check at all.
    pub fn has_rules(&self) -> bool {
        self.restricted
    }
}

/// The items of one kind by item number. A clone is cheap and independent.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: ByNumber<Entry>,
    len: usize,
    /// Made when first asked for after a change.
    vocabulary: Arc<OnceLock<Vocabulary>>,
}

impl Catalogue {
    pub fn get(&self, number: u32) -> Option<&Arc<Entry>> {
        self.entries.get(number)
    }

    /// The item with the rules that hold for it: its own and those of its classes, and where it has none of its own
    /// those of the drugs all of whose substances are in it and what is common to the class of the rest.
    pub fn judged(&self, number: u32) -> Option<&Arc<Entry>> {
        let entry = self.get(number)?;
        let judged = &self.vocabulary().judged;
        if entry.item.kind != Kind::Drug || judged.is_empty() {
            return Some(entry);
        }
        judged.get(&number).or(Some(entry))
    }

    /// The items whose rules hold for what has these substances and can be called so, whether it is ordered, taken or
    /// recommended, and whether the catalogue has it or not.
    pub fn sources<'a>(&'a self, parts: &Parts, called: &Keys) -> Sources<'a> {
        self.sources_by(self.vocabulary(), parts, called)
    }

    fn sources_by<'a>(&'a self, vocabulary: &'a Vocabulary, parts: &Parts, called: &Keys) -> Sources<'a> {
        let entries = |numbers: &'a [u32]| {
            numbers.iter().filter_map(|&number| Some((number, self.get(number)?.as_ref())))
        };
        let listed = |map: &'a ByKey<Vec<u32>>, name: &Key| map.get(name).map_or(&[][..], Vec::as_slice);
        let has = |substance: &Key| parts.iter().any(|(name, _)| name == substance);
        let same = parts.iter().flat_map(|(name, _)| entries(listed(&vocabulary.ruled, name)));
        let same: Vec<_> = same.filter(|(_, drug)| drug.substances.iter().all(has)).collect();
        let mut classes = BTreeSet::new();
        if !vocabulary.classes.is_empty() {
            classes.extend(called.iter().flat_map(|name| listed(&vocabulary.classes, name)).copied());
        }
        let covered =
            |name: &Key| same.iter().any(|(_, drug)| drug.is_ruled() && drug.substances.contains(name));
        let uncovered = parts.iter().filter(|(name, _)| !covered(name)).flat_map(|(_, classes)| classes);
        let kin = uncovered.filter_map(|class| vocabulary.kin.get(class)).collect();
        let classes = classes.into_iter().filter_map(|number| Some((number, self.get(number)?.as_ref())));
        Sources { classes: classes.collect(), kin, same }
    }

    pub fn set(&mut self, number: u32, entry: Option<Arc<Entry>>) {
        let had = self.entries.get(number).is_some();
        self.len = self.len + usize::from(entry.is_some()) - usize::from(had);
        self.entries.set(number, entry);
        self.vocabulary = Arc::default();
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Entry>)> {
        self.entries.iter()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        self.vocabulary.get_or_init(|| {
            let mut vocabulary = Vocabulary::default();
            for (number, entry) in self.iter() {
                for name in &entry.called {
                    vocabulary.called.entry(Arc::clone(name)).or_default().push(number);
                }
                let learn = |words: &mut Keys, rules: &[Rule]| {
                    words.extend(rules.iter().flat_map(|rule| rule.names.iter().cloned()));
                };
                learn(&mut vocabulary.allergies, &entry.allergies);
                learn(&mut vocabulary.conditions, &entry.conditions);
                vocabulary.conditions.extend(entry.indications.iter().cloned());
                learn(&mut vocabulary.partners, &entry.partners);
                vocabulary.restricted |= entry.restricted;
                if let Some(class) = entry.substances.first().filter(|_| entry.is_class) {
                    vocabulary.classes.entry(Arc::clone(class)).or_default().push(number);
                }
                if entry.unclear {
                    vocabulary.unclear.insert(number);
                }
            }
            self.index_rules(&mut vocabulary);
            vocabulary.judged = self.lent(&vocabulary);
            vocabulary
        })
    }

    fn drugs(&self) -> impl Iterator<Item = (u32, &Arc<Entry>)> {
        self.iter().filter(|(_, entry)| entry.item.kind == Kind::Drug && !entry.is_rule())
    }

    fn index_rules(&self, vocabulary: &mut Vocabulary) {
        let mut kin: BTreeMap<&Key, Vec<&Entry>> = BTreeMap::new();
        for (number, entry) in self.drugs().filter(|(_, entry)| entry.restricted) {
            // Whatever has all of its substances has this one.
            if let Some(first) = entry.substances.first() {
                vocabulary.ruled.entry(Arc::clone(first)).or_default().push(number);
            }
            // What holds for a combination may be due to another of its parts.
            if entry.is_ruled() && entry.substances.len() == 1 {
                for class in &entry.therapeutic {
                    kin.entry(class).or_default().push(entry);
                }
            }
        }
        for (class, members) in kin {
            let substances: BTreeSet<&Key> = members.iter().flat_map(|member| &member.substances).collect();
            // What is known of one drug alone says nothing of its class, but for the age from which it is given.
            let common = match substances.len() {
                1 => members.first().and_then(|member| kin::ages(member)),
                _ => kin::common(&members),
            };
            if let Some(common) = common {
                vocabulary.kin.insert(Arc::clone(class), common);
            }
        }
    }

    /// The drugs to which rules are lent, with these.
    fn lent(&self, vocabulary: &Vocabulary) -> HashMap<u32, Arc<Entry>> {
        let mut lent = HashMap::new();
        for (number, entry) in self.drugs() {
            let sources = self.sources_by(vocabulary, &entry.parts, &entry.called);
            let mut judged: Option<Entry> = None;
            // A drug that has rules is described by them.
            if !entry.restricted {
                for (_, other) in &sources.same {
                    judged.get_or_insert_with(|| entry.as_ref().clone()).lend(other);
                }
            }
            for (_, class) in sources.classes.iter().filter(|(class, _)| *class != number) {
                if judged.as_ref().unwrap_or(entry).lacks(class) {
                    judged.get_or_insert_with(|| entry.as_ref().clone()).lend_rules(class);
                }
            }
            for kin in &sources.kin {
                judged.get_or_insert_with(|| entry.as_ref().clone()).lend_circumstances(kin);
            }
            if entry.local {
                judged.get_or_insert_with(|| entry.as_ref().clone()).lower_local();
            }
            if let Some(judged) = judged {
                lent.insert(number, Arc::new(judged));
            }
        }
        lent
    }
}
