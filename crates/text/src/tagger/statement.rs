//! A sentence as one that says something of the names in it: its cues, and what ends their reach.
//!
//! A cue before a name reaches on to it, over the members of a list; a cue after it reaches back (Chapman et al. 2001, "A
//! simple algorithm for identifying negated findings and diseases in discharge summaries"; of whom and when: Harkema et
//! al. 2009, "ConText"). A word that turns the sentence, such as "but", ends the reach, and so does a list's member of which
//! the sentence says that it is there. [`super::reach`] says how far, [`super::parts`] frees names of cues.

use std::ops::Range;

use super::cues::denials::{BEINGS, OXIDE_AFTER, OXIDE_BEFORE, PARTS};
use super::cues::people::{BESIDE, DETERMINERS, INFORMS, INFORMS_ALWAYS, NUMBERS, POSSESSIVES, is_heading};
use super::cues::turns::{DAYS, EXAMS, RESTS, UNITS};
use super::cues::{Does, Says, longest};
use super::ties::{Untie, unties};

/// Within how many words somebody who is named does what tells of the patient.
const INFORMS_WITHIN: usize = 3;
/// Within how many words behind "for" a time ends: "for the past three days".
const LASTS_WITHIN: usize = 4;
/// Fewest letters of a word that a sign stands right behind: "fever-", but no "L-".
const SIGNED: usize = 3;

/// Which way a cue reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Ahead,
    /// Up to a comma.
    Next,
    /// Ahead, but not of a name that begins with it.
    Begins,
    Back,
    /// Right before it.
    Near,
    /// Back over a list.
    List,
    /// Of the one word behind it.
    Word,
}

/// A cue, by the tokens of its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cue {
    pub at: Range<usize>,
    pub says: Says,
    pub way: Way,
    /// Whether it parts a name that it stands in.
    pub parts: bool,
}

/// What a token is to the reach of cues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Mark,
    /// A mark that ends no name.
    Open,
    Comma,
    And,
    Or,
    Colon,
    Semicolon,
    Turns,
    Circumstance,
    /// Ties a drug to what it did: nothing behind that speaks of the drug.
    Ties,
    Resumes,
    Returns,
    Patient,
    Person,
    Pronoun,
    /// A later word of what turns, resumes or returns.
    Inner,
    /// Of a mark such as "(-)" that speaks of what stands before it.
    Sign,
    /// Of one that speaks of what follows.
    SignAhead,
}

impl Kind {
    /// Whether it joins the members of a list.
    pub fn lists(self) -> bool {
        matches!(self, Kind::Comma | Kind::And | Kind::Or)
    }
}

/// What a token says of the name before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    Nothing,
    /// It is there.
    There,
    /// The like, but at the end of a list of the whole list.
    Noted,
    /// For how long it has been there.
    Lasts,
    /// Something by the way: what follows is not of the name.
    ByTheWay,
    /// Nothing, but what follows it is there and changes.
    Change,
}

/// What a sentence says. Places count its tokens; those of its heading stand before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    pub(super) heading: usize,
    pub(super) kinds: Vec<Kind>,
    pub(super) tells: Vec<Tells>,
    /// Tokens of headings within the sentence.
    pub(super) headed: Vec<bool>,
    pub(super) cues: Vec<Cue>,
    pub(super) unties: Vec<Untie>,
}

impl Statement {
    /// Reads a sentence: its tokens in lower case, as they were written, and whether something stands between each and the
    /// one before. The first `heading` of them are its heading's.
    pub fn read(lowers: &[&str], words: &[&str], apart: &[bool], heading: usize) -> Statement {
        let mut statement = Statement {
            heading,
            kinds: lowers.iter().map(|lower| plain(lower)).collect(),
            tells: vec![Tells::Nothing; lowers.len()],
            headed: vec![false; lowers.len()],
            cues: Vec::new(),
            unties: unties(lowers),
        };
        let shouts = !words.iter().any(|word| word.contains(char::is_lowercase));
        let mut at = 0;
        while at < lowers.len() {
            if lowers[at] == "?" {
                statement.asks(apart, at);
            }
            let found = longest(lowers, at).filter(|_| shouts || !is_other_word(lowers, words, at));
            at = match found {
                Some((length, does)) => statement.says(lowers, at..at + length, &does),
                None => at + 1,
            };
        }
        for at in 1..lowers.len() {
            let year = lowers[at].len() == 4 && lowers[at].bytes().all(|byte| byte.is_ascii_digit());
            if year && lowers[at - 1] == "in" {
                statement.add(at - 1..at + 1, Says::PAST, Way::Back);
            }
        }
        statement.times(lowers);
        statement.signs(lowers, words, apart);
        for colon in (heading..lowers.len()).filter(|at| lowers[*at] == ":") {
            let label =
                (heading.max(colon.saturating_sub(4))..colon).find(|at| is_heading(&lowers[*at..colon]));
            if let Some(from) = label {
                statement.headed[from..=colon].fill(true);
            }
        }
        statement
    }

    /// How long something has gone on: "for 3 days", "x3 days", "since Monday".
    fn times(&mut self, lowers: &[&str]) {
        let digit =
            |at: usize| lowers.get(at).is_some_and(|word| word.starts_with(|of: char| of.is_ascii_digit()));
        for at in 0..lowers.len() {
            let counted = lowers[at]
                .strip_prefix(['x', '×'])
                .is_some_and(|rest| rest.bytes().next().map_or(digit(at + 1), |byte| byte.is_ascii_digit()));
            let near = &lowers[(at + 1).min(lowers.len())..(at + 1 + LASTS_WITHIN).min(lowers.len())];
            let unit = |word: &&str| UNITS.contains(&word.trim_start_matches(|of: char| of.is_ascii_digit()));
            let lasts = match lowers[at] {
                "for" => near.iter().any(unit),
                "since" => digit(at + 1) || near.first().is_some_and(|next| DAYS.contains(next)),
                _ => counted && (near.iter().any(unit) || unit(&lowers[at].trim_start_matches(['x', '×']))),
            };
            if lasts {
                self.tells[at] = Tells::Lasts;
            }
        }
    }

    /// Marks of what is there and what is not: "fever (-), cough (+)", "+nausea, -vomiting". Those in brackets stand all before
    /// or all behind what they speak of, as the first of them does.
    fn signs(&mut self, lowers: &[&str], words: &[&str], apart: &[bool]) {
        let sign = |at: usize| matches!(lowers[at], "+" | "-" | "–" | "−");
        let brackets: Vec<usize> = (0..lowers.len().saturating_sub(2))
            .filter(|at| lowers[*at] == "(" && sign(at + 1) && lowers[at + 2] == ")")
            // "(-)-baclofen" is a drug.
            .filter(|at| lowers.get(at + 3) != Some(&"-") && (*at == 0 || lowers[at - 1] != "-"))
            .collect();
        let behind = brackets.first().is_some_and(|at| {
            *at > 0
                && self.kinds[at - 1] == Kind::Word
                && !matches!(lowers[at - 1], "with" | "has" | "for" | "is")
        });
        for at in brackets.iter().copied() {
            let says = if lowers[at + 1] == "+" { Says::default() } else { Says::DENIED };
            self.kinds[at..at + 3].fill(if behind { Kind::Sign } else { Kind::SignAhead });
            if behind && says == Says::default() {
                self.tells[at] = Tells::There;
            }
            self.add(at..at + 3, says, if behind { Way::Near } else { Way::Next });
        }
        let word = |at: usize| lowers.get(at).is_some_and(|word| word.starts_with(char::is_alphabetic));
        let opens =
            |at: usize| at == 0 || apart[at] || matches!(self.kinds[at - 1], Kind::Comma | Kind::Open);
        let ahead = |at: usize| sign(at) && word(at + 1) && !apart[at + 1] && opens(at);
        let closed =
            |at: usize| lowers.get(at + 1).is_none_or(|next| matches!(*next, "," | "." | ";" | ")" | "/"));
        let back = |at: usize| {
            let follows = at > 0 && !apart[at] && word(at - 1) && lowers[at - 1].chars().count() >= SIGNED;
            sign(at) && follows && (closed(at) || lowers[at] == "+" && apart[at + 1])
        };
        let glued: Vec<(usize, bool)> = (0..lowers.len())
            .filter_map(|at| ahead(at).then_some((at, true)).or(back(at).then_some((at, false))))
            .collect();
        // A dash alone may begin a line or part a word; beside a plus or behind a comma it denies.
        let plus = glued.iter().any(|(at, _)| lowers[*at] == "+");
        for (at, ahead) in glued {
            let denies = lowers[at] != "+";
            let listed = at > 0 && self.kinds[at - 1] == Kind::Comma;
            let capitals = at > 0 && !ahead && !words[at - 1].contains(char::is_lowercase);
            if denies && !plus && !listed && !capitals {
                continue;
            }
            self.kinds[at] = if ahead { Kind::SignAhead } else { Kind::Sign };
            match (denies, ahead) {
                (true, true) => self.add(at..at + 1, Says::DENIED, Way::Next),
                (true, false) => self.add(at..at + 1, Says::DENIED, Way::Near),
                (false, true) => {}
                (false, false) => self.tells[at] = Tells::There,
            }
        }
    }

    fn add(&mut self, at: Range<usize>, says: Says, way: Way) {
        self.cues.push(Cue { at, says, way, parts: false });
    }

    /// A phrase that turns, resumes or returns.
    fn is(&mut self, at: Range<usize>, kind: Kind) {
        self.kinds[at.clone()].fill(Kind::Inner);
        self.kinds[at.start] = kind;
    }

    /// Takes up a phrase; returns where reading goes on.
    fn says(&mut self, lowers: &[&str], at: Range<usize>, does: &[Does]) -> usize {
        let begins_with_colon = lowers[at.start] == ":" && at.len() > 1;
        // What may speak of either side speaks of what stands before it where nothing follows.
        let closed = lowers.get(at.end).is_none_or(|next| closes(next));
        if begins_with_colon && !closed {
            return at.start + 1;
        }
        let ahead = does.iter().any(|does| matches!(does, Does::Ahead(_) | Does::Next(_)));
        let back = does.iter().any(|does| matches!(does, Does::Near(_)));
        for does in does {
            if matches!(does, Does::Back(Says::SUPPOSED) | Does::Near(Says::SUPPOSED)) {
                self.tells[at.start] = Tells::There;
            }
            match *does {
                Does::Ahead(says) if !(back && closed) => {
                    let parts = PARTS.contains(&lowers[at.start]);
                    self.cues.push(Cue { at: at.clone(), says, way: Way::Ahead, parts });
                }
                Does::Next(says) if !(back && closed) => self.add(at.clone(), says, Way::Next),
                Does::Begins(says) => self.add(at.clone(), says, Way::Begins),
                Does::Back(says) => self.add(at.clone(), says, Way::Back),
                Does::Near(says) if begins_with_colon => self.add(at.clone(), says, Way::List),
                Does::Near(says) if closed || !ahead => self.add(at.clone(), says, Way::Near),
                Does::List(says) if closed || lowers.get(at.end).is_some_and(|next| RESTS.contains(next)) => {
                    self.add(at.clone(), says, Way::List);
                }
                Does::Word(says) if lowers.get(at.end).is_some_and(|next| BEINGS.contains(next)) => {
                    self.add(at.clone(), says, Way::Word)
                }
                Does::Person(says) => self.names_person(lowers, at.clone(), says),
                Does::Turns if lowers[at.start] != ";" => self.is(at.clone(), Kind::Turns),
                Does::Circumstance => self.kinds[at.start] = Kind::Circumstance,
                Does::Affirms => self.tells[at.start] = Tells::There,
                Does::Notes if !is_of_exam(&lowers[at.end..]) => self.tells[at.start] = Tells::Noted,
                Does::Subordinates => self.tells[at.start] = Tells::ByTheWay,
                Does::Changes if lowers.get(at.end).is_some_and(|next| goes_into(next)) => {
                    self.tells[at.start] = Tells::Change;
                }
                Does::Resumes if matches!(lowers[at.start], "he" | "she" | "they" | "i" | "we") => {
                    self.kinds[at.start] = Kind::Pronoun;
                }
                Does::Resumes => self.is(at.clone(), Kind::Resumes),
                Does::Returns => self.is(at.clone(), Kind::Returns),
                // "The father of the patient" is not the patient.
                Does::Patient
                    if !lowers[..at.start].ends_with(&["of"])
                        && !lowers[..at.start].ends_with(&["of", "the"]) =>
                {
                    self.kinds[at.start] = Kind::Patient;
                }
                _ => {}
            }
        }
        at.end
    }

    /// A question mark: before a name where it stands free, and after one.
    fn asks(&mut self, apart: &[bool], at: usize) {
        let follows = at > 0 && !apart[at] && self.kinds[at - 1] != Kind::Open;
        let last = at + 1 == apart.len();
        if !follows && !last {
            let parts = at > 0 && apart[at];
            self.cues.push(Cue { at: at..at + 1, says: Says::SUPPOSED, way: Way::Next, parts });
        }
        if at > 0 && (follows || last) {
            self.add(at..at + 1, Says::SUPPOSED, Way::Near);
        }
    }

    /// A person, unless somebody who tells of the patient or stands beside.
    fn names_person(&mut self, lowers: &[&str], at: Range<usize>, says: Says) {
        self.kinds[at.clone()].fill(Kind::Person);
        let before = lowers[..at.start]
            .iter()
            .rposition(|word| !DETERMINERS.contains(word) && !NUMBERS.contains(word));
        let determiners = &lowers[before.map_or(0, |before| before + 1)..at.start];
        let holds = |words: &[&str]| determiners.iter().any(|word| words.contains(word));
        let behind = &lowers[at.end..];
        let informs = |place: usize, word: &&str| {
            let passive = place > 0 && matches!(behind[place - 1], "was" | "were" | "been" | "is" | "are");
            INFORMS_ALWAYS.contains(word) || INFORMS.contains(word) && !passive
        };
        let of_others = behind.first() == Some(&"of")
            && !behind.iter().take(INFORMS_WITHIN).any(|word| matches!(*word, "patient" | "pt"));
        let prior = before.map(|before| lowers[before]);
        let born = before.is_some_and(|before| lowers[..before].ends_with(&["born"]));
        if behind.iter().enumerate().take(INFORMS_WITHIN).any(|(place, word)| informs(place, word))
            || of_others
            || holds(NUMBERS) && !holds(POSSESSIVES)
            || prior.is_some_and(|prior| BESIDE.contains(&prior)) && !born
        {
            return;
        }
        // A dash is a determiner too ("half-sister"), so it is looked for by itself.
        let dash = determiners.iter().position(|word| matches!(*word, "-" | "–" | "—"));
        let dash = dash.map(|dash| at.start - determiners.len() + dash).filter(|dash| *dash > 0);
        let closed = behind.first().is_none_or(|next| closes(next));
        match (prior, before) {
            (Some("in" | "on" | "affecting" | "affected"), Some(from)) => {
                self.add(from..at.end, says, Way::Back)
            }
            (Some("(" | ":"), Some(from)) if closed && from > 0 => self.add(from..at.end, says, Way::List),
            _ if closed && dash.is_some() => self.add(dash.unwrap_or(at.start)..at.end, says, Way::List),
            _ => self.add(at, says, Way::Ahead),
        }
    }
}

/// What a token is by itself.
fn plain(lower: &str) -> Kind {
    match lower {
        "," | "，" | "、" => Kind::Comma,
        "and" | "/" | "&" | "+" => Kind::And,
        "or" | "nor" => Kind::Or,
        ":" | "：" => Kind::Colon,
        ";" | "；" => Kind::Semicolon,
        "(" | "[" | "-" | "–" | "—" | "." | "?" | "*" | "•" => Kind::Open,
        "induced" | "related" | "associated" => Kind::Ties,
        _ if lower.starts_with(char::is_alphanumeric) => Kind::Word,
        _ => Kind::Mark,
    }
}

/// Whether nothing that belongs to a phrase follows it, if this is what follows.
fn closes(next: &str) -> bool {
    let word = matches!(next, "by" | "on" | "at" | "in" | "with" | "per" | "and" | "today");
    word || matches!(next, "," | "." | ";" | ")" | "]" | "/" | "?" | "!" | "，" | "。")
}

/// Whether what follows a word is by what it was noted.
fn is_of_exam(behind: &[&str]) -> bool {
    matches!(behind, ["on" | "by" | "at", exam, ..] if EXAMS.contains(exam))
}

/// Whether a word leads from a change to what changes: "improvement in".
fn goes_into(next: &str) -> bool {
    matches!(next, "of" | "in" | "from" | "for" | "with" | "on" | "to" | "after")
}

/// Whether a word is another than it looks: "NO" for nitric oxide, "May" for the month.
fn is_other_word(lowers: &[&str], words: &[&str], at: usize) -> bool {
    let next = lowers.get(at + 1);
    match words[at] {
        "NO" => {
            next.is_none_or(|next| OXIDE_BEFORE.contains(next))
                || at > 0 && OXIDE_AFTER.contains(&lowers[at - 1])
        }
        "May" => next.is_some_and(|next| next.starts_with(|digit: char| digit.is_ascii_digit())),
        _ => false,
    }
}
