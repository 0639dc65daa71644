//! Which settings, by what they do on a part that is held out for choosing.
//!
//! What is given here is the training part alone. Some of each person's interactions are held out
//! once more, from one person at a time: everybody else's are known, as they are when the server is
//! asked, and a setting is not chosen for a matrix that is thinner than the one it is for. That is
//! done for several draws, as one alone leaves too much to chance. Weights are fitted once for each
//! setting, and what is held out is taken out of them in closed form ([`super::ease`]). The best
//! setting is then fitted on all that was given. So nothing is chosen on what is reported.
//!
//! The ranking model over circumstances ([`super::head`]) is trained on the same cases. It is measured
//! on one half of the people by the coefficients of the other half, to several powers, and kept, to the best of
//! them, if it does better.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use rayon::prelude::*;
use recommend::{
    Candidate, Groups, HeldOut, Interaction, Partition, Report, Settings, Similarity, Split, implicit,
    measure, nearest_to,
};
use serde::Serialize;

use super::circumstances::Circumstances;
use super::ease::{Ease, EaseSettings, Gram, Who};
use super::head::{Head, Lifts, Sample};

/// Settings are chosen on the most frequent items only, so that choosing among many costs little
/// more than one fit of a large catalogue.
const ITEMS: usize = 1_500;
/// Draws of what is held out for choosing, of so many items.
const DRAWS: u64 = 3;
/// How often somebody is asked about, all draws together, of so many items.
const CASES: usize = 3_000;
/// Of fewer items a case costs less, and so many times as many are taken at most: settings that hardly differ
/// are told apart by chance otherwise.
const MOST_TIMES: f64 = 4.0;
/// The ranking model takes a column of all items for each of its coefficients, so it is chosen on fewer.
const CASES_OF_HEAD: usize = 1_000;
/// The powers of what circumstances multiply that are tried.
const POWERS: [f64; 5] = [1.0, 0.8, 0.6, 0.4, 0.25];
/// Numbers of neighbors that are tried.
const NEIGHBORS: [usize; 4] = [50, 100, 200, 400];
/// Powers of the similarities that are tried.
const AMPLIFICATIONS: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];

/// How neighbors are found and counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NeighborSettings {
    /// How people are compared.
    #[serde(serialize_with = "name_of")]
    pub similarity: Similarity,
    /// How many count.
    pub neighbors: usize,
    /// The power that similarities are raised to.
    pub amplification: f64,
}

fn name_of<S: serde::Serializer>(similarity: &Similarity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(similarity.as_str())
}

impl NeighborSettings {
    /// The settings of a server that counts neighbors like this.
    pub fn settings(&self, like: &Settings) -> Settings {
        Settings { neighbors: self.neighbors, amplification: self.amplification, ..like.clone() }
    }
}

/// The part of the training interactions that settings are chosen on.
pub struct Choice<'a> {
    partition: Partition,
    k: usize,
    seed: u64,
    settings: Settings,
    circumstances: &'a Circumstances,
    groups: Groups,
    of_one_item: bool,
    /// How many times as many cases there are as of [`ITEMS`].
    times: f64,
    /// That of the settings tried last: most differ from those before in their penalties alone.
    gram: Mutex<Option<Gram>>,
}

/// Settings, how they do, and what of it is made as large as possible.
pub type Chosen<T> = (T, Report, f64);

impl<'a> Choice<'a> {
    /// Holds out again what a split of this sort would: one item a person where one is left out
    /// at a time, otherwise the same share.
    ///
    /// # Errors
    /// Nobody has two items.
    pub fn new(
        known: &[Interaction],
        split: Split,
        k: usize,
        seed: u64,
        settings: &Settings,
        circumstances: &'a Circumstances,
    ) -> Result<Choice<'a>> {
        let frequent = most_frequent(known, ITEMS);
        let kept: Vec<Interaction> =
            known.iter().filter(|event| frequent.contains(event.item_id.as_str())).cloned().collect();
        let drawn = match split {
            Split::LeaveOneOut => Split::LeaveOneOut,
            Split::Ratio(share) | Split::Time(share) => Split::Ratio(share),
        };
        let times = (ITEMS as f64 / frequent.len().max(1) as f64).powi(2).clamp(1.0, MOST_TIMES);
        let draws = (DRAWS as f64 * times) as u64;
        let mut partition = Partition::one_at_a_time(&kept, drawn, draws, seed, &settings.weighing);
        partition.held_out = spread(&partition.held_out, (CASES as f64 * times) as usize);
        if partition.held_out.is_empty() {
            bail!("there is nobody with two items, so there is nothing to choose the settings on");
        }
        let of_one_item = split == Split::LeaveOneOut;
        let groups = circumstances.groups(partition.held_out.iter().map(|case| case.user_id.as_str()));
        let settings = settings.clone();
        let gram = Mutex::default();
        Ok(Choice { partition, k, seed, settings, circumstances, groups, of_one_item, times, gram })
    }

    /// What is made as large as possible: the gain; where one item is left out, half of it is the
    /// hit rate, of which the gain then tells apart what hits as often.
    fn goal(&self, report: &Report) -> f64 {
        let one = &report.recommender;
        if self.of_one_item { (one.hit_rate + one.ndcg) / 2.0 } else { one.ndcg }
    }

    /// Measures what ranks, on all cores.
    fn measured(
        &self,
        cases: &[HeldOut],
        rank: impl Fn(&HeldOut) -> Vec<Candidate> + Sync + Send,
    ) -> (Report, f64) {
        self.listed(cases, cases.par_iter().map(rank).collect())
    }

    /// Measures lists of candidates, one a case.
    fn listed(&self, cases: &[HeldOut], lists: Vec<Vec<Candidate>>) -> (Report, f64) {
        let mut lists = lists.into_iter();
        let Partition { known, leave_one_out, .. } = &self.partition;
        let partition =
            Partition { known: known.clone(), held_out: cases.to_vec(), leave_one_out: *leave_one_out };
        let rank = &mut |_: &HeldOut| lists.next().unwrap_or_default();
        let report = measure(&partition, self.k, self.seed, &self.groups, rank);
        let goal = self.goal(&report);
        (report, goal)
    }

    /// How the neighbors do that a server goes by where it is not told otherwise.
    pub fn usual_neighbors(&self) -> Chosen<NeighborSettings> {
        let Settings { neighbors, amplification, .. } = self.settings;
        self.by_neighbors(NeighborSettings { similarity: Similarity::default(), neighbors, amplification })
    }

    fn by_neighbors(&self, these: NeighborSettings) -> Chosen<NeighborSettings> {
        let known = &self.partition.known;
        let (report, goal) = self.measured(&self.partition.held_out, |case| {
            let found = nearest_to(known, case, these.similarity, these.neighbors, &self.settings);
            implicit(known, &amplified(&found, these.amplification))
        });
        (these, report, goal)
    }

    /// The best neighbors, and how they do; the usual ones unless others do better.
    pub fn neighbors(&self) -> Chosen<NeighborSettings> {
        let Partition { known, held_out: cases, .. } = &self.partition;
        let most = NEIGHBORS.into_iter().max().unwrap_or_default();
        let mut best = None::<(NeighborSettings, f64)>;
        for similarity in [Similarity::Cosine, Similarity::Pearson] {
            let found: Vec<Vec<(u32, f64)>> = cases
                .par_iter()
                .map(|case| nearest_to(known, case, similarity, most, &self.settings))
                .collect();
            for neighbors in NEIGHBORS {
                for amplification in AMPLIFICATIONS {
                    let lists: Vec<Vec<Candidate>> = found
                        .par_iter()
                        .map(|found| {
                            implicit(known, &amplified(&found[..found.len().min(neighbors)], amplification))
                        })
                        .collect();
                    let goal = self.listed(cases, lists).1;
                    if best.is_none_or(|(_, most)| goal > most) {
                        best = Some((NeighborSettings { similarity, neighbors, amplification }, goal));
                    }
                }
            }
        }
        let usual = self.usual_neighbors();
        match best.map(|(these, _)| self.by_neighbors(these)) {
            Some(best) if best.2 > usual.2 => best,
            _ => usual,
        }
    }

    /// How these weights do.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn by_weights(&self, settings: EaseSettings) -> Result<Chosen<EaseSettings>> {
        let ease = self.fitted(settings)?;
        let (report, goal) =
            self.measured(&self.partition.held_out, |case| candidates(self.history(&ease, case)));
        Ok((settings, report, goal))
    }

    fn fitted(&self, settings: EaseSettings) -> Result<Ease> {
        let mut last = self.gram.lock().unwrap_or_else(PoisonError::into_inner);
        let gram = match last.take() {
            Some(gram) if gram.is_of(&settings) => gram,
            _ => Gram::new(&self.partition.known, settings, self.circumstances),
        };
        Ease::of(last.insert(gram).clone(), settings)
    }

    /// The scores of a case by weights that do not know what is held out from it.
    fn history(&self, ease: &Ease, case: &HeldOut) -> Vec<f64> {
        let full = case.user.map_or(&[][..], |user| self.partition.known.row(user).items);
        ease.scores_nearly_without(full, &case.own.items, self.circumstances.of(&case.user_id))
    }

    /// The best weights, and how they do. First lambda, by factors of two from where the average
    /// item's frequency stands, as far as it goes up; then, one after another, whether circumstances,
    /// damping, dropout and a base do better, each with a lambda nearer by.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn weights(&self) -> Result<Chosen<EaseSettings>> {
        let start = 2f64.powf((2.0 * self.mean_frequency(0.0)).max(4.0).log2().round());
        let mut best = self.climb(EaseSettings::plain(start))?;
        let damped = |damping: f64, from: EaseSettings| {
            let factor = self.mean_frequency(damping) / self.mean_frequency(from.damping);
            EaseSettings { damping, lambda: from.lambda * factor, ..from }
        };
        let first = usize::from(self.circumstances.who.is_empty());
        for step in first..5 {
            let from = best.0;
            let tried = match step {
                0 => EaseSettings { who: true, ..from },
                1 => damped(0.25, from),
                2 => damped(0.5, from),
                // Half of what is taken away comes back as the penalty of dropout.
                3 => EaseSettings { dropout: 0.5, lambda: from.lambda / 2.0, ..from },
                _ => EaseSettings { base: true, ..from },
            };
            let found = self.climb(tried)?;
            if found.2 > best.2 {
                best = found;
            }
        }
        Ok(best)
    }

    /// The ranking model over these weights and how it does, if it does better than they alone.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn head(&self, settings: EaseSettings) -> Result<Option<(Head, Report, f64)>> {
        let Partition { known, leave_one_out, held_out } = &self.partition;
        let cases = spread(held_out, (CASES_OF_HEAD as f64 * self.times) as usize);
        let ease = self.fitted(settings)?;
        let lifts = Lifts::new(known, self.circumstances);
        if lifts.names().len() < 2 {
            return Ok(None);
        }
        let histories: Vec<Vec<f64>> = cases.par_iter().map(|case| self.history(&ease, case)).collect();
        drop(ease);
        let sample =
            |(case, history): (&HeldOut, &Vec<f64>)| lifts.sample(known, case, *leave_one_out, history);
        let samples: Vec<Sample> = cases.par_iter().zip(&histories).map(sample).collect();
        let alone = self.listed(&cases, histories.into_iter().map(candidates).collect()).1;
        // All draws of a person are in one half.
        let half = |case: &HeldOut| case.user.unwrap_or_default() % 2;
        let (even, odd): (Vec<_>, Vec<_>) = cases.iter().zip(&samples).partition(|(case, _)| half(case) == 0);
        let fitted = |half: &[(&HeldOut, &Sample)]| {
            Head::fit(&half.iter().map(|&(_, sample)| sample).collect::<Vec<_>>())
        };
        let (Some(of_even), Some(of_odd)) = (fitted(&even), fitted(&odd)) else { return Ok(None) };
        let to_power = |power: f64| {
            let (even, odd) = (of_even.shrunk(power), of_odd.shrunk(power));
            let lists = cases.par_iter().zip(&samples).map(|(case, sample)| {
                let head = if half(case) == 0 { &odd } else { &even };
                candidates(head.scores(sample))
            });
            let (report, goal) = self.listed(&cases, lists.collect());
            (power, report, goal)
        };
        let tried = POWERS.map(to_power).into_iter();
        let best = tried.reduce(|best, other| if other.2 > best.2 { other } else { best });
        let Some((power, report, goal)) = best.filter(|(.., goal)| *goal > alone) else { return Ok(None) };
        let head = Head::fit(&samples.iter().collect::<Vec<_>>());
        Ok(head.map(|head| (head.shrunk(power), report, goal)))
    }

    /// The best lambda from this one up, or else from this one down.
    fn climb(&self, from: EaseSettings) -> Result<Chosen<EaseSettings>> {
        let mut best = self.by_weights(from)?;
        for factor in [2.0, 0.5] {
            let before = best.0.lambda;
            loop {
                let next = self.by_weights(EaseSettings { lambda: best.0.lambda * factor, ..from })?;
                if next.2 <= best.2 {
                    break;
                }
                best = next;
            }
            if best.0.lambda != before {
                break;
            }
        }
        Ok(best)
    }

    /// The mean of the diagonal that lambda is added to.
    fn mean_frequency(&self, damping: f64) -> f64 {
        let known = &self.partition.known;
        let settings = EaseSettings { damping, ..EaseSettings::plain(1.0) };
        let of_row = |user| {
            let count = known.row(user).items.len();
            count as f64 * settings.row_weight(count)
        };
        (0..known.users.len() as u32).map(of_row).sum::<f64>() / known.items.len().max(1) as f64
    }
}

/// Neighbors as they count in a score.
fn amplified(found: &[(u32, f64)], amplification: f64) -> Vec<(u32, f64)> {
    // A power of 1 would leave each as it is, and still cost time.
    let count = |alike: f64| if amplification == 1.0 { alike } else { alike.powf(amplification) };
    found.iter().map(|&(user, alike)| (user, count(alike))).collect()
}

/// At most so many of the cases, spread evenly.
fn spread(cases: &[HeldOut], most: usize) -> Vec<HeldOut> {
    cases.iter().step_by(cases.len().div_ceil(most).max(1)).cloned().collect()
}

/// Weights as they are measured, with the ranking model where there is one.
pub struct Ranking<'a> {
    /// The weights.
    pub ease: Ease,
    /// The ranking model, and what it counts.
    pub head: Option<(Head, Lifts<'a>)>,
    /// What is known of people besides their items.
    pub circumstances: &'a Circumstances,
}

impl Ranking<'_> {
    /// The scores of a case as candidates: what nothing speaks for is none, as in the server.
    pub fn candidates(&self, partition: &Partition, case: &HeldOut) -> Vec<Candidate> {
        let Partition { known, leave_one_out, .. } = partition;
        let history = self.ease.scores_of(known, case, self.circumstances, *leave_one_out);
        let Some((head, lifts)) = self.head.as_ref().filter(|_| !history.is_empty()) else {
            return candidates(history);
        };
        let scores = head.scores(&lifts.sample(known, case, *leave_one_out, &history));
        let spoken_for = scores.into_iter().zip(history);
        candidates(spoken_for.map(|(score, before)| if before > 0.0 { score } else { 0.0 }).collect())
    }
}

fn candidates(scores: Vec<f64>) -> Vec<Candidate> {
    let scores = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0);
    scores.map(|(item, score)| Candidate { item: item as u32, score }).collect()
}

/// The items that most interactions are with, at most so many, ties by id.
pub fn most_frequent(events: &[Interaction], most: usize) -> HashSet<&str> {
    let mut ids: Vec<&str> = events.iter().map(|event| event.item_id.as_str()).collect();
    ids.sort_unstable();
    let mut counts: Vec<(usize, &str)> = ids.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    counts.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    counts.into_iter().take(most).map(|(_, id)| id).collect()
}

/// The interactions of a matrix without those that are held out from it.
pub fn known_events(partition: &Partition) -> Vec<Interaction> {
    let known = &partition.known;
    let mut events = Vec::with_capacity(known.entry_count());
    let held: std::collections::HashMap<u32, &[u32]> =
        partition.held_out.iter().filter_map(|case| Some((case.user?, case.items.as_slice()))).collect();
    for user in 0..known.users.len() as u32 {
        let hidden = held.get(&user).filter(|_| partition.leave_one_out).copied().unwrap_or(&[]);
        for (item, weight) in known.row(user).iter().filter(|(item, _)| !hidden.contains(item)) {
            events.push(Interaction {
                user_id: known.users.name(user).to_owned(),
                item_id: known.items.name(item).to_owned(),
                event: String::new(),
                weight,
                time: 0,
            });
        }
    }
    events
}
