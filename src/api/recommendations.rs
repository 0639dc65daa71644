//! `GET /v1/users/{user_id}/recommendations`: what suits this person? And, for administrators,
//! who is like this person.

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::error::ProblemDocument;
use super::extract::{Id, Parameters};
use super::{AppState, Problem};
use recommend::answer::{MAX_NEIGHBORS, Recommendation as Answer, Request, Strategy as Ground, Support};
use recommend::clock::{now, rfc3339};
use recommend::data::Kind;
use recommend::places::Place;
use recommend::source::Similarity;

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecommendParameters {
    /// hospital, doctor, pharmacy, drug or advice.
    #[param(example = "drug")]
    pub kind: String,
    /// Number of items, 1 to 1000; default: 10.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// cosine (default), pearson or euclidean.
    pub similarity: Option<String>,
    /// Number of neighbors to go by, 1 to 10000; default: as configured.
    #[param(minimum = 1, maximum = 10000)]
    pub neighbors: Option<usize>,
    /// Where distances are measured from: latitude,longitude in degrees; default: where the person lives.
    #[param(example = "41.26,-95.93")]
    pub near: Option<String>,
    /// Leave out what is farther, in kilometres.
    pub radius_km: Option<f64>,
}

/// Why an item is recommended. It never names another person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Because {
    /// Number of neighbors who have the item; "few" below five, since small numbers could point at people.
    #[schema(value_type = Object, example = 12)]
    pub supporting_neighbors: serde_json::Value,
    /// The person's own items that tie it to those neighbors.
    pub shared_items: Vec<String>,
    /// What of the person's circumstances those neighbors share.
    pub context: Vec<String>,
}

/// A recommended item.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recommended {
    /// Identifier.
    pub item_id: String,
    /// Name for people.
    pub name: String,
    /// Higher is better; comparable within one answer only.
    pub score: f64,
    /// Distance in kilometres, where both places are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    /// The reason.
    pub because: Because,
}

/// An item that was in the running and was ruled out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Excluded {
    /// Identifier.
    pub item_id: String,
    /// The rule, such as "allergy: penicillin".
    #[schema(example = "allergy: penicillin")]
    pub reason: String,
}

/// What an answer rests on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The history of people with a similar history.
    Neighbors,
    /// The history of people in similar circumstances.
    Context,
    /// What most people have.
    Popular,
    /// Nothing: no item may be recommended on what is known.
    InsufficientEvidence,
}

/// Recommendations for a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recommendation {
    /// For whom.
    #[schema(example = "u1")]
    pub user_id: String,
    /// Of what kind.
    #[schema(example = "drug")]
    pub kind: &'static str,
    /// How people were compared.
    #[schema(example = "cosine")]
    pub similarity: &'static str,
    /// What the answer rests on.
    pub strategy: Strategy,
    /// The answer knows of everything written by then.
    #[schema(example = "2026-03-01T09:30:00.000Z")]
    pub as_of: String,
    /// Highest score first, ties by id.
    pub items: Vec<Recommended>,
    /// What was ruled out, and why.
    pub excluded: Vec<Excluded>,
    /// Why nothing at all is recommended, where there is one reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstained: Option<String>,
    /// Codes of the profile that could not be checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl From<Answer> for Recommendation {
    fn from(answer: Answer) -> Recommendation {
        let items = answer.items.into_iter().map(|item| Recommended {
            item_id: item.item_id,
            name: item.name,
            score: item.score,
            distance_km: item.distance_km,
            because: Because {
                supporting_neighbors: match item.because.supporting_neighbors {
                    Support::Few => "few".into(),
                    Support::Count(count) => count.into(),
                },
                shared_items: item.because.shared_items,
                context: item.because.context,
            },
        });
        Recommendation {
            user_id: answer.user_id,
            kind: answer.kind.as_str(),
            similarity: answer.similarity.as_str(),
            strategy: match answer.strategy {
                Ground::Neighbors => Strategy::Neighbors,
                Ground::Context => Strategy::Context,
                Ground::Popular => Strategy::Popular,
                Ground::InsufficientEvidence => Strategy::InsufficientEvidence,
            },
            as_of: rfc3339(answer.as_of),
            items: items.collect(),
            excluded: answer
                .excluded
                .into_iter()
                .map(|e| Excluded { item_id: e.item_id, reason: e.reason })
                .collect(),
            abstained: answer.abstained,
            flags: answer.flags,
        }
    }
}

/// What suits this person, and why
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/recommendations",
    tag = "recommendations",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), RecommendParameters),
    responses(
        (status = 200, body = Recommendation),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn get(
    State(state): State<AppState>,
    Id(user_id): Id,
    Parameters(parameters): Parameters<RecommendParameters>,
) -> Result<(Extension<Answered>, Json<Recommendation>), Problem> {
    let mut request = Request::new(user_id, parse_kind(&parameters.kind)?, now());
    request.limit = parameters.limit.unwrap_or(request.limit);
    request.similarity = parse_similarity(parameters.similarity.as_deref())?;
    request.neighbors = parameters.neighbors;
    request.near = parameters.near.as_deref().map(parse_place).transpose()?;
    request.radius_km = parameters.radius_km;
    let people = state.people()?;
    let answer = people.recommend(request).await?;
    let answered = Answered {
        answers: answer.items.iter().map(|item| Some(item.item_id.clone())).collect(),
        abstained: answer.items.is_empty(),
        ..Answered::default()
    };
    Ok((Extension(answered), Json(answer.into())))
}

/// Whose neighbors, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NeighborParameters {
    /// hospital, doctor, pharmacy, drug or advice.
    #[param(example = "drug")]
    pub kind: String,
    /// Number of neighbors, 1 to 10000; default: 10.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// cosine (default), pearson or euclidean.
    pub similarity: Option<String>,
}

/// A person like the one asked about.
#[derive(Debug, Serialize, ToSchema)]
pub struct Neighbor {
    /// Who.
    pub user_id: String,
    /// How alike, in the terms of the similarity.
    pub similarity: f64,
}

/// The people most like one.
#[derive(Debug, Serialize, ToSchema)]
pub struct NeighborList {
    /// Whose neighbors.
    pub user_id: String,
    /// By what kind of item.
    pub kind: &'static str,
    /// How they were compared.
    pub similarity: &'static str,
    /// The most alike first, ties by id.
    pub neighbors: Vec<Neighbor>,
}

/// Who is like this person; for administrators
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/neighbors",
    tag = "recommendations",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), NeighborParameters),
    responses(
        (status = 200, body = NeighborList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn neighbors(
    State(state): State<AppState>,
    Id(user_id): Id,
    Parameters(parameters): Parameters<NeighborParameters>,
) -> Result<Json<NeighborList>, Problem> {
    let mut request = Request::new(user_id, parse_kind(&parameters.kind)?, now());
    request.similarity = parse_similarity(parameters.similarity.as_deref())?;
    let limit = parameters.limit.unwrap_or(10);
    if !(1..=MAX_NEIGHBORS).contains(&limit) {
        return Err(Problem::bad_parameter("limit", format!("must be from 1 to {MAX_NEIGHBORS}")));
    }
    request.neighbors = Some(limit);
    let found = state.people()?.neighbors(request.clone()).await?;
    Ok(Json(NeighborList {
        user_id: request.user_id,
        kind: request.kind.as_str(),
        similarity: request.similarity.as_str(),
        neighbors: found
            .into_iter()
            .map(|n| Neighbor { user_id: n.user_id, similarity: n.similarity })
            .collect(),
    }))
}

/// The kind of this name.
///
/// # Errors
/// 400 with the names that exist.
pub fn parse_kind(name: &str) -> Result<Kind, Problem> {
    let names = Kind::ALL.map(Kind::as_str).join(", ");
    name.parse().map_err(|_| Problem::bad_parameter("kind", format!("must be one of {names}")))
}

fn parse_similarity(name: Option<&str>) -> Result<Similarity, Problem> {
    let names = Similarity::ALL.map(Similarity::as_str).join(", ");
    match name {
        None => Ok(Similarity::default()),
        Some(name) => {
            name.parse().map_err(|_| Problem::bad_parameter("similarity", format!("must be one of {names}")))
        }
    }
}

fn parse_place(text: &str) -> Result<Place, Problem> {
    let parse = || {
        let (latitude, longitude) = text.split_once(',')?;
        Some(Place { latitude: latitude.trim().parse().ok()?, longitude: longitude.trim().parse().ok()? })
    };
    parse().ok_or_else(|| {
        Problem::bad_parameter("near", "must be latitude,longitude in degrees, such as 41.26,-95.93")
    })
}
