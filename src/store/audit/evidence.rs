//! What an answer rested on, as the audit keeps it: packages, probabilities, reasons, rules, exclusions.
//!
//! It is what the program said, and never what was said to it. Of a red flag the rule is kept and not the value that it
//! holds for, of an exclusion the rule and not the person's own words, of a card the rules and not the orders. A row
//! has it as JSON text, which is chained with the rest; what is long is cut, and how much was cut is said.

use serde::Serialize;

/// Most results whose evidence is kept of one answer.
const RESULTS: usize = 64;
/// Most labels of a result.
const PREDICTIONS: usize = 5;
/// Most items ruled out.
const EXCLUDED: usize = 64;

/// The rules that rule an item out (`recommend::filters`), and the parts of a profile that are unknown.
const RULES: [&str; 12] = [
    "allergy",
    "condition",
    "interaction",
    "duplicate therapy",
    "pregnancy",
    "sex",
    "age",
    "indication",
    "allergies",
    "conditions",
    "medications",
    "birth_year",
];

/// What an answer rested on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// The packages of the models that answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageUsed>,
    /// Of a classifier: one entry an answer, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<ResultEvidence>,
    /// Answers beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    more_results: usize,
    /// Of recommendations.
    #[serde(skip_serializing_if = "Option::is_none")]
    recommendation: Option<RecommendationEvidence>,
    /// Of cards of CDS Hooks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cards: Vec<CardEvidence>,
}

/// A package that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageUsed {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its manifest, which has the digests of the weights and of all else that an answer depends on.
    pub sha256: String,
}

/// What one answer of a classifier rested on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResultEvidence {
    /// Why it abstained.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The most probable labels, as many as were answered.
    predictions: Vec<LabelProbability>,
    /// The rules that held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub red_flags: Vec<FlagEvidence>,
    /// Fields that the record did not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_fields: Vec<String>,
    /// Whether the note was longer than the model reads.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct LabelProbability {
    label: String,
    probability: f32,
}

/// A rule of a package that held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagEvidence {
    /// What it is about.
    pub sign: String,
    /// The rule, in words.
    pub rule: String,
    /// The label that the answer is at least.
    pub at_least: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RecommendationEvidence {
    strategy: recommend::Strategy,
    similarity: recommend::Similarity,
    as_of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    abstained: Option<String>,
    excluded: Vec<ExclusionEvidence>,
    #[serde(skip_serializing_if = "is_zero")]
    more_excluded: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ExclusionEvidence {
    item_id: String,
    rule: String,
}

/// What a card rested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardEvidence {
    /// Its id.
    pub card: String,
    /// critical, warning or info.
    pub indicator: &'static str,
    /// Orders that it is about.
    pub orders: usize,
    /// The rules that spoke against them, each once.
    pub rules: Vec<&'static str>,
    /// Suggestions that it offered.
    pub suggestions: usize,
}

impl ResultEvidence {
    /// Of probabilities, and of an abstention its reason.
    pub fn new<'a>(
        reason: Option<&'static str>,
        predictions: impl Iterator<Item = (&'a str, f32)>,
    ) -> ResultEvidence {
        let kept =
            |(label, probability): (&str, f32)| LabelProbability { label: label.to_string(), probability };
        let predictions = predictions.take(PREDICTIONS).map(kept).collect();
        ResultEvidence { reason, predictions, ..ResultEvidence::default() }
    }
}

impl Evidence {
    /// Of a classifier's answers.
    pub fn of_results(results: impl ExactSizeIterator<Item = ResultEvidence>) -> Evidence {
        let more_results = results.len().saturating_sub(RESULTS);
        Evidence { results: results.take(RESULTS).collect(), more_results, ..Evidence::default() }
    }

    /// Of recommendations.
    pub fn of_recommendation(answer: &recommend::Recommendation) -> Evidence {
        let excluded = answer.excluded.iter().take(EXCLUDED).map(|excluded| ExclusionEvidence {
            item_id: excluded.item_id.clone(),
            rule: rule(&excluded.reason),
        });
        let recommendation = Some(RecommendationEvidence {
            strategy: answer.strategy,
            similarity: answer.similarity,
            as_of: recommend::clock::rfc3339(answer.as_of),
            abstained: answer.abstained.as_deref().map(rule),
            excluded: excluded.collect(),
            more_excluded: answer.excluded.len().saturating_sub(EXCLUDED),
        });
        Evidence { recommendation, ..Evidence::default() }
    }

    /// Of cards.
    pub fn of_cards(cards: Vec<CardEvidence>) -> Evidence {
        Evidence { cards, ..Evidence::default() }
    }

    /// As a row of the audit has it; nothing where there is none.
    pub fn text(&self) -> Option<String> {
        (*self != Evidence::default()).then(|| serde_json::to_string(self).ok()).flatten()
    }
}

/// The rule of a reason without what it says of the person: "allergy: penicillin" is `allergy`.
fn rule(reason: &str) -> String {
    let (rule, rest) = reason.split_once(':').unwrap_or((reason, ""));
    let known = RULES.iter().find(|known| **known == rule.trim());
    let unknown = match rest {
        rest if rest.ends_with("not recorded") => ": not recorded",
        rest if rest.contains("is not understood") => ": not understood",
        _ => "",
    };
    format!("{}{unknown}", known.unwrap_or(&"another rule"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_without_what_it_says_of_the_person() {
        for (reason, kept) in [
            ("allergy: penicillin", "allergy"),
            ("duplicate therapy: already taking Zyxwvut", "duplicate therapy"),
            ("pregnancy", "pregnancy"),
            ("allergies: not recorded", "allergies: not recorded"),
            (
                "medications: \"Zyxwvut\" is not understood; did you mean \"x\"?",
                "medications: not understood",
            ),
            ("Zyxwvut", "another rule"),
        ] {
            assert_eq!(rule(reason), kept);
        }
    }

    #[test]
    fn what_is_long_is_cut_and_said_to_be() {
        let one = || ResultEvidence::new(None, std::iter::repeat_n(("a", 0.1), 9));
        let text = Evidence::of_results((0..100).map(|_| one())).text().unwrap();
        assert!(
            text.contains("\"more_results\":36") && text.matches("predictions").count() == RESULTS,
            "{text}"
        );
        assert_eq!(text.matches("\"label\"").count(), RESULTS * PREDICTIONS);
        assert_eq!(Evidence::default().text(), None);
    }
}
