//! How an answer is made, the same steps wherever candidates come from. Strategies are tried in
//! turn (learned where there is a package, then neighbors, context, popular); each names candidates; the rules of
//! [`filters`](super::filters) are applied to every candidate; the best of what is left are
//! chosen and explained. The first strategy that leaves anything answers.

use std::collections::HashSet;
use std::sync::Arc;

use super::answer::{
    Because, Excluded, RecommendError, Recommendation, Recommended, Request, Strategy, Support,
};
use super::candidates::{Asked, Candidates, Circumstances, History, SupportedBy};
use super::catalogue::Entry;
use super::context::{self, Person};
use super::data::Kind;
use super::explain::SHARED_ITEMS;
use super::filters::{Medication, Patient};
use super::learned::{Asking, Learned, LearnedAnswer};
use super::neighbors::best::Best;
use super::places::Place;
use super::ranking::Candidate;
use super::settings::Settings;
use super::snapshot::{KindSnapshot, Snapshot};

/// An item on its way into the answer.
struct Chosen<'a> {
    candidate: Candidate,
    entry: &'a Entry,
    distance_km: Option<f64>,
    cautions: Vec<String>,
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

impl<'a> Selection<'a> {
    /// The best candidates that no rule speaks against, and those some rule does, each with its
    /// reason, in the order they would have had.
    fn select(&self, candidates: Vec<Candidate>) -> Result<(Vec<Chosen<'a>>, Vec<Excluded>), RecommendError> {
        let names = &self.kind.layers.items;
        // Drugs are chosen one beside the other, so that all are needed in their order.
        let together = self.request.kind == Kind::Drug;
        let limit = if together { usize::MAX } else { self.request.limit };
        let mut best = Best::new(limit, |a, b| names.compare(a, b));
        let mut excluded: Vec<(Candidate, Excluded)> = Vec::new();
        let unruled = !self.patient.may_exclude_unruled() && !self.kind.catalogue.vocabulary().has_rules();
        for candidate in candidates {
            if !candidate.score.is_finite() {
                return Err(RecommendError::NotANumber);
            }
            // Of most items that is all that is looked at, where no rule is to be reported.
            if unruled && candidate.score < best.worst() {
                continue;
            }
            let Some(entry) = self.kind.catalogue.judged(candidate.item) else { continue };
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
                Some(reason) => excluded.push((candidate, Excluded::new(&entry.item.item_id, reason))),
            }
        }
        let mut chosen: Vec<Chosen<'a>> = Vec::new();
        let mut beside: Vec<Medication<'a>> = Vec::new();
        for (item, score) in best.into_sorted() {
            if chosen.len() == self.request.limit {
                break;
            }
            let candidate = Candidate { item, score };
            let Some(entry) = self.kind.catalogue.judged(item) else { continue };
            if let Some(reason) = beside.iter().find_map(|other| other.excludes(item, entry)) {
                excluded.push((candidate, Excluded::new(&entry.item.item_id, reason)));
                continue;
            }
            let mut cautions = self.patient.cautions(entry);
            cautions.extend(beside.iter().filter_map(|other| other.caution(entry)));
            if together {
                beside.push(Medication::recommended(item, entry));
            }
            chosen.push(Chosen { candidate, entry, distance_km: self.distance(entry), cautions });
        }
        excluded.sort_unstable_by(|(a, _), (b, _)| {
            b.score.total_cmp(&a.score).then_with(|| names.compare(a.item, b.item))
        });
        Ok((chosen, excluded.into_iter().map(|(_, excluded)| excluded).collect()))
    }

    /// The chosen item as it is answered, with its reasons.
    fn explained<C: Candidates>(
        &self,
        candidates: &mut C,
        strategy: Strategy,
        learned: Option<&LearnedAnswer<'_>>,
        chosen: Chosen<'_>,
        asking: Circumstances<'_>,
    ) -> Recommended {
        let item = chosen.candidate.item;
        let visible = |item| self.kind.catalogue.get(item).is_some_and(|entry| !entry.item.hidden);
        let names = &self.kind.layers.items;
        let (support, scored_by) = match learned.filter(|_| strategy == Strategy::Learned) {
            Some(learned) if learned.knows(item) => {
                let carrying = learned.strongest(names, item, SHARED_ITEMS, visible).into_iter();
                let shared_items = carrying.map(|item| names.name(item).to_owned()).collect();
                (SupportedBy { shared_items, ..SupportedBy::default() }, None)
            }
            Some(_) => (candidates.support(item, &visible), Some(Strategy::Neighbors)),
            None => (candidates.support(item, &visible), None),
        };
        let count = Support::of(support.count);
        let by_package = learned.filter(|_| strategy == Strategy::Learned && scored_by.is_none());
        // What few people share would say something of each of them.
        let context = if let Some(learned) = by_package {
            learned.speaking(item)
        } else if count == Support::Few {
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
            scored_by,
            distance_km: chosen.distance_km,
            cautions: chosen.cautions,
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

/// The items that are chosen from these candidates, best first, as an answer has them.
///
/// # Errors
/// A score that is no number.
pub fn safe_list(
    kind: &KindSnapshot,
    patient: Patient<'_>,
    request: &Request,
    seen: Vec<u32>,
    candidates: Vec<Candidate>,
) -> Result<Vec<u32>, RecommendError> {
    let selection = Selection { kind, patient, request, origin: None, seen };
    let (chosen, _) = selection.select(candidates)?;
    Ok(chosen.into_iter().map(|chosen| chosen.candidate.item).collect())
}

/// Answers one request; `learned` is the package of this kind, where there is one.
pub async fn answer<C: Candidates>(
    snapshot: &Snapshot,
    mut source: C,
    settings: &Settings,
    learned: Option<&Learned>,
    request: &Request,
) -> Result<Recommendation, RecommendError> {
    request.validate()?;
    let told = request.profile.clone().map(Person::new);
    let stored = || snapshot.people.get(&request.user_id).map(Arc::as_ref);
    let person = told.as_ref().or_else(stored).ok_or(RecommendError::UnknownUser)?;
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
    let patient = Patient::new(
        profile,
        request.kind,
        &kind.catalogue,
        drugs,
        &snapshot.terminology,
        settings,
        request.now,
    );
    let known = learned.and_then(Learned::context);
    let features = known.map(|known| known.numbers(&person.circumstances(request.now))).unwrap_or_default();
    let asked = learned.map(|package| Asked { package, features: &features });
    let History { items: mut history, sums } = source.history(asked).await?;
    history.sort_unstable();
    let selection = Selection { kind, patient, request, origin, seen: history };
    let mut recommendation = Recommendation {
        user_id: request.user_id.clone(),
        kind: request.kind,
        similarity: request.similarity,
        strategy: Strategy::InsufficientEvidence,
        model: None,
        as_of: snapshot.as_of,
        items: Vec::new(),
        excluded: Vec::new(),
        abstained: selection.patient.abstains().map(str::to_owned),
        flags: selection.patient.flags().to_vec(),
    };
    let mut reported: HashSet<String> = HashSet::new();
    let circumstances =
        Circumstances { people: &snapshot.people, user_id: &request.user_id, person, now: request.now };
    let names = &kind.layers.items;
    let mut learned = learned.and_then(|learned| {
        let asking = Asking { features, origin, catalogue: &kind.catalogue };
        learned.answer(names, &selection.seen, asking, sums.as_deref())
    });
    for strategy in [Strategy::Learned, Strategy::Neighbors, Strategy::Context, Strategy::Popular] {
        let of_history = matches!(strategy, Strategy::Learned | Strategy::Neighbors);
        let candidates = match strategy {
            _ if of_history && selection.seen.len() < settings.min_history => continue,
            Strategy::Learned => {
                let Some(learned) = &mut learned else { continue };
                if learned.new_items > 0 {
                    learned.add_new(names, &selection.seen, &source.by_neighbors().await?);
                }
                std::mem::take(&mut learned.candidates)
            }
            Strategy::Neighbors => source.by_neighbors().await?,
            Strategy::Context => source.by_circumstances(circumstances).await?,
            _ => source.by_popularity().await?,
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
            let learned = learned.as_ref();
            recommendation.model =
                learned.filter(|_| strategy == Strategy::Learned).map(LearnedAnswer::scored_by);
            let explained =
                |chosen| selection.explained(&mut source, strategy, learned, chosen, circumstances);
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
