//! What takes a phrase back: that it is denied, of another time or of somebody else.
//!
//! What denies is looked for before a phrase, up to the next comma or across the commas of a list, and closely after
//! it (after Chapman et al. 2001, "A simple algorithm for identifying negated findings and diseases in discharge
//! summaries"). In Chinese, where 无 and 没 begin ordinary words, a denial reaches what it touches.

use super::index::{Group, Hit, Hits, Phrases};
use super::phrases::{Clause, GAP};
use super::rules::ContextRule;
use crate::terms::is_ideograph;

/// Most characters of a phrase as it is repeated in a flag.
const SHOWN: usize = 80;
/// Most words of one thing in a list that is denied as a whole ("no fever, chest pain or cough").
const LISTED: usize = 4;
/// Most words of such a list.
const LIST: usize = 40;

/// What takes a phrase back: groups of [`Phrases`].
#[derive(Debug, Clone)]
pub struct Context {
    before: Group,
    before_list: Group,
    denies: Group,
    touching: Group,
    fillers: Group,
    whole: Group,
    history: Group,
    after: Group,
    until: Group,
    after_until: Group,
    other: Group,
    past: Group,
    past_before: Group,
}

/// A clause with the places of all that takes a phrase back, each looked for once.
#[derive(Debug)]
pub struct Read<'c, 'a> {
    words: &'c [&'a str],
    /// For each place the last cue that ends there or before: where it begins, counted from 1.
    before: Vec<usize>,
    before_list: Vec<usize>,
    denies: Vec<usize>,
    history: Vec<usize>,
    /// Whether what begins at a place is denied by a cue that touches it, of the group `touching` or of any.
    touched: Vec<bool>,
    touched_by_any: Vec<bool>,
    /// For each place where what was said before has ended.
    until: Vec<usize>,
    /// For each place the end of what takes back there, if anything does.
    after: Vec<Option<usize>>,
    after_until: Vec<bool>,
    comma: Vec<usize>,
    /// What means something else, whatever rule it would hold for.
    other: &'c [Hit],
    /// As `before` and `after`: what makes a reading one of another time, or one that should be.
    past_before: Vec<usize>,
    past: Vec<Option<usize>>,
}

impl Context {
    /// The cues of a package, which are looked for with `phrases`.
    pub fn new(rule: &ContextRule, phrases: &mut Phrases) -> Result<Context, String> {
        Ok(Context {
            before: phrases.add(&rule.before)?,
            before_list: phrases.add(&rule.before_list)?,
            denies: phrases.add(&rule.denies)?,
            touching: phrases.add(&rule.touching)?,
            fillers: phrases.add(&rule.fillers)?,
            whole: phrases.add(&rule.words)?,
            history: phrases.add(&rule.history)?,
            after: phrases.add(&rule.after)?,
            until: phrases.add(&rule.until)?,
            after_until: phrases.add(&rule.after_until)?,
            other: phrases.add(&rule.except)?,
            past: phrases.add(&rule.past)?,
            past_before: phrases.add(&rule.past_before)?,
        })
    }

    /// Reads a clause for what takes phrases back; `hits` are the places of the cues.
    pub fn read<'c, 'a>(&self, Clause { words }: &'c Clause<'a>, hits: &'c Hits) -> Read<'c, 'a> {
        // A cue inside a word of its own ("no helmet", 无力) denies nothing.
        let mut whole = vec![0; words.len() + 1];
        for hit in hits.of(&self.whole) {
            whole[hit.start] = whole[hit.start].max(hit.end);
        }
        let whole = running(whole);
        let cues = |groups: &[&Group]| -> Vec<Hit> {
            let all = groups.iter().flat_map(|group| hits.of(group));
            all.filter(|hit| whole[hit.start] < hit.end).copied().collect()
        };
        let begins = |groups: &[&Group]| {
            let mut latest = vec![0; words.len() + 1];
            for hit in cues(groups) {
                latest[hit.end] = latest[hit.end].max(hit.start + 1);
            }
            running(latest)
        };
        let ends = |group: &Group| {
            let mut first: Vec<Option<usize>> = vec![None; words.len()];
            for hit in hits.of(group) {
                first[hit.start] = Some(first[hit.start].map_or(hit.end, |end| end.min(hit.end)));
            }
            first
        };
        let mut until = vec![0; words.len() + 1];
        // "Have" ends what stands before, but not as part of "does not have".
        let mut reach = vec![0; words.len() + 1];
        let denials = cues(&[&self.before, &self.before_list, &self.denies, &self.touching, &self.history]);
        for cue in &denials {
            reach[cue.start] = reach[cue.start].max(cue.end);
        }
        let reach = running(reach);
        let is_part =
            |hit: &Hit| reach[hit.start] > hit.end || hit.start > 0 && reach[hit.start - 1] >= hit.end;
        for hit in hits.of(&self.until).iter().filter(|hit| !is_part(hit)) {
            until[hit.end] = hit.end;
        }
        let mut comma = vec![0; words.len() + 1];
        for at in (0..words.len()).filter(|at| ends_a_part(words, *at)) {
            comma[at + 1] = at + 1;
        }
        // "Denies - chest pain": a dash directly behind what denies ends nothing.
        for cue in denials.iter().filter(|cue| words.get(cue.end).is_some_and(|word| !is_comma(word))) {
            comma[cue.end + 1] = 0;
        }
        // "+ facial droop" is present.
        for at in (0..words.len()).filter(|at| words[*at] == "+" && !is_glued(words, *at)) {
            until[at + 1] = at + 1;
        }
        let mut after_until = vec![false; words.len()];
        for hit in hits.of(&self.after_until) {
            after_until[hit.start] = true;
        }
        Read {
            words,
            before: begins(&[&self.before]),
            before_list: begins(&[&self.before_list]),
            denies: begins(&[&self.denies]),
            touched: touched(words, &cues(&[&self.touching]), hits.of(&self.fillers)),
            touched_by_any: touched(
                words,
                &cues(&[&self.touching, &self.before, &self.denies]),
                hits.of(&self.fillers),
            ),
            history: begins(&[&self.history]),
            until: running(until),
            after: ends(&self.after),
            after_until,
            comma: running(comma),
            other: hits.of(&self.other),
            past_before: begins(&[&self.past, &self.past_before]),
            past: ends(&self.past),
        }
    }
}

/// Whether nothing stands between a word and the one before it.
fn is_glued(words: &[&str], at: usize) -> bool {
    let (Some(before), Some(word)) = (at.checked_sub(1).map(|at| words[at]), words.get(at)) else {
        return false;
    };
    before.as_ptr() as usize + before.len() == word.as_ptr() as usize
}

fn is_comma(word: &str) -> bool {
    matches!(word, "," | "，" | "、")
}

/// Whether a denial before `at` ends there: a comma, a stroke or a dash with a blank behind it, or how long
/// something has been ("no sleep x3 days suicidal").
fn ends_a_part(words: &[&str], at: usize) -> bool {
    const TIMES: [&str; 12] =
        ["day", "days", "hour", "hours", "hr", "hrs", "week", "weeks", "wks", "month", "months", "mins"];
    let next_is_apart = at + 1 < words.len() && !is_glued(words, at + 1);
    match words[at] {
        word if is_comma(word) => true,
        "–" | "—" => true,
        "-" => next_is_apart || words.get(at + 1) == Some(&"-"),
        "/" => next_is_apart,
        word => TIMES.contains(&word) && at > 0 && words[at - 1].ends_with(|c: char| c.is_ascii_digit()),
    }
}

/// The places that a cue touches: directly behind it, behind words that say nothing else ("no sign of"), and in a list
/// that has 、 or a word for "or" between its members.
fn touched(words: &[&str], cues: &[Hit], fillers: &[Hit]) -> Vec<bool> {
    let mut touched = vec![false; words.len() + 1];
    // "+cough, -fever, -cp".
    let is_minus = |at: &usize| words[at - 1] == "," && words[*at] == "-" && !is_glued(words, *at);
    for at in (1..words.len()).filter(is_minus) {
        touched[at + 1] = is_glued(words, at + 1);
    }
    for cue in cues {
        touched[cue.end] = true;
        let mut member = cue.end;
        for at in cue.end..words.len().min(cue.end + LIST) {
            let is_end = matches!(words[at], "," | "，") || at - member > 2 * GAP;
            if is_end {
                break;
            }
            if matches!(words[at], "、" | "或" | "和" | "及" | "与") {
                touched[at + 1] = true;
                member = at + 1;
            }
        }
    }
    let mut fillers: Vec<&Hit> = fillers.iter().collect();
    fillers.sort_unstable_by_key(|filler| filler.start);
    for filler in fillers {
        touched[filler.end] |= touched[filler.start];
    }
    touched
}

/// The greatest number up to each place.
fn running(mut numbers: Vec<usize>) -> Vec<usize> {
    let mut greatest = 0;
    for number in &mut numbers {
        greatest = greatest.max(*number);
        *number = greatest;
    }
    numbers
}

impl Read<'_, '_> {
    /// The words of the first of these places that nothing takes back, and that is not part of one of
    /// `except`. History takes nothing back that is of the moment (`now`).
    pub fn present(&self, places: &[Hit], except: &[Hit], now: bool) -> Option<String> {
        let none = except.is_empty() && self.other.is_empty();
        let mut excepted = vec![false; if none { 0 } else { self.words.len() }];
        for other in except.iter().chain(self.other) {
            excepted[other.start..other.end].fill(true);
        }
        let free = |hit: &Hit| none || !excepted[hit.start..hit.end].contains(&true);
        let stands = |hit: &&Hit| free(hit) && !self.taken_back(hit.start, hit.end, now);
        let Hit { start, end, .. } = *places.iter().find(stands)?;
        let words = self.words;
        let separator = if words[start].chars().any(is_ideograph) { "" } else { " " };
        Some(words[start..end].join(separator).chars().take(SHOWN).collect())
    }

    fn taken_back(&self, start: usize, end: usize, now: bool) -> bool {
        let begin = self.until[start];
        let near = begin.max(self.comma[start]);
        let is_comma = |at: &usize| matches!(self.words[*at], "," | "，");
        let most = self.words.len().min(end + 2 * GAP);
        let comma = (end..most).find(is_comma);
        let stop = comma.unwrap_or(most);
        let denied = match now {
            // Nobody tells that he is unresponsive: a denial of something else before it says nothing of it.
            true => self.touched_by_any[start],
            false => {
                self.touched[start]
                    || self.before[start].max(self.denies[start]) > near
                    || self.before[start] > begin && self.is_listed(self.before[start], start, end, false)
                    || self.denies[start] > begin && self.is_listed(self.denies[start], start, end, true)
                    || self.history[start] > near
            }
        };
        denied
            || self.before_list[start] > begin
            // "Fainted, three years ago": only what begins with the comma reaches over it.
            || comma.is_some_and(|at| self.after[at].is_some())
            || (end..stop.min(end + GAP))
                .take_while(|at| !self.after_until[*at])
                .any(|at| self.after[at].is_some_and(|to| to <= stop))
    }

    /// Whether a denial whose cue begins at `cue` reaches the phrase across commas: a list of a few words each
    /// that ends with "or" or "nor", and after which nothing begins anew. What `denies` reaches over a list that ends
    /// with "and", too, and over one of three bare members.
    fn is_listed(&self, cue: usize, start: usize, end: usize, denies: bool) -> bool {
        let words = self.words;
        let is_comma = |at: &usize| matches!(words[*at], "," | "，" | "、");
        let is_last = |word: &str| matches!(word, "or" | "nor" | "或" | "和") || denies && word == "and";
        let most = words.len().min(cue + LIST);
        let from = self.comma[start];
        let is_short = |begin: usize, comma: usize| (comma - begin <= LISTED).then_some(comma + 1);
        let last = (from..most).find(|at| is_last(words[*at]));
        let is_behind = |last: usize| last < start && start - last <= LISTED;
        let Some(last) = last.filter(|last| *last == from || *last >= end || is_behind(*last)) else {
            let stop = (end..most).find(|at| self.until[*at] > cue).unwrap_or(most);
            let mut commas = (cue..stop).filter(is_comma).chain([stop]);
            let bare = commas.clone().count() > 2 && commas.try_fold(cue, is_short).is_some();
            let is_number = |word: &&str| word.as_bytes()[0].is_ascii_digit();
            return denies && bare && !words[cue..stop].iter().any(is_number);
        };
        let stop = (last..most).find(is_comma).unwrap_or(most);
        let mut commas = (cue..last).filter(is_comma).chain([last]);
        let short = commas.try_fold(cue, is_short);
        short.is_some() && stop - last <= LISTED + 1 && stop >= end && self.until[stop] < cue
    }

    /// Whether the number that stands from `start` to `end` is a reading of another time, or one that should be.
    pub fn is_past(&self, start: usize, end: usize) -> bool {
        let words = self.words;
        let is_end = |at: &usize| matches!(words[*at], "," | "，" | "(" | ")");
        let from = (start.saturating_sub(4 * GAP)..start).rev().find(is_end).map_or(0, |at| at + 1);
        let most = words.len().min(end + 2 * GAP);
        let to = (end..most).find(is_end).unwrap_or(most);
        // "Yesterday 97" behind a number says something of the next one.
        let is_number = |at: usize| words.get(at).is_some_and(|word| word.as_bytes()[0].is_ascii_digit());
        let behind = |at: usize| {
            let end_of_cue = self.past[at].filter(|to_cue| *to_cue <= to && self.until[at] <= end);
            end_of_cue.is_some_and(|next| !is_number(next))
        };
        self.past_before[start] > from.max(self.until[start]) || (end..to).any(behind)
    }
}
