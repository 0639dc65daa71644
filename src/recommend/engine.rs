//! The two places neighbors and scores can come from, behind one trait: the matrix in memory, or
//! a store that computes them itself. Both speak of items by their numbers in the snapshot, so
//! that everything after them is the same code.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use super::context::{self, Person};
use super::data::{Kind, Millis};
use super::explain::{SHARED_ITEMS, Ties};
use super::matrix::RowView;
use super::neighbors::{Rows, Search, search};
use super::ranking::{Candidate, Scoring, explicit, implicit, supporters};
use super::recommender::Settings;
use super::shared::ByName;
use super::snapshot::KindSnapshot;
use super::source::{Evidence, Neighbor, Owned, ScoredItem, Similarity, SourceError};

/// What speaks for one candidate.
#[derive(Debug, Default)]
pub struct SupportedBy {
    pub count: u32,
    /// Ids of the asking user's own items.
    pub shared_items: Vec<String>,
    /// Ids of the supporters, for comparing circumstances; never shown.
    pub people: Vec<String>,
}

/// Who asks about circumstances, and among whom.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub people: &'a ByName<Person>,
    pub user_id: &'a str,
    pub person: &'a Person,
    pub now: Millis,
}

/// Where candidates come from. One value serves one request and remembers, between finding
/// candidates and being asked what supports them, what it found.
pub trait Backing: Send {
    /// The numbers of the items the user has.
    fn history(&mut self, user_id: &str) -> impl Future<Output = Result<Vec<u32>, SourceError>> + Send;

    /// What the users with the most similar history have.
    fn by_neighbors(
        &mut self,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// What the people in the most similar circumstances have, scored by `implicit`.
    fn by_circumstances(
        &mut self,
        circumstances: Circumstances<'_>,
        count: usize,
    ) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// Everything anybody has; the score is how many do.
    fn by_popularity(&mut self) -> impl Future<Output = Result<Vec<Candidate>, SourceError>> + Send;

    /// What speaks for a candidate of the last search. `admits` says which own items may be
    /// named.
    fn support(
        &mut self,
        item: u32,
        admits: &(dyn Fn(u32) -> bool + Sync),
    ) -> impl Future<Output = Result<SupportedBy, SourceError>> + Send;
}

/// The `memory` engine.
pub struct Memory<'a> {
    kind: &'a KindSnapshot,
    settings: &'a Settings,
    user: Option<u32>,
    neighbors: Vec<(u32, f64)>,
    ties: Option<Ties>,
    by_popularity: bool,
}

impl<'a> Memory<'a> {
    pub fn new(kind: &'a KindSnapshot, settings: &'a Settings) -> Self {
        Self { kind, settings, user: None, neighbors: Vec::new(), ties: None, by_popularity: false }
    }

    fn own(&self) -> RowView<'a> {
        self.user.map_or(RowView::EMPTY, |user| self.kind.layers.row(user))
    }

    fn search(&self, user_id: &str, similarity: Similarity, count: usize) -> Vec<(u32, f64)> {
        let layers = &self.kind.layers;
        let Some(user) = layers.users.get(user_id) else { return Vec::new() };
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
    pub fn named_neighbors(&self, user_id: &str, similarity: Similarity, count: usize) -> Vec<Neighbor> {
        let name = |user| self.kind.layers.users.name(user).to_owned();
        let found = self.search(user_id, similarity, count).into_iter();
        found.map(|(user, similarity)| Neighbor { user_id: name(user), similarity }).collect()
    }
}

impl Backing for Memory<'_> {
    async fn history(&mut self, user_id: &str) -> Result<Vec<u32>, SourceError> {
        self.user = self.kind.layers.users.get(user_id);
        Ok(self.own().items.to_vec())
    }

    async fn by_neighbors(
        &mut self,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> Result<Vec<Candidate>, SourceError> {
        let layers = &self.kind.layers;
        Ok(match self.settings.scoring {
            Scoring::Implicit => {
                self.neighbors = self.search(user_id, similarity, count);
                implicit(layers, &self.neighbors)
            }
            Scoring::Explicit => {
                self.neighbors = self.search(user_id, similarity, layers.users.len());
                let mean = self.own().stats.mean;
                explicit(layers, &self.neighbors, mean, self.settings.raters)
            }
        })
    }

    async fn by_circumstances(
        &mut self,
        asking: Circumstances<'_>,
        count: usize,
    ) -> Result<Vec<Candidate>, SourceError> {
        let layers = &self.kind.layers;
        let row = |id: &str| layers.users.get(id).filter(|&user| !layers.row(user).is_empty());
        let alike = context::nearest(asking, count, |id| row(id).is_some());
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

    async fn support(
        &mut self,
        item: u32,
        admits: &(dyn Fn(u32) -> bool + Sync),
    ) -> Result<SupportedBy, SourceError> {
        let layers = &self.kind.layers;
        if self.by_popularity {
            let count = layers.popularity(item);
            return Ok(SupportedBy { count, ..SupportedBy::default() });
        }
        let limit = match self.settings.scoring {
            Scoring::Implicit => usize::MAX,
            Scoring::Explicit => self.settings.raters,
        };
        let places = supporters(layers, &self.neighbors, item, limit);
        let own = self.own();
        let ties = self.ties.get_or_insert_with(|| Ties::new(layers, own, &self.neighbors));
        let shared = ties.strongest(layers, &places, admits).into_iter();
        let name = |&place: &usize| layers.users.name(self.neighbors[place].0).to_owned();
        Ok(SupportedBy {
            count: places.len() as u32,
            shared_items: shared.map(|item| layers.items.name(item).to_owned()).collect(),
            people: places.iter().map(name).collect(),
        })
    }
}

/// The `database` engine.
pub struct Database<'a> {
    evidence: &'a dyn Evidence,
    kind: Kind,
    known: &'a KindSnapshot,
    own: Vec<Owned>,
    neighbors: Vec<Neighbor>,
    supporters: HashMap<u32, u32>,
}

impl<'a> Database<'a> {
    pub fn new(evidence: &'a dyn Evidence, kind: Kind, known: &'a KindSnapshot) -> Self {
        Self { evidence, kind, known, own: Vec::new(), neighbors: Vec::new(), supporters: HashMap::new() }
    }

    /// Candidates by number; items this process has not heard of yet are left out.
    fn candidates(&mut self, scored: Vec<ScoredItem>) -> Vec<Candidate> {
        self.supporters.clear();
        let mut candidates = Vec::with_capacity(scored.len());
        for ScoredItem { item_id, score, supporting_neighbors } in scored {
            if let Some(item) = self.known.layers.items.get(&item_id) {
                self.supporters.insert(item, supporting_neighbors);
                candidates.push(Candidate { item, score });
            }
        }
        candidates
    }
}

impl Backing for Database<'_> {
    async fn history(&mut self, user_id: &str) -> Result<Vec<u32>, SourceError> {
        self.own = self.evidence.history(self.kind, user_id).await?;
        let number = |owned: &Owned| self.known.layers.items.get(&owned.item_id);
        Ok(self.own.iter().filter_map(number).collect())
    }

    async fn by_neighbors(
        &mut self,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> Result<Vec<Candidate>, SourceError> {
        self.neighbors = self.evidence.neighbors(self.kind, user_id, similarity, count).await?;
        let scored = self.evidence.scores(self.kind, &self.neighbors).await?;
        Ok(self.candidates(scored))
    }

    async fn by_circumstances(
        &mut self,
        asking: Circumstances<'_>,
        count: usize,
    ) -> Result<Vec<Candidate>, SourceError> {
        self.neighbors.clear();
        // Only the store knows who has a history, so it is asked about the most alike first.
        let alike = context::nearest(asking, usize::MAX, |_| true);
        for batch in alike.chunks(count.max(256)) {
            let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
            let active = self.evidence.with_history(self.kind, &ids).await?;
            let active: HashSet<String> = active.into_iter().collect();
            let found = batch.iter().filter(|(id, _)| active.contains(id));
            let found = found.map(|(id, s)| Neighbor { user_id: id.clone(), similarity: *s });
            self.neighbors.extend(found);
            if self.neighbors.len() >= count {
                break;
            }
        }
        self.neighbors.truncate(count);
        let scored = self.evidence.scores(self.kind, &self.neighbors).await?;
        Ok(self.candidates(scored))
    }

    async fn by_popularity(&mut self) -> Result<Vec<Candidate>, SourceError> {
        self.neighbors.clear();
        let popular = self.evidence.popular(self.kind, usize::MAX).await?;
        Ok(self.candidates(popular))
    }

    async fn support(
        &mut self,
        item: u32,
        admits: &(dyn Fn(u32) -> bool + Sync),
    ) -> Result<SupportedBy, SourceError> {
        let count = self.supporters.get(&item).copied().unwrap_or(0);
        if self.neighbors.is_empty() {
            return Ok(SupportedBy { count, ..SupportedBy::default() });
        }
        let names = &self.known.layers.items;
        let admitted = |owned: &&Owned| names.get(&owned.item_id).is_some_and(admits);
        let own: Vec<Owned> = self.own.iter().filter(admitted).cloned().collect();
        let asked = (self.kind, names.name(item));
        let ties = self.evidence.ties(asked.0, &own, &self.neighbors, asked.1, SHARED_ITEMS);
        let ties = ties.await?;
        Ok(SupportedBy { count, shared_items: ties.shared_items, people: ties.supporters })
    }
}
