//! What a person did with a card: took a suggestion, or went on all the same and said why.

use serde::{Deserialize, Deserializer};

use super::cards::OVERRIDES;

/// What a client sends.
#[derive(Debug, Deserialize)]
pub struct Feedback {
    /// One for each card.
    pub feedback: Vec<CardFeedback>,
}

/// About one card.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CardFeedback {
    /// The card's id; a UUID may be written in large letters, too.
    #[serde(deserialize_with = "small")]
    pub card: String,
    /// What was done.
    pub outcome: CardOutcome,
    /// The suggestions that were taken.
    #[serde(default, deserialize_with = "or_none")]
    pub accepted_suggestions: Vec<AcceptedSuggestion>,
    /// Why it was overridden.
    pub override_reason: Option<OverrideReason>,
    /// When.
    pub outcome_timestamp: Option<String>,
}

/// What was done with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardOutcome {
    /// A suggestion was taken.
    Accepted,
    /// It was passed over.
    Overridden,
}

/// A suggestion by its id.
#[derive(Debug, Deserialize)]
pub struct AcceptedSuggestion {
    /// Its id.
    #[serde(deserialize_with = "small")]
    pub id: String,
}

/// Why a card was overridden.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideReason {
    /// One of the reasons offered, or one of the client's, which is not kept: it may be words.
    pub reason: Option<Reason>,
    /// The person's own words. They may tell of a patient and are not kept.
    pub user_comment: Option<String>,
}

/// A coded reason.
#[derive(Debug, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: Option<String>,
    /// Its system.
    pub system: Option<String>,
}

/// The id that is compared with those of cards and suggestions, which are in small letters.
fn small<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|id| id.to_ascii_lowercase())
}

/// A list, of which null is none.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Feedback {
    /// All that is wrong with it: pointers and details.
    pub fn problems(&self) -> Vec<(String, &'static str)> {
        let mut problems = Vec::new();
        if !(1..=1000).contains(&self.feedback.len()) {
            problems.push(("/feedback".to_owned(), "must have 1 to 1000 entries"));
        }
        for (index, one) in self.feedback.iter().enumerate() {
            let sound = |id: &str| {
                (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !sound(&one.card) {
                problems.push((format!("/feedback/{index}/card"), "must be the uuid of a card"));
            }
            if one.outcome == CardOutcome::Accepted && one.accepted_suggestions.is_empty() {
                let place = format!("/feedback/{index}/acceptedSuggestions");
                problems.push((place, "must name at least one suggestion where the outcome is accepted"));
            }
            for (place, suggestion) in one.accepted_suggestions.iter().enumerate() {
                if !sound(&suggestion.id) {
                    let place = format!("/feedback/{index}/acceptedSuggestions/{place}/id");
                    problems.push((place, "must be the uuid of a suggestion"));
                }
            }
        }
        problems
    }

    /// As the audit keeps it: the outcome, the card, and the suggestions or the coded reason. Of reasons those that were
    /// offered are kept, and of any other that there was one: what a client sends as a code may tell of a person.
    pub fn lines(&self) -> Vec<String> {
        let line = |one: &CardFeedback| match one.outcome {
            CardOutcome::Accepted => {
                let ids: Vec<&str> = one.accepted_suggestions.iter().map(|one| one.id.as_str()).collect();
                format!("accepted {} {}", one.card, ids.join(","))
            }
            CardOutcome::Overridden => {
                let reason = one.override_reason.as_ref().and_then(|reason| reason.reason.as_ref());
                let code = reason.and_then(|reason| reason.code.as_deref()).map(str::trim);
                let kept = code.filter(|code| !code.is_empty()).map(|code| {
                    let offered = OVERRIDES.iter().find(|(own, _)| *own == code);
                    offered.map_or("other", |(own, _)| own)
                });
                format!("overridden {} {}", one.card, kept.unwrap_or("without a reason"))
            }
        };
        self.feedback.iter().map(line).collect()
    }
}
