//! `GET /v1/audit/{number}`: one decision whole. Who asked and what was answered, by which package and on what
//! evidence, the card of the model that answered, and what was done with the answer. For administrators.

use std::path::Path;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::audit::{AuditEntry, MAX_PAGE};
use super::extract::Id;
use super::middleware::audit::Concerned;
use super::{AppState, Problem};
use crate::inference::Registry;
use crate::store::{AuditRow, NumberedRow};
use model::Manifest;
use model::package::{MANIFEST, read, sha256};
use recommend::clock::rfc3339;

/// The route whose answers are cards.
const CARDS: &str = "/cds-services/{id}";

/// One answer with all that is known of it, and what was done with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditDecision {
    #[serde(flatten)]
    entry: AuditEntry,
    /// What the answer rested on. `packages`: the models that answered, with the SHA-256 of their manifests; `results`: of
    /// each answer of a classifier the most probable labels, of an abstention the reason, the red flags by sign and
    /// rule, the missing fields; `recommendation`: strategy, `as_of`, and the items ruled out with the rule's name;
    /// `cards`: of each card how many orders and which rules. Nothing of it is the caller's input. Null for rows from
    /// before it was kept, and where there is none.
    #[schema(value_type = Option<Object>)]
    evidence: Option<Value>,
    /// The models that answered, with their cards.
    models: Vec<DecidingModel>,
    /// What people did with the cards of this answer (CDS Hooks), the first first; empty where nothing was told.
    feedback: Vec<CardFeedback>,
}

/// A model that answered, and its card.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecidingModel {
    /// Name.
    #[schema(example = "triage")]
    pub name: String,
    /// The version that answered.
    #[schema(example = "1")]
    pub version: String,
    /// SHA-256 of the manifest of the package that answered; null where it was not kept: then the version alone says
    /// which it was.
    pub package_sha256: Option<String>,
    /// Whether the same package is in service now.
    pub in_service: bool,
    /// The card of that package as data, as at `/v1/models/{name}/card.json`; null where the package is neither in
    /// service nor in the folder of models.
    #[schema(value_type = Option<Object>)]
    pub card: Option<Value>,
}

/// What a person did with a card.
#[derive(Debug, Serialize, ToSchema)]
pub struct CardFeedback {
    /// The row of the audit that says so.
    pub number: i64,
    /// When it was told.
    #[schema(example = "2026-03-01T09:31:00.000Z")]
    pub time: String,
    /// Who told it, as of other rows.
    #[schema(example = "key:ehr")]
    pub caller: String,
    /// "accepted" with the card and the suggestions taken, or "overridden" with the card and the coded reason.
    #[schema(example = "overridden 4e0a3a1e-3283-4575-ab82-028d55fe2719 benefit-outweighs-risk")]
    pub outcome: String,
}

/// One decision whole; for administrators
///
/// As the list has it, with its place in the chain, and with what the answer rested on, the cards of the models that
/// gave it, and what was done afterwards with it.
#[utoipa::path(
    get,
    path = "/v1/audit/{number}",
    operation_id = "get_audit",
    tag = "operations",
    params(("number" = i64, Path, description = "Number of the row", example = 1)),
    responses((status = 200, body = AuditDecision))
)]
pub async fn get(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Id(number): Id,
) -> Result<Json<AuditDecision>, Problem> {
    let Ok(number) = number.parse::<i64>() else {
        return Err(Problem::bad_request("a row of the audit has a whole number, such as 17"));
    };
    let store = state.people()?.store.clone();
    let Some(row) = store.get_audit(number).await? else {
        return Err(Problem::not_found(format!("the audit has no row {number}")));
    };
    concerned.add_named(row.row.people.iter().cloned());
    let mut feedback = Vec::new();
    for card in cards(&row) {
        for told in store.audit_feedback(number, card, MAX_PAGE).await? {
            // A person may have taken one suggestion of a card and passed over another, told in one call.
            let said = told.row.answers.iter().flatten().filter(|line| line.split(' ').nth(1) == Some(card));
            for outcome in said.filter(|_| told.row.status == 200) {
                feedback.push(CardFeedback {
                    number: told.number,
                    time: rfc3339(told.row.time),
                    caller: told.row.caller.clone(),
                    outcome: outcome.clone(),
                });
            }
        }
    }
    feedback.sort_by_key(|one| one.number);
    let evidence = row.row.evidence.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let deciding = deciding(&row.row, evidence.as_ref());
    let (registry, folder) = (state.registry.load_full(), state.config.models_dir.clone());
    let looked_up =
        move || deciding.into_iter().map(|own| with_card(own, registry.as_deref(), &folder)).collect();
    // A package that is not in service is read from its folder.
    let models = tokio::task::spawn_blocking(looked_up).await.map_err(|_| Problem::internal())?;
    Ok(Json(AuditDecision { entry: row.into(), evidence, models, feedback }))
}

/// The ids of the cards that an answer of CDS Hooks gave; its lines are the indicator and the id.
fn cards(row: &NumberedRow) -> impl Iterator<Item = &str> {
    let lines = row.row.answers.iter().flatten().filter(move |_| row.row.route == CARDS);
    lines.filter_map(|line| line.split_once(' ')).map(|(_, card)| card)
}

/// The models that answered, without their cards: those whose packages were kept, and of a row without any those that it
/// names. One of DICOM may have several.
fn deciding(row: &AuditRow, evidence: Option<&Value>) -> Vec<DecidingModel> {
    let split = |names: &Option<String>| -> Vec<String> {
        names.iter().flat_map(|names| names.split(", ").map(str::to_string)).collect()
    };
    let model = |name: String, version: String, package_sha256| DecidingModel {
        name,
        version,
        package_sha256,
        in_service: false,
        card: None,
    };
    let packages = evidence.and_then(|evidence| evidence.get("packages")?.as_array()).into_iter().flatten();
    let kept = packages.filter_map(|package| {
        let of = |member: &str| Some(package.get(member)?.as_str()?.to_string());
        Some(model(of("model")?, of("version")?, of("sha256")))
    });
    let mut all: Vec<DecidingModel> = kept.collect();
    let (names, versions) = (split(&row.model), split(&row.version));
    let paired = names.len() == versions.len();
    for (place, name) in names.into_iter().enumerate() {
        // Where there are fewer versions than models, one is that of all, and of more nobody can say which is whose.
        let version = if paired { versions.get(place) } else { row.version.as_ref() };
        if !all.iter().any(|own| own.name == name) {
            all.push(model(name, version.cloned().unwrap_or_default(), None));
        }
    }
    all
}

fn with_card(mut own: DecidingModel, registry: Option<&Registry>, folder: &Path) -> DecidingModel {
    let served = registry.and_then(|registry| Some((registry.get(&own.name)?, registry.digest(&own.name))));
    let same = |digest: Option<&str>| own.package_sha256.is_none() || own.package_sha256.as_deref() == digest;
    let served = served.filter(|(served, digest)| served.manifest().version == own.version && same(*digest));
    own.in_service = served.is_some();
    own.card = match (served, &own.package_sha256) {
        (Some((served, _)), _) => card(served.manifest()),
        (None, Some(digest)) => kept(folder, &own.name, &own.version, digest).as_ref().and_then(card),
        (None, None) => None,
    };
    own
}

/// The manifest of a package in the folder of models, if it is the one of this digest.
fn kept(folder: &Path, name: &str, version: &str, digest: &str) -> Option<Manifest> {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // The row may be somebody else's work; no path is made of anything but a name.
    if !plain(name) || !plain(version) {
        return None;
    }
    let bytes = read(&folder.join(name).join(version).join(MANIFEST)).ok()?;
    (sha256(&bytes) == digest).then(|| serde_json::from_slice(&bytes).ok()).flatten()
}

fn card(manifest: &Manifest) -> Option<Value> {
    let plain = serde_json::to_value(manifest).ok()?;
    Some(clinical::card::card(&plain, manifest.task().as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Rows of several models of one version were written with that version once.
    #[test]
    fn every_model_of_a_row_is_found_in_it_however_it_was_written() {
        let found = |model: &str, version: &str, evidence: Option<Value>| {
            let row = AuditRow {
                model: Some(model.to_string()),
                version: Some(version.to_string()),
                ..AuditRow::of("key:pacs", "127.0.0.1", "POST", "/dicom-web/studies")
            };
            let all = deciding(&row, evidence.as_ref());
            all.into_iter().map(|own| (own.name, own.version, own.package_sha256)).collect::<Vec<_>>()
        };
        let of = |name: &str, version: &str, digest: Option<&str>| {
            (name.to_string(), version.to_string(), digest.map(str::to_string))
        };
        let package = |name: &str, version: &str| json!({"model": name, "version": version, "sha256": format!("of {name}")});
        let both = json!({"packages": [package("chest-xray", "1"), package("pneumonia", "1")]});
        let expected =
            [of("chest-xray", "1", Some("of chest-xray")), of("pneumonia", "1", Some("of pneumonia"))];
        assert_eq!(found("chest-xray, pneumonia", "1", Some(both.clone())), expected);
        assert_eq!(found("chest-xray, pneumonia", "1, 1", Some(both)), expected);
        // Of a model whose package was not kept the row's own words are what there is.
        let one = json!({"packages": [package("pneumonia", "2")]});
        assert_eq!(
            found("chest-xray, pneumonia", "1, 2", Some(one)),
            [of("pneumonia", "2", Some("of pneumonia")), of("chest-xray", "1", None)]
        );
        assert_eq!(found("a, b", "1", None), [of("a", "1", None), of("b", "1", None)]);
        assert_eq!(found("a, b", "1, 2", None), [of("a", "1", None), of("b", "2", None)]);
        assert_eq!(found("triage", "1", None), [of("triage", "1", None)]);
    }
}
