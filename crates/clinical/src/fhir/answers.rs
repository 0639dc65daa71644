//! Answers as FHIR R4 resources, in a Bundle of type collection: an Observation and a DiagnosticReport for
//! each classification, a RiskAssessment where the labels are steps of a scale such as a triage's, a List of
//! what is recommended and a DetectedIssue for each thing that was ruled out. The Device is the model, by
//! name and version; a Provenance says that it made the rest. Everything is labelled as asserted by
//! artificial intelligence (`AIAST`) and is preliminary: nobody has looked at it yet.

mod classified;

use serde_json::{Value, json};

pub use classified::{Classified, classifications};

/// What an answer is of and by whom.
#[derive(Debug, Clone)]
pub struct Maker<'a> {
    /// Name of the model, or of the recommender.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// When it answered (RFC 3339).
    pub time: &'a str,
    /// Distinguishes this answer from all others: 32 hexadecimal digits. Names within the Bundle follow
    /// from it.
    pub seed: &'a str,
}

/// Something that is recommended.
#[derive(Debug, Clone)]
pub struct Suited<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is to be heeded.
    pub cautions: &'a [String],
}

/// Something that was ruled out.
#[derive(Debug, Clone)]
pub struct RuledOut<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// The rule: `allergy: penicillin`.
    pub reason: &'a str,
    /// contraindicated, serious or caution, where the rule says so.
    pub severity: Option<&'a str>,
    /// What would happen, where the rule says so.
    pub note: Option<&'a str>,
}

/// The code system of security labels such as AIAST.
const LABELS: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const ACT: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// A Bundle that is being put together.
struct Collection<'a> {
    maker: &'a Maker<'a>,
    entries: Vec<Value>,
    made: Vec<String>,
}

impl<'a> Collection<'a> {
    fn new(maker: &'a Maker<'a>, kind: &str) -> Collection<'a> {
        let mut collection = Collection { maker, entries: Vec::new(), made: Vec::new() };
        let device = json!({
            "resourceType": "Device",
            "status": "active",
            "deviceName": [{"name": maker.name, "type": "model-name"}],
            "type": {"text": kind},
            "version": [{"value": maker.version}],
        });
        collection.push(device);
        collection
    }

    /// The name of the resource that comes next, or came as this one.
    fn name(&self, number: usize) -> String {
        let seed: String = self.maker.seed.chars().filter(char::is_ascii_hexdigit).take(20).collect();
        let digits = format!("{seed:0<20}{number:012x}");
        // The form of a random UUID, version 4.
        let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
        format!(
            "urn:uuid:{}-{}-4{}-8{}-{}",
            part(0..8),
            part(8..12),
            part(12..15),
            part(15..18),
            part(20..32)
        )
    }

    fn device(&self) -> Value {
        json!({"reference": self.name(0), "display": format!("{} {}", self.maker.name, self.maker.version)})
    }

    /// Adds a resource and says by what it is referred to.
    fn push(&mut self, mut resource: Value) -> String {
        resource["meta"] = json!({"security": [{
            "system": LABELS, "code": "AIAST", "display": "Artificial Intelligence asserted",
        }]});
        let name = self.name(self.entries.len());
        self.entries.push(json!({"fullUrl": name, "resource": resource}));
        name
    }

    fn add(&mut self, resource: Value) -> String {
        let name = self.push(resource);
        self.made.push(name.clone());
        name
    }

    /// The whole, with its Provenance.
    fn finish(mut self) -> Value {
        if !self.made.is_empty() {
            let target: Vec<Value> = self.made.iter().map(|name| json!({"reference": name})).collect();
            let provenance = json!({
                "resourceType": "Provenance",
                "target": target,
                "recorded": self.maker.time,
                "agent": [{
                    "type": {"coding": [{
                        "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                        "code": "assembler",
                        "display": "Assembler",
                    }]},
                    "who": self.device(),
                }],
            });
            self.push(provenance);
        }
        json!({"resourceType": "Bundle", "type": "collection", "timestamp": self.maker.time, "entry": self.entries})
    }
}

/// Recommendations for a person: a List of what suits, and a DetectedIssue for each thing ruled out.
pub fn recommendations(
    maker: &Maker<'_>,
    user_id: &str,
    kind: &str,
    suited: &[Suited<'_>],
    ruled_out: &[RuledOut<'_>],
    abstained: Option<&str>,
) -> Value {
    let mut bundle = Collection::new(maker, "Software: a recommender");
    let subject = json!({"reference": format!("Patient/{user_id}")});
    let thing = |id: &str, name: &str| json!({"display": name, "identifier": {"value": id}});
    let mut list = json!({
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "title": format!("{kind}: what suits this person, the best first"),
        "subject": subject,
        "date": maker.time,
        "source": bundle.device(),
    });
    match suited.is_empty() {
        true => {
            let why = abstained.unwrap_or("nothing can be recommended on what is known");
            list["emptyReason"] = json!({
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "unavailable"}],
                "text": why,
            });
        }
        false => {
            let entry = |one: &Suited<'_>| {
                let mut item = json!({"item": thing(one.id, one.name)});
                if !one.cautions.is_empty() {
                    item["flag"] = json!({"text": one.cautions.join("; ")});
                }
                item
            };
            list["entry"] = suited.iter().map(entry).collect();
        }
    }
    bundle.add(list);
    for one in ruled_out {
        let mut issue = json!({
            "resourceType": "DetectedIssue",
            "status": "preliminary",
            "code": issue_code(one.reason),
            "patient": subject,
            "identifiedDateTime": maker.time,
            "author": bundle.device(),
            "implicated": [thing(one.id, one.id)],
            "detail": match one.note {
                Some(note) => format!("{} ({note})", one.reason),
                None => one.reason.to_owned(),
            },
        });
        if let Some(severity) = issue_severity(one) {
            issue["severity"] = json!(severity);
        }
        bundle.add(issue);
    }
    bundle.finish()
}

/// How much an issue matters, by what FHIR means with its codes: `high` may be life-threatening or do lasting harm, and of
/// what is contraindicated or serious (bleeding, slow breathing, kidney failure) nobody can say that it will not;
/// `moderate` may do noticeable harm. A rule without a grade counts as contraindicated. What is ruled out because something
/// is not known has no severity.
fn issue_severity(one: &RuledOut<'_>) -> Option<&'static str> {
    let about = one.reason.split(':').next().unwrap_or_default();
    match (one.severity, about) {
        (Some("caution"), _) | (None, "duplicate therapy") => Some("moderate"),
        (Some(_), _) | (None, "allergy" | "condition" | "interaction" | "pregnancy" | "age" | "sex") => {
            Some("high")
        }
        (None, _) => None,
    }
}

/// The kind of an issue, of HL7's codes.
fn issue_code(reason: &str) -> Value {
    let before = reason.split(':').next().unwrap_or_default();
    let (code, display) = match before {
        "allergy" => ("ALGY", "Allergy Alert"),
        "condition" => ("COND", "Condition Alert"),
        "interaction" => ("DRG", "Drug Interaction Alert"),
        "duplicate therapy" => ("DUPTHPY", "Duplicate Therapy Alert"),
        "pregnancy" => ("PREG", "Pregnancy Alert"),
        "age" => ("AGE", "Age Alert"),
        "sex" => ("GEND", "Gender Alert"),
        _ => return json!({"text": before}),
    };
    json!({"coding": [{"system": ACT, "code": code, "display": display}], "text": before})
}

/// A model's card as a DocumentReference: where its text is, and its digest.
pub fn card_document(maker: &Maker<'_>, description: &str, card: &Value, text: &str) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "meta": {"security": [{"system": LABELS, "code": "AIAST", "display": "Artificial Intelligence asserted"}]},
        "status": "current",
        "docStatus": "final",
        "type": {"text": "model card"},
        "date": maker.time,
        "description": description,
        "content": [
            {"attachment": {
                "contentType": "application/json",
                "data": base64(card.to_string().as_bytes()),
                "title": format!("{} {}: source attributes", maker.name, maker.version),
            }},
            {"attachment": {
                "contentType": "text/markdown",
                "data": base64(text.as_bytes()),
                "title": format!("{} {}: model card", maker.name, maker.version),
            }},
        ],
    })
}

/// RFC 4648, with padding, as FHIR's base64Binary wants it.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_as_severe_as_fhir_means_it_and_not_at_all_where_nothing_is_known() {
        let of = |reason: &str, severity: Option<&str>| {
            issue_severity(&RuledOut { id: "x", reason, severity, note: None })
        };
        for (reason, severity, expected) in [
            ("interaction: warfarin", Some("contraindicated"), Some("high")),
            ("interaction: warfarin", Some("serious"), Some("high")),
            ("condition: asthma", Some("caution"), Some("moderate")),
            ("allergy: penicillin", None, Some("high")),
            ("age: under 12", None, Some("high")),
            ("duplicate therapy: already taking aspirin", None, Some("moderate")),
            ("not known: what is taken", None, None),
        ] {
            assert_eq!(of(reason, severity), expected, "{reason}");
        }
    }
}
