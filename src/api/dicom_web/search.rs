//! `GET /dicom-web/studies` and below: QIDO-RS (PS3.18 section 10.6) over what was made of images.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::matching::{Key, MODALITY, PageParameters, Search, SearchParameters};
use super::retrieve::patients;
use super::{JSON, base, content_type, in_json, of_series, of_study, uid};
use crate::api::extract::{Id, SeriesOfStudy};
use crate::api::middleware::audit::Concerned;
use crate::api::{AppState, Problem};
use crate::store::dicom::{DicomResult, ResultQuery};

/// Answers of a search where no limit is given.
const LIMIT: usize = 100;
/// Most answers of a search.
const MOST: usize = 1000;
/// Rows read at once.
const PAGE: u32 = 200;

/// Attributes of a study, of a series and of an instance that an answer has (PS3.18 section 10.6.3).
const STUDY: [&str; 10] = [
    "00080005", "00080020", "00080030", "00080050", "00080090", "00100010", "00100020", "00100030",
    "00100040", "0020000D",
];
const STUDY_ID: &str = "00200010";
/// Issuer of Patient ID.
const ISSUER: &str = "00100021";
const SERIES: [&str; 4] = ["00080060", "0008103E", "0020000E", "00200011"];
const INSTANCE: [&str; 7] =
    ["00080016", "00080018", "00200013", "00280008", "00280010", "00280011", "00280100"];

/// Answers from `offset` on, at most `limit`.
#[derive(Clone, Copy)]
struct Page {
    limit: usize,
    offset: usize,
    fuzzy: bool,
}

impl Page {
    fn new(limit: Option<usize>, offset: Option<usize>, fuzzy: Option<bool>) -> Result<Page, Problem> {
        let limit = limit.unwrap_or(LIMIT);
        match (1..=MOST).contains(&limit) {
            true => Ok(Page { limit, offset: offset.unwrap_or(0), fuzzy: fuzzy == Some(true) }),
            false => Err(Problem::bad_parameter("limit", format!("must be from 1 to {MOST}"))),
        }
    }
}

/// Search the studies in which something was made
///
/// For those who keep the data.
#[utoipa::path(
    get,
    path = "/dicom-web/studies",
    operation_id = "search_studies",
    tag = "DICOM",
    params(SearchParameters),
    responses(
        (status = 200, description = "One object a study; of a study whose images name two patients, one for each", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn studies(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    Search(parameters): Search<SearchParameters>,
) -> Result<Response, Problem> {
    in_json(&headers)?;
    let page = Page::new(parameters.limit, parameters.offset, parameters.fuzzymatching)?;
    let keys = parameters.keys()?;
    // One study or patient is found by the database; lists and wildcards by what each result says.
    let studies = parameters.study.unwrap_or_default();
    for study in studies.split([',', '\\']).filter(|_| !studies.is_empty()) {
        uid(study.trim())?;
    }
    let study = Some(studies).filter(|study| !study.contains([',', '\\'])).unwrap_or_default();
    let patient = parameters.patient.filter(|id| !id.contains(['*', '?'])).unwrap_or_default();
    let query = ResultQuery { study, patient, ..ResultQuery::default() };
    let with = match Key::new("ModalitiesInStudy", MODALITY, "CS", parameters.modality.as_ref())? {
        Some(modality) => Some(studies_with(&state, query.clone(), &modality).await?),
        None => None,
    };
    let base = base(&state, &headers);
    grouped(
        &state,
        &concerned,
        query,
        page,
        |result| {
            with.as_ref().is_none_or(|with| with.contains(&result.study)) && fits(&keys, &result.metadata)
        },
        // Two patients of one study are two answers: what is counted is of the one that is named.
        |result| {
            let issuer = first(&result.metadata, ISSUER).map(|issuer| issuer.to_string()).unwrap_or_default();
            (result.study.clone(), result.patient.clone(), issuer)
        },
        |group| {
            let mut answer = attributes(&group[0].metadata, STUDY.iter().chain([&STUDY_ID]));
            let mut modalities: Vec<Value> =
                group.iter().filter_map(|one| first(&one.metadata, "00080060")).collect();
            modalities.sort_by_key(Value::to_string);
            modalities.dedup();
            answer.insert("00080056".to_string(), json!({"vr": "CS", "Value": ["ONLINE"]}));
            answer.insert("00080061".to_string(), json!({"vr": "CS", "Value": modalities}));
            answer.insert("00201206".to_string(), json!({"vr": "IS", "Value": [series_of(group)]}));
            answer.insert("00201208".to_string(), json!({"vr": "IS", "Value": [group.len()]}));
            url(&mut answer, format!("{base}/studies/{}", group[0].study));
            answer
        },
    )
    .await
}

/// Search the series of a study
///
/// One for each model and kind of result.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series",
    operation_id = "search_series",
    tag = "DICOM",
    params(("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"), PageParameters),
    responses(
        (status = 200, description = "One object a series", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn series(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    Id(study): Id,
    Search(parameters): Search<PageParameters>,
) -> Result<Response, Problem> {
    in_json(&headers)?;
    let page = Page::new(parameters.limit, parameters.offset, parameters.fuzzymatching)?;
    let query = of_study(&study)?;
    let base = base(&state, &headers);
    let keys = parameters.keys()?;
    grouped(
        &state,
        &concerned,
        query,
        page,
        |result| fits(&keys, &result.metadata),
        |result| result.series.clone(),
        |group| {
            let mut answer = attributes(&group[0].metadata, STUDY.iter().chain(&SERIES));
            answer.insert("00201209".to_string(), json!({"vr": "IS", "Value": [group.len()]}));
            url(&mut answer, format!("{base}/studies/{}/series/{}", group[0].study, group[0].series));
            answer
        },
    )
    .await
}

/// Search the results of a study
///
/// Those of all its series.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/instances",
    operation_id = "search_study_instances",
    tag = "DICOM",
    params(("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"), PageParameters),
    responses(
        (status = 200, description = "One object an instance", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn study_instances(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    Id(study): Id,
    Search(parameters): Search<PageParameters>,
) -> Result<Response, Problem> {
    let query = of_study(&study)?;
    all_instances(&state, &concerned, &headers, query, parameters).await
}

/// Search the results of one series
///
/// Each with what a viewer lists it by.
#[utoipa::path(
    get,
    path = "/dicom-web/studies/{study}/series/{series}/instances",
    operation_id = "search_instances",
    tag = "DICOM",
    params(
        ("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1"),
        ("series" = String, Path, description = "Series Instance UID", example = "2.25.1"),
        PageParameters,
    ),
    responses(
        (status = 200, description = "One object an instance", content((Vec<Object> = "application/dicom+json"))),
        (status = 406, description = "The client accepts no JSON"),
    )
)]
pub async fn instances(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    headers: HeaderMap,
    SeriesOfStudy { study, series }: SeriesOfStudy,
    Search(parameters): Search<PageParameters>,
) -> Result<Response, Problem> {
    let query = of_series(&study, &series)?;
    all_instances(&state, &concerned, &headers, query, parameters).await
}

async fn all_instances(
    state: &AppState,
    concerned: &Concerned,
    headers: &HeaderMap,
    query: ResultQuery,
    parameters: PageParameters,
) -> Result<Response, Problem> {
    in_json(headers)?;
    let page = Page::new(parameters.limit, parameters.offset, parameters.fuzzymatching)?;
    let base = base(state, headers);
    let keys = parameters.keys()?;
    grouped(
        state,
        concerned,
        query,
        page,
        |result| fits(&keys, &result.metadata),
        |result| result.sop_instance.clone(),
        |group| {
            let names = STUDY.iter().chain(&SERIES).chain(&INSTANCE);
            let mut answer = attributes(&group[0].metadata, names);
            let DicomResult { study, series, sop_instance, .. } = &group[0];
            url(&mut answer, format!("{base}/studies/{study}/series/{series}/instances/{sop_instance}"));
            answer
        },
    )
    .await
}

/// Whether a result is what is asked for.
fn fits(keys: &[Key], metadata: &str) -> bool {
    if keys.is_empty() {
        return true;
    }
    let all: Map<String, Value> = serde_json::from_str(metadata).unwrap_or_default();
    keys.iter().all(|key| key.fits(&all))
}

/// The studies that have a result of a modality.
async fn studies_with(
    state: &AppState,
    query: ResultQuery,
    modality: &Key,
) -> Result<BTreeSet<String>, Problem> {
    let mut studies = BTreeSet::new();
    let store = state.people()?.store.clone();
    let mut query = ResultQuery { limit: PAGE, ..query };
    loop {
        let found = store.list_dicom(&query).await?;
        let is_last = found.len() < PAGE as usize;
        query.after = found.last().map(|last| last.sop_instance.clone()).unwrap_or_default();
        let keys = std::slice::from_ref(modality);
        studies.extend(found.into_iter().filter(|one| fits(keys, &one.metadata)).map(|one| one.study));
        if is_last {
            return Ok(studies);
        }
    }
}

/// Reads what fits, page after page, puts it into groups by a key, and answers the groups of one page in the order of
/// their first instance.
async fn grouped<K: PartialEq>(
    state: &AppState,
    concerned: &Concerned,
    query: ResultQuery,
    page: Page,
    fits: impl Fn(&DicomResult) -> bool,
    key: impl Fn(&DicomResult) -> K,
    answer: impl Fn(&[DicomResult]) -> Map<String, Value>,
) -> Result<Response, Problem> {
    let store = state.people()?.store.clone();
    // Who is asked about counts also where nothing is found.
    concerned.add(Some(query.patient.clone()).filter(|id| !id.is_empty()));
    let mut groups: Vec<(K, Vec<DicomResult>)> = Vec::new();
    let mut query = ResultQuery { limit: PAGE, ..query };
    loop {
        let found = store.list_dicom(&query).await?;
        let is_last = found.len() < PAGE as usize;
        query.after = found.last().map(|last| last.sop_instance.clone()).unwrap_or_default();
        for result in found.into_iter().filter(&fits) {
            let key = key(&result);
            match groups.iter().position(|(own, _)| *own == key) {
                Some(place) => groups[place].1.push(result),
                // A group that no page shows needs no members, but its place.
                None if groups.len() < page.offset + page.limit => groups.push((key, vec![result])),
                None => {}
            }
        }
        if is_last {
            break;
        }
    }
    for (_, group) in groups.iter().skip(page.offset) {
        concerned.add(patients(group));
    }
    let shown = groups.iter().skip(page.offset).map(|(_, group)| Value::Object(answer(group)));
    let shown: Vec<Value> = shown.collect();
    let mut response = (content_type(JSON), Value::Array(shown).to_string()).into_response();
    if page.fuzzy {
        let warning = "299 medserve \"The fuzzymatching parameter is not supported. Only literal matching has been performed.\"";
        response.headers_mut().append(header::WARNING, HeaderValue::from_static(warning));
    }
    Ok(response)
}

/// These attributes of a result.
fn attributes<'a>(metadata: &str, names: impl Iterator<Item = &'a &'a str>) -> Map<String, Value> {
    let all: Map<String, Value> = serde_json::from_str(metadata).unwrap_or_default();
    names.filter_map(|name| Some((name.to_string(), all.get(*name)?.clone()))).collect()
}

/// The first value of an attribute.
fn first(metadata: &str, name: &str) -> Option<Value> {
    let all: Map<String, Value> = serde_json::from_str(metadata).ok()?;
    Some(all.get(name)?.get("Value")?.get(0)?.clone())
}

fn series_of(group: &[DicomResult]) -> usize {
    group.iter().map(|result| &result.series).collect::<BTreeSet<_>>().len()
}

fn url(answer: &mut Map<String, Value>, url: String) {
    answer.insert("00081190".to_string(), json!({"vr": "UR", "Value": [url]}));
}
