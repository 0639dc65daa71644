//! Conditions that are over, of which some count all the same once somebody has had them, and those that ended at an age, which
//! the person is past by the year of birth that is known. These are kept beside the lists in the profile's `recorded`, since
//! the year may be corrected: who is younger than was thought has them still.

use recommend::{Profile, Recorded, Terminology};

use super::people::{List, OVER, Says, Statement};
use super::resources::clean;

/// The name among what is recorded, which is that of no list.
pub(super) const NAME: &str = "ended";
/// Stands among an entry's codes before the last year of birth with which it has ended.
const BORN_BY: &str = "born by ";

/// What a condition that is over says: nothing, unless it speaks against drugs once somebody has had it. Who has had a stroke
/// has a history of one.
pub(super) fn once_had(says: Says) -> Says {
    let Says::Entry { words, codes, synonyms } = says else { return Says::Nothing(OVER) };
    let terms = Terminology::shared(&[]);
    let counts = codes.iter().chain(&synonyms).chain([&words]).any(|text| terms.counts_once_had(text));
    if counts {
        Says::Entry { words: clean(&format!("{words} (resolved)")), codes, synonyms }
    } else {
        Says::Nothing(OVER)
    }
}

/// Takes back what these resources said of it.
pub(super) fn take_back(profile: &mut Profile, said: &dyn Fn(&str) -> bool) {
    let Some(ended) = profile.recorded.get_mut(NAME) else { return };
    for known in ended.values_mut() {
        known.resources.retain(|resource| !said(resource));
    }
    put(profile, |known| !known.resources.is_empty());
}

/// Keeps what a resource says of a condition that has ended if the person was born in this year or before.
pub(super) fn keep(profile: &mut Profile, resource: &str, born_by: i32, says: &Says) {
    let Says::Entry { words, codes, synonyms } = says else { return };
    let ended = profile.recorded.entry(NAME.to_owned()).or_default();
    let known = ended.entry(words.clone()).or_default();
    // Of several that say it in these words the one that ended last has it come back.
    let year = year(known).map_or(born_by, |other| other.min(born_by));
    known.codes.retain(|code| !code.starts_with(BORN_BY));
    known.codes.push(format!("{BORN_BY}{year}"));
    add(&mut known.codes, codes);
    add(&mut known.synonyms, synonyms);
    add(&mut known.resources, &[resource.to_owned()]);
}

/// What holds after all, or may, by the year of birth as it is now: it is kept here no more.
pub(super) fn back(profile: &mut Profile) -> Vec<Statement> {
    let born = profile.birth_year;
    let holds = |known: &Recorded| year(known).zip(born).is_none_or(|(year, born)| born > year);
    let ended = profile.recorded.get(NAME).into_iter().flatten();
    let back = ended.filter(|(_, known)| holds(known)).flat_map(|(words, known)| {
        known.resources.iter().map(move |resource| Statement {
            entry: 0,
            list: List::Conditions,
            resource: resource.clone(),
            says: Says::Entry {
                words: words.clone(),
                codes: known.codes.iter().filter(|code| !code.starts_with(BORN_BY)).cloned().collect(),
                synonyms: known.synonyms.clone(),
            },
        })
    });
    let back: Vec<Statement> = back.collect();
    put(profile, |known| !holds(known));
    back
}

fn year(known: &Recorded) -> Option<i32> {
    known.codes.iter().find_map(|code| code.strip_prefix(BORN_BY)?.parse().ok())
}

fn add(texts: &mut Vec<String>, more: &[String]) {
    let new: Vec<String> = more.iter().filter(|text| !texts.contains(text)).cloned().collect();
    texts.extend(new);
}

fn put(profile: &mut Profile, keep: impl Fn(&Recorded) -> bool) {
    let Some(mut ended) = profile.recorded.remove(NAME) else { return };
    ended.retain(|_, known| keep(known));
    if !ended.is_empty() {
        profile.recorded.insert(NAME.to_owned(), ended);
    }
}
