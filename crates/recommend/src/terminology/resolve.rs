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

/// What makes rows of a terminology such as nobody can have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The term of this name is of itself, by these classes or parts.
    Cycle(Vec<String>),
    /// The word for none is the name of a term, or names one.
    Names(String, String),
    /// The word for none is very like the name of a term.
    Like(String, String),
}

impl Terminology {
    /// The first of these rows that cannot be meant, with its place.
    pub fn mistaken(&self, rows: &[Term]) -> Option<(usize, Mistake)> {
        let of_itself = |(place, row): (usize, &Term)| {
            let name = plain(&row.name);
            let mut way = vec![Key::clone(&name)];
            self.leads_back(&name, &name, &mut BTreeSet::new(), &mut way).then(|| {
                let way = way.iter().map(|name| name.to_string()).collect();
                (place, Mistake::Cycle(way))
            })
        };
        rows.iter().enumerate().find_map(of_itself).or_else(|| {
            let none = |row: &Term| row.kind == TermKind::None;
            // What the rows themselves say to be none must not hide what it is else.
            let others = rows.iter().any(none).then(|| Self::new(rows.iter().filter(|row| !none(row))))?;
            let found = rows.iter().enumerate().filter(|(_, row)| none(row));
            found.filter_map(|(place, row)| Some((place, others.no_word_for_none(row)?))).next()
        })
    }

    /// Whether the classes and parts of `name` lead to `to`, and by which.
    fn leads_back(&self, name: &Key, to: &Key, seen: &mut BTreeSet<Key>, way: &mut Vec<Key>) -> bool {
        let Some(node) = self.nodes.get(name).filter(|node| node.kind != TermKind::None) else {
            return false;
        };
        for next in node.classes.iter().chain(&node.ingredients) {
            way.push(Key::clone(next));
            if next == to || seen.insert(Key::clone(next)) && self.leads_back(next, to, seen, way) {
                return true;
            }
            way.pop();
        }
        false
    }

    /// What words name, or are very like, that are said to be some for none in these lists, or in all.
    fn no_word_for_none(&self, row: &Term) -> Option<Mistake> {
        let lists = [Field::Allergy, Field::Medication, Field::Condition];
        let meant =
            |list: &Field| row.classes.is_empty() || row.classes.iter().any(|name| name == list.as_str());
        let words = || std::iter::once(&row.name).chain(&row.synonyms);
        let all = || words().flat_map(|word| lists.into_iter().filter(meant).map(move |list| (word, list)));
        let named = |(word, list): (&String, Field)| {
            let meaning = self.understand(list, word);
            let name = meaning.names.first().filter(|_| meaning.known || meaning.partly)?;
            Some(Mistake::Names(word.to_owned(), name.to_string()))
        };
        let like = |(word, list): (&String, Field)| {
            let near = self.nearest(list, word, std::iter::empty())?;
            // It may well be like another word for none.
            let some = !self.understand(list, near).names.is_empty();
            some.then(|| Mistake::Like(word.to_owned(), near.to_owned()))
        };
        all().find_map(named).or_else(|| all().find_map(like))
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
    fn what_cannot_be_meant_is_found() {
        for (rows, place, told) in [
            (
                "class,ca,,,cb\nclass,cb,,,ca",
                0,
                Mistake::Cycle(["ca", "cb", "ca"].map(str::to_owned).to_vec()),
            ),
            (
                "drug,fine,,,statin\ndrug,one,,,two\ndrug,two,,,three\ndrug,three,,,one",
                1,
                Mistake::Cycle(["one", "two", "three", "one"].map(str::to_owned).to_vec()),
            ),
            ("drug,self,,self,", 0, Mistake::Cycle(["self", "self"].map(str::to_owned).to_vec())),
            (
                "class,antihypertensive,,,ace inhibitor",
                0,
                Mistake::Cycle(
                    ["antihypertensive", "ace inhibitor", "raas inhibitor", "antihypertensive"]
                        .map(str::to_owned)
                        .to_vec(),
                ),
            ),
            ("none,penicilin,,,allergy", 0, Mistake::Like("penicilin".to_owned(), "penicillin".to_owned())),
            (
                "none,nichts,penicillin,,allergy",
                0,
                Mistake::Names("penicillin".to_owned(), "penicillin".to_owned()),
            ),
            (
                "none,nkda2,amoxicillin|penicillin,,allergy",
                0,
                Mistake::Names("amoxicillin|penicillin".to_owned(), "amoxicillin".to_owned()),
            ),
            (
                "none,no peanuts,asthma,,condition",
                0,
                Mistake::Names("asthma".to_owned(), "asthma".to_owned()),
            ),
            (
                "drug,zorbamycin,,,\nnone,Zorbamycn,,,allergy",
                1,
                Mistake::Like("Zorbamycn".to_owned(), "zorbamycin".to_owned()),
            ),
        ] {
            let (terminology, rows) = with(rows);
            assert_eq!(terminology.mistaken(&rows), Some((place, told)), "{rows:?}");
        }
        for rows in [
            "none,keine Allergien bekannt,keine,,allergy",
            "none,nicht bekannt,nbk;no known allergie,,allergy;medication",
            "none,无过敏,没有过敏;未发现过敏,,allergy",
            "class,ours,,,statin\ndrug,mine,,,ours",
            "drug,Tylenol,,paracetamol,\ndrug,penicillin,Penny,,beta-lactam",
        ] {
            let (terminology, rows) = with(rows);
            assert_eq!(terminology.mistaken(&rows), None, "{rows:?}");
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
