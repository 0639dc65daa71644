//! Candidates from a store that computes neighbors and scores itself.
//!
//! The store is asked once, for everything that a history leads to: one statement sees one moment,
//! where several would see what others wrote between them. Where a package answers, it is asked for the
//! package's sums, and for neighbors only if they are needed as well.

use std::collections::{HashMap, HashSet};

use super::{Asked, Candidates, Circumstances, History, Question, SupportedBy};
use crate::context;
use crate::data::Kind;
use crate::explain::Ties;
use crate::names::Names;
use crate::ranking::Candidate;
use crate::snapshot::KindSnapshot;
use crate::source::{Evidence, Found, Neighbor, ScoredItem, SourceError, Summed};

/// The `database` engine.
pub struct DatabaseCandidates<'a> {
    evidence: &'a dyn Evidence,
    kind: Kind,
    items: &'a Names,
    question: Question<'a>,
    found: Found,
    /// Whether neighbors were asked for.
    searched: bool,
    /// Where each candidate stands in `found.scored`, by number.
    places: HashMap<u32, usize>,
    ties: Option<Ties>,
    /// How many people have each candidate, where popularity was asked for.
    popular: HashMap<u32, u32>,
}

impl<'a> DatabaseCandidates<'a> {
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
            searched: false,
            places: HashMap::new(),
            ties: None,
            popular: HashMap::new(),
        }
    }

    /// Asks for the neighbors and what they have.
    async fn search(&mut self) -> Result<(), SourceError> {
        let Question { user_id, similarity, neighbors } = self.question;
        self.found = self.evidence.find(self.kind, user_id, similarity, neighbors).await?;
        self.searched = true;
        Ok(())
    }

    /// The numbers of the own items.
    fn own(&self) -> Vec<u32> {
        self.found.own.iter().filter_map(|owned| self.items.get(&owned.item_id)).collect()
    }

    /// The package's sums. Weights that are not in the store are written there first: they were
    /// removed, or the package was loaded this moment.
    async fn sums(&self, asked: Asked<'_>) -> Result<Option<Summed>, SourceError> {
        let Asked { package, features } = asked;
        let user = self.question.user_id;
        let found = self.evidence.sums(self.kind, user, package, features).await?;
        if found.is_some() || package.digest().is_empty() {
            return Ok(found);
        }
        self.evidence.keep(package).await?;
        self.evidence.sums(self.kind, user, package, features).await
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

impl Candidates for DatabaseCandidates<'_> {
    async fn history(&mut self, asked: Option<Asked<'_>>) -> Result<History, SourceError> {
        let summed = match asked {
            Some(asked) => self.sums(asked).await?,
            None => None,
        };
        let Some(Summed { own, sums }) = summed else {
            self.search().await?;
            return Ok(History { items: self.own(), sums: None });
        };
        self.found.own = own;
        Ok(History { items: self.own(), sums: Some(sums) })
    }

    async fn by_neighbors(&mut self) -> Result<Vec<Candidate>, SourceError> {
        if !self.searched {
            self.search().await?;
        }
        Ok(self.candidates())
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
