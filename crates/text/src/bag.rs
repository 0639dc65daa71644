//! A bag of n-grams with fields: linear, and quick enough to answer in microseconds.
//!
//! The n-grams that training kept stand in a sorted table of hashes; each has one value a label.
//! A note's n-grams of one kind are weighted 1 + ln(count), times the logarithm of their rarity
//! where the manifest says so, and scaled to one norm, so that a long note weighs as much as a
//! short one. The fields' inputs follow as further rows of the same matrix. One vector is built
//! in one place for training and for serving. Where the manifest says so, trees read the fields
//! and the linear answer, and have a say in the answer.
//!
//! What lies beyond a field's normal range is added after the trees, by inputs that grow on the way
//! out (`fields`). Over a scale their weights fall, or stay, from the most urgent label to the
//! least, so the odds of any label against a less urgent one never fall on the way out.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, bail};

use super::encoder::{Encoded, Example};
use super::fields;
use super::terms::Term;
use super::trees::Forest;
use model::manifest::{BagConfig, Field, NGrams};
use nn::{Init, Network, Params, Pass};

/// The n-grams that a bag knows.
#[derive(Debug, Clone)]
pub struct Table {
    config: BagConfig,
    /// Rising.
    hashes: Vec<u32>,
    /// The weight of each by its rarity; all 1 where rarity does not count.
    rarity: Vec<f32>,
}

/// A sparse row: (place, value), n-grams before fields.
pub type Sparse = Vec<(u32, f32)>;

impl Table {
    /// Keeps the `limit` n-grams that most of `notes` have (of equals the smaller hash), and
    /// none that fewer than `least` have. `config.ngrams` is filled in.
    pub fn learn<'a>(
        mut config: BagConfig,
        notes: impl Iterator<Item = &'a Encoded>,
        limit: usize,
        least: usize,
    ) -> Table {
        let mut seen: HashMap<u32, u32> = HashMap::new();
        let mut count = 0usize;
        for note in notes {
            count += 1;
            for term in note.words.iter().chain(&note.characters) {
                *seen.entry(term.hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u32, u32)> = seen.into_iter().filter(|(_, n)| *n as usize >= least).collect();
        kept.sort_unstable_by_key(|(hash, n)| (std::cmp::Reverse(*n), *hash));
        kept.truncate(limit);
        kept.sort_unstable();
        config.ngrams = kept.len();
        let rarity = |n: u32| match config.inverse_document_frequency {
            // Smoothed as if one more note had every n-gram.
            true => (((1 + count) as f64 / f64::from(1 + n)).ln() + 1.0) as f32,
            false => 1.0,
        };
        let rarity = kept.iter().map(|(_, n)| rarity(*n)).collect();
        Table { config, hashes: kept.into_iter().map(|(hash, _)| hash).collect(), rarity }
    }

    /// What the table was made for, its size filled in.
    pub fn config(&self) -> &BagConfig {
        &self.config
    }

    /// The n-grams, by their hashes, in rising order.
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// The tensors that a package keeps of it.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let count = self.hashes.len();
        let mut tensors =
            vec![("ngrams".to_string(), Tensor::from_slice(&self.hashes, count, &Device::Cpu)?)];
        if self.config.inverse_document_frequency {
            tensors.push(("rarity".to_string(), Tensor::from_slice(&self.rarity, count, &Device::Cpu)?));
        }
        Ok(tensors)
    }

    fn new(config: &BagConfig, params: &mut Params) -> Result<Table> {
        let hashes: Vec<u32> = params.get("ngrams", config.ngrams, Init::Constant(0.0))?.to_vec1()?;
        if hashes.windows(2).any(|pair| pair[0] >= pair[1]) {
            bail!("the tensor \"ngrams\" does not rise")
        }
        let rarity = match config.inverse_document_frequency {
            true => params.get("rarity", config.ngrams, Init::Constant(1.0))?.to_vec1()?,
            false => vec![1.0; config.ngrams],
        };
        Ok(Table { config: config.clone(), hashes, rarity })
    }

    /// The record's row.
    pub fn vector(&self, record: &Encoded) -> Sparse {
        let mut row = Vec::with_capacity(record.words.len() + record.characters.len() + record.fields.len());
        self.add(&mut row, &record.words, self.config.words);
        self.add(&mut row, &record.characters, self.config.characters);
        let fields = record.fields.iter().enumerate().filter(|(_, value)| **value != 0.0);
        row.extend(
            fields.map(|(at, value)| ((self.hashes.len() + at) as u32, value * self.config.field_scale)),
        );
        row
    }

    fn add(&self, row: &mut Sparse, terms: &[Term], kind: NGrams) {
        let start = row.len();
        let mut square = 0.0f64;
        for term in terms {
            if let Ok(at) = self.hashes.binary_search(&term.hash) {
                let value = (1.0 + (term.count as f32).ln()) * self.rarity[at];
                square += f64::from(value) * f64::from(value);
                row.push((at as u32, value));
            }
        }
        // A note of unknown n-grams alone has an empty row: its fields and the bias decide.
        let factor = if square > 0.0 { (f64::from(kind.scale) / square.sqrt()) as f32 } else { 0.0 };
        row[start..].iter_mut().for_each(|(_, value)| *value *= factor);
    }
}

/// The network. See the module's introduction.
pub struct Bag {
    table: Table,
    /// One row an n-gram, then one a field input; one column a label.
    weight: Vec<f32>,
    bias: Vec<f32>,
    trees: Option<Forest>,
    /// Columns of inputs beyond a field's normal range, rising.
    beyond: Vec<u32>,
}

/// Columns, after `ngrams` of n-grams, of inputs beyond a field's normal range, rising.
pub fn beyond(of: &[Field], ngrams: usize) -> Vec<u32> {
    fields::beyond(of).into_iter().map(|at| (ngrams + at) as u32).collect()
}

/// A row without the columns `beyond`, and those alone.
pub fn split(row: Sparse, beyond: &[u32]) -> (Sparse, Sparse) {
    row.into_iter().partition(|(at, _)| beyond.binary_search(at).is_err())
}

impl Bag {
    /// A bag over records of these fields. It is fitted as a whole, not trained by steps:
    /// `params` are those of a package.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn new(config: &BagConfig, of: &[Field], labels: usize, params: &mut Params) -> Result<Bag> {
        let table = Table::new(config, params)?;
        let width = fields::width(of);
        let weight = params.get("weight", (config.ngrams + width, labels), Init::Constant(0.0))?;
        let bias = params.get("bias", labels, Init::Constant(0.0))?;
        let trees = match &config.trees {
            Some(trees) => Some(Forest::read(trees, fields::plain(of), labels, params)?),
            None => None,
        };
        let beyond = beyond(of, config.ngrams);
        Ok(Bag { table, weight: weight.flatten_all()?.to_vec1()?, bias: bias.to_vec1()?, trees, beyond })
    }

    /// The n-grams it knows.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Number of labels.
    pub(crate) fn labels(&self) -> usize {
        self.bias.len()
    }

    /// One value a label.
    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The values of a column, one a label.
    pub(crate) fn weights(&self, column: u32) -> &[f32] {
        &self.weight[column as usize * self.bias.len()..][..self.bias.len()]
    }

    /// The trees, where it has them.
    pub(crate) fn trees(&self) -> Option<&Forest> {
        self.trees.as_ref()
    }

    /// Logits of every record.
    ///
    /// # Errors
    /// Records of other fields than the weights are for.
    pub fn rows(&self, batch: &[Example]) -> Result<Vec<Vec<f32>>> {
        let inputs = |record: &Example| (self.table.config.ngrams + record.fields.len()) * self.bias.len();
        if batch.iter().any(|record| inputs(record) != self.weight.len()) {
            bail!("records of other fields than the weights are for")
        }
        Ok(batch.iter().map(|record| self.row(record)).collect())
    }

    fn row(&self, record: &Encoded) -> Vec<f32> {
        let (within, beyond) = split(self.table.vector(record), &self.beyond);
        let mut logits = self.bias.clone();
        self.add(&mut logits, within);
        if let Some(trees) = &self.trees {
            logits = trees.mix(&record.fields, &logits);
        }
        self.add(&mut logits, beyond);
        logits
    }

    fn add(&self, logits: &mut [f32], row: Sparse) {
        let labels = self.bias.len();
        for (at, value) in row {
            let weights = &self.weight[at as usize * labels..][..labels];
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += value * weight);
        }
    }
}

impl Network<Vec<Example>> for Bag {
    fn logits(&self, batch: &Vec<Example>, _: &mut Pass) -> Result<Tensor> {
        Tensor::from_vec(self.rows(batch)?.concat(), (batch.len(), self.bias.len()), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms;
    use crate::tokenizer::Tokens;
    use model::manifest::FieldKind;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn config(rarity: bool) -> BagConfig {
        BagConfig {
            words: NGrams { min: 1, max: 1, scale: 2.0 },
            characters: NGrams { min: 1, max: 0, scale: 1.0 },
            ngrams: 0,
            inverse_document_frequency: rarity,
            field_scale: 0.5,
            trees: None,
        }
    }

    fn record(note: &str, fields: Vec<f32>) -> Example {
        let words = terms::words(note, config(false).words);
        let tokens = Tokens { ids: vec![0], total: 1 };
        Arc::new(Encoded { tokens, words, characters: Vec::new(), fields })
    }

    #[test]
    fn rows_are_weighted_by_count_and_rarity_and_scaled_to_one_norm() {
        let notes = [record("a a b", vec![]), record("b", vec![])];
        let table = Table::learn(config(true), notes.iter().map(|n| n.as_ref()), 10, 1);
        let row = table.vector(&record("a a b unknown", vec![3.0]));
        // "b" is in both notes: ln(3/3) + 1; "a" in one: ln(3/2) + 1, and it is there twice.
        let (a, b) = ((1.0 + 2f32.ln()) * (1.5f32.ln() + 1.0), 1.0);
        let norm = (a * a + b * b).sqrt();
        let mut values: Vec<f32> = row.iter().map(|(_, value)| *value).collect();
        assert_eq!(row.last().map(|(at, value)| (*at, *value)), Some((2, 1.5)));
        values.pop();
        values.sort_by(f32::total_cmp);
        assert!((values[0] - 2.0 * b / norm).abs() < 1e-6 && (values[1] - 2.0 * a / norm).abs() < 1e-6);
    }

    #[test]
    fn the_limit_keeps_the_most_frequent() {
        let notes = [record("a b", vec![]), record("b c", vec![]), record("b c", vec![])];
        let known = |limit, least| {
            let table = Table::learn(config(false), notes.iter().map(|n| n.as_ref()), limit, least);
            ["a", "b", "c"].map(|word| !table.vector(&record(word, vec![])).is_empty())
        };
        assert_eq!(known(10, 1), [true, true, true]);
        assert_eq!(known(2, 1), [false, true, true]);
        assert_eq!(known(10, 3), [false, true, false]);
    }

    #[test]
    fn logits_are_the_weighted_sum_and_the_batch_changes_nothing() {
        let notes = [record("a b", vec![0.0, 1.0])];
        let table = Table::learn(config(false), notes.iter().map(|n| n.as_ref()), 10, 1);
        let mut values: BTreeMap<String, Tensor> = table.tensors().unwrap().into_iter().collect();
        let weight: Vec<f32> = (0..8).map(|x| x as f32).collect();
        values.insert("weight".to_string(), Tensor::from_vec(weight, (4, 2), &Device::Cpu).unwrap());
        values.insert("bias".to_string(), Tensor::new(&[10f32, 20.0], &Device::Cpu).unwrap());
        let choice = FieldKind::Categorical { values: vec!["yes".to_string()] };
        let fields = [Field { name: "pain".to_string(), kind: choice }];
        let bag = Bag::new(table.config(), &fields, 2, &mut Params::frozen(values)).unwrap();
        let logits =
            |batch: Vec<Example>| bag.logits(&batch, &mut Pass::Inference).unwrap().to_vec2::<f32>().unwrap();
        // Both words: 2 / sqrt(2) each on rows 0 and 1; the second field: 0.5 on row 3.
        let each = 2f32.sqrt();
        let expected = [10.0 + each * 2.0 + 3.0, 20.0 + each * 4.0 + 3.5];
        let alone = logits(vec![notes[0].clone()]);
        assert!((alone[0][0] - expected[0]).abs() < 1e-5 && (alone[0][1] - expected[1]).abs() < 1e-5);
        let empty = record("unknown", vec![0.0, 0.0]);
        assert_eq!(logits(vec![empty, notes[0].clone()]), [vec![10.0, 20.0], alone[0].clone()]);
    }

    /// The parts sum to what they explain, with trees and without, whatever the record.
    #[test]
    fn evidence_sums_to_the_logit() {
        use crate::trees::{LEAF, Nodes, Split};
        let note = "chest pain, chest pain";
        let mut config = BagConfig { characters: NGrams { min: 2, max: 3, scale: 1.0 }, ..config(true) };
        let fields = [Field {
            name: "pain".to_string(),
            kind: FieldKind::Categorical { values: vec!["yes".to_string()] },
        }];
        let encode = |values: Vec<f32>| {
            let (words, characters) =
                (terms::words(note, config.words), terms::characters(note, config.characters));
            Arc::new(Encoded { tokens: Tokens { ids: vec![0], total: 1 }, words, characters, fields: values })
        };
        let records = [encode(vec![0.0, 1.0]), encode(vec![1.0, 0.0])];
        let table = Table::learn(config.clone(), records.iter().map(|r| r.as_ref()), 50, 1);
        let nodes = Nodes {
            roots: vec![0, LEAF | 3],
            splits: vec![
                Split { input: 1, threshold: 0.5, below: LEAF, above: 1 },
                Split { input: 3, threshold: 0.1, below: LEAF | 1, above: LEAF | 2 },
            ],
            shares: vec![0.9, 0.05, 0.05, 0.6, 0.2, 0.2, 0.1, 0.2, 0.7, 0.3, 0.4, 0.3],
        };
        for trees in [None, Some(Forest::new(fields::plain(&fields), 3, nodes).unwrap())] {
            let mut values: BTreeMap<String, Tensor> = table.tensors().unwrap().into_iter().collect();
            config = BagConfig { trees: trees.as_ref().map(Forest::config), ..table.config().clone() };
            values.extend(trees.iter().flat_map(|forest| forest.tensors().unwrap()));
            let rows = config.ngrams + 2;
            let weight: Vec<f32> = (0..rows * 3).map(|x| (x % 7) as f32 / 5.0 - 0.6).collect();
            values.insert("weight".to_string(), Tensor::from_vec(weight, (rows, 3), &Device::Cpu).unwrap());
            values.insert("bias".to_string(), Tensor::new(&[0.3f32, -0.2, 0.1], &Device::Cpu).unwrap());
            let bag = Bag::new(&config, &fields, 3, &mut Params::frozen(values)).unwrap();
            for record in &records {
                let logits = &bag.rows(std::slice::from_ref(record)).unwrap()[0];
                let mean = logits.iter().sum::<f32>() / 3.0;
                for (label, logit) in logits.iter().enumerate() {
                    let evidence = bag.evidence(record, note, &fields, label);
                    let expected = f64::from(logit - mean);
                    assert!((evidence.sum() - expected).abs() < 1e-5, "{} {expected}", evidence.sum());
                    let words: Vec<&str> = evidence.words.iter().map(|(at, _)| &note[at.clone()]).collect();
                    assert_eq!(words, ["chest", "pain", "chest", "pain"]);
                    assert!((evidence.words[0].1 - evidence.words[2].1).abs() < 0.5);
                }
            }
        }
    }
}
