//! What several words and codes for one thing mean together: the text, the displays and the codes of a record's entry, the
//! name, the synonyms and the ingredients of a drug. What is not understood is kept beside what is, so that whoever
//! asks can say so, and compare it by its name.

use std::collections::BTreeSet;

use super::normal;
use super::{Field, Key, Meaning, TermKind, Terminology, mentions, plain, reduced};
use crate::data::Item;

/// Words that are not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// As they are written.
    pub text: String,
    /// By what a catalogue may know them all the same.
    pub called: BTreeSet<Key>,
    /// Whether some of them are understood.
    pub partly: bool,
}

impl Unclear {
    /// Words that mean this.
    pub fn of(text: &str, meaning: &Meaning) -> Unclear {
        let mut called = BTreeSet::from([plain(text)]);
        // Of words that are understood in part, the names are those of that part.
        if !meaning.partly {
            called.extend(meaning.names.iter().cloned());
        }
        Unclear { text: text.to_owned(), called, partly: meaning.partly }
    }
}

impl Terminology {
    /// What these words, the codes and the other words that were recorded with them mean together: where they say
    /// different things, none is left out. Words that are not understood make the whole understood in part, whatever
    /// stands beside them: they may name another part of it, or another thing. A code may stay silent beside words that
    /// are understood, as many say the same in systems that nobody here knows.
    ///
    /// A condition is understood as soon as any of its words or codes is: most words for conditions say nothing of any
    /// drug.
    pub fn understand_coded<'a>(
        &self,
        field: Field,
        text: &'a str,
        codes: impl IntoIterator<Item = &'a String>,
        others: impl IntoIterator<Item = &'a String>,
    ) -> Meaning {
        let codes: Vec<&str> = codes.into_iter().map(String::as_str).collect();
        let worded = std::iter::once(text).chain(others.into_iter().map(String::as_str));
        let said = worded.map(|words| (words, codes.contains(&words) || is_coded(words)));
        let said = said.chain(codes.iter().filter(|&&code| code != text).map(|&code| (code, true)));
        let mut sum = Meaning::default();
        let mut first = None;
        let (mut words, mut silent) = (Vec::new(), Vec::new());
        for (text, code) in said {
            let mut meaning = self.understand(field, text);
            if meaning.known {
                sum.merge(meaning);
                continue;
            }
            let unclear = Unclear::of(text, &meaning);
            // What else people are allergic to is no drug, and is compared with allergies by its name.
            // Nor does anybody wait for what "tablet" or "allergy to drug" may add.
            let empty = mentions::is_all_wording(&normal::normalise(text));
            let quiet = code || empty || (field == Field::Medication && self.is_allergen(text));
            if quiet {
                silent.push(unclear)
            } else {
                words.push(unclear)
            }
            if meaning.partly {
                sum.merge(meaning);
                continue;
            }
            sum.values.append(&mut meaning.values);
            if !empty {
                sum.unexplained.append(&mut meaning.unexplained);
                sum.single_words.append(&mut meaning.single_words);
                sum.unexplained.extend(meaning.names.iter().cloned());
            }
            first.get_or_insert(meaning);
        }
        if !sum.known && !sum.partly {
            let Meaning { names, broader, .. } = first.unwrap_or_default();
            let unclear = if words.is_empty() { silent } else { words };
            return Meaning { names, broader, unclear, ..sum };
        }
        if field == Field::Condition {
            return sum;
        }
        Meaning { known: words.is_empty(), partly: !words.is_empty(), unclear: words, ..sum }
    }

    /// What an item is, by its name, its codes and what else it is called.
    pub fn understand_item(&self, field: Field, item: &Item) -> Meaning {
        self.understand_coded(field, &item.name, &item.codes(), &item.texts("synonyms"))
    }

    /// What people are allergic to and that is no drug, of what an item is called: soy and latex are in some drugs.
    pub fn contained(&self, item: &Item) -> Meaning {
        let Meaning { broader, unexplained, single_words, .. } = self.understand_item(Field::Allergy, item);
        let mut contained = Meaning { unexplained, single_words, ..Meaning::default() };
        for name in &broader {
            match self.nodes.get(name) {
                // What its words mean as a drug is known already.
                Some(node) if matches!(node.kind, TermKind::Drug | TermKind::Class) => {}
                Some(_) => self.climb(name, &mut contained),
                None => drop(contained.broader.insert(Key::clone(name))),
            }
        }
        contained
    }

    /// Whether all of the words are things that people are allergic to and that are no drugs.
    pub fn is_allergen(&self, text: &str) -> bool {
        let meaning = self.understand(Field::Allergy, text);
        let allergen = |name: &Key| self.nodes.get(name).is_some_and(|node| node.kind == TermKind::Allergen);
        meaning.known && !meaning.names.is_empty() && meaning.names.iter().all(allergen)
    }

    /// The parts of normalised words that no term explains, and the single words of those that are several.
    pub(super) fn unexplained(&self, field: Field, words: &str) -> (BTreeSet<Key>, BTreeSet<Key>) {
        let (mut parts, mut singles) = (BTreeSet::new(), BTreeSet::new());
        // Nothing is compared by them with conditions, and an address is no name.
        if field == Field::Condition || words.contains("://") || is_coded(words) {
            return (parts, singles);
        }
        let pieces = words.split([',', '(', ')', '[', ']', '{', '}']).flat_map(normal::parts);
        for piece in pieces.filter(|piece| self.whole(field, piece).is_none()) {
            if let Some(reduced) = reduced(piece).filter(|left| mentions::says_something(left)) {
                parts.insert(plain(&reduced));
            }
            // As what people are allergic to they are looked up where they stand: some are "latex free".
            let known =
                |word: &str| [field, Field::Allergy].iter().any(|field| self.whole(*field, word).is_some());
            match mentions::naming_words(piece).as_slice() {
                // Nothing but wording stands beside it.
                [only] if mentions::is_long(only) && !known(only) => drop(parts.insert(plain(only))),
                [] | [_] => {}
                several => {
                    parts.insert(plain(&several.join(" ")));
                    let long = several.iter().filter(|word| mentions::is_long(word) && !known(word));
                    singles.extend(long.map(|word| plain(word)));
                }
            }
        }
        (parts, singles)
    }
}

/// Whether a text is a code with its system before it, as `system|code`.
pub(super) fn is_coded(text: &str) -> bool {
    let text = text.trim();
    text.contains('|') && !text.contains(char::is_whitespace)
}
