//! What takes a phrase back: that it is denied, of another time or of somebody else.
//!
//! What denies is looked for before a phrase, up to the next comma or across the commas of a list, and closely after
//! it (after Chapman et al. 2001, "A simple algorithm for identifying negated findings and diseases in discharge
//! summaries"). In Chinese, where 无 and 没 begin ordinary words, a denial reaches what it touches.

use super::forms;
use super::index::{Group, Hit, Hits, Phrases};
use super::phrases::{Clause, GAP, is_glued};
use super::rules::ContextRule;
use crate::terms::is_ideograph;

/// Most characters of a phrase as it is repeated in a flag.
const SHOWN: usize = 80;
/// Most words of one thing in a list that is denied as a whole ("no fever, chest pain or cough").
const LISTED: usize = 4;
/// Most words of such a list.
const LIST: usize = 40;

/// What is asked of a phrase besides its words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// It is always of the moment: words of history do not take it back.
    pub now: bool,
    /// It is an emergency though it has passed.
    pub passed: bool,
}

/// What takes a phrase back: groups of [`Phrases`].
#[derive(Debug, Clone)]
pub struct Context {
    before: Group,
    before_list: Group,
    history_list: Group,
    denials: Group,
    denies: Group,
    touching: Group,
    fillers: Group,
    between: Group,
    whole: Group,
    history: Group,
    history_until: Group,
    after: Group,
    ended: Group,
    until: Group,
    after_until: Group,
    not_bare: Group,
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
    history_list: Vec<usize>,
    denials: Cues,
    denies: Vec<usize>,
    history: Cues,
    /// For each place the end of the last word before it that is no filler, phrase or word of a list.
    used: Vec<usize>,
    /// For each place the end of the last word before it that joins the members of a list.
    joined: Vec<usize>,
    /// Whether words that begin at a place say that what stands before them is of today, whatever history says.
    history_until: Vec<bool>,
    /// Whether what begins at a place is denied by a cue that touches it, of the group `touching` or of any.
    touched: Vec<bool>,
    touched_by_any: Vec<bool>,
    /// For each place where what was said before has ended.
    until: Vec<usize>,
    /// For each place the end of what takes back there, if anything does.
    after: Vec<Option<usize>>,
    ended: Vec<Option<usize>>,
    after_until: Vec<bool>,
    not_bare: Vec<bool>,
    /// Whether a form's answer stands at a place: what is directly before it is denied.
    answered: Vec<bool>,
    comma: Vec<usize>,
    /// What means something else, whatever rule it would hold for.
    other: &'c [Hit],
    /// As `before` and `after`: what makes a reading one of another time, or one that should be.
    past_before: Vec<usize>,
    past: Vec<Option<usize>>,
}

/// For each place the last cue that ends there or before: where it begins, counted from 1, and where it ends.
#[derive(Debug)]
struct Cues {
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl Context {
    /// The cues of a package, which are looked for with `phrases`.
    pub fn new(rule: &ContextRule, phrases: &mut Phrases) -> Result<Context, String> {
        Ok(Context {
            before: phrases.add(&rule.before)?,
            before_list: phrases.add(&rule.before_list)?,
            history_list: phrases.add(&rule.history_list)?,
            denials: phrases.add(&rule.denials)?,
            denies: phrases.add(&rule.denies)?,
            touching: phrases.add(&rule.touching)?,
            fillers: phrases.add(&rule.fillers)?,
            between: phrases.add(&rule.between)?,
            whole: phrases.add(&rule.words)?,
            history: phrases.add(&rule.history)?,
            history_until: phrases.add(&rule.history_until)?,
            after: phrases.add(&rule.after)?,
            ended: phrases.add(&rule.ended)?,
            until: phrases.add(&rule.until)?,
            after_until: phrases.add(&rule.after_until)?,
            not_bare: phrases.add(&rule.not_bare)?,
            other: phrases.add(&rule.except)?,
            past: phrases.add(&rule.past)?,
            past_before: phrases.add(&rule.past_before)?,
        })
    }

    /// Reads a clause for what takes phrases back; `hits` are the places of the cues, `said` those of what they may
    /// take back.
    pub fn read<'c, 'a>(
        &self,
        Clause { words }: &'c Clause<'a>,
        hits: &'c Hits,
        said: &[Hit],
    ) -> Read<'c, 'a> {
        // A cue inside a word of its own ("no helmet", 无力) denies nothing.
        let mut whole = vec![0; words.len() + 1];
        for hit in hits.of(&self.whole) {
            whole[hit.start] = whole[hit.start].max(hit.end);
        }
        let answers = forms::answers(words);
        for answer in &answers {
            // The "no" of an answer says nothing of what comes next.
            whole[answer.start] = whole[answer.start].max(answer.end);
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
        let with_ends = |groups: &[&Group]| {
            let mut end = vec![0; words.len() + 1];
            cues(groups).iter().for_each(|cue| end[cue.end] = cue.end);
            Cues { begin: begins(groups), end: running(end) }
        };
        let starts = |group: &Group| {
            let mut starts = vec![false; words.len()];
            hits.of(group).iter().for_each(|hit| starts[hit.start] = true);
            starts
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
        let denying = [&self.before, &self.before_list, &self.denials, &self.denies, &self.touching];
        let denials = cues(&[&denying[..], &[&self.history, &self.history_list]].concat());
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
        // "(-) chest pain": nor does a sign of the cue itself.
        for cue in &denials {
            comma[cue.start + 1..=cue.end].fill(0);
        }
        // "Denies - chest pain": a dash directly behind what denies ends nothing.
        for cue in denials.iter().filter(|cue| words.get(cue.end).is_some_and(|word| !is_comma(word))) {
            comma[cue.end + 1] = 0;
        }
        // "+ facial droop" is present.
        for at in (0..words.len()).filter(|at| words[*at] == "+" && !is_glued(words, *at)) {
            until[at + 1] = at + 1;
        }
        let (used, joined) = self.used(words, &denials, hits, said);
        let mut answered = vec![false; words.len() + 1];
        answers.iter().for_each(|answer| answered[answer.start] = true);
        let mut touching = touched(words, &cues(&[&self.touching]), hits.of(&self.fillers));
        forms::unticked(words).for_each(|at| touching[at] = true);
        Read {
            words,
            before: begins(&[&self.before]),
            before_list: begins(&[&self.before_list]),
            history_list: begins(&[&self.history_list]),
            denials: with_ends(&[&self.denials]),
            denies: begins(&[&self.denies]),
            touched: touching,
            touched_by_any: touched(
                words,
                &cues(&[&self.touching, &self.before, &self.denials, &self.denies]),
                hits.of(&self.fillers),
            ),
            history: with_ends(&[&self.history]),
            used,
            joined,
            history_until: starts(&self.history_until),
            until: running(until),
            after: ends(&self.after),
            ended: ends(&self.ended),
            after_until: starts(&self.after_until),
            not_bare: starts(&self.not_bare),
            answered,
            comma: running(comma),
            other: hits.of(&self.other),
            past_before: begins(&[&self.past, &self.past_before]),
            past: ends(&self.past),
        }
    }

    /// For each place where the last word ends that uses a cue up ("hx htn seizing": of the history is htn alone),
    /// and where the last word ends that joins the members of a list ("no fever or chest pain", "no n/v/cp"). None
    /// uses a cue up where the package does not say what does not.
    fn used(&self, words: &[&str], cues: &[Hit], hits: &Hits, said: &[Hit]) -> (Vec<usize>, Vec<usize>) {
        let (mut used, mut joined) = (vec![0; words.len() + 1], vec![0; words.len() + 1]);
        if self.between.is_empty() {
            return (used, joined);
        }
        let mut free = vec![0; words.len() + 1];
        let fillers = hits.of(&self.fillers).iter().chain(hits.of(&self.between));
        for hit in cues.iter().chain(fillers).chain(said) {
            free[hit.start] = free[hit.start].max(hit.end);
        }
        let free = running(free);
        for (at, word) in words.iter().enumerate().filter(|(at, _)| free[*at] <= *at) {
            match *word {
                "or" | "nor" => joined[at + 1] = at + 1,
                "/" if is_glued(words, at) && is_glued(words, at + 1) => joined[at + 1] = at + 1,
                "and" | "&" => {}
                word if word.starts_with(char::is_alphanumeric) => used[at + 1] = at + 1,
                _ => {}
            }
        }
        // "Or" fills a gap, and joins for all that.
        for at in (0..words.len()).filter(|at| matches!(words[*at], "or" | "nor")) {
            joined[at + 1] = at + 1;
        }
        (running(used), running(joined))
    }
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
        "–" | "—" | "•" | "·" | "|" | "(" => true,
        // "1) no fever 2) facial droop".
        ")" => true,
        "-" => next_is_apart || words.get(at + 1) == Some(&"-"),
        "/" => next_is_apart,
        word => TIMES.contains(&word) && at > 0 && words[at - 1].ends_with(|c: char| c.is_ascii_digit()),
    }
}

/// The places that a cue touches: directly behind it, behind words that say nothing else ("no sign of"), and in a list
/// that has 、 or a word for "or" between its members.
fn touched(words: &[&str], cues: &[Hit], fillers: &[Hit]) -> Vec<bool> {
    let mut touched = vec![false; words.len() + 1];
    // "+cough, -fever, -cp", and without commas where there are several of them.
    let is_mark =
        |at: &usize| matches!(words[*at], "-" | "+") && !is_glued(words, *at) && is_glued(words, at + 1);
    let marks: Vec<usize> = (0..words.len()).filter(is_mark).collect();
    for at in marks.iter().copied().filter(|at| words[*at] == "-") {
        touched[at + 1] = marks.len() > 1 || at > 0 && words[at - 1] == ",";
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
    /// `except`.
    pub fn present(&self, places: &[Hit], except: &[Hit], told: Told) -> Option<String> {
        let none = except.is_empty() && self.other.is_empty();
        let mut excepted = vec![false; if none { 0 } else { self.words.len() }];
        for other in except.iter().chain(self.other) {
            excepted[other.start..other.end].fill(true);
        }
        let free = |hit: &Hit| none || !excepted[hit.start..hit.end].contains(&true);
        let stands = |hit: &&Hit| free(hit) && !self.taken_back(hit.start, hit.end, told);
        let Hit { start, end, .. } = *places.iter().find(stands)?;
        let words = self.words;
        let separator = if words[start].chars().any(is_ideograph) { "" } else { " " };
        Some(words[start..end].join(separator).chars().take(SHOWN).collect())
    }

    fn taken_back(&self, start: usize, end: usize, told: Told) -> bool {
        let begin = self.until[start];
        let near = begin.max(self.comma[start]);
        let is_comma = |at: &usize| matches!(self.words[*at], "," | "，");
        let most = self.words.len().min(end + 2 * GAP);
        let comma = (end..most).find(is_comma);
        let stop = comma.unwrap_or(most);
        let denied = match told.now {
            // Nobody tells that he is unresponsive: a denial of something else before it says nothing of it.
            true => self.touched_by_any[start],
            false => {
                self.touched[start]
                    || self.before[start].max(self.denies[start]) > near
                    || self.reaches(&self.denials, start, near)
                    || self.before[start] > begin && self.is_listed(self.before[start], start, end, false)
                    || self.denials.begin[start] > begin
                        && self.is_listed(self.denials.begin[start], start, end, false)
                    || self.denies[start] > begin && self.is_listed(self.denies[start], start, end, true)
                    || self.reaches(&self.history, start, near)
                        && !(end..stop).any(|at| self.history_until[at])
            }
        };
        let takes_back = |at: usize| {
            let ended = self.ended[at].filter(|_| !told.passed);
            self.after[at].into_iter().chain(ended).min()
        };
        denied
            || forms::answer(self.words, &self.answered, end)
            || self.before_list[start] > begin
            || !told.now && self.history_list[start] > begin
            // "Fainted, three years ago": only what begins with the comma reaches over it.
            || comma.is_some_and(|at| takes_back(at).is_some())
            || (end..stop.min(end + GAP))
                .take_while(|at| !self.after_until[*at])
                .any(|at| takes_back(at).is_some_and(|to| to <= stop))
    }

    /// Whether a cue behind `near` reaches what begins at `start`: nothing stands between that uses it up, or not
    /// since a word that joins a list.
    fn reaches(&self, cues: &Cues, start: usize, near: usize) -> bool {
        let used = self.used[start];
        cues.begin[start] > near && (used <= cues.end[start] || used <= self.joined[start])
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
        // "Not eating or drinking seizing": what is last in the list has said its word.
        let is_behind = |last: usize| last < start && start - last <= LISTED && self.used[start] <= last + 1;
        let Some(last) = last.filter(|last| *last == from || *last >= end || is_behind(*last)) else {
            let stop = (end..most).find(|at| self.until[*at] > cue).unwrap_or(most);
            let mut commas = (cue..stop).filter(is_comma).chain([stop]);
            let bare = commas.clone().count() > 2 && commas.try_fold(cue, is_short).is_some();
            let is_number = |word: &&str| word.as_bytes()[0].is_ascii_digit();
            // "Denies fever, chills, facial droop noted", "left facial droop": so nobody lists what is not there.
            let own = (from..stop).find(|at| *at >= end && is_comma(at)).unwrap_or(stop);
            let is_bare = |at: usize| !self.not_bare[at];
            return denies && bare && (from..own).all(is_bare) && !words[cue..stop].iter().any(is_number);
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
