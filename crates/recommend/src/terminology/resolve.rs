//! What terms say of each other: the ingredients and classes that a row names, in the words in which somebody wrote them.

use std::collections::BTreeSet;

use super::normal;
use super::{Field, Key, Term, TermKind, Terminology, plain};

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
}

/// The list in which the classes and ingredients of a term stand.
fn listed(kind: TermKind) -> Field {
    match kind {
        TermKind::Drug | TermKind::Class => Field::Medication,
        TermKind::Allergen => Field::Allergy,
        TermKind::Condition | TermKind::None => Field::Condition,
    }
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
}
