//! What is served: labels, input, metrics, data and card of every model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Id, ModelPlot};
use super::{AppState, Problem, accept, fhir};
use crate::inference::Registry;
use crate::inference::registry::Served;
use model::Manifest;
use model::manifest::{Architecture, Input, Outputs};

/// The report of a training, in its package.
const REPORT: &str = "report.html";

/// A model in service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelDescription {
    /// Name to ask for.
    #[schema(example = "pneumonia")]
    pub name: String,
    /// Version in service.
    #[schema(example = "1")]
    pub version: String,
    /// image-classification, image-segmentation, image-generation, note-classification, note-extraction, text-embedding
    /// or recommendation.
    #[schema(example = "image-classification")]
    pub task: &'static str,
    /// One sentence for people.
    pub description: String,
    /// Labels, in the order of the network's outputs.
    pub labels: Vec<String>,
    /// What each label means, where its name alone does not say it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label_descriptions: BTreeMap<String, String>,
    /// The scale that the labels are steps of, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// `cost[truth][answer]`, in label order: where it is there, the label of least expected cost is
    /// answered, and not the most probable one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Vec<Vec<f32>>>,
    /// What its outputs are where they are not labels that exclude each other, as in its manifest: several labels at once, each
    /// with its threshold, or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub outputs: Option<Value>,
    /// What the model is given, as in its manifest.
    #[schema(value_type = Object)]
    pub input: Value,
    /// Metrics by split, as in its manifest.
    #[schema(value_type = Object)]
    pub metrics: Value,
    /// What it was trained on, as in its manifest.
    #[schema(value_type = Object)]
    pub data: Value,
    /// Below this highest probability the model abstains.
    pub abstain_below: f32,
    /// What it is computed in on this machine: f32, bf16 or int8.
    #[schema(example = "int8")]
    pub precision: &'static str,
    /// The model card, in Markdown.
    pub card: String,
    /// Whether its training left a report, which administrators may read at `/v1/models/{name}/report`.
    pub report: bool,
}

/// All models in service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// In the order of their names.
    pub models: Vec<ModelDescription>,
}

impl ModelDescription {
    fn new(served: &Served, models: &Path) -> Result<ModelDescription, Problem> {
        let manifest: &Manifest = served.manifest();
        // A manifest that was read from JSON can be written as JSON.
        let json = |value: serde_json::Result<Value>| value.map_err(|_| Problem::internal());
        let mut input = json(serde_json::to_value(&manifest.input))?;
        if let (Input::Image(_), Some(members)) = (&manifest.input, input.as_object_mut()) {
            let types = vision::Format::ALL.map(|format| Value::from(format.content_type()));
            members.insert("content_types".to_string(), types.to_vec().into());
        }
        Ok(ModelDescription {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            task: manifest.task().as_str(),
            description: manifest.description.clone(),
            labels: manifest.labels.clone(),
            label_descriptions: manifest.label_descriptions.clone(),
            scale: manifest.ordinal.as_ref().map(|ordinal| ordinal.scale.clone()),
            cost: manifest.ordinal.as_ref().and_then(|ordinal| ordinal.cost.clone()),
            outputs: manifest
                .outputs
                .as_ref()
                .map(serde_json::to_value)
                .transpose()
                .map_err(|_| Problem::internal())?,
            input,
            metrics: json(match &manifest.architecture {
                Architecture::Ease(ease) => {
                    serde_json::to_value(BTreeMap::from([("held-out", &ease.held_out)]))
                }
                _ => match manifest.generation.as_ref().and_then(|generation| generation.metrics.as_ref()) {
                    Some(metrics) => serde_json::to_value(BTreeMap::from([(&metrics.measured_on, metrics)])),
                    None => match &manifest.outputs {
                        Some(Outputs::Binary { metrics, .. }) => serde_json::to_value(metrics),
                        Some(Outputs::Number(number)) => serde_json::to_value(&number.metrics),
                        None => serde_json::to_value(&manifest.metrics),
                    },
                },
            })?,
            data: json(serde_json::to_value(&manifest.data))?,
            abstain_below: manifest.abstain_below,
            precision: served.precision().as_str(),
            card: served.card().to_string(),
            report: folder(models, manifest).join(REPORT).is_file(),
        })
    }
}

/// Where the package of a model lies.
fn folder(models: &Path, manifest: &Manifest) -> PathBuf {
    models.join(&manifest.name).join(&manifest.version)
}

/// 404 with the names that exist.
pub fn unknown_model(registry: &Registry, name: &str) -> Problem {
    let names: Vec<&str> = registry.all().map(|served| served.manifest().name.as_str()).collect();
    let served = if names.is_empty() { "none".to_string() } else { names.join(", ") };
    Problem::not_found(format!("there is no model \"{name}\"; served are: {served}"))
}

/// All models in service
///
/// In the order of their names, each as `GET /v1/models/{name}` describes it.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "models",
    responses((status = 200, body = ModelList))
)]
pub async fn list(State(state): State<AppState>) -> Result<Json<ModelList>, Problem> {
    let registry = state.registry()?;
    let describe = |served| ModelDescription::new(served, &state.config.models_dir);
    let models = registry.all().map(describe).collect::<Result<_, _>>()?;
    Ok(Json(ModelList { models }))
}

/// One model: labels, input, metrics, data and card
///
/// What it is given, how well it did on which data, what it was trained on, and where it must not be used.
#[utoipa::path(
    get,
    path = "/v1/models/{name}",
    operation_id = "get_model",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model", example = "pneumonia")),
    responses((status = 200, body = ModelDescription))
)]
pub async fn get(State(state): State<AppState>, Id(name): Id) -> Result<Json<ModelDescription>, Problem> {
    let registry = state.registry()?;
    let served = registry.get(&name).ok_or_else(|| unknown_model(&registry, &name))?;
    Ok(Json(ModelDescription::new(served, &state.config.models_dir)?))
}

/// One model's card as data
///
/// The 31 source attributes that a predictive intervention has to show in the United States (HTI-1), from
/// the model's package; what it does not say is said to be unknown. With `accept: application/fhir+json` a
/// DocumentReference that holds this and the card's text.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/card.json",
    operation_id = "get_model_card",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model", example = "pneumonia")),
    responses(
        (status = 200, body = Object, description = "The card; with `accept: application/fhir+json` a DocumentReference"),
        (status = 406, description = "The client accepts neither"),
    )
)]
pub async fn card(
    State(state): State<AppState>,
    Id(name): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let served = registry.get(&name).ok_or_else(|| unknown_model(&registry, &name))?;
    let manifest = served.manifest();
    let plain = serde_json::to_value(manifest).map_err(|_| Problem::internal())?;
    let card = clinical::card::card(&plain, manifest.task().as_str());
    if fhir::asked(&headers) {
        let document = fhir::made_by(&manifest.name, &manifest.version, |maker| {
            clinical::fhir::answers::card_document(maker, &manifest.description, &card, served.card())
        });
        return Ok(fhir::resource(&document));
    }
    if accept::weight(&accept::ranges(&headers), &["application/json"]) == 0.0 {
        let detail = format!(
            "a card is answered in application/json, and as a DocumentReference in {}; fhirVersion=4.0",
            clinical::fhir::MEDIA_TYPE
        );
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    Ok(Json(card).into_response())
}

/// A plot of a model's card
///
/// The drawings that the card names, such as `plots/roc.svg`, as they lie in the package.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/plots/{plot}",
    operation_id = "get_model_plot",
    tag = "models",
    params(
        ("name" = String, Path, description = "Name of the model", example = "pneumonia"),
        ("plot" = String, Path, description = "File name of the plot", example = "roc.svg"),
    ),
    responses((status = 200, content((String = "image/svg+xml"), (super::images::ImageFile = "image/png"))))
)]
pub async fn plot(
    State(state): State<AppState>,
    ModelPlot { name, plot }: ModelPlot,
) -> Result<impl IntoResponse, Problem> {
    let registry = state.registry()?;
    let served = registry.get(&name).ok_or_else(|| unknown_model(&registry, &name))?;
    let missing = || Problem::not_found("the card of this model names no such plot");
    // Named in the card, and one plain file: nothing of a path that a client makes up is opened.
    let kinds = [(".svg", "image/svg+xml"), (".png", "image/png")];
    let kind = kinds.into_iter().find_map(|(ending, kind)| Some((plot.strip_suffix(ending)?, kind)));
    let plain = |stem: &str| {
        !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let (_, kind) = kind.filter(|(stem, _)| plain(stem)).ok_or_else(missing)?;
    if !served.card().contains(&format!("(plots/{plot})")) {
        return Err(missing());
    }
    let plots = folder(&state.config.models_dir, served.manifest()).join("plots");
    // What has been put there since the package was read is no more than it was then.
    let read = move || {
        // Of the folder above nothing else than the package is checked: it may itself be a link of an operator's.
        plots.parent().map_or(Ok(()), model::package::plain)?;
        model::package::read(&plots.join(plot))
    };
    let file = tokio::task::spawn_blocking(read).await.map_err(|_| Problem::internal())?;
    Ok(inert(kind, file.map_err(|_| missing())?))
}

/// The report of a model's training
///
/// One HTML page: plots, who is taken for whom, groups, and the wrong answers of which the model was most certain, with
/// their pictures or notes. These are people's data, so it is for administrators, and a package has it only where
/// `train --report` made it.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/report",
    operation_id = "get_model_report",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model", example = "pneumonia")),
    responses((status = 200, content_type = "text/html", body = String))
)]
pub async fn report(State(state): State<AppState>, Id(name): Id) -> Result<impl IntoResponse, Problem> {
    let registry = state.registry()?;
    let served = registry.get(&name).ok_or_else(|| unknown_model(&registry, &name))?;
    let file = folder(&state.config.models_dir, served.manifest()).join(REPORT);
    let page = tokio::task::spawn_blocking(move || model::package::read(&file)).await;
    let page = page.map_err(|_| Problem::internal())?.map_err(|_| {
        Problem::not_found(
            "this package has no report: it was trained without --report, or the report was taken out",
        )
    })?;
    Ok(inert("text/html; charset=utf-8", page))
}

/// A file of a package that a browser shows and in which nothing is run or fetched.
fn inert(content_type: &'static str, body: Vec<u8>) -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body)
}
