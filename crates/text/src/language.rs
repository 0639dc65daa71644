//! A model of the characters of training notes: how likely is a text, character by character?
//!
//! The probability of a character after those before it is interpolated from the counts of n-grams, the longest
//! first (Jelinek and Mercer 1980, with one pseudo-count for what a context was not followed by). The share of known
//! n-grams cannot tell a complaint from a sentence about wallpaper, since both are made of the same short
//! pieces; their order can.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use super::terms::Hash;

/// Pseudo-count of what has not followed a context.
const UNSEEN: f64 = 1.0;
/// Characters of a text that are looked at, at most.
const MOST: usize = 20_000;

/// Counts of the n-grams of up to `order` characters, blanks around each text included.
#[derive(Debug, Clone)]
pub struct Language {
    /// By length of the n-gram, from one.
    counts: Vec<Counts>,
    /// Characters seen.
    total: f64,
    /// Probability of a character that was never seen.
    base: f64,
}

impl Language {
    /// Counts the n-grams of up to `order` characters in `texts`.
    pub fn learn<'a>(order: usize, texts: impl Iterator<Item = &'a str>) -> Language {
        let mut counted = vec![HashMap::<u32, u32>::new(); order];
        for text in texts {
            grams(order, text, |hashes| {
                for (table, hash) in counted.iter_mut().zip(hashes) {
                    let count = table.entry(*hash).or_default();
                    *count = count.saturating_add(1);
                }
            });
        }
        Language::new(counted.into_iter().map(|table| table.into_iter().collect()).collect())
    }

    fn new(counted: Vec<Vec<(u32, u32)>>) -> Language {
        let characters = counted.first().map_or(&[][..], Vec::as_slice);
        let total = characters.iter().map(|(_, count)| f64::from(*count)).sum();
        let base = 1.0 / (10.0 * characters.len().max(1) as f64);
        Language { counts: counted.iter().map(|pairs| Counts::new(pairs)).collect(), total, base }
    }

    /// What a package keeps: for n-grams of n characters `language.n`, rows of hash and count.
    ///
    /// # Errors
    /// What candle says.
    pub fn tensors(&self) -> candle_core::Result<BTreeMap<String, Tensor>> {
        let table = |(at, counts): (usize, &Counts)| {
            let mut pairs: Vec<(u32, u32)> = counts.slots.iter().copied().filter(|(_, n)| *n > 0).collect();
            pairs.sort_unstable();
            let values: Vec<u32> = pairs.iter().flat_map(|(hash, count)| [*hash, *count]).collect();
            Ok((name(at + 1), Tensor::from_vec(values, (pairs.len(), 2), &Device::Cpu)?))
        };
        self.counts.iter().enumerate().map(table).collect()
    }

    /// What [`Language::tensors`] made.
    ///
    /// # Errors
    /// A table that is absent or has another form.
    pub fn read(order: usize, tensors: &BTreeMap<String, Tensor>) -> candle_core::Result<Language> {
        let table = |length: usize| {
            let Some(tensor) = tensors.get(&name(length)) else {
                candle_core::bail!("the tensor \"{}\" is absent", name(length))
            };
            let rows = tensor.to_vec2::<u32>()?;
            if rows.iter().any(|row| row.len() != 2) {
                candle_core::bail!("the tensor \"{}\" has no rows of hash and count", name(length))
            }
            Ok(rows.iter().map(|row| (row[0], row[1])).collect())
        };
        Ok(Language::new((1..=order).map(table).collect::<candle_core::Result<_>>()?))
    }

    /// Whether the texts had a character.
    pub fn has_seen(&self, character: char) -> bool {
        let mut hash = Hash::new(16 + 1);
        hash.add(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.counts.first().is_some_and(|counts| counts.get(hash.value()) > 0)
    }

    /// The mean natural logarithm of the probabilities of a text's characters (the blank at its end among
    /// them), and how many they are. Of a long text the beginning is looked at.
    pub fn mean_log_probability(&self, text: &str) -> (f64, usize) {
        let (mut sum, mut characters) = (0.0, 0usize);
        // Counts of the n-grams that end one character earlier, shortest first: the contexts.
        let mut contexts: Vec<u32> = Vec::with_capacity(self.counts.len());
        let mut own: Vec<u32> = Vec::with_capacity(self.counts.len());
        let mut first = true;
        grams(self.counts.len(), text, |hashes| {
            own.clear();
            own.extend(hashes.iter().zip(&self.counts).map(|(hash, counts)| counts.get(*hash)));
            if !first {
                let mut probability = self.base;
                for (length, count) in own.iter().enumerate() {
                    let context = match length {
                        0 => self.total,
                        longer => f64::from(contexts.get(longer - 1).copied().unwrap_or(0)),
                    };
                    if context == 0.0 {
                        break;
                    }
                    let known = context / (context + UNSEEN);
                    probability = known * f64::from(*count) / context + (1.0 - known) * probability;
                }
                sum += probability.ln();
                characters += 1;
            }
            first = false;
            std::mem::swap(&mut contexts, &mut own);
        });
        (sum / characters.max(1) as f64, characters)
    }
}

fn name(length: usize) -> String {
    format!("language.{length}")
}

/// Calls back for each character of a text between blanks, with the hashes of the n-grams that end
/// at it, shortest first.
fn grams(order: usize, text: &str, mut each: impl FnMut(&[u32])) {
    let mut last: Vec<char> = Vec::with_capacity(order + 1);
    let mut hashes = Vec::with_capacity(order);
    let characters = std::iter::once(' ').chain(text.chars().take(MOST)).chain(std::iter::once(' '));
    for character in characters {
        if last.len() == order {
            last.remove(0);
        }
        last.push(character);
        hashes.clear();
        for length in 1..=last.len() {
            // Kinds of terms are below eight; each length is a kind of its own.
            let mut hash = Hash::new(16 + length as u8);
            for part in &last[last.len() - length..] {
                hash.add(part.encode_utf8(&mut [0; 4]).as_bytes());
            }
            hashes.push(hash.value());
        }
        each(&hashes);
    }
}

/// Counts by hash, in an open table: a note is looked up character by character.
#[derive(Debug, Clone)]
struct Counts {
    /// A power of two; a count of 0 is an empty slot.
    slots: Vec<(u32, u32)>,
}

impl Counts {
    fn new(pairs: &[(u32, u32)]) -> Counts {
        let mut slots = vec![(0, 0); (2 * pairs.len() + 1).next_power_of_two()];
        for (hash, count) in pairs.iter().filter(|(_, count)| *count > 0) {
            let mut at = *hash as usize & (slots.len() - 1);
            while slots[at].1 > 0 && slots[at].0 != *hash {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = (*hash, *count);
        }
        Counts { slots }
    }

    fn get(&self, hash: u32) -> u32 {
        let mut at = hash as usize & (self.slots.len() - 1);
        loop {
            match self.slots[at] {
                (_, 0) => return 0,
                (known, count) if known == hash => return count,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by the definition, over strings.
    fn plain(order: usize, notes: &[&str], text: &str) -> f64 {
        let padded = |text: &str| -> Vec<char> { format!(" {text} ").chars().collect() };
        let count = |gram: &[char]| -> f64 {
            let windows = |note: &&str| padded(note).windows(gram.len()).filter(|w| *w == gram).count();
            notes.iter().map(windows).sum::<usize>() as f64
        };
        let all: Vec<char> = notes.iter().flat_map(|note| padded(note)).collect();
        let mut kinds = all.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let text = padded(text);
        let probability = |at: usize| {
            (1..=order.min(at + 1)).try_fold(1.0 / (10.0 * kinds.len() as f64), |lower, length| {
                let gram = &text[at + 1 - length..=at];
                let context = if length == 1 { all.len() as f64 } else { count(&gram[..length - 1]) };
                if context == 0.0 {
                    return Err(lower);
                }
                let known = context / (context + UNSEEN);
                Ok(known * count(gram) / context + (1.0 - known) * lower)
            })
        };
        let logarithms = (1..text.len()).map(|at| match probability(at) {
            Ok(value) | Err(value) => f64::ln(value),
        });
        logarithms.sum::<f64>() / (text.len() - 1) as f64
    }

    const NOTES: [&str; 4] = ["chest pain", "abdominal pain", "chest tightness", "头痛两天"];

    #[test]
    fn probabilities_are_those_of_the_definition_and_a_package_keeps_them() {
        for order in 1..=4 {
            let learnt = Language::learn(order, NOTES.into_iter());
            let read = Language::read(order, &learnt.tensors().unwrap()).unwrap();
            for text in ["chest pain", "pain in the chest", "wallpaper", "", "头痛", "x"] {
                let want = plain(order, &NOTES, text);
                for language in [&learnt, &read] {
                    let (got, characters) = language.mean_log_probability(text);
                    assert!((got - want).abs() < 1e-9, "{order} {text}: {got} for {want}");
                    assert_eq!(characters, text.chars().count() + 1);
                }
            }
        }
    }

    #[test]
    fn the_same_letters_in_another_order_are_less_likely() {
        let language = Language::learn(3, NOTES.into_iter());
        let likely = |text: &str| language.mean_log_probability(text).0;
        assert!(likely("chest pain") > likely("pniha tescp"));
        assert!(likely("chest pain") > likely("the wallpaper"));
    }

    #[test]
    fn tables_of_another_form_are_refused() {
        assert!(Language::read(1, &BTreeMap::new()).is_err());
        let wrong = Tensor::zeros((3, 3), candle_core::DType::U32, &Device::Cpu).unwrap();
        assert!(Language::read(1, &BTreeMap::from([("language.1".to_string(), wrong)])).is_err());
    }
}
