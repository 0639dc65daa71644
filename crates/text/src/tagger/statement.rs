//! A sentence as one that says something of the names in it.
//!
//! A cue before a name reaches on to it, over the members of a list; a cue after it reaches back (Chapman et al. 2001, "A
//! simple algorithm for identifying negated findings and diseases in discharge summaries"; of whom and when: Harkema et
//! al. 2009, "ConText"). A word that turns the sentence, such as "but", ends the reach. Where a tagger takes a cue for a
//! part of a name, the name is freed of it.

use std::ops::Range;

use super::assertion::Assertion;
use super::chain::Span;
use super::cues::{
    BESIDE, DETERMINERS, Does, INFORMS, INFORMS_ALWAYS, NUMBERS, OXIDE_AFTER, OXIDE_BEFORE, PARTS,
    POSSESSIVES, Says, longest,
};

/// How many words of a list's member a cue reaches over.
const REACH: usize = 7;
/// The same of a relative: "mother died at the age of 52 from complications of".
const FAMILY_REACH: usize = 15;
/// How many words a cue reaches back over.
const BACK: usize = 6;
/// Within how many words somebody who is named does what tells of the patient.
const INFORMS_WITHIN: usize = 3;

/// Which way a cue reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
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
}

/// A cue, by the tokens of its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cue {
    at: Range<usize>,
    says: Says,
    way: Way,
    /// Whether it parts a name that it stands in.
    parts: bool,
}

/// What a token is to the reach of cues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Mark,
    /// A mark that ends no name.
    Open,
    Comma,
    And,
    Colon,
    Semicolon,
    Turns,
    /// Ties a drug to what it did: nothing behind that speaks of the drug.
    Ties,
    Resumes,
    Returns,
    Patient,
    Person,
    Pronoun,
}

/// What a sentence says. Places count its tokens; those of its heading stand before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    heading: usize,
    kinds: Vec<Kind>,
    cues: Vec<Cue>,
}

impl Statement {
    /// Reads a sentence: its tokens in lower case, as they were written, and whether something stands between each and the
    /// one before. The first `heading` of them are its heading's.
    pub fn read(lowers: &[&str], words: &[&str], apart: &[bool], heading: usize) -> Statement {
        let kinds = lowers.iter().map(|lower| plain(lower)).collect();
        let mut statement = Statement { heading, kinds, cues: Vec::new() };
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
        statement
    }

    /// What is said of the name at `span`, tokens of the sentence.
    pub fn of(&self, span: Range<usize>) -> Assertion {
        let span = span.start + self.heading..span.end + self.heading;
        let said = self.cues.iter().filter(|cue| self.reaches(cue, &span));
        Assertion::from_bits(said.fold(Says::default(), |all, cue| all.and(cue.says)).0)
    }

    /// A name without the cues that are no part of it, in order: "no fever" is "fever", and "fever, denies rash" is two. A
    /// name that is nothing but a cue stays.
    pub fn freed(&self, name: Span) -> Vec<Span> {
        let whole = name.start + self.heading..name.end + self.heading;
        let mut rest = whole.clone();
        let mut parts = Vec::new();
        for cue in &self.cues {
            let at = &cue.at;
            let inside = rest.start <= at.start && at.end <= rest.end;
            match cue.way {
                Way::Ahead | Way::Next
                    if at.start <= rest.start
                        && rest.start < at.end
                        && at.end < rest.end
                        && self.is_no_part(cue) =>
                {
                    rest.start = at.end;
                }
                Way::Ahead | Way::Next if inside && cue.parts => {
                    parts.push(rest.start..at.start);
                    rest.start = at.end;
                    let next = (rest.start..rest.end).find(|place| self.ends_member(cue, *place));
                    if let Some(next) = next {
                        parts.push(rest.start..next);
                        rest.start = next;
                    }
                }
                Way::Back | Way::Near | Way::List
                    if inside && at.end == rest.end && rest.start < at.start =>
                {
                    rest.end = at.start;
                }
                _ => {}
            }
        }
        parts.push(rest);
        // Only what a cue left behind is stripped: "a deletion of chromosome 12" is how people mark it.
        if parts == [whole] {
            return vec![name];
        }
        let own = |part: Range<usize>| {
            let part = self.stripped(part)?;
            let start = part.start.checked_sub(self.heading)?;
            Some(Span { start, end: part.end - self.heading, ..name })
        };
        let freed: Vec<Span> = parts.into_iter().filter_map(own).collect();
        if freed.is_empty() { vec![name] } else { freed }
    }

    fn add(&mut self, at: Range<usize>, says: Says, way: Way) {
        self.cues.push(Cue { at, says, way, parts: false });
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
                Does::Person(says) => self.names_person(lowers, at.clone(), says),
                Does::Turns if lowers[at.start] != ";" => self.kinds[at.start] = Kind::Turns,
                Does::Resumes if matches!(lowers[at.start], "he" | "she" | "they" | "i" | "we") => {
                    self.kinds[at.start] = Kind::Pronoun;
                }
                Does::Resumes => self.kinds[at.start] = Kind::Resumes,
                Does::Returns => self.kinds[at.start] = Kind::Returns,
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

    /// Whether a cue speaks of the name at `span`.
    fn reaches(&self, cue: &Cue, span: &Range<usize>) -> bool {
        let (start, end) = (cue.at.start, cue.at.end);
        match cue.way {
            Way::Ahead | Way::Next | Way::Begins if end <= span.start => self.goes_on(cue, span.start),
            // It was left in the name, at its beginning or near it: "possible pneumonia", "return if fever".
            Way::Ahead | Way::Next => {
                start < span.end
                    && start <= span.start + 2
                    && (start == span.start || cue.says == Says::SUPPOSED)
            }
            Way::Begins => false,
            _ if start < span.end => false,
            _ => {
                let gap = &self.kinds[span.end..start];
                let marks = |gap: &[Kind]| gap.iter().all(|kind| matches!(kind, Kind::Mark | Kind::Open));
                let listed = matches!(gap.first(), Some(Kind::Comma | Kind::And));
                let other =
                    self.cues.iter().any(|other| span.end <= other.at.start && other.at.start < start);
                let words =
                    gap.iter().filter(|kind| !matches!(kind, Kind::Mark | Kind::Open | Kind::Comma)).count();
                let ends =
                    |kind: &Kind| matches!(kind, Kind::Colon | Kind::Semicolon | Kind::Turns | Kind::Ties);
                let over = match cue.way {
                    Way::Near => marks(gap),
                    Way::List => marks(gap) || listed,
                    _ => listed || !gap.contains(&Kind::Comma),
                };
                over && !other && words <= BACK && !gap.iter().any(ends)
            }
        }
    }

    /// Whether a cue goes on to the name that begins at `to`.
    fn goes_on(&self, cue: &Cue, to: usize) -> bool {
        let relative = self.kinds[cue.at.start] == Kind::Person;
        let of_family = cue.says.any(Says::FAMILY.and(Says::OTHER));
        let past = cue.says.any(Says::PAST);
        let reach = if of_family { FAMILY_REACH } else { REACH };
        let (mut words, mut listed) = (0, false);
        for at in cue.at.end..to {
            let first = at == cue.at.end;
            let behind = !first && matches!(self.kinds[at - 1], Kind::Comma | Kind::And);
            let ends = match self.kinds[at] {
                Kind::Comma => cue.way == Way::Next || self.ends_member(cue, at),
                Kind::Semicolon => true,
                Kind::Colon => !first && self.kinds[at - 1] != Kind::Person,
                Kind::Turns => !relative,
                Kind::Resumes => !relative && !first && (behind || past),
                Kind::Returns => !first,
                Kind::Patient => !first && (of_family || past || listed),
                Kind::Pronoun => !first && (behind || past),
                Kind::Person => behind && cue.says != Says::FAMILY,
                Kind::Word | Kind::Mark | Kind::Open | Kind::And | Kind::Ties => false,
            };
            match self.kinds[at] {
                Kind::Comma | Kind::And => (words, listed) = (0, true),
                Kind::Mark | Kind::Open | Kind::Colon => {}
                _ => words += 1,
            }
            if ends || words > reach {
                return false;
            }
        }
        true
    }

    /// Whether a list that a cue is in the midst of goes on at `at` with what the cue does not speak of: "tremor, no seizures,
    /// and ataxia".
    fn ends_member(&self, cue: &Cue, at: usize) -> bool {
        let within = cue.parts && cue.at.start > 0 && self.kinds[cue.at.start - 1] == Kind::Comma;
        within && self.kinds[at] == Kind::Comma && self.kinds.get(at + 1) == Some(&Kind::And)
    }

    /// Whether a cue that a name begins with is no part of it. Words such as "possible" are left where they are: those who
    /// mark names leave them too.
    fn is_no_part(&self, cue: &Cue) -> bool {
        cue.says != Says::SUPPOSED || self.kinds[cue.at.start] == Kind::Open
    }

    /// A part of a name without what joined it to the rest.
    fn stripped(&self, mut part: Range<usize>) -> Option<Range<usize>> {
        let joins = |at: usize| {
            !matches!(
                self.kinds[at],
                Kind::Word | Kind::Mark | Kind::Ties | Kind::Person | Kind::Patient | Kind::Resumes
            )
        };
        while part.start < part.end && joins(part.start) {
            part.start += 1;
        }
        while part.start < part.end && joins(part.end - 1) {
            part.end -= 1;
        }
        (part.start < part.end).then_some(part)
    }
}

/// What a token is by itself.
fn plain(lower: &str) -> Kind {
    match lower {
        "," | "，" | "、" => Kind::Comma,
        "and" | "or" | "nor" | "/" | "&" | "+" => Kind::And,
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
