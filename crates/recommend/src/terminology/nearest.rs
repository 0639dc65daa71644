//! What may have been meant by words that are not understood: for telling people, never for taking it so. A word of another
//! meaning is none, however alike it looks: "hypokalemia" is no misspelt "hyperkalemia".

use super::conditions::is_qualifier;
use super::normal::{self, normalise};
use super::{Field, Terminology, mentions, reduced};

/// Beginnings of words that make their meanings apart.
const PREFIXES: [&[&str]; 6] = [
    &["hyper", "hypo"],
    &["ante", "anti"],
    &["intra", "inter", "extra", "infra"],
    &["pre", "post", "peri"],
    &["macro", "micro"],
    &["endo", "exo"],
];
/// What before a word denies it.
const DENYING: [&str; 6] = ["a", "an", "non", "un", "in", "dys"];

impl Terminology {
    /// As [`Terminology::nearest`], of the terms alone.
    pub fn nearest_term(&self, field: Field, text: &str) -> Option<String> {
        let look = || self.nearest(field, text, std::iter::empty()).map(Into::into);
        self.remembered.or_look(field, text, look).map(|near| near.to_string())
    }

    /// The known word most like these, of the terms and of `more`, if one is very like: one
    /// letter in five different at most, two in all. Ties go to the first in alphabetical order.
    pub fn nearest<'a>(
        &'a self,
        field: Field,
        text: &str,
        more: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let normal = normalise(text);
        let words = normal::without_wording(&normal);
        // What was read of it and denied was not meant for another.
        if field == Field::Condition && !self.read(&words, false, is_qualifier).found.is_empty() {
            return None;
        }
        // As it is written, what is left of it without dose and form, and each word of its own.
        let mut wanted = vec![normal::key(&words)];
        wanted.extend(reduced(&words).map(|left| normal::key(&left)));
        wanted.extend(mentions::unexplained(&words));
        wanted.dedup();
        // What is a name itself was not meant for another.
        let named = |word: &str| {
            self.lookup(word).is_some_and(|names| names.iter().any(|name| self.admits(field, name)))
        };
        wanted.retain(|word| !named(word));
        let admitted =
            self.index.iter().filter(|(_, names)| names.iter().any(|name| self.admits(field, name)));
        let words = admitted.map(|(word, _)| word.as_ref()).chain(more);
        let words = words.filter(|word| word.len() > 3 && !word.contains(':'));
        let measured = words
            .flat_map(|word| wanted.iter().filter_map(move |wanted| Some((distance(wanted, word)?, word))));
        measured.min().map(|(_, word)| word)
    }
}

/// By how many letters two words differ, if it is so few that one may have been meant for the other.
fn distance(wanted: &str, word: &str) -> Option<usize> {
    let most = (wanted.chars().count() / 5).min(2);
    if is_opposite(wanted, word) {
        return None;
    }
    let close = most > 0 && word.len().abs_diff(wanted.len()) <= 2 * most && word.chars().count() > 3;
    let distance = close.then(|| strsim::osa_distance(wanted, word))?;
    // A word that begins with another letter and differs in a second is another word.
    let alike = distance == 1 || wanted.chars().next() == word.chars().next();
    (alike && (1..=most).contains(&distance)).then_some(distance)
}

/// Whether any of the words differ in a beginning that makes the meaning another.
fn is_opposite(one: &str, other: &str) -> bool {
    let apart = |one: &str, other: &str| {
        let begins = |word: &str| {
            PREFIXES
                .iter()
                .flat_map(|set| set.iter().map(move |prefix| (set, *prefix)))
                .filter(|(_, prefix)| word.starts_with(prefix))
                .max_by_key(|(_, prefix)| prefix.len())
        };

        let prefixed = matches!((begins(one), begins(other)),
            (Some((set, prefix)), Some((same, another))) if set == same && prefix != another);
        let denied = |long: &str, short: &str| {
            DENYING.iter().any(|prefix| long.strip_prefix(prefix).is_some_and(|rest| rest == short))
        };
        prefixed || denied(one, other) || denied(other, one)
    };
    one.split(' ').zip(other.split(' ')).any(|(one, other)| apart(one, other))
}
