//! The two places neighbors and scores can come from, behind one trait: the matrix in memory, or
//! a store that computes them itself. Both speak of items by their numbers in the snapshot, so
//! that everything after them is the same code.
//!
//! The store is asked once, for everything that a history leads to: one statement sees one moment,
//! where several would see what others wrote between them.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use super::context::{self, Person};
use super::data::{Kind, Millis};
use super::explain::Ties;
use super::matrix::RowView;
use super::names::Names;
use super::neighbors::{Rows, Search, search};
use super::ranking::{Candidate, Scoring, explicit, implicit, supporters};
use super::recommender::Settings;
use super::shared::ByName;
use super::snapshot::KindSnapshot;
use super::source::{Evidence, Found, Neighbor, ScoredItem, Similarity, SourceError};

/// What speaks for one candidate.
#[derive(Debug, Default)]
pub struct SupportedBy {
    pub count: u32,
    /// Ids of the asking user's own items.
    pub shared_items: Vec<String>,
    /// Ids of the supporters, for comparing circumstances; never shown.
    pub people: Vec<String>,
}

/// Whose neighbors are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub user_id: &'a str,
    pub similarity: Similarity,
    /// How many neighbors to go by.
    pub neighbors: usize,
}

/// Who asks about circumstances, and among whom.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub people: &'a ByName<Person>,
    pub user_id: &'a str,
    pub person: &'a Person,
    pub now: Millis,
}

/// Where candidates come from. One value serves one question and remembers, between finding
/// candidates and being asked what supports them, what it found.
pub trait Backing: Send {
    /// The numbers of the items the user has. Asked first.
    fn history(&mut self) -> impl Future<Output = Result<Vec<u32>, SourceError>> + Send;

    /// What the users with the most similar history have.
    fn by_neighbors(&mut self) -> Vec<Candidate>;

    /// What the people in the most similar circumstances have, scored by `implicit`.
    fn by_circumstances(
        &mut self,
        circumstances: Circumstances<'_>,
    ) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// Everything anybody has; the score is how many do.
    fn by_popularity(&mut self) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// What speaks for a candidate of the last search. `admits` says which own items may be
    /// named.
    fn support(&mut self, item: u32, admits: &dyn Fn(u32) -> bool) -> SupportedBy;
}

/// The `memory` engine.
pub struct Memory<'a> {
    kind: &'a KindSnapshot,
    settings: &'a Settings,
    question: Question<'a>,
    user: Option<u32>,
    neighbors: Vec<(u32, f64)>,
    ties: Option<Ties>,
    by_popularity: bool,
}

impl<'a> Memory<'a> {
    pub fn new(kind: &'a KindSnapshot, settings: &'a Settings, question: Question<'a>) -> Self {
        let user = kind.layers.users.get(question.user_id);
        Self { kind, settings, question, user, neighbors: Vec::new(), ties: None, by_popularity: false }
    }

    fn own(&self) -> RowView<'a> {
        self.user.map_or(RowView::EMPTY, |user| self.kind.layers.row(user))
    }

    fn search(&self, count: usize) -> Vec<(u32, f64)> {
        let layers = &self.kind.layers;
        let Some(user) = self.user else { return Vec::new() };
        let similarity = self.question.similarity;
        let centred = self.settings.scoring == Scoring::Explicit && similarity == Similarity::Cosine;
        let wanted = Search {
            similarity,
            rows: if centred { Rows::Centred } else { Rows::Raw },
            count,
            item_total: self.kind.catalogue.len(),
        };
        search(layers, layers.row(user), Some(user), &wanted)
    }

    /// The neighbors by name, for administrators.
    pub fn named_neighbors(&self) -> Vec<Neighbor> {
        let name = |user| self.kind.layers.users.name(user).to_owned();
        let found = self.search(self.question.neighbors).into_iter();
        found.map(|(user, similarity)| Neighbor { user_id: name(user), similarity }).collect()
    }
}

impl Backing for Memory<'_> {
    async fn history(&mut self) -> Result<Vec<u32>, SourceError> {
        Ok(self.own().items.to_vec())
    }

    fn by_neighbors(&mut self) -> Vec<Candidate> {
        let layers = &self.kind.layers;
        match self.settings.scoring {
            Scoring::Implicit => {
                self.neighbors = self.search(self.question.neighbors);
                implicit(layers, &self.neighbors)
            }
            Scoring::Explicit => {
                self.neighbors = self.search(layers.users.len());
                let mean = self.own().stats.mean;
                explicit(layers, &self.neighbors, mean, self.settings.raters)
            }
        }
    }

    async fn by_circumstances(&mut self, asking: Circumstances<'_>) -> Result<Vec<Candidate>, SourceError> {
        let layers = &self.kind.layers;
        let row = |id: &str| layers.users.get(id).filter(|&user| !layers.row(user).is_empty());
        let alike = context::nearest(asking, self.question.neighbors, |id| row(id).is_some());
        self.neighbors = alike.into_iter().filter_map(|(id, s)| Some((row(&id)?, s))).collect();
        self.ties = None;
        Ok(implicit(layers, &self.neighbors))
    }

    async fn by_popularity(&mut self) -> Result<Vec<Candidate>, SourceError> {
        self.by_popularity = true;
        let layers = &self.kind.layers;
        let users = (0..layers.items.len() as u32).map(|item| (item, layers.popularity(item)));
        let had = users.filter(|&(_, users)| users > 0);
        Ok(had.map(|(item, users)| Candidate { item, score: f64::from(users) }).collect())
    }

    fn support(&mut self, item: u32, admits: &dyn Fn(u32) -> bool) -> SupportedBy {
        let layers = &self.kind.layers;
        if self.by_popularity {
            let count = layers.popularity(item);
            return SupportedBy { count, ..SupportedBy::default() };
        }
        let limit = match self.settings.scoring {
            Scoring::Implicit => usize::MAX,
            Scoring::Explicit => self.settings.raters,
        };
        let places = supporters(layers, &self.neighbors, item, limit);
        let own = self.own();
        let ties = self.ties.get_or_insert_with(|| Ties::new(layers, own, &self.neighbors));
        let shared = ties.strongest(&layers.items, places.iter().copied(), admits).into_iter();
        let name = |&place: &usize| layers.users.name(self.neighbors[place].0).to_owned();
        SupportedBy {
            count: places.len() as u32,
            shared_items: shared.map(|item| layers.items.name(item).to_owned()).collect(),
            people: places.iter().map(name).collect(),
        }
    }
}

/// The `database` engine.
pub struct Database<'a> {
    evidence: &'a dyn Evidence,
    kind: Kind,
    items: &'a Names,
    question: Question<'a>,
    found: Found,
    /// Where each candidate stands in `found.scored`, by number.
    places: HashMap<u32, usize>,
    ties: Option<Ties>,
    /// How many people have each candidate, where popularity was asked for.
    popular: HashMap<u32, u32>,
}

impl<'a> Database<'a> {
    pub fn new(
        evidence: &'a dyn Evidence,
        kind: Kind,
        known: &'a KindSnapshot,
        question: Question<'a>,
    ) -> Self {
        Self {
            evidence,
            kind,
            items: &known.layers.items,
            question,
            found: Found::default(),
            places: HashMap::new(),
            ties: None,
            popular: HashMap::new(),
        }
    }

    /// Candidates by number; items this process has not heard of yet are left out.
    fn candidates(&mut self) -> Vec<Candidate> {
        self.places.clear();
        self.ties = None;
        let mut candidates = Vec::with_capacity(self.found.scored.len());
        for (place, ScoredItem { item_id, score, .. }) in self.found.scored.iter().enumerate() {
            if let Some(item) = self.items.get(item_id) {
                self.places.insert(item, place);
                candidates.push(Candidate { item, score: *score });
            }
        }
        candidates
    }
}

impl Backing for Database<'_> {
    async fn history(&mut self) -> Result<Vec<u32>, SourceError> {
        let Question { user_id, similarity, neighbors } = self.question;
        self.found = self.evidence.find(self.kind, user_id, similarity, neighbors).await?;
        Ok(self.found.own.iter().filter_map(|owned| self.items.get(&owned.item_id)).collect())
    }

    fn by_neighbors(&mut self) -> Vec<Candidate> {
        self.candidates()
    }

    async fn by_circumstances(&mut self, asking: Circumstances<'_>) -> Result<Vec<Candidate>, SourceError> {
        let count = self.question.neighbors;
        let mut neighbors = Vec::new();
        // Only the store knows who has a history, so it is asked about the most alike first.
        let alike = context::nearest(asking, usize::MAX, |_| true);
        for batch in alike.chunks(count.max(256)) {
            let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
            let active = self.evidence.with_history(self.kind, &ids).await?;
            let active: HashSet<String> = active.into_iter().collect();
            let found = batch.iter().filter(|(id, _)| active.contains(id));
            neighbors.extend(found.map(|(id, s)| Neighbor { user_id: id.clone(), similarity: *s }));
            if neighbors.len() >= count {
                break;
            }
        }
        neighbors.truncate(count);
        self.found.scored = self.evidence.scores(self.kind, &self.found.own, &neighbors).await?;
        self.found.neighbors = neighbors;
        Ok(self.candidates())
    }

    async fn by_popularity(&mut self) -> Result<Vec<Candidate>, SourceError> {
        let popular = self.evidence.popular(self.kind, usize::MAX).await?.into_iter();
        self.popular = popular.filter_map(|one| Some((self.items.get(&one.item_id)?, one.users))).collect();
        let candidate = |(&item, &users): (&u32, &u32)| Candidate { item, score: f64::from(users) };
        Ok(self.popular.iter().map(candidate).collect())
    }

    fn support(&mut self, item: u32, admits: &dyn Fn(u32) -> bool) -> SupportedBy {
        if let Some(&count) = self.popular.get(&item) {
            return SupportedBy { count, ..SupportedBy::default() };
        }
        let Found { own, neighbors, scored } = &self.found;
        let Some(&place) = self.places.get(&item) else { return SupportedBy::default() };
        let supporters = scored[place].supporters.iter().map(|&place| place as usize);
        let ties = self.ties.get_or_insert_with(|| Ties::told(self.items, own, neighbors, scored));
        let shared = ties.strongest(self.items, supporters.clone(), admits).into_iter();
        SupportedBy {
            count: supporters.len() as u32,
            shared_items: shared.map(|item| self.items.name(item).to_owned()).collect(),
            people: supporters.map(|place| neighbors[place].user_id.clone()).collect(),
        }
    }
}
