//! Marks of what is there and what is not: "fever (-), cough (+)", "+nausea, -vomiting", "[x] asthma".

use std::ops::Range;

use super::cues::Says;
use super::statement::{Kind, Statement, Tells, Way};

/// Fewest letters of a word that a sign stands right behind: "fever-", but no "L-".
const SIGNED: usize = 3;

impl Statement {
    /// Takes up the marks. Those in brackets stand all before or all behind what they speak of, as the first of them does;
    /// boxes stand behind where the last of them ends the clause.
    pub(super) fn signs(&mut self, lowers: &[&str], words: &[&str], apart: &[bool]) {
        let sign = |at: usize| matches!(lowers[at], "+" | "-" | "–" | "−");
        self.boxes(lowers);
        let brackets: Vec<usize> = (0..lowers.len().saturating_sub(2))
            .filter(|at| {
                matches!(lowers[*at], "(" | "[") && sign(at + 1) && matches!(lowers[at + 2], ")" | "]")
            })
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
        // Between blanks a sign is one where another is, behind a comma or at the beginning: "+ cough, - dyspnea".
        let begins =
            |at: usize| at == 0 || matches!(self.kinds[at - 1], Kind::Comma | Kind::Semicolon | Kind::Colon);
        let free = (0..lowers.len()).any(|at| {
            let ends = lowers.get(at + 1).is_none_or(|next| matches!(*next, "," | "." | ";"));
            lowers[at] == "+" && (begins(at) && word(at + 1) || at > 0 && word(at - 1) && ends)
        });
        let ahead = |at: usize| {
            let own = !apart.get(at + 1).is_some_and(|apart| *apart) && opens(at) || free && begins(at);
            sign(at) && word(at + 1) && own
        };
        let closed = |at: usize| {
            lowers.get(at + 1).is_none_or(|next| matches!(*next, "," | "." | ";" | ")" | "/" | "+"))
        };
        let back = |at: usize| {
            let follows = at > 0 && word(at - 1) && lowers[at - 1].chars().count() >= SIGNED;
            let own = closed(at) || lowers[at] == "+" && apart[at + 1] && !apart[at];
            sign(at) && follows && own && (!apart[at] || free)
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

    /// Boxes that are ticked or not: "[ ] diabetes [x] asthma", "Fever ☐", "Asthma: [ ] yes [x] no".
    fn boxes(&mut self, lowers: &[&str]) {
        let round = lowers.windows(3).any(|of| of == ["(", "x", ")"]);
        let boxed = |at: usize| match &lowers[at..] {
            ["☑" | "☒" | "✓" | "✔", ..] => Some((1, Says::default())),
            ["☐" | "✗" | "✘", ..] => Some((1, Says::DENIED)),
            ["[" | "(", "x" | "✓" | "✔", "]" | ")", ..] => Some((3, Says::default())),
            ["[", "]", ..] => Some((2, Says::DENIED)),
            ["(", ")", ..] if round => Some((2, Says::DENIED)),
            _ => None,
        };
        let boxes: Vec<(Range<usize>, Says)> = (0..lowers.len())
            .filter_map(|at| boxed(at).map(|(length, says)| (at..at + length, says)))
            .collect();
        let Some((last, _)) = boxes.last() else { return };
        let behind = boxes[0].0.start > 0
            && lowers[last.end..].iter().all(|word| !word.starts_with(char::is_alphanumeric));
        let mut options: Option<Range<usize>> = None;
        for (at, says) in boxes {
            let option = lowers.get(at.end).copied().filter(|word| matches!(*word, "yes" | "no"));
            if let Some(word) = option {
                let start = options.take().filter(|of| of.end == at.start).map_or(at.start, |of| of.start);
                let colon = start > 0 && self.kinds[start - 1] == Kind::Colon;
                let all = start - usize::from(colon)..at.end + 1;
                self.kinds[all.clone()].fill(Kind::Sign);
                self.cues.retain(|cue| !(at.start..=at.end).contains(&cue.at.start));
                if word == "no" && says == Says::default() {
                    self.add(all.clone(), Says::DENIED, Way::List);
                }
                options = Some(all);
                continue;
            }
            self.kinds[at.clone()].fill(if behind { Kind::Sign } else { Kind::SignAhead });
            if behind && says == Says::default() {
                self.tells[at.start] = Tells::There;
            }
            self.add(at, says, if behind { Way::Near } else { Way::Next });
        }
    }
}
