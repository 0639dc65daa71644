//! Candidates from the matrix in memory.

use super::{Asked, Candidates, Circumstances, History, Question, SupportedBy};
use crate::context;
use crate::explain::Ties;
use crate::matrix::RowView;
use crate::ranking::{Candidate, Scorer, Scoring, implicit, popular, supporters};
use crate::settings::Settings;
use crate::snapshot::KindSnapshot;
use crate::source::{Neighbor, SourceError};

/// The `memory` engine.
pub struct MemoryCandidates<'a> {
    kind: &'a KindSnapshot,
    settings: &'a Settings,
    question: Question<'a>,
    user: Option<u32>,
    neighbors: Vec<(u32, f64)>,
    ties: Option<Ties>,
    by_popularity: bool,
}

impl<'a> MemoryCandidates<'a> {
    pub fn new(kind: &'a KindSnapshot, settings: &'a Settings, question: Question<'a>) -> Self {
        let user = kind.layers.users.get(question.user_id);
        Self { kind, settings, question, user, neighbors: Vec::new(), ties: None, by_popularity: false }
    }

    fn own(&self) -> RowView<'a> {
        self.user.map_or(RowView::EMPTY, |user| self.kind.layers.row(user))
    }

    fn scorer(&self) -> Scorer {
        Scorer {
            similarity: self.question.similarity,
            scoring: self.settings.scoring,
            neighbors: self.question.neighbors,
            amplification: self.settings.amplification,
            raters: self.settings.raters(),
            item_total: self.kind.catalogue.len(),
        }
    }

    /// The neighbors by name, for administrators.
    pub fn named_neighbors(&self) -> Vec<Neighbor> {
        let name = |user| self.kind.layers.users.name(user).to_owned();
        let neighbors = self.question.neighbors;
        let found = self.scorer().nearest(&self.kind.layers, self.own(), self.user, neighbors).into_iter();
        found.map(|(user, similarity)| Neighbor { user_id: name(user), similarity }).collect()
    }
}

impl Candidates for MemoryCandidates<'_> {
    async fn history(&mut self, _: Option<Asked<'_>>) -> Result<History, SourceError> {
        Ok(History { items: self.own().items.to_vec(), sums: None })
    }

    async fn by_neighbors(&mut self) -> Result<Vec<Candidate>, SourceError> {
        let found = self.scorer().score(&self.kind.layers, self.own(), self.user);
        self.neighbors = found.neighbors;
        Ok(found.candidates)
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
        Ok(popular(&self.kind.layers).collect())
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
