//! The share of known n-grams below which a bag abstains, and what that is worth.
//!
//! The threshold is chosen on training notes, each measured by the n-grams of the other folds: a
//! small share of them lies below it. Validation notes, measured by those of all training notes,
//! then say how many good notes it costs, and how well it tells them from the same notes with
//! their characters shuffled: the letters of a note, but not its words.

use anyhow::{Result, anyhow};
use rand::seq::SliceRandom;

use super::bag::{BagOptions, Labelled, folds};
use super::metrics::macro_auc;
use model::manifest::Likeness;
use nn::random;
use text::bag::Table;
use text::{Familiarity, Record, Tokenizer};

/// Share of the training notes below the threshold.
const SHARE: f64 = 0.02;

/// Notes as they are before they are cut into n-grams.
pub fn texts(tokenizer: &Tokenizer, records: &[(Record, usize)]) -> Result<Vec<String>> {
    records.iter().map(|(record, _)| tokenizer.normalise(&record.note).map_err(|e| anyhow!(e))).collect()
}

/// Chooses the threshold for a bag that `options` describe, and measures it. `notes` are the texts of
/// `train`, `unseen` those of the validation records.
pub fn fit(options: &BagOptions, train: &Labelled, notes: &[String], unseen: &[String]) -> Likeness {
    let known = |members: &[usize]| {
        let examples = members.iter().map(|i| train.examples[*i].as_ref());
        let table = Table::learn(options.config.clone(), examples, options.ngrams, options.least);
        Familiarity::new(table.config().clone(), table.hashes().to_vec())
    };
    let mut shares = Vec::with_capacity(notes.len());
    for held in folds(&train.truth, options.seed) {
        let mut is_held = vec![false; notes.len()];
        held.iter().for_each(|i| is_held[*i] = true);
        let rest: Vec<usize> = (0..notes.len()).filter(|i| !is_held[*i]).collect();
        let known = known(&rest);
        shares.extend(held.iter().map(|i| known.share(&notes[*i])));
    }
    shares.sort_by(f32::total_cmp);
    let place = (SHARE * shares.len() as f64) as usize;
    // Rounded down, so that what was at the threshold stays above it.
    let at_least = shares.get(place).map_or(0.0, |share| (share * 1000.0).floor() / 1000.0);

    let known = known(&(0..notes.len()).collect::<Vec<_>>());
    let mut rng = random::stream(options.seed, "shuffled notes");
    let mut rows = Vec::with_capacity(2 * unseen.len());
    let mut truth = Vec::with_capacity(2 * unseen.len());
    for note in unseen {
        let mut characters: Vec<char> = note.chars().collect();
        characters.shuffle(&mut rng);
        for (class, text) in [(1, note.clone()), (0, characters.into_iter().collect())] {
            let share = known.share(&text);
            rows.push(vec![1.0 - share, share]);
            truth.push(class);
        }
    }
    let own = rows.iter().zip(&truth).filter(|(row, class)| **class == 1 && row[1] < at_least).count();
    Likeness::KnownNgrams {
        at_least,
        abstained: own as f64 / unseen.len().max(1) as f64,
        auroc: macro_auc(2, &rows, &truth).unwrap_or(0.5),
    }
}
