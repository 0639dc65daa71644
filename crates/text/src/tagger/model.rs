//! A tagger as a package has it: weights by feature, and the answer to a text.
//!
//! The answer is not the one best sequence of tags but the names of the highest expected worth: each
//! name has its exact probability under all sequences, and those are chosen that do not overlap and
//! whose probabilities, less a threshold, sum to the most. Where a right name is worth as much as a
//! wrong one costs, the threshold is a half; the measure of this field, F1, is highest somewhat below.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use candle_core::{Device, Result, Tensor, bail};

use super::assertion::Assertion;
use super::chain::{Chain, Span, Tags, select};
use super::document::Document;
use super::lexicon::{LEVELS, Lexicons};
use super::relations::{HARM, Relation, pair};
use model::manifest::{CrfConfig, NameCalibration, NameList, RelationConfig};
use nn::{Init, Params};

/// Names less probable than this are not looked at.
const LEAST: f64 = 0.05;
/// A pair less probable than this is none.
const TOGETHER: f64 = 0.5;
/// How many names on each side of another are looked at as what it may belong to.
const NEAREST: usize = 6;

/// A name that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entity {
    /// Its tokens and its label.
    pub span: Span,
    /// Probability that exactly these tokens are a name of this label.
    pub probability: f64,
    /// What is said of it.
    pub assertion: Assertion,
}

/// Two names that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Which of the model's relations.
    pub relation: usize,
    /// Place of the name it goes from.
    pub from: usize,
    /// Place of the name it goes to.
    pub to: usize,
    /// Probability, given that the two are names.
    pub probability: f64,
    /// Whether the text denies it: that there is what it goes to, that the two belong together, or that the drug was ever given.
    pub denied: bool,
}

/// What was found in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Names, in the order of the text.
    pub entities: Vec<Entity>,
    /// What belongs together.
    pub links: Vec<Link>,
}

impl Found {
    /// What was found as a row of numbers, as an engine hands it on: the number of names, five numbers a
    /// name and a pair. Whole numbers below 2^24 are exact in it.
    pub fn to_row(&self) -> Vec<f32> {
        let mut row = vec![self.entities.len() as f32];
        for Entity { span, probability, assertion } in &self.entities {
            row.extend([
                span.start as f32,
                span.end as f32,
                span.label as f32,
                *probability as f32,
                f32::from(assertion.to_bits()),
            ]);
        }
        for Link { relation, from, to, probability, denied } in &self.links {
            let denied = f32::from(u8::from(*denied));
            row.extend([*relation as f32, *from as f32, *to as f32, *probability as f32, denied]);
        }
        row
    }

    /// Corrects the probabilities of names by what is known of each label's, where that is.
    pub fn correct(&mut self, of: &[NameCalibration]) {
        for entity in &mut self.entities {
            if let Some(of) = of.get(entity.span.label) {
                entity.probability = of.apply(entity.probability);
            }
        }
    }

    /// Corrects the probabilities of pairs by what is known of each relation's, where that is.
    pub fn correct_links(&mut self, of: &[NameCalibration]) {
        for link in &mut self.links {
            if let Some(of) = of.get(link.relation) {
                link.probability = of.apply(link.probability);
            }
        }
    }

    /// What [`Found::to_row`] wrote.
    pub fn from_row(row: &[f32]) -> Found {
        let Some((count, rest)) = row.split_first() else { return Found::default() };
        let (entities, links) = rest.split_at((5 * *count as usize).min(rest.len()));
        let entity = |part: &[f32]| Entity {
            span: Span { start: part[0] as usize, end: part[1] as usize, label: part[2] as usize },
            probability: f64::from(part[3]),
            assertion: Assertion::from_bits(part[4] as u8),
        };
        let link = |part: &[f32]| Link {
            relation: part[0] as usize,
            from: part[1] as usize,
            to: part[2] as usize,
            probability: f64::from(part[3]),
            denied: part[4] > 0.0,
        };
        Found {
            entities: entities.chunks_exact(5).map(entity).collect(),
            links: links.chunks_exact(5).map(link).collect(),
        }
    }
}

/// See the module's introduction.
#[derive(Debug, Clone)]
pub struct Tagger {
    tags: Tags,
    chain: Chain,
    transition: Vec<f32>,
    columns: HashMap<u32, u32>,
    weights: Vec<f32>,
    lexicons: Lexicons,
    relations: Vec<Relation>,
    threshold: f32,
}

impl Tagger {
    /// A tagger of `labels` labels from weights by feature (`hashes`, and a row of tags each) and pair of
    /// tags. Features whose weights are all 0 are left out.
    pub fn new(
        labels: usize,
        hashes: &[u32],
        weights: &[f32],
        transition: Vec<f32>,
        lexicons: Lexicons,
        relations: Vec<Relation>,
        threshold: f32,
    ) -> Tagger {
        let tags = Tags { labels };
        let chain = Chain::new(tags, &transition);
        let mut columns = HashMap::new();
        let mut kept = Vec::new();
        for (hash, row) in hashes.iter().zip(weights.chunks(tags.count())) {
            if row.iter().any(|weight| *weight != 0.0) {
                columns.insert(*hash, columns.len() as u32);
                kept.extend_from_slice(row);
            }
        }
        Tagger { tags, chain, transition, columns, weights: kept, lexicons, relations, threshold }
    }

    /// The tagger of a package.
    ///
    /// # Errors
    /// Tensors that are absent or of another shape than `config` says, or that do not fit each other.
    pub fn read(config: &CrfConfig, labels: &[String], weights: BTreeMap<String, Tensor>) -> Result<Tagger> {
        let tags = Tags { labels: labels.len() };
        let mut params = Params::frozen(weights);
        let start = Init::Constant(0.0);
        let rising = |name: &str, values: Vec<u32>| match values.windows(2).any(|pair| pair[0] >= pair[1]) {
            true => bail!("the tensor \"{name}\" does not rise"),
            false => Ok(values),
        };
        let hashes = rising("feature", params.get("feature", config.features, start)?.to_vec1()?)?;
        let each = (config.features, tags.count());
        let weights: Vec<f32> = params.get("weight", each, start)?.flatten_all()?.to_vec1()?;
        let square = (tags.count(), tags.count());
        let transition: Vec<f32> = params.get("transition", square, start)?.flatten_all()?.to_vec1()?;
        let mut lists = Vec::new();
        for (number, list) in config.lists.iter().enumerate() {
            let name = format!("list.{number}");
            let names: Vec<u32> = rising(&name, params.get(&name, list.names, start)?.to_vec1()?)?;
            lists.push(HashSet::from_iter(names));
        }
        let mut classes = HashMap::new();
        if config.classes > 0 {
            let words: Vec<u32> = params.get("class.word", config.classes, start)?.to_vec1()?;
            let of: Vec<u32> =
                params.get("class.number", (config.classes, LEVELS), start)?.flatten_all()?.to_vec1()?;
            for (word, of) in words.into_iter().zip(of.chunks(LEVELS)) {
                let mut numbers = [0; LEVELS];
                for (number, read) in numbers.iter_mut().zip(of) {
                    *number = u16::try_from(*read).unwrap_or_default();
                }
                classes.insert(word, numbers);
            }
        }
        let mut relations = Vec::new();
        for (number, relation) in config.relations.iter().enumerate() {
            let RelationConfig { from, to, features, label } = relation;
            let place = |name: &String| match labels.iter().position(|label| label == name) {
                Some(place) => Ok(place),
                None => bail!("the relation \"{label}\" is of \"{name}\", which is no label"),
            };
            let name = format!("relation.{number}.feature");
            let hashes = rising(&name, params.get(&name, *features, start)?.to_vec1()?)?;
            let weights = params.get(&format!("relation.{number}.weight"), *features, start)?.to_vec1()?;
            let (from, to) = (place(from)?, place(to)?);
            relations.push(Relation { from, to, harm: label == HARM, features: hashes, weights });
        }
        params.finish()?;
        let lexicons = Lexicons { lists, classes };
        Ok(Tagger::new(labels.len(), &hashes, &weights, transition, lexicons, relations, config.threshold))
    }

    /// The sizes that a manifest keeps; `lists` and `relations` are the names of the two, and `labels`
    /// those of the labels.
    pub fn config(&self, labels: &[String], lists: &[String], relations: &[String]) -> CrfConfig {
        let list =
            |(name, names): (&String, &HashSet<u32>)| NameList { name: name.clone(), names: names.len() };
        let relation = |(label, relation): (&String, &Relation)| RelationConfig {
            label: label.clone(),
            from: labels[relation.from].clone(),
            to: labels[relation.to].clone(),
            features: relation.features.len(),
        };
        CrfConfig {
            features: self.columns.len(),
            threshold: self.threshold,
            lists: lists.iter().zip(&self.lexicons.lists).map(list).collect(),
            classes: self.lexicons.classes.len(),
            relations: relations.iter().zip(&self.relations).map(relation).collect(),
        }
    }

    /// What it knows besides its weights.
    pub fn lexicons(&self) -> &Lexicons {
        &self.lexicons
    }

    /// The tensors that a package keeps.
    ///
    /// # Errors
    /// What candle reports.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let cpu = &Device::Cpu;
        let tags = self.tags.count();
        let mut order: Vec<(u32, u32)> = self.columns.iter().map(|(hash, column)| (*hash, *column)).collect();
        order.sort_unstable();
        let hashes: Vec<u32> = order.iter().map(|(hash, _)| *hash).collect();
        let rows: Vec<f32> =
            order.iter().flat_map(|(_, at)| &self.weights[*at as usize * tags..][..tags]).copied().collect();
        let count = hashes.len();
        let mut tensors = BTreeMap::from([
            ("feature".to_string(), Tensor::from_vec(hashes, count, cpu)?),
            ("weight".to_string(), Tensor::from_vec(rows, (count, tags), cpu)?),
            ("transition".to_string(), Tensor::from_slice(&self.transition, (tags, tags), cpu)?),
        ]);
        for (number, list) in self.lexicons.lists.iter().enumerate() {
            let mut names: Vec<u32> = list.iter().copied().collect();
            names.sort_unstable();
            let count = names.len();
            tensors.insert(format!("list.{number}"), Tensor::from_vec(names, count, cpu)?);
        }
        if !self.lexicons.classes.is_empty() {
            let ordered: BTreeMap<&u32, &[u16; LEVELS]> = self.lexicons.classes.iter().collect();
            let words: Vec<u32> = ordered.keys().map(|word| **word).collect();
            let numbers: Vec<u32> = ordered.values().flat_map(|of| of.map(u32::from)).collect();
            let count = words.len();
            tensors.insert("class.word".to_string(), Tensor::from_vec(words, count, cpu)?);
            tensors.insert("class.number".to_string(), Tensor::from_vec(numbers, (count, LEVELS), cpu)?);
        }
        for (number, relation) in self.relations.iter().enumerate() {
            let count = relation.features.len();
            let (features, weights) = (&relation.features, &relation.weights);
            tensors.insert(format!("relation.{number}.feature"), Tensor::from_slice(features, count, cpu)?);
            tensors.insert(format!("relation.{number}.weight"), Tensor::from_slice(weights, count, cpu)?);
        }
        Ok(tensors)
    }

    /// The text as the tagger reads it, at most `most` tokens of it. Features that it does not know are
    /// gone; those that are left are places among its weights.
    pub fn read_text(&self, text: &str, most: usize) -> Document {
        let mut document = Document::new(text, &self.lexicons, most);
        for features in &mut document.features {
            features.retain_mut(|feature| match self.columns.get(feature) {
                Some(column) => {
                    *feature = *column;
                    true
                }
                None => false,
            });
        }
        document
    }

    /// What is found in a text that [`Tagger::read_text`] has read.
    pub fn find(&self, document: &Document) -> Found {
        let mut found = Found::default();
        let drug = self.relations.iter().find(|relation| relation.harm).map(|relation| relation.from);
        for sentence in &document.sentences {
            let scores = scores(self.tags.count(), &document.features[sentence.clone()], &self.weights);
            let sums = self.chain.sums(&scores, None);
            let likely = document.freed(self.chain.likely(&sums, LEAST), sentence.start);
            let chosen = select(&likely, sentence.len(), f64::from(self.threshold));
            let lowers = &document.lowers[sentence.clone()];
            let first = found.entities.len();
            let placed = |span: Span| Span {
                start: span.start + sentence.start,
                end: span.end + sentence.start,
                ..span
            };
            let names: Vec<Span> = chosen.iter().map(|(span, _)| placed(*span)).collect();
            for (span, (_, probability)) in names.iter().zip(&chosen) {
                let assertion = document.said(*span, &names, drug);
                found.entities.push(Entity { span: *span, probability: probability.min(1.0), assertion });
            }
            let spans: Vec<Span> = chosen.into_iter().map(|(span, _)| span).collect();
            for (relation, model) in self.relations.iter().enumerate() {
                let mut links = self.links(relation, model, lowers, &spans, first);
                for link in &mut links {
                    let [drug, other] = [link.from, link.to]
                        .map(|place| (found.entities[place].span, found.entities[place].assertion.negated));
                    link.denied = document.denies(drug, other, model.harm);
                }
                found.links.extend(links);
            }
        }
        found
    }

    fn links(
        &self,
        relation: usize,
        model: &Relation,
        lowers: &[String],
        spans: &[Span],
        first: usize,
    ) -> Vec<Link> {
        let mut links = Vec::new();
        for (from, to) in pairs(spans, model.from, model.to) {
            let probability = model.probability(&pair(lowers, spans, spans[from], spans[to]));
            if probability >= TOGETHER {
                let (from, to) = (first + from, first + to);
                links.push(Link { relation, from, to, probability, denied: false });
            }
        }
        links
    }
}

/// The names of two labels, in the order of a sentence, that may belong together: those of which one is among the [`NEAREST`] of its
/// label on a side of the other. All of a list of effects have its one drug, and of hundreds of drugs and effects not each has each.
fn pairs(spans: &[Span], from: usize, to: usize) -> BTreeSet<(usize, usize)> {
    let places =
        |label: usize| -> Vec<usize> { (0..spans.len()).filter(|at| spans[*at].label == label).collect() };
    let (from, to) = (places(from), places(to));
    let near = |others: &[usize], at: usize| {
        let behind = others.partition_point(|other| *other < at);
        others[behind.saturating_sub(NEAREST)..others.len().min(behind + NEAREST)].to_vec()
    };
    let ahead = from.iter().flat_map(|at| near(&to, *at).into_iter().map(|other| (*at, other)));
    let back = to.iter().flat_map(|at| near(&from, *at).into_iter().map(|other| (other, *at)));
    ahead.chain(back).collect()
}

/// What every token says for each of `tags` tags.
pub fn scores(tags: usize, features: &[Vec<u32>], weights: &[f32]) -> Vec<f32> {
    let mut scores = vec![0.0f32; features.len() * tags];
    for (row, features) in scores.chunks_mut(tags).zip(features) {
        for feature in features {
            let weights = &weights[*feature as usize * tags..][..tags];
            row.iter_mut().zip(weights).for_each(|(score, weight)| *score += weight);
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_those_belong_together_that_stand_near() {
        let spans = |labels: &[usize]| -> Vec<Span> {
            let span = |(at, label): (usize, &usize)| Span { start: 2 * at, end: 2 * at + 1, label: *label };
            labels.iter().enumerate().map(span).collect()
        };
        // One drug and a list of effects, and the other way round.
        let list = [vec![0], vec![1; 40]].concat();
        assert_eq!(pairs(&spans(&list), 0, 1).len(), 40);
        assert_eq!(pairs(&spans(&list), 1, 0).len(), 40);
        let few: Vec<usize> = (0..12).map(|at| at % 2).collect();
        assert_eq!(pairs(&spans(&few), 0, 1).len(), 36, "each with each");
        let many: Vec<usize> = (0..1000).map(|at| at % 2).collect();
        assert!(pairs(&spans(&many), 0, 1).len() <= 500 * 4 * NEAREST);
    }

    /// A tagger that takes every word with the suffix "itis" for a disease, every "xyz" for a drug, and
    /// two of them for a pair where "causes" stands between.
    fn tagger() -> Tagger {
        let lexicons =
            Lexicons { lists: vec![Lexicons::list(["Gouty arthritis"].into_iter())], ..Lexicons::default() };
        // What a word has wherever it stands, and what every word has.
        let seen = |text: &str, at: usize| -> HashSet<u32> {
            Document::new(text, &Lexicons::default(), 9).features[at].iter().copied().collect()
        };
        let of = |word: &str| -> HashSet<u32> {
            let (first, second) = (seen(&format!("on {word} 7"), 1), seen(&format!("; {word} - of"), 1));
            first.intersection(&second).copied().collect()
        };
        let common: HashSet<u32> = of("today").intersection(&of("hepatitis")).copied().collect();
        let mut rows: BTreeMap<u32, [f32; 5]> = BTreeMap::new();
        common.iter().for_each(|hash| rows.entry(*hash).or_default()[0] += 3.0);
        for (word, tag) in [("xyz", 1), ("hepatitis", 3)] {
            of(word).difference(&common).for_each(|hash| rows.entry(*hash).or_default()[tag] += 1.5);
        }
        rows.insert(1, [0.0; 5]);
        let lowers: Vec<String> = ["xyz", "causes", "hepatitis"].map(str::to_string).to_vec();
        let (a, b) = (Span { start: 0, end: 1, label: 0 }, Span { start: 2, end: 3, label: 1 });
        let features = pair(&lowers, &[a, b], a, b);
        let weights = vec![0.2; features.len()];
        let relation = Relation { from: 0, to: 1, harm: true, features, weights };
        let hashes: Vec<u32> = rows.keys().copied().collect();
        let weights: Vec<f32> = rows.values().flatten().copied().collect();
        Tagger::new(2, &hashes, &weights, vec![0.0; 25], lexicons, vec![relation], 0.4)
    }

    #[test]
    fn a_package_says_what_the_tagger_said() {
        let tagger = tagger();
        let labels = ["Drug", "Effect"].map(str::to_string);
        let config = tagger.config(&labels, &["joints".to_string()], &["adverse_effect".to_string()]);
        let read = Tagger::read(&config, &labels, tagger.tensors().unwrap()).unwrap();
        let text = "We saw that xyz causes hepatitis. No hepatitis before.";
        let (found, again) = (tagger.find(&tagger.read_text(text, 99)), read.find(&read.read_text(text, 99)));
        assert_eq!(found, again);
        let spans: Vec<(usize, usize, usize)> =
            found.entities.iter().map(|e| (e.span.start, e.span.end, e.span.label)).collect();
        assert_eq!(spans, [(3, 4, 0), (5, 6, 1), (8, 9, 1)]);
        assert!(!found.entities[1].assertion.negated && found.entities[2].assertion.negated);
        assert_eq!((found.links.len(), found.links[0].from, found.links[0].to), (1, 0, 1));
        let row = found.to_row();
        assert_eq!(Found::from_row(&row).to_row(), row);
        assert_eq!(Found::from_row(&[]), Found::default());
        let mut wrong = config;
        wrong.relations[0].to = "Nothing".to_string();
        let error = Tagger::read(&wrong, &labels, tagger.tensors().unwrap()).unwrap_err().to_string();
        assert!(error.contains("\"Nothing\", which is no label"), "{error}");
    }

    #[test]
    fn sentences_of_a_text_are_read_as_if_alone() {
        let tagger = tagger();
        let alone = tagger.find(&tagger.read_text("Then xyz causes hepatitis.", 99));
        let second = tagger.find(&tagger.read_text("Nothing here. Then xyz causes hepatitis.", 99));
        assert_eq!(alone.entities.len(), second.entities.len());
        for (a, b) in alone.entities.iter().zip(&second.entities) {
            assert_eq!((a.span.start + 3, a.probability), (b.span.start, b.probability));
        }
    }
}
