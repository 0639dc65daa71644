//! The recommender as others use it: load it, keep it fresh, ask it.
//!
//! An answer is made in the same steps whichever engine computes the neighbors. Strategies are
//! tried in turn (neighbors, then context, then popular); each names candidates; the rules of
//! [`filters`](super::filters) are applied to every candidate; the best of what is left are
//! chosen and explained. The first strategy that leaves anything answers.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::answer::*;
use super::catalogue::Entry;
use super::context::{self, Person};
use super::data::{Kind, Millis};
use super::engine::{Backing, Circumstances, Database, Memory, Question};
use super::filters::{Patient, Unknown};
use super::fresh::Fresh;
use super::neighbors::best::Best;
use super::places::Place;
use super::ranking::{Candidate, Scoring};
use super::snapshot::{KindSnapshot, Snapshot};
use super::source::{Evidence, Neighbor, Source, SourceError};
use super::weights::{Repeats, Weighing};

/// How the recommender computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub weighing: Weighing,
    pub scoring: Scoring,
    /// How many neighbors to go by where a request does not say.
    pub neighbors: usize,
    /// For `explicit`: how many of the most similar raters count for one item.
    pub raters: usize,
    /// A history of fewer items is too little to find neighbors by.
    pub min_history: usize,
    /// What is done about drugs when allergies or medications are not recorded.
    pub unknown: Unknown,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weighing: Weighing::default(),
            scoring: Scoring::default(),
            neighbors: 200,
            raters: 30,
            min_history: 1,
            unknown: Unknown::default(),
        }
    }
}

impl Settings {
    /// What is wrong with these settings, each by its name; `in_database` where the store is to
    /// compute the neighbors.
    pub fn problems(&self, in_database: bool) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.weighing.validate().err().map(|problem| format!("weighing: {problem}")));
        if self.scoring == Scoring::Explicit && in_database {
            problems.push("scoring: \"explicit\" needs the recommender \"memory\"".to_owned());
        }
        if self.scoring == Scoring::Explicit && self.weighing.repeats == Repeats::Add {
            let detail = "needs weighing.repeats = \"last\", as two ratings of one item do not add up";
            problems.push(format!("scoring: \"explicit\" {detail}"));
        }
        if !(1..=MAX_NEIGHBORS).contains(&self.neighbors) {
            problems.push(format!("neighbors: must be from 1 to {MAX_NEIGHBORS}"));
        }
        if self.raters == 0 {
            problems.push("raters: must be at least 1".to_owned());
        }
        if self.min_history == 0 {
            problems.push("min_history: must be at least 1".to_owned());
        }
        problems
    }
}

/// Something that answers requests.
pub trait Engine: Send + Sync {
    fn recommend<'a>(&'a self, request: &'a Request)
    -> BoxFuture<'a, Result<Recommendation, RecommendError>>;

    /// The neighbors themselves, for administrators. Empty for a user without history.
    fn neighbors<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Vec<Neighbor>, RecommendError>>;
}

/// The recommender: people and items in memory, and the interactions in memory too (the
/// `memory` engine) or left to the store (the `database` engine).
pub struct Recommender {
    fresh: Fresh,
    settings: Settings,
    evidence: Option<Arc<dyn Evidence>>,
}

impl Recommender {
    /// The `memory` engine: loads everything.
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

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn question<'a>(&self, request: &'a Request) -> Question<'a> {
        Question {
            user_id: &request.user_id,
            similarity: request.similarity,
            neighbors: request.neighbors.unwrap_or(self.settings.neighbors),
        }
    }
}

impl Engine for Recommender {
    fn recommend<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Recommendation, RecommendError>> {
        Box::pin(async move {
            let snapshot = self.fresh.snapshot();
            let kind = snapshot.kind(request.kind);
            let question = self.question(request);
            match &self.evidence {
                None => {
                    let backing = Memory::new(kind, &self.settings, question);
                    answer(&snapshot, backing, &self.settings, request).await
                }
                Some(evidence) => {
                    let backing = Database::new(evidence.as_ref(), request.kind, kind, question);
                    answer(&snapshot, backing, &self.settings, request).await
                }
            }
        })
    }

    fn neighbors<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Vec<Neighbor>, RecommendError>> {
        Box::pin(async move {
            request.validate()?;
            let snapshot = self.fresh.snapshot();
            if snapshot.people.get(&request.user_id).is_none() {
                return Err(RecommendError::UnknownUser);
            }
            let question = self.question(request);
            let found = match &self.evidence {
                None => Memory::new(snapshot.kind(request.kind), &self.settings, question).named_neighbors(),
                Some(evidence) => {
                    let Question { user_id, similarity, neighbors } = question;
                    evidence.neighbors(request.kind, user_id, similarity, neighbors).await?
                }
            };
            Ok(found)
        })
    }
}

/// An item on its way into the answer.
struct Chosen {
    candidate: Candidate,
    entry: Arc<Entry>,
    distance_km: Option<f64>,
}

/// Everything about one request that does not depend on the strategy.
struct Selection<'a> {
    kind: &'a KindSnapshot,
    patient: Patient<'a>,
    request: &'a Request,
    origin: Option<Place>,
    /// Numbers of the user's own items, ascending.
    seen: Vec<u32>,
}

impl Selection<'_> {
    /// The best candidates that no rule speaks against, and those some rule does, each with its
    /// reason, in the order they would have had.
    fn select(&self, candidates: Vec<Candidate>) -> Result<(Vec<Chosen>, Vec<Excluded>), RecommendError> {
        let names = &self.kind.layers.items;
        let mut best = Best::new(self.request.limit, |a, b| names.compare(a, b));
        let mut excluded: Vec<(Candidate, Excluded)> = Vec::new();
        for candidate in candidates {
            if !candidate.score.is_finite() {
                return Err(RecommendError::NotANumber);
            }
            let Some(entry) = self.kind.catalogue.get(candidate.item) else { continue };
            // Too low a score ends the matter, unless a rule may have to be reported.
            if candidate.score < best.worst() && !self.patient.may_exclude(entry) {
                continue;
            }
            let seen = !entry.item.repeatable && self.seen.binary_search(&candidate.item).is_ok();
            if entry.item.hidden || seen || self.too_far(entry) {
                continue;
            }
            match self.patient.excludes(candidate.item, entry) {
                None => {
                    best.offer(candidate.item, candidate.score);
                }
                Some(reason) => {
                    let item_id = entry.item.item_id.clone();
                    excluded.push((candidate, Excluded { item_id, reason }));
                }
            }
        }
        excluded.sort_unstable_by(|(a, _), (b, _)| {
            b.score.total_cmp(&a.score).then_with(|| names.compare(a.item, b.item))
        });
        let chosen = best.into_sorted().into_iter().filter_map(|(item, score)| {
            let entry = Arc::clone(self.kind.catalogue.get(item)?);
            let distance_km = self.distance(&entry);
            Some(Chosen { candidate: Candidate { item, score }, entry, distance_km })
        });
        Ok((chosen.collect(), excluded.into_iter().map(|(_, excluded)| excluded).collect()))
    }

    /// The chosen item as it is answered, with its reasons.
    fn explained<B: Backing>(
        &self,
        backing: &mut B,
        strategy: Strategy,
        chosen: Chosen,
        asking: Circumstances<'_>,
    ) -> Recommended {
        let visible = |item| self.kind.catalogue.get(item).is_some_and(|entry| !entry.item.hidden);
        let support = backing.support(chosen.candidate.item, &visible);
        let count = Support::of(support.count);
        // What few people share would say something of each of them.
        let context = if count == Support::Few {
            Vec::new()
        } else {
            let people: Vec<Arc<Person>> =
                support.people.iter().filter_map(|id| asking.people.get(id).cloned()).collect();
            context::shared_context(asking.person, &people, asking.now)
        };
        let score = match strategy {
            // Here the score is the number of people, of which a small one is not told.
            Strategy::Popular => chosen.candidate.score.max(f64::from(Support::TOLD_FROM)),
            _ => chosen.candidate.score,
        };
        Recommended {
            item_id: chosen.entry.item.item_id.clone(),
            name: chosen.entry.item.name.clone(),
            score,
            distance_km: chosen.distance_km,
            because: Because { supporting_neighbors: count, shared_items: support.shared_items, context },
        }
    }

    fn distance(&self, entry: &Entry) -> Option<f64> {
        let place = Place::new(entry.item.latitude, entry.item.longitude)?;
        Some(self.origin?.distance_km(place))
    }

    fn too_far(&self, entry: &Entry) -> bool {
        let Some(radius) = self.request.radius_km else { return false };
        self.distance(entry).is_none_or(|km| km > radius)
    }
}

/// Answers one request.
async fn answer<B: Backing>(
    snapshot: &Snapshot,
    mut backing: B,
    settings: &Settings,
    request: &Request,
) -> Result<Recommendation, RecommendError> {
    request.validate()?;
    let person = snapshot.people.get(&request.user_id).ok_or(RecommendError::UnknownUser)?;
    let profile = &person.profile;
    let origin = request.near.or_else(|| Place::new(profile.latitude, profile.longitude));
    if request.radius_km.is_some() && origin.is_none() {
        return Err(RecommendError::Invalid {
            parameter: "radius_km",
            detail: "needs near=latitude,longitude, as it is not known where the user lives".to_owned(),
        });
    }
    let kind = snapshot.kind(request.kind);
    let drugs = &snapshot.kind(Kind::Drug).catalogue;
    let patient = Patient::new(profile, request.kind, &kind.catalogue, drugs, settings.unknown, request.now);
    let mut history = backing.history().await?;
    history.sort_unstable();
    let selection = Selection { kind, patient, request, origin, seen: history };
    let mut recommendation = Recommendation {
        user_id: request.user_id.clone(),
        kind: request.kind,
        similarity: request.similarity,
        strategy: Strategy::InsufficientEvidence,
        as_of: snapshot.as_of,
        items: Vec::new(),
        excluded: Vec::new(),
        abstained: selection.patient.abstains().map(str::to_owned),
        flags: selection.patient.flags().to_vec(),
    };
    let mut reported: HashSet<String> = HashSet::new();
    let circumstances =
        Circumstances { people: &snapshot.people, user_id: &request.user_id, person, now: request.now };
    for strategy in [Strategy::Neighbors, Strategy::Context, Strategy::Popular] {
        let candidates = match strategy {
            Strategy::Neighbors if selection.seen.len() < settings.min_history => continue,
            Strategy::Neighbors => backing.by_neighbors(),
            Strategy::Context => backing.by_circumstances(circumstances).await?,
            _ => backing.by_popularity().await?,
        };
        if candidates.is_empty() {
            continue;
        }
        let (chosen, excluded) = selection.select(candidates)?;
        for item in excluded {
            if reported.insert(item.item_id.clone()) {
                recommendation.excluded.push(item);
            }
        }
        if !chosen.is_empty() {
            recommendation.strategy = strategy;
            let explained = |chosen| selection.explained(&mut backing, strategy, chosen, circumstances);
            recommendation.items = chosen.into_iter().map(explained).collect();
            break;
        }
        if recommendation.abstained.is_some() {
            // The other strategies' candidates would all be ruled out for the same reason.
            break;
        }
    }
    Ok(recommendation)
}
