//! A sentence as one that says something of the names in it: its cues, and what ends their reach.
//!
//! A cue before a name reaches on to it, over the members of a list; a cue after it reaches back (Chapman et al. 2001, "A
//! simple algorithm for identifying negated findings and diseases in discharge summaries"; of whom and when: Harkema et
//! al. 2009, "ConText"). A word that turns the sentence, such as "but", ends the reach, and so does a list's member of which
//! the sentence says that it is there. [`super::reach`] says how far, [`super::parts`] frees names of cues.

use std::ops::Range;

use super::answers::Answer;
use super::cues::denials::{BEINGS, PARTS};
use super::cues::people::{BESIDE, DETERMINERS, INFORMS, INFORMS_ALWAYS, NUMBERS, POSSESSIVES, is_heading};
use super::cues::turns::{CAUSES, RESTS};
use super::cues::{Does, Says, longest};
use super::limits::{Limit, limits};
use super::ties::{Untie, unties};
use super::uses::{Use, uses};
use super::words::{breaks, changes, closes, is_age, is_no_heading, is_of_exam, is_other_word, plain};

/// Within how many words somebody who is named does what tells of the patient.
const INFORMS_WITHIN: usize = 3;
/// Behind "unlikely" where it is unlikely that one thing did another: nothing is said of what follows.
const TIES: &[&str] = &["due", "related", "caused", "secondary", "attributable", "from"];

/// Which way a cue reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Ahead,
    /// Up to a comma.
    Next,
    /// Ahead, but not of a name that begins with it.
    Begins,
    Back,
    /// Ahead, but only of a name right behind or one that begins with it.
    Adjective,
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
    /// Whether somebody who was asked denies, who is asked for several things: "denies chest pain, dyspnea today".
    pub asked: bool,
    /// Whether it denies all the time before: "never".
    pub ever: bool,
    /// Whether it says what somebody is without, who does more: "a man with no allergies developed hives".
    pub with: bool,
}

/// A name of another label than the one that is asked about, by the tokens of the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Its tokens.
    pub at: Range<usize>,
    /// Whether it is a drug, where that is known.
    pub drug: Option<bool>,
}

/// What stands between a token and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    Blank,
    /// A tab, as between the columns of a table.
    Wide,
}

impl Gap {
    pub fn of(between: &str) -> Gap {
        match between {
            "" => Gap::None,
            _ if between.contains('\t') => Gap::Wide,
            _ => Gap::Blank,
        }
    }
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
    /// Something only what is there has: a value, a cause.
    Particular,
    /// When it is so, which a denial may say as well.
    Today,
    /// Nothing, but what begins with it is there.
    Introduces,
    /// Nothing, but a name before it is what is looked for or treated: "malaria test".
    Test,
    Medicine,
    /// Nothing: a bracket.
    Opens,
    Closes,
    /// A word such as "on" that leads from what is denied to what is there.
    LeadsOn,
}

/// What a sentence says. Places count its tokens; those of its heading stand before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    pub(super) heading: usize,
    pub(super) kinds: Vec<Kind>,
    pub(super) tells: Vec<Tells>,
    /// Tokens of headings within the sentence.
    pub(super) headed: Vec<bool>,
    /// Whether a dash or a column begins at each token.
    pub(super) breaks: Vec<bool>,
    /// Whether all of it is in capitals.
    pub(super) shouts: bool,
    pub(super) cues: Vec<Cue>,
    pub(super) unties: Vec<Untie>,
    pub(super) limits: Vec<Limit>,
    /// What each token says of a drug's use.
    pub(super) uses: Vec<Use>,
}

impl Statement {
    /// Reads a clause: its tokens in lower case, as they were written, and what stands between each and the one before. The
    /// first `heading` of them are its heading's.
    pub(super) fn read(
        lowers: &[&str],
        words: &[&str],
        gaps: &[Gap],
        heading: usize,
        answers: &[Answer],
    ) -> Statement {
        let apart: Vec<bool> = gaps.iter().map(|gap| *gap != Gap::None).collect();
        let mut statement = Statement {
            heading,
            kinds: lowers.iter().map(|lower| plain(lower)).collect(),
            tells: vec![Tells::Nothing; lowers.len()],
            headed: vec![false; lowers.len()],
            breaks: breaks(lowers, gaps),
            shouts: !words.iter().any(|word| word.contains(char::is_lowercase)),
            cues: Vec::new(),
            unties: unties(lowers),
            limits: limits(lowers),
            uses: uses(lowers),
        };
        let mut at = 0;
        while at < lowers.len() {
            if let Some(answer) = answers.iter().find(|answer| answer.at.start == at) {
                statement.answers(answer);
                at = answer.at.end;
                continue;
            }
            if lowers[at] == "?" {
                statement.asks(&apart, at);
            }
            let other = is_other_word(lowers, words, at, statement.shouts);
            let means = |length: usize| !other && !is_no_heading(lowers, at..at + length, heading);
            at = match longest(lowers, at).filter(|(length, _)| means(*length)) {
                Some((length, does)) => statement.says(lowers, at..at + length, &does),
                None => at + 1,
            };
        }
        for at in 1..lowers.len() {
            let year = lowers[at].len() == 4 && lowers[at].bytes().all(|byte| byte.is_ascii_digit());
            if year && lowers[at - 1] == "in" {
                statement.add(at - 1..at + 1, Says::PAST, Way::Back);
            }
            // "Pneumonia 2015".
            let word = lowers[at - 1].len() > 2 && lowers[at - 1].bytes().all(|of| of.is_ascii_alphabetic());
            let recent = (lowers[at].starts_with("19") || lowers[at].starts_with("20")) && word && apart[at];
            if year && recent && lowers.get(at + 1).is_none_or(|next| closes(next)) {
                statement.add(at..at + 1, Says::PAST, Way::Near);
            }
        }
        statement.times(lowers);
        statement.particulars(lowers);
        statement.signs(lowers, words, &apart);
        for colon in (heading..lowers.len()).filter(|at| lowers[*at] == ":") {
            let label =
                (heading.max(colon.saturating_sub(4))..colon).find(|at| is_heading(&lowers[*at..colon]));
            if let Some(from) = label {
                statement.headed[from..=colon].fill(true);
            }
        }
        statement
    }

    /// An answer to what stands before it.
    fn answers(&mut self, answer: &Answer) {
        let Answer { at, says, of_list } = answer.clone();
        self.kinds[at.clone()].fill(Kind::Sign);
        match says == Says::default() {
            true => self.tells[at.start] = Tells::There,
            false => self.add(at, says, if of_list { Way::List } else { Way::Near }),
        }
    }

    pub(super) fn add(&mut self, at: Range<usize>, says: Says, way: Way) {
        self.cues.push(Cue { at, says, way, parts: false, asked: false, ever: false, with: false });
    }

    /// A phrase that turns, resumes or returns.
    fn is(&mut self, at: Range<usize>, kind: Kind) {
        self.kinds[at.clone()].fill(Kind::Inner);
        self.kinds[at.start] = kind;
    }

    /// Takes up a phrase; returns where reading goes on.
    fn says(&mut self, lowers: &[&str], at: Range<usize>, does: &[Does]) -> usize {
        // What may speak of either side speaks of what stands before it where nothing follows.
        let closed = lowers.get(at.end).is_none_or(|next| closes(next));
        let before = at.start.checked_sub(1).map(|at| self.kinds[at]);
        let opens = matches!(before, None | Some(Kind::Comma | Kind::Semicolon | Kind::Colon));
        let ahead = does.iter().any(|does| {
            matches!(does, Does::Ahead(_) | Does::Next(_)) || opens && matches!(does, Does::Opens(_))
        });
        let back = does.iter().any(|does| matches!(does, Does::Near(_)));
        if lowers[at.start] == "unlikely" && lowers.get(at.end).is_some_and(|next| TIES.contains(next)) {
            self.add(at.clone(), Says::default(), Way::Near);
            return at.end;
        }
        for does in does {
            if matches!(does, Does::Back(Says::SUPPOSED) | Does::Near(Says::SUPPOSED)) {
                self.tells[at.start] = Tells::There;
            }
            match *does {
                Does::Ahead(says) | Does::Opens(says) if ahead && !(back && closed) => {
                    let parts = PARTS.contains(&lowers[at.start]);
                    let asked = lowers[at.start].starts_with("den");
                    let ever = lowers[at.start] == "never";
                    let with = matches!(lowers[at.start], "without" | "w")
                        || at.start > 0 && matches!(lowers[at.start - 1], "with" | "having");
                    let cue = Cue { at: at.clone(), says, way: Way::Ahead, parts, asked, ever, with };
                    self.cues.push(cue);
                }
                Does::Adjective(says) if !is_age(lowers, at.start) => {
                    self.add(at.clone(), says, Way::Adjective);
                }
                Does::Next(says) if !(back && closed) => self.add(at.clone(), says, Way::Next),
                Does::Begins(says) => self.add(at.clone(), says, Way::Begins),
                Does::Back(says) => self.add(at.clone(), says, Way::Back),
                Does::Near(says) if closed || !ahead => self.add(at.clone(), says, Way::Near),
                Does::List(says) if closed || lowers.get(at.end).is_some_and(|next| RESTS.contains(next)) => {
                    self.add(at.clone(), says, Way::List);
                }
                Does::Word(says) if lowers.get(at.end).is_some_and(|next| BEINGS.contains(next)) => {
                    self.add(at.clone(), says, Way::Word)
                }
                Does::Person(says) => self.names_person(lowers, at.clone(), says),
                Does::Turns if lowers[at.start] != ";" => self.is(at.clone(), Kind::Turns),
                Does::Circumstance => {
                    self.kinds[at.start] = Kind::Circumstance;
                    if CAUSES.contains(&lowers[at.start]) {
                        self.tells[at.start] = Tells::Particular;
                    }
                }
                Does::Affirms => self.tells[at.start] = Tells::There,
                Does::Notes if !is_of_exam(&lowers[at.end..]) => self.tells[at.start] = Tells::Noted,
                Does::Subordinates => self.tells[at.start] = Tells::ByTheWay,
                Does::Changes if changes(&lowers[at.end..]) => {
                    self.tells[at.start] = Tells::Change;
                }
                // "Without having had a rash".
                Does::Resumes
                    if lowers[..at.start].last().is_some_and(|of| matches!(*of, "having" | "being")) => {}
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
            self.add(at..at + 1, Says::SUPPOSED, Way::Next);
            self.cues.last_mut().expect("it was added").parts = parts;
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
