//! A linear chain over tags: exact sums, exact marginals, exact best paths.
//!
//! The score of a sequence of tags is the sum of what each token says for its tag and of what each
//! pair of neighboring tags says (Lafferty, McCallum and Pereira 2001, "Conditional random
//! fields"). Forward and backward sums are kept as numbers that are scaled to sum to 1 at every
//! token, which needs one logarithm a token and cannot overflow (Rabiner 1989). What cannot follow
//! one another, such as the inside of a name after no name, has the weight 0.
//!
//! With fewer tags allowed at some tokens the same sums run over the sequences that are left: what a
//! text says whose names of one kind were never marked (Tsuboi et al. 2008, "Training conditional
//! random fields using incomplete annotations").

/// The tags of a chain: none, and for each label the first token of a name and a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags {
    /// Number of labels.
    pub labels: usize,
}

impl Tags {
    /// The tag of a token that is in no name.
    pub const OUT: usize = 0;

    /// Number of tags.
    pub fn count(self) -> usize {
        1 + 2 * self.labels
    }

    /// The tag of a name's first token.
    pub fn begin(self, label: usize) -> usize {
        1 + 2 * label
    }

    /// The tag of a name's later tokens.
    pub fn inside(self, label: usize) -> usize {
        2 + 2 * label
    }

    /// The label of a tag; none of [`Tags::OUT`].
    pub fn label(self, tag: usize) -> Option<usize> {
        tag.checked_sub(1).map(|tag| tag / 2)
    }

    /// True for the tag of a name's later tokens.
    pub fn is_inside(self, tag: usize) -> bool {
        tag > 0 && tag.is_multiple_of(2)
    }

    /// Whether `next` may follow `tag`; `None` is the beginning of a text.
    pub fn follows(self, tag: Option<usize>, next: usize) -> bool {
        !self.is_inside(next) || tag.is_some_and(|tag| self.label(tag) == self.label(next))
    }
}

/// A name: tokens `start` to `end`, the latter not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First token.
    pub start: usize,
    /// The token after the last.
    pub end: usize,
    /// Label.
    pub label: usize,
}

/// What pairs of tags say.
#[derive(Debug, Clone)]
pub struct Chain {
    tags: Tags,
    /// `exp` of the score of going from one tag to another; 0 where that cannot be.
    step: Vec<f64>,
    /// 1 or 0: whether a text may begin with a tag.
    start: Vec<f64>,
}

/// Which tags a token may have, as bits; all of them where nothing is known.
pub type Allowed = u32;

/// Forward and backward sums of one text.
#[derive(Debug, Clone)]
pub struct Sums {
    /// Logarithm of the sum over all sequences of `exp(score)`.
    pub log_sum: f64,
    tags: usize,
    /// What a token says, over the highest of them and the scale of its place.
    emission: Vec<f64>,
    forward: Vec<f64>,
    backward: Vec<f64>,
}

impl Chain {
    /// A chain over `tags` with `transition[tag][next]`, row after row.
    pub fn new(tags: Tags, transition: &[f32]) -> Chain {
        let count = tags.count();
        let weight = |at: usize| match tags.follows(Some(at / count), at % count) {
            true => f64::from(transition[at]).exp(),
            false => 0.0,
        };
        let start = (0..count).map(|tag| f64::from(u8::from(tags.follows(None, tag)))).collect();
        Chain { tags, step: (0..count * count).map(weight).collect(), start }
    }

    /// Its tags.
    pub fn tags(&self) -> Tags {
        self.tags
    }

    /// Sums over the sequences that `allowed` leaves, or all. `scores` has one row a token. A text
    /// without tokens has one sequence, whose score is 0.
    pub fn sums(&self, scores: &[f32], allowed: Option<&[Allowed]>) -> Sums {
        let tags = self.tags.count();
        let tokens = scores.len() / tags;
        let mut emission = vec![0.0; scores.len()];
        let mut forward = vec![0.0; scores.len()];
        let mut backward = vec![1.0; scores.len()];
        let mut log_sum = 0.0;
        for token in 0..tokens {
            let row = &scores[token * tags..][..tags];
            let may = allowed.map(|allowed| allowed[token]);
            let highest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            let mut total = 0.0;
            for tag in 0..tags {
                let at = token * tags + tag;
                if may.is_some_and(|may| may & (1 << tag) == 0) {
                    continue;
                }
                emission[at] = (f64::from(row[tag]) - f64::from(highest)).exp();
                let before: f64 = match token {
                    0 => self.start[tag],
                    _ => (0..tags)
                        .map(|from| forward[at - tag - tags + from] * self.step[from * tags + tag])
                        .sum(),
                };
                forward[at] = before * emission[at];
                total += forward[at];
            }
            // A sum that vanished leaves zeros, not numbers that are none.
            let scale = 1.0 / total.max(f64::MIN_POSITIVE);
            for at in token * tags..(token + 1) * tags {
                forward[at] *= scale;
                emission[at] *= scale;
            }
            log_sum += total.max(f64::MIN_POSITIVE).ln() + f64::from(highest);
        }
        for token in (0..tokens.saturating_sub(1)).rev() {
            for tag in 0..tags {
                backward[token * tags + tag] = (0..tags)
                    .map(|next| {
                        let at = (token + 1) * tags + next;
                        self.step[tag * tags + next] * emission[at] * backward[at]
                    })
                    .sum();
            }
        }
        Sums { log_sum, tags, emission, forward, backward }
    }

    /// The sequence of tags of the highest score (Viterbi 1967), of equals the first.
    pub fn best(&self, scores: &[f32]) -> Vec<usize> {
        let tags = self.tags.count();
        let tokens = scores.len() / tags;
        let log = |weight: f64| if weight > 0.0 { weight.ln() } else { f64::NEG_INFINITY };
        let step: Vec<f64> = self.step.iter().map(|weight| log(*weight)).collect();
        let mut reached: Vec<f64> = self.start.iter().map(|weight| log(*weight)).collect();
        let mut came = vec![0usize; scores.len()];
        for token in 0..tokens {
            let row = &scores[token * tags..][..tags];
            let before = reached.clone();
            for tag in 0..tags {
                let mut best = (0, if token == 0 { before[tag] } else { f64::NEG_INFINITY });
                for from in (0..tags).filter(|_| token > 0) {
                    let score = before[from] + step[from * tags + tag];
                    if score > best.1 {
                        best = (from, score);
                    }
                }
                came[token * tags + tag] = best.0;
                reached[tag] = best.1 + f64::from(row[tag]);
            }
        }
        let mut last = 0;
        for tag in 1..tags {
            if reached[tag] > reached[last] {
                last = tag;
            }
        }
        let mut path = vec![0; tokens];
        for token in (0..tokens).rev() {
            path[token] = last;
            last = came[token * tags + last];
        }
        path
    }

    /// Adds `factor` times the probability of every pair of neighboring tags to `to[tag][next]`.
    pub fn add_pairs(&self, sums: &Sums, factor: f64, to: &mut [f64]) {
        let tags = sums.tags;
        for token in 1..sums.forward.len() / tags {
            for from in 0..tags {
                let before = factor * sums.forward[(token - 1) * tags + from];
                if before == 0.0 {
                    continue;
                }
                for next in 0..tags {
                    let at = token * tags + next;
                    to[from * tags + next] +=
                        before * self.step[from * tags + next] * sums.emission[at] * sums.backward[at];
                }
            }
        }
    }

    /// Probability of exactly this name: its first token begins it, and it ends where it ends.
    pub fn probability(&self, sums: &Sums, span: Span) -> f64 {
        let mut way = Way::new(self.tags, sums, span);
        (span.start + 1..span.end).for_each(|token| way.go(self, sums, token));
        way.ends(self, sums, span.end).1
    }

    /// Every name of a probability above `least`, in the order of their beginnings.
    pub fn likely(&self, sums: &Sums, least: f64) -> Vec<(Span, f64)> {
        let tokens = sums.forward.len() / sums.tags;
        let mut found = Vec::new();
        for start in 0..tokens {
            for label in 0..self.tags.labels {
                let mut way = Way::new(self.tags, sums, Span { start, end: start + 1, label });
                for end in start + 1..=tokens {
                    let (at_least, exactly) = way.ends(self, sums, end);
                    if exactly > least {
                        found.push((Span { start, end, label }, exactly));
                    }
                    // A longer name begins with every shorter one.
                    if at_least <= least || end == tokens {
                        break;
                    }
                    way.go(self, sums, end);
                }
            }
        }
        found
    }
}

/// The sum over the beginnings of all sequences that have a name from one token to another.
struct Way {
    sum: f64,
    tag: usize,
    inside: usize,
}

impl Way {
    fn new(tags: Tags, sums: &Sums, span: Span) -> Way {
        let (tag, inside) = (tags.begin(span.label), tags.inside(span.label));
        Way { sum: sums.forward[span.start * sums.tags + tag], tag, inside }
    }

    /// On to `token`, which is still of the name.
    fn go(&mut self, chain: &Chain, sums: &Sums, token: usize) {
        self.sum *=
            chain.step[self.tag * sums.tags + self.inside] * sums.emission[token * sums.tags + self.inside];
        self.tag = self.inside;
    }

    /// Probability that the name goes at least to before `end`, and that it ends there.
    fn ends(&self, chain: &Chain, sums: &Sums, end: usize) -> (f64, f64) {
        let tags = sums.tags;
        let at_least = self.sum * sums.backward[(end - 1) * tags + self.tag];
        let next = end * tags + self.inside;
        let goes_on = match sums.emission.get(next) {
            Some(emission) => {
                self.sum * chain.step[self.tag * tags + self.inside] * emission * sums.backward[next]
            }
            None => 0.0,
        };
        (at_least, (at_least - goes_on).max(0.0))
    }
}

impl Sums {
    /// Probability that `token` has `tag`.
    pub fn tag(&self, token: usize, tag: usize) -> f64 {
        self.forward[token * self.tags + tag] * self.backward[token * self.tags + tag]
    }
}

/// The names of a sequence of tags.
pub fn spans(tags: Tags, path: &[usize]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (token, tag) in path.iter().enumerate() {
        match (tags.label(*tag), spans.last_mut()) {
            (Some(_), Some(last)) if tags.is_inside(*tag) && last.end == token => last.end = token + 1,
            (Some(label), _) => spans.push(Span { start: token, end: token + 1, label }),
            (None, _) => {}
        }
    }
    spans
}

/// Of names that may overlap, those that do not and whose probabilities less `threshold` sum to the
/// most: the answer of the highest expected worth where a right name is worth `1 - threshold` and a
/// wrong one costs `threshold`. `likely` is in the order of beginnings.
pub fn select(likely: &[(Span, f64)], tokens: usize, threshold: f64) -> Vec<(Span, f64)> {
    // The most that can be had from every token on, and which name is taken there.
    let mut worth = vec![0.0; tokens + 1];
    let mut taken: Vec<Option<usize>> = vec![None; tokens + 1];
    let mut rest = likely.len();
    for token in (0..tokens).rev() {
        worth[token] = worth[token + 1];
        while rest > 0 && likely[rest - 1].0.start == token {
            rest -= 1;
            let (span, probability) = likely[rest];
            let total = probability - threshold + worth[span.end];
            if total > worth[token] {
                (worth[token], taken[token]) = (total, Some(rest));
            }
        }
    }
    let mut chosen = Vec::new();
    let mut token = 0;
    while token < tokens {
        match taken[token] {
            Some(at) => {
                chosen.push(likely[at]);
                token = likely[at].0.end;
            }
            None => token += 1,
        }
    }
    chosen
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
