//! Growing a forest of extremely randomised trees (Geurts, Ernst and Wehenkel 2006).
//!
//! Every tree sees all rows. At each split some of the inputs are tried, each at one threshold
//! drawn at random between the least and the greatest value there is, and the one that leaves the
//! labels purest is taken. No threshold is searched for, so that few rows suffice, and the trees
//! differ enough for their mean to be smooth. Each tree has random numbers of its own, so the
//! forest depends on its seed alone, not on the number of cores.

use std::ops::Range;

use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use nn::random;
use text::fields::Plain;
use text::trees::{Forest, LEAF, Nodes, Split};

/// Share of the inputs that are tried at a split.
const TRIED: f64 = 0.4;
/// Least number of rows at a leaf, and the most leaves that a tree may have: with many rows the
/// leaves grow, not the package.
const LEAST: usize = 5;
const LEAVES: usize = 512;

/// Rows to grow on.
pub struct Rows {
    /// By input: its value in every row.
    pub columns: Vec<Vec<f32>>,
    /// The label's index of every row.
    pub truth: Vec<usize>,
    /// How much each row counts.
    pub weights: Vec<f64>,
    /// Number of labels.
    pub labels: usize,
}

impl Rows {
    /// How much the rows `members` count, by label.
    fn count(&self, members: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut counts = vec![0.0; self.labels];
        members.for_each(|row| counts[self.truth[row]] += self.weights[row]);
        counts
    }
}

/// Grows `trees` trees over the rows `members`, whose first inputs are `fields`. No forest where
/// the rows are so few, or so alike, that no tree would split them.
///
/// # Errors
/// What [`Forest::new`] says.
pub fn grow(
    rows: &Rows,
    members: &[usize],
    fields: &[Plain],
    trees: usize,
    seed: u64,
) -> Result<Option<Forest>> {
    let least = LEAST.max(members.len() / LEAVES);
    let grown: Vec<Nodes> =
        (0..trees).into_par_iter().map(|number| Tree::new(rows, least, seed, number).grow(members)).collect();
    let mut all = Nodes::default();
    for tree in grown {
        let (splits, leaves) = (all.splits.len() as u32, (all.shares.len() / rows.labels) as u32);
        let place = |place: u32| place + if place & LEAF == 0 { splits } else { leaves };
        all.roots.extend(tree.roots.iter().map(|root| place(*root)));
        let moved = |split: &Split| Split { below: place(split.below), above: place(split.above), ..*split };
        all.splits.extend(tree.splits.iter().map(moved));
        all.shares.extend(tree.shares);
    }
    match all.splits.is_empty() {
        true => Ok(None),
        false => Ok(Some(Forest::new(fields.to_vec(), rows.labels, all)?)),
    }
}

/// The split from which something hangs, and whether on the side below its threshold; none at the root.
type Above = Option<(usize, bool)>;

/// A tree that is growing.
struct Tree<'a> {
    rows: &'a Rows,
    least: usize,
    rng: ChaCha8Rng,
    /// All inputs, in the order of the last draw.
    inputs: Vec<usize>,
    nodes: Nodes,
}

impl Tree<'_> {
    fn new(rows: &Rows, least: usize, seed: u64, number: usize) -> Tree<'_> {
        let rng = random::stream(seed, &format!("tree:{number}"));
        Tree { rows, least, rng, inputs: (0..rows.columns.len()).collect(), nodes: Nodes::default() }
    }

    /// Splits until no split is left to make.
    fn grow(mut self, members: &[usize]) -> Nodes {
        let mut members = members.to_vec();
        let mut open: Vec<(Range<usize>, Above)> = vec![(0..members.len(), None)];
        while let Some((range, above)) = open.pop() {
            let here = &mut members[range.clone()];
            let place = match self.split(here) {
                Some((input, threshold)) => {
                    let column = &self.rows.columns[input];
                    let middle = range.start + partition(here, |row| column[row] <= threshold);
                    let number = self.nodes.splits.len();
                    self.nodes.splits.push(Split { input: input as u32, threshold, below: 0, above: 0 });
                    open.push((range.start..middle, Some((number, true))));
                    open.push((middle..range.end, Some((number, false))));
                    number as u32
                }
                None => {
                    let counts = self.rows.count(here.iter().copied());
                    let total: f64 = counts.iter().sum();
                    let number = (self.nodes.shares.len() / self.rows.labels) as u32;
                    self.nodes.shares.extend(counts.iter().map(|count| (count / total) as f32));
                    LEAF | number
                }
            };
            match above {
                None => self.nodes.roots.push(place),
                Some((split, true)) => self.nodes.splits[split].below = place,
                Some((split, false)) => self.nodes.splits[split].above = place,
            }
        }
        self.nodes
    }

    /// The purest of the splits tried, by Gini's measure; none where the rows are too few or of
    /// one label, or where no split tried leaves enough on both sides.
    fn split(&mut self, members: &[usize]) -> Option<(usize, f32)> {
        let rows = self.rows;
        let first = rows.truth[*members.first()?];
        if members.len() < 2 * self.least || members.iter().all(|row| rows.truth[*row] == first) {
            return None;
        }
        let all = rows.count(members.iter().copied());
        let tried = ((self.inputs.len() as f64 * TRIED) as usize).max(1);
        let mut varied = false;
        let mut best: Option<(f64, usize, f32)> = None;
        for drawn in 0..self.inputs.len() {
            // Inputs that are the same in all rows count as tried, but not if all were such.
            if drawn >= tried && varied {
                break;
            }
            let other = self.rng.random_range(drawn..self.inputs.len());
            self.inputs.swap(drawn, other);
            let input = self.inputs[drawn];
            let column = &rows.columns[input];
            let bounds = (f32::INFINITY, f32::NEG_INFINITY);
            let (low, high) = members
                .iter()
                .fold(bounds, |(low, high), row| (low.min(column[*row]), high.max(column[*row])));
            if low >= high {
                continue;
            }
            varied = true;
            let threshold = random::uniform(&mut self.rng, low, high);
            // Rounding may reach the greatest value, above which there is none.
            let threshold = if threshold < high { threshold } else { low };
            let below = || members.iter().copied().filter(|row| column[*row] <= threshold);
            let size = below().count();
            if size < self.least || members.len() - size < self.least {
                continue;
            }
            let below = rows.count(below());
            let above: Vec<f64> = all.iter().zip(&below).map(|(all, below)| all - below).collect();
            let score = purity(&below) + purity(&above);
            if best.is_none_or(|(highest, ..)| score > highest) {
                best = Some((score, input, threshold));
            }
        }
        best.map(|(_, input, threshold)| (input, threshold))
    }
}

/// Weight of some rows, times one less their Gini impurity.
fn purity(counts: &[f64]) -> f64 {
    counts.iter().map(|count| count * count).sum::<f64>() / counts.iter().sum::<f64>()
}

/// Puts the members that `first` holds for before the others. Returns their number.
fn partition(members: &mut [usize], first: impl Fn(usize) -> bool) -> usize {
    let mut end = 0;
    for at in 0..members.len() {
        if first(members[at]) {
            members.swap(at, end);
            end += 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Plain; 2] = [Plain::Input(0), Plain::Input(1)];

    /// Rows of two inputs and three logits, whose label is whether the inputs' signs differ, save
    /// for every seventh; every other row counts half.
    fn rows(count: usize) -> Rows {
        let mut rng = random::stream(7, "rows");
        let columns: Vec<Vec<f32>> =
            (0..5).map(|_| (0..count).map(|_| random::uniform(&mut rng, -1.0, 1.0)).collect()).collect();
        let label = |row: usize| match row % 7 {
            0 => 2,
            _ => usize::from((columns[0][row] > 0.0) != (columns[1][row] > 0.0)),
        };
        let truth = (0..count).map(label).collect();
        let weights = (0..count).map(|row| [1.0, 0.5][row % 2]).collect();
        Rows { columns, truth, weights, labels: 3 }
    }

    fn tensors(forest: &Forest) -> Vec<String> {
        forest.tensors().unwrap().iter().map(|(name, tensor)| format!("{name} {tensor:?} {tensor}")).collect()
    }

    /// Walks every row anew and counts what arrives.
    #[test]
    fn leaves_hold_the_shares_of_the_rows_that_reach_them() {
        let rows = rows(300);
        let members: Vec<usize> = (0..300).filter(|row| row % 5 != 0).collect();
        let nodes = Tree::new(&rows, LEAST, 3, 0).grow(&members);
        let mut reached = vec![Vec::new(); nodes.shares.len() / 3];
        for row in &members {
            let mut place = nodes.roots[0];
            while place & LEAF == 0 {
                let split = nodes.splits[place as usize];
                let value = rows.columns[split.input as usize][*row];
                place = if value <= split.threshold { split.below } else { split.above };
            }
            reached[(place & !LEAF) as usize].push(*row);
        }
        assert!(reached.len() > 10 && nodes.splits.len() + 1 == reached.len());
        for (leaf, there) in reached.iter().enumerate() {
            assert!(there.len() >= LEAST, "{there:?}");
            let total: f64 = there.iter().map(|row| rows.weights[*row]).sum();
            for label in 0..3 {
                let of_label = there.iter().filter(|row| rows.truth[**row] == label);
                let share = of_label.map(|row| rows.weights[*row]).sum::<f64>() / total;
                assert!((share - f64::from(nodes.shares[leaf * 3 + label])).abs() < 1e-6);
            }
        }
        let forest = grow(&rows, &members, &FIELDS, 1, 3).unwrap().unwrap();
        for row in &members {
            let inputs: Vec<f32> = rows.columns.iter().map(|column| column[*row]).collect();
            let leaf = reached.iter().position(|there| there.contains(row)).unwrap();
            let shares = forest.shares(&inputs);
            assert_eq!(shares.iter().map(|s| *s as f32).collect::<Vec<_>>(), nodes.shares[leaf * 3..][..3]);
        }
    }

    #[test]
    fn many_rows_make_larger_leaves_not_more_of_them() {
        let rows = rows(6000);
        let members: Vec<usize> = (0..6000).collect();
        let config = grow(&rows, &members, &FIELDS, 2, 3).unwrap().unwrap().config();
        assert!(config.leaves <= 2 * (LEAVES + LEAVES / 10), "{config:?}");
    }

    #[test]
    fn a_seed_decides_and_the_number_of_cores_does_not() {
        let rows = rows(200);
        let members: Vec<usize> = (0..200).collect();
        let grown = |cores, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().unwrap();
            tensors(&pool.install(|| grow(&rows, &members, &FIELDS, 9, seed)).unwrap().unwrap())
        };
        assert_eq!(grown(1, 3), grown(4, 3));
        assert_ne!(grown(1, 3), grown(1, 4));
    }

    #[test]
    fn rows_that_cannot_be_split_make_no_forest() {
        let grown = |rows: &Rows, members: &[usize]| grow(rows, members, &FIELDS, 3, 0).unwrap();
        let mut alike = rows(40);
        assert!(grown(&alike, &[0, 1, 2, 3, 4]).is_none());
        alike.columns.iter_mut().for_each(|column| column.fill(1.0));
        assert!(grown(&alike, &(0..40).collect::<Vec<_>>()).is_none());
    }
}
