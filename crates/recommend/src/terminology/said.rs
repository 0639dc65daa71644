//! What a text says of the names in it. A name counts, wherever it stands, unless what denies it, or says that it is
//! somebody else's, stands directly beside it: few words between, and no comma, full stop, colon or dash. What else a text
//! says makes it understood in part, so that whoever asks is told; it never takes a name away.

use super::cues::{
    AGAIN, ANSWERS, BEFORE, BEFORE_DRUGS, BEHIND, BETWEEN, BETWEEN_BEHIND, BETWEEN_DRUGS, BETWEEN_EARLIER,
    BETWEEN_OTHERS, EARLIER, HEADINGS, IMMUNE, MOTHERS, OVER, PARTNERS, RELATIVES, SPECIMENS, TESTS,
    UNDENIES, Why,
};

/// The most words between a name and what denies it.
const FEW: usize = 6;

/// What stands between a word and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Space,
    Hyphen,
    Slash,
    Colon,
    Dash,
    Bracket,
    Other,
}

/// A word, and in which part of the text: a comma, a full stop, a colon, a dash or a bracket begins another.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) part: usize,
    pub(super) link: Link,
}

/// The words of a normalised text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut from, mut end, mut part) = (None, 0, 0);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        // A dot within a word belongs to it.
        match (c.is_alphanumeric() || matches!(c, '%' | '.'), from) {
            (true, None) => from = Some(at),
            (false, Some(start)) => {
                let word = text[start..at].trim_matches('.');
                if !word.is_empty() {
                    let start = text[start..].find(word).map_or(start, |skipped| start + skipped);
                    let gap = &text[end..start];
                    let link = link(gap);
                    part += usize::from(!tokens.is_empty() && ends_part(gap, link));
                    tokens.push(Token { text: word, part, link });
                    end = start + word.len();
                }
                from = None;
            }
            _ => {}
        }
    }
    tokens
}

fn link(gap: &str) -> Link {
    let dash = |gap: &str| gap.contains('-') && gap.trim() != gap;
    match gap.trim() {
        "" => Link::Space,
        "-" if !dash(gap) => Link::Hyphen,
        "/" => Link::Slash,
        marks if marks.contains(':') => Link::Colon,
        marks if marks.contains(['(', '[', '{']) => Link::Bracket,
        _ if dash(gap) || gap.contains("--") => Link::Dash,
        _ => Link::Other,
    }
}

fn ends_part(gap: &str, link: Link) -> bool {
    let marks = [',', '.', ';', '!', '?', '|', ')', ']', '}', '。', '、'];
    matches!(link, Link::Colon | Link::Dash | Link::Bracket) || gap.contains(marks)
}

/// A name among the words.
#[derive(Debug, Clone)]
pub(super) struct Mention<T> {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What it names.
    pub(super) names: T,
    /// Whether it is that of a drug.
    pub(super) drug: bool,
    /// Whether it is a pregnancy or goes with one: what was once is over.
    pub(super) passes: bool,
    /// Whether it is over once it is resolved.
    pub(super) ends: bool,
    /// Why it is not what the person has, if so.
    pub(super) denied: Option<Why>,
}

/// Says of each of the names whether it is denied, and of each word whether it is part of what says so.
pub(super) fn judge<T>(tokens: &[Token<'_>], mentions: &mut [Mention<T>]) -> Judged {
    // What has come again is not over.
    if tokens.iter().any(|token| AGAIN.contains(&token.text)) {
        mentions.iter_mut().for_each(|mention| mention.ends = false);
    }
    for at in 0..mentions.len() {
        if mentions[at].denied.is_none() {
            mentions[at].denied = behind(tokens, mentions, at).or_else(|| before(tokens, mentions, at));
        }
    }
    // From the last to the first: of "gout or asthma ruled out" both are.
    for at in (0..mentions.len().saturating_sub(1)).rev() {
        let (this, next) = (&mentions[at], &mentions[at + 1]);
        let joined = next.start == this.end + 1 && tokens[this.end].text == "or"
            || next.start == this.end && tokens[next.start].link == Link::Slash;
        let same = tokens[this.start].part == tokens[next.start].part;
        let from_behind = same && joined && behind(tokens, mentions, at + 1).is_some();
        // "Pre-eclampsia in a previous pregnancy".
        let between: Vec<&str> =
            tokens.get(this.end..next.start).into_iter().flatten().map(|token| token.text).collect();
        let then = |word: &&str| EARLIER.contains(word) || BETWEEN_EARLIER.contains(word);
        let earlier =
            same && next.denied == Some(Why::Past) && matches!(between.first(), Some(&("in" | "during")));
        let earlier = earlier && between.iter().all(then);
        if this.denied.is_none() && (from_behind || this.passes && earlier) {
            mentions[at].denied = next.denied;
        }
    }
    explained(tokens, mentions)
}

/// What is left of a text beside its names and what denies them.
pub(super) struct Judged {
    /// Of each word whether it is part of a denial, or of what is denied.
    pub(super) covered: Vec<bool>,
    /// Whether a denial stands beside something that counts all the same.
    pub(super) open: bool,
}

fn explained<T>(tokens: &[Token<'_>], mentions: &[Mention<T>]) -> Judged {
    let mut covered = vec![false; tokens.len()];
    let mut open = false;
    let named = |at: usize| mentions.iter().any(|mention| (mention.start..mention.end).contains(&at));
    let mut at = 0;
    while at < tokens.len() {
        let cue = (!named(at)).then(|| cue_at(tokens, at)).flatten();
        let Some(cue) = cue else {
            let behind = BEHIND.iter().map(|(cue, _)| *cue).find(|cue| spoken(tokens, at, cue));
            match behind.filter(|_| !named(at)) {
                Some(cue) => {
                    let end = at + cue.split(' ').count();
                    covered[at..end].fill(true);
                    // It may be about any of the names that it does not stand beside.
                    let used = |mention: &Mention<T>| {
                        let given = mention.drug && mention.end == at;
                        given || mention.denied.is_some() && mention.end <= at && at - mention.end <= 3
                    };
                    open |= !mentions.iter().any(used);
                    at = end;
                }
                None => at += 1,
            }
            continue;
        };
        let from = at + cue;
        covered[at..from].fill(true);
        let scope = (from..tokens.len()).take_while(|&next| tokens[next].part == tokens[at].part).count();
        let scope = from..from + scope;
        let within = |mention: &&Mention<T>| scope.contains(&mention.start);
        let answers = mentions
            .iter()
            .any(|mention| mention.denied.is_some() && mention.end <= at && at - mention.end <= 3);
        let heads = mentions.iter().any(|mention| mention.denied.is_some() && mention.start == from);
        if mentions.iter().filter(within).any(|mention| mention.denied.is_none())
            || (scope.is_empty() && !answers && !heads)
        {
            open = true;
        } else {
            covered[scope].fill(true);
        }
        at = from;
    }
    Judged { covered, open }
}

/// Whether these words stand here, in one part.
fn spoken(tokens: &[Token<'_>], at: usize, words: &str) -> bool {
    // Of the hundred that are looked for at every word, this leaves one or none.
    tokens.get(at).is_some_and(|first| words.starts_with(first.text))
        && words.split(' ').enumerate().all(|(offset, word)| {
            tokens.get(at + offset).is_some_and(|token| token.text == word && token.part == tokens[at].part)
        })
}

/// Of how many words the denial is that begins here.
fn cue_at(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let cues =
        BEFORE.iter().filter(|(cue, _)| spoken(tokens, at, cue)).map(|(cue, _)| cue.split(' ').count());
    cues.chain(RELATIVES.contains(&tokens[at].text).then_some(1)).max()
}

/// The denial whose last word stands here, and where it begins.
fn cue_before(tokens: &[Token<'_>], last: usize, drug: bool) -> Option<(usize, Why)> {
    let ends = |cue: &str| {
        let words = || cue.split(' ').count();
        let begins = || (last + 1).checked_sub(words()).filter(|&at| spoken(tokens, at, cue));
        cue.ends_with(tokens[last].text).then(begins).flatten()
    };
    let cues = BEFORE.iter().chain(BEFORE_DRUGS.iter().filter(|_| drug));
    let mut found: Vec<(usize, Why)> = cues.filter_map(|&(cue, why)| Some((ends(cue)?, why))).collect();
    if RELATIVES.contains(&tokens[last].text) {
        found.push((last, Why::Relative));
    }
    let (start, why) = found.into_iter().min_by_key(|(start, _)| *start)?;
    let earlier = |back: usize| start.checked_sub(back).map_or("", |at| tokens[at].text);
    let undone = UNDENIES.contains(&earlier(1)) || UNDENIES.contains(&earlier(2)) && earlier(1) == "to";
    let open = earlier(1) == "or" && earlier(2) == "with";
    (!undone && !open).then_some((start, why))
}

/// Whether an antibody that is not found says nothing against it.
fn may_be_seronegative<T>(tokens: &[Token<'_>], mention: &Mention<T>) -> bool {
    ["myasthenia", "mg", "lambert", "rheumatoid", "ra"].contains(&tokens[mention.start].text)
}

/// Whether a test for it is said to be negative before its name: "negative urine pregnancy test".
fn tested_negative<T>(tokens: &[Token<'_>], mention: &Mention<T>) -> bool {
    let part = tokens[mention.start].part;
    let tested = tokens.get(mention.end).is_some_and(|next| next.part == part && TESTS.contains(&next.text));
    let mut before = tokens[..mention.start].iter().rev().take_while(|token| token.part == part);
    let result = before.find(|token| !SPECIMENS.contains(&token.text));
    let negative = result.is_some_and(|token| {
        ["negative", "neg", "normal", "nonreactive"].contains(&token.text) && token.link != Link::Hyphen
    });
    tested && negative && !may_be_seronegative(tokens, mention)
}

/// Why the name is denied by what stands before it.
fn before<T>(tokens: &[Token<'_>], mentions: &[Mention<T>], this: usize) -> Option<Why> {
    let mention = &mentions[this];
    if tested_negative(tokens, mention) {
        return Some(Why::Denied);
    }
    let mothers = |last: usize| mention.passes && MOTHERS.contains(&tokens[last].text);
    let (mut others, mut drugs, mut earlier, mut joined) = (false, false, true, None);
    // Words that may stand before any name, one after the other.
    let mut plain = true;
    for last in (mention.start.saturating_sub(FEW + 1)..mention.start).rev() {
        let next = &tokens[last + 1];
        if tokens[last].part != next.part {
            let heading = |cue: &&&str| {
                (last + 1).checked_sub(cue.split(' ').count()).is_some_and(|at| spoken(tokens, at, cue))
            };
            let heads = matches!(next.link, Link::Colon | Link::Dash) && last + 1 == mention.start;
            return heads
                .then(|| HEADINGS.iter().find(heading))
                .flatten()
                .and(cue_before(tokens, last, mention.drug))
                .map(|(_, why)| why);
        }
        let word = tokens[last].text;
        if let Some(other) = mentions.iter().find(|other| (other.start..other.end).contains(&last)) {
            let chained = match joined {
                Some("or" | "nor") => true,
                Some("and") => matches!(other.denied, Some(Why::Relative | Why::Past)),
                _ => next.link == Link::Slash && last + 1 == mention.start,
            };
            // What was once is over of pregnancies alone.
            let holds = other.denied.filter(|why| *why != Why::Past || mention.passes);
            return holds.filter(|_| chained);
        }
        if mention.passes && earlier && EARLIER.contains(&word)
            || mention.ends && plain && OVER.contains(&word)
        {
            return Some(Why::Past);
        }
        if let Some((start, why)) = cue_before(tokens, last, mention.drug) {
            let behind_other = mentions
                .iter()
                .any(|other| other.end == start && tokens[start].part == tokens[other.start].part);
            let both = behind_other && BEHIND.iter().any(|(cue, _)| spoken(tokens, start, cue));
            let fits = match why {
                Why::Denied | Why::Past => !others,
                Why::Relative | Why::Purpose => true,
            };
            let fits = fits && (mention.drug || !drugs) && plain;
            return Some(why).filter(|_| fits && !both && !mothers(last));
        }
        match word {
            "or" | "nor" | "and" if joined.is_none() => joined = Some(word),
            word if BETWEEN.contains(&word) => {}
            word if BETWEEN_DRUGS.contains(&word) => drugs = true,
            word if BETWEEN_OTHERS.contains(&word) || is_number(word) => others = true,
            _ => plain = false,
        }
        earlier &= BETWEEN_EARLIER.contains(&word) || is_number(word);
        if !plain && !earlier {
            return None;
        }
    }
    None
}

/// Why the name is denied by what stands behind it.
fn behind<T>(tokens: &[Token<'_>], mentions: &[Mention<T>], this: usize) -> Option<Why> {
    let mention = &mentions[this];
    let part = tokens[mention.end - 1].part;
    // A test is no pregnancy, unless it says so: "Encounter for pregnancy test, result unknown".
    let told = |word: &str| tokens.iter().any(|token| token.text == word);
    let next = tokens.get(mention.end).filter(|next| next.part == part).map_or("", |next| next.text);
    if mention.passes && TESTS.contains(&next) && !told("positive") {
        return Some(Why::Denied);
    }
    for at in mention.end..=mention.end + 3 {
        let Some(token) = tokens.get(at) else { break };
        if token.part != part {
            // An answer stands alone in its part.
            let answers = matches!(token.link, Link::Colon | Link::Dash | Link::Bracket) && at == mention.end;
            let end = tokens[at..].iter().take_while(|other| other.part == token.part).count() + at;
            let answer: Vec<&str> = tokens[at..end].iter().map(|token| token.text).collect();
            let over = mention.ends && matches!(answer[..], [word] if OVER.contains(&word))
                || mention.passes && answer == ["delivered"];
            return (over || answers && ANSWERS.contains(&answer.join(" ").as_str())).then_some(Why::Denied);
        }
        if let Some(&(cue, why)) = BEHIND.iter().find(|(cue, _)| spoken(tokens, at, cue)) {
            let next = tokens.get(at + cue.split(' ').count()).filter(|next| next.part == part);
            // "Negative for" begins another denial; whoever gets a drug to prevent something takes it.
            let ends = match cue {
                "negative" => next.is_none_or(|next| next.text != "for"),
                // "Hepatitis B immune", "G6PD normal", and not "normal" of something else.
                "immune" => next.is_none_or(|next| IMMUNE.contains(&next.text)),
                "normal" => next.is_none() && !mention.passes,
                // "Heart failure, unlikely due to ischemia" speaks of the cause.
                "unlikely" => !tells_cause(tokens, at + 1),
                _ => true,
            };
            return Some(why).filter(|why| ends && (*why != Why::Purpose || !mention.drug));
        }
        if mention.ends && OVER.contains(&token.text) || mention.passes && token.text == "delivered" {
            return Some(Why::Past);
        }
        if mention.passes && PARTNERS.contains(&token.text) && at == mention.end {
            return Some(Why::Relative);
        }
        if token.text == "in" && at == mention.end {
            let whose = ["his", "her", "the", "a", "one", "both", "two", "my", "maternal", "paternal"];
            let who = tokens[at + 1..].iter().take(3).take_while(|token| token.part == part);
            let who = who.map(|token| token.text).find(|word| !whose.contains(word))?;
            let of_other = RELATIVES.contains(&who) && !(mention.passes && MOTHERS.contains(&who));
            return of_other.then_some(Why::Relative);
        }
        // Whoever has no antibodies to what the e of "HBeAg" stands for may be ill all the same.
        let letter = token.text.chars().count() == 1 && token.text.is_ascii() && token.text != "e";
        let drugs = mention.drug && BETWEEN_DRUGS.contains(&token.text);
        let tests = !may_be_seronegative(tokens, mention) && TESTS.contains(&token.text);
        if !(letter || drugs || tests || BETWEEN_BEHIND.contains(&token.text)) {
            return None;
        }
    }
    None
}

/// Whether the words here speak of what something comes from.
fn tells_cause(tokens: &[Token<'_>], at: usize) -> bool {
    let mut words = tokens[at.min(tokens.len())..].iter().map(|token| token.text);
    let mut next = words.next();
    while next.is_some_and(|word| ["to", "be"].contains(&word)) {
        next = words.next();
    }
    next.is_some_and(|word| {
        ["due", "caused", "related", "secondary", "because", "from", "attributable"].contains(&word)
    })
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}
