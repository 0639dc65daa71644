//! Trees beside a bag: what a sum over n-grams and fields cannot say.
//!
//! A linear model adds up what each field says by itself; that a fast pulse means one thing in a
//! child with a fever and another in an old man in shock is beyond it. So a forest reads the
//! fields as they are together with the linear answer, and the two answers are averaged. Nodes lie
//! in one list in which every way leads forward and no two ways meet: a walk ends, whatever a
//! package says, and is no longer than the list. `train::trees` grows what is walked here.

use candle_core::{Device, Result, Tensor, bail};

use super::fields::Plain;
use model::manifest::TreesConfig;
use nn::{Init, Params};

/// Marks, in a place that is led to, a leaf's number; the number of a split stands as it is.
pub const LEAF: u32 = 1 << 31;
/// Weight of the trees' answer; the rest is the linear one's.
pub(crate) const PART: f64 = 0.5;
/// What the trees give a label at the least: a leaf that never saw one does not rule it out.
const FLOOR: f64 = 1e-4;

/// Where a way through a tree parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The input that decides.
    pub input: u32,
    /// Inputs up to this, itself included, go `below`, others `above`.
    pub threshold: f32,
    /// The next place.
    pub below: u32,
    /// The next place.
    pub above: u32,
}

/// The lists that make up a forest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nodes {
    /// The first place of every tree.
    pub roots: Vec<u32>,
    /// Splits of all trees.
    pub splits: Vec<Split>,
    /// Shares of the labels at every leaf, one row a leaf.
    pub shares: Vec<f32>,
}

/// Trees over a record's fields and linear logits. See the module's introduction.
#[derive(Debug, Clone)]
pub struct Forest {
    fields: Vec<Plain>,
    labels: usize,
    nodes: Nodes,
}

/// What trees read of a record: its fields, then its linear logits less their mean.
pub fn inputs(fields: &[Plain], record: &[f32], logits: &[f32]) -> Vec<f32> {
    let mean = logits.iter().sum::<f32>() / logits.len() as f32;
    fields.iter().map(|field| field.of(record)).chain(logits.iter().map(|logit| logit - mean)).collect()
}

impl Forest {
    /// A forest that reads `fields` and the logits of `labels` labels.
    ///
    /// # Errors
    /// Nodes that are no forest: a sentence that names what does not fit.
    pub fn new(fields: Vec<Plain>, labels: usize, nodes: Nodes) -> Result<Forest> {
        let leaves = nodes.shares.len() / labels;
        let width = fields.len() + labels;
        let mut led_to = (vec![false; nodes.splits.len()], vec![false; leaves]);
        let mut lead = |from: Option<usize>, place: u32| -> Result<()> {
            let number = (place & !LEAF) as usize;
            let list = if place & LEAF == 0 { &mut led_to.0 } else { &mut led_to.1 };
            match list.get_mut(number) {
                Some(taken) if !*taken => *taken = true,
                Some(_) => bail!("the trees lead to one place by two ways"),
                None => bail!("the trees lead to a place that they do not have"),
            }
            if place & LEAF == 0 && from.is_some_and(|from| from >= number) {
                bail!("the trees lead backwards")
            }
            Ok(())
        };
        nodes.roots.iter().try_for_each(|root| lead(None, *root))?;
        for (at, split) in nodes.splits.iter().enumerate() {
            if split.input as usize >= width {
                bail!("the trees ask for the input {}, where there are {width}", split.input)
            }
            if !split.threshold.is_finite() {
                bail!("the trees have a threshold that is not finite")
            }
            lead(Some(at), split.below)?;
            lead(Some(at), split.above)?;
        }
        let whole = |row: &[f32]| {
            row.iter().all(|share| (0.0..=1.0).contains(share))
                && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3
        };
        if nodes.roots.is_empty() || !nodes.shares.chunks(labels).all(whole) {
            bail!("the trees have a leaf whose shares do not add up to 1, or are none")
        }
        Ok(Forest { fields, labels, nodes })
    }

    /// The forest of a package.
    ///
    /// # Errors
    /// Tensors that are absent or of another shape than `config` says; what [`Forest::new`] says.
    pub fn read(
        config: &TreesConfig,
        fields: Vec<Plain>,
        labels: usize,
        params: &mut Params,
    ) -> Result<Forest> {
        let start = Init::Constant(0.0);
        let roots = params.get("trees.root", config.trees, start)?.to_vec1()?;
        let input: Vec<u32> = params.get("trees.input", config.splits, start)?.to_vec1()?;
        let threshold: Vec<f32> = params.get("trees.threshold", config.splits, start)?.to_vec1()?;
        let child: Vec<u32> =
            params.get("trees.child", (config.splits, 2), start)?.flatten_all()?.to_vec1()?;
        let shares = params.get("trees.share", (config.leaves, labels), start)?.flatten_all()?.to_vec1()?;
        let split = |((input, threshold), child): ((u32, f32), &[u32])| Split {
            input,
            threshold,
            below: child[0],
            above: child[1],
        };
        let splits = input.into_iter().zip(threshold).zip(child.chunks(2)).map(split).collect();
        Forest::new(fields, labels, Nodes { roots, splits, shares })
    }

    /// The sizes that a manifest keeps.
    pub fn config(&self) -> TreesConfig {
        let Nodes { roots, splits, shares } = &self.nodes;
        TreesConfig { trees: roots.len(), splits: splits.len(), leaves: shares.len() / self.labels }
    }

    /// The tensors that a package keeps.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let TreesConfig { trees, splits, leaves } = self.config();
        let each = &self.nodes.splits;
        let inputs: Vec<u32> = each.iter().map(|split| split.input).collect();
        let thresholds: Vec<f32> = each.iter().map(|split| split.threshold).collect();
        let children: Vec<u32> = each.iter().flat_map(|split| [split.below, split.above]).collect();
        let cpu = &Device::Cpu;
        Ok(vec![
            ("trees.root".to_string(), Tensor::from_slice(&self.nodes.roots, trees, cpu)?),
            ("trees.input".to_string(), Tensor::from_vec(inputs, splits, cpu)?),
            ("trees.threshold".to_string(), Tensor::from_vec(thresholds, splits, cpu)?),
            ("trees.child".to_string(), Tensor::from_vec(children, (splits, 2), cpu)?),
            ("trees.share".to_string(), Tensor::from_slice(&self.nodes.shares, (leaves, self.labels), cpu)?),
        ])
    }

    /// Shares of the labels: the mean over the leaves that `inputs` reach.
    pub fn shares(&self, inputs: &[f32]) -> Vec<f64> {
        let mut sum = vec![0.0; self.labels];
        for root in &self.nodes.roots {
            let mut place = *root;
            while place & LEAF == 0 {
                let split = &self.nodes.splits[place as usize];
                let below = inputs[split.input as usize] <= split.threshold;
                place = if below { split.below } else { split.above };
            }
            let leaf = (place & !LEAF) as usize * self.labels;
            let row = &self.nodes.shares[leaf..][..self.labels];
            sum.iter_mut().zip(row).for_each(|(sum, share)| *sum += f64::from(*share));
        }
        sum.iter().map(|sum| sum / self.nodes.roots.len() as f64).collect()
    }

    /// The logits of a record with these field inputs and these linear logits: the mean of the
    /// logarithms of what trees and linear model hold probable.
    pub fn mix(&self, record: &[f32], logits: &[f32]) -> Vec<f32> {
        let shares = self.shares(&inputs(&self.fields, record, logits));
        let highest = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        let above = |logit: &f32| f64::from(logit - highest);
        let total = logits.iter().map(|logit| above(logit).exp()).sum::<f64>().ln();
        let mix = |(logit, share): (&f32, &f64)| {
            ((1.0 - PART) * (above(logit) - total) + PART * share.max(FLOOR).ln()) as f32
        };
        logits.iter().zip(&shares).map(mix).collect()
    }
}

impl Forest {
    /// Number of inputs that are fields; those after them are the labels' logits.
    pub(crate) fn width(&self) -> usize {
        self.fields.len()
    }

    /// The record's input that the tree's `input` reads, where it is a field's.
    pub(crate) fn plain(&self, input: usize) -> Option<usize> {
        self.fields.get(input).map(|plain| match plain {
            Plain::Number(at) | Plain::Input(at) => *at,
        })
    }

    /// The trees' part in the logit of `label` less the mean over the labels: what the roots say, and
    /// what each input adds on the ways to the leaves. They sum to that part.
    pub(crate) fn parts(&self, record: &[f32], logits: &[f32], label: usize) -> (f64, Vec<f64>) {
        let inputs = inputs(&self.fields, record, logits);
        let (labels, means) = (self.labels, self.means());
        let value = |place: u32| -> Vec<f64> {
            let number = (place & !LEAF) as usize;
            match place & LEAF == 0 {
                true => means[number].1.clone(),
                false => {
                    self.nodes.shares[number * labels..][..labels].iter().map(|s| f64::from(*s)).collect()
                }
            }
        };
        let trees = self.nodes.roots.len() as f64;
        let mut root = vec![0.0; labels];
        let mut added = vec![vec![0.0; labels]; inputs.len()];
        for tree in &self.nodes.roots {
            let mut place = *tree;
            let mut here = value(place);
            root.iter_mut().zip(&here).for_each(|(sum, share)| *sum += share / trees);
            while place & LEAF == 0 {
                let split = &self.nodes.splits[place as usize];
                let below = inputs[split.input as usize] <= split.threshold;
                place = if below { split.below } else { split.above };
                let next = value(place);
                let sums = &mut added[split.input as usize];
                sums.iter_mut()
                    .zip(next.iter().zip(&here))
                    .for_each(|(sum, (next, here))| *sum += (next - here) / trees);
                here = next;
            }
        }
        // Of the logarithm: the slope between the roots' share and the leaves'.
        let mut slopes = vec![0.0; labels];
        let mut base = 0.0;
        for other in 0..labels {
            let sign = f64::from(u8::from(other == label)) - 1.0 / labels as f64;
            let change: f64 = added.iter().map(|sums| sums[other]).sum();
            let (from, to) = (root[other].max(FLOOR).ln(), (root[other] + change).max(FLOOR).ln());
            base += PART * sign * from;
            match change.abs() > 1e-12 {
                true => slopes[other] = PART * sign * (to - from) / change,
                false => base += PART * sign * (to - from),
            }
        }
        let part = |sums: &Vec<f64>| sums.iter().zip(&slopes).map(|(sum, slope)| sum * slope).sum();
        (base, added.iter().map(part).collect())
    }

    /// Of every split the number of leaves below it and their mean shares.
    fn means(&self) -> Vec<(f64, Vec<f64>)> {
        let labels = self.labels;
        let mut means: Vec<(f64, Vec<f64>)> = vec![(0.0, Vec::new()); self.nodes.splits.len()];
        // Every way leads forward, so what hangs below a split is known before it.
        for (at, split) in self.nodes.splits.iter().enumerate().rev() {
            let mut sum = (0.0, vec![0.0; labels]);
            for place in [split.below, split.above] {
                let number = (place & !LEAF) as usize;
                let (count, shares): (f64, Vec<f64>) = match place & LEAF == 0 {
                    true => means[number].clone(),
                    false => {
                        let shares = &self.nodes.shares[number * labels..][..labels];
                        (1.0, shares.iter().map(|share| f64::from(*share)).collect())
                    }
                };
                sum.0 += count;
                sum.1.iter_mut().zip(shares).for_each(|(sum, share)| *sum += count * share);
            }
            sum.1.iter_mut().for_each(|share| *share /= sum.0);
            means[at] = sum;
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Two trees over a number, a choice and two logits: one of two splits, one that is a leaf.
    fn nodes() -> Nodes {
        let splits = vec![
            Split { input: 0, threshold: 1.0, below: LEAF, above: 1 },
            Split { input: 2, threshold: 0.0, below: LEAF | 1, above: LEAF | 2 },
        ];
        Nodes { roots: vec![0, LEAF | 3], splits, shares: vec![1.0, 0.0, 0.75, 0.25, 0.5, 0.5, 0.25, 0.75] }
    }

    fn forest(nodes: Nodes) -> Result<Forest> {
        Forest::new(vec![Plain::Number(0), Plain::Input(3)], 2, nodes)
    }

    #[test]
    fn every_tree_is_walked_and_the_leaves_are_averaged() {
        let forest = forest(nodes()).unwrap();
        // The number at most 1, or missing; above 1 and the first label's logit below the mean, or not.
        for (record, logits, leaf) in [
            ([0.0, 1.0, 0.0, 0.0], [3.0, 0.0], [1.0, 0.0]),
            ([1.0, 0.0, 1.0, 0.0], [3.0, 0.0], [1.0, 0.0]),
            ([0.0, 1.5, 0.0, 0.0], [2.0, 3.0], [0.75, 0.25]),
            ([0.0, 1.5, 0.0, 0.0], [3.0, 2.0], [0.5, 0.5]),
        ] {
            let shares = forest.shares(&inputs(&forest.fields, &record, &logits));
            assert_eq!(shares, [(leaf[0] + 0.25) / 2.0, (leaf[1] + 0.75) / 2.0]);
            let total = logits.map(f32::exp).iter().sum::<f32>();
            let mix = forest.mix(&record, &logits);
            for label in 0..2 {
                let expected = ((logits[label].exp() / total) * shares[label] as f32).sqrt().ln();
                assert!((mix[label] - expected).abs() < 1e-5, "{mix:?}");
            }
        }
    }

    #[test]
    fn a_label_that_no_leaf_knows_is_not_ruled_out() {
        let forest = forest(Nodes { roots: vec![LEAF], splits: vec![], shares: vec![1.0, 0.0] }).unwrap();
        let mix = forest.mix(&[0.0; 4], &[0.0, 0.0]);
        assert!((f64::from(mix[1]) - (0.5f64 * 1e-4).sqrt().ln()).abs() < 1e-5, "{mix:?}");
    }

    #[test]
    fn what_is_written_is_read() {
        let forest = forest(nodes()).unwrap();
        let values: BTreeMap<String, Tensor> = forest.tensors().unwrap().into_iter().collect();
        let mut params = Params::frozen(values);
        let read = Forest::read(&forest.config(), forest.fields.clone(), 2, &mut params).unwrap();
        params.finish().unwrap();
        assert_eq!(read.nodes, forest.nodes);
    }

    /// Guards against a package that makes the server walk for ever, or outside of its lists.
    #[test]
    fn nodes_that_are_no_forest_are_refused() {
        type Break = fn(&mut Nodes);
        let cases: [(Break, &str); 12] = [
            (|n| n.splits[1].below = 0, "by two ways"),
            (|n| n.splits[1].below = 1, "by two ways"),
            (|n| n.splits[1].below = LEAF, "by two ways"),
            (|n| n.roots[1] = 1, "by two ways"),
            (|n| (n.roots, n.splits[1].below) = (vec![LEAF | 3], 0), "backwards"),
            (|n| (n.splits[0].above, n.splits[1].below) = (LEAF | 1, 1), "backwards"),
            (|n| n.splits[0].above = 2, "do not have"),
            (|n| n.splits[0].below = LEAF | 4, "do not have"),
            (|n| n.splits[0].input = 4, "the input 4, where there are 4"),
            (|n| n.splits[0].threshold = f32::NAN, "not finite"),
            (|n| n.shares[0] = f32::NAN, "add up to 1"),
            (|n| n.shares[3] = -0.25, "add up to 1"),
        ];
        for (change, want) in cases {
            let mut nodes = nodes();
            change(&mut nodes);
            let error = forest(nodes.clone()).unwrap_err().to_string();
            assert!(error.contains(want), "{want}: {error} {nodes:?}");
        }
        assert!(forest(Nodes::default()).is_err());
    }
}
