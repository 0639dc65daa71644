//! The items of one kind, ready to be judged: every code normalised once, when the item is
//! written, and not for each request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::data::{Contraindications, Item};
use super::shared::ByNumber;

/// A code as it is compared: lower case, without white space at the ends, single spaces within.
pub fn normalise(code: &str) -> String {
    let mut normal = String::with_capacity(code.len());
    for word in code.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    normal
}

/// A normalised code, beside the words it came in, which are those people get to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub normal: String,
    pub written: String,
}

impl Code {
    pub fn new(written: &str) -> Self {
        let trimmed = written.trim();
        Self { normal: normalise(trimmed), written: trimmed.to_owned() }
    }

    pub fn all(written: &[String]) -> Vec<Code> {
        written.iter().map(|code| Code::new(code)).collect()
    }
}

/// An item and its normalised codes.
#[derive(Debug, Clone)]
pub struct Entry {
    pub item: Item,
    pub id: Code,
    pub name: Code,
    pub allergies: Vec<Code>,
    pub conditions: Vec<Code>,
    pub interacts_with: Vec<Code>,
    pub class: Option<Code>,
    /// Whether any rule of its own could rule the item out for somebody.
    pub restricted: bool,
}

impl Entry {
    pub fn new(item: Item) -> Self {
        let rules = &item.contraindications;
        Self {
            id: Code::new(&item.item_id),
            name: Code::new(&item.name),
            allergies: Code::all(&rules.allergies),
            conditions: Code::all(&rules.conditions),
            interacts_with: Code::all(&rules.interacts_with),
            class: rules.therapeutic_class.as_deref().map(Code::new),
            restricted: *rules != Contraindications::default(),
            item,
        }
    }

    /// What the item can be called in someone's list: its id, its name, its class.
    pub fn called(&self) -> impl Iterator<Item = &Code> {
        [&self.id, &self.name].into_iter().chain(&self.class)
    }
}

/// What a code can mean within a catalogue.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// Numbers of the items called so, by id or name.
    items: HashMap<String, Vec<u32>>,
    /// Numbers of the items of a class.
    classes: HashMap<String, Vec<u32>>,
    allergies: HashSet<String>,
    conditions: HashSet<String>,
    /// Whatever items say they interact with.
    partners: HashSet<String>,
    restricted: bool,
}

impl Vocabulary {
    /// The numbers of the items called so.
    pub fn items_called(&self, code: &Code) -> &[u32] {
        self.items.get(&code.normal).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the items of the class.
    pub fn items_of_class(&self, code: &Code) -> &[u32] {
        self.classes.get(&code.normal).map_or(&[], Vec::as_slice)
    }

    /// Whether anything is called so, by id, name or class.
    fn names(&self, code: &Code) -> bool {
        self.items.contains_key(&code.normal) || self.classes.contains_key(&code.normal)
    }

    pub fn knows_allergy(&self, code: &Code) -> bool {
        self.allergies.contains(&code.normal) || self.names(code)
    }

    pub fn knows_condition(&self, code: &Code) -> bool {
        self.conditions.contains(&code.normal)
    }

    pub fn knows_medication(&self, code: &Code) -> bool {
        self.partners.contains(&code.normal) || self.names(code)
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

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        self.vocabulary.get_or_init(|| {
            let mut vocabulary = Vocabulary::default();
            for (number, entry) in self.iter() {
                vocabulary.items.entry(entry.id.normal.clone()).or_default().push(number);
                if entry.name.normal != entry.id.normal {
                    vocabulary.items.entry(entry.name.normal.clone()).or_default().push(number);
                }
                let learn = |words: &mut HashSet<String>, codes: &[Code]| {
                    words.extend(codes.iter().map(|code| code.normal.clone()));
                };
                learn(&mut vocabulary.allergies, &entry.allergies);
                learn(&mut vocabulary.conditions, &entry.conditions);
                learn(&mut vocabulary.partners, &entry.interacts_with);
                if let Some(class) = &entry.class {
                    vocabulary.classes.entry(class.normal.clone()).or_default().push(number);
                }
                vocabulary.restricted |= entry.restricted;
            }
            vocabulary
        })
    }
}
