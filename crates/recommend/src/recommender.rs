//! The recommender as others use it: load it, keep it fresh, ask it.

use std::sync::Arc;

use super::answer::{RecommendError, Recommendation, Request};
use super::answering::answer;
use super::candidates::{DatabaseCandidates, MemoryCandidates, Question};
use super::catalogue::flags;
use super::data::{Item, Kind, Millis, Profile};
use super::fresh::Fresh;
use super::learned::Learned;
use super::orders::{Checked, Ordered, check};
use super::settings::Settings;
use super::snapshot::KindSnapshot;
use super::source::{Evidence, Neighbor, Source, SourceError};

/// The recommender: people and items in memory, and the interactions in memory too (the
/// `memory` engine) or left to the store (the `database` engine).
pub struct Recommender {
    fresh: Fresh,
    settings: Settings,
    evidence: Option<Arc<dyn Evidence>>,
}

impl Recommender {
    /// The `memory` engine: loads everything.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn in_memory(
        source: Arc<dyn Source>,
        settings: Settings,
        now: Millis,
    ) -> Result<Self, SourceError> {
        let fresh = Fresh::load(source, settings.weighing.clone(), true, now).await?;
        Ok(Self { fresh, settings, evidence: None })
    }

    /// The `database` engine: loads people and items; neighbors and scores come from `evidence`.
    /// It scores by `implicit` only.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn in_database(
        source: Arc<dyn Source>,
        evidence: Arc<dyn Evidence>,
        settings: Settings,
        now: Millis,
    ) -> Result<Self, SourceError> {
        let fresh = Fresh::load(source, settings.weighing.clone(), false, now).await?;
        Ok(Self { fresh, settings, evidence: Some(evidence) })
    }

    /// The feed from the store: `refresh` and `merge` are to be called at intervals, `written`
    /// after each write.
    pub fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    fn question<'a>(&self, request: &'a Request) -> Question<'a> {
        Question {
            user_id: &request.user_id,
            similarity: request.similarity,
            neighbors: request.neighbors.unwrap_or(self.settings.neighbors),
        }
    }

    /// The recommendations for one user.
    ///
    /// # Errors
    /// A request out of range, an unknown user, a store that does not answer, weights too large
    /// to be added up.
    pub async fn recommend(&self, request: &Request) -> Result<Recommendation, RecommendError> {
        self.recommend_by(request, None).await
    }

    /// The same, by the learned scorer where it has an answer.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub async fn recommend_by(
        &self,
        request: &Request,
        learned: Option<&Learned>,
    ) -> Result<Recommendation, RecommendError> {
        let current = self.is_current(request).await;
        let mut answer = self.by_snapshot(request, learned).await?;
        if let Err(reason) = current {
            answer.withhold(reason);
        }
        Ok(answer)
    }

    /// Whether a drug may be answered on what is at hand: an allergy that another replica took a moment
    /// ago counts.
    async fn is_current(&self, request: &Request) -> Result<(), String> {
        if request.kind != Kind::Drug {
            return Ok(());
        }
        if self.fresh.as_it_is_now(&request.user_id).await.is_err() {
            return Err("what is known of the person cannot be read as it is now".to_owned());
        }
        let age = request.now.saturating_sub(self.fresh.snapshot().as_of) / 1000;
        match age <= i64::from(self.settings.drug_max_age) {
            true => Ok(()),
            false => Err(format!("what is known of drugs and rules is {age} seconds old")),
        }
    }

    async fn by_snapshot(
        &self,
        request: &Request,
        learned: Option<&Learned>,
    ) -> Result<Recommendation, RecommendError> {
        let learned = learned.filter(|learned| learned.kind == request.kind);
        let snapshot = self.fresh.snapshot();
        let kind = snapshot.kind(request.kind);
        let question = self.question(request);
        match &self.evidence {
            None => {
                let candidates = MemoryCandidates::new(kind, &self.settings, question);
                answer(&snapshot, candidates, &self.settings, learned, request).await
            }
            Some(evidence) => {
                let candidates = DatabaseCandidates::new(evidence.as_ref(), request.kind, kind, question);
                answer(&snapshot, candidates, &self.settings, learned, request).await
            }
        }
    }

    /// What speaks against each of these drugs that somebody orders for a person with this profile, by
    /// the rules that recommendations go by.
    pub fn check_orders(&self, profile: &Profile, orders: &[Ordered], now: Millis) -> Vec<Checked> {
        check(&self.fresh.snapshot(), &self.settings, profile, orders, now)
    }

    /// What of the words of an item is not understood, for whoever writes it.
    pub fn item_flags(&self, item: &Item) -> Vec<String> {
        let snapshot = self.fresh.snapshot();
        let drugs = snapshot.kind(Kind::Drug).catalogue.vocabulary();
        flags(item, &snapshot.terminology, |name| drugs.is_called(name))
    }

    /// How many drugs a check of so many orders looks at, alternatives included.
    pub fn check_size(&self, orders: usize) -> usize {
        orders.saturating_mul(self.fresh.snapshot().kind(Kind::Drug).catalogue.len())
    }

    /// What is stored of a person now, if there is such a person.
    ///
    /// # Errors
    /// A store that does not answer: what is remembered may be old, and an allergy be missing in it.
    pub async fn profile(&self, user_id: &str) -> Result<Option<Profile>, SourceError> {
        self.fresh.as_it_is_now(user_id).await?;
        Ok(self.fresh.snapshot().people.get(user_id).map(|person| person.profile.clone()))
    }

    /// Writes the weights of a learned scorer to where the `database` engine reads them; the other engine
    /// reads them from memory.
    ///
    /// # Errors
    /// A store that does not answer. An answer that misses them has them written then.
    pub async fn keep(&self, learned: &Learned) -> Result<(), SourceError> {
        match &self.evidence {
            Some(evidence) if !learned.digest().is_empty() => evidence.keep(learned).await,
            _ => Ok(()),
        }
    }

    /// Whether a learned scorer is of this catalogue: it knows some item of it, or there is no item
    /// of its kind yet.
    ///
    /// # Errors
    /// A sentence that says what there is instead.
    pub fn check(&self, learned: &Learned) -> Result<(), String> {
        let snapshot = self.fresh.snapshot();
        let KindSnapshot { layers, catalogue } = snapshot.kind(learned.kind);
        let items = learned.weights().items();
        let known = |item: &str| layers.items.get(item).is_some_and(|item| catalogue.get(item).is_some());
        if catalogue.len() == 0 || items.iter().any(|item| known(item)) {
            return Ok(());
        }
        Err(format!(
            "none of its {} items is among the {} of kind {} that there are: it was trained on other items",
            items.len(),
            catalogue.len(),
            learned.kind.as_str()
        ))
    }

    /// The neighbors themselves, for administrators. Empty for a user without history.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub async fn neighbors(&self, request: &Request) -> Result<Vec<Neighbor>, RecommendError> {
        request.validate()?;
        let snapshot = self.fresh.snapshot();
        if snapshot.people.get(&request.user_id).is_none() {
            return Err(RecommendError::UnknownUser);
        }
        let question = self.question(request);
        let found = match &self.evidence {
            None => {
                MemoryCandidates::new(snapshot.kind(request.kind), &self.settings, question).named_neighbors()
            }
            Some(evidence) => {
                let Question { user_id, similarity, neighbors } = question;
                evidence.neighbors(request.kind, user_id, similarity, neighbors).await?
            }
        };
        Ok(found)
    }
}
