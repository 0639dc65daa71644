//! Words that make a condition a narrower one that has a term of its own, wherever they stand beside it: of "uncontrolled
//! hypertension" the "uncontrolled", which "HTN - uncontrolled" says, too. They come from the names of the terms: what a
//! name says besides a name of the broader condition, with all that the broader one is called.

use std::collections::HashMap;

use super::conditions::is_qualifier;
use super::mentions::is_unspaced;
use super::said::{Link, Mention, Token};
use super::{ByKey, Key, TermKind, Terminology, normal};

/// What before such words denies them.
const DENYING: [&str; 8] = ["no", "not", "non", "without", "never", "denies", "negative", "rather"];
/// What may stand between a name and such words, beside what qualifies any condition.
const BETWEEN: [&str; 8] = ["both", "now", "still", "very", "remains", "bp", "blood", "pressure"];
/// The same in Chinese, with the marks.
const BETWEEN_ZH: [&str; 9] = [",", "、", "(", ":", "-", " ", "的", "血压", "伴"];

/// The most words between a name and such words.
const FEW: usize = 8;

/// By broader condition: words, and the narrower condition that they make of it.
#[derive(Debug, Default)]
pub(super) struct Narrower(ByKey<Vec<(Vec<String>, Key)>>);

impl Narrower {
    pub(super) fn of(terminology: &Terminology) -> Self {
        let mut called: HashMap<&Key, Vec<&str>> = HashMap::new();
        for (word, names) in &terminology.index {
            for name in names {
                called.entry(name).or_default().push(word);
            }
        }
        let mut all: ByKey<Vec<(Vec<String>, Key)>> = ByKey::default();
        let conditions = terminology.nodes.iter().filter(|(_, node)| node.kind == TermKind::Condition);
        for (child, node) in conditions {
            for parent in &node.classes {
                let names = |name| called.get(name).into_iter().flatten().copied();
                let mut words: Vec<Vec<String>> = names(child)
                    .flat_map(|long| names(parent).filter_map(move |short| more(long, short)))
                    .collect();
                words.sort_unstable();
                words.dedup();
                let pairs = words.into_iter().map(|words| (words, Key::clone(child)));
                all.entry(Key::clone(parent)).or_default().extend(pairs);
            }
        }
        // The longest first.
        all.values_mut()
            .for_each(|words| words.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b))));
        Self(all)
    }

    /// Makes the conditions narrower that such words stand beside. Says of each word whether it is one of them.
    pub(super) fn narrow(&self, tokens: &[Token<'_>], mentions: &mut [Mention<Vec<Key>>]) -> Vec<bool> {
        let mut used = vec![false; tokens.len()];
        let mut named = vec![false; tokens.len()];
        mentions.iter().for_each(|mention| named[mention.start..mention.end].fill(true));
        let parts: Vec<usize> = mentions.iter().map(|mention| tokens[mention.start].part).collect();
        for (number, mention) in mentions.iter_mut().enumerate() {
            if mention.drug || mention.denied.is_some() {
                continue;
            }
            let known: Vec<&(Vec<String>, Key)> =
                mention.names.iter().filter_map(|name| self.0.get(name)).flatten().collect();
            for at in mention.start.saturating_sub(FEW)..tokens.len().min(mention.end + FEW) {
                let part = tokens[at].part;
                let Some((words, child)) = known.iter().find(|(words, _)| {
                    let end = at + words.len();
                    end <= tokens.len()
                        && (at..end).zip(words).all(|(at, word)| {
                            !named[at]
                                && !used[at]
                                && tokens[at].part == part
                                && is_same(tokens[at].text, word)
                        })
                }) else {
                    continue;
                };
                let end = at + words.len();
                let own = part == parts[number];
                // Of another part they speak of the name before it, or after it behind a colon, if they have none of their own.
                let before = number.checked_sub(1).map(|before| parts[before]);
                let heads =
                    tokens[mention.start].link == Link::Colon && before.is_none_or(|before| before < part);
                let aside = !parts.contains(&part) && (mention.end <= at || heads);
                let between = if at >= mention.end { mention.end..at } else { end..mention.start };
                let plain = |at: usize| {
                    !named[at] && (is_qualifier(tokens[at].text) || BETWEEN.contains(&tokens[at].text))
                };
                let denied = at.checked_sub(1).is_some_and(|before| {
                    tokens[before].part == part && DENYING.contains(&tokens[before].text)
                });
                if (own || aside) && !denied && between.clone().all(plain) {
                    used[at..end].fill(true);
                    used[between].fill(true);
                    mention.names.push(Key::clone(child));
                }
            }
        }
        used
    }

    /// The same of names without spaces, by what stands before and behind them.
    pub(super) fn narrow_unspaced(&self, names: &mut Vec<Key>, before: &str, behind: &str) {
        let (mut before, mut behind) = (before, behind);
        while let Some(rest) = BETWEEN_ZH.iter().find_map(|mark| behind.strip_prefix(mark)) {
            behind = rest;
        }
        while let Some(rest) = BETWEEN_ZH.iter().find_map(|mark| before.strip_suffix(mark)) {
            before = rest;
        }
        let known = names.iter().filter_map(|name| self.0.get(name)).flatten();
        let beside = |word: &str| !word.is_ascii() && (behind.starts_with(word) || before.ends_with(word));
        let child = known.filter(|(words, _)| words.len() == 1 && beside(&words[0])).map(|(_, child)| child);
        names.extend(child.max_by_key(|child| child.len()).cloned().into_iter().collect::<Vec<_>>());
    }
}

/// What a name says more than a shorter one with which it begins or ends.
fn more(long: &str, short: &str) -> Option<Vec<String>> {
    let rest =
        long.strip_prefix(short).or_else(|| long.strip_suffix(short)).filter(|rest| !rest.is_empty())?;
    if is_unspaced(long) && is_unspaced(short) {
        return (rest.chars().count() > 1).then(|| vec![rest.to_owned()]);
    }
    let apart = rest.starts_with(' ') || rest.ends_with(' ');
    let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    // A number or a letter alone may count anything.
    let says = words.iter().any(|word| word.len() > 2 && word.chars().all(char::is_alphabetic));
    (apart && says).then_some(words)
}

fn is_same(written: &str, word: &str) -> bool {
    written == word || normal::american(written).is_some_and(|american| american == word)
}
