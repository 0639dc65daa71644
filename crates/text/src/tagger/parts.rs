//! A name as a tagger found it, without what only says something of it.
//!
//! A name is freed of the cues in it, and parted where what is said of its parts differs: "fever, reports cough" behind "denies"
//! is two names, of which one is denied. Whatever else a tagger took for one name stays one.

use std::ops::Range;

use super::assertion::Assertion;
use super::chain::Span;
use super::cues::Says;
use super::statement::{Cue, Kind, Statement, Way};

impl Statement {
    /// A name without the cues that are no part of it, in order: "no fever" is "fever", and "fever, denies rash" is two. A
    /// name that is nothing but a cue stays.
    pub fn freed(&self, name: Span) -> Vec<Span> {
        let whole = name.start + self.heading..name.end + self.heading;
        let parts: Vec<Range<usize>> =
            self.without_cues(whole.clone()).into_iter().flat_map(|part| self.parted(part)).collect();
        // "NO FEVER": where all is in capitals a tagger may take it for nitric oxide.
        let denies = |cue: &Cue| cue.at == whole && cue.way == Way::Ahead && cue.says == Says::DENIED;
        let names = self.kinds.get(whole.end) == Some(&Kind::Word);
        if self.shouts && names && self.cues.iter().any(denies) {
            return Vec::new();
        }
        // Only what a cue left behind is stripped: "a deletion of chromosome 12" is how people mark it.
        if parts == [whole] {
            return vec![name];
        }
        let own = |part: Range<usize>| {
            let part = self.bare(part)?;
            let start = part.start.checked_sub(self.heading)?;
            Some(Span { start, end: part.end - self.heading, ..name })
        };
        let freed: Vec<Span> = parts.into_iter().filter_map(own).collect();
        if freed.is_empty() { vec![name] } else { freed }
    }

    fn without_cues(&self, whole: Range<usize>) -> Vec<Range<usize>> {
        let mut rest = whole;
        let mut parts = Vec::new();
        for cue in &self.cues {
            let at = &cue.at;
            let inside = rest.start <= at.start && at.end <= rest.end;
            match cue.way {
                Way::Ahead | Way::Next | Way::Word if self.begins(cue, &rest) => rest.start = at.end,
                Way::Ahead | Way::Next if inside && cue.parts => {
                    parts.push(rest.start..at.start);
                    rest.start = at.end;
                    let next = (rest.start..rest.end).find(|place| self.ends_member(cue, *place));
                    if let Some(next) = next {
                        parts.push(rest.start..next);
                        rest.start = next;
                    }
                }
                Way::Back | Way::Near | Way::List if ends(cue, &rest) => rest.end = at.start,
                _ => {}
            }
        }
        parts.push(rest);
        parts
    }

    /// Whether a name begins with a cue that is no part of it. Words such as "possible" are left where they are: those who
    /// mark names leave them too.
    fn begins(&self, cue: &Cue, name: &Range<usize>) -> bool {
        let at = &cue.at;
        let begins = at.start <= name.start && name.start < at.end && at.end < name.end;
        let word = cue.way != Way::Word || at.end + 1 == name.end;
        begins && word && (cue.says != Says::SUPPOSED || self.kinds[at.start] == Kind::Open)
    }

    /// A name's parts of which different things are said; the whole where nothing differs. What is supposed of one part alone
    /// parts no name: "myositis, synovitis, and possible vasculitis".
    fn parted(&self, name: Range<usize>) -> Vec<Range<usize>> {
        if name.is_empty() {
            return Vec::new();
        }
        let told = |part: Range<usize>| {
            let bare = self.bare(part)?;
            Some(Assertion { speculated: false, ..self.said(&bare) })
        };
        let borders: Vec<usize> = (name.start + 1..name.end).filter(|at| self.borders(*at)).collect();
        let mut parts: Vec<(Range<usize>, Assertion)> = Vec::new();
        let mut start = name.start;
        for end in borders.into_iter().chain([name.end]) {
            match (parts.last_mut(), told(start..end)) {
                // What is said alike of both is said of the two as one.
                (Some((last, before)), said)
                    if !self.headed[start]
                        && said.is_none_or(|said| said == *before)
                        && told(last.start..end) == Some(*before) =>
                {
                    last.end = end;
                }
                (_, Some(said)) => parts.push((start..end, said)),
                // Nothing but what begins a statement, or a heading.
                (_, None) if !self.headed[start] => continue,
                (_, None) => {}
            }
            start = end;
        }
        match parts.as_slice() {
            [(part, _)] if *part == name && !self.headed[name.start] => vec![name],
            [] => vec![name],
            _ => parts.into_iter().filter_map(|(part, _)| self.bare(part)).collect(),
        }
    }

    /// Whether something else may be said from `at` on.
    fn borders(&self, at: usize) -> bool {
        let (before, kind) = (self.kinds[at - 1], self.kinds[at]);
        match kind {
            Kind::Comma | Kind::Semicolon | Kind::Turns | Kind::Returns => true,
            Kind::Resumes | Kind::Patient | Kind::Pronoun => before.lists(),
            _ if self.headed[at] != self.headed[at - 1] => true,
            _ => (kind == Kind::SignAhead || before == Kind::Sign) && before != kind,
        }
    }

    /// A part of a name without what begins it, what joined it to the rest, and the cues around it.
    fn bare(&self, mut part: Range<usize>) -> Option<Range<usize>> {
        let begins = |kind: Kind| {
            matches!(kind, Kind::Resumes | Kind::Returns | Kind::Patient | Kind::Pronoun | Kind::Inner)
        };
        loop {
            part = self.stripped(part)?;
            let whole = part.clone();
            if begins(self.kinds[part.start]) || self.headed[part.start] {
                part.start += 1;
            }
            for cue in &self.cues {
                match cue.way {
                    Way::Ahead | Way::Next if self.begins(cue, &part) => part.start = cue.at.end,
                    Way::Back | Way::Near | Way::List if ends(cue, &part) => part.end = cue.at.start,
                    _ => {}
                }
            }
            if part == whole {
                return Some(part);
            }
        }
    }

    /// A part of a name without what joined it to the rest.
    fn stripped(&self, mut part: Range<usize>) -> Option<Range<usize>> {
        let joins = |at: usize| {
            !matches!(
                self.kinds[at],
                Kind::Word
                    | Kind::Mark
                    | Kind::Ties
                    | Kind::Person
                    | Kind::Patient
                    | Kind::Resumes
                    | Kind::Returns
                    | Kind::Inner
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

/// Whether a name ends with a cue.
fn ends(cue: &Cue, name: &Range<usize>) -> bool {
    cue.at.end == name.end && name.start < cue.at.start
}
