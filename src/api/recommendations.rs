//! `GET /v1/users/{user_id}/recommendations`: what suits this person? And, for administrators,
//! who is like this person.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use clinical::fhir::answers::{RuledOut, Suited, recommendations};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::extract::{Id, Parameters};
use super::identity::Caller;
use super::middleware::audit::Concerned;
use super::{AppState, Problem, fhir};
use crate::store::audit::evidence::Evidence;
use recommend::clock::now;
use recommend::{Kind, MAX_NEIGHBORS, Neighbor, Place, Recommendation, Request, Severity, Similarity};

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecommendParameters {
    /// hospital, doctor, pharmacy, drug or advice.
    #[param(example = "drug", value_type = Kind, inline)]
    pub kind: String,
    /// Number of items, 1 to 1000; default: 10.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// cosine (default), pearson or euclidean; with it, neighbors answer even where a learned model could.
    #[param(value_type = Option<Similarity>, inline)]
    pub similarity: Option<String>,
    /// Number of neighbors to go by, 1 to 10000; default: as configured. With it, neighbors answer even
    /// where a learned model could.
    #[param(minimum = 1, maximum = 10000)]
    pub neighbors: Option<usize>,
    /// Where distances are measured from: latitude,longitude in degrees; default: where the person lives.
    #[param(example = "41.26,-95.93")]
    pub near: Option<String>,
    /// Leave out what is farther, in kilometres.
    pub radius_km: Option<f64>,
}

/// What suits this person, and why
///
/// Things that people like this one have, without those that are wrong for this person; each with its reason.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/recommendations",
    operation_id = "get_recommendations",
    tag = "recommendations",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), RecommendParameters),
    responses((status = 200, body = Recommendation, description = "The answer; with `accept: application/fhir+json` a Bundle of FHIR R4 resources"))
)]
pub async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Id(user_id): Id,
    Parameters(parameters): Parameters<RecommendParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut request = Request::new(user_id, parse_kind(&parameters.kind)?, now());
    request.limit = parameters.limit.unwrap_or(request.limit);
    request.similarity = parse_similarity(parameters.similarity.as_deref())?;
    request.neighbors = parameters.neighbors;
    request.near = parameters.near.as_deref().map(parse_place).transpose()?;
    request.radius_km = parameters.radius_km;
    let people = state.people()?;
    // Who says how neighbors are to be found asks for neighbors.
    let by_neighbors = parameters.similarity.is_some() || parameters.neighbors.is_some();
    let learned = if by_neighbors { None } else { state.recommender(request.kind) };
    let learned = learned.filter(|service| caller.models.include(&service.manifest.name));
    let answer = people.recommend(request, learned).await?;
    let answered = Answered {
        model: answer.model.as_ref().map(|model| model.name.clone()),
        version: answer.model.as_ref().map(|model| model.version.clone()),
        answers: answer.items.iter().map(|item| Some(item.item_id.clone())).collect(),
        abstained: answer.items.is_empty(),
        evidence: Evidence::of_recommendation(&answer),
    };
    match fhir::asked(&headers) {
        true => Ok((Extension(answered), fhir::resource(&in_fhir(&answer))).into_response()),
        false => Ok((Extension(answered), Json(answer)).into_response()),
    }
}

/// The answer as FHIR has it.
fn in_fhir(answer: &Recommendation) -> Value {
    let suited: Vec<Suited> = answer
        .items
        .iter()
        .map(|item| Suited { id: &item.item_id, name: &item.name, cautions: &item.cautions })
        .collect();
    let ruled_out: Vec<RuledOut> = answer
        .excluded
        .iter()
        .map(|excluded| RuledOut {
            id: &excluded.item_id,
            reason: &excluded.reason,
            severity: excluded.severity.map(|severity| match severity {
                Severity::Contraindicated => "contraindicated",
                Severity::Serious => "serious",
                Severity::Caution => "caution",
            }),
            note: excluded.note.as_deref(),
        })
        .collect();
    let (user, kind, abstained) = (&answer.user_id, answer.kind.as_str(), answer.abstained.as_deref());
    fhir::made_by("medserve recommender", env!("CARGO_PKG_VERSION"), |maker| {
        recommendations(maker, user, kind, &suited, &ruled_out, abstained)
    })
}

/// Whose neighbors, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NeighborParameters {
    /// hospital, doctor, pharmacy, drug or advice.
    #[param(example = "drug", value_type = Kind, inline)]
    pub kind: String,
    /// Number of neighbors, 1 to 10000; default: 10.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// cosine (default), pearson or euclidean.
    #[param(value_type = Option<Similarity>, inline)]
    pub similarity: Option<String>,
}

/// The people most like one.
#[derive(Debug, Serialize, ToSchema)]
pub struct NeighborList {
    /// Whose neighbors.
    pub user_id: String,
    /// By what kind of item.
    pub kind: Kind,
    /// How they were compared.
    pub similarity: Similarity,
    /// The most alike first, ties by id.
    pub neighbors: Vec<Neighbor>,
}

/// Who is like this person; for administrators
///
/// The people that recommendations of this kind rest on, with their similarities.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/neighbors",
    operation_id = "list_neighbors",
    tag = "recommendations",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), NeighborParameters),
    responses((status = 200, body = NeighborList))
)]
pub async fn neighbors(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
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
    concerned.add(found.iter().map(|neighbor| neighbor.user_id.clone()));
    Ok(Json(NeighborList {
        user_id: request.user_id,
        kind: request.kind,
        similarity: request.similarity,
        neighbors: found,
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
