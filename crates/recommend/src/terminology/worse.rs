//! What a rule about a condition holds for: the condition, and everything worse. Who wrote "severe renal impairment" or
//! "CrCl < 30" meant kidneys that have failed altogether, too, and no rule says so twice.

use super::measures::{self, Bound};
use super::said::tokens;
use super::{Field, Key, Meaning, Terminology, normalise, plain, spelling, stages};

/// Conditions from mild to severe. An acute kidney injury has no stage, and may be as severe as any.
const LADDERS: [&[&str]; 4] = [
    &["early chronic kidney disease", "chronic kidney disease"],
    &["chronic kidney disease stage 1", "chronic kidney disease stage 2", "chronic kidney disease"],
    &[
        "chronic kidney disease stage 3",
        "chronic kidney disease stage 4",
        "chronic kidney disease stage 5",
        "acute kidney injury",
    ],
    &["first degree av block", "heart block"],
];

/// What a rule is about.
#[derive(Debug, Clone, Default)]
pub struct RuleMeaning {
    /// What its words mean, and in the names of conditions all that is worse.
    pub meaning: Meaning,
    /// The bounds of measured values beyond which it holds.
    pub bounds: Vec<Bound>,
}

impl Terminology {
    /// What the words of a rule mean. A bound that is not read makes it one that is not understood.
    pub fn understand_rule(&self, field: Field, text: &str) -> RuleMeaning {
        let mut meaning = self.understand(field, text);
        if field != Field::Condition {
            return RuleMeaning { meaning, bounds: Vec::new() };
        }
        let normal = spelling::spelt_out(&stages::in_terms(&normalise(text)));
        let tokens = tokens(&normal);
        let read = measures::read(&tokens);
        let bounds: Vec<Bound> = read.iter().map(measures::Read::bound).collect();
        let implied: Vec<Key> = bounds.iter().flat_map(Bound::conditions).map(Key::from).collect();
        if !meaning.known && !meaning.partly && !implied.is_empty() {
            // Its names are the words themselves, of which nothing was understood as a condition.
            meaning.names.clear();
            meaning.broader.clear();
            meaning.partly = true;
        }
        meaning.names.extend(implied.iter().cloned());
        meaning.broader.extend(implied);
        // Of "CrCl > 95" no condition is known.
        if meaning.names.is_empty() && !bounds.is_empty() {
            meaning.names.insert(plain(text));
        }
        for ladder in LADDERS {
            let from = ladder.iter().position(|name| meaning.names.contains(*name));
            let worse = from.map_or(&[][..], |from| &ladder[from..]);
            meaning.names.extend(worse.iter().map(|name| Key::from(*name)));
        }
        if meaning.known && measures::compares_more(&tokens, &read) {
            (meaning.known, meaning.partly) = (false, !meaning.names.is_empty());
        }
        RuleMeaning { meaning, bounds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladders_are_of_known_conditions() {
        let terminology = Terminology::default();
        for name in LADDERS.into_iter().flatten() {
            assert!(terminology.nodes.contains_key(&plain(name)), "{name}");
        }
    }
}
