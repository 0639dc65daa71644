//! Known names among other words: of "Take amoxicillin 500 mg TID x 7d" or "piperacillin-tazobactam (ZOSYN) 4.5 g
//! in sodium chloride 0.9 % IVPB" the substances. Records and order catalogues write so. If nothing but doses,
//! forms, salts and wording is left beside the names, the words are understood; otherwise in part, and whoever
//! asks has to say so: a name that stands among other words is no guess, what stands beside it may matter too.

use super::normal::{self, is_dose_word, is_salt};
use super::wording::{
    BEFORE_ARTICLE, BEFORE_TIMES, COMMENTS, EVERYWHERE, LETTERS, TIMES, UNITS, WORDING, WORDING_ZH,
};
use super::{Field, Meaning, Terminology};

/// The most words in a name that is looked for.
pub(super) const LONGEST: usize = 6;

/// The most words looked at: a text longer than that is no name.
const MOST_WORDS: usize = 60;

/// What parts of a text stand between.
pub(super) const SEPARATORS: [char; 11] = [',', ';', '/', '&', '+', '(', ')', '[', ']', '{', '}'];

/// Whether the name is of a script that puts no space between words; a number may stand within it.
pub fn is_unspaced(name: &str) -> bool {
    let ideograph = |c: char| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}');
    let edges = name.starts_with(ideograph) && name.ends_with(ideograph);
    edges && name.chars().nth(1).is_some() && name.chars().all(|c| ideograph(c) || c.is_ascii_digit())
}

/// A word, whether it stands in brackets (there it comments on what is outside), and in which part of the text between
/// separators.
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    aside: bool,
    part: usize,
}

pub(super) fn words(normal: &str) -> Vec<Word<'_>> {
    let (mut depth, mut parts) = (0_usize, 0_usize);
    let mut words = Vec::new();
    let mut from = None;
    for (at, c) in normal.char_indices().chain([(normal.len(), ' ')]) {
        // A dot or comma between digits belongs to a number.
        let part = c.is_alphanumeric() || matches!(c, '%' | '.');
        match (part, from) {
            (true, None) => from = Some(at),
            (false, Some(start)) => {
                let text = normal[start..at].trim_matches('.');
                if !text.is_empty() && words.len() < MOST_WORDS {
                    let joint = matches!(text, "and" | "with");
                    parts += usize::from(joint);
                    words.push(Word { text, aside: depth > 0, part: parts });
                    parts += usize::from(joint || normal[start..at].ends_with('.'));
                }
                from = None;
            }
            _ => {}
        }
        parts += usize::from(SEPARATORS.contains(&c));
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    words
}

/// Whether a word says nothing of the substance.
fn is_wording(word: &str) -> bool {
    let one = normal::singular(word);
    // A code may stay silent beside words that are understood.
    let code = || word.contains('.') && super::conditions::dotted(word).is_some();
    LETTERS.contains(&word)
        || code()
        || is_interval(word)
        || word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '%' | '.'))
        || [word, one.as_str()]
            .into_iter()
            .any(|form| WORDING.contains(&form) || is_dose_word(form) || is_salt(form))
}

/// Whether it says how often: "q24h", "x1".
fn is_interval(word: &str) -> bool {
    if word
        .strip_prefix('x')
        .is_some_and(|times| !times.is_empty() && times.bytes().all(|b| b.is_ascii_digit()))
    {
        return true;
    }
    let rest = word.strip_prefix('q').unwrap_or_default();
    let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < rest.len() && ["", "h", "hr", "hrs", "d", "min"].contains(&unit)
}

/// Whether the word at this place says nothing of the substance, where it stands.
fn says_nothing(words: &[Word<'_>], at: usize) -> bool {
    let word = words[at].text;
    let before = at.checked_sub(1).map(|before| words[before].text);
    let counted = before.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let one = normal::singular(word);
    if TIMES.contains(&word) || TIMES.contains(&one.as_str()) {
        return counted || before.is_some_and(|before| BEFORE_TIMES.contains(&before));
    }
    match word {
        "a" => before.is_none_or(|before| BEFORE_ARTICLE.contains(&before)),
        // "U-100" is how strong insulin is.
        "u" if words.get(at + 1).is_some_and(|next| ["100", "200", "300", "500"].contains(&next.text)) => {
            true
        }
        word if UNITS.contains(&word) => counted,
        word => is_wording(word),
    }
}

/// The words that say something and may be misspelt names.
pub fn unexplained(normal: &str) -> Vec<String> {
    let long = |word: &Word<'_>| word.text.chars().count() >= 5 && !is_wording(word.text);
    words(normal).iter().filter(|word| long(word)).take(6).map(|word| word.text.to_owned()).collect()
}

/// Whether a word in brackets only comments on what stands outside.
fn is_comment(word: &str) -> bool {
    COMMENTS.contains(&word) || COMMENTS.contains(&normal::singular(word).as_str())
}

/// The words that name something, in the singular: neither wording nor words that are part of many texts.
pub(super) fn naming_words(normal: &str) -> Vec<String> {
    let words = words(normal);
    let names = (0..words.len()).filter(|at| names_something(&words, *at));
    names.map(|at| normal::singular(words[at].text)).collect()
}

/// Whether a word is long enough to tell one thing from others.
pub(super) fn is_long(word: &str) -> bool {
    word.chars().filter(|c| c.is_alphabetic()).count() >= 4
}

/// Whether any of the words may be a name.
pub(super) fn says_something(normal: &str) -> bool {
    let words = words(normal);
    (0..words.len()).any(|at| is_long(words[at].text) && names_something(&words, at))
}

/// Whether it is what a drug can be bound to.
fn is_bound(word: &str) -> bool {
    is_salt(word) || matches!(word, "natrium" | "kalium")
}

/// Whether all of the words are wording. What a drug can be bound to is a substance where it stands alone.
pub(super) fn is_all_wording(normal: &str) -> bool {
    let words = words(normal);
    let empty = |at: usize| {
        let word = &words[at];
        (word.aside && is_comment(word.text)) || (says_nothing(&words, at) && !is_bound(word.text))
    };
    words.len() < MOST_WORDS && (0..words.len()).all(empty)
}

fn names_something(words: &[Word<'_>], at: usize) -> bool {
    let word = words[at].text;
    !says_nothing(words, at) && !is_comment(word) && !EVERYWHERE.contains(&word)
}

/// Whether a word that may be wording is all that its part of the text says, but for doses: there it is no wording of
/// another name.
fn is_alone(words: &[Word<'_>], at: usize) -> bool {
    let part = words[at].part;
    // In brackets stands what something is bound to.
    let bound = words[at].aside && is_bound(words[at].text);
    let others = (0..words.len()).filter(|&other| other != at && words[other].part == part);
    !bound && others.into_iter().all(|other| says_nothing(words, other) && !is_bound(words[other].text))
}

/// Whether the number that ends a name is none of it: "3 times a day", "3 days".
fn is_count(words: &[Word<'_>], end: usize) -> bool {
    let number = |word: &Word<'_>| word.text.len() <= 2 && word.text.bytes().all(|b| b.is_ascii_digit());
    let time = |word: &Word<'_>| {
        let one = normal::singular(word.text);
        one == "time" || one == "x" || TIMES.contains(&one.as_str())
    };
    words.get(end - 1).is_some_and(number) && words.get(end).is_some_and(time)
}

impl Terminology {
    /// What the known names among these normalised words mean; `known` if nothing that matters is left
    /// beside them, else `partly`. `None` where there is no known name.
    pub(super) fn among(&self, field: Field, normal: &str) -> Option<Meaning> {
        let mut meaning = Meaning::default();
        let (text, mut found) = self.unspaced_among(field, normal, &mut meaning);
        let words = words(&text);
        // What was not looked at may say anything.
        let mut left = words.len() == MOST_WORDS;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let denied = at.checked_sub(1).is_some_and(|before| words[before].text == "non");
            let most = LONGEST.min(words.len() - at);
            let named = (1..=most).rev().filter(|_| !denied).find_map(|n| {
                let name = self.named(field, &words, at, n)?;
                if n > 1 && is_count(&words, at + n) {
                    return None;
                }
                let free = words.get(at + n).is_some_and(|next| next.text == "free");
                (!free).then_some((n, name))
            });
            match named {
                Some((n, name)) => {
                    meaning.merge(name);
                    found = true;
                    at += n;
                }
                None => {
                    let comment = word.aside && is_comment(word.text);
                    // Who asks for drugs may have what else is in them: it is compared with allergies.
                    let allergen = || {
                        let most = LONGEST.min(words.len() - at);
                        let among = |n: &usize| self.named(Field::Allergy, &words, at, *n).is_some();
                        (1..=most).rev().find(among).filter(|_| field == Field::Medication)
                    };
                    // What a drug is bound to is a substance where no drug stands beside it.
                    let unbound = is_bound(word.text) && words.len() > 1 && is_alone(&words, at);
                    let silent = comment || (says_nothing(&words, at) && !unbound);
                    let over = if silent { Some(1) } else { allergen() };
                    left |= over.is_none();
                    at += over.unwrap_or(1);
                }
            }
        }
        // Beside a drug of it the name of a class says no more than that drug does: "ferrous sulfate (65 mg iron)".
        if field == Field::Medication {
            let mut classes = Meaning::default();
            for name in meaning.names.iter().filter(|name| !self.is_class(name)) {
                self.climb(name, &mut classes);
            }
            meaning.names.retain(|name| !self.is_class(name) || !classes.broader.contains(name));
        }
        found.then_some(Meaning { known: !left, partly: left, ..meaning })
    }

    /// What the name of this many words at this place means.
    fn named(&self, field: Field, words: &[Word<'_>], at: usize, count: usize) -> Option<Meaning> {
        let first = words.get(at)?;
        let letters = first.text.chars().all(char::is_alphabetic);
        // A salt is no drug, and a form none beside one; where nothing stands beside them they may be what they are called.
        let wording = || {
            let one = normal::singular(first.text);
            let drug = || {
                let names = self.lookup(&one).unwrap_or_default();
                names.iter().any(|name| !self.is_class(name)) && !is_dose_word(&one)
            };
            let form = field == Field::Medication && !is_bound(&one) && !drug();
            is_wording(first.text) && (form || !is_alone(words, at))
        };
        // A number of a dose may be a code of something.
        if !letters || first.text.chars().count() < 3 || (count == 1 && wording()) {
            return None;
        }
        let name = words.get(at..at + count)?.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
        let names = self.lookup(&name)?;
        let mut meaning = Meaning::default();
        self.explain_all(field, names, &mut meaning);
        (!meaning.broader.is_empty()).then_some(meaning)
    }

    /// Takes the names without spaces between words out of a text, and the wording of their language.
    pub(super) fn unspaced_among(&self, field: Field, normal: &str, meaning: &mut Meaning) -> (String, bool) {
        let mut text = normal.to_owned();
        let mut found = false;
        if text.is_ascii() {
            return (text, found);
        }
        for name in self.unspaced.iter().filter(|name| normal.contains(name.as_ref())) {
            // It may have been part of a longer name.
            if !text.contains(name.as_ref()) {
                continue;
            }
            let meant = self.index.get(name).into_iter().flatten().filter(|name| self.admits(field, name));
            for name in meant {
                self.explain(name, meaning);
                found = true;
            }
            text = text.replace(name.as_ref(), " ");
        }
        if found {
            for wording in WORDING_ZH {
                text = text.replace(wording, " ");
            }
        }
        (text, found)
    }
}
