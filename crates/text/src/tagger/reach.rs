//! How far what a sentence says reaches: over the members of a list, up to what turns the sentence or says that something is
//! there.

use std::ops::Range;

use super::assertion::Assertion;
use super::cues::Says;
use super::statement::{Beside, Cue, Kind, Statement, Tells, Way};

/// How many words of a list's member a cue reaches over.
const REACH: usize = 7;
/// The same of a relative: "mother died at the age of 52 from complications of".
const FAMILY_REACH: usize = 15;
/// Within how many tokens it stands, marks with them.
const FAR: usize = 40;
/// Within how many tokens a list goes on with "or".
const LIST: usize = 20;
/// How many words a cue reaches back over.
const BACK: usize = 6;

impl Statement {
    /// What is said of the name at `span`, tokens of the sentence.
    /// `others` are the names of other labels.
    pub fn of(&self, span: Range<usize>, others: &[Beside]) -> Assertion {
        let moved = |at: &Range<usize>| at.start + self.heading..at.end + self.heading;
        let span = moved(&span);
        let others: Vec<Beside> =
            others.iter().map(|other| Beside { at: moved(&other.at), drug: other.drug }).collect();
        self.told(&span, |cue| {
            !self.leaves(cue, span.start, &others) && !self.before_only(cue, &span, &others)
        })
    }

    /// The same, of tokens that count from the heading's first.
    pub(super) fn said(&self, span: &Range<usize>) -> Assertion {
        self.told(span, |cue| !self.before_only(cue, span, &[]))
    }

    fn told(&self, span: &Range<usize>, speaks: impl Fn(&Cue) -> bool) -> Assertion {
        let said = self.cues.iter().filter(|cue| self.reaches(cue, span) && speaks(cue));
        Assertion::from_bits(said.fold(Says::default(), |all, cue| all.and(cue.says)).0)
    }

    /// Whether what a cue denies is another name, from which the sentence leads on to the name at `to`: "no bleeding on
    /// warfarin". Or whether it only denies the use of a drug.
    fn leaves(&self, cue: &Cue, to: usize, others: &[Beside]) -> bool {
        let ahead = cue.way == Way::Ahead && cue.says.any(Says::DENIED) && cue.at.end <= to;
        let leads = |other: &Beside| {
            let at = other.at.end;
            cue.at.end < at && at < to && self.tells[at] == Tells::LeadsOn
        };
        ahead && (others.iter().any(leads) || self.denies_a_use(cue, to, others))
    }

    /// Whether a cue speaks of the name at `span`.
    pub(super) fn reaches(&self, cue: &Cue, span: &Range<usize>) -> bool {
        let (start, end) = (cue.at.start, cue.at.end);
        match cue.way {
            // "Non-diabetic", but not "non-diabetic kidney disease".
            Way::Word => span.end == end + 1 && (span.start == end || span.start == start),
            // "No asthma meds".
            Way::Ahead | Way::Next
                if end <= span.start
                    && cue.says.any(Says::DENIED)
                    && self.tells.get(span.end) == Some(&Tells::Medicine) =>
            {
                false
            }
            Way::Ahead | Way::Next | Way::Begins if end <= span.start => self.goes_on(cue, span.start),
            Way::Adjective => span.start == end || span.start == start && end < span.end,
            // It was left in the name, at its beginning or near it: "possible pneumonia", "return if fever".
            Way::Ahead | Way::Next => {
                start < span.end
                    && start <= span.start + 2
                    && (start == span.start || cue.says == Says::SUPPOSED)
            }
            Way::Begins => false,
            _ if start < span.end || start > span.end + FAR => false,
            _ => {
                let gap = &self.kinds[span.end..start];
                let tests = &self.tells[span.end..start];
                let marks = |gap: &[Kind]| {
                    let mark = |(kind, tells): (&Kind, &Tells)| {
                        matches!(kind, Kind::Mark | Kind::Open) || *tells == Tells::Test
                    };
                    gap.iter().zip(tests).all(mark)
                };
                // "No DVT, PE is likely": the denial ends at the comma, and so does what stands behind.
                let apart = |ahead: &Cue| {
                    let denies = ahead.way == Way::Ahead && ahead.says.any(Says::DENIED);
                    let before = denies && ahead.at.end <= span.start && self.goes_on(ahead, span.start);
                    before && !self.goes_on(ahead, start)
                };
                let listed = gap.first().is_some_and(|kind| kind.lists()) && !self.cues.iter().any(apart);
                let other =
                    self.cues.iter().any(|other| span.end <= other.at.start && other.at.start < start);
                let words =
                    gap.iter().filter(|kind| !matches!(kind, Kind::Mark | Kind::Open | Kind::Comma)).count();
                let ends = |kind: &Kind| {
                    let turns = matches!(kind, Kind::Turns | Kind::Circumstance | Kind::Ties);
                    let begins = matches!(kind, Kind::Patient | Kind::Pronoun | Kind::Returns);
                    turns || matches!(kind, Kind::Colon | Kind::Semicolon) || listed && begins
                };
                let over = match cue.way {
                    Way::Near => marks(gap),
                    Way::List => marks(gap) || listed,
                    _ => listed || !gap.contains(&Kind::Comma),
                };
                let resumes = |pair: &[Kind]| pair[0].lists() && pair[1] == Kind::Resumes;
                // "Fever present, rash was ruled out": the first is told by itself.
                let joint = gap.iter().rposition(|kind| kind.lists()).map_or(span.end, |at| span.end + at);
                let told = |tells: &Tells| matches!(tells, Tells::There | Tells::Noted | Tells::Lasts);
                let ended = gap.iter().any(ends)
                    || gap.windows(2).any(resumes)
                    || joint > span.end && self.tells[span.end..joint].iter().any(told)
                    || listed && self.tells[span.clone()].iter().any(told);
                over && !other && words <= BACK && !ended
            }
        }
    }

    /// Whether a cue goes on to the name that begins at `to`.
    fn goes_on(&self, cue: &Cue, to: usize) -> bool {
        let relative = self.kinds[cue.at.start] == Kind::Person;
        let of_family = cue.says.any(Says::FAMILY.and(Says::OTHER));
        let past = cue.says.any(Says::PAST);
        let denies = cue.says.any(Says::DENIED);
        let reach = if of_family { FAMILY_REACH } else { REACH };
        let (mut words, mut members, mut brackets) = (0, 1, 0);
        // "Denies: - fever - chills".
        let from = cue.at.end + usize::from(self.kinds.get(cue.at.end) == Some(&Kind::Colon));
        let dashed = self.breaks.get(from) == Some(&true);
        for at in cue.at.end..to {
            let first = at == cue.at.end;
            let behind = !first && self.kinds[at - 1].lists();
            let ends = match self.kinds[at] {
                Kind::Open if self.tells[at] == Tells::Opens && denies && self.affirms(cue, at, members) => {
                    true
                }
                Kind::Comma => {
                    let affirmed = denies && self.affirms(cue, at, members);
                    cue.way == Way::Next || affirmed || self.ends_member(cue, at)
                }
                Kind::Semicolon => true,
                Kind::Colon => !first && self.kinds[at - 1] != Kind::Person,
                Kind::Turns | Kind::Circumstance => !relative,
                Kind::Resumes => !relative && !first && (behind || past || cue.with),
                Kind::Returns => !first,
                Kind::Patient => !first && (of_family || past || members > 1),
                Kind::Pronoun => !first && (behind || past),
                Kind::Person => behind && cue.says != Says::FAMILY,
                Kind::SignAhead => true,
                Kind::Word | Kind::Mark | Kind::Open | Kind::And | Kind::Or | Kind::Ties => false,
                Kind::Inner | Kind::Sign => false,
            };
            match self.kinds[at] {
                kind if kind.lists() => (words, members) = (0, members + usize::from(!behind)),
                Kind::Mark | Kind::Open | Kind::Colon | Kind::Inner | Kind::Sign => {}
                _ => words += 1,
            }
            let changes = denies && self.tells[at] == Tells::Change;
            let breaks = denies && self.breaks[at] && !first && !dashed;
            match self.tells[at] {
                Tells::Opens => brackets += 1,
                Tells::Closes => brackets -= 1,
                _ => {}
            }
            // "Stroke (no deficits), hypertension".
            let before = denies && self.limits.iter().any(|limit| limit.at == at);
            if ends || before || changes || breaks || brackets < 0 || words > reach {
                return false;
            }
        }
        let next_column = denies && to > cue.at.end && !dashed && self.breaks[to];
        !next_column
    }

    /// Whether the member of a list behind the comma at `comma`, which `members` stand before, is told to be there: "no fever,
    /// rash noted on trunk". At the end of a longer list some words speak of all of it: "no murmurs, rubs, gallops noted".
    fn affirms(&self, cue: &Cue, comma: usize, members: usize) -> bool {
        let from = match self.kinds.get(comma + 1) {
            // "No fever, chills, and rash was seen" goes on; "no fever, and a rash was seen" does not.
            Some(Kind::And) if members == 1 => comma + 2,
            Some(kind) if !kind.lists() => comma + 1,
            _ => return false,
        };
        let single = members == 1;
        // "No fever, severe headache or rash", "denies fever, severe headache, rash".
        let goes_on = |kind: &Kind| *kind == Kind::Or || cue.asked && *kind == Kind::Comma;
        let ends_list = || single && !self.kinds[from..].iter().take(LIST).any(goes_on);
        match self.tells.get(from) {
            Some(Tells::LeadsOn) if self.kinds[comma] == Kind::Comma => return true,
            Some(Tells::Introduces) => return ends_list(),
            _ => {}
        }
        for at in from + 1..self.kinds.len() {
            match self.tells[at] {
                Tells::There => return true,
                Tells::Lasts => return single,
                Tells::Particular => return ends_list(),
                Tells::Today => return ends_list() && !cue.asked,
                Tells::Noted => return single || !self.closes_list(at + 1),
                Tells::ByTheWay => return false,
                _ => {}
            }
            let ends =
                matches!(self.kinds[at], Kind::Semicolon | Kind::Colon | Kind::Turns | Kind::Circumstance);
            if ends || self.kinds[at].lists() {
                return false;
            }
        }
        false
    }

    /// Whether nothing more is said in the member that goes on at `from`.
    fn closes_list(&self, from: usize) -> bool {
        let rest = (from..self.kinds.len()).take_while(|at| !self.kinds[*at].lists());
        rest.into_iter().all(|at| {
            self.tells[at] == Tells::Noted
                || matches!(self.kinds[at], Kind::Mark | Kind::Open | Kind::Semicolon)
        })
    }

    /// Whether a list that a cue is in the midst of goes on at `at` with what the cue does not speak of: "tremor, no seizures,
    /// and ataxia".
    pub(super) fn ends_member(&self, cue: &Cue, at: usize) -> bool {
        let within = cue.parts && cue.at.start > 0 && self.kinds[cue.at.start - 1] == Kind::Comma;
        let joined = matches!(self.kinds.get(at + 1), Some(Kind::And | Kind::Or));
        within && self.kinds[at] == Kind::Comma && joined
    }
}
