//! Phrases that say something of a name near them, and those that end what they say.
//!
//! All of them are our own, and English. A phrase is written as [`super::tokens`] cuts it, words apart by blanks; where
//! several begin at one place the longest counts, so that "family history of" is no "history of".

use std::collections::HashMap;
use std::sync::LazyLock;

use denials::{
    CHANGES, DENIED, DENIED_LIST, DENIED_NEAR, DENIES, DENIES_A_WORD, DENIES_IN_A_NAME, DENIES_OPENING,
    DID_NOT, NOTHING,
};
use notices::{NOBODY, NOTICES, NOTICES_NOT, SINGLED, UNSINGLED};
use people::{
    DENIES_FAMILY, DENIES_PAST, FAMILY, FAMILY_BACK, OTHERS, PAST, PAST_ADJECTIVES, PAST_BEFORE, PAST_NEXT,
    PATIENT, RELATIVES,
};
use suppositions::{DENIES_AND_SUPPOSES, SUPPOSED, SUPPOSED_NEAR, SUPPOSES, SUPPOSES_NEXT, UNLIKELY};
use turns::{AFFIRMS, CIRCUMSTANCES, NOTED, RESUMES, RETURNS, SUBORDINATES, TURNS};

pub mod denials;
pub mod notices;
pub mod people;
pub mod suppositions;
pub mod turns;

/// What a cue says of a name: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Says(pub u8);

impl Says {
    /// It is not so.
    pub const DENIED: Says = Says(1);
    /// It may be so, or may become so.
    pub const SUPPOSED: Says = Says(2);
    /// It was so.
    pub const PAST: Says = Says(4);
    /// It is so of a relative.
    pub const FAMILY: Says = Says(8);
    /// It is so of somebody else.
    pub const OTHER: Says = Says(16);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Says) -> Says {
        Says(self.0 | other.0)
    }

    /// Whether it says any of `other`.
    pub const fn any(self, other: Says) -> bool {
        self.0 & other.0 > 0
    }
}

/// What a phrase does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Speaks of what follows it.
    Ahead(Says),
    /// Speaks of what follows it up to a comma.
    Next(Says),
    /// Speaks of what follows it, unless a name begins with it: "absence of the iris".
    Begins(Says),
    /// Speaks of what follows it where it begins a statement.
    Opens(Says),
    /// Speaks of a name right behind it, or of one that begins with it.
    Adjective(Says),
    /// Speaks of what stands before it.
    Back(Says),
    /// Speaks of what stands right before it.
    Near(Says),
    /// Speaks of what stands right before it, and of the list that this ends.
    List(Says),
    /// Speaks of the one word behind it.
    Word(Says),
    /// A person who may be the one that is spoken of.
    Person(Says),
    /// Looks like a cue and is none.
    Nothing,
    /// Ends what was said before it, but not of whom.
    Turns,
    /// The like, but what was said before it is not of what it only tells the circumstances of.
    Circumstance,
    /// Begins a new statement behind a comma, "and" or "or".
    Resumes,
    /// Says behind a name that it is there.
    Affirms,
    /// The like, but at the end of a list it speaks of the list.
    Notes,
    /// Begins what is said of a name by the way.
    Subordinates,
    /// A change of what is there.
    Changes,
    /// Begins a new statement of the patient.
    Returns,
    /// The patient.
    Patient,
}

/// The words of a phrase, and what it does.
type Phrase = (Vec<&'static str>, Does);

/// Every phrase with what it does, by its first word.
static PHRASES: LazyLock<HashMap<&str, Vec<Phrase>>> = LazyLock::new(|| {
    let (denied, supposed, past) = (Says::DENIED, Says::SUPPOSED, Says::PAST);
    let groups = [
        (NOTHING, Does::Nothing),
        (TURNS, Does::Turns),
        (CIRCUMSTANCES, Does::Circumstance),
        (RESUMES, Does::Resumes),
        (AFFIRMS, Does::Affirms),
        (NOTED, Does::Notes),
        (SUBORDINATES, Does::Subordinates),
        (CHANGES, Does::Changes),
        (RETURNS, Does::Returns),
        (PATIENT, Does::Patient),
        (DENIES, Does::Ahead(denied)),
        (DID_NOT, Does::Ahead(denied)),
        (DENIES_IN_A_NAME, Does::Begins(denied)),
        (DENIES_A_WORD, Does::Word(denied)),
        (DENIES_OPENING, Does::Opens(denied)),
        (SUPPOSES, Does::Ahead(supposed)),
        (SUPPOSES_NEXT, Does::Next(supposed)),
        (DENIES_AND_SUPPOSES, Does::Ahead(denied.and(supposed))),
        (PAST, Does::Ahead(past)),
        (PAST_NEXT, Does::Next(past)),
        (PAST_ADJECTIVES, Does::Adjective(past)),
        (DENIES_PAST, Does::Ahead(denied.and(past))),
        (FAMILY, Does::Ahead(Says::FAMILY)),
        (DENIES_FAMILY, Does::Ahead(denied.and(Says::FAMILY))),
        (DENIED, Does::Back(denied)),
        (SUPPOSED, Does::Back(supposed)),
        (PAST_BEFORE, Does::Back(past)),
        (FAMILY_BACK, Does::Back(Says::FAMILY)),
        (DENIED_NEAR, Does::Near(denied)),
        (DID_NOT, Does::Near(denied)),
        (DENIED_LIST, Does::List(denied)),
        (SUPPOSED_NEAR, Does::Near(supposed)),
        (UNLIKELY, Does::Near(denied.and(supposed))),
        (RELATIVES, Does::Person(Says::FAMILY)),
        (OTHERS, Does::Person(Says::OTHER)),
    ];
    let mut phrases: HashMap<&str, Vec<(Vec<&str>, Does)>> = HashMap::new();
    for (group, does) in groups {
        for phrase in group {
            let words: Vec<&str> = phrase.split(' ').collect();
            phrases.entry(words[0]).or_default().push((words, does));
        }
    }
    let mut unnoticed = |who: &'static str, verb: &'static str, what: Option<&'static str>, does: Does| {
        let words: Vec<&str> = who.split(' ').chain(verb.split(' ')).chain(what).collect();
        phrases.entry(words[0]).or_default().push((words, does));
    };
    for verb in NOTICES {
        for who in NOBODY {
            unnoticed(who, verb, None, Does::Nothing);
            UNSINGLED.iter().for_each(|what| unnoticed(who, verb, Some(what), Does::Ahead(denied)));
        }
        for who in NOTICES_NOT {
            SINGLED.iter().for_each(|what| unnoticed(who, verb, Some(what), Does::Nothing));
        }
    }
    phrases.values_mut().for_each(|of| of.sort_by_key(|(words, _)| std::cmp::Reverse(words.len())));
    phrases
});

/// The longest phrase that begins at `at`: its words, and everything that it may do.
pub fn longest(lowers: &[&str], at: usize) -> Option<(usize, Vec<Does>)> {
    let of = PHRASES.get(lowers.get(at)?)?;
    let mut begins = of.iter().filter(|(words, _)| lowers[at..].starts_with(words)).peekable();
    let length = begins.peek()?.0.len();
    Some((length, begins.take_while(|(words, _)| words.len() == length).map(|(_, does)| *does).collect()))
}
