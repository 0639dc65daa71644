//! `GET /v1/models/{name}/drift`: what a model answered, by hour or day, against its held-out data. For administrators.
//!
//! What is read are counts by hour, which are written beside the requests: an answer is a few hundred rows at most,
//! however many requests there were. Counts of this process that still wait are written first, so that what was
//! answered a moment ago is there.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Id, Parameters};
use super::models::unknown_model;
use super::{AppState, Problem};
use crate::inference::tally::{self, MILLIONTHS};
use crate::store::{Store, StoreError, Tallied, TallyQuery};
use model::Manifest;
use model::drift::{Drift, Expected, Verdict};
use recommend::Millis;
use recommend::clock::{self, parse_time, rfc3339};

const HOUR: Millis = 3_600_000;
/// Hours for which counts are kept.
pub const KEPT: i64 = 92 * 24;
/// Hours that are looked at unless a request says otherwise.
const WINDOW: i64 = 7 * 24;
/// Most hours that are told one by one.
const MOST_HOURS: i64 = 14 * 24;
/// Up to here hours are told where nothing else is asked for.
const FEW_HOURS: i64 = 48;

/// One at a time takes counts out, so that none is taken out that another puts back.
static WRITING: Mutex<()> = Mutex::const_new(());

/// Writes what this process has counted; what cannot be written waits for the next time.
///
/// # Errors
/// As the store says.
pub async fn keep(store: &dyn Store) -> Result<(), StoreError> {
    let _alone = WRITING.lock().await;
    let rows = tally::take(hour(clock::now()));
    if rows.is_empty() {
        return Ok(());
    }
    // Given back also where whoever waits for this goes away.
    let mut waiting = GivenBack(rows);
    store.add_answers(&waiting.0).await?;
    waiting.0.clear();
    Ok(())
}

/// Counts that go back to where they were taken from when this is dropped.
struct GivenBack(Vec<Tallied>);

impl Drop for GivenBack {
    fn drop(&mut self) {
        tally::give_back(&self.0);
    }
}

/// The hour of a moment, counted from 1970.
pub fn hour(time: Millis) -> i64 {
    time.div_euclid(HOUR)
}

/// Over how much time answers are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Every {
    /// An hour.
    Hour,
    /// A day, in UTC.
    Day,
}

impl Every {
    fn hours(self) -> i64 {
        match self {
            Every::Hour => 1,
            Every::Day => 24,
        }
    }
}

/// Which answers to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DriftParameters {
    /// From when on: a date, or a date and time; default: 7 days ago. Counts are kept for 92 days.
    #[param(example = "2024-06-01")]
    pub since: Option<String>,
    /// Counted together by "hour" (of 14 days at most) or "day"; default: by hour up to two days, by day beyond.
    #[param(inline, example = "day")]
    pub by: Option<Every>,
}

/// A model's answers over time, against those on held-out data.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriftAnswer {
    /// The model.
    #[schema(example = "triage")]
    pub model: String,
    /// The version in service; what other versions answered is not counted.
    #[schema(example = "1")]
    pub version: String,
    /// The beginning of the first hour or day that is looked at.
    #[schema(example = "2026-03-01T00:00:00.000Z")]
    pub since: String,
    /// Over how much time answers are counted together.
    pub by: Every,
    /// What the held-out data of its training says to expect; null where the package has no measures by label.
    pub expected: Option<ExpectedAnswers>,
    /// All that is looked at.
    pub whole: AnswersOfTime,
    /// By hour or day, the earliest first; those without answers are left out.
    pub periods: Vec<AnswersOfTime>,
}

/// What a model answered on the held-out data of its training.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpectedAnswers {
    /// The split of the data.
    #[schema(example = "val")]
    pub split: String,
    /// Its examples.
    #[schema(example = 155)]
    pub examples: usize,
    /// By label, its share of the answers, from the confusion matrix.
    #[schema(example = json!({"1": 0.02, "2": 0.17}))]
    pub shares: BTreeMap<String, f64>,
    /// Share of the answers withheld.
    #[schema(example = 0.032)]
    pub abstained: f64,
    /// Between which the mean confidence lies: accuracy less and plus expected calibration error. Null where the label
    /// answered is not the most probable one.
    #[schema(example = json!([0.65, 0.79]))]
    pub confidence: Option<[f64; 2]>,
}

/// The answers of some time.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswersOfTime {
    /// When it begins.
    #[schema(example = "2026-03-02T00:00:00.000Z")]
    pub from: String,
    /// Answers with a label.
    #[schema(example = 412)]
    pub answered: u64,
    /// Answers withheld.
    #[schema(example = 9)]
    pub abstained: u64,
    /// By label, the number of answers; labels without one are left out.
    #[schema(example = json!({"2": 61, "3": 204, "4": 147}))]
    pub labels: BTreeMap<String, u64>,
    /// Mean of the highest probabilities, those of answers withheld among them.
    #[schema(example = 0.71)]
    pub confidence: Option<f64>,
    /// The population stability index against what is expected, over the labels and the answers withheld: the sum of
    /// (now - then) ln(now / then) over their shares, half a count added to each. By convention 0.1 is worth a look,
    /// and 0.25 another spread.
    #[schema(example = 0.04)]
    pub stability_index: Option<f64>,
    /// What the index stays below 99 times in 100 where nothing has changed, with as many answers.
    #[schema(example = 0.06)]
    pub chance: Option<f64>,
    /// What that means.
    pub verdict: DriftVerdict,
}

/// A drift in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftVerdict {
    /// There were no answers.
    NoAnswers,
    /// The package does not say what to expect.
    Unknown,
    /// Too few answers to tell.
    Few,
    /// Spread as on held-out data.
    Stable,
    /// An index above 0.1 and above chance.
    Moved,
    /// An index above 0.25 and above chance.
    Shifted,
}

/// A model's answers by hour or day, against those on the held-out data of its training; for administrators
///
/// Labels, abstentions and confidence, with the population stability index. It says that what is sent is not what the model
/// was tried on, and not that answers are wrong.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/drift",
    operation_id = "get_model_drift",
    tag = "models",
    params(("name" = String, Path, description = "Name of the model", example = "triage"), DriftParameters),
    responses((status = 200, body = DriftAnswer), (status = 403, description = "Asked by an administrator of another tenant than the default one")
    )
)]
pub async fn get(
    State(state): State<AppState>,
    Id(name): Id,
    Parameters(parameters): Parameters<DriftParameters>,
) -> Result<Json<DriftAnswer>, Problem> {
    if !state.tenant.is_empty() {
        let detail = "answers are counted over all tenants, and told to administrators of the default one";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let registry = state.registry()?;
    let served = registry.get(&name).ok_or_else(|| unknown_model(&registry, &name))?;
    let manifest = served.manifest();
    let (from, every) = window(&parameters, clock::now())?;
    let store = state.people()?.store.clone();
    if let Err(error) = keep(store.as_ref()).await {
        tracing::warn!(%error, "counts of answers were not written; they wait");
    }
    let query = TallyQuery {
        model: manifest.name.clone(),
        version: manifest.version.clone(),
        from,
        every: every.hours(),
    };
    let rows = store.list_answers(&query).await?;
    let expected = Expected::of(manifest);
    let of = |rows: &[Tallied], from| AnswersOfTime::new(manifest, expected.as_ref(), rows, from);
    Ok(Json(DriftAnswer {
        model: query.model,
        version: query.version,
        since: rfc3339(from * HOUR),
        by: every,
        whole: of(&rows, from),
        periods: rows.chunk_by(|a, b| a.hour == b.hour).map(|rows| of(rows, rows[0].hour)).collect(),
        expected: expected.map(|expected| ExpectedAnswers {
            split: expected.split,
            examples: expected.examples,
            shares: manifest.labels.iter().cloned().zip(expected.shares).collect(),
            abstained: expected.abstained,
            confidence: expected.confidence.map(|(low, high)| [low, high]),
        }),
    }))
}

/// From which hour on, and by what.
fn window(parameters: &DriftParameters, now: Millis) -> Result<(i64, Every), Problem> {
    let present = hour(now);
    let from = match &parameters.since {
        None => present - WINDOW,
        Some(text) => {
            let since = parse_time(text).ok_or_else(|| {
                Problem::bad_parameter("since", format!("must be a time: {}", clock::TIME_FORMS))
            })?;
            if since > now {
                return Err(Problem::bad_parameter("since", "lies in the future"));
            }
            // What is older is not kept.
            hour(since).max(present - KEPT)
        }
    };
    let every = match parameters.by {
        Some(Every::Hour) if present - from > MOST_HOURS => {
            let detail = format!("hours are told of {} days at most; days reach further", MOST_HOURS / 24);
            return Err(Problem::bad_parameter("by", detail));
        }
        Some(every) => every,
        None if present - from > FEW_HOURS => Every::Day,
        None => Every::Hour,
    };
    Ok((from.div_euclid(every.hours()) * every.hours(), every))
}

impl AnswersOfTime {
    fn new(manifest: &Manifest, expected: Option<&Expected>, rows: &[Tallied], from: i64) -> AnswersOfTime {
        let mut counts = vec![0; manifest.labels.len()];
        let (mut abstained, mut confidence) = (0, 0.0);
        for row in rows {
            let answers = u64::try_from(row.answers).unwrap_or(0);
            confidence += row.confidence as f64 / MILLIONTHS;
            match manifest.labels.iter().position(|label| *label == row.label) {
                Some(at) => counts[at] += answers,
                None => abstained += answers,
            }
        }
        let answered: u64 = counts.iter().sum();
        let all = answered + abstained;
        let drift = expected.filter(|_| all > 0).map(|expected| expected.compare(&counts, abstained));
        AnswersOfTime {
            from: rfc3339(from * HOUR),
            answered,
            abstained,
            labels: manifest.labels.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect(),
            confidence: (all > 0).then(|| confidence / all as f64),
            stability_index: drift.map(|drift| drift.index),
            chance: drift.map(|drift| drift.chance),
            verdict: verdict(drift, all),
        }
    }
}

fn verdict(drift: Option<Drift>, answers: u64) -> DriftVerdict {
    match drift.map(|drift| drift.verdict()) {
        _ if answers == 0 => DriftVerdict::NoAnswers,
        None => DriftVerdict::Unknown,
        Some(Verdict::Few) => DriftVerdict::Few,
        Some(Verdict::Stable) => DriftVerdict::Stable,
        Some(Verdict::Moved) => DriftVerdict::Moved,
        Some(Verdict::Shifted) => DriftVerdict::Shifted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_begin_where_the_clock_has_them() {
        let now = parse_time("2026-03-09T13:30:00Z").unwrap();
        let asked = |since: Option<&str>, by| {
            let parameters = DriftParameters { since: since.map(str::to_string), by };
            window(&parameters, now).map(|(from, every)| (rfc3339(from * HOUR), every))
        };
        assert_eq!(asked(None, None), Ok(("2026-03-02T00:00:00.000Z".into(), Every::Day)));
        let hours = asked(Some("2026-03-08T09:59:00Z"), None);
        assert_eq!(hours, Ok(("2026-03-08T09:00:00.000Z".into(), Every::Hour)));
        assert_eq!(asked(Some("2026-03-08"), Some(Every::Day)).unwrap().0, "2026-03-08T00:00:00.000Z");
        assert_eq!(asked(Some("1999-01-01"), None).unwrap().0, "2025-12-07T00:00:00.000Z");
        for (since, by) in
            [("2026-03-10", None), ("last week", None), ("", None), ("2026-02-01", Some(Every::Hour))]
        {
            assert_eq!(asked(Some(since), by).unwrap_err().status, 400, "{since}");
        }
    }
}
