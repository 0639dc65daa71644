//! What terms say of each other and of where they belong: the ingredients and classes that a row names, in the words in which
//! somebody wrote them, and the entries of one list that belong into another.

use std::collections::BTreeSet;

use super::normal::{self, normalise};
use super::{Field, Key, Term, TermKind, Terminology, is_code, plain};

/// What stands before a drug among conditions that somebody takes.
const TAKES: [&str; 12] = [
    "taking ",
    "on ",
    "takes ",
    "current use of ",
    "long term use of ",
    "long term current use of ",
    "long-term use of ",
    "long term ",
    "long-term ",
    "长期服用",
    "正在服用",
    "服用",
];
/// What stands behind it.
const THERAPY: [&str; 2] = [" therapy", " treatment"];
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

impl Terminology {
    /// Follows the names of ingredients and classes in rows to the terms that they mean, whatever their form: a plural, a
    /// brand, another word.
    pub(super) fn resolve(&mut self) {
        let mut resolved = Vec::new();
        for (name, node) in &self.nodes {
            let named = || node.ingredients.iter().chain(&node.classes).chain(&node.groups);
            if node.kind == TermKind::None
                || named().all(|key| self.meant(node.kind, key) == [Key::clone(key)])
            {
                continue;
            }
            let mut missing = false;
            let mut all = |keys: &mut dyn Iterator<Item = &Key>| -> Vec<Key> {
                let mut found = Vec::new();
                for key in keys {
                    let meant = self.meant(node.kind, key);
                    missing |= meant.is_empty();
                    found.extend(meant);
                }
                found
            };
            let (ingredients, classes) = (all(&mut node.ingredients.iter()), all(&mut node.classes.iter()));
            // A group may have a name of its own.
            let group = |key: &Key| match self.meant(node.kind, key) {
                meant if meant.is_empty() => vec![normal::singular(key).into()],
                meant => meant,
            };
            let groups: BTreeSet<Key> = node.groups.iter().flat_map(group).collect();
            resolved.push((Key::clone(name), ingredients, classes, groups, missing));
        }
        for (name, ingredients, classes, groups, missing) in resolved {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.ingredients = ingredients.into_iter().filter(|key| *key != name).collect();
                node.classes = classes.into_iter().filter(|key| *key != name).collect();
                node.groups = groups;
                node.unresolved = missing;
            }
        }
    }

    /// The terms that a row about a term of this kind means by a name.
    fn meant(&self, kind: TermKind, name: &Key) -> Vec<Key> {
        // A drug is of no condition, and nothing of what says that there is none.
        if let Some(node) = self.nodes.get(name) {
            let fits = node.kind != TermKind::None && listed(kind).admits(node.kind);
            return if fits { vec![Key::clone(name)] } else { Vec::new() };
        }
        let found = self.whole(listed(kind), name);
        found.map_or_else(Vec::new, |meaning| meaning.names.into_iter().collect())
    }

    /// The first name of an ingredient or a class in these rows that no term has, with the place of its row and what may
    /// have been meant.
    pub fn unresolved<'a>(&'a self, rows: &'a [Term]) -> Option<(usize, &'a str, Option<&'a str>)> {
        rows.iter().enumerate().filter(|(_, row)| row.kind != TermKind::None).find_map(|(place, row)| {
            let unknown = |name: &&String| self.meant(row.kind, &plain(name)).is_empty();
            let name = row.ingredients.iter().chain(&row.classes).find(unknown)?;
            Some((place, name.as_str(), self.nearest(listed(row.kind), name, std::iter::empty())))
        })
    }

    /// The kind of the term that has this name.
    pub fn kind_of(&self, name: &str) -> Option<TermKind> {
        self.nodes.get(&plain(name)).map(|node| node.kind)
    }

    /// The first of these rows whose name is that of a term of another kind, with its place and that kind: drugs, classes and
    /// allergens are all substances, and no conditions nor words for none.
    pub fn misplaced(&self, rows: &[Term]) -> Option<(usize, TermKind)> {
        rows.iter().enumerate().find_map(|(place, row)| {
            let node = self.nodes.get(&plain(&row.name))?;
            (!node.kind.is_like(row.kind)).then_some((place, node.kind))
        })
    }

    /// The drug of an entry among conditions that says that somebody takes it.
    pub fn taken<'a>(&self, written: &'a str) -> &'a str {
        let small = written.to_ascii_lowercase();
        let from = TAKES.iter().find(|words| small.starts_with(*words)).map_or(0, |words| words.len());
        let behind = THERAPY.iter().find(|words| small.ends_with(*words)).map_or(0, |words| words.len());
        written.get(from..written.len() - behind).unwrap_or(written)
    }

    /// The list into which an entry among conditions belongs: lists of problems hold allergies ("penicillin allergy", Z88.0)
    /// and what somebody takes ("long term use of warfarin", Z79.01). None of what is a condition, and of an allergy to what
    /// is no drug.
    pub fn belongs(&self, written: &str) -> Option<Field> {
        let known = |field: Field, text: &str| {
            let meaning = self.understand(field, text);
            meaning.known && !meaning.names.is_empty()
        };
        if known(Field::Condition, written) {
            return None;
        }
        let normal = normalise(written);
        let code = normal.rsplit(['|', ':', '#', '/', ' ']).next().filter(|_| is_code(written));
        // Z88 of ICD-10 is an allergy also where it does not say to which drug ("other antibiotic agents").
        if code.is_some_and(|code| code.starts_with("z88") || known(Field::Allergy, written)) {
            // Z79: long term drug therapy.
            let taken = code.is_some_and(|code| code.starts_with("z79"));
            return Some(if taken { Field::Medication } else { Field::Allergy });
        }
        let taken = self.taken(&normal);
        if taken.len() < normal.len() && known(Field::Medication, taken) {
            return Some(Field::Medication);
        }
        let words = normal::without_wording(&normal);
        let allergic = ["allerg", "anaphyla", "hypersensitiv", "adverse reaction"];
        let unclear = ["intoleran", "rash", "hives", "urticaria", "swelling", "过敏", "不耐受"];
        let says = |list: &[&str]| list.iter().any(|word| normal.contains(word));
        let no_drug = NO_DRUG.contains(&normal::singular(&words).as_str());
        let worded =
            words != normal && !words.is_empty() && says(&allergic) && !says_allergic(&words) && !no_drug;
        // Whoever does not tolerate glucose or the cold is allergic to nothing.
        let tolerated = says(&unclear) && known(Field::Allergy, written);
        (worded || tolerated).then_some(Field::Allergy)
    }
}

/// The list in which the classes and ingredients of a term stand.
fn listed(kind: TermKind) -> Field {
    match kind {
        TermKind::Drug | TermKind::Class => Field::Medication,
        TermKind::Allergen => Field::Allergy,
        TermKind::Condition | TermKind::None => Field::Condition,
    }
}

/// Whether words name no substance but a disease: "allergic rhinitis".
fn says_allergic(words: &str) -> bool {
    let diseases = ["rhinitis", "asthma", "conjunctivitis", "dermatitis", "pneumonitis", "vasculitis"];
    words.split(' ').any(|word| diseases.contains(&word) || word.starts_with("allerg"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::read_terms;

    fn with(rows: &str) -> (Terminology, Vec<Term>) {
        let file = format!("kind,name,synonyms,ingredients,classes\n{rows}\n");
        let rows: Vec<Term> =
            read_terms(file.as_bytes()).unwrap().into_iter().map(|(_, term)| term).collect();
        (Terminology::new(&rows), rows)
    }

    #[test]
    fn a_class_and_an_ingredient_are_meant_whatever_the_form_of_their_name() {
        for (row, name, broader) in [
            ("drug,profenix,,,NSAIDs", "profenix", "nsaid"),
            ("drug,pentamox,,,Penicillins", "pentamox", "penicillin"),
            ("drug,bblk,,,beta-blockers", "bblk", "beta blocker"),
            ("drug,sart,,,ARB", "sart", "angiotensin receptor blocker"),
            ("drug,combix,,Tylenol;Advil,", "combix", "ibuprofen"),
            ("drug,combix,,Tylenol;Advil,", "combix", "paracetamol"),
            ("drug,mine,,,ours\nclass,Ours,,,Penicillins", "mine", "penicillin"),
        ] {
            let (terminology, rows) = with(row);
            let meaning = terminology.understand(Field::Medication, name);
            assert!(meaning.known && meaning.broader.contains(broader), "{row}: {meaning:?}");
            assert_eq!(terminology.unresolved(&rows), None, "{row}");
        }
    }

    #[test]
    fn a_term_of_a_class_that_nobody_knows_is_not_understood() {
        for (row, name, near) in [
            ("drug,five,,,penicilin", "five", Some("penicillin")),
            ("drug,sixteen,,ibuprofn;caffeine,", "sixteen", Some("ibuprofen")),
            ("drug,seven,,,zorbas", "seven", None),
        ] {
            let (terminology, rows) = with(row);
            for field in [Field::Allergy, Field::Medication] {
                let meaning = terminology.understand(field, name);
                assert!(!meaning.known && meaning.partly, "{row}: {meaning:?}");
            }
            let (place, _, meant) = terminology.unresolved(&rows).unwrap();
            assert_eq!((place, meant), (0, near), "{row}");
        }
    }

    #[test]
    fn a_row_and_what_it_names_are_of_one_kind() {
        for (row, named) in [
            ("drug,ultraproct,,,no medications", "no medications"),
            ("drug,mine,,gout,", "gout"),
            ("condition,foo,,,penicillin", "penicillin"),
            ("class,ours,,,asthma", "asthma"),
            ("allergen,dust of ours,,,none known", "none known"),
        ] {
            let (terminology, rows) = with(row);
            let unresolved = terminology.unresolved(&rows).map(|(place, name, _)| (place, name));
            assert_eq!(unresolved, Some((0, named)), "{row}");
        }
        for (row, kind) in [
            ("none,penicillin,,,allergy", TermKind::Class),
            ("condition,Amoxicillin,,,", TermKind::Drug),
            ("drug,asthma,,,", TermKind::Condition),
            ("class,no known allergies,,,", TermKind::None),
        ] {
            let (terminology, rows) = with(row);
            assert_eq!(terminology.misplaced(&rows), Some((0, kind)), "{row}");
            // An import of an earlier day changes nothing of what is known.
            assert!(terminology.understand(Field::Allergy, "amoxicillin").groups.contains("penicillin"));
            assert!(terminology.understand(Field::Allergy, "penicillin").known, "{row}");
        }
        for row in [
            "drug,penicillin,Penny,,beta-lactam",
            "class,aspirin,,,",
            "allergen,insulin,,,",
            "none,nothing of ours,,,allergy",
        ] {
            let (terminology, rows) = with(row);
            assert_eq!((terminology.misplaced(&rows), terminology.unresolved(&rows)), (None, None), "{row}");
        }
    }

    #[test]
    fn a_row_that_is_in_itself_is_a_substance_and_no_end() {
        for rows in ["drug,self,,self,", "drug,one,,two,\ndrug,two,,one,"] {
            let (terminology, rows) = with(rows);
            let meaning = terminology.understand(Field::Medication, &rows[0].name);
            assert!(meaning.known && !meaning.names.is_empty(), "{rows:?}: {meaning:?}");
        }
    }

    #[test]
    fn a_group_is_meant_whatever_the_form_of_its_name() {
        let file =
            "kind,name,cross_reactivity\ndrug,mine,Penicillins;our own groups\ndrug,other,our own group\n";
        let rows = read_terms(file.as_bytes()).unwrap();
        let terminology = Terminology::new(rows.iter().map(|(_, term)| term));
        let groups = |name: &str| terminology.understand(Field::Allergy, name).groups;
        assert!(groups("mine").contains("penicillin"), "{:?}", groups("mine"));
        assert!(!groups("mine").is_disjoint(&groups("other")));
    }

    #[test]
    fn a_code_of_a_combination_is_not_that_of_a_class_alone() {
        let terminology = Terminology::default();
        for code in ["N02AJ09", "M01AE51", "B01AC56", "C08CA51", "N06DA52", "J01CR50", "B01AC30"] {
            assert!(!terminology.understand(Field::Allergy, code).known, "{code}");
        }
        for (code, name) in
            [("N02AJ08", "ibuprofen"), ("N02AJ14", "dexketoprofen"), ("J01CA17", "penicillin")]
        {
            let meaning = terminology.understand(Field::Allergy, code);
            assert!(meaning.known && meaning.names.contains(name), "{code}: {meaning:?}");
        }
        for (text, name) in [("MAOIs", "monoamine oxidase inhibitor"), ("timolol eye drops", "timolol")] {
            let meaning = terminology.understand(Field::Medication, text);
            assert!(meaning.known && meaning.names.contains(name), "{text}: {meaning:?}");
        }
    }

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
            assert_eq!(terminology.belongs(written), list, "{written}");
        }
    }
}
